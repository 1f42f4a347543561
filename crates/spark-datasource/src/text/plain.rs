//! The text format: a line is a row, or a file is.

use serde::{Deserialize, Serialize};
use spark_sql_parser::types::{DataType, Schema};

use super::columns::ColumnBuilder;
use super::lines::{LineReader, read_whole};
use super::scan::{RecordReader, TextPiece};
use super::sink::{Flow, Sink};
use crate::error::{self, Result};
use crate::options::Options;
use crate::path;
use crate::schema::nullable_field;

/// The options of a text read: `TextOptions`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlainScan {
    pub(crate) whole_text: bool,
    pub(crate) line_separator: Option<String>,
    latin1: bool,
}

impl PlainScan {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            whole_text: options.bool("wholetext", false)?,
            line_separator: super::line_separator(options)?,
            latin1: super::is_latin1(options)?,
        })
    }

    pub(crate) fn reader(&self, indices: &[usize]) -> (Box<dyn RecordReader>, Vec<ColumnBuilder>) {
        let builders =
            indices.iter().filter_map(|_| ColumnBuilder::new(&DataType::String)).collect();
        (Box::new(PlainReader { scan: self.clone() }), builders)
    }
}

/// The one column there is.
pub(crate) fn default_schema() -> Schema {
    Schema { fields: vec![nullable_field("value", DataType::String)] }
}

/// Text has one column, a string.
pub(crate) fn check_types(schema: &Schema) -> Result<()> {
    for field in &schema.fields {
        if !matches!(field.data_type, DataType::String | DataType::Char(_) | DataType::Varchar(_)) {
            let name = field.data_type.sql();
            return Err(error::unsupported_type("Text", &field.name, &name));
        }
    }
    if schema.fields.len() > 1 {
        return Err(error::text_with_columns(schema.fields.len()));
    }
    Ok(())
}

struct PlainReader {
    scan: PlainScan,
}

impl PlainReader {
    fn row(&self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<Flow> {
        for builder in &mut sink.builders {
            if let ColumnBuilder::String(builder) = builder {
                builder.append_value(super::decode(bytes, self.scan.latin1));
            }
        }
        sink.end_row()
    }
}

impl RecordReader for PlainReader {
    fn read(&mut self, piece: &TextPiece, sink: &mut Sink<'_>) -> Result<Flow> {
        let failed = |e: std::io::Error| error::io(&path::to_url(&piece.path), &e);
        if self.scan.whole_text {
            let bytes = read_whole(&piece.path).map_err(failed)?;
            return self.row(&bytes, sink);
        }
        let separator = self.scan.line_separator.as_deref().map(str::as_bytes);
        let mut lines =
            LineReader::open(&piece.path, piece.start, piece.end, separator).map_err(failed)?;
        while let Some(line) = lines.next_line().map_err(failed)? {
            if self.row(line, sink)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }
}
