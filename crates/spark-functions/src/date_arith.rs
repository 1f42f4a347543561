//! Dates, timestamps and intervals under `+ - * /`.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType,
    Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalYearMonthType,
    TimestampMicrosecondType,
};
use datafusion::common::{Result as DfResult, ScalarValue, internal_err};
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::arith::{Legacy, checked};
use crate::cast::implicit;
use crate::errors;
use crate::signature::Call;
use crate::time::{self, MICROS_PER_DAY, Zone};
use crate::types::{is_integral, is_numeric, is_string, to_arrow};
use crate::udf::{Args, Definition, Mode, Params, fail, ours};

pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition::fallible("date_add", |args| shift_days(args, 1)),
    Definition::fallible("date_sub", |args| shift_days(args, -1)),
    Definition::fallible("date_add_months", |args| shift_date_months(args, 1)),
    Definition::fallible("date_sub_months", |args| shift_date_months(args, -1)),
    Definition::fallible("date_add_interval", |args| shift_date_calendar(args, 1)),
    Definition::fallible("date_sub_interval", |args| shift_date_calendar(args, -1)),
    Definition::fallible("timestamp_add_months", |args| shift_months(args, 1)),
    Definition::fallible("timestamp_sub_months", |args| shift_months(args, -1)),
    Definition::fallible("timestamp_add_micros", |args| shift_micros(args, 1)),
    Definition::fallible("timestamp_sub_micros", |args| shift_micros(args, -1)),
    Definition::fallible("timestamp_add_interval", |args| shift_calendar(args, 1)),
    Definition::fallible("timestamp_sub_interval", |args| shift_calendar(args, -1)),
    Definition::fallible("subtract_dates", subtract_dates),
    Definition::fallible("subtract_timestamps", subtract_timestamps),
    Definition::fallible("interval_add", |args| add_calendars(args, 1)),
    Definition::fallible("interval_sub", |args| add_calendars(args, -1)),
    Definition::fallible("negative_interval", negative),
    Definition::fallible("interval_multiply", |args| scale(args, false)),
    Definition::fallible("interval_divide", |args| scale(args, true)),
];

fn is_interval(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::CalendarInterval
            | DataType::YearMonthInterval { .. }
            | DataType::DayTimeInterval { .. }
    )
}

fn is_datetime(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date | DataType::Timestamp | DataType::TimestampNtz)
}

/// Answers for operands of which at least one is a date, a timestamp or an interval.
pub(crate) fn build(call: &Call, name: &str, mode: Mode) -> Result<Option<Expr>, SparkError> {
    use DataType as T;
    let (left, right) = (call.args[0].clone(), call.args[1].clone());
    let (l, r) = (&call.types[0], &call.types[1]);
    let plus = name == "+";
    let op = |stem: &str| format!("{stem}_{}", if plus { "add" } else { "sub" });
    let make = |name: &str, args: Vec<Expr>, out: &T, zoned: bool| {
        let zone = if zoned { call.ctx.time_zone } else { "" };
        ours(name, args, Params::new(to_arrow(out)).mode(mode).zone(zone)).map(Some)
    };
    match (name, l, r) {
        ("+", a, b) if (is_interval(a) || is_integral(a)) && is_datetime(b) => {
            let swapped = Call::new("+", vec![right, left], call.ctx)?;
            build(&swapped, name, mode)
        }
        ("+" | "-", T::Date, b) if is_integral(b) => {
            let days = implicit(right, &T::Integer, call.ctx)?;
            make(&op("date"), vec![left, days], &T::Date, false)
        }
        ("+" | "-", T::Date, T::YearMonthInterval { .. }) => {
            make(&format!("{}_months", op("date")), vec![left, right], &T::Date, false)
        }
        ("+" | "-", T::Date, T::DayTimeInterval { .. }) => {
            // Arrow's durations do not say their fields: literals of whole days are DAY intervals.
            if let Expr::Literal(ScalarValue::DurationMicrosecond(Some(micros)), _) = &right
                && micros % MICROS_PER_DAY == 0
                && let Ok(days) = i32::try_from(micros / MICROS_PER_DAY)
            {
                let days = Expr::Literal(ScalarValue::Int32(Some(days)), None);
                return make(&op("date"), vec![left, days], &T::Date, false);
            }
            let instant = implicit(left, &T::Timestamp, call.ctx)?;
            make(&format!("{}_micros", op("timestamp")), vec![instant, right], &T::Timestamp, true)
        }
        ("+" | "-", T::Date, T::CalendarInterval) => {
            make(&format!("{}_interval", op("date")), vec![left, right], &T::Date, false)
        }
        ("+" | "-", a, b) if (is_datetime(a) || is_string(a)) && is_interval(b) => {
            let out = if is_string(a) { T::Timestamp } else { a.clone() };
            let left = implicit(left, &out, call.ctx)?;
            let kind = match b {
                T::YearMonthInterval { .. } => "months",
                T::DayTimeInterval { .. } => "micros",
                _ => "interval",
            };
            let zoned = out == T::Timestamp;
            make(&format!("{}_{kind}", op("timestamp")), vec![left, right], &out, zoned)
        }
        ("-", T::Date, T::Date) => make(
            "subtract_dates",
            vec![left, right],
            &T::DayTimeInterval { start: 0, end: 0 },
            false,
        ),
        ("-", T::Date, b) if is_string(b) => {
            let right = implicit(right, &T::Date, call.ctx)?;
            make(
                "subtract_dates",
                vec![left, right],
                &T::DayTimeInterval { start: 0, end: 0 },
                false,
            )
        }
        ("-", a, b)
            if (is_datetime(a) || is_string(a))
                && (is_datetime(b) || is_string(b))
                && (is_datetime(a) || is_datetime(b)) =>
        {
            let common = match (a, b) {
                (T::TimestampNtz, T::TimestampNtz) => T::TimestampNtz,
                _ if is_string(a) && *b == T::Date => T::Date,
                _ => T::Timestamp,
            };
            let (left, right) =
                (implicit(left, &common, call.ctx)?, implicit(right, &common, call.ctx)?);
            let out = T::DayTimeInterval { start: 0, end: 3 };
            if common == T::Date {
                return make("subtract_dates", vec![left, right], &out, false);
            }
            make("subtract_timestamps", vec![left, right], &out, common == T::Timestamp)
        }
        ("+" | "-", T::CalendarInterval, T::CalendarInterval) => {
            make(&op("interval"), vec![left, right], l, false)
        }
        ("+" | "-" | "div", T::YearMonthInterval { .. }, T::YearMonthInterval { .. })
        | ("+" | "-" | "div", T::DayTimeInterval { .. }, T::DayTimeInterval { .. }) => {
            let out = if name == "div" { &T::Long } else { l };
            make(name, vec![left, right], out, false)
        }
        ("*", a, b) if is_interval(b) && (is_numeric(a) || is_string(a)) => {
            let swapped = Call::new("*", vec![right, left], call.ctx)?;
            build(&swapped, name, mode)
        }
        ("*" | "/", a, b) if is_interval(a) && (is_numeric(b) || is_string(b)) => {
            let number = match b {
                b if is_integral(b) => T::Decimal { precision: 20, scale: 0 },
                T::Decimal { .. } => b.clone(),
                _ => T::Double,
            };
            let number = if *a == T::CalendarInterval { T::Double } else { number };
            let right = implicit(right, &number, call.ctx)?;
            let function = if name == "*" { "interval_multiply" } else { "interval_divide" };
            make(function, vec![left, right], a, false)
        }
        _ => Ok(None),
    }
}

fn date_overflow() -> SparkError {
    errors::datetime_overflow("the result is beyond the dates' range")
}

fn shift_days(args: &Args, sign: i32) -> DfResult<ArrayRef> {
    type D = Date32Type;
    type I = arrow::datatypes::Int32Type;
    checked::<D, I, D>(
        args,
        |days, by| days.overflowing_add(by.wrapping_mul(sign)),
        |_, _| errors::arithmetic_overflow("integer overflow", ""),
        Legacy::Wraps,
    )
}

fn shift_date_months(args: &Args, sign: i64) -> DfResult<ArrayRef> {
    type D = Date32Type;
    checked::<D, IntervalYearMonthType, D>(
        args,
        |days, months| match i32::try_from(time::add_months(
            i64::from(days),
            sign * i64::from(months),
        )) {
            Ok(days) => (days, false),
            Err(_) => (0, true),
        },
        |_, _| date_overflow(),
        Legacy::Null,
    )
}

fn shift_date_calendar(args: &Args, sign: i64) -> DfResult<ArrayRef> {
    type D = Date32Type;
    checked::<D, IntervalMonthDayNanoType, D>(
        args,
        |days, by| {
            let moved = time::add_months(i64::from(days), sign * i64::from(by.months))
                + sign * i64::from(by.days);
            match i32::try_from(moved) {
                Ok(days) if by.nanoseconds == 0 => (days, false),
                Ok(days) => {
                    // Outside ANSI mode the clock part moves the date too.
                    let micros = i64::from(days) * MICROS_PER_DAY + sign * by.nanoseconds / 1000;
                    (i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap_or(days), true)
                }
                Err(_) => (0, true),
            }
        },
        |_, _| {
            SparkError::new(
                spark_sql_parser::error::ErrorKind::IllegalArgument,
                "INVALID_INTERVAL_WITH_MICROSECONDS_ADDITION",
                "22006",
                "Cannot add an interval to a date because its microseconds part is not 0. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
            )
        },
        Legacy::Wraps,
    )
}

fn zone(args: &Args) -> Zone {
    Zone::parse(&args.params.zone).unwrap_or(Zone::Fixed(0))
}

/// Moves the wall clock by months, then days, and the instant by microseconds.
fn shifted(zone: Zone, micros: i64, months: i64, days: i64, by: i64) -> i64 {
    if months == 0 && days == 0 {
        return micros.wrapping_add(by);
    }
    let local = zone.to_local(micros);
    let (date, clock) = (local.div_euclid(MICROS_PER_DAY), local.rem_euclid(MICROS_PER_DAY));
    let date = time::add_months(date, months) + days;
    zone.to_utc(date.wrapping_mul(MICROS_PER_DAY).wrapping_add(clock)).wrapping_add(by)
}

fn shift_months(args: &Args, sign: i64) -> DfResult<ArrayRef> {
    type T = TimestampMicrosecondType;
    let zone = zone(args);
    checked::<T, IntervalYearMonthType, T>(
        args,
        |micros, months| (shifted(zone, micros, sign * i64::from(months), 0, 0), false),
        |_, _| date_overflow(),
        Legacy::Wraps,
    )
}

fn shift_micros(args: &Args, sign: i64) -> DfResult<ArrayRef> {
    type T = TimestampMicrosecondType;
    let zone = zone(args);
    checked::<T, DurationMicrosecondType, T>(
        args,
        |micros, by| {
            // Whole days move the wall clock, the rest the instant.
            let (days, rest) = (by / MICROS_PER_DAY, by % MICROS_PER_DAY);
            (shifted(zone, micros, 0, sign * days, sign * rest), false)
        },
        |_, _| date_overflow(),
        Legacy::Wraps,
    )
}

fn shift_calendar(args: &Args, sign: i64) -> DfResult<ArrayRef> {
    type T = TimestampMicrosecondType;
    let zone = zone(args);
    checked::<T, IntervalMonthDayNanoType, T>(
        args,
        |micros, by| {
            let (months, days) = (sign * i64::from(by.months), sign * i64::from(by.days));
            (shifted(zone, micros, months, days, sign * by.nanoseconds / 1000), false)
        },
        |_, _| date_overflow(),
        Legacy::Wraps,
    )
}

fn subtract_dates(args: &Args) -> DfResult<ArrayRef> {
    type D = Date32Type;
    checked::<D, D, DurationMicrosecondType>(
        args,
        |l, r| match (i64::from(l) - i64::from(r)).checked_mul(MICROS_PER_DAY) {
            Some(micros) => (micros, false),
            None => (0, true),
        },
        |_, _| errors::interval_overflow("try_subtract"),
        Legacy::Null,
    )
}

fn subtract_timestamps(args: &Args) -> DfResult<ArrayRef> {
    type T = TimestampMicrosecondType;
    let zone = zone(args);
    checked::<T, T, DurationMicrosecondType>(
        args,
        |l, r| zone.to_local(l).overflowing_sub(zone.to_local(r)),
        |_, _| errors::interval_overflow("try_subtract"),
        Legacy::Null,
    )
}

fn add_calendars(args: &Args, sign: i32) -> DfResult<ArrayRef> {
    type T = IntervalMonthDayNanoType;
    checked::<T, T, T>(
        args,
        |l, r| {
            let months = r.months.checked_mul(sign).and_then(|m| l.months.checked_add(m));
            let days = r.days.checked_mul(sign).and_then(|d| l.days.checked_add(d));
            let nanos = r
                .nanoseconds
                .checked_mul(i64::from(sign))
                .and_then(|n| l.nanoseconds.checked_add(n));
            match (months, days, nanos) {
                (Some(m), Some(d), Some(n)) => (IntervalMonthDayNano::new(m, d, n), false),
                _ => (IntervalMonthDayNano::ZERO, true),
            }
        },
        |_, _| errors::interval_overflow(if sign > 0 { "try_add" } else { "try_subtract" }),
        Legacy::Null,
    )
}

fn negative(args: &Args) -> DfResult<ArrayRef> {
    type T = IntervalMonthDayNanoType;
    crate::arith::checked_unary::<T, T>(
        args,
        |value| {
            let negated = (
                value.months.checked_neg(),
                value.days.checked_neg(),
                value.nanoseconds.checked_neg(),
            );
            match negated {
                (Some(m), Some(d), Some(n)) => (IntervalMonthDayNano::new(m, d, n), false),
                _ => (IntervalMonthDayNano::ZERO, true),
            }
        },
        |_| errors::interval_overflow(""),
        Legacy::Null,
    )
}

/// Interval times or divided by a number, rounded HALF_UP to its unit.
fn scale(args: &Args, divide: bool) -> DfResult<ArrayRef> {
    let numbers = args.array(1)?;
    let function = if divide { "try_divide" } else { "try_multiply" };
    let scaled = |value: i64, row: usize| -> Option<i64> {
        match numbers.data_type() {
            Arrow::Decimal128(_, scale) => {
                let number = numbers.as_primitive::<Decimal128Type>().value(row);
                let value = i128::from(value);
                let result = if divide {
                    crate::decimal::divide(value, number, i32::from(*scale))?
                } else {
                    crate::decimal::rescale(value.checked_mul(number)?, i32::from(*scale), 0)?
                };
                i64::try_from(result).ok()
            }
            _ => {
                let number = numbers.as_primitive::<Float64Type>().value(row);
                let result = if divide { value as f64 / number } else { value as f64 * number };
                let result = (result + 0.5).floor();
                (result.is_finite() && result.abs() < i64::MAX as f64).then_some(result as i64)
            }
        }
    };
    let zero = |row: usize| match numbers.data_type() {
        Arrow::Decimal128(..) => numbers.as_primitive::<Decimal128Type>().value(row) == 0,
        _ => numbers.as_primitive::<Float64Type>().value(row) == 0.0,
    };
    let error = |row: usize| -> SparkError {
        if divide && zero(row) {
            SparkError::new(
                spark_sql_parser::error::ErrorKind::Arithmetic,
                "INTERVAL_DIVIDED_BY_ZERO",
                "22012",
                "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.",
            )
        } else {
            errors::interval_overflow(function)
        }
    };
    let intervals = args.array(0)?;
    fn run<T: ArrowPrimitiveType>(
        args: &Args,
        intervals: &ArrayRef,
        numbers: &ArrayRef,
        apply: impl Fn(T::Native, usize) -> Option<T::Native>,
        error: impl Fn(usize) -> SparkError,
    ) -> DfResult<ArrayRef> {
        let Some(input) = intervals.as_primitive_opt::<T>() else {
            return internal_err!("{} is no interval", intervals.data_type());
        };
        let mut values = Vec::with_capacity(input.len());
        for row in 0..input.len() {
            if input.is_null(row) || numbers.is_null(row) {
                values.push(None);
                continue;
            }
            match apply(input.value(row), row) {
                None if args.params.mode != Mode::Try => return fail(error(row)),
                value => values.push(value),
            }
        }
        let column: PrimitiveArray<T> = values.into_iter().collect();
        Ok(Arc::new(column.with_data_type(args.params.result.clone())))
    }
    match intervals.data_type() {
        Arrow::Interval(arrow::datatypes::IntervalUnit::YearMonth) => run::<IntervalYearMonthType>(
            args,
            &intervals,
            &numbers,
            |months, row| i32::try_from(scaled(i64::from(months), row)?).ok(),
            error,
        ),
        Arrow::Duration(_) => {
            run::<DurationMicrosecondType>(args, &intervals, &numbers, scaled, error)
        }
        _ => run::<IntervalMonthDayNanoType>(
            args,
            &intervals,
            &numbers,
            |value, row| {
                let number = numbers.as_primitive::<Float64Type>().value(row);
                if divide && number == 0.0 {
                    return None;
                }
                let factor = if divide { 1.0 / number } else { number };
                let months = f64::from(value.months) * factor;
                let days = f64::from(value.days) * factor + months.fract() * 31.0 * 0.0;
                let nanos = value.nanoseconds as f64 * factor
                    + days.fract() * (MICROS_PER_DAY as f64) * 1000.0;
                Some(IntervalMonthDayNano::new(
                    months as i32,
                    days as i32,
                    (nanos / 1000.0).round() as i64 * 1000,
                ))
            },
            error,
        ),
    }
}
