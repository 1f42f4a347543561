//! The way to the data sources: formats and paths of a read, and what they need to know of the session.

use std::collections::BTreeMap;
use std::sync::Arc;

use spark_datasource::{OpenedSource, SourceContext, SourceSpec};
use spark_sql_parser::types::Schema;

use crate::errors::Result;
use crate::session::Session;

pub(crate) fn context(session: &Session) -> SourceContext {
    let size = |key: &str, default: i64| u64::try_from(session.number(key, default)).unwrap_or(0);
    let mut context = SourceContext::new(Arc::clone(&session.shared.runtime));
    context.time_zone = session.time_zone();
    context.max_partition_bytes = size("spark.sql.files.maxPartitionBytes", 128 << 20).max(1);
    context.open_cost_bytes = size("spark.sql.files.openCostInBytes", 4 << 20);
    context.min_partitions = session
        .get("spark.sql.files.minPartitionNum")
        .and_then(|v| v.parse().ok())
        .unwrap_or_else(|| session.shared.default_parallelism());
    context.case_sensitive = session.case_sensitive();
    context.timestamp_ntz = session
        .get("spark.sql.timestampType")
        .is_some_and(|v| v.eq_ignore_ascii_case("TIMESTAMP_NTZ"));
    context.infer_partition_types =
        session.flag("spark.sql.sources.partitionColumnTypeInference.enabled");
    context.dynamic_partition_overwrite = session
        .get("spark.sql.sources.partitionOverwriteMode")
        .is_some_and(|v| v.eq_ignore_ascii_case("dynamic"));
    context
}

pub(crate) async fn open(
    session: &Session,
    format: Option<&str>,
    schema: Option<Schema>,
    options: BTreeMap<String, String>,
    paths: Vec<String>,
) -> Result<OpenedSource> {
    let format = match format {
        Some(format) => format.to_owned(),
        None => session.get("spark.sql.sources.default").unwrap_or_else(|| "parquet".to_owned()),
    };
    let spec = SourceSpec { format, paths, schema, options };
    spark_datasource::open(&spec, &context(session)).await
}
