//! Points in time by key, in order.

use std::collections::{BTreeMap, BTreeSet};

use crate::allocator::Time;

/// At most one point in time for each key.
#[derive(Clone, Debug)]
pub(super) struct Timers<K> {
    by_key: BTreeMap<K, Time>,
    order: BTreeSet<(Time, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Clone + Ord> Timers<K> {
    /// Sets a key's time, instead of an earlier one.
    pub(super) fn set(&mut self, key: K, due: Time) {
        if let Some(old) = self.by_key.insert(key.clone(), due) {
            self.order.remove(&(old, key.clone()));
        }
        self.order.insert((due, key));
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(old) = self.by_key.remove(key) {
            self.order.remove(&(old, key.clone()));
        }
    }

    /// The earliest time.
    pub(super) fn next(&self) -> Option<Time> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes out the earliest that is due.
    pub(super) fn pop(&mut self, now: Time) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}
