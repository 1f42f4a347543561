//! `bin/spark-submit`, client mode: the driver in this process, the script as its child.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use spark_conf::{Origin, SparkConf};

use crate::driver::Driver;
use crate::settings::{self, CommandLine};
use crate::{exit, python, shell};

const USAGE: &str = "spark-submit [options] <app.py | app.sql> [app arguments]";

pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    let line = settings::parse(words, |_, _| Ok(false))?;
    if line.help || line.version {
        return help_or_version(&line, USAGE);
    }
    settings::start_logging(line.verbose);
    let Some((application, arguments)) = line.rest.split_first() else {
        anyhow::bail!("no application was given; usage: {USAGE}");
    };
    let file = application_file(application)?;
    let mut conf = line.configuration()?;
    if conf.text("spark.submit.deployMode").as_deref() == Some("cluster") {
        anyhow::bail!(
            "--deploy-mode cluster is not offered yet; run without it to have the driver here"
        );
    }
    conf.set(Origin::Computed, "spark.app.name", &name_of(&file));
    if line.verbose {
        print_settings(&line, &conf, application);
    }
    if file.extension().is_some_and(|extension| extension == "sql") {
        return run_with_driver(conf, async |driver| shell::run_file(driver, &file).await);
    }
    run_with_driver(conf, async |driver| {
        python::run_script(driver, &file, arguments, &line.py_files).await
    })
}

fn application_file(application: &str) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(application.strip_prefix("file:").unwrap_or(application));
    let kind = path.extension().and_then(|extension| extension.to_str());
    anyhow::ensure!(
        matches!(kind, Some("py" | "sql")),
        "{application:?} is no application; expected a Python script (.py) or SQL (.sql)"
    );
    anyhow::ensure!(path.is_file(), "the application {application} does not exist");
    Ok(path)
}

fn name_of(file: &Path) -> String {
    file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn print_settings(line: &CommandLine, conf: &SparkConf, application: &str) {
    exit::note(&format!("Application: {application} {}", line.rest[1..].join(" ")));
    for (key, value) in conf.iter() {
        let shown = if SparkConf::is_secret(key) { "*********(redacted)" } else { value };
        let origin = conf.origin(key).map_or_else(String::new, |origin| format!("  ({origin})"));
        exit::note(&format!("  {key}={shown}{origin}"));
    }
}

/// Starts a driver, lets `body` use it, and takes the application down whatever came of it.
pub(crate) fn run_with_driver(
    conf: SparkConf,
    body: impl AsyncFnOnce(&Driver) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("driver")
        // Plans of wide queries nest deeply while they are analysed.
        .thread_stack_size(16 << 20)
        .build()
        .context("cannot start the driver's threads")?;
    let outcome = runtime.block_on(async {
        let driver = Driver::start(conf).await?;
        let outcome = body(&driver).await;
        driver.stop().await;
        outcome
    });
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    outcome
}

pub(crate) fn help_or_version(line: &CommandLine, usage: &str) -> anyhow::Result<ExitCode> {
    if line.version {
        exit::say(&crate::version());
        return Ok(ExitCode::SUCCESS);
    }
    exit::say(&format!("Usage: {usage}\n\n{OPTIONS}"));
    Ok(ExitCode::SUCCESS)
}

const OPTIONS: &str = "Options:
  --master URL                local[N], local-cluster[agents,cores,memoryMiB], mesos://HOST:PORT
  --name NAME                 name of the application
  --conf, -c PROPERTY=VALUE   any Spark property
  --properties-file FILE      in place of conf/spark-defaults.conf
  --executor-memory MEM       memory of each executor, such as 1g
  --executor-cores N          cores of each executor
  --total-executor-cores N    cores of all executors together
  --driver-memory MEM         memory of the driver
  --py-files FILES            modules for the script, separated by commas
  --verbose, -v               show the settings and log more
  --version                   print the version
  --help, -h                  print this";
