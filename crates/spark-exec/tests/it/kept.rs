//! Kept rows (`cache`): computed once, read from executors, computed again where one is lost, gone
//! when nobody wants them.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use spark_exec::{Engine, PlanRunner, RunOptions};
use spark_plan::{
    Mode, QueryRunner, Resolver, Session, cell_texts, execute_command, plan_physical,
};
use spark_sql_parser::ast::Statement;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::{ParserOptions, parse_statement};

use crate::cluster::{Cluster, PATIENCE};
use crate::random;

/// Partitions of the kept rows.
const PARTITIONS: u64 = 4;

/// Runs plans in stages.
pub(crate) struct Runner(pub(crate) Engine);

#[async_trait]
impl QueryRunner for Runner {
    fn mode(&self, _session: &Session) -> Mode {
        Mode::Staged { shuffle_partitions: PARTITIONS as usize }
    }

    async fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        state: &SessionState,
    ) -> Result<SendableRecordBatchStream, SparkError> {
        let running = self.0.run(plan, state, RunOptions::default()).await;
        Ok(running.map_err(spark_plan::errors::from_datafusion)?.stream)
    }
}

/// The rows of a statement, sorted.
pub(crate) async fn sql(session: &Session, runner: &Runner, text: &str) -> Vec<Vec<String>> {
    let statement = parse_statement(text, &ParserOptions::default()).unwrap();
    let batches = match statement {
        Statement::Query(relation) => {
            let resolved =
                Resolver::new(session).with_runner(runner).resolve(&relation).await.unwrap();
            let mode = runner.mode(session);
            let plan = plan_physical(session, &resolved, mode).await.unwrap();
            let rows = runner.run(plan, &session.state(mode)).await.unwrap();
            rows.try_collect().await.unwrap()
        }
        Statement::Command(command) => {
            execute_command(session, &command, runner).await.unwrap().batches
        }
    };
    let mut rows: Vec<_> = batches.iter().flat_map(|batch| cell_texts(batch, "UTC")).collect();
    rows.sort();
    rows
}

fn blocks(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let count = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => blocks(&entry.path()),
        Ok(_) => usize::from(entry.path().extension().is_none_or(|e| e != "lock")),
        Err(_) => 0,
    };
    entries.flatten().map(count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_rows_survive_queries_and_executors_until_they_are_let_go() {
    random::register();
    let mut cluster = Cluster::processes_with(2, |options| {
        // Small as they are, the rows lie in several blocks.
        let key = "spark.sql.adaptive.coalescePartitions.enabled".to_owned();
        options.conf.insert(key, "false".to_owned());
        // Blocks are counted as files.
        let key = "spark.ferrospark.shuffle.heldMemory".to_owned();
        options.conf.insert(key, "0".to_owned());
    })
    .await;
    let runner = Runner(cluster.engine.clone());
    let session = random::session(&mut random::generator::Random::new(7));
    let none_kept = blocks(cluster.directory.path());
    sql(
        &session,
        &runner,
        "CACHE TABLE c AS SELECT k, count(*) AS n, max(uuid()) AS u FROM \
         (SELECT k FROM t0 UNION ALL SELECT k FROM t1 UNION ALL SELECT k FROM t2) GROUP BY k",
    )
    .await;
    const ALL: &str = "SELECT k, n, u FROM c";
    let tasks = |cluster: &Cluster| -> u64 {
        cluster.engine.statistics().values().map(|executor| executor.tasks).sum()
    };
    let before = tasks(&cluster);
    let first = sql(&session, &runner, ALL).await;
    assert!(first.len() > 10, "{} rows", first.len());
    assert_eq!(tasks(&cluster) - before, PARTITIONS, "the rows are read, not computed");
    assert_eq!(sql(&session, &runner, "SELECT k, n, u FROM c WHERE n >= 0").await, first);
    assert!(blocks(cluster.directory.path()) > none_kept);

    // Lost rows are computed again; what lay elsewhere stays.
    cluster.kill(0);
    cluster.start_process().await;
    let before = tasks(&cluster);
    assert_eq!(sql(&session, &runner, ALL).await, first);
    assert!(tasks(&cluster) - before > PARTITIONS, "an executor had none of the rows");
    let before = tasks(&cluster);
    assert_eq!(sql(&session, &runner, ALL).await, first);
    assert_eq!(tasks(&cluster) - before, PARTITIONS, "what was computed again is kept");

    let joined =
        sql(&session, &runner, "SELECT count(*) FROM c JOIN c AS d ON c.k <=> d.k AND c.u = d.u")
            .await;
    assert_eq!(joined, [[first.len().to_string()]]);

    sql(&session, &runner, "UNCACHE TABLE c").await;
    let before = tasks(&cluster);
    assert_eq!(sql(&session, &runner, ALL).await, first);
    assert!(tasks(&cluster) - before > PARTITIONS, "the old rows are read still");
    let directory = cluster.directory.path().to_owned();
    let gone = async {
        while blocks(&directory) > none_kept {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the files of kept rows go");
}
