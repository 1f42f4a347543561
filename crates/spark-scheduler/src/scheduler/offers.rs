//! Who gets a free slot (Spark's `resourceOffers`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{RunningTask, Scheduler, SetOrder};
use crate::action::{Action, Locality, TaskDescription};
use crate::executors::{Executor, ExecutorIndex};
use crate::ids::{TaskId, Time};
use crate::options::{PoolOptions, SchedulingMode};
use crate::pools::{DEFAULT_POOL, Share};
use crate::task_set::{Offered, TaskSet, TaskSetId};

/// One round of offers. Free slots only get fewer in it, so a set that found nothing on any free
/// executor is done for the round.
struct Round {
    order: Order,
    /// The nearest level of each set that has preferences and launched something.
    nearest: BTreeMap<TaskSetId, Locality>,
}

enum Order {
    /// Sets before this one are done.
    Fifo {
        from: Option<SetOrder>,
    },
    Fair {
        done: BTreeSet<TaskSetId>,
    },
}

impl Scheduler {
    /// Fills the free slots, one task at a time, executors in turn. `full` says that the round is
    /// about all slots and not about one that became free.
    pub(super) fn make_offers(&mut self, full: bool, actions: &mut Vec<Action>) {
        if self.runnable.is_empty() || !self.executors.has_free() {
            return;
        }
        let order = match self.options.mode {
            SchedulingMode::Fifo => Order::Fifo { from: None },
            SchedulingMode::Fair => Order::Fair { done: BTreeSet::new() },
        };
        let mut round = Round { order, nearest: BTreeMap::new() };
        while self.executors.has_free() {
            let Some(order) = self.next_set(&round) else { break };
            let id = order.2;
            match self.offer_set(id) {
                Some((executor, offered)) => {
                    if self.task_sets[&id].has_preferences() {
                        let nearest = round.nearest.entry(id).or_insert(offered.locality);
                        *nearest = offered.locality.min(*nearest);
                    }
                    self.launch(id, executor, offered, actions);
                    if let Order::Fifo { from } = &mut round.order {
                        *from = Some(order);
                    }
                }
                None => {
                    let nearest = round.nearest.remove(&id);
                    self.round_over(id, nearest, true, full);
                    match &mut round.order {
                        Order::Fifo { from } => {
                            *from = Some((order.0, order.1, TaskSetId(id.0 + 1)));
                        }
                        Order::Fair { done } => {
                            done.insert(id);
                        }
                    }
                }
            }
        }
        for (id, nearest) in round.nearest {
            self.round_over(id, Some(nearest), false, full);
        }
    }

    fn next_set(&self, round: &Round) -> Option<SetOrder> {
        match &round.order {
            Order::Fifo { from: None } => self.runnable.first().copied(),
            Order::Fifo { from: Some(order) } => self.runnable.range(order..).next().copied(),
            Order::Fair { done } => self.next_fair(done),
        }
    }

    /// The set most behind its share.
    fn next_fair(&self, done: &BTreeSet<TaskSetId>) -> Option<SetOrder> {
        let pool = |set: &TaskSet| set.pool.clone().unwrap_or_else(|| Arc::from(DEFAULT_POOL));
        let mut running: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        for set in self.task_sets.values() {
            *running.entry(pool(set)).or_insert(0) += set.running as u32;
        }
        let share = |order: &SetOrder| {
            let name = pool(&self.task_sets[&order.2]);
            let options = self.options.pools.get(&name).copied().unwrap_or_default();
            Share { running: running.get(&name).copied().unwrap_or(0), name, options }
        };
        let within = |order: &SetOrder| {
            let name = Arc::from(format!("{:020}-{:020}", order.0.0, order.1.0));
            let running = self.task_sets[&order.2].running as u32;
            Share { name, running, options: PoolOptions::default() }
        };
        let candidates = self.runnable.iter().filter(|order| !done.contains(&order.2));
        candidates.copied().min_by(|a, b| {
            let (a_pool, b_pool) = (share(a), share(b));
            a_pool.compare(&b_pool).then_with(|| match a_pool.options.mode {
                SchedulingMode::Fifo => a.cmp(b),
                SchedulingMode::Fair => within(a).compare(&within(b)),
            })
        })
    }

    /// One task of the set on one of the free executors, the nearest level first.
    fn offer_set(&mut self, id: TaskSetId) -> Option<(ExecutorIndex, Offered)> {
        let set = self.task_sets.get_mut(&id)?;
        let exclusion = self.options.exclusion.as_ref();
        let application = &self.application_exclusion;
        let cpus = set.cpus;
        let takes = |executor: &Executor, set: &TaskSet| {
            executor.free_cores >= cpus
                && (exclusion.is_none()
                    || application.allows(executor) && set.exclusion.allows(executor))
        };
        if set.waiting > 0 {
            for level in set.allowed_levels(&self.options, self.now) {
                for index in self.executors.free_in_turn() {
                    let Some(executor) = self.executors.get(index) else { continue };
                    if takes(executor, set)
                        && let Some(offered) = set.offer(executor, level, exclusion)
                    {
                        return Some((index, offered));
                    }
                }
            }
        }
        for index in self.executors.free_in_turn() {
            let Some(executor) = self.executors.get(index) else { continue };
            if set.speculatable.is_empty() || !takes(executor, set) {
                continue;
            }
            let there: Vec<u32> = self
                .running
                .values()
                .filter(|run| run.set == id && run.executor == index)
                .map(|run| run.index)
                .collect();
            if let Some(offered) = set.offer_speculative(executor, &there, exclusion) {
                return Some((index, offered));
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
