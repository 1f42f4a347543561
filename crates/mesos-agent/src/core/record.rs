//! What is kept on disk for the agent's successor, and what that finds there.

use std::path::PathBuf;

use bytes::Bytes;
use mesos_api::{
    AgentInfo, ExecutorInfo, FrameworkId, FrameworkInfo, TaskId, TaskInfo, TaskStatus,
};

use super::event::ContainerKey;

/// Something to keep, or to keep no longer. Only what belongs to frameworks that checkpoint is kept,
/// and the agent itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The agent with its id.
    Agent(Box<AgentInfo>),
    /// The agent has no id any more, and nothing runs.
    NoAgent,
    /// A framework.
    Framework(Box<FrameworkInfo>),
    /// Nothing of a framework is left.
    NoFramework(FrameworkId),
    /// A container, before it is started.
    Container {
        /// Which.
        of: ContainerRef,
        /// What runs.
        executor: Box<ExecutorInfo>,
        /// The agent itself looks after its one task.
        command: bool,
        /// Docker runs it.
        docker: bool,
    },
    /// A task of a container.
    Task {
        /// Its container.
        of: ContainerRef,
        /// The task.
        task: Box<TaskInfo>,
    },
    /// An update the agent is responsible for from now on.
    Update {
        /// The task's container.
        of: ContainerRef,
        /// The update.
        status: Box<TaskStatus>,
    },
    /// An update has reached its scheduler.
    Acknowledged {
        /// The task's container.
        of: ContainerRef,
        /// Which task.
        task_id: TaskId,
        /// Which update.
        uuid: Bytes,
    },
    /// A container is gone; updates of its tasks may still wait.
    Ended(ContainerRef),
    /// Nothing of a container matters any more.
    NoContainer(ContainerRef),
}

/// A container among those of the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerRef {
    /// Its name.
    pub key: ContainerKey,
    /// Its id.
    pub id: String,
}

/// What an earlier agent left.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// What it told about itself, with the id it had.
    pub agent: Option<AgentInfo>,
    /// Frameworks that checkpoint.
    pub frameworks: Vec<FrameworkInfo>,
    /// Their containers.
    pub containers: Vec<RecoveredContainer>,
}

/// A container an earlier agent left.
#[derive(Clone, Debug)]
pub struct RecoveredContainer {
    /// Which.
    pub of: ContainerRef,
    /// What runs.
    pub executor: ExecutorInfo,
    /// The agent itself looks after its one task.
    pub command: bool,
    /// Docker runs it.
    pub docker: bool,
    /// Its sandbox.
    pub directory: PathBuf,
    /// Its first process, if it was started.
    pub pid: Option<u32>,
    /// Its end was told already.
    pub ended: bool,
    /// Its tasks.
    pub tasks: Vec<RecoveredTask>,
}

/// A task an earlier agent left.
#[derive(Clone, Debug)]
pub struct RecoveredTask {
    /// The task.
    pub info: TaskInfo,
    /// All its updates, the oldest first.
    pub updates: Vec<TaskStatus>,
    /// Which of them reached their scheduler.
    pub acknowledged: Vec<Bytes>,
}

impl RecoveredTask {
    /// Updates that wait for their acknowledgement.
    #[must_use]
    pub fn pending(&self) -> Vec<TaskStatus> {
        let waits = |status: &&TaskStatus| {
            status.uuid.as_ref().is_none_or(|uuid| !self.acknowledged.contains(uuid))
        };
        self.updates.iter().filter(waits).cloned().collect()
    }
}
