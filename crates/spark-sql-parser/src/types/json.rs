//! Spark's JSON form of schemas, both ways.

use serde_json::{Map, Value, json};

use super::{DataType, Field, Schema};
use crate::error::{ErrorKind, SparkError};
use crate::parse_data_type;

impl DataType {
    /// Spark's `DataType.json`.
    #[must_use]
    pub fn json(&self) -> String {
        self.json_value().to_string()
    }

    /// The name of a type without children in JSON and in trees; `None` for arrays, maps and structs.
    pub(super) fn json_name(&self) -> Option<String> {
        Some(match self {
            Self::Byte => "byte".to_owned(),
            Self::Short => "short".to_owned(),
            Self::Integer => "integer".to_owned(),
            Self::Long => "long".to_owned(),
            Self::Array { .. } | Self::Map { .. } | Self::Struct(_) => return None,
            _ => self.type_name(),
        })
    }

    fn json_value(&self) -> Value {
        match self {
            Self::Array { element, contains_null } => json!({
                "type": "array",
                "elementType": element.json_value(),
                "containsNull": contains_null,
            }),
            Self::Map { key, value, value_contains_null } => json!({
                "type": "map",
                "keyType": key.json_value(),
                "valueType": value.json_value(),
                "valueContainsNull": value_contains_null,
            }),
            Self::Struct(schema) => schema.json_value(),
            _ => Value::String(self.json_name().unwrap_or_default()),
        }
    }

    /// Reads the JSON form, as `DataType.fromJson` does.
    ///
    /// # Errors
    /// The text is not JSON or names a type Spark does not have.
    pub fn from_json(text: &str) -> Result<Self, SparkError> {
        let value: Value = serde_json::from_str(text).map_err(|_| invalid(text))?;
        from_value(&value)
    }
}

impl Schema {
    /// Spark's `StructType.json`.
    #[must_use]
    pub fn json(&self) -> String {
        self.json_value().to_string()
    }

    fn json_value(&self) -> Value {
        let fields: Vec<_> = self.fields.iter().map(Field::json_value).collect();
        json!({ "type": "struct", "fields": fields })
    }

    /// Reads the JSON form of a struct type.
    ///
    /// # Errors
    /// As [`DataType::from_json`], and when the type is not a struct.
    pub fn from_json(text: &str) -> Result<Self, SparkError> {
        match DataType::from_json(text)? {
            DataType::Struct(schema) => Ok(schema),
            _ => Err(invalid(text)),
        }
    }
}

impl Field {
    fn json_value(&self) -> Value {
        let metadata = self.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok());
        json!({
            "name": self.name,
            "type": self.data_type.json_value(),
            "nullable": self.nullable,
            "metadata": metadata.unwrap_or_else(|| Value::Object(Map::new())),
        })
    }
}

fn from_value(value: &Value) -> Result<DataType, SparkError> {
    if let Some(name) = value.as_str() {
        return from_name(name);
    }
    let member = |name: &str| value.get(name).ok_or_else(|| invalid(&value.to_string()));
    let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(true);
    match member("type")?.as_str() {
        Some("array") => Ok(DataType::Array {
            element: Box::new(from_value(member("elementType")?)?),
            contains_null: flag("containsNull"),
        }),
        Some("map") => Ok(DataType::Map {
            key: Box::new(from_value(member("keyType")?)?),
            value: Box::new(from_value(member("valueType")?)?),
            value_contains_null: flag("valueContainsNull"),
        }),
        Some("struct") => {
            let fields = member("fields")?.as_array().ok_or_else(|| invalid(&value.to_string()))?;
            let fields = fields.iter().map(field_from_value).collect::<Result<_, _>>()?;
            Ok(DataType::Struct(Schema { fields }))
        }
        // User-defined types are read as what they store.
        Some("udt") => from_value(member("sqlType")?),
        _ => Err(invalid(&value.to_string())),
    }
}

fn field_from_value(value: &Value) -> Result<Field, SparkError> {
    let name =
        value.get("name").and_then(Value::as_str).ok_or_else(|| invalid(&value.to_string()))?;
    let data_type = value.get("type").ok_or_else(|| invalid(&value.to_string()))?;
    let metadata =
        value.get("metadata").filter(|value| value.as_object().is_some_and(|map| !map.is_empty()));
    Ok(Field {
        name: name.to_owned(),
        data_type: from_value(data_type)?,
        nullable: value.get("nullable").and_then(Value::as_bool).unwrap_or(true),
        metadata: metadata.map(Value::to_string),
    })
}

fn from_name(name: &str) -> Result<DataType, SparkError> {
    if name == "null" {
        return Ok(DataType::Null);
    }
    parse_data_type(name).map_err(|_| invalid(name))
}

fn invalid(text: &str) -> SparkError {
    SparkError::new(
        ErrorKind::IllegalArgument,
        "INVALID_JSON_DATA_TYPE",
        "2203G",
        format!(
            "Failed to convert the JSON string '{text}' to a data type. Please enter a valid data type."
        ),
    )
    .with("invalidType", text)
}
