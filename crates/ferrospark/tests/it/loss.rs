//! Executors that die in mid-query, and tasks that fail.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::Duration;

use crate::cluster::{Cluster, processes_with, wait_for};
use crate::run::{ON_EXECUTORS, out, script, succeeded};

/// Many shuffled partitions on few slots; says when it has begun.
const SHUFFLE: &str = r#"
import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
parts, rows = int(sys.argv[1]), int(sys.argv[2])
df = spark.range(0, rows, 1, parts).withColumn("k", F.col("id") * 2654435761 % 100003)
grouped = df.groupBy("k").agg(F.count("*").alias("n"), F.sum("id").alias("s"))
print("begun", flush=True)
row = grouped.groupBy((F.col("k") % 10).alias("d")).agg(F.sum("n").alias("n"), F.sum("s").alias("s")).agg(F.sum("n"), F.sum("s"), F.count("*")).collect()[0]
print(tuple(row) == (rows, rows * (rows - 1) // 2, 10), tuple(row))
"#;

fn write(folder: &tempfile::TempDir, text: &str) -> std::path::PathBuf {
    let path = folder.path().join("app.py");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn many_partitions_run_in_waves() {
    let folder = tempfile::tempdir().unwrap();
    let output = script("bin/spark-submit")
        .args(["--master", "local-cluster[2,1,1024]"])
        .args(ON_EXECUTORS)
        .args(["--conf", "spark.sql.shuffle.partitions=400"])
        .arg(write(&folder, SHUFFLE))
        .args(["400", "400000"])
        .output()
        .unwrap();
    succeeded(&output);
    assert!(out(&output).contains("True "), "{}", out(&output));
}

fn kill_in_mid_query(cluster: &Cluster, rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let app = write(&folder, SHUFFLE);
    for round in 0..rounds {
        let mut child = script("bin/spark-submit")
            .args(["--master", &cluster.master(), "--total-executor-cores", "2"])
            .args(ON_EXECUTORS)
            .args(["--conf", "spark.sql.shuffle.partitions=100"])
            .arg(&app)
            .args(["100", "24000000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "begun\n");
        let framework = wait_for(Duration::from_secs(60), "the framework", || {
            cluster.frameworks().first().and_then(|f| Some(f["id"].as_str()?.to_owned()))
        });
        let both = wait_for(Duration::from_secs(60), "two executors", || {
            let found: Vec<i32> = processes_with(&format!("--app-id {framework}"))
                .into_iter()
                .filter(|id| is_executor(*id))
                .collect();
            (found.len() >= 2).then_some(found)
        });
        // Different moments of the query from round to round.
        std::thread::sleep(Duration::from_millis(300 + 150 * (round as u64 % 5)));
        let victim = both[round % both.len()];
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(victim),
            nix::sys::signal::Signal::SIGKILL,
        );
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success() && rest.contains("True "), "round {round}: {rest}\n{said}");
        assert!(said.contains("is lost: its process was killed"), "round {round}: {said}");
    }
}

/// The executor itself, not the shell around it.
fn is_executor(id: i32) -> bool {
    std::fs::read_link(format!("/proc/{id}/exe"))
        .is_ok_and(|path| path.file_name().is_some_and(|name| name == "ferrospark"))
}

#[test]
fn a_killed_executor_is_replaced() {
    let rounds = std::env::var("KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    kill_in_mid_query(&Cluster::ours(2, 1), rounds);
}

#[test]
fn a_failing_task_fails_the_query_with_its_own_error() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
try:
    spark.sql("select sum(1 div (id - 500)) from range(0, 1000, 1, 4)").collect()
except Exception as error:
    print(error.getCondition(), error.getSqlState())
"#;
    let output = script("bin/spark-submit")
        .args(["--master", "local-cluster[1,1,1024]"])
        .args(ON_EXECUTORS)
        .arg(write(&folder, text))
        .output()
        .unwrap();
    succeeded(&output);
    assert_eq!(out(&output), "DIVIDE_BY_ZERO 22012\n");
}
