//! Why does a framework get no offers? The allocator's reasons, and those which only the master knows.

use std::fmt;

use mesos_api::{AgentId, FrameworkId, OfferId};

use super::Master;
use crate::allocator::{Time, WhyNot};

/// Everything there is to say of a framework's offers.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameworkReasons {
    /// Which framework.
    pub framework_id: FrameworkId,
    /// What it is called.
    pub name: String,
    /// What holds for all agents, if anything: there are none, or the framework does not listen.
    pub in_general: Option<Reason>,
    /// Role by role and agent by agent.
    pub agents: Vec<AgentReason>,
}

/// What holds for one role and one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentReason {
    /// The framework's role.
    pub role: String,
    /// The agent.
    pub agent_id: AgentId,
    /// Its host name.
    pub hostname: String,
    /// Why there is or is not an offer.
    pub reason: Reason,
}

/// Why there is or is not an offer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The framework has an offer of the agent and did not answer it yet.
    OfferOutstanding {
        /// Which offer.
        offer_id: OfferId,
        /// Since when.
        since: Time,
    },
    /// Somebody else has an offer of what is free there.
    OfferedToOthers {
        /// Who.
        framework_ids: Vec<FrameworkId>,
    },
    /// The next run offers the agent, to whoever holds least.
    Eligible,
    /// The allocator's reason.
    WhyNot(WhyNot),
    /// The agent's connection is broken.
    AgentDisconnected,
    /// An operator stopped the agent's offers.
    AgentDeactivated,
    /// The agent is being emptied, or is empty.
    AgentDraining {
        /// Nothing is left on it.
        drained: bool,
    },
    /// The agent does not answer.
    AgentUnreachable {
        /// Since when.
        since: Time,
    },
    /// The agent was there before the master started and did not return yet.
    AgentRecovering,
    /// There are no agents at all.
    NoAgents,
    /// The framework's scheduler is not connected.
    FrameworkDisconnected,
    /// The framework subscribes to no role.
    NoRoles,
}

impl Reason {
    /// A word for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OfferOutstanding { .. } => "OFFER_OUTSTANDING",
            Self::OfferedToOthers { .. } => "OFFERED_TO_OTHERS",
            Self::Eligible => "ELIGIBLE",
            Self::WhyNot(why) => why.code(),
            Self::AgentDisconnected => "AGENT_DISCONNECTED",
            Self::AgentDeactivated => "AGENT_DEACTIVATED",
            Self::AgentDraining { drained: false } => "AGENT_DRAINING",
            Self::AgentDraining { drained: true } => "AGENT_DRAINED",
            Self::AgentUnreachable { .. } => "AGENT_UNREACHABLE",
            Self::AgentRecovering => "AGENT_RECOVERING",
            Self::NoAgents => "NO_AGENTS",
            Self::FrameworkDisconnected => "FRAMEWORK_DISCONNECTED",
            Self::NoRoles => "NO_ROLES",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfferOutstanding { offer_id, .. } => {
                write!(f, "the framework has not answered offer {offer_id} yet")
            }
            Self::OfferedToOthers { framework_ids } => {
                let ids: Vec<_> = framework_ids.iter().map(|id| id.value.as_str()).collect();
                write!(f, "what is free is offered to {}", ids.join(", "))
            }
            Self::Eligible => f.write_str("the next allocation offers it to whoever holds least"),
            Self::WhyNot(why) => why.fmt(f),
            Self::AgentDisconnected => f.write_str("the agent's connection is broken"),
            Self::AgentDeactivated => f.write_str("an operator deactivated the agent"),
            Self::AgentDraining { drained: false } => f.write_str("the agent is being drained"),
            Self::AgentDraining { drained: true } => f.write_str("the agent is drained"),
            Self::AgentUnreachable { .. } => f.write_str("the agent does not answer"),
            Self::AgentRecovering => {
                f.write_str("the agent has not returned since the master started")
            }
            Self::NoAgents => f.write_str("there are no agents"),
            Self::FrameworkDisconnected => f.write_str("the framework is not connected"),
            Self::NoRoles => f.write_str("the framework subscribes to no role"),
        }
    }
}

impl Master {
    /// Frameworks that did not end.
    pub fn framework_ids(&self) -> impl Iterator<Item = &FrameworkId> {
        self.frameworks.keys()
    }

    /// How many agents there are.
    #[must_use]
    pub fn agent_count(&self) -> usize {
        self.agents.len()
    }

    /// Explains a framework's offers, or their absence.
    #[must_use]
    pub fn explain(&self, id: &FrameworkId) -> Option<FrameworkReasons> {
        let framework = self.frameworks.get(id)?;
        let roles = framework.info.subscribed_roles();
        let nobody = self.agents.is_empty()
            && self.unreachable_agents.is_empty()
            && self.recovered_agents.is_empty();
        let in_general = if !framework.is_subscribed() {
            Some(Reason::FrameworkDisconnected)
        } else if roles.is_empty() {
            Some(Reason::NoRoles)
        } else {
            nobody.then_some(Reason::NoAgents)
        };
        let mut agents: Vec<AgentReason> = self
            .allocator
            .explain(id)
            .into_iter()
            .map(|explanation| {
                let agent = self.agents.get(&explanation.agent_id);
                AgentReason {
                    hostname: agent.map(|a| a.info.hostname.clone()).unwrap_or_default(),
                    reason: self.reason(
                        id,
                        &explanation.role,
                        &explanation.agent_id,
                        explanation.why,
                    ),
                    role: explanation.role,
                    agent_id: explanation.agent_id,
                }
            })
            .collect();
        let lost = self.unreachable_agents.iter().map(|(agent_id, lost)| {
            (agent_id, lost, Reason::AgentUnreachable { since: lost.since })
        });
        let recovering = self.recovered_agents.iter();
        let recovering = recovering.map(|(id, lost)| (id, lost, Reason::AgentRecovering));
        for (agent_id, lost, reason) in lost.chain(recovering) {
            agents.extend(roles.iter().map(|role| AgentReason {
                role: role.clone(),
                agent_id: agent_id.clone(),
                hostname: lost.info.hostname.clone(),
                reason: reason.clone(),
            }));
        }
        let (framework_id, name) = (id.clone(), framework.info.name.clone());
        Some(FrameworkReasons { framework_id, name, in_general, agents })
    }

    fn reason(
        &self,
        id: &FrameworkId,
        role: &str,
        agent_id: &AgentId,
        why: Option<WhyNot>,
    ) -> Reason {
        let Some(agent) = self.agents.get(agent_id) else { return Reason::AgentDisconnected };
        let there = agent.offers.iter().filter_map(|offer_id| self.offers.get(offer_id));
        let own = there.clone().find(|offer| offer.framework_id == *id && offer.role == role);
        if let Some(offer) = own {
            return Reason::OfferOutstanding { offer_id: offer.id.clone(), since: offer.made };
        }
        match why {
            None => Reason::Eligible,
            Some(WhyNot::AgentInactive) => match &agent.drain {
                Some(drain) => Reason::AgentDraining { drained: drain.done },
                None if agent.link.is_none() => Reason::AgentDisconnected,
                None => Reason::AgentDeactivated,
            },
            Some(WhyNot::NothingFree) => {
                let framework_ids: Vec<_> = there.map(|offer| offer.framework_id.clone()).collect();
                if framework_ids.is_empty() {
                    Reason::WhyNot(WhyNot::NothingFree)
                } else {
                    Reason::OfferedToOthers { framework_ids }
                }
            }
            Some(why) => Reason::WhyNot(why),
        }
    }
}
