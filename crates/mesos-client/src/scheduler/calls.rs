//! Calls: one after the other, on a kept connection apart from the event stream.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mesos_api::scheduler::{Call, call};
use prost::Message;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

use super::service::PATH;
use crate::address::MasterAddress;
use crate::credential::Credential;
use crate::error::ClientError;
use crate::http::{PROTOBUF, short_text};

/// A call unanswered for this long is lost; the master answers before it acts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A call that may safely come twice is sent this often when its connection breaks.
const ATTEMPTS: u32 = 3;
/// Wait between these attempts.
const RETRY_WAIT: Duration = Duration::from_millis(50);

/// A call on its way.
pub(super) struct QueuedCall {
    pub(super) call: Call,
    /// Told what became of it.
    pub(super) done: Option<oneshot::Sender<Result<(), ClientError>>>,
}

/// Who and where calls go to; nobody while there is no subscription.
pub(super) struct Session {
    authorization: Option<String>,
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
    pub(super) fn new(credential: Option<&Credential>) -> Self {
        let authorization = credential.map(Credential::authorization);
        Self { authorization, ending: AtomicBool::new(false), target: Mutex::default() }
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
    }

    /// Calls have nowhere to go.
    pub(super) fn close(&self) {
        self.lock().open = false;
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
    while let Some(QueuedCall { call, done }) = queue.recv().await {
        let name = call.r#type().name();
        let result = send(&client, &session, call, name).await;
        if let Err(error) = &result {
            tracing::warn!(%error, "call failed");
        }
        if let Some(done) = done {
            drop(done.send(result));
        }
    }
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
        let request = request(session, &target, call.encode_to_vec())
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
        .header(header::CONTENT_TYPE, PROTOBUF)
        .header(header::ACCEPT, PROTOBUF);
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
