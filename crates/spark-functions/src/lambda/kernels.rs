//! Evaluation of higher-order functions: all items of a batch at once, but for `aggregate`, which goes place by place.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, BooleanArray, Int32Array, UInt32Array};
use arrow::compute::{concat, take, take_arrays};
use arrow::datatypes::{DataType as Arrow, Int32Type};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, LambdaArgument, ValueOrLambda,
};

use super::Evaluate;
use crate::lists::{Builder, Keys, Lists, list, same_form};
use crate::udf::Params;

pub(super) const KERNELS: &[(&str, Evaluate)] = &[
    ("transform", transform),
    ("filter", filter),
    ("exists", |params, args| quantify(params, args, true)),
    ("forall", |params, args| quantify(params, args, false)),
    ("aggregate", aggregate),
    ("zip_with", zip_with),
    ("array_sort", array_sort),
    ("transform_keys", |params, args| transform_map(params, args, true)),
    ("transform_values", |params, args| transform_map(params, args, false)),
    ("map_filter", map_filter),
    ("map_zip_with", map_zip_with),
];

type Args = HigherOrderFunctionArgs;

fn value(args: &Args, index: usize) -> Result<ArrayRef> {
    match args.args.get(index) {
        Some(ValueOrLambda::Value(value)) => value.clone().into_array(args.number_rows),
        _ => internal_err!("argument {index} is no value"),
    }
}

fn lambda(args: &Args, index: usize) -> Result<&LambdaArgument> {
    match args.args.get(index) {
        Some(ValueOrLambda::Lambda(lambda)) => Ok(lambda),
        _ => internal_err!("argument {index} is no lambda"),
    }
}

/// Evaluates a lambda over columns whose n-th value belongs to row `rows[n]` of the batch.
fn call(lambda: &LambdaArgument, columns: &[ArrayRef], rows: &[u32]) -> Result<ArrayRef> {
    let closures: Vec<Box<dyn Fn() -> Result<ArrayRef>>> = columns
        .iter()
        .map(|column| {
            let column = Arc::clone(column);
            Box::new(move || Ok(Arc::clone(&column))) as Box<dyn Fn() -> Result<ArrayRef>>
        })
        .collect();
    let borrowed: Vec<&dyn Fn() -> Result<ArrayRef>> =
        closures.iter().map(|closure| closure.as_ref() as &dyn Fn() -> Result<ArrayRef>).collect();
    let indices = UInt32Array::from(rows.to_vec());
    let result: ColumnarValue =
        lambda.evaluate(&borrowed, |captures| Ok(take_arrays(captures, &indices, None)?))?;
    result.into_array(rows.len())
}

fn index(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The items of all rows: where they lie, whose they are, and their place within the list.
struct Items {
    values: ArrayRef,
    positions: Vec<usize>,
    rows: Vec<u32>,
    places: Vec<i32>,
}

impl Items {
    fn of(lists: &Lists, rows: usize) -> Result<Self> {
        let (mut positions, mut owners, mut places) = (vec![], vec![], vec![]);
        for row in (0..rows).filter(|row| !lists.is_null(*row)) {
            for (place, position) in lists.range(row).enumerate() {
                positions.push(position);
                owners.push(index(row));
                places.push(i32::try_from(place).unwrap_or(i32::MAX));
            }
        }
        let at: UInt32Array = positions.iter().map(|p| Some(index(*p))).collect();
        let values = take(lists.values().as_ref(), &at, None)?;
        Ok(Self { values, positions, rows: owners, places })
    }

    fn columns(&self) -> Vec<ArrayRef> {
        vec![Arc::clone(&self.values), Arc::new(Int32Array::from(self.places.clone()))]
    }
}

fn transform(params: &Params, args: &Args) -> Result<ArrayRef> {
    let Arrow::List(field) = &params.result else {
        return internal_err!("{} is no list", params.result);
    };
    let lists = Lists::new(&value(args, 0)?)?;
    let items = Items::of(&lists, args.number_rows)?;
    let made = call(lambda(args, 1)?, &items.columns(), &items.rows)?;
    let (mut ends, mut valid, mut total) = (vec![], vec![], 0);
    for row in 0..args.number_rows {
        if !lists.is_null(row) {
            total += lists.range(row).len();
        }
        ends.push(i32::try_from(total).unwrap_or(i32::MAX));
        valid.push(!lists.is_null(row));
    }
    list(field, ends, made, &valid)
}

fn flags(array: &ArrayRef) -> Result<BooleanArray> {
    match array.as_boolean_opt() {
        Some(flags) => Ok(flags.clone()),
        None => internal_err!("{} is no truth value", array.data_type()),
    }
}

fn filter(params: &Params, args: &Args) -> Result<ArrayRef> {
    let lists = Lists::new(&value(args, 0)?)?;
    let items = Items::of(&lists, args.number_rows)?;
    let keep = flags(&call(lambda(args, 1)?, &items.columns(), &items.rows)?)?;
    let mut out = Builder::default();
    let mut item = 0;
    for row in 0..args.number_rows {
        if lists.is_null(row) {
            out.null_row();
            continue;
        }
        for _ in lists.range(row) {
            if !keep.is_null(item) && keep.value(item) {
                out.push(items.positions[item]);
            }
            item += 1;
        }
        out.finish_row();
    }
    out.build(lists.values(), &params.result)
}

/// EXISTS and FORALL with three truth values.
fn quantify(_params: &Params, args: &Args, any: bool) -> Result<ArrayRef> {
    let lists = Lists::new(&value(args, 0)?)?;
    let items = Items::of(&lists, args.number_rows)?;
    let found = flags(&call(lambda(args, 1)?, &items.columns(), &items.rows)?)?;
    let mut item = 0;
    let answers: BooleanArray = (0..args.number_rows)
        .map(|row| {
            if lists.is_null(row) {
                return None;
            }
            let mut unknown = false;
            let mut decided = false;
            for _ in lists.range(row) {
                if found.is_null(item) {
                    unknown = true;
                } else if found.value(item) == any {
                    decided = true;
                }
                item += 1;
            }
            if decided {
                Some(any)
            } else if unknown {
                None
            } else {
                Some(!any)
            }
        })
        .collect();
    Ok(Arc::new(answers))
}

fn aggregate(params: &Params, args: &Args) -> Result<ArrayRef> {
    let lists = Lists::new(&value(args, 0)?)?;
    let zero = value(args, 1)?;
    let merge = lambda(args, 2)?;
    let mut accumulators = Arc::clone(&zero);
    let longest = (0..args.number_rows)
        .filter(|row| !lists.is_null(*row))
        .map(|row| lists.range(row).len())
        .max()
        .unwrap_or(0);
    for place in 0..longest {
        let rows: Vec<u32> = (0..args.number_rows)
            .filter(|row| !lists.is_null(*row) && lists.range(*row).len() > place)
            .map(index)
            .collect();
        let items: UInt32Array =
            rows.iter().map(|row| Some(index(lists.range(*row as usize).start + place))).collect();
        let items = take(lists.values().as_ref(), &items, None)?;
        let so_far = take(accumulators.as_ref(), &UInt32Array::from(rows.clone()), None)?;
        let merged = same_form(call(merge, &[so_far, items], &rows)?, zero.data_type())?;
        // Rows that took part get their new value, from behind the old ones.
        let mut choice: Vec<u32> = (0..args.number_rows).map(index).collect();
        for (position, row) in rows.iter().enumerate() {
            choice[*row as usize] = index(args.number_rows + position);
        }
        let both: Vec<&dyn Array> = vec![accumulators.as_ref(), merged.as_ref()];
        accumulators = take(concat(&both)?.as_ref(), &UInt32Array::from(choice), None)?;
    }
    let all: Vec<u32> = (0..args.number_rows).map(index).collect();
    let finished = match args.args.len() {
        4 => call(lambda(args, 3)?, &[accumulators], &all)?,
        _ => accumulators,
    };
    let present: UInt32Array =
        all.iter().map(|row| (!lists.is_null(*row as usize)).then_some(*row)).collect();
    same_form(take(finished.as_ref(), &present, None)?, &params.result)
}

fn zip_with(params: &Params, args: &Args) -> Result<ArrayRef> {
    let Arrow::List(field) = &params.result else {
        return internal_err!("{} is no list", params.result);
    };
    let (left, right) = (Lists::new(&value(args, 0)?)?, Lists::new(&value(args, 1)?)?);
    let (mut a, mut b): (Vec<Option<u32>>, Vec<Option<u32>>) = (vec![], vec![]);
    let (mut rows, mut ends, mut valid) = (vec![], vec![], vec![]);
    for row in 0..args.number_rows {
        let whole = !left.is_null(row) && !right.is_null(row);
        if whole {
            let (l, r) = (left.range(row), right.range(row));
            for place in 0..l.len().max(r.len()) {
                a.push((place < l.len()).then(|| index(l.start + place)));
                b.push((place < r.len()).then(|| index(r.start + place)));
                rows.push(index(row));
            }
        }
        ends.push(i32::try_from(rows.len()).unwrap_or(i32::MAX));
        valid.push(whole);
    }
    let a = take(left.values().as_ref(), &UInt32Array::from(a), None)?;
    let b = take(right.values().as_ref(), &UInt32Array::from(b), None)?;
    list(field, ends, call(lambda(args, 2)?, &[a, b], &rows)?, &valid)
}

/// Compares every pair of a list's items at once, then sorts by the table of answers.
fn array_sort(params: &Params, args: &Args) -> Result<ArrayRef> {
    let lists = Lists::new(&value(args, 0)?)?;
    let (mut a, mut b, mut rows) = (vec![], vec![], vec![]);
    for row in (0..args.number_rows).filter(|row| !lists.is_null(*row)) {
        for x in lists.range(row) {
            for y in lists.range(row) {
                a.push(index(x));
                b.push(index(y));
                rows.push(index(row));
            }
        }
    }
    let a = take(lists.values().as_ref(), &UInt32Array::from(a), None)?;
    let b = take(lists.values().as_ref(), &UInt32Array::from(b), None)?;
    let orders = call(lambda(args, 1)?, &[a, b], &rows)?;
    let orders = orders.as_primitive::<Int32Type>();
    let mut out = Builder::default();
    let mut start = 0;
    for row in 0..args.number_rows {
        if lists.is_null(row) {
            out.null_row();
            continue;
        }
        let range = lists.range(row);
        let length = range.len();
        let mut order: Vec<usize> = (0..length).collect();
        order.sort_by(|x, y| orders.value(start + x * length + y).cmp(&0));
        order.into_iter().for_each(|place| out.push(range.start + place));
        out.finish_row();
        start += length * length;
    }
    out.build(lists.values(), &params.result)
}

/// A map column's entries as lists, and the kernel arguments of its items.
fn entries(array: &ArrayRef, rows: usize) -> Result<(Vec<u32>, Vec<u32>)> {
    let map = array.as_map();
    let (mut at, mut owners) = (vec![], vec![]);
    for row in (0..rows).filter(|row| !map.is_null(*row)) {
        for item in map.value_offsets()[row]..map.value_offsets()[row + 1] {
            at.push(item as u32);
            owners.push(index(row));
        }
    }
    Ok((at, owners))
}

fn ends_of(owners: &[u32], rows: usize) -> Vec<i32> {
    let mut ends = vec![0; rows];
    for owner in owners {
        ends[*owner as usize] += 1;
    }
    let mut total = 0;
    for end in &mut ends {
        total += *end;
        *end = total;
    }
    ends
}

fn transform_map(params: &Params, args: &Args, keys: bool) -> Result<ArrayRef> {
    let array = value(args, 0)?;
    let map = array.as_map();
    let (at, owners) = entries(&array, args.number_rows)?;
    let at = UInt32Array::from(at);
    let key = take(map.keys().as_ref(), &at, None)?;
    let item = take(map.values().as_ref(), &at, None)?;
    let made = call(lambda(args, 1)?, &[Arc::clone(&key), Arc::clone(&item)], &owners)?;
    let (key, item) = if keys { (made, item) } else { (key, made) };
    let valid: Vec<bool> = (0..args.number_rows).map(|row| !map.is_null(row)).collect();
    crate::collections::build_map(
        &params.result,
        key,
        item,
        ends_of(&owners, args.number_rows),
        &valid,
    )
}

fn map_filter(params: &Params, args: &Args) -> Result<ArrayRef> {
    let array = value(args, 0)?;
    let map = array.as_map();
    let (at, owners) = entries(&array, args.number_rows)?;
    let indices = UInt32Array::from(at.clone());
    let key = take(map.keys().as_ref(), &indices, None)?;
    let item = take(map.values().as_ref(), &indices, None)?;
    let keep = flags(&call(lambda(args, 1)?, &[key, item], &owners)?)?;
    let kept: Vec<usize> = (0..at.len()).filter(|i| !keep.is_null(*i) && keep.value(*i)).collect();
    let indices: UInt32Array = kept.iter().map(|i| Some(at[*i])).collect();
    let owners: Vec<u32> = kept.iter().map(|i| owners[*i]).collect();
    let valid: Vec<bool> = (0..args.number_rows).map(|row| !map.is_null(row)).collect();
    crate::collections::build_map(
        &params.result,
        take(map.keys().as_ref(), &indices, None)?,
        take(map.values().as_ref(), &indices, None)?,
        ends_of(&owners, args.number_rows),
        &valid,
    )
}

fn map_zip_with(params: &Params, args: &Args) -> Result<ArrayRef> {
    let (first, second) = (value(args, 0)?, value(args, 1)?);
    let (left, right) = (first.as_map(), second.as_map());
    let keys = Keys::new(&[left.keys(), right.keys()])?;
    let offset = left.keys().len();
    let (mut key_at, mut a, mut b, mut owners) = (vec![], vec![], vec![], vec![]);
    let mut valid = vec![];
    for row in 0..args.number_rows {
        let whole = !left.is_null(row) && !right.is_null(row);
        valid.push(whole);
        if !whole {
            continue;
        }
        let range = |map: &arrow::array::MapArray| {
            map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize
        };
        let mut others: BTreeMap<&[u8], usize> =
            range(right).map(|item| (keys.get(offset + item), item)).collect();
        for item in range(left) {
            key_at.push(index(item));
            a.push(Some(index(item)));
            b.push(others.remove(keys.get(item)).map(index));
            owners.push(index(row));
        }
        for item in range(right).filter(|item| others.contains_key(keys.get(offset + item))) {
            key_at.push(index(offset + item));
            a.push(None);
            b.push(Some(index(item)));
            owners.push(index(row));
        }
    }
    let all: Vec<&dyn Array> = vec![left.keys().as_ref(), right.keys().as_ref()];
    let key = take(concat(&all)?.as_ref(), &UInt32Array::from(key_at), None)?;
    let a = take(left.values().as_ref(), &UInt32Array::from(a), None)?;
    let b = take(right.values().as_ref(), &UInt32Array::from(b), None)?;
    let made = call(lambda(args, 2)?, &[Arc::clone(&key), a, b], &owners)?;
    let ends = ends_of(&owners, args.number_rows);
    crate::collections::build_map(&params.result, key, made, ends, &valid)
}
