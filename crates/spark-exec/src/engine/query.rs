//! One query, from plan to rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::internal_err;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use spark_scheduler::{Determinism, JobId, JobProperties, JobSpec, ShuffleId, StageId, StageSpec};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::adaptive::{self, Coalescing, MapStageOutput};
use super::results::ResultData;
use super::{Command, Engine, JobEvent, Submission, broadcasts, subqueries};
use crate::codec;
use crate::failure;
use crate::protocol::StagePlan;
use crate::runner::{JobHandle, RunOptions, RunningQuery};
use crate::stages::{self, CutOptions, Ids, Stage, StageGraph};

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
    /// Joins small partitions between stages; `None` if it is switched off.
    coalescing: Option<Coalescing>,
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
        coalescing: Coalescing::of(|key| {
            options.conf.get(key).or_else(|| engine.inner.options.conf.get(key)).cloned()
        }),
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

impl Job<'_> {
    fn finish(&mut self) {
        self.finished = true;
    }
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
    let graph = stages::cut(plan, &*engine.inner.ids, context.cut)?;
    match context.coalescing {
        Some(coalescing) if graph.stages.len() > 1 => {
            run_adaptively(engine, graph, context, coalescing, &schema, rows).await
        }
        Some(_) | None => run_at_once(engine, &graph, context, &schema, rows).await,
    }
}

/// All stages as one job.
async fn run_at_once(
    engine: &Engine,
    graph: &StageGraph,
    context: &QueryContext,
    schema: &SchemaRef,
    rows: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<()> {
    let Some(partitions) = graph.stages.last().map(|stage| stage.partitions) else { return Ok(()) };
    if partitions == 0 {
        return Ok(());
    }
    let (events, received) = mpsc::unbounded_channel();
    let submission = submission(&graph.stages, engine.inner.ids.next(), context, events)?;
    let job = Job { engine, job: submission.job.job.0, finished: false };
    engine.inner.handle.send(Command::Submit(Box::new(submission)));
    deliver(job, received, partitions, schema, rows).await
}

/// Hands out the partitions of a result in order.
async fn deliver(
    mut job: Job<'_>,
    mut received: mpsc::UnboundedReceiver<JobEvent>,
    partitions: usize,
    schema: &SchemaRef,
    rows: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<()> {
    let mut waiting: BTreeMap<usize, ResultData> = BTreeMap::new();
    let mut next = 0;
    while next < partitions {
        match received.recv().await {
            Some(JobEvent::Result { partition, data }) => {
                waiting.insert(partition, data);
            }
            Some(JobEvent::MapStage(_)) => {}
            Some(JobEvent::Finished(result)) => {
                job.finish();
                result?;
            }
            None => return Err(failure::stopped()),
        }
        while let Some(data) = waiting.remove(&next) {
            next += 1;
            let mut batches = data.batches(Arc::clone(schema));
            while let Some(batch) = batches.next().await {
                if rows.send(Ok(batch?)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    // All results are here; the job's end follows by itself.
    job.finish();
    Ok(())
}

/// The shuffles of a query that outlive their jobs, released with the value.
struct Retained<'a> {
    engine: &'a Engine,
    shuffles: Vec<u64>,
}

impl Drop for Retained<'_> {
    fn drop(&mut self) {
        for shuffle in self.shuffles.drain(..) {
            self.engine.inner.handle.send(Command::ReleaseShuffle(shuffle));
        }
    }
}

/// Stage by stage, each planned anew from what its parents wrote.
async fn run_adaptively(
    engine: &Engine,
    graph: StageGraph,
    context: &QueryContext,
    coalescing: Coalescing,
    schema: &SchemaRef,
    rows: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<()> {
    let mut context = context.clone();
    context.properties.retain_shuffles = true;
    // Dropped last, after the jobs that read them.
    let mut retained = Retained { engine, shuffles: Vec::new() };
    let mut outputs: HashMap<u64, MapStageOutput> = HashMap::new();
    let input_bytes = broadcasts::input_bytes(&graph.stages);
    let mut waiting = graph.stages;
    let mut running = FuturesUnordered::new();
    loop {
        broadcasts::convert(&mut waiting, &outputs, coalescing.broadcast_bytes)?;
        let may_start = |stage: &Stage| {
            stage.parents.iter().all(|parent| outputs.contains_key(parent))
                && !broadcasts::had_better_wait(
                    stage,
                    &waiting,
                    &outputs,
                    &input_bytes,
                    coalescing.broadcast_bytes,
                )
        };
        let ready_now = waiting.iter().map(may_start).collect::<Vec<_>>();
        let mut ready_now = ready_now.into_iter();
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|_| ready_now.next().unwrap_or(false));
        waiting = rest;
        for mut stage in ready {
            stage.plan = adaptive::adapt(
                stage.plan,
                &outputs,
                coalescing,
                engine.slots(),
                context.cut.partitions,
            )?;
            stage.partitions = adaptive::tasks(&stage.plan);
            let Some(shuffle) = stage.shuffle else {
                let stages = [stage];
                return run_at_once(
                    engine,
                    &StageGraph { stages: stages.into() },
                    &context,
                    schema,
                    rows,
                )
                .await;
            };
            let (events, mut received) = mpsc::unbounded_channel();
            let submission = submission(&[stage], engine.inner.ids.next(), &context, events)?;
            let mut job = Job { engine, job: submission.job.job.0, finished: false };
            retained.shuffles.push(shuffle);
            engine.inner.handle.send(Command::Submit(Box::new(submission)));
            running.push(async move {
                let mut output = None;
                loop {
                    match received.recv().await {
                        Some(JobEvent::MapStage(written)) => output = Some(written),
                        Some(JobEvent::Finished(result)) => {
                            job.finish();
                            result?;
                            break;
                        }
                        Some(JobEvent::Result { .. }) => {}
                        None => break,
                    }
                }
                output.map(|output| (shuffle, output)).ok_or_else(failure::stopped)
            });
        }
        match running.next().await {
            Some(finished) => {
                let (shuffle, output) = finished?;
                outputs.insert(shuffle, output);
            }
            None => return internal_err!("the stages of a query read shuffles nobody writes"),
        }
    }
}

/// A job for the scheduler and the plans for the executors.
fn submission(
    graph: &[Stage],
    job: u64,
    context: &QueryContext,
    events: mpsc::UnboundedSender<JobEvent>,
) -> Result<Submission> {
    let mut stages = Vec::with_capacity(graph.len());
    let mut plans = Vec::with_capacity(graph.len());
    let mut final_stage = StageId(0);
    let mut final_shuffle = None;
    for stage in graph {
        final_stage = StageId(stage.id);
        final_shuffle = stage.shuffle;
        let parents = stage.parents.iter().copied().map(ShuffleId).collect();
        let partitions = stage.partitions as u32;
        let mut spec = match stage.shuffle {
            Some(shuffle) => {
                StageSpec::shuffle_map(final_stage, ShuffleId(shuffle), partitions, parents)
            }
            None => StageSpec::result(final_stage, partitions, parents),
        };
        if stage.indeterminate && stage.shuffle.is_some() {
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
        });
    }
    let job =
        JobSpec { job: JobId(job), stages, final_stage, properties: context.properties.clone() };
    Ok(Submission { job, plans, final_shuffle, events })
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
