//! DataFusion's session state for the two ways of execution.

use std::sync::Arc;

use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;

use crate::physical;
use crate::session::Session;

/// How a plan will run, which decides how it may be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// In this process, all partitions side by side.
    Local { cores: usize },
    /// Cut into stages whose partitions run in different processes.
    Staged { shuffle_partitions: usize },
}

/// Rows of a task after which it may give up aggregating before the exchange.
const PROBE_ROWS: usize = 2_000_000;

/// Rows for each part of a local exchange, if no setting says otherwise.
const PART_ROWS: i64 = 65_536;

/// Rows of a batch. Exchanges cut each into one piece for every part and put the pieces together again; what that costs for
/// each piece and column is half of DataFusion's 8192.
const BATCH_ROWS: usize = 16_384;
/// Groups for each row above which a local plan gives up aggregating before the exchange: the exchange costs little in one
/// process, and tables behind it are small.
const LOCAL_PROBE_RATIO: f64 = 0.5;

/// Builds the state: settings, rules and functions.
pub(crate) fn build_state(session: &Session, mode: Mode) -> SessionState {
    let mut config =
        SessionConfig::new().with_information_schema(false).with_batch_size(BATCH_ROWS);
    let options = config.options_mut();
    let zone = session.time_zone();
    options.execution.time_zone = Some(zone);
    options.execution.parquet.schema_force_view_types = false;
    options.execution.collect_statistics = true;
    options.execution.enable_ansi_mode = session.ansi();
    options.optimizer.enable_round_robin_repartition = false;
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.optimizer.prefer_existing_sort = false;
    match mode {
        Mode::Local { cores } => {
            options.execution.target_partitions = cores.max(1);
            options.execution.skip_partial_aggregation_probe_ratio_threshold = LOCAL_PROBE_RATIO;
            options.optimizer.repartition_file_scans = false;
        }
        Mode::Staged { shuffle_partitions } => {
            options.execution.target_partitions = shuffle_partitions.max(2);
            options.execution.enable_file_stream_work_stealing = false;
            options.optimizer.repartition_file_scans = false;
            options.optimizer.hash_join_single_partition_threshold = 0;
            options.optimizer.hash_join_single_partition_threshold_rows = 0;
            options.optimizer.enable_topk_repartition = false;
            // What it tells a scan does not travel to executors.
            options.optimizer.enable_sort_pushdown = false;
            // A row that is not aggregated before an exchange is written, sent and read: the probe
            // must see whether keys come again at all, which random ones out of a million do not
            // within DataFusion's 100,000 rows.
            options.execution.skip_partial_aggregation_probe_rows_threshold = PROBE_ROWS;
        }
    }
    let threshold = session.number("spark.sql.autoBroadcastJoinThreshold", 10 << 20);
    let part_rows = session.number("spark.ferrospark.localExecution.partitionRows", PART_ROWS);
    let part_rows = u64::try_from(part_rows).unwrap_or(0);
    let staged = matches!(mode, Mode::Staged { .. });
    SessionStateBuilder::new()
        .with_session_id(session.id.clone())
        .with_config(config)
        .with_runtime_env(Arc::clone(&session.shared.runtime))
        .with_optimizer_rules(physical::logical_rules())
        .with_physical_optimizer_rules(physical::physical_rules(staged, threshold, part_rows))
        .with_query_planner(Arc::new(physical::Planner))
        .with_scalar_functions(spark_functions::codec::all_scalar())
        .with_aggregate_functions(spark_functions::codec::all_aggregate())
        .with_window_functions(spark_functions::codec::all_window())
        .build()
}
