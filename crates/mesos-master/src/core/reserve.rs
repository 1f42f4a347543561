//! Reservations made and given up, by frameworks with offered resources and by operators.

use std::sync::Arc;

use mesos_api::agent_protocol::{CheckpointResources, ToAgent};
use mesos_api::resource::ReservationType;
use mesos_api::resources::reservation_role;
use mesos_api::{AgentId, FrameworkId, Resource, Resources, WireFormat};

use super::Master;
use super::accept::{Ground, allocated};
use super::acl::Permission;
use super::event::Answer;

impl Master {
    /// Turns unreserved resources into reserved ones, which is known to the allocator at once.
    pub(super) fn reserve(&mut self, ground: &mut Ground, resources: Vec<Resource>) {
        let added = allocated(resources, &ground.role);
        let framework = self.frameworks.get(&ground.framework_id);
        let principal = framework.and_then(|framework| framework.info.principal.clone());
        let problem = dynamic_reservations(&added).err().or_else(|| {
            let role = |r: &Resource| reservation_role(r).map(str::to_owned);
            let other = added.iter().filter_map(role).find(|role| *role != ground.role)?;
            Some(format!("a reservation for role '{other}' from an offer to '{}'", ground.role))
        });
        let problem = problem.or_else(|| {
            self.may_reserve(principal.as_deref(), Permission::ReserveResources, &added).err()
        });
        self.convert_offered(ground, problem, &without_last(&added), &added);
    }

    /// The other way round.
    pub(super) fn unreserve(&mut self, ground: &mut Ground, resources: Vec<Resource>) {
        let removed = allocated(resources, &ground.role);
        let problem = dynamic_reservations(&removed).err();
        self.convert_offered(ground, problem, &removed, &without_last(&removed));
    }

    fn convert_offered(
        &mut self,
        ground: &mut Ground,
        problem: Option<String>,
        removed: &Resources,
        added: &Resources,
    ) {
        let problem = problem.or_else(|| {
            let fits = ground.left.contains(removed);
            (!fits).then(|| format!("it needs {removed}, and {} were offered", ground.left))
        });
        if let Some(problem) = problem {
            // As in Mesos nobody hears of it: the resources come with the next offer as they were.
            tracing::warn!(framework = %ground.framework_id, problem, "reservation was not changed");
            return;
        }
        let Ground { framework_id, agent_id, .. } = &*ground;
        // The allocator converts what is free: give back, convert, take again.
        self.allocator.recover(framework_id, agent_id, removed, None);
        self.allocator.convert(agent_id, removed, added);
        self.allocator.take(framework_id, agent_id, added);
        ground.left.subtract_all(removed);
        ground.left.add_all(added);
        let agent_id = ground.agent_id.clone();
        self.reservations_changed(&agent_id);
    }

    /// The agent and the registry learn what is reserved from now on.
    fn reservations_changed(&mut self, agent_id: &AgentId) {
        let total = self.allocator.total(agent_id).cloned().unwrap_or_default();
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        Arc::make_mut(&mut agent.info).resources = total.to_wire(WireFormat::PostRefinement);
        let resources = total.filter(is_dynamic).to_wire(WireFormat::PostRefinement);
        let checkpoint = Some(CheckpointResources { resources });
        self.tell_agent(agent_id, ToAgent { checkpoint, ..ToAgent::default() });
        self.store_agent(agent_id);
    }

    pub(super) fn reserve_by_operator(
        &mut self,
        agent_id: &AgentId,
        resources: &[Resource],
        principal: Option<&str>,
    ) -> Answer {
        let added = Resources::from(resources).unallocated();
        let allowed = self.may_reserve(principal, Permission::ReserveResources, &added);
        self.convert_by_operator(agent_id, &without_last(&added), &added, allowed)
    }

    pub(super) fn unreserve_by_operator(
        &mut self,
        agent_id: &AgentId,
        resources: &[Resource],
        principal: Option<&str>,
    ) -> Answer {
        let removed = Resources::from(resources).unallocated();
        let allowed = self.may_reserve(principal, Permission::UnreserveResources, &removed);
        self.convert_by_operator(agent_id, &removed, &without_last(&removed), allowed)
    }

    fn convert_by_operator(
        &mut self,
        agent_id: &AgentId,
        removed: &Resources,
        added: &Resources,
        allowed: Result<(), String>,
    ) -> Answer {
        if !self.agents.contains_key(agent_id) {
            return Answer::Bad("No agent found with specified ID".to_owned());
        }
        let reserved = if added.iter().any(is_dynamic) { added } else { removed };
        if let Err(problem) = dynamic_reservations(reserved) {
            return Answer::Bad(format!("Invalid reservation: {problem}"));
        }
        if let Err(problem) = allowed {
            return Answer::Forbidden(problem);
        }
        // Offers stand in the way of the operator, so they are taken back until there is enough.
        let offers = self.agents.get(agent_id).map(|agent| agent.offers.clone());
        for offer_id in offers.unwrap_or_default() {
            if self.allocator.free(agent_id).is_some_and(|free| free.contains(removed)) {
                break;
            }
            self.rescind(&offer_id);
        }
        let free = self.allocator.free(agent_id).cloned().unwrap_or_default();
        if !free.contains(removed) {
            return Answer::Conflict(format!(
                "Invalid operation: {removed} are needed, and {free} are free on agent {agent_id}"
            ));
        }
        self.allocator.convert(agent_id, removed, added);
        self.reservations_changed(agent_id);
        self.request_allocation();
        Answer::Accepted
    }

    fn may_reserve(
        &self,
        principal: Option<&str>,
        permission: Permission,
        resources: &Resources,
    ) -> Result<(), String> {
        let roles = resources.iter().filter_map(reservation_role);
        for role in roles {
            if !self.settings.acls.allows(permission, principal, role) {
                let verb = permission.verb();
                return Err(format!("Not authorized to {verb} resources of role '{role}'"));
            }
        }
        Ok(())
    }

    /// What an agent that returns has: what it says, and the reservations made on it since it started.
    pub(super) fn with_reservations(said: &[Resource], known: &[Resource]) -> Resources {
        let mut total = Resources::from(said).unallocated();
        if total.iter().any(is_dynamic) {
            // It remembers them itself.
            return total;
        }
        for resource in Resources::from(known).unallocated().filter(is_dynamic).iter() {
            let reserved: Resources = [resource.clone()].into_iter().collect();
            let mut plain = reserved.clone();
            while plain.iter().any(is_dynamic) {
                plain = without_last(&plain);
            }
            if total.contains(&plain) {
                total.subtract_all(&plain);
                total.add_all(&reserved);
            }
        }
        total
    }

    /// Resources a framework's role may hold through reservations, for those that name none.
    pub(super) fn first_role(&self, id: &FrameworkId) -> String {
        let roles = self.frameworks.get(id).map(|framework| framework.info.subscribed_roles());
        roles.and_then(|roles| roles.into_iter().next()).unwrap_or_else(|| "*".to_owned())
    }
}

fn is_dynamic(resource: &Resource) -> bool {
    resource.reservations.last().is_some_and(|last| last.r#type() == ReservationType::Dynamic)
}

fn dynamic_reservations(resources: &Resources) -> Result<(), String> {
    if resources.is_empty() {
        return Err("no resources are named".to_owned());
    }
    match resources.iter().find(|resource| !is_dynamic(resource)) {
        Some(resource) => Err(format!("resource {} is not dynamically reserved", resource.name)),
        None => Ok(()),
    }
}

fn without_last(resources: &Resources) -> Resources {
    resources
        .iter()
        .cloned()
        .map(|mut resource| {
            resource.reservations.pop();
            resource
        })
        .collect()
}
