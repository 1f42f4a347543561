//! The schema of CSV files: `CSVInferSchema`.

use spark_sql_parser::types::{DataType, Schema};

use super::CsvScan;
use super::read::{next_record, records_text};
use super::tokens::{self, Tokens};
use crate::error::{self, Result};
use crate::listing::DataFile;
use crate::path;
use crate::schema::nullable_field;
use crate::source::Request;
use crate::text::columns::Conversions;
use crate::text::lines::{LineReader, read_whole};
use crate::text::scan::TextPiece;
use crate::text::{Sampler, decode, parallel, table};
use crate::values::number::{self, BigDecimal};
use crate::values::pattern::Pattern;

/// Finds names and, if asked for, types.
pub(crate) fn infer(scan: &CsvScan, request: &Request) -> Result<Schema> {
    // The largest file is the first partition, so its first line names the columns.
    let mut files = request.listing.files.clone();
    files.sort_by_key(|file| std::cmp::Reverse(file.size));
    let Some(first) = first_record(scan, &files)? else { return Ok(Schema::default()) };
    let names = column_names(scan, &first.values, request.context.case_sensitive);
    let types = if scan.infer_schema {
        infer_types(scan, request, &first, names.len())?
    } else {
        vec![DataType::String; names.len()]
    };
    let fields =
        names.iter().zip(types).map(|(name, data_type)| nullable_field(name, data_type)).collect();
    Ok(Schema { fields })
}

struct FirstRecord {
    text: String,
    /// `None` where there is nothing between two delimiters.
    values: Vec<Option<String>>,
}

fn first_record(scan: &CsvScan, files: &[DataFile]) -> Result<Option<FirstRecord>> {
    for file in files {
        let mut found = None;
        let piece = TextPiece {
            path: file.path.clone(),
            start: 0,
            end: file.size,
            partition_texts: Vec::new(),
        };
        each_record(scan, &piece, &mut |text, record, tokens| {
            let values = (0..tokens.len()).map(|i| value(scan, tokens.get(text, i))).collect();
            found = Some(FirstRecord { text: record.to_owned(), values });
            false
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The value that the parser hands to inference.
fn value(scan: &CsvScan, token: Option<(&str, bool)>) -> Option<String> {
    match token {
        Some(("", true)) if !scan.empty_value.is_empty() => Some(scan.empty_value.clone()),
        Some((text, _)) if !text.is_empty() => Some(text.to_owned()),
        _ => None,
    }
}

/// Calls `take` with the text, the record and its values until it answers false.
fn each_record(
    scan: &CsvScan,
    piece: &TextPiece,
    take: &mut dyn FnMut(&str, &str, &Tokens) -> bool,
) -> Result<()> {
    let failed = |e: std::io::Error| error::io(&path::to_url(&piece.path), &e);
    let mut tokens = Tokens::default();
    if scan.multi_line {
        let text = records_text(scan, read_whole(&piece.path).map_err(failed)?);
        let mut at = 0;
        while let Some(record) = next_record(scan, &text, &mut at, &mut tokens) {
            if !take(&text, record, &tokens) {
                break;
            }
        }
        return Ok(());
    }
    let separator = scan.line_separator.as_deref().map(str::as_bytes);
    let mut lines =
        LineReader::open(&piece.path, piece.start, piece.end, separator).map_err(failed)?;
    while let Some(line) = lines.next_line().map_err(failed)? {
        let line = decode(line, scan.latin1);
        if scan.dialect.is_skipped(&line) {
            continue;
        }
        tokens::split(&scan.dialect, &line, 0, false, usize::MAX, &mut tokens);
        if !take(&line, &line, &tokens) {
            break;
        }
    }
    Ok(())
}

/// `CSVUtils.makeSafeHeader`: names for nameless columns, numbers behind repeated names.
fn column_names(scan: &CsvScan, first: &[Option<String>], case_sensitive: bool) -> Vec<String> {
    if !scan.header {
        return (0..first.len()).map(|index| format!("_c{index}")).collect();
    }
    let key = |name: &str| if case_sensitive { name.to_owned() } else { name.to_lowercase() };
    let keys: Vec<String> = first.iter().flatten().map(|name| key(name)).collect();
    first
        .iter()
        .enumerate()
        .map(|(index, name)| match name {
            None => format!("_c{index}"),
            Some(name) if *name == scan.null_value => format!("_c{index}"),
            Some(name) if keys.iter().filter(|other| **other == key(name)).count() > 1 => {
                format!("{name}{index}")
            }
            Some(name) => name.clone(),
        })
        .collect()
}

fn infer_types(
    scan: &CsvScan,
    request: &Request,
    first: &FirstRecord,
    columns: usize,
) -> Result<Vec<DataType>> {
    let ladder = Ladder::new(scan, scan.conversions(request.zone)?)?;
    let partitions =
        table::cut(&request.listing.files, !scan.multi_line, request.context.splits())?;
    let pieces: Vec<TextPiece> = partitions.into_iter().flatten().collect();
    let results = parallel(&pieces, |number, piece| {
        let mut types = vec![DataType::Null; columns];
        let mut sampler = Sampler::new(scan.sampling_ratio, number);
        // Spark drops every line equal to the header; a multi-line file only its first record.
        let mut at_start = piece.start == 0;
        each_record(scan, piece, &mut |text, record, tokens| {
            let is_header =
                scan.header && (if scan.multi_line { at_start } else { record == first.text });
            at_start = false;
            if is_header || !sampler.take() {
                return true;
            }
            for (index, data_type) in types.iter_mut().enumerate() {
                if let Some((field, quoted)) = tokens.get(text, index) {
                    let field = if field.is_empty() && quoted { &scan.empty_value } else { field };
                    ladder.step(data_type, field);
                }
            }
            true
        })?;
        Ok(types)
    })?;
    let mut merged = vec![DataType::Null; columns];
    for types in results {
        for (known, found) in merged.iter_mut().zip(types) {
            let both = std::mem::replace(known, DataType::Null);
            *known = ladder.compatible(both, found).unwrap_or(DataType::Null);
        }
    }
    for data_type in &mut merged {
        if *data_type == DataType::Null {
            *data_type = DataType::String;
        }
    }
    Ok(merged)
}

/// The ladder of types that a column climbs.
struct Ladder<'a> {
    scan: &'a CsvScan,
    conversions: Conversions,
    date: Option<Pattern>,
}

impl<'a> Ladder<'a> {
    fn new(scan: &'a CsvScan, conversions: Conversions) -> Result<Self> {
        let date = match &conversions.date {
            None if scan.prefer_date => Some(Pattern::date_default()),
            other => other.clone(),
        };
        Ok(Self { scan, conversions, date })
    }

    fn step(&self, so_far: &mut DataType, field: &str) {
        if *so_far == DataType::String || field.is_empty() || field == self.scan.null_value {
            return;
        }
        let found = match so_far {
            DataType::Long => self.long(field),
            DataType::Decimal { .. } => self.decimal(field),
            DataType::Double => self.double(field),
            DataType::Date => self.date(field),
            DataType::TimestampNtz => self.timestamp_ntz(field),
            DataType::Timestamp => self.timestamp(field),
            DataType::Boolean => self.boolean(field),
            _ => self.integer(field),
        };
        if found != *so_far {
            let known = std::mem::replace(so_far, DataType::Null);
            *so_far = self.compatible(known, found).unwrap_or(DataType::String);
        }
    }

    fn integer(&self, field: &str) -> DataType {
        match number::integer::<i32>(field) {
            Some(_) => DataType::Integer,
            None => self.long(field),
        }
    }

    fn long(&self, field: &str) -> DataType {
        match number::integer::<i64>(field) {
            Some(_) => DataType::Long,
            None => self.decimal(field),
        }
    }

    fn decimal(&self, field: &str) -> DataType {
        match BigDecimal::parse(field) {
            Some(decimal) if decimal.scale == 0 => {
                DataType::Decimal { precision: decimal.precision(), scale: 0 }
            }
            _ => self.double(field),
        }
    }

    fn double(&self, field: &str) -> DataType {
        if self.conversions.double(field).is_some() {
            DataType::Double
        } else if self.scan.prefer_date {
            self.date(field)
        } else {
            self.timestamp_ntz(field)
        }
    }

    fn date(&self, field: &str) -> DataType {
        match self.date.as_ref().and_then(|pattern| pattern.parse_date(field)) {
            Some(_) => DataType::Date,
            None => self.timestamp_ntz(field),
        }
    }

    fn timestamp_ntz(&self, field: &str) -> DataType {
        if self.scan.timestamp_ntz && self.conversions.timestamp_ntz(field).is_some() {
            DataType::TimestampNtz
        } else {
            self.timestamp(field)
        }
    }

    fn timestamp(&self, field: &str) -> DataType {
        match self.conversions.timestamp(field) {
            Some(_) => DataType::Timestamp,
            None => self.boolean(field),
        }
    }

    fn boolean(&self, field: &str) -> DataType {
        if number::boolean(field).is_some() { DataType::Boolean } else { DataType::String }
    }

    /// `compatibleType`: the type that holds both.
    fn compatible(&self, a: DataType, b: DataType) -> Option<DataType> {
        use DataType::{
            Date, Decimal, Double, Integer, Long, Null, String, Timestamp, TimestampNtz,
        };
        let digits = |data_type: &DataType| match data_type {
            Integer => Some(10),
            Long => Some(20),
            Decimal { precision, .. } => Some(*precision),
            _ => None,
        };
        Some(match (&a, &b) {
            (a, b) if a == b => a.clone(),
            (Null, other) | (other, Null) => other.clone(),
            (String, _) | (_, String) => String,
            (Integer, Long) | (Long, Integer) => Long,
            (Double, Integer | Long | Decimal { .. })
            | (Integer | Long | Decimal { .. }, Double) => Double,
            (Decimal { .. }, _) | (_, Decimal { .. }) => {
                let precision = digits(&a)?.max(digits(&b)?);
                Decimal { precision, scale: 0 }
            }
            // A date is a timestamp too, unless a pattern says how timestamps look.
            (Date, Timestamp) | (Timestamp, Date) if self.scan.timestamp_format.is_none() => {
                Timestamp
            }
            (Date, TimestampNtz) | (TimestampNtz, Date)
                if self.scan.timestamp_ntz_format.is_none() =>
            {
                TimestampNtz
            }
            (Timestamp, TimestampNtz) | (TimestampNtz, Timestamp) => Timestamp,
            _ => return None,
        })
    }
}
