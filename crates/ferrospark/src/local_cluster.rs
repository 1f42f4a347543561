//! `local-cluster[N,cores,MiB]`: an embedded master and N agents on loopback, with real executor processes.

use anyhow::Context as _;
use mesos_agent::{AgentHandle, AgentOptions};
use mesos_client::MasterAddress;
use mesos_master::{MasterHandle, MasterOptions};
use tokio::sync::Mutex;

/// The embedded cluster.
pub(crate) struct LocalCluster {
    master: MasterAddress,
    parts: Mutex<Option<Parts>>,
}

struct Parts {
    agents: Vec<AgentHandle>,
    master: MasterHandle,
    /// Work directories of all agents; removed with it.
    _folder: tempfile::TempDir,
}

impl LocalCluster {
    /// Starts master and agents; each agent has room for one executor of `memory_mib`, its overhead included.
    pub(crate) async fn start(
        agents: usize,
        cores: usize,
        memory_mib: u64,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("ferrospark-cluster-")
            .tempdir()
            .context("cannot make the cluster's work directory")?;
        let options = MasterOptions {
            work_dir: Some(folder.path().join("master")),
            ..MasterOptions::loopback()
        };
        let master =
            mesos_master::start(options).await.context("cannot start the embedded master")?;
        let address = master.addr;
        let mut handles = Vec::with_capacity(agents);
        for number in 0..agents {
            let work_dir = folder.path().join(format!("agent-{number}"));
            let options = AgentOptions {
                resources: Some(format!(
                    "cpus:{cores};mem:{memory_mib};disk:10240;ports:[31000-32000]"
                )),
                ..AgentOptions::loopback(address.to_string(), work_dir)
            };
            let agent = mesos_agent::start(options)
                .await
                .with_context(|| format!("cannot start the embedded agent {number}"))?;
            agent
                .registered()
                .await
                .with_context(|| format!("the embedded agent {number} was not admitted"))?;
            handles.push(agent);
        }
        let parts = Parts { agents: handles, master, _folder: folder };
        let master = MasterAddress::new(address.ip().to_string(), address.port());
        Ok(Self { master, parts: Mutex::new(Some(parts)) })
    }

    /// Where its master is.
    pub(crate) fn master(&self) -> MasterAddress {
        self.master.clone()
    }

    /// Ends agents and master; what still runs on the agents is killed.
    pub(crate) async fn stop(&self) {
        let Some(parts) = self.parts.lock().await.take() else { return };
        for agent in parts.agents {
            agent.shutdown().await;
        }
        parts.master.shutdown().await;
    }
}
