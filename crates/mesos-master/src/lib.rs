//! A Mesos master: the v1 scheduler API, offers by dominant resource fairness, agents of our own
//! kind, and the endpoints tools know. [`start`] runs one in this process.

pub mod allocator;
pub mod core;
mod election;
mod messages;
mod options;
mod registrar;
mod server;
mod service;
mod shared;
mod store;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesos_api::{Address, MasterInfo, master_info};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use core::MalformedAcls;
pub use election::MalformedEnsemble;
pub use options::{MasterOptions, Roles, Weights};
pub use server::CredentialError;
pub use store::StoreError;

use core::registry::Registry;
use core::{Acls, Settings};
use election::{Ensemble, Leader};
use registrar::Registrar;
use server::{Credentials, Server};
use service::Service;
use store::Store;

/// Offers wait so long for more resources to become free, so that they come in batches.
const ALLOCATION_DELAY: Duration = Duration::from_millis(3);

/// As in Mesos, where it is fixed.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// Why a master does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
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
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The registry cannot be used.
    #[error(transparent)]
    Registry(#[from] StoreError),
    /// The ensemble cannot be used.
    #[error(transparent)]
    Ensemble(#[from] MalformedEnsemble),
    /// The access control lists cannot be used.
    #[error("--acls cannot be used")]
    Acls(#[source] MalformedAcls),
    /// The file of the access control lists cannot be read.
    #[error("cannot read the access control lists of {path}")]
    AclFile {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// A running master. Dropping the handle stops it, without waiting.
#[derive(Debug)]
pub struct MasterHandle {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it tells others about itself.
    pub info: MasterInfo,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl MasterHandle {
    /// Waits until the master ends by itself: it lost its leadership, or cannot write its registry.
    pub async fn ended(&self) {
        self.stopping.cancelled().await;
    }

    /// Stops the master and waits until its connections are closed.
    pub async fn shutdown(self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for MasterHandle {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// Starts a master in this process.
///
/// # Errors
/// [`StartError`] if the address, a folder or the credentials cannot be used.
pub async fn start(options: MasterOptions) -> Result<MasterHandle, StartError> {
    for path in [&options.work_dir, &options.log_dir].into_iter().flatten() {
        std::fs::create_dir_all(path)
            .map_err(|source| StartError::Folder { path: path.clone(), source })?;
    }
    let credentials = match &options.credentials {
        Some(path) => server::read_credentials(path)?,
        None if options.authenticates() => return Err(CredentialError::None.into()),
        None => Credentials::new(),
    };
    let acls = read_acls(options.acls.as_deref())?;
    let (store, registry) = match &options.work_dir {
        Some(work_dir) => {
            let (store, registry) = Store::open(work_dir)?;
            (Some(store), registry)
        }
        None => (None, Registry::default()),
    };
    let wanted = SocketAddr::new(options.ip, options.port);
    let listen = |source| StartError::Listen { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;
    let advertised = advertised_address(&options, addr);
    let info = master_info(&options, advertised);
    let (handle, inputs) = service::inputs();
    let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (elected, leader) = watch::channel(Leader::Own);
    let mut lead = None;
    if let Some(url) = &options.zk {
        elected.send_replace(Leader::Unknown);
        let ensemble = Ensemble::parse(url)?;
        let (contender, stops) = (info.clone(), stopping.clone());
        let (won, winning) = oneshot::channel();
        lead = Some(winning);
        tasks.spawn(async move {
            tokio::select! {
                () = stops.cancelled() => {}
                // It returns when another may lead: then this master must not go on.
                () = election::contend(ensemble, contender, elected, won) => {
                    tracing::error!("leadership is lost; the master stops");
                    stops.cancel();
                }
            }
        });
    }
    let (settings, stops) = (settings(&options, acls, info.clone()), stopping.clone());
    tasks.spawn(async move {
        let leading = async {
            // Without ZooKeeper it leads from the start.
            let begun = match lead {
                None => Ok((Registrar::alone(store), registry)),
                Some(lead) => {
                    let Ok(lead) = lead.await else { return };
                    tracing::info!("master is leading");
                    Registrar::elected(store, registry, lead).await
                }
            };
            match begun {
                Ok((registrar, registry)) => {
                    Service::new(settings, registrar, registry, inputs).run().await;
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the registry cannot be used; the master stops");
                }
            }
        };
        tokio::select! {
            () = stops.cancelled() => {}
            // It ends by itself only when it must not go on.
            () = leading => stops.cancel(),
        }
    });
    let server = Arc::new(Server {
        service: handle,
        leader,
        options,
        credentials,
        advertised,
        next_link: AtomicU64::new(0),
        told: Mutex::default(),
        stopping: stopping.clone(),
        tasks: tasks.clone(),
    });
    tasks.spawn(server::serve(listener, server));
    tracing::info!(%addr, %advertised, id = %info.id, "master is there");
    Ok(MasterHandle { addr, info, stopping, tasks })
}

/// Writes the documents of `/state` as a master with default options does, each by what it knows of the one
/// before.
#[derive(Debug, Default)]
pub struct StateWriter(server::state::Told);

impl StateWriter {
    /// The document in pieces.
    pub fn write(&mut self, snapshot: &core::Snapshot) -> Vec<bytes::Bytes> {
        let head = server::views::state_head(snapshot, &MasterOptions::default());
        self.0.state(snapshot, head, &mut server::state::Gone::default()).0
    }
}

/// JSON, or a path or URL of a file with it.
fn read_acls(acls: Option<&str>) -> Result<Acls, StartError> {
    let Some(text) = acls else { return Ok(Acls::default()) };
    if text.trim_start().starts_with('{') {
        return Acls::parse(text).map_err(StartError::Acls);
    }
    let path = text.strip_prefix("file://").unwrap_or(text);
    let content = std::fs::read_to_string(path)
        .map_err(|source| StartError::AclFile { path: path.to_owned(), source })?;
    Acls::parse(&content).map_err(StartError::Acls)
}

fn settings(options: &MasterOptions, acls: Acls, master_info: MasterInfo) -> Settings {
    Settings {
        master_info,
        offer_timeout: options.offer_timeout,
        agent_ping_timeout: options.agent_ping_timeout,
        max_agent_ping_timeouts: options.max_agent_ping_timeouts,
        allocation_delay: ALLOCATION_DELAY,
        allocation_interval: options.allocation_interval,
        heartbeat_interval: HEARTBEAT_INTERVAL,
        max_completed_frameworks: options.max_completed_frameworks,
        max_completed_tasks_per_framework: options.max_completed_tasks_per_framework,
        weights: options.weights.clone().unwrap_or_default(),
        roles: options.roles.clone().unwrap_or_default(),
        agent_reregister_timeout: options.agent_reregister_timeout,
        filter_gpu_resources: options.filter_gpu_resources,
        acls,
    }
}

/// What others dial: the flags' address, else the one listened on, else this machine's own.
fn advertised_address(options: &MasterOptions, bound: SocketAddr) -> SocketAddr {
    let ip = match options.advertise_ip {
        Some(ip) => ip,
        None if bound.ip().is_unspecified() => own_address(),
        None => bound.ip(),
    };
    SocketAddr::new(ip, options.advertise_port.unwrap_or(bound.port()))
}

/// The address packets to the outside would come from; nothing is sent.
fn own_address() -> IpAddr {
    let probe = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // A documentation address: never reached.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    probe().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address: SocketAddr| address.ip())
}

fn master_info(options: &MasterOptions, advertised: SocketAddr) -> MasterInfo {
    let hostname = options.hostname.clone().unwrap_or_else(|| advertised.ip().to_string());
    let ip = match advertised.ip() {
        // In network order, read as a number of the host.
        IpAddr::V4(ip) => u32::from_ne_bytes(ip.octets()),
        IpAddr::V6(_) => 0,
    };
    MasterInfo {
        id: uuid::Uuid::new_v4().to_string(),
        ip,
        port: u32::from(advertised.port()),
        pid: Some(format!("master@{advertised}")),
        hostname: Some(hostname.clone()),
        version: Some("1.11.0".to_owned()),
        address: Some(Address {
            hostname: Some(hostname),
            ip: Some(advertised.ip().to_string()),
            port: i32::from(advertised.port()),
        }),
        domain: None,
        capabilities: vec![
            master_info::Capability {
                r#type: Some(master_info::CapabilityType::AgentUpdate.into()),
            },
            master_info::Capability {
                r#type: Some(master_info::CapabilityType::AgentDraining.into()),
            },
        ],
    }
}
