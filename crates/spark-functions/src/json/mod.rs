//! JSON: paths, parsing into values of a schema, and writing.

mod path;
mod read;
mod schema;
mod write;

use datafusion::logical_expr::Expr;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::errors;
use crate::signature::{Call, Function};
use crate::types::to_arrow;
use crate::udf::{Definition, Params, ours};

pub(crate) const FUNCTIONS: &[Function] = path::FUNCTIONS;
pub(crate) const DEFINITION_TABLES: [&[Definition]; 4] =
    [path::DEFINITIONS, read::DEFINITIONS, schema::DEFINITIONS, write::DEFINITIONS];

pub(crate) use read::parse_text;

/// Options of the JSON functions, from a literal map.
fn options(call: &Call, index: usize) -> Result<Vec<(String, String)>, SparkError> {
    let Some(expr) = call.args.get(index) else { return Ok(vec![]) };
    let texts = |expr: &Expr| match expr {
        Expr::Literal(value, _) => Some(value.to_string()),
        _ => None,
    };
    match expr {
        Expr::ScalarFunction(function) if function.func.name() == "map" => function
            .args
            .chunks_exact(2)
            .map(|pair| match (texts(&pair[0]), texts(&pair[1])) {
                (Some(key), Some(value)) => Ok((key.to_lowercase(), value)),
                _ => Err(not_a_map(call)),
            })
            .collect(),
        Expr::Literal(datafusion::common::ScalarValue::Map(map), _) => {
            use arrow::array::AsArray as _;
            let (keys, values) =
                (map.keys().as_string_opt::<i32>(), map.values().as_string_opt::<i32>());
            match (keys, values) {
                (Some(keys), Some(values)) => Ok(keys
                    .iter()
                    .zip(values.iter())
                    .filter_map(|(k, v)| Some((k?.to_lowercase(), v?.to_owned())))
                    .collect()),
                _ => Err(not_a_map(call)),
            }
        }
        _ => Err(not_a_map(call)),
    }
}

fn not_a_map(call: &Call) -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        "INVALID_OPTIONS.NON_MAP_FUNCTION",
        "42K06",
        format!("Invalid options: Must use the `map()` function for options. See {}.", call.sql()),
    )
}

/// The options as the text parameter of a call: `key=value` lines.
fn as_text(options: &[(String, String)]) -> String {
    options.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// The inverse of [`as_text`].
fn option<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

pub(crate) fn build(call: &Call) -> Result<Option<Expr>, SparkError> {
    match call.name {
        "from_json" => {
            call.arity(2, 3)?;
            let text = call.coerced(0, &DataType::String)?;
            let schema = schema_of(call, 1)?;
            let params = Params::new(to_arrow(&schema))
                .mode(call.ctx.mode())
                .zone(call.ctx.time_zone)
                .text(as_text(&options(call, 2)?));
            ours("from_json", vec![text], params).map(Some)
        }
        "to_json" => {
            call.arity(1, 2)?;
            if !matches!(
                call.types[0],
                DataType::Struct(_) | DataType::Map { .. } | DataType::Array { .. }
            ) {
                return Err(call.wrong_type(0, "\"STRUCT\" or \"ARRAY\" or \"MAP\""));
            }
            let params = Params::new(to_arrow(&DataType::String))
                .zone(call.ctx.time_zone)
                .text(as_text(&options(call, 1)?));
            ours("to_json", vec![call.args[0].clone()], params).map(Some)
        }
        "schema_of_json" => {
            call.arity(1, 2)?;
            let Some(text) = call.literal_text(0) else {
                return Err(errors::mismatch(
                    "NON_FOLDABLE_INPUT",
                    &call.sql(),
                    &format!(
                        "the input `json` should be a foldable \"STRING\" expression; however, got \"{}\".",
                        crate::sql_text(&call.args[0])
                    ),
                ));
            };
            let zeros = options(call, 1)?
                .iter()
                .any(|(key, value)| key == "allownumericleadingzeros" && value == "true");
            let name = schema::name_of(text, zeros);
            let value = datafusion::common::ScalarValue::Utf8(Some(name));
            Ok(Some(Expr::Literal(value, None)))
        }
        _ => Ok(None),
    }
}

/// A schema argument: DDL text, or `schema_of_json`'s result.
fn schema_of(call: &Call, index: usize) -> Result<DataType, SparkError> {
    let Some(text) = call.literal_text(index) else {
        return Err(SparkError::new(
            ErrorKind::Analysis,
            "INVALID_SCHEMA.NON_STRING_LITERAL",
            "42K07",
            format!(
                "The input schema \"{}\" is not a valid schema string. The input expression must be string literal and not null.",
                crate::sql_text(&call.args[index])
            ),
        ));
    };
    if text.trim_start().starts_with(['{', '"']) {
        return DataType::from_json(text);
    }
    spark_sql_parser::parse_data_type(text)
        .or_else(|_| spark_sql_parser::parse_schema(text).map(DataType::Struct))
}
