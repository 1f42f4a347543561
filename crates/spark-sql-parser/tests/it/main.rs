//! Parses whole statements: TPC-H, features TPC-DS uses, names of columns, errors, and text that is no SQL.

mod commands;
mod errors;
mod names;
mod queries;
mod robustness;
mod types;
