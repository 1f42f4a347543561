//! Tests of the scheduler from outside.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod scenarios;
mod script;
mod simulation;
