//! Frameworks and masters.

use super::value::Scalar;
use super::{Address, FrameworkId, Labels};

/// Parts of [`FrameworkInfo`].
pub mod framework_info {
    enumeration! {
        /// What a framework understands.
        CapabilityType = "mesos.v1.FrameworkInfo.Capability.Type" {
            Unknown "UNKNOWN" = 0,
            RevocableResources "REVOCABLE_RESOURCES" = 1,
            TaskKillingState "TASK_KILLING_STATE" = 2,
            GpuResources "GPU_RESOURCES" = 3,
            SharedResources "SHARED_RESOURCES" = 4,
            PartitionAware "PARTITION_AWARE" = 5,
            MultiRole "MULTI_ROLE" = 6,
            ReservationRefinement "RESERVATION_REFINEMENT" = 7,
            RegionAware "REGION_AWARE" = 8,
        }
    }
    message! {
        /// One thing a framework understands.
        #[derive(Eq)]
        Capability = "mesos.v1.FrameworkInfo.Capability" { 1 r#type: opt enum CapabilityType, }
    }
}

/// Parts of [`OfferFilters`].
pub mod offer_filters {
    use super::Scalar;

    message! {
        /// Amounts by resource name.
        ResourceQuantities = "mesos.v1.OfferFilters.ResourceQuantities" { 1 quantities: rep map Scalar, }
        /// An offer must hold one of these amounts.
        MinAllocatableResources = "mesos.v1.OfferFilters.MinAllocatableResources" { 1 quantities: rep ResourceQuantities, }
    }
}

/// Parts of [`MasterInfo`].
pub mod master_info {
    enumeration! {
        /// What a master understands.
        CapabilityType = "mesos.v1.MasterInfo.Capability.Type" { Unknown "UNKNOWN" = 0, AgentUpdate "AGENT_UPDATE" = 1, AgentDraining "AGENT_DRAINING" = 2 }
    }
    message! {
        /// One thing a master understands.
        #[derive(Eq)]
        Capability = "mesos.v1.MasterInfo.Capability" { 1 r#type: opt enum CapabilityType, }
    }
}

/// Parts of [`DomainInfo`].
pub mod domain_info {
    message! {
        /// Region and zone.
        #[derive(Eq)]
        FaultDomain = "mesos.v1.DomainInfo.FaultDomain" { 1 region: req RegionInfo, 2 zone: req ZoneInfo, }
        /// A region.
        #[derive(Eq)]
        RegionInfo = "mesos.v1.DomainInfo.FaultDomain.RegionInfo" { 1 name: req string, }
        /// A zone of a region.
        #[derive(Eq)]
        ZoneInfo = "mesos.v1.DomainInfo.FaultDomain.ZoneInfo" { 1 name: req string, }
    }
}

use domain_info::FaultDomain;
use offer_filters::MinAllocatableResources;

message! {
    /// What a framework tells about itself.
    FrameworkInfo = "mesos.v1.FrameworkInfo" {
        1 user: req string,
        2 name: req string,
        3 id: opt FrameworkId,
        4 failover_timeout: opt double = 0.0,
        5 checkpoint: opt bool = false,
        6 role: opt string = "*",
        12 roles: rep string,
        7 hostname: opt string,
        8 principal: opt string,
        9 webui_url: opt string,
        10 capabilities: rep FrameworkCapability,
        11 labels: opt Labels,
        13 offer_filters: rep map OfferFilters,
    }
    /// Which offers a framework wants of a role.
    OfferFilters = "mesos.v1.OfferFilters" { 1 min_allocatable_resources: opt MinAllocatableResources, }
    /// Who leads.
    MasterInfo = "mesos.v1.MasterInfo" {
        1 id: req string,
        2 ip: req uint32,
        3 port: req uint32 = 5050,
        4 pid: opt string,
        5 hostname: opt string,
        6 version: opt string,
        7 address: opt Address,
        8 domain: opt DomainInfo,
        9 capabilities: rep MasterCapability,
    }
    /// Where a machine stands.
    #[derive(Eq)]
    DomainInfo = "mesos.v1.DomainInfo" { 1 fault_domain: opt FaultDomain, }
}

use framework_info::Capability as FrameworkCapability;
use framework_info::CapabilityType;
use master_info::Capability as MasterCapability;

impl FrameworkInfo {
    /// Whether the framework announced this capability.
    #[must_use]
    pub fn has_capability(&self, capability: CapabilityType) -> bool {
        self.capabilities.iter().any(|c| c.r#type() == capability)
    }

    /// The roles the framework subscribes to: `roles` with MULTI_ROLE, else the single `role`.
    #[must_use]
    pub fn subscribed_roles(&self) -> Vec<String> {
        if self.has_capability(CapabilityType::MultiRole) {
            self.roles.clone()
        } else {
            vec![self.role().to_owned()]
        }
    }
}

impl From<CapabilityType> for FrameworkCapability {
    fn from(capability: CapabilityType) -> Self {
        Self { r#type: Some(capability.into()) }
    }
}
