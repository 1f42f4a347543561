//! What the caller submits: a job and its stages.

use std::sync::Arc;

use crate::ids::{ExecutorId, JobId, ShuffleId, StageId};

/// A job: a graph of stages of which the final one is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// Chosen by the caller, never used again in this application.
    pub job: JobId,
    /// The stages the job needs and the scheduler may not know yet. A stage whose shuffle is known
    /// already is reused: its finished map output is not computed again.
    pub stages: Vec<StageSpec>,
    /// The stage whose partitions are the job's result. If it is a shuffle map stage, the job ends
    /// when its map output is complete (Spark's `submitMapStage`, the way of adaptive execution).
    pub final_stage: StageId,
    /// Pool, group, tags and texts.
    pub properties: JobProperties,
}

/// What a job carries besides its stages (Spark's local properties).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct JobProperties {
    /// `spark.scheduler.pool`; `None` is the pool `default`.
    pub pool: Option<Arc<str>>,
    /// `spark.jobGroup.id`.
    pub group: Option<Arc<str>>,
    /// `spark.job.tags`.
    pub tags: Vec<Arc<str>>,
    /// `spark.job.description`.
    pub description: Option<Arc<str>>,
    /// The shuffles of the job's `stages` outlive it, until [`crate::Event::ShuffleReleased`] names
    /// them.
    pub retain_shuffles: bool,
}

/// One stage: the same work over each of its partitions.
#[derive(Clone, Debug, PartialEq)]
pub struct StageSpec {
    /// Chosen by the caller; unique in the application.
    pub stage: StageId,
    /// Shown to users, as `count at <console>:1`.
    pub name: Arc<str>,
    /// What its tasks make.
    pub kind: StageKind,
    /// Number of tasks.
    pub partitions: u32,
    /// The shuffles its tasks read. Each is made by a stage of this job or of an earlier, live one.
    pub parents: Vec<ShuffleId>,
    /// Where each partition would like to run; empty if no partition cares.
    pub preferences: Vec<Vec<TaskLocation>>,
    /// Whether a second run of a task gives the same output.
    pub determinism: Determinism,
    /// Cores one task takes; `None` is `spark.task.cpus`.
    pub cpus: Option<u32>,
}

impl StageSpec {
    /// A shuffle map stage without preferences, determinate.
    pub fn shuffle_map(
        stage: StageId,
        shuffle: ShuffleId,
        partitions: u32,
        parents: Vec<ShuffleId>,
    ) -> Self {
        Self::new(stage, StageKind::ShuffleMap { shuffle }, partitions, parents)
    }

    /// A result stage without preferences, determinate.
    pub fn result(stage: StageId, partitions: u32, parents: Vec<ShuffleId>) -> Self {
        Self::new(stage, StageKind::Result, partitions, parents)
    }

    /// The shuffle its tasks write, if it is a shuffle map stage.
    pub fn shuffle(&self) -> Option<ShuffleId> {
        match self.kind {
            StageKind::ShuffleMap { shuffle } => Some(shuffle),
            StageKind::Result => None,
        }
    }

    fn new(stage: StageId, kind: StageKind, partitions: u32, parents: Vec<ShuffleId>) -> Self {
        Self {
            stage,
            name: Arc::from(""),
            kind,
            partitions,
            parents,
            preferences: Vec::new(),
            determinism: Determinism::Determinate,
            cpus: None,
        }
    }
}

/// What a stage's tasks make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// Each task writes map output of this shuffle.
    ShuffleMap {
        /// The shuffle written.
        shuffle: ShuffleId,
    },
    /// Each task gives one partition of the job's result.
    Result,
}

/// A place a task would like to run at, best first (Spark's `TaskLocation`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskLocation {
    /// The executor holds the input in memory (PROCESS_LOCAL).
    Executor(ExecutorId),
    /// The host has the input (NODE_LOCAL).
    Host(Arc<str>),
}

/// Whether re-running a task gives the same output (Spark's `DeterministicLevel`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Determinism {
    /// Same rows in the same order.
    Determinate,
    /// Same rows, in another order; harmless for readers that do not depend on order.
    Unordered,
    /// Other rows may go to other partitions (round robin, LIMIT without order, `rand()`): if the
    /// stage runs again, all that was computed from its output must be computed again.
    Indeterminate,
}
