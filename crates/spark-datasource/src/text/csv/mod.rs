//! CSV as Spark reads it with univocity-parsers.

mod infer;
mod read;
mod tokens;

use serde::{Deserialize, Serialize};
use spark_sql_parser::types::{DataType, Schema};

pub(crate) use infer::infer;
pub(crate) use tokens::Dialect;

use super::columns::{ColumnBuilder, Conversions};
use super::mode::ParseMode;
use super::scan::RecordReader;
use crate::error::{self, Result};
use crate::options::Options;
use crate::source::SourceContext;
use crate::values::pattern::Pattern;
use crate::values::zone::Zone;

/// The options of a CSV read: `CSVOptions`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CsvScan {
    pub(crate) dialect: Dialect,
    pub(crate) header: bool,
    pub(crate) enforce_schema: bool,
    pub(crate) case_sensitive: bool,
    pub(crate) infer_schema: bool,
    pub(crate) sampling_ratio: f64,
    pub(crate) prefer_date: bool,
    pub(crate) timestamp_ntz: bool,
    pub(crate) multi_line: bool,
    pub(crate) line_separator: Option<String>,
    pub(crate) latin1: bool,
    pub(crate) mode: ParseMode,
    pub(crate) corrupt_column: String,
    pub(crate) null_value: String,
    pub(crate) empty_value: String,
    pub(crate) nan: String,
    pub(crate) positive_infinity: String,
    pub(crate) negative_infinity: String,
    pub(crate) date_format: Option<String>,
    pub(crate) timestamp_format: Option<String>,
    pub(crate) timestamp_ntz_format: Option<String>,
}

impl CsvScan {
    pub(crate) fn new(options: &Options, context: &SourceContext) -> Result<Self> {
        let scan = Self {
            dialect: Dialect::new(options)?,
            header: options.bool("header", false)?,
            enforce_schema: options.bool("enforceSchema", true)?,
            case_sensitive: context.case_sensitive,
            infer_schema: options.bool("inferSchema", false)?,
            sampling_ratio: options.double("samplingRatio", 1.0)?,
            prefer_date: options.bool("preferDate", true)?,
            timestamp_ntz: context.timestamp_ntz,
            multi_line: options.bool("multiLine", false)?,
            line_separator: super::line_separator(options)?,
            latin1: super::is_latin1(options)?,
            mode: ParseMode::new(options)?,
            corrupt_column: options
                .string("columnNameOfCorruptRecord", &context.corrupt_record_column),
            null_value: options.string("nullValue", ""),
            empty_value: options.string("emptyValue", ""),
            nan: options.string("nanValue", "NaN"),
            positive_infinity: options.string("positiveInf", "Inf"),
            negative_infinity: options.string("negativeInf", "-Inf"),
            date_format: options.get("dateFormat").map(str::to_owned),
            timestamp_format: options.get("timestampFormat").map(str::to_owned),
            timestamp_ntz_format: options.get("timestampNTZFormat").map(str::to_owned),
        };
        if scan.sampling_ratio <= 0.0 {
            return Err(error::bad_option(
                "samplingRatio",
                &scan.sampling_ratio.to_string(),
                "it must be greater than 0",
            ));
        }
        scan.conversions(Zone::UTC)?;
        Ok(scan)
    }

    pub(crate) fn conversions(&self, zone: Zone) -> Result<Conversions> {
        Ok(Conversions {
            zone,
            date: compiled("dateFormat", self.date_format.as_deref())?,
            timestamp: compiled("timestampFormat", self.timestamp_format.as_deref())?,
            timestamp_ntz: compiled("timestampNTZFormat", self.timestamp_ntz_format.as_deref())?,
            nan: self.nan.clone(),
            positive_infinity: self.positive_infinity.clone(),
            negative_infinity: self.negative_infinity.clone(),
        })
    }

    /// A reader of the columns `indices`, and their builders.
    pub(crate) fn reader(
        &self,
        columns: &Schema,
        indices: &[usize],
        zone: Zone,
    ) -> Result<(Box<dyn RecordReader>, Vec<ColumnBuilder>)> {
        let builders = indices
            .iter()
            .map(|index| {
                let field = &columns.fields[*index];
                ColumnBuilder::new(&field.data_type).ok_or_else(|| {
                    error::unsupported_type("CSV", &field.name, &field.data_type.sql())
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let reader = read::CsvReader::new(self.clone(), columns, indices, self.conversions(zone)?);
        Ok((Box::new(reader), builders))
    }
}

/// Compiles the pattern of an option.
pub(crate) fn compiled(key: &str, text: Option<&str>) -> Result<Option<Pattern>> {
    text.map(|text| {
        Pattern::new(text).map_err(|reason| {
            error::bad_option(key, text, &format!("it must be a datetime pattern; {reason}"))
        })
    })
    .transpose()
}

/// Refuses columns that CSV has no form for.
pub(crate) fn check_types(schema: &Schema) -> Result<()> {
    for field in &schema.fields {
        let has_parts = matches!(
            field.data_type,
            DataType::Null | DataType::Array { .. } | DataType::Map { .. } | DataType::Struct(_)
        );
        let supported = !has_parts && ColumnBuilder::new(&field.data_type).is_some();
        if !supported {
            let name = field.data_type.sql();
            return Err(error::unsupported_type("CSV", &field.name, &name));
        }
    }
    Ok(())
}
