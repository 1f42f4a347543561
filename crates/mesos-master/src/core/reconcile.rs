//! Reconciliation: what state is a task in? Silence where the answer is not known yet.

use mesos_api::scheduler::call::ReconcileTask;
use mesos_api::task_status::Reason;
use mesos_api::{AgentId, FrameworkId, TaskId, TaskState, TaskStatus};

use super::Master;
use super::state::TaskRecord;

impl Master {
    /// Without tasks: all that are known.
    pub(super) fn reconcile(&mut self, id: &FrameworkId, tasks: &[ReconcileTask]) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let mut answers: Vec<TaskStatus> = Vec::new();
        if tasks.is_empty() {
            answers.extend(framework.tasks.iter().map(|(id, record)| self.known(id, record)));
            answers.extend(
                framework
                    .unreachable
                    .iter()
                    .map(|(task_id, task)| self.missing(id, task_id, Some(&task.agent_id))),
            );
        } else {
            for task in tasks {
                answers.push(match framework.tasks.get(&task.task_id) {
                    Some(record) => self.known(&task.task_id, record),
                    None => self.missing(id, &task.task_id, task.agent_id.as_ref()),
                });
            }
        }
        for answer in answers {
            self.send_status(id, answer);
        }
    }

    /// The state of the latest update the scheduler was sent.
    fn known(&self, task_id: &TaskId, record: &TaskRecord) -> TaskStatus {
        let state = record
            .task
            .status_update_state
            .map_or(TaskState::Staging, |_| record.task.status_update_state());
        let message = "Reconciliation: Latest task state";
        let mut status = self
            .status(task_id, state, Some(Reason::Reconciliation), message)
            .at(&record.task.agent_id)
            .done();
        status.executor_id.clone_from(&record.task.executor_id);
        let last = record.task.statuses.last();
        status.container_status = last.and_then(|last| last.container_status.clone());
        status.healthy = last.and_then(|last| last.healthy);
        status
    }

    fn missing(
        &self,
        id: &FrameworkId,
        task_id: &TaskId,
        agent_id: Option<&AgentId>,
    ) -> TaskStatus {
        let unreachable_task =
            self.frameworks.get(id).and_then(|framework| framework.unreachable.get(task_id));
        let agent_id = agent_id.or(unreachable_task.map(|task| &task.agent_id));
        let unreachable = agent_id.and_then(|agent_id| self.unreachable_agents.get(agent_id));
        let (state, message) = match agent_id {
            Some(agent_id) if self.agents.contains_key(agent_id) => {
                (TaskState::Gone, "Reconciliation: Task is unknown to the agent")
            }
            Some(_) if unreachable.is_some() => {
                (TaskState::Unreachable, "Reconciliation: Task is unreachable")
            }
            Some(agent_id) if self.gone_agents.contains(agent_id) => {
                (TaskState::GoneByOperator, "Reconciliation: Task is gone")
            }
            Some(_) | None => (TaskState::UnknownTask, "Reconciliation: Task is unknown"),
        };
        let state = self.lost_or(id, state);
        let mut status = self.status(task_id, state, Some(Reason::Reconciliation), message);
        if let Some(agent_id) = agent_id {
            status = status.at(agent_id);
        }
        if let Some(since) = unreachable {
            status = status.since(*since);
        }
        status.done()
    }
}
