//! Offers: made by the allocator, ended by use, refusal, time or loss.

use mesos_api::framework_info::CapabilityType;
use mesos_api::resource::AllocationInfo;
use mesos_api::scheduler::{Event, event};
use mesos_api::{Address, FrameworkId, Offer, OfferId, Resource, Resources, Url, WireFormat};
use std::collections::BTreeMap;

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
                expires: self.settings.offer_timeout.map(|timeout| self.now + timeout),
            };
            if let Some(offer) = self.offer_message(&record) {
                batches.entry(allocation.framework_id).or_default().push(offer);
            }
            self.offers.insert(id, record);
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
            executor_ids: framework.executors_on(&record.agent_id),
            unavailability: None,
            allocation_info: multi_role.then(|| AllocationInfo { role: Some(record.role.clone()) }),
        })
    }

    /// Gives an offer's resources back, without a word to the framework.
    pub(super) fn discard_offer(&mut self, offer_id: &OfferId, refused_until: Option<Time>) {
        if let Some(offer) = self.offers.remove(offer_id) {
            self.allocator.recover(
                &offer.framework_id,
                &offer.agent_id,
                &offer.resources,
                refused_until,
            );
        }
    }

    pub(super) fn discard_offers_of(&mut self, framework_id: &FrameworkId) {
        let own: Vec<_> = self
            .offers
            .values()
            .filter(|offer| offer.framework_id == *framework_id)
            .map(|offer| offer.id.clone())
            .collect();
        for offer_id in own {
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

    pub(super) fn expire_offers(&mut self) {
        let now = self.now;
        let over: Vec<_> = self
            .offers
            .values()
            .filter(|offer| offer.expires.is_some_and(|expires| expires <= now))
            .map(|offer| offer.id.clone())
            .collect();
        for offer_id in over {
            self.rescind(&offer_id);
            self.request_allocation();
        }
    }
}

/// In the format the framework understands.
fn resources_for(framework: &Framework, resources: &Resources) -> Vec<Resource> {
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
