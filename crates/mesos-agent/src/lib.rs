//! A Mesos agent for our master: it runs command tasks itself and custom executors over the v1
//! executor API, fetches what they need, and ends what it started. [`start`] starts one in a process.

pub mod archive;
mod checkpoint;
mod container;
pub mod core;
mod detect;
mod fetcher;
mod gc;
mod link;
mod options;
pub mod paths;
mod server;
mod service;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mesos_api::json::JsonValue as _;
use mesos_api::resources::{ParseError, parse_attributes};
use mesos_api::{AgentId, AgentInfo};
use mesos_client::{AddressError, MasterLocation};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use options::{AgentOptions, ReconfigurationPolicy, Recover};

use container::{Cgroups, DockerDaemon, Machine, Rotation, Spawner};
use core::{Recovered, Settings};
use fetcher::{Fetcher, SourceSettings};
use gc::GcSettings;
use paths::Paths;
use server::Server;
use service::{Input, Registration, Service, ServiceHandle};

/// The version of Mesos whose API this is.
pub(crate) const MESOS_VERSION: &str = "1.11.0";

/// Why an agent does not start, or is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The master's address has another form.
    #[error("cannot read --master: {0}")]
    Master(#[from] AddressError),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}; choose another with --ip and --port")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The folder cannot be made.
    #[error("cannot make the folder {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A flag cannot be read.
    #[error("cannot read --{flag}")]
    Flag {
        /// Which.
        flag: &'static str,
        /// Why.
        source: ParseError,
    },
    /// A file or object of a flag cannot be read.
    #[error("cannot read --{flag}: {problem}")]
    Value {
        /// Which.
        flag: &'static str,
        /// Why.
        problem: String,
    },
    /// The agent cannot take over from the one it was.
    #[error(
        "this is not the agent that used {work_dir} before: {problem}. Start it as it was; or with \
         --reconfiguration_policy=additive or =any, if that is meant; or as a new agent, which ends \
         the tasks of the old one, with --recover=cleanup"
    )]
    Incompatible {
        /// Its folder.
        work_dir: PathBuf,
        /// What has changed.
        problem: String,
    },
    /// Limits were demanded that cannot be had.
    #[error("--isolation={isolation} cannot be had: {problem}")]
    Isolation {
        /// The flag.
        isolation: String,
        /// Why.
        problem: String,
    },
    /// The thread and the process that look after containers cannot be started.
    #[error("cannot start what looks after containers")]
    Spawner(#[source] std::io::Error),
    /// The master will not have the agent.
    #[error("the master refused the agent: {0}")]
    Refused(String),
    /// The agent has stopped meanwhile.
    #[error("the agent has stopped")]
    Stopped,
}

/// A running agent. Dropping the handle stops it and what it runs, without waiting.
#[derive(Debug)]
pub struct AgentHandle {
    /// Where it listens.
    pub addr: SocketAddr,
    service: ServiceHandle,
    registration: watch::Receiver<Registration>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl AgentHandle {
    /// Waits until the master has admitted the agent.
    ///
    /// # Errors
    /// [`StartError::Refused`] with the master's words.
    pub async fn registered(&self) -> Result<AgentId, StartError> {
        let mut registration = self.registration.clone();
        let decided = registration.wait_for(|state| *state != Registration::Waiting).await;
        match decided.map(|state| state.clone()) {
            Ok(Registration::Admitted(id)) => Ok(id),
            Ok(Registration::Refused(reason)) => Err(StartError::Refused(reason)),
            Ok(Registration::Waiting) | Err(_) => Err(StartError::Stopped),
        }
    }

    /// Waits until the master has refused the agent.
    pub async fn refused(&self) -> String {
        let mut registration = self.registration.clone();
        let refused = registration.wait_for(|s| matches!(s, Registration::Refused(_))).await;
        match refused.map(|state| state.clone()) {
            Ok(Registration::Refused(reason)) => reason,
            Ok(Registration::Waiting | Registration::Admitted(_)) | Err(_) => {
                std::future::pending().await
            }
        }
    }

    /// Ends all that runs here, leaves the master and stops.
    pub async fn shutdown(self) {
        self.stop(true).await;
    }

    /// Stops so that another agent can go on in the same folder: tasks of frameworks that checkpoint
    /// go on meanwhile, all others end.
    pub async fn leave(self) {
        self.stop(false).await;
    }

    async fn stop(self, for_good: bool) {
        self.service.ask(|done| Input::Stop { for_good, done }).await;
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        // The loop ends with its last sender, and kills what runs.
        self.stopping.cancel();
    }
}

/// Starts an agent in this process. It joins its master in the background, again and again.
///
/// # Errors
/// [`StartError`] if a flag, the address or the folder cannot be used.
pub async fn start(mut options: AgentOptions) -> Result<AgentHandle, StartError> {
    let master = MasterLocation::parse(&options.master)?;
    options.work_dir = absolute(&options.work_dir)?;
    let paths = Paths::of(&options.work_dir);
    let wanted = SocketAddr::new(options.ip, options.port);
    let listen = |source| StartError::Listen { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;
    let settings = settings(&options, &master, addr).await?;
    let recovered = recover(&options, &settings, &paths)?;
    let machine = Machine {
        spawner: Spawner::start().map_err(StartError::Spawner)?,
        cgroups: cgroups(&options)?,
        docker: docker(&options).await?,
        switch_user: options.switch_user,
        rotation: Rotation {
            stdout_bytes: options.max_stdout_size,
            stderr_bytes: options.max_stderr_size,
            parts: options.max_rotated_files,
        },
        fetcher: fetcher(&options)?,
        shim: container::install_shim(&paths),
        paths,
    };
    let sandboxes = machine.paths.sandboxes();
    machine.clear_leftovers(&recovered.containers).await;
    let (registered, registration) = watch::channel(Registration::Waiting);
    let relink = Arc::new(Notify::new());
    let (service, handle) =
        Service::new(settings, machine, recovered, Arc::clone(&relink), registered)
            .map_err(StartError::Spawner)?;
    let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(service.run());
    let server = Arc::new(Server {
        service: handle.clone(),
        work_dir: options.work_dir.clone(),
        log_dir: options.log_dir.clone(),
        next_stream: AtomicU64::new(0),
        stopping: stopping.clone(),
        tasks: tasks.clone(),
    });
    tasks.spawn(server::serve(listener, server));
    let gc = GcSettings {
        delay: options.gc_delay,
        headroom: options.gc_disk_headroom,
        interval: options.disk_watch_interval,
    };
    tasks.spawn(gc::run(sandboxes, gc, handle.clone(), stopping.clone()));
    tasks.spawn(link::keep(master, handle.0.clone(), stopping.clone(), relink));
    Ok(AgentHandle { addr, service: handle, registration, stopping, tasks })
}

/// What an earlier agent left, if this one may take over from it.
fn recover(
    options: &AgentOptions,
    settings: &Settings,
    paths: &Paths,
) -> Result<Recovered, StartError> {
    let recovered = checkpoint::recover(paths);
    let Some(old) = &recovered.agent else { return Ok(recovered) };
    if options.recover == Recover::Cleanup {
        let told = |source| StartError::Folder { path: paths.meta(), source };
        std::fs::remove_dir_all(paths.meta()).map_err(told)?;
        return Ok(Recovered::default());
    }
    let policy = options.reconfiguration_policy;
    if let Some(problem) = checkpoint::incompatibility(old, &settings.info, policy) {
        return Err(StartError::Incompatible { work_dir: options.work_dir.clone(), problem });
    }
    let (containers, id) = (recovered.containers.len(), old.id.clone().unwrap_or_default());
    tracing::info!(agent = %id, containers, "going on as the agent that was here before");
    Ok(recovered)
}

/// The control groups that hold tasks to their resources, unless that is not wanted or not possible.
fn cgroups(options: &AgentOptions) -> Result<Option<Cgroups>, StartError> {
    let isolation = options.isolation.as_deref();
    let isolators: Vec<_> = isolation.unwrap_or_default().split(',').map(str::trim).collect();
    for isolator in &isolators {
        let known = ["", "posix/cpu", "posix/mem", "cgroups/cpu", "cgroups/mem"];
        if !known.contains(isolator) {
            let problem = format!("'{isolator}' is none of {}", known[1..].join(", "));
            return Err(StartError::Value { flag: "isolation", problem });
        }
    }
    let demanded = isolators.iter().any(|isolator| isolator.starts_with("cgroups/"));
    if isolation.is_some() && !demanded {
        tracing::info!("tasks are not held to their cpus and memory");
        return Ok(None);
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    match Cgroups::prepare(
        &mounts,
        &options.cgroups_root,
        &mark(options),
        options.cgroups_enable_cfs,
    ) {
        Ok(cgroups) => {
            tracing::info!(limits = cgroups.describe(), "tasks are held to their resources");
            Ok(Some(cgroups))
        }
        Err(problem) if demanded => {
            let isolation = isolation.unwrap_or_default().to_owned();
            Err(StartError::Isolation { isolation, problem })
        }
        Err(problem) => {
            tracing::warn!(%problem, "tasks are not held to their cpus and memory");
            Ok(None)
        }
    }
}

/// Tells what belongs to this agent from what belongs to others on the machine: FNV-1a of its folder,
/// the same in each run.
fn mark(options: &AgentOptions) -> String {
    let bytes = options.work_dir.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn fetcher(options: &AgentOptions) -> Result<Fetcher, StartError> {
    let settings = SourceSettings {
        frameworks_home: options.frameworks_home.clone(),
        stall_timeout: options.fetcher_stall_timeout,
        hadoop_home: options.hadoop_home.clone(),
        s3_endpoint: options.s3_endpoint.clone(),
        s3_region: options.s3_region.clone(),
        s3_credential: options
            .s3_credential
            .as_deref()
            .map(|flag| credential("s3_credential", flag))
            .transpose()?,
    };
    let folder = options.fetcher_cache_dir.clone();
    let folder = folder.unwrap_or_else(|| options.work_dir.join("fetch"));
    let size = options.fetcher_cache_size;
    let cache = (size > 0).then_some((folder.as_path(), size));
    Fetcher::new(settings, cache).map_err(|source| StartError::Folder { path: folder, source })
}

fn wants_docker(options: &AgentOptions) -> Result<bool, StartError> {
    let mut docker = false;
    for name in options.containerizers.split(',').map(str::trim) {
        match name {
            "mesos" => {}
            "docker" => docker = true,
            other => {
                let problem = format!("'{other}' is neither mesos nor docker");
                return Err(StartError::Value { flag: "containerizers", problem });
            }
        }
    }
    Ok(docker)
}

async fn docker(options: &AgentOptions) -> Result<Option<DockerDaemon>, StartError> {
    if !wants_docker(options)? {
        return Ok(None);
    }
    let cfs = options.cgroups_enable_cfs;
    let connected = DockerDaemon::connect(&options.docker_socket, mark(options), cfs).await;
    connected.map(Some).map_err(|problem| StartError::Value { flag: "docker_socket", problem })
}

fn absolute(work_dir: &Path) -> Result<PathBuf, StartError> {
    let told = |source| StartError::Folder { path: work_dir.to_owned(), source };
    std::fs::create_dir_all(work_dir).map_err(told)?;
    work_dir.canonicalize().map_err(told)
}

async fn settings(
    options: &AgentOptions,
    master: &MasterLocation,
    bound: SocketAddr,
) -> Result<Settings, StartError> {
    let flag = |flag| move |source| StartError::Flag { flag, source };
    let resources =
        detect::resources(options.resources.as_deref(), &options.default_role, &options.work_dir)
            .map_err(flag("resources"))?;
    let attributes = parse_attributes(options.attributes.as_deref().unwrap_or_default())
        .map_err(flag("attributes"))?;
    let ip = advertised_ip(options, master, bound).await;
    let hostname = options.hostname.clone().unwrap_or_else(|| own_name(ip));
    let port = options.advertise_port.unwrap_or(bound.port());
    Ok(Settings {
        info: AgentInfo {
            hostname,
            port: Some(i32::from(port)),
            resources,
            attributes,
            ..AgentInfo::default()
        },
        ip: ip.to_string(),
        work_dir: options.work_dir.clone(),
        docker: wants_docker(options)?,
        version: MESOS_VERSION.to_owned(),
        credential: options
            .credential
            .as_deref()
            .map(|flag| credential("credential", flag))
            .transpose()?,
        executor_registration_timeout: options.executor_registration_timeout,
        executor_reregistration_timeout: options.executor_reregistration_timeout,
        recovery_timeout: options.recovery_timeout,
        executor_shutdown_grace_period: options.executor_shutdown_grace_period,
        executor_environment: executor_environment(options)?,
        new_uuid: || *uuid::Uuid::new_v4().as_bytes(),
    })
}

async fn advertised_ip(
    options: &AgentOptions,
    master: &MasterLocation,
    bound: SocketAddr,
) -> IpAddr {
    if let Some(ip) = options.advertise_ip {
        return ip;
    }
    if !bound.ip().is_unspecified() {
        return bound.ip();
    }
    let towards = link::address_towards(master).await;
    towards.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip())
}

/// The machine's name, or its address if it has none.
fn own_name(ip: IpAddr) -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| ip.to_string())
}

/// Reads a credential: JSON or two words, in a file; or JSON in the flag itself.
fn credential(name: &'static str, flag: &str) -> Result<(String, String), StartError> {
    let told = |problem: String| StartError::Value { flag: name, problem };
    let content = if flag.trim_start().starts_with('{') {
        flag.to_owned()
    } else {
        let path = flag.strip_prefix("file://").unwrap_or(flag);
        std::fs::read_to_string(path).map_err(|error| told(format!("{path}: {error}")))?
    };
    if content.trim_start().starts_with('{') {
        let json = serde_json::from_str(&content).map_err(|error| told(error.to_string()))?;
        let credential =
            mesos_api::Credential::from_json(&json).map_err(|error| told(error.to_string()))?;
        return Ok((credential.principal, credential.secret.unwrap_or_default()));
    }
    let words: Vec<_> = content.split_whitespace().collect();
    match words.as_slice() {
        [principal, secret] => Ok(((*principal).to_owned(), (*secret).to_owned())),
        _ => Err(told("it holds something else than 'principal secret'".to_owned())),
    }
}

fn executor_environment(options: &AgentOptions) -> Result<BTreeMap<String, String>, StartError> {
    let Some(text) = &options.executor_environment_variables else { return Ok(BTreeMap::new()) };
    serde_json::from_str(text).map_err(|error| StartError::Value {
        flag: "executor_environment_variables",
        problem: format!("not an object of texts: {error}"),
    })
}
