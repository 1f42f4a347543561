//! Containers start and end, and what is told of it.

use mesos_api::agent_protocol::{ExecutorExited, ToMaster};
use mesos_api::task_status::{Reason, Source};
use mesos_api::{Resource, TaskResourceLimitation, TaskState};

use super::Agent;
use super::event::{Action, ContainerKey, Ending, Limitation};
use super::record::{ContainerRef, Record};
use super::state::{Awaits, Container, Kind, Phase, TaskEntry};
use super::updates::Report;

/// Ended executors remembered for `/state`.
const MAXIMUM_COMPLETED: usize = 150;

impl Agent {
    pub(super) fn launched(&mut self, key: &ContainerKey, pid: u32) {
        let registration = self.now + self.settings.executor_registration_timeout;
        let now = self.now;
        let Some(container) = self.containers.get_mut(key) else { return };
        if container.is_ending() {
            container.phase = Phase::Ending { pid: Some(pid) };
            return;
        }
        container.phase = Phase::Running { pid };
        if container.is_custom() {
            container.deadline = Some(registration);
            container.awaits_subscription = Awaits::Registration;
            return;
        }
        let first = container.tasks.values().next().map(|entry| entry.info.clone());
        let Some(task) = first else { return };
        container.deadline = task.max_completion_time.as_ref().map(|time| now + time.to_duration());
        for state in [TaskState::Starting, TaskState::Running] {
            self.report(key, &task.task_id, Report::plain(state));
        }
    }

    pub(super) fn launch_failed(&mut self, key: &ContainerKey, message: &str) {
        let Some(container) = self.containers.get(key) else { return };
        let custom = container.is_custom();
        let tasks: Vec<_> = container.tasks.values().cloned().collect();
        for entry in tasks {
            let report = if entry.killed {
                Report {
                    state: TaskState::Killed,
                    source: Source::Agent,
                    reason: Some(Reason::TaskKilledDuringLaunch),
                    message: "Task killed during its launch".to_owned(),
                    limitation: None,
                }
            } else {
                Report {
                    state: TaskState::Failed,
                    source: Source::Agent,
                    reason: Some(Reason::ContainerLaunchFailed),
                    message: format!("Failed to launch container: {message}"),
                    limitation: None,
                }
            };
            self.report(key, &entry.info.task_id, report);
        }
        if custom {
            self.report_exit(key, None);
        }
        self.remove_container(key);
    }

    pub(super) fn exited(&mut self, key: &ContainerKey, ending: &Ending) {
        let Some(container) = self.containers.get(key) else { return };
        let container = container.clone();
        for entry in container.tasks.values() {
            let report = match container.kind {
                Kind::Command => command_end(entry, &container, ending),
                Kind::Custom => executor_end(entry, &container, ending),
            };
            self.report(key, &entry.info.task_id, report);
        }
        if container.is_custom() {
            self.report_exit(key, ending.status);
        }
        self.remove_container(key);
    }

    fn report_exit(&mut self, key: &ContainerKey, status: Option<i32>) {
        let exited =
            ExecutorExited { framework_id: key.0.clone(), executor_id: key.1.clone(), status };
        self.tell_master(ToMaster { executor_exited: Some(exited), ..ToMaster::default() });
    }

    fn remove_container(&mut self, key: &ContainerKey) {
        let view = self.executor_view(key);
        let checkpoints = self.checkpoints(&key.0);
        let Some(container) = self.containers.remove(key) else { return };
        if let Some(stream) = container.stream {
            self.streams.remove(&stream);
            self.act(Action::CloseStream { stream });
        }
        self.completed.extend(view);
        if self.completed.len() > MAXIMUM_COMPLETED {
            self.completed.remove(0);
        }
        if checkpoints {
            let of = ContainerRef { key: key.clone(), id: container.container_id };
            let record = if self.updates.has_any_of_container(&of) {
                Record::Ended(of)
            } else {
                Record::NoContainer(of)
            };
            self.save(record);
        }
        self.forget_quiet_framework(&key.0);
    }
}

/// How the end of a command's process is told.
fn command_end(entry: &TaskEntry, container: &Container, ending: &Ending) -> Report {
    if let Some(limitation) = ending.limitation.as_ref().filter(|_| !entry.killed) {
        return limited(limitation);
    }
    let Some(status) = ending.status else {
        return Report {
            state: if entry.killed { TaskState::Killed } else { TaskState::Failed },
            source: Source::Agent,
            reason: Some(Reason::ExecutorTerminated),
            message: "The command ended while the agent was away, and how is not known".to_owned(),
            limitation: None,
        };
    };
    let (state, reason) = if container.overran {
        (TaskState::Failed, Some(Reason::MaxCompletionTimeReached))
    } else if entry.killed {
        (TaskState::Killed, None)
    } else if status == 0 {
        (TaskState::Finished, None)
    } else {
        // A command that fails by itself has no reason in Mesos.
        (TaskState::Failed, None)
    };
    let what = if container.docker { "Container" } else { "Command" };
    let message = format!("{what} {}", describe(status));
    Report { state, source: Source::Executor, reason, message, limitation: None }
}

/// How the end of an executor is told of a task it had.
fn executor_end(entry: &TaskEntry, container: &Container, ending: &Ending) -> Report {
    if let Some(limitation) = ending.limitation.as_ref().filter(|_| !entry.killed) {
        return limited(limitation);
    }
    let reason = match container.awaits_subscription {
        Awaits::Registration if container.is_ending() => Reason::ExecutorRegistrationTimeout,
        Awaits::Reregistration if container.is_ending() => Reason::ExecutorReregistrationTimeout,
        Awaits::Nothing | Awaits::Registration | Awaits::Reregistration => {
            Reason::ExecutorTerminated
        }
    };
    let how = ending.status.map_or_else(
        || "it ended while the agent was away".to_owned(),
        |status| format!("it {}", describe(status)),
    );
    Report {
        state: if entry.killed { TaskState::Killed } else { TaskState::Failed },
        source: Source::Agent,
        reason: Some(reason),
        message: format!("Executor terminated: {how}"),
        limitation: None,
    }
}

fn limited(limitation: &Limitation) -> Report {
    let memory = Resource::scalar_of("mem", limitation.memory_mib);
    Report {
        state: TaskState::Failed,
        source: Source::Agent,
        reason: Some(Reason::ContainerLimitationMemory),
        message: limitation.message.clone(),
        limitation: Some(TaskResourceLimitation { resources: vec![memory] }),
    }
}

/// A raw wait status in Mesos' words.
fn describe(status: i32) -> String {
    let signal = status & 0x7f;
    if signal == 0 {
        return format!("exited with status {}", (status >> 8) & 0xff);
    }
    let core = if status & 0x80 != 0 { " (core dumped)" } else { "" };
    format!("terminated with signal {}{core}", signal_name(signal))
}

/// As `strsignal` names them.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        11 => "Segmentation fault",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        other => return format!("Signal {other}"),
    };
    name.to_owned()
}
