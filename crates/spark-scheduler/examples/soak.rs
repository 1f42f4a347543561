//! Runs the simulation for many seeds: `soak [FIRST [COUNT]]`, one JSON line at the end. A failing
//! seed prints its trace and ends the run with an error.

use std::io::Write;
use std::time::Instant;

use spark_scheduler::simulation::{SimulationReport, simulate};

/// What issue 5 asks for.
const SEEDS: u64 = 100_000;

fn main() -> std::io::Result<()> {
    let number = |at: usize, default: u64| {
        std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (first, count) = (number(1, 0), number(2, SEEDS));
    let started = Instant::now();
    let mut sum = SimulationReport::default();
    for seed in first..first + count {
        let report = simulate(seed);
        sum.steps += report.steps;
        sum.launched += report.launched;
        sum.executors_lost += report.executors_lost;
        sum.fetch_failures += report.fetch_failures;
        sum.jobs_succeeded += report.jobs_succeeded;
        sum.jobs_failed += report.jobs_failed;
        sum.jobs_cancelled += report.jobs_cancelled;
    }
    writeln!(
        std::io::stdout(),
        "{{\"suite\":\"scheduler\",\"first_seed\":{first},\"seeds\":{count},\"seconds\":{:.1},\
         \"steps\":{},\"task_attempts\":{},\"executors_lost\":{},\"fetch_failures\":{},\
         \"jobs_succeeded\":{},\"jobs_failed\":{},\"jobs_cancelled\":{}}}",
        started.elapsed().as_secs_f64(),
        sum.steps,
        sum.launched,
        sum.executors_lost,
        sum.fetch_failures,
        sum.jobs_succeeded,
        sum.jobs_failed,
        sum.jobs_cancelled,
    )
}
