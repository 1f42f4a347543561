//! Parts of [`Call`](super::Call).

use serde_json::{Value, json};

use crate::duration::parse_duration;
use crate::json::{JsonError, JsonValue};
use crate::maintenance::Schedule;
use crate::quota::{QuotaConfig, QuotaRequest};
use crate::value::Scalar;
use crate::{AgentId, DurationInfo, FrameworkId, MachineId, Resource, WeightInfo};

enumeration! {
    /// What an operator asks for.
    Type = "mesos.v1.master.Call.Type" {
        Unknown "UNKNOWN" = 0,
        GetHealth "GET_HEALTH" = 1,
        GetFlags "GET_FLAGS" = 2,
        GetVersion "GET_VERSION" = 3,
        GetMetrics "GET_METRICS" = 4,
        GetLoggingLevel "GET_LOGGING_LEVEL" = 5,
        SetLoggingLevel "SET_LOGGING_LEVEL" = 6,
        ListFiles "LIST_FILES" = 7,
        ReadFile "READ_FILE" = 8,
        GetState "GET_STATE" = 9,
        GetAgents "GET_AGENTS" = 10,
        GetFrameworks "GET_FRAMEWORKS" = 11,
        GetExecutors "GET_EXECUTORS" = 12,
        GetOperations "GET_OPERATIONS" = 33,
        GetTasks "GET_TASKS" = 13,
        GetRoles "GET_ROLES" = 14,
        GetWeights "GET_WEIGHTS" = 15,
        UpdateWeights "UPDATE_WEIGHTS" = 16,
        GetMaster "GET_MASTER" = 17,
        Subscribe "SUBSCRIBE" = 18,
        ReserveResources "RESERVE_RESOURCES" = 19,
        UnreserveResources "UNRESERVE_RESOURCES" = 20,
        CreateVolumes "CREATE_VOLUMES" = 21,
        DestroyVolumes "DESTROY_VOLUMES" = 22,
        GrowVolume "GROW_VOLUME" = 34,
        ShrinkVolume "SHRINK_VOLUME" = 35,
        GetMaintenanceStatus "GET_MAINTENANCE_STATUS" = 23,
        GetMaintenanceSchedule "GET_MAINTENANCE_SCHEDULE" = 24,
        UpdateMaintenanceSchedule "UPDATE_MAINTENANCE_SCHEDULE" = 25,
        StartMaintenance "START_MAINTENANCE" = 26,
        StopMaintenance "STOP_MAINTENANCE" = 27,
        DrainAgent "DRAIN_AGENT" = 37,
        DeactivateAgent "DEACTIVATE_AGENT" = 38,
        ReactivateAgent "REACTIVATE_AGENT" = 39,
        GetQuota "GET_QUOTA" = 28,
        UpdateQuota "UPDATE_QUOTA" = 36,
        SetQuota "SET_QUOTA" = 29,
        RemoveQuota "REMOVE_QUOTA" = 30,
        Teardown "TEARDOWN" = 31,
        MarkAgentGone "MARK_AGENT_GONE" = 32,
    }
}

message! {
    /// Asks for all metrics, or those to be had in a time.
    #[derive(Eq)]
    GetMetrics = "mesos.v1.master.Call.GetMetrics" { 1 timeout: opt DurationInfo, }
    /// Makes the log more talkative for a while.
    #[derive(Eq)]
    SetLoggingLevel = "mesos.v1.master.Call.SetLoggingLevel" { 1 level: req uint32, 2 duration: req DurationInfo, }
    /// Lists a folder.
    #[derive(Eq)]
    ListFiles = "mesos.v1.master.Call.ListFiles" { 1 path: req string, }
    /// Reads a part of a file.
    #[derive(Eq)]
    ReadFile = "mesos.v1.master.Call.ReadFile" { 1 path: req string, 2 offset: req uint64, 3 length: opt uint64, }
    /// Changes weights of roles.
    UpdateWeights = "mesos.v1.master.Call.UpdateWeights" { 1 weight_infos: rep WeightInfo, }
    /// Reserves resources of an agent.
    ReserveResources = "mesos.v1.master.Call.ReserveResources" { 1 agent_id: req AgentId, 3 source: rep Resource, 2 resources: rep Resource, }
    /// Gives a reservation up.
    UnreserveResources = "mesos.v1.master.Call.UnreserveResources" { 1 agent_id: req AgentId, 2 resources: rep Resource, }
    /// Creates persistent volumes.
    CreateVolumes = "mesos.v1.master.Call.CreateVolumes" { 1 agent_id: req AgentId, 2 volumes: rep Resource, }
    /// Destroys persistent volumes.
    DestroyVolumes = "mesos.v1.master.Call.DestroyVolumes" { 1 agent_id: req AgentId, 2 volumes: rep Resource, }
    /// Grows a volume.
    GrowVolume = "mesos.v1.master.Call.GrowVolume" { 1 agent_id: opt AgentId, 2 volume: req Resource, 3 addition: req Resource, }
    /// Shrinks a volume.
    ShrinkVolume = "mesos.v1.master.Call.ShrinkVolume" { 1 agent_id: opt AgentId, 2 volume: req Resource, 3 subtract: req Scalar, }
    /// Plans maintenance.
    UpdateMaintenanceSchedule = "mesos.v1.master.Call.UpdateMaintenanceSchedule" { 1 schedule: req Schedule, }
    /// Takes machines away.
    #[derive(Eq)]
    StartMaintenance = "mesos.v1.master.Call.StartMaintenance" { 1 machines: rep MachineId, }
    /// Brings machines back.
    #[derive(Eq)]
    StopMaintenance = "mesos.v1.master.Call.StopMaintenance" { 1 machines: rep MachineId, }
    /// Empties an agent.
    #[derive(Eq)]
    DrainAgent = "mesos.v1.master.Call.DrainAgent" { 1 agent_id: req AgentId, 2 max_grace_period: opt Period, 3 mark_gone: opt bool = false, }
    /// Stops offers of an agent.
    #[derive(Eq)]
    DeactivateAgent = "mesos.v1.master.Call.DeactivateAgent" { 1 agent_id: req AgentId, }
    /// Resumes offers of an agent, and ends its draining.
    #[derive(Eq)]
    ReactivateAgent = "mesos.v1.master.Call.ReactivateAgent" { 1 agent_id: req AgentId, }
    /// Sets guarantees and limits of roles.
    UpdateQuota = "mesos.v1.master.Call.UpdateQuota" { 1 force: opt bool, 2 quota_configs: rep QuotaConfig, }
    /// Sets a guarantee, in the older form.
    SetQuota = "mesos.v1.master.Call.SetQuota" { 1 quota_request: req QuotaRequest, }
    /// Removes a role's quota, in the older form.
    #[derive(Eq)]
    RemoveQuota = "mesos.v1.master.Call.RemoveQuota" { 1 role: req string, }
    /// Removes a framework.
    #[derive(Eq)]
    Teardown = "mesos.v1.master.Call.Teardown" { 1 framework_id: req FrameworkId, }
    /// Declares that an agent will not return.
    #[derive(Eq)]
    MarkAgentGone = "mesos.v1.master.Call.MarkAgentGone" { 1 agent_id: req AgentId, }
}

/// A duration as protobuf's own library has it; in JSON a text such as `10s` or `2mins`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Period {
    /// Whole seconds.
    #[prost(int64, optional, tag = 1)]
    pub seconds: Option<i64>,
    /// Rest in nanoseconds.
    #[prost(int32, optional, tag = 2)]
    pub nanos: Option<i32>,
}

impl Period {
    /// The length; a negative one counts as none.
    #[must_use]
    pub fn duration(self) -> std::time::Duration {
        let seconds = u64::try_from(self.seconds()).unwrap_or(0);
        let nanos = u32::try_from(self.nanos()).unwrap_or(0);
        std::time::Duration::new(seconds, nanos.min(999_999_999))
    }
}

impl From<std::time::Duration> for Period {
    fn from(duration: std::time::Duration) -> Self {
        Self {
            seconds: Some(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)),
            nanos: i32::try_from(duration.subsec_nanos()).ok().filter(|nanos| *nanos != 0),
        }
    }
}

impl JsonValue for Period {
    fn to_json(&self) -> Value {
        let duration = self.duration();
        match duration.subsec_nanos() {
            0 => json!(format!("{}s", duration.as_secs())),
            nanos => json!(format!("{}.{nanos:09}s", duration.as_secs())),
        }
    }

    fn from_json(json: &Value) -> Result<Self, JsonError> {
        let mismatch = || JsonError::Mismatch {
            expected: "a duration such as \"10s\" or \"2mins\"",
            found: json.to_string(),
        };
        match json {
            Value::String(text) => {
                // Protobuf writes "10s", Mesos "10secs".
                let plain = text.strip_suffix('s').filter(|number| number.parse::<f64>().is_ok());
                let text = plain.map_or_else(|| text.clone(), |number| format!("{number}secs"));
                Ok(parse_duration(&text).map_err(|_| mismatch())?.into())
            }
            Value::Object(fields) => {
                let number = |name: &str| fields.get(name).map(|n| n.as_i64().ok_or_else(mismatch));
                let nanos = number("nanos").transpose()?.map(i32::try_from).transpose();
                Ok(Self {
                    seconds: number("seconds").transpose()?,
                    nanos: nanos.map_err(|_| mismatch())?,
                })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(mismatch()),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::master::Call;

    #[test]
    fn calls_are_read_in_both_encodings() {
        let json = json!({
            "type": "DRAIN_AGENT",
            "drain_agent": {
                "agent_id": { "value": "S1" }, "max_grace_period": "90s", "mark_gone": true,
            },
        });
        let call = Call::from_json(&json).unwrap();
        assert_eq!(call.r#type(), Type::DrainAgent);
        assert_eq!(call.to_json(), json);
        assert_eq!(Call::decode(call.encode_to_vec().as_slice()).unwrap(), call);
    }

    #[test]
    fn periods_have_several_forms() {
        let seconds =
            |json: Value| Period::from_json(&json).map(|period| period.duration().as_secs_f64());
        assert_eq!(seconds(json!("1.5s")), Ok(1.5));
        assert_eq!(seconds(json!("2mins")), Ok(120.0));
        assert_eq!(seconds(json!({ "seconds": 3, "nanos": 500_000_000 })), Ok(3.5));
        assert_eq!(seconds(json!({ "seconds": -3 })), Ok(0.0));
        assert!(seconds(json!("soon")).is_err());
        assert!(seconds(json!(3)).is_err());
    }
}
