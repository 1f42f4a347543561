//! The driver side: one loop owns the scheduler and the executors' streams; a query is a task that
//! resolves its subqueries, cuts its plan, submits the stages and hands out the result in order.

mod adaptive;
mod broadcasts;
mod companions;
mod damage;
mod executors;
mod kept;
mod leaving;
mod looping;
mod offered;
mod query;
mod ranges;
mod results;
mod runtime_filters;
mod skew;
mod spillable;
mod subqueries;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use spark_scheduler::{
    AllocationOptions, ExecutorLoss, JobSpec, PendingReason, SchedulerOptions, TaskOutcome,
};
use spark_shuffle::{BlockClient, BlockFetcher, Secret};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use companions::EventLogOptions;
pub use spark_scheduler::StageProgress;

use crate::backend::{OfferAnswer, OfferedCores, SchedulerBackend};
use crate::endpoint;
use crate::protocol::{FromExecutor, Register, StagePlan, ToExecutor, from_executor};
use crate::runner::{InProcessRunner, PlanRunner, RunOptions, RunningQuery};
use crate::settings::ShuffleSettings;
use crate::stages;
use adaptive::MapStageOutput;
use results::{ResultData, ResultFetcher};

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The application's id.
    pub app_id: String,
    /// The application's secret: executors must know it.
    pub secret: String,
    /// `spark.driver.bindAddress`: where the endpoint listens.
    pub bind_host: String,
    /// `spark.driver.host`: the name executors dial.
    pub advertised_host: String,
    /// `spark.driver.port`; 0 is any free one.
    pub port: u16,
    /// `spark.port.maxRetries`: ports tried after `port`, one by one, if that is taken.
    pub port_retries: u64,
    /// Properties that executors are told.
    pub conf: BTreeMap<String, String>,
    /// The scheduler's settings.
    pub scheduler: SchedulerOptions,
    /// Directories for results that wait for their turn.
    pub local_dirs: Vec<PathBuf>,
    /// How long an executor may be silent (`spark.network.timeout`).
    pub executor_timeout: Duration,
    /// `spark.executor.cores`, as long as no executor is there to see.
    pub executor_cores: u32,
    /// `spark.dynamicAllocation.enabled` and what belongs to it; whether there is a shuffle service
    /// is taken from the next field.
    pub allocation: Option<AllocationOptions>,
    /// `spark.shuffle.service.port`, if `spark.shuffle.service.enabled`; [`Self::conf`] must tell
    /// executors the same.
    pub shuffle_service_port: Option<u16>,
    /// `spark.eventLog.enabled` and what belongs to it.
    pub event_log: Option<EventLogOptions>,
    /// The bytes of all results of a query (`spark.driver.maxResultSize`); `None` has no limit:
    /// results wait on disk and stream to the client.
    pub max_result_bytes: Option<u64>,
}

impl EngineOptions {
    /// Loopback, defaults, a free port.
    pub fn new(app_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            app_id: app_id.into(),
            secret: secret.into(),
            bind_host: "127.0.0.1".to_owned(),
            advertised_host: "127.0.0.1".to_owned(),
            port: 0,
            port_retries: 0,
            conf: BTreeMap::new(),
            scheduler: SchedulerOptions::default(),
            local_dirs: vec![std::env::temp_dir()],
            executor_timeout: Duration::from_secs(120),
            executor_cores: 1,
            allocation: None,
            shuffle_service_port: None,
            event_log: None,
            max_result_bytes: None,
        }
    }
}

/// The engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    handle: EngineHandle,
    options: EngineOptions,
    address: SocketAddr,
    ids: Arc<AtomicU64>,
    executors: watch::Receiver<BTreeSet<String>>,
    statistics: Arc<Mutex<BTreeMap<String, ExecutorStatistics>>>,
    backend: Arc<Mutex<Option<Arc<dyn SchedulerBackend>>>>,
    slots: Arc<AtomicUsize>,
    task_memory: Arc<AtomicU64>,
    shutdown: CancellationToken,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("app_id", &self.inner.options.app_id)
            .field("address", &self.inner.address)
            .finish_non_exhaustive()
    }
}

/// What one executor did so far, lost ones included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutorStatistics {
    /// The machine.
    pub host: String,
    /// Task attempts that succeeded.
    pub tasks: u64,
    /// Task attempts that did not.
    pub failed_tasks: u64,
    /// Time spent in tasks.
    pub run_time: Duration,
    /// Shuffle bytes written.
    pub bytes_written: u64,
    /// Shuffle bytes read from the executor's own store.
    pub bytes_read_local: u64,
    /// Shuffle bytes read from another executor.
    pub bytes_read_remote: u64,
}

impl Engine {
    /// Starts the endpoint and the loop. Executors come from a backend: see [`Self::start_backend`].
    ///
    /// # Errors
    /// If the endpoint cannot listen.
    pub async fn start(options: EngineOptions) -> Result<Self> {
        let (sender, commands) = mpsc::unbounded_channel();
        let handle = EngineHandle { commands: sender, connections: Arc::default() };
        let shutdown = CancellationToken::new();
        let address = endpoint::listen(
            &options.bind_host,
            options.port,
            options.port_retries,
            endpoint::Endpoint {
                engine: handle.clone(),
                application: options.app_id.clone(),
                secret: options.secret.clone(),
                conf: options.conf.clone().into_iter().collect(),
            },
            shutdown.clone(),
        )
        .await?;
        let (executors_sender, executors) = watch::channel(BTreeSet::new());
        let statistics = Arc::new(Mutex::default());
        let backend = Arc::new(Mutex::new(None));
        let slots = Arc::new(AtomicUsize::new(0));
        let task_memory = Arc::new(AtomicU64::new(0));
        let shuffle = ShuffleSettings::of(options.conf.iter());
        let secret = Secret::new(options.secret.clone());
        let client = BlockClient::new(shuffle.client(&options.app_id, secret));
        let engine_loop = looping::EngineLoop::new(looping::Surroundings {
            options: options.clone(),
            handle: handle.clone(),
            fetcher: ResultFetcher::new(&BlockFetcher::new(client, shuffle.fetch.clone())),
            executors: executors_sender,
            statistics: Arc::clone(&statistics),
            backend: Arc::clone(&backend),
            slots: Arc::clone(&slots),
            task_memory: Arc::clone(&task_memory),
        });
        tokio::spawn(engine_loop.run(commands, shutdown.clone()));
        Ok(Self {
            inner: Arc::new(Inner {
                handle,
                options,
                address,
                ids: Arc::new(AtomicU64::new(0)),
                executors,
                statistics,
                backend,
                slots,
                task_memory,
                shutdown,
            }),
        })
    }

    /// Starts the source of executors.
    ///
    /// # Errors
    /// What the backend reports.
    pub async fn start_backend(&self, backend: Arc<dyn SchedulerBackend>) -> Result<()> {
        backend.start(self).await?;
        *self.inner.backend.lock() = Some(backend);
        self.inner.handle.send(Command::BackendStarted);
        Ok(())
    }

    /// The application's id.
    pub fn app_id(&self) -> &str {
        &self.inner.options.app_id
    }

    /// The application's properties, as executors get them.
    pub(crate) fn properties(&self) -> HashMap<String, String> {
        self.inner.options.conf.clone().into_iter().collect()
    }

    /// The application's secret, for the executors' environment.
    pub fn secret(&self) -> &str {
        &self.inner.options.secret
    }

    /// What executors are told to dial: `spark://HOST:PORT`.
    pub fn driver_url(&self) -> String {
        format!("spark://{}:{}", self.inner.options.advertised_host, self.inner.address.port())
    }

    /// Takes the stream of an executor; its first message must be its registration.
    pub(crate) fn attach(
        &self,
        to_executor: mpsc::UnboundedSender<ToExecutor>,
        from_executor: mpsc::Receiver<FromExecutor>,
    ) {
        self.inner.handle.attach(to_executor, from_executor);
    }

    /// Tells why an executor is gone, when the cluster manager knows. The first word counts: a
    /// broken stream may have been noticed before.
    pub fn executor_lost(&self, executor: &str, loss: ExecutorLoss) {
        self.inner.handle.send(Command::ExecutorLost { executor: executor.to_owned(), loss });
    }

    /// Offers cores for this moment, to an engine whose scheduler has
    /// [`SchedulerOptions::cores_by_offer`]: answers the task attempts to launch on them. What is
    /// not used is withdrawn.
    pub async fn offer_cores(&self, offers: Vec<OfferedCores>) -> OfferAnswer {
        let (answer, launches) = oneshot::channel();
        self.inner.handle.send(Command::Offer { offers, answer });
        // Fails only when the engine has stopped.
        launches.await.unwrap_or_default()
    }

    /// Tells that a task attempt ended without a word of its executor. An attempt whose end is known
    /// is passed over.
    pub fn task_ended(&self, task: u64, outcome: TaskOutcome) {
        self.inner.handle.send(Command::TaskEnded { task, outcome });
    }

    /// The executors whose end would cost something: they run tasks, or hold map output or results
    /// that are still needed.
    pub async fn needed_executors(&self) -> BTreeSet<String> {
        let (answer, needed) = oneshot::channel();
        self.inner.handle.send(Command::NeededExecutors(answer));
        needed.await.unwrap_or_default()
    }

    /// The cores of all executors, at least one.
    pub(crate) fn slots(&self) -> usize {
        self.inner.slots.load(std::sync::atomic::Ordering::Relaxed).max(1)
    }

    /// The memory one task of the least executor may take; `None` has no limit.
    pub(crate) fn task_memory(&self) -> Option<u64> {
        let bytes = self.inner.task_memory.load(std::sync::atomic::Ordering::Relaxed);
        (bytes > 0).then_some(bytes)
    }

    /// The executors registered now.
    pub fn executors(&self) -> BTreeSet<String> {
        self.inner.executors.borrow().clone()
    }

    /// The executors registered, now and whenever they change; a backend learns by it who came up.
    pub fn watch_executors(&self) -> watch::Receiver<BTreeSet<String>> {
        self.inner.executors.clone()
    }

    /// Waits until so many executors are registered; `false` if the time is over first.
    pub async fn wait_for_executors(&self, count: usize, timeout: Duration) -> bool {
        let mut executors = self.inner.executors.clone();
        let enough = executors.wait_for(|executors| executors.len() >= count);
        matches!(tokio::time::timeout(timeout, enough).await, Ok(Ok(_)))
    }

    pub(crate) async fn wait_for_executor(&self, executor: &str) {
        let mut executors = self.inner.executors.clone();
        // The loop only ends with the engine.
        let _ = executors.wait_for(|executors| executors.contains(executor)).await;
    }

    /// The stages that run now, for a progress line.
    pub async fn progress(&self) -> Vec<StageProgress> {
        let (answer, progress) = oneshot::channel();
        self.inner.handle.send(Command::Progress(answer));
        progress.await.unwrap_or_default()
    }

    /// Why waiting tasks wait; `None` if none does.
    pub async fn pending_reason(&self) -> Option<PendingReason> {
        let (answer, reason) = oneshot::channel();
        self.inner.handle.send(Command::PendingReason(answer));
        reason.await.unwrap_or_default()
    }

    /// What each executor did so far.
    pub fn statistics(&self) -> BTreeMap<String, ExecutorStatistics> {
        self.inner.statistics.lock().clone()
    }

    /// Stops every query of a job group (`cancelJobGroup`).
    pub fn cancel_job_group(&self, group: &str) {
        self.inner.handle.send(Command::CancelGroup(group.into()));
    }

    /// Stops every query with a tag (`cancelJobsWithTag`).
    pub fn cancel_jobs_with_tag(&self, tag: &str) {
        self.inner.handle.send(Command::CancelTag(tag.into()));
    }

    /// Ends all queries, the executors and the backend.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        self.inner.handle.send(Command::Stop(done));
        let _ = stopped.await;
        let backend = self.inner.backend.lock().take();
        if let Some(backend) = backend {
            backend.stop().await;
        }
        self.inner.shutdown.cancel();
    }
}

#[async_trait]
impl PlanRunner for Engine {
    async fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        session: &SessionState,
        options: RunOptions,
    ) -> Result<RunningQuery> {
        if stages::is_driver_only(&plan) {
            return InProcessRunner.run(plan, session, options).await;
        }
        Ok(query::start(self.clone(), plan, session, options))
    }
}

/// The way into the loop; cheap to clone.
#[derive(Clone)]
pub(crate) struct EngineHandle {
    commands: mpsc::UnboundedSender<Command>,
    /// Numbers connections, so that a late word of a lost one is recognised.
    connections: Arc<AtomicU64>,
}

impl EngineHandle {
    fn send(&self, command: Command) {
        // Fails only when the engine has stopped; then nobody waits for the effect.
        let _ = self.commands.send(command);
    }

    pub(crate) fn attach(
        &self,
        to_executor: mpsc::UnboundedSender<ToExecutor>,
        mut from_executor: mpsc::Receiver<FromExecutor>,
    ) {
        let connection = self.connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let handle = self.clone();
        tokio::spawn(async move {
            let first = from_executor.recv().await.and_then(|message| message.kind);
            let Some(from_executor::Kind::Register(register)) = first else {
                tracing::warn!("a connection ended before an executor registered");
                return;
            };
            handle.send(Command::Connected { connection, register, to_executor });
            while let Some(message) = from_executor.recv().await {
                if let Some(kind) = message.kind {
                    handle.send(Command::Message { connection, kind });
                }
            }
            handle.send(Command::Disconnected { connection });
        });
    }
}

/// What the loop is told.
pub(crate) enum Command {
    Connected {
        connection: u64,
        register: Register,
        to_executor: mpsc::UnboundedSender<ToExecutor>,
    },
    Message {
        connection: u64,
        kind: from_executor::Kind,
    },
    Disconnected {
        connection: u64,
    },
    /// Nobody told why this connection broke.
    Unexplained {
        connection: u64,
    },
    ExecutorLost {
        executor: String,
        loss: ExecutorLoss,
    },
    Offer {
        offers: Vec<OfferedCores>,
        answer: oneshot::Sender<OfferAnswer>,
    },
    TaskEnded {
        task: u64,
        outcome: TaskOutcome,
    },
    NeededExecutors(oneshot::Sender<BTreeSet<String>>),
    BackendStarted,
    Submit(Box<Submission>),
    Cancel {
        job: u64,
    },
    /// The output of this shuffle is kept rows.
    Kept(u64),
    ReleaseShuffle(u64),
    CancelGroup(Arc<str>),
    CancelTag(Arc<str>),
    /// A large result was fetched, or could not be.
    ResultFetched {
        task: u64,
        data: Result<ResultData>,
    },
    Progress(oneshot::Sender<Vec<StageProgress>>),
    PendingReason(oneshot::Sender<Option<PendingReason>>),
    Stop(oneshot::Sender<()>),
}

/// A job for the loop.
pub(crate) struct Submission {
    job: JobSpec,
    plans: Vec<StagePlan>,
    /// Stages whose task `i` reads map output `i` of a kept shuffle, and would like to run there.
    local_to: Vec<(spark_scheduler::StageId, u64)>,
    /// The shuffle the job ends with, unless it gives a result.
    final_shuffle: Option<u64>,
    events: mpsc::UnboundedSender<JobEvent>,
}

/// What a query hears of its job.
pub(crate) enum JobEvent {
    /// One partition of the result, once each, in any order.
    Result { partition: usize, data: ResultData },
    /// What the job's map stage wrote, before the last event.
    MapStage(MapStageOutput),
    /// The last event.
    Finished(Result<(), DataFusionError>),
}
