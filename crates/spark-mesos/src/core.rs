//! Either scheduler, chosen by `spark.mesos.coarse`.

use std::time::Instant;

use crate::coarse::CoarseScheduler;
use crate::command::LaunchContext;
use crate::events::{Action, Event};
use crate::fine::FineScheduler;
use crate::metrics::Metrics;
use crate::report::WaitingReport;
use crate::settings::{Mode, Settings};

/// The decision core of an application.
#[derive(Debug)]
pub enum Core {
    /// `spark.mesos.coarse=true`.
    Coarse(CoarseScheduler),
    /// `spark.mesos.coarse=false`.
    Fine(FineScheduler),
}

impl Core {
    /// The core that the settings choose.
    pub fn new(settings: Settings, context: LaunchContext) -> Self {
        match settings.mode {
            Mode::Coarse => Self::Coarse(CoarseScheduler::new(settings, context)),
            Mode::Fine => Self::Fine(FineScheduler::new(settings, context)),
        }
    }

    /// Takes an event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match self {
            Self::Coarse(core) => core.handle(event, now),
            Self::Fine(core) => core.handle(event, now),
        }
    }

    /// When [`Event::Tick`] is due.
    pub fn next_wakeup(&self) -> Option<Instant> {
        match self {
            Self::Coarse(core) => core.next_wakeup(),
            Self::Fine(core) => core.next_wakeup(),
        }
    }

    /// What is waited for; `None` when nothing is.
    pub fn waiting_report(&self, now: Instant) -> Option<WaitingReport> {
        match self {
            Self::Coarse(core) => core.waiting_report(now),
            Self::Fine(core) => core.waiting_report(now),
        }
    }

    /// Whether tasks may start: `spark.scheduler.minRegisteredResourcesRatio` is reached, or its wait
    /// is over. Fine-grained mode is always ready, as in the reference.
    pub fn is_ready(&self, now: Instant) -> bool {
        match self {
            Self::Coarse(core) => core.is_ready(now),
            Self::Fine(_) => true,
        }
    }

    /// When the wait of [`Self::is_ready`] is over, while it matters.
    pub fn ready_at(&self) -> Option<Instant> {
        match self {
            Self::Coarse(core) => core.ready_at(),
            Self::Fine(_) => None,
        }
    }

    /// Executors that are launched and not yet lost.
    pub fn executor_count(&self) -> usize {
        match self {
            Self::Coarse(core) => core.executor_count(),
            Self::Fine(core) => core.executor_count(),
        }
    }

    /// Executors that have come to the driver and are not yet lost.
    pub fn registered_count(&self) -> usize {
        match self {
            Self::Coarse(core) => core.registered_count(),
            Self::Fine(core) => core.registered_count(),
        }
    }

    /// What became of offers, launches and executors so far.
    pub fn metrics(&self) -> &Metrics {
        match self {
            Self::Coarse(core) => core.metrics(),
            Self::Fine(core) => core.metrics(),
        }
    }
}
