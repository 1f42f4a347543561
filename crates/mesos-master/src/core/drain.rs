//! Emptying agents: their tasks are killed, no new ones come, and in the end they may be marked gone.

use mesos_api::task_status::Reason;
use mesos_api::{
    AgentId, DrainConfig, DurationInfo, FrameworkId, KillPolicy, TaskState, TaskStatus,
};

use super::Master;
use super::event::Answer;
use super::state::Drain;
use crate::allocator::Time;

impl Master {
    pub(super) fn drain_agent(
        &mut self,
        agent_id: &AgentId,
        max_grace_period: Option<Time>,
        mark_gone: bool,
    ) -> Answer {
        let grace = max_grace_period.map(|period| DurationInfo {
            nanoseconds: i64::try_from(period.as_nanos()).unwrap_or(i64::MAX),
        });
        let config = DrainConfig { max_grace_period: grace, mark_gone: Some(mark_gone) };
        let drain = Some(Drain { config, since: self.now, done: false });
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.drain = drain;
            agent.deactivated = true;
            self.note_activity(agent_id);
            self.rescind_offers_on(agent_id);
            self.store_agent(agent_id);
            self.resume_drain(agent_id);
            return Answer::Done;
        }
        let unreachable = self.unreachable_agents.get_mut(agent_id);
        let Some(lost) = unreachable.or(self.recovered_agents.get_mut(agent_id)) else {
            return Answer::NotFound(format!("Agent '{agent_id}' not found"));
        };
        lost.drain = drain;
        lost.deactivated = true;
        self.store_agent(agent_id);
        Answer::Done
    }

    pub(super) fn deactivate_agent(&mut self, agent_id: &AgentId) -> Answer {
        self.set_deactivated(agent_id, true)
    }

    pub(super) fn reactivate_agent(&mut self, agent_id: &AgentId) -> Answer {
        self.set_deactivated(agent_id, false)
    }

    /// A reactivated agent is no longer emptied either.
    fn set_deactivated(&mut self, agent_id: &AgentId, deactivated: bool) -> Answer {
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.deactivated = deactivated;
            if !deactivated {
                agent.drain = None;
            }
        } else {
            let unreachable = self.unreachable_agents.get_mut(agent_id);
            let Some(lost) = unreachable.or(self.recovered_agents.get_mut(agent_id)) else {
                return Answer::NotFound(format!("Agent '{agent_id}' not found"));
            };
            lost.deactivated = deactivated;
            if !deactivated {
                lost.drain = None;
            }
        }
        self.note_activity(agent_id);
        if deactivated {
            self.rescind_offers_on(agent_id);
        }
        self.store_agent(agent_id);
        self.request_allocation();
        Answer::Done
    }

    /// Kills what runs on an agent that is being emptied; again, when it returns.
    pub(super) fn resume_drain(&mut self, agent_id: &AgentId) {
        let drain = self.agents.get(agent_id).and_then(|agent| agent.drain.clone());
        let Some(drain) = drain else { return };
        for (id, task_id) in self.tasks_on(agent_id) {
            let framework = self.frameworks.get_mut(&id);
            let Some(record) = framework.and_then(|f| f.tasks.get_mut(&task_id)) else { continue };
            if record.state().is_terminal() {
                continue;
            }
            // The task's own grace period holds, unless it is longer than the operator's.
            let own = record.task.kill_policy.as_ref().and_then(|p| p.grace_period.clone());
            let grace_period = match (own, drain.config.max_grace_period.clone()) {
                (Some(own), Some(most)) if own.nanoseconds > most.nanoseconds => Some(most),
                (Some(own), _) => Some(own),
                (None, most) => most,
            };
            let policy = grace_period.map(|grace| KillPolicy { grace_period: Some(grace) });
            record.kill = Some(policy.clone());
            let message = super::calls::kill_message(id, task_id, policy);
            self.tell_agent(agent_id, message);
        }
        self.draining.insert(agent_id.clone());
    }

    /// Gives the end of a task its true reason: the agent was emptied.
    pub(super) fn note_drain(&self, agent_id: &AgentId, id: &FrameworkId, status: &mut TaskStatus) {
        let drain = self.agents.get(agent_id).and_then(|agent| agent.drain.as_ref());
        let Some(drain) = drain.filter(|_| status.state() == TaskState::Killed) else { return };
        status.reason = Some(Reason::AgentDraining.into());
        if drain.config.mark_gone() {
            status.state = self.lost_or(id, TaskState::GoneByOperator).into();
        }
    }

    /// Once nothing is left on it, an agent is empty, and gone if that was asked for.
    pub(super) fn finish_drains(&mut self) {
        for agent_id in self.draining.clone() {
            let agent = self.agents.get_mut(&agent_id);
            let Some((left, drain)) = agent.and_then(|agent| {
                let left = agent.tasks.len();
                agent.drain.as_mut().filter(|drain| !drain.done).map(|drain| (left, drain))
            }) else {
                self.draining.remove(&agent_id);
                continue;
            };
            if left > 0 {
                continue;
            }
            drain.done = true;
            let gone = drain.config.mark_gone();
            self.draining.remove(&agent_id);
            tracing::info!(agent = %agent_id, gone, "agent is drained");
            if gone {
                let answer = self.mark_gone(&agent_id);
                debug_assert_eq!(answer, Answer::Done);
            }
        }
    }
}
