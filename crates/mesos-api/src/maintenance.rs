//! Maintenance (`mesos.v1.maintenance`): machines to be taken away.

use crate::{MachineId, Unavailability};

/// Parts of [`ClusterStatus`].
pub mod cluster_status {
    use crate::MachineId;

    message! {
        /// A machine that is about to go.
        #[derive(Eq)]
        DrainingMachine = "mesos.v1.maintenance.ClusterStatus.DrainingMachine" { 1 id: req MachineId, }
    }
}

use cluster_status::DrainingMachine;

message! {
    /// Machines, and when they are away.
    Window = "mesos.v1.maintenance.Window" { 1 machine_ids: rep MachineId, 2 unavailability: req Unavailability, }
    /// All windows.
    Schedule = "mesos.v1.maintenance.Schedule" { 1 windows: rep Window, }
    /// Which machines are going and gone.
    #[derive(Eq)]
    ClusterStatus = "mesos.v1.maintenance.ClusterStatus" { 1 draining_machines: rep DrainingMachine, 2 down_machines: rep MachineId, }
}
