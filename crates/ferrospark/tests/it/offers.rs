//! A tenth of `make soak SUITE=offers-real` and `SUITE=properties`: whole runs of an application in which something
//! goes wrong, and what properties do.

use std::process::Command;

use crate::cluster::genuine_is_here;
use crate::run::{home, out, script};

/// Runs scenarios of a program of `tools/offers`.
fn run(program: &str, clusters: &str, modes: &str, scenarios: &[&str]) {
    let setup = script("tools/setup").output().unwrap();
    let output = Command::new(out(&setup).trim())
        .arg(home().join("tools/offers").join(program))
        .args(["--clusters", clusters, "--modes", modes])
        .args(scenarios)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", out(&output));
    assert_eq!(out(&output).lines().count(), scenarios.len(), "{}", out(&output));
}

#[test]
fn a_driver_cut_off_for_too_long_goes_on_as_another_framework() {
    run("run.py", "ours", "fine", &["removed"]);
}

#[test]
fn the_second_master_takes_over_in_mid_query() {
    let installed = Command::new(home().join("tools/zookeeper/setup")).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("REQUIRE_ALL").is_none(), "ZooKeeper cannot be installed");
        println!("SKIPPED: ZooKeeper cannot be installed");
        return;
    }
    run("run.py", "ours", "coarse", &["kill-leader"]);
}

#[test]
fn properties_reach_our_agents() {
    run("properties.py", "ours", "coarse", &["program", "secrets"]);
}

#[test]
fn properties_reach_genuine_agents() {
    if genuine_is_here() {
        run("properties.py", "genuine", "fine", &["program"]);
    }
}
