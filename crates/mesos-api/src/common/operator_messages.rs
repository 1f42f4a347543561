//! What operators see: roles, weights, flags, metrics, files, drains.

use super::{DurationInfo, FrameworkId, Resource, TimeInfo};

enumeration! {
    /// How far an agent is emptied.
    DrainState = "mesos.v1.DrainState" { Unknown "UNKNOWN" = 0, Draining "DRAINING" = 1, Drained "DRAINED" = 2 }
}

message! {
    /// How an agent is to be emptied.
    #[derive(Eq)]
    DrainConfig = "mesos.v1.DrainConfig" { 1 max_grace_period: opt DurationInfo, 2 mark_gone: opt bool = false, }
    /// That an agent is emptied, and how far it is.
    #[derive(Eq)]
    DrainInfo = "mesos.v1.DrainInfo" { 1 state: req enum DrainState, 2 config: req DrainConfig, }
    /// A role, who subscribes to it and what they hold.
    Role = "mesos.v1.Role" { 1 name: req string, 2 weight: req double, 3 frameworks: rep FrameworkId, 4 resources: rep Resource, }
    /// The weight of a role.
    WeightInfo = "mesos.v1.WeightInfo" { 1 weight: req double, 2 role: opt string, }
    /// A flag of a daemon.
    #[derive(Eq)]
    Flag = "mesos.v1.Flag" { 1 name: req string, 2 value: opt string, }
    /// A measured value.
    Metric = "mesos.v1.Metric" { 1 name: req string, 2 value: opt double, }
    /// A file or folder of a sandbox or a log.
    #[derive(Eq)]
    FileInfo = "mesos.v1.FileInfo" {
        1 path: req string,
        2 nlink: opt int32,
        3 size: opt uint64,
        4 mtime: opt TimeInfo,
        5 mode: opt uint32,
        6 uid: opt string,
        7 gid: opt string,
    }
    /// A machine, as maintenance names it.
    #[derive(Eq)]
    MachineId = "mesos.v1.MachineID" { 1 hostname: opt string, 2 ip: opt string, }
}
