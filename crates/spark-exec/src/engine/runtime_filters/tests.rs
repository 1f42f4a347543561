use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::NullEquality;
use datafusion::logical_expr::JoinType::{self, *};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use super::super::adaptive::MapStageOutput;
use super::super::broadcasts::{Expectations, FilterLimit, bytes_below};
use super::{filterable, inject};
use crate::nodes::{ReadMode, ShuffleReaderExec, ShuffleWriteExec};
use crate::stages::Stage;

type Plan = Arc<dyn ExecutionPlan>;

/// Columns `k` and `v`.
fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(["k", "v"].map(|name| Field::new(name, DataType::Int64, true)).to_vec()))
}

fn reader(shuffle: u64) -> Plan {
    let equivalences = EquivalenceProperties::new(schema());
    let partitioning = Partitioning::Hash(vec![Arc::new(Column::new("k", 0))], 4);
    Arc::new(ShuffleReaderExec::new(shuffle, ReadMode::Reduce, equivalences, partitioning))
}

/// A join by the columns of these indices.
fn join(kind: JoinType, mode: PartitionMode, sides: [Plan; 2], keys: [usize; 2]) -> Plan {
    let [left, right] = sides;
    let column = |side: &Plan, index: usize| {
        Arc::new(Column::new(side.schema().field(index).name(), index)) as _
    };
    let on = vec![(column(&left, keys[0]), column(&right, keys[1]))];
    let nulls = NullEquality::NullEqualsNothing;
    let join = HashJoinExec::try_new(left, right, on, None, &kind, None, mode, nulls, false);
    Arc::new(join.unwrap())
}

fn shuffled(kind: JoinType, left: Plan, right: Plan) -> Plan {
    join(kind, PartitionMode::Partitioned, [left, right], [0, 0])
}

/// Whose keys filter whose rows in a plan where the rows of some shuffles are filtered.
fn pairs(plan: &Plan, selective: &[u64]) -> Vec<(u64, u64)> {
    let found = filterable(plan, &selective.iter().copied().collect());
    found.into_iter().map(|filter| (filter.keys_of, filter.rows_of)).collect()
}

#[test]
fn each_side_is_filtered_whose_unmatched_rows_leave_no_trace() {
    for (kind, left, right) in [
        (Inner, true, true),
        (Left, false, true),
        (Right, true, false),
        (Full, false, false),
        (LeftSemi, true, true),
        (LeftAnti, false, true),
        (LeftMark, false, true),
        (RightSemi, true, true),
        (RightAnti, true, false),
        (RightMark, true, false),
    ] {
        let plan = shuffled(kind, reader(1), reader(2));
        assert_eq!(pairs(&plan, &[2]), if left { vec![(2, 1)] } else { vec![] }, "{kind}");
        assert_eq!(pairs(&plan, &[1]), if right { vec![(1, 2)] } else { vec![] }, "{kind}");
        assert_eq!(pairs(&plan, &[]), [], "{kind}");
    }
}

#[test]
fn keys_come_from_below_joins_that_add_none() {
    // As in query 21 of TPC-H: a broadcast join, a semi and an anti join above that of 1 and 2.
    let small = reader(9);
    let below = shuffled(Inner, reader(1), reader(2));
    let broadcast = join(Inner, PartitionMode::CollectLeft, [small, below], [0, 3]);
    // Column 4 is the key of 2.
    let semi = join(LeftSemi, PartitionMode::Partitioned, [broadcast, reader(3)], [4, 0]);
    let plan = join(RightAnti, PartitionMode::Partitioned, [reader(4), semi], [0, 4]);
    assert_eq!(pairs(&plan, &[2]), [(2, 1), (2, 3), (2, 4)]);
    // Of a full or a left join a key may be a null that no row of 2 has.
    for (kind, traced) in [(Left, false), (Full, false), (Right, true)] {
        let outer = shuffled(kind, reader(1), reader(2));
        let plan = join(LeftSemi, PartitionMode::Partitioned, [outer, reader(3)], [2, 0]);
        assert_eq!(pairs(&plan, &[2]).contains(&(2, 3)), traced, "{kind}");
    }
}

fn stage(id: u64, plan: Plan, shuffle: Option<u64>, parents: &[u64]) -> Stage {
    let partitions = 4;
    Stage { id, plan, shuffle, partitions, parents: parents.to_vec(), indeterminate: false }
}

fn writing(id: u64, input: Plan, shuffle: u64, parents: &[u64]) -> Stage {
    let routing = Partitioning::Hash(vec![Arc::new(Column::new("k", 0))], 4);
    stage(id, Arc::new(ShuffleWriteExec::new(input, shuffle, routing)), Some(shuffle), parents)
}

/// Shuffle 1 is filtered and finished with so many bytes; answers the stage that writes the left side of its join.
fn left_side(bytes: u64, readers: usize) -> Stage {
    let empty: Plan = Arc::new(EmptyExec::new(schema()));
    let filter: Plan = Arc::new(FilterExec::try_new(lit(true), Arc::clone(&empty)).unwrap());
    let mut stages = vec![writing(10, filter, 1, &[]), writing(11, empty, 2, &[])];
    for reader_stage in 0..readers as u64 {
        let plan = shuffled(Inner, reader(2), reader(1));
        stages.push(stage(12 + reader_stage, plan, None, &[1, 2]));
    }
    let expected = Expectations::of(&stages);
    let mut waiting = stages.split_off(1);
    let output =
        MapStageOutput { bytes: vec![bytes], maps: vec![vec![bytes].into()], keys: vec![] };
    let limit = FilterLimit { bytes: 1 << 20, at_most: 1 << 20 };
    inject(&mut waiting, &HashMap::from([(1, output)]), &expected, Some(limit)).unwrap();
    // Once is enough.
    inject(&mut waiting, &HashMap::new(), &expected, Some(limit)).unwrap();
    waiting.swap_remove(0)
}

#[test]
fn the_left_side_keeps_rows_that_have_a_key_of_the_right() {
    let stage = left_side(1 << 10, 1);
    assert_eq!(stage.parents, [1]);
    let write = stage.plan.downcast_ref::<ShuffleWriteExec>().unwrap();
    let join = write.input().downcast_ref::<HashJoinExec>().unwrap();
    assert_eq!(*join.join_type(), RightSemi);
    assert_eq!(*join.partition_mode(), PartitionMode::CollectLeft);
    assert_eq!(join.schema(), schema());
    // Only the key is kept in memory.
    assert_eq!(join.left().schema().fields().len(), 1);
    assert_eq!(join.left().properties().output_partitioning().partition_count(), 1);
}

#[test]
fn too_many_bytes_or_another_reader_filter_nothing() {
    for (bytes, readers) in [(8 << 20, 1), (1 << 10, 2)] {
        let stage = left_side(bytes, readers);
        assert!(stage.parents.is_empty());
        let write = stage.plan.downcast_ref::<ShuffleWriteExec>().unwrap();
        assert!(write.input().is::<EmptyExec>());
    }
}

#[test]
fn a_side_may_be_larger_than_its_keys_unless_the_user_says_how_large() {
    let unset = FilterLimit { bytes: 10 << 20, at_most: 64 << 20 };
    assert!(unset.allows(10 << 20, 1.0, 0));
    assert!(!unset.allows(20 << 20, 1.0, 0));
    assert!(unset.allows(20 << 20, 0.5, 0));
    assert!(!unset.allows(100 << 20, 0.01, 0));
    let set = FilterLimit { bytes: 10 << 20, at_most: 10 << 20 };
    assert!(!set.allows(20 << 20, 0.1, 0));
}

#[test]
fn a_join_with_filtered_rows_is_expected_to_leave_some_out() {
    let known = HashMap::from([(1, 50), (2, 800)]);
    let bytes = |kind, left: Plan, selective: &[u64]| {
        let plan = join(kind, PartitionMode::CollectLeft, [left, reader(2)], [0, 0]);
        bytes_below(&plan, &known, &selective.iter().copied().collect::<HashSet<_>>())
    };
    assert_eq!(bytes(Inner, reader(1), &[]), 850);
    assert_eq!(bytes(Inner, reader(1), &[1]), 100);
    let filter: Plan = Arc::new(FilterExec::try_new(lit(true), reader(1)).unwrap());
    assert_eq!(bytes(RightSemi, Arc::clone(&filter), &[]), 100);
    assert_eq!(bytes(RightAnti, Arc::clone(&filter), &[]), 850);
    assert_eq!(bytes(Right, filter, &[]), 850);
}
