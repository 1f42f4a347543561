//! What the service asks of the application it belongs to.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use spark_exec::{InProcessRunner, PlanRunner, RunOptions, RunningQuery};
use spark_plan::{Mode, QueryRunner, ResolvedPlan, Session};
use spark_sql_parser::error::SparkError;
use tokio_util::sync::CancellationToken;

use crate::errors::from_datafusion;

/// The Spark application behind the server: its settings, and the engine once it is needed.
#[async_trait]
pub trait Application: Debug + Send + Sync {
    /// Takes the settings a program gave to its session builder, the highest in Spark's precedence. The first call
    /// may still change what the application starts with; later ones are compared. Gives warnings for the client.
    fn configure(&self, settings: &[(String, String)]) -> Vec<String>;

    /// Cores of `local[N]` when plans run whole in the driver process.
    fn local_cores(&self) -> Option<usize>;

    /// Whether plans over tiny inputs may run in the driver although there are executors.
    fn tiny_plans_in_driver(&self) -> bool;

    /// The engine; starts the application (registers its framework) at first.
    async fn engine(&self) -> Result<Arc<dyn PlanRunner>, SparkError>;
}

/// Rows of all inputs up to which a plan is tiny.
const TINY_ROWS: usize = 1_000;

/// Runs the plans of one operation, where the application says.
#[derive(Debug)]
pub(crate) struct OperationRunner {
    pub(crate) application: Arc<dyn Application>,
    pub(crate) options: RunOptions,
    pub(crate) cancel: CancellationToken,
}

impl OperationRunner {
    /// How a resolved plan is to run.
    pub(crate) fn mode_of(&self, session: &Session, resolved: &ResolvedPlan) -> Mode {
        match self.application.local_cores() {
            Some(cores) => Mode::Local { cores },
            None if self.application.tiny_plans_in_driver() && is_tiny(&resolved.plan) => {
                Mode::Local { cores: 1 }
            }
            None => Mode::Staged { shuffle_partitions: session.shuffle_partitions() },
        }
    }

    /// Starts a plan made for `mode`.
    pub(crate) async fn start(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        state: &SessionState,
        mode: Mode,
    ) -> Result<RunningQuery, SparkError> {
        let running = match mode {
            Mode::Local { .. } => InProcessRunner.run(plan, state, self.options.clone()).await,
            Mode::Staged { .. } => {
                self.application.engine().await?.run(plan, state, self.options.clone()).await
            }
        };
        let running = running.map_err(|error| from_datafusion(&error))?;
        let (job, cancel) = (running.job.clone(), self.cancel.clone());
        tokio::spawn(async move {
            // The token's owner, the operation, cancels or drops it in the end.
            cancel.cancelled().await;
            job.cancel();
        });
        Ok(running)
    }
}

#[async_trait]
impl QueryRunner for OperationRunner {
    fn mode(&self, session: &Session) -> Mode {
        match self.application.local_cores() {
            Some(cores) => Mode::Local { cores },
            None => Mode::Staged { shuffle_partitions: session.shuffle_partitions() },
        }
    }

    async fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        state: &SessionState,
    ) -> Result<SendableRecordBatchStream, SparkError> {
        let mode = match self.application.local_cores() {
            Some(cores) => Mode::Local { cores },
            None => Mode::Staged { shuffle_partitions: 0 },
        };
        Ok(self.start(plan, state, mode).await?.stream)
    }
}

/// Whether all leaves of a plan are small and in memory, so that no executor could help.
fn is_tiny(plan: &LogicalPlan) -> bool {
    use datafusion::common::tree_node::TreeNodeRecursion;
    let mut rows = 0_usize;
    let visited = plan.apply_with_subqueries(|node| {
        let leaf = match node {
            LogicalPlan::TableScan(scan) => table_rows(scan),
            LogicalPlan::Values(values) => Some(values.values.len()),
            LogicalPlan::EmptyRelation(_) => Some(1),
            other if other.inputs().is_empty() => None,
            _ => Some(0),
        };
        rows = leaf.map_or(usize::MAX, |leaf| rows.saturating_add(leaf));
        Ok::<_, DataFusionError>(if rows > TINY_ROWS {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    visited.is_ok() && rows <= TINY_ROWS
}

fn table_rows(scan: &datafusion::logical_expr::TableScan) -> Option<usize> {
    let provider = datafusion::datasource::source_as_provider(&scan.source).ok()?;
    provider.downcast_ref::<datafusion::datasource::MemTable>()?;
    let statistics = provider.statistics()?;
    statistics.num_rows.get_value().copied()
}
