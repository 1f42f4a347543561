//! Resources and what is said about them.

use super::{ResourceProviderId, ValueType, value};

/// Parts of a [`Resource`].
pub mod resource {
    use super::super::{Labels, Volume};

    enumeration! {
        /// Who made a reservation: the agent's flags, or a framework or operator.
        ReservationType = "mesos.v1.Resource.ReservationInfo.Type" { Unknown "UNKNOWN" = 0, Static "STATIC" = 1, Dynamic "DYNAMIC" = 2 }
        /// What a disk is made of.
        DiskSourceType = "mesos.v1.Resource.DiskInfo.Source.Type" {
            Unknown "UNKNOWN" = 0, Path "PATH" = 1, Mount "MOUNT" = 2, Block "BLOCK" = 3, Raw "RAW" = 4,
        }
    }
    message! {
        /// To which role a resource is allocated.
        #[derive(Eq)]
        AllocationInfo = "mesos.v1.Resource.AllocationInfo" { 1 role: opt string, }
        /// For which role a resource is reserved.
        #[derive(Eq)]
        ReservationInfo = "mesos.v1.Resource.ReservationInfo" {
            4 r#type: opt enum ReservationType,
            3 role: opt string,
            1 principal: opt string,
            2 labels: opt Labels,
        }
        /// Persistence and source of a disk resource.
        DiskInfo = "mesos.v1.Resource.DiskInfo" {
            1 persistence: opt Persistence,
            2 volume: opt Volume,
            3 source: opt DiskSource,
        }
        /// Marks a persistent volume.
        #[derive(Eq)]
        Persistence = "mesos.v1.Resource.DiskInfo.Persistence" { 1 id: req string, 2 principal: opt string, }
        /// What a disk is made of.
        DiskSource = "mesos.v1.Resource.DiskInfo.Source" {
            1 r#type: req enum DiskSourceType,
            2 path: opt DiskPath,
            3 mount: opt DiskMount,
            7 vendor: opt string,
            4 id: opt string,
            5 metadata: opt Labels,
            6 profile: opt string,
        }
        /// A folder used as a disk.
        #[derive(Eq)]
        DiskPath = "mesos.v1.Resource.DiskInfo.Source.Path" { 1 root: opt string, }
        /// A mounted file system used as a disk.
        #[derive(Eq)]
        DiskMount = "mesos.v1.Resource.DiskInfo.Source.Mount" { 1 root: opt string, }
        /// Marks a resource which may be taken back at any time.
        #[derive(Eq)]
        RevocableInfo = "mesos.v1.Resource.RevocableInfo" {}
        /// Marks a resource which several tasks may use at once.
        #[derive(Eq)]
        SharedInfo = "mesos.v1.Resource.SharedInfo" {}
    }
}

use resource::{AllocationInfo, DiskInfo, ReservationInfo, RevocableInfo, SharedInfo};
use value::{Ranges, Scalar, Set};

message! {
    /// An amount of something an agent has.
    Resource = "mesos.v1.Resource" {
        12 provider_id: opt ResourceProviderId,
        1 name: req string,
        2 r#type: req enum ValueType,
        3 scalar: opt Scalar,
        4 ranges: opt Ranges,
        5 set: opt Set,
        6 role: opt string = "*",
        11 allocation_info: opt AllocationInfo,
        8 reservation: opt ReservationInfo,
        13 reservations: rep ReservationInfo,
        7 disk: opt boxed DiskInfo,
        9 revocable: opt RevocableInfo,
        10 shared: opt SharedInfo,
    }
}
