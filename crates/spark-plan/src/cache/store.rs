//! Kept rows of a plan that runs in this process: in memory, and on disk what does not fit there.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SpillFile, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::task::JoinSet;

use super::{KeptSize, StorageLevel};

/// The rows of all partitions.
#[derive(Debug)]
pub(super) struct Store {
    partitions: Vec<Kept>,
    /// What is in memory counts against the pool as long as it is kept.
    _reserved: Vec<MemoryReservation>,
}

#[derive(Clone)]
enum Rows {
    Memory(Vec<RecordBatch>),
    Disk(Arc<dyn SpillFile>),
}

struct Kept {
    rows: Rows,
    count: usize,
    bytes: usize,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.rows {
            Rows::Memory(_) => "memory",
            Rows::Disk(_) => "disk",
        };
        write!(f, "{} rows in {place}", self.count)
    }
}

impl Store {
    /// Runs all partitions of a plan and keeps their rows.
    pub(super) async fn fill(
        input: Arc<dyn ExecutionPlan>,
        level: StorageLevel,
        context: Arc<TaskContext>,
    ) -> Result<Self> {
        let count = input.output_partitioning().partition_count();
        let mut running = JoinSet::new();
        for partition in 0..count {
            let (input, context) = (Arc::clone(&input), Arc::clone(&context));
            running.spawn(async move {
                (partition, fill_partition(&input, partition, level, &context).await)
            });
        }
        let mut filled: Vec<Option<Kept>> = (0..count).map(|_| None).collect();
        let mut reserved = Vec::with_capacity(count);
        while let Some(finished) = running.join_next().await {
            let (partition, kept) =
                finished.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?;
            let (kept, reservation) = kept?;
            filled[partition] = Some(kept);
            reserved.push(reservation);
        }
        Ok(Self { partitions: filled.into_iter().flatten().collect(), _reserved: reserved })
    }

    pub(super) fn partitions(&self) -> usize {
        self.partitions.len()
    }

    pub(super) fn size(&self) -> KeptSize {
        KeptSize {
            rows: Some(self.partitions.iter().map(|kept| kept.count).sum()),
            bytes: self.partitions.iter().map(|kept| kept.bytes).sum(),
        }
    }

    /// Some partitions one after the other.
    pub(super) fn read(
        &self,
        partitions: impl Iterator<Item = usize>,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let chosen: Vec<Rows> = partitions
            .filter_map(|partition| self.partitions.get(partition).map(|kept| kept.rows.clone()))
            .collect();
        stream::iter(chosen).flat_map(Rows::read).boxed()
    }
}

impl Rows {
    fn read(self) -> BoxStream<'static, Result<RecordBatch>> {
        match self {
            Self::Memory(batches) => stream::iter(batches.into_iter().map(Ok)).boxed(),
            Self::Disk(file) => match open(&file) {
                // The file goes with its last reader.
                Ok(reader) => stream::iter(reader)
                    .map(move |batch| {
                        let _kept = &file;
                        batch.map_err(DataFusionError::from)
                    })
                    .boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            },
        }
    }
}

fn open(file: &Arc<dyn SpillFile>) -> Result<StreamReader<BufReader<File>>> {
    let path = file.path().ok_or_else(|| exec_datafusion_err!("spill files have no path"))?;
    Ok(StreamReader::try_new(BufReader::new(File::open(path)?), None)?)
}

async fn fill_partition(
    input: &Arc<dyn ExecutionPlan>,
    partition: usize,
    level: StorageLevel,
    context: &Arc<TaskContext>,
) -> Result<(Kept, MemoryReservation)> {
    let batches = input.execute(partition, Arc::clone(context))?;
    let mut batches = spark_functions::task::scoped(batches, partition);
    let reservation = MemoryConsumer::new("Cache").register(context.memory_pool());
    let mut memory = Vec::new();
    let mut disk: Option<DiskRows> = None;
    let (mut count, mut bytes) = (0, 0);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        let size = batch.get_array_memory_size();
        count += batch.num_rows();
        bytes += size;
        if disk.is_none() && !(level.use_memory && reservation.try_grow(size).is_ok()) {
            // A partition is in one place: what is in memory already moves.
            let mut rows = DiskRows::create(&input.schema(), context)?;
            for batch in memory.drain(..) {
                rows.write(&batch)?;
            }
            reservation.free();
            disk = Some(rows);
        }
        match &mut disk {
            Some(rows) => rows.write(&batch)?,
            None => memory.push(batch),
        }
    }
    let rows = match disk {
        Some(rows) => Rows::Disk(rows.finish()?),
        None => Rows::Memory(memory),
    };
    Ok((Kept { rows, count, bytes }, reservation))
}

struct DiskRows {
    file: Arc<dyn SpillFile>,
    writer: StreamWriter<BufWriter<File>>,
}

impl DiskRows {
    fn create(schema: &SchemaRef, context: &TaskContext) -> Result<Self> {
        let file = context.runtime_env().disk_manager.create_tmp_file("cache")?;
        let path = file.path().ok_or_else(|| exec_datafusion_err!("spill files have no path"))?;
        let out = BufWriter::new(File::create(path)?);
        let writer = StreamWriter::try_new(out, schema)?;
        Ok(Self { file, writer })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.writer.write(batch)?)
    }

    fn finish(mut self) -> Result<Arc<dyn SpillFile>> {
        self.writer.finish()?;
        self.writer.get_mut().flush()?;
        Ok(self.file)
    }
}
