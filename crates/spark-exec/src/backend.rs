//! Where executors come from.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
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

    /// Ends all executors and leaves the cluster.
    async fn stop(&self);
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
    let local = executor::start_local(options).await?;
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
