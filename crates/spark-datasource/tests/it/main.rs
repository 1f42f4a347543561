//! The data sources through their public interface: files in, rows out, and back.

mod csv;
mod discovery;
mod support;
mod write;
