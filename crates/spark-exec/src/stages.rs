//! Cuts a physical plan into stages at its exchanges.
//!
//! A stage is a plan whose partitions run each on its own, anywhere: its leaves are scans and
//! shuffle readers, and nothing in it may depend on which other partitions run beside it. So no
//! `RepartitionExec` stays inside, no merge of partitions that other tasks run, and joins whose
//! build side emits rows never share that build side between tasks. [`check`] says so with an error
//! instead of a wrong answer.

mod joins;
mod semi_joins;

pub(crate) use joins::left_may_be_broadcast;
pub(crate) use semi_joins::{passages, semi_join};

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{internal_err, not_impl_err};
use datafusion::error::Result;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::Volatility;
use datafusion::physical_expr::{Distribution, LexOrdering, ScalarFunctionExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};

use crate::codec;
use crate::nodes::{ReadMode, ShuffleReaderExec, ShuffleWriteExec};

/// The name of the operator by which a plan says that a join of its rows shuffles both sides, whatever their sizes.
pub const SHUFFLE_HINT: &str = "ShuffleHintExec";

/// One stage.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Unique in the application.
    pub id: u64,
    /// The plan, its root a [`ShuffleWriteExec`] unless this is the result stage.
    pub plan: Arc<dyn ExecutionPlan>,
    /// The shuffle it writes; `None` for the result stage.
    pub shuffle: Option<u64>,
    /// Number of tasks.
    pub partitions: usize,
    /// The shuffles its leaves read.
    pub parents: Vec<u64>,
    /// Whether a second run of a task may give other rows, or route them otherwise.
    pub indeterminate: bool,
}

/// The stages of one query, parents before children; the last one makes the result.
#[derive(Debug, Clone)]
pub struct StageGraph {
    /// Never empty.
    pub stages: Vec<Stage>,
}

/// Gives out stage and shuffle ids.
pub trait Ids {
    /// An id never given before.
    fn next(&self) -> u64;
}

impl Ids for std::sync::atomic::AtomicU64 {
    fn next(&self) -> u64 {
        self.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}

/// Settings of the cut.
#[derive(Debug, Clone, Copy)]
pub struct CutOptions {
    /// Partitions of the exchanges that the cut itself adds.
    pub partitions: usize,
    /// Keeps every round-robin exchange: the planner adds none, so the user asked for them.
    pub keep_round_robin: bool,
    /// `spark.sql.exchange.reuse`: equal exchanges are one stage with several readers.
    pub reuse_exchanges: bool,
    /// Leaves rows out before they are shuffled that a broadcast join above would drop.
    pub add_semi_joins: bool,
}

impl CutOptions {
    /// The settings a session implies.
    pub fn of(session: &SessionState) -> Self {
        let config = session.config();
        Self {
            partitions: config.target_partitions(),
            keep_round_robin: !config.round_robin_repartition(),
            reuse_exchanges: true,
            add_semi_joins: true,
        }
    }
}

/// Cuts a plan whose scalar subqueries have been resolved to constants.
///
/// # Errors
/// If the plan holds something that cannot run partition by partition.
pub fn cut(plan: Arc<dyn ExecutionPlan>, ids: &dyn Ids, options: CutOptions) -> Result<StageGraph> {
    let mut cutter = Cutter::new(ids, options);
    let plan = without_root_coalesce(plan);
    let plan = if options.add_semi_joins { semi_joins::add(plan)? } else { plan };
    let plan = cutter.cut(plan)?;
    cutter.add_result(plan)?;
    let graph = StageGraph { stages: cutter.stages };
    for stage in &graph.stages {
        check(&stage.plan)?;
    }
    Ok(graph)
}

/// Cuts a plan into stages of which the last leaves one block per partition; answers its shuffle.
///
/// # Errors
/// As [`cut`].
pub(crate) fn cut_into_blocks(
    plan: Arc<dyn ExecutionPlan>,
    ids: &dyn Ids,
    options: CutOptions,
) -> Result<(StageGraph, u64)> {
    let mut cutter = Cutter::new(ids, options);
    let plan = without_root_coalesce(plan);
    let plan = if options.add_semi_joins { semi_joins::add(plan)? } else { plan };
    let plan = cutter.cut(plan)?;
    let shuffle = cutter.add_map_stage(plan, Partitioning::UnknownPartitioning(1))?;
    let graph = StageGraph { stages: cutter.stages };
    for stage in &graph.stages {
        check(&stage.plan)?;
    }
    Ok((graph, shuffle))
}

/// Whether a plan holds a recursion, which only one process can run.
pub fn is_driver_only(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.exists(|node| {
        Ok(matches!(node.name(), "RecursiveQueryExec" | "WorkTableExec" | "AnalyzeExec"))
    })
    .unwrap_or(false)
}

/// The partitions of a result are delivered in order one after the other, so the exchange that
/// would collect them at the very root is not needed, and would lose the order.
pub(crate) fn without_root_coalesce(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.downcast_ref::<CoalescePartitionsExec>() {
        Some(coalesce) if coalesce.fetch().is_none() => Arc::clone(coalesce.input()),
        _ => plan,
    }
}

struct Cutter<'a> {
    ids: &'a dyn Ids,
    options: CutOptions,
    stages: Vec<Stage>,
    /// The exchanges so far that a second one may turn out equal to.
    exchanges: Vec<Exchange>,
    /// The resolved subqueries whose values the plan at hand may name, innermost last.
    subqueries: Vec<Arc<dyn ExecutionPlan>>,
}

/// An exchange whose stage is there: what it writes, and how.
struct Exchange {
    input: Arc<dyn ExecutionPlan>,
    routing: Partitioning,
    shuffle: u64,
}

impl Exchange {
    /// Whether another exchange would write the same rows to the same places.
    fn is(&self, input: &Arc<dyn ExecutionPlan>, routing: &Partitioning) -> bool {
        // Most differ in what is cheap to compare.
        self.input.name() == input.name()
            && self.routing == *routing
            && self.input.schema() == input.schema()
            && match (codec::encode_plan(&self.input), codec::encode_plan(input)) {
                (Ok(known), Ok(other)) => known == other,
                _ => false,
            }
    }
}

/// How an input reaches the one partition that reads all of it.
#[derive(Clone, Copy)]
enum Gather {
    /// As one stream, map output after map output.
    Concatenated,
    /// Every task of the reader's stage reads it.
    Broadcast,
}

impl<'a> Cutter<'a> {
    fn new(ids: &'a dyn Ids, options: CutOptions) -> Self {
        Self { ids, options, stages: Vec::new(), exchanges: Vec::new(), subqueries: Vec::new() }
    }
}

impl Cutter<'_> {
    fn cut(&mut self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
            return self.cut_repartition(repartition);
        }
        if let Some(coalesce) = plan.downcast_ref::<CoalescePartitionsExec>() {
            return self.cut_coalesce(coalesce);
        }
        if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
            return self.cut_merge(merge);
        }
        if let Some(subquery) = plan.downcast_ref::<ScalarSubqueryExec>() {
            let input = Arc::clone(subquery.input());
            self.subqueries.push(Arc::clone(&plan));
            let input = self.cut(input);
            self.subqueries.pop();
            return with_input(&plan, input?);
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            return self.cut_hash_join(join, &plan);
        }
        if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
            return self.cut_nested_loop_join(join, &plan);
        }
        if plan.is::<CrossJoinExec>() {
            let [left, right] = two_children(&plan)?;
            return self.cut_broadcast_left(&plan, left, right);
        }
        if matches!(plan.name(), "OutputRequirementExec" | SHUFFLE_HINT) {
            // A planning aid without meaning at run time, and without an encoding.
            let child = Arc::clone(plan.children()[0]);
            return self.cut(child);
        }
        if is_driver_only(&plan) {
            return not_impl_err!("{} cannot be cut into stages", plan.name());
        }
        let children = plan.children().into_iter().cloned().collect::<Vec<_>>();
        let children =
            children.into_iter().map(|child| self.cut(child)).collect::<Result<Vec<_>>>()?;
        replace_children_if_necessary(plan, children)
    }

    fn cut_repartition(&mut self, repartition: &RepartitionExec) -> Result<Arc<dyn ExecutionPlan>> {
        let partitioning = repartition.partitioning().clone();
        let input = self.cut(Arc::clone(repartition.input()))?;
        if let Partitioning::RoundRobinBatch(_) = partitioning
            && !self.options.keep_round_robin
        {
            return Ok(input);
        }
        let mut equivalences = repartition.properties().equivalence_properties().clone();
        let ordering =
            repartition.preserve_order().then(|| equivalences.output_ordering()).flatten();
        equivalences.clear_orderings();
        let reader = self.exchange(input, partitioning, equivalences)?;
        Ok(match ordering {
            // The map outputs are sorted each, but are read one after the other.
            Some(ordering) => {
                Arc::new(SortExec::new(ordering, reader).with_preserve_partitioning(true))
            }
            None => reader,
        })
    }

    fn cut_coalesce(
        &mut self,
        coalesce: &CoalescePartitionsExec,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let fetch = coalesce.fetch();
        let input = self.cut(Arc::clone(coalesce.input()))?;
        let input = limited(input, fetch);
        let reader = self.gather(input, Gather::Concatenated)?;
        Ok(match fetch {
            Some(_) => Arc::new(GlobalLimitExec::new(reader, 0, fetch)),
            None => reader,
        })
    }

    fn cut_merge(&mut self, merge: &SortPreservingMergeExec) -> Result<Arc<dyn ExecutionPlan>> {
        let input = self.cut(Arc::clone(merge.input()))?;
        let input = if input.fetch().is_some() { input } else { limited(input, merge.fetch()) };
        let partitions = input.output_partitioning().partition_count();
        let input = if partitions <= 1 {
            input
        } else {
            let mut equivalences = input.equivalence_properties().clone();
            equivalences.clear_per_partition_constants();
            let shuffle = self.add_sorted_stage(input, merge.expr().clone())?;
            Arc::new(ShuffleReaderExec::sorted(shuffle, merge.expr().clone(), equivalences))
        };
        Ok(match merge.fetch() {
            Some(_) => Arc::new(
                SortPreservingMergeExec::new(merge.expr().clone(), input).with_fetch(merge.fetch()),
            ),
            None => input,
        })
    }

    /// Brings all partitions of a plan into one; a plan of one partition stays as it is unless it
    /// is to be broadcast.
    fn gather(
        &mut self,
        input: Arc<dyn ExecutionPlan>,
        gather: Gather,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = input.output_partitioning().partition_count();
        match gather {
            Gather::Concatenated if partitions == 1 => return Ok(input),
            Gather::Concatenated | Gather::Broadcast if partitions == 0 => {
                return Ok(Arc::new(EmptyExec::new(input.schema())));
            }
            Gather::Concatenated | Gather::Broadcast => {}
        }
        let mut equivalences = input.equivalence_properties().clone();
        if partitions > 1 {
            equivalences.clear_orderings();
            equivalences.clear_per_partition_constants();
        }
        let mode = match gather {
            Gather::Concatenated => ReadMode::Reduce,
            Gather::Broadcast => ReadMode::Broadcast,
        };
        let shuffle = self.add_map_stage(input, Partitioning::UnknownPartitioning(1))?;
        Ok(Arc::new(ShuffleReaderExec::new(
            shuffle,
            mode,
            equivalences,
            Partitioning::UnknownPartitioning(1),
        )))
    }

    fn exchange(
        &mut self,
        input: Arc<dyn ExecutionPlan>,
        partitioning: Partitioning,
        equivalences: datafusion::physical_expr::EquivalenceProperties,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if input.output_partitioning().partition_count() == 0 {
            let partitions = partitioning.partition_count();
            return Ok(Arc::new(EmptyExec::new(input.schema()).with_partitions(partitions)));
        }
        let shuffle = self.add_map_stage(input, partitioning.clone())?;
        Ok(Arc::new(ShuffleReaderExec::new(shuffle, ReadMode::Reduce, equivalences, partitioning)))
    }

    fn add_map_stage(
        &mut self,
        input: Arc<dyn ExecutionPlan>,
        routing: Partitioning,
    ) -> Result<u64> {
        let input = self.in_scope(input)?;
        if let Some(known) = self.exchanges.iter().find(|known| known.is(&input, &routing)) {
            return Ok(known.shuffle);
        }
        let shuffle = self.ids.next();
        let round_robin = matches!(routing, Partitioning::RoundRobinBatch(_));
        let plan: Arc<dyn ExecutionPlan> =
            Arc::new(ShuffleWriteExec::new(Arc::clone(&input), shuffle, routing.clone()));
        self.add_stage(plan, Some(shuffle), round_robin)?;
        // What gives other rows each time it runs is meant to run each time.
        let repeatable = self.stages.last().is_some_and(|stage| !stage.indeterminate);
        if self.options.reuse_exchanges && repeatable {
            self.exchanges.push(Exchange { input, routing, shuffle });
        }
        Ok(shuffle)
    }

    /// A stage whose tasks leave sorted rows; the readers merge them.
    fn add_sorted_stage(
        &mut self,
        input: Arc<dyn ExecutionPlan>,
        order: LexOrdering,
    ) -> Result<u64> {
        let shuffle = self.ids.next();
        let input = self.in_scope(input)?;
        let plan: Arc<dyn ExecutionPlan> =
            Arc::new(ShuffleWriteExec::sorted(input, shuffle, order));
        self.add_stage(plan, Some(shuffle), false)?;
        Ok(shuffle)
    }

    fn add_result(&mut self, plan: Arc<dyn ExecutionPlan>) -> Result<()> {
        self.add_stage(plan, None, false)
    }

    fn add_stage(
        &mut self,
        plan: Arc<dyn ExecutionPlan>,
        shuffle: Option<u64>,
        round_robin: bool,
    ) -> Result<()> {
        let mut parents = BTreeSet::new();
        let mut indeterminate = round_robin;
        plan.apply(|node| {
            if let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() {
                parents.insert(reader.shuffle());
            }
            indeterminate |= is_indeterminate(node)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        self.stages.push(Stage {
            id: self.ids.next(),
            partitions: plan.output_partitioning().partition_count(),
            plan,
            shuffle,
            parents: parents.into_iter().collect(),
            indeterminate,
        });
        Ok(())
    }

    /// Gives a stage cut out from below a `ScalarSubqueryExec` its own copy of that node, so that
    /// its expressions find the values.
    fn in_scope(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        match self.subqueries.last() {
            Some(scope) => with_input(scope, plan),
            None => Ok(plan),
        }
    }
}

/// A `ScalarSubqueryExec` like this one over another input.
fn with_input(
    scope: &Arc<dyn ExecutionPlan>,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut children = scope.children().into_iter().cloned().collect::<Vec<_>>();
    children[0] = input;
    replace_children_if_necessary(Arc::clone(scope), children)
}

fn limited(plan: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Arc<dyn ExecutionPlan> {
    match fetch {
        Some(fetch) => Arc::new(LocalLimitExec::new(plan, fetch)),
        None => plan,
    }
}

fn two_children(plan: &Arc<dyn ExecutionPlan>) -> Result<[Arc<dyn ExecutionPlan>; 2]> {
    match plan.children().as_slice() {
        [left, right] => Ok([Arc::clone(left), Arc::clone(right)]),
        other => internal_err!("{} has {} inputs, a join has two", plan.name(), other.len()),
    }
}

/// Whether a node may give other rows when it runs again.
fn is_indeterminate(node: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let limit = node.is::<GlobalLimitExec>() || node.is::<LocalLimitExec>();
    let ordered = node.children().first().is_some_and(|child| child.output_ordering().is_some());
    if limit && !ordered {
        return Ok(true);
    }
    let mut volatile = false;
    node.apply_expressions(&mut |expr| {
        expr.apply(|expr| {
            if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>()
                && function.fun().signature().volatility == Volatility::Volatile
            {
                volatile = true;
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(volatile)
}

/// Refuses a stage whose tasks would depend on each other.
fn check(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    plan.apply(|node| {
        if node.is::<RepartitionExec>() {
            return internal_err!("an exchange was left inside a stage: {node:?}");
        }
        let merges = node.is::<SortPreservingMergeExec>();
        let requirements = node.input_distribution_requirements();
        for (child, required) in node.children().iter().zip(requirements.per_child_distributions())
        {
            let partitions = child.output_partitioning().partition_count();
            let collects = node.is::<CoalescePartitionsExec>()
                || matches!(required, Distribution::SinglePartition);
            if partitions > 1 && (merges || collects) {
                return internal_err!(
                    "{} would run {partitions} partitions of {} inside one task",
                    node.name(),
                    child.name()
                );
            }
        }
        joins::check(node)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}
