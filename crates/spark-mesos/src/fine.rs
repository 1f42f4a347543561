//! Fine-grained mode: one Mesos executor per agent, and one Mesos task for each Spark task attempt.
//!
//! The executor holds `spark.mesos.mesosExecutor.cores` and the memory; each task holds
//! `spark.task.cpus` while it runs. What the reference gets wrong here is mended: `spark.cores.max` counts
//! executors and tasks; an executor that is idle and whose map output nobody needs ends and gives its
//! memory back; each offer is answered once, and offers of one agent are combined; freed cores come back
//! by a REVIVE instead of the next round of the allocator; a task's failure does not take its executor
//! along.
//!
//! Slots are announced to the task scheduler with [`Action::Slots`] and used by [`Event::LaunchTasks`].
//! Offers are held in between, never longer than [`HOLD_LIMIT`].

mod offers;
mod revive;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesos_api::{AgentId, Attribute, ExecutorId, ExecutorInfo, Offer, OfferId, TaskId};

use crate::agents::AgentBook;
use crate::cluster_view::ClusterView;
use crate::coarse::LAUNCH_QUESTION_INTERVAL;
use crate::command::LaunchContext;
use crate::events::{Action, Event};
use crate::metrics::Metrics;
use crate::reason::{DeclineReason, LossReason};
use crate::report::{WaitingCause, WaitingReport, Wanted};
use crate::resources::{Milli, Pool, units, whole};
use crate::settings::Settings;
use revive::ReviveClock;

/// A usable offer that no task takes goes back after this time; tasks may wait for a better place.
const HOLD_LIMIT: Duration = Duration::from_millis(500);
/// After that, offers are asked for again no sooner than this.
const UNWANTED_PAUSE: Duration = Duration::from_secs(1);
/// Cores a task has freed are offered by an event-driven master without being asked; only if that does
/// not happen within this time, REVIVE asks.
const REVIVE_GRACE: Duration = Duration::from_millis(2);
/// An executor idle for this long is given up when `spark.cores.max` leaves no room for a task elsewhere.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);
/// How long the end of an executor waits for the word of its tasks' updates, which know more.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(500);
/// An executor that was told to end counts against `spark.cores.max` until Mesos says it is gone, or so long.
const DEPARTURE_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Announced, not launched.
    Planned,
    /// Launched with its first task.
    Launched,
    /// Mesos has news of one of its tasks, or it has come to the driver.
    Running,
}

#[derive(Debug)]
struct Executor {
    agent_id: AgentId,
    host: String,
    stage: Stage,
    /// As launched; every further task must repeat it to the letter.
    info: Option<ExecutorInfo>,
    tasks: BTreeSet<String>,
    output_needed: bool,
    /// Since when it has had nothing to do.
    idle_since: Option<Instant>,
    /// Mesos says it has ended: its raw wait status, and until when better words are waited for.
    ended: Option<(Option<i32>, Instant)>,
}

#[derive(Debug)]
struct Task {
    executor_id: String,
    /// When to ask about it, while there is no news.
    ask_at: Option<Instant>,
    killing: bool,
}

/// Offers of one agent that wait for tasks.
#[derive(Debug)]
struct Held {
    offers: Vec<Offer>,
    pool: Pool,
    executor_id: String,
    until: Instant,
    /// Slots last announced.
    announced: u64,
}

/// Cpus of an executor that was told to end.
#[derive(Debug)]
struct Departing {
    agent_id: AgentId,
    cpus: Milli,
    until: Instant,
}

/// The decision core of fine-grained mode.
#[derive(Debug)]
pub struct FineScheduler {
    settings: Settings,
    context: LaunchContext,
    framework_id: String,
    /// Of the first framework; executors go by it.
    application_id: String,
    executors: BTreeMap<String, Executor>,
    /// The executor of each agent.
    by_agent: BTreeMap<AgentId, String>,
    tasks: BTreeMap<String, Task>,
    held: BTreeMap<AgentId, Held>,
    departing: BTreeMap<String, Departing>,
    /// Cpus of launched executors, tasks, and what departs.
    cpus_held: Milli,
    agents: AgentBook,
    cluster: Option<ClusterView>,
    waiting_tasks: u64,
    next_id: u64,
    registered: bool,
    suppressed: bool,
    stopped: bool,
    revive: ReviveClock,
    metrics: Metrics,
}

impl FineScheduler {
    /// A scheduler without demand.
    pub fn new(settings: Settings, context: LaunchContext) -> Self {
        Self {
            agents: AgentBook::new(settings.exclusion),
            settings,
            context,
            framework_id: String::new(),
            application_id: String::new(),
            executors: BTreeMap::new(),
            by_agent: BTreeMap::new(),
            tasks: BTreeMap::new(),
            held: BTreeMap::new(),
            departing: BTreeMap::new(),
            cpus_held: 0,
            cluster: None,
            waiting_tasks: 0,
            next_id: 0,
            registered: false,
            suppressed: false,
            stopped: false,
            revive: ReviveClock::default(),
            metrics: Metrics::default(),
        }
    }

    /// Takes an event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Registered { framework_id, again } => {
                self.register(framework_id, again, now, &mut actions);
            }
            Event::Offers(offers) => self.take_offers(offers, now, &mut actions),
            Event::Rescind(offer_id) => self.rescind(&offer_id, now, &mut actions),
            Event::Status(status) => self.update(&status, now, &mut actions),
            Event::AgentFailure(agent_id) => self.lose_agent(&agent_id, now, &mut actions),
            Event::ExecutorFailure { executor_id, status, .. } => {
                self.executor_ended(&executor_id.value, status, now, &mut actions);
            }
            Event::WaitingTasks(count) => self.demand(count, now, &mut actions),
            Event::LaunchTasks(launches) => self.launch(launches, now, &mut actions),
            Event::KillTask(id) => self.kill_task(&id, &mut actions),
            Event::MapOutputNeeded { executor_id, needed } => {
                if let Some(executor) = self.executors.get_mut(&executor_id) {
                    executor.output_needed = needed;
                }
            }
            Event::ExecutorRegistered(id) => {
                if let Some(executor) = self.executors.get_mut(&id) {
                    executor.stage = Stage::Running;
                    self.metrics.executor_came(now);
                }
            }
            Event::KillExecutor(id) => {
                self.end_executor(&id, LossReason::Killed, now, &mut actions);
            }
            Event::Cluster(view) => self.cluster = Some(view),
            Event::Tick => self.tick(now, &mut actions),
            Event::Stop => self.stop(&mut actions),
            // Executors come and go with the tasks.
            Event::ExecutorLimit(_) => {}
        }
        self.announce(&mut actions);
        if self.revive_is_wanted() {
            if self.revive.take(now) {
                self.suppressed = false;
                self.metrics.revives += 1;
                actions.push(Action::Revive);
            }
        } else {
            self.revive.cancel();
        }
        debug_assert!(self.check().is_ok(), "{:?}", self.check());
        actions
    }

    /// When [`Event::Tick`] is due.
    pub fn next_wakeup(&self) -> Option<Instant> {
        let questions = self.tasks.values().filter_map(|task| task.ask_at).min();
        let holds = self.held.values().map(|held| held.until).min();
        let idle = self
            .executors
            .values()
            .filter_map(|executor| self.idle_deadline(executor))
            .chain(self.executors.values().filter_map(|executor| Some(executor.ended?.1)))
            .min();
        let departures = self.departing.values().map(|departing| departing.until).min();
        [questions, holds, idle, departures, self.agents.next_readmission(), self.revive.due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What is waited for; `None` when no task waits.
    pub fn waiting_report(&self, now: Instant) -> Option<WaitingReport> {
        if self.waiting_tasks == 0 || self.stopped {
            return None;
        }
        let wanted = Wanted {
            cores: units(self.settings.fine.executor_cpus + self.task_cpus()),
            memory_mib: self.settings.memory.total_mib(),
            gpus: 0,
        };
        let starting = self.starting();
        let agents = self.agents.with_silent(self.cluster.as_ref(), &self.settings, wanted);
        let causes = if starting > 0 {
            vec![WaitingCause::Starting(starting)]
        } else if let (true, Some(max)) =
            (self.cpus_left() < self.task_cpus(), self.settings.cores_max)
        {
            vec![WaitingCause::CoresMax { max, held: units(self.cpus_held) }]
        } else if !agents.is_empty() {
            WaitingReport::causes_of(&agents)
        } else if self.cluster.as_ref().is_some_and(|view| view.agent_count() == 0) {
            vec![WaitingCause::NoAgents]
        } else {
            vec![WaitingCause::NoOffers]
        };
        Some(WaitingReport {
            at: now,
            wanted,
            waiting_tasks: self.waiting_tasks,
            starting,
            running: self.registered_count(),
            role: self.settings.role.clone(),
            causes,
            agents,
        })
    }

    /// Executors that are launched and not yet lost.
    pub fn executor_count(&self) -> usize {
        self.executors.values().filter(|executor| executor.stage != Stage::Planned).count()
    }

    /// Executors that run and are not yet lost.
    pub fn registered_count(&self) -> usize {
        self.executors.values().filter(|executor| executor.stage == Stage::Running).count()
    }

    /// Mesos tasks that are launched and not yet ended.
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Cpus of executors and tasks, what departs included.
    pub fn cpus_held(&self) -> f64 {
        units(self.cpus_held)
    }

    /// What became of offers, tasks and executors so far.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn starting(&self) -> usize {
        self.executors.values().filter(|executor| executor.stage == Stage::Launched).count()
    }

    fn task_cpus(&self) -> Milli {
        whole(self.settings.task_cpus)
    }

    /// Cpus that may still be taken.
    fn cpus_left(&self) -> Milli {
        whole(self.settings.cores_max.unwrap_or(u64::MAX)) - self.cpus_held
    }

    fn revive_is_wanted(&self) -> bool {
        self.registered
            && !self.stopped
            && self.waiting_tasks > 0
            && self.held.is_empty()
            && self.cpus_left() >= self.task_cpus()
    }

    fn register(
        &mut self,
        framework_id: String,
        again: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.registered = true;
        self.metrics.registered(now);
        // A subscription begins unsuppressed, without filters, and all offers of the last one are void.
        self.suppressed = false;
        self.revive.called(now);
        let void: Vec<AgentId> = self.held.keys().cloned().collect();
        for agent_id in void {
            self.drop_held(&agent_id, actions);
        }
        if self.application_id.is_empty() {
            self.application_id.clone_from(&framework_id);
        }
        if framework_id != self.framework_id {
            // Executors of another framework than this are ended by the master.
            for id in self.executors.keys().cloned().collect::<Vec<_>>() {
                self.lose_executor(&id, LossReason::FrameworkRemoved, now, actions);
            }
            for id in self.departing.keys().cloned().collect::<Vec<_>>() {
                self.departed(&id, now);
            }
        }
        self.framework_id = framework_id;
        if again {
            let tasks = self.tasks.iter().map(|(id, task)| self.question(id, task));
            // An empty question would mean all tasks, which is wanted too: leftovers are killed.
            actions.push(Action::Reconcile(tasks.collect()));
        }
        if self.waiting_tasks == 0 {
            self.suppress(actions);
        }
    }

    fn question(&self, id: &str, task: &Task) -> (TaskId, Option<AgentId>) {
        let executor = self.executors.get(&task.executor_id);
        (TaskId::from(id), executor.map(|executor| executor.agent_id.clone()))
    }

    fn demand(&mut self, count: u64, now: Instant, actions: &mut Vec<Action>) {
        let before = std::mem::replace(&mut self.waiting_tasks, count);
        if count == 0 {
            self.return_all(&DeclineReason::NotNeeded, actions);
            self.suppress(actions);
            return;
        }
        // Who lays tasks on slots only in the moment they are said wants them said again.
        for (agent_id, held) in self.held.iter().filter(|(_, held)| held.announced > 0) {
            self.say_slots(agent_id, held.announced, actions);
        }
        if self.suppressed || count > before {
            // Also without suppression filters may hide what was left over from the last launch.
            self.revive.want(now);
        }
    }

    fn suppress(&mut self, actions: &mut Vec<Action>) {
        if !self.suppressed {
            self.suppressed = true;
            self.metrics.suppresses += 1;
            actions.push(Action::Suppress);
        }
    }

    fn kill_task(&mut self, id: &str, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.killing = true;
        let executor = self.executors.get(&task.executor_id);
        actions.push(Action::Kill {
            task_id: TaskId::from(id),
            agent_id: executor.map(|executor| executor.agent_id.clone()),
        });
    }

    fn stop(&mut self, actions: &mut Vec<Action>) {
        self.stopped = true;
        self.return_all(&DeclineReason::Stopped, actions);
        self.suppress(actions);
        let launched = self.executors.iter().filter(|(_, e)| e.stage != Stage::Planned);
        let shutdowns = launched.map(|(id, executor)| Action::Shutdown {
            executor_id: ExecutorId::from(id.as_str()),
            agent_id: executor.agent_id.clone(),
        });
        actions.extend(shutdowns);
    }

    fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut questions = Vec::new();
        for (id, task) in &mut self.tasks {
            if task.ask_at.is_some_and(|at| at <= now) {
                task.ask_at = Some(now + LAUNCH_QUESTION_INTERVAL);
                let executor = self.executors.get(&task.executor_id);
                let agent_id = executor.map(|executor| executor.agent_id.clone());
                questions.push((TaskId::from(id.as_str()), agent_id));
            }
        }
        if !questions.is_empty() {
            actions.push(Action::Reconcile(questions));
        }
        self.end_holds(now, actions);
        self.end_executors(now, actions);
        let gone: Vec<String> = self
            .departing
            .iter()
            .filter(|(_, departing)| departing.until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.departed(&id, now);
        }
        if self.agents.readmit(now) {
            self.revive.want(now);
        }
    }

    /// Ends executors that have been idle for long enough, and those Mesos said are gone.
    fn end_executors(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let is_idle =
            |executor: &Executor| self.idle_deadline(executor).is_some_and(|at| at <= now);
        let idle: Vec<String> =
            self.executors.iter().filter(|(_, e)| is_idle(e)).map(|(id, _)| id.clone()).collect();
        for id in idle {
            self.end_executor(&id, LossReason::Released, now, actions);
        }
        let ended = |executor: &Executor| executor.ended.filter(|(_, until)| *until <= now);
        let ended: Vec<(String, Option<i32>)> = self
            .executors
            .iter()
            .filter_map(|(id, executor)| Some((id.clone(), ended(executor)?.0)))
            .collect();
        for (id, status) in ended {
            self.lose_executor(&id, crate::status::from_wait_status(status), now, actions);
        }
    }

    /// When an executor is released, if nothing keeps it: no task, no map output somebody needs (unless
    /// the shuffle service has it), no offer that waits for tasks on its agent.
    fn idle_deadline(&self, executor: &Executor) -> Option<Instant> {
        if self.keeps_output(executor) || self.held.contains_key(&executor.agent_id) {
            return None;
        }
        Some(executor.idle_since? + self.settings.fine.idle_timeout)
    }

    fn keeps_output(&self, executor: &Executor) -> bool {
        executor.output_needed && !self.settings.shuffle_service
    }

    /// Invariants.
    fn check(&self) -> Result<(), String> {
        let launched = self.executors.values().filter(|executor| executor.stage != Stage::Planned);
        let executors = self.settings.fine.executor_cpus * launched.count() as Milli;
        let tasks = self.task_cpus() * self.tasks.len() as Milli;
        let departing: Milli = self.departing.values().map(|departing| departing.cpus).sum();
        if executors + tasks + departing != self.cpus_held {
            return Err(format!(
                "{} cpus held, but {executors} of executors, {tasks} of tasks, {departing} departing",
                self.cpus_held
            ));
        }
        if self.cpus_left() < 0 {
            return Err(format!(
                "{} cpus of at most {:?}",
                self.cpus_held, self.settings.cores_max
            ));
        }
        let of_executors: usize =
            self.executors.values().map(|executor| executor.tasks.len()).sum();
        if of_executors != self.tasks.len() {
            return Err(format!("{of_executors} tasks of executors, {} in all", self.tasks.len()));
        }
        for (agent_id, id) in &self.by_agent {
            if self.executors.get(id).is_none_or(|executor| executor.agent_id != *agent_id) {
                return Err(format!("agent {agent_id} has no executor {id}"));
            }
        }
        if self.by_agent.len() != self.executors.len() {
            return Err("an executor has no agent".to_owned());
        }
        if self.waiting_tasks == 0 && !self.held.is_empty() {
            return Err("offers are held for nothing".to_owned());
        }
        if self
            .held
            .iter()
            .any(|(agent_id, held)| self.by_agent.get(agent_id) != Some(&held.executor_id))
        {
            return Err("an offer is held for another executor than its agent's".to_owned());
        }
        Ok(())
    }
}

/// The attributes of the agent that made these offers.
fn attributes(offers: &[Offer]) -> &[Attribute] {
    offers.first().map_or(&[], |offer| &offer.attributes)
}

fn ids(offers: &[Offer]) -> Vec<OfferId> {
    offers.iter().map(|offer| offer.id.clone()).collect()
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
