//! Tasks that come by another way than the driver's stream, each as a task of the cluster manager.
//!
//! The two ways are not ordered: a task may be there before the plan of its stage, or before the map
//! statuses it reads by. It waits for them here.

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::mpsc;

use super::Executor;
use crate::protocol::{
    AssignedTask, NeededStatuses, Task, TaskError, TaskFinished, from_executor, task_finished,
};

/// A task whose stage is not told for so long was forgotten: the stage was over before it came.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// What the other way brings.
#[derive(Debug, Clone)]
pub enum Assignment {
    /// Start the task that [`crate::TaskLaunch::data`] describes.
    Launch(Bytes),
    /// Stop a task.
    Kill(u64),
    /// End, with the reason.
    Stop(String),
}

/// The number of the task that [`crate::TaskLaunch::data`] describes; `None` if it describes none.
pub fn assigned_task(data: &[u8]) -> Option<u64> {
    Some(AssignedTask::decode(data).ok()?.task?.task)
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEndState {
    /// In success.
    Finished,
    /// With an error.
    Failed(String),
    /// It was told to stop.
    Killed,
}

/// The end of a task, told after the driver was told on its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// Which.
    pub task: u64,
    /// How.
    pub state: TaskEndState,
}

/// The other way.
#[derive(Debug)]
pub struct Assignments {
    /// What it brings.
    pub incoming: mpsc::UnboundedReceiver<Assignment>,
    /// Where ends of tasks are told.
    pub ends: mpsc::UnboundedSender<TaskEnd>,
}

/// The state of an executor with such a way.
pub(super) struct Assigned {
    way: Assignments,
    waiting: Vec<Waiting>,
}

struct Waiting {
    task: Task,
    needs: Vec<NeededStatuses>,
    since: Instant,
}

impl Assigned {
    pub(super) fn new(way: Assignments) -> Self {
        Self { way, waiting: Vec::new() }
    }

    pub(super) fn ends(&self) -> mpsc::UnboundedSender<TaskEnd> {
        self.way.ends.clone()
    }
}

/// The next word of the other way; never without one.
pub(super) async fn next(assigned: &mut Option<Assigned>) -> Option<Assignment> {
    match assigned {
        Some(assigned) => assigned.way.incoming.recv().await,
        None => std::future::pending().await,
    }
}

/// What the cluster manager is told of an end.
pub(super) fn end_state(finished: &TaskFinished) -> TaskEndState {
    match &finished.outcome {
        Some(task_finished::Outcome::MapOutput(_) | task_finished::Outcome::Result(_)) => {
            TaskEndState::Finished
        }
        Some(task_finished::Outcome::Failed(error)) => TaskEndState::Failed(error.message.clone()),
        Some(task_finished::Outcome::FetchFailed(failed)) => {
            TaskEndState::Failed(failed.message.clone())
        }
        Some(task_finished::Outcome::Killed(_)) => TaskEndState::Killed,
        None => TaskEndState::Failed("it gave no outcome".to_owned()),
    }
}

impl Executor {
    pub(super) async fn take_assigned(&mut self, data: &[u8]) {
        match AssignedTask::decode(data) {
            Ok(AssignedTask { task: Some(task), needs }) => {
                if self.is_ready(&task, &needs) {
                    self.launch(task);
                } else if let Some(assigned) = &mut self.assigned {
                    assigned.waiting.push(Waiting { task, needs, since: Instant::now() });
                }
            }
            Ok(AssignedTask { task: None, .. }) => {
                tracing::error!("a task came without its description");
            }
            Err(error) => tracing::error!(%error, "a task's description cannot be read"),
        }
    }

    fn is_ready(&self, task: &Task, needs: &[NeededStatuses]) -> bool {
        let has = |need: &NeededStatuses| {
            self.places.get(&need.shuffle).is_some_and(|places| places.epoch() >= need.epoch)
        };
        self.stages.contains_key(&task.stage) && needs.iter().all(has)
    }

    /// Starts what waited for the message just taken in.
    pub(super) fn launch_ready(&mut self) {
        let Some(assigned) = &mut self.assigned else { return };
        if assigned.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut assigned.waiting);
        let (ready, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|waiting| self.is_ready(&waiting.task, &waiting.needs));
        for Waiting { task, .. } in ready {
            self.launch(task);
        }
        if let Some(assigned) = &mut self.assigned {
            assigned.waiting = waiting;
        }
    }

    pub(super) async fn kill_assigned(&mut self, task: u64) {
        // The watcher of a task that runs reports its end.
        if let Some(task) = self.running.lock().remove(&task) {
            task.abort();
            return;
        }
        let ended = self.take_waiting(|waiting| waiting.task.task == task);
        for Waiting { task, .. } in ended {
            let outcome = task_finished::Outcome::Killed("killed by the driver".to_owned());
            self.end_waiting(task.task, outcome).await;
        }
    }

    /// Reports tasks whose stage will not be told any more.
    pub(super) async fn give_up_waiting(&mut self) {
        for Waiting { task, .. } in self.take_waiting(|w| w.since.elapsed() > WAIT_LIMIT) {
            let error = TaskError {
                message: format!(
                    "stage {} was not told to executor {}",
                    task.stage, self.shared.id
                ),
                not_counted: true,
                ..TaskError::default()
            };
            self.end_waiting(task.task, task_finished::Outcome::Failed(error)).await;
        }
    }

    fn take_waiting(&mut self, wanted: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let Some(assigned) = &mut self.assigned else { return Vec::new() };
        let waiting = std::mem::take(&mut assigned.waiting);
        let (taken, kept) = waiting.into_iter().partition(wanted);
        assigned.waiting = kept;
        taken
    }

    async fn end_waiting(&self, task: u64, outcome: task_finished::Outcome) {
        let finished = TaskFinished { task, metrics: None, outcome: Some(outcome) };
        let state = end_state(&finished);
        self.shared.send(from_executor::Kind::Finished(finished)).await;
        if let Some(assigned) = &self.assigned {
            let _ = assigned.ends().send(TaskEnd { task, state });
        }
    }
}
