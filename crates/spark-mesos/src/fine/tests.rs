//! Scenarios, each a few events and the actions they lead to.

use std::fmt::Write;

use expect_test::{Expect, expect};
use mesos_api::executor_info::Type as ExecutorType;
use mesos_api::task_status::{Reason, Source};
use mesos_api::{Resource, TaskState, TaskStatus};

use super::*;
use crate::coarse::tests::{context, offer, reserved, settings, show, with};
use crate::events::TaskLaunch;

struct Scene {
    scheduler: FineScheduler,
    now: Instant,
    out: String,
}

impl Scene {
    fn new(pairs: &[(&str, &str)]) -> Self {
        let pairs = [&[("mesos.coarse", "false")], pairs].concat();
        let mut scene = Self {
            scheduler: FineScheduler::new(settings(&pairs), context()),
            now: Instant::now(),
            out: String::new(),
        };
        scene.event(Event::Registered { framework_id: "F".to_owned(), again: false });
        scene.check(expect![[r#"
            suppress
        "#]]);
        // A subscription counts as a REVIVE.
        scene.now += Duration::from_millis(5);
        scene
    }

    fn event(&mut self, event: Event) -> &mut Self {
        for action in self.scheduler.handle(event, self.now) {
            writeln!(self.out, "{}", describe(&action)).unwrap();
        }
        self
    }

    fn offers(&mut self, offers: &[(&str, &str)]) -> &mut Self {
        self.event(Event::Offers(offers.iter().map(|(id, text)| offer(id, text)).collect()))
    }

    fn waiting(&mut self, count: u64) -> &mut Self {
        self.event(Event::WaitingTasks(count))
    }

    fn launch(&mut self, executor: &str, tasks: &[&str]) -> &mut Self {
        let launch = |task: &&str| TaskLaunch {
            task_id: (*task).to_owned(),
            executor_id: executor.to_owned(),
            name: format!("task {task}"),
            data: task.as_bytes().to_vec().into(),
        };
        self.event(Event::LaunchTasks(tasks.iter().map(launch).collect()))
    }

    fn status(&mut self, id: &str, state: TaskState) -> &mut Self {
        self.word(id, state, Source::Executor, None, "")
    }

    fn word(
        &mut self,
        id: &str,
        state: TaskState,
        source: Source,
        reason: Option<Reason>,
        message: &str,
    ) -> &mut Self {
        let mut status = TaskStatus { task_id: id.into(), ..TaskStatus::default() };
        status.message = Some(message.to_owned()).filter(|message| !message.is_empty());
        status.set_state(state);
        status.set_source(source);
        status.reason = reason.map(Into::into);
        self.event(Event::Status(status))
    }

    fn later(&mut self, milliseconds: u64) -> &mut Self {
        self.now += Duration::from_millis(milliseconds);
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

/// As in coarse-grained mode, with the tasks of a launch.
fn describe(action: &Action) -> String {
    let mut out = show(action);
    if let Action::Launch(launch) = action {
        for task in &launch.tasks {
            write!(out, " [{}]", task.task_id).unwrap();
        }
    }
    out
}

#[test]
fn a_task_starts_an_executor_and_the_next_ones_share_it() {
    Scene::new(&[])
        .waiting(3)
        .offers(&[("o1", "a 4 4096"), ("o2", "b 1.5 4096"), ("o3", "c 4 1407")])
        .launch("0", &["t0", "t1"])
        .status("t0", TaskState::Running)
        .offers(&[("o4", "a 1 2688")])
        .launch("0", &["t2"])
        .waiting(0)
        .check(expect![[r#"
            revive
            decline o2: offers 1.5 of the 2 cpus wanted
            decline o3: offers 1407 MiB of the 1408 MiB wanted
            slots 0 on host-a: 3
            slots 0 on host-a: 0
            launch on o1 0:0c/1408M refuse 1s [t0] [t1]
            slots 0 on host-a: 1
            launch on o4 refuse 1s [t2]
            suppress
        "#]]);
}

#[test]
fn what_is_launched_is_what_mesos_wants() {
    let mut scene = Scene::new(&[("mesos.role", "dev"), ("mesos.mesosExecutor.cores", "0.5")]);
    scene.waiting(2);
    let offer = with(
        offer("o1", "a 2 1000"),
        [reserved("cpus", 1.0, "dev"), reserved("mem", 1000.0, "dev")],
    );
    scene.event(Event::Offers(vec![offer]));
    let mut tasks = Vec::new();
    for (task, executor) in [("t0", "0"), ("t1", "0")] {
        let launch = TaskLaunch {
            task_id: task.to_owned(),
            executor_id: executor.to_owned(),
            name: format!("task {task}"),
            data: vec![1, 2, 3].into(),
        };
        tasks.push(launch);
    }
    let actions = scene.scheduler.handle(Event::LaunchTasks(tasks), scene.now);
    let Some(Action::Launch(launch)) = actions.iter().find(|a| matches!(a, Action::Launch(_)))
    else {
        panic!("{actions:?}")
    };
    let text = |resources: &[Resource]| {
        let shown = resources
            .iter()
            .map(|r| format!("{}({}):{}", r.name, r.role(), r.scalar.as_ref().unwrap().value));
        shown.collect::<Vec<_>>().join(" ")
    };
    let [first, second] = &launch.tasks[..] else { panic!("{launch:?}") };
    let executor = first.executor.as_ref().unwrap();
    assert_eq!(first.executor, second.executor, "Mesos wants the executor repeated to the letter");
    assert_eq!(executor.r#type(), ExecutorType::Custom);
    assert_eq!(text(&executor.resources), "cpus(dev):0.5 mem(dev):1000 mem(*):408");
    assert_eq!(text(&first.resources), "cpus(dev):0.5 cpus(*):0.5");
    assert_eq!(text(&second.resources), "cpus(*):1");
    assert_eq!(first.data.as_deref(), Some(&[1, 2, 3][..]));
    assert_eq!(first.name, "task t0");
    let command = executor.command.as_ref().unwrap().arguments.join(" ");
    expect!["/opt/spark/bin/spark-class org.apache.spark.executor.MesosExecutorBackend --driver-url spark://10.0.0.1:7000 --executor-id 0 --app-id F --hostname host-a"]
        .assert_eq(&command);
    assert_eq!(scene.scheduler.cpus_held(), 2.5);
}

#[test]
fn offers_of_one_agent_are_combined_even_if_they_come_apart() {
    Scene::new(&[])
        .waiting(4)
        .offers(&[("o1", "a 1 1000"), ("o2", "a 1 1000")])
        .offers(&[("o3", "a 2 10")])
        .launch("0", &["t0", "t1", "t2"])
        .check(expect![[r#"
            revive
            slots 0 on host-a: 1
            slots 0 on host-a: 3
            launch on o1+o2+o3 0:0c/1408M refuse 1s [t0] [t1] [t2]
        "#]]);
}

#[test]
fn freed_cores_are_asked_for_unless_they_come_by_themselves() {
    let mut scene = Scene::new(&[]);
    scene
        .waiting(9)
        .offers(&[("o1", "a 3 4096")])
        .launch("0", &["t0", "t1"])
        .status("t0", TaskState::Running)
        .status("t1", TaskState::Running);
    scene.later(100).out.clear();
    // The master is quicker than our patience.
    scene
        .status("t0", TaskState::Finished)
        .later(1)
        .offers(&[("o2", "a 1 10")])
        .launch("0", &["t2"])
        .later(10)
        .check(expect![[r#"
            task t0 on 0 ended: Finished
            slots 0 on host-a: 1
            launch on o2 refuse 1s [t2]
        "#]]);
    // It is not.
    scene
        .status("t1", TaskState::Finished)
        .status("t2", TaskState::Finished)
        .later(1)
        .later(1)
        .offers(&[("o3", "a 2 10")])
        .launch("0", &["t3", "t4"])
        .status("t3", TaskState::Finished)
        .later(2)
        .later(3)
        .check(expect![[r#"
            task t1 on 0 ended: Finished
            task t2 on 0 ended: Finished
            revive
            slots 0 on host-a: 2
            launch on o3 refuse 1s [t3] [t4]
            task t3 on 0 ended: Finished
            revive
        "#]]);
}

#[test]
fn no_revive_while_a_usable_offer_is_held() {
    let mut scene = Scene::new(&[]);
    scene.waiting(5).offers(&[("o1", "a 3 4096"), ("o2", "b 3 4096")]).launch("0", &["t0", "t1"]);
    scene.out.clear();
    scene.status("t0", TaskState::Finished).later(50).waiting(9).later(50).check(expect![[r#"
        task t0 on 0 ended: Finished
        slots 1 on host-b: 2
    "#]]);
}

#[test]
fn without_demand_nothing_is_held_or_wanted() {
    Scene::new(&[])
        .offers(&[("o1", "a 4 4096")])
        .waiting(1)
        .offers(&[("o2", "a 4 4096")])
        .waiting(0)
        .check(expect![[r#"
            decline o1: not needed
            revive
            slots 0 on host-a: 3
            slots 0 on host-a: 0
            decline o2: not needed
            suppress
        "#]]);
}

#[test]
fn an_offer_no_task_wants_goes_back() {
    Scene::new(&[])
        .waiting(1)
        .offers(&[("o1", "a 4 4096")])
        .later(499)
        .later(1)
        .later(999)
        .later(1)
        .check(expect![[r#"
            revive
            slots 0 on host-a: 3
            slots 0 on host-a: 0
            decline o1: not needed
            revive
        "#]]);
}

#[test]
fn cores_max_counts_executors_and_tasks() {
    let mut scene = Scene::new(&[("cores.max", "4")]);
    scene
        .waiting(9)
        .offers(&[("o1", "a 8 8192"), ("o2", "b 8 8192")])
        .launch("0", &["t0", "t1", "t2"])
        .offers(&[("o3", "c 8 8192")])
        .report(expect!["waiting for executors of 2 cores and 1408 MiB: 1 executor is starting"])
        .status("t0", TaskState::Running)
        .report(expect!["waiting for executors of 2 cores and 1408 MiB: spark.cores.max=4 is reached: 4 cores are held"])
        .check(expect![[r#"
            revive
            slots 0 on host-a: 3
            launch on o1 0:0c/1408M refuse 1s [t0] [t1] [t2]
            decline o3: spark.cores.max is reached refuse 120s
        "#]]);
    assert_eq!(scene.scheduler.cpus_held(), 4.0);
}

#[test]
fn an_idle_executor_gives_way_when_cores_max_leaves_no_other_room() {
    let mut scene = Scene::new(&[("cores.max", "2")]);
    scene.waiting(1).offers(&[("o1", "a 4 4096")]).launch("0", &["t0"]).waiting(0);
    scene.status("t0", TaskState::Finished).later(1000).out.clear();
    // The agent of the executor is full with others' tasks; only another one offers.
    scene
        .waiting(1)
        .offers(&[("o2", "b 4 4096")])
        .event(Event::ExecutorFailure {
            agent_id: "a".into(),
            executor_id: "0".into(),
            status: Some(0),
        })
        .later(2)
        .later(10)
        .offers(&[("o3", "b 4 4096")])
        .launch("1", &["t1"])
        .check(expect![[r#"
            revive
            shutdown 0
            lost 0 on host-a: it was idle and its resources went back
            decline o2: spark.cores.max is reached
            revive
            slots 1 on host-b: 1
            launch on o3 1:0c/1408M refuse 1s [t1]
        "#]]);
}

#[test]
fn idle_executors_are_released_unless_their_output_is_needed() {
    let mut scene = Scene::new(&[]);
    scene.waiting(1).offers(&[("o1", "a 4 4096")]).launch("0", &["t0"]).waiting(0);
    scene.event(Event::MapOutputNeeded { executor_id: "0".to_owned(), needed: true });
    scene.status("t0", TaskState::Finished).out.clear();
    scene
        .later(10_000)
        .event(Event::MapOutputNeeded { executor_id: "0".to_owned(), needed: false })
        .later(0)
        .check(expect![[r#"
            shutdown 0
            lost 0 on host-a: it was idle and its resources went back
        "#]]);
    // It counts until it is gone.
    assert_eq!(scene.scheduler.cpus_held(), 1.0);
    scene.event(Event::ExecutorFailure {
        agent_id: "a".into(),
        executor_id: "0".into(),
        status: Some(0),
    });
    assert_eq!(scene.scheduler.cpus_held(), 0.0);
    scene.check(expect![""]);
}

#[test]
fn the_shuffle_service_keeps_output_for_executors_that_go() {
    let mut scene = Scene::new(&[("shuffle.service.enabled", "true")]);
    scene.waiting(1).offers(&[("o1", "a 4 4096")]).launch("0", &["t0"]).waiting(0);
    scene.event(Event::MapOutputNeeded { executor_id: "0".to_owned(), needed: true });
    scene.status("t0", TaskState::Finished).out.clear();
    scene.later(10_000).check(expect![[r#"
        shutdown 0
        lost 0 on host-a: it was idle and its resources went back
    "#]]);
}

#[test]
fn a_task_that_fails_keeps_its_executor() {
    Scene::new(&[])
        .waiting(2)
        .offers(&[("o1", "a 3 4096")])
        .launch("0", &["t0", "t1"])
        .word("t0", TaskState::Failed, Source::Executor, None, "division by zero")
        .word("t0", TaskState::Failed, Source::Executor, None, "a repetition")
        .event(Event::KillTask("t1".to_owned()))
        .status("t1", TaskState::Killed)
        .check(expect![[r#"
            revive
            slots 0 on host-a: 2
            launch on o1 0:0c/1408M refuse 1s [t0] [t1]
            task t0 on 0 ended: Failed("division by zero")
            kill t1
            task t1 on 0 ended: Killed
        "#]]);
}

#[test]
fn a_lost_executor_takes_its_tasks_along() {
    let terminated = Some(Reason::ExecutorTerminated);
    let mut scene = Scene::new(&[]);
    scene
        .waiting(2)
        .offers(&[("o1", "a 3 4096")])
        .launch("0", &["t0", "t1"])
        .status("t0", TaskState::Running)
        .event(Event::ExecutorFailure {
            agent_id: "a".into(),
            executor_id: "0".into(),
            status: Some(9),
        })
        .word("t0", TaskState::Failed, Source::Agent, Some(Reason::ContainerLimitationMemory), "Memory limit exceeded")
        .word("t1", TaskState::Failed, Source::Agent, terminated, "")
        .later(5)
        .offers(&[("o2", "a 3 4096")])
        .launch("1", &["t2"])
        .check(expect![[r#"
            revive
            slots 0 on host-a: 2
            launch on o1 0:0c/1408M refuse 1s [t0] [t1]
            lost 0 on host-a: it used more memory than its container has; raise spark.executor.memoryOverhead or spark.executor.memory (Memory limit exceeded)
            revive
            slots 1 on host-a: 2
            slots 1 on host-a: 0
            launch on o2 1:0c/1408M refuse 1s [t2]
        "#]]);
    assert_eq!(scene.scheduler.cpus_held(), 2.0);
}

#[test]
fn an_executor_that_ends_without_more_words_is_lost_after_a_while() {
    let mut scene = Scene::new(&[]);
    scene.waiting(1).offers(&[("o1", "a 2 4096")]).launch("0", &["t0"]).waiting(0);
    scene.status("t0", TaskState::Running).out.clear();
    scene
        .event(Event::ExecutorFailure {
            agent_id: "a".into(),
            executor_id: "0".into(),
            status: Some(768),
        })
        .later(499)
        .later(1)
        .check(expect![[r#"
            lost 0 on host-a: it failed: exited with status 3
        "#]]);
}

#[test]
fn refused_launches_leave_nothing_behind() {
    let invalid = Some(Reason::InvalidOffers);
    let mut scene = Scene::new(&[]);
    scene
        .waiting(2)
        .offers(&[("o1", "a 3 4096")])
        .launch("0", &["t0", "t1"])
        .word(
            "t0",
            TaskState::Dropped,
            Source::Master,
            invalid,
            "Task launched with invalid offers",
        )
        .word(
            "t1",
            TaskState::Dropped,
            Source::Master,
            invalid,
            "Task launched with invalid offers",
        );
    assert_eq!(scene.scheduler.cpus_held(), 0.0);
    scene.later(5).offers(&[("o2", "a 3 4096")]).launch("0", &["t2", "t3"]).check(expect![[r#"
        revive
        slots 0 on host-a: 2
        launch on o1 0:0c/1408M refuse 1s [t0] [t1]
        task t0 on 0 ended: Lost(LaunchRefused("Task launched with invalid offers"))
        task t1 on 0 ended: Lost(LaunchRefused("Task launched with invalid offers"))
        revive
        slots 0 on host-a: 2
        launch on o2 0:0c/1408M refuse 1s [t2] [t3]
    "#]]);
}

#[test]
fn tasks_without_a_slot_are_told_so() {
    Scene::new(&[])
        .waiting(9)
        .offers(&[("o1", "a 3 4096")])
        .launch("0", &["t0", "t1", "t2"])
        .launch("0", &["t3"])
        .launch("7", &["t4"])
        .check(expect![[r#"
            revive
            slots 0 on host-a: 2
            launch on o1 0:0c/1408M refuse 1s [t0] [t1]
            task t2 on 0 ended: Lost(LaunchRefused("no offer is held for its executor any more"))
            task t3 on 0 ended: Lost(LaunchRefused("no offer is held for its executor any more"))
            task t4 on 7 ended: Lost(LaunchRefused("no offer is held for its executor any more"))
        "#]]);
}

#[test]
fn a_rescinded_offer_takes_its_slots_back() {
    Scene::new(&[])
        .waiting(9)
        .offers(&[("o1", "a 3 4096"), ("o2", "a 1 1")])
        .event(Event::Rescind("o2".into()))
        .event(Event::Rescind("o1".into()))
        .event(Event::Rescind("o1".into()))
        .launch("0", &["t0"])
        .check(expect![[r#"
            revive
            slots 0 on host-a: 3
            slots 0 on host-a: 0
            slots 0 on host-a: 2
            slots 0 on host-a: 0
            task t0 on 0 ended: Lost(LaunchRefused("no offer is held for its executor any more"))
        "#]]);
}

#[test]
fn agents_and_what_ran_there_are_lost_together() {
    Scene::new(&[])
        .waiting(9)
        .offers(&[("o1", "a 3 4096"), ("o2", "b 3 4096")])
        .launch("0", &["t0"])
        .word("t0", TaskState::Unreachable, Source::Master, Some(Reason::AgentRemoved), "")
        .event(Event::AgentFailure("a".into()))
        .event(Event::AgentFailure("b".into()))
        .word("t0", TaskState::Running, Source::Master, Some(Reason::AgentReregistered), "")
        .check(expect![[r#"
            revive
            slots 0 on host-a: 2
            slots 1 on host-b: 2
            slots 0 on host-a: 0
            launch on o1 0:0c/1408M refuse 1s [t0]
            lost 0 on host-a: its agent is unreachable
            slots 1 on host-b: 0
            lost 1 on host-b: its agent is gone
            kill t0
        "#]]);
}

#[test]
fn executors_of_an_earlier_life_are_ended() {
    let mut scene = Scene::new(&[]);
    let mut status = TaskStatus { task_id: "t9".into(), ..TaskStatus::default() };
    status.set_state(TaskState::Running);
    status.executor_id = Some("3".into());
    status.agent_id = Some("a".into());
    scene.event(Event::Status(status)).check(expect![[r#"
        shutdown 3
    "#]]);
}

#[test]
fn another_framework_begins_without_executors_but_as_the_same_application() {
    let mut scene = Scene::new(&[]);
    scene.waiting(9).offers(&[("o1", "a 3 4096")]).launch("0", &["t0"]);
    scene.out.clear();
    scene.event(Event::Registered { framework_id: "G".to_owned(), again: true }).check(expect![[
        r#"
            lost 0 on host-a: the master had removed its framework after the failover timeout
            reconcile []
        "#
    ]]);
    assert_eq!(scene.scheduler.application_id, "F");
    assert_eq!(scene.scheduler.cpus_held(), 0.0);
}

#[test]
fn a_new_subscription_asks_about_all_tasks_and_forgets_offers() {
    let mut scene = Scene::new(&[]);
    scene.waiting(9).offers(&[("o1", "a 3 4096"), ("o2", "b 3 4096")]).launch("0", &["t0"]);
    scene.out.clear();
    scene
        .event(Event::Registered { framework_id: "F".to_owned(), again: true })
        .offers(&[("o3", "b 3 4096")])
        .later(30_000)
        .check(expect![[r#"
            slots 1 on host-b: 0
            reconcile [t0]
            slots 1 on host-b: 2
            reconcile [t0]
            slots 1 on host-b: 0
            decline o3: not needed
        "#]]);
}

#[test]
fn agents_with_failing_executors_are_left_out() {
    let mut scene = Scene::new(&[]);
    scene.waiting(9);
    for (executor, task) in [("0", "t0"), ("1", "t1")] {
        scene.offers(&[("o", "a 3 4096")]).launch(executor, &[task]);
        let reason = Some(Reason::ExecutorTerminated);
        scene.word(task, TaskState::Failed, Source::Agent, reason, "exited with status 1");
    }
    scene.later(10).out.clear();
    scene
        .offers(&[("o3", "a 3 4096")])
        .report(expect!["waiting for executors of 2 cores and 1408 MiB: 1 agent: 1 excluded after executor failures (refused for another 59 s)"])
        .later(59_990)
        .offers(&[("o4", "a 3 4096")])
        .check(expect![[r#"
            decline o3: excluded after executor failures refuse 59.99s
            revive
            slots 2 on host-a: 2
        "#]]);
}

#[test]
fn constraints_and_ports_hold_here_too() {
    let ports = with(offer("o2", "b 4 4096 x"), [Resource::ranges_of("ports", [(1, 2)])]);
    Scene::new(&[("mesos.constraints", "zone:x"), ("blockManager.port", "7000"), ("port.maxRetries", "0")])
        .waiting(1)
        .offers(&[("o1", "a 4 4096 y")])
        .event(Event::Offers(vec![ports]))
        .report(expect!["waiting for executors of 2 cores and 1408 MiB: 2 agents: 1 lacks attribute zone=x (refused for another 120 s); 1 offers no port 7000"])
        .check(expect![[r#"
            revive
            decline o1: lacks attribute zone=x refuse 120s
            decline o2: offers no port 7000
        "#]]);
}

#[test]
fn the_stop_ends_executors_and_returns_offers() {
    Scene::new(&[])
        .waiting(9)
        .offers(&[("o1", "a 3 4096"), ("o2", "b 3 4096")])
        .launch("0", &["t0"])
        .event(Event::Stop)
        .offers(&[("o3", "c 3 4096")])
        .check(expect![[r#"
            revive
            slots 0 on host-a: 2
            slots 1 on host-b: 2
            slots 0 on host-a: 0
            launch on o1 0:0c/1408M refuse 1s [t0]
            slots 1 on host-b: 0
            decline o2: the application ends
            suppress
            shutdown 0
            decline o3: the application ends
        "#]]);
}
