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
    /// Master to join, host:port
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
    /// Executors that were told to end are killed after this time
    #[arg(long, default_value = "5secs", value_parser = parse_duration)]
    pub executor_shutdown_grace_period: Duration,
    /// Variables of every executor, as a JSON object
    #[arg(long)]
    pub executor_environment_variables: Option<String>,
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
