//! Rows that a broadcast join is going to throw away are left out below the exchanges under it.
//!
//! The planner joins in the order of the query and of its estimates, so a join with the few rows of a filtered dimension
//! table may stand above the joins that shuffle the fact table. Here the fact table is besides semi-joined with the same
//! few rows before it is written (Spark's `InjectRuntimeFilter`, which knows the sides of one join only). The join above
//! stays what it is: the rows are those it would not find a partner for, so leaving them out sooner changes no answer.

use std::sync::Arc;

use datafusion::common::NullEquality;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::JoinType;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::{Column, IsNotNullExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use super::{SHUFFLE_HINT, is_indeterminate};

/// Adds the semi-joins to a plan that has not been cut.
pub(super) fn add(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    // From the root down, so that a build side has its own semi-joins before it becomes one.
    plan.transform_down(|node| {
        let Some(reduction) = Reduction::of(&node)? else { return Ok(Transformed::no(node)) };
        let [left, right] = super::two_children(&node)?;
        match reduction.below(&right, reduction.probe_keys.clone(), false)? {
            Some(right) => {
                replace_children_if_necessary(node, vec![left, right]).map(Transformed::yes)
            }
            None => Ok(Transformed::no(node)),
        }
    })
    .data()
}

/// What a broadcast join keeps of its probe side.
struct Reduction {
    build: Arc<dyn ExecutionPlan>,
    build_keys: Vec<PhysicalExprRef>,
    probe_keys: Vec<PhysicalExprRef>,
    null_equality: NullEquality,
}

/// A child into which rows may be filtered instead of the node's output.
pub(crate) struct Passage {
    pub(crate) child: usize,
    /// The keys in terms of the child's columns.
    pub(crate) keys: Vec<PhysicalExprRef>,
    /// Fewer rows on the other side of it are worth a semi-join.
    pays: bool,
}

impl Reduction {
    /// That of a join whose probe rows need a partner among the filtered rows of a build side that is the same when it
    /// runs again. Which rows an anti join leaves over, no filter tells.
    fn of(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Self>> {
        let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(None) };
        let fits = *join.partition_mode() == PartitionMode::CollectLeft
            && matches!(join.join_type(), JoinType::Inner | JoinType::RightSemi)
            && !join.null_aware
            && has_filter(join.left());
        if !fits || is_unsteady(join.left())? {
            return Ok(None);
        }
        let (build_keys, probe_keys) = join.on().iter().cloned().unzip();
        Ok(Some(Self {
            build: Arc::clone(join.left()),
            build_keys,
            probe_keys,
            null_equality: join.null_equality(),
        }))
    }

    /// The plan with the semi-join as far down as it may be, if an exchange is above that place.
    fn below(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        keys: Vec<PhysicalExprRef>,
        pays: bool,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if plan.exists(|node| Ok(is_worth_passing(node)))? {
            let mut children = plan.children().into_iter().cloned().collect::<Vec<_>>();
            for passage in passages(plan, &keys)? {
                let child = &mut children[passage.child];
                if let Some(fewer) = self.below(child, passage.keys, pays || passage.pays)? {
                    *child = fewer;
                    return replace_children_if_necessary(Arc::clone(plan), children).map(Some);
                }
            }
        }
        // A hint is looked for through operators of one input.
        if !pays || plan.exists(|node| Ok(node.name() == SHUFFLE_HINT))? {
            return Ok(None);
        }
        let on = self.build_keys.iter().cloned().zip(keys).collect();
        let build = Arc::clone(&self.build);
        semi_join(build, Arc::clone(plan), on, self.null_equality).map(Some)
    }
}

/// The rows that have a partner among `keys`, of which every task has all.
pub(crate) fn semi_join(
    keys: Arc<dyn ExecutionPlan>,
    rows: Arc<dyn ExecutionPlan>,
    on: Vec<(PhysicalExprRef, PhysicalExprRef)>,
    null_equality: NullEquality,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (kind, mode) = (JoinType::RightSemi, PartitionMode::CollectLeft);
    let joined =
        HashJoinExec::try_new(keys, rows, on, None, &kind, None, mode, null_equality, false)?;
    Ok(Arc::new(joined))
}

/// Whether a semi-join is better below a node; what only drops or computes had better come first.
fn is_worth_passing(node: &Arc<dyn ExecutionPlan>) -> bool {
    is_hash_exchange(node) || node.is::<HashJoinExec>() || node.is::<CoalescePartitionsExec>()
}

fn is_hash_exchange(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<RepartitionExec>().is_some_and(|exchange| {
        matches!(exchange.partitioning(), Partitioning::Hash(..)) && !exchange.preserve_order()
    })
}

/// Whether some rows of a plan are left out for what is in them.
fn has_filter(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<FilterExec>()
        .is_some_and(|filter| !filter.predicate().is::<IsNotNullExpr>())
        || plan.children().into_iter().any(has_filter)
}

/// Whether a plan may give other rows when it runs again.
fn is_unsteady(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut unsteady = false;
    plan.apply(|node| {
        unsteady |= is_indeterminate(node)? || node.fetch().is_some();
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(unsteady)
}

/// Where rows may be filtered by keys instead of in what a node answers.
pub(crate) fn passages(
    node: &Arc<dyn ExecutionPlan>,
    keys: &[PhysicalExprRef],
) -> Result<Vec<Passage>> {
    // What counts its rows, or gives each another value, sees the rows that are left out.
    if node.fetch().is_some() || is_indeterminate(node)? {
        return Ok(Vec::new());
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        return passages_of_join(join, keys);
    }
    let keys = if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        in_terms_of(keys, |index| Some(Arc::clone(&projection.expr().get(index)?.expr)))?
    } else if let Some(filter) = node.downcast_ref::<FilterExec>() {
        let input = filter.input().schema();
        in_terms_of(keys, |index| column(&input, projected(filter.projection(), index)?))?
    } else if is_hash_exchange(node) || node.is::<CoalescePartitionsExec>() {
        Some(keys.to_vec())
    } else {
        None
    };
    let pays = is_hash_exchange(node);
    Ok(keys.map(|keys| Passage { child: 0, keys, pays }).into_iter().collect())
}

/// A row of a side that is only ever answered with its own columns may be left out by them.
fn passages_of_join(join: &HashJoinExec, keys: &[PhysicalExprRef]) -> Result<Vec<Passage>> {
    let (from_left, from_right) = match join.join_type() {
        JoinType::Inner => (true, true),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => (true, false),
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => (false, true),
        JoinType::Full | JoinType::LeftMark | JoinType::RightMark => (false, false),
    };
    if join.null_aware {
        return Ok(Vec::new());
    }
    // Columns of both sides, of which semi and anti joins answer those of one.
    let left = match join.join_type() {
        JoinType::RightSemi | JoinType::RightAnti => 0,
        _ => join.left().schema().fields().len(),
    };
    let projection = &join.projection;
    let mut found = Vec::new();
    if from_left {
        let schema = join.left().schema();
        let keys = in_terms_of(keys, |index| {
            projected(projection, index)
                .filter(|index| *index < left)
                .and_then(|i| column(&schema, i))
        })?;
        let broadcast = *join.partition_mode() == PartitionMode::CollectLeft;
        // Then this join itself keeps fewer rows of what is shuffled below it.
        let pays = broadcast && join.right().exists(|node| Ok(is_hash_exchange(node)))?;
        found.extend(keys.map(|keys| Passage { child: 0, keys, pays }));
    }
    if from_right {
        let schema = join.right().schema();
        let keys = in_terms_of(keys, |index| {
            column(&schema, projected(projection, index)?.checked_sub(left)?)
        })?;
        found.extend(keys.map(|keys| Passage { child: 1, keys, pays: false }));
    }
    Ok(found)
}

/// The index before a projection.
fn projected(projection: &Option<impl AsRef<[usize]>>, index: usize) -> Option<usize> {
    match projection {
        Some(columns) => columns.as_ref().get(index).copied(),
        None => Some(index),
    }
}

fn column(schema: &arrow::datatypes::Schema, index: usize) -> Option<PhysicalExprRef> {
    let field = schema.fields().get(index)?;
    Some(Arc::new(Column::new(field.name(), index)))
}

/// Expressions over what other columns are; `None` if not all of the columns are there.
fn in_terms_of(
    keys: &[PhysicalExprRef],
    meaning: impl Fn(usize) -> Option<PhysicalExprRef>,
) -> Result<Option<Vec<PhysicalExprRef>>> {
    let mut all = true;
    let mut replaced = Vec::with_capacity(keys.len());
    for key in keys {
        // From the root down: a meaning may hold columns itself.
        let key = Arc::clone(key).transform_down(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            let meaning = meaning(column.index());
            all &= meaning.is_some();
            let expr = meaning.unwrap_or(expr);
            Ok(Transformed::new(expr, true, TreeNodeRecursion::Jump))
        });
        replaced.push(key.data()?);
    }
    Ok(all.then_some(replaced))
}

#[cfg(test)]
mod tests;
