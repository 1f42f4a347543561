//! The tasks of one stage attempt (Spark's `TaskSetManager`): which wait, run, are done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::action::Locality;
use crate::exclusion::StageExclusion;
use crate::executors::{Executor, Executors};
use crate::ids::{ExecutorId, JobId, StageId, Time};
use crate::job::{StageSpec, TaskLocation};
use crate::options::{ExclusionOptions, SchedulerOptions, SpeculationOptions};

/// A task set's name; never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct TaskSetId(pub(crate) u64);

/// One task of the set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Task {
    pub(crate) successful: bool,
    /// Its partition's work is accounted for although this set's attempts did not finish it: it
    /// failed to fetch and belongs to the stage's next attempt.
    pub(crate) given_up: bool,
    pub(crate) copies_running: u32,
    /// Attempts made so far in this set; the next attempt's number.
    pub(crate) attempts: u32,
    /// Failures that count, those in earlier attempts of the stage included.
    pub(crate) failures: u32,
    /// Is in the list of tasks that get a speculative copy.
    pub(crate) speculatable: bool,
}

impl Task {
    fn waits(&self) -> bool {
        !self.successful && !self.given_up && self.copies_running == 0
    }
}

/// The tasks of one stage attempt.
#[derive(Debug)]
pub(crate) struct TaskSet {
    pub(crate) id: TaskSetId,
    pub(crate) stage: StageId,
    pub(crate) stage_attempt: u32,
    /// The job by which it is ordered: the earliest that needs the stage.
    pub(crate) job: JobId,
    pub(crate) pool: Option<Arc<str>>,
    pub(crate) cpus: u32,
    /// The partition of each task.
    pub(crate) partitions: Vec<u32>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) waiting: usize,
    pub(crate) running: usize,
    pub(crate) done: usize,
    pub(crate) failed_attempts: u32,
    /// Launches nothing more; its running tasks may still succeed.
    pub(crate) zombie: bool,
    /// Input is missing and being computed again; nothing is launched until it is there.
    pub(crate) blocked: bool,
    /// Stands in the scheduler's list of sets that could use a slot.
    pub(crate) listed: bool,
    /// Run times of successful attempts, for speculation; only kept if speculation is on.
    pub(crate) run_times: Vec<Duration>,
    pub(crate) speculatable: VecDeque<u32>,
    pub(crate) exclusion: StageExclusion,
    /// Since when a task of it has had no executor that may take it.
    pub(crate) unschedulable_since: Option<Time>,
    preferences: Vec<Vec<TaskLocation>>,
    pending: PendingTasks,
    delay: DelayScheduling,
}

/// The waiting tasks by where they would like to run. The lists are stacks, and stale entries are
/// dropped when met: a task stands in several lists and is launched from one.
#[derive(Debug, Default)]
struct PendingTasks {
    by_executor: IndexMap<ExecutorId, Vec<u32>>,
    by_host: IndexMap<Arc<str>, Vec<u32>>,
    without_preference: Vec<u32>,
    with_preference: Vec<u32>,
}

/// The locality level allowed now (Spark's delay scheduling).
#[derive(Debug)]
struct DelayScheduling {
    levels: Vec<Locality>,
    current: usize,
    since: Time,
    /// An offer was refused for locality since the timer was last reset.
    refused: bool,
}

/// An attempt the set agrees to launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    pub(crate) index: u32,
    pub(crate) locality: Locality,
    pub(crate) speculative: bool,
}

/// What a new set is made from.
pub(crate) struct TaskSetOptions<'a> {
    pub(crate) id: TaskSetId,
    pub(crate) stage_attempt: u32,
    pub(crate) job: JobId,
    pub(crate) pool: Option<Arc<str>>,
    pub(crate) cpus: u32,
    pub(crate) partitions: Vec<u32>,
    pub(crate) spec: &'a StageSpec,
    /// Counted failures of each partition in earlier attempts of the stage.
    pub(crate) earlier_failures: &'a IndexMap<u32, u32>,
}

impl TaskSet {
    pub(crate) fn new(options: TaskSetOptions<'_>, executors: &Executors, now: Time) -> Self {
        let TaskSetOptions { partitions, spec, earlier_failures, .. } = options;
        let preferences = if spec.preferences.is_empty() {
            Vec::new()
        } else {
            let of = |p: &u32| spec.preferences.get(*p as usize).cloned().unwrap_or_default();
            partitions.iter().map(of).collect()
        };
        let failures = |p: &u32| earlier_failures.get(p).copied().unwrap_or(0);
        let tasks: Vec<Task> =
            partitions.iter().map(|p| Task { failures: failures(p), ..Task::default() }).collect();
        let mut set = Self {
            id: options.id,
            stage: spec.stage,
            stage_attempt: options.stage_attempt,
            job: options.job,
            pool: options.pool,
            cpus: options.cpus,
            waiting: tasks.len(),
            partitions,
            tasks,
            running: 0,
            done: 0,
            failed_attempts: 0,
            zombie: false,
            blocked: false,
            listed: false,
            run_times: Vec::new(),
            speculatable: VecDeque::new(),
            exclusion: StageExclusion::default(),
            unschedulable_since: None,
            preferences,
            pending: PendingTasks::default(),
            delay: DelayScheduling {
                levels: vec![Locality::Any],
                current: 0,
                since: now,
                refused: false,
            },
        };
        // The lists are stacks: the first task goes on last.
        for index in (0..set.tasks.len() as u32).rev() {
            set.enlist(index);
        }
        set.executors_changed(executors);
        set
    }

    /// Whether it could use a slot now.
    pub(crate) fn is_runnable(&self) -> bool {
        !self.zombie && !self.blocked && (self.waiting > 0 || !self.speculatable.is_empty())
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done == self.tasks.len()
    }

    /// The task of a partition, if the set has it.
    pub(crate) fn index_of(&self, partition: u32) -> Option<u32> {
        // Partitions are in ascending order from the start.
        self.partitions.binary_search(&partition).ok().map(|index| index as u32)
    }

    /// Whether no task has a preference: then every executor is as good as any other.
    pub(crate) fn has_preferences(&self) -> bool {
        !self.preferences.is_empty()
    }

    // ---- life of a task ------------------------------------------------------------------------

    pub(crate) fn launched(&mut self, index: u32, speculative: bool) -> u32 {
        let task = &mut self.tasks[index as usize];
        if task.waits() {
            self.waiting -= 1;
        }
        task.copies_running += 1;
        let attempt = task.attempts;
        task.attempts += 1;
        self.running += 1;
        debug_assert!(speculative || task.copies_running == 1);
        attempt
    }

    /// An attempt ended, however; call after noting success or giving up, so that a task which is
    /// done does not wait again.
    pub(crate) fn attempt_ended(&mut self, index: u32) {
        self.forget_slow(index);
        let task = &mut self.tasks[index as usize];
        task.copies_running -= 1;
        self.running -= 1;
        if task.waits() {
            self.waiting += 1;
            if !self.zombie {
                self.enlist(index);
            }
        }
    }

    /// The partition is done, by an attempt of this set or of an earlier one. Says whether that is new.
    pub(crate) fn succeeded(&mut self, index: u32) -> bool {
        self.forget_slow(index);
        let task = &mut self.tasks[index as usize];
        if task.successful {
            return false;
        }
        if task.waits() {
            self.waiting -= 1;
        }
        task.successful = true;
        self.done += 1;
        true
    }

    /// The task goes over to the stage's next attempt.
    pub(crate) fn give_up(&mut self, index: u32) {
        let task = &mut self.tasks[index as usize];
        if task.waits() {
            self.waiting -= 1;
        }
        task.given_up = true;
    }

    /// What a successful task made is lost: it must run again (Spark's `Resubmitted`).
    pub(crate) fn resubmit(&mut self, index: u32) {
        let task = &mut self.tasks[index as usize];
        if !task.successful {
            return;
        }
        task.successful = false;
        self.done -= 1;
        if task.waits() {
            self.waiting += 1;
            self.enlist(index);
        }
    }

    // ---- slow tasks ----------------------------------------------------------------------------

    /// Whether so many tasks are done that the others can be called slow.
    pub(crate) fn may_have_slow_tasks(&self, options: &SpeculationOptions) -> bool {
        let tasks = self.tasks.len();
        let enough = ((tasks as f64 * options.quantile) as usize).max(1);
        !self.zombie && tasks > 1 && self.running > 0 && self.done >= enough
    }

    /// How long a task may run before it is called slow; `None` if nothing is known of the set.
    pub(crate) fn slow_threshold(&mut self, options: &SpeculationOptions) -> Option<Duration> {
        if self.run_times.is_empty() {
            return None;
        }
        let middle = self.run_times.len() / 2;
        let (_, median, _) = self.run_times.select_nth_unstable(middle);
        Some(median.mul_f64(options.multiplier).max(options.min_task_runtime))
    }

    /// The task gets a second copy as soon as an executor is free for it.
    pub(crate) fn speculate(&mut self, index: u32) {
        let task = &mut self.tasks[index as usize];
        if !task.speculatable && !task.successful && !task.given_up && task.copies_running == 1 {
            task.speculatable = true;
            self.speculatable.push_back(index);
        }
    }

    fn forget_slow(&mut self, index: u32) {
        if std::mem::take(&mut self.tasks[index as usize].speculatable) {
            self.speculatable.retain(|slow| *slow != index);
        }
    }

    /// Whether a task waits to be launched.
    pub(crate) fn waits(&self, index: u32) -> bool {
        self.tasks[index as usize].waits()
    }

    /// Any task that waits to be launched.
    pub(crate) fn some_waiting(&self) -> Option<u32> {
        self.tasks.iter().position(Task::waits).map(|index| index as u32)
    }

    fn enlist(&mut self, index: u32) {
        let Some(locations) = self.preferences.get(index as usize).filter(|l| !l.is_empty()) else {
            self.pending.without_preference.push(index);
            return;
        };
        for location in locations {
            match location {
                TaskLocation::Executor(executor) => {
                    self.pending.by_executor.entry(executor.clone()).or_default().push(index);
                }
                TaskLocation::Host(host) => {
                    self.pending.by_host.entry(host.clone()).or_default().push(index);
                }
            }
        }
        self.pending.with_preference.push(index);
    }

    // ---- offers --------------------------------------------------------------------------------

    /// The levels at which the set may launch now, nearest first.
    pub(crate) fn allowed_levels(
        &mut self,
        options: &SchedulerOptions,
        now: Time,
    ) -> Vec<Locality> {
        if !self.has_preferences() {
            return vec![Locality::NoPref];
        }
        let allowed = self.allowed_level(options, now);
        [Locality::ProcessLocal, Locality::NodeLocal, Locality::NoPref, Locality::Any]
            .into_iter()
            .filter(|level| *level <= allowed || *level == Locality::NoPref)
            .collect()
    }

    /// The task to launch on this executor at exactly this level. Does not change the task.
    pub(crate) fn offer(
        &mut self,
        executor: &Executor,
        level: Locality,
        exclusion: Option<&ExclusionOptions>,
    ) -> Option<Offered> {
        let list = match level {
            Locality::ProcessLocal => self.pending.by_executor.get_mut(&executor.id)?,
            Locality::NodeLocal => self.pending.by_host.get_mut(&executor.host)?,
            Locality::NoPref => &mut self.pending.without_preference,
            Locality::Any => &mut self.pending.with_preference,
        };
        let failures = &self.exclusion;
        let usable =
            |index| exclusion.is_none_or(|options| failures.allows_task(index, executor, options));
        let index = pop_waiting(list, &self.tasks, usable)?;
        Some(Offered { index, locality: level, speculative: false })
    }

    /// A task that is slow elsewhere and shall get a second copy on this executor, where `there`
    /// run. (Spark asks for another host. Executors that share a host are the rule in
    /// `local-cluster`, and one of them may be the slow one.)
    pub(crate) fn offer_speculative(
        &mut self,
        executor: &Executor,
        there: &[u32],
        exclusion: Option<&ExclusionOptions>,
    ) -> Option<Offered> {
        let failures = &self.exclusion;
        let usable = |index: &u32| {
            !there.contains(index)
                && exclusion.is_none_or(|options| failures.allows_task(*index, executor, options))
        };
        let at = self.speculatable.iter().position(usable)?;
        let index = self.speculatable.remove(at)?;
        self.tasks[index as usize].speculatable = false;
        Some(Offered { index, locality: Locality::Any, speculative: true })
    }

    // ---- delay scheduling ----------------------------------------------------------------------

    /// Which levels have tasks whose place lives; to be called whenever executors come or go.
    pub(crate) fn executors_changed(&mut self, executors: &Executors) {
        if !self.has_preferences() {
            return;
        }
        let before = self.delay.levels[self.delay.current];
        let mut levels = Vec::with_capacity(3);
        if self.pending.by_executor.keys().any(|id| executors.contains(id)) {
            levels.push(Locality::ProcessLocal);
        }
        if self.pending.by_host.keys().any(|host| executors.has_host(host)) {
            levels.push(Locality::NodeLocal);
        }
        levels.push(Locality::Any);
        // A nearer level that appeared is tried; one that vanished is not waited for.
        let appeared = levels.iter().position(|l| *l < before && !self.delay.levels.contains(l));
        let kept = levels.iter().position(|l| *l >= before).unwrap_or(levels.len() - 1);
        self.delay.current = appeared.unwrap_or(kept);
        self.delay.levels = levels;
    }

    fn allowed_level(&mut self, options: &SchedulerOptions, now: Time) -> Locality {
        while self.delay.current + 1 < self.delay.levels.len() {
            let level = self.delay.levels[self.delay.current];
            let wait = locality_wait(options, level);
            if !self.has_waiting_at(level) {
                self.delay.since = now;
            } else if now.since(self.delay.since) >= wait {
                self.delay.since = self.delay.since + wait;
            } else {
                break;
            }
            self.delay.current += 1;
        }
        self.delay.levels[self.delay.current]
    }

    fn has_waiting_at(&mut self, level: Locality) -> bool {
        let tasks = &self.tasks;
        let has = |list: &mut Vec<u32>| {
            while list.last().is_some_and(|i| !tasks[*i as usize].waits()) {
                list.pop();
            }
            !list.is_empty()
        };
        match level {
            Locality::ProcessLocal => self.pending.by_executor.values_mut().any(has),
            Locality::NodeLocal => self.pending.by_host.values_mut().any(has),
            Locality::NoPref | Locality::Any => true,
        }
    }

    /// A round of offers is over: the nearest level something was launched at, and whether free
    /// slots were left because of their distance. The timer starts again only if none was since it
    /// last started (Spark 3.1, SPARK-18886): otherwise a trickle of local launches starves the rest.
    pub(crate) fn round_over(
        &mut self,
        nearest: Option<Locality>,
        refused: bool,
        full: bool,
        now: Time,
    ) {
        if !self.has_preferences() {
            return;
        }
        if refused && self.waiting > 0 && self.delay.current + 1 < self.delay.levels.len() {
            self.delay.refused = true;
            return;
        }
        if full {
            self.delay.refused = false;
        }
        let Some(level) = nearest.filter(|_| !self.delay.refused) else { return };
        self.delay.since = now;
        if let Some(at) = self.delay.levels.iter().position(|l| *l == level) {
            self.delay.current = at;
        }
    }

    /// When the next level will be allowed, if free slots are being refused for locality.
    pub(crate) fn locality_wakeup(&self, options: &SchedulerOptions) -> Option<Time> {
        if !self.is_runnable()
            || !self.has_preferences()
            || self.delay.current + 1 == self.delay.levels.len()
        {
            return None;
        }
        let level = self.delay.levels[self.delay.current];
        Some(self.delay.since + locality_wait(options, level))
    }

    pub(crate) fn check(&self) {
        let waiting = self.tasks.iter().filter(|t| t.waits()).count();
        assert_eq!(self.waiting, waiting, "waiting tasks of {:?}", self.id);
        let running: u32 = self.tasks.iter().map(|t| t.copies_running).sum();
        assert_eq!(self.running, running as usize, "running tasks of {:?}", self.id);
        let done = self.tasks.iter().filter(|t| t.successful).count();
        assert_eq!(self.done, done, "finished tasks of {:?}", self.id);
        let slow = self.tasks.iter().filter(|t| t.speculatable).count();
        assert_eq!(self.speculatable.len(), slow, "slow tasks of {:?}", self.id);
        assert!(self.tasks.iter().all(|t| t.copies_running <= 2), "copies in {:?}", self.id);
        assert!(self.partitions.is_sorted(), "partitions of {:?} are in order", self.id);
    }
}

/// Takes the topmost task that waits and is usable; drops what waits no more.
fn pop_waiting(list: &mut Vec<u32>, tasks: &[Task], usable: impl Fn(u32) -> bool) -> Option<u32> {
    let mut at = list.len();
    while at > 0 {
        at -= 1;
        let index = list[at];
        if !tasks[index as usize].waits() {
            list.remove(at);
        } else if usable(index) {
            list.remove(at);
            return Some(index);
        }
    }
    None
}

fn locality_wait(options: &SchedulerOptions, level: Locality) -> Duration {
    match level {
        Locality::ProcessLocal => options.locality_wait_process,
        Locality::NodeLocal => options.locality_wait_node,
        Locality::NoPref | Locality::Any => Duration::ZERO,
    }
}
