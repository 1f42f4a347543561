//! Rows that will find no partner in a join are left out before they are written (Spark's `InjectRuntimeFilter`,
//! `spark.sql.optimizer.runtime.bloomFilter.*`; here with the keys themselves, so nothing passes by chance).
//!
//! When the stage of a filtered build side has finished with few bytes, and the stage of the probe side has not begun and
//! cannot move into that of the join, it keeps only the rows that have a key of the build side.
//! How few, grows with the probe side unless the user says it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::JoinType;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};

use super::adaptive::MapStageOutput;
use super::broadcasts::{Expectations, FilterLimit, Sides, read_whole, reads_once, sides_of};
use crate::nodes::ShuffleWriteExec;
use crate::stages::Stage;

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

/// The joins of a stage whose right side may be filtered by the keys of the left, and what they read.
pub(super) fn filterable(
    plan: &Arc<dyn ExecutionPlan>,
    selective: &HashSet<u64>,
) -> Vec<(Sides, Arc<dyn ExecutionPlan>)> {
    let below = plan.children().into_iter().flat_map(|child| filterable(child, selective));
    let mut found: Vec<_> = below.collect();
    if let Some(sides) = sides_of(plan, drops_unmatched_right)
        && selective.contains(&sides.left)
    {
        found.push((sides, Arc::clone(plan)));
    }
    found
}

/// Filters probe sides that have not begun by the keys of finished build sides that are within the limit.
pub(super) fn inject(
    waiting: &mut [Stage],
    outputs: &HashMap<u64, MapStageOutput>,
    expected: &Expectations,
    limit: Option<FilterLimit>,
) -> Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    for reader in 0..waiting.len() {
        for (sides, join) in filterable(&waiting[reader].plan, &expected.selective) {
            let threshold = limit.for_probe_of(expected.bytes(sides.right));
            let small = outputs.get(&sides.left).is_some_and(|output| output.total() <= threshold);
            let probe = waiting.iter().position(|stage| stage.shuffle == Some(sides.right));
            let Some(probe) = probe.filter(|_| small) else { continue };
            // Another reader of the probe side needs all of its rows.
            let readers = waiting.iter().filter(|stage| stage.parents.contains(&sides.right));
            let alone = readers.count() == 1 && reads_once(&waiting[reader], sides.right);
            let stage = &mut waiting[probe];
            if alone
                && !stage.parents.contains(&sides.left)
                && let Some(plan) = filtered(&stage.plan, &join)?
            {
                stage.plan = plan;
                stage.parents.push(sides.left);
            }
        }
    }
    Ok(())
}

/// A stage that writes only the rows for which the join has a key on its left side.
fn filtered(
    stage: &Arc<dyn ExecutionPlan>,
    join: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (Some(write), Some(join)) =
        (stage.downcast_ref::<ShuffleWriteExec>(), join.downcast_ref::<HashJoinExec>())
    else {
        return Ok(None);
    };
    let Some(keys) = read_whole(join.left()).filter(|_| write.order().is_none()) else {
        return Ok(None);
    };
    let filtered = HashJoinExec::try_new(
        keys,
        Arc::clone(write.input()),
        join.on().to_vec(),
        None,
        &JoinType::RightSemi,
        None,
        PartitionMode::CollectLeft,
        join.null_equality(),
        false,
    )?;
    replace_children_if_necessary(Arc::clone(stage), vec![Arc::new(filtered)]).map(Some)
}
