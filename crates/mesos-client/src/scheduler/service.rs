//! The loop that keeps a subscription: performs the core's actions, reads the stream, passes events on.

use std::sync::Arc;
use std::time::Instant;

use mesos_api::scheduler::{Call, Event as ApiEvent, call, event};
use prost::Message;
use tokio::sync::{mpsc, oneshot};

use super::calls::{self, Session};
use super::handle::SchedulerHandle;
use super::{SchedulerEvent, SchedulerOptions, translate};
use crate::http::{Answer, Target};
use crate::link::{Link, News, decode};
use crate::subscription::{Action, Event, Generation, Problem, Subscription};

/// Where schedulers are served.
pub(super) const PATH: &str = "/api/v1/scheduler";

struct Service {
    options: SchedulerOptions,
    core: Subscription,
    link: Link,
    session: Arc<Session>,
    events: mpsc::Sender<SchedulerEvent>,
    /// Told once: subscribed, or why not.
    ready: Option<oneshot::Sender<Result<(), Problem>>>,
    subscribed_before: bool,
}

/// Starts the client's two tasks.
pub(super) fn spawn(
    options: SchedulerOptions,
    events: mpsc::Sender<SchedulerEvent>,
    ready: oneshot::Sender<Result<(), Problem>>,
) -> SchedulerHandle {
    let framework_id = options.framework_info.id.clone().map(|id| id.value);
    let core = Subscription::new(
        options.master.clone(),
        framework_id.filter(|id| !id.is_empty()),
        options.patience,
        rand::random(),
    );
    let session = Arc::new(Session::new(options.credential.as_ref()));
    let (calls, queue) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(calls::run(queue, Arc::clone(&session)));
    let service = Service {
        options,
        core,
        link: Link::None,
        session: Arc::clone(&session),
        events,
        ready: Some(ready),
        subscribed_before: false,
    };
    tokio::spawn(service.run(stopped));
    SchedulerHandle::new(calls, session, stop)
}

impl Service {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        self.step(Event::Start).await;
        while let Some(wakeup) = self.core.next_wakeup() {
            tokio::select! {
                biased;
                _ = &mut stopped => {
                    self.step(Event::Stop).await;
                }
                () = self.events.closed() => {
                    self.step(Event::Stop).await;
                }
                news = self.link.next() => self.take(news).await,
                () = tokio::time::sleep_until(wakeup.into()) => self.step(Event::Tick).await,
            }
        }
        self.session.close();
    }

    async fn step(&mut self, event: Event) {
        for action in self.core.handle(event, Instant::now()) {
            self.perform(action).await;
        }
    }

    async fn perform(&mut self, action: Action) {
        match action {
            Action::Connect { generation, master, framework_id } => {
                tracing::debug!(%master, generation, "subscribing");
                self.session.close();
                let request = self.subscribe_call(framework_id);
                let authorization = self.session.authorization();
                let target = Target { peer: master, path: PATH, authorization };
                self.link = Link::connect(generation, target, request);
            }
            Action::Drop(_) => {
                self.session.close();
                self.link = Link::None;
            }
            Action::Disconnected(_) if self.session.is_ending() => {}
            Action::Disconnected(problem) => {
                tracing::warn!(%problem, "disconnected from the master");
                self.tell(SchedulerEvent::Disconnected { reason: problem.to_string() }).await;
            }
            Action::GiveUp(problem) => match self.ready.take() {
                Some(ready) => drop(ready.send(Err(problem))),
                None => self.tell(SchedulerEvent::Error(final_words(&problem))).await,
            },
        }
    }

    fn subscribe_call(&self, framework_id: Option<String>) -> Vec<u8> {
        let id = framework_id.map(Into::into);
        let mut framework_info = self.options.framework_info.clone();
        framework_info.id = id.clone();
        Call {
            framework_id: id,
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(call::Subscribe {
                framework_info,
                suppressed_roles: self.options.suppressed_roles.clone(),
                offer_constraints: None,
            }),
            ..Call::default()
        }
        .encode_to_vec()
    }

    async fn take(&mut self, news: News) {
        match news {
            News::Answered(generation, master, Ok(Answer::Stream(stream))) => {
                self.session.prepare(master, stream.stream_id.clone());
                self.link = Link::open(generation, stream);
                self.step(Event::Opened(generation)).await;
            }
            News::Answered(generation, master, Ok(Answer::Redirect(leader))) => {
                tracing::info!(%master, %leader, "following to the leading master");
                self.link = Link::None;
                self.step(Event::Redirected(generation, leader)).await;
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
            // A record may end the stream; then there is none after it.
            let record = match self.link.record(generation) {
                Ok(None) => return,
                Ok(Some(record)) => decode::<ApiEvent>(record),
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
        match event.r#type() {
            event::Type::Subscribed => self.subscribed(generation, event).await,
            event::Type::Error => {
                let message = event.error.map(|error| error.message).unwrap_or_default();
                self.step(Event::Failed(generation, Problem::Error(message))).await;
            }
            _ => {
                self.step(Event::Record(generation)).await;
                if let Some(event) = translate(event, false) {
                    self.tell(event).await;
                }
            }
        }
    }

    async fn subscribed(&mut self, generation: Generation, event: ApiEvent) {
        let Some(subscribed) = &event.subscribed else { return };
        let framework_id = subscribed.framework_id.value.clone();
        let heartbeat_interval = subscribed
            .heartbeat_interval_seconds
            .and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
        self.session.open(&framework_id);
        self.step(Event::Subscribed { generation, framework_id, heartbeat_interval }).await;
        let again = std::mem::replace(&mut self.subscribed_before, true);
        if let Some(event) = translate(event, again) {
            self.tell(event).await;
        }
        if let Some(ready) = self.ready.take() {
            drop(ready.send(Ok(())));
        }
    }

    async fn tell(&mut self, event: SchedulerEvent) {
        // An owner who is gone is noticed by the loop.
        drop(self.events.send(event).await);
    }
}

/// An ERROR event is passed on in the master's own words.
fn final_words(problem: &Problem) -> String {
    match problem {
        Problem::Error(message) => message.clone(),
        Problem::Unreachable(_)
        | Problem::Unavailable { .. }
        | Problem::Refused { .. }
        | Problem::NotMesos { .. }
        | Problem::Closed(_)
        | Problem::Silent(_)
        | Problem::NoAnswer(_)
        | Problem::RedirectLoop(_) => problem.to_string(),
    }
}
