//! What the behaviours come down to: each function drives a cluster and says what was not as it should be.

pub mod allocator;
pub mod failover;
pub mod http;
pub mod offers;
pub mod partitions;
pub mod reconciliation;
pub mod recovery;
pub mod tasks;
