//! Task attempts that a cluster manager launches, each with cores of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::error::Result;
use parking_lot::Mutex;
use spark_exec::{
    Assignment, Assignments, Engine, ExecutorOptions, OfferedCores, SchedulerBackend, TaskEnd,
    assigned_task, run_assigned_executor,
};
use spark_scheduler::{Demand, ExecutorLoss, MapOutputFate};
use tokio::sync::mpsc;

use crate::cluster::{Cluster, PATIENCE};
use crate::plans::all;

const SLOTS: u32 = 2;

/// A cluster manager in small: two hosts of two cores, executors that start with their first task.
#[derive(Clone)]
struct Manager {
    hosts: BTreeMap<String, ExecutorOptions>,
    words: mpsc::UnboundedSender<Word>,
    receiver: Arc<Mutex<Option<mpsc::UnboundedReceiver<Word>>>>,
    launched: Arc<AtomicUsize>,
}

enum Word {
    Demand,
    Kill(String, u64),
    Ended(String, TaskEnd),
    /// The process of this host's executor dies.
    Crash(String),
}

/// One executor process.
struct Process {
    assign: mpsc::UnboundedSender<Assignment>,
    running: BTreeSet<u64>,
    handle: tokio::task::JoinHandle<Result<String>>,
}

impl Manager {
    fn new(cluster: &Cluster) -> Self {
        let (words, receiver) = mpsc::unbounded_channel();
        let hosts = ["a", "b"].map(|id| (id.to_owned(), cluster.executor_options(id)));
        Self {
            hosts: hosts.into(),
            words,
            receiver: Arc::new(Mutex::new(Some(receiver))),
            launched: Arc::default(),
        }
    }

    fn start_process(&self, id: &str) -> Process {
        let (assign, incoming) = mpsc::unbounded_channel();
        let (end, mut ends) = mpsc::unbounded_channel();
        let options = self.hosts[id].clone();
        let handle = tokio::spawn(async move {
            // Tasks come long before the executor has dialled.
            tokio::time::sleep(Duration::from_millis(50)).await;
            run_assigned_executor(options, Assignments { incoming, ends: end }).await
        });
        let (words, host) = (self.words.clone(), id.to_owned());
        tokio::spawn(async move {
            while let Some(end) = ends.recv().await {
                let _ = words.send(Word::Ended(host.clone(), end));
            }
        });
        Process { assign, running: BTreeSet::new(), handle }
    }

    async fn run(self, engine: Engine, mut words: mpsc::UnboundedReceiver<Word>) {
        let mut processes: BTreeMap<String, Process> = BTreeMap::new();
        while let Some(word) = words.recv().await {
            match word {
                Word::Demand => {}
                Word::Kill(host, task) => {
                    let _ = processes[&host].assign.send(Assignment::Kill(task));
                }
                Word::Ended(host, end) => {
                    // Not there if it ended in a process that crashed since.
                    if let Some(process) = processes.get_mut(&host) {
                        process.running.remove(&end.task);
                    }
                }
                Word::Crash(host) => {
                    processes.remove(&host).unwrap().handle.abort();
                    let loss = ExecutorLoss {
                        message: "it crashed".into(),
                        caused_by_app: false,
                        map_output: MapOutputFate::Lost,
                    };
                    engine.executor_lost(&host, loss);
                }
            }
            let offers = self.hosts.keys().map(|host| {
                let running = processes.get(host).map_or(0, |process| process.running.len());
                let cores = SLOTS - u32::try_from(running).unwrap();
                OfferedCores { executor: host.clone(), host: host.clone(), cores }
            });
            for launch in engine.offer_cores(offers.collect()).await.launches {
                self.launched.fetch_add(1, Ordering::Relaxed);
                let process = processes
                    .entry(launch.executor.clone())
                    .or_insert_with(|| self.start_process(&launch.executor));
                assert_eq!(assigned_task(&launch.data), Some(launch.task));
                assert_eq!(launch.cpus, 1);
                assert!(process.running.insert(launch.task));
                assert!(process.running.len() <= SLOTS as usize);
                process.assign.send(Assignment::Launch(launch.data)).unwrap();
            }
        }
    }
}

#[async_trait]
impl SchedulerBackend for Manager {
    async fn start(&self, engine: &Engine) -> Result<()> {
        let words = self.receiver.lock().take().unwrap();
        tokio::spawn(self.clone().run(engine.clone(), words));
        Ok(())
    }

    fn demand_changed(&self, _demand: Demand) {
        let _ = self.words.send(Word::Demand);
    }

    fn tells_losses(&self) -> bool {
        true
    }

    fn kill_task(&self, executor: &str, task: u64, _reason: &str) {
        let _ = self.words.send(Word::Kill(executor.to_owned(), task));
    }

    async fn stop(&self) {}
}

async fn cluster() -> (Cluster, Manager) {
    let cluster = Cluster::with(|options| options.scheduler.cores_by_offer = true).await;
    let manager = Manager::new(&cluster);
    cluster.engine.start_backend(Arc::new(manager.clone())).await.unwrap();
    (cluster, manager)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_right_and_each_attempt_is_a_launch() {
    let (cluster, manager) = cluster().await;
    for question in all() {
        cluster.check(&question).await.unwrap();
    }
    let all_ended = async {
        loop {
            let executors = cluster.engine.statistics();
            let ended: u64 = executors.values().map(|e| e.tasks + e.failed_tasks).sum();
            let launched = manager.launched.load(Ordering::Relaxed);
            assert!(ended <= launched as u64, "{ended} attempts of {launched} launches");
            if ended == launched as u64 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_ended).await.expect("each launch is an attempt that ends");
    cluster.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_takes_is_made_again() {
    let (cluster, manager) = cluster().await;
    let crash = async {
        for host in ["a", "b"] {
            let engine = cluster.engine.clone();
            let come = async {
                while !engine.executors().contains(host) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(PATIENCE, come).await.unwrap();
            let _ = manager.words.send(Word::Crash(host.to_owned()));
        }
    };
    let ask = async {
        for question in all() {
            cluster.check(&question).await.unwrap();
        }
    };
    tokio::join!(crash, ask);
    assert!(cluster.engine.needed_executors().await.is_empty(), "all shuffles are released");
    cluster.engine.stop().await;
}
