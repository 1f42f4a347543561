//! A task's shuffle input: blocks of the executor's own store read directly, others fetched.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::internal_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use crate::batches::{BatchDecoder, bytes_of};
use crate::executor::{Counts, Shared};
use crate::failure::FetchFailedError;
use crate::fetch::{self, Wanted};
use crate::nodes::{ReadMode, ReadShuffle, ShuffleReaderExec, SortedRanges};
use crate::packed;
use crate::protocol::{FetchFailed, MapStatuses};
use crate::sorted::{self, KeyRange, SortedInput};

/// Where the map output of a shuffle lies, as tasks use it.
pub(crate) struct Places {
    maps: Vec<Place>,
    /// Reduce partitions.
    segments: usize,
    epoch: u64,
}

impl Places {
    /// The epoch of the map statuses.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }
}

struct Place {
    executor: Arc<str>,
    address: Arc<str>,
    task: u64,
    sizes: Vec<u64>,
    /// Of sorted output: the first keys of the segments.
    keys: Vec<Bytes>,
    available: bool,
    packed: bool,
}

impl From<MapStatuses> for Places {
    fn from(statuses: MapStatuses) -> Self {
        let mut names: HashMap<String, Arc<str>> = HashMap::new();
        let mut shared = |name: String| match names.get(&name) {
            Some(shared) => Arc::clone(shared),
            None => Arc::clone(names.entry(name.clone()).or_insert(name.into())),
        };
        let epoch = statuses.epoch;
        let maps = statuses
            .outputs
            .into_iter()
            .map(|place| Place {
                executor: shared(place.executor),
                address: shared(place.address),
                task: place.task,
                sizes: place.sizes,
                keys: place.keys,
                available: place.available,
                packed: place.packed,
            })
            .collect::<Vec<_>>();
        let segments = maps.iter().map(|map| map.sizes.len()).max().unwrap_or(0);
        Self { maps, segments, epoch }
    }
}

/// The places of the map output one task may read.
pub(crate) struct TaskInput {
    shared: Arc<Shared>,
    places: HashMap<u64, Arc<Places>>,
    counts: Arc<Counts>,
}

impl TaskInput {
    pub(crate) fn new(
        shared: Arc<Shared>,
        places: HashMap<u64, Arc<Places>>,
        counts: Arc<Counts>,
    ) -> Self {
        Self { shared, places, counts }
    }
}

/// The place of a map output; a fetch failure while it is lost.
fn place(shuffle: u64, map: usize, places: &Places) -> Result<&Place> {
    let place = places
        .maps
        .get(map)
        .ok_or_else(|| internal_datafusion_err!("shuffle {shuffle} has no map output {map}"))?;
    if place.available {
        return Ok(place);
    }
    Err(FetchFailedError(FetchFailed {
        shuffle,
        map: map as u32,
        map_task: None,
        address_lost: false,
        message: "the map output is lost".to_owned(),
    })
    .into())
}

impl Place {
    /// Some segments of the map output; `None` if they are empty.
    fn wanted(&self, shuffle: u64, map: usize, segments: &Range<u32>) -> Option<Wanted> {
        let sizes = self.sizes.get(segments.start as usize..segments.end as usize)?;
        let bytes = sizes.iter().sum();
        (bytes > 0).then(|| Wanted {
            shuffle,
            map: map as u32,
            task: self.task,
            bytes,
            executor: Arc::clone(&self.executor),
            address: Arc::clone(&self.address),
        })
    }
}

/// The blocks of one partition of a reader, in map order, empty ones left out: those that are packed,
/// and the others.
fn wanted(
    shuffle: u64,
    places: &Places,
    maps: Range<usize>,
    segments: &Range<u32>,
) -> Result<(Vec<Wanted>, Vec<Wanted>)> {
    let mut wanted = (Vec::new(), Vec::new());
    for map in maps {
        let place = place(shuffle, map, places)?;
        let list = if place.packed { &mut wanted.0 } else { &mut wanted.1 };
        list.extend(place.wanted(shuffle, map, segments));
    }
    Ok(wanted)
}

impl ReadShuffle for TaskInput {
    fn read(
        &self,
        input: &ShuffleReaderExec,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let shuffle = input.shuffle();
        let places = self.places.get(&shuffle).ok_or_else(|| {
            internal_datafusion_err!("the map output of shuffle {shuffle} is not known here")
        })?;
        if let Some(ranges) = input.ranges() {
            return self.read_sorted(input, ranges, places, partition, context);
        }
        let all = 0..places.maps.len();
        let (maps, segments) = match input.mode() {
            ReadMode::Reduce | ReadMode::Sorted => {
                let run = input.run(partition);
                let maps = run.maps.map_or(all, |maps| maps.start as usize..maps.end as usize);
                (maps, run.reduces)
            }
            ReadMode::Map => (partition..partition + 1, 0..1),
            ReadMode::Broadcast => (all, 0..1),
        };
        let (packed, wanted) = wanted(shuffle, places, maps, &segments)?;
        if input.in_memory()
            && let [only] = wanted.as_slice()
        {
            return Ok(self.read_kept(only.clone(), input.schema()));
        }
        // An exchange into one partition keeps the order of its input's partitions.
        let ordered = input.mode() != ReadMode::Reduce || places.segments == 1;
        let schema = input.schema();
        let packed = self.read_packed(packed, places.segments, segments.clone(), &schema);
        let blocks = fetch::fetch(&self.shared, wanted, segments, ordered, &self.counts);
        let batches = self.counted(packed.chain(decode(blocks, Arc::clone(&schema))));
        let rows = context.session_config().batch_size();
        let batches = coalesce(batches, Arc::clone(&schema), rows);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// Bytes on the way for all inputs of a merge together.
const MERGE_IN_FLIGHT_BYTES: u64 = 48 << 20;

/// Bytes on the way for one input of a merge, at least.
const MERGE_IN_FLIGHT_BYTES_MINIMUM: u64 = 256 << 10;

impl TaskInput {
    fn counted(
        &self,
        batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let counts = Arc::clone(&self.counts);
        let count = move |batch: &RecordBatch| {
            counts.rows_read.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        };
        batches.inspect_ok(count).boxed()
    }

    /// The rows of packed map output; what has not been decoded for another task is read first.
    fn read_packed(
        &self,
        wanted: Vec<Wanted>,
        partitions: usize,
        segments: Range<u32>,
        schema: &SchemaRef,
    ) -> impl Stream<Item = Result<RecordBatch>> + Send + use<> {
        fetch::count(&wanted, &self.counts);
        let (shared, schema) = (Arc::clone(&self.shared), Arc::clone(schema));
        let counts = Arc::clone(&self.counts);
        let read = async move {
            let key = |wanted: &Wanted| (wanted.shuffle, wanted.map, wanted.task);
            let mut found = Vec::with_capacity(wanted.len());
            let mut missing = Vec::new();
            for (number, wanted) in wanted.into_iter().enumerate() {
                let packed = shared.packed.get(key(&wanted));
                if packed.is_none() {
                    missing.push((number, wanted));
                }
                found.push(packed.and_then(|packed| packed::rows(&packed, &segments)));
            }
            let (numbers, missing): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
            let blocks = fetch::fetch_packed(&shared, missing.clone(), &counts).await?;
            for ((number, wanted), bytes) in numbers.into_iter().zip(missing).zip(blocks) {
                let decoded = packed::decode(&schema, bytes, partitions).map_err(|error| {
                    fetch::fetch_failed(wanted.block(), false, error.to_string())
                })?;
                found[number] = packed::rows(&decoded, &segments);
                let bytes = decoded.iter().map(bytes_of).sum();
                shared.packed.put(key(&wanted), decoded.into(), bytes);
            }
            Ok::<_, DataFusionError>(stream::iter(found.into_iter().flatten().map(Ok)))
        };
        stream::once(read).try_flatten()
    }

    /// The rows of a kept block, from memory if they are there, else into it.
    fn read_kept(&self, wanted: Wanted, schema: SchemaRef) -> SendableRecordBatchStream {
        let block = (wanted.shuffle, wanted.map, wanted.task);
        if let Some(batches) = self.shared.kept.get(block) {
            let all = (0..batches.len()).map(move |number| Ok(batches[number].clone()));
            let all = self.counted(stream::iter(all));
            return Box::pin(RecordBatchStreamAdapter::new(schema, all));
        }
        let blocks = fetch::fetch(&self.shared, vec![wanted], 0..1, true, &self.counts);
        let batches = self.counted(decode(blocks, Arc::clone(&schema)));
        let shared = Arc::clone(&self.shared);
        let state = (batches, Some((Vec::new(), 0_usize)));
        let batches = stream::try_unfold(state, move |(mut batches, mut seen)| {
            let shared = Arc::clone(&shared);
            async move {
                let Some(batch) = batches.try_next().await? else {
                    if let Some((seen, bytes)) = seen.take() {
                        shared.kept.put(block, seen, bytes);
                    }
                    return Ok(None);
                };
                if let Some((kept, bytes)) = &mut seen {
                    kept.push(batch.clone());
                    *bytes += bytes_of(&batch);
                }
                // One that is too large for memory stays where it is.
                let fits = |seen: &(Vec<RecordBatch>, usize)| seen.1 <= shared.kept.limit();
                Ok::<_, DataFusionError>(Some((batch, (batches, seen.filter(fits)))))
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    /// Merges one range of keys of all map outputs, each read bit by bit.
    fn read_sorted(
        &self,
        input: &ShuffleReaderExec,
        ranges: &SortedRanges,
        places: &Places,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let shuffle = input.shuffle();
        let range = KeyRange::of(&ranges.bounds, partition);
        let schema = input.schema();
        let in_flight = (MERGE_IN_FLIGHT_BYTES / places.maps.len().max(1) as u64)
            .max(MERGE_IN_FLIGHT_BYTES_MINIMUM);
        let mut inputs = Vec::new();
        for map in 0..places.maps.len() {
            let place = place(shuffle, map, places)?;
            let segments = range.segments(&place.keys);
            let Some(wanted) = place.wanted(shuffle, map, &segments) else { continue };
            let sizes = &place.sizes[segments.start as usize..segments.end as usize];
            let open_bytes = sizes.iter().copied().max().unwrap_or(0);
            let blocks = fetch::trickle(&self.shared, wanted, segments, in_flight, &self.counts);
            let batches = self.counted(decode(blocks, Arc::clone(&schema)));
            let batches = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), batches));
            inputs.push(SortedInput { batches, open_bytes });
        }
        sorted::merge(inputs, &ranges.order, &range, &schema, partition, context)
    }
}

/// One batch at a time, so that a large block never lies decoded in memory as a whole.
fn decode(
    blocks: BoxStream<'static, Result<Bytes>>,
    schema: SchemaRef,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    blocks
        .map_ok(move |bytes| stream::iter(BatchDecoder::new(Arc::clone(&schema), bytes)))
        .try_flatten()
}

/// Joins small batches: a reduce partition comes in as many pieces as there are map outputs.
fn coalesce(
    batches: BoxStream<'static, Result<RecordBatch>>,
    schema: SchemaRef,
    batch_rows: usize,
) -> BoxStream<'static, Result<RecordBatch>> {
    let coalescer = BatchCoalescer::new(schema, batch_rows)
        .with_biggest_coalesce_batch_size(Some((batch_rows / 2).max(1)));
    let state = Some((batches, coalescer));
    stream::try_unfold(state, |state| async move {
        let Some((mut batches, mut coalescer)) = state else { return Ok(None) };
        loop {
            if let Some(batch) = coalescer.next_completed_batch() {
                return Ok(Some((batch, Some((batches, coalescer)))));
            }
            match batches.try_next().await? {
                Some(batch) => coalescer.push_batch(batch)?,
                None => {
                    coalescer.finish_buffered_batch()?;
                    return Ok(coalescer.next_completed_batch().map(|batch| (batch, None)));
                }
            }
        }
    })
    .boxed()
}
