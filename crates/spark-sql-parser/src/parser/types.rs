//! Data types and column lists.

use super::{Parsed, Parser};
use crate::error::{ErrorKind, SparkError};
use crate::lexer::TokenKind;
use crate::syntax;
use crate::types::{DataType, Field, Schema};

const MAX_PRECISION: u32 = 38;

impl Parser<'_> {
    pub(crate) fn data_type(&mut self) -> Parsed<DataType> {
        self.nested(Self::data_type_here)
    }

    fn data_type_here(&mut self) -> Parsed<DataType> {
        let start = self.at;
        let name = self.identifier()?;
        match name.to_ascii_uppercase().as_str() {
            "ARRAY" if self.take_symbol("<") => {
                let element = self.data_type()?;
                self.expect_symbol(">")?;
                Ok(DataType::array(element))
            }
            "MAP" if self.take_symbol("<") => {
                let key = self.data_type()?;
                self.expect_symbol(",")?;
                let value = self.data_type()?;
                self.expect_symbol(">")?;
                Ok(DataType::map(key, value))
            }
            "STRUCT" if self.take_symbol("<>") => Ok(DataType::Struct(Schema::default())),
            "STRUCT" if self.take_symbol("<") => self.struct_fields(),
            "ARRAY" | "MAP" | "STRUCT" => Err(self.incomplete(start, &name)),
            "INTERVAL" => self.interval_type(),
            upper => {
                let upper = upper.to_owned();
                self.primitive(start, &name, &upper)
            }
        }
    }

    fn struct_fields(&mut self) -> Parsed<DataType> {
        let mut fields = Vec::new();
        if !self.at_symbol(">") {
            fields = self.comma_separated(|p| {
                let name = p.strict_identifier()?;
                p.take_symbol(":");
                p.column_rest(name)
            })?;
        }
        self.expect_symbol(">")?;
        Ok(DataType::Struct(Schema { fields }))
    }

    /// `a INT NOT NULL COMMENT 'x', …`.
    pub(crate) fn schema(&mut self) -> Parsed<Schema> {
        let fields = self.comma_separated(|p| {
            let name = p.strict_identifier()?;
            // `a: int` is what older schemas in the wild look like, and Spark reads it in structs only; the
            // Connect client sends type names of both kinds.
            p.take_symbol(":");
            p.column_rest(name)
        })?;
        Ok(Schema { fields })
    }

    /// Type, nullability and comment of a column whose name was read.
    pub(super) fn column_rest(&mut self, name: String) -> Parsed<Field> {
        let mut field = Field::new(name, self.data_type()?);
        if self.take_words(&["NOT", "NULL"]) {
            field.nullable = false;
        }
        if self.take_word("COMMENT") {
            field = field.with_comment(&self.expect_string()?);
        }
        Ok(field)
    }

    fn interval_type(&mut self) -> Parsed<DataType> {
        const YEAR_MONTH: &[&str] = &["YEAR", "MONTH"];
        const DAY_TIME: &[&str] = &["DAY", "HOUR", "MINUTE", "SECOND"];
        for (units, year_month) in [(YEAR_MONTH, true), (DAY_TIME, false)] {
            let Some(first) = units.iter().position(|unit| self.at_word(unit)) else { continue };
            self.advance();
            let mut last = first;
            if self.at_word("TO") {
                self.advance();
                last = (first + 1..units.len())
                    .find(|index| self.at_word(units[*index]))
                    .ok_or_else(|| self.unexpected())?;
                self.advance();
            }
            let (start, end) = (first as u8, last as u8);
            return Ok(if year_month {
                DataType::YearMonthInterval { start, end }
            } else {
                DataType::DayTimeInterval { start, end }
            });
        }
        Ok(DataType::CalendarInterval)
    }

    fn primitive(&mut self, start: usize, name: &str, upper: &str) -> Parsed<DataType> {
        let parameters = if self.at_symbol("(") { self.type_parameters()? } else { Vec::new() };
        let plain = match (upper, parameters.as_slice()) {
            ("DECIMAL" | "DEC" | "NUMERIC", []) => return Ok(DataType::DECIMAL_DEFAULT),
            ("DECIMAL" | "DEC" | "NUMERIC", [precision]) => {
                return self.decimal(start, *precision, 0);
            }
            ("DECIMAL" | "DEC" | "NUMERIC", [precision, scale]) => {
                return self.decimal(start, *precision, *scale);
            }
            ("CHAR" | "CHARACTER", [length]) => return Ok(DataType::Char(*length)),
            ("VARCHAR", [length]) => return Ok(DataType::Varchar(*length)),
            ("CHAR" | "CHARACTER" | "VARCHAR", []) => return Err(self.missing_size(start, upper)),
            ("STRING", []) => {
                self.collation()?;
                DataType::String
            }
            ("BOOLEAN", []) => DataType::Boolean,
            ("TINYINT" | "BYTE", []) => DataType::Byte,
            ("SMALLINT" | "SHORT", []) => DataType::Short,
            ("INT" | "INTEGER", []) => DataType::Integer,
            ("BIGINT" | "LONG", []) => DataType::Long,
            ("FLOAT" | "REAL", []) => DataType::Float,
            ("DOUBLE", []) => DataType::Double,
            ("BINARY", []) => DataType::Binary,
            ("DATE", []) => DataType::Date,
            ("TIMESTAMP" | "TIMESTAMP_LTZ", []) => DataType::Timestamp,
            ("TIMESTAMP_NTZ", []) => DataType::TimestampNtz,
            ("VOID" | "NULL", []) => DataType::Null,
            ("VARIANT", []) => DataType::Variant,
            _ => return Err(self.unsupported_type(start, name, &parameters)),
        };
        Ok(plain)
    }

    fn type_parameters(&mut self) -> Parsed<Vec<u32>> {
        self.parenthesized(|p| {
            p.comma_separated(|p| match p.peek() {
                TokenKind::Integer => {
                    let value = p.source(p.token(0)).parse().map_err(|_| p.unexpected())?;
                    p.advance();
                    Ok(value)
                }
                _ => Err(p.unexpected()),
            })
        })
    }

    /// `COLLATE name`: only the default collation is there.
    fn collation(&mut self) -> Parsed<()> {
        if !self.take_word("COLLATE") {
            return Ok(());
        }
        let position = self.token(0).start;
        let name = self.identifier()?;
        if name.eq_ignore_ascii_case("UTF8_BINARY") {
            return Ok(());
        }
        Err(syntax::unsupported(self.sql, position, &format!("the collation {name}")))
    }

    fn decimal(&self, start: usize, precision: u32, scale: u32) -> Parsed<DataType> {
        if precision > MAX_PRECISION {
            return Err(syntax::precision_exceeded(precision as usize));
        }
        if scale > precision {
            let text =
                format!("Decimal scale ({scale}) cannot be greater than precision ({precision}).");
            let error = SparkError::new(ErrorKind::Parse, "_LEGACY_ERROR_TEMP_1228", "", text);
            return Err(error.at(self.read_since(start)));
        }
        Ok(DataType::Decimal { precision: precision as u8, scale: scale as i8 })
    }

    fn missing_size(&self, start: usize, name: &str) -> SparkError {
        let name = if name == "CHARACTER" { "CHARACTER" } else { name };
        SparkError::new(
            ErrorKind::Parse,
            "DATATYPE_MISSING_SIZE",
            "42K01",
            format!(
                "DataType \"{name}\" requires a length parameter, for example \"{name}\"(10). Please specify the \
                 length."
            ),
        )
        .with("type", format!("\"{name}\""))
        .at(self.read_since(start))
    }

    fn incomplete(&self, start: usize, name: &str) -> SparkError {
        let upper = name.to_ascii_uppercase();
        let (condition, text) = match upper.as_str() {
            "ARRAY" => (
                "INCOMPLETE_TYPE_DEFINITION.ARRAY",
                "The definition of \"ARRAY\" type is incomplete. You must provide an element type. For example: \
                 \"ARRAY<INT>\".",
            ),
            "MAP" => (
                "INCOMPLETE_TYPE_DEFINITION.MAP",
                "The definition of \"MAP\" type is incomplete. You must provide a key type and a value type. For \
                 example: \"MAP<TIMESTAMP, INT>\".",
            ),
            _ => (
                "INCOMPLETE_TYPE_DEFINITION.STRUCT",
                "The definition of \"STRUCT\" type is incomplete. You must provide at least one field type. For \
                 example: \"STRUCT<name STRING, phone DECIMAL(10, 0)>\".",
            ),
        };
        let text = format!("Incomplete complex type: {text}");
        SparkError::new(ErrorKind::Parse, condition, "42K01", text).at(self.read_since(start))
    }

    fn unsupported_type(&self, start: usize, name: &str, parameters: &[u32]) -> SparkError {
        let mut shown = name.to_ascii_uppercase();
        if !parameters.is_empty() {
            let list: Vec<_> = parameters.iter().map(u32::to_string).collect();
            shown = format!("{shown}({})", list.join(","));
        }
        SparkError::new(
            ErrorKind::Parse,
            "UNSUPPORTED_DATATYPE",
            "0A000",
            format!("Unsupported data type \"{shown}\"."),
        )
        .with("typeName", format!("\"{shown}\""))
        .at(self.read_since(start))
    }
}
