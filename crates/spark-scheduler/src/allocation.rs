//! How many executors an application should have, and which may go (Spark's
//! `ExecutorAllocationManager` and `ExecutorMonitor`, `spark.dynamicAllocation.*`).
//!
//! Up by the tasks that wait: the first request at once, then as long as tasks wait every
//! `sustainedSchedulerBacklogTimeout`, each time twice as many more. Down when an executor has been
//! idle for its time. Who calls tells what there is ([`AllocationInput`]) and does what is answered;
//! there is no clock and no cluster here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::{ExecutorId, Time};

/// How often executors are looked at when nothing calls for it earlier (Spark's
/// `dynamicAllocation.testing.schedule…`, 100 ms).
const INTERVAL: Duration = Duration::from_millis(100);

/// The settings, each `spark.dynamicAllocation.…`. `default()` has Spark's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct AllocationOptions {
    /// `minExecutors`.
    pub min_executors: u32,
    /// `maxExecutors`.
    pub max_executors: u32,
    /// `initialExecutors`; the larger of it, `minExecutors` and `spark.executor.instances` counts.
    pub initial_executors: u32,
    /// `executorIdleTimeout`.
    pub idle_timeout: Duration,
    /// `cachedExecutorIdleTimeout`; `None` is never.
    pub cached_idle_timeout: Option<Duration>,
    /// `shuffleTracking.timeout`; `None` is never: output that is needed keeps its executor.
    pub shuffle_timeout: Option<Duration>,
    /// `schedulerBacklogTimeout`, if it is set: how long tasks wait before the first request.
    /// Unlike in Spark, where it is a second, the first request is made at once by default: on Mesos
    /// an executor more than needed is given back soon.
    pub backlog_timeout: Option<Duration>,
    /// `sustainedSchedulerBacklogTimeout`: the time between further requests.
    pub sustained_backlog_timeout: Duration,
    /// `executorAllocationRatio`: this part of full parallelism is asked for; above 0, at most 1.
    pub allocation_ratio: f64,
    /// `spark.shuffle.service.enabled`: map output outlives its executor, and keeps nobody.
    pub shuffle_service: bool,
}

impl Default for AllocationOptions {
    fn default() -> Self {
        Self {
            min_executors: 0,
            max_executors: i32::MAX as u32,
            initial_executors: 0,
            idle_timeout: Duration::from_secs(60),
            cached_idle_timeout: None,
            shuffle_timeout: None,
            backlog_timeout: None,
            sustained_backlog_timeout: Duration::from_secs(1),
            allocation_ratio: 1.0,
            shuffle_service: false,
        }
    }
}

impl AllocationOptions {
    /// Whether the settings fit together.
    ///
    /// # Errors
    /// In Spark's words, naming the properties.
    pub fn check(&self) -> Result<(), String> {
        let Self { min_executors: min, max_executors: max, initial_executors: initial, .. } = self;
        if *max == 0 {
            return Err("spark.dynamicAllocation.maxExecutors must be > 0!".to_owned());
        }
        if min > max {
            return Err(format!(
                "spark.dynamicAllocation.minExecutors ({min}) must be less than or equal to \
                 spark.dynamicAllocation.maxExecutors ({max})!"
            ));
        }
        if initial > max {
            return Err(format!(
                "spark.dynamicAllocation.initialExecutors ({initial}) must be between \
                 spark.dynamicAllocation.minExecutors ({min}) and \
                 spark.dynamicAllocation.maxExecutors ({max})"
            ));
        }
        if self.sustained_backlog_timeout.is_zero() {
            return Err(
                "spark.dynamicAllocation.sustainedSchedulerBacklogTimeout must be > 0!".to_owned()
            );
        }
        if !(self.allocation_ratio > 0.0 && self.allocation_ratio <= 1.0) {
            return Err(
                "spark.dynamicAllocation.executorAllocationRatio must be > 0 and <= 1.0".to_owned()
            );
        }
        Ok(())
    }
}

/// An executor, as far as allocation goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorUse {
    /// Its id.
    pub executor: ExecutorId,
    /// Cores taken by tasks.
    pub running_cpus: u32,
    /// It has map output that a live job or a reader to come may need.
    pub holds_output: bool,
    /// It holds cached partitions.
    pub holds_cache: bool,
    /// It gets no more tasks and goes by itself.
    pub decommissioned: bool,
}

/// What there is now.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AllocationInput {
    /// Executors that all tasks running and waiting would fill
    /// ([`crate::Scheduler::executors_needed`]).
    pub needed: f64,
    /// Tasks wait.
    pub backlogged: bool,
    /// The executors registered.
    pub executors: Vec<ExecutorUse>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllocationAction {
    /// The application should have so many executors in all; more are welcome only to replace lost
    /// ones. At every raise offers must be asked for anew.
    RequestTotal(u32),
    /// These have nothing to do and may go. They count as gone from now on.
    Kill(Vec<ExecutorId>),
}

/// The state between looks.
#[derive(Clone, Debug)]
pub struct ExecutorAllocation {
    options: AllocationOptions,
    target: u32,
    /// What was last requested.
    requested: Option<u32>,
    /// Executors the next request adds.
    step: u32,
    /// When the next request may be made; `None` while no task waits.
    add_at: Option<Time>,
    /// Until there was work, or the first executor was idle for its time, the initial number stays.
    initializing: bool,
    idle: BTreeMap<ExecutorId, Time>,
    /// Told to go and not gone yet.
    leaving: BTreeSet<ExecutorId>,
    next_look: Time,
}

impl ExecutorAllocation {
    /// Begins with the initial number of executors.
    pub fn new(options: AllocationOptions) -> Self {
        let target = options.initial_executors.max(options.min_executors);
        Self {
            target: target.min(options.max_executors),
            options,
            requested: None,
            step: 1,
            add_at: None,
            initializing: true,
            idle: BTreeMap::new(),
            leaving: BTreeSet::new(),
            next_look: Time::default(),
        }
    }

    /// The settings.
    pub fn options(&self) -> &AllocationOptions {
        &self.options
    }

    /// How many executors are wanted now.
    pub fn target(&self) -> u32 {
        self.target
    }

    /// When [`Self::look`] should be called again at the latest. Earlier calls are welcome whenever
    /// work comes or an executor comes or goes.
    pub fn next_look(&self) -> Time {
        self.next_look
    }

    /// Takes in what there is and answers what to do.
    pub fn look(&mut self, input: &AllocationInput, now: Time) -> Vec<AllocationAction> {
        let here: BTreeSet<&ExecutorId> = input.executors.iter().map(|e| &e.executor).collect();
        self.leaving.retain(|executor| here.contains(executor));
        self.idle.retain(|executor, _| here.contains(executor));
        let mut actions = Vec::new();
        self.adjust_target(input, now);
        if self.requested != Some(self.target) {
            self.requested = Some(self.target);
            actions.push(AllocationAction::RequestTotal(self.target));
        }
        let idle = self.idle_executors(input, now);
        if !idle.is_empty() {
            self.leaving.extend(idle.iter().cloned());
            actions.push(AllocationAction::Kill(idle));
        }
        self.next_look = self.next_wakeup(input, now);
        actions
    }

    // ---- up ------------------------------------------------------------------------------------

    fn adjust_target(&mut self, input: &AllocationInput, now: Time) {
        if input.needed > 0.0 {
            self.initializing = false;
        }
        if input.backlogged {
            let first = self.options.backlog_timeout.unwrap_or_default();
            self.add_at.get_or_insert(now + first);
        } else {
            self.add_at = None;
            self.step = 1;
        }
        if self.initializing {
            return;
        }
        let needed = self.needed(input);
        if needed < self.target {
            // What was asked for and has not come is not needed any more.
            self.target = self.bounded(needed);
            self.step = 1;
        } else if self.add_at.is_some_and(|at| at <= now) {
            self.add(input, needed);
            self.add_at = Some(now + self.options.sustained_backlog_timeout);
        }
    }

    /// Executors for all tasks, at the chosen part of full parallelism.
    fn needed(&self, input: &AllocationInput) -> u32 {
        // Sums of tenths must not need one executor more.
        (input.needed * self.options.allocation_ratio - 1e-9).ceil().max(0.0) as u32
    }

    fn bounded(&self, executors: u32) -> u32 {
        executors.min(self.options.max_executors).max(self.options.min_executors)
    }

    fn add(&mut self, input: &AllocationInput, needed: u32) {
        let before = self.target;
        // Executors there already are not asked for again.
        let base = self.target.max(self.staying(input));
        let wanted = base.saturating_add(self.step).min(needed);
        self.target = self.bounded(wanted);
        let added = self.target.saturating_sub(before);
        self.step = if added >= self.step { self.step.saturating_mul(2) } else { 1 };
    }

    /// Executors that are there and not told to go.
    fn staying(&self, input: &AllocationInput) -> u32 {
        let stays = |e: &&ExecutorUse| !e.decommissioned && !self.leaving.contains(&e.executor);
        input.executors.iter().filter(stays).count() as u32
    }

    // ---- down ----------------------------------------------------------------------------------

    /// The executors whose time is up, as many as may go.
    fn idle_executors(&mut self, input: &AllocationInput, now: Time) -> Vec<ExecutorId> {
        let mut due: Vec<(Time, ExecutorId)> = Vec::new();
        for executor in &input.executors {
            let id = &executor.executor;
            if executor.running_cpus > 0 {
                self.idle.remove(id);
                continue;
            }
            let since = *self.idle.entry(id.clone()).or_insert(now);
            if executor.decommissioned || self.leaving.contains(id) {
                continue;
            }
            if let Some(timeout) = self.timeout(executor)
                && now.since(since) >= timeout
            {
                due.push((since, id.clone()));
            }
        }
        if due.is_empty() {
            return Vec::new();
        }
        if std::mem::take(&mut self.initializing) {
            // Nobody came: from here on the target follows the need, with the next look.
            self.target = self.bounded(self.needed(input));
        }
        // Idle for longest first; among equals the later ones, which have cost the least yet.
        due.sort_by(|(a_since, a), (b_since, b)| a_since.cmp(b_since).then_with(|| b.cmp(a)));
        let floor = self.target.max(self.options.min_executors);
        let may_go = self.staying(input).saturating_sub(floor) as usize;
        due.into_iter().take(may_go).map(|(_, id)| id).collect()
    }

    /// How long an executor may be idle; `None` is for ever.
    fn timeout(&self, executor: &ExecutorUse) -> Option<Duration> {
        let mut timeout = self.options.idle_timeout;
        if executor.holds_cache {
            timeout = timeout.max(self.options.cached_idle_timeout?);
        }
        if executor.holds_output && !self.options.shuffle_service {
            timeout = timeout.max(self.options.shuffle_timeout?);
        }
        Some(timeout)
    }

    fn next_wakeup(&self, input: &AllocationInput, now: Time) -> Time {
        let idle = input.executors.iter().filter_map(|executor| {
            let since = self.idle.get(&executor.executor)?;
            Some(*since + self.timeout(executor)?)
        });
        let at = idle.chain(self.add_at).filter(|at| *at > now).min();
        // Without an event that calls for it, work may begin and end between two looks.
        at.map_or(now + INTERVAL, |at| at.min(now + INTERVAL))
    }
}

#[cfg(test)]
mod tests;
