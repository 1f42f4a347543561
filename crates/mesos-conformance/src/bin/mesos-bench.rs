//! Figures of a cluster: starts it, loads it, prints one JSON line a figure. `tools/benchmarks/mesos` calls it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use mesos_conformance::bench::{
    NullAgents, Task, decline_to_offer, executor_round_trip, failover, launch_rate,
    launch_to_running, state,
};
use mesos_conformance::cluster::{Cluster, Kind, Spec, set_genuine_up};
use mesos_conformance::lab::Lab;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Figure {
    /// DECLINE to the next offer, one agent
    Offer,
    /// The same among null agents
    OfferAmongMany,
    /// Launches per second over null agents
    Launches,
    /// The same while somebody asks for /state
    LaunchesPolled,
    /// /state with many tasks
    State,
    /// ACCEPT to TASK_RUNNING of command tasks
    Command,
    /// ACCEPT to TASK_FINISHED on a warm executor
    Executor,
    /// All agents back after kill -9 of the master
    Failover,
    /// Memory of idle processes after a while
    Idle,
}

#[derive(Debug, Parser)]
#[command(name = "mesos-bench")]
struct Arguments {
    /// What to measure
    #[arg(value_enum, required = true)]
    figures: Vec<Figure>,
    /// Whose cluster; null agents join ours only
    #[arg(long, value_enum, default_value = "ours")]
    cluster: Kind,
    /// The program that is our master, agent and executor: the built mesos-conformance
    #[arg(long)]
    program: PathBuf,
    /// Null agents
    #[arg(long, default_value_t = 1000)]
    agents: usize,
    /// Tasks for /state
    #[arg(long, default_value_t = 100_000)]
    tasks: usize,
    /// Samples of each wait
    #[arg(long, default_value_t = 200)]
    samples: usize,
    /// Seconds of load
    #[arg(long, default_value_t = 15)]
    seconds: u64,
}

/// The masters' own defaults count here, not the short intervals of the checks.
const DEFAULTS: &[&str] =
    &["--allocation_interval=1secs", "--agent_ping_timeout=15secs", "--max_agent_ping_timeouts=5"];
const BARE: Spec = Spec { master: DEFAULTS, agents: &[], masters: 1 };
const ONE: Spec =
    Spec { master: DEFAULTS, agents: &[&["--resources=cpus:8;mem:4096"]], masters: 1 };

async fn measure(arguments: &Arguments, figure: Figure) -> Result<Value> {
    let start =
        async |spec: Spec| Cluster::start(arguments.cluster, spec, &arguments.program).await;
    let crowd = async |cluster: &Cluster, task: Task| {
        NullAgents::start(&cluster.master(), arguments.agents, (64.0, 65_536.0), task).await
    };
    let span = Duration::from_secs(arguments.seconds);
    let (cluster, told) = match figure {
        Figure::Offer => {
            let cluster = start(ONE).await?;
            let told = decline_to_offer(&cluster.master(), arguments.samples.min(60)).await?;
            (cluster, told)
        }
        Figure::OfferAmongMany => {
            let cluster = start(BARE).await?;
            let _agents = crowd(&cluster, Task::Ends).await?;
            let told = decline_to_offer(&cluster.master(), arguments.samples).await?;
            (cluster, told)
        }
        Figure::Launches | Figure::LaunchesPolled => {
            let cluster = start(BARE).await?;
            let _agents = crowd(&cluster, Task::Ends).await?;
            let poll = (figure == Figure::LaunchesPolled).then_some(Duration::from_secs(5));
            let told = launch_rate(&cluster.master(), span, 8, poll).await?;
            (cluster, told)
        }
        Figure::State => {
            let cluster = start(BARE).await?;
            let _agents = crowd(&cluster, Task::Runs).await?;
            let told = state(&cluster.master(), arguments.tasks, 10).await?;
            (cluster, told)
        }
        Figure::Command | Figure::Executor => {
            let lab = Lab::Own(start(ONE).await?);
            lab.agents_return(1).await?;
            let told = match figure {
                Figure::Command => launch_to_running(&lab, arguments.samples.min(50)).await?,
                _ => executor_round_trip(&lab, arguments.samples.min(100)).await?,
            };
            let Lab::Own(cluster) = lab else { anyhow::bail!("it was our own") };
            (cluster, told)
        }
        Figure::Failover => {
            let mut cluster = start(BARE).await?;
            let agents = crowd(&cluster, Task::Runs).await?;
            let told = failover(&agents, async || {
                cluster.kill_master()?;
                cluster.start_master().await
            })
            .await?;
            (cluster, told)
        }
        Figure::Idle => {
            let cluster = start(ONE).await?;
            tokio::time::sleep(Duration::from_secs(60)).await;
            (cluster, json!({}))
        }
    };
    let mut line = json!({
        "figure": format!("{figure:?}"), "cluster": format!("{:?}", arguments.cluster).to_lowercase(),
        "null_agents": arguments.agents, "result": told, "processes": cluster.usage(), "load": load()?,
    });
    if matches!(figure, Figure::Offer | Figure::Command | Figure::Executor | Figure::Idle) {
        line["null_agents"] = json!(0);
    }
    Ok(line)
}

/// Of the last minute.
fn load() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().context("an empty loadavg")?.parse()?)
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the program's answer")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.cluster == Kind::Genuine
        && let Err(error) = set_genuine_up()
    {
        eprintln!("error: genuine Apache Mesos cannot be set up: {error:#}");
        return ExitCode::from(2);
    }
    let mut code = ExitCode::SUCCESS;
    for figure in arguments.figures.clone() {
        match measure(&arguments, figure).await {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("error: {figure:?}: {error:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
