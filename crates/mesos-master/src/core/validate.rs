//! What a framework and a task must be like. Errors are texts, as Mesos' wire carries no codes.

use std::collections::BTreeSet;

use mesos_api::framework_info::CapabilityType;
use mesos_api::scheduler::OfferConstraints;
use mesos_api::{
    AgentId, CommandInfo, ExecutorInfo, FrameworkInfo, Resources, TaskInfo, container_info,
    executor_info,
};

use crate::allocator::Allocator;

/// Longest failover timeout: what a signed 64-bit number of nanoseconds holds.
pub(super) const MAXIMUM_FAILOVER_SECONDS: f64 = 9.2e9;

/// Ids become names of folders, which file systems limit to this.
const MAXIMUM_ID_LENGTH: usize = 255;

pub(super) fn framework(
    info: &FrameworkInfo,
    suppressed: &BTreeSet<String>,
    allowed: &BTreeSet<String>,
) -> Result<(), String> {
    let multi_role = info.has_capability(CapabilityType::MultiRole);
    if multi_role && info.role.is_some() {
        return Err(
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
                .to_owned(),
        );
    }
    if !multi_role && !info.roles.is_empty() {
        return Err("'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE \
                    capable"
            .to_owned());
    }
    let roles = info.subscribed_roles();
    let mut seen = BTreeSet::new();
    for name in &roles {
        if !seen.insert(name) {
            return Err(format!("'FrameworkInfo.roles' contains duplicate items: {{ {name} }}"));
        }
        role(name)?;
        if !allowed.is_empty() && name != "*" && !allowed.contains(name) {
            return Err(format!("Role '{name}' is not present in the master's --roles"));
        }
    }
    if let Some(stranger) = suppressed.iter().find(|role| !roles.contains(role)) {
        return Err(format!("Suppressed role '{stranger}' is not contained in the list of roles"));
    }
    // As in Mesos, what is below zero counts as none, and what nanoseconds cannot hold is refused.
    let timeout = info.failover_timeout();
    if timeout.is_nan() || timeout > MAXIMUM_FAILOVER_SECONDS {
        return Err(format!("The framework failover_timeout ({timeout:e}) is invalid"));
    }
    if let Some(id) = info.id.as_ref().filter(|id| !id.value.is_empty()) {
        identifier(&id.value)?;
    }
    Ok(())
}

/// Patterns of offer constraints must be patterns.
pub(super) fn constraints(constraints: Option<&OfferConstraints>) -> Result<(), String> {
    match constraints.map(Allocator::check_constraints) {
        Some(Err(problem)) => Err(format!("Offer constraints are not valid: {problem}")),
        Some(Ok(())) | None => Ok(()),
    }
}

/// Checks the name of a role.
pub(super) fn role(name: &str) -> Result<(), String> {
    let invalid =
        |problem: String| Err(format!("'FrameworkInfo.role' is not a valid role: {problem}"));
    if name == "*" {
        return Ok(());
    }
    if name.is_empty() {
        return invalid("Role names cannot be the empty string".to_owned());
    }
    if name.starts_with('/') {
        return invalid(format!("Role '{name}' cannot start with a slash"));
    }
    if name.ends_with('/') {
        return invalid(format!("Role '{name}' cannot end with a slash"));
    }
    for part in name.split('/') {
        let component =
            |problem| format!("Role component '{part}' is invalid because it {problem}");
        if part.is_empty() {
            return invalid(format!("Role '{name}' cannot contain two adjacent slashes"));
        }
        if matches!(part, "." | ".." | "*") {
            return invalid(format!("Role '{name}' cannot include '{part}' as a component"));
        }
        if part.starts_with('-') {
            return invalid(component("starts with a dash"));
        }
        if part.contains(|c: char| c.is_whitespace() || c == '\u{8}') {
            return invalid(component("contains backspace or whitespace"));
        }
    }
    Ok(())
}

fn identifier(id: &str) -> Result<(), String> {
    let bad = |c: char| c.is_control() || c == '/' || c == '\\';
    match id {
        "" => Err("ID must not be empty".to_owned()),
        _ if id.len() > MAXIMUM_ID_LENGTH => {
            Err(format!("ID must not be greater than {MAXIMUM_ID_LENGTH} characters"))
        }
        "." | ".." => Err(format!("'{id}' is disallowed")),
        _ if id.contains(bad) => Err(format!("'{id}' contains invalid characters")),
        _ => Ok(()),
    }
}

/// Checks a task that is to run on this agent, but for what it takes.
pub(super) fn task(task: &TaskInfo, agent_id: &AgentId) -> Result<(), String> {
    identifier(&task.task_id.value)?;
    if task.agent_id != *agent_id {
        return Err(format!(
            "Task uses invalid agent {} while agent {agent_id} is expected",
            task.agent_id
        ));
    }
    let docker_entry_point = task
        .container
        .as_ref()
        .is_some_and(|container| container.r#type() == container_info::Type::Docker);
    match (&task.executor, &task.command) {
        (Some(executor), None) => check_executor(executor)?,
        (None, Some(command)) => check_command(command, docker_entry_point)?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(
                "Task should have at least one (but not both) of CommandInfo or ExecutorInfo \
                        present"
                    .to_owned(),
            );
        }
    }
    let grace = task.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
    if grace.is_some_and(|grace| grace.nanoseconds < 0) {
        return Err("Task's 'kill_policy.grace_period' must be non-negative".to_owned());
    }
    if task.max_completion_time.as_ref().is_some_and(|time| time.nanoseconds < 0) {
        return Err("Task's 'max_completion_time' must be non-negative".to_owned());
    }
    check_resources(task)
}

fn check_resources(task: &TaskInfo) -> Result<(), String> {
    let resources = Resources::from(task.resources.as_slice());
    if resources.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    let negative = task.resources.iter().find(|resource| {
        resource
            .scalar
            .as_ref()
            .is_some_and(|scalar| !scalar.value.is_finite() || scalar.value < 0.0)
    });
    if let Some(resource) = negative {
        return Err(format!(
            "Task uses invalid resources: '{}' is not a valid amount",
            resource.name
        ));
    }
    if resources.scalar("gpus").fract() != 0.0 {
        return Err("The 'gpus' resource must be an unsigned integer".to_owned());
    }
    let revocable =
        |want: bool| resources.iter().any(|resource| resource.revocable.is_some() == want);
    if revocable(true) && revocable(false) {
        return Err("Task (and its executor, if exists) uses both revocable and non-revocable \
                    resources"
            .to_owned());
    }
    Ok(())
}

fn check_executor(executor: &ExecutorInfo) -> Result<(), String> {
    let id = &executor.executor_id;
    identifier(&id.value)?;
    match executor.r#type() {
        executor_info::Type::Default => {
            Err("The default executor takes task groups only".to_owned())
        }
        executor_info::Type::Custom | executor_info::Type::Unknown => match &executor.command {
            Some(command) => check_command(command, executor.container.is_some()),
            None => Err(format!("'ExecutorInfo.command' of executor '{id}' must be set")),
        },
    }
}

fn check_command(command: &CommandInfo, may_lack_value: bool) -> Result<(), String> {
    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    for variable in variables {
        if variable.value.is_none() && variable.secret.is_none() {
            return Err(format!(
                "Environment variable '{}' of type 'VALUE' must have a value set",
                variable.name
            ));
        }
    }
    if may_lack_value || command.value.is_some() {
        return Ok(());
    }
    if command.shell() {
        Err("Shell command is not specified".to_owned())
    } else {
        Err("Executable of a command without shell is not specified".to_owned())
    }
}

/// Whether a running executor is the one a task asks for.
pub(super) fn same_executor(known: &ExecutorInfo, wanted: &ExecutorInfo) -> bool {
    let bare = |info: &ExecutorInfo| ExecutorInfo { resources: Vec::new(), ..info.clone() };
    let needs = |info: &ExecutorInfo| Resources::from(info.resources.as_slice()).unallocated();
    bare(known) == bare(wanted) && needs(known) == needs(wanted)
}

pub(super) fn not_enough(required: &Resources, available: &Resources) -> String {
    format!(
        "Total resources {required} required by task and its executor is more than available \
         {available}"
    )
}
