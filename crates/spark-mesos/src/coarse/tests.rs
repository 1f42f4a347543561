//! Scenarios, each a few events and the actions they lead to.

use std::fmt::Write;

use expect_test::{Expect, expect};
use mesos_api::task_status::Reason;
use mesos_api::value::Text;
use mesos_api::{Attribute, Offer, OfferId, Resource, TaskInfo, ValueType};
use spark_conf::{Origin, SparkConf};

use super::*;
use crate::resources::Pool;

pub(crate) fn context() -> LaunchContext {
    LaunchContext {
        driver_url: "spark://10.0.0.1:7000".to_owned(),
        secret: "secret".to_owned(),
        user: "me".to_owned(),
    }
}

/// Seeds of the simulations: 500, or `OFFERS_SEEDS` from `OFFERS_SEED` on (`make soak SUITE=offers`).
pub(crate) fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let first = number("OFFERS_SEED", 0);
    first..first + number("OFFERS_SEEDS", 500)
}

pub(crate) fn settings(pairs: &[(&str, &str)]) -> Settings {
    let mut conf = SparkConf::new();
    for (key, value) in pairs {
        conf.set(Origin::Program, &format!("spark.{key}"), value);
    }
    conf.set(Origin::Program, "spark.app.name", "app");
    Settings::from_conf(&conf, Some("/opt/spark")).unwrap()
}

pub(super) fn scheduler(pairs: &[(&str, &str)]) -> CoarseScheduler {
    CoarseScheduler::new(settings(pairs), context())
}

/// `agent cpus mem [zone]`.
pub(crate) fn offer(id: &str, text: &str) -> Offer {
    let words: Vec<&str> = text.split(' ').collect();
    let attributes = words.get(3).map(|zone| Attribute {
        name: "zone".to_owned(),
        r#type: ValueType::Text.into(),
        text: Some(Text { value: (*zone).to_owned() }),
        ..Attribute::default()
    });
    Offer {
        id: id.into(),
        agent_id: words[0].into(),
        hostname: format!("host-{}", words[0]),
        resources: vec![
            Resource::scalar_of("cpus", words[1].parse().unwrap()),
            Resource::scalar_of("mem", words[2].parse().unwrap()),
        ],
        attributes: attributes.into_iter().collect(),
        ..Offer::default()
    }
}

/// The offer with more resources.
pub(crate) fn with(mut offer: Offer, resources: impl IntoIterator<Item = Resource>) -> Offer {
    offer.resources.extend(resources);
    offer
}

/// A scalar reserved for a role.
pub(crate) fn reserved(name: &str, value: f64, role: &str) -> Resource {
    Resource { role: Some(role.to_owned()), ..Resource::scalar_of(name, value) }
}

pub(crate) fn show(action: &Action) -> String {
    let seconds = |refuse: &Option<Duration>| match refuse {
        Some(refuse) => format!(" refuse {}s", refuse.as_secs_f64()),
        None => String::new(),
    };
    let list =
        |ids: &[OfferId]| ids.iter().map(|id| id.value.as_str()).collect::<Vec<_>>().join("+");
    match action {
        Action::Launch(launch) => {
            let mut out = format!("launch on {}", list(&launch.offer_ids));
            for executor in &launch.executors {
                write!(
                    out,
                    " {}:{}c/{}M",
                    executor.executor_id, executor.cores, executor.memory_mib
                )
                .unwrap();
                if executor.gpus > 0 {
                    write!(out, "/{}G", executor.gpus).unwrap();
                }
            }
            out + &seconds(&launch.refuse)
        }
        Action::Slots { executor_id, host, free } => {
            format!("slots {executor_id} on {host}: {free}")
        }
        Action::TaskEnded { task_id, executor_id, end } => {
            format!("task {task_id} on {executor_id} ended: {end:?}")
        }
        Action::Shutdown { executor_id, .. } => format!("shutdown {executor_id}"),
        Action::Decline { offer_ids, refuse, reason } => {
            format!("decline {}: {reason}{}", list(offer_ids), seconds(refuse))
        }
        Action::Kill { task_id, .. } => format!("kill {task_id}"),
        Action::Suppress => "suppress".to_owned(),
        Action::Revive => "revive".to_owned(),
        Action::Reconcile(tasks) => {
            let ids: Vec<_> = tasks.iter().map(|(id, _)| id.value.as_str()).collect();
            format!("reconcile [{}]", ids.join(" "))
        }
        Action::ExecutorLost { executor_id, host, reason } => {
            format!("lost {executor_id} on {host}: {reason}")
        }
    }
}

struct Scene {
    scheduler: CoarseScheduler,
    now: Instant,
    out: String,
}

impl Scene {
    fn new(settings: &[(&str, &str)]) -> Self {
        let mut scheduler = scheduler(settings);
        let now = Instant::now();
        let registered = Event::Registered { framework_id: "F".to_owned(), again: false };
        assert_eq!(scheduler.handle(registered, now), []);
        Self { scheduler, now, out: String::new() }
    }

    fn event(&mut self, event: Event) -> &mut Self {
        for action in self.scheduler.handle(event, self.now) {
            writeln!(self.out, "{}", show(&action)).unwrap();
        }
        self
    }

    fn offers(&mut self, offers: &[(&str, &str)]) -> &mut Self {
        self.event(Event::Offers(offers.iter().map(|(id, text)| offer(id, text)).collect()))
    }

    fn status(
        &mut self,
        id: &str,
        state: TaskState,
        reason: Option<Reason>,
        message: &str,
    ) -> &mut Self {
        let mut status = TaskStatus {
            task_id: id.into(),
            message: Some(message.to_owned()),
            ..TaskStatus::default()
        };
        status.set_state(state);
        status.reason = reason.map(Into::into);
        self.event(Event::Status(status))
    }

    fn later(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self.event(Event::Tick)
    }

    fn check(&mut self, expected: Expect) -> &mut Self {
        expected.assert_eq(&std::mem::take(&mut self.out));
        self
    }

    fn report(&mut self, expected: Expect) -> &mut Self {
        let report = self.scheduler.waiting_report(self.now);
        expected.assert_eq(&report.map_or_else(|| "nothing".to_owned(), |r| r.to_string()));
        self
    }
}

use mesos_api::TaskState;

#[test]
fn without_limits_everything_is_taken() {
    Scene::new(&[]).offers(&[("o1", "a 4 4096"), ("o2", "b 2.5 1408"), ("o3", "c 8 1407")]).check(
        expect![[r#"
            launch on o1 0:4c/1408M
            launch on o2 1:2c/1408M
            decline o3: offers 1407 MiB of the 1408 MiB wanted
        "#]],
    );
}

#[test]
fn cores_max_is_spread_and_then_suppressed() {
    Scene::new(&[("cores.max", "5")])
        .offers(&[("o1", "a 4 4096"), ("o2", "b 4 4096"), ("o3", "c 1 4096")])
        .check(expect![[r#"
            launch on o1 0:2c/1408M refuse 120s
            launch on o2 1:2c/1408M refuse 120s
            launch on o3 2:1c/1408M refuse 120s
            suppress
        "#]])
        .offers(&[("o4", "d 4 4096")])
        .check(expect![[r#"
            decline o4: spark.cores.max is reached refuse 120s
        "#]]);
}

#[test]
fn packing_fills_the_first_agent() {
    Scene::new(&[("cores.max", "5"), ("ferrospark.mesos.placement", "pack")])
        .offers(&[("o1", "a 4 4096"), ("o2", "b 4 4096"), ("o3", "c 1 4096")])
        .check(expect![[r#"
            launch on o1 0:4c/1408M refuse 120s
            launch on o2 1:1c/1408M refuse 120s
            decline o3: spark.cores.max is reached refuse 120s
            suppress
        "#]]);
}

#[test]
fn executors_of_fixed_size_go_round() {
    Scene::new(&[("cores.max", "7"), ("executor.cores", "2"), ("executor.memory", "512m")])
        .offers(&[("o1", "a 8 8192"), ("o2", "b 3 8192"), ("o3", "c 1 8192")])
        .check(expect![[r#"
            launch on o1 0:2c/896M 1:2c/896M refuse 120s
            launch on o2 2:2c/896M refuse 120s
            decline o3: offers 1 of the 2 cpus wanted
            suppress
        "#]]);
}

#[test]
fn memory_limits_executors_per_agent() {
    Scene::new(&[("executor.cores", "1")]).offers(&[("o1", "a 8 3000")]).check(expect![[r#"
        launch on o1 0:1c/1408M 1:1c/1408M
    "#]]);
}

#[test]
fn at_most_so_many_per_agent() {
    Scene::new(&[("executor.cores", "1"), ("ferrospark.mesos.maxExecutorsPerAgent", "1")])
        .offers(&[("o1", "a 8 8192")])
        .offers(&[("o2", "a 7 6784")])
        .check(expect![[r#"
            launch on o1 0:1c/1408M
            decline o2: runs as many executors as it may
        "#]]);
}

#[test]
fn offers_of_one_agent_are_combined() {
    Scene::new(&[("executor.cores", "2")]).offers(&[("o1", "a 1 1000"), ("o2", "a 1 1000")]).check(
        expect![[r#"
            launch on o1+o2 0:2c/1408M
        "#]],
    );
}

#[test]
fn extra_cores_are_slots_not_cpus() {
    let mut scene = Scene::new(&[("cores.max", "2"), ("mesos.extra.cores", "3")]);
    scene.offers(&[("o1", "a 2 4096")]).check(expect![[r#"
        launch on o1 0:5c/1408M refuse 120s
        suppress
    "#]]);
    assert_eq!(scene.scheduler.cores_acquired(), 2);
}

#[test]
fn constraints_are_refused_for_long() {
    Scene::new(&[("mesos.constraints", "zone:x")])
        .offers(&[("o1", "a 4 4096 y"), ("o2", "b 4 4096 x"), ("o3", "c 4 4096")])
        .check(expect![[r#"
            decline o1: lacks attribute zone=x refuse 120s
            launch on o2 0:4c/1408M
            decline o3: lacks attribute zone=x refuse 120s
        "#]]);
}

#[test]
fn a_lost_executor_is_replaced() {
    Scene::new(&[("cores.max", "2")])
        .offers(&[("o1", "a 2 4096")])
        .status("0", TaskState::Running, None, "")
        .status("0", TaskState::Failed, None, "Command exited with status 1")
        .status("0", TaskState::Failed, None, "a repetition")
        .offers(&[("o2", "a 2 4096")])
        .check(expect![[r#"
            launch on o1 0:2c/1408M refuse 120s
            suppress
            lost 0 on host-a: it failed: Command exited with status 1
            revive
            launch on o2 1:2c/1408M refuse 120s
            suppress
        "#]]);
}

#[test]
fn failing_agents_are_left_out_for_a_while() {
    let mut scene = Scene::new(&[("cores.max", "1")]);
    for (offer, executor) in [("o1", "0"), ("o2", "1")] {
        scene.offers(&[(offer, "a 2 4096")]).status(executor, TaskState::Failed, None, "exit 1");
    }
    scene.out.clear();
    scene
        .offers(&[("o3", "a 2 4096")])
        .later(59)
        .offers(&[("o4", "a 2 4096")])
        .later(1)
        .offers(&[("o5", "a 2 4096")])
        .check(expect![[r#"
            decline o3: excluded after executor failures refuse 60s
            decline o4: excluded after executor failures refuse 1s
            revive
            launch on o5 2:1c/1408M refuse 120s
            suppress
        "#]]);
}

#[test]
fn losses_the_executor_did_not_cause_exclude_nobody() {
    let mut scene = Scene::new(&[("cores.max", "1")]);
    let losses = [
        (TaskState::Failed, None, "Command terminated with signal Killed"),
        (TaskState::Failed, Some(Reason::ContainerPreempted), "preempted"),
        (TaskState::Killed, Some(Reason::AgentDraining), "draining"),
        (TaskState::Unreachable, None, ""),
        (TaskState::Lost, Some(Reason::InvalidOffers), "Task launched with invalid offers"),
        (TaskState::Gone, None, ""),
        (TaskState::Finished, None, ""),
    ];
    for (number, (state, reason, message)) in losses.into_iter().enumerate() {
        scene.offers(&[("o", "a 2 4096")]).status(&number.to_string(), state, reason, message);
    }
    scene.out = scene
        .out
        .lines()
        .filter(|line| line.starts_with("lost"))
        .fold(String::new(), |out, line| out + line + "\n");
    scene.check(expect![[r#"
        lost 0 on host-a: its process was killed: Command terminated with signal Killed
        lost 1 on host-a: the cluster took its resources: preempted
        lost 2 on host-a: the cluster took its resources: draining
        lost 3 on host-a: its agent is unreachable
        lost 4 on host-a: the cluster did not launch it: Task launched with invalid offers
        lost 5 on host-a: its agent is gone
        lost 6 on host-a: it ended
    "#]]);
    assert!(scene.scheduler.agents.none_excluded());
}

#[test]
fn out_of_memory_says_what_to_raise() {
    Scene::new(&[]).offers(&[("o", "a 2 4096")]).status("0", TaskState::Failed, Some(Reason::ContainerLimitationMemory), "Memory limit exceeded").check(expect![[r#"
        launch on o 0:2c/1408M
        lost 0 on host-a: it used more memory than its container has; raise spark.executor.memoryOverhead or spark.executor.memory (Memory limit exceeded)
        revive
    "#]]);
}

#[test]
fn an_executor_that_comes_back_is_killed() {
    Scene::new(&[("cores.max", "2")])
        .offers(&[("o1", "a 2 4096")])
        .status("0", TaskState::Unreachable, None, "")
        .status("0", TaskState::Running, Some(Reason::AgentReregistered), "")
        .status("0", TaskState::Killed, None, "")
        .check(expect![[r#"
            launch on o1 0:2c/1408M refuse 120s
            suppress
            lost 0 on host-a: its agent is unreachable
            revive
            kill 0
        "#]]);
}

#[test]
fn a_lost_agent_takes_its_executors_along() {
    Scene::new(&[("executor.cores", "1"), ("cores.max", "3")])
        .offers(&[("o1", "a 2 4096"), ("o2", "b 2 4096")])
        .event(Event::AgentFailure("a".into()))
        .event(Event::AgentFailure("c".into()))
        .check(expect![[r#"
            launch on o1 0:1c/1408M 1:1c/1408M refuse 120s
            launch on o2 2:1c/1408M refuse 120s
            suppress
            lost 0 on host-a: its agent is gone
            lost 1 on host-a: its agent is gone
            revive
        "#]]);
}

#[test]
fn the_executor_limit_suppresses_and_revives() {
    Scene::new(&[("executor.cores", "1")])
        .event(Event::ExecutorLimit(Some(0)))
        .offers(&[("o1", "a 4 8192")])
        .event(Event::ExecutorLimit(Some(2)))
        .offers(&[("o2", "a 4 8192")])
        .event(Event::ExecutorLimit(Some(1)))
        .event(Event::KillExecutor("1".to_owned()))
        .status("1", TaskState::Killed, None, "")
        .check(expect![[r#"
            suppress
            decline o1: no more executors are wanted
            revive
            launch on o2 0:1c/1408M 1:1c/1408M refuse 120s
            suppress
            kill 1
            lost 1 on host-a: it was killed at the driver's wish
        "#]]);
}

#[test]
fn silence_after_a_launch_is_asked_about_and_resubscription_asks_about_all() {
    Scene::new(&[("executor.cores", "1"), ("cores.max", "2")])
        .offers(&[("o1", "a 2 4096")])
        .status("0", TaskState::Starting, None, "")
        .later(29)
        .later(1)
        .later(30)
        .event(Event::Registered { framework_id: "F".to_owned(), again: true })
        .check(expect![[r#"
            launch on o1 0:1c/1408M 1:1c/1408M refuse 120s
            suppress
            reconcile [1]
            reconcile [1]
            reconcile [0 1]
            suppress
        "#]]);
}

#[test]
fn a_new_leader_may_not_know_an_executor_that_lives() {
    let unknown = (TaskState::UnknownTask, Some(Reason::Reconciliation), "Task is unknown");
    Scene::new(&[("executor.cores", "1"), ("cores.max", "2")])
        .offers(&[("o1", "a 2 4096")])
        .event(Event::ExecutorRegistered("0".to_owned()))
        .event(Event::Registered { framework_id: "F".to_owned(), again: true })
        .status("0", unknown.0, unknown.1, unknown.2)
        .status("1", unknown.0, unknown.1, unknown.2)
        .event(Event::KillExecutor("0".to_owned()))
        .check(expect![[r#"
            launch on o1 0:1c/1408M 1:1c/1408M refuse 120s
            suppress
            reconcile [0 1]
            suppress
            lost 1 on host-a: the cluster did not launch it: Task is unknown
            revive
            kill 0
        "#]]);
}

#[test]
fn another_framework_begins_without_executors_but_as_the_same_application() {
    let mut scene = Scene::new(&[("executor.cores", "1"), ("cores.max", "1")]);
    scene
        .offers(&[("o1", "a 2 4096")])
        .event(Event::Registered { framework_id: "G".to_owned(), again: true })
        .offers(&[("o2", "a 2 4096")])
        .check(expect![[r#"
            launch on o1 0:1c/1408M refuse 120s
            suppress
            lost 0 on host-a: the master had removed its framework after the failover timeout
            reconcile []
            launch on o2 1:1c/1408M refuse 120s
            suppress
        "#]]);
    assert_eq!(scene.scheduler.application_id, "F");
}

#[test]
fn after_the_stop_everything_goes_back() {
    Scene::new(&[]).event(Event::Stop).offers(&[("o1", "a 2 4096")]).check(expect![[r#"
        suppress
        decline o1: the application ends
    "#]]);
}

#[test]
fn waiting_says_why() {
    Scene::new(&[("mesos.constraints", "zone:x"), ("cores.max", "2")])
        .report(expect!["waiting for executors of 1 core and 1408 MiB: no agent has offered anything"])
        .offers(&[("o1", "a 4 4096 y"), ("o2", "b 4 512 x"), ("o3", "c 4 4096")])
        .report(expect!["waiting for executors of 1 core and 1408 MiB: 3 agents: 2 lack attribute zone=x (refused for another 120 s); 1 offers 512 MiB of the 1408 MiB wanted"])
        .event(Event::AgentFailure("a".into()))
        .offers(&[("o4", "b 4 4096 x")])
        .report(expect!["waiting for executors of 1 core and 1408 MiB: 1 executor is starting"])
        .event(Event::ExecutorRegistered("0".to_owned()))
        .report(expect!["nothing"]);
}

#[test]
fn tasks_start_when_enough_cores_came_or_the_wait_is_over() {
    let pairs = [
        ("cores.max", "4"),
        ("executor.cores", "2"),
        ("scheduler.minRegisteredResourcesRatio", "0.5"),
    ];
    let mut scene = Scene::new(&pairs);
    scene.offers(&[("o1", "a 4 8192")]);
    assert!(!scene.scheduler.is_ready(scene.now));
    assert_eq!(scene.scheduler.ready_at(), Some(scene.now + Duration::from_secs(30)));
    scene.event(Event::ExecutorRegistered("1".to_owned()));
    assert!(scene.scheduler.is_ready(scene.now));

    let mut scene = Scene::new(&pairs);
    scene.later(29);
    assert!(!scene.scheduler.is_ready(scene.now));
    scene.later(1);
    assert!(scene.scheduler.is_ready(scene.now));
    // Without a maximum there is nothing to take a share of, as in Spark 2.2 and later.
    let scene = Scene::new(&[("scheduler.minRegisteredResourcesRatio", "0.5")]);
    assert!(scene.scheduler.is_ready(scene.now));
    assert_eq!(scene.scheduler.ready_at(), None);
}

#[test]
fn at_cores_max_waiting_says_so() {
    Scene::new(&[("cores.max", "2")])
        .offers(&[("o1", "a 2 4096")])
        .event(Event::ExecutorRegistered("0".to_owned()))
        .report(expect!["nothing"])
        .event(Event::WaitingTasks(3))
        .report(expect!["waiting for executors of 1 core and 1408 MiB: spark.cores.max=2 is reached: 2 cores are held"]);
}

#[test]
fn silent_agents_are_explained_by_the_master() {
    let view = |body: &str| Event::Cluster(ClusterView::from_slaves_json(body).unwrap());
    Scene::new(&[("cores.max", "2")])
        .event(view(r#"{"slaves":[]}"#))
        .report(expect!["waiting for executors of 1 core and 1408 MiB: the cluster has no agents"])
        .event(view(
            r#"{"slaves":[{"id":"a","hostname":"host-a","resources":{"cpus":8,"mem":8192},"reserved_resources":{"dev":{"cpus":8,"mem":8192}}},
                {"id":"b","hostname":"host-b","resources":{"cpus":8,"mem":8192},"used_resources":{"cpus":8,"mem":100}}]}"#,
        ))
        .offers(&[("o", "c 1 512")])
        .report(expect!["waiting for executors of 1 core and 1408 MiB: 3 agents: 1 has all but 0 cpus and 8092 MiB in use; 1 keeps all but 0 cpus and 0 MiB for role dev; 1 offers 512 MiB of the 1408 MiB wanted"]);
}

#[test]
fn gpus_are_a_condition_and_shared_out() {
    let gpus = |id: &str, agent: &str, count: f64| {
        with(offer(id, &format!("{agent} 8 16384")), [Resource::scalar_of("gpus", count)])
    };
    let pairs = [("mesos.gpus.max", "5"), ("mesos.executor.gpus", "2"), ("executor.cores", "1")];
    let mut scene = Scene::new(&pairs);
    scene
        .event(Event::Offers(vec![
            gpus("o1", "a", 3.0),
            gpus("o2", "b", 4.0),
            offer("o3", "c 8 8192"),
        ]))
        .check(expect![[r#"
            launch on o1 0:1c/1408M/2G refuse 120s
            launch on o2 1:1c/1408M/2G refuse 120s
            decline o3: offers 0 of the 2 GPUs wanted
            suppress
        "#]]);
    // Unless executors ask for them, GPUs are no condition, and each executor gets one.
    Scene::new(&[("mesos.gpus.max", "2"), ("executor.cores", "4"), ("cores.max", "12")])
        .event(Event::Offers(vec![gpus("o1", "a", 8.0), offer("o2", "b 4 8192")]))
        .check(expect![[r#"
            launch on o1 0:4c/1408M/1G 1:4c/1408M/1G refuse 120s
            launch on o2 2:4c/1408M refuse 120s
            suppress
        "#]]);
    // Without `spark.mesos.gpus.max` none are taken.
    let mut scene = Scene::new(&[]);
    scene.event(Event::Offers(vec![gpus("o1", "a", 8.0)])).check(expect![[r#"
        launch on o1 0:8c/1408M
    "#]]);
}

#[test]
fn each_executor_has_a_port_of_its_own() {
    let ports = |id: &str, begin: u64, end: u64| {
        with(offer(id, "a 4 8192"), [Resource::ranges_of("ports", [(begin, end)])])
    };
    let pairs = [("blockManager.port", "7000"), ("port.maxRetries", "1"), ("executor.cores", "1")];
    let mut scene = Scene::new(&pairs);
    let launch = scene
        .scheduler
        .handle(Event::Offers(vec![ports("o1", 6000, 8000)]), scene.now)
        .into_iter()
        .find_map(|action| match action {
            Action::Launch(launch) => Some(launch),
            _ => None,
        })
        .unwrap();
    let given: Vec<_> = launch
        .tasks
        .iter()
        .map(|task| {
            let port = task.resources.iter().find(|r| r.name == "ports").unwrap();
            let range = &port.ranges.as_ref().unwrap().range[0];
            let arguments = &task.command.as_ref().unwrap().arguments;
            assert_eq!(arguments[arguments.len() - 2], "--block-manager-port");
            (range.begin, range.end, arguments.last().unwrap().clone())
        })
        .collect();
    // Two retries of the port leave room for two executors, whatever else there is.
    assert_eq!(given, [(7000, 7000, "7000".to_owned()), (7001, 7001, "7001".to_owned())]);
    Scene::new(&pairs).event(Event::Offers(vec![ports("o1", 31_000, 32_000)])).check(expect![[
        r#"
        decline o1: offers no port from 7000 to 7001
    "#
    ]]);
}

#[test]
fn resources_of_a_role_are_used_before_others() {
    let mut scene = Scene::new(&[("mesos.role", "dev"), ("cores.max", "3")]);
    let offer = with(
        offer("o1", "a 2 1000"),
        [reserved("cpus", 1.5, "dev"), reserved("mem", 1000.0, "dev")],
    );
    let actions = scene.scheduler.handle(Event::Offers(vec![offer]), scene.now);
    let Action::Launch(launch) = &actions[0] else { panic!("{actions:?}") };
    let shown: Vec<String> = launch.tasks[0]
        .resources
        .iter()
        .map(|r| format!("{}({}):{}", r.name, r.role(), r.scalar.as_ref().unwrap().value))
        .collect();
    assert_eq!(shown.join(" "), "cpus(dev):1.5 cpus(*):1.5 mem(dev):1000 mem(*):408");
}

#[test]
fn fractions_of_one_agent_add_up() {
    // 1.5 reserved and 1.5 unreserved cpus are three slots; the reference sums before it cuts, too,
    // but does not combine offers.
    Scene::new(&[])
        .offers(&[("o1", "a 1.5 1000"), ("o2", "a 1.5 1000"), ("o3", "b 0.9 4096")])
        .check(expect![[r#"
            launch on o1+o2 0:3c/1408M
            decline o3: offers 0.9 of the 1 cpus wanted
        "#]]);
}

#[test]
fn executors_grow_by_whole_tasks() {
    Scene::new(&[("task.cpus", "2"), ("cores.max", "7")])
        .offers(&[("o1", "a 5 8192"), ("o2", "b 3 8192")])
        .check(expect![[r#"
            launch on o1 0:4c/1408M refuse 120s
            launch on o2 1:2c/1408M refuse 120s
            suppress
        "#]]);
}

#[test]
fn so_many_instances_and_no_more() {
    Scene::new(&[("executor.cores", "1"), ("executor.instances", "2")])
        .offers(&[("o1", "a 8 8192"), ("o2", "b 8 8192"), ("o3", "c 8 8192")])
        .event(Event::WaitingTasks(1))
        .event(Event::ExecutorRegistered("0".to_owned()))
        .event(Event::ExecutorRegistered("1".to_owned()))
        .check(expect![[r#"
            launch on o1 0:1c/1408M refuse 120s
            launch on o2 1:1c/1408M refuse 120s
            decline o3: no more executors are wanted
            suppress
        "#]])
        .report(expect![
            "waiting for executors of 1 core and 1408 MiB: no more than 2 executors are wanted"
        ]);
}

#[test]
fn a_package_that_cannot_be_fetched_is_told_apart() {
    let message = "Failed to launch container: Failed to fetch all URIs for container";
    let reason = Some(Reason::ContainerLaunchFailed);
    Scene::new(&[("cores.max", "1")])
        .offers(&[("o", "a 2 4096")])
        .status("0", TaskState::Failed, reason, message)
        .check(expect![[r#"
            launch on o 0:1c/1408M refuse 120s
            suppress
            lost 0 on host-a: its package could not be fetched; check that the agents can reach spark.executor.uri and spark.mesos.uris (Failed to launch container: Failed to fetch all URIs for container)
            revive
        "#]]);
}

#[test]
fn metrics_count_every_fate() {
    let mut scene = Scene::new(&[("mesos.constraints", "zone:x"), ("cores.max", "1")]);
    scene.offers(&[("o1", "a 4 4096 y"), ("o2", "b 4 4096 x")]);
    scene.now += Duration::from_millis(250);
    scene.event(Event::ExecutorRegistered("0".to_owned()));
    let metrics = scene.scheduler.metrics().to_json();
    assert_eq!(metrics["mesos.offers.received"], 2.0);
    assert_eq!(metrics["mesos.offers.accepted"], 1.0);
    assert_eq!(metrics["mesos.offers.declined.unmet_constraint"], 1.0);
    assert_eq!(metrics["mesos.offers.declined.too_few_cpus"], 0.0);
    assert_eq!(metrics["mesos.executors.launched"], 1.0);
    assert_eq!(metrics["mesos.firstExecutor.seconds"], 0.25);
}

#[test]
fn what_is_launched_was_offered() {
    let mut scene = Scene::new(&[("executor.cores", "2")]);
    let offers = vec![offer("o1", "a 5 8192"), offer("o2", "a 1 100")];
    let pool = Pool::of(&offers);
    let actions = scene.scheduler.handle(Event::Offers(offers), scene.now);
    let Action::Launch(launch) = &actions[0] else { panic!("{actions:?}") };
    let sum = |name: &str, tasks: &[TaskInfo]| {
        let taken =
            tasks.iter().map(|t| Offer { resources: t.resources.clone(), ..Offer::default() });
        Pool::of(&taken.collect::<Vec<_>>()).amount(name)
    };
    assert_eq!(launch.tasks.len(), 3);
    assert_eq!(sum("cpus", &launch.tasks), 6000);
    assert!(sum("mem", &launch.tasks) <= pool.amount("mem"));
}

/// Where nothing is to be moved first, Mesos' own three seconds hold.
#[test]
fn executors_that_move_their_output_first_get_the_time() {
    let grace = |pairs: &[(&str, &str)]| {
        let mut scene = Scene::new(pairs);
        let actions =
            scene.scheduler.handle(Event::Offers(vec![offer("o1", "a 2 4096")]), scene.now);
        let Action::Launch(launch) = &actions[0] else { panic!("{actions:?}") };
        let policy = launch.tasks[0].kill_policy.as_ref();
        policy.map(|policy| policy.grace_period.as_ref().unwrap().to_duration().as_secs())
    };
    assert_eq!(grace(&[]), None);
    assert_eq!(grace(&[("decommission.enabled", "true")]), Some(60));
}

#[test]
fn what_the_configuration_says_is_in_the_task() {
    let pairs = [
        ("mesos.task.labels", "team:a,cost\\:center:7"),
        ("mesos.executor.docker.image", "img:1"),
        ("mesos.executor.docker.volumes", "/data:/data:ro"),
        ("mesos.executor.secret.values", "s3cr3t"),
        ("mesos.executor.secret.envkeys", "TOKEN"),
        ("mesos.executor.secret.filenames", "token"),
        ("mesos.uris", "http://h/a"),
        ("executorEnv.A", "1"),
        ("executor.extraLibraryPath", "/lib/x"),
        ("cores.max", "1"),
    ];
    let task = |launch: &Launch| launch.tasks[0].clone();
    let mut scene = Scene::new(&pairs);
    let actions = scene.scheduler.handle(Event::Offers(vec![offer("o", "a 1 4096")]), scene.now);
    let Action::Launch(launch) = &actions[0] else { panic!("{actions:?}") };
    let task = task(launch);
    let labels: Vec<_> =
        task.labels.as_ref().unwrap().labels.iter().map(|l| (l.key.as_str(), l.value())).collect();
    assert_eq!(labels, [("team", "a"), ("cost:center", "7")]);
    assert_eq!(task.name, "app 0");
    let container = task.container.as_ref().unwrap();
    assert_eq!(container.docker.as_ref().unwrap().image, "img:1");
    let volumes: Vec<_> = container.volumes.iter().map(|v| v.container_path.as_str()).collect();
    assert_eq!(volumes, ["/data", "token"]);
    let command = task.command.as_ref().unwrap();
    assert_eq!(command.uris[0].value, "http://h/a");
    let variable = |name: &str| {
        let variables = &command.environment.as_ref().unwrap().variables;
        variables.iter().find(|variable| variable.name == name).unwrap().clone()
    };
    assert_eq!(variable("A").value(), "1");
    assert_eq!(variable("SPARK_EXECUTOR_LIBRARY_PATH").value(), "/lib/x");
    assert_eq!(variable("SPARK_EXECUTOR_MEMORY").value(), "1024m");
    assert_eq!(variable("TOKEN").value, None, "a secret is no plain text");
    assert!(variable("TOKEN").secret.is_some());
}

#[test]
fn dynamic_allocation_starts_at_its_initial_target() {
    let mut scheduler = scheduler(&[("dynamicAllocation.enabled", "true")]);
    let registered = Event::Registered { framework_id: "F".to_owned(), again: false };
    let now = Instant::now();
    assert_eq!(scheduler.handle(registered, now), [Action::Suppress]);
    assert_eq!(scheduler.handle(Event::ExecutorLimit(Some(1)), now), [Action::Revive]);
    Scene::new(&[
        ("dynamicAllocation.enabled", "true"),
        ("dynamicAllocation.initialExecutors", "1"),
        ("executor.cores", "1"),
    ])
    .offers(&[("o1", "a 8 8192")])
    .check(expect![[r#"
        launch on o1 0:1c/1408M refuse 120s
        suppress
    "#]]);
}
