//! What the agent remembers of frameworks, containers and tasks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use bytes::Bytes;
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

/// Whether an executor is expected to subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// It has, or there is none.
    Nothing,
    /// For the first time, or after its stream broke.
    Registration,
    /// After a restart of the agent.
    Reregistration,
}

/// Updates remembered of an executor, so that one it sends again is not taken twice. An executor
/// repeats only what was not acknowledged to it, which is little.
const MAXIMUM_RECEIVED: usize = 1024;

/// Uuids of the last updates of an executor, with their tasks.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    known: BTreeSet<(TaskId, Bytes)>,
    order: VecDeque<(TaskId, Bytes)>,
}

impl Received {
    /// Notes an update; false if it was known.
    pub(super) fn note(&mut self, task_id: &TaskId, uuid: &Bytes) -> bool {
        let update = (task_id.clone(), uuid.clone());
        if !self.known.insert(update.clone()) {
            return false;
        }
        self.order.push_back(update);
        if self.order.len() > MAXIMUM_RECEIVED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
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

impl TaskEntry {
    pub(super) fn new(info: TaskInfo) -> Self {
        Self { info, state: TaskState::Staging, delivered: false, killed: false }
    }
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
    pub(super) awaits_subscription: Awaits,
    /// Docker runs it.
    pub(super) docker: bool,
    /// Updates its executor sent.
    pub(super) received: Received,
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
