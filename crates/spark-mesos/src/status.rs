//! What a task's state and reason mean.

use mesos_api::task_status::Reason;
use mesos_api::{TaskState, TaskStatus};

use crate::reason::LossReason;

/// How Mesos' executors word a death by `kill -9`; the number where no name is known.
const KILL_SIGNALS: &[&str] = &["signal Killed", "signal 9", "signal: 9", "SIGKILL"];
/// How the fetcher's failures are worded.
const FETCH_FAILURES: &[&str] = &["fetch", "Fetch"];

/// Whether a task in this state runs or will.
pub(crate) fn is_alive(state: TaskState) -> bool {
    match state {
        TaskState::Staging | TaskState::Starting | TaskState::Running | TaskState::Killing => true,
        TaskState::Finished
        | TaskState::Failed
        | TaskState::Killed
        | TaskState::Error
        | TaskState::Lost
        | TaskState::Dropped
        | TaskState::Unreachable
        | TaskState::Gone
        | TaskState::GoneByOperator
        | TaskState::UnknownTask => false,
    }
}

/// The reason of an update; the accessor would take an absent one for the first of the enumeration.
pub(crate) fn reason(status: &TaskStatus) -> Option<Reason> {
    status.reason.map(|_| status.reason())
}

/// The words of an update, or its reason's or state's name.
pub(crate) fn message(status: &TaskStatus) -> String {
    match (&status.message, status.reason) {
        (Some(message), _) if !message.is_empty() => message.clone(),
        (_, Some(_)) => status.reason().name().to_owned(),
        (_, None) => status.state().name().to_owned(),
    }
}

/// Why a task is gone, from its last update. `killing`: we asked for it. `worked`: it had come up.
pub(crate) fn loss(status: &TaskStatus, killing: bool, worked: bool) -> LossReason {
    let reason = reason(status);
    let message = || message(status);
    match status.state() {
        TaskState::Finished => LossReason::Exited,
        _ if killing => LossReason::Killed,
        TaskState::Killed => match reason {
            Some(Reason::ContainerPreempted | Reason::AgentDraining) => {
                LossReason::Preempted(message())
            }
            Some(_) | None => LossReason::Killed,
        },
        TaskState::Failed => failure(reason, message()),
        TaskState::Error => LossReason::Invalid(message()),
        TaskState::Unreachable => LossReason::AgentUnreachable,
        TaskState::Gone | TaskState::GoneByOperator => match reason {
            Some(Reason::AgentDraining) => LossReason::Preempted(message()),
            Some(_) | None => LossReason::AgentLost,
        },
        TaskState::Lost | TaskState::Dropped | TaskState::UnknownTask => match reason {
            Some(Reason::AgentDisconnected | Reason::AgentRemoved | Reason::AgentRestarted) => {
                LossReason::AgentLost
            }
            Some(_) | None if worked => LossReason::AgentLost,
            Some(_) | None => LossReason::LaunchRefused(message()),
        },
        TaskState::Staging | TaskState::Starting | TaskState::Running | TaskState::Killing => {
            LossReason::Failed(message())
        }
    }
}

fn failure(reason: Option<Reason>, message: String) -> LossReason {
    match reason {
        Some(Reason::ContainerLimitationMemory) => LossReason::OutOfMemory(message),
        Some(Reason::ContainerLimitationDisk) => LossReason::OutOfDisk(message),
        Some(Reason::ContainerPreempted | Reason::AgentDraining) => LossReason::Preempted(message),
        Some(
            Reason::ContainerLaunchFailed
            | Reason::ContainerUpdateFailed
            | Reason::ExecutorRegistrationTimeout
            | Reason::CommandExecutorFailed,
        ) => {
            if FETCH_FAILURES.iter().any(|words| message.contains(words)) {
                LossReason::FetchFailed(message)
            } else {
                LossReason::LaunchFailed(message)
            }
        }
        Some(_) | None if KILL_SIGNALS.iter().any(|signal| message.contains(signal)) => {
            LossReason::Signalled(message)
        }
        Some(_) | None => LossReason::Failed(message),
    }
}

/// Why an executor is gone, from its raw wait status alone.
pub(crate) fn from_wait_status(status: Option<i32>) -> LossReason {
    let Some(status) = status else {
        return LossReason::Failed("it ended, and Mesos does not say how".to_owned());
    };
    let (signal, code) = (status & 0x7f, (status >> 8) & 0xff);
    match (signal, code) {
        (0, 0) => LossReason::Exited,
        (9 | 15, _) => LossReason::Signalled(format!("terminated with signal {signal}")),
        (0, code) => LossReason::Failed(format!("exited with status {code}")),
        (signal, _) => LossReason::Failed(format!("terminated with signal {signal}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses() {
        assert_eq!(from_wait_status(Some(0)), LossReason::Exited);
        assert_eq!(
            from_wait_status(Some(768)),
            LossReason::Failed("exited with status 3".to_owned())
        );
        assert!(!from_wait_status(Some(9)).is_failure());
        assert!(from_wait_status(Some(11)).is_failure());
        assert!(from_wait_status(None).is_failure());
    }
}
