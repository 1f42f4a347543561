//! Which joins are broadcast before anything has run.

use datafusion::physical_plan::displayable;
use spark_plan::{Mode, Session, plan_physical};

use crate::harness::{query, resolve_sql, session};

async fn plan(session: &Session, sql: &str) -> String {
    let resolved = resolve_sql(session, sql).await;
    let plan =
        plan_physical(session, &resolved, Mode::Staged { shuffle_partitions: 4 }).await.unwrap();
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert!(text.contains("HashJoinExec"), "{text}");
    text
}

async fn is_broadcast(session: &Session, sql: &str) -> bool {
    plan(session, sql).await.contains("mode=CollectLeft")
}

#[tokio::test]
async fn a_side_of_small_files_is_broadcast() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("small.csv"), "k,v\n1,a\n2,b\n3,c\n").unwrap();
    let session = session();
    let small = format!(
        "(SELECT int(_c0) k, _c1 v FROM csv.`{}` WHERE _c0 <> 'k')",
        directory.path().display()
    );
    let large = "(SELECT id k FROM range(2000000))";
    let plain = format!("SELECT count(*), max(v) FROM {large} a JOIN {small} b ON a.k = b.k");
    assert!(is_broadcast(&session, &plain).await);
    let grouped = format!(
        "SELECT count(*) FROM {large} a JOIN (SELECT k FROM {small} GROUP BY k) b ON a.k = b.k"
    );
    assert!(is_broadcast(&session, &grouped).await);
    // Outer rows come from the side that is not broadcast.
    let outer = format!("SELECT count(*), max(v) FROM {large} a LEFT JOIN {small} b ON a.k = b.k");
    assert!(is_broadcast(&session, &outer).await);
    let wrong = format!("SELECT count(*), max(v) FROM {large} a RIGHT JOIN {small} b ON a.k = b.k");
    assert!(!is_broadcast(&session, &wrong).await);
    // How many rows a join makes of two sides, nobody knows.
    let joined = format!(
        "SELECT count(*) FROM {large} a JOIN (SELECT b.k FROM {small} b JOIN {small} c ON b.v = c.v) d ON a.k = d.k"
    );
    let both = is_broadcast(&session, &joined).await;
    assert!(both, "the inner join is");
    for (threshold, expected) in
        [("-1", false), ("0", false), ("4", false), ("1k", true), ("100m", true)]
    {
        session.set("spark.sql.autoBroadcastJoinThreshold", threshold).unwrap();
        assert_eq!(is_broadcast(&session, &plain).await, expected, "{threshold}");
        assert_eq!(query(&session, &plain).await.lines().nth(3), Some("|3       |c     |"));
    }
}

#[tokio::test]
async fn two_large_sides_are_not() {
    let session = session();
    let large = "(SELECT id k FROM range(2000000))";
    let sql = format!("SELECT count(*) FROM {large} a JOIN {large} b ON a.k = b.k");
    assert!(!is_broadcast(&session, &sql).await);
    // Spark counts what is there, not what a filter may leave.
    let sql = format!(
        "SELECT count(*) FROM {large} a JOIN (SELECT k FROM {large} WHERE k = 7) b ON a.k = b.k + 1"
    );
    assert!(!is_broadcast(&session, &sql).await);
}

#[tokio::test]
async fn a_hint_for_a_shuffle_keeps_a_small_side_from_being_broadcast() {
    let session = session();
    let joined = |hints: &str| {
        format!(
            "SELECT {hints} count(*) FROM range(2000000) a JOIN (SELECT id FROM range(9)) b ON a.id = b.id"
        )
    };
    assert!(is_broadcast(&session, &joined("")).await);
    for hint in ["MERGE", "mergejoin", "Shuffle_Merge", "SHUFFLE_HASH", "SHUFFLE_REPLICATE_NL"] {
        let hinted = joined(&format!("/*+ {hint}(b) */"));
        assert!(!is_broadcast(&session, &hinted).await, "{hint}");
        // The other side counts as well, and the order in which sides are written does not.
        let above = format!(
            "SELECT count(*) FROM (SELECT /*+ {hint} */ * FROM range(2000000)) a JOIN range(9) b ON b.id = a.id"
        );
        assert!(!is_broadcast(&session, &above).await, "{hint}");
    }
    // Of no relation of this name, of none at all, and no hint that is known.
    for nothing in ["/*+ MERGE(c) */", "/*+ MERGE */", "/*+ NOT_ONE(b) */"] {
        assert!(is_broadcast(&session, &joined(nothing)).await, "{nothing}");
    }
    // An alias hides the names below it.
    let hidden = "SELECT /*+ MERGE(b) */ count(*) FROM range(2000000) a JOIN (SELECT * FROM range(9) b) c ON a.id = c.id";
    assert!(is_broadcast(&session, hidden).await);
}

#[tokio::test]
async fn of_several_hints_broadcast_counts_before_those_for_a_shuffle() {
    let session = session();
    session.set("spark.sql.autoBroadcastJoinThreshold", "-1").unwrap();
    let joined = |hints: &str| {
        format!(
            "SELECT /*+ {hints} */ count(*) FROM (SELECT id FROM range(2000000)) a JOIN (SELECT id FROM range(9)) b ON a.id = b.id"
        )
    };
    for (hints, expected) in [
        ("MERGE(a), BROADCAST(b)", true),
        ("BROADCAST(b), MERGE(a)", true),
        ("SHUFFLE_REPLICATE_NL(b), BROADCAST(a)", true),
        // On one relation, the one that is written first.
        ("MERGE(b), BROADCAST(b)", false),
        ("BROADCAST(b), MERGE(a, b)", true),
        ("MERGE(a, b)", false),
        ("SHUFFLE_HASH(a), MERGE(b)", false),
    ] {
        assert_eq!(is_broadcast(&session, &joined(hints)).await, expected, "{hints}");
    }
    // The side that is named is the one, were it the larger.
    let plan = plan(&session, &joined("BROADCAST(a)")).await;
    let large = plan.find("2000000").unwrap();
    assert!(large < plan.rfind("RangeExec").unwrap(), "{plan}");
    // Whose rows must come out without a partner cannot be broadcast, whatever the hint.
    let outer = "SELECT /*+ BROADCAST(a), MERGE(b) */ count(*), max(b.id) FROM range(20) a LEFT JOIN range(9) b ON a.id = b.id";
    assert!(!is_broadcast(&session, outer).await);
}
