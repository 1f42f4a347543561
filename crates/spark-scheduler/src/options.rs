//! The settings of the scheduler, each a Spark property.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The settings of [`crate::Scheduler`]. `default()` has Spark's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerOptions {
    /// `spark.task.maxFailures`: attempts of one task in all. `local[N]` sets 1.
    pub max_failures: u32,
    /// `spark.stage.maxConsecutiveAttempts`: runs of a stage that may end by fetch failures.
    pub max_consecutive_stage_attempts: u32,
    /// How long after a fetch failure the stages are submitted again, so that more failures of the
    /// same loss are heard first (`DAGScheduler.RESUBMIT_TIMEOUT`).
    pub resubmit_delay: Duration,
    /// `spark.task.cpus`.
    pub task_cpus: u32,
    /// `spark.locality.wait.process`, by default `spark.locality.wait`.
    pub locality_wait_process: Duration,
    /// `spark.locality.wait.node`, by default `spark.locality.wait`.
    pub locality_wait_node: Duration,
    /// `spark.scheduler.mode`.
    pub mode: SchedulingMode,
    /// The pools of `spark.scheduler.allocation.file`; a pool not named here has weight 1 and no
    /// minimum share.
    pub pools: BTreeMap<Arc<str>, PoolOptions>,
    /// `spark.speculation` and what belongs to it; `None` is off.
    pub speculation: Option<SpeculationOptions>,
    /// `spark.excludeOnFailure.enabled` and what belongs to it; `None` is off.
    pub exclusion: Option<ExclusionOptions>,
    /// Executors have no cores of their own: cores come with [`crate::Event::CoresOffered`], are
    /// used at once or gone, and leave with the task that used them (Mesos' fine-grained mode).
    pub cores_by_offer: bool,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self {
            max_failures: 4,
            max_consecutive_stage_attempts: 4,
            resubmit_delay: Duration::from_millis(200),
            task_cpus: 1,
            locality_wait_process: Duration::from_secs(3),
            locality_wait_node: Duration::from_secs(3),
            mode: SchedulingMode::Fifo,
            pools: BTreeMap::new(),
            speculation: None,
            exclusion: None,
            cores_by_offer: false,
        }
    }
}

/// How task sets share the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulingMode {
    /// The earlier job first, then the earlier stage.
    Fifo,
    /// By minimum share and weight.
    Fair,
}

/// One pool of FAIR mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// How the jobs inside the pool share.
    pub mode: SchedulingMode,
    /// The share relative to other pools; at least 1.
    pub weight: u32,
    /// Cores the pool gets before others get more than theirs.
    pub minimum_share: u32,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { mode: SchedulingMode::Fifo, weight: 1, minimum_share: 0 }
    }
}

/// `spark.speculation.*`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpeculationOptions {
    /// How often to look.
    pub interval: Duration,
    /// How many times slower than the median a task must be (Spark 4: 3).
    pub multiplier: f64,
    /// The fraction of tasks that must be done first (Spark 4: 0.9).
    pub quantile: f64,
    /// No task younger than this gets a copy.
    pub min_task_runtime: Duration,
}

impl Default for SpeculationOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            multiplier: 3.0,
            quantile: 0.9,
            min_task_runtime: Duration::from_millis(100),
        }
    }
}

/// `spark.excludeOnFailure.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExclusionOptions {
    /// `task.maxTaskAttemptsPerExecutor`.
    pub max_task_attempts_per_executor: u32,
    /// `task.maxTaskAttemptsPerNode`.
    pub max_task_attempts_per_host: u32,
    /// `stage.maxFailedTasksPerExecutor`.
    pub max_failed_tasks_per_executor_stage: u32,
    /// `stage.maxFailedExecutorsPerNode`.
    pub max_failed_executors_per_host_stage: u32,
    /// `application.maxFailedTasksPerExecutor`.
    pub max_failed_tasks_per_executor: u32,
    /// `application.maxFailedExecutorsPerNode`.
    pub max_failed_executors_per_host: u32,
    /// `timeout`: how long an exclusion in the application lasts.
    pub timeout: Duration,
    /// `spark.scheduler.excludeOnFailure.unschedulableTaskSetTimeout`: how long a task that no
    /// executor may take waits for another executor before its stage is given up.
    pub unschedulable_timeout: Duration,
}

impl Default for ExclusionOptions {
    fn default() -> Self {
        Self {
            max_task_attempts_per_executor: 1,
            max_task_attempts_per_host: 2,
            max_failed_tasks_per_executor_stage: 2,
            max_failed_executors_per_host_stage: 2,
            max_failed_tasks_per_executor: 2,
            max_failed_executors_per_host: 2,
            timeout: Duration::from_secs(3600),
            unschedulable_timeout: Duration::from_secs(120),
        }
    }
}
