//! Runs the scripts of `bin/` on the program under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The repository, which is a SPARK_HOME.
pub(crate) fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Puts the program under test where the scripts of `bin/` find it, and makes the client's environment, once.
fn prepare() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let libexec = home().join("libexec");
        std::fs::create_dir_all(&libexec).unwrap();
        let program = libexec.join("ferrospark");
        let tested = Path::new(env!("CARGO_BIN_EXE_ferrospark"));
        if std::fs::read_link(&program).ok().as_deref() != Some(tested) {
            // By rename, as other processes may be looking.
            let fresh = libexec.join(format!("ferrospark.{}", std::process::id()));
            let _ = std::fs::remove_file(&fresh);
            std::os::unix::fs::symlink(tested, &fresh).unwrap();
            std::fs::rename(&fresh, &program).unwrap();
        }
        let setup = Command::new(home().join("tools/setup")).output().unwrap();
        assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    });
}

/// A script of `bin/` or `sbin/`, in the repository's root, without settings of the caller's.
pub(crate) fn script(path: &str) -> Command {
    prepare();
    let mut command = Command::new(home().join(path));
    command.current_dir(home()).stdin(Stdio::null());
    for name in ["SPARK_HOME", "SPARK_CONF_DIR", "SPARK_LOCAL_IP", "SPARK_REMOTE", "MASTER"] {
        command.env_remove(name);
    }
    command
}

/// TPC-H at scale factor 0.1, made once for all runs on this machine.
pub(crate) fn tpch_data() -> PathBuf {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| generated("tpch", "0.1")).clone()
}

/// TPC-DS at scale factor 0.05, made once for all runs on this machine.
pub(crate) fn tpcds_data() -> PathBuf {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| generated("tpcds", "0.05")).clone()
}

/// The folder with the queries of TPC-DS.
pub(crate) fn tpcds_queries() -> PathBuf {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| {
        prepare();
        let told = Command::new(home().join("tools/tpcds/queries")).output().unwrap();
        succeeded(&told);
        PathBuf::from(out(&told).trim())
    })
    .clone()
}

fn generated(benchmark: &str, scale: &str) -> PathBuf {
    prepare();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/var".into())).join(".cache"),
        PathBuf::from,
    );
    let data = cache.join(format!("ferrospark/{benchmark}-sf{scale}"));
    let made = Command::new(env!("CARGO_BIN_EXE_ferrospark"))
        .args([&format!("{benchmark}-data"), "--scale-factor", scale, "--output"])
        .arg(&data)
        .output()
        .unwrap();
    succeeded(&made);
    data
}

/// Standard output as text.
pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts success, showing what the program said.
pub(crate) fn succeeded(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        out(output),
        err(output)
    );
}

/// Settings that leave no short cut in the driver, and a report of what executors did.
pub(crate) const ON_EXECUTORS: &[&str] = &[
    "--conf",
    "spark.ferrospark.localExecution.enabled=false",
    "--conf",
    "spark.sql.adaptive.coalescePartitions.enabled=false",
    "--conf",
    "spark.ferrospark.executorReport.enabled=true",
    "--conf",
    "spark.sql.shuffle.partitions=8",
];

/// The executors' report: each ran tasks and read shuffle bytes from another.
pub(crate) fn assert_shared_work(stderr: &str, executors: usize) {
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("executor ")).collect();
    assert_eq!(lines.len(), executors, "{stderr}");
    for line in lines {
        let number = |after: &str| -> u64 {
            let rest = line.split(after).nth(1).unwrap_or_default();
            rest.split_whitespace().next().unwrap_or_default().parse().unwrap_or(0)
        };
        assert!(number(": ") > 0, "no tasks: {line}");
        assert!(number("tasks, ") > 0, "no bytes from others: {line}");
    }
}
