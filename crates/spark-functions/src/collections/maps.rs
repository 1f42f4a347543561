//! Maps.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, MapArray, StringArray, StructArray,
    UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::DataType as Arrow;
use datafusion::common::internal_err;
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::{DataType, Field, Schema};

use super::{Built, array_of, element, nullable};
use crate::cast::implicit;
use crate::errors;
use crate::lists::{Keys, Lists, joined, same_form};
use crate::regexes::Cache;
use crate::signature::{Call, Function, Out, Ty, f};
use crate::udf::{Args, Definition, fail};

fn keys_type(types: &[DataType]) -> DataType {
    match types.first() {
        Some(DataType::Map { key, .. }) => array_of(*key.clone(), false),
        _ => DataType::Null,
    }
}

fn values_type(types: &[DataType]) -> DataType {
    match types.first() {
        Some(DataType::Map { value, value_contains_null, .. }) => {
            array_of(*value.clone(), *value_contains_null)
        }
        _ => DataType::Null,
    }
}

fn entries_type(types: &[DataType]) -> DataType {
    match types.first() {
        Some(DataType::Map { key, value, value_contains_null }) => {
            let field = |name: &str, data_type: &DataType, nullable| Field {
                name: name.to_owned(),
                data_type: data_type.clone(),
                nullable,
                metadata: None,
            };
            let fields =
                vec![field("key", key, false), field("value", value, *value_contains_null)];
            array_of(DataType::Struct(Schema { fields }), false)
        }
        _ => DataType::Null,
    }
}

fn text_map(_types: &[DataType]) -> DataType {
    map_of(DataType::String, DataType::String, true)
}

fn map_of(key: DataType, value: DataType, value_contains_null: bool) -> DataType {
    DataType::Map { key: Box::new(key), value: Box::new(value), value_contains_null }
}

pub(super) const FUNCTIONS: &[Function] = &[
    f("map_keys", &[Ty::Map], Out::Of(keys_type)),
    f("map_values", &[Ty::Map], Out::Of(values_type)),
    f("map_entries", &[Ty::Map], Out::Of(entries_type)),
    f("str_to_map", &[Ty::Str, Ty::Str, Ty::Str], Out::Of(text_map)).optional(2),
];

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::never_null("map", map).failing(),
    Definition::strict("map_keys", |args| {
        let array = args.array(0)?;
        part(args, &array, Arc::clone(array.as_map().keys()))
    }),
    Definition::strict("map_values", |args| {
        let array = args.array(0)?;
        part(args, &array, Arc::clone(array.as_map().values()))
    }),
    Definition::strict("map_entries", |args| {
        let array = args.array(0)?;
        part(args, &array, Arc::new(array.as_map().entries().clone()))
    }),
    Definition::strict("map_from_arrays", map_from_arrays).failing(),
    Definition::nullable("map_from_entries", map_from_entries).failing(),
    Definition::strict("map_concat", map_concat).failing(),
    Definition::strict("map_contains_key", map_contains_key),
    Definition::strict("str_to_map", str_to_map).failing(),
];

pub(super) fn build(call: &Call) -> Built {
    match call.name {
        "map" => {
            if call.len() % 2 == 1 {
                return Err(errors::wrong_num_args("map", "2n (n > 0)", call.len()));
            }
            let pick = |first: usize| -> Vec<usize> { (first..call.len()).step_by(2).collect() };
            let common = |indices: &[usize]| {
                let types: Vec<DataType> = indices.iter().map(|i| call.types[*i].clone()).collect();
                match types.is_empty() {
                    true => Some(DataType::Null),
                    false => crate::widen(&types),
                }
            };
            let (keys, values) = (pick(0), pick(1));
            let (Some(key), Some(value)) = (common(&keys), common(&values)) else {
                return Err(errors::mismatch(
                    "CREATE_MAP_KEY_DIFF_TYPES",
                    &call.sql(),
                    "The given keys of function `map` should all be the same type.",
                ));
            };
            let mut args = vec![];
            for index in 0..call.len() {
                let to = if index % 2 == 0 { &key } else { &value };
                args.push(implicit(call.args[index].clone(), to, call.ctx)?);
            }
            let nulls = values.iter().any(|index| nullable(call, *index));
            call.ours("map", args, &map_of(key, value, nulls)).map(Some)
        }
        "map_from_arrays" => {
            call.arity(2, 2)?;
            let ((key, _), (value, nulls)) = (element(call, 0)?, element(call, 1)?);
            call.ours("map_from_arrays", call.args.clone(), &map_of(key, value, nulls)).map(Some)
        }
        "map_from_entries" => {
            call.arity(1, 1)?;
            match element(call, 0)?.0 {
                DataType::Struct(schema) if schema.fields.len() == 2 => {
                    let (key, value) = (&schema.fields[0], &schema.fields[1]);
                    let out =
                        map_of(key.data_type.clone(), value.data_type.clone(), value.nullable);
                    call.ours("map_from_entries", call.args.clone(), &out).map(Some)
                }
                _ => Err(call.wrong_type(0, "ARRAY OF PAIR STRUCT")),
            }
        }
        "map_concat" => {
            let Some(out) = crate::widen(&call.types) else {
                return Err(call.wrong_type(0, "MAP"));
            };
            let args: Result<Vec<Expr>, SparkError> =
                call.args.iter().map(|a| implicit(a.clone(), &out, call.ctx)).collect();
            call.ours("map_concat", args?, &out).map(Some)
        }
        "map_contains_key" => {
            call.arity(2, 2)?;
            let DataType::Map { key, .. } = &call.types[0] else {
                return Err(call.wrong_type(0, "MAP"));
            };
            let args = vec![call.args[0].clone(), call.coerced(1, key)?];
            call.ours("map_contains_key", args, &DataType::Boolean).map(Some)
        }
        _ => Ok(None),
    }
}

type Result<T, E = datafusion::error::DataFusionError> = std::result::Result<T, E>;

/// Keys, values or entries of a map column as a column of lists.
fn part(args: &Args, array: &ArrayRef, items: ArrayRef) -> Result<ArrayRef> {
    let Arrow::List(field) = &args.params.result else {
        return internal_err!("{} is no list", args.params.result);
    };
    let map = array.as_map();
    Ok(Arc::new(arrow::array::ListArray::try_new(
        Arc::clone(field),
        map.offsets().clone(),
        same_form(items, field.data_type())?,
        map.nulls().cloned(),
    )?))
}

/// A map column from its entries' keys and values, checked for NULL and equal keys.
pub(crate) fn build_map(
    result: &Arrow,
    keys: ArrayRef,
    values: ArrayRef,
    ends: Vec<i32>,
    valid: &[bool],
) -> Result<ArrayRef> {
    let Arrow::Map(field, ordered) = result else { return internal_err!("{result} is no map") };
    let Arrow::Struct(fields) = field.data_type() else {
        return internal_err!("{} is no struct", field.data_type());
    };
    if keys.logical_null_count() > 0 {
        return fail(errors::null_map_key());
    }
    let keys = same_form(keys, fields[0].data_type())?;
    let values = same_form(values, fields[1].data_type())?;
    if keys.data_type() != &Arrow::Null {
        let comparable = Keys::new(&[&keys])?;
        let mut start = 0;
        for end in &ends {
            let end = usize::try_from(*end).unwrap_or(0);
            let mut seen = HashSet::new();
            for index in start..end {
                if !seen.insert(comparable.get(index)) {
                    let shown = crate::cast::text_column(
                        &keys.slice(index, 1),
                        crate::cast::Options {
                            mode: crate::udf::Mode::Ansi,
                            zone: crate::time::Zone::Fixed(0),
                        },
                    )?;
                    return fail(errors::duplicated_map_key(shown.as_string::<i32>().value(0)));
                }
            }
            start = end;
        }
    }
    let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    let mut offsets = vec![0];
    offsets.extend(ends);
    let nulls = valid.contains(&false).then(|| NullBuffer::from(valid.to_vec()));
    Ok(Arc::new(MapArray::try_new(
        Arc::clone(field),
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        entries,
        nulls,
        *ordered,
    )?))
}

fn map(args: &Args) -> Result<ArrayRef> {
    let pairs = args.len() / 2;
    let ends = (1..=args.rows).map(|row| i32::try_from(row * pairs).unwrap_or(i32::MAX)).collect();
    let column = |first: usize| -> Result<ArrayRef> {
        if pairs == 0 {
            return Ok(arrow::array::new_empty_array(&Arrow::Null));
        }
        let columns =
            (0..pairs).map(|pair| args.array(pair * 2 + first)).collect::<Result<Vec<_>>>()?;
        let parts: Vec<&dyn arrow::array::Array> = columns.iter().map(AsRef::as_ref).collect();
        let indices: Vec<(usize, usize)> =
            (0..args.rows).flat_map(|row| (0..pairs).map(move |pair| (pair, row))).collect();
        Ok(interleave(&parts, &indices)?)
    };
    build_map(&args.params.result, column(0)?, column(1)?, ends, &vec![true; args.rows])
}

fn map_from_arrays(args: &Args) -> Result<ArrayRef> {
    let (keys, values) = (Lists::new(&args.array(0)?)?, Lists::new(&args.array(1)?)?);
    let (mut key_at, mut value_at): (Vec<u32>, Vec<u32>) = (vec![], vec![]);
    let (mut ends, mut valid) = (vec![], vec![]);
    for row in 0..args.rows {
        let whole = !keys.is_null(row) && !values.is_null(row);
        if whole {
            if keys.range(row).len() != values.range(row).len() {
                return fail(SparkError::new(
                    spark_sql_parser::error::ErrorKind::Runtime,
                    "MAP_KEY_VALUE_DIFF_SIZES",
                    "22023",
                    "The key array and value array of MapData must have the same length.",
                ));
            }
            key_at.extend(keys.range(row).map(|i| i as u32));
            value_at.extend(values.range(row).map(|i| i as u32));
        }
        ends.push(i32::try_from(key_at.len()).unwrap_or(i32::MAX));
        valid.push(whole);
    }
    let keys = take(keys.values().as_ref(), &UInt32Array::from(key_at), None)?;
    let values = take(values.values().as_ref(), &UInt32Array::from(value_at), None)?;
    build_map(&args.params.result, keys, values, ends, &valid)
}

fn map_from_entries(args: &Args) -> Result<ArrayRef> {
    let entries = Lists::new(&args.array(0)?)?;
    let structs = entries.values().as_struct();
    let mut at: Vec<u32> = vec![];
    let (mut ends, mut valid) = (vec![], vec![]);
    for row in 0..args.rows {
        let whole =
            !entries.is_null(row) && !entries.range(row).any(|index| structs.is_null(index));
        if whole {
            at.extend(entries.range(row).map(|i| i as u32));
        }
        ends.push(i32::try_from(at.len()).unwrap_or(i32::MAX));
        valid.push(whole);
    }
    let at = UInt32Array::from(at);
    let keys = take(structs.column(0).as_ref(), &at, None)?;
    let values = take(structs.column(1).as_ref(), &at, None)?;
    build_map(&args.params.result, keys, values, ends, &valid)
}

fn map_concat(args: &Args) -> Result<ArrayRef> {
    let arrays = (0..args.len())
        .map(|index| same_form(args.array(index)?, &args.params.result))
        .collect::<Result<Vec<_>>>()?;
    let maps: Vec<&MapArray> = arrays.iter().map(|array| array.as_map()).collect();
    let keys: Vec<&ArrayRef> = maps.iter().map(|map| map.keys()).collect();
    let values: Vec<&ArrayRef> = maps.iter().map(|map| map.values()).collect();
    let (keys, values) = (joined(&keys, &Arrow::Null)?, joined(&values, &Arrow::Null)?);
    let mut at: Vec<u32> = vec![];
    let (mut ends, mut valid) = (vec![], vec![]);
    for row in 0..args.rows {
        let whole = !maps.iter().any(|map| map.is_null(row));
        if whole {
            let mut offset = 0;
            for map in &maps {
                let range = map.value_offsets()[row]..map.value_offsets()[row + 1];
                at.extend(range.map(|i| offset + i as u32));
                offset += map.keys().len() as u32;
            }
        }
        ends.push(i32::try_from(at.len()).unwrap_or(i32::MAX));
        valid.push(whole);
    }
    let at = UInt32Array::from(at);
    let keys = take(keys.as_ref(), &at, None)?;
    let values = take(values.as_ref(), &at, None)?;
    build_map(&args.params.result, keys, values, ends, &valid)
}

fn map_contains_key(args: &Args) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let map = array.as_map();
    let wanted = same_form(args.array(1)?, map.keys().data_type())?;
    let keys = Keys::new(&[map.keys(), &wanted])?;
    let offset = map.keys().len();
    let flags: BooleanArray = (0..args.rows)
        .map(|row| {
            (!map.is_null(row) && !wanted.is_null(row)).then(|| {
                let range = map.value_offsets()[row]..map.value_offsets()[row + 1];
                range.into_iter().any(|i| keys.get(i as usize) == keys.get(offset + row))
            })
        })
        .collect();
    Ok(Arc::new(flags))
}

fn str_to_map(args: &Args) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let delimiter = |index: usize, default: &str| match args.len() > index {
        true => args.text(index),
        false => Ok(crate::udf::TextColumn::Same(Some(default.to_owned()))),
    };
    let (pair, entry) = (delimiter(1, ",")?, delimiter(2, ":")?);
    let (mut pairs, mut entries) = (Cache::default(), Cache::default());
    let mut keys: Vec<String> = vec![];
    let mut values: Vec<Option<String>> = vec![];
    let (mut ends, mut valid) = (vec![], vec![]);
    for row in 0..args.rows {
        let row_values = (text.get(row), pair.get(row), entry.get(row));
        if let (Some(text), Some(pair), Some(entry)) = row_values {
            let pairs = pairs.get(pair, "str_to_map").map_err(errors::external)?;
            let mut pieces = vec![];
            let mut last = 0;
            for groups in pairs.find_all(text, 0) {
                if let Some((start, end)) = groups.first().copied().flatten()
                    && end > start
                {
                    pieces.push(&text[last..start]);
                    last = end;
                }
            }
            pieces.push(&text[last..]);
            let entries = entries.get(entry, "str_to_map").map_err(errors::external)?;
            for piece in pieces {
                match entries.find_at(piece, 0).and_then(|groups| groups.first().copied()?) {
                    Some((start, end)) => {
                        keys.push(piece[..start].to_owned());
                        values.push(Some(piece[end..].to_owned()));
                    }
                    None => {
                        keys.push(piece.to_owned());
                        values.push(None);
                    }
                }
            }
            valid.push(true);
        } else {
            valid.push(false);
        }
        ends.push(i32::try_from(keys.len()).unwrap_or(i32::MAX));
    }
    let keys: ArrayRef = Arc::new(StringArray::from(keys));
    let values: ArrayRef = Arc::new(StringArray::from(values));
    build_map(&args.params.result, keys, values, ends, &valid)
}
