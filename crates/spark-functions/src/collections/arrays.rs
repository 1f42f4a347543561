//! Arrays: building, searching, sorting, set operations.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array, StructArray, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType as Arrow, Int32Type};
use datafusion::common::{Result, internal_err};
use spark_sql_parser::error::{ErrorKind, SparkError};

use super::SAME;
use crate::errors;
use crate::kernels::{booleans, texts};
use crate::lists::{Builder, Keys, Lists, joined, list, same_form};
use crate::signature::{Function, Out, Ty, f};
use crate::udf::{Args, Definition, fail};

pub(super) const FUNCTIONS: &[Function] = &[
    f("size", &[Ty::Collection], Out::Int),
    f("cardinality", &[Ty::Collection], Out::Int).of("size"),
    f("array_size", &[Ty::Array], Out::Int).of("size"),
    f("array_distinct", &[Ty::Array], SAME),
    f("array_compact", &[Ty::Array], SAME),
    f("sort_array", &[Ty::Array, Ty::Bool], SAME).optional(1),
    f("array_sort", &[Ty::Array], SAME),
    f("slice", &[Ty::Array, Ty::Int, Ty::Int], SAME),
    f("shuffle", &[Ty::Array], SAME),
];

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::never_null("array", array),
    Definition::strict("size", size),
    Definition::strict("array_distinct", array_distinct),
    Definition::strict("array_compact", |args| {
        rebuild(args, |lists, row, out| {
            lists.range(row).filter(|i| !lists.values().is_null(*i)).for_each(|i| out.push(i));
            Ok(())
        })
    }),
    Definition::strict("sort_array", |args| sort(args, false)),
    Definition::strict("array_sort", |args| sort(args, true)),
    Definition::strict("slice", slice).failing(),
    Definition::strict("shuffle", |args| {
        args.with_random(|random| {
            rebuild(args, |lists, row, out| {
                let mut order: Vec<usize> = lists.range(row).collect();
                for at in (1..order.len()).rev() {
                    order.swap(at, (random.next_double() * (at + 1) as f64) as usize);
                }
                order.into_iter().for_each(|i| out.push(i));
                Ok(())
            })
        })
    })
    .volatile(),
    Definition::strict("array_reverse", |args| {
        rebuild(args, |lists, row, out| {
            lists.range(row).rev().for_each(|i| out.push(i));
            Ok(())
        })
    }),
    Definition::nullable("array_contains", array_contains),
    Definition::strict("array_position", array_position),
    Definition::strict("array_remove", array_remove),
    Definition::nullable("array_append", |args| extend(args, false)),
    Definition::nullable("array_prepend", |args| extend(args, true)),
    Definition::nullable("array_insert", array_insert).failing(),
    Definition::strict("array_union", |args| set(args, Set::Union)),
    Definition::strict("array_except", |args| set(args, Set::Except)),
    Definition::strict("array_intersect", |args| set(args, Set::Intersect)),
    Definition::nullable("arrays_overlap", arrays_overlap),
    Definition::strict("array_concat", array_concat),
    Definition::nullable("array_repeat", array_repeat),
    Definition::nullable("array_min", |args| extreme(args, Ordering::Less)),
    Definition::nullable("array_max", |args| extreme(args, Ordering::Greater)),
    Definition::nullable("flatten", flatten),
    Definition::nullable("array_join", array_join),
    Definition::strict("arrays_zip", arrays_zip),
];

/// One list per row from one value of each argument.
fn array(args: &Args) -> Result<ArrayRef> {
    let Arrow::List(field) = &args.params.result else {
        return internal_err!("{} is no list", args.params.result);
    };
    let width = args.len();
    let ends = (1..=args.rows).map(|row| i32::try_from(row * width).unwrap_or(i32::MAX)).collect();
    let valid = vec![true; args.rows];
    if width == 0 {
        return list(field, ends, arrow::array::new_empty_array(field.data_type()), &valid);
    }
    let columns = (0..width)
        .map(|index| same_form(args.array(index)?, field.data_type()))
        .collect::<Result<Vec<_>>>()?;
    let parts: Vec<&dyn arrow::array::Array> = columns.iter().map(AsRef::as_ref).collect();
    let indices: Vec<(usize, usize)> =
        (0..args.rows).flat_map(|row| (0..width).map(move |column| (column, row))).collect();
    list(field, ends, interleave(&parts, &indices)?, &valid)
}

fn size(args: &Args) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let nulls = array.nulls().cloned();
    let lengths: Vec<i32> = match array.data_type() {
        Arrow::Map(..) => array.as_map().offsets().lengths().map(|n| n as i32).collect(),
        _ => Lists::new(&array)?.array.offsets().lengths().map(|n| n as i32).collect(),
    };
    Ok(Arc::new(arrow::array::Int32Array::new(lengths.into(), nulls)))
}

/// Builds each row's list from the values of the first argument.
fn rebuild(
    args: &Args,
    mut row_of: impl FnMut(&Lists, usize, &mut Builder) -> Result<()>,
) -> Result<ArrayRef> {
    let lists = Lists::new(&args.array(0)?)?;
    let mut out = Builder::default();
    for row in 0..args.rows {
        if lists.is_null(row) {
            out.null_row();
        } else {
            row_of(&lists, row, &mut out)?;
            out.finish_row();
        }
    }
    out.build(lists.values(), &args.params.result)
}

fn array_distinct(args: &Args) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let keys = Keys::new(&[Lists::new(&array)?.values()])?;
    rebuild(args, |lists, row, out| {
        let mut seen = HashSet::new();
        for index in lists.range(row) {
            if seen.insert(keys.get(index)) {
                out.push(index);
            }
        }
        Ok(())
    })
}

fn sort(args: &Args, nulls_last: bool) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let keys = Keys::new(&[Lists::new(&array)?.values()])?;
    let ascending = match args.len() {
        2 => Some(args.array(1)?.as_boolean().clone()),
        _ => None,
    };
    rebuild(args, |lists, row, out| {
        let descending = ascending.as_ref().is_some_and(|flags| !flags.value(row));
        let (nulls, mut values): (Vec<usize>, Vec<usize>) =
            lists.range(row).partition(|i| lists.values().is_null(*i));
        values.sort_by(|a, b| {
            let order = keys.get(*a).cmp(keys.get(*b));
            if descending { order.reverse() } else { order }
        });
        // sort_array puts NULLs first when ascending; array_sort always last.
        let (first, second) =
            if nulls_last || descending { (values, nulls) } else { (nulls, values) };
        first.into_iter().chain(second).for_each(|i| out.push(i));
        Ok(())
    })
}

fn slice(args: &Args) -> Result<ArrayRef> {
    let (start, length) = (args.numbers::<Int32Type>(1)?, args.numbers::<Int32Type>(2)?);
    let lists = Lists::new(&args.array(0)?)?;
    let mut out = Builder::default();
    for row in 0..args.rows {
        let (false, Some(start), Some(length)) =
            (lists.is_null(row), start.get(row), length.get(row))
        else {
            out.null_row();
            continue;
        };
        if start == 0 {
            return fail(errors::invalid_parameter(
                "START",
                "start",
                "slice",
                "Expects a positive or a negative value for `start`, but got 0.",
            ));
        }
        if length < 0 {
            return fail(errors::invalid_parameter(
                "LENGTH",
                "length",
                "slice",
                &format!("Expects `length` greater than or equal to 0, but got {length}."),
            ));
        }
        let range = lists.range(row);
        let from = if start > 0 {
            range.start.checked_add(start.unsigned_abs() as usize - 1)
        } else {
            range.end.checked_sub(start.unsigned_abs() as usize).filter(|at| *at >= range.start)
        };
        if let Some(from) = from {
            let to = range.end.min(from.saturating_add(length.unsigned_abs() as usize));
            (from..to).for_each(|i| out.push(i));
        }
        out.finish_row();
    }
    out.build(lists.values(), &args.params.result)
}

/// Keys of the first argument's values, then those of an item column; an item's key is at `offset + row`.
fn item_keys(args: &Args, lists: &Lists, index: usize) -> Result<(Keys, ArrayRef, usize)> {
    let item = same_form(args.array(index)?, lists.values().data_type())?;
    let keys = Keys::new(&[lists.values(), &item])?;
    Ok((keys, item, lists.values().len()))
}

fn array_contains(args: &Args) -> Result<ArrayRef> {
    let lists = Lists::new(&args.array(0)?)?;
    let (keys, item, offset) = item_keys(args, &lists, 1)?;
    booleans(args.rows, |row| {
        if lists.is_null(row) || item.is_null(row) {
            return Ok(None);
        }
        let mut unknown = false;
        for index in lists.range(row) {
            if lists.values().is_null(index) {
                unknown = true;
            } else if keys.get(index) == keys.get(offset + row) {
                return Ok(Some(true));
            }
        }
        Ok((!unknown).then_some(false))
    })
}

fn array_position(args: &Args) -> Result<ArrayRef> {
    let lists = Lists::new(&args.array(0)?)?;
    let (keys, item, offset) = item_keys(args, &lists, 1)?;
    let positions: Int64Array = (0..args.rows)
        .map(|row| {
            if lists.is_null(row) || item.is_null(row) {
                return None;
            }
            let found =
                lists.range(row).position(|index| keys.get(index) == keys.get(offset + row));
            Some(found.map_or(0, |at| at as i64 + 1))
        })
        .collect();
    Ok(Arc::new(positions))
}

fn array_remove(args: &Args) -> Result<ArrayRef> {
    let lists = Lists::new(&args.array(0)?)?;
    let (keys, item, offset) = item_keys(args, &lists, 1)?;
    let mut out = Builder::default();
    for row in 0..args.rows {
        if lists.is_null(row) || item.is_null(row) {
            out.null_row();
            continue;
        }
        for index in lists.range(row) {
            if keys.get(index) != keys.get(offset + row) {
                out.push(index);
            }
        }
        out.finish_row();
    }
    out.build(lists.values(), &args.params.result)
}

fn extend(args: &Args, front: bool) -> Result<ArrayRef> {
    let lists = Lists::new(&args.array(0)?)?;
    let item = same_form(args.array(1)?, lists.values().data_type())?;
    let offset = lists.values().len();
    let all = joined(&[lists.values(), &item], item.data_type())?;
    let mut out = Builder::default();
    for row in 0..args.rows {
        if lists.is_null(row) {
            out.null_row();
            continue;
        }
        if front {
            out.push(offset + row);
        }
        lists.range(row).for_each(|i| out.push(i));
        if !front {
            out.push(offset + row);
        }
        out.finish_row();
    }
    out.build(&all, &args.params.result)
}

fn array_insert(args: &Args) -> Result<ArrayRef> {
    let lists = Lists::new(&args.array(0)?)?;
    let position = args.numbers::<Int32Type>(1)?;
    let item = same_form(args.array(2)?, lists.values().data_type())?;
    let offset = lists.values().len();
    let all = joined(&[lists.values(), &item], item.data_type())?;
    let mut out = Builder::default();
    for row in 0..args.rows {
        let (false, Some(position)) = (lists.is_null(row), position.get(row)) else {
            out.null_row();
            continue;
        };
        if position == 0 {
            return fail(errors::index_of_zero());
        }
        let items: Vec<usize> = lists.range(row).collect();
        let length = items.len();
        let distance = position.unsigned_abs() as usize;
        if position > 0 {
            let at = distance - 1;
            items.iter().take(at).for_each(|i| out.push(*i));
            (length..at).for_each(|_| out.push_null());
            out.push(offset + row);
            items.iter().skip(at).for_each(|i| out.push(*i));
        } else if distance <= length + 1 {
            let at = length + 1 - distance;
            items.iter().take(at).for_each(|i| out.push(*i));
            out.push(offset + row);
            items.iter().skip(at).for_each(|i| out.push(*i));
        } else {
            out.push(offset + row);
            (length + 1..distance).for_each(|_| out.push_null());
            items.iter().for_each(|i| out.push(*i));
        }
        out.finish_row();
    }
    out.build(&all, &args.params.result)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Union,
    Except,
    Intersect,
}

fn set(args: &Args, operation: Set) -> Result<ArrayRef> {
    let (left, right) = (Lists::new(&args.array(0)?)?, Lists::new(&args.array(1)?)?);
    let right_values = same_form(Arc::clone(right.values()), left.values().data_type())?;
    let keys = Keys::new(&[left.values(), &right_values])?;
    let offset = left.values().len();
    let all = joined(&[left.values(), &right_values], left.values().data_type())?;
    let mut out = Builder::default();
    for row in 0..args.rows {
        if left.is_null(row) || right.is_null(row) {
            out.null_row();
            continue;
        }
        let others = right.range(row).map(|i| i + offset);
        let mut seen: HashSet<&[u8]> = HashSet::new();
        if operation == Set::Union {
            for index in left.range(row).chain(others) {
                if seen.insert(keys.get(index)) {
                    out.push(index);
                }
            }
        } else {
            let there: HashSet<&[u8]> = others.map(|i| keys.get(i)).collect();
            for index in left.range(row) {
                let wanted = there.contains(keys.get(index)) == (operation == Set::Intersect);
                if wanted && seen.insert(keys.get(index)) {
                    out.push(index);
                }
            }
        }
        out.finish_row();
    }
    out.build(&all, &args.params.result)
}

fn arrays_overlap(args: &Args) -> Result<ArrayRef> {
    let (left, right) = (Lists::new(&args.array(0)?)?, Lists::new(&args.array(1)?)?);
    let right_values = same_form(Arc::clone(right.values()), left.values().data_type())?;
    let keys = Keys::new(&[left.values(), &right_values])?;
    let offset = left.values().len();
    booleans(args.rows, |row| {
        if left.is_null(row) || right.is_null(row) {
            return Ok(None);
        }
        let there: HashSet<&[u8]> = right
            .range(row)
            .filter(|i| !right_values.is_null(*i))
            .map(|i| keys.get(i + offset))
            .collect();
        if left.range(row).any(|i| !left.values().is_null(i) && there.contains(keys.get(i))) {
            return Ok(Some(true));
        }
        let unknown = left.range(row).any(|i| left.values().is_null(i))
            || right.range(row).any(|i| right_values.is_null(i));
        let empty = left.range(row).is_empty() || right.range(row).is_empty();
        Ok((empty || !unknown).then_some(false))
    })
}

fn array_concat(args: &Args) -> Result<ArrayRef> {
    let lists = (0..args.len())
        .map(|index| Lists::new(&same_form(args.array(index)?, &args.params.result)?))
        .collect::<Result<Vec<_>>>()?;
    let columns: Vec<&ArrayRef> = lists.iter().map(Lists::values).collect();
    let all = joined(&columns, &Arrow::Null)?;
    let mut out = Builder::default();
    for row in 0..args.rows {
        if lists.iter().any(|list| list.is_null(row)) {
            out.null_row();
            continue;
        }
        let mut offset = 0;
        for list in &lists {
            list.range(row).for_each(|i| out.push(offset + i));
            offset += list.values().len();
        }
        out.finish_row();
    }
    out.build(&all, &args.params.result)
}

fn array_repeat(args: &Args) -> Result<ArrayRef> {
    let (item, count) = (args.array(0)?, args.numbers::<Int32Type>(1)?);
    let mut out = Builder::default();
    for row in 0..args.rows {
        match count.get(row) {
            None => out.null_row(),
            Some(count) => {
                (0..count).for_each(|_| out.push(row));
                out.finish_row();
            }
        }
    }
    out.build(&item, &args.params.result)
}

fn extreme(args: &Args, wanted: Ordering) -> Result<ArrayRef> {
    let lists = Lists::new(&args.array(0)?)?;
    let keys = Keys::new(&[lists.values()])?;
    let indices: UInt32Array = (0..args.rows)
        .map(|row| {
            if lists.is_null(row) {
                return None;
            }
            let best = lists
                .range(row)
                .filter(|i| !lists.values().is_null(*i))
                .reduce(|best, i| if keys.get(i).cmp(keys.get(best)) == wanted { i } else { best });
            best.and_then(|i| u32::try_from(i).ok())
        })
        .collect();
    same_form(take(lists.values().as_ref(), &indices, None)?, &args.params.result)
}

fn flatten(args: &Args) -> Result<ArrayRef> {
    let outer = Lists::new(&args.array(0)?)?;
    let inner = Lists::new(outer.values())?;
    let mut out = Builder::default();
    for row in 0..args.rows {
        if outer.is_null(row) || outer.range(row).any(|i| inner.is_null(i)) {
            out.null_row();
            continue;
        }
        for index in outer.range(row) {
            inner.range(index).for_each(|i| out.push(i));
        }
        out.finish_row();
    }
    out.build(inner.values(), &args.params.result)
}

fn array_join(args: &Args) -> Result<ArrayRef> {
    let lists = Lists::new(&args.array(0)?)?;
    let values = lists.values().as_string::<i32>();
    let separator = args.text(1)?;
    let replacement = match args.len() {
        3 => Some(args.text(2)?),
        _ => None,
    };
    texts(args.rows, |row| {
        let Some(separator) = separator.get(row).filter(|_| !lists.is_null(row)) else {
            return Ok(None);
        };
        let replacement = match &replacement {
            None => None,
            Some(texts) => match texts.get(row) {
                None => return Ok(None),
                some => some,
            },
        };
        let parts: Vec<&str> = lists
            .range(row)
            .filter_map(|i| if values.is_null(i) { replacement } else { Some(values.value(i)) })
            .collect();
        Ok(Some(parts.join(separator)))
    })
}

fn arrays_zip(args: &Args) -> Result<ArrayRef> {
    let Arrow::List(field) = &args.params.result else {
        return internal_err!("{} is no list", args.params.result);
    };
    let Arrow::Struct(fields) = field.data_type() else {
        return internal_err!("{} is no struct", field.data_type());
    };
    let lists = (0..args.len()).map(|i| Lists::new(&args.array(i)?)).collect::<Result<Vec<_>>>()?;
    let mut indices: Vec<Vec<Option<u32>>> = vec![vec![]; lists.len()];
    let (mut ends, mut valid, mut total) = (vec![], vec![], 0_usize);
    for row in 0..args.rows {
        let whole = !lists.iter().any(|list| list.is_null(row));
        if whole {
            let longest = lists.iter().map(|list| list.range(row).len()).max().unwrap_or(0);
            for (list, indices) in lists.iter().zip(&mut indices) {
                let range = list.range(row);
                indices.extend((0..longest).map(|at| {
                    let index = range.start + at;
                    (index < range.end).then(|| u32::try_from(index).ok()).flatten()
                }));
            }
            total += longest;
        }
        ends.push(i32::try_from(total).unwrap_or(i32::MAX));
        valid.push(whole);
    }
    let columns = lists
        .iter()
        .zip(indices)
        .zip(fields)
        .map(|((list, indices), field)| {
            let column = take(list.values().as_ref(), &UInt32Array::from(indices), None)?;
            same_form(column, field.data_type())
        })
        .collect::<Result<Vec<_>>>()?;
    let structs = StructArray::try_new_with_length(fields.clone(), columns, None, total)?;
    list(field, ends, Arc::new(structs), &valid)
}

/// The error for arrays that would not fit in memory.
pub(super) fn too_many_elements(count: i128, function: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Runtime,
        "COLLECTION_SIZE_LIMIT_EXCEEDED.PARAMETER",
        "54000",
        format!(
            "Can't create array with {count} elements which exceeding the array size limit 2147483632, the value of parameter(s) `count` in the function `{function}` is invalid."
        ),
    )
}
