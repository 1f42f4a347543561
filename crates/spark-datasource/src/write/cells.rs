//! Values of a column as text: for csv, for json and for partition directories.

use std::io::Write;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, PrimitiveArray, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, TimestampMicrosecondType,
};
use spark_sql_parser::types::DataType;

use crate::error::{self, Result};
use crate::values::datetime;
use crate::values::number;
use crate::values::pattern::Pattern;
use crate::values::zone::Zone;

/// How times are written; `None` is the cast to string.
#[derive(Debug, Clone)]
pub(super) struct TextStyle {
    pub(super) zone: Zone,
    pub(super) date: Option<Pattern>,
    pub(super) timestamp: Option<Pattern>,
    pub(super) timestamp_ntz: Option<Pattern>,
}

impl TextStyle {
    /// The cast to string, as partition directories have it.
    pub(super) fn cast(zone: Zone) -> Self {
        Self { zone, date: None, timestamp: None, timestamp_ntz: None }
    }
}

/// A column with its type known.
pub(super) enum Cells<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Byte(&'a PrimitiveArray<Int8Type>),
    Short(&'a PrimitiveArray<Int16Type>),
    Integer(&'a PrimitiveArray<Int32Type>),
    Long(&'a PrimitiveArray<Int64Type>),
    Float(&'a PrimitiveArray<Float32Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, i8),
    String(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>),
    TimestampNtz(&'a PrimitiveArray<TimestampMicrosecondType>),
    YearMonth(&'a PrimitiveArray<IntervalYearMonthType>, u8, u8),
    DayTime(&'a PrimitiveArray<DurationMicrosecondType>, u8, u8),
    List {
        nulls: Option<&'a NullBuffer>,
        offsets: &'a OffsetBuffer<i32>,
        items: Box<Self>,
    },
    Map {
        nulls: Option<&'a NullBuffer>,
        offsets: &'a OffsetBuffer<i32>,
        keys: Box<Self>,
        values: Box<Self>,
    },
    Struct {
        nulls: Option<&'a NullBuffer>,
        fields: Vec<(String, Self)>,
    },
}

impl<'a> Cells<'a> {
    pub(super) fn new(array: &'a ArrayRef, data_type: &DataType) -> Result<Self> {
        let lost = || error::internal(format!("a column of {} has another form", data_type.sql()));
        Ok(match data_type {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(array.as_boolean_opt().ok_or_else(lost)?),
            DataType::Byte => Self::Byte(array.as_primitive_opt().ok_or_else(lost)?),
            DataType::Short => Self::Short(array.as_primitive_opt().ok_or_else(lost)?),
            DataType::Integer => Self::Integer(array.as_primitive_opt().ok_or_else(lost)?),
            DataType::Long => Self::Long(array.as_primitive_opt().ok_or_else(lost)?),
            DataType::Float => Self::Float(array.as_primitive_opt().ok_or_else(lost)?),
            DataType::Double => Self::Double(array.as_primitive_opt().ok_or_else(lost)?),
            DataType::Decimal { scale, .. } => {
                Self::Decimal(array.as_primitive_opt().ok_or_else(lost)?, *scale)
            }
            DataType::String | DataType::Char(_) | DataType::Varchar(_) => {
                Self::String(array.as_string_opt().ok_or_else(lost)?)
            }
            DataType::Binary => Self::Binary(array.as_binary_opt().ok_or_else(lost)?),
            DataType::Date => Self::Date(array.as_primitive_opt().ok_or_else(lost)?),
            DataType::Timestamp => Self::Timestamp(array.as_primitive_opt().ok_or_else(lost)?),
            DataType::TimestampNtz => {
                Self::TimestampNtz(array.as_primitive_opt().ok_or_else(lost)?)
            }
            DataType::YearMonthInterval { start, end } => {
                Self::YearMonth(array.as_primitive_opt().ok_or_else(lost)?, *start, *end)
            }
            DataType::DayTimeInterval { start, end } => {
                Self::DayTime(array.as_primitive_opt().ok_or_else(lost)?, *start, *end)
            }
            DataType::Array { element, .. } => {
                let list = array.as_list_opt::<i32>().ok_or_else(lost)?;
                let items = Box::new(Self::new(list.values(), element)?);
                Self::List { nulls: list.nulls(), offsets: list.offsets(), items }
            }
            DataType::Map { key, value, .. } => {
                let map = array.as_map_opt().ok_or_else(lost)?;
                Self::Map {
                    nulls: map.nulls(),
                    offsets: map.offsets(),
                    keys: Box::new(Self::new(map.keys(), key)?),
                    values: Box::new(Self::new(map.values(), value)?),
                }
            }
            DataType::Struct(schema) => {
                let parts = array.as_struct_opt().ok_or_else(lost)?;
                let fields = schema
                    .fields
                    .iter()
                    .zip(parts.columns())
                    .map(|(field, column)| {
                        Ok((field.name.clone(), Self::new(column, &field.data_type)?))
                    })
                    .collect::<Result<Vec<_>>>()?;
                Self::Struct { nulls: parts.nulls(), fields }
            }
            DataType::CalendarInterval | DataType::Variant => return Err(lost()),
        })
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        let absent = |nulls: &Option<&NullBuffer>| nulls.is_some_and(|nulls| nulls.is_null(row));
        match self {
            Self::Null => true,
            Self::Boolean(array) => array.is_null(row),
            Self::Byte(array) => array.is_null(row),
            Self::Short(array) => array.is_null(row),
            Self::Integer(array) => array.is_null(row),
            Self::Long(array) => array.is_null(row),
            Self::Float(array) => array.is_null(row),
            Self::Double(array) => array.is_null(row),
            Self::Decimal(array, _) => array.is_null(row),
            Self::String(array) => array.is_null(row),
            Self::Binary(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Timestamp(array) | Self::TimestampNtz(array) => array.is_null(row),
            Self::YearMonth(array, ..) => array.is_null(row),
            Self::DayTime(array, ..) => array.is_null(row),
            Self::List { nulls, .. } | Self::Map { nulls, .. } | Self::Struct { nulls, .. } => {
                absent(nulls)
            }
        }
    }

    /// Appends the text of a value that is not null; columns with parts have none here.
    pub(super) fn write_text(&self, row: usize, style: &TextStyle, out: &mut Vec<u8>) {
        macro_rules! display {
            ($value:expr) => {{
                // Writing to memory cannot fail.
                let _ = write!(out, "{}", $value);
            }};
        }
        match self {
            Self::Null | Self::List { .. } | Self::Map { .. } | Self::Struct { .. } => {}
            Self::Boolean(array) => display!(array.value(row)),
            Self::Byte(array) => display!(array.value(row)),
            Self::Short(array) => display!(array.value(row)),
            Self::Integer(array) => display!(array.value(row)),
            Self::Long(array) => display!(array.value(row)),
            Self::Float(array) => number::write_float(out, array.value(row)),
            Self::Double(array) => number::write_double(out, array.value(row)),
            Self::Decimal(array, scale) => write_decimal(out, array.value(row), *scale),
            Self::String(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Self::Binary(array) => write_bytes(out, array.value(row)),
            Self::Date(array) => {
                let days = i64::from(array.value(row));
                match &style.date {
                    Some(pattern) => pattern.write_date(out, days),
                    None => datetime::write_date(out, days),
                }
            }
            Self::Timestamp(array) => {
                let micros = array.value(row);
                match &style.timestamp {
                    Some(pattern) => pattern.write_instant(out, micros, style.zone),
                    None => datetime::write_local(out, style.zone.to_local(micros)),
                }
            }
            Self::TimestampNtz(array) => {
                let micros = array.value(row);
                match &style.timestamp_ntz {
                    Some(pattern) => pattern.write_local(out, micros),
                    None => datetime::write_local(out, micros),
                }
            }
            Self::YearMonth(array, start, end) => {
                write_year_month(out, array.value(row), *start, *end);
            }
            Self::DayTime(array, start, end) => write_day_time(out, array.value(row), *start, *end),
        }
    }
}

/// `BigDecimal.toPlainString`.
fn write_decimal(out: &mut Vec<u8>, unscaled: i128, scale: i8) {
    let places = usize::try_from(scale).unwrap_or(0);
    if unscaled < 0 {
        out.push(b'-');
    }
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    out.extend_from_slice(whole.as_bytes());
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

/// Spark's discrete hexadecimal form, `[62 69 6E]`.
fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'[');
    for (index, byte) in bytes.iter().enumerate() {
        let space = if index > 0 { " " } else { "" };
        let _ = write!(out, "{space}{byte:02X}");
    }
    out.push(b']');
}

/// `INTERVAL '1-2' YEAR TO MONTH`.
fn write_year_month(out: &mut Vec<u8>, months: i32, start: u8, end: u8) {
    let sign = if months < 0 { "-" } else { "" };
    let (years, rest) = (months.unsigned_abs() / 12, months.unsigned_abs() % 12);
    let _ = match (start, end) {
        (0, 0) => write!(out, "INTERVAL '{sign}{years}' YEAR"),
        (1, 1) => write!(out, "INTERVAL '{months}' MONTH"),
        _ => write!(out, "INTERVAL '{sign}{years}-{rest}' YEAR TO MONTH"),
    };
}

const UNITS: [&str; 4] = ["DAY", "HOUR", "MINUTE", "SECOND"];

/// `INTERVAL '1 02:03:04.5' DAY TO SECOND`, cut to the fields from `start` to `end`.
fn write_day_time(out: &mut Vec<u8>, micros: i64, start: u8, end: u8) {
    let sign = if micros < 0 { "-" } else { "" };
    let all = micros.unsigned_abs();
    let (seconds, fraction) = (all / 1_000_000, all % 1_000_000);
    let (start, end) = (usize::from(start.min(3)), usize::from(end.min(3)));
    let _ = write!(out, "INTERVAL '{sign}");
    let mut rest = seconds;
    for (unit, length) in [86_400, 3600, 60, 1].into_iter().enumerate() {
        if !(start..=end).contains(&unit) {
            continue;
        }
        let value = rest / length;
        rest %= length;
        let _ = match unit {
            _ if unit == start => write!(out, "{value}"),
            1 => write!(out, " {value:02}"),
            _ => write!(out, ":{value:02}"),
        };
    }
    if end == 3 && fraction > 0 {
        let text = format!(".{fraction:06}");
        out.extend_from_slice(text.trim_end_matches('0').as_bytes());
    }
    out.extend_from_slice(b"' ");
    out.extend_from_slice(UNITS[start].as_bytes());
    if end > start {
        let _ = write!(out, " TO {}", UNITS[end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_are_plain() {
        assert_eq!(shown(|out| write_decimal(out, -5, 2)), "-0.05");
        assert_eq!(shown(|out| write_decimal(out, 1250, 2)), "12.50");
        assert_eq!(shown(|out| write_decimal(out, 7, 0)), "7");
    }

    #[test]
    fn intervals_are_ansi() {
        assert_eq!(shown(|out| write_year_month(out, 14, 0, 1)), "INTERVAL '1-2' YEAR TO MONTH");
        assert_eq!(shown(|out| write_day_time(out, 86_400_000_000, 0, 0)), "INTERVAL '1' DAY");
        assert_eq!(
            shown(|out| write_day_time(out, 93_784_500_000, 0, 3)),
            "INTERVAL '1 02:03:04.5' DAY TO SECOND"
        );
    }
}
