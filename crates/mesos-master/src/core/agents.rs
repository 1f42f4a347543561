//! Agents: admitted, pinged, lost, back again.

use std::net::IpAddr;

use mesos_api::agent_protocol::{Ping, Refused, Register, Registered, Shutdown, ToAgent, ToMaster};
use mesos_api::resource::AllocationInfo;
use mesos_api::scheduler::event;
use mesos_api::task_status::Reason;
use mesos_api::{AgentId, FrameworkId, Resources, Task, TaskId, TaskState};

use super::Master;
use super::event::{Action, LinkId};
use super::state::{Agent, ExecutorRecord, TaskRecord};

impl Master {
    pub(super) fn register_agent(&mut self, link: LinkId, register: Register) {
        let back = register.agent.id.clone().filter(|id| !id.value.is_empty());
        if let Some(reason) = self.why_refuse_agent(back.as_ref(), &register) {
            let refused = Some(Refused { reason });
            let message = ToAgent { refused, ..ToAgent::default() };
            self.act(Action::ToAgent { link, message });
            self.act(Action::CloseLink { link });
            return;
        }
        if back.is_none() {
            self.remove_predecessor(&register);
        }
        let agent_id = back.unwrap_or_else(|| self.new_agent_id());
        self.unreachable_agents.remove(&agent_id);
        let known = self.agents.contains_key(&agent_id);
        if let Some(old) = self.agents.get_mut(&agent_id).and_then(|agent| agent.link.take()) {
            self.links.remove(&old);
            self.act(Action::CloseLink { link: old });
        }
        self.links.insert(link, agent_id.clone());
        self.wake_at(self.now + self.settings.agent_ping_timeout);
        let message = Registered {
            agent_id: agent_id.clone(),
            ping_timeout_seconds: self.ping_timeout().as_secs_f64(),
        };
        let message = ToAgent { registered: Some(message), ..ToAgent::default() };
        self.act(Action::ToAgent { link, message });
        if known {
            self.agent_is_back(&agent_id, link, register);
        } else {
            self.admit_agent(&agent_id, link, register);
        }
        self.allocator.set_agent_active(&agent_id, true);
        self.request_allocation();
    }

    /// How long an agent may be silent.
    fn ping_timeout(&self) -> std::time::Duration {
        self.settings.agent_ping_timeout * self.settings.max_agent_ping_timeouts
    }

    fn why_refuse_agent(&self, back: Option<&AgentId>, register: &Register) -> Option<String> {
        if back.is_some_and(|id| self.gone_agents.contains(id)) {
            return Some("Agent has been marked gone by an operator".to_owned());
        }
        register
            .ip
            .parse::<IpAddr>()
            .is_err()
            .then(|| format!("Agent address '{}' is not an IP address", register.ip))
    }

    /// A fresh agent at the address of a disconnected one replaces it.
    fn remove_predecessor(&mut self, register: &Register) {
        let port = register.agent.port();
        let old = self.agents.iter().find(|(_, agent)| {
            agent.link.is_none() && agent.ip == register.ip && agent.port() == port
        });
        if let Some(agent_id) = old.map(|(id, _)| id.clone()) {
            self.remove_agent(&agent_id, "a new agent registered at the same address");
        }
    }

    fn new_agent_id(&mut self) -> AgentId {
        let number = self.next_agent;
        self.next_agent += 1;
        format!("{}-S{number}", self.settings.master_info.id).into()
    }

    fn admit_agent(&mut self, agent_id: &AgentId, link: LinkId, register: Register) {
        let Register { mut agent, version, ip, tasks, executors, frameworks, .. } = register;
        agent.id = Some(agent_id.clone());
        let returning = !tasks.is_empty() || !executors.is_empty();
        self.allocator.add_agent(agent_id.clone(), agent.clone(), &[]);
        let entry = Agent {
            info: agent,
            ip,
            version,
            link: Some(link),
            registered: self.now,
            reregistered: returning.then_some(self.now),
            ping_due: self.now + self.settings.agent_ping_timeout,
            unanswered_pings: 0,
            overcommitted: false,
        };
        self.agents.insert(agent_id.clone(), entry);
        for info in frameworks {
            // After a restart the master learns of frameworks from agents, until they come back.
            let Some(id) = info.id.clone() else { continue };
            if !self.frameworks.contains_key(&id) && !self.removed_frameworks.contains(&id) {
                let framework = self.new_framework(info.clone());
                framework.next_due().into_iter().for_each(|due| self.wake_at(due));
                self.frameworks.insert(id.clone(), framework);
                self.allocator.update_framework(&id, info, &Default::default(), None);
                self.allocator.set_framework_active(&id, false);
            }
        }
        for record in executors {
            self.adopt_executor(agent_id, record.framework_id, record.executor);
        }
        for task in tasks {
            self.adopt_task(agent_id, task);
        }
    }

    fn adopt_executor(
        &mut self,
        agent_id: &AgentId,
        framework_id: FrameworkId,
        info: mesos_api::ExecutorInfo,
    ) {
        let Some(framework) = self.frameworks.get_mut(&framework_id) else {
            self.shutdown_framework_on(agent_id, &framework_id);
            return;
        };
        let key = (agent_id.clone(), info.executor_id.clone());
        if framework.executors.contains_key(&key) {
            return;
        }
        let role = framework.info.role().to_owned();
        let resources = allocated(&info.resources, &role);
        let record = ExecutorRecord { info, resources: resources.clone() };
        framework.executors.insert(key, record);
        self.take(&framework_id, agent_id, &resources);
    }

    /// A task an agent brings along lives on, even if its loss was reported before.
    fn adopt_task(&mut self, agent_id: &AgentId, mut task: Task) {
        task.agent_id = agent_id.clone();
        let framework_id = task.framework_id.clone();
        let Some(framework) = self.frameworks.get_mut(&framework_id) else {
            self.shutdown_framework_on(agent_id, &framework_id);
            return;
        };
        if let Some(record) = framework.tasks.get(&task.task_id) {
            if let Some(policy) = record.kill.clone() {
                let message = super::calls::kill_message(framework_id, task.task_id, policy);
                self.tell_agent(agent_id, message);
            }
            return;
        }
        let task_id = task.task_id.clone();
        framework.unreachable.remove(&task_id);
        framework.completed.retain(|completed| completed.task_id != task_id);
        let role = framework.info.role().to_owned();
        let state = task.state();
        let resources =
            if state.is_terminal() { Resources::new() } else { allocated(&task.resources, &role) };
        let record =
            TaskRecord { task, resources: resources.clone(), unacknowledged: None, kill: None };
        framework.tasks.insert(task_id.clone(), record);
        self.take(&framework_id, agent_id, &resources);
        if !state.is_terminal() {
            let reason = Some(Reason::AgentReregistered);
            let status = self.status(&task_id, state, reason, "Agent reregistered with the master");
            let status = status.at(agent_id).done();
            self.send_status(&framework_id, status);
        }
    }

    fn take(&mut self, id: &FrameworkId, agent_id: &AgentId, resources: &Resources) {
        let free = self.allocator.free(agent_id);
        let enough = free.is_some_and(|free| free.contains(&resources.unallocated()));
        self.allocator.take(id, agent_id, resources);
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.overcommitted |= !enough;
        }
    }

    /// The same agent on a new connection: what each side missed is made up.
    fn agent_is_back(&mut self, agent_id: &AgentId, link: LinkId, register: Register) {
        let now = self.now;
        let ping_due = now + self.settings.agent_ping_timeout;
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.link = Some(link);
            agent.reregistered = Some(now);
            agent.ping_due = ping_due;
            agent.unanswered_pings = 0;
            agent.version = register.version;
        }
        let reported: Vec<(FrameworkId, TaskId)> = register
            .tasks
            .iter()
            .map(|task| (task.framework_id.clone(), task.task_id.clone()))
            .collect();
        for (id, task_id) in self.tasks_on(agent_id) {
            let live = self
                .frameworks
                .get(&id)
                .and_then(|framework| framework.tasks.get(&task_id))
                .is_some_and(|record| !record.state().is_terminal());
            if live && !reported.contains(&(id.clone(), task_id.clone())) {
                let state = self.lost_or(&id, TaskState::Dropped);
                let reason = Some(Reason::Reconciliation);
                let status = self
                    .status(&task_id, state, reason, "Task is unknown to the agent")
                    .at(agent_id);
                self.end_task(&id, status.done());
            }
        }
        for record in register.executors {
            self.adopt_executor(agent_id, record.framework_id, record.executor);
        }
        for task in register.tasks {
            self.adopt_task(agent_id, task);
        }
    }

    fn tasks_on(&self, agent_id: &AgentId) -> Vec<(FrameworkId, TaskId)> {
        self.frameworks
            .iter()
            .flat_map(|(id, framework)| {
                framework.tasks_on(agent_id).into_iter().map(|task_id| (id.clone(), task_id))
            })
            .collect()
    }

    pub(super) fn agent_message(&mut self, link: LinkId, message: ToMaster) {
        let Some(agent_id) = self.links.get(&link).cloned() else { return };
        if let Some(update) = message.update {
            self.status_update(&agent_id, update);
        }
        if let Some(exited) = message.executor_exited {
            self.executor_exited(&agent_id, exited);
        }
        if let Some(message) = message.message {
            self.executor_message(&agent_id, message);
        }
        if message.pong.is_some()
            && let Some(agent) = self.agents.get_mut(&agent_id)
        {
            agent.unanswered_pings = 0;
        }
        if message.unregister.is_some() {
            self.remove_agent(&agent_id, "the agent unregistered");
        }
    }

    /// Tasks of frameworks that do not checkpoint die with the agent's process, as far as anybody
    /// can know; the others wait for its return.
    pub(super) fn agent_closed(&mut self, link: LinkId) {
        let Some(agent_id) = self.links.remove(&link) else { return };
        let give_up = self.now + self.ping_timeout();
        let Some(agent) = self.agents.get_mut(&agent_id) else { return };
        agent.link = None;
        agent.ping_due = give_up;
        let host = agent.info.hostname.clone();
        self.wake_at(give_up);
        self.allocator.set_agent_active(&agent_id, false);
        self.rescind_offers_of(&agent_id);
        let mortal: Vec<_> = self
            .frameworks
            .iter()
            .filter(|(_, framework)| !framework.info.checkpoint())
            .map(|(id, _)| id.clone())
            .collect();
        for id in mortal {
            self.end_all_on(
                &id,
                &agent_id,
                Reason::AgentDisconnected,
                &format!("Agent {host} disconnected"),
            );
        }
    }

    fn end_all_on(&mut self, id: &FrameworkId, agent_id: &AgentId, reason: Reason, message: &str) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let (tasks, executors) = (framework.tasks_on(agent_id), framework.executors_on(agent_id));
        for task_id in tasks {
            let status = self.status(&task_id, TaskState::Lost, Some(reason), message);
            self.end_task(id, status.at(agent_id).done());
        }
        for executor_id in executors {
            self.release_executor(id, agent_id, &executor_id);
        }
    }

    fn rescind_offers_of(&mut self, agent_id: &AgentId) {
        let there: Vec<_> = self
            .offers
            .values()
            .filter(|offer| offer.agent_id == *agent_id)
            .map(|offer| offer.id.clone())
            .collect();
        for offer_id in there {
            self.rescind(&offer_id);
        }
    }

    pub(super) fn ping_agents(&mut self) {
        let now = self.now;
        let due: Vec<_> = self
            .agents
            .iter()
            .filter(|(_, agent)| agent.ping_due <= now)
            .map(|(id, agent)| (id.clone(), agent.link, agent.unanswered_pings))
            .collect();
        for (agent_id, link, unanswered) in due {
            if link.is_none() || unanswered >= self.settings.max_agent_ping_timeouts {
                self.mark_unreachable(&agent_id);
                continue;
            }
            let next = now + self.settings.agent_ping_timeout;
            if let Some(agent) = self.agents.get_mut(&agent_id) {
                agent.ping_due = next;
                agent.unanswered_pings += 1;
            }
            self.tell_agent(&agent_id, ToAgent { ping: Some(Ping {}), ..ToAgent::default() });
        }
    }

    /// The agent does not answer; its tasks may still run, and it may return.
    fn mark_unreachable(&mut self, agent_id: &AgentId) {
        self.unreachable_agents.insert(agent_id.clone(), self.now);
        for (id, task_id) in self.tasks_on(agent_id) {
            let state = self.lost_or(&id, TaskState::Unreachable);
            let message = "Agent is unreachable: it failed to answer the master's pings";
            let status = self
                .status(&task_id, state, Some(Reason::AgentRemoved), message)
                .at(agent_id)
                .since(self.now)
                .done();
            if state == TaskState::Unreachable {
                self.set_aside(&id, &task_id, &status);
                self.send_status(&id, status);
            } else {
                self.end_task(&id, status);
            }
        }
        self.forget_agent(agent_id);
    }

    /// Keeps an unreachable task in mind, without resources.
    fn set_aside(&mut self, id: &FrameworkId, task_id: &TaskId, status: &mesos_api::TaskStatus) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let Some(mut record) = framework.tasks.remove(task_id) else { return };
        record.note(status);
        let agent_id = record.task.agent_id.clone();
        framework.unreachable.insert(task_id.clone(), record.task);
        self.recover(id, &agent_id, &record.resources);
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
    }

    fn forget_agent(&mut self, agent_id: &AgentId) {
        self.counters.agent_removals += 1;
        self.rescind_offers_of(agent_id);
        let ids: Vec<_> = self.frameworks.keys().cloned().collect();
        for id in &ids {
            let left =
                self.frameworks.get(id).map(|f| (f.tasks_on(agent_id), f.executors_on(agent_id)));
            let (tasks, executors) = left.unwrap_or_default();
            for executor_id in executors {
                self.release_executor(id, agent_id, &executor_id);
            }
            // Ended, but not acknowledged: with the agent nobody waits for it any more.
            for task_id in tasks {
                self.complete_task(id, &task_id);
            }
        }
        self.allocator.remove_agent(agent_id);
        if let Some(link) = self.agents.remove(agent_id).and_then(|agent| agent.link) {
            self.links.remove(&link);
            self.act(Action::CloseLink { link });
        }
        for id in &ids {
            let failure =
                event::Failure { agent_id: Some(agent_id.clone()), ..event::Failure::default() };
            self.send_failure(id, failure);
        }
    }
}

/// Resources of something the agent brought, allocated to the framework's role if they do not say.
fn allocated(resources: &[mesos_api::Resource], role: &str) -> Resources {
    resources
        .iter()
        .cloned()
        .map(|mut resource| {
            let info = AllocationInfo { role: Some(role.to_owned()) };
            resource.allocation_info.get_or_insert(info);
            resource
        })
        .collect()
}
