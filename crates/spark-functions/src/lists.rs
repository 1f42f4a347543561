//! Working with list columns: taking rows apart and putting lists together by indices into their values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array, new_empty_array};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType as Arrow, FieldRef};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Result, internal_err};

/// A list argument: its values and where each row's lie.
pub(crate) struct Lists {
    pub array: ListArray,
}

impl Lists {
    pub(crate) fn new(array: &ArrayRef) -> Result<Self> {
        match array.as_list_opt::<i32>() {
            Some(list) => Ok(Self { array: list.clone() }),
            None => internal_err!("{} is no list", array.data_type()),
        }
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }

    /// Positions of the row's items within the values.
    pub(crate) fn range(&self, row: usize) -> std::ops::Range<usize> {
        let offsets = self.array.value_offsets();
        let at = |index: usize| usize::try_from(offsets[index]).unwrap_or(0);
        at(row)..at(row + 1)
    }

    pub(crate) fn values(&self) -> &ArrayRef {
        self.array.values()
    }
}

/// Comparable bytes of every value: equal bytes for equal values, with one NaN and one zero; ordered with NULL first.
pub(crate) struct Keys {
    rows: Rows,
}

impl Keys {
    /// Keys of several columns of the same type, one after the other.
    pub(crate) fn new(columns: &[&ArrayRef]) -> Result<Self> {
        let plain: Vec<ArrayRef> = columns.iter().map(|column| normalized(column)).collect();
        let Some(first) = plain.first() else { return internal_err!("no column to compare") };
        let converter = RowConverter::new(vec![SortField::new(first.data_type().clone())])?;
        let mut rows = converter.empty_rows(0, 0);
        for column in &plain {
            converter.append(&mut rows, &[Arc::clone(column)])?;
        }
        Ok(Self { rows })
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        self.rows.row(index).data()
    }
}

fn normalized(column: &ArrayRef) -> ArrayRef {
    use arrow::datatypes::{Float32Type, Float64Type};
    match column.data_type() {
        Arrow::Float64 => {
            let floats = column.as_primitive::<Float64Type>();
            Arc::new(
                floats.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
            )
        }
        Arrow::Float32 => {
            let floats = column.as_primitive::<Float32Type>();
            Arc::new(
                floats.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
            )
        }
        _ => Arc::clone(column),
    }
}

/// Puts lists together from indices into some values.
#[derive(Default)]
pub(crate) struct Builder {
    indices: Vec<Option<u32>>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl Builder {
    /// Adds the value at a position to the list being built.
    pub(crate) fn push(&mut self, index: usize) {
        self.indices.push(u32::try_from(index).ok());
    }

    /// Adds a NULL to the list being built.
    pub(crate) fn push_null(&mut self) {
        self.indices.push(None);
    }

    /// Ends the list being built.
    pub(crate) fn finish_row(&mut self) {
        self.end(true);
    }

    /// A NULL instead of a list.
    pub(crate) fn null_row(&mut self) {
        self.end(false);
    }

    fn end(&mut self, valid: bool) {
        self.offsets.push(i32::try_from(self.indices.len()).unwrap_or(i32::MAX));
        self.valid.push(valid);
    }

    /// The column of lists, of a result type that must be a list.
    pub(crate) fn build(self, values: &ArrayRef, result: &Arrow) -> Result<ArrayRef> {
        let Arrow::List(field) = result else { return internal_err!("{result} is no list") };
        let indices = UInt32Array::from(self.indices);
        let items = take(values.as_ref(), &indices, None)?;
        list(field, self.offsets, items, &self.valid)
    }
}

/// A list column from the ends of its lists.
pub(crate) fn list(
    field: &FieldRef,
    ends: Vec<i32>,
    items: ArrayRef,
    valid: &[bool],
) -> Result<ArrayRef> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.extend(ends);
    let nulls = valid.contains(&false).then(|| NullBuffer::from(valid.to_vec()));
    let items = same_form(items, field.data_type())?;
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(field),
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        items,
        nulls,
    )?))
}

/// Brings nested fields' names and nullability to the promised ones.
pub(crate) fn same_form(array: ArrayRef, to: &Arrow) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array);
    }
    let options =
        crate::cast::Options { mode: crate::udf::Mode::Ansi, zone: crate::time::Zone::Fixed(0) };
    crate::cast::convert(&array, to, options)
}

/// Several columns end to end; empty input gives an empty column of the type.
pub(crate) fn joined(columns: &[&ArrayRef], empty: &Arrow) -> Result<ArrayRef> {
    if columns.is_empty() {
        return Ok(new_empty_array(empty));
    }
    let parts: Vec<&dyn Array> = columns.iter().map(|column| column.as_ref()).collect();
    Ok(concat(&parts)?)
}
