//! Values into text and text into values.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, PrimitiveArray, StringArray, StringBuilder,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, TimestampMicrosecondType,
};
use datafusion::common::{Result, exec_err};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use super::Options;
use crate::decimal;
use crate::errors;
use crate::interval;
use crate::text;
use crate::time::{self, Zone};
use crate::types::from_arrow;
use crate::udf::{Mode, fail};

/// Every value as Spark's cast to string shows it.
pub(crate) fn text_column(array: &ArrayRef, options: Options) -> Result<ArrayRef> {
    match array.data_type() {
        Arrow::Utf8 => return Ok(Arc::clone(array)),
        Arrow::Binary => {
            let bytes = array.as_binary::<i32>();
            let texts = bytes.iter().map(|b| b.map(|b| String::from_utf8_lossy(b).into_owned()));
            return Ok(Arc::new(texts.collect::<StringArray>()));
        }
        _ => {}
    }
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut buffer = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
        } else {
            buffer.clear();
            write_value(&mut buffer, array.as_ref(), row, options)?;
            builder.append_value(&buffer);
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn write_value(out: &mut String, array: &dyn Array, row: usize, options: Options) -> Result<()> {
    macro_rules! number {
        ($t:ty) => {{
            let _ = write!(out, "{}", array.as_primitive::<$t>().value(row));
        }};
    }
    match array.data_type() {
        Arrow::Boolean => {
            out.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
        }
        Arrow::Int8 => number!(Int8Type),
        Arrow::Int16 => number!(Int16Type),
        Arrow::Int32 => number!(Int32Type),
        Arrow::Int64 => number!(Int64Type),
        Arrow::Float32 => {
            out.push_str(&text::float(array.as_primitive::<Float32Type>().value(row)));
        }
        Arrow::Float64 => {
            out.push_str(&text::double(array.as_primitive::<Float64Type>().value(row)));
        }
        Arrow::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            out.push_str(&decimal::text(value, i32::from(*scale)));
        }
        Arrow::Date32 => {
            out.push_str(&time::date_text(array.as_primitive::<Date32Type>().value(row)));
        }
        Arrow::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let local = if zone.is_some() { options.zone.to_local(micros) } else { micros };
            out.push_str(&time::timestamp_text(local));
        }
        Arrow::Interval(IntervalUnit::YearMonth) => {
            let months = array.as_primitive::<IntervalYearMonthType>().value(row);
            out.push_str(&text::year_month_interval(months));
        }
        Arrow::Interval(IntervalUnit::MonthDayNano) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            let micros = value.nanoseconds / 1000;
            out.push_str(&text::calendar_interval(value.months, value.days, micros));
        }
        Arrow::Duration(_) => {
            let micros = array.as_primitive::<DurationMicrosecondType>().value(row);
            out.push_str(&text::day_time_interval(micros));
        }
        Arrow::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        Arrow::Utf8View => out.push_str(array.as_string_view().value(row)),
        Arrow::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
        Arrow::Binary => {
            out.push_str(&String::from_utf8_lossy(array.as_binary::<i32>().value(row)));
        }
        Arrow::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                if item > 0 {
                    out.push_str(", ");
                }
                write_inner(out, items.as_ref(), item, options)?;
            }
            out.push(']');
        }
        Arrow::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            out.push('{');
            for item in 0..entries.len() {
                if item > 0 {
                    out.push_str(", ");
                }
                write_inner(out, keys.as_ref(), item, options)?;
                out.push_str(" -> ");
                write_inner(out, values.as_ref(), item, options)?;
            }
            out.push('}');
        }
        Arrow::Struct(_) => {
            out.push('{');
            for (index, column) in array.as_struct().columns().iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_inner(out, column.as_ref(), row, options)?;
            }
            out.push('}');
        }
        Arrow::Null => out.push_str("null"),
        other => return exec_err!("no text form for {other}"),
    }
    Ok(())
}

fn write_inner(out: &mut String, array: &dyn Array, row: usize, options: Options) -> Result<()> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    write_value(out, array, row, options)
}

/// A text shown in an error message, in single quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}')
}

pub(super) fn from_text(texts: &StringArray, to: &Arrow, options: Options) -> Result<ArrayRef> {
    let mode = options.mode;
    let to_type = from_arrow(to);
    let malformed =
        |text: &str| errors::cast_invalid_input(&quoted(text), &DataType::String, &to_type);
    match to {
        Arrow::Binary => {
            Ok(Arc::new(texts.iter().map(|t| t.map(str::as_bytes)).collect::<BinaryArray>()))
        }
        Arrow::Boolean => {
            let mut values = Vec::with_capacity(texts.len());
            for text in texts {
                let value = text.map(|text| (text, boolean(text)));
                values.push(match value {
                    Some((text, None)) if mode == Mode::Ansi => return fail(malformed(text)),
                    Some((_, value)) => value,
                    None => None,
                });
            }
            Ok(Arc::new(BooleanArray::from(values)))
        }
        Arrow::Int8 => {
            parse::<Int8Type>(texts, to, mode, |t| integer(t, mode)?.try_into().ok(), malformed)
        }
        Arrow::Int16 => {
            parse::<Int16Type>(texts, to, mode, |t| integer(t, mode)?.try_into().ok(), malformed)
        }
        Arrow::Int32 => {
            parse::<Int32Type>(texts, to, mode, |t| integer(t, mode)?.try_into().ok(), malformed)
        }
        Arrow::Int64 => parse::<Int64Type>(texts, to, mode, |t| integer(t, mode), malformed),
        Arrow::Float32 => {
            parse::<Float32Type>(texts, to, mode, |t| float(t, |s| s.parse().ok()), malformed)
        }
        Arrow::Float64 => {
            parse::<Float64Type>(texts, to, mode, |t| float(t, |s| s.parse().ok()), malformed)
        }
        Arrow::Decimal128(precision, scale) => parse::<Decimal128Type>(
            texts,
            to,
            mode,
            |text| match decimal::parse(trimmed(text), i32::from(*scale)) {
                Some(Ok(value)) if decimal::fits(value, *precision) => Some(value),
                _ => None,
            },
            |text| match decimal::parse(trimmed(text), i32::from(*scale)) {
                Some(_) => errors::decimal_out_of_range(trimmed(text), *precision, *scale),
                None => malformed(text),
            },
        ),
        Arrow::Date32 => parse::<Date32Type>(texts, to, mode, time::parse_date, malformed),
        Arrow::Timestamp(_, zone) => {
            let zoned = zone.is_some();
            parse::<TimestampMicrosecondType>(
                texts,
                to,
                mode,
                |text| timestamp(text, options.zone, zoned),
                malformed,
            )
        }
        Arrow::Interval(IntervalUnit::YearMonth) => {
            parse::<IntervalYearMonthType>(texts, to, mode, interval::parse_year_month, malformed)
        }
        Arrow::Duration(_) => {
            parse::<DurationMicrosecondType>(texts, to, mode, interval::parse_day_time, malformed)
        }
        Arrow::Interval(IntervalUnit::MonthDayNano) => parse::<IntervalMonthDayNanoType>(
            texts,
            to,
            mode,
            |text| interval::parse_calendar(text).map(interval::to_native),
            malformed,
        ),
        _ => exec_err!("no cast from string to {to}"),
    }
}

fn parse<T: ArrowPrimitiveType>(
    texts: &StringArray,
    to: &Arrow,
    mode: Mode,
    parse: impl Fn(&str) -> Option<T::Native>,
    error: impl Fn(&str) -> SparkError,
) -> Result<ArrayRef> {
    let mut values = Vec::with_capacity(texts.len());
    for text in texts {
        values.push(match text {
            None => None,
            Some(text) => match parse(text) {
                None if mode == Mode::Ansi => return fail(error(text)),
                value => value,
            },
        });
    }
    let column: PrimitiveArray<T> = values.into_iter().collect();
    Ok(Arc::new(column.with_data_type(to.clone())))
}

fn boolean(text: &str) -> Option<bool> {
    match trimmed(text).to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// `UTF8String.toLong`; only the legacy mode forgives a fraction, which it cuts off.
fn integer(text: &str, mode: Mode) -> Option<i64> {
    let text = trimmed(text);
    let text = match text.split_once('.') {
        Some((whole, fraction)) if mode == Mode::Legacy => {
            if !fraction.bytes().all(|c| c.is_ascii_digit()) {
                return None;
            }
            if matches!(whole, "" | "+" | "-") {
                return Some(0);
            }
            whole
        }
        _ => text,
    };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Java's `Double.parseDouble` plus Spark's words for the special values.
fn float<F>(text: &str, parse: impl Fn(&str) -> Option<F>) -> Option<F> {
    let text = trimmed(text);
    let lower = text.to_ascii_lowercase();
    let special = match lower.as_str() {
        "nan" => Some("NaN"),
        "inf" | "+inf" | "infinity" | "+infinity" => Some("inf"),
        "-inf" | "-infinity" => Some("-inf"),
        _ => None,
    };
    if let Some(special) = special {
        return parse(special);
    }
    let number = lower.strip_suffix(['d', 'f']).unwrap_or(&lower);
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e');
    if number.is_empty() || !number.chars().all(plain) {
        return None;
    }
    parse(number)
}

pub(crate) fn timestamp(text: &str, session: Zone, zoned: bool) -> Option<i64> {
    let parsed = time::parse_timestamp(text)?;
    if !zoned {
        return (!parsed.time_only).then_some(parsed.local);
    }
    let zone = parsed.zone.unwrap_or(session);
    if parsed.time_only {
        let now = chrono::Utc::now().timestamp_micros();
        let today = i64::from(zone.micros_to_days(now)) * time::MICROS_PER_DAY;
        return Some(zone.to_utc(today + parsed.local));
    }
    Some(zone.to_utc(parsed.local))
}
