//! Messages shared by all APIs (`mesos.v1`).

mod agent;
mod container;
mod framework;
mod id;
mod offer_messages;
mod operator_messages;
mod resource_messages;
mod task;
mod value_messages;

pub use agent::*;
pub use container::*;
pub use framework::*;
pub use id::*;
pub use offer_messages::*;
pub use operator_messages::*;
pub use resource_messages::*;
pub use task::*;
pub use value_messages::*;
