//! What the driver tells a scheduler core, and what the core tells it to do. Both modes share the words;
//! those of one mode say so, and the other mode takes them without effect.

use std::time::Duration;

use mesos_api::prost::bytes::Bytes;
use mesos_api::{AgentId, ExecutorId, Offer, OfferId, TaskId, TaskInfo, TaskStatus};

use crate::cluster_view::ClusterView;
use crate::reason::{DeclineReason, LossReason};

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The framework is subscribed, for the first time or again. Another id than before means another
    /// framework: the master gave up the last one, with all its executors.
    Registered {
        /// Its id.
        framework_id: String,
        /// Whether it was before.
        again: bool,
    },
    /// New offers.
    Offers(Vec<Offer>),
    /// An offer is void. Offers of coarse-grained mode are answered when they come, so a launch on it
    /// will be refused; one that fine-grained mode still holds is forgotten.
    Rescind(OfferId),
    /// News of a Mesos task.
    Status(TaskStatus),
    /// An agent is gone.
    AgentFailure(AgentId),
    /// A custom executor has ended (a FAILURE with an executor's id). Fine-grained mode.
    ExecutorFailure {
        /// Its agent.
        agent_id: AgentId,
        /// The Mesos executor, whose id is the Spark executor's.
        executor_id: ExecutorId,
        /// Its raw wait status.
        status: Option<i32>,
    },
    /// At most this many executors are wanted from now on. Coarse-grained mode.
    ExecutorLimit(Option<u64>),
    /// So many tasks wait for slots. Fine-grained mode takes offers only while some do; in
    /// coarse-grained mode the number is for the report.
    WaitingTasks(u64),
    /// Tasks were laid on the slots of the last [`Action::Slots`]; tell all of one round at once, so
    /// that those of an agent go in one ACCEPT. Fine-grained mode.
    LaunchTasks(Vec<TaskLaunch>),
    /// A task is not wanted any more. Fine-grained mode.
    KillTask(String),
    /// Whether somebody still needs map output an executor holds, at each change; an executor begins
    /// with none. Fine-grained mode.
    MapOutputNeeded {
        /// Which executor.
        executor_id: String,
        /// Whether its output is needed.
        needed: bool,
    },
    /// An executor has come to the driver.
    ExecutorRegistered(String),
    /// An executor is not wanted any more, or hangs.
    KillExecutor(String),
    /// What the master said about its agents, for the report of a waiting application.
    Cluster(ClusterView),
    /// Time has passed.
    Tick,
    /// The application ends.
    Stop,
}

/// A Spark task attempt to launch as a Mesos task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLaunch {
    /// The Mesos task's id; the attempt's number as text.
    pub task_id: String,
    /// The executor whose slots were announced.
    pub executor_id: String,
    /// The Mesos task's name.
    pub name: String,
    /// What the executor needs to run it: goes into `TaskInfo.data`.
    pub data: Bytes,
}

/// An executor about to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorLaunch {
    /// Its id; that of its Mesos task in coarse-grained mode, of its Mesos executor in fine-grained.
    pub executor_id: String,
    /// Where.
    pub agent_id: AgentId,
    /// Its agent's host.
    pub host: String,
    /// Task slots; 0 in fine-grained mode.
    pub cores: u64,
    /// Memory with overhead.
    pub memory_mib: u64,
    /// GPUs.
    pub gpus: u64,
}

/// What is launched on offers of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The offers used.
    pub offer_ids: Vec<OfferId>,
    /// What is launched, for Mesos: one LAUNCH operation.
    pub tasks: Vec<TaskInfo>,
    /// The executors that start with it, for us.
    pub executors: Vec<ExecutorLaunch>,
    /// How long the rest of the offers is refused; `None` for Mesos' default.
    pub refuse: Option<Duration>,
}

/// How a Mesos task of fine-grained mode ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// The executor says it is done. What came of it the executor has told the driver itself, or will.
    Finished,
    /// The executor says it failed, in these words.
    Failed(String),
    /// It was killed, as asked.
    Killed,
    /// It never ran or its end is unknown; the executor is still there. Not the task's fault unless
    /// the reason says so.
    Lost(LossReason),
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// ACCEPT with LAUNCH.
    Launch(Launch),
    /// DECLINE.
    Decline {
        /// Offers of one agent.
        offer_ids: Vec<OfferId>,
        /// How long; `None` for Mesos' default.
        refuse: Option<Duration>,
        /// Why.
        reason: DeclineReason,
    },
    /// KILL.
    Kill {
        /// The task.
        task_id: TaskId,
        /// Its agent.
        agent_id: Option<AgentId>,
    },
    /// SHUTDOWN of a custom executor. Fine-grained mode.
    Shutdown {
        /// Which.
        executor_id: ExecutorId,
        /// Its agent.
        agent_id: AgentId,
    },
    /// SUPPRESS.
    Suppress,
    /// REVIVE.
    Revive,
    /// RECONCILE these tasks.
    Reconcile(Vec<(TaskId, Option<AgentId>)>),
    /// From now on so many tasks may be launched on an executor, which starts with the first of them
    /// if it does not run yet. Each word replaces the last one about the executor; a launch uses slots
    /// up, and the end of a task brings none back. Slots that are still there are said again after each
    /// [`Event::WaitingTasks`]. Fine-grained mode.
    Slots {
        /// The executor, running or to be.
        executor_id: String,
        /// Its agent's host.
        host: String,
        /// Tasks that may be launched.
        free: u64,
    },
    /// A Mesos task has ended; said once for each task of [`Event::LaunchTasks`], unless its executor
    /// is lost first. Fine-grained mode.
    TaskEnded {
        /// Which.
        task_id: String,
        /// Where it ran.
        executor_id: String,
        /// How.
        end: TaskEnd,
    },
    /// Tell the task scheduler that an executor is gone, with all tasks that ran there.
    ExecutorLost {
        /// Which.
        executor_id: String,
        /// Where it was.
        host: String,
        /// Why.
        reason: LossReason,
    },
}
