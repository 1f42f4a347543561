//! The shim: the parent of a checkpointed container's first process. It outlives the agent, and writes
//! down how the process ended, for no other process could learn it. It is a program of its own,
//! linked statically, so that it stays below 2 MiB of memory.
//!
//! Arguments: the folder of checkpoints, `uid:gid:group,…` or `-`, how many control groups there are, the files
//! through which to enter the container's and then those to leave it by, the program, its name, its
//! arguments. Standard input is a socket to the agent, which is told `pid N` or what went wrong;
//! standard output and error are the container's.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

fn main() -> ExitCode {
    let Ok(agent) = io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let mut agent = UnixStream::from(agent);
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().unwrap_or_default();
    let folder = Path::new(&folder);
    let started = start(arguments).and_then(|child| {
        // Written first, so that the agent's successor finds it whatever happens.
        let line = format!("{} {}\n", child.id(), std::process::id());
        write(folder, "forked.pid", &line).map(|()| child)
    });
    // The agent may be gone; that changes nothing here.
    let mut child = match started {
        Ok(child) => {
            let _ = writeln!(agent, "pid {}", child.id());
            child
        }
        Err(error) => {
            let _ = writeln!(agent, "{error}");
            return ExitCode::FAILURE;
        }
    };
    let Ok(status) = child.wait() else { return ExitCode::FAILURE };
    match write(folder, "exit", &format!("{}\n", status.into_raw())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn start(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> io::Result<Child> {
    let invalid = || io::Error::other("the shim's arguments are not complete");
    let mut next = || arguments.next().ok_or_else(invalid);
    let user = next()?.into_string().map_err(|_| invalid())?;
    let groups = next()?.into_string().ok().and_then(|n| n.parse::<usize>().ok());
    let groups = groups.ok_or_else(invalid)?;
    let enter: Vec<_> = (0..groups).map(|_| next()).collect::<io::Result<_>>()?;
    let leave: Vec<_> = (0..groups).map(|_| next()).collect::<io::Result<_>>()?;
    let mut command = Command::new(next()?);
    command.arg0(next()?).args(arguments).stdin(Stdio::null()).process_group(0);
    if let [uid, gid, groups] = user.split(':').collect::<Vec<_>>()[..] {
        let number = |text: &str| text.parse::<u32>().map_err(|_| invalid());
        let groups = groups.split(',').map(number).collect::<io::Result<Vec<_>>>()?;
        become_user(&mut command, number(uid)?, number(gid)?, groups);
    }
    // The child is born where its parent is.
    for file in &enter {
        fs::write(file, "0")?;
    }
    let child = command.spawn();
    for file in &leave {
        fs::write(file, "0")?;
    }
    child
}

unsafe extern "C" {
    fn setgroups(count: usize, groups: *const u32) -> i32;
    fn setgid(gid: u32) -> i32;
    fn setuid(uid: u32) -> i32;
}

/// The program runs as this user, with all his groups, which the standard library cannot give it.
fn become_user(command: &mut Command, uid: u32, gid: u32, groups: Vec<u32>) {
    let change = move || {
        // SAFETY: the list is as long as it is said to be; the others take numbers.
        let failed = unsafe {
            setgroups(groups.len(), groups.as_ptr()) != 0 || setgid(gid) != 0 || setuid(uid) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: between fork and exec only system calls are made, nothing is allocated or locked.
    unsafe {
        command.pre_exec(change);
    }
}

/// Writes a file so that nobody ever sees a part of it.
fn write(folder: &Path, name: &str, content: &str) -> io::Result<()> {
    let draft = folder.join(format!("{name}.new"));
    fs::write(&draft, content)?;
    fs::rename(draft, folder.join(name))
}
