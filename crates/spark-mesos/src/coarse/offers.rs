//! Offers × demand: which executors start where, and why the other offers go back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesos_api::{AgentId, DurationInfo, KillPolicy, Labels, Offer, OfferId, TaskId, TaskInfo};

use super::{
    Action, AgentShortage, CoarseScheduler, Executor, ExecutorLaunch, LAUNCH_QUESTION_INTERVAL,
    Launch, Stage,
};
use crate::command::ExecutorArguments;
use crate::ports::ExecutorPorts;
use crate::reason::DeclineReason;
use crate::report::Fate;
use crate::resources::{Milli, Pool, units, whole};
use crate::settings::Placement;

/// The offers of one agent in one batch.
struct Candidate {
    agent_id: AgentId,
    host: String,
    offers: Vec<Offer>,
    /// What is left after the planned executors.
    pool: Pool,
    cpus_left: Milli,
    memory_left: Milli,
    planned: Vec<Planned>,
    /// Executors of ours already here.
    present: u64,
    refusal: Option<DeclineReason>,
}

/// An executor to be.
struct Planned {
    cores: u64,
    gpus: u64,
    ports: ExecutorPorts,
    /// What it holds besides cpus and memory.
    extras: Vec<mesos_api::Resource>,
}

/// What may still be taken while a batch is planned.
struct Budget {
    cores: u64,
    gpus: u64,
    executors: u64,
}

impl CoarseScheduler {
    pub(super) fn match_offers(
        &mut self,
        offers: Vec<Offer>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.metrics.offers_received += offers.len() as u64;
        let mut candidates = self.group(offers);
        // What holds for every agent is looked up once: with many executors and offers it would count.
        let general = self.general_refusal();
        for candidate in &mut candidates {
            candidate.refusal = general.clone().or_else(|| self.refusal(candidate, now));
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
        let mut present: BTreeMap<&AgentId, u64> = BTreeMap::new();
        for executor in self.executors.values() {
            *present.entry(&executor.agent_id).or_default() += 1;
        }
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut places: BTreeMap<AgentId, usize> = BTreeMap::new();
        for offer in offers {
            let place = *places.entry(offer.agent_id.clone()).or_insert_with(|| {
                candidates.push(Candidate {
                    agent_id: offer.agent_id.clone(),
                    host: offer.hostname.clone(),
                    offers: Vec::new(),
                    pool: Pool::default(),
                    cpus_left: 0,
                    memory_left: 0,
                    planned: Vec::new(),
                    present: present.get(&offer.agent_id).copied().unwrap_or_default(),
                    refusal: None,
                });
                candidates.len() - 1
            });
            candidates[place].offers.push(offer);
        }
        for candidate in &mut candidates {
            candidate.pool = Pool::of(&candidate.offers);
            candidate.cpus_left = candidate.pool.amount("cpus");
            candidate.memory_left = candidate.pool.amount("mem");
        }
        candidates
    }

    /// Why no agent can take even one executor.
    fn general_refusal(&self) -> Option<DeclineReason> {
        if self.stopped {
            Some(DeclineReason::Stopped)
        } else if self.executors_left() == 0 {
            Some(DeclineReason::ReachedExecutorLimit)
        } else if !self.has_cores_left() {
            Some(DeclineReason::ReachedCoresMax)
        } else if !self.has_gpus_left() {
            Some(DeclineReason::ReachedGpusMax)
        } else {
            None
        }
    }

    /// Why this agent cannot take even one executor.
    fn refusal(&self, candidate: &Candidate, now: Instant) -> Option<DeclineReason> {
        let attributes = candidate.offers.first().map_or(&[][..], |offer| &offer.attributes);
        if let Some(unmet) = self.settings.constraints.unmet(attributes) {
            return Some(DeclineReason::UnmetConstraint(unmet.to_string()));
        }
        if self.agents.excluded_until(&candidate.agent_id, now).is_some() {
            return Some(DeclineReason::Excluded);
        }
        if self.settings.max_executors_per_agent.is_some_and(|most| candidate.present >= most) {
            return Some(DeclineReason::AgentFull);
        }
        let least = self.settings.core_unit();
        if candidate.cpus_left < whole(least) {
            let offered = units(candidate.cpus_left);
            return Some(DeclineReason::TooFewCpus { offered, wanted: least as f64 });
        }
        let memory = self.settings.memory.total_mib();
        if candidate.memory_left < whole(memory) {
            let offered = units(candidate.memory_left);
            return Some(DeclineReason::TooLittleMemory { offered, wanted: memory as f64 });
        }
        let gpus = self.settings.gpus;
        let offered = candidate.pool.amount("gpus");
        if gpus.required && offered < whole(gpus.per_executor) {
            let wanted = gpus.per_executor as f64;
            return Some(DeclineReason::TooFewGpus { offered: units(offered), wanted });
        }
        match self.settings.ports.pick(&candidate.pool) {
            Ok(_) => None,
            Err((first, last)) => Some(DeclineReason::NoPort { first, last }),
        }
    }

    /// Lays executors over the candidates: in turn, or one candidate after the other. Returns whether
    /// that satisfies the demand.
    fn plan(&self, candidates: &mut [Candidate]) -> bool {
        let mut budget = Budget {
            cores: self.cores_left(),
            gpus: self.gpus_left(),
            executors: self.executors_left(),
        };
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
        let enough_cores = budget.cores < self.settings.core_unit();
        let gpus = self.settings.gpus;
        let enough_gpus = gpus.required && budget.gpus < gpus.per_executor;
        for candidate in candidates.iter_mut().filter(|c| c.planned.is_empty()) {
            candidate.refusal.get_or_insert(if budget.executors == 0 {
                DeclineReason::ReachedExecutorLimit
            } else if enough_cores {
                DeclineReason::ReachedCoresMax
            } else if enough_gpus {
                DeclineReason::ReachedGpusMax
            } else {
                DeclineReason::NotNeeded
            });
        }
        budget.executors == 0 || enough_cores || enough_gpus
    }

    /// Adds one executor, or, where its size is open, the cores of one task to the executor already
    /// planned.
    fn grow(&self, candidate: &mut Candidate, budget: &mut Budget) -> bool {
        if candidate.refusal.is_some() {
            return false;
        }
        let cores = self.settings.core_unit();
        if budget.cores < cores || candidate.cpus_left < whole(cores) {
            return false;
        }
        if self.settings.executor_cores.is_none()
            && let Some(planned) = candidate.planned.last_mut()
        {
            planned.cores += cores;
        } else {
            let Some(planned) = self.next_executor(candidate, budget) else { return false };
            candidate.planned.push(Planned { cores, ..planned });
        }
        candidate.cpus_left -= whole(cores);
        budget.cores -= cores;
        true
    }

    /// Takes what an executor needs besides cores, if it is there.
    fn next_executor(&self, candidate: &mut Candidate, budget: &mut Budget) -> Option<Planned> {
        let memory = whole(self.settings.memory.total_mib());
        let here = candidate.present + candidate.planned.len() as u64;
        let gpus = self.settings.gpus;
        let offered = candidate.pool.amount("gpus");
        let has_gpus = budget.gpus >= gpus.per_executor && offered >= whole(gpus.per_executor);
        let fits = budget.executors >= 1
            && candidate.memory_left >= memory
            && (has_gpus || !gpus.required)
            && self.settings.max_executors_per_agent.is_none_or(|most| here < most);
        if !fits {
            return None;
        }
        let ports = self.settings.ports.pick(&candidate.pool).ok()?;
        let mut extras = self.settings.ports.take(ports, &mut candidate.pool);
        let gpus = if has_gpus { gpus.per_executor } else { 0 };
        if gpus > 0 {
            extras.extend(candidate.pool.take("gpus", whole(gpus)));
        }
        candidate.memory_left -= memory;
        budget.executors -= 1;
        budget.gpus -= gpus;
        Some(Planned { cores: 0, gpus, ports, extras })
    }

    fn decline(&mut self, candidate: Candidate, now: Instant, actions: &mut Vec<Action>) {
        let offer_ids = ids(&candidate.offers);
        let reason = candidate.refusal.unwrap_or(DeclineReason::NotNeeded);
        let refuse = self.refuse_duration(&reason, &candidate.agent_id, now);
        self.metrics.declined(&reason, offer_ids.len());
        self.agents.remember(AgentShortage {
            agent_id: candidate.agent_id,
            host: candidate.host,
            cpus: units(candidate.pool.amount("cpus")),
            memory_mib: units(candidate.pool.amount("mem")),
            fate: Fate::Declined(reason.clone()),
            refused_until: refuse.map(|refuse| now + refuse),
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
            DeclineReason::ReachedCoresMax | DeclineReason::ReachedGpusMax => {
                Some(self.settings.refuse.reached_max)
            }
            DeclineReason::Excluded => {
                let until = self.agents.excluded_until(agent_id, now)?;
                Some(until.saturating_duration_since(now))
            }
            DeclineReason::Stopped
            | DeclineReason::ReachedExecutorLimit
            | DeclineReason::AgentFull
            | DeclineReason::TooFewCpus { .. }
            | DeclineReason::TooLittleMemory { .. }
            | DeclineReason::TooFewGpus { .. }
            | DeclineReason::NoPort { .. }
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
        for planned in std::mem::take(&mut candidate.planned) {
            let executor_id = self.next_id.to_string();
            self.next_id += 1;
            executors.push(ExecutorLaunch {
                executor_id: executor_id.clone(),
                agent_id: candidate.agent_id.clone(),
                host: candidate.host.clone(),
                cores: planned.cores + self.settings.extra_cores,
                memory_mib: self.settings.memory.total_mib(),
                gpus: planned.gpus,
            });
            let executor = Executor {
                agent_id: candidate.agent_id.clone(),
                host: candidate.host.clone(),
                cpus: planned.cores,
                gpus: planned.gpus,
                stage: Stage::Launched { ask_at: now + LAUNCH_QUESTION_INTERVAL },
                killing: false,
            };
            tasks.push(self.task(&executor_id, planned, &mut candidate));
            self.executors.insert(executor_id, executor);
        }
        let offer_ids = ids(&candidate.offers);
        self.metrics.offers_accepted += offer_ids.len() as u64;
        self.metrics.executors_launched += executors.len() as u64;
        self.metrics.tasks_launched += tasks.len() as u64;
        self.agents.used(&candidate.agent_id);
        actions.push(Action::Launch(Launch { offer_ids, tasks, executors, refuse }));
    }

    fn task(&self, executor_id: &str, planned: Planned, candidate: &mut Candidate) -> TaskInfo {
        let arguments = ExecutorArguments {
            executor_id,
            hostname: &candidate.host,
            cores: Some(planned.cores + self.settings.extra_cores),
            app_id: &self.application_id,
            ports: planned.ports,
        };
        let mut resources = candidate.pool.take("cpus", whole(planned.cores));
        let memory = whole(self.settings.memory.total_mib());
        resources.extend(candidate.pool.take("mem", memory));
        resources.extend(planned.extras);
        TaskInfo {
            name: format!("{} {executor_id}", self.settings.app_name),
            task_id: TaskId::from(executor_id),
            agent_id: candidate.agent_id.clone(),
            resources,
            command: Some(self.settings.program.command(&self.context, &arguments)),
            container: self.settings.container.clone(),
            // Without one it has three seconds from SIGTERM to SIGKILL, also where its agent is drained.
            kill_policy: self
                .settings
                .leave_grace
                .map(|grace| KillPolicy { grace_period: Some(duration(grace)) }),
            labels: Some(self.settings.labels.clone()).filter(|l: &Labels| !l.labels.is_empty()),
            ..TaskInfo::default()
        }
    }
}

fn duration(time: Duration) -> DurationInfo {
    DurationInfo { nanoseconds: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX) }
}

fn ids(offers: &[Offer]) -> Vec<OfferId> {
    offers.iter().map(|offer| offer.id.clone()).collect()
}
