//! Executors that come and go, and map output that goes with them.

use std::sync::Arc;

use super::Scheduler;
use crate::action::Action;
use crate::event::{
    ExecutorLoss, FailureKind, FetchFailure, FetchFailureScope, MapOutputFate, MovedOutput,
    TaskFailure,
};
use crate::ids::{ExecutorId, ShuffleId, StageId, TaskId};
use crate::map_output::MapStatus;
use crate::task_set::TaskSetId;

impl Scheduler {
    pub(super) fn add_executor(
        &mut self,
        id: ExecutorId,
        host: Arc<str>,
        cores: u32,
        actions: &mut Vec<Action>,
    ) {
        if self.executors.contains(&id) {
            let loss = ExecutorLoss {
                message: Arc::from("another process registered under its id"),
                caused_by_app: false,
                map_output: MapOutputFate::Lost,
            };
            self.lose_executor(&id, loss, actions);
        }
        self.executors.add(id, host, cores);
        self.executors_changed();
    }

    pub(super) fn lose_executor(
        &mut self,
        id: &ExecutorId,
        loss: ExecutorLoss,
        actions: &mut Vec<Action>,
    ) {
        let Some((index, executor)) = self.executors.remove(id) else { return };
        self.application_exclusion.executor_removed(id);
        self.executors_changed();
        let touched = match loss.map_output {
            MapOutputFate::Kept => Vec::new(),
            MapOutputFate::Lost => self.outputs.remove_where(|status| status.executor == *id),
            MapOutputFate::HostLost => self.outputs.remove_where(|s| s.host == executor.host),
        };
        let mut lost: Vec<TaskId> =
            self.running.iter().filter(|(_, r)| r.executor == index).map(|(t, _)| *t).collect();
        lost.sort_unstable();
        let failure = lost_task_failure(id, &loss);
        let mut runs = Vec::with_capacity(lost.len());
        for task in lost {
            if let Some(run) = self.running.swap_remove(&task) {
                self.running_cpus -= u64::from(run.cpus);
                runs.push((task, run));
            }
        }
        self.output_lost(&touched);
        for (task, run) in runs {
            self.task_failed(task, run, failure.clone(), &executor.place(), actions);
            self.drop_finished_set(run.set);
        }
    }

    /// A map output lies elsewhere from now on. Readers that were told the old place still find it
    /// there, or fail to fetch and are told the new one.
    pub(super) fn move_output(&mut self, moved: MovedOutput) {
        let MovedOutput { shuffle, map_partition, task, executor, address } = moved;
        let Some(host) = self.executors.host_of(&executor) else { return };
        let Some(outputs) = self.outputs.get(shuffle) else { return };
        let status = outputs.statuses().get(map_partition as usize).and_then(Option::as_ref);
        let Some(status) = status.filter(|status| status.task == task) else { return };
        let status = MapStatus { executor, host, address, ..status.clone() };
        self.outputs.set(shuffle, map_partition, status);
    }

    /// What a fetch failure says is lost goes. Output that was replaced since is not harmed.
    pub(super) fn lose_fetched_output(&mut self, reader: StageId, failure: &FetchFailure) {
        let Some(map_task) = failure.map_task else { return };
        let Some(outputs) = self.outputs.get(failure.shuffle) else { return };
        let status = outputs.statuses().get(failure.map_partition as usize);
        let Some(status) = status.and_then(Option::as_ref).filter(|s| s.task == map_task) else {
            return;
        };
        let (executor, address) = (status.executor.clone(), status.address.clone());
        // Only the block is lost. The holder is asked which others are bad, too; before the reader's
        // last attempt nobody waits for the answer, and the server is believed in nothing.
        let last = self.options.max_consecutive_stage_attempts.saturating_sub(1).max(1);
        let spent = self.stages.get(&reader).map_or(0, |stage| stage.fetch_failed_attempts);
        let touched = match failure.scope {
            FetchFailureScope::Block if spent < last => {
                self.outputs.remove(failure.shuffle, failure.map_partition, map_task);
                vec![failure.shuffle]
            }
            FetchFailureScope::Block => {
                self.outputs.remove_where(|s| s.address == address && s.executor == executor)
            }
            // A shuffle service that does not answer takes the output of many executors with it.
            FetchFailureScope::Address => self.outputs.remove_where(|s| s.address == address),
        };
        self.output_lost(&touched);
    }

    /// Outputs that their holder found to be bad.
    pub(super) fn lose_damaged(&mut self, shuffle: ShuffleId, outputs: &[(u32, TaskId)]) {
        let mut touched = false;
        for (map_partition, task) in outputs {
            touched |= self.outputs.remove(shuffle, *map_partition, *task);
        }
        if touched {
            self.output_lost(&[shuffle]);
        }
    }

    /// Stages that make these shuffles now make the lost parts again; stages that read them launch
    /// nothing until they are there.
    fn output_lost(&mut self, touched: &[ShuffleId]) {
        for shuffle in touched {
            let Some(id) = self.shuffle_stages.get(shuffle).copied() else { continue };
            let Some(stage) = self.stages.get(&id) else { continue };
            let children: Vec<StageId> = stage.children.iter().copied().collect();
            if let Some(set) = stage.active_set() {
                self.resubmit_lost(set, *shuffle);
            }
            for child in children {
                let Some(set) = self.stages.get(&child).and_then(|s| s.active_set()) else {
                    continue;
                };
                if let Some(set) = self.task_sets.get_mut(&set) {
                    set.blocked = true;
                }
                self.relist(set);
                self.want_input(set);
            }
        }
    }

    /// In a running map stage, finished tasks whose output is gone wait again.
    fn resubmit_lost(&mut self, id: TaskSetId, shuffle: ShuffleId) {
        let Some(set) = self.task_sets.get_mut(&id) else { return };
        let Some(outputs) = self.outputs.get(shuffle) else { return };
        for index in 0..set.tasks.len() as u32 {
            if !outputs.is_available(set.partitions[index as usize]) {
                set.resubmit(index);
            }
        }
        self.relist(id);
        self.want_input(id);
    }

    fn executors_changed(&mut self) {
        for set in self.task_sets.values_mut() {
            set.executors_changed(&self.executors);
        }
    }
}

/// Spark's `ExecutorLostFailure`.
fn lost_task_failure(id: &ExecutorId, loss: &ExecutorLoss) -> TaskFailure {
    let (kind, whose) = if loss.caused_by_app {
        (FailureKind::Counted, "caused by one of the running tasks")
    } else {
        (FailureKind::NotCounted, "unrelated to the running tasks")
    };
    let reason = &loss.message;
    let message = format!("ExecutorLostFailure (executor {id} exited {whose}) Reason: {reason}");
    TaskFailure { message: Arc::from(message), payload: Arc::from([]), kind }
}
