//! Joins with a skewed reduce partition (Spark's `OptimizeSkewedJoin`,
//! `spark.sql.adaptive.skewJoin.*`): the partition's map outputs are read by several tasks, each of
//! which reads the other side's partition whole.

use std::ops::Range;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::JoinType;
use datafusion::physical_expr::Distribution;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};

use super::adaptive::{self, Circumstances, MapStageOutput, joinable};
use crate::nodes::{Run, ShuffleReaderExec};

/// What counts as skew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SkewJoins {
    /// `spark.sql.adaptive.skewJoin.skewedPartitionFactor`: times the median.
    factor: f64,
    /// `spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes`.
    threshold_bytes: u64,
    /// `spark.sql.adaptive.advisoryPartitionSizeInBytes`: about the size of the parts.
    advisory_bytes: u64,
}

impl SkewJoins {
    pub(super) fn of(get: &impl Fn(&str) -> Option<String>) -> Self {
        let factor = get("spark.sql.adaptive.skewJoin.skewedPartitionFactor");
        let threshold = "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes";
        Self {
            factor: factor.and_then(|factor| factor.trim().parse().ok()).unwrap_or(5.0),
            threshold_bytes: adaptive::size(get, threshold, 256 << 20),
            advisory_bytes: adaptive::advisory_bytes(get),
        }
    }

    /// From which size on a partition is skewed.
    fn limit(self, bytes: &[u64]) -> u64 {
        let mut sorted = bytes.to_vec();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        self.threshold_bytes.max((median as f64 * self.factor) as u64)
    }

    /// The ranges of map outputs a reduce partition is read in; one range if it is not skewed.
    fn parts(self, output: &MapStageOutput, partition: usize) -> Vec<Option<Range<u32>>> {
        let limit = self.limit(&output.bytes);
        if output.bytes.get(partition).is_none_or(|bytes| *bytes <= limit) {
            return vec![None];
        }
        let usual = output.bytes.iter().filter(|bytes| **bytes <= limit);
        let (count, sum) = usual.fold((0_u64, 0), |(count, sum), bytes| (count + 1, sum + bytes));
        let target = self.advisory_bytes.max(sum.checked_div(count).unwrap_or(0));
        let mut parts = Vec::new();
        let (mut start, mut size) = (0, 0);
        for (map, sizes) in (0_u32..).zip(&output.maps) {
            let bytes = sizes.get(partition);
            if map > start && size + bytes > target {
                parts.push(Some(start..map));
                (start, size) = (map, 0);
            }
            size += bytes;
        }
        parts.push(Some(start..output.maps.len() as u32));
        if parts.len() == 1 { vec![None] } else { parts }
    }
}

/// Whether the rows of the left side may be divided between tasks that all see the whole right side:
/// no row of the right side is emitted for not having met one, or once for meeting any.
fn left_may_be_split(join_type: JoinType) -> bool {
    matches!(
        join_type,
        JoinType::Inner
            | JoinType::Left
            | JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::LeftMark
    )
}

fn right_may_be_split(join_type: JoinType) -> bool {
    left_may_be_split(join_type.swap())
}

/// The one partitioned join of a stage whose two inputs are all that the stage reads in hash
/// partitions, below nodes to which its partitioning means nothing.
fn join_of_stage<'a>(
    plan: &'a Arc<dyn ExecutionPlan>,
    circumstances: Circumstances<'_>,
) -> Result<Option<&'a HashJoinExec>> {
    let mut readers = 0;
    plan.apply(|node| {
        readers += usize::from(joinable(node, circumstances).is_some());
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut plan = plan;
    loop {
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            let partitioned = *join.partition_mode() == PartitionMode::Partitioned;
            let sides = [join.left(), join.right()];
            let read = sides.iter().all(|side| joinable(side, circumstances).is_some());
            return Ok((partitioned && read && readers == 2 && !join.null_aware).then_some(join));
        }
        let children = plan.children();
        let [child] = children.as_slice() else { return Ok(None) };
        let requirements = plan.input_distribution_requirements();
        let mut required = requirements.per_child_distributions();
        if required.any(|required| !matches!(required, Distribution::UnspecifiedDistribution)) {
            return Ok(None);
        }
        plan = child;
    }
}

/// The stage with its join's skewed partitions split; `None` if nothing is skewed.
pub(super) fn split(
    plan: &Arc<dyn ExecutionPlan>,
    settings: SkewJoins,
    circumstances: Circumstances<'_>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = join_of_stage(plan, circumstances)? else { return Ok(None) };
    let sides = (joinable(join.left(), circumstances), joinable(join.right(), circumstances));
    let (Some((left, left_output)), Some((right, right_output))) = sides else { return Ok(None) };
    let (left_shuffle, right_shuffle) = (left.shuffle(), right.shuffle());
    if left_shuffle == right_shuffle {
        return Ok(None);
    }
    let Some(runs) = runs(*join.join_type(), [left_output, right_output], settings, circumstances)
    else {
        return Ok(None);
    };
    let [left_runs, right_runs] = runs.map(Arc::<[Run]>::from);
    let plan = Arc::clone(plan).transform_up(|node| {
        let runs = match node.downcast_ref::<ShuffleReaderExec>() {
            Some(reader) if reader.shuffle() == left_shuffle => &left_runs,
            Some(reader) if reader.shuffle() == right_shuffle => &right_runs,
            Some(_) | None => return Ok(Transformed::no(node)),
        };
        let reader = node.downcast_ref::<ShuffleReaderExec>();
        Ok(match reader.map(|reader| reader.with_runs(Arc::clone(runs))) {
            Some(reader) => Transformed::yes(Arc::new(reader) as _),
            None => Transformed::no(node),
        })
    });
    plan.data().map(Some)
}

/// What the tasks of a join read of either side; `None` if nothing is skewed.
fn runs(
    join_type: JoinType,
    [left, right]: [&MapStageOutput; 2],
    settings: SkewJoins,
    circumstances: Circumstances<'_>,
) -> Option<[Vec<Run>; 2]> {
    let partitions = left.bytes.len().max(right.bytes.len());
    let parts = |output: &MapStageOutput, may: bool, partition: usize| {
        if may { settings.parts(output, partition) } else { vec![None] }
    };
    let all: Vec<_> = (0..partitions)
        .map(|partition| {
            let left = parts(left, left_may_be_split(join_type), partition);
            let right = parts(right, right_may_be_split(join_type), partition);
            (left, right)
        })
        .collect();
    let is_split = |partition: usize| all[partition].0.len() > 1 || all[partition].1.len() > 1;
    if !(0..partitions).any(is_split) {
        return None;
    }
    let bytes = |partition: usize| {
        let of = |output: &MapStageOutput| output.bytes.get(partition).copied().unwrap_or(0);
        of(left) + of(right)
    };
    let coalescing = circumstances.adaptive.and_then(|adaptive| adaptive.coalescing);
    let mut runs = [Vec::new(), Vec::new()];
    let mut start = 0;
    while start < partitions {
        let end = (start..partitions).find(|partition| is_split(*partition));
        let usual = start..end.unwrap_or(partitions);
        if !usual.is_empty() {
            let sizes: Vec<u64> = usual.clone().map(bytes).collect();
            let joined = match coalescing {
                Some(coalescing) => coalescing.runs(&sizes, circumstances.parallelism),
                None => (0..sizes.len() as u32).map(|one| one..one + 1).collect(),
            };
            for run in joined {
                let run = run.start + usual.start as u32..run.end + usual.start as u32;
                for side in &mut runs {
                    side.push(Run::from(run.clone()));
                }
            }
        }
        let Some(skewed) = end else { break };
        let reduces = skewed as u32..skewed as u32 + 1;
        let (left, right) = &all[skewed];
        for maps in left {
            for others in right {
                runs[0].push(Run { reduces: reduces.clone(), maps: maps.clone() });
                runs[1].push(Run { reduces: reduces.clone(), maps: others.clone() });
            }
        }
        start = skewed + 1;
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use spark_scheduler::MapSizes;

    use super::*;
    use crate::engine::adaptive::Adaptive;

    fn output(maps: &[&[u64]]) -> MapStageOutput {
        let bytes = (0..maps[0].len()).map(|at| maps.iter().map(|map| map[at]).sum()).collect();
        let maps = maps.iter().map(|sizes| MapSizes::new(sizes)).collect();
        MapStageOutput { bytes, maps, keys: Vec::new() }
    }

    fn text(runs: &[Run]) -> String {
        let one = |run: &Run| match &run.maps {
            Some(maps) => format!("{:?}/{maps:?}", run.reduces),
            None => format!("{:?}", run.reduces),
        };
        runs.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn split_runs(join_type: JoinType) -> Option<[String; 2]> {
        let settings = SkewJoins { factor: 4.0, threshold_bytes: 100, advisory_bytes: 60 };
        let left = output(&[&[10, 50, 10, 10], &[10, 50, 10, 10], &[10, 50, 10, 10]]);
        let right = output(&[&[5, 5, 5, 5]]);
        let outputs = HashMap::new();
        let circumstances = Circumstances {
            outputs: &outputs,
            adaptive: Adaptive::of(|_| None),
            parallelism: 2,
            default_partitions: 4,
        };
        runs(join_type, [&left, &right], settings, circumstances)
            .map(|runs| runs.map(|side| text(&side)))
    }

    #[test]
    fn a_skewed_partition_is_read_by_several_tasks_and_the_others_are_joined() {
        let [left, right] = split_runs(JoinType::Inner).unwrap();
        assert_eq!(left, "0..1 1..2/0..1 1..2/1..2 1..2/2..3 2..4");
        assert_eq!(right, "0..1 1..2 1..2 1..2 2..4");
    }

    #[test]
    fn a_side_whose_partner_emits_rows_by_itself_is_not_split() {
        for kind in [JoinType::Right, JoinType::Full, JoinType::RightSemi, JoinType::RightAnti] {
            assert_eq!(split_runs(kind), None, "{kind}");
        }
        for kind in [JoinType::Left, JoinType::LeftSemi, JoinType::LeftAnti] {
            assert!(split_runs(kind).is_some(), "{kind}");
        }
    }
}
