//! The executor: takes stage plans and task numbers, runs partitions, writes their output.
//!
//! The same code runs as a process of its own ([`run_executor`]) and inside the driver
//! ([`start_local`]); only the channel to the driver differs.

mod assigned;
pub(crate) mod kept;
mod memory;
mod operators;
mod service;
mod stage;
mod task;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::runtime_env::RuntimeEnv;
use parking_lot::Mutex;
use spark_shuffle::{
    BlockClient, BlockFetcher, BlockId, BlockLocation, BlockServer, BlockServerOptions, Secret,
    ServiceError, ShuffleServiceClient, ShuffleStore, SingleApplication, StoreOptions,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;

use crate::failure::store_error;
use crate::input::Places;
use crate::protocol::service::executor_endpoint_client::ExecutorEndpointClient;
use crate::protocol::{
    CheckBlocks, Checked, Copied, CopyBlock, FromExecutor, Heartbeat, MESSAGE_BYTES_LIMIT,
    OutputName, PropertiesRequest, Register, SECRET_KEY, Task, TaskFinished, ToExecutor,
    from_executor, task_finished, to_executor,
};
use crate::settings::ShuffleSettings;
use assigned::{Assigned, end_state};
pub use assigned::{Assignment, Assignments, TaskEnd, TaskEndState, assigned_task};
use kept::KeptBatches;
pub(crate) use memory::pool_bytes;
use stage::StageEntry;
pub(crate) use task::Counts;

/// Messages to the driver that may wait before a task's end is held up.
const OUTBOUND_LIMIT: usize = 1024;

/// How often an executor says that it is alive (`spark.executor.heartbeatInterval`).
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// How long dialling the driver may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// What an executor is told at its start.
#[derive(Debug, Clone)]
pub struct ExecutorOptions {
    /// `spark://HOST:PORT` of the driver's endpoint; unused by an executor inside the driver.
    pub driver_url: String,
    /// The id under which it registers.
    pub executor_id: String,
    /// The application.
    pub app_id: String,
    /// Tasks at one time.
    pub cores: usize,
    /// The name other executors reach it by.
    pub hostname: String,
    /// The address its block server listens on.
    pub bind_address: String,
    /// The port its block server listens on; 0 is any.
    pub block_port: u16,
    /// The port others reach it by, where a container maps ports; else the port it listens on.
    pub advertised_port: Option<u16>,
    /// The application's secret.
    pub secret: String,
    /// Memory for operators and buffers is a part of this; `None` is unlimited.
    pub memory_bytes: Option<u64>,
    /// Directories for shuffle and spill files; without one the environment and `spark.local.dir` say, in
    /// Spark's order.
    pub local_dirs: Vec<PathBuf>,
}

/// Runs an executor process until its driver is gone or tells it to stop; then its files are gone
/// too. Answers why it ended.
///
/// # Errors
/// If the driver cannot be reached, refuses the secret, or no local directory can be used.
pub async fn run_executor(options: ExecutorOptions) -> Result<String> {
    run(options, None).await
}

/// As [`run_executor`], with tasks that come by another way than the driver's stream: Mesos'
/// fine-grained mode.
///
/// # Errors
/// As [`run_executor`].
pub async fn run_assigned_executor(
    options: ExecutorOptions,
    assignments: Assignments,
) -> Result<String> {
    run(options, Some(assignments)).await
}

async fn run(options: ExecutorOptions, assignments: Option<Assignments>) -> Result<String> {
    let url = options.driver_url.replacen("spark://", "http://", 1);
    let endpoint = Endpoint::from_shared(url)
        .map_err(|error| {
            exec_datafusion_err!(
                "driver URL {} is not spark://HOST:PORT: {error}",
                options.driver_url
            )
        })?
        .tcp_nodelay(true)
        .connect_timeout(DIAL_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20);
    let channel = endpoint.connect().await.map_err(|error| {
        exec_datafusion_err!("no driver answers at {}: {}", options.driver_url, chain(&error))
    })?;
    let secret: MetadataValue<_> = options
        .secret
        .parse()
        .map_err(|_| exec_datafusion_err!("the secret holds characters that cannot be sent"))?;
    let mut client = ExecutorEndpointClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_LIMIT)
        .max_encoding_message_size(MESSAGE_BYTES_LIMIT);
    let refused = |status: tonic::Status| {
        exec_datafusion_err!(
            "the driver at {} refused this executor: {}",
            options.driver_url,
            status.message()
        )
    };
    // Where the files lie is among the properties, so they come before all else.
    let mut request = tonic::Request::new(PropertiesRequest { app: options.app_id.clone() });
    request.metadata_mut().insert(SECRET_KEY, secret.clone());
    let properties = client.properties(request).await.map_err(refused)?.into_inner();
    let (mut executor, outbound) = Executor::start(&options, &properties.conf).await?;
    executor.assigned = assignments.map(Assigned::new);
    executor.terminate = Some(signal(SignalKind::terminate())?);
    let mut request = tonic::Request::new(ReceiverStream::new(outbound));
    request.metadata_mut().insert(SECRET_KEY, secret);
    let inbound = client.attach(request).await.map_err(refused)?;
    Ok(executor.serve(inbound.into_inner().map(|message| message.ok())).await)
}

/// The driver's ends of the channels to an executor inside its process.
pub(crate) struct LocalExecutor {
    pub(crate) to_executor: mpsc::UnboundedSender<ToExecutor>,
    pub(crate) from_executor: mpsc::Receiver<FromExecutor>,
}

/// Starts an executor inside this process.
pub(crate) async fn start_local(
    options: &ExecutorOptions,
    conf: &HashMap<String, String>,
) -> Result<LocalExecutor> {
    let (executor, from_executor) = Executor::start(options, conf).await?;
    let (to_executor, inbound) = mpsc::unbounded_channel();
    tokio::spawn(executor.serve(UnboundedReceiverStream::new(inbound).map(Some)));
    Ok(LocalExecutor { to_executor, from_executor })
}

/// What all tasks of an executor share.
pub(crate) struct Shared {
    pub(crate) id: String,
    pub(crate) block_address: Arc<str>,
    pub(crate) store: ShuffleStore,
    pub(crate) fetcher: BlockFetcher,
    pub(crate) runtime_env: Arc<RuntimeEnv>,
    pub(crate) kept: KeptBatches,
    /// Packed map output, decoded.
    pub(crate) packed: KeptBatches,
    pub(crate) settings: ShuffleSettings,
    outbound: mpsc::Sender<FromExecutor>,
}

impl Shared {
    async fn send(&self, kind: from_executor::Kind) {
        // The driver is gone if this fails, and the executor ends with it.
        let _ = self.outbound.send(kind.into()).await;
    }
}

struct Executor {
    shared: Arc<Shared>,
    stages: HashMap<u64, Arc<StageEntry>>,
    places: HashMap<u64, Arc<Places>>,
    running: Arc<Mutex<HashMap<u64, AbortHandle>>>,
    application: String,
    secret: String,
    /// The host's shuffle service, if the application uses it, and the registration under way.
    service: Option<ShuffleServiceClient>,
    registration: Option<tokio::task::JoinHandle<std::result::Result<(), ServiceError>>>,
    /// Tasks have threads of their own, so that a busy operator never holds up the driver's word
    /// or another executor's fetch.
    tasks: TaskThreads,
    /// Tasks that come by another way than the driver's stream.
    assigned: Option<Assigned>,
    /// Of a process of its own: SIGTERM, by which an agent ends it.
    terminate: Option<Signal>,
    _server: BlockServer,
}

/// How long an executor that ends waits for tasks in the middle of a batch: only when the last of
/// them is gone the files go.
const TASKS_END_TIMEOUT: Duration = Duration::from_secs(3);

/// A runtime that may be dropped inside another one: it does not wait for its tasks.
struct TaskThreads(Option<tokio::runtime::Runtime>);

impl TaskThreads {
    async fn stop(&mut self) {
        if let Some(runtime) = self.0.take() {
            let stop = move || runtime.shutdown_timeout(TASKS_END_TIMEOUT);
            // Fails only if the process is ending already.
            let _ = tokio::task::spawn_blocking(stop).await;
        }
    }
}

impl Drop for TaskThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Executor {
    async fn start(
        options: &ExecutorOptions,
        conf: &HashMap<String, String>,
    ) -> Result<(Self, mpsc::Receiver<FromExecutor>)> {
        let settings = ShuffleSettings::of(conf);
        let store = ShuffleStore::open(StoreOptions {
            application: options.app_id.clone(),
            tiers: settings.tiers(&options.local_dirs, |name| std::env::var(name).ok()),
            served_elsewhere: false,
            held_bytes: settings.held_bytes(options.memory_bytes),
        })
        .map_err(store_error)?;
        let secret = Secret::new(options.secret.clone());
        let mut address: SocketAddr = resolve(&options.bind_address).await?;
        address.set_port(options.block_port);
        let server = BlockServer::start(
            BlockServerOptions::on(address),
            SingleApplication { secret: secret.clone(), store: store.clone() },
        )
        .await
        .map_err(|error| {
            exec_datafusion_err!("block server cannot listen on {address}: {error}")
        })?;
        let port = options.advertised_port.unwrap_or_else(|| server.address().port());
        let block_address: Arc<str> = format!("{}:{port}", options.hostname).into();
        let runtime_env = memory::runtime_env(options.memory_bytes, &store)?;
        let (outbound, receiver) = mpsc::channel(OUTBOUND_LIMIT);
        let tasks = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.cores.max(1))
            .thread_name("task")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            id: options.executor_id.clone(),
            block_address: Arc::clone(&block_address),
            fetcher: BlockFetcher::new(
                BlockClient::new(settings.client(&options.app_id, secret)),
                settings.fetch.clone(),
            )
            .with_host(Arc::clone(&block_address), store.clone()),
            store,
            kept: KeptBatches::new(
                &runtime_env.memory_pool,
                options.memory_bytes.map(memory::pool_bytes),
            ),
            packed: KeptBatches::of_packed(
                &runtime_env.memory_pool,
                options.memory_bytes.map(memory::pool_bytes),
            ),
            runtime_env,
            settings,
            outbound,
        });
        shared
            .send(from_executor::Kind::Register(Register {
                executor: options.executor_id.clone(),
                app: options.app_id.clone(),
                host: options.hostname.clone(),
                cores: options.cores as u32,
                block_address: block_address.to_string(),
                memory_bytes: options.memory_bytes.unwrap_or(0),
                pid: std::process::id(),
            }))
            .await;
        let executor = Self {
            shared,
            stages: HashMap::new(),
            places: HashMap::new(),
            running: Arc::default(),
            application: options.app_id.clone(),
            secret: options.secret.clone(),
            service: None,
            registration: None,
            tasks: TaskThreads(Some(tasks)),
            assigned: None,
            terminate: None,
            _server: server,
        };
        Ok((executor, receiver))
    }

    /// Serves the driver until it is gone; answers why it ended.
    async fn serve(
        mut self,
        inbound: impl tokio_stream::Stream<Item = Option<ToExecutor>>,
    ) -> String {
        tokio::pin!(inbound);
        let mut heartbeat = tokio::time::interval(HEARTBEAT_INTERVAL);
        let reason = loop {
            let message = tokio::select! {
                message = inbound.next() => message,
                Some(failed) = registered(&mut self.registration) => break failed,
                () = told(&mut self.terminate) => {
                    // Its agent waits a while before it kills; the driver says when it may go.
                    if !self.shared.settings.decommission {
                        break "it was told to end (SIGTERM)".to_owned();
                    }
                    self.shared.send(from_executor::Kind::Decommissioned(true)).await;
                    continue;
                }
                assignment = assigned::next(&mut self.assigned) => {
                    match assignment {
                        Some(Assignment::Launch(data)) => self.take_assigned(&data).await,
                        Some(Assignment::Kill(task)) => self.kill_assigned(task).await,
                        Some(Assignment::Stop(reason)) => break reason,
                        None => break "nobody assigns tasks any more".to_owned(),
                    }
                    continue;
                }
                _ = heartbeat.tick() => {
                    self.give_up_waiting().await;
                    let running = self.running.lock().len() as u32;
                    let beat = Heartbeat {
                        running,
                        memory_used: self.shared.runtime_env.memory_pool.reserved() as u64,
                    };
                    self.shared.send(from_executor::Kind::Heartbeat(beat)).await;
                    continue;
                }
            };
            match message.flatten().map(|message| message.kind) {
                None => break "the driver is gone".to_owned(),
                Some(None) => {}
                Some(Some(to_executor::Kind::Stop(reason))) => break reason,
                Some(Some(kind)) => {
                    self.handle(kind);
                    self.launch_ready();
                }
            }
        };
        for (_, task) in self.running.lock().drain() {
            task.abort();
        }
        self.tasks.stop().await;
        reason
    }

    fn handle(&mut self, message: to_executor::Kind) {
        match message {
            to_executor::Kind::Registered(registered) => {
                self.use_service(&registered.conf);
                tracing::info!(executor = %self.shared.id, "registered with the driver");
            }
            to_executor::Kind::Stage(plan) => {
                self.stages.insert(plan.stage, Arc::new(StageEntry::new(plan)));
            }
            to_executor::Kind::MapStatuses(statuses) => {
                for stage in self.stages.values() {
                    if stage.reads(statuses.shuffle) {
                        stage.forget_template();
                    }
                }
                self.places.insert(statuses.shuffle, Arc::new(statuses.into()));
            }
            to_executor::Kind::Launch(launch) => {
                for task in launch.tasks {
                    self.launch(task);
                }
            }
            to_executor::Kind::Kill(kill) => {
                // The task's own watcher reports the end.
                if let Some(task) = self.running.lock().remove(&kill.task) {
                    task.abort();
                }
            }
            to_executor::Kind::ReleaseStage(stage) => {
                self.stages.remove(&stage);
            }
            to_executor::Kind::ReleaseShuffle(shuffle) => {
                self.places.remove(&shuffle);
                self.shared.kept.remove_shuffle(shuffle);
                self.shared.packed.remove_shuffle(shuffle);
                let store = self.shared.store.clone();
                tokio::task::spawn_blocking(move || store.remove_shuffle(shuffle));
                if let Some(service) = self.service.clone() {
                    // Executors that are gone cannot; at worst the files go with the application.
                    tokio::spawn(async move { service.remove_shuffle(shuffle).await });
                }
            }
            to_executor::Kind::Copy(copy) => self.copy(copy),
            to_executor::Kind::Check(check) => self.check(check),
            to_executor::Kind::Stop(_) => {}
        }
    }

    /// Takes over a block of an executor that is about to go.
    fn copy(&self, copy: CopyBlock) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let CopyBlock { from, address, shuffle, map, task, bytes, segments } = copy;
            let block = BlockId::Shuffle { shuffle, map_partition: map, task };
            let location = BlockLocation { block, address: address.into(), bytes };
            let codec = shared.settings.codec;
            let copied = shared.fetcher.copy(location, segments, &shared.store, codec).await;
            let error = copied.err().map(|error| error.to_string()).unwrap_or_default();
            let copied = Copied { from, shuffle, map, task, error };
            shared.send(from_executor::Kind::Copied(copied)).await;
        });
    }

    /// Reads whole blocks of its own to find those that are bad.
    fn check(&self, check: CheckBlocks) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let CheckBlocks { shuffle, outputs } = check;
            let store = shared.store.clone();
            let look = move || {
                let bad = |output: &OutputName| {
                    let OutputName { map, task } = *output;
                    let block = BlockId::Shuffle { shuffle, map_partition: map, task };
                    store.verify(block).is_err()
                };
                outputs.into_iter().filter(bad).collect::<Vec<_>>()
            };
            // Fails only if the process is ending already.
            let Ok(damaged) = tokio::task::spawn_blocking(look).await else { return };
            shared.send(from_executor::Kind::Checked(Checked { shuffle, damaged })).await;
        });
    }

    fn use_service(&mut self, conf: &HashMap<String, String>) {
        let client = service::client(&self.shared, &self.application, &self.secret);
        if let Some(client) = client.clone() {
            let failover = conf.get("spark.mesos.driver.failoverTimeout");
            let seconds = failover.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
            let failover = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            let work = service::register(client, Arc::clone(&self.shared), failover);
            self.registration = Some(tokio::spawn(work));
        }
        self.service = client;
    }

    fn launch(&self, task: Task) {
        let Some(tasks) = &self.tasks.0 else { return };
        let shared = Arc::clone(&self.shared);
        let stage = self.stages.get(&task.stage).cloned();
        let places = stage
            .iter()
            .flat_map(|stage| stage.parents())
            .filter_map(|shuffle| Some((*shuffle, Arc::clone(self.places.get(shuffle)?))))
            .collect::<HashMap<_, _>>();
        let number = task.task;
        // Held until the entry is there, so that a quick task does not end before it began.
        let mut running = self.running.lock();
        let work = tasks.spawn(async move { task::run(&shared, stage, task, places).await });
        running.insert(number, work.abort_handle());
        drop(running);
        let shared = Arc::clone(&self.shared);
        let running = Arc::clone(&self.running);
        let ends = self.assigned.as_ref().map(Assigned::ends);
        tasks.spawn(async move {
            let finished = match work.await {
                Ok(finished) => finished,
                Err(end) => ended_early(number, end),
            };
            running.lock().remove(&number);
            let state = end_state(&finished);
            shared.send(from_executor::Kind::Finished(finished)).await;
            // After the driver's stream has it: who hears of the end elsewhere may rely on that.
            if let Some(ends) = ends {
                let _ = ends.send(TaskEnd { task: number, state });
            }
        });
    }
}

/// Waits for a signal, without one for ever.
async fn told(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Why the executor must end, if it could not be registered with its shuffle service; `None` if it
/// was.
async fn registered(
    registration: &mut Option<tokio::task::JoinHandle<std::result::Result<(), ServiceError>>>,
) -> Option<String> {
    let Some(work) = registration else { return std::future::pending().await };
    let ended = work.await;
    *registration = None;
    match ended {
        Ok(Err(error)) => Some(error.to_string()),
        Ok(Ok(())) | Err(_) => None,
    }
}

/// The report of a task that was aborted or panicked.
fn ended_early(task: u64, end: tokio::task::JoinError) -> TaskFinished {
    let outcome = match end.try_into_panic() {
        Ok(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            let error = DataFusionError::Execution(format!("the task panicked: {text}"));
            task_finished::Outcome::Failed(crate::failure::task_error(&error))
        }
        Err(_) => task_finished::Outcome::Killed("killed by the driver".to_owned()),
    };
    TaskFinished { task, metrics: None, outcome: Some(outcome) }
}

async fn resolve(host: &str) -> Result<SocketAddr> {
    tokio::net::lookup_host((host, 0))
        .await
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| {
            exec_datafusion_err!("bind address {host} is not an address of this machine")
        })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
