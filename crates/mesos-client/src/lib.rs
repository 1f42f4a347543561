//! Clients of the Mesos v1 HTTP API: frameworks ([`SchedulerClient`]), custom executors
//! ([`ExecutorClient`]) and operators ([`OperatorClient`]).
//!
//! A master is named by [`MasterLocation`]: `host:port` (one that does not lead sends us to the leader) or
//! `zk://…`, which [`MasterDetector`] follows. When to connect, wait, resubscribe or give up is decided by
//! a pure state machine, [`subscription::Subscription`], what to ask again by another,
//! [`reconciliation::Reconciler`]; the shell around them moves bytes, as protobuf or JSON in RecordIO. The event
//! stream has its own connection, calls share another one and keep their order.
//!
//! **No update is lost.** Nothing is acknowledged but by [`SchedulerHandle::acknowledge`], so an update that the
//! owner of the events has not dealt with is sent again by its agent, whoever failed meanwhile: the owner's
//! process, the master, the agent or the network. Kills, shutdowns, acknowledgements and reconciliations
//! made while the subscription is interrupted are kept and sent once it is restored.

mod address;
mod credential;
mod detector;
mod encoding;
mod error;
mod executor;
mod http;
mod link;
mod operator;
pub mod reconciliation;
mod scheduler;
pub mod subscription;
pub mod zookeeper;

pub use address::{AddressError, MasterAddress, MasterLocation};
pub use credential::Credential;
pub use detector::{Detection, MasterDetector};
pub use encoding::Encoding;
pub use error::ClientError;
pub use executor::{
    EnvironmentError, ExecutorClient, ExecutorEvent, ExecutorHandle, ExecutorOptions,
};
pub use operator::{EventStream, OperatorClient, OperatorError, OperatorOptions};
pub use scheduler::{SchedulerClient, SchedulerEvent, SchedulerHandle, SchedulerOptions};
