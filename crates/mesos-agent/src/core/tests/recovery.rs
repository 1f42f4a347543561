//! What is kept for a successor, and what that makes of it.

use super::*;

/// A task's container as it was left, with updates so far and how many of them were acknowledged.
fn left(custom: bool, updates: &[TaskState], acknowledged: usize) -> Recovered {
    let uuid = |number: usize| Bytes::copy_from_slice(&[u8::try_from(number).unwrap(); 16]);
    let status = |(number, state): (usize, &TaskState)| TaskStatus {
        task_id: "t".into(),
        state: (*state).into(),
        uuid: Some(uuid(number)),
        ..TaskStatus::default()
    };
    let ended = updates.last().is_some_and(|state| state.is_terminal());
    let name = if custom { "e" } else { "t" };
    Recovered {
        agent: Some(AgentInfo { id: Some("S0".into()), ..settings().info }),
        frameworks: vec![framework(true)],
        containers: vec![RecoveredContainer {
            of: ContainerRef { key: key(name), id: "c".into() },
            executor: ExecutorInfo { executor_id: name.into(), ..ExecutorInfo::default() },
            command: !custom,
            docker: false,
            directory: "/w/s".into(),
            pid: Some(42),
            ended: ended && !custom,
            tasks: vec![RecoveredTask {
                info: if custom { custom_task() } else { task("t") },
                updates: updates.iter().enumerate().map(status).collect(),
                acknowledged: (0..acknowledged).map(uuid).collect(),
            }],
        }],
    }
}

fn custom_task() -> TaskInfo {
    custom("t")
}

fn recovered(recovered: Recovered) -> World {
    let now = Time::from_secs(1000);
    let mut agent = Agent::new(settings(), now);
    let actions = agent.recover(recovered, now);
    let mut world = World { agent, now, transcript: String::new(), next_request: 0 };
    for action in actions {
        writeln!(world.transcript, "{}", shown(&action)).unwrap();
    }
    world.handle(Event::Linked);
    world.registered();
    world
}

#[test]
fn what_a_checkpointing_framework_runs_is_kept_until_all_is_told() {
    let mut world = World::new();
    world.run_for(framework(true), task("t"));
    world.launched("t");
    world.acknowledge("t");
    world.acknowledge("t");
    world.exited("t", 0);
    world.acknowledge("t");
    world.check(&expect![[r#"
        save framework F
        save container t
        save task t
        launch t in /w/slaves/S0/frameworks/F/executors/t/runs/07070707-0707-0707-0707-070707070707 Shell("run it")
        save t TASK_STARTING
        save t TASK_RUNNING
        update t TASK_STARTING SOURCE_EXECUTOR, now TASK_RUNNING
        save t acknowledged
        update t TASK_RUNNING SOURCE_EXECUTOR
        save t acknowledged
        save t TASK_FINISHED
        save end of t
        update t TASK_FINISHED SOURCE_EXECUTOR "Command exited with status 0"
        save t acknowledged
        save no container t
        save no framework F
    "#]]);
}

#[test]
fn a_recovered_command_goes_on_where_it_was() {
    let mut world = recovered(left(false, &[TaskState::Starting, TaskState::Running], 1));
    world.exited("t", 7 << 8);
    world.check(&expect![[r#"
        register 'S0' [t TASK_RUNNING]
        update t TASK_RUNNING SOURCE_MASTER
        save t TASK_FAILED
        save end of t
    "#]]);
}

#[test]
fn a_command_whose_start_could_not_be_told_is_told_now() {
    let mut world = recovered(left(false, &[], 0));
    world.check(&expect![[r#"
        save t TASK_STARTING
        save t TASK_RUNNING
        register 'S0' [t TASK_RUNNING, told TASK_STARTING]
        update t TASK_STARTING SOURCE_EXECUTOR, now TASK_RUNNING
    "#]]);
}

#[test]
fn an_end_that_nobody_saw_is_a_failure() {
    let mut world = recovered(left(false, &[TaskState::Starting, TaskState::Running], 2));
    world.transcript.clear();
    world.handle(Event::Exited { container: key("t"), ending: Ending::default() });
    world.check(&expect![[r#"
        save t TASK_FAILED
        save end of t
        update t TASK_FAILED SOURCE_AGENT REASON_EXECUTOR_TERMINATED "The command ended while the agent was away, and how is not known"
    "#]]);
}

#[test]
fn the_end_of_a_container_that_is_gone_is_told_again() {
    use TaskState::{Finished, Running, Starting};
    let mut world = recovered(left(false, &[Starting, Running, Finished], 2));
    assert_eq!(world.agent.running_containers(), 0);
    world.check(&expect![[r#"
        register 'S0' [t TASK_FINISHED]
        update t TASK_FINISHED SOURCE_MASTER
    "#]]);
}

#[test]
fn executors_that_do_not_come_back_are_killed() {
    let mut world = recovered(left(true, &[TaskState::Running], 1));
    world.transcript.clear();
    world.pass(1_999);
    world.note("two seconds");
    world.pass(1);
    world.exited("e", 9);
    world.check(&expect![[r#"
        -- two seconds
        Kill e
        save t TASK_FAILED
        executor e exited Some(9)
        save end of e
        update t TASK_FAILED SOURCE_AGENT REASON_EXECUTOR_REREGISTRATION_TIMEOUT "Executor terminated: it terminated with signal Killed"
    "#]]);
}

#[test]
fn executors_that_come_back_go_on_and_what_they_never_got_is_lost() {
    let mut found = left(true, &[TaskState::Running], 1);
    let info = TaskInfo { task_id: "u".into(), ..custom_task() };
    let (updates, acknowledged) = (Vec::new(), Vec::new());
    found.containers[0].tasks.push(RecoveredTask { info, updates, acknowledged });
    let mut world = recovered(found);
    world.transcript.clear();
    world.subscribe(1);
    world.pass(60_000);
    world.check(&expect![[r#"
        answer Subscribed
        E1: SUBSCRIBED
        save u TASK_LOST
        limit e 0 cpus
        update u TASK_LOST SOURCE_AGENT REASON_AGENT_RESTARTED "Task launched during agent restart"
        update u TASK_LOST SOURCE_AGENT REASON_AGENT_RESTARTED "Task launched during agent restart"
        update u TASK_LOST SOURCE_AGENT REASON_AGENT_RESTARTED "Task launched during agent restart"
    "#]]);
}

/// The agent offers its executors' place again before they are back: what is launched meanwhile waits for them.
#[test]
fn what_comes_before_the_executor_is_back_is_given_to_it() {
    let mut world = recovered(left(true, &[TaskState::Running], 1));
    world.run_for(framework(true), TaskInfo { task_id: "u".into(), ..custom_task() });
    world.transcript.clear();
    world.subscribe(1);
    world.pass(60_000);
    world.check(&expect![[r#"
        answer Subscribed
        E1: SUBSCRIBED
        E1: LAUNCH u
    "#]]);
}

/// An executor repeats what was not acknowledged to it; the agent may have had it.
#[test]
fn updates_that_executors_repeat_are_taken_once() {
    let mut world = recovered(left(true, &[TaskState::Running], 1));
    world.transcript.clear();
    let status = TaskStatus {
        task_id: "t".into(),
        state: TaskState::Running.into(),
        uuid: Some(Bytes::copy_from_slice(&[0; 16])),
        ..TaskStatus::default()
    };
    let subscribe = call::Subscribe {
        unacknowledged_updates: vec![call::Update { status }],
        ..call::Subscribe::default()
    };
    let call = Call {
        framework_id: "F".into(),
        executor_id: "e".into(),
        subscribe: Some(subscribe),
        ..Call::default()
    };
    let answer_to = world.request();
    world.handle(Event::ExecutorSubscribed { stream: StreamId(1), call, answer_to });
    world.check(&expect![[r#"
        answer Subscribed
        E1: SUBSCRIBED
        E1: ACKNOWLEDGED
    "#]]);
}

#[test]
fn an_agent_that_leaves_ends_only_what_is_not_checkpointed() {
    let mut world = World::new();
    world.run_for(framework(true), task("kept"));
    world.launched("kept");
    let mortal = FrameworkInfo { id: Some("G".into()), ..framework(false) };
    world.run_for(mortal, task("mortal"));
    let container = ("G".into(), "mortal".into());
    world.handle(Event::Launched { container, pid: 43 });
    world.transcript.clear();
    world.handle(Event::Leave);
    assert!(world.agent.awaits_ends(false));
    let actions = world.agent.kill_everything(false);
    actions.iter().for_each(|action| writeln!(world.transcript, "{}", shown(action)).unwrap());
    world.check(&expect![[r#"
        Terminate mortal
        Kill mortal
    "#]]);
}

#[test]
fn limits_follow_the_tasks_of_an_executor() {
    let mut world = World::new();
    let sized = |id: &str, cpus: f64| {
        let resources = vec![mesos_api::Resource::scalar_of("cpus", cpus)];
        TaskInfo { resources, ..custom(id) }
    };
    world.run(sized("t", 1.0));
    world.launched("e");
    world.subscribe(1);
    world.transcript.clear();
    world.run(sized("u", 0.5));
    world.executor_says("e", "t", TaskState::Finished);
    let limits: Vec<_> =
        world.transcript.lines().filter(|line| line.starts_with("limit")).collect();
    assert_eq!(limits, ["limit e 1.5 cpus", "limit e 0.5 cpus"]);
}

#[test]
fn a_limit_that_was_hit_is_named() {
    let mut world = World::new();
    world.run(task("t"));
    world.launched("t");
    world.acknowledge("t");
    world.acknowledge("t");
    world.transcript.clear();
    let limitation = Some(Limitation { memory_mib: 64.0, message: "too much".into() });
    let ending = Ending { status: Some(9), limitation };
    world.handle(Event::Exited { container: key("t"), ending });
    world.check(&expect![[r#"
        update t TASK_FAILED SOURCE_AGENT REASON_CONTAINER_LIMITATION_MEMORY "too much"
    "#]]);
}
