//! The cluster as its master describes it: why agents that offer nothing offer nothing.
//!
//! Offers tell only what is offered. When an application waits and some agents are silent, the driver may
//! ask the master's `/slaves` and hand the answer in; the report then tells agents whose resources are
//! reserved for others, in use, too small, or that are not there at all.

use std::collections::BTreeMap;

use mesos_api::value::{Range, Ranges, Scalar, Text};
use mesos_api::{Attribute, ValueType, resources};
use serde_json::Value;

use crate::constraints::Constraints;
use crate::report::{Fate, SilentReason};

/// Agents of one answer looked at; more are counted as if they were not there.
const MOST_AGENTS: usize = 20_000;

/// An answer that is not what a master says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the master's list of agents cannot be read: {0}")]
pub struct ClusterViewError(String);

/// The agents a master knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterView {
    agents: Vec<AgentView>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AgentView {
    pub(crate) id: String,
    pub(crate) host: String,
    active: bool,
    attributes: Vec<Attribute>,
    total: Amounts,
    used: Amounts,
    offered: Amounts,
    reserved: BTreeMap<String, Amounts>,
}

/// Amounts of what a report speaks about.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Amounts {
    /// Cpus.
    pub cpus: f64,
    /// MiB.
    pub memory_mib: f64,
    /// GPUs.
    pub gpus: f64,
}

impl Amounts {
    fn read(value: Option<&Value>) -> Self {
        let number = |name: &str| {
            value.and_then(|v| v.get(name)).and_then(Value::as_f64).unwrap_or_default()
        };
        Self { cpus: number("cpus"), memory_mib: number("mem"), gpus: number("gpus") }
    }

    fn minus(self, other: Self) -> Self {
        let rest = |a: f64, b: f64| (a - b).max(0.0);
        Self {
            cpus: rest(self.cpus, other.cpus),
            memory_mib: rest(self.memory_mib, other.memory_mib),
            gpus: rest(self.gpus, other.gpus),
        }
    }

    /// Whether this suffices; a hair less does, for sums of decimals.
    fn covers(self, wanted: Self) -> bool {
        const HAIR: f64 = 0.0005;
        self.cpus + HAIR >= wanted.cpus
            && self.memory_mib + HAIR >= wanted.memory_mib
            && self.gpus + HAIR >= wanted.gpus
    }
}

impl ClusterView {
    /// Reads the body of the master's `/slaves` (also `/master/slaves`).
    ///
    /// # Errors
    /// When it is no JSON or has no list of agents.
    pub fn from_slaves_json(body: &str) -> Result<Self, ClusterViewError> {
        let value: Value =
            serde_json::from_str(body).map_err(|error| ClusterViewError(error.to_string()))?;
        let agents = value
            .get("slaves")
            .and_then(Value::as_array)
            .ok_or_else(|| ClusterViewError("it has no \"slaves\"".to_owned()))?;
        Ok(Self { agents: agents.iter().take(MOST_AGENTS).map(AgentView::read).collect() })
    }

    /// How many agents there are.
    pub fn agent_count(&self) -> usize {
        self.agents.len()
    }

    pub(crate) fn agents(&self) -> &[AgentView] {
        &self.agents
    }
}

impl AgentView {
    fn read(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let object = |name: &str| value.get(name).and_then(Value::as_object);
        let attributes = object("attributes").into_iter().flatten();
        let reserved = object("reserved_resources").into_iter().flatten();
        Self {
            id: text("id").to_owned(),
            host: text("hostname").to_owned(),
            active: value.get("active").and_then(Value::as_bool).unwrap_or(true),
            attributes: attributes.map(|(name, value)| attribute(name, value)).collect(),
            total: Amounts::read(value.get("resources")),
            used: Amounts::read(value.get("used_resources")),
            offered: Amounts::read(value.get("offered_resources")),
            reserved: reserved
                .map(|(role, amounts)| (role.clone(), Amounts::read(Some(amounts))))
                .collect(),
        }
    }

    /// Why this agent offers nothing that a framework of `role` could use for `wanted`.
    pub(crate) fn silence(&self, role: &str, wanted: Amounts, constraints: &Constraints) -> Fate {
        Fate::Silent(self.silent_reason(role, wanted, constraints))
    }

    fn silent_reason(
        &self,
        role: &str,
        wanted: Amounts,
        constraints: &Constraints,
    ) -> SilentReason {
        if !self.active {
            return SilentReason::Inactive;
        }
        if let Some(unmet) = constraints.unmet(&self.attributes) {
            return SilentReason::UnmetConstraint(unmet.to_string());
        }
        if !self.total.covers(wanted) {
            return SilentReason::TooSmall { has: self.total, wanted };
        }
        let of_others = |owner: &&String| !resources::is_within(role, owner);
        let others: Vec<&String> = self.reserved.keys().filter(of_others).collect();
        let usable =
            others.iter().fold(self.total, |rest, owner| rest.minus(self.reserved[owner.as_str()]));
        if !usable.covers(wanted) {
            let roles = others.into_iter().cloned().collect();
            return SilentReason::ReservedForOthers { roles, left: usable };
        }
        let unused = usable.minus(self.used);
        if !unused.covers(wanted) {
            return SilentReason::InUse { left: unused };
        }
        if !unused.minus(self.offered).covers(wanted) {
            return SilentReason::OfferedToOthers;
        }
        SilentReason::NotOffered
    }
}

/// An attribute as the endpoints print it: numbers, `[7000-8000, 9000-9001]`, or text.
fn attribute(name: &str, value: &Value) -> Attribute {
    let mut attribute = Attribute { name: name.to_owned(), ..Attribute::default() };
    if let Some(value) = value.as_f64() {
        attribute.set_type(ValueType::Scalar);
        attribute.scalar = Some(Scalar { value });
        return attribute;
    }
    let text = value.as_str().unwrap_or_default();
    if let Some(range) = ranges(text) {
        attribute.set_type(ValueType::Ranges);
        attribute.ranges = Some(Ranges { range });
    } else {
        attribute.set_type(ValueType::Text);
        attribute.text = Some(Text { value: text.to_owned() });
    }
    attribute
}

fn ranges(text: &str) -> Option<Vec<Range>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let range = |part: &str| {
        let (begin, end) = part.trim().split_once('-')?;
        Some(Range { begin: begin.trim().parse().ok()?, end: end.trim().parse().ok()? })
    };
    inner.split(',').map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(body: &str, role: &str, constraints: &str, expected: Expect) {
        let view = ClusterView::from_slaves_json(body).unwrap();
        let constraints = Constraints::parse("spark.mesos.constraints", constraints).unwrap();
        let wanted = Amounts { cpus: 1.0, memory_mib: 1408.0, gpus: 0.0 };
        let lines = view.agents().iter().map(|agent| {
            format!("{}: {}\n", agent.host, agent.silence(role, wanted, &constraints))
        });
        expected.assert_eq(&lines.collect::<String>());
    }

    const SLAVES: &str = r#"{"slaves":[
        {"id":"S0","hostname":"small","active":true,"resources":{"cpus":1.0,"mem":512.0,"disk":1.0,"ports":"[31000-32000]"}},
        {"id":"S1","hostname":"reserved","active":true,"attributes":{"zone":"x","n":3.0,"p":"[7000-8000]"},
         "resources":{"cpus":4.0,"mem":4096.0},"reserved_resources":{"dev":{"cpus":3.5,"mem":100.0}}},
        {"id":"S2","hostname":"busy","resources":{"cpus":2.0,"mem":4096.0},"used_resources":{"cpus":1.5,"mem":100.0}},
        {"id":"S3","hostname":"offered","resources":{"cpus":2.0,"mem":4096.0},"offered_resources":{"cpus":2.0,"mem":4096.0}},
        {"id":"S4","hostname":"off","active":false,"resources":{"cpus":2.0,"mem":4096.0}},
        {"id":"S5","hostname":"free","resources":{"cpus":2.0,"mem":4096.0}}]}"#;

    #[test]
    fn each_agent_has_its_reason() {
        check(
            SLAVES,
            "*",
            "",
            expect![[r#"
                small: has only 1 cpus and 512 MiB in all
                reserved: keeps all but 0.5 cpus and 3996 MiB for role dev
                busy: has all but 0.5 cpus and 3996 MiB in use
                offered: is offered to other frameworks
                off: is deactivated or drains
                free: has room, but has offered nothing yet
            "#]],
        );
    }

    #[test]
    fn a_reservation_serves_its_role_and_those_below() {
        for role in ["dev", "dev/x"] {
            let view = ClusterView::from_slaves_json(SLAVES).unwrap();
            let wanted = Amounts { cpus: 1.0, memory_mib: 1408.0, gpus: 0.0 };
            let fate = view.agents()[1].silence(role, wanted, &Constraints::default());
            assert_eq!(fate, Fate::Silent(SilentReason::NotOffered), "{role}");
        }
    }

    #[test]
    fn attributes_are_read_from_their_text() {
        check(
            SLAVES,
            "dev",
            "zone:x;n:2;p:7500",
            expect![[r#"
                small: lacks attribute zone=x
                reserved: has room, but has offered nothing yet
                busy: lacks attribute zone=x
                offered: lacks attribute zone=x
                off: is deactivated or drains
                free: lacks attribute zone=x
            "#]],
        );
    }

    #[test]
    fn other_answers_are_refused() {
        assert!(ClusterView::from_slaves_json("no").is_err());
        assert!(ClusterView::from_slaves_json("{}").is_err());
    }
}
