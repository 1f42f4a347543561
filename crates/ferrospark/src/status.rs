//! What the driver tells of itself over HTTP (`spark.ui.port`): the part of Spark's REST API that monitors
//! ask for, metrics in the form of Spark's `/metrics/json`, and why the application waits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use spark_exec::Engine;
use spark_mesos::{RegistrationProblem, WaitingReport};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::mesos_backend::{BackendState, MesosBackend};

/// The server, up before the application is registered: the master shows its address.
#[derive(Debug)]
pub(crate) struct StatusServer {
    address: SocketAddr,
    advertised_host: String,
    subject: Arc<Subject>,
    stop: CancellationToken,
}

/// What is told about.
#[derive(Debug)]
struct Subject {
    name: String,
    user: String,
    started: SystemTime,
    running: OnceLock<RunningApplication>,
    /// Why the application is not registered, if it could not be.
    problem: OnceLock<RegistrationProblem>,
}

/// Once the application runs.
pub(crate) struct RunningApplication {
    pub(crate) id: String,
    pub(crate) engine: Engine,
    pub(crate) backend: Option<Arc<MesosBackend>>,
}

impl std::fmt::Debug for RunningApplication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningApplication").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where to serve, and of what.
#[derive(Debug)]
pub(crate) struct StatusOptions {
    pub(crate) bind_host: String,
    pub(crate) advertised_host: String,
    pub(crate) port: u16,
    /// Ports tried after it.
    pub(crate) retries: u64,
    pub(crate) name: String,
    pub(crate) user: String,
}

impl StatusServer {
    /// Starts on the port or the first free one after it.
    ///
    /// # Errors
    /// When none of the ports is free.
    pub(crate) async fn start(options: StatusOptions) -> std::io::Result<Self> {
        let StatusOptions { bind_host, advertised_host, port, retries, name, user } = options;
        let listener = bind(&bind_host, port, retries).await?;
        let address = listener.local_addr()?;
        let subject = Arc::new(Subject {
            name,
            user,
            started: SystemTime::now(),
            running: OnceLock::new(),
            problem: OnceLock::new(),
        });
        let router = Router::new()
            .route("/", get(page))
            .route("/metrics/json", get(metrics))
            .route("/api/v1/version", get(version))
            .route("/api/v1/applications", get(applications))
            .route("/api/v1/applications/{id}", get(application))
            .route("/api/v1/applications/{id}/executors", get(executors))
            .route("/api/v1/applications/{id}/allexecutors", get(all_executors))
            .route("/api/v1/applications/{id}/stages", get(stages))
            .route("/api/v1/applications/{id}/mesos", get(mesos))
            .route("/api/v1/mesos", get(any_mesos))
            .with_state(Arc::clone(&subject));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            let serving = axum::serve(listener, router)
                .with_graceful_shutdown(async move { stopped.cancelled().await });
            if let Err(error) = serving.await {
                tracing::warn!(%error, "the driver's pages ended");
            }
        });
        tracing::info!(%address, "serving the application's state");
        Ok(Self { address, advertised_host, subject, stop })
    }

    /// The address for people.
    pub(crate) fn url(&self) -> String {
        format!("http://{}:{}", self.advertised_host, self.address.port())
    }

    /// From now on there is something to tell. The first word counts.
    pub(crate) fn watch(&self, application: RunningApplication) {
        let _ = self.subject.running.set(application);
    }

    /// The application could not be registered; the first word counts.
    pub(crate) fn not_registered(&self, problem: RegistrationProblem) {
        let _ = self.subject.problem.set(problem);
    }
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Spark's `startServiceOnPort`.
async fn bind(host: &str, port: u16, retries: u64) -> std::io::Result<TcpListener> {
    let mut tried = port;
    loop {
        match TcpListener::bind((host, tried)).await {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse
                    && tried != 0
                    && tried < u16::MAX
                    && u64::from(tried - port) < retries =>
            {
                tried += 1;
            }
            bound => return bound,
        }
    }
}

/// Stands in names of metrics where the application's id would, until it has one.
const UNREGISTERED: &str = "unregistered";

type Subjects = State<Arc<Subject>>;

impl Subject {
    fn id(&self) -> &str {
        self.running.get().map_or(UNREGISTERED, |running| &running.id)
    }

    /// The application of a path, or 404 with Spark's words.
    fn running(&self, id: &str) -> Result<&RunningApplication, Response> {
        let running = self.running.get().filter(|running| running.id == id);
        running.ok_or_else(|| (StatusCode::NOT_FOUND, format!("no such app: {id}")).into_response())
    }

    async fn state(&self) -> BackendState {
        match self.running.get().and_then(|running| running.backend.as_ref()) {
            Some(backend) => backend.state().await,
            None => match self.problem.get() {
                Some(problem) => {
                    let report =
                        WaitingReport::not_registered(problem.clone(), "*", Instant::now());
                    let (waiting, metrics) = (Some(report.to_json()), report.metrics());
                    BackendState { waiting, metrics, ..BackendState::default() }
                }
                None => BackendState::default(),
            },
        }
    }

    fn description(&self) -> Value {
        let started = self
            .started
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        json!({
            "id": self.id(),
            "name": self.name,
            "attempts": [{
                "startTimeEpoch": started,
                "endTimeEpoch": -1,
                "sparkUser": self.user,
                "completed": false,
                "appSparkVersion": spark_conf::SPARK_VERSION,
            }],
        })
    }
}

async fn version() -> Json<Value> {
    Json(json!({ "spark": spark_conf::SPARK_VERSION }))
}

async fn applications(State(subject): Subjects) -> Json<Value> {
    match subject.running.get() {
        Some(_) => Json(json!([subject.description()])),
        None => Json(json!([])),
    }
}

async fn application(State(subject): Subjects, Path(id): Path<String>) -> Response {
    match subject.running(&id) {
        Ok(_) => Json(subject.description()).into_response(),
        Err(none) => none,
    }
}

async fn executors(State(subject): Subjects, Path(id): Path<String>) -> Response {
    executor_list(&subject, &id, false).await
}

async fn all_executors(State(subject): Subjects, Path(id): Path<String>) -> Response {
    executor_list(&subject, &id, true).await
}

async fn executor_list(subject: &Subject, id: &str, all: bool) -> Response {
    let running = match subject.running(id) {
        Ok(running) => running,
        Err(none) => return none,
    };
    let present = running.engine.executors();
    let sandboxes = subject.state().await.sandboxes;
    let list: Vec<Value> = running
        .engine
        .statistics()
        .into_iter()
        .filter(|(id, _)| all || present.contains(id))
        .map(|(id, executor)| {
            json!({
                "isActive": present.contains(&id),
                "executorLogs": executor_logs(sandboxes.get(&id)),
                "id": id,
                "hostPort": executor.host,
                "completedTasks": executor.tasks,
                "failedTasks": executor.failed_tasks,
                "totalTasks": executor.tasks + executor.failed_tasks,
                "totalDuration": u64::try_from(executor.run_time.as_millis()).unwrap_or(u64::MAX),
                "totalShuffleRead": executor.bytes_read_local + executor.bytes_read_remote,
                "totalShuffleWrite": executor.bytes_written,
            })
        })
        .collect();
    Json(list).into_response()
}

/// Spark's map from names of logs to links.
fn executor_logs(sandbox: Option<&String>) -> BTreeMap<&'static str, &String> {
    sandbox.map(|link| ("sandbox", link)).into_iter().collect()
}

async fn stages(State(subject): Subjects, Path(id): Path<String>) -> Response {
    let running = match subject.running(&id) {
        Ok(running) => running,
        Err(none) => return none,
    };
    let stages = running.engine.progress().await;
    let list: Vec<Value> = stages
        .into_iter()
        .map(|stage| {
            json!({
                "status": "ACTIVE",
                "stageId": stage.stage.0,
                "attemptId": stage.attempt,
                "name": stage.name,
                "numTasks": stage.total,
                "numActiveTasks": stage.running,
                "numCompleteTasks": stage.succeeded,
                "numFailedTasks": stage.failed,
            })
        })
        .collect();
    Json(list).into_response()
}

async fn mesos(State(subject): Subjects, Path(id): Path<String>) -> Response {
    match subject.running(&id) {
        Ok(_) => any_mesos(State(subject)).await.into_response(),
        Err(none) => none,
    }
}

/// The same without a name, which an application has only once it is registered.
async fn any_mesos(State(subject): Subjects) -> Json<Value> {
    let id = subject.running.get().map(|running| running.id.clone());
    let state = subject.state().await;
    let metrics: serde_json::Map<String, Value> =
        state.metrics.into_iter().map(|(name, value)| (name, json!(value))).collect();
    Json(json!({ "frameworkId": id, "waiting": state.waiting, "metrics": metrics }))
}

/// Gauges as Spark's `MetricsServlet` prints them: `APPLICATION.driver.NAME`.
async fn metrics(State(subject): Subjects) -> Json<Value> {
    let mut gauges: BTreeMap<String, Value> = BTreeMap::new();
    let prefix = format!("{}.driver", subject.id());
    for (name, value) in subject.state().await.metrics {
        gauges.insert(format!("{prefix}.{name}"), json!({ "value": value }));
    }
    if let Some(running) = subject.running.get() {
        let executors = running.engine.executors().len();
        gauges.insert(format!("{prefix}.executors"), json!({ "value": executors }));
    }
    Json(json!({
        "version": "4.0.0", "gauges": gauges, "counters": {}, "histograms": {}, "meters": {}, "timers": {},
    }))
}

async fn page(State(subject): Subjects) -> Html<String> {
    let state = subject.state().await;
    let waiting = state.waiting.as_ref().and_then(|w| w.get("text")).and_then(Value::as_str);
    let executors = subject.running.get().map(|running| running.engine.statistics());
    let id = subject.id();
    let page = maud::html! {
        (maud::DOCTYPE)
        html {
            head { meta charset="utf-8"; title { (subject.name) " - Ferrospark" } }
            body {
                h1 { (subject.name) }
                p { "Application " code { (id) } ", user " (subject.user) }
                @if let Some(waiting) = waiting { p { strong { (waiting) } } }
                h2 { "Executors" }
                table {
                    tr { th { "Id" } th { "Host" } th { "Tasks" } th { "Failed" } th { "Sandbox" } }
                    @for (id, executor) in executors.into_iter().flatten() {
                        tr {
                            @let sandbox = state.sandboxes.get(&id);
                            td { (id) } td { (executor.host) }
                            td { (executor.tasks) } td { (executor.failed_tasks) }
                            td { @if let Some(link) = sandbox { a href=(link) { "browse" } } }
                        }
                    }
                }
                h2 { "Mesos" }
                table {
                    @for (name, value) in &state.metrics { tr { td { (name) } td { (value) } } }
                }
                p {
                    a href="/metrics/json" { "metrics" } " "
                    a href={ "/api/v1/applications/" (id) "/mesos" } { "mesos" } " "
                    a href={ "/api/v1/applications/" (id) "/executors" } { "executors" } " "
                    a href={ "/api/v1/applications/" (id) "/stages" } { "stages" }
                }
            }
        }
    };
    Html(page.into_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn start(port: u16, retries: u64) -> std::io::Result<StatusServer> {
        StatusServer::start(StatusOptions {
            bind_host: "127.0.0.1".to_owned(),
            advertised_host: "127.0.0.1".to_owned(),
            port,
            retries,
            name: "<app>".to_owned(),
            user: "me".to_owned(),
        })
        .await
    }

    async fn fetch(server: &StatusServer, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}{path}", server.url())).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    #[tokio::test]
    async fn a_taken_port_is_passed_over() {
        let first = start(0, 0).await.unwrap();
        let taken = first.address.port();
        assert!(start(taken, 0).await.is_err());
        let second = start(taken, 16).await.unwrap();
        assert!(second.address.port() > taken);
    }

    #[tokio::test]
    async fn it_tells_before_and_after_the_start() {
        let server = start(0, 0).await.unwrap();
        assert_eq!(fetch(&server, "/api/v1/applications").await, (200, "[]".to_owned()));
        assert_eq!(fetch(&server, "/api/v1/applications/x/executors").await.0, 404);
        server.not_registered(RegistrationProblem::Unauthenticated("401".to_owned()));
        let told: Value = serde_json::from_str(&fetch(&server, "/api/v1/mesos").await.1).unwrap();
        assert_eq!(told["frameworkId"], Value::Null);
        assert_eq!(told["waiting"]["causes"][0]["reason"], "authentication");
        let metrics: Value =
            serde_json::from_str(&fetch(&server, "/metrics/json").await.1).unwrap();
        let gauge = "unregistered.driver.mesos.waiting.authentication";
        assert_eq!(metrics["gauges"][gauge]["value"], 1.0);
        let options = spark_exec::EngineOptions::new("app-1", "secret");
        let engine = Engine::start(options).await.unwrap();
        server.watch(RunningApplication { id: "app-1".to_owned(), engine, backend: None });
        let (_, applications) = fetch(&server, "/api/v1/applications").await;
        let applications: Value = serde_json::from_str(&applications).unwrap();
        assert_eq!(applications[0]["id"], "app-1");
        assert_eq!(applications[0]["name"], "<app>");
        assert_eq!(fetch(&server, "/api/v1/applications/app-1/executors").await.1, "[]");
        let (_, metrics) = fetch(&server, "/metrics/json").await;
        let metrics: Value = serde_json::from_str(&metrics).unwrap();
        assert_eq!(metrics["gauges"]["app-1.driver.executors"]["value"], 0);
        let (_, page) = fetch(&server, "/").await;
        assert!(page.contains("&lt;app&gt;") && !page.contains("<app>"));
    }
}
