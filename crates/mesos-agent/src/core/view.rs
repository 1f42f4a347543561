//! A copy of the state for the endpoints.

use std::path::PathBuf;

use mesos_api::{
    AgentInfo, ExecutorInfo, FrameworkId, FrameworkInfo, Resources, TaskInfo, TaskState,
};

use super::Agent;
use super::event::ContainerKey;

/// A container of a framework.
#[derive(Clone, Debug)]
pub struct ExecutorView {
    /// Whose it is.
    pub framework_id: FrameworkId,
    /// What runs.
    pub executor: ExecutorInfo,
    /// Its id.
    pub container_id: String,
    /// Its sandbox.
    pub directory: PathBuf,
    /// Its first process.
    pub pid: Option<u32>,
    /// Its tasks.
    pub tasks: Vec<(TaskInfo, TaskState)>,
}

/// A framework that runs something here.
#[derive(Clone, Debug)]
pub struct FrameworkView {
    /// What it told about itself.
    pub info: FrameworkInfo,
    /// What it runs.
    pub executors: Vec<ExecutorView>,
}

/// The state at a moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The agent.
    pub info: AgentInfo,
    /// Where it is reached.
    pub ip: String,
    /// Its version.
    pub version: String,
    /// It has a connection to the master.
    pub linked: bool,
    /// All it has.
    pub resources: Resources,
    /// Who runs something here.
    pub frameworks: Vec<FrameworkView>,
    /// What ran here.
    pub completed: Vec<ExecutorView>,
}

impl Agent {
    /// Copies the state.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let frameworks = self.frameworks.iter().map(|(id, framework)| FrameworkView {
            info: framework.info.clone(),
            executors: self
                .containers
                .keys()
                .filter(|(framework_id, _)| framework_id == id)
                .filter_map(|key| self.executor_view(key))
                .collect(),
        });
        Snapshot {
            info: self.settings.info.clone(),
            ip: self.settings.ip.clone(),
            version: self.settings.version.clone(),
            linked: self.linked,
            resources: Resources::from(self.settings.info.resources.as_slice()),
            frameworks: frameworks.collect(),
            completed: self.completed.clone(),
        }
    }

    /// Containers that are not gone yet.
    #[must_use]
    pub fn running_containers(&self) -> usize {
        self.containers.len()
    }

    pub(super) fn executor_view(&self, key: &ContainerKey) -> Option<ExecutorView> {
        self.containers.get(key).map(|container| ExecutorView {
            framework_id: key.0.clone(),
            executor: container.executor.clone(),
            container_id: container.container_id.clone(),
            directory: container.directory.clone(),
            pid: container.pid(),
            tasks: container.tasks.values().map(|e| (e.info.clone(), e.state)).collect(),
        })
    }
}
