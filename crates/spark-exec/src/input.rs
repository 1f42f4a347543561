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
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use crate::batches::BatchDecoder;
use crate::executor::{Counts, Shared};
use crate::failure::FetchFailedError;
use crate::fetch::{self, Wanted};
use crate::nodes::{ReadMode, ReadShuffle, ShuffleReaderExec};
use crate::protocol::{FetchFailed, MapStatuses};

/// Where the map output of a shuffle lies, as tasks use it.
pub(crate) struct Places {
    maps: Vec<Place>,
    /// Reduce partitions.
    segments: usize,
}

struct Place {
    executor: Arc<str>,
    address: Arc<str>,
    task: u64,
    sizes: Vec<u64>,
    available: bool,
}

impl From<MapStatuses> for Places {
    fn from(statuses: MapStatuses) -> Self {
        let mut names: HashMap<String, Arc<str>> = HashMap::new();
        let mut shared = |name: String| match names.get(&name) {
            Some(shared) => Arc::clone(shared),
            None => Arc::clone(names.entry(name.clone()).or_insert(name.into())),
        };
        let maps = statuses
            .outputs
            .into_iter()
            .map(|place| Place {
                executor: shared(place.executor),
                address: shared(place.address),
                task: place.task,
                sizes: place.sizes,
                available: place.available,
            })
            .collect::<Vec<_>>();
        let segments = maps.iter().map(|map| map.sizes.len()).max().unwrap_or(0);
        Self { maps, segments }
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

/// The blocks of one partition of a reader, in map order, empty ones left out.
fn wanted(
    input: &ShuffleReaderExec,
    places: &Places,
    partition: usize,
    segments: &Range<u32>,
) -> Result<Vec<Wanted>> {
    let shuffle = input.shuffle();
    let maps = match input.mode() {
        ReadMode::Reduce | ReadMode::Broadcast => 0..places.maps.len(),
        ReadMode::PerMap => partition..partition + 1,
    };
    let mut wanted = Vec::with_capacity(maps.len());
    for map in maps {
        let place = places
            .maps
            .get(map)
            .ok_or_else(|| internal_datafusion_err!("shuffle {shuffle} has no map output {map}"))?;
        if !place.available {
            return Err(FetchFailedError(FetchFailed {
                shuffle,
                map: map as u32,
                map_task: None,
                address_lost: false,
                message: "the map output is lost".to_owned(),
            })
            .into());
        }
        let sizes = place.sizes.get(segments.start as usize..segments.end as usize);
        let bytes = sizes.map_or(0, |sizes| sizes.iter().sum());
        if bytes > 0 {
            wanted.push(Wanted {
                shuffle,
                map: map as u32,
                task: place.task,
                bytes,
                executor: Arc::clone(&place.executor),
                address: Arc::clone(&place.address),
            });
        }
    }
    Ok(wanted)
}

impl ReadShuffle for TaskInput {
    fn read(
        &self,
        input: &ShuffleReaderExec,
        partition: usize,
        context: &TaskContext,
    ) -> Result<SendableRecordBatchStream> {
        let shuffle = input.shuffle();
        let places = self.places.get(&shuffle).ok_or_else(|| {
            internal_datafusion_err!("the map output of shuffle {shuffle} is not known here")
        })?;
        let segments = match input.mode() {
            ReadMode::Reduce => input.segments(partition),
            ReadMode::PerMap | ReadMode::Broadcast => 0..1,
        };
        let wanted = wanted(input, places, partition, &segments)?;
        // An exchange into one partition keeps the order of its input's partitions.
        let ordered = input.mode() != ReadMode::Reduce || places.segments == 1;
        let schema = input.schema();
        let blocks = fetch::fetch(&self.shared, wanted, segments, ordered, &self.counts);
        let batches = decode(blocks, Arc::clone(&schema));
        let counts = Arc::clone(&self.counts);
        let batches = batches.inspect_ok(move |batch: &RecordBatch| {
            counts.rows_read.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        });
        let batches = match input.mode() {
            ReadMode::PerMap => batches.boxed(),
            ReadMode::Reduce | ReadMode::Broadcast => coalesce(
                batches.boxed(),
                Arc::clone(&schema),
                context.session_config().batch_size(),
            ),
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
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
