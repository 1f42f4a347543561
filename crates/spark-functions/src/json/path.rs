//! `get_json_object` and other looks into JSON texts.

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType as Arrow, Int32Type};
use datafusion::common::Result;
use serde_json::Value;
use spark_sql_parser::types::DataType;

use super::read::parse_text;
use super::write::compact;
use crate::kernels::{numbers, texts};
use crate::signature::{Function, Out, Ty, f};
use crate::udf::{Args, Definition};

fn strings(_types: &[DataType]) -> DataType {
    DataType::Array { element: Box::new(DataType::String), contains_null: true }
}

pub(super) const FUNCTIONS: &[Function] = &[
    f("get_json_object", &[Ty::Str, Ty::Str], Out::Str),
    f("json_array_length", &[Ty::Str], Out::Int),
    f("json_object_keys", &[Ty::Str], Out::Of(strings)),
];

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::nullable("get_json_object", get_json_object),
    Definition::nullable("json_array_length", |args| {
        let text = args.text(0)?;
        numbers::<Int32Type>(args.rows, |row| {
            Ok(match text.get(row).and_then(parse_text) {
                Some(Value::Array(items)) => i32::try_from(items.len()).ok(),
                _ => None,
            })
        })
    }),
    Definition::nullable("json_object_keys", object_keys),
];

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
    /// `[*]` and `.*`.
    All,
}

/// `$`, then `.name`, `['name']`, `[0]`, `[*]`, `.*`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = vec![];
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            if name.is_empty() {
                return None;
            }
            steps.push(if name == "*" { Step::All } else { Step::Key(name.to_owned()) });
            rest = &after[end..];
        } else {
            let after = rest.strip_prefix('[')?;
            if let Some(quoted) = after.strip_prefix('\'') {
                let end = quoted.find('\'')?;
                let name = &quoted[..end];
                steps.push(if name == "*" { Step::All } else { Step::Key(name.to_owned()) });
                rest = quoted[end + 1..].strip_prefix(']')?;
            } else {
                let end = after.find(']')?;
                steps.push(match &after[..end] {
                    "*" => Step::All,
                    index => Step::Index(index.parse().ok()?),
                });
                rest = &after[end + 1..];
            }
        }
    }
    Some(steps)
}

fn walk(value: &Value, steps: &[Step], found: &mut Vec<Value>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value.clone());
        return;
    };
    match (step, value) {
        (Step::Key(name), Value::Object(fields)) => {
            if let Some(field) = fields.get(name) {
                walk(field, rest, found);
            }
        }
        // A name applied to an array looks into each of its objects.
        (Step::Key(_), Value::Array(items)) => {
            items.iter().for_each(|item| {
                if item.is_object() {
                    walk(item, steps, found);
                }
            });
        }
        (Step::Index(index), Value::Array(items)) => {
            if let Some(item) = items.get(*index) {
                walk(item, rest, found);
            }
        }
        (Step::All, Value::Array(items)) => items.iter().for_each(|item| walk(item, rest, found)),
        (Step::All, Value::Object(fields)) => {
            fields.values().for_each(|field| walk(field, rest, found));
        }
        _ => {}
    }
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(compact(other)),
    }
}

fn get_json_object(args: &Args) -> Result<ArrayRef> {
    let (text, path) = (args.text(0)?, args.text(1)?);
    let mut last: Option<(String, Option<Vec<Step>>)> = None;
    texts(args.rows, |row| {
        let (Some(text), Some(path)) = (text.get(row), path.get(row)) else { return Ok(None) };
        if last.as_ref().is_none_or(|(known, _)| known != path) {
            last = Some((path.to_owned(), steps(path)));
        }
        let Some((_, Some(steps))) = &last else { return Ok(None) };
        let Some(value) = parse_text(text) else { return Ok(None) };
        let mut found = vec![];
        walk(&value, steps, &mut found);
        let several = steps.contains(&Step::All);
        Ok(match found.as_slice() {
            [] => None,
            [one] if !several => shown(one),
            [one] if !matches!(steps.last(), Some(Step::All)) => shown(one),
            many => Some(compact(&Value::Array(many.to_vec()))),
        })
    })
}

fn object_keys(args: &Args) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let field = match &args.params.result {
        Arrow::List(field) => std::sync::Arc::clone(field),
        other => return datafusion::common::internal_err!("{other} is no list"),
    };
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(field);
    for row in 0..args.rows {
        match text.get(row).and_then(parse_text) {
            Some(Value::Object(fields)) => {
                fields.keys().for_each(|key| builder.values().append_value(key));
                builder.append(true);
            }
            _ => builder.append(false),
        }
    }
    Ok(std::sync::Arc::new(builder.finish()))
}
