//! Containers of plain processes.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::cgroup::{Group, MemoryWatch};
use super::process::{self, Shim, Tree};
use super::{Machine, Order, sandbox};
use crate::core::{Ending, Event, LaunchSpec, Limitation, Limits, RecoveredContainer, Signal};

/// How often it is looked whether a process that is not the agent's child still lives: the kernel
/// tells nobody else of its end.
const LIFE_CHECK: Duration = Duration::from_millis(50);

/// After memory has run out it is looked so often for the kill; later ones are seen each second.
const KILL_CHECKS: u32 = 20;
const KILL_CHECK_PAUSE: Duration = Duration::from_millis(5);

const MEBIBYTE: u64 = 1024 * 1024;

/// Fetches, starts, waits and cleans up.
pub(super) async fn run(
    spec: LaunchSpec,
    machine: &Machine,
    mut orders: mpsc::Receiver<Order>,
    events: &mpsc::Sender<Event>,
) -> Result<Ending, String> {
    let user = match spec.user.as_deref().filter(|_| machine.switch_user) {
        Some(user) => process::user(user)?,
        None => None,
    };
    sandbox::make(&spec.directory, user)?;
    let limits = fetch(&spec, machine, user, &mut orders).await?;
    let group = match &machine.cgroups {
        Some(cgroups) => {
            let name = Machine::group_name(&spec.container_id, spec.checkpoint.is_some());
            let made = cgroups.make(&name, &limits);
            Some(made.map_err(|error| format!("cannot limit its resources: {error}"))?)
        }
        None => None,
    };
    let started = start(spec, machine, user, group.clone(), events).await;
    let (tree, exit) = match started {
        Ok(started) => started,
        Err(problem) => {
            if let Some(group) = &group {
                process::kill_group(group).await;
                group.remove().await;
            }
            return Err(problem);
        }
    };
    Ok(watch(tree, async { exit.await.ok().flatten() }, machine, orders).await)
}

/// Fetches what the task asked for, unless it is killed meanwhile; gives its limits by then.
async fn fetch(
    spec: &LaunchSpec,
    machine: &Machine,
    user: Option<process::User>,
    orders: &mut mpsc::Receiver<Order>,
) -> Result<Limits, String> {
    let mut limits = spec.limits;
    let fetch = machine.fetcher.fetch_all(&spec.uris, &spec.directory, user);
    tokio::pin!(fetch);
    loop {
        tokio::select! {
            fetched = &mut fetch => {
                fetched.map_err(|error| format!("Failed to fetch all URIs: {error}"))?;
                return Ok(limits);
            }
            order = orders.recv() => match order {
                Some(Order::Limit(changed)) => limits = changed,
                Some(Order::Signal(_)) | None => {
                    return Err("it was killed while being fetched for".to_owned());
                }
            },
        }
    }
}

async fn start(
    spec: LaunchSpec,
    machine: &Machine,
    user: Option<process::User>,
    group: Option<Group>,
    events: &mpsc::Sender<Event>,
) -> Result<(Tree, oneshot::Receiver<Option<i32>>), String> {
    let (container, sandbox) = (spec.container.clone(), spec.directory.clone());
    let shim = match &spec.checkpoint {
        Some(checkpoint) => Some(Shim {
            program: machine.shim.clone()?,
            checkpoint: checkpoint.clone(),
            entrances: machine.cgroups.as_ref().map(|g| g.shim_entrances()).unwrap_or_default(),
        }),
        None => None,
    };
    let (ended, exit) = oneshot::channel();
    let order = process::Order { spec, user, group: group.clone(), shim };
    let started = machine.spawner.spawn(order, ended).await?;
    let _ = events.send(Event::Launched { container, pid: started.pid }).await;
    Ok((Tree { pid: Some(started.pid), shim: started.shim, sandbox, group }, exit))
}

/// Takes over a container an earlier agent started.
pub(super) async fn adopt(
    container: RecoveredContainer,
    checkpoint: &Path,
    machine: &Machine,
    orders: mpsc::Receiver<Order>,
) -> Ending {
    let name = Machine::group_name(&container.of.id, true);
    let group = machine.cgroups.as_ref().map(|cgroups| cgroups.group(&name));
    let sandbox = container.directory;
    // Process ids are used again: without a living shim, the first process may be another by now, and
    // what is left of the container is found by its group and its environment.
    let shim = shim_of(checkpoint).filter(|shim| process::belongs_to(*shim, &sandbox));
    let pid = container.pid.filter(|_| shim.is_some());
    let tree = Tree { pid, shim, sandbox, group };
    let exit = async {
        if let Some(shim) = shim {
            while process::is_alive(shim) {
                tokio::time::sleep(LIFE_CHECK).await;
            }
        }
        process::exit_status(checkpoint)
    };
    watch(tree, exit, machine, orders).await
}

/// The shim's process id, the second word of the file it wrote.
fn shim_of(checkpoint: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(checkpoint.join("forked.pid")).ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

/// Waits for the end of the first process, obeying orders, and cleans up after it.
async fn watch(
    tree: Tree,
    exit: impl Future<Output = Option<i32>>,
    machine: &Machine,
    mut orders: mpsc::Receiver<Order>,
) -> Ending {
    let memory = tree.group.as_ref().map(Group::watch_memory).transpose();
    let memory = memory.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot watch a container's memory");
        None
    });
    let mut rotation = tokio::time::interval(machine.rotation.interval());
    tokio::pin!(exit);
    let status = loop {
        tokio::select! {
            status = &mut exit => break status,
            Some(order) = orders.recv() => obey(order, &tree).await,
            () = memory_event(memory.as_ref()) => {
                // The kernel tells that memory has run out a moment before it kills.
                for _ in 0..KILL_CHECKS {
                    if end_if_killed(&tree).await {
                        break;
                    }
                    tokio::time::sleep(KILL_CHECK_PAUSE).await;
                }
            }
            _ = rotation.tick() => {
                end_if_killed(&tree).await;
                machine.rotation.apply(&tree.sandbox).await;
            }
        }
    };
    drop(memory);
    // Whatever the first process left behind must not outlive the container.
    tree.kill_rest().await;
    let limitation = tree.group.as_ref().and_then(limitation);
    if let Some(group) = &tree.group {
        group.remove().await;
    }
    Ending { status, limitation }
}

/// Ends a container of which the kernel killed a process for want of memory: the others are not to go
/// on without it.
async fn end_if_killed(tree: &Tree) -> bool {
    let killed = tree.group.as_ref().is_some_and(|group| group.memory_kills() > 0);
    if killed {
        tree.signal(Signal::Kill).await;
    }
    killed
}

async fn memory_event(watch: Option<&MemoryWatch>) {
    match watch {
        Some(watch) => watch.event().await,
        None => std::future::pending().await,
    }
}

async fn obey(order: Order, tree: &Tree) {
    match order {
        Order::Signal(signal) => tree.signal(signal).await,
        Order::Limit(limits) => {
            if let Some(Err(error)) = tree.group.as_ref().map(|group| group.limit(&limits)) {
                tracing::warn!(%error, sandbox = %tree.sandbox.display(), "cannot change limits");
            }
        }
    }
}

/// Why the kernel killed processes of the group, if it did.
fn limitation(group: &Group) -> Option<Limitation> {
    if group.memory_kills() == 0 {
        return None;
    }
    let (limit, most) = group.memory();
    let mebibytes = |bytes: Option<u64>| bytes.unwrap_or_default() / MEBIBYTE;
    Some(Limitation {
        memory_mib: mebibytes(limit) as f64,
        message: format!(
            "Memory limit exceeded: Requested: {}MB Maximum Used: {}MB",
            mebibytes(limit),
            mebibytes(most)
        ),
    })
}
