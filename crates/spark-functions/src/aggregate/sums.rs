//! SUM and AVG over decimals and intervals, in 128 bits, so that only the answer can overflow. SUM over BIGINT runs in
//! 64 bits, see [`longs`].

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, ArrowPrimitiveType, AsArray as _, BooleanArray, Decimal128Array,
    Int64Array, PrimitiveArray,
};
use arrow::datatypes::{
    DataType as Arrow, Decimal128Type, DurationMicrosecondType, FieldRef, Int64Type, IntervalUnit,
    IntervalYearMonthType,
};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::accumulate;
use spark_sql_parser::error::SparkError;

use super::{AggregateDefinition, longs};
use crate::decimal;
use crate::errors;
use crate::udf::{Mode, Params, fail};

pub(super) const DEFINITIONS: &[AggregateDefinition] = &[
    AggregateDefinition {
        name: "sum",
        nullable: true,
        state,
        accumulator: |params, inputs| single(params, inputs, Goal::Sum),
        groups: Some(|params, inputs| grouped(params, inputs, Goal::Sum)),
    },
    AggregateDefinition {
        name: "avg",
        nullable: true,
        state,
        accumulator: |params, inputs| single(params, inputs, Goal::Average),
        groups: Some(|params, inputs| grouped(params, inputs, Goal::Average)),
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Sum,
    Average,
}

fn state(params: &Params, inputs: &[FieldRef]) -> Vec<Arrow> {
    if longs::apply(params, inputs) {
        return vec![Arrow::Int64];
    }
    let scale = inputs.first().map_or(0, |field| scale_of(field.data_type()));
    vec![Arrow::Decimal128(38, scale), Arrow::Int64]
}

fn scale_of(data_type: &Arrow) -> i8 {
    match data_type {
        Arrow::Decimal128(_, scale) => *scale,
        _ => 0,
    }
}

/// How totals become answers.
#[derive(Debug, Clone)]
struct Rules {
    goal: Goal,
    params: Params,
    input_scale: i8,
}

impl Rules {
    fn new(params: &Params, inputs: &[FieldRef], goal: Goal) -> Self {
        let input_scale = inputs.first().map_or(0, |field| scale_of(field.data_type()));
        Self { goal, params: params.clone(), input_scale }
    }

    /// The answer as an unscaled number; `None` is NULL.
    fn answer(&self, total: Option<i128>, count: i64) -> Result<Option<i128>> {
        if count == 0 {
            return Ok(None);
        }
        let value = total.and_then(|total| match self.goal {
            Goal::Sum => Some(total),
            Goal::Average => {
                let shift = i32::from(scale_of(&self.params.result)) - i32::from(self.input_scale);
                decimal::divide(total, i128::from(count), shift)
            }
        });
        let fitting = value.filter(|value| match &self.params.result {
            Arrow::Decimal128(precision, _) => decimal::fits(*value, *precision),
            Arrow::Interval(_) => i32::try_from(*value).is_ok(),
            _ => i64::try_from(*value).is_ok(),
        });
        match (fitting, self.params.mode) {
            (Some(value), _) => Ok(Some(value)),
            (None, Mode::Ansi) => fail(self.overflow(value)),
            (None, Mode::Legacy) if self.params.result == Arrow::Int64 => {
                Ok(value.map(|value| i128::from(value as i64)))
            }
            (None, _) => Ok(None),
        }
    }

    fn overflow(&self, value: Option<i128>) -> SparkError {
        let hint = if self.goal == Goal::Sum { "try_sum" } else { "try_avg" };
        match &self.params.result {
            Arrow::Decimal128(precision, scale) => match value {
                Some(value) => errors::decimal_out_of_range(
                    &decimal::text(value, i32::from(*scale)),
                    *precision,
                    *scale,
                ),
                None => errors::arithmetic_overflow("Overflow in sum of decimals", hint),
            },
            Arrow::Int64 => errors::arithmetic_overflow("long overflow", hint),
            _ => errors::interval_overflow(hint),
        }
    }

    fn column(&self, values: impl Iterator<Item = Option<i128>>) -> ArrayRef {
        fn narrow<T: ArrowPrimitiveType>(
            values: impl Iterator<Item = Option<i128>>,
            to: &Arrow,
            convert: impl Fn(i128) -> T::Native,
        ) -> ArrayRef {
            let column: PrimitiveArray<T> = values.map(|value| value.map(&convert)).collect();
            Arc::new(column.with_data_type(to.clone()))
        }
        let to = &self.params.result;
        match to {
            Arrow::Decimal128(..) => narrow::<Decimal128Type>(values, to, |value| value),
            Arrow::Interval(_) => narrow::<IntervalYearMonthType>(values, to, |value| value as i32),
            Arrow::Duration(_) => {
                narrow::<DurationMicrosecondType>(values, to, |value| value as i64)
            }
            _ => narrow::<Int64Type>(values, to, |value| value as i64),
        }
    }
}

/// Values that sum in 128 bits.
trait Addend: ArrowPrimitiveType {
    fn widen(value: Self::Native) -> i128;
}

impl Addend for Decimal128Type {
    fn widen(value: i128) -> i128 {
        value
    }
}

impl Addend for Int64Type {
    fn widen(value: i64) -> i128 {
        i128::from(value)
    }
}

impl Addend for DurationMicrosecondType {
    fn widen(value: i64) -> i128 {
        i128::from(value)
    }
}

impl Addend for IntervalYearMonthType {
    fn widen(value: i32) -> i128 {
        i128::from(value)
    }
}

/// Runs `$each` over the non-null values of a column as 128-bit numbers.
macro_rules! for_values {
    ($array:expr, $t:ident => $body:expr) => {
        match $array.data_type() {
            Arrow::Decimal128(..) => {
                type $t = Decimal128Type;
                $body
            }
            Arrow::Int64 => {
                type $t = Int64Type;
                $body
            }
            Arrow::Duration(_) => {
                type $t = DurationMicrosecondType;
                $body
            }
            Arrow::Interval(IntervalUnit::YearMonth) => {
                type $t = IntervalYearMonthType;
                $body
            }
            other => internal_err!("no sum of {other}"),
        }
    };
}

fn single(params: &Params, inputs: &[FieldRef], goal: Goal) -> Result<Box<dyn Accumulator>> {
    if longs::apply(params, inputs) {
        return Ok(Box::new(longs::Total::new(params.mode)));
    }
    Ok(Box::new(Total { rules: Rules::new(params, inputs, goal), total: Some(0), count: 0 }))
}

fn grouped(params: &Params, inputs: &[FieldRef], goal: Goal) -> Result<Box<dyn GroupsAccumulator>> {
    if longs::apply(params, inputs) {
        return Ok(longs::totals(params.mode));
    }
    Ok(Box::new(Totals {
        rules: Rules::new(params, inputs, goal),
        totals: vec![],
        counts: vec![],
        overflowed: vec![],
    }))
}

/// The running total of one group. A total beyond 128 bits is `None` for good.
#[derive(Debug)]
struct Total {
    rules: Rules,
    total: Option<i128>,
    count: i64,
}

impl Total {
    fn fold(&mut self, values: &ArrayRef, sign: i128) -> Result<()> {
        let mut total = self.total;
        let mut count = 0_i64;
        for_values!(values, T => {
            for value in values.as_primitive::<T>().iter().flatten() {
                total = total.and_then(|total| total.checked_add(sign * T::widen(value)));
                count += 1;
            }
            Ok(())
        })?;
        self.total = total;
        self.count += i64::try_from(sign).unwrap_or(1) * count;
        Ok(())
    }
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.fold(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.fold(&values[0], -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let answer = self.rules.answer(self.total, self.count)?;
        ScalarValue::try_from_array(&self.rules.column(std::iter::once(answer)), 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::Decimal128(self.total, 38, self.rules.input_scale),
            ScalarValue::Int64(Some(self.count)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let totals = states[0].as_primitive::<Decimal128Type>();
        let counts = states[1].as_primitive::<Int64Type>();
        for (total, count) in totals.iter().zip(counts.iter()) {
            let count = count.unwrap_or(0);
            if count != 0 {
                self.total = match (self.total, total) {
                    (Some(a), Some(b)) => a.checked_add(b),
                    _ => None,
                };
                self.count += count;
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The running totals of many groups.
#[derive(Debug)]
struct Totals {
    rules: Rules,
    totals: Vec<i128>,
    counts: Vec<i64>,
    /// Groups whose total left 128 bits; almost always empty.
    overflowed: Vec<usize>,
}

impl Totals {
    fn total(&self, group: usize, total: i128) -> Option<i128> {
        (!self.overflowed.contains(&group)).then_some(total)
    }

    fn grow(&mut self, groups: usize) {
        self.totals.resize(groups, 0);
        self.counts.resize(groups, 0);
    }

    /// Takes what is to be emitted; later groups move to the front.
    fn take(&mut self, emit_to: EmitTo) -> Vec<(Option<i128>, i64)> {
        let totals = emit_to.take_needed(&mut self.totals);
        let counts = emit_to.take_needed(&mut self.counts);
        let taken = totals
            .into_iter()
            .zip(counts)
            .enumerate()
            .map(|(group, (total, count))| (self.total(group, total), count))
            .collect();
        self.overflowed = match emit_to {
            EmitTo::All => vec![],
            EmitTo::First(n) => {
                self.overflowed.iter().filter_map(|group| group.checked_sub(n)).collect()
            }
        };
        taken
    }
}

impl GroupsAccumulator for Totals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let Self { totals, counts, overflowed, .. } = self;
        for_values!(values[0], T => {
            accumulate(group_indices, values[0].as_primitive::<T>(), opt_filter, |group, value| {
                let (total, bad) = totals[group].overflowing_add(T::widen(value));
                totals[group] = total;
                counts[group] += 1;
                if bad {
                    overflowed.push(group);
                }
            });
            Ok(())
        })
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let totals = values[0].as_primitive::<Decimal128Type>();
        let counts = values[1].as_primitive::<Int64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            let count = if counts.is_null(row) { 0 } else { counts.value(row) };
            if count == 0 {
                continue;
            }
            self.counts[*group] += count;
            if totals.is_null(row) {
                self.overflowed.push(*group);
                continue;
            }
            match self.totals[*group].checked_add(totals.value(row)) {
                Some(total) => self.totals[*group] = total,
                None => self.overflowed.push(*group),
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let answers = self
            .take(emit_to)
            .into_iter()
            .map(|(total, count)| self.rules.answer(total, count))
            .collect::<Result<Vec<_>>>()?;
        Ok(self.rules.column(answers.into_iter()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (totals, counts): (Vec<_>, Vec<_>) = self.take(emit_to).into_iter().unzip();
        state_columns(totals.into_iter().collect(), counts.into(), self.rules.input_scale)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let kept =
            |row: usize| opt_filter.is_none_or(|filter| !filter.is_null(row) && filter.value(row));
        let (totals, counts): (Vec<i128>, Vec<i64>) = for_values!(values[0], T => {
            let column = values[0].as_primitive::<T>();
            Ok((0..column.len())
                .map(|row| {
                    if column.is_null(row) || !kept(row) {
                        (0, 0)
                    } else {
                        (T::widen(column.value(row)), 1)
                    }
                })
                .unzip())
        })?;
        state_columns(Decimal128Array::from(totals), counts.into(), self.rules.input_scale)
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<i64>()
    }
}

fn state_columns(totals: Decimal128Array, counts: Int64Array, scale: i8) -> Result<Vec<ArrayRef>> {
    let totals = totals.with_data_type(Arrow::Decimal128(38, scale));
    Ok(vec![Arc::new(totals), Arc::new(counts)])
}
