//! HTTP of the agent: the executor API, the state, and files of sandboxes.

mod executor_api;
mod files;
mod views;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::ALLOW;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use mesos_http::Limits;
pub(crate) use mesos_http::{Body, text, typed};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::service::{Input, ServiceHandle};

/// What every request may need.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) service: ServiceHandle,
    pub(crate) work_dir: PathBuf,
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) next_stream: AtomicU64,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Server {
    pub(crate) fn next_stream(&self) -> u64 {
        self.next_stream.fetch_add(1, Ordering::Relaxed)
    }
}

/// Connections at a time; each executor has two.
const MAXIMUM_CONNECTIONS: usize = 8192;

/// Accepts connections until told to stop.
pub(crate) async fn serve(listener: TcpListener, server: Arc<Server>) {
    let limits = Limits { connections: MAXIMUM_CONNECTIONS, ..Limits::default() };
    let (stopping, tasks) = (server.stopping.clone(), server.tasks.clone());
    let answer = move |request| {
        let server = Arc::clone(&server);
        async move { route(request, &server).await }
    };
    mesos_http::serve(listener, limits, stopping, tasks, answer).await;
}

async fn route(request: Request<Incoming>, server: &Arc<Server>) -> Response<Body> {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    // Everything is also served under the names of the process.
    let path = path.strip_prefix("/slave(1)").unwrap_or(&path);
    let path = path.strip_suffix(".json").unwrap_or(path);
    if path == "/api/v1/executor" {
        return executor_api::handle(request, server).await;
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return method_not_allowed("GET");
    }
    let query = request.uri().query().unwrap_or_default();
    match path {
        "/health" => text(StatusCode::OK, ""),
        "/version" => json(&views::version()),
        "/files/read" => files::read(query, server).await,
        "/files/browse" => files::browse(query, server).await,
        "/files/download" => files::download(query, server).await,
        "/state" | "/containers" | "/metrics/snapshot" => {
            match server.service.ask(Input::Snapshot).await {
                None => text(StatusCode::SERVICE_UNAVAILABLE, "The agent is stopping"),
                Some(snapshot) => json(&match path {
                    "/state" => views::state(&snapshot),
                    "/containers" => views::containers(&snapshot),
                    _ => views::metrics(&snapshot),
                }),
            }
        }
        _ => text(StatusCode::NOT_FOUND, "Not found"),
    }
}

/// An answer in JSON.
pub(crate) fn json(value: &serde_json::Value) -> Response<Body> {
    typed(StatusCode::OK, "application/json", value.to_string())
}

/// 405, naming what is allowed.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let message = format!("Expecting one of {{ '{allowed}' }}");
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &message);
    answer.headers_mut().insert(ALLOW, http::HeaderValue::from_static(allowed));
    answer
}
