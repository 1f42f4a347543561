//! The operator API of the master (`mesos.v1.master`).

pub mod call;
pub mod event;
pub mod response;

use call::{
    CreateVolumes, DeactivateAgent, DestroyVolumes, DrainAgent, GetMetrics, GrowVolume, ListFiles,
    MarkAgentGone, ReactivateAgent, ReadFile, RemoveQuota, ReserveResources, SetLoggingLevel,
    SetQuota, ShrinkVolume, StartMaintenance, StopMaintenance, Teardown, UnreserveResources,
    UpdateMaintenanceSchedule, UpdateQuota, UpdateWeights,
};
use event::{
    AgentAdded, AgentRemoved, FrameworkAdded, FrameworkRemoved, FrameworkUpdated, Subscribed,
    TaskAdded, TaskUpdated,
};
use response::{
    GetAgents, GetExecutors, GetFlags, GetFrameworks, GetHealth, GetLoggingLevel,
    GetMaintenanceSchedule, GetMaintenanceStatus, GetMaster, GetOperations, GetQuota, GetRoles,
    GetState, GetTasks, GetVersion, GetWeights,
};

message! {
    /// What an operator sends.
    Call = "mesos.v1.master.Call" {
        1 r#type: opt enum CallType,
        2 get_metrics: opt GetMetrics,
        3 set_logging_level: opt SetLoggingLevel,
        4 list_files: opt ListFiles,
        5 read_file: opt ReadFile,
        6 update_weights: opt UpdateWeights,
        7 reserve_resources: opt ReserveResources,
        8 unreserve_resources: opt UnreserveResources,
        9 create_volumes: opt CreateVolumes,
        10 destroy_volumes: opt DestroyVolumes,
        18 grow_volume: opt GrowVolume,
        19 shrink_volume: opt ShrinkVolume,
        11 update_maintenance_schedule: opt UpdateMaintenanceSchedule,
        12 start_maintenance: opt StartMaintenance,
        13 stop_maintenance: opt StopMaintenance,
        21 drain_agent: opt DrainAgent,
        22 deactivate_agent: opt DeactivateAgent,
        23 reactivate_agent: opt ReactivateAgent,
        20 update_quota: opt UpdateQuota,
        16 teardown: opt Teardown,
        17 mark_agent_gone: opt MarkAgentGone,
        14 set_quota: opt SetQuota,
        15 remove_quota: opt RemoveQuota,
    }
    /// What a master answers.
    Response = "mesos.v1.master.Response" {
        1 r#type: opt enum ResponseType,
        2 get_health: opt GetHealth,
        3 get_flags: opt GetFlags,
        4 get_version: opt GetVersion,
        5 get_metrics: opt Metrics,
        6 get_logging_level: opt GetLoggingLevel,
        7 list_files: opt FileList,
        8 read_file: opt FileData,
        9 get_state: opt GetState,
        10 get_agents: opt GetAgents,
        11 get_frameworks: opt GetFrameworks,
        12 get_executors: opt GetExecutors,
        20 get_operations: opt GetOperations,
        13 get_tasks: opt GetTasks,
        14 get_roles: opt GetRoles,
        15 get_weights: opt GetWeights,
        16 get_master: opt GetMaster,
        17 get_maintenance_status: opt GetMaintenanceStatus,
        18 get_maintenance_schedule: opt GetMaintenanceSchedule,
        19 get_quota: opt GetQuota,
    }
    /// News for subscribers.
    Event = "mesos.v1.master.Event" {
        1 r#type: opt enum EventType,
        2 subscribed: opt Subscribed,
        3 task_added: opt TaskAdded,
        4 task_updated: opt TaskUpdated,
        5 agent_added: opt AgentAdded,
        6 agent_removed: opt AgentRemoved,
        7 framework_added: opt FrameworkAdded,
        8 framework_updated: opt FrameworkUpdated,
        9 framework_removed: opt FrameworkRemoved,
    }
}

use call::Type as CallType;
use event::Type as EventType;
use response::Type as ResponseType;
use response::{GetMetrics as Metrics, ListFiles as FileList, ReadFile as FileData};
