//! Containers that Docker runs. They are named after the container's id and marked as the agent's, so
//! that an agent after a restart finds its own: it goes on with those it knows of and removes the rest.

mod config;
mod parameters;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{ContainerState, ContainerUpdateBody};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    WaitContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::{Machine, Order, process, sandbox};
use crate::core::{Ending, Event, LaunchSpec, Limitation, Limits, RecoveredContainer, Signal};

/// Docker answers within this time, or is taken for absent.
const TIMEOUT_SECONDS: u64 = 120;

/// Pause before an absent Docker is asked again about a running container.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The rest of the output may take so long to arrive after the end.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(5);

const MEBIBYTE: i64 = 1024 * 1024;

/// A connection to Docker, for the containers of one agent.
#[derive(Debug)]
pub(crate) struct DockerDaemon {
    client: Docker,
    owner: String,
    /// Processors are a limit, not only a share.
    cfs: bool,
}

impl DockerDaemon {
    /// Connects to a daemon at a socket.
    pub(crate) async fn connect(socket: &str, owner: String, cfs: bool) -> Result<Self, String> {
        let told = |error: bollard::errors::Error| format!("no Docker at {socket}: {error}");
        let client = Docker::connect_with_unix(socket, TIMEOUT_SECONDS, API_DEFAULT_VERSION);
        let client = client.map_err(told)?.negotiate_version().await.map_err(told)?;
        Ok(Self { client, owner, cfs })
    }

    /// Removes this agent's containers but for those of these ids.
    pub(crate) async fn clear_leftovers(&self, kept: &[&str]) -> Result<(), String> {
        let label = format!("{}={}", config::OWNER_LABEL, self.owner);
        let filters = HashMap::from([("label", vec![label])]);
        let filters: HashMap<String, Vec<String>> =
            filters.into_iter().map(|(name, values)| (name.to_owned(), values)).collect();
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self.client.list_containers(Some(options)).await;
        let found = found.map_err(|error| format!("cannot list Docker's containers: {error}"))?;
        let kept: Vec<_> = kept.iter().map(|id| format!("/{}", config::name(id))).collect();
        for container in found {
            let names = container.names.unwrap_or_default();
            if names.iter().any(|name| kept.contains(name)) {
                continue;
            }
            let id = container.id.unwrap_or_default();
            tracing::warn!(?names, "removing a Docker container an earlier agent left");
            self.remove(&id).await;
        }
        Ok(())
    }

    /// Has the image, pulling it if it is absent or a fresh one is wanted.
    async fn provide(&self, image: &str, force: bool) -> Result<(), String> {
        if !force && self.client.inspect_image(image).await.is_ok() {
            return Ok(());
        }
        let options = CreateImageOptionsBuilder::default().from_image(&config::tagged(image));
        let mut progress = self.client.create_image(Some(options.build()), None, None);
        while let Some(step) = progress.next().await {
            step.map_err(|error| format!("cannot pull the image '{image}': {error}"))?;
        }
        Ok(())
    }

    async fn create(&self, spec: &LaunchSpec) -> Result<(), String> {
        let container = spec.docker.as_deref().ok_or("it has no container")?;
        let body = config::body(spec, container, &self.owner, self.cfs)?;
        let name = config::name(&spec.container_id);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let told = |error| format!("Docker refuses the container: {error}");
        self.client.create_container(Some(options), body).await.map(drop).map_err(told)
    }

    /// Starts a created container and gives the process id of its first process.
    async fn start(&self, name: &str) -> Result<u32, String> {
        let told = |error| format!("Docker cannot start the container: {error}");
        self.client.start_container(name, None).await.map_err(told)?;
        let state = self.state(name).await.map_err(told)?;
        let pid = state.and_then(|state| state.pid).and_then(|pid| u32::try_from(pid).ok());
        Ok(pid.unwrap_or_default())
    }

    async fn state(&self, name: &str) -> Result<Option<ContainerState>, bollard::errors::Error> {
        match self.client.inspect_container(name, None).await {
            Ok(found) => Ok(Some(found.state.unwrap_or_default())),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for the end of a container, also over restarts of Docker; `None` if it is not there.
    async fn wait(&self, name: &str) -> Option<ContainerState> {
        loop {
            let mut waiting =
                std::pin::pin!(self.client.wait_container(name, None::<WaitContainerOptions>));
            let _ = waiting.next().await;
            match self.state(name).await {
                Ok(None) => return None,
                Ok(Some(state)) if state.running != Some(true) => return Some(state),
                Ok(Some(_)) | Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }

    async fn signal(&self, name: &str, signal: Signal) {
        let signal = match signal {
            Signal::Terminate => "SIGTERM",
            Signal::Kill => "SIGKILL",
        };
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        if let Err(error) = self.client.kill_container(name, Some(options)).await {
            tracing::debug!(name, %error, "a Docker container takes no signal; it has ended");
        }
    }

    async fn limit(&self, name: &str, limits: &Limits) {
        let most = match self.client.inspect_container(name, None).await {
            Ok(found) => found.host_config.and_then(|host| host.memory).unwrap_or(0),
            Err(_) => return,
        };
        let memory = limits.memory_limit.and_then(|bytes| i64::try_from(bytes).ok());
        let update = ContainerUpdateBody {
            cpu_shares: Some(config::shares(limits)),
            // It never becomes less, for it may be in use.
            memory: memory.filter(|bytes| *bytes > most),
            memory_swap: memory.filter(|bytes| *bytes > most).map(|bytes| bytes * 2),
            ..ContainerUpdateBody::default()
        };
        if let Err(error) = self.client.update_container(name, update).await {
            tracing::warn!(name, %error, "cannot change the limits of a Docker container");
        }
    }

    async fn remove(&self, name: &str) {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.client.remove_container(name, Some(options)).await {
            Ok(())
            | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => tracing::warn!(name, %error, "cannot remove a Docker container"),
        }
    }

    /// Copies a container's output into its sandbox until it ends, but for what is there already.
    async fn copy_output(&self, name: &str, sandbox: &Path) {
        let mut outputs = [Output::open(sandbox, "stdout"), Output::open(sandbox, "stderr")];
        let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).build();
        let mut log = std::pin::pin!(self.client.logs(name, Some(options)));
        while let Some(part) = log.next().await {
            let (which, message) = match part {
                Ok(LogOutput::StdErr { message }) => (1, message),
                Ok(
                    LogOutput::StdOut { message }
                    | LogOutput::Console { message }
                    | LogOutput::StdIn { message },
                ) => (0, message),
                Err(error) => {
                    tracing::warn!(name, %error, "output of a Docker container breaks off");
                    return;
                }
            };
            if let Err(error) = outputs[which].write(&message).await {
                tracing::warn!(name, %error, "cannot write the output of a Docker container");
                return;
            }
        }
    }
}

/// A file of a sandbox that a container's output goes to.
#[derive(Debug)]
struct Output {
    path: std::path::PathBuf,
    /// Bytes an earlier agent wrote, which Docker tells again.
    skipped: u64,
}

impl Output {
    fn open(sandbox: &Path, name: &str) -> Self {
        let path = sandbox.join(name);
        let parts = std::fs::read_dir(sandbox).into_iter().flatten().flatten();
        let ours = parts.filter(|entry| {
            let file = entry.file_name();
            let file = file.to_string_lossy();
            file == name || file.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        });
        let skipped = ours.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum();
        Self { path, skipped }
    }

    async fn write(&mut self, message: &[u8]) -> std::io::Result<()> {
        let length = message.len() as u64;
        let known = self.skipped.min(length);
        self.skipped -= known;
        let fresh = &message[usize::try_from(known).unwrap_or(message.len())..];
        if fresh.is_empty() {
            return Ok(());
        }
        // The sandbox is the container's, which may have put a link here.
        let mut options = tokio::fs::OpenOptions::new();
        options.append(true).create(true).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
        let mut file = options.open(&self.path).await?;
        file.write_all(fresh).await?;
        file.flush().await
    }
}

/// Fetches, pulls, starts, waits and cleans up.
pub(super) async fn run(
    spec: LaunchSpec,
    daemon: &DockerDaemon,
    machine: &Machine,
    mut orders: mpsc::Receiver<Order>,
    events: &mpsc::Sender<Event>,
) -> Result<Ending, String> {
    // Who runs in the container is the image's affair; the sandbox belongs to the user if he is known.
    let user = spec.user.as_deref().filter(|_| machine.switch_user);
    let user = user.and_then(|user| process::user(user).ok().flatten());
    sandbox::make(&spec.directory, user)?;
    for name in ["stdout", "stderr"] {
        let path = spec.directory.join(name);
        std::fs::write(&path, "").map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    let name = config::name(&spec.container_id);
    let docker = spec.docker.as_ref().and_then(|container| container.docker.as_ref());
    let image = docker.map(|docker| docker.image.clone()).unwrap_or_default();
    let force = docker.and_then(|docker| docker.force_pull_image).unwrap_or(false);
    let prepare = async {
        let fetched = machine.fetcher.fetch_all(&spec.uris, &spec.directory, user).await;
        fetched.map_err(|error| format!("Failed to fetch all URIs: {error}"))?;
        daemon.provide(&image, force).await?;
        daemon.create(&spec).await?;
        daemon.start(&name).await
    };
    let mut limits = None;
    let pid = {
        tokio::pin!(prepare);
        loop {
            tokio::select! {
                pid = &mut prepare => break pid,
                order = orders.recv() => match order {
                    Some(Order::Limit(changed)) => limits = Some(changed),
                    Some(Order::Signal(_)) | None => {
                        break Err("it was killed while being prepared".to_owned());
                    }
                },
            }
        }
    };
    let pid = match pid {
        Ok(pid) => pid,
        Err(problem) => {
            daemon.remove(&name).await;
            return Err(problem);
        }
    };
    let _ = events.send(Event::Launched { container: spec.container.clone(), pid }).await;
    if let Some(limits) = limits {
        daemon.limit(&name, &limits).await;
    }
    Ok(watch(&name, &spec.directory, daemon, machine, orders).await)
}

/// Goes on with a container an earlier agent started.
pub(super) async fn adopt(
    container: RecoveredContainer,
    daemon: &DockerDaemon,
    machine: &Machine,
    orders: mpsc::Receiver<Order>,
) -> Ending {
    let name = config::name(&container.of.id);
    watch(&name, &container.directory, daemon, machine, orders).await
}

/// Waits for the end of a container, obeying orders, and removes it.
async fn watch(
    name: &str,
    sandbox: &Path,
    daemon: &DockerDaemon,
    machine: &Machine,
    mut orders: mpsc::Receiver<Order>,
) -> Ending {
    let output = daemon.copy_output(name, sandbox);
    let end = daemon.wait(name);
    tokio::pin!(output, end);
    let mut rotation = tokio::time::interval(machine.rotation.interval());
    let mut copied = false;
    let state = loop {
        tokio::select! {
            state = &mut end => break state,
            () = &mut output, if !copied => copied = true,
            Some(order) = orders.recv() => match order {
                Order::Signal(signal) => daemon.signal(name, signal).await,
                Order::Limit(limits) => daemon.limit(name, &limits).await,
            },
            _ = rotation.tick() => machine.rotation.apply(sandbox).await,
        }
    };
    if !copied {
        let _ = tokio::time::timeout(OUTPUT_PATIENCE, output).await;
    }
    let memory = match daemon.client.inspect_container(name, None).await {
        Ok(found) => found.host_config.and_then(|host| host.memory).unwrap_or(0),
        Err(_) => 0,
    };
    daemon.remove(name).await;
    ending(state.as_ref(), memory)
}

/// Docker tells exit codes; those above 128 are signals by convention only, so they stay codes.
fn ending(state: Option<&ContainerState>, memory: i64) -> Ending {
    let Some(state) = state else { return Ending::default() };
    let code = state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
    let limitation = (state.oom_killed == Some(true)).then(|| Limitation {
        memory_mib: (memory / MEBIBYTE) as f64,
        message: format!(
            "Memory limit exceeded: Requested: {0}MB Maximum Used: {0}MB",
            memory / MEBIBYTE
        ),
    });
    Ending { status: Some((code & 0xff) << 8), limitation }
}
