//! Functions of dates and timestamps.

mod make;
mod parts;
mod pattern;
mod shift;
mod texts;
mod window;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::errors;
use crate::signature::{Call, Function};
use crate::types::{UTC, to_arrow};
use crate::udf::{Definition, Mode, Params, ours};

pub(crate) const FUNCTION_TABLES: [&[Function]; 4] =
    [parts::FUNCTIONS, shift::FUNCTIONS, texts::FUNCTIONS, make::FUNCTIONS];
pub(crate) const DEFINITION_TABLES: [&[Definition]; 5] = [
    parts::DEFINITIONS,
    shift::DEFINITIONS,
    texts::DEFINITIONS,
    make::DEFINITIONS,
    window::DEFINITIONS,
];

pub(crate) use pattern::Pattern;

/// Functions that depend on the clock, or whose fields are named by an argument.
pub(crate) fn build(call: &Call) -> Result<Option<Expr>, SparkError> {
    let literal = |value| Ok(Some(Expr::Literal(value, None)));
    let ctx = call.ctx;
    let zone = || crate::time::Zone::parse(ctx.time_zone).unwrap_or(crate::time::Zone::Fixed(0));
    match call.name {
        "current_date" | "curdate" => {
            call.arity(0, 0)?;
            literal(ScalarValue::Date32(Some(zone().micros_to_days(ctx.now_micros))))
        }
        "current_timestamp" | "now" => {
            call.arity(0, 0)?;
            literal(ScalarValue::TimestampMicrosecond(Some(ctx.now_micros), Some(UTC.into())))
        }
        "localtimestamp" => {
            call.arity(0, 0)?;
            let local = zone().to_local(ctx.now_micros);
            literal(ScalarValue::TimestampMicrosecond(Some(local), None))
        }
        "current_timezone" => {
            call.arity(0, 0)?;
            literal(ScalarValue::Utf8(Some(ctx.time_zone.to_owned())))
        }
        "unix_timestamp" if call.args.is_empty() => {
            literal(ScalarValue::Int64(Some(ctx.now_micros.div_euclid(1_000_000))))
        }
        "extract" | "date_part" | "datepart" => {
            call.arity(2, 2)?;
            let Some(field) = call.literal_text(0) else {
                return Err(not_foldable(call, "field"));
            };
            parts::extract(call, &field.to_ascii_uppercase()).map(Some)
        }
        "date" => {
            call.arity(1, 1)?;
            call.coerced(0, &DataType::Date).map(Some)
        }
        "timestamp" => {
            call.arity(1, 1)?;
            call.coerced(0, &DataType::Timestamp).map(Some)
        }
        "timestampadd" | "dateadd" | "date_add" if call.len() == 3 => {
            shift::timestamp_add(call).map(Some)
        }
        "timestampdiff" | "datediff" | "date_diff" if call.len() == 3 => {
            shift::timestamp_diff(call).map(Some)
        }
        "to_date" | "try_to_date" | "to_timestamp" | "try_to_timestamp" | "to_timestamp_ltz"
        | "to_timestamp_ntz" => texts::to_datetime(call).map(Some),
        "from_utc_timestamp" | "to_utc_timestamp" => {
            call.arity(2, 2)?;
            let args =
                vec![call.coerced(0, &DataType::Timestamp)?, call.coerced(1, &DataType::String)?];
            let params = Params::new(to_arrow(&DataType::Timestamp)).mode(Mode::Ansi);
            ours(call.name, args, params).map(Some)
        }
        "convert_timezone" => {
            call.arity(2, 3)?;
            let mut args = vec![];
            if call.len() == 2 {
                let session = ScalarValue::Utf8(Some(ctx.time_zone.to_owned()));
                args.push(Expr::Literal(session, None));
            }
            for index in 0..call.len() - 1 {
                args.push(call.coerced(index, &DataType::String)?);
            }
            args.push(call.coerced(call.len() - 1, &DataType::TimestampNtz)?);
            call.ours("convert_timezone", args, &DataType::TimestampNtz).map(Some)
        }
        "window" | "window_time" => window::build(call),
        _ => make::build(call),
    }
}

fn not_foldable(call: &Call, input: &str) -> SparkError {
    errors::mismatch(
        "NON_FOLDABLE_INPUT",
        &call.sql(),
        &format!(
            "the input `{input}` should be a foldable \"STRING\" expression; however, got \"{}\".",
            crate::sql_text(&call.args[0])
        ),
    )
}

/// INVALID_PARAMETER_VALUE for a unit nobody knows.
fn unknown_unit(function: &str, unit: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        "INVALID_PARAMETER_VALUE.DATETIME_UNIT",
        "22023",
        format!(
            "The value of parameter(s) `unit` in `{function}` is invalid: expects one of the units without quotes YEAR, QUARTER, MONTH, WEEK, DAY, DAYOFYEAR, HOUR, MINUTE, SECOND, MILLISECOND, MICROSECOND, but got the string literal '{unit}'."
        ),
    )
}
