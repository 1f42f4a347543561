//! Figures of a cluster: starts it, loads it, prints one JSON line a figure. `tools/benchmarks/master` calls it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use mesos_conformance::bench::{
    NullAgents, Task, end_to_offer, executor_round_trip, failover, freed_to_offer, launch_rate,
    launch_to_running, state_under_load,
};
use mesos_conformance::cluster::{Cluster, Kind, Spec, set_genuine_up};
use mesos_conformance::lab::Lab;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Figure {
    /// End of a task to the offer of what it held, one agent
    Offer,
    /// The same among null agents
    OfferAmongMany,
    /// Launches per second over null agents
    Launches,
    /// /state of ten times as many null agents with many tasks, while others launch
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

impl Figure {
    /// Whether genuine Mesos can do the same. Its command executor there is a stand-in, so command tasks are not compared.
    fn of_any(self) -> bool {
        matches!(self, Self::Offer | Self::Executor | Self::Idle)
    }

    /// What it is called, which of the numbers told is the figure, its unit, and what it should keep to.
    fn face(self) -> (&'static str, &'static str, &'static str, Option<f64>) {
        match self {
            Self::Offer => ("offer of what a task held, one agent, p99", "p99", "ms", None),
            Self::OfferAmongMany => {
                ("offer of what a task held, among null agents, p99", "p99", "ms", Some(10.0))
            }
            Self::Launches => {
                ("task launches over null agents", "launches_per_second", "1/s", Some(2000.0))
            }
            Self::State => {
                ("/state of a large cluster under load, slowest", "max", "ms", Some(500.0))
            }
            Self::Command => ("command task, launch to running, p50", "p50", "ms", Some(15.0)),
            Self::Executor => ("task on a warm custom executor, p50", "p50", "ms", None),
            Self::Failover => {
                ("all null agents back after kill -9 of the master", "seconds", "s", None)
            }
            Self::Idle => ("idle master, 60 s after its start", "rss_mib", "MiB", Some(25.0)),
        }
    }
}

#[derive(Debug, Parser)]
#[command(name = "mesos-bench")]
struct Arguments {
    /// What to measure
    #[arg(value_enum, required = true)]
    figures: Vec<Figure>,
    /// Whose clusters, as ours,genuine; null agents join ours only, and figures that need them are left out of others
    #[arg(long, value_enum, value_delimiter = ',', default_value = "ours")]
    cluster: Vec<Kind>,
    /// The program that is our master and agent: ferrospark or mesos-conformance
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
    /// Puts the master on the first core and all else on the second
    #[arg(long)]
    pin: bool,
}

/// The masters' own defaults count here, not the short intervals of the checks.
const DEFAULTS: &[&str] =
    &["--allocation_interval=1secs", "--agent_ping_timeout=15secs", "--max_agent_ping_timeouts=5"];
const BARE: Spec = Spec { master: DEFAULTS, agents: &[], masters: 1 };
const ONE: Spec =
    Spec { master: DEFAULTS, agents: &[&["--resources=cpus:8;mem:4096"]], masters: 1 };

/// As often as tools poll.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

async fn start(arguments: &Arguments, kind: Kind, spec: Spec) -> Result<Cluster> {
    let mut cluster = Cluster::start(kind, spec, &arguments.program).await?;
    // The executor of both kinds of clusters is this program.
    cluster.set_executor(std::env::current_exe()?);
    if arguments.pin
        && let Some(master) = cluster.master_pid()
    {
        pin(master, 0)?;
    }
    Ok(cluster)
}

/// Puts all threads of a process on one core.
fn pin(pid: i32, core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let id = thread?.file_name().to_string_lossy().parse().context("a thread's id")?;
        sched_setaffinity(Pid::from_raw(id), &cores).context("pinning")?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, cluster_kind: Kind, figure: Figure) -> Result<Value> {
    let kind = name_of(cluster_kind);
    let start = async |spec: Spec| start(arguments, cluster_kind, spec).await;
    let crowd = async |cluster: &Cluster, task: Task, count: usize| {
        NullAgents::start(&cluster.master(), count, (64.0, 65_536.0), task).await
    };
    let span = Duration::from_secs(arguments.seconds);
    let mut null_agents = arguments.agents;
    let (cluster, mut told) = match figure {
        Figure::Offer => {
            null_agents = 0;
            let lab = Lab::Own(start(ONE).await?);
            lab.agents_return(1).await?;
            let told = end_to_offer(&lab, arguments.samples.min(30)).await?;
            let Lab::Own(cluster) = lab else { anyhow::bail!("it was our own") };
            (cluster, told)
        }
        Figure::OfferAmongMany => {
            let cluster = start(BARE).await?;
            let mut agents = crowd(&cluster, Task::Ends, null_agents).await?;
            let told = freed_to_offer(&cluster.master(), &mut agents, arguments.samples).await?;
            (cluster, told)
        }
        Figure::Launches => {
            let cluster = start(BARE).await?;
            let _agents = crowd(&cluster, Task::Ends, null_agents).await?;
            let told = launch_rate(&cluster.master(), span, 8).await?;
            (cluster, told)
        }
        Figure::State => {
            null_agents *= 10;
            let cluster = start(BARE).await?;
            let _agents = crowd(&cluster, Task::Ends, null_agents).await?;
            let master = cluster.master();
            let told = state_under_load(&master, arguments.tasks, span, POLL_INTERVAL).await?;
            (cluster, told)
        }
        Figure::Command | Figure::Executor => {
            null_agents = 0;
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
            let agents = crowd(&cluster, Task::Runs, null_agents).await?;
            let told = failover(&agents, async || {
                cluster.kill_master()?;
                cluster.start_master().await
            })
            .await?;
            (cluster, told)
        }
        Figure::Idle => {
            null_agents = 0;
            let cluster = start(ONE).await?;
            tokio::time::sleep(Duration::from_secs(60)).await;
            (cluster, json!({}))
        }
    };
    let processes = cluster.usage();
    if figure == Figure::Idle {
        told["rss_mib"] = processes["master"]["rss_mib"].clone();
    }
    let (name, key, unit, limit) = figure.face();
    let limit = limit.filter(|_| cluster_kind == Kind::Ours);
    Ok(json!({
        "figure": format!("{name}, {kind}"), "value": told[key], "unit": unit, "limit": limit,
        "null_agents": null_agents, "load": load()?, "cpu_seconds": processes["master"]["cpu_seconds"],
        "processes": processes, "result": told,
    }))
}

fn name_of(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

/// The memory of the agent, which was measured with the master's.
fn idle_agent(idle: &Value, kind: Kind) -> Value {
    let mut line = idle.clone();
    line["figure"] = json!(format!("idle agent, 60 s after its start, {}", name_of(kind)));
    line["value"] = idle["processes"]["agent-0"]["rss_mib"].clone();
    line["limit"] = json!((kind == Kind::Ours).then_some(20.0));
    line
}

/// How long a task on a warm executor takes on our cluster, to how long on a genuine one.
fn executor_ratio(lines: &[(Kind, Value)]) -> Option<Value> {
    let of = |kind| lines.iter().find(|(of, _)| *of == kind)?.1["value"].as_f64();
    let ratio = of(Kind::Ours)? / of(Kind::Genuine)?;
    Some(json!({
        "figure": "task on a warm custom executor, ours to genuine",
        "value": (ratio * 1000.0).round() / 1000.0, "unit": "ratio", "limit": 0.333,
    }))
}

/// What polling `/state` leaves of the launches, as a figure of its own.
fn kept(state: &Value) -> Value {
    let mut line = state.clone();
    line["figure"] = json!("launches kept while /state is polled every 5 s, ours");
    line["value"] = state["result"]["launches_kept"].clone();
    line["unit"] = json!("of the rate");
    line["limit"] = json!(0.9);
    line
}

/// Of the last minute.
fn load() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().context("an empty loadavg")?.parse()?)
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the program's answer")]
async fn main() -> ExitCode {
    // Agents run it as the executor of both kinds of clusters.
    if std::env::args_os().nth(1).is_some_and(|word| word == "executor") && executor_asked() {
        return match mesos_conformance::executor::run().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let arguments = Arguments::parse();
    if arguments.cluster.contains(&Kind::Genuine)
        && let Err(error) = set_genuine_up()
    {
        eprintln!("error: genuine Apache Mesos cannot be set up: {error:#}");
        return ExitCode::from(2);
    }
    if arguments.pin
        && let Err(error) = pin(std::process::id().cast_signed(), 1)
    {
        eprintln!("error: {error:#}");
        return ExitCode::from(2);
    }
    let mut code = ExitCode::SUCCESS;
    let mut executors = Vec::new();
    for figure in arguments.figures.clone() {
        for kind in arguments.cluster.iter().copied() {
            if kind == Kind::Genuine && !figure.of_any() {
                continue;
            }
            match measure(&arguments, kind, figure).await {
                Ok(line) => {
                    println!("{line}");
                    match figure {
                        Figure::State => println!("{}", kept(&line)),
                        Figure::Idle => println!("{}", idle_agent(&line, kind)),
                        Figure::Executor => executors.push((kind, line)),
                        _ => {}
                    }
                }
                Err(error) => {
                    eprintln!("error: {figure:?} of {kind:?}: {error:#}");
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    if let Some(line) = executor_ratio(&executors) {
        println!("{line}");
    }
    code
}

/// Whether an agent started this program; by hand, `executor` is a figure.
fn executor_asked() -> bool {
    std::env::var_os("MESOS_AGENT_ENDPOINT").is_some()
}
