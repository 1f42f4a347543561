//! Typed identifiers and small measures.

use std::fmt;

message! {
    /// Identifies a framework over its registrations.
    #[derive(Eq, Hash, PartialOrd, Ord)]
    FrameworkId = "mesos.v1.FrameworkID" { 1 value: req string, }
    /// Identifies one offer of one master.
    #[derive(Eq, Hash, PartialOrd, Ord)]
    OfferId = "mesos.v1.OfferID" { 1 value: req string, }
    /// Identifies an agent over its registrations.
    #[derive(Eq, Hash, PartialOrd, Ord)]
    AgentId = "mesos.v1.AgentID" { 1 value: req string, }
    /// Identifies a task within its framework; chosen by the framework.
    #[derive(Eq, Hash, PartialOrd, Ord)]
    TaskId = "mesos.v1.TaskID" { 1 value: req string, }
    /// Identifies an executor within its framework and agent; chosen by the framework.
    #[derive(Eq, Hash, PartialOrd, Ord)]
    ExecutorId = "mesos.v1.ExecutorID" { 1 value: req string, }
    /// Identifies a container on an agent; a nested one names its parent.
    #[derive(Eq, Hash, PartialOrd, Ord)]
    ContainerId = "mesos.v1.ContainerID" { 1 value: req string, 2 parent: opt boxed ContainerId, }
    /// Identifies a resource provider.
    #[derive(Eq, Hash, PartialOrd, Ord)]
    ResourceProviderId = "mesos.v1.ResourceProviderID" { 1 value: req string, }
    /// Identifies an offer operation; chosen by the framework.
    #[derive(Eq, Hash, PartialOrd, Ord)]
    OperationId = "mesos.v1.OperationID" { 1 value: req string, }
    /// A point in time since the epoch.
    #[derive(Eq)]
    TimeInfo = "mesos.v1.TimeInfo" { 1 nanoseconds: req int64, }
    /// A length of time.
    #[derive(Eq)]
    DurationInfo = "mesos.v1.DurationInfo" { 1 nanoseconds: req int64, }
    /// Sixteen bytes.
    #[derive(Eq)]
    Uuid = "mesos.v1.UUID" { 1 value: req bytes, }
}

macro_rules! textual_id {
    ($($name:ident)*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.value)
            }
        }
        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self::from(value.to_owned())
            }
        }
    )* };
}
textual_id!(FrameworkId OfferId AgentId TaskId ExecutorId ContainerId ResourceProviderId OperationId);

macro_rules! id_of_string {
    ($($name:ident)*) => { $(
        impl From<String> for $name {
            fn from(value: String) -> Self {
                Self { value }
            }
        }
    )* };
}
id_of_string!(FrameworkId OfferId AgentId TaskId ExecutorId ResourceProviderId OperationId);

impl From<String> for ContainerId {
    fn from(value: String) -> Self {
        Self { value, parent: None }
    }
}

impl DurationInfo {
    /// The length as a standard duration; negative lengths become zero.
    #[must_use]
    pub fn to_duration(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }
}
