//! The world: executors that run tasks, lose them and themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::checks::Checks;
use super::random::Random;
use crate::{
    Action, Determinism, Event, ExclusionOptions, ExecutorId, ExecutorLoss, FailureKind,
    FetchFailure, FetchFailureScope, JobId, JobProperties, JobSpec, MapOutput, MapOutputFate,
    MapSizes, MapStatus, MovedOutput, PoolOptions, Scheduler, SchedulerOptions, SchedulingMode,
    ShuffleId, SpeculationOptions, StageId, StageKind, StageSpec, TaskDescription, TaskFailure,
    TaskId, TaskLocation, TaskOutcome, Time,
};

/// Steps in which things break; afterwards all must come to its end.
const CHAOS_STEPS: u64 = 400;

/// Steps within which all must have ended. Generous: what hangs, hangs for ever.
const STEPS_LIMIT: u64 = 100_000;

/// A map output: shuffle, map partition, attempt.
pub(super) type Block = (ShuffleId, u32, TaskId);

/// The map outputs of indeterminate stages that something was made from.
pub(super) type Origin = Rc<BTreeSet<Block>>;

/// What a simulation saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimulationReport {
    /// Steps until the end.
    pub steps: u64,
    /// Task attempts launched.
    pub launched: u64,
    /// Executors lost.
    pub executors_lost: u64,
    /// Fetch failures reported.
    pub fetch_failures: u64,
    /// Jobs that succeeded.
    pub jobs_succeeded: u64,
    /// Jobs that failed, as they had to.
    pub jobs_failed: u64,
    /// Jobs that were cancelled.
    pub jobs_cancelled: u64,
}

pub(super) struct Running {
    pub(super) description: TaskDescription,
    pub(super) executor: ExecutorId,
    pub(super) kill_sent: bool,
    /// What the executor was told of the input when the task began.
    inputs: Vec<(ShuffleId, Vec<Option<TaskId>>)>,
}

pub(super) struct World {
    pub(super) scheduler: Scheduler,
    random: Random,
    now: Time,
    /// The host of each.
    executors: BTreeMap<ExecutorId, u64>,
    /// The same, those that are gone included.
    hosts: BTreeMap<ExecutorId, Arc<str>>,
    next_executor: u64,
    pub(super) running: BTreeMap<TaskId, Running>,
    /// The map output that exists, and where.
    blocks: BTreeMap<Block, (ExecutorId, Origin)>,
    /// The stages submitted, as the jobs described them.
    pub(super) stages: BTreeMap<StageId, StageSpec>,
    pub(super) shuffles: BTreeMap<ShuffleId, StageId>,
    jobs: BTreeSet<JobId>,
    retained: Vec<ShuffleId>,
    next_stage: u64,
    next_job: u64,
    ended_tasks: Vec<TaskId>,
    checks: Checks,
    report: SimulationReport,
    trace: Trace,
}

/// What happened, printed if a check fails.
struct Trace {
    seed: u64,
    lines: Vec<String>,
}

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the trace of a failed simulation")]
            {
                let from = self.lines.len().saturating_sub(400);
                eprintln!("{}\nsimulation of seed {}", self.lines[from..].join("\n"), self.seed);
            }
        }
    }
}

/// Runs one world to its end.
///
/// # Panics
/// If the scheduler does what it must not; the trace goes to standard error.
pub fn simulate(seed: u64) -> SimulationReport {
    let mut world = World::new(seed);
    world.run();
    world.report
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let options = options(&mut random);
        Self {
            checks: Checks::new(options.clone()),
            scheduler: Scheduler::new(options),
            random,
            now: Time::default(),
            executors: BTreeMap::new(),
            hosts: BTreeMap::new(),
            next_executor: 0,
            running: BTreeMap::new(),
            blocks: BTreeMap::new(),
            stages: BTreeMap::new(),
            shuffles: BTreeMap::new(),
            jobs: BTreeSet::new(),
            retained: Vec::new(),
            next_stage: 0,
            next_job: 0,
            ended_tasks: Vec::new(),
            report: SimulationReport::default(),
            trace: Trace { seed, lines: Vec::new() },
        }
    }

    fn run(&mut self) {
        for _ in 0..self.random.between(1, 4) {
            self.add_executor();
        }
        for _ in 0..self.random.between(1, 3) {
            self.submit_job();
        }
        loop {
            self.report.steps += 1;
            assert!(self.report.steps < STEPS_LIMIT, "no end after {STEPS_LIMIT} steps");
            let chaos = self.report.steps < CHAOS_STEPS;
            if !chaos && self.jobs.is_empty() && self.running.is_empty() {
                break;
            }
            self.step(chaos);
        }
        for shuffle in std::mem::take(&mut self.retained) {
            self.tell(Event::ShuffleReleased { shuffle });
        }
        self.checks.at_end(&self.scheduler);
    }

    fn step(&mut self, chaos: bool) {
        match self.random.below(100) {
            0..2 if chaos => self.lose_executor(),
            2..5 if chaos && self.executors.len() < 6 => self.add_executor(),
            5..7 if chaos && self.jobs.len() < 4 => self.submit_job(),
            7 if chaos => self.cancel_something(),
            8 if chaos => self.lose_block(),
            9 if chaos => self.repeat_an_end(),
            10 if chaos && !self.retained.is_empty() => {
                let at = self.random.below(self.retained.len() as u64) as usize;
                let shuffle = self.retained.swap_remove(at);
                self.tell(Event::ShuffleReleased { shuffle });
            }
            11 if chaos => self.decommission(),
            12 if chaos => self.move_block(),
            13 if chaos => self.find_damage(),
            13..16 => self.ask_to_commit(),
            16..90 if !self.running.is_empty() => self.end_a_task(chaos),
            _ => self.pass_time(chaos),
        }
    }

    // ---- what happens --------------------------------------------------------------------------

    fn pass_time(&mut self, chaos: bool) {
        if self.executors.is_empty() || self.all_excluded_for_good(chaos) {
            self.add_executor();
            return;
        }
        let Some(at) = self.scheduler.next_wakeup() else {
            if self.running.is_empty() && !self.jobs.is_empty() {
                // Nothing runs and nothing is waited for: new executors must help, or it is stuck.
                let before = self.report.launched;
                self.add_executor();
                self.add_executor();
                let waits = self.report.launched == before && !self.jobs.is_empty();
                let stuck = waits && self.scheduler.next_wakeup().is_none();
                assert!(!stuck, "stuck: jobs {:?} wait for nothing", self.jobs);
            }
            return;
        };
        let jitter = if chaos { self.random.below(3) } else { 0 };
        self.now = self.now.max(at) + Duration::from_millis(jitter);
        self.tell(Event::Wakeup);
    }

    /// With exclusion, executors may be there and none be usable.
    fn all_excluded_for_good(&mut self, chaos: bool) -> bool {
        self.running.is_empty() && !self.jobs.is_empty() && self.random.percent(10) && !chaos
    }

    fn add_executor(&mut self) {
        let executor = ExecutorId::from(format!("e{}", self.next_executor));
        self.next_executor += 1;
        // Every second one takes every task.
        let least = 1 + self.next_executor % 2;
        let (host, cores) = (self.random.below(3), self.random.between(least, 3) as u32);
        self.executors.insert(executor.clone(), host);
        self.hosts.insert(executor.clone(), host_name(host));
        self.checks.executor_added(executor.clone(), cores);
        self.tell(Event::ExecutorAdded { executor, host: host_name(host), cores });
    }

    fn lose_executor(&mut self) {
        let Some(executor) = self.some_executor() else { return };
        let Some(gone) = self.executors.remove(&executor) else { return };
        self.report.executors_lost += 1;
        let map_output = match self.random.below(6) {
            0 => MapOutputFate::Kept,
            1 => MapOutputFate::HostLost,
            _ => MapOutputFate::Lost,
        };
        let executors = &self.executors;
        match map_output {
            MapOutputFate::Kept => {}
            MapOutputFate::Lost => self.blocks.retain(|_, (at, _)| *at != executor),
            MapOutputFate::HostLost => self.blocks.retain(|_, (at, _)| {
                *at != executor && executors.get(at).is_some_and(|host| *host != gone)
            }),
        }
        let caused_by_app = self.random.percent(30);
        let on_it = self.running.iter().filter(|(_, r)| r.executor == executor);
        let lost: Vec<TaskId> = on_it.map(|(task, _)| *task).collect();
        for task in lost {
            if let Some(run) = self.running.remove(&task) {
                self.checks.attempt_ended(task, &run, caused_by_app);
                self.ended_tasks.push(task);
            }
        }
        self.checks.executor_removed(&executor);
        let message = Arc::from("simulated");
        let loss = ExecutorLoss { message, caused_by_app, map_output };
        self.tell(Event::ExecutorLost { executor, loss });
    }

    fn decommission(&mut self) {
        if self.executors.len() > 1
            && let Some(executor) = self.some_executor()
        {
            self.checks.decommissioned(&executor);
            self.tell(Event::ExecutorDecommissioned { executor });
        }
    }

    /// A disk error: the block is gone and nobody knows.
    fn lose_block(&mut self) {
        let at = self.random.below(self.blocks.len() as u64) as usize;
        if let Some(block) = self.blocks.keys().nth(at).copied() {
            self.trace.lines.push(format!("-- lost block {block:?}"));
            self.blocks.remove(&block);
        }
    }

    /// Blocks of a shuffle turn out to be gone, or one that was replaced long ago, or is fine.
    fn find_damage(&mut self) {
        let at = self.random.below(self.blocks.len() as u64) as usize;
        let Some((shuffle, ..)) = self.blocks.keys().nth(at).copied() else { return };
        let of = self.blocks.keys().filter(|block| block.0 == shuffle);
        let mut damaged: Vec<Block> = of.copied().collect();
        damaged.retain(|_| self.random.percent(30));
        for block in &damaged {
            self.blocks.remove(block);
        }
        let outputs = damaged.iter().map(|(_, map, task)| (*map, *task)).collect();
        self.tell(Event::MapOutputDamaged { shuffle, outputs });
    }

    /// An executor that is about to go has its output copied to another.
    fn move_block(&mut self) {
        let at = self.random.below(self.blocks.len() as u64) as usize;
        let Some(block) = self.blocks.keys().nth(at).copied() else { return };
        let Some(executor) = self.some_executor() else { return };
        let (shuffle, map_partition, task) = block;
        if let Some((place, _)) = self.blocks.get_mut(&block) {
            place.clone_from(&executor);
        }
        let address = Arc::from(executor.as_str());
        let moved = MovedOutput { shuffle, map_partition, task, executor, address };
        self.tell(Event::MapOutputMoved(moved));
    }

    fn cancel_something(&mut self) {
        let at = self.random.below(self.jobs.len() as u64) as usize;
        let Some(job) = self.jobs.iter().nth(at).copied() else { return };
        let reason = Arc::from("simulated");
        match self.random.below(4) {
            0 => {
                let group = group_of(job);
                let members: Vec<JobId> =
                    self.jobs.iter().filter(|job| group_of(**job) == group).copied().collect();
                members.into_iter().for_each(|job| self.checks.cancelled(job));
                self.tell(Event::JobGroupCancelled { group, reason });
            }
            1 => {
                self.checks.cancelled(job);
                self.tell(Event::JobTagCancelled { tag: tag_of(job), reason });
            }
            _ => {
                self.checks.cancelled(job);
                self.tell(Event::JobCancelled { job, reason });
            }
        }
    }

    /// A late message of an attempt that ended before or went with its executor.
    fn repeat_an_end(&mut self) {
        let at = self.random.below(self.ended_tasks.len() as u64) as usize;
        let Some(task) = self.ended_tasks.get(at).copied() else { return };
        let outcome = match self.random.below(3) {
            0 => TaskOutcome::Result,
            1 => TaskOutcome::Killed { reason: Arc::from("late") },
            _ => TaskOutcome::MapOutput(MapOutput {
                address: Arc::from("nowhere"),
                sizes: MapSizes::new(&[1]),
            }),
        };
        self.checks.expect_silence();
        self.tell(Event::TaskFinished { task, outcome });
        self.checks.silence_over();
    }

    fn ask_to_commit(&mut self) {
        let at = self.random.below(self.running.len() as u64) as usize;
        if let Some(task) = self.running.keys().nth(at).copied() {
            self.tell(Event::CommitRequested { task });
        }
    }

    // ---- tasks ---------------------------------------------------------------------------------

    fn end_a_task(&mut self, chaos: bool) {
        let at = self.random.below(self.running.len() as u64) as usize;
        let Some(task) = self.running.keys().nth(at).copied() else { return };
        let Some(run) = self.running.remove(&task) else { return };
        self.now = self.now + Duration::from_millis(self.random.below(50));
        let (outcome, counted) = self.outcome(task, &run, chaos);
        self.checks.attempt_ended(task, &run, counted);
        self.ended_tasks.push(task);
        self.trace.lines.push(format!("-- TID {task} ends: {outcome:?}"));
        self.tell(Event::TaskFinished { task, outcome });
    }

    fn outcome(&mut self, task: TaskId, run: &Running, chaos: bool) -> (TaskOutcome, bool) {
        if run.kill_sent && self.random.percent(70) {
            return (TaskOutcome::Killed { reason: Arc::from("told to") }, false);
        }
        if chaos && self.random.percent(6) {
            let kind = match self.random.below(10) {
                0 => FailureKind::Fatal,
                1..4 => FailureKind::NotCounted,
                _ => FailureKind::Counted,
            };
            if kind == FailureKind::Fatal {
                self.checks.fatal(run.description.stage);
            }
            let failure = TaskFailure { message: Arc::from("boom"), payload: Arc::from([1]), kind };
            return (TaskOutcome::Failed(failure), kind == FailureKind::Counted);
        }
        match self.read_inputs(run) {
            Ok(mut origin) => {
                let spec = &self.stages[&run.description.stage];
                let StageKind::ShuffleMap { shuffle } = spec.kind else {
                    self.checks.made_result(task, Rc::new(origin));
                    return (TaskOutcome::Result, false);
                };
                let block = (shuffle, run.description.partition, task);
                if spec.determinism == Determinism::Indeterminate {
                    origin.insert(block);
                }
                let address = Arc::from(run.executor.as_str());
                self.blocks.insert(block, (run.executor.clone(), Rc::new(origin)));
                let sizes = MapSizes::new(&[1, 2, 3]);
                (TaskOutcome::MapOutput(MapOutput { address, sizes }), false)
            }
            Err(failure) => {
                self.report.fetch_failures += 1;
                self.checks.fetch_failed(run.description.stage);
                (TaskOutcome::FetchFailed(failure), false)
            }
        }
    }

    fn read_inputs(&mut self, run: &Running) -> Result<BTreeSet<Block>, FetchFailure> {
        let mut origin = BTreeSet::new();
        for (shuffle, statuses) in &run.inputs {
            for (map_partition, status) in (0_u32..).zip(statuses) {
                if !reads(*shuffle, map_partition, run.description.partition) {
                    continue;
                }
                let found = status.and_then(|t| self.blocks.get(&(*shuffle, map_partition, t)));
                match found {
                    Some((_, from)) => origin.extend(from.iter().copied()),
                    None => {
                        let scope = if self.random.percent(50) {
                            FetchFailureScope::Block
                        } else {
                            FetchFailureScope::Address
                        };
                        return Err(FetchFailure {
                            shuffle: *shuffle,
                            map_partition,
                            map_task: *status,
                            scope,
                            message: Arc::from("not there"),
                        });
                    }
                }
            }
        }
        Ok(origin)
    }

    // ---- jobs ----------------------------------------------------------------------------------

    fn submit_job(&mut self) {
        let job = JobId(self.next_job);
        self.next_job += 1;
        let mut stages: Vec<StageSpec> = Vec::new();
        let mut readable: Vec<ShuffleId> = self.retained.clone();
        let count = self.random.between(1, 5);
        for number in 0..count {
            let stage = StageId(self.next_stage);
            let shuffle = ShuffleId(self.next_stage);
            self.next_stage += 1;
            let mut parents: Vec<ShuffleId> = Vec::new();
            for parent in &readable {
                if self.random.percent(40) {
                    parents.push(*parent);
                }
            }
            // The final stage reads whatever nobody else does, so that all stages are needed.
            let last = number + 1 == count;
            if last && count > 1 {
                let read: BTreeSet<ShuffleId> =
                    stages.iter().flat_map(|s| s.parents.iter().copied()).collect();
                let unread =
                    stages.iter().filter_map(StageSpec::shuffle).filter(|s| !read.contains(s));
                parents.extend(unread);
                parents.sort_unstable();
                parents.dedup();
            }
            let partitions = self.random.below(7) as u32;
            let mut spec = if last && self.random.percent(85) {
                StageSpec::result(stage, partitions, parents)
            } else {
                readable.push(shuffle);
                StageSpec::shuffle_map(stage, shuffle, partitions, parents)
            };
            spec.determinism = match self.random.below(6) {
                0 => Determinism::Indeterminate,
                1 => Determinism::Unordered,
                _ => Determinism::Determinate,
            };
            if self.random.percent(20) {
                spec.cpus = Some(2);
            }
            if self.random.percent(30) {
                spec.preferences = (0..partitions).map(|_| self.preferences()).collect();
            }
            stages.push(spec);
        }
        let retain_shuffles = self.random.percent(30);
        let Some(last) = stages.last() else { return };
        let final_stage = last.stage;
        let pool = self.random.percent(50).then(|| Arc::from("a"));
        let properties = JobProperties {
            retain_shuffles,
            pool,
            group: Some(group_of(job)),
            tags: vec![tag_of(job)],
            description: None,
        };
        for spec in &stages {
            self.stages.insert(spec.stage, spec.clone());
            if let Some(shuffle) = spec.shuffle() {
                self.shuffles.insert(shuffle, spec.stage);
                if retain_shuffles {
                    self.retained.push(shuffle);
                }
            }
        }
        self.jobs.insert(job);
        self.checks.submitted(job, final_stage);
        self.tell(Event::JobSubmitted(JobSpec { job, stages, final_stage, properties }));
    }

    fn preferences(&mut self) -> Vec<TaskLocation> {
        match self.random.below(4) {
            0 => Vec::new(),
            1 => vec![TaskLocation::Executor(
                self.some_executor().unwrap_or_else(|| ExecutorId::from("nobody")),
            )],
            _ => vec![TaskLocation::Host(host_name(self.random.below(4)))],
        }
    }

    fn some_executor(&mut self) -> Option<ExecutorId> {
        let at = self.random.below(self.executors.len() as u64) as usize;
        self.executors.keys().nth(at).cloned()
    }

    // ---- talk ----------------------------------------------------------------------------------

    fn tell(&mut self, event: Event) {
        if !matches!(event, Event::TaskFinished { .. }) {
            self.trace.lines.push(format!("{:?} {event:?}", self.now.0));
        }
        let before = self.outputs_there();
        let told = event.clone();
        let actions = self.scheduler.handle(event, self.now);
        self.scheduler.check();
        self.check_forgotten(&told, &before);
        for action in actions {
            self.trace.lines.push(format!("    {action}"));
            self.perform(action);
        }
    }

    /// The map output the scheduler knows of.
    fn outputs_there(&self) -> Vec<(ShuffleId, u32, MapStatus)> {
        let of = |shuffle: &ShuffleId| {
            let statuses = self.scheduler.map_outputs(*shuffle).map(|o| o.statuses());
            let there = (0..).zip(statuses.unwrap_or_default());
            let there = there.filter_map(|(partition, s)| Some((partition, s.clone()?)));
            there.map(|(partition, status)| (*shuffle, partition, status)).collect::<Vec<_>>()
        };
        self.shuffles.keys().flat_map(of).collect()
    }

    /// Output is forgotten, and so computed again, only if what happened means that it is lost, or
    /// if it was made from other rows than the stage gives now.
    fn check_forgotten(&self, event: &Event, before: &[(ShuffleId, u32, MapStatus)]) {
        for (shuffle, partition, status) in before {
            let Some(outputs) = self.scheduler.map_outputs(*shuffle) else { continue };
            let now = outputs.statuses()[*partition as usize].as_ref();
            if now.is_some_and(|now| now.task == status.task) || self.may_differ(*shuffle) {
                continue;
            }
            let lost = match event {
                Event::ExecutorLost { executor, loss } => match loss.map_output {
                    MapOutputFate::Kept => false,
                    MapOutputFate::Lost => status.executor == *executor,
                    MapOutputFate::HostLost => {
                        self.hosts.get(executor).is_some_and(|host| *host == status.host)
                    }
                },
                Event::TaskFinished { outcome: TaskOutcome::FetchFailed(failure), .. } => {
                    before.iter().any(|(of, partition, failed)| {
                        (*of, *partition) == (failure.shuffle, failure.map_partition)
                            && Some(failed.task) == failure.map_task
                            && failed.address == status.address
                    })
                }
                Event::MapOutputDamaged { shuffle: of, outputs } => {
                    of == shuffle && outputs.contains(&(*partition, status.task))
                }
                _ => false,
            };
            assert!(lost, "output {partition} of shuffle {shuffle} forgotten at {event:?}");
        }
    }

    /// Whether a second run of the stage, or of one before it, may give other rows.
    fn may_differ(&self, shuffle: ShuffleId) -> bool {
        let Some(spec) = self.shuffles.get(&shuffle).and_then(|id| self.stages.get(id)) else {
            return false;
        };
        spec.determinism == Determinism::Indeterminate
            || spec.parents.iter().any(|parent| self.may_differ(*parent))
    }

    fn perform(&mut self, action: Action) {
        self.checks.saw(&action);
        match action {
            Action::LaunchTask { executor, task: description } => {
                self.report.launched += 1;
                let spec = &self.stages[&description.stage];
                let told = |shuffle: &ShuffleId| {
                    let outputs = self.scheduler.map_outputs(*shuffle);
                    let statuses = outputs.map(|o| o.statuses()).unwrap_or_default();
                    (*shuffle, statuses.iter().map(|s| s.as_ref().map(|s| s.task)).collect())
                };
                let inputs = spec.parents.iter().map(told).collect();
                let run = Running { description, executor, kill_sent: false, inputs };
                self.checks.launched(&run, &self.scheduler, spec);
                self.running.insert(run.description.task, run);
            }
            Action::KillTask { task, .. } => {
                if let Some(run) = self.running.get_mut(&task) {
                    run.kill_sent = true;
                }
            }
            Action::JobFinished { job, outcome } => {
                assert!(self.jobs.remove(&job), "job {job} ended twice");
                let partitions = |stage: StageId| self.stages[&stage].partitions;
                self.checks.job_finished(job, &outcome, partitions, &mut self.report);
            }
            Action::ShuffleReleased { shuffle } => {
                self.blocks.retain(|(of, _, _), _| *of != shuffle);
                for run in self.running.values().filter(|run| !run.kill_sent) {
                    let reads = self.stages[&run.description.stage].parents.contains(&shuffle);
                    assert!(
                        !reads,
                        "shuffle {shuffle} released, TID {} reads it",
                        run.description.task
                    );
                }
            }
            Action::StageSubmitted { .. }
            | Action::StageCompleted { .. }
            | Action::ResultReady { .. }
            | Action::CommitAnswer { .. }
            | Action::StageReleased { .. }
            | Action::DemandChanged(_) => {}
        }
    }
}

/// Whether a map output has rows for a reader: not every one has for all, so that some readers get
/// along without output that others miss.
fn reads(shuffle: ShuffleId, map_partition: u32, partition: u32) -> bool {
    let mix = shuffle.0 * 7 + u64::from(map_partition) * 5 + u64::from(partition) * 3;
    !mix.is_multiple_of(2)
}

/// Two jobs share a group; a tag is one job's.
fn group_of(job: JobId) -> Arc<str> {
    Arc::from(format!("g{}", job.0 / 2))
}

fn tag_of(job: JobId) -> Arc<str> {
    Arc::from(format!("t{}", job.0))
}

fn host_name(host: u64) -> Arc<str> {
    Arc::from(format!("h{host}"))
}

fn options(random: &mut Random) -> SchedulerOptions {
    let mut options = SchedulerOptions {
        max_failures: random.between(1, 4) as u32,
        max_consecutive_stage_attempts: random.between(2, 4) as u32,
        resubmit_delay: Duration::from_millis(random.below(200)),
        locality_wait_process: Duration::from_millis(random.below(100)),
        locality_wait_node: Duration::from_millis(random.below(100)),
        ..SchedulerOptions::default()
    };
    if random.percent(30) {
        options.mode = SchedulingMode::Fair;
        let pool = PoolOptions { weight: 2, minimum_share: 1, ..PoolOptions::default() };
        options.pools.insert(Arc::from("a"), pool);
    }
    if random.percent(40) {
        options.speculation = Some(SpeculationOptions {
            multiplier: 1.2,
            quantile: 0.5,
            ..SpeculationOptions::default()
        });
    }
    if random.percent(20) {
        options.exclusion = Some(ExclusionOptions {
            timeout: Duration::from_millis(random.between(100, 2000)),
            unschedulable_timeout: Duration::from_millis(random.between(0, 500)),
            ..ExclusionOptions::default()
        });
    }
    options
}
