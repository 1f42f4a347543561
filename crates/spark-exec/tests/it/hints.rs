//! Join hints in adaptive execution, which knows how small a side has turned out.

use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use spark_exec::{PlanRunner, RunOptions};
use spark_plan::{Mode, Resolver, Session, SharedState, plan_physical};
use spark_sql_parser::ast::Statement;
use spark_sql_parser::{ParserOptions, parse_statement};

use crate::cluster::{Cluster, rows};
use crate::measured::{ends, sum};
use crate::random;
use crate::service::event_log;

/// The answer, and the rows that were shuffled for it.
async fn ask(hint: &str) -> (Vec<String>, u64) {
    random::register();
    let logs = tempfile::tempdir().unwrap();
    let cluster = Cluster::two_with(|options| {
        options.event_log = Some(event_log(logs.path(), &options.app_id));
    })
    .await;
    let conf = [("spark.sql.autoBroadcastJoinThreshold".to_owned(), "-1".to_owned())].into();
    let session = Session::new(SharedState::new(Arc::new(RuntimeEnv::default()), conf), "s", "");
    let sql = format!(
        "SELECT {hint} count(*), sum(a.id) FROM range(0, 50000, 1, 4) a JOIN range(0, 90, 1, 2) b ON a.id = b.id"
    );
    let Statement::Query(relation) = parse_statement(&sql, &ParserOptions::default()).unwrap()
    else {
        panic!("not a query: {sql}")
    };
    let mode = Mode::Staged { shuffle_partitions: 4 };
    let resolved = Resolver::new(&session).resolve(&relation).await.unwrap();
    let plan = plan_physical(&session, &resolved, mode).await.unwrap();
    let mut options = RunOptions::default();
    for (key, value) in [
        ("spark.sql.adaptive.autoBroadcastJoinThreshold", "10m"),
        ("spark.sql.optimizer.runtime.bloomFilter.enabled", "false"),
    ] {
        options.conf.insert(key.to_owned(), value.to_owned());
    }
    let running = cluster.engine.run(plan, &session.state(mode), options).await.unwrap();
    let answer: Vec<_> = running.stream.try_collect().await.unwrap();
    cluster.engine.stop().await;
    let log = std::fs::read_to_string(logs.path().join("app-test")).unwrap();
    let written = sum(&ends(&log), "/Shuffle Write Metrics/Shuffle Records Written");
    (rows(&answer, false), written)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_turns_out_small_is_not_broadcast_against_a_hint() {
    let (expected, written) = ask("").await;
    assert!(written < 1000, "the large side is not shuffled: {written}");
    for hint in ["MERGE(b)", "SHUFFLE_HASH(a)", "SHUFFLE_REPLICATE_NL(b)"] {
        let (answer, written) = ask(&format!("/*+ {hint} */")).await;
        assert_eq!(answer, expected, "{hint}");
        assert!(written > 50_000, "{hint}: both sides are shuffled: {written}");
    }
    let (answer, written) = ask("/*+ MERGE(a), BROADCAST(b) */").await;
    assert_eq!(answer, expected);
    assert!(written < 1000, "the large side is not shuffled: {written}");
}
