//! Our master and agents in this process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mesos_agent::{AgentHandle, AgentOptions};
use mesos_master::{MasterHandle, MasterOptions};

use crate::client::PATIENCE;

pub(crate) struct Cluster {
    master: MasterHandle,
    pub(crate) agents: Vec<AgentHandle>,
    pub(crate) address: String,
    pub(crate) folder: tempfile::TempDir,
}

impl Cluster {
    pub(crate) async fn start(agents: usize) -> Self {
        let master = mesos_master::start(MasterOptions::loopback()).await.unwrap();
        let address = master.addr.to_string();
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = Self { master, agents: Vec::new(), address, folder };
        for _ in 0..agents {
            cluster.add_agent().await;
        }
        cluster
    }

    async fn add_agent(&mut self) {
        let options = self.agent_options();
        self.add_agent_with(options).await;
    }

    /// Options of the next agent.
    pub(crate) fn agent_options(&self) -> AgentOptions {
        let work_dir = self.folder.path().join(self.agents.len().to_string());
        AgentOptions {
            resources: Some("cpus:4;mem:1024;disk:0;ports:[31000-31009]".into()),
            attributes: Some("rack:r1".into()),
            ..AgentOptions::loopback(&self.address, work_dir)
        }
    }

    pub(crate) async fn add_agent_with(&mut self, options: AgentOptions) {
        let agent = mesos_agent::start(options).await.unwrap();
        agent.registered().await.unwrap();
        self.agents.push(agent);
    }

    pub(crate) async fn stop(self) {
        for agent in self.agents {
            agent.shutdown().await;
        }
        self.master.shutdown().await;
    }

    /// The one sandbox of a task.
    pub(crate) fn sandbox(&self, task: &str) -> PathBuf {
        let pattern = format!("executors/{task}/runs/latest");
        find(self.folder.path(), &pattern).expect("a sandbox")
    }
}

pub(crate) fn find(folder: &Path, suffix: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.ends_with(suffix) {
            return Some(path);
        }
        if path.is_dir()
            && !path.is_symlink()
            && let Some(found) = find(&path, suffix)
        {
            return Some(found);
        }
    }
    None
}

pub(crate) async fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(std::time::Instant::now() < until, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Says that something cannot be tried on this machine; a failure where everything is required.
#[expect(clippy::print_stdout, reason = "a skipped test is told to whoever runs it")]
pub(crate) fn skip(problem: &str) {
    let required = std::env::var_os("REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "{problem}");
    println!("skipped: {problem}");
}
