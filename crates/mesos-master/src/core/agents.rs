//! Agents: admitted, pinged, back again.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use mesos_api::agent_protocol::{Ping, Refused, Register, Registered, ToAgent, ToMaster};
use mesos_api::resource::AllocationInfo;
use mesos_api::task_status::Reason;
use mesos_api::{
    AgentId, AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, Resources, Task, TaskId, TaskState,
    WireFormat,
};

use super::Master;
use super::event::{Action, LinkId};
use super::registry::{AgentRecord, Change, Standing};
use super::state::{Agent, Drain, TaskRecord, Unreachable};

impl Master {
    pub(super) fn register_agent(&mut self, link: LinkId, mut register: Register) {
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
        register.agent.id = Some(agent_id.clone());
        if let Some(old) = self.agents.get_mut(&agent_id).and_then(|agent| agent.link.take()) {
            self.links.remove(&old);
            self.act(Action::CloseLink { link: old });
        }
        self.links.insert(link, agent_id.clone());
        let message = Registered {
            agent_id: agent_id.clone(),
            ping_timeout_seconds: self.ping_timeout().as_secs_f64(),
        };
        let message = ToAgent { registered: Some(message), ..ToAgent::default() };
        self.act(Action::ToAgent { link, message });
        if self.agents.contains_key(&agent_id) {
            self.counters.agent_reregistrations += 1;
            self.agent_is_back(&agent_id, link, register);
        } else {
            self.admit_agent(&agent_id, link, register);
        }
        self.agent_timers.set(agent_id.clone(), self.now + self.settings.agent_ping_timeout);
        self.note_activity(&agent_id);
        self.resume_drain(&agent_id);
        self.request_allocation();
    }

    /// How long an agent may be silent.
    pub(super) fn ping_timeout(&self) -> std::time::Duration {
        self.settings.agent_ping_timeout * self.settings.max_agent_ping_timeouts
    }

    /// Tells the allocator whether an agent takes work.
    pub(super) fn note_activity(&mut self, agent_id: &AgentId) {
        let active = self.agents.get(agent_id).is_some_and(Agent::is_active);
        self.allocator.set_agent_active(agent_id, active);
    }

    fn why_refuse_agent(&self, back: Option<&AgentId>, register: &Register) -> Option<String> {
        if back.is_some_and(|id| self.gone_agents.contains_key(id)) {
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

    /// An agent that is new, or new to this master, or comes back after it was unreachable.
    fn admit_agent(&mut self, agent_id: &AgentId, link: LinkId, register: Register) {
        let Register { mut agent, version, ip, tasks, executors, frameworks, .. } = register;
        let recovered = self.recovered_agents.remove(agent_id);
        let was_unreachable = self.unreachable_agents.remove(agent_id);
        let known = recovered.or(was_unreachable);
        let returning = known.is_some() || !tasks.is_empty() || !executors.is_empty();
        if returning {
            self.counters.agent_reregistrations += 1;
        } else {
            self.counters.agent_registrations += 1;
        }
        if let Some(known) = &known {
            let total = Self::with_reservations(&agent.resources, &known.info.resources);
            agent.resources = total.to_wire(WireFormat::PostRefinement);
        }
        let agent = Arc::new(agent);
        self.allocator.add_agent(agent_id.clone(), Arc::clone(&agent), &[]);
        let entry = Agent {
            info: agent,
            ip,
            version,
            link: Some(link),
            registered: self.now,
            reregistered: returning.then_some(self.now),
            unanswered_pings: 0,
            overcommitted: false,
            deactivated: known.as_ref().is_some_and(|known| known.deactivated),
            drain: known.and_then(|known| known.drain),
            tasks: BTreeSet::new(),
            executors: BTreeSet::new(),
            offers: BTreeSet::new(),
            used: Resources::new(),
            offered: Resources::new(),
            view: OnceLock::new(),
        };
        self.agents.insert(agent_id.clone(), entry);
        self.store_agent(agent_id);
        for info in frameworks {
            self.recover_framework(info);
        }
        for record in executors {
            self.adopt_executor(agent_id, &record.framework_id, &record.executor);
        }
        for task in tasks {
            self.adopt_task(agent_id, task);
        }
        self.miss_unreachable_tasks(agent_id);
        self.publish_agent_added(agent_id);
    }

    /// Writes an agent as it is now to the registry.
    pub(super) fn store_agent(&mut self, agent_id: &AgentId) {
        let nanoseconds =
            |time: crate::allocator::Time| u64::try_from(time.as_nanos()).unwrap_or(0);
        let record =
            |info: &AgentInfo, standing: Standing, since, deactivated, drain: Option<&Drain>| {
                AgentRecord {
                    info: info.clone(),
                    standing: standing.into(),
                    since: nanoseconds(since),
                    deactivated,
                    drain: drain.map(|drain| drain.config.clone()),
                }
            };
        let of_lost = |lost: &Unreachable, standing| {
            record(&lost.info, standing, lost.since, lost.deactivated, lost.drain.as_ref())
        };
        let record = if let Some(agent) = self.agents.get(agent_id) {
            let Agent { info, registered, deactivated, drain, .. } = agent;
            Some(record(info, Standing::Admitted, *registered, *deactivated, drain.as_ref()))
        } else if let Some(lost) = self.recovered_agents.get(agent_id) {
            Some(of_lost(lost, Standing::Admitted))
        } else if let Some(lost) = self.unreachable_agents.get(agent_id) {
            Some(of_lost(lost, Standing::Unreachable))
        } else {
            let since = self.gone_agents.get(agent_id);
            since.map(|since| record(&AgentInfo::default(), Standing::Gone, *since, false, None))
        };
        self.act(Action::Store { change: Change::agent(agent_id, record.as_ref()) });
    }

    fn adopt_executor(&mut self, agent_id: &AgentId, id: &FrameworkId, info: &ExecutorInfo) {
        let Some(framework) = self.frameworks.get(id) else {
            self.shutdown_framework_on(agent_id, id);
            return;
        };
        let key = (agent_id.clone(), info.executor_id.clone());
        if framework.executors.contains_key(&key) {
            return;
        }
        let resources = allocated(&info.resources, &self.first_role(id));
        self.keep_executor(id, agent_id, info, resources.clone());
        self.take(id, agent_id, &resources);
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
        let state = task.state();
        let resources = if state.is_terminal() {
            Resources::new()
        } else {
            allocated(&task.resources, &self.first_role(&framework_id))
        };
        let record = TaskRecord {
            task: Arc::new(task),
            resources: resources.clone(),
            unacknowledged: None,
            kill: None,
        };
        self.keep_task(&framework_id, record);
        self.take(&framework_id, agent_id, &resources);
        if !state.is_terminal() {
            let reason = Some(Reason::AgentReregistered);
            let status = self.status(&task_id, state, reason, "Agent reregistered with the master");
            let status = status.at(agent_id).done();
            self.send_status(&framework_id, status);
        }
    }

    /// Charges what an agent brought along, even beyond what it has.
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
        let Register { mut agent, version, ip, tasks, executors, frameworks, .. } = register;
        if let Some(known) = self.agents.get_mut(agent_id) {
            known.link = Some(link);
            known.reregistered = Some(self.now);
            known.unanswered_pings = 0;
            known.version = version;
            known.ip = ip;
            let total = Self::with_reservations(&agent.resources, &known.info.resources);
            agent.resources = total.to_wire(WireFormat::PostRefinement);
        }
        self.note_changed_agent(agent_id, agent);
        let reported: BTreeSet<(FrameworkId, TaskId)> =
            tasks.iter().map(|task| (task.framework_id.clone(), task.task_id.clone())).collect();
        for (id, task_id) in self.tasks_on(agent_id) {
            let record = self.frameworks.get(&id).and_then(|f| f.tasks.get(&task_id));
            let live = record.is_some_and(|record| !record.state().is_terminal());
            if live && !reported.contains(&(id.clone(), task_id.clone())) {
                let state = self.lost_or(&id, TaskState::Dropped);
                let reason = Some(Reason::Reconciliation);
                let status = self
                    .status(&task_id, state, reason, "Task is unknown to the agent")
                    .at(agent_id);
                self.end_task(&id, status.done());
            }
        }
        let running: BTreeSet<(FrameworkId, ExecutorId)> = executors
            .iter()
            .map(|record| (record.framework_id.clone(), record.executor.executor_id.clone()))
            .collect();
        let ended = self.executors_on(agent_id);
        for (id, executor_id) in ended.into_iter().filter(|key| !running.contains(key)) {
            self.release_executor(&id, agent_id, &executor_id);
        }
        for info in frameworks {
            self.recover_framework(info);
        }
        for record in executors {
            self.adopt_executor(agent_id, &record.framework_id, &record.executor);
        }
        for task in tasks {
            self.adopt_task(agent_id, task);
        }
    }

    /// Any change of an agent's attributes and resources is taken over.
    fn note_changed_agent(&mut self, agent_id: &AgentId, said: AgentInfo) {
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        let same = Resources::from(said.resources.as_slice())
            == Resources::from(agent.info.resources.as_slice())
            && said.attributes == agent.info.attributes
            && said.hostname == agent.info.hostname
            && said.port == agent.info.port
            && said.domain == agent.info.domain;
        if same {
            return;
        }
        self.rescind_offers_on(agent_id);
        let info = Arc::new(said);
        self.allocator.update_agent(agent_id, Arc::clone(&info));
        let total = self.allocator.total(agent_id).cloned().unwrap_or_default();
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.info = info;
            agent.overcommitted |= !total.contains(&agent.used.unallocated());
        }
        self.store_agent(agent_id);
    }

    pub(super) fn tasks_on(&self, agent_id: &AgentId) -> Vec<(FrameworkId, TaskId)> {
        let agent = self.agents.get(agent_id);
        agent.map(|agent| agent.tasks.iter().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn executors_on(&self, agent_id: &AgentId) -> Vec<(FrameworkId, ExecutorId)> {
        let agent = self.agents.get(agent_id);
        agent.map(|agent| agent.executors.iter().cloned().collect()).unwrap_or_default()
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
            && let Some(unanswered) = self.agents.unanswered_pings(&agent_id)
        {
            *unanswered = 0;
        }
        if message.unregister.is_some() {
            self.remove_agent(&agent_id, "the agent unregistered");
        }
    }

    /// Pings, and the end of patience with agents that do not answer or return.
    pub(super) fn serve_agent_timers(&mut self) {
        while let Some(agent_id) = self.agent_timers.pop(self.now) {
            if self.recovered_agents.contains_key(&agent_id) {
                self.give_up_recovered(&agent_id);
                continue;
            }
            let Some(agent) = self.agents.get(&agent_id) else { continue };
            let silent = agent.unanswered_pings >= self.settings.max_agent_ping_timeouts;
            if agent.link.is_none() || silent {
                self.mark_unreachable(&agent_id);
                continue;
            }
            if let Some(unanswered) = self.agents.unanswered_pings(&agent_id) {
                *unanswered += 1;
            }
            self.agent_timers.set(agent_id.clone(), self.now + self.settings.agent_ping_timeout);
            self.tell_agent(&agent_id, ToAgent { ping: Some(Ping {}), ..ToAgent::default() });
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
