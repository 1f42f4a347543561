//! Tasks, executors and their states.

use super::value::Scalar;
use super::{
    AgentId, CommandInfo, ContainerInfo, ContainerStatus, DurationInfo, ExecutorId, FrameworkId,
    Labels, Resource, TaskId, TimeInfo,
};

enumeration! {
    /// Where a task stands.
    TaskState = "mesos.v1.TaskState" {
        Staging "TASK_STAGING" = 6,
        Starting "TASK_STARTING" = 0,
        Running "TASK_RUNNING" = 1,
        Killing "TASK_KILLING" = 8,
        Finished "TASK_FINISHED" = 2,
        Failed "TASK_FAILED" = 3,
        Killed "TASK_KILLED" = 4,
        Error "TASK_ERROR" = 7,
        Lost "TASK_LOST" = 5,
        Dropped "TASK_DROPPED" = 9,
        Unreachable "TASK_UNREACHABLE" = 10,
        Gone "TASK_GONE" = 11,
        GoneByOperator "TASK_GONE_BY_OPERATOR" = 12,
        UnknownTask "TASK_UNKNOWN" = 13,
    }
}

impl TaskState {
    /// Whether no further state can follow. An unreachable task may return.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Finished | Self::Failed | Self::Killed | Self::Error | Self::Lost => true,
            Self::Dropped | Self::Gone | Self::GoneByOperator => true,
            Self::Staging | Self::Starting | Self::Running | Self::Killing => false,
            Self::Unreachable | Self::UnknownTask => false,
        }
    }
}

/// Parts of [`TaskStatus`].
pub mod task_status {
    enumeration! {
        /// Who made an update.
        Source = "mesos.v1.TaskStatus.Source" { Master "SOURCE_MASTER" = 0, Agent "SOURCE_AGENT" = 1, Executor "SOURCE_EXECUTOR" = 2 }
        /// Why an update was made.
        Reason = "mesos.v1.TaskStatus.Reason" {
            CommandExecutorFailed "REASON_COMMAND_EXECUTOR_FAILED" = 0,
            ContainerLaunchFailed "REASON_CONTAINER_LAUNCH_FAILED" = 21,
            ContainerLimitation "REASON_CONTAINER_LIMITATION" = 19,
            ContainerLimitationDisk "REASON_CONTAINER_LIMITATION_DISK" = 20,
            ContainerLimitationMemory "REASON_CONTAINER_LIMITATION_MEMORY" = 8,
            ContainerPreempted "REASON_CONTAINER_PREEMPTED" = 17,
            ContainerUpdateFailed "REASON_CONTAINER_UPDATE_FAILED" = 22,
            MaxCompletionTimeReached "REASON_MAX_COMPLETION_TIME_REACHED" = 33,
            ExecutorRegistrationTimeout "REASON_EXECUTOR_REGISTRATION_TIMEOUT" = 23,
            ExecutorReregistrationTimeout "REASON_EXECUTOR_REREGISTRATION_TIMEOUT" = 24,
            ExecutorTerminated "REASON_EXECUTOR_TERMINATED" = 1,
            ExecutorUnregistered "REASON_EXECUTOR_UNREGISTERED" = 2,
            FrameworkRemoved "REASON_FRAMEWORK_REMOVED" = 3,
            GcError "REASON_GC_ERROR" = 4,
            InvalidFrameworkid "REASON_INVALID_FRAMEWORKID" = 5,
            InvalidOffers "REASON_INVALID_OFFERS" = 6,
            IoSwitchboardExited "REASON_IO_SWITCHBOARD_EXITED" = 27,
            MasterDisconnected "REASON_MASTER_DISCONNECTED" = 7,
            Reconciliation "REASON_RECONCILIATION" = 9,
            ResourcesUnknown "REASON_RESOURCES_UNKNOWN" = 18,
            AgentDisconnected "REASON_AGENT_DISCONNECTED" = 10,
            AgentDraining "REASON_AGENT_DRAINING" = 34,
            AgentRemoved "REASON_AGENT_REMOVED" = 11,
            AgentRemovedByOperator "REASON_AGENT_REMOVED_BY_OPERATOR" = 31,
            AgentReregistered "REASON_AGENT_REREGISTERED" = 32,
            AgentRestarted "REASON_AGENT_RESTARTED" = 12,
            AgentUnknown "REASON_AGENT_UNKNOWN" = 13,
            TaskKilledDuringLaunch "REASON_TASK_KILLED_DURING_LAUNCH" = 30,
            TaskCheckStatusUpdated "REASON_TASK_CHECK_STATUS_UPDATED" = 28,
            TaskHealthCheckStatusUpdated "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED" = 29,
            TaskGroupInvalid "REASON_TASK_GROUP_INVALID" = 25,
            TaskGroupUnauthorized "REASON_TASK_GROUP_UNAUTHORIZED" = 26,
            TaskInvalid "REASON_TASK_INVALID" = 14,
            TaskUnauthorized "REASON_TASK_UNAUTHORIZED" = 15,
            TaskUnknown "REASON_TASK_UNKNOWN" = 16,
        }
    }
}

/// Parts of [`ExecutorInfo`].
pub mod executor_info {
    enumeration! {
        /// Who provides the executor.
        Type = "mesos.v1.ExecutorInfo.Type" { Unknown "UNKNOWN" = 0, Default "DEFAULT" = 1, Custom "CUSTOM" = 2 }
    }
}

/// Parts of [`DiscoveryInfo`].
pub mod discovery_info {
    enumeration! {
        /// Who may see a service.
        Visibility = "mesos.v1.DiscoveryInfo.Visibility" { Framework "FRAMEWORK" = 0, Cluster "CLUSTER" = 1, External "EXTERNAL" = 2 }
    }
}

/// Parts of [`HealthCheck`].
pub mod health_check {
    use super::super::network_info::Protocol;

    enumeration! {
        /// How health is checked.
        Type = "mesos.v1.HealthCheck.Type" { Unknown "UNKNOWN" = 0, Command "COMMAND" = 1, Http "HTTP" = 2, Tcp "TCP" = 3 }
    }
    message! {
        /// Healthy if this answers.
        #[derive(Eq)]
        HttpCheckInfo = "mesos.v1.HealthCheck.HTTPCheckInfo" {
            5 protocol: opt enum Protocol, 3 scheme: opt string, 1 port: req uint32, 2 path: opt string, 4 statuses: rep uint32,
        }
        /// Healthy if this port accepts.
        #[derive(Eq)]
        TcpCheckInfo = "mesos.v1.HealthCheck.TCPCheckInfo" { 2 protocol: opt enum Protocol, 1 port: req uint32, }
    }
}

/// Parts of [`CheckInfo`].
pub mod check_info {
    use super::CommandInfo;

    enumeration! {
        /// How a task is checked.
        Type = "mesos.v1.CheckInfo.Type" { Unknown "UNKNOWN" = 0, Command "COMMAND" = 1, Http "HTTP" = 2, Tcp "TCP" = 3 }
    }
    message! {
        /// Runs a command.
        #[derive(Eq)]
        Command = "mesos.v1.CheckInfo.Command" { 1 command: req CommandInfo, }
        /// Asks a port.
        #[derive(Eq)]
        Http = "mesos.v1.CheckInfo.Http" { 1 port: req uint32, 2 path: opt string, }
        /// Connects to a port.
        #[derive(Eq)]
        Tcp = "mesos.v1.CheckInfo.Tcp" { 1 port: req uint32, }
        /// What a command check found.
        #[derive(Eq)]
        CommandStatus = "mesos.v1.CheckStatusInfo.Command" { 1 exit_code: opt int32, }
        /// What an HTTP check found.
        #[derive(Eq)]
        HttpStatus = "mesos.v1.CheckStatusInfo.Http" { 1 status_code: opt uint32, }
        /// What a TCP check found.
        #[derive(Eq)]
        TcpStatus = "mesos.v1.CheckStatusInfo.Tcp" { 1 succeeded: opt bool, }
    }
}

use check_info::{
    Command as CheckCommand, CommandStatus, Http as CheckHttp, HttpStatus, Tcp as CheckTcp,
    TcpStatus, Type as CheckType,
};
use discovery_info::Visibility;
use executor_info::Type as ExecutorType;
use health_check::{HttpCheckInfo, TcpCheckInfo, Type as HealthCheckType};
use task_status::{Reason, Source};

message! {
    /// How gently a task is killed.
    #[derive(Eq)]
    KillPolicy = "mesos.v1.KillPolicy" { 1 grace_period: opt DurationInfo, }
    /// Health of a task; too many failures kill it.
    HealthCheck = "mesos.v1.HealthCheck" {
        2 delay_seconds: opt double = 15.0,
        3 interval_seconds: opt double = 10.0,
        4 timeout_seconds: opt double = 20.0,
        5 consecutive_failures: opt uint32 = 3,
        6 grace_period_seconds: opt double = 10.0,
        8 r#type: opt enum HealthCheckType,
        7 command: opt CommandInfo,
        1 http: opt HttpCheckInfo,
        9 tcp: opt TcpCheckInfo,
    }
    /// A check whose result is only reported.
    CheckInfo = "mesos.v1.CheckInfo" {
        1 r#type: opt enum CheckType,
        2 command: opt CheckCommand,
        3 http: opt CheckHttp,
        7 tcp: opt CheckTcp,
        4 delay_seconds: opt double = 15.0,
        5 interval_seconds: opt double = 10.0,
        6 timeout_seconds: opt double = 20.0,
    }
    /// What a check found.
    #[derive(Eq)]
    CheckStatusInfo = "mesos.v1.CheckStatusInfo" {
        1 r#type: opt enum CheckType, 2 command: opt CommandStatus, 3 http: opt HttpStatus, 4 tcp: opt TcpStatus,
    }
    /// How others find a task.
    #[derive(Eq)]
    DiscoveryInfo = "mesos.v1.DiscoveryInfo" {
        1 visibility: req enum Visibility,
        2 name: opt string,
        3 environment: opt string,
        4 location: opt string,
        5 version: opt string,
        6 ports: opt Ports,
        7 labels: opt Labels,
    }
    /// A named port.
    #[derive(Eq)]
    Port = "mesos.v1.Port" {
        1 number: req uint32, 2 name: opt string, 3 protocol: opt string, 4 visibility: opt enum Visibility, 5 labels: opt Labels,
    }
    /// Named ports.
    #[derive(Eq)]
    Ports = "mesos.v1.Ports" { 1 ports: rep Port, }
    /// An executor a task runs under.
    ExecutorInfo = "mesos.v1.ExecutorInfo" {
        15 r#type: opt enum ExecutorType,
        1 executor_id: req ExecutorId,
        8 framework_id: opt FrameworkId,
        7 command: opt CommandInfo,
        11 container: opt ContainerInfo,
        5 resources: rep Resource,
        9 name: opt string,
        10 source: opt string,
        4 data: opt bytes,
        12 discovery: opt DiscoveryInfo,
        13 shutdown_grace_period: opt DurationInfo,
        14 labels: opt Labels,
    }
    /// A task to launch.
    TaskInfo = "mesos.v1.TaskInfo" {
        1 name: req string,
        2 task_id: req TaskId,
        3 agent_id: req AgentId,
        4 resources: rep Resource,
        5 executor: opt ExecutorInfo,
        7 command: opt CommandInfo,
        9 container: opt ContainerInfo,
        8 health_check: opt HealthCheck,
        13 check: opt CheckInfo,
        12 kill_policy: opt KillPolicy,
        6 data: opt bytes,
        10 labels: opt Labels,
        11 discovery: opt DiscoveryInfo,
        14 max_completion_time: opt DurationInfo,
        15 limits: rep map Scalar,
    }
    /// Tasks launched together.
    TaskGroupInfo = "mesos.v1.TaskGroupInfo" { 1 tasks: rep TaskInfo, }
    /// A task as the master keeps it.
    Task = "mesos.v1.Task" {
        1 name: req string,
        2 task_id: req TaskId,
        3 framework_id: req FrameworkId,
        4 executor_id: opt ExecutorId,
        5 agent_id: req AgentId,
        6 state: req enum TaskState,
        7 resources: rep Resource,
        8 statuses: rep TaskStatus,
        9 status_update_state: opt enum TaskState,
        10 status_update_uuid: opt bytes,
        11 labels: opt Labels,
        12 discovery: opt DiscoveryInfo,
        13 container: opt ContainerInfo,
        15 health_check: opt HealthCheck,
        16 kill_policy: opt KillPolicy,
        14 user: opt string,
        17 limits: rep map Scalar,
    }
    /// Which limit a task broke.
    TaskResourceLimitation = "mesos.v1.TaskResourceLimitation" { 1 resources: rep Resource, }
    /// News of a task.
    TaskStatus = "mesos.v1.TaskStatus" {
        1 task_id: req TaskId,
        2 state: req enum TaskState,
        4 message: opt string,
        9 source: opt enum Source,
        10 reason: opt enum Reason,
        3 data: opt bytes,
        5 agent_id: opt AgentId,
        7 executor_id: opt ExecutorId,
        6 timestamp: opt double,
        11 uuid: opt bytes,
        8 healthy: opt bool,
        15 check_status: opt CheckStatusInfo,
        12 labels: opt Labels,
        13 container_status: opt ContainerStatus,
        14 unreachable_time: opt TimeInfo,
        16 limitation: opt TaskResourceLimitation,
    }
}
