//! SUM over BIGINT in 64 bits, as Spark's `Sum` has it: under ANSI a running total that leaves them is an error, else it
//! wraps. A group costs eight bytes and a bit, and rows that are not worth adding up pass through as they are.

use std::mem::size_of_val;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, Int64Array};
use arrow::compute;
use arrow::datatypes::{DataType as Arrow, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

use crate::errors;
use crate::udf::{Mode, Params, fail};

/// Whether a sum is one of these. `try_sum` is not: it answers NULL only if the whole sum does not fit.
pub(super) fn apply(params: &Params, inputs: &[FieldRef]) -> bool {
    params.mode != Mode::Try
        && params.result == Arrow::Int64
        && inputs.first().is_some_and(|field| *field.data_type() == Arrow::Int64)
}

fn overflow<T>() -> Result<T> {
    fail(errors::arithmetic_overflow("long overflow", "try_sum"))
}

/// The running total of all rows, or of the rows of a window's frame.
#[derive(Debug)]
pub(super) struct Total {
    mode: Mode,
    /// Of the non-null values; wide, as values that leave a frame may bring it back.
    total: i128,
    count: i64,
}

impl Total {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, total: 0, count: 0 }
    }

    fn answer(&self) -> Result<ScalarValue> {
        if self.count == 0 {
            return Ok(ScalarValue::Int64(None));
        }
        match i64::try_from(self.total) {
            Ok(total) => Ok(ScalarValue::Int64(Some(total))),
            Err(_) if self.mode == Mode::Ansi => overflow(),
            // The low bits are what wrapping all along would have left.
            Err(_) => Ok(ScalarValue::Int64(Some(self.total as i64))),
        }
    }
}

/// The sum of a batch: in 64 bits if it fits them, which it nearly always does.
fn batch_total(values: &Int64Array) -> i128 {
    match compute::sum_checked(values) {
        Ok(total) => i128::from(total.unwrap_or(0)),
        Err(_) => values.iter().flatten().map(i128::from).sum(),
    }
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Int64Type>();
        self.total += batch_total(values);
        self.count += (values.len() - values.null_count()) as i64;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Int64Type>();
        self.total -= batch_total(values);
        self.count -= (values.len() - values.null_count()) as i64;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.answer()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.answer()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The running totals of many groups.
pub(super) fn totals(mode: Mode) -> Box<dyn GroupsAccumulator> {
    if mode != Mode::Ansi {
        let add = |total: &mut i64, value: i64| *total = total.wrapping_add(value);
        let inner = PrimitiveGroupsAccumulator::<Int64Type, _>::new(&Arrow::Int64, add);
        return Box::new(Totals { inner, overflowed: Arc::default() });
    }
    let overflowed = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&overflowed);
    let add = move |total: &mut i64, value: i64| {
        let (sum, bad) = total.overflowing_add(value);
        *total = sum;
        if bad {
            told.store(true, Ordering::Relaxed);
        }
    };
    let inner = PrimitiveGroupsAccumulator::<Int64Type, _>::new(&Arrow::Int64, add);
    Box::new(Totals { inner, overflowed })
}

struct Totals<F: Fn(&mut i64, i64) + Send + Sync + 'static> {
    inner: PrimitiveGroupsAccumulator<Int64Type, F>,
    /// Set by an addition that may not wrap.
    overflowed: Arc<AtomicBool>,
}

impl<F: Fn(&mut i64, i64) + Send + Sync + 'static> Totals<F> {
    fn checked(&self) -> Result<()> {
        if self.overflowed.load(Ordering::Relaxed) { overflow() } else { Ok(()) }
    }
}

impl<F: Fn(&mut i64, i64) + Send + Sync + 'static> GroupsAccumulator for Totals<F> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.update_batch(values, group_indices, opt_filter, total_num_groups)?;
        self.checked()
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)?;
        self.checked()
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.inner.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        match opt_filter {
            None => Ok(vec![Arc::clone(&values[0])]),
            Some(_) => self.inner.convert_to_state(values, opt_filter),
        }
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn groups_are_added_up_and_empty_ones_are_null() {
        let mut totals = totals(Mode::Ansi);
        let values = column(&[Some(1), None, Some(3), Some(4)]);
        totals.update_batch(&[values], &[0, 1, 0, 2], None, 3).unwrap();
        let state = totals.state(EmitTo::All).unwrap();
        totals.merge_batch(&state, &[0, 1, 1], 2).unwrap();
        let answer = totals.evaluate(EmitTo::All).unwrap();
        assert_eq!(answer.as_primitive::<Int64Type>(), &Int64Array::from(vec![4, 4]));
    }

    #[test]
    fn an_overflow_is_an_error_or_wraps() {
        let values = column(&[Some(i64::MAX), Some(1)]);
        let error = totals(Mode::Ansi).update_batch(&[Arc::clone(&values)], &[0, 0], None, 1);
        assert!(error.unwrap_err().to_string().contains("ARITHMETIC_OVERFLOW"));
        let mut wrapping = totals(Mode::Legacy);
        wrapping.update_batch(&[Arc::clone(&values)], &[0, 0], None, 1).unwrap();
        let answer = wrapping.evaluate(EmitTo::All).unwrap();
        assert_eq!(answer.as_primitive::<Int64Type>().value(0), i64::MIN);

        let mut total = Total::new(Mode::Ansi);
        total.update_batch(&[Arc::clone(&values)]).unwrap();
        assert!(total.evaluate().unwrap_err().to_string().contains("ARITHMETIC_OVERFLOW"));
        total.retract_batch(&[column(&[Some(1)])]).unwrap();
        assert_eq!(total.evaluate().unwrap(), ScalarValue::Int64(Some(i64::MAX)));
        let mut total = Total::new(Mode::Legacy);
        total.update_batch(&[values]).unwrap();
        assert_eq!(total.evaluate().unwrap(), ScalarValue::Int64(Some(i64::MIN)));
    }

    #[test]
    fn rows_pass_through_as_states() {
        let totals = totals(Mode::Ansi);
        let values = column(&[Some(1), None, Some(3)]);
        let state = totals.convert_to_state(&[Arc::clone(&values)], None).unwrap();
        assert_eq!(&state[0], &values);
        let kept = BooleanArray::from(vec![Some(true), Some(true), None]);
        let state = totals.convert_to_state(&[values], Some(&kept)).unwrap();
        assert_eq!(&state[0], &column(&[Some(1), None, None]));
    }
}
