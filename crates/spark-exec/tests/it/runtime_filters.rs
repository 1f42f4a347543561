//! Rows without a partner in a join are left out before they are shuffled, and the answer stays the same.

use datafusion::common::JoinType;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext, col, lit};
use spark_exec::RunOptions;

use crate::cluster::{Cluster, register, rows, session};
use crate::measured::{ends, sum};
use crate::service::event_log;

/// The few facts with an even text and a large amount, joined with all by a key that is often null, and counted by that key.
async fn question(session: &SessionContext, join: JoinType) -> DataFrame {
    let facts = session.table("facts").await.unwrap();
    let few =
        facts.clone().filter(col("amount").gt(lit(46.0)).and(col("text").eq(lit("t4")))).unwrap();
    let few = few.select(vec![col("id").alias("fid"), col("key").alias("fkey")]).unwrap();
    let joined = few.join(facts, join, &["fkey", "fid"], &["key", "id"], None).unwrap();
    let key = match join {
        JoinType::RightSemi | JoinType::RightAnti => col("id"),
        _ => col("fid"),
    };
    joined.aggregate(vec![key], vec![count(lit(1_i64))]).unwrap()
}

/// The answer, and the rows that were written for it.
async fn ask(join: JoinType, filters: &str) -> (Vec<String>, u64) {
    let logs = tempfile::tempdir().unwrap();
    let cluster = Cluster::two_with(|options| {
        options.event_log = Some(event_log(logs.path(), &options.app_id));
    })
    .await;
    let session = session(4);
    {
        let state = session.state_ref();
        let mut state = state.write();
        let optimizer = &mut state.config_mut().options_mut().optimizer;
        optimizer.hash_join_single_partition_threshold = 0;
        optimizer.hash_join_single_partition_threshold_rows = 0;
    }
    let plan = question(&session, join).await.create_physical_plan().await.unwrap();
    let mut options = RunOptions::default();
    for (key, value) in [
        ("spark.sql.adaptive.autoBroadcastJoinThreshold", "-1"),
        ("spark.sql.optimizer.runtime.bloomFilter.enabled", filters),
    ] {
        options.conf.insert(key.to_owned(), value.to_owned());
    }
    let answer = cluster.run_with(&session, plan, options).await.unwrap();
    cluster.engine.stop().await;
    let log = std::fs::read_to_string(logs.path().join("app-test")).unwrap();
    let written = sum(&ends(&log), "/Shuffle Write Metrics/Shuffle Records Written");
    (rows(&answer, false), written)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_without_a_partner_are_not_written() {
    let plain = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    register(&plain);
    for join in [
        JoinType::Inner,
        JoinType::Left,
        JoinType::Right,
        JoinType::Full,
        JoinType::LeftSemi,
        JoinType::LeftAnti,
        JoinType::RightSemi,
        JoinType::RightAnti,
    ] {
        let expected = question(&plain, join).await.collect().await.unwrap();
        let (with, written) = ask(join, "true").await;
        assert_eq!(with, rows(&expected, false), "{join}");
        let (without, all) = ask(join, "false").await;
        assert_eq!(without, with, "{join}");
        if matches!(join, JoinType::Right | JoinType::Full | JoinType::RightAnti) {
            assert_eq!(written, all, "{join}");
        } else {
            assert!(written * 10 < all, "{join}: {written} rows written, {all} without filters");
        }
    }
}
