//! Jobs: submission, cancellation, end; and the release of what no job needs any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Scheduler;
use crate::action::{Action, JobFailure, JobOutcome, KillReason, StageOutcome};
use crate::ids::{JobId, ShuffleId, StageId};
use crate::job::{Determinism, JobSpec, StageSpec};
use crate::stage::{Abort, Job, Stage, StageState};

impl Scheduler {
    pub(super) fn submit_job(&mut self, spec: JobSpec, actions: &mut Vec<Action>) {
        let JobSpec { job, stages, final_stage, properties } = spec;
        let final_shuffle =
            stages.iter().find(|spec| spec.stage == final_stage).and_then(StageSpec::shuffle);
        let named: BTreeSet<ShuffleId> = stages.iter().filter_map(StageSpec::shuffle).collect();
        let new: Vec<StageId> = stages.iter().map(|spec| spec.stage).collect();
        if let Err(reason) = self.register_stages(stages, final_stage) {
            let message = Arc::from(format!("Job {job} refused: {reason}"));
            let failure = JobFailure { message, cause: None, payload: None };
            actions.push(Action::JobFinished { job, outcome: JobOutcome::Failed(failure) });
            return;
        }
        // A final shuffle that is known already is made by the stage that made it first.
        let final_stage =
            final_shuffle.and_then(|s| self.shuffle_stages.get(&s).copied()).unwrap_or(final_stage);
        let stages = self.with_ancestors(final_stage);
        for stage in &stages {
            if let Some(stage) = self.stages.get_mut(stage) {
                stage.jobs.insert(job);
                let named = stage.shuffle().is_some_and(|shuffle| named.contains(&shuffle));
                stage.retained |= properties.retain_shuffles && named;
            }
        }
        self.jobs.insert(job, Job { final_stage, stages, properties });
        self.reprioritise(final_stage);
        // Stages the final one does not need are nobody's.
        for stage in new {
            self.release_stage(stage, actions);
        }
        if !self.finish_jobs_of(final_stage, actions) {
            self.submit_stage(final_stage, actions);
        }
    }

    /// Takes in the stages not known yet, parents before children.
    fn register_stages(
        &mut self,
        mut specs: Vec<StageSpec>,
        final_stage: StageId,
    ) -> Result<(), String> {
        let known_result = self.stages.get(&final_stage).is_some_and(|s| s.shuffle().is_none());
        if known_result {
            return Err(format!("stage {final_stage} gives the result of another job"));
        }
        specs.retain(|spec| !self.knows(spec));
        let mut made: BTreeSet<ShuffleId> = self.shuffle_stages.keys().copied().collect();
        let mut ordered = Vec::with_capacity(specs.len());
        while !specs.is_empty() {
            let (ready, rest): (Vec<_>, Vec<_>) =
                specs.into_iter().partition(|s| s.parents.iter().all(|p| made.contains(p)));
            if ready.is_empty() {
                let parents: Vec<u64> = rest[0].parents.iter().map(|p| p.0).collect();
                return Err(format!(
                    "stage {} reads shuffles {parents:?}, of which one is made by no stage",
                    rest[0].stage
                ));
            }
            made.extend(ready.iter().filter_map(StageSpec::shuffle));
            ordered.extend(ready);
            specs = rest;
        }
        let known = |id: &StageId| self.stages.contains_key(id);
        if !ordered.iter().any(|spec| spec.stage == final_stage) && !known(&final_stage) {
            return Err(format!("its final stage {final_stage} is not among its stages"));
        }
        for spec in ordered {
            self.register_stage(spec);
        }
        Ok(())
    }

    fn knows(&self, spec: &StageSpec) -> bool {
        self.stages.contains_key(&spec.stage)
            || spec.shuffle().is_some_and(|shuffle| self.shuffle_stages.contains_key(&shuffle))
    }

    fn register_stage(&mut self, spec: StageSpec) {
        let id = spec.stage;
        let parents: Vec<StageId> =
            spec.parents.iter().map(|shuffle| self.shuffle_stages[shuffle]).collect();
        let mut indeterminate = spec.determinism == Determinism::Indeterminate;
        for parent in &parents {
            if let Some(parent) = self.stages.get_mut(parent) {
                parent.children.insert(id);
                indeterminate |= parent.indeterminate;
            }
        }
        if let Some(shuffle) = spec.shuffle() {
            self.shuffle_stages.insert(shuffle, id);
            self.outputs.register(shuffle, spec.partitions);
        }
        self.stages.insert(id, Stage::new(spec, parents, indeterminate));
    }

    fn with_ancestors(&self, stage: StageId) -> Vec<StageId> {
        let mut found = BTreeSet::new();
        let mut open = vec![stage];
        while let Some(id) = open.pop() {
            if let Some(stage) = self.stages.get(&id)
                && found.insert(id)
            {
                open.extend(&stage.parents);
            }
        }
        found.into_iter().collect()
    }

    // ---- cancellation --------------------------------------------------------------------------

    pub(super) fn cancel_job(&mut self, job: JobId, reason: &str, actions: &mut Vec<Action>) {
        let message = Arc::from(format!("Job {job} cancelled {reason}").trim_end());
        self.end_job(job, JobOutcome::Cancelled { message }, actions);
    }

    pub(super) fn cancel_group(&mut self, group: &str, reason: &str, actions: &mut Vec<Action>) {
        let text = format!("part of cancelled job group {group}");
        let reason = if reason.is_empty() { &text } else { reason };
        let in_group = |job: &Job| job.properties.group.as_deref() == Some(group);
        self.cancel_where(in_group, reason, actions);
    }

    pub(super) fn cancel_tag(&mut self, tag: &str, reason: &str, actions: &mut Vec<Action>) {
        let text = format!("part of cancelled job tag {tag}");
        let reason = if reason.is_empty() { &text } else { reason };
        let has_tag = |job: &Job| job.properties.tags.iter().any(|t| &**t == tag);
        self.cancel_where(has_tag, reason, actions);
    }

    pub(super) fn cancel_stage(&mut self, stage: StageId, reason: &str, actions: &mut Vec<Action>) {
        let text = format!("because Stage {stage} was cancelled");
        let reason = if reason.is_empty() { &text } else { reason };
        self.cancel_where(|job| job.stages.contains(&stage), reason, actions);
    }

    fn cancel_where(
        &mut self,
        wanted: impl Fn(&Job) -> bool,
        reason: &str,
        actions: &mut Vec<Action>,
    ) {
        let jobs: Vec<JobId> =
            self.jobs.iter().filter(|(_, job)| wanted(job)).map(|(id, _)| *id).collect();
        for job in jobs {
            self.cancel_job(job, reason, actions);
        }
    }

    // ---- end -----------------------------------------------------------------------------------

    /// Ends every job of a stage that cannot be finished.
    pub(super) fn abort_stage(&mut self, stage: StageId, abort: Abort, actions: &mut Vec<Action>) {
        let Some(aborted) = self.stages.get(&stage) else { return };
        let jobs: Vec<JobId> = aborted.jobs.iter().copied().collect();
        let message: Arc<str> =
            Arc::from(format!("Job aborted due to stage failure: {}", abort.reason));
        self.stop_stage(stage, KillReason::JobFailed, &abort.reason, actions);
        for job in jobs {
            let failure = JobFailure {
                message: message.clone(),
                cause: abort.cause.clone(),
                payload: abort.payload.clone(),
            };
            self.end_job(job, JobOutcome::Failed(failure), actions);
        }
    }

    pub(super) fn end_job(&mut self, job: JobId, outcome: JobOutcome, actions: &mut Vec<Action>) {
        let Some(ended) = self.jobs.remove(&job) else { return };
        let (kill, text) = match &outcome {
            JobOutcome::Succeeded => (KillReason::StageFinished, "stage finished"),
            JobOutcome::Failed(_) => (KillReason::JobFailed, "job failed"),
            JobOutcome::Cancelled { .. } => (KillReason::JobCancelled, "job cancelled"),
        };
        for id in &ended.stages {
            let Some(stage) = self.stages.get_mut(id) else { continue };
            stage.jobs.remove(&job);
            if stage.jobs.is_empty() {
                self.stop_stage(*id, kill, text, actions);
            } else {
                self.reprioritise(*id);
            }
        }
        actions.push(Action::JobFinished { job, outcome });
        for id in ended.stages.iter().rev() {
            self.release_stage(*id, actions);
        }
    }

    /// Ends the jobs whose final stage is complete; says whether there was one.
    pub(super) fn finish_jobs_of(&mut self, stage: StageId, actions: &mut Vec<Action>) -> bool {
        if !self.is_complete(stage) {
            return false;
        }
        let Some(complete) = self.stages.get(&stage) else { return false };
        let finished: Vec<JobId> = complete
            .jobs
            .iter()
            .filter(|job| self.jobs.get(job).is_some_and(|job| job.final_stage == stage))
            .copied()
            .collect();
        for job in &finished {
            self.end_job(*job, JobOutcome::Succeeded, actions);
        }
        !finished.is_empty()
    }

    /// Stops whatever a stage does and lets it lie.
    fn stop_stage(
        &mut self,
        id: StageId,
        kill: KillReason,
        reason: &str,
        actions: &mut Vec<Action>,
    ) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let active = stage.active_set();
        stage.state = StageState::Idle;
        self.resubmit.remove(&id);
        if let Some(set) = active
            && let Some(set) = self.task_sets.get(&set)
        {
            let outcome = StageOutcome::Failed { reason: Arc::from(reason) };
            actions.push(Action::StageCompleted { stage: id, attempt: set.stage_attempt, outcome });
        }
        self.kill_tasks_of(id, kill, actions);
    }

    // ---- release -------------------------------------------------------------------------------

    pub(super) fn release_shuffle(&mut self, shuffle: ShuffleId, actions: &mut Vec<Action>) {
        let Some(id) = self.shuffle_stages.get(&shuffle).copied() else { return };
        if let Some(stage) = self.stages.get_mut(&id) {
            stage.retained = false;
        }
        self.release_stage(id, actions);
    }

    /// Forgets a stage that no job, no caller and no live reader needs, then its parents likewise.
    fn release_stage(&mut self, id: StageId, actions: &mut Vec<Action>) {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let Some(stage) = self.stages.get(&id) else { continue };
            if stage.retained || !stage.jobs.is_empty() || !stage.children.is_empty() {
                continue;
            }
            let Some(stage) = self.stages.remove(&id) else { continue };
            if let Some(shuffle) = stage.shuffle() {
                self.shuffle_stages.swap_remove(&shuffle);
                self.outputs.unregister(shuffle);
                actions.push(Action::ShuffleReleased { shuffle });
            }
            actions.push(Action::StageReleased { stage: id });
            for parent in stage.parents {
                if let Some(above) = self.stages.get_mut(&parent) {
                    above.children.remove(&id);
                    open.push(parent);
                }
            }
        }
    }
}
