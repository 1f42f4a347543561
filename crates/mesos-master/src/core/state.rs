//! What the master remembers of frameworks, agents, tasks and offers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesos_api::{
    AgentId, AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, KillPolicy, OfferId,
    Resources, Task, TaskId, TaskState, TaskStatus,
};

use super::event::{LinkId, StreamId};
use crate::allocator::Time;

/// Statuses kept of a task for the endpoints; the last ones matter.
const MAXIMUM_STATUSES: usize = 10;

#[derive(Clone, Debug)]
pub(super) struct TaskRecord {
    pub(super) task: Task,
    /// As allocated to the role; empty once they were given back.
    pub(super) resources: Resources,
    /// The latest update, until its acknowledgement.
    pub(super) unacknowledged: Option<TaskStatus>,
    /// A kill the agent has not heard of, because it was away.
    pub(super) kill: Option<Option<KillPolicy>>,
}

impl TaskRecord {
    pub(super) fn state(&self) -> TaskState {
        self.task.state()
    }

    pub(super) fn note(&mut self, status: &TaskStatus) {
        self.task.state = status.state;
        self.task.status_update_state = Some(status.state);
        self.task.status_update_uuid.clone_from(&status.uuid);
        if self.task.executor_id.is_none() {
            self.task.executor_id.clone_from(&status.executor_id);
        }
        // Several updates of one state say no more than the last.
        if self.task.statuses.last().is_some_and(|last| last.state == status.state) {
            self.task.statuses.pop();
        }
        self.task.statuses.push(TaskStatus { data: None, ..status.clone() });
        if self.task.statuses.len() > MAXIMUM_STATUSES {
            self.task.statuses.remove(0);
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct ExecutorRecord {
    pub(super) info: ExecutorInfo,
    pub(super) resources: Resources,
}

/// Whether a framework listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    Subscribed,
    /// Away; removed at this time, unless it is back.
    Away {
        until: Time,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Framework {
    pub(super) info: FrameworkInfo,
    /// Who subscribed, if authenticated.
    pub(super) principal: Option<String>,
    pub(super) stream: Option<StreamId>,
    pub(super) connection: Connection,
    pub(super) heartbeat_due: Time,
    pub(super) registered: Time,
    pub(super) reregistered: Option<Time>,
    pub(super) unregistered: Option<Time>,
    pub(super) suppressed: BTreeSet<String>,
    pub(super) tasks: BTreeMap<TaskId, TaskRecord>,
    pub(super) executors: BTreeMap<(AgentId, ExecutorId), ExecutorRecord>,
    pub(super) unreachable: BTreeMap<TaskId, Task>,
    pub(super) completed: VecDeque<Task>,
}

impl Framework {
    /// When the next heartbeat or the removal is due.
    pub(super) fn next_due(&self) -> Option<Time> {
        Some(match self.connection {
            Connection::Subscribed => self.heartbeat_due,
            Connection::Away { until } => until,
        })
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.connection == Connection::Subscribed
    }

    /// What tasks and executors hold on an agent.
    pub(super) fn used_on(&self, agent_id: &AgentId) -> Resources {
        let mut sum = Resources::new();
        for record in self.tasks.values().filter(|record| record.task.agent_id == *agent_id) {
            sum.add_all(&record.resources);
        }
        for ((agent, _), executor) in &self.executors {
            if agent == agent_id {
                sum.add_all(&executor.resources);
            }
        }
        sum
    }

    pub(super) fn tasks_on(&self, agent_id: &AgentId) -> Vec<TaskId> {
        let there = self.tasks.iter().filter(|(_, record)| record.task.agent_id == *agent_id);
        there.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn executors_on(&self, agent_id: &AgentId) -> Vec<ExecutorId> {
        let there = self.executors.keys().filter(|(agent, _)| agent == agent_id);
        there.map(|(_, executor)| executor.clone()).collect()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) info: AgentInfo,
    pub(super) ip: String,
    pub(super) version: String,
    pub(super) link: Option<LinkId>,
    pub(super) registered: Time,
    pub(super) reregistered: Option<Time>,
    /// Next ping, or while disconnected the time of giving the agent up.
    pub(super) ping_due: Time,
    /// Pings sent and not answered.
    pub(super) unanswered_pings: u32,
    /// It brought more tasks than it has resources for.
    pub(super) overcommitted: bool,
}

impl Agent {
    pub(super) fn port(&self) -> i32 {
        self.info.port()
    }
}

#[derive(Clone, Debug)]
pub(super) struct OfferRecord {
    pub(super) id: OfferId,
    pub(super) framework_id: FrameworkId,
    pub(super) agent_id: AgentId,
    pub(super) role: String,
    /// As allocated to the role.
    pub(super) resources: Resources,
    pub(super) expires: Option<Time>,
}
