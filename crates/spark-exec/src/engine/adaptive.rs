//! Re-planning between stages from what the finished ones wrote (`spark.sql.adaptive.*`).
//!
//! A map stage runs as a job of its own; when all parents of a stage are there, its readers are
//! adapted, and only then its number of tasks is fixed: ranges of a global sort are chosen
//! ([`super::ranges`]), skewed reduce partitions of a join are split ([`super::skew`]), and small
//! ones are joined until each is worth a task (Spark's `CoalesceShufflePartitions`). All readers of
//! one stage are joined alike: partition `i` of one side of a join must meet partition `i` of the
//! other.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use spark_scheduler::MapSizes;

use super::broadcasts::{FilterLimit, Limits};
use super::skew::SkewJoins;
use super::{ranges, skew};
use crate::nodes::{ReadMode, Run, ShuffleReaderExec, ShuffleWriteExec};

/// What adaptive execution may do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Adaptive {
    /// Joins small partitions; `None` keeps them all.
    pub(super) coalescing: Option<Coalescing>,
    /// Splits skewed partitions of joins.
    pub(super) skew_joins: Option<SkewJoins>,
    /// `spark.sql.adaptive.autoBroadcastJoinThreshold`, and `spark.sql.optimizer.runtime.bloomFilter.creationSideThreshold`.
    limits: Limits,
    /// `spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold`: the largest partition a hash
    /// table is made of; `None` goes by memory alone.
    pub(super) hash_join_bytes: Option<u64>,
}

impl Adaptive {
    /// What the properties say; `None` is the static plan.
    pub(super) fn of(get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let is_on = |key: &str| get(key).is_none_or(|value| value.eq_ignore_ascii_case("true"));
        is_on("spark.sql.adaptive.enabled").then(|| Self {
            coalescing: is_on("spark.sql.adaptive.coalescePartitions.enabled")
                .then(|| Coalescing::of(&get)),
            skew_joins: is_on("spark.sql.adaptive.skewJoin.enabled").then(|| SkewJoins::of(&get)),
            limits: Limits { broadcast: broadcast_bytes(&get), filter: filter_limit(&get) },
            hash_join_bytes: Some(size(
                &get,
                "spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold",
                0,
            ))
            .filter(|bytes| *bytes > 0),
        })
    }
}

impl Adaptive {
    /// The limits where a task has so much memory; `None` is not limited.
    pub(super) fn limits(&self, task_memory: Option<u64>) -> Limits {
        let mut limits = self.limits;
        if let (Some(filter), Some(memory)) = (&mut limits.filter, task_memory) {
            filter.at_most = filter.at_most.min(memory / FILTER_MEMORY_FACTOR);
        }
        limits
    }
}

/// Spark's default of how many bytes of map output filter a probe side.
const FILTER_BYTES: u64 = 10 << 20;
/// How many it may be where the user sets no other than that.
const LARGEST_FILTER: u64 = 64 << 20;
/// A filter that is larger than Spark's default takes at most this part of a task's memory, before it is unpacked.
const FILTER_MEMORY_FACTOR: u64 = 16;

/// How partitions are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coalescing {
    /// `spark.sql.adaptive.advisoryPartitionSizeInBytes`.
    advisory_bytes: u64,
    /// `spark.sql.adaptive.coalescePartitions.minPartitionSize`.
    min_bytes: u64,
    /// `spark.sql.adaptive.coalescePartitions.parallelismFirst`.
    parallelism_first: bool,
}

impl Coalescing {
    fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        let is_on = |key: &str| get(key).is_none_or(|value| value.eq_ignore_ascii_case("true"));
        Self {
            advisory_bytes: advisory_bytes(&get),
            min_bytes: size(
                &get,
                "spark.sql.adaptive.coalescePartitions.minPartitionSize",
                1 << 20,
            ),
            parallelism_first: is_on("spark.sql.adaptive.coalescePartitions.parallelismFirst"),
        }
    }

    /// The bytes a task should read of so many.
    pub(super) fn target(self, total: u64, parallelism: usize) -> u64 {
        if self.parallelism_first {
            let share = total.div_ceil(parallelism.max(1) as u64);
            self.advisory_bytes.min(share.max(self.min_bytes))
        } else {
            self.advisory_bytes
        }
        .max(1)
    }

    /// Cuts reduce partitions into runs of about the target size: where their middles pass a multiple of it, so that no small
    /// rest is left for a task of its own, and no run is more than a fifth too large unless one partition is.
    pub(super) fn runs(self, bytes: &[u64], parallelism: usize) -> Vec<Range<u32>> {
        let target = self.target(bytes.iter().sum(), parallelism);
        let most = target.saturating_add(target / 5);
        let mut runs = Vec::new();
        let (mut start, mut size, mut before, mut share) = (0, 0, 0, 0);
        for (partition, bytes) in bytes.iter().enumerate() {
            let partition = partition as u32;
            let middle_in = (before + bytes / 2) / target;
            if partition > start && (middle_in > share || size + bytes > most) {
                runs.push(start..partition);
                (start, size) = (partition, 0);
            }
            share = middle_in;
            size += bytes;
            before += bytes;
        }
        runs.push(start..bytes.len() as u32);
        runs
    }
}

/// The threshold of adaptive execution is the planner's unless it is set; -1 is never.
fn broadcast_bytes(get: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let set = get("spark.sql.adaptive.autoBroadcastJoinThreshold")
        .or_else(|| get("spark.sql.autoBroadcastJoinThreshold"));
    match set {
        Some(text) => parse_size(&text),
        None => Some(10 << 20),
    }
}

/// The largest build side that filters the other.
fn filter_limit(get: &impl Fn(&str) -> Option<String>) -> Option<FilterLimit> {
    let prefix = "spark.sql.optimizer.runtime.bloomFilter";
    let enabled =
        get(&format!("{prefix}.enabled")).is_none_or(|value| value.eq_ignore_ascii_case("true"));
    let bytes = size(get, &format!("{prefix}.creationSideThreshold"), FILTER_BYTES);
    // A session tells the default as if it were set.
    let at_most = if bytes == FILTER_BYTES { LARGEST_FILTER } else { bytes };
    enabled.then_some(FilterLimit { bytes, at_most })
}

/// `spark.sql.adaptive.advisoryPartitionSizeInBytes`.
pub(super) fn advisory_bytes(get: &impl Fn(&str) -> Option<String>) -> u64 {
    size(get, "spark.sql.adaptive.advisoryPartitionSizeInBytes", 64 << 20)
}

/// A size, or its default.
pub(super) fn size(get: &impl Fn(&str) -> Option<String>, key: &str, default: u64) -> u64 {
    get(key).and_then(|text| parse_size(&text)).unwrap_or(default)
}

/// Sizes as Spark writes them: `64MB`, `1m`, `1048576b`, `1048576`.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let shift = match &text[digits..] {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// What a finished map stage wrote.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MapStageOutput {
    /// Bytes per reduce partition, over all map outputs.
    pub(crate) bytes: Vec<u64>,
    /// Bytes per reduce partition of each map output.
    pub(crate) maps: Vec<MapSizes>,
    /// Of sorted output: the first key of each segment of each map output, and the segment's bytes.
    pub(crate) keys: Vec<(Bytes, u64)>,
}

impl MapStageOutput {
    pub(crate) fn total(&self) -> u64 {
        self.maps.iter().map(MapSizes::total).sum()
    }
}

/// What a stage is adapted to.
#[derive(Clone, Copy)]
pub(super) struct Circumstances<'a> {
    pub(super) outputs: &'a HashMap<u64, MapStageOutput>,
    /// `None` is the static plan: ranges are chosen nevertheless.
    pub(super) adaptive: Option<Adaptive>,
    /// Tasks that run at one time.
    pub(super) parallelism: usize,
    /// `spark.sql.shuffle.partitions`.
    pub(super) default_partitions: usize,
}

/// The plan of a stage whose parents are all there, its readers adapted to what they wrote.
pub(super) fn adapt(
    plan: Arc<dyn ExecutionPlan>,
    circumstances: Circumstances<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = ranges::divide(plan, circumstances)?;
    let Some(Adaptive { coalescing, skew_joins, .. }) = circumstances.adaptive else {
        return Ok(plan);
    };
    if let Some(skew_joins) = skew_joins
        && let Some(plan) = skew::split(&plan, skew_joins, circumstances)?
    {
        return Ok(plan);
    }
    match coalescing {
        Some(coalescing) => coalesce(plan, coalescing, circumstances),
        None => Ok(plan),
    }
}

fn coalesce(
    plan: Arc<dyn ExecutionPlan>,
    coalescing: Coalescing,
    circumstances: Circumstances<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    // Bytes per reduce partition over all readers with as many.
    let mut sizes: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    plan.apply(|node| {
        if let Some((reader, output)) = joinable(node, circumstances) {
            let sum = sizes
                .entry(reader.properties().output_partitioning().partition_count())
                .or_insert_with(|| vec![0; output.bytes.len()]);
            for (sum, bytes) in sum.iter_mut().zip(&output.bytes) {
                *sum += bytes;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let runs: BTreeMap<usize, Arc<[Run]>> = sizes
        .into_iter()
        .map(|(partitions, bytes)| {
            let runs = coalescing.runs(&bytes, circumstances.parallelism);
            (partitions, runs.into_iter().map(Run::from).collect())
        })
        .collect();
    plan.transform_up(|node| {
        if let Some((reader, _)) = joinable(&node, circumstances)
            && let Some(runs) =
                runs.get(&reader.properties().output_partitioning().partition_count())
        {
            return Ok(Transformed::yes(Arc::new(reader.with_runs(Arc::clone(runs))) as _));
        }
        Ok(Transformed::no(node))
    })
    .data()
}

/// A reader whose partitions may be joined: it comes of an exchange by hash into the session's
/// number of partitions. Another number was asked for by the user.
pub(super) fn joinable<'a>(
    node: &'a Arc<dyn ExecutionPlan>,
    circumstances: Circumstances<'a>,
) -> Option<(&'a ShuffleReaderExec, &'a MapStageOutput)> {
    let reader = node.downcast_ref::<ShuffleReaderExec>()?;
    let default_partitions = circumstances.default_partitions;
    let by_hash = matches!(
        reader.properties().output_partitioning(),
        Partitioning::Hash(_, partitions) if *partitions == default_partitions && *partitions > 1
    );
    let output = circumstances.outputs.get(&reader.shuffle())?;
    let whole = reader.mode() == ReadMode::Reduce && reader.runs().is_none();
    (whole && by_hash).then_some((reader, output))
}

/// The number of tasks of a stage.
pub(super) fn tasks(plan: &Arc<dyn ExecutionPlan>) -> usize {
    match plan.downcast_ref::<ShuffleWriteExec>() {
        Some(write) => write.input().output_partitioning().partition_count(),
        None => plan.output_partitioning().partition_count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coalescing() -> Coalescing {
        Coalescing::of(|_| None)
    }

    #[test]
    fn a_filter_may_be_the_larger_the_more_is_below_the_probe_side() {
        let unset = Adaptive::of(|_| None).unwrap();
        let limit = |adaptive: &Adaptive, memory, files| {
            adaptive.limits(memory).filter.unwrap().for_probe_of(files)
        };
        assert_eq!(limit(&unset, None, 100 << 20), 10 << 20);
        assert_eq!(limit(&unset, None, 1 << 30), 32 << 20);
        assert_eq!(limit(&unset, None, 1 << 40), 64 << 20);
        // A task of little memory holds no more than Spark's default.
        assert_eq!(limit(&unset, Some(320 << 20), 1 << 40), 20 << 20);
        assert_eq!(limit(&unset, Some(32 << 20), 1 << 40), 10 << 20);
        let set =
            Adaptive::of(|key| key.ends_with(".creationSideThreshold").then(|| "20m".to_owned()));
        assert_eq!(limit(&set.unwrap(), None, 1 << 40), 20 << 20);
        let default =
            Adaptive::of(|key| key.ends_with(".creationSideThreshold").then(|| "10MB".to_owned()));
        assert_eq!(default, Some(unset));
        let off = Adaptive::of(|key| key.ends_with("bloomFilter.enabled").then(|| "false".into()));
        assert_eq!(off.unwrap().limits(None).filter, None);
    }

    #[test]
    fn small_partitions_are_joined_up_to_the_parallelism() {
        // 10 × 1 MiB over 2 slots: runs of 5 MiB.
        let runs = coalescing().runs(&[1 << 20; 10], 2);
        assert_eq!(runs, [0..5, 5..10]);
    }

    #[test]
    fn no_small_rest_is_left_over() {
        let bytes: Vec<u64> = (0..200).map(|n| 50_000 + n * 7919 % 9001).collect();
        let runs = coalescing().runs(&bytes, 2);
        assert_eq!(runs.len(), 2);
        for parallelism in 1..9 {
            let bytes: Vec<u64> = bytes.iter().map(|bytes| bytes * 100).collect();
            let runs = coalescing().runs(&bytes, parallelism);
            let sizes = runs
                .iter()
                .map(|run| bytes[run.start as usize..run.end as usize].iter().sum::<u64>());
            let share = bytes.iter().sum::<u64>() / runs.len() as u64;
            assert!(
                sizes.clone().all(|size| size * 5 < share * 6),
                "{:?}",
                sizes.collect::<Vec<_>>()
            );
        }
        // Nine tenths of the target each: joined in twos they were too large.
        let runs = coalescing().runs(&[9 << 20; 60], 54);
        assert_eq!(runs.len(), 60);
    }

    #[test]
    fn nothing_smaller_than_the_minimum_is_made() {
        let runs = coalescing().runs(&[1000; 200], 16);
        assert_eq!(runs, vec![Range { start: 0, end: 200 }]);
    }

    #[test]
    fn a_large_partition_stays_alone() {
        let mut bytes = vec![1 << 20; 4];
        bytes[2] = 100 << 20;
        let runs = coalescing().runs(&bytes, 100);
        assert_eq!(runs, [0..1, 1..2, 2..3, 3..4]);
    }

    #[test]
    fn no_partition_is_lost_when_all_are_empty() {
        assert_eq!(coalescing().runs(&[0; 7], 2), vec![Range { start: 0, end: 7 }]);
    }

    #[test]
    fn sizes_are_read_as_spark_writes_them() {
        for (text, bytes) in [("64MB", 64 << 20), ("1m", 1 << 20), ("10", 10), ("3b", 3)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        assert_eq!(parse_size("much"), None);
    }
}
