//! Small blocks that stay in the process's memory: making, writing and removing a file takes longer than they do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::block::BlockId;
use crate::reader::BlockReader;

/// A block above this is written to a file, in bytes: there a file costs little beside the data.
const LARGEST_BLOCK: u64 = 4 << 20;

/// The blocks of a store in memory, within a budget.
#[derive(Debug, Default)]
pub(crate) struct Held {
    budget_bytes: u64,
    used_bytes: AtomicU64,
    /// `None` from when the files are left to others: a process that is gone takes its memory with it.
    blocks: Mutex<Option<HashMap<BlockId, Arc<BlockReader>>>>,
}

impl Held {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        let blocks = (budget_bytes > 0).then(HashMap::new);
        Self { budget_bytes, used_bytes: AtomicU64::new(0), blocks: Mutex::new(blocks) }
    }

    /// Whether a block may begin here.
    pub(crate) fn may_take(&self) -> bool {
        self.used_bytes.load(Ordering::Relaxed) < self.budget_bytes && self.blocks.lock().is_some()
    }

    /// Takes so many bytes out of the budget that a block has `wanted` of them; `false` if it is too large, or there are
    /// not so many left.
    pub(crate) fn grow(&self, reserved: &mut u64, wanted: u64) -> bool {
        let more = wanted.saturating_sub(*reserved);
        let taken = wanted <= LARGEST_BLOCK
            && self
                .used_bytes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                    used.checked_add(more).filter(|used| *used <= self.budget_bytes)
                })
                .is_ok();
        if taken {
            *reserved += more;
        }
        taken
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Keeps a block for which the bytes were taken; gives its data back if blocks must be files now.
    pub(crate) fn put(&self, block: BlockId, reader: BlockReader) -> Result<(), Vec<u8>> {
        match &mut *self.blocks.lock() {
            Some(blocks) => {
                if let Some(before) = blocks.insert(block, Arc::new(reader)) {
                    self.release(size(&before));
                }
                Ok(())
            }
            None => Err(reader.in_memory().map(|(data, _)| data.to_vec()).unwrap_or_default()),
        }
    }

    pub(crate) fn get(&self, block: BlockId) -> Option<Arc<BlockReader>> {
        self.blocks.lock().as_ref()?.get(&block).cloned()
    }

    /// Forgets a block; answers its bytes.
    pub(crate) fn remove(&self, block: BlockId) -> Option<u64> {
        let reader = self.blocks.lock().as_mut()?.remove(&block)?;
        let bytes = size(&reader);
        self.release(bytes);
        Some(bytes)
    }

    /// Forgets the blocks that `gone` names; answers how many they were, and their bytes.
    pub(crate) fn forget(&self, gone: impl Fn(BlockId) -> bool) -> (u64, u64) {
        let mut forgotten = (0, 0);
        if let Some(blocks) = &mut *self.blocks.lock() {
            blocks.retain(|block, reader| {
                let keep = !gone(*block);
                if !keep {
                    forgotten = (forgotten.0 + 1, forgotten.1 + size(reader));
                }
                keep
            });
        }
        self.release(forgotten.1);
        forgotten
    }

    /// Writes every block to a file by `write`, and keeps none from now on. If one cannot be written all stay here. `write`
    /// must not come back here.
    pub(crate) fn leave<E>(&self, write: impl Fn(&BlockReader) -> Result<(), E>) -> Result<(), E> {
        let mut blocks = self.blocks.lock();
        for reader in blocks.iter().flat_map(HashMap::values) {
            write(reader)?;
        }
        let left = blocks.take().map_or(0, |blocks| blocks.values().map(|block| size(block)).sum());
        self.release(left);
        Ok(())
    }
}

fn size(reader: &BlockReader) -> u64 {
    reader.in_memory().map_or(0, |(data, index)| (data.len() + index.len()) as u64)
}
