//! Executors that are told to end move what others still need.

use std::time::Duration;

use spark_exec::{PlanRunner, RunOptions};

use crate::cluster::{Cluster, PATIENCE, rows, session};
use crate::failures::heavy;

/// Rows kept by executors outlive the executor that wrote them, without being computed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decommissioned_executor_leaves_its_map_output_with_the_others() {
    let context = session(12);
    let plain = rows(&heavy(&context).await.collect().await.unwrap(), false);
    let mut cluster = Cluster::processes_with(2, |options| {
        options.conf.insert("spark.decommission.enabled".to_owned(), "true".to_owned());
    })
    .await;
    let plan = heavy(&context).await.create_physical_plan().await.unwrap();
    let (engine, state) = (cluster.engine.clone(), context.state());
    let mut options = RunOptions::default();
    options.conf.insert("spark.sql.adaptive.enabled".to_owned(), "false".to_owned());
    let query = tokio::spawn(async move {
        let query = engine.run(plan, &state, options).await?;
        datafusion::physical_plan::common::collect(query.stream).await
    });
    // The first stage has eight tasks on four cores: some output is there, some tasks run.
    tokio::time::timeout(PATIENCE, async {
        while cluster.engine.statistics().get("0").is_none_or(|executor| executor.tasks < 3) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("tasks run");
    cluster.terminate(0);
    let answer = tokio::time::timeout(PATIENCE, query).await.expect("it ends").unwrap();
    assert_eq!(rows(&answer.unwrap(), false), plain);
    // It ends by itself, with nothing left of its files.
    assert!(cluster.ended(0, PATIENCE).success());
    let directories = std::fs::read_dir(cluster.directory.path()).unwrap().count();
    assert_eq!(directories, 1, "only the other executor's directory is there");
    let failed: u64 = cluster.engine.statistics().values().map(|e| e.failed_tasks).sum();
    assert_eq!(failed, 0, "no task was lost and no block missed");
}
