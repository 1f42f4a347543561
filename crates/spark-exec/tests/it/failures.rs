//! What happens when something breaks.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::common::JoinType;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::{DataFrame, SessionContext, col, lit};
use futures::TryStreamExt;
use spark_exec::failure::find_error;
use spark_exec::{PlanRunner, RunOptions};
use spark_sql_parser::error::SparkError;

use crate::cluster::{Cluster, PATIENCE, rows, session};

/// A query with a wide shuffle that takes a while.
pub(crate) async fn heavy(context: &SessionContext) -> DataFrame {
    heavy_of(context, 8).await
}

/// The same with so many map tasks.
pub(crate) async fn heavy_of(context: &SessionContext, maps: i64) -> DataFrame {
    let batches = (0..maps)
        .map(|partition| {
            let ids = Int64Array::from_iter_values(partition * 100_000..(partition + 1) * 100_000);
            vec![RecordBatch::try_from_iter([("n", Arc::new(ids) as ArrayRef)]).unwrap()]
        })
        .collect::<Vec<_>>();
    let schema = batches[0][0].schema();
    let table = datafusion::datasource::MemTable::try_new(schema, batches).unwrap();
    let numbers = context.read_table(Arc::new(table)).unwrap();
    numbers
        .aggregate(vec![(col("n") % lit(50_000)).alias("k")], vec![sum(col("n")).alias("s")])
        .unwrap()
        .aggregate(vec![(col("k") % lit(97)).alias("g")], vec![count(col("s")), sum(col("s"))])
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_executor_costs_no_row() {
    let context = session(40);
    let plain = rows(&heavy(&context).await.collect().await.unwrap(), false);
    let mut cluster = Cluster::processes(2).await;
    for round in 0..4 {
        let mut options = RunOptions::default();
        // With and without adaptive execution.
        let adaptive = (round % 2 == 0).to_string();
        options.conf.insert("spark.sql.adaptive.enabled".to_owned(), adaptive);
        options.conf.insert(
            "spark.sql.adaptive.coalescePartitions.minPartitionSize".to_owned(),
            "1".to_owned(),
        );
        options.conf.insert(
            "spark.sql.adaptive.advisoryPartitionSizeInBytes".to_owned(),
            "100k".to_owned(),
        );
        let plan = heavy(&context).await.create_physical_plan().await.unwrap();
        let before = tasks_done(&cluster);
        let engine = cluster.engine.clone();
        let state = context.state();
        let query = tokio::spawn(async move {
            let query = engine.run(plan, &state, options).await?;
            datafusion::physical_plan::common::collect(query.stream).await
        });
        tokio::time::timeout(PATIENCE, async {
            while tasks_done(&cluster) < before + 10 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("tasks run");
        cluster.kill(round);
        cluster.start_process().await;
        let answer = tokio::time::timeout(PATIENCE, query).await.expect("it ends").unwrap();
        assert_eq!(rows(&answer.unwrap(), false), plain, "round {round}");
    }
}

pub(crate) fn tasks_done(cluster: &Cluster) -> u64 {
    cluster.engine.statistics().values().map(|executor| executor.tasks).sum()
}

/// Fails for the row 77.
fn division() -> datafusion::prelude::Expr {
    lit(10_i64) / (col("id") - lit(77_i64))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_task_fails_after_four_attempts_with_its_error() {
    let context = session(4);
    let frame = context.table("facts").await.unwrap();
    let frame = frame.select(vec![division()]).unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let cluster = Cluster::two().await;
    let error = cluster.run(&context, plan).await.unwrap_err();
    let error = find_error::<SparkError>(&error).expect("a Spark error");
    assert!(error.text.contains("Divide by zero"), "{error}");
    assert!(error.text.contains("failed 4 times"), "{error}");
    let failed: u64 = cluster.engine.statistics().values().map(|e| e.failed_tasks).sum();
    assert!(failed >= 4, "{failed} failed attempts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_cannot_travel_is_named() {
    let context = session(4);
    let function: ScalarUDF = create_udf(
        "homemade",
        vec![DataType::Int64],
        DataType::Int64,
        Volatility::Immutable,
        Arc::new(|args: &[ColumnarValue]| Ok(args[0].clone())),
    );
    let frame = context.table("facts").await.unwrap();
    let frame = frame.select(vec![function.call(vec![col("id")])]).unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let error = Cluster::local(2).await.run(&context, plan).await.unwrap_err();
    assert!(error.to_string().contains("homemade"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_query_stops() {
    let context = session(200);
    let cluster = Cluster::local(2).await;
    let plan = heavy(&context).await.create_physical_plan().await.unwrap();
    let query = cluster.engine.run(plan, &context.state(), RunOptions::default()).await.unwrap();
    query.job.cancel();
    let error = datafusion::physical_plan::common::collect(query.stream).await.unwrap_err();
    let error: DataFusionError = error;
    assert_eq!(find_error::<SparkError>(&error).unwrap().condition, "OPERATION_CANCELED");
    tokio::time::timeout(PATIENCE, async {
        while !cluster.engine.progress().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("its stages go");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffle_files_go_with_their_query() {
    let context = session(8);
    let cluster = Cluster::local(2).await;
    let plan = heavy(&context).await.create_physical_plan().await.unwrap();
    cluster.run(&context, plan).await.unwrap();
    let directory = cluster.directory.path().to_owned();
    tokio::time::timeout(PATIENCE, async {
        while data_files(&directory) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the files go");
}

fn data_files(directory: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.path() {
            path if path.is_dir() => data_files(&path),
            path => usize::from(path.extension().is_some_and(|extension| extension == "data")),
        })
        .sum()
}

/// Results beyond the size that travels with a task's end wait in files of the driver.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_results_come_whole_and_in_order() {
    let context = session(4);
    let cluster = Cluster::two().await;
    let batches = (0..3_i64)
        .map(|partition| {
            let ids = Int64Array::from_iter_values(partition * 400_000..(partition + 1) * 400_000);
            vec![RecordBatch::try_from_iter([("n", Arc::new(ids) as ArrayRef)]).unwrap()]
        })
        .collect::<Vec<_>>();
    let schema = batches[0][0].schema();
    let table = datafusion::datasource::MemTable::try_new(schema, batches).unwrap();
    let frame = context.read_table(Arc::new(table)).unwrap();
    let frame = frame.filter((col("n") % lit(5)).not_eq(lit(3))).unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let answer = cluster.run(&context, plan).await.unwrap();
    let numbers = answer.iter().flat_map(|batch| {
        batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
    });
    assert!(numbers.eq((0..1_200_000).filter(|n| n % 5 != 3)));
}

/// A cancelled query's tasks stop, and the processors are free within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_query_frees_the_processors() {
    let cluster = Cluster::processes(2).await;
    let session = session(4);
    let side = async |name| session.table("facts").await.unwrap().alias(name).unwrap();
    // Far more pairs than anyone waits for.
    let together = |left: &str, right: &str| {
        (col(format!("{left}.id")) + col(format!("{right}.id"))).gt(lit(-1))
    };
    let endless = side("a").await;
    let endless = endless.join_on(side("b").await, JoinType::Inner, [together("a", "b")]).unwrap();
    let endless = endless.join_on(side("c").await, JoinType::Inner, [together("a", "c")]).unwrap();
    let endless = endless.aggregate(vec![], vec![sum(col("a.id") + col("c.id"))]).unwrap();
    let plan = endless.create_physical_plan().await.unwrap();
    let query = cluster
        .engine
        .run(plan, &session.state(), spark_exec::RunOptions::default())
        .await
        .unwrap();
    let idle = cluster.cpu_time();
    tokio::time::timeout(PATIENCE, async {
        while cluster.cpu_time() < idle + Duration::from_millis(500) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the query computes");
    query.job.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stopped = cluster.cpu_time();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let used = cluster.cpu_time() - stopped;
    assert!(used <= Duration::from_millis(50), "{used:?} in half a second after the cancellation");
    let end = query.stream.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(end.to_string().contains("canceled"), "{end}");
}
