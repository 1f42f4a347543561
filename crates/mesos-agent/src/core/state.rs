//! What the agent remembers of frameworks, containers and tasks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mesos_api::{ExecutorInfo, FrameworkInfo, TaskId, TaskInfo, TaskState};

use super::Time;
use super::event::StreamId;

#[derive(Clone, Debug)]
pub(super) struct Framework {
    pub(super) info: FrameworkInfo,
    /// It is being ended: nobody wants to hear of its tasks any more.
    pub(super) ending: bool,
}

/// Who runs the tasks of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The agent itself: the process is the task.
    Command,
    /// A framework's executor, which subscribes and reports.
    Custom,
}

/// Where a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Fetching and starting.
    Launching,
    /// The process runs.
    Running { pid: u32 },
    /// It was told to end; the deadline kills it.
    Ending { pid: Option<u32> },
}

#[derive(Clone, Debug)]
pub(super) struct TaskEntry {
    pub(super) info: TaskInfo,
    pub(super) state: TaskState,
    /// The executor was given it.
    pub(super) delivered: bool,
    /// A kill arrived.
    pub(super) killed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) kind: Kind,
    pub(super) executor: ExecutorInfo,
    pub(super) container_id: String,
    pub(super) directory: PathBuf,
    pub(super) phase: Phase,
    pub(super) stream: Option<StreamId>,
    pub(super) tasks: BTreeMap<TaskId, TaskEntry>,
    /// When to kill it: for not subscribing, or for not ending.
    pub(super) deadline: Option<Time>,
    /// The deadline is one for subscribing.
    pub(super) awaits_subscription: bool,
    /// The task outlived its `max_completion_time`.
    pub(super) overran: bool,
}

impl Container {
    pub(super) fn is_custom(&self) -> bool {
        self.kind == Kind::Custom
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        match self.phase {
            Phase::Launching => None,
            Phase::Running { pid } => Some(pid),
            Phase::Ending { pid } => pid,
        }
    }
}
