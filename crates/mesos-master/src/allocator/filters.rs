//! Declined resources: what a framework does not want to be offered again for a while.

use std::collections::BTreeMap;

use mesos_api::{Resource, Resources};

use super::Time;
use super::tree::NodeId;

/// Number of an agent, as the allocator counts them.
pub(super) type AgentNumber = usize;

/// Declined resources, not to be offered again before `until`.
#[derive(Debug)]
struct Refusal {
    resources: Resources,
    until: Time,
    number: u64,
}

/// All refusals of all frameworks, by role.
#[derive(Debug, Default)]
pub(super) struct Filters {
    refusals: BTreeMap<NodeId, BTreeMap<AgentNumber, Vec<Refusal>>>,
    expiries: BTreeMap<(Time, u64), (NodeId, AgentNumber)>,
    next_number: u64,
}

impl Filters {
    /// Notes what was declined.
    pub(super) fn add(
        &mut self,
        node: NodeId,
        agent: AgentNumber,
        resources: Resources,
        until: Time,
    ) {
        let own = self.refusals.entry(node).or_default().entry(agent).or_default();
        // What an earlier and shorter refusal said is contained in the new one.
        own.retain(|old| {
            let stays = old.until > until || !resources.contains(&old.resources);
            if !stays {
                self.expiries.remove(&(old.until, old.number));
            }
            stays
        });
        let number = self.next_number;
        self.next_number += 1;
        own.push(Refusal { resources, until, number });
        self.expiries.insert((until, number), (node, agent));
    }

    /// Until when an offer would be no news.
    pub(super) fn refused_until<'a, I: Iterator<Item = &'a Resource>>(
        &self,
        node: NodeId,
        agent: AgentNumber,
        offered: impl Fn() -> I,
    ) -> Option<Time> {
        let refusals = self.refusals.get(&node)?.get(&agent)?;
        let refusing = refusals.iter().filter(|refusal| refusal.resources.contains_each(offered()));
        refusing.map(|refusal| refusal.until).max()
    }

    /// Forgets what a framework declined for a role.
    pub(super) fn clear(&mut self, node: NodeId) {
        for refusal in
            self.refusals.remove(&node).into_iter().flat_map(BTreeMap::into_values).flatten()
        {
            self.expiries.remove(&(refusal.until, refusal.number));
        }
    }

    /// Forgets what was declined of an agent.
    pub(super) fn remove_agent(&mut self, agent: AgentNumber) {
        for refusals in self.refusals.values_mut() {
            for refusal in refusals.remove(&agent).into_iter().flatten() {
                self.expiries.remove(&(refusal.until, refusal.number));
            }
        }
    }

    /// Ends what is over; returns agents of which more may be offered now.
    pub(super) fn expire(&mut self, now: Time) -> Vec<AgentNumber> {
        let mut agents = Vec::new();
        while let Some(entry) = self.expiries.first_entry().filter(|entry| entry.key().0 <= now) {
            let (_, number) = *entry.key();
            let (node, agent) = entry.remove();
            let Some(of_node) = self.refusals.get_mut(&node) else { continue };
            if let Some(refusals) = of_node.get_mut(&agent) {
                refusals.retain(|refusal| refusal.number != number);
                if refusals.is_empty() {
                    of_node.remove(&agent);
                }
            }
            if of_node.is_empty() {
                self.refusals.remove(&node);
            }
            agents.push(agent);
        }
        agents
    }

    /// When the next filter ends.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.expiries.first_key_value().map(|((until, _), _)| *until)
    }

    /// How many filters hold.
    pub(super) fn len(&self) -> usize {
        self.expiries.len()
    }
}
