//! Mesos clusters on loopback: ours as processes of their own, and genuine Apache Mesos.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::home;

/// How long a daemon may take to serve.
const START: Duration = Duration::from_secs(60);

/// A master with its agents; dropping it ends them.
pub(crate) enum Cluster {
    Ours { children: Vec<Child>, port: u16, _folder: tempfile::TempDir },
    Genuine { port: u16, run: tempfile::TempDir },
}

/// How a cluster is started; the flags are Mesos' own, which both kinds know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// Flags of the master.
    pub(crate) master: Vec<String>,
    /// Flags of each agent.
    pub(crate) agents: Vec<Vec<String>>,
}

impl Layout {
    /// Agents with `cpus` each.
    pub(crate) fn even(agents: usize, cpus: usize) -> Self {
        Self { master: Vec::new(), agents: vec![vec![resources(cpus)]; agents] }
    }

    /// One agent more.
    pub(crate) fn agent(mut self, flags: &[&str]) -> Self {
        self.agents.push(flags.iter().map(|flag| (*flag).to_owned()).collect());
        self
    }

    /// One flag of the master more.
    pub(crate) fn master(mut self, flag: &str) -> Self {
        self.master.push(flag.to_owned());
        self
    }
}

fn resources(cpus: usize) -> String {
    format!("--resources=cpus:{cpus};mem:3072;disk:4096;ports:[31000-31999]")
}

impl Cluster {
    /// Our master and agents with `cpus` each.
    pub(crate) fn ours(agents: usize, cpus: usize) -> Self {
        Self::ours_with(&Layout::even(agents, cpus))
    }

    pub(crate) fn ours_with(layout: &Layout) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut children = Vec::new();
        let mut start = |part: &str, name: &str, flags: &[String]| -> String {
            let ready = folder.path().join(format!("{name}.ready"));
            let log = std::fs::File::create(folder.path().join(format!("{name}.log"))).unwrap();
            let mut child = Command::new(env!("CARGO_BIN_EXE_ferrospark"))
                .arg(part)
                .args(flags)
                .env("FERROSPARK_READY_FILE", &ready)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            let address = wait_for(START, &format!("{name} to serve"), || {
                assert!(child.try_wait().unwrap().is_none(), "{name} ended");
                std::fs::read_to_string(&ready).ok().filter(|text| text.ends_with('\n'))
            });
            children.push(child);
            address.trim().to_owned()
        };
        let work = |name: &str| format!("--work_dir={}", folder.path().join(name).display());
        let mut flags = vec!["--ip=127.0.0.1".into(), "--port=0".into(), work("master")];
        flags.extend(layout.master.iter().cloned());
        let master = start("master", "master", &flags);
        for (number, own) in layout.agents.iter().enumerate() {
            let name = format!("agent-{number}");
            let mut flags = vec![
                "--ip=127.0.0.1".into(),
                "--port=0".into(),
                "--hostname=127.0.0.1".into(),
                format!("--master={master}"),
                work(&name),
            ];
            flags.extend(own.iter().cloned());
            start("agent", &name, &flags);
        }
        let port = master.rsplit(':').next().unwrap().parse().unwrap();
        Self::Ours { children, port, _folder: folder }
    }

    /// Genuine Apache Mesos; `None` with a printed line where its packages cannot be had.
    pub(crate) fn genuine(agents: usize, cpus: usize) -> Option<Self> {
        Self::genuine_with(&Layout::even(agents, cpus))
    }

    pub(crate) fn genuine_with(layout: &Layout) -> Option<Self> {
        let tools = home().join("tools/apache-mesos");
        if !genuine_is_here() {
            return None;
        }
        let run = tempfile::tempdir().unwrap();
        let start = |script: &str, flags: &[String], own: &[String]| {
            let output = Command::new(tools.join(script))
                .args(flags)
                .arg("--")
                .args(own)
                .env("APACHE_MESOS_RUN", run.path())
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{script}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        let port = free_port();
        start("start-master", &["--port".into(), port.to_string()], &layout.master);
        for (number, own) in layout.agents.iter().enumerate() {
            let flags = [
                "--port".into(),
                free_port().to_string(),
                "--name".into(),
                format!("agent-{number}"),
                "--master".into(),
                format!("127.0.0.1:{port}"),
            ];
            start("start-agent", &flags, own);
        }
        Some(Self::Genuine { port, run })
    }

    fn port(&self) -> u16 {
        match self {
            Self::Ours { port, .. } | Self::Genuine { port, .. } => *port,
        }
    }

    /// The master URL for Spark.
    pub(crate) fn master(&self) -> String {
        format!("mesos://127.0.0.1:{}", self.port())
    }

    /// The master's `/state`.
    pub(crate) fn state(&self) -> serde_json::Value {
        get_json(&format!("127.0.0.1:{}", self.port()), "/state").expect("the master answers")
    }

    /// One of the master's metrics.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let address = format!("127.0.0.1:{}", self.port());
        let metrics = get_json(&address, "/metrics/snapshot").expect("the master answers");
        metrics[name].as_f64().unwrap_or_else(|| panic!("no metric {name}")) as u64
    }

    /// The active frameworks of `/state`.
    pub(crate) fn frameworks(&self) -> Vec<serde_json::Value> {
        self.state()["frameworks"].as_array().cloned().unwrap_or_default()
    }
}

/// Whether genuine Apache Mesos can be had; else a line is printed.
pub(crate) fn genuine_is_here() -> bool {
    let setup = home().join("tools/apache-mesos/setup");
    let setup = Command::new(setup).stdin(Stdio::null()).output().unwrap();
    if !setup.status.success() {
        let reason = String::from_utf8_lossy(&setup.stderr).into_owned();
        assert!(std::env::var_os("REQUIRE_ALL").is_none(), "no genuine Mesos: {reason}");
        println!("SKIPPED: genuine Apache Mesos cannot be set up: {reason}");
    }
    setup.status.success()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        match self {
            Self::Ours { children, .. } => {
                // Agents first, so that they can say goodbye.
                for child in children.iter_mut().rev() {
                    let id = i32::try_from(child.id()).unwrap();
                    let _ = nix::sys::signal::kill(
                        nix::unistd::Pid::from_raw(id),
                        nix::sys::signal::Signal::SIGTERM,
                    );
                    let _ = child.wait();
                }
            }
            Self::Genuine { run, .. } => {
                let _ = Command::new(home().join("tools/apache-mesos/stop"))
                    .arg("all")
                    .env("APACHE_MESOS_RUN", run.path())
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .status();
            }
        }
    }
}

/// An object that an HTTP server answers with; `None` if it does not.
pub(crate) fn get_json(address: &str, path: &str) -> Option<serde_json::Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let body = text.split_once("\r\n\r\n")?.1;
    let (start, end) = (body.find('{')?, body.rfind('}')?);
    serde_json::from_str(&body[start..=end]).ok()
}

/// A port nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Polls until `ready` gives something.
pub(crate) fn wait_for<T>(limit: Duration, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes whose command line holds `text`.
pub(crate) fn processes_with(text: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|id| {
            let path: PathBuf = format!("/proc/{id}/cmdline").into();
            let line = std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
        })
        .collect()
}
