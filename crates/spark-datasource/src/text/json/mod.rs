//! JSON as Spark reads it with Jackson.

mod append;
mod infer;
mod read;
mod tape;

use serde::{Deserialize, Serialize};
use spark_sql_parser::types::{DataType, Schema};

pub(crate) use infer::infer;
use tape::Leniency;

use super::columns::{ColumnBuilder, Conversions};
use super::csv::compiled;
use super::mode::ParseMode;
use super::scan::RecordReader;
use crate::error::{self, Result};
use crate::options::Options;
use crate::source::SourceContext;
use crate::values::zone::Zone;

/// The options of a JSON read: `JSONOptions`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JsonScan {
    pub(crate) leniency: Leniency,
    pub(crate) non_numeric_numbers: bool,
    pub(crate) multi_line: bool,
    pub(crate) line_separator: Option<String>,
    pub(crate) latin1: bool,
    pub(crate) mode: ParseMode,
    pub(crate) corrupt_column: String,
    pub(crate) sampling_ratio: f64,
    pub(crate) primitives_as_string: bool,
    pub(crate) prefers_decimal: bool,
    pub(crate) infer_timestamp: bool,
    pub(crate) timestamp_ntz: bool,
    pub(crate) drop_field_if_all_null: bool,
    pub(crate) date_format: Option<String>,
    pub(crate) timestamp_format: Option<String>,
    pub(crate) timestamp_ntz_format: Option<String>,
}

impl JsonScan {
    pub(crate) fn new(options: &Options, context: &SourceContext) -> Result<Self> {
        let scan = Self {
            leniency: Leniency::new(options)?,
            non_numeric_numbers: options.bool("allowNonNumericNumbers", true)?,
            multi_line: options.bool("multiLine", false)? || options.bool("wholeFile", false)?,
            line_separator: super::line_separator(options)?,
            latin1: super::is_latin1(options)?,
            mode: ParseMode::new(options)?,
            corrupt_column: options
                .string("columnNameOfCorruptRecord", &context.corrupt_record_column),
            sampling_ratio: options.double("samplingRatio", 1.0)?,
            primitives_as_string: options.bool("primitivesAsString", false)?,
            prefers_decimal: options.bool("prefersDecimal", false)?,
            infer_timestamp: options.bool("inferTimestamp", false)?,
            timestamp_ntz: context.timestamp_ntz,
            drop_field_if_all_null: options.bool("dropFieldIfAllNull", false)?,
            date_format: options.get("dateFormat").map(str::to_owned),
            timestamp_format: options.get("timestampFormat").map(str::to_owned),
            timestamp_ntz_format: options.get("timestampNTZFormat").map(str::to_owned),
        };
        if scan.sampling_ratio <= 0.0 {
            let way_out = "it must be greater than 0";
            let value = scan.sampling_ratio.to_string();
            return Err(error::bad_option("samplingRatio", &value, way_out));
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
            nan: "NaN".to_owned(),
            positive_infinity: "Infinity".to_owned(),
            negative_infinity: "-Infinity".to_owned(),
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
            .map(|index| builder(&columns.fields[*index].name, &columns.fields[*index].data_type))
            .collect::<Result<Vec<_>>>()?;
        let reader = read::JsonReader::new(self.clone(), columns, indices, self.conversions(zone)?);
        Ok((Box::new(reader), builders))
    }
}

fn builder(name: &str, data_type: &DataType) -> Result<ColumnBuilder> {
    ColumnBuilder::new(data_type)
        .ok_or_else(|| error::unsupported_type("JSON", name, &data_type.sql()))
}

/// Refuses columns that JSON has no form for.
pub(crate) fn check_types(schema: &Schema) -> Result<()> {
    schema.fields.iter().try_for_each(|field| builder(&field.name, &field.data_type).map(drop))
}
