//! Writes while executors die and slow tasks get copies: each row is there once, no file too many.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use spark_datasource::{SaveMode, WriteSpec};
use spark_plan::{Resolver, save};
use spark_scheduler::SpeculationOptions;
use spark_sql_parser::ast::Statement;
use spark_sql_parser::{ParserOptions, parse_statement};

use crate::cluster::{Cluster, PATIENCE};
use crate::kept::{Runner, sql};
use crate::random;

const ROWS: usize = 300_000;

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_executor_during_a_partitioned_write_costs_and_adds_no_row() {
    random::register();
    let mut cluster = Cluster::processes_with(2, |options| {
        options.scheduler.speculation = Some(SpeculationOptions {
            interval: Duration::from_millis(20),
            multiplier: 1.1,
            quantile: 0.2,
            min_task_runtime: Duration::from_millis(5),
        });
    })
    .await;
    let runner = Arc::new(Runner(cluster.engine.clone()));
    let session = Arc::new(random::session(&mut random::generator::Random::new(3)));
    let target = cluster.directory.path().join("written");
    let spec = WriteSpec {
        format: "parquet".to_owned(),
        path: target.to_string_lossy().into_owned(),
        mode: SaveMode::ErrorIfExists,
        partition_by: vec!["p".to_owned()],
        ..WriteSpec::default()
    };
    let text = format!(
        "SELECT id, id % 7 AS p, md5(cast(id AS string)) AS t FROM range(0, {ROWS}, 1, 24)"
    );
    let written = tokio::spawn({
        let (runner, session, spec) = (Arc::clone(&runner), Arc::clone(&session), spec.clone());
        async move {
            let statement = parse_statement(&text, &ParserOptions::default()).unwrap();
            let Statement::Query(relation) = statement else { panic!("not a query") };
            let plan = Resolver::new(&session).resolve(&relation).await.unwrap();
            save(&session, &*runner, &plan, &spec).await
        }
    });
    let tasks = |cluster: &Cluster| -> u64 {
        cluster.engine.statistics().values().map(|executor| executor.tasks).sum()
    };
    tokio::time::timeout(PATIENCE, async {
        while tasks(&cluster) < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("tasks finish");
    cluster.kill(0);
    cluster.start_process().await;
    tokio::time::timeout(PATIENCE, written).await.expect("it ends").unwrap().unwrap();

    let path = spec.path.clone();
    let count = format!(
        "SELECT count(*), count(DISTINCT id), sum(id), count(DISTINCT p) FROM parquet.`{path}`"
    );
    let sum = ROWS * (ROWS - 1) / 2;
    let expected = [ROWS, ROWS, sum, 7].map(|n| n.to_string());
    assert_eq!(sql(&session, &runner, &count).await, [expected]);
    let all = files(&target);
    let stray = |file: &&PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy();
        let partition = file.parent().unwrap().file_name().unwrap().to_string_lossy();
        let data = name.starts_with("part-") && partition.starts_with("p=");
        !data && name != "_SUCCESS"
    };
    assert_eq!(all.iter().filter(stray).count(), 0, "{all:?}");
    assert_eq!(all.iter().filter(|file| file.starts_with(&target)).count(), 24 * 7 + 1);
}

/// `orderBy().write`: every file is sorted, and its rows come after those of the file before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sorted_write_leaves_files_of_disjoint_ranges() {
    random::register();
    for adaptive in ["true", "false"] {
        let cluster = Cluster::two_with(|options| {
            for (key, value) in [
                ("spark.sql.adaptive.enabled", adaptive),
                ("spark.sql.adaptive.advisoryPartitionSizeInBytes", "400k"),
            ] {
                options.conf.insert(key.to_owned(), value.to_owned());
            }
        })
        .await;
        let runner = Runner(cluster.engine.clone());
        let session = random::session(&mut random::generator::Random::new(3));
        let target = cluster.directory.path().join("sorted");
        let text = "SELECT (id * 7919) % 100003 AS k, md5(cast(id AS string)) AS t \
                    FROM range(0, 100000, 1, 6) ORDER BY k DESC, t";
        let statement = parse_statement(text, &ParserOptions::default()).unwrap();
        let Statement::Query(relation) = statement else { panic!("not a query") };
        let plan = Resolver::new(&session).resolve(&relation).await.unwrap();
        let spec = WriteSpec {
            format: "csv".to_owned(),
            path: target.to_string_lossy().into_owned(),
            ..WriteSpec::default()
        };
        save(&session, &runner, &plan, &spec).await.unwrap();
        let parts: Vec<_> = files(&target)
            .into_iter()
            .filter(|file| file.extension().is_some_and(|e| e == "csv"))
            .collect();
        assert!(parts.len() > 2, "{} files, adaptive {adaptive}", parts.len());
        let mut keys = Vec::new();
        for part in parts {
            let text = std::fs::read_to_string(part).unwrap();
            keys.extend(
                text.lines().map(|line| line.split_once(',').unwrap().0.parse::<i64>().unwrap()),
            );
        }
        assert_eq!(keys.len(), 100_000);
        assert!(keys.is_sorted_by(|a, b| a >= b), "adaptive {adaptive}");
    }
}
