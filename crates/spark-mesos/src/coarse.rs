//! Coarse-grained mode: each executor is one Mesos task that lives as long as the application.
//!
//! Follows the reference's semantics of Spark 2.0 to 3.5 with its defects mended: an executor's id is
//! its Mesos task id everywhere; offers of one agent are combined; every offer is answered exactly
//! once; demand is told by SUPPRESS and REVIVE instead of refusals; agents are excluded for a time and
//! only for failures of executors; unknown tasks that still run are killed.

mod offers;
mod status;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesos_api::{AgentId, Offer, OfferId, TaskId, TaskInfo, TaskStatus};

use crate::command::LaunchContext;
use crate::reason::{DeclineReason, LossReason};
use crate::report::{AgentShortage, WaitingReport};
use crate::settings::Settings;

/// A launch without any news for this long is asked about; Mesos itself gives an executor a minute.
const LAUNCH_QUESTION_INTERVAL: Duration = Duration::from_secs(30);

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The framework is subscribed, for the first time or again.
    Registered {
        /// Its id.
        framework_id: String,
        /// Whether it was before.
        again: bool,
    },
    /// New offers.
    Offers(Vec<Offer>),
    /// An offer is void. Offers are answered when they come, so a launch on it will be refused.
    Rescind(OfferId),
    /// News of a Mesos task.
    Status(TaskStatus),
    /// An agent is gone.
    AgentFailure(AgentId),
    /// At most this many executors are wanted from now on.
    ExecutorLimit(Option<u64>),
    /// An executor has come to the driver.
    ExecutorRegistered(String),
    /// An executor is not wanted any more, or hangs.
    KillExecutor(String),
    /// Time has passed.
    Tick,
    /// The application ends.
    Stop,
}

/// An executor about to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorLaunch {
    /// Its id, also that of its Mesos task.
    pub executor_id: String,
    /// Where.
    pub agent_id: AgentId,
    /// Its agent's host.
    pub host: String,
    /// Task slots.
    pub cores: u64,
    /// Memory with overhead.
    pub memory_mib: u64,
}

/// Executors launched on offers of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The offers used.
    pub offer_ids: Vec<OfferId>,
    /// What is launched, for Mesos.
    pub tasks: Vec<TaskInfo>,
    /// What is launched, for us.
    pub executors: Vec<ExecutorLaunch>,
    /// How long the rest of the offers is refused; `None` for Mesos' default.
    pub refuse: Option<Duration>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// ACCEPT with LAUNCH.
    Launch(Launch),
    /// DECLINE.
    Decline {
        /// Offers of one agent.
        offer_ids: Vec<OfferId>,
        /// How long; `None` for Mesos' default.
        refuse: Option<Duration>,
        /// Why.
        reason: DeclineReason,
    },
    /// KILL.
    Kill {
        /// The task.
        task_id: TaskId,
        /// Its agent.
        agent_id: Option<AgentId>,
    },
    /// SUPPRESS.
    Suppress,
    /// REVIVE.
    Revive,
    /// RECONCILE these tasks.
    Reconcile(Vec<(TaskId, Option<AgentId>)>),
    /// Tell the task scheduler that an executor is gone.
    ExecutorLost {
        /// Which.
        executor_id: String,
        /// Where it was.
        host: String,
        /// Why.
        reason: LossReason,
    },
}

/// Offers by their fate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Offers received.
    pub received: u64,
    /// Offers used.
    pub accepted: u64,
    /// Offers given back, by the name of the reason.
    pub declined: BTreeMap<&'static str, u64>,
}

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
    stage: Stage,
    /// We have asked for its end.
    killing: bool,
}

#[derive(Debug, Default)]
struct AgentRecord {
    failures: Vec<Instant>,
    excluded_until: Option<Instant>,
    shortage: Option<AgentShortage>,
}

/// The decision core of coarse-grained mode.
#[derive(Debug)]
pub struct CoarseScheduler {
    settings: Settings,
    context: LaunchContext,
    framework_id: String,
    executors: BTreeMap<String, Executor>,
    agents: BTreeMap<AgentId, AgentRecord>,
    limit: Option<u64>,
    next_id: u64,
    suppressed: bool,
    stopped: bool,
    counters: Counters,
}

impl CoarseScheduler {
    /// A scheduler that wants as many executors as the settings allow.
    pub fn new(settings: Settings, context: LaunchContext) -> Self {
        Self {
            settings,
            context,
            framework_id: String::new(),
            executors: BTreeMap::new(),
            agents: BTreeMap::new(),
            limit: None,
            next_id: 0,
            suppressed: false,
            stopped: false,
            counters: Counters::default(),
        }
    }

    /// Takes an event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Registered { framework_id, again } => {
                self.register(framework_id, again, &mut actions);
            }
            Event::Offers(offers) => self.match_offers(offers, now, &mut actions),
            Event::Rescind(_) => {}
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
                }
            }
            Event::KillExecutor(id) => self.kill(&id, &mut actions),
            Event::Tick => self.tick(now, &mut actions),
            Event::Stop => {
                self.stopped = true;
                self.tell_demand(false, &mut actions);
            }
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
        let exclusions = self.agents.values().filter_map(|agent| agent.excluded_until);
        questions.chain(exclusions).min()
    }

    /// What is waited for; `None` when nothing more is wanted.
    pub fn waiting_report(&self) -> Option<WaitingReport> {
        if !self.wants_more() && self.starting() == 0 {
            return None;
        }
        Some(WaitingReport {
            executor_cores: self.settings.executor_cores,
            executor_memory_mib: self.settings.memory.total_mib(),
            starting: self.starting(),
            running: self.registered_count(),
            role: self.settings.role.clone(),
            agents: self.agents.values().filter_map(|agent| agent.shortage.clone()).collect(),
        })
    }

    /// Whether the share of `spark.cores.max` that must be there before the first task is there.
    pub fn has_enough_registered(&self) -> bool {
        let registered = self.executors.values().filter(|e| e.stage == Stage::Registered);
        let cores: u64 = registered.map(|executor| executor.cpus).sum();
        let wanted = self.settings.cores_max.unwrap_or(0) as f64;
        cores as f64 >= wanted * self.settings.min_registered_ratio
    }

    /// Executors that are launched and not yet lost.
    pub fn executor_count(&self) -> usize {
        self.executors.len()
    }

    /// Executors that have come to the driver and are not yet lost.
    pub fn registered_count(&self) -> usize {
        self.executors.len() - self.starting()
    }

    /// What became of the offers so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
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

    /// Executors that may still be launched.
    fn executors_left(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX).saturating_sub(self.executors.len() as u64)
    }

    /// Cores an executor has at least.
    fn least_cores(&self) -> u64 {
        self.settings.executor_cores.unwrap_or(self.settings.task_cpus)
    }

    fn wants_more(&self) -> bool {
        !self.stopped && self.executors_left() > 0 && self.cores_left() >= self.least_cores()
    }

    /// Tells the master when demand begins or ends; with `again` also when it goes on, because
    /// filters may hold offers back that are now wanted.
    fn tell_demand(&mut self, again: bool, actions: &mut Vec<Action>) {
        if self.wants_more() {
            if self.suppressed || again {
                self.suppressed = false;
                actions.push(Action::Revive);
            }
        } else if !self.suppressed {
            self.suppressed = true;
            actions.push(Action::Suppress);
        }
    }

    fn register(&mut self, framework_id: String, again: bool, actions: &mut Vec<Action>) {
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
        let mut readmitted = false;
        for agent in self.agents.values_mut() {
            if agent.excluded_until.is_some_and(|until| until <= now) {
                agent.excluded_until = None;
                readmitted = true;
            }
        }
        if readmitted {
            self.tell_demand(true, actions);
        }
    }

    /// Invariants.
    fn check(&self) -> Result<(), String> {
        let (acquired, max) = (self.cores_acquired(), self.settings.cores_max);
        if max.is_some_and(|max| acquired > max) {
            return Err(format!("{acquired} cores of at most {max:?}"));
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
mod tests;
