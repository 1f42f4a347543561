//! What operators change: frameworks, agents, weights and limits.

use std::collections::BTreeMap;

use mesos_api::quota::QuotaConfig;
use mesos_api::resources::is_within;
use mesos_api::{AgentId, FrameworkId, WeightInfo};

use super::acl::Permission;
use super::event::{Answer, Operation};
use super::registry::Change;
use super::{Master, limits_of, validate};

impl Master {
    pub(super) fn operate(&mut self, operation: Operation, principal: Option<&str>) -> Answer {
        match operation {
            Operation::Teardown(id) => self.teardown_by_operator(&id, principal),
            Operation::MarkGone(agent_id) => self
                .if_allowed(Permission::MarkAgentsGone, principal, &agent_id)
                .unwrap_or_else(|| self.mark_gone(&agent_id)),
            Operation::Drain { agent_id, max_grace_period, mark_gone } => self
                .if_allowed(Permission::DrainAgents, principal, &agent_id)
                .unwrap_or_else(|| self.drain_agent(&agent_id, max_grace_period, mark_gone)),
            Operation::Deactivate(agent_id) => self
                .if_allowed(Permission::DeactivateAgents, principal, &agent_id)
                .unwrap_or_else(|| self.deactivate_agent(&agent_id)),
            Operation::Reactivate(agent_id) => self
                .if_allowed(Permission::ReactivateAgents, principal, &agent_id)
                .unwrap_or_else(|| self.reactivate_agent(&agent_id)),
            Operation::UpdateWeights(weights) => self.update_weights(&weights, principal),
            Operation::UpdateQuota { configs, force } => {
                self.update_quota(configs, force, principal)
            }
            Operation::Reserve { agent_id, resources } => {
                self.reserve_by_operator(&agent_id, &resources, principal)
            }
            Operation::Unreserve { agent_id, resources } => {
                self.unreserve_by_operator(&agent_id, &resources, principal)
            }
        }
    }

    /// The refusal, if the principal may not.
    fn if_allowed(
        &self,
        permission: Permission,
        principal: Option<&str>,
        agent_id: &AgentId,
    ) -> Option<Answer> {
        let allowed = self.settings.acls.allows(permission, principal, &agent_id.value);
        let verb = permission.verb();
        (!allowed).then(|| Answer::Forbidden(format!("Not authorized to {verb} agents")))
    }

    fn teardown_by_operator(&mut self, id: &FrameworkId, principal: Option<&str>) -> Answer {
        let Some(framework) = self.frameworks.get(id) else {
            return Answer::Bad("No framework found with specified ID".to_owned());
        };
        let owner = framework.info.principal();
        if !self.settings.acls.allows(Permission::TeardownFrameworks, principal, owner) {
            return Answer::Forbidden(format!("Not authorized to tear down framework {id}"));
        }
        self.remove_framework(id);
        Answer::Done
    }

    fn update_weights(&mut self, changes: &[WeightInfo], principal: Option<&str>) -> Answer {
        let mut weights = self.allocator.weights().clone();
        for change in changes {
            let role = change.role().trim();
            if let Err(problem) = validate::role(role) {
                return Answer::Bad(format!("Invalid role '{role}': {problem}"));
            }
            if !change.weight.is_finite() || change.weight <= 0.0 {
                return Answer::Bad(format!(
                    "Invalid weight '{}' for role '{role}': Weights must be positive",
                    change.weight
                ));
            }
            if !self.settings.acls.allows(Permission::UpdateWeights, principal, role) {
                return Answer::Forbidden(format!("Not authorized to update weight of '{role}'"));
            }
            weights.insert(role.to_owned(), change.weight);
        }
        self.act_store(Change::weights(&weights));
        self.allocator.set_weights(weights);
        // Shares are now others, so who has offers may have to share them.
        let offers: Vec<_> = self.offers.keys().cloned().collect();
        for offer_id in offers {
            self.rescind(&offer_id);
        }
        self.request_allocation();
        Answer::Done
    }

    fn act_store(&mut self, change: Change) {
        self.act(super::Action::Store { change });
    }

    fn update_quota(
        &mut self,
        configs: Vec<QuotaConfig>,
        force: bool,
        principal: Option<&str>,
    ) -> Answer {
        let mut quotas = self.quotas.clone();
        let mut roles = Vec::with_capacity(configs.len());
        for config in configs {
            let role = config.role.clone();
            if let Some(refusal) = self.why_not_quota(&config, principal) {
                return refusal;
            }
            if config.limits.is_empty() {
                quotas.remove(&role);
            } else {
                quotas.insert(role.clone(), config);
            }
            roles.push(role);
        }
        if let Some(problem) = beyond_parent(&quotas).filter(|_| !force) {
            return Answer::Bad(problem);
        }
        self.act_store(Change::quotas(&quotas));
        self.allocator.set_limits(limits_of(&quotas));
        self.quotas = quotas;
        for role in roles {
            self.rescind_beyond_limit(&role);
        }
        self.request_allocation();
        Answer::Done
    }

    fn why_not_quota(&self, config: &QuotaConfig, principal: Option<&str>) -> Option<Answer> {
        let role = &config.role;
        if role == "*" {
            let problem =
                "Invalid QuotaConfig: setting quota on the default role '*' is not supported";
            return Some(Answer::Bad(problem.to_owned()));
        }
        if let Err(problem) = validate::role(role) {
            return Some(Answer::Bad(format!("Invalid QuotaConfig: {problem}")));
        }
        if config.guarantees.values().any(|guarantee| guarantee.value > 0.0) {
            return Some(Answer::NotImplemented(
                "Quota guarantees are not supported; set limits only".to_owned(),
            ));
        }
        let bad =
            config.limits.iter().find(|(_, limit)| !limit.value.is_finite() || limit.value < 0.0);
        if let Some((name, limit)) = bad {
            let problem = format!("Invalid QuotaConfig: limit {} of {name}", limit.value);
            return Some(Answer::Bad(problem));
        }
        if !self.settings.acls.allows(Permission::UpdateQuotas, principal, role) {
            let problem = format!("Not authorized to update quota of '{role}'");
            return Some(Answer::Forbidden(problem));
        }
        None
    }

    /// Takes offers back until the role holds no more than it may, or has none left.
    fn rescind_beyond_limit(&mut self, role: &str) {
        let Some(config) = self.quotas.get(role).cloned() else { return };
        let own = self.offers.values().filter(|offer| is_within(&offer.role, role));
        let offers: Vec<_> = own.map(|offer| offer.id.clone()).collect();
        for offer_id in offers {
            let beyond = |(name, limit): (&String, &mesos_api::value::Scalar)| {
                self.allocator.held_by_role(role, name) > limit.value
            };
            if !config.limits.iter().any(beyond) {
                return;
            }
            self.rescind(&offer_id);
        }
    }
}

/// A role may not be promised more than the one above it may hold.
fn beyond_parent(quotas: &BTreeMap<String, QuotaConfig>) -> Option<String> {
    quotas.iter().find_map(|(role, quota)| {
        let (parent, _) = role.rsplit_once('/')?;
        let of_parent = quotas.get(parent)?;
        quota.limits.iter().find_map(|(name, limit)| {
            let most = of_parent.limits.get(name)?;
            (limit.value > most.value).then(|| {
                format!(
                    "Invalid QuotaConfig: limit {} of {name} for role '{role}' is above the limit \
                     {} of role '{parent}'",
                    limit.value, most.value
                )
            })
        })
    })
}
