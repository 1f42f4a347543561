//! The master as a state machine: [`Master::handle`] takes an event and the time and returns what is
//! to be done. It knows no sockets and no clock; the shell around it performs the actions and comes
//! back at [`Master::next_wakeup`].

mod accept;
mod agents;
mod calls;
mod event;
mod offers;
mod reconcile;
mod removal;
mod snapshot;
mod state;
mod subscribe;
mod updates;
mod validate;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesos_api::agent_protocol::ToAgent;
use mesos_api::{AgentId, FrameworkId, MasterInfo, OfferId, scheduler};

use crate::allocator::{Allocator, Time};

pub use event::{Action, Answer, Event, LinkId, RequestId, StreamId};
pub use snapshot::{AgentView, FrameworkView, Snapshot};
use state::{Agent, Framework, OfferRecord};

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
    frameworks: BTreeMap<FrameworkId, Framework>,
    completed_frameworks: VecDeque<Framework>,
    /// Ids of removed frameworks, which may not come back.
    removed_frameworks: BTreeSet<FrameworkId>,
    streams: BTreeMap<StreamId, FrameworkId>,
    agents: BTreeMap<AgentId, Agent>,
    links: BTreeMap<LinkId, AgentId>,
    unreachable_agents: BTreeMap<AgentId, Time>,
    gone_agents: BTreeSet<AgentId>,
    offers: BTreeMap<OfferId, OfferRecord>,
    next_framework: u64,
    next_agent: u64,
    next_offer: u64,
    allocation_due: Option<Time>,
    /// Nothing is due before this time; so most events need not look.
    wakeup: Option<Time>,
    counters: Counters,
    actions: Vec<Action>,
}

impl Master {
    /// Builds a master that leads a cluster without agents and frameworks.
    #[must_use]
    pub fn new(settings: Settings, now: Time) -> Self {
        Self {
            allocator: Allocator::new(settings.weights.clone()),
            settings,
            started: now,
            now,
            frameworks: BTreeMap::new(),
            completed_frameworks: VecDeque::new(),
            removed_frameworks: BTreeSet::new(),
            streams: BTreeMap::new(),
            agents: BTreeMap::new(),
            links: BTreeMap::new(),
            unreachable_agents: BTreeMap::new(),
            gone_agents: BTreeSet::new(),
            offers: BTreeMap::new(),
            next_framework: 0,
            next_agent: 0,
            next_offer: 0,
            allocation_due: None,
            wakeup: None,
            counters: Counters::default(),
            actions: Vec::new(),
        }
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
            Event::Teardown { request, framework_id } => {
                let answer = self.teardown_by_operator(&framework_id);
                self.act(Action::Answer { request, answer });
            }
            Event::AgentConnected { link, register } => self.register_agent(link, register),
            Event::AgentMessage { link, message } => self.agent_message(link, message),
            Event::AgentClosed { link } => self.agent_closed(link),
            Event::Tick => {}
        }
        if self.wakeup.is_some_and(|wakeup| wakeup <= self.now) {
            self.do_what_is_due();
            self.wakeup = self.earliest_due();
        }
        if cfg!(debug_assertions) && self.agents.len() <= LARGEST_CHECKED {
            self.check();
        }
        std::mem::take(&mut self.actions)
    }

    /// When `handle` wants to be called at the latest, though nothing happened.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        self.wakeup
    }

    /// Notes that something becomes due.
    fn wake_at(&mut self, due: Time) {
        self.wakeup = Some(self.wakeup.map_or(due, |earlier| earlier.min(due)));
    }

    fn earliest_due(&self) -> Option<Time> {
        let frameworks = self.frameworks.values().filter_map(Framework::next_due);
        let agents = self.agents.values().map(|agent| agent.ping_due);
        let offers = self.offers.values().filter_map(|offer| offer.expires);
        frameworks
            .chain(agents)
            .chain(offers)
            .chain(self.allocation_due)
            .chain(self.allocator.next_expiry())
            .min()
    }

    fn do_what_is_due(&mut self) {
        self.expire_offers();
        self.expire_frameworks();
        self.ping_agents();
        if self.allocator.next_expiry().is_some_and(|expiry| expiry <= self.now) {
            self.allocation_due = Some(self.now);
        }
        if self.allocation_due.is_some_and(|due| due <= self.now) {
            self.allocation_due = None;
            self.allocate();
        }
        self.send_heartbeats();
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
        self.wake_at(due);
    }

    /// Invariants between events.
    fn check(&self) {
        // An expiry that was passed while its role was suppressed is met by the next allocation.
        let due =
            self.earliest_due().map(|due| self.allocation_due.map_or(due, |run| run.max(due)));
        assert!(due.is_none() || self.wakeup.is_some_and(|w| Some(w) <= due), "{due:?} is missed");
        for (stream, framework_id) in &self.streams {
            let framework = self.frameworks.get(framework_id);
            assert!(
                framework.is_some_and(|framework| framework.stream.as_ref() == Some(stream)),
                "stream {stream} belongs to no connected framework"
            );
        }
        for (offer_id, offer) in &self.offers {
            assert!(self.agents.contains_key(&offer.agent_id), "offer {offer_id} without agent");
            assert!(
                self.frameworks.contains_key(&offer.framework_id),
                "offer {offer_id} of nobody"
            );
        }
        for (agent_id, agent) in &self.agents {
            let mut sum = self.allocator.free(agent_id).cloned().unwrap_or_default();
            for offer in self.offers.values().filter(|offer| offer.agent_id == *agent_id) {
                sum.add_all(&offer.resources.unallocated());
            }
            for framework in self.frameworks.values() {
                sum.add_all(&framework.used_on(agent_id).unallocated());
            }
            let total = self.allocator.total(agent_id).cloned().unwrap_or_default();
            let sound = sum.contains(&total) && (total.contains(&sum) || agent.overcommitted);
            assert!(sound, "agent {agent_id} has {total}, but free, offered and used are {sum}");
        }
    }
}

#[cfg(test)]
mod tests;
