//! A map task's output: rows routed to reduce partitions, buffered, and written as one block.
//!
//! Input batches are kept as they come, with the row numbers of each reduce partition, and copied
//! once when the buffer is written: with hundreds of reduce partitions a batch per partition and
//! input batch would be a few rows each. When the buffer is full it becomes a sorted run on disk;
//! the runs are joined at the end, segment by segment.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};

use arrow::array::ArrayRef;
use arrow::compute::interleave_record_batch;
use arrow::record_batch::RecordBatch;
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::{exec_datafusion_err, not_impl_err};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::Partitioning;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::repartition::{BatchPartitioner, REPARTITION_RANDOM_STATE};
use futures::StreamExt;
use spark_shuffle::{BlockId, ShuffleStore};
use std::sync::Arc;

use crate::batches::{BatchEncoder, Compression};
use crate::failure::store_error;

/// A buffer of this many bytes is written out even if the memory pool would give more: beyond it
/// larger runs do not make the copies any cheaper.
const BUFFER_BYTES: usize = 128 * 1024 * 1024;

/// What a map task wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Bytes per reduce partition.
    pub(crate) sizes: Vec<u64>,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// Drains a stream into a block.
pub(crate) async fn write_map_output(
    mut input: SendableRecordBatchStream,
    routing: &Partitioning,
    map_partition: usize,
    map_partitions: usize,
    block: BlockId,
    store: &ShuffleStore,
    compression: Compression,
    context: &TaskContext,
) -> Result<Written> {
    let schema = input.schema();
    if routing.partition_count() == 1 {
        return write_one_segment(input, block, store, compression).await;
    }
    let mut rows = 0;
    let mut buffer = RowBuffer {
        router: Router::new(routing, map_partition, map_partitions)?,
        batches: Vec::new(),
        places: vec![Vec::new(); routing.partition_count()],
        bytes: 0,
        batch_rows: context.session_config().batch_size(),
        encoder: BatchEncoder::new(&schema, compression)?,
        reservation: MemoryConsumer::new("ShuffleWrite")
            .with_can_spill(true)
            .register(context.memory_pool()),
        runs: Vec::new(),
    };
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        rows += batch.num_rows() as u64;
        buffer.add(batch, context)?;
    }
    drop(input);
    let sizes = buffer.finish(block, store)?;
    Ok(Written { bytes: sizes.iter().sum(), sizes, rows })
}

/// Drains a stream into a block of one segment, as it comes.
pub(crate) async fn write_one_segment(
    mut input: SendableRecordBatchStream,
    block: BlockId,
    store: &ShuffleStore,
    compression: Compression,
) -> Result<Written> {
    let mut encoder = BatchEncoder::new(&input.schema(), compression)?;
    let mut writer = store.write(block, 1).map_err(store_error)?;
    let mut rows = 0;
    let mut bytes = Vec::new();
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() > 0 {
            rows += batch.num_rows() as u64;
            bytes.clear();
            encoder.encode(&batch, &mut bytes)?;
            writer.write(0, &bytes).map_err(store_error)?;
        }
    }
    let sizes = writer.commit().map_err(store_error)?.sizes;
    Ok(Written { bytes: sizes.iter().sum(), sizes, rows })
}

/// Decides the reduce partition of each row.
enum Router {
    Hash {
        keys: Vec<Arc<dyn PhysicalExpr>>,
        partitions: u64,
        hashes: Vec<u64>,
    },
    /// Whole batches in turn.
    RoundRobin {
        partitions: usize,
        next: usize,
    },
    /// DataFusion's own partitioner, for what is seldom.
    Other(BatchPartitioner),
}

impl Router {
    fn new(routing: &Partitioning, map_partition: usize, map_partitions: usize) -> Result<Self> {
        Ok(match routing {
            Partitioning::Hash(keys, partitions) => Self::Hash {
                keys: keys.clone(),
                partitions: *partitions as u64,
                hashes: Vec::new(),
            },
            Partitioning::RoundRobinBatch(partitions) => Self::RoundRobin {
                partitions: *partitions,
                next: map_partition * partitions / map_partitions.max(1),
            },
            Partitioning::Range(_) => Self::Other(BatchPartitioner::try_new(
                routing.clone(),
                Time::new(),
                map_partition,
                map_partitions,
            )?),
            Partitioning::UnknownPartitioning(_) => {
                return not_impl_err!("rows cannot be routed by {routing}");
            }
        })
    }
}

/// Rows not yet written.
struct RowBuffer {
    router: Router,
    batches: Vec<RecordBatch>,
    /// Per reduce partition, the rows that go there: batch and row number.
    places: Vec<Vec<(u32, u32)>>,
    bytes: usize,
    batch_rows: usize,
    encoder: BatchEncoder,
    reservation: MemoryReservation,
    runs: Vec<Run>,
}

/// Segments written out early.
struct Run {
    file: File,
    sizes: Vec<u64>,
}

impl RowBuffer {
    fn add(&mut self, batch: RecordBatch, context: &TaskContext) -> Result<()> {
        let bytes = batch.get_array_memory_size().min(BUFFER_BYTES);
        let full = self.bytes + bytes > BUFFER_BYTES || self.reservation.try_grow(bytes).is_err();
        if full {
            self.spill(context)?;
            // One batch must be held in any case.
            self.reservation.grow(bytes);
        }
        self.bytes += bytes;
        self.route(batch)
    }

    fn route(&mut self, batch: RecordBatch) -> Result<()> {
        let number = self.batches.len() as u32;
        let rows = batch.num_rows() as u32;
        match &mut self.router {
            Router::RoundRobin { partitions, next } => {
                // Rows, not batches, as Spark does: batches may be few and large.
                for row in 0..rows {
                    self.places[*next].push((number, row));
                    *next = (*next + 1) % *partitions;
                }
            }
            Router::Hash { keys, partitions, hashes } => {
                let arrays = keys
                    .iter()
                    .map(|key| key.evaluate(&batch)?.into_array(batch.num_rows()))
                    .collect::<Result<Vec<ArrayRef>>>()?;
                hashes.clear();
                hashes.resize(batch.num_rows(), 0);
                create_hashes(&arrays, REPARTITION_RANDOM_STATE.random_state(), hashes)?;
                for (row, hash) in hashes.iter().enumerate() {
                    self.places[(hash % *partitions) as usize].push((number, row as u32));
                }
            }
            Router::Other(partitioner) => {
                let (batches, places) = (&mut self.batches, &mut self.places);
                return partitioner.partition(batch, |partition, part| {
                    let number = batches.len() as u32;
                    places[partition].extend((0..part.num_rows() as u32).map(|row| (number, row)));
                    batches.push(part);
                    Ok(())
                });
            }
        }
        self.batches.push(batch);
        Ok(())
    }

    /// Gives the encoded rows of each reduce partition, in order, to `sink`, and forgets them.
    fn drain(&mut self, mut sink: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
        let mut bytes = Vec::new();
        let batches = self.batches.iter().collect::<Vec<_>>();
        let mut indices = Vec::new();
        for (partition, places) in self.places.iter_mut().enumerate() {
            for chunk in places.chunks(self.batch_rows) {
                indices.clear();
                indices.extend(chunk.iter().map(|(batch, row)| (*batch as usize, *row as usize)));
                let batch = interleave_record_batch(&batches, &indices)?;
                bytes.clear();
                self.encoder.encode(&batch, &mut bytes)?;
                sink(partition, &bytes)?;
            }
            places.clear();
        }
        self.batches.clear();
        self.bytes = 0;
        self.reservation.free();
        Ok(())
    }

    fn spill(&mut self, context: &TaskContext) -> Result<()> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let place = context.runtime_env().disk_manager.create_tmp_file("shuffle write")?;
        let path = place.path().ok_or_else(|| exec_datafusion_err!("spill files have no path"))?;
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut sizes = vec![0; self.places.len()];
        self.drain(|partition, bytes| {
            sizes[partition] += bytes.len() as u64;
            Ok(out.write_all(bytes)?)
        })?;
        out.flush()?;
        drop(out);
        // The name may go: the run lives as long as it is open.
        self.runs.push(Run { file: File::open(path)?, sizes });
        Ok(())
    }

    fn finish(mut self, block: BlockId, store: &ShuffleStore) -> Result<Vec<u64>> {
        let partitions = self.places.len();
        let mut writer = store.write(block, partitions as u32).map_err(store_error)?;
        if self.runs.is_empty() {
            self.drain(|partition, bytes| {
                writer.write(partition as u32, bytes).map_err(store_error)
            })?;
        } else {
            let mut last = vec![Vec::new(); partitions];
            self.drain(|partition, bytes| {
                last[partition].extend_from_slice(bytes);
                Ok(())
            })?;
            for run in &mut self.runs {
                run.file.seek(SeekFrom::Start(0))?;
            }
            let mut chunk = vec![0; 1 << 20];
            for (partition, last) in last.iter().enumerate() {
                for run in &mut self.runs {
                    let mut segment = (&mut run.file).take(run.sizes[partition]);
                    loop {
                        let length = segment.read(&mut chunk)?;
                        if length == 0 {
                            break;
                        }
                        writer.write(partition as u32, &chunk[..length]).map_err(store_error)?;
                    }
                }
                writer.write(partition as u32, last).map_err(store_error)?;
            }
        }
        Ok(writer.commit().map_err(store_error)?.sizes)
    }
}
