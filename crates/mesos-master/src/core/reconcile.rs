//! Reconciliation: what state is a task in? Silence where the answer is not known yet.

use mesos_api::scheduler::call::{ReconcileOperations, ReconcileTask};
use mesos_api::task_status::Reason;
use mesos_api::{
    AgentId, FrameworkId, OperationState, OperationStatus, TaskId, TaskState, TaskStatus,
};

use super::Master;
use super::state::{Agent, TaskRecord};

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
                    .filter_map(|(task_id, task)| self.missing(id, task_id, Some(&task.agent_id))),
            );
        } else {
            for task in tasks {
                answers.extend(match framework.tasks.get(&task.task_id) {
                    Some(record) => Some(self.known(&task.task_id, record)),
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
        let task = &record.task;
        let state = task.status_update_state.map_or(task.state(), |_| task.status_update_state());
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

    /// Nothing while an agent that may know is not connected: it may bring the task along.
    fn missing(
        &self,
        id: &FrameworkId,
        task_id: &TaskId,
        agent_id: Option<&AgentId>,
    ) -> Option<TaskStatus> {
        let unreachable_task =
            self.frameworks.get(id).and_then(|framework| framework.unreachable.get(task_id));
        let agent_id = agent_id.or(unreachable_task.map(|task| &task.agent_id));
        let may_return = match agent_id {
            Some(agent_id) => {
                let disconnected = |agent: &Agent| agent.link.is_none();
                self.recovered_agents.contains_key(agent_id)
                    || self.agents.get(agent_id).is_some_and(disconnected)
            }
            None => !self.recovered_agents.is_empty(),
        };
        if may_return {
            return None;
        }
        let unreachable = agent_id.and_then(|agent_id| self.unreachable_agents.get(agent_id));
        let (state, message) = match agent_id {
            Some(agent_id) if self.agents.contains_key(agent_id) => {
                (TaskState::Gone, "Reconciliation: Task is unknown to the agent")
            }
            Some(_) if unreachable.is_some() => {
                (TaskState::Unreachable, "Reconciliation: Task is unreachable")
            }
            Some(agent_id) if self.gone_agents.contains_key(agent_id) => {
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
            status = status.since(since.since);
        }
        Some(status.done())
    }

    /// No operation of ours is ever under way: it was done or dropped when it was accepted.
    pub(super) fn reconcile_operations(
        &mut self,
        id: &FrameworkId,
        reconcile: &ReconcileOperations,
    ) {
        for operation in &reconcile.operations {
            let agent_id = operation.agent_id.as_ref();
            let state = match agent_id {
                Some(agent_id) if self.recovered_agents.contains_key(agent_id) => {
                    OperationState::Recovering
                }
                Some(agent_id) if self.unreachable_agents.contains_key(agent_id) => {
                    OperationState::Unreachable
                }
                Some(agent_id) if self.gone_agents.contains_key(agent_id) => {
                    OperationState::GoneByOperator
                }
                Some(_) | None => OperationState::UnknownOperation,
            };
            let status = OperationStatus {
                operation_id: Some(operation.operation_id.clone()),
                state: state.into(),
                message: Some("Reconciliation: Operation is not under way".to_owned()),
                agent_id: agent_id.cloned(),
                ..OperationStatus::default()
            };
            self.send_operation_status(id, status);
        }
    }
}
