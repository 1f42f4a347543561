//! News of executors' Mesos tasks, and what a loss means.

use std::time::Instant;

use mesos_api::task_status::Reason;
use mesos_api::{AgentId, TaskState, TaskStatus};

use super::{Action, CoarseScheduler, Stage};
use crate::reason::LossReason;

/// How Mesos' executors word a death by `kill -9`; the number where no name is known.
const KILL_SIGNALS: &[&str] = &["signal Killed", "signal 9", "signal: 9", "SIGKILL"];

impl CoarseScheduler {
    pub(super) fn update(&mut self, status: &TaskStatus, now: Instant, actions: &mut Vec<Action>) {
        let id = &status.task_id.value;
        let Some(executor) = self.executors.get_mut(id) else {
            // One we have given up, or of an earlier life of this framework.
            if is_alive(status.state()) {
                actions.push(Action::Kill {
                    task_id: status.task_id.clone(),
                    agent_id: status.agent_id.clone(),
                });
            }
            return;
        };
        if is_alive(status.state()) {
            if matches!(executor.stage, Stage::Launched { .. }) {
                executor.stage = Stage::Starting;
            }
            return;
        }
        let worked = executor.stage == Stage::Registered;
        let reason = loss(status, executor.killing, worked);
        let id = id.clone();
        self.lose(&id, reason, now, actions);
        self.tell_demand(true, actions);
    }

    pub(super) fn lose_agent(
        &mut self,
        agent_id: &AgentId,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let here = self.executors.iter().filter(|(_, executor)| executor.agent_id == *agent_id);
        let lost: Vec<String> = here.map(|(id, _)| id.clone()).collect();
        for id in &lost {
            self.lose(id, LossReason::AgentLost, now, actions);
        }
        self.agents.remove(agent_id);
        if !lost.is_empty() {
            self.tell_demand(true, actions);
        }
    }

    fn lose(&mut self, id: &str, reason: LossReason, now: Instant, actions: &mut Vec<Action>) {
        let Some(executor) = self.executors.remove(id) else { return };
        if reason.is_failure() {
            self.blame(executor.agent_id, now);
        }
        actions.push(Action::ExecutorLost {
            executor_id: id.to_owned(),
            host: executor.host,
            reason,
        });
    }

    /// Counts a failure; too many within the timeout exclude the agent for as long.
    fn blame(&mut self, agent_id: AgentId, now: Instant) {
        let timeout = self.settings.exclude_timeout;
        let agent = self.agents.entry(agent_id).or_default();
        agent.failures.retain(|at| now.duration_since(*at) < timeout);
        agent.failures.push(now);
        if agent.failures.len() as u64 >= self.settings.exclude_failures {
            agent.failures.clear();
            agent.excluded_until = Some(now + timeout);
        }
    }
}

fn is_alive(state: TaskState) -> bool {
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

/// Why an executor is gone, from the state and reason of its last update.
fn loss(status: &TaskStatus, killing: bool, worked: bool) -> LossReason {
    let message = || match (&status.message, status.reason) {
        (Some(message), _) if !message.is_empty() => message.clone(),
        (_, Some(_)) => status.reason().name().to_owned(),
        (_, None) => status.state().name().to_owned(),
    };
    // `reason()` would take an absent reason for the first of the enumeration.
    let reason = status.reason.map(|_| status.reason());
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
        // The master finds the task itself wrong; the next one would be wrong too.
        TaskState::Error => LossReason::LaunchFailed(message()),
        TaskState::Unreachable => LossReason::AgentUnreachable,
        TaskState::Gone | TaskState::GoneByOperator => LossReason::AgentLost,
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
        Some(Reason::ContainerPreempted | Reason::AgentDraining) => LossReason::Preempted(message),
        Some(
            Reason::ContainerLaunchFailed
            | Reason::ContainerUpdateFailed
            | Reason::ExecutorRegistrationTimeout
            | Reason::CommandExecutorFailed,
        ) => LossReason::LaunchFailed(message),
        Some(_) | None if KILL_SIGNALS.iter().any(|signal| message.contains(signal)) => {
            LossReason::Signalled(message)
        }
        Some(_) | None => LossReason::Failed(message),
    }
}
