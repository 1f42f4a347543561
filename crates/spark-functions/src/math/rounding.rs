//! ROUND, BROUND, CEIL and FLOOR.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as Arrow, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type,
};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::cast::implicit;
use crate::coercion::{bounded, decimal_for};
use crate::decimal::{self, pow10};
use crate::errors;
use crate::signature::{Call, Ty};
use crate::types::{is_integral, to_arrow};
use crate::udf::{Args, Definition, Mode, Params, fail, ours};

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::fallible("round", |args| round(args, Rounding::HalfUp)),
    Definition::fallible("bround", |args| round(args, Rounding::HalfEven)),
    Definition::fallible("ceil", |args| round(args, Rounding::Up)),
    Definition::fallible("floor", |args| round(args, Rounding::Down)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounding {
    HalfUp,
    HalfEven,
    Up,
    Down,
}

impl Rounding {
    /// Drops decimal digits from the right.
    fn apply(self, value: i128, drop: u32) -> i128 {
        match self {
            Self::HalfUp => decimal::round(value, drop),
            Self::HalfEven => decimal::round_half_even(value, drop),
            Self::Up | Self::Down => {
                if drop > 38 {
                    return match self {
                        Self::Up => i128::from(value > 0),
                        _ => -i128::from(value < 0),
                    };
                }
                let divisor = pow10(drop);
                let floor = value.div_euclid(divisor);
                let inexact = value.rem_euclid(divisor) != 0;
                floor + i128::from(self == Self::Up && inexact)
            }
        }
    }
}

/// `RoundBase.dataType` for decimals.
fn decimal_result(precision: u8, scale: i8, target: i32) -> DataType {
    let integral = i32::from(precision) - i32::from(scale) + 1;
    if target < 0 {
        return bounded(integral.max(1 - target), 0);
    }
    let scale = i32::from(scale).min(target);
    bounded(integral + scale, scale)
}

pub(super) fn build(call: &Call) -> std::result::Result<Expr, SparkError> {
    call.arity(1, 2)?;
    let halves = matches!(call.name, "round" | "bround");
    let name = if call.name == "ceiling" { "ceil" } else { call.name };
    let target = match call.len() {
        1 => 0,
        _ => match call.literal_int(1) {
            Some(scale) => i32::try_from(scale).unwrap_or(i32::MAX),
            None if call.types[1] == DataType::Null => 0,
            None => {
                return Err(errors::mismatch(
                    "NON_FOLDABLE_INPUT",
                    &call.sql(),
                    &format!(
                        "the input `scale` should be a foldable \"INT\" expression; however, got \"{}\".",
                        crate::sql_text(&call.args[1])
                    ),
                ));
            }
        },
    };
    let (value, given) = call.fitted(0, Ty::Num)?;
    // CEIL and FLOOR without a scale answer whole numbers; with one, decimals.
    let (value, out) = match (&given, halves, call.len()) {
        (DataType::Decimal { precision, scale }, ..) => {
            (value, decimal_result(*precision, *scale, target))
        }
        (given, true, _) => (value, given.clone()),
        (given, false, 1) if is_integral(given) => {
            (implicit(value, &DataType::Long, call.ctx)?, DataType::Long)
        }
        (_, false, 1) => (implicit(value, &DataType::Double, call.ctx)?, DataType::Long),
        (given, false, _) => {
            let (precision, scale) = decimal_for(given).unwrap_or((30, 15));
            let wide = DataType::Decimal { precision, scale };
            (implicit(value, &wide, call.ctx)?, decimal_result(precision, scale, target))
        }
    };
    let safe = matches!(out, DataType::Float | DataType::Double) || target >= 0;
    let mode = if safe { Mode::Ansi } else { call.ctx.mode() };
    let params = Params::new(to_arrow(&out)).mode(mode).text(target.to_string());
    ours(name, vec![value], params)
}

/// The exact decimal that a double's shortest text shows: digits and scale.
fn digits(value: f64) -> Option<(i128, i32)> {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let unscaled: i128 = mantissa.replace('.', "").parse().ok()?;
    Some((unscaled, i32::try_from(fraction).ok()? - exponent.parse::<i32>().ok()?))
}

fn round_double(value: f64, target: i32, rounding: Rounding) -> f64 {
    if !value.is_finite() {
        return value;
    }
    let Some((unscaled, scale)) = digits(value) else { return value };
    let drop = i64::from(scale) - i64::from(target);
    if drop <= 0 {
        return value;
    }
    let rounded = rounding.apply(unscaled, u32::try_from(drop).unwrap_or(u32::MAX));
    let result = format!("{rounded}e{}", -i64::from(target)).parse().unwrap_or(value);
    // BigDecimal has no negative zero.
    if result == 0.0 { 0.0 } else { result }
}

fn round(args: &Args, rounding: Rounding) -> Result<ArrayRef> {
    let target: i32 = args.params.text.parse().unwrap_or(0);
    let array = args.array(0)?;
    match (array.data_type(), &args.params.result) {
        (Arrow::Float64, Arrow::Float64) => {
            let output: PrimitiveArray<Float64Type> = array
                .as_primitive::<Float64Type>()
                .unary(|value| round_double(value, target, rounding));
            Ok(Arc::new(output))
        }
        (Arrow::Float64, Arrow::Int64) => {
            let output: PrimitiveArray<Int64Type> =
                array.as_primitive::<Float64Type>().unary(|value| {
                    (if rounding == Rounding::Up { value.ceil() } else { value.floor() }) as i64
                });
            Ok(Arc::new(output))
        }
        (Arrow::Float32, _) => {
            let output: PrimitiveArray<Float32Type> =
                array.as_primitive::<Float32Type>().unary(|value| {
                    let shown: f64 = value.to_string().parse().unwrap_or(f64::from(value));
                    round_double(shown, target, rounding) as f32
                });
            Ok(Arc::new(output))
        }
        (Arrow::Decimal128(_, scale), Arrow::Decimal128(precision, out_scale)) => {
            round_decimals(args, &array, (*scale, *precision, *out_scale), target, rounding)
        }
        (Arrow::Int8, _) => round_integers::<Int8Type>(args, &array, target, rounding),
        (Arrow::Int16, _) => round_integers::<Int16Type>(args, &array, target, rounding),
        (Arrow::Int32, _) => round_integers::<Int32Type>(args, &array, target, rounding),
        (Arrow::Int64, _) => round_integers::<Int64Type>(args, &array, target, rounding),
        (from, to) => internal_err!("no rounding from {from} to {to}"),
    }
}

fn round_decimals(
    args: &Args,
    array: &ArrayRef,
    (scale, precision, out_scale): (i8, u8, i8),
    target: i32,
    rounding: Rounding,
) -> Result<ArrayRef> {
    let input = array.as_primitive::<Decimal128Type>();
    let drop = u32::try_from(i32::from(scale) - target).unwrap_or(0);
    // Digits left of the point that were rounded away come back as zeros.
    let zeros = u32::try_from(-target).unwrap_or(0);
    let mut values = Vec::with_capacity(input.len());
    for value in input {
        let Some(value) = value else {
            values.push(None);
            continue;
        };
        let rounded = rounding.apply(value, drop).checked_mul(pow10(zeros));
        match rounded.filter(|value| decimal::fits(*value, precision)) {
            None if args.ansi() => {
                let text = decimal::text(value, i32::from(scale));
                return fail(errors::decimal_out_of_range(&text, precision, out_scale));
            }
            value => values.push(value),
        }
    }
    let column: PrimitiveArray<Decimal128Type> = values.into_iter().collect();
    Ok(Arc::new(column.with_data_type(args.params.result.clone())))
}

fn round_integers<T>(
    args: &Args,
    array: &ArrayRef,
    target: i32,
    rounding: Rounding,
) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64> + TryFrom<i128>,
{
    if target >= 0 {
        return Ok(Arc::clone(array));
    }
    let drop = target.unsigned_abs();
    let input = array.as_primitive::<T>();
    let mut values = Vec::with_capacity(input.len());
    for value in input {
        let Some(value) = value else {
            values.push(None);
            continue;
        };
        let wide: i64 = value.into();
        let rounded = rounding.apply(i128::from(wide), drop) * pow10(drop.min(20));
        match T::Native::try_from(rounded) {
            Ok(value) => values.push(Some(value)),
            Err(_) if args.ansi() => {
                let name = if T::DATA_TYPE == Arrow::Int64 { "long" } else { "integer" };
                return fail(errors::arithmetic_overflow(&format!("{name} overflow"), ""));
            }
            Err(_) => values.push(None),
        }
    }
    Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<T>>()))
}
