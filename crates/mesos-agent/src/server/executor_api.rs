//! `POST /api/v1/executor`: the checks that need no state, in Mesos' order, then the core.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use mesos_api::executor::Call;
use mesos_api::executor::call::Type;
use mesos_api::json::JsonValue as _;
use mesos_api::prost::Message as _;
use mesos_http::read_body;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::{Body, Server, method_not_allowed, text};
use crate::core::{Answer, StreamId};
use crate::service::{Format, Input, OUTPUT_QUEUE};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

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
        return Err(method_not_allowed("POST"));
    }
    let (head, body) = request.into_parts();
    let format = content_format(&head.headers)?;
    let call = decode(format, &read_body(body).await?)?;
    validate(&call)
        .map_err(|problem| bad(&format!("Failed to validate executor::Call: {problem}")))?;
    if call.r#type() == Type::Subscribe {
        let format = accepted_format(&head.headers)?;
        return subscribe(call, format, server).await;
    }
    let answer = server.service.ask(|answer| Input::ExecutorCall { call, answer }).await;
    Ok(respond(answer.ok_or_else(stopping)?))
}

fn stopping() -> Response<Body> {
    text(StatusCode::SERVICE_UNAVAILABLE, "The agent is stopping")
}

fn bad(message: &str) -> Response<Body> {
    text(StatusCode::BAD_REQUEST, message)
}

fn respond(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Accepted | Answer::Subscribed => {
            let mut accepted = Response::new(Empty::new().boxed_unsync());
            *accepted.status_mut() = StatusCode::ACCEPTED;
            accepted
        }
        Answer::Bad(message) => bad(&message),
        Answer::Forbidden(message) => text(StatusCode::FORBIDDEN, &message),
    }
}

fn content_format(headers: &HeaderMap) -> Result<Format, Response<Body>> {
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
fn accepted_format(headers: &HeaderMap) -> Result<Format, Response<Body>> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = values
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .collect();
    let takes = |wanted: &str| {
        ranges.is_empty()
            || ranges.iter().any(|r| *r == wanted || *r == "*/*" || *r == "application/*")
    };
    if takes(JSON) {
        Ok(Format::Json)
    } else if takes(PROTOBUF) {
        Ok(Format::Protobuf)
    } else {
        let message = format!("Expecting 'Accept' to allow '{PROTOBUF}' or '{JSON}'");
        Err(text(StatusCode::NOT_ACCEPTABLE, &message))
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

fn validate(call: &Call) -> Result<(), &'static str> {
    match call.r#type() {
        Type::Unknown => Err("Expecting 'type' to be present"),
        Type::Heartbeat => Ok(()),
        _ if call.executor_id.value.is_empty() => Err("Expecting 'executor_id' to be present"),
        _ if call.framework_id.value.is_empty() => Err("Expecting 'framework_id' to be present"),
        Type::Subscribe if call.subscribe.is_none() => Err("Expecting 'subscribe' to be present"),
        Type::Update if call.update.is_none() => Err("Expecting 'update' to be present"),
        Type::Message if call.message.is_none() => Err("Expecting 'message' to be present"),
        Type::Subscribe | Type::Update | Type::Message => Ok(()),
    }
}

async fn subscribe(
    call: Call,
    format: Format,
    server: &Arc<Server>,
) -> Result<Response<Body>, Response<Body>> {
    let stream = StreamId(server.next_stream());
    let (records, received) = mpsc::channel::<Bytes>(OUTPUT_QUEUE);
    let answer = server
        .service
        .ask(|answer| Input::ExecutorSubscribe { stream, call, format, records, answer })
        .await
        .ok_or_else(stopping)?;
    if answer != Answer::Subscribed {
        return Err(respond(answer));
    }
    let open = watch_stream(stream, server);
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
    Ok(answer)
}

/// Tells the core when the executor's side of the stream is gone: when the returned guard, which
/// belongs to the answer's body, is dropped.
fn watch_stream(stream: StreamId, server: &Arc<Server>) -> oneshot::Sender<()> {
    let (guard, dropped) = oneshot::channel();
    let (service, stopping) = (server.service.clone(), server.stopping.clone());
    server.tasks.spawn(async move {
        tokio::select! {
            _ = dropped => service.send(Input::ExecutorClosed(stream)).await,
            () = stopping.cancelled() => {}
        }
    });
    guard
}
