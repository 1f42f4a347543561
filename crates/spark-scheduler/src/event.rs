//! What the world tells the scheduler.

use std::sync::Arc;

use crate::ids::{ExecutorId, JobId, ShuffleId, StageId, TaskId};
use crate::job::JobSpec;
use crate::map_output::MapSizes;

/// One thing that happened. Names an attempt wherever a late message could be mistaken for a new one.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new job.
    JobSubmitted(JobSpec),
    /// Stop a job; unknown or finished jobs are ignored.
    JobCancelled {
        /// The job.
        job: JobId,
        /// Shown to the user; may be empty.
        reason: Arc<str>,
    },
    /// Stop every job of a group (`cancelJobGroup`).
    JobGroupCancelled {
        /// `spark.jobGroup.id`.
        group: Arc<str>,
        /// Shown to the user; may be empty.
        reason: Arc<str>,
    },
    /// Stop every job with a tag (`cancelJobsWithTag`).
    JobTagCancelled {
        /// One of `spark.job.tags`.
        tag: Arc<str>,
        /// Shown to the user; may be empty.
        reason: Arc<str>,
    },
    /// Stop every job that needs a stage (`cancelStage`).
    StageCancelled {
        /// The stage.
        stage: StageId,
        /// Shown to the user; may be empty.
        reason: Arc<str>,
    },
    /// An executor registered. One that is known already by this id is taken as lost first.
    ExecutorAdded {
        /// Its id.
        executor: ExecutorId,
        /// The machine's name, as preferences name it.
        host: Arc<str>,
        /// Cores it gives to tasks.
        cores: u32,
    },
    /// Cores for this moment only, with [`crate::SchedulerOptions::cores_by_offer`]: what the
    /// answer to this event does not use is withdrawn.
    CoresOffered {
        /// Cores by executor; executors that are not known are passed over.
        offers: Vec<(ExecutorId, u32)>,
    },
    /// An executor is gone.
    ExecutorLost {
        /// Its id.
        executor: ExecutorId,
        /// Why, and what went with it.
        loss: ExecutorLoss,
    },
    /// An executor shall get no more tasks; those running go on (`spark.decommission.enabled`).
    ExecutorDecommissioned {
        /// Its id.
        executor: ExecutorId,
    },
    /// A task attempt ended. Each attempt ends once; a second end, or the end of an attempt that
    /// went with its executor, is recognised by its id and dropped.
    TaskFinished {
        /// The attempt.
        task: TaskId,
        /// How it ended.
        outcome: TaskOutcome,
    },
    /// A task asks whether it may commit its output (Spark's `OutputCommitCoordinator`).
    CommitRequested {
        /// The attempt that asks.
        task: TaskId,
    },
    /// A map output was copied to another executor, which will serve it: its own is about to go
    /// (`spark.storage.decommission.shuffleBlocks.enabled`). Ignored if the output was replaced
    /// meanwhile, or if the other executor is not there.
    MapOutputMoved(MovedOutput),
    /// Map outputs of a shuffle were looked at where they lie and found damaged: they are made
    /// again. Those that were replaced meanwhile are not harmed.
    MapOutputDamaged {
        /// The shuffle.
        shuffle: ShuffleId,
        /// Map partitions, and the attempts that wrote them.
        outputs: Vec<(u32, TaskId)>,
    },
    /// A retained shuffle is not needed any more by the caller.
    ShuffleReleased {
        /// The shuffle.
        shuffle: ShuffleId,
    },
    /// The moment of [`crate::Scheduler::next_wakeup`] has come.
    Wakeup,
}

/// How a task attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskOutcome {
    /// A result task succeeded. The result itself stays with the caller, who uses it only if the
    /// answer to this event has an [`crate::Action::ResultReady`] for the attempt.
    Result,
    /// A shuffle map task succeeded and its output is durable at the executor.
    MapOutput(MapOutput),
    /// The task failed.
    Failed(TaskFailure),
    /// The task could not read map output.
    FetchFailed(FetchFailure),
    /// The task stopped because it was told to.
    Killed {
        /// Who told it and why.
        reason: Arc<str>,
    },
}

/// What a finished map task left.
#[derive(Clone, Debug, PartialEq)]
pub struct MapOutput {
    /// Where to fetch it: `host:port` of the executor's block server or of its shuffle service.
    pub address: Arc<str>,
    /// Bytes per reduce partition.
    pub sizes: MapSizes,
}

/// A map output's new place.
#[derive(Clone, Debug, PartialEq)]
pub struct MovedOutput {
    /// The shuffle.
    pub shuffle: ShuffleId,
    /// The map partition.
    pub map_partition: u32,
    /// The attempt that wrote it; the block's name stays.
    pub task: TaskId,
    /// Who has it now.
    pub executor: ExecutorId,
    /// `host:port` to fetch it from.
    pub address: Arc<str>,
}

/// Why a task failed (Spark's `ExceptionFailure` and its kin).
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFailure {
    /// The message for the user, as the task gave it.
    pub message: Arc<str>,
    /// The error in the caller's own encoding; comes back in [`crate::JobFailure::payload`].
    pub payload: Arc<[u8]>,
    /// What the failure means for further attempts.
    pub kind: FailureKind,
}

/// What a failure means for further attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The task's own fault; counts against `spark.task.maxFailures`.
    Counted,
    /// Not the task's fault (commit denied, executor shutting down): tried again, not counted.
    NotCounted,
    /// No other attempt can succeed: the stage is aborted at once.
    Fatal,
}

/// A block that could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchFailure {
    /// The shuffle.
    pub shuffle: ShuffleId,
    /// The map partition.
    pub map_partition: u32,
    /// The attempt that wrote the output, from [`crate::MapStatus::task`]; a failure that names an
    /// attempt whose output has been replaced since does not harm the new output. `None` if the
    /// task was told no place at all for this map output.
    pub map_task: Option<TaskId>,
    /// What else must be thought lost.
    pub scope: FetchFailureScope,
    /// The message for the user.
    pub message: Arc<str>,
}

/// How much is lost with a block that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchFailureScope {
    /// This map output only: the block was missing or corrupt, its server answered.
    Block,
    /// The server did not answer: all map output served from that address is thought lost.
    Address,
}

/// Why an executor is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorLoss {
    /// The message for the user.
    pub message: Arc<str>,
    /// The application's own doing (crash, out of memory): its running tasks count it as failure.
    pub caused_by_app: bool,
    /// Whether its map output is gone too.
    pub map_output: MapOutputFate,
}

/// What becomes of the map output of a lost executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapOutputFate {
    /// Gone with the executor.
    Lost,
    /// Still served, by a shuffle service at the same address.
    Kept,
    /// Gone, with all other output on the executor's host.
    HostLost,
}
