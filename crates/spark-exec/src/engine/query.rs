//! One query, from plan to rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use arrow::record_batch::RecordBatch;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::context::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, StreamExt};
use spark_scheduler::{
    Determinism, JobId, JobProperties, JobSpec, ShuffleId, StageId, StageKind, StageSpec,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::results::ResultData;
use super::{Command, Engine, JobEvent, Submission, subqueries};
use crate::codec;
use crate::failure;
use crate::protocol::StagePlan;
use crate::runner::{JobHandle, RunOptions, RunningQuery};
use crate::stages::{self, CutOptions, Ids, StageGraph};

/// Batches ready for the reader of a query.
const BATCHES_AHEAD: usize = 4;

/// A result of up to this many bytes comes with the task's completion (`spark.task.maxDirectResultSize`).
const INLINE_BYTES: u64 = 1 << 20;

/// All results of a query that wait in the driver's memory for their turn.
const INLINE_BYTES_TOTAL: u64 = 64 << 20;

/// What a query and its subqueries share.
#[derive(Clone)]
pub(super) struct QueryContext {
    settings: Arc<HashMap<String, String>>,
    cut: CutOptions,
    properties: JobProperties,
    token: CancellationToken,
}

pub(super) fn start(
    engine: Engine,
    plan: Arc<dyn ExecutionPlan>,
    session: &SessionState,
    options: RunOptions,
) -> RunningQuery {
    let token = CancellationToken::new();
    let context = QueryContext {
        settings: Arc::new(settings(session)),
        cut: CutOptions::of(session),
        properties: JobProperties {
            pool: options.pool.map(Into::into),
            group: options.job_group.map(Into::into),
            tags: options.tags.into_iter().map(Into::into).collect(),
            description: options.description.map(Into::into),
            retain_shuffles: false,
        },
        token: token.clone(),
    };
    let stream = start_within(engine, plan, &context);
    RunningQuery { stream, job: JobHandle::new(token) }
}

/// Starts a query, or a subquery of one.
pub(super) fn start_within(
    engine: Engine,
    plan: Arc<dyn ExecutionPlan>,
    context: &QueryContext,
) -> SendableRecordBatchStream {
    let schema = plan.schema();
    // The query stops when it is cancelled and when its stream is dropped.
    let token = context.token.child_token();
    let context = QueryContext { token: token.clone(), ..context.clone() };
    let (rows, receiver) = mpsc::channel(BATCHES_AHEAD);
    tokio::spawn(async move {
        let stopped = context.token.clone();
        let result = tokio::select! {
            biased;
            () = stopped.cancelled() => Err(failure::cancelled()),
            result = run(&engine, plan, &context, &rows) => result,
        };
        if let Err(error) = result {
            let _ = rows.send(Err(error)).await;
        }
    });
    let stream = Guarded { rows: ReceiverStream::new(receiver), _stop: token.drop_guard() };
    Box::pin(RecordBatchStreamAdapter::new(schema, stream))
}

/// A stream whose drop stops the query.
struct Guarded {
    rows: ReceiverStream<Result<RecordBatch>>,
    _stop: DropGuard,
}

impl Stream for Guarded {
    type Item = Result<RecordBatch>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.rows.poll_next_unpin(context)
    }
}

/// Cancels a job unless it finished.
struct Job<'a> {
    engine: &'a Engine,
    job: u64,
    finished: bool,
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.engine.inner.handle.send(Command::Cancel { job: self.job });
        }
    }
}

async fn run(
    engine: &Engine,
    plan: Arc<dyn ExecutionPlan>,
    context: &QueryContext,
    rows: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<()> {
    let schema = plan.schema();
    let plan = subqueries::resolve(engine, plan, context).await?;
    let ids = &*engine.inner.ids;
    let graph = stages::cut(plan, ids, context.cut)?;
    let Some(partitions) = graph.stages.last().map(|stage| stage.partitions) else { return Ok(()) };
    if partitions == 0 {
        return Ok(());
    }
    let (events, mut received) = mpsc::unbounded_channel();
    let submission = submission(&graph, ids.next(), context, events)?;
    let mut job = Job { engine, job: submission.job.job.0, finished: false };
    engine.inner.handle.send(Command::Submit(Box::new(submission)));
    let mut waiting: BTreeMap<usize, ResultData> = BTreeMap::new();
    let mut next = 0;
    while next < partitions {
        match received.recv().await {
            Some(JobEvent::Result { partition, data }) => {
                waiting.insert(partition, data);
            }
            Some(JobEvent::Finished(result)) => {
                job.finished = true;
                result?;
            }
            None => {
                job.finished = true;
                return Err(failure::stopped());
            }
        }
        while let Some(data) = waiting.remove(&next) {
            next += 1;
            let mut batches = data.batches(Arc::clone(&schema));
            while let Some(batch) = batches.next().await {
                if rows.send(Ok(batch?)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    // All results are here; the job's end follows by itself.
    job.finished = true;
    Ok(())
}

/// The job for the scheduler and the plans for the executors.
fn submission(
    graph: &StageGraph,
    job: u64,
    context: &QueryContext,
    events: mpsc::UnboundedSender<JobEvent>,
) -> Result<Submission> {
    let mut stages = Vec::with_capacity(graph.stages.len());
    let mut plans = Vec::with_capacity(graph.stages.len());
    let mut final_stage = StageId(0);
    for stage in &graph.stages {
        final_stage = StageId(stage.id);
        let mut spec = match stage.shuffle {
            Some(shuffle) => StageSpec::shuffle_map(
                StageId(stage.id),
                ShuffleId(shuffle),
                stage.partitions as u32,
                Vec::new(),
            ),
            None => StageSpec::result(StageId(stage.id), stage.partitions as u32, Vec::new()),
        };
        spec.parents = stage.parents.iter().copied().map(ShuffleId).collect();
        if stage.indeterminate && matches!(spec.kind, StageKind::ShuffleMap { .. }) {
            spec.determinism = Determinism::Indeterminate;
        }
        if let Some(description) = &context.properties.description {
            spec.name = Arc::clone(description);
        }
        stages.push(spec);
        plans.push(StagePlan {
            stage: stage.id,
            plan: codec::encode_plan(&stage.plan)?,
            settings: (*context.settings).clone(),
            parents: stage.parents.clone(),
            inline_bytes: INLINE_BYTES.min(INLINE_BYTES_TOTAL / stage.partitions.max(1) as u64),
            result_shuffle: 0,
        });
    }
    let job = JobSpec {
        job: JobId(job),
        stages,
        final_stage,
        properties: context.properties.clone(),
    };
    Ok(Submission { job, plans, events })
}

/// The session's settings that differ from the defaults.
fn settings(session: &SessionState) -> HashMap<String, String> {
    static DEFAULTS: LazyLock<HashMap<String, Option<String>>> = LazyLock::new(|| {
        ConfigOptions::new().entries().into_iter().map(|entry| (entry.key, entry.value)).collect()
    });
    session
        .config()
        .options()
        .entries()
        .into_iter()
        .filter(|entry| DEFAULTS.get(&entry.key) != Some(&entry.value))
        .filter_map(|entry| Some((entry.key, entry.value?)))
        .collect()
}
