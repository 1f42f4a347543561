//! `ferrospark executor`: what a Mesos task of the coarse-grained mode runs, and
//! `ferrospark mesos-executor`: the Mesos executor of the fine-grained mode.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use spark_exec::ExecutorOptions;

/// The flags of `CoarseGrainedExecutorBackend`, also those of our `MesosExecutorBackend`.
#[derive(Debug, Parser)]
#[command(name = "executor")]
struct Arguments {
    /// `spark://[NAME@]HOST:PORT` of the driver.
    #[arg(long)]
    driver_url: String,
    #[arg(long)]
    executor_id: String,
    /// Task slots; in fine-grained mode, where each Mesos task is one, threads for tasks.
    #[arg(long)]
    cores: Option<usize>,
    #[arg(long)]
    app_id: String,
    /// Name by which other executors reach this one; this machine's when left out.
    #[arg(long)]
    hostname: Option<String>,
    /// Address to bind to; all when left out.
    #[arg(long)]
    bind_address: Option<String>,
    /// Port of its shuffle server; any when left out.
    #[arg(long, default_value_t = 0)]
    block_manager_port: u16,
    /// Port by which others reach that server, where a container maps ports.
    #[arg(long)]
    advertised_port: Option<u16>,
}

pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    let options = options("executor", words)?;
    let runtime = runtime(&options)?;
    let reason = runtime.block_on(spark_exec::run_executor(options))?;
    tracing::info!(reason, "executor ends");
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn fine_main(words: &[String]) -> anyhow::Result<ExitCode> {
    let options = options("mesos-executor", words)?;
    let runtime = runtime(&options)?;
    let reason = runtime.block_on(crate::fine_executor::run(options))?;
    tracing::info!(reason, "executor ends");
    Ok(ExitCode::SUCCESS)
}

fn options(name: &str, words: &[String]) -> anyhow::Result<ExecutorOptions> {
    let arguments =
        Arguments::parse_from(std::iter::once(name.to_owned()).chain(words.iter().cloned()));
    crate::settings::start_logging(true);
    let secret = std::env::var("_SPARK_AUTH_SECRET")
        .context("_SPARK_AUTH_SECRET is not set: executors are started by their application")?;
    let memory_mib = memory(std::env::var("SPARK_EXECUTOR_MEMORY").ok().as_deref())?;
    let hostname = arguments
        .hostname
        .unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned());
    let threads = || std::thread::available_parallelism().map_or(1, usize::from);
    Ok(ExecutorOptions {
        driver_url: arguments.driver_url,
        executor_id: arguments.executor_id,
        cores: arguments.cores.unwrap_or_else(threads),
        app_id: arguments.app_id,
        hostname,
        bind_address: arguments.bind_address.unwrap_or_else(|| "0.0.0.0".to_owned()),
        block_port: arguments.block_manager_port,
        advertised_port: arguments.advertised_port,
        secret,
        memory_bytes: Some(memory_mib << 20),
        local_dirs: Vec::new(),
    })
}

fn runtime(options: &ExecutorOptions) -> anyhow::Result<tokio::runtime::Runtime> {
    crate::allocator::keep_freed_memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.cores.max(2))
        .enable_all()
        .thread_name("executor")
        .build()?;
    Ok(runtime)
}

/// `1024m` as the driver writes it.
fn memory(text: Option<&str>) -> anyhow::Result<u64> {
    let Some(text) = text else { return Ok(1024) };
    let bytes = spark_conf::parse_bytes(text, spark_conf::ByteUnit::Mib)
        .and_then(|bytes| u64::try_from(bytes).ok())
        .with_context(|| {
            format!("SPARK_EXECUTOR_MEMORY={text} is no size; expected such as 1024m")
        })?;
    Ok(bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_mib() {
        assert_eq!(memory(Some("2g")).unwrap(), 2048);
        assert_eq!(memory(Some("896m")).unwrap(), 896);
        assert!(memory(Some("x")).is_err());
    }
}
