//! Functions against the answers of Apache Spark 4.2.0.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod answers;
mod codec;
mod harness;
mod operators;
mod sql;
mod table;
mod task;
