//! What the scheduler tells the world to do.

use std::fmt;
use std::sync::Arc;

use crate::ids::{ExecutorId, JobId, ShuffleId, StageId, TaskId};

/// One thing to do or to tell, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start a task attempt on an executor.
    LaunchTask {
        /// Where.
        executor: ExecutorId,
        /// What.
        task: TaskDescription,
    },
    /// Stop a task attempt; its end is still reported or not, both are fine.
    KillTask {
        /// Where it runs.
        executor: ExecutorId,
        /// The attempt.
        task: TaskId,
        /// Why.
        reason: KillReason,
    },
    /// A stage attempt begins.
    StageSubmitted {
        /// The job for which it runs first.
        job: JobId,
        /// The stage.
        stage: StageId,
        /// 0 for the first attempt.
        attempt: u32,
        /// Number of tasks of this attempt: the missing partitions.
        tasks: u32,
    },
    /// A stage attempt is over. Tasks of it may still run if it failed; they are harmless.
    StageCompleted {
        /// The stage.
        stage: StageId,
        /// The attempt.
        attempt: u32,
        /// How it ended.
        outcome: StageOutcome,
    },
    /// The first success of a result partition: the caller uses the result of this attempt, once.
    ResultReady {
        /// The job.
        job: JobId,
        /// Its final stage.
        stage: StageId,
        /// The partition.
        partition: u32,
        /// The attempt whose result counts.
        task: TaskId,
    },
    /// A job is over; nothing more is said about it.
    JobFinished {
        /// The job.
        job: JobId,
        /// How it ended.
        outcome: JobOutcome,
    },
    /// The answer to [`crate::Event::CommitRequested`].
    CommitAnswer {
        /// Where the asking attempt runs.
        executor: ExecutorId,
        /// The attempt that asked.
        task: TaskId,
        /// Whether it may commit.
        allowed: bool,
    },
    /// No one needs the shuffle any more: its files may go, on all executors.
    ShuffleReleased {
        /// The shuffle.
        shuffle: ShuffleId,
    },
    /// The stage is gone for good: plans shipped for it may be dropped.
    StageReleased {
        /// The stage.
        stage: StageId,
    },
    /// More work wants slots than when this was last said, or none waits any more. Sent at most
    /// once per event; [`crate::Scheduler::demand`] has the figure at any time.
    DemandChanged(Demand),
}

/// Everything an executor must know to run one task, besides the stage's own plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDescription {
    /// The attempt's id.
    pub task: TaskId,
    /// The job for which the stage runs first.
    pub job: JobId,
    /// The stage.
    pub stage: StageId,
    /// The stage's attempt.
    pub stage_attempt: u32,
    /// The partition to compute.
    pub partition: u32,
    /// 0 for the task's first attempt in this stage attempt.
    pub attempt: u32,
    /// A second copy beside one still running.
    pub speculative: bool,
    /// How near to its input it runs.
    pub locality: Locality,
    /// Cores it takes.
    pub cpus: u32,
}

/// How near to its input a task runs (Spark's `TaskLocality`), nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Locality {
    /// On the executor that has the input in memory.
    ProcessLocal,
    /// On the host that has the input.
    NodeLocal,
    /// The task does not care.
    NoPref,
    /// Somewhere else.
    Any,
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProcessLocal => "PROCESS_LOCAL",
            Self::NodeLocal => "NODE_LOCAL",
            Self::NoPref => "NO_PREF",
            Self::Any => "ANY",
        })
    }
}

/// Why a task attempt is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// Another attempt of the task succeeded.
    AnotherAttemptSucceeded,
    /// The job was cancelled.
    JobCancelled,
    /// The job failed.
    JobFailed,
    /// The stage is not needed any more.
    StageFinished,
    /// The stage reads output that is being computed anew and may differ.
    StageRolledBack,
}

impl fmt::Display for KillReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnotherAttemptSucceeded => "another attempt succeeded",
            Self::JobCancelled => "job cancelled",
            Self::JobFailed => "job failed",
            Self::StageFinished => "stage finished",
            Self::StageRolledBack => "stage rolled back",
        })
    }
}

/// How a stage attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageOutcome {
    /// All partitions are there.
    Succeeded,
    /// It ended early; a new attempt follows unless the job ends.
    Failed {
        /// Why.
        reason: Arc<str>,
    },
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// All partitions of the final stage are there.
    Succeeded,
    /// It failed.
    Failed(JobFailure),
    /// It was cancelled.
    Cancelled {
        /// The message for the user: `Job 3 cancelled …`.
        message: Arc<str>,
    },
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    /// Spark's text: `Job aborted due to stage failure: …`.
    pub message: Arc<str>,
    /// The last failing task's own message, without the text around it.
    pub cause: Option<Arc<str>>,
    /// The last failing task's own error as [`crate::TaskFailure::payload`] gave it.
    pub payload: Option<Arc<[u8]>>,
}

/// The work that waits for slots and the work in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Demand {
    /// Tasks that could run now if there were slots, speculative copies included.
    pub pending_tasks: usize,
    /// Cores these tasks would take.
    pub pending_cpus: u64,
    /// Tasks that run.
    pub running_tasks: usize,
    /// Cores these tasks take.
    pub running_cpus: u64,
}

impl fmt::Display for Action {
    /// One line, for transcripts and debug logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LaunchTask { executor, task } => {
                let TaskDescription { task: id, stage, stage_attempt, partition, attempt, .. } =
                    task;
                write!(f, "launch TID {id} on {executor}: ")?;
                write!(f, "task {partition}.{attempt} in stage {stage}.{stage_attempt}")?;
                match task.locality {
                    Locality::NoPref => {}
                    near => write!(f, " {near}")?,
                }
                if task.speculative { f.write_str(" speculative") } else { Ok(()) }
            }
            Self::KillTask { executor, task, reason } => {
                write!(f, "kill TID {task} on {executor}: {reason}")
            }
            Self::StageSubmitted { job, stage, attempt, tasks } => {
                write!(f, "stage {stage}.{attempt} of job {job} submitted: {tasks} tasks")
            }
            Self::StageCompleted { stage, attempt, outcome } => match outcome {
                StageOutcome::Succeeded => write!(f, "stage {stage}.{attempt} succeeded"),
                StageOutcome::Failed { reason } => {
                    write!(f, "stage {stage}.{attempt} failed: {reason}")
                }
            },
            Self::ResultReady { job, partition, task, .. } => {
                write!(f, "result {partition} of job {job} is that of TID {task}")
            }
            Self::JobFinished { job, outcome } => match outcome {
                JobOutcome::Succeeded => write!(f, "job {job} succeeded"),
                JobOutcome::Failed(failure) => write!(f, "job {job} failed: {}", failure.message),
                JobOutcome::Cancelled { message } => write!(f, "job {job} ended: {message}"),
            },
            Self::CommitAnswer { executor, task, allowed } => {
                let answer = if *allowed { "may" } else { "may not" };
                write!(f, "TID {task} on {executor} {answer} commit")
            }
            Self::ShuffleReleased { shuffle } => write!(f, "shuffle {shuffle} released"),
            Self::StageReleased { stage } => write!(f, "stage {stage} released"),
            Self::DemandChanged(demand) => {
                write!(
                    f,
                    "demand: {} waiting, {} running",
                    demand.pending_tasks, demand.running_tasks
                )
            }
        }
    }
}
