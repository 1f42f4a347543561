//! Values of result rows as literals of the plan language, for answers the analysis asked for.

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use datafusion::scalar::ScalarValue;
use spark_sql_parser::ast::Literal;
use spark_sql_parser::types::DataType;

use crate::errors::{Result, from_datafusion, unsupported};
use crate::field::OutputField;

/// The first `limit` rows.
pub(crate) fn rows(
    batches: &[RecordBatch],
    fields: &[OutputField],
    limit: usize,
) -> Result<Vec<Vec<Literal>>> {
    let mut all = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            if all.len() == limit {
                return Ok(all);
            }
            let mut values = Vec::with_capacity(fields.len());
            for (column, field) in batch.columns().iter().zip(fields) {
                values.push(literal(column.as_ref(), row, &field.data_type)?);
            }
            all.push(values);
        }
    }
    Ok(all)
}

fn literal(array: &dyn Array, row: usize, data_type: &DataType) -> Result<Literal> {
    let value = ScalarValue::try_from_array(array, row).map_err(from_datafusion)?;
    if value.is_null() {
        return Ok(Literal::Null(data_type.clone()));
    }
    Ok(match value {
        ScalarValue::Boolean(Some(v)) => Literal::Boolean(v),
        ScalarValue::Int8(Some(v)) => Literal::Byte(v),
        ScalarValue::Int16(Some(v)) => Literal::Short(v),
        ScalarValue::Int32(Some(v)) => Literal::Integer(v),
        ScalarValue::Int64(Some(v)) => Literal::Long(v),
        ScalarValue::Float32(Some(v)) => Literal::Float(v),
        ScalarValue::Float64(Some(v)) => Literal::Double(v),
        ScalarValue::Decimal128(Some(value), precision, scale) => {
            Literal::Decimal { value, precision, scale }
        }
        ScalarValue::Utf8(Some(v))
        | ScalarValue::LargeUtf8(Some(v))
        | ScalarValue::Utf8View(Some(v)) => Literal::String(v),
        ScalarValue::Binary(Some(v)) => Literal::Binary(v),
        ScalarValue::Date32(Some(v)) => Literal::Date(v),
        ScalarValue::TimestampMicrosecond(Some(v), Some(_)) => Literal::Timestamp(v),
        ScalarValue::TimestampMicrosecond(Some(v), None) => Literal::TimestampNtz(v),
        other => {
            return Err(unsupported(format!(
                "a pivot over values of the type {}",
                other.data_type()
            )));
        }
    })
}
