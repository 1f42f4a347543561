//! Python as a child of the driver: the script of `spark-submit`, the shell of `pyspark`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use spark_conf::{SparkConf, table};
use tokio::process::{Child, Command};

use crate::driver::Driver;
use crate::signals::{EndSignal, EndSignals};
use crate::{exit, settings, submit};

/// How long a signalled Python may take to end before it is killed.
const GRACE: std::time::Duration = std::time::Duration::from_millis(1200);

/// `bin/pyspark`.
pub(crate) fn shell_main(words: &[String]) -> anyhow::Result<ExitCode> {
    let line = settings::parse(words, |_, _| Ok(false))?;
    if line.help || line.version {
        return submit::help_or_version(&line, "pyspark [options]");
    }
    settings::start_logging(line.verbose);
    let mut conf = line.configuration()?;
    if conf.explicit("spark.app.name").is_none() {
        conf.set(spark_conf::Origin::Computed, "spark.app.name", "PySparkShell");
    }
    let start = std::env::var_os("PYTHONSTARTUP");
    let home = settings::spark_home().context("SPARK_HOME is not set and was not found")?;
    submit::run_with_driver(conf, async |driver| {
        let mut command = python_command(driver, &line.py_files)?;
        command.env("PYTHONSTARTUP", home.join("python/shell.py"));
        if let Some(start) = &start {
            command.env("FERROSPARK_OLD_PYTHONSTARTUP", start);
        }
        let mut signals = EndSignals::take()?;
        if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            command.arg("-i");
            signals = signals.passing_interrupts();
        } else {
            // Statements from a pipe: `spark` has to be ready there too.
            command.arg("-c").arg(
                "import os,sys; exec(compile(open(os.environ['PYTHONSTARTUP']).read(), \
                 'shell.py', 'exec')); exec(compile(sys.stdin.read(), '<stdin>', 'exec'))",
            );
        }
        command.args(&line.rest);
        Ok(wait(spawn(command)?, signals).await?.code())
    })
}

/// Runs a script to its end and gives its exit code.
pub(crate) async fn run_script(
    driver: &Driver,
    script: &Path,
    arguments: &[String],
    py_files: &[String],
) -> anyhow::Result<ExitCode> {
    let mut command = python_command(driver, py_files)?;
    command.arg(script).args(arguments);
    // Before the script runs, so that no signal finds the driver without a word.
    let signals = EndSignals::take()?;
    let ended = wait(spawn(command)?, signals).await?;
    if let Ended::ByItself(status) = &ended
        && let Some(note) = silent_end(script, *status)
    {
        exit::note(&note);
    }
    Ok(ended.code())
}

/// Python with the client's way to the driver in its environment.
fn python_command(driver: &Driver, py_files: &[String]) -> anyhow::Result<Command> {
    let python = find_python(&driver.configuration());
    let mut command = Command::new(&python);
    let mut path: Vec<PathBuf> = Vec::new();
    if let Some(home) = settings::spark_home() {
        path.push(home.join("python/site"));
    }
    for file in py_files {
        let file = PathBuf::from(file.strip_prefix("file:").unwrap_or(file));
        anyhow::ensure!(file.exists(), "--py-files: {} does not exist", file.display());
        let is_module = file.extension().is_some_and(|extension| extension == "py");
        path.push(match file.parent() {
            Some(folder) if is_module => folder.to_owned(),
            _ => file,
        });
    }
    if let Some(old) = std::env::var_os("PYTHONPATH") {
        path.extend(std::env::split_paths(&old));
    }
    let path: OsString = std::env::join_paths(path).context("PYTHONPATH cannot hold a ':'")?;
    command
        .env("PYTHONPATH", path)
        .env("SPARK_REMOTE", driver.remote())
        .env_remove("MASTER")
        .env("PYTHONUNBUFFERED", "1");
    Ok(command)
}

/// `spark.pyspark.driver.python`, `PYSPARK_DRIVER_PYTHON`, `spark.pyspark.python`, `PYSPARK_PYTHON`, the environment
/// that the set-up made, `python3`: the first there is.
fn find_python(conf: &SparkConf) -> PathBuf {
    let set = [
        conf.text(table::PYSPARK_DRIVER_PYTHON.name()),
        std::env::var("PYSPARK_DRIVER_PYTHON").ok(),
        conf.text(table::PYSPARK_PYTHON.name()),
        std::env::var("PYSPARK_PYTHON").ok(),
    ];
    if let Some(python) = set.into_iter().flatten().find(|python| !python.is_empty()) {
        return PathBuf::from(python);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache
        .map(|cache| cache.join("ferrospark/venv-4.2.0/bin/python"))
        .filter(|python| python.exists())
        .unwrap_or_else(|| PathBuf::from("python3"))
}

fn spawn(mut command: Command) -> anyhow::Result<Child> {
    command.kill_on_drop(true);
    // SAFETY: prctl is async-signal-safe and touches nothing of the parent.
    #[expect(unsafe_code, reason = "only pre_exec can ask for the signal at the parent's death")]
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    let program = command.as_std().get_program().to_owned();
    command.spawn().with_context(|| {
        format!("cannot start {}; set PYSPARK_PYTHON to a Python 3", program.display())
    })
}

/// Waits for Python, handing on SIGTERM and SIGHUP; SIGINT reaches it from the terminal by itself.
async fn wait(mut child: Child, mut signals: EndSignals) -> anyhow::Result<Ended> {
    let signal = tokio::select! {
        status = child.wait() => return Ok(Ended::ByItself(status?)),
        signal = signals.next() => signal,
    };
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal.0);
    }
    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
        status?;
    } else {
        child.kill().await?;
    }
    Ok(Ended::Told(signal))
}

/// How Python came to its end.
enum Ended {
    ByItself(ExitStatus),
    /// By a signal to the driver.
    Told(EndSignal),
}

impl Ended {
    fn code(&self) -> ExitCode {
        match self {
            Self::ByItself(status) => exit::code_of(*status),
            Self::Told(signal) => signal.code(),
        }
    }
}

/// What is to be said of a script's end that Python itself says nothing about: a signal, or an exit code of
/// the script's own. It ends with 1 after a traceback.
fn silent_end(script: &Path, status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt as _;
    let script = script.display();
    match (status.code(), status.signal()) {
        (Some(0 | 1), _) => None,
        (Some(code), _) => Some(format!("error: {script} ended with exit code {code}")),
        (None, Some(number)) => {
            let name = nix::sys::signal::Signal::try_from(number)
                .map_or_else(|_| format!("signal {number}"), |signal| signal.to_string());
            Some(format!("error: {script} was ended by {name}"))
        }
        (None, None) => Some(format!("error: {script} ended as {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_python_wins() {
        let mut conf = SparkConf::new();
        conf.set(spark_conf::Origin::Program, "spark.pyspark.python", "/opt/python");
        assert_eq!(find_python(&conf), PathBuf::from("/opt/python"));
    }

    #[test]
    fn ends_that_python_does_not_tell_are_told() {
        use std::os::unix::process::ExitStatusExt as _;
        let told = |raw| silent_end(Path::new("app.py"), ExitStatus::from_raw(raw));
        assert_eq!(told(0), None);
        assert_eq!(told(1 << 8), None);
        assert_eq!(told(7 << 8).as_deref(), Some("error: app.py ended with exit code 7"));
        assert_eq!(told(9).as_deref(), Some("error: app.py was ended by SIGKILL"));
        assert_eq!(told(40).as_deref(), Some("error: app.py was ended by signal 40"));
    }
}
