//! Tests of the scheduler from outside.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod failures;
mod indeterminate;
mod losses;
mod offered;
mod script;
mod sharing;
mod simulation;
mod slow;
mod stages;
