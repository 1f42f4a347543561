//! `spark.range`: a leaf that makes its numbers where it runs, so that its partitions can run anywhere.

use std::fmt;
use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};

/// The numbers `start`, `start + step`, … before `end`, in `partitions` slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeSpec {
    pub start: i64,
    pub end: i64,
    pub step: i64,
    pub partitions: usize,
}

impl RangeSpec {
    /// How many numbers there are (`RangeExec.numElements`).
    #[must_use]
    pub fn len(&self) -> u128 {
        let (start, end, step) =
            (i128::from(self.start), i128::from(self.end), i128::from(self.step));
        let distance = end - start;
        if step == 0 || distance == 0 || (distance > 0) != (step > 0) {
            return 0;
        }
        (distance.unsigned_abs()).div_ceil(step.unsigned_abs())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Positions `from..to` of a partition, cut as Spark does: `i * n / partitions`.
    fn slice(&self, partition: usize) -> (u128, u128) {
        let count = self.len();
        let parts = self.partitions.max(1) as u128;
        let at = |i: u128| i * count / parts;
        (at(partition as u128), at(partition as u128 + 1))
    }
}

fn range_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
}

/// The table behind `range`.
#[derive(Debug)]
pub struct RangeTable {
    pub spec: RangeSpec,
}

#[async_trait]
impl TableProvider for RangeTable {
    fn schema(&self) -> SchemaRef {
        range_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let with_id = projection.is_none_or(|p| !p.is_empty());
        Ok(Arc::new(RangeExec::new(self.spec, with_id)))
    }
}

/// Makes the numbers of one slice of a range.
#[derive(Debug)]
pub struct RangeExec {
    pub spec: RangeSpec,
    /// Without it only rows are counted.
    pub with_id: bool,
    properties: Arc<PlanProperties>,
}

impl RangeExec {
    #[must_use]
    pub fn new(spec: RangeSpec, with_id: bool) -> Self {
        let schema = if with_id { range_schema() } else { Arc::new(Schema::empty()) };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(spec.partitions.max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::NonCooperative);
        Self { spec, with_id, properties: Arc::new(properties) }
    }
}

impl DisplayAs for RangeExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RangeSpec { start, end, step, partitions } = self.spec;
        write!(f, "RangeExec: start={start}, end={end}, step={step}, partitions={partitions}")
    }
}

impl ExecutionPlan for RangeExec {
    fn name(&self) -> &'static str {
        "RangeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let (from, to) = self.spec.slice(partition);
        let batch_size = context.session_config().batch_size().max(1) as u128;
        let (spec, with_id) = (self.spec, self.with_id);
        let stream_schema = Arc::clone(&schema);
        let batches = std::iter::successors(Some(from), move |at| Some(at + batch_size))
            .take_while(move |at| *at < to)
            .map(move |at| {
                let count = batch_size.min(to - at);
                let number = |index: u128| {
                    let value = i128::from(spec.start)
                        + i128::try_from(at + index).unwrap_or_default() * i128::from(spec.step);
                    i64::try_from(value).unwrap_or_default()
                };
                let rows = usize::try_from(count).unwrap_or_default();
                let columns: Vec<arrow::array::ArrayRef> = if with_id {
                    vec![Arc::new(Int64Array::from_iter_values((0..count).map(number)))]
                } else {
                    Vec::new()
                };
                RecordBatch::try_new_with_options(
                    Arc::clone(&stream_schema),
                    columns,
                    &RecordBatchOptions::new().with_row_count(Some(rows)),
                )
                .map_err(DataFusionError::from)
            });
        let stream = RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches));
        Ok(Box::pin(datafusion::physical_plan::coop::cooperative(stream)))
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let rows = match args.partition() {
            Some(partition) => {
                let (from, to) = self.spec.slice(partition);
                to - from
            }
            None => self.spec.len(),
        };
        let mut statistics = Statistics::new_unknown(&self.schema());
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        statistics.num_rows = Precision::Exact(rows);
        statistics.total_byte_size = Precision::Inexact(rows.saturating_mul(8));
        if self.with_id && args.partition().is_none() && !self.spec.is_empty() {
            let last = i128::from(self.spec.start)
                + (i128::try_from(self.spec.len()).unwrap_or(i128::MAX) - 1)
                    * i128::from(self.spec.step);
            let last = i64::try_from(last).unwrap_or(self.spec.end);
            let (low, high) = (self.spec.start.min(last), self.spec.start.max(last));
            statistics.column_statistics = vec![
                ColumnStatistics::new_unknown()
                    .with_null_count(Precision::Exact(0))
                    .with_distinct_count(Precision::Exact(rows))
                    .with_min_value(Precision::Exact(ScalarValue::Int64(Some(low))))
                    .with_max_value(Precision::Exact(ScalarValue::Int64(Some(high)))),
            ];
        }
        Ok(Arc::new(statistics))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(start: i64, end: i64, step: i64, partitions: usize) -> (u128, Vec<u128>) {
        let spec = RangeSpec { start, end, step, partitions };
        let slices = (0..partitions).map(|p| spec.slice(p)).map(|(from, to)| to - from).collect();
        (spec.len(), slices)
    }

    #[test]
    fn counts_like_spark() {
        assert_eq!(lengths(0, 10, 1, 3), (10, vec![3, 3, 4]));
        assert_eq!(lengths(10, 0, -3, 2), (4, vec![2, 2]));
        assert_eq!(lengths(0, 10, -1, 2), (0, vec![0, 0]));
        assert_eq!(lengths(5, 5, 1, 1), (0, vec![0]));
        let whole = RangeSpec { start: i64::MIN, end: i64::MAX, step: 1, partitions: 1 };
        assert_eq!(whole.len(), u128::from(u64::MAX));
    }
}
