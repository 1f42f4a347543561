//! Where executors come from.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::error::Result;
use spark_scheduler::Demand;

use crate::engine::Engine;
use crate::executor::{self, ExecutorOptions};

/// A cluster manager as the engine sees it (Spark's `SchedulerBackend`).
#[async_trait]
pub trait SchedulerBackend: Send + Sync {
    /// Starts; executors register with the engine when they come up.
    ///
    /// # Errors
    /// If the cluster manager cannot be reached or refuses the application.
    async fn start(&self, engine: &Engine) -> Result<()>;

    /// The work that waits changed. Called from the engine's loop: it must not block.
    fn demand_changed(&self, _demand: Demand) {}

    /// Whether it tells soon why an executor is gone, by [`Engine::executor_lost`]: then a broken
    /// connection alone is not held against the tasks.
    fn tells_losses(&self) -> bool {
        false
    }

    /// The application should have so many executors in all; from now on no more are started.
    fn request_executors(&self, _total: u32) {}

    /// Ends an executor.
    fn kill_executor(&self, _executor: &str) {}

    /// Stops a task attempt that the backend launched (see [`Engine::offer_cores`]).
    fn kill_task(&self, _executor: &str, _task: u64, _reason: &str) {}

    /// Ends all executors and leaves the cluster.
    async fn stop(&self);
}

/// Cores of one executor for this moment, from a backend that launches each task attempt itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedCores {
    /// The executor: one that runs, or one that the first task will start.
    pub executor: String,
    /// Its machine.
    pub host: String,
    /// Cores for tasks.
    pub cores: u32,
}

/// What the engine does with offered cores.
#[derive(Debug, Clone, Default)]
pub struct OfferAnswer {
    /// The attempts to launch; cores that are not used here are not wanted.
    pub launches: Vec<TaskLaunch>,
    /// What still waits.
    pub demand: Demand,
}

/// One task attempt to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLaunch {
    /// Where.
    pub executor: String,
    /// The attempt, unique in the application.
    pub task: u64,
    /// For people: `task 3.0 in stage 1.0`.
    pub name: String,
    /// Cores it takes.
    pub cpus: u32,
    /// Its description, for [`crate::executor::Assignment::Launch`]. The stage's plan is not in it: the
    /// executor has it from the driver, once for all tasks.
    pub data: Bytes,
}

/// One executor inside the driver: `local[N]` with the fast path off.
#[derive(Debug, Clone)]
pub struct LocalBackend {
    /// Tasks at one time.
    pub cores: usize,
    /// Memory of operators and buffers; `None` is unlimited.
    pub memory_bytes: Option<u64>,
    /// Directories for shuffle and spill files.
    pub local_dirs: Vec<PathBuf>,
}

impl LocalBackend {
    /// The id of the one executor, Spark's own for it.
    pub const EXECUTOR: &'static str = "driver";
}

#[async_trait]
impl SchedulerBackend for LocalBackend {
    async fn start(&self, engine: &Engine) -> Result<()> {
        let options = ExecutorOptions {
            driver_url: String::new(),
            executor_id: Self::EXECUTOR.to_owned(),
            app_id: engine.app_id().to_owned(),
            cores: self.cores,
            hostname: "127.0.0.1".to_owned(),
            bind_address: "127.0.0.1".to_owned(),
            block_port: 0,
            advertised_port: None,
            secret: engine.secret().to_owned(),
            memory_bytes: self.memory_bytes,
            local_dirs: self.local_dirs.clone(),
        };
        attach_local(engine, &options).await
    }

    async fn stop(&self) {}
}

/// Starts an executor inside this process and attaches it to the engine.
///
/// # Errors
/// If no local directory can be used.
pub async fn attach_local(engine: &Engine, options: &ExecutorOptions) -> Result<()> {
    let local = executor::start_local(options, &engine.properties()).await?;
    engine.attach(local.to_executor, local.from_executor);
    engine.wait_for_executor(&options.executor_id).await;
    Ok(())
}

/// A backend that starts nothing: executors are started by someone else, a test for example.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExternalBackend;

#[async_trait]
impl SchedulerBackend for ExternalBackend {
    async fn start(&self, _engine: &Engine) -> Result<()> {
        Ok(())
    }

    async fn stop(&self) {}
}

/// A backend shared by the engine and its owner.
pub type SharedBackend = Arc<dyn SchedulerBackend>;
