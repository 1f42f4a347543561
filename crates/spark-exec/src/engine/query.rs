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
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use spark_scheduler::{Determinism, JobId, JobProperties, JobSpec, ShuffleId, StageId, StageSpec};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::adaptive::{self, Adaptive, Circumstances, MapStageOutput};
use super::broadcasts::Expectations;
use super::results::ResultData;
use super::{
    Command, Engine, JobEvent, Submission, broadcasts, kept, ranges, runtime_filters, spillable,
    subqueries,
};
use crate::codec;
use crate::failure;
use crate::nodes::{ReadMode, ShuffleReaderExec};
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
    /// What may change between stages; `None` is the static plan.
    adaptive: Option<Adaptive>,
    properties: JobProperties,
    token: CancellationToken,
}

impl QueryContext {
    pub(super) fn cut(&self) -> CutOptions {
        self.cut
    }

    /// For jobs whose shuffles outlive them.
    fn retaining(&self) -> Self {
        let mut context = self.clone();
        context.properties.retain_shuffles = true;
        context
    }
}

pub(super) fn start(
    engine: Engine,
    plan: Arc<dyn ExecutionPlan>,
    session: &SessionState,
    options: RunOptions,
) -> RunningQuery {
    let token = CancellationToken::new();
    let get =
        |key: &str| options.conf.get(key).or_else(|| engine.inner.options.conf.get(key)).cloned();
    let is_on = |key: &str| get(key).is_none_or(|value| !value.eq_ignore_ascii_case("false"));
    let reuse_exchanges = is_on("spark.sql.exchange.reuse");
    let context = QueryContext {
        settings: Arc::new(settings(session)),
        cut: CutOptions {
            reuse_exchanges,
            // The build side would run twice if equal exchanges did.
            add_semi_joins: reuse_exchanges
                && is_on("spark.sql.optimizer.runtime.bloomFilter.enabled"),
            ..CutOptions::of(session)
        },
        adaptive: Adaptive::of(get),
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
    let (plan, reads) = kept::resolve(engine, plan, context).await?;
    let graph = stages::cut(plan, &*engine.inner.ids, context.cut)?;
    let several = graph.stages.len() > 1;
    // Where memory is limited, or not known to be unlimited yet, how a join runs depends on sizes.
    let limited = engine.task_memory().is_some() || engine.executors().is_empty();
    let depends_on_sizes = |stage: &Stage| {
        ranges::may_be_divided(stage) || limited && spillable::may_be_replaced_in(&stage.plan)
    };
    if several && (context.adaptive.is_some() || graph.stages.iter().any(depends_on_sizes)) {
        let done = run_map_stages(engine, graph, context, reads.outputs.clone()).await?;
        let Some(result) = done.result else { return Ok(()) };
        let graph = StageGraph { stages: vec![result] };
        run_at_once(engine, &graph, &context.retaining(), &schema, rows).await
    } else {
        run_at_once(engine, &graph, context, &schema, rows).await
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
    let (mut next, mut results, mut bytes) = (0, 0, 0);
    while next < partitions {
        match received.recv().await {
            Some(JobEvent::Result { partition, data }) => {
                results += 1;
                bytes += data.bytes()?;
                if let Some(limit) = job.engine.inner.options.max_result_bytes
                    && bytes > limit
                {
                    return Err(failure::result_too_large(results, bytes, limit));
                }
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
pub(super) struct Retained {
    engine: Engine,
    shuffles: Vec<u64>,
}

impl Retained {
    pub(super) fn of(engine: &Engine) -> Self {
        Self { engine: engine.clone(), shuffles: Vec::new() }
    }
}

impl Drop for Retained {
    fn drop(&mut self) {
        for shuffle in self.shuffles.drain(..) {
            self.engine.inner.handle.send(Command::ReleaseShuffle(shuffle));
        }
    }
}

/// The map stages of a query, done.
pub(super) struct MapStages {
    /// What each wrote.
    pub(super) outputs: HashMap<u64, MapStageOutput>,
    /// Dropped last, after the jobs that read them.
    pub(super) retained: Retained,
    /// The stage that makes the result, ready to run, if the query has one.
    result: Option<Stage>,
}

/// Stage by stage, each planned anew from what its parents wrote.
pub(super) async fn run_map_stages(
    engine: &Engine,
    graph: StageGraph,
    context: &QueryContext,
    mut outputs: HashMap<u64, MapStageOutput>,
) -> Result<MapStages> {
    let context = &context.retaining();
    let mut retained = Retained::of(engine);
    let expected = Expectations::of(&graph.stages);
    let limits = context.adaptive.map(|adaptive| adaptive.limits(engine.task_memory()));
    let limits = limits.unwrap_or_default();
    let mut waiting = graph.stages;
    let mut running = FuturesUnordered::new();
    loop {
        broadcasts::convert(&mut waiting, &outputs, limits.broadcast)?;
        runtime_filters::inject(&mut waiting, &outputs, &expected, limits.filter)?;
        let has_input =
            |stage: &Stage| stage.parents.iter().all(|parent| outputs.contains_key(parent));
        let waits = |stage: &Stage| expected.had_better_wait(stage, &waiting, &outputs, limits);
        let mut ready_now = waiting.iter().map(|s| has_input(s) && !waits(s)).collect::<Vec<_>>();
        if running.is_empty() && !ready_now.contains(&true) {
            // Stages that wait for each other do not wait any longer.
            ready_now = waiting.iter().map(has_input).collect();
        }
        let mut ready_now = ready_now.into_iter();
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|_| ready_now.next().unwrap_or(false));
        waiting = rest;
        for mut stage in ready {
            let circumstances = Circumstances {
                outputs: &outputs,
                adaptive: context.adaptive,
                parallelism: engine.slots(),
                default_partitions: context.cut.partitions,
            };
            stage.plan = adaptive::adapt(stage.plan, circumstances)?;
            stage.plan = spillable::replace_large_hash_joins(
                stage.plan,
                engine.task_memory(),
                circumstances,
            )?;
            stage.partitions = adaptive::tasks(&stage.plan);
            let Some(shuffle) = stage.shuffle else {
                return Ok(MapStages { outputs, retained, result: Some(stage) });
            };
            let (events, received) = mpsc::unbounded_channel();
            let submission = submission(&[stage], engine.inner.ids.next(), context, events)?;
            let job = Job { engine, job: submission.job.job.0, finished: false };
            retained.shuffles.push(shuffle);
            engine.inner.handle.send(Command::Submit(Box::new(submission)));
            running.push(async move {
                let output = map_stage(job, received).await;
                output.map(|output| (shuffle, output))
            });
        }
        match running.next().await {
            Some(finished) => {
                let (shuffle, output) = finished?;
                outputs.insert(shuffle, output);
            }
            None if waiting.is_empty() => {
                return Ok(MapStages { outputs, retained, result: None });
            }
            None => return internal_err!("the stages of a query read shuffles nobody writes"),
        }
    }
}

/// Waits for a job that ends with a map stage.
async fn map_stage(
    mut job: Job<'_>,
    mut received: mpsc::UnboundedReceiver<JobEvent>,
) -> Result<MapStageOutput> {
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
    output.ok_or_else(failure::stopped)
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
    let mut local_to = Vec::new();
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
        if let Some(kept) = kept_below(&stage.plan, stage.partitions) {
            local_to.push((final_stage, kept));
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
    Ok(Submission { job, plans, local_to, final_shuffle, events })
}

/// The kept shuffle of which task `i` of a stage reads map output `i`.
fn kept_below(plan: &Arc<dyn ExecutionPlan>, tasks: usize) -> Option<u64> {
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        return (reader.mode() == ReadMode::Map).then(|| reader.shuffle());
    }
    let same = |child: &&Arc<dyn ExecutionPlan>| {
        child.output_partitioning().partition_count() == tasks && !child.is::<UnionExec>()
    };
    plan.children().into_iter().rev().filter(same).find_map(|child| kept_below(child, tasks))
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
