//! SQL text and plan language in, printed answers out, run in process in both modes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cache;
mod commands;
mod composed;
mod dataframe;
mod files;
mod finer;
mod harness;
mod joins;
mod queries;
mod tpch;
mod windows;
