//! Spark's data types and their text forms.

mod json;
mod text;
mod tree;

/// `org.apache.spark.sql.types.DataType`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    Null,
    Boolean,
    Byte,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: i8,
    },
    String,
    Char(u32),
    Varchar(u32),
    Binary,
    Date,
    Timestamp,
    TimestampNtz,
    CalendarInterval,
    /// Fields: 0 = year, 1 = month.
    YearMonthInterval {
        start: u8,
        end: u8,
    },
    /// Fields: 0 = day, 1 = hour, 2 = minute, 3 = second.
    DayTimeInterval {
        start: u8,
        end: u8,
    },
    Array {
        element: Box<Self>,
        contains_null: bool,
    },
    Map {
        key: Box<Self>,
        value: Box<Self>,
        value_contains_null: bool,
    },
    Struct(Schema),
    Variant,
}

/// A struct type; also the schema of a relation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Schema {
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    /// JSON text, as Spark keeps `StructField.metadata`.
    pub metadata: Option<String>,
}

impl DataType {
    /// `decimal(10,0)`: what DECIMAL without parameters means.
    pub const DECIMAL_DEFAULT: Self = Self::Decimal { precision: 10, scale: 0 };
    pub const YEAR_TO_MONTH: Self = Self::YearMonthInterval { start: 0, end: 1 };
    pub const DAY_TO_SECOND: Self = Self::DayTimeInterval { start: 0, end: 3 };

    /// An array whose elements may be null.
    #[must_use]
    pub fn array(element: Self) -> Self {
        Self::Array { element: Box::new(element), contains_null: true }
    }

    /// A map whose values may be null.
    #[must_use]
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map { key: Box::new(key), value: Box::new(value), value_contains_null: true }
    }

    /// A struct of nullable fields.
    #[must_use]
    pub fn structure<N: Into<String>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        let fields = fields.into_iter().map(|(name, data_type)| Field::new(name, data_type));
        Self::Struct(Schema { fields: fields.collect() })
    }
}

impl Field {
    /// A nullable field, as Spark's default is.
    #[must_use]
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: true, metadata: None }
    }

    /// The same field with the given nullability.
    #[must_use]
    pub fn nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// `StructField.getComment()`: the metadata's `comment`.
    #[must_use]
    pub fn comment(&self) -> Option<String> {
        let metadata: serde_json::Value = serde_json::from_str(self.metadata.as_deref()?).ok()?;
        Some(metadata.get("comment")?.as_str()?.to_owned())
    }

    /// The same field with a comment in its metadata.
    #[must_use]
    pub fn with_comment(mut self, comment: &str) -> Self {
        self.metadata = Some(serde_json::json!({ "comment": comment }).to_string());
        self
    }
}
