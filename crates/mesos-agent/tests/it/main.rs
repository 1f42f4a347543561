//! Our master and agent in one process, driven over real sockets by a raw client.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod client;
mod cluster;
mod docker;
mod executor;
mod fetch;
mod files;
mod hdfs;
mod isolation;
mod leaders;
mod recovery;
mod users;

use std::path::Path;
use std::time::Duration;

use client::{Scheduler, command, framework, get, json, task};
use cluster::{Cluster, is_alive, wait_for};
use mesos_api::scheduler::call::{self, Type};
use mesos_api::scheduler::event::Type as EventType;
use mesos_api::task_status::{Reason, Source};
use mesos_api::{CommandInfo, Environment, TaskState};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_to_its_end() {
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    assert!(scheduler.id.value.ends_with("-0000"));
    let offer = scheduler.offer().await;
    assert_eq!(offer.hostname, "localhost");
    assert_eq!(offer.attributes[0].name, "rack");
    let hello = CommandInfo {
        environment: Some(Environment::of([("NAME", "world")])),
        ..command("echo hi $NAME; pwd; env | sort; echo oops >&2")
    };
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", hello)]).await;
    let starting = scheduler.update().await;
    assert_eq!(starting.state(), TaskState::Starting);
    assert_eq!(starting.source(), Source::Executor);
    assert_eq!(starting.executor_id.unwrap().value, "t1");
    assert_eq!(scheduler.update().await.state(), TaskState::Running);
    let finished = scheduler.update().await;
    assert_eq!(finished.state(), TaskState::Finished);
    assert_eq!(finished.message(), "Command exited with status 0");
    let sandbox = cluster.sandbox("t1");
    let stdout = std::fs::read_to_string(sandbox.join("stdout")).unwrap();
    assert!(stdout.starts_with("hi world\n"), "{stdout}");
    let real = sandbox.canonicalize().unwrap();
    for line in [
        format!("MESOS_SANDBOX={}", real.display()),
        format!("MESOS_DIRECTORY={}", real.display()),
        format!("MESOS_FRAMEWORK_ID={}", scheduler.id),
        "MESOS_EXECUTOR_ID=t1".to_owned(),
        "MESOS_CHECKPOINT=0".to_owned(),
    ] {
        assert!(stdout.lines().any(|own| own == line), "{line} in {stdout}");
    }
    assert!(!stdout.contains("HOME="), "nothing of the agent's environment: {stdout}");
    assert_eq!(std::fs::read_to_string(sandbox.join("stderr")).unwrap(), "oops\n");
    // Everything is free again and offered at once, for more is free than was refused.
    let again = scheduler.offer().await;
    assert_eq!(again.resources, offer.resources);
    let state = json(&cluster.address, "/master/state").await;
    assert_eq!(state["frameworks"][0]["completed_tasks"][0]["state"], "TASK_FINISHED");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_how_the_command_ended() {
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    for (id, text, message) in [
        ("t1", "exit 3", "Command exited with status 3"),
        ("t2", "kill -9 $$", "Command terminated with signal Killed"),
    ] {
        let offer = scheduler.offer().await;
        scheduler.launch(&offer, vec![task(id, &offer, "cpus:1;mem:64", command(text))]).await;
        assert_eq!(scheduler.states(2).await, [TaskState::Starting, TaskState::Running]);
        let failed = scheduler.update().await;
        assert_eq!((failed.state(), failed.message()), (TaskState::Failed, message));
    }
    let offer = scheduler.offer().await;
    let missing = CommandInfo { shell: Some(false), ..command("/no/such/program") };
    scheduler.launch(&offer, vec![task("t3", &offer, "cpus:1;mem:64", missing)]).await;
    let failed = scheduler.update().await;
    assert_eq!(failed.state(), TaskState::Failed);
    assert_eq!(failed.reason(), Reason::ContainerLaunchFailed);
    assert!(failed.message().contains("'/no/such/program'"), "{}", failed.message());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_reaches_the_whole_tree() {
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    // One child in the session, one in a session of its own whose parent is gone.
    let text = "sleep 1000 & echo $! > child; (setsid sleep 1000 & echo $! > away); wait";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    assert_eq!(scheduler.states(2).await, [TaskState::Starting, TaskState::Running]);
    let sandbox = cluster.sandbox("t1");
    let mut pids = Vec::new();
    for name in ["child", "away"] {
        let file = sandbox.join(name);
        let read = || std::fs::read_to_string(&file).ok().filter(|pid| pid.ends_with('\n'));
        pids.push(wait_for(name, read).await);
    }
    assert!(pids.iter().all(|pid| is_alive(pid)));
    let kill = call::Kill { task_id: "t1".into(), ..Default::default() };
    assert_eq!(scheduler.call(Type::Kill, |call| call.kill = Some(kill)).await, 202);
    let killed = scheduler.update().await;
    assert_eq!(killed.state(), TaskState::Killed);
    assert_eq!(killed.message(), "Command terminated with signal Terminated");
    assert!(!pids.iter().any(|pid| is_alive(pid)), "{pids:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn teardown_ends_processes_and_the_stream() {
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    let text = "echo $$ > pid; exec sleep 1000";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    assert_eq!(scheduler.states(2).await, [TaskState::Starting, TaskState::Running]);
    let file = cluster.sandbox("t1").join("pid");
    let read = || std::fs::read_to_string(&file).ok().filter(|pid| pid.ends_with('\n'));
    let pid = wait_for("pid", read).await;
    assert_eq!(scheduler.call(Type::Teardown, |_| {}).await, 202);
    while scheduler.next().await.is_some() {}
    wait_for("the end of the process", || (!is_alive(&pid)).then_some(())).await;
    let state = json(&cluster.address, "/state").await;
    assert_eq!(state["frameworks"].as_array().unwrap().len(), 0);
    assert_eq!(state["completed_frameworks"][0]["completed_tasks"][0]["state"], "TASK_KILLED");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declined_stays_away_until_revived() {
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    let decline = call::Decline {
        offer_ids: vec![offer.id.clone()],
        filters: Some(mesos_api::Filters { refuse_seconds: Some(1000.0) }),
    };
    assert_eq!(scheduler.call(Type::Decline, |call| call.decline = Some(decline)).await, 202);
    scheduler.quiet_for(Duration::from_millis(100)).await.unwrap();
    assert_eq!(scheduler.call(Type::Revive, |_| {}).await, 202);
    let again = scheduler.offer().await;
    assert_eq!(again.resources, offer.resources);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stops_loses_its_tasks_and_kills_them() {
    let mut cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    let text = "trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    assert_eq!(scheduler.states(2).await, [TaskState::Starting, TaskState::Running]);
    let file = cluster.sandbox("t1").join("pid");
    let read = || std::fs::read_to_string(&file).ok().filter(|pid| pid.ends_with('\n'));
    let pid = wait_for("pid", read).await;
    cluster.agents.remove(0).shutdown().await;
    assert!(!is_alive(&pid));
    let lost = scheduler.update().await;
    assert_eq!((lost.state(), lost.source()), (TaskState::Lost, Source::Master));
    let failure = scheduler.expect(EventType::Failure).await.failure.unwrap();
    assert_eq!(failure.agent_id, Some(offer.agent_id));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_sandboxes_are_served_and_no_others() {
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    let text = "echo 0123456789; ln -s /etc/passwd leak";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    scheduler.states(3).await;
    let agent = cluster.agents[0].addr.to_string();
    let sandbox = cluster.sandbox("t1").canonicalize().unwrap();
    let read =
        |file: &str| format!("/files/read?path={}/{file}&offset=2&length=3", sandbox.display());
    assert_eq!(
        json(&agent, &read("stdout")).await,
        serde_json::json!({"data": "234", "offset": 2})
    );
    assert_eq!(get(&agent, &read("leak")).await.0, 404);
    assert_eq!(get(&agent, &read("../../../../../../../../../../../etc/passwd")).await.0, 404);
    let by_id = format!(
        "/files/read?path=/frameworks/{}/executors/t1/runs/latest/stdout&offset=0",
        scheduler.id
    );
    assert_eq!(json(&agent, &by_id).await["data"], "0123456789\n");
    let listing = json(&agent, &format!("/files/browse?path={}", sandbox.display())).await;
    let names: Vec<_> = listing
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["path"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["leak", "stderr", "stdout"]);
    cluster.stop().await;
}

/// The harness' own client: JSON, a fetched archive, a custom executor, a kill.
#[tokio::test(flavor = "multi_thread")]
async fn the_smoke_test_of_the_harness_passes() {
    let cluster = Cluster::start(1).await;
    let smoke = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/apache-mesos/smoke");
    let run = tokio::process::Command::new("python3")
        .arg(smoke)
        .arg(&cluster.address)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), run).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    cluster.stop().await;
}
