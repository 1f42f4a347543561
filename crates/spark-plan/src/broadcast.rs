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

/// Files may be this many times smaller than their rows in memory, and no more, to be broadcast by their size.
const MEMORY_FACTOR: u64 = 8;
/// What Spark takes a string or binary value for (`StringType.defaultSize`).
const TEXT_BYTES: u64 = 20;
/// What Spark adds to each row (`EstimationUtils.getSizePerRow`).
const ROW_BYTES: u64 = 8;

/// Bytes of a side, estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// As Spark counts them: the share that the columns in use have of the files.
    pub(crate) stored: u64,
    /// All rows in memory, where their number is known.
    memory: Option<u64>,
}

impl Size {
    /// Whether a side of this size is broadcast below `threshold` bytes.
    pub(crate) fn is_below(self, threshold: u64) -> bool {
        self.stored <= threshold
            && self.memory.is_none_or(|bytes| bytes <= threshold.saturating_mul(MEMORY_FACTOR))
    }

    fn narrowed(self, from: &Schema, to: &Schema) -> Self {
        let (from, to) = (width(from), width(to));
        let scaled = |bytes: u64| bytes.saturating_mul(to.min(from)) / from;
        Self { stored: scaled(self.stored), memory: self.memory.map(scaled) }
    }

    fn plus(self, other: Self) -> Self {
        let memory = self.memory.zip(other.memory).map(|(a, b)| a.saturating_add(b));
        Self { stored: self.stored.saturating_add(other.stored), memory }
    }
}

/// The size of what a plan answers; `None` where a join or another node may have made more rows of those it read.
/// As in Spark without its cost-based optimiser, filters take nothing away.
pub(crate) fn size(plan: &Arc<dyn ExecutionPlan>) -> Option<Size> {
    let children = plan.children();
    if children.is_empty() {
        return leaf(plan);
    }
    if plan.is::<UnionExec>() {
        return children.into_iter().map(size).reduce(|a, b| Some(a?.plus(b?)))?;
    }
    let [input] = children[..] else { return None };
    keeps_or_drops_rows(plan).then_some(())?;
    Some(size(input)?.narrowed(&input.schema(), &plan.schema()))
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

fn leaf(plan: &Arc<dyn ExecutionPlan>) -> Option<Size> {
    let statistics =
        StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    let rows = statistics.num_rows.get_value().map(|rows| *rows as u64);
    let schema = plan.schema();
    let memory = rows.map(|rows| rows.saturating_mul(width(&schema)));
    let scan = plan
        .downcast_ref::<DataSourceExec>()
        .and_then(|source| source.data_source().downcast_ref::<FileScanConfig>());
    let stored = match scan {
        Some(scan) => {
            let files = scan.file_groups.iter().flat_map(|group| group.iter());
            let bytes = files.map(|file| file.effective_size()).sum();
            let whole = Size { stored: bytes, memory: None };
            whole.narrowed(scan.file_schema(), &schema).stored
        }
        None => memory.or_else(|| statistics.total_byte_size.get_value().map(|n| *n as u64))?,
    };
    Some(Size { stored, memory })
}

fn width(schema: &Schema) -> u64 {
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
