//! The executor API (`mesos.v1.executor`).

use crate::{ExecutorId, FrameworkId};

/// Parts of [`Call`].
pub mod call {
    use crate::{TaskInfo, TaskStatus};

    enumeration! {
        /// What an executor asks for.
        Type = "mesos.v1.executor.Call.Type" {
            Unknown "UNKNOWN" = 0, Subscribe "SUBSCRIBE" = 1, Update "UPDATE" = 2, Message "MESSAGE" = 3, Heartbeat "HEARTBEAT" = 4,
        }
    }
    message! {
        /// Opens the event stream.
        Subscribe = "mesos.v1.executor.Call.Subscribe" { 1 unacknowledged_tasks: rep TaskInfo, 2 unacknowledged_updates: rep Update, }
        /// News of a task.
        Update = "mesos.v1.executor.Call.Update" { 1 status: req TaskStatus, }
        /// Sends bytes to the scheduler.
        #[derive(Eq)]
        Message = "mesos.v1.executor.Call.Message" { 2 data: req bytes, }
    }
}

/// Parts of [`Event`].
pub mod event {
    use crate::{
        AgentInfo, ContainerId, ExecutorInfo, FrameworkInfo, KillPolicy, TaskGroupInfo, TaskId,
        TaskInfo,
    };

    enumeration! {
        /// What an agent tells.
        Type = "mesos.v1.executor.Event.Type" {
            Unknown "UNKNOWN" = 0,
            Subscribed "SUBSCRIBED" = 1,
            Launch "LAUNCH" = 2,
            LaunchGroup "LAUNCH_GROUP" = 8,
            Kill "KILL" = 3,
            Acknowledged "ACKNOWLEDGED" = 4,
            Message "MESSAGE" = 5,
            Error "ERROR" = 6,
            Shutdown "SHUTDOWN" = 7,
            Heartbeat "HEARTBEAT" = 9,
        }
    }
    message! {
        /// First record of a stream.
        Subscribed = "mesos.v1.executor.Event.Subscribed" {
            1 executor_info: req ExecutorInfo, 2 framework_info: req FrameworkInfo, 3 agent_info: req AgentInfo, 4 container_id: opt ContainerId,
        }
        /// Launches a task.
        Launch = "mesos.v1.executor.Event.Launch" { 1 task: req TaskInfo, }
        /// Launches a task group.
        LaunchGroup = "mesos.v1.executor.Event.LaunchGroup" { 1 task_group: req TaskGroupInfo, }
        /// Kills a task.
        #[derive(Eq)]
        Kill = "mesos.v1.executor.Event.Kill" { 1 task_id: req TaskId, 2 kill_policy: opt KillPolicy, }
        /// An update has arrived.
        #[derive(Eq)]
        Acknowledged = "mesos.v1.executor.Event.Acknowledged" { 1 task_id: req TaskId, 2 uuid: req bytes, }
        /// Bytes from the scheduler.
        #[derive(Eq)]
        Message = "mesos.v1.executor.Event.Message" { 1 data: req bytes, }
        /// The stream ends for this reason.
        #[derive(Eq)]
        Error = "mesos.v1.executor.Event.Error" { 1 message: req string, }
    }
}

use call::{Message as CallMessage, Subscribe, Type as CallType, Update};
use event::{
    Acknowledged, Error, Kill, Launch, LaunchGroup, Message as EventMessage, Subscribed,
    Type as EventType,
};

message! {
    /// What an executor sends.
    Call = "mesos.v1.executor.Call" {
        1 executor_id: req ExecutorId,
        2 framework_id: req FrameworkId,
        3 r#type: opt enum CallType,
        4 subscribe: opt Subscribe,
        5 update: opt Update,
        6 message: opt CallMessage,
    }
    /// What an executor is told.
    Event = "mesos.v1.executor.Event" {
        1 r#type: opt enum EventType,
        2 subscribed: opt Subscribed,
        3 acknowledged: opt Acknowledged,
        4 launch: opt Launch,
        8 launch_group: opt LaunchGroup,
        5 kill: opt Kill,
        6 message: opt EventMessage,
        7 error: opt Error,
    }
}
