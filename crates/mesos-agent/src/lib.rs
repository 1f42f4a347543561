//! A Mesos agent for our master: it runs command tasks itself and custom executors over the v1
//! executor API, fetches what they need, and ends what it started. [`start`] embeds one,
//! [`run_program`] is the program.

mod container;
pub mod core;
mod detect;
mod fetcher;
mod link;
mod options;
mod program;
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
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use options::AgentOptions;
pub use program::run_program;

use core::Settings;
use server::Server;
use service::{Input, Registration, Service, ServiceHandle};

/// The version of Mesos whose API this is.
pub(crate) const MESOS_VERSION: &str = "1.11.0";

/// Why an agent does not start, or is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The master's address has another form.
    #[error("master {0:?} is not host:port")]
    Master(String),
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
    pub(crate) async fn refused(&self) -> String {
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
        self.service.ask(Input::Stop).await;
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
    options.work_dir = absolute(&options.work_dir)?;
    container::kill_leftovers(&options.work_dir);
    let wanted = SocketAddr::new(options.ip, options.port);
    let listen = |source| StartError::Listen { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;
    let settings = settings(&options, addr).await?;
    let (registered, registration) = watch::channel(Registration::Waiting);
    let relink = Arc::new(Notify::new());
    let (service, handle) =
        Service::new(settings, options.switch_user, Arc::clone(&relink), registered)
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
    tasks.spawn(link::keep(options.master, handle.0.clone(), stopping.clone(), relink));
    Ok(AgentHandle { addr, service: handle, registration, stopping, tasks })
}

fn absolute(work_dir: &Path) -> Result<PathBuf, StartError> {
    let told = |source| StartError::Folder { path: work_dir.to_owned(), source };
    std::fs::create_dir_all(work_dir).map_err(told)?;
    work_dir.canonicalize().map_err(told)
}

async fn settings(options: &AgentOptions, bound: SocketAddr) -> Result<Settings, StartError> {
    let valid = options.master.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
    });
    if !valid {
        return Err(StartError::Master(options.master.clone()));
    }
    let flag = |flag| move |source| StartError::Flag { flag, source };
    let resources =
        detect::resources(options.resources.as_deref(), &options.default_role, &options.work_dir)
            .map_err(flag("resources"))?;
    let attributes = parse_attributes(options.attributes.as_deref().unwrap_or_default())
        .map_err(flag("attributes"))?;
    let ip = advertised_ip(options, bound).await;
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
        version: MESOS_VERSION.to_owned(),
        credential: options.credential.as_deref().map(credential).transpose()?,
        executor_registration_timeout: options.executor_registration_timeout,
        executor_shutdown_grace_period: options.executor_shutdown_grace_period,
        executor_environment: executor_environment(options)?,
        new_uuid: || *uuid::Uuid::new_v4().as_bytes(),
    })
}

async fn advertised_ip(options: &AgentOptions, bound: SocketAddr) -> IpAddr {
    if let Some(ip) = options.advertise_ip {
        return ip;
    }
    if !bound.ip().is_unspecified() {
        return bound.ip();
    }
    let towards = link::address_towards(&options.master).await;
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

/// Reads `--credential`: JSON or two words, in a file or in the flag itself.
fn credential(flag: &str) -> Result<(String, String), StartError> {
    let told = |problem: String| StartError::Value { flag: "credential", problem };
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
