//! Time windows that do not overlap: `window(timestamp, duration[, duration, start])`.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray, StructArray};
use arrow::datatypes::{DataType as Arrow, TimestampMicrosecondType};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::{DataType, Field, Schema};

use crate::interval;
use crate::signature::{Call, Ty};
use crate::time::MICROS_PER_DAY;
use crate::types::to_arrow;
use crate::udf::{Args, Definition, Params, ours};

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::strict("window", windows),
    Definition::strict("window_time", |args| {
        let array = args.array(0)?;
        let ends = array.as_struct().column(1).as_primitive::<TimestampMicrosecondType>();
        let last: PrimitiveArray<TimestampMicrosecondType> = ends.unary(|end| end - 1);
        Ok(Arc::new(last.with_data_type(args.params.result.clone())))
    }),
];

fn micros(call: &Call, index: usize) -> std::result::Result<i64, SparkError> {
    let parsed = call.literal_text(index).and_then(interval::parse_calendar);
    match parsed {
        Some((0, days, micros)) => Ok(i64::from(days) * MICROS_PER_DAY + micros),
        _ => Err(call.wrong_type(index, "INTERVAL")),
    }
}

pub(super) fn build(call: &Call) -> std::result::Result<Option<Expr>, SparkError> {
    match call.name {
        "window" => {
            call.arity(2, 4)?;
            let (instant, kind) = call.fitted(0, Ty::AnyTs)?;
            let duration = micros(call, 1)?;
            let slide = if call.len() > 2 { micros(call, 2)? } else { duration };
            let start = if call.len() > 3 { micros(call, 3)? } else { 0 };
            if duration <= 0 {
                return Err(call.wrong_type(1, "positive INTERVAL"));
            }
            if slide != duration {
                return Err(SparkError::new(
                    ErrorKind::UnsupportedOperation,
                    "UNSUPPORTED_FEATURE.SLIDING_WINDOW",
                    "0A000",
                    "The feature is not supported: windows that slide by less than their length. Use a slide equal to the window duration.",
                ));
            }
            let field = |name: &str| Field {
                name: name.to_owned(),
                data_type: kind.clone(),
                nullable: true,
                metadata: None,
            };
            let out = DataType::Struct(Schema { fields: vec![field("start"), field("end")] });
            let params = Params::new(to_arrow(&out)).text(format!("{duration},{start}"));
            ours("window", vec![instant], params).map(Some)
        }
        "window_time" => {
            call.arity(1, 1)?;
            let DataType::Struct(schema) = &call.types[0] else {
                return Err(call.wrong_type(0, "STRUCT"));
            };
            let [_, end] = schema.fields.as_slice() else {
                return Err(call.wrong_type(0, "STRUCT"));
            };
            call.ours("window_time", vec![call.args[0].clone()], &end.data_type).map(Some)
        }
        _ => Ok(None),
    }
}

fn windows(args: &Args) -> Result<ArrayRef> {
    let Arrow::Struct(fields) = &args.params.result else {
        return internal_err!("{} is no struct", args.params.result);
    };
    let (duration, start) = args.params.text.split_once(',').unwrap_or(("1", "0"));
    let duration: i64 = duration.parse().unwrap_or(1);
    let start: i64 = start.parse().unwrap_or(0);
    let array = args.array(0)?;
    let instants = array.as_primitive::<TimestampMicrosecondType>();
    let starts: PrimitiveArray<TimestampMicrosecondType> =
        instants.unary(|instant| instant - (instant - start).rem_euclid(duration));
    let ends: PrimitiveArray<TimestampMicrosecondType> = starts.unary(|start| start + duration);
    let column = |values: PrimitiveArray<TimestampMicrosecondType>| -> ArrayRef {
        Arc::new(values.with_data_type(fields[0].data_type().clone()))
    };
    let nulls = instants.nulls().cloned();
    Ok(Arc::new(StructArray::try_new(fields.clone(), vec![column(starts), column(ends)], nulls)?))
}
