//! Coarse-grained mode: each executor is one Mesos task that lives as long as the application.
//!
//! Follows the reference's semantics of Spark 2.0 to 3.5 with its defects mended: an executor's id is
//! its Mesos task id everywhere; offers of one agent are combined; every offer is answered exactly
//! once; demand is told by SUPPRESS and REVIVE instead of refusals; agents are excluded for a time and
//! only for failures of executors; GPUs and ports are given to each executor instead of all to the
//! first; unknown tasks that still run are killed.

mod offers;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesos_api::task_status::Reason;
use mesos_api::{AgentId, TaskId, TaskState, TaskStatus};

use crate::agents::AgentBook;
use crate::cluster_view::ClusterView;
use crate::command::LaunchContext;
use crate::events::{Action, Event, ExecutorLaunch, Launch};
use crate::metrics::Metrics;
use crate::reason::LossReason;
use crate::report::{AgentShortage, WaitingCause, WaitingReport, Wanted};
use crate::settings::Settings;
use crate::status::{is_alive, loss, reason};

/// A launch without any news for this long is asked about; Mesos itself gives an executor a minute.
pub(crate) const LAUNCH_QUESTION_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No news of it yet; when to ask.
    Launched { ask_at: Instant },
    /// Mesos has news of it.
    Starting,
    /// It has come to the driver.
    Registered,
}

#[derive(Debug, Clone)]
struct Executor {
    agent_id: AgentId,
    host: String,
    /// Mesos cpus it holds.
    cpus: u64,
    /// GPUs it holds.
    gpus: u64,
    stage: Stage,
    /// We have asked for its end.
    killing: bool,
}

/// The decision core of coarse-grained mode.
#[derive(Debug)]
pub struct CoarseScheduler {
    settings: Settings,
    context: LaunchContext,
    framework_id: String,
    /// Of the first framework; executors go by it.
    application_id: String,
    executors: BTreeMap<String, Executor>,
    agents: AgentBook,
    cluster: Option<ClusterView>,
    limit: Option<u64>,
    waiting_tasks: u64,
    next_id: u64,
    suppressed: bool,
    stopped: bool,
    registered_at: Option<Instant>,
    metrics: Metrics,
}

impl CoarseScheduler {
    /// A scheduler that wants as many executors as the settings allow.
    pub fn new(settings: Settings, context: LaunchContext) -> Self {
        Self {
            agents: AgentBook::new(settings.exclusion),
            limit: settings.instances,
            settings,
            context,
            framework_id: String::new(),
            application_id: String::new(),
            executors: BTreeMap::new(),
            cluster: None,
            waiting_tasks: 0,
            next_id: 0,
            suppressed: false,
            stopped: false,
            registered_at: None,
            metrics: Metrics::default(),
        }
    }

    /// Takes an event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Registered { framework_id, again } => {
                self.registered_at.get_or_insert(now);
                self.metrics.registered(now);
                self.register(framework_id, again, now, &mut actions);
            }
            Event::Offers(offers) => self.match_offers(offers, now, &mut actions),
            Event::Rescind(_) => self.metrics.offers_rescinded += 1,
            Event::Status(status) => self.update(&status, now, &mut actions),
            Event::AgentFailure(agent_id) => self.lose_agent(&agent_id, now, &mut actions),
            Event::ExecutorLimit(limit) => {
                let raised = limit.unwrap_or(u64::MAX) > self.limit.unwrap_or(u64::MAX);
                self.limit = limit;
                self.tell_demand(raised, &mut actions);
            }
            Event::ExecutorRegistered(id) => {
                if let Some(executor) = self.executors.get_mut(&id) {
                    executor.stage = Stage::Registered;
                    self.metrics.executor_came(now);
                }
            }
            Event::KillExecutor(id) => self.kill(&id, &mut actions),
            Event::WaitingTasks(count) => self.waiting_tasks = count,
            Event::Cluster(view) => self.cluster = Some(view),
            Event::Tick => self.tick(now, &mut actions),
            Event::Stop => {
                self.stopped = true;
                self.tell_demand(false, &mut actions);
            }
            // Executors are command tasks: their end comes as an update; the rest is of the other mode.
            Event::ExecutorFailure { .. }
            | Event::LaunchTasks(_)
            | Event::KillTask(_)
            | Event::MapOutputNeeded { .. } => {}
        }
        debug_assert!(self.check().is_ok(), "{:?}", self.check());
        actions
    }

    /// When [`Event::Tick`] is due.
    pub fn next_wakeup(&self) -> Option<Instant> {
        let questions = self.executors.values().filter_map(|executor| match executor.stage {
            Stage::Launched { ask_at } => Some(ask_at),
            Stage::Starting | Stage::Registered => None,
        });
        questions.chain(self.agents.next_readmission()).min()
    }

    /// What is waited for; `None` when nothing more is wanted and nothing starts, or when what there is
    /// cannot grow but no task was said to wait.
    pub fn waiting_report(&self, now: Instant) -> Option<WaitingReport> {
        let starting = self.starting();
        if !self.wants_more() && starting == 0 && (self.waiting_tasks == 0 || self.stopped) {
            return None;
        }
        let wanted = Wanted {
            cores: self.settings.core_unit() as f64,
            memory_mib: self.settings.memory.total_mib(),
            gpus: if self.settings.gpus.required { self.settings.gpus.per_executor } else { 0 },
        };
        let agents = self.shortages(wanted);
        Some(WaitingReport {
            at: now,
            wanted,
            waiting_tasks: self.waiting_tasks,
            starting,
            running: self.registered_count(),
            role: self.settings.role.clone(),
            causes: self.waiting_causes(starting, &agents),
            agents,
        })
    }

    fn waiting_causes(&self, starting: usize, agents: &[AgentShortage]) -> Vec<WaitingCause> {
        if starting > 0 {
            return vec![WaitingCause::Starting(starting)];
        }
        if let (0, Some(limit)) = (self.executors_left(), self.limit) {
            return vec![WaitingCause::ExecutorLimit(limit)];
        }
        if let (false, Some(max)) = (self.has_cores_left(), self.settings.cores_max) {
            let held = self.cores_acquired() as f64;
            return vec![WaitingCause::CoresMax { max, held }];
        }
        if !self.has_gpus_left() {
            return vec![WaitingCause::GpusMax(self.settings.gpus.max)];
        }
        if !agents.is_empty() {
            return WaitingReport::causes_of(agents);
        }
        match &self.cluster {
            Some(view) if view.agent_count() == 0 => vec![WaitingCause::NoAgents],
            Some(_) | None => vec![WaitingCause::NoOffers],
        }
    }

    /// What agents' offers lacked, and why the others offer nothing, as far as the master told.
    fn shortages(&self, wanted: Wanted) -> Vec<AgentShortage> {
        let view = self.cluster.as_ref();
        self.agents.with_silent(view, &self.settings, wanted)
    }

    /// Whether tasks may start: the share of `spark.cores.max` that
    /// `spark.scheduler.minRegisteredResourcesRatio` asks for has come, or
    /// `spark.scheduler.maxRegisteredResourcesWaitingTime` is over since the registration.
    pub fn is_ready(&self, now: Instant) -> bool {
        let registered = self.executors.values().filter(|e| e.stage == Stage::Registered);
        let cores: u64 = registered.map(|executor| executor.cpus).sum();
        let wanted = self.settings.cores_max.unwrap_or(0) as f64;
        cores as f64 >= wanted * self.settings.min_registered_ratio
            || self.wait_ends().is_some_and(|end| end <= now)
    }

    /// When the wait for registered cores is over, if any are waited for.
    pub fn ready_at(&self) -> Option<Instant> {
        let matters = self.settings.min_registered_ratio > 0.0 && self.settings.cores_max.is_some();
        self.wait_ends().filter(|_| matters)
    }

    fn wait_ends(&self) -> Option<Instant> {
        Some(self.registered_at? + self.settings.max_registered_wait)
    }

    /// Executors that are launched and not yet lost.
    pub fn executor_count(&self) -> usize {
        self.executors.len()
    }

    /// Executors that have come to the driver and are not yet lost.
    pub fn registered_count(&self) -> usize {
        self.executors.len() - self.starting()
    }

    /// What became of offers and executors so far.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn starting(&self) -> usize {
        self.executors.values().filter(|e| e.stage != Stage::Registered).count()
    }

    fn cores_acquired(&self) -> u64 {
        self.executors.values().map(|executor| executor.cpus).sum()
    }

    /// Cores that may still be taken.
    fn cores_left(&self) -> u64 {
        self.settings.cores_max.unwrap_or(u64::MAX).saturating_sub(self.cores_acquired())
    }

    fn has_cores_left(&self) -> bool {
        self.cores_left() >= self.settings.core_unit()
    }

    /// GPUs that may still be taken.
    fn gpus_left(&self) -> u64 {
        let held: u64 = self.executors.values().map(|executor| executor.gpus).sum();
        self.settings.gpus.max.saturating_sub(held)
    }

    /// Whether another executor may have the GPUs it does not start without.
    fn has_gpus_left(&self) -> bool {
        !self.settings.gpus.required || self.gpus_left() >= self.settings.gpus.per_executor
    }

    /// Executors that may still be launched.
    fn executors_left(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX).saturating_sub(self.executors.len() as u64)
    }

    fn wants_more(&self) -> bool {
        !self.stopped && self.executors_left() > 0 && self.has_cores_left() && self.has_gpus_left()
    }

    /// Tells the master when demand begins or ends; with `again` also when it goes on, because
    /// filters may hold offers back that are now wanted.
    fn tell_demand(&mut self, again: bool, actions: &mut Vec<Action>) {
        if self.wants_more() {
            if self.suppressed || again {
                self.suppressed = false;
                self.metrics.revives += 1;
                actions.push(Action::Revive);
            }
        } else if !self.suppressed {
            self.suppressed = true;
            self.metrics.suppresses += 1;
            actions.push(Action::Suppress);
        }
    }

    fn register(
        &mut self,
        framework_id: String,
        again: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if self.application_id.is_empty() {
            self.application_id.clone_from(&framework_id);
        }
        if framework_id != self.framework_id {
            // Executors of another framework than this are ended by the master.
            for id in self.executors.keys().cloned().collect::<Vec<_>>() {
                self.lose(&id, LossReason::FrameworkRemoved, now, actions);
            }
        }
        self.framework_id = framework_id;
        // A subscription begins unsuppressed and without filters.
        self.suppressed = false;
        if again {
            let tasks = self
                .executors
                .iter()
                .map(|(id, executor)| (TaskId::from(id.as_str()), Some(executor.agent_id.clone())));
            let tasks: Vec<_> = tasks.collect();
            // An empty question would mean all tasks, which is wanted too: leftovers are killed.
            actions.push(Action::Reconcile(tasks));
        }
        self.tell_demand(false, actions);
    }

    fn kill(&mut self, id: &str, actions: &mut Vec<Action>) {
        let Some(executor) = self.executors.get_mut(id) else { return };
        executor.killing = true;
        actions.push(Action::Kill {
            task_id: TaskId::from(id),
            agent_id: Some(executor.agent_id.clone()),
        });
    }

    fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut questions = Vec::new();
        for (id, executor) in &mut self.executors {
            if let Stage::Launched { ask_at } = &mut executor.stage
                && *ask_at <= now
            {
                *ask_at = now + LAUNCH_QUESTION_INTERVAL;
                questions.push((TaskId::from(id.as_str()), Some(executor.agent_id.clone())));
            }
        }
        if !questions.is_empty() {
            actions.push(Action::Reconcile(questions));
        }
        if self.agents.readmit(now) {
            self.tell_demand(true, actions);
        }
    }

    fn update(&mut self, status: &TaskStatus, now: Instant, actions: &mut Vec<Action>) {
        let id = &status.task_id.value;
        let Some(executor) = self.executors.get_mut(id) else {
            // One we have given up, or of an earlier life of this framework.
            if is_alive(status.state()) {
                actions.push(Action::Kill {
                    task_id: status.task_id.clone(),
                    agent_id: status.agent_id.clone(),
                });
            }
            return;
        };
        if is_alive(status.state()) {
            if matches!(executor.stage, Stage::Launched { .. }) {
                executor.stage = Stage::Starting;
            }
            return;
        }
        let worked = executor.stage == Stage::Registered;
        // A master that has just taken the lead may not have heard of its agent yet. The executor lives, for
        // it is connected to the driver; when that ends, the driver has it killed.
        let unheard = status.state() == TaskState::UnknownTask
            && reason(status) == Some(Reason::Reconciliation);
        if unheard && worked && !executor.killing {
            return;
        }
        let loss = loss(status, executor.killing, worked);
        let id = id.clone();
        self.lose(&id, loss, now, actions);
        self.tell_demand(true, actions);
    }

    fn lose_agent(&mut self, agent_id: &AgentId, now: Instant, actions: &mut Vec<Action>) {
        let here = self.executors.iter().filter(|(_, executor)| executor.agent_id == *agent_id);
        let lost: Vec<String> = here.map(|(id, _)| id.clone()).collect();
        for id in &lost {
            self.lose(id, LossReason::AgentLost, now, actions);
        }
        self.agents.forget(agent_id);
        if !lost.is_empty() {
            self.tell_demand(true, actions);
        }
    }

    fn lose(&mut self, id: &str, reason: LossReason, now: Instant, actions: &mut Vec<Action>) {
        let Some(executor) = self.executors.remove(id) else { return };
        if reason.is_failure() {
            self.agents.blame(&executor.agent_id, now);
        }
        self.metrics.lost(&reason);
        actions.push(Action::ExecutorLost {
            executor_id: id.to_owned(),
            host: executor.host,
            reason,
        });
    }

    /// Invariants.
    fn check(&self) -> Result<(), String> {
        let (acquired, max) = (self.cores_acquired(), self.settings.cores_max);
        if max.is_some_and(|max| acquired > max) {
            return Err(format!("{acquired} cores of at most {max:?}"));
        }
        let gpus: u64 = self.executors.values().map(|executor| executor.gpus).sum();
        if gpus > self.settings.gpus.max {
            return Err(format!("{gpus} GPUs of at most {}", self.settings.gpus.max));
        }
        if self.suppressed && self.wants_more() {
            return Err("suppressed though more is wanted".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod waiting;
