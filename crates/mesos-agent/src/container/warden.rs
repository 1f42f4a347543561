//! The warden: a small process beside the agent which kills what runs in sandboxes when the agent is
//! gone, even by SIGKILL. It waits for the end of a pipe only the agent holds.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Processes carry their sandbox in their environment, those in Docker containers its place on the
/// machine. Those that were being started may appear while others are killed, so it looks several
/// times. What belongs to a framework that checkpoints goes on. Control groups in which nothing is left are
/// removed.
const SCRIPT: &str = r#"
read -r _
for round in 1 2 3; do
    for procs in $ENTRANCES; do
        case $procs in *.kept/*|*/shims/*) continue;; esac
        [ -e "$procs" ] && for pid in $(cat "$procs"); do kill -KILL "$pid"; done
        rmdir "${procs%/cgroup.procs}"
    done
    for found in $(grep -laF -e "MESOS_SANDBOX=$SANDBOXES/" -e "MESOS_DIRECTORY=$SANDBOXES/" \
            /proc/[0-9]*/environ); do
        grep -qzxF MESOS_CHECKPOINT=1 "$found" && continue
        found=${found#/proc/}
        kill -KILL "${found%/environ}"
    done
done 2>/dev/null
"#;

/// Variable that names the folder a warden watches over.
pub(super) const FOLDER: &str = "SANDBOXES";

/// See the module.
#[derive(Debug)]
pub(crate) struct Warden(Child);

impl Warden {
    /// Starts to watch over these sandboxes, and the control groups in these folders.
    pub(crate) fn start(sandboxes: &Path, groups: &[&PathBuf]) -> io::Result<Self> {
        let entrances: Vec<_> =
            groups.iter().map(|folder| format!("{}/*/cgroup.procs", folder.display())).collect();
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "mesos-agent-warden"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env(FOLDER, sandboxes)
            .env("ENTRANCES", entrances.join(" "))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C is for the agent.
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }

    /// Sends the warden away: nothing runs any more.
    pub(crate) fn dismiss(&mut self) {
        // It may have gone by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Lets the warden do its work now, though the agent still lives.
    pub(crate) fn release(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_sandboxes_die_with_the_agent_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut warden = Warden::start(folder.path(), &[]).unwrap();
        let process = |sandbox: &Path, checkpoint: &str| {
            let mut command = Command::new("sleep");
            command.arg("1000").env("MESOS_SANDBOX", sandbox);
            command.env("MESOS_CHECKPOINT", checkpoint).spawn().unwrap()
        };
        let mut own = process(&folder.path().join("S/x"), "0");
        let survivors =
            [process(Path::new("/elsewhere/S/x"), "0"), process(&folder.path().join("S/y"), "1")];
        warden.release();
        assert!(!own.wait().unwrap().success());
        for mut survivor in survivors {
            assert!(survivor.try_wait().unwrap().is_none());
            survivor.kill().unwrap();
            survivor.wait().unwrap();
        }
    }
}
