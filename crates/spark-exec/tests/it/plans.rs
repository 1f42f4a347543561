//! Every kind of plan, staged and plain.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::functions_aggregate::expr_fn::{avg, count, count_distinct, max, min, sum};
use datafusion::functions_window::expr_fn::{lag, rank, row_number};
use datafusion::logical_expr::expr_fn::scalar_subquery;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Partitioning};
use datafusion::prelude::{DataFrame, SessionContext, col, lit};
use futures::FutureExt;

use crate::cluster::{Cluster, Question};

macro_rules! question {
    ($name:literal, $partitions:literal, $ordered:literal, |$context:ident| $body:expr) => {
        Question {
            name: $name,
            partitions: $partitions,
            ordered: $ordered,
            ask: |$context: &SessionContext| async move { $body }.boxed(),
        }
    };
}

async fn facts(context: &SessionContext) -> DataFrame {
    context.table("facts").await.unwrap()
}

async fn names(context: &SessionContext) -> DataFrame {
    context.table("names").await.unwrap()
}

async fn joined(context: &SessionContext, kind: JoinType) -> DataFrame {
    let facts = facts(context).await.filter(col("id").lt(lit(6000))).unwrap();
    facts.join(names(context).await, kind, &["key"], &["nkey"], None).unwrap()
}

async fn joined_on(context: &SessionContext, kind: JoinType) -> DataFrame {
    let facts = facts(context).await.filter(col("id").lt(lit(2030))).unwrap();
    let on = col("key").gt(col("nkey") + lit(9));
    facts.join_on(names(context).await, kind, [on]).unwrap()
}

fn by(expr: Expr) -> datafusion::logical_expr::SortExpr {
    expr.sort(true, false)
}

fn aggregates() -> Vec<Question> {
    vec![
        question!("group by", 4, false, |context| {
            let amounts = vec![count(col("id")), sum(col("amount")), avg(col("amount"))];
            facts(context).await.aggregate(vec![col("key")], amounts).unwrap()
        }),
        question!("group by two keys, having", 200, false, |context| {
            facts(context)
                .await
                .aggregate(
                    vec![col("key"), col("text")],
                    vec![max(col("id")).alias("last"), min(col("amount"))],
                )
                .unwrap()
                .filter(col("last").gt(lit(3000)))
                .unwrap()
        }),
        question!("global aggregate", 4, false, |context| {
            let all = vec![count(col("id")), sum(col("amount")), max(col("text"))];
            facts(context).await.aggregate(vec![], all).unwrap()
        }),
        question!("count distinct", 5, false, |context| {
            let texts = vec![count_distinct(col("text"))];
            facts(context).await.aggregate(vec![col("key")], texts).unwrap()
        }),
        question!("distinct", 7, false, |context| {
            facts(context).await.select(vec![col("key"), col("text")]).unwrap().distinct().unwrap()
        }),
        question!("aggregate of nothing", 4, false, |context| {
            let empty = context.table("empty").await.unwrap();
            empty.aggregate(vec![], vec![count(col("nkey")), max(col("name"))]).unwrap()
        }),
        question!("group of nothing", 4, false, |context| {
            let empty = context.table("empty").await.unwrap();
            empty.aggregate(vec![col("nkey")], vec![count(col("name"))]).unwrap()
        }),
    ]
}

fn joins() -> Vec<Question> {
    vec![
        question!("inner", 4, false, |context| joined(context, JoinType::Inner).await),
        question!("left", 4, false, |context| joined(context, JoinType::Left).await),
        question!("right", 4, false, |context| joined(context, JoinType::Right).await),
        question!("full", 4, false, |context| joined(context, JoinType::Full).await),
        question!("left semi", 4, false, |context| joined(context, JoinType::LeftSemi).await),
        question!("right semi", 4, false, |context| joined(context, JoinType::RightSemi).await),
        question!("left anti", 4, false, |context| joined(context, JoinType::LeftAnti).await),
        question!("right anti", 4, false, |context| joined(context, JoinType::RightAnti).await),
        question!("left mark", 4, false, |context| joined(context, JoinType::LeftMark).await),
        question!("on inner", 4, false, |context| joined_on(context, JoinType::Inner).await),
        question!("on left", 4, false, |context| joined_on(context, JoinType::Left).await),
        question!("on right", 4, false, |context| joined_on(context, JoinType::Right).await),
        question!("on full", 4, false, |context| joined_on(context, JoinType::Full).await),
        question!("on left semi", 4, false, |context| joined_on(context, JoinType::LeftSemi).await),
        question!("on left anti", 4, false, |context| joined_on(context, JoinType::LeftAnti).await),
        question!("on right semi", 4, false, |context| {
            joined_on(context, JoinType::RightSemi).await
        }),
        question!("on right anti", 4, false, |context| {
            joined_on(context, JoinType::RightAnti).await
        }),
        question!("cross", 4, false, |context| {
            let few = names(context).await.filter(col("nkey").gt(lit(20))).unwrap();
            let facts = facts(context).await.filter(col("id").lt(lit(50))).unwrap();
            facts.join_on(few, JoinType::Inner, [lit(true)]).unwrap()
        }),
        question!("join with nothing", 4, false, |context| {
            let empty = context.table("empty").await.unwrap();
            facts(context).await.join(empty, JoinType::Left, &["key"], &["nkey"], None).unwrap()
        }),
        question!("join, group, join", 6, false, |context| {
            let sums = joined(context, JoinType::Inner)
                .await
                .aggregate(vec![col("nkey")], vec![sum(col("amount")).alias("total")])
                .unwrap()
                .select(vec![col("nkey").alias("skey"), col("total")])
                .unwrap();
            let names = names(context).await;
            names.join(sums, JoinType::Left, &["nkey"], &["skey"], None).unwrap()
        }),
    ]
}

fn orders() -> Vec<Question> {
    vec![
        question!("sort", 4, true, |context| {
            facts(context).await.sort(vec![col("amount").sort(false, true), by(col("id"))]).unwrap()
        }),
        question!("top", 4, true, |context| {
            let sorted = vec![by(col("text")), col("id").sort(false, false)];
            facts(context).await.sort(sorted).unwrap().limit(3, Some(11)).unwrap()
        }),
        question!("limit over an aggregate in order", 4, true, |context| {
            facts(context)
                .await
                .aggregate(vec![col("key")], vec![count(col("id")).alias("n")])
                .unwrap()
                .sort(vec![by(col("n")), by(col("key"))])
                .unwrap()
                .limit(0, Some(7))
                .unwrap()
        }),
        question!("union", 4, false, |context| {
            let keys = names(context).await.select(vec![col("nkey").alias("key")]).unwrap();
            let limited = facts(context).await.select(vec![col("key")]).unwrap();
            let sorted = limited.sort(vec![by(col("key"))]).unwrap().limit(0, Some(9)).unwrap();
            keys.clone().union(sorted).unwrap().union(keys).unwrap()
        }),
        question!("union, group", 4, false, |context| {
            let a = facts(context).await.select(vec![col("key")]).unwrap();
            let b = names(context).await.select(vec![col("nkey").alias("key")]).unwrap();
            let keys = a.union(b).unwrap();
            keys.aggregate(vec![col("key")], vec![count(lit(1))]).unwrap()
        }),
        question!("windows", 4, false, |context| {
            let frame = |expr: Expr| {
                expr.partition_by(vec![col("key")]).order_by(vec![by(col("id"))]).build().unwrap()
            };
            facts(context)
                .await
                .window(vec![
                    frame(row_number()),
                    frame(lag(col("amount"), Some(1), None)),
                    frame(rank()),
                ])
                .unwrap()
        }),
        question!("window over everything", 4, false, |context| {
            let number = row_number().order_by(vec![by(col("id"))]).build().unwrap();
            facts(context).await.window(vec![number]).unwrap()
        }),
        question!("scalar subquery", 4, false, |context| {
            let average = facts(context)
                .await
                .aggregate(vec![], vec![avg(col("amount"))])
                .unwrap()
                .into_unoptimized_plan();
            let above = col("amount").gt(scalar_subquery(Arc::new(average)));
            facts(context)
                .await
                .filter(above)
                .unwrap()
                .aggregate(vec![col("key")], vec![count(col("id"))])
                .unwrap()
        }),
        question!("scalar subquery of nothing", 4, false, |context| {
            let nothing = context.table("empty").await.unwrap();
            let nothing = nothing.select(vec![col("nkey")]).unwrap().into_unoptimized_plan();
            let value = scalar_subquery(Arc::new(nothing));
            names(context).await.select(vec![col("name"), value.alias("v")]).unwrap()
        }),
        question!("repartition", 4, false, |context| {
            let apart = facts(context).await.repartition(Partitioning::RoundRobinBatch(6)).unwrap();
            apart.filter(col("id").gt(lit(4000))).unwrap()
        }),
    ]
}

pub(crate) fn all() -> impl Iterator<Item = Question> {
    aggregates().into_iter().chain(joins()).chain(orders())
}

async fn check_all(cluster: &Cluster) {
    check(cluster, all()).await;
}

async fn check(cluster: &Cluster, questions: impl Iterator<Item = Question>) {
    let mut wrong = Vec::new();
    for question in questions {
        if let Err(message) = cluster.check(&question).await {
            wrong.push(message);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_executor_answers_as_plain_datafusion() {
    check_all(&Cluster::local(2).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_executors_answer_as_plain_datafusion() {
    let cluster = Cluster::two().await;
    check_all(&cluster).await;
    for (executor, statistics) in cluster.engine.statistics() {
        assert!(statistics.tasks > 0, "executor {executor} ran nothing");
        assert!(statistics.bytes_read_remote > 0, "executor {executor} read nothing remote");
        assert_eq!(statistics.failed_tasks, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adaptive_execution_answers_as_plain_datafusion() {
    let mut cluster = Cluster::two().await;
    cluster.adaptive = true;
    check_all(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_answer_as_plain_datafusion() {
    let cluster = Cluster::processes(2).await;
    let joins = joins().into_iter().take(4);
    check(&cluster, aggregates().into_iter().chain(joins).chain(orders())).await;
}

/// Plain DataFusion takes partitions as they come; Spark, and we, in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_takes_partitions_in_order() {
    let cluster = Cluster::two().await;
    let context = crate::cluster::session(4);
    let frame = facts(&context).await.select(vec![col("id")]).unwrap();
    let plan = frame.limit(1490, Some(20)).unwrap().create_physical_plan().await.unwrap();
    let answer = crate::cluster::rows(&cluster.run(&context, plan).await.unwrap(), true);
    let expected = (2490..2500).chain(3000..3010).map(|id: i64| id.to_string());
    assert_eq!(answer, expected.collect::<Vec<_>>());
}
