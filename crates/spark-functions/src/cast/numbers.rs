//! Numbers, booleans, intervals and instants into each other.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as Arrow, Decimal128Type, DurationMicrosecondType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType,
    TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{Result, exec_err};
use spark_sql_parser::error::SparkError;

use super::{Options, each};
use crate::decimal::{self, pow10};
use crate::errors;
use crate::text;
use crate::time::{MICROS_PER_DAY, MICROS_PER_SECOND};
use crate::types::from_arrow;
use crate::udf::Mode;

pub(super) fn convert(array: &ArrayRef, to: &Arrow, options: Options) -> Result<ArrayRef> {
    match array.data_type() {
        Arrow::Boolean => from_boolean(array.as_boolean(), to),
        Arrow::Int8 => from_integer::<Int8Type>(array, to, options),
        Arrow::Int16 => from_integer::<Int16Type>(array, to, options),
        Arrow::Int32 => from_integer::<Int32Type>(array, to, options),
        Arrow::Int64 => from_integer::<Int64Type>(array, to, options),
        Arrow::Float32 => from_float::<Float32Type>(array, to, options),
        Arrow::Float64 => from_float::<Float64Type>(array, to, options),
        Arrow::Decimal128(_, scale) => from_decimal(array, *scale, to, options),
        Arrow::Timestamp(TimeUnit::Microsecond, _) => from_timestamp(array, to, options),
        Arrow::Date32 => Ok(arrow::array::new_null_array(to, array.len())),
        Arrow::Interval(IntervalUnit::YearMonth) => from_months(array, to, options),
        Arrow::Duration(TimeUnit::Microsecond) => from_duration(array, to, options),
        // Foreign Arrow types (unsigned, seconds, …) that some source produced.
        _ => Ok(arrow::compute::cast(array, to)?),
    }
}

fn unsupported(array: &dyn Array, to: &Arrow) -> Result<ArrayRef> {
    exec_err!("no cast from {} to {to}", array.data_type())
}

/// Dispatches on a whole-number target.
macro_rules! to_integer {
    ($to:expr, $t:ident => $body:expr, $other:expr) => {
        match $to {
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
            _ => $other,
        }
    };
}

/// Narrowing from 64 bits as Java's casts do it.
trait Integer: ArrowPrimitiveType {
    const SUFFIX: &'static str;
    fn wrap(value: i64) -> Self::Native;
    fn exact(value: i64) -> Option<Self::Native>;
    fn widen(value: Self::Native) -> i64;
    /// `(int) double` and then narrower, saturating at int or long.
    fn saturate(value: f64) -> Self::Native;
}

macro_rules! integer {
    ($arrow:ty, $native:ty, $suffix:literal, $wide:ty) => {
        impl Integer for $arrow {
            const SUFFIX: &'static str = $suffix;
            fn wrap(value: i64) -> $native {
                value as $native
            }
            fn exact(value: i64) -> Option<$native> {
                <$native>::try_from(value).ok()
            }
            fn widen(value: $native) -> i64 {
                i64::from(value)
            }
            fn saturate(value: f64) -> $native {
                value as $wide as $native
            }
        }
    };
}
integer!(Int8Type, i8, "Y", i32);
integer!(Int16Type, i16, "S", i32);
integer!(Int32Type, i32, "", i32);
integer!(Int64Type, i64, "L", i64);

fn from_boolean(array: &BooleanArray, to: &Arrow) -> Result<ArrayRef> {
    fn numbers<T: ArrowPrimitiveType>(
        array: &BooleanArray,
        to: &Arrow,
        one: T::Native,
    ) -> ArrayRef {
        let zero = T::default_value();
        let values: Vec<T::Native> =
            array.values().iter().map(|bit| if bit { one } else { zero }).collect();
        let column = PrimitiveArray::<T>::new(values.into(), array.nulls().cloned());
        Arc::new(column.with_data_type(to.clone()))
    }
    Ok(match to {
        Arrow::Int8 => numbers::<Int8Type>(array, to, 1),
        Arrow::Int16 => numbers::<Int16Type>(array, to, 1),
        Arrow::Int32 => numbers::<Int32Type>(array, to, 1),
        Arrow::Int64 => numbers::<Int64Type>(array, to, 1),
        Arrow::Float32 => numbers::<Float32Type>(array, to, 1.0),
        Arrow::Float64 => numbers::<Float64Type>(array, to, 1.0),
        Arrow::Decimal128(_, scale) => {
            let one = pow10(u32::try_from(*scale).unwrap_or(0));
            numbers::<Decimal128Type>(array, to, one)
        }
        Arrow::Timestamp(..) => numbers::<TimestampMicrosecondType>(array, to, 1),
        _ => return unsupported(array, to),
    })
}

fn to_boolean<T: ArrowPrimitiveType>(array: &ArrayRef) -> ArrayRef {
    let input = array.as_primitive::<T>();
    let zero = T::default_value();
    let values = BooleanBuffer::collect_bool(input.len(), |row| input.value(row) != zero);
    Arc::new(BooleanArray::new(values, input.nulls().cloned()))
}

fn from_integer<I: Integer>(array: &ArrayRef, to: &Arrow, options: Options) -> Result<ArrayRef> {
    let mode = options.mode;
    let (from_type, to_type) = (from_arrow(array.data_type()), from_arrow(to));
    let overflow = |value: I::Native| {
        errors::cast_overflow(&format!("{}{}", I::widen(value), I::SUFFIX), &from_type, &to_type)
    };
    to_integer!(to, O => each::<I, O>(
        array,
        to,
        mode,
        |value| match mode {
            Mode::Legacy => Some(O::wrap(I::widen(value))),
            _ => O::exact(I::widen(value)),
        },
        overflow,
    ), match to {
        Arrow::Boolean => Ok(to_boolean::<I>(array)),
        Arrow::Float32 => {
            each::<I, Float32Type>(array, to, mode, |v| Some(I::widen(v) as f32), overflow)
        }
        Arrow::Float64 => {
            each::<I, Float64Type>(array, to, mode, |v| Some(I::widen(v) as f64), overflow)
        }
        Arrow::Decimal128(precision, scale) => each::<I, Decimal128Type>(
            array,
            to,
            mode,
            |value| {
                decimal::rescale(i128::from(I::widen(value)), 0, i32::from(*scale))
                    .filter(|value| decimal::fits(*value, *precision))
            },
            |value| {
                errors::decimal_out_of_range(&I::widen(value).to_string(), *precision, *scale)
            },
        ),
        Arrow::Timestamp(..) => each::<I, TimestampMicrosecondType>(
            array,
            to,
            mode,
            |value| Some(I::widen(value).saturating_mul(MICROS_PER_SECOND)),
            overflow,
        ),
        Arrow::Interval(IntervalUnit::YearMonth) => each::<I, IntervalYearMonthType>(
            array,
            to,
            mode,
            |value| i32::try_from(I::widen(value)).ok(),
            overflow,
        ),
        Arrow::Duration(_) => each::<I, DurationMicrosecondType>(
            array,
            to,
            mode,
            |value| I::widen(value).checked_mul(MICROS_PER_SECOND),
            overflow,
        ),
        Arrow::Binary => {
            let width = array.data_type().primitive_width().unwrap_or(8);
            let input = array.as_primitive::<I>();
            let bytes = input.iter().map(|value| {
                value.map(|value| I::widen(value).to_be_bytes()[8 - width..].to_vec())
            });
            Ok(Arc::new(bytes.collect::<arrow::array::BinaryArray>()))
        }
        _ => unsupported(array, to),
    })
}

/// Both widths of floating point, seen as doubles.
trait Float: ArrowPrimitiveType {
    fn widen(value: Self::Native) -> f64;
    fn text(value: Self::Native) -> String;
    const SUFFIX: &'static str;
}

impl Float for Float32Type {
    const SUFFIX: &'static str = "";
    fn widen(value: f32) -> f64 {
        f64::from(value)
    }
    fn text(value: f32) -> String {
        text::float(value)
    }
}

impl Float for Float64Type {
    const SUFFIX: &'static str = "D";
    fn widen(value: f64) -> f64 {
        value
    }
    fn text(value: f64) -> String {
        text::double(value)
    }
}

fn from_float<I: Float>(array: &ArrayRef, to: &Arrow, options: Options) -> Result<ArrayRef> {
    let mode = options.mode;
    let (from_type, to_type) = (from_arrow(array.data_type()), from_arrow(to));
    let overflow = |value: I::Native| {
        errors::cast_overflow(&format!("{}{}", I::text(value), I::SUFFIX), &from_type, &to_type)
    };
    to_integer!(to, O => {
        // The bounds are O's own, one beyond on each side as doubles see them.
        let bits = <O as ArrowPrimitiveType>::Native::BITS;
        let limit = 2_f64.powi(i32::try_from(bits).unwrap_or(64) - 1);
        each::<I, O>(
            array,
            to,
            mode,
            |value| {
                let value = I::widen(value);
                let inside = value.floor() < limit && value.ceil() >= -limit;
                if mode == Mode::Legacy || inside { Some(O::saturate(value)) } else { None }
            },
            overflow,
        )
    }, match to {
        Arrow::Boolean => {
            let input = array.as_primitive::<I>();
            let values =
                BooleanBuffer::collect_bool(input.len(), |row| I::widen(input.value(row)) != 0.0);
            Ok(Arc::new(BooleanArray::new(values, input.nulls().cloned())))
        }
        Arrow::Float32 => {
            each::<I, Float32Type>(array, to, mode, |v| Some(I::widen(v) as f32), overflow)
        }
        Arrow::Float64 => {
            each::<I, Float64Type>(array, to, mode, |v| Some(I::widen(v)), overflow)
        }
        Arrow::Decimal128(precision, scale) => {
            let input = array.as_primitive::<I>();
            let mut builder = Vec::with_capacity(input.len());
            for value in input {
                builder.push(match value {
                    Some(value) if I::widen(value).is_finite() => {
                        let parsed = decimal::parse(&I::text(value), i32::from(*scale));
                        match parsed {
                            Some(Ok(unscaled)) if decimal::fits(unscaled, *precision) => {
                                Some(unscaled)
                            }
                            _ if mode == Mode::Ansi => {
                                return crate::udf::fail(errors::decimal_out_of_range(
                                    &I::text(value), *precision, *scale,
                                ));
                            }
                            _ => None,
                        }
                    }
                    _ => None,
                });
            }
            let column: PrimitiveArray<Decimal128Type> = builder.into_iter().collect();
            Ok(Arc::new(column.with_data_type(to.clone())))
        }
        Arrow::Timestamp(..) => each::<I, TimestampMicrosecondType>(
            array,
            to,
            mode,
            |value| {
                let value = I::widen(value);
                value.is_finite().then_some((value * 1e6) as i64)
            },
            |value| errors::cast_invalid_input(&I::text(value), &from_type, &to_type),
        ),
        _ => unsupported(array, to),
    })
}

fn from_decimal(array: &ArrayRef, from: i8, to: &Arrow, options: Options) -> Result<ArrayRef> {
    type I = Decimal128Type;
    let mode = options.mode;
    let from = i32::from(from);
    let (from_type, to_type) = (from_arrow(array.data_type()), from_arrow(to));
    let overflow = |value: i128| -> SparkError {
        errors::cast_overflow(&format!("{}BD", decimal::text(value, from)), &from_type, &to_type)
    };
    let whole = |value: i128| {
        if from >= 0 {
            Some(value / pow10(from.unsigned_abs()))
        } else {
            value.checked_mul(pow10(from.unsigned_abs()))
        }
    };
    to_integer!(to, O => each::<I, O>(
        array,
        to,
        mode,
        |value| match mode {
            Mode::Legacy => Some(O::wrap(whole(value)? as i64)),
            _ => O::exact(i64::try_from(whole(value)?).ok()?),
        },
        overflow,
    ), match to {
        Arrow::Boolean => Ok(to_boolean::<I>(array)),
        Arrow::Float32 => {
            each::<I, Float32Type>(array, to, mode, |v| Some(to_double(v, from) as f32), overflow)
        }
        Arrow::Float64 => {
            each::<I, Float64Type>(array, to, mode, |v| Some(to_double(v, from)), overflow)
        }
        Arrow::Decimal128(precision, scale) => each::<I, I>(
            array,
            to,
            mode,
            |value| {
                decimal::rescale(value, from, i32::from(*scale))
                    .filter(|value| decimal::fits(*value, *precision))
            },
            |value| {
                errors::decimal_out_of_range(&decimal::text(value, from), *precision, *scale)
            },
        ),
        Arrow::Timestamp(..) => each::<I, TimestampMicrosecondType>(
            array,
            to,
            mode,
            |value| {
                let micros = decimal::truncating_divide(value, 1, 6 - from)?;
                i64::try_from(micros).ok()
            },
            overflow,
        ),
        Arrow::Interval(IntervalUnit::YearMonth) => each::<I, IntervalYearMonthType>(
            array,
            to,
            mode,
            |value| i32::try_from(decimal::rescale(value, from, 0)?).ok(),
            overflow,
        ),
        Arrow::Duration(_) => each::<I, DurationMicrosecondType>(
            array,
            to,
            mode,
            |value| i64::try_from(decimal::rescale(value, from, 6)?).ok(),
            overflow,
        ),
        _ => unsupported(array, to),
    })
}

/// The double nearest to a decimal. Small values divide exactly; others go through text, as `BigDecimal.doubleValue`.
pub(crate) fn to_double(value: i128, scale: i32) -> f64 {
    if value.unsigned_abs() < 1 << 53 && (0..=22).contains(&scale) {
        return value as f64 / 10_f64.powi(scale);
    }
    if scale == 0 {
        return value as f64;
    }
    decimal::text(value, scale).parse().unwrap_or(f64::NAN)
}

fn from_timestamp(array: &ArrayRef, to: &Arrow, options: Options) -> Result<ArrayRef> {
    type I = TimestampMicrosecondType;
    let mode = options.mode;
    let (from_type, to_type) = (from_arrow(array.data_type()), from_arrow(to));
    let overflow = |value: i64| errors::cast_overflow(&value.to_string(), &from_type, &to_type);
    to_integer!(to, O => each::<I, O>(
        array,
        to,
        mode,
        |micros| {
            let seconds = micros.div_euclid(MICROS_PER_SECOND);
            if mode == Mode::Legacy { Some(O::wrap(seconds)) } else { O::exact(seconds) }
        },
        overflow,
    ), match to {
        Arrow::Boolean => Ok(to_boolean::<I>(array)),
        Arrow::Float32 => {
            each::<I, Float32Type>(array, to, mode, |v| Some((v as f64 / 1e6) as f32), overflow)
        }
        Arrow::Float64 => {
            each::<I, Float64Type>(array, to, mode, |v| Some(v as f64 / 1e6), overflow)
        }
        Arrow::Decimal128(precision, scale) => each::<I, Decimal128Type>(
            array,
            to,
            mode,
            |value| {
                decimal::rescale(i128::from(value), 6, i32::from(*scale))
                    .filter(|value| decimal::fits(*value, *precision))
            },
            |value| {
                errors::decimal_out_of_range(
                    &decimal::text(i128::from(value), 6), *precision, *scale,
                )
            },
        ),
        _ => unsupported(array, to),
    })
}

fn from_months(array: &ArrayRef, to: &Arrow, options: Options) -> Result<ArrayRef> {
    type I = IntervalYearMonthType;
    let mode = options.mode;
    let (from_type, to_type) = (from_arrow(array.data_type()), from_arrow(to));
    let overflow = |value: i32| errors::cast_overflow(&value.to_string(), &from_type, &to_type);
    to_integer!(
        to,
        O => each::<I, O>(array, to, mode, |months| O::exact(i64::from(months)), overflow),
        unsupported(array, to)
    )
}

fn from_duration(array: &ArrayRef, to: &Arrow, options: Options) -> Result<ArrayRef> {
    type I = DurationMicrosecondType;
    let mode = options.mode;
    let (from_type, to_type) = (from_arrow(array.data_type()), from_arrow(to));
    let overflow = |value: i64| errors::cast_overflow(&value.to_string(), &from_type, &to_type);
    to_integer!(
        to,
        O => each::<I, O>(
            array, to, mode, |micros| O::exact(micros / MICROS_PER_SECOND), overflow
        ),
        match to {
            Arrow::Decimal128(precision, scale) => each::<I, Decimal128Type>(
                array,
                to,
                mode,
                |value| {
                    decimal::rescale(i128::from(value), 6, i32::from(*scale))
                        .filter(|value| decimal::fits(*value, *precision))
                },
                overflow,
            ),
            Arrow::Interval(_) => each::<I, IntervalYearMonthType>(
                array, to, mode, |v| i32::try_from(v / MICROS_PER_DAY).ok(), overflow
            ),
            _ => unsupported(array, to),
        }
    )
}
