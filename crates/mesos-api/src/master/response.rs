//! Parts of [`Response`](super::Response).

use crate::maintenance::{ClusterStatus, Schedule};
use crate::quota::QuotaStatus;
use crate::{
    AgentInfo, FileInfo, Flag, FrameworkInfo, MasterInfo, Metric, Role, Task, VersionInfo,
    WeightInfo,
};

enumeration! {
    /// What is answered.
    Type = "mesos.v1.master.Response.Type" {
        Unknown "UNKNOWN" = 0,
        GetHealth "GET_HEALTH" = 1,
        GetFlags "GET_FLAGS" = 2,
        GetVersion "GET_VERSION" = 3,
        GetMetrics "GET_METRICS" = 4,
        GetLoggingLevel "GET_LOGGING_LEVEL" = 5,
        ListFiles "LIST_FILES" = 6,
        ReadFile "READ_FILE" = 7,
        GetState "GET_STATE" = 8,
        GetAgents "GET_AGENTS" = 9,
        GetFrameworks "GET_FRAMEWORKS" = 10,
        GetExecutors "GET_EXECUTORS" = 11,
        GetOperations "GET_OPERATIONS" = 19,
        GetTasks "GET_TASKS" = 12,
        GetRoles "GET_ROLES" = 13,
        GetWeights "GET_WEIGHTS" = 14,
        GetMaster "GET_MASTER" = 15,
        GetMaintenanceStatus "GET_MAINTENANCE_STATUS" = 16,
        GetMaintenanceSchedule "GET_MAINTENANCE_SCHEDULE" = 17,
        GetQuota "GET_QUOTA" = 18,
    }
}

/// Parts of [`GetAgents`].
pub mod get_agents {
    use crate::agent_info::Capability;
    use crate::{AgentInfo, DrainInfo, Resource, TimeInfo};

    message! {
        /// An agent as the master knows it.
        Agent = "mesos.v1.master.Response.GetAgents.Agent" {
            1 agent_info: req AgentInfo,
            2 active: req bool,
            12 deactivated: opt bool,
            3 version: req string,
            4 pid: opt string,
            5 registered_time: opt TimeInfo,
            6 reregistered_time: opt TimeInfo,
            7 total_resources: rep Resource,
            8 allocated_resources: rep Resource,
            9 offered_resources: rep Resource,
            10 capabilities: rep Capability,
            13 drain_info: opt DrainInfo,
            14 estimated_drain_start_time: opt TimeInfo,
        }
    }
}

/// Parts of [`GetFrameworks`].
pub mod get_frameworks {
    use crate::scheduler::OfferConstraints;
    use crate::{FrameworkInfo, InverseOffer, Offer, Resource, TimeInfo};

    message! {
        /// A framework as the master knows it.
        Framework = "mesos.v1.master.Response.GetFrameworks.Framework" {
            1 framework_info: req FrameworkInfo,
            2 active: req bool,
            3 connected: req bool,
            11 recovered: req bool,
            4 registered_time: opt TimeInfo,
            5 reregistered_time: opt TimeInfo,
            6 unregistered_time: opt TimeInfo,
            7 offers: rep Offer,
            8 inverse_offers: rep InverseOffer,
            9 allocated_resources: rep Resource,
            10 offered_resources: rep Resource,
            12 offer_constraints: opt OfferConstraints,
        }
    }
}

/// Parts of [`GetExecutors`].
pub mod get_executors {
    use crate::{AgentId, ExecutorInfo};

    message! {
        /// An executor and where it runs.
        Executor = "mesos.v1.master.Response.GetExecutors.Executor" { 1 executor_info: req ExecutorInfo, 2 agent_id: req AgentId, }
    }
}

use get_agents::Agent;
use get_executors::Executor;
use get_frameworks::Framework;

message! {
    /// Whether the master is well.
    #[derive(Eq)]
    GetHealth = "mesos.v1.master.Response.GetHealth" { 1 healthy: req bool, }
    /// The master's flags.
    #[derive(Eq)]
    GetFlags = "mesos.v1.master.Response.GetFlags" { 1 flags: rep Flag, }
    /// The master's version.
    GetVersion = "mesos.v1.master.Response.GetVersion" { 1 version_info: req VersionInfo, }
    /// What was measured.
    GetMetrics = "mesos.v1.master.Response.GetMetrics" { 1 metrics: rep Metric, }
    /// How talkative the log is.
    #[derive(Eq)]
    GetLoggingLevel = "mesos.v1.master.Response.GetLoggingLevel" { 1 level: req uint32, }
    /// What is in a folder.
    #[derive(Eq)]
    ListFiles = "mesos.v1.master.Response.ListFiles" { 1 file_infos: rep FileInfo, }
    /// A part of a file, and the file's size.
    #[derive(Eq)]
    ReadFile = "mesos.v1.master.Response.ReadFile" { 1 size: req uint64, 2 data: req bytes, }
    /// Everything.
    GetState = "mesos.v1.master.Response.GetState" {
        1 get_tasks: opt GetTasks,
        2 get_executors: opt GetExecutors,
        3 get_frameworks: opt GetFrameworks,
        4 get_agents: opt GetAgents,
    }
    /// Agents, and those not back yet after a failover of the master.
    GetAgents = "mesos.v1.master.Response.GetAgents" { 1 agents: rep Agent, 2 recovered_agents: rep AgentInfo, }
    /// Frameworks, running and ended.
    GetFrameworks = "mesos.v1.master.Response.GetFrameworks" {
        1 frameworks: rep Framework,
        2 completed_frameworks: rep Framework,
        3 recovered_frameworks: rep FrameworkInfo,
    }
    /// Running executors.
    GetExecutors = "mesos.v1.master.Response.GetExecutors" { 1 executors: rep Executor, 2 orphan_executors: rep Executor, }
    /// Operations that are under way; ours are done when they are accepted.
    #[derive(Eq)]
    GetOperations = "mesos.v1.master.Response.GetOperations" {}
    /// Tasks by what is known of them.
    GetTasks = "mesos.v1.master.Response.GetTasks" {
        1 pending_tasks: rep Task,
        2 tasks: rep Task,
        5 unreachable_tasks: rep Task,
        3 completed_tasks: rep Task,
        4 orphan_tasks: rep Task,
    }
    /// Roles in use.
    GetRoles = "mesos.v1.master.Response.GetRoles" { 1 roles: rep Role, }
    /// Weights other than one.
    GetWeights = "mesos.v1.master.Response.GetWeights" { 1 weight_infos: rep WeightInfo, }
    /// Who leads, and since when.
    GetMaster = "mesos.v1.master.Response.GetMaster" { 1 master_info: opt MasterInfo, 2 start_time: opt double, 3 elected_time: opt double, }
    /// Which machines are going and gone.
    #[derive(Eq)]
    GetMaintenanceStatus = "mesos.v1.master.Response.GetMaintenanceStatus" { 1 status: req ClusterStatus, }
    /// Planned maintenance.
    GetMaintenanceSchedule = "mesos.v1.master.Response.GetMaintenanceSchedule" { 1 schedule: req Schedule, }
    /// Quotas.
    GetQuota = "mesos.v1.master.Response.GetQuota" { 1 status: req QuotaStatus, }
}
