//! CSV files as univocity writes them for Spark, and text files.

use std::fs::File;
use std::io::{BufWriter, Write};

use arrow::array::{Array, AsArray, RecordBatch};
use serde::{Deserialize, Serialize};
use spark_sql_parser::types::Schema;

use super::TextOptions;
use super::cells::{Cells, TextStyle};
use super::dispatch::FileWriter;
use crate::error::{self, Result};
use crate::options::Options;
use crate::text::compression::{Codec, Encoder};
use crate::text::csv::{Dialect, compiled};
use crate::values::zone::Zone;

/// The comment character of univocity's format: a first value that begins with it is quoted.
const COMMENT: u8 = b'#';

/// Output is handed to the codec in pieces of about this size.
const FLUSH_BYTES: usize = 64 << 10;

/// Options of a CSV write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CsvOptions {
    dialect: Dialect,
    header: bool,
    quote_all: bool,
    escape_quotes: bool,
    null_value: String,
    empty_value: String,
    date_format: Option<String>,
    timestamp_format: String,
    timestamp_ntz_format: String,
    line_separator: String,
    pub(super) codec: Codec,
    pub(super) extension: String,
}

impl CsvOptions {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let mut dialect = Dialect::new(options)?;
        dialect.trim_start = options.bool("ignoreLeadingWhiteSpace", true)?;
        dialect.trim_end = options.bool("ignoreTrailingWhiteSpace", true)?;
        let csv = Self {
            dialect,
            header: options.bool("header", false)?,
            quote_all: options.bool("quoteAll", false)?,
            escape_quotes: options.bool("escapeQuotes", true)?,
            null_value: options.string("nullValue", ""),
            empty_value: options.string("emptyValue", "\"\""),
            date_format: options.get("dateFormat").map(str::to_owned),
            timestamp_format: options.string("timestampFormat", "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]"),
            timestamp_ntz_format: options
                .string("timestampNTZFormat", "yyyy-MM-dd'T'HH:mm:ss[.SSS]"),
            line_separator: options.string("lineSep", "\n"),
            codec: super::codec(options)?,
            extension: options.string("extension", "csv"),
        };
        csv.style(Zone::UTC)?;
        Ok(csv)
    }

    fn style(&self, zone: Zone) -> Result<TextStyle> {
        Ok(TextStyle {
            zone,
            date: compiled("dateFormat", self.date_format.as_deref())?,
            timestamp: compiled("timestampFormat", Some(&self.timestamp_format))?,
            timestamp_ntz: compiled("timestampNTZFormat", Some(&self.timestamp_ntz_format))?,
        })
    }
}

/// Text on its way through a codec into a file.
pub(super) struct Output {
    encoder: Encoder<BufWriter<File>>,
    pub(super) buffer: Vec<u8>,
    uri: String,
}

impl Output {
    pub(super) fn new(file: BufWriter<File>, codec: Codec, uri: String) -> Result<Self> {
        let encoder = codec.writer(file).map_err(|e| error::write_failed(&uri, &e.to_string()))?;
        Ok(Self { encoder, buffer: Vec::with_capacity(2 * FLUSH_BYTES), uri })
    }

    /// Passes on what has gathered, if it is enough.
    pub(super) fn relieve(&mut self) -> Result<()> {
        if self.buffer.len() >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.encoder
            .write_all(&self.buffer)
            .map_err(|e| error::write_failed(&self.uri, &e.to_string()))?;
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.encoder
            .finish()
            .and_then(|mut file| file.flush())
            .map_err(|e| error::write_failed(&self.uri, &e.to_string()))
    }
}

/// One CSV file being written.
pub(super) struct CsvFile {
    output: Output,
    options: CsvOptions,
    schema: Schema,
    style: TextStyle,
    value: Vec<u8>,
}

impl CsvFile {
    pub(super) fn new(
        file: BufWriter<File>,
        options: &CsvOptions,
        schema: &Schema,
        zone: Zone,
        uri: String,
    ) -> Result<Self> {
        let mut csv = Self {
            output: Output::new(file, options.codec, uri)?,
            options: options.clone(),
            schema: schema.clone(),
            style: options.style(zone)?,
            value: Vec::new(),
        };
        if options.header {
            let start = csv.output.buffer.len();
            for (index, field) in schema.fields.iter().enumerate() {
                if index > 0 {
                    csv.output.buffer.extend_from_slice(&options.dialect.delimiter);
                }
                let name = Some(field.name.as_bytes());
                write_value(&mut csv.output.buffer, name, index == 0, options);
            }
            csv.end_record(start);
        }
        Ok(csv)
    }

    /// Ends the record that began at `start`; one without any character is left out.
    fn end_record(&mut self, start: usize) {
        if self.output.buffer.len() > start {
            self.output.buffer.extend_from_slice(self.options.line_separator.as_bytes());
        }
    }
}

impl FileWriter for CsvFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch
            .columns()
            .iter()
            .zip(&self.schema.fields)
            .map(|(column, field)| Cells::new(column, &field.data_type))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let start = self.output.buffer.len();
            for (index, cells) in columns.iter().enumerate() {
                if index > 0 {
                    self.output.buffer.extend_from_slice(&self.options.dialect.delimiter);
                }
                self.value.clear();
                let value = if cells.is_null(row) {
                    None
                } else {
                    cells.write_text(row, &self.style, &mut self.value);
                    Some(self.value.as_slice())
                };
                write_value(&mut self.output.buffer, value, index == 0, &self.options);
            }
            self.end_record(start);
            self.output.relieve()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.output.finish()
    }
}

/// Appends one value, trimmed and quoted as need be.
fn write_value(out: &mut Vec<u8>, value: Option<&[u8]>, first: bool, options: &CsvOptions) {
    let Some(value) = value else {
        return special(out, &options.null_value, options);
    };
    let Dialect { quote, escape, escape_escape, trim_start, trim_end, .. } = options.dialect;
    let blank = |byte: &u8| *byte <= b' ';
    let mut start = 0;
    let mut end = value.len();
    if trim_start {
        start = value.iter().position(|byte| !blank(byte)).unwrap_or(end);
    }
    if trim_end {
        end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1).max(start);
    }
    let value = &value[start..end];
    if value.is_empty() {
        return special(out, &options.empty_value, options);
    }
    let Some(quote) = quote else { return out.extend_from_slice(value) };
    let must_quote = options.quote_all
        || value[0] == quote
        || (first && value[0] == COMMENT)
        || memchr::memchr2(b'\n', b'\r', value).is_some()
        || memchr::memmem::find(value, &options.dialect.delimiter).is_some()
        || (options.escape_quotes && memchr::memchr(quote, value).is_some());
    if !must_quote {
        return out.extend_from_slice(value);
    }
    out.push(quote);
    for &byte in value {
        if byte == quote {
            out.extend(escape);
        } else if Some(byte) == escape {
            out.extend(escape_escape);
        }
        out.push(byte);
    }
    out.push(quote);
}

/// The texts for null and empty are written as they are; `""` is not quoted once more.
fn special(out: &mut Vec<u8>, text: &str, options: &CsvOptions) {
    match options.dialect.quote {
        Some(quote) if options.quote_all && text.as_bytes() != [quote, quote] => {
            out.push(quote);
            out.extend_from_slice(text.as_bytes());
            out.push(quote);
        }
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

/// One text file being written: the first column, a line per row.
pub(super) struct TextFile {
    output: Output,
    line_separator: Vec<u8>,
}

impl TextFile {
    pub(super) fn new(
        file: BufWriter<File>,
        options: &TextOptions,
        _zone: Zone,
        uri: String,
    ) -> Result<Self> {
        let output = Output::new(file, options.codec, uri)?;
        Ok(Self { output, line_separator: options.line_separator.clone().into_bytes() })
    }
}

impl FileWriter for TextFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(lines) = batch.column(0).as_string_opt::<i32>() else {
            return Err(error::internal("a text file was given another column than a string"));
        };
        for row in 0..lines.len() {
            if lines.is_valid(row) {
                self.output.buffer.extend_from_slice(lines.value(row).as_bytes());
            }
            self.output.buffer.extend_from_slice(&self.line_separator);
            self.output.relieve()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.output.finish()
    }
}
