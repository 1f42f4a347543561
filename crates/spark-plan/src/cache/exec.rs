//! The leaf that reads kept rows, and makes them at first.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::TryStreamExt;
use tokio::sync::OnceCell;

use super::StorageLevel;
use super::store::Store;

/// What an engine made of a kept plan. It lets go of its rows when it is dropped.
pub type Slot = OnceCell<Arc<dyn Any + Send + Sync>>;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptSize {
    /// `None` if nobody counted.
    pub rows: Option<usize>,
    pub bytes: usize,
}

/// The rows of one kept relation, in the driver and on executors.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    local: OnceCell<Store>,
    engine: Arc<Slot>,
    size: Arc<OnceLock<KeptSize>>,
}

/// Reads kept rows. In this process it keeps and reads them itself; an engine that runs plans
/// elsewhere replaces it, see [`KeptExec::slot`]. The plan below is none of its children: no rule
/// may change what is kept.
#[derive(Debug)]
pub struct KeptExec {
    input: Arc<dyn ExecutionPlan>,
    projection: Option<Vec<usize>>,
    level: StorageLevel,
    slots: Arc<Slots>,
    properties: Arc<PlanProperties>,
}

impl KeptExec {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        projection: Option<Vec<usize>>,
        level: StorageLevel,
        slots: Arc<Slots>,
    ) -> Self {
        let schema = match &projection {
            // The projection is one the table was asked for by its own columns.
            Some(columns) => schema.project(columns).map_or(schema, Arc::new),
            None => schema,
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, projection, level, slots, properties: Arc::new(properties) }
    }

    /// The plan whose rows are kept.
    #[must_use]
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The columns read; `None` is all.
    #[must_use]
    pub fn projection(&self) -> Option<&[usize]> {
        self.projection.as_deref()
    }

    /// Whether rows may lie in memory.
    #[must_use]
    pub fn in_memory(&self) -> bool {
        self.level.use_memory
    }

    /// Where an engine leaves what it made of the plan, for all plans that read the same rows.
    #[must_use]
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slots.engine
    }

    /// Where it tells how much that is.
    #[must_use]
    pub fn size(&self) -> &Arc<OnceLock<KeptSize>> {
        &self.slots.size
    }
}

impl DisplayAs for KeptExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InMemoryTableScan: columns=[")?;
        for (at, field) in self.schema().fields().iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { ", " }, field.name())?;
        }
        write!(f, "]")
    }
}

impl ExecutionPlan for KeptExec {
    fn name(&self) -> &'static str {
        "InMemoryTableScan"
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
        let slots = Arc::clone(&self.slots);
        let (input, level) = (Arc::clone(&self.input), self.level);
        let partitions = self.properties.output_partitioning().partition_count();
        let schema = self.schema();
        let projection = self.projection.clone();
        let rows = async move {
            let store = slots.local.get_or_try_init(|| Store::fill(input, level, context)).await?;
            let _ = slots.size.set(store.size());
            // Another plan of the same rows may have had another number of partitions.
            let mine = (partition..store.partitions()).step_by(partitions.max(1));
            Ok::<_, DataFusionError>(store.read(mine))
        };
        let target = Arc::clone(&schema);
        let rows = futures::stream::once(rows).try_flatten().and_then(move |batch| {
            std::future::ready(project(&batch, projection.as_deref(), &target))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if let (Some(size), None) = (self.slots.size.get(), args.partition()) {
            statistics.num_rows = size.rows.map_or(Precision::Absent, Precision::Exact);
            statistics.total_byte_size = Precision::Inexact(size.bytes);
        }
        Ok(Arc::new(statistics))
    }
}

fn project(
    batch: &RecordBatch,
    projection: Option<&[usize]>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let columns = match projection {
        Some(columns) => columns.iter().map(|index| Arc::clone(batch.column(*index))).collect(),
        None => batch.columns().to_vec(),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
