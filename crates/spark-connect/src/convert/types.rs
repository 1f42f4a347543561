//! Data types, both ways.

use spark_connect_proto as sc;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::{DataType, Field, Schema};

use super::{missing, unsupported};

/// The plan language's type for a Connect type; unparsed strings go through the DDL parser.
pub fn data_type(proto: &sc::DataType) -> Result<DataType, SparkError> {
    use sc::data_type::Kind;
    let kind = proto.kind.as_ref().ok_or_else(|| missing("data type kind"))?;
    Ok(match kind {
        Kind::Null(_) => DataType::Null,
        Kind::Binary(_) => DataType::Binary,
        Kind::Boolean(_) => DataType::Boolean,
        Kind::Byte(_) => DataType::Byte,
        Kind::Short(_) => DataType::Short,
        Kind::Integer(_) => DataType::Integer,
        Kind::Long(_) => DataType::Long,
        Kind::Float(_) => DataType::Float,
        Kind::Double(_) => DataType::Double,
        Kind::Decimal(decimal) => DataType::Decimal {
            precision: u8::try_from(decimal.precision.unwrap_or(10)).unwrap_or(38),
            scale: i8::try_from(decimal.scale.unwrap_or(0)).unwrap_or(0),
        },
        Kind::String(_) => DataType::String,
        Kind::Char(char) => DataType::Char(char.length.unsigned_abs()),
        Kind::VarChar(varchar) => DataType::Varchar(varchar.length.unsigned_abs()),
        Kind::Date(_) => DataType::Date,
        Kind::Timestamp(_) => DataType::Timestamp,
        Kind::TimestampNtz(_) => DataType::TimestampNtz,
        Kind::CalendarInterval(_) => DataType::CalendarInterval,
        Kind::YearMonthInterval(interval) => DataType::YearMonthInterval {
            start: interval_field(interval.start_field, 0),
            end: interval_field(interval.end_field, 1),
        },
        Kind::DayTimeInterval(interval) => DataType::DayTimeInterval {
            start: interval_field(interval.start_field, 0),
            end: interval_field(interval.end_field, 3),
        },
        Kind::Array(array) => DataType::Array {
            element: Box::new(required(array.element_type.as_deref(), "array element type")?),
            contains_null: array.contains_null,
        },
        Kind::Struct(fields) => DataType::Struct(schema(fields)?),
        Kind::Map(map) => DataType::Map {
            key: Box::new(required(map.key_type.as_deref(), "map key type")?),
            value: Box::new(required(map.value_type.as_deref(), "map value type")?),
            value_contains_null: map.value_contains_null,
        },
        Kind::Variant(_) => DataType::Variant,
        Kind::Udt(udt) => required(udt.sql_type.as_deref(), "type of the user-defined type")?,
        Kind::Unparsed(text) => spark_sql_parser::parse_data_type(&text.data_type_string)?,
        Kind::Geometry(_) | Kind::Geography(_) => return Err(unsupported("A geospatial type")),
        Kind::Time(_) => return Err(unsupported("The TIME type")),
        Kind::TimestampNtzNanos(_) | Kind::TimestampLtzNanos(_) => {
            return Err(unsupported("A nanosecond timestamp type"));
        }
    })
}

/// The fields of a struct type, or of a schema given as another type (one column named `value`, as Spark does).
pub fn schema_of(proto: &sc::DataType) -> Result<Schema, SparkError> {
    match data_type(proto)? {
        DataType::Struct(schema) => Ok(schema),
        other => Ok(Schema {
            fields: vec![Field {
                name: "value".to_owned(),
                data_type: other,
                nullable: true,
                metadata: None,
            }],
        }),
    }
}

fn schema(fields: &sc::data_type::Struct) -> Result<Schema, SparkError> {
    let fields = fields.fields.iter().map(|field| {
        Ok(Field {
            name: field.name.clone(),
            data_type: required(field.data_type.as_ref(), "field type")?,
            nullable: field.nullable,
            metadata: field.metadata.clone(),
        })
    });
    Ok(Schema { fields: fields.collect::<Result<_, SparkError>>()? })
}

fn required(proto: Option<&sc::DataType>, part: &str) -> Result<DataType, SparkError> {
    data_type(proto.ok_or_else(|| missing(part))?)
}

fn interval_field(field: Option<i32>, default: u8) -> u8 {
    field.and_then(|field| u8::try_from(field).ok()).unwrap_or(default)
}

/// The Connect message of a schema.
#[must_use]
pub fn schema_to_proto(schema: &Schema) -> sc::DataType {
    data_type_to_proto(&DataType::Struct(schema.clone()))
}

/// The Connect message of a type.
#[must_use]
pub fn data_type_to_proto(data_type: &DataType) -> sc::DataType {
    use sc::data_type as dt;
    use sc::data_type::Kind;
    let kind = match data_type {
        DataType::Null => Kind::Null(dt::Null::default()),
        DataType::Boolean => Kind::Boolean(dt::Boolean::default()),
        DataType::Byte => Kind::Byte(dt::Byte::default()),
        DataType::Short => Kind::Short(dt::Short::default()),
        DataType::Integer => Kind::Integer(dt::Integer::default()),
        DataType::Long => Kind::Long(dt::Long::default()),
        DataType::Float => Kind::Float(dt::Float::default()),
        DataType::Double => Kind::Double(dt::Double::default()),
        DataType::Decimal { precision, scale } => Kind::Decimal(dt::Decimal {
            scale: Some(i32::from(*scale)),
            precision: Some(i32::from(*precision)),
            type_variation_reference: 0,
        }),
        DataType::String => Kind::String(dt::String::default()),
        DataType::Char(length) => Kind::Char(dt::Char {
            length: i32::try_from(*length).unwrap_or(i32::MAX),
            type_variation_reference: 0,
        }),
        DataType::Varchar(length) => Kind::VarChar(dt::VarChar {
            length: i32::try_from(*length).unwrap_or(i32::MAX),
            type_variation_reference: 0,
        }),
        DataType::Binary => Kind::Binary(dt::Binary::default()),
        DataType::Date => Kind::Date(dt::Date::default()),
        DataType::Timestamp => Kind::Timestamp(dt::Timestamp::default()),
        DataType::TimestampNtz => Kind::TimestampNtz(dt::TimestampNtz::default()),
        DataType::CalendarInterval => Kind::CalendarInterval(dt::CalendarInterval::default()),
        DataType::YearMonthInterval { start, end } => {
            Kind::YearMonthInterval(dt::YearMonthInterval {
                start_field: Some(i32::from(*start)),
                end_field: Some(i32::from(*end)),
                type_variation_reference: 0,
            })
        }
        DataType::DayTimeInterval { start, end } => Kind::DayTimeInterval(dt::DayTimeInterval {
            start_field: Some(i32::from(*start)),
            end_field: Some(i32::from(*end)),
            type_variation_reference: 0,
        }),
        DataType::Array { element, contains_null } => Kind::Array(Box::new(dt::Array {
            element_type: Some(Box::new(data_type_to_proto(element))),
            contains_null: *contains_null,
            type_variation_reference: 0,
        })),
        DataType::Map { key, value, value_contains_null } => Kind::Map(Box::new(dt::Map {
            key_type: Some(Box::new(data_type_to_proto(key))),
            value_type: Some(Box::new(data_type_to_proto(value))),
            value_contains_null: *value_contains_null,
            type_variation_reference: 0,
        })),
        DataType::Struct(schema) => Kind::Struct(dt::Struct {
            fields: schema
                .fields
                .iter()
                .map(|field| dt::StructField {
                    name: field.name.clone(),
                    data_type: Some(data_type_to_proto(&field.data_type)),
                    nullable: field.nullable,
                    metadata: field.metadata.clone(),
                })
                .collect(),
            type_variation_reference: 0,
        }),
        DataType::Variant => Kind::Variant(dt::Variant::default()),
    };
    sc::DataType { kind: Some(kind) }
}
