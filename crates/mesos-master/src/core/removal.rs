//! The end of tasks and frameworks.

use mesos_api::agent_protocol::{ShutdownFramework, ToAgent};
use mesos_api::task_status::Reason;
use mesos_api::{AgentId, FrameworkId, TaskId, TaskState};

use super::Master;
use super::event::Action;

impl Master {
    /// An ended and acknowledged task is only history.
    pub(super) fn complete_task(&mut self, id: &FrameworkId, task_id: &TaskId) {
        let limit = self.settings.max_completed_tasks_per_framework;
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let Some(record) = framework.tasks.remove(task_id) else { return };
        let agent_id = record.task.agent_id.clone();
        framework.completed.push_back(record.task);
        while framework.completed.len() > limit {
            framework.completed.pop_front();
        }
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.tasks.remove(&(id.clone(), task_id.clone()));
        }
    }

    /// Kills all a framework runs and forgets it, but for its history.
    pub(super) fn remove_framework(&mut self, id: &FrameworkId) {
        let now = self.now;
        self.discard_offers_of(id);
        let Some(framework) = self.frameworks.get(id) else { return };
        let tasks: Vec<_> = framework.tasks.keys().cloned().collect();
        let executors: Vec<_> = framework.executors.keys().cloned().collect();
        let agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        for agent_id in agents {
            self.shutdown_framework_on(&agent_id, id);
        }
        // The scheduler asked for it or is gone: nobody is told of the single tasks.
        if let Some(stream) = self.frameworks.get_mut(id).and_then(|f| f.stream.take()) {
            self.streams.remove(&stream);
            self.act(Action::CloseStream { stream });
        }
        for task_id in tasks {
            let reason = Some(Reason::FrameworkRemoved);
            let message = format!("Framework {id} removed");
            let status = self.status(&task_id, TaskState::Killed, reason, &message);
            self.end_task(id, status.done());
        }
        for (agent_id, executor_id) in executors {
            self.release_executor(id, &agent_id, &executor_id);
        }
        self.allocator.remove_framework(id);
        self.framework_timers.remove(id);
        self.publish_framework_removed(id);
        self.removed_frameworks.insert(id.clone());
        if let Some(mut framework) = self.frameworks.remove(id) {
            framework.unregistered = Some(now);
            self.completed_frameworks.push_back(framework);
            while self.completed_frameworks.len() > self.settings.max_completed_frameworks {
                self.completed_frameworks.pop_front();
            }
        }
        self.request_allocation();
    }

    pub(super) fn shutdown_framework_on(&mut self, agent_id: &AgentId, id: &FrameworkId) {
        let shutdown_framework = Some(ShutdownFramework { framework_id: id.clone() });
        self.tell_agent(agent_id, ToAgent { shutdown_framework, ..ToAgent::default() });
    }
}
