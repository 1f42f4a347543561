//! What the event log says of tasks, and what of it can be held against us: no more is done again than was lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use spark_datasource::{SaveMode, WriteSpec};
use spark_exec::{PlanRunner, RunOptions};
use spark_plan::{Resolver, save};
use spark_sql_parser::ast::Statement;
use spark_sql_parser::{ParserOptions, parse_statement};

use crate::cluster::{Cluster, PATIENCE, rows, session};
use crate::failures::heavy_of;
use crate::kept::Runner;
use crate::random;
use crate::service::{event_log, map_tasks};

/// The committed blocks, by executor's folder of a shuffle.
fn blocks(directory: &Path) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut found: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    let folders = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    for executor in folders(directory) {
        for shuffle in folders(&executor) {
            for block in folders(&shuffle) {
                if block.extension().is_some_and(|extension| extension == "data") {
                    found.entry(shuffle.clone()).or_default().push(block);
                }
            }
        }
    }
    found
}

/// Every fourth byte of the block's first half: no segment of it is what it was.
fn damage(block: &Path) -> bool {
    let Ok(mut bytes) = std::fs::read(block) else { return false };
    let half = bytes.len() / 2;
    bytes[..half].iter_mut().step_by(4).for_each(|byte| *byte ^= 0x55);
    // In place: its readers have it open.
    let file = std::fs::OpenOptions::new().write(true).open(block);
    file.is_ok_and(|file| std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).is_ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_blocks_are_made_again_and_no_others() {
    const DAMAGED: usize = 5;
    let context = session(40);
    let plain = rows(&heavy_of(&context, 24).await.collect().await.unwrap(), false);
    // The blocks may have been read before they were damaged: then once more.
    for round in 0..30 {
        let logs = tempfile::tempdir().unwrap();
        let cluster = Cluster::two_with(|options| {
            options.event_log = Some(event_log(logs.path(), &options.app_id));
            let key = "spark.ferrospark.shuffle.heldMemory".to_owned();
            options.conf.insert(key, "0".to_owned());
        })
        .await;
        let plan = heavy_of(&context, 24).await.create_physical_plan().await.unwrap();
        let (engine, state) = (cluster.engine.clone(), context.state());
        let query = tokio::spawn(async move {
            let mut options = RunOptions::default();
            options.conf.insert("spark.sql.adaptive.enabled".to_owned(), "false".to_owned());
            let query = engine.run(plan, &state, options).await?;
            datafusion::physical_plan::common::collect(query.stream).await
        });
        let damaged = tokio::time::timeout(PATIENCE, async {
            loop {
                let found = blocks(cluster.directory.path());
                let enough = found.into_values().find(|blocks| blocks.len() > DAMAGED);
                if let Some(blocks) = enough {
                    break blocks[..DAMAGED].iter().filter(|block| damage(block)).count();
                }
                if query.is_finished() {
                    break 0;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        })
        .await
        .expect("there are blocks");
        let answer = tokio::time::timeout(PATIENCE, query).await.expect("it ends").unwrap();
        assert_eq!(rows(&answer.unwrap(), false), plain, "round {round}");
        cluster.engine.stop().await;
        let log = std::fs::read_to_string(logs.path().join("app-test")).unwrap();
        let again: u32 = map_tasks(&log).values().map(|times| times - 1).sum();
        assert!(again as usize <= damaged, "{again} made again, {damaged} damaged");
        if log.contains("\"FetchFailed\"") {
            return;
        }
    }
    panic!("no damaged block was ever read");
}

/// The event log tells what a failed task has read until then, and none of its SQL metrics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_tasks_tell_what_they_read() {
    random::register();
    let logs = tempfile::tempdir().unwrap();
    let cluster = Cluster::two_with(|options| {
        options.conf.insert("spark.eventLog.enabled".to_owned(), "true".to_owned());
        options.event_log = Some(event_log(logs.path(), &options.app_id));
    })
    .await;
    let runner = Runner(cluster.engine.clone());
    let session = Arc::new(random::session(&mut random::generator::Random::new(3)));
    let folder = tempfile::tempdir().unwrap();
    let save = async |text: &str, name: &str| {
        let statement = parse_statement(text, &ParserOptions::default()).unwrap();
        let Statement::Query(relation) = statement else { panic!("{text}") };
        let plan = Resolver::new(&session).resolve(&relation).await.unwrap();
        let spec = WriteSpec {
            format: "parquet".to_owned(),
            path: folder.path().join(name).to_string_lossy().into_owned(),
            mode: SaveMode::ErrorIfExists,
            ..WriteSpec::default()
        };
        save(&session, &runner, &plan, &spec).await
    };
    save("SELECT id FROM range(0, 100000, 1, 2)", "a").await.unwrap();
    let a = folder.path().join("a");
    let failing =
        format!("SELECT CAST(concat('x', id) AS INT) AS n FROM parquet.`{}`", a.display());
    let error = save(&failing, "b").await.unwrap_err();
    assert!(error.to_string().contains("CAST_INVALID_INPUT"), "{error}");
    cluster.engine.stop().await;
    let log = std::fs::read_to_string(logs.path().join("app-test")).unwrap();
    let failed: Vec<Value> = ends(&log)
        .into_iter()
        .filter(|end| end["Task End Reason"]["Reason"] == "ExceptionFailure")
        .collect();
    assert!(!failed.is_empty(), "{error}\n{log}");
    for end in &failed {
        let bytes = end.pointer("/Task Metrics/Input Metrics/Bytes Read").unwrap();
        assert!(bytes.as_u64().unwrap() > 0, "{end}");
        assert_eq!(end["Task Info"]["Accumulables"], serde_json::json!([]), "{end}");
    }
}

/// The ends of tasks in an event log.
pub(crate) fn ends(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|event| event["Event"] == "SparkListenerTaskEnd").collect()
}

/// One metric of all these tasks.
pub(crate) fn sum(ends: &[Value], path: &str) -> u64 {
    ends.iter().map(|end| end["Task Metrics"].pointer(path).and_then(Value::as_u64).unwrap()).sum()
}

/// A shuffle over the wire, a file written and read, and an executor that has too little memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_tell_what_they_read_wrote_and_waited_for() {
    random::register();
    let logs = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::with(|options| {
        options.conf.insert("spark.eventLog.enabled".to_owned(), "true".to_owned());
        options.event_log = Some(event_log(logs.path(), &options.app_id));
    })
    .await;
    for _ in 0..2 {
        cluster.start_process().await;
    }
    let runner = Runner(cluster.engine.clone());
    let session = Arc::new(random::session(&mut random::generator::Random::new(3)));
    let target = cluster.directory.path().join("written");
    let run = async |text: &str, spec: WriteSpec| {
        let statement = parse_statement(text, &ParserOptions::default()).unwrap();
        let Statement::Query(relation) = statement else { panic!("{text}") };
        let plan = Resolver::new(&session).resolve(&relation).await.unwrap();
        save(&session, &runner, &plan, &spec).await.unwrap();
    };
    let spec = |name: &str, format: &str| WriteSpec {
        format: format.to_owned(),
        path: target.join(name).to_string_lossy().into_owned(),
        mode: SaveMode::ErrorIfExists,
        ..WriteSpec::default()
    };
    let rows = 200_000;
    run(&format!("SELECT id, id % 7 AS p FROM range(0, {rows}, 1, 4)"), spec("a", "parquet")).await;
    let a = target.join("a");
    let text =
        format!("SELECT p, sum(id) AS s, count(*) AS n FROM parquet.`{}` GROUP BY p", a.display());
    run(&text, spec("b", "csv")).await;
    cluster.engine.stop().await;
    let log = std::fs::read_to_string(logs.path().join("app-test")).unwrap();
    let ends = ends(&log);
    assert_eq!(sum(&ends, "/Output Metrics/Records Written"), rows + 7);
    let size = |folder: &Path| -> u64 {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let data = files.filter(|f| f.file_name().to_string_lossy().starts_with("part-"));
        data.map(|file| file.metadata().unwrap().len()).sum()
    };
    let written = size(&a) + size(&target.join("b"));
    assert_eq!(sum(&ends, "/Output Metrics/Bytes Written"), written);
    assert!(sum(&ends, "/Input Metrics/Records Read") >= rows);
    assert!(sum(&ends, "/Input Metrics/Bytes Read") > 0);
    assert!(sum(&ends, "/Peak Execution Memory") > 0);
    assert!(sum(&ends, "/Shuffle Write Metrics/Shuffle Write Time") > 0);
    assert!(log.contains("internal.metrics.output.recordsWritten"));
}
