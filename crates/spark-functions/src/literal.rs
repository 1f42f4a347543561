//! Literals of the plan language as DataFusion's.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, MapArray, StructArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType as Arrow, Fields, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use spark_sql_parser::ast::Literal;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::cast::{Options, convert};
use crate::errors;
use crate::time::Zone;
use crate::types::{UTC, to_arrow};
use crate::udf::Mode;

/// The literal as an expression of its Spark type.
///
/// # Errors
/// If elements of an array, map or struct do not have the type it claims.
pub fn literal(literal: &Literal) -> Result<Expr, SparkError> {
    Ok(Expr::Literal(scalar_value(literal)?, None))
}

/// The literal as a value of its Arrow type.
///
/// # Errors
/// As [`literal`].
pub fn scalar_value(literal: &Literal) -> Result<ScalarValue, SparkError> {
    Ok(match literal {
        Literal::Null(data_type) => ScalarValue::try_from(&to_arrow(data_type))
            .map_err(|error| errors::from_datafusion(&error))?,
        Literal::Boolean(value) => ScalarValue::Boolean(Some(*value)),
        Literal::Byte(value) => ScalarValue::Int8(Some(*value)),
        Literal::Short(value) => ScalarValue::Int16(Some(*value)),
        Literal::Integer(value) => ScalarValue::Int32(Some(*value)),
        Literal::Long(value) => ScalarValue::Int64(Some(*value)),
        Literal::Float(value) => ScalarValue::Float32(Some(*value)),
        Literal::Double(value) => ScalarValue::Float64(Some(*value)),
        Literal::Decimal { value, precision, scale } => {
            ScalarValue::Decimal128(Some(*value), *precision, *scale)
        }
        Literal::String(text) => ScalarValue::Utf8(Some(text.clone())),
        Literal::Binary(bytes) => ScalarValue::Binary(Some(bytes.clone())),
        Literal::Date(days) => ScalarValue::Date32(Some(*days)),
        Literal::Timestamp(micros) => {
            ScalarValue::TimestampMicrosecond(Some(*micros), Some(UTC.into()))
        }
        Literal::TimestampNtz(micros) => ScalarValue::TimestampMicrosecond(Some(*micros), None),
        Literal::CalendarInterval { months, days, microseconds } => {
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(
                *months,
                *days,
                microseconds.saturating_mul(1000),
            )))
        }
        Literal::YearMonthInterval(months) => ScalarValue::IntervalYearMonth(Some(*months)),
        Literal::DayTimeInterval(micros) => ScalarValue::DurationMicrosecond(Some(*micros)),
        Literal::Array { element_type, values } => {
            let contains_null = values.iter().any(is_null);
            let target = to_arrow(&DataType::Array {
                element: Box::new(element_type.clone()),
                contains_null,
            });
            let Arrow::List(field) = target else {
                return Err(errors::internal("an array is no list"));
            };
            let items = column(values, field.data_type())?;
            let offsets = OffsetBuffer::from_lengths([items.len()]);
            let list = ListArray::try_new(field, offsets, items, None).map_err(wrong)?;
            ScalarValue::List(Arc::new(list))
        }
        Literal::Map { key_type, value_type, entries } => {
            let (keys, values): (Vec<_>, Vec<_>) = entries.iter().cloned().unzip();
            let target = to_arrow(&DataType::Map {
                key: Box::new(key_type.clone()),
                value: Box::new(value_type.clone()),
                value_contains_null: values.iter().any(is_null),
            });
            let Arrow::Map(field, ordered) = target else {
                return Err(errors::internal("a map is no map"));
            };
            let Arrow::Struct(pair) = field.data_type().clone() else {
                return Err(errors::internal("a map's entries are no structs"));
            };
            let columns =
                vec![column(&keys, pair[0].data_type())?, column(&values, pair[1].data_type())?];
            let pairs = StructArray::try_new(pair, columns, None).map_err(wrong)?;
            let offsets = OffsetBuffer::from_lengths([entries.len()]);
            let map = MapArray::try_new(field, offsets, pairs, None, ordered).map_err(wrong)?;
            ScalarValue::Map(Arc::new(map))
        }
        Literal::Struct { fields } => {
            let mut arrow_fields = Vec::with_capacity(fields.len());
            let mut columns: Vec<ArrayRef> = Vec::with_capacity(fields.len());
            for (name, value) in fields {
                let scalar = scalar_value(value)?;
                arrow_fields.push(arrow::datatypes::Field::new(
                    name,
                    scalar.data_type(),
                    scalar.is_null(),
                ));
                columns.push(scalar.to_array().map_err(|error| errors::from_datafusion(&error))?);
            }
            let array =
                StructArray::try_new_with_length(Fields::from(arrow_fields), columns, None, 1)
                    .map_err(wrong)?;
            ScalarValue::Struct(Arc::new(array))
        }
    })
}

fn wrong(error: arrow::error::ArrowError) -> SparkError {
    errors::internal(error.to_string())
}

fn is_null(literal: &Literal) -> bool {
    matches!(literal, Literal::Null(_))
}

fn column(values: &[Literal], target: &Arrow) -> Result<ArrayRef, SparkError> {
    if values.is_empty() {
        return Ok(new_empty_array(target));
    }
    let options = Options { mode: Mode::Ansi, zone: Zone::Fixed(0) };
    let parts = values
        .iter()
        .map(|value| {
            let array =
                scalar_value(value)?.to_array().map_err(|error| errors::from_datafusion(&error))?;
            convert(&array, target, options).map_err(|error| errors::from_datafusion(&error))
        })
        .collect::<Result<Vec<_>, SparkError>>()?;
    let parts: Vec<&dyn arrow::array::Array> = parts.iter().map(AsRef::as_ref).collect();
    arrow::compute::concat(&parts).map_err(wrong)
}
