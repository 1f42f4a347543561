//! What users get wrong: one clear line, a non-zero exit, nothing of our insides.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Output, Stdio};
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
    let (last, code, said) = submit(&["--master", "local[1]"], "import sys; sys.exit(7)\n");
    assert_eq!(code, Some(7));
    assert!(last.starts_with("error: ") && last.ends_with("ended with exit code 7"), "{said}");
    let kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n";
    let (last, code, said) = submit(&["--master", "local[1]"], kill);
    assert_eq!(code, Some(137));
    assert!(last.starts_with("error: ") && last.ends_with("was ended by SIGKILL"), "{said}");
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
    let text = crate::cluster::wait_for(Duration::from_secs(120), "the waiting report", || {
        let text = std::fs::read_to_string(&said).unwrap_or_default();
        (text.contains("3072") && text.contains("MiB")).then_some(text)
    });
    assert!(child.try_wait().unwrap().is_none(), "it goes on waiting: {text}");
    let id = i32::try_from(child.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

/// A script that says that it runs, and ends when its input does.
const PATIENT: &str = "import sys\nprint('begun', flush=True)\nsys.stdin.read()\nprint('over')\n";

/// Sends SIGHUP to a driver whose script runs, with what `sh` does before; closes the script's input.
fn hung_up(before: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app.py");
    std::fs::write(&app, PATIENT).unwrap();
    let mut child = script("/bin/sh")
        .args(["-c", &format!("{before} exec bin/spark-submit --master 'local[1]' \"$0\"")])
        .arg(&app)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    let id = i32::try_from(child.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGHUP)
        .unwrap();
    // What a terminal that goes away would do next; a driver that ends by the signal does not need it.
    if !before.is_empty() {
        drop(child.stdin.take());
    }
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    Output { stdout: rest.into_bytes(), ..output }
}

#[test]
fn a_hang_up_ends_an_application_with_a_word_unless_it_is_ignored() {
    let output = hung_up("");
    assert_eq!(output.status.code(), Some(129), "{}", err(&output));
    assert!(
        err(&output).contains("error: the application was ended by SIGHUP"),
        "{}",
        err(&output)
    );
    assert_eq!(out(&output), "");
    let output = hung_up("trap '' HUP;");
    assert_eq!((output.status.code(), out(&output).trim()), (Some(0), "over"), "{}", err(&output));
}
