//! The ranges of a global sort, chosen when its sorted map outputs are there.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::Distribution;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::LocalLimitExec;

use super::adaptive::Circumstances;
use crate::nodes::ShuffleReaderExec;
use crate::sorted;
use crate::stages::Stage;

/// Whether a stage merges sorted map outputs into one partition although several would do.
pub(super) fn may_be_divided(stage: &Stage) -> bool {
    dividable(&stage.plan).is_some()
}

/// The reader of sorted map outputs below nodes that work row by row or batch by batch.
fn dividable(plan: &Arc<dyn ExecutionPlan>) -> Option<&ShuffleReaderExec> {
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        let whole = reader.ranges().is_some_and(|ranges| ranges.bounds.is_empty());
        return whole.then_some(reader);
    }
    let children = plan.children();
    let [child] = children.as_slice() else { return None };
    let requirements = plan.input_distribution_requirements();
    let free = requirements
        .per_child_distributions()
        .all(|required| matches!(required, Distribution::UnspecifiedDistribution));
    // A limit would take rows of each partition; `coalesce(n)` wants few partitions.
    let bounded = plan.is::<LocalLimitExec>() || plan.name() == "CoalesceExec";
    (free && !bounded && plan.fetch().is_none()).then(|| dividable(child))?
}

/// The plan with its global sort read in ranges, each about as large as a task's input should be.
pub(super) fn divide(
    plan: Arc<dyn ExecutionPlan>,
    circumstances: Circumstances<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(reader) = dividable(&plan) else { return Ok(plan) };
    let shuffle = reader.shuffle();
    let Some(output) = circumstances.outputs.get(&shuffle) else { return Ok(plan) };
    let coalescing = circumstances.adaptive.and_then(|adaptive| adaptive.coalescing);
    let partitions = match coalescing {
        Some(coalescing) => {
            let total = output.total();
            total.div_ceil(coalescing.target(total, circumstances.parallelism)) as usize
        }
        None => circumstances.default_partitions,
    };
    let bounds = sorted::bounds(output.keys.clone(), partitions);
    if bounds.is_empty() {
        return Ok(plan);
    }
    let bounds: Arc<[_]> = bounds.into();
    plan.transform_up(|node| match node.downcast_ref::<ShuffleReaderExec>() {
        Some(reader) if reader.shuffle() == shuffle && reader.ranges().is_some() => {
            Ok(Transformed::yes(Arc::new(reader.with_bounds(Arc::clone(&bounds))) as _))
        }
        Some(_) | None => Ok(Transformed::no(node)),
    })
    .data()
}
