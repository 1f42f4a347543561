//! Random schedules against the checks of `spark_scheduler::simulation`.

use spark_scheduler::simulation::{SimulationReport, simulate};

/// `make soak SUITE=scheduler` runs more, from `examples/soak.rs`.
const SEEDS: u64 = 300;

#[test]
fn random_schedules_keep_every_promise() {
    let mut sum = SimulationReport::default();
    for seed in 0..SEEDS {
        let report = simulate(seed);
        sum.launched += report.launched;
        sum.executors_lost += report.executors_lost;
        sum.fetch_failures += report.fetch_failures;
        sum.jobs_succeeded += report.jobs_succeeded;
        sum.jobs_failed += report.jobs_failed;
    }
    // The world must be worth surviving: otherwise the checks check nothing.
    assert!(sum.launched > SEEDS * 20, "{sum:?}");
    assert!(sum.executors_lost > SEEDS && sum.fetch_failures > SEEDS, "{sum:?}");
    assert!(sum.jobs_succeeded > SEEDS && sum.jobs_failed > SEEDS / 10, "{sum:?}");
}

/// Seeds that found something once.
#[test]
fn what_was_found_once_stays_mended() {
    // A task that had failed on every host but that of an executor too small for it waited for ever.
    simulate(44_346);
}
