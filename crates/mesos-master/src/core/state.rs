//! What the master remembers of frameworks, agents, tasks and offers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use mesos_api::scheduler::OfferConstraints;
use mesos_api::{
    AgentId, AgentInfo, DrainConfig, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo,
    KillPolicy, OfferId, Resources, Task, TaskId, TaskState, TaskStatus,
};

use super::event::{LinkId, StreamId};
use super::shelf::{Shelf, Shown};
use super::snapshot::AgentView;
use crate::allocator::Time;

/// Statuses kept of a task for the endpoints; the last ones matter.
const MAXIMUM_STATUSES: usize = 10;

#[derive(Clone, Debug)]
pub(super) struct TaskRecord {
    /// Shared with snapshots; changed in a copy while one looks.
    pub(super) task: Arc<Task>,
    /// As allocated to the role; empty once they were given back.
    pub(super) resources: Resources,
    /// The latest update, until its acknowledgement; most tasks have none.
    pub(super) unacknowledged: Option<Box<TaskStatus>>,
    /// A kill the agent has not heard of, because it was away.
    pub(super) kill: Option<Option<KillPolicy>>,
}

impl Shown for TaskRecord {
    type View = Task;

    fn view(&self) -> Arc<Task> {
        Arc::clone(&self.task)
    }
}

impl TaskRecord {
    pub(super) fn state(&self) -> TaskState {
        self.task.state()
    }

    /// Notes an update, and the newest state the agent told with it. What has ended stays so.
    pub(super) fn note(&mut self, status: &TaskStatus, latest: TaskState) {
        let task = Arc::make_mut(&mut self.task);
        if !task.state().is_terminal() {
            task.state = latest.into();
        }
        task.status_update_state = Some(status.state);
        // Copied, since it is a part of the whole record that brought it.
        let uuid = status.uuid.as_deref().map(Bytes::copy_from_slice);
        task.status_update_uuid.clone_from(&uuid);
        if task.executor_id.is_none() {
            task.executor_id.clone_from(&status.executor_id);
        }
        // Several updates of one state say no more than the last.
        if task.statuses.last().is_some_and(|last| last.state == status.state) {
            task.statuses.pop();
        }
        task.statuses.reserve_exact(1);
        task.statuses.push(TaskStatus { data: None, uuid, ..status.clone() });
        if task.statuses.len() > MAXIMUM_STATUSES {
            task.statuses.remove(0);
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct ExecutorRecord {
    pub(super) info: Arc<ExecutorInfo>,
    pub(super) resources: Resources,
}

/// Whether a framework listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    Subscribed,
    /// Away; removed in time, unless it is back.
    Away,
    /// Known from agents only, since the master started.
    Recovered,
}

#[derive(Clone, Debug)]
pub(super) struct Framework {
    pub(super) info: Arc<FrameworkInfo>,
    pub(super) constraints: Option<OfferConstraints>,
    /// Who subscribed, if authenticated.
    pub(super) principal: Option<String>,
    pub(super) stream: Option<StreamId>,
    pub(super) connection: Connection,
    pub(super) registered: Time,
    pub(super) reregistered: Option<Time>,
    pub(super) unregistered: Option<Time>,
    pub(super) suppressed: BTreeSet<String>,
    pub(super) tasks: Shelf<TaskId, TaskRecord>,
    pub(super) executors: BTreeMap<(AgentId, ExecutorId), ExecutorRecord>,
    pub(super) unreachable: BTreeMap<TaskId, Arc<Task>>,
    pub(super) completed: VecDeque<Arc<Task>>,
    pub(super) offers: BTreeSet<OfferId>,
    /// Scalars held by tasks and executors; ports of several agents have no sum.
    pub(super) used: Resources,
    /// Scalars held by offers.
    pub(super) offered: Resources,
}

impl Framework {
    pub(super) fn is_subscribed(&self) -> bool {
        self.connection == Connection::Subscribed
    }

    /// Its executors on an agent.
    pub(super) fn executors_on<'a>(
        &'a self,
        agent_id: &'a AgentId,
    ) -> impl Iterator<Item = &'a ExecutorId> {
        let first = (agent_id.clone(), ExecutorId::default());
        let there = self.executors.range(first..).take_while(move |((id, _), _)| id == agent_id);
        there.map(|((_, executor), _)| executor)
    }
}

/// An agent that is being emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drain {
    pub(super) config: DrainConfig,
    pub(super) since: Time,
    pub(super) done: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) info: Arc<AgentInfo>,
    pub(super) ip: String,
    pub(super) version: String,
    pub(super) link: Option<LinkId>,
    pub(super) registered: Time,
    pub(super) reregistered: Option<Time>,
    /// Pings sent and not answered.
    pub(super) unanswered_pings: u32,
    /// It brought more tasks than it has resources for.
    pub(super) overcommitted: bool,
    /// An operator wants no offers of it.
    pub(super) deactivated: bool,
    pub(super) drain: Option<Drain>,
    pub(super) tasks: BTreeSet<(FrameworkId, TaskId)>,
    /// Frameworks with executors there.
    pub(super) executors: BTreeSet<(FrameworkId, ExecutorId)>,
    pub(super) offers: BTreeSet<OfferId>,
    /// Held by tasks and executors.
    pub(super) used: Resources,
    /// Held by offers.
    pub(super) offered: Resources,
    /// What readers are shown, as long as nothing of it changes; [`Agents`] sees to that.
    pub(super) view: OnceLock<Arc<AgentView>>,
}

/// Agents by id. Whoever may change one takes back what readers were shown of it.
#[derive(Debug, Default)]
pub(super) struct Agents(BTreeMap<AgentId, Agent>);

impl Deref for Agents {
    type Target = BTreeMap<AgentId, Agent>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Agents {
    pub(super) fn get_mut(&mut self, id: &AgentId) -> Option<&mut Agent> {
        let agent = self.0.get_mut(id)?;
        agent.view.take();
        Some(agent)
    }

    /// Pings an agent has not answered: no reader is shown them.
    pub(super) fn unanswered_pings(&mut self, id: &AgentId) -> Option<&mut u32> {
        self.0.get_mut(id).map(|agent| &mut agent.unanswered_pings)
    }

    pub(super) fn insert(&mut self, id: AgentId, agent: Agent) {
        self.0.insert(id, agent);
    }

    pub(super) fn remove(&mut self, id: &AgentId) -> Option<Agent> {
        self.0.remove(id)
    }
}

impl Agent {
    pub(super) fn port(&self) -> i32 {
        self.info.port()
    }

    /// Whether it takes work.
    pub(super) fn is_active(&self) -> bool {
        self.link.is_some() && !self.deactivated && self.drain.is_none()
    }
}

/// An agent that stopped answering.
#[derive(Clone, Debug)]
pub(super) struct Unreachable {
    pub(super) info: Arc<AgentInfo>,
    pub(super) since: Time,
    pub(super) deactivated: bool,
    pub(super) drain: Option<Drain>,
}

/// An outstanding offer.
#[derive(Clone, Debug)]
pub struct OfferRecord {
    /// Its id.
    pub id: OfferId,
    /// Who may answer it.
    pub framework_id: FrameworkId,
    /// Where the resources are.
    pub agent_id: AgentId,
    /// For which role.
    pub role: String,
    /// As allocated to the role.
    pub resources: Resources,
    /// When it was made.
    pub made: Time,
}
