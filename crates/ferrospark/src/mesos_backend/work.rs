//! The task that owns the decision core: takes what the master, the engine and the clock say, and performs
//! what the core answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use mesos_api::MasterInfo;
use mesos_api::offer::Operation;
use mesos_client::{
    Credential, SchedulerClient, SchedulerEvent, SchedulerHandle, SchedulerOptions,
};
use spark_exec::Engine;
use spark_mesos::{
    Action, ClusterView, Core, Event, LaunchContext, LossReason, Mode, RegistrationProblem,
    Settings, TaskEnd, TaskLaunch, WaitingReport,
};
use spark_scheduler::{ExecutorLoss, FailureKind, MapOutputFate, TaskFailure, TaskOutcome};
use tokio::sync::{mpsc, oneshot, watch};

use super::slots::Slots;
use super::waiting::{Held, Waiting};
use super::{BackendState, Command, Registered};

/// An executor whose connection broke is killed if Mesos has not told its end within this time.
const VANISHED_PATIENCE: Duration = Duration::from_secs(10);
/// How often fine-grained mode looks which executors hold map output that is needed.
const OUTPUT_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The executor tells the driver of a task's end itself, by another way than Mesos. Its word counts more,
/// so the failure that Mesos tells waits for it this long.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// Most links to sandboxes kept.
const MOST_SANDBOXES: usize = 1000;
/// What the master says to a framework that it has given up.
const FRAMEWORK_REMOVED: &str = "Framework has been removed";
/// How long the master may take to describe its agents.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Work {
    core: Core,
    mode: Mode,
    task_cpus: u64,
    engine: Engine,
    handle: SchedulerHandle,
    /// `HOST:PORT` of the leading master.
    master: String,
    settings: Settings,
    /// The framework's id; after a removal another than the application's.
    framework_id: String,
    /// Links to the sandboxes of executors, of those launched last.
    sandboxes: BTreeMap<String, String>,
    /// Why and since when there is no subscription, while there is none.
    disconnected: Option<(String, Instant)>,
    subscription: SchedulerOptions,
    events: mpsc::Receiver<SchedulerEvent>,
    commands: mpsc::UnboundedReceiver<Command>,
    sender: mpsc::WeakUnboundedSender<Command>,
    executors: watch::Receiver<BTreeSet<String>>,
    /// Executors the engine had at our last look.
    present: BTreeSet<String>,
    /// Executors whose connection broke, and when they are killed.
    vanished: BTreeMap<String, Instant>,
    waiting: Waiting,
    held: Held,
    /// Who waits until enough executors have come for tasks to start.
    starting: Vec<oneshot::Sender<()>>,
    shutdown_timeout: Duration,
    /// Set once the application stops: until when executors are waited for, and whom to tell.
    stopping: Option<(Instant, oneshot::Sender<()>)>,
    /// Fine-grained mode from here on.
    slots: Slots,
    /// Tasks launched that have not ended, for Mesos.
    tasks: BTreeMap<String, String>,
    /// Executors that hold map output somebody needs, as last told to the core.
    needed: BTreeSet<String>,
    next_output_check: Option<Instant>,
}

impl Work {
    pub(super) fn new(registered: Registered, engine: Engine) -> Self {
        let Registered {
            settings,
            subscription,
            user,
            report_delay,
            handle,
            events,
            commands,
            sender,
        } = registered;
        let context = LaunchContext {
            driver_url: engine.driver_url(),
            secret: engine.secret().to_owned(),
            user,
        };
        Self {
            mode: settings.mode,
            task_cpus: settings.task_cpus,
            shutdown_timeout: settings.shutdown_timeout,
            settings: settings.clone(),
            framework_id: String::new(),
            sandboxes: BTreeMap::new(),
            disconnected: None,
            core: Core::new(settings, context),
            executors: engine.watch_executors(),
            engine,
            handle,
            master: subscription.master.to_string(),
            subscription,
            events,
            commands,
            sender,
            present: BTreeSet::new(),
            vanished: BTreeMap::new(),
            waiting: Waiting::new(report_delay),
            held: Held::new(report_delay),
            starting: Vec::new(),
            stopping: None,
            slots: Slots::default(),
            tasks: BTreeMap::new(),
            needed: BTreeSet::new(),
            next_output_check: None,
        }
    }

    pub(super) async fn run(mut self) {
        while !self.is_over() {
            let wakeup = self.next_wakeup();
            let flow = tokio::select! {
                event = self.events.recv() => self.receive(event),
                Some(command) = self.commands.recv() => self.obey(command),
                Ok(()) = self.executors.changed() => self.look_at_executors(),
                () = sleep_until(wakeup) => self.wake().await,
            };
            // What came meanwhile belongs together: tasks that ended together are replaced together.
            let flow = if flow.is_continue() { self.drain() } else { flow };
            if let ControlFlow::Break(message) = flow
                && !self.begin_again(&message).await
            {
                return self.end(&message);
            }
            self.lay_tasks().await;
            self.tell_ready();
        }
        tear_down(&self.handle).await;
        if let Some((_, done)) = self.stopping.take() {
            let _ = done.send(());
        }
    }

    /// Stopped, and the executors gone or waited for long enough. Those that have not come to the driver
    /// were not told to stop; the teardown ends them.
    fn is_over(&self) -> bool {
        self.stopping
            .as_ref()
            .is_some_and(|(until, _)| self.core.registered_count() == 0 || Instant::now() >= *until)
    }

    /// Subscribes a new framework if the master gave up the old one because we came too late, after the
    /// failover timeout. The application keeps its id and goes on with new executors. A framework that
    /// was removed while we were there, or that asked for no time at all, was removed on purpose.
    async fn begin_again(&mut self, message: &str) -> bool {
        let Some((_, since)) = &self.disconnected else { return false };
        let timeout = self.settings.failover_timeout;
        let late = !timeout.is_zero() && since.elapsed() >= timeout;
        // The shuffle service removes map output with the framework it knows.
        let possible = self.stopping.is_none() && !self.settings.shuffle_service;
        if !(late && possible && message == FRAMEWORK_REMOVED) {
            return false;
        }
        match SchedulerClient::connect(self.subscription.clone()).await {
            Ok((handle, events)) => {
                let id = handle.framework_id().map_or_else(String::new, |id| id.value);
                crate::exit::note(&format!(
                    "warning: the Mesos master has removed the framework after {} s (spark.mesos.driver.failoverTimeout); the application goes on as framework {id}",
                    timeout.as_secs_f64(),
                ));
                (self.handle, self.events) = (handle, events);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "no other framework can be registered");
                false
            }
        }
    }

    /// The master will not have us any more: the application cannot go on.
    fn end(self, message: &str) {
        if self.stopping.is_none() {
            crate::exit::note(&format!("error: the Mesos master ended the application: {message}"));
            let engine = self.engine.clone();
            // Not awaited here: it waits for this backend.
            tokio::spawn(async move { engine.stop().await });
        }
    }

    fn drain(&mut self) -> ControlFlow<String> {
        while let Ok(event) = self.events.try_recv() {
            self.receive(Some(event))?;
        }
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command)?;
        }
        ControlFlow::Continue(())
    }

    fn receive(&mut self, event: Option<SchedulerEvent>) -> ControlFlow<String> {
        match event {
            Some(SchedulerEvent::Error(message)) => return ControlFlow::Break(message),
            Some(event) => self.take(event),
            None => return ControlFlow::Break("the subscription has ended".to_owned()),
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, event: SchedulerEvent) {
        match event {
            SchedulerEvent::Subscribed { framework_id, master, again } => {
                if let Some(address) = master.as_ref().and_then(address_of) {
                    self.master = address;
                }
                // A framework begun anew subscribes for its first time, the application does not.
                let again = again || self.disconnected.take().is_some();
                self.framework_id.clone_from(&framework_id.value);
                self.decide(Event::Registered { framework_id: framework_id.value, again });
            }
            SchedulerEvent::Disconnected { reason } => {
                tracing::warn!(%reason, "disconnected from the Mesos master; reconnecting");
                let since = self.disconnected.take().map_or_else(Instant::now, |(_, since)| since);
                self.disconnected = Some((reason, since));
            }
            SchedulerEvent::Offers(offers) => self.decide(Event::Offers(offers)),
            SchedulerEvent::Rescind(offer) => self.decide(Event::Rescind(offer)),
            SchedulerEvent::Update(status) => {
                tracing::info!(
                    task = %status.task_id,
                    state = %status.state(),
                    message = status.message(),
                    "task update"
                );
                self.decide(Event::Status(status.clone()));
                self.handle.acknowledge(&status);
            }
            SchedulerEvent::Failure { agent_id: Some(agent_id), executor_id: None, .. } => {
                self.decide(Event::AgentFailure(agent_id));
            }
            // Executors of coarse-grained mode are command tasks, whose end comes as an update; the core
            // passes over those.
            SchedulerEvent::Failure {
                agent_id: Some(agent_id),
                executor_id: Some(executor_id),
                status,
            } => {
                self.decide(Event::ExecutorFailure { agent_id, executor_id, status });
            }
            // We make no operations, and ERROR is handled before.
            SchedulerEvent::Failure { agent_id: None, .. }
            | SchedulerEvent::InverseOffers(_)
            | SchedulerEvent::RescindInverseOffer(_)
            | SchedulerEvent::OperationUpdate(_)
            | SchedulerEvent::Message { .. }
            | SchedulerEvent::Error(_) => {}
        }
    }

    fn obey(&mut self, command: Command) -> ControlFlow<String> {
        match command {
            Command::Demand(demand) => {
                self.waiting.pending = demand.pending_tasks > 0 || !self.starting.is_empty();
                self.held.demand(demand.pending_tasks > 0, Instant::now());
                self.slots.demand_grew();
                self.decide(Event::WaitingTasks(demand.pending_tasks as u64));
                self.look();
            }
            Command::Ready(ready) => {
                self.starting.push(ready);
                self.waiting.pending = true;
                self.look();
            }
            Command::KillExecutor(executor) => self.decide(Event::KillExecutor(executor)),
            Command::ExecutorLimit(limit) => self.decide(Event::ExecutorLimit(Some(limit))),
            Command::KillTask(task) => self.decide(Event::KillTask(task.to_string())),
            Command::Cluster(view) => {
                match view {
                    Ok(view) => self.decide(Event::Cluster(view)),
                    Err(error) => tracing::debug!(%error, "the master does not list its agents"),
                }
                self.say_waiting();
            }
            Command::State(answer) => {
                let _ = answer.send(self.state());
            }
            Command::Stop(done) => {
                self.decide(Event::Stop);
                self.stopping = Some((Instant::now() + self.shutdown_timeout, done));
            }
        }
        ControlFlow::Continue(())
    }

    fn state(&self) -> BackendState {
        let report = self.report();
        BackendState {
            waiting: report.as_ref().map(WaitingReport::to_json),
            sandboxes: self.sandboxes.clone(),
            metrics: self
                .core
                .metrics()
                .values()
                .into_iter()
                .chain(report.iter().flat_map(WaitingReport::metrics))
                .collect(),
        }
    }

    /// Why there are not more executors, if tasks wait; others may run meanwhile.
    fn report(&self) -> Option<WaitingReport> {
        let now = Instant::now();
        if !self.waiting.pending {
            return None;
        }
        match &self.disconnected {
            Some((reason, _)) => {
                let problem = RegistrationProblem::Unreachable(reason.clone());
                Some(WaitingReport::not_registered(problem, &self.settings.role, now))
            }
            None => self.core.waiting_report(now),
        }
    }

    /// Whether something is pending and nothing of the application runs.
    fn waits(&self) -> bool {
        self.waiting.pending && self.nothing_runs()
    }

    fn nothing_runs(&self) -> bool {
        match self.mode {
            Mode::Coarse => self.present.is_empty(),
            Mode::Fine => self.tasks.is_empty(),
        }
    }

    fn look(&mut self) {
        let nothing_runs = self.nothing_runs();
        self.waiting.look(nothing_runs, Instant::now());
    }

    /// Tells the core who came, and notes who went without a word from Mesos.
    fn look_at_executors(&mut self) -> ControlFlow<String> {
        let now = Instant::now();
        let present = self.executors.borrow_and_update().clone();
        for id in present.difference(&self.present.clone()) {
            self.vanished.remove(id);
            self.decide(Event::ExecutorRegistered(id.clone()));
        }
        for id in self.present.difference(&present) {
            self.vanished.insert(id.clone(), now + VANISHED_PATIENCE);
        }
        self.present = present;
        if self.mode == Mode::Fine && self.next_output_check.is_none() && !self.present.is_empty() {
            self.next_output_check = Some(now + OUTPUT_CHECK_INTERVAL);
        }
        self.look();
        ControlFlow::Continue(())
    }

    async fn wake(&mut self) -> ControlFlow<String> {
        let now = Instant::now();
        if self.core.next_wakeup().is_some_and(|at| at <= now) {
            self.decide(Event::Tick);
        }
        let due: Vec<String> =
            self.vanished.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.vanished.remove(&id);
            self.decide(Event::KillExecutor(id));
        }
        if self.waiting.is_due(now) {
            self.ask_for_cluster();
        }
        if self.held.next().is_some_and(|at| at <= now) {
            self.count_waiting().await;
        }
        if self.next_output_check.is_some_and(|at| at <= now) {
            self.check_outputs().await;
            self.next_output_check =
                (!self.present.is_empty()).then(|| Instant::now() + OUTPUT_CHECK_INTERVAL);
        }
        ControlFlow::Continue(())
    }

    /// Lets the application go on once enough executors have come, or were waited for long enough.
    fn tell_ready(&mut self) {
        if !self.starting.is_empty() && self.core.is_ready(Instant::now()) {
            for ready in self.starting.drain(..) {
                // Fails when the application does not wait any more.
                let _ = ready.send(());
            }
        }
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let ready = self.core.ready_at().filter(|_| !self.starting.is_empty());
        let stop = self.stopping.as_ref().map(|(until, _)| *until);
        let vanished = self.vanished.values().min().copied();
        [
            self.core.next_wakeup(),
            self.waiting.next(),
            self.held.next(),
            vanished,
            stop,
            self.next_output_check,
            ready,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Asks the master why agents offer nothing; the report follows the answer.
    fn ask_for_cluster(&self) {
        let Some(sender) = self.sender.upgrade() else { return };
        let (master, credential) = (self.master.clone(), self.subscription.credential.clone());
        tokio::spawn(async move {
            let view = cluster_view(&master, credential.as_ref()).await;
            // Fails only when the framework has ended.
            let _ = sender.send(Command::Cluster(view));
        });
    }

    fn say_waiting(&self) {
        if self.waits()
            && let Some(report) = self.report()
        {
            crate::exit::note(&report.to_string());
        }
    }

    /// Says it if tasks have waited for slots that the application's own limits deny it. What others
    /// deny it is said when nothing runs.
    async fn count_waiting(&mut self) {
        let stages = self.engine.progress().await;
        let waiting = |stage: &spark_exec::engine::StageProgress| {
            (stage.total as usize).saturating_sub((stage.succeeded + stage.running) as usize)
        };
        let tasks: usize = stages.iter().map(waiting).sum();
        if self.held.count(tasks, Instant::now())
            && let Some(report) = self.report()
            && let Some(limit) = report.own_limit()
        {
            let plural = if tasks == 1 { "task waits" } else { "tasks wait" };
            crate::exit::note(&format!("{tasks} {plural}: {limit}; raise it to run more at once"));
            self.held.told();
        }
    }

    fn decide(&mut self, event: Event) {
        for action in self.core.handle(event, Instant::now()) {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Launch(launch) => {
                for executor in &launch.executors {
                    tracing::info!(
                        executor = executor.executor_id,
                        host = executor.host,
                        cores = executor.cores,
                        memory_mib = executor.memory_mib,
                        "launching an executor"
                    );
                    let (agent, id) = (&executor.agent_id.value, &executor.executor_id);
                    let link =
                        self.settings.sandbox_link(&self.master, agent, &self.framework_id, id);
                    self.sandboxes.insert(id.clone(), link);
                    if self.sandboxes.len() > MOST_SANDBOXES {
                        self.sandboxes.pop_first();
                    }
                }
                let operation = Operation::launch_tasks(launch.tasks);
                let refuse = launch.refuse.map(|refuse| refuse.as_secs_f64());
                self.handle.accept(launch.offer_ids, vec![operation], refuse);
            }
            Action::Decline { offer_ids, refuse, reason } => {
                tracing::debug!(?offer_ids, %reason, "declining offers");
                self.handle.decline(offer_ids, refuse.map(|refuse| refuse.as_secs_f64()));
            }
            Action::Kill { task_id, agent_id } => self.handle.kill(task_id, agent_id, None),
            Action::Shutdown { executor_id, agent_id } => {
                self.handle.shutdown(executor_id, agent_id);
            }
            Action::Suppress => self.handle.suppress(Vec::new()),
            Action::Revive => self.handle.revive(Vec::new()),
            Action::Reconcile(tasks) => self.handle.reconcile(tasks),
            Action::Slots { executor_id, host, free } => {
                self.slots.announce(executor_id, host, free);
            }
            Action::TaskEnded { task_id, end, .. } => self.task_ended(&task_id, end),
            Action::ExecutorLost { executor_id, host, reason } => {
                self.vanished.remove(&executor_id);
                self.slots.forget(&executor_id);
                self.needed.remove(&executor_id);
                self.tasks.retain(|_, on| *on != executor_id);
                if self.stopping.is_none() {
                    self.lost(&executor_id, &host, &reason);
                }
                self.look();
            }
        }
    }

    fn lost(&self, executor: &str, host: &str, reason: &LossReason) {
        let mut message = format!("Executor {executor} on {host} is lost: {reason}");
        if let Some(link) = self.sandboxes.get(executor) {
            message.push_str(&format!("; its sandbox: {link}"));
        }
        // Those that went in order, and the engine warns if it had not sent them away.
        if matches!(reason, LossReason::Released | LossReason::Killed | LossReason::Exited) {
            tracing::info!(%message);
        } else {
            tracing::warn!(%message);
        }
        self.engine.executor_lost(
            executor,
            ExecutorLoss {
                message: message.into(),
                caused_by_app: reason.is_failure(),
                map_output: MapOutputFate::Lost,
            },
        );
    }

    // ---- fine-grained mode ---------------------------------------------------------------------

    /// Lays waiting tasks on the slots there are.
    async fn lay_tasks(&mut self) {
        let offers = self.slots.take_offers(self.task_cpus);
        if offers.is_empty() {
            return;
        }
        let answer = self.engine.offer_cores(offers).await;
        self.slots.used(&answer.launches);
        self.waiting.pending = answer.demand.pending_tasks > 0;
        if !answer.launches.is_empty() {
            let launch = |launch: spark_exec::TaskLaunch| TaskLaunch {
                task_id: launch.task.to_string(),
                executor_id: launch.executor,
                name: launch.name,
                data: launch.data,
            };
            let launches: Vec<TaskLaunch> = answer.launches.into_iter().map(launch).collect();
            let ids = launches.iter().map(|l| (l.task_id.clone(), l.executor_id.clone()));
            self.tasks.extend(ids);
            self.decide(Event::LaunchTasks(launches));
        }
        self.decide(Event::WaitingTasks(answer.demand.pending_tasks as u64));
        self.look();
    }

    /// What the executor says of a task's end it tells the engine itself; what it cannot say is told here.
    fn task_ended(&mut self, task_id: &str, end: TaskEnd) {
        self.tasks.remove(task_id);
        let Ok(task) = task_id.parse::<u64>() else { return };
        match end {
            TaskEnd::Finished => {}
            TaskEnd::Failed(message) => {
                let engine = self.engine.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(END_PATIENCE).await;
                    engine.task_ended(task, failed(message, FailureKind::NotCounted));
                });
            }
            TaskEnd::Killed => {
                let reason = "killed by Mesos".into();
                self.engine.task_ended(task, TaskOutcome::Killed { reason });
            }
            TaskEnd::Lost(reason) => {
                let kind = if reason.is_failure() {
                    FailureKind::Counted
                } else {
                    FailureKind::NotCounted
                };
                let message = format!("its Mesos task was lost: {reason}");
                self.engine.task_ended(task, failed(message, kind));
            }
        }
        self.look();
    }

    /// Tells the core which executors must not be ended for want of tasks.
    async fn check_outputs(&mut self) {
        let needed = self.engine.needed_executors().await;
        for id in self.needed.symmetric_difference(&needed).cloned().collect::<Vec<_>>() {
            let needed = needed.contains(&id);
            self.decide(Event::MapOutputNeeded { executor_id: id, needed });
        }
        self.needed = needed;
    }
}

fn failed(message: String, kind: FailureKind) -> TaskOutcome {
    TaskOutcome::Failed(TaskFailure { message: message.into(), payload: [].into(), kind })
}

/// Where a master is reached.
fn address_of(master: &MasterInfo) -> Option<String> {
    let address = master.address.as_ref()?;
    let host = address.ip.as_ref().or(address.hostname.as_ref())?;
    Some(format!("{host}:{}", address.port))
}

/// What the master's `/slaves` says.
async fn cluster_view(
    master: &str,
    credential: Option<&Credential>,
) -> anyhow::Result<ClusterView> {
    let client = reqwest::Client::builder().timeout(CLUSTER_TIMEOUT).build()?;
    let mut request = client.get(format!("http://{master}/slaves"));
    if let Some(Credential { principal, secret }) = credential {
        request = request.basic_auth(principal, Some(secret));
    }
    let body = request.send().await?.error_for_status()?.text().await?;
    Ok(ClusterView::from_slaves_json(&body)?)
}

pub(super) async fn tear_down(handle: &SchedulerHandle) {
    if let Err(error) = handle.teardown().await {
        tracing::warn!(%error, "the framework could not be torn down; the master ends it by its failover timeout");
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
