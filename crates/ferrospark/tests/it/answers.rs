//! TPC-H and TPC-DS on every kind of master, against the stored answers of Apache Spark.

use crate::cluster::Cluster;
use crate::run::{
    ON_EXECUTORS, assert_shared_work, err, out, script, succeeded, tpcds_data, tpcds_queries,
    tpch_data,
};

fn tpch(master: &str, flags: &[&str]) -> std::process::Output {
    script("bin/spark-submit")
        .args(["--master", master])
        .args(flags)
        .arg("examples/tpch.py")
        .arg(tpch_data())
        .args(["--check", "tests/answers/tpch-sf0.1"])
        .output()
        .unwrap()
}

fn assert_right(output: &std::process::Output) {
    succeeded(output);
    assert!(out(output).contains("22 of 22 answers are right"), "{}", out(output));
}

#[test]
fn tpch_local() {
    assert_right(&tpch("local[2]", &[]));
}

#[test]
fn tpch_local_in_stages() {
    assert_right(&tpch("local[2]", ON_EXECUTORS));
}

#[test]
fn tpch_local_cluster() {
    let output = tpch("local-cluster[2,1,1024]", ON_EXECUTORS);
    assert_right(&output);
    assert_shared_work(&err(&output), 2);
}

fn on(cluster: &Cluster) {
    let flags =
        [&["--total-executor-cores", "2", "--executor-memory", "1g"], ON_EXECUTORS].concat();
    let output = tpch(&cluster.master(), &flags);
    assert_right(&output);
    assert_shared_work(&err(&output), 2);
    assert!(cluster.frameworks().is_empty(), "the framework is still there");
}

#[test]
fn tpch_our_mesos() {
    on(&Cluster::ours(2, 1));
}

#[test]
fn tpch_genuine_mesos() {
    if let Some(cluster) = Cluster::genuine(2, 1) {
        on(&cluster);
    }
}

fn tpcds(master: &str, flags: &[&str]) -> std::process::Output {
    let output = script("bin/spark-submit")
        .args(["--master", master])
        .args(flags)
        .arg("tools/tpcds/check.py")
        .args([tpcds_data(), tpcds_queries()])
        .arg("tests/answers/tpcds-sf0.05")
        .output()
        .unwrap();
    succeeded(&output);
    assert!(out(&output).contains("99 of 99 answers are right"), "{}", out(&output));
    output
}

#[test]
fn tpcds_local() {
    tpcds("local[2]", &[]);
}

#[test]
fn tpcds_local_cluster() {
    let output = tpcds("local-cluster[2,1,1024]", ON_EXECUTORS);
    assert_shared_work(&err(&output), 2);
}

/// Fine-grained mode: one Mesos task for each task attempt, and all right.
fn fine_on(cluster: &Cluster) {
    let before = cluster.metric("master/tasks_finished");
    let flags = [
        &["--total-executor-cores", "6", "--executor-memory", "1g"][..],
        &["--conf", "spark.mesos.coarse=false"][..],
        ON_EXECUTORS,
    ]
    .concat();
    let output = tpch(&cluster.master(), &flags);
    assert_right(&output);
    assert_shared_work(&err(&output), 2);
    assert!(cluster.frameworks().is_empty(), "the framework is still there");
    let launched = cluster.metric("master/tasks_finished") - before
        + cluster.metric("master/tasks_killed")
        + cluster.metric("master/tasks_failed");
    let ran: u64 = err(&output)
        .lines()
        .filter_map(|line| line.strip_prefix("executor ")?.split_once(": "))
        .filter_map(|(_, rest)| rest.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(launched, ran, "Mesos tasks and task attempts");
}

#[test]
fn tpch_our_mesos_fine_grained() {
    fine_on(&Cluster::ours(2, 3));
}

#[test]
fn tpch_genuine_mesos_fine_grained() {
    if let Some(cluster) = Cluster::genuine(2, 3) {
        fine_on(&cluster);
    }
}
