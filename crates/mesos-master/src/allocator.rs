//! Decides which resources of which agent are offered to which framework: dominant resource fairness
//! between roles, then between the frameworks of a role, with weights, limits, filters and suppression.
//! Knows no offers, tasks or sockets; the master tells it what was taken and what came back.
//!
//! As in Mesos an offer holds all that is free on an agent and usable by the role. Unlike there an
//! allocation runs whenever something became free, not once a second, and looks only at agents of which
//! something changed. Who leaves offers unused goes behind the others for a while, so that frameworks
//! which only decline do not keep busy ones waiting.

mod constraints;
mod filters;
mod quota;
mod tree;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesos_api::framework_info::CapabilityType;
use mesos_api::offer_filters::MinAllocatableResources;
use mesos_api::resource::ReservationType;
use mesos_api::resources::{is_within, reservation_role};
use mesos_api::scheduler::OfferConstraints;
use mesos_api::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Resource, Resources};

use constraints::Constraints;
use filters::{AgentNumber, Filters};
use quota::Quotas;
pub use quota::{Exhausted, Limits};
use tree::{Amounts, NodeId, Tree};
pub use why::{Explanation, Lacking, WhyNot};

/// Least amounts worth an offer, as in Mesos: any one of them suffices.
const MINIMUM_CPUS: f64 = 0.01;
const MINIMUM_MEMORY_MIB: f64 = 32.0;

/// A framework that leaves an offer unused goes behind the others for so long, and twice as long after
/// each further one: as long as the shortest refusal, which it would not notice.
const FIRST_YIELD: Duration = Duration::from_secs(1);

/// Doublings of [`FIRST_YIELD`]: who gets no offer for 32 s because others always want more would be
/// starved himself.
const MAXIMUM_YIELD_DOUBLINGS: u32 = 5;

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
    id: AgentId,
    info: Arc<AgentInfo>,
    total: Resources,
    /// Not allocated to anybody.
    free: Resources,
    active: bool,
    gpus: bool,
}

/// What of an agent's free resources a framework gets.
#[derive(Debug)]
enum Offered {
    Everything,
    Part(Resources),
}

/// A framework in one of its roles.
#[derive(Debug)]
struct Candidate {
    role: Arc<str>,
    gpus: bool,
    revocable: bool,
    refined: bool,
    minimum: Option<MinAllocatableResources>,
    constraints: Arc<Constraints>,
    suppressed: bool,
    /// Offers left unused in a row.
    unused: u32,
}

#[derive(Debug)]
struct FrameworkEntry {
    active: bool,
    nodes: BTreeMap<String, NodeId>,
}

/// See the module.
#[derive(Debug)]
pub struct Allocator {
    numbers: BTreeMap<AgentId, AgentNumber>,
    agents: BTreeMap<AgentNumber, AgentEntry>,
    next_number: AgentNumber,
    frameworks: BTreeMap<FrameworkId, FrameworkEntry>,
    candidates: BTreeMap<NodeId, Candidate>,
    tree: Tree,
    filters: Filters,
    quotas: Quotas,
    /// Who goes behind the others, and until when.
    yielding: BTreeSet<(Time, NodeId)>,
    filter_gpus: bool,
    now: Time,
    /// Agents of which something changed since the last run.
    changed: BTreeSet<AgentNumber>,
    all_changed: bool,
    /// The agent the next run begins with, so that none is always served first.
    next_agent: AgentNumber,
}

impl Default for Allocator {
    fn default() -> Self {
        Self::new(BTreeMap::new())
    }
}

impl Allocator {
    /// Builds an allocator in which the roles have these weights, others weight one.
    #[must_use]
    pub fn new(weights: BTreeMap<String, f64>) -> Self {
        Self {
            numbers: BTreeMap::new(),
            agents: BTreeMap::new(),
            next_number: 0,
            frameworks: BTreeMap::new(),
            candidates: BTreeMap::new(),
            tree: Tree::new(weights),
            filters: Filters::default(),
            quotas: Quotas::default(),
            yielding: BTreeSet::new(),
            filter_gpus: true,
            now: Time::ZERO,
            changed: BTreeSet::new(),
            all_changed: false,
            next_agent: 0,
        }
    }

    /// Whether agents with GPUs are kept from frameworks that do not know GPUs, as by default.
    pub fn set_filter_gpus(&mut self, filter: bool) {
        self.filter_gpus = filter;
    }

    /// Replaces the weights of roles.
    pub fn set_weights(&mut self, weights: BTreeMap<String, f64>) {
        self.tree.set_weights(weights);
    }

    /// Weights other than one.
    #[must_use]
    pub fn weights(&self) -> &BTreeMap<String, f64> {
        self.tree.weights()
    }

    /// Replaces the limits of roles.
    pub fn set_limits(&mut self, limits: BTreeMap<String, Limits>) {
        self.quotas.set(limits);
        self.all_changed = true;
    }

    /// What a role with all below it holds of a resource, as its limit counts.
    #[must_use]
    pub fn held_by_role(&self, role: &str, resource: &str) -> f64 {
        self.quotas.held(&self.tree, role, resource)
    }

    /// The largest part a role with all below it holds of any resource of the cluster.
    #[must_use]
    pub fn share(&self, role: &str) -> f64 {
        self.tree.role_share(role)
    }

    /// Filters that hold now.
    #[must_use]
    pub fn filter_count(&self) -> usize {
        self.filters.len()
    }

    /// Adds an agent, of which `used` is allocated already.
    pub fn add_agent(
        &mut self,
        agent_id: AgentId,
        info: Arc<AgentInfo>,
        used: &[(FrameworkId, Resources)],
    ) {
        let total = Resources::from(info.resources.as_slice());
        let number = self.next_number;
        self.next_number += 1;
        let gpus = total.scalar("gpus") > 0.0;
        let free = total.clone();
        self.count_total(&total, 1);
        self.numbers.insert(agent_id.clone(), number);
        let entry = AgentEntry { id: agent_id.clone(), info, total, free, active: true, gpus };
        self.agents.insert(number, entry);
        for (framework_id, resources) in used {
            self.take(framework_id, &agent_id, resources);
        }
        self.changed.insert(number);
    }

    /// Forgets an agent; what was allocated there must have been recovered before.
    pub fn remove_agent(&mut self, agent_id: &AgentId) {
        let Some(number) = self.numbers.remove(agent_id) else { return };
        self.filters.remove_agent(number);
        self.changed.remove(&number);
        if let Some(agent) = self.agents.remove(&number) {
            self.count_total(&agent.total, -1);
        }
    }

    /// Notes what an agent that returned says of itself: attributes, and all that it has, of which what
    /// is allocated stays so.
    pub fn update_agent(&mut self, agent_id: &AgentId, info: Arc<AgentInfo>) {
        let Some(number) = self.numbers.get(agent_id).copied() else { return };
        let total = Resources::from(info.resources.as_slice());
        let Some(agent) = self.agents.get_mut(&number) else { return };
        let mut allocated = agent.total.clone();
        allocated.subtract_all(&agent.free);
        let mut free = total.clone();
        free.subtract_all(&allocated);
        agent.gpus = total.scalar("gpus") > 0.0;
        agent.info = info;
        agent.free = free;
        let old = std::mem::replace(&mut agent.total, total.clone());
        self.count_total(&old, -1);
        self.count_total(&total, 1);
        self.changed.insert(number);
    }

    fn count_total(&mut self, total: &Resources, sign: i64) {
        let amounts = self.tree.amounts(total);
        self.tree.change_total(&amounts, sign);
        let owners: BTreeSet<&str> = total.iter().filter_map(reservation_role).collect();
        for owner in owners {
            let amounts = self.tree.amounts(&total.reserved(owner));
            self.quotas.change_reserved(owner, &amounts, sign);
        }
    }

    /// Stops or resumes offers of an agent.
    pub fn set_agent_active(&mut self, agent_id: &AgentId, active: bool) {
        let Some(number) = self.numbers.get(agent_id) else { return };
        if let Some(agent) = self.agents.get_mut(number) {
            agent.active = active;
            self.changed.insert(*number);
        }
    }

    /// Checks offer constraints.
    ///
    /// # Errors
    /// A text that names the pattern which is none.
    pub fn check_constraints(constraints: &OfferConstraints) -> Result<(), String> {
        Constraints::new(constraints).map(|_| ())
    }

    /// Adds a framework or takes over its changed information. Roles that stay keep their filters.
    /// Constraints that cannot be compiled count as none, see [`Self::check_constraints`].
    pub fn update_framework(
        &mut self,
        framework_id: &FrameworkId,
        info: &FrameworkInfo,
        suppressed: &BTreeSet<String>,
        constraints: Option<&OfferConstraints>,
    ) {
        let constraints = constraints.and_then(|all| Constraints::new(all).ok());
        let constraints = Arc::new(constraints.unwrap_or_default());
        let mut old =
            self.frameworks.remove(framework_id).map(|entry| entry.nodes).unwrap_or_default();
        let mut nodes = BTreeMap::new();
        for role in info.subscribed_roles() {
            old.remove(&role);
            let node = self.tree.framework(framework_id, &role);
            let unused = self.candidates.get(&node).map_or(0, |candidate| candidate.unused);
            let minimum = info.offer_filters.get(&role);
            let candidate = Candidate {
                role: Arc::from(role.as_str()),
                gpus: info.has_capability(CapabilityType::GpuResources),
                revocable: info.has_capability(CapabilityType::RevocableResources),
                refined: info.has_capability(CapabilityType::ReservationRefinement),
                minimum: minimum.and_then(|filters| filters.min_allocatable_resources.clone()),
                constraints: Arc::clone(&constraints),
                suppressed: suppressed.contains(&role),
                unused,
            };
            self.candidates.insert(node, candidate);
            nodes.insert(role, node);
        }
        for node in old.into_values() {
            self.forget_candidate(node);
        }
        self.frameworks.insert(framework_id.clone(), FrameworkEntry { active: true, nodes });
        self.note_states(framework_id);
        self.all_changed = true;
    }

    fn forget_candidate(&mut self, node: NodeId) {
        self.candidates.remove(&node);
        self.filters.clear(node);
        self.yielding.retain(|(_, yielding)| *yielding != node);
        self.tree.set_yields(node, false);
        self.tree.set_state(node, false, false);
        self.tree.tidy(node);
    }

    /// Tells the tree who waits for offers.
    fn note_states(&mut self, framework_id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        for node in framework.nodes.values() {
            let suppressed = self.candidates.get(node).is_none_or(|c| c.suppressed);
            self.tree.set_state(*node, true, framework.active && !suppressed);
        }
    }

    /// Stops or resumes offers to a framework. A framework that stops loses its filters.
    pub fn set_framework_active(&mut self, framework_id: &FrameworkId, active: bool) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        framework.active = active;
        if !active {
            let nodes: Vec<_> = framework.nodes.values().copied().collect();
            for node in nodes {
                self.filters.clear(node);
            }
        }
        self.note_states(framework_id);
        self.all_changed = true;
    }

    /// Forgets a framework; what was allocated to it must have been recovered before.
    pub fn remove_framework(&mut self, framework_id: &FrameworkId) {
        let Some(framework) = self.frameworks.remove(framework_id) else { return };
        for node in framework.nodes.into_values() {
            self.forget_candidate(node);
        }
        for (_, node) in self.tree.nodes_of(framework_id) {
            self.tree.set_state(node, false, false);
            self.tree.tidy(node);
        }
    }

    /// Drops filters and suppression of these roles; of all, if none is named.
    pub fn revive(&mut self, framework_id: &FrameworkId, roles: &[String]) {
        for node in self.named(framework_id, roles) {
            self.filters.clear(node);
            if let Some(candidate) = self.candidates.get_mut(&node) {
                candidate.suppressed = false;
            }
            self.note_use(node);
        }
        self.note_states(framework_id);
        self.all_changed = true;
    }

    /// Stops offers for these roles; for all, if none is named.
    pub fn suppress(&mut self, framework_id: &FrameworkId, roles: &[String]) {
        for node in self.named(framework_id, roles) {
            if let Some(candidate) = self.candidates.get_mut(&node) {
                candidate.suppressed = true;
            }
        }
        self.note_states(framework_id);
    }

    fn named(&self, framework_id: &FrameworkId, names: &[String]) -> Vec<NodeId> {
        let nodes = self.frameworks.get(framework_id).into_iter().flat_map(|f| &f.nodes);
        nodes
            .filter(|(role, _)| names.is_empty() || names.contains(role))
            .map(|(_, node)| *node)
            .collect()
    }

    /// Takes allocated resources back. With `refused_until` they are kept from the framework so long.
    pub fn recover(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        resources: &Resources,
        refused_until: Option<Time>,
    ) {
        let role = self.charge(framework_id, resources, -1);
        let Some(number) = self.numbers.get(agent_id).copied() else { return };
        let bare = resources.unallocated();
        if let Some(agent) = self.agents.get_mut(&number) {
            agent.free.add_all(&bare);
            self.changed.insert(number);
        }
        let framework = self.frameworks.get(framework_id);
        let node = framework.zip(role).and_then(|(f, role)| f.nodes.get(&role).copied());
        if let (Some(node), Some(until)) = (node, refused_until) {
            self.filters.add(node, number, bare, until);
        }
    }

    /// Notes that a framework left an offer unused: others go first for a while.
    pub fn declined(&mut self, framework_id: &FrameworkId, role: &str) {
        let framework = self.frameworks.get(framework_id);
        let Some(node) = framework.and_then(|f| f.nodes.get(role).copied()) else { return };
        let Some(candidate) = self.candidates.get_mut(&node) else { return };
        let doublings = candidate.unused.min(MAXIMUM_YIELD_DOUBLINGS);
        candidate.unused = candidate.unused.saturating_add(1);
        self.yielding.retain(|(_, yielding)| *yielding != node);
        self.yielding.insert((self.now + FIRST_YIELD * 2u32.pow(doublings), node));
        self.tree.set_yields(node, true);
    }

    /// Notes that a framework used an offer.
    pub fn accepted(&mut self, framework_id: &FrameworkId, role: &str) {
        let framework = self.frameworks.get(framework_id);
        if let Some(node) = framework.and_then(|f| f.nodes.get(role).copied()) {
            self.note_use(node);
        }
    }

    fn note_use(&mut self, node: NodeId) {
        if let Some(candidate) = self.candidates.get_mut(&node)
            && std::mem::take(&mut candidate.unused) > 0
        {
            self.yielding.retain(|(_, yielding)| *yielding != node);
            self.tree.set_yields(node, false);
        }
    }

    /// Replaces what an agent has in all: `removed` becomes `added`, both free at this moment.
    pub fn convert(&mut self, agent_id: &AgentId, removed: &Resources, added: &Resources) {
        let Some(number) = self.numbers.get(agent_id).copied() else { return };
        let (removed, added) = (removed.unallocated(), added.unallocated());
        if let Some(agent) = self.agents.get_mut(&number) {
            for bag in [&mut agent.total, &mut agent.free] {
                bag.subtract_all(&removed);
                bag.add_all(&added);
            }
            self.changed.insert(number);
        }
        self.count_total(&removed, -1);
        self.count_total(&added, 1);
    }

    /// Marks free resources as allocated, for instance to a task that an agent brought along.
    pub fn take(&mut self, framework_id: &FrameworkId, agent_id: &AgentId, resources: &Resources) {
        self.charge(framework_id, resources, 1);
        let number = self.numbers.get(agent_id);
        if let Some(agent) = number.and_then(|number| self.agents.get_mut(number)) {
            agent.free.subtract_all(&resources.unallocated());
        }
    }

    /// Adds to what a framework holds in its roles, or takes away; returns one of the roles.
    fn charge(
        &mut self,
        framework_id: &FrameworkId,
        resources: &Resources,
        sign: i64,
    ) -> Option<String> {
        let mut parts: BTreeMap<&str, Vec<&Resource>> = BTreeMap::new();
        for resource in resources {
            let role = resource.allocation_info.as_ref().map_or("*", |info| info.role());
            parts.entry(role).or_default().push(resource);
        }
        let mut last = None;
        for (role, part) in parts {
            let node = self.tree.framework(framework_id, role);
            let reserved = |r: &&&Resource| !r.reservations.is_empty();
            let reserved = self.sum(part.iter().filter(reserved).copied());
            let all = self.sum(part.iter().copied());
            self.tree.hold(node, &all, &reserved, sign);
            if sign < 0 {
                self.tree.tidy(node);
            }
            last = Some(role.to_owned());
        }
        last
    }

    fn sum<'a>(&mut self, resources: impl Iterator<Item = &'a Resource>) -> Amounts {
        let mut sums = Amounts::new();
        for resource in resources {
            let Some(amount) = tree::thousandths(resource) else { continue };
            let index = self.tree.index(&resource.name);
            if sums.len() <= index {
                sums.resize(index + 1, 0);
            }
            sums[index] += amount;
        }
        sums
    }

    /// What an agent has free.
    #[must_use]
    pub fn free(&self, agent_id: &AgentId) -> Option<&Resources> {
        self.agent(agent_id).map(|agent| &agent.free)
    }

    /// What an agent has in all.
    #[must_use]
    pub fn total(&self, agent_id: &AgentId) -> Option<&Resources> {
        self.agent(agent_id).map(|agent| &agent.total)
    }

    fn agent(&self, agent_id: &AgentId) -> Option<&AgentEntry> {
        self.agents.get(self.numbers.get(agent_id)?)
    }

    /// When the next filter ends and resources may be offered again.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Time> {
        self.filters.next_expiry()
    }

    /// Allocates what is free and wanted.
    pub fn allocate(&mut self, now: Time) -> Vec<Allocation> {
        self.now = now;
        let expired = self.filters.expire(now);
        self.changed.extend(expired);
        self.end_yielding();
        self.tree.refresh();
        let mut agents: Vec<AgentNumber> = if std::mem::take(&mut self.all_changed) {
            self.changed.clear();
            self.agents.keys().copied().collect()
        } else {
            std::mem::take(&mut self.changed).into_iter().collect()
        };
        let mut allocations = Vec::new();
        if !self.tree.anybody_waits() {
            // Who begins to wait has all agents looked at.
            return allocations;
        }
        agents.retain(|number| {
            self.agents.get(number).is_some_and(|a| a.active && is_allocatable(&a.free))
        });
        let begin = agents.partition_point(|number| *number < self.next_agent);
        agents.rotate_left(begin);
        self.next_agent = agents.get(1).copied().unwrap_or(0);
        for number in agents {
            self.allocate_agent(number, &mut allocations);
        }
        allocations
    }

    fn end_yielding(&mut self) {
        while let Some((until, node)) = self.yielding.first().copied()
            && until <= self.now
        {
            self.yielding.remove(&(until, node));
            self.tree.set_yields(node, false);
        }
    }

    fn allocate_agent(&mut self, number: AgentNumber, allocations: &mut Vec<Allocation>) {
        let mut served = BTreeSet::new();
        loop {
            let Some(agent) = self.agents.get(&number).filter(|a| is_allocatable(&a.free)) else {
                return;
            };
            let mut found = None;
            let node = self.tree.first(|node| {
                if served.contains(&node) {
                    return false;
                }
                found = self
                    .candidates
                    .get(&node)
                    .and_then(|candidate| self.judge(node, candidate, number, agent).ok());
                found.is_some()
            });
            let (Some(node), Some(offered)) = (node, found) else { return };
            served.insert(node);
            let Some((framework_id, role)) = self.tree.owner(node) else { return };
            let (framework_id, role) = (framework_id.clone(), Arc::clone(role));
            let agent_id = agent.id.clone();
            let Some(agent) = self.agents.get_mut(&number) else { return };
            let offered = match offered {
                Offered::Everything => std::mem::take(&mut agent.free),
                Offered::Part(part) => {
                    agent.free.subtract_all(&part);
                    part
                }
            };
            let reserved = |resource: &&Resource| !resource.reservations.is_empty();
            let reserved = self.sum(offered.iter().filter(reserved));
            let amounts = self.tree.amounts(&offered);
            self.tree.serve(node, &amounts, &reserved);
            let resources = offered.into_allocated_to(&role);
            let role = role.to_string();
            allocations.push(Allocation { framework_id, role, agent_id, resources });
        }
    }

    /// What of an agent may be offered to a framework in a role, or why nothing.
    fn judge(
        &self,
        node: NodeId,
        candidate: &Candidate,
        number: AgentNumber,
        agent: &AgentEntry,
    ) -> Result<Offered, WhyNot> {
        if !agent.active {
            return Err(WhyNot::AgentInactive);
        }
        // A framework that does not know GPUs would fill their agents with other work.
        if agent.gpus && !candidate.gpus && self.filter_gpus {
            return Err(WhyNot::GpuUnaware);
        }
        let usable = |resource: &&Resource| candidate.may_use(resource);
        let lacking = candidate.lacking(agent.free.iter().filter(usable));
        if !lacking.is_empty() {
            return Err(candidate.why_little(agent, lacking));
        }
        if !candidate.constraints.hold(&candidate.role, &agent.info) {
            return Err(WhyNot::Constraints);
        }
        let offered = || agent.free.filter(|resource| candidate.may_use(resource));
        let mut exhausted = None;
        let cut = if self.quotas.is_limited(&candidate.role) {
            let (cut, why) = self.quotas.cut(&self.tree, &candidate.role, offered());
            exhausted = why;
            Some(cut)
        } else {
            None
        };
        if let (Some(cut), Some(exhausted)) = (&cut, exhausted)
            && !candidate.lacking(cut.iter()).is_empty()
        {
            return Err(WhyNot::Quota(exhausted));
        }
        let refused = match &cut {
            Some(cut) => self.filters.refused_until(node, number, || cut.iter()),
            None => self.filters.refused_until(node, number, || agent.free.iter().filter(usable)),
        };
        if let Some(until) = refused {
            return Err(WhyNot::Declined { until });
        }
        Ok(match cut {
            Some(cut) => Offered::Part(cut),
            None if agent.free.iter().all(|resource| candidate.may_use(resource)) => {
                Offered::Everything
            }
            None => Offered::Part(offered()),
        })
    }

    /// Why a framework is offered something or not, for each of its roles and each agent, in the words
    /// of the decisions that [`Self::allocate`] makes.
    #[must_use]
    pub fn explain(&self, framework_id: &FrameworkId) -> Vec<Explanation> {
        let Some(framework) = self.frameworks.get(framework_id) else { return Vec::new() };
        let mut all = Vec::with_capacity(framework.nodes.len() * self.agents.len());
        for (role, node) in &framework.nodes {
            let Some(candidate) = self.candidates.get(node) else { continue };
            for (number, agent) in &self.agents {
                let why = if !framework.active {
                    Some(WhyNot::Disconnected)
                } else if candidate.suppressed {
                    Some(WhyNot::Suppressed)
                } else {
                    self.judge(*node, candidate, *number, agent).err()
                };
                let (role, agent_id) = (role.clone(), agent.id.clone());
                all.push(Explanation { role, agent_id, why });
            }
        }
        all
    }
}

impl Candidate {
    fn may_use(&self, resource: &Resource) -> bool {
        reservation_role(resource).is_none_or(|owner| is_within(&self.role, owner))
            && (resource.revocable.is_none() || self.revocable)
            && (resource.reservations.len() < 2 || self.refined)
    }

    /// What there is too little of for an offer; nothing if it is worth one. The framework may have a
    /// minimum of its own for the role.
    fn lacking<'a>(&self, offered: impl Iterator<Item = &'a Resource>) -> Vec<Lacking> {
        let offered: Vec<&Resource> = offered.collect();
        let free = |name: &str| {
            let parts = offered.iter().filter(|resource| resource.name == name);
            tree::from_thousandths(parts.filter_map(|r| tree::thousandths(r)).sum())
        };
        let lack =
            |name: &str, least: f64| Lacking { resource: name.to_owned(), free: free(name), least };
        match &self.minimum {
            None => {
                let (cpus, memory) = (free("cpus"), free("mem"));
                if cpus >= MINIMUM_CPUS || memory >= MINIMUM_MEMORY_MIB {
                    return Vec::new();
                }
                vec![lack("cpus", MINIMUM_CPUS), lack("mem", MINIMUM_MEMORY_MIB)]
            }
            Some(minimum) => {
                let met = minimum.quantities.iter().any(|any| {
                    any.quantities.iter().all(|(name, least)| free(name) >= least.value)
                });
                if !offered.is_empty() && (minimum.quantities.is_empty() || met) {
                    return Vec::new();
                }
                let all = minimum.quantities.iter().flat_map(|any| &any.quantities);
                let short: Vec<_> = all
                    .filter(|(name, least)| free(name) < least.value)
                    .map(|(name, least)| lack(name, least.value))
                    .collect();
                if short.is_empty() { vec![lack("cpus", MINIMUM_CPUS)] } else { short }
            }
        }
    }

    /// Of an agent whose usable resources are too few: are others in the way?
    fn why_little(&self, agent: &AgentEntry, lacking: Vec<Lacking>) -> WhyNot {
        let others: Vec<&Resource> =
            agent.free.iter().filter(|resource| !self.may_use(resource)).collect();
        let roles: BTreeSet<&str> =
            others.iter().filter_map(|resource| reservation_role(resource)).collect();
        if !roles.is_empty() && self.lacking(agent.free.iter()).is_empty() {
            let dynamic = others.iter().any(|resource| {
                resource.reservations.last().is_some_and(|r| r.r#type() == ReservationType::Dynamic)
            });
            return WhyNot::Reserved {
                roles: roles.into_iter().map(str::to_owned).collect(),
                dynamic,
            };
        }
        if !is_allocatable(&agent.free) && is_allocatable(&agent.total) && agent.free != agent.total
        {
            let crumbs = agent.free.scalar("cpus") > 0.0 && agent.free.scalar("mem") > 0.0;
            if !crumbs {
                return WhyNot::NothingFree;
            }
        }
        WhyNot::TooLittle { lacking }
    }
}

fn is_allocatable(resources: &Resources) -> bool {
    resources.scalar("cpus") >= MINIMUM_CPUS || resources.scalar("mem") >= MINIMUM_MEMORY_MIB
}

#[cfg(test)]
mod tests;
