//! A map task's output: rows routed to reduce partitions, buffered, and written as one block.
//!
//! Each input batch is put in the order of its rows' reduce partitions while it is in the cache, and
//! kept with the borders between them. When the buffer is written, the pieces of a reduce partition
//! are joined into batches of full size: a message per piece would be a few rows each. When the
//! buffer is full it becomes a run on disk; the runs are joined at the end, segment by segment.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat_batches, take_arrays};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
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
        pieces: (0..routing.partition_count()).map(|_| Vec::new()).collect(),
        bytes: 0,
        batch_rows: context.session_config().batch_size(),
        encoder: BatchEncoder::new(&schema, compression)?,
        reservation: MemoryConsumer::new("ShuffleWrite")
            .with_can_spill(true)
            .register(context.memory_pool()),
        runs: Vec::new(),
        targets: Vec::new(),
        counts: Vec::new(),
        schema,
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
        hashes: Vec<u64>,
    },
    /// Rows in turn, as Spark does: batches may be few and large.
    RoundRobin {
        next: u32,
    },
    /// DataFusion's own partitioner, for what is seldom.
    Other(BatchPartitioner),
}

impl Router {
    fn new(routing: &Partitioning, map_partition: usize, map_partitions: usize) -> Result<Self> {
        Ok(match routing {
            Partitioning::Hash(keys, _) => Self::Hash { keys: keys.clone(), hashes: Vec::new() },
            Partitioning::RoundRobinBatch(partitions) => {
                // Not every map output begins at the same reduce partition.
                let next = map_partition * partitions / map_partitions.max(1);
                Self::RoundRobin { next: next as u32 }
            }
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

/// Neighbouring rows of one reduce partition in a buffered batch.
struct Piece {
    batch: u32,
    start: u32,
    rows: u32,
}

/// Rows not yet written.
struct RowBuffer {
    router: Router,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// Per reduce partition, its rows.
    pieces: Vec<Vec<Piece>>,
    bytes: usize,
    batch_rows: usize,
    encoder: BatchEncoder,
    reservation: MemoryReservation,
    runs: Vec<Run>,
    /// The reduce partition of each row of the batch at hand, and how many rows each has.
    targets: Vec<u32>,
    counts: Vec<u32>,
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
        let partitions = self.pieces.len() as u32;
        self.targets.clear();
        match &mut self.router {
            Router::RoundRobin { next } => {
                for _ in 0..batch.num_rows() {
                    self.targets.push(*next);
                    *next = (*next + 1) % partitions;
                }
            }
            Router::Hash { keys, hashes } => {
                let arrays = keys
                    .iter()
                    .map(|key| key.evaluate(&batch)?.into_array(batch.num_rows()))
                    .collect::<Result<Vec<ArrayRef>>>()?;
                hashes.clear();
                hashes.resize(batch.num_rows(), 0);
                create_hashes(&arrays, REPARTITION_RANDOM_STATE.random_state(), hashes)?;
                let partitions = u64::from(partitions);
                self.targets.extend(hashes.iter().map(|hash| (hash % partitions) as u32));
            }
            Router::Other(partitioner) => {
                let (batches, pieces) = (&mut self.batches, &mut self.pieces);
                return partitioner.partition(batch, |partition, part| {
                    let (batch, rows) = (batches.len() as u32, part.num_rows() as u32);
                    pieces[partition].push(Piece { batch, start: 0, rows });
                    batches.push(part);
                    Ok(())
                });
            }
        }
        self.group(&batch)
    }

    /// Puts the rows of a batch in the order of their targets: a counting sort.
    fn group(&mut self, batch: &RecordBatch) -> Result<()> {
        self.counts.clear();
        self.counts.resize(self.pieces.len(), 0);
        for target in &self.targets {
            self.counts[*target as usize] += 1;
        }
        let number = self.batches.len() as u32;
        let mut start = 0;
        for (pieces, count) in self.pieces.iter_mut().zip(&mut self.counts) {
            let rows = *count;
            if rows > 0 {
                pieces.push(Piece { batch: number, start, rows });
            }
            // From here on, where the next row of this target goes.
            *count = start;
            start += rows;
        }
        let mut order = vec![0_u32; self.targets.len()];
        for (row, target) in self.targets.iter().enumerate() {
            let place = &mut self.counts[*target as usize];
            order[*place as usize] = row as u32;
            *place += 1;
        }
        let columns = take_arrays(batch.columns(), &UInt32Array::from(order), None)?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let grouped =
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        self.batches.push(grouped);
        Ok(())
    }

    /// Gives the encoded rows of each reduce partition, in order, to `sink`, and forgets them.
    fn drain(&mut self, mut sink: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
        let mut bytes = Vec::new();
        let mut joined = Vec::new();
        for (partition, pieces) in self.pieces.iter_mut().enumerate() {
            let mut rows = 0;
            let last = pieces.len().saturating_sub(1);
            for (number, piece) in pieces.drain(..).enumerate() {
                let batch = &self.batches[piece.batch as usize];
                joined.push(batch.slice(piece.start as usize, piece.rows as usize));
                rows += piece.rows as usize;
                if rows >= self.batch_rows || number == last {
                    bytes.clear();
                    match joined.as_slice() {
                        [only] => self.encoder.encode(only, &mut bytes)?,
                        several => {
                            let batch = concat_batches(&self.schema, several)?;
                            self.encoder.encode(&batch, &mut bytes)?;
                        }
                    }
                    sink(partition, &bytes)?;
                    joined.clear();
                    rows = 0;
                }
            }
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
        let mut sizes = vec![0; self.pieces.len()];
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
        let partitions = self.pieces.len();
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
