//! CSV records into columns.

use std::borrow::Cow;

use spark_sql_parser::types::Schema;

use super::CsvScan;
use super::tokens::{self, Tokens};
use crate::error::{self, Result};
use crate::path;
use crate::text::columns::{ColumnBuilder, Conversions};
use crate::text::lines::{LineReader, read_whole};
use crate::text::mode::ParseMode;
use crate::text::scan::{RecordReader, TextPiece};
use crate::text::sink::{Flow, Sink};
use crate::text::{decode, decode_whole};

/// Where a builder's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Value number n of the record.
    Value(usize),
    /// The text of a record that could not be read.
    Corrupt,
}

pub(super) struct CsvReader {
    scan: CsvScan,
    /// Names of the values of a record.
    names: Vec<String>,
    targets: Vec<Target>,
    /// Number of values a good record has, if that is checked: when some columns are left out Spark's parser selects
    /// columns and cannot see a wrong count.
    expected: Option<usize>,
    /// Values after this many are not looked at.
    wanted: usize,
    conversions: Conversions,
    tokens: Tokens,
}

impl CsvReader {
    pub(super) fn new(
        scan: CsvScan,
        columns: &Schema,
        indices: &[usize],
        conversions: Conversions,
    ) -> Self {
        let is_corrupt = |index: usize| columns.fields[index].name == scan.corrupt_column;
        let values: Vec<usize> =
            (0..columns.fields.len()).filter(|index| !is_corrupt(*index)).collect();
        let targets: Vec<Target> = indices
            .iter()
            .map(|index| match values.iter().position(|value| value == index) {
                Some(position) => Target::Value(position),
                None => Target::Corrupt,
            })
            .collect();
        let with_corrupt = targets.contains(&Target::Corrupt);
        let all = values.iter().all(|value| indices.contains(value));
        let last = targets.iter().filter_map(|target| match target {
            Target::Value(position) => Some(position + 1),
            Target::Corrupt => None,
        });
        let checked = with_corrupt || (all && !targets.is_empty());
        Self {
            expected: checked.then_some(values.len()),
            wanted: if checked { usize::MAX } else { last.max().unwrap_or(0) },
            names: values.iter().map(|value| columns.fields[*value].name.clone()).collect(),
            targets,
            conversions,
            scan,
            tokens: Tokens::default(),
        }
    }

    fn record(
        &mut self,
        text: &str,
        raw: &str,
        piece: &TextPiece,
        sink: &mut Sink<'_>,
    ) -> Result<Flow> {
        let count = self.tokens.len();
        if count > self.scan.dialect.max_columns {
            let cause = format!(
                "a record has more than {} columns; raise the option maxColumns",
                self.scan.dialect.max_columns
            );
            return Err(error::failed_read(&path::to_url(&piece.path), &cause));
        }
        let mut good = self.expected.is_none_or(|expected| expected == count);
        let mut corrupt_builder = None;
        for (position, target) in self.targets.iter().enumerate() {
            match target {
                Target::Corrupt => corrupt_builder = Some(position),
                Target::Value(index) => {
                    let builder = &mut sink.builders[position];
                    good &= append(
                        builder,
                        self.tokens.get(text, *index),
                        &self.scan,
                        &self.conversions,
                    );
                }
            }
        }
        if let Some(position) = corrupt_builder {
            let builder = &mut sink.builders[position];
            if good {
                builder.append_null();
            } else {
                builder.append_text(raw, &self.conversions);
            }
        }
        match (good, self.scan.mode) {
            (true, _) | (false, ParseMode::Permissive) => sink.end_row(),
            (false, ParseMode::DropMalformed) => sink.drop_row(),
            (false, ParseMode::FailFast) => {
                let cause = error::malformed_record(raw).to_string();
                Err(error::failed_read(&path::to_url(&piece.path), &cause))
            }
        }
    }

    fn read_lines(&mut self, piece: &TextPiece, sink: &mut Sink<'_>) -> Result<Flow> {
        let failed = |e: std::io::Error| error::io(&path::to_url(&piece.path), &e);
        let separator = self.scan.line_separator.clone();
        let mut lines = LineReader::open(
            &piece.path,
            piece.start,
            piece.end,
            separator.as_deref().map(str::as_bytes),
        )
        .map_err(failed)?;
        let mut header = self.scan.header && piece.start == 0;
        while let Some(line) = lines.next_line().map_err(failed)? {
            let line: Cow<'_, str> = decode(line, self.scan.latin1);
            if self.scan.dialect.is_skipped(&line) {
                continue;
            }
            if header {
                header = false;
                self.check_header(&line, piece)?;
                continue;
            }
            if self.wanted > 0 {
                tokens::split(&self.scan.dialect, &line, 0, false, self.wanted, &mut self.tokens);
            }
            if self.record(&line, &line, piece, sink)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }

    fn read_whole(&mut self, piece: &TextPiece, sink: &mut Sink<'_>) -> Result<Flow> {
        let bytes =
            read_whole(&piece.path).map_err(|e| error::io(&path::to_url(&piece.path), &e))?;
        let text = records_text(&self.scan, bytes);
        let mut at = 0;
        let mut header = self.scan.header;
        while let Some(record) = next_record(&self.scan, &text, &mut at, &mut self.tokens) {
            if header {
                header = false;
                self.check_header(record, piece)?;
                continue;
            }
            if self.record(&text, record, piece, sink)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }

    /// With `enforceSchema` off the header must name the columns of the schema.
    fn check_header(&self, line: &str, piece: &TextPiece) -> Result<()> {
        if self.scan.enforce_schema {
            return Ok(());
        }
        let mut tokens = Tokens::default();
        tokens::split(&self.scan.dialect, line, 0, self.scan.multi_line, usize::MAX, &mut tokens);
        let header: Vec<&str> = (0..tokens.len())
            .map(|index| tokens.get(line, index).map_or("", |(text, _)| text))
            .collect();
        let same = |a: &str, b: &str| {
            if self.scan.case_sensitive { a == b } else { a.to_lowercase() == b.to_lowercase() }
        };
        let fits = header.len() == self.names.len()
            && header.iter().zip(&self.names).all(|(a, b)| same(a, b));
        if fits {
            return Ok(());
        }
        let url = path::to_url(&piece.path);
        let cause = format!(
            "CSV header does not conform to the schema. Header: {}. Schema: {}. CSV file: {url}",
            header.join(", "),
            self.names.join(", ")
        );
        Err(error::failed_read(&url, &cause))
    }
}

impl RecordReader for CsvReader {
    fn read(&mut self, piece: &TextPiece, sink: &mut Sink<'_>) -> Result<Flow> {
        if self.scan.multi_line {
            self.read_whole(piece, sink)
        } else {
            self.read_lines(piece, sink)
        }
    }
}

/// A whole file with line feeds between its records.
pub(super) fn records_text(scan: &CsvScan, bytes: Vec<u8>) -> String {
    let text = decode_whole(bytes, scan.latin1);
    match &scan.line_separator {
        Some(separator) if separator != "\n" => text.replace(separator.as_str(), "\n"),
        Some(_) => text,
        // The first separator tells which one the file uses.
        None => match text.find(['\r', '\n']) {
            Some(at) if text[at..].starts_with("\r\n") => text.replace("\r\n", "\n"),
            Some(at) if text[at..].starts_with('\r') => text.replace('\r', "\n"),
            _ => text,
        },
    }
}

/// Cuts the record at `at` of a whole file, passing over empty lines and comments.
pub(super) fn next_record<'a>(
    scan: &CsvScan,
    text: &'a str,
    at: &mut usize,
    tokens: &mut Tokens,
) -> Option<&'a str> {
    let bytes = text.as_bytes();
    while *at < bytes.len() {
        if bytes[*at] == b'\n' {
            *at += 1;
        } else if let Some(end) = blank_line(scan, &bytes[*at..]) {
            *at += end;
        } else if scan.dialect.comment == Some(bytes[*at]) {
            *at = memchr::memchr(b'\n', &bytes[*at..]).map_or(bytes.len(), |end| *at + end + 1);
        } else {
            break;
        }
    }
    if *at >= bytes.len() {
        return None;
    }
    let start = *at;
    *at = tokens::split(&scan.dialect, text, start, true, usize::MAX, tokens);
    let record = &text[start..*at];
    Some(record.strip_suffix('\n').unwrap_or(record))
}

/// Length of a line of blanks, which is empty if leading blanks are ignored.
fn blank_line(scan: &CsvScan, bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let blank = scan.dialect.trim_start
        && bytes[..end].iter().all(|byte| *byte <= b' ' && [*byte] != scan.dialect.delimiter[..]);
    blank.then_some(end + 1)
}

/// Appends a value; answers false if it is not one of the column's type.
fn append(
    builder: &mut ColumnBuilder,
    token: Option<(&str, bool)>,
    scan: &CsvScan,
    conversions: &Conversions,
) -> bool {
    let text = match token {
        None | Some(("", false)) => {
            builder.append_null();
            return true;
        }
        Some(("", true)) => scan.empty_value.as_str(),
        Some((text, _)) => text,
    };
    if text == scan.null_value {
        builder.append_null();
        return true;
    }
    builder.append_text(text, conversions)
}
