//! Calls: one after the other, on a kept connection apart from the event stream.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mesos_api::scheduler::{Call, call};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

use super::SchedulerOptions;
use super::service::PATH;
use crate::address::MasterAddress;
use crate::credential::Credential;
use crate::encoding::Encoding;
use crate::error::ClientError;
use crate::http::short_text;
use crate::reconciliation::Question;

/// A call unanswered for this long is lost; the master answers before it acts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A call that may safely come twice is sent this often when its connection breaks.
const ATTEMPTS: u32 = 3;
/// Wait between these attempts.
const RETRY_WAIT: Duration = Duration::from_millis(50);

/// Calls kept while the subscription is interrupted; more are made only by an owner gone wild.
const MOST_KEPT_CALLS: usize = 10_000;
/// Kept calls are tried again after this long, should they have failed although there is a subscription.
const KEPT_WAIT: Duration = Duration::from_secs(1);

/// RECONCILE for these tasks; for all, if there is none.
pub(super) fn reconcile(tasks: Vec<Question>) -> Call {
    let tasks = tasks
        .into_iter()
        .map(|(task_id, agent_id)| call::ReconcileTask { task_id, agent_id })
        .collect();
    Call {
        r#type: Some(call::Type::Reconcile.into()),
        reconcile: Some(call::Reconcile { tasks }),
        ..Call::default()
    }
}

/// A call on its way.
pub(super) struct QueuedCall {
    pub(super) call: Call,
    /// Told what became of it.
    pub(super) done: Option<oneshot::Sender<Result<(), ClientError>>>,
}

/// Who and where calls go to; nobody while there is no subscription.
pub(super) struct Session {
    authorization: Option<String>,
    encoding: Encoding,
    /// Those of the framework.
    roles: Vec<String>,
    /// Those that want no offers.
    suppressed: Mutex<BTreeSet<String>>,
    /// Whether calls have somewhere to go.
    opened: watch::Sender<bool>,
    /// TEARDOWN is on its way: the master will close the stream, and that is no trouble.
    ending: AtomicBool,
    target: Mutex<Target>,
}

#[derive(Clone, Default)]
struct Target {
    master: Option<MasterAddress>,
    stream_id: Option<HeaderValue>,
    framework_id: Option<String>,
    open: bool,
}

impl Session {
    pub(super) fn new(options: &SchedulerOptions) -> Self {
        Self {
            authorization: options.credential.as_ref().map(Credential::authorization),
            encoding: options.encoding,
            ending: AtomicBool::new(false),
            roles: options.framework_info.subscribed_roles(),
            suppressed: Mutex::new(options.suppressed_roles.iter().cloned().collect()),
            target: Mutex::default(),
            opened: watch::Sender::new(false),
        }
    }

    /// These roles want no offers, or all if none is named; known to the next subscription too.
    pub(super) fn suppress(&self, roles: &[String]) {
        let roles = if roles.is_empty() { &self.roles } else { roles };
        self.suppressed().extend(roles.iter().cloned());
    }

    /// These roles want offers, or all if none is named.
    pub(super) fn revive(&self, roles: &[String]) {
        let mut suppressed = self.suppressed();
        if roles.is_empty() {
            suppressed.clear();
        } else {
            suppressed.retain(|role| !roles.contains(role));
        }
    }

    pub(super) fn suppressed_roles(&self) -> Vec<String> {
        self.suppressed().iter().cloned().collect()
    }

    fn suppressed(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.suppressed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The framework is about to be torn down.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    pub(super) fn authorization(&self) -> Option<String> {
        self.authorization.clone()
    }

    /// The stream is open, SUBSCRIBED not yet here.
    pub(super) fn prepare(&self, master: MasterAddress, stream_id: Option<HeaderValue>) {
        let mut target = self.lock();
        target.master = Some(master);
        target.stream_id = stream_id;
        target.open = false;
    }

    /// SUBSCRIBED is here: calls may go.
    pub(super) fn open(&self, framework_id: &str) {
        let mut target = self.lock();
        target.framework_id = Some(framework_id.to_owned());
        target.open = true;
        drop(target);
        self.opened.send_replace(true);
    }

    /// Calls have nowhere to go.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.opened.send_replace(false);
    }

    pub(super) fn framework_id(&self) -> Option<String> {
        self.lock().framework_id.clone()
    }

    fn current(&self) -> Option<Target> {
        let target = self.lock();
        target.open.then(|| target.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// Sends queued calls until every handle is gone.
pub(super) async fn run(mut queue: mpsc::UnboundedReceiver<QueuedCall>, session: Arc<Session>) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let mut opened = session.opened.subscribe();
    // Calls that can wait for the next subscription, in order.
    let mut kept: VecDeque<Call> = VecDeque::new();
    loop {
        let QueuedCall { call, done } = tokio::select! {
            biased;
            // The wait is short: what is kept goes before what comes new.
            () = can_go(&mut opened), if !kept.is_empty() => {
                resend(&client, &session, &mut kept).await;
                continue;
            }
            next = queue.recv() => match next {
                Some(call) => call,
                None => return,
            },
        };
        if can_wait(call.r#type()) && !kept.is_empty() {
            keep(&mut kept, call);
            continue;
        }
        let name = call.r#type().name();
        let copy = can_wait(call.r#type()).then(|| call.clone());
        let result = send(&client, &session, call, name).await;
        match (&result, copy) {
            (Ok(()), _) => {}
            (Err(ClientError::CallLost { problem, .. }), Some(call)) => {
                tracing::debug!(call = name, %problem, "kept for the next subscription");
                keep(&mut kept, call);
            }
            (Err(error), _) => tracing::warn!(%error, "call failed"),
        }
        if let Some(done) = done {
            drop(done.send(result));
        }
    }
}

/// Waits for a subscription, and then a moment: at once if it is new.
async fn can_go(opened: &mut watch::Receiver<bool>) {
    if *opened.borrow_and_update() {
        // Something failed although there is a subscription, or this is a new one.
        return;
    }
    if opened.wait_for(|open| *open).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Sends what was kept, until one fails again.
async fn resend(client: &HttpClient, session: &Session, kept: &mut VecDeque<Call>) {
    while let Some(call) = kept.front() {
        let name = call.r#type().name();
        match send(client, session, call.clone(), name).await {
            Ok(()) => {}
            Err(ClientError::CallLost { .. }) => return tokio::time::sleep(KEPT_WAIT).await,
            Err(error) => tracing::warn!(%error, "kept call failed"),
        }
        kept.pop_front();
    }
}

/// Calls that mean the same after an interruption, and that nobody would repeat.
fn can_wait(call: call::Type) -> bool {
    matches!(
        call,
        call::Type::Kill | call::Type::Shutdown | call::Type::Acknowledge | call::Type::Reconcile
    )
}

fn keep(kept: &mut VecDeque<Call>, call: Call) {
    if kept.len() == MOST_KEPT_CALLS {
        let dropped = kept.pop_front().map(|call| call.r#type().name());
        tracing::warn!(
            call = dropped,
            "too many calls wait for a subscription; the oldest is dropped"
        );
    }
    kept.push_back(call);
}

async fn send(
    client: &HttpClient,
    session: &Session,
    mut call: Call,
    name: &'static str,
) -> Result<(), ClientError> {
    let lost = |problem: String| ClientError::CallLost { call: name, problem };
    let repeatable = call.r#type() != call::Type::Accept;
    let mut attempt = 1;
    loop {
        let Some(target) = session.current() else {
            return Err(lost("not subscribed at the moment".to_owned()));
        };
        call.framework_id = target.framework_id.clone().map(Into::into);
        let request = request(session, &target, session.encoding.encode(&call))
            .ok_or_else(|| lost("the request cannot be formed".to_owned()))?;
        let problem = match tokio::time::timeout(ANSWER_TIMEOUT, client.request(request)).await {
            Ok(Ok(response)) => return judge(response, name).await,
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
        };
        if !repeatable || attempt == ATTEMPTS {
            return Err(lost(problem));
        }
        attempt += 1;
        tokio::time::sleep(RETRY_WAIT).await;
    }
}

fn request(session: &Session, target: &Target, body: Vec<u8>) -> Option<Request<Full<Bytes>>> {
    let uri = format!("http://{}{PATH}", target.master.as_ref()?);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(header::CONTENT_TYPE, session.encoding.content_type())
        .header(header::ACCEPT, session.encoding.content_type());
    if let Some(stream_id) = &target.stream_id {
        request = request.header("mesos-stream-id", stream_id);
    }
    if let Some(authorization) = &session.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.body(Full::new(Bytes::from(body))).ok()
}

async fn judge(
    response: http::Response<hyper::body::Incoming>,
    call: &'static str,
) -> Result<(), ClientError> {
    let status = response.status();
    let text = short_text(response.into_body()).await;
    if status == StatusCode::ACCEPTED || status == StatusCode::OK {
        return Ok(());
    }
    Err(ClientError::CallRefused { call, status: status.as_u16(), text })
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
