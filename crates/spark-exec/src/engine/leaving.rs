//! Executors that were told to end and go as soon as nobody needs them: their tasks are over and their
//! map output lies elsewhere (`spark.decommission.enabled`).

use std::collections::{BTreeMap, BTreeSet};

use spark_scheduler::{Event, ExecutorId, MovedOutput, ShuffleId, TaskId};

use super::looping::EngineLoop;
use crate::protocol::{Copied, CopyBlock, to_executor};

/// A map output: shuffle, map partition, the attempt that wrote it.
type Output = (u64, u32, u64);

/// Executors on their way out.
#[derive(Default)]
pub(super) struct Leaving {
    by_executor: BTreeMap<String, Moves>,
    /// Spreads copies over the executors that stay.
    next: usize,
}

#[derive(Default)]
struct Moves {
    /// Whom each copy under way was asked of.
    under_way: BTreeMap<Output, String>,
    /// Copied, or not to be had: not tried again.
    tried: BTreeSet<Output>,
}

impl Leaving {
    pub(super) fn is_empty(&self) -> bool {
        self.by_executor.is_empty()
    }

    /// An executor is gone, and with it the copies it was to make.
    pub(super) fn forget(&mut self, executor: &str) {
        self.by_executor.remove(executor);
        for moves in self.by_executor.values_mut() {
            moves.under_way.retain(|_, by| by != executor);
        }
    }
}

impl EngineLoop {
    /// An executor was told to end, by its agent or by the cluster manager.
    pub(super) fn decommission(&mut self, executor: &str) {
        if self.leaving.by_executor.contains_key(executor) {
            return;
        }
        tracing::info!(executor, "executor is decommissioned");
        self.leaving.by_executor.insert(executor.to_owned(), Moves::default());
        self.tell(Event::ExecutorDecommissioned { executor: ExecutorId::from(executor) });
        self.look_at_leaving();
    }

    /// Moves what those that leave still hold, and lets go of those that hold nothing.
    pub(super) fn look_at_leaving(&mut self) {
        let leaving: Vec<String> = self.leaving.by_executor.keys().cloned().collect();
        for executor in leaving {
            self.move_outputs(&executor);
            let idle =
                self.leaving.by_executor.get(&executor).is_some_and(|m| m.under_way.is_empty());
            if idle
                && !self.tasks.values().any(|(on, _)| *on == executor)
                && let Some(attached) = self.executors.get(&executor)
            {
                attached.send(to_executor::Kind::Stop("it is decommissioned".to_owned()));
            }
        }
    }

    fn move_outputs(&mut self, executor: &str) {
        // A shuffle service keeps it where it is.
        if self.companions.has_service() {
            return;
        }
        let stay: Vec<String> = self
            .executors
            .ids()
            .filter(|id| !self.leaving.by_executor.contains_key(*id))
            .cloned()
            .collect();
        let Some(moves) = self.leaving.by_executor.get_mut(executor) else { return };
        if stay.is_empty() {
            return;
        }
        let id = ExecutorId::from(executor);
        for (shuffle, map, status) in self.scheduler.outputs_of(&id) {
            let output = (shuffle.0, map, status.task.0);
            let bytes: u64 = status.sizes.iter().sum();
            if moves.under_way.contains_key(&output) || !moves.tried.insert(output) {
                continue;
            }
            let to = &stay[self.leaving.next % stay.len()];
            self.leaving.next += 1;
            let Some(attached) = self.executors.get(to) else { continue };
            attached.send(to_executor::Kind::Copy(CopyBlock {
                from: executor.to_owned(),
                address: status.address.to_string(),
                shuffle: shuffle.0,
                map,
                task: status.task.0,
                bytes,
                segments: status.sizes.iter().count() as u32,
            }));
            moves.under_way.insert(output, to.clone());
        }
    }

    /// A copy was made, or not.
    pub(super) fn copied(&mut self, by: &str, copied: &Copied) {
        let Copied { from, shuffle, map, task, error } = copied;
        if let Some(moves) = self.leaving.by_executor.get_mut(from) {
            moves.under_way.remove(&(*shuffle, *map, *task));
        }
        if error.is_empty() {
            let Some(address) = self.executors.get(by).map(|a| a.block_address.clone()) else {
                return;
            };
            self.tell(Event::MapOutputMoved(MovedOutput {
                shuffle: ShuffleId(*shuffle),
                map_partition: *map,
                task: TaskId(*task),
                executor: ExecutorId::from(by),
                address,
            }));
        } else {
            tracing::warn!(from, shuffle, map, error, "map output was not moved");
        }
        self.look_at_leaving();
    }
}
