//! Tasks that take too long, and tasks that can run nowhere.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Scheduler;
use crate::action::Action;
use crate::executors::Executor;
use crate::ids::Time;
use crate::stage::Abort;
use crate::task_set::{TaskSet, TaskSetId};

impl Scheduler {
    /// After a success: from now on the set's other tasks may be too slow.
    pub(super) fn watch_for_slow_tasks(&mut self, id: TaskSetId) {
        let Some(options) = self.options.speculation else { return };
        if self.speculation_at.is_none()
            && self.task_sets.get(&id).is_some_and(|set| set.may_have_slow_tasks(&options))
        {
            self.speculation_at = Some(self.now + options.interval);
        }
    }

    /// Marks the tasks that run several times longer than their fellows for a second copy.
    pub(super) fn find_slow_tasks(&mut self) {
        self.speculation_at = None;
        let Some(options) = self.options.speculation else { return };
        let mut thresholds: BTreeMap<TaskSetId, Duration> = BTreeMap::new();
        for (id, set) in &mut self.task_sets {
            if set.may_have_slow_tasks(&options)
                && let Some(threshold) = set.slow_threshold(&options)
            {
                thresholds.insert(*id, threshold);
            }
        }
        if thresholds.is_empty() {
            return;
        }
        self.speculation_at = Some(self.now + options.interval);
        let mut slow: Vec<(TaskSetId, u32)> = self
            .running
            .values()
            .filter(|run| !run.killed)
            .filter(|run| {
                let threshold = thresholds.get(&run.set);
                threshold.is_some_and(|threshold| self.now.since(run.launched) > *threshold)
            })
            .map(|run| (run.set, run.index))
            .collect();
        slow.sort_unstable();
        for (set, index) in slow {
            if let Some(set) = self.task_sets.get_mut(&set) {
                set.speculate(index);
            }
            self.relist(set);
        }
    }

    // ---- nowhere to run ------------------------------------------------------------------------

    /// With exclusion, notes since when a set has a task that no executor may take, and gives the
    /// set up after a while (`spark.scheduler.excludeOnFailure.unschedulableTaskSetTimeout`).
    pub(super) fn give_up_excluded(&mut self, actions: &mut Vec<Action>) {
        let Some(options) = self.options.exclusion else { return };
        let mut hopeless = Vec::new();
        for (_, _, id) in &self.runnable {
            let Some(index) = self.nowhere_to_run(&self.task_sets[id]) else {
                if let Some(set) = self.task_sets.get_mut(id) {
                    set.unschedulable_since = None;
                }
                continue;
            };
            if let Some(set) = self.task_sets.get_mut(id) {
                let since = *set.unschedulable_since.get_or_insert(self.now);
                if self.now.since(since) >= options.unschedulable_timeout {
                    hopeless.push((set.stage, set.stage_attempt, set.partitions[index as usize]));
                }
            }
        }
        for (stage, attempt, partition) in hopeless {
            let text = format!(
                "Aborting TaskSet {stage}.{attempt} because task {partition} (partition \
                 {partition}) cannot run anywhere due to node and executor excludeOnFailure. \
                 ExcludeOnFailure behavior can be configured via spark.excludeOnFailure.*."
            );
            self.abort_stage(stage, Abort::because(text), actions);
        }
    }

    /// A waiting task of the set that every executor there is must not take.
    fn nowhere_to_run(&self, set: &TaskSet) -> Option<u32> {
        let options = self.options.exclusion.as_ref()?;
        // One that is too small for the task is no place for it either.
        let fits = |e: &&Executor| !e.decommissioned && e.cores >= set.cpus;
        let active = || self.executors.iter().map(|(_, e)| e).filter(fits);
        if set.waiting == 0 || active().next().is_none() {
            return None;
        }
        let usable = || {
            active().filter(|executor| {
                self.application_exclusion.allows(executor) && set.exclusion.allows(executor)
            })
        };
        if usable().next().is_none() {
            return set.some_waiting();
        }
        // A task that failed nowhere can run on any usable executor.
        set.exclusion.failed_tasks().into_iter().filter(|index| set.waits(*index)).find(|index| {
            !usable().any(|executor| set.exclusion.allows_task(*index, executor, options))
        })
    }

    pub(super) fn unschedulable_wakeup(&self) -> Option<Time> {
        let options = self.options.exclusion.as_ref()?;
        let sets = self.runnable.iter().map(|(_, _, set)| &self.task_sets[set]);
        let since = sets.filter_map(|set| set.unschedulable_since).min()?;
        Some(since + options.unschedulable_timeout)
    }
}
