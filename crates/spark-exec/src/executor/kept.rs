//! Kept rows in an executor's memory: the batches of blocks it has read, until there is no room.
//!
//! The blocks themselves are map output and lie on disk or in the memory tier; this saves decoding
//! them again. What was not read for the longest time goes first.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use parking_lot::Mutex;

use crate::packed::KEPT_BYTES;

/// The part of the operators' pool that kept rows may take (`spark.memory.storageFraction`).
const POOL_FRACTION: f64 = 0.5;

/// The part of the operators' pool, one of so many, that decoded packed map output may take.
const PACKED_PART: usize = 8;

/// The most an executor without a memory limit keeps.
const BYTES_WITHOUT_LIMIT: usize = 1 << 30;

/// A block of kept rows: shuffle, map partition and the attempt that wrote it.
pub(crate) type KeptBlock = (u64, u32, u64);

/// The kept rows in memory.
pub(crate) struct KeptBatches {
    limit: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    blocks: HashMap<KeptBlock, Entry>,
    reservation: MemoryReservation,
    /// Counts uses.
    clock: u64,
}

struct Entry {
    batches: Arc<[RecordBatch]>,
    bytes: usize,
    used: u64,
}

impl KeptBatches {
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>, pool_bytes: Option<usize>) -> Self {
        let limit = match pool_bytes {
            Some(bytes) => (bytes as f64 * POOL_FRACTION) as usize,
            None => BYTES_WITHOUT_LIMIT,
        };
        Self::limited(pool, "KeptRows", limit)
    }

    /// Packed map output ([`crate::packed`]) as it was decoded, for the other tasks that read it.
    pub(crate) fn of_packed(pool: &Arc<dyn MemoryPool>, pool_bytes: Option<usize>) -> Self {
        let limit = pool_bytes.map_or(KEPT_BYTES, |bytes| KEPT_BYTES.min(bytes / PACKED_PART));
        Self::limited(pool, "PackedMapOutput", limit)
    }

    fn limited(pool: &Arc<dyn MemoryPool>, name: &str, limit: usize) -> Self {
        let reservation = MemoryConsumer::new(name).register(pool);
        let inner = Inner { blocks: HashMap::new(), reservation, clock: 0 };
        Self { limit, inner: Mutex::new(inner) }
    }

    /// The most one block may need to be kept.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn get(&self, block: KeptBlock) -> Option<Arc<[RecordBatch]>> {
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let now = inner.clock;
        let entry = inner.blocks.get_mut(&block)?;
        entry.used = now;
        Some(Arc::clone(&entry.batches))
    }

    /// Keeps the batches of a block if room can be made.
    pub(crate) fn put(&self, block: KeptBlock, batches: Vec<RecordBatch>, bytes: usize) {
        if bytes > self.limit {
            return;
        }
        let mut inner = self.inner.lock();
        inner.remove(|known| *known == block);
        while inner.reservation.size() + bytes > self.limit
            || inner.reservation.try_grow(bytes).is_err()
        {
            let oldest = inner.blocks.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(block, _)| *block) else { return };
            inner.remove(|known| *known == oldest);
        }
        inner.clock += 1;
        let entry = Entry { batches: batches.into(), bytes, used: inner.clock };
        inner.blocks.insert(block, entry);
    }

    pub(crate) fn remove_shuffle(&self, shuffle: u64) {
        self.inner.lock().remove(|block| block.0 == shuffle);
    }
}

impl Inner {
    fn remove(&mut self, gone: impl Fn(&KeptBlock) -> bool) {
        let mut freed = 0;
        self.blocks.retain(|block, entry| {
            let gone = gone(block);
            freed += if gone { entry.bytes } else { 0 };
            !gone
        });
        self.reservation.shrink(freed);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array};
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    fn batch() -> RecordBatch {
        let column = Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef;
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    #[test]
    fn what_was_not_read_for_long_makes_room() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1000));
        let kept = KeptBatches::new(&pool, Some(1000));
        kept.put((1, 0, 0), vec![batch()], 200);
        kept.put((1, 1, 0), vec![batch()], 200);
        assert!(kept.get((1, 0, 0)).is_some());
        kept.put((2, 0, 0), vec![batch()], 200);
        assert!(kept.get((1, 1, 0)).is_none());
        assert!(kept.get((1, 0, 0)).is_some() && kept.get((2, 0, 0)).is_some());
        kept.put((3, 0, 0), vec![batch()], 501);
        assert!(kept.get((3, 0, 0)).is_none(), "larger than all room there is");
        kept.remove_shuffle(1);
        assert_eq!(pool.reserved(), 200);
    }

    #[test]
    fn operators_keep_the_memory_they_have() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1000));
        let operator = MemoryConsumer::new("operator").register(&pool);
        operator.try_grow(900).unwrap();
        let kept = KeptBatches::new(&pool, Some(1000));
        kept.put((1, 0, 0), vec![batch()], 200);
        assert!(kept.get((1, 0, 0)).is_none());
    }
}
