//! Literals.

use spark_connect_proto as sc;
use spark_sql_parser::ast::Literal;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use super::types::data_type;
use super::{missing, unsupported};

/// The plan language's literal for a Connect literal.
pub fn literal(proto: &sc::expression::Literal) -> Result<Literal, SparkError> {
    use sc::expression::literal::LiteralType;
    let kind = proto.literal_type.as_ref().ok_or_else(|| missing("literal value"))?;
    Ok(match kind {
        LiteralType::Null(kind) => Literal::Null(data_type(kind)?),
        LiteralType::Binary(bytes) => Literal::Binary(bytes.to_vec()),
        LiteralType::Boolean(value) => Literal::Boolean(*value),
        LiteralType::Byte(value) => Literal::Byte(narrow(*value, "byte")?),
        LiteralType::Short(value) => Literal::Short(narrow(*value, "short")?),
        LiteralType::Integer(value) => Literal::Integer(*value),
        LiteralType::Long(value) => Literal::Long(*value),
        LiteralType::Float(value) => Literal::Float(*value),
        LiteralType::Double(value) => Literal::Double(*value),
        LiteralType::Decimal(decimal) => decimal_literal(decimal)?,
        LiteralType::String(value) => Literal::String(value.clone()),
        LiteralType::Date(days) => Literal::Date(*days),
        LiteralType::Timestamp(micros) => Literal::Timestamp(*micros),
        LiteralType::TimestampNtz(micros) => Literal::TimestampNtz(*micros),
        LiteralType::CalendarInterval(interval) => Literal::CalendarInterval {
            months: interval.months,
            days: interval.days,
            microseconds: interval.microseconds,
        },
        LiteralType::YearMonthInterval(months) => Literal::YearMonthInterval(*months),
        LiteralType::DayTimeInterval(micros) => Literal::DayTimeInterval(*micros),
        LiteralType::Array(array) => array_literal(proto, array)?,
        LiteralType::Map(map) => map_literal(proto, map)?,
        LiteralType::Struct(fields) => struct_literal(proto, fields)?,
        LiteralType::SpecializedArray(array) => specialized_array(array)?,
        LiteralType::Time(_) => return Err(unsupported("A TIME literal")),
        LiteralType::TimestampNtzNanos(_) | LiteralType::TimestampLtzNanos(_) => {
            return Err(unsupported("A nanosecond timestamp literal"));
        }
    })
}

fn narrow<T: TryFrom<i32>>(value: i32, name: &str) -> Result<T, SparkError> {
    T::try_from(value).map_err(|_| malformed(&format!("{value} is not a {name}")))
}

fn malformed(text: &str) -> SparkError {
    SparkError::new(
        ErrorKind::IllegalArgument,
        "INVALID_PLAN_INPUT",
        "56K00",
        format!("Malformed literal: {text}."),
    )
}

fn decimal_literal(proto: &sc::expression::literal::Decimal) -> Result<Literal, SparkError> {
    let text = proto.value.trim();
    let bad = || malformed(&format!("'{text}' is not a decimal"));
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().map_err(|_| bad())?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
    let mut scale = i32::try_from(fraction.len()).map_err(|_| bad())? - exponent;
    let wanted = proto.scale.unwrap_or(scale).max(0);
    while scale < wanted {
        digits = digits.checked_mul(10).ok_or_else(bad)?;
        scale += 1;
    }
    while scale > wanted {
        digits /= 10;
        scale -= 1;
    }
    let needed = i32::try_from(digits.unsigned_abs().to_string().len()).unwrap_or(38);
    let precision = proto.precision.unwrap_or(needed).max(needed).max(scale);
    if precision > 38 {
        return Err(malformed(&format!("'{text}' has more than 38 digits")));
    }
    Ok(Literal::Decimal {
        value: digits,
        precision: u8::try_from(precision).map_err(|_| bad())?,
        scale: i8::try_from(scale).map_err(|_| bad())?,
    })
}

fn array_literal(
    proto: &sc::expression::Literal,
    array: &sc::expression::literal::Array,
) -> Result<Literal, SparkError> {
    let values = array.elements.iter().map(literal).collect::<Result<Vec<_>, _>>()?;
    #[expect(deprecated, reason = "clients before 4.1 send the element type only here")]
    let old = array.element_type.as_ref();
    let element_type = match (declared(proto)?, old, values.first()) {
        (Some(DataType::Array { element, .. }), _, _) => *element,
        (_, Some(old), _) => data_type(old)?,
        (_, None, Some(first)) => type_of(first),
        (_, None, None) => DataType::Null,
    };
    Ok(Literal::Array { element_type, values })
}

fn map_literal(
    proto: &sc::expression::Literal,
    map: &sc::expression::literal::Map,
) -> Result<Literal, SparkError> {
    let keys = map.keys.iter().map(literal).collect::<Result<Vec<_>, _>>()?;
    let values = map.values.iter().map(literal).collect::<Result<Vec<_>, _>>()?;
    #[expect(deprecated, reason = "clients before 4.1 send the types only here")]
    let (old_key, old_value) = (map.key_type.as_ref(), map.value_type.as_ref());
    let (key_type, value_type) = match (declared(proto)?, old_key, old_value) {
        (Some(DataType::Map { key, value, .. }), _, _) => (*key, *value),
        (_, Some(key), Some(value)) => (data_type(key)?, data_type(value)?),
        _ => (
            keys.first().map_or(DataType::Null, type_of),
            values.first().map_or(DataType::Null, type_of),
        ),
    };
    Ok(Literal::Map { key_type, value_type, entries: keys.into_iter().zip(values).collect() })
}

fn struct_literal(
    proto: &sc::expression::Literal,
    fields: &sc::expression::literal::Struct,
) -> Result<Literal, SparkError> {
    let values = fields.elements.iter().map(literal).collect::<Result<Vec<_>, _>>()?;
    #[expect(deprecated, reason = "clients before 4.1 send the type only here")]
    let old = fields.struct_type.as_ref();
    let declared = match (declared(proto)?, old) {
        (Some(declared), _) => Some(declared),
        (None, Some(old)) => Some(data_type(old)?),
        (None, None) => None,
    };
    let names: Vec<String> = match declared {
        Some(DataType::Struct(schema)) => schema.fields.into_iter().map(|f| f.name).collect(),
        _ => (1..=values.len()).map(|at| format!("col{at}")).collect(),
    };
    Ok(Literal::Struct { fields: names.into_iter().zip(values).collect() })
}

fn specialized_array(
    array: &sc::expression::literal::SpecializedArray,
) -> Result<Literal, SparkError> {
    use sc::expression::literal::specialized_array::ValueType;
    let kind = array.value_type.as_ref().ok_or_else(|| missing("array values"))?;
    let (element_type, values) = match kind {
        ValueType::Bools(v) => {
            (DataType::Boolean, v.values.iter().map(|v| Literal::Boolean(*v)).collect())
        }
        ValueType::Ints(v) => {
            (DataType::Integer, v.values.iter().map(|v| Literal::Integer(*v)).collect())
        }
        ValueType::Longs(v) => {
            (DataType::Long, v.values.iter().map(|v| Literal::Long(*v)).collect())
        }
        ValueType::Floats(v) => {
            (DataType::Float, v.values.iter().map(|v| Literal::Float(*v)).collect())
        }
        ValueType::Doubles(v) => {
            (DataType::Double, v.values.iter().map(|v| Literal::Double(*v)).collect())
        }
        ValueType::Strings(v) => {
            (DataType::String, v.values.iter().map(|v| Literal::String(v.clone())).collect())
        }
    };
    Ok(Literal::Array { element_type, values })
}

fn declared(proto: &sc::expression::Literal) -> Result<Option<DataType>, SparkError> {
    proto.data_type.as_ref().map(data_type).transpose()
}

/// The type a literal has by itself.
pub(crate) fn type_of(literal: &Literal) -> DataType {
    match literal {
        Literal::Null(kind) => kind.clone(),
        Literal::Boolean(_) => DataType::Boolean,
        Literal::Byte(_) => DataType::Byte,
        Literal::Short(_) => DataType::Short,
        Literal::Integer(_) => DataType::Integer,
        Literal::Long(_) => DataType::Long,
        Literal::Float(_) => DataType::Float,
        Literal::Double(_) => DataType::Double,
        Literal::Decimal { precision, scale, .. } => {
            DataType::Decimal { precision: *precision, scale: *scale }
        }
        Literal::String(_) => DataType::String,
        Literal::Binary(_) => DataType::Binary,
        Literal::Date(_) => DataType::Date,
        Literal::Timestamp(_) => DataType::Timestamp,
        Literal::TimestampNtz(_) => DataType::TimestampNtz,
        Literal::CalendarInterval { .. } => DataType::CalendarInterval,
        Literal::YearMonthInterval(_) => DataType::YearMonthInterval { start: 0, end: 1 },
        Literal::DayTimeInterval(_) => DataType::DayTimeInterval { start: 0, end: 3 },
        Literal::Array { element_type, values } => DataType::Array {
            element: Box::new(element_type.clone()),
            contains_null: values.iter().any(|v| matches!(v, Literal::Null(_))),
        },
        Literal::Map { key_type, value_type, entries } => DataType::Map {
            key: Box::new(key_type.clone()),
            value: Box::new(value_type.clone()),
            value_contains_null: entries.iter().any(|(_, v)| matches!(v, Literal::Null(_))),
        },
        Literal::Struct { fields } => DataType::Struct(spark_sql_parser::types::Schema {
            fields: fields
                .iter()
                .map(|(name, value)| spark_sql_parser::types::Field {
                    name: name.clone(),
                    data_type: type_of(value),
                    nullable: matches!(value, Literal::Null(_)),
                    metadata: None,
                })
                .collect(),
        }),
    }
}
