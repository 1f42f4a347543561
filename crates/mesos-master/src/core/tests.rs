//! Scenarios: what happens, line by line, and what the master does about it.

mod agents;
mod explain;
mod operator;
mod random;

use std::fmt::Write as _;

use bytes::Bytes;
use expect_test::{Expect, expect};
use mesos_api::agent_protocol::{
    ExecutorExited, Pong, Register, StatusUpdate, ToAgent, ToMaster, Unregister,
};
use mesos_api::framework_info::CapabilityType;
use mesos_api::offer::Operation;
use mesos_api::scheduler::call::{self, Type};
use mesos_api::scheduler::{Call, Event as Told};
use mesos_api::{
    AgentId, AgentInfo, CommandInfo, ExecutorInfo, Filters, FrameworkId, FrameworkInfo, Resource,
    Resources, Task, TaskInfo, TaskState, TaskStatus, WireFormat,
};

use super::*;

/// A master on a fake clock, and a transcript of what it does.
struct World {
    master: Master,
    now: Time,
    transcript: String,
    next_request: u64,
    next_link: u64,
    /// Agents answer pings, of which the transcript says nothing.
    answers_pings: bool,
}

fn settings() -> Settings {
    Settings {
        master_info: MasterInfo { id: "M".into(), ..MasterInfo::default() },
        offer_timeout: None,
        agent_ping_timeout: Time::from_secs(15),
        max_agent_ping_timeouts: 5,
        allocation_delay: Time::from_millis(3),
        allocation_interval: Time::from_secs(1),
        heartbeat_interval: Time::from_secs(15),
        max_completed_frameworks: 2,
        max_completed_tasks_per_framework: 3,
        weights: BTreeMap::new(),
        roles: BTreeSet::new(),
        agent_reregister_timeout: Time::from_secs(600),
        filter_gpu_resources: true,
        acls: Acls::default(),
    }
}

fn info(capabilities: &[CapabilityType]) -> FrameworkInfo {
    FrameworkInfo {
        user: "u".into(),
        name: "f".into(),
        capabilities: capabilities.iter().map(|c| (*c).into()).collect(),
        ..FrameworkInfo::default()
    }
}

fn wire(resources: &str) -> Vec<Resource> {
    Resources::parse(resources, "*").unwrap().to_wire(WireFormat::PreRefinement)
}

fn task(id: &str, agent: &str, resources: &str) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: id.into(),
        agent_id: agent.into(),
        resources: wire(resources),
        command: Some(CommandInfo { value: Some("true".into()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    }
}

fn custom(id: &str, agent: &str, resources: &str, executor: &str) -> TaskInfo {
    let command = CommandInfo { value: Some("run".into()), ..CommandInfo::default() };
    TaskInfo {
        command: None,
        executor: Some(ExecutorInfo {
            executor_id: "e".into(),
            command: Some(command),
            resources: wire(executor),
            ..ExecutorInfo::default()
        }),
        ..task(id, agent, resources)
    }
}

impl World {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        let now = Time::from_secs(1000);
        let master = Master::new(settings, now);
        Self {
            master,
            now,
            transcript: String::new(),
            next_request: 0,
            next_link: 0,
            answers_pings: true,
        }
    }

    fn handle(&mut self, event: Event) {
        let actions = self.master.handle(event, self.now);
        for action in actions {
            if let Action::ToAgent { link, message: ToAgent { ping: Some(_), .. } } = action
                && self.answers_pings
            {
                let message = ToMaster { pong: Some(Pong {}), ..ToMaster::default() };
                self.handle(Event::AgentMessage { link, message });
                continue;
            }
            let line = shown(&action);
            if !line.is_empty() {
                writeln!(self.transcript, "{line}").unwrap();
            }
        }
    }

    /// Lets time pass, waking the master whenever it wants.
    fn pass(&mut self, milliseconds: u64) {
        let end = self.now + Time::from_millis(milliseconds);
        while let Some(wakeup) = self.master.next_wakeup().filter(|wakeup| *wakeup <= end) {
            self.now = wakeup.max(self.now);
            self.handle(Event::Tick);
        }
        self.now = end;
    }

    fn subscribe_as(&mut self, stream: &str, info: FrameworkInfo) {
        let subscribe = call::Subscribe { framework_info: info, ..call::Subscribe::default() };
        let stream = StreamId(stream.into());
        self.handle(Event::Subscribe { stream, subscribe, principal: None });
    }

    fn subscribe(&mut self, stream: &str) {
        self.subscribe_as(stream, info(&[]));
    }

    fn close(&mut self, stream: &str) {
        self.handle(Event::StreamClosed { stream: StreamId(stream.into()) });
    }

    fn agent(&mut self, resources: &str) -> LinkId {
        self.agent_returns(Register {
            agent: AgentInfo {
                hostname: format!("h{}", self.next_link),
                port: Some(5051 + i32::try_from(self.next_link).unwrap()),
                resources: wire(resources),
                ..AgentInfo::default()
            },
            version: "1".into(),
            ip: "127.0.0.1".into(),
            ..Register::default()
        })
    }

    fn agent_returns(&mut self, register: Register) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.handle(Event::AgentConnected { link, register });
        self.pass(3);
        link
    }

    fn call(&mut self, framework: &str, stream: &str, call: Call) {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let call = Call { framework_id: Some(framework.into()), ..call };
        let stream = Some(StreamId(stream.into()));
        self.handle(Event::Call { request, call, stream, principal: None });
        self.pass(3);
    }

    /// ACCEPTs as framework `M-0000` on stream `s`.
    fn accept(&mut self, offers: &[&str], tasks: Vec<TaskInfo>) {
        self.accept_with(offers, vec![Operation::launch_tasks(tasks)], 5.0);
    }

    fn accept_with(&mut self, offers: &[&str], operations: Vec<Operation>, refuse: f64) {
        let accept = call::Accept {
            offer_ids: offers.iter().map(|id| (*id).into()).collect(),
            operations,
            filters: Some(Filters { refuse_seconds: Some(refuse) }),
        };
        let call =
            Call { r#type: Some(Type::Accept.into()), accept: Some(accept), ..Call::default() };
        self.call("M-0000", "s", call);
    }

    fn decline(&mut self, offer: &str, refuse: f64) {
        let decline = call::Decline {
            offer_ids: vec![offer.into()],
            filters: Some(Filters { refuse_seconds: Some(refuse) }),
        };
        let call =
            Call { r#type: Some(Type::Decline.into()), decline: Some(decline), ..Call::default() };
        self.call("M-0000", "s", call);
    }

    fn plain(&mut self, r#type: Type) {
        self.call("M-0000", "s", Call { r#type: Some(r#type.into()), ..Call::default() });
    }

    fn kill(&mut self, task: &str) {
        let kill = call::Kill { task_id: task.into(), ..call::Kill::default() };
        let call = Call { r#type: Some(Type::Kill.into()), kill: Some(kill), ..Call::default() };
        self.call("M-0000", "s", call);
    }

    fn acknowledge(&mut self, task: &str, agent: &str, uuid: u8) {
        let acknowledge = call::Acknowledge {
            agent_id: agent.into(),
            task_id: task.into(),
            uuid: Bytes::from(vec![uuid; 16]),
        };
        let call = Call {
            r#type: Some(Type::Acknowledge.into()),
            acknowledge: Some(acknowledge),
            ..Call::default()
        };
        self.call("M-0000", "s", call);
    }

    fn reconcile(&mut self, tasks: &[(&str, Option<&str>)]) {
        let tasks = tasks
            .iter()
            .map(|(task, agent)| call::ReconcileTask {
                task_id: (*task).into(),
                agent_id: agent.map(AgentId::from),
            })
            .collect();
        let call = Call {
            r#type: Some(Type::Reconcile.into()),
            reconcile: Some(call::Reconcile { tasks }),
            ..Call::default()
        };
        self.call("M-0000", "s", call);
    }

    fn update(&mut self, link: LinkId, task: &str, state: TaskState, uuid: u8) {
        self.update_with(link, task, state, uuid, None);
    }

    fn update_with(
        &mut self,
        link: LinkId,
        task: &str,
        state: TaskState,
        uuid: u8,
        latest: Option<TaskState>,
    ) {
        let status = TaskStatus {
            task_id: task.into(),
            state: state.into(),
            uuid: Some(Bytes::from(vec![uuid; 16])),
            ..TaskStatus::default()
        };
        let update = Some(StatusUpdate {
            framework_id: "M-0000".into(),
            status,
            latest_state: latest.map(Into::into),
        });
        self.hear_agent(link, ToMaster { update, ..ToMaster::default() });
    }

    fn hear_agent(&mut self, link: LinkId, message: ToMaster) {
        self.handle(Event::AgentMessage { link, message });
        self.pass(3);
    }

    fn note(&mut self, text: &str) {
        writeln!(self.transcript, "-- {text}").unwrap();
    }

    /// Compares the transcript but for heartbeats.
    fn check_without_heartbeats(&mut self, expected: &Expect) {
        let lines = self.transcript.lines().filter(|line| !line.contains("HEARTBEAT"));
        let told = lines.fold(String::new(), |all, line| all + line + "\n");
        self.transcript.clear();
        expected.assert_eq(&told);
    }

    fn check(&mut self, expected: &Expect) {
        expected.assert_eq(&std::mem::take(&mut self.transcript));
    }
}

/// One action in one line.
fn shown(action: &Action) -> String {
    match action {
        Action::Answer { answer: Answer::Accepted, .. } => String::new(),
        Action::Answer { answer, .. } => format!("answer {answer:?}"),
        Action::Send { stream, event } => format!("{stream}: {}", told(event)),
        Action::CloseStream { stream } => format!("{stream}: closed"),
        Action::ToAgent { link, message } => format!("L{}: {}", link.0, ordered(message)),
        Action::CloseLink { link } => format!("L{}: closed", link.0),
        Action::Store { .. } => String::new(),
        Action::Publish { event } => format!("published {}", event.r#type()),
    }
}

fn told(event: &Told) -> String {
    if let Some(subscribed) = &event.subscribed {
        return format!("SUBSCRIBED {}", subscribed.framework_id);
    }
    if let Some(offers) = &event.offers {
        let offers = offers.offers.iter().map(|offer| {
            format!(
                "{}@{} {}",
                offer.id,
                offer.agent_id,
                Resources::from(offer.resources.as_slice())
            )
        });
        return format!("OFFERS {}", offers.collect::<Vec<_>>().join(" | "));
    }
    if let Some(rescind) = &event.rescind {
        return format!("RESCIND {}", rescind.offer_id);
    }
    if let Some(update) = &event.update {
        let status = &update.status;
        let reason = status.reason.map(|_| format!(" {}", status.reason())).unwrap_or_default();
        let message = status.message.as_ref().map(|m| format!(" \"{m}\"")).unwrap_or_default();
        return format!("UPDATE {} {}{reason}{message}", status.task_id, status.state());
    }
    if let Some(failure) = &event.failure {
        let agent = failure.agent_id.clone().unwrap_or_default();
        return match &failure.executor_id {
            Some(executor) => format!("FAILURE {executor}@{agent} {:?}", failure.status),
            None => format!("FAILURE {agent}"),
        };
    }
    if let Some(error) = &event.error {
        return format!("ERROR {}", error.message);
    }
    event.r#type().name().to_owned()
}

fn ordered(message: &ToAgent) -> String {
    if let Some(registered) = &message.registered {
        return format!("registered {}", registered.agent_id);
    }
    if let Some(run) = &message.run_task {
        let resources = Resources::from(run.task.resources.as_slice());
        return format!("run {} {resources}", run.task.task_id);
    }
    if let Some(kill) = &message.kill_task {
        return format!("kill {}", kill.task_id);
    }
    if let Some(acknowledge) = &message.acknowledge {
        return format!("acknowledge {} {}", acknowledge.task_id, acknowledge.uuid[0]);
    }
    if let Some(shutdown) = &message.shutdown_framework {
        return format!("shut down {}", shutdown.framework_id);
    }
    if let Some(refused) = &message.refused {
        return format!("refused: {}", refused.reason);
    }
    if let Some(checkpoint) = &message.checkpoint {
        return format!("checkpoint {}", Resources::from(checkpoint.resources.as_slice()));
    }
    if message.ping.is_some() {
        return "ping".into();
    }
    if message.shutdown.is_some() {
        return "shut down".into();
    }
    format!("{message:?}")
}

/// A world with framework M-0000 on stream `s`, agent M-S0, and offer M-O0.
fn offered(capabilities: &[CapabilityType]) -> (World, LinkId) {
    let mut world = World::new();
    world.subscribe_as("s", info(capabilities));
    let link = world.agent("cpus:4;mem:400");
    world.transcript.clear();
    (world, link)
}

#[test]
fn a_task_from_subscription_to_acknowledged_end() {
    let mut world = World::new();
    world.subscribe("s");
    let link = world.agent("cpus:4;mem:400");
    world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
    world.update(link, "t", TaskState::Running, 1);
    world.acknowledge("t", "M-S0", 1);
    world.note("what ended is free at once and lifts the filter on the rest");
    world.update(link, "t", TaskState::Finished, 2);
    assert_eq!(world.master.snapshot().frameworks[0].tasks.len(), 1);
    world.acknowledge("t", "M-S0", 2);
    assert_eq!(world.master.snapshot().frameworks[0].tasks.len(), 0);
    assert_eq!(world.master.snapshot().frameworks[0].completed_tasks.len(), 1);
    world.check(&expect![[r#"
        s: SUBSCRIBED M-0000
        s: HEARTBEAT
        L0: registered M-S0
        s: OFFERS M-O0@M-S0 cpus:4; mem:400
        L0: run t cpus:1; mem:100
        s: UPDATE t TASK_RUNNING
        L0: acknowledge t 1
        -- what ended is free at once and lifts the filter on the rest
        s: UPDATE t TASK_FINISHED
        s: OFFERS M-O1@M-S0 cpus:4; mem:400
        L0: acknowledge t 2
    "#]]);
}

#[test]
fn the_newest_state_is_shown_and_frees_resources_before_its_update_is_told() {
    let mut world = World::new();
    world.subscribe("s");
    let link = world.agent("cpus:4;mem:400");
    world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
    let shown = |world: &World| {
        let task = Arc::clone(&world.master.snapshot().frameworks[0].tasks[0]);
        (task.state(), task.status_update_state())
    };
    world.update_with(link, "t", TaskState::Starting, 1, Some(TaskState::Running));
    assert_eq!(shown(&world), (TaskState::Running, TaskState::Starting));
    world.reconcile(&[("t", None)]);
    world.update_with(link, "t", TaskState::Starting, 1, Some(TaskState::Finished));
    assert_eq!(shown(&world), (TaskState::Finished, TaskState::Starting));
    world.acknowledge("t", "M-S0", 1);
    world.update_with(link, "t", TaskState::Running, 2, Some(TaskState::Finished));
    world.acknowledge("t", "M-S0", 2);
    world.update_with(link, "t", TaskState::Finished, 3, Some(TaskState::Finished));
    assert_eq!(shown(&world), (TaskState::Finished, TaskState::Finished));
    world.acknowledge("t", "M-S0", 3);
    assert_eq!(world.master.snapshot().frameworks[0].tasks.len(), 0);
    world.check(&expect![[r#"
        s: SUBSCRIBED M-0000
        s: HEARTBEAT
        L0: registered M-S0
        s: OFFERS M-O0@M-S0 cpus:4; mem:400
        L0: run t cpus:1; mem:100
        s: UPDATE t TASK_STARTING
        s: UPDATE t TASK_STARTING REASON_RECONCILIATION "Reconciliation: Latest task state"
        s: UPDATE t TASK_STARTING
        s: OFFERS M-O1@M-S0 cpus:4; mem:400
        L0: acknowledge t 1
        s: UPDATE t TASK_RUNNING
        L0: acknowledge t 2
        s: UPDATE t TASK_FINISHED
        L0: acknowledge t 3
    "#]]);
}

#[test]
fn offers_that_are_not_good_lose_their_tasks() {
    for capabilities in [&[][..], &[CapabilityType::PartitionAware][..]] {
        let (mut world, _) = offered(capabilities);
        world.agent("cpus:2;mem:200");
        let t = |id: &str| vec![task(id, "M-S0", "cpus:1;mem:100")];
        world.note("unknown");
        world.accept(&["M-O9"], t("t1"));
        world.note("twice");
        world.accept(&["M-O0", "M-O0"], t("t2"));
        world.pass(6000);
        world.note("two agents");
        world.accept(&["M-O1", "M-O2"], t("t3"));
        if capabilities.is_empty() {
            world.check(&expect![[r#"
                L1: registered M-S1
                s: OFFERS M-O1@M-S1 cpus:2; mem:200
                -- unknown
                s: UPDATE t1 TASK_LOST REASON_INVALID_OFFERS "Task launched with invalid offers: Offer M-O9 is no longer valid"
                -- twice
                s: UPDATE t2 TASK_LOST REASON_INVALID_OFFERS "Task launched with invalid offers: Duplicate offer M-O0 in offer list"
                s: OFFERS M-O2@M-S0 cpus:4; mem:400
                -- two agents
                s: UPDATE t3 TASK_LOST REASON_INVALID_OFFERS "Task launched with invalid offers: Aggregated offers must belong to one single agent. Offer M-O2 uses agent M-S0 and agent M-S1"
                s: OFFERS M-O3@M-S0 cpus:4; mem:400 | M-O4@M-S1 cpus:2; mem:200
            "#]]);
        } else {
            world.check(&expect![[r#"
                L1: registered M-S1
                s: OFFERS M-O1@M-S1 cpus:2; mem:200
                -- unknown
                s: UPDATE t1 TASK_DROPPED REASON_INVALID_OFFERS "Task launched with invalid offers: Offer M-O9 is no longer valid"
                -- twice
                s: UPDATE t2 TASK_DROPPED REASON_INVALID_OFFERS "Task launched with invalid offers: Duplicate offer M-O0 in offer list"
                s: OFFERS M-O2@M-S0 cpus:4; mem:400
                -- two agents
                s: UPDATE t3 TASK_DROPPED REASON_INVALID_OFFERS "Task launched with invalid offers: Aggregated offers must belong to one single agent. Offer M-O2 uses agent M-S0 and agent M-S1"
                s: OFFERS M-O3@M-S0 cpus:4; mem:400 | M-O4@M-S1 cpus:2; mem:200
            "#]]);
        }
    }
}

#[test]
fn another_frameworks_offer_stays_with_it() {
    let (mut world, _) = offered(&[]);
    world.subscribe("other");
    let accept = call::Accept { offer_ids: vec!["M-O0".into()], ..call::Accept::default() };
    let call = Call { r#type: Some(Type::Accept.into()), accept: Some(accept), ..Call::default() };
    world.call("M-0001", "other", call);
    world.note("its owner can still use it");
    world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
    world.check(&expect![[r#"
        other: SUBSCRIBED M-0001
        other: HEARTBEAT
        -- its owner can still use it
        L0: run t cpus:1; mem:100
        other: OFFERS M-O1@M-S0 cpus:3; mem:300
    "#]]);
}

#[test]
fn tasks_that_are_not_valid_end_in_error_and_cost_nothing() {
    let (mut world, _) = offered(&[]);
    let good = || task("t", "M-S0", "cpus:1;mem:100");
    let tasks = vec![
        TaskInfo { task_id: "".into(), ..good() },
        TaskInfo { task_id: "a/b".into(), ..good() },
        TaskInfo { agent_id: "M-S7".into(), ..good() },
        TaskInfo { command: None, ..good() },
        TaskInfo { resources: vec![], ..good() },
        TaskInfo { resources: wire("cpus:5"), ..good() },
        TaskInfo { command: Some(CommandInfo::default()), ..good() },
        good(),
        good(),
        custom("c", "M-S0", "cpus:1;mem:100", "cpus:3;mem:10"),
        custom("d", "M-S0", "cpus:1;mem:100", "cpus:1;mem:10"),
        custom("e", "M-S0", "cpus:0.5;mem:100", "cpus:0.5;mem:10"),
    ];
    world.accept(&["M-O0"], tasks);
    world.check(&expect![[r#"
        s: UPDATE  TASK_ERROR REASON_TASK_INVALID "ID must not be empty"
        s: UPDATE a/b TASK_ERROR REASON_TASK_INVALID "'a/b' contains invalid characters"
        s: UPDATE t TASK_ERROR REASON_TASK_INVALID "Task uses invalid agent M-S7 while agent M-S0 is expected"
        s: UPDATE t TASK_ERROR REASON_TASK_INVALID "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
        s: UPDATE t TASK_ERROR REASON_TASK_INVALID "Task uses no resources"
        s: UPDATE t TASK_ERROR REASON_TASK_INVALID "Total resources cpus:5 required by task and its executor is more than available cpus:4; mem:400"
        s: UPDATE t TASK_ERROR REASON_TASK_INVALID "Shell command is not specified"
        L0: run t cpus:1; mem:100
        s: UPDATE t TASK_ERROR REASON_TASK_INVALID "Task has duplicate ID: t"
        s: UPDATE c TASK_ERROR REASON_TASK_INVALID "Total resources cpus:4; mem:110 required by task and its executor is more than available cpus:3; mem:300"
        L0: run d cpus:1; mem:100
        s: UPDATE e TASK_ERROR REASON_TASK_INVALID "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID 'e'"
    "#]]);
}

#[test]
fn an_executor_is_paid_once_and_given_back_when_it_ends() {
    let (mut world, link) = offered(&[]);
    world.accept(&["M-O0"], vec![custom("a", "M-S0", "cpus:1;mem:100", "cpus:1;mem:10")]);
    world.pass(6000);
    world.accept(&["M-O1"], vec![custom("b", "M-S0", "cpus:1;mem:100", "cpus:1;mem:10")]);
    world.pass(6000);
    for (task, uuid) in [("a", 1), ("b", 2)] {
        world.update(link, task, TaskState::Failed, uuid);
    }
    let exited = ExecutorExited {
        framework_id: "M-0000".into(),
        executor_id: "e".into(),
        status: Some(768),
    };
    world.hear_agent(link, ToMaster { executor_exited: Some(exited), ..ToMaster::default() });
    world.check(&expect![[r#"
        L0: run a cpus:1; mem:100
        s: OFFERS M-O1@M-S0 cpus:2; mem:290
        L0: run b cpus:1; mem:100
        s: OFFERS M-O2@M-S0 cpus:1; mem:190
        s: UPDATE a TASK_FAILED
        s: OFFERS M-O3@M-S0 cpus:1; mem:100
        s: UPDATE b TASK_FAILED
        s: OFFERS M-O4@M-S0 cpus:1; mem:100
        s: FAILURE e@M-S0 Some(768)
        s: OFFERS M-O5@M-S0 cpus:1; mem:10
    "#]]);
}

#[test]
fn calls_are_checked_in_the_order_of_mesos() {
    let (mut world, _) = offered(&[]);
    let revive = || Call { r#type: Some(Type::Revive.into()), ..Call::default() };
    world.call("nobody", "s", revive());
    world.call("M-0000", "stale", revive());
    let call = Call { framework_id: Some("M-0000".into()), ..revive() };
    let request = RequestId(9);
    world.handle(Event::Call { request, call: call.clone(), stream: None, principal: None });
    let principal = Some("eve".to_owned());
    world.handle(Event::Call { request, call: call.clone(), stream: None, principal });
    world.subscribe_as("p", FrameworkInfo { failover_timeout: Some(9.0), ..info(&[]) });
    world.close("p");
    world.call("M-0001", "p", revive());
    world.check(&expect![[r#"
        answer Bad("Framework cannot be found")
        answer Bad("The stream ID 'stale' included in this request didn't match the stream ID currently associated with framework ID M-0000")
        answer Bad("All non-subscribe calls should include the 'Mesos-Stream-Id' header")
        answer Bad("Authenticated principal 'eve' does not match principal '' set in `FrameworkInfo`")
        p: SUBSCRIBED M-0001
        p: HEARTBEAT
        answer Forbidden("Framework is not subscribed")
    "#]]);
}

#[test]
fn subscriptions_are_refused_with_a_reason() {
    let mut world = World::new();
    let role = |role: &str| FrameworkInfo { role: Some(role.into()), ..info(&[]) };
    for bad in ["", "-a", "a b", "a//b", "/a", "a/..", "a/*"] {
        world.subscribe_as("s", role(bad));
    }
    let multi = info(&[CapabilityType::MultiRole]);
    world.subscribe_as("s", FrameworkInfo { role: Some("a".into()), ..multi.clone() });
    world.subscribe_as("s", FrameworkInfo { roles: vec!["a".into(), "a".into()], ..multi });
    world.subscribe_as("s", FrameworkInfo { roles: vec!["a".into()], ..info(&[]) });
    world.subscribe_as("s", FrameworkInfo { failover_timeout: Some(-1.0), ..info(&[]) });
    world.subscribe_as("s", FrameworkInfo { failover_timeout: Some(f64::NAN), ..info(&[]) });
    world.check(&expect![[r#"
        s: ERROR 'FrameworkInfo.role' is not a valid role: Role names cannot be the empty string
        s: closed
        s: ERROR 'FrameworkInfo.role' is not a valid role: Role component '-a' is invalid because it starts with a dash
        s: closed
        s: ERROR 'FrameworkInfo.role' is not a valid role: Role component 'a b' is invalid because it contains backspace or whitespace
        s: closed
        s: ERROR 'FrameworkInfo.role' is not a valid role: Role 'a//b' cannot contain two adjacent slashes
        s: closed
        s: ERROR 'FrameworkInfo.role' is not a valid role: Role '/a' cannot start with a slash
        s: closed
        s: ERROR 'FrameworkInfo.role' is not a valid role: Role 'a/..' cannot include '..' as a component
        s: closed
        s: ERROR 'FrameworkInfo.role' is not a valid role: Role 'a/*' cannot include '*' as a component
        s: closed
        s: ERROR 'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable
        s: closed
        s: ERROR 'FrameworkInfo.roles' contains duplicate items: { a }
        s: closed
        s: ERROR 'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable
        s: closed
        s: SUBSCRIBED M-0000
        s: HEARTBEAT
        s: ERROR The framework failover_timeout (NaN) is invalid
        s: closed
    "#]]);
}

#[test]
fn a_framework_that_returns_takes_over() {
    let (mut world, link) = offered(&[]);
    world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
    world.update(link, "t", TaskState::Running, 1);
    world.pass(6000);
    world.note("a second subscription: offers are gone, the open update comes again");
    world.subscribe_as("s2", FrameworkInfo { id: Some("M-0000".into()), ..info(&[]) });
    world.pass(3);
    world.note("the old stream is of no use");
    world.plain(Type::Revive);
    let principal = Some("eve".to_owned());
    world.note("another principal may not");
    world.subscribe_as("s3", FrameworkInfo { id: Some("M-0000".into()), principal, ..info(&[]) });
    world.note("its removal is for good");
    world.close("s2");
    world.subscribe_as("s4", FrameworkInfo { id: Some("M-0000".into()), ..info(&[]) });
    world.check(&expect![[r#"
        L0: run t cpus:1; mem:100
        s: UPDATE t TASK_RUNNING
        s: OFFERS M-O1@M-S0 cpus:3; mem:300
        -- a second subscription: offers are gone, the open update comes again
        s: ERROR Framework failed over
        s: closed
        s2: SUBSCRIBED M-0000
        s2: HEARTBEAT
        s2: UPDATE t TASK_RUNNING
        s2: OFFERS M-O2@M-S0 cpus:3; mem:300
        -- the old stream is of no use
        answer Bad("The stream ID 's' included in this request didn't match the stream ID currently associated with framework ID M-0000")
        -- another principal may not
        s3: ERROR Changing framework's principal is not allowed.
        s3: closed
        -- its removal is for good
        L0: shut down M-0000
        s4: ERROR Framework has been removed
        s4: closed
    "#]]);
}

#[test]
fn a_framework_may_be_away_for_its_failover_timeout() {
    let mut world = World::new();
    let patient = |id: Option<&str>| FrameworkInfo {
        id: id.map(FrameworkId::from),
        failover_timeout: Some(60.0),
        ..info(&[])
    };
    world.subscribe_as("s", patient(None));
    let link = world.agent("cpus:4;mem:400");
    world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
    world.close("s");
    world.note("nobody hears of it");
    world.update(link, "t", TaskState::Running, 1);
    world.pass(59_000);
    world.subscribe_as("s", patient(Some("M-0000")));
    world.pass(3);
    world.close("s");
    world.pass(61_000);
    world.check(&expect![[r#"
        s: SUBSCRIBED M-0000
        s: HEARTBEAT
        L0: registered M-S0
        s: OFFERS M-O0@M-S0 cpus:4; mem:400
        L0: run t cpus:1; mem:100
        -- nobody hears of it
        s: SUBSCRIBED M-0000
        s: HEARTBEAT
        s: UPDATE t TASK_RUNNING
        s: OFFERS M-O1@M-S0 cpus:3; mem:300
        L0: shut down M-0000
    "#]]);
}

#[test]
fn teardown_shuts_everything_down() {
    let (mut world, _) = offered(&[]);
    world.accept(&["M-O0"], vec![custom("t", "M-S0", "cpus:1;mem:100", "cpus:1;mem:10")]);
    world.plain(Type::Teardown);
    world.subscribe("next");
    world.pass(3);
    world.check(&expect![[r#"
        L0: run t cpus:1; mem:100
        L0: shut down M-0000
        s: closed
        next: SUBSCRIBED M-0001
        next: HEARTBEAT
        next: OFFERS M-O1@M-S0 cpus:4; mem:400
    "#]]);
}

#[test]
fn refusals_last_and_a_refusal_of_no_time_lasts_an_interval() {
    let (mut world, _) = offered(&[]);
    world.decline("M-O0", 0.0);
    world.pass(900);
    world.note("a second after");
    world.pass(100);
    world.decline("M-O1", 5.0);
    world.pass(4900);
    world.note("five seconds after");
    world.pass(100);
    world.decline("M-O2", -1.0);
    world.pass(4900);
    world.note("five seconds after, as by default");
    world.pass(100);
    world.decline("M-O3", 1e9);
    world.pass(3_600_000);
    world.note("revived");
    world.plain(Type::Revive);
    world.check_without_heartbeats(&expect![[r#"
        -- a second after
        s: OFFERS M-O1@M-S0 cpus:4; mem:400
        -- five seconds after
        s: OFFERS M-O2@M-S0 cpus:4; mem:400
        -- five seconds after, as by default
        s: OFFERS M-O3@M-S0 cpus:4; mem:400
        -- revived
        s: OFFERS M-O4@M-S0 cpus:4; mem:400
    "#]]);
}

#[test]
fn suppressed_frameworks_hear_nothing_until_revived() {
    let (mut world, link) = offered(&[]);
    world.plain(Type::Suppress);
    world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
    world.update(link, "t", TaskState::Finished, 1);
    world.pass(10_000);
    world.note("revived");
    world.plain(Type::Revive);
    world.check(&expect![[r#"
        L0: run t cpus:1; mem:100
        s: UPDATE t TASK_FINISHED
        -- revived
        s: OFFERS M-O1@M-S0 cpus:4; mem:400
    "#]]);
}

#[test]
fn silent_frameworks_lose_their_offers_if_the_flag_says_so() {
    let timeout = Some(Time::from_secs(10));
    let mut world = World::with(Settings { offer_timeout: timeout, ..settings() });
    world.subscribe("s");
    world.agent("cpus:4;mem:400");
    world.pass(10_003);
    world.check(&expect![[r#"
        s: SUBSCRIBED M-0000
        s: HEARTBEAT
        L0: registered M-S0
        s: OFFERS M-O0@M-S0 cpus:4; mem:400
        s: RESCIND M-O0
        s: OFFERS M-O1@M-S0 cpus:4; mem:400
    "#]]);
}

#[test]
fn heartbeats_come_at_once_and_then_every_15_s() {
    let mut world = World::new();
    world.subscribe("s");
    world.pass(14_999);
    world.note("15 s");
    world.pass(15_001);
    world.check(&expect![[r#"
        s: SUBSCRIBED M-0000
        s: HEARTBEAT
        -- 15 s
        s: HEARTBEAT
        s: HEARTBEAT
    "#]]);
}
