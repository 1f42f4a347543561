//! Joins that become broadcast joins once one side turns out small (Spark's
//! `DynamicJoinSelection`, `spark.sql.adaptive.autoBroadcastJoinThreshold`).
//!
//! When the stage of a build side has finished with few bytes and the stage of the probe side has
//! not begun, the probe side moves into the stage of the join: its rows are never shuffled. To have
//! the chance, the larger side waits for the smaller one, as far as the sizes of the files below
//! them tell which that is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::logical_expr::JoinType;
use datafusion::physical_expr::Distribution;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::union::InterleaveExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::adaptive::MapStageOutput;
use super::runtime_filters;
use crate::nodes::{ReadMode, Run, ShuffleReaderExec, ShuffleWriteExec};
use crate::stages::{Stage, left_may_be_broadcast};

/// A side over files more than this many times the threshold is not expected to get below it.
const HOPELESS_FACTOR: u64 = 64;

/// The keys of a build side may be this part of the files below the probe side to filter it.
const PROBE_SHARE: u64 = 32;

/// A side may be this many times as large as its keys may be to filter the other: all of it is read for them.
const READ_FOR_KEYS: u64 = 8;

/// A broadcast join with filtered rows is expected to leave one of so many rows over.
const LEFT_OVER: u64 = 8;

/// Bytes expected of each stage that writes a shuffle, its parents included: those of the files below, and a part of
/// them where a broadcast join with filtered rows leaves others out.
fn input_bytes(stages: &[Stage], selective: &HashSet<u64>) -> HashMap<u64, u64> {
    let mut bytes: HashMap<u64, u64> = HashMap::new();
    for stage in stages {
        if let Some(shuffle) = stage.shuffle {
            bytes.insert(shuffle, bytes_below(&stage.plan, &bytes, selective));
        }
    }
    bytes
}

pub(super) fn bytes_below(
    plan: &Arc<dyn ExecutionPlan>,
    known: &HashMap<u64, u64>,
    selective: &HashSet<u64>,
) -> u64 {
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        return known.get(&reader.shuffle()).copied().unwrap_or(0);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && *join.partition_mode() == PartitionMode::CollectLeft
        && matches!(join.join_type(), JoinType::Inner | JoinType::RightSemi)
        && runtime_filters::is_selective(join.left(), selective)
    {
        return bytes_below(join.right(), known, selective) / LEFT_OVER;
    }
    let below = plan.children().into_iter().map(|child| bytes_below(child, known, selective));
    file_bytes(plan) + below.sum::<u64>()
}

/// Of a scan.
fn file_bytes(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    plan.downcast_ref::<DataSourceExec>()
        .and_then(|source| source.data_source().downcast_ref::<FileScanConfig>())
        .map_or(0, |scan| {
            let files = scan.file_groups.iter().flat_map(|group| group.iter());
            files.map(|file| file.effective_size()).sum()
        })
}

/// The shuffles a partitioned join reads, if its left side may be broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sides {
    pub(super) left: u64,
    pub(super) right: u64,
}

/// The joins of a stage that may change their mode: nothing above them in the stage relies on how
/// their output is partitioned.
fn changeable(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Sides>) {
    if let Some(sides) = sides(plan) {
        found.push(sides);
        return;
    }
    if plan.is::<InterleaveExec>() {
        return;
    }
    let requirements = plan.input_distribution_requirements();
    for (child, required) in plan.children().iter().zip(requirements.per_child_distributions()) {
        if matches!(required, Distribution::UnspecifiedDistribution) {
            changeable(child, found);
        }
    }
}

fn sides(plan: &Arc<dyn ExecutionPlan>) -> Option<Sides> {
    let hinted = |side: &Arc<dyn ExecutionPlan>| {
        side.downcast_ref::<ShuffleReaderExec>()
            .is_some_and(ShuffleReaderExec::is_asked_for_by_hint)
    };
    if plan.children().into_iter().any(hinted) {
        return None;
    }
    sides_of(plan, left_may_be_broadcast)
}

/// The shuffles that a partitioned join of such a type reads, if that is all its sides do.
fn sides_of(plan: &Arc<dyn ExecutionPlan>, fits: impl Fn(JoinType) -> bool) -> Option<Sides> {
    let join = plan.downcast_ref::<HashJoinExec>()?;
    let may = *join.partition_mode() == PartitionMode::Partitioned
        && fits(*join.join_type())
        && !join.null_aware;
    may.then_some(())?;
    let side = |plan: &Arc<dyn ExecutionPlan>| {
        let reader = plan.downcast_ref::<ShuffleReaderExec>()?;
        (reader.mode() == ReadMode::Reduce && reader.runs().is_none()).then(|| reader.shuffle())
    };
    Some(Sides { left: side(join.left())?, right: side(join.right())? })
}

/// A reader of all reduce partitions as one, for every task.
pub(super) fn read_whole(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let reader = plan.downcast_ref::<ShuffleReaderExec>()?;
    let segments = plan.output_partitioning().partition_count() as u32;
    Some(Arc::new(reader.with_runs(std::iter::once(Run::from(0..segments)).collect())))
}

/// Moves probe sides that have not begun into the stages of joins whose build side is small.
pub(super) fn convert(
    waiting: &mut Vec<Stage>,
    outputs: &HashMap<u64, MapStageOutput>,
    threshold: Option<u64>,
) -> Result<()> {
    let Some(threshold) = threshold else { return Ok(()) };
    loop {
        let mut change = None;
        'stages: for (index, stage) in waiting.iter().enumerate() {
            let mut joins = Vec::new();
            changeable(&stage.plan, &mut joins);
            for sides in joins {
                let small =
                    outputs.get(&sides.left).is_some_and(|output| output.total() <= threshold);
                let probe = waiting.iter().position(|stage| stage.shuffle == Some(sides.right));
                // A probe side with another reader is needed as it is.
                let readers = waiting.iter().filter(|stage| stage.parents.contains(&sides.right));
                let probe =
                    probe.filter(|_| readers.count() == 1 && reads_once(stage, sides.right));
                if let (true, Some(probe)) = (small, probe) {
                    change = Some((index, sides, probe));
                    break 'stages;
                }
            }
        }
        let Some((index, sides, probe)) = change else { return Ok(()) };
        let body = match waiting[probe].plan.downcast_ref::<ShuffleWriteExec>() {
            Some(write) => Arc::clone(write.input()),
            None => return Ok(()),
        };
        let stage = &mut waiting[index];
        stage.plan = broadcast(Arc::clone(&stage.plan), sides, &body)?;
        let probe_stage = waiting[probe].clone();
        let stage = &mut waiting[index];
        stage.parents.retain(|parent| *parent != sides.right);
        stage.parents.extend(probe_stage.parents);
        stage.indeterminate |= probe_stage.indeterminate;
        waiting.remove(probe);
    }
}

pub(super) fn reads_once(stage: &Stage, shuffle: u64) -> bool {
    fn count(plan: &Arc<dyn ExecutionPlan>, shuffle: u64) -> usize {
        let reader = plan.downcast_ref::<ShuffleReaderExec>();
        let own = usize::from(reader.is_some_and(|reader| reader.shuffle() == shuffle));
        own + plan.children().into_iter().map(|child| count(child, shuffle)).sum::<usize>()
    }
    count(&stage.plan, shuffle) == 1
}

fn broadcast(
    plan: Arc<dyn ExecutionPlan>,
    wanted: Sides,
    probe: &Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_down(|node| {
        let Some(join) = node.downcast_ref::<HashJoinExec>() else {
            return Ok(Transformed::no(node));
        };
        if sides(&node) != Some(wanted) {
            return Ok(Transformed::no(node));
        }
        let Some(all) = read_whole(join.left()) else { return Ok(Transformed::no(node)) };
        let join = join
            .builder()
            .with_partition_mode(PartitionMode::CollectLeft)
            .with_new_children(vec![all, Arc::clone(probe)])?
            .recompute_properties()
            .build_exec()?;
        Ok(Transformed::new(join, true, TreeNodeRecursion::Jump))
    })
    .data()
}

/// What is known of the shuffles of a query before they are written.
pub(super) struct Expectations {
    /// Bytes of the files below each.
    input_bytes: HashMap<u64, u64>,
    /// Those whose rows may filter others.
    pub(super) selective: HashSet<u64>,
}

impl Expectations {
    /// Bytes of the files below a shuffle.
    pub(super) fn bytes(&self, shuffle: u64) -> u64 {
        self.input_bytes.get(&shuffle).copied().unwrap_or(0)
    }

    pub(super) fn of(stages: &[Stage]) -> Self {
        let selective = runtime_filters::selective(stages);
        Self { input_bytes: input_bytes(stages, &selective), selective }
    }

    /// Whether a stage had better wait: it is the probe side of a join whose build side has not finished and may turn out
    /// small enough to be broadcast, or to filter it.
    pub(super) fn had_better_wait(
        &self,
        stage: &Stage,
        waiting: &[Stage],
        outputs: &HashMap<u64, MapStageOutput>,
        limits: Limits,
    ) -> bool {
        let Some(shuffle) = stage.shuffle else { return false };
        let bytes = |shuffle: u64| self.bytes(shuffle);
        // No two wait for each other.
        let order = |shuffle: u64| (bytes(shuffle), shuffle);
        let waits_for = |Sides { left, right }: Sides, threshold: u64| {
            right == shuffle
                && !outputs.contains_key(&left)
                && order(left) < order(shuffle)
                && bytes(left) <= threshold.saturating_mul(HOPELESS_FACTOR)
        };
        waiting.iter().filter(|reader| reader.parents.contains(&shuffle)).any(|reader| {
            let broadcast = limits.broadcast.is_some_and(|threshold| {
                let mut joins = Vec::new();
                changeable(&reader.plan, &mut joins);
                joins.into_iter().any(|sides| waits_for(sides, threshold))
            });
            broadcast
                || limits.filter.is_some_and(|limit| {
                    let threshold = limit.for_probe_of(bytes(shuffle));
                    let joins = runtime_filters::filterable(&reader.plan, &self.selective);
                    joins.into_iter().any(|join| {
                        waits_for(Sides { left: join.keys_of, right: join.rows_of }, threshold)
                    })
                })
        })
    }
}

/// Up to how many bytes of a finished build side; `None` is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// The join becomes a broadcast join.
    pub(super) broadcast: Option<u64>,
    /// Its keys filter the probe side.
    pub(super) filter: Option<FilterLimit>,
}

/// Up to how many bytes of a finished build side its keys filter the probe side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FilterLimit {
    /// `spark.sql.optimizer.runtime.bloomFilter.creationSideThreshold`.
    pub(super) bytes: u64,
    /// Where that is the default: up to how many bytes it may be for a large probe side.
    pub(super) at_most: u64,
}

impl FilterLimit {
    /// What a filter may cost each task that writes the probe side grows with what is below that.
    pub(super) fn for_probe_of(self, file_bytes: u64) -> u64 {
        self.bytes.max(self.at_most.min(file_bytes / PROBE_SHARE))
    }

    /// Whether a side of so many bytes, of which the keys are a part, filters a probe side. The user's own limit is one of
    /// all bytes, as it is in Spark.
    pub(super) fn allows(self, total: u64, key_share: f64, probe_bytes: u64) -> bool {
        let most = self.for_probe_of(probe_bytes);
        let keys = (total as f64 * key_share) as u64;
        total <= most
            || self.at_most > self.bytes
                && keys <= most
                && total <= most.saturating_mul(READ_FOR_KEYS)
    }
}
