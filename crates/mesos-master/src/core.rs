//! The master as a state machine: [`Master::handle`] takes an event and the time and returns what is
//! to be done. It knows no sockets and no clock; the shell around it performs the actions and comes
//! back at [`Master::next_wakeup`].

mod accept;
mod acl;
mod agents;
mod calls;
mod drain;
mod event;
mod explain;
mod loss;
mod offers;
mod operator;
pub mod publish;
mod reconcile;
pub mod registry;
mod removal;
mod reserve;
mod shelf;
mod snapshot;
mod state;
mod subscribe;
mod timers;
mod updates;
mod validate;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mesos_api::agent_protocol::ToAgent;
use mesos_api::quota::QuotaConfig;
use mesos_api::{AgentId, FrameworkId, MasterInfo, OfferId, Resources, scheduler};

use crate::allocator::{Allocator, Limits, Time};

pub use acl::{Acls, MalformedAcls};
pub use event::{Action, Answer, Event, LinkId, Operation, RequestId, StreamId};
pub use explain::{AgentReason, FrameworkReasons, Reason};
use registry::{Registry, Standing};
pub use shelf::{Items, Part, Parts};
pub use snapshot::{AgentView, DrainView, FrameworkView, LostAgentView, QuotaView, Snapshot};
pub use state::OfferRecord;
use state::{Agents, Drain, Framework, Unreachable};
use timers::Timers;

/// What the core has to know of its flags.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who leads; the id is the prefix of all ids this master gives.
    pub master_info: MasterInfo,
    /// Offers are taken back after this time.
    pub offer_timeout: Option<Time>,
    /// Time between two pings of an agent.
    pub agent_ping_timeout: Time,
    /// Unanswered pings after which an agent is unreachable.
    pub max_agent_ping_timeouts: u32,
    /// Freed resources wait this long for others, so that offers come in batches.
    pub allocation_delay: Time,
    /// Shortest time for which declined resources stay away.
    pub allocation_interval: Time,
    /// Time between two heartbeats of a stream.
    pub heartbeat_interval: Time,
    /// Ended frameworks kept for the endpoints.
    pub max_completed_frameworks: usize,
    /// Ended tasks kept of each framework.
    pub max_completed_tasks_per_framework: usize,
    /// Weights of roles.
    pub weights: BTreeMap<String, f64>,
    /// Roles frameworks may use; all, if empty.
    pub roles: BTreeSet<String>,
    /// How long agents have to return after the master started anew.
    pub agent_reregister_timeout: Time,
    /// Agents with GPUs are for frameworks that know GPUs.
    pub filter_gpu_resources: bool,
    /// Who may do what.
    pub acls: Acls,
}

/// Counters for the metrics endpoint.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Calls by name.
    pub calls: BTreeMap<&'static str, u64>,
    /// Updates taken from agents.
    pub status_updates: u64,
    /// Updates that changed nothing known.
    pub invalid_status_updates: u64,
    /// Offers made.
    pub offers_sent: u64,
    /// Offers taken back.
    pub offers_rescinded: u64,
    /// Runs of the allocator.
    pub allocation_runs: u64,
    /// Tasks that ended, by state.
    pub ended_tasks: BTreeMap<&'static str, u64>,
    /// Agents removed.
    pub agent_removals: u64,
    /// Agents admitted.
    pub agent_registrations: u64,
    /// Agents that returned.
    pub agent_reregistrations: u64,
    /// Time of the latest run of the allocator, and of all, in seconds; measured by the shell.
    pub allocation_seconds: f64,
}

/// Larger clusters are not checked after each event, even in debug builds.
const LARGEST_CHECKED: usize = 50;

/// See the module.
#[derive(Debug)]
pub struct Master {
    settings: Settings,
    started: Time,
    now: Time,
    allocator: Allocator,
    quotas: BTreeMap<String, QuotaConfig>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    completed_frameworks: VecDeque<Framework>,
    /// Ids of removed frameworks, which may not come back.
    removed_frameworks: BTreeSet<FrameworkId>,
    streams: BTreeMap<StreamId, FrameworkId>,
    agents: Agents,
    links: BTreeMap<LinkId, AgentId>,
    /// Agents of an earlier master that did not return yet.
    recovered_agents: BTreeMap<AgentId, Unreachable>,
    unreachable_agents: BTreeMap<AgentId, Unreachable>,
    gone_agents: BTreeMap<AgentId, Time>,
    /// Agents that are being emptied and not empty yet.
    draining: BTreeSet<AgentId>,
    offers: BTreeMap<OfferId, Arc<OfferRecord>>,
    next_framework: u64,
    next_agent: u64,
    next_offer: u64,
    allocation_due: Option<Time>,
    /// The next heartbeat of a subscribed framework, the removal of another.
    framework_timers: Timers<FrameworkId>,
    /// The next ping of an agent, or the time of giving it up.
    agent_timers: Timers<AgentId>,
    offer_timers: Timers<OfferId>,
    /// Somebody listens to the operator API's events.
    observed: bool,
    counters: Counters,
    actions: Vec<Action>,
}

impl Master {
    /// Builds a master that leads a cluster without agents and frameworks.
    #[must_use]
    pub fn new(settings: Settings, now: Time) -> Self {
        Self::recover(settings, Registry::default(), now)
    }

    /// Builds a master that leads the cluster of an earlier one. Its agents have time to return.
    #[must_use]
    pub fn recover(settings: Settings, registry: Registry, now: Time) -> Self {
        let weights = registry.weights.unwrap_or_else(|| settings.weights.clone());
        let mut allocator = Allocator::new(weights);
        allocator.set_filter_gpus(settings.filter_gpu_resources);
        allocator.set_limits(limits_of(&registry.quotas));
        let mut master = Self {
            allocator,
            settings,
            started: now,
            now,
            quotas: registry.quotas,
            frameworks: BTreeMap::new(),
            completed_frameworks: VecDeque::new(),
            removed_frameworks: BTreeSet::new(),
            streams: BTreeMap::new(),
            agents: Agents::default(),
            links: BTreeMap::new(),
            recovered_agents: BTreeMap::new(),
            unreachable_agents: BTreeMap::new(),
            gone_agents: BTreeMap::new(),
            draining: BTreeSet::new(),
            offers: BTreeMap::new(),
            next_framework: 0,
            next_agent: 0,
            next_offer: 0,
            allocation_due: None,
            framework_timers: Timers::default(),
            agent_timers: Timers::default(),
            offer_timers: Timers::default(),
            observed: false,
            counters: Counters::default(),
            actions: Vec::new(),
        };
        for (id, record) in registry.agents {
            let since = record.since();
            let entry = Unreachable {
                since,
                deactivated: record.deactivated,
                drain: record.drain.map(|config| Drain { config, since, done: false }),
                info: Arc::new(record.info),
            };
            match Standing::try_from(record.standing) {
                Ok(Standing::Unreachable) => drop(master.unreachable_agents.insert(id, entry)),
                Ok(Standing::Gone) => drop(master.gone_agents.insert(id, since)),
                Ok(Standing::Admitted) | Err(_) => {
                    let due = now + master.settings.agent_reregister_timeout;
                    master.agent_timers.set(id.clone(), due);
                    master.recovered_agents.insert(id, entry);
                }
            }
        }
        master
    }

    /// Takes an event, and does what has become due by `now`.
    pub fn handle(&mut self, event: Event, now: Time) -> Vec<Action> {
        self.now = now.max(self.now);
        match event {
            Event::Subscribe { stream, subscribe, principal } => {
                self.subscribe(stream, subscribe, principal);
            }
            Event::StreamClosed { stream } => self.stream_closed(&stream),
            Event::Call { request, call, stream, principal } => {
                let answer = self.call(call, stream.as_ref(), principal.as_deref());
                self.act(Action::Answer { request, answer });
            }
            Event::Operate { request, operation, principal } => {
                let answer = self.operate(operation, principal.as_deref());
                self.act(Action::Answer { request, answer });
            }
            Event::Observed { observed } => self.observed = observed,
            Event::AgentConnected { link, register } => self.register_agent(link, register),
            Event::AgentMessage { link, message } => self.agent_message(link, message),
            Event::AgentClosed { link } => self.agent_closed(link),
            Event::Tick => {}
        }
        if self.next_wakeup().is_some_and(|wakeup| wakeup <= self.now) {
            self.do_what_is_due();
        }
        if !self.draining.is_empty() {
            self.finish_drains();
        }
        if cfg!(debug_assertions) && self.agents.len() <= LARGEST_CHECKED {
            self.check();
        }
        std::mem::take(&mut self.actions)
    }

    /// When `handle` wants to be called at the latest, though nothing happened.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        let timers = [
            self.framework_timers.next(),
            self.agent_timers.next(),
            self.offer_timers.next(),
            self.allocation_due,
            self.allocator.next_expiry(),
        ];
        timers.into_iter().flatten().min()
    }

    fn do_what_is_due(&mut self) {
        self.expire_offers();
        self.serve_framework_timers();
        self.serve_agent_timers();
        let expired = self.allocator.next_expiry().is_some_and(|expiry| expiry <= self.now);
        if expired || self.allocation_due.is_some_and(|due| due <= self.now) {
            self.allocation_due = None;
            self.allocate();
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Sends an event to a framework, if it listens.
    fn send(&mut self, framework_id: &FrameworkId, event: scheduler::Event) {
        let stream = self.frameworks.get(framework_id).and_then(|f| f.stream.clone());
        if let Some(stream) = stream {
            self.act(Action::Send { stream, event });
        }
    }

    fn tell_agent(&mut self, agent_id: &AgentId, message: ToAgent) {
        if let Some(link) = self.agents.get(agent_id).and_then(|agent| agent.link) {
            self.act(Action::ToAgent { link, message });
        }
    }

    fn request_allocation(&mut self) {
        let due = self.now + self.settings.allocation_delay;
        self.allocation_due = Some(self.allocation_due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Notes what a task or an executor holds from now on.
    fn hold(&mut self, id: &FrameworkId, agent_id: &AgentId, resources: &Resources) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.used.add_all(&resources.only_scalars());
        }
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.used.add_all(resources);
        }
    }

    /// Gives resources of a task or an executor back.
    fn recover_used(&mut self, id: &FrameworkId, agent_id: &AgentId, resources: &Resources) {
        if resources.is_empty() {
            return;
        }
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.used.subtract_all(&resources.only_scalars());
        }
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.used.subtract_all(resources);
        }
        self.allocator.recover(id, agent_id, resources, None);
        self.request_allocation();
    }

    /// Invariants between events.
    fn check(&self) {
        for (stream, framework_id) in &self.streams {
            let framework = self.frameworks.get(framework_id);
            assert!(
                framework.is_some_and(|framework| framework.stream.as_ref() == Some(stream)),
                "stream {stream} belongs to no connected framework"
            );
        }
        for (offer_id, offer) in &self.offers {
            let agent = self.agents.get(&offer.agent_id);
            assert!(agent.is_some_and(|a| a.offers.contains(offer_id)), "{offer_id} without agent");
            let framework = self.frameworks.get(&offer.framework_id);
            assert!(framework.is_some_and(|f| f.offers.contains(offer_id)), "{offer_id} of nobody");
        }
        for (id, framework) in &self.frameworks {
            let of_offers = framework.offers.iter().filter_map(|offer| self.offers.get(offer));
            let offered = sum(of_offers.map(|offer| &offer.resources)).only_scalars();
            assert!(same(&framework.offered, &offered), "{id}: {} {offered}", framework.offered);
            let tasks = framework.tasks.values().map(|record| &record.resources);
            let executors = framework.executors.values().map(|record| &record.resources);
            let used = sum(tasks.chain(executors)).only_scalars();
            assert!(same(&framework.used, &used), "{id} uses {used}, not {}", framework.used);
            for (task_id, record) in framework.tasks.iter() {
                let agent = self.agents.get(&record.task.agent_id);
                let key = (id.clone(), task_id.clone());
                assert!(agent.is_some_and(|a| a.tasks.contains(&key)), "{task_id} is nowhere");
            }
        }
        for (agent_id, agent) in self.agents.iter() {
            let of_offers = agent.offers.iter().filter_map(|offer| self.offers.get(offer));
            let offered = sum(of_offers.map(|offer| &offer.resources));
            assert!(same(&agent.offered, &offered), "{agent_id}: {} {offered}", agent.offered);
            let mut all = self.allocator.free(agent_id).cloned().unwrap_or_default();
            all.add_all(&offered.unallocated());
            all.add_all(&agent.used.unallocated());
            let total = self.allocator.total(agent_id).cloned().unwrap_or_default();
            let shown = agent.view.get();
            let current = shown.is_none_or(|view| **view == self.agent_view(agent_id, agent));
            assert!(current, "readers are shown an old {agent_id}");
            let sound = all.contains(&total) && (total.contains(&all) || agent.overcommitted);
            assert!(sound, "agent {agent_id} has {total}, but free, offered and used are {all}");
        }
    }
}

fn sum<'a>(parts: impl Iterator<Item = &'a Resources>) -> Resources {
    parts.fold(Resources::new(), |mut sum, part| {
        sum.add_all(part);
        sum
    })
}

fn same(a: &Resources, b: &Resources) -> bool {
    a.contains(b) && b.contains(a)
}

/// Limits as the allocator takes them.
fn limits_of(quotas: &BTreeMap<String, QuotaConfig>) -> BTreeMap<String, Limits> {
    let limits = |quota: &QuotaConfig| {
        quota.limits.iter().map(|(name, limit)| (name.clone(), limit.value)).collect()
    };
    quotas.iter().map(|(role, quota)| (role.clone(), limits(quota))).collect()
}

#[cfg(test)]
mod tests;
