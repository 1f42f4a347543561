//! Spark's data types as Arrow's, both ways, and their text forms.
//!
//! Timestamps are `Timestamp(Microsecond, "UTC")` whatever the session's zone is: the zone matters where text or
//! calendar fields are made, and there it is a parameter of the function.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{
    DataType as Arrow, Field as ArrowField, Fields, IntervalUnit, Schema as ArrowSchema, TimeUnit,
};
use spark_sql_parser::types::{DataType, Field, Schema};

/// Metadata key under which a field keeps Spark's own metadata (JSON text).
pub const METADATA_KEY: &str = "spark.metadata";

/// Zone of every zoned timestamp inside the engine.
pub const UTC: &str = "UTC";

/// The Arrow type in which values of a Spark type travel.
#[must_use]
pub fn to_arrow(data_type: &DataType) -> Arrow {
    match data_type {
        DataType::Null => Arrow::Null,
        DataType::Boolean => Arrow::Boolean,
        DataType::Byte => Arrow::Int8,
        DataType::Short => Arrow::Int16,
        DataType::Integer => Arrow::Int32,
        DataType::Long => Arrow::Int64,
        DataType::Float => Arrow::Float32,
        DataType::Double => Arrow::Float64,
        DataType::Decimal { precision, scale } => Arrow::Decimal128(*precision, *scale),
        DataType::String | DataType::Char(_) | DataType::Varchar(_) => Arrow::Utf8,
        DataType::Binary | DataType::Variant => Arrow::Binary,
        DataType::Date => Arrow::Date32,
        DataType::Timestamp => timestamp(),
        DataType::TimestampNtz => Arrow::Timestamp(TimeUnit::Microsecond, None),
        DataType::CalendarInterval => Arrow::Interval(IntervalUnit::MonthDayNano),
        DataType::YearMonthInterval { .. } => Arrow::Interval(IntervalUnit::YearMonth),
        DataType::DayTimeInterval { .. } => Arrow::Duration(TimeUnit::Microsecond),
        DataType::Array { element, contains_null } => {
            Arrow::List(Arc::new(ArrowField::new("element", to_arrow(element), *contains_null)))
        }
        DataType::Map { key, value, value_contains_null } => {
            let entries = Fields::from(vec![
                ArrowField::new("key", to_arrow(key), false),
                ArrowField::new("value", to_arrow(value), *value_contains_null),
            ]);
            Arrow::Map(Arc::new(ArrowField::new("entries", Arrow::Struct(entries), false)), false)
        }
        DataType::Struct(schema) => Arrow::Struct(fields_to_arrow(schema)),
    }
}

/// The Arrow type of Spark's TIMESTAMP.
#[must_use]
pub fn timestamp() -> Arrow {
    Arrow::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// One column as an Arrow field; Spark's metadata is kept under [`METADATA_KEY`].
#[must_use]
pub fn field_to_arrow(field: &Field) -> ArrowField {
    let arrow = ArrowField::new(&field.name, to_arrow(&field.data_type), field.nullable);
    match &field.metadata {
        Some(json) => arrow.with_metadata([(METADATA_KEY.to_owned(), json.clone())].into()),
        None => arrow,
    }
}

fn fields_to_arrow(schema: &Schema) -> Fields {
    schema.fields.iter().map(field_to_arrow).collect()
}

/// A relation's schema as Arrow's.
#[must_use]
pub fn schema_to_arrow(schema: &Schema) -> ArrowSchema {
    ArrowSchema::new(fields_to_arrow(schema))
}

/// The Spark type of an Arrow one; wider or foreign Arrow types go to the nearest Spark type.
#[must_use]
pub fn from_arrow(data_type: &Arrow) -> DataType {
    match data_type {
        Arrow::Null => DataType::Null,
        Arrow::Boolean => DataType::Boolean,
        Arrow::Int8 => DataType::Byte,
        Arrow::Int16 | Arrow::UInt8 => DataType::Short,
        Arrow::Int32 | Arrow::UInt16 => DataType::Integer,
        Arrow::Int64 | Arrow::UInt32 => DataType::Long,
        Arrow::UInt64 => DataType::Decimal { precision: 20, scale: 0 },
        Arrow::Float16 | Arrow::Float32 => DataType::Float,
        Arrow::Float64 => DataType::Double,
        Arrow::Decimal32(precision, scale)
        | Arrow::Decimal64(precision, scale)
        | Arrow::Decimal128(precision, scale)
        | Arrow::Decimal256(precision, scale) => {
            DataType::Decimal { precision: (*precision).min(38), scale: *scale }
        }
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => DataType::String,
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => {
            DataType::Binary
        }
        Arrow::Date32 | Arrow::Date64 => DataType::Date,
        Arrow::Timestamp(_, Some(_)) => DataType::Timestamp,
        Arrow::Timestamp(_, None) => DataType::TimestampNtz,
        Arrow::Interval(IntervalUnit::YearMonth) => {
            DataType::YearMonthInterval { start: 0, end: 1 }
        }
        Arrow::Interval(_) => DataType::CalendarInterval,
        Arrow::Duration(_) | Arrow::Time32(_) | Arrow::Time64(_) => {
            DataType::DayTimeInterval { start: 0, end: 3 }
        }
        Arrow::List(field)
        | Arrow::LargeList(field)
        | Arrow::ListView(field)
        | Arrow::LargeListView(field)
        | Arrow::FixedSizeList(field, _) => DataType::Array {
            element: Box::new(from_arrow(field.data_type())),
            contains_null: field.is_nullable(),
        },
        Arrow::Map(entries, _) => match entries.data_type() {
            Arrow::Struct(fields) if fields.len() == 2 => DataType::Map {
                key: Box::new(from_arrow(fields[0].data_type())),
                value: Box::new(from_arrow(fields[1].data_type())),
                value_contains_null: fields[1].is_nullable(),
            },
            _ => DataType::Null,
        },
        Arrow::Struct(fields) => DataType::Struct(Schema {
            fields: fields.iter().map(|field| field_from_arrow(field)).collect(),
        }),
        Arrow::Dictionary(_, value) => from_arrow(value),
        Arrow::RunEndEncoded(_, values) => from_arrow(values.data_type()),
        Arrow::Union(..) => DataType::Variant,
    }
}

/// One Arrow field as a Spark column.
#[must_use]
pub fn field_from_arrow(field: &ArrowField) -> Field {
    Field {
        name: field.name().clone(),
        data_type: from_arrow(field.data_type()),
        nullable: field.is_nullable(),
        metadata: field.metadata().get(METADATA_KEY).cloned(),
    }
}

/// A relation's schema from Arrow's.
#[must_use]
pub fn schema_from_arrow(schema: &ArrowSchema) -> Schema {
    Schema { fields: schema.fields().iter().map(|field| field_from_arrow(field)).collect() }
}

/// `DataType.simpleString`: `int`, `decimal(10,2)`, `array<string>`; what `typeof` answers.
#[must_use]
pub fn simple_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "void".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Byte => "tinyint".into(),
        DataType::Short => "smallint".into(),
        DataType::Integer => "int".into(),
        DataType::Long => "bigint".into(),
        DataType::Float => "float".into(),
        DataType::Double => "double".into(),
        DataType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        DataType::String => "string".into(),
        DataType::Char(length) => format!("char({length})"),
        DataType::Varchar(length) => format!("varchar({length})"),
        DataType::Binary => "binary".into(),
        DataType::Date => "date".into(),
        DataType::Timestamp => "timestamp".into(),
        DataType::TimestampNtz => "timestamp_ntz".into(),
        DataType::CalendarInterval => "interval".into(),
        DataType::YearMonthInterval { start, end } => {
            interval_name(&["year", "month"], *start, *end)
        }
        DataType::DayTimeInterval { start, end } => {
            interval_name(&["day", "hour", "minute", "second"], *start, *end)
        }
        DataType::Array { element, .. } => format!("array<{}>", simple_name(element)),
        DataType::Map { key, value, .. } => {
            format!("map<{},{}>", simple_name(key), simple_name(value))
        }
        DataType::Struct(schema) => {
            let fields: Vec<String> = schema
                .fields
                .iter()
                .map(|field| format!("{}:{}", field.name, simple_name(&field.data_type)))
                .collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::Variant => "variant".into(),
    }
}

fn interval_name(units: &[&str], start: u8, end: u8) -> String {
    let unit = |index: u8| units.get(usize::from(index)).copied().unwrap_or("second");
    if start == end {
        format!("interval {}", unit(start))
    } else {
        format!("interval {} to {}", unit(start), unit(end))
    }
}

/// `DataType.sql`: the spelling in error messages and DDL, such as `INT` or `ARRAY<STRING>`.
#[must_use]
pub fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Array { element, .. } => format!("ARRAY<{}>", sql_name(element)),
        DataType::Map { key, value, .. } => format!("MAP<{}, {}>", sql_name(key), sql_name(value)),
        DataType::Struct(schema) => {
            let mut text = String::from("STRUCT<");
            for (index, field) in schema.fields.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                let not_null = if field.nullable { "" } else { " NOT NULL" };
                let _ = write!(text, "{}: {}{not_null}", field.name, sql_name(&field.data_type));
            }
            text.push('>');
            text
        }
        other => simple_name(other).to_uppercase(),
    }
}

/// Whether values of this type are numbers.
#[must_use]
pub fn is_numeric(data_type: &DataType) -> bool {
    is_integral(data_type)
        || matches!(data_type, DataType::Float | DataType::Double | DataType::Decimal { .. })
}

/// Whether values of this type are whole numbers of a fixed width.
#[must_use]
pub fn is_integral(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Byte | DataType::Short | DataType::Integer | DataType::Long)
}

/// Whether values of this type are text.
#[must_use]
pub fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::String | DataType::Char(_) | DataType::Varchar(_))
}
