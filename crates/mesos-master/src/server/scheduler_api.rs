//! `POST /api/v1/scheduler`: the checks that need no state, in Mesos' order, then the core.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use mesos_api::json::JsonValue;
use mesos_api::prost::Message as _;
use mesos_api::scheduler::Call;
use mesos_api::scheduler::call::{Subscribe, Type};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::{Body, Server, method_not_allowed, read_body, text};
use crate::core::{Answer, StreamId};
use crate::service::{Format, Input, OUTPUT_QUEUE};

pub(super) const JSON: &str = "application/json";
pub(super) const PROTOBUF: &str = "application/x-protobuf";
const STREAM_ID: &str = "Mesos-Stream-Id";

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
    let principal = server.authenticate_framework(request.headers())?;
    let (head, body) = request.into_parts();
    let format = content_format(&head.headers)?;
    let call = decode(format, &read_body(body).await?)?;
    validate(&call)
        .map_err(|problem| bad(&format!("Failed to validate scheduler::Call: {problem}")))?;
    let stream =
        head.headers.get(STREAM_ID).map(|id| StreamId(id.to_str().unwrap_or_default().to_owned()));
    if call.r#type() == Type::Subscribe {
        let format = accepted_format(&head.headers)?;
        if stream.is_some() {
            return Err(bad("Subscribe calls should not include the 'Mesos-Stream-Id' header"));
        }
        let subscribe = call.subscribe.unwrap_or_default();
        return subscribed(subscribe, principal, format, server).await;
    }
    if call.r#type() == Type::ReconcileOperations {
        accepted_format(&head.headers)?;
    }
    let answer = server
        .service
        .ask(|answer| Input::Call { call, stream, principal, answer })
        .await
        .ok_or_else(|| text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping"))?;
    Ok(respond(answer))
}

/// Maps the core's answer to a status.
pub(super) fn respond(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Accepted => {
            let mut accepted = Response::new(http_body_util::Empty::new().boxed_unsync());
            *accepted.status_mut() = StatusCode::ACCEPTED;
            accepted
        }
        Answer::Done => text(StatusCode::OK, ""),
        Answer::Bad(message) => bad(&message),
        Answer::Forbidden(message) => text(StatusCode::FORBIDDEN, &message),
        Answer::NotFound(message) => text(StatusCode::NOT_FOUND, &message),
        Answer::Conflict(message) => text(StatusCode::CONFLICT, &message),
        Answer::NotImplemented(message) => text(StatusCode::NOT_IMPLEMENTED, &message),
    }
}

pub(super) fn bad(message: &str) -> Response<Body> {
    text(StatusCode::BAD_REQUEST, message)
}

/// Exactly one of two types, without parameters.
pub(super) fn content_format(headers: &HeaderMap) -> Result<Format, Response<Body>> {
    match headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
        None => Err(bad("Expecting 'Content-Type' to be present")),
        Some(found) if found == JSON.as_bytes() => Ok(Format::Json),
        Some(found) if found == PROTOBUF.as_bytes() => Ok(Format::Protobuf),
        Some(_) => Err(text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &format!("Expecting 'Content-Type' of {JSON} or {PROTOBUF}"),
        )),
    }
}

/// JSON first, if both are accepted, as Mesos does.
pub(super) fn accepted_format(headers: &HeaderMap) -> Result<Format, Response<Body>> {
    let accepted: Vec<String> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|range| !range.split(';').skip(1).any(|p| p.trim() == "q=0"))
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_owned())
        .collect();
    let takes = |wanted: &str| {
        accepted.is_empty()
            || accepted
                .iter()
                .any(|range| range == wanted || range == "*/*" || range == "application/*")
    };
    if takes(JSON) {
        Ok(Format::Json)
    } else if takes(PROTOBUF) {
        Ok(Format::Protobuf)
    } else {
        Err(text(
            StatusCode::NOT_ACCEPTABLE,
            &format!("Expecting 'Accept' to allow '{PROTOBUF}' or '{JSON}'"),
        ))
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
    if call.r#type() == Type::Subscribe {
        let Some(subscribe) = &call.subscribe else {
            return Err("Expecting 'subscribe' to be present".to_owned());
        };
        return if subscribe.framework_info.id.as_ref().is_none_or(|id| id.value.is_empty())
            && call.framework_id.as_ref().is_none_or(|id| id.value.is_empty())
            || subscribe.framework_info.id == call.framework_id
        {
            Ok(())
        } else {
            Err("'framework_id' differs from 'subscribe.framework_info.id'".to_owned())
        };
    }
    if call.framework_id.is_none() {
        return Err("Expecting 'framework_id' to be present".to_owned());
    }
    let present = match call.r#type() {
        Type::Accept => ("accept", call.accept.is_some()),
        Type::Decline => ("decline", call.decline.is_some()),
        Type::AcceptInverseOffers => {
            ("accept_inverse_offers", call.accept_inverse_offers.is_some())
        }
        Type::DeclineInverseOffers => {
            ("decline_inverse_offers", call.decline_inverse_offers.is_some())
        }
        Type::Kill => ("kill", call.kill.is_some()),
        Type::Shutdown => ("shutdown", call.shutdown.is_some()),
        Type::Acknowledge => ("acknowledge", call.acknowledge.is_some()),
        Type::AcknowledgeOperationStatus => {
            ("acknowledge_operation_status", call.acknowledge_operation_status.is_some())
        }
        Type::Reconcile => ("reconcile", call.reconcile.is_some()),
        Type::ReconcileOperations => ("reconcile_operations", call.reconcile_operations.is_some()),
        Type::Message => ("message", call.message.is_some()),
        Type::Request => ("request", call.request.is_some()),
        Type::UpdateFramework => ("update_framework", call.update_framework.is_some()),
        Type::Teardown | Type::Revive | Type::Suppress | Type::Subscribe | Type::Unknown => {
            ("", true)
        }
    };
    if !present.1 {
        return Err(format!("Expecting '{}' to be present", present.0));
    }
    match &call.acknowledge {
        Some(acknowledge) if acknowledge.uuid.len() != 16 => Err("Not a valid UUID".to_owned()),
        _ => Ok(()),
    }
}

async fn subscribed(
    subscribe: Subscribe,
    principal: Option<String>,
    format: Format,
    server: &Arc<Server>,
) -> Result<Response<Body>, Response<Body>> {
    let named = subscribe.framework_info.principal.as_deref();
    if let (Some(principal), Some(named)) = (principal.as_deref(), named)
        && principal != named
    {
        return Err(bad(&format!(
            "Authenticated principal '{principal}' does not match principal '{named}' set in \
             `FrameworkInfo`"
        )));
    }
    let stream = StreamId(uuid::Uuid::new_v4().to_string());
    let (records, received) = mpsc::channel::<Bytes>(OUTPUT_QUEUE);
    let open = watch_stream(&stream, server);
    let id = HeaderValue::from_str(&stream.0);
    server.service.send(Input::Subscribe { stream, subscribe, principal, format, records }).await;
    let frames = ReceiverStream::new(received).map(move |record| {
        let _still_read = &open;
        Ok::<_, Infallible>(Frame::data(record))
    });
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    let content_type = match format {
        Format::Json => JSON,
        Format::Protobuf => PROTOBUF,
    };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = id {
        answer.headers_mut().insert(STREAM_ID, id);
    }
    Ok(answer)
}

/// Tells the core when the scheduler's side of the stream is gone: when the returned guard, which
/// belongs to the answer's body, is dropped.
fn watch_stream(stream: &StreamId, server: &Arc<Server>) -> oneshot::Sender<()> {
    let (guard, dropped) = oneshot::channel();
    let stream = stream.clone();
    let (service, stopping) = (server.service.clone(), server.stopping.clone());
    server.tasks.spawn(async move {
        tokio::select! {
            _ = dropped => service.send(Input::StreamClosed(stream)).await,
            () = stopping.cancelled() => {}
        }
    });
    guard
}
