//! `schema_of_json`.

use serde_json::Value;
use spark_sql_parser::types::{DataType, Field, Schema};

use crate::types::sql_name;
use crate::udf::Definition;

pub(super) const DEFINITIONS: &[Definition] = &[];

/// The DDL text of a JSON text's type.
pub(super) fn name_of(text: &str, leading_zeros: bool) -> String {
    let plain = match leading_zeros {
        true => regex::Regex::new(r"([:\[,\s])0+(\d)")
            .map_or(text.to_owned(), |zeros| zeros.replace_all(text, "$1$2").into_owned()),
        false => text.to_owned(),
    };
    match super::parse_text(&plain) {
        Some(value) => sql_name(&visible(infer(&value))),
        None => "STRING".to_owned(),
    }
}

fn infer(value: &Value) -> DataType {
    match value {
        Value::Null => DataType::Null,
        Value::Bool(_) => DataType::Boolean,
        Value::Number(number) if number.is_i64() => DataType::Long,
        Value::Number(number) if number.is_u64() => DataType::Decimal { precision: 20, scale: 0 },
        Value::Number(_) => DataType::Double,
        Value::String(_) => DataType::String,
        Value::Array(items) => DataType::Array {
            element: Box::new(items.iter().map(infer).fold(DataType::Null, common)),
            contains_null: true,
        },
        Value::Object(fields) => {
            let mut fields: Vec<Field> = fields
                .iter()
                .map(|(name, value)| Field {
                    name: name.clone(),
                    data_type: infer(value),
                    nullable: true,
                    metadata: None,
                })
                .collect();
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            DataType::Struct(Schema { fields })
        }
    }
}

/// The type that holds values of both; text holds anything.
fn common(left: DataType, right: DataType) -> DataType {
    match (left, right) {
        (a, b) if a == b => a,
        (DataType::Null, other) | (other, DataType::Null) => other,
        (DataType::Struct(a), DataType::Struct(b)) => {
            let mut fields = a.fields;
            for field in b.fields {
                match fields.iter_mut().find(|known| known.name == field.name) {
                    Some(known) => {
                        known.data_type = common(known.data_type.clone(), field.data_type);
                    }
                    None => fields.push(field),
                }
            }
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            DataType::Struct(Schema { fields })
        }
        (DataType::Array { element: a, .. }, DataType::Array { element: b, .. }) => {
            DataType::Array { element: Box::new(common(*a, *b)), contains_null: true }
        }
        (a, b) if crate::types::is_numeric(&a) && crate::types::is_numeric(&b) => {
            crate::coercion::wider_type(&a, &b).unwrap_or(DataType::String)
        }
        _ => DataType::String,
    }
}

/// NULL types become STRING, as Spark shows them.
fn visible(data_type: DataType) -> DataType {
    match data_type {
        DataType::Null => DataType::String,
        DataType::Array { element, contains_null } => {
            DataType::Array { element: Box::new(visible(*element)), contains_null }
        }
        DataType::Struct(schema) => DataType::Struct(Schema {
            fields: schema
                .fields
                .into_iter()
                .map(|field| Field { data_type: visible(field.data_type), ..field })
                .collect(),
        }),
        other => other,
    }
}
