//! Decides which resources of which agent are offered to which framework: dominant resource fairness
//! between roles, then between the frameworks of a role, with weights, filters and suppression.
//! Knows no offers, tasks or sockets; the master tells it what was taken and what came back.
//!
//! As in Mesos an offer holds all that is free on an agent and usable by the role. Unlike there an
//! allocation runs whenever something became free, not once a second.

mod constraints;
mod shares;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos_api::framework_info::CapabilityType;
use mesos_api::scheduler::OfferConstraints;
use mesos_api::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Resources};

use constraints::satisfies;
use shares::Shares;

/// Least amounts worth an offer, as in Mesos: any one of them suffices.
const MINIMUM_CPUS: f64 = 0.01;
const MINIMUM_MEMORY_MIB: f64 = 32.0;

/// A point in time, since the epoch of Unix, which never goes back.
pub type Time = Duration;

/// Resources of an agent to be offered; they carry the role they are allocated to.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// Who gets the offer.
    pub framework_id: FrameworkId,
    /// For which of its roles.
    pub role: String,
    /// Where the resources are.
    pub agent_id: AgentId,
    /// What is offered, as allocated to the role.
    pub resources: Resources,
}

#[derive(Debug)]
struct AgentEntry {
    info: AgentInfo,
    total: Resources,
    /// Not allocated to anybody.
    free: Resources,
    active: bool,
}

/// Declined resources, not to be offered again before `until`.
#[derive(Debug)]
struct Refusal {
    resources: Resources,
    until: Time,
}

#[derive(Debug, Default)]
struct RoleEntry {
    suppressed: bool,
    refusals: BTreeMap<AgentId, Vec<Refusal>>,
}

#[derive(Debug)]
struct FrameworkEntry {
    info: FrameworkInfo,
    constraints: Option<OfferConstraints>,
    active: bool,
    roles: BTreeMap<String, RoleEntry>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Allocator {
    agents: BTreeMap<AgentId, AgentEntry>,
    frameworks: BTreeMap<FrameworkId, FrameworkEntry>,
    shares: Shares,
    /// The agent the next run begins with, so that none is always served first.
    next_agent: Option<AgentId>,
}

impl Allocator {
    /// Builds an allocator in which the roles have these weights, others weight one.
    #[must_use]
    pub fn new(weights: BTreeMap<String, f64>) -> Self {
        Self { shares: Shares::new(weights), ..Self::default() }
    }

    /// Adds an agent, of which `used` is allocated already.
    pub fn add_agent(
        &mut self,
        agent_id: AgentId,
        info: AgentInfo,
        used: &[(FrameworkId, Resources)],
    ) {
        let total = Resources::from(info.resources.as_slice());
        let mut free = total.clone();
        self.shares.add_total(&total);
        for (framework_id, resources) in used {
            free.subtract_all(&resources.unallocated());
            self.shares.allocate(framework_id, resources);
        }
        self.agents.insert(agent_id, AgentEntry { info, total, free, active: true });
    }

    /// Forgets an agent; what was allocated there must have been recovered before.
    pub fn remove_agent(&mut self, agent_id: &AgentId) {
        if let Some(agent) = self.agents.remove(agent_id) {
            self.shares.remove_total(&agent.total);
        }
        for framework in self.frameworks.values_mut() {
            for role in framework.roles.values_mut() {
                role.refusals.remove(agent_id);
            }
        }
    }

    /// Stops or resumes offers of an agent.
    pub fn set_agent_active(&mut self, agent_id: &AgentId, active: bool) {
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.active = active;
        }
    }

    /// Adds a framework or takes over its changed information. Roles that stay keep their filters.
    pub fn update_framework(
        &mut self,
        framework_id: &FrameworkId,
        info: FrameworkInfo,
        suppressed: &BTreeSet<String>,
        constraints: Option<OfferConstraints>,
    ) {
        let mut old =
            self.frameworks.remove(framework_id).map(|entry| entry.roles).unwrap_or_default();
        let roles = info
            .subscribed_roles()
            .into_iter()
            .map(|role| {
                let mut entry = old.remove(&role).unwrap_or_default();
                entry.suppressed = suppressed.contains(&role);
                (role, entry)
            })
            .collect();
        let entry = FrameworkEntry { info, constraints, active: true, roles };
        self.frameworks.insert(framework_id.clone(), entry);
    }

    /// Stops or resumes offers to a framework. A framework that stops loses its filters.
    pub fn set_framework_active(&mut self, framework_id: &FrameworkId, active: bool) {
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            framework.active = active;
            if !active {
                framework.roles.values_mut().for_each(|role| role.refusals.clear());
            }
        }
    }

    /// Forgets a framework; what was allocated to it must have been recovered before.
    pub fn remove_framework(&mut self, framework_id: &FrameworkId) {
        self.frameworks.remove(framework_id);
        self.shares.remove_framework(framework_id);
    }

    /// Drops filters and suppression of these roles; of all, if none is named.
    pub fn revive(&mut self, framework_id: &FrameworkId, roles: &[String]) {
        self.each_role(framework_id, roles, |role| {
            role.suppressed = false;
            role.refusals.clear();
        });
    }

    /// Stops offers for these roles; for all, if none is named.
    pub fn suppress(&mut self, framework_id: &FrameworkId, roles: &[String]) {
        self.each_role(framework_id, roles, |role| role.suppressed = true);
    }

    fn each_role(
        &mut self,
        framework_id: &FrameworkId,
        names: &[String],
        change: impl Fn(&mut RoleEntry),
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        for (name, role) in &mut framework.roles {
            if names.is_empty() || names.contains(name) {
                change(role);
            }
        }
    }

    /// Takes allocated resources back. With `refused_until` they are kept from the framework so long.
    pub fn recover(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        resources: &Resources,
        refused_until: Option<Time>,
    ) {
        self.shares.recover(framework_id, resources);
        let bare = resources.unallocated();
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.free.add_all(&bare);
        }
        let role = resources.iter().find_map(|r| r.allocation_info.as_ref()?.role.clone());
        let entry = self.frameworks.get_mut(framework_id).zip(role);
        let role = entry.and_then(|(framework, role)| framework.roles.get_mut(&role));
        if let (Some(role), Some(until)) = (role, refused_until) {
            let refusals = role.refusals.entry(agent_id.clone()).or_default();
            // What an earlier and shorter refusal said is contained in the new one.
            refusals.retain(|old| old.until > until || !bare.contains(&old.resources));
            refusals.push(Refusal { resources: bare, until });
        }
    }

    /// Replaces what an agent has in all: `removed` becomes `added`, both free at this moment.
    pub fn convert(&mut self, agent_id: &AgentId, removed: &Resources, added: &Resources) {
        if let Some(agent) = self.agents.get_mut(agent_id) {
            for bag in [&mut agent.total, &mut agent.free] {
                bag.subtract_all(&removed.unallocated());
                bag.add_all(&added.unallocated());
            }
        }
    }

    /// Marks free resources as allocated, for instance to a task that an agent brought along.
    pub fn take(&mut self, framework_id: &FrameworkId, agent_id: &AgentId, resources: &Resources) {
        self.shares.allocate(framework_id, resources);
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.free.subtract_all(&resources.unallocated());
        }
    }

    /// What an agent has free.
    #[must_use]
    pub fn free(&self, agent_id: &AgentId) -> Option<&Resources> {
        self.agents.get(agent_id).map(|agent| &agent.free)
    }

    /// What an agent has in all.
    #[must_use]
    pub fn total(&self, agent_id: &AgentId) -> Option<&Resources> {
        self.agents.get(agent_id).map(|agent| &agent.total)
    }

    /// When the next filter ends and resources may be offered again.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Time> {
        self.frameworks
            .values()
            .filter(|framework| framework.active)
            .flat_map(|framework| framework.roles.values())
            .filter(|role| !role.suppressed)
            .flat_map(|role| role.refusals.values().flatten())
            .map(|refusal| refusal.until)
            .min()
    }

    /// Allocates what is free and wanted.
    pub fn allocate(&mut self, now: Time) -> Vec<Allocation> {
        self.expire(now);
        let mut candidates = self.candidates();
        let mut allocations = Vec::new();
        if candidates.is_empty() {
            return allocations;
        }
        for agent_id in self.agent_order() {
            self.allocate_agent(&agent_id, &mut candidates, &mut allocations);
        }
        allocations
    }

    fn expire(&mut self, now: Time) {
        let roles = self.frameworks.values_mut().flat_map(|f| f.roles.values_mut());
        for role in roles {
            role.refusals.retain(|_, refusals| {
                refusals.retain(|refusal| refusal.until > now);
                !refusals.is_empty()
            });
        }
    }

    /// Who wants offers at all.
    fn candidates(&self) -> Vec<(String, FrameworkId)> {
        let active = self.frameworks.iter().filter(|(_, framework)| framework.active);
        active
            .flat_map(|(id, framework)| {
                let wanting = framework.roles.iter().filter(|(_, role)| !role.suppressed);
                wanting.map(|(role, _)| (role.clone(), id.clone()))
            })
            .collect()
    }

    /// Agents with something to offer, each run beginning one further.
    fn agent_order(&mut self) -> Vec<AgentId> {
        let offering = |agent: &AgentEntry| agent.active && is_allocatable(&agent.free);
        let mut ids: Vec<_> =
            self.agents.iter().filter(|(_, a)| offering(a)).map(|(id, _)| id.clone()).collect();
        if let Some(next) = &self.next_agent {
            let begin = ids.partition_point(|id| id < next);
            ids.rotate_left(begin);
        }
        self.next_agent = ids.get(1).cloned();
        ids
    }

    fn allocate_agent(
        &mut self,
        agent_id: &AgentId,
        candidates: &mut [(String, FrameworkId)],
        allocations: &mut Vec<Allocation>,
    ) {
        self.shares.sort(candidates);
        for (role, framework_id) in candidates.iter() {
            let Some(agent) = self.agents.get(agent_id) else { return };
            if !is_allocatable(&agent.free) {
                return;
            }
            let Some(framework) = self.frameworks.get(framework_id) else { continue };
            let offered = agent.free.usable_by(role);
            if !framework.accepts(role, agent_id, agent, &offered) {
                continue;
            }
            let resources = offered.allocated_to(role);
            self.take(framework_id, agent_id, &resources);
            self.shares.count(role, framework_id);
            allocations.push(Allocation {
                framework_id: framework_id.clone(),
                role: role.clone(),
                agent_id: agent_id.clone(),
                resources,
            });
        }
    }
}

impl FrameworkEntry {
    fn accepts(
        &self,
        role: &str,
        agent_id: &AgentId,
        agent: &AgentEntry,
        offered: &Resources,
    ) -> bool {
        // A framework that does not know GPUs would fill their agents with other work.
        let gpus = agent.total.scalar("gpus") > 0.0;
        if gpus && !self.info.has_capability(CapabilityType::GpuResources) {
            return false;
        }
        if !self.meets_minimum(role, offered) {
            return false;
        }
        let refusals = self.roles.get(role).and_then(|entry| entry.refusals.get(agent_id));
        if refusals.into_iter().flatten().any(|refusal| refusal.resources.contains(offered)) {
            return false;
        }
        let constraints = self.constraints.as_ref().and_then(|all| all.role_constraints.get(role));
        constraints.is_none_or(|constraints| satisfies(&agent.info, constraints))
    }

    /// The framework's own minimum for the role, else the usual one.
    fn meets_minimum(&self, role: &str, offered: &Resources) -> bool {
        let own = self.info.offer_filters.get(role);
        match own.and_then(|filters| filters.min_allocatable_resources.as_ref()) {
            None => is_allocatable(offered),
            Some(minimum) => {
                !offered.is_empty()
                    && (minimum.quantities.is_empty()
                        || minimum.quantities.iter().any(|any| {
                            any.quantities.iter().all(|(n, least)| offered.scalar(n) >= least.value)
                        }))
            }
        }
    }
}

fn is_allocatable(resources: &Resources) -> bool {
    resources.scalar("cpus") >= MINIMUM_CPUS || resources.scalar("mem") >= MINIMUM_MEMORY_MIB
}

#[cfg(test)]
mod tests;
