//! Clients of the Mesos v1 HTTP API: frameworks ([`SchedulerClient`]) and custom executors.
//!
//! When to connect, wait, resubscribe or give up is decided by a pure state machine,
//! [`subscription::Subscription`]; the shell around it moves bytes. Protobuf and RecordIO; the event
//! stream has its own connection, calls share another one and keep their order.

mod address;
mod credential;
mod error;
mod executor;
mod http;
mod link;
mod scheduler;
pub mod subscription;

pub use address::{AddressError, MasterAddress};
pub use credential::Credential;
pub use error::ClientError;
pub use executor::{
    EnvironmentError, ExecutorClient, ExecutorEvent, ExecutorHandle, ExecutorOptions,
};
pub use scheduler::{SchedulerClient, SchedulerEvent, SchedulerHandle, SchedulerOptions};
