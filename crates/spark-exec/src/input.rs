//! A task's shuffle input: blocks of the executor's own store read directly, others fetched.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use crate::batches::BatchDecoder;
use crate::executor::{Counts, Shared};
use crate::failure::FetchFailedError;
use crate::fetch::{self, Wanted};
use crate::nodes::{ReadMode, ReadShuffle};
use crate::protocol::{FetchFailed, MapStatuses};

/// The places of the map output one task may read.
pub(crate) struct TaskInput {
    shared: Arc<Shared>,
    statuses: HashMap<u64, Arc<MapStatuses>>,
    counts: Arc<Counts>,
}

impl TaskInput {
    pub(crate) fn new(
        shared: Arc<Shared>,
        statuses: HashMap<u64, Arc<MapStatuses>>,
        counts: Arc<Counts>,
    ) -> Self {
        Self { shared, statuses, counts }
    }

    fn segments(&self, shuffle: u64) -> usize {
        let outputs = self.statuses.get(&shuffle).map(|statuses| &statuses.outputs);
        outputs.and_then(|outputs| outputs.first()).map_or(0, |output| output.sizes.len())
    }

    /// The blocks of one partition of a reader, in map order, empty ones left out.
    fn wanted(&self, shuffle: u64, mode: ReadMode, partition: usize) -> Result<Vec<Wanted>> {
        let statuses = self.statuses.get(&shuffle).ok_or_else(|| {
            internal_datafusion_err!("the map output of shuffle {shuffle} is not known here")
        })?;
        let (maps, segment) = match mode {
            ReadMode::Reduce => (0..statuses.outputs.len(), partition),
            ReadMode::PerMap => (partition..partition + 1, 0),
            ReadMode::Broadcast => (0..statuses.outputs.len(), 0),
        };
        let mut wanted = Vec::with_capacity(maps.len());
        for map in maps {
            let place = statuses.outputs.get(map).ok_or_else(|| {
                internal_datafusion_err!("shuffle {shuffle} has no map output {map}")
            })?;
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
            let bytes = place.sizes.get(segment).copied().unwrap_or(0);
            if bytes > 0 {
                wanted.push(Wanted {
                    shuffle,
                    map: map as u32,
                    task: place.task,
                    segment: segment as u32,
                    bytes,
                    executor: place.executor.clone(),
                    address: place.address.as_str().into(),
                });
            }
        }
        Ok(wanted)
    }
}

impl ReadShuffle for TaskInput {
    fn read(
        &self,
        shuffle: u64,
        mode: ReadMode,
        partition: usize,
        schema: SchemaRef,
        context: &TaskContext,
    ) -> Result<SendableRecordBatchStream> {
        let wanted = self.wanted(shuffle, mode, partition)?;
        // An exchange into one partition keeps the order of its input's partitions.
        let ordered = mode != ReadMode::Reduce || self.segments(shuffle) == 1;
        let blocks = fetch::fetch(&self.shared, wanted, ordered, &self.counts);
        let batches = decode(blocks, Arc::clone(&schema));
        let counts = Arc::clone(&self.counts);
        let batches = batches.inspect_ok(move |batch: &RecordBatch| {
            counts.rows_read.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        });
        let batches = match mode {
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
