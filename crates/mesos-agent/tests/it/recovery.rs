//! An agent is killed, and another one goes on in its place. The agents are processes of their own:
//! this test program, told to be one.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser as _;
use mesos_agent::AgentOptions;
use mesos_api::scheduler::call::{self, Type};
use mesos_api::scheduler::event::Type as EventType;
use mesos_api::{FrameworkInfo, TaskState};

use crate::client::{Scheduler, command, framework, task};
use crate::cluster::{Cluster, find, is_alive, wait_for};

const FLAGS: &str = "MESOS_AGENT_TEST_FLAGS";

/// No test: what [`AgentProcess`] runs.
#[test]
fn agent_process() {
    let Ok(flags) = std::env::var(FLAGS) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let arguments = std::iter::once("mesos-agent").chain(flags.lines());
        let options = AgentOptions::try_parse_from(arguments).unwrap();
        match mesos_agent::start(options).await {
            Ok(agent) => {
                let mut terminate =
                    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                        .unwrap();
                terminate.recv().await;
                agent.leave().await;
            }
            Err(error) => {
                println!("refused: {error}");
                std::process::exit(3);
            }
        }
    });
}

/// Flags of an agent that is started again and again.
pub(crate) struct Place {
    folder: PathBuf,
    port: u16,
    master: String,
}

impl Place {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = cluster.folder.path().join("agent");
        Self { folder, port, master: cluster.address.clone() }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut flags = vec![
            format!("--master={}", self.master),
            "--ip=127.0.0.1".to_owned(),
            "--hostname=localhost".to_owned(),
            format!("--port={}", self.port),
            format!("--work_dir={}", self.folder.display()),
        ];
        if !more.iter().any(|flag| flag.starts_with("--resources")) {
            flags.push("--resources=cpus:4;mem:1024;disk:0;ports:[31000-31009]".to_owned());
        }
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["recovery::agent_process", "--exact", "--nocapture"]);
        command.env(FLAGS, flags.join("\n")).stdin(Stdio::null());
        command
    }

    pub(crate) fn start(&self, more: &[&str]) -> AgentProcess {
        let mut command = self.command(more);
        AgentProcess(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

pub(crate) struct AgentProcess(Child);

impl AgentProcess {
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn terminate(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn checkpointing() -> FrameworkInfo {
    FrameworkInfo { checkpoint: Some(true), failover_timeout: Some(60.0), ..framework() }
}

pub(crate) async fn read_in(cluster: &Cluster, task: &str, name: &str) -> String {
    let suffix = format!("executors/{task}/runs/latest");
    let read = || {
        let sandbox = find(cluster.folder.path(), &suffix)?;
        std::fs::read_to_string(sandbox.join(name)).ok().filter(|text| text.ends_with('\n'))
    };
    wait_for(name, read).await
}

/// The next update of a task that says something new.
pub(crate) async fn next_state(
    scheduler: &mut Scheduler,
    last: TaskState,
) -> mesos_api::TaskStatus {
    loop {
        let event = scheduler.next().await.expect("the stream goes on");
        if event.r#type() != EventType::Update {
            continue;
        }
        let status = event.update.unwrap().status;
        scheduler.acknowledge(&status).await;
        if status.state() != last {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpointed_task_outlives_the_agent_and_its_end_is_told_truly() {
    let cluster = Cluster::start(0).await;
    let place = Place::new(&cluster);
    let agent = place.start(&[]);
    let mut scheduler = Scheduler::subscribe(&cluster.address, checkpointing()).await;
    let offer = scheduler.offer().await;
    let text = "echo $$ > pid; while [ ! -e go ]; do sleep 0.02; done; exit 7";
    let tasks = vec![
        task("away", &offer, "cpus:1;mem:64", command(text)),
        task("back", &offer, "cpus:1;mem:64", command(text)),
    ];
    scheduler.launch(&offer, tasks).await;
    assert_eq!(scheduler.states(4).await.iter().filter(|s| **s == TaskState::Running).count(), 2);
    let pids = [read_in(&cluster, "away", "pid").await, read_in(&cluster, "back", "pid").await];
    // The shim is all that Mesos adds to a checkpointed task.
    let forked = find(cluster.folder.path(), "forked.pid").unwrap();
    let forked = std::fs::read_to_string(forked).unwrap();
    let shim = forked.split_whitespace().nth(1).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = rss.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib <= 2048, "{kib} KiB");
    agent.kill();
    assert!(pids.iter().all(|pid| is_alive(pid)));
    // One ends while nobody looks, the other under the eyes of the next agent.
    std::fs::write(cluster.sandbox("away").join("go"), "").unwrap();
    wait_for("the end of the task", || (!is_alive(&pids[0])).then_some(())).await;
    let agent = place.start(&[]);
    let failed = next_state(&mut scheduler, TaskState::Running).await;
    assert_eq!(failed.task_id.value, "away");
    assert_eq!(
        (failed.state(), failed.message()),
        (TaskState::Failed, "Command exited with status 7")
    );
    assert!(is_alive(&pids[1]));
    // It does so again, politely asked to go this time.
    agent.terminate();
    assert!(is_alive(&pids[1]));
    let _agent = place.start(&[]);
    std::fs::write(cluster.sandbox("back").join("go"), "").unwrap();
    // The end of the first is told again if its acknowledgement crossed the agent's leave.
    let failed = loop {
        let status = next_state(&mut scheduler, TaskState::Running).await;
        if status.task_id.value != "away" {
            break status;
        }
    };
    assert_eq!(failed.task_id.value, "back");
    assert_eq!(failed.message(), "Command exited with status 7");
    assert_eq!(failed.agent_id, Some(offer.agent_id), "it is the same agent");
    // Nothing is left to be recovered.
    let acknowledged = || find(cluster.folder.path(), "container.info").is_none().then_some(());
    wait_for("the end of the checkpoints", acknowledged).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_task_can_be_killed_with_all_it_started() {
    let cluster = Cluster::start(0).await;
    let place = Place::new(&cluster);
    let agent = place.start(&[]);
    let mut scheduler = Scheduler::subscribe(&cluster.address, checkpointing()).await;
    let offer = scheduler.offer().await;
    let text = "echo $$ > pid; (setsid sleep 1000 & echo $! > child); sleep 1000";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    scheduler.states(2).await;
    let pids = [read_in(&cluster, "t1", "pid").await, read_in(&cluster, "t1", "child").await];
    agent.kill();
    let _agent = place.start(&[]);
    let kill = call::Kill { task_id: "t1".into(), ..Default::default() };
    scheduler.call(Type::Kill, |call| call.kill = Some(kill)).await;
    let killed = next_state(&mut scheduler, TaskState::Running).await;
    assert_eq!(killed.state(), TaskState::Killed);
    assert_eq!(killed.message(), "Command terminated with signal Terminated");
    assert!(!pids.iter().any(|pid| is_alive(pid)), "{pids:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_not_checkpointed_dies_with_its_agent() {
    let cluster = Cluster::start(0).await;
    let place = Place::new(&cluster);
    let agent = place.start(&[]);
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    let text =
        "trap '' TERM; echo $$ > pid; (setsid env -i sleep 1000 & echo $! > child); sleep 1000";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    scheduler.states(2).await;
    let pids = [read_in(&cluster, "t1", "pid").await, read_in(&cluster, "t1", "child").await];
    agent.kill();
    let killed = Instant::now();
    let dead = || (!pids.iter().any(|pid| is_alive(pid))).then_some(());
    wait_for("the death of the task", dead).await;
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    let lost = next_state(&mut scheduler, TaskState::Running).await;
    assert_eq!(lost.state(), TaskState::Lost);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_nobody_acknowledged_are_sent_again_in_order() {
    let cluster = Cluster::start(0).await;
    let place = Place::new(&cluster);
    let agent = place.start(&[]);
    let mut scheduler = Scheduler::subscribe(&cluster.address, checkpointing()).await;
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command("exit 3"))]).await;
    let starting = scheduler.expect(EventType::Update).await.update.unwrap().status;
    assert_eq!(starting.state(), TaskState::Starting);
    let ended = || find(cluster.folder.path(), "executor.sentinel");
    wait_for("the end of the task", ended).await;
    agent.kill();
    let _agent = place.start(&[]);
    let again = scheduler.update().await;
    assert_eq!((again.state(), again.uuid), (TaskState::Starting, starting.uuid));
    assert_eq!(scheduler.states(2).await, [TaskState::Running, TaskState::Failed]);
    cluster.stop().await;
}

fn refusal(place: &Place, flags: &[&str]) -> String {
    let output = place.command(flags).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_has_changed_is_told_what_to_do() {
    let cluster = Cluster::start(0).await;
    let place = Place::new(&cluster);
    let agent = place.start(&[]);
    let mut scheduler = Scheduler::subscribe(&cluster.address, checkpointing()).await;
    let offer = scheduler.offer().await;
    let text = "echo $$ > pid; sleep 1000";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    scheduler.states(2).await;
    let pid = read_in(&cluster, "t1", "pid").await;
    agent.kill();
    let less = "--resources=cpus:2;mem:1024;disk:0;ports:[31000-31009]";
    let told = refusal(&place, &[less]);
    assert!(
        told.contains("resources were 'cpus:4") && told.contains("--recover=cleanup"),
        "{told}"
    );
    let told = refusal(&place, &[less, "--reconfiguration_policy=additive"]);
    assert!(told.contains("which is less of something"), "{told}");
    let told = refusal(&place, &["--attributes=rack:r9"]);
    assert!(told.contains("attributes were '' and are 'rack:r9'"), "{told}");
    assert!(is_alive(&pid), "nobody touched it");
    let _agent = place.start(&[less, "--recover=cleanup"]);
    wait_for("the death of the task", || (!is_alive(&pid)).then_some(())).await;
    let fresh = loop {
        // Updates of the lost task and the failure of the old agent come in between.
        let event = scheduler.next().await.expect("the stream goes on");
        let offers = event.offers.map(|offers| offers.offers).unwrap_or_default();
        if let Some(other) = offers.into_iter().find(|other| other.agent_id != offer.agent_id) {
            break other;
        }
    };
    assert_eq!(mesos_api::Resources::from(fresh.resources.as_slice()).scalar("cpus"), 2.0);
    assert!(!Path::new(&place.folder.join("meta/slaves")).join(offer.agent_id.value).exists());
    cluster.stop().await;
}
