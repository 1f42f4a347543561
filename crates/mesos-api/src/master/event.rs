//! Parts of [`Event`](super::Event).

use super::response::GetState;
use super::response::get_agents::Agent;
use super::response::get_frameworks::Framework;
use crate::{AgentId, FrameworkId, FrameworkInfo, Task, TaskState, TaskStatus};

enumeration! {
    /// What happened.
    Type = "mesos.v1.master.Event.Type" {
        Unknown "UNKNOWN" = 0,
        Subscribed "SUBSCRIBED" = 1,
        TaskAdded "TASK_ADDED" = 2,
        TaskUpdated "TASK_UPDATED" = 3,
        AgentAdded "AGENT_ADDED" = 4,
        AgentRemoved "AGENT_REMOVED" = 5,
        FrameworkAdded "FRAMEWORK_ADDED" = 6,
        FrameworkUpdated "FRAMEWORK_UPDATED" = 7,
        FrameworkRemoved "FRAMEWORK_REMOVED" = 8,
        Heartbeat "HEARTBEAT" = 9,
    }
}

message! {
    /// First event of a stream.
    Subscribed = "mesos.v1.master.Event.Subscribed" { 1 get_state: opt GetState, 2 heartbeat_interval_seconds: opt double, }
    /// A task was launched or found.
    TaskAdded = "mesos.v1.master.Event.TaskAdded" { 1 task: req Task, }
    /// A task changed.
    TaskUpdated = "mesos.v1.master.Event.TaskUpdated" { 1 framework_id: req FrameworkId, 2 status: req TaskStatus, 3 state: req enum TaskState, }
    /// An agent was admitted.
    AgentAdded = "mesos.v1.master.Event.AgentAdded" { 1 agent: req Agent, }
    /// An agent is no longer there.
    AgentRemoved = "mesos.v1.master.Event.AgentRemoved" { 1 agent_id: req AgentId, }
    /// A framework subscribed for the first time.
    FrameworkAdded = "mesos.v1.master.Event.FrameworkAdded" { 1 framework: req Framework, }
    /// A framework changed.
    FrameworkUpdated = "mesos.v1.master.Event.FrameworkUpdated" { 1 framework: req Framework, }
    /// A framework ended.
    FrameworkRemoved = "mesos.v1.master.Event.FrameworkRemoved" { 1 framework_info: req FrameworkInfo, }
}
