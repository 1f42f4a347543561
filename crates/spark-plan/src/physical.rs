//! From the resolved plan to a physical one: rules, extension operators, join strategies, EXPLAIN.

use std::sync::Arc;

use arrow::compute::SortOptions;
use async_trait::async_trait;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, config::ConfigOptions};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::SessionState;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_expr::{AcrossPartitions, LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, Partitioning, displayable,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use spark_sql_parser::ast::ExplainMode;

use crate::broadcast;
use crate::errors::{Result, from_datafusion};
use crate::field::ResolvedPlan;
use crate::finer::FinerPartitions;
use crate::nodes::{NodeKind, SparkNode};
use crate::operators::{JoinHint, Operator, SparkExec, join_hint};
use crate::session::Session;
use crate::state::Mode;

/// Optimises a resolved plan and makes it physical for the given way of execution.
///
/// # Errors
/// What DataFusion's optimiser and planner report.
pub async fn plan_physical(
    session: &Session,
    resolved: &ResolvedPlan,
    mode: Mode,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan_with(&session.state(mode), &resolved.plan).await
}

pub(crate) async fn plan_with(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    state.create_physical_plan(plan).await.map_err(from_datafusion)
}

/// The logical rules; DataFusion's own, in its order.
pub(crate) fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    Optimizer::new().rules
}

/// The physical rules: DataFusion's, with the join strategy between join selection and the enforcement of
/// distributions, and our markers replaced before the plan is checked. `part_rows`: see [`FinerPartitions`].
pub(crate) fn physical_rules(
    staged: bool,
    broadcast_threshold: i64,
    part_rows: u64,
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = Vec::new();
    for rule in PhysicalOptimizer::new().rules {
        let name = rule.name().to_owned();
        if name == "SanityCheckPlan" {
            rules.push(Arc::new(ReplaceMarkers { staged }));
        }
        rules.push(rule);
        if name == "join_selection" {
            rules.push(Arc::new(JoinStrategy { staged, broadcast_threshold }));
        }
    }
    if !staged {
        rules.push(Arc::new(FinerPartitions { rows: part_rows }));
    }
    rules
}

/// Plans our extension operators along with DataFusion's.
#[derive(Debug)]
pub(crate) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn datafusion::catalog::Session,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(NodePlanner)]);
        planner.create_physical_plan(logical_plan, session).await
    }
}

struct NodePlanner;

#[async_trait]
impl ExtensionPlanner for NodePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn datafusion::catalog::Session,
        context: &PhysicalPlanningContext,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<SparkNode>() else { return Ok(None) };
        let [input] = physical_inputs else {
            return datafusion::common::internal_err!("an operator has not one input");
        };
        let schema = node.input.schema();
        let operator = match &node.kind {
            NodeKind::LocalSort(order) => {
                let mut sort = Vec::with_capacity(order.len());
                for item in order {
                    sort.push(PhysicalSortExpr {
                        expr: planner.create_physical_expr(&item.expr, schema, session, context)?,
                        options: SortOptions {
                            descending: !item.asc,
                            nulls_first: item.nulls_first,
                        },
                    });
                }
                match LexOrdering::new(sort) {
                    Some(ordering) => Operator::LocalSort(ordering),
                    None => return Ok(Some(Arc::clone(input))),
                }
            }
            NodeKind::RoundRobin(n) => {
                Operator::Exchange(Partitioning::RoundRobinBatch((*n).max(1)))
            }
            NodeKind::HashPartition { exprs, partitions } => {
                let mut keys = Vec::with_capacity(exprs.len());
                for expr in exprs {
                    keys.push(planner.create_physical_expr(expr, schema, session, context)?);
                }
                let count = partitions.unwrap_or_else(|| session.config().target_partitions());
                Operator::Exchange(Partitioning::Hash(keys, count.max(1)))
            }
            NodeKind::Coalesce(n) => Operator::Coalesce(*n),
            NodeKind::Tail(n) => Operator::Tail(*n),
            NodeKind::JoinHint(hint) => Operator::JoinHint(*hint),
        };
        Ok(Some(Arc::new(SparkExec::new(operator, Arc::clone(input)))))
    }
}

/// Chooses broadcast joins where they are safe, and makes the joins that share state between partitions run in one.
#[derive(Debug)]
struct JoinStrategy {
    staged: bool,
    broadcast_threshold: i64,
}

/// Kinds of a join with a broadcast left side that emit rows of the right side only, so that each task may hold its
/// own copy of the left one.
fn may_broadcast_left(kind: JoinType) -> bool {
    matches!(
        kind,
        JoinType::Inner
            | JoinType::Right
            | JoinType::RightSemi
            | JoinType::RightAnti
            | JoinType::RightMark
    )
}

impl JoinStrategy {
    /// Whether a side is broadcast for its size.
    fn small(&self, plan: &Arc<dyn ExecutionPlan>) -> bool {
        let Ok(threshold) = u64::try_from(self.broadcast_threshold) else { return false };
        if !self.staged || threshold == 0 {
            return false;
        }
        broadcast::size(plan).is_some_and(|size| size.is_below(threshold))
    }

    fn hash_join(&self, join: &HashJoinExec) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        if join.null_aware {
            if !self.staged || join.right().output_partitioning().partition_count() == 1 {
                return Ok(None);
            }
            let right = single(Arc::clone(join.right()));
            let joined = join
                .builder()
                .with_new_children(vec![Arc::clone(join.left()), right])?
                .with_partition_mode(PartitionMode::CollectLeft)
                .build()?;
            return Ok(Some(Arc::new(joined)));
        }
        let hints = [join_hint(join.left()), join_hint(join.right())];
        let left_may =
            may_broadcast_left(*join.join_type()) && !has_constants_per_partition(join.right());
        let right_may = join.join_type().supports_swap()
            && may_broadcast_left(join.join_type().swap())
            && !has_constants_per_partition(join.left());
        let left_hinted = left_may && hints[0] == Some(JoinHint::Broadcast);
        let right_hinted = right_may && hints[1] == Some(JoinHint::Broadcast);
        let shuffled = hints.into_iter().flatten().any(|hint| hint != JoinHint::Broadcast);
        let (left_small, right_small) = if left_hinted || right_hinted {
            (left_hinted, right_hinted)
        } else if shuffled {
            (false, false)
        } else {
            (left_may && self.small(join.left()), right_may && self.small(join.right()))
        };
        let swap = match (left_small, right_small) {
            (true, true) => {
                let stored = |side| broadcast::size(side).map(|size| size.stored);
                stored(join.right()) < stored(join.left())
            }
            (left, right) => right && !left,
        };
        if swap {
            return join.swap_inputs(PartitionMode::CollectLeft).map(Some);
        }
        if left_small {
            let joined = join.builder().with_partition_mode(PartitionMode::CollectLeft).build()?;
            return Ok(Some(Arc::new(joined)));
        }
        if (self.staged || shuffled) && *join.partition_mode() != PartitionMode::Partitioned {
            let joined = join.builder().with_partition_mode(PartitionMode::Partitioned).build()?;
            return Ok(Some(Arc::new(joined)));
        }
        Ok(None)
    }

    fn nested_loop(
        &self,
        join: &NestedLoopJoinExec,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        if !self.staged || may_broadcast_left(*join.join_type()) {
            return Ok(None);
        }
        if may_broadcast_left(join.join_type().swap()) && join.join_type().supports_swap() {
            return join.swap_inputs().map(Some);
        }
        if join.right().output_partitioning().partition_count() == 1 {
            return Ok(None);
        }
        let right = single(Arc::clone(join.right()));
        let joined = NestedLoopJoinExec::try_new(
            Arc::clone(join.left()),
            right,
            join.filter().cloned(),
            join.join_type(),
            join.projection().as_ref().map(|p| p.to_vec()),
        )?;
        Ok(Some(Arc::new(joined)))
    }
}

impl PhysicalOptimizerRule for JoinStrategy {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let replaced = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
                self.hash_join(join)?
            } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
                self.nested_loop(join)?
            } else {
                None
            };
            Ok(match replaced {
                Some(join) => Transformed::yes(join),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "spark_join_strategy"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Reads all partitions one after the other in one task; DataFusion's rules leave it where it is.
fn single(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(SparkExec::new(Operator::Coalesce(1), plan))
}

/// Whether a column is constant in each partition, but not the same in all. DataFusion leaves out a sort by such a column below a
/// join, and then finds that the join does not tell of the order.
fn has_constants_per_partition(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let constants = plan.equivalence_properties().constants();
    constants.iter().any(|constant| constant.across_partitions == AcrossPartitions::Heterogeneous)
}

/// Puts DataFusion's operators where our markers kept their places.
#[derive(Debug)]
struct ReplaceMarkers {
    staged: bool,
}

/// LIMIT takes the first partitions' rows first, as Spark does, where all partitions run in this process.
fn ordered_limit(
    node: &Arc<dyn ExecutionPlan>,
) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(coalesce) = node.downcast_ref::<CoalescePartitionsExec>()
        && let Some(fetch) = coalesce.fetch()
    {
        let input = single(Arc::clone(coalesce.input()));
        return Ok(Some(Arc::new(GlobalLimitExec::new(input, 0, Some(fetch)))));
    }
    if let Some(limit) = node.downcast_ref::<GlobalLimitExec>()
        && let Some(coalesce) = limit.input().downcast_ref::<CoalescePartitionsExec>()
        && coalesce.fetch().is_none()
    {
        let input = single(Arc::clone(coalesce.input()));
        return Ok(Some(Arc::new(GlobalLimitExec::new(input, limit.skip(), limit.fetch()))));
    }
    Ok(None)
}

impl PhysicalOptimizerRule for ReplaceMarkers {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if !self.staged
                && let Some(limit) = ordered_limit(&node)?
            {
                return Ok(Transformed::yes(limit));
            }
            let Some(exec) = node.downcast_ref::<SparkExec>() else {
                return Ok(Transformed::no(node));
            };
            let input = Arc::clone(&exec.input);
            let replaced: Arc<dyn ExecutionPlan> = match &exec.operator {
                Operator::LocalSort(order) => {
                    Arc::new(SortExec::new(order.clone(), input).with_preserve_partitioning(true))
                }
                Operator::Exchange(partitioning) => {
                    Arc::new(RepartitionExec::try_new(input, partitioning.clone())?)
                }
                // Adaptive execution must know of these.
                Operator::JoinHint(hint) if self.staged && *hint != JoinHint::Broadcast => {
                    return Ok(Transformed::no(node));
                }
                Operator::JoinHint(_) => input,
                Operator::Coalesce(_) | Operator::Tail(_) => return Ok(Transformed::no(node)),
            };
            Ok(Transformed::yes(replaced))
        })
        .data()
    }

    fn name(&self) -> &str {
        "spark_replace_markers"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// EXPLAIN's text, with Spark's headings.
///
/// # Errors
/// When the plan cannot be planned.
pub async fn explain(
    session: &Session,
    resolved: &ResolvedPlan,
    mode: Mode,
    explain: ExplainMode,
) -> Result<String> {
    let state = session.state(mode);
    let optimized = state.optimize(&resolved.plan).map_err(from_datafusion)?;
    let physical = plan_with(&state, &resolved.plan).await?;
    let physical = displayable(physical.as_ref()).indent(false).to_string();
    let logical = |plan: &LogicalPlan| plan.display_indent().to_string();
    Ok(match explain {
        ExplainMode::Simple | ExplainMode::Formatted | ExplainMode::Codegen => {
            format!("== Physical Plan ==\n{physical}\n")
        }
        ExplainMode::Extended => {
            let columns: Vec<String> = resolved
                .fields
                .iter()
                .map(|f| {
                    format!("{}: {}", f.name, spark_functions::types::simple_name(&f.data_type))
                })
                .collect();
            format!(
                "== Parsed Logical Plan ==\n{parsed}\n\n== Analyzed Logical Plan ==\n{columns}\n{parsed}\n\n\
                 == Optimized Logical Plan ==\n{optimized}\n\n== Physical Plan ==\n{physical}\n",
                parsed = logical(&resolved.plan),
                columns = columns.join(", "),
                optimized = logical(&optimized),
            )
        }
        ExplainMode::Cost => format!(
            "== Optimized Logical Plan ==\n{}\n\n== Physical Plan ==\n{physical}\n",
            logical(&optimized)
        ),
    })
}
