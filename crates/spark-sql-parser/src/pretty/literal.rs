//! Literals as text: without quotes in column names, as SQL elsewhere.

use crate::ast::Literal;
use crate::datetime::{MICROS_PER_DAY, format_date, format_fraction, format_timestamp};
use crate::types::DataType;

/// A literal inside a column's name: strings are bare, everything else is as in SQL.
pub(super) fn pretty(literal: &Literal) -> String {
    match literal {
        Literal::String(text) => text.clone(),
        Literal::Null(_) => "NULL".to_owned(),
        Literal::Float(value) => java_float(*value),
        Literal::Double(value) => java_double(*value),
        Literal::Long(value) => value.to_string(),
        Literal::Short(value) => value.to_string(),
        Literal::Byte(value) => value.to_string(),
        Literal::Decimal { value, scale, .. } => decimal(*value, *scale),
        _ => literal_sql(literal),
    }
}

/// A literal as Spark's `Literal.sql` writes it.
#[must_use]
pub fn literal_sql(literal: &Literal) -> String {
    match literal {
        Literal::Null(DataType::Null) => "NULL".to_owned(),
        Literal::Null(data_type) => format!("CAST(NULL AS {})", data_type.sql()),
        Literal::Boolean(value) => value.to_string(),
        Literal::Byte(value) => format!("{value}Y"),
        Literal::Short(value) => format!("{value}S"),
        Literal::Integer(value) => value.to_string(),
        Literal::Long(value) => format!("{value}L"),
        Literal::Float(value) => format!("CAST('{}' AS FLOAT)", java_float(*value)),
        Literal::Double(value) => format!("{}D", java_double(*value)),
        Literal::Decimal { value, scale, .. } => format!("{}BD", decimal(*value, *scale)),
        Literal::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Literal::Binary(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("X'{digits}'")
        }
        Literal::Date(days) => format!("DATE '{}'", format_date(i64::from(*days))),
        Literal::Timestamp(micros) => format!("TIMESTAMP '{}'", format_timestamp(*micros)),
        Literal::TimestampNtz(micros) => format!("TIMESTAMP_NTZ '{}'", format_timestamp(*micros)),
        Literal::CalendarInterval { months, days, microseconds } => {
            format!("INTERVAL '{}'", calendar_interval(*months, *days, *microseconds))
        }
        Literal::YearMonthInterval(months) => year_month_interval(*months),
        Literal::DayTimeInterval(micros) => day_time_interval(*micros),
        Literal::Array { values, .. } => {
            let items: Vec<_> = values.iter().map(literal_sql).collect();
            format!("ARRAY({})", items.join(", "))
        }
        Literal::Map { entries, .. } => {
            let (keys, values): (Vec<_>, Vec<_>) =
                entries.iter().map(|(key, value)| (literal_sql(key), literal_sql(value))).unzip();
            format!("MAP_FROM_ARRAYS(ARRAY({}), ARRAY({}))", keys.join(", "), values.join(", "))
        }
        Literal::Struct { fields } => {
            let items: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("'{name}', {}", literal_sql(value)))
                .collect();
            format!("NAMED_STRUCT({})", items.join(", "))
        }
    }
}

fn decimal(value: i128, scale: i8) -> String {
    let Ok(scale) = usize::try_from(scale) else {
        return format!("{value}{}", "0".repeat(usize::from(scale.unsigned_abs())));
    };
    if scale == 0 {
        return value.to_string();
    }
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{whole}.{fraction}")
}

fn java_float(value: f32) -> String {
    java_number(f64::from(value), &format!("{value:e}"))
}

/// Java's `Double.toString`.
#[must_use]
pub fn java_double(value: f64) -> String {
    java_number(value, &format!("{value:e}"))
}

/// `scientific` holds the shortest digits, as `1.5e3`.
fn java_number(value: f64, scientific: &str) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if value != 0.0 && !(-3..7).contains(&exponent) {
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        return format!("{sign}{whole}.{fraction}E{exponent}");
    }
    let digits = format!("{whole}{fraction}");
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let point = usize::try_from(exponent).unwrap_or(0) + 1;
    let padded = format!("{digits:0<point$}");
    let (whole, fraction) = padded.split_at(point);
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    format!("{sign}{whole}.{fraction}")
}

/// The narrowest fields that hold the value; the literal does not keep those it was written with.
fn year_month_interval(months: i32) -> String {
    let sign = if months < 0 { "-" } else { "" };
    let magnitude = months.unsigned_abs();
    match (magnitude / 12, magnitude % 12) {
        (0, rest) => format!("INTERVAL '{sign}{rest}' MONTH"),
        (years, 0) => format!("INTERVAL '{sign}{years}' YEAR"),
        (years, rest) => format!("INTERVAL '{sign}{years}-{rest}' YEAR TO MONTH"),
    }
}

fn day_time_interval(micros: i64) -> String {
    const UNITS: [&str; 4] = ["DAY", "HOUR", "MINUTE", "SECOND"];
    let sign = if micros < 0 { "-" } else { "" };
    let total = i128::from(micros).unsigned_abs();
    let day = MICROS_PER_DAY as u128;
    let seconds = total % day / 1_000_000;
    let fraction = (total % 1_000_000) as i64;
    let values = [total / day, seconds / 3600, seconds / 60 % 60, seconds % 60];
    let filled = |index: usize| values[index] != 0 || (index == 3 && fraction != 0);
    let first = (0..4).find(|index| filled(*index)).unwrap_or(0);
    let last = (0..4).rev().find(|index| filled(*index)).unwrap_or(0);
    let mut text = String::new();
    for (index, value) in values.iter().enumerate().take(last + 1).skip(first) {
        if index > first {
            text.push(if index == 1 { ' ' } else { ':' });
        }
        let width = if index == 0 { 1 } else { 2 };
        text.push_str(&format!("{value:0width$}"));
        if index == 3 {
            text.push_str(&format_fraction(fraction));
        }
    }
    let unit = if first == last {
        UNITS[first].to_owned()
    } else {
        format!("{} TO {}", UNITS[first], UNITS[last])
    };
    format!("INTERVAL '{sign}{text}' {unit}")
}

fn calendar_interval(months: i32, days: i32, micros: i64) -> String {
    let mut parts = Vec::new();
    let mut push = |value: i64, unit: &str| {
        if value != 0 {
            parts.push(format!("{value} {unit}"));
        }
    };
    push(i64::from(months / 12), "years");
    push(i64::from(months % 12), "months");
    push(i64::from(days), "days");
    push(micros / 3_600_000_000, "hours");
    push(micros / 60_000_000 % 60, "minutes");
    let rest = micros % 60_000_000;
    if rest != 0 {
        let sign = if rest < 0 { "-" } else { "" };
        let fraction = format_fraction((rest % 1_000_000).abs());
        parts.push(format!("{sign}{}{fraction} seconds", (rest / 1_000_000).abs()));
    }
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
}
