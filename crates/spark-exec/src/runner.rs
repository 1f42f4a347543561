//! What runs a physical plan: the engine over stages and executors, or the driver process itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionState;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use crate::failure;

/// Runs physical plans.
#[async_trait]
pub trait PlanRunner: Send + Sync + fmt::Debug {
    /// Starts a plan. The stream yields the plan's partitions one after the other, in order.
    async fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        session: &SessionState,
        options: RunOptions,
    ) -> Result<RunningQuery>;
}

/// What a query carries besides its plan.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// `spark.jobGroup.id`.
    pub job_group: Option<String>,
    /// `spark.job.tags`.
    pub tags: Vec<String>,
    /// Shown to users.
    pub description: Option<String>,
    /// `spark.scheduler.pool`.
    pub pool: Option<String>,
    /// The session's properties that matter here and differ from the application's:
    /// `spark.sql.adaptive.*`.
    pub conf: BTreeMap<String, String>,
}

/// The properties of a session that [`RunOptions::conf`] may hold.
pub const ADAPTIVE_PROPERTIES: &[&str] = &[
    "spark.sql.adaptive.enabled",
    "spark.sql.adaptive.coalescePartitions.enabled",
    "spark.sql.adaptive.coalescePartitions.parallelismFirst",
    "spark.sql.adaptive.coalescePartitions.minPartitionSize",
    "spark.sql.adaptive.advisoryPartitionSizeInBytes",
    "spark.sql.adaptive.autoBroadcastJoinThreshold",
    "spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold",
    "spark.sql.adaptive.skewJoin.enabled",
    "spark.sql.adaptive.skewJoin.skewedPartitionFactor",
    "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes",
    "spark.sql.autoBroadcastJoinThreshold",
    "spark.sql.exchange.reuse",
    "spark.sql.optimizer.runtime.bloomFilter.creationSideThreshold",
    "spark.sql.optimizer.runtime.bloomFilter.enabled",
];

/// A query under way.
pub struct RunningQuery {
    /// Its rows. Dropping the stream cancels what still runs.
    pub stream: SendableRecordBatchStream,
    /// The way to stop it from elsewhere.
    pub job: JobHandle,
}

/// Stops a query from outside its stream; cheap to clone.
#[derive(Debug, Clone)]
pub struct JobHandle {
    token: CancellationToken,
}

impl JobHandle {
    pub(crate) fn new(token: CancellationToken) -> Self {
        Self { token }
    }

    /// Stops the query: its tasks stop, its stream ends with an error.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }
}

/// Runs plans inside the driver, the fast path of `local[N]` and of tiny plans.
#[derive(Debug, Default, Clone, Copy)]
pub struct InProcessRunner;

#[async_trait]
impl PlanRunner for InProcessRunner {
    async fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        session: &SessionState,
        _options: RunOptions,
    ) -> Result<RunningQuery> {
        let context = session.task_ctx();
        let token = CancellationToken::new();
        let schema = plan.schema();
        // DataFusion would coalesce several partitions in order of arrival; Spark's answer is in
        // partition order.
        let plan = crate::stages::without_root_coalesce(plan);
        let partitions = plan.output_partitioning().partition_count();
        let streams = if partitions <= 1 {
            datafusion::physical_plan::execute_stream(plan, context)?.boxed()
        } else {
            in_partition_order(plan, context, partitions)?
        };
        let stopped = token.clone();
        let stream = streams.take_until(async move { stopped.cancelled().await }).chain(
            stream::once({
                let token = token.clone();
                async move { token.is_cancelled() }
            })
            .filter_map(|cancelled| async move { cancelled.then(|| Err(failure::cancelled())) }),
        );
        Ok(RunningQuery {
            stream: Box::pin(RecordBatchStreamAdapter::new(schema, stream)),
            job: JobHandle::new(token),
        })
    }
}

type BatchStream = stream::BoxStream<'static, Result<datafusion::arrow::record_batch::RecordBatch>>;

/// All partitions run at once, each a bounded distance ahead of its reader.
fn in_partition_order(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<datafusion::execution::TaskContext>,
    partitions: usize,
) -> Result<BatchStream> {
    /// Batches a partition may be ahead.
    const AHEAD: usize = 4;
    let mut receivers = Vec::with_capacity(partitions);
    for partition in 0..partitions {
        let mut builder = datafusion::physical_plan::stream::RecordBatchReceiverStream::builder(
            plan.schema(),
            AHEAD,
        );
        let (sender, plan, context) = (builder.tx(), Arc::clone(&plan), Arc::clone(&context));
        builder.spawn(async move {
            let batches = plan.execute(partition, context)?;
            let mut batches = spark_functions::task::scoped(batches, partition);
            while let Some(batch) = batches.next().await {
                let failed = batch.is_err();
                if sender.send(batch).await.is_err() || failed {
                    break;
                }
            }
            Ok(())
        });
        receivers.push(builder.build());
    }
    Ok(stream::iter(receivers.into_iter().map(Ok::<_, datafusion::error::DataFusionError>))
        .try_flatten()
        .boxed())
}
