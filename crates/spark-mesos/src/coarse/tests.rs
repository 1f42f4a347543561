//! Scenarios, each a few events and the actions they lead to.

use std::fmt::Write;

use expect_test::{Expect, expect};
use mesos_api::task_status::Reason;
use mesos_api::value::Text;
use mesos_api::{Attribute, Resource, ValueType};
use spark_conf::{Origin, SparkConf};

use super::*;

pub(super) fn context() -> LaunchContext {
    LaunchContext {
        driver_url: "spark://10.0.0.1:7000".to_owned(),
        secret: "secret".to_owned(),
        user: "me".to_owned(),
    }
}

pub(super) fn scheduler(settings: &[(&str, &str)]) -> CoarseScheduler {
    let mut conf = SparkConf::new();
    for (key, value) in settings {
        conf.set(Origin::Program, &format!("spark.{key}"), value);
    }
    conf.set(Origin::Program, "spark.app.name", "app");
    CoarseScheduler::new(Settings::from_conf(&conf, Some("/opt/spark")).unwrap(), context())
}

/// `agent cpus mem [zone]`.
pub(super) fn offer(id: &str, text: &str) -> Offer {
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

fn show(action: &Action) -> String {
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
            }
            out + &seconds(&launch.refuse)
        }
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
        let report = self.scheduler.waiting_report();
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
    assert!(scene.scheduler.agents.values().all(|agent| agent.excluded_until.is_none()));
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
        .report(expect!["waiting for executors of 1 core and 1408 MiB: 3 agents: 2 lack attribute zone=x; 1 offers 512 MiB of the 1408 MiB wanted"])
        .event(Event::AgentFailure("a".into()))
        .offers(&[("o4", "b 4 4096 x")])
        .report(expect!["waiting for executors of 1 core and 1408 MiB: 1 executor is starting"])
        .event(Event::ExecutorRegistered("0".to_owned()))
        .report(expect!["nothing"]);
}

#[test]
fn enough_registered_counts_cores_of_executors_that_came() {
    let mut scene = Scene::new(&[
        ("cores.max", "4"),
        ("executor.cores", "2"),
        ("scheduler.minRegisteredResourcesRatio", "0.5"),
    ]);
    scene.offers(&[("o1", "a 4 8192")]);
    assert!(!scene.scheduler.has_enough_registered());
    scene.event(Event::ExecutorRegistered("1".to_owned()));
    assert!(scene.scheduler.has_enough_registered());
}

#[test]
fn settings_that_exclude_each_other() {
    let check = |settings: &[(&str, &str)]| {
        let mut conf = SparkConf::new();
        for (key, value) in settings {
            conf.set(Origin::Program, &format!("spark.{key}"), value);
        }
        Settings::from_conf(&conf, Some("/opt")).unwrap_err().to_string()
    };
    expect!["spark.cores.max=1 is less than spark.executor.cores=2: no executor could start"]
        .assert_eq(&check(&[("cores.max", "1"), ("executor.cores", "2")]));
    expect!["spark.executor.cores=1 is less than spark.task.cpus=2: no task could run"]
        .assert_eq(&check(&[("task.cpus", "2"), ("executor.cores", "1")]));
    expect!["spark.mesos.principal must be configured when spark.mesos.secret is set"]
        .assert_eq(&check(&[("mesos.secret", "x")]));
}
