//! The data sources through their public interface: files in, rows out, and back.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod csv;
mod discovery;
mod json;
mod scans;
mod support;
mod write;
