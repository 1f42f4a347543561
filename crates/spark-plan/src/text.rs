//! Values as `DataFrame.show` prints them (`ToPrettyString`).

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeZone, Timelike};
use spark_sql_parser::java_double;

/// The rows of a batch as texts, as Spark's command line prints them.
#[must_use]
pub fn cell_texts(batch: &RecordBatch, time_zone: &str) -> Vec<Vec<String>> {
    let formatter = Formatter::new(time_zone);
    (0..batch.num_rows())
        .map(|row| batch.columns().iter().map(|column| formatter.value(column, row)).collect())
        .collect()
}

/// How values of one column are printed.
pub(crate) struct Formatter {
    zone: Option<chrono_tz::Tz>,
    offset: chrono::FixedOffset,
}

impl Formatter {
    pub(crate) fn new(time_zone: &str) -> Self {
        let utc = chrono::FixedOffset::east_opt(0);
        let offset = fixed_offset(time_zone).or(utc);
        Self {
            zone: time_zone.parse().ok(),
            offset: offset.unwrap_or_else(|| chrono::Offset::fix(&chrono::Utc)),
        }
    }

    /// The text of one value; nulls are `NULL`.
    pub(crate) fn value(&self, array: &ArrayRef, row: usize) -> String {
        let mut out = String::new();
        self.write(&mut out, array, row);
        out
    }

    fn write(&self, out: &mut String, array: &ArrayRef, row: usize) {
        if array.is_null(row) || *array.data_type() == Arrow::Null {
            out.push_str("NULL");
            return;
        }
        match array.data_type() {
            Arrow::Boolean => push(out, array.as_boolean().value(row)),
            Arrow::Int8 => push(out, array.as_primitive::<Int8Type>().value(row)),
            Arrow::Int16 => push(out, array.as_primitive::<Int16Type>().value(row)),
            Arrow::Int32 => push(out, array.as_primitive::<Int32Type>().value(row)),
            Arrow::Int64 => push(out, array.as_primitive::<Int64Type>().value(row)),
            Arrow::Float32 => {
                out.push_str(&java_float(array.as_primitive::<Float32Type>().value(row)));
            }
            Arrow::Float64 => {
                out.push_str(&java_double(array.as_primitive::<Float64Type>().value(row)));
            }
            Arrow::Decimal128(_, scale) => {
                out.push_str(&decimal(array.as_primitive::<Decimal128Type>().value(row), *scale));
            }
            Arrow::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
            Arrow::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
            Arrow::Utf8View => out.push_str(array.as_string_view().value(row)),
            Arrow::Binary => hex(out, array.as_binary::<i32>().value(row)),
            Arrow::LargeBinary => hex(out, array.as_binary::<i64>().value(row)),
            Arrow::Date32 => date(out, array.as_primitive::<Date32Type>().value(row)),
            Arrow::Timestamp(TimeUnit::Microsecond, zone) => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                self.timestamp(out, micros, zone.is_some());
            }
            Arrow::Duration(TimeUnit::Microsecond) => {
                day_time(out, array.as_primitive::<DurationMicrosecondType>().value(row));
            }
            Arrow::Interval(IntervalUnit::YearMonth) => {
                year_month(out, array.as_primitive::<IntervalYearMonthType>().value(row));
            }
            Arrow::Interval(IntervalUnit::MonthDayNano) => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                calendar(out, value.months, value.days, value.nanoseconds / 1000);
            }
            Arrow::List(_) => self.list(out, &array.as_list::<i32>().value(row)),
            Arrow::LargeList(_) => self.list(out, &array.as_list::<i64>().value(row)),
            Arrow::Struct(_) => {
                let value = array.as_struct();
                out.push('{');
                for (index, column) in value.columns().iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    self.write(out, column, row);
                }
                out.push('}');
            }
            Arrow::Map(..) => {
                let entries = array.as_map().value(row);
                out.push('{');
                for index in 0..entries.len() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    self.write(out, entries.column(0), index);
                    out.push_str(" -> ");
                    self.write(out, entries.column(1), index);
                }
                out.push('}');
            }
            other => {
                let text = arrow::util::display::array_value_to_string(array, row)
                    .unwrap_or_else(|_| format!("<{other}>"));
                out.push_str(&text);
            }
        }
    }

    fn list(&self, out: &mut String, values: &ArrayRef) {
        out.push('[');
        for index in 0..values.len() {
            if index > 0 {
                out.push_str(", ");
            }
            self.write(out, values, index);
        }
        out.push(']');
    }

    fn timestamp(&self, out: &mut String, micros: i64, zoned: bool) {
        let Some(utc) = DateTime::from_timestamp_micros(micros) else {
            push(out, micros);
            return;
        };
        let local: NaiveDateTime = match (zoned, self.zone) {
            (false, _) => utc.naive_utc(),
            (true, Some(zone)) => zone.from_utc_datetime(&utc.naive_utc()).naive_local(),
            (true, None) => self.offset.from_utc_datetime(&utc.naive_utc()).naive_local(),
        };
        naive_date(out, local.date());
        let _ = write!(out, " {:02}:{:02}:{:02}", local.hour(), local.minute(), local.second());
        let fraction = local.nanosecond() % 1_000_000_000 / 1000;
        if fraction > 0 {
            let digits = format!("{fraction:06}");
            let _ = write!(out, ".{}", digits.trim_end_matches('0'));
        }
    }
}

/// `+02:00`, `UTC+2`, `GMT-03:30`.
fn fixed_offset(zone: &str) -> Option<chrono::FixedOffset> {
    let text = zone.trim_start_matches("UTC").trim_start_matches("GMT").trim_start_matches("UT");
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut parts = text[1..].split(':');
    let hours: i32 = parts.next()?.parse().ok()?;
    let minutes: i32 = parts.next().map_or(Some(0), |m| m.parse().ok())?;
    chrono::FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))
}

fn push<T: std::fmt::Display>(out: &mut String, value: T) {
    let _ = write!(out, "{value}");
}

/// `Float.toString`.
pub(crate) fn java_float(value: f32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0.0" } else { "0.0" }.to_owned();
    }
    let magnitude = value.abs();
    if (1e-3..1e7).contains(&magnitude) {
        let text = format!("{value}");
        return if text.contains('.') { text } else { format!("{text}.0") };
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}

fn decimal(value: i128, scale: i8) -> String {
    if scale <= 0 {
        let zeros = "0".repeat(usize::from(scale.unsigned_abs()));
        return if value == 0 { "0".to_owned() } else { format!("{value}{zeros}") };
    }
    let scale = usize::from(scale.unsigned_abs());
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{whole}.{fraction}")
}

fn hex(out: &mut String, bytes: &[u8]) {
    out.push('[');
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let _ = write!(out, "{byte:02X}");
    }
    out.push(']');
}

fn date(out: &mut String, days: i32) {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or_default();
    match epoch.checked_add_signed(chrono::Duration::days(i64::from(days))) {
        Some(date) => naive_date(out, date),
        None => push(out, days),
    }
}

fn naive_date(out: &mut String, date: NaiveDate) {
    let year = date.year();
    let sign = match year {
        y if y < 0 => "-",
        y if y > 9999 => "+",
        _ => "",
    };
    let _ = write!(out, "{sign}{:04}-{:02}-{:02}", year.unsigned_abs(), date.month(), date.day());
}

fn year_month(out: &mut String, months: i32) {
    let sign = if months < 0 { "-" } else { "" };
    let months = months.unsigned_abs();
    let _ = write!(out, "INTERVAL '{sign}{}-{}' YEAR TO MONTH", months / 12, months % 12);
}

fn day_time(out: &mut String, micros: i64) {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let _ = write!(
        out,
        "INTERVAL '{sign}{} {:02}:{:02}:{:02}",
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    );
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    out.push_str("' DAY TO SECOND");
}

fn calendar(out: &mut String, months: i32, days: i32, micros: i64) {
    let mut parts: Vec<String> = Vec::new();
    let mut unit = |value: i64, name: &str| {
        if value != 0 {
            parts.push(format!("{value} {name}"));
        }
    };
    unit(i64::from(months / 12), "years");
    unit(i64::from(months % 12), "months");
    unit(i64::from(days), "days");
    unit(micros / 3_600_000_000, "hours");
    unit(micros / 60_000_000 % 60, "minutes");
    let rest = micros % 60_000_000;
    if rest != 0 {
        let sign = if rest < 0 { "-" } else { "" };
        let rest = rest.unsigned_abs();
        let (whole, fraction) = (rest / 1_000_000, rest % 1_000_000);
        let digits = format!("{fraction:06}");
        let digits = digits.trim_end_matches('0');
        let dot = if digits.is_empty() { "" } else { "." };
        parts.push(format!("{sign}{whole}{dot}{digits} seconds"));
    }
    out.push_str(&if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") });
}
