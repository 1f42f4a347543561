//! The external shuffle service: one per agent, serves the map output of executors that are gone.
//!
//! Executors register their directories ([`ShuffleServiceClient::register`]); from then on the
//! service answers for every block in them, to those who know the application's secret, and sweeps
//! them when the master says that the application is over ([`Lifetimes`]). What it must remember it
//! keeps in files, so that it may be killed and started again. It knows no Mesos: who looks at the
//! master is given to it as a [`MasterWatch`].

mod control;
mod lifetime;
mod record;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub(crate) use control::MARK;
pub use control::{ServiceError, ShuffleServiceClient};
pub use lifetime::{Lifetimes, MasterView, RemovalReason};

use crate::blocks::{Blocks, DirectoryBlocks};
use crate::secret::{PROOF_BYTES, Secret};
use crate::server::{BlockServer, BlockServerOptions, BlockSource, blocking};
use control::{Control, Said};
use record::Record;

/// Applications known at one time; a registration beyond is refused.
const APPLICATIONS_LIMIT: usize = 10_000;

/// Directories of one application: executors it had on this agent, times their local directories.
const DIRECTORIES_LIMIT: usize = 10_000;

/// Who looks at the master for the service.
pub trait MasterWatch: Send + Sync + 'static {
    /// What the leading master says now; an error if it cannot be reached, or there is none.
    fn look(&self) -> BoxFuture<'_, Result<MasterView, String>>;
}

/// How the service behaves.
#[derive(Clone, Debug)]
pub struct ShuffleServiceOptions {
    /// Where it listens (`spark.shuffle.service.port`, 7337); port 0 is any free one.
    pub address: SocketAddr,
    /// Where it remembers applications over a restart; made if missing, readable for nobody else.
    pub state_directory: PathBuf,
    /// How often it looks at the master (`spark.shuffle.cleaner.interval`).
    pub check_interval: Duration,
    /// Connections at one time. All executors of the cluster fetch from here.
    pub connections_limit: usize,
}

impl ShuffleServiceOptions {
    /// The defaults on an address.
    pub fn new(address: SocketAddr, state_directory: impl Into<PathBuf>) -> Self {
        Self {
            address,
            state_directory: state_directory.into(),
            check_interval: Duration::from_secs(30),
            connections_limit: 4096,
        }
    }
}

/// A running service; dropped, it stops. Files and records stay.
#[derive(Debug)]
pub struct ShuffleService {
    server: BlockServer,
    registry: Arc<Registry>,
    _cleaner: JoinSet<()>,
}

/// What a service knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ShuffleServiceStatistics {
    /// Applications registered.
    pub applications: usize,
    /// Directories of theirs.
    pub directories: usize,
}

impl ShuffleService {
    /// Reads its records, listens, and looks at the master from time to time.
    ///
    /// # Errors
    /// If its directory cannot be used, or it cannot listen.
    pub async fn start(
        options: ShuffleServiceOptions,
        watch: impl MasterWatch,
    ) -> io::Result<Self> {
        let state = options.state_directory.clone();
        let registry = Arc::new(blocking(move || Registry::open(state)).await?);
        let mut server = BlockServerOptions::on(options.address);
        server.connections_limit = options.connections_limit;
        let server = BlockServer::start(server, Source(registry.clone())).await?;
        let mut cleaner = JoinSet::new();
        cleaner.spawn(clean(registry.clone(), watch, options.check_interval));
        Ok(Self { server, registry, _cleaner: cleaner })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What it knows now.
    pub fn statistics(&self) -> ShuffleServiceStatistics {
        let applications = self.registry.applications.lock();
        ShuffleServiceStatistics {
            applications: applications.len(),
            directories: applications.values().map(|a| a.record.directories.len()).sum(),
        }
    }

    /// Stops serving.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

async fn clean(registry: Arc<Registry>, watch: impl MasterWatch, interval: Duration) {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Told once, and again when it is another: a refusal must not hide behind a late connection.
    let mut problem: Option<String> = None;
    loop {
        ticks.tick().await;
        let view = watch.look().await;
        match &view {
            Ok(_) if problem.is_some() => tracing::info!("the master can be seen again"),
            Err(error) if problem.as_ref() != Some(error) => {
                tracing::warn!(%error, "the master cannot be seen; no files are removed meanwhile");
            }
            Ok(_) | Err(_) => {}
        }
        problem = view.as_ref().err().cloned();
        let removals = registry.lifetimes.lock().looked(view.ok().as_ref(), start.elapsed());
        for (application, reason) in removals {
            let registry = registry.clone();
            blocking(move || registry.remove(&application, &reason)).await;
        }
    }
}

/// The applications.
#[derive(Debug)]
struct Registry {
    state_directory: PathBuf,
    applications: Mutex<BTreeMap<String, Application>>,
    lifetimes: Mutex<Lifetimes>,
}

#[derive(Debug)]
struct Application {
    record: Record,
    blocks: Arc<DirectoryBlocks>,
}

impl Registry {
    fn open(state_directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&state_directory)?;
        fs::set_permissions(&state_directory, fs::Permissions::from_mode(0o700))?;
        let mut applications = BTreeMap::new();
        let mut lifetimes = Lifetimes::default();
        for entry in fs::read_dir(&state_directory)?.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "application") {
                continue;
            }
            match Record::read(&path) {
                Ok(record) => {
                    lifetimes.add(&record.application, record.failover_timeout);
                    let blocks = Arc::new(DirectoryBlocks::new(record.directories.clone()));
                    let id = record.application.clone();
                    applications.insert(id, Application { record, blocks });
                }
                Err(error) => {
                    // Kept aside: the directories it names must be removed by hand.
                    tracing::error!(record = %path.display(), %error, "application record not readable");
                    let _ = fs::rename(&path, path.with_extension("unreadable"));
                }
            }
        }
        let (applications, lifetimes) = (Mutex::new(applications), Mutex::new(lifetimes));
        Ok(Self { state_directory, applications, lifetimes })
    }

    fn record_path(&self, application: &str) -> PathBuf {
        self.state_directory.join(Record::file_name(application))
    }

    fn secret(&self, application: &str) -> Option<Secret> {
        self.applications.lock().get(application).map(|known| known.record.secret.clone())
    }

    /// The secret by which a message is judged. Blocks.
    fn secret_for(&self, said: &Said) -> Result<Secret, String> {
        if let Some(secret) = self.secret(&said.application) {
            return Ok(secret);
        }
        match &said.control {
            Control::Register { directories } => {
                let first = directories.first().ok_or("no directory is named")?;
                let record = Record::in_directory(first)?;
                if record.application == said.application {
                    Ok(record.secret)
                } else {
                    Err(format!("{} belongs to another application", first.display()))
                }
            }
            Control::RemoveShuffle { .. } | Control::Finish => {
                Err(format!("application {} is not registered here", said.application))
            }
        }
    }

    /// Does what was said by one who knows the secret. Blocks.
    fn perform(&self, application: &str, secret: &Secret, control: Control) -> Result<(), String> {
        match control {
            Control::Register { directories } => self.register(application, secret, directories),
            Control::RemoveShuffle { shuffle } => {
                let blocks = self.applications.lock().get(application).map(|a| a.blocks.clone());
                if let Some(blocks) = blocks {
                    blocks.remove_shuffle(shuffle);
                }
                Ok(())
            }
            Control::Finish => {
                self.remove(application, &RemovalReason::Finished);
                Ok(())
            }
        }
    }

    fn register(
        &self,
        application: &str,
        secret: &Secret,
        directories: Vec<PathBuf>,
    ) -> Result<(), String> {
        let first = directories.first().ok_or("no directory is named")?;
        let theirs = Record::in_directory(first)?;
        let mut applications = self.applications.lock();
        let mut record = match applications.get(application) {
            Some(known) => known.record.clone(),
            None if applications.len() >= APPLICATIONS_LIMIT => {
                return Err(format!("it serves {APPLICATIONS_LIMIT} applications already"));
            }
            None => Record {
                application: application.to_owned(),
                secret: secret.clone(),
                failover_timeout: theirs.failover_timeout,
                directories: Vec::new(),
            },
        };
        for directory in &directories {
            record.owns(directory)?;
            if !record.directories.contains(directory) {
                record.directories.push(directory.clone());
            }
        }
        // Executors come and go: what they took with them need not be looked through.
        record.directories.retain(|directory| directory.exists());
        if record.directories.len() > DIRECTORIES_LIMIT {
            return Err(format!("the application has {DIRECTORIES_LIMIT} directories already"));
        }
        record.failover_timeout = record.failover_timeout.max(theirs.failover_timeout);
        record
            .write(&self.record_path(application))
            .map_err(|error| format!("it cannot remember the application: {error}"))?;
        let known = applications.entry(application.to_owned()).or_insert_with(|| {
            tracing::info!(application, "application registered");
            Application { record: record.clone(), blocks: Arc::default() }
        });
        for directory in &record.directories {
            known.blocks.add(directory.clone());
        }
        self.lifetimes.lock().add(application, record.failover_timeout);
        known.record = record;
        Ok(())
    }

    /// Removes an application with its files. The record goes last: what is interrupted is done
    /// again after a restart.
    fn remove(&self, application: &str, reason: &RemovalReason) {
        let known = self.applications.lock().remove(application);
        self.lifetimes.lock().remove(application);
        let Some(Application { record, .. }) = known else { return };
        tracing::info!(application, %reason, "application's shuffle files are removed");
        for directory in &record.directories {
            remove_directory(&record, directory);
        }
        let mut rest = record.directories.iter().filter(|directory| directory.exists());
        if rest.next().is_none() {
            let _ = fs::remove_file(self.record_path(application));
        }
    }
}

/// Removes a directory if it still is what was registered: its name may be another's by now.
fn remove_directory(record: &Record, directory: &Path) {
    if !directory.exists() {
        return;
    }
    let removed = record
        .owns(directory)
        .and_then(|()| fs::remove_dir_all(directory).map_err(|error| error.to_string()));
    if let Err(error) = removed {
        tracing::warn!(directory = %directory.display(), error, "shuffle files not removed");
    }
}

struct Source(Arc<Registry>);

impl BlockSource for Source {
    fn application(&self, application: &str) -> Option<(Secret, Arc<dyn Blocks>)> {
        let applications = self.0.applications.lock();
        let known = applications.get(application)?;
        Some((known.record.secret.clone(), known.blocks.clone()))
    }

    fn control<'a>(
        &'a self,
        socket: &'a mut TcpStream,
        ours: &'a [u8; PROOF_BYTES],
    ) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            let said = control::read(socket).await?;
            let (registry, ours_copy) = (self.0.clone(), *ours);
            let (said, outcome) = blocking(move || {
                let outcome = registry.secret_for(&said).and_then(|secret| {
                    if !said.is_proven(&secret, &ours_copy) {
                        return Err("wrong secret".to_owned());
                    }
                    registry.perform(&said.application, &secret, said.control.clone())?;
                    Ok(secret)
                });
                (said, outcome)
            })
            .await;
            if let Err(reason) = &outcome {
                tracing::warn!(application = said.application, reason, "request refused");
            }
            control::answer(socket, ours, &said, outcome).await
        })
    }
}
