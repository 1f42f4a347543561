//! Output of tasks, fetched from the agent's files API, so that a browser needs to reach the master
//! only, and no agent has to allow other origins. Only admitted agents are asked, and only for files
//! of sandboxes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::endpoints::query_of;
use super::{Body, Server, page, text, typed};
use crate::messages;

/// An agent answers in this time, or the page asks again.
const AGENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes asked for at once, and the most an answer may have: JSON may need six for one.
const READ_BYTES: usize = 64 * 1024;
const MAXIMUM_ANSWER_BYTES: usize = 8 * READ_BYTES;

/// `/sandbox?agent=…&framework=…&executor=…`: the page of a sandbox.
pub(super) fn page(uri: &Uri) -> Response<Body> {
    let query = query_of(uri.query().unwrap_or_default());
    let part = |name: &str| query.get(name).filter(|text| is_name(text)).cloned();
    match (part("agent"), part("framework"), part("executor")) {
        (Some(agent), Some(framework), Some(executor)) => {
            let path = format!("/frameworks/{framework}/executors/{executor}/runs/latest");
            page::sandbox(&agent, &path)
        }
        _ => text(StatusCode::BAD_REQUEST, "Expecting 'agent', 'framework' and 'executor'"),
    }
}

/// A name of one folder.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '\0'])
}

/// `/sandbox/read?agent=…&path=…&offset=…`: `data` and its size in bytes.
pub(super) async fn read(uri: &Uri, server: &Arc<Server>) -> Response<Body> {
    let query = query_of(uri.query().unwrap_or_default());
    let part = |name: &str| query.get(name).map_or("", String::as_str);
    let path = part("path");
    let offset: u64 = part("offset").parse().unwrap_or(0);
    let inside = path.strip_prefix("/frameworks/").is_some_and(|rest| rest.split('/').all(is_name));
    if !inside {
        return text(StatusCode::BAD_REQUEST, "Expecting 'path' of a file of a sandbox");
    }
    let snapshot = match server.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(stopping) => return stopping,
    };
    let Some(agent) = messages::agent(&snapshot, part("agent")) else {
        return text(StatusCode::NOT_FOUND, "the agent is not there");
    };
    let address = format!("{}:{}", agent.ip, agent.info.port());
    let asked = tokio::time::timeout(AGENT_TIMEOUT, ask(&address, path, offset)).await;
    match asked {
        Ok(Ok((StatusCode::OK, body))) => match serde_json::from_slice::<Value>(&body) {
            Ok(answer) => {
                let data = answer.get("data").and_then(Value::as_str).unwrap_or_default();
                let read = json!({ "data": data, "size": data.len() });
                typed(StatusCode::OK, "application/json", read.to_string())
            }
            Err(_) => text(StatusCode::BAD_GATEWAY, "the agent's answer is no JSON"),
        },
        Ok(Ok((status, body))) => text(status, &String::from_utf8_lossy(&body)),
        Ok(Err(problem)) => {
            text(StatusCode::BAD_GATEWAY, &format!("the agent at {address} {problem}"))
        }
        Err(_) => text(StatusCode::GATEWAY_TIMEOUT, "the agent does not answer"),
    }
}

async fn ask(address: &str, path: &str, offset: u64) -> Result<(StatusCode, Bytes), String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: hyper::Error| format!("{what}: {error}")
    };
    let socket =
        TcpStream::connect(address).await.map_err(|error| format!("is not reached: {error}"))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.map_err(failed("does not speak HTTP"))?;
    let path: String = path
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let uri = format!("/files/read?path={path}&offset={offset}&length={READ_BYTES}");
    let request = Request::get(uri)
        .header(http::header::HOST, address)
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("cannot be asked: {error}"))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(failed("gave no answer"))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAXIMUM_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| format!("gave no whole answer: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    // It drives the exchange, and ends with it.
    let driving = tokio::spawn(connection);
    let answer = exchange.await;
    driving.abort();
    answer
}
