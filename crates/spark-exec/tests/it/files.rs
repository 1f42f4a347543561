//! Queries in stages over files: what the planner tells a scan must reach executors, or not be told.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::parquet::arrow::ArrowWriter;

use crate::cluster::Cluster;
use crate::kept::{Runner, sql};
use crate::random;

/// A sort right above a scan asks it for files and row groups in that order, which is nothing that could be sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sorts_and_windows_right_above_a_scan() {
    random::register();
    let cluster = Cluster::two_with(|_| {}).await;
    let runner = Runner(cluster.engine.clone());
    let session = random::session(&mut random::generator::Random::new(3));
    let table = cluster.directory.path().join("table");
    std::fs::create_dir(&table).unwrap();
    for part in 0..3 {
        let ids = Int64Array::from_iter_values((0..100).map(|row| row * 3 + part));
        let batch = RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef)]).unwrap();
        let file = File::create(table.join(format!("{part}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    let from = format!("FROM parquet.`{}`", table.display());
    for (query, expected) in [
        (format!("SELECT id {from} ORDER BY id DESC LIMIT 1"), "299"),
        (format!("SELECT max(x) FROM (SELECT sum(id) OVER (ORDER BY id) AS x {from})"), "44850"),
        (
            format!(
                "SELECT max(x) FROM (SELECT rank() OVER (PARTITION BY id ORDER BY id) AS x {from})"
            ),
            "1",
        ),
        (format!("SELECT last(id) FROM (SELECT id {from} SORT BY id) WHERE id < 1"), "0"),
    ] {
        assert_eq!(sql(&session, &runner, &query).await, [[expected]], "{query}");
    }
}
