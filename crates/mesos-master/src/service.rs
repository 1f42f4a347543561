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
use mesos_api::{FrameworkId, master, recordio};
use tokio::sync::{mpsc, oneshot};

use crate::core::registry::{Change, Registry};
use crate::core::{
    Action, Answer, Event, FrameworkReasons, LinkId, Master, Operation, RequestId, Settings,
    Snapshot, StreamId,
};
use crate::registrar::Registrar;

/// Requests and messages waiting for the loop. It is fast; a queue this long means trouble, and
/// senders then wait.
const INPUT_QUEUE: usize = 8192;

/// Questions for a copy of the state that wait; one copy answers all.
const VIEWER_QUEUE: usize = 64;

/// Records waiting for a slow scheduler or agent before it is dropped. At ten thousand agents a
/// batch of rescinds and updates still fits.
pub(crate) const OUTPUT_QUEUE: usize = 32_768;

/// Inputs taken before what they led to is done; enough for the registry to be written seldom, few
/// enough that answers do not wait.
const LARGEST_BATCH: usize = 256;

/// A snapshot serves so many times as long as it took to make: pollers get at most a twentieth of the
/// master's time.
const SNAPSHOT_PATIENCE: u32 = 20;

/// Frameworks times agents explained at once without naming a framework: a few milliseconds.
const MOST_EXPLAINED: usize = 20_000;

/// Subscribers of the operator API, as many as in Mesos.
const MOST_OBSERVERS: usize = 1000;

/// As in Mesos.
const OBSERVER_HEARTBEAT: Duration = Duration::from_secs(15);

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
    Operate {
        operation: Operation,
        principal: Option<String>,
        answer: oneshot::Sender<Answer>,
    },
    /// A subscriber of the operator API.
    Observe {
        format: Format,
        records: mpsc::Sender<Bytes>,
    },
    /// Why a framework, or each of them, has no offers.
    Explain(Option<FrameworkId>, oneshot::Sender<Vec<FrameworkReasons>>),
    AgentConnected {
        link: LinkId,
        register: Register,
        records: mpsc::Sender<Bytes>,
    },
    AgentMessage(LinkId, ToMaster),
    AgentClosed(LinkId),
}

/// Who wants a copy of the state.
type Viewer = oneshot::Sender<Arc<Snapshot>>;

/// How the server speaks to the loop.
#[derive(Clone, Debug)]
pub(crate) struct ServiceHandle {
    inputs: mpsc::Sender<Input>,
    viewers: mpsc::Sender<Viewer>,
}

/// Where a [`Service`] gets what is handed in.
#[derive(Debug)]
pub(crate) struct Inputs {
    inputs: mpsc::Receiver<Input>,
    /// They do not wait behind thousands of calls and updates: what was answered is in the state already.
    viewers: mpsc::Receiver<Viewer>,
}

/// The two ends of the way into a [`Service`], which may begin later.
pub(crate) fn inputs() -> (ServiceHandle, Inputs) {
    let (sender, inputs) = mpsc::channel(INPUT_QUEUE);
    let (viewer, viewers) = mpsc::channel(VIEWER_QUEUE);
    (ServiceHandle { inputs: sender, viewers: viewer }, Inputs { inputs, viewers })
}

impl ServiceHandle {
    /// Hands something in. After the loop's end nothing happens.
    pub(crate) async fn send(&self, input: Input) {
        // The loop ends only when the process or the embedding cluster stops.
        let _ = self.inputs.send(input).await;
    }

    /// A copy of the state; `None` if the loop has ended.
    pub(crate) async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let (answer, answered) = oneshot::channel();
        self.viewers.send(answer).await.ok()?;
        answered.await.ok()
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
    inputs: Inputs,
    streams: BTreeMap<StreamId, Stream>,
    links: BTreeMap<LinkId, mpsc::Sender<Bytes>>,
    requests: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    next_request: u64,
    observers: Vec<Observer>,
    observers_heard: Instant,
    snapshot: Option<Taken>,
    changed: bool,
    registrar: Registrar,
    /// What the core wants done, until what is to be stored is.
    actions: Vec<Action>,
}

/// A copy of the state, and what it cost.
#[derive(Debug)]
struct Taken {
    snapshot: Arc<Snapshot>,
    at: Instant,
    cost: Duration,
}

/// A subscriber of the operator API.
#[derive(Debug)]
struct Observer {
    format: Format,
    records: mpsc::Sender<Bytes>,
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
    pub(crate) fn new(
        settings: Settings,
        registrar: Registrar,
        registry: Registry,
        inputs: Inputs,
    ) -> Self {
        let clock = Clock::new();
        Self {
            core: Master::recover(settings, registry, clock.now()),
            clock,
            inputs,
            streams: BTreeMap::new(),
            links: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            observers: Vec::new(),
            observers_heard: Instant::now(),
            snapshot: None,
            changed: false,
            registrar,
            actions: Vec::new(),
        }
    }

    /// Runs until every handle is gone or the task is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let mut wakeup = self.core.next_wakeup().map(|time| self.clock.instant(time));
            if !self.observers.is_empty() {
                let heartbeat = self.observers_heard + OBSERVER_HEARTBEAT;
                wakeup = Some(wakeup.map_or(heartbeat, |at| at.min(heartbeat)));
            }
            let due = async {
                match wakeup {
                    None => std::future::pending().await,
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                }
            };
            self.show();
            tokio::select! {
                biased;
                input = self.inputs.inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                Some(viewer) = self.inputs.viewers.recv() => {
                    let _ = viewer.send(self.snapshot());
                    continue;
                }
                () = due => {
                    self.tick();
                    if !self.perform_all().await {
                        return;
                    }
                    continue;
                }
            }
            // What came meanwhile goes along, so that it is stored together.
            for _ in 1..LARGEST_BATCH {
                match self.inputs.inputs.try_recv() {
                    Ok(input) => self.take(input),
                    Err(_) => break,
                }
            }
            if !self.perform_all().await {
                return;
            }
        }
    }

    /// Answers who waits for a copy of the state: once a batch, whatever else there is to do.
    fn show(&mut self) {
        for _ in 0..VIEWER_QUEUE {
            let Ok(viewer) = self.inputs.viewers.try_recv() else { return };
            let _ = viewer.send(self.snapshot());
        }
    }

    fn tick(&mut self) {
        self.handle(Event::Tick);
        if !self.observers.is_empty() && self.observers_heard.elapsed() >= OBSERVER_HEARTBEAT {
            self.observers_heard = Instant::now();
            let r#type = Some(master::event::Type::Heartbeat.into());
            self.tell_observers(&master::Event { r#type, ..master::Event::default() });
        }
    }

    /// Performs what was decided, after storing what must be. False if it cannot be stored: then
    /// nobody may see what was decided, and the master ends.
    async fn perform_all(&mut self) -> bool {
        let actions = std::mem::take(&mut self.actions);
        if self.registrar.keeps() {
            let changes: Vec<Change> = actions
                .iter()
                .filter_map(|action| match action {
                    Action::Store { change } => Some(change.clone()),
                    Action::Answer { .. }
                    | Action::Send { .. }
                    | Action::CloseStream { .. }
                    | Action::ToAgent { .. }
                    | Action::CloseLink { .. }
                    | Action::Publish { .. } => None,
                })
                .collect();
            if !changes.is_empty()
                && let Err(error) = self.registrar.commit(changes).await
            {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the registry cannot be written; the master stops");
                return false;
            }
        }
        for action in actions {
            self.perform(action);
        }
        true
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
            Input::Operate { operation, principal, answer } => {
                let request = self.request(answer);
                self.handle(Event::Operate { request, operation, principal });
            }
            Input::Observe { format, records } => self.observe(format, records),
            Input::Explain(framework_id, answer) => {
                let _ = answer.send(self.explain(framework_id));
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
        }
    }

    fn request(&mut self, answer: oneshot::Sender<Answer>) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.insert(request, answer);
        request
    }

    fn handle(&mut self, event: Event) {
        self.changed = true;
        let actions = self.core.handle(event, self.clock.now());
        self.actions.extend(actions);
    }

    /// A copy of the state. One that is not fresh serves again, while making another would take more
    /// than a small part of the master's time.
    fn snapshot(&mut self) -> Arc<Snapshot> {
        if let Some(taken) = &self.snapshot
            && (!self.changed || taken.at.elapsed() < taken.cost * SNAPSHOT_PATIENCE)
        {
            return Arc::clone(&taken.snapshot);
        }
        let at = Instant::now();
        let snapshot = Arc::new(self.core.snapshot());
        let cost = at.elapsed();
        let before = self.snapshot.replace(Taken { snapshot: Arc::clone(&snapshot), at, cost });
        // Nobody else may have it any more, and there may be much in it that is not in the state.
        tokio::task::spawn_blocking(move || drop(before));
        self.changed = false;
        snapshot
    }

    fn explain(&self, framework_id: Option<FrameworkId>) -> Vec<FrameworkReasons> {
        match framework_id {
            Some(id) => self.core.explain(&id).into_iter().collect(),
            None => {
                let most = (MOST_EXPLAINED / self.core.agent_count().max(1)).max(1);
                let ids = self.core.framework_ids().take(most);
                ids.filter_map(|id| self.core.explain(id)).collect()
            }
        }
    }

    /// The new subscriber gets the state; the oldest makes room if there are too many.
    fn observe(&mut self, format: Format, records: mpsc::Sender<Bytes>) {
        if self.observers.is_empty() {
            self.observers_heard = Instant::now();
            self.handle(Event::Observed { observed: true });
        }
        if self.observers.len() >= MOST_OBSERVERS {
            self.observers.remove(0);
        }
        let subscribed = master::event::Subscribed {
            get_state: Some(crate::messages::state(&self.snapshot())),
            heartbeat_interval_seconds: Some(OBSERVER_HEARTBEAT.as_secs_f64()),
        };
        let event = master::Event {
            r#type: Some(master::event::Type::Subscribed.into()),
            subscribed: Some(subscribed),
            ..master::Event::default()
        };
        let heartbeat = master::Event {
            r#type: Some(master::event::Type::Heartbeat.into()),
            ..master::Event::default()
        };
        let heard = [event, heartbeat]
            .iter()
            .all(|event| records.try_send(observer_record(format, event)).is_ok());
        if heard {
            self.observers.push(Observer { format, records });
        }
    }

    /// Who does not read is dropped.
    fn tell_observers(&mut self, event: &master::Event) {
        let mut encoded: [Option<Bytes>; 2] = [None, None];
        self.observers.retain(|observer| {
            let slot = &mut encoded[usize::from(observer.format == Format::Json)];
            let record = slot.get_or_insert_with(|| observer_record(observer.format, event));
            observer.records.try_send(record.clone()).is_ok()
        });
        if self.observers.is_empty() {
            self.handle(Event::Observed { observed: false });
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
            Action::Store { .. } => {}
            Action::Publish { event } => self.tell_observers(&event),
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

fn observer_record(format: Format, event: &master::Event) -> Bytes {
    match format {
        Format::Protobuf => recordio::encode(&event.encode_to_vec()),
        Format::Json => recordio::encode(ascii_json(&event.to_json()).as_bytes()),
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
