//! The state machine: its state, the way of an event through it, and what can be asked of it.
//!
//! One file per concern: [`jobs`] (submission, end, release), [`stages`] (which stage runs when),
//! [`tasks`] (ends of task attempts), [`losses`] (executors and map output), [`offers`] (who gets
//! a slot), [`slow`] (speculation, tasks that can run nowhere), [`check`] (invariants).

mod check;
mod jobs;
mod losses;
mod offers;
mod slow;
mod stages;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::action::{Action, Demand};
use crate::allocation::{AllocationInput, ExecutorUse};
use crate::event::Event;
use crate::exclusion::ApplicationExclusion;
use crate::executors::{Executor, ExecutorIndex, Executors};
use crate::ids::{ExecutorId, JobId, ShuffleId, StageId, TaskId, Time};
use crate::map_output::{MapOutputTracker, MapOutputs, MapStatus};
use crate::options::SchedulerOptions;
use crate::stage::{Job, Stage};
use crate::task_set::{TaskSet, TaskSetId};

/// The DAG scheduler and the task scheduler of one application.
#[derive(Debug)]
pub struct Scheduler {
    options: SchedulerOptions,
    now: Time,
    jobs: BTreeMap<JobId, Job>,
    stages: BTreeMap<StageId, Stage>,
    /// The stage that makes each live shuffle.
    shuffle_stages: IndexMap<ShuffleId, StageId>,
    outputs: MapOutputTracker,
    task_sets: IndexMap<TaskSetId, TaskSet>,
    /// The sets that could use a slot now, in FIFO order.
    runnable: BTreeSet<SetOrder>,
    running: IndexMap<TaskId, RunningTask>,
    running_cpus: u64,
    executors: Executors,
    /// Stages to look at again at `resubmit_at`: failed ones, and running ones that miss input.
    resubmit: BTreeSet<StageId>,
    resubmit_at: Option<Time>,
    /// When to look for slow tasks next.
    speculation_at: Option<Time>,
    application_exclusion: ApplicationExclusion,
    next_task: u64,
    next_set: u64,
    /// What was said last with [`Action::DemandChanged`], lowered as work was done since.
    demand_said: Demand,
    /// Events so far, to choose which are followed by a full check.
    events: u64,
}

/// A task set's place in FIFO order (Spark's priority is the job, then the stage).
type SetOrder = (JobId, StageId, TaskSetId);

#[derive(Clone, Copy, Debug)]
struct RunningTask {
    set: TaskSetId,
    index: u32,
    attempt: u32,
    executor: ExecutorIndex,
    cpus: u32,
    launched: Time,
    /// It was told to stop: what it says of itself does not count any more, its success excepted.
    killed: bool,
}

impl Scheduler {
    /// Starts without jobs and without executors.
    pub fn new(options: SchedulerOptions) -> Self {
        Self {
            options,
            now: Time::default(),
            jobs: BTreeMap::new(),
            stages: BTreeMap::new(),
            shuffle_stages: IndexMap::new(),
            outputs: MapOutputTracker::default(),
            task_sets: IndexMap::new(),
            runnable: BTreeSet::new(),
            running: IndexMap::new(),
            running_cpus: 0,
            executors: Executors::default(),
            resubmit: BTreeSet::new(),
            resubmit_at: None,
            speculation_at: None,
            application_exclusion: ApplicationExclusion::default(),
            next_task: 0,
            next_set: 0,
            demand_said: Demand::default(),
            events: 0,
        }
    }

    /// Takes in what happened and answers what to do, in order.
    pub fn handle(&mut self, event: Event, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        self.handle_into(event, now, &mut actions);
        actions
    }

    /// As [`Self::handle`], appending to `actions`, for callers that hand in many events at once.
    pub fn handle_into(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        self.now = self.now.max(now);
        self.events += 1;
        let mut offered = Vec::new();
        let full_round = !matches!(event, Event::TaskFinished { .. });
        match event {
            Event::JobSubmitted(spec) => self.submit_job(spec, actions),
            Event::JobCancelled { job, reason } => self.cancel_job(job, &reason, actions),
            Event::JobGroupCancelled { group, reason } => {
                self.cancel_group(&group, &reason, actions);
            }
            Event::JobTagCancelled { tag, reason } => self.cancel_tag(&tag, &reason, actions),
            Event::StageCancelled { stage, reason } => self.cancel_stage(stage, &reason, actions),
            Event::ExecutorAdded { executor, host, cores } => {
                self.add_executor(executor, host, cores, actions);
            }
            Event::CoresOffered { offers } => {
                let cores =
                    offers.iter().filter_map(|(id, cores)| self.executors.offer(id, *cores));
                offered.extend(cores);
            }
            Event::ExecutorLost { executor, loss } => self.lose_executor(&executor, loss, actions),
            Event::ExecutorDecommissioned { executor } => {
                self.executors.decommission(&executor);
            }
            Event::TaskFinished { task, outcome } => self.finish_task(task, outcome, actions),
            Event::CommitRequested { task } => self.answer_commit(task, actions),
            Event::ShuffleReleased { shuffle } => self.release_shuffle(shuffle, actions),
            Event::MapOutputMoved(moved) => self.move_output(moved),
            Event::MapOutputDamaged { shuffle, outputs } => self.lose_damaged(shuffle, &outputs),
            Event::Wakeup => {}
        }
        if self.resubmit_at.is_some_and(|at| at <= self.now) {
            self.resubmit_stages(actions);
        }
        if self.speculation_at.is_some_and(|at| at <= self.now) {
            self.find_slow_tasks();
        }
        self.application_exclusion.expire(self.now);
        self.give_up_excluded(actions);
        self.make_offers(full_round, actions);
        for executor in offered {
            self.executors.withdraw(executor);
        }
        self.say_demand(actions);
        if cfg!(debug_assertions) {
            self.check_sometimes();
        }
    }

    /// The next moment at which [`Event::Wakeup`] must be sent; `None` if nothing waits for time.
    pub fn next_wakeup(&self) -> Option<Time> {
        [
            self.resubmit_at,
            self.speculation_at,
            self.locality_wakeup(),
            self.application_exclusion.next_expiry(),
            self.unschedulable_wakeup(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The map output of a live shuffle.
    pub fn map_outputs(&self, shuffle: ShuffleId) -> Option<&MapOutputs> {
        self.outputs.get(shuffle)
    }

    /// The executors that wrote map output of live shuffles: with one of them gone, some of it would
    /// be computed again, unless a shuffle service serves it. Takes time in proportion to all map
    /// output.
    pub fn executors_with_output(&self) -> BTreeSet<ExecutorId> {
        self.outputs.executors()
    }

    /// The tasks waiting and running now, for executor allocation.
    pub fn demand(&self) -> Demand {
        let mut demand = Demand {
            running_tasks: self.running.len(),
            running_cpus: self.running_cpus,
            ..Demand::default()
        };
        for (_, _, set) in &self.runnable {
            let set = &self.task_sets[set];
            let waiting = set.waiting + set.speculatable.len();
            demand.pending_tasks += waiting;
            demand.pending_cpus += waiting as u64 * u64::from(set.cpus);
        }
        demand
    }

    /// How many executors of `cores` cores all tasks running and waiting would fill, in parts of an
    /// executor; tasks that take more than one core do not share what is left over, and such as fit
    /// into none do not count.
    pub fn executors_needed(&self, cores: u32) -> f64 {
        let mut needed = 0.0;
        for set in self.task_sets.values() {
            let waiting = if set.is_runnable() { set.waiting + set.speculatable.len() } else { 0 };
            let per_executor = cores / set.cpus;
            if per_executor > 0 {
                needed += (waiting + set.running) as f64 / f64::from(per_executor);
            }
        }
        needed
    }

    /// What executor allocation wants to know; `holds_cache` says whether an executor holds cached
    /// partitions.
    pub fn allocation_input(
        &self,
        cores: u32,
        holds_cache: impl Fn(&ExecutorId) -> bool,
    ) -> AllocationInput {
        let of = |(_, executor): (ExecutorIndex, &Executor)| ExecutorUse {
            executor: executor.id.clone(),
            running_cpus: executor.cores - executor.free_cores,
            holds_output: self.outputs.is_holder(&executor.id),
            holds_cache: holds_cache(&executor.id),
            decommissioned: executor.decommissioned,
        };
        AllocationInput {
            needed: self.executors_needed(cores),
            backlogged: self.demand().pending_tasks > 0,
            executors: self.executors.iter().map(of).collect(),
        }
    }

    /// The map output an executor wrote that is still there, to be moved before the executor goes:
    /// shuffle, map partition, status. Takes time in proportion to all outputs.
    pub fn outputs_of<'a>(
        &'a self,
        executor: &'a ExecutorId,
    ) -> impl Iterator<Item = (ShuffleId, u32, &'a MapStatus)> + 'a {
        self.outputs.of(executor)
    }

    /// The stages that run now, for progress bars.
    pub fn progress(&self) -> Vec<StageProgress> {
        let mut progress = Vec::new();
        for stage in self.stages.values() {
            let Some(set) = stage.active_set().and_then(|set| self.task_sets.get(&set)) else {
                continue;
            };
            let waiting = set.tasks.len() - set.done;
            progress.push(StageProgress {
                job: set.job,
                stage: set.stage,
                attempt: set.stage_attempt,
                name: stage.spec.name.clone(),
                total: stage.spec.partitions,
                succeeded: stage.spec.partitions - waiting as u32,
                running: set.running as u32,
                failed: set.failed_attempts,
            });
        }
        progress
    }

    /// Why a job has tasks that wait; `None` if the job is unknown or nothing of it waits.
    pub fn pending_reason(&self, job: JobId) -> Option<PendingReason> {
        let stages = &self.jobs.get(&job)?.stages;
        if stages.iter().any(|stage| self.resubmit.contains(stage)) {
            return Some(PendingReason::Resubmitting);
        }
        let sets = stages.iter().filter_map(|stage| self.stages.get(stage)?.active_set());
        let set = sets.map(|set| &self.task_sets[&set]).find(|set| set.is_runnable())?;
        if self.executors.is_empty() {
            return Some(PendingReason::NoExecutors);
        }
        if self.options.cores_by_offer {
            return Some(PendingReason::AllSlotsTaken);
        }
        if self.executors.iter().all(|(_, e)| e.cores < set.cpus) {
            return Some(PendingReason::ExecutorsTooSmall);
        }
        if self.executors.iter().all(|(_, e)| e.free_cores < set.cpus || e.decommissioned) {
            return Some(PendingReason::AllSlotsTaken);
        }
        let wait = set.locality_wakeup(&self.options).map(PendingReason::LocalityWait);
        wait.or_else(|| self.options.exclusion.map(|_| PendingReason::Excluded))
    }

    /// The settings.
    pub fn options(&self) -> &SchedulerOptions {
        &self.options
    }

    fn say_demand(&mut self, actions: &mut Vec<Action>) {
        let demand = self.demand();
        let wanted = demand.pending_cpus + demand.running_cpus;
        let said = self.demand_said.pending_cpus + self.demand_said.running_cpus;
        let ran_dry = demand.pending_tasks == 0 && self.demand_said.pending_tasks != 0;
        // Cores that left with their task are no use to the next one.
        let more_waits =
            self.options.cores_by_offer && demand.pending_tasks > self.demand_said.pending_tasks;
        if wanted > said || ran_dry || more_waits {
            actions.push(Action::DemandChanged(demand));
        }
        self.demand_said = demand;
    }
}

/// How far a running stage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageProgress {
    /// The job for which it runs first.
    pub job: JobId,
    /// The stage.
    pub stage: StageId,
    /// Its attempt.
    pub attempt: u32,
    /// Its name.
    pub name: Arc<str>,
    /// All partitions of the stage.
    pub total: u32,
    /// Partitions done, those of earlier attempts included.
    pub succeeded: u32,
    /// Attempts running.
    pub running: u32,
    /// Attempts that failed in this stage attempt.
    pub failed: u32,
}

/// Why tasks wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingReason {
    /// No executor has registered.
    NoExecutors,
    /// Executors are there, none has as many cores as one task takes.
    ExecutorsTooSmall,
    /// All slots are taken.
    AllSlotsTaken,
    /// A slot nearer to the input is waited for, until then.
    LocalityWait(Time),
    /// The executors with free slots are excluded for these tasks.
    Excluded,
    /// Lost map output is about to be computed again.
    Resubmitting,
}
