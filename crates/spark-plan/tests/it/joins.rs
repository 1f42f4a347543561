//! Which joins are broadcast before anything has run.

use datafusion::physical_plan::displayable;
use spark_plan::{Mode, Session, plan_physical};

use crate::harness::{query, resolve_sql, session};

async fn is_broadcast(session: &Session, sql: &str) -> bool {
    let resolved = resolve_sql(session, sql).await;
    let plan =
        plan_physical(session, &resolved, Mode::Staged { shuffle_partitions: 4 }).await.unwrap();
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert!(text.contains("HashJoinExec"), "{text}");
    text.contains("mode=CollectLeft")
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
