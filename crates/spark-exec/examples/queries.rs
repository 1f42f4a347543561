//! Asks many random queries in all ways of execution: `queries [FIRST [SEEDS]]`, twenty queries a
//! seed, one JSON line at the end. A query with two answers is shown and ends the run with an error.

#![expect(clippy::unwrap_used, reason = "a check that cannot go on may panic")]

#[path = "../tests/it/random/mod.rs"]
mod random;

use std::io::Write;
use std::time::Instant;

/// With twenty queries each, what issue 5 asks for.
const SEEDS: u64 = 100;

fn main() -> std::io::Result<()> {
    let number = |at: usize, default: u64| {
        std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (first, seeds) = (number(1, 0), number(2, SEEDS));
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(random::run(first..first + seeds));
    writeln!(
        std::io::stdout(),
        "{{\"suite\":\"queries\",\"first_seed\":{first},\"seeds\":{seeds},\"seconds\":{:.1},\
         \"equal\":{},\"with_rows\":{},\"errors\":{}}}",
        started.elapsed().as_secs_f64(),
        report.queries,
        report.with_rows,
        report.errors,
    )
}
