//! The data sources through their public interface: files in, rows out, and back.

mod csv;
mod discovery;
mod json;
mod scans;
mod support;
mod write;
