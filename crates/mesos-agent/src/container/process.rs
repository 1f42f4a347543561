//! Processes of containers: a session of their own, which dies with the agent's process; signals
//! reach every descendant, also those that left the session.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, kill};
use nix::unistd::{Gid, Pid, User as SystemUser, getgrouplist};
use tokio::sync::oneshot;

use super::cgroup::Group;
use super::warden;
use crate::core::{LaunchSpec, Program, Signal};

/// Rounds of killing before a process is given up that cannot die (in the kernel).
const KILL_ROUNDS: u32 = 50;

/// Pause between two rounds.
const KILL_PAUSE: Duration = Duration::from_millis(5);

/// A shim starts a process and says so within this time.
const SHIM_PATIENCE: Duration = Duration::from_secs(10);

/// A waiting thread needs next to nothing.
const WAITER_STACK_BYTES: usize = 64 * 1024;

/// Whom to run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Looks a user up; `None` if it is the agent's own, or the agent may not become another.
pub(super) fn user(name: &str) -> Result<Option<User>, String> {
    if !nix::unistd::geteuid().is_root() || name.is_empty() {
        return Ok(None);
    }
    match SystemUser::from_name(name) {
        Ok(Some(user)) if user.uid.is_root() => Ok(None),
        Ok(Some(user)) => Ok(Some(User { uid: user.uid.as_raw(), gid: user.gid.as_raw() })),
        Ok(None) => Err(format!(
            "there is no user '{name}' on this agent; name another, or start the agent with \
             --switch_user=false"
        )),
        Err(error) => Err(format!("cannot look the user '{name}' up: {error}")),
    }
}

/// All groups of a user, among them his own.
fn groups_of(user: User) -> Vec<Gid> {
    let own = Gid::from_raw(user.gid);
    let name = SystemUser::from_uid(user.uid.into()).ok().flatten();
    let name = name.and_then(|found| std::ffi::CString::new(found.name).ok());
    name.and_then(|name| getgrouplist(&name, own).ok()).unwrap_or_else(|| vec![own])
}

/// What is to be started, and how.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) spec: LaunchSpec,
    pub(super) user: Option<User>,
    /// The control group it is born in.
    pub(super) group: Option<Group>,
    /// Who outlives the agent to see its end, if somebody has to.
    pub(super) shim: Option<Shim>,
}

/// How a shim is started.
#[derive(Debug)]
pub(super) struct Shim {
    pub(super) program: PathBuf,
    /// Where it writes.
    pub(super) checkpoint: PathBuf,
    /// Files of the control groups it lives in.
    pub(super) entrances: Vec<PathBuf>,
}

/// What was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Started {
    pub(super) pid: u32,
    pub(super) shim: Option<u32>,
}

struct Request {
    order: Box<Order>,
    started: oneshot::Sender<Result<Started, String>>,
    ended: oneshot::Sender<Option<i32>>,
}

/// The thread that starts processes. They are to die with the agent, and the kernel takes the death
/// of the starting *thread* for it: so this one lives as long as the agent does.
#[derive(Debug)]
pub(crate) struct Spawner(std::sync::mpsc::Sender<Request>);

impl Spawner {
    pub(crate) fn start() -> io::Result<Self> {
        let (requests, received) = std::sync::mpsc::channel::<Request>();
        std::thread::Builder::new().name("agent-spawner".to_owned()).spawn(move || {
            while let Ok(request) = received.recv() {
                obey(request);
            }
        })?;
        Ok(Self(requests))
    }

    /// Starts a process; its raw wait status is told to `ended`, or that nobody knows it.
    pub(super) async fn spawn(
        &self,
        order: Order,
        ended: oneshot::Sender<Option<i32>>,
    ) -> Result<Started, String> {
        let (started, outcome) = oneshot::channel();
        let request = Request { order: Box::new(order), started, ended };
        self.0.send(request).map_err(|_| "the agent is stopping".to_owned())?;
        outcome.await.map_err(|_| "the agent is stopping".to_owned())?
    }
}

fn obey(request: Request) {
    let Request { order, started, ended } = request;
    let spawned = match &order.shim {
        None => spawn(&order),
        Some(shim) => spawn_shim(&order, shim),
    };
    let (mut child, told) = match spawned {
        Ok(spawned) => spawned,
        Err(message) => {
            let _ = started.send(Err(message));
            return;
        }
    };
    let _ = started.send(Ok(told));
    let checkpoint = order.shim.map(|shim| shim.checkpoint);
    let waiter = std::thread::Builder::new().name("agent-waiter".to_owned());
    let waiter = waiter.stack_size(WAITER_STACK_BYTES).spawn(move || {
        let status = child.wait().ok().map(ExitStatusExt::into_raw);
        let status = match checkpoint {
            // Its own status says nothing.
            Some(folder) => exit_status(&folder),
            None => status,
        };
        let _ = ended.send(status);
    });
    if let Err(error) = waiter {
        tracing::error!(%error, "cannot wait for a process");
    }
}

fn spawn(order: &Order) -> Result<(Child, Started), String> {
    let (program, arguments) = vector(&order.spec.program);
    let mut command = Command::new(&program);
    if let Some((name, rest)) = arguments.split_first() {
        command.arg0(name).args(rest);
    }
    prepare(&mut command, order)?;
    let group = order.group.iter().flat_map(Group::entrances);
    let open = |path: PathBuf| {
        let file = File::options().write(true).open(&path);
        file.map_err(|error| format!("cannot enter {}: {error}", path.display()))
    };
    let entrances = group.map(open).collect::<Result<Vec<_>, _>>()?;
    let become_user = order.user.map(|user| (user, groups_of(user)));
    leave_session(&mut command, entrances, become_user, true);
    let told = |error| format!("cannot start {}: {error}", shown(&order.spec.program));
    let child = command.spawn().map_err(told)?;
    let pid = child.id();
    Ok((child, Started { pid, shim: None }))
}

fn spawn_shim(order: &Order, shim: &Shim) -> Result<(Child, Started), String> {
    let told = |error: io::Error| format!("cannot start {}: {error}", shown(&order.spec.program));
    let (program, arguments) = vector(&order.spec.program);
    let mut command = Command::new(&shim.program);
    let entrances = order.group.as_ref().map(Group::entrances).unwrap_or_default();
    command.arg(&shim.checkpoint);
    match order.user {
        Some(user) => {
            let groups: Vec<_> = groups_of(user).iter().map(ToString::to_string).collect();
            command.arg(format!("{}:{}:{}", user.uid, user.gid, groups.join(",")))
        }
        None => command.arg("-"),
    };
    command.arg(entrances.len().to_string()).args(&entrances);
    command.args(shim.entrances.iter().take(entrances.len()));
    let name = arguments.first().unwrap_or(&program);
    command.arg(&program).arg(name).args(arguments.iter().skip(1));
    prepare(&mut command, order)?;
    let (socket, theirs) = UnixStream::pair().map_err(told)?;
    socket.set_read_timeout(Some(SHIM_PATIENCE)).map_err(told)?;
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    leave_session(&mut command, Vec::new(), None, false);
    let mut child = command.spawn().map_err(told)?;
    // The agent's end of the socket is all that is left open, so the shim's death ends the read.
    drop(command);
    let mut line = String::new();
    let read = BufReader::new(socket).read_line(&mut line);
    let pid = line.strip_prefix("pid ").and_then(|pid| pid.trim().parse().ok());
    match pid {
        Some(pid) => {
            let shim = Some(child.id());
            Ok((child, Started { pid, shim }))
        }
        None => {
            let _ = child.kill();
            let _ = child.wait();
            let problem = match read {
                Err(error) => format!("its shim says nothing: {error}"),
                Ok(_) => line.trim().to_owned(),
            };
            Err(format!("cannot start {}: {problem}", shown(&order.spec.program)))
        }
    }
}

/// The raw wait status a shim wrote down.
pub(super) fn exit_status(checkpoint: &Path) -> Option<i32> {
    fs::read_to_string(checkpoint.join("exit")).ok()?.trim().parse().ok()
}

/// The executable and its argument vector, which may be empty.
fn vector(program: &Program) -> (String, Vec<String>) {
    match program {
        Program::Shell(text) => {
            let words = ["sh", "-c", text.as_str()].map(str::to_owned);
            ("/bin/sh".to_owned(), words.to_vec())
        }
        Program::Direct { path, arguments } => (path.clone(), arguments.clone()),
    }
}

fn shown(program: &Program) -> String {
    match program {
        Program::Shell(_) => "/bin/sh".to_owned(),
        Program::Direct { path, .. } => format!("'{path}'"),
    }
}

/// Sandbox, environment and streams.
fn prepare(command: &mut Command, order: &Order) -> Result<(), String> {
    let spec = &order.spec;
    let output = |name: &str| -> Result<Stdio, String> {
        let path = spec.directory.join(name);
        let told = |error| format!("cannot write {}: {error}", path.display());
        // An archive may have brought a link of this name, which is not to be followed.
        let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
        let file = File::options().create(true).append(true).custom_flags(flags).open(&path);
        let file = file.map_err(told)?;
        if let Some(user) = order.user {
            std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid)).map_err(told)?;
        }
        Ok(Stdio::from(file))
    };
    command
        .current_dir(&spec.directory)
        .env_clear()
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output("stdout")?)
        .stderr(output("stderr")?);
    Ok(())
}

/// The process gets a session of its own, enters its control groups, becomes its user and, if it is
/// mortal, dies when the agent does.
#[expect(unsafe_code, reason = "these system calls must be made between fork and exec")]
fn leave_session(
    command: &mut Command,
    entrances: Vec<File>,
    user: Option<(User, Vec<Gid>)>,
    mortal: bool,
) {
    let prepare = move || {
        nix::unistd::setsid()?;
        for entrance in &entrances {
            nix::unistd::write(entrance, b"0")?;
        }
        if let Some((user, groups)) = &user {
            nix::unistd::setgroups(groups)?;
            nix::unistd::setgid(user.gid.into())?;
            nix::unistd::setuid(user.uid.into())?;
        }
        // The last, for the kernel forgets it when the user changes.
        if mortal {
            nix::sys::prctl::set_pdeathsig(signal::Signal::SIGKILL)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made, nothing is allocated or locked.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// The processes of a container.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// Its first process; none if it is not known to be that any more.
    pub(super) pid: Option<u32>,
    /// The shim above it, which is none of its processes.
    pub(super) shim: Option<u32>,
    pub(super) sandbox: PathBuf,
    pub(super) group: Option<Group>,
}

impl Tree {
    /// Signals every process.
    pub(super) async fn signal(&self, how: Signal) {
        let signal = match how {
            Signal::Terminate => signal::Signal::SIGTERM,
            Signal::Kill => signal::Signal::SIGKILL,
        };
        let tree = self.clone();
        let _ = tokio::task::spawn_blocking(move || tree.send(signal)).await;
    }

    fn send(&self, signal: signal::Signal) {
        for member in self.members() {
            let _ = raw(member).map(|pid| kill(pid, signal));
        }
    }

    /// Kills what is left after the first process has ended.
    pub(super) async fn kill_rest(&self) {
        for round in 0..KILL_ROUNDS {
            let tree = self.clone();
            let rest = tokio::task::spawn_blocking(move || {
                let rest = tree.members();
                for member in &rest {
                    let _ = raw(*member).map(|pid| kill(pid, signal::Signal::SIGKILL));
                }
                rest.len()
            });
            if rest.await.unwrap_or(0) == 0 {
                return;
            }
            if round > 0 {
                tokio::time::sleep(KILL_PAUSE).await;
            }
        }
        tracing::warn!(sandbox = %self.sandbox.display(), "processes of a container cannot be killed");
    }

    /// Those of its control group; without one, its session, all descendants, and those that carry
    /// its sandbox in their environment, however far they ran.
    fn members(&self) -> Vec<u32> {
        let others = |pid: &u32| Some(*pid) != self.shim;
        if let Some(group) = &self.group {
            return group.pids().into_iter().filter(others).collect();
        }
        let marker = format!("MESOS_SANDBOX={}", self.sandbox.display());
        let all = processes();
        // Never what the kernel itself started, whatever happens.
        let first = self.pid.filter(|pid| *pid > 1);
        let mut found: BTreeSet<u32> = first.into_iter().collect();
        loop {
            let before = found.len();
            let parents = found.clone();
            found.extend(all.iter().filter(|p| parents.contains(&p.parent)).map(|p| p.pid));
            if found.len() == before {
                break;
            }
        }
        let session = self.shim.or(first).filter(|session| *session > 1);
        let is_member = |process: &Process| {
            session == Some(process.session)
                || found.contains(&process.pid)
                || process.has_variable(|variable| variable == marker.as_bytes())
        };
        all.into_iter().filter(is_member).map(|process| process.pid).filter(others).collect()
    }
}

/// Kills all processes of a group whose container is not known any more.
pub(super) async fn kill_group(group: &Group) {
    let (sandbox, group) = (PathBuf::new(), Some(group.clone()));
    Tree { pid: None, shim: None, sandbox, group }.kill_rest().await;
}

/// Whether a process of this id exists that is no zombie.
pub(super) fn is_alive(pid: u32) -> bool {
    Process::read(pid).is_some_and(|process| !process.zombie)
}

/// Whether a process carries a sandbox in its environment, and so is not merely one that got the id
/// of another.
pub(super) fn belongs_to(pid: u32, sandbox: &Path) -> bool {
    let marker = format!("MESOS_SANDBOX={}", sandbox.display());
    Process::read(pid).is_some_and(|process| {
        !process.zombie && process.has_variable(|variable| variable == marker.as_bytes())
    })
}

/// Kills what an earlier agent with the same folder left running, but for the containers in these
/// sandboxes. First its warden, which would not know what is this agent's.
pub(crate) fn kill_leftovers(sandboxes: &Path, kept: &[PathBuf]) {
    let watches = format!("{}={}", warden::FOLDER, sandboxes.display()).into_bytes();
    for process in processes() {
        if process.has_variable(|variable| variable == watches) {
            let _ = raw(process.pid).map(|pid| kill(pid, signal::Signal::SIGKILL));
        }
    }
    let markers = ["MESOS_SANDBOX", "MESOS_DIRECTORY"]
        .map(|name| format!("{name}={}/", sandboxes.display()).into_bytes());
    let kept: Vec<Vec<u8>> = ["MESOS_SANDBOX", "MESOS_DIRECTORY"]
        .iter()
        .flat_map(|name| kept.iter().map(move |path| format!("{name}={}", path.display())))
        .map(String::into_bytes)
        .collect();
    for process in processes() {
        let ours = |variable: &[u8]| markers.iter().any(|marker| variable.starts_with(marker));
        if process.has_variable(ours)
            && !process.has_variable(|variable| kept.iter().any(|own| own == variable))
        {
            tracing::warn!(pid = process.pid, "killing what an earlier agent left running");
            let _ = raw(process.pid).map(|pid| kill(pid, signal::Signal::SIGKILL));
        }
    }
}

fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

/// A line of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug)]
struct Process {
    pid: u32,
    parent: u32,
    session: u32,
    zombie: bool,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may contain anything, blanks and parentheses too.
        let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
        let state = fields.next()?;
        let mut number = || fields.next()?.parse().ok();
        let (parent, _group, session) = (number()?, number()?, number()?);
        Some(Self { pid, parent, session, zombie: state == "Z" || state == "X" })
    }

    fn has_variable(&self, wanted: impl Fn(&[u8]) -> bool) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(wanted)
    }
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::read).filter(|process| !process.zombie).collect()
}
