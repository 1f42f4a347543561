//! Flags of the agent, under Mesos' own names.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use mesos_api::duration::parse_duration;

/// How an agent is started; as flags or in a program.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "mesos-agent", about = "A Mesos agent", rename_all = "snake_case")]
pub struct AgentOptions {
    /// Master to join: host:port, or zk://[user:password@]host:port,host:port/path where a leader is elected
    #[arg(long)]
    pub master: String,
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0")]
    pub ip: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 5051)]
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
    /// Folder of the sandboxes
    #[arg(long)]
    pub work_dir: PathBuf,
    /// Folder for log files; without it the log goes to stderr
    #[arg(long)]
    pub log_dir: Option<PathBuf>,
    /// What the agent offers, such as cpus:4;mem:4096;ports:[31000-32000]; found out by default
    #[arg(long)]
    pub resources: Option<String>,
    /// Role of resources that name none
    #[arg(long, default_value = "*")]
    pub default_role: String,
    /// What the agent says about itself, such as rack:r1;zone:a
    #[arg(long)]
    pub attributes: Option<String>,
    /// Run tasks as the user their framework names
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    pub switch_user: bool,
    /// Name and secret for the master: a file, as JSON or "principal secret"
    #[arg(long)]
    pub credential: Option<String>,
    /// Executors must subscribe within this time
    #[arg(long, default_value = "1mins", value_parser = parse_duration)]
    pub executor_registration_timeout: Duration,
    /// Executors must subscribe again within this time after a restart of the agent
    #[arg(long, default_value = "2secs", value_parser = parse_duration)]
    pub executor_reregistration_timeout: Duration,
    /// Executors that checkpoint end by themselves if the agent is away for longer
    #[arg(long, default_value = "15mins", value_parser = parse_duration)]
    pub recovery_timeout: Duration,
    /// What becomes of checkpointed tasks of an earlier run: they go on, or everything is killed
    #[arg(long, value_enum, default_value = "reconnect")]
    pub recover: Recover,
    /// What may have changed since an earlier run
    #[arg(long, value_enum, default_value = "equal")]
    pub reconfiguration_policy: ReconfigurationPolicy,
    /// Age at which sandboxes of ended containers are removed, if the disk is empty
    #[arg(long, default_value = "1weeks", value_parser = parse_duration)]
    pub gc_delay: Duration,
    /// Part of the disk kept free, for which sandboxes are removed at any age
    #[arg(long, default_value_t = 0.1)]
    pub gc_disk_headroom: f64,
    /// How often sandboxes are looked through
    #[arg(long, default_value = "1mins", value_parser = parse_duration)]
    pub disk_watch_interval: Duration,
    /// Folder of the fetcher's cache, which is emptied at start; WORK_DIR/fetch by default
    #[arg(long)]
    pub fetcher_cache_dir: Option<PathBuf>,
    /// Size of the fetcher's cache; 0B for none
    #[arg(long, default_value = "2GB", value_parser = parse_bytes)]
    pub fetcher_cache_size: u64,
    /// A download that moves nothing for so long is given up
    #[arg(long, default_value = "1mins", value_parser = parse_duration)]
    pub fetcher_stall_timeout: Duration,
    /// Where URIs that are relative paths start
    #[arg(long)]
    pub frameworks_home: Option<PathBuf>,
    /// Where Hadoop is, whose client fetches what the agent itself cannot
    #[arg(long)]
    pub hadoop_home: Option<PathBuf>,
    /// Where S3 is, if not at Amazon, such as http://minio:9000; also AWS_ENDPOINT
    #[arg(long)]
    pub s3_endpoint: Option<String>,
    /// Region of S3; also AWS_REGION
    #[arg(long)]
    pub s3_region: Option<String>,
    /// Access key and its secret: a file, as JSON or "key secret"; also AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY
    #[arg(long)]
    pub s3_credential: Option<String>,
    /// Who runs containers: mesos, or docker,mesos
    #[arg(long, default_value = "mesos")]
    pub containerizers: String,
    /// Socket of Docker
    #[arg(long, default_value = "/var/run/docker.sock")]
    pub docker_socket: String,
    /// How tasks are held to their resources: cgroups/cpu,cgroups/mem or posix/cpu,posix/mem, which
    /// holds them to nothing; by default the former where it can be had
    #[arg(long)]
    pub isolation: Option<String>,
    /// Group below which containers have theirs
    #[arg(long, default_value = "mesos")]
    pub cgroups_root: String,
    /// Tasks get no more processor time than they asked for, even if there is some
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub cgroups_enable_cfs: bool,
    /// A larger stdout of a container is rotated; 0B never does
    #[arg(long, default_value = "100MB", value_parser = parse_bytes)]
    pub max_stdout_size: u64,
    /// A larger stderr of a container is rotated; 0B never does
    #[arg(long, default_value = "100MB", value_parser = parse_bytes)]
    pub max_stderr_size: u64,
    /// Rotated parts kept of each
    #[arg(long, default_value_t = 4)]
    pub max_rotated_files: usize,
    /// Executors that were told to end are killed after this time
    #[arg(long, default_value = "5secs", value_parser = parse_duration)]
    pub executor_shutdown_grace_period: Duration,
    /// Variables of every executor, as a JSON object
    #[arg(long)]
    pub executor_environment_variables: Option<String>,
}

/// What may change between two runs of an agent in the same work directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReconfigurationPolicy {
    /// Nothing.
    Equal,
    /// Resources and attributes may be added.
    Additive,
    /// Anything.
    Any,
}

/// What becomes of what an earlier run left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Recover {
    /// What is checkpointed goes on.
    Reconnect,
    /// Everything is killed, and the agent joins as a new one.
    Cleanup,
}

/// Reads sizes as Mesos writes them: `10MB`, `2GB`; units are powers of 1024.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "B" => 0,
        "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return Err(format!("'{text}' is not a number with B, KB, MB, GB or TB")),
    };
    let number: u64 = number.parse().map_err(|_| format!("'{text}' has no number"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("'{text}' is too much"))
}

impl AgentOptions {
    /// Options of an agent on loopback and a free port, for tests and embedded clusters.
    #[must_use]
    pub fn loopback(master: impl Into<String>, work_dir: impl Into<PathBuf>) -> Self {
        let work_dir = work_dir.into();
        let arguments = ["mesos-agent", "--master=replaced", "--work_dir=replaced"];
        Self {
            master: master.into(),
            work_dir,
            ip: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            hostname: Some("localhost".to_owned()),
            ..<Self as clap::Parser>::parse_from(arguments)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_bytes("10MB"), Ok(10 << 20));
        assert_eq!(parse_bytes("0B"), Ok(0));
        for wrong in ["10", "MB", "1.5GB", "99999999999TB", ""] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
