//! Joins: which build sides may be shared by tasks that know nothing of each other.
//!
//! A build side that every task reads whole is right only for join types that never emit a build
//! row by itself: each task would emit it. The others are re-planned: a hash join is partitioned by
//! its keys, a nested loop join swaps its sides, and what remains runs in one task.

use std::sync::Arc;

use datafusion::common::internal_err;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::logical_expr::JoinType;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    ReplaceChildrenOptions,
};

use super::{Cutter, Gather, SHUFFLE_HINT, is_indeterminate, two_children};
use crate::nodes::ShuffleReaderExec;

/// Files of up to so many bytes in all are read by each task rather than once for all.
const FILE_BYTES_READ_BY_EACH: u64 = 64 << 10;

/// If there are no more tasks than these.
const READERS_OF_A_FILE: usize = 8;

/// Whether every task may hold the whole left side.
pub(crate) fn left_may_be_broadcast(join_type: JoinType) -> bool {
    match join_type {
        JoinType::Inner
        | JoinType::Right
        | JoinType::RightSemi
        | JoinType::RightAnti
        | JoinType::RightMark => true,
        JoinType::Left
        | JoinType::Full
        | JoinType::LeftSemi
        | JoinType::LeftAnti
        | JoinType::LeftMark => false,
    }
}

impl Cutter<'_> {
    pub(super) fn cut_hash_join(
        &mut self,
        join: &HashJoinExec,
        plan: &Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [left, right] = two_children(plan)?;
        match join.partition_mode() {
            PartitionMode::Partitioned => {
                let hinted = wants_a_shuffle(&left) || wants_a_shuffle(&right);
                let mut children = vec![self.cut(left)?, self.cut(right)?];
                if hinted {
                    children = children.iter().map(asked_for_by_hint).collect();
                }
                replace_children_if_necessary(Arc::clone(plan), children)
            }
            PartitionMode::CollectLeft | PartitionMode::Auto
                if left_may_be_broadcast(*join.join_type()) =>
            {
                self.cut_broadcast_left(plan, left, right)
            }
            PartitionMode::CollectLeft | PartitionMode::Auto if join.null_aware => {
                self.cut_in_one_task(plan, left, right)
            }
            PartitionMode::CollectLeft | PartitionMode::Auto => {
                self.cut_partitioned(join, left, right)
            }
        }
    }

    pub(super) fn cut_nested_loop_join(
        &mut self,
        join: &NestedLoopJoinExec,
        plan: &Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [left, right] = two_children(plan)?;
        if left_may_be_broadcast(*join.join_type()) {
            return self.cut_broadcast_left(plan, left, right);
        }
        let uncollected = uncollect(&left);
        if *join.join_type() == JoinType::Full
            || (uncollected.output_partitioning().partition_count() <= 1
                && right.output_partitioning().partition_count() <= 1)
        {
            return self.cut_in_one_task(plan, left, right);
        }
        // The side that emits rows by itself becomes the streamed one.
        let bare = NestedLoopJoinExec::try_new(
            uncollected,
            Arc::new(CoalescePartitionsExec::new(right)),
            join.filter().cloned(),
            join.join_type(),
            join.projection().as_ref().map(|columns| columns.to_vec()),
        )?;
        self.cut(bare.swap_inputs()?)
    }

    /// The left side becomes a stage of its own that every task of this stage reads.
    pub(super) fn cut_broadcast_left(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let right = self.cut(right)?;
        let left = self.cut(uncollect(&left))?;
        let tasks = right.output_partitioning().partition_count();
        let in_place = tasks <= 1 || is_sooner_read_than_sent(&left, tasks)?;
        let gather = if in_place { Gather::Concatenated } else { Gather::Broadcast };
        let left = self.gather(left, gather)?;
        rebuild(plan, left, right)
    }

    fn cut_in_one_task(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let left = self.cut(uncollect(&left))?;
        let left = self.gather(left, Gather::Concatenated)?;
        let right = self.cut(right)?;
        let right = self.gather(right, Gather::Concatenated)?;
        rebuild(plan, left, right)
    }

    fn cut_partitioned(
        &mut self,
        join: &HashJoinExec,
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let left = self.cut(uncollect(&left))?;
        let right = self.cut(right)?;
        let [left, right] = if left.output_partitioning().partition_count() == 1
            && right.output_partitioning().partition_count() == 1
        {
            [left, right]
        } else {
            let (left_keys, right_keys) = join.on().iter().cloned().unzip();
            [self.exchange_by(left, left_keys)?, self.exchange_by(right, right_keys)?]
        };
        join.builder()
            .with_partition_mode(PartitionMode::Partitioned)
            .with_new_children(vec![left, right])?
            .recompute_properties()
            .build_exec()
    }

    fn exchange_by(
        &mut self,
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<datafusion::physical_expr::PhysicalExprRef>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut equivalences = input.equivalence_properties().clone();
        equivalences.clear_orderings();
        equivalences.clear_per_partition_constants();
        let partitioning = Partitioning::Hash(keys, self.options.partitions.max(1));
        self.exchange(input, partitioning, equivalences)
    }
}

/// Whether a side of a join is hinted, looking through operators of one input.
fn wants_a_shuffle(side: &Arc<dyn ExecutionPlan>) -> bool {
    side.name() == SHUFFLE_HINT || matches!(side.children()[..], [input] if wants_a_shuffle(input))
}

/// A side of a join that a hint wants shuffled.
fn asked_for_by_hint(side: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match side.downcast_ref::<ShuffleReaderExec>() {
        Some(reader) => Arc::new(reader.asked_for_by_hint()),
        None => Arc::clone(side),
    }
}

/// Whether every task may as well read the files of a build side itself: a stage for the few rows of a dimension
/// table, its scheduling and the way of its output, takes longer than reading them some times.
fn is_sooner_read_than_sent(side: &Arc<dyn ExecutionPlan>, tasks: usize) -> Result<bool> {
    if tasks > READERS_OF_A_FILE || side.output_partitioning().partition_count() != 1 {
        return Ok(false);
    }
    let mut bytes = 0;
    let mut fits = true;
    side.apply(|node| {
        if node.children().is_empty() {
            match local_files(node) {
                Some(size) => bytes += size,
                None => fits = false,
            }
        }
        // All tasks must see the same rows.
        fits &= !is_indeterminate(node)? && bytes <= FILE_BYTES_READ_BY_EACH;
        Ok(if fits { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(fits)
}

/// The bytes of the files that a scan reads, if they are on this host and it reads them whole.
fn local_files(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let source = plan.downcast_ref::<DataSourceExec>()?.data_source();
    let scan = source.downcast_ref::<FileScanConfig>()?;
    let near = scan.object_store_url.as_str().starts_with("file:") && scan.limit.is_none();
    let files = scan.file_groups.iter().flat_map(|group| group.iter());
    near.then(|| files.map(|file| file.effective_size()).sum())
}

/// The plan below the node that collects its partitions, if that is what it does.
fn uncollect(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    if let Some(coalesce) = plan.downcast_ref::<CoalescePartitionsExec>()
        && coalesce.fetch().is_none()
    {
        return Arc::clone(coalesce.input());
    }
    if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>()
        && merge.fetch().is_none()
    {
        // The order of a build side is not kept by any join.
        return Arc::clone(merge.input());
    }
    Arc::clone(plan)
}

fn rebuild(
    plan: &Arc<dyn ExecutionPlan>,
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    Arc::clone(plan).replace_children(
        vec![left, right],
        ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
    )
}

/// Refuses a join whose build side is shared although its rows would be emitted by every task.
pub(super) fn check(node: &Arc<dyn ExecutionPlan>) -> Result<()> {
    let (join_type, null_aware) = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        if *join.partition_mode() == PartitionMode::Partitioned {
            let [left, right] = two_children(node)?;
            let counts = [&left, &right].map(|side| side.output_partitioning().partition_count());
            if counts[0] != counts[1] {
                return internal_err!("a partitioned join has {counts:?} partitions");
            }
            return Ok(());
        }
        (*join.join_type(), join.null_aware)
    } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        (*join.join_type(), false)
    } else {
        return Ok(());
    };
    let [_, right] = two_children(node)?;
    let tasks = right.output_partitioning().partition_count();
    if tasks > 1 && (null_aware || !left_may_be_broadcast(join_type)) {
        return internal_err!(
            "a {join_type} join would share its build side between {tasks} tasks"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::record_batch::RecordBatch;
    use datafusion::common::JoinType;
    use datafusion::dataframe::{DataFrame, DataFrameWriteOptions};
    use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext, col, lit};

    use super::super::{CutOptions, cut};

    fn context(partitions: usize) -> SessionContext {
        SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions))
    }

    /// Writes a table of so many files.
    async fn write(folder: &Path, name: &str, rows: i64, files: usize) {
        for file in 0..files {
            let path = folder.join(name).join(format!("{file}.parquet"));
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
            let batch = RecordBatch::try_from_iter([("k", Arc::clone(&numbers)), ("v", numbers)]);
            let rows = context(1).read_batch(batch.unwrap()).unwrap();
            let options = DataFrameWriteOptions::new();
            rows.write_parquet(path.to_str().unwrap(), options, None).await.unwrap();
        }
    }

    /// The number of stages of a join of `side` with a large table of 12 files.
    async fn stages(
        folder: &Path,
        side: &str,
        change: impl FnOnce(DataFrame) -> DataFrame,
        tasks: usize,
    ) -> usize {
        let context = context(tasks);
        let table = async |name: &str| {
            let path = folder.join(name);
            let options = ParquetReadOptions::default();
            context.read_parquet(path.to_str().unwrap(), options).await.unwrap()
        };
        let side = change(table(side).await);
        let side = side.select(vec![col("k").alias("n"), col("v").alias("w")]).unwrap();
        let joined = side.join(table("many").await, JoinType::Inner, &["n"], &["k"], None).unwrap();
        let joined = joined.select(vec![col("w"), col("v")]).unwrap();
        let plan = joined.create_physical_plan().await.unwrap();
        let options = CutOptions::of(&context.state());
        cut(plan, &AtomicU64::new(0), options).unwrap().stages.len()
    }

    #[tokio::test]
    async fn a_small_file_is_read_by_each_task_and_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, "few", 20, 1).await;
        write(folder, "several", 20, 2).await;
        write(folder, "many", 10_000, 12).await;
        assert_eq!(stages(folder, "few", |rows| rows, 4).await, 1);
        let filtered = |rows: DataFrame| rows.filter(col("v").gt(lit(9))).unwrap();
        assert_eq!(stages(folder, "few", filtered, 2).await, 1);
        // Two files are read at one time, and twelve tasks are too many.
        assert_eq!(stages(folder, "several", |rows| rows, 4).await, 2);
        assert_eq!(stages(folder, "few", |rows| rows, 12).await, 2);
        // Each task could take other rows.
        let some = |rows: DataFrame| rows.limit(0, Some(5)).unwrap();
        assert_eq!(stages(folder, "few", some, 4).await, 2);
    }
}
