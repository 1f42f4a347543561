//! Physical operators of our own, each runnable one partition at a time in any process.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt};

/// What a [`SparkExec`] does.
#[derive(Debug, Clone)]
pub enum Operator {
    /// Becomes a `SortExec` that keeps partitions.
    LocalSort(LexOrdering),
    /// Becomes a `RepartitionExec`.
    Exchange(Partitioning),
    /// Reads groups of input partitions one after the other.
    Coalesce(usize),
    /// Keeps the last rows of its single input partition.
    Tail(usize),
    /// Says how to join its rows; stages keep it until they are cut, see [`join_hint`].
    JoinHint(JoinHint),
}

/// A hint how to join a relation, in Spark's order of priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinHint {
    /// Every task reads it whole.
    Broadcast,
    /// Both sides are shuffled; Spark merges them sorted.
    ShuffleMerge,
    /// Both sides are shuffled; this one is hashed.
    ShuffleHash,
    /// Spark joins each partition with each.
    ShuffleReplicateNestedLoop,
}

impl JoinHint {
    /// The hint by one of its names in Spark SQL, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is(&["broadcast", "broadcastjoin", "mapjoin"]) {
            Some(Self::Broadcast)
        } else if is(&["merge", "mergejoin", "shuffle_merge"]) {
            Some(Self::ShuffleMerge)
        } else if is(&["shuffle_hash"]) {
            Some(Self::ShuffleHash)
        } else if is(&["shuffle_replicate_nl"]) {
            Some(Self::ShuffleReplicateNestedLoop)
        } else {
            None
        }
    }
}

impl fmt::Display for JoinHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broadcast => "broadcast",
            Self::ShuffleMerge => "merge",
            Self::ShuffleHash => "shuffle_hash",
            Self::ShuffleReplicateNestedLoop => "shuffle_replicate_nl",
        })
    }
}

/// The hint for the join whose side a plan is: the outermost one, through operators of one input (Spark's
/// `EliminateResolvedHint`).
#[must_use]
pub fn join_hint(plan: &Arc<dyn ExecutionPlan>) -> Option<JoinHint> {
    if let Some(exec) = plan.downcast_ref::<SparkExec>()
        && let Operator::JoinHint(hint) = exec.operator
    {
        return Some(hint);
    }
    match plan.children()[..] {
        [input] => join_hint(input),
        _ => None,
    }
}

/// One operator over one input. `LocalSort` and `Exchange` exist only while the plan is optimised, where DataFusion's rules
/// would drop the operators they stand for; `JoinHint` is gone before anything runs.
#[derive(Debug)]
pub struct SparkExec {
    pub operator: Operator,
    pub input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl SparkExec {
    #[must_use]
    pub fn new(operator: Operator, input: Arc<dyn ExecutionPlan>) -> Self {
        let schema = input.schema();
        let old = input.properties();
        let fresh = || EquivalenceProperties::new(Arc::clone(&schema));
        let (equivalence, partitioning) = match &operator {
            Operator::LocalSort(order) => {
                let mut properties = fresh();
                properties.add_ordering(order.clone());
                (properties, old.output_partitioning().clone())
            }
            Operator::Exchange(partitioning) => (fresh(), partitioning.clone()),
            Operator::Coalesce(n) => {
                let count = old.output_partitioning().partition_count().min((*n).max(1));
                let equivalence = match old.output_partitioning().partition_count() {
                    1 => old.equivalence_properties().clone(),
                    _ => fresh(),
                };
                (equivalence, Partitioning::UnknownPartitioning(count))
            }
            Operator::Tail(_) => {
                (old.equivalence_properties().clone(), Partitioning::UnknownPartitioning(1))
            }
            Operator::JoinHint(_) => {
                (old.equivalence_properties().clone(), old.output_partitioning().clone())
            }
        };
        let emission = match &operator {
            Operator::Tail(_) | Operator::LocalSort(_) => EmissionType::Final,
            Operator::Exchange(_) | Operator::Coalesce(_) | Operator::JoinHint(_) => {
                EmissionType::Incremental
            }
        };
        let properties =
            PlanProperties::new(equivalence, partitioning, emission, input.boundedness());
        Self { operator, input, properties: Arc::new(properties) }
    }

    /// The input partitions that partition `index` of a coalesce reads.
    fn group(&self, index: usize) -> std::ops::Range<usize> {
        let inputs = self.input.output_partitioning().partition_count();
        let outputs = self.properties.output_partitioning().partition_count().max(1);
        index * inputs / outputs..(index + 1) * inputs / outputs
    }
}

impl DisplayAs for SparkExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operator {
            Operator::LocalSort(order) => write!(f, "LocalSortExec: {order}"),
            Operator::Exchange(partitioning) => write!(f, "ExchangeExec: {partitioning}"),
            Operator::Coalesce(n) => write!(f, "CoalesceExec: {n}"),
            Operator::Tail(n) => write!(f, "TailExec: {n}"),
            Operator::JoinHint(hint) => write!(f, "{}: {hint}", self.name()),
        }
    }
}

impl ExecutionPlan for SparkExec {
    fn name(&self) -> &'static str {
        match &self.operator {
            Operator::LocalSort(_) => "LocalSortExec",
            Operator::Exchange(_) => "ExchangeExec",
            Operator::Coalesce(_) => "CoalesceExec",
            Operator::Tail(_) => "TailExec",
            Operator::JoinHint(JoinHint::Broadcast) => "BroadcastHintExec",
            // Known by this name to who cuts the plan into stages.
            Operator::JoinHint(_) => "ShuffleHintExec",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![match &self.operator {
            Operator::Tail(_) => Distribution::SinglePartition,
            _ => Distribution::UnspecifiedDistribution,
        }])
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![match &self.operator {
            Operator::Tail(_) | Operator::JoinHint(_) => true,
            // `sort().coalesce(1)` stays in order.
            Operator::Coalesce(_) => self.input.output_partitioning().partition_count() == 1,
            Operator::Exchange(_) | Operator::LocalSort(_) => false,
        }]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let roots: Vec<Arc<dyn PhysicalExpr>> = match &self.operator {
            Operator::LocalSort(order) => order.iter().map(|s| Arc::clone(&s.expr)).collect(),
            Operator::Exchange(Partitioning::Hash(exprs, _)) => exprs.clone(),
            _ => Vec::new(),
        };
        for root in &roots {
            if f(root)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(Self::new(self.operator.clone(), input))),
            None => datafusion::common::internal_err!("{} lost its input", self.name()),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(Self::new(self.operator.clone(), input))),
            None => datafusion::common::internal_err!("{} lost its input", self.name()),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        match &self.operator {
            Operator::Coalesce(_) => {
                let input = Arc::clone(&self.input);
                let streams = futures::stream::iter(self.group(partition))
                    .map(move |index| input.execute(index, Arc::clone(&context)))
                    .try_flatten();
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, streams)))
            }
            Operator::Tail(rows) => {
                let input = self.input.execute(partition, context)?;
                let rows = *rows;
                let stream = futures::stream::once(last_rows(input, rows)).try_flatten();
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
            }
            Operator::LocalSort(_) | Operator::Exchange(_) => {
                datafusion::common::internal_err!("{} reached execution", self.name())
            }
            Operator::JoinHint(_) => self.input.execute(partition, context),
        }
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let keeps_rows = !matches!(self.operator, Operator::Tail(_));
        let whole = args.partition().is_none();
        match inputs.first() {
            Some(statistics) if keeps_rows && whole => Ok(Arc::clone(statistics)),
            _ => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }
}

async fn last_rows(
    mut input: SendableRecordBatchStream,
    rows: usize,
) -> Result<futures::stream::Iter<std::vec::IntoIter<Result<RecordBatch>>>> {
    let mut kept: VecDeque<RecordBatch> = VecDeque::new();
    let mut count = 0;
    while let Some(batch) = input.try_next().await? {
        count += batch.num_rows();
        kept.push_back(batch);
        while let Some(first) = kept.front() {
            if count - first.num_rows() < rows {
                break;
            }
            count -= first.num_rows();
            kept.pop_front();
        }
    }
    if count > rows
        && let Some(first) = kept.pop_front()
    {
        let drop = count - rows;
        kept.push_front(first.slice(drop, first.num_rows() - drop));
    }
    let batches: Vec<Result<RecordBatch>> = kept.into_iter().map(Ok).collect();
    Ok(futures::stream::iter(batches))
}
