//! Clusters the checks run on: ours or genuine ones, started for the purpose, or one that is there.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mesos_client::MasterAddress;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process must take calls within this time; on a loaded machine that takes a while.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Whose master and agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Those of this project.
    Ours,
    /// Apache Mesos 1.11.0, by `tools/apache-mesos`.
    Genuine,
}

/// What cluster a check wants.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Flags of the master, besides those every cluster has.
    pub master: &'static [&'static str],
    /// Flags of each agent.
    pub agents: &'static [&'static [&'static str]],
    /// How many masters; several find each other, and are found, through a ZooKeeper of their own.
    pub masters: usize,
}

/// What checks share that ask for nothing special: two small agents.
pub const SHARED: Spec = Spec {
    master: &[],
    agents: &[&["--resources=cpus:2;mem:1024"], &["--resources=cpus:2;mem:1024"]],
    masters: 1,
};

/// Offers come quickly, and agents that do not answer are lost within seconds.
const MASTER_FLAGS: [&str; 3] =
    ["--allocation_interval=50ms", "--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=3"];
/// Genuine agents wait for a second before they register, and a restarted one for two for its executors.
const GENUINE_AGENT_FLAGS: [&str; 2] =
    ["--registration_backoff_factor=10ms", "--executor_reregistration_timeout=2secs"];

/// Where `tools/apache-mesos` is.
fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/apache-mesos").join(name)
}

/// Sets genuine Apache Mesos up; quick when that was done before.
///
/// # Errors
/// Why it cannot be had on this machine.
pub fn set_genuine_up() -> Result<()> {
    let output = Command::new(tool("setup")).output().context("tools/apache-mesos/setup")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Sets ZooKeeper up; quick when that was done before.
///
/// # Errors
/// Why it cannot be had on this machine.
pub fn set_zookeeper_up() -> Result<()> {
    zookeeper_tool("setup", None).map(drop)
}

/// Runs one of the programs in `tools/zookeeper`; what it printed.
fn zookeeper_tool(name: &str, folder: Option<&Path>) -> Result<String> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/zookeeper");
    let output = Command::new(tools.join(name)).args(folder).output()?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A port nobody listens on now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// One process of a cluster; survives being killed, to be started again.
#[derive(Debug)]
struct Node {
    name: String,
    port: u16,
    flags: Vec<String>,
    /// Of ours.
    child: Option<Child>,
    /// Of either.
    pid: Option<i32>,
}

/// A master and its agents, of our own making; killed when dropped.
#[derive(Debug)]
pub struct Cluster {
    kind: Kind,
    program: PathBuf,
    /// What agents run as custom executor.
    executor: PathBuf,
    directory: tempfile::TempDir,
    masters: Vec<Node>,
    /// Which master leads, as far as we know.
    leader: usize,
    zookeeper: Option<ZooKeeper>,
    agents: Vec<Node>,
}

impl Cluster {
    /// Starts a cluster. `program` is our master and agent: this crate's binary, or the all-in-one program.
    ///
    /// # Errors
    /// When a process does not come up.
    pub async fn start(kind: Kind, spec: Spec, program: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("mesos-conformance-").tempdir()?;
        let node = |name: &str, flags: &[&str]| -> Result<Node> {
            let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            Ok(Node { name: name.to_owned(), port: free_port()?, flags, child: None, pid: None })
        };
        let zookeeper = match spec.masters {
            1 => None,
            _ => Some(ZooKeeper::start(&directory.path().join("zookeeper"))?),
        };
        let mut masters = Vec::new();
        for number in 0..spec.masters {
            let name = if number == 0 { "master".to_owned() } else { format!("master-{number}") };
            // What is wanted replaces what every cluster has; Mesos takes no flag twice.
            let flag_name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
            let replaced = |flag: &str| spec.master.iter().any(|f| flag_name(f) == flag_name(flag));
            let common = MASTER_FLAGS.into_iter().filter(|flag| !replaced(flag));
            let flags: Vec<&str> = common.chain(spec.master.iter().copied()).collect();
            let mut master = node(&name, &flags)?;
            if let Some(zookeeper) = &zookeeper {
                master.flags.push(format!("--zk={}", zookeeper.url()));
                // Of the replicated log, which ours does not have.
                if kind == Kind::Genuine {
                    master.flags.push("--quorum=1".to_owned());
                }
            }
            masters.push(master);
        }
        let (program, executor) = (program.to_owned(), program.to_owned());
        let agents = Vec::new();
        let leader = 0;
        let mut cluster =
            Self { kind, program, executor, directory, masters, leader, zookeeper, agents };
        for number in 0..spec.masters {
            cluster.leader = number;
            cluster.start_master().await?;
        }
        cluster.find_leader().await?;
        for (number, flags) in spec.agents.iter().enumerate() {
            cluster.agents.push(node(&format!("agent-{number}"), flags)?);
            cluster.start_agent(number).await?;
        }
        Ok(cluster)
    }

    /// Whose it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the leading master listens.
    #[must_use]
    pub fn master(&self) -> MasterAddress {
        MasterAddress::new("127.0.0.1", self.masters[self.leader].port)
    }

    /// How frameworks and agents find the leading master.
    #[must_use]
    pub fn location(&self) -> String {
        match &self.zookeeper {
            Some(zookeeper) => zookeeper.url(),
            None => self.master().to_string(),
        }
    }

    /// Waits until one of the masters leads.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn find_leader(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            for (number, master) in self.masters.iter().enumerate() {
                let address = MasterAddress::new("127.0.0.1", master.port);
                let headers = [("content-type", "application/json")];
                let answer = crate::wire::post(&address, "/api/v1/scheduler", &headers, "{}").await;
                if answer.is_ok_and(|reply| matches!(reply.status, 400 | 401)) {
                    self.leader = number;
                    return Ok(());
                }
            }
            ensure!(Instant::now() < deadline, "no master leads");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where an agent listens.
    #[must_use]
    pub fn agent(&self, number: usize) -> MasterAddress {
        MasterAddress::new("127.0.0.1", self.agents[number].port)
    }

    /// The program that agents run as custom executor; the one of master and agent, unless it was set.
    #[must_use]
    pub fn executor(&self) -> &Path {
        &self.executor
    }

    /// Sets the program that agents run as custom executor.
    pub fn set_executor(&mut self, program: PathBuf) {
        self.executor = program;
    }

    /// How many agents there are.
    #[must_use]
    pub fn agents(&self) -> usize {
        self.agents.len()
    }

    /// A folder for files of the checks.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// Resident memory (MiB) and CPU seconds of each process that runs.
    #[must_use]
    pub fn usage(&self) -> serde_json::Value {
        let nodes = self.masters.iter().chain(&self.agents);
        let usage = nodes.filter_map(|node| Some((node.name.clone(), usage_of(node.pid?)?)));
        usage.collect::<serde_json::Map<_, _>>().into()
    }

    /// Starts the master that led, again at the same port and with the same folder.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_master(&mut self) -> Result<()> {
        let mut node = std::mem::replace(&mut self.masters[self.leader], Node::nobody());
        let started = self.launch(&mut node, "master", &[]).await;
        self.masters[self.leader] = node;
        started
    }

    /// Starts an agent, again at the same port and with the same folder.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_agent(&mut self, number: usize) -> Result<()> {
        let master = self.location();
        let mut node = std::mem::replace(&mut self.agents[number], Node::nobody());
        let started = self.launch(&mut node, "agent", &["--master", &master]).await;
        self.agents[number] = node;
        started
    }

    /// Process of the leading master.
    #[must_use]
    pub fn master_pid(&self) -> Option<i32> {
        self.masters[self.leader].pid
    }

    /// `kill -9` of the leading master.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill_master(&mut self) -> Result<()> {
        self.masters[self.leader].kill()
    }

    /// `kill -9` of an agent; what it runs is left alone.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill_agent(&mut self, number: usize) -> Result<()> {
        self.agents[number].kill()
    }

    /// Stops an agent's process, as if the network between it and everyone were cut.
    ///
    /// # Errors
    /// When it is not running.
    pub fn freeze_agent(&self, number: usize) -> Result<()> {
        self.agents[number].signal(Signal::SIGSTOP)
    }

    /// Lets an agent go on.
    ///
    /// # Errors
    /// When it is not running.
    pub fn thaw_agent(&self, number: usize) -> Result<()> {
        self.agents[number].signal(Signal::SIGCONT)
    }

    async fn launch(&self, node: &mut Node, role: &str, more: &[&str]) -> Result<()> {
        match self.kind {
            Kind::Ours => self.launch_ours(node, role, more)?,
            Kind::Genuine => return self.launch_genuine(node, role, more).await,
        }
        let path = format!("/api/v1/{}", if role == "master" { "scheduler" } else { "executor" });
        let deadline = Instant::now() + START_PATIENCE;
        let address = MasterAddress::new("127.0.0.1", node.port);
        loop {
            // A bad request is refused as such only by one who takes good ones.
            let answer =
                crate::wire::post(&address, &path, &[("content-type", "application/json")], "{}");
            if answer.await.is_ok_and(|reply| matches!(reply.status, 307 | 400 | 401)) {
                return Ok(());
            }
            let ended =
                node.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                bail!("{} did not start: {}", node.name, self.log(&node.name));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn launch_ours(&self, node: &mut Node, role: &str, more: &[&str]) -> Result<()> {
        let work_dir = self.directory.path().join(&node.name);
        std::fs::create_dir_all(&work_dir)?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file(&node.name))?;
        let child = Command::new(&self.program)
            .arg(role)
            .args(["--ip=127.0.0.1", "--hostname=127.0.0.1"])
            .args([format!("--port={}", node.port), format!("--work_dir={}", work_dir.display())])
            .args(more)
            .args(&node.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // A group of its own: an interrupt at the terminal is for us to pass on.
            .process_group(0)
            .spawn()?;
        node.pid = i32::try_from(child.id()).ok();
        node.child = Some(child);
        Ok(())
    }

    async fn launch_genuine(&self, node: &mut Node, role: &str, more: &[&str]) -> Result<()> {
        let mut command = tokio::process::Command::new(tool(&format!("start-{role}")));
        command
            .args(["--port", &node.port.to_string(), "--name", &node.name])
            .args(more)
            .arg("--")
            .args(&node.flags)
            .env("APACHE_MESOS_RUN", self.directory.path());
        if role == "agent" {
            command.args(GENUINE_AGENT_FLAGS);
        }
        let output = command.output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pid = String::from_utf8_lossy(&output.stdout).trim().parse();
        node.pid = Some(pid.context("start printed no pid")?);
        Ok(())
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    /// The end of a process's log.
    fn log(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.log_file(name)).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.agents.iter_mut().chain(&mut self.masters) {
            // Errors mean that it is gone already.
            drop(node.signal(Signal::SIGCONT));
            drop(node.kill());
        }
        kill_tasks_in(self.directory.path());
    }
}

/// A ZooKeeper server; ends when dropped.
#[derive(Debug)]
pub struct ZooKeeper {
    port: u16,
    pid: i32,
}

impl ZooKeeper {
    /// Starts one with its data in this folder, from Debian's package.
    ///
    /// # Errors
    /// When it cannot be had, or does not come up.
    pub fn start(folder: &Path) -> Result<Self> {
        set_zookeeper_up()?;
        let told = zookeeper_tool("start", Some(folder))?;
        let (port, pid) = told.trim().split_once(' ').context("start told no port and pid")?;
        Ok(Self { port: port.parse()?, pid: pid.parse()? })
    }

    /// Where masters register.
    #[must_use]
    pub fn url(&self) -> String {
        format!("zk://127.0.0.1:{}/mesos", self.port)
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
    }
}

/// Ends what agents that were killed have left running, known by its folder.
fn kill_tasks_in(folder: &Path) {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let inside =
            std::fs::read_link(process.path().join("cwd")).is_ok_and(|at| at.starts_with(folder));
        if inside && pid != own {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

impl Node {
    /// Stands in while a node is being started.
    fn nobody() -> Self {
        Self { name: String::new(), port: 0, flags: Vec::new(), child: None, pid: None }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid.with_context(|| format!("{} is not running", self.name))?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("{signal} for {}", self.name))
    }

    fn kill(&mut self) -> Result<()> {
        let killed = self.signal(Signal::SIGKILL);
        if let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        // Somebody else's child: wait until its port and its name are free.
        while self.pid.is_some_and(is_alive) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.pid = None;
        killed
    }
}

fn usage_of(pid: i32) -> Option<serde_json::Value> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = resident.trim().trim_end_matches("kB").trim().parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // User and system time are fields 14 and 15, in hundredths of a second.
    let ticks: Vec<f64> = stat
        .rsplit(") ")
        .next()?
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse().ok())
        .collect();
    let rounded = |value: f64| (value * 10.0).round() / 10.0;
    Some(serde_json::json!({
        "rss_mib": rounded(kibibytes / 1024.0), "cpu_seconds": rounded(ticks.iter().sum::<f64>() / 100.0),
    }))
}

/// Whether a process runs, zombies not counted.
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    matches!(state, Some(state) if state != 'Z' && state != 'X')
}
