//! The clients against real masters and agents.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test helpers outside of test functions"
)]

mod custom_executor;
mod embedded;
mod genuine;
mod scenario;
mod zookeeper;
