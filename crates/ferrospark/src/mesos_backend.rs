//! Executors from Mesos: joins the scheduler client, the decisions of `spark-mesos` and the engine.
//!
//! [`MesosBackend::register`] subscribes the framework, whose id is the application's; offers wait until
//! the engine starts the backend. From then on one task, [`work`], owns the decision core and performs
//! its actions.

mod checks;
mod slots;
mod waiting;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use mesos_client::{
    Credential, MasterLocation, SchedulerClient, SchedulerEvent, SchedulerHandle, SchedulerOptions,
};
use parking_lot::Mutex;
use serde_json::Value;
use spark_conf::{SparkConf, table, variable_note};
use spark_exec::{Engine, SchedulerBackend};
use spark_mesos::{ClusterView, Settings};
use spark_scheduler::Demand;
use tokio::sync::{mpsc, oneshot};

pub(crate) use checks::{NotRegistered, with_credential_files};
use checks::{check_advertised, with_hint};
use work::{Work, tear_down};

/// What a backend needs beyond the configuration.
#[derive(Debug, Clone)]
pub(crate) struct MesosBackendOptions {
    /// Where the leading master is to be found.
    pub(crate) master: MasterLocation,
    /// `spark.driver.host`: where executors will dial.
    pub(crate) advertised_host: String,
    /// This program's home on the driver's machine.
    pub(crate) spark_home: Option<String>,
    /// Who runs the application.
    pub(crate) user: String,
    /// Where the driver serves its state.
    pub(crate) pages: Option<String>,
}

/// The Mesos backend of both modes.
pub(crate) struct MesosBackend {
    application_id: String,
    /// Taken when the engine starts.
    registered: Mutex<Option<Registered>>,
    commands: mpsc::UnboundedSender<Command>,
}

/// A subscribed framework that has not begun to use offers.
struct Registered {
    settings: Settings,
    /// How it was subscribed.
    subscription: SchedulerOptions,
    user: String,
    report_delay: Duration,
    handle: SchedulerHandle,
    events: mpsc::Receiver<SchedulerEvent>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// For tasks that end on behalf of the loop.
    sender: mpsc::WeakUnboundedSender<Command>,
}

/// What the loop is asked for.
enum Command {
    Demand(Demand),
    /// Tell when tasks may start.
    Ready(oneshot::Sender<()>),
    KillExecutor(String),
    /// At most so many executors are wanted from now on.
    ExecutorLimit(u64),
    KillTask(u64),
    /// What the master says about its agents, or why it cannot be had.
    Cluster(anyhow::Result<ClusterView>),
    State(oneshot::Sender<BackendState>),
    Stop(oneshot::Sender<()>),
}

/// The application on the cluster, for its pages.
#[derive(Debug, Clone, Default)]
pub(crate) struct BackendState {
    /// Why it waits, if it does.
    pub(crate) waiting: Option<Value>,
    /// Links to the sandboxes of executors, by their ids.
    pub(crate) sandboxes: BTreeMap<String, String>,
    /// Numbers with their names.
    pub(crate) metrics: Vec<(String, f64)>,
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
        for warning in settings.warnings() {
            crate::exit::note(&format!("warning: {warning}"));
        }
        note_native_library();
        let hostname = conf.get(&table::PUBLIC_HOST)?.unwrap_or(options.advertised_host);
        let framework = settings.framework_info(&options.user, Some(hostname), options.pages);
        let mut subscription = SchedulerOptions::new(options.master.clone(), framework);
        let credential = settings
            .principal
            .clone()
            .zip(settings.secret.clone())
            .map(|(principal, secret)| Credential { principal, secret });
        subscription.credential = credential;
        let report_delay = conf.get(&table::WAITING_REPORT_DELAY)?;
        let connecting = SchedulerClient::connect(subscription.clone());
        let (handle, events) =
            patiently(connecting, report_delay, &options.master).await.map_err(with_hint)?;
        let application_id =
            handle.framework_id().context("the master gave no framework id")?.value;
        let (commands, receiver) = mpsc::unbounded_channel();
        let registered = Registered {
            settings,
            subscription,
            user: options.user,
            report_delay,
            handle,
            events,
            commands: receiver,
            sender: commands.downgrade(),
        };
        Ok(Arc::new(Self { application_id, registered: Mutex::new(Some(registered)), commands }))
    }

    /// The framework's id, which is the application's.
    pub(crate) fn application_id(&self) -> &str {
        &self.application_id
    }

    /// How the application stands on the cluster.
    pub(crate) async fn state(&self) -> BackendState {
        let (answer, state) = oneshot::channel();
        self.send(Command::State(answer));
        // Fails when the framework has ended.
        state.await.unwrap_or_default()
    }

    /// Waits until `spark.scheduler.minRegisteredResourcesRatio` is reached, or the wait for it is over.
    pub(crate) async fn ready(&self) {
        let (ready, is_ready) = oneshot::channel();
        self.send(Command::Ready(ready));
        // Fails when the framework has ended.
        let _ = is_ready.await;
    }

    fn send(&self, command: Command) {
        // Fails only when the framework has ended; the engine hears of that apart.
        let _ = self.commands.send(command);
    }
}

/// Says that the library of `MESOS_NATIVE_JAVA_LIBRARY`, if it is set, is not looked at.
fn note_native_library() {
    let names = ["MESOS_NATIVE_JAVA_LIBRARY", "MESOS_NATIVE_LIBRARY"];
    let set = names.into_iter().find(|name| std::env::var_os(name).is_some());
    if let Some((name, note)) = set.and_then(|name| Some((name, variable_note(name)?))) {
        crate::exit::note(&format!("note: {name} is set: {note}"));
    }
}

/// Says what is waited for if the master takes its time: nobody may lead yet.
async fn patiently<T>(
    connecting: impl Future<Output = T>,
    delay: Duration,
    master: &MasterLocation,
) -> T {
    tokio::pin!(connecting);
    tokio::select! {
        connected = &mut connecting => connected,
        () = tokio::time::sleep(delay) => {
            crate::exit::note(&format!("waiting for Mesos: the master at {master} has not answered yet"));
            connecting.await
        }
    }
}

#[async_trait]
impl SchedulerBackend for MesosBackend {
    async fn start(&self, engine: &Engine) -> Result<()> {
        let registered = self.registered.lock().take().ok_or_else(|| {
            DataFusionError::Execution("the Mesos backend was started before".to_owned())
        })?;
        let work = tokio::spawn(Work::new(registered, engine.clone()).run());
        let engine = engine.clone();
        tokio::spawn(async move {
            // Nobody would bring executors any more, and queries would wait for ever.
            if let Err(error) = work.await {
                crate::exit::note(&format!("error: the application broke off: {error}"));
                engine.stop().await;
            }
        });
        Ok(())
    }

    fn demand_changed(&self, demand: Demand) {
        self.send(Command::Demand(demand));
    }

    fn tells_losses(&self) -> bool {
        true
    }

    fn request_executors(&self, total: u32) {
        self.send(Command::ExecutorLimit(u64::from(total)));
    }

    fn kill_executor(&self, executor: &str) {
        self.send(Command::KillExecutor(executor.to_owned()));
    }

    fn kill_task(&self, _executor: &str, task: u64, _reason: &str) {
        self.send(Command::KillTask(task));
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
