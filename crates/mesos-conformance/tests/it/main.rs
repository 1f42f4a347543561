//! The fast checks against our own cluster and genuine Apache Mesos; the page.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test helpers outside of test functions"
)]

mod fuzz;
mod page;
mod peers;

use std::path::Path;

use mesos_conformance::cluster::{Kind, set_genuine_up, set_zookeeper_up};
use mesos_conformance::runner::{Outcome, Report, Selection, Target, run};
use mesos_conformance::suite::{BEHAVIOURS, Pace, Standing};

async fn fast(kind: Kind) {
    let program = Path::new(env!("CARGO_BIN_EXE_mesos-conformance"));
    let selection = Selection { pace: Some(Pace::Fast), ..Selection::default() };
    let tell = |report: &Report| println!("{}", report.to_json());
    let reports = run(&Target::Made(kind), &selection, program, tell).await.unwrap();
    assert!(reports.len() > 30, "{} checks", reports.len());
    let failed: Vec<_> = reports
        .iter()
        .filter(|report| matches!(report.outcome, Outcome::Failed(_)))
        .map(|report| report.to_json().to_string())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ours() {
    fast(Kind::Ours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn genuine() {
    if is_there("genuine Apache Mesos", set_genuine_up()) {
        fast(Kind::Genuine).await;
    }
}

/// `kill -9` of a single master, and of one of two that elect their leader over ZooKeeper: tasks go on, frameworks
/// subscribe again, no update is lost, weights and limits stay. The other slow checks are in `make soak SUITE=conformance`.
async fn masters_are_killed(kind: Kind) {
    let program = Path::new(env!("CARGO_BIN_EXE_mesos-conformance"));
    for name in ["failover::master", "failover::leader_of_two", "failover::registry"] {
        let selection = Selection { name: Some(name.to_owned()), ..Selection::default() };
        let tell = |report: &Report| println!("{}", report.to_json());
        let reports = run(&Target::Made(kind), &selection, program, tell).await.unwrap();
        assert!(!reports.is_empty(), "{name}");
        for report in reports {
            assert!(matches!(report.outcome, Outcome::Passed), "{}", report.to_json());
        }
    }
}

/// Whether this can be installed; says so if not, and fails where everything is required.
fn is_there(what: &str, setup: anyhow::Result<()>) -> bool {
    let Err(problem) = setup else { return true };
    let required = std::env::var_os("REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "{what} cannot be set up: {problem}");
    println!("skipped: {what} cannot be set up: {problem}");
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn our_masters_are_killed() {
    if is_there("ZooKeeper", set_zookeeper_up()) {
        masters_are_killed(Kind::Ours).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn genuine_masters_are_killed() {
    if is_there("ZooKeeper", set_zookeeper_up())
        && is_there("genuine Apache Mesos", set_genuine_up())
    {
        masters_are_killed(Kind::Genuine).await;
    }
}

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/mesos-conformance.md");
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        page,
        mesos_conformance::document::document(),
        "run: cargo run -p mesos-conformance -- --document > docs/mesos-conformance.md"
    );
}

#[test]
fn forty_behaviours_of_which_most_hold_on_both() {
    let numbers: Vec<_> = BEHAVIOURS.iter().map(|behaviour| behaviour.number).collect();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
    let both = BEHAVIOURS.iter().filter(|behaviour| behaviour.holds_on_both());
    assert!(both.count() >= 30);
    for behaviour in BEHAVIOURS {
        let left_out = matches!(behaviour.standing, Standing::LeftOut(_));
        assert_eq!(behaviour.checks.is_empty(), left_out, "{}", behaviour.number);
    }
}
