//! What the scheduler keeps of a stage and of a job.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::ids::{JobId, ShuffleId, StageId, TaskId};
use crate::job::{JobProperties, StageKind, StageSpec};
use crate::task_set::TaskSetId;

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) final_stage: StageId,
    /// All stages it may need, ancestors of reused ones included.
    pub(crate) stages: Vec<StageId>,
    pub(crate) properties: JobProperties,
}

/// Where a stage is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StageState {
    /// Nobody asked for it, or it is finished.
    Idle,
    /// Asked for; parents' output is missing.
    Waiting,
    /// This task set runs.
    Running(TaskSetId),
    /// Ended by a fetch failure, submitted again when the resubmit delay is over.
    Failed,
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) spec: StageSpec,
    /// The stages that make what it reads.
    pub(crate) parents: Vec<StageId>,
    /// Live stages that read what it makes.
    pub(crate) children: BTreeSet<StageId>,
    /// The jobs that need it.
    pub(crate) jobs: BTreeSet<JobId>,
    pub(crate) state: StageState,
    pub(crate) next_attempt: u32,
    /// Successes of earlier attempts do not count: they read output that was replaced by other.
    pub(crate) oldest_valid_attempt: u32,
    /// Attempts that ended by fetch failures since the last success.
    pub(crate) fetch_failed_attempts: u32,
    /// Counted failures per partition since the last success of the stage.
    pub(crate) failures: IndexMap<u32, u32>,
    /// Task sets of the stage that still have running tasks, the current one included.
    pub(crate) task_sets: Vec<TaskSetId>,
    /// Per partition, the attempt that may commit its output.
    pub(crate) committers: IndexMap<u32, TaskId>,
    /// Of a result stage: which partitions are done.
    pub(crate) results: ResultPartitions,
    /// The caller wants the shuffle beyond its jobs.
    pub(crate) retained: bool,
    /// It or an ancestor is indeterminate.
    pub(crate) indeterminate: bool,
}

#[derive(Debug, Default)]
pub(crate) struct ResultPartitions {
    pub(crate) finished: Vec<bool>,
    pub(crate) remaining: usize,
}

impl Stage {
    pub(crate) fn new(spec: StageSpec, parents: Vec<StageId>, indeterminate: bool) -> Self {
        let results = match spec.kind {
            StageKind::Result => ResultPartitions {
                finished: vec![false; spec.partitions as usize],
                remaining: spec.partitions as usize,
            },
            StageKind::ShuffleMap { .. } => ResultPartitions::default(),
        };
        Self {
            spec,
            parents,
            children: BTreeSet::new(),
            jobs: BTreeSet::new(),
            state: StageState::Idle,
            next_attempt: 0,
            oldest_valid_attempt: 0,
            fetch_failed_attempts: 0,
            failures: IndexMap::new(),
            task_sets: Vec::new(),
            committers: IndexMap::new(),
            results,
            retained: false,
            indeterminate,
        }
    }

    pub(crate) fn shuffle(&self) -> Option<ShuffleId> {
        self.spec.shuffle()
    }

    pub(crate) fn active_set(&self) -> Option<TaskSetId> {
        match self.state {
            StageState::Running(set) => Some(set),
            StageState::Idle | StageState::Waiting | StageState::Failed => None,
        }
    }

    /// `ShuffleMapStage 3 (name)`, as Spark names it in messages.
    pub(crate) fn title(&self) -> String {
        let kind = match self.spec.kind {
            StageKind::ShuffleMap { .. } => "ShuffleMapStage",
            StageKind::Result => "ResultStage",
        };
        if self.spec.name.is_empty() {
            format!("{kind} {}", self.spec.stage)
        } else {
            format!("{kind} {} ({})", self.spec.stage, self.spec.name)
        }
    }
}

/// Why a stage, and with it its jobs, is given up.
#[derive(Clone, Debug)]
pub(crate) struct Abort {
    pub(crate) reason: String,
    pub(crate) cause: Option<Arc<str>>,
    pub(crate) payload: Option<Arc<[u8]>>,
}

impl Abort {
    pub(crate) fn because(reason: String) -> Self {
        Self { reason, cause: None, payload: None }
    }
}
