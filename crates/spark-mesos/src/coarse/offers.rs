//! Offers × demand: which executors start where, and why the other offers go back.

use std::time::{Duration, Instant};

use mesos_api::{AgentId, Labels, Offer, OfferId, TaskId, TaskInfo};

use super::{
    Action, CoarseScheduler, Executor, ExecutorLaunch, LAUNCH_QUESTION_INTERVAL, Launch, Stage,
};
use crate::command::ExecutorArguments;
use crate::reason::DeclineReason;
use crate::report::AgentShortage;
use crate::resources::{Milli, Pool, UNIT};
use crate::settings::Placement;

/// The offers of one agent in one batch.
struct Candidate {
    agent_id: AgentId,
    host: String,
    offers: Vec<Offer>,
    pool: Pool,
    /// Cores of the executors to launch here.
    planned: Vec<u64>,
    /// Executors of ours already here.
    present: u64,
    refusal: Option<DeclineReason>,
}

impl Candidate {
    fn cpus_left(&self) -> Milli {
        let planned: u64 = self.planned.iter().sum();
        self.pool.amount("cpus") - whole(planned)
    }

    fn memory_left(&self, per_executor: Milli) -> Milli {
        self.pool.amount("mem") - per_executor * self.planned.len() as Milli
    }
}

/// What may still be taken while a batch is planned.
struct Budget {
    cores: u64,
    executors: u64,
}

fn whole(units: u64) -> Milli {
    Milli::try_from(units).unwrap_or(Milli::MAX / UNIT).saturating_mul(UNIT)
}

impl CoarseScheduler {
    pub(super) fn match_offers(
        &mut self,
        offers: Vec<Offer>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.counters.received += offers.len() as u64;
        let mut candidates = self.group(offers);
        for candidate in &mut candidates {
            candidate.refusal = self.refusal(candidate, now);
        }
        let satisfied = self.plan(&mut candidates);
        for candidate in candidates {
            if candidate.planned.is_empty() {
                self.decline(candidate, now, actions);
            } else {
                // Nothing more is wanted: the rest is of no use for as long as that holds.
                let refuse = satisfied.then_some(self.settings.refuse.reached_max);
                self.launch(candidate, refuse, now, actions);
            }
        }
        self.tell_demand(false, actions);
    }

    /// Offers by agent, agents in the order of their first offer.
    fn group(&self, offers: Vec<Offer>) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut places = std::collections::BTreeMap::new();
        for offer in offers {
            let place = *places.entry(offer.agent_id.clone()).or_insert_with(|| {
                candidates.push(Candidate {
                    agent_id: offer.agent_id.clone(),
                    host: offer.hostname.clone(),
                    offers: Vec::new(),
                    pool: Pool::default(),
                    planned: Vec::new(),
                    present: 0,
                    refusal: None,
                });
                candidates.len() - 1
            });
            candidates[place].offers.push(offer);
        }
        for candidate in &mut candidates {
            candidate.pool = Pool::of(&candidate.offers);
            let here = self.executors.values().filter(|e| e.agent_id == candidate.agent_id);
            candidate.present = here.count() as u64;
        }
        candidates
    }

    /// Why this agent cannot take even one executor.
    fn refusal(&self, candidate: &Candidate, now: Instant) -> Option<DeclineReason> {
        if self.stopped {
            return Some(DeclineReason::Stopped);
        }
        if self.executors_left() == 0 {
            return Some(DeclineReason::ReachedExecutorLimit);
        }
        if self.cores_left() < self.least_cores() {
            return Some(DeclineReason::ReachedCoresMax);
        }
        let attributes = candidate.offers.first().map_or(&[][..], |offer| &offer.attributes);
        if let Some(unmet) = self.settings.constraints.unmet(attributes) {
            return Some(DeclineReason::UnmetConstraint(unmet.to_string()));
        }
        let record = self.agents.get(&candidate.agent_id);
        if record.and_then(|agent| agent.excluded_until).is_some_and(|until| now < until) {
            return Some(DeclineReason::Excluded);
        }
        if self.settings.max_executors_per_agent.is_some_and(|most| candidate.present >= most) {
            return Some(DeclineReason::AgentFull);
        }
        let cpus = candidate.pool.amount("cpus");
        if cpus < whole(self.least_cores()) {
            let wanted = self.least_cores() as f64;
            return Some(DeclineReason::TooFewCpus { offered: units(cpus), wanted });
        }
        let memory = candidate.pool.amount("mem");
        if memory < whole(self.settings.memory.total_mib()) {
            let wanted = self.settings.memory.total_mib() as f64;
            return Some(DeclineReason::TooLittleMemory { offered: units(memory), wanted });
        }
        None
    }

    /// Lays executors over the candidates: in turn, or one candidate after the other. Returns whether
    /// that satisfies the demand.
    fn plan(&self, candidates: &mut [Candidate]) -> bool {
        let mut budget = Budget { cores: self.cores_left(), executors: self.executors_left() };
        match self.settings.placement {
            Placement::Spread => loop {
                let mut grown = false;
                for candidate in &mut *candidates {
                    grown |= self.grow(candidate, &mut budget);
                }
                if !grown {
                    break;
                }
            },
            Placement::Pack => {
                for candidate in &mut *candidates {
                    while self.grow(candidate, &mut budget) {}
                }
            }
        }
        for candidate in candidates.iter_mut().filter(|c| c.planned.is_empty()) {
            candidate.refusal.get_or_insert_with(|| match budget.executors {
                0 => DeclineReason::ReachedExecutorLimit,
                _ if self.settings.cores_max.is_some() => DeclineReason::ReachedCoresMax,
                _ => DeclineReason::NotNeeded,
            });
        }
        budget.executors == 0 || budget.cores < self.least_cores()
    }

    /// Adds one executor, or, where its size is open, one core to the executor already planned.
    fn grow(&self, candidate: &mut Candidate, budget: &mut Budget) -> bool {
        if candidate.refusal.is_some() {
            return false;
        }
        let open_size = self.settings.executor_cores.is_none();
        if let (true, Some(cores)) = (open_size, candidate.planned.last().copied()) {
            let fits = budget.cores >= 1 && candidate.cpus_left() >= UNIT;
            if fits {
                candidate.planned.pop();
                candidate.planned.push(cores + 1);
                budget.cores -= 1;
            }
            return fits;
        }
        let cores = self.least_cores();
        let memory = whole(self.settings.memory.total_mib());
        let here = candidate.present + candidate.planned.len() as u64;
        let fits = budget.executors >= 1
            && budget.cores >= cores
            && candidate.cpus_left() >= whole(cores)
            && candidate.memory_left(memory) >= memory
            && self.settings.max_executors_per_agent.is_none_or(|most| here < most);
        if fits {
            candidate.planned.push(cores);
            budget.cores -= cores;
            budget.executors -= 1;
        }
        fits
    }

    fn decline(&mut self, candidate: Candidate, now: Instant, actions: &mut Vec<Action>) {
        let offer_ids = ids(&candidate.offers);
        let reason = candidate.refusal.unwrap_or(DeclineReason::NotNeeded);
        let refuse = self.refuse_duration(&reason, &candidate.agent_id, now);
        *self.counters.declined.entry(reason.name()).or_default() += offer_ids.len() as u64;
        self.agents.entry(candidate.agent_id).or_default().shortage = Some(AgentShortage {
            host: candidate.host,
            cpus: units(candidate.pool.amount("cpus")),
            memory_mib: units(candidate.pool.amount("mem")),
            reason: reason.clone(),
        });
        actions.push(Action::Decline { offer_ids, refuse, reason });
    }

    fn refuse_duration(
        &self,
        reason: &DeclineReason,
        agent_id: &AgentId,
        now: Instant,
    ) -> Option<Duration> {
        match reason {
            DeclineReason::UnmetConstraint(_) => Some(self.settings.refuse.unmet_constraints),
            DeclineReason::ReachedCoresMax => Some(self.settings.refuse.reached_max),
            DeclineReason::Excluded => {
                let until = self.agents.get(agent_id)?.excluded_until?;
                Some(until.saturating_duration_since(now))
            }
            DeclineReason::Stopped
            | DeclineReason::ReachedExecutorLimit
            | DeclineReason::AgentFull
            | DeclineReason::TooFewCpus { .. }
            | DeclineReason::TooLittleMemory { .. }
            | DeclineReason::NotNeeded => None,
        }
    }

    fn launch(
        &mut self,
        mut candidate: Candidate,
        refuse: Option<Duration>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let mut tasks = Vec::new();
        let mut executors = Vec::new();
        for cpus in std::mem::take(&mut candidate.planned) {
            let executor_id = self.next_id.to_string();
            self.next_id += 1;
            tasks.push(self.task(&executor_id, cpus, &mut candidate));
            executors.push(ExecutorLaunch {
                executor_id: executor_id.clone(),
                agent_id: candidate.agent_id.clone(),
                host: candidate.host.clone(),
                cores: cpus + self.settings.extra_cores,
                memory_mib: self.settings.memory.total_mib(),
            });
            let executor = Executor {
                agent_id: candidate.agent_id.clone(),
                host: candidate.host.clone(),
                cpus,
                stage: Stage::Launched { ask_at: now + LAUNCH_QUESTION_INTERVAL },
                killing: false,
            };
            self.executors.insert(executor_id, executor);
        }
        let offer_ids = ids(&candidate.offers);
        self.counters.accepted += offer_ids.len() as u64;
        if let Some(agent) = self.agents.get_mut(&candidate.agent_id) {
            agent.shortage = None;
        }
        actions.push(Action::Launch(Launch { offer_ids, tasks, executors, refuse }));
    }

    fn task(&self, executor_id: &str, cpus: u64, candidate: &mut Candidate) -> TaskInfo {
        let arguments = ExecutorArguments {
            executor_id,
            hostname: &candidate.host,
            cores: cpus + self.settings.extra_cores,
            app_id: &self.framework_id,
        };
        let mut resources = candidate.pool.take("cpus", whole(cpus));
        let memory = whole(self.settings.memory.total_mib());
        resources.extend(candidate.pool.take("mem", memory));
        TaskInfo {
            name: format!("{} {executor_id}", self.settings.app_name),
            task_id: TaskId::from(executor_id),
            agent_id: candidate.agent_id.clone(),
            resources,
            command: Some(self.settings.program.command(&self.context, &arguments)),
            container: self.settings.container.clone(),
            labels: Some(self.settings.labels.clone()).filter(|l: &Labels| !l.labels.is_empty()),
            ..TaskInfo::default()
        }
    }
}

fn ids(offers: &[Offer]) -> Vec<OfferId> {
    offers.iter().map(|offer| offer.id.clone()).collect()
}

fn units(amount: Milli) -> f64 {
    amount as f64 / UNIT as f64
}
