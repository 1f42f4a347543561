//! Aggregates that need all their values at the end: lists, sets, percentiles, modes.

use std::collections::HashMap;
use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Float64Array, ListArray, new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat, filter};
use arrow::datatypes::{DataType as Arrow, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;

use super::{AggregateDefinition, Create};
use crate::lists::{Keys, same_form};
use crate::udf::Params;

pub(super) const DEFINITIONS: &[AggregateDefinition] = &[
    gathering("collect_list", false, |p, i| gather(p, i, collect_list)),
    gathering("collect_set", false, |p, i| gather(p, i, collect_set)),
    gathering("percentile", true, |p, i| gather(p, i, percentile)),
    gathering("percentile_disc", true, |p, i| gather(p, i, percentile_disc)),
    gathering("percentile_approx", true, |p, i| gather(p, i, percentile_approx)),
    gathering("mode", true, |p, i| gather(p, i, mode)),
    gathering("listagg", true, |p, i| gather(p, i, listagg)),
];

const fn gathering(
    name: &'static str,
    nullable: bool,
    accumulator: Create<dyn Accumulator>,
) -> AggregateDefinition {
    AggregateDefinition { name, nullable, state, accumulator, groups: None }
}

fn list_type(item: &Arrow) -> Arrow {
    Arrow::List(Arc::new(Field::new("element", item.clone(), true)))
}

fn state(_params: &Params, inputs: &[FieldRef]) -> Vec<Arrow> {
    inputs.iter().map(|field| list_type(field.data_type())).collect()
}

/// From all values of the arguments (rows whose first argument is NULL left out) to the answer.
type Finish = fn(&Params, &[ArrayRef]) -> Result<ScalarValue>;

fn gather(params: &Params, inputs: &[FieldRef], finish: Finish) -> Result<Box<dyn Accumulator>> {
    let types: Vec<Arrow> = inputs.iter().map(|field| field.data_type().clone()).collect();
    Ok(Box::new(Gather {
        params: params.clone(),
        columns: types.iter().map(|_| vec![]).collect(),
        types,
        finish,
    }))
}

#[derive(Debug)]
struct Gather {
    params: Params,
    types: Vec<Arrow>,
    columns: Vec<Vec<ArrayRef>>,
    finish: Finish,
}

impl Gather {
    fn joined(&self) -> Result<Vec<ArrayRef>> {
        self.columns
            .iter()
            .zip(&self.types)
            .map(|(parts, data_type)| {
                if parts.is_empty() {
                    return Ok(new_empty_array(data_type));
                }
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                Ok(concat(&parts)?)
            })
            .collect()
    }
}

impl Accumulator for Gather {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(first) = values.first() else { return Ok(()) };
        let present = match first.logical_nulls() {
            Some(nulls) if nulls.null_count() > 0 => {
                Some(BooleanArray::new(nulls.inner().clone(), None))
            }
            _ => None,
        };
        for (column, values) in self.columns.iter_mut().zip(values) {
            column.push(match &present {
                Some(present) => filter(values.as_ref(), present)?,
                None => Arc::clone(values),
            });
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (column, lists) in self.columns.iter_mut().zip(states) {
            let lists = lists.as_list::<i32>();
            for row in 0..lists.len() {
                if !lists.is_null(row) && !lists.value(row).is_empty() {
                    column.push(lists.value(row));
                }
            }
        }
        Ok(())
    }

    /// Rows leave a moving window in the order in which they came.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(first) = values.first() else { return Ok(()) };
        let gone = first.len() - first.logical_null_count();
        for (index, column) in self.joined()?.into_iter().enumerate() {
            let gone = gone.min(column.len());
            self.columns[index] = vec![column.slice(gone, column.len() - gone)];
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.joined()?.into_iter().map(|items| one_list(items, true)).collect())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let columns = self.joined()?;
        (self.finish)(&self.params, &columns)
    }

    fn size(&self) -> usize {
        let held: usize =
            self.columns.iter().flatten().map(|array| array.get_array_memory_size()).sum();
        size_of_val(self) + held
    }
}

fn one_list(items: ArrayRef, nullable: bool) -> ScalarValue {
    let field = Arc::new(Field::new("element", items.data_type().clone(), nullable));
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    ScalarValue::List(Arc::new(ListArray::new(field, offsets, items, None)))
}

/// A list of the promised type.
fn promised_list(params: &Params, items: ArrayRef) -> Result<ScalarValue> {
    let Arrow::List(field) = &params.result else {
        return internal_err!("{} is no list", params.result);
    };
    let items = same_form(items, field.data_type())?;
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(Arc::clone(field), offsets, items, None)?)))
}

fn collect_list(params: &Params, columns: &[ArrayRef]) -> Result<ScalarValue> {
    promised_list(params, Arc::clone(&columns[0]))
}

fn collect_set(params: &Params, columns: &[ArrayRef]) -> Result<ScalarValue> {
    let items = &columns[0];
    let keys = Keys::new(&[items])?;
    let mut seen = std::collections::HashSet::new();
    let first: BooleanArray =
        (0..items.len()).map(|index| Some(seen.insert(keys.get(index)))).collect();
    promised_list(params, filter(items.as_ref(), &first)?)
}

/// The percentages asked for: one number, or a list of them.
fn percentages(column: &ArrayRef) -> Result<Option<Vec<f64>>> {
    if column.is_empty() {
        return Ok(None);
    }
    let numbers = |array: &ArrayRef| -> Result<Vec<f64>> {
        let array = arrow::compute::cast(array, &Arrow::Float64)?;
        Ok(array.as_primitive::<Float64Type>().values().to_vec())
    };
    Ok(Some(match column.data_type() {
        Arrow::List(_) => numbers(&column.as_list::<i32>().value(0))?,
        _ => numbers(&column.slice(0, 1))?,
    }))
}

/// Puts one answer per percentage into the promised form: a value, or a list of values.
fn spread(params: &Params, answers: ArrayRef) -> Result<ScalarValue> {
    match &params.result {
        Arrow::List(_) => promised_list(params, answers),
        other => ScalarValue::try_from_array(&same_form(answers, other)?, 0),
    }
}

fn percentile(params: &Params, columns: &[ArrayRef]) -> Result<ScalarValue> {
    let Some(wanted) = percentages(&columns[1])? else {
        return ScalarValue::try_from(&params.result);
    };
    let values = columns[0].as_primitive::<Float64Type>();
    let frequencies: Vec<i64> = match columns.get(2) {
        Some(column) => column.as_primitive::<Int64Type>().values().to_vec(),
        None => vec![1; values.len()],
    };
    let mut pairs: Vec<(f64, i64)> =
        values.values().iter().copied().zip(frequencies).filter(|(_, n)| *n > 0).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: i64 = pairs.iter().map(|(_, n)| n).sum();
    if total == 0 {
        return ScalarValue::try_from(&params.result);
    }
    // The value whose turn comes at a place, counting repetitions.
    let at = |place: i64| {
        let mut seen = 0;
        pairs
            .iter()
            .find(|(_, n)| {
                seen += n;
                seen > place
            })
            .map_or(f64::NAN, |(value, _)| *value)
    };
    let answers: Vec<f64> = wanted
        .iter()
        .map(|p| {
            let position = (total - 1) as f64 * p;
            let (lower, higher) = (position.floor(), position.ceil());
            let (low, high) = (at(lower as i64), at(higher as i64));
            if lower == higher || low == high {
                low
            } else {
                (higher - position) * low + (position - lower) * high
            }
        })
        .collect();
    spread(params, Arc::new(Float64Array::from(answers)))
}

/// Positions of the values in ascending order.
fn sorted(values: &ArrayRef) -> Result<Vec<usize>> {
    let keys = Keys::new(&[values])?;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| keys.get(*a).cmp(keys.get(*b)));
    Ok(order)
}

/// The value at rank ceil(p · n), which is what Spark's sketch answers while it holds all values.
fn ranked(
    params: &Params,
    columns: &[ArrayRef],
    rank: fn(f64, usize) -> usize,
) -> Result<ScalarValue> {
    let values = &columns[0];
    let (Some(wanted), false) = (percentages(&columns[1])?, values.is_empty()) else {
        return ScalarValue::try_from(&params.result);
    };
    let order = sorted(values)?;
    let indices: arrow::array::UInt32Array = wanted
        .iter()
        .map(|p| u32::try_from(order[rank(*p, order.len()).min(order.len() - 1)]).ok())
        .collect();
    spread(params, arrow::compute::take(values.as_ref(), &indices, None)?)
}

fn percentile_approx(params: &Params, columns: &[ArrayRef]) -> Result<ScalarValue> {
    ranked(params, columns, |p, n| ((p * n as f64).ceil() as usize).saturating_sub(1))
}

fn percentile_disc(params: &Params, columns: &[ArrayRef]) -> Result<ScalarValue> {
    ranked(params, columns, |p, n| ((p * n as f64).ceil() as usize).saturating_sub(1))
}

fn mode(params: &Params, columns: &[ArrayRef]) -> Result<ScalarValue> {
    let values = &columns[0];
    if values.is_empty() {
        return ScalarValue::try_from(&params.result);
    }
    let keys = Keys::new(&[values])?;
    let mut counts: HashMap<&[u8], (usize, usize)> = HashMap::new();
    for index in 0..values.len() {
        counts.entry(keys.get(index)).or_insert((0, index)).0 += 1;
    }
    // Of equally frequent values the smallest, so that the answer does not depend on partitions.
    let best = counts
        .iter()
        .max_by(|(a, (n, _)), (b, (m, _))| n.cmp(m).then_with(|| b.cmp(a)))
        .map_or(0, |(_, (_, index))| *index);
    ScalarValue::try_from_array(values, best)
}

fn listagg(params: &Params, columns: &[ArrayRef]) -> Result<ScalarValue> {
    let values = columns[0].as_string::<i32>();
    if values.is_empty() {
        return ScalarValue::try_from(&params.result);
    }
    let separator = match columns.get(1).map(|column| column.as_string::<i32>()) {
        Some(texts) if !texts.is_null(0) => texts.value(0).to_owned(),
        _ => String::new(),
    };
    let parts: Vec<&str> = values.iter().flatten().collect();
    Ok(ScalarValue::Utf8(Some(parts.join(&separator))))
}
