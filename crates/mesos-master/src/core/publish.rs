//! The operator API's words for agents, frameworks and tasks, and news of them for its subscribers.

use mesos_api::agent_info::{Capability, CapabilityType};
use mesos_api::master::response::get_agents::Agent as AgentMessage;
use mesos_api::master::response::get_frameworks::Framework as FrameworkMessage;
use mesos_api::master::{Event, event};
use mesos_api::{
    AgentId, AgentInfo, DrainInfo, DrainState, FrameworkId, FrameworkInfo, Resources, Task,
    TaskState, TaskStatus, TimeInfo, WireFormat,
};

use super::Master;
use super::event::Action;
use super::snapshot::{AgentView, FrameworkView};
use crate::allocator::Time;

/// What our agents understand.
pub const AGENT_CAPABILITIES: [CapabilityType; 4] = [
    CapabilityType::MultiRole,
    CapabilityType::HierarchicalRole,
    CapabilityType::ReservationRefinement,
    CapabilityType::AgentDraining,
];

impl Master {
    fn publish(&mut self, event: impl FnOnce(&Self) -> Option<Event>) {
        if self.observed
            && let Some(event) = event(self)
        {
            self.act(Action::Publish { event: Box::new(event) });
        }
    }

    pub(super) fn publish_task_added(&mut self, task: &Task) {
        self.publish(|_| {
            let r#type = Some(event::Type::TaskAdded.into());
            let task_added = Some(event::TaskAdded { task: task.clone() });
            Some(Event { r#type, task_added, ..Event::default() })
        });
    }

    pub(super) fn publish_task_updated(
        &mut self,
        id: &FrameworkId,
        status: &TaskStatus,
        state: TaskState,
    ) {
        self.publish(|_| {
            let r#type = Some(event::Type::TaskUpdated.into());
            let updated = event::TaskUpdated {
                framework_id: id.clone(),
                status: status.clone(),
                state: state.into(),
            };
            Some(Event { r#type, task_updated: Some(updated), ..Event::default() })
        });
    }

    pub(super) fn publish_agent_added(&mut self, agent_id: &AgentId) {
        self.publish(|master| {
            let view = master.agent_view(agent_id, master.agents.get(agent_id)?);
            let r#type = Some(event::Type::AgentAdded.into());
            let agent_added = Some(event::AgentAdded { agent: agent_message(&view) });
            Some(Event { r#type, agent_added, ..Event::default() })
        });
    }

    pub(super) fn publish_agent_removed(&mut self, agent_id: &AgentId) {
        self.publish(|_| {
            let r#type = Some(event::Type::AgentRemoved.into());
            let agent_removed = Some(event::AgentRemoved { agent_id: agent_id.clone() });
            Some(Event { r#type, agent_removed, ..Event::default() })
        });
    }

    fn published_framework(&self, id: &FrameworkId) -> Option<FrameworkMessage> {
        Some(framework_message(&self.framework_view(id, self.frameworks.get(id)?, Vec::new())))
    }

    pub(super) fn publish_framework_added(&mut self, id: &FrameworkId) {
        self.publish(|master| {
            let framework = master.published_framework(id)?;
            let r#type = Some(event::Type::FrameworkAdded.into());
            let framework_added = Some(event::FrameworkAdded { framework });
            Some(Event { r#type, framework_added, ..Event::default() })
        });
    }

    pub(super) fn publish_framework_updated(&mut self, id: &FrameworkId) {
        self.publish(|master| {
            let framework = master.published_framework(id)?;
            let r#type = Some(event::Type::FrameworkUpdated.into());
            let framework_updated = Some(event::FrameworkUpdated { framework });
            Some(Event { r#type, framework_updated, ..Event::default() })
        });
    }

    pub(super) fn publish_framework_removed(&mut self, id: &FrameworkId) {
        self.publish(|master| {
            let framework_info = FrameworkInfo::clone(&master.frameworks.get(id)?.info);
            let r#type = Some(event::Type::FrameworkRemoved.into());
            let framework_removed = Some(event::FrameworkRemoved { framework_info });
            Some(Event { r#type, framework_removed, ..Event::default() })
        });
    }
}

fn time(time: Time) -> TimeInfo {
    TimeInfo { nanoseconds: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX) }
}

fn wire(resources: &Resources) -> Vec<mesos_api::Resource> {
    resources.to_wire(WireFormat::PostRefinement)
}

/// An agent in the words of the operator API.
#[must_use]
pub fn agent_message(agent: &AgentView) -> AgentMessage {
    let total = wire(&agent.total);
    let drain_info = agent.drain.as_ref().map(|drain| DrainInfo {
        state: if drain.done { DrainState::Drained } else { DrainState::Draining }.into(),
        config: drain.config.clone(),
    });
    AgentMessage {
        agent_info: AgentInfo {
            id: Some(agent.id.clone()),
            resources: total.clone(),
            ..AgentInfo::clone(&agent.info)
        },
        active: agent.active,
        deactivated: Some(agent.deactivated),
        version: agent.version.clone(),
        pid: Some(format!("slave(1)@{}:{}", agent.ip, agent.info.port())),
        registered_time: Some(time(agent.registered)),
        reregistered_time: agent.reregistered.map(time),
        total_resources: total,
        allocated_resources: wire(&agent.used),
        offered_resources: wire(&agent.offered),
        capabilities: AGENT_CAPABILITIES
            .into_iter()
            .map(|capability| Capability { r#type: Some(capability.into()) })
            .collect(),
        drain_info,
        estimated_drain_start_time: agent.drain.as_ref().map(|drain| time(drain.since)),
    }
}

/// A framework in the words of the operator API, but for its offers.
#[must_use]
pub fn framework_message(framework: &FrameworkView) -> FrameworkMessage {
    FrameworkMessage {
        framework_info: FrameworkInfo::clone(&framework.info),
        active: framework.connected,
        connected: framework.connected,
        recovered: framework.recovered,
        registered_time: Some(time(framework.registered)),
        reregistered_time: framework.reregistered.map(time),
        unregistered_time: framework.unregistered.map(time),
        offers: Vec::new(),
        inverse_offers: Vec::new(),
        allocated_resources: wire(&framework.used),
        offered_resources: wire(&framework.offered),
        offer_constraints: framework.constraints.clone(),
    }
}
