//! What is kept in this process: found again, stale after writes, gone after UNCACHE.

use std::collections::BTreeMap;

use spark_plan::cache::StorageLevel;
use spark_plan::{Session, execute_command};
use spark_sql_parser::ast::{Relation, RelationKind, Statement};

use crate::harness::{InProcess, parse, resolve, run_plan, session, setup};

async fn run(session: &Session, sql: &str) -> String {
    match parse(sql).unwrap() {
        Statement::Query(relation) => show(session, &relation).await,
        Statement::Command(command) => {
            execute_command(session, &command, &InProcess).await.unwrap();
            String::new()
        }
    }
}

async fn show(session: &Session, relation: &Relation) -> String {
    let resolved = resolve(session, relation).await.unwrap();
    run_plan(session, &resolved, spark_plan::Mode::Local { cores: 2 }).await.unwrap()
}

fn is_kept(session: &Session, name: &str) -> bool {
    let name = vec![name.to_owned()];
    let relation = RelationKind::NamedTable { name, options: BTreeMap::new() }.into();
    session.shared.cache.find(session, &relation).is_some()
}

/// A table of one file that nobody tells has changed.
async fn file_of(session: &Session, directory: &std::path::Path, rows: &str) -> String {
    let path = directory.join("f.json").to_string_lossy().into_owned();
    std::fs::write(&path, rows).unwrap();
    let view = format!("CREATE OR REPLACE TEMP VIEW f AS SELECT n FROM json.`{path}`");
    run(session, &view).await;
    path
}

#[tokio::test]
async fn a_cached_table_is_computed_once() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let path = file_of(&session, directory.path(), "{\"n\": 1}\n").await;
    run(&session, "CACHE TABLE kept AS SELECT n * 10 AS m FROM f").await;
    std::fs::write(&path, "{\"n\": 2}\n").unwrap();
    assert!(run(&session, "SELECT m FROM kept").await.contains("|10 "));
    assert!(run(&session, "SELECT m + 1 AS o FROM kept WHERE m > 0").await.contains("|11 "));
    assert!(is_kept(&session, "kept"));
    run(&session, "UNCACHE TABLE kept").await;
    assert!(!is_kept(&session, "kept"));
    assert!(run(&session, "SELECT m FROM kept").await.contains("|20 "));
}

#[tokio::test]
async fn a_lazy_cache_is_computed_at_its_first_use_and_refreshed_by_path() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let path = file_of(&session, directory.path(), "{\"n\": 1}\n").await;
    run(&session, "CACHE LAZY TABLE f").await;
    std::fs::write(&path, "{\"n\": 2}\n").unwrap();
    assert!(run(&session, "SELECT n FROM f").await.contains("|2 "));
    std::fs::write(&path, "{\"n\": 3}\n").unwrap();
    assert!(run(&session, "SELECT n FROM f").await.contains("|2 "));
    session.shared.cache.forget_rows_of(&path);
    assert!(run(&session, "SELECT n FROM f").await.contains("|3 "));
    run(&session, "CLEAR CACHE").await;
    assert!(session.shared.cache.is_empty());
}

#[tokio::test]
async fn a_relation_is_found_inside_others_and_after_its_name_changes_not() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let path = file_of(&session, directory.path(), "{\"n\": 1}\n").await;
    let Ok(Statement::Query(relation)) = parse("SELECT n + 100 AS m FROM f") else {
        panic!("not a query")
    };
    let cache = &session.shared.cache;
    assert!(cache.find(&session, &relation).is_none());
    let level = StorageLevel::MEMORY_AND_DISK;
    assert!(cache.persist(&session, &InProcess, &relation, level).await.unwrap());
    assert!(!cache.persist(&session, &InProcess, &relation, level).await.unwrap());
    assert_eq!(cache.find(&session, &relation).unwrap().level(), level);
    assert!(show(&session, &relation).await.contains("|101"));
    std::fs::write(&path, "{\"n\": 2}\n").unwrap();
    let inside: Relation = RelationKind::SubqueryAlias {
        input: Box::new(relation.clone()),
        alias: "s".to_owned(),
        columns: Vec::new(),
    }
    .into();
    assert!(show(&session, &inside).await.contains("|101"));
    // Another `f` is another relation.
    run(&session, "CREATE OR REPLACE TEMP VIEW f AS SELECT 9 AS n").await;
    assert!(cache.find(&session, &relation).is_none());
    assert!(show(&session, &relation).await.contains("|109"));
}

#[tokio::test]
async fn another_zone_is_another_relation() {
    let session = session();
    let Ok(Statement::Query(relation)) = parse("SELECT timestamp'2026-01-01' AS t") else {
        panic!("not a query")
    };
    let level = StorageLevel::MEMORY_AND_DISK;
    session.shared.cache.persist(&session, &InProcess, &relation, level).await.unwrap();
    assert!(session.shared.cache.find(&session, &relation).is_some());
    session.set("spark.sql.session.timeZone", "Asia/Tokyo").unwrap();
    assert!(session.shared.cache.find(&session, &relation).is_none());
}

#[tokio::test]
async fn a_write_makes_kept_rows_stale() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let location = directory.path().join("t").to_string_lossy().into_owned();
    run(&session, &format!("CREATE TABLE t USING parquet LOCATION '{location}' AS SELECT 1 AS n"))
        .await;
    run(&session, "CACHE TABLE t").await;
    assert!(run(&session, "SELECT sum(n) AS s FROM t").await.contains("|1 "));
    run(&session, "INSERT INTO t VALUES (41)").await;
    assert!(run(&session, "SELECT sum(n) AS s FROM t").await.contains("|42"));
    assert!(is_kept(&session, "t"));
    run(&session, "DROP TABLE t").await;
    assert!(session.shared.cache.is_empty());
}

#[tokio::test]
async fn rows_on_disk_are_read_again() {
    let session = session();
    setup(&session).await;
    run(&session, "CACHE TABLE d OPTIONS('storageLevel' = 'DISK_ONLY') AS SELECT * FROM people")
        .await;
    let first = run(&session, "SELECT * FROM d ORDER BY id").await;
    assert_eq!(first, run(&session, "SELECT * FROM d ORDER BY id").await);
    assert!(first.contains("Cid"));
}
