//! HTTP of the agent: the executor API, the state, and files of sandboxes.

mod executor_api;
mod files;
mod views;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::service::{Input, ServiceHandle};

/// Body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Pause after a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who connects and asks nothing, or stops in the middle of a question, is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections at a time; each executor has two.
const MAXIMUM_CONNECTIONS: usize = 8192;

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

/// Accepts connections until told to stop.
pub(crate) async fn serve(listener: TcpListener, server: Arc<Server>) {
    let places = Arc::new(Semaphore::new(MAXIMUM_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = server.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    tracing::warn!(%peer, "too many connections; one more refused");
                    continue;
                };
                let server_of_connection = Arc::clone(&server);
                server.tasks.spawn(async move {
                    connection(socket, server_of_connection).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(socket: TcpStream, server: Arc<Server>) {
    // Small records must not wait for each other.
    let _ = socket.set_nodelay(true);
    let stopping = server.stopping.clone();
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(route(request, &server).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        () = stopping.cancelled() => {}
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
        }
    }
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
    typed(StatusCode::OK, "application/json", Bytes::from(value.to_string()))
}

/// An answer in plain text.
pub(crate) fn text(status: StatusCode, text: &str) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(text.as_bytes()))
}

/// An answer of some type.
pub(crate) fn typed(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Full::new(body).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    answer
}

/// 405, naming what is allowed.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let message = format!("Expecting one of {{ '{allowed}' }}");
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &message);
    answer.headers_mut().insert(ALLOW, http::HeaderValue::from_static(allowed));
    answer
}
