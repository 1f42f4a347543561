//! JSON lines as Jackson writes them for Spark.

use std::fs::File;
use std::io::{BufWriter, Write};

use arrow::array::RecordBatch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use spark_sql_parser::types::Schema;

use super::cells::{Cells, TextStyle};
use super::csv::Output;
use super::dispatch::FileWriter;
use crate::error::Result;
use crate::options::Options;
use crate::text::compression::Codec;
use crate::text::csv::compiled;
use crate::values::zone::Zone;

/// Options of a JSON write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JsonOptions {
    ignore_null_fields: bool,
    date_format: Option<String>,
    timestamp_format: String,
    timestamp_ntz_format: String,
    line_separator: String,
    pub(super) codec: Codec,
}

impl JsonOptions {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let json = Self {
            ignore_null_fields: options.bool("ignoreNullFields", true)?,
            date_format: options.get("dateFormat").map(str::to_owned),
            timestamp_format: options.string("timestampFormat", "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]"),
            timestamp_ntz_format: options
                .string("timestampNTZFormat", "yyyy-MM-dd'T'HH:mm:ss[.SSS]"),
            line_separator: options.string("lineSep", "\n"),
            codec: super::codec(options)?,
        };
        json.style(Zone::UTC)?;
        Ok(json)
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

/// One JSON file being written.
pub(super) struct JsonFile {
    output: Output,
    schema: Schema,
    line_separator: Vec<u8>,
    generator: Generator,
}

impl JsonFile {
    pub(super) fn new(
        file: BufWriter<File>,
        options: &JsonOptions,
        schema: &Schema,
        zone: Zone,
        uri: String,
    ) -> Result<Self> {
        Ok(Self {
            output: Output::new(file, options.codec, uri)?,
            schema: schema.clone(),
            line_separator: options.line_separator.clone().into_bytes(),
            generator: Generator {
                ignore_null_fields: options.ignore_null_fields,
                style: options.style(zone)?,
                text: Vec::new(),
            },
        })
    }
}

impl FileWriter for JsonFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let fields = batch
            .columns()
            .iter()
            .zip(&self.schema.fields)
            .map(|(column, field)| Ok((field.name.clone(), Cells::new(column, &field.data_type)?)))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            self.generator.object(&fields, row, &mut self.output.buffer);
            self.output.buffer.extend_from_slice(&self.line_separator);
            self.output.relieve()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.output.finish()
    }
}

struct Generator {
    ignore_null_fields: bool,
    style: TextStyle,
    text: Vec<u8>,
}

impl Generator {
    fn object(&mut self, fields: &[(String, Cells<'_>)], row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        for (name, cells) in fields {
            if cells.is_null(row) && self.ignore_null_fields {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            quote(out, name);
            out.push(b':');
            self.value(cells, row, out);
        }
        out.push(b'}');
    }

    fn value(&mut self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
        if cells.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match cells {
            Cells::Struct { fields, .. } => self.object(fields, row, out),
            Cells::List { offsets, items, .. } => {
                out.push(b'[');
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                for item in start..end {
                    if item > start {
                        out.push(b',');
                    }
                    self.value(items, item, out);
                }
                out.push(b']');
            }
            Cells::Map { offsets, keys, values, .. } => {
                out.push(b'{');
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                for entry in start..end {
                    if entry > start {
                        out.push(b',');
                    }
                    self.text.clear();
                    keys.write_text(entry, &self.style, &mut self.text);
                    quote(out, &String::from_utf8_lossy(&self.text));
                    out.push(b':');
                    self.value(values, entry, out);
                }
                out.push(b'}');
            }
            Cells::String(array) => quote(out, array.value(row)),
            Cells::Binary(array) => quote(out, &STANDARD.encode(array.value(row))),
            Cells::Float(array) if !array.value(row).is_finite() => self.quoted(cells, row, out),
            Cells::Double(array) if !array.value(row).is_finite() => self.quoted(cells, row, out),
            Cells::Date(_)
            | Cells::Timestamp(_)
            | Cells::TimestampNtz(_)
            | Cells::YearMonth(..)
            | Cells::DayTime(..) => self.quoted(cells, row, out),
            _ => cells.write_text(row, &self.style, out),
        }
    }

    fn quoted(&mut self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
        self.text.clear();
        cells.write_text(row, &self.style, &mut self.text);
        quote(out, &String::from_utf8_lossy(&self.text));
    }
}

/// Appends a JSON string with the escapes that Jackson uses.
fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            // Writing to memory cannot fail.
            _ => drop(write!(out, "\\u{byte:04X}")),
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}
