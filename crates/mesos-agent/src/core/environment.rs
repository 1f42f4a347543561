//! The environment of executors and command tasks. Nothing of the agent's own is passed on.

use std::collections::BTreeMap;
use std::path::Path;

use mesos_api::duration::format_duration;
use mesos_api::{CommandInfo, ExecutorId, FrameworkInfo, TaskInfo};

use super::Settings;

/// PATH of those who do not set one.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a Docker container sees its sandbox.
pub(crate) const DOCKER_SANDBOX: &str = "/mnt/mesos/sandbox";

/// Whose environment it is.
pub(super) struct Owner<'a> {
    pub(super) framework: &'a FrameworkInfo,
    pub(super) executor_id: &'a ExecutorId,
    pub(super) task: Option<&'a TaskInfo>,
    pub(super) command: &'a CommandInfo,
    pub(super) directory: &'a Path,
    /// The id of the Docker container it runs in.
    pub(super) docker: Option<&'a str>,
}

/// Later ones override earlier ones: the agent's flag, Mesos' own list, the command's.
pub(super) fn environment(settings: &Settings, owner: &Owner<'_>) -> Vec<(String, String)> {
    let mut variables: BTreeMap<String, String> = settings.executor_environment.clone();
    let directory = owner.directory.display().to_string();
    let endpoint = format!("{}:{}", settings.ip, settings.info.port());
    let checkpoint = owner.framework.checkpoint();
    let agent_id = settings.info.id.clone().unwrap_or_default().value;
    let grace = format_duration(settings.executor_shutdown_grace_period);
    let mut put = |name: &str, value: String| {
        variables.insert(name.to_owned(), value);
    };
    put("LIBPROCESS_IP", settings.ip.clone());
    put("LIBPROCESS_PORT", "0".to_owned());
    put("MESOS_FRAMEWORK_ID", owner.framework.id.clone().unwrap_or_default().value);
    put("MESOS_EXECUTOR_ID", owner.executor_id.value.clone());
    put("MESOS_DIRECTORY", directory.clone());
    match owner.docker {
        Some(id) => {
            put("MESOS_SANDBOX", DOCKER_SANDBOX.to_owned());
            put("MESOS_CONTAINER_NAME", format!("mesos-{id}"));
        }
        None => put("MESOS_SANDBOX", directory),
    }
    put("MESOS_SLAVE_ID", agent_id);
    put("MESOS_SLAVE_PID", format!("slave(1)@{endpoint}"));
    put("MESOS_AGENT_ENDPOINT", endpoint);
    put("MESOS_CHECKPOINT", u8::from(checkpoint).to_string());
    put("MESOS_HTTP_COMMAND_EXECUTOR", "0".to_owned());
    put("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", grace);
    if checkpoint {
        put("MESOS_RECOVERY_TIMEOUT", format_duration(settings.recovery_timeout));
        let backoff = format_duration(settings.executor_reregistration_timeout);
        put("MESOS_SUBSCRIPTION_BACKOFF_MAX", backoff);
    }
    let role = owner.task.and_then(|task| {
        task.resources.iter().find_map(|resource| resource.allocation_info.as_ref()?.role.clone())
    });
    if let Some(role) = role {
        put("MESOS_ALLOCATION_ROLE", role);
    }
    for variable in owner.command.environment.iter().flat_map(|all| &all.variables) {
        let secret = variable.secret.as_ref().and_then(|secret| secret.value.as_ref());
        let value = match (&variable.value, secret) {
            (Some(value), _) => value.clone(),
            (None, Some(secret)) => String::from_utf8_lossy(&secret.data).into_owned(),
            (None, None) => continue,
        };
        put(&variable.name, value);
    }
    // An image knows its own path.
    if owner.docker.is_none() {
        variables.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    }
    variables.into_iter().collect()
}
