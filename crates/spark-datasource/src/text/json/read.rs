//! JSON records into rows: `JacksonParser` and `FailureSafeParser`.

use spark_sql_parser::types::Schema;

use super::JsonScan;
use super::append::{Outcome, Record};
use super::tape::{Kind, Parsed, Tape};
use crate::error::{self, Result};
use crate::path;
use crate::text::columns::{ColumnBuilder, Conversions};
use crate::text::lines::{LineReader, read_whole};
use crate::text::mode::ParseMode;
use crate::text::scan::{RecordReader, TextPiece};
use crate::text::sink::{Flow, Sink};
use crate::text::{decode, decode_whole};

pub(super) struct JsonReader {
    scan: JsonScan,
    /// Names of the projected columns, in the order of the builders.
    names: Vec<String>,
    /// Position of the builder of the corrupt record column.
    corrupt: Option<usize>,
    conversions: Conversions,
    tape: Tape,
    scratch: String,
    found: Vec<Option<usize>>,
}

impl JsonReader {
    pub(super) fn new(
        scan: JsonScan,
        columns: &Schema,
        indices: &[usize],
        conversions: Conversions,
    ) -> Self {
        let names: Vec<String> =
            indices.iter().map(|index| columns.fields[*index].name.clone()).collect();
        Self {
            corrupt: names.iter().position(|name| *name == scan.corrupt_column),
            scan,
            names,
            conversions,
            tape: Tape::default(),
            scratch: String::new(),
            found: Vec::new(),
        }
    }

    /// Reads one line, or one whole file.
    fn record(&mut self, text: &str, piece: &TextPiece, sink: &mut Sink<'_>) -> Result<Flow> {
        match self.tape.parse(text, &self.scan.leniency) {
            Parsed::Empty => return Ok(Flow::Continue),
            Parsed::Malformed => return self.bad_record(text, piece, sink),
            Parsed::Value => {}
        }
        match self.tape.nodes[0].kind {
            Kind::Object => self.row(0, text, piece, sink),
            Kind::Array => {
                // Each element of a top-level array is a row.
                let elements: Vec<usize> = self.tape.parts(0).collect();
                if elements.iter().any(|element| {
                    !matches!(self.tape.nodes[*element].kind, Kind::Object | Kind::Null)
                }) {
                    return self.bad_record(text, piece, sink);
                }
                for element in elements {
                    let flow = match self.tape.nodes[element].kind {
                        Kind::Null => {
                            sink.builders.iter_mut().for_each(ColumnBuilder::append_null);
                            sink.end_row()?
                        }
                        _ => self.row(element, text, piece, sink)?,
                    };
                    if flow == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(Flow::Continue)
            }
            _ => self.bad_record(text, piece, sink),
        }
    }

    fn row(
        &mut self,
        object: usize,
        text: &str,
        piece: &TextPiece,
        sink: &mut Sink<'_>,
    ) -> Result<Flow> {
        let record = Record {
            text,
            tape: &self.tape,
            conversions: &self.conversions,
            non_numeric_numbers: self.scan.non_numeric_numbers,
        };
        self.found.clear();
        self.found.resize(self.names.len(), None);
        record.find(object, &self.names, &mut self.found, &mut self.scratch);
        let mut fits = true;
        for (position, value) in self.found.iter().enumerate() {
            if self.corrupt == Some(position) {
                continue;
            }
            let builder = &mut sink.builders[position];
            match value {
                Some(value) => {
                    fits &= record.append(builder, *value, &mut self.scratch) == Outcome::Good;
                }
                None => builder.append_null(),
            }
        }
        self.end_row(fits, text, piece, sink)
    }

    /// A record that is no JSON object: all columns are null.
    fn bad_record(&self, text: &str, piece: &TextPiece, sink: &mut Sink<'_>) -> Result<Flow> {
        for (position, builder) in sink.builders.iter_mut().enumerate() {
            if self.corrupt != Some(position) {
                builder.append_null();
            }
        }
        self.end_row(false, text, piece, sink)
    }

    fn end_row(
        &self,
        fits: bool,
        text: &str,
        piece: &TextPiece,
        sink: &mut Sink<'_>,
    ) -> Result<Flow> {
        if let Some(position) = self.corrupt {
            let builder = &mut sink.builders[position];
            if fits {
                builder.append_null();
            } else {
                builder.append_text(text, &self.conversions);
            }
        }
        match (fits, self.scan.mode) {
            (true, _) | (false, ParseMode::Permissive) => sink.end_row(),
            (false, ParseMode::DropMalformed) => sink.drop_row(),
            (false, ParseMode::FailFast) => {
                let cause = error::malformed_record(text).to_string();
                Err(error::failed_read(&path::to_url(&piece.path), &cause))
            }
        }
    }
}

impl RecordReader for JsonReader {
    fn read(&mut self, piece: &TextPiece, sink: &mut Sink<'_>) -> Result<Flow> {
        let failed = |e: std::io::Error| error::io(&path::to_url(&piece.path), &e);
        if self.scan.multi_line {
            let text = decode_whole(read_whole(&piece.path).map_err(failed)?, self.scan.latin1);
            return self.record(&text, piece, sink);
        }
        let separator = self.scan.line_separator.clone();
        let separator = separator.as_deref().map(str::as_bytes);
        let mut lines =
            LineReader::open(&piece.path, piece.start, piece.end, separator).map_err(failed)?;
        while let Some(line) = lines.next_line().map_err(failed)? {
            let line = decode(line, self.scan.latin1);
            if self.record(&line, piece, sink)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }
}
