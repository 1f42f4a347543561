//! The JSON dialect of Mesos: proto field names, bytes in base64, enums by name, 64-bit integers as
//! numbers, empty lists left out, explicit defaults printed, unknown fields ignored.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

/// Why a JSON text is not the message it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JsonError {
    /// Something other than an object stands where a message belongs.
    #[error("expected a JSON object for {message}, found {found}")]
    NotAnObject {
        /// Protobuf name of the message.
        message: &'static str,
        /// What was found.
        found: String,
    },
    /// A required field is missing.
    #[error("missing required field {message}.{field}")]
    Missing {
        /// Protobuf name of the message.
        message: &'static str,
        /// Name of the field.
        field: &'static str,
    },
    /// A value does not fit its field.
    #[error("{found} does not fit {expected}")]
    Mismatch {
        /// What the field takes.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A value inside a field is wrong.
    #[error("field {message}.{field}: {source}")]
    Field {
        /// Protobuf name of the message.
        message: &'static str,
        /// Name of the field.
        field: &'static str,
        /// What is wrong inside.
        source: Box<Self>,
    },
}

/// A type with a form in the dialect.
pub trait JsonValue: Sized {
    /// Writes the value.
    fn to_json(&self) -> Value;

    /// Reads the value.
    ///
    /// # Errors
    /// [`JsonError`] names the message and field that do not fit.
    fn from_json(json: &Value) -> Result<Self, JsonError>;
}

/// An enum which protobuf carries as a number and JSON as a name.
pub trait JsonEnum {
    /// The name of a known number.
    fn number_to_json(number: i32) -> Option<Value>;
    /// The number of a known name.
    fn number_from_json(json: &Value) -> Option<i32>;
}

fn mismatch(expected: &'static str, found: &Value) -> JsonError {
    JsonError::Mismatch { expected, found: shorten(found) }
}

fn shorten(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > 80 {
        let end = (0..=77).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn inside(message: &'static str, field: &'static str) -> impl Fn(JsonError) -> JsonError {
    move |source| JsonError::Field { message, field, source: Box::new(source) }
}

/// A field that is there and not null.
fn present<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

pub(crate) fn object<'a>(
    json: &'a Value,
    message: &'static str,
) -> Result<&'a Map<String, Value>, JsonError> {
    json.as_object().ok_or_else(|| JsonError::NotAnObject { message, found: shorten(json) })
}

pub(crate) fn required<T: JsonValue>(
    object: &Map<String, Value>,
    message: &'static str,
    field: &'static str,
) -> Result<T, JsonError> {
    let value = present(object, field).ok_or(JsonError::Missing { message, field })?;
    T::from_json(value).map_err(inside(message, field))
}

pub(crate) fn optional<T: JsonValue>(
    object: &Map<String, Value>,
    message: &'static str,
    field: &'static str,
) -> Result<Option<T>, JsonError> {
    present(object, field).map(T::from_json).transpose().map_err(inside(message, field))
}

pub(crate) fn repeated<T: JsonValue>(
    object: &Map<String, Value>,
    message: &'static str,
    field: &'static str,
) -> Result<Vec<T>, JsonError> {
    match present(object, field) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            items.iter().map(T::from_json).collect::<Result<_, _>>().map_err(inside(message, field))
        }
        Some(other) => Err(inside(message, field)(mismatch("an array", other))),
    }
}

pub(crate) fn map<T: JsonValue>(
    json: &Map<String, Value>,
    message: &'static str,
    field: &'static str,
) -> Result<BTreeMap<String, T>, JsonError> {
    let Some(value) = present(json, field) else { return Ok(BTreeMap::new()) };
    object(value, message)?
        .iter()
        .map(|(key, value)| Ok((key.clone(), T::from_json(value)?)))
        .collect::<Result<_, _>>()
        .map_err(inside(message, field))
}

pub(crate) fn required_enum<T: JsonEnum>(
    object: &Map<String, Value>,
    message: &'static str,
    field: &'static str,
) -> Result<i32, JsonError> {
    let value = present(object, field).ok_or(JsonError::Missing { message, field })?;
    T::number_from_json(value)
        .ok_or_else(|| inside(message, field)(mismatch("a name of the enum", value)))
}

impl JsonValue for String {
    fn to_json(&self) -> Value {
        Value::from(self.as_str())
    }
    fn from_json(json: &Value) -> Result<Self, JsonError> {
        json.as_str().map(Self::from).ok_or_else(|| mismatch("a string", json))
    }
}

impl JsonValue for Bytes {
    fn to_json(&self) -> Value {
        Value::from(STANDARD.encode(self))
    }
    fn from_json(json: &Value) -> Result<Self, JsonError> {
        let text = json.as_str().ok_or_else(|| mismatch("base64 text", json))?;
        STANDARD.decode(text).map(Self::from).map_err(|_| mismatch("base64 text", json))
    }
}

impl JsonValue for bool {
    fn to_json(&self) -> Value {
        Value::from(*self)
    }
    fn from_json(json: &Value) -> Result<Self, JsonError> {
        match json {
            Value::Bool(value) => Ok(*value),
            Value::String(text) if text == "true" => Ok(true),
            Value::String(text) if text == "false" => Ok(false),
            other => Err(mismatch("a boolean", other)),
        }
    }
}

impl JsonValue for f64 {
    fn to_json(&self) -> Value {
        // JSON has no number for an infinite limit; Mesos reads and writes it as text.
        match *self {
            value if value.is_finite() => Value::from(value),
            value if value == Self::INFINITY => Value::from("Infinity"),
            value if value == Self::NEG_INFINITY => Value::from("-Infinity"),
            _ => Value::from("NaN"),
        }
    }
    fn from_json(json: &Value) -> Result<Self, JsonError> {
        match json {
            Value::Number(number) => number.as_f64(),
            // Rust reads "Infinity" and "-Infinity" as the parser of Mesos does.
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| mismatch("a number", json))
    }
}

macro_rules! integer {
    ($($t:ident)*) => { $(
        impl JsonValue for $t {
            fn to_json(&self) -> Value {
                Value::from(*self)
            }
            fn from_json(json: &Value) -> Result<Self, JsonError> {
                match json {
                    Value::Number(number) => number
                        .as_i64()
                        .and_then(|n| Self::try_from(n).ok())
                        .or_else(|| number.as_u64().and_then(|n| Self::try_from(n).ok())),
                    Value::String(text) => text.parse().ok(),
                    _ => None,
                }
                .ok_or_else(|| mismatch(concat!("an integer of type ", stringify!($t)), json))
            }
        }
    )* };
}
integer!(i32 i64 u32 u64);

impl<T: JsonValue> JsonValue for Box<T> {
    fn to_json(&self) -> Value {
        (**self).to_json()
    }
    fn from_json(json: &Value) -> Result<Self, JsonError> {
        T::from_json(json).map(Self::new)
    }
}
