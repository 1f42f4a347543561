//! Random queries over random tables: in one process, and in stages over two executors with the
//! static plan and with adaptive execution, which must all answer alike. `make soak SUITE=queries`
//! runs thousands.

pub(crate) mod generator;

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use futures::TryStreamExt;
use spark_exec::backend::attach_local;
use spark_exec::{
    Engine, EngineOptions, ExecutorOptions, InProcessRunner, KeptPlan, PlanRunner, RunOptions,
};
use spark_plan::cache::{KeptExec, KeptSize};
use spark_plan::{
    Mode, OutputField, ResolvedPlan, Resolver, Session, SharedState, cell_texts, plan_physical,
};
use spark_sql_parser::ast::Statement;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::{ParserOptions, parse_statement};

use generator::{Query, Random, TABLES};

/// Queries over the same tables.
pub(crate) const QUERIES_PER_SEED: usize = 20;

/// What was asked.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Report {
    /// Queries whose answers were the same everywhere.
    pub(crate) queries: usize,
    /// Those of them that gave rows.
    pub(crate) with_rows: usize,
    /// Those of them that were the same error.
    pub(crate) errors: usize,
}

/// Asks the queries of some seeds.
///
/// # Panics
/// When two ways answer differently, naming seed and query.
pub(crate) async fn run(seeds: std::ops::Range<u64>) -> Report {
    register();
    spark_exec::codec::check_every_plan();
    let directory = tempfile::tempdir().unwrap();
    let mut options = EngineOptions::new("app-random", "s3cret");
    options.local_dirs = vec![directory.path().to_owned()];
    let engine = Engine::start(options).await.unwrap();
    for id in ["0", "1"] {
        let executor = ExecutorOptions {
            driver_url: engine.driver_url(),
            executor_id: id.to_owned(),
            app_id: "app-random".to_owned(),
            cores: 2,
            hostname: "127.0.0.1".to_owned(),
            bind_address: "127.0.0.1".to_owned(),
            block_port: 0,
            advertised_port: None,
            secret: "s3cret".to_owned(),
            memory_bytes: None,
            local_dirs: vec![directory.path().to_owned()],
        };
        attach_local(&engine, &executor).await.unwrap();
    }
    let mut report = Report::default();
    for seed in seeds {
        let mut random = Random::new(seed);
        let session = session(&mut random);
        for number in 0..QUERIES_PER_SEED {
            let query = generator::query(&mut random);
            let outcome = ask(&engine, &session, &query, &mut random).await;
            let rows = outcome.unwrap_or_else(|difference| {
                panic!("seed {seed}, query {number}: {}\n{difference}", query.sql)
            });
            report.queries += 1;
            match rows {
                Some(rows) => report.with_rows += usize::from(rows > 0),
                None => report.errors += 1,
            }
        }
    }
    engine.stop().await;
    report
}

/// Makes the nodes of `spark-plan` known, as the program does.
pub(crate) fn register() {
    spark_exec::register_nodes(spark_exec::NodeCodec {
        encode: spark_plan::codec::encode,
        decode: spark_plan::codec::decode,
    });
    spark_exec::register_nodes(spark_exec::NodeCodec {
        encode: spark_datasource::codec::encode,
        decode: spark_datasource::codec::decode,
    });
    spark_exec::register_kept(|plan| {
        let kept = plan.downcast_ref::<KeptExec>()?;
        let size = Arc::clone(kept.size());
        Some(KeptPlan {
            plan: Arc::clone(kept.input()),
            projection: kept.projection().map(<[usize]>::to_vec),
            in_memory: kept.in_memory(),
            slot: Arc::clone(kept.slot()),
            on_kept: Box::new(move |bytes| {
                let _ = size.set(KeptSize { rows: None, bytes: bytes as usize });
            }),
        })
    });
}

/// A session with random tables.
pub(crate) fn session(random: &mut Random) -> Session {
    let conf = [("spark.sql.session.timeZone".to_owned(), "UTC".to_owned())].into();
    let session = Session::new(SharedState::new(Arc::new(RuntimeEnv::default()), conf), "s", "");
    for name in TABLES {
        let mut partitions = generator::table(random);
        let schema = partitions.iter().flatten().next().map(RecordBatch::schema);
        let schema = schema.unwrap_or_else(|| {
            // All partitions are empty: the columns of another table.
            let mut other = Random::new(1);
            std::iter::repeat_with(|| generator::table(&mut other))
                .find_map(|table| table.iter().flatten().next().map(RecordBatch::schema))
                .unwrap()
        });
        if partitions.is_empty() {
            partitions.push(Vec::new());
        }
        let table = MemTable::try_new(Arc::clone(&schema), partitions).unwrap();
        let mut exprs = Vec::new();
        let mut fields = Vec::new();
        for field in schema.fields() {
            let internal = format!("{}#{name}", field.name());
            let column = datafusion::common::Column::new(Some("t"), field.name());
            exprs.push(Expr::Column(column).alias(internal.clone()));
            fields.push(OutputField {
                name: field.name().clone(),
                data_type: spark_functions::types::from_arrow(field.data_type()),
                nullable: field.is_nullable(),
                qualifier: Vec::new(),
                plan_ids: Vec::new(),
                internal,
                metadata: None,
            });
        }
        let plan = LogicalPlanBuilder::scan("t", provider_as_source(Arc::new(table)), None)
            .and_then(|plan| plan.project(exprs))
            .and_then(LogicalPlanBuilder::build)
            .unwrap();
        let plan = ResolvedPlan { plan, fields, render: None };
        session.create_temp_view(name, plan, None, true, false).unwrap();
    }
    // Parts of one process: as many as cores, and as many as there may be.
    let rows = ["0", "1", "20"][random.below(3)];
    session.set("spark.ferrospark.localExecution.partitionRows", rows).unwrap();
    session
}

type Answer = Result<Vec<String>, SparkError>;

/// The number of rows all ways gave, nothing if all gave the same error; else the difference.
async fn ask(
    engine: &Engine,
    session: &Session,
    query: &Query,
    random: &mut Random,
) -> Result<Option<usize>, String> {
    let threshold = ["-1", "-1", "3000", "10m"][random.below(4)];
    session.set("spark.sql.autoBroadcastJoinThreshold", threshold).unwrap();
    let local = answer(None, session, query, Mode::Local { cores: 3 }, RunOptions::default()).await;
    let mode = Mode::Staged { shuffle_partitions: 1 + random.below(7) };
    let mut off = RunOptions::default();
    off.conf.insert("spark.sql.adaptive.enabled".to_owned(), "false".to_owned());
    let mut on = RunOptions::default();
    // Sizes at which small tables are divided, split and broadcast like large ones.
    for (key, sizes) in [
        ("spark.sql.adaptive.advisoryPartitionSizeInBytes", ["2000", "20000", "64m"]),
        ("spark.sql.adaptive.coalescePartitions.minPartitionSize", ["1", "1000", "1m"]),
        ("spark.sql.adaptive.autoBroadcastJoinThreshold", ["-1", "3000", "10m"]),
        ("spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes", ["500", "4000", "256m"]),
        ("spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold", ["0", "1", "2000"]),
        ("spark.sql.adaptive.skewJoin.skewedPartitionFactor", ["1", "2", "5"]),
        ("spark.sql.optimizer.runtime.bloomFilter.enabled", ["true", "true", "false"]),
        ("spark.sql.optimizer.runtime.bloomFilter.creationSideThreshold", ["500", "5000", "10m"]),
    ] {
        on.conf.insert(key.to_owned(), sizes[random.below(3)].to_owned());
    }
    for (way, options) in [("static", off), ("adaptive", on)] {
        let shown = format!("{:?}", options.conf);
        let staged = answer(Some(engine), session, query, mode, options).await;
        match (&local, &staged) {
            (Ok(local), Ok(staged)) if local == staged => {}
            (Err(local), Err(staged)) if local.condition == staged.condition => {}
            (local, staged) => {
                return Err(format!(
                    "{mode:?}, broadcast {threshold}, {way} {shown}:\n{}",
                    difference(local, staged)
                ));
            }
        }
    }
    Ok(local.ok().map(|rows| rows.len()))
}

fn difference(local: &Answer, staged: &Answer) -> String {
    match (local, staged) {
        (Ok(local), Ok(staged)) => {
            let first = local.iter().zip(staged).find(|(local, staged)| local != staged);
            format!("{} rows in one process, {} in stages; {first:?}", local.len(), staged.len())
        }
        (local, staged) => {
            let text = |answer: &Answer| match answer {
                Ok(rows) => format!("{} rows", rows.len()),
                Err(error) => error.to_string(),
            };
            format!("{} in one process, {} in stages", text(local), text(staged))
        }
    }
}

async fn answer(
    engine: Option<&Engine>,
    session: &Session,
    query: &Query,
    mode: Mode,
    options: RunOptions,
) -> Answer {
    let statement = parse_statement(&query.sql, &ParserOptions::default())?;
    let Statement::Query(relation) = statement else { panic!("not a query: {}", query.sql) };
    let resolved = Resolver::new(session).resolve(&relation).await?;
    let plan = plan_physical(session, &resolved, mode).await?;
    let state = session.state(mode);
    let running = match engine {
        Some(engine) => engine.run(plan, &state, options).await,
        None => InProcessRunner.run(plan, &state, options).await,
    };
    let batches: Result<Vec<RecordBatch>, _> = match running {
        Ok(running) => running.stream.try_collect().await,
        Err(error) => Err(error),
    };
    let batches = batches.map_err(spark_plan::errors::from_datafusion)?;
    let mut rows: Vec<String> = batches
        .iter()
        .flat_map(|batch| cell_texts(batch, "UTC"))
        .map(|cells| cells.join("|"))
        .collect();
    if !query.ordered {
        rows.sort();
    }
    Ok(rows)
}

/// A part of what `make soak SUITE=queries` asks.
#[cfg(test)]
const SEEDS_TESTED: u64 = 6;

/// Seeds that found something once: sort-merge joins with a condition besides the keys that failed (10) or gave wrong
/// rows (20, 57, 73).
#[cfg(test)]
const SEEDS_ONCE_WRONG: &[u64] = &[10, 20, 57, 73];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_queries_have_one_answer() {
    let report = run(0..SEEDS_TESTED).await;
    for seed in SEEDS_ONCE_WRONG {
        run(*seed..seed + 1).await;
    }
    assert!(report.with_rows * 2 > report.queries, "too few queries with rows: {report:?}");
}
