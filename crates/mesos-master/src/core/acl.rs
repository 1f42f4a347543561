//! Who may do what: Mesos' access control lists, as far as frameworks and operators of this master
//! need them. The first entry for a principal and an object decides; without one `permissive` does.

use serde_json::Value;

/// What is allowed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Subscribe in a role.
    RegisterFrameworks,
    /// Run tasks as a user.
    RunTasks,
    /// Remove frameworks of a principal.
    TeardownFrameworks,
    /// Reserve resources for a role.
    ReserveResources,
    /// Give reservations of a role up.
    UnreserveResources,
    /// Change the weight of a role.
    UpdateWeights,
    /// Change the limits of a role.
    UpdateQuotas,
    /// Say that an agent is gone; there is nothing to name.
    MarkAgentsGone,
    /// Drain agents.
    DrainAgents,
    /// Deactivate agents.
    DeactivateAgents,
    /// Reactivate agents.
    ReactivateAgents,
}

impl Permission {
    /// Name of the list, and of its objects there.
    const ALL: [(Self, &'static str, &'static str); 11] = [
        (Self::RegisterFrameworks, "register_frameworks", "roles"),
        (Self::RunTasks, "run_tasks", "users"),
        (Self::TeardownFrameworks, "teardown_frameworks", "framework_principals"),
        (Self::ReserveResources, "reserve_resources", "roles"),
        (Self::UnreserveResources, "unreserve_resources", "roles"),
        (Self::UpdateWeights, "update_weights", "roles"),
        (Self::UpdateQuotas, "update_quotas", "roles"),
        (Self::MarkAgentsGone, "mark_agents_gone", "agents"),
        (Self::DrainAgents, "drain_agents", "agents"),
        (Self::DeactivateAgents, "deactivate_agents", "agents"),
        (Self::ReactivateAgents, "reactivate_agents", "agents"),
    ];

    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::RegisterFrameworks => "use",
            Self::RunTasks => "run tasks with",
            Self::TeardownFrameworks => "tear down",
            Self::ReserveResources => "reserve",
            Self::UnreserveResources => "unreserve",
            Self::UpdateWeights | Self::UpdateQuotas => "update",
            Self::MarkAgentsGone => "mark gone",
            Self::DrainAgents => "drain",
            Self::DeactivateAgents => "deactivate",
            Self::ReactivateAgents => "reactivate",
        }
    }
}

/// Some, any or none.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entity {
    Any,
    None,
    Some(Vec<String>),
}

impl Entity {
    /// Whether an entry speaks of this one. NONE speaks of all, and allows nothing.
    fn speaks_of(&self, value: Option<&str>) -> bool {
        match self {
            Self::Any | Self::None => true,
            Self::Some(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    permission: Permission,
    principals: Entity,
    objects: Entity,
}

/// All lists; an empty one allows everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acls {
    permissive: bool,
    entries: Vec<Entry>,
}

impl Default for Acls {
    fn default() -> Self {
        Self { permissive: true, entries: Vec::new() }
    }
}

/// Why lists cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("access control lists: {at} {problem}")]
pub struct MalformedAcls {
    at: String,
    problem: String,
}

impl Acls {
    /// Reads Mesos' JSON form. Lists this master does not ask are refused, as they would protect
    /// nothing.
    ///
    /// # Errors
    /// [`MalformedAcls`] names the part that cannot be used.
    pub fn parse(text: &str) -> Result<Self, MalformedAcls> {
        let error = |at: &str, problem: &str| MalformedAcls {
            at: at.to_owned(),
            problem: problem.to_owned(),
        };
        let json: Value = serde_json::from_str(text)
            .map_err(|cause| error("the text", &format!("is no JSON: {cause}")))?;
        let object = json.as_object().ok_or_else(|| error("the text", "is no JSON object"))?;
        let mut acls = Self::default();
        for (name, value) in object {
            if name == "permissive" {
                acls.permissive =
                    value.as_bool().ok_or_else(|| error(name, "is neither true nor false"))?;
                continue;
            }
            let known = Permission::ALL.into_iter().find(|(_, list, _)| list == name);
            let Some((permission, _, objects)) = known else {
                let lists: Vec<_> = Permission::ALL.iter().map(|(_, list, _)| *list).collect();
                let problem = format!("is not supported; there are {}", lists.join(", "));
                return Err(error(name, &problem));
            };
            let entries = value.as_array().ok_or_else(|| error(name, "is no list"))?;
            for entry in entries {
                let entity = |part: &str| {
                    entity(entry.get(part)).ok_or_else(|| {
                        error(name, &format!("lacks {part} with values, or type ANY or NONE"))
                    })
                };
                let principals = entity("principals")?;
                acls.entries.push(Entry { permission, principals, objects: entity(objects)? });
            }
        }
        Ok(acls)
    }

    /// Whether a principal may do something to an object.
    #[must_use]
    pub fn allows(&self, permission: Permission, principal: Option<&str>, object: &str) -> bool {
        let about = self.entries.iter().filter(|entry| entry.permission == permission);
        let found = about.into_iter().find(|entry| {
            entry.principals.speaks_of(principal) && entry.objects.speaks_of(Some(object))
        });
        found.map_or(self.permissive, |entry| {
            entry.principals != Entity::None && entry.objects != Entity::None
        })
    }
}

fn entity(json: Option<&Value>) -> Option<Entity> {
    let json = json?;
    match json.get("type").and_then(Value::as_str) {
        Some("ANY") => return Some(Entity::Any),
        Some("NONE") => return Some(Entity::None),
        Some("SOME") | None => {}
        Some(_) => return None,
    }
    let values = json.get("values")?.as_array()?;
    let values: Option<Vec<String>> =
        values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    values.map(Entity::Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_decides() {
        let acls = Acls::parse(
            r#"{"permissive": false, "register_frameworks": [
                {"principals": {"values": ["spark"]}, "roles": {"values": ["dev", "ops"]}},
                {"principals": {"type": "ANY"}, "roles": {"values": ["ops"]}},
                {"principals": {"type": "NONE"}, "roles": {"values": ["*"]}}]}"#,
        )
        .unwrap();
        let may = |principal, role| acls.allows(Permission::RegisterFrameworks, principal, role);
        assert!(may(Some("spark"), "dev"));
        assert!(!may(Some("other"), "dev"), "not permissive");
        assert!(may(None, "ops"));
        assert!(!may(Some("spark"), "*"));
        assert!(!acls.allows(Permission::RunTasks, Some("spark"), "root"));
        assert!(Acls::default().allows(Permission::RunTasks, None, "root"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let problem = |text: &str| Acls::parse(text).unwrap_err().to_string();
        assert!(problem("[]").contains("no JSON object"));
        assert!(problem(r#"{"get_endpoints": []}"#).contains("get_endpoints is not supported"));
        assert!(
            problem(r#"{"run_tasks": [{"principals": {"type": "ANY"}}]}"#).contains("lacks users")
        );
    }
}
