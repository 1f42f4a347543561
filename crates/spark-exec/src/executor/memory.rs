//! The part of an executor's memory that operators and buffers may take, and where they spill.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryPool, TrackConsumersPool, UnboundedMemoryPool,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use spark_shuffle::ShuffleStore;

/// The pool's part of the executor's memory (`spark.memory.fraction`): the rest is for what
/// nobody accounts for, batches under way and the program itself.
const POOL_FRACTION: f64 = 0.6;

/// A pool smaller than this spills all the time.
const POOL_BYTES_MINIMUM: usize = 64 << 20;

/// Consumers named when memory runs out.
const TOP_CONSUMERS: usize = 5;

/// The bytes of the pool of an executor with so much memory.
pub(crate) fn pool_bytes(memory_bytes: u64) -> usize {
    ((memory_bytes as f64 * POOL_FRACTION) as usize).max(POOL_BYTES_MINIMUM)
}

/// The environment of an executor's tasks; spill files lie beside the shuffle files.
pub(super) fn runtime_env(
    memory_bytes: Option<u64>,
    store: &ShuffleStore,
) -> Result<Arc<RuntimeEnv>> {
    let pool: Arc<dyn MemoryPool> = match memory_bytes {
        Some(bytes) => {
            let bytes = pool_bytes(bytes);
            let top =
                std::num::NonZeroUsize::new(TOP_CONSUMERS).unwrap_or(std::num::NonZeroUsize::MIN);
            Arc::new(TrackConsumersPool::new(FairSpillPool::new(bytes), top))
        }
        None => Arc::new(UnboundedMemoryPool::default()),
    };
    let disk =
        DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(store.directories()));
    RuntimeEnvBuilder::new().with_memory_pool(pool).with_disk_manager_builder(disk).build_arc()
}
