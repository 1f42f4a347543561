//! With a shuffle service: map output outlives its executors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use spark_exec::{EventLogOptions, PlanRunner, RunOptions};
use spark_scheduler::ApplicationInfo;
use spark_shuffle::{MasterView, MasterWatch, ShuffleService, ShuffleServiceOptions};

use crate::cluster::{Cluster, PATIENCE, rows, session};
use crate::failures::{heavy, tasks_done};

/// A master that cannot be seen: nothing is removed but at the application's own word.
struct Nobody;

impl MasterWatch for Nobody {
    fn look(&self) -> BoxFuture<'_, Result<MasterView, String>> {
        async { Err("there is no master in this test".to_owned()) }.boxed()
    }
}

/// The log of a test's application.
pub(crate) fn event_log(directory: &std::path::Path, app_id: &str) -> EventLogOptions {
    EventLogOptions {
        directory: directory.to_owned(),
        application: ApplicationInfo {
            name: "test".to_owned(),
            id: app_id.to_owned(),
            user: "me".to_owned(),
            spark_version: "4.0.0".to_owned(),
        },
    }
}

/// How often each map partition was made, by stage and partition.
pub(crate) fn map_tasks(log: &str) -> BTreeMap<(u64, u64), u32> {
    let number = |line: &str, key: &str| -> u64 {
        let at = line.find(key).unwrap() + key.len();
        line[at..].chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let mut made = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("SparkListenerTaskEnd")) {
        if line.contains("\"ShuffleMapTask\"") && line.contains("\"Reason\":\"Success\"") {
            let task = (number(line, "\"Stage ID\":"), number(line, "\"Partition ID\":"));
            *made.entry(task).or_insert(0) += 1;
        }
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executors_killed_between_map_and_reduce_cost_no_map_task() {
    let (state, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = ShuffleServiceOptions::new("127.0.0.1:0".parse().unwrap(), state.path());
    let service = ShuffleService::start(options, Nobody).await.unwrap();
    let context = session(40);
    let plain = rows(&heavy(&context).await.collect().await.unwrap(), false);
    let mut cluster = Cluster::with(|options| {
        let port = service.address().port();
        options.shuffle_service_port = Some(port);
        options.conf.insert("spark.shuffle.service.enabled".to_owned(), "true".to_owned());
        options.conf.insert("spark.shuffle.service.port".to_owned(), port.to_string());
        options.event_log = Some(event_log(logs.path(), &options.app_id));
    })
    .await;
    for _ in 0..2 {
        cluster.start_process().await;
    }
    let registered = async |executors| {
        let all = async {
            while service.statistics().directories < executors {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("executors register with the service");
    };
    registered(2).await;
    let plan = heavy(&context).await.create_physical_plan().await.unwrap();
    let (engine, state_of) = (cluster.engine.clone(), context.state());
    let query = tokio::spawn(async move {
        let query = engine.run(plan, &state_of, RunOptions::default()).await?;
        datafusion::physical_plan::common::collect(query.stream).await
    });
    // One after the other they are killed while the query runs.
    for executor in 0..2 {
        let before = tasks_done(&cluster);
        tokio::time::timeout(PATIENCE, async {
            while tasks_done(&cluster) < before + 10 && !query.is_finished() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("tasks run");
        cluster.start_process().await;
        cluster.kill(executor);
    }
    let answer = tokio::time::timeout(PATIENCE, query).await.expect("it ends").unwrap();
    assert_eq!(rows(&answer.unwrap(), false), plain);
    // Who came last may still be on its way to the service, and would bring the application back.
    registered(4).await;
    cluster.engine.stop().await;
    let log = std::fs::read_to_string(logs.path().join("app-test")).unwrap();
    let made = map_tasks(&log);
    assert!(made.len() > 8, "of two map stages: {made:?}");
    assert!(made.values().all(|times| *times == 1), "made again: {made:?}");
    assert!(log.contains("SparkListenerExecutorRemoved"), "an executor was lost");
    // The application's word: nothing is left.
    assert_eq!(service.statistics().applications, 0);
    drop(cluster);
    service.shutdown().await;
}

/// A backend that counts what is asked of it.
#[derive(Default)]
struct Counting {
    totals: parking_lot::Mutex<Vec<u32>>,
    killed: parking_lot::Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl spark_exec::SchedulerBackend for Counting {
    async fn start(&self, _engine: &spark_exec::Engine) -> datafusion::error::Result<()> {
        Ok(())
    }

    fn request_executors(&self, total: u32) {
        self.totals.lock().push(total);
    }

    fn kill_executor(&self, executor: &str) {
        self.killed.lock().push(executor.to_owned());
    }

    async fn stop(&self) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executors_are_asked_for_by_the_work_and_sent_away_when_idle() {
    let mut cluster = Cluster::with(|options| {
        options.executor_cores = 2;
        options.allocation = Some(spark_scheduler::AllocationOptions {
            max_executors: 3,
            idle_timeout: Duration::from_millis(300),
            ..spark_scheduler::AllocationOptions::default()
        });
    })
    .await;
    let backend = Arc::new(Counting::default());
    cluster.engine.start_backend(Arc::clone(&backend) as _).await.unwrap();
    let context = session(40);
    let plain = rows(&heavy(&context).await.collect().await.unwrap(), false);
    let plan = heavy(&context).await.create_physical_plan().await.unwrap();
    let (engine, state) = (cluster.engine.clone(), context.state());
    let query = tokio::spawn(async move {
        let query = engine.run(plan, &state, RunOptions::default()).await?;
        datafusion::physical_plan::common::collect(query.stream).await
    });
    let wait = async |what: &str, done: &dyn Fn() -> bool| {
        tokio::time::timeout(PATIENCE, async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"));
    };
    // Nobody is there: one at once, and no more than three.
    wait("a request", &|| backend.totals.lock().contains(&3)).await;
    assert_eq!(backend.totals.lock().as_slice(), [0, 1, 3]);
    cluster.start_process().await;
    let answer = tokio::time::timeout(PATIENCE, query).await.expect("it ends").unwrap();
    assert_eq!(rows(&answer.unwrap(), false), plain);
    wait("the end of an idle executor", &|| backend.killed.lock().contains(&"0".to_owned())).await;
    assert_eq!(backend.totals.lock().last(), Some(&0));
    cluster.engine.stop().await;
}
