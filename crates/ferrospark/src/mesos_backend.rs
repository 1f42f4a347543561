//! Executors from Mesos: joins the scheduler client, the decisions of `spark-mesos` and the engine.
//!
//! [`MesosBackend::register`] subscribes the framework, whose id is the application's; offers wait until
//! the engine starts the backend. From then on one task owns the decision core and performs its actions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use mesos_api::offer::Operation;
use mesos_client::subscription::Problem;
use mesos_client::{
    ClientError, Credential, MasterAddress, SchedulerClient, SchedulerEvent, SchedulerHandle,
    SchedulerOptions,
};
use parking_lot::Mutex;
use spark_conf::{Origin, SparkConf, table};
use spark_exec::{Engine, SchedulerBackend};
use spark_mesos::{Action, CoarseScheduler, Event, LaunchContext, LossReason, Mode, Settings};
use spark_scheduler::{Demand, ExecutorLoss, MapOutputFate};
use tokio::sync::{mpsc, oneshot, watch};

/// An executor whose connection broke is killed if Mesos has not told its end within this time.
const VANISHED_PATIENCE: Duration = Duration::from_secs(10);
/// A stopping driver waits for its executors at most this long, whatever
/// `spark.mesos.coarse.shutdownTimeout` allows: they have nothing left to do but to clean up, and
/// Ctrl-C promises an end within two seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// How often an application that still waits says so again, as Spark does.
const REPORT_INTERVAL: Duration = Duration::from_secs(15);

/// What a backend needs beyond the configuration.
#[derive(Debug, Clone)]
pub(crate) struct MesosBackendOptions {
    /// The master.
    pub(crate) master: MasterAddress,
    /// `spark.driver.host`: where executors will dial.
    pub(crate) advertised_host: String,
    /// This program's home on the driver's machine.
    pub(crate) spark_home: Option<String>,
    /// Who runs the application.
    pub(crate) user: String,
}

/// The coarse-grained Mesos backend.
pub(crate) struct MesosBackend {
    application_id: String,
    /// Taken when the engine starts.
    registered: Mutex<Option<Registered>>,
    commands: mpsc::UnboundedSender<Command>,
}

/// A subscribed framework that has not begun to use offers.
struct Registered {
    settings: Settings,
    user: String,
    report_delay: Duration,
    handle: SchedulerHandle,
    events: mpsc::Receiver<SchedulerEvent>,
    commands: mpsc::UnboundedReceiver<Command>,
}

enum Command {
    Demand(Demand),
    Limit(u32),
    Kill(String),
    Stop(oneshot::Sender<()>),
}

impl MesosBackend {
    /// Subscribes the framework.
    ///
    /// # Errors
    /// On a malformed setting, an address executors cannot reach, or when the master cannot be reached
    /// or refuses the framework.
    pub(crate) async fn register(
        conf: &SparkConf,
        options: MesosBackendOptions,
    ) -> anyhow::Result<Arc<Self>> {
        check_advertised(&options.master, &options.advertised_host)?;
        let conf = with_credential_files(conf)?;
        let settings = Settings::from_conf(&conf, options.spark_home.as_deref())?;
        if settings.mode == Mode::Fine {
            anyhow::bail!(
                "spark.mesos.coarse=false: fine-grained mode is not served yet; leave it true"
            );
        }
        for warning in settings.warnings() {
            crate::exit::note(&format!("warning: {warning}"));
        }
        let hostname = conf.get(&table::PUBLIC_HOST)?.unwrap_or(options.advertised_host);
        let framework = settings.framework_info(&options.user, Some(hostname), None);
        let mut client = SchedulerOptions::new(options.master, framework);
        client.credential = settings
            .principal
            .clone()
            .zip(settings.secret.clone())
            .map(|(principal, secret)| Credential { principal, secret });
        let (handle, events) = SchedulerClient::connect(client).await.map_err(with_hint)?;
        let application_id =
            handle.framework_id().context("the master gave no framework id")?.value;
        let (commands, receiver) = mpsc::unbounded_channel();
        let registered = Registered {
            settings,
            user: options.user,
            report_delay: conf.get(&table::WAITING_REPORT_DELAY)?,
            handle,
            events,
            commands: receiver,
        };
        Ok(Arc::new(Self { application_id, registered: Mutex::new(Some(registered)), commands }))
    }

    /// The framework's id, which is the application's.
    pub(crate) fn application_id(&self) -> &str {
        &self.application_id
    }
}

#[async_trait]
impl SchedulerBackend for MesosBackend {
    async fn start(&self, engine: &Engine) -> Result<()> {
        let registered = self.registered.lock().take().ok_or_else(|| {
            DataFusionError::Execution("the Mesos backend was started before".to_owned())
        })?;
        tokio::spawn(Work::new(registered, engine.clone()).run());
        Ok(())
    }

    fn demand_changed(&self, demand: Demand) {
        self.send(Command::Demand(demand));
    }

    fn tells_losses(&self) -> bool {
        true
    }

    fn request_executors(&self, total: u32) {
        self.send(Command::Limit(total));
    }

    fn kill_executor(&self, executor: &str) {
        self.send(Command::Kill(executor.to_owned()));
    }

    async fn stop(&self) {
        let registered = self.registered.lock().take();
        if let Some(registered) = registered {
            tear_down(&registered.handle).await;
            return;
        }
        let (done, stopped) = oneshot::channel();
        self.send(Command::Stop(done));
        // Fails when the framework has ended by itself.
        let _ = stopped.await;
    }
}

impl MesosBackend {
    fn send(&self, command: Command) {
        // Fails only when the framework has ended; the engine hears of that apart.
        let _ = self.commands.send(command);
    }
}

/// The task that owns the decision core.
struct Work {
    core: CoarseScheduler,
    engine: Engine,
    handle: SchedulerHandle,
    events: mpsc::Receiver<SchedulerEvent>,
    commands: mpsc::UnboundedReceiver<Command>,
    executors: watch::Receiver<BTreeSet<String>>,
    /// Executors the engine had at our last look.
    present: BTreeSet<String>,
    /// Executors whose connection broke, and when they are killed.
    vanished: BTreeMap<String, Instant>,
    waiting: Waiting,
    shutdown_timeout: Duration,
    /// Set once the application stops: until when executors are waited for, and whom to tell.
    stopping: Option<(Instant, oneshot::Sender<()>)>,
}

impl Work {
    fn new(registered: Registered, engine: Engine) -> Self {
        let Registered { settings, user, report_delay, handle, events, commands } = registered;
        let context = LaunchContext {
            driver_url: engine.driver_url(),
            secret: engine.secret().to_owned(),
            user,
        };
        let shutdown_timeout = settings.shutdown_timeout.min(STOP_PATIENCE);
        Self {
            core: CoarseScheduler::new(settings, context),
            executors: engine.watch_executors(),
            engine,
            handle,
            events,
            commands,
            present: BTreeSet::new(),
            vanished: BTreeMap::new(),
            waiting: Waiting { delay: report_delay, pending: false, next: None },
            shutdown_timeout,
            stopping: None,
        }
    }

    async fn run(mut self) {
        while !self.is_over() {
            let wakeup = self.next_wakeup();
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(SchedulerEvent::Error(message)) => return self.end(&message),
                    Some(event) => self.take(event),
                    None => return self.end("the subscription has ended"),
                },
                Some(command) = self.commands.recv() => self.obey(command),
                Ok(()) = self.executors.changed() => self.look_at_executors(),
                () = sleep_until(wakeup) => self.wake(),
            }
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

    /// The master will not have us any more: the application cannot go on.
    fn end(self, message: &str) {
        if self.stopping.is_none() {
            crate::exit::note(&format!("error: the Mesos master ended the application: {message}"));
            let engine = self.engine.clone();
            // Not awaited here: it waits for this backend.
            tokio::spawn(async move { engine.stop().await });
        }
    }

    fn take(&mut self, event: SchedulerEvent) {
        match event {
            SchedulerEvent::Subscribed { framework_id, again, .. } => {
                self.decide(Event::Registered { framework_id: framework_id.value, again });
            }
            SchedulerEvent::Disconnected { reason } => {
                tracing::warn!(%reason, "disconnected from the Mesos master; reconnecting");
            }
            SchedulerEvent::Offers(offers) => self.decide(Event::Offers(offers)),
            SchedulerEvent::Rescind(offer) => self.decide(Event::Rescind(offer)),
            SchedulerEvent::Update(status) => {
                tracing::info!(
                    executor = %status.task_id,
                    state = %status.state(),
                    message = status.message(),
                    "executor update"
                );
                self.decide(Event::Status(status.clone()));
                self.handle.acknowledge(&status);
            }
            SchedulerEvent::Failure { agent_id: Some(agent_id), executor_id: None, .. } => {
                self.decide(Event::AgentFailure(agent_id));
            }
            // Executors are command tasks: their end comes as an update. We make no operations, and
            // ERROR is handled by the loop.
            SchedulerEvent::Failure { .. }
            | SchedulerEvent::InverseOffers(_)
            | SchedulerEvent::RescindInverseOffer(_)
            | SchedulerEvent::OperationUpdate(_)
            | SchedulerEvent::Message { .. }
            | SchedulerEvent::Error(_) => {}
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Demand(demand) => {
                self.waiting.pending = demand.pending_tasks > 0;
                self.decide(Event::WaitingTasks(demand.pending_tasks as u64));
                self.waiting.look(self.present.is_empty(), Instant::now());
            }
            Command::Limit(total) => self.decide(Event::ExecutorLimit(Some(u64::from(total)))),
            Command::Kill(executor) => self.decide(Event::KillExecutor(executor)),
            Command::Stop(done) => {
                self.decide(Event::Stop);
                self.stopping = Some((Instant::now() + self.shutdown_timeout, done));
            }
        }
    }

    /// Tells the core who came, and notes who went without a word from Mesos.
    fn look_at_executors(&mut self) {
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
        self.waiting.look(self.present.is_empty(), now);
    }

    fn wake(&mut self) {
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
        if self.waiting.is_due(now)
            && let Some(report) = self.core.waiting_report(now)
        {
            crate::exit::note(&report.to_string());
        }
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let stop = self.stopping.as_ref().map(|(until, _)| *until);
        let vanished = self.vanished.values().min().copied();
        [self.core.next_wakeup(), self.waiting.next, vanished, stop].into_iter().flatten().min()
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
            Action::Suppress => self.handle.suppress(Vec::new()),
            Action::Revive => self.handle.revive(Vec::new()),
            Action::Reconcile(tasks) => self.handle.reconcile(tasks),
            Action::Shutdown { executor_id, agent_id } => {
                self.handle.shutdown(executor_id, agent_id);
            }
            // Of fine-grained mode.
            Action::Slots { .. } | Action::TaskEnded { .. } => {}
            Action::ExecutorLost { executor_id, host, reason } => {
                self.vanished.remove(&executor_id);
                if self.stopping.is_none() {
                    self.lost(&executor_id, &host, &reason);
                }
            }
        }
    }

    fn lost(&self, executor: &str, host: &str, reason: &LossReason) {
        let message = format!("Executor {executor} on {host} is lost: {reason}");
        tracing::warn!(%message);
        self.engine.executor_lost(
            executor,
            ExecutorLoss {
                message: message.into(),
                caused_by_app: reason.is_failure(),
                map_output: MapOutputFate::Lost,
            },
        );
    }
}

/// When to say what an application without executors waits for.
struct Waiting {
    delay: Duration,
    /// Tasks wait for slots.
    pending: bool,
    next: Option<Instant>,
}

impl Waiting {
    fn look(&mut self, no_executors: bool, now: Instant) {
        if !(self.pending && no_executors) {
            self.next = None;
        } else if self.next.is_none() {
            self.next = Some(now + self.delay);
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|at| at <= now);
        if due {
            self.next = Some(now + REPORT_INTERVAL);
        }
        due
    }
}

async fn tear_down(handle: &SchedulerHandle) {
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

/// Names the properties to look at when the master does not accept who we say we are.
fn with_hint(error: ClientError) -> anyhow::Error {
    if let ClientError::Subscription(Problem::Refused { status: 401, .. }) = error {
        return anyhow::anyhow!("{error}; check spark.mesos.principal and spark.mesos.secret");
    }
    error.into()
}

/// Executors elsewhere could not dial a loopback or wildcard address.
fn check_advertised(master: &MasterAddress, advertised: &str) -> anyhow::Result<()> {
    let property = table::DRIVER_HOST.name();
    if advertised.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
        anyhow::bail!(
            "{property}: {advertised} is no address executors can dial; set it to an address of this machine"
        );
    }
    if is_loopback(advertised) && !is_loopback(&master.host) {
        anyhow::bail!(
            "{property}: executors of the master at {master} cannot dial {advertised}; set it to an address of this machine that they can reach"
        );
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Puts the contents of `….principal.file` and `….secret.file`, taken verbatim, in place of properties
/// that are not set.
/// Puts principal and secret in from their files.
pub(crate) fn with_credential_files(conf: &SparkConf) -> anyhow::Result<SparkConf> {
    let mut conf = conf.clone();
    let pairs = [
        (table::MESOS_PRINCIPAL.name(), &table::MESOS_PRINCIPAL_FILE),
        (table::MESOS_SECRET.name(), &table::MESOS_SECRET_FILE),
    ];
    for (name, file) in pairs {
        if let (None, Some(path)) = (conf.explicit(name), conf.get(file)?) {
            let content = std::fs::read_to_string(&path)
                .with_context(|| format!("{}: cannot read {path}", file.name()))?;
            conf.set(Origin::Computed, name, &content);
        }
    }
    Ok(conf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_is_for_a_local_master_only() {
        let master = |host: &str| MasterAddress::new(host, 5050);
        assert!(check_advertised(&master("127.0.0.1"), "127.0.0.1").is_ok());
        assert!(check_advertised(&master("localhost"), "127.0.0.1").is_ok());
        assert!(check_advertised(&master("10.0.0.1"), "10.0.0.2").is_ok());
        for advertised in ["127.0.0.1", "localhost", "::1", "0.0.0.0"] {
            let error = check_advertised(&master("10.0.0.1"), advertised).unwrap_err().to_string();
            assert!(error.contains("spark.driver.host") && error.contains(advertised), "{error}");
        }
    }

    #[test]
    fn credentials_come_from_files_unless_set() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "from file").unwrap();
        let mut conf = SparkConf::new();
        conf.set(Origin::Program, "spark.mesos.secret.file", &file.display().to_string());
        conf.freeze();
        let read = with_credential_files(&conf).unwrap();
        assert_eq!(read.text("spark.mesos.secret").as_deref(), Some("from file"));
        let mut conf = SparkConf::new();
        conf.set(Origin::Program, "spark.mesos.secret", "set");
        conf.set(Origin::Program, "spark.mesos.secret.file", &file.display().to_string());
        let read = with_credential_files(&conf).unwrap();
        assert_eq!(read.text("spark.mesos.secret").as_deref(), Some("set"));
    }

    #[test]
    fn waiting_is_told_after_a_delay_and_again() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut waiting = Waiting { delay: Duration::from_secs(5), pending: true, next: None };
        waiting.look(true, start);
        assert!(!waiting.is_due(at(4)));
        assert!(waiting.is_due(at(5)));
        assert!(!waiting.is_due(at(19)));
        assert!(waiting.is_due(at(20)));
        waiting.look(false, at(21));
        assert!(!waiting.is_due(at(60)));
    }
}
