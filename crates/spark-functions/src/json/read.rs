//! Texts of JSON (and CSV) into values of a schema.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as Arrow, Date32Type, Decimal128Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::common::Result;
use serde_json::Value;
use spark_sql_parser::error::{ErrorKind, SparkError};

use super::option;
use super::write::compact;
use crate::cast::{Options, convert};
use crate::datetime::Pattern;
use crate::decimal;
use crate::errors::external;
use crate::time::{self, MICROS_PER_DAY, Zone};
use crate::udf::{Args, Definition, Mode, fail};

pub(super) const DEFINITIONS: &[Definition] =
    &[Definition::nullable("from_json", from_json).failing()];

/// A JSON text as a value; single quotes are allowed, as Spark allows them.
pub(crate) fn parse_text(text: &str) -> Option<Value> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => Some(value),
        _ if text.contains('\'') => serde_json::from_str(&double_quoted(text)?).ok(),
        _ => None,
    }
}

/// Strings in single quotes rewritten in double ones.
fn double_quoted(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', Some(_)) => {
                let next = chars.next()?;
                if next != '\'' {
                    out.push('\\');
                }
                out.push(next);
            }
            ('\'' | '"', None) => {
                quote = Some(c);
                out.push('"');
            }
            (c, Some(open)) if c == open => {
                quote = None;
                out.push('"');
            }
            ('"', Some('\'')) => out.push_str("\\\""),
            (c, _) => out.push(c),
        }
    }
    Some(out)
}

/// Reads values of Arrow types out of JSON values. What does not fit is NULL.
pub(crate) struct Reader {
    zone: Zone,
    date: Option<Pattern>,
    timestamp: Option<Pattern>,
}

impl Reader {
    pub(crate) fn new(
        zone: Zone,
        date_format: Option<&str>,
        timestamp_format: Option<&str>,
    ) -> Result<Self, SparkError> {
        Ok(Self {
            zone,
            date: date_format.map(Pattern::parse).transpose()?,
            timestamp: timestamp_format.map(Pattern::parse).transpose()?,
        })
    }

    /// A column from one JSON value per row.
    pub(crate) fn column(&self, values: &[Option<&Value>], to: &Arrow) -> Result<ArrayRef> {
        Ok(match to {
            Arrow::Boolean => Arc::new(
                values.iter().map(|value| value.and_then(Value::as_bool)).collect::<BooleanArray>(),
            ),
            Arrow::Int8 => self.numbers::<Int8Type>(values, to, |v| integer(v)?.try_into().ok()),
            Arrow::Int16 => self.numbers::<Int16Type>(values, to, |v| integer(v)?.try_into().ok()),
            Arrow::Int32 => self.numbers::<Int32Type>(values, to, |v| integer(v)?.try_into().ok()),
            Arrow::Int64 => self.numbers::<Int64Type>(values, to, integer),
            Arrow::Float32 => self.numbers::<Float32Type>(values, to, |v| Some(float(v)? as f32)),
            Arrow::Float64 => self.numbers::<Float64Type>(values, to, float),
            Arrow::Decimal128(precision, scale) => {
                self.numbers::<Decimal128Type>(values, to, |value| {
                    let text = match value {
                        Value::Number(number) => number.to_string(),
                        Value::String(text) => text.trim().to_owned(),
                        _ => return None,
                    };
                    let value = decimal::parse(&text, i32::from(*scale))?.ok()?;
                    decimal::fits(value, *precision).then_some(value)
                })
            }
            Arrow::Utf8 => Arc::new(
                values
                    .iter()
                    .map(|value| match value {
                        None | Some(Value::Null) => None,
                        Some(Value::String(text)) => Some(text.clone()),
                        Some(other) => Some(compact(other)),
                    })
                    .collect::<StringArray>(),
            ),
            Arrow::Date32 => self.numbers::<Date32Type>(values, to, |value| {
                let text = value.as_str()?;
                match &self.date {
                    None => time::parse_date(text),
                    Some(pattern) => {
                        i32::try_from(pattern.read(text)?.local.div_euclid(MICROS_PER_DAY)).ok()
                    }
                }
            }),
            Arrow::Timestamp(_, zoned) => {
                self.numbers::<TimestampMicrosecondType>(values, to, |value| {
                    let text = value.as_str()?;
                    let (local, zone) = match &self.timestamp {
                        None => {
                            let parsed = time::parse_timestamp(text).filter(|p| !p.time_only)?;
                            (parsed.local, parsed.zone)
                        }
                        Some(pattern) => {
                            let parsed = pattern.read(text)?;
                            (parsed.local, parsed.zone)
                        }
                    };
                    Some(match zoned {
                        Some(_) => zone.unwrap_or(self.zone).to_utc(local),
                        None => local,
                    })
                })
            }
            Arrow::List(field) => {
                let mut items: Vec<Option<&Value>> = vec![];
                let mut lengths = vec![];
                let mut valid = vec![];
                for value in values {
                    match value {
                        Some(Value::Array(values)) => {
                            items.extend(values.iter().map(Some));
                            lengths.push(values.len());
                            valid.push(true);
                        }
                        _ => {
                            lengths.push(0);
                            valid.push(false);
                        }
                    }
                }
                Arc::new(ListArray::try_new(
                    Arc::clone(field),
                    OffsetBuffer::from_lengths(lengths),
                    self.column(&items, field.data_type())?,
                    Some(NullBuffer::from(valid)),
                )?)
            }
            Arrow::Map(field, ordered) => {
                let Arrow::Struct(pair) = field.data_type() else {
                    return Ok(new_null_array(to, values.len()));
                };
                let mut keys: Vec<&str> = vec![];
                let mut items: Vec<Option<&Value>> = vec![];
                let mut lengths = vec![];
                let mut valid = vec![];
                for value in values {
                    let fields = value.and_then(Value::as_object);
                    lengths.push(fields.map_or(0, serde_json::Map::len));
                    valid.push(fields.is_some());
                    for (key, value) in fields.into_iter().flatten() {
                        keys.push(key);
                        items.push(Some(value));
                    }
                }
                let keys: ArrayRef = Arc::new(StringArray::from(keys));
                let options = Options { mode: Mode::Try, zone: self.zone };
                let keys = convert(&keys, pair[0].data_type(), options)?;
                let items = self.column(&items, pair[1].data_type())?;
                let entries = StructArray::try_new(pair.clone(), vec![keys, items], None)?;
                Arc::new(MapArray::try_new(
                    Arc::clone(field),
                    OffsetBuffer::from_lengths(lengths),
                    entries,
                    Some(NullBuffer::from(valid)),
                    *ordered,
                )?)
            }
            Arrow::Struct(fields) => {
                let objects: Vec<Option<&serde_json::Map<String, Value>>> =
                    values.iter().map(|value| value.and_then(Value::as_object)).collect();
                let columns = fields
                    .iter()
                    .map(|field| {
                        let items: Vec<Option<&Value>> = objects
                            .iter()
                            .map(|object| object.and_then(|object| object.get(field.name())))
                            .collect();
                        self.column(&items, field.data_type())
                    })
                    .collect::<Result<Vec<_>>>()?;
                let valid: Vec<bool> = objects.iter().map(Option::is_some).collect();
                // Fields that promise values get them only where the object is: make all nullable inside.
                Arc::new(StructArray::try_new_with_length(
                    fields.clone(),
                    columns,
                    Some(NullBuffer::from(valid)),
                    values.len(),
                )?)
            }
            _ => new_null_array(to, values.len()),
        })
    }

    fn numbers<T: ArrowPrimitiveType>(
        &self,
        values: &[Option<&Value>],
        to: &Arrow,
        convert: impl Fn(&Value) -> Option<T::Native>,
    ) -> ArrayRef {
        let column: PrimitiveArray<T> =
            values.iter().map(|value| value.and_then(&convert)).collect();
        Arc::new(column.with_data_type(to.clone()))
    }
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64()
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" | "+Infinity" | "INF" | "+INF" => Some(f64::INFINITY),
            "-Infinity" | "-INF" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// The schema with every field nullable: absent fields are NULL whatever the schema says.
fn from_json(args: &Args) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let options = &args.params.text;
    let zone = Zone::parse(option(options, "timezone").unwrap_or(&args.params.zone))
        .unwrap_or(Zone::Fixed(0));
    let reader =
        Reader::new(zone, option(options, "dateformat"), option(options, "timestampformat"))
            .map_err(external)?;
    let fail_fast = option(options, "mode").is_some_and(|m| m.eq_ignore_ascii_case("FAILFAST"));
    let to = &args.params.result;
    let record = matches!(to, Arrow::Struct(_));
    let empty = Value::Object(serde_json::Map::new());
    let mut parsed: Vec<Option<Value>> = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        parsed.push(match text.get(row) {
            None => None,
            Some(text) if text.trim().is_empty() => None,
            Some(text) => match parse_text(text) {
                Some(value) => Some(match (value, to) {
                    (value @ Value::Object(_), Arrow::List(_)) => Value::Array(vec![value]),
                    (value @ Value::Object(_), _) => value,
                    (_, Arrow::Struct(_)) => empty.clone(),
                    (value, _) => value,
                }),
                None if fail_fast => {
                    return fail(malformed(text));
                }
                None => record.then(|| empty.clone()),
            },
        });
    }
    let values: Vec<Option<&Value>> = parsed.iter().map(Option::as_ref).collect();
    let column = reader.column(&values, to)?;
    debug_assert_eq!(column.len(), args.rows);
    Ok(column)
}

fn malformed(text: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Execution,
        "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
        "22023",
        format!(
            "Malformed records are detected in record parsing: {text}. Parse Mode: FAILFAST. To process malformed records as null result, try setting the option 'mode' as 'PERMISSIVE'."
        ),
    )
    .with("badRecord", text)
    .with("failFastMode", "FAILFAST")
}
