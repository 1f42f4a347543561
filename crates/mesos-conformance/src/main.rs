//! Runs the suite; also the master, the agent and the executor of the clusters it starts.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use mesos_agent::AgentOptions;
use mesos_client::MasterAddress;
use mesos_conformance::cluster::{Kind, set_genuine_up};
use mesos_conformance::document::document;
use mesos_conformance::runner::{Outcome, Selection, Target, run};
use mesos_conformance::suite::Pace;
use mesos_master::MasterOptions;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Tries whether a Mesos master and its agents behave as Apache Mesos does. One JSON line a check, and one for all.
#[derive(Debug, Parser)]
#[command(name = "mesos-conformance")]
struct Arguments {
    /// A master that is there, with at least two idle agents on this machine; nothing is hurt
    #[arg(long, conflicts_with = "cluster")]
    master: Option<String>,
    /// Clusters started for the purpose
    #[arg(long, value_enum, default_value = "ours")]
    cluster: Kind,
    /// Only checks that take a second or two
    #[arg(long, conflicts_with = "slow")]
    fast: bool,
    /// Only checks that take longer
    #[arg(long)]
    slow: bool,
    /// Only these behaviours, as 1,7,30
    #[arg(long, value_delimiter = ',')]
    only: Vec<u8>,
    /// Only checks with this in their name
    #[arg(long)]
    name: Option<String>,
    /// The program that agents run as custom executor; this one by default
    #[arg(long)]
    executor: Option<PathBuf>,
    /// Print docs/mesos-conformance.md instead
    #[arg(long)]
    document: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("FERROSPARK_LOG")
                .unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = std::env::args_os();
    let program = arguments.next();
    let rest = |role: &str| [role.into()].into_iter().chain(std::env::args_os().skip(2));
    match arguments.next().as_ref().and_then(|first| first.to_str()) {
        Some("master") => {
            return finish(master(MasterOptions::parse_from(rest("mesos-master"))).await);
        }
        Some("agent") => return finish(agent(AgentOptions::parse_from(rest("mesos-agent"))).await),
        Some("executor") => return finish(mesos_conformance::executor::run().await.map(|()| true)),
        Some(_) | None => drop(program),
    }
    finish(suite(Arguments::parse()).await)
}

/// A master of ours until it is told to stop.
async fn master(options: MasterOptions) -> Result<bool> {
    let mut told = signal(SignalKind::terminate())?;
    let master = mesos_master::start(options).await?;
    told.recv().await;
    master.shutdown().await;
    Ok(true)
}

/// An agent of ours until it is told to stop; tasks of frameworks that checkpoint go on.
async fn agent(options: AgentOptions) -> Result<bool> {
    let mut told = signal(SignalKind::terminate())?;
    let agent = mesos_agent::start(options).await?;
    agent.registered().await?;
    told.recv().await;
    agent.leave().await;
    Ok(true)
}

#[expect(clippy::print_stderr, reason = "the rim of a program")]
fn finish(result: Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the program's answer")]
async fn suite(arguments: Arguments) -> Result<bool> {
    if arguments.document {
        print!("{}", document());
        return Ok(true);
    }
    let target = match &arguments.master {
        Some(master) => Target::Foreign(MasterAddress::parse(master)?),
        None => Target::Made(arguments.cluster),
    };
    if matches!(target, Target::Made(Kind::Genuine)) {
        set_genuine_up().context("genuine Apache Mesos cannot be set up")?;
    }
    let selection = Selection {
        pace: match (arguments.fast, arguments.slow) {
            (true, _) => Some(Pace::Fast),
            (_, true) => Some(Pace::Slow),
            (false, false) => None,
        },
        behaviours: arguments.only,
        name: arguments.name,
    };
    let program = match arguments.executor {
        Some(program) => program,
        None => std::env::current_exe()?,
    };
    let reports =
        run(&target, &selection, &program, |report| println!("{}", report.to_json())).await?;
    let count =
        |wanted: fn(&Outcome) -> bool| reports.iter().filter(|r| wanted(&r.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let name = match &target {
        Target::Made(Kind::Ours) => "ours".to_owned(),
        Target::Made(Kind::Genuine) => "genuine".to_owned(),
        Target::Foreign(master) => master.to_string(),
    };
    println!(
        "{}",
        json!({
            "suite": "conformance", "target": name,
            "passed": count(|outcome| matches!(outcome, Outcome::Passed)),
            "skipped": count(|outcome| matches!(outcome, Outcome::Skipped(_))),
            "failed": failed,
            "seconds": reports.iter().map(|report| report.took.as_secs_f64()).sum::<f64>().round(),
        })
    );
    Ok(failed == 0)
}
