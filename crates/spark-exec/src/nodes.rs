//! The two plan nodes at the borders of a stage: the leaf that reads a shuffle and the root that
//! writes one.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning,
    PlanProperties, ReplaceChildrenOptions,
};

/// How the partitions of a reader map to the blocks of its shuffle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// Partition `i` is reduce partition `i` (or a run of them) of every map output, in map order.
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
        input: &ShuffleReaderExec,
        partition: usize,
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
    /// The runs of reduce partitions that are read as one partition each; `None` is one by one.
    runs: Option<Arc<[Range<u32>]>>,
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
        Self { shuffle, mode, runs: None, properties: Arc::new(properties) }
    }

    /// The same reader with runs of reduce partitions read as one partition each.
    #[must_use]
    pub fn with_runs(&self, runs: Arc<[Range<u32>]>) -> Self {
        let partitioning = match &self.properties.partitioning {
            Partitioning::Hash(keys, _) => Partitioning::Hash(keys.clone(), runs.len()),
            Partitioning::RoundRobinBatch(_)
            | Partitioning::Range(_)
            | Partitioning::UnknownPartitioning(_) => Partitioning::UnknownPartitioning(runs.len()),
        };
        let properties = PlanProperties::clone(&self.properties).with_partitioning(partitioning);
        Self { runs: Some(runs), properties: Arc::new(properties), ..self.clone() }
    }

    /// The same reader of so many map outputs, each a partition.
    #[must_use]
    pub fn with_maps(&self, maps: usize) -> Self {
        let partitioning = Partitioning::UnknownPartitioning(maps);
        let properties = PlanProperties::clone(&self.properties).with_partitioning(partitioning);
        Self { properties: Arc::new(properties), ..self.clone() }
    }

    /// The runs of reduce partitions read as one, if they are not read one by one.
    pub fn runs(&self) -> Option<&Arc<[Range<u32>]>> {
        self.runs.as_ref()
    }

    /// The reduce partitions that a partition of a reader in mode [`ReadMode::Reduce`] is.
    pub(crate) fn segments(&self, partition: usize) -> Range<u32> {
        match &self.runs {
            Some(runs) => runs.get(partition).cloned().unwrap_or_default(),
            None => partition as u32..partition as u32 + 1,
        }
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
        input.0.read(self, partition, &context)
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
