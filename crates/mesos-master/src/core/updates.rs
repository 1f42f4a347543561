//! News of tasks: made here, or brought by agents and passed on.

use mesos_api::agent_protocol::{ExecutorExited, FrameworkMessage, StatusUpdate};
use mesos_api::scheduler::{Event, event};
use mesos_api::task_status::{Reason, Source};
use mesos_api::{AgentId, ExecutorId, FrameworkId, OperationStatus, TaskId, TaskState, TaskStatus};

use super::Master;
use crate::allocator::Time;

/// A status the master makes itself: no uuid, so nobody acknowledges it.
pub(super) struct OwnStatus(TaskStatus);

impl OwnStatus {
    pub(super) fn at(mut self, agent_id: &AgentId) -> Self {
        self.0.agent_id = Some(agent_id.clone());
        self
    }

    pub(super) fn since(mut self, unreachable: Time) -> Self {
        let nanoseconds = i64::try_from(unreachable.as_nanos()).unwrap_or(i64::MAX);
        self.0.unreachable_time = Some(mesos_api::TimeInfo { nanoseconds });
        self
    }

    pub(super) fn done(self) -> TaskStatus {
        self.0
    }
}

impl Master {
    pub(super) fn status(
        &self,
        task_id: &TaskId,
        state: TaskState,
        reason: Option<Reason>,
        message: &str,
    ) -> OwnStatus {
        OwnStatus(TaskStatus {
            task_id: task_id.clone(),
            state: state.into(),
            message: Some(message.to_owned()),
            source: Some(Source::Master.into()),
            reason: reason.map(Into::into),
            timestamp: Some(self.now.as_secs_f64()),
            ..TaskStatus::default()
        })
    }

    pub(super) fn send_status(&mut self, id: &FrameworkId, status: TaskStatus) {
        let event = Event {
            r#type: Some(event::Type::Update.into()),
            update: Some(event::Update { status }),
            ..Event::default()
        };
        self.send(id, event);
    }

    /// An agent's update is noted and passed on; the scheduler's acknowledgement goes back later.
    pub(super) fn status_update(&mut self, agent_id: &AgentId, update: StatusUpdate) {
        let latest = update.latest_state.map(|_| update.latest_state());
        let StatusUpdate { framework_id, mut status, .. } = update;
        let told = status.state();
        self.counters.status_updates += 1;
        self.note_drain(agent_id, &framework_id, &mut status);
        // Draining may have changed what the update tells, and so what is the newest.
        let latest = latest.filter(|latest| *latest != told).unwrap_or(status.state());
        status.agent_id.get_or_insert_with(|| agent_id.clone());
        let Some(framework) = self.frameworks.get_mut(&framework_id) else {
            self.counters.invalid_status_updates += 1;
            if self.removed_frameworks.contains(&framework_id) {
                self.shutdown_framework_on(agent_id, &framework_id);
            }
            return;
        };
        match framework.tasks.get_mut(&status.task_id) {
            Some(record) if record.task.agent_id == *agent_id => {
                record.note(&status, latest);
                record.unacknowledged = status.uuid.is_some().then(|| Box::new(status.clone()));
                let ended = record.state().is_terminal();
                let (task_id, state) = (status.task_id.clone(), record.task.state());
                self.publish_task_updated(&framework_id, &status, state);
                self.send_status(&framework_id, status);
                if ended {
                    self.release_task(&framework_id, &task_id);
                }
            }
            Some(_) | None => {
                self.counters.invalid_status_updates += 1;
                self.send_status(&framework_id, status);
            }
        }
    }

    /// Resources of an ended task are free at once, though the end is not acknowledged yet.
    pub(super) fn release_task(&mut self, id: &FrameworkId, task_id: &TaskId) {
        let record = self.frameworks.get_mut(id).and_then(|f| f.tasks.get_mut(task_id));
        let Some(record) = record else { return };
        let resources = std::mem::take(&mut record.resources);
        let agent_id = record.task.agent_id.clone();
        let nothing_to_acknowledge = record.unacknowledged.is_none();
        if !resources.is_empty() {
            *self.counters.ended_tasks.entry(record.state().name()).or_default() += 1;
        }
        self.recover_used(id, &agent_id, &resources);
        if nothing_to_acknowledge {
            self.complete_task(id, task_id);
        }
    }

    /// Ends a task by the master's own word.
    pub(super) fn end_task(&mut self, id: &FrameworkId, status: TaskStatus) {
        let task_id = status.task_id.clone();
        let record = self.frameworks.get_mut(id).and_then(|f| f.tasks.get_mut(&task_id));
        let Some(record) = record else { return };
        if record.state().is_terminal() {
            record.unacknowledged = None;
        } else {
            record.note(&status, status.state());
            record.unacknowledged = None;
            let state = record.task.state();
            self.publish_task_updated(id, &status, state);
            self.send_status(id, status);
        }
        self.release_task(id, &task_id);
    }

    /// The executor's tasks are reported by the agent; here its own resources come back.
    pub(super) fn executor_exited(&mut self, agent_id: &AgentId, exited: ExecutorExited) {
        let ExecutorExited { framework_id, executor_id, status } = exited;
        self.release_executor(&framework_id, agent_id, &executor_id);
        let failure = event::Failure {
            agent_id: Some(agent_id.clone()),
            executor_id: Some(executor_id),
            status,
        };
        self.send_failure(&framework_id, failure);
    }

    pub(super) fn release_executor(
        &mut self,
        id: &FrameworkId,
        agent_id: &AgentId,
        executor_id: &ExecutorId,
    ) {
        let key = (agent_id.clone(), executor_id.clone());
        let record = self.frameworks.get_mut(id).and_then(|f| f.executors.remove(&key));
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.executors.remove(&(id.clone(), executor_id.clone()));
        }
        if let Some(record) = record {
            self.recover_used(id, agent_id, &record.resources);
        }
    }

    pub(super) fn send_failure(&mut self, id: &FrameworkId, failure: event::Failure) {
        let event = Event {
            r#type: Some(event::Type::Failure.into()),
            failure: Some(failure),
            ..Event::default()
        };
        self.send(id, event);
    }

    pub(super) fn send_operation_status(&mut self, id: &FrameworkId, status: OperationStatus) {
        let event = Event {
            r#type: Some(event::Type::UpdateOperationStatus.into()),
            update_operation_status: Some(event::UpdateOperationStatus { status }),
            ..Event::default()
        };
        self.send(id, event);
    }

    pub(super) fn executor_message(&mut self, agent_id: &AgentId, message: FrameworkMessage) {
        let inner = event::Message {
            agent_id: agent_id.clone(),
            executor_id: message.executor_id,
            data: message.data,
        };
        let event = Event {
            r#type: Some(event::Type::Message.into()),
            message: Some(inner),
            ..Event::default()
        };
        self.send(&message.framework_id, event);
    }
}
