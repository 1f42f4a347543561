//! Arithmetic over columns, with Spark's overflow rules.
//!
//! Each kernel runs over all slots without branching, gathering one "something overflowed" bit; only when it is set are
//! rows looked at one by one, to name the offending values, make them NULL, or find that they were NULL anyway.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType as Arrow, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, i256,
};
use datafusion::common::{Result, internal_err};
use spark_sql_parser::error::SparkError;

use crate::decimal::{self, pow10};
use crate::errors;
use crate::udf::{Args, Definition, Mode, Numbers, fail};

pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition::fallible("+", add),
    Definition::fallible("-", subtract),
    Definition::fallible("*", multiply),
    Definition::fallible("/", divide),
    Definition::fallible("div", integral_divide),
    Definition::fallible("%", remainder),
    Definition::fallible("pmod", pmod),
    Definition::fallible("negative", negative),
    Definition::fallible("abs", abs),
    Definition::fallible("check_overflow", check_overflow),
];

/// What becomes of rows outside the range when neither an error nor NULL is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Legacy {
    /// The wrapped value stands.
    Wraps,
    /// NULL.
    Null,
}

fn nulls_of<T: ArrowPrimitiveType>(column: &Numbers<T>, rows: usize) -> Option<NullBuffer> {
    match column {
        Numbers::Same(Some(_)) => None,
        Numbers::Same(None) => Some(NullBuffer::new_null(rows)),
        Numbers::Each(array) => array.nulls().cloned(),
    }
}

/// Applies `op`, which also says whether its result is wrong, to every row.
pub(crate) fn checked<L, R, O>(
    args: &Args,
    op: impl Fn(L::Native, R::Native) -> (O::Native, bool),
    error: impl Fn(L::Native, R::Native) -> SparkError,
    legacy: Legacy,
) -> Result<ArrayRef>
where
    L: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
{
    let (left, right) = (args.numbers::<L>(0)?, args.numbers::<R>(1)?);
    let rows = args.rows;
    let mut wrong = false;
    let mut run = |l: L::Native, r: R::Native| {
        let (value, bad) = op(l, r);
        wrong |= bad;
        value
    };
    let values: Vec<O::Native> = match (&left, &right) {
        (Numbers::Each(l), Numbers::Each(r)) => {
            l.values().iter().zip(r.values().iter()).map(|(l, r)| run(*l, *r)).collect()
        }
        (Numbers::Each(l), Numbers::Same(Some(r))) => {
            l.values().iter().map(|l| run(*l, *r)).collect()
        }
        (Numbers::Same(Some(l)), Numbers::Each(r)) => {
            r.values().iter().map(|r| run(*l, *r)).collect()
        }
        (Numbers::Same(Some(l)), Numbers::Same(Some(r))) => vec![run(*l, *r); rows],
        _ => {
            return Ok(Arc::new(
                PrimitiveArray::<O>::new_null(rows).with_data_type(args.params.result.clone()),
            ));
        }
    };
    let mut nulls =
        NullBuffer::union(nulls_of(&left, rows).as_ref(), nulls_of(&right, rows).as_ref());
    let mode = args.params.mode;
    if wrong && !(mode == Mode::Legacy && legacy == Legacy::Wraps) {
        let mut valid = vec![true; rows];
        for (row, valid) in valid.iter_mut().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                *valid = false;
                continue;
            }
            let (Some(l), Some(r)) = (left.get(row), right.get(row)) else { continue };
            if op(l, r).1 {
                if mode == Mode::Ansi {
                    return fail(error(l, r));
                }
                *valid = false;
            }
        }
        nulls = Some(NullBuffer::from(valid));
    }
    let array = PrimitiveArray::<O>::new(values.into(), nulls);
    Ok(Arc::new(array.with_data_type(args.params.result.clone())))
}

/// As [`checked`] for one operand.
pub(crate) fn checked_unary<I, O>(
    args: &Args,
    op: impl Fn(I::Native) -> (O::Native, bool),
    error: impl Fn(I::Native) -> SparkError,
    legacy: Legacy,
) -> Result<ArrayRef>
where
    I: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
{
    let array = args.array(0)?;
    let Some(input) = array.as_any().downcast_ref::<PrimitiveArray<I>>() else {
        return internal_err!("{} instead of {}", array.data_type(), I::DATA_TYPE);
    };
    let mut wrong = false;
    let values: Vec<O::Native> = input
        .values()
        .iter()
        .map(|value| {
            let (result, bad) = op(*value);
            wrong |= bad;
            result
        })
        .collect();
    let mut nulls = input.nulls().cloned();
    let mode = args.params.mode;
    if wrong && !(mode == Mode::Legacy && legacy == Legacy::Wraps) {
        let mut valid = vec![true; input.len()];
        for (row, valid) in valid.iter_mut().enumerate() {
            if input.is_null(row) {
                *valid = false;
            } else if op(input.value(row)).1 {
                if mode == Mode::Ansi {
                    return fail(error(input.value(row)));
                }
                *valid = false;
            }
        }
        nulls = Some(NullBuffer::from(valid));
    }
    let array = PrimitiveArray::<O>::new(values.into(), nulls);
    Ok(Arc::new(array.with_data_type(args.params.result.clone())))
}

/// Runs `$body` with `$t` being the Arrow type of a whole-number argument.
macro_rules! for_integers {
    ($type:expr, $t:ident => $body:expr) => {
        match $type {
            Arrow::Int8 => {
                type $t = Int8Type;
                $body
            }
            Arrow::Int16 => {
                type $t = Int16Type;
                $body
            }
            Arrow::Int32 => {
                type $t = Int32Type;
                $body
            }
            Arrow::Int64 => {
                type $t = Int64Type;
                $body
            }
            other => internal_err!("no arithmetic over {other}"),
        }
    };
}

fn integer_overflow<T: std::fmt::Display>(
    data_type: &Arrow,
    symbol: &str,
    function: &str,
    left: T,
    right: T,
) -> SparkError {
    match data_type {
        Arrow::Int8 => {
            errors::binary_overflow(&format!("{left}Y"), symbol, &format!("{right}Y"), function)
        }
        Arrow::Int16 => {
            errors::binary_overflow(&format!("{left}S"), symbol, &format!("{right}S"), function)
        }
        Arrow::Int32 => errors::arithmetic_overflow("integer overflow", function),
        _ => errors::arithmetic_overflow("long overflow", function),
    }
}

fn add(args: &Args) -> Result<ArrayRef> {
    match args.arrow_type(0) {
        Arrow::Decimal128(..) => add_decimals(args, 1),
        Arrow::Interval(_) => months(args, i32::overflowing_add, "try_add"),
        Arrow::Duration(_) => microseconds(args, i64::overflowing_add, "try_add"),
        other => for_integers!(other, T => checked::<T, T, T>(
            args,
            |l, r| (l.wrapping_add(r), l.checked_add(r).is_none()),
            |l, r| integer_overflow(&T::DATA_TYPE, "+", "try_add", l, r),
            Legacy::Wraps,
        )),
    }
}

fn subtract(args: &Args) -> Result<ArrayRef> {
    match args.arrow_type(0) {
        Arrow::Decimal128(..) => add_decimals(args, -1),
        Arrow::Interval(_) => months(args, i32::overflowing_sub, "try_subtract"),
        Arrow::Duration(_) => microseconds(args, i64::overflowing_sub, "try_subtract"),
        other => for_integers!(other, T => checked::<T, T, T>(
            args,
            |l, r| (l.wrapping_sub(r), l.checked_sub(r).is_none()),
            |l, r| integer_overflow(&T::DATA_TYPE, "-", "try_subtract", l, r),
            Legacy::Wraps,
        )),
    }
}

fn multiply(args: &Args) -> Result<ArrayRef> {
    match args.arrow_type(0) {
        Arrow::Decimal128(..) => multiply_decimals(args),
        other => for_integers!(other, T => checked::<T, T, T>(
            args,
            |l, r| (l.wrapping_mul(r), l.checked_mul(r).is_none()),
            |l, r| integer_overflow(&T::DATA_TYPE, "*", "try_multiply", l, r),
            Legacy::Wraps,
        )),
    }
}

fn months(args: &Args, op: fn(i32, i32) -> (i32, bool), hint: &str) -> Result<ArrayRef> {
    type T = IntervalYearMonthType;
    checked::<T, T, T>(args, op, |_, _| errors::interval_overflow(hint), Legacy::Null)
}

fn microseconds(args: &Args, op: fn(i64, i64) -> (i64, bool), hint: &str) -> Result<ArrayRef> {
    type T = DurationMicrosecondType;
    checked::<T, T, T>(args, op, |_, _| errors::interval_overflow(hint), Legacy::Null)
}

fn scale_of(data_type: &Arrow) -> (u8, i8) {
    match data_type {
        Arrow::Decimal128(precision, scale) => (*precision, *scale),
        _ => (38, 0),
    }
}

fn decimal_error(value: Option<i256>, raw_scale: i32, to: (u8, i8)) -> SparkError {
    let text =
        value.map_or_else(|| "The result".to_owned(), |value| decimal::text_wide(value, raw_scale));
    errors::decimal_out_of_range(&text, to.0, to.1)
}

fn add_decimals(args: &Args, sign: i128) -> Result<ArrayRef> {
    type T = Decimal128Type;
    let (l_type, r_type) = (scale_of(&args.arrow_type(0)), scale_of(&args.arrow_type(1)));
    let to = scale_of(&args.params.result);
    let common = l_type.1.max(r_type.1);
    let whole = |(p, s): (u8, i8)| i32::from(p) - i32::from(s);
    let exact_precision = whole(l_type).max(whole(r_type)) + i32::from(common) + 1;
    let (l_factor, r_factor) = (
        pow10(u32::from((common - l_type.1).unsigned_abs())),
        pow10(u32::from((common - r_type.1).unsigned_abs())) * sign,
    );
    if exact_precision <= 38 && to.1 == common {
        // The result type has room for every sum, so nothing needs a check.
        let raw = |l: i128, r: i128| {
            (l.wrapping_mul(l_factor).wrapping_add(r.wrapping_mul(r_factor)), false)
        };
        if l_factor == 1 && r_factor == 1 {
            return checked::<T, T, T>(
                args,
                |l, r| (l.wrapping_add(r), false),
                |_, _| decimal_error(None, 0, to),
                Legacy::Null,
            );
        }
        return checked::<T, T, T>(args, raw, |_, _| decimal_error(None, 0, to), Legacy::Null);
    }
    let wide = |l: i128, r: i128| {
        i256::from_i128(l)
            .wrapping_mul(i256::from_i128(l_factor))
            .wrapping_add(i256::from_i128(r).wrapping_mul(i256::from_i128(r_factor)))
    };
    let drop = u32::from((common - to.1).unsigned_abs());
    checked::<T, T, T>(
        args,
        |l, r| {
            if drop == 0
                && let (Some(l), Some(r)) = (l.checked_mul(l_factor), r.checked_mul(r_factor))
                && let Some(sum) = l.checked_add(r)
            {
                return (sum, !decimal::fits(sum, to.0));
            }
            narrow(decimal::round_wide(wide(l, r), drop), to.0)
        },
        |l, r| decimal_error(Some(wide(l, r)), i32::from(common), to),
        Legacy::Null,
    )
}

fn narrow(value: i256, precision: u8) -> (i128, bool) {
    match value.to_i128() {
        Some(value) => (value, !decimal::fits(value, precision)),
        None => (0, true),
    }
}

fn multiply_decimals(args: &Args) -> Result<ArrayRef> {
    type T = Decimal128Type;
    let (l_type, r_type) = (scale_of(&args.arrow_type(0)), scale_of(&args.arrow_type(1)));
    let to = scale_of(&args.params.result);
    let raw_scale = i32::from(l_type.1) + i32::from(r_type.1);
    let drop = u32::try_from(raw_scale - i32::from(to.1)).unwrap_or(0);
    if drop == 0 && u32::from(l_type.0) + u32::from(r_type.0) < 38 {
        return checked::<T, T, T>(
            args,
            |l, r| (l.wrapping_mul(r), false),
            |_, _| decimal_error(None, 0, to),
            Legacy::Null,
        );
    }
    let wide = |l: i128, r: i128| i256::from_i128(l).wrapping_mul(i256::from_i128(r));
    checked::<T, T, T>(
        args,
        |l, r| match l.checked_mul(r) {
            Some(product) => {
                let value = decimal::round(product, drop);
                (value, !decimal::fits(value, to.0))
            }
            None => narrow(decimal::round_wide(wide(l, r), drop), to.0),
        },
        |l, r| decimal_error(Some(wide(l, r)), raw_scale, to),
        Legacy::Null,
    )
}

/// `/`: doubles or decimals; resolution has cast everything else.
fn divide(args: &Args) -> Result<ArrayRef> {
    match args.arrow_type(0) {
        Arrow::Float32 => checked::<Float32Type, Float32Type, Float32Type>(
            args,
            |l, r| (l / r, r == 0.0),
            |_, _| errors::divide_by_zero(),
            Legacy::Null,
        ),
        Arrow::Float64 => checked::<Float64Type, Float64Type, Float64Type>(
            args,
            |l, r| (l / r, r == 0.0),
            |_, _| errors::divide_by_zero(),
            Legacy::Null,
        ),
        Arrow::Decimal128(..) => divide_decimals(args),
        other => internal_err!("no division of {other}"),
    }
}

fn divide_decimals(args: &Args) -> Result<ArrayRef> {
    type T = Decimal128Type;
    let (l_type, r_type) = (scale_of(&args.arrow_type(0)), scale_of(&args.arrow_type(1)));
    let to = scale_of(&args.params.result);
    // Result = l / 10^s1 / (r / 10^s2) * 10^s.
    let shift = i32::from(to.1) - i32::from(l_type.1) + i32::from(r_type.1);
    let quotient = |l: i128, r: i128| decimal::divide(l, r, shift);
    checked::<T, T, T>(
        args,
        |l, r| match quotient(l, r) {
            Some(value) => (value, !decimal::fits(value, to.0)),
            None => (0, true),
        },
        |l, r| {
            if r == 0 {
                return errors::divide_by_zero();
            }
            let text = format!(
                "{} / {}",
                decimal::text(l, i32::from(l_type.1)),
                decimal::text(r, i32::from(r_type.1))
            );
            errors::decimal_out_of_range(&text, to.0, to.1)
        },
        Legacy::Null,
    )
}

fn integral_divide(args: &Args) -> Result<ArrayRef> {
    match args.arrow_type(0) {
        Arrow::Int64 => checked::<Int64Type, Int64Type, Int64Type>(
            args,
            |l, r| match r {
                0 => (0, true),
                _ => l.overflowing_div(r),
            },
            |_, r| match r {
                0 => errors::divide_by_zero(),
                _ => errors::arithmetic_overflow("Overflow in integral divide", "try_divide"),
            },
            Legacy::Null,
        ),
        Arrow::Decimal128(..) => {
            type T = Decimal128Type;
            let (l_type, r_type) = (scale_of(&args.arrow_type(0)), scale_of(&args.arrow_type(1)));
            let shift = i32::from(r_type.1) - i32::from(l_type.1);
            checked::<T, T, Int64Type>(
                args,
                |l, r| match decimal::truncating_divide(l, r, shift) {
                    Some(value) => match i64::try_from(value) {
                        Ok(value) => (value, false),
                        Err(_) => (0, true),
                    },
                    None => (0, true),
                },
                |_, r| match r {
                    0 => errors::divide_by_zero(),
                    _ => errors::arithmetic_overflow("Overflow in integral divide", "try_divide"),
                },
                Legacy::Null,
            )
        }
        Arrow::Interval(_) => {
            type T = IntervalYearMonthType;
            checked::<T, T, Int64Type>(
                args,
                |l, r| match r {
                    0 => (0, true),
                    _ => (i64::from(l) / i64::from(r), false),
                },
                |_, _| errors::divide_by_zero(),
                Legacy::Null,
            )
        }
        Arrow::Duration(_) => {
            type T = DurationMicrosecondType;
            checked::<T, T, Int64Type>(
                args,
                |l, r| match r {
                    0 => (0, true),
                    _ => l.overflowing_div(r),
                },
                |_, _| errors::divide_by_zero(),
                Legacy::Null,
            )
        }
        other => internal_err!("no integral division of {other}"),
    }
}

/// Decimal remainder at the larger scale; `None` for a zero divisor.
fn decimal_remainder(l: i128, r: i128, l_scale: i8, r_scale: i8, positive: bool) -> Option<i128> {
    if r == 0 {
        return None;
    }
    let common = l_scale.max(r_scale);
    let up = |value: i128, scale: i8| {
        i256::from_i128(value)
            .wrapping_mul(i256::from_i128(pow10(u32::from((common - scale).unsigned_abs()))))
    };
    let (l, r) = (up(l, l_scale), up(r, r_scale));
    let mut rest = l.checked_rem(r)?;
    if positive && rest < i256::ZERO {
        rest = rest.wrapping_add(r).checked_rem(r)?;
    }
    rest.to_i128()
}

fn remainder(args: &Args) -> Result<ArrayRef> {
    modulo(args, false)
}

fn pmod(args: &Args) -> Result<ArrayRef> {
    modulo(args, true)
}

fn modulo(args: &Args, positive: bool) -> Result<ArrayRef> {
    let error = || errors::remainder_by_zero();
    match args.arrow_type(0) {
        Arrow::Float32 => checked::<Float32Type, Float32Type, Float32Type>(
            args,
            |l, r| {
                let rest = l % r;
                (if positive && rest < 0.0 { (rest + r) % r } else { rest }, r == 0.0)
            },
            |_, _| error(),
            Legacy::Null,
        ),
        Arrow::Float64 => checked::<Float64Type, Float64Type, Float64Type>(
            args,
            |l, r| {
                let rest = l % r;
                (if positive && rest < 0.0 { (rest + r) % r } else { rest }, r == 0.0)
            },
            |_, _| error(),
            Legacy::Null,
        ),
        Arrow::Decimal128(..) => {
            type T = Decimal128Type;
            let (l_scale, r_scale) =
                (scale_of(&args.arrow_type(0)).1, scale_of(&args.arrow_type(1)).1);
            checked::<T, T, T>(
                args,
                |l, r| match decimal_remainder(l, r, l_scale, r_scale, positive) {
                    Some(rest) => (rest, false),
                    None => (0, true),
                },
                |_, _| error(),
                Legacy::Null,
            )
        }
        other => for_integers!(other, T => checked::<T, T, T>(
            args,
            |l, r| {
                if r == 0 {
                    return (0, true);
                }
                let rest = l.wrapping_rem(r);
                let shift = positive && rest < 0;
                (if shift { rest.wrapping_add(r).wrapping_rem(r) } else { rest }, false)
            },
            |_, _| error(),
            Legacy::Null,
        )),
    }
}

fn unary_overflow(data_type: &Arrow, value: &str) -> SparkError {
    match data_type {
        Arrow::Int8 | Arrow::Int16 => {
            let suffix = if *data_type == Arrow::Int8 { "Y" } else { "S" };
            errors::arithmetic_overflow(&format!("- {value}{suffix} caused overflow"), "")
        }
        Arrow::Int32 => errors::arithmetic_overflow("integer overflow", ""),
        _ => errors::arithmetic_overflow("long overflow", ""),
    }
}

fn negative(args: &Args) -> Result<ArrayRef> {
    match args.arrow_type(0) {
        Arrow::Float32 => checked_unary::<Float32Type, Float32Type>(
            args,
            |v| (-v, false),
            |_| errors::divide_by_zero(),
            Legacy::Wraps,
        ),
        Arrow::Float64 => checked_unary::<Float64Type, Float64Type>(
            args,
            |v| (-v, false),
            |_| errors::divide_by_zero(),
            Legacy::Wraps,
        ),
        Arrow::Decimal128(..) => checked_unary::<Decimal128Type, Decimal128Type>(
            args,
            |v| (-v, false),
            |_| errors::divide_by_zero(),
            Legacy::Wraps,
        ),
        Arrow::Interval(arrow::datatypes::IntervalUnit::YearMonth) => {
            checked_unary::<IntervalYearMonthType, IntervalYearMonthType>(
                args,
                i32::overflowing_neg,
                |_| errors::interval_overflow(""),
                Legacy::Null,
            )
        }
        Arrow::Duration(_) => checked_unary::<DurationMicrosecondType, DurationMicrosecondType>(
            args,
            i64::overflowing_neg,
            |_| errors::interval_overflow(""),
            Legacy::Null,
        ),
        other => for_integers!(other, T => checked_unary::<T, T>(
            args,
            |v| (v.wrapping_neg(), v.checked_neg().is_none()),
            |v| unary_overflow(&T::DATA_TYPE, &v.to_string()),
            Legacy::Wraps,
        )),
    }
}

fn abs(args: &Args) -> Result<ArrayRef> {
    match args.arrow_type(0) {
        Arrow::Float32 => checked_unary::<Float32Type, Float32Type>(
            args,
            |v| (v.abs(), false),
            |_| errors::divide_by_zero(),
            Legacy::Wraps,
        ),
        Arrow::Float64 => checked_unary::<Float64Type, Float64Type>(
            args,
            |v| (v.abs(), false),
            |_| errors::divide_by_zero(),
            Legacy::Wraps,
        ),
        Arrow::Decimal128(..) => checked_unary::<Decimal128Type, Decimal128Type>(
            args,
            |v| (v.abs(), false),
            |_| errors::divide_by_zero(),
            Legacy::Wraps,
        ),
        Arrow::Interval(arrow::datatypes::IntervalUnit::YearMonth) => {
            checked_unary::<IntervalYearMonthType, IntervalYearMonthType>(
                args,
                i32::overflowing_abs,
                |_| errors::interval_overflow(""),
                Legacy::Null,
            )
        }
        Arrow::Duration(_) => checked_unary::<DurationMicrosecondType, DurationMicrosecondType>(
            args,
            i64::overflowing_abs,
            |_| errors::interval_overflow(""),
            Legacy::Null,
        ),
        other => for_integers!(other, T => checked_unary::<T, T>(
            args,
            |v| if v < 0 { (v.wrapping_neg(), v.checked_neg().is_none()) } else { (v, false) },
            |v| unary_overflow(&T::DATA_TYPE, &v.to_string()),
            Legacy::Wraps,
        )),
    }
}

/// Refuses decimals beyond the result's precision (a sum's running total may have passed it).
fn check_overflow(args: &Args) -> Result<ArrayRef> {
    let to = scale_of(&args.params.result);
    checked_unary::<Decimal128Type, Decimal128Type>(
        args,
        |value| (value, !decimal::fits(value, to.0)),
        |value| errors::decimal_out_of_range(&decimal::text(value, i32::from(to.1)), to.0, to.1),
        Legacy::Null,
    )
}
