//! HTTP: routes, answers, and the connections of agents.

mod agent_link;
mod authenticate;
mod endpoints;
pub(crate) mod files;
mod kept;
mod operator_api;
mod page;
mod sandbox;
mod scheduler_api;
pub(crate) mod state;
mod text;
pub(crate) mod views;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::header::{ALLOW, LOCATION};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use mesos_http::Limits;
pub(crate) use mesos_http::{Body, in_pieces, read_body, text, typed};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use authenticate::CredentialError;
pub(crate) use authenticate::{Credentials, read_credentials};

use crate::core::Snapshot;
use crate::election::Leader;
use crate::options::MasterOptions;
use crate::service::ServiceHandle;
use state::Told;

/// What every request may need.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) service: ServiceHandle,
    pub(crate) leader: watch::Receiver<Leader>,
    pub(crate) options: MasterOptions,
    pub(crate) credentials: Credentials,
    /// `ip:port` told to others.
    pub(crate) advertised: std::net::SocketAddr,
    pub(crate) next_link: AtomicU64,
    /// What was told of the state last.
    pub(crate) told: Mutex<Told>,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Server {
    /// A copy of the state, or the answer that there will be none.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, Response<Body>> {
        let stopping = || text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping");
        self.service.snapshot().await.ok_or_else(stopping)
    }

    pub(crate) fn next_link(&self) -> u64 {
        self.next_link.fetch_add(1, Ordering::Relaxed)
    }
}

/// Accepts connections until told to stop.
pub(crate) async fn serve(listener: TcpListener, server: Arc<Server>) {
    let (stopping, tasks) = (server.stopping.clone(), server.tasks.clone());
    let answer = move |request| {
        let server = Arc::clone(&server);
        async move { route(request, &server).await }
    };
    mesos_http::serve(listener, Limits::default(), stopping, tasks, answer).await;
}

async fn route(request: Request<Incoming>, server: &Arc<Server>) -> Response<Body> {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    // Everything is also served under the name of the process.
    let path = path.strip_prefix("/master").unwrap_or(&path);
    let path = path.strip_suffix(".json").unwrap_or(path);
    if let Some(elsewhere) = not_leading(path, request.uri(), server) {
        return elsewhere;
    }
    match path {
        "/api/v1/scheduler" => scheduler_api::handle(request, server).await,
        "/api/v1" => operator_api::handle(request, server).await,
        mesos_api::agent_protocol::AGENT_PATH => agent_link::handle(request, server),
        "/redirect" => redirect(server),
        "/teardown" | "/reserve" | "/unreserve" => endpoints::post(path, request, server).await,
        "/weights" if request.method() == Method::PUT => {
            endpoints::put_weights(request, server).await
        }
        _ if request.method() != Method::GET && request.method() != Method::HEAD => {
            method_not_allowed("GET", request.method())
        }
        _ => {
            // Health checks and detectors know no secrets.
            let open = matches!(path, "/health" | "/version");
            if !open && let Err(refused) = server.authenticate_readonly(request.headers()) {
                return refused;
            }
            match path {
                "" => page::handle(request.uri(), server).await,
                "/sandbox" => sandbox::page(request.uri()),
                "/sandbox/read" => sandbox::read(request.uri(), server).await,
                _ => endpoints::handle(path, request.uri(), server).await,
            }
        }
    }
}

fn redirect(server: &Server) -> Response<Body> {
    redirect_to(&format!("//{}", server.advertised))
}

fn redirect_to(location: &str) -> Response<Body> {
    let mut answer = text(StatusCode::TEMPORARY_REDIRECT, "");
    // Without scheme, as Mesos does.
    if let Ok(location) = location.parse() {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// What a master that does not lead answers; nothing if it leads, or need not lead for it.
fn not_leading(path: &str, uri: &http::Uri, server: &Server) -> Option<Response<Body>> {
    if matches!(path, "/health" | "/version" | "/flags") || path.starts_with("/files/") {
        return None;
    }
    let leader = match &*server.leader.borrow() {
        Leader::Own => return None,
        Leader::Unknown => {
            return Some(text(StatusCode::SERVICE_UNAVAILABLE, "No leader elected"));
        }
        Leader::Other(info) => info.clone(),
    };
    let address = leader.address.as_ref();
    let host = address.and_then(|a| a.hostname.clone().or(a.ip.clone())).or(leader.hostname);
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    let base = format!("//{host}:{}", leader.port);
    if path == "/redirect" {
        return Some(redirect_to(&base));
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let prefix = if path.is_empty() { "" } else { "/master" };
    Some(redirect_to(&format!("{base}{prefix}{path}{query}")))
}

/// 405, naming what is allowed.
pub(crate) fn method_not_allowed(allowed: &'static str, found: &Method) -> Response<Body> {
    let message = format!(
        "405 Method Not Allowed. Expecting one of {{ '{allowed}' }}, but received '{found}'."
    );
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &message);
    answer.headers_mut().insert(ALLOW, http::HeaderValue::from_static(allowed));
    answer
}
