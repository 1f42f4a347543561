//! One program for every part: `spark-submit`, `spark-sql` and `pyspark` with their driver, the executor that agents
//! launch, and the embedded Mesos master and agent. The scripts of `bin/` and `sbin/` choose the part by its first
//! word. This crate is wiring only; what the parts decide stands in their crates.

mod allocator;
mod application;
mod daemon;
mod driver;
mod elastic;
mod executor;
mod exit;
mod fine_executor;
mod local_cluster;
mod mesos_backend;
mod progress;
mod python;
mod resident;
mod scheduling;
mod settings;
mod shell;
mod shuffle_service;
mod signals;
mod status;
mod submit;
mod table_files;
mod tpcds_data;
mod tpch_data;

use std::process::ExitCode;

fn main() -> ExitCode {
    register_nodes();
    resident::give_back_linker_tables();
    let mut words = std::env::args().skip(1);
    let part = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    let outcome = match part.as_str() {
        "submit" => submit::main(&rest),
        "sql" => shell::main(&rest),
        "pyspark" => python::shell_main(&rest),
        "class" => class(&rest),
        "executor" => executor::main(&rest),
        "mesos-executor" => executor::fine_main(&rest),
        "master" => daemon::master(&rest),
        "agent" => daemon::agent(&rest),
        "shuffle-service" => shuffle_service::main(&rest),
        "tpcds-data" => tpcds_data::main(&rest),
        "tpch-data" => tpch_data::main(&rest),
        "--version" => {
            exit::say(&version());
            Ok(ExitCode::SUCCESS)
        }
        other => Err(anyhow::anyhow!(
            "unknown part {other:?}; expected submit, sql, pyspark, class, executor, mesos-executor, master, agent, shuffle-service, tpcds-data or tpch-data"
        )),
    };
    exit::report(outcome)
}

/// Driver and executors know the same plan nodes.
fn register_nodes() {
    spark_exec::register_nodes(spark_exec::NodeCodec {
        encode: spark_plan::codec::encode,
        decode: spark_plan::codec::decode,
    });
    spark_exec::register_nodes(spark_exec::NodeCodec {
        encode: spark_datasource::codec::encode,
        decode: spark_datasource::codec::decode,
    });
    spark_exec::register_kept(kept);
}

/// What `cache()` keeps, as the engine sees it.
fn kept(
    plan: &std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>,
) -> Option<spark_exec::KeptPlan> {
    let kept = plan.downcast_ref::<spark_plan::cache::KeptExec>()?;
    let size = std::sync::Arc::clone(kept.size());
    Some(spark_exec::KeptPlan {
        plan: std::sync::Arc::clone(kept.input()),
        projection: kept.projection().map(<[usize]>::to_vec),
        in_memory: kept.in_memory(),
        slot: std::sync::Arc::clone(kept.slot()),
        on_kept: Box::new(move |bytes| {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            // Set once: later ones say the same.
            let _ = size.set(spark_plan::cache::KeptSize { rows: None, bytes });
        }),
    })
}

/// `bin/spark-class CLASS …`, as commands of Spark's Mesos backends name their programs.
fn class(words: &[String]) -> anyhow::Result<ExitCode> {
    let Some((class, rest)) = words.split_first() else {
        anyhow::bail!("spark-class needs a class name");
    };
    match class.as_str() {
        "org.apache.spark.executor.CoarseGrainedExecutorBackend" => executor::main(rest),
        "org.apache.spark.executor.MesosExecutorBackend" => executor::fine_main(rest),
        "org.apache.spark.deploy.SparkSubmit" => submit::main(rest),
        "org.apache.spark.deploy.mesos.MesosExternalShuffleService" => shuffle_service::main(rest),
        other => anyhow::bail!(
            "class {other:?} is not known here; known are \
             org.apache.spark.executor.CoarseGrainedExecutorBackend, \
             org.apache.spark.executor.MesosExecutorBackend and org.apache.spark.deploy.SparkSubmit"
        ),
    }
}

/// What `--version` prints.
fn version() -> String {
    format!(
        "Ferrospark {}, speaking Spark Connect of Spark {}",
        env!("CARGO_PKG_VERSION"),
        spark_conf::SPARK_VERSION
    )
}
