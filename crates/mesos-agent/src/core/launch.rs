//! Tasks arrive: they start a container, or go to the executor of one.

use std::collections::BTreeMap;

use mesos_api::environment::Variable;
use mesos_api::executor::{Event as ExecutorEvent, event as executor_event};
use mesos_api::task_status::{Reason, Source};
use mesos_api::{
    CommandInfo, ContainerInfo, ExecutorId, ExecutorInfo, FrameworkInfo, Resources, TaskGroupInfo,
    TaskInfo, TaskState, container_info,
};

use super::environment::{Owner, environment};
use super::event::{Action, ContainerKey, LaunchSpec, Program};
use super::limits::limits_of;
use super::record::{ContainerRef, Record};
use super::state::{Awaits, Container, Framework, Kind, Phase, Received, TaskEntry};
use super::updates::Report;
use super::{Agent, Settings};
use crate::paths::Paths;

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
        // An executor of the framework runs the checks of its tasks itself.
        if let Some(problem) = why_no_checks(&task).filter(|_| task.executor.is_none()) {
            self.refuse_task(&key, &task, Reason::TaskInvalid, problem);
            return;
        }
        if let Some(problem) = why_not_here(&self.settings, &task) {
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
            let problem = "this agent runs no task groups; launch the tasks one by one";
            self.refuse_task(&key, &task, Reason::TaskGroupInvalid, problem);
        }
    }

    fn report_launch_failure(&mut self, key: &ContainerKey, task: &TaskInfo, problem: &str) {
        let report = Report {
            state: TaskState::Failed,
            source: Source::Agent,
            reason: Some(Reason::ContainerLaunchFailed),
            message: format!("Failed to launch container: {problem}"),
            limitation: None,
        };
        self.report(key, &task.task_id, report);
    }

    /// The task asks for what no retry on this agent can give.
    fn refuse_task(&mut self, key: &ContainerKey, task: &TaskInfo, reason: Reason, problem: &str) {
        let report = Report {
            state: TaskState::Error,
            source: Source::Agent,
            reason: Some(reason),
            message: problem.to_owned(),
            limitation: None,
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
        let agent_id = self.settings.info.id.clone().unwrap_or_default().value;
        let paths = Paths::of(&self.settings.work_dir);
        let directory = paths.sandbox(&agent_id, &key, &container_id);
        let docker = docker_container(&task);
        let owner = Owner {
            framework: &framework.info,
            executor_id: &key.1,
            task: Some(&task),
            command: &command,
            directory: &directory,
            docker: docker.is_some().then_some(container_id.as_str()),
        };
        let mut container = Container {
            kind,
            executor,
            container_id: container_id.clone(),
            directory: directory.clone(),
            phase: Phase::Launching,
            stream: None,
            tasks: BTreeMap::new(),
            deadline: None,
            awaits_subscription: Awaits::Nothing,
            docker: docker.is_some(),
            received: Received::default(),
            overran: false,
        };
        let checkpoint = framework.info.checkpoint();
        let granted = task.executor.iter().flat_map(|executor| &executor.resources);
        let granted: Resources = granted.chain(&task.resources).cloned().collect();
        container.tasks.insert(task.task_id.clone(), TaskEntry::new(task.clone()));
        let spec = LaunchSpec {
            container: key.clone(),
            container_id: container_id.clone(),
            directory: directory.clone(),
            uris: command.uris.clone(),
            program: program(&command),
            environment: environment(&self.settings, &owner),
            user: command.user.clone().or_else(|| Some(framework.info.user.clone())),
            limits: limits_of(&container),
            checkpoint: checkpoint.then(|| paths.container(&agent_id, &key, &container_id)),
            docker: docker.map(Box::new),
            ports: granted.ranges("ports"),
        };
        if checkpoint {
            let of = ContainerRef { key: key.clone(), id: container_id };
            let framework = Box::new(framework.info.clone());
            let executor = Box::new(container.executor.clone());
            let (command, docker) = (kind == Kind::Command, container.docker);
            self.save(Record::Framework(framework));
            self.save(Record::Container { of: of.clone(), executor, command, docker });
            self.save(Record::Task { of, task: Box::new(task) });
        }
        self.containers.insert(key, container);
        self.act(Action::Launch(Box::new(spec)));
    }

    /// Hands a further task to its executor, or keeps it until that subscribes.
    fn give_task(&mut self, key: &ContainerKey, task: TaskInfo) {
        let checkpoints = self.checkpoints(&key.0);
        let Some(container) = self.containers.get_mut(key) else { return };
        let stream = container.stream;
        let entry = TaskEntry { delivered: stream.is_some(), ..TaskEntry::new(task.clone()) };
        container.tasks.insert(task.task_id.clone(), entry);
        let of = ContainerRef { key: key.clone(), id: container.container_id.clone() };
        if checkpoints {
            self.save(Record::Task { of, task: Box::new(task.clone()) });
        }
        self.adjust_limits(key);
        if let Some(stream) = stream {
            self.act(Action::ToExecutor { stream, event: launch_event(task) });
        }
    }
}

/// What this agent cannot do for a task.
fn why_not_here(settings: &Settings, task: &TaskInfo) -> Option<String> {
    let executor = task.executor.as_ref();
    let commands = [task.command.as_ref(), executor.and_then(|e| e.command.as_ref())];
    let variables = commands.into_iter().flatten().flat_map(|command| &command.environment);
    let by_name = |variable: &&Variable| {
        variable.secret.as_ref().is_some_and(|secret| secret.value.is_none())
    };
    if let Some(variable) = variables.flat_map(|all| &all.variables).find(by_name) {
        return Some(format!(
            "this agent knows no secrets by name, such as that of the variable '{}'; give its value",
            variable.name
        ));
    }
    let container = task.container.as_ref().or(executor.and_then(|e| e.container.as_ref()))?;
    if container.r#type() == container_info::Type::Docker {
        return (!settings.docker).then(|| {
            "None of the enabled containerizers (mesos) could create a container for it: \
             it wants Docker, for which the agent is to be started with --containerizers=docker,mesos"
                .to_owned()
        });
    }
    let image = container.mesos.as_ref().and_then(|mesos| mesos.image.as_ref());
    let named_network = || {
        let mut networks = container.network_infos.iter();
        networks.find_map(|network| network.name.clone().filter(|name| !name.is_empty()))
    };
    if image.is_some() {
        Some(
            "the Mesos containerizer of this agent has no images; use a DOCKER container"
                .to_owned(),
        )
    } else if let Some(volume) = container.volumes.first() {
        let path = &volume.container_path;
        Some(format!(
            "the Mesos containerizer of this agent mounts no volumes, such as '{path}'; use a \
             DOCKER container"
        ))
    } else if let Some(name) = named_network() {
        Some(format!(
            "the Mesos containerizer of this agent joins no networks, such as '{name}'; use a \
             DOCKER container"
        ))
    } else {
        container.rlimit_info.as_ref().map(|_| "this agent sets no rlimits".to_owned())
    }
}

/// Checks that the agent would have to run; a task whose health nobody looks after is not started.
fn why_no_checks(task: &TaskInfo) -> Option<&'static str> {
    if task.health_check.is_some() {
        Some("this agent runs no health checks; launch the task without 'health_check'")
    } else if task.check.is_some() {
        Some("this agent runs no checks; launch the task without 'check'")
    } else {
        None
    }
}

/// The Docker container a task or its executor wants.
fn docker_container(task: &TaskInfo) -> Option<ContainerInfo> {
    let container = match &task.executor {
        Some(executor) => executor.container.as_ref(),
        None => task.container.as_ref(),
    };
    container.filter(|own| own.r#type() == container_info::Type::Docker).cloned()
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

fn hyphenated(uuid: [u8; 16]) -> String {
    let hex: Vec<String> = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex[from..to].concat();
    format!("{}-{}-{}-{}-{}", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 16))
}
