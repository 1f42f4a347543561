//! A few seeds of `make soak SUITE=chaos`, and a part of `SUITE=operations`.

use crate::run::{out, script, succeeded};

/// Executors killed with and without a shuffle service (all between map and reduce), the service killed, blocks cut short: answers stay
/// right, no more is done again than was lost, and nothing is left behind.
#[test]
fn queries_survive_what_is_killed_and_broken() {
    let setup = script("tools/setup").output().unwrap();
    succeeded(&setup);
    let output = script(out(&setup).trim())
        .args(["tools/chaos/run.py", "--first", "0", "--seeds", "4"])
        .args(["--kinds", "kill-executor,kill-between,kill-service,truncate"])
        .output()
        .unwrap();
    succeeded(&output);
    assert!(out(&output).contains("\"right\": 4"), "{}", out(&output));
}

/// An operator drains an agent in mid-query (`DRAIN_AGENT`): what its executor wrote is moved, and nothing is computed again.
#[test]
fn what_is_on_a_drained_agent_is_moved() {
    let setup = script("tools/setup").output().unwrap();
    succeeded(&setup);
    let output = script(out(&setup).trim())
        .args(["tools/chaos/operations.py", "--clusters", "ours", "drain"])
        .output()
        .unwrap();
    succeeded(&output);
    assert!(out(&output).contains("\"attempts_again\": 0"), "{}", out(&output));
}
