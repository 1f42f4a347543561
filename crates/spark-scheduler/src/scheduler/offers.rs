//! Who gets a free slot (Spark's `resourceOffers`).

use super::{RunningTask, Scheduler, SetOrder};
use crate::action::{Action, Locality, TaskDescription};
use crate::executors::ExecutorIndex;
use crate::ids::{TaskId, Time};
use crate::task_set::{Offered, TaskSetId};

impl Scheduler {
    /// Fills the free slots, one task at a time, executors in turn. `full` says that the round
    /// is about all slots and not about one that became free.
    pub(super) fn make_offers(&mut self, full: bool, actions: &mut Vec<Action>) {
        let mut from: Option<SetOrder> = None;
        let mut nearest: Option<Locality> = None;
        while self.executors.has_free() {
            // A set that found nothing on any free executor finds nothing in this round any more,
            // so the search goes on from the set served last.
            let next = match from {
                None => self.runnable.first(),
                Some(order) => self.runnable.range(order..).next(),
            };
            let Some(order) = next.copied() else { break };
            if let Some(served) = from.filter(|from| from.2 != order.2 && nearest.is_some()) {
                self.round_over(served.2, nearest.take(), false, full);
            }
            match self.offer_set(order.2) {
                Some((executor, offered)) => {
                    nearest = Some(nearest.map_or(offered.locality, |l| l.min(offered.locality)));
                    self.launch(order.2, executor, offered, actions);
                    from = Some(order);
                }
                None => {
                    self.round_over(order.2, nearest.take(), true, full);
                    from = Some((order.0, order.1, TaskSetId(order.2.0 + 1)));
                }
            }
        }
        if let (Some(order), Some(_)) = (from, nearest) {
            self.round_over(order.2, nearest, false, full);
        }
    }

    /// One task of the set on one of the free executors, the nearest level first.
    fn offer_set(&mut self, id: TaskSetId) -> Option<(ExecutorIndex, Offered)> {
        let set = self.task_sets.get_mut(&id)?;
        for level in set.allowed_levels(&self.options, self.now) {
            for index in self.executors.free_in_turn() {
                let Some(executor) = self.executors.get(index) else { continue };
                if executor.free_cores < set.cpus {
                    continue;
                }
                if let Some(offered) = set.offer(executor, level, |_| true) {
                    return Some((index, offered));
                }
            }
        }
        None
    }

    fn round_over(&mut self, id: TaskSetId, nearest: Option<Locality>, refused: bool, full: bool) {
        let Some(set) = self.task_sets.get_mut(&id) else { return };
        set.round_over(nearest, refused, full, self.now);
    }

    fn launch(
        &mut self,
        id: TaskSetId,
        executor: ExecutorIndex,
        offered: Offered,
        actions: &mut Vec<Action>,
    ) {
        let Some(set) = self.task_sets.get_mut(&id) else { return };
        let task = TaskId(self.next_task);
        self.next_task += 1;
        let attempt = set.launched(offered.index, offered.speculative);
        let run = RunningTask {
            set: id,
            index: offered.index,
            attempt,
            executor,
            cpus: set.cpus,
            launched: self.now,
            killed: false,
        };
        let description = TaskDescription {
            task,
            job: set.job,
            stage: set.stage,
            stage_attempt: set.stage_attempt,
            partition: set.partitions[offered.index as usize],
            attempt,
            speculative: offered.speculative,
            locality: offered.locality,
            cpus: set.cpus,
        };
        if !set.is_runnable() {
            self.relist(id);
        }
        self.running.insert(task, run);
        self.running_cpus += u64::from(run.cpus);
        self.executors.take_cores(executor, run.cpus);
        self.executors.served(executor);
        if let Some(executor) = self.executors.get(executor) {
            let executor = executor.id.clone();
            actions.push(Action::LaunchTask { executor, task: description });
        }
    }

    /// When a set that refuses free slots for their distance will take them.
    pub(super) fn locality_wakeup(&self) -> Option<Time> {
        if !self.executors.has_free() {
            return None;
        }
        let sets = self.runnable.iter().map(|(_, _, set)| &self.task_sets[set]);
        sets.filter_map(|set| set.locality_wakeup(&self.options)).min()
    }
}
