//! Where things are below the work directory: the layout of Mesos' own agents.
//!
//! ```text
//! slaves/S/frameworks/F/executors/E/runs/{C,latest}                the sandboxes
//! meta/slaves/{S,latest}/slave.info                                what survives the agent's process
//! meta/slaves/S/frameworks/F/{framework.info,executors/E/runs/C/…}
//! ```

use std::path::{Path, PathBuf};

use crate::core::ContainerKey;

/// See the module.
#[derive(Clone, Debug)]
pub struct Paths {
    work_dir: PathBuf,
}

impl Paths {
    /// Paths below a work directory.
    #[must_use]
    pub fn of(work_dir: impl Into<PathBuf>) -> Self {
        Self { work_dir: work_dir.into() }
    }

    /// The work directory.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// All sandboxes.
    #[must_use]
    pub fn sandboxes(&self) -> PathBuf {
        self.work_dir.join("slaves")
    }

    /// The sandbox of a container.
    #[must_use]
    pub fn sandbox(&self, agent_id: &str, key: &ContainerKey, container_id: &str) -> PathBuf {
        run(self.sandboxes().join(plain(agent_id)), key, container_id)
    }

    /// What is kept for recovery.
    #[must_use]
    pub fn meta(&self) -> PathBuf {
        self.work_dir.join("meta")
    }

    /// Boot the checkpoints are of.
    #[must_use]
    pub fn boot_id(&self) -> PathBuf {
        self.meta().join("boot_id")
    }

    /// Link to the checkpoints of the agent's present id.
    #[must_use]
    pub fn latest(&self) -> PathBuf {
        self.meta().join("slaves").join("latest")
    }

    /// Checkpoints of an agent.
    #[must_use]
    pub fn agent(&self, agent_id: &str) -> PathBuf {
        self.meta().join("slaves").join(plain(agent_id))
    }

    /// Checkpoints of a framework.
    #[must_use]
    pub fn framework(&self, agent_id: &str, framework_id: &str) -> PathBuf {
        self.agent(agent_id).join("frameworks").join(plain(framework_id))
    }

    /// Checkpoints of a container.
    #[must_use]
    pub fn container(&self, agent_id: &str, key: &ContainerKey, container_id: &str) -> PathBuf {
        run(self.agent(agent_id), key, container_id)
    }
}

/// Checkpoints of a task below those of its container.
#[must_use]
pub fn task(container: &Path, task_id: &str) -> PathBuf {
    container.join("tasks").join(plain(task_id))
}

fn run(agent: PathBuf, key: &ContainerKey, container_id: &str) -> PathBuf {
    agent
        .join("frameworks")
        .join(plain(&key.0.value))
        .join("executors")
        .join(plain(&key.1.value))
        .join("runs")
        .join(container_id)
}

/// An id as the name of a folder; the master checked it, but it must not leave its place.
fn plain(id: &str) -> &Path {
    let path = Path::new(id);
    let single = path.components().count() == 1 && !id.contains('/') && id != ".." && id != ".";
    if single { path } else { Path::new("_") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_never_leave_their_place() {
        let paths = Paths::of("/w");
        let key = ("..".into(), "a/b".into());
        let shown = paths.sandbox("S", &key, "c").display().to_string();
        assert_eq!(shown, "/w/slaves/S/frameworks/_/executors/_/runs/c");
        let kept = paths.container("S", &("F".into(), "E".into()), "c").display().to_string();
        assert_eq!(kept, "/w/meta/slaves/S/frameworks/F/executors/E/runs/c");
    }
}
