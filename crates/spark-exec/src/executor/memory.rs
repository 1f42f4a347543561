//! The part of an executor's memory that operators and buffers may take, and where they spill.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
    UnboundedMemoryPool,
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

/// The executor's pool as one task sees it: notes the most the task had of it at one time (Spark's peak
/// execution memory).
#[derive(Debug)]
pub(super) struct MeasuredPool {
    inner: Arc<dyn MemoryPool>,
    reserved: AtomicUsize,
    peak: AtomicUsize,
}

impl MeasuredPool {
    pub(super) fn around(environment: &RuntimeEnv) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(&environment.memory_pool),
            reserved: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    /// The environment with this pool in the place of its own.
    pub(super) fn environment(self: &Arc<Self>, environment: &RuntimeEnv) -> Arc<RuntimeEnv> {
        let memory_pool = Arc::clone(self) as Arc<dyn MemoryPool>;
        Arc::new(RuntimeEnv { memory_pool, ..environment.clone() })
    }

    /// Bytes.
    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed) as u64
    }

    fn grew(&self, additional: usize) {
        let now = self.reserved.fetch_add(additional, Ordering::Relaxed) + additional;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }
}

impl fmt::Display for MeasuredPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl MemoryPool for MeasuredPool {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
        self.grew(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
        self.reserved.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.inner.try_grow(reservation, additional)?;
        self.grew(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_knows_the_most_it_had() {
        let pool = Arc::new(FairSpillPool::new(1000));
        let shared = RuntimeEnvBuilder::new().with_memory_pool(pool).build().unwrap();
        let measured = [MeasuredPool::around(&shared), MeasuredPool::around(&shared)];
        let [one, other] = measured.each_ref().map(|pool| pool.environment(&shared));
        let of = |environment: &RuntimeEnv| {
            MemoryConsumer::new("test").register(&environment.memory_pool)
        };
        let (first, second, others) = (of(&one), of(&one), of(&other));
        first.grow(300);
        second.try_grow(200).unwrap();
        others.grow(400);
        assert!(second.try_grow(200).is_err(), "the pool is one");
        first.free();
        second.try_grow(100).unwrap();
        drop((first, second, others));
        assert_eq!(measured.each_ref().map(|pool| pool.peak()), [500, 400]);
        assert_eq!(shared.memory_pool.reserved(), 0);
    }
}
