//! The bridge: what an application wants, and what Mesos offers, become launches and refusals.
//!
//! Pure: a core takes an [`Event`] with the time and returns [`Action`]s, the driver performs them in
//! order. [`CoarseScheduler`] is `spark.mesos.coarse=true`, [`FineScheduler`] is `false`; [`Core`] is
//! either of them. Every offer is answered exactly once, and one that is not used is given back with a
//! [`DeclineReason`]; [`WaitingReport`] adds the reasons up when an application waits, as text, JSON and
//! metrics. [`Settings`] reads and checks every property this needs, so that nothing can be malformed
//! while offers are handled.
//!
//! # What the driver does
//!
//! * [`Settings::from_conf`], then subscribe with [`Settings::framework_info`].
//! * Hand in each event of the subscription, and [`Event::Tick`] when [`Core::next_wakeup`] is due.
//! * Perform the actions. ACKNOWLEDGE is the driver's own business, after the event was handled.
//! * Coarse-grained: [`Event::ExecutorRegistered`] when an executor dials the driver; tasks wait until
//!   [`Core::is_ready`].
//! * Fine-grained: [`Event::WaitingTasks`] at each change. [`Action::Slots`] makes room in the task
//!   scheduler; what it lays there comes back as [`Event::LaunchTasks`], one event for each round. The
//!   results of tasks go from executor to driver directly; [`Action::TaskEnded`] tells what became of the
//!   Mesos task, and of tasks whose executor never got them.

mod agents;
mod cluster_view;
mod coarse;
mod command;
mod constraints;
mod container;
mod core;
mod driver_task;
mod events;
mod fine;
mod forms;
mod labels;
mod metrics;
mod ports;
mod reason;
mod report;
mod resources;
mod secrets;
mod settings;
mod status;

pub use cluster_view::{Amounts, ClusterView, ClusterViewError};
pub use coarse::CoarseScheduler;
pub use command::{LaunchContext, Program};
pub use constraints::{Constraint, Constraints};
pub use core::Core;
pub use driver_task::DriverTaskSettings;
pub use events::{Action, Event, ExecutorLaunch, Launch, TaskEnd, TaskLaunch};
pub use fine::FineScheduler;
pub use metrics::Metrics;
pub use reason::{DeclineReason, LossReason};
pub use report::{
    AgentShortage, Fate, RegistrationProblem, SilentReason, WaitingCause, WaitingReport, Wanted,
};
pub use settings::{
    ExclusionSettings, FineSettings, GpuSettings, Mode, Placement, RefuseDurations, Settings,
    SettingsError,
};
