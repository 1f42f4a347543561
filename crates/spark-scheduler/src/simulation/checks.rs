//! What must hold, kept apart from the world that makes it happen.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{Block, Origin, Running, SimulationReport};
use crate::{
    Action, Demand, ExecutorId, JobId, JobOutcome, Scheduler, SchedulerOptions, StageId, StageSpec,
    TaskId,
};

struct Job {
    final_stage: StageId,
    cancelled: bool,
    /// Partitions used, and what they were made from.
    results: BTreeMap<u32, Origin>,
}

struct Slots {
    cores: u32,
    taken: u32,
    decommissioned: bool,
}

pub(super) struct Checks {
    options: SchedulerOptions,
    jobs: BTreeMap<JobId, Job>,
    executors: BTreeMap<ExecutorId, Slots>,
    /// Attempts running per stage attempt and partition.
    copies: BTreeMap<(StageId, u32, u32), u32>,
    /// Counted failures per stage and partition, ever.
    failures: BTreeMap<(StageId, u32), u32>,
    fetch_failures: BTreeMap<StageId, u32>,
    fatal: BTreeSet<StageId>,
    /// What each finished result attempt was made from.
    made: BTreeMap<TaskId, Origin>,
    /// Who was allowed to commit and has not failed since.
    committers: BTreeMap<(StageId, u32), TaskId>,
    running: BTreeMap<TaskId, (StageId, u32)>,
    /// Where each task of each stage attempt failed.
    failed_on: BTreeSet<(StageId, u32, u32, ExecutorId)>,
    silent: bool,
}

impl Checks {
    pub(super) fn new(options: SchedulerOptions) -> Self {
        Self {
            options,
            jobs: BTreeMap::new(),
            executors: BTreeMap::new(),
            copies: BTreeMap::new(),
            failures: BTreeMap::new(),
            fetch_failures: BTreeMap::new(),
            fatal: BTreeSet::new(),
            made: BTreeMap::new(),
            committers: BTreeMap::new(),
            running: BTreeMap::new(),
            failed_on: BTreeSet::new(),
            silent: false,
        }
    }

    // ---- what the world does -------------------------------------------------------------------

    pub(super) fn executor_added(&mut self, executor: ExecutorId, cores: u32) {
        self.executors.insert(executor, Slots { cores, taken: 0, decommissioned: false });
    }

    pub(super) fn executor_removed(&mut self, executor: &ExecutorId) {
        self.executors.remove(executor);
    }

    pub(super) fn decommissioned(&mut self, executor: &ExecutorId) {
        if let Some(slots) = self.executors.get_mut(executor) {
            slots.decommissioned = true;
        }
    }

    pub(super) fn submitted(&mut self, job: JobId, final_stage: StageId) {
        let job_state = Job { final_stage, cancelled: false, results: BTreeMap::new() };
        self.jobs.insert(job, job_state);
    }

    pub(super) fn cancelled(&mut self, job: JobId) {
        if let Some(job) = self.jobs.get_mut(&job) {
            job.cancelled = true;
        }
    }

    pub(super) fn fatal(&mut self, stage: StageId) {
        self.fatal.insert(stage);
    }

    pub(super) fn fetch_failed(&mut self, stage: StageId) {
        *self.fetch_failures.entry(stage).or_insert(0) += 1;
    }

    pub(super) fn made_result(&mut self, task: TaskId, origin: Origin) {
        self.made.insert(task, origin);
    }

    pub(super) fn attempt_ended(&mut self, task: TaskId, run: &Running, counted: bool) {
        let description = &run.description;
        let key = (description.stage, description.stage_attempt, description.partition);
        if let Some(copies) = self.copies.get_mut(&key) {
            *copies -= 1;
        }
        if let Some(slots) = self.executors.get_mut(&run.executor) {
            slots.taken -= description.cpus;
        }
        let partition = (description.stage, description.partition);
        if counted {
            *self.failures.entry(partition).or_insert(0) += 1;
            if !run.kill_sent {
                self.failed_on.insert((key.0, key.1, key.2, run.executor.clone()));
            }
        }
        self.running.remove(&task);
        if self.committers.get(&partition) == Some(&task) {
            self.committers.remove(&partition);
        }
    }

    pub(super) fn expect_silence(&mut self) {
        self.silent = true;
    }

    pub(super) fn silence_over(&mut self) {
        self.silent = false;
    }

    // ---- what the scheduler says ---------------------------------------------------------------

    pub(super) fn saw(&mut self, action: &Action) {
        assert!(!self.silent, "a late message had an effect: {action}");
        match action {
            Action::ResultReady { job, partition, task, .. } => {
                let origin = self.made.get(task).expect("a result used was made").clone();
                let job = self.jobs.get_mut(job).expect("a result belongs to a live job");
                let before = job.results.insert(*partition, origin);
                assert!(before.is_none(), "result of partition {partition} used twice");
            }
            Action::CommitAnswer { task, allowed: true, .. } => {
                let partition = self.running[task];
                let before = self.committers.insert(partition, *task);
                let alone = before.is_none_or(|before| before == *task);
                assert!(alone, "{partition:?} committed by {before:?} and by {task}");
            }
            Action::DemandChanged(demand) => {
                let Demand { running_tasks, .. } = *demand;
                assert!(running_tasks <= self.running.len() + 1);
            }
            Action::LaunchTask { .. }
            | Action::KillTask { .. }
            | Action::StageSubmitted { .. }
            | Action::StageCompleted { .. }
            | Action::JobFinished { .. }
            | Action::CommitAnswer { .. }
            | Action::ShuffleReleased { .. }
            | Action::StageReleased { .. } => {}
        }
    }

    pub(super) fn launched(&mut self, run: &Running, scheduler: &Scheduler, spec: &StageSpec) {
        let description = &run.description;
        let slots = self.executors.get_mut(&run.executor).expect("tasks run on live executors");
        slots.taken += description.cpus;
        assert!(slots.taken <= slots.cores, "{} has no slot", run.executor);
        assert!(!slots.decommissioned, "{} is decommissioned", run.executor);
        let key = (description.stage, description.stage_attempt, description.partition);
        let copies = self.copies.entry(key).or_insert(0);
        *copies += 1;
        assert!(*copies <= 1 + u32::from(description.speculative), "{key:?} runs twice");
        let excluded = self.options.exclusion.is_some()
            && self.failed_on.contains(&(key.0, key.1, key.2, run.executor.clone()));
        assert!(!excluded, "{key:?} failed on {} before", run.executor);
        self.running.insert(description.task, (description.stage, description.partition));
        for parent in &spec.parents {
            let complete = scheduler.map_outputs(*parent).is_some_and(|o| o.is_complete());
            assert!(complete, "TID {} launched without its input {parent}", description.task);
        }
        if let Some(shuffle) = spec.shuffle() {
            let outputs = scheduler.map_outputs(shuffle).expect("a running stage's shuffle lives");
            let there = outputs.statuses()[description.partition as usize].is_some();
            assert!(!there, "TID {} launched for output that is there", description.task);
        }
    }

    pub(super) fn job_finished(
        &mut self,
        id: JobId,
        outcome: &JobOutcome,
        partitions: impl Fn(StageId) -> u32,
        report: &mut SimulationReport,
    ) {
        let job = self.jobs.remove(&id).expect("a job ends once");
        match outcome {
            JobOutcome::Succeeded => {
                report.jobs_succeeded += 1;
                if !job.results.is_empty() {
                    assert_eq!(job.results.len() as u32, partitions(job.final_stage));
                }
                check_origins(job.results.values());
            }
            JobOutcome::Failed(failure) => {
                report.jobs_failed += 1;
                self.check_failure(&failure.message);
            }
            JobOutcome::Cancelled { .. } => {
                report.jobs_cancelled += 1;
                assert!(job.cancelled, "job {id} was not cancelled by anyone");
            }
        }
    }

    /// A job fails only for a reason that the world made.
    fn check_failure(&self, message: &str) {
        let attempts = self.options.max_consecutive_stage_attempts;
        let explained = if message.contains("times, most recent failure") {
            self.failures.values().any(|failures| *failures >= self.options.max_failures)
        } else if message.contains("cannot be tried again") {
            !self.fatal.is_empty()
        } else if message.contains("maximum allowable number of times") {
            self.fetch_failures.values().any(|failures| *failures >= attempts)
        } else if message.contains("cannot run anywhere due to") {
            self.options.exclusion.is_some() && !self.failed_on.is_empty()
        } else {
            message.contains("indeterminate output")
                || message.contains("made by no stage")
                || message.contains("refused")
        };
        assert!(explained, "no reason for: {message}");
    }

    pub(super) fn at_end(&self, scheduler: &Scheduler) {
        assert!(self.jobs.is_empty());
        assert_eq!(scheduler.demand(), Demand::default());
        assert!(scheduler.progress().is_empty());
        scheduler.check_empty();
    }
}

/// All that a job's results were made from saw the same run of each indeterminate map task:
/// otherwise rows are lost or doubled.
fn check_origins<'a>(results: impl Iterator<Item = &'a Origin>) {
    let mut seen: BTreeMap<(crate::ShuffleId, u32), TaskId> = BTreeMap::new();
    for block in results.flat_map(|origin| origin.iter()) {
        let (shuffle, map_partition, task): Block = *block;
        let before = seen.insert((shuffle, map_partition), task);
        assert!(
            before.is_none_or(|before| before == task),
            "partition {map_partition} of shuffle {shuffle} was read from two runs"
        );
    }
}
