//! Agents that break away, do not answer, leave or are given up by an operator.

use std::sync::Arc;

use mesos_api::agent_protocol::{Shutdown, ToAgent};
use mesos_api::scheduler::event;
use mesos_api::task_status::Reason;
use mesos_api::{AgentId, FrameworkId, TaskId, TaskState, TaskStatus};

use super::Master;
use super::event::{Action, Answer, LinkId};
use super::state::Unreachable;

/// Agents remembered as unreachable, and as gone: as many as Mesos keeps in its registry.
const MAXIMUM_LOST_AGENTS: usize = 100 * 1024;

impl Master {
    /// Tasks of frameworks that do not checkpoint die with the agent's process, as far as anybody
    /// can know; the others wait for its return.
    pub(super) fn agent_closed(&mut self, link: LinkId) {
        let Some(agent_id) = self.links.remove(&link) else { return };
        let give_up = self.now + self.ping_timeout();
        let Some(agent) = self.agents.get_mut(&agent_id) else { return };
        agent.link = None;
        let message = format!("Agent {} disconnected", agent.info.hostname);
        self.agent_timers.set(agent_id.clone(), give_up);
        self.note_activity(&agent_id);
        self.rescind_offers_on(&agent_id);
        let mortal = |id: &FrameworkId| {
            self.frameworks.get(id).is_some_and(|framework| !framework.info.checkpoint())
        };
        let tasks: Vec<_> =
            self.tasks_on(&agent_id).into_iter().filter(|(id, _)| mortal(id)).collect();
        let executors: Vec<_> =
            self.executors_on(&agent_id).into_iter().filter(|(id, _)| mortal(id)).collect();
        for (id, task_id) in tasks {
            let reason = Some(Reason::AgentDisconnected);
            let status = self.status(&task_id, TaskState::Lost, reason, &message);
            self.end_task(&id, status.at(&agent_id).done());
        }
        for (id, executor_id) in executors {
            self.release_executor(&id, &agent_id, &executor_id);
        }
    }

    /// The agent does not answer; its tasks may still run, and it may return.
    pub(super) fn mark_unreachable(&mut self, agent_id: &AgentId) {
        for (id, task_id) in self.tasks_on(agent_id) {
            let state = self.lost_or(&id, TaskState::Unreachable);
            let message = "Agent is unreachable: it failed to answer the master's pings";
            let status = self
                .status(&task_id, state, Some(Reason::AgentRemoved), message)
                .at(agent_id)
                .since(self.now)
                .done();
            let live = self
                .frameworks
                .get(&id)
                .and_then(|framework| framework.tasks.get(&task_id))
                .is_some_and(|record| !record.state().is_terminal());
            if live && state == TaskState::Unreachable {
                self.set_aside(&id, &task_id, &status);
                self.publish_task_updated(&id, &status, state);
                self.send_status(&id, status);
            } else {
                self.end_task(&id, status);
            }
        }
        let entry = self.agents.get(agent_id).map(|agent| Unreachable {
            info: Arc::clone(&agent.info),
            since: self.now,
            deactivated: agent.deactivated,
            drain: agent.drain.clone(),
        });
        self.forget_agent(agent_id);
        if let Some(entry) = entry {
            self.keep_unreachable(agent_id, entry);
        }
    }

    fn keep_unreachable(&mut self, agent_id: &AgentId, entry: Unreachable) {
        self.unreachable_agents.insert(agent_id.clone(), entry);
        self.store_agent(agent_id);
        if self.unreachable_agents.len() > MAXIMUM_LOST_AGENTS {
            let oldest = self.unreachable_agents.iter().min_by_key(|(_, entry)| entry.since);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.unreachable_agents.remove(&oldest);
                self.store_agent(&oldest);
            }
        }
    }

    /// An agent of an earlier master did not return in time.
    pub(super) fn give_up_recovered(&mut self, agent_id: &AgentId) {
        let Some(mut entry) = self.recovered_agents.remove(agent_id) else { return };
        entry.since = self.now;
        self.counters.agent_removals += 1;
        self.keep_unreachable(agent_id, entry);
        self.tell_all_of_loss(agent_id);
    }

    /// Keeps an unreachable task in mind, without resources.
    fn set_aside(&mut self, id: &FrameworkId, task_id: &TaskId, status: &TaskStatus) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let Some(mut record) = framework.tasks.remove(task_id) else { return };
        record.note(status, status.state());
        let agent_id = record.task.agent_id.clone();
        framework.unreachable.insert(task_id.clone(), record.task);
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.tasks.remove(&(id.clone(), task_id.clone()));
        }
        self.recover_used(id, &agent_id, &record.resources);
    }

    /// Tasks that were unreachable with an agent which is back without them.
    pub(super) fn miss_unreachable_tasks(&mut self, agent_id: &AgentId) {
        self.end_unreachable_tasks(
            agent_id,
            TaskState::Gone,
            Reason::AgentReregistered,
            "The agent returned without the task",
        );
    }

    fn end_unreachable_tasks(
        &mut self,
        agent_id: &AgentId,
        state: TaskState,
        reason: Reason,
        message: &str,
    ) {
        let limit = self.settings.max_completed_tasks_per_framework;
        let mut news = Vec::new();
        for (id, framework) in &mut self.frameworks {
            let there = framework.unreachable.iter().filter(|(_, task)| task.agent_id == *agent_id);
            let there: Vec<TaskId> = there.map(|(task_id, _)| task_id.clone()).collect();
            for task_id in there {
                let Some(mut task) = framework.unreachable.remove(&task_id) else { continue };
                Arc::make_mut(&mut task).state = state.into();
                framework.completed.push_back(task);
                while framework.completed.len() > limit {
                    framework.completed.pop_front();
                }
                news.push((id.clone(), task_id));
            }
        }
        for (id, task_id) in news {
            let state = self.lost_or(&id, state);
            let status = self.status(&task_id, state, Some(reason), message).at(agent_id).done();
            self.publish_task_updated(&id, &status, state);
            self.send_status(&id, status);
        }
    }

    /// An operator says that the agent will never return.
    pub(super) fn mark_gone(&mut self, agent_id: &AgentId) -> Answer {
        let known = self.agents.contains_key(agent_id)
            || self.recovered_agents.contains_key(agent_id)
            || self.unreachable_agents.contains_key(agent_id);
        if self.gone_agents.contains_key(agent_id) {
            return Answer::Done;
        }
        if !known {
            return Answer::NotFound(format!("Agent '{agent_id}' not found"));
        }
        let (reason, message) = (Reason::AgentRemovedByOperator, "Agent was marked gone");
        for (id, task_id) in self.tasks_on(agent_id) {
            let state = self.lost_or(&id, TaskState::GoneByOperator);
            let status = self.status(&task_id, state, Some(reason), message).at(agent_id).done();
            self.end_task(&id, status);
        }
        self.end_unreachable_tasks(agent_id, TaskState::GoneByOperator, reason, message);
        self.gone_agents.insert(agent_id.clone(), self.now);
        if self.agents.contains_key(agent_id) {
            let shutdown = Some(Shutdown { reason: message.to_owned() });
            self.tell_agent(agent_id, ToAgent { shutdown, ..ToAgent::default() });
            self.forget_agent(agent_id);
        } else {
            self.agent_timers.remove(agent_id);
            self.recovered_agents.remove(agent_id);
            self.unreachable_agents.remove(agent_id);
            self.tell_all_of_loss(agent_id);
        }
        self.store_agent(agent_id);
        if self.gone_agents.len() > MAXIMUM_LOST_AGENTS {
            let oldest = self.gone_agents.iter().min_by_key(|(_, since)| **since);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.gone_agents.remove(&oldest);
                self.store_agent(&oldest);
            }
        }
        Answer::Done
    }

    /// The agent has left for good, with all it ran.
    pub(super) fn remove_agent(&mut self, agent_id: &AgentId, why: &str) {
        for (id, task_id) in self.tasks_on(agent_id) {
            let state = self.lost_or(&id, TaskState::Gone);
            let message = format!("Agent has been removed: {why}");
            let status = self.status(&task_id, state, Some(Reason::AgentRemoved), &message);
            self.end_task(&id, status.at(agent_id).done());
        }
        let shutdown = Some(Shutdown { reason: why.to_owned() });
        self.tell_agent(agent_id, ToAgent { shutdown, ..ToAgent::default() });
        self.forget_agent(agent_id);
        self.store_agent(agent_id);
    }

    fn forget_agent(&mut self, agent_id: &AgentId) {
        self.counters.agent_removals += 1;
        self.rescind_offers_on(agent_id);
        for (id, executor_id) in self.executors_on(agent_id) {
            self.release_executor(&id, agent_id, &executor_id);
        }
        // Ended, but not acknowledged: with the agent nobody waits for it any more.
        for (id, task_id) in self.tasks_on(agent_id) {
            self.complete_task(&id, &task_id);
        }
        self.allocator.remove_agent(agent_id);
        self.agent_timers.remove(agent_id);
        if let Some(link) = self.agents.remove(agent_id).and_then(|agent| agent.link) {
            self.links.remove(&link);
            self.act(Action::CloseLink { link });
        }
        self.publish_agent_removed(agent_id);
        self.tell_all_of_loss(agent_id);
    }

    fn tell_all_of_loss(&mut self, agent_id: &AgentId) {
        let ids: Vec<_> = self.frameworks.keys().cloned().collect();
        for id in &ids {
            let failure =
                event::Failure { agent_id: Some(agent_id.clone()), ..event::Failure::default() };
            self.send_failure(id, failure);
        }
    }
}
