//! Offers: made by the allocator, ended by use, refusal, time or loss.

use mesos_api::framework_info::CapabilityType;
use mesos_api::resource::AllocationInfo;
use mesos_api::scheduler::{Event, event};
use mesos_api::{
    Address, AgentId, FrameworkId, Offer, OfferId, Resource, Resources, Url, WireFormat,
};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Master;
use super::state::{Agent, Framework, OfferRecord};
use crate::allocator::Time;

impl Master {
    pub(super) fn allocate(&mut self) {
        self.counters.allocation_runs += 1;
        let allocations = self.allocator.allocate(self.now);
        let mut batches: BTreeMap<FrameworkId, Vec<Offer>> = BTreeMap::new();
        for allocation in allocations {
            let id =
                OfferId::from(format!("{}-O{}", self.settings.master_info.id, self.next_offer));
            self.next_offer += 1;
            let record = OfferRecord {
                id: id.clone(),
                framework_id: allocation.framework_id.clone(),
                agent_id: allocation.agent_id,
                role: allocation.role,
                resources: allocation.resources,
                made: self.now,
            };
            if let Some(offer) = self.offer_message(&record) {
                batches.entry(allocation.framework_id).or_default().push(offer);
            }
            self.keep_offer(record);
        }
        for (framework_id, offers) in batches {
            self.counters.offers_sent += offers.len() as u64;
            let event = Event {
                r#type: Some(event::Type::Offers.into()),
                offers: Some(event::Offers { offers }),
                ..Event::default()
            };
            self.send(&framework_id, event);
        }
    }

    fn keep_offer(&mut self, record: OfferRecord) {
        if let Some(timeout) = self.settings.offer_timeout {
            self.offer_timers.set(record.id.clone(), self.now + timeout);
        }
        if let Some(framework) = self.frameworks.get_mut(&record.framework_id) {
            framework.offers.insert(record.id.clone());
            framework.offered.add_all(&record.resources.only_scalars());
        }
        if let Some(agent) = self.agents.get_mut(&record.agent_id) {
            agent.offers.insert(record.id.clone());
            agent.offered.add_all(&record.resources);
        }
        self.offers.insert(record.id.clone(), Arc::new(record));
    }

    /// Ends an offer; its resources stay allocated to the framework.
    pub(super) fn take_offer(&mut self, offer_id: &OfferId) -> Option<Arc<OfferRecord>> {
        let offer = self.offers.remove(offer_id)?;
        self.offer_timers.remove(offer_id);
        if let Some(framework) = self.frameworks.get_mut(&offer.framework_id) {
            framework.offers.remove(offer_id);
            framework.offered.subtract_all(&offer.resources.only_scalars());
        }
        if let Some(agent) = self.agents.get_mut(&offer.agent_id) {
            agent.offers.remove(offer_id);
            agent.offered.subtract_all(&offer.resources);
        }
        Some(offer)
    }

    pub(super) fn offer_message(&self, record: &OfferRecord) -> Option<Offer> {
        let framework = self.frameworks.get(&record.framework_id)?;
        let agent = self.agents.get(&record.agent_id)?;
        let multi_role = framework.info.has_capability(CapabilityType::MultiRole);
        Some(Offer {
            id: record.id.clone(),
            framework_id: record.framework_id.clone(),
            agent_id: record.agent_id.clone(),
            hostname: agent.info.hostname.clone(),
            url: Some(agent_url(agent)),
            domain: agent.info.domain.clone(),
            resources: resources_for(framework, &record.resources),
            attributes: agent.info.attributes.clone(),
            executor_ids: framework.executors_on(&record.agent_id).cloned().collect(),
            unavailability: None,
            allocation_info: multi_role.then(|| AllocationInfo { role: Some(record.role.clone()) }),
        })
    }

    /// Gives an offer's resources back, without a word to the framework.
    pub(super) fn discard_offer(&mut self, offer_id: &OfferId, refused_until: Option<Time>) {
        if let Some(offer) = self.take_offer(offer_id) {
            let OfferRecord { framework_id, agent_id, resources, .. } = &*offer;
            self.allocator.recover(framework_id, agent_id, resources, refused_until);
        }
    }

    pub(super) fn discard_offers_of(&mut self, framework_id: &FrameworkId) {
        let own = self.frameworks.get(framework_id).map(|framework| framework.offers.clone());
        for offer_id in own.unwrap_or_default() {
            self.discard_offer(&offer_id, None);
        }
    }

    /// Takes an offer back and says so.
    pub(super) fn rescind(&mut self, offer_id: &OfferId) {
        let Some(framework_id) = self.offers.get(offer_id).map(|offer| offer.framework_id.clone())
        else {
            return;
        };
        self.discard_offer(offer_id, None);
        self.counters.offers_rescinded += 1;
        let event = Event {
            r#type: Some(event::Type::Rescind.into()),
            rescind: Some(event::Rescind { offer_id: offer_id.clone() }),
            ..Event::default()
        };
        self.send(&framework_id, event);
    }

    pub(super) fn rescind_offers_on(&mut self, agent_id: &AgentId) {
        let there = self.agents.get(agent_id).map(|agent| agent.offers.clone());
        for offer_id in there.unwrap_or_default() {
            self.rescind(&offer_id);
        }
    }

    /// Who leaves an offer unanswered goes behind the others, like who declines.
    pub(super) fn expire_offers(&mut self) {
        while let Some(offer_id) = self.offer_timers.pop(self.now) {
            if let Some(offer) = self.offers.get(&offer_id) {
                self.allocator.declined(&offer.framework_id, &offer.role);
            }
            self.rescind(&offer_id);
            self.request_allocation();
        }
    }
}

/// In the format the framework understands.
pub(super) fn resources_for(framework: &Framework, resources: &Resources) -> Vec<Resource> {
    let refined = framework.info.has_capability(CapabilityType::ReservationRefinement);
    let format = if refined { WireFormat::PostRefinement } else { WireFormat::PreRefinement };
    if framework.info.has_capability(CapabilityType::MultiRole) {
        resources.to_wire(format)
    } else {
        resources.unallocated().to_wire(format)
    }
}

fn agent_url(agent: &Agent) -> Url {
    Url {
        scheme: "http".to_owned(),
        address: Address {
            hostname: Some(agent.info.hostname.clone()),
            ip: Some(agent.ip.clone()),
            port: agent.port(),
        },
        path: Some("/slave(1)".to_owned()),
        ..Url::default()
    }
}
