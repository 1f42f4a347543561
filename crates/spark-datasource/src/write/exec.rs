//! The plan node that writes files.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{
    DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, SchemaRef,
};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;
use spark_sql_parser::types::Schema;

use super::WriteTask;
use super::dispatch::{Dispatcher, WrittenFile};
use crate::error::{self, Result};
use crate::path;

/// Writes each partition of its input into files below the staging directory; yields a row per file:
/// `staged` (absolute path), `target` (path below the destination), `rows`, `bytes`.
#[derive(Debug)]
pub(crate) struct DataWriterExec {
    input: Arc<dyn ExecutionPlan>,
    task: Arc<WriteTask>,
    columns: Arc<Schema>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DataWriterExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, task: WriteTask) -> Result<Self> {
        let columns = Schema::from_json(&task.columns)?;
        let given = input.schema().fields().len();
        if given != columns.fields.len() {
            return Err(error::internal(format!(
                "a write of {} columns was given {given}",
                columns.fields.len()
            )));
        }
        let schema = Arc::new(ArrowSchema::new(vec![
            ArrowField::new("staged", ArrowType::Utf8, false),
            ArrowField::new("target", ArrowType::Utf8, false),
            ArrowField::new("rows", ArrowType::Int64, false),
            ArrowField::new("bytes", ArrowType::Int64, false),
        ]));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self {
            input,
            task: Arc::new(task),
            columns: Arc::new(columns),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    pub(crate) fn task(&self) -> &WriteTask {
        &self.task
    }
}

impl DisplayAs for DataWriterExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partition_by: Vec<&str> = self
            .task
            .partition_columns
            .iter()
            .map(|index| self.columns.fields[*index].name.as_str())
            .collect();
        write!(
            f,
            "DataWriterExec: suffix={}, partitionBy=[{}]",
            self.task.format.suffix(),
            partition_by.join(", ")
        )
    }
}

impl ExecutionPlan for DataWriterExec {
    fn name(&self) -> &'static str {
        "DataWriterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => {
                let task = WriteTask::clone(&self.task);
                Ok(Arc::new(Self::new(input, task).map_err(error::external)?))
            }
            _ => Err(error::external(error::internal("a write has exactly one input"))),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let schema = Arc::clone(self.properties.eq_properties.schema());
        let input = self.input.execute(partition, context)?;
        let task = Arc::clone(&self.task);
        let columns = Arc::clone(&self.columns);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let bytes = MetricBuilder::new(&self.metrics).counter("bytes_written", partition);
        let result_schema = Arc::clone(&schema);
        let stream = futures::stream::once(async move {
            let written = write(input, &task, &columns, partition, &metrics).await?;
            let total: u64 = written.iter().map(|file| file.bytes).sum();
            bytes.add(usize::try_from(total).unwrap_or(usize::MAX));
            result_batch(&result_schema, &written)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

async fn write(
    mut input: SendableRecordBatchStream,
    task: &WriteTask,
    columns: &Schema,
    partition: usize,
    metrics: &BaselineMetrics,
) -> DataFusionResult<Vec<WrittenFile>> {
    let failed = |e| error::external(e);
    let mut dispatcher = Dispatcher::new(task, columns, partition).map_err(failed)?;
    while let Some(batch) = input.next().await {
        let batch = batch?;
        let timer = metrics.elapsed_compute().timer();
        metrics.record_output(batch.num_rows());
        dispatcher.write(&batch).map_err(failed)?;
        drop(timer);
    }
    dispatcher.finish().map_err(failed)
}

fn result_batch(schema: &SchemaRef, written: &[WrittenFile]) -> DataFusionResult<RecordBatch> {
    let text = |path: &std::path::Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| {
            error::external(error::write_failed(&path::to_uri(path), "the name is not UTF-8"))
        })
    };
    let staged: Vec<String> =
        written.iter().map(|file| text(&file.staged)).collect::<DataFusionResult<_>>()?;
    let target: Vec<String> =
        written.iter().map(|file| text(&file.target)).collect::<DataFusionResult<_>>()?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(staged)),
        Arc::new(StringArray::from(target)),
        Arc::new(written.iter().map(|file| file.rows as i64).collect::<Int64Array>()),
        Arc::new(written.iter().map(|file| file.bytes as i64).collect::<Int64Array>()),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
