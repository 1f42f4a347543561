//! The Spark Connect service: what PySpark and the other Connect clients talk to.
//!
//! * [`convert`] turns messages into the plan language, [`session`] keeps sessions, [`operation`] one execution's
//!   responses (reattach), [`errors`] speaks Spark's conditions, [`service`] answers the RPCs.
//! * The server knows nothing of clusters: an [`Application`] gives it something that runs plans.

pub mod application;
pub mod arrow_ipc;
mod catalog;
pub mod convert;
pub mod direct;
pub mod errors;
mod execute;
mod observe;
pub mod operation;
pub mod server;
pub mod service;
pub mod session;
mod write;

#[expect(unreachable_pub, reason = "generated code")]
mod generated {
    tonic::include_proto!("spark.connect.SparkConnectService");
}

pub use application::Application;
pub use server::{ConnectServer, ServerOptions};
