//! A seeded cluster: agents come, go, fail and refuse; invariants hold and demand is met.

use std::collections::{BTreeMap, BTreeSet};

use mesos_api::task_status::Reason;
use mesos_api::{TaskInfo, TaskState};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::tests::{offer, scheduler, seeds};
use super::*;

const STEPS: usize = 120;

#[derive(Debug)]
struct SimulatedAgent {
    cpus: u64,
    memory: u64,
    zone: &'static str,
}

struct World {
    random: StdRng,
    scheduler: CoarseScheduler,
    now: Instant,
    agents: BTreeMap<String, SimulatedAgent>,
    /// Task → agent, cpus, memory.
    tasks: BTreeMap<String, (String, u64, u64)>,
    /// Agents refused until then.
    filters: BTreeMap<String, Instant>,
    suppressed: bool,
    offers: u64,
    cores_max: u64,
    executor_cores: Option<u64>,
    constrained: bool,
    limit: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let executor_cores = random.random_bool(0.5).then(|| random.random_range(1..4_u64));
        let cores_max = random.random_range(4..20_u64);
        let constrained = random.random_bool(0.3);
        let mut settings = vec![("cores.max", cores_max.to_string())];
        if let Some(cores) = executor_cores {
            settings.push(("executor.cores", cores.to_string()));
        }
        if constrained {
            settings.push(("mesos.constraints", "zone:x".to_owned()));
        }
        if random.random_bool(0.3) {
            settings.push(("ferrospark.mesos.placement", "pack".to_owned()));
        }
        let pairs: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let mut world = Self {
            random,
            scheduler: scheduler(&pairs),
            now: Instant::now(),
            agents: BTreeMap::new(),
            tasks: BTreeMap::new(),
            filters: BTreeMap::new(),
            suppressed: false,
            offers: 0,
            cores_max,
            executor_cores,
            constrained,
            limit: u64::MAX,
        };
        world.event(Event::Registered { framework_id: "F".to_owned(), again: false });
        world
    }

    fn event(&mut self, event: Event) {
        let mut asked = BTreeSet::new();
        let mut offered = BTreeMap::new();
        if let Event::Offers(offers) = &event {
            asked = offers.iter().map(|offer| offer.id.value.clone()).collect();
            offered = offers
                .iter()
                .map(|offer| (offer.id.value.clone(), offer.agent_id.value.clone()))
                .collect();
        }
        let mut refused = Vec::new();
        for action in self.scheduler.handle(event, self.now) {
            match action {
                Action::Launch(launch) => {
                    for id in &launch.offer_ids {
                        assert!(asked.remove(&id.value), "{id} answered twice");
                    }
                    // A RESCIND crossed the answer: nothing is launched.
                    if self.random.random_bool(0.1) {
                        refused.push(launch);
                        continue;
                    }
                    for (task, executor) in launch.tasks.iter().zip(&launch.executors) {
                        self.run(task, executor);
                    }
                    if let Some(refuse) = launch.refuse {
                        let agent = offered[&launch.offer_ids[0].value].clone();
                        self.filters.insert(agent, self.now + refuse);
                    }
                }
                Action::Decline { offer_ids, refuse, .. } => {
                    for id in &offer_ids {
                        assert!(asked.remove(&id.value), "{id} answered twice");
                        let until = self.now + refuse.unwrap_or(Duration::from_secs(5));
                        self.filters.insert(offered[&id.value].clone(), until);
                    }
                }
                Action::Suppress => self.suppressed = true,
                Action::Revive => {
                    self.suppressed = false;
                    self.filters.clear();
                }
                Action::Kill { .. } | Action::Reconcile(_) | Action::ExecutorLost { .. } => {}
                Action::Slots { .. } | Action::TaskEnded { .. } | Action::Shutdown { .. } => {
                    panic!("{action:?} is of fine-grained mode")
                }
            }
        }
        assert!(asked.is_empty(), "not answered: {asked:?}");
        self.check();
        for launch in refused {
            self.refuse(&launch);
        }
    }

    fn refuse(&mut self, launch: &Launch) {
        for id in &launch.offer_ids {
            self.event(Event::Rescind(id.clone()));
        }
        for task in &launch.tasks {
            let mut status = TaskStatus { task_id: task.task_id.clone(), ..TaskStatus::default() };
            status.set_state(TaskState::Dropped);
            status.set_reason(Reason::InvalidOffers);
            self.event(Event::Status(status));
        }
    }

    fn run(&mut self, task: &TaskInfo, executor: &ExecutorLaunch) {
        let total = |name: &str| -> u64 {
            let named = task.resources.iter().filter(|resource| resource.name == name);
            named.map(|r| r.scalar.as_ref().map_or(0.0, |s| s.value)).sum::<f64>() as u64
        };
        let agent = task.agent_id.value.clone();
        if let Some(cores) = self.executor_cores {
            assert_eq!(total("cpus"), cores);
        }
        assert_eq!(executor.cores, total("cpus"));
        assert!(!self.constrained || self.agents[&agent].zone == "x", "constraint broken");
        let task = (agent, total("cpus"), total("mem"));
        assert!(self.tasks.insert(executor.executor_id.clone(), task).is_none(), "id used twice");
    }

    fn free(&self, agent: &str) -> (u64, u64) {
        let used = |pick: fn(&(String, u64, u64)) -> u64| -> u64 {
            self.tasks.values().filter(|task| task.0 == agent).map(pick).sum()
        };
        let total = &self.agents[agent];
        (total.cpus - used(|t| t.1), total.memory - used(|t| t.2))
    }

    fn check(&self) {
        let cores: u64 = self.tasks.values().map(|task| task.1).sum();
        assert!(cores <= self.cores_max, "{cores} of {}", self.cores_max);
        // `free` would underflow if an agent were overcommitted.
        for agent in self.agents.keys() {
            self.free(agent);
        }
    }

    /// The master's allocator: everything free that is not filtered.
    fn allocate(&mut self) {
        if self.suppressed {
            return;
        }
        let now = self.now;
        let names: Vec<String> = self.agents.keys().cloned().collect();
        let mut offers = Vec::new();
        for name in names {
            let (cpus, memory) = self.free(&name);
            let filtered = self.filters.get(&name).is_some_and(|until| *until > now);
            if filtered || (cpus == 0 && memory == 0) {
                continue;
            }
            self.offers += 1;
            let zone = self.agents[&name].zone;
            offers.push(offer(
                &format!("o{}", self.offers),
                &format!("{name} {cpus} {memory} {zone}"),
            ));
        }
        if !offers.is_empty() {
            self.event(Event::Offers(offers));
        }
    }

    fn pick_task(&mut self) -> Option<String> {
        let at = self.random.random_range(0..self.tasks.len().max(1));
        self.tasks.keys().nth(at).cloned()
    }

    fn end_task(&mut self, id: &str, state: TaskState) {
        self.tasks.remove(id);
        let mut status = TaskStatus { task_id: id.into(), ..TaskStatus::default() };
        status.set_state(state);
        self.event(Event::Status(status));
    }

    fn step(&mut self) {
        self.now += Duration::from_secs(self.random.random_range(0..4));
        if self.scheduler.next_wakeup().is_some_and(|at| at <= self.now) {
            self.event(Event::Tick);
        }
        match self.random.random_range(0..10) {
            0 if self.agents.len() < 6 => {
                let name = format!("a{}", self.random.random_range(0..1000));
                let agent = SimulatedAgent {
                    cpus: self.random.random_range(1..9),
                    memory: self.random.random_range(500..9000),
                    zone: if self.random.random_bool(0.7) { "x" } else { "y" },
                };
                self.agents.entry(name).or_insert(agent);
            }
            1 if self.agents.len() > 3 => {
                let at = self.random.random_range(0..self.agents.len());
                let name = self.agents.keys().nth(at).cloned().unwrap();
                self.agents.remove(&name);
                self.tasks.retain(|_, task| task.0 != name);
                self.event(Event::AgentFailure(name.as_str().into()));
            }
            2 => {
                if let Some(id) = self.pick_task() {
                    let states = [
                        TaskState::Failed,
                        TaskState::Killed,
                        TaskState::Lost,
                        TaskState::Finished,
                    ];
                    let state = states[self.random.random_range(0..states.len())];
                    self.end_task(&id, state);
                }
            }
            3 => {
                let limit = [None, Some(0), Some(1), Some(3)][self.random.random_range(0..4)];
                self.limit = limit.unwrap_or(u64::MAX);
                self.event(Event::ExecutorLimit(limit));
            }
            4 => {
                self.suppressed = false;
                self.filters.clear();
                self.event(Event::Registered { framework_id: "F".to_owned(), again: true });
            }
            _ => self.allocate(),
        }
    }

    /// Left alone for some minutes, the application has what it may have and the cluster can give.
    fn settle(&mut self) {
        self.limit = u64::MAX;
        self.event(Event::ExecutorLimit(None));
        for _ in 0..200 {
            self.now += Duration::from_secs(1);
            self.event(Event::Tick);
            self.allocate();
        }
        let cores: u64 = self.tasks.values().map(|task| task.1).sum();
        let unit = self.executor_cores.unwrap_or(1);
        if cores + unit <= self.cores_max {
            for (name, agent) in &self.agents {
                let (cpus, memory) = self.free(name);
                let usable = !self.constrained || agent.zone == "x";
                assert!(
                    !(usable && cpus >= unit && memory >= 1408),
                    "{cores} of {} cores, and {name} has {cpus} cpus and {memory} MiB",
                    self.cores_max
                );
            }
        }
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
