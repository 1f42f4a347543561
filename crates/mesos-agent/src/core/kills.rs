//! Kills and shutdowns: politely first, then for sure.

use std::time::Duration;

use mesos_api::executor::{Event as ExecutorEvent, event as executor_event};
use mesos_api::framework_info::CapabilityType;
use mesos_api::task_status::Source;
use mesos_api::{FrameworkId, KillPolicy, TaskId, TaskState};

use super::Agent;
use super::event::{Action, ContainerKey, Signal};
use super::state::{Awaits, Kind, Phase};
use super::updates::Report;

/// Time between SIGTERM and SIGKILL, if no kill policy says otherwise.
const DEFAULT_KILL_GRACE: Duration = Duration::from_secs(3);

impl Agent {
    pub(super) fn kill_task(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        policy: Option<&KillPolicy>,
    ) {
        let found = self.containers.iter_mut().find(|((framework, _), container)| {
            framework == framework_id && container.tasks.contains_key(task_id)
        });
        let Some((key, container)) = found else {
            self.deny_task(framework_id, task_id);
            return;
        };
        let key = key.clone();
        let Some(entry) = container.tasks.get_mut(task_id) else { return };
        let again = std::mem::replace(&mut entry.killed, true);
        let delivered = entry.delivered;
        let policy = policy.or(entry.info.kill_policy.as_ref()).cloned();
        match (container.kind, container.stream) {
            (Kind::Command, _) => self.kill_command(&key, task_id, policy.as_ref(), again),
            (Kind::Custom, Some(stream)) if delivered => {
                let kill = executor_event::Kill { task_id: task_id.clone(), kill_policy: policy };
                let event = ExecutorEvent {
                    r#type: Some(executor_event::Type::Kill.into()),
                    kill: Some(kill),
                    ..ExecutorEvent::default()
                };
                self.act(Action::ToExecutor { stream, event });
            }
            (Kind::Custom, _) => self.kill_queued(&key, task_id),
        }
    }

    /// A task the executor was never given ends at once; an executor without other tasks with it.
    fn kill_queued(&mut self, key: &ContainerKey, task_id: &TaskId) {
        let report = Report {
            state: TaskState::Killed,
            source: Source::Agent,
            reason: Some(mesos_api::task_status::Reason::TaskKilledDuringLaunch),
            message: "Killed before delivery to the executor".to_owned(),
            limitation: None,
        };
        self.report(key, task_id, report);
        if self.containers.get(key).is_some_and(|container| container.tasks.is_empty()) {
            self.destroy(key);
        }
    }

    fn kill_command(
        &mut self,
        key: &ContainerKey,
        task_id: &TaskId,
        policy: Option<&KillPolicy>,
        again: bool,
    ) {
        let grace = grace_of(policy).unwrap_or(DEFAULT_KILL_GRACE);
        let aware = self.frameworks.get(&key.0).is_some_and(|framework| {
            framework.info.has_capability(CapabilityType::TaskKillingState)
        });
        let running =
            self.containers.get(key).is_some_and(|c| matches!(c.phase, Phase::Running { .. }));
        if aware && running && !again {
            self.report(key, task_id, Report::plain(TaskState::Killing));
        }
        self.end_container(key, grace);
    }

    /// Sends SIGTERM, and SIGKILL after the grace period. A second time it may only get shorter.
    fn end_container(&mut self, key: &ContainerKey, grace: Duration) {
        let until = self.now + grace;
        let Some(container) = self.containers.get_mut(key) else { return };
        let pid = container.pid();
        if container.is_ending() {
            container.deadline = Some(container.deadline.map_or(until, |old| old.min(until)));
            return;
        }
        container.phase = Phase::Ending { pid };
        container.deadline = Some(until);
        container.awaits_subscription = Awaits::Nothing;
        self.act(Action::Signal { container: key.clone(), signal: Signal::Terminate });
    }

    /// Kills a container now.
    pub(super) fn destroy(&mut self, key: &ContainerKey) {
        let Some(container) = self.containers.get_mut(key) else { return };
        let pid = container.pid();
        container.phase = Phase::Ending { pid };
        container.deadline = None;
        self.act(Action::Signal { container: key.clone(), signal: Signal::Kill });
    }

    /// Asks an executor to end, and kills it after its grace period.
    pub(super) fn shutdown_container(&mut self, key: &ContainerKey) {
        let default = self.settings.executor_shutdown_grace_period;
        let Some(container) = self.containers.get_mut(key) else { return };
        if container.kind == Kind::Command {
            container.tasks.values_mut().for_each(|entry| entry.killed = true);
            let policy = container.tasks.values().find_map(|entry| entry.info.kill_policy.clone());
            self.end_container(key, grace_of(policy.as_ref()).unwrap_or(DEFAULT_KILL_GRACE));
            return;
        }
        let grace = container.executor.shutdown_grace_period.as_ref();
        let grace = grace.map_or(default, mesos_api::DurationInfo::to_duration);
        match container.stream {
            Some(stream) if !container.is_ending() => {
                let pid = container.pid();
                container.phase = Phase::Ending { pid };
                container.deadline = Some(self.now + grace);
                let shutdown = Some(executor_event::Type::Shutdown.into());
                let event = ExecutorEvent { r#type: shutdown, ..ExecutorEvent::default() };
                self.act(Action::ToExecutor { stream, event });
            }
            Some(_) => {}
            None => self.end_container(key, grace),
        }
    }

    pub(super) fn shutdown_framework(&mut self, framework_id: &FrameworkId) {
        self.updates.forget_framework(framework_id);
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        framework.ending = true;
        let keys: Vec<_> =
            self.containers.keys().filter(|(id, _)| id == framework_id).cloned().collect();
        if keys.is_empty() {
            self.forget_quiet_framework(framework_id);
        }
        for key in keys {
            self.shutdown_container(&key);
        }
    }

    pub(super) fn enforce_deadlines(&mut self) {
        let now = self.now;
        let over: Vec<_> = self
            .containers
            .iter()
            .filter(|(_, container)| container.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            let Some(container) = self.containers.get_mut(&key) else { continue };
            if container.kind == Kind::Command && !container.is_ending() {
                // Its time to complete is over.
                container.overran = true;
                self.end_container(&key, DEFAULT_KILL_GRACE);
                continue;
            }
            self.destroy(&key);
        }
    }
}

fn grace_of(policy: Option<&KillPolicy>) -> Option<Duration> {
    policy?.grace_period.as_ref().map(mesos_api::DurationInfo::to_duration)
}
