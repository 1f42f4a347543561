//! Processes of containers: a session of their own, which dies with the agent's process; signals
//! reach every descendant, also those that left the session.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, kill, killpg};
use nix::unistd::{Pid, User as SystemUser};
use tokio::sync::oneshot;

use crate::core::{LaunchSpec, Program, Signal};

/// Rounds of killing before a process is given up that cannot die (in the kernel).
const KILL_ROUNDS: u32 = 50;

/// Pause between two rounds.
const KILL_PAUSE: Duration = Duration::from_millis(5);

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

struct Order {
    spec: Box<LaunchSpec>,
    user: Option<User>,
    started: oneshot::Sender<Result<u32, String>>,
    ended: oneshot::Sender<i32>,
}

/// The thread that starts processes. They are to die with the agent, and the kernel takes the death
/// of the starting *thread* for it: so this one lives as long as the agent does.
#[derive(Debug)]
pub(crate) struct Spawner(std::sync::mpsc::Sender<Order>);

impl Spawner {
    pub(crate) fn start() -> io::Result<Self> {
        let (orders, received) = std::sync::mpsc::channel::<Order>();
        std::thread::Builder::new().name("agent-spawner".to_owned()).spawn(move || {
            while let Ok(order) = received.recv() {
                obey(order);
            }
        })?;
        Ok(Self(orders))
    }

    /// Starts a process; its raw wait status is told to `ended`.
    pub(super) async fn spawn(
        &self,
        spec: LaunchSpec,
        user: Option<User>,
        ended: oneshot::Sender<i32>,
    ) -> Result<u32, String> {
        let (started, outcome) = oneshot::channel();
        let order = Order { spec: Box::new(spec), user, started, ended };
        self.0.send(order).map_err(|_| "the agent is stopping".to_owned())?;
        outcome.await.map_err(|_| "the agent is stopping".to_owned())?
    }
}

fn obey(order: Order) {
    let Order { spec, user, started, ended } = order;
    let mut child = match command(&spec, user).and_then(|mut command| {
        command.spawn().map_err(|error| format!("cannot start {}: {error}", shown(&spec.program)))
    }) {
        Ok(child) => child,
        Err(message) => {
            let _ = started.send(Err(message));
            return;
        }
    };
    let _ = started.send(Ok(child.id()));
    let waiter = std::thread::Builder::new().name("agent-waiter".to_owned()).spawn(move || {
        let status = child.wait().map_or(-1, |status| status.into_raw());
        let _ = ended.send(status);
    });
    if let Err(error) = waiter {
        tracing::error!(%error, "cannot wait for a process");
    }
}

fn shown(program: &Program) -> String {
    match program {
        Program::Shell(_) => "/bin/sh".to_owned(),
        Program::Direct { path, .. } => format!("'{path}'"),
    }
}

fn command(spec: &LaunchSpec, user: Option<User>) -> Result<Command, String> {
    let mut command = match &spec.program {
        Program::Shell(text) => {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(text);
            shell
        }
        Program::Direct { path, arguments } => {
            let mut direct = Command::new(path);
            if let Some((name, rest)) = arguments.split_first() {
                direct.arg0(name).args(rest);
            }
            direct
        }
    };
    let output = |name: &str| -> Result<Stdio, String> {
        let path = spec.directory.join(name);
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        if let Some(user) = user {
            let _ = std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid));
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
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    leave_session(&mut command);
    Ok(command)
}

/// The process gets a session of its own and dies when the agent does.
#[expect(unsafe_code, reason = "setsid and prctl must run between fork and exec")]
fn leave_session(command: &mut Command) {
    let prepare = || {
        nix::unistd::setsid()?;
        nix::sys::prctl::set_pdeathsig(signal::Signal::SIGKILL)?;
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made, nothing is allocated or locked.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Signals every process of a container.
pub(super) async fn signal_all(pid: u32, sandbox: &Path, how: Signal) {
    let signal = match how {
        Signal::Terminate => signal::Signal::SIGTERM,
        Signal::Kill => signal::Signal::SIGKILL,
    };
    let sandbox = sandbox.to_owned();
    let _ = tokio::task::spawn_blocking(move || {
        if let Some(group) = raw(pid) {
            let _ = killpg(group, signal);
        }
        for member in members(pid, &sandbox) {
            // The group has it already; once more could be taken for impatience.
            if member.group != pid {
                let _ = raw(member.pid).map(|pid| kill(pid, signal));
            }
        }
    })
    .await;
}

/// Kills what is left of a container whose first process has ended.
pub(super) async fn kill_rest(pid: u32, sandbox: &Path) {
    for _ in 0..KILL_ROUNDS {
        let path = sandbox.to_owned();
        let rest = tokio::task::spawn_blocking(move || {
            let rest = members(pid, &path);
            for member in &rest {
                let _ = raw(member.pid).map(|pid| kill(pid, signal::Signal::SIGKILL));
            }
            rest.len()
        });
        if rest.await.unwrap_or(0) == 0 {
            return;
        }
        tokio::time::sleep(KILL_PAUSE).await;
    }
    tracing::warn!(sandbox = %sandbox.display(), "processes of a container cannot be killed");
}

/// Kills what an earlier agent with the same folder left running.
pub(crate) fn kill_leftovers(work_dir: &Path) {
    let marker = format!("MESOS_SANDBOX={}/slaves/", work_dir.display());
    for process in processes() {
        if process.has_variable(|variable| variable.starts_with(marker.as_bytes())) {
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
    group: u32,
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
        let (parent, group, session) = (number()?, number()?, number()?);
        Some(Self { pid, parent, group, session, zombie: state == "Z" || state == "X" })
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

/// A container's processes: its session, all descendants, and those that carry its sandbox in their
/// environment, however far they ran.
fn members(pid: u32, sandbox: &Path) -> Vec<Process> {
    let marker = format!("MESOS_SANDBOX={}", sandbox.display());
    let all = processes();
    let mut found: BTreeSet<u32> = BTreeSet::from([pid]);
    loop {
        let before = found.len();
        found.extend(
            all.iter().filter(|p| found.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>(),
        );
        if found.len() == before {
            break;
        }
    }
    all.into_iter()
        .filter(|process| {
            process.session == pid
                || found.contains(&process.pid)
                || process.has_variable(|variable| variable == marker.as_bytes())
        })
        .collect()
}
