//! Functions against the answers of Apache Spark 4.2.0.

mod harness;
mod operators;
