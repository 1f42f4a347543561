//! The warden: a small process beside the agent which kills what runs in sandboxes when the agent is
//! gone, even by SIGKILL. It waits for the end of a pipe only the agent holds.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Processes carry their sandbox in their environment. Those that were being started may appear
/// while others are killed, so it looks several times.
const SCRIPT: &str = r#"
read -r _
for round in 1 2 3; do
    for found in $(grep -laF "MESOS_SANDBOX=$SANDBOXES/" /proc/[0-9]*/environ); do
        found=${found#/proc/}
        kill -KILL "${found%/environ}"
    done
done 2>/dev/null
"#;

/// See the module.
#[derive(Debug)]
pub(crate) struct Warden(Child);

impl Warden {
    /// Starts to watch over the sandboxes of this folder.
    pub(crate) fn start(work_dir: &Path) -> io::Result<Self> {
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "mesos-agent-warden"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SANDBOXES", work_dir.join("slaves"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C is for the agent.
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }
}

impl Warden {
    /// Sends the warden away: nothing runs any more.
    pub(crate) fn dismiss(&mut self) {
        // It may have gone by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_sandboxes_die_with_the_agent_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut warden = Warden::start(folder.path()).unwrap();
        let process = |sandbox: &Path| {
            let mut command = Command::new("sleep");
            command.arg("1000").env("MESOS_SANDBOX", sandbox).spawn().unwrap()
        };
        let mut own = process(&folder.path().join("slaves/S/x"));
        let mut other = process(Path::new("/elsewhere/slaves/S/x"));
        drop(warden.0.stdin.take());
        assert!(!own.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        warden.dismiss();
    }
}
