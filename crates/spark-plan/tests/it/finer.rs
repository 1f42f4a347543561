//! Local plans whose exchanges have more parts than there are cores answer as those that have not.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::physical_plan::displayable;
use spark_plan::{Mode, Session, plan_physical};

use crate::harness::{resolve_sql, run_plan, session};

const KEYS: i64 = 80_000;
const LOCAL: Mode = Mode::Local { cores: 2 };

fn table(folder: &Path, name: &str, columns: [(&str, ArrayRef); 2]) {
    let columns = columns.map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    std::fs::create_dir(folder.join(name)).unwrap();
    let half = batch.num_rows() / 2;
    let parts = [batch.slice(0, half), batch.slice(half, batch.num_rows() - half)];
    for (number, part) in parts.iter().enumerate() {
        let file = File::create(folder.join(name).join(format!("{number}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, part.schema(), None).unwrap();
        writer.write(part).unwrap();
        writer.close().unwrap();
    }
}

/// Scattered keys, null now and then: `a` has each once, `b` some of them and more, often twice.
fn tables(folder: &Path) {
    let keys = |rows: i64, step: i64, from: i64| -> ArrayRef {
        let key = |row| (row % 97 != 0).then_some(from + row * step % KEYS);
        Arc::new((0..rows).map(key).collect::<Int64Array>())
    };
    let values = |rows: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(0..rows)) };
    table(folder, "a", [("k", keys(40_000, 7919, -KEYS / 2)), ("v", values(40_000))]);
    table(folder, "b", [("k", keys(60_000, 31, -KEYS)), ("w", values(60_000))]);
}

async fn views(session: &Session, folder: &Path) {
    for name in ["a", "b"] {
        let sql = format!("select * from parquet.`{}`", folder.join(name).display());
        let plan = resolve_sql(session, &sql).await;
        session.create_temp_view(name, plan, None, true, false).unwrap();
    }
}

fn part_rows(session: &Session, rows: &str) {
    session.set("spark.ferrospark.localExecution.partitionRows", rows).unwrap();
}

async fn plan(session: &Session, sql: &str) -> String {
    let resolved = resolve_sql(session, sql).await;
    let plan = plan_physical(session, &resolved, LOCAL).await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

async fn answer(session: &Session, sql: &str) -> Vec<String> {
    let resolved = resolve_sql(session, sql).await;
    let text = run_plan(session, &resolved, LOCAL).await.unwrap();
    let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
    rows.sort_unstable();
    rows
}

#[tokio::test]
async fn finer_plans_answer_alike() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    let session = session();
    views(&session, folder.path()).await;
    // Of each, `*` stands for a number and a sum made of all columns, so that every row counts.
    let mut asked = Vec::new();
    for join in ["join", "left join", "right join", "full join"] {
        let rows = format!(
            "select /*+ shuffle_hash(b) */ a.k x, v, b.k y, w from a {join} b on a.k = b.k"
        );
        asked.push((format!("select count(*), sum(hash(x, v, y, w)) from ({rows})"), true));
    }
    for join in ["left semi join", "left anti join"] {
        let rows = format!("select /*+ shuffle_hash(b) */ a.k, v from a {join} b on a.k = b.k");
        asked.push((format!("select count(*), sum(hash(k, v)) from ({rows})"), true));
    }
    let more = [
        ("select sum(hash(*)) from (select k, count(*), sum(v) from a group by k)", true),
        ("select v % 7000 g, count(*), min(k) from a group by 1 order by 2, 1 limit 9", false),
        (
            "select sum(hash(*)) from (select /*+ shuffle_hash(b) */ a.k, count(*) n from a join b \
             on a.k = b.k group by a.k)",
            true,
        ),
        (
            "select /*+ shuffle_hash(b) */ count(*), sum(v) from a join b on a.k = b.k and v % 50 = w % 50",
            false,
        ),
        (
            "select /*+ shuffle_hash(b), shuffle_hash(c) */ count(*), sum(a.v), sum(b.w) from a join b \
             on a.k = b.k join a c on b.k = c.k",
            true,
        ),
        (
            "select sum(k) from (select k from a where v < 3 union all select k from b group by k)",
            true,
        ),
    ];
    asked.extend(more.map(|(sql, ranges)| (sql.to_owned(), ranges)));
    for (sql, ranges) in asked {
        part_rows(&session, "100");
        let fine = (plan(&session, &sql).await, answer(&session, &sql).await);
        part_rows(&session, "0");
        let coarse = (plan(&session, &sql).await, answer(&session, &sql).await);
        assert!(fine.0.contains("GatherExec"), "{sql}\n{}", fine.0);
        assert_eq!(fine.0.contains("key_range("), ranges, "{sql}\n{}", fine.0);
        assert!(!coarse.0.contains("GatherExec"), "{sql}\n{}", coarse.0);
        assert_eq!(fine.1, coarse.1, "{sql}");
    }
}

/// What relies on how rows are divided keeps its exchanges, and so do few rows.
#[tokio::test]
async fn leaves_other_plans_alone() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    let session = session();
    views(&session, folder.path()).await;
    part_rows(&session, "100");
    for sql in [
        "select v, sum(v) over (partition by k) from (select k, max(v) v from a group by k)",
        "select count(*) from a",
        "select * from a order by v",
        "select /*+ shuffle_hash(b) */ a.k from a join b on a.k = b.k and rand() * w < v",
    ] {
        let plan = plan(&session, sql).await;
        assert!(!plan.contains("GatherExec"), "{sql}\n{plan}");
    }
    part_rows(&session, "50000");
    let plan = plan(&session, "select /*+ shuffle_hash(b) */ * from a join b on a.k = b.k").await;
    assert!(!plan.contains("GatherExec"), "{plan}");
}
