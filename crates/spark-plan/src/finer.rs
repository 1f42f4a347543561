//! Exchanges of a local plan in more parts than there are cores, so that the hash table of each part stays in the
//! processor's cache: a table of a million groups costs a miss of the memory for every row that looks something up in it.
//!
//! A *region* is what lies between hash exchanges and the topmost operator that relies on how they divide the rows: joins
//! and final aggregates, with what stands between them. All exchanges below a region get the same, larger number of
//! parts; [`GatherExec`] on top of it gives the old number back. Where all exchanges divide by one whole number whose
//! range is known and not sparse, the parts are ranges of it ([`KeyRange`]): hash joins then look into short dense
//! arrays instead of hash tables.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, Statistics, config::ConfigOptions};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, EmissionType, replace_children_if_necessary,
};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::{REPARTITION_RANDOM_STATE, RepartitionExec};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputOrderMode,
    Partitioning, PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::stream::select_all;

use crate::broadcast;

type Plan = Arc<dyn ExecutionPlan>;

/// More parts cost more in being kept apart than smaller tables give.
const MOST_PARTS: usize = 64;
/// Each part of an exchange gathers rows up to a batch; what all of them may take, in bytes.
const MOST_GATHERED: u64 = 64 << 20;
/// Rows for each possible key below which ranges would be as sparse as hash tables.
const LEAST_DENSITY: u128 = 10;
/// Ranges for each part: keys are not spread evenly to the last one.
const RANGES_PER_PART: usize = 4;
/// Keys of a part below which ranges are too few to be even.
const LEAST_KEYS: u128 = 1024;

/// Divides exchanges whose rows are many more than `rows` for each part; 0 leaves all as they are.
#[derive(Debug)]
pub(crate) struct FinerPartitions {
    pub(crate) rows: u64,
}

impl PhysicalOptimizerRule for FinerPartitions {
    fn optimize(&self, plan: Plan, config: &ConfigOptions) -> Result<Plan> {
        if self.rows == 0 {
            return Ok(plan);
        }
        let batch = config.execution.batch_size.get() as u64;
        let divider = Divider { rows: self.rows, batch, statistics: StatisticsContext::new() };
        divider.visit(&plan, false)
    }

    fn name(&self) -> &'static str {
        "spark_finer_partitions"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The rule at work on one plan, which outlives it: statistics are kept by where its nodes lie in memory.
struct Divider {
    rows: u64,
    /// Rows of a batch.
    batch: u64,
    statistics: StatisticsContext,
}

impl Divider {
    /// `relied`: an operator above, not above an exchange, relies on how this plan's rows are divided.
    fn visit(&self, plan: &Plan, relied: bool) -> Result<Plan> {
        if !relied && divides(plan) {
            let mut region = Region::default();
            if region.collect(plan, &self.statistics)
                && let Some(scheme) = self.scheme(&region)
            {
                let finer = self.rebuild(plan, &scheme)?;
                let old = plan.output_partitioning().partition_count();
                let unknown = Partitioning::UnknownPartitioning(old);
                return Ok(Arc::new(GatherExec::new(finer, unknown)));
            }
        }
        let below = match role(plan) {
            Role::Boundary => false,
            Role::Indifferent => relied,
            Role::Reliant => true,
        };
        with_children(plan, |input| self.visit(input, below))
    }

    /// The region again, its exchanges divided by `scheme`, and what lies below them looked through in turn.
    fn rebuild(&self, plan: &Plan, scheme: &Scheme) -> Result<Plan> {
        if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
            let input = self.visit(exchange.input(), false)?;
            let Partitioning::Hash(keys, _) = exchange.partitioning() else {
                return datafusion::common::internal_err!("an exchange of a region hashes no keys");
            };
            let by_keys = Partitioning::Hash(keys.clone(), scheme.parts);
            let Some(ranges) = &scheme.ranges else {
                return Ok(Arc::new(RepartitionExec::try_new(input, by_keys)?));
            };
            let by_ranges = Partitioning::Hash(vec![ranges.of(&keys[0])], scheme.parts);
            let finer = RepartitionExec::try_new(input, by_ranges)?;
            // Equal keys meet, which is all that the region wants of a hash exchange.
            return Ok(Arc::new(GatherExec::new(Arc::new(finer), by_keys)));
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>()
            && *join.partition_mode() == PartitionMode::CollectLeft
        {
            let left = self.visit(join.left(), false)?;
            let right = self.rebuild(join.right(), scheme)?;
            return replace_children_if_necessary(Arc::clone(plan), vec![left, right]);
        }
        with_children(plan, |input| self.rebuild(input, scheme))
    }

    /// How to divide a region's exchanges, if their rows are worth it.
    fn scheme(&self, region: &Region) -> Option<Scheme> {
        let first = region.exchanges.first()?;
        let old = first.parts;
        let same = region.exchanges.iter().all(|exchange| exchange.parts == old);
        if !same || old == 0 {
            return None;
        }
        let rows = region.exchanges.iter().filter_map(|exchange| exchange.rows).max()?;
        let width = region.exchanges.iter().map(|exchange| exchange.width).max()?;
        let gathered = self.batch.saturating_mul(width).max(1);
        let most = (MOST_GATHERED / gathered).min(MOST_PARTS as u64).min(rows / self.rows);
        let mut parts = old;
        while (parts * 2) as u64 <= most {
            parts *= 2;
        }
        (parts > old).then(|| Scheme { parts, ranges: region.ranges(parts, rows) })
    }
}

fn with_children(plan: &Plan, each: impl Fn(&Plan) -> Result<Plan>) -> Result<Plan> {
    let new = plan.children().into_iter().map(each).collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(Arc::clone(plan), new)
}

struct Scheme {
    parts: usize,
    ranges: Option<KeyRanges>,
}

/// What an operator makes of the way its input's rows are divided.
enum Role {
    /// Divides them anew, or makes one of all.
    Boundary,
    /// Handles each part for itself, in whatever way they are divided.
    Indifferent,
    Reliant,
}

fn role(plan: &Plan) -> Role {
    if plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>()
    {
        return Role::Boundary;
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return match aggregate.mode() {
            AggregateMode::Partial => Role::Indifferent,
            _ => Role::Reliant,
        };
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return match join.partition_mode() {
            // Its left input is one part, which relies on nothing below; to say so of both costs a chance and no more.
            PartitionMode::CollectLeft => Role::Indifferent,
            _ => Role::Reliant,
        };
    }
    let indifferent = plan.is::<ProjectionExec>()
        || plan.is::<FilterExec>()
        || plan.is::<SortExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<UnionExec>();
    if indifferent { Role::Indifferent } else { Role::Reliant }
}

/// Whether an operator may be the topmost of a region.
fn divides(plan: &Plan) -> bool {
    if plan.output_ordering().is_some() {
        return false;
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return *join.partition_mode() == PartitionMode::Partitioned;
    }
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| {
        use AggregateMode::{FinalPartitioned, SinglePartitioned};
        matches!(aggregate.mode(), FinalPartitioned | SinglePartitioned)
    })
}

/// The exchanges below a region.
#[derive(Default)]
struct Region {
    exchanges: Vec<Exchange>,
}

struct Exchange {
    parts: usize,
    /// Rows, where they can be estimated.
    rows: Option<u64>,
    /// Bytes of a row.
    width: u64,
    /// Whether it divides by one whole number of this type.
    key: Option<DataType>,
    /// Least and greatest value of the key.
    bounds: Option<(i64, i64)>,
}

impl Region {
    /// Whether all below `plan`, down to the exchanges, may work on other parts than now.
    fn collect(&mut self, plan: &Plan, statistics: &StatisticsContext) -> bool {
        if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
            let Partitioning::Hash(keys, parts) = exchange.partitioning() else { return false };
            if exchange.preserve_order() {
                return false;
            }
            self.exchanges.push(Exchange::new(exchange.input(), keys, *parts, statistics));
            return true;
        }
        if varies_with_rows(plan) {
            return false;
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            return match join.partition_mode() {
                PartitionMode::Partitioned => {
                    !join.null_aware
                        && self.collect(join.left(), statistics)
                        && self.collect(join.right(), statistics)
                }
                PartitionMode::CollectLeft => self.collect(join.right(), statistics),
                PartitionMode::Auto => false,
            };
        }
        if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
            let whole = matches!(aggregate.mode(), AggregateMode::Final | AggregateMode::Single);
            let unordered = *aggregate.input_order_mode() == InputOrderMode::Linear;
            return !whole && unordered && self.collect(aggregate.input(), statistics);
        }
        if let Some(project) = plan.downcast_ref::<ProjectionExec>() {
            return self.collect(project.input(), statistics);
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            return filter.fetch().is_none() && self.collect(filter.input(), statistics);
        }
        false
    }

    /// Ranges of the key that all exchanges divide by.
    fn ranges(&self, parts: usize, rows: u64) -> Option<KeyRanges> {
        let key = self.exchanges.first()?.key.as_ref()?;
        if self.exchanges.iter().any(|exchange| exchange.key.as_ref() != Some(key)) {
            return None;
        }
        let bounds = || self.exchanges.iter().filter_map(|exchange| exchange.bounds);
        let least = bounds().map(|(least, _)| least).min()?;
        let greatest = bounds().map(|(_, greatest)| greatest).max()?;
        let keys = u128::from(greatest.abs_diff(least)) + 1;
        let dense = u128::from(rows) * LEAST_DENSITY >= keys;
        let many = keys / parts as u128 >= LEAST_KEYS;
        (dense && many).then(|| KeyRanges::new(least, greatest, parts)).flatten()
    }
}

/// Whether an expression of an operator answers differently for the same row.
fn varies_with_rows(plan: &Plan) -> bool {
    let mut varies = false;
    let looked = plan.apply_expressions(&mut |expr| {
        varies |= is_volatile(expr);
        Ok(TreeNodeRecursion::Continue)
    });
    varies || looked.is_err()
}

impl Exchange {
    fn new(
        input: &Plan,
        keys: &[Arc<dyn PhysicalExpr>],
        parts: usize,
        statistics: &StatisticsContext,
    ) -> Self {
        let statistics = statistics.compute(input.as_ref(), &StatisticsArgs::new()).ok();
        let statistics = statistics.as_deref();
        let rows = statistics.and_then(|known| known.num_rows.get_value()).map(|rows| *rows as u64);
        let schema = input.schema();
        let (mut key, mut bounds) = (None, None);
        if let [only] = keys
            && let Ok(kind) = only.data_type(&schema)
            && kind.is_signed_integer()
        {
            key = Some(kind);
            bounds = only
                .downcast_ref::<Column>()
                .and_then(|column| statistics?.column_statistics.get(column.index()))
                .and_then(|known| {
                    let whole = |value: &ScalarValue| match value.cast_to(&DataType::Int64) {
                        Ok(ScalarValue::Int64(value)) => value,
                        _ => None,
                    };
                    let least = whole(known.min_value.get_value()?)?;
                    let greatest = whole(known.max_value.get_value()?)?;
                    (least <= greatest).then_some((least, greatest))
                });
        }
        Self { parts, rows, width: broadcast::width(&schema), key, bounds }
    }
}

/// Ranges of whole numbers, neighbours in the same part of a hash exchange or in the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct KeyRanges {
    least: i64,
    /// A range has two to the power of this many keys.
    shift: u32,
    /// For each range the number whose hash leads an exchange to the part of the range.
    codes: Arc<[u32]>,
}

impl KeyRanges {
    /// `None` if the numbers that lead to the parts cannot be found.
    fn new(least: i64, greatest: i64, parts: usize) -> Option<Self> {
        let leading = leading_numbers(parts)?;
        let last = greatest.abs_diff(least);
        let most = (parts * RANGES_PER_PART) as u64;
        let shift = (0..u64::BITS).find(|shift| last >> shift < most)?;
        let ranges = usize::try_from(last >> shift).ok()? + 1;
        let codes = (0..ranges).map(|range| leading[range * parts / ranges]).collect();
        Some(Self { least, shift, codes })
    }

    fn of(&self, key: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        Arc::new(KeyRange { key: Arc::clone(key), ranges: self.clone() })
    }

    /// Keys outside of what statistics promised belong to the first or the last range.
    fn code(&self, key: i64) -> u32 {
        let distance = key.saturating_sub(self.least).max(0).unsigned_abs();
        let range = (distance >> self.shift).min(self.codes.len() as u64 - 1);
        self.codes[range as usize]
    }
}

/// For each of `parts` a number that a hash exchange sends there.
fn leading_numbers(parts: usize) -> Option<Vec<u32>> {
    let numbers = UInt32Array::from_iter_values(0..u32::try_from(parts * 64).ok()?);
    let mut hashes = vec![0; numbers.len()];
    let state = REPARTITION_RANDOM_STATE;
    create_hashes([&numbers as &dyn Array], state.random_state(), &mut hashes).ok()?;
    let mut leading = vec![None; parts];
    for (number, hash) in numbers.values().iter().zip(hashes) {
        let part = usize::try_from(hash % parts as u64).ok()?;
        leading[part].get_or_insert(*number);
    }
    leading.into_iter().collect()
}

/// The code of the range that a key is in; null has the first range's.
#[derive(Debug, Clone)]
struct KeyRange {
    key: Arc<dyn PhysicalExpr>,
    ranges: KeyRanges,
}

impl PartialEq for KeyRange {
    fn eq(&self, other: &Self) -> bool {
        self.key.as_ref() == other.key.as_ref() && self.ranges == other.ranges
    }
}

impl Eq for KeyRange {}

impl Hash for KeyRange {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
        self.ranges.hash(state);
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key_range({})", self.key)
    }
}

impl PhysicalExpr for KeyRange {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(DataType::UInt32)
    }

    fn nullable(&self, _schema: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let keys = self.key.evaluate(batch)?.into_array(batch.num_rows())?;
        let keys = cast(&keys, &DataType::Int64)?;
        let keys = keys.as_primitive::<Int64Type>();
        let codes: UInt32Array = if keys.null_count() == 0 {
            keys.values().iter().map(|key| self.ranges.code(*key)).collect()
        } else {
            let of_null = self.ranges.codes[0];
            keys.iter().map(|key| key.map_or(of_null, |key| self.ranges.code(key))).collect()
        };
        Ok(ColumnarValue::Array(Arc::new(codes)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.key]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(key) => Ok(self.ranges.of(&key)),
            None => datafusion::common::internal_err!("a range of keys lost its key"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key_range(")?;
        self.key.fmt_sql(f)?;
        write!(f, ")")
    }
}

/// Output `i` of `n` reads the input parts `i`, `i + n`, `i + 2n`, … side by side, so that rows that a hash exchange of a
/// multiple of `n` parts divided are again where one of `n` would have led them. With as many outputs as inputs it only
/// says how the rows are divided.
#[derive(Debug)]
pub(crate) struct GatherExec {
    input: Plan,
    properties: Arc<PlanProperties>,
}

impl GatherExec {
    fn new(input: Plan, partitioning: Partitioning) -> Self {
        let schema = input.schema();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            partitioning,
            EmissionType::Incremental,
            input.boundedness(),
        );
        Self { input, properties: Arc::new(properties) }
    }

    fn parts(&self) -> usize {
        self.properties.output_partitioning().partition_count()
    }
}

impl DisplayAs for GatherExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.input.output_partitioning().partition_count();
        write!(f, "GatherExec: {from} into {}", self.properties.output_partitioning())
    }
}

impl ExecutionPlan for GatherExec {
    fn name(&self) -> &'static str {
        "GatherExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Plan>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Plan> {
        match children.pop() {
            Some(input) => {
                Ok(Arc::new(Self::new(input, self.properties.output_partitioning().clone())))
            }
            None => datafusion::common::internal_err!("GatherExec lost its input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Plan>) -> Result<Plan> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let inputs = self.input.output_partitioning().partition_count();
        if inputs == self.parts() {
            return self.input.execute(partition, context);
        }
        let streams = (partition..inputs)
            .step_by(self.parts())
            .map(|index| self.input.execute(index, Arc::clone(&context)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), select_all(streams))))
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match inputs.first() {
            Some(statistics) if args.partition().is_none() => Ok(Arc::clone(statistics)),
            _ => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, Int64Array};
    use arrow::datatypes::Field;
    use datafusion::physical_plan::metrics::Time;
    use datafusion::physical_plan::repartition::BatchPartitioner;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_share_a_part() {
        let ranges = KeyRanges::new(-1000, 99_000, 16).unwrap();
        let key: Arc<dyn PhysicalExpr> = Arc::new(Column::new("k", 0));
        let keys: ArrayRef = Arc::new(Int32Array::from_iter_values(-1000..=99_000));
        let batch = RecordBatch::try_from_iter([("k", keys)]).unwrap();
        let mut partitioner =
            BatchPartitioner::new_hash_partitioner(vec![ranges.of(&key)], 16, Time::new()).unwrap();
        let mut next = -1000;
        let mut parts = 0;
        partitioner
            .partition(batch, |part, rows| {
                assert_eq!(part, parts);
                parts += 1;
                let keys = rows.column(0).as_primitive::<arrow::datatypes::Int32Type>();
                assert!((4000..=9000).contains(&keys.len()), "{} keys in part {part}", keys.len());
                for key in keys.values() {
                    assert_eq!(*key, next);
                    next += 1;
                }
                Ok(())
            })
            .unwrap();
        assert_eq!((parts, next), (16, 99_001));
    }

    proptest! {
        /// Any key has a range, in the order of keys, whatever the statistics said.
        #[test]
        fn every_key_has_a_part(
            bounds in any::<(i64, i64)>(),
            keys in any::<(i64, i64)>(),
            power in 1_u32..7,
        ) {
            let parts = 1 << power;
            let (least, greatest) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
            let ranges = KeyRanges::new(least, greatest, parts).unwrap();
            prop_assert!(ranges.codes.len() <= parts * RANGES_PER_PART);
            let leading = leading_numbers(parts).unwrap();
            let part = |key| leading.iter().position(|code| *code == ranges.code(key));
            let (low, high) = (keys.0.min(keys.1), keys.0.max(keys.1));
            prop_assert!(part(low).is_some() && part(low) <= part(high));
            prop_assert_eq!(part(i64::MIN), Some(0));
            prop_assert_eq!(part(greatest), part(i64::MAX));
        }
    }

    #[test]
    fn null_goes_with_the_first_range() {
        let ranges = KeyRanges::new(0, 1 << 20, 4).unwrap();
        let key: Arc<dyn PhysicalExpr> = Arc::new(Column::new("k", 0));
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(0), Some(1 << 20)]));
        let batch = RecordBatch::try_new(schema, vec![keys]).unwrap();
        let codes = ranges.of(&key).evaluate(&batch).unwrap().into_array(3).unwrap();
        let codes = codes.as_primitive::<arrow::datatypes::UInt32Type>();
        assert_eq!(codes.null_count(), 0);
        assert_eq!(codes.value(0), codes.value(1));
        assert_ne!(codes.value(0), codes.value(2));
    }
}
