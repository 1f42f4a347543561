//! How large a side of a join is before anything has run: whether to broadcast it (`spark.sql.autoBroadcastJoinThreshold`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::union::UnionExec;

use crate::operators::SparkExec;

/// Rows in memory may be this many times larger than files, and no more, to be broadcast by the files' size.
const MEMORY_FACTOR: u64 = 2;
/// What Spark takes a string or binary value for (`StringType.defaultSize`).
const TEXT_BYTES: u64 = 20;
/// What Spark adds to each row (`EstimationUtils.getSizePerRow`).
const ROW_BYTES: u64 = 8;

/// Bytes of a side, estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// As Spark counts them without its cost-based optimiser: the share that the columns in use have of the files, filters
    /// taking nothing away.
    pub(crate) stored: u64,
    /// The rows that filters leave, in memory, where their number can be told.
    memory: Option<u64>,
}

impl Size {
    /// Whether a side of this size is broadcast below `threshold` bytes.
    pub(crate) fn is_below(self, threshold: u64) -> bool {
        self.stored <= threshold
            && self.memory.is_none_or(|bytes| bytes <= threshold.saturating_mul(MEMORY_FACTOR))
    }
}

/// The size of what a plan answers; `None` where a join or another node may have made more rows of those it read.
pub(crate) fn size(plan: &Arc<dyn ExecutionPlan>) -> Option<Size> {
    Some(Size { stored: stored(plan)?, memory: in_memory(plan) })
}

fn in_memory(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let statistics =
        StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    let rows = *statistics.num_rows.get_value()? as u64;
    Some(rows.saturating_mul(width(&plan.schema())))
}

fn stored(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let children = plan.children();
    if plan.is::<UnionExec>() {
        return children.into_iter().map(stored).sum();
    }
    let [input] = children[..] else {
        return if children.is_empty() { stored_in_leaf(plan) } else { None };
    };
    keeps_or_drops_rows(plan).then_some(())?;
    Some(share(stored(input)?, &input.schema(), &plan.schema()))
}

/// What fewer columns have of the bytes of a table.
fn share(bytes: u64, table: &Schema, columns: &Schema) -> u64 {
    let (table, columns) = (width(table), width(columns));
    bytes.saturating_mul(columns.min(table)) / table
}

fn keeps_or_drops_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        // Each further grouping set reads every row once more.
        return aggregate.group_expr().groups().len() <= 1;
    }
    plan.is::<SparkExec>()
        || matches!(
            plan.name(),
            "ProjectionExec"
                | "FilterExec"
                | "CooperativeExec"
                | "CoalescePartitionsExec"
                | "RepartitionExec"
                | "SortExec"
                | "SortPreservingMergeExec"
                | "GlobalLimitExec"
                | "LocalLimitExec"
        )
}

fn stored_in_leaf(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let scan = plan
        .downcast_ref::<DataSourceExec>()
        .and_then(|source| source.data_source().downcast_ref::<FileScanConfig>());
    if let Some(scan) = scan {
        let files = scan.file_groups.iter().flat_map(|group| group.iter());
        let bytes = files.map(|file| file.effective_size()).sum();
        return Some(share(bytes, scan.file_schema(), &plan.schema()));
    }
    if let Some(bytes) = in_memory(plan) {
        return Some(bytes);
    }
    let statistics =
        StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    statistics.total_byte_size.get_value().map(|bytes| *bytes as u64)
}

pub(crate) fn width(schema: &Schema) -> u64 {
    ROW_BYTES + schema.fields().iter().map(|field| value_width(field.data_type())).sum::<u64>()
}

fn value_width(of: &DataType) -> u64 {
    match of {
        DataType::Struct(fields) => fields.iter().map(|field| value_width(field.data_type())).sum(),
        // Spark's default for collections is one element.
        DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
            value_width(item.data_type())
        }
        DataType::Dictionary(_, value) => value_width(value),
        DataType::Boolean => 1,
        other => other.primitive_width().map_or(TEXT_BYTES, |bytes| bytes as u64),
    }
}
