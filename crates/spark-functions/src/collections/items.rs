//! Single elements of arrays and maps.

use arrow::array::{Array as _, ArrayRef, AsArray as _, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use datafusion::common::Result;
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::cast::implicit;
use crate::errors;
use crate::lists::{Keys, Lists, same_form};
use crate::signature::Call;
use crate::types::to_arrow;
use crate::udf::{Args, Definition, Mode, Params, fail, ours};

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::nullable("array_item", |args| array_item(args, false)).failing(),
    Definition::nullable("element_at", |args| array_item(args, true)).failing(),
    Definition::nullable("map_item", map_item),
];

pub(super) fn element_at(call: &Call) -> std::result::Result<Expr, SparkError> {
    call.arity(2, 2)?;
    match &call.types[0] {
        DataType::Map { key, value, .. } => {
            let args = vec![call.args[0].clone(), call.coerced(1, key)?];
            ours("map_item", args, Params::new(to_arrow(value)))
        }
        DataType::Array { element, .. } => {
            let index = call.coerced(1, &DataType::Integer)?;
            let index = implicit(index, &DataType::Long, call.ctx)?;
            let mode = if call.name == "try_element_at" { Mode::Try } else { call.ctx.mode() };
            let params = Params::new(to_arrow(element)).mode(mode);
            ours("element_at", vec![call.args[0].clone(), index], params)
        }
        _ => Err(call.wrong_type(0, "\"ARRAY\" or \"MAP\"")),
    }
}

/// `array[index]` from 0, or `element_at` from 1 and backwards from −1.
fn array_item(args: &Args, from_one: bool) -> Result<ArrayRef> {
    let lists = Lists::new(&args.array(0)?)?;
    let index = args.numbers::<Int64Type>(1)?;
    let mut indices = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let (false, Some(index)) = (lists.is_null(row), index.get(row)) else {
            indices.push(None);
            continue;
        };
        let range = lists.range(row);
        let size = range.len();
        let at = if !from_one {
            usize::try_from(index).ok()
        } else if index == 0 {
            return fail(errors::index_of_zero());
        } else if index > 0 {
            usize::try_from(index - 1).ok()
        } else {
            usize::try_from(index.unsigned_abs()).ok().and_then(|back| size.checked_sub(back))
        };
        match at.filter(|at| *at < size) {
            Some(at) => indices.push(u32::try_from(range.start + at).ok()),
            None if args.ansi() => {
                return fail(if from_one {
                    errors::invalid_element_index(index, size)
                } else {
                    errors::invalid_array_index(index, size)
                });
            }
            None => indices.push(None),
        }
    }
    let items = take(lists.values().as_ref(), &UInt32Array::from(indices), None)?;
    same_form(items, &args.params.result)
}

fn map_item(args: &Args) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let map = array.as_map();
    let wanted = same_form(args.array(1)?, map.keys().data_type())?;
    let keys = Keys::new(&[map.keys(), &wanted])?;
    let offset = map.keys().len();
    let indices: UInt32Array = (0..args.rows)
        .map(|row| {
            if map.is_null(row) || wanted.is_null(row) {
                return None;
            }
            let (from, to) = (map.value_offsets()[row], map.value_offsets()[row + 1]);
            let found = (from..to)
                .find(|i| usize::try_from(*i).is_ok_and(|i| keys.get(i) == keys.get(offset + row)));
            found.and_then(|i| u32::try_from(i).ok())
        })
        .collect();
    same_form(take(map.values().as_ref(), &indices, None)?, &args.params.result)
}
