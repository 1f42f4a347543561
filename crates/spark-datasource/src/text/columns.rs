//! Arrow builders filled from text.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, NullBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use spark_sql_parser::types::DataType;

use super::nested::{ListColumn, MapColumn, StructColumn};
use crate::schema::UTC;
use crate::values::datetime;
use crate::values::number::{self, BigDecimal};
use crate::values::pattern::Pattern;
use crate::values::zone::Zone;

/// How texts become numbers and times.
#[derive(Debug, Clone)]
pub(crate) struct Conversions {
    pub(crate) zone: Zone,
    /// `None`: as a cast reads it.
    pub(crate) date: Option<Pattern>,
    pub(crate) timestamp: Option<Pattern>,
    pub(crate) timestamp_ntz: Option<Pattern>,
    pub(crate) nan: String,
    pub(crate) positive_infinity: String,
    pub(crate) negative_infinity: String,
}

impl Conversions {
    pub(crate) fn date(&self, text: &str) -> Option<i32> {
        match &self.date {
            Some(pattern) => pattern.parse_date(text),
            None => datetime::parse_date(text),
        }
    }

    pub(crate) fn timestamp(&self, text: &str) -> Option<i64> {
        let parsed = match &self.timestamp {
            Some(pattern) => pattern.parse_timestamp(text),
            None => datetime::parse_timestamp(text, || self.today()),
        };
        parsed.map(|parsed| parsed.to_instant(self.zone))
    }

    /// A text with a zone is no local time.
    pub(crate) fn timestamp_ntz(&self, text: &str) -> Option<i64> {
        let parsed = match &self.timestamp_ntz {
            Some(pattern) => pattern.parse_timestamp(text),
            None => datetime::parse_timestamp(text, || self.today()),
        };
        parsed.filter(|parsed| parsed.zone.is_none()).map(|parsed| parsed.local_micros)
    }

    fn today(&self) -> i64 {
        let now = chrono::Utc::now().timestamp_micros();
        self.zone.to_local(now).div_euclid(datetime::MICROS_PER_DAY)
    }

    pub(crate) fn double(&self, text: &str) -> Option<f64> {
        if text == self.nan {
            Some(f64::NAN)
        } else if text == self.positive_infinity {
            Some(f64::INFINITY)
        } else if text == self.negative_infinity {
            Some(f64::NEG_INFINITY)
        } else {
            number::double(text)
        }
    }

    fn float(&self, text: &str) -> Option<f32> {
        if text == self.nan || text == self.positive_infinity || text == self.negative_infinity {
            self.double(text).map(|value| value as f32)
        } else {
            number::float(text)
        }
    }
}

/// The builder of one column.
pub(crate) enum ColumnBuilder {
    Null(NullBuilder),
    Boolean(BooleanBuilder),
    Byte(Int8Builder),
    Short(Int16Builder),
    Integer(Int32Builder),
    Long(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    String(StringBuilder),
    Binary(BinaryBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    TimestampNtz(TimestampMicrosecondBuilder),
    List(Box<ListColumn>),
    Map(Box<MapColumn>),
    Struct(Box<StructColumn>),
}

/// Calls one method on whatever builder there is.
macro_rules! with_builder {
    ($self:expr, $builder:ident => $action:expr) => {
        match $self {
            ColumnBuilder::Null($builder) => $action,
            ColumnBuilder::Boolean($builder) => $action,
            ColumnBuilder::Byte($builder) => $action,
            ColumnBuilder::Short($builder) => $action,
            ColumnBuilder::Integer($builder) => $action,
            ColumnBuilder::Long($builder) => $action,
            ColumnBuilder::Float($builder) => $action,
            ColumnBuilder::Double($builder) => $action,
            ColumnBuilder::Decimal($builder, _, _) => $action,
            ColumnBuilder::String($builder) => $action,
            ColumnBuilder::Binary($builder) => $action,
            ColumnBuilder::Date($builder) => $action,
            ColumnBuilder::Timestamp($builder) => $action,
            ColumnBuilder::TimestampNtz($builder) => $action,
            ColumnBuilder::List($builder) => $action,
            ColumnBuilder::Map($builder) => $action,
            ColumnBuilder::Struct($builder) => $action,
        }
    };
}

impl ColumnBuilder {
    /// `None` for types that have no text form.
    pub(crate) fn new(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Null => Self::Null(NullBuilder::new()),
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Byte => Self::Byte(Int8Builder::new()),
            DataType::Short => Self::Short(Int16Builder::new()),
            DataType::Integer => Self::Integer(Int32Builder::new()),
            DataType::Long => Self::Long(Int64Builder::new()),
            DataType::Float => Self::Float(Float32Builder::new()),
            DataType::Double => Self::Double(Float64Builder::new()),
            DataType::Decimal { precision, scale } => {
                let builder =
                    Decimal128Builder::new().with_precision_and_scale(*precision, *scale).ok()?;
                Self::Decimal(builder, *precision, *scale)
            }
            DataType::String | DataType::Char(_) | DataType::Varchar(_) => {
                Self::String(StringBuilder::new())
            }
            DataType::Binary => Self::Binary(BinaryBuilder::new()),
            DataType::Date => Self::Date(Date32Builder::new()),
            DataType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone(UTC))
            }
            DataType::TimestampNtz => Self::TimestampNtz(TimestampMicrosecondBuilder::new()),
            DataType::Array { element, .. } => {
                Self::List(Box::new(ListColumn::new(data_type, element)?))
            }
            DataType::Map { key, value, .. } => {
                Self::Map(Box::new(MapColumn::new(data_type, key, value)?))
            }
            DataType::Struct(schema) => {
                Self::Struct(Box::new(StructColumn::new(data_type, schema)?))
            }
            DataType::CalendarInterval
            | DataType::YearMonthInterval { .. }
            | DataType::DayTimeInterval { .. }
            | DataType::Variant => return None,
        })
    }

    pub(crate) fn append_null(&mut self) {
        with_builder!(self, builder => builder.append_null());
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Null(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Byte(builder) => Arc::new(builder.finish()),
            Self::Short(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Long(builder) => Arc::new(builder.finish()),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Double(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder, _, _) => Arc::new(builder.finish()),
            Self::String(builder) => Arc::new(builder.finish()),
            Self::Binary(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) | Self::TimestampNtz(builder) => Arc::new(builder.finish()),
            Self::List(builder) => builder.finish(),
            Self::Map(builder) => builder.finish(),
            Self::Struct(builder) => builder.finish(),
        }
    }

    /// Appends a text's value; if the text is none, appends null and answers false.
    pub(crate) fn append_text(&mut self, text: &str, conversions: &Conversions) -> bool {
        macro_rules! push {
            ($builder:expr, $value:expr) => {{
                let value = $value;
                $builder.append_option(value);
                value.is_some()
            }};
        }
        match self {
            Self::Null(builder) => {
                builder.append_null();
                true
            }
            Self::Boolean(builder) => push!(builder, number::boolean(text)),
            Self::Byte(builder) => push!(builder, number::integer(text)),
            Self::Short(builder) => push!(builder, number::integer(text)),
            Self::Integer(builder) => push!(builder, number::integer(text)),
            Self::Long(builder) => push!(builder, number::integer(text)),
            Self::Float(builder) => push!(builder, conversions.float(text)),
            Self::Double(builder) => push!(builder, conversions.double(text)),
            Self::Decimal(builder, precision, scale) => {
                push!(builder, decimal(text, *precision, *scale))
            }
            Self::String(builder) => {
                builder.append_value(text);
                true
            }
            Self::Binary(builder) => {
                builder.append_value(text.as_bytes());
                true
            }
            Self::Date(builder) => push!(builder, conversions.date(text)),
            Self::Timestamp(builder) => push!(builder, conversions.timestamp(text)),
            Self::TimestampNtz(builder) => push!(builder, conversions.timestamp_ntz(text)),
            Self::List(_) | Self::Map(_) | Self::Struct(_) => {
                self.append_null();
                false
            }
        }
    }
}

/// A decimal with or without commas between its thousands.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let parsed = if text.contains(',') {
        BigDecimal::parse(&text.replace(',', ""))
    } else {
        BigDecimal::parse(text)
    };
    parsed?.rescale(precision, scale)
}
