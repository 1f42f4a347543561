//! One task attempt.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;
use parking_lot::Mutex;
use spark_shuffle::{BlockFetcher, BlockId};

use super::Shared;
use super::memory::MeasuredPool;
use super::operators::{self, KEPT_METRICS};
use super::stage::StageEntry;
use crate::batches::BatchEncoder;
use crate::failure::{FetchFailedError, find_error, store_error, task_error};
use crate::input::{Places, TaskInput};
use crate::nodes::{ShuffleInput, ShuffleWriteExec};
use crate::protocol::{
    MapOutput, Task, TaskError, TaskFinished, TaskMetrics, TaskResult, task_finished,
};
use crate::sorted::write_sorted;
use crate::writer::{MapTask, Written, write_map_output};

/// What a task counts while it runs.
pub(crate) struct Counts {
    /// The executor's fetcher, with counters of this task's own: it knows how long it was waited for.
    pub(crate) fetcher: BlockFetcher,
    /// Shuffle bytes read, by the executor that wrote them.
    pub(crate) bytes_read: Mutex<HashMap<Arc<str>, u64>>,
    /// Blocks read, by the executor that wrote them.
    pub(crate) blocks_read: Mutex<HashMap<Arc<str>, u64>>,
    pub(crate) rows_read: AtomicU64,
}

impl Counts {
    pub(crate) fn of(fetcher: &BlockFetcher) -> Self {
        Self {
            fetcher: fetcher.counting_apart(),
            bytes_read: Mutex::default(),
            blocks_read: Mutex::default(),
            rows_read: AtomicU64::new(0),
        }
    }
}

/// Runs a task to its end and reports.
pub(super) async fn run(
    shared: &Arc<Shared>,
    stage: Option<Arc<StageEntry>>,
    task: Task,
    places: HashMap<u64, Arc<Places>>,
) -> TaskFinished {
    let started = Instant::now();
    let counts = Arc::new(Counts::of(&shared.fetcher));
    let mut metrics = TaskMetrics::default();
    let outcome = match &stage {
        Some(stage) => {
            let result = execute(shared, stage, &task, places, &counts, &mut metrics).await;
            result.unwrap_or_else(|error| {
                stage.forget_template();
                failed(&error)
            })
        }
        None => task_finished::Outcome::Failed(TaskError {
            message: format!("stage {} is not known at executor {}", task.stage, shared.id),
            not_counted: true,
            ..TaskError::default()
        }),
    };
    metrics.run_micros = started.elapsed().as_micros() as u64;
    let bytes_read = std::mem::take(&mut *counts.bytes_read.lock());
    metrics.bytes_read =
        bytes_read.into_iter().map(|(executor, bytes)| (executor.to_string(), bytes)).collect();
    let blocks_read = std::mem::take(&mut *counts.blocks_read.lock());
    metrics.blocks_read =
        blocks_read.into_iter().map(|(executor, blocks)| (executor.to_string(), blocks)).collect();
    metrics.rows_read = counts.rows_read.load(Ordering::Relaxed);
    metrics.fetch_wait_nanos = nanos(counts.fetcher.statistics().wait);
    TaskFinished { task: task.task, metrics: Some(metrics), outcome: Some(outcome) }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn failed(error: &DataFusionError) -> task_finished::Outcome {
    match find_error::<FetchFailedError>(error) {
        Some(fetch) => task_finished::Outcome::FetchFailed(fetch.0.clone()),
        None => task_finished::Outcome::Failed(task_error(error)),
    }
}

async fn execute(
    shared: &Arc<Shared>,
    stage: &StageEntry,
    task: &Task,
    places: HashMap<u64, Arc<Places>>,
    counts: &Arc<Counts>,
    metrics: &mut TaskMetrics,
) -> Result<task_finished::Outcome> {
    let started = Instant::now();
    let instance = stage.instance(task.stage_attempt, &shared.runtime_env);
    let (plan, config) = match instance {
        Ok(instance) => instance,
        Err(error) => {
            // No other executor would read the plan either.
            let error = TaskError { fatal: true, ..task_error(&error) };
            return Ok(task_finished::Outcome::Failed(error));
        }
    };
    metrics.decode_micros = started.elapsed().as_micros() as u64;
    let input = TaskInput::new(Arc::clone(shared), places, Arc::clone(counts));
    let config = config.with_extension(Arc::new(ShuffleInput(Arc::new(input))));
    // Somebody must want to know: the pool is asked often.
    let measured = shared.settings.event_log.then(|| MeasuredPool::around(&shared.runtime_env));
    let runtime_env = match &measured {
        Some(pool) => pool.environment(&shared.runtime_env),
        None => Arc::clone(&shared.runtime_env),
    };
    let context = Arc::new(TaskContext::new(
        Some(task.task.to_string()),
        String::new(),
        config,
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        runtime_env,
    ));
    let outcome = run_plan(shared, stage, task, &plan, context, metrics).await;
    if outcome.is_err() {
        count_operators(shared, stage, &plan, task.partition as usize, metrics);
        // Of a task that failed Spark takes what it read and spilled, and no SQL metric (`countFailedValues`).
        metrics.operators.clear();
    }
    if let Some(pool) = measured {
        metrics.peak_memory_bytes = pool.peak();
    }
    outcome
}

/// Runs one partition of a stage's plan.
async fn run_plan(
    shared: &Arc<Shared>,
    stage: &StageEntry,
    task: &Task,
    plan: &Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    metrics: &mut TaskMetrics,
) -> Result<task_finished::Outcome> {
    let partition = task.partition as usize;
    if let Some(write) = plan.downcast_ref::<ShuffleWriteExec>() {
        let rows = write.input().execute(partition, Arc::clone(&context))?;
        let rows = spark_functions::task::scoped(rows, partition);
        let block = BlockId::Shuffle {
            shuffle: write.shuffle(),
            map_partition: task.partition,
            task: task.task,
        };
        let partitions = write.input().output_partitioning().partition_count();
        let codec = shared.settings.codec;
        let written = match write.order() {
            Some(order) => {
                write_sorted(rows, order, partitions, block, &shared.store, codec).await?
            }
            None => {
                let map = MapTask { block, partition, partitions, codec };
                write_map_output(rows, write.routing(), map, &shared.store, &context).await?
            }
        };
        let Written { sizes, rows, bytes, keys, packed, effort } = written;
        metrics.output_rows = rows;
        metrics.bytes_written = bytes;
        metrics.write_nanos = nanos(effort.time);
        count_operators(shared, stage, plan, partition, metrics);
        metrics.memory_spilled_bytes += effort.memory_spilled;
        metrics.spilled_bytes += effort.disk_spilled;
        let output = MapOutput { sizes, keys, shuffle: write.shuffle(), packed };
        return Ok(task_finished::Outcome::MapOutput(output));
    }
    let rows = spark_functions::task::scoped(plan.execute(partition, context)?, partition);
    let result = collect(shared, rows, task.task, stage.inline_bytes(), metrics).await?;
    metrics.result_bytes = metrics.bytes_written;
    count_operators(shared, stage, plan, partition, metrics);
    Ok(task_finished::Outcome::Result(result))
}

/// What the operators counted, if somebody writes it down.
fn count_operators(
    shared: &Shared,
    stage: &StageEntry,
    plan: &Arc<dyn ExecutionPlan>,
    partition: usize,
    metrics: &mut TaskMetrics,
) {
    if !shared.settings.event_log {
        return;
    }
    let found = operators::collect(plan, partition);
    if found.kept > KEPT_METRICS {
        stage.forget_template();
    }
    metrics.operators = found.all;
    metrics.compute_nanos = found.compute_nanos;
    // What DataFusion's operators spill they count as it is written only; it is not packed.
    metrics.spilled_bytes = found.spilled_bytes;
    metrics.memory_spilled_bytes = found.spilled_bytes;
    (metrics.input_bytes, metrics.input_rows) = (found.input_bytes, found.input_rows);
    (metrics.sink_bytes, metrics.sink_rows) = (found.sink_bytes, found.sink_rows);
}

/// Encodes a result; one that grows beyond `inline_bytes` becomes a block.
async fn collect(
    shared: &Shared,
    mut rows: SendableRecordBatchStream,
    task: u64,
    inline_bytes: u64,
    metrics: &mut TaskMetrics,
) -> Result<TaskResult> {
    let mut encoder = BatchEncoder::new(&rows.schema());
    let mut bytes = Vec::new();
    let mut block = None;
    let (result, codec) = (BlockId::Result { task }, shared.settings.codec);
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        metrics.output_rows += batch.num_rows() as u64;
        encoder.encode(&batch, &mut bytes)?;
        if bytes.len() as u64 > inline_bytes {
            let block = match &mut block {
                Some(block) => block,
                empty => {
                    empty.insert(shared.store.write_packed(result, 1, codec).map_err(store_error)?)
                }
            };
            block.write(0, &bytes).map_err(store_error)?;
            bytes.clear();
        }
    }
    let Some(mut block) = block else {
        metrics.bytes_written = bytes.len() as u64;
        return Ok(TaskResult { inline: Bytes::from(bytes), block_bytes: 0 });
    };
    block.write(0, &bytes).map_err(store_error)?;
    let sizes = block.commit().map_err(store_error)?.sizes;
    let block_bytes = sizes.first().copied().ok_or_else(|| {
        exec_datafusion_err!("the result of task {task} was written without a segment")
    })?;
    metrics.bytes_written = block_bytes;
    Ok(TaskResult { inline: Bytes::new(), block_bytes })
}
