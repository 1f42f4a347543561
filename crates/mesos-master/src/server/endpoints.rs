//! The endpoints of the older kind: JSON documents made of a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use mesos_api::FrameworkId;
use serde_json::{Value, json};

use super::scheduler_api::respond;
use super::{Body, Server, method_not_allowed, read_body, text, typed, views};
use crate::core::Snapshot;
use crate::service::Input;

/// Tasks in one answer of `/tasks`, if no limit is asked for.
const DEFAULT_TASK_LIMIT: usize = 100;

pub(super) async fn handle(path: &str, uri: &Uri, server: &Arc<Server>) -> Response<Body> {
    let query = query_of(uri.query().unwrap_or_default());
    let answer = match path {
        "/health" => return text(StatusCode::OK, ""),
        "/version" => views::version(),
        "/flags" => views::flags(&server.options),
        "/state" | "/state-summary" | "/slaves" | "/frameworks" | "/tasks" | "/roles"
        | "/metrics/snapshot" => {
            let Some(snapshot) = server.service.ask(Input::Snapshot).await else {
                return text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping");
            };
            document(path, &snapshot, &query, server)
        }
        _ => return text(StatusCode::NOT_FOUND, "Not found"),
    };
    match query.get("jsonp") {
        None => typed(StatusCode::OK, "application/json", answer.to_string()),
        // Only a plain name may become code in a page.
        Some(name) if name.chars().all(|c| c.is_ascii_alphanumeric() || "_.$".contains(c)) => {
            typed(StatusCode::OK, "text/javascript", format!("{name}({answer});"))
        }
        Some(_) => text(StatusCode::BAD_REQUEST, "jsonp takes the name of a function"),
    }
}

fn document(
    path: &str,
    snapshot: &Snapshot,
    query: &BTreeMap<String, String>,
    server: &Server,
) -> Value {
    match path {
        "/slaves" => {
            let wanted = query.get("slave_id").or(query.get("agent_id"));
            let agents =
                snapshot.agents.iter().filter(|a| wanted.is_none_or(|id| a.id.value == *id));
            json!({ "slaves": agents.map(views::agent).collect::<Vec<_>>(), "recovered_slaves": [] })
        }
        "/frameworks" => {
            let wanted = query.get("framework_id");
            let view = |frameworks: &[crate::core::FrameworkView]| -> Vec<Value> {
                frameworks
                    .iter()
                    .filter(|framework| wanted.is_none_or(|id| framework.id.value == *id))
                    .map(views::framework)
                    .collect()
            };
            json!({
                "frameworks": view(&snapshot.frameworks),
                "completed_frameworks": view(&snapshot.completed_frameworks),
                "unregistered_frameworks": [],
            })
        }
        "/tasks" => tasks(snapshot, query),
        "/roles" => views::roles(snapshot),
        "/metrics/snapshot" => views::metrics(snapshot),
        _ => views::state(snapshot, server),
    }
}

fn tasks(snapshot: &Snapshot, query: &BTreeMap<String, String>) -> Value {
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
    let page =
        tasks.into_iter().skip(number("offset", 0)).take(number("limit", DEFAULT_TASK_LIMIT));
    json!({ "tasks": page.map(views::task).collect::<Vec<_>>() })
}

/// `POST /teardown` with `frameworkId=…`.
pub(super) async fn teardown(request: Request<Incoming>, server: &Arc<Server>) -> Response<Body> {
    if request.method() != Method::POST {
        return method_not_allowed("POST", request.method());
    }
    let body = match read_body(request.into_body()).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let form = query_of(&String::from_utf8_lossy(&body));
    let Some(id) = form.get("frameworkId") else {
        return text(
            StatusCode::BAD_REQUEST,
            "Missing 'frameworkId' query parameter in the request body",
        );
    };
    let framework_id = FrameworkId::from(id.as_str());
    match server.service.ask(|answer| Input::Teardown { framework_id, answer }).await {
        Some(answer) => respond(answer),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping"),
    }
}

/// Parts of a query or form, decoded.
fn query_of(query: &str) -> BTreeMap<String, String> {
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
