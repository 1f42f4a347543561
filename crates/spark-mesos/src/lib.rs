//! The bridge: what an application wants, and what Mesos offers, become launches and refusals.
//!
//! Pure: [`CoarseScheduler::handle`] takes events and returns actions, the driver performs them. Every
//! offer that is not used is given back with a [`DeclineReason`], and [`WaitingReport`] adds the
//! reasons up when an application waits. [`Settings`] reads and checks every property this needs, so
//! that nothing can be malformed while offers are handled.

mod coarse;
mod command;
mod constraints;
mod container;
mod labels;
mod reason;
mod report;
mod resources;
mod settings;

pub use coarse::{Action, CoarseScheduler, Counters, Event, ExecutorLaunch, Launch};
pub use command::{LaunchContext, Program};
pub use constraints::{Constraint, Constraints};
pub use reason::{DeclineReason, LossReason};
pub use report::{AgentShortage, WaitingReport};
pub use settings::{Placement, RefuseDurations, Settings, SettingsError};
