//! Values as JSON text.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType as Arrow, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType,
};
use base64::Engine as _;
use datafusion::common::Result;
use serde_json::Value;

use super::option;
use crate::datetime::Pattern;
use crate::decimal;
use crate::errors::external;
use crate::kernels::texts;
use crate::text;
use crate::time::{self, MICROS_PER_DAY, Zone};
use crate::udf::{Args, Definition, Mode};

pub(super) const DEFINITIONS: &[Definition] = &[Definition::strict("to_json", to_json).failing()];

/// A JSON value without spaces, numbers as Java writes them.
pub(super) fn compact(value: &Value) -> String {
    let mut out = String::new();
    write_json(&mut out, value);
    out
}

fn write_json(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => match (number.is_f64(), number.as_f64()) {
            (true, Some(value)) => out.push_str(&text::double(value)),
            _ => out.push_str(&number.to_string()),
        },
        Value::String(text) => quote(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                quote(out, key);
                out.push(':');
                write_json(out, value);
            }
            out.push('}');
        }
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Writer<'a> {
    zone: Zone,
    zone_id: &'a str,
    date: Option<Pattern>,
    timestamp: Pattern,
    timestamp_ntz: Pattern,
    ignore_null_fields: bool,
}

fn to_json(args: &Args) -> Result<ArrayRef> {
    let options = &args.params.text;
    let zone_id = option(options, "timezone").unwrap_or(&args.params.zone);
    let pattern = |key: &str, default: &str| {
        Pattern::parse(option(options, key).unwrap_or(default)).map_err(external)
    };
    let writer = Writer {
        zone: Zone::parse(zone_id).unwrap_or(Zone::Fixed(0)),
        zone_id,
        date: option(options, "dateformat").map(Pattern::parse).transpose().map_err(external)?,
        timestamp: pattern("timestampformat", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX")?,
        timestamp_ntz: pattern("timestampntzformat", "yyyy-MM-dd'T'HH:mm:ss.SSS")?,
        ignore_null_fields: option(options, "ignorenullfields") != Some("false"),
    };
    let array = args.array(0)?;
    texts(args.rows, |row| {
        if array.is_null(row) {
            return Ok(None);
        }
        let mut out = String::new();
        writer.value(&mut out, array.as_ref(), row)?;
        Ok(Some(out))
    })
}

impl Writer<'_> {
    fn value(&self, out: &mut String, array: &dyn Array, row: usize) -> Result<()> {
        if array.is_null(row) || array.data_type() == &Arrow::Null {
            out.push_str("null");
            return Ok(());
        }
        macro_rules! number {
            ($t:ty) => {{
                let _ = write!(out, "{}", array.as_primitive::<$t>().value(row));
            }};
        }
        let float = |out: &mut String, value: f64, shown: String| {
            if value.is_finite() { out.push_str(&shown) } else { quote(out, &shown) }
        };
        match array.data_type() {
            Arrow::Int8 => number!(Int8Type),
            Arrow::Int16 => number!(Int16Type),
            Arrow::Int32 => number!(Int32Type),
            Arrow::Int64 => number!(Int64Type),
            Arrow::Boolean => {
                out.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
            }
            Arrow::Float32 => {
                let value = array.as_primitive::<Float32Type>().value(row);
                float(out, value.into(), text::float(value));
            }
            Arrow::Float64 => {
                let value = array.as_primitive::<Float64Type>().value(row);
                float(out, value, text::double(value));
            }
            Arrow::Decimal128(_, scale) => {
                let value = array.as_primitive::<Decimal128Type>().value(row);
                out.push_str(&decimal::text(value, i32::from(*scale)));
            }
            Arrow::Utf8 => quote(out, array.as_string::<i32>().value(row)),
            Arrow::Binary => {
                let bytes = array.as_binary::<i32>().value(row);
                quote(out, &base64::engine::general_purpose::STANDARD.encode(bytes));
            }
            Arrow::Date32 => {
                let days = array.as_primitive::<Date32Type>().value(row);
                quote(
                    out,
                    &match &self.date {
                        None => time::date_text(days),
                        Some(pattern) => {
                            pattern.format(i64::from(days) * MICROS_PER_DAY, Zone::Fixed(0), "UTC")
                        }
                    },
                );
            }
            Arrow::Timestamp(_, zoned) => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                quote(
                    out,
                    &match zoned {
                        Some(_) => self.timestamp.format(micros, self.zone, self.zone_id),
                        None => self.timestamp_ntz.format(micros, Zone::Fixed(0), "UTC"),
                    },
                );
            }
            Arrow::List(_) => {
                let items = array.as_list::<i32>().value(row);
                out.push('[');
                for item in 0..items.len() {
                    if item > 0 {
                        out.push(',');
                    }
                    self.value(out, items.as_ref(), item)?;
                }
                out.push(']');
            }
            Arrow::Struct(fields) => {
                out.push('{');
                let mut first = true;
                for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                    let null = column.is_null(row) || column.data_type() == &Arrow::Null;
                    if null && self.ignore_null_fields {
                        continue;
                    }
                    if !first {
                        out.push(',');
                    }
                    first = false;
                    quote(out, field.name());
                    out.push(':');
                    self.value(out, column.as_ref(), row)?;
                }
                out.push('}');
            }
            Arrow::Map(..) => {
                let entries = array.as_map().value(row);
                let options = crate::cast::Options { mode: Mode::Ansi, zone: self.zone };
                let keys = crate::cast::text_column(entries.column(0), options)?;
                out.push('{');
                for item in 0..entries.len() {
                    if item > 0 {
                        out.push(',');
                    }
                    quote(out, keys.as_string::<i32>().value(item));
                    out.push(':');
                    self.value(out, entries.column(1).as_ref(), item)?;
                }
                out.push('}');
            }
            _ => {
                let options = crate::cast::Options { mode: Mode::Ansi, zone: self.zone };
                let shown = crate::cast::text_column(&array.slice(row, 1), options)?;
                quote(out, shown.as_string::<i32>().value(0));
            }
        }
        Ok(())
    }
}
