//! Calls of custom executors.

use std::collections::BTreeSet;

use mesos_api::agent_protocol::{FrameworkMessage, ToMaster};
use mesos_api::executor::call::{self, Type};
use mesos_api::executor::{Call, Event as ExecutorEvent, event as executor_event};
use mesos_api::framework_info::CapabilityType;
use mesos_api::task_status::{Reason, Source};
use mesos_api::{ContainerId, TaskId, TaskState, TaskStatus};

use super::Agent;
use super::event::{Action, Answer, ContainerKey, RequestId, StreamId};
use super::launch::launch_event;
use super::state::Awaits;
use super::updates::Report;

/// Bytes of an update's uuid.
const UUID_LENGTH: usize = 16;

impl Agent {
    pub(super) fn executor_subscribed(
        &mut self,
        stream: StreamId,
        call: Call,
        answer_to: RequestId,
    ) {
        let key = (call.framework_id.clone(), call.executor_id.clone());
        if let Err(answer) = self.known_executor(&key) {
            self.act(Action::Answer { request: answer_to, answer });
            return;
        }
        self.act(Action::Answer { request: answer_to, answer: Answer::Subscribed });
        let info = self.settings.info.clone();
        let Some(framework) = self.frameworks.get(&key.0).map(|f| f.info.clone()) else { return };
        let Some(container) = self.containers.get_mut(&key) else { return };
        let old = container.stream.replace(stream);
        let awaited = std::mem::replace(&mut container.awaits_subscription, Awaits::Nothing);
        let subscribe = call.subscribe.unwrap_or_default();
        if !container.is_ending() {
            container.deadline = None;
        }
        let subscribed = executor_event::Subscribed {
            executor_info: container.executor.clone(),
            framework_info: framework,
            agent_info: info,
            container_id: Some(ContainerId::from(container.container_id.as_str())),
        };
        let mut launches = Vec::new();
        for entry in container.tasks.values_mut().filter(|entry| !entry.delivered) {
            entry.delivered = true;
            launches.push(entry.info.clone());
        }
        // They came while the executor was on its way back: it has them from now on.
        let new: BTreeSet<TaskId> = launches.iter().map(|task| task.task_id.clone()).collect();
        let ending = container.is_ending();
        if let Some(old) = old {
            self.streams.remove(&old);
            self.act(Action::CloseStream { stream: old });
        }
        self.streams.insert(stream, key.clone());
        let event = ExecutorEvent {
            r#type: Some(executor_event::Type::Subscribed.into()),
            subscribed: Some(subscribed),
            ..ExecutorEvent::default()
        };
        self.act(Action::ToExecutor { stream, event });
        for task in launches {
            self.act(Action::ToExecutor { stream, event: launch_event(task) });
        }
        if ending {
            let shutdown = Some(executor_event::Type::Shutdown.into());
            let event = ExecutorEvent { r#type: shutdown, ..ExecutorEvent::default() };
            self.act(Action::ToExecutor { stream, event });
        }
        for update in subscribe.unacknowledged_updates {
            if self.check_update(&key, &update.status).is_ok() {
                self.take_update(&key, update.status);
            }
        }
        if awaited == Awaits::Reregistration {
            let told = subscribe.unacknowledged_tasks.into_iter().map(|task| task.task_id);
            self.drop_undelivered(&key, &told.chain(new).collect());
        }
    }

    /// Tasks the former agent took and did not get to its executor are lost.
    fn drop_undelivered(&mut self, key: &ContainerKey, has: &BTreeSet<TaskId>) {
        let Some(container) = self.containers.get(key) else { return };
        let missing: Vec<_> = container
            .tasks
            .values()
            .filter(|entry| entry.state == TaskState::Staging)
            .map(|entry| entry.info.task_id.clone())
            .filter(|task_id| !has.contains(task_id))
            .collect();
        let aware = self
            .frameworks
            .get(&key.0)
            .is_some_and(|framework| framework.info.has_capability(CapabilityType::PartitionAware));
        for task_id in missing {
            let report = Report {
                state: if aware { TaskState::Dropped } else { TaskState::Lost },
                source: Source::Agent,
                reason: Some(Reason::AgentRestarted),
                message: "Task launched during agent restart".to_owned(),
                limitation: None,
            };
            self.report(key, &task_id, report);
        }
    }

    pub(super) fn executor_closed(&mut self, stream: StreamId) {
        let Some(key) = self.streams.remove(&stream) else { return };
        let registration = self.now + self.settings.executor_registration_timeout;
        if let Some(container) = self.containers.get_mut(&key)
            && container.stream == Some(stream)
        {
            container.stream = None;
            // It may subscribe again, or is about to exit.
            if !container.is_ending() {
                container.deadline = Some(registration);
                container.awaits_subscription = Awaits::Registration;
            }
        }
    }

    fn known_executor(&self, key: &ContainerKey) -> Result<(), Answer> {
        if !self.frameworks.contains_key(&key.0) {
            return Err(Answer::Bad("Framework cannot be found".to_owned()));
        }
        match self.containers.get(key) {
            Some(container) if container.is_custom() => Ok(()),
            Some(_) | None => Err(Answer::Bad("Executor cannot be found".to_owned())),
        }
    }

    pub(super) fn executor_call(&mut self, call: Call) -> Answer {
        let r#type = call.r#type();
        if r#type == Type::Heartbeat {
            return Answer::Accepted;
        }
        let key = (call.framework_id, call.executor_id);
        if let Err(answer) = self.known_executor(&key) {
            return answer;
        }
        let subscribed =
            self.containers.get(&key).is_some_and(|container| container.stream.is_some());
        if !subscribed {
            return Answer::Forbidden("Executor is not subscribed".to_owned());
        }
        match r#type {
            Type::Update => {
                let call::Update { status } = call.update.unwrap_or_default();
                if let Err(problem) = self.check_update(&key, &status) {
                    return Answer::Bad(format!("Failed to validate executor::Call: {problem}"));
                }
                self.take_update(&key, status);
            }
            Type::Message => {
                let data = call.message.unwrap_or_default().data;
                let message = FrameworkMessage { framework_id: key.0, executor_id: key.1, data };
                self.tell_master(ToMaster { message: Some(message), ..ToMaster::default() });
            }
            Type::Subscribe | Type::Heartbeat | Type::Unknown => {}
        }
        Answer::Accepted
    }

    fn check_update(&self, key: &ContainerKey, status: &TaskStatus) -> Result<(), String> {
        match &status.uuid {
            None => return Err("Expecting 'uuid' to be present".to_owned()),
            Some(uuid) if uuid.len() != UUID_LENGTH => {
                return Err("'uuid' is not 16 bytes long".to_owned());
            }
            Some(_) => {}
        }
        if status.executor_id.as_ref().is_some_and(|id| *id != key.1) {
            return Err("ExecutorID in Call does not match ExecutorID in TaskStatus".to_owned());
        }
        if status.source.is_some() && status.source() != Source::Executor {
            return Err(format!(
                "Received Call from executor {} with invalid source, expecting 'SOURCE_EXECUTOR'",
                key.1
            ));
        }
        if status.state() == TaskState::Staging {
            return Err("Received TASK_STAGING from executor which is not allowed".to_owned());
        }
        Ok(())
    }

    /// The agent is responsible for the update from here on, so the executor may forget it.
    fn take_update(&mut self, key: &ContainerKey, mut status: TaskStatus) {
        status.source = Some(Source::Executor.into());
        let acknowledged = executor_event::Acknowledged {
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap_or_default(),
        };
        let uuid = status.uuid.clone().unwrap_or_default();
        let container = self.containers.get_mut(key);
        if container.is_none_or(|container| container.received.note(&status.task_id, &uuid)) {
            self.enqueue(key, status);
        }
        if let Some(stream) = self.containers.get(key).and_then(|container| container.stream) {
            let event = ExecutorEvent {
                r#type: Some(executor_event::Type::Acknowledged.into()),
                acknowledged: Some(acknowledged),
                ..ExecutorEvent::default()
            };
            self.act(Action::ToExecutor { stream, event });
        }
    }
}
