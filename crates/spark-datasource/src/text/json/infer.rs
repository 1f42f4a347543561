//! The schema of JSON files: `JsonInferSchema`.

use spark_sql_parser::types::{DataType, Schema};

use super::JsonScan;
use super::tape::{Kind, Parsed, Tape};
use crate::error::{self, Result};
use crate::path;
use crate::schema::nullable_field;
use crate::source::Request;
use crate::text::columns::Conversions;
use crate::text::lines::{LineReader, read_whole};
use crate::text::mode::ParseMode;
use crate::text::scan::TextPiece;
use crate::text::{Sampler, decode, decode_whole, parallel, table};
use crate::values::number::{self, BigDecimal};

/// Reads the files and merges the types of their records.
pub(crate) fn infer(scan: &JsonScan, request: &Request) -> Result<Schema> {
    let conversions = scan.conversions(request.zone)?;
    let partitions =
        table::cut(&request.listing.files, !scan.multi_line, request.context.splits())?;
    let pieces: Vec<TextPiece> = partitions.into_iter().flatten().collect();
    let types = parallel(&pieces, |number, piece| infer_piece(scan, &conversions, piece, number))?;
    let merged = types.into_iter().fold(DataType::Null, |a, b| merge(scan, a, b));
    match canonical(merged, scan.drop_field_if_all_null) {
        Some(DataType::Struct(schema)) => Ok(schema),
        // No record, or none that is an object.
        _ => Ok(Schema::default()),
    }
}

fn infer_piece(
    scan: &JsonScan,
    conversions: &Conversions,
    piece: &TextPiece,
    number: usize,
) -> Result<DataType> {
    let failed = |e: std::io::Error| error::io(&path::to_url(&piece.path), &e);
    let mut inference = Inference {
        scan,
        conversions,
        tape: Tape::default(),
        scratch: String::new(),
        so_far: DataType::Null,
        duplicate: None,
    };
    let mut sampler = Sampler::new(scan.sampling_ratio, number);
    if scan.multi_line {
        let text = decode_whole(read_whole(&piece.path).map_err(failed)?, scan.latin1);
        if sampler.take() {
            inference.record(&text)?;
        }
        return Ok(inference.so_far);
    }
    let separator = scan.line_separator.as_deref().map(str::as_bytes);
    let mut lines =
        LineReader::open(&piece.path, piece.start, piece.end, separator).map_err(failed)?;
    while let Some(line) = lines.next_line().map_err(failed)? {
        if sampler.take() {
            inference.record(&decode(line, scan.latin1))?;
        }
    }
    Ok(inference.so_far)
}

struct Inference<'a> {
    scan: &'a JsonScan,
    conversions: &'a Conversions,
    tape: Tape,
    scratch: String,
    so_far: DataType,
    /// A name that occurred twice in one object.
    duplicate: Option<String>,
}

impl Inference<'_> {
    fn record(&mut self, text: &str) -> Result<()> {
        let found = match self.tape.parse(text, &self.scan.leniency) {
            Parsed::Empty => return Ok(()),
            Parsed::Malformed => return self.bad(text),
            Parsed::Value => match self.tape.nodes[0].kind {
                // Elements of a top-level array are records.
                Kind::Array => {
                    let elements: Vec<usize> = self.tape.parts(0).collect();
                    let mut merged = DataType::Null;
                    for element in elements {
                        merged = merge(self.scan, merged, self.value(text, element));
                    }
                    merged
                }
                _ => self.value(text, 0),
            },
        };
        if let Some(name) = &self.duplicate {
            return Err(error::column_already_exists(name));
        }
        let known = std::mem::replace(&mut self.so_far, DataType::Null);
        self.so_far = match found {
            DataType::Struct(_) => merge(self.scan, known, found),
            // Other values are no records.
            _ => {
                self.so_far = known;
                return self.bad(text);
            }
        };
        Ok(())
    }

    fn bad(&mut self, text: &str) -> Result<()> {
        match self.scan.mode {
            ParseMode::Permissive => {
                let corrupt = Schema {
                    fields: vec![nullable_field(&self.scan.corrupt_column, DataType::String)],
                };
                let known = std::mem::replace(&mut self.so_far, DataType::Null);
                self.so_far = merge(self.scan, known, DataType::Struct(corrupt));
                Ok(())
            }
            ParseMode::DropMalformed => Ok(()),
            ParseMode::FailFast => Err(error::malformed_schema_inference(text)),
        }
    }

    fn value(&mut self, text: &str, node: usize) -> DataType {
        let kind = self.tape.nodes[node].kind;
        let raw = text.get(self.tape.nodes[node].start..self.tape.nodes[node].end);
        let raw = raw.unwrap_or_default();
        match kind {
            Kind::Null | Kind::Name => DataType::Null,
            Kind::String if raw.is_empty() => DataType::Null,
            Kind::String => self.string(text, node),
            Kind::Object => {
                let names: Vec<usize> = self.tape.parts(node).collect();
                let mut schema = Schema::default();
                for name in names {
                    let data_type = self.value(text, name + 1);
                    let name = self.tape.string(name, text, &mut self.scratch).to_owned();
                    schema.fields.push(nullable_field(&name, data_type));
                }
                schema.fields.sort_by(|a, b| a.name.cmp(&b.name));
                for pair in schema.fields.windows(2) {
                    if pair[0].name == pair[1].name {
                        self.duplicate.get_or_insert_with(|| pair[0].name.clone());
                    }
                }
                DataType::Struct(schema)
            }
            Kind::Array => {
                let items: Vec<usize> = self.tape.parts(node).collect();
                let mut element = DataType::Null;
                for item in items {
                    element = merge(self.scan, element, self.value(text, item));
                }
                DataType::Array { element: Box::new(element), contains_null: true }
            }
            _ if self.scan.primitives_as_string => DataType::String,
            Kind::True | Kind::False => DataType::Boolean,
            Kind::Integer if number::integer::<i64>(raw).is_some() => DataType::Long,
            Kind::Integer => match BigDecimal::parse(raw) {
                Some(decimal) => DataType::Decimal { precision: decimal.precision(), scale: 0 },
                None => DataType::Double,
            },
            Kind::Float if self.scan.prefers_decimal => {
                decimal_type(raw).unwrap_or(DataType::Double)
            }
            Kind::Float => DataType::Double,
        }
    }

    fn string(&mut self, text: &str, node: usize) -> DataType {
        let value = self.tape.string(node, text, &mut self.scratch);
        if self.scan.prefers_decimal
            && let Some(decimal) = decimal_type(value)
        {
            return decimal;
        }
        if self.scan.infer_timestamp {
            if self.scan.timestamp_ntz && self.conversions.timestamp_ntz(value).is_some() {
                return DataType::TimestampNtz;
            }
            if self.conversions.timestamp(value).is_some() {
                return DataType::Timestamp;
            }
        }
        DataType::String
    }
}

fn decimal_type(text: &str) -> Option<DataType> {
    let decimal = BigDecimal::parse(text)?;
    let scale = i8::try_from(decimal.scale.max(0)).ok()?;
    let whole = i32::from(decimal.precision()) - decimal.scale.min(0);
    let precision = u8::try_from(whole.max(i32::from(scale))).ok()?;
    (precision <= 38).then_some(DataType::Decimal { precision, scale })
}

/// `JsonInferSchema.compatibleType`: what does not fit together becomes a string.
fn merge(scan: &JsonScan, a: DataType, b: DataType) -> DataType {
    use DataType::{Array, Decimal, Double, Long, Null, String, Struct, Timestamp, TimestampNtz};
    match (a, b) {
        (a, b) if a == b => a,
        (Null, other) | (other, Null) => other,
        (Struct(a), Struct(b)) => Struct(merge_structs(scan, a, b)),
        (Array { element: a, .. }, Array { element: b, .. }) => {
            Array { element: Box::new(merge(scan, *a, *b)), contains_null: true }
        }
        (Double, Long | Decimal { .. }) | (Long | Decimal { .. }, Double) => Double,
        (Long, Decimal { precision, scale }) | (Decimal { precision, scale }, Long) => {
            wider_decimal((20, 0), (precision, scale))
        }
        (Decimal { precision: p, scale: s }, Decimal { precision, scale }) => {
            wider_decimal((p, s), (precision, scale))
        }
        (Timestamp, TimestampNtz) | (TimestampNtz, Timestamp) => Timestamp,
        _ => String,
    }
}

fn wider_decimal((p, s): (u8, i8), (q, t): (u8, i8)) -> DataType {
    let scale = s.max(t);
    let whole = (i16::from(p) - i16::from(s)).max(i16::from(q) - i16::from(t));
    match u8::try_from(whole + i16::from(scale)) {
        Ok(precision) if precision <= 38 => DataType::Decimal { precision, scale },
        _ => DataType::Double,
    }
}

/// Merges two lists of fields sorted by name.
fn merge_structs(scan: &JsonScan, a: Schema, b: Schema) -> Schema {
    let mut fields = Vec::with_capacity(a.fields.len().max(b.fields.len()));
    let mut left = a.fields.into_iter().peekable();
    let mut right = b.fields.into_iter().peekable();
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => a.name.cmp(&b.name),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return Schema { fields },
        };
        match order {
            std::cmp::Ordering::Less => fields.extend(left.next()),
            std::cmp::Ordering::Greater => fields.extend(right.next()),
            std::cmp::Ordering::Equal => {
                if let (Some(mut a), Some(b)) = (left.next(), right.next()) {
                    a.data_type = merge(scan, a.data_type, b.data_type);
                    fields.push(a);
                }
            }
        }
    }
}

/// `canonicalizeType`: structs without fields go, what was always null is a string.
fn canonical(data_type: DataType, drop_nulls: bool) -> Option<DataType> {
    match data_type {
        DataType::Null if drop_nulls => None,
        DataType::Null => Some(DataType::String),
        DataType::Array { element, .. } => canonical(*element, drop_nulls)
            .map(|element| DataType::Array { element: Box::new(element), contains_null: true }),
        DataType::Struct(schema) => {
            let fields: Vec<_> = schema
                .fields
                .into_iter()
                .filter(|field| !field.name.is_empty())
                .filter_map(|field| {
                    canonical(field.data_type, drop_nulls)
                        .map(|data_type| nullable_field(&field.name, data_type))
                })
                .collect();
            (!fields.is_empty()).then_some(DataType::Struct(Schema { fields }))
        }
        other => Some(other),
    }
}
