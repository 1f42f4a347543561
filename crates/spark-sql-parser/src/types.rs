//! Spark's data types and their text forms.

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
