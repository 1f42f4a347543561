//! A copy of the state for the endpoints, so that no reader ever holds the master up.

use std::collections::BTreeSet;

use mesos_api::{
    AgentId, AgentInfo, ExecutorInfo, FrameworkId, FrameworkInfo, MasterInfo, Offer, Resources,
    Task,
};

use super::state::Framework;
use super::{Counters, Master};
use crate::allocator::Time;

/// A framework, running or completed.
#[derive(Clone, Debug)]
pub struct FrameworkView {
    /// Its id.
    pub id: FrameworkId,
    /// What it told about itself.
    pub info: FrameworkInfo,
    /// It has a stream.
    pub connected: bool,
    /// Times of its life.
    pub registered: Time,
    /// Time of the latest return.
    pub reregistered: Option<Time>,
    /// Time of its removal.
    pub unregistered: Option<Time>,
    /// Roles it wants no offers for.
    pub suppressed: BTreeSet<String>,
    /// Live tasks, and ended ones not acknowledged.
    pub tasks: Vec<Task>,
    /// Tasks on unreachable agents.
    pub unreachable_tasks: Vec<Task>,
    /// Ended tasks.
    pub completed_tasks: Vec<Task>,
    /// Running custom executors and where.
    pub executors: Vec<(AgentId, ExecutorInfo)>,
    /// Outstanding offers.
    pub offers: Vec<Offer>,
    /// Held by tasks and executors.
    pub used: Resources,
    /// Held by offers.
    pub offered: Resources,
}

/// An agent.
#[derive(Clone, Debug)]
pub struct AgentView {
    /// Its id.
    pub id: AgentId,
    /// What it told about itself.
    pub info: AgentInfo,
    /// Where it listens.
    pub ip: String,
    /// Its version.
    pub version: String,
    /// It has a connection.
    pub active: bool,
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

/// The state at a moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Who leads.
    pub master_info: MasterInfo,
    /// When the master started.
    pub started: Time,
    /// The moment.
    pub now: Time,
    /// Admitted agents.
    pub agents: Vec<AgentView>,
    /// Agents that stopped answering.
    pub unreachable_agents: Vec<AgentId>,
    /// Frameworks, subscribed or away.
    pub frameworks: Vec<FrameworkView>,
    /// Removed frameworks.
    pub completed_frameworks: Vec<FrameworkView>,
    /// For the metrics.
    pub counters: Counters,
    /// Weights of roles.
    pub weights: std::collections::BTreeMap<String, f64>,
}

impl Master {
    /// Copies the state.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            master_info: self.settings.master_info.clone(),
            started: self.started,
            now: self.now,
            agents: self.agents.keys().filter_map(|id| self.agent_view(id)).collect(),
            unreachable_agents: self.unreachable_agents.keys().cloned().collect(),
            frameworks: self
                .frameworks
                .iter()
                .map(|(id, framework)| self.framework_view(id, framework))
                .collect(),
            completed_frameworks: self
                .completed_frameworks
                .iter()
                .map(|f| self.framework_view(&f.info.id.clone().unwrap_or_default(), f))
                .collect(),
            counters: self.counters.clone(),
            weights: self.settings.weights.clone(),
        }
    }

    fn agent_view(&self, id: &AgentId) -> Option<AgentView> {
        let agent = self.agents.get(id)?;
        let mut used = Resources::new();
        for framework in self.frameworks.values() {
            used.add_all(&framework.used_on(id));
        }
        let mut offered = Resources::new();
        for offer in self.offers.values().filter(|offer| offer.agent_id == *id) {
            offered.add_all(&offer.resources);
        }
        Some(AgentView {
            id: id.clone(),
            info: agent.info.clone(),
            ip: agent.ip.clone(),
            version: agent.version.clone(),
            active: agent.link.is_some(),
            registered: agent.registered,
            reregistered: agent.reregistered,
            total: self.allocator.total(id).cloned().unwrap_or_default(),
            used,
            offered,
        })
    }

    fn framework_view(&self, id: &FrameworkId, framework: &Framework) -> FrameworkView {
        let mut used = Resources::new();
        for record in framework.tasks.values() {
            used.add_all(&record.resources);
        }
        for executor in framework.executors.values() {
            used.add_all(&executor.resources);
        }
        let mut offered = Resources::new();
        let mut offers = Vec::new();
        for record in self.offers.values().filter(|offer| offer.framework_id == *id) {
            offered.add_all(&record.resources);
            offers.extend(self.offer_message(record));
        }
        FrameworkView {
            id: id.clone(),
            info: framework.info.clone(),
            connected: framework.is_subscribed(),
            registered: framework.registered,
            reregistered: framework.reregistered,
            unregistered: framework.unregistered,
            suppressed: framework.suppressed.clone(),
            tasks: framework.tasks.values().map(|record| record.task.clone()).collect(),
            unreachable_tasks: framework.unreachable.values().cloned().collect(),
            completed_tasks: framework.completed.iter().cloned().collect(),
            executors: framework
                .executors
                .iter()
                .map(|((agent_id, _), record)| (agent_id.clone(), record.info.clone()))
                .collect(),
            offers,
            used,
            offered,
        }
    }
}
