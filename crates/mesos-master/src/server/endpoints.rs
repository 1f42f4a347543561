//! The endpoints of the older kind: JSON documents made of a snapshot.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use mesos_api::json::JsonValue as _;
use mesos_api::{AgentId, FrameworkId, Resources, Task, WeightInfo, WireFormat};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::operator_api::operate;
use super::state::{self, Gone};
use super::text::{Object, list};
use super::{Body, Server, files, in_pieces, method_not_allowed, read_body, text, typed, views};
use crate::core::{Operation, Snapshot};
use crate::service::Input;

/// Who polls `/state` asks again within this time.
const STATE_PATIENCE: Duration = Duration::from_secs(90);

/// Tasks in one answer of `/tasks`, if no limit is asked for.
const DEFAULT_TASK_LIMIT: usize = 100;

pub(super) async fn handle(path: &str, uri: &Uri, server: &Arc<Server>) -> Response<Body> {
    let query = query_of(uri.query().unwrap_or_default());
    let answer = match path {
        "/health" => return text(StatusCode::OK, ""),
        "/version" => views::version(),
        "/flags" => views::flags(&server.options),
        "/maintenance/schedule" | "/maintenance/status" => json!({}),
        "/explain" => match explain(&query, server).await {
            Ok(answer) => answer,
            Err(refused) => return refused,
        },
        "/files/browse" | "/files/read" | "/files/download" | "/files/debug" => {
            match file(path, &query, server) {
                Ok(answer) | Err(answer) => return answer,
            }
        }
        "/state" | "/state-summary" | "/slaves" | "/frameworks" | "/tasks" | "/roles"
        | "/weights" | "/quota" | "/metrics/snapshot" => {
            let snapshot = match server.snapshot().await {
                Ok(snapshot) => snapshot,
                Err(stopping) => return stopping,
            };
            let wrapper = query.get("jsonp").cloned();
            let (path, query, server) = (path.to_owned(), query.clone(), Arc::clone(server));
            // Large answers are made beside the connections.
            let (told, made) = oneshot::channel();
            tokio::task::spawn_blocking(move || {
                let mut gone = Gone::default();
                // Who asked may have left.
                let _ = told.send(document(&path, &snapshot, &query, &server, &mut gone));
                drop(snapshot);
                gone.free_slowly();
            });
            match made.await {
                Ok(Document::Tree(answer)) => answer,
                Ok(Document::Pieces(answer)) => return wrapped(answer, wrapper.as_deref()),
                Err(_) => return text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping"),
            }
        }
        _ => return text(StatusCode::NOT_FOUND, "Not found"),
    };
    wrapped(vec![answer.to_string().into()], query.get("jsonp").map(String::as_str))
}

/// JSON, or a call of a function with it.
fn wrapped(mut json: Vec<Bytes>, function: Option<&str>) -> Response<Body> {
    match function {
        None => in_pieces(StatusCode::OK, "application/json", json),
        // Only a plain name may become code in a page.
        Some(name) if name.chars().all(|c| c.is_ascii_alphanumeric() || "_.$".contains(c)) => {
            json.insert(0, format!("{name}(").into());
            json.push(Bytes::from_static(b");"));
            in_pieces(StatusCode::OK, "text/javascript", json)
        }
        Some(_) => text(StatusCode::BAD_REQUEST, "jsonp takes the name of a function"),
    }
}

/// An answer as a tree, or written already because it is large.
enum Document {
    Tree(Value),
    Pieces(Vec<Bytes>),
}

/// `/state` in pieces. What it knows of earlier answers is forgotten when nobody asks for a while.
fn state_of(snapshot: &Snapshot, server: &Arc<Server>, gone: &mut Gone) -> Vec<Bytes> {
    let head = views::state_head(snapshot, &server.options);
    let mut told = server.told.lock().unwrap_or_else(PoisonError::into_inner);
    let (pieces, question) = told.state(snapshot, head, gone);
    drop(told);
    let own = Arc::clone(server);
    server.tasks.spawn(async move {
        tokio::select! {
            () = own.stopping.cancelled() => {}
            () = tokio::time::sleep(STATE_PATIENCE) => {
                own.told.lock().unwrap_or_else(PoisonError::into_inner).forget_after(question);
            }
        }
    });
    pieces
}

/// `/explain?framework=ID`, or of all frameworks.
async fn explain(
    query: &BTreeMap<String, String>,
    server: &Arc<Server>,
) -> Result<Value, Response<Body>> {
    let wanted = query.get("framework").or(query.get("framework_id"));
    let id = wanted.map(|id| FrameworkId::from(id.as_str()));
    let asked = server.service.ask(|answer| Input::Explain(id, answer)).await;
    let stopping = || text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping");
    let reasons = asked.ok_or_else(stopping)?;
    if let Some(id) = wanted.filter(|_| reasons.is_empty()) {
        return Err(text(StatusCode::NOT_FOUND, &format!("No framework has the id '{id}'")));
    }
    Ok(json!({ "frameworks": reasons.iter().map(views::reasons).collect::<Vec<_>>() }))
}

/// The older files API.
fn file(
    path: &str,
    query: &BTreeMap<String, String>,
    server: &Server,
) -> Result<Response<Body>, Response<Body>> {
    if path == "/files/debug" {
        let log = server.options.log_dir.as_ref().map(|folder| folder.join(files::LOG_FILE));
        let known: serde_json::Map<String, Value> = log
            .map(|file| (files::LOG_PATH.to_owned(), Value::from(file.display().to_string())))
            .into_iter()
            .collect();
        return Ok(typed(StatusCode::OK, "application/json", Value::Object(known).to_string()));
    }
    let Some(wanted) = query.get("path").filter(|path| !path.is_empty()) else {
        return Err(text(StatusCode::BAD_REQUEST, "Expecting 'path=value' in query.\n"));
    };
    let number = |name: &str| -> Result<Option<i64>, Response<Body>> {
        let Some(text_of) = query.get(name) else { return Ok(None) };
        let parsed = text_of.parse().map(Some);
        parsed.map_err(|_| {
            text(StatusCode::BAD_REQUEST, &format!("Failed to parse {name}: '{text_of}'"))
        })
    };
    let answer = match path {
        "/files/browse" => {
            let all = files::list(wanted, server)?;
            Value::Array(all.iter().map(views::file).collect())
        }
        "/files/download" => {
            let (mut offset, mut all) = (0, Vec::new());
            loop {
                let (_, part) = files::read(wanted, offset, None, server)?;
                if part.is_empty() {
                    let octets = "application/octet-stream";
                    return Ok(super::typed(StatusCode::OK, octets, all));
                }
                offset += part.len() as u64;
                all.extend(part);
            }
        }
        _ => match number("offset")? {
            Some(offset) if offset < -1 => {
                let message = format!("Negative offset provided: {offset}");
                return Err(text(StatusCode::BAD_REQUEST, &message));
            }
            Some(-1) => {
                let (size, _) = files::read(wanted, 0, Some(0), server)?;
                json!({ "data": "", "offset": size })
            }
            offset => {
                let offset = u64::try_from(offset.unwrap_or(0)).unwrap_or(0);
                let length = number("length")?.and_then(|length| u64::try_from(length).ok());
                let (_, data) = files::read(wanted, offset, length, server)?;
                json!({ "data": String::from_utf8_lossy(&data), "offset": offset })
            }
        },
    };
    Ok(typed(StatusCode::OK, "application/json", answer.to_string()))
}

fn document(
    path: &str,
    snapshot: &Snapshot,
    query: &BTreeMap<String, String>,
    server: &Arc<Server>,
    gone: &mut Gone,
) -> Document {
    let written = |write: &dyn Fn(&mut Object<'_>)| {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        write(&mut object);
        object.end();
        Document::Pieces(vec![out.into()])
    };
    Document::Tree(match path {
        "/state" => return Document::Pieces(state_of(snapshot, server, gone)),
        "/slaves" => {
            let wanted = query.get("slave_id").or(query.get("agent_id"));
            return written(&|object| {
                let agents =
                    snapshot.agents.iter().filter(|a| wanted.is_none_or(|id| a.id.value == *id));
                list(agents, object.member("slaves"), |agent, out| state::agent(agent, out));
                object.member("recovered_slaves").extend_from_slice(b"[]");
            });
        }
        "/frameworks" => {
            let wanted = query.get("framework_id");
            return written(&|object| {
                for (name, all) in [
                    ("frameworks", &snapshot.frameworks),
                    ("completed_frameworks", &snapshot.completed_frameworks),
                ] {
                    let all = all.iter().filter(|f| wanted.is_none_or(|id| f.id.value == *id));
                    list(all, object.member(name), state::framework);
                }
                object.member("unregistered_frameworks").extend_from_slice(b"[]");
            });
        }
        "/tasks" => {
            let page = tasks(snapshot, query);
            return written(&|object| {
                list(&page, object.member("tasks"), |t, out| state::task(t, out));
            });
        }
        "/roles" => views::roles(snapshot),
        "/weights" => views::weights(snapshot),
        "/quota" => views::quotas(snapshot),
        "/state-summary" => views::summary(snapshot, server),
        _ => views::metrics(snapshot),
    })
}

/// The tasks asked for.
fn tasks<'a>(snapshot: &'a Snapshot, query: &BTreeMap<String, String>) -> Vec<&'a Arc<Task>> {
    let number = |name: &str, default: usize| {
        query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let frameworks = snapshot.frameworks.iter().chain(&snapshot.completed_frameworks);
    let mut tasks: Vec<_> = frameworks
        .filter(|f| query.get("framework_id").is_none_or(|id| f.id.value == *id))
        .flat_map(|f| f.tasks.iter().chain(&f.unreachable_tasks).chain(&f.completed_tasks))
        .filter(|task| query.get("task_id").is_none_or(|id| task.task_id.value == *id))
        .collect();
    let first_seen = |task: &mesos_api::Task| {
        task.statuses.first().map_or(0.0, mesos_api::TaskStatus::timestamp)
    };
    // Newest first, unless "asc" is asked for.
    tasks.sort_by(|a, b| first_seen(b).total_cmp(&first_seen(a)));
    if query.get("order").is_some_and(|order| order == "asc") {
        tasks.reverse();
    }
    let (offset, limit) = (number("offset", 0), number("limit", DEFAULT_TASK_LIMIT));
    tasks.into_iter().skip(offset).take(limit).collect()
}

/// `POST /teardown` with `frameworkId=…`; `/reserve` and `/unreserve` with `slaveId=…` and
/// `resources=` in JSON.
pub(super) async fn post(
    path: &str,
    request: Request<Incoming>,
    server: &Arc<Server>,
) -> Response<Body> {
    if request.method() != Method::POST {
        return method_not_allowed("POST", request.method());
    }
    match posted(path, request, server).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn posted(
    path: &str,
    request: Request<Incoming>,
    server: &Arc<Server>,
) -> Result<Response<Body>, Response<Body>> {
    let principal = server.authenticate_readwrite(request.headers())?;
    let form = query_of(&String::from_utf8_lossy(&read_body(request.into_body()).await?));
    let part = |name: &str| {
        form.get(name).ok_or_else(|| {
            let message = format!("Missing '{name}' query parameter in the request body");
            text(StatusCode::BAD_REQUEST, &message)
        })
    };
    let operation = if path == "/teardown" {
        Operation::Teardown(FrameworkId::from(part("frameworkId")?.as_str()))
    } else {
        let agent_id = AgentId::from(part("slaveId")?.as_str());
        let resources = Resources::parse(part("resources")?, "*")
            .map_err(|error| text(StatusCode::BAD_REQUEST, &error.to_string()))?
            .to_wire(WireFormat::PostRefinement);
        if path == "/reserve" {
            Operation::Reserve { agent_id, resources }
        } else {
            Operation::Unreserve { agent_id, resources }
        }
    };
    operate(operation, principal, server).await
}

/// `PUT /weights` with `[{"role": …, "weight": …}]`.
pub(super) async fn put_weights(
    request: Request<Incoming>,
    server: &Arc<Server>,
) -> Response<Body> {
    let change = async {
        let principal = server.authenticate_readwrite(request.headers())?;
        let body = read_body(request.into_body()).await?;
        let bad = |error: String| text(StatusCode::BAD_REQUEST, &error);
        let json: Value = serde_json::from_slice(&body).map_err(|error| {
            bad(format!("Failed to parse update weights request JSON: {error}"))
        })?;
        let all = json.as_array().ok_or_else(|| bad("Expecting a JSON array".to_owned()))?;
        let weights: Result<Vec<_>, _> = all.iter().map(WeightInfo::from_json).collect();
        let weights = weights.map_err(|error| bad(error.to_string()))?;
        operate(Operation::UpdateWeights(weights), principal, server).await
    };
    match change.await {
        Ok(answer) | Err(answer) => answer,
    }
}

/// Parts of a query or form, decoded.
pub(super) fn query_of(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], escape.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = query_of("a=1%202&b=x+y&c&d=%zz&e=%4");
        let pairs: Vec<_> = query.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(pairs, ["a=1 2", "b=x y", "c=", "d=%zz", "e=%4"]);
    }
}
