//! `simpleString`, `catalogString`, `sql` and `toDDL` of Spark's types.

use super::{DataType, Field, Schema};
use crate::pretty::quote_if_needed;

/// Struct fields shown by `simpleString` before it says how many more there are
/// (`spark.sql.debug.maxToStringFields`).
const MAX_SIMPLE_FIELDS: usize = 25;

const YEAR_MONTH_FIELDS: [&str; 2] = ["year", "month"];
const DAY_TIME_FIELDS: [&str; 4] = ["day", "hour", "minute", "second"];

impl DataType {
    /// Spark's `simpleString`: lower case, structs of more than 25 fields cut.
    #[must_use]
    pub fn simple_string(&self) -> String {
        self.lower(Some(MAX_SIMPLE_FIELDS))
    }

    /// Spark's `catalogString`: as `simple_string`, never cut.
    #[must_use]
    pub fn catalog_string(&self) -> String {
        self.lower(None)
    }

    fn lower(&self, max_fields: Option<usize>) -> String {
        match self {
            Self::Array { element, .. } => format!("array<{}>", element.lower(max_fields)),
            Self::Map { key, value, .. } => {
                format!("map<{},{}>", key.lower(max_fields), value.lower(max_fields))
            }
            Self::Struct(schema) => schema.lower(max_fields),
            _ => self.type_name(),
        }
    }

    /// Spark's `typeName` with parameters: the name JSON uses for types without children.
    #[must_use]
    pub fn type_name(&self) -> String {
        let name = match self {
            Self::Null => "void",
            Self::Boolean => "boolean",
            Self::Byte => "tinyint",
            Self::Short => "smallint",
            Self::Integer => "int",
            Self::Long => "bigint",
            Self::Float => "float",
            Self::Double => "double",
            Self::Decimal { precision, scale } => return format!("decimal({precision},{scale})"),
            Self::String => "string",
            Self::Char(length) => return format!("char({length})"),
            Self::Varchar(length) => return format!("varchar({length})"),
            Self::Binary => "binary",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::TimestampNtz => "timestamp_ntz",
            Self::CalendarInterval => "interval",
            Self::YearMonthInterval { start, end } => {
                return interval(&YEAR_MONTH_FIELDS, *start, *end);
            }
            Self::DayTimeInterval { start, end } => {
                return interval(&DAY_TIME_FIELDS, *start, *end);
            }
            Self::Array { .. } => "array",
            Self::Map { .. } => "map",
            Self::Struct(_) => "struct",
            Self::Variant => "variant",
        };
        name.to_owned()
    }

    /// The upper-case form Spark's `sql` gives and its DDL reads.
    #[must_use]
    pub fn sql(&self) -> String {
        match self {
            Self::Array { element, .. } => format!("ARRAY<{}>", element.sql()),
            Self::Map { key, value, .. } => format!("MAP<{}, {}>", key.sql(), value.sql()),
            Self::Struct(schema) => {
                let fields: Vec<_> =
                    schema.fields.iter().map(|field| field.definition(": ")).collect();
                format!("STRUCT<{}>", fields.join(", "))
            }
            _ => self.type_name().to_uppercase(),
        }
    }
}

fn interval(names: &[&str], start: u8, end: u8) -> String {
    let name = |field: u8| names.get(usize::from(field)).copied().unwrap_or("second");
    if start == end {
        format!("interval {}", name(start))
    } else {
        format!("interval {} to {}", name(start), name(end))
    }
}

impl Schema {
    /// `struct<a:int,b:string>`.
    #[must_use]
    pub fn simple_string(&self) -> String {
        self.lower(Some(MAX_SIMPLE_FIELDS))
    }

    fn lower(&self, max_fields: Option<usize>) -> String {
        let all = self.fields.len();
        // Spark keeps one place for the sentence about the rest.
        let shown = match max_fields {
            Some(max) if all > max => max - 1,
            _ => all,
        };
        let mut parts: Vec<_> = self.fields[..shown]
            .iter()
            .map(|field| format!("{}:{}", field.name, field.data_type.lower(max_fields)))
            .collect();
        if shown < all {
            parts.push(format!("... {} more fields", all - shown));
        }
        format!("struct<{}>", parts.join(","))
    }

    /// Spark's `StructType.toDDL`: `a INT,b STRING NOT NULL`.
    #[must_use]
    pub fn ddl(&self) -> String {
        let fields: Vec<_> = self.fields.iter().map(|field| field.definition(" ")).collect();
        fields.join(",")
    }
}

impl Field {
    fn definition(&self, separator: &str) -> String {
        let not_null = if self.nullable { "" } else { " NOT NULL" };
        let comment = match self.comment() {
            Some(comment) => {
                format!(" COMMENT '{}'", comment.replace('\\', "\\\\").replace('\'', "\\'"))
            }
            None => String::new(),
        };
        let name = quote_if_needed(&self.name);
        format!("{name}{separator}{}{not_null}{comment}", self.data_type.sql())
    }
}
