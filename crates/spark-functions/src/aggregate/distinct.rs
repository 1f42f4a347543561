//! DISTINCT inside one of our aggregates: the distinct rows of arguments travel as the state.

use std::collections::HashSet;
use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::{DataType as Arrow, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

/// Types of the state: one list per argument.
pub(super) fn state(inputs: &[FieldRef]) -> Vec<Arrow> {
    inputs
        .iter()
        .map(|field| Arrow::List(Arc::new(Field::new("element", field.data_type().clone(), true))))
        .collect()
}

#[derive(Debug)]
pub(super) struct Distinct {
    types: Vec<Arrow>,
    seen: HashSet<Vec<ScalarValue>>,
    inner: Box<dyn Accumulator>,
}

impl Distinct {
    pub(super) fn new(inputs: &[FieldRef], inner: Box<dyn Accumulator>) -> Self {
        let types = inputs.iter().map(|field| field.data_type().clone()).collect();
        Self { types, seen: HashSet::new(), inner }
    }

    fn sorted_rows(&self) -> Vec<&Vec<ScalarValue>> {
        let mut rows: Vec<&Vec<ScalarValue>> = self.seen.iter().collect();
        rows.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        rows
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[0].len() {
            if !values[0].is_null(row) {
                let row = values
                    .iter()
                    .map(|column| ScalarValue::try_from_array(column, row))
                    .collect::<Result<_>>()?;
                self.seen.insert(row);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let columns: Vec<ArrayRef> =
                states.iter().map(|lists| lists.as_list::<i32>().value(row)).collect();
            self.update_batch(&columns)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let rows = self.sorted_rows();
        Ok(self
            .types
            .iter()
            .enumerate()
            .map(|(index, data_type)| {
                let values: Vec<ScalarValue> = rows.iter().map(|row| row[index].clone()).collect();
                let field = Arc::new(Field::new("element", data_type.clone(), true));
                ScalarValue::List(renamed(
                    ScalarValue::new_list_nullable(&values, data_type),
                    field,
                ))
            })
            .collect())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if !self.seen.is_empty() {
            let rows = self.sorted_rows();
            let columns = (0..self.types.len())
                .map(|index| ScalarValue::iter_to_array(rows.iter().map(|row| row[index].clone())))
                .collect::<Result<Vec<_>>>()?;
            self.inner.update_batch(&columns)?;
        }
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        let rows: usize = self.seen.iter().flatten().map(ScalarValue::size).sum();
        size_of_val(self) + rows + self.inner.size()
    }
}

/// The same list with its items under another field.
fn renamed(list: Arc<arrow::array::ListArray>, field: FieldRef) -> Arc<arrow::array::ListArray> {
    let (_, offsets, values, nulls) = list.as_ref().clone().into_parts();
    Arc::new(arrow::array::ListArray::new(field, offsets, values, nulls))
}
