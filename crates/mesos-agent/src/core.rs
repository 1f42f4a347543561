//! The agent as a state machine: what runs, what it reported, and what the master knows of it.
//! [`Agent::handle`] takes an event and the time and returns what is to be done; the shell around it
//! starts processes, moves bytes and comes back at [`Agent::next_wakeup`].

mod ends;
mod environment;
mod event;
mod executor_calls;
mod kills;
mod launch;
mod limits;
mod record;
mod recover;
mod state;
mod updates;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use mesos_api::agent_protocol::{
    ExecutorRecord, FrameworkMessage, Pong, Register, ToAgent, ToMaster, Unregister,
};
use mesos_api::executor::{Event as ExecutorEvent, event as executor_event};
use mesos_api::{AgentId, AgentInfo, FrameworkId};

pub(crate) use environment::DOCKER_SANDBOX;
pub use event::{
    Action, Answer, ContainerKey, Ending, Event, LaunchSpec, Limitation, Program, RequestId,
    Signal, StreamId,
};
pub use limits::Limits;
pub use record::{ContainerRef, Record, Recovered, RecoveredContainer, RecoveredTask};
use state::{Container, Framework};
use updates::Updates;
pub use view::{ExecutorView, FrameworkView, Snapshot};

/// A point in time, since the epoch of Unix, which never goes back.
pub type Time = Duration;

/// What the core has to know of its flags and its surroundings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the agent tells about itself; the id comes from the master.
    pub info: AgentInfo,
    /// Address executors and others reach the agent at.
    pub ip: String,
    /// Folder of sandboxes and checkpoints.
    pub work_dir: PathBuf,
    /// It runs tasks in Docker containers.
    pub docker: bool,
    /// Version told to the master.
    pub version: String,
    /// Name and secret told to the master.
    pub credential: Option<(String, String)>,
    /// Executors must subscribe within this time.
    pub executor_registration_timeout: Duration,
    /// Executors must subscribe again within this time after a restart of the agent.
    pub executor_reregistration_timeout: Duration,
    /// Executors that checkpoint end by themselves if the agent is away for longer.
    pub recovery_timeout: Duration,
    /// Executors that were told to end are killed after this time.
    pub executor_shutdown_grace_period: Duration,
    /// Variables of every executor.
    pub executor_environment: BTreeMap<String, String>,
    /// Makes sixteen random bytes.
    pub new_uuid: fn() -> [u8; 16],
}

/// See the module.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    now: Time,
    linked: bool,
    /// The master has admitted the agent on this link, and may be told of tasks.
    admitted: bool,
    stopping: bool,
    frameworks: BTreeMap<FrameworkId, Framework>,
    containers: BTreeMap<ContainerKey, Container>,
    streams: BTreeMap<StreamId, ContainerKey>,
    updates: Updates,
    completed: Vec<ExecutorView>,
    actions: Vec<Action>,
}

impl Agent {
    /// Builds an agent that runs nothing and is not linked.
    #[must_use]
    pub fn new(settings: Settings, now: Time) -> Self {
        Self {
            settings,
            now,
            linked: false,
            admitted: false,
            stopping: false,
            frameworks: BTreeMap::new(),
            containers: BTreeMap::new(),
            streams: BTreeMap::new(),
            updates: Updates::default(),
            completed: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Takes an event, and does what has become due by `now`.
    pub fn handle(&mut self, event: Event, now: Time) -> Vec<Action> {
        self.now = now.max(self.now);
        match event {
            Event::Linked => self.register(),
            Event::Unlinked => {
                self.linked = false;
                self.admitted = false;
            }
            Event::FromMaster(message) => self.hear_master(message),
            Event::Launched { container, pid } => self.launched(&container, pid),
            Event::LaunchFailed { container, message } => self.launch_failed(&container, &message),
            Event::Exited { container, ending } => self.exited(&container, &ending),
            Event::ExecutorSubscribed { stream, call, answer_to } => {
                self.executor_subscribed(stream, call, answer_to);
            }
            Event::ExecutorClosed { stream } => self.executor_closed(stream),
            Event::ExecutorCall { request, call } => {
                let answer = self.executor_call(call);
                self.act(Action::Answer { request, answer });
            }
            Event::Tick => {}
            Event::Stop => self.stop(),
            Event::Leave => self.leave(),
        }
        self.do_what_is_due();
        std::mem::take(&mut self.actions)
    }

    /// When `handle` wants to be called at the latest, though nothing happened.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        let containers = self.containers.values().filter_map(|container| container.deadline);
        let retries = self.admitted.then(|| self.updates.next_due()).flatten();
        containers.chain(retries).min()
    }

    fn do_what_is_due(&mut self) {
        self.enforce_deadlines();
        if self.admitted {
            for update in self.updates.due(self.now) {
                self.tell_master(ToMaster { update: Some(update), ..ToMaster::default() });
            }
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Messages to an absent master are dropped: what matters is told again at registration.
    fn tell_master(&mut self, message: ToMaster) {
        if self.linked {
            self.act(Action::ToMaster(message));
        }
    }

    fn register(&mut self) {
        self.linked = true;
        self.admitted = false;
        let executors = self.containers.iter().filter(|(_, container)| container.is_custom()).map(
            |((framework_id, _), container)| ExecutorRecord {
                framework_id: framework_id.clone(),
                executor: container.executor.clone(),
            },
        );
        let credential = self.settings.credential.clone();
        let register = Register {
            agent: self.settings.info.clone(),
            version: self.settings.version.clone(),
            ip: self.settings.ip.clone(),
            tasks: self.known_tasks(),
            executors: executors.collect(),
            frameworks: self.frameworks.values().map(|framework| framework.info.clone()).collect(),
            principal: credential.as_ref().map(|(principal, _)| principal.clone()),
            secret: credential.map(|(_, secret)| secret),
        };
        self.tell_master(ToMaster { register: Some(register), ..ToMaster::default() });
    }

    /// The id the master gave.
    #[must_use]
    pub fn agent_id(&self) -> Option<&AgentId> {
        self.settings.info.id.as_ref()
    }

    fn hear_master(&mut self, message: ToAgent) {
        if self.stopping {
            return;
        }
        if let Some(registered) = message.registered {
            self.admitted = true;
            if self.settings.info.id.as_ref() != Some(&registered.agent_id) {
                self.settings.info.id = Some(registered.agent_id);
                self.save(Record::Agent(Box::new(self.settings.info.clone())));
            }
            // The master may have missed what was told to its predecessor or over the old link.
            self.updates.retry_all(self.now);
        }
        if message.ping.is_some() {
            self.tell_master(ToMaster { pong: Some(Pong {}), ..ToMaster::default() });
        }
        if let Some(run) = message.run_task {
            self.run_task(run.framework, run.task);
        }
        if let Some(run) = message.run_group {
            self.refuse_group(run.framework, run.group);
        }
        if let Some(kill) = message.kill_task {
            self.kill_task(&kill.framework_id, &kill.task_id, kill.kill_policy.as_ref());
        }
        if let Some(acknowledge) = message.acknowledge {
            self.acknowledged(&acknowledge);
        }
        if let Some(shutdown) = message.shutdown_executor {
            self.shutdown_container(&(shutdown.framework_id, shutdown.executor_id));
        }
        if let Some(shutdown) = message.shutdown_framework {
            self.shutdown_framework(&shutdown.framework_id);
        }
        if let Some(message) = message.message {
            self.message_to_executor(message);
        }
        if let Some(shutdown) = message.shutdown {
            self.start_over(&shutdown.reason);
        }
        if let Some(refused) = message.refused {
            self.act(Action::Refused { reason: refused.reason });
        }
    }

    fn message_to_executor(&mut self, message: FrameworkMessage) {
        let key = (message.framework_id, message.executor_id);
        let stream = self.containers.get(&key).and_then(|container| container.stream);
        let Some(stream) = stream else {
            tracing::warn!(framework = %key.0, executor = %key.1, "message to an executor that does not listen dropped");
            return;
        };
        let event = ExecutorEvent {
            r#type: Some(executor_event::Type::Message.into()),
            message: Some(executor_event::Message { data: message.data }),
            ..ExecutorEvent::default()
        };
        self.act(Action::ToExecutor { stream, event });
    }

    /// The master does not know this agent any more: everything dies, then it joins as a new one.
    fn start_over(&mut self, reason: &str) {
        tracing::warn!(%reason, "the master removed this agent; it joins as a new one");
        let keys: Vec<_> = self.containers.keys().cloned().collect();
        for key in keys {
            self.destroy(&key);
        }
        self.frameworks.clear();
        self.updates = Updates::default();
        self.settings.info.id = None;
        self.save(Record::NoAgent);
        self.linked = false;
        self.admitted = false;
        self.act(Action::Relink);
    }

    /// The agent stops for good.
    fn stop(&mut self) {
        self.stopping = true;
        self.tell_master(ToMaster { unregister: Some(Unregister {}), ..ToMaster::default() });
        self.save(Record::NoAgent);
        let keys: Vec<_> = self.containers.keys().cloned().collect();
        for key in keys {
            self.act(Action::Signal { container: key, signal: Signal::Terminate });
        }
    }

    /// The agent's process ends, to be followed by another.
    fn leave(&mut self) {
        self.stopping = true;
        for key in self.mortal_containers() {
            self.act(Action::Signal { container: key, signal: Signal::Terminate });
        }
    }

    /// Containers that end with the agent's process: those of frameworks that do not checkpoint.
    fn mortal_containers(&self) -> Vec<ContainerKey> {
        let mortal = |key: &&ContainerKey| !self.checkpoints(&key.0);
        self.containers.keys().filter(mortal).cloned().collect()
    }

    /// Whether something still runs that must not outlive the agent's process; all of it, if the
    /// agent stops for good.
    #[must_use]
    pub fn awaits_ends(&self, for_good: bool) -> bool {
        if for_good { !self.containers.is_empty() } else { !self.mortal_containers().is_empty() }
    }

    /// Kills at once what still runs: everything, or what must not outlive the agent's process.
    #[must_use]
    pub fn kill_everything(&mut self, for_good: bool) -> Vec<Action> {
        let keys: Vec<_> = if for_good {
            self.containers.keys().cloned().collect()
        } else {
            self.mortal_containers()
        };
        for key in keys {
            self.destroy(&key);
        }
        std::mem::take(&mut self.actions)
    }

    /// Whether a framework's containers outlive the agent's process.
    fn checkpoints(&self, framework_id: &FrameworkId) -> bool {
        self.frameworks.get(framework_id).is_some_and(|framework| framework.info.checkpoint())
    }

    fn save(&mut self, record: Record) {
        self.act(Action::Save(record));
    }

    /// Forgets a framework of which nothing runs and nothing is to be told.
    fn forget_quiet_framework(&mut self, framework_id: &FrameworkId) {
        let busy = self.containers.keys().any(|(framework, _)| framework == framework_id);
        if busy || self.updates.has_any_of(framework_id) {
            return;
        }
        if let Some(framework) = self.frameworks.remove(framework_id)
            && framework.info.checkpoint()
        {
            self.save(Record::NoFramework(framework_id.clone()));
        }
    }

    fn new_uuid(&self) -> Bytes {
        Bytes::copy_from_slice(&(self.settings.new_uuid)())
    }
}

#[cfg(test)]
mod tests;
