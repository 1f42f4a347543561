//! Sorted map output: written in segments whose first keys are known, read in ranges of keys.
//!
//! A global sort is divided by what it has sorted. Each map task leaves its sorted rows in segments
//! and reports the first key of each; from these keys the driver chooses bounds, and a task of the
//! next stage reads, of every map output, the few segments that can hold rows of its range and
//! merges them. So the rows are computed once (Spark's sampling job computes them twice), the bounds
//! are as good as the segments are many, and partitions one after the other are the sorted whole.
//! Keys travel in Arrow's row format, whose bytes compare as the rows do.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use bytes::Bytes;
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{EmptyRecordBatchStream, ExecutionPlan};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use spark_shuffle::{BlockId, Codec, ShuffleStore};

use crate::batches::{BatchEncoder, bytes_of};
use crate::failure::store_error;
use crate::writer::{Effort, Written};

/// Segments of a sorted map output: as many sizes as the scheduler keeps exactly.
const SEGMENTS: u32 = 256;

/// The bytes of the first segments; later ones are larger, so that their number suffices.
const SEGMENT_BYTES: usize = 256 << 10;

/// Segments after which they double, and doublings so many segments apart.
const SEGMENTS_SMALL: u32 = 128;
const SEGMENTS_DOUBLED: u32 = 32;

/// What the open messages of all inputs of one merge should need together: map outputs of many
/// maps have smaller messages.
const MERGE_BYTES: usize = 16 << 20;

/// The bounds of a message's bytes.
const MESSAGE_BYTES: std::ops::RangeInclusive<usize> = 32 << 10..=1 << 20;

/// A merge whose open segments would need more is a sort that may spill.
const MERGE_OPEN_BYTES: u64 = 128 << 20;

/// The sort keys of batches, as bytes that compare like the rows.
pub(crate) struct Keys {
    converter: RowConverter,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
}

impl Keys {
    pub(crate) fn new(order: &LexOrdering, schema: &Schema) -> Result<Self> {
        let fields = order
            .iter()
            .map(|key| Ok(SortField::new_with_options(key.expr.data_type(schema)?, key.options)))
            .collect::<Result<Vec<_>>>()?;
        let exprs = order.iter().map(|key| Arc::clone(&key.expr)).collect();
        Ok(Self { converter: RowConverter::new(fields)?, exprs })
    }

    fn rows(&self, batch: &RecordBatch) -> Result<Rows> {
        let columns = self
            .exprs
            .iter()
            .map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows()))
            .collect::<Result<Vec<ArrayRef>>>()?;
        Ok(self.converter.convert_columns(&columns)?)
    }

    fn key(&self, batch: &RecordBatch, row: usize) -> Result<Bytes> {
        let rows = self.rows(&batch.slice(row, 1))?;
        Ok(Bytes::copy_from_slice(rows.row(0).as_ref()))
    }
}

fn segment_bytes(segment: u32) -> usize {
    let doubled = segment.saturating_sub(SEGMENTS_SMALL).div_ceil(SEGMENTS_DOUBLED);
    SEGMENT_BYTES << doubled
}

/// Drains a sorted stream into a block; `maps` is the number of map outputs of the shuffle.
pub(crate) async fn write_sorted(
    mut input: SendableRecordBatchStream,
    order: &LexOrdering,
    maps: usize,
    block: BlockId,
    store: &ShuffleStore,
    codec: Codec,
) -> Result<Written> {
    let keys = Keys::new(order, &input.schema())?;
    let mut encoder = BatchEncoder::new(&input.schema());
    let mut writer = None;
    let message_bytes =
        (MERGE_BYTES / maps.max(1)).clamp(*MESSAGE_BYTES.start(), *MESSAGE_BYTES.end());
    let mut first_keys: Vec<Bytes> = Vec::new();
    let (mut segment, mut filled, mut total_rows) = (0, 0, 0);
    let mut bytes = Vec::new();
    let mut effort = Effort::default();
    while let Some(batch) = input.next().await {
        let batch = batch?;
        let started = Instant::now();
        let rows = batch.num_rows();
        if rows == 0 {
            continue;
        }
        total_rows += rows as u64;
        let row_bytes = (bytes_of(&batch) / rows).max(1);
        let step = (message_bytes / row_bytes).clamp(1, rows);
        for start in (0..rows).step_by(step) {
            let part = batch.slice(start, step.min(rows - start));
            let full = filled >= segment_bytes(segment) && segment + 1 < SEGMENTS;
            if first_keys.is_empty() || full {
                segment += u32::from(full);
                filled = 0;
                first_keys.push(keys.key(&part, 0)?);
            }
            bytes.clear();
            encoder.encode(&part, &mut bytes)?;
            let writer = match &mut writer {
                Some(writer) => writer,
                none => {
                    none.insert(store.write_packed(block, SEGMENTS, codec).map_err(store_error)?)
                }
            };
            writer.write(segment, &bytes).map_err(store_error)?;
            filled += bytes.len();
        }
        effort.time += started.elapsed();
    }
    drop(input);
    let started = Instant::now();
    let mut sizes = match writer {
        Some(writer) => writer.commit().map_err(store_error)?.sizes,
        None => Vec::new(),
    };
    effort.time += started.elapsed();
    sizes.truncate(first_keys.len());
    let bytes = sizes.iter().sum();
    Ok(Written { bytes, sizes, rows: total_rows, keys: first_keys, packed: false, effort })
}

/// The keys at which about equal shares of the bytes begin, at most `partitions - 1`; none twice.
pub(crate) fn bounds(mut weighted: Vec<(Bytes, u64)>, partitions: usize) -> Vec<Bytes> {
    weighted.sort();
    let total: u64 = weighted.iter().map(|(_, bytes)| bytes).sum();
    let lowest = weighted.first().map(|(key, _)| key.clone());
    let mut bounds: Vec<Bytes> = Vec::new();
    let mut before = 0;
    for (key, bytes) in weighted {
        let share = (bounds.len() as u64 + 1).saturating_mul(total) / partitions.max(1) as u64;
        // No row is before the lowest key: the first partition would be empty.
        let new = bounds.last().or(lowest.as_ref()).is_some_and(|last| *last < key);
        if before >= share && new && bounds.len() + 1 < partitions {
            bounds.push(key);
        }
        before += bytes;
    }
    bounds
}

/// A range of keys: from `low` on, before `high`.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyRange {
    pub(crate) low: Option<Bytes>,
    pub(crate) high: Option<Bytes>,
}

impl KeyRange {
    /// The range between two of the bounds.
    pub(crate) fn of(bounds: &[Bytes], partition: usize) -> Self {
        let low = partition.checked_sub(1).and_then(|before| bounds.get(before));
        Self { low: low.cloned(), high: bounds.get(partition).cloned() }
    }

    /// The segments that may hold rows of the range, by the first keys of all.
    pub(crate) fn segments(&self, first_keys: &[Bytes]) -> Range<u32> {
        let end = match &self.high {
            Some(high) => first_keys.partition_point(|key| key < high),
            None => first_keys.len(),
        };
        let start = match (&self.low, first_keys.get(1..)) {
            // The rows of a segment are up to the first key of the next one, which may repeat it.
            (Some(low), Some(next)) => next.partition_point(|key| key < low),
            _ => 0,
        };
        start.min(end) as u32..end as u32
    }

    /// The rows of a sorted batch that are in the range.
    fn cut(&self, keys: &Keys, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(batch.clone());
        }
        let begins_below = match &self.low {
            Some(low) => keys.key(batch, 0)? < *low,
            None => false,
        };
        let ends_above = match &self.high {
            Some(high) => keys.key(batch, rows - 1)? >= *high,
            None => false,
        };
        if !begins_below && !ends_above {
            return Ok(batch.clone());
        }
        let all = keys.rows(batch)?;
        let before = |bound: &Bytes| {
            let (mut low, mut high) = (0, rows);
            while low < high {
                let middle = low + (high - low) / 2;
                if all.row(middle).as_ref() < &bound[..] {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        };
        let start = self.low.as_ref().filter(|_| begins_below).map_or(0, before);
        let end = self.high.as_ref().filter(|_| ends_above).map_or(rows, before);
        Ok(batch.slice(start, end.saturating_sub(start)))
    }
}

/// One sorted input of a merge.
pub(crate) struct SortedInput {
    pub(crate) batches: SendableRecordBatchStream,
    /// Bytes of its largest segment.
    pub(crate) open_bytes: u64,
}

/// Merges sorted inputs, cut to a range. Equal keys come in the order of the inputs.
pub(crate) fn merge(
    inputs: Vec<SortedInput>,
    order: &LexOrdering,
    range: &KeyRange,
    schema: &SchemaRef,
    partition: usize,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let open: u64 = inputs.iter().map(|input| input.open_bytes).sum();
    let mut streams = Vec::with_capacity(inputs.len());
    for input in inputs {
        let (keys, range) = (Keys::new(order, schema)?, range.clone());
        let cut = input
            .batches
            .map(move |batch| range.cut(&keys, &batch?))
            .try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        let stream: SendableRecordBatchStream =
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), cut));
        streams.push(stream);
    }
    match streams.len() {
        0 => return Ok(Box::pin(EmptyRecordBatchStream::new(Arc::clone(schema)))),
        1 => {
            let only = streams.pop();
            return only.ok_or_else(|| internal_datafusion_err!("a merge lost its input"));
        }
        _ => {}
    }
    if open > MERGE_OPEN_BYTES {
        return sort(streams, order, schema, context);
    }
    let reservation = MemoryConsumer::new("SortedRead").register(context.memory_pool());
    StreamingMergeBuilder::new()
        .with_streams(streams)
        .with_schema(Arc::clone(schema))
        .with_expressions(order)
        .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), partition))
        .with_batch_size(context.session_config().batch_size())
        .with_reservation(reservation)
        .with_round_robin_tie_breaker(false)
        .build()
}

/// Sorts the inputs one after the other, spilling what does not fit.
fn sort(
    streams: Vec<SendableRecordBatchStream>,
    order: &LexOrdering,
    schema: &SchemaRef,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let rows = futures::stream::iter(streams).flatten();
    let rows = RecordBatchStreamAdapter::new(Arc::clone(schema), rows);
    let once = Once { schema: Arc::clone(schema), rows: Mutex::new(Some(Box::pin(rows))) };
    let input = StreamingTableExec::try_new(
        Arc::clone(schema),
        vec![Arc::new(once)],
        None,
        std::iter::empty(),
        false,
        None,
    )?;
    SortExec::new(order.clone(), Arc::new(input)).execute(0, Arc::clone(context))
}

/// A stream as the one partition of a plan that is run once.
struct Once {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        match self.rows.lock().take() {
            Some(rows) => rows,
            None => Box::pin(EmptyRecordBatchStream::new(Arc::clone(&self.schema))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use arrow::compute::SortOptions;
    use datafusion::physical_expr::PhysicalSortExpr;
    use datafusion::physical_expr::expressions::Column;

    use crate::batches::BatchDecoder;

    fn order() -> LexOrdering {
        let options = SortOptions { descending: true, nulls_first: false };
        let key = |name, index| PhysicalSortExpr {
            expr: Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>,
            options,
        };
        LexOrdering::new([key("k", 0), key("t", 1)]).unwrap()
    }

    /// Descending, each key three times, nulls last.
    fn sorted(numbers: Range<i64>) -> RecordBatch {
        let all = numbers.rev().flat_map(|n| [n; 3]).map(Some).chain([None, None]);
        let keys: Int64Array = all.collect();
        let texts: StringArray =
            (0..keys.len()).map(|_| Some("some text to fill the segments with")).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("k", Arc::new(keys) as ArrayRef, true),
            ("t", Arc::new(texts), true),
        ])
        .unwrap()
    }

    async fn written(store: &ShuffleStore, map: u32, batch: &RecordBatch) -> (BlockId, Written) {
        let block = BlockId::Shuffle { shuffle: 0, map_partition: map, task: u64::from(map) };
        let input = futures::stream::iter([Ok(batch.clone())]);
        let input = Box::pin(RecordBatchStreamAdapter::new(batch.schema(), input));
        let written = write_sorted(input, &order(), 2, block, store, Codec::None).await.unwrap();
        (block, written)
    }

    #[tokio::test]
    async fn ranges_one_after_the_other_are_the_sorted_whole() {
        let directory = tempfile::tempdir().unwrap();
        let store = ShuffleStore::in_directory("app", directory.path()).unwrap();
        let batches = [sorted(0..90_000), sorted(20_000..80_000)];
        let schema = batches[0].schema();
        let mut outputs = Vec::new();
        for (map, batch) in (0..).zip(&batches) {
            outputs.push(written(&store, map, batch).await);
        }
        let weighted = outputs
            .iter()
            .flat_map(|(_, w)| w.keys.iter().cloned().zip(w.sizes.iter().copied()))
            .collect::<Vec<_>>();
        assert!(weighted.len() > 8, "{} segments", weighted.len());
        let bounds = bounds(weighted, 4);
        assert_eq!(bounds.len(), 3);
        let context = Arc::new(TaskContext::default());
        let mut all = Vec::new();
        let mut sizes = Vec::new();
        for partition in 0..=bounds.len() {
            let range = KeyRange::of(&bounds, partition);
            let mut inputs = Vec::new();
            for (block, written) in &outputs {
                let reader = store.read(*block).unwrap();
                let mut batches = Vec::new();
                for segment in range.segments(&written.keys) {
                    let bytes = reader.read_segment(segment).unwrap();
                    batches.extend(BatchDecoder::new(Arc::clone(&schema), bytes));
                }
                let batches = futures::stream::iter(batches);
                let batches = RecordBatchStreamAdapter::new(Arc::clone(&schema), batches);
                // One partition is merged, the others take the way of what is too large for it.
                let open_bytes = if partition == 0 { 1 } else { MERGE_OPEN_BYTES };
                inputs.push(SortedInput { batches: Box::pin(batches), open_bytes });
            }
            let merged = merge(inputs, &order(), &range, &schema, partition, &context).unwrap();
            let merged: Vec<RecordBatch> = merged.try_collect().await.unwrap();
            sizes.push(merged.iter().map(RecordBatch::num_rows).sum::<usize>());
            all.extend(merged);
        }
        let all = arrow::compute::concat_batches(&schema, &all).unwrap();
        assert_eq!(all.num_rows(), batches.iter().map(RecordBatch::num_rows).sum::<usize>());
        let keys = Keys::new(&order(), &schema).unwrap().rows(&all).unwrap();
        assert!((1..all.num_rows()).all(|row| keys.row(row - 1) <= keys.row(row)));
        assert!(sizes.iter().all(|size| *size > all.num_rows() / 10), "{sizes:?}");
        // Every row of a key is in one partition.
        assert_eq!(sizes.iter().take(2).map(|size| size % 3).sum::<usize>(), 0, "{sizes:?}");
    }

    #[tokio::test]
    async fn nothing_is_written_for_no_rows() {
        let directory = tempfile::tempdir().unwrap();
        let store = ShuffleStore::in_directory("app", directory.path()).unwrap();
        let (_, written) = written(&store, 0, &sorted(0..0).slice(0, 0)).await;
        assert_eq!(written, Written { effort: written.effort, ..Written::default() });
        assert_eq!(KeyRange::of(&[], 0).segments(&written.keys), 0..0);
    }

    #[test]
    fn bounds_are_different_keys_above_the_lowest() {
        let key = |n: u8| Bytes::copy_from_slice(&[n]);
        let weighted = vec![(key(1), 10), (key(1), 10), (key(1), 10), (key(2), 10), (key(3), 10)];
        assert_eq!(bounds(weighted.clone(), 5), [key(2), key(3)]);
        assert_eq!(bounds(weighted, 1), [] as [Bytes; 0]);
        assert_eq!(bounds(Vec::new(), 5), [] as [Bytes; 0]);
    }

    #[test]
    fn a_key_that_spans_segments_is_found_in_all_of_them() {
        let keys = [1, 2, 2, 2, 3].map(|n: u8| Bytes::copy_from_slice(&[n]));
        let range = |low: Option<u8>, high: Option<u8>| KeyRange {
            low: low.map(|n| Bytes::copy_from_slice(&[n])),
            high: high.map(|n| Bytes::copy_from_slice(&[n])),
        };
        assert_eq!(range(None, Some(2)).segments(&keys), 0..1);
        assert_eq!(range(Some(2), Some(3)).segments(&keys), 0..4);
        assert_eq!(range(Some(3), None).segments(&keys), 3..5);
        assert_eq!(range(None, None).segments(&keys), 0..5);
    }
}
