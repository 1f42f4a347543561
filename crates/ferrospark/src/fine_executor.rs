//! The Mesos executor of the fine-grained mode: each Mesos task is one Spark task attempt.
//!
//! The agent brings the tasks and hears of their ends, so that their cores go back at once. What a task
//! runs and what it answers goes over the same stream to the driver as in coarse-grained mode.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use mesos_api::{TaskId, TaskInfo, TaskState, TaskStatus};
use mesos_client::{ExecutorClient, ExecutorEvent, ExecutorHandle};
use spark_exec::{Assignment, Assignments, ExecutorOptions, TaskEnd, TaskEndState};
use tokio::sync::mpsc;

/// A task that runs for so long is told as running. An update must be acknowledged before the next one
/// of its task is delivered, so telling it of short tasks would double the way of their end.
const RUNNING_DELAY: Duration = Duration::from_millis(200);
/// How long the last updates may take to reach the agent when the executor ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Characters of a task's error in its Mesos status; the driver has the whole.
const MESSAGE_LIMIT: usize = 512;

/// Runs until the agent or the driver ends it; answers why.
pub(crate) async fn run(options: ExecutorOptions) -> anyhow::Result<String> {
    let agent = mesos_client::ExecutorOptions::from_environment(|name| std::env::var(name).ok())?;
    let (assign, incoming) = mpsc::unbounded_channel();
    let (end, ends) = mpsc::unbounded_channel();
    // Dialling both at once saves the time of one.
    let executor = tokio::spawn(spark_exec::run_assigned_executor(
        options,
        Assignments { incoming, ends: end },
    ));
    let (handle, events) = match ExecutorClient::connect(agent).await {
        Ok(connected) => connected,
        Err(error) => {
            // In order: what it runs its tasks in must not be dropped here. Fails if it has ended.
            let _ = assign.send(Assignment::Stop("its agent cannot be reached".to_owned()));
            let _ = tokio::time::timeout(FLUSH_TIMEOUT, executor).await;
            return Err(error).context(
                "the executor cannot reach its agent, which must listen on an address that the executor's network reaches",
            );
        }
    };
    let work = Work { handle, assign, tasks: Tasks::default() };
    let reason = work.run(events, ends, executor).await?;
    Ok(reason)
}

struct Work {
    handle: ExecutorHandle,
    assign: mpsc::UnboundedSender<Assignment>,
    tasks: Tasks,
}

/// The tasks that were launched and have not ended.
#[derive(Default)]
struct Tasks {
    /// The Mesos id by the number of the attempt.
    ids: BTreeMap<u64, TaskId>,
    /// When which may be told as running, in order of time.
    untold: VecDeque<(Instant, u64)>,
}

impl Work {
    async fn run(
        mut self,
        mut events: mpsc::Receiver<ExecutorEvent>,
        mut ends: mpsc::UnboundedReceiver<TaskEnd>,
        mut executor: tokio::task::JoinHandle<datafusion::error::Result<String>>,
    ) -> anyhow::Result<String> {
        let outcome = loop {
            let told_at = self.tasks.untold.front().map(|(at, _)| *at);
            tokio::select! {
                event = events.recv() => self.take(event),
                Some(end) = ends.recv() => self.ended(end),
                () = sleep_until(told_at) => self.tell_running(),
                outcome = &mut executor => break outcome,
            }
        };
        while let Ok(end) = ends.try_recv() {
            self.ended(end);
        }
        // Fails only if the agent is gone, which needs no news then.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, self.handle.flush()).await;
        Ok(outcome??)
    }

    fn take(&mut self, event: Option<ExecutorEvent>) {
        match event {
            Some(ExecutorEvent::Launch(task)) => self.launch(*task),
            Some(ExecutorEvent::LaunchGroup(group)) => {
                for task in group.tasks {
                    let message = "task groups are not run by this executor";
                    self.update(task.task_id, TaskState::Failed, Some(message));
                }
            }
            Some(ExecutorEvent::Kill { task_id, .. }) => {
                let task = self.tasks.ids.iter().find(|(_, id)| **id == task_id);
                if let Some((task, _)) = task {
                    self.assign(Assignment::Kill(*task));
                }
            }
            Some(ExecutorEvent::Shutdown { reason }) => self.assign(Assignment::Stop(reason)),
            Some(ExecutorEvent::Disconnected { reason }) => {
                tracing::warn!(%reason, "disconnected from the agent; tasks go on");
            }
            Some(ExecutorEvent::Subscribed { again, .. }) => {
                tracing::info!(again, "subscribed with the agent");
            }
            Some(ExecutorEvent::Message(_)) => {}
            None => self.assign(Assignment::Stop("the agent is gone".to_owned())),
        }
    }

    fn launch(&mut self, task: TaskInfo) {
        let data: Bytes = task.data.unwrap_or_default();
        let Some(number) = spark_exec::assigned_task(&data) else {
            let message = "its data describes no task";
            return self.update(task.task_id, TaskState::Failed, Some(message));
        };
        self.tasks.ids.insert(number, task.task_id);
        self.tasks.untold.push_back((Instant::now() + RUNNING_DELAY, number));
        self.assign(Assignment::Launch(data));
    }

    fn assign(&self, assignment: Assignment) {
        // Fails only when the executor has ended, which ends the loop.
        let _ = self.assign.send(assignment);
    }

    fn ended(&mut self, end: TaskEnd) {
        let Some(id) = self.tasks.ids.remove(&end.task) else { return };
        match end.state {
            TaskEndState::Finished => self.update(id, TaskState::Finished, None),
            TaskEndState::Failed(message) => self.update(id, TaskState::Failed, Some(&message)),
            TaskEndState::Killed => self.update(id, TaskState::Killed, None),
        }
    }

    fn tell_running(&mut self) {
        let now = Instant::now();
        while let Some((at, task)) = self.tasks.untold.front().copied() {
            if at > now {
                return;
            }
            self.tasks.untold.pop_front();
            if let Some(id) = self.tasks.ids.get(&task) {
                self.update(id.clone(), TaskState::Running, None);
            }
        }
    }

    fn update(&self, task_id: TaskId, state: TaskState, message: Option<&str>) {
        self.handle.update(TaskStatus {
            task_id,
            state: state.into(),
            message: message.map(|message| message.chars().take(MESSAGE_LIMIT).collect()),
            ..TaskStatus::default()
        });
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
