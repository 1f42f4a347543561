//! Every Spark property once, and the configuration of an application.
//!
//! [`SparkConf`] keeps, for each key, the value of every layer that spoke about it (environment,
//! `spark-defaults.conf`, properties file, command line, the program itself) and answers with the
//! highest. [`table`] holds the properties with their kind, default, version and meaning; the manual
//! is generated from it. [`MasterUrl`] reads `spark.master`.
//!
//! This crate reads no files, no environment and no clock: callers hand it text.

mod conf;
mod environment;
mod error;
mod kind;
mod manual;
mod master;
mod memory;
mod properties_file;
mod property;
pub mod table;

pub use conf::{Contradiction, Origin, SparkConf};
pub use environment::{environment_settings, variable_note};
pub use error::ConfError;
pub use kind::{ByteUnit, Kind, Parsed, TimeUnit, format_bytes, parse_bytes, parse_duration};
pub use manual::manual;
pub use master::{MasterUrl, MasterUrlError, Threads};
pub use memory::{ExecutorMemory, executor_memory};
pub use properties_file::{PropertiesError, parse_properties};
pub use property::{FromParsed, Preset, Property, PropertyInfo, Scope, Status};

/// The Spark whose API and behaviour is offered; what `spark.version` answers.
pub const SPARK_VERSION: &str = "4.2.0";
