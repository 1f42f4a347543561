//! Two applications on one cluster, and what a signal leaves behind.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, processes_with, wait_for};
use crate::run::{ON_EXECUTORS, script, succeeded};

fn lingering(cluster: &Cluster, cores: &str) -> std::process::Command {
    let mut command = script("bin/spark-submit");
    command
        .args(["--master", &cluster.master(), "--total-executor-cores", cores])
        .args(ON_EXECUTORS)
        .args(["examples/settings_in_code.py", &cluster.master()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn running_tasks(cluster: &Cluster) -> Vec<usize> {
    cluster
        .frameworks()
        .iter()
        .map(|framework| framework["tasks"].as_array().map_or(0, Vec::len))
        .collect()
}

#[test]
fn two_applications_hold_executors_at_the_same_time() {
    let cluster = Cluster::ours(2, 2);
    let mut first = lingering(&cluster, "2").env("LINGER_SECONDS", "8").spawn().unwrap();
    let second = lingering(&cluster, "2").env("LINGER_SECONDS", "8").spawn().unwrap();
    wait_for(Duration::from_secs(60), "both to hold executors", || {
        let tasks = running_tasks(&cluster);
        (tasks.len() == 2 && tasks.iter().all(|count| *count > 0)).then_some(())
    });
    succeeded(&second.wait_with_output().unwrap());
    assert!(first.wait().unwrap().success());
}

#[test]
fn an_interrupt_takes_everything_down() {
    let cluster = Cluster::ours(2, 1);
    let mut child = lingering(&cluster, "2")
        .env("LINGER_SECONDS", "600")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let framework = wait_for(Duration::from_secs(60), "executors", || {
        let frameworks = cluster.frameworks();
        let framework = frameworks.first()?;
        let held = framework["tasks"].as_array()?.len() == 2;
        held.then(|| framework["id"].as_str().unwrap_or_default().to_owned())
    });
    let id = i32::try_from(child.id()).unwrap();
    let started = Instant::now();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    wait_for(Duration::from_secs(2), "the framework to be gone", || {
        cluster.frameworks().is_empty().then_some(())
    });
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    wait_for(Duration::from_secs(5), "the executors to be gone", || {
        processes_with(&format!("--app-id {framework}")).is_empty().then_some(())
    });
}
