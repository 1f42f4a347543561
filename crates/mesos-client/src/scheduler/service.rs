//! The loop that keeps a subscription: performs the core's actions, reads the stream, passes events on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use mesos_api::TaskId;
use mesos_api::scheduler::{Call, Event as ApiEvent, call, event};
use tokio::sync::{mpsc, oneshot};

use super::calls::{self, QueuedCall, Session};
use super::handle::SchedulerHandle;
use super::{SchedulerEvent, SchedulerOptions, translate};
use crate::address::MasterLocation;
use crate::detector::{Detection, MasterDetector};
use crate::http::{Answer, Target};
use crate::link::{Link, News};
use crate::reconciliation::{self, Question, Reconciler};
use crate::subscription::{Action, Event, Generation, Masters, Problem, Subscription};

/// Where schedulers are served.
pub(super) const PATH: &str = "/api/v1/scheduler";

/// Tasks to ask for until they are answered; told of those that never are.
pub(super) struct ReconcileRequest {
    pub(super) tasks: Vec<Question>,
    pub(super) done: oneshot::Sender<Vec<TaskId>>,
}

struct Service {
    options: SchedulerOptions,
    core: Subscription,
    detector: Option<MasterDetector>,
    reconciler: Reconciler,
    /// Who waits for which set of tasks.
    reconciliations: BTreeMap<u64, oneshot::Sender<Vec<TaskId>>>,
    calls: mpsc::UnboundedSender<QueuedCall>,
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
    let (masters, detector) = match &options.master {
        MasterLocation::Address(master) => (Masters::Fixed(master.clone()), None),
        MasterLocation::ZooKeeper(url) => {
            (Masters::Detected, Some(MasterDetector::start(url.clone())))
        }
    };
    let core = Subscription::new(
        masters,
        framework_id.filter(|id| !id.is_empty()),
        options.patience,
        rand::random(),
    );
    let session = Arc::new(Session::new(&options));
    let (calls, queue) = mpsc::unbounded_channel();
    let (reconcile, requests) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(calls::run(queue, Arc::clone(&session)));
    let service = Service {
        reconciler: Reconciler::new(options.implicit_reconciliation),
        reconciliations: BTreeMap::new(),
        calls: calls.clone(),
        options,
        core,
        detector,
        link: Link::None,
        session: Arc::clone(&session),
        events,
        ready: Some(ready),
        subscribed_before: false,
    };
    tokio::spawn(service.run(stopped, requests));
    SchedulerHandle::new(calls, reconcile, session, stop)
}

impl Service {
    async fn run(
        mut self,
        mut stopped: oneshot::Receiver<()>,
        mut requests: mpsc::UnboundedReceiver<ReconcileRequest>,
    ) {
        self.step(Event::Start).await;
        while let Some(wakeup) = self.core.next_wakeup() {
            let reconcile_at = self.reconciler.next_wakeup();
            tokio::select! {
                biased;
                _ = &mut stopped => {
                    self.step(Event::Stop).await;
                }
                () = self.events.closed() => {
                    self.step(Event::Stop).await;
                }
                detection = next_detection(&mut self.detector) => {
                    self.step(Event::Detected(detection.address())).await;
                }
                news = self.link.next() => self.take(news).await,
                Some(request) = requests.recv() => self.reconcile(request),
                () = tokio::time::sleep_until(wakeup.into()) => self.step(Event::Tick).await,
                () = at(reconcile_at) => {
                    let actions = self.reconciler.tick(Instant::now());
                    self.ask(actions);
                }
            }
        }
        self.session.close();
    }

    fn reconcile(&mut self, ReconcileRequest { tasks, done }: ReconcileRequest) {
        let (number, actions) = self.reconciler.explicit(tasks, Instant::now());
        self.reconciliations.insert(number, done);
        self.ask(actions);
    }

    fn ask(&mut self, actions: Vec<reconciliation::Action>) {
        for action in actions {
            match action {
                reconciliation::Action::Ask(questions) => {
                    // Without receiver the client is over.
                    let call = calls::reconcile(questions);
                    drop(self.calls.send(QueuedCall { call, done: None }));
                }
                reconciliation::Action::Finished { number, unanswered } => {
                    if let Some(done) = self.reconciliations.remove(&number) {
                        drop(done.send(unanswered));
                    }
                }
            }
        }
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
                self.close_session();
                let request = self.subscribe_call(framework_id);
                let target = Target {
                    peer: master,
                    path: PATH,
                    authorization: self.session.authorization(),
                    encoding: self.options.encoding,
                };
                self.link = Link::connect(generation, target, request);
            }
            Action::Drop(_) => {
                self.close_session();
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

    fn close_session(&mut self) {
        self.session.close();
        self.reconciler.disconnected();
    }

    fn subscribe_call(&self, framework_id: Option<String>) -> Vec<u8> {
        let id = framework_id.map(Into::into);
        let mut framework_info = self.options.framework_info.clone();
        framework_info.id = id.clone();
        let call = Call {
            framework_id: id,
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(call::Subscribe {
                framework_info,
                suppressed_roles: self.session.suppressed_roles(),
                offer_constraints: None,
            }),
            ..Call::default()
        };
        self.options.encoding.encode(&call)
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
            News::Answered(generation, master, Ok(Answer::Accepted)) => {
                self.link = Link::None;
                let text = "it opened no event stream".to_owned();
                let problem = Problem::NotMesos { master, text };
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
            // A record may end the stream; then there is none after it.
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
        match event.r#type() {
            event::Type::Subscribed => self.subscribed(generation, event).await,
            event::Type::Error => {
                let message = event.error.map(|error| error.message).unwrap_or_default();
                self.step(Event::Failed(generation, Problem::Error(message))).await;
            }
            _ => {
                self.step(Event::Record(generation)).await;
                if let Some(update) = &event.update {
                    let actions = self.reconciler.answered(&update.status.task_id, Instant::now());
                    self.ask(actions);
                }
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
        let actions = self.reconciler.subscribed(Instant::now());
        self.ask(actions);
        if let Some(ready) = self.ready.take() {
            drop(ready.send(Ok(())));
        }
    }

    async fn tell(&mut self, event: SchedulerEvent) {
        // An owner who is gone is noticed by the loop.
        drop(self.events.send(event).await);
    }
}

/// News of the leader; for ever none without ZooKeeper.
async fn next_detection(detector: &mut Option<MasterDetector>) -> Detection {
    match detector {
        Some(detector) => detector.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until then, if there is a then.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
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
        | Problem::NoLeader(_)
        | Problem::LeaderChanged(_)
        | Problem::RedirectLoop(_) => problem.to_string(),
    }
}
