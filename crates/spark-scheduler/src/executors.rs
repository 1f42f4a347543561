//! The executors that live, and their free cores.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::ids::ExecutorId;

/// An executor's place in the table; given again only after the executor is gone and all its
/// tasks with it.
pub(crate) type ExecutorIndex = usize;

#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) id: ExecutorId,
    pub(crate) host: Arc<str>,
    pub(crate) cores: u32,
    pub(crate) free_cores: u32,
    pub(crate) decommissioned: bool,
}

impl Executor {
    /// `host executor 3`, as Spark names it in messages.
    pub(crate) fn place(&self) -> String {
        format!("{} executor {}", self.host, self.id)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Executors {
    slots: Vec<Option<Executor>>,
    by_id: IndexMap<ExecutorId, ExecutorIndex>,
    /// Executors per host, to know which hosts live.
    hosts: IndexMap<Arc<str>, usize>,
    /// Those which can take at least one more core's work.
    free: BTreeSet<ExecutorIndex>,
    /// Where the next round of offers begins, so that load spreads.
    cursor: ExecutorIndex,
}

impl Executors {
    pub(crate) fn add(&mut self, id: ExecutorId, host: Arc<str>, cores: u32) -> ExecutorIndex {
        let index = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(None);
        }
        self.by_id.insert(id.clone(), index);
        *self.hosts.entry(host.clone()).or_insert(0) += 1;
        self.slots[index] =
            Some(Executor { id, host, cores, free_cores: cores, decommissioned: false });
        self.note_free(index);
        index
    }

    pub(crate) fn remove(&mut self, id: &ExecutorId) -> Option<(ExecutorIndex, Executor)> {
        let index = self.by_id.swap_remove(id)?;
        self.free.remove(&index);
        let executor = self.slots[index].take()?;
        if let Some(count) = self.hosts.get_mut(&executor.host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.swap_remove(&executor.host);
            }
        }
        Some((index, executor))
    }

    pub(crate) fn decommission(&mut self, id: &ExecutorId) -> bool {
        let Some(index) = self.by_id.get(id).copied() else { return false };
        if let Some(executor) = &mut self.slots[index] {
            executor.decommissioned = true;
        }
        self.note_free(index);
        true
    }

    pub(crate) fn get(&self, index: ExecutorIndex) -> Option<&Executor> {
        self.slots.get(index).and_then(Option::as_ref)
    }

    pub(crate) fn contains(&self, id: &ExecutorId) -> bool {
        self.by_id.contains_key(id)
    }

    /// The host of an executor that lives.
    pub(crate) fn host_of(&self, id: &ExecutorId) -> Option<Arc<str>> {
        let index = self.by_id.get(id).copied()?;
        self.get(index).map(|executor| executor.host.clone())
    }

    pub(crate) fn has_host(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ExecutorIndex, &Executor)> {
        self.slots.iter().enumerate().filter_map(|(i, e)| e.as_ref().map(|e| (i, e)))
    }

    pub(crate) fn take_cores(&mut self, index: ExecutorIndex, cores: u32) {
        if let Some(Some(executor)) = self.slots.get_mut(index) {
            assert!(executor.free_cores >= cores, "executor {} oversubscribed", executor.id);
            executor.free_cores -= cores;
        }
        self.note_free(index);
    }

    pub(crate) fn give_cores(&mut self, index: ExecutorIndex, cores: u32) {
        if let Some(Some(executor)) = self.slots.get_mut(index) {
            executor.free_cores += cores;
            assert!(executor.free_cores <= executor.cores, "executor {} given twice", executor.id);
        }
        self.note_free(index);
    }

    /// Adds cores that are gone again with [`Self::withdraw`] if no task takes them.
    pub(crate) fn offer(&mut self, id: &ExecutorId, cores: u32) -> Option<ExecutorIndex> {
        let index = self.by_id.get(id).copied()?;
        let executor = self.slots[index].as_mut().filter(|executor| !executor.decommissioned)?;
        executor.cores += cores;
        executor.free_cores += cores;
        self.note_free(index);
        Some(index)
    }

    /// Takes away the cores nobody uses.
    pub(crate) fn withdraw(&mut self, index: ExecutorIndex) {
        let Some(Some(executor)) = self.slots.get_mut(index) else { return };
        executor.cores -= executor.free_cores;
        executor.free_cores = 0;
        self.note_free(index);
    }

    /// Any executor with free cores, if there is one.
    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// The executors with free cores, beginning after the one served last.
    pub(crate) fn free_in_turn(&self) -> impl Iterator<Item = ExecutorIndex> + '_ {
        self.free.range(self.cursor..).chain(self.free.range(..self.cursor)).copied()
    }

    /// The next round begins after this executor.
    pub(crate) fn served(&mut self, index: ExecutorIndex) {
        self.cursor = index + 1;
    }

    fn note_free(&mut self, index: ExecutorIndex) {
        let free =
            self.slots[index].as_ref().is_some_and(|e| e.free_cores > 0 && !e.decommissioned);
        if free {
            self.free.insert(index);
        } else {
            self.free.remove(&index);
        }
    }
}
