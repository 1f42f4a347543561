//! Status updates: each task's go out one by one, and again until acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mesos_api::agent_protocol::{Acknowledge, StatusUpdate};
use mesos_api::task_status::{Reason, Source};
use mesos_api::{
    ContainerId, ContainerStatus, FrameworkId, Task, TaskId, TaskResourceLimitation, TaskState,
    TaskStatus,
};

use super::Agent;
use super::Time;
use super::event::ContainerKey;
use super::record::{ContainerRef, Record};
use super::state::TaskEntry;

/// First and longest pause before an update is sent again, as in Mesos.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LAST_RETRY: Duration = Duration::from_secs(600);

type TaskKey = (FrameworkId, TaskId);

#[derive(Debug)]
struct Queue {
    pending: VecDeque<TaskStatus>,
    /// When the first one goes out.
    due: Time,
    pause: Duration,
    /// The task, for registrations: an update may outlive its container.
    task: Option<Task>,
    /// Where its updates are kept on disk, if they are.
    kept: Option<ContainerRef>,
}

/// Updates that nobody acknowledged yet.
#[derive(Debug, Default)]
pub(super) struct Updates(BTreeMap<TaskKey, Queue>);

impl Updates {
    pub(super) fn next_due(&self) -> Option<Time> {
        self.0.values().map(|queue| queue.due).min()
    }

    /// Updates to send now; they come again after a pause.
    pub(super) fn due(&mut self, now: Time) -> Vec<StatusUpdate> {
        let mut due = Vec::new();
        for ((framework_id, _), queue) in &mut self.0 {
            if queue.due > now {
                continue;
            }
            queue.due = now + queue.pause;
            queue.pause = (queue.pause * 2).min(LAST_RETRY);
            due.extend(queue.pending.front().map(|status| StatusUpdate {
                framework_id: framework_id.clone(),
                status: status.clone(),
                latest_state: queue.pending.back().map(|latest| latest.state),
            }));
        }
        due
    }

    /// State of the update that waits for its acknowledgement, if one does.
    fn state_sent(&self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<i32> {
        let queue = self.0.get(&(framework_id.clone(), task_id.clone()))?;
        queue.pending.front().map(|status| status.state)
    }

    pub(super) fn retry_all(&mut self, now: Time) {
        for queue in self.0.values_mut() {
            queue.due = now;
            queue.pause = FIRST_RETRY;
        }
    }

    pub(super) fn forget_framework(&mut self, framework_id: &FrameworkId) {
        self.0.retain(|(framework, _), _| framework != framework_id);
    }

    pub(super) fn has_any_of(&self, framework_id: &FrameworkId) -> bool {
        self.0.keys().any(|(framework, _)| framework == framework_id)
    }

    pub(super) fn has_any_of_container(&self, of: &ContainerRef) -> bool {
        self.0.values().any(|queue| queue.kept.as_ref() == Some(of))
    }

    pub(super) fn push(
        &mut self,
        key: TaskKey,
        status: TaskStatus,
        task: Option<Task>,
        kept: Option<ContainerRef>,
        now: Time,
    ) {
        let queue = self.0.entry(key).or_insert_with(|| Queue {
            pending: VecDeque::new(),
            due: now,
            pause: FIRST_RETRY,
            task: None,
            kept,
        });
        queue.task = task.or(queue.task.take());
        queue.pending.push_back(status);
    }

    /// Drops the first update if it is the one acknowledged; the next goes out at once. Tells
    /// where its updates are kept, if so.
    fn acknowledge(&mut self, key: &TaskKey, uuid: &[u8], now: Time) -> Option<ContainerRef> {
        let queue = self.0.get_mut(key)?;
        let first = queue.pending.front().and_then(|status| status.uuid.as_ref());
        if first.is_none_or(|first| first != uuid) {
            // A late acknowledgement of an update that was sent twice.
            return None;
        }
        queue.pending.pop_front();
        queue.due = now;
        queue.pause = FIRST_RETRY;
        let kept = queue.kept.clone();
        if queue.pending.is_empty() {
            self.0.remove(key);
        }
        kept
    }
}

/// What the agent has to say of a task.
pub(super) struct Report {
    pub(super) state: TaskState,
    pub(super) source: Source,
    pub(super) reason: Option<Reason>,
    pub(super) message: String,
    pub(super) limitation: Option<TaskResourceLimitation>,
}

impl Report {
    /// What an executor says in the ordinary course of things.
    pub(super) fn plain(state: TaskState) -> Self {
        let source = Source::Executor;
        Self { state, source, reason: None, message: String::new(), limitation: None }
    }
}

impl Agent {
    /// Makes an update of the agent's own.
    pub(super) fn report(&mut self, key: &ContainerKey, task_id: &TaskId, report: Report) {
        let status = TaskStatus {
            task_id: task_id.clone(),
            state: report.state.into(),
            source: Some(report.source.into()),
            reason: report.reason.map(Into::into),
            message: Some(report.message).filter(|message| !message.is_empty()),
            uuid: Some(self.new_uuid()),
            limitation: report.limitation,
            ..TaskStatus::default()
        };
        self.enqueue(key, status);
    }

    /// Completes an update and begins to tell it to the master.
    pub(super) fn enqueue(&mut self, key: &ContainerKey, mut status: TaskStatus) {
        if self.frameworks.get(&key.0).is_none_or(|framework| framework.ending) {
            if let Some(container) = self.containers.get_mut(key)
                && status.state().is_terminal()
            {
                container.tasks.remove(&status.task_id);
            }
            return;
        }
        status.agent_id.clone_from(&self.settings.info.id);
        status.executor_id = Some(key.1.clone());
        status.timestamp.get_or_insert(self.now.as_secs_f64());
        let state = status.state();
        let task_id = status.task_id.clone();
        let mut task = None;
        let mut kept = None;
        let checkpoints = self.checkpoints(&key.0);
        if let Some(container) = self.containers.get_mut(key) {
            kept = checkpoints
                .then(|| ContainerRef { key: key.clone(), id: container.container_id.clone() });
            let own = status.container_status.get_or_insert_with(ContainerStatus::default);
            let id = ContainerId::from(container.container_id.as_str());
            own.container_id.get_or_insert(id);
            own.executor_pid = container.pid();
            if let Some(entry) = container.tasks.get_mut(&task_id) {
                entry.state = state;
            }
            if state.is_terminal() {
                container.tasks.remove(&task_id);
            }
        }
        if state.is_terminal() {
            task = Some(Task {
                task_id: task_id.clone(),
                framework_id: key.0.clone(),
                executor_id: Some(key.1.clone()),
                agent_id: self.settings.info.id.clone().unwrap_or_default(),
                state: state.into(),
                ..Task::default()
            });
        }
        if let Some(of) = kept.clone() {
            self.save(Record::Update { of, status: Box::new(status.clone()) });
        }
        self.updates.push((key.0.clone(), task_id), status, task, kept, self.now);
        if state.is_terminal() {
            self.adjust_limits(key);
        }
    }

    /// Tells that a task is not here.
    pub(super) fn deny_task(&mut self, framework_id: &FrameworkId, task_id: &TaskId) {
        if self.updates.0.contains_key(&(framework_id.clone(), task_id.clone())) {
            // It has ended, which the scheduler is about to hear.
            return;
        }
        if !self.frameworks.contains_key(framework_id) {
            return;
        }
        let key = (framework_id.clone(), task_id.value.as_str().into());
        let report = Report {
            state: TaskState::Lost,
            source: Source::Agent,
            reason: Some(Reason::Reconciliation),
            message: "Cannot kill a task the agent does not know".to_owned(),
            limitation: None,
        };
        self.report(&key, task_id, report);
    }

    pub(super) fn acknowledged(&mut self, acknowledge: &Acknowledge) {
        let key = (acknowledge.framework_id.clone(), acknowledge.task_id.clone());
        if let Some(of) = self.updates.acknowledge(&key, &acknowledge.uuid, self.now) {
            let (task_id, uuid) = (acknowledge.task_id.clone(), acknowledge.uuid.clone());
            self.save(Record::Acknowledged { of: of.clone(), task_id, uuid });
            let runs = self.containers.get(&of.key).is_some_and(|c| c.container_id == of.id);
            if !runs && !self.updates.has_any_of_container(&of) {
                self.save(Record::NoContainer(of));
            }
        }
        self.forget_quiet_framework(&acknowledge.framework_id);
    }

    /// Tasks told at a registration: those that run, and ended ones whose end is not acknowledged.
    /// Of each the newest state, and that of the last update its scheduler may have heard of.
    pub(super) fn known_tasks(&self) -> Vec<Task> {
        let running =
            self.containers.iter().flat_map(|((framework_id, executor_id), container)| {
                let sent = move |entry: &TaskEntry| {
                    let heard = (entry.state != TaskState::Staging).then(|| entry.state.into());
                    self.updates.state_sent(framework_id, &entry.info.task_id).or(heard)
                };
                container.tasks.values().map(move |entry| Task {
                    name: entry.info.name.clone(),
                    task_id: entry.info.task_id.clone(),
                    framework_id: framework_id.clone(),
                    executor_id: Some(executor_id.clone()),
                    agent_id: entry.info.agent_id.clone(),
                    state: entry.state.into(),
                    status_update_state: sent(entry),
                    resources: entry.info.resources.clone(),
                    labels: entry.info.labels.clone(),
                    discovery: entry.info.discovery.clone(),
                    container: entry.info.container.clone(),
                    ..Task::default()
                })
            });
        let ended = self.updates.0.values().filter_map(|queue| {
            let status_update_state = queue.pending.front().map(|status| status.state);
            Some(Task { status_update_state, ..queue.task.clone()? })
        });
        running.chain(ended).collect()
    }
}
