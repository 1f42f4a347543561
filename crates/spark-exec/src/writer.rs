//! A map task's output: rows routed to reduce partitions, buffered, and written as one block.
//!
//! Each input batch is put in the order of its rows' reduce partitions while it is in the cache, and
//! kept with the borders between them. When the buffer is written, the pieces of a reduce partition
//! are joined into batches of full size: a message per piece would be a few rows each. When the
//! buffer is full it becomes a run on disk; the runs are joined at the end, segment by segment.
//!
//! Where that leaves reduce partitions of a few rows each, messages would be most of the work, and the output is
//! written as one instead ([`crate::packed`]).

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat_batches, interleave_record_batch, take_arrays};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
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
use spark_shuffle::{BlockId, Codec, ShuffleStore};
use std::sync::Arc;

use crate::batches::BatchEncoder;
use crate::failure::store_error;
use crate::packed;

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
    /// Of sorted output: the first key of each segment.
    pub(crate) keys: Vec<Bytes>,
    /// Whether all rows lie in the first segment ([`crate::packed`]).
    pub(crate) packed: bool,
    pub(crate) effort: Effort,
}

/// What writing took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Time to encode, pack and write, of runs too; what waits for rows or routes them does not count.
    pub(crate) time: Duration,
    /// Rows written out early, as they were in memory and as they were written.
    pub(crate) memory_spilled: u64,
    pub(crate) disk_spilled: u64,
}

/// Which map output is written, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapTask {
    pub(crate) block: BlockId,
    /// The map partition, of so many.
    pub(crate) partition: usize,
    pub(crate) partitions: usize,
    pub(crate) codec: Codec,
}

/// Drains a stream into a block.
pub(crate) async fn write_map_output(
    mut input: SendableRecordBatchStream,
    routing: &Partitioning,
    map: MapTask,
    store: &ShuffleStore,
    context: &TaskContext,
) -> Result<Written> {
    let MapTask { block, partition, partitions, codec } = map;
    let schema = input.schema();
    if routing.partition_count() == 1 {
        return write_one_segment(input, block, store, codec).await;
    }
    let mut rows = 0;
    let mut buffer = RowBuffer {
        router: Router::new(routing, partition, partitions)?,
        batches: Vec::new(),
        pieces: (0..routing.partition_count()).map(|_| Vec::new()).collect(),
        bytes: 0,
        batch_rows: context.session_config().batch_size(),
        encoder: BatchEncoder::new(&schema),
        reservation: MemoryConsumer::new("ShuffleWrite")
            .with_can_spill(true)
            .register(context.memory_pool()),
        runs: Vec::new(),
        effort: Effort::default(),
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
    let packed = buffer.runs.is_empty() && packed::is_worth_it(buffer.bytes, routing, partitions);
    let (started, mut effort) = (Instant::now(), buffer.effort);
    let sizes = if packed {
        buffer.pack(block, store, codec)?
    } else {
        buffer.finish(block, store, codec)?
    };
    effort.time += started.elapsed();
    Ok(Written { bytes: sizes.iter().sum(), sizes, rows, keys: Vec::new(), packed, effort })
}

/// Drains a stream into a block of one segment, as it comes.
pub(crate) async fn write_one_segment(
    mut input: SendableRecordBatchStream,
    block: BlockId,
    store: &ShuffleStore,
    codec: Codec,
) -> Result<Written> {
    let mut encoder = BatchEncoder::new(&input.schema());
    let mut writer = None;
    let mut rows = 0;
    let mut bytes = Vec::new();
    let mut effort = Effort::default();
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() > 0 {
            let started = Instant::now();
            rows += batch.num_rows() as u64;
            bytes.clear();
            encoder.encode(&batch, &mut bytes)?;
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(store.write_packed(block, 1, codec).map_err(store_error)?),
            };
            writer.write(0, &bytes).map_err(store_error)?;
            effort.time += started.elapsed();
        }
    }
    let started = Instant::now();
    // Nobody asks for a block without bytes, so there need not be one.
    let sizes = match writer {
        Some(writer) => writer.commit().map_err(store_error)?.sizes,
        None => vec![0],
    };
    effort.time += started.elapsed();
    Ok(Written { bytes: sizes.iter().sum(), sizes, rows, effort, ..Written::default() })
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
    effort: Effort,
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
        let before = self.batches.len();
        self.route(batch)?;
        // Counted as they are kept: a batch that comes in may be a part of a much larger one.
        let bytes = self.batches[before..].iter().map(RecordBatch::get_array_memory_size).sum();
        self.bytes += bytes;
        if self.reservation.try_grow(bytes).is_err() || self.bytes > BUFFER_BYTES {
            self.spill(context)?;
        }
        Ok(())
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
        let started = Instant::now();
        self.effort.memory_spilled += self.bytes as u64;
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
        self.effort.disk_spilled += sizes.iter().sum::<u64>();
        self.effort.time += started.elapsed();
        // The name may go: the run lives as long as it is open.
        self.runs.push(Run { file: File::open(path)?, sizes });
        Ok(())
    }

    /// Writes all rows into the first segment; answers what each reduce partition has of its bytes.
    fn pack(mut self, block: BlockId, store: &ShuffleStore, codec: Codec) -> Result<Vec<u64>> {
        let counts = self.pieces.iter().map(|pieces| pieces.iter().map(|piece| piece.rows).sum());
        let counts = counts.collect::<Vec<u32>>();
        if self.batches.is_empty() {
            return Ok(vec![0; counts.len()]);
        }
        let rows = match self.batches.as_slice() {
            [grouped] if !matches!(self.router, Router::Other(_)) => grouped.clone(),
            batches => {
                let rows_of = |piece: &Piece| {
                    let batch = piece.batch as usize;
                    (piece.start..piece.start + piece.rows).map(move |row| (batch, row as usize))
                };
                let order = self.pieces.iter().flatten().flat_map(rows_of).collect::<Vec<_>>();
                let batches = batches.iter().collect::<Vec<_>>();
                interleave_record_batch(&batches, &order)?
            }
        };
        let mut bytes = packed::head(&counts);
        self.encoder.encode(&rows, &mut bytes)?;
        let mut writer =
            store.write_packed(block, counts.len() as u32, codec).map_err(store_error)?;
        writer.write(0, &bytes).map_err(store_error)?;
        let stored = writer.commit().map_err(store_error)?.sizes.iter().sum();
        Ok(packed::shares(&counts, stored))
    }

    fn finish(mut self, block: BlockId, store: &ShuffleStore, codec: Codec) -> Result<Vec<u64>> {
        let partitions = self.pieces.len();
        if self.runs.is_empty() && self.batches.is_empty() {
            // Nobody asks for a block without bytes, so there need not be one.
            return Ok(vec![0; partitions]);
        }
        let mut writer =
            store.write_packed(block, partitions as u32, codec).map_err(store_error)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use datafusion::execution::memory_pool::FairSpillPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_expr::expressions::Column;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    use crate::batches::BatchDecoder;

    const BLOCK: BlockId = BlockId::Shuffle { shuffle: 0, map_partition: 0, task: 0 };

    fn batch(number: i64) -> RecordBatch {
        let ids = number * 1000..(number + 1) * 1000;
        let keys: Int64Array = ids.clone().map(|id| (id % 7 != 0).then_some(id % 100)).collect();
        let texts = StringArray::from_iter_values(ids.clone().map(|id| format!("row {id}")));
        RecordBatch::try_from_iter_with_nullable([
            ("id", Arc::new(Int64Array::from_iter_values(ids)) as ArrayRef, false),
            ("key", Arc::new(keys), true),
            ("text", Arc::new(texts), false),
        ])
        .unwrap()
    }

    /// The rows of each reduce partition, and the number of bytes.
    async fn written(routing: Partitioning, pool_bytes: usize) -> Vec<Vec<(i64, Option<i64>)>> {
        written_of(20, routing, pool_bytes).await.1
    }

    /// Whether the output of so many batches was packed, and the rows of each reduce partition.
    async fn written_of(
        batches: i64,
        routing: Partitioning,
        pool_bytes: usize,
    ) -> (bool, Vec<Vec<(i64, Option<i64>)>>) {
        let directory = tempfile::tempdir().unwrap();
        let store = ShuffleStore::in_directory("app", directory.path()).unwrap();
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(pool_bytes)))
            .build_arc()
            .unwrap();
        let context = TaskContext::default().with_runtime(runtime);
        let schema = batch(0).schema();
        let input = futures::stream::iter((0..batches).map(|number| Ok(batch(number))));
        let input = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), input));
        let map = MapTask { block: BLOCK, partition: 0, partitions: 1, codec: Codec::None };
        let written = write_map_output(input, &routing, map, &store, &context).await.unwrap();
        let Effort { time, memory_spilled, disk_spilled } = written.effort;
        assert!(!time.is_zero());
        let spills = pool_bytes < 1 << 20 && batches > 0;
        assert_eq!((memory_spilled > 0, disk_spilled > 0), (spills, spills));
        assert_eq!(written.rows, batches as u64 * 1000);
        assert_eq!(written.sizes.len(), routing.partition_count());
        if written.bytes == 0 {
            assert!(store.read(BLOCK).is_err(), "nobody asks for a block without bytes");
            return (written.packed, vec![Vec::new(); written.sizes.len()]);
        }
        let block = store.read(BLOCK).unwrap();
        let packed = written.packed.then(|| {
            packed::decode(&schema, block.read_segment(0).unwrap(), written.sizes.len()).unwrap()
        });
        let segments = (0..written.sizes.len() as u32)
            .map(|segment| {
                let batches = match &packed {
                    Some(packed) => {
                        packed::rows(packed, &(segment..segment + 1)).into_iter().collect()
                    }
                    None => {
                        let bytes = block.read_segment(segment).unwrap();
                        BatchDecoder::new(Arc::clone(&schema), bytes)
                            .map(Result::unwrap)
                            .collect::<Vec<_>>()
                    }
                };
                batches
                    .into_iter()
                    .flat_map(|batch| {
                        let ids = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
                        let keys = batch.column(1).as_primitive::<Int64Type>().iter();
                        ids.into_iter().zip(keys.collect::<Vec<_>>()).collect::<Vec<_>>()
                    })
                    .collect()
            })
            .collect();
        (written.packed, segments)
    }

    fn by_key(partitions: usize) -> Partitioning {
        Partitioning::Hash(vec![Arc::new(Column::new("key", 1))], partitions)
    }

    #[tokio::test]
    async fn rows_go_by_key_in_their_order() {
        let segments = written(by_key(13), 1 << 30).await;
        let mut home = std::collections::HashMap::new();
        let mut ids = Vec::new();
        for (segment, rows) in segments.iter().enumerate() {
            assert!(rows.is_sorted_by_key(|(id, _)| *id));
            for (id, key) in rows {
                assert_eq!(*home.entry(*key).or_insert(segment), segment, "key {key:?}");
                ids.push(*id);
            }
        }
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..20_000));
    }

    #[tokio::test]
    async fn runs_on_disk_make_the_same_output() {
        // A batch is some 40 kB: every few of them become a run.
        assert_eq!(written(by_key(13), 150_000).await, written(by_key(13), 1 << 30).await);
        assert_eq!(written(by_key(13), 1).await, written(by_key(13), 1 << 30).await);
    }

    #[tokio::test]
    async fn few_rows_for_each_of_many_are_packed() {
        for batches in [1, 3] {
            let (packed, many) = written_of(batches, by_key(500), 1 << 30).await;
            assert!(packed);
            let (packed, few) = written_of(batches, by_key(5), 1 << 30).await;
            assert!(!packed);
            // The same rows go to partitions of which one number divides the other.
            for (number, rows) in few.iter().enumerate() {
                let mut ids = many.iter().skip(number).step_by(5).flatten().collect::<Vec<_>>();
                ids.sort_unstable();
                assert!(ids.into_iter().eq(rows), "{number}");
            }
        }
        // No rows at all.
        assert!(written_of(0, by_key(500), 1 << 30).await.1.iter().all(Vec::is_empty));
    }

    #[tokio::test]
    async fn round_robin_deals_rows_out_evenly() {
        let segments = written(Partitioning::RoundRobinBatch(8), 1 << 30).await;
        assert!(segments.iter().all(|rows| rows.len() == 2500));
    }
}
