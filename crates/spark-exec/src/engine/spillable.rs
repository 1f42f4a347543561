//! Hash joins whose build side does not fit in a task's memory become sort-merge joins: the one
//! spills, the other cannot. Sizes are those of finished stages; what comes of scans is unknown here.

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinSide, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::JoinType;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::adaptive::{Circumstances, MapStageOutput};
use crate::nodes::{ReadMode, Run, ShuffleReaderExec};

/// Bytes a build side needs in memory for each byte of map output: the rows and their hash table.
const HASH_TABLE_FACTOR: u64 = 3;

/// The plan with joins that would not fit replaced; `memory` is what one task may take. A limit of
/// the user's own is `spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold`.
pub(super) fn replace_large_hash_joins(
    plan: Arc<dyn ExecutionPlan>,
    memory: Option<u64>,
    circumstances: Circumstances<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let fitting = memory.map(|memory| memory / HASH_TABLE_FACTOR);
    let wanted = circumstances.adaptive.and_then(|adaptive| adaptive.hash_join_bytes);
    let Some(limit) = fitting.into_iter().chain(wanted).min() else { return Ok(plan) };
    plan.transform_up(|node| {
        let Some(join) = node.downcast_ref::<HashJoinExec>() else {
            return Ok(Transformed::no(node));
        };
        let fits =
            largest_build_side(join.left(), circumstances)?.is_none_or(|bytes| bytes <= limit);
        if fits || !may_be_replaced(join) {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::yes(sort_merge(join)?))
    })
    .data()
}

/// Whether a plan has a join that is replaced if it turns out too large.
pub(super) fn may_be_replaced_in(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let replaceable = |node: &Arc<dyn ExecutionPlan>| {
        Ok(node.downcast_ref::<HashJoinExec>().is_some_and(may_be_replaced))
    };
    plan.exists(replaceable).unwrap_or(false)
}

fn may_be_replaced(join: &HashJoinExec) -> bool {
    let kind = match join.join_type() {
        // Its condition goes above: DataFusion's merging join gives wrong rows if it has one.
        JoinType::Inner => true,
        JoinType::Left
        | JoinType::Right
        | JoinType::Full
        | JoinType::LeftSemi
        | JoinType::LeftAnti
        | JoinType::RightSemi
        | JoinType::RightAnti => join.filter().is_none(),
        JoinType::LeftMark | JoinType::RightMark => false,
    };
    // A hash join keeps the order of its probe side, which something above may rely on.
    let unordered = join.properties().output_ordering().is_none();
    kind && unordered && *join.partition_mode() == PartitionMode::Partitioned && !join.null_aware
}

/// The bytes of the largest partition below a build side; `None` if not all of it is map output.
fn largest_build_side(
    plan: &Arc<dyn ExecutionPlan>,
    circumstances: Circumstances<'_>,
) -> Result<Option<u64>> {
    let mut sizes = vec![0; plan.output_partitioning().partition_count()];
    let mut known = true;
    plan.apply(|node| {
        if !node.children().is_empty() {
            return Ok(TreeNodeRecursion::Continue);
        }
        let reader = node.downcast_ref::<ShuffleReaderExec>();
        let read = reader.filter(|reader| reader.mode() == ReadMode::Reduce);
        match read.and_then(|reader| Some((reader, circumstances.outputs.get(&reader.shuffle())?)))
        {
            Some((reader, output)) => {
                for (partition, size) in sizes.iter_mut().enumerate() {
                    *size += bytes_of(&reader.run(partition), output);
                }
            }
            None => known = false,
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(sizes.into_iter().max().filter(|_| known))
}

fn bytes_of(run: &Run, output: &MapStageOutput) -> u64 {
    run.reduces
        .clone()
        .map(|reduce| match &run.maps {
            None => output.bytes.get(reduce as usize).copied().unwrap_or(0),
            Some(maps) => {
                let maps = output.maps.get(maps.start as usize..maps.end as usize);
                maps.into_iter().flatten().map(|sizes| sizes.get(reduce as usize)).sum()
            }
        })
        .sum()
}

/// The rows of an inner join that pass its condition.
fn filtered(
    joined: Arc<dyn ExecutionPlan>,
    filter: &JoinFilter,
    left_columns: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = joined.schema();
    let condition = Arc::clone(filter.expression()).transform_up(|expression| {
        let Some(column) = expression.downcast_ref::<Column>() else {
            return Ok(Transformed::no(expression));
        };
        let Some(of) = filter.column_indices().get(column.index()) else {
            return internal_err!("the condition of a join names column {column}");
        };
        let index = match of.side {
            JoinSide::Left => of.index,
            JoinSide::Right => left_columns + of.index,
            JoinSide::None => return internal_err!("the condition of a join names a mark"),
        };
        Ok(Transformed::yes(Arc::new(Column::new(schema.field(index).name(), index)) as _))
    })?;
    Ok(Arc::new(FilterExec::try_new(condition.data, joined)?))
}

fn sort_merge(join: &HashJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
    let options = SortOptions::default();
    let sorted = |side: &Arc<dyn ExecutionPlan>, left: bool| -> Arc<dyn ExecutionPlan> {
        let keys = join
            .on()
            .iter()
            .map(|(l, r)| PhysicalSortExpr { expr: Arc::clone(if left { l } else { r }), options });
        match LexOrdering::new(keys) {
            Some(order) => {
                let sort = SortExec::new(order, Arc::clone(side));
                Arc::new(sort.with_preserve_partitioning(true))
            }
            None => Arc::clone(side),
        }
    };
    let merged: Arc<dyn ExecutionPlan> = Arc::new(SortMergeJoinExec::try_new(
        sorted(join.left(), true),
        sorted(join.right(), false),
        join.on().to_vec(),
        None,
        *join.join_type(),
        vec![options; join.on().len()],
        join.null_equality(),
    )?);
    let merged = match join.filter() {
        Some(filter) => filtered(merged, filter, join.left().schema().fields().len())?,
        None => merged,
    };
    let Some(projection) = &join.projection else { return Ok(merged) };
    let schema = merged.schema();
    let columns = projection.iter().map(|index| {
        let name = schema.field(*index).name();
        ProjectionExpr { expr: Arc::new(Column::new(name, *index)), alias: name.clone() }
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), merged)?))
}
