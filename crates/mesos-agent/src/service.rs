//! The loop around the core: it owns the core, the containers and the senders of all streams, hands
//! events in, performs the actions, and sleeps until something is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mesos_api::agent_protocol::ToAgent;
use mesos_api::json::JsonValue as _;
use mesos_api::prost::Message as _;
use mesos_api::{AgentId, executor, recordio};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::checkpoint::Checkpoints;
use crate::container::{Containerizer, Machine};
use crate::core::{
    Action, Agent, Answer, Event, Recovered, RequestId, Settings, Snapshot, StreamId,
};

/// Messages waiting for the loop; senders wait when it is full.
const INPUT_QUEUE: usize = 4096;

/// Events waiting for a slow executor before it is dropped.
pub(crate) const OUTPUT_QUEUE: usize = 8192;

/// A stopping agent lets its processes end by themselves for so long, then kills them.
const STOP_GRACE: Duration = Duration::from_millis(1000);

/// Killed processes are waited for so long.
const KILL_WAIT: Duration = Duration::from_millis(2000);

/// A format of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

/// What others hand to the loop.
#[derive(Debug)]
pub(crate) enum Input {
    LinkUp(mpsc::Sender<Bytes>),
    LinkDown,
    FromMaster(ToAgent),
    ExecutorSubscribe {
        stream: StreamId,
        call: executor::Call,
        format: Format,
        records: mpsc::Sender<Bytes>,
        answer: oneshot::Sender<Answer>,
    },
    ExecutorClosed(StreamId),
    ExecutorCall {
        call: executor::Call,
        answer: oneshot::Sender<Answer>,
    },
    Snapshot(oneshot::Sender<Arc<Snapshot>>),
    /// For good, or to be followed by another agent.
    Stop {
        for_good: bool,
        done: oneshot::Sender<()>,
    },
}

/// How others speak to the loop.
#[derive(Clone, Debug)]
pub(crate) struct ServiceHandle(pub(crate) mpsc::Sender<Input>);

impl ServiceHandle {
    /// Hands something in. After the loop's end nothing happens.
    pub(crate) async fn send(&self, input: Input) {
        // The loop ends only when the agent stops.
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
    core: Agent,
    clock: Clock,
    inputs: mpsc::Receiver<Input>,
    events: mpsc::Receiver<Event>,
    containers: Containerizer,
    checkpoints: Checkpoints,
    link: Option<mpsc::Sender<Bytes>>,
    relink: Arc<Notify>,
    streams: BTreeMap<StreamId, Stream>,
    requests: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    next_request: u64,
    registered: watch::Sender<Registration>,
}

/// Whether the master has admitted the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    Waiting,
    Admitted(AgentId),
    Refused(String),
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
    /// Builds the loop, and takes over what an earlier agent left.
    pub(crate) fn new(
        settings: Settings,
        machine: Machine,
        recovered: Recovered,
        relink: Arc<Notify>,
        registered: watch::Sender<Registration>,
    ) -> Result<(Self, ServiceHandle), std::io::Error> {
        let (sender, inputs) = mpsc::channel(INPUT_QUEUE);
        let (events_sender, events) = mpsc::channel(INPUT_QUEUE);
        let clock = Clock::new();
        let paths = machine.paths.clone();
        let agent_id = recovered.agent.as_ref().and_then(|agent| agent.id.clone());
        let agent_id = agent_id.map(|id| id.value);
        let mut service = Self {
            core: Agent::new(settings, clock.now()),
            clock,
            inputs,
            events,
            containers: Containerizer::new(machine, events_sender)?,
            checkpoints: Checkpoints::new(paths.clone(), agent_id.clone()),
            link: None,
            relink,
            streams: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            registered,
        };
        let running = recovered.containers.iter().filter(|container| !container.ended);
        let running: Vec<_> = running.cloned().collect();
        let actions = service.core.recover(recovered, service.clock.now());
        service.perform_all(actions);
        for container in running {
            let agent_id = agent_id.as_deref().unwrap_or_default();
            let checkpoint = paths.container(agent_id, &container.of.key, &container.of.id);
            service.containers.adopt(container, checkpoint);
        }
        Ok((service, ServiceHandle(sender)))
    }

    /// Runs until told to stop.
    pub(crate) async fn run(mut self) {
        loop {
            let wakeup = self.core.next_wakeup().map(|time| self.clock.instant(time));
            let sleep = async {
                match wakeup {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(Input::Stop { for_good, done }) => {
                        self.stop(for_good).await;
                        let _ = done.send(());
                        return;
                    }
                    Some(input) => self.take(input),
                    None => {
                        self.stop(true).await;
                        return;
                    }
                },
                Some(event) = self.events.recv() => self.container_event(event),
                () = sleep => self.handle(Event::Tick),
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::LinkUp(records) => {
                self.link = Some(records);
                self.handle(Event::Linked);
            }
            Input::LinkDown => {
                self.link = None;
                self.handle(Event::Unlinked);
            }
            Input::FromMaster(message) => {
                self.handle(Event::FromMaster(message));
                if let Some(id) = self.core.agent_id() {
                    let admitted = Registration::Admitted(id.clone());
                    self.registered.send_if_modified(|state| {
                        let changed = *state != admitted;
                        *state = admitted;
                        changed
                    });
                }
            }
            Input::ExecutorSubscribe { stream, call, format, records, answer } => {
                self.streams.insert(stream, Stream { format, records });
                let answer_to = self.request(answer);
                self.handle(Event::ExecutorSubscribed { stream, call, answer_to });
            }
            Input::ExecutorClosed(stream) => {
                self.streams.remove(&stream);
                self.handle(Event::ExecutorClosed { stream });
            }
            Input::ExecutorCall { call, answer } => {
                let request = self.request(answer);
                self.handle(Event::ExecutorCall { request, call });
            }
            Input::Snapshot(answer) => {
                let _ = answer.send(Arc::new(self.core.snapshot()));
            }
            Input::Stop { .. } => {}
        }
    }

    fn request(&mut self, answer: oneshot::Sender<Answer>) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.insert(request, answer);
        request
    }

    fn container_event(&mut self, event: Event) {
        if let Event::Exited { container, .. } | Event::LaunchFailed { container, .. } = &event {
            self.containers.forget(container);
        }
        self.handle(event);
    }

    fn handle(&mut self, event: Event) {
        let actions = self.core.handle(event, self.clock.now());
        self.perform_all(actions);
    }

    fn perform_all(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::ToMaster(message) => {
                let record = recordio::encode(&message.encode_to_vec());
                // Of a link that is gone its task knows, and a word about it would end the next one.
                let sent = self.link.as_ref().map(|link| link.try_send(record));
                if matches!(sent, Some(Err(mpsc::error::TrySendError::Full(_)))) {
                    self.relink.notify_one();
                }
            }
            Action::Relink => self.relink.notify_one(),
            Action::Refused { reason } => {
                tracing::error!(%reason, "the master refuses this agent");
                self.registered.send_replace(Registration::Refused(reason));
            }
            Action::Save(record) => {
                if let Err(error) = self.checkpoints.save(&record) {
                    tracing::error!(%error, "cannot write a checkpoint: a restart would lose tasks");
                }
            }
            Action::Launch(spec) => self.containers.launch(*spec),
            Action::Limit { container, limits } => self.containers.limit(&container, limits),
            Action::Signal { container, signal } => self.containers.signal(&container, signal),
            Action::ToExecutor { stream, event } => self.send(stream, &event),
            Action::CloseStream { stream } => {
                self.streams.remove(&stream);
            }
            Action::Answer { request, answer } => {
                if let Some(waiting) = self.requests.remove(&request) {
                    let _ = waiting.send(answer);
                }
            }
        }
    }

    fn send(&mut self, id: StreamId, event: &executor::Event) {
        let Some(stream) = self.streams.get(&id) else { return };
        let record = match stream.format {
            Format::Protobuf => recordio::encode(&event.encode_to_vec()),
            Format::Json => recordio::encode(event.to_json().to_string().as_bytes()),
        };
        if stream.records.try_send(record).is_err() {
            tracing::warn!(stream = id.0, "executor does not read its events; stream dropped");
            self.streams.remove(&id);
        }
    }

    /// Ends what runs here before the agent does: everything, or what must not outlive it.
    async fn stop(&mut self, for_good: bool) {
        self.handle(if for_good { Event::Stop } else { Event::Leave });
        self.wait_for_containers(for_good, STOP_GRACE).await;
        let actions = self.core.kill_everything(for_good);
        self.perform_all(actions);
        self.wait_for_containers(for_good, KILL_WAIT).await;
        if self.core.awaits_ends(for_good) {
            self.containers.release();
        } else {
            self.containers.close();
        }
    }

    async fn wait_for_containers(&mut self, for_good: bool, patience: Duration) {
        let until = tokio::time::Instant::now() + patience;
        while self.core.awaits_ends(for_good) {
            match tokio::time::timeout_at(until, self.events.recv()).await {
                Ok(Some(event)) => self.container_event(event),
                Ok(None) | Err(_) => return,
            }
        }
    }
}
