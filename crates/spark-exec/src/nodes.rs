//! The two plan nodes at the borders of a stage: the leaf that reads a shuffle and the root that
//! writes one.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr};
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
    /// Partition `i` is the `i`-th range of keys of all map outputs, each of which is sorted: they
    /// are merged, so that the partitions one after the other are one sorted whole.
    Sorted,
    /// Partition `i` is all of map output `i`: what a cache keeps.
    Map,
    /// The one partition is every map output, and every task reads it.
    Broadcast,
}

/// The order of sorted map outputs, and the keys at which a reader divides them.
#[derive(Debug, Clone)]
pub struct SortedRanges {
    /// The order of the rows.
    pub order: LexOrdering,
    /// The keys, in the row format of the order's columns, that begin each partition but the first.
    pub bounds: Arc<[Bytes]>,
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
        context: &Arc<TaskContext>,
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
    runs: Option<Arc<[Run]>>,
    /// Of mode [`ReadMode::Sorted`] only.
    ranges: Option<SortedRanges>,
    /// Of mode [`ReadMode::Map`] only: executors keep the rows in memory.
    in_memory: bool,
    /// A hint asks for the shuffle that is read, so no join broadcasts it. Known to the driver only, which plans.
    hinted: bool,
    properties: Arc<PlanProperties>,
}

/// The part of a shuffle that one partition of a reader reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The reduce partitions.
    pub reduces: Range<u32>,
    /// The map outputs; `None` is all. A skewed reduce partition is read in several parts.
    pub maps: Option<Range<u32>>,
}

impl From<Range<u32>> for Run {
    fn from(reduces: Range<u32>) -> Self {
        Self { reduces, maps: None }
    }
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
        let properties = Arc::new(properties);
        Self {
            shuffle,
            mode,
            runs: None,
            ranges: None,
            in_memory: false,
            hinted: false,
            properties,
        }
    }

    /// The same reader of kept rows, which executors hold in memory or not.
    #[must_use]
    pub fn kept_in_memory(&self, in_memory: bool) -> Self {
        Self { in_memory, ..self.clone() }
    }

    /// Whether executors keep the rows read in memory.
    pub fn in_memory(&self) -> bool {
        self.in_memory
    }

    /// The same reader of a shuffle that a hint asks for.
    #[must_use]
    pub fn asked_for_by_hint(&self) -> Self {
        Self { hinted: true, ..self.clone() }
    }

    /// Whether a hint asks for the shuffle.
    pub fn is_asked_for_by_hint(&self) -> bool {
        self.hinted
    }

    /// Makes a reader that merges sorted map outputs into one partition.
    pub fn sorted(shuffle: u64, order: LexOrdering, equivalences: EquivalenceProperties) -> Self {
        let one = Partitioning::UnknownPartitioning(1);
        let ranges = Some(SortedRanges { order, bounds: Arc::default() });
        Self { ranges, ..Self::new(shuffle, ReadMode::Sorted, equivalences, one) }
    }

    /// The same reader of sorted map outputs divided at these keys.
    #[must_use]
    pub fn with_bounds(&self, bounds: Arc<[Bytes]>) -> Self {
        let partitioning = Partitioning::UnknownPartitioning(bounds.len() + 1);
        let properties = PlanProperties::clone(&self.properties).with_partitioning(partitioning);
        let ranges =
            self.ranges.as_ref().map(|ranges| SortedRanges { order: ranges.order.clone(), bounds });
        Self { ranges, properties: Arc::new(properties), ..self.clone() }
    }

    /// The order and the bounds of a reader in mode [`ReadMode::Sorted`].
    pub fn ranges(&self) -> Option<&SortedRanges> {
        self.ranges.as_ref()
    }

    /// The same reader with runs of reduce partitions read as one partition each.
    #[must_use]
    pub fn with_runs(&self, runs: Arc<[Run]>) -> Self {
        let divided = runs.iter().any(|run| run.maps.is_some());
        let partitioning = match &self.properties.partitioning {
            Partitioning::Hash(keys, _) if !divided => Partitioning::Hash(keys.clone(), runs.len()),
            Partitioning::Hash(..) => Partitioning::UnknownPartitioning(runs.len()),
            Partitioning::RoundRobinBatch(_)
            | Partitioning::Range(_)
            | Partitioning::UnknownPartitioning(_) => Partitioning::UnknownPartitioning(runs.len()),
        };
        let properties = PlanProperties::clone(&self.properties).with_partitioning(partitioning);
        Self { runs: Some(runs), properties: Arc::new(properties), ..self.clone() }
    }

    /// The runs of reduce partitions read as one, if they are not read one by one.
    pub fn runs(&self) -> Option<&Arc<[Run]>> {
        self.runs.as_ref()
    }

    /// The reduce partitions that a partition of a reader in mode [`ReadMode::Reduce`] is.
    pub(crate) fn run(&self, partition: usize) -> Run {
        match &self.runs {
            Some(runs) => runs.get(partition).cloned().unwrap_or_else(|| Run::from(0..0)),
            None => Run::from(partition as u32..partition as u32 + 1),
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
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for key in self.ranges.iter().flat_map(|ranges| ranges.order.iter()) {
            if f(&key.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
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
    /// The order the input has, if readers want to find rows by their keys.
    order: Option<LexOrdering>,
}

impl ShuffleWriteExec {
    /// Routes the rows of `input`; `Partitioning::UnknownPartitioning(1)` is one reduce partition.
    pub fn new(input: Arc<dyn ExecutionPlan>, shuffle: u64, routing: Partitioning) -> Self {
        Self { input, shuffle, routing, order: None }
    }

    /// Writes sorted rows with the keys by which readers find their ranges.
    pub fn sorted(input: Arc<dyn ExecutionPlan>, shuffle: u64, order: LexOrdering) -> Self {
        let routing = Partitioning::UnknownPartitioning(1);
        Self { input, shuffle, routing, order: Some(order) }
    }

    /// The order of the rows of a map output for readers of ranges.
    pub fn order(&self) -> Option<&LexOrdering> {
        self.order.as_ref()
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
        match &self.order {
            Some(order) => write!(f, "ShuffleWriteExec: shuffle={}, order=[{order}]", self.shuffle),
            None => {
                write!(f, "ShuffleWriteExec: shuffle={}, routing={}", self.shuffle, self.routing)
            }
        }
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
        for key in self.order.iter().flat_map(|order| order.iter()) {
            if f(&key.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
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
