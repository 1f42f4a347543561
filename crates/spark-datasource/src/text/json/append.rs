//! JSON values into columns: `JacksonParser.makeConverter`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::tape::{Kind, Tape};
use crate::text::columns::{ColumnBuilder, Conversions, decimal};
use crate::values::number;

/// One record's text and values.
pub(super) struct Record<'a> {
    pub(super) text: &'a str,
    pub(super) tape: &'a Tape,
    pub(super) conversions: &'a Conversions,
    pub(super) non_numeric_numbers: bool,
}

/// How a value went into its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    /// The value is there, but something inside a struct of it is null for want of its type.
    Partial,
    /// The value has not the column's type; null was appended.
    Bad,
}

impl Outcome {
    /// The worse of two.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Bad, _) | (_, Self::Bad) => Self::Bad,
            (Self::Partial, _) | (_, Self::Partial) => Self::Partial,
            (Self::Good, Self::Good) => Self::Good,
        }
    }
}

impl From<bool> for Outcome {
    fn from(fits: bool) -> Self {
        if fits { Self::Good } else { Self::Bad }
    }
}

impl Record<'_> {
    fn raw(&self, node: usize) -> &str {
        let node = &self.tape.nodes[node];
        self.text.get(node.start..node.end).unwrap_or_default()
    }

    pub(super) fn append(
        &self,
        builder: &mut ColumnBuilder,
        node: usize,
        scratch: &mut String,
    ) -> Outcome {
        let kind = self.tape.nodes[node].kind;
        if kind == Kind::Null {
            builder.append_null();
            return Outcome::Good;
        }
        macro_rules! push {
            ($builder:expr, $value:expr) => {{
                let value = $value;
                $builder.append_option(value);
                Outcome::from(value.is_some())
            }};
        }
        let integer = (kind == Kind::Integer).then(|| self.raw(node));
        match builder {
            ColumnBuilder::Null(builder) => {
                builder.append_null();
                Outcome::Bad
            }
            ColumnBuilder::Boolean(builder) => push!(
                builder,
                match kind {
                    Kind::True => Some(true),
                    Kind::False => Some(false),
                    _ => None,
                }
            ),
            ColumnBuilder::Byte(builder) => push!(builder, integer.and_then(number::integer)),
            ColumnBuilder::Short(builder) => push!(builder, integer.and_then(number::integer)),
            ColumnBuilder::Integer(builder) => push!(builder, integer.and_then(number::integer)),
            ColumnBuilder::Long(builder) => push!(builder, integer.and_then(number::integer)),
            ColumnBuilder::Float(builder) => {
                push!(builder, self.double(node, scratch).map(|value| self.float(node, value)))
            }
            ColumnBuilder::Double(builder) => push!(builder, self.double(node, scratch)),
            ColumnBuilder::Decimal(builder, precision, scale) => push!(
                builder,
                match kind {
                    Kind::Integer | Kind::Float => decimal(self.raw(node), *precision, *scale),
                    Kind::String =>
                        decimal(self.tape.string(node, self.text, scratch), *precision, *scale),
                    _ => None,
                }
            ),
            ColumnBuilder::String(builder) => {
                builder.append_value(match kind {
                    Kind::String => self.tape.string(node, self.text, scratch),
                    _ => self.raw(node),
                });
                Outcome::Good
            }
            ColumnBuilder::Binary(builder) => {
                let bytes = self.string(node, scratch).and_then(|text| STANDARD.decode(text).ok());
                let outcome = Outcome::from(bytes.is_some());
                builder.append_option(bytes);
                outcome
            }
            ColumnBuilder::Date(builder) => {
                push!(
                    builder,
                    self.string(node, scratch).and_then(|text| self.conversions.date(text))
                )
            }
            ColumnBuilder::Timestamp(builder) => push!(
                builder,
                match kind {
                    // Whole numbers are seconds.
                    Kind::Integer => number::integer::<i64>(self.raw(node))
                        .and_then(|seconds| seconds.checked_mul(1_000_000)),
                    _ =>
                        self.string(node, scratch).and_then(|text| self.conversions.timestamp(text)),
                }
            ),
            ColumnBuilder::TimestampNtz(builder) => push!(
                builder,
                self.string(node, scratch).and_then(|text| self.conversions.timestamp_ntz(text))
            ),
            ColumnBuilder::List(list) => {
                if kind != Kind::Array {
                    list.append_null();
                    return Outcome::Bad;
                }
                let mut outcome = Outcome::Good;
                for item in self.tape.parts(node) {
                    outcome = outcome.and(self.append(&mut list.items, item, scratch));
                    list.count_item();
                }
                list.end(outcome != Outcome::Bad);
                outcome
            }
            ColumnBuilder::Map(map) => {
                if kind != Kind::Object {
                    map.append_null();
                    return Outcome::Bad;
                }
                let mut outcome = Outcome::Good;
                for name in self.tape.parts(node) {
                    map.append_key(self.tape.string(name, self.text, scratch), self.conversions);
                    outcome = outcome.and(self.append(&mut map.values, name + 1, scratch));
                }
                map.end(outcome != Outcome::Bad);
                outcome
            }
            ColumnBuilder::Struct(parts) => {
                if kind != Kind::Object {
                    parts.append_null();
                    return Outcome::Bad;
                }
                let mut found = vec![None; parts.names.len()];
                self.find(node, &parts.names, &mut found, scratch);
                let mut outcome = Outcome::Good;
                for (builder, value) in parts.columns.iter_mut().zip(found) {
                    match value {
                        Some(value) => {
                            if self.append(builder, value, scratch) != Outcome::Good {
                                outcome = Outcome::Partial;
                            }
                        }
                        None => builder.append_null(),
                    }
                }
                parts.end();
                outcome
            }
        }
    }

    /// The values of an object's fields called `names`; of repeated names the last one counts.
    pub(super) fn find(
        &self,
        object: usize,
        names: &[String],
        found: &mut [Option<usize>],
        scratch: &mut String,
    ) {
        let mut expected = 0;
        for part in self.tape.parts(object) {
            let name = self.tape.string(part, self.text, scratch);
            // Fields mostly come in the order of the schema.
            let position = match names.get(expected) {
                Some(next) if next == name => Some(expected),
                _ => names.iter().position(|known| known == name),
            };
            if let Some(position) = position {
                found[position] = Some(part + 1);
                expected = position + 1;
            }
        }
    }

    fn string<'b>(&'b self, node: usize, scratch: &'b mut String) -> Option<&'b str> {
        (self.tape.nodes[node].kind == Kind::String)
            .then(|| self.tape.string(node, self.text, scratch))
    }

    fn double(&self, node: usize, scratch: &mut String) -> Option<f64> {
        let text = match self.tape.nodes[node].kind {
            Kind::Integer | Kind::Float => self.raw(node),
            Kind::String if self.non_numeric_numbers => {
                // Only the special values may be given as strings.
                let text = self.tape.string(node, self.text, scratch);
                return special(text);
            }
            _ => return None,
        };
        special(text).or_else(|| text.parse().ok())
    }

    /// A float read from its own text, so that it is rounded once.
    fn float(&self, node: usize, value: f64) -> f32 {
        self.raw(node).parse().unwrap_or(value as f32)
    }
}

fn special(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "+INF" | "INF" | "+Infinity" | "Infinity" => Some(f64::INFINITY),
        "-INF" | "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}
