//! Spark's DAG scheduler and task scheduler as one pure state machine.
//!
//! The caller tells what happened, with the time, and performs the answer:
//!
//! ```
//! use spark_scheduler::*;
//!
//! let mut scheduler = Scheduler::new(SchedulerOptions::default());
//! let now = Time::from_millis(0);
//! scheduler.handle(
//!     Event::ExecutorAdded { executor: "0".into(), host: "here".into(), cores: 2 },
//!     now,
//! );
//! let actions = scheduler.handle(
//!     Event::JobSubmitted(JobSpec {
//!         job: JobId(0),
//!         stages: vec![
//!             StageSpec::shuffle_map(StageId(0), ShuffleId(0), 2, vec![]),
//!             StageSpec::result(StageId(1), 1, vec![ShuffleId(0)]),
//!         ],
//!         final_stage: StageId(1),
//!         properties: JobProperties::default(),
//!     }),
//!     now,
//! );
//! let launched = actions.iter().filter(|a| matches!(a, Action::LaunchTask { .. })).count();
//! assert_eq!(launched, 2);
//! ```
//!
//! * Job, stage and shuffle ids are the caller's; task ids are the scheduler's.
//! * At [`Scheduler::next_wakeup`] the caller sends [`Event::Wakeup`], at any later time too.
//! * Task results stay with the caller: on [`Action::ResultReady`] in the answer to a
//!   [`Event::TaskFinished`] it uses the result it has in hand, otherwise it drops it.
//! * A reader's map output is found with [`Scheduler::map_outputs`]; while a stage runs the output
//!   of its parents changes only by losses, so send it to an executor once per
//!   [`MapOutputs::epoch`], not with each task. Blocks are named by (shuffle, map partition,
//!   [`MapStatus::task`]).
//! * Map output that a fetch failure reports lost, or that went with an executor, is computed
//!   again only if it is still needed.
//!
//! Beside it, as pure: [`ExecutorAllocation`] decides how many executors there should be and which
//! may go, and [`EventRecorder`] writes Spark's event log.
//!
//! There is no clock, thread, socket or randomness here: the same events give the same actions.

mod action;
mod allocation;
mod event;
mod event_log;
mod exclusion;
mod executors;
mod ids;
mod job;
mod map_output;
mod options;
mod pools;
mod scheduler;
pub mod simulation;
mod stage;
mod task_set;

pub use action::{
    Action, Demand, JobFailure, JobOutcome, KillReason, Locality, StageOutcome, TaskDescription,
};
pub use allocation::{
    AllocationAction, AllocationInput, AllocationOptions, ExecutorAllocation, ExecutorUse,
};
pub use event::{
    Event, ExecutorLoss, FailureKind, FetchFailure, FetchFailureScope, MapOutput, MapOutputFate,
    MovedOutput, TaskFailure, TaskOutcome,
};
pub use event_log::{ApplicationInfo, EventRecorder, OperatorMetric, TaskMetrics};
pub use ids::{ExecutorId, JobId, ShuffleId, StageId, TaskId, Time};
pub use job::{Determinism, JobProperties, JobSpec, StageKind, StageSpec, TaskLocation};
pub use map_output::{MapOutputs, MapSizes, MapStatus};
pub use options::{
    ExclusionOptions, PoolOptions, SchedulerOptions, SchedulingMode, SpeculationOptions,
};
pub use scheduler::{PendingReason, Scheduler, StageProgress};
