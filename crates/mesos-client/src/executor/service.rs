//! The loop that keeps an executor's subscription and what the agent has not acknowledged.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use indexmap::IndexMap;
use mesos_api::executor::{Call, Event as ApiEvent, call, event};
use mesos_api::task_status::Source;
use mesos_api::{TaskId, TaskInfo, TaskStatus};
use tokio::sync::{mpsc, oneshot};

use super::{ExecutorEvent, ExecutorHandle, ExecutorOptions};
use crate::http::{Answer, Target, request, short_text};
use crate::link::{Link, News};
use crate::subscription::{Action, Event, Generation, Masters, Patience, Problem, Subscription};

/// Where executors are served.
const PATH: &str = "/api/v1/executor";
/// Agents of 1.11 send a heartbeat so often; older ones send none, hence the generous silence.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// A call unanswered for this long is lost; updates are told again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Unacknowledged updates are told again after this long; the agent drops repetitions.
const REPEAT_INTERVAL: Duration = Duration::from_secs(10);

/// What a handle asks for.
#[derive(Debug)]
pub(super) enum Request {
    Update(Box<TaskStatus>),
    Message(Bytes),
    Flush(oneshot::Sender<()>),
}

struct Service {
    options: ExecutorOptions,
    core: Subscription,
    link: Link,
    client: Client<HttpConnector, Full<Bytes>>,
    events: mpsc::Sender<ExecutorEvent>,
    ready: Option<oneshot::Sender<Result<(), Problem>>>,
    subscribed_before: bool,
    /// By uuid, in the order of telling.
    updates: IndexMap<Bytes, call::Update>,
    /// Launched tasks of which the agent has acknowledged nothing yet.
    tasks: IndexMap<TaskId, TaskInfo>,
    flushes: Vec<oneshot::Sender<()>>,
    repeat_at: Instant,
}

/// Starts the client's task.
pub(super) fn spawn(
    options: ExecutorOptions,
    events: mpsc::Sender<ExecutorEvent>,
    ready: oneshot::Sender<Result<(), Problem>>,
) -> ExecutorHandle {
    let patience = Patience {
        restore: Some(options.recovery_timeout),
        heartbeat_interval: HEARTBEAT_INTERVAL,
        ..Patience::default()
    };
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let (requests, queue) = mpsc::unbounded_channel();
    let service = Service {
        core: Subscription::new(
            Masters::Fixed(options.agent.clone()),
            None,
            patience,
            rand::random(),
        ),
        options,
        link: Link::None,
        client: Client::builder(TokioExecutor::new()).build(connector),
        events,
        ready: Some(ready),
        subscribed_before: false,
        updates: IndexMap::new(),
        tasks: IndexMap::new(),
        flushes: Vec::new(),
        repeat_at: Instant::now() + REPEAT_INTERVAL,
    };
    tokio::spawn(service.run(queue));
    ExecutorHandle { requests }
}

impl Service {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Request>) {
        self.step(Event::Start).await;
        while let Some(wakeup) = self.core.next_wakeup() {
            let repeat_at = self.repeat_at;
            tokio::select! {
                news = self.link.next() => self.take(news).await,
                request = queue.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => self.step(Event::Stop).await,
                },
                () = self.events.closed() => self.step(Event::Stop).await,
                () = tokio::time::sleep_until(wakeup.into()) => self.step(Event::Tick).await,
                () = tokio::time::sleep_until(repeat_at.into()) => self.repeat().await,
            }
        }
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Update(status) => {
                let update = self.complete(*status);
                let uuid = update.status.uuid.clone().unwrap_or_default();
                self.updates.insert(uuid, update.clone());
                self.tell_update(update).await;
            }
            Request::Message(data) => {
                let call = Call {
                    r#type: Some(call::Type::Message.into()),
                    message: Some(call::Message { data }),
                    ..self.call()
                };
                self.send(call).await;
            }
            Request::Flush(done) => {
                self.flushes.push(done);
                self.answer_flushes();
            }
        }
    }

    /// Fills in what an update must have.
    fn complete(&self, mut status: TaskStatus) -> call::Update {
        // Mesos refuses bytes that are no UUID of a known version.
        status.uuid = Some(Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()));
        status.executor_id = Some(self.options.executor_id.clone());
        status.source = Some(Source::Executor.into());
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        status.timestamp = Some(since_epoch.unwrap_or_default().as_secs_f64());
        call::Update { status }
    }

    async fn tell_update(&mut self, update: call::Update) {
        let call =
            Call { r#type: Some(call::Type::Update.into()), update: Some(update), ..self.call() };
        self.send(call).await;
    }

    async fn repeat(&mut self) {
        self.repeat_at = Instant::now() + REPEAT_INTERVAL;
        if self.core.is_subscribed() {
            for update in self.updates.values().cloned().collect::<Vec<_>>() {
                self.tell_update(update).await;
            }
        }
    }

    fn call(&self) -> Call {
        Call {
            executor_id: self.options.executor_id.clone(),
            framework_id: self.options.framework_id.clone(),
            ..Call::default()
        }
    }

    fn target(&self) -> Target {
        Target {
            peer: self.options.agent.clone(),
            path: PATH,
            authorization: self.options.token.as_ref().map(|token| format!("Bearer {token}")),
            encoding: self.options.encoding,
        }
    }

    /// Calls go one after the other. A lost one is no harm: updates are repeated, messages may vanish.
    async fn send(&mut self, call: Call) {
        if !self.core.is_subscribed() {
            return;
        }
        let name = call.r#type().name();
        let target = self.target();
        let Ok(mut request) = request(&target, target.encoding.encode(&call)) else { return };
        let Ok(uri) = format!("http://{}{PATH}", target.peer).parse() else { return };
        *request.uri_mut() = uri;
        match tokio::time::timeout(ANSWER_TIMEOUT, self.client.request(request)).await {
            Ok(Ok(response)) if response.status().is_success() => {}
            Ok(Ok(response)) => {
                let status = response.status();
                let text = short_text(response.into_body()).await;
                tracing::warn!(call = name, %status, text, "the agent refused a call");
            }
            Ok(Err(error)) => tracing::warn!(call = name, %error, "a call was lost"),
            Err(_) => tracing::warn!(call = name, "a call was not answered"),
        }
    }

    async fn step(&mut self, event: Event) {
        for action in self.core.handle(event, Instant::now()) {
            self.perform(action).await;
        }
    }

    async fn perform(&mut self, action: Action) {
        match action {
            Action::Connect { generation, .. } => {
                let call = Call {
                    r#type: Some(call::Type::Subscribe.into()),
                    subscribe: Some(call::Subscribe {
                        unacknowledged_tasks: self.tasks.values().cloned().collect(),
                        unacknowledged_updates: self.updates.values().cloned().collect(),
                    }),
                    ..self.call()
                };
                self.link =
                    Link::connect(generation, self.target(), self.options.encoding.encode(&call));
            }
            Action::Drop(_) => self.link = Link::None,
            Action::Disconnected(problem) => {
                self.tell(ExecutorEvent::Disconnected { reason: problem.to_string() }).await;
            }
            Action::GiveUp(problem) => match self.ready.take() {
                Some(ready) => drop(ready.send(Err(problem))),
                None => self.tell(ExecutorEvent::Shutdown { reason: problem.to_string() }).await,
            },
        }
    }

    async fn take(&mut self, news: News) {
        match news {
            News::Answered(generation, _, Ok(Answer::Stream(stream))) => {
                self.link = Link::open(generation, stream);
                self.step(Event::Opened(generation)).await;
            }
            News::Answered(generation, agent, Ok(Answer::Redirect(_))) => {
                self.link = Link::None;
                let text = "it is a master".to_owned();
                let problem = Problem::Refused { master: agent, status: 307, text };
                self.step(Event::Failed(generation, problem)).await;
            }
            News::Answered(generation, agent, Ok(Answer::Accepted)) => {
                self.link = Link::None;
                let text = "it opened no event stream".to_owned();
                let problem = Problem::NotMesos { master: agent, text };
                self.step(Event::Failed(generation, problem)).await;
            }
            News::Answered(generation, _, Err(problem)) | News::Ended(generation, problem) => {
                self.link = Link::None;
                self.step(Event::Failed(generation, problem)).await;
            }
            News::Bytes(generation, bytes) => self.read(generation, &bytes).await,
        }
    }

    async fn read(&mut self, generation: Generation, bytes: &[u8]) {
        self.link.push(generation, bytes);
        loop {
            let record = match self.link.record(generation) {
                Ok(None) => return,
                Ok(Some(record)) => self.options.encoding.event::<ApiEvent>(record),
                Err(problem) => Err(problem),
            };
            match record {
                Ok(event) => self.receive(generation, event).await,
                Err(problem) => {
                    self.link = Link::None;
                    return self.step(Event::Failed(generation, problem)).await;
                }
            }
        }
    }

    async fn receive(&mut self, generation: Generation, event: ApiEvent) {
        let kind = event.r#type();
        match kind {
            event::Type::Subscribed => {
                let subscribed = Event::Subscribed {
                    generation,
                    framework_id: self.options.framework_id.value.clone(),
                    heartbeat_interval: None,
                };
                self.step(subscribed).await;
            }
            event::Type::Error => {
                let message = event.error.map(|error| error.message).unwrap_or_default();
                return self.step(Event::Failed(generation, Problem::Error(message))).await;
            }
            event::Type::Unknown
            | event::Type::Launch
            | event::Type::LaunchGroup
            | event::Type::Kill
            | event::Type::Acknowledged
            | event::Type::Message
            | event::Type::Shutdown
            | event::Type::Heartbeat => self.step(Event::Record(generation)).await,
        }
        if let Some(acknowledged) = &event.acknowledged {
            self.updates.shift_remove(&acknowledged.uuid);
            self.tasks.shift_remove(&acknowledged.task_id);
            self.answer_flushes();
        }
        if let Some(event) = self.translate(kind, event) {
            self.tell(event).await;
        }
        if kind == event::Type::Subscribed
            && let Some(ready) = self.ready.take()
        {
            drop(ready.send(Ok(())));
        }
    }

    /// The owner's view of an event.
    fn translate(&mut self, kind: event::Type, event: ApiEvent) -> Option<ExecutorEvent> {
        use event::Type;
        Some(match kind {
            Type::Subscribed => {
                let subscribed = event.subscribed?;
                ExecutorEvent::Subscribed {
                    executor_info: Box::new(subscribed.executor_info),
                    framework_info: Box::new(subscribed.framework_info),
                    agent_info: Box::new(subscribed.agent_info),
                    again: std::mem::replace(&mut self.subscribed_before, true),
                }
            }
            Type::Launch => {
                let task = event.launch?.task;
                self.tasks.insert(task.task_id.clone(), task.clone());
                ExecutorEvent::Launch(Box::new(task))
            }
            Type::LaunchGroup => {
                let group = event.launch_group?.task_group;
                for task in &group.tasks {
                    self.tasks.insert(task.task_id.clone(), task.clone());
                }
                ExecutorEvent::LaunchGroup(group)
            }
            Type::Kill => {
                let kill = event.kill?;
                ExecutorEvent::Kill { task_id: kill.task_id, policy: kill.kill_policy }
            }
            Type::Message => ExecutorEvent::Message(event.message?.data),
            Type::Shutdown => {
                ExecutorEvent::Shutdown { reason: "the agent asked for it".to_owned() }
            }
            Type::Acknowledged | Type::Error | Type::Heartbeat | Type::Unknown => return None,
        })
    }

    fn answer_flushes(&mut self) {
        if self.updates.is_empty() {
            for done in self.flushes.drain(..) {
                let _ = done.send(());
            }
        }
    }

    async fn tell(&mut self, event: ExecutorEvent) {
        drop(self.events.send(event).await);
    }
}
