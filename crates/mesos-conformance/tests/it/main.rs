//! The fast checks against our own cluster and genuine Apache Mesos; the page.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test helpers outside of test functions"
)]

mod fuzz;
mod peers;

use std::path::Path;

use mesos_conformance::cluster::{Kind, set_genuine_up};
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
    if let Err(problem) = set_genuine_up() {
        let required = std::env::var_os("REQUIRE_ALL").is_some_and(|value| value == "1");
        assert!(!required, "genuine Apache Mesos cannot be set up: {problem}");
        println!("skipped: genuine Apache Mesos cannot be set up: {problem}");
        return;
    }
    fast(Kind::Genuine).await;
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
    assert!(both.count() >= 24);
    for behaviour in BEHAVIOURS {
        let left_out = matches!(behaviour.standing, Standing::LeftOut(_));
        assert_eq!(behaviour.checks.is_empty(), left_out, "{}", behaviour.number);
    }
}
