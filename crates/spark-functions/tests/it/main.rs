//! Functions against the answers of Apache Spark 4.2.0.

mod answers;
mod harness;
mod operators;
mod sql;
mod table;
