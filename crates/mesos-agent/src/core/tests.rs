//! Scenarios: what happens to the agent, and line by line what it does about it.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use mesos_api::agent_protocol::{
    Acknowledge, KillTask, Registered, RunTask, ShutdownExecutor, ShutdownFramework,
};
use mesos_api::environment::Variable;
use mesos_api::executor::{Call, call};
use mesos_api::framework_info::CapabilityType;
use mesos_api::secret::Reference;
use mesos_api::{
    CommandInfo, ContainerInfo, DurationInfo, Environment, ExecutorInfo, FrameworkInfo, KillPolicy,
    Secret, TaskInfo, TaskState, TaskStatus,
};

use super::*;

/// An agent on a fake clock, and a transcript of what it does.
struct World {
    agent: Agent,
    now: Time,
    transcript: String,
    next_request: u64,
}

fn settings() -> Settings {
    Settings {
        info: AgentInfo { hostname: "h".into(), ..AgentInfo::default() },
        ip: "127.0.0.1".into(),
        work_dir: "/w".into(),
        docker: false,
        version: "1".into(),
        credential: None,
        executor_registration_timeout: Duration::from_secs(60),
        executor_reregistration_timeout: Duration::from_secs(2),
        recovery_timeout: Duration::from_secs(900),
        executor_shutdown_grace_period: Duration::from_secs(5),
        executor_environment: BTreeMap::new(),
        new_uuid: || [7; 16],
    }
}

fn framework(checkpoint: bool) -> FrameworkInfo {
    FrameworkInfo {
        id: Some("F".into()),
        user: "u".into(),
        checkpoint: Some(checkpoint),
        ..FrameworkInfo::default()
    }
}

fn command(text: &str) -> CommandInfo {
    CommandInfo { value: Some(text.into()), ..CommandInfo::default() }
}

fn task(id: &str) -> TaskInfo {
    TaskInfo {
        task_id: id.into(),
        agent_id: "S0".into(),
        command: Some(command("run it")),
        ..TaskInfo::default()
    }
}

fn custom(id: &str) -> TaskInfo {
    let executor = ExecutorInfo {
        executor_id: "e".into(),
        command: Some(command("execute")),
        ..ExecutorInfo::default()
    };
    TaskInfo { command: None, executor: Some(executor), ..task(id) }
}

impl World {
    fn new() -> Self {
        let now = Time::from_secs(1000);
        let agent = Agent::new(settings(), now);
        let mut world = Self { agent, now, transcript: String::new(), next_request: 0 };
        world.handle(Event::Linked);
        world.registered();
        world.transcript.clear();
        world
    }

    fn registered(&mut self) {
        let registered = Registered { agent_id: "S0".into(), ping_timeout_seconds: 75.0 };
        self.say(ToAgent { registered: Some(registered), ..ToAgent::default() });
    }

    fn handle(&mut self, event: Event) {
        let actions = self.agent.handle(event, self.now);
        for action in actions {
            writeln!(self.transcript, "{}", shown(&action)).unwrap();
        }
    }

    fn say(&mut self, message: ToAgent) {
        self.handle(Event::FromMaster(message));
    }

    fn run_for(&mut self, framework: FrameworkInfo, task: TaskInfo) {
        let run_task = Some(RunTask { framework, task });
        self.say(ToAgent { run_task, ..ToAgent::default() });
    }

    fn run(&mut self, task: TaskInfo) {
        self.run_for(framework(false), task);
    }

    fn launched(&mut self, container: &str) {
        self.handle(Event::Launched { container: key(container), pid: 42 });
    }

    fn exited(&mut self, container: &str, status: i32) {
        let ending = Ending { status: Some(status), limitation: None };
        self.handle(Event::Exited { container: key(container), ending });
    }

    fn kill(&mut self, task: &str, grace_seconds: Option<i64>) {
        let kill_policy = grace_seconds.map(|seconds| KillPolicy {
            grace_period: Some(DurationInfo { nanoseconds: seconds * 1_000_000_000 }),
        });
        let kill_task =
            Some(KillTask { framework_id: "F".into(), task_id: task.into(), kill_policy });
        self.say(ToAgent { kill_task, ..ToAgent::default() });
    }

    fn acknowledge(&mut self, task: &str) {
        let acknowledge = Some(Acknowledge {
            framework_id: "F".into(),
            task_id: task.into(),
            uuid: Bytes::from_static(&[7; 16]),
        });
        self.say(ToAgent { acknowledge, ..ToAgent::default() });
    }

    fn pass(&mut self, milliseconds: u64) {
        let end = self.now + Time::from_millis(milliseconds);
        while let Some(wakeup) = self.agent.next_wakeup().filter(|wakeup| *wakeup <= end) {
            self.now = wakeup.max(self.now);
            self.handle(Event::Tick);
        }
        self.now = end;
    }

    fn request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn subscribe(&mut self, stream: u64) {
        let call = Call {
            framework_id: "F".into(),
            executor_id: "e".into(),
            subscribe: Some(call::Subscribe::default()),
            ..Call::default()
        };
        let answer_to = self.request();
        self.handle(Event::ExecutorSubscribed { stream: StreamId(stream), call, answer_to });
    }

    fn executor_says(&mut self, executor: &str, task: &str, state: TaskState) {
        let status = TaskStatus {
            task_id: task.into(),
            state: state.into(),
            uuid: Some(Bytes::from_static(&[7; 16])),
            ..TaskStatus::default()
        };
        self.executor_updates(executor, status);
    }

    fn executor_updates(&mut self, executor: &str, status: TaskStatus) {
        let call = Call {
            framework_id: "F".into(),
            executor_id: executor.into(),
            r#type: Some(call::Type::Update.into()),
            update: Some(call::Update { status }),
            ..Call::default()
        };
        let request = self.request();
        self.handle(Event::ExecutorCall { request, call });
    }

    fn note(&mut self, text: &str) {
        writeln!(self.transcript, "-- {text}").unwrap();
    }

    fn check(&mut self, expected: &Expect) {
        expected.assert_eq(&std::mem::take(&mut self.transcript));
    }
}

fn key(container: &str) -> ContainerKey {
    ("F".into(), container.into())
}

/// One action in one line.
fn shown(action: &Action) -> String {
    match action {
        Action::ToMaster(message) => told(message),
        Action::Launch(spec) => {
            format!(
                "launch {} in {} {:?}",
                spec.container.1,
                spec.directory.display(),
                spec.program
            )
        }
        Action::Save(record) => format!("save {}", saved(record)),
        Action::Limit { container, limits } => {
            format!("limit {} {} cpus", container.1, limits.cpus)
        }
        Action::Signal { container, signal } => format!("{signal:?} {}", container.1),
        Action::ToExecutor { stream, event } => {
            let task = event.launch.as_ref().map(|launch| launch.task.task_id.value.clone());
            let task = task.or(event.kill.as_ref().map(|kill| kill.task_id.value.clone()));
            let task = task.unwrap_or_default();
            format!("E{}: {} {task}", stream.0, event.r#type()).trim_end().to_owned()
        }
        Action::CloseStream { stream } => format!("E{}: closed", stream.0),
        Action::Answer { answer, .. } => format!("answer {answer:?}"),
        Action::Relink | Action::Refused { .. } => format!("{action:?}"),
    }
}

fn saved(record: &Record) -> String {
    match record {
        Record::Agent(info) => format!("agent {}", info.id.clone().unwrap_or_default()),
        Record::NoAgent => "no agent".to_owned(),
        Record::Framework(info) => format!("framework {}", info.id.clone().unwrap_or_default()),
        Record::NoFramework(id) => format!("no framework {id}"),
        Record::Container { of, .. } => format!("container {}", of.key.1),
        Record::Task { task, .. } => format!("task {}", task.task_id),
        Record::Update { status, .. } => format!("{} {}", status.task_id, status.state()),
        Record::Acknowledged { task_id, .. } => format!("{task_id} acknowledged"),
        Record::Ended(of) => format!("end of {}", of.key.1),
        Record::NoContainer(of) => format!("no container {}", of.key.1),
    }
}

fn told(message: &ToMaster) -> String {
    if let Some(update) = &message.update {
        let status = &update.status;
        let reason = status.reason.map(|_| format!(" {}", status.reason())).unwrap_or_default();
        let text = status.message.as_ref().map(|m| format!(" \"{m}\"")).unwrap_or_default();
        let source = status.source();
        let latest = update.latest_state();
        let newest =
            if latest == status.state() { String::new() } else { format!(", now {latest}") };
        return format!(
            "update {} {} {source}{reason}{text}{newest}",
            status.task_id,
            status.state()
        );
    }
    if let Some(exited) = &message.executor_exited {
        return format!("executor {} exited {:?}", exited.executor_id, exited.status);
    }
    if let Some(register) = &message.register {
        let tasks = register.tasks.iter().map(|task| {
            let told = task.status_update_state.map(|_| task.status_update_state());
            let told = told.filter(|told| *told != task.state());
            let told = told.map(|told| format!(", told {told}")).unwrap_or_default();
            format!("{} {}{told}", task.task_id, task.state())
        });
        let id = register.agent.id.clone().unwrap_or_default();
        return format!("register '{id}' [{}]", tasks.collect::<Vec<_>>().join(", "));
    }
    format!("{message:?}")
}

#[test]
fn updates_go_out_one_by_one_and_again_until_acknowledged() {
    let mut world = World::new();
    world.run(task("t"));
    world.launched("t");
    world.note("the second waits for the first, which is repeated after 10 s, 20 s");
    world.pass(29_000);
    world.pass(1_000);
    world.acknowledge("t");
    world.acknowledge("t");
    world.exited("t", 0);
    world.acknowledge("t");
    world.note("nothing is left");
    world.pass(1_000_000);
    assert!(world.agent.snapshot().frameworks.is_empty());
    world.check(&expect![[r#"
        launch t in /w/slaves/S0/frameworks/F/executors/t/runs/07070707-0707-0707-0707-070707070707 Shell("run it")
        update t TASK_STARTING SOURCE_EXECUTOR, now TASK_RUNNING
        -- the second waits for the first, which is repeated after 10 s, 20 s
        update t TASK_STARTING SOURCE_EXECUTOR, now TASK_RUNNING
        update t TASK_STARTING SOURCE_EXECUTOR, now TASK_RUNNING
        update t TASK_RUNNING SOURCE_EXECUTOR
        update t TASK_FINISHED SOURCE_EXECUTOR "Command exited with status 0"
        -- nothing is left
    "#]]);
}

#[test]
fn ends_are_told_as_mesos_tells_them() {
    for status in [0, 3 << 8, 9, 15, 11 | 0x80] {
        let mut world = World::new();
        world.run(task("t"));
        world.launched("t");
        world.acknowledge("t");
        world.acknowledge("t");
        world.transcript.clear();
        world.exited("t", status);
        let last = world.transcript.clone();
        match status {
            0 => expect![[r#"
                update t TASK_FINISHED SOURCE_EXECUTOR "Command exited with status 0"
            "#]].assert_eq(&last),
            768 => expect![[r#"
                update t TASK_FAILED SOURCE_EXECUTOR "Command exited with status 3"
            "#]].assert_eq(&last),
            9 => expect![[r#"
                update t TASK_FAILED SOURCE_EXECUTOR "Command terminated with signal Killed"
            "#]].assert_eq(&last),
            15 => expect![[r#"
                update t TASK_FAILED SOURCE_EXECUTOR "Command terminated with signal Terminated"
            "#]].assert_eq(&last),
            _ => expect![[r#"
                update t TASK_FAILED SOURCE_EXECUTOR "Command terminated with signal Segmentation fault (core dumped)"
            "#]].assert_eq(&last),
        }
    }
}

#[test]
fn a_kill_is_polite_for_its_grace_period_which_only_gets_shorter() {
    let mut world = World::new();
    let aware = FrameworkInfo {
        capabilities: vec![CapabilityType::TaskKillingState.into()],
        ..framework(false)
    };
    world.run_for(aware, task("t"));
    world.launched("t");
    world.acknowledge("t");
    world.acknowledge("t");
    world.transcript.clear();
    world.kill("t", Some(60));
    world.acknowledge("t");
    world.pass(1000);
    world.kill("t", None);
    world.pass(2999);
    world.note("3 s after the second");
    world.pass(1);
    world.exited("t", 9);
    world.check(&expect![[r#"
        Terminate t
        update t TASK_KILLING SOURCE_EXECUTOR
        -- 3 s after the second
        Kill t
        update t TASK_KILLED SOURCE_EXECUTOR "Command terminated with signal Killed"
    "#]]);
}

#[test]
fn launches_that_fail_or_are_killed_say_so() {
    let mut world = World::new();
    world.run(task("t"));
    let message = "no such file".to_owned();
    world.handle(Event::LaunchFailed { container: key("t"), message });
    world.run(task("u"));
    world.kill("u", None);
    world.handle(Event::LaunchFailed { container: key("u"), message: "killed".into() });
    let docker = ContainerInfo {
        r#type: mesos_api::container_info::Type::Docker.into(),
        ..ContainerInfo::default()
    };
    world.run(TaskInfo { container: Some(docker), ..task("d") });
    let secret = Secret { reference: Some(Reference::default()), ..Secret::default() };
    let token = Variable { name: "TOKEN".into(), secret: Some(secret), ..Variable::default() };
    let environment = Some(Environment { variables: vec![token] });
    let command = Some(CommandInfo { environment, ..CommandInfo::default() });
    world.run(TaskInfo { command, ..task("s") });
    world.note("a task nobody knows");
    world.kill("x", None);
    world.check(&expect![[r#"
        launch t in /w/slaves/S0/frameworks/F/executors/t/runs/07070707-0707-0707-0707-070707070707 Shell("run it")
        update t TASK_FAILED SOURCE_AGENT REASON_CONTAINER_LAUNCH_FAILED "Failed to launch container: no such file"
        launch u in /w/slaves/S0/frameworks/F/executors/u/runs/07070707-0707-0707-0707-070707070707 Shell("run it")
        Terminate u
        update u TASK_KILLED SOURCE_AGENT REASON_TASK_KILLED_DURING_LAUNCH "Task killed during its launch"
        update d TASK_FAILED SOURCE_AGENT REASON_CONTAINER_LAUNCH_FAILED "Failed to launch container: None of the enabled containerizers (mesos) could create a container for it: it wants Docker, for which the agent is to be started with --containerizers=docker,mesos"
        update s TASK_FAILED SOURCE_AGENT REASON_CONTAINER_LAUNCH_FAILED "Failed to launch container: this agent knows no secrets by name, such as that of the variable 'TOKEN'; give its value"
        -- a task nobody knows
        update x TASK_LOST SOURCE_AGENT REASON_RECONCILIATION "Cannot kill a task the agent does not know"
    "#]]);
}

#[test]
fn a_task_that_takes_too_long_fails() {
    let mut world = World::new();
    let limit = DurationInfo { nanoseconds: 5_000_000_000 };
    world.run(TaskInfo { max_completion_time: Some(limit), ..task("t") });
    world.launched("t");
    world.acknowledge("t");
    world.acknowledge("t");
    world.transcript.clear();
    world.pass(5_000);
    world.exited("t", 15);
    world.check(&expect![[r#"
        Terminate t
        update t TASK_FAILED SOURCE_EXECUTOR REASON_MAX_COMPLETION_TIME_REACHED "Command terminated with signal Terminated"
    "#]]);
}

#[test]
fn a_custom_executor_from_launch_to_exit() {
    let mut world = World::new();
    world.run(custom("a"));
    world.launched("e");
    world.note("too early");
    world.executor_says("e", "a", TaskState::Running);
    world.note("subscribed");
    world.subscribe(1);
    world.run(custom("b"));
    world.executor_says("e", "a", TaskState::Running);
    world.acknowledge("a");
    world.kill("b", None);
    world.executor_says("e", "b", TaskState::Killed);
    world.note("not as it should be");
    world.executor_says("e", "a", TaskState::Staging);
    world.executor_updates("e", TaskStatus { task_id: "a".into(), ..TaskStatus::default() });
    world.executor_says("nobody", "a", TaskState::Running);
    world.note("it exits, and its task with it");
    world.exited("e", 3 << 8);
    world.check(&expect![[r#"
        launch e in /w/slaves/S0/frameworks/F/executors/e/runs/07070707-0707-0707-0707-070707070707 Shell("execute")
        -- too early
        answer Forbidden("Executor is not subscribed")
        -- subscribed
        answer Subscribed
        E1: SUBSCRIBED
        E1: LAUNCH a
        limit e 0 cpus
        E1: LAUNCH b
        E1: ACKNOWLEDGED
        answer Accepted
        update a TASK_RUNNING SOURCE_EXECUTOR
        E1: KILL b
        limit e 0 cpus
        E1: ACKNOWLEDGED
        answer Accepted
        update b TASK_KILLED SOURCE_EXECUTOR
        -- not as it should be
        answer Bad("Failed to validate executor::Call: Received TASK_STAGING from executor which is not allowed")
        answer Bad("Failed to validate executor::Call: Expecting 'uuid' to be present")
        answer Bad("Executor cannot be found")
        -- it exits, and its task with it
        limit e 0 cpus
        executor e exited Some(768)
        E1: closed
        update a TASK_FAILED SOURCE_AGENT REASON_EXECUTOR_TERMINATED "Executor terminated: it exited with status 3"
    "#]]);
}

#[test]
fn an_executor_that_does_not_subscribe_is_killed() {
    let mut world = World::new();
    world.run(custom("a"));
    world.launched("e");
    world.pass(60_000);
    world.exited("e", 9);
    world.check(&expect![[r#"
        launch e in /w/slaves/S0/frameworks/F/executors/e/runs/07070707-0707-0707-0707-070707070707 Shell("execute")
        Kill e
        executor e exited Some(9)
        update a TASK_FAILED SOURCE_AGENT REASON_EXECUTOR_REGISTRATION_TIMEOUT "Executor terminated: it terminated with signal Killed"
    "#]]);
}

#[test]
fn executors_are_asked_to_end_and_killed_if_they_do_not() {
    let mut world = World::new();
    world.run(custom("a"));
    world.launched("e");
    world.subscribe(1);
    world.transcript.clear();
    let shutdown = ShutdownExecutor { framework_id: "F".into(), executor_id: "e".into() };
    world.say(ToAgent { shutdown_executor: Some(shutdown), ..ToAgent::default() });
    world.pass(5_000);
    world.exited("e", 9);
    world.check(&expect![[r#"
        E1: SHUTDOWN
        Kill e
        executor e exited Some(9)
        E1: closed
        update a TASK_FAILED SOURCE_AGENT REASON_EXECUTOR_TERMINATED "Executor terminated: it terminated with signal Killed"
    "#]]);
}

#[test]
fn a_framework_that_ends_is_not_told_of_its_tasks() {
    let mut world = World::new();
    world.run(task("t"));
    world.launched("t");
    world.run(custom("a"));
    world.launched("e");
    world.subscribe(1);
    world.transcript.clear();
    let shutdown_framework = Some(ShutdownFramework { framework_id: "F".into() });
    world.say(ToAgent { shutdown_framework, ..ToAgent::default() });
    world.exited("t", 15);
    world.exited("e", 0);
    world.pass(1_000_000);
    assert!(world.agent.snapshot().frameworks.is_empty());
    world.check(&expect![[r#"
        E1: SHUTDOWN
        Terminate t
        executor e exited Some(0)
        E1: closed
    "#]]);
}

#[test]
fn a_new_connection_tells_what_runs_and_what_was_not_acknowledged() {
    let mut world = World::new();
    world.run(task("t"));
    world.launched("t");
    world.run(task("u"));
    world.launched("u");
    world.handle(Event::Unlinked);
    world.exited("u", 0);
    world.transcript.clear();
    world.handle(Event::Linked);
    world.registered();
    world.check(&expect![[r#"
        register 'S0' [t TASK_RUNNING, told TASK_STARTING, u TASK_FINISHED, told TASK_STARTING]
        update t TASK_STARTING SOURCE_EXECUTOR, now TASK_RUNNING
        update u TASK_STARTING SOURCE_EXECUTOR, now TASK_FINISHED
    "#]]);
}

#[test]
fn an_agent_the_master_removed_starts_over() {
    let mut world = World::new();
    world.run(task("t"));
    world.launched("t");
    world.transcript.clear();
    let shutdown = Some(mesos_api::agent_protocol::Shutdown { reason: "why not".into() });
    world.say(ToAgent { shutdown, ..ToAgent::default() });
    world.exited("t", 9);
    world.handle(Event::Linked);
    world.check(&expect![[r#"
        Kill t
        save no agent
        Relink
        register '' []
    "#]]);
}

#[test]
fn the_environment_is_mesos_own_then_the_commands() {
    let mut world = World::new();
    world.agent.settings.executor_environment =
        [("A".to_owned(), "flag".to_owned()), ("B".to_owned(), "flag".to_owned())].into();
    let environment = mesos_api::Environment::of([("B", "task"), ("MESOS_CHECKPOINT", "task")]);
    let command = CommandInfo { environment: Some(environment), ..command("x") };
    let run_task = RunTask {
        framework: framework(true),
        task: TaskInfo { command: Some(command), ..task("t") },
    };
    let message = ToAgent { run_task: Some(run_task), ..ToAgent::default() };
    let actions = world.agent.handle(Event::FromMaster(message), world.now);
    let Some(Action::Launch(spec)) = actions.last() else { panic!("{actions:?}") };
    let told = spec.environment.iter().fold(String::new(), |all, (k, v)| all + k + "=" + v + "\n");
    expect![[r#"
        A=flag
        B=task
        LIBPROCESS_IP=127.0.0.1
        LIBPROCESS_PORT=0
        MESOS_AGENT_ENDPOINT=127.0.0.1:5051
        MESOS_CHECKPOINT=task
        MESOS_DIRECTORY=/w/slaves/S0/frameworks/F/executors/t/runs/07070707-0707-0707-0707-070707070707
        MESOS_EXECUTOR_ID=t
        MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD=5secs
        MESOS_FRAMEWORK_ID=F
        MESOS_HTTP_COMMAND_EXECUTOR=0
        MESOS_RECOVERY_TIMEOUT=15mins
        MESOS_SANDBOX=/w/slaves/S0/frameworks/F/executors/t/runs/07070707-0707-0707-0707-070707070707
        MESOS_SLAVE_ID=S0
        MESOS_SLAVE_PID=slave(1)@127.0.0.1:5051
        MESOS_SUBSCRIPTION_BACKOFF_MAX=2secs
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    "#]].assert_eq(&told);
}

mod recovery;
