//! News of Mesos tasks and executors, and what a loss means.

use std::time::Instant;

use mesos_api::task_status::{Reason, Source};
use mesos_api::{AgentId, ExecutorId, TaskState, TaskStatus};

use super::{DEPARTURE_LIMIT, Departing, FineScheduler, LAST_WORDS_PATIENCE, REVIVE_GRACE, Stage};
use crate::events::{Action, TaskEnd};
use crate::reason::LossReason;
use crate::resources::Milli;
use crate::status::{from_wait_status, is_alive, loss, message, reason};

/// What the end of a task says.
enum Verdict {
    /// About the task alone.
    Task(TaskEnd),
    /// The task never reached an executor.
    NotLaunched(LossReason),
    /// Its executor is gone.
    Executor(LossReason),
}

/// The accessor would take an absent source for the first of the enumeration.
fn is_by_executor(status: &TaskStatus) -> bool {
    status.source.is_some() && status.source() == Source::Executor
}

impl FineScheduler {
    pub(super) fn update(&mut self, status: &TaskStatus, now: Instant, actions: &mut Vec<Action>) {
        let id = &status.task_id.value;
        let Some(task) = self.tasks.get_mut(id) else {
            if is_alive(status.state()) {
                actions.push(self.end_stranger(status));
            }
            return;
        };
        let executor_id = task.executor_id.clone();
        let killing = task.killing;
        let alive = is_alive(status.state());
        if alive {
            task.ask_at = None;
        }
        // What an executor says, or what goes beyond staging, it says because it runs.
        let started = alive && status.state() != TaskState::Staging;
        if (started || is_by_executor(status))
            && let Some(executor) = self.executors.get_mut(&executor_id)
        {
            executor.stage = Stage::Running;
        }
        if alive {
            return;
        }
        match self.verdict(status, &executor_id, killing) {
            Verdict::Executor(reason) => self.lose_executor(&executor_id, reason, now, actions),
            Verdict::Task(end) => self.end_task(id, &executor_id, end, now, actions),
            Verdict::NotLaunched(reason) => {
                let failed = reason.is_failure();
                self.end_task(id, &executor_id, TaskEnd::Lost(reason), now, actions);
                self.unlaunch(&executor_id, failed, now);
            }
        }
        self.revive.want(now + REVIVE_GRACE);
    }

    /// A task we have given up, or of an earlier life of this framework. Its executor is a stranger too
    /// unless we know it.
    fn end_stranger(&self, status: &TaskStatus) -> Action {
        let executor = status.executor_id.as_ref();
        match (executor, &status.agent_id) {
            (Some(executor_id), Some(agent_id))
                if !self.executors.contains_key(&executor_id.value) =>
            {
                Action::Shutdown { executor_id: executor_id.clone(), agent_id: agent_id.clone() }
            }
            _ => {
                Action::Kill { task_id: status.task_id.clone(), agent_id: status.agent_id.clone() }
            }
        }
    }

    fn verdict(&self, status: &TaskStatus, executor_id: &str, killing: bool) -> Verdict {
        let by_executor = is_by_executor(status);
        let executor = self.executors.get(executor_id);
        let runs = executor.is_some_and(|executor| executor.stage == Stage::Running);
        match status.state() {
            TaskState::Finished => Verdict::Task(TaskEnd::Finished),
            TaskState::Killed if killing || by_executor => Verdict::Task(TaskEnd::Killed),
            TaskState::Failed if by_executor => Verdict::Task(TaskEnd::Failed(message(status))),
            TaskState::Error => Verdict::NotLaunched(LossReason::Invalid(message(status))),
            TaskState::Lost | TaskState::Dropped | TaskState::UnknownTask => match reason(status) {
                Some(
                    Reason::AgentDisconnected
                    | Reason::AgentRemoved
                    | Reason::AgentRestarted
                    | Reason::ExecutorTerminated
                    | Reason::ExecutorUnregistered,
                ) => Verdict::Executor(loss(status, false, true)),
                // What we asked about and nobody knows: the executor lives on if it has other tasks.
                Some(Reason::Reconciliation) if runs => {
                    Verdict::Task(TaskEnd::Lost(LossReason::LaunchRefused(message(status))))
                }
                Some(_) | None => Verdict::NotLaunched(LossReason::LaunchRefused(message(status))),
            },
            TaskState::Killed
            | TaskState::Failed
            | TaskState::Unreachable
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing => Verdict::Executor(loss(status, false, runs)),
        }
    }

    fn end_task(
        &mut self,
        id: &str,
        executor_id: &str,
        end: TaskEnd,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if self.tasks.remove(id).is_none() {
            return;
        }
        self.cpus_held -= self.task_cpus();
        if let Some(executor) = self.executors.get_mut(executor_id) {
            executor.tasks.remove(id);
            if executor.tasks.is_empty() {
                executor.idle_since = Some(now);
            }
        }
        let (task_id, executor_id) = (id.to_owned(), executor_id.to_owned());
        actions.push(Action::TaskEnded { task_id, executor_id, end });
    }

    /// An executor whose first tasks never reached it has never been started: the next task starts it.
    fn unlaunch(&mut self, executor_id: &str, failed: bool, now: Instant) {
        let Some(executor) = self.executors.get_mut(executor_id) else { return };
        if failed {
            self.agents.blame(&executor.agent_id, now);
        }
        if executor.stage == Stage::Launched && executor.tasks.is_empty() {
            executor.stage = Stage::Planned;
            executor.info = None;
            executor.idle_since = None;
            self.cpus_held -= self.settings.fine.executor_cpus;
        }
    }

    /// Mesos says an executor has ended. Updates of its tasks follow and know more.
    pub(super) fn executor_ended(
        &mut self,
        id: &str,
        status: Option<i32>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.departed(id, now);
        let Some(executor) = self.executors.get_mut(id) else { return };
        if executor.stage == Stage::Planned {
            return;
        }
        if executor.tasks.is_empty() {
            self.lose_executor(id, from_wait_status(status), now, actions);
        } else {
            executor.ended = Some((status, now + LAST_WORDS_PATIENCE));
        }
    }

    /// Tells an executor to end; for us it is gone at once, for `spark.cores.max` when Mesos says so.
    pub(super) fn end_executor(
        &mut self,
        id: &str,
        reason: LossReason,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(executor) = self.executors.get(id) else { return };
        if executor.stage == Stage::Planned {
            return;
        }
        let agent_id = executor.agent_id.clone();
        let tasks = executor.tasks.len() as Milli;
        actions.push(Action::Shutdown {
            executor_id: ExecutorId::from(id),
            agent_id: agent_id.clone(),
        });
        let cpus = self.settings.fine.executor_cpus + tasks * self.task_cpus();
        self.lose_executor(id, reason, now, actions);
        self.cpus_held += cpus;
        let departing = Departing { agent_id, cpus, until: now + DEPARTURE_LIMIT };
        self.departing.insert(id.to_owned(), departing);
    }

    /// An executor that was told to end has ended.
    pub(super) fn departed(&mut self, id: &str, now: Instant) {
        if let Some(departing) = self.departing.remove(id) {
            self.cpus_held -= departing.cpus;
            self.revive.want(now + REVIVE_GRACE);
        }
    }

    pub(super) fn lose_agent(
        &mut self,
        agent_id: &AgentId,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        // Its offers are void; RESCIND says so too, before or after.
        self.drop_held(agent_id, actions);
        if let Some(id) = self.by_agent.get(agent_id).cloned() {
            self.lose_executor(&id, LossReason::AgentLost, now, actions);
        }
        let gone = self.departing.iter().filter(|(_, departing)| departing.agent_id == *agent_id);
        let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.departed(&id, now);
        }
        self.agents.forget(agent_id);
    }

    /// Forgets an executor with its tasks.
    pub(super) fn lose_executor(
        &mut self,
        id: &str,
        reason: LossReason,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(agent_id) = self.executors.get(id).map(|executor| executor.agent_id.clone())
        else {
            return;
        };
        let offers = self.drop_held(&agent_id, actions);
        let Some(executor) = self.executors.remove(id) else { return };
        self.by_agent.remove(&agent_id);
        for task in &executor.tasks {
            self.tasks.remove(task);
        }
        self.cpus_held -= executor.tasks.len() as Milli * self.task_cpus();
        if executor.stage != Stage::Planned {
            self.cpus_held -= self.settings.fine.executor_cpus;
        }
        if reason.is_failure() {
            self.agents.blame(&agent_id, now);
        }
        self.metrics.lost(&reason);
        actions.push(Action::ExecutorLost {
            executor_id: id.to_owned(),
            host: executor.host,
            reason,
        });
        self.reconsider(&agent_id, offers, now, actions);
        self.revive.want(now + REVIVE_GRACE);
    }
}
