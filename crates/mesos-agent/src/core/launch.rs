//! Tasks arrive, containers start and end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mesos_api::agent_protocol::{ExecutorExited, ToMaster};
use mesos_api::executor::{Event as ExecutorEvent, event as executor_event};
use mesos_api::task_status::{Reason, Source};
use mesos_api::{
    CommandInfo, ExecutorId, ExecutorInfo, FrameworkInfo, TaskGroupInfo, TaskInfo, TaskState,
    container_info,
};

use super::environment::{Owner, environment};
use super::event::{Action, ContainerKey, LaunchSpec, Program};
use super::state::{Container, Framework, Kind, Phase, TaskEntry};
use super::updates::Report;
use super::{Agent, Settings};

/// Ended executors remembered for `/state`.
const MAXIMUM_COMPLETED: usize = 150;

impl Agent {
    pub(super) fn run_task(&mut self, framework: FrameworkInfo, task: TaskInfo) {
        let Some(framework_id) = framework.id.clone() else { return };
        match self.frameworks.get_mut(&framework_id) {
            Some(known) => known.info = framework,
            None => {
                let known = Framework { info: framework, ending: false };
                self.frameworks.insert(framework_id.clone(), known);
            }
        }
        let executor_id = match &task.executor {
            Some(executor) => executor.executor_id.clone(),
            None => ExecutorId::from(task.task_id.value.as_str()),
        };
        let key = (framework_id, executor_id);
        if let Some(problem) = why_not_here(&task) {
            self.report_launch_failure(&key, &task, &problem);
            return;
        }
        match self.containers.get(&key) {
            None => self.start_container(key, task),
            Some(container) if container.is_custom() && !container.is_ending() => {
                self.give_task(&key, task);
            }
            Some(_) => {
                let message = "the executor of this name is ending, or is another task";
                self.report_launch_failure(&key, &task, message);
            }
        }
    }

    /// Task groups need nested containers.
    pub(super) fn refuse_group(&mut self, framework: FrameworkInfo, group: TaskGroupInfo) {
        let Some(framework_id) = framework.id.clone() else { return };
        self.frameworks
            .entry(framework_id.clone())
            .or_insert_with(|| Framework { info: framework, ending: false });
        for task in group.tasks {
            let key = (framework_id.clone(), ExecutorId::from("default"));
            self.report_launch_failure(
                &key,
                &task,
                "this agent has no default executor for task groups",
            );
        }
    }

    fn report_launch_failure(&mut self, key: &ContainerKey, task: &TaskInfo, problem: &str) {
        let report = Report {
            state: TaskState::Failed,
            source: Source::Agent,
            reason: Some(Reason::ContainerLaunchFailed),
            message: format!("Failed to launch container: {problem}"),
        };
        self.report(key, &task.task_id, report);
    }

    fn start_container(&mut self, key: ContainerKey, task: TaskInfo) {
        let Some(framework) = self.frameworks.get(&key.0) else { return };
        let (kind, executor, command) = match &task.executor {
            Some(executor) => {
                (Kind::Custom, executor.clone(), executor.command.clone().unwrap_or_default())
            }
            None => {
                let command = task.command.clone().unwrap_or_default();
                (Kind::Command, command_executor(&key, &task, &command), command)
            }
        };
        let container_id = hyphenated((self.settings.new_uuid)());
        let directory = sandbox(&self.settings, &key, &container_id);
        let owner = Owner {
            framework: &framework.info,
            executor_id: &key.1,
            task: Some(&task),
            command: &command,
            directory: &directory,
        };
        let spec = LaunchSpec {
            container: key.clone(),
            container_id: container_id.clone(),
            directory: directory.clone(),
            uris: command.uris.clone(),
            program: program(&command),
            environment: environment(&self.settings, &owner),
            user: command.user.clone().or_else(|| Some(framework.info.user.clone())),
        };
        let container = Container {
            kind,
            executor,
            container_id,
            directory,
            phase: Phase::Launching,
            stream: None,
            tasks: BTreeMap::new(),
            deadline: None,
            awaits_subscription: false,
            overran: false,
        };
        self.containers.insert(key.clone(), container);
        self.give_task(&key, task);
        self.act(Action::Launch(Box::new(spec)));
    }

    /// Hands a task to its executor, or keeps it until that subscribes.
    fn give_task(&mut self, key: &ContainerKey, task: TaskInfo) {
        let Some(container) = self.containers.get_mut(key) else { return };
        let stream = container.stream;
        let entry = TaskEntry {
            info: task.clone(),
            state: TaskState::Staging,
            delivered: stream.is_some(),
            killed: false,
        };
        container.tasks.insert(task.task_id.clone(), entry);
        if let Some(stream) = stream {
            self.act(Action::ToExecutor { stream, event: launch_event(task) });
        }
    }

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
            container.awaits_subscription = true;
            return;
        }
        let first = container.tasks.values().next().map(|entry| entry.info.clone());
        let Some(task) = first else { return };
        container.deadline = task.max_completion_time.as_ref().map(|time| now + time.to_duration());
        for state in [TaskState::Starting, TaskState::Running] {
            let report =
                Report { state, source: Source::Executor, reason: None, message: String::new() };
            self.report(key, &task.task_id, report);
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
                }
            } else {
                Report {
                    state: TaskState::Failed,
                    source: Source::Agent,
                    reason: Some(Reason::ContainerLaunchFailed),
                    message: format!("Failed to launch container: {message}"),
                }
            };
            self.report(key, &entry.info.task_id, report);
        }
        if custom {
            self.report_exit(key, None);
        }
        self.remove_container(key);
    }

    pub(super) fn exited(&mut self, key: &ContainerKey, status: i32) {
        let Some(container) = self.containers.get(key) else { return };
        let container = container.clone();
        match container.kind {
            Kind::Command => {
                for entry in container.tasks.values() {
                    self.report_command_end(key, entry, &container, status);
                }
            }
            Kind::Custom => {
                for entry in container.tasks.values() {
                    let report = Report {
                        state: if entry.killed { TaskState::Killed } else { TaskState::Failed },
                        source: Source::Agent,
                        reason: Some(if container.awaits_subscription && container.is_ending() {
                            Reason::ExecutorRegistrationTimeout
                        } else {
                            Reason::ExecutorTerminated
                        }),
                        message: format!("Executor terminated: it {}", describe(status)),
                    };
                    self.report(key, &entry.info.task_id, report);
                }
                self.report_exit(key, Some(status));
            }
        }
        self.remove_container(key);
    }

    fn report_command_end(
        &mut self,
        key: &ContainerKey,
        entry: &TaskEntry,
        container: &Container,
        status: i32,
    ) {
        let (state, reason) = if container.overran {
            (TaskState::Failed, Some(Reason::MaxCompletionTimeReached))
        } else if entry.killed {
            (TaskState::Killed, None)
        } else if status == 0 {
            (TaskState::Finished, None)
        } else {
            (TaskState::Failed, Some(Reason::CommandExecutorFailed))
        };
        let report = Report {
            state,
            source: Source::Executor,
            // A command that fails by itself has no reason in Mesos.
            reason: reason.filter(|reason| *reason != Reason::CommandExecutorFailed),
            message: format!("Command {}", describe(status)),
        };
        self.report(key, &entry.info.task_id, report);
    }

    fn report_exit(&mut self, key: &ContainerKey, status: Option<i32>) {
        let exited =
            ExecutorExited { framework_id: key.0.clone(), executor_id: key.1.clone(), status };
        self.tell_master(ToMaster { executor_exited: Some(exited), ..ToMaster::default() });
    }

    fn remove_container(&mut self, key: &ContainerKey) {
        let view = self.executor_view(key);
        let Some(container) = self.containers.remove(key) else { return };
        if let Some(stream) = container.stream {
            self.streams.remove(&stream);
            self.act(Action::CloseStream { stream });
        }
        self.completed.extend(view);
        if self.completed.len() > MAXIMUM_COMPLETED {
            self.completed.remove(0);
        }
        let alone = !self.containers.keys().any(|(framework, _)| *framework == key.0);
        let quiet = !self.updates.has_any_of(&key.0);
        if alone && quiet {
            self.frameworks.remove(&key.0);
        }
    }
}

/// What this agent cannot do for a task.
fn why_not_here(task: &TaskInfo) -> Option<String> {
    let executor = task.executor.as_ref();
    let container = task.container.as_ref().or(executor.and_then(|e| e.container.as_ref()))?;
    if container.r#type() == container_info::Type::Docker {
        return Some("this agent has no Docker containerizer".to_owned());
    }
    let image = container.mesos.as_ref().and_then(|mesos| mesos.image.as_ref());
    image.map(|_| "this agent cannot provision container images".to_owned())
}

fn command_executor(key: &ContainerKey, task: &TaskInfo, command: &CommandInfo) -> ExecutorInfo {
    let text = command.value.clone().unwrap_or_default();
    ExecutorInfo {
        executor_id: key.1.clone(),
        framework_id: Some(key.0.clone()),
        command: Some(command.clone()),
        name: Some(format!("Command Executor (Task: {}) (Command: {text})", task.task_id)),
        source: Some(task.task_id.value.clone()),
        labels: task.labels.clone(),
        ..ExecutorInfo::default()
    }
}

fn program(command: &CommandInfo) -> Program {
    let value = command.value.clone().unwrap_or_default();
    if command.shell() {
        Program::Shell(value)
    } else {
        Program::Direct { path: value, arguments: command.arguments.clone() }
    }
}

pub(super) fn launch_event(task: TaskInfo) -> ExecutorEvent {
    ExecutorEvent {
        r#type: Some(executor_event::Type::Launch.into()),
        launch: Some(executor_event::Launch { task }),
        ..ExecutorEvent::default()
    }
}

/// `<work_dir>/slaves/<S>/frameworks/<F>/executors/<E>/runs/<C>`.
fn sandbox(settings: &Settings, key: &ContainerKey, container_id: &str) -> PathBuf {
    let agent_id = settings.info.id.clone().unwrap_or_default();
    settings
        .work_dir
        .join("slaves")
        .join(plain(&agent_id.value))
        .join("frameworks")
        .join(plain(&key.0.value))
        .join("executors")
        .join(plain(&key.1.value))
        .join("runs")
        .join(container_id)
}

/// An id as the name of a folder; the master checked it, but it must not leave its place.
fn plain(id: &str) -> &Path {
    let path = Path::new(id);
    let single = path.components().count() == 1 && !id.contains('/') && id != ".." && id != ".";
    if single { path } else { Path::new("_") }
}

fn hyphenated(uuid: [u8; 16]) -> String {
    let hex: Vec<String> = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex[from..to].concat();
    format!("{}-{}-{}-{}-{}", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 16))
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
