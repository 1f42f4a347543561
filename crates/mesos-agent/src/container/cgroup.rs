//! Control groups: what a container may use of processors and memory, which processes belong to it,
//! and whether the kernel killed one for want of memory. The controllers are taken where they are:
//! in hierarchies of version 1, also beside an empty one of version 2, or in that of version 2.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::io::unix::AsyncFd;

use crate::core::Limits;

/// Shares of one processor, and the fewest there are.
const SHARES_PER_CPU: f64 = 1024.0;
const LEAST_SHARES: f64 = 2.0;

/// The bandwidth controller counts in such periods, and grants no less than this in one.
const PERIOD_MICROSECONDS: f64 = 100_000.0;
const LEAST_QUOTA_MICROSECONDS: f64 = 1_000.0;

/// Helpers that must not count as the container's live here.
const SHIMS: &str = "shims";

/// What ends the names of groups that outlive the agent's process.
pub(super) const KEPT: &str = ".kept";

/// A group whose processes are dying is removed in so many tries.
const REMOVAL_TRIES: u32 = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(4);

/// Folders of one agent in the hierarchies.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Folders {
    /// A hierarchy for each controller.
    One { cpu: Option<PathBuf>, memory: Option<PathBuf> },
    /// One hierarchy for all.
    Two(PathBuf),
}

impl Folders {
    fn all(&self) -> Vec<&PathBuf> {
        match self {
            Self::One { cpu, memory } => memory.iter().chain(cpu).collect(),
            Self::Two(folder) => vec![folder],
        }
    }

    fn join(&self, name: &str) -> Self {
        let join = |folder: &PathBuf| folder.join(name);
        match self {
            Self::One { cpu, memory } => {
                Self::One { cpu: cpu.as_ref().map(join), memory: memory.as_ref().map(join) }
            }
            Self::Two(folder) => Self::Two(join(folder)),
        }
    }

    fn make(&self) -> io::Result<()> {
        self.all().into_iter().try_for_each(fs::create_dir_all)
    }
}

/// The groups of an agent's containers.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    folders: Folders,
    /// Processors are a limit, not only a share.
    cfs: bool,
    /// Tells other agents that somebody uses the folders, for as long as this process lives.
    _claim: Option<Arc<Flock<File>>>,
}

impl Cgroups {
    /// Prepares the groups of an agent below `root` in the hierarchies of `mounts`, the text of
    /// `/proc/self/mounts`.
    pub(crate) fn prepare(
        mounts: &str,
        root: &str,
        agent: &str,
        cfs: bool,
    ) -> Result<Self, String> {
        let mounted = mounted(mounts)?;
        let place = Path::new(root.trim_matches('/')).join(agent);
        let own = |mount: &PathBuf| mount.join(&place);
        let told = |error: io::Error| format!("cannot make groups below '{root}': {error}");
        // One agent after the other, so that none removes what another has just made.
        let root_folders = mounted.join(root.trim_matches('/'));
        root_folders.make().map_err(told)?;
        let turn = lock(root_folders.all().first().copied(), FlockArg::LockExclusive);
        sweep(&root_folders, agent);
        let folders = match &mounted {
            Folders::One { cpu, memory } => {
                Folders::One { cpu: cpu.as_ref().map(own), memory: memory.as_ref().map(own) }
            }
            Folders::Two(mount) => {
                delegate(mount, &place).map_err(told)?;
                Folders::Two(own(mount))
            }
        };
        let mut groups = Self { folders, cfs, _claim: None };
        groups.folders.make().map_err(told)?;
        groups.folders.join(SHIMS).make().map_err(told)?;
        if let Folders::One { memory: Some(memory), .. } = &groups.folders {
            // What a task's own groups use counts too; where it is so already, it cannot be set.
            let _ = fs::write(memory.join("memory.use_hierarchy"), "1");
        }
        if groups.folders.all().iter().any(|folder| !folder.join("cgroup.procs").exists()) {
            return Err(format!("'{root}' is no group of the kernel"));
        }
        let first = groups.folders.all().first().copied();
        groups._claim = lock(first, FlockArg::LockSharedNonblock).map(Arc::new);
        drop(turn);
        Ok(groups)
    }

    /// What is limited, in words.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.folders {
            Folders::One { cpu: Some(_), memory: Some(_) } => "cpu and memory (version 1)",
            Folders::One { cpu: Some(_), memory: None } => "cpu only (version 1)",
            Folders::One { cpu: None, .. } => "memory only (version 1)",
            Folders::Two(_) => "cpu and memory (version 2)",
        }
    }

    /// Makes a container's group with its limits.
    pub(super) fn make(&self, name: &str, limits: &Limits) -> io::Result<Group> {
        let group = self.group(name);
        group.folders.make()?;
        group.write(limits, true)?;
        Ok(group)
    }

    /// A group that was made before.
    pub(super) fn group(&self, name: &str) -> Group {
        Group { folders: self.folders.join(name), cfs: self.cfs }
    }

    /// Files through which a process enters the group of helpers.
    pub(super) fn shim_entrances(&self) -> Vec<PathBuf> {
        self.group(SHIMS).entrances()
    }

    /// Names of all groups of containers.
    pub(super) fn names(&self) -> Vec<String> {
        names_in(&self.folders).into_iter().filter(|name| name != SHIMS).collect()
    }

    /// Removes the agent's folders, unless something lives there.
    pub(super) fn close(&self) {
        for folder in self.folders.all() {
            let _ = fs::remove_dir(folder.join(SHIMS));
            let _ = fs::remove_dir(folder);
        }
    }

    /// The agent's folders in the hierarchies.
    pub(super) fn folders(&self) -> Vec<&PathBuf> {
        self.folders.all()
    }
}

/// Locks a folder; nothing if that cannot be done, or is not possible now.
fn lock(folder: Option<&PathBuf>, how: FlockArg) -> Option<Flock<File>> {
    Flock::lock(File::open(folder?).ok()?, how).ok()
}

/// Removes the folders of agents that are gone for good, as far as nothing lives there. Only folders
/// named as ours are touched; genuine Mesos may have its own beside them.
fn sweep(root: &Folders, own: &str) {
    for name in names_in(root) {
        let ours = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !ours || name == own {
            continue;
        }
        let folders = root.join(&name);
        let first = folders.all().first().copied().filter(|folder| folder.exists());
        let turn = lock(first, FlockArg::LockExclusiveNonblock);
        if first.is_none() || turn.is_some() {
            for folder in folders.all() {
                remove_tree(folder);
            }
        }
    }
}

/// Names of the groups in folders.
fn names_in(folders: &Folders) -> Vec<String> {
    let folders = folders.all();
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    let entries = entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names.dedup();
    names
}

/// Where the controllers are mounted.
fn mounted(mounts: &str) -> Result<Folders, String> {
    let (mut cpu, mut memory, mut two) = (None, None, None);
    for line in mounts.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, place, kind, options, ..] = fields.as_slice() else { continue };
        let has = |name: &str| options.split(',').any(|option| option == name);
        match *kind {
            "cgroup" if has("cpu") => cpu = Some(PathBuf::from(place)),
            "cgroup" if has("memory") => memory = Some(PathBuf::from(place)),
            "cgroup2" => two = Some(PathBuf::from(place)),
            _ => {}
        }
    }
    if cpu.is_some() || memory.is_some() {
        return Ok(Folders::One { cpu, memory });
    }
    let two = two.ok_or("no cgroup file system is mounted")?;
    let controllers = fs::read_to_string(two.join("cgroup.controllers")).unwrap_or_default();
    let has = |name: &str| controllers.split_whitespace().any(|own| own == name);
    if has("cpu") && has("memory") {
        return Ok(Folders::Two(two));
    }
    Err("the cgroup hierarchy has no controllers of cpu and memory".to_owned())
}

/// Hands the controllers down to the agent's folder, in version 2.
fn delegate(mount: &Path, place: &Path) -> io::Result<()> {
    let mut folder = mount.to_owned();
    for part in std::iter::once(Path::new("")).chain(place.iter().map(Path::new)) {
        folder.push(part);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("cgroup.subtree_control"), "+cpu +memory")?;
    }
    Ok(())
}

/// A container's group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    folders: Folders,
    cfs: bool,
}

impl Group {
    /// Changes what the container may use. Its memory never becomes less than it was: it may be in
    /// use already, and the container would die of a task that ended.
    pub(super) fn limit(&self, limits: &Limits) -> io::Result<()> {
        self.write(limits, false)
    }

    fn write(&self, limits: &Limits, first: bool) -> io::Result<()> {
        for setting in settings(&self.folders, limits, self.cfs) {
            let Setting { file, value, grows } = setting;
            if grows && !first {
                let now = fs::read_to_string(&file)?;
                let wanted = value.parse::<u64>().unwrap_or(u64::MAX);
                if now.trim().parse::<u64>().unwrap_or(u64::MAX) >= wanted {
                    continue;
                }
            }
            let told = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", file.display()))
            };
            fs::write(&file, value).map_err(told)?;
        }
        Ok(())
    }

    /// Files through which a process of one thread enters by writing `0` into each. A thread that moves itself does not have
    /// to wait, as one does that moves by `cgroup.procs`, until every processor has seen that a process moves: 8 ms and more.
    pub(super) fn entrances(&self) -> Vec<PathBuf> {
        let file = match self.folders {
            Folders::One { .. } => "tasks",
            Folders::Two(_) => "cgroup.procs",
        };
        self.folders.all().into_iter().map(|folder| folder.join(file)).collect()
    }

    /// The processes of the container.
    pub(super) fn pids(&self) -> Vec<u32> {
        let Some(folder) = self.folders.all().into_iter().next().cloned() else {
            return Vec::new();
        };
        let mut pids = Vec::new();
        collect_pids(&folder, &mut pids);
        pids
    }

    /// Processes the kernel killed because the group had no memory left.
    pub(super) fn memory_kills(&self) -> u64 {
        let file = match &self.folders {
            Folders::One { memory: Some(memory), .. } => memory.join("memory.oom_control"),
            Folders::One { memory: None, .. } => return 0,
            Folders::Two(folder) => folder.join("memory.events"),
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }

    /// Bytes of memory the group may use, and the most it used.
    pub(super) fn memory(&self) -> (Option<u64>, Option<u64>) {
        let number = |folder: &Path, file: &str| -> Option<u64> {
            fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
        };
        match &self.folders {
            Folders::One { memory: Some(memory), .. } => (
                number(memory, "memory.limit_in_bytes"),
                number(memory, "memory.max_usage_in_bytes"),
            ),
            Folders::One { memory: None, .. } => (None, None),
            Folders::Two(folder) => (number(folder, "memory.max"), number(folder, "memory.peak")),
        }
    }

    /// Begins to watch for kills for want of memory. In version 2 the kernel ends the whole
    /// container by itself, so nothing is watched.
    pub(super) fn watch_memory(&self) -> io::Result<MemoryWatch> {
        let Folders::One { memory: Some(memory), .. } = &self.folders else {
            return Ok(MemoryWatch(None));
        };
        let control = fs::File::open(memory.join("memory.oom_control"))?;
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        let (event_fd, control_fd) = {
            use std::os::fd::AsRawFd as _;
            (event.as_raw_fd(), control.as_raw_fd())
        };
        fs::write(memory.join("cgroup.event_control"), format!("{event_fd} {control_fd}"))?;
        Ok(MemoryWatch(Some(register(event)?)))
    }

    /// Removes the group, whose processes are dead or dying.
    pub(super) async fn remove(&self) {
        for attempt in 0..REMOVAL_TRIES {
            let gone = self.folders.all().into_iter().all(|folder| remove_tree(folder));
            if gone {
                return;
            }
            if attempt + 1 < REMOVAL_TRIES {
                tokio::time::sleep(REMOVAL_PAUSE).await;
            }
        }
        tracing::warn!(group = ?self.folders.all(), "a control group cannot be removed");
    }
}

#[expect(unsafe_code, reason = "tokio wants a promise about the descriptor")]
fn register(event: EventFd) -> io::Result<AsyncFd<EventFd>> {
    // SAFETY: an event descriptor owns its descriptor and gives the same one as long as it lives.
    unsafe { Ok(AsyncFd::register(event)?) }
}

/// Waits for kills for want of memory.
#[derive(Debug)]
pub(super) struct MemoryWatch(Option<AsyncFd<EventFd>>);

impl MemoryWatch {
    /// Returns at the next event; never, if nothing is watched.
    pub(super) async fn event(&self) {
        let Some(event) = &self.0 else { return std::future::pending().await };
        match event.readable().await {
            Ok(mut ready) => {
                let _ = event.get_ref().read();
                ready.clear_ready();
            }
            Err(_) => std::future::pending().await,
        }
    }
}

/// Tasks that may make groups of their own are counted with them.
fn collect_pids(folder: &Path, pids: &mut Vec<u32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.trim().parse::<u32>().ok()));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_pids(&entry.path(), pids);
        }
    }
}

fn remove_tree(folder: &Path) -> bool {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Setting {
    file: PathBuf,
    value: String,
    /// It is never made less.
    grows: bool,
}

/// Limits as the kernel wants them.
fn settings(folders: &Folders, limits: &Limits, cfs: bool) -> Vec<Setting> {
    let shares = (limits.cpus * SHARES_PER_CPU).max(LEAST_SHARES);
    let bound = limits.cpus_limit.or(cfs.then_some(limits.cpus)).filter(|cpus| cpus.is_finite());
    let quota = bound.map(|cpus| (cpus * PERIOD_MICROSECONDS).max(LEAST_QUOTA_MICROSECONDS));
    let mut all = Vec::new();
    let mut add = |folder: &Path, file: &str, value: String, grows: bool| {
        all.push(Setting { file: folder.join(file), value, grows });
    };
    match folders {
        Folders::One { cpu, memory } => {
            if let Some(cpu) = cpu {
                add(cpu, "cpu.shares", format!("{shares:.0}"), false);
                if let Some(quota) = quota {
                    add(cpu, "cpu.cfs_period_us", format!("{PERIOD_MICROSECONDS:.0}"), false);
                    add(cpu, "cpu.cfs_quota_us", format!("{quota:.0}"), false);
                }
            }
            if let Some(memory) = memory {
                if let Some(limit) = limits.memory_limit {
                    add(memory, "memory.limit_in_bytes", limit.to_string(), true);
                }
                if let Some(granted) = limits.memory {
                    add(memory, "memory.soft_limit_in_bytes", granted.to_string(), false);
                }
            }
        }
        Folders::Two(folder) => {
            // As the kernel's documentation maps shares (2 to 262144) to weights (1 to 10000).
            let weight = (1.0 + (shares - 2.0) * 9999.0 / 262_142.0).clamp(1.0, 10_000.0);
            add(folder, "cpu.weight", format!("{weight:.0}"), false);
            if let Some(quota) = quota {
                add(folder, "cpu.max", format!("{quota:.0} {PERIOD_MICROSECONDS:.0}"), false);
            }
            if let Some(limit) = limits.memory_limit {
                add(folder, "memory.max", limit.to_string(), true);
                add(folder, "memory.oom.group", "1".to_owned(), false);
            }
            if let Some(granted) = limits.memory {
                add(folder, "memory.low", granted.to_string(), false);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
