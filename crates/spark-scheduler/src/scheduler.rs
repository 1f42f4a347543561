//! The state machine.

use std::sync::Arc;

use crate::action::{Action, Demand};
use crate::event::Event;
use crate::ids::{JobId, ShuffleId, StageId, Time};
use crate::map_output::{MapOutputTracker, MapOutputs};
use crate::options::SchedulerOptions;

/// The DAG scheduler and the task scheduler of one application.
#[derive(Debug)]
pub struct Scheduler {
    options: SchedulerOptions,
    outputs: MapOutputTracker,
}

impl Scheduler {
    /// Starts without jobs and without executors.
    pub fn new(options: SchedulerOptions) -> Self {
        Self { options, outputs: MapOutputTracker::default() }
    }

    /// Takes in what happened and answers what to do, in order.
    pub fn handle(&mut self, event: Event, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        self.handle_into(event, now, &mut actions);
        actions
    }

    /// As [`Self::handle`], appending to `actions`, for callers that hand in many events at once.
    pub fn handle_into(&mut self, _event: Event, _now: Time, _actions: &mut Vec<Action>) {}

    /// The next moment at which [`Event::Wakeup`] must be sent; `None` if nothing waits for time.
    pub fn next_wakeup(&self) -> Option<Time> {
        None
    }

    /// The map output of a live shuffle.
    pub fn map_outputs(&self, shuffle: ShuffleId) -> Option<&MapOutputs> {
        self.outputs.get(shuffle)
    }

    /// The tasks waiting and running now, for executor allocation.
    pub fn demand(&self) -> Demand {
        Demand::default()
    }

    /// The stages that run now, for progress bars.
    pub fn progress(&self) -> Vec<StageProgress> {
        Vec::new()
    }

    /// Why a job has tasks that wait; `None` if the job is unknown or nothing of it waits.
    pub fn pending_reason(&self, _job: JobId) -> Option<PendingReason> {
        None
    }

    /// The settings.
    pub fn options(&self) -> &SchedulerOptions {
        &self.options
    }
}

/// How far a running stage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageProgress {
    /// The job for which it runs first.
    pub job: JobId,
    /// The stage.
    pub stage: StageId,
    /// Its attempt.
    pub attempt: u32,
    /// Its name.
    pub name: Arc<str>,
    /// All partitions of the stage.
    pub total: u32,
    /// Partitions done, those of earlier attempts included.
    pub succeeded: u32,
    /// Attempts running.
    pub running: u32,
    /// Attempts that failed in this stage attempt.
    pub failed: u32,
}

/// Why tasks wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingReason {
    /// No executor has registered.
    NoExecutors,
    /// Executors are there, none has as many cores as one task takes.
    ExecutorsTooSmall,
    /// All slots are taken.
    AllSlotsTaken,
    /// A slot nearer to the input is waited for, until then.
    LocalityWait(Time),
    /// The executors with free slots are excluded for these tasks.
    Excluded,
    /// Lost map output is about to be computed again.
    Resubmitting,
}
