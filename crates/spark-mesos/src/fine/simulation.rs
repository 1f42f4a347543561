//! A seeded cluster and task scheduler around fine-grained mode: agents come and go, offers are taken
//! back, tasks and executors fail; invariants hold and demand is met.

use std::collections::{BTreeMap, BTreeSet};

use mesos_api::task_status::{Reason, Source};
use mesos_api::{TaskInfo, TaskState, TaskStatus};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::coarse::tests::{context, offer, seeds, settings};
use crate::events::{TaskEnd, TaskLaunch};

const STEPS: usize = 150;
const EXECUTOR_MEMORY: u64 = 1408;

#[derive(Debug)]
struct SimulatedAgent {
    cpus: u64,
    memory: u64,
    zone: &'static str,
}

#[derive(Debug)]
struct OpenOffer {
    agent: String,
    cpus: u64,
    memory: u64,
}

#[derive(Debug)]
struct RunningTask {
    agent: String,
    executor: String,
}

/// Milliseconds since the start; filters and the clock of the world.
type Millis = u64;

struct World {
    random: StdRng,
    scheduler: FineScheduler,
    start: Instant,
    now: Millis,
    agents: BTreeMap<String, SimulatedAgent>,
    /// Offers made and not answered.
    open: BTreeMap<String, OpenOffer>,
    /// Offers the master took back; an answer that crosses is legal once.
    void: BTreeSet<String>,
    executors: BTreeMap<String, String>,
    tasks: BTreeMap<String, RunningTask>,
    /// What the task scheduler believes: executor → free slots.
    slots: BTreeMap<String, u64>,
    waiting: u64,
    /// Tasks launched and not yet told to have ended.
    expected: BTreeMap<String, String>,
    filters: BTreeMap<String, (u64, u64, Millis)>,
    suppressed: bool,
    numbers: u64,
    cores_max: Option<u64>,
    constrained: bool,
    revives: Vec<Millis>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let cores_max = random.random_bool(0.7).then(|| random.random_range(2..12_u64));
        let constrained = random.random_bool(0.3);
        let mut pairs = vec![("mesos.coarse", "false".to_owned())];
        if let Some(max) = cores_max {
            pairs.push(("cores.max", max.to_string()));
        }
        if constrained {
            pairs.push(("mesos.constraints", "zone:x".to_owned()));
        }
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let mut world = Self {
            random,
            scheduler: FineScheduler::new(settings(&pairs), context()),
            start: Instant::now(),
            now: 0,
            agents: BTreeMap::new(),
            open: BTreeMap::new(),
            void: BTreeSet::new(),
            executors: BTreeMap::new(),
            tasks: BTreeMap::new(),
            slots: BTreeMap::new(),
            waiting: 0,
            expected: BTreeMap::new(),
            filters: BTreeMap::new(),
            suppressed: false,
            numbers: 0,
            cores_max,
            constrained,
            revives: Vec::new(),
        };
        world.event(Event::Registered { framework_id: "F".to_owned(), again: false });
        world
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn event(&mut self, event: Event) {
        let actions = self.scheduler.handle(event, self.instant());
        let mut lost_launches = Vec::new();
        for action in actions {
            self.perform(action, &mut lost_launches);
        }
        self.check();
        for id in lost_launches {
            self.word(&id, TaskState::Dropped, Source::Master, Some(Reason::InvalidOffers));
        }
    }

    fn perform(&mut self, action: Action, lost_launches: &mut Vec<String>) {
        match action {
            Action::Launch(launch) => {
                let void = launch.offer_ids.iter().any(|id| self.void.remove(&id.value));
                let offers: Vec<OpenOffer> =
                    launch.offer_ids.iter().filter_map(|id| self.open.remove(&id.value)).collect();
                for task in &launch.tasks {
                    let id = task.task_id.value.clone();
                    let executor = task.executor.as_ref().unwrap().executor_id.value.clone();
                    assert!(
                        self.expected.insert(id.clone(), executor).is_none(),
                        "task {id} again"
                    );
                    if void {
                        lost_launches.push(id);
                    } else {
                        self.run(task, &offers);
                    }
                }
                assert!(void || offers.len() == launch.offer_ids.len(), "an offer answered twice");
                if let (Some(offer), false) = (offers.first(), void) {
                    let until = self.now + launch.refuse.unwrap().as_millis() as u64;
                    let (cpus, memory) = self.free(&offer.agent);
                    self.filters.insert(offer.agent.clone(), (cpus, memory, until));
                }
            }
            Action::Decline { offer_ids, refuse, .. } => {
                for id in offer_ids {
                    if self.void.remove(&id.value) {
                        continue;
                    }
                    let offer = self.open.remove(&id.value).expect("an offer answered twice");
                    let refuse = refuse.unwrap_or(Duration::from_secs(5));
                    let until = self.now + refuse.as_millis() as u64;
                    self.filters.insert(offer.agent, (offer.cpus, offer.memory, until));
                }
            }
            Action::Slots { executor_id, free, .. } => {
                self.slots.insert(executor_id, free);
            }
            Action::TaskEnded { task_id, executor_id, end } => {
                let no_slot = matches!(&end, TaskEnd::Lost(LossReason::LaunchRefused(_)));
                let known = self.expected.remove(&task_id);
                assert!(known.is_some() || no_slot, "task {task_id} ended twice");
                if let Some(executor) = known {
                    assert_eq!(executor, executor_id);
                }
                if end != TaskEnd::Finished {
                    self.waiting += 1;
                }
            }
            Action::ExecutorLost { executor_id, .. } => {
                let before = self.expected.len();
                self.expected.retain(|_, executor| *executor != executor_id);
                self.waiting += (before - self.expected.len()) as u64;
                self.slots.remove(&executor_id);
            }
            Action::Shutdown { executor_id, .. } => {
                // Gone at once or a little later, in any case with all its tasks.
                self.executors.remove(&executor_id.value);
                self.tasks.retain(|_, task| task.executor != executor_id.value);
            }
            Action::Suppress => self.suppressed = true,
            Action::Revive => {
                if let Some(last) = self.revives.last() {
                    assert!(self.now >= last + 5, "REVIVE at {last} and at {}", self.now);
                }
                self.revives.push(self.now);
                self.suppressed = false;
                self.filters.clear();
            }
            Action::Kill { .. } | Action::Reconcile(_) => {}
        }
    }

    fn run(&mut self, task: &TaskInfo, offers: &[OpenOffer]) {
        let agent = task.agent_id.value.clone();
        assert!(offers.iter().all(|offer| offer.agent == agent), "offers of two agents");
        assert!(!self.constrained || self.agents[&agent].zone == "x", "constraint broken");
        let executor = task.executor.as_ref().unwrap();
        let id = executor.executor_id.value.clone();
        match self.executors.get(&id) {
            Some(place) => assert_eq!(*place, agent),
            None => {
                let others = self.executors.values().filter(|place| **place == agent).count();
                assert_eq!(others, 0, "a second executor on {agent}");
                self.executors.insert(id.clone(), agent.clone());
            }
        }
        let cpus: f64 = task.resources.iter().map(|r| r.scalar.as_ref().unwrap().value).sum();
        assert_eq!(cpus, 1.0);
        self.tasks.insert(task.task_id.value.clone(), RunningTask { agent, executor: id });
    }

    /// What an agent has that is neither used nor offered.
    fn free(&self, agent: &str) -> (u64, u64) {
        let executors = self.executors.values().filter(|place| *place == agent).count() as u64;
        let tasks = self.tasks.values().filter(|task| task.agent == agent).count() as u64;
        let offered = self.open.values().filter(|offer| offer.agent == agent);
        let (cpus, memory) =
            offered.fold((0, 0), |(c, m), offer| (c + offer.cpus, m + offer.memory));
        let total = &self.agents[agent];
        let used = (executors + tasks + cpus, executors * EXECUTOR_MEMORY + memory);
        assert!(used.0 <= total.cpus && used.1 <= total.memory, "{agent} is overcommitted");
        (total.cpus - used.0, total.memory - used.1)
    }

    fn check(&self) {
        let cpus = (self.executors.len() + self.tasks.len()) as u64;
        assert!(self.cores_max.is_none_or(|max| cpus <= max), "{cpus} of {:?}", self.cores_max);
        for agent in self.agents.keys() {
            self.free(agent);
        }
    }

    /// The master's allocator: everything free that is not filtered.
    fn allocate(&mut self) {
        if self.suppressed {
            return;
        }
        let names: Vec<String> = self.agents.keys().cloned().collect();
        let mut offers = Vec::new();
        for agent in names {
            let (cpus, memory) = self.free(&agent);
            let filtered = self
                .filters
                .get(&agent)
                .is_some_and(|(c, m, until)| *until > self.now && cpus <= *c && memory <= *m);
            if filtered || cpus == 0 {
                continue;
            }
            let id = format!("o{}", self.number());
            let zone = self.agents[&agent].zone;
            offers.push(offer(&id, &format!("{agent} {cpus} {memory} {zone}")));
            self.open.insert(id, OpenOffer { agent, cpus, memory });
        }
        if !offers.is_empty() {
            self.event(Event::Offers(offers));
        }
    }

    /// The task scheduler lays some waiting tasks on slots it believes in.
    fn lay_tasks(&mut self) {
        let mut launches = Vec::new();
        let executors: Vec<String> = self.slots.keys().cloned().collect();
        for executor_id in executors {
            while self.waiting > 0 && self.slots[&executor_id] > 0 && self.random.random_bool(0.9) {
                self.waiting -= 1;
                *self.slots.get_mut(&executor_id).unwrap() -= 1;
                launches.push(TaskLaunch {
                    task_id: format!("t{}", self.number()),
                    executor_id: executor_id.clone(),
                    name: "task".to_owned(),
                    data: Default::default(),
                });
            }
        }
        if !launches.is_empty() {
            self.event(Event::LaunchTasks(launches));
        }
        self.event(Event::WaitingTasks(self.waiting));
    }

    fn word(&mut self, id: &str, state: TaskState, source: Source, reason: Option<Reason>) {
        let mut status = TaskStatus { task_id: id.into(), ..TaskStatus::default() };
        status.set_state(state);
        status.set_source(source);
        status.reason = reason.map(Into::into);
        self.event(Event::Status(status));
    }

    fn pick<T: Clone>(&mut self, from: impl Iterator<Item = T>) -> Option<T> {
        let all: Vec<T> = from.collect();
        if all.is_empty() {
            None
        } else {
            Some(all[self.random.random_range(0..all.len())].clone())
        }
    }

    fn end_a_task(&mut self) {
        let tasks: Vec<String> = self.tasks.keys().cloned().collect();
        if let Some(id) = self.pick(tasks.into_iter()) {
            self.tasks.remove(&id);
            let states = [TaskState::Finished, TaskState::Finished, TaskState::Failed];
            let state = states[self.random.random_range(0..states.len())];
            self.word(&id, state, Source::Executor, None);
        }
    }

    fn end_an_executor(&mut self) {
        let executors: Vec<(String, String)> =
            self.executors.iter().map(|(id, agent)| (id.clone(), agent.clone())).collect();
        let Some((id, agent)) = self.pick(executors.into_iter()) else { return };
        self.executors.remove(&id);
        let tasks: Vec<String> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.executor == id)
            .map(|(task, _)| task.clone())
            .collect();
        self.tasks.retain(|_, task| task.executor != id);
        let failure = Event::ExecutorFailure {
            agent_id: agent.as_str().into(),
            executor_id: id.as_str().into(),
            status: Some(256),
        };
        if self.random.random_bool(0.5) {
            self.event(failure.clone());
        }
        for task in tasks {
            let reason = Some(Reason::ExecutorTerminated);
            self.word(&task, TaskState::Failed, Source::Agent, reason);
        }
        self.event(failure);
    }

    fn lose_an_agent(&mut self) {
        let agents: Vec<String> = self.agents.keys().cloned().collect();
        let Some(agent) = self.pick(agents.into_iter()) else { return };
        self.agents.remove(&agent);
        self.executors.retain(|_, place| *place != agent);
        self.tasks.retain(|_, task| task.agent != agent);
        self.take_back(&agent);
        self.event(Event::AgentFailure(agent.as_str().into()));
    }

    fn take_back(&mut self, agent: &str) {
        let ids: Vec<String> = self
            .open
            .iter()
            .filter(|(_, offer)| offer.agent == agent)
            .map(|(id, _)| id.clone())
            .collect();
        for id in &ids {
            self.open.remove(id);
            self.void.insert(id.clone());
        }
        // Some answers cross the RESCIND.
        if self.random.random_bool(0.5) {
            self.lay_tasks();
        }
        for id in ids {
            self.event(Event::Rescind(id.as_str().into()));
            self.void.remove(&id);
        }
    }

    fn tick(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        if self.scheduler.next_wakeup().is_some_and(|at| at <= self.instant()) {
            self.event(Event::Tick);
        }
    }

    fn step(&mut self) {
        let milliseconds = [0, 1, 7, 300, 2_000, 15_000][self.random.random_range(0..6)];
        self.tick(milliseconds);
        match self.random.random_range(0..14) {
            0 if self.agents.len() < 6 => {
                let name = format!("a{}", self.random.random_range(0..1000));
                let agent = SimulatedAgent {
                    cpus: self.random.random_range(1..7),
                    memory: self.random.random_range(500..4000),
                    zone: if self.random.random_bool(0.7) { "x" } else { "y" },
                };
                self.agents.entry(name).or_insert(agent);
            }
            1 if self.agents.len() > 3 => self.lose_an_agent(),
            2 => {
                self.waiting += self.random.random_range(1..8);
                self.event(Event::WaitingTasks(self.waiting));
            }
            3 | 4 => self.end_a_task(),
            5 if self.random.random_bool(0.4) => self.end_an_executor(),
            6 => {
                let agents: Vec<String> = self.open.values().map(|o| o.agent.clone()).collect();
                if let Some(agent) = self.pick(agents.into_iter()) {
                    self.take_back(&agent);
                }
            }
            7 if self.random.random_bool(0.2) => {
                self.open.clear();
                self.suppressed = false;
                self.filters.clear();
                self.event(Event::Registered { framework_id: "F".to_owned(), again: true });
            }
            8 => {
                let ids: Vec<String> = self.executors.keys().cloned().collect();
                if let Some(executor_id) = self.pick(ids.into_iter()) {
                    let needed = self.random.random_bool(0.5);
                    self.event(Event::MapOutputNeeded { executor_id, needed });
                }
            }
            9..=11 => self.allocate(),
            _ => self.lay_tasks(),
        }
    }

    /// Left alone, all tasks run that may, and everything is given back in the end.
    fn settle(&mut self) {
        let executors: Vec<String> = self.executors.keys().cloned().collect();
        for executor_id in executors {
            self.event(Event::MapOutputNeeded { executor_id, needed: false });
        }
        let fits = self.agents.values().any(|agent| {
            let usable = !self.constrained || agent.zone == "x";
            usable && agent.cpus >= 2 && agent.memory >= EXECUTOR_MEMORY
        });
        for _ in 0..500 {
            self.tick(400);
            self.allocate();
            self.lay_tasks();
            while !self.tasks.is_empty() {
                let id = self.tasks.keys().next().cloned().unwrap();
                self.tasks.remove(&id);
                self.word(&id, TaskState::Finished, Source::Executor, None);
            }
        }
        assert!(self.waiting == 0 || !fits, "{} tasks wait though they fit", self.waiting);
        assert!(self.expected.is_empty(), "never told of: {:?}", self.expected);
        assert!(self.executors.is_empty(), "idle and not released: {:?}", self.executors);
        assert!(self.waiting > 0 || self.suppressed, "offers come for nothing");
        assert!(self.open.is_empty(), "offers are kept for nothing: {:?}", self.open);
    }
}

#[test]
fn whatever_the_cluster_does() {
    for seed in seeds() {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.settle();
        });
        assert!(result.is_ok(), "seed {seed}");
    }
}
