//! The Spark application of this driver: its configuration, and the engine with its executors once they are needed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use mesos_client::{MasterAddress, MasterLocation};
use parking_lot::Mutex;
use spark_conf::{MasterUrl, Origin, SparkConf, Threads, table};
use spark_connect::Application;
use spark_exec::{Engine, EngineOptions, LocalBackend, PlanRunner, SchedulerBackend};
use spark_plan::SharedState;
use spark_sql_parser::error::{ErrorKind, SparkError};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::local_cluster::LocalCluster;
use crate::mesos_backend::{MesosBackend, MesosBackendOptions, NotRegistered};
use crate::status::{RunningApplication, StatusOptions, StatusServer};
use crate::{allocator, driver, exit, progress, scheduling, settings};

/// The name under which a program's `.master(…)` arrives (see `python/site/sitecustomize.py`).
const PROGRAM_MASTER: &str = "spark.ferrospark.program.master";

/// The application.
pub(crate) struct DriverApplication {
    conf: Mutex<SparkConf>,
    shared: Arc<SharedState>,
    running: OnceCell<Running>,
    /// The pages of a start that failed, until the next one.
    failed: Mutex<Option<StatusServer>>,
}

/// What has been started.
struct Running {
    engine: Engine,
    local_cluster: Option<LocalCluster>,
    progress: Option<JoinHandle<()>>,
    /// Serves until it is dropped.
    _status: Option<StatusServer>,
}

impl fmt::Debug for DriverApplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverApplication").field("started", &self.running.initialized()).finish()
    }
}

impl DriverApplication {
    /// # Errors
    /// When the master URL of the command line or a file is none.
    pub(crate) fn new(conf: SparkConf, shared: Arc<SharedState>) -> anyhow::Result<Arc<Self>> {
        let master = master(&conf)?;
        shared.set_default_parallelism(parallelism(&conf, &master));
        Ok(Arc::new(Self {
            conf: Mutex::new(conf),
            shared,
            running: OnceCell::new(),
            failed: Mutex::new(None),
        }))
    }

    pub(crate) fn configuration(&self) -> SparkConf {
        self.conf.lock().clone()
    }

    /// Prints what executors did, when asked, and takes everything down.
    pub(crate) async fn stop(&self) {
        let Some(running) = self.running.get() else { return };
        if let Some(progress) = &running.progress {
            progress.abort();
        }
        if self.conf.lock().get(&table::EXECUTOR_REPORT).unwrap_or(false) {
            report(&running.engine);
        }
        running.engine.stop().await;
        if let Some(cluster) = &running.local_cluster {
            cluster.stop().await;
        }
    }

    async fn start(&self) -> anyhow::Result<Running> {
        let mut conf = {
            let mut conf = self.conf.lock();
            conf.freeze();
            conf.clone()
        };
        conf.check()?;
        let master = master(&conf)?;
        self.shared.set_default_parallelism(parallelism(&conf, &master));
        let secret = match conf.get(&table::AUTHENTICATE_SECRET)? {
            Some(secret) => secret,
            None => driver::random_secret(),
        };
        let addresses = Addresses::of(&conf, &master)?;
        let (local_cluster, target) = match &master {
            MasterUrl::Local { .. } => {
                allocator::keep_freed_memory();
                (None, None)
            }
            MasterUrl::LocalCluster { agents, cores, memory_mib } => {
                conf.set(Origin::Computed, "spark.executor.memory", &format!("{memory_mib}m"));
                let memory = spark_conf::executor_memory(&conf)?;
                let cluster = LocalCluster::start(*agents, *cores, memory.total_mib()).await?;
                conf.set(Origin::Computed, "spark.executor.cores", &cores.to_string());
                let master = cluster.master().into();
                (Some(cluster), Some(master))
            }
            MasterUrl::Mesos { host, port } => {
                (None, Some(MasterAddress::new(host.clone(), *port).into()))
            }
            MasterUrl::MesosZooKeeper { url } => (None, Some(MasterLocation::parse(url)?)),
        };
        // Executors need the secret in their environment, which the Mesos backend reads from the configuration.
        conf.set(Origin::Computed, table::AUTHENTICATE_SECRET.name(), &secret);
        drop(self.failed.lock().take());
        let status = status_server(&conf, &addresses).await?;
        let place = Place { addresses, target, pages: status.as_ref().map(StatusServer::url) };
        let started = start_engine(&conf, &master, secret, place).await;
        let (engine, backend) = match (started, &local_cluster) {
            (Ok(started), _) => started,
            (Err(error), Some(cluster)) => {
                cluster.stop().await;
                return Err(error);
            }
            (Err(error), None) => {
                if let (Some(status), Some(why)) = (status, error.downcast_ref::<NotRegistered>()) {
                    status.not_registered(why.problem());
                    *self.failed.lock() = Some(status);
                }
                return Err(error);
            }
        };
        if let Some(status) = &status {
            let id = engine.app_id().to_owned();
            let (engine, backend) = (engine.clone(), backend.clone());
            status.watch(RunningApplication { id, engine, backend });
        }
        if let Some(backend) = backend {
            backend.ready().await;
        }
        let show = conf.get(&table::UI_SHOW_CONSOLE_PROGRESS)?;
        let progress = progress::wanted(show).then(|| progress::start(engine.clone()));
        Ok(Running { engine, local_cluster, progress, _status: status })
    }
}

/// `spark.master`; local with all cores when nobody says.
fn master(conf: &SparkConf) -> anyhow::Result<MasterUrl> {
    let text = conf.text(table::MASTER.name()).unwrap_or_else(|| "local[*]".to_owned());
    let master = MasterUrl::parse(&text)?;
    if let MasterUrl::MesosZooKeeper { url } = &master {
        MasterLocation::parse(url)?;
    }
    Ok(master)
}

fn slots(threads: Threads) -> usize {
    match threads {
        Threads::All => std::thread::available_parallelism().map_or(1, usize::from),
        Threads::Fixed(threads) => threads,
    }
}

/// `spark.default.parallelism`: set, or the cores there are to be.
fn parallelism(conf: &SparkConf, master: &MasterUrl) -> usize {
    let set = conf.get(&table::DEFAULT_PARALLELISM).ok().flatten();
    let wanted = set.or_else(|| match master {
        MasterUrl::Local { threads, .. } => u64::try_from(slots(*threads)).ok(),
        MasterUrl::LocalCluster { agents, cores, .. } => u64::try_from(agents * cores).ok(),
        MasterUrl::Mesos { .. } | MasterUrl::MesosZooKeeper { .. } => {
            conf.get(&table::CORES_MAX).ok().flatten()
        }
    });
    // Spark's floor for cluster backends.
    wanted.and_then(|cores| usize::try_from(cores).ok()).unwrap_or(2).max(1)
}

fn local_dirs(conf: &SparkConf) -> anyhow::Result<Vec<PathBuf>> {
    if !conf.is_set(&table::LOCAL_DIR) {
        return Ok(vec![std::env::temp_dir()]);
    }
    Ok(conf.get(&table::LOCAL_DIR)?.into_iter().map(PathBuf::from).collect())
}

/// The driver's pages; without them if no port is free, for they are not what an application is for.
async fn status_server(
    conf: &SparkConf,
    addresses: &Addresses,
) -> anyhow::Result<Option<StatusServer>> {
    if !conf.get(&table::UI_ENABLED)? {
        return Ok(None);
    }
    let options = StatusOptions {
        bind_host: addresses.bind.clone(),
        advertised_host: addresses.advertised.clone(),
        port: conf.get(&table::UI_PORT)?,
        retries: conf.get(&table::PORT_MAX_RETRIES)?,
        name: conf.get(&table::APP_NAME)?.unwrap_or_else(|| "ferrospark".to_owned()),
        user: user(),
    };
    let port = options.port;
    match StatusServer::start(options).await {
        Ok(server) => Ok(Some(server)),
        Err(error) => {
            tracing::warn!(
                %error, port,
                "the driver's pages are not served; spark.ui.port and spark.port.maxRetries choose their port"
            );
            Ok(None)
        }
    }
}

/// Where things are.
struct Place {
    addresses: Addresses,
    /// The master; none for a local one.
    target: Option<MasterLocation>,
    /// The driver's pages.
    pages: Option<String>,
}

/// Starts the engine and its source of executors; at an error nothing stays.
async fn start_engine(
    conf: &SparkConf,
    master: &MasterUrl,
    secret: String,
    place: Place,
) -> anyhow::Result<(Engine, Option<Arc<MesosBackend>>)> {
    let Place { addresses, target, pages } = place;
    let advertised_host = addresses.advertised.clone();
    let mut options = engine_options(conf, master, secret, addresses)?;
    let mut mesos = None;
    let backend: Arc<dyn SchedulerBackend> = match target {
        None => {
            let MasterUrl::Local { threads, .. } = master else {
                anyhow::bail!("a cluster needs a master");
            };
            Arc::new(LocalBackend {
                cores: slots(*threads),
                memory_bytes: None,
                local_dirs: local_dirs(conf)?,
            })
        }
        Some(master) => {
            let home = settings::spark_home().map(|home| home.to_string_lossy().into_owned());
            let backend_options = MesosBackendOptions {
                master,
                advertised_host,
                spark_home: home,
                user: user(),
                pages,
            };
            let backend = MesosBackend::register(conf, backend_options).await?;
            options.app_id = backend.application_id().to_owned();
            options.scheduler.cores_by_offer = !conf.get(&table::MESOS_COARSE)?;
            mesos = Some(Arc::clone(&backend));
            backend
        }
    };
    crate::elastic::apply(conf, &user(), &mut options)?;
    let engine = Engine::start(options).await?;
    if let Err(error) = engine.start_backend(Arc::clone(&backend)).await {
        engine.stop().await;
        backend.stop().await;
        return Err(error.into());
    }
    Ok((engine, mesos))
}

/// Who runs this: the name Mesos starts tasks under.
fn user() -> String {
    std::env::var("SPARK_USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| {
        nix::unistd::User::from_uid(nix::unistd::Uid::effective())
            .ok()
            .flatten()
            .map_or_else(|| "root".to_owned(), |user| user.name)
    })
}

/// Where the driver's endpoint listens, and the name executors dial.
struct Addresses {
    bind: String,
    advertised: String,
}

impl Addresses {
    /// `spark.driver.bindAddress` and `spark.driver.host`; without them this host's name, or loopback where every
    /// executor is on this machine.
    fn of(conf: &SparkConf, master: &MasterUrl) -> anyhow::Result<Self> {
        let local = match master {
            MasterUrl::Local { .. } | MasterUrl::LocalCluster { .. } => true,
            MasterUrl::Mesos { host, .. } => is_loopback(host),
            // Where ZooKeeper is says nothing about the masters, unless it is on this machine alone.
            MasterUrl::MesosZooKeeper { url } => match MasterLocation::parse(url)? {
                MasterLocation::ZooKeeper(url) => url.hosts().all(is_loopback),
                MasterLocation::Address(address) => is_loopback(&address.host),
            },
        };
        let host = conf.get(&table::DRIVER_HOST)?;
        let bind = conf.get(&table::DRIVER_BIND_ADDRESS)?;
        // SPARK_LOCAL_IP arrives as the bind address; what is bound to alone is also what others can dial.
        let bound = bind.clone().filter(|bind| !is_unspecified(bind));
        let advertised = match host.or(bound) {
            Some(host) => host,
            None if local => "127.0.0.1".to_owned(),
            None => gethostname::gethostname().to_string_lossy().into_owned(),
        };
        let bind = match bind {
            Some(bind) => bind,
            None if is_loopback(&advertised) => "127.0.0.1".to_owned(),
            None => "0.0.0.0".to_owned(),
        };
        Ok(Self { bind, advertised })
    }
}

fn is_unspecified(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The engine's options of a configuration.
fn engine_options(
    conf: &SparkConf,
    master: &MasterUrl,
    secret: String,
    addresses: Addresses,
) -> anyhow::Result<EngineOptions> {
    let id = match conf.get(&table::APP_ID)? {
        Some(id) => id,
        None => format!("ferrospark-{}", uuid::Uuid::new_v4()),
    };
    let mut options = EngineOptions::new(id, secret);
    options.bind_host = addresses.bind;
    options.advertised_host = addresses.advertised;
    options.port = conf.get(&table::DRIVER_PORT)?;
    options.conf = conf.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    options.local_dirs = local_dirs(conf)?;
    options.executor_timeout = conf.get(&table::NETWORK_TIMEOUT)?;
    // Spark's default guards a heap; results wait on disk here, so only a limit somebody set counts.
    if conf.explicit(table::DRIVER_MAX_RESULT_SIZE.name()).is_some() {
        options.max_result_bytes =
            Some(conf.get(&table::DRIVER_MAX_RESULT_SIZE)?).filter(|bytes| *bytes > 0);
    }
    options.scheduler.max_failures = match master {
        MasterUrl::Local { max_failures, .. } => *max_failures,
        MasterUrl::LocalCluster { .. }
        | MasterUrl::Mesos { .. }
        | MasterUrl::MesosZooKeeper { .. } => {
            u32::try_from(conf.get(&table::TASK_MAX_FAILURES)?).unwrap_or(u32::MAX)
        }
    };
    options.scheduler.max_consecutive_stage_attempts =
        u32::try_from(conf.get(&table::STAGE_MAX_ATTEMPTS)?).unwrap_or(u32::MAX);
    options.scheduler.task_cpus = u32::try_from(conf.get(&table::TASK_CPUS)?).unwrap_or(u32::MAX);
    scheduling::configure(&mut options.scheduler, conf)?;
    options.port_retries = conf.get(&table::PORT_MAX_RETRIES)?;
    Ok(options)
}

/// One line an executor: the tasks it ran and the shuffle bytes it read from others.
fn report(engine: &Engine) {
    for (id, executor) in engine.statistics() {
        exit::note(&format!(
            "executor {id} on {}: {} tasks, {} bytes of shuffle read from other executors, {} from its own",
            executor.host, executor.tasks, executor.bytes_read_remote, executor.bytes_read_local
        ));
    }
}

#[async_trait]
impl Application for DriverApplication {
    fn configure(&self, settings: &[(String, String)]) -> Vec<String> {
        let mut conf = self.conf.lock();
        let mut warnings = Vec::new();
        for (key, value) in settings {
            let key = if key == PROGRAM_MASTER { "spark.master" } else { key };
            if let Some(contradiction) = conf.set(Origin::Program, key, value) {
                warnings.push(format!("the application runs already: {contradiction}"));
            }
        }
        if let Ok(master) = master(&conf) {
            self.shared.set_default_parallelism(parallelism(&conf, &master));
        }
        warnings
    }

    fn local_cores(&self) -> Option<usize> {
        let conf = self.conf.lock();
        if !conf.get(&table::LOCAL_EXECUTION).unwrap_or(true) {
            return None;
        }
        match master(&conf) {
            Ok(MasterUrl::Local { threads, .. }) => {
                allocator::keep_freed_memory();
                Some(slots(threads))
            }
            Ok(_) | Err(_) => None,
        }
    }

    fn tiny_plans_in_driver(&self) -> bool {
        self.conf.lock().get(&table::LOCAL_EXECUTION).unwrap_or(true)
    }

    async fn engine(&self) -> Result<Arc<dyn PlanRunner>, SparkError> {
        let running = self.running.get_or_try_init(|| self.start()).await;
        match running {
            Ok(running) => Ok(Arc::new(running.engine.clone())),
            Err(error) => Err(SparkError::new(
                ErrorKind::Execution,
                "APPLICATION_NOT_STARTED",
                "08001",
                format!("The application could not start: {}.", chain(&error)),
            )),
        }
    }
}

fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
