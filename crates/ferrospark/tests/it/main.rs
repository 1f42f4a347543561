//! The programs as users start them: `bin/spark-submit` on every kind of master, with PySpark's own client.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails here, a skipped one says so"
)]

mod answers;
mod bad_input;
mod chaos;
mod cluster;
mod loss;
mod offers;
mod programs;
mod run;
mod sharing;
mod waiting;
