//! The two plan nodes at the borders of a stage: the leaf that reads a shuffle and the root that
//! writes one.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning,
    PlanProperties, ReplaceChildrenOptions,
};

/// How the partitions of a reader map to the blocks of its shuffle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// Partition `i` is reduce partition `i` of every map output, in map order.
    Reduce,
    /// Partition `i` is all of map output `i`: the inputs of a merge inside one task.
    PerMap,
    /// The one partition is every map output, and every task reads it.
    Broadcast,
}

/// Gives the tasks of one executor the blocks of a shuffle; found in the `TaskContext`'s session
/// configuration as extension [`ShuffleInput`].
pub trait ReadShuffle: Send + Sync {
    /// Opens one partition of a reader.
    ///
    /// # Errors
    /// If the shuffle is not known here.
    fn read(
        &self,
        shuffle: u64,
        mode: ReadMode,
        partition: usize,
        schema: SchemaRef,
        context: &TaskContext,
    ) -> Result<SendableRecordBatchStream>;
}

/// The extension under which a task finds its [`ReadShuffle`].
pub struct ShuffleInput(pub Arc<dyn ReadShuffle>);

/// The leaf of a stage that reads what another stage wrote.
#[derive(Debug, Clone)]
pub struct ShuffleReaderExec {
    shuffle: u64,
    mode: ReadMode,
    statistics: Option<Arc<Statistics>>,
    properties: Arc<PlanProperties>,
}

impl ShuffleReaderExec {
    /// Makes a reader that stands for a plan with these properties.
    pub fn new(
        shuffle: u64,
        mode: ReadMode,
        equivalences: EquivalenceProperties,
        partitioning: Partitioning,
    ) -> Self {
        let properties = PlanProperties::new(
            equivalences,
            partitioning,
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { shuffle, mode, statistics: None, properties: Arc::new(properties) }
    }

    /// The shuffle read.
    pub fn shuffle(&self) -> u64 {
        self.shuffle
    }

    /// How partitions map to blocks.
    pub fn mode(&self) -> ReadMode {
        self.mode
    }
}

impl DisplayAs for ShuffleReaderExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shuffle, mode, .. } = self;
        write!(
            f,
            "ShuffleReaderExec: shuffle={shuffle}, mode={mode:?}, partitions={}",
            self.properties.output_partitioning().partition_count()
        )
    }
}

impl ExecutionPlan for ShuffleReaderExec {
    fn name(&self) -> &'static str {
        "ShuffleReaderExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
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
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(input) = context.session_config().get_extension::<ShuffleInput>() else {
            return internal_err!("shuffle {} is read outside of a task", self.shuffle);
        };
        input.0.read(self.shuffle, self.mode, partition, self.schema(), &context)
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(self
            .statistics
            .clone()
            .unwrap_or_else(|| Arc::new(Statistics::new_unknown(&self.schema()))))
    }
}

/// The root of a shuffle map stage: says how its rows are routed. A task drives its input and
/// routes the rows itself, so the node is never executed as such.
#[derive(Debug, Clone)]
pub struct ShuffleWriteExec {
    input: Arc<dyn ExecutionPlan>,
    shuffle: u64,
    routing: Partitioning,
}

impl ShuffleWriteExec {
    /// Routes the rows of `input`; `Partitioning::UnknownPartitioning(1)` is one reduce partition.
    pub fn new(input: Arc<dyn ExecutionPlan>, shuffle: u64, routing: Partitioning) -> Self {
        Self { input, shuffle, routing }
    }

    /// The plan whose rows are written.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The shuffle written.
    pub fn shuffle(&self) -> u64 {
        self.shuffle
    }

    /// How rows go to reduce partitions.
    pub fn routing(&self) -> &Partitioning {
        &self.routing
    }
}

impl DisplayAs for ShuffleWriteExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShuffleWriteExec: shuffle={}, routing={}", self.shuffle, self.routing)
    }
}

impl ExecutionPlan for ShuffleWriteExec {
    fn name(&self) -> &'static str {
        "ShuffleWriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        if let Partitioning::Hash(exprs, _) = &self.routing {
            for expr in exprs {
                if f(expr)? == TreeNodeRecursion::Stop {
                    return Ok(TreeNodeRecursion::Stop);
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else {
            return internal_err!("a shuffle write needs one input");
        };
        Ok(Arc::new(Self { input, ..Self::clone(&self) }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        _partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        internal_err!("a shuffle write is driven by its task")
    }
}
