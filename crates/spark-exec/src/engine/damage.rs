//! Executors of which a block was bad: they are asked which others are.
//!
//! A reader finds one bad block at a time, and each costs it an attempt of its stage, of which it has
//! few. The executor that wrote them reads all it wrote for the shuffle once, so that exactly what is
//! damaged is made again.

use spark_scheduler::{Event, ExecutorId, FetchFailure, FetchFailureScope, ShuffleId, TaskId};

use super::looping::EngineLoop;
use crate::protocol::{CheckBlocks, Checked, OutputName, to_executor};

impl EngineLoop {
    /// Who has the block that was bad, unless it was replaced meanwhile.
    pub(super) fn holder_of(&self, failure: &FetchFailure) -> Option<(String, u64)> {
        if failure.scope != FetchFailureScope::Block {
            return None;
        }
        let outputs = self.scheduler.map_outputs(failure.shuffle)?;
        let status = outputs.statuses().get(failure.map_partition as usize)?.as_ref()?;
        (Some(status.task) == failure.map_task)
            .then(|| (status.executor.as_str().to_owned(), failure.shuffle.0))
    }

    /// Asks an executor that is still there to look through its output of a shuffle.
    pub(super) fn check_holder(&mut self, holder: &str, shuffle: u64) {
        let Some(attached) = self.executors.get(holder) else { return };
        let id = ExecutorId::from(holder);
        let of = self.scheduler.outputs_of(&id).filter(|(of, ..)| of.0 == shuffle);
        let outputs: Vec<OutputName> =
            of.map(|(_, map, status)| OutputName { map, task: status.task.0 }).collect();
        if outputs.is_empty() || !self.checking.insert((holder.to_owned(), shuffle)) {
            return;
        }
        tracing::warn!(
            executor = holder,
            shuffle,
            outputs = outputs.len(),
            "map output is checked"
        );
        attached.send(to_executor::Kind::Check(CheckBlocks { shuffle, outputs }));
    }

    /// It did.
    pub(super) fn checked(&mut self, by: &str, checked: &Checked) {
        self.checking.remove(&(by.to_owned(), checked.shuffle));
        if checked.damaged.is_empty() {
            return;
        }
        let damaged = checked.damaged.len();
        tracing::warn!(executor = by, shuffle = checked.shuffle, damaged, "map output is damaged");
        let outputs = checked.damaged.iter().map(|output| (output.map, TaskId(output.task)));
        self.tell(Event::MapOutputDamaged {
            shuffle: ShuffleId(checked.shuffle),
            outputs: outputs.collect(),
        });
    }
}
