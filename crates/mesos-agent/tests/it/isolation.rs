//! Tasks are held to their resources. Needs root and controllers of cpu and memory.

use std::time::Duration;

use mesos_agent::AgentOptions;
use mesos_api::scheduler::call::{self, Type};
use mesos_api::task_status::{Reason, Source};
use mesos_api::{HealthCheck, TaskState};

use crate::client::{Scheduler, command, framework, task};
use crate::cluster::{Cluster, is_alive, skip, wait_for};

/// Whether this machine has what these tests need; says so if not, and fails where all is required.
async fn available(cluster: &mut Cluster) -> bool {
    let demanded = AgentOptions {
        isolation: Some("cgroups/cpu,cgroups/mem".into()),
        ..cluster.agent_options()
    };
    let problem = match mesos_agent::start(demanded).await {
        Ok(agent) => {
            agent.registered().await.unwrap();
            cluster.agents.push(agent);
            return true;
        }
        Err(error) => error.to_string(),
    };
    skip(&problem);
    false
}

/// The group of a process in the hierarchy of a controller, or in that of version 2.
fn group_of(pid: &str, controller: &str) -> String {
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", pid.trim())).unwrap();
    let parts = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
    let mut found = None;
    for part in parts {
        if part[1].split(',').any(|own| own == controller)
            || (part[1].is_empty() && found.is_none())
        {
            found = Some(part[2].to_owned());
        }
    }
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_takes_too_much_memory_dies_of_it_with_all_it_started() {
    let mut cluster = Cluster::start(0).await;
    if !available(&mut cluster).await {
        return;
    }
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    // It is a child that takes the memory; its parent would wait for another one for ever.
    let text = "(setsid sleep 1000 & echo $! > other); echo $$ > pid; tail /dev/zero & sleep 1000";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    assert_eq!(scheduler.states(2).await, [TaskState::Starting, TaskState::Running]);
    let failed = scheduler.update().await;
    assert_eq!((failed.state(), failed.source()), (TaskState::Failed, Source::Agent));
    assert_eq!(failed.reason(), Reason::ContainerLimitationMemory);
    let message = failed.message();
    assert!(
        message.starts_with("Memory limit exceeded: Requested: 64MB Maximum Used: 6"),
        "{message}"
    );
    let limitation = failed.limitation.clone().unwrap();
    assert_eq!(limitation.resources[0].name, "mem");
    let read = |name: &str| std::fs::read_to_string(cluster.sandbox("t1").join(name)).unwrap();
    assert!(!is_alive(&read("other")) && !is_alive(&read("pid")));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_lives_in_its_group_which_goes_with_it() {
    let mut cluster = Cluster::start(0).await;
    if !available(&mut cluster).await {
        return;
    }
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    // What leaves session, environment and parent behind is still the task's.
    let text = "(setsid env -i sleep 1000 & echo $! > away); echo $$ > pid; wait; sleep 1000";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:0.5;mem:64", command(text))]).await;
    assert_eq!(scheduler.states(2).await, [TaskState::Starting, TaskState::Running]);
    let file = cluster.sandbox("t1").join("pid");
    let read = || std::fs::read_to_string(&file).ok().filter(|pid| pid.ends_with('\n'));
    let pid = wait_for("pid", read).await;
    let away = std::fs::read_to_string(cluster.sandbox("t1").join("away")).unwrap();
    for controller in ["cpu", "memory"] {
        let group = group_of(&pid, controller);
        assert!(group.starts_with("/mesos/"), "{group}");
        assert_eq!(group, group_of(&away, controller));
    }
    let folder = format!("/sys/fs/cgroup/cpu{}", group_of(&pid, "cpu"));
    if let Ok(shares) = std::fs::read_to_string(format!("{folder}/cpu.shares")) {
        assert_eq!(shares.trim(), "512");
    }
    // In version 2 there is one group, and a processor's half is a weight.
    let two = format!("/sys/fs/cgroup{}", group_of(&pid, "cpu"));
    if let Ok(weight) = std::fs::read_to_string(format!("{two}/cpu.weight")) {
        assert_eq!(weight.trim(), "20");
        let most = std::fs::read_to_string(format!("{two}/memory.max")).unwrap();
        assert_eq!(most.trim(), (64 << 20).to_string());
    }
    let kill = call::Kill { task_id: "t1".into(), ..Default::default() };
    assert_eq!(scheduler.call(Type::Kill, |call| call.kill = Some(kill)).await, 202);
    assert_eq!(scheduler.update().await.state(), TaskState::Killed);
    assert!(!is_alive(&pid) && !is_alive(&away));
    for folder in [folder, two] {
        assert!(!std::path::Path::new(&folder).exists(), "{folder}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_may_not_limit_says_so_and_runs_tasks() {
    let mut cluster = Cluster::start(0).await;
    let free =
        AgentOptions { isolation: Some("posix/cpu,posix/mem".into()), ..cluster.agent_options() };
    cluster.add_agent_with(free).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    let text = command("cat /proc/self/cgroup");
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", text)]).await;
    scheduler.states(3).await;
    let groups = std::fs::read_to_string(cluster.sandbox("t1").join("stdout")).unwrap();
    assert!(!groups.contains(":/mesos/"), "{groups}");
    let unknown = AgentOptions { isolation: Some("magic".into()), ..cluster.agent_options() };
    let error = mesos_agent::start(unknown).await.unwrap_err().to_string();
    assert!(error.contains("'magic' is none of posix/cpu"), "{error}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_would_look_after_is_refused() {
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    let mut checked = task("t1", &offer, "cpus:1;mem:64", command("sleep 1000"));
    checked.health_check = Some(HealthCheck::default());
    scheduler.launch(&offer, vec![checked]).await;
    let refused = scheduler.update().await;
    assert_eq!((refused.state(), refused.reason()), (TaskState::Error, Reason::TaskInvalid));
    assert!(refused.message().contains("health"), "{}", refused.message());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_rotated_while_it_is_written() {
    let mut cluster = Cluster::start(0).await;
    let options = AgentOptions {
        max_stdout_size: 64 * 1024,
        max_rotated_files: 2,
        ..cluster.agent_options()
    };
    cluster.add_agent_with(options).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    // The part is there before it is whole; only then is the file shortened.
    let text = "yes line | head -c 100000; while [ ! -s stdout.1 ] || [ $(wc -c < stdout) -gt 65536 ]; \
                do sleep 0.05; done; echo end";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    assert_eq!(scheduler.states(3).await[2], TaskState::Finished);
    let sandbox = cluster.sandbox("t1");
    let stdout = std::fs::read_to_string(sandbox.join("stdout")).unwrap();
    let part = std::fs::read_to_string(sandbox.join("stdout.1")).unwrap();
    assert!(stdout.ends_with("end\n") && stdout.len() < 65_600, "{}", stdout.len());
    // All of it, or what had been written when the size was looked at.
    assert!(part.starts_with("line\nline\n") && part.len() > 60_000, "{}", part.len());
    cluster.stop().await;
}

/// Sandboxes of ended containers go when they are old enough; those in use stay.
#[tokio::test(flavor = "multi_thread")]
async fn old_sandboxes_are_removed() {
    let mut cluster = Cluster::start(0).await;
    let options = AgentOptions {
        gc_delay: Duration::ZERO,
        disk_watch_interval: Duration::from_millis(50),
        ..cluster.agent_options()
    };
    cluster.add_agent_with(options).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    let tasks = vec![
        task("short", &offer, "cpus:1;mem:64", command("true")),
        task("long", &offer, "cpus:1;mem:64", command("sleep 1000")),
    ];
    scheduler.launch(&offer, tasks).await;
    scheduler.states(5).await;
    let gone = || crate::cluster::find(cluster.folder.path(), "executors/short");
    wait_for("the end of the sandbox", || gone().is_none().then_some(())).await;
    assert!(cluster.sandbox("long").exists());
    cluster.stop().await;
}
