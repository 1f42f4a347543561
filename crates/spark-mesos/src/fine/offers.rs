//! Offers that wait for tasks, the slots they make, and the launches they become.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesos_api::executor_info::Type as ExecutorType;
use mesos_api::{
    AgentId, ExecutorId, ExecutorInfo, FrameworkId, Labels, Offer, OfferId, TaskId, TaskInfo,
};

use super::{
    Executor, FineScheduler, HOLD_LIMIT, Held, LAUNCH_QUESTION_INTERVAL, ROOM_PATIENCE, Stage,
    Task, UNWANTED_PAUSE, attributes, ids,
};
use crate::command::ExecutorArguments;
use crate::events::{Action, ExecutorLaunch, Launch, TaskEnd, TaskLaunch};
use crate::reason::{DeclineReason, LossReason};
use crate::report::{AgentShortage, Fate};
use crate::resources::{Milli, Pool, units, whole};

/// How long what is left of used offers is refused; cores a task frees are offered before that, as they
/// are more than what was left (the reference's value).
const LEFTOVER_REFUSAL: Duration = Duration::from_secs(1);

impl FineScheduler {
    pub(super) fn take_offers(
        &mut self,
        offers: Vec<Offer>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.metrics.offers_received += offers.len() as u64;
        let mut agents: Vec<(AgentId, Vec<Offer>)> = Vec::new();
        let mut places: BTreeMap<AgentId, usize> = BTreeMap::new();
        for offer in offers {
            let place = *places.entry(offer.agent_id.clone()).or_insert_with(|| {
                agents.push((offer.agent_id.clone(), Vec::new()));
                agents.len() - 1
            });
            agents[place].1.push(offer);
        }
        for (agent_id, offers) in agents {
            self.consider(agent_id, offers, now, actions);
        }
    }

    /// Holds offers of one agent, with those of it held before, or gives them back.
    fn consider(
        &mut self,
        agent_id: AgentId,
        mut offers: Vec<Offer>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let mut announced = 0;
        let mut until = now + HOLD_LIMIT;
        if let Some(held) = self.held.remove(&agent_id) {
            announced = held.announced;
            until = held.until;
            offers.splice(0..0, held.offers);
        }
        let pool = Pool::of(&offers);
        let Some(host) = offers.first().map(|offer| offer.hostname.clone()) else { return };
        if let Some(reason) = self.refusal(&agent_id, &offers, &pool, now) {
            if announced > 0 {
                self.say_slots(&agent_id, 0, actions);
            }
            if reason == DeclineReason::ReachedCoresMax {
                self.make_room(&agent_id, now, actions);
            }
            self.decline(&agent_id, host, &offers, &pool, reason, now, actions);
            return;
        }
        let executor_id = self.executor_of(&agent_id, &host);
        self.held.insert(agent_id, Held { offers, pool, executor_id, until, announced });
        self.revive.cancel();
    }

    /// Why not even one task can run on this agent.
    fn refusal(
        &self,
        agent_id: &AgentId,
        offers: &[Offer],
        pool: &Pool,
        now: Instant,
    ) -> Option<DeclineReason> {
        if self.stopped {
            return Some(DeclineReason::Stopped);
        }
        if let Some(unmet) = self.settings.constraints.unmet(attributes(offers)) {
            return Some(DeclineReason::UnmetConstraint(unmet.to_string()));
        }
        if self.waiting_tasks == 0 {
            return Some(DeclineReason::NotNeeded);
        }
        if self.agents.excluded_until(agent_id, now).is_some() {
            return Some(DeclineReason::Excluded);
        }
        let has_executor = self.has_executor(agent_id);
        let needs =
            self.task_cpus() + if has_executor { 0 } else { self.settings.fine.executor_cpus };
        if pool.amount("cpus") < needs {
            let offered = units(pool.amount("cpus"));
            return Some(DeclineReason::TooFewCpus { offered, wanted: units(needs) });
        }
        if !has_executor {
            let memory = self.settings.memory.total_mib();
            if pool.amount("mem") < whole(memory) {
                let offered = units(pool.amount("mem"));
                return Some(DeclineReason::TooLittleMemory { offered, wanted: memory as f64 });
            }
            if let Err((first, last)) = self.settings.ports.pick(pool) {
                return Some(DeclineReason::NoPort { first, last });
            }
        }
        (self.cpus_left() < needs).then_some(DeclineReason::ReachedCoresMax)
    }

    /// Whether an executor runs on the agent or is on its way there.
    fn has_executor(&self, agent_id: &AgentId) -> bool {
        let executor = self.by_agent.get(agent_id).and_then(|id| self.executors.get(id));
        executor.is_some_and(|executor| executor.stage != Stage::Planned)
    }

    /// The executor of an agent; planned if there is none yet. A plan outlives its offer, so that an
    /// agent's executor has one id until it has lived.
    fn executor_of(&mut self, agent_id: &AgentId, host: &str) -> String {
        if let Some(id) = self.by_agent.get(agent_id) {
            return id.clone();
        }
        let id = self.next_id.to_string();
        self.next_id += 1;
        self.by_agent.insert(agent_id.clone(), id.clone());
        self.executors.insert(
            id.clone(),
            Executor {
                agent_id: agent_id.clone(),
                host: host.to_owned(),
                stage: Stage::Planned,
                info: None,
                tasks: std::collections::BTreeSet::new(),
                output_needed: false,
                idle_since: None,
                ended: None,
            },
        );
        id
    }

    /// Gives up an idle executor elsewhere when the cores it holds are all that is missing here.
    fn make_room(&mut self, agent_id: &AgentId, now: Instant, actions: &mut Vec<Action>) {
        let idle = self.executors.iter().filter(|(_, executor)| {
            executor.agent_id != *agent_id
                && !self.keeps_output(executor)
                && !self.held.contains_key(&executor.agent_id)
                && executor.idle_since.is_some_and(|since| now >= since + ROOM_PATIENCE)
        });
        let longest =
            idle.min_by_key(|(_, executor)| executor.idle_since).map(|(id, _)| id.clone());
        if let Some(id) = longest {
            self.end_executor(&id, LossReason::Released, now, actions);
        }
    }

    /// Says how many slots each agent with held offers has, where that has changed. Executors that run
    /// come first when `spark.cores.max` does not suffice for all.
    pub(super) fn announce(&mut self, actions: &mut Vec<Action>) {
        if self.held.is_empty() {
            return;
        }
        let mut agents: Vec<(bool, AgentId)> = self
            .held
            .keys()
            .map(|agent_id| (!self.has_executor(agent_id), agent_id.clone()))
            .collect();
        agents.sort();
        let task = self.task_cpus();
        let mut budget = self.cpus_left();
        for (is_new, agent_id) in agents {
            let own = if is_new { self.settings.fine.executor_cpus } else { 0 };
            let Some(held) = self.held.get_mut(&agent_id) else { continue };
            let room = held.pool.amount("cpus").min(budget) - own;
            let free = u64::try_from(room / task).unwrap_or_default();
            if free > 0 {
                budget -= own + task * free as Milli;
            }
            if held.announced != free {
                held.announced = free;
                self.say_slots(&agent_id, free, actions);
            }
        }
    }

    pub(super) fn say_slots(&self, agent_id: &AgentId, free: u64, actions: &mut Vec<Action>) {
        let Some(id) = self.by_agent.get(agent_id) else { return };
        let Some(executor) = self.executors.get(id) else { return };
        let (executor_id, host) = (id.clone(), executor.host.clone());
        actions.push(Action::Slots { executor_id, host, free });
    }

    /// Launches tasks on the slots of one round; what finds no slot any more is told so.
    pub(super) fn launch(
        &mut self,
        launches: Vec<TaskLaunch>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let mut by_executor: BTreeMap<String, Vec<TaskLaunch>> = BTreeMap::new();
        for launch in launches {
            by_executor.entry(launch.executor_id.clone()).or_default().push(launch);
        }
        for (executor_id, mut launches) in by_executor {
            let agent_id = self.executors.get(&executor_id).map(|e| e.agent_id.clone());
            let held = agent_id.as_ref().and_then(|agent_id| self.held.remove(agent_id));
            let free = held.as_ref().map_or(0, |held| held.announced);
            let fitting = launches.len().min(usize::try_from(free).unwrap_or(usize::MAX));
            let refused = launches.split_off(fitting);
            match held {
                Some(held) if !launches.is_empty() => {
                    self.launch_on(&executor_id, held, launches, now, actions);
                }
                Some(held) => {
                    self.held.insert(held_agent(&held), held);
                }
                None => {}
            }
            for task in refused {
                let reason = "no offer is held for its executor any more".to_owned();
                actions.push(Action::TaskEnded {
                    task_id: task.task_id,
                    executor_id: task.executor_id,
                    end: TaskEnd::Lost(LossReason::LaunchRefused(reason)),
                });
            }
        }
    }

    fn launch_on(
        &mut self,
        executor_id: &str,
        mut held: Held,
        launches: Vec<TaskLaunch>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let agent_id = held_agent(&held);
        let mut started = Vec::new();
        if !self.has_executor(&agent_id) {
            started.push(self.start_executor(executor_id, &mut held.pool));
        }
        let left_over = held.announced > launches.len() as u64;
        let mut tasks = Vec::new();
        for launch in launches {
            let resources = held.pool.take("cpus", self.task_cpus());
            self.cpus_held += self.task_cpus();
            let Some(executor) = self.executors.get_mut(executor_id) else { continue };
            executor.tasks.insert(launch.task_id.clone());
            executor.idle_since = None;
            tasks.push(TaskInfo {
                name: launch.name,
                task_id: TaskId::from(launch.task_id.as_str()),
                agent_id: agent_id.clone(),
                resources,
                executor: executor.info.clone(),
                data: Some(launch.data),
                labels: labels(&self.settings.labels),
                ..TaskInfo::default()
            });
            let ask_at = Some(now + LAUNCH_QUESTION_INTERVAL);
            let task = Task { executor_id: executor_id.to_owned(), ask_at, killing: false };
            self.tasks.insert(launch.task_id, task);
        }
        let offer_ids = ids(&held.offers);
        self.metrics.offers_accepted += offer_ids.len() as u64;
        self.metrics.executors_launched += started.len() as u64;
        self.metrics.tasks_launched += tasks.len() as u64;
        self.agents.used(&agent_id);
        if left_over {
            self.say_slots(&agent_id, 0, actions);
        }
        let refuse = Some(LEFTOVER_REFUSAL);
        actions.push(Action::Launch(Launch { offer_ids, tasks, executors: started, refuse }));
    }

    /// Makes the executor of an agent, out of an offer that was found to have room for it.
    fn start_executor(&mut self, executor_id: &str, pool: &mut Pool) -> ExecutorLaunch {
        let ports = self.settings.ports.pick(pool).unwrap_or_default();
        let mut resources = self.settings.ports.take(ports, pool);
        let memory = self.settings.memory.total_mib();
        resources.extend(pool.take("cpus", self.settings.fine.executor_cpus));
        resources.extend(pool.take("mem", whole(memory)));
        self.cpus_held += self.settings.fine.executor_cpus;
        let host = self.executors.get(executor_id).map(|e| e.host.clone()).unwrap_or_default();
        let arguments = ExecutorArguments {
            executor_id,
            hostname: &host,
            cores: None,
            app_id: &self.application_id,
            ports,
        };
        let mut info = ExecutorInfo {
            executor_id: ExecutorId::from(executor_id),
            framework_id: Some(FrameworkId::from(self.framework_id.as_str())),
            command: Some(self.settings.program.command(&self.context, &arguments)),
            container: self.settings.container.clone(),
            resources,
            name: Some(format!("{} executor {executor_id}", self.settings.app_name)),
            source: Some(self.settings.app_name.clone()),
            labels: labels(&self.settings.labels),
            ..ExecutorInfo::default()
        };
        info.set_type(ExecutorType::Custom);
        let mut agent_id = AgentId::default();
        if let Some(executor) = self.executors.get_mut(executor_id) {
            executor.stage = Stage::Launched;
            executor.info = Some(info);
            agent_id = executor.agent_id.clone();
        }
        ExecutorLaunch {
            executor_id: executor_id.to_owned(),
            agent_id,
            host,
            cores: 0,
            memory_mib: memory,
            gpus: 0,
        }
    }

    pub(super) fn rescind(&mut self, offer_id: &OfferId, now: Instant, actions: &mut Vec<Action>) {
        self.metrics.offers_rescinded += 1;
        let holder =
            self.held.iter().find(|(_, held)| held.offers.iter().any(|o| o.id == *offer_id));
        let Some(agent_id) = holder.map(|(agent_id, _)| agent_id.clone()) else { return };
        let mut offers = self.drop_held(&agent_id, actions);
        offers.retain(|offer| offer.id != *offer_id);
        self.consider(agent_id, offers, now, actions);
        self.revive.want(now + UNWANTED_PAUSE);
    }

    /// Gives offers back that waited for too long.
    pub(super) fn end_holds(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let over: Vec<AgentId> = self
            .held
            .iter()
            .filter(|(_, held)| held.until <= now)
            .map(|(agent_id, _)| agent_id.clone())
            .collect();
        for agent_id in over {
            self.return_held(&agent_id, &DeclineReason::NotNeeded, actions);
            self.revive.want(now + UNWANTED_PAUSE);
        }
    }

    /// Gives all held offers back.
    pub(super) fn return_all(&mut self, reason: &DeclineReason, actions: &mut Vec<Action>) {
        let agents: Vec<AgentId> = self.held.keys().cloned().collect();
        for agent_id in agents {
            self.return_held(&agent_id, reason, actions);
        }
    }

    fn return_held(
        &mut self,
        agent_id: &AgentId,
        reason: &DeclineReason,
        actions: &mut Vec<Action>,
    ) {
        let offers = self.drop_held(agent_id, actions);
        if !offers.is_empty() {
            self.metrics.declined(reason, offers.len());
            let reason = reason.clone();
            actions.push(Action::Decline { offer_ids: ids(&offers), refuse: None, reason });
        }
    }

    /// Takes the held offers of an agent out and says that their slots are gone.
    pub(super) fn drop_held(
        &mut self,
        agent_id: &AgentId,
        actions: &mut Vec<Action>,
    ) -> Vec<Offer> {
        let Some(held) = self.held.remove(agent_id) else { return Vec::new() };
        if held.announced > 0 {
            self.say_slots(agent_id, 0, actions);
        }
        held.offers
    }

    /// Looks again at held offers of an agent whose executor is gone: another one may not fit them.
    pub(super) fn reconsider(
        &mut self,
        agent_id: &AgentId,
        offers: Vec<Offer>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if !offers.is_empty() {
            self.consider(agent_id.clone(), offers, now, actions);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all there is to say about an offer")]
    fn decline(
        &mut self,
        agent_id: &AgentId,
        host: String,
        offers: &[Offer],
        pool: &Pool,
        reason: DeclineReason,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let refuse = self.refuse_duration(&reason, agent_id, now);
        self.metrics.declined(&reason, offers.len());
        if reason != DeclineReason::NotNeeded {
            offers.iter().for_each(|_| self.revive.unusable_offer());
            self.agents.remember(AgentShortage {
                agent_id: agent_id.clone(),
                host,
                cpus: units(pool.amount("cpus")),
                memory_mib: units(pool.amount("mem")),
                fate: Fate::Declined(reason.clone()),
                refused_until: refuse.map(|refuse| now + refuse),
            });
        }
        actions.push(Action::Decline { offer_ids: ids(offers), refuse, reason });
    }

    fn refuse_duration(
        &self,
        reason: &DeclineReason,
        agent_id: &AgentId,
        now: Instant,
    ) -> Option<Duration> {
        match reason {
            DeclineReason::UnmetConstraint(_) => Some(self.settings.refuse.unmet_constraints),
            // The end of a task revives; an idle executor is given up for a later offer.
            DeclineReason::ReachedCoresMax if !self.tasks.is_empty() => {
                Some(self.settings.refuse.reached_max)
            }
            DeclineReason::Excluded => {
                let until = self.agents.excluded_until(agent_id, now)?;
                Some(until.saturating_duration_since(now))
            }
            DeclineReason::Stopped
            | DeclineReason::ReachedCoresMax
            | DeclineReason::ReachedGpusMax
            | DeclineReason::ReachedExecutorLimit
            | DeclineReason::AgentFull
            | DeclineReason::TooFewCpus { .. }
            | DeclineReason::TooLittleMemory { .. }
            | DeclineReason::TooFewGpus { .. }
            | DeclineReason::NoPort { .. }
            | DeclineReason::NotNeeded => None,
        }
    }
}

fn held_agent(held: &Held) -> AgentId {
    held.offers.first().map(|offer| offer.agent_id.clone()).unwrap_or_default()
}

fn labels(labels: &Labels) -> Option<Labels> {
    Some(labels.clone()).filter(|labels| !labels.labels.is_empty())
}
