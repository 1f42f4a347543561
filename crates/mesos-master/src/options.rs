//! Flags of the master, under Mesos' own names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use mesos_api::duration::parse_duration;

/// How a master is started; as flags or in a program.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "mesos-master", about = "A Mesos master", rename_all = "snake_case")]
pub struct MasterOptions {
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0")]
    pub ip: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 5050)]
    pub port: u16,
    /// Host name told to others; the machine's own by default
    #[arg(long)]
    pub hostname: Option<String>,
    /// Address told to others, if it is not the one listened on
    #[arg(long)]
    pub advertise_ip: Option<IpAddr>,
    /// Port told to others, if it is not the one listened on
    #[arg(long)]
    pub advertise_port: Option<u16>,
    /// Folder for what must outlive the process
    #[arg(long)]
    pub work_dir: Option<PathBuf>,
    /// Folder for log files; without it the log goes to stderr
    #[arg(long)]
    pub log_dir: Option<PathBuf>,
    /// Name of the cluster, for people
    #[arg(long)]
    pub cluster: Option<String>,
    /// Take offers back that are not answered for so long
    #[arg(long, value_parser = parse_duration)]
    pub offer_timeout: Option<Duration>,
    /// Shortest time for which declined resources stay away
    #[arg(long, default_value = "1secs", value_parser = parse_duration)]
    pub allocation_interval: Duration,
    /// Time between two pings of an agent
    #[arg(long, default_value = "15secs", value_parser = parse_duration)]
    pub agent_ping_timeout: Duration,
    /// Unanswered pings after which an agent is unreachable
    #[arg(long, default_value_t = 5)]
    pub max_agent_ping_timeouts: u32,
    /// Time agents have to return after the master started anew
    #[arg(long, default_value = "10mins", value_parser = parse_duration)]
    pub agent_reregister_timeout: Duration,
    /// Agents with GPUs are for frameworks that know GPUs
    #[arg(long, value_parser = clap::value_parser!(bool), num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub filter_gpu_resources: bool,
    /// Roles frameworks may use, separated by commas; all by default
    #[arg(long, value_parser = parse_roles)]
    pub roles: Option<Roles>,
    /// Weights of roles, such as dev=2,ops=1.5
    #[arg(long, value_parser = parse_weights)]
    pub weights: Option<Weights>,
    /// Ended frameworks kept for the endpoints
    #[arg(long, default_value_t = 50)]
    pub max_completed_frameworks: usize,
    /// Ended tasks kept of each framework
    #[arg(long, default_value_t = 1000)]
    pub max_completed_tasks_per_framework: usize,
    /// File of principals and secrets, as JSON or one pair per line
    #[arg(long)]
    pub credentials: Option<String>,
    /// Frameworks must authenticate
    #[arg(long, value_parser = clap::value_parser!(bool), num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub authenticate_http_frameworks: bool,
    /// Who reads the operator API and the endpoints must authenticate
    #[arg(long, value_parser = clap::value_parser!(bool), num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub authenticate_http_readonly: bool,
    /// Who changes something by the operator API and the endpoints must authenticate
    #[arg(long, value_parser = clap::value_parser!(bool), num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub authenticate_http_readwrite: bool,
    /// Who may do what: JSON, or a file with it
    #[arg(long)]
    pub acls: Option<String>,
    /// Masters elect a leader there, such as zk://h1:2181,h2:2181/mesos
    #[arg(long)]
    pub zk: Option<String>,
    /// Taken for the sake of Mesos' scripts: the registry is in ZooKeeper, which has a quorum of its own
    #[arg(long)]
    pub quorum: Option<u32>,
    /// Agents must authenticate
    #[arg(long, value_parser = clap::value_parser!(bool), num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub authenticate_agents: bool,
}

/// Allowed roles.
pub type Roles = BTreeSet<String>;
/// Weights of roles.
pub type Weights = BTreeMap<String, f64>;

impl Default for MasterOptions {
    fn default() -> Self {
        <Self as clap::Parser>::parse_from(["mesos-master"])
    }
}

impl MasterOptions {
    /// Whether anybody must say who he is.
    pub(crate) fn authenticates(&self) -> bool {
        self.authenticate_http_frameworks
            || self.authenticate_agents
            || self.authenticate_http_readonly
            || self.authenticate_http_readwrite
    }

    /// Options of a master on loopback and a free port, for tests and embedded clusters.
    #[must_use]
    pub fn loopback() -> Self {
        let ip = IpAddr::from([127, 0, 0, 1]);
        Self { ip, port: 0, hostname: Some("localhost".to_owned()), ..Self::default() }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
fn parse_roles(text: &str) -> Result<Roles, String> {
    Ok(text.split(',').map(str::trim).filter(|role| !role.is_empty()).map(str::to_owned).collect())
}

fn parse_weights(text: &str) -> Result<Weights, String> {
    text.split(',')
        .map(|pair| {
            let weight = pair.split_once('=').and_then(|(role, weight)| {
                let weight: f64 = weight.trim().parse().ok()?;
                (weight > 0.0 && weight.is_finite()).then(|| (role.trim().to_owned(), weight))
            });
            weight.ok_or_else(|| format!("{pair:?} is not of the form role=weight"))
        })
        .collect()
}
