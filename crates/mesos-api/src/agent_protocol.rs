//! What our master and our agent say to each other. The agent dials the master with an HTTP upgrade
//! to [`UPGRADE_PROTOCOL`]; then both sides send RecordIO of [`ToMaster`] and [`ToAgent`], in each of
//! which exactly one field is set. The vocabulary is that of Mesos' own agent messages.

use crate::{
    AgentId, AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, KillPolicy, Resource,
    Task, TaskGroupInfo, TaskId, TaskInfo, TaskState, TaskStatus,
};

/// Path the agent dials.
pub const AGENT_PATH: &str = "/agent-link";

/// Protocol named in the `Upgrade` header.
pub const UPGRADE_PROTOCOL: &str = "mesos-agent-link/1";

message! {
    /// One message of an agent.
    ToMaster = "ferrospark.ToMaster" {
        1 register: opt Register,
        2 update: opt StatusUpdate,
        3 executor_exited: opt ExecutorExited,
        4 message: opt FrameworkMessage,
        5 pong: opt Pong,
        6 unregister: opt Unregister,
    }
    /// One message of the master.
    ToAgent = "ferrospark.ToAgent" {
        1 registered: opt Registered,
        2 refused: opt Refused,
        3 ping: opt Ping,
        4 run_task: opt RunTask,
        5 run_group: opt RunGroup,
        6 kill_task: opt KillTask,
        7 acknowledge: opt Acknowledge,
        8 shutdown_executor: opt ShutdownExecutor,
        9 shutdown_framework: opt ShutdownFramework,
        10 message: opt FrameworkMessage,
        11 shutdown: opt Shutdown,
        12 checkpoint: opt CheckpointResources,
    }
    /// First message of a link. With an id, the agent returns and tells what it runs.
    Register = "ferrospark.Register" {
        1 agent: req AgentInfo,
        2 version: req string,
        3 ip: req string,
        4 tasks: rep Task,
        5 executors: rep ExecutorRecord,
        6 frameworks: rep FrameworkInfo,
        7 principal: opt string,
        8 secret: opt string,
    }
    /// A running custom executor.
    ExecutorRecord = "ferrospark.ExecutorRecord" { 1 framework_id: req FrameworkId, 2 executor: req ExecutorInfo, }
    /// News of a task, repeated until acknowledged. As in Mesos it comes with the newest state the
    /// agent knows, which later updates tell once this one is acknowledged.
    StatusUpdate = "ferrospark.StatusUpdate" {
        1 framework_id: req FrameworkId,
        2 status: req TaskStatus,
        3 latest_state: opt enum TaskState,
    }
    /// An executor has ended; `status` is the raw wait status.
    ExecutorExited = "ferrospark.ExecutorExited" { 1 framework_id: req FrameworkId, 2 executor_id: req ExecutorId, 3 status: opt int32, }
    /// Bytes between a scheduler and an executor.
    FrameworkMessage = "ferrospark.FrameworkMessage" { 1 framework_id: req FrameworkId, 2 executor_id: req ExecutorId, 3 data: req bytes, }
    /// The agent is alive.
    Pong = "ferrospark.Pong" {}
    /// The agent leaves for good.
    Unregister = "ferrospark.Unregister" {}
    /// The agent is admitted.
    Registered = "ferrospark.Registered" { 1 agent_id: req AgentId, 2 ping_timeout_seconds: req double, }
    /// The agent is not admitted, and should not come back as it is.
    Refused = "ferrospark.Refused" { 1 reason: req string, }
    /// Is the agent alive?
    Ping = "ferrospark.Ping" {}
    /// Launches a task.
    RunTask = "ferrospark.RunTask" { 1 framework: req FrameworkInfo, 2 task: req TaskInfo, }
    /// Launches a task group.
    RunGroup = "ferrospark.RunGroup" { 1 framework: req FrameworkInfo, 2 executor: req ExecutorInfo, 3 group: req TaskGroupInfo, }
    /// Kills a task.
    KillTask = "ferrospark.KillTask" { 1 framework_id: req FrameworkId, 2 task_id: req TaskId, 3 kill_policy: opt KillPolicy, }
    /// An update has reached its scheduler.
    Acknowledge = "ferrospark.Acknowledge" { 1 framework_id: req FrameworkId, 2 task_id: req TaskId, 3 uuid: req bytes, }
    /// Ends a custom executor.
    ShutdownExecutor = "ferrospark.ShutdownExecutor" { 1 framework_id: req FrameworkId, 2 executor_id: req ExecutorId, }
    /// Ends all a framework runs.
    ShutdownFramework = "ferrospark.ShutdownFramework" { 1 framework_id: req FrameworkId, }
    /// The agent must stop and kill everything.
    Shutdown = "ferrospark.Shutdown" { 1 reason: req string, }
    /// Dynamic reservations and volumes the agent keeps over a restart.
    CheckpointResources = "ferrospark.CheckpointResources" { 1 resources: rep Resource, }
}
