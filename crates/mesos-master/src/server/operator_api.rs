//! `POST /api/v1`: what operators ask and change. Questions are answered from a snapshot.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use mesos_api::json::JsonValue;
use mesos_api::maintenance::{ClusterStatus, Schedule};
use mesos_api::master::call::Type;
use mesos_api::master::{Call, Response as Message, response};
use mesos_api::prost::Message as _;
use mesos_api::quota::{QuotaConfig, QuotaStatus};
use mesos_api::{Flag, Metric, VersionInfo, WeightInfo};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::scheduler_api::{JSON, PROTOBUF, accepted_format, bad, content_format, respond};
use super::{Body, Server, files, method_not_allowed, read_body, text, typed, views};
use crate::core::{Operation, Snapshot};
use crate::messages;
use crate::service::{Format, Input, OUTPUT_QUEUE, ascii_json};

pub(super) async fn handle(request: Request<Incoming>, server: &Arc<Server>) -> Response<Body> {
    match answer(request, server).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn answer(
    request: Request<Incoming>,
    server: &Arc<Server>,
) -> Result<Response<Body>, Response<Body>> {
    if request.method() != Method::POST {
        return Err(method_not_allowed("POST", request.method()));
    }
    let (head, body) = request.into_parts();
    let format = content_format(&head.headers)?;
    let body = read_body(body).await?;
    let call = decode(format, &body)?;
    validate(&call)
        .map_err(|problem| bad(&format!("Failed to validate master::Call: {problem}")))?;
    let changes = changes(&call);
    let principal = match &changes {
        Some(_) => server.authenticate_readwrite(&head.headers)?,
        None => server.authenticate_readonly(&head.headers)?,
    };
    let format = accepted_format(&head.headers)?;
    match (changes, call.r#type()) {
        (Some(Ok(operation)), _) => operate(operation, principal, server).await,
        (Some(Err(message)), _) => Err(text(StatusCode::NOT_IMPLEMENTED, message)),
        (None, Type::Subscribe) => Ok(subscribe(format, server).await),
        (None, _) => question(call, format, &head.headers, server).await,
    }
}

fn decode(format: Format, body: &[u8]) -> Result<Call, Response<Body>> {
    match format {
        Format::Protobuf => {
            Call::decode(body).map_err(|_| bad("Failed to parse body into Call protobuf"))
        }
        Format::Json => {
            let json: serde_json::Value = serde_json::from_slice(body)
                .map_err(|error| bad(&format!("Failed to parse body into JSON: {error}")))?;
            Call::from_json(&json).map_err(|error| {
                bad(&format!("Failed to convert JSON into Call protobuf: {error}"))
            })
        }
    }
}

fn validate(call: &Call) -> Result<(), String> {
    if call.r#type == Some(0) || call.r#type.is_none() {
        return Err("Expecting 'type' to be present".to_owned());
    }
    let present = match call.r#type() {
        Type::SetLoggingLevel => call.set_logging_level.is_some(),
        Type::ListFiles => call.list_files.is_some(),
        Type::ReadFile => call.read_file.is_some(),
        Type::UpdateWeights => call.update_weights.is_some(),
        Type::ReserveResources => call.reserve_resources.is_some(),
        Type::UnreserveResources => call.unreserve_resources.is_some(),
        Type::CreateVolumes => call.create_volumes.is_some(),
        Type::DestroyVolumes => call.destroy_volumes.is_some(),
        Type::GrowVolume => call.grow_volume.is_some(),
        Type::ShrinkVolume => call.shrink_volume.is_some(),
        Type::UpdateMaintenanceSchedule => call.update_maintenance_schedule.is_some(),
        Type::StartMaintenance => call.start_maintenance.is_some(),
        Type::StopMaintenance => call.stop_maintenance.is_some(),
        Type::DrainAgent => call.drain_agent.is_some(),
        Type::DeactivateAgent => call.deactivate_agent.is_some(),
        Type::ReactivateAgent => call.reactivate_agent.is_some(),
        Type::UpdateQuota => call.update_quota.is_some(),
        Type::SetQuota => call.set_quota.is_some(),
        Type::RemoveQuota => call.remove_quota.is_some(),
        Type::Teardown => call.teardown.is_some(),
        Type::MarkAgentGone => call.mark_agent_gone.is_some(),
        Type::Unknown
        | Type::GetHealth
        | Type::GetFlags
        | Type::GetVersion
        | Type::GetMetrics
        | Type::GetLoggingLevel
        | Type::GetState
        | Type::GetAgents
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetRoles
        | Type::GetWeights
        | Type::GetMaster
        | Type::Subscribe
        | Type::GetMaintenanceStatus
        | Type::GetMaintenanceSchedule
        | Type::GetQuota => true,
    };
    if present {
        return Ok(());
    }
    Err(format!("Expecting '{}' to be present", call.r#type().name().to_lowercase()))
}

/// What a call changes, or why that is not served; nothing for a question.
fn changes(call: &Call) -> Option<Result<Operation, &'static str>> {
    let volumes = "Persistent volumes are not supported";
    let maintenance = "Maintenance is not supported; drain or deactivate agents instead";
    let call = call.clone();
    let operation = match call.r#type() {
        Type::UpdateWeights => {
            Operation::UpdateWeights(call.update_weights.unwrap_or_default().weight_infos)
        }
        Type::ReserveResources => {
            let reserve = call.reserve_resources.unwrap_or_default();
            Operation::Reserve { agent_id: reserve.agent_id, resources: reserve.resources }
        }
        Type::UnreserveResources => {
            let unreserve = call.unreserve_resources.unwrap_or_default();
            Operation::Unreserve { agent_id: unreserve.agent_id, resources: unreserve.resources }
        }
        Type::DrainAgent => {
            let drain = call.drain_agent.unwrap_or_default();
            Operation::Drain {
                max_grace_period: drain.max_grace_period.map(|period| period.duration()),
                mark_gone: drain.mark_gone(),
                agent_id: drain.agent_id,
            }
        }
        Type::DeactivateAgent => {
            Operation::Deactivate(call.deactivate_agent.unwrap_or_default().agent_id)
        }
        Type::ReactivateAgent => {
            Operation::Reactivate(call.reactivate_agent.unwrap_or_default().agent_id)
        }
        Type::UpdateQuota => {
            let update = call.update_quota.unwrap_or_default();
            Operation::UpdateQuota { force: update.force(), configs: update.quota_configs }
        }
        Type::RemoveQuota => {
            let role = call.remove_quota.unwrap_or_default().role;
            let configs = vec![QuotaConfig { role, ..QuotaConfig::default() }];
            Operation::UpdateQuota { configs, force: true }
        }
        Type::Teardown => Operation::Teardown(call.teardown.unwrap_or_default().framework_id),
        Type::MarkAgentGone => {
            Operation::MarkGone(call.mark_agent_gone.unwrap_or_default().agent_id)
        }
        Type::SetQuota => {
            return Some(Err("Quota guarantees are not supported; use UPDATE_QUOTA with limits"));
        }
        Type::CreateVolumes | Type::DestroyVolumes | Type::GrowVolume | Type::ShrinkVolume => {
            return Some(Err(volumes));
        }
        Type::UpdateMaintenanceSchedule | Type::StartMaintenance | Type::StopMaintenance => {
            return Some(Err(maintenance));
        }
        Type::SetLoggingLevel => {
            return Some(Err("The log's level is fixed at start, see FERROSPARK_LOG"));
        }
        Type::Unknown
        | Type::GetHealth
        | Type::GetFlags
        | Type::GetVersion
        | Type::GetMetrics
        | Type::GetLoggingLevel
        | Type::ListFiles
        | Type::ReadFile
        | Type::GetState
        | Type::GetAgents
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetRoles
        | Type::GetWeights
        | Type::GetMaster
        | Type::Subscribe
        | Type::GetMaintenanceStatus
        | Type::GetMaintenanceSchedule
        | Type::GetQuota => return None,
    };
    Some(Ok(operation))
}

pub(super) async fn operate(
    operation: Operation,
    principal: Option<String>,
    server: &Arc<Server>,
) -> Result<Response<Body>, Response<Body>> {
    let asked = server.service.ask(|answer| Input::Operate { operation, principal, answer }).await;
    let answer =
        asked.ok_or_else(|| text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping"))?;
    Ok(respond(answer))
}

async fn subscribe(format: Format, server: &Arc<Server>) -> Response<Body> {
    let (records, received) = mpsc::channel::<Bytes>(OUTPUT_QUEUE);
    server.service.send(Input::Observe { format, records }).await;
    let frames =
        ReceiverStream::new(received).map(|record| Ok::<_, Infallible>(Frame::data(record)));
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    let content_type = if format == Format::Json { JSON } else { PROTOBUF };
    let content_type = http::HeaderValue::from_static(content_type);
    answer.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
    answer
}

async fn question(
    call: Call,
    format: Format,
    _headers: &HeaderMap,
    server: &Arc<Server>,
) -> Result<Response<Body>, Response<Body>> {
    let snapshot = server.snapshot().await?;
    let asked = Arc::clone(server);
    // Large answers are made beside the connections.
    let made = tokio::task::spawn_blocking(move || {
        let message = message(&call, &snapshot, &asked)?;
        Ok(match format {
            Format::Json => (JSON, Bytes::from(ascii_json(&message.to_json()))),
            Format::Protobuf => (PROTOBUF, Bytes::from(message.encode_to_vec())),
        })
    });
    let stopping = |_| text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping");
    let (content_type, body) = made.await.map_err(stopping)??;
    Ok(typed(StatusCode::OK, content_type, body))
}

fn message(call: &Call, snapshot: &Snapshot, server: &Server) -> Result<Message, Response<Body>> {
    use response::Type as Kind;
    let empty = Message::default();
    let (kind, message) = match call.r#type() {
        Type::GetHealth => {
            let get_health = Some(response::GetHealth { healthy: true });
            (Kind::GetHealth, Message { get_health, ..empty })
        }
        Type::GetFlags => {
            let get_flags = Some(response::GetFlags { flags: flags(server) });
            (Kind::GetFlags, Message { get_flags, ..empty })
        }
        Type::GetVersion => {
            let version_info = VersionInfo {
                version: views::MESOS_VERSION.to_owned(),
                build_user: Some("ferrospark".to_owned()),
                ..VersionInfo::default()
            };
            let get_version = Some(response::GetVersion { version_info });
            (Kind::GetVersion, Message { get_version, ..empty })
        }
        Type::GetMetrics => {
            let metrics = views::metric_values(snapshot).into_iter();
            let metrics =
                metrics.map(|(name, value)| Metric { name, value: Some(value) }).collect();
            let get_metrics = Some(response::GetMetrics { metrics });
            (Kind::GetMetrics, Message { get_metrics, ..empty })
        }
        Type::GetLoggingLevel => {
            let get_logging_level = Some(response::GetLoggingLevel { level: 0 });
            (Kind::GetLoggingLevel, Message { get_logging_level, ..empty })
        }
        Type::ListFiles => {
            let path = call.list_files.clone().unwrap_or_default().path;
            let file_infos = files::list(&path, server)?;
            let list_files = Some(response::ListFiles { file_infos });
            (Kind::ListFiles, Message { list_files, ..empty })
        }
        Type::ReadFile => {
            let asked = call.read_file.clone().unwrap_or_default();
            let (size, data) = files::read(&asked.path, asked.offset, asked.length, server)?;
            let read_file = Some(response::ReadFile { size, data: data.into() });
            (Kind::ReadFile, Message { read_file, ..empty })
        }
        Type::GetState => {
            let get_state = Some(messages::state(snapshot));
            (Kind::GetState, Message { get_state, ..empty })
        }
        Type::GetAgents => {
            let get_agents = Some(messages::agents(snapshot));
            (Kind::GetAgents, Message { get_agents, ..empty })
        }
        Type::GetFrameworks => {
            let get_frameworks = Some(messages::frameworks(snapshot));
            (Kind::GetFrameworks, Message { get_frameworks, ..empty })
        }
        Type::GetExecutors => {
            let get_executors = Some(messages::executors(snapshot));
            (Kind::GetExecutors, Message { get_executors, ..empty })
        }
        Type::GetOperations => {
            let get_operations = Some(response::GetOperations {});
            (Kind::GetOperations, Message { get_operations, ..empty })
        }
        Type::GetTasks => {
            let get_tasks = Some(messages::tasks(snapshot));
            (Kind::GetTasks, Message { get_tasks, ..empty })
        }
        Type::GetRoles => {
            let get_roles = Some(messages::roles(snapshot));
            (Kind::GetRoles, Message { get_roles, ..empty })
        }
        Type::GetWeights => {
            let weight_infos = snapshot.weights.iter();
            let weight_infos = weight_infos
                .map(|(role, weight)| WeightInfo { weight: *weight, role: Some(role.clone()) })
                .collect();
            let get_weights = Some(response::GetWeights { weight_infos });
            (Kind::GetWeights, Message { get_weights, ..empty })
        }
        Type::GetMaster => {
            let started = Some(snapshot.started.as_secs_f64());
            let get_master = Some(response::GetMaster {
                master_info: Some(snapshot.master_info.clone()),
                start_time: started,
                elected_time: started,
            });
            (Kind::GetMaster, Message { get_master, ..empty })
        }
        Type::GetMaintenanceStatus => {
            let status = ClusterStatus::default();
            let get_maintenance_status = Some(response::GetMaintenanceStatus { status });
            (Kind::GetMaintenanceStatus, Message { get_maintenance_status, ..empty })
        }
        Type::GetMaintenanceSchedule => {
            let schedule = Schedule::default();
            let get_maintenance_schedule = Some(response::GetMaintenanceSchedule { schedule });
            (Kind::GetMaintenanceSchedule, Message { get_maintenance_schedule, ..empty })
        }
        Type::GetQuota => {
            let configs = snapshot.quotas.iter().map(|quota| quota.config.clone()).collect();
            let status = QuotaStatus { infos: Vec::new(), configs };
            let get_quota = Some(response::GetQuota { status });
            (Kind::GetQuota, Message { get_quota, ..empty })
        }
        other => {
            let message = format!("'{other}' is not implemented");
            return Err(text(StatusCode::NOT_IMPLEMENTED, &message));
        }
    };
    Ok(Message { r#type: Some(kind.into()), ..message })
}

fn flags(server: &Server) -> Vec<Flag> {
    let flags = views::flag_values(&server.options).into_iter();
    flags.map(|(name, value)| Flag { name: name.to_owned(), value: Some(value) }).collect()
}
