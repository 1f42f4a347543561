//! Stages: which runs when, and which runs again (Spark's `DAGScheduler`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Scheduler;
use crate::action::{Action, KillReason, StageOutcome};
use crate::ids::{JobId, StageId};
use crate::stage::{Abort, StageState};
use crate::task_set::{TaskSet, TaskSetId, TaskSetOptions};

impl Scheduler {
    /// Runs a stage, or first the parents whose output is missing.
    pub(super) fn submit_stage(&mut self, id: StageId, actions: &mut Vec<Action>) {
        let complete = self.is_complete(id);
        let missing = self.missing_parents(id);
        let Some(stage) = self.stages.get_mut(&id) else { return };
        if stage.state != StageState::Idle || stage.jobs.is_empty() {
            return;
        }
        if complete || missing.is_empty() {
            self.submit_missing_tasks(id, actions);
            return;
        }
        stage.state = StageState::Waiting;
        for parent in missing {
            self.submit_stage(parent, actions);
        }
    }

    /// The parents whose output is not complete.
    pub(super) fn missing_parents(&self, id: StageId) -> Vec<StageId> {
        let Some(stage) = self.stages.get(&id) else { return Vec::new() };
        stage.parents.iter().filter(|parent| !self.is_complete(**parent)).copied().collect()
    }

    /// Whether all that a stage makes is there.
    pub(super) fn is_complete(&self, id: StageId) -> bool {
        let Some(stage) = self.stages.get(&id) else { return false };
        match stage.shuffle() {
            Some(shuffle) => self.outputs.get(shuffle).is_some_and(|o| o.is_complete()),
            None => stage.results.remaining == 0,
        }
    }

    fn missing_partitions(&self, id: StageId) -> Vec<u32> {
        let Some(stage) = self.stages.get(&id) else { return Vec::new() };
        match stage.shuffle() {
            Some(shuffle) => self.outputs.get(shuffle).map(|o| o.missing()).unwrap_or_default(),
            None => (0u32..)
                .zip(&stage.results.finished)
                .filter(|(_, finished)| !**finished)
                .map(|(partition, _)| partition)
                .collect(),
        }
    }

    /// Starts an attempt over the partitions that are missing, if any. The parents' output is there.
    fn submit_missing_tasks(&mut self, id: StageId, actions: &mut Vec<Action>) {
        if self.is_complete(id) {
            self.stage_complete(id, actions);
            return;
        }
        let Some(stage) = self.stages.get(&id) else { return };
        let mut rolled_back = Vec::new();
        if stage.indeterminate && stage.next_attempt > 0 {
            let Some(shuffle) = stage.shuffle() else { return self.start_attempt(id, actions) };
            // Output of another run would not fit what is left of this one.
            self.outputs.remove_all(shuffle);
            if let Some(stage) = self.stages.get_mut(&id) {
                stage.oldest_valid_attempt = stage.next_attempt;
            }
            self.kill_tasks_of(id, KillReason::StageRolledBack, actions);
            rolled_back = self.roll_back_readers(id, actions);
        }
        self.start_attempt(id, actions);
        for reader in rolled_back {
            self.submit_stage(reader, actions);
        }
    }

    fn start_attempt(&mut self, id: StageId, actions: &mut Vec<Action>) {
        let partitions = self.missing_partitions(id);
        let set_id = TaskSetId(self.next_set);
        let Some(stage) = self.stages.get_mut(&id) else { return };
        // The roll-back may have ended the jobs.
        let Some(job) = stage.jobs.first().copied() else { return };
        self.next_set += 1;
        let attempt = stage.next_attempt;
        stage.next_attempt += 1;
        let tasks = partitions.len() as u32;
        let set = TaskSet::new(
            TaskSetOptions {
                id: set_id,
                stage_attempt: attempt,
                job,
                pool: self.jobs.get(&job).and_then(|job| job.properties.pool.clone()),
                cpus: stage.spec.cpus.unwrap_or(self.options.task_cpus).max(1),
                partitions,
                spec: &stage.spec,
                earlier_failures: &stage.failures,
            },
            &self.executors,
            self.now,
        );
        stage.state = StageState::Running(set_id);
        stage.task_sets.push(set_id);
        self.task_sets.insert(set_id, set);
        actions.push(Action::StageSubmitted { job, stage: id, attempt, tasks });
        self.relist(set_id);
    }

    /// All tasks of a stage's attempt are done.
    pub(super) fn attempt_done(&mut self, id: StageId, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let active = stage.active_set();
        stage.state = StageState::Idle;
        let Some(set) = active else { return };
        self.retire_set(set);
        if let Some(set) = self.task_sets.get(&set) {
            if let Some(options) = &self.options.exclusion {
                self.application_exclusion.stage_succeeded(&set.exclusion, options, self.now);
            }
            let (attempt, outcome) = (set.stage_attempt, StageOutcome::Succeeded);
            actions.push(Action::StageCompleted { stage: id, attempt, outcome });
        }
        self.drop_finished_set(set);
    }

    /// Everything a stage makes is there.
    pub(super) fn stage_complete(&mut self, id: StageId, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        stage.fetch_failed_attempts = 0;
        stage.failures.clear();
        let children: Vec<StageId> = stage.children.iter().copied().collect();
        self.resubmit.remove(&id);
        self.finish_jobs_of(id, actions);
        for child in children {
            self.parent_complete(child, actions);
        }
    }

    /// One of a stage's inputs is there again, or for the first time.
    fn parent_complete(&mut self, id: StageId, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        match stage.state {
            StageState::Waiting => {
                stage.state = StageState::Idle;
                self.submit_stage(id, actions);
            }
            StageState::Running(set) => {
                let blocked = !self.missing_parents(id).is_empty();
                if let Some(running) = self.task_sets.get_mut(&set) {
                    running.blocked = blocked;
                }
                self.relist(set);
                self.want_input(set);
            }
            StageState::Idle | StageState::Failed => {}
        }
    }

    // ---- again ---------------------------------------------------------------------------------

    /// The current attempt of a stage cannot go on; a new one follows after the resubmit delay.
    pub(super) fn fail_attempt(&mut self, id: StageId, reason: &str, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let Some(set) = stage.active_set() else { return };
        stage.state = StageState::Failed;
        stage.fetch_failed_attempts += 1;
        let failed = stage.fetch_failed_attempts;
        let title = stage.title();
        self.retire_set(set);
        if let Some(set) = self.task_sets.get(&set) {
            let outcome = StageOutcome::Failed { reason: Arc::from(reason) };
            actions.push(Action::StageCompleted { stage: id, attempt: set.stage_attempt, outcome });
        }
        self.drop_finished_set(set);
        let limit = self.options.max_consecutive_stage_attempts;
        if failed >= limit {
            let text = format!(
                "{title} has failed the maximum allowable number of times: {limit} \
                 (spark.stage.maxConsecutiveAttempts). Most recent failure reason: {reason}"
            );
            let abort = Abort { cause: Some(Arc::from(reason)), ..Abort::because(text) };
            self.abort_stage(id, abort, actions);
        } else {
            self.resubmit_later(id);
        }
    }

    pub(super) fn resubmit_later(&mut self, id: StageId) {
        self.resubmit.insert(id);
        if self.resubmit_at.is_none() {
            self.resubmit_at = Some(self.now + self.options.resubmit_delay);
        }
    }

    /// A blocked set that has tasks to launch needs its input computed again.
    pub(super) fn want_input(&mut self, set: TaskSetId) {
        if let Some(set) = self.task_sets.get(&set)
            && set.blocked
            && !set.zombie
            && set.waiting > 0
        {
            self.resubmit_later(set.stage);
        }
    }

    pub(super) fn resubmit_stages(&mut self, actions: &mut Vec<Action>) {
        self.resubmit_at = None;
        let mut stages: Vec<(Option<JobId>, StageId)> = std::mem::take(&mut self.resubmit)
            .into_iter()
            .map(|id| (self.stages.get(&id).and_then(|s| s.jobs.first().copied()), id))
            .collect();
        stages.sort_unstable();
        for (_, id) in stages {
            let Some(stage) = self.stages.get_mut(&id) else { continue };
            match stage.state {
                StageState::Failed => {
                    stage.state = StageState::Idle;
                    self.submit_stage(id, actions);
                }
                StageState::Running(_) => {
                    let missing = self.missing_parents(id);
                    if missing.is_empty() {
                        self.parent_complete(id, actions);
                    }
                    for parent in missing {
                        self.submit_stage(parent, actions);
                    }
                }
                StageState::Idle | StageState::Waiting => {}
            }
        }
    }

    /// Takes back what was computed from the output of an indeterminate stage that runs again, and
    /// answers which stages must be submitted anew. Result partitions cannot be taken back: their
    /// jobs fail, as in Spark.
    fn roll_back_readers(&mut self, id: StageId, actions: &mut Vec<Action>) -> Vec<StageId> {
        let mut readers = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let Some(stage) = self.stages.get(&id) else { continue };
            open.extend(stage.children.iter().filter(|child| readers.insert(**child)));
        }
        let mut active = Vec::new();
        for id in readers {
            let Some(reader) = self.stages.get_mut(&id) else { continue };
            if reader.results.finished.iter().any(|finished| *finished) {
                let text = format!(
                    "A shuffle map stage with indeterminate output was failed and retried. However, \
                     Spark cannot rollback the {} to re-process the input data, and has to fail \
                     this job. Please eliminate the indeterminacy by checkpointing the RDD before \
                     repartition and try again.",
                    reader.title()
                );
                self.abort_stage(id, Abort::because(text), actions);
                continue;
            }
            reader.oldest_valid_attempt = reader.next_attempt;
            let shuffle = reader.shuffle();
            let was = std::mem::replace(&mut reader.state, StageState::Idle);
            if was != StageState::Idle {
                active.push(id);
            }
            if let Some(shuffle) = shuffle {
                self.outputs.remove_all(shuffle);
            }
            self.resubmit.remove(&id);
            if let StageState::Running(set) = was {
                self.retire_set(set);
                if let Some(set) = self.task_sets.get(&set) {
                    let reason = Arc::from("its input is computed anew and may differ");
                    actions.push(Action::StageCompleted {
                        stage: id,
                        attempt: set.stage_attempt,
                        outcome: StageOutcome::Failed { reason },
                    });
                }
            }
            self.kill_tasks_of(id, KillReason::StageRolledBack, actions);
        }
        active
    }

    // ---- task sets -----------------------------------------------------------------------------

    /// The set launches nothing more.
    pub(super) fn retire_set(&mut self, id: TaskSetId) {
        if let Some(set) = self.task_sets.get_mut(&id) {
            set.zombie = true;
        }
        self.relist(id);
    }

    /// Forgets a set which launches nothing more and of which nothing runs.
    pub(super) fn drop_finished_set(&mut self, id: TaskSetId) {
        let Some(set) = self.task_sets.get(&id) else { return };
        if !set.zombie || set.running > 0 {
            return;
        }
        let stage = set.stage;
        self.task_sets.swap_remove(&id);
        if let Some(stage) = self.stages.get_mut(&stage) {
            stage.task_sets.retain(|set| *set != id);
        }
    }

    /// Brings the list of sets that could use a slot up to date.
    pub(super) fn relist(&mut self, id: TaskSetId) {
        let Some(set) = self.task_sets.get_mut(&id) else { return };
        let runnable = set.is_runnable();
        if runnable != set.listed {
            set.listed = runnable;
            let order = (set.job, set.stage, id);
            if runnable {
                self.runnable.insert(order);
            } else {
                self.runnable.remove(&order);
            }
        }
    }

    /// The jobs that need a stage changed: so does its place in the order, and its ancestors'.
    pub(super) fn reprioritise(&mut self, id: StageId) {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let Some(stage) = self.stages.get(&id) else { continue };
            if !seen.insert(id) {
                continue;
            }
            open.extend(&stage.parents);
            let (Some(set), Some(job)) = (stage.active_set(), stage.jobs.first().copied()) else {
                continue;
            };
            let Some(set) = self.task_sets.get_mut(&set) else { continue };
            if set.job != job {
                if std::mem::take(&mut set.listed) {
                    self.runnable.remove(&(set.job, set.stage, set.id));
                }
                set.job = job;
                set.pool = self.jobs.get(&job).and_then(|job| job.properties.pool.clone());
                let set = set.id;
                self.relist(set);
            }
        }
    }
}
