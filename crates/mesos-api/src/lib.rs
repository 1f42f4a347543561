//! The words of Mesos: messages of the v1 API in protobuf and in the Mesos JSON dialect, RecordIO,
//! the algebra of resources, attributes and ids. Knows no sockets, clocks or files.
//!
//! Message names follow the protobuf ones; types nested there live in a module named after their
//! owner (`offer::Operation`, `scheduler::call::Accept`). Required sub-messages are plain fields.

#![recursion_limit = "256"]

#[macro_use]
mod table;

pub mod agent_protocol;
mod common;
pub mod duration;
pub mod executor;
pub mod json;
pub mod maintenance;
pub mod master;
pub mod quota;
pub mod recordio;
pub mod resources;
pub mod scheduler;

pub use common::*;
pub use prost;
pub use resources::{Resources, WireFormat};
pub use table::FieldFact;
