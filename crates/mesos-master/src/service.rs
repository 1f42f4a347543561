//! The loop around the core: it owns the core and the senders of all streams and links, hands events
//! in, performs the actions, and sleeps until something is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mesos_api::agent_protocol::{Register, ToMaster};
use mesos_api::json::JsonValue;
use mesos_api::prost::Message as _;
use mesos_api::scheduler::call::Subscribe;
use mesos_api::scheduler::{Call, Event as SchedulerEvent};
use mesos_api::{FrameworkId, recordio};
use tokio::sync::{mpsc, oneshot};

use crate::core::{Action, Answer, Event, LinkId, Master, RequestId, Settings, Snapshot, StreamId};

/// Requests and messages waiting for the loop. It is fast; a queue this long means trouble, and
/// senders then wait.
const INPUT_QUEUE: usize = 8192;

/// Records waiting for a slow scheduler or agent before it is dropped. At ten thousand agents a
/// batch of rescinds and updates still fits.
pub(crate) const OUTPUT_QUEUE: usize = 32_768;

/// A format of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

/// What the shell hands to the loop.
#[derive(Debug)]
pub(crate) enum Input {
    Subscribe {
        stream: StreamId,
        subscribe: Subscribe,
        principal: Option<String>,
        format: Format,
        records: mpsc::Sender<Bytes>,
    },
    StreamClosed(StreamId),
    Call {
        call: Call,
        stream: Option<StreamId>,
        principal: Option<String>,
        answer: oneshot::Sender<Answer>,
    },
    Teardown {
        framework_id: FrameworkId,
        answer: oneshot::Sender<Answer>,
    },
    AgentConnected {
        link: LinkId,
        register: Register,
        records: mpsc::Sender<Bytes>,
    },
    AgentMessage(LinkId, ToMaster),
    AgentClosed(LinkId),
    Snapshot(oneshot::Sender<Arc<Snapshot>>),
}

/// How the server speaks to the loop.
#[derive(Clone, Debug)]
pub(crate) struct ServiceHandle(mpsc::Sender<Input>);

impl ServiceHandle {
    /// Hands something in. After the loop's end nothing happens.
    pub(crate) async fn send(&self, input: Input) {
        // The loop ends only when the process or the embedding cluster stops.
        let _ = self.0.send(input).await;
    }

    /// Hands in a question; `None` if the loop has ended.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Input,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.send(question(answer)).await;
        answered.await.ok()
    }
}

#[derive(Debug)]
struct Stream {
    format: Format,
    records: mpsc::Sender<Bytes>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Service {
    core: Master,
    clock: Clock,
    inputs: mpsc::Receiver<Input>,
    streams: BTreeMap<StreamId, Stream>,
    links: BTreeMap<LinkId, mpsc::Sender<Bytes>>,
    requests: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    next_request: u64,
    snapshot: Option<Arc<Snapshot>>,
}

/// Time that agrees with the wall's at the start and never goes back.
#[derive(Clone, Copy, Debug)]
struct Clock {
    started: Instant,
    offset: Duration,
}

impl Clock {
    fn new() -> Self {
        let offset = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), offset }
    }

    fn now(&self) -> Duration {
        self.offset + self.started.elapsed()
    }

    fn instant(&self, time: Duration) -> Instant {
        self.started + time.saturating_sub(self.offset)
    }
}

impl Service {
    pub(crate) fn new(settings: Settings) -> (Self, ServiceHandle) {
        let (sender, inputs) = mpsc::channel(INPUT_QUEUE);
        let clock = Clock::new();
        let service = Self {
            core: Master::new(settings, clock.now()),
            clock,
            inputs,
            streams: BTreeMap::new(),
            links: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            snapshot: None,
        };
        (service, ServiceHandle(sender))
    }

    /// Runs until every handle is gone or the task is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let wakeup = self.core.next_wakeup().map(|time| self.clock.instant(time));
            let input = match wakeup {
                None => self.inputs.recv().await,
                Some(at) => match tokio::time::timeout_at(at.into(), self.inputs.recv()).await {
                    Ok(input) => input,
                    Err(_elapsed) => {
                        self.handle(Event::Tick);
                        continue;
                    }
                },
            };
            match input {
                Some(input) => self.take(input),
                None => return,
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Subscribe { stream, subscribe, principal, format, records } => {
                self.streams.insert(stream.clone(), Stream { format, records });
                self.handle(Event::Subscribe { stream, subscribe, principal });
            }
            Input::StreamClosed(stream) => {
                self.streams.remove(&stream);
                self.handle(Event::StreamClosed { stream });
            }
            Input::Call { call, stream, principal, answer } => {
                let request = self.request(answer);
                self.handle(Event::Call { request, call, stream, principal });
            }
            Input::Teardown { framework_id, answer } => {
                let request = self.request(answer);
                self.handle(Event::Teardown { request, framework_id });
            }
            Input::AgentConnected { link, register, records } => {
                self.links.insert(link, records);
                self.handle(Event::AgentConnected { link, register });
            }
            Input::AgentMessage(link, message) => {
                self.handle(Event::AgentMessage { link, message });
            }
            Input::AgentClosed(link) => {
                self.links.remove(&link);
                self.handle(Event::AgentClosed { link });
            }
            Input::Snapshot(answer) => {
                let core = &self.core;
                let snapshot = self.snapshot.get_or_insert_with(|| Arc::new(core.snapshot()));
                let _ = answer.send(Arc::clone(snapshot));
            }
        }
    }

    fn request(&mut self, answer: oneshot::Sender<Answer>) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.insert(request, answer);
        request
    }

    fn handle(&mut self, event: Event) {
        self.snapshot = None;
        for action in self.core.handle(event, self.clock.now()) {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Answer { request, answer } => {
                if let Some(waiting) = self.requests.remove(&request) {
                    let _ = waiting.send(answer);
                }
            }
            Action::Send { stream, event } => self.send(&stream, &event),
            Action::CloseStream { stream } => {
                self.streams.remove(&stream);
            }
            Action::ToAgent { link, message } => {
                let record = recordio::encode(&message.encode_to_vec());
                let full =
                    self.links.get(&link).is_some_and(|records| records.try_send(record).is_err());
                if full {
                    // Dropping the sender ends the connection, of which the link task tells us.
                    self.links.remove(&link);
                }
            }
            Action::CloseLink { link } => {
                self.links.remove(&link);
            }
        }
    }

    fn send(&mut self, id: &StreamId, event: &SchedulerEvent) {
        let Some(stream) = self.streams.get(id) else { return };
        let record = match stream.format {
            Format::Protobuf => recordio::encode(&event.encode_to_vec()),
            Format::Json => recordio::encode(ascii_json(&event.to_json()).as_bytes()),
        };
        if stream.records.try_send(record).is_err() {
            tracing::warn!(stream = %id, "scheduler does not read its events; stream dropped");
            self.streams.remove(id);
        }
    }
}

/// JSON on one line in ASCII: some clients slice records by characters.
pub(crate) fn ascii_json(json: &serde_json::Value) -> String {
    let text = json.to_string();
    if text.is_ascii() {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}
