//! Spark types and the Arrow types that carry them through files.

use std::sync::Arc;

use arrow::datatypes::{
    DataType as ArrowType, Field as ArrowField, IntervalUnit, Schema as ArrowSchema, SchemaRef,
};
pub(crate) use spark_functions::types::{UTC, to_arrow};
use spark_sql_parser::types::{DataType, Field, Schema};

fn arrow_field(field: &Field) -> ArrowField {
    ArrowField::new(&field.name, to_arrow(&field.data_type), field.nullable)
}

/// The Arrow schema of a Spark schema.
pub(crate) fn to_arrow_schema(schema: &Schema) -> SchemaRef {
    Arc::new(ArrowSchema::new(schema.fields.iter().map(arrow_field).collect::<Vec<_>>()))
}

/// Spark's type for what a file declares, or `None` where Spark has none.
pub(crate) fn from_arrow(data_type: &ArrowType) -> Option<DataType> {
    let spark = match data_type {
        ArrowType::Null => DataType::Null,
        ArrowType::Boolean => DataType::Boolean,
        ArrowType::Int8 => DataType::Byte,
        ArrowType::Int16 | ArrowType::UInt8 => DataType::Short,
        ArrowType::Int32 | ArrowType::UInt16 => DataType::Integer,
        ArrowType::Int64 | ArrowType::UInt32 => DataType::Long,
        ArrowType::UInt64 => DataType::Decimal { precision: 20, scale: 0 },
        ArrowType::Float16 | ArrowType::Float32 => DataType::Float,
        ArrowType::Float64 => DataType::Double,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale) => {
            DataType::Decimal { precision: *precision, scale: *scale }
        }
        ArrowType::Decimal256(precision, scale) if *precision <= 38 => {
            DataType::Decimal { precision: *precision, scale: *scale }
        }
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::String,
        ArrowType::Binary
        | ArrowType::LargeBinary
        | ArrowType::BinaryView
        | ArrowType::FixedSizeBinary(_) => DataType::Binary,
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Timestamp(_, Some(_)) => DataType::Timestamp,
        ArrowType::Timestamp(_, None) => DataType::TimestampNtz,
        ArrowType::Interval(IntervalUnit::YearMonth) => {
            DataType::YearMonthInterval { start: 0, end: 1 }
        }
        ArrowType::Interval(IntervalUnit::MonthDayNano) => DataType::CalendarInterval,
        ArrowType::Duration(_) => DataType::DayTimeInterval { start: 0, end: 3 },
        ArrowType::List(item)
        | ArrowType::LargeList(item)
        | ArrowType::ListView(item)
        | ArrowType::FixedSizeList(item, _) => DataType::Array {
            element: Box::new(from_arrow(item.data_type())?),
            contains_null: true,
        },
        ArrowType::Map(entries, _) => {
            let ArrowType::Struct(fields) = entries.data_type() else { return None };
            let [key, value] = fields.as_ref() else { return None };
            DataType::Map {
                key: Box::new(from_arrow(key.data_type())?),
                value: Box::new(from_arrow(value.data_type())?),
                value_contains_null: true,
            }
        }
        ArrowType::Struct(fields) => DataType::Struct(Schema {
            fields: fields
                .iter()
                .map(|field| {
                    from_arrow(field.data_type())
                        .map(|data_type| nullable_field(field.name(), data_type))
                })
                .collect::<Option<_>>()?,
        }),
        ArrowType::Dictionary(_, value) => from_arrow(value)?,
        _ => return None,
    };
    Some(spark)
}

/// A column as a data source gives it: always nullable.
pub(crate) fn nullable_field(name: &str, data_type: DataType) -> Field {
    Field { name: name.to_owned(), data_type, nullable: true, metadata: None }
}

/// `StructType.asNullable`: what files promise is not relied on.
pub(crate) fn as_nullable(schema: &Schema) -> Schema {
    Schema {
        fields: schema
            .fields
            .iter()
            .map(|field| Field {
                data_type: type_as_nullable(&field.data_type),
                nullable: true,
                ..field.clone()
            })
            .collect(),
    }
}

fn type_as_nullable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Array { element, .. } => {
            DataType::Array { element: Box::new(type_as_nullable(element)), contains_null: true }
        }
        DataType::Map { key, value, .. } => DataType::Map {
            key: Box::new(type_as_nullable(key)),
            value: Box::new(type_as_nullable(value)),
            value_contains_null: true,
        },
        DataType::Struct(schema) => DataType::Struct(as_nullable(schema)),
        other => other.clone(),
    }
}
