//! A seeded simulation of a master, agents and frameworks on a fake clock: messages take their time,
//! connections break, agents are cut off or crash, schedulers fail over, and the master is killed and
//! started anew from its registry. Links are in order, as TCP is; what is lost is lost with its link.
//!
//! Checked throughout: no resource is offered or used twice, and no ended task runs again (LOST is no
//! end: an agent may return). Checked after a quiet time: every update is acknowledged, schedulers and
//! agents agree on each task, and no task was killed that nobody wanted killed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesos_api::agent_protocol::{
    KillTask, Pong, Register, RunTask, StatusUpdate, ToAgent, ToMaster,
};
use mesos_api::framework_info::CapabilityType;
use mesos_api::offer::Operation;
use mesos_api::scheduler::call::{self, Type};
use mesos_api::scheduler::{Call, Event as Told};
use mesos_api::task_status::Reason;
use mesos_api::{
    AgentId, AgentInfo, CommandInfo, Filters, FrameworkId, FrameworkInfo, MasterInfo, Offer,
    Resources, Task, TaskId, TaskInfo, TaskState, TaskStatus, WireFormat,
};
use mesos_master::allocator::Time;
use mesos_master::core::registry::Registry;
use mesos_master::core::{Acls, Action, Event, LinkId, Master, RequestId, Settings, StreamId};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const AGENTS: usize = 4;
const FRAMEWORKS: usize = 3;

/// How long things go wrong, and how long everything then has to settle: longer than agents have to
/// return and updates to be sent again.
const TROUBLE: Time = Time::from_secs(120);
const QUIET: Time = Time::from_secs(400);

/// An update is sent again after this time.
const RESEND: Time = Time::from_secs(10);

#[derive(Debug)]
enum Step {
    ToMaster(Event),
    ToAgent(usize, LinkId, ToAgent),
    ToFramework(usize, StreamId, Told),
    /// The other side learns that the connection is gone.
    LinkLost(usize, LinkId),
    StreamLost(usize, StreamId),
    Connect(usize),
    Subscribe(usize),
    Advance(usize, FrameworkId, TaskId, TaskState),
    Resend(usize),
    Trouble,
    Reconcile(usize),
}

#[derive(Clone, Debug)]
struct Running {
    task: Task,
    checkpoint: bool,
    pending: VecDeque<TaskStatus>,
}

impl Running {
    /// As the agent tells a new master: the latest state, and the one of the update it sends.
    fn reported(&self) -> Task {
        let sent = self.pending.front().map_or(self.task.state, |status| status.state);
        Task { status_update_state: Some(sent), ..self.task.clone() }
    }
}

#[derive(Debug, Default)]
struct AgentModel {
    id: Option<AgentId>,
    link: Option<LinkId>,
    frameworks: BTreeMap<FrameworkId, FrameworkInfo>,
    tasks: BTreeMap<(FrameworkId, TaskId), Running>,
    /// Messages do not get through until then.
    cut_off_until: Time,
}

#[derive(Debug, Default)]
struct FrameworkModel {
    id: Option<FrameworkId>,
    stream: Option<StreamId>,
    /// The latest state heard of each task.
    known: BTreeMap<TaskId, TaskState>,
    wanted_killed: BTreeSet<TaskId>,
    /// How often the state of a task was asked for on this stream, if only by KILL, and not answered yet.
    asked: BTreeMap<TaskId, u32>,
    agents: BTreeMap<TaskId, AgentId>,
}

/// See the module.
pub(crate) struct Simulation {
    random: StdRng,
    now: Time,
    master: Master,
    disk: BTreeMap<String, Vec<u8>>,
    queue: BTreeMap<(Time, u64), Step>,
    next_step: u64,
    agents: Vec<AgentModel>,
    frameworks: Vec<FrameworkModel>,
    /// When the last message on a link or stream arrives; the next comes later.
    order: BTreeMap<String, Time>,
    next_name: u64,
    masters: u64,
    troubled: bool,
    handled: u64,
    /// What broke.
    pub(crate) broken: Option<String>,
    /// Tasks launched.
    pub(crate) launched: u64,
    /// Things that went wrong on purpose.
    pub(crate) faults: u64,
    /// What happened, line by line, if it is wanted: who looks into a seed that breaks wants it.
    pub(crate) trace: Option<Vec<String>>,
}

fn settings(master: u64) -> Settings {
    Settings {
        master_info: MasterInfo { id: format!("M{master}"), ..MasterInfo::default() },
        offer_timeout: Some(Time::from_secs(30)),
        agent_ping_timeout: Time::from_secs(5),
        max_agent_ping_timeouts: 3,
        allocation_delay: Time::from_millis(3),
        allocation_interval: Time::from_secs(1),
        heartbeat_interval: Time::from_secs(15),
        max_completed_frameworks: 5,
        max_completed_tasks_per_framework: 1000,
        weights: BTreeMap::new(),
        roles: BTreeSet::new(),
        agent_reregister_timeout: Time::from_secs(100),
        filter_gpu_resources: true,
        acls: Acls::default(),
    }
}

impl Simulation {
    /// Prepares a world.
    pub(crate) fn new(seed: u64) -> Self {
        let now = Time::from_secs(1000);
        let mut simulation = Self {
            random: StdRng::seed_from_u64(seed),
            now,
            master: Master::new(settings(0), now),
            disk: BTreeMap::new(),
            queue: BTreeMap::new(),
            next_step: 0,
            agents: (0..AGENTS).map(|_| AgentModel::default()).collect(),
            frameworks: (0..FRAMEWORKS).map(|_| FrameworkModel::default()).collect(),
            order: BTreeMap::new(),
            next_name: 0,
            masters: 0,
            troubled: true,
            handled: 0,
            broken: None,
            launched: 0,
            faults: 0,
            trace: None,
        };
        for agent in 0..AGENTS {
            simulation.later(50, Step::Connect(agent));
            simulation.later(RESEND.as_millis() as u64, Step::Resend(agent));
        }
        for framework in 0..FRAMEWORKS {
            simulation.later(50, Step::Subscribe(framework));
            simulation.later(20_000, Step::Reconcile(framework));
        }
        simulation.later(3000, Step::Trouble);
        simulation
    }

    /// Runs to the end; what broke is in `broken`.
    pub(crate) fn run(&mut self) {
        let end = self.now + TROUBLE + QUIET;
        let calm = self.now + TROUBLE;
        while self.broken.is_none() {
            let step = self.queue.first_key_value().map(|((at, _), _)| *at);
            let wakeup = self.master.next_wakeup();
            let next = [step, wakeup].into_iter().flatten().min().unwrap_or(end);
            if next >= end {
                break;
            }
            self.now = self.now.max(next);
            self.troubled &= self.now < calm;
            if wakeup.is_some_and(|at| at <= self.now) {
                self.handle(Event::Tick);
                continue;
            }
            if let Some((_, step)) = self.queue.pop_first() {
                self.step(step);
            }
        }
        if self.broken.is_none() {
            self.check_end();
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:9.3} {}", self.now.as_secs_f64(), line()));
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn later(&mut self, milliseconds: u64, step: Step) {
        let jitter = self.random.random_range(0..=milliseconds.max(1));
        let at = self.now + Time::from_millis(milliseconds / 2 + jitter);
        self.queue.insert((at, self.next_step), step);
        self.next_step += 1;
    }

    /// Sends on a connection: after what was sent before, unless the agent is cut off.
    fn send(&mut self, connection: &str, not_before: Time, step: Step) {
        let delay = if self.chance(5) { 2000 } else { 20 };
        let delay = Time::from_millis(self.random.random_range(0..delay));
        let last = self.order.get(connection).copied().unwrap_or_default();
        let at = (self.now + delay).max(last).max(not_before);
        self.order.insert(connection.to_owned(), at);
        self.queue.insert((at, self.next_step), step);
        self.next_step += 1;
    }

    fn tell_master(&mut self, agent: usize, message: ToMaster) {
        let Some(link) = self.agents[agent].link else { return };
        let until = self.agents[agent].cut_off_until;
        let step = Step::ToMaster(Event::AgentMessage { link, message });
        self.send(&format!("up{}", link.0), until, step);
    }

    fn call(&mut self, framework: usize, call: Call) {
        let Some(stream) = self.frameworks[framework].stream.clone() else { return };
        let call = Call { framework_id: self.frameworks[framework].id.clone(), ..call };
        let name = format!("calls {stream}");
        let request = RequestId(0);
        let event = Event::Call { request, call, stream: Some(stream), principal: None };
        self.send(&name, Time::ZERO, Step::ToMaster(event));
    }

    fn handle(&mut self, event: Event) {
        let actions = self.master.handle(event, self.now);
        for action in actions {
            match action {
                Action::Store { change } => match change.value {
                    Some(value) => drop(self.disk.insert(change.key, value.to_vec())),
                    None => drop(self.disk.remove(&change.key)),
                },
                Action::Send { stream, event } => {
                    let Some(number) = number_of(&stream.0) else { continue };
                    let name = stream.0.clone();
                    if let Some(update) = &event.update {
                        self.note(|| format!("the master tells {number} {}", said(&update.status)));
                    }
                    self.send(&name, Time::ZERO, Step::ToFramework(number, stream, event));
                }
                Action::CloseStream { stream } => {
                    let Some(number) = number_of(&stream.0) else { continue };
                    let name = stream.0.clone();
                    self.send(&name, Time::ZERO, Step::StreamLost(number, stream));
                }
                Action::ToAgent { link, message } => {
                    let number = agent_of(link);
                    let until = self.agents[number].cut_off_until;
                    let step = Step::ToAgent(number, link, message);
                    self.send(&format!("down{}", link.0), until, step);
                }
                Action::CloseLink { link } => {
                    let number = agent_of(link);
                    let until = self.agents[number].cut_off_until;
                    let step = Step::LinkLost(number, link);
                    self.send(&format!("down{}", link.0), until, step);
                }
                Action::Answer { .. } | Action::Publish { .. } => {}
            }
        }
        self.handled += 1;
        if self.handled.is_multiple_of(16) {
            self.check_resources();
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::ToMaster(event) => {
                if let Event::Call { call, .. } = &event
                    && let Some(reconcile) = &call.reconcile
                {
                    let tasks: Vec<_> = reconcile.tasks.iter().map(|t| &t.task_id.value).collect();
                    let asker = call.framework_id.clone().unwrap_or_default();
                    self.note(|| format!("{asker}'s question of {tasks:?} arrives"));
                }
                self.handle(event);
            }
            Step::ToAgent(agent, link, message) => {
                if self.agents[agent].link == Some(link) {
                    self.agent_hears(agent, message);
                }
            }
            Step::ToFramework(framework, stream, event) => {
                if self.frameworks[framework].stream.as_ref() == Some(&stream) {
                    self.framework_hears(framework, event);
                }
            }
            Step::LinkLost(agent, link) => {
                if self.agents[agent].link == Some(link) {
                    self.agents[agent].link = None;
                    self.later(500, Step::Connect(agent));
                }
            }
            Step::StreamLost(framework, stream) => {
                if self.frameworks[framework].stream.as_ref() == Some(&stream) {
                    self.frameworks[framework].stream = None;
                    self.later(500, Step::Subscribe(framework));
                }
            }
            Step::Connect(agent) => self.connect(agent),
            Step::Subscribe(framework) => self.subscribe(framework),
            Step::Advance(agent, framework, task, state) => {
                self.advance(agent, &framework, &task, state);
            }
            Step::Resend(agent) => {
                let keys: Vec<_> = self.agents[agent].tasks.keys().cloned().collect();
                for key in keys {
                    self.send_first(agent, &key);
                }
                self.later(RESEND.as_millis() as u64, Step::Resend(agent));
            }
            Step::Reconcile(framework) => {
                self.reconcile(framework);
                self.later(20_000, Step::Reconcile(framework));
            }
            Step::Trouble if self.troubled => {
                self.trouble();
                self.later(2000, Step::Trouble);
            }
            Step::Trouble => {}
        }
    }

    fn trouble(&mut self) {
        self.faults += 1;
        let agent = self.random.random_range(0..AGENTS);
        let framework = self.random.random_range(0..FRAMEWORKS);
        let kind = self.random.random_range(0..100);
        self.note(|| match kind {
            0..30 => format!("the link of agent {agent} breaks"),
            30..50 => format!("the stream of framework {framework} breaks"),
            50..70 => format!("agent {agent} is cut off for a while"),
            70..85 => format!("agent {agent} crashes"),
            85..93 => "the master is started anew".to_owned(),
            _ => format!("framework {framework} kills something"),
        });
        match kind {
            0..30 => self.break_link(agent),
            30..50 => self.break_stream(framework),
            50..70 => {
                let seconds = self.random.random_range(1..60);
                self.agents[agent].cut_off_until = self.now + Time::from_secs(seconds);
            }
            70..85 => self.crash_agent(agent),
            85..93 => self.restart_master(),
            _ => self.kill_something(framework),
        }
    }

    /// What is under way on the link is lost; the master notices by itself, and later.
    fn break_link(&mut self, agent: usize) {
        let Some(link) = self.agents[agent].link.take() else { return };
        self.queue.retain(|_, step| match step {
            Step::ToAgent(_, on, _) => *on != link,
            Step::ToMaster(
                Event::AgentMessage { link: on, .. } | Event::AgentConnected { link: on, .. },
            ) => *on != link,
            _ => true,
        });
        self.later(300, Step::ToMaster(Event::AgentClosed { link }));
        self.later(800, Step::Connect(agent));
    }

    fn break_stream(&mut self, framework: usize) {
        let Some(stream) = self.frameworks[framework].stream.take() else { return };
        self.queue.retain(|_, step| match step {
            Step::ToFramework(_, on, _) | Step::ToMaster(Event::Subscribe { stream: on, .. }) => {
                *on != stream
            }
            Step::ToMaster(Event::Call { stream: on, .. }) => on.as_ref() != Some(&stream),
            _ => true,
        });
        self.later(300, Step::ToMaster(Event::StreamClosed { stream }));
        self.later(800, Step::Subscribe(framework));
    }

    /// Tasks of frameworks that do not checkpoint die with the agent; updates are kept on disk.
    fn crash_agent(&mut self, agent: usize) {
        self.break_link(agent);
        self.agents[agent].tasks.retain(|_, running| running.checkpoint);
    }

    fn restart_master(&mut self) {
        self.masters += 1;
        let entries = self.disk.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        let registry = Registry::read(entries).expect("the registry is sound");
        self.master = Master::recover(settings(self.masters), registry, self.now);
        self.queue.retain(|_, step| {
            !matches!(step, Step::ToMaster(_) | Step::ToAgent(..) | Step::ToFramework(..))
        });
        for agent in 0..AGENTS {
            if let Some(link) = self.agents[agent].link {
                self.later(300, Step::LinkLost(agent, link));
            }
        }
        for framework in 0..FRAMEWORKS {
            if let Some(stream) = self.frameworks[framework].stream.clone() {
                self.later(300, Step::StreamLost(framework, stream));
            }
        }
    }

    fn kill_something(&mut self, framework: usize) {
        let live = self.frameworks[framework].known.iter().find(|(_, state)| !is_over(**state));
        let Some(task_id) = live.map(|(id, _)| id.clone()) else { return };
        self.frameworks[framework].wanted_killed.insert(task_id.clone());
        *self.frameworks[framework].asked.entry(task_id.clone()).or_default() += 1;
        let kill = Some(call::Kill { task_id, ..call::Kill::default() });
        self.call(framework, Call { r#type: Some(Type::Kill.into()), kill, ..Call::default() });
    }

    fn connect(&mut self, agent: usize) {
        if self.agents[agent].link.is_some() {
            return;
        }
        self.next_name += 1;
        let link = LinkId(self.next_name * AGENTS as u64 + agent as u64);
        let own = self.agents[agent].id.clone();
        self.note(|| format!("agent {agent}, known to itself as {own:?}, connects"));
        let model = &mut self.agents[agent];
        model.link = Some(link);
        let resources =
            Resources::parse("cpus:4;mem:1024;ports:[31000-31009]", "*").unwrap_or_default();
        let register = Register {
            agent: AgentInfo {
                id: model.id.clone(),
                hostname: format!("h{agent}"),
                port: Some(5051 + agent as i32),
                resources: resources.to_wire(WireFormat::PostRefinement),
                ..AgentInfo::default()
            },
            ip: "127.0.0.1".into(),
            tasks: model.tasks.values().map(Running::reported).collect(),
            frameworks: model.frameworks.values().cloned().collect(),
            ..Register::default()
        };
        let until = model.cut_off_until;
        let step = Step::ToMaster(Event::AgentConnected { link, register });
        self.send(&format!("up{}", link.0), until, step);
        let keys: Vec<_> = self.agents[agent].tasks.keys().cloned().collect();
        for key in keys {
            self.send_first(agent, &key);
        }
    }

    fn subscribe(&mut self, framework: usize) {
        if self.frameworks[framework].stream.is_some() {
            return;
        }
        self.next_name += 1;
        let stream = StreamId(format!("{framework}:{}", self.next_name));
        self.frameworks[framework].stream = Some(stream.clone());
        self.frameworks[framework].asked.clear();
        let mut capabilities = vec![CapabilityType::TaskKillingState.into()];
        if framework != 0 {
            capabilities.push(CapabilityType::PartitionAware.into());
        }
        let framework_info = FrameworkInfo {
            id: self.frameworks[framework].id.clone(),
            name: format!("f{framework}"),
            failover_timeout: Some(7200.0),
            checkpoint: Some(framework != 1),
            role: Some(["*", "dev", "dev/web"][framework].to_owned()),
            capabilities,
            ..FrameworkInfo::default()
        };
        let subscribe = call::Subscribe { framework_info, ..call::Subscribe::default() };
        let name = format!("calls {stream}");
        let event = Event::Subscribe { stream, subscribe, principal: None };
        self.send(&name, Time::ZERO, Step::ToMaster(event));
    }

    fn agent_hears(&mut self, agent: usize, message: ToAgent) {
        if let Some(registered) = message.registered {
            self.note(|| format!("agent {agent} hears that it is {}", registered.agent_id));
            self.agents[agent].id = Some(registered.agent_id);
        }
        if message.ping.is_some() {
            self.tell_master(agent, ToMaster { pong: Some(Pong {}), ..ToMaster::default() });
        }
        if let Some(run) = message.run_task {
            self.run_task(agent, run);
        }
        if let Some(KillTask { framework_id, task_id, .. }) = message.kill_task {
            self.advance(agent, &framework_id, &task_id, TaskState::Killed);
        }
        if let Some(acknowledge) = message.acknowledge {
            let key = (acknowledge.framework_id, acknowledge.task_id);
            self.acknowledged(agent, &key, &acknowledge.uuid);
        }
        if let Some(shutdown) = message.shutdown_framework {
            let own = self.agents[agent].tasks.keys().any(|(id, _)| *id == shutdown.framework_id);
            if own {
                self.broken =
                    Some(format!("agent {agent} must shut {} down", shutdown.framework_id));
            }
        }
        if message.shutdown.is_some() || message.refused.is_some() {
            self.broken = Some(format!("agent {agent} is sent away"));
        }
    }

    fn run_task(&mut self, agent: usize, run: RunTask) {
        let RunTask { framework, task } = run;
        let Some(id) = framework.id.clone() else { return };
        let key = (id.clone(), task.task_id.clone());
        self.note(|| format!("agent {agent} runs {} as {}", task.task_id, task.agent_id));
        let running = Running {
            task: Task {
                name: task.name.clone(),
                task_id: task.task_id.clone(),
                framework_id: id.clone(),
                agent_id: task.agent_id.clone(),
                resources: task.resources.clone(),
                state: TaskState::Staging.into(),
                ..Task::default()
            },
            checkpoint: framework.checkpoint(),
            pending: VecDeque::new(),
        };
        let model = &mut self.agents[agent];
        model.frameworks.insert(id.clone(), framework);
        if model.tasks.insert(key, running).is_some() {
            self.broken = Some(format!("task {} was launched twice", task.task_id));
        }
        self.later(100, Step::Advance(agent, id.clone(), task.task_id.clone(), TaskState::Running));
        let end = if self.chance(80) { TaskState::Finished } else { TaskState::Failed };
        let length = self.random.random_range(500..60_000);
        self.later(length, Step::Advance(agent, id, task.task_id, end));
    }

    fn advance(&mut self, agent: usize, id: &FrameworkId, task_id: &TaskId, state: TaskState) {
        let key = (id.clone(), task_id.clone());
        let uuid: Vec<u8> = (0..16).map(|_| self.random.random()).collect();
        let Some(running) = self.agents[agent].tasks.get_mut(&key) else { return };
        if running.task.state().is_terminal() {
            return;
        }
        if let Some(trace) = &mut self.trace {
            let now = self.now.as_secs_f64();
            trace.push(format!("{now:9.3} {task_id} of agent {agent} is {state} in truth"));
        }
        running.task.state = state.into();
        running.pending.push_back(TaskStatus {
            task_id: task_id.clone(),
            state: state.into(),
            uuid: Some(uuid.into()),
            ..TaskStatus::default()
        });
        if running.pending.len() == 1 {
            self.send_first(agent, &key);
        }
    }

    /// Only the first unacknowledged update is sent.
    fn send_first(&mut self, agent: usize, key: &(FrameworkId, TaskId)) {
        let Some(running) = self.agents[agent].tasks.get(key) else { return };
        let Some(status) = running.pending.front().cloned() else { return };
        let latest_state = Some(running.task.state);
        let update = Some(StatusUpdate { framework_id: key.0.clone(), status, latest_state });
        self.tell_master(agent, ToMaster { update, ..ToMaster::default() });
    }

    fn acknowledged(&mut self, agent: usize, key: &(FrameworkId, TaskId), uuid: &[u8]) {
        let Some(running) = self.agents[agent].tasks.get_mut(key) else { return };
        if running.pending.front().is_none_or(|first| first.uuid.as_deref() != Some(uuid)) {
            return;
        }
        running.pending.pop_front();
        if running.pending.is_empty() && running.task.state().is_terminal() {
            self.agents[agent].tasks.remove(key);
        } else {
            self.send_first(agent, key);
        }
    }

    fn framework_hears(&mut self, framework: usize, event: Told) {
        if let Some(subscribed) = event.subscribed {
            self.frameworks[framework].id = Some(subscribed.framework_id);
        }
        for offer in event.offers.into_iter().flat_map(|offers| offers.offers) {
            self.answer(framework, offer);
        }
        if let Some(update) = event.update {
            self.note(|| format!("{framework} hears {}", said(&update.status)));
            self.update(framework, update.status);
        }
        if let Some(error) = event.error.filter(|e| e.message != "Framework failed over") {
            self.broken = Some(format!("framework {framework}: {}", error.message));
        }
    }

    fn answer(&mut self, framework: usize, offer: Offer) {
        let filters = Some(Filters { refuse_seconds: Some([0.0, 2.0, 20.0][framework]) });
        let held = Resources::from(offer.resources.as_slice());
        if self.chance(10) {
            // It never answers; the offer times out.
            return;
        }
        if !self.troubled
            || held.scalar("cpus") < 1.0
            || held.scalar("mem") < 128.0
            || self.chance(40)
        {
            let decline = Some(call::Decline { offer_ids: vec![offer.id], filters });
            let r#type = Some(Type::Decline.into());
            self.call(framework, Call { r#type, decline, ..Call::default() });
            return;
        }
        let count = self.random.random_range(1..=(held.scalar("cpus") as u64).max(1));
        let resources = Resources::parse("cpus:1;mem:128", "*").unwrap_or_default();
        let tasks = (0..count).map(|_| {
            self.launched += 1;
            let task_id = TaskId::from(format!("t{}", self.launched));
            let model = &mut self.frameworks[framework];
            model.known.insert(task_id.clone(), TaskState::Staging);
            model.agents.insert(task_id.clone(), offer.agent_id.clone());
            TaskInfo {
                name: task_id.value.clone(),
                task_id,
                agent_id: offer.agent_id.clone(),
                resources: resources.to_wire(WireFormat::PreRefinement),
                command: Some(CommandInfo { value: Some("x".into()), ..CommandInfo::default() }),
                ..TaskInfo::default()
            }
        });
        let operations = vec![Operation::launch_tasks(tasks.collect())];
        let accept = Some(call::Accept { offer_ids: vec![offer.id], operations, filters });
        self.call(framework, Call { r#type: Some(Type::Accept.into()), accept, ..Call::default() });
    }

    fn update(&mut self, framework: usize, status: TaskStatus) {
        let state = status.state();
        let model = &mut self.frameworks[framework];
        let answers = status.reason == Some(Reason::Reconciliation.into());
        let waiting = model.asked.get_mut(&status.task_id).filter(|count| answers && **count > 0);
        let asked = waiting.is_some();
        if let Some(count) = waiting {
            *count -= 1;
        }
        let over = model.known.get(&status.task_id).is_some_and(|known| is_over(*known));
        if state == TaskState::UnknownTask && over && asked {
            // A question was under way when the end was told, or a KILL, which is one where the master knows no
            // such task: its launch was refused, say. Apache Mesos answers so too, and it brings nothing back.
            return;
        }
        let old = self.frameworks[framework].known.insert(status.task_id.clone(), state);
        if old.is_some_and(|old| is_over(old) && old != TaskState::Lost && !is_over(state)) {
            self.broken = Some(format!("{} was {old:?} and is {state} again", status.task_id));
        }
        if state == TaskState::Killed
            && !self.frameworks[framework].wanted_killed.contains(&status.task_id)
        {
            self.broken = Some(format!("{} was killed, which nobody wanted", status.task_id));
        }
        // A scheduler may crash before it acknowledges.
        if self.troubled && self.chance(10) {
            return;
        }
        if let (Some(uuid), Some(agent_id)) = (status.uuid, status.agent_id) {
            let task_id = status.task_id;
            let acknowledge = Some(call::Acknowledge { agent_id, task_id, uuid });
            let r#type = Some(Type::Acknowledge.into());
            self.call(framework, Call { r#type, acknowledge, ..Call::default() });
        }
    }

    /// Asks for all tasks the scheduler believes alive.
    fn reconcile(&mut self, framework: usize) {
        let model = &self.frameworks[framework];
        let live = model.known.iter().filter(|(_, state)| !is_over(**state));
        let tasks: Vec<_> = live
            .map(|(task_id, _)| call::ReconcileTask {
                task_id: task_id.clone(),
                agent_id: model.agents.get(task_id).cloned(),
            })
            .collect();
        let asked: BTreeSet<_> = tasks.iter().map(|task| task.task_id.clone()).collect();
        if !tasks.is_empty() {
            for task in asked {
                *self.frameworks[framework].asked.entry(task).or_default() += 1;
            }
            let reconcile = Some(call::Reconcile { tasks });
            let r#type = Some(Type::Reconcile.into());
            self.call(framework, Call { r#type, reconcile, ..Call::default() });
        }
    }

    /// What is offered and used of an agent must be there, once.
    fn check_resources(&mut self) {
        let snapshot = self.master.snapshot();
        for agent in &snapshot.agents {
            let mut left = agent.total.clone();
            let offers = snapshot.frameworks.iter().flat_map(|framework| &framework.offers);
            let tasks = snapshot.frameworks.iter().flat_map(|framework| &framework.tasks);
            let offered = offers.filter(|offer| offer.agent_id == agent.id);
            let used =
                tasks.filter(|task| task.agent_id == agent.id && !task.state().is_terminal());
            let parts = offered.map(|offer| offer.resources.unallocated());
            let parts = parts
                .chain(used.map(|task| Resources::from(task.resources.as_slice()).unallocated()));
            for part in parts {
                if !left.contains(&part) {
                    self.broken = Some(format!("{part} of agent {} is taken twice", agent.id));
                    return;
                }
                left.subtract_all(&part);
            }
        }
    }

    fn check_end(&mut self) {
        for (number, agent) in self.agents.iter().enumerate() {
            for ((_, task_id), running) in &agent.tasks {
                if !running.pending.is_empty() {
                    self.broken = Some(format!("{task_id} of agent {number} is not acknowledged"));
                    return;
                }
            }
        }
        for framework in &self.frameworks {
            let Some(id) = &framework.id else { continue };
            for (task_id, state) in &framework.known {
                let key = (id.clone(), task_id.clone());
                let actual = self.agents.iter().find_map(|agent| agent.tasks.get(&key));
                let agree = match actual {
                    Some(running) => *state == running.task.state(),
                    // An agent that never heard its id is another to the next master: the one that was to
                    // run the task stays unreachable, as at Apache Mesos, until an operator says it is gone.
                    None if *state == TaskState::Unreachable => {
                        let of = framework.agents.get(task_id);
                        !self.agents.iter().any(|agent| agent.id.as_ref() == of)
                    }
                    None => is_over(*state) || *state == TaskState::UnknownTask,
                };
                if !agree {
                    let actual = actual.map(|running| running.task.state());
                    self.broken =
                        Some(format!("{task_id} is {state} to its scheduler, {actual:?} in truth"));
                    return;
                }
            }
        }
    }
}

fn is_over(state: TaskState) -> bool {
    state.is_terminal()
}

/// An update in short.
fn said(status: &TaskStatus) -> String {
    let why = status.reason.map_or(String::new(), |_| format!(", {:?}", status.reason()));
    format!("{} is {}{why}: {}", status.task_id, status.state(), status.message())
}

fn number_of(stream: &str) -> Option<usize> {
    stream.split(':').next()?.parse().ok()
}

fn agent_of(link: LinkId) -> usize {
    (link.0 % AGENTS as u64) as usize
}
