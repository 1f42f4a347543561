//! The engine: cuts physical plans into stages, ships them to executors, runs their tasks and
//! streams the results back.
//!
//! * [`stages`] cuts a plan, [`codec`] puts a stage on the wire.
//! * [`Engine`](engine::Engine) is the driver side: it owns the scheduler and the executors' streams.
//! * [`executor`] is the process (or the part of the driver's process) that runs tasks.
//! * [`runner`] is what the rest of the driver sees: something that runs plans.

pub mod backend;
mod batches;
pub mod codec;
mod endpoint;
pub mod engine;
pub mod executor;
pub mod failure;
mod fetch;
mod input;
pub mod nodes;
mod packed;
mod plugins;
pub mod protocol;
pub mod runner;
mod settings;
mod sorted;
pub mod stages;
mod writer;

pub use backend::{
    ExternalBackend, LocalBackend, OfferAnswer, OfferedCores, SchedulerBackend, TaskLaunch,
};
pub use engine::{Engine, EngineOptions, EventLogOptions, ExecutorStatistics};
pub use executor::{
    Assignment, Assignments, ExecutorOptions, TaskEnd, TaskEndState, assigned_task,
    run_assigned_executor, run_executor,
};
pub use plugins::{DecodeNode, FindKept, KeptPlan, NodeCodec, register_kept, register_nodes};
pub use runner::{InProcessRunner, JobHandle, PlanRunner, RunOptions, RunningQuery};
