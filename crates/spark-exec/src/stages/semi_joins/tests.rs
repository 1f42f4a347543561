use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use datafusion::common::JoinType::{self, *};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::prelude::{DataFrame, Expr, SessionConfig, SessionContext, col, lit};

use super::add;

/// Tables of three columns that are named after them: two large ones, and `c` and `d` with twenty rows.
fn context() -> SessionContext {
    let mut config =
        SessionConfig::new().with_target_partitions(4).with_round_robin_repartition(false);
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.hash_join_single_partition_threshold = 20_000;
    optimizer.hash_join_single_partition_threshold_rows = 100;
    let context = SessionContext::new_with_config(config);
    for (table, rows) in [("a", 4000), ("b", 5000), ("c", 20), ("d", 20)] {
        let half = |rows: std::ops::Range<i64>| {
            let columns = ["k", "x", "v"].map(|name| {
                let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone()));
                (format!("{table}{name}"), values)
            });
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let halves = [half(0..rows / 2), half(rows / 2..rows)];
        let rows = MemTable::try_new(halves[0].schema(), halves.map(|half| vec![half]).into());
        context.register_table(table, Arc::new(rows.unwrap())).unwrap();
    }
    context
}

fn function(volatility: Volatility) -> ScalarUDF {
    let same = |values: &[ColumnarValue]| Ok(values[0].clone());
    let int = arrow::datatypes::DataType::Int64;
    create_udf("same", vec![int.clone()], int, volatility, Arc::new(same))
}

/// How the tests write what is joined with what.
trait Frames: Sized {
    fn joined(self, kind: JoinType, other: Self, on: [&str; 2]) -> Self;
    fn kept(self, condition: Expr) -> Self;
    fn columns(self, columns: &[Expr]) -> Self;
}

impl Frames for DataFrame {
    fn joined(self, kind: JoinType, other: Self, [left, right]: [&str; 2]) -> Self {
        self.join(other, kind, &[left], &[right], None).unwrap()
    }

    fn kept(self, condition: Expr) -> Self {
        self.filter(condition).unwrap()
    }

    fn columns(self, columns: &[Expr]) -> Self {
        self.select(columns.to_vec()).unwrap()
    }
}

async fn table(name: &str) -> DataFrame {
    context().table(name).await.unwrap()
}

/// The rows of `c` that are filtered.
async fn few() -> DataFrame {
    table("c").await.kept(col("cv").gt(lit(3_i64)))
}

/// The joins, exchanges and tables of a plan, each with what is below it. Which of two large tables the planner takes for
/// the left one is not told.
fn outline(plan: &Arc<dyn ExecutionPlan>) -> String {
    let mut below: Vec<_> =
        plan.children().into_iter().map(outline).filter(|text| !text.is_empty()).collect();
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let mut kind = *join.join_type();
        if *join.partition_mode() == PartitionMode::Partitioned {
            match kind {
                Inner | Full => below.sort(),
                Right | RightSemi | RightAnti | RightMark => {
                    kind = kind.swap();
                    below.reverse();
                }
                Left | LeftSemi | LeftAnti | LeftMark => {}
            }
        }
        return format!("{kind}({})", below.join(", "));
    }
    if plan.is::<RepartitionExec>() {
        return format!("[{}]", below.join(", "));
    }
    if plan.children().is_empty() {
        return plan.schema().field(0).name().chars().take(1).collect();
    }
    below.join(", ")
}

/// The outlines of a plan before and after.
async fn outlines(frame: DataFrame) -> [String; 2] {
    let plan = frame.create_physical_plan().await.unwrap();
    let added = add(Arc::clone(&plan)).unwrap();
    assert_eq!(added.schema(), plan.schema());
    let partitions =
        |plan: &Arc<dyn ExecutionPlan>| plan.properties().output_partitioning().partition_count();
    assert_eq!(partitions(&added), partitions(&plan));
    [outline(&plan), outline(&added)]
}

async fn check(frame: DataFrame, before: &str, after: &str) {
    assert_eq!(outlines(frame).await, [before, after]);
}

async fn check_unchanged(frame: DataFrame, plan: &str) {
    check(frame, plan, plan).await;
}

/// `a` and `b`, joined by their first columns.
async fn shuffled(kind: JoinType) -> DataFrame {
    table("a").await.joined(kind, table("b").await, ["ak", "bk"])
}

const SHUFFLED: &str = "Inner(c, Inner([a], [b]))";
const SHUFFLED_WITHOUT_A: &str = "Inner(c, Inner([RightSemi(c, a)], [b]))";
const SHUFFLED_WITHOUT_B: &str = "Inner(c, Inner([RightSemi(c, b)], [a]))";

#[tokio::test]
async fn rows_are_left_out_before_they_are_shuffled() {
    let frame = shuffled(Inner).await.joined(Inner, few().await, ["ax", "ck"]);
    check(frame, SHUFFLED, SHUFFLED_WITHOUT_A).await;
    let frame = shuffled(Inner).await.joined(Inner, few().await, ["bx", "ck"]);
    check(frame, SHUFFLED, SHUFFLED_WITHOUT_B).await;
    let frame = shuffled(Inner).await.joined(LeftSemi, few().await, ["bx", "ck"]);
    let [before, after] =
        [SHUFFLED, SHUFFLED_WITHOUT_B].map(|plan| format!("RightSemi{}", &plan[5..]));
    check(frame, &before, &after).await;
    // Columns of other names.
    let renamed = table("a").await.columns(&[col("ax").alias("m"), col("ak").alias("n")]);
    let frame = renamed.joined(Inner, table("b").await, ["n", "bk"]);
    let frame = frame.joined(Inner, few().await, ["m", "ck"]);
    check(frame, SHUFFLED, SHUFFLED_WITHOUT_A).await;
    // An expression over columns of one side, and a condition of the join above, which may drop more.
    let on = [(col("ax") + lit(1_i64)).eq(col("ck")), col("bv").lt(col("cv"))];
    let frame = shuffled(Inner).await.join_on(few().await, Inner, on).unwrap();
    check(frame, SHUFFLED, SHUFFLED_WITHOUT_A).await;
    // A column that is computed on the way.
    let doubled = table("a").await.columns(&[col("ak"), (col("ax") * lit(2_i64)).alias("m")]);
    let frame = doubled.joined(Inner, table("b").await, ["ak", "bk"]);
    let frame = frame.joined(Inner, few().await, ["m", "ck"]);
    check(frame, SHUFFLED, SHUFFLED_WITHOUT_A).await;
}

#[tokio::test]
async fn a_filtered_build_side_filters_in_turn() {
    let frame = shuffled(Inner).await.joined(Inner, table("d").await, ["ax", "dk"]);
    let frame = frame.joined(Inner, few().await, ["dx", "ck"]);
    let after = "Inner(c, Inner(RightSemi(c, d), Inner([RightSemi(RightSemi(c, d), a)], [b])))";
    check(frame, "Inner(c, Inner(d, Inner([a], [b])))", after).await;
}

#[tokio::test]
async fn several_exchanges_and_joins_are_passed() {
    let other = table("b").await.columns(&[col("bk").alias("ok"), col("bx").alias("ox")]);
    let third = table("b").await.columns(&[col("bk").alias("tk"), col("bx").alias("tx")]);
    let frame = shuffled(Inner).await.joined(LeftSemi, other, ["av", "ok"]);
    let frame = frame.joined(LeftAnti, third, ["bv", "tk"]);
    let frame = frame.joined(Inner, few().await, ["ax", "ck"]);
    let before = "Inner(c, LeftAnti([LeftSemi([Inner([a], [b])], [b])], [b]))";
    check(frame, before, &before.replace("[a]", "[RightSemi(c, a)]")).await;
}

#[tokio::test]
async fn only_a_side_that_keeps_its_rows_is_filtered() {
    for (kind, side, before, after) in [
        (Left, "ax", "Left([a], [b])", "Left([RightSemi(c, a)], [b])"),
        (Left, "bx", "Left([a], [b])", "Left([a], [b])"),
        (Right, "ax", "Left([b], [a])", "Left([b], [a])"),
        (Right, "bx", "Left([b], [a])", "Left([RightSemi(c, b)], [a])"),
        (Full, "ax", "Full([a], [b])", "Full([a], [b])"),
    ] {
        // Makes sure that the outer join stays one.
        let either = datafusion::functions::core::expr_fn::coalesce(vec![col("av"), col("bv")]);
        let frame = shuffled(kind).await;
        let frame = frame.columns(&[col("ax"), col("bx"), either.alias("v")]);
        let frame = frame.joined(LeftSemi, few().await, [side, "ck"]);
        let [before, after] = [before, after].map(|plan| format!("RightSemi(c, {plan})"));
        check(frame, &before, &after).await;
    }
}

#[tokio::test]
async fn a_join_that_needs_the_other_rows_filters_nothing() {
    for (kind, plan) in [
        (Left, "Right(c, Inner([a], [b]))"),
        (Full, "Full(c, Inner([a], [b]))"),
        (LeftAnti, "RightAnti(c, Inner([a], [b]))"),
    ] {
        let frame = shuffled(Inner).await.joined(kind, few().await, ["ax", "ck"]);
        check_unchanged(frame, plan).await;
    }
}

#[tokio::test]
async fn what_does_not_pay_stays() {
    // All rows of the small side are there.
    let all = table("c").await;
    let frame = shuffled(Inner).await.joined(Inner, all, ["ax", "ck"]);
    check_unchanged(frame, SHUFFLED).await;
    // The small side is large.
    let large = table("b").await.columns(&[col("bk").alias("n"), col("bv").alias("m")]);
    let large = large.kept(col("m").gt(lit(3_i64)));
    let frame = shuffled(Inner).await.joined(Inner, large, ["ax", "n"]);
    check_unchanged(frame, "Inner([Inner([a], [b])], [b])").await;
    // Nothing is shuffled below.
    let frame = table("a").await.joined(Inner, few().await, ["ax", "ck"]);
    check_unchanged(frame, "Inner(c, a)").await;
}

#[tokio::test]
async fn what_has_no_place_below_stays() {
    // Columns of both sides.
    let on = (col("ax") + col("bx")).eq(col("ck"));
    let frame = shuffled(Inner).await.join_on(few().await, Inner, [on]).unwrap();
    check_unchanged(frame, SHUFFLED).await;
    let frame = shuffled(Inner).await;
    let frame = frame.join(few().await, Inner, &["ax", "bx"], &["ck", "cx"], None).unwrap();
    check_unchanged(frame, SHUFFLED).await;
    // The rows that are there decide which others are.
    let frame = shuffled(Inner).await.limit(0, Some(50)).unwrap();
    let frame = frame.joined(Inner, few().await, ["ax", "ck"]);
    check_unchanged(frame, SHUFFLED).await;
}

#[tokio::test]
async fn what_differs_each_time_is_not_passed_and_does_not_filter() {
    for (volatility, after) in
        [(Volatility::Immutable, SHUFFLED_WITHOUT_A), (Volatility::Volatile, SHUFFLED)]
    {
        let called = |name: &str| function(volatility).call(vec![col(name)]);
        // Above the exchange: what counts rows would count others.
        let numbered = shuffled(Inner).await;
        let numbered = numbered.columns(&[col("ax"), called("av").alias("n"), col("bv")]);
        let numbered = numbered.joined(Inner, few().await, ["ax", "ck"]);
        check(numbered, SHUFFLED, after).await;
        let some = table("c").await.kept(called("cv").gt(lit(3_i64)));
        let frame = shuffled(Inner).await.joined(Inner, some, ["ax", "ck"]);
        check(frame, SHUFFLED, after).await;
    }
}
