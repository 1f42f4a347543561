//! The examples on every kind of master, against what Apache Spark printed.

use std::process::Stdio;
use std::time::Duration;

use crate::cluster::{Cluster, wait_for};
use crate::run::{ON_EXECUTORS, err, home, out, script, succeeded};

fn expected(name: &str) -> String {
    std::fs::read_to_string(home().join(format!("tests/answers/examples/{name}.txt"))).unwrap()
}

fn check(master: &str, cluster_flags: &[&str]) {
    for name in ["pi", "wordcount", "etl"] {
        let output = script("bin/spark-submit")
            .args(["--master", master])
            .args(cluster_flags)
            .arg(format!("examples/{name}.py"))
            .output()
            .unwrap();
        succeeded(&output);
        assert_eq!(out(&output).trim_end(), expected(name).trim_end(), "{name} on {master}");
    }
    let output = script("bin/spark-submit")
        .args(["--master", master])
        .args(cluster_flags)
        .arg("examples/report.sql")
        .output()
        .unwrap();
    succeeded(&output);
    assert_eq!(out(&output).trim_end(), expected("report").trim_end(), "report on {master}");
    // The program names its master itself; the command line names another one.
    let output = script("bin/spark-submit")
        .args(["--master", "local[1]"])
        .args(cluster_flags)
        .args(["examples/settings_in_code.py", master])
        .output()
        .unwrap();
    succeeded(&output);
    assert_eq!(out(&output).trim_end(), expected("settings_in_code").trim_end(), "on {master}");
}

#[test]
fn local() {
    check("local[2]", &[]);
}

#[test]
fn local_cluster() {
    check("local-cluster[2,1,1024]", ON_EXECUTORS);
}

/// Observed metrics, quantiles, seeded samples and file names, as Apache Spark gives them.
#[test]
fn statistics() {
    for master in ["local[2]", "local-cluster[2,1,1024]"] {
        let output = script("bin/spark-submit")
            .args(["--master", master])
            .args(ON_EXECUTORS)
            .arg("examples/statistics.py")
            .output()
            .unwrap();
        succeeded(&output);
        assert_eq!(out(&output).trim_end(), expected("statistics").trim_end(), "on {master}");
    }
}

/// While a program lingers, the master shows what it asked for in its code.
fn settings_reach(cluster: &Cluster) {
    let mut child = script("bin/spark-submit")
        .args(["--master", "local[1]"])
        .args(ON_EXECUTORS)
        .args(["examples/settings_in_code.py", &cluster.master()])
        .env("LINGER_SECONDS", "600")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let framework = wait_for(Duration::from_secs(60), "the framework and its executors", || {
        let framework = cluster.frameworks().into_iter().next()?;
        let tasks = framework["tasks"].as_array()?.len();
        (tasks == 2).then_some(framework)
    });
    let id = i32::try_from(child.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    child.wait().unwrap();
    assert_eq!(framework["name"], "settings in code");
    let tasks = framework["tasks"].as_array().unwrap();
    let cpus: f64 = tasks.iter().map(|task| task["resources"]["cpus"].as_f64().unwrap()).sum();
    assert!((cpus - 2.0).abs() < 1e-9, "spark.cores.max was 2, tasks hold {cpus}");
    for task in tasks {
        // 640 MiB and Spark's least overhead of 384 MiB.
        assert_eq!(task["resources"]["mem"].as_f64(), Some(1024.0), "{task}");
    }
    wait_for(Duration::from_secs(10), "the framework to be gone", || {
        cluster.frameworks().is_empty().then_some(())
    });
}

#[test]
fn our_mesos() {
    let cluster = Cluster::ours(2, 1);
    check(&cluster.master(), ON_EXECUTORS);
    settings_reach(&cluster);
}

#[test]
fn genuine_mesos() {
    if let Some(cluster) = Cluster::genuine(2, 1) {
        check(&cluster.master(), ON_EXECUTORS);
        settings_reach(&cluster);
    }
}

/// PySpark releases the responses it has read before it reattaches behind the last of them.
#[test]
fn a_query_outlives_its_stream() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("long.py");
    std::fs::write(
        &program,
        "import time\n\
         from pyspark.sql import SparkSession\n\
         spark = SparkSession.builder.getOrCreate()\n\
         query = 'SELECT count(hash(a.id, b.id)) n FROM range(9000) a CROSS JOIN range(9000) b'\n\
         started = time.monotonic()\n\
         print(spark.sql(query).collect()[0].n, time.monotonic() - started > 0.3)\n",
    )
    .unwrap();
    let output = script("bin/spark-submit")
        .args(["--master", "local[2]", "--conf"])
        .arg("spark.connect.execute.reattachable.senderMaxStreamDuration=50ms")
        .arg(&program)
        .output()
        .unwrap();
    succeeded(&output);
    assert_eq!(out(&output).trim(), "81000000 True", "{}", err(&output));
}

#[test]
fn spark_sql_prints_rows_between_tabs() {
    let output = script("bin/spark-sql")
        .args(["--master", "local[2]", "-e", "select 1, 'a', null; select id from range(2)"])
        .output()
        .unwrap();
    succeeded(&output);
    assert_eq!(out(&output), "1\ta\tNULL\n0\n1\n", "{}", err(&output));
}
