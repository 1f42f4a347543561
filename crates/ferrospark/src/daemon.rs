//! The embedded master and agent as programs of their own.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use mesos_agent::AgentOptions;
use mesos_master::MasterOptions;
use tokio::signal::unix::{SignalKind, signal};

/// The master decides in one thread; the others serve its connections and make large answers.
const MASTER_THREADS: usize = 8;

/// The agent moves little: events of its executors, and what tasks have fetched.
const AGENT_THREADS: usize = 4;

/// `ferrospark master`.
pub(crate) fn master(words: &[String]) -> anyhow::Result<ExitCode> {
    let options = MasterOptions::parse_from(arguments("mesos-master", words));
    start_logging(options.log_dir.as_deref(), "mesos-master.log")?;
    runtime(MASTER_THREADS)?.block_on(async {
        let master = mesos_master::start(options).await?;
        ready(&master.addr.to_string())?;
        let ended = tokio::select! {
            signal = wait_for_signal() => signal.map(|()| ExitCode::SUCCESS)?,
            // The log says why; a supervisor starts it again.
            () = master.ended() => ExitCode::FAILURE,
        };
        master.shutdown().await;
        Ok(ended)
    })
}

/// `ferrospark agent`. As in Mesos, SIGTERM lets the tasks of frameworks that checkpoint go on for an
/// agent that follows in the same folder, and SIGUSR1 ends everything and leaves the master.
pub(crate) fn agent(words: &[String]) -> anyhow::Result<ExitCode> {
    let options = AgentOptions::parse_from(arguments("mesos-agent", words));
    start_logging(options.log_dir.as_deref(), "mesos-agent.log")?;
    runtime(AGENT_THREADS)?.block_on(async {
        let mut leave = signal(SignalKind::user_defined1())?;
        let agent = mesos_agent::start(options).await?;
        agent.registered().await?;
        ready(&agent.addr.to_string())?;
        tokio::select! {
            told = wait_for_signal() => {
                told?;
                agent.leave().await;
            }
            _ = leave.recv() => agent.shutdown().await,
            reason = agent.refused() => {
                agent.shutdown().await;
                anyhow::bail!("the master refused the agent: {reason}");
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// To a file of this name if there is a folder for it, to standard error otherwise.
fn start_logging(folder: Option<&Path>, name: &str) -> anyhow::Result<()> {
    let Some(folder) = folder else {
        crate::settings::start_logging(true);
        return Ok(());
    };
    let path = folder.join(name);
    let told = || format!("cannot write the log {}; name another --log_dir", path.display());
    std::fs::create_dir_all(folder).with_context(told)?;
    let file = std::fs::File::options().create(true).append(true).open(&path);
    crate::settings::start_logging_to(file.with_context(told)?);
    Ok(())
}

fn arguments(name: &str, words: &[String]) -> Vec<OsString> {
    std::iter::once(OsString::from(name)).chain(words.iter().map(OsString::from)).collect()
}

/// Threads for a daemon: one for each processor, but no more than it has work for, since each takes
/// memory from the tasks of a large machine.
pub(crate) fn runtime(most_threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.min(most_threads))
        .enable_all()
        .build()
        .context("cannot start threads")
}

/// Says that others may connect now: to the file that `sbin/spark-daemon.sh` waits for, and to the log. From then on a
/// daemon takes no more memory than it works with.
pub(crate) fn ready(address: &str) -> anyhow::Result<()> {
    crate::resident::give_back_when_settled();
    tracing::info!(address, "serving");
    if let Some(file) = std::env::var_os("FERROSPARK_READY_FILE").map(PathBuf::from) {
        std::fs::write(&file, format!("{address}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Returns when the daemon is told to end.
pub(crate) async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
