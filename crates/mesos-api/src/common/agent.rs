//! Agents.

use super::{AgentId, Attribute, DomainInfo, Resource};

/// Parts of [`AgentInfo`].
pub mod agent_info {
    enumeration! {
        /// What an agent understands.
        CapabilityType = "mesos.v1.AgentInfo.Capability.Type" {
            Unknown "UNKNOWN" = 0,
            MultiRole "MULTI_ROLE" = 1,
            HierarchicalRole "HIERARCHICAL_ROLE" = 2,
            ReservationRefinement "RESERVATION_REFINEMENT" = 3,
            ResourceProvider "RESOURCE_PROVIDER" = 4,
            ResizeVolume "RESIZE_VOLUME" = 5,
            AgentOperationFeedback "AGENT_OPERATION_FEEDBACK" = 6,
            AgentDraining "AGENT_DRAINING" = 7,
            TaskResourceLimits "TASK_RESOURCE_LIMITS" = 8,
        }
    }
    message! {
        /// One thing an agent understands.
        #[derive(Eq)]
        Capability = "mesos.v1.AgentInfo.Capability" { 1 r#type: opt enum CapabilityType, }
    }
}

message! {
    /// What an agent tells about itself.
    AgentInfo = "mesos.v1.AgentInfo" {
        1 hostname: req string,
        8 port: opt int32 = 5051,
        3 resources: rep Resource,
        5 attributes: rep Attribute,
        6 id: opt AgentId,
        10 domain: opt DomainInfo,
    }
}
