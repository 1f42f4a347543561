//! Containers: a sandbox, what is fetched into it, and processes under limits that all die with it.

mod cgroup;
mod docker;
mod logs;
mod posix;
mod process;
mod sandbox;
mod warden;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::core::{ContainerKey, Ending, Event, LaunchSpec, Limits, RecoveredContainer, Signal};
use crate::fetcher::Fetcher;
use crate::paths::Paths;

pub(crate) use cgroup::Cgroups;
pub(crate) use docker::DockerDaemon;
pub(crate) use logs::Rotation;
pub(crate) use process::{Spawner, User, kill_leftovers};
use warden::Warden;

/// Orders waiting for a container. Half of the places are kept for signals, which must not get lost.
const ORDER_QUEUE: usize = 32;

/// The program that outlives the agent beside a checkpointed container.
const SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shim"));

/// What containers are made with.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) spawner: Spawner,
    pub(crate) paths: Paths,
    pub(crate) switch_user: bool,
    /// Without them nothing is limited.
    pub(crate) cgroups: Option<Cgroups>,
    /// Without it no container is Docker's.
    pub(crate) docker: Option<DockerDaemon>,
    pub(crate) rotation: Rotation,
    pub(crate) fetcher: Fetcher,
    /// The shim's program, or why there is none.
    pub(crate) shim: Result<PathBuf, String>,
}

/// Writes the shim's program to the work directory, before anything is started that might hold the
/// file open while another starts it.
pub(crate) fn install_shim(paths: &Paths) -> Result<PathBuf, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = paths.meta().join(format!("shim-{}", env!("CARGO_PKG_VERSION")));
    let told = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    if std::fs::read(&path).is_ok_and(|found| found == SHIM) {
        return Ok(path);
    }
    std::fs::create_dir_all(paths.meta()).map_err(told)?;
    // One that runs cannot be written over, but be replaced.
    let draft = path.with_extension("new");
    std::fs::write(&draft, SHIM).map_err(told)?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).map_err(told)?;
    std::fs::rename(&draft, &path).map_err(told)?;
    Ok(path)
}

impl Machine {
    fn group_name(container_id: &str, checkpoint: bool) -> String {
        let kept = if checkpoint { cgroup::KEPT } else { "" };
        format!("{container_id}{kept}")
    }

    /// Ends what an earlier agent left but for these containers.
    pub(crate) async fn clear_leftovers(&self, kept: &[RecoveredContainer]) {
        let sandboxes: Vec<_> = kept.iter().map(|container| container.directory.clone()).collect();
        let folder = self.paths.sandboxes();
        let killing = tokio::task::spawn_blocking(move || kill_leftovers(&folder, &sandboxes));
        let _ = killing.await;
        if let Some(docker) = &self.docker {
            let kept: Vec<_> = kept.iter().map(|container| container.of.id.as_str()).collect();
            if let Err(problem) = docker.clear_leftovers(&kept).await {
                tracing::warn!(%problem, "what an earlier agent left in Docker stays there");
            }
        }
        let Some(cgroups) = &self.cgroups else { return };
        let kept: Vec<_> = kept.iter().map(|c| Self::group_name(&c.of.id, true)).collect();
        for name in cgroups.names().into_iter().filter(|name| !kept.contains(name)) {
            let group = cgroups.group(&name);
            process::kill_group(&group).await;
            group.remove().await;
        }
    }
}

/// What a running container is told.
#[derive(Debug)]
enum Order {
    Signal(Signal),
    Limit(Limits),
}

/// Everything of containers that has to do with the machine.
#[derive(Debug)]
pub(crate) struct Containerizer {
    machine: Arc<Machine>,
    orders: BTreeMap<ContainerKey, mpsc::Sender<Order>>,
    /// Lives as long as the agent.
    warden: Warden,
    events: mpsc::Sender<Event>,
}

impl Containerizer {
    pub(crate) fn new(
        machine: Machine,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, std::io::Error> {
        let groups = machine.cgroups.as_ref().map(Cgroups::folders).unwrap_or_default();
        let warden = Warden::start(&machine.paths.sandboxes(), &groups)?;
        Ok(Self { machine: Arc::new(machine), orders: BTreeMap::new(), warden, events })
    }

    /// Starts a container; what becomes of it is told in events.
    pub(crate) fn launch(&mut self, spec: LaunchSpec) {
        let orders = self.order_book(&spec.container);
        let (machine, events) = (Arc::clone(&self.machine), self.events.clone());
        tokio::spawn(async move {
            let (container, directory) = (spec.container.clone(), spec.directory.clone());
            let ended = match (&spec.docker, &machine.docker) {
                (None, _) => posix::run(spec, &machine, orders, &events).await,
                (Some(_), Some(daemon)) => {
                    docker::run(spec, daemon, &machine, orders, &events).await
                }
                (Some(_), None) => Err("the agent has no Docker".to_owned()),
            };
            sandbox::leave(&directory);
            let event = match ended {
                Ok(ending) => Event::Exited { container, ending },
                Err(message) => Event::LaunchFailed { container, message },
            };
            // The loop ends only when the agent stops, and then kills what is left.
            let _ = events.send(event).await;
        });
    }

    /// Takes over a container an earlier agent started, whose checkpoints are in this folder.
    pub(crate) fn adopt(&mut self, container: RecoveredContainer, checkpoint: PathBuf) {
        let orders = self.order_book(&container.of.key);
        let (machine, events) = (Arc::clone(&self.machine), self.events.clone());
        tokio::spawn(async move {
            let key = container.of.key.clone();
            let directory = container.directory.clone();
            let ending = match &machine.docker {
                _ if !container.docker => {
                    posix::adopt(container, &checkpoint, &machine, orders).await
                }
                Some(daemon) => docker::adopt(container, daemon, &machine, orders).await,
                // Nobody can say what became of it.
                None => Ending::default(),
            };
            sandbox::leave(&directory);
            let _ = events.send(Event::Exited { container: key, ending }).await;
        });
    }

    fn order_book(&mut self, container: &ContainerKey) -> mpsc::Receiver<Order> {
        let (sender, orders) = mpsc::channel(ORDER_QUEUE);
        self.orders.insert(container.clone(), sender);
        orders
    }

    /// Signals a container that has not ended.
    pub(crate) fn signal(&mut self, container: &ContainerKey, signal: Signal) {
        self.order(container, Order::Signal(signal));
    }

    /// Changes what a container may use.
    pub(crate) fn limit(&mut self, container: &ContainerKey, limits: Limits) {
        let room = self.orders.get(container).map_or(0, mpsc::Sender::capacity);
        if room > ORDER_QUEUE / 2 {
            self.order(container, Order::Limit(limits));
        }
    }

    fn order(&mut self, container: &ContainerKey, order: Order) {
        if let Some(sender) = self.orders.get(container) {
            let _ = sender.try_send(order);
        }
    }

    /// Ends the watch over the sandboxes, in which nothing runs any more.
    pub(crate) fn close(&mut self) {
        self.warden.dismiss();
        if let Some(cgroups) = &self.machine.cgroups {
            cgroups.close();
        }
    }

    /// Ends what is not checkpointed at once, whatever state it is in.
    pub(crate) fn release(&mut self) {
        self.warden.release();
    }

    /// Forgets an ended container.
    pub(crate) fn forget(&mut self, container: &ContainerKey) {
        self.orders.remove(container);
    }
}
