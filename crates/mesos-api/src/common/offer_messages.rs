//! Offers, operations on them, filters.

use super::resource::AllocationInfo;
use super::{
    AgentId, Attribute, DomainInfo, ExecutorId, FrameworkId, OfferId, OperationId, Resource,
    ResourceProviderId, Unavailability, Url, Uuid,
};

/// Parts of [`Offer`].
pub mod offer {
    use super::super::resource::DiskSourceType;
    use super::super::value::Scalar;
    use super::super::{ExecutorInfo, OperationId, Resource, TaskGroupInfo, TaskInfo};

    enumeration! {
        /// What an operation does.
        OperationType = "mesos.v1.Offer.Operation.Type" {
            Unknown "UNKNOWN" = 0,
            Launch "LAUNCH" = 1,
            LaunchGroup "LAUNCH_GROUP" = 6,
            Reserve "RESERVE" = 2,
            Unreserve "UNRESERVE" = 3,
            Create "CREATE" = 4,
            Destroy "DESTROY" = 5,
            GrowVolume "GROW_VOLUME" = 11,
            ShrinkVolume "SHRINK_VOLUME" = 12,
            CreateDisk "CREATE_DISK" = 13,
            DestroyDisk "DESTROY_DISK" = 14,
        }
    }
    message! {
        /// Something done with offered resources.
        Operation = "mesos.v1.Offer.Operation" {
            1 r#type: opt enum OperationType,
            12 id: opt OperationId,
            2 launch: opt Launch,
            7 launch_group: opt LaunchGroup,
            3 reserve: opt Reserve,
            4 unreserve: opt Unreserve,
            5 create: opt Create,
            6 destroy: opt Destroy,
            13 grow_volume: opt GrowVolume,
            14 shrink_volume: opt ShrinkVolume,
            15 create_disk: opt CreateDisk,
            16 destroy_disk: opt DestroyDisk,
        }
        /// Launches tasks.
        Launch = "mesos.v1.Offer.Operation.Launch" { 1 task_infos: rep TaskInfo, }
        /// Launches a task group under one executor.
        LaunchGroup = "mesos.v1.Offer.Operation.LaunchGroup" { 1 executor: req ExecutorInfo, 2 task_group: req TaskGroupInfo, }
        /// Reserves resources for a role.
        Reserve = "mesos.v1.Offer.Operation.Reserve" { 2 source: rep Resource, 1 resources: rep Resource, }
        /// Gives a reservation up.
        Unreserve = "mesos.v1.Offer.Operation.Unreserve" { 1 resources: rep Resource, }
        /// Creates persistent volumes.
        Create = "mesos.v1.Offer.Operation.Create" { 1 volumes: rep Resource, }
        /// Destroys persistent volumes.
        Destroy = "mesos.v1.Offer.Operation.Destroy" { 1 volumes: rep Resource, }
        /// Grows a volume.
        GrowVolume = "mesos.v1.Offer.Operation.GrowVolume" { 1 volume: req Resource, 2 addition: req Resource, }
        /// Shrinks a volume.
        ShrinkVolume = "mesos.v1.Offer.Operation.ShrinkVolume" { 1 volume: req Resource, 2 subtract: req Scalar, }
        /// Makes a disk of raw storage.
        CreateDisk = "mesos.v1.Offer.Operation.CreateDisk" { 1 source: req Resource, 2 target_type: req enum DiskSourceType, 3 target_profile: opt string, }
        /// Makes raw storage of a disk.
        DestroyDisk = "mesos.v1.Offer.Operation.DestroyDisk" { 1 source: req Resource, }
    }

    impl Operation {
        /// Builds a LAUNCH of these tasks.
        #[must_use]
        pub fn launch_tasks(task_infos: Vec<TaskInfo>) -> Self {
            Self {
                r#type: Some(OperationType::Launch.into()),
                launch: Some(Launch { task_infos }),
                ..Self::default()
            }
        }
    }
}

enumeration! {
    /// Where an operation stands.
    OperationState = "mesos.v1.OperationState" {
        Unsupported "OPERATION_UNSUPPORTED" = 0,
        Pending "OPERATION_PENDING" = 1,
        Finished "OPERATION_FINISHED" = 2,
        Failed "OPERATION_FAILED" = 3,
        Error "OPERATION_ERROR" = 4,
        Dropped "OPERATION_DROPPED" = 5,
        Unreachable "OPERATION_UNREACHABLE" = 6,
        GoneByOperator "OPERATION_GONE_BY_OPERATOR" = 7,
        Recovering "OPERATION_RECOVERING" = 8,
        UnknownOperation "OPERATION_UNKNOWN" = 9,
    }
}

message! {
    /// Resources of one agent offered to one framework for one role.
    Offer = "mesos.v1.Offer" {
        1 id: req OfferId,
        2 framework_id: req FrameworkId,
        3 agent_id: req AgentId,
        4 hostname: req string,
        8 url: opt Url,
        11 domain: opt DomainInfo,
        5 resources: rep Resource,
        7 attributes: rep Attribute,
        6 executor_ids: rep ExecutorId,
        9 unavailability: opt Unavailability,
        10 allocation_info: opt AllocationInfo,
    }
    /// Resources asked back before maintenance.
    InverseOffer = "mesos.v1.InverseOffer" {
        1 id: req OfferId,
        2 url: opt Url,
        3 framework_id: req FrameworkId,
        4 agent_id: opt AgentId,
        5 unavailability: req Unavailability,
        6 resources: rep Resource,
    }
    /// For how long declined resources are not offered again.
    Filters = "mesos.v1.Filters" { 1 refuse_seconds: opt double = 5.0, }
    /// Resources wished for.
    Request = "mesos.v1.Request" { 1 agent_id: opt AgentId, 2 resources: rep Resource, }
    /// News of an operation.
    OperationStatus = "mesos.v1.OperationStatus" {
        1 operation_id: opt OperationId,
        2 state: req enum OperationState,
        3 message: opt string,
        4 converted_resources: rep Resource,
        5 uuid: opt Uuid,
        6 agent_id: opt AgentId,
        7 resource_provider_id: opt ResourceProviderId,
    }
}
