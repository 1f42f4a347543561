//! What an earlier agent left is taken over.

use std::collections::BTreeMap;

use mesos_api::{Task, TaskState};

use super::record::{ContainerRef, Recovered, RecoveredContainer, RecoveredTask};
use super::state::{Awaits, Container, Framework, Kind, Phase, Received, TaskEntry};
use super::updates::Report;
use super::{Action, Agent, Time};

impl Agent {
    /// Takes over what an earlier agent with the same folder left, before anything else happens.
    /// The containers are looked at by the shell, which then tells how those that are gone ended.
    pub fn recover(&mut self, recovered: Recovered, now: Time) -> Vec<Action> {
        self.now = now.max(self.now);
        if let Some(agent) = recovered.agent {
            self.settings.info.id = agent.id;
        }
        for info in recovered.frameworks {
            let Some(id) = info.id.clone() else { continue };
            self.frameworks.insert(id, Framework { info, ending: false });
        }
        for container in recovered.containers {
            self.recover_container(container);
        }
        std::mem::take(&mut self.actions)
    }

    fn recover_container(&mut self, found: RecoveredContainer) {
        if !self.frameworks.contains_key(&found.of.key.0) {
            return;
        }
        let deadline = self.now + self.settings.executor_reregistration_timeout;
        let mut container = Container {
            kind: if found.command { Kind::Command } else { Kind::Custom },
            executor: found.executor,
            container_id: found.of.id.clone(),
            directory: found.directory,
            phase: found.pid.map_or(Phase::Launching, |pid| Phase::Running { pid }),
            stream: None,
            tasks: BTreeMap::new(),
            deadline: None,
            awaits_subscription: Awaits::Nothing,
            docker: found.docker,
            received: Received::default(),
            overran: false,
        };
        if !found.command {
            container.deadline = Some(deadline);
            container.awaits_subscription = Awaits::Reregistration;
        }
        let mut silent = Vec::new();
        for task in found.tasks {
            for uuid in task.updates.iter().filter_map(|status| status.uuid.as_ref()) {
                container.received.note(&task.info.task_id, uuid);
            }
            let last = task.updates.last().map(mesos_api::TaskStatus::state);
            self.recover_updates(&found.of, &task);
            if last.is_some_and(TaskState::is_terminal) {
                continue;
            }
            if found.command {
                container.deadline = self.completion_deadline(&task);
                if last.is_none() && found.pid.is_some() {
                    silent.push(task.info.task_id.clone());
                }
            }
            let entry = TaskEntry {
                state: last.unwrap_or(TaskState::Staging),
                // What its executor did not get is sorted out when it subscribes.
                delivered: true,
                killed: last == Some(TaskState::Killing),
                ..TaskEntry::new(task.info)
            };
            container.tasks.insert(entry.info.task_id.clone(), entry);
        }
        if found.ended {
            return;
        }
        self.containers.insert(found.of.key.clone(), container);
        // The earlier agent started them and could not say so any more.
        for task_id in silent {
            for state in [TaskState::Starting, TaskState::Running] {
                self.report(&found.of.key, &task_id, Report::plain(state));
            }
        }
    }

    /// Time spent before the restart counts.
    fn completion_deadline(&self, task: &RecoveredTask) -> Option<Time> {
        let limit = task.info.max_completion_time.as_ref()?.to_duration();
        let started = task.updates.iter().find_map(|status| status.timestamp);
        let started = started.and_then(|at| Time::try_from_secs_f64(at).ok());
        Some(started.unwrap_or(self.now) + limit)
    }

    fn recover_updates(&mut self, of: &ContainerRef, task: &RecoveredTask) {
        let ended = |status: &mesos_api::TaskStatus| Task {
            name: task.info.name.clone(),
            task_id: status.task_id.clone(),
            framework_id: of.key.0.clone(),
            executor_id: Some(of.key.1.clone()),
            agent_id: self.settings.info.id.clone().unwrap_or_default(),
            state: status.state().into(),
            ..Task::default()
        };
        for status in task.pending() {
            let end = status.state().is_terminal().then(|| ended(&status));
            let key = (of.key.0.clone(), status.task_id.clone());
            self.updates.push(key, status, end, Some(of.clone()), self.now);
        }
    }
}
