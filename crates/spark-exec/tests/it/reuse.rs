//! Equal exchanges of a query are one stage, and the answer stays the same.

use std::sync::atomic::AtomicU64;

use datafusion::common::JoinType;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::{DataFrame, SessionContext, col, lit};
use spark_exec::stages::{CutOptions, cut};

use crate::cluster::{Cluster, Question, session};

/// The groups of a table, joined with themselves.
async fn twice(session: &SessionContext) -> DataFrame {
    let facts = session.table("facts").await.unwrap();
    let counts = vec![count(lit(1_i64)).alias("c")];
    let groups = facts.aggregate(vec![col("key")], counts).unwrap();
    let left = groups.clone().alias("a").unwrap();
    let right = groups.alias("b").unwrap();
    let joined = left.join_on(right, JoinType::Inner, [col("a.c").eq(col("b.c"))]).unwrap();
    joined.select(vec![col("a.key"), col("b.c")]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_exchanges_run_once() {
    let session = session(4);
    let mut stages = Vec::new();
    for reuse_exchanges in [true, false] {
        let plan = twice(&session).await.create_physical_plan().await.unwrap();
        let options = CutOptions {
            partitions: 4,
            keep_round_robin: true,
            reuse_exchanges,
            add_semi_joins: true,
        };
        stages.push(cut(plan, &AtomicU64::new(0), options).unwrap().stages.len());
    }
    // The grouping, which both sides of the join read; each side has its own exchange by count.
    assert_eq!(stages[0] + 1, stages[1]);

    let mut cluster = Cluster::two().await;
    for adaptive in [false, true] {
        cluster.adaptive = adaptive;
        let question = Question {
            name: "the same grouping twice",
            partitions: 4,
            ordered: false,
            ask: |session| Box::pin(twice(session)),
        };
        cluster.check(&question).await.unwrap();
    }
}
