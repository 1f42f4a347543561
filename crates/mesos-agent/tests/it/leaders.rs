//! An agent follows the leading master, which it finds through ZooKeeper (Debian's, by `tools/zookeeper`).

use std::path::Path;
use std::process::Command;

use mesos_agent::AgentOptions;
use mesos_api::TaskState;
use mesos_api::scheduler::event::Type as EventType;
use mesos_master::{MasterHandle, MasterOptions};

use crate::client::{Scheduler, command, task};
use crate::cluster::{Cluster, is_alive, skip, wait_for};
use crate::recovery::{checkpointing, next_state, read_in};

struct ZooKeeper {
    url: String,
    pid: String,
    _folder: tempfile::TempDir,
}

impl ZooKeeper {
    /// None, said so, if there can be none here; a failure where everything is required.
    fn start() -> Option<Self> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/zookeeper");
        let installed = Command::new(tools.join("setup")).output();
        if !installed.is_ok_and(|output| output.status.success()) {
            skip("ZooKeeper cannot be installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(tools.join("start")).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).unwrap();
        let (port, pid) = told.trim().split_once(' ').unwrap();
        let url = format!("zk://127.0.0.1:{port}/mesos");
        Some(Self { url, pid: pid.to_owned(), _folder: folder })
    }

    async fn master(&self) -> MasterHandle {
        let zk = Some(self.url.clone());
        mesos_master::start(MasterOptions { zk, ..MasterOptions::loopback() }).await.unwrap()
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.pid]).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_follows_the_leader() {
    let Some(zookeeper) = ZooKeeper::start() else { return };
    // Its own master is of no use here.
    let mut cluster = Cluster::start(0).await;
    let first = zookeeper.master().await;
    let options = AgentOptions { master: zookeeper.url.clone(), ..cluster.agent_options() };
    cluster.add_agent_with(options).await;
    let second = zookeeper.master().await;
    let info = checkpointing();
    let mut scheduler = Scheduler::subscribe(&first.addr.to_string(), info.clone()).await;
    let offer = scheduler.offer().await;
    let text = "echo $$ > pid; while [ ! -e go ]; do sleep 0.02; done; exit 7";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    assert_eq!(scheduler.states(2).await, [TaskState::Starting, TaskState::Running]);
    let pid = read_in(&cluster, "t1", "pid").await;
    first.shutdown().await;
    // It leads once it answers what only a leader does.
    let until = std::time::Instant::now() + crate::client::PATIENCE;
    let address = second.addr.to_string();
    while crate::client::get(&address, "/master/slaves").await.0 != 200 {
        assert!(std::time::Instant::now() < until, "nobody leads");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let info = mesos_api::FrameworkInfo { id: Some(scheduler.id.clone()), ..info };
    let mut scheduler = Scheduler::subscribe(&address, info).await;
    // The agent's return is told of its task before.
    let again = scheduler.expect_any(EventType::Offers).await.offers.unwrap().offers.remove(0);
    assert_eq!(again.agent_id, offer.agent_id, "it is the same agent");
    assert!(is_alive(&pid), "nobody touched it");
    std::fs::write(cluster.sandbox("t1").join("go"), "").unwrap();
    let end = next_state(&mut scheduler, TaskState::Running).await;
    assert_eq!((end.state(), end.message()), (TaskState::Failed, "Command exited with status 7"));
    wait_for("the end of the process", || (!is_alive(&pid)).then_some(())).await;
    cluster.stop().await;
    second.shutdown().await;
}
