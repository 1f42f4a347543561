//! Ends of task attempts (Spark's `handleSuccessfulTask`, `handleFailedTask`,
//! `handleTaskCompletion`).

use std::sync::Arc;

use super::{RunningTask, Scheduler};
use crate::action::{Action, KillReason};
use crate::event::{FailureKind, FetchFailure, MapOutput, TaskFailure, TaskOutcome};
use crate::executors::{Executor, ExecutorIndex};
use crate::ids::{StageId, TaskId};
use crate::job::StageKind;
use crate::map_output::MapStatus;
use crate::stage::Abort;
use crate::task_set::TaskSetId;

impl Scheduler {
    pub(super) fn finish_task(
        &mut self,
        task: TaskId,
        outcome: TaskOutcome,
        actions: &mut Vec<Action>,
    ) {
        // An unknown attempt ended before, or went with its executor: nothing of it counts.
        let Some(run) = self.running.swap_remove(&task) else { return };
        self.running_cpus -= u64::from(run.cpus);
        self.executors.give_cores(run.executor, run.cpus);
        if self.options.cores_by_offer {
            self.executors.withdraw(run.executor);
        }
        match outcome {
            TaskOutcome::Result => self.task_succeeded(task, run, None, actions),
            TaskOutcome::MapOutput(output) => {
                self.task_succeeded(task, run, Some(output), actions);
            }
            TaskOutcome::Failed(failure) => {
                let place = self.place(run.executor);
                self.task_failed(task, run, failure, &place, actions);
            }
            TaskOutcome::FetchFailed(failure) => self.fetch_failed(run, &failure, actions),
            TaskOutcome::Killed { .. } => self.attempt_ended(run),
        }
        self.drop_finished_set(run.set);
    }

    /// The set's bookkeeping after an attempt, however it ended.
    pub(super) fn attempt_ended(&mut self, run: RunningTask) {
        let Some(set) = self.task_sets.get_mut(&run.set) else { return };
        set.attempt_ended(run.index);
        if set.is_runnable() != set.listed {
            self.relist(run.set);
        } else if set.blocked {
            self.want_input(run.set);
        }
    }

    fn task_succeeded(
        &mut self,
        task: TaskId,
        run: RunningTask,
        output: Option<MapOutput>,
        actions: &mut Vec<Action>,
    ) {
        let Some(set) = self.task_sets.get(&run.set) else { return };
        let (id, attempt) = (set.stage, set.stage_attempt);
        let partition = set.partitions[run.index as usize];
        if !self.counts(id, attempt, run.set) {
            return self.attempt_ended(run);
        }
        match self.take_output(id, partition, task, run, output, actions) {
            Ok(first) => {
                self.partition_done(run, id, partition, first, actions);
                self.attempt_ended(run);
                if first {
                    self.stage_progressed(id, actions);
                }
            }
            Err(message) => {
                let failure = TaskFailure {
                    message: Arc::from(message),
                    payload: Arc::from([]),
                    kind: FailureKind::Counted,
                };
                let place = self.place(run.executor);
                self.task_failed(task, run, failure, &place, actions);
            }
        }
    }

    /// Whether a success of this attempt may still be used.
    fn counts(&self, id: StageId, attempt: u32, set: TaskSetId) -> bool {
        let Some(stage) = self.stages.get(&id) else { return false };
        // Once an indeterminate map stage is complete its output is read. If some is lost then, a
        // late twin of the attempt that made it would put other rows in its place.
        let replaces =
            stage.indeterminate && stage.shuffle().is_some() && stage.active_set() != Some(set);
        attempt >= stage.oldest_valid_attempt && !replaces
    }

    /// Registers what the attempt made; `false` if the partition had been made before.
    fn take_output(
        &mut self,
        id: StageId,
        partition: u32,
        task: TaskId,
        run: RunningTask,
        output: Option<MapOutput>,
        actions: &mut Vec<Action>,
    ) -> Result<bool, &'static str> {
        let Some(stage) = self.stages.get_mut(&id) else { return Ok(false) };
        match (stage.spec.kind, output) {
            (StageKind::ShuffleMap { shuffle }, Some(MapOutput { address, sizes })) => {
                if self.outputs.get(shuffle).is_some_and(|o| o.is_available(partition)) {
                    return Ok(false);
                }
                let Some(executor) = self.executors.get(run.executor) else { return Ok(false) };
                let (executor, host) = (executor.id.clone(), executor.host.clone());
                let status = MapStatus { executor, host, task, address, sizes };
                self.outputs.set(shuffle, partition, status);
                Ok(true)
            }
            (StageKind::Result, None) => {
                let finished = &mut stage.results.finished[partition as usize];
                if std::mem::replace(finished, true) {
                    return Ok(false);
                }
                stage.results.remaining -= 1;
                let job = stage.jobs.first().copied();
                if let Some(job) = job {
                    actions.push(Action::ResultReady { job, stage: id, partition, task });
                }
                Ok(true)
            }
            (StageKind::ShuffleMap { .. }, None) => {
                Err("the task of a shuffle map stage reported no map output")
            }
            (StageKind::Result, Some(_)) => Err("the task of a result stage reported map output"),
        }
    }

    /// A partition is made: by the set's own attempt, and for every other set of the stage too.
    fn partition_done(
        &mut self,
        run: RunningTask,
        id: StageId,
        partition: u32,
        first: bool,
        actions: &mut Vec<Action>,
    ) {
        let mut others = false;
        if let Some(set) = self.task_sets.get_mut(&run.set) {
            set.succeeded(run.index);
            others = set.tasks[run.index as usize].copies_running > 1;
            if first && self.options.speculation.is_some() {
                set.run_times.push(self.now.since(run.launched));
                self.watch_for_slow_tasks(run.set);
            }
        }
        let Some(stage) = self.stages.get(&id) else { return };
        if stage.task_sets.len() > 1 {
            for other in stage.task_sets.clone() {
                let Some(set) = self.task_sets.get_mut(&other).filter(|_| other != run.set) else {
                    continue;
                };
                if let Some(index) = set.index_of(partition) {
                    set.succeeded(index);
                    others |= set.tasks[index as usize].copies_running > 0;
                    self.relist(other);
                }
            }
        }
        if others {
            let twins = |s: StageId, p: u32| s == id && p == partition;
            self.kill_where(twins, KillReason::AnotherAttemptSucceeded, actions);
        }
    }

    /// Ends the stage's attempt if all its tasks are done. Late successes of an attempt that failed
    /// can complete a stage of which no attempt runs, too.
    fn stage_progressed(&mut self, id: StageId, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get(&id) else { return };
        let ended = match stage.active_set() {
            Some(set) => self.task_sets.get(&set).is_some_and(|set| set.is_done()),
            None => self.is_complete(id),
        };
        if !ended {
            return;
        }
        self.attempt_done(id, actions);
        if self.is_complete(id) {
            self.stage_complete(id, actions);
        } else {
            // Output that was there when the attempt began was lost since.
            self.submit_stage(id, actions);
        }
    }

    // ---- failures ------------------------------------------------------------------------------

    pub(super) fn task_failed(
        &mut self,
        task: TaskId,
        run: RunningTask,
        failure: TaskFailure,
        place: &str,
        actions: &mut Vec<Action>,
    ) {
        let abort = self.count_failure(task, run, &failure, place);
        self.attempt_ended(run);
        if let Some((stage, abort)) = abort {
            self.abort_stage(stage, abort, actions);
        }
    }

    /// An executor's name in messages.
    fn place(&self, executor: ExecutorIndex) -> String {
        self.executors.get(executor).map(Executor::place).unwrap_or_default()
    }

    fn count_failure(
        &mut self,
        task: TaskId,
        run: RunningTask,
        failure: &TaskFailure,
        place: &str,
    ) -> Option<(StageId, Abort)> {
        let set = self.task_sets.get_mut(&run.set)?;
        let state = &mut set.tasks[run.index as usize];
        if set.zombie || run.killed || state.successful {
            return None;
        }
        set.failed_attempts += 1;
        let stage = set.stage;
        let partition = set.partitions[run.index as usize];
        let lost = format!(
            "Lost task {partition}.{} in stage {stage}.{} (TID {task}) ({place}): {}",
            run.attempt, set.stage_attempt, failure.message
        );
        let title = format!("Task {partition} in stage {stage}.{}", set.stage_attempt);
        let reason = match failure.kind {
            FailureKind::NotCounted => return None,
            FailureKind::Fatal => {
                format!("{title} failed and cannot be tried again, most recent failure: {lost}")
            }
            FailureKind::Counted => {
                state.failures += 1;
                let failures = state.failures;
                if let Some(options) = &self.options.exclusion
                    && let Some(executor) = self.executors.get(run.executor)
                {
                    set.exclusion.failed(run.index, executor, options);
                }
                if let Some(stage) = self.stages.get_mut(&stage) {
                    stage.failures.insert(partition, failures);
                }
                if failures < self.options.max_failures {
                    return None;
                }
                format!("{title} failed {failures} times, most recent failure: {lost}")
            }
        };
        let cause = Some(failure.message.clone());
        let payload = Some(failure.payload.clone());
        Some((stage, Abort { reason, cause, payload }))
    }

    fn fetch_failed(
        &mut self,
        run: RunningTask,
        failure: &FetchFailure,
        actions: &mut Vec<Action>,
    ) {
        let Some(set) = self.task_sets.get_mut(&run.set) else { return };
        let stage = set.stage;
        let current = !set.zombie;
        if current && !set.tasks[run.index as usize].successful {
            set.give_up(run.index);
            set.failed_attempts += 1;
        }
        self.attempt_ended(run);
        if current {
            self.fail_attempt(stage, &failure.message, actions);
        }
        self.lose_fetched_output(stage, failure);
    }

    // ---- kills and commits ---------------------------------------------------------------------

    /// Stops all running tasks of a stage, of whatever attempt.
    pub(super) fn kill_tasks_of(
        &mut self,
        id: StageId,
        reason: KillReason,
        actions: &mut Vec<Action>,
    ) {
        let sets: Vec<TaskSetId> =
            self.stages.get(&id).map(|stage| stage.task_sets.clone()).unwrap_or_default();
        let running = sets.iter().any(|set| self.task_sets.get(set).is_some_and(|s| s.running > 0));
        if running {
            self.kill_where(|stage, _| stage == id, reason, actions);
        }
        for set in sets {
            self.retire_set(set);
            self.drop_finished_set(set);
        }
    }

    fn kill_where(
        &mut self,
        wanted: impl Fn(StageId, u32) -> bool,
        reason: KillReason,
        actions: &mut Vec<Action>,
    ) {
        let mut killed = Vec::new();
        for (task, run) in &mut self.running {
            let Some(set) = self.task_sets.get(&run.set) else { continue };
            if !run.killed && wanted(set.stage, set.partitions[run.index as usize]) {
                run.killed = true;
                killed.push((*task, run.executor));
            }
        }
        killed.sort_unstable();
        for (task, executor) in killed {
            if let Some(executor) = self.executors.get(executor) {
                let executor = executor.id.clone();
                actions.push(Action::KillTask { executor, task, reason });
            }
        }
    }

    /// The first attempt that asks may commit its partition; another only after that one failed.
    pub(super) fn answer_commit(&mut self, task: TaskId, actions: &mut Vec<Action>) {
        let Some(run) = self.running.get(&task).copied() else { return };
        let Some(executor) = self.executors.get(run.executor) else { return };
        let executor = executor.id.clone();
        let allowed = self.may_commit(task, run);
        actions.push(Action::CommitAnswer { executor, task, allowed });
    }

    fn may_commit(&mut self, task: TaskId, run: RunningTask) -> bool {
        let Some(set) = self.task_sets.get(&run.set) else { return false };
        let Some(stage) = self.stages.get_mut(&set.stage) else { return false };
        let done = set.tasks[run.index as usize].successful;
        if run.killed || done || set.stage_attempt < stage.oldest_valid_attempt {
            return false;
        }
        let holder = stage.committers.entry(set.partitions[run.index as usize]).or_insert(task);
        // An attempt told to stop may be in the middle of its commit: it holds the right to its end.
        if *holder != task && self.running.contains_key(holder) {
            return false;
        }
        *holder = task;
        true
    }
}
