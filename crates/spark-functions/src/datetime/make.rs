//! Dates, timestamps and intervals from their fields.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType as Arrow;
use arrow::datatypes::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalYearMonthType,
    TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::cast::implicit;
use crate::errors;
use crate::kernels::numbers;
use crate::signature::{Call, Function, Out, Ty, f};
use crate::time::{
    self, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Zone,
};
use crate::types::to_arrow;
use crate::udf::{Args, Definition, Mode, Params, fail, ours};

pub(super) const FUNCTIONS: &[Function] = &[
    f("make_date", &[Ty::Int, Ty::Int, Ty::Int], Out::Date),
    f("make_ym_interval", &[Ty::Int, Ty::Int], Out::Of(year_month)).optional(2),
    f("timestamp_millis", &[Ty::Long], Out::Ts),
    f("timestamp_micros", &[Ty::Long], Out::Ts),
    f("timestamp_seconds", &[Ty::Num], Out::Ts),
];

fn year_month(_types: &[DataType]) -> DataType {
    DataType::YearMonthInterval { start: 0, end: 1 }
}

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::strict("make_date", make_date).failing(),
    Definition::strict("make_timestamp", make_timestamp).failing(),
    Definition::strict("make_interval", make_interval).failing(),
    Definition::strict("make_dt_interval", make_day_time).failing(),
    Definition::strict("make_ym_interval", make_year_month).failing(),
    Definition::strict("timestamp_millis", |args| from_number(args, 1000)).failing(),
    Definition::strict("timestamp_micros", |args| from_number(args, 1)).failing(),
    Definition::strict("timestamp_seconds", timestamp_seconds).failing(),
];

fn seconds_type(precision: u8) -> DataType {
    DataType::Decimal { precision, scale: 6 }
}

/// The makers whose last argument is decimal seconds.
pub(super) fn build(call: &Call) -> std::result::Result<Option<Expr>, SparkError> {
    let int = |index: usize| call.coerced(index, &DataType::Integer);
    let literal =
        |value: i32| Expr::Literal(datafusion::common::ScalarValue::Int32(Some(value)), None);
    match call.name {
        "make_timestamp"
        | "make_timestamp_ltz"
        | "make_timestamp_ntz"
        | "try_make_timestamp"
        | "try_make_timestamp_ltz"
        | "try_make_timestamp_ntz" => {
            call.arity(6, 7)?;
            let mut args = (0..5).map(int).collect::<std::result::Result<Vec<_>, _>>()?;
            args.push(implicit(call.args[5].clone(), &seconds_type(16), call.ctx)?);
            if call.len() == 7 {
                args.push(call.coerced(6, &DataType::String)?);
            }
            let out = if call.name.ends_with("ntz") {
                DataType::TimestampNtz
            } else {
                DataType::Timestamp
            };
            let mode = if call.name.starts_with("try_") { Mode::Try } else { call.ctx.mode() };
            let params = Params::new(to_arrow(&out)).mode(mode).zone(call.ctx.time_zone);
            ours("make_timestamp", args, params).map(Some)
        }
        "make_interval" | "try_make_interval" => {
            call.arity(0, 7)?;
            let mut args = vec![];
            for index in 0..6 {
                args.push(if index < call.len() { int(index)? } else { literal(0) });
            }
            let seconds = call.args.get(6).cloned().unwrap_or_else(|| literal(0));
            args.push(implicit(seconds, &seconds_type(18), call.ctx)?);
            let mode = if call.name.starts_with("try_") { Mode::Try } else { call.ctx.mode() };
            let params = Params::new(to_arrow(&DataType::CalendarInterval)).mode(mode);
            ours("make_interval", args, params).map(Some)
        }
        "make_dt_interval" => {
            call.arity(0, 4)?;
            let mut args = vec![];
            for index in 0..3 {
                args.push(if index < call.len() { int(index)? } else { literal(0) });
            }
            let seconds = call.args.get(3).cloned().unwrap_or_else(|| literal(0));
            args.push(implicit(seconds, &seconds_type(18), call.ctx)?);
            let out = DataType::DayTimeInterval { start: 0, end: 3 };
            ours("make_dt_interval", args, Params::new(to_arrow(&out))).map(Some)
        }
        "make_ym_interval" if call.len() < 2 => {
            let years = if call.len() == 1 { int(0)? } else { literal(0) };
            crate::scalar("make_ym_interval", vec![years, literal(0)], call.ctx).map(Some)
        }
        _ => Ok(None),
    }
}

/// Java's sentence for the first field out of its range.
fn range_message(year: i64, month: i64, day: i64) -> String {
    if !(1..=12).contains(&month) {
        return format!("Invalid value for MonthOfYear (valid values 1 - 12): {month}");
    }
    if !(1..=31).contains(&day) {
        return format!("Invalid value for DayOfMonth (valid values 1 - 28/31): {day}");
    }
    if day == 29 {
        return format!("Invalid date 'February 29' as '{year}' is not a leap year");
    }
    let name = super::pattern::MONTHS
        .get(usize::try_from(month - 1).unwrap_or(0))
        .copied()
        .unwrap_or_default()
        .to_uppercase();
    format!("Invalid date '{name} {day}'")
}

fn civil(year: i32, month: i32, day: i32) -> Option<i32> {
    time::checked_days(i64::from(year), u32::try_from(month).ok()?, u32::try_from(day).ok()?)
}

fn make_date(args: &Args) -> Result<ArrayRef> {
    let fields =
        (0..3).map(|index| args.numbers::<Int32Type>(index)).collect::<Result<Vec<_>>>()?;
    numbers::<Date32Type>(args.rows, |row| {
        let (Some(year), Some(month), Some(day)) =
            (fields[0].get(row), fields[1].get(row), fields[2].get(row))
        else {
            return Ok(None);
        };
        match civil(year, month, day) {
            None if args.ansi() => fail(errors::field_out_of_bounds(&range_message(
                year.into(),
                month.into(),
                day.into(),
            ))),
            days => Ok(days),
        }
    })
}

fn make_timestamp(args: &Args) -> Result<ArrayRef> {
    let fields =
        (0..5).map(|index| args.numbers::<Int32Type>(index)).collect::<Result<Vec<_>>>()?;
    let seconds = args.numbers::<Decimal128Type>(5)?;
    let zones = match args.len() {
        7 => Some(args.text(6)?),
        _ => None,
    };
    let zoned = matches!(args.params.result, Arrow::Timestamp(_, Some(_)));
    let session = Zone::parse(&args.params.zone).unwrap_or(Zone::Fixed(0));
    let column = numbers::<TimestampMicrosecondType>(args.rows, |row| {
        let values: Option<Vec<i32>> = fields.iter().map(|field| field.get(row)).collect();
        let (Some(values), Some(seconds)) = (values, seconds.get(row)) else { return Ok(None) };
        let zone = match &zones {
            None => session,
            Some(zones) => match zones.get(row) {
                None => return Ok(None),
                Some(id) => Zone::parse(id).unwrap_or(session),
            },
        };
        let (hour, minute) = (i64::from(values[3]), i64::from(values[4]));
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let message = if !(0..24).contains(&hour) {
            format!("Invalid value for HourOfDay (valid values 0 - 23): {hour}")
        } else if !(0..60).contains(&minute) {
            format!("Invalid value for MinuteOfHour (valid values 0 - 59): {minute}")
        } else if !(0..=60 * MICROS_PER_SECOND).contains(&seconds) {
            format!(
                "Invalid value for SecondOfMinute (valid values 0 - 59): {}",
                seconds / MICROS_PER_SECOND
            )
        } else {
            range_message(values[0].into(), values[1].into(), values[2].into())
        };
        let valid = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60 * MICROS_PER_SECOND).contains(&seconds);
        let days = civil(values[0], values[1], values[2]).filter(|_| valid);
        let Some(days) = days else {
            return if args.ansi() {
                fail(errors::field_out_of_bounds(&message))
            } else {
                Ok(None)
            };
        };
        let local = i64::from(days) * MICROS_PER_DAY
            + hour * MICROS_PER_HOUR
            + minute * MICROS_PER_MINUTE
            + seconds;
        Ok(Some(if zoned { zone.to_utc(local) } else { local }))
    })?;
    Ok(arrow::compute::cast(&column, &args.params.result)?)
}

fn make_interval(args: &Args) -> Result<ArrayRef> {
    let fields =
        (0..6).map(|index| args.numbers::<Int32Type>(index)).collect::<Result<Vec<_>>>()?;
    let seconds = args.numbers::<Decimal128Type>(6)?;
    numbers::<IntervalMonthDayNanoType>(args.rows, |row| {
        let values: Option<Vec<i64>> =
            fields.iter().map(|field| field.get(row).map(i64::from)).collect();
        let (Some(v), Some(seconds)) = (values, seconds.get(row)) else { return Ok(None) };
        let made = || -> Option<IntervalMonthDayNano> {
            let months = i32::try_from(v[0] * 12 + v[1]).ok()?;
            let days = i32::try_from(v[2] * 7 + v[3]).ok()?;
            let micros = i64::try_from(seconds)
                .ok()?
                .checked_add(v[4] * MICROS_PER_HOUR + v[5] * MICROS_PER_MINUTE)?;
            Some(IntervalMonthDayNano::new(months, days, micros.checked_mul(1000)?))
        };
        match made() {
            None if args.ansi() => fail(errors::interval_overflow("try_make_interval")),
            value => Ok(value),
        }
    })
}

fn make_day_time(args: &Args) -> Result<ArrayRef> {
    let fields =
        (0..3).map(|index| args.numbers::<Int32Type>(index)).collect::<Result<Vec<_>>>()?;
    let seconds = args.numbers::<Decimal128Type>(3)?;
    numbers::<DurationMicrosecondType>(args.rows, |row| {
        let values: Option<Vec<i64>> =
            fields.iter().map(|field| field.get(row).map(i64::from)).collect();
        let (Some(v), Some(seconds)) = (values, seconds.get(row)) else { return Ok(None) };
        let made = || -> Option<i64> {
            v[0].checked_mul(MICROS_PER_DAY)?
                .checked_add(v[1] * MICROS_PER_HOUR)?
                .checked_add(v[2] * MICROS_PER_MINUTE)?
                .checked_add(i64::try_from(seconds).ok()?)
        };
        match made() {
            None => fail(errors::interval_overflow("")),
            value => Ok(value),
        }
    })
}

fn make_year_month(args: &Args) -> Result<ArrayRef> {
    let (years, months) = (args.numbers::<Int32Type>(0)?, args.numbers::<Int32Type>(1)?);
    numbers::<IntervalYearMonthType>(args.rows, |row| {
        let (Some(years), Some(months)) = (years.get(row), months.get(row)) else {
            return Ok(None);
        };
        match i32::try_from(i64::from(years) * 12 + i64::from(months)) {
            Ok(months) => Ok(Some(months)),
            Err(_) => fail(errors::interval_overflow("")),
        }
    })
}

fn from_number(args: &Args, unit: i64) -> Result<ArrayRef> {
    let value = args.numbers::<Int64Type>(0)?;
    let column = numbers::<TimestampMicrosecondType>(args.rows, |row| {
        match value.get(row).map(|value| value.checked_mul(unit)) {
            Some(None) => fail(errors::arithmetic_overflow("long overflow", "")),
            value => Ok(value.flatten()),
        }
    })?;
    Ok(arrow::compute::cast(&column, &args.params.result)?)
}

fn timestamp_seconds(args: &Args) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let column = match array.data_type() {
        Arrow::Float32 | Arrow::Float64 => {
            let value = crate::cast::convert(
                &array,
                &Arrow::Float64,
                crate::cast::Options { mode: Mode::Ansi, zone: Zone::Fixed(0) },
            )?;
            let value = arrow::array::AsArray::as_primitive::<Float64Type>(&value).clone();
            use arrow::array::Array as _;
            numbers::<TimestampMicrosecondType>(args.rows, |row| {
                Ok((!value.is_null(row) && value.value(row).is_finite())
                    .then(|| (value.value(row) * 1e6) as i64))
            })?
        }
        _ => crate::cast::convert(
            &array,
            &args.params.result,
            crate::cast::Options { mode: Mode::Ansi, zone: Zone::Fixed(0) },
        )?,
    };
    Ok(arrow::compute::cast(&column, &args.params.result)?)
}
