//! Executors of frameworks in Docker containers, as Spark's are.

use mesos_api::scheduler::call::Type;
use mesos_api::scheduler::event::Type as EventType;
use mesos_api::task_status::Reason;
use mesos_api::{ContainerInfo, ExecutorInfo, TaskState};

use super::{Daemon, IMAGE, containers};
use crate::client::{Scheduler, framework};
use crate::cluster::{Cluster, wait_for};
use crate::executor::{in_a_container, task_of, update_or_failure, volumes};
use crate::recovery::{Place, checkpointing, next_state};

const TASK: &str = "cpus:0.5;mem:64";

fn executor(id: &str) -> ExecutorInfo {
    let container = ContainerInfo {
        r#type: mesos_api::container_info::Type::Docker.into(),
        docker: Some(mesos_api::container_info::DockerInfo {
            image: IMAGE.into(),
            ..Default::default()
        }),
        volumes: volumes(),
        ..ContainerInfo::default()
    };
    ExecutorInfo { container: Some(container), ..in_a_container(id, "cpus:0.1;mem:64") }
}

async fn launch(scheduler: &mut Scheduler, executor: &ExecutorInfo, id: &str, script: &str) {
    let offer = scheduler.offer().await;
    let task = task_of(executor, id, &offer, TASK, script);
    scheduler.launch(&offer, vec![task]).await;
}

fn memory(daemon: &Daemon) -> u64 {
    let id = daemon.docker(&["ps", "-q"]);
    let told = daemon.docker(&["inspect", "-f", "{{.HostConfig.Memory}}", id.trim()]);
    told.trim().parse().unwrap()
}

/// One container runs several tasks, hears its scheduler, and ends with its framework.
pub(super) async fn a_warm_one_runs_tasks(cluster: &Cluster, daemon: &Daemon) {
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let executor = executor("warm");
    launch(&mut scheduler, &executor, "w1", "read /etc/passwd").await;
    assert_eq!(scheduler.update().await.state(), TaskState::Running);
    let finished = scheduler.update().await;
    assert_eq!(finished.state(), TaskState::Finished, "{}", finished.message());
    let passwd = String::from_utf8(finished.data.unwrap().to_vec()).unwrap();
    assert_eq!(passwd.lines().count(), 2, "the image's, not the machine's: {passwd}");
    let container = containers(daemon, 1).await;
    launch(&mut scheduler, &executor, "w2", "hold").await;
    assert_eq!(scheduler.update().await.state(), TaskState::Running);
    // The executor's own 64 MiB, and those of its task.
    let grown = || (memory(daemon) == 128 << 20).then_some(());
    wait_for("memory for the task", grown).await;
    let message = mesos_api::scheduler::call::Message {
        agent_id: scheduler.last_agent.clone().unwrap(),
        executor_id: "warm".into(),
        data: "ping".into(),
    };
    assert_eq!(scheduler.call(Type::Message, |call| call.message = Some(message)).await, 202);
    let message = scheduler.expect(EventType::Message).await.message.unwrap();
    assert_eq!(message.data, "ping");
    scheduler.kill("w2", None).await;
    assert_eq!(scheduler.update().await.state(), TaskState::Killed);
    assert_eq!(daemon.docker(&["ps", "-q"]), container, "it was one container all the time");
    assert_eq!(scheduler.call(Type::Teardown, |_| {}).await, 202);
    let none = || daemon.docker(&["ps", "-aq"]).is_empty().then_some(());
    wait_for("the end of the executor", none).await;
}

pub(super) async fn their_ends_are_told(cluster: &Cluster) {
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    for (id, script, reason, told) in [
        (
            "e1",
            "exit 3",
            Reason::ExecutorTerminated,
            "Executor terminated: it exited with status 3",
        ),
        ("e2", "eat", Reason::ContainerLimitationMemory, "Memory limit exceeded: Requested: 128MB"),
    ] {
        launch(&mut scheduler, &executor(id), id, script).await;
        assert_eq!(scheduler.update().await.state(), TaskState::Running);
        let (mut status, mut failure) = (None, None);
        while status.is_none() || failure.is_none() {
            match update_or_failure(&mut scheduler).await {
                Ok(update) => status = Some(update),
                Err(told) => failure = Some(told),
            }
        }
        let status = status.unwrap();
        assert_eq!((status.state(), status.reason()), (TaskState::Failed, reason));
        assert!(status.message().starts_with(told), "{}", status.message());
        let failure = failure.unwrap();
        assert_eq!(failure.executor_id.unwrap().value, id);
        // Raw wait statuses, as Mesos tells them: of its own code, and of the kernel's SIGKILL.
        assert_eq!(failure.status, Some(if id == "e1" { 3 << 8 } else { 137 << 8 }));
    }
}

/// One of a framework that checkpoints goes on and finds the next agent; others die with theirs.
pub(super) async fn they_outlive_the_agent_or_go_with_it(daemon: &Daemon) {
    let cluster = Cluster::start(0).await;
    let place = Place::new(&cluster);
    let socket = format!("--docker_socket={}", daemon.socket().display());
    let flags = ["--containerizers=docker,mesos", socket.as_str()];
    let agent = place.start(&flags);
    let mut mortal = Scheduler::subscribe(&cluster.address, framework()).await;
    launch(&mut mortal, &executor("mortal"), "m1", "hold").await;
    assert_eq!(mortal.update().await.state(), TaskState::Running);
    assert_eq!(mortal.call(Type::Suppress, |_| {}).await, 202);
    let mut kept = Scheduler::subscribe(&cluster.address, checkpointing()).await;
    launch(&mut kept, &executor("kept"), "k1", "until /mnt/mesos/sandbox/go").await;
    assert_eq!(kept.update().await.state(), TaskState::Running);
    containers(daemon, 2).await;
    agent.kill();
    let survivor = containers(daemon, 1).await;
    // It ends while nobody listens, and tells the next agent.
    std::fs::write(cluster.sandbox("kept").join("go"), "").unwrap();
    let _agent = place.start(&flags);
    let finished = next_state(&mut kept, TaskState::Running).await;
    assert_eq!((finished.task_id.value.as_str(), finished.state()), ("k1", TaskState::Finished));
    let executor = executor("kept");
    let offer = loop {
        // Offers of the agent that died were rescinded.
        let offers = kept.expect_any(EventType::Offers).await.offers.unwrap().offers;
        if let Some(offer) = offers.into_iter().next() {
            break offer;
        }
    };
    let task = task_of(&executor, "k2", &offer, TASK, "read /proc/self/cgroup");
    kept.launch(&offer, vec![task]).await;
    let finished = next_state(&mut kept, TaskState::Running).await;
    assert_eq!((finished.task_id.value.as_str(), finished.state()), ("k2", TaskState::Finished));
    assert_eq!(daemon.docker(&["ps", "-q"]), survivor, "the same container");
    assert_eq!(daemon.docker(&["ps", "-aq"]), survivor, "nothing is left of the other");
    cluster.stop().await;
}
