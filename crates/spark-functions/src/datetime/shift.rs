//! Moving, truncating and subtracting dates and timestamps.

use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType as Arrow, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use super::parts::local_micros;
use crate::errors;
use crate::kernels::numbers;
use crate::signature::{Call, Function, Out, Ty, f};
use crate::time::{
    self, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Zone,
};
use crate::types::to_arrow;
use crate::udf::{Args, Definition, Params, fail, ours};

pub(super) const FUNCTIONS: &[Function] = &[
    f("date_add", &[Ty::Date, Ty::Int], Out::Date),
    f("dateadd", &[Ty::Date, Ty::Int], Out::Date).of("date_add"),
    f("date_sub", &[Ty::Date, Ty::Int], Out::Date),
    f("datediff", &[Ty::Date, Ty::Date], Out::Int),
    f("date_diff", &[Ty::Date, Ty::Date], Out::Int).of("datediff"),
    f("add_months", &[Ty::Date, Ty::Int], Out::Date),
    f("months_between", &[Ty::Ts, Ty::Ts, Ty::Bool], Out::Double).optional(1).zoned(),
    f("next_day", &[Ty::Date, Ty::Str], Out::Date),
    f("trunc", &[Ty::Date, Ty::Str], Out::Date),
    f("date_trunc", &[Ty::Str, Ty::AnyTs], Out::Same(1)).zoned(),
];

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::strict("datediff", |args| {
        crate::arith::checked::<Date32Type, Date32Type, Int32Type>(
            args,
            |end, start| (end.wrapping_sub(start), false),
            |_, _| errors::arithmetic_overflow("integer overflow", ""),
            crate::arith::Legacy::Wraps,
        )
    }),
    Definition::strict("add_months", |args| {
        let (days, months) = (args.numbers::<Date32Type>(0)?, args.numbers::<Int32Type>(1)?);
        numbers::<Date32Type>(args.rows, |row| {
            let (Some(days), Some(months)) = (days.get(row), months.get(row)) else {
                return Ok(None);
            };
            let moved = time::add_months(i64::from(days), i64::from(months));
            match i32::try_from(moved) {
                Ok(days) => Ok(Some(days)),
                Err(_) => fail(errors::datetime_overflow("add_months")),
            }
        })
    }),
    Definition::strict("months_between", months_between),
    Definition::nullable("next_day", next_day).failing(),
    Definition::nullable("trunc", trunc),
    Definition::nullable("date_trunc", date_trunc),
    Definition::strict("timestamp_add_unit", add_unit).failing(),
    Definition::strict("timestamp_diff_unit", diff_unit),
];

fn months_between(args: &Args) -> Result<ArrayRef> {
    let (end, start) = (local_micros(args, 0)?, local_micros(args, 1)?);
    let round = match args.len() {
        3 => args.array(2)?,
        _ => ScalarValue::Boolean(Some(true)).to_array_of_size(args.rows)?,
    };
    let round = arrow::array::AsArray::as_boolean(&round).clone();
    use arrow::array::Array as _;
    numbers::<Float64Type>(args.rows, |row| {
        if end.is_null(row) || start.is_null(row) || round.is_null(row) {
            return Ok(None);
        }
        let split = |micros: i64| {
            let days = micros.div_euclid(MICROS_PER_DAY);
            (time::civil_from_days(days), micros.rem_euclid(MICROS_PER_DAY) / MICROS_PER_SECOND)
        };
        let ((year1, month1, day1), clock1) = split(end.value(row));
        let ((year2, month2, day2), clock2) = split(start.value(row));
        let months = ((year1 - year2) * 12 + i64::from(month1) - i64::from(month2)) as f64;
        let last = |year, month, day| day == time::days_in_month(year, month);
        if day1 == day2 || (last(year1, month1, day1) && last(year2, month2, day2)) {
            return Ok(Some(months));
        }
        let seconds = (i64::from(day1) - i64::from(day2)) * 86_400 + clock1 - clock2;
        let difference = months + seconds as f64 / (31.0 * 86_400.0);
        Ok(Some(if round.value(row) { (difference * 1e8).round() / 1e8 } else { difference }))
    })
}

fn next_day(args: &Args) -> Result<ArrayRef> {
    let (days, names) = (args.numbers::<Date32Type>(0)?, args.text(1)?);
    numbers::<Date32Type>(args.rows, |row| {
        let (Some(days), Some(name)) = (days.get(row), names.get(row)) else { return Ok(None) };
        let wanted = match name.trim().to_ascii_uppercase().as_str() {
            "MO" | "MON" | "MONDAY" => 1,
            "TU" | "TUE" | "TUESDAY" => 2,
            "WE" | "WED" | "WEDNESDAY" => 3,
            "TH" | "THU" | "THURSDAY" => 4,
            "FR" | "FRI" | "FRIDAY" => 5,
            "SA" | "SAT" | "SATURDAY" => 6,
            "SU" | "SUN" | "SUNDAY" => 7,
            _ if args.ansi() => {
                return fail(SparkError::new(
                    ErrorKind::IllegalArgument,
                    "ILLEGAL_DAY_OF_WEEK",
                    "22009",
                    format!("Illegal input for day of week: {name}."),
                ));
            }
            _ => return Ok(None),
        };
        let ahead = (wanted - time::iso_weekday(i64::from(days)) - 1).rem_euclid(7) + 1;
        Ok(i32::try_from(i64::from(days) + ahead).ok())
    })
}

/// First day of the year, quarter, month or week of a day.
fn truncated_days(days: i64, unit: &str) -> Option<i64> {
    let (year, month, _) = time::civil_from_days(days);
    Some(match unit {
        "YEAR" | "YYYY" | "YY" => time::days_from_civil(year, 1, 1),
        "QUARTER" => time::days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        "MONTH" | "MON" | "MM" => time::days_from_civil(year, month, 1),
        "WEEK" => days - (time::iso_weekday(days) - 1),
        _ => return None,
    })
}

fn trunc(args: &Args) -> Result<ArrayRef> {
    let (days, unit) = (args.numbers::<Date32Type>(0)?, args.text(1)?);
    numbers::<Date32Type>(args.rows, |row| {
        let (Some(days), Some(unit)) = (days.get(row), unit.get(row)) else { return Ok(None) };
        let truncated = truncated_days(i64::from(days), &unit.to_ascii_uppercase());
        Ok(truncated.and_then(|days| i32::try_from(days).ok()))
    })
}

fn date_trunc(args: &Args) -> Result<ArrayRef> {
    let unit = args.text(0)?;
    let micros = args.numbers::<TimestampMicrosecondType>(1)?;
    let zoned = matches!(args.params.result, Arrow::Timestamp(_, Some(_)));
    let zone = match Zone::parse(&args.params.zone) {
        Some(zone) if zoned => zone,
        _ => Zone::Fixed(0),
    };
    let column = numbers::<TimestampMicrosecondType>(args.rows, |row| {
        let (Some(unit), Some(micros)) = (unit.get(row), micros.get(row)) else {
            return Ok(None);
        };
        Ok(truncated(micros, &unit.to_ascii_uppercase(), zone))
    })?;
    Ok(arrow::compute::cast(&column, &args.params.result)?)
}

/// The start of the unit that holds an instant.
pub(super) fn truncated(micros: i64, unit: &str, zone: Zone) -> Option<i64> {
    let fixed = match unit {
        "MICROSECOND" => Some(1),
        "MILLISECOND" => Some(1000),
        "SECOND" => Some(MICROS_PER_SECOND),
        _ => None,
    };
    if let Some(step) = fixed {
        return Some(micros - micros.rem_euclid(step));
    }
    let local = zone.to_local(micros);
    let clock = |step: i64| zone.to_utc(local - local.rem_euclid(step));
    Some(match unit {
        "MINUTE" => clock(MICROS_PER_MINUTE),
        "HOUR" => clock(MICROS_PER_HOUR),
        "DAY" | "DD" => clock(MICROS_PER_DAY),
        _ => {
            let days = truncated_days(local.div_euclid(MICROS_PER_DAY), unit)?;
            zone.to_utc(days * MICROS_PER_DAY)
        }
    })
}

/// Months or microseconds (or days) that one unit is.
fn unit_size(unit: &str) -> Option<(i64, i64, i64)> {
    Some(match unit {
        "YEAR" => (12, 0, 0),
        "QUARTER" => (3, 0, 0),
        "MONTH" => (1, 0, 0),
        "WEEK" => (0, 7, 0),
        "DAY" | "DAYOFYEAR" => (0, 1, 0),
        "HOUR" => (0, 0, MICROS_PER_HOUR),
        "MINUTE" => (0, 0, MICROS_PER_MINUTE),
        "SECOND" => (0, 0, MICROS_PER_SECOND),
        "MILLISECOND" => (0, 0, 1000),
        "MICROSECOND" => (0, 0, 1),
        _ => return None,
    })
}

fn unit_of(call: &Call) -> std::result::Result<String, SparkError> {
    let unit = match call.literal_text(0) {
        Some(text) => text.to_ascii_uppercase(),
        None => crate::sql_text(&call.args[0]).to_ascii_uppercase(),
    };
    match unit_size(&unit) {
        Some(_) => Ok(unit),
        None => Err(super::unknown_unit(call.name, &unit)),
    }
}

/// `timestampadd(unit, quantity, timestamp)`.
pub(super) fn timestamp_add(call: &Call) -> std::result::Result<Expr, SparkError> {
    let unit = unit_of(call)?;
    let quantity = call.coerced(1, &DataType::Long)?;
    let (instant, out) = call.fitted(2, Ty::AnyTs)?;
    let params = Params::new(to_arrow(&out)).zone(call.ctx.time_zone).text(unit);
    ours("timestamp_add_unit", vec![quantity, instant], params)
}

/// `timestampdiff(unit, start, end)`.
pub(super) fn timestamp_diff(call: &Call) -> std::result::Result<Expr, SparkError> {
    let unit = unit_of(call)?;
    let start = call.coerced(1, &DataType::Timestamp)?;
    let end = call.coerced(2, &DataType::Timestamp)?;
    let params = Params::new(Arrow::Int64).zone(call.ctx.time_zone).text(unit);
    ours("timestamp_diff_unit", vec![start, end], params)
}

fn zone_of(args: &Args) -> Zone {
    match &args.params.result {
        Arrow::Timestamp(_, None) => Zone::Fixed(0),
        _ => Zone::parse(&args.params.zone).unwrap_or(Zone::Fixed(0)),
    }
}

fn add_unit(args: &Args) -> Result<ArrayRef> {
    let zone = zone_of(args);
    let (months, days, micros) = unit_size(&args.params.text).unwrap_or((0, 0, 1));
    let (count, instant) =
        (args.numbers::<Int64Type>(0)?, args.numbers::<TimestampMicrosecondType>(1)?);
    let column = numbers::<TimestampMicrosecondType>(args.rows, |row| {
        let (Some(count), Some(instant)) = (count.get(row), instant.get(row)) else {
            return Ok(None);
        };
        let moved = || -> Option<i64> {
            if micros != 0 {
                return instant.checked_add(count.checked_mul(micros)?);
            }
            let local = zone.to_local(instant);
            let clock = local.rem_euclid(MICROS_PER_DAY);
            let date = time::add_months(
                local.div_euclid(MICROS_PER_DAY),
                i32::try_from(count.checked_mul(months)?).ok()?.into(),
            )
            .checked_add(count.checked_mul(days)?)?;
            Some(zone.to_utc(date.checked_mul(MICROS_PER_DAY)?.checked_add(clock)?))
        };
        match moved() {
            Some(instant) => Ok(Some(instant)),
            None => fail(errors::datetime_overflow(&format!(
                "add {count} {} to the timestamp",
                args.params.text
            ))),
        }
    })?;
    Ok(arrow::compute::cast(&column, &args.params.result)?)
}

fn diff_unit(args: &Args) -> Result<ArrayRef> {
    let zone = zone_of(args);
    let (months, days, micros) = unit_size(&args.params.text).unwrap_or((0, 0, 1));
    let start = args.numbers::<TimestampMicrosecondType>(0)?;
    let end = args.numbers::<TimestampMicrosecondType>(1)?;
    numbers::<Int64Type>(args.rows, |row| {
        let (Some(start), Some(end)) = (start.get(row), end.get(row)) else { return Ok(None) };
        if micros != 0 {
            return Ok(Some((end - start) / micros));
        }
        let (start, end) = (zone.to_local(start), zone.to_local(end));
        if days != 0 {
            return Ok(Some((end - start) / (days * MICROS_PER_DAY)));
        }
        let split = |local: i64| {
            let (year, month, day) = time::civil_from_days(local.div_euclid(MICROS_PER_DAY));
            (year * 12 + i64::from(month), i64::from(day), local.rem_euclid(MICROS_PER_DAY))
        };
        let ((m1, d1, c1), (m2, d2, c2)) = (split(start), split(end));
        let mut between = m2 - m1;
        if between > 0 && (d2, c2) < (d1, c1) {
            between -= 1;
        } else if between < 0 && (d2, c2) > (d1, c1) {
            between += 1;
        }
        Ok(Some(between / months))
    })
}
