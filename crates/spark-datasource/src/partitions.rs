//! Types and values of partition columns, read from directory names.

use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, TimeUnit};
use datafusion::scalar::ScalarValue;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::error::Result;
use crate::path::DEFAULT_PARTITION;
use crate::schema::{UTC, to_arrow};
use crate::values::datetime;
use crate::values::number::{self, BigDecimal};
use crate::values::pattern::Pattern;
use crate::values::zone::Zone;

/// The type that all values of one column fit: `PartitioningUtils.inferPartitionColumnValue` and
/// `resolveTypeConflicts`.
pub(crate) fn infer(texts: &[&str], zone: Zone) -> DataType {
    texts.iter().map(|text| infer_one(text, zone)).reduce(widen).unwrap_or(DataType::String)
}

fn infer_one(text: &str, zone: Zone) -> DataType {
    if text == DEFAULT_PARTITION {
        return DataType::Null;
    }
    if number::integer::<i32>(text).is_some() {
        return DataType::Integer;
    }
    if number::integer::<i64>(text).is_some() {
        return DataType::Long;
    }
    if let Some(decimal) = BigDecimal::parse(text).filter(|decimal| decimal.scale <= 0)
        && let digits = i32::from(decimal.precision()) - decimal.scale
        && digits <= 38
    {
        return DataType::Decimal { precision: digits as u8, scale: 0 };
    }
    if number::double(text).is_some() {
        return DataType::Double;
    }
    if parse_timestamp(text, zone).is_some() {
        return DataType::Timestamp;
    }
    if Pattern::date_default().parse_date(text).is_some() {
        return DataType::Date;
    }
    DataType::String
}

fn parse_timestamp(text: &str, zone: Zone) -> Option<i64> {
    Pattern::new("yyyy-MM-dd HH:mm:ss[.S]")
        .ok()?
        .parse_timestamp(text)
        .map(|parsed| parsed.to_instant(zone))
}

fn widen(a: DataType, b: DataType) -> DataType {
    use DataType::{Date, Decimal, Double, Integer, Long, Null, String, Timestamp};
    match (a, b) {
        (a, b) if a == b => a,
        (Null, other) | (other, Null) => other,
        (Integer, Long) | (Long, Integer) => Long,
        (Integer, Double) | (Double, Integer) => Double,
        (Integer | Long, Decimal { precision, .. })
        | (Decimal { precision, .. }, Integer | Long) => {
            Decimal { precision: precision.max(20), scale: 0 }
        }
        (Decimal { precision: p, .. }, Decimal { precision: q, .. }) => {
            Decimal { precision: p.max(q), scale: 0 }
        }
        (Date, Timestamp) | (Timestamp, Date) => Timestamp,
        _ => String,
    }
}

/// The value of a directory name in the type of its column.
///
/// # Errors
/// If the text is no value of the type.
pub(crate) fn value(
    column: &str,
    text: &str,
    data_type: &DataType,
    zone: Zone,
) -> Result<ScalarValue> {
    let null = || ScalarValue::try_from(&to_arrow(data_type)).ok();
    let converted = if text == DEFAULT_PARTITION { null() } else { convert(text, data_type, zone) };
    converted.ok_or_else(|| {
        SparkError::new(
            ErrorKind::Runtime,
            "CAST_INVALID_INPUT",
            "22018",
            format!(
                "The value '{text}' of the partition column `{column}` cannot be read as {}. Correct the \
                 directory's name, or give the column another type in the schema.",
                data_type.sql()
            ),
        )
        .with("expression", format!("'{text}'"))
        .with("targetType", format!("\"{}\"", data_type.sql()))
    })
}

fn convert(text: &str, data_type: &DataType, zone: Zone) -> Option<ScalarValue> {
    let value = match data_type {
        DataType::Boolean => ScalarValue::Boolean(Some(number::boolean(text)?)),
        DataType::Byte => ScalarValue::Int8(Some(number::integer(text)?)),
        DataType::Short => ScalarValue::Int16(Some(number::integer(text)?)),
        DataType::Integer => ScalarValue::Int32(Some(number::integer(text)?)),
        DataType::Long => ScalarValue::Int64(Some(number::integer(text)?)),
        DataType::Float => ScalarValue::Float32(Some(number::float(text)?)),
        DataType::Double => ScalarValue::Float64(Some(number::double(text)?)),
        DataType::Decimal { precision, scale } => ScalarValue::Decimal128(
            Some(BigDecimal::parse(text)?.rescale(*precision, *scale)?),
            *precision,
            *scale,
        ),
        DataType::Date => ScalarValue::Date32(Some(datetime::parse_date(text)?)),
        DataType::Timestamp => ScalarValue::TimestampMicrosecond(
            Some(datetime::parse_timestamp(text, || 0)?.to_instant(zone)),
            Some(Arc::from(UTC)),
        ),
        DataType::TimestampNtz => ScalarValue::TimestampMicrosecond(
            Some(datetime::parse_timestamp(text, || 0)?.local_micros),
            None,
        ),
        DataType::String | DataType::Char(_) | DataType::Varchar(_) => {
            ScalarValue::Utf8(Some(text.to_owned()))
        }
        DataType::Binary => ScalarValue::Binary(Some(text.as_bytes().to_vec())),
        _ => return None,
    };
    debug_assert!(
        value.data_type() == to_arrow(data_type)
            || matches!(value.data_type(), ArrowType::Timestamp(TimeUnit::Microsecond, _))
    );
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_of_partition_types() {
        let utc = Zone::UTC;
        let long_number = "123456789012345678901";
        for (texts, expected) in [
            (vec!["1", "2"], DataType::Integer),
            (vec!["1", "3000000000"], DataType::Long),
            (vec![long_number], DataType::Decimal { precision: 21, scale: 0 }),
            (vec!["1", "1.5"], DataType::Double),
            (vec!["3000000000", "1.5"], DataType::String),
            (vec!["2020-01-01"], DataType::Date),
            (vec!["2020-01-01 10:00:00"], DataType::Timestamp),
            (vec!["2020-01-01", "2020-01-01 10:00:00"], DataType::Timestamp),
            (vec!["1", DEFAULT_PARTITION], DataType::Integer),
            (vec![DEFAULT_PARTITION], DataType::Null),
            (vec!["1", "a"], DataType::String),
            (vec!["true"], DataType::String),
            (vec!["00"], DataType::Integer),
        ] {
            assert_eq!(infer(&texts, utc), expected, "{texts:?}");
        }
    }
}
