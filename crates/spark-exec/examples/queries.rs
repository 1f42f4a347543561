//! Asks many random queries in all ways of execution: `queries [FIRST [SEEDS]]`, twenty queries a
//! seed, one JSON line at the end. A query with two answers is shown and ends the run with an error.
//!
//! `queries FIRST SEEDS FOLDER` asks nothing, but leaves the tables and queries of each seed there for
//! others to ask: `SEED/TABLE/part-N.parquet`, and `SEED/queries.jsonl`.

#![expect(clippy::unwrap_used, reason = "a check that cannot go on may panic")]

#[path = "../tests/it/random/mod.rs"]
mod random;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use random::generator::{self, Random, TABLES};

/// With twenty queries each, what issue 5 asks for.
const SEEDS: u64 = 100;

fn main() -> std::io::Result<()> {
    let number = |at: usize, default: u64| {
        std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (first, seeds) = (number(1, 0), number(2, SEEDS));
    if let Some(folder) = std::env::args().nth(3) {
        return (first..first + seeds).try_for_each(|seed| leave(seed, Path::new(&folder)));
    }
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(random::run(first..first + seeds));
    writeln!(
        std::io::stdout(),
        "{{\"suite\":\"queries\",\"first_seed\":{first},\"seeds\":{seeds},\"seconds\":{:.1},\
         \"equal\":{},\"with_rows\":{},\"errors\":{}}}",
        started.elapsed().as_secs_f64(),
        report.queries,
        report.with_rows,
        report.errors,
    )
}

/// Leaves the tables and queries of a seed in files.
fn leave(seed: u64, folder: &Path) -> std::io::Result<()> {
    let folder = folder.join(seed.to_string());
    let mut random = Random::new(seed);
    for name in TABLES {
        let table = folder.join(name);
        fs::create_dir_all(&table)?;
        let partitions = generator::table(&mut random);
        let batch = partitions.iter().flatten().next().cloned();
        let schema = batch.map_or_else(|| some_batch().schema(), |batch| batch.schema());
        for (number, batches) in partitions.iter().enumerate() {
            let file = File::create(table.join(format!("part-{number:05}.parquet")))?;
            let mut writer = ArrowWriter::try_new(file, schema.clone(), None).unwrap();
            batches.iter().for_each(|batch| writer.write(batch).unwrap());
            writer.close().unwrap();
        }
    }
    let mut queries = File::create(folder.join("queries.jsonl"))?;
    for _ in 0..random::QUERIES_PER_SEED {
        let query = generator::query(&mut random);
        let line = serde_json::json!({"sql": query.sql, "ordered": query.ordered});
        writeln!(queries, "{line}")?;
    }
    Ok(())
}

/// A batch of any table: all have the same columns.
fn some_batch() -> RecordBatch {
    let mut random = Random::new(1);
    std::iter::repeat_with(|| generator::table(&mut random))
        .find_map(|table| table.into_iter().flatten().next())
        .unwrap()
}
