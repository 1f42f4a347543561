//! A copy of the state for the endpoints, so that no reader ever holds the master up. What is large is
//! shared with the master and not copied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesos_api::quota::QuotaConfig;
use mesos_api::scheduler::OfferConstraints;
use mesos_api::{
    AgentId, AgentInfo, DrainConfig, ExecutorInfo, FrameworkId, FrameworkInfo, MasterInfo,
    Resources, Task,
};

use super::shelf::Parts;
use super::state::{Agent, Connection, Drain, Framework, OfferRecord};
use super::{Counters, Master};
use crate::allocator::Time;

/// A framework, running or completed.
#[derive(Clone, Debug)]
pub struct FrameworkView {
    /// Its id.
    pub id: FrameworkId,
    /// What it told about itself.
    pub info: Arc<FrameworkInfo>,
    /// Which agents it wants to hear of.
    pub constraints: Option<OfferConstraints>,
    /// It has a stream.
    pub connected: bool,
    /// Agents brought it, and it did not return since the master started.
    pub recovered: bool,
    /// Times of its life.
    pub registered: Time,
    /// Time of the latest return.
    pub reregistered: Option<Time>,
    /// Time of its removal.
    pub unregistered: Option<Time>,
    /// Roles it wants no offers for.
    pub suppressed: BTreeSet<String>,
    /// Live tasks, and ended ones not acknowledged.
    pub tasks: Parts<Task>,
    /// Tasks on unreachable agents.
    pub unreachable_tasks: Vec<Arc<Task>>,
    /// Ended tasks.
    pub completed_tasks: Vec<Arc<Task>>,
    /// Running custom executors and where.
    pub executors: Vec<(AgentId, Arc<ExecutorInfo>)>,
    /// Outstanding offers.
    pub offers: Vec<Arc<OfferRecord>>,
    /// Held by tasks and executors.
    pub used: Resources,
    /// Held by offers.
    pub offered: Resources,
}

/// How far an agent is emptied.
#[derive(Clone, Debug, PartialEq)]
pub struct DrainView {
    /// How it is to be done.
    pub config: DrainConfig,
    /// Since when.
    pub since: Time,
    /// Nothing is left.
    pub done: bool,
}

/// An agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentView {
    /// Its id.
    pub id: AgentId,
    /// What it told about itself.
    pub info: Arc<AgentInfo>,
    /// Where it listens.
    pub ip: String,
    /// Its version.
    pub version: String,
    /// It has a connection.
    pub connected: bool,
    /// It takes work.
    pub active: bool,
    /// An operator wants no offers of it.
    pub deactivated: bool,
    /// It is being emptied.
    pub drain: Option<DrainView>,
    /// Time of its admission.
    pub registered: Time,
    /// Time of the latest return.
    pub reregistered: Option<Time>,
    /// All it has.
    pub total: Resources,
    /// Held by tasks and executors.
    pub used: Resources,
    /// Held by offers.
    pub offered: Resources,
}

/// An agent that is not there.
#[derive(Clone, Debug)]
pub struct LostAgentView {
    /// Its id.
    pub id: AgentId,
    /// What it told about itself.
    pub info: Arc<AgentInfo>,
    /// Since when it is away.
    pub since: Time,
}

/// Limits of a role.
#[derive(Clone, Debug)]
pub struct QuotaView {
    /// What was set.
    pub config: QuotaConfig,
    /// What the role holds of the limited resources.
    pub held: BTreeMap<String, f64>,
}

/// The state at a moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Who leads.
    pub master_info: MasterInfo,
    /// When the master started.
    pub started: Time,
    /// The moment.
    pub now: Time,
    /// Admitted agents; one that did not change is the same as in the snapshot before.
    pub agents: Vec<Arc<AgentView>>,
    /// Agents that did not return since the master started.
    pub recovered_agents: Vec<LostAgentView>,
    /// Agents that stopped answering.
    pub unreachable_agents: Vec<LostAgentView>,
    /// Frameworks, subscribed or away.
    pub frameworks: Vec<FrameworkView>,
    /// Removed frameworks.
    pub completed_frameworks: Vec<FrameworkView>,
    /// For the metrics.
    pub counters: Counters,
    /// Weights of roles.
    pub weights: BTreeMap<String, f64>,
    /// Limits of roles.
    pub quotas: Vec<QuotaView>,
    /// Dominant shares of roles in use.
    pub shares: BTreeMap<String, f64>,
    /// Filters that hold.
    pub filters: usize,
}

impl Master {
    /// Copies the state.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        // In one go: to look each of a framework's up takes several times as long.
        let mut offers: BTreeMap<&FrameworkId, Vec<Arc<OfferRecord>>> = BTreeMap::new();
        for offer in self.offers.values() {
            offers.entry(&offer.framework_id).or_default().push(Arc::clone(offer));
        }
        let mut offers_of = |id: &FrameworkId| offers.remove(id).unwrap_or_default();
        let frameworks: Vec<FrameworkView> = self
            .frameworks
            .iter()
            .map(|(id, framework)| self.framework_view(id, framework, offers_of(id)))
            .collect();
        let roles = frameworks.iter().flat_map(|framework| framework.info.subscribed_roles());
        let mut shares: BTreeMap<String, f64> = BTreeMap::new();
        for role in roles.chain(self.quotas.keys().cloned()) {
            let share = self.allocator.share(&role);
            shares.insert(role, share);
        }
        Snapshot {
            master_info: self.settings.master_info.clone(),
            started: self.started,
            now: self.now,
            agents: self.agents.iter().map(|(id, agent)| self.shared_view(id, agent)).collect(),
            recovered_agents: lost_views(&self.recovered_agents),
            unreachable_agents: lost_views(&self.unreachable_agents),
            frameworks,
            completed_frameworks: self
                .completed_frameworks
                .iter()
                .map(|f| self.framework_view(&f.info.id.clone().unwrap_or_default(), f, Vec::new()))
                .collect(),
            counters: self.counters.clone(),
            weights: self.allocator.weights().clone(),
            quotas: self
                .quotas
                .iter()
                .map(|(role, config)| self.quota_view(role, config))
                .collect(),
            shares,
            filters: self.allocator.filter_count(),
        }
    }

    fn quota_view(&self, role: &str, config: &QuotaConfig) -> QuotaView {
        let held = config.limits.keys();
        let held = held.map(|name| (name.clone(), self.allocator.held_by_role(role, name)));
        QuotaView { config: config.clone(), held: held.collect() }
    }

    /// The view of an agent, made anew only after a change.
    fn shared_view(&self, id: &AgentId, agent: &Agent) -> Arc<AgentView> {
        Arc::clone(agent.view.get_or_init(|| Arc::new(self.agent_view(id, agent))))
    }

    pub(super) fn agent_view(&self, id: &AgentId, agent: &Agent) -> AgentView {
        let drain_view = |drain: &Drain| DrainView {
            config: drain.config.clone(),
            since: drain.since,
            done: drain.done,
        };
        AgentView {
            id: id.clone(),
            info: Arc::clone(&agent.info),
            ip: agent.ip.clone(),
            version: agent.version.clone(),
            connected: agent.link.is_some(),
            active: agent.is_active(),
            deactivated: agent.deactivated,
            drain: agent.drain.as_ref().map(drain_view),
            registered: agent.registered,
            reregistered: agent.reregistered,
            total: self.allocator.total(id).cloned().unwrap_or_default(),
            used: agent.used.clone(),
            offered: agent.offered.clone(),
        }
    }

    pub(super) fn framework_view(
        &self,
        id: &FrameworkId,
        framework: &Framework,
        offers: Vec<Arc<OfferRecord>>,
    ) -> FrameworkView {
        FrameworkView {
            id: id.clone(),
            info: Arc::clone(&framework.info),
            constraints: framework.constraints.clone(),
            connected: framework.is_subscribed(),
            recovered: framework.connection == Connection::Recovered,
            registered: framework.registered,
            reregistered: framework.reregistered,
            unregistered: framework.unregistered,
            suppressed: framework.suppressed.clone(),
            tasks: framework.tasks.parts(),
            unreachable_tasks: framework.unreachable.values().cloned().collect(),
            completed_tasks: framework.completed.iter().cloned().collect(),
            executors: framework
                .executors
                .iter()
                .map(|((agent_id, _), record)| (agent_id.clone(), Arc::clone(&record.info)))
                .collect(),
            offers,
            used: framework.used.clone(),
            offered: framework.offered.clone(),
        }
    }
}

fn lost_views(lost: &BTreeMap<AgentId, super::Unreachable>) -> Vec<LostAgentView> {
    let view = |(id, lost): (&AgentId, &super::Unreachable)| LostAgentView {
        id: id.clone(),
        info: Arc::clone(&lost.info),
        since: lost.since,
    };
    lost.iter().map(view).collect()
}
