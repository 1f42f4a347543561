//! Mesos' text forms of resources and attributes.

use crate::json::JsonValue;
use crate::{Attribute, Resource, Value, ValueType, value};

use super::Resources;

/// Why a text is no resources or attributes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// A part is not `name:value`.
    #[error("{0:?} is not of the form name:value")]
    NotAPair(String),
    /// A value is malformed, or of a type which is not allowed here.
    #[error("value {value:?} of {name:?} is {problem}")]
    Value {
        /// What has the value.
        name: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The parentheses around a role do not match.
    #[error("{0:?} has an unbalanced role, write name(role):value")]
    Role(String),
    /// The JSON form is malformed.
    #[error("resources in JSON are malformed: {0}")]
    Json(String),
}

pub(super) fn parse_resources(text: &str, default_role: &str) -> Result<Resources, ParseError> {
    if text.trim_start().starts_with('[') {
        return parse_json(text);
    }
    let mut resources = Resources::new();
    for (name, text) in pairs(text) {
        let (name, text) = (name, text.ok_or_else(|| ParseError::NotAPair(name.to_owned()))?);
        let (name, role) = split_role(name)?;
        let malformed =
            |problem| ParseError::Value { name: name.to_owned(), value: text.to_owned(), problem };
        let value = parse_value(text).map_err(malformed)?;
        let negative = value.scalar.as_ref().is_some_and(|scalar| scalar.value < 0.0);
        if negative {
            return Err(malformed("negative"));
        }
        if value.r#type() == ValueType::Text {
            return Err(malformed("neither a number, nor ranges [a-b], nor a set {a,b}"));
        }
        resources.add(Resource {
            name: name.to_owned(),
            r#type: value.r#type,
            scalar: value.scalar,
            ranges: value.ranges,
            set: value.set,
            role: Some(role.unwrap_or(default_role).to_owned()),
            ..Resource::default()
        });
    }
    Ok(resources)
}

fn parse_json(text: &str) -> Result<Resources, ParseError> {
    let json: Vec<serde_json::Value> =
        serde_json::from_str(text).map_err(|error| ParseError::Json(error.to_string()))?;
    json.iter()
        .map(Resource::from_json)
        .collect::<Result<Resources, _>>()
        .map_err(|error| ParseError::Json(error.to_string()))
}

/// Reads attributes: `rack:r1;level:10;ports:[1-2];tags:{a,b}`.
///
/// # Errors
/// [`ParseError`] names the part that cannot be read.
pub fn parse_attributes(text: &str) -> Result<Vec<Attribute>, ParseError> {
    pairs(text)
        .map(|(name, text)| {
            let text = text.ok_or_else(|| ParseError::NotAPair(name.to_owned()))?;
            let value = parse_value(text).map_err(|problem| ParseError::Value {
                name: name.to_owned(),
                value: text.to_owned(),
                problem,
            })?;
            Ok(Attribute {
                name: name.to_owned(),
                r#type: value.r#type,
                scalar: value.scalar,
                ranges: value.ranges,
                set: value.set,
                text: value.text,
            })
        })
        .collect()
}

/// Parts between semicolons or line ends, cut at the first colon.
fn pairs(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split([';', '\n']).map(str::trim).filter(|part| !part.is_empty()).map(|part| {
        match part.split_once(':') {
            Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
                (name.trim(), Some(value.trim()))
            }
            _ => (part, None),
        }
    })
}

fn split_role(name: &str) -> Result<(&str, Option<&str>), ParseError> {
    let unbalanced = || ParseError::Role(name.to_owned());
    match name.split_once('(') {
        None if name.contains(')') => Err(unbalanced()),
        None => Ok((name, None)),
        Some((bare, rest)) => {
            let role = rest.strip_suffix(')').map(str::trim).ok_or_else(unbalanced)?;
            if role.is_empty() || role.contains(['(', ')']) || bare.trim().is_empty() {
                return Err(unbalanced());
            }
            Ok((bare.trim(), Some(role)))
        }
    }
}

/// Reads a value: ranges in brackets, a set in braces, a number, else a text without its blanks.
///
/// # Errors
/// What is wrong, to stand behind "is".
pub fn parse_value(text: &str) -> Result<Value, &'static str> {
    let text: String = text.chars().filter(|c| *c != ' ').collect();
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or("missing its closing bracket")?;
        let range = inner
            .split(',')
            .filter(|part| !part.is_empty())
            .map(parse_range)
            .collect::<Result<_, _>>()?;
        let ranges = Some(value::Ranges { range });
        return Ok(Value { r#type: ValueType::Ranges.into(), ranges, ..Value::default() });
    }
    if let Some(inner) = text.strip_prefix('{') {
        let inner = inner.strip_suffix('}').ok_or("missing its closing brace")?;
        let item = inner.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let set = Some(value::Set { item });
        return Ok(Value { r#type: ValueType::Set.into(), set, ..Value::default() });
    }
    match parse_number(&text) {
        Some(value) => {
            let scalar = Some(value::Scalar { value });
            Ok(Value { r#type: ValueType::Scalar.into(), scalar, ..Value::default() })
        }
        None => {
            let text = Some(value::Text { value: text });
            Ok(Value { r#type: ValueType::Text.into(), text, ..Value::default() })
        }
    }
}

fn parse_range(text: &str) -> Result<value::Range, &'static str> {
    let (begin, end) = text.split_once('-').ok_or("not a list of ranges a-b")?;
    let begin = begin.parse().map_err(|_| "not a list of ranges a-b")?;
    let end = end.parse().map_err(|_| "not a list of ranges a-b")?;
    if begin > end {
        return Err("a range whose begin is after its end");
    }
    Ok(value::Range { begin, end })
}

/// Only what looks like a number: Rust would also read "inf" and "nan".
fn parse_number(text: &str) -> Option<f64> {
    let looks_so = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number: &f64| looks_so && number.is_finite())
}
