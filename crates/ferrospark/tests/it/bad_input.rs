//! What users get wrong: one clear line, a non-zero exit, nothing of our insides.

use std::time::Duration;

use crate::cluster::{Cluster, free_port};
use crate::run::{err, out, script};

/// Runs spark-submit on a script of this text; the last line of standard error, and the exit code.
fn submit(flags: &[&str], text: &str) -> (String, Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app.py");
    std::fs::write(&app, text).unwrap();
    let output = script("bin/spark-submit").args(flags).arg(&app).output().unwrap();
    let said = err(&output);
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(!said.contains("panicked") && !said.contains(".rs:"), "{said}");
    (last, output.status.code(), said)
}

const COUNT: &str = "from pyspark.sql import SparkSession\nprint(SparkSession.builder.getOrCreate().range(10).repartition(2).count())\n";

#[test]
fn flags() {
    for (flags, wanted) in [
        (&["--master", "yarn"][..], "yarn"),
        (&["--master", "local[x]"], "local[x]"),
        (&["--executor-memory", "0"], "spark.executor.memory: \"0\""),
        (&["--executor-memory", "-5g"], "spark.executor.memory: \"-5g\""),
        (&["--executor-memory", "abc"], "spark.executor.memory: \"abc\""),
        (&["--nonsense"], "--nonsense"),
    ] {
        let (last, code, said) = submit(flags, COUNT);
        assert_eq!(code, Some(1), "{flags:?}: {said}");
        assert!(last.starts_with("error: ") && last.contains(wanted), "{flags:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let output = script("bin/spark-submit").arg("nowhere.py").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(err(&output), "error: the application nowhere.py does not exist\n");
}

#[test]
fn nothing_listens() {
    let master = format!("mesos://127.0.0.1:{}", free_port());
    let flags = ["--master", &master, "--conf", "spark.ferrospark.localExecution.enabled=false"];
    let (last, code, said) = submit(&flags, COUNT);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&master["mesos://".len()..]), "{said}");
    assert!(!last.is_empty());
}

#[test]
fn a_loopback_driver_is_refused_for_a_master_elsewhere() {
    let flags = [
        "--master",
        "mesos://192.0.2.1:5050",
        "--conf",
        "spark.driver.host=127.0.0.1",
        "--conf",
        "spark.ferrospark.localExecution.enabled=false",
    ];
    let (_, code, said) = submit(&flags, COUNT);
    assert_eq!(code, Some(1));
    assert!(said.contains("spark.driver.host") && said.contains("127.0.0.1"), "{said}");
}

#[test]
fn a_script_keeps_its_traceback_and_exit_code() {
    let (last, code, said) = submit(&["--master", "local[1]"], "raise ValueError('mine')\n");
    assert_eq!((last.as_str(), code), ("ValueError: mine", Some(1)), "{said}");
    let (_, code, _) = submit(&["--master", "local[1]"], "import sys; sys.exit(7)\n");
    assert_eq!(code, Some(7));
}

#[test]
fn sql_errors_carry_condition_and_state() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.parquet");
    std::fs::write(&broken, "not parquet").unwrap();
    for (statement, wanted) in [
        ("selec 1", vec!["[PARSE_SYNTAX_ERROR]", "42601"]),
        ("select nope from range(3)", vec!["[UNRESOLVED_COLUMN", "`nope`", "42703"]),
        ("select * from missing_table", vec!["[TABLE_OR_VIEW_NOT_FOUND]", "42P01"]),
        (&format!("select * from parquet.`{}`", broken.display()), vec!["broken.parquet"]),
        ("select 1/0", vec!["[DIVIDE_BY_ZERO]", "22012"]),
        ("select (select id from range(2))", vec!["[SCALAR_SUBQUERY_TOO_MANY_ROWS]", "21000"]),
    ] {
        let output = script("bin/spark-sql")
            .args(["--master", "local[1]", "-e", statement])
            .output()
            .unwrap();
        let said = err(&output);
        assert_eq!(output.status.code(), Some(1), "{statement}: {said}");
        assert!(out(&output).is_empty());
        for part in wanted {
            assert!(said.contains(part), "{statement}: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_cluster_that_never_offers_enough() {
    let cluster = Cluster::ours(1, 1);
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app.py");
    std::fs::write(&app, COUNT).unwrap();
    let said = folder.path().join("stderr");
    let mut child = script("bin/spark-submit")
        .args(["--master", &cluster.master(), "--executor-memory", "64g"])
        .args(["--conf", "spark.ferrospark.localExecution.enabled=false"])
        .args(["--conf", "spark.ferrospark.waitingReport.delay=500ms"])
        .arg(&app)
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let text = crate::cluster::wait_for(Duration::from_secs(30), "the waiting report", || {
        let text = std::fs::read_to_string(&said).unwrap_or_default();
        (text.contains("3072") && text.contains("MiB")).then_some(text)
    });
    assert!(child.try_wait().unwrap().is_none(), "it goes on waiting: {text}");
    let id = i32::try_from(child.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
