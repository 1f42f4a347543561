//! Where map output lies (Spark's `MapOutputTrackerMaster`).
//!
//! A map output is named by shuffle, map partition and the attempt that wrote it: attempts never
//! write over each other, so a reader knows which of two outputs it has been told to read.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::ids::{ExecutorId, ShuffleId, TaskId};

/// Up to this many reduce partitions sizes are kept exactly, in eight bytes each; above, in one
/// byte each, because maps × reduces sizes are the one thing here that grows with the square.
const EXACT_SIZES_LIMIT: usize = 256;

/// The base of the one-byte logarithm (`MapStatus.LOG_BASE`): sizes are right within 10 %.
const SIZE_LOG_BASE: f64 = 1.1;

/// Bytes per reduce partition of one map output. Cheap to clone. Zero is always exact.
#[derive(Clone, Debug, PartialEq)]
pub struct MapSizes {
    total: u64,
    sizes: Sizes,
}

#[derive(Clone, Debug, PartialEq)]
enum Sizes {
    Exact(Arc<[u64]>),
    Log(Arc<[u8]>),
}

impl MapSizes {
    /// Takes the sizes of one map output, one per reduce partition.
    pub fn new(sizes: &[u64]) -> Self {
        let total = sizes.iter().sum();
        let sizes = if sizes.len() <= EXACT_SIZES_LIMIT {
            Sizes::Exact(sizes.into())
        } else {
            Sizes::Log(sizes.iter().map(|size| compress_size(*size)).collect())
        };
        Self { total, sizes }
    }

    /// Number of reduce partitions.
    pub fn len(&self) -> usize {
        match &self.sizes {
            Sizes::Exact(sizes) => sizes.len(),
            Sizes::Log(sizes) => sizes.len(),
        }
    }

    /// Whether there are no reduce partitions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes for one reduce partition, within 10 % if there are very many; 0 if out of range.
    pub fn get(&self, reduce_partition: usize) -> u64 {
        match &self.sizes {
            Sizes::Exact(sizes) => sizes.get(reduce_partition).copied().unwrap_or(0),
            Sizes::Log(sizes) => sizes.get(reduce_partition).map_or(0, |log| expand_size(*log)),
        }
    }

    /// The bytes of each reduce partition in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.len()).map(|reduce| self.get(reduce))
    }

    /// All bytes, exact.
    pub fn total(&self) -> u64 {
        self.total
    }
}

impl From<Vec<u64>> for MapSizes {
    fn from(sizes: Vec<u64>) -> Self {
        Self::new(&sizes)
    }
}

fn compress_size(size: u64) -> u8 {
    match size {
        0 => 0,
        1 => 1,
        _ => ((size as f64).ln() / SIZE_LOG_BASE.ln()).ceil().min(255.0) as u8,
    }
}

fn expand_size(log: u8) -> u64 {
    if log == 0 { 0 } else { SIZE_LOG_BASE.powi(i32::from(log)) as u64 }
}

/// One map output and where it lies.
#[derive(Clone, Debug, PartialEq)]
pub struct MapStatus {
    /// The executor that wrote it.
    pub executor: ExecutorId,
    /// That executor's host.
    pub host: Arc<str>,
    /// The attempt that wrote it; part of the block's name.
    pub task: TaskId,
    /// `host:port` of the server to fetch it from.
    pub address: Arc<str>,
    /// Bytes per reduce partition.
    pub sizes: MapSizes,
}

/// The map outputs of one shuffle.
#[derive(Clone, Debug)]
pub struct MapOutputs {
    statuses: Vec<Option<MapStatus>>,
    available: usize,
    epoch: u64,
}

impl MapOutputs {
    fn new(partitions: u32) -> Self {
        Self { statuses: vec![None; partitions as usize], available: 0, epoch: 0 }
    }

    /// One entry per map partition; `None` is missing or lost.
    pub fn statuses(&self) -> &[Option<MapStatus>] {
        &self.statuses
    }

    /// Changes whenever any status changes: an executor that was told this epoch's statuses needs
    /// no new ones.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Number of map partitions whose output is there.
    pub fn available(&self) -> usize {
        self.available
    }

    /// Whether every map partition's output is there.
    pub fn is_complete(&self) -> bool {
        self.available == self.statuses.len()
    }

    /// Bytes per reduce partition over all map outputs, what adaptive execution goes by.
    pub fn bytes_by_reduce_partition(&self) -> Vec<u64> {
        let mut bytes = Vec::new();
        for status in self.statuses.iter().flatten() {
            bytes.resize(bytes.len().max(status.sizes.len()), 0);
            for (sum, size) in bytes.iter_mut().zip(status.sizes.iter()) {
                *sum += size;
            }
        }
        bytes
    }

    pub(crate) fn is_available(&self, map_partition: u32) -> bool {
        self.statuses.get(map_partition as usize).is_some_and(Option::is_some)
    }

    pub(crate) fn missing(&self) -> Vec<u32> {
        (0u32..).zip(&self.statuses).filter(|(_, s)| s.is_none()).map(|(p, _)| p).collect()
    }

    /// Puts a status in, or none, and answers what was there.
    fn set(&mut self, map_partition: u32, status: Option<MapStatus>) -> Option<MapStatus> {
        let slot = self.statuses.get_mut(map_partition as usize)?;
        if slot.is_none() && status.is_none() {
            return None;
        }
        let has = status.is_some();
        let before = std::mem::replace(slot, status);
        self.available = self.available + usize::from(has) - usize::from(before.is_some());
        self.epoch += 1;
        before
    }
}

/// All shuffles' map outputs.
#[derive(Debug, Default)]
pub(crate) struct MapOutputTracker {
    shuffles: IndexMap<ShuffleId, MapOutputs>,
    /// How many outputs each executor wrote that are there: who has some is not dismissed.
    holders: IndexMap<ExecutorId, u64>,
}

impl MapOutputTracker {
    pub(crate) fn register(&mut self, shuffle: ShuffleId, partitions: u32) {
        self.shuffles.entry(shuffle).or_insert_with(|| MapOutputs::new(partitions));
    }

    pub(crate) fn unregister(&mut self, shuffle: ShuffleId) {
        if let Some(outputs) = self.shuffles.swap_remove(&shuffle) {
            for status in outputs.statuses.iter().flatten() {
                drop_holder(&mut self.holders, &status.executor);
            }
        }
    }

    pub(crate) fn get(&self, shuffle: ShuffleId) -> Option<&MapOutputs> {
        self.shuffles.get(&shuffle)
    }

    /// The output there that an executor wrote.
    pub(crate) fn of<'a>(
        &'a self,
        executor: &'a ExecutorId,
    ) -> impl Iterator<Item = (ShuffleId, u32, &'a MapStatus)> + 'a {
        self.shuffles.iter().flat_map(move |(shuffle, outputs)| {
            (0..)
                .zip(&outputs.statuses)
                .filter_map(|(partition, status)| Some((partition, status.as_ref()?)))
                .filter(move |(_, status)| status.executor == *executor)
                .map(|(partition, status)| (*shuffle, partition, status))
        })
    }

    /// Whether output that an executor wrote is there.
    pub(crate) fn is_holder(&self, executor: &ExecutorId) -> bool {
        self.holders.contains_key(executor)
    }

    pub(crate) fn set(&mut self, shuffle: ShuffleId, map_partition: u32, status: MapStatus) {
        let Some(outputs) = self.shuffles.get_mut(&shuffle) else { return };
        if map_partition as usize >= outputs.statuses.len() {
            return;
        }
        match self.holders.get_mut(&status.executor) {
            Some(outputs) => *outputs += 1,
            None => {
                self.holders.insert(status.executor.clone(), 1);
            }
        }
        if let Some(before) = outputs.set(map_partition, Some(status)) {
            drop_holder(&mut self.holders, &before.executor);
        }
    }

    /// Forgets one map output, if it is still the one `task` wrote.
    pub(crate) fn remove(&mut self, shuffle: ShuffleId, map_partition: u32, task: TaskId) -> bool {
        let Some(outputs) = self.shuffles.get_mut(&shuffle) else { return false };
        let current = outputs.statuses.get(map_partition as usize).and_then(Option::as_ref);
        if current.is_none_or(|status| status.task != task) {
            return false;
        }
        if let Some(before) = outputs.set(map_partition, None) {
            drop_holder(&mut self.holders, &before.executor);
        }
        true
    }

    /// Forgets all outputs of one shuffle (an indeterminate stage runs again).
    pub(crate) fn remove_all(&mut self, shuffle: ShuffleId) {
        if let Some(outputs) = self.shuffles.get_mut(&shuffle) {
            for map_partition in 0..outputs.statuses.len() as u32 {
                if let Some(before) = outputs.set(map_partition, None) {
                    drop_holder(&mut self.holders, &before.executor);
                }
            }
        }
    }

    /// Forgets every output for which `lost` holds, and says how many and of which shuffles.
    /// Takes time in proportion to all outputs, which is paid per loss, not per task.
    pub(crate) fn remove_where(
        &mut self,
        mut lost: impl FnMut(&MapStatus) -> bool,
    ) -> Vec<ShuffleId> {
        let mut touched = Vec::new();
        for (shuffle, outputs) in &mut self.shuffles {
            let before = outputs.available;
            for map_partition in 0..outputs.statuses.len() {
                if outputs.statuses[map_partition].as_ref().is_some_and(&mut lost)
                    && let Some(status) = outputs.set(map_partition as u32, None)
                {
                    drop_holder(&mut self.holders, &status.executor);
                }
            }
            if outputs.available != before {
                touched.push(*shuffle);
            }
        }
        touched
    }

    /// The executors that wrote what is there. Takes time in proportion to all outputs.
    pub(crate) fn executors(&self) -> BTreeSet<ExecutorId> {
        let outputs = self.shuffles.values().flat_map(|outputs| outputs.statuses.iter().flatten());
        let mut executors = BTreeSet::new();
        for status in outputs {
            if !executors.contains(&status.executor) {
                executors.insert(status.executor.clone());
            }
        }
        executors
    }

    pub(crate) fn check(&self) {
        let mut holders: IndexMap<&ExecutorId, u64> = IndexMap::new();
        for outputs in self.shuffles.values() {
            assert_eq!(outputs.available, outputs.statuses.iter().flatten().count());
            for status in outputs.statuses.iter().flatten() {
                *holders.entry(&status.executor).or_insert(0) += 1;
            }
        }
        assert_eq!(holders.len(), self.holders.len(), "holders of output");
        for (executor, outputs) in holders {
            assert_eq!(self.holders.get(executor), Some(&outputs), "outputs of {executor}");
        }
    }
}

fn drop_holder(holders: &mut IndexMap<ExecutorId, u64>, executor: &ExecutorId) {
    if let Some(outputs) = holders.get_mut(executor) {
        *outputs -= 1;
        if *outputs == 0 {
            holders.swap_remove(executor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_sizes_are_kept_within_ten_percent_and_zero_exactly() {
        let sizes: Vec<u64> = (0..1000).map(|i| if i % 3 == 0 { 0 } else { i * i * 977 }).collect();
        let kept = MapSizes::new(&sizes);
        assert_eq!(kept.total(), sizes.iter().sum::<u64>());
        for (size, kept) in sizes.iter().zip(kept.iter()) {
            assert_eq!(*size == 0, kept == 0);
            assert!(
                kept >= size - size / 100 && kept <= size + size / 9 + 1,
                "{size} kept as {kept}"
            );
        }
    }

    #[test]
    fn few_sizes_are_exact() {
        let kept = MapSizes::new(&[0, 1, 12_345_678_901]);
        assert_eq!(kept.iter().collect::<Vec<_>>(), [0, 1, 12_345_678_901]);
    }
}
