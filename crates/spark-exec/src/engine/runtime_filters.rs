//! Rows that will find no partner in a join are left out before they are written (Spark's `InjectRuntimeFilter`,
//! `spark.sql.optimizer.runtime.bloomFilter.*`; here with the keys themselves, so nothing passes by chance).
//!
//! When the stage of a filtered side has finished with few bytes, and the stage of the other side has not begun and cannot
//! move into that of the join, it keeps only the rows that have a key of the finished side. The keys may come of a stage
//! below further joins: these leave rows out and add none. How few bytes, grows with what is filtered unless the user
//! says it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::NullEquality;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result;
use datafusion::logical_expr::JoinType;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use super::adaptive::MapStageOutput;
use super::broadcasts::{Expectations, FilterLimit, read_whole, reads_once};
use crate::nodes::{ReadMode, ShuffleReaderExec, ShuffleWriteExec};
use crate::stages::{Stage, passages, semi_join};

/// What a value of no fixed width is taken for.
const TEXT_BYTES: usize = 20;

/// The shuffles whose rows may filter others: below them something is left out, and they are the same when written again.
pub(super) fn selective(stages: &[Stage]) -> HashSet<u64> {
    let (mut found, mut unsteady) = (HashSet::new(), HashSet::new());
    for stage in stages {
        let Some(shuffle) = stage.shuffle else { continue };
        let below = |set: &HashSet<u64>| stage.parents.iter().any(|parent| set.contains(parent));
        if stage.indeterminate || below(&unsteady) {
            unsteady.insert(shuffle);
        } else if has_filter(&stage.plan) || below(&found) {
            found.insert(shuffle);
        }
    }
    found
}

/// Whether something is left out of what a plan in a stage answers.
pub(super) fn is_selective(plan: &Arc<dyn ExecutionPlan>, selective: &HashSet<u64>) -> bool {
    has_filter(plan)
        || plan
            .exists(|node| {
                Ok(shuffle_read(node).is_some_and(|shuffle| selective.contains(&shuffle)))
            })
            .unwrap_or(false)
}

fn shuffle_read(node: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    node.downcast_ref::<ShuffleReaderExec>().map(ShuffleReaderExec::shuffle)
}

fn has_filter(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<FilterExec>() || plan.children().into_iter().any(has_filter)
}

/// Whether a row of the right side without a partner leaves no trace in what the join answers.
fn drops_unmatched_right(join_type: JoinType) -> bool {
    match join_type {
        JoinType::Inner
        | JoinType::Left
        | JoinType::LeftSemi
        | JoinType::LeftAnti
        | JoinType::LeftMark
        | JoinType::RightSemi => true,
        JoinType::Right | JoinType::Full | JoinType::RightAnti | JoinType::RightMark => false,
    }
}

/// A shuffle of which a join needs only the rows that have a key of another.
pub(super) struct Filterable {
    /// The shuffle that has the keys.
    pub(super) keys_of: u64,
    /// The shuffle that may be filtered.
    pub(super) rows_of: u64,
    reader: Arc<dyn ExecutionPlan>,
    /// Expressions over the reader's columns and over those of the rows.
    on: Vec<(PhysicalExprRef, PhysicalExprRef)>,
    null_equality: NullEquality,
}

/// The sides of a stage's joins that may be filtered by the keys of the other side.
pub(super) fn filterable(
    plan: &Arc<dyn ExecutionPlan>,
    selective: &HashSet<u64>,
) -> Vec<Filterable> {
    let below = plan.children().into_iter().flat_map(|child| filterable(child, selective));
    let mut found: Vec<_> = below.collect();
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return found };
    if *join.partition_mode() != PartitionMode::Partitioned || join.null_aware {
        return found;
    }
    let (left, right): (Vec<_>, Vec<_>) = join.on().iter().cloned().unzip();
    let directions = [
        (*join.join_type(), (join.left(), &left), (join.right(), &right)),
        (join.join_type().swap(), (join.right(), &right), (join.left(), &left)),
    ];
    for (join_type, (keys_side, keys), (rows_side, row_keys)) in directions {
        let rows_of = shuffle_read_by(rows_side).filter(|_| drops_unmatched_right(join_type));
        let Some(rows_of) = rows_of else { continue };
        let mut sources = Vec::new();
        trace(keys_side, keys.clone(), &mut sources);
        for (keys_of, reader, keys) in sources {
            if keys_of != rows_of && selective.contains(&keys_of) {
                let on = keys.into_iter().zip(row_keys.iter().cloned()).collect();
                let null_equality = join.null_equality();
                found.push(Filterable { keys_of, rows_of, reader, on, null_equality });
            }
        }
    }
    found
}

/// Finds the shuffles that have all keys of what a plan answers.
fn trace(
    plan: &Arc<dyn ExecutionPlan>,
    keys: Vec<PhysicalExprRef>,
    found: &mut Vec<(u64, Arc<dyn ExecutionPlan>, Vec<PhysicalExprRef>)>,
) {
    if let Some(shuffle) = shuffle_read_by(plan) {
        found.push((shuffle, Arc::clone(plan), keys));
        return;
    }
    for passage in passages(plan, &keys).unwrap_or_default() {
        trace(plan.children()[passage.child], passage.keys, found);
    }
}

/// Filters stages that have not begun by the keys of finished ones that are within the limit.
pub(super) fn inject(
    waiting: &mut [Stage],
    outputs: &HashMap<u64, MapStageOutput>,
    expected: &Expectations,
    limit: Option<FilterLimit>,
) -> Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    for reader in 0..waiting.len() {
        for filter in filterable(&waiting[reader].plan, &expected.selective) {
            let rows_of = filter.rows_of;
            let small = outputs.get(&filter.keys_of).is_some_and(|output| {
                limit.allows(output.total(), filter.key_share(), expected.bytes(rows_of))
            });
            let stage = waiting.iter().position(|stage| stage.shuffle == Some(rows_of));
            let Some(stage) = stage.filter(|_| small) else { continue };
            // Another reader needs all of the rows.
            let readers = waiting.iter().filter(|stage| stage.parents.contains(&rows_of));
            let alone = readers.count() == 1 && reads_once(&waiting[reader], rows_of);
            let stage = &mut waiting[stage];
            if alone
                && !stage.parents.contains(&filter.keys_of)
                && let Some(plan) = filter.filtered(&stage.plan)?
            {
                stage.plan = plan;
                stage.parents.push(filter.keys_of);
            }
        }
    }
    Ok(())
}

impl Filterable {
    /// The part of the bytes that the keys have.
    fn key_share(&self) -> f64 {
        let schema = self.reader.schema();
        let width = |field: &Field| field.data_type().primitive_width().unwrap_or(TEXT_BYTES);
        let all: usize = schema.fields().iter().map(|field| width(field)).sum();
        let keys = self.columns().into_iter().map(|index| width(schema.field(index)));
        keys.sum::<usize>() as f64 / all.max(1) as f64
    }

    /// The columns of the reader that the keys need.
    fn columns(&self) -> BTreeSet<usize> {
        self.on.iter().flat_map(|(key, _)| collect_columns(key)).map(|c| c.index()).collect()
    }

    /// A stage that writes only the rows for which there is a key.
    fn filtered(&self, stage: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(write) = stage.downcast_ref::<ShuffleWriteExec>() else { return Ok(None) };
        let Some(keys) = read_whole(&self.reader).filter(|_| write.order().is_none()) else {
            return Ok(None);
        };
        let (expressions, row_keys): (Vec<_>, Vec<_>) = self.on.iter().cloned().unzip();
        let named = expressions.into_iter().enumerate();
        let named = named.map(|(index, expr)| ProjectionExpr { expr, alias: format!("k{index}") });
        let keys = Arc::new(ProjectionExec::try_new(named, keys)?);
        let columns = keys.schema();
        let on = row_keys.into_iter().enumerate().map(|(index, row_key)| {
            let key = Column::new(columns.field(index).name(), index);
            (Arc::new(key) as PhysicalExprRef, row_key)
        });
        let rows = Arc::clone(write.input());
        let filtered = semi_join(keys, rows, on.collect(), self.null_equality)?;
        replace_children_if_necessary(Arc::clone(stage), vec![filtered]).map(Some)
    }
}

/// The shuffle that a plan reads, if that is all it does.
fn shuffle_read_by(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let reader = plan.downcast_ref::<ShuffleReaderExec>()?;
    (reader.mode() == ReadMode::Reduce && reader.runs().is_none()).then(|| reader.shuffle())
}

#[cfg(test)]
mod tests;
