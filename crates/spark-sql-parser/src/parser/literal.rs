//! Numbers and typed literals.

use super::{Parsed, Parser};
use crate::ast::{CastMode, Expr, Literal};
use crate::datetime::{Zone, format_timestamp, parse_date, parse_timestamp};
use crate::error::{ErrorKind, SparkError};
use crate::lexer::TokenKind;
use crate::syntax;
use crate::types::DataType;

const MAX_PRECISION: usize = 38;
const MICROS_PER_SECOND: i64 = 1_000_000;

impl Parser<'_> {
    /// A numeric literal with its sign.
    pub(super) fn number(&mut self) -> Parsed<Expr> {
        let start = self.at;
        let sign = if self.take_symbol("-") { "-" } else { "" };
        let kind = self.peek().clone();
        let written = self.source(self.token(0));
        let text = format!("{sign}{written}");
        self.advance();
        let cut = |suffix: usize| &text[..text.len() - suffix];
        let literal = match kind {
            TokenKind::Integer => integer(&text),
            TokenKind::Long => cut(1).parse().ok().map(Literal::Long),
            TokenKind::Short => cut(1).parse().ok().map(Literal::Short),
            TokenKind::Byte => cut(1).parse().ok().map(Literal::Byte),
            TokenKind::Float => finite(cut(1)).map(|value| Literal::Float(value as f32)),
            TokenKind::Double => finite(cut(1)).map(Literal::Double),
            TokenKind::Exponent if !self.options.exponent_literal_as_decimal => {
                finite(&text).map(Literal::Double)
            }
            TokenKind::Decimal | TokenKind::Exponent => decimal(&text),
            TokenKind::BigDecimal => decimal(cut(2)),
            _ => return Err(self.unexpected()),
        };
        literal.map(Expr::Literal).ok_or_else(|| self.number_error(start, &kind, &text))
    }

    fn number_error(&self, start: usize, kind: &TokenKind, text: &str) -> SparkError {
        let place = self.read_since(start);
        let (suffix, name, low, high) = match kind {
            TokenKind::Byte => (1, "tinyint", "-128", "127"),
            TokenKind::Short => (1, "smallint", "-32768", "32767"),
            TokenKind::Long => (1, "bigint", "-9223372036854775808", "9223372036854775807"),
            TokenKind::Float => (1, "float", "-3.4028234663852886E+38", "3.4028234663852886E+38"),
            TokenKind::Double | TokenKind::Exponent => (
                usize::from(*kind == TokenKind::Double),
                "double",
                "-1.7976931348623157E+308",
                "1.7976931348623157E+308",
            ),
            _ => {
                let digits = text.bytes().filter(u8::is_ascii_digit).count();
                return syntax::precision_exceeded(digits);
            }
        };
        let raw = &text[..text.len() - suffix];
        SparkError::new(
            ErrorKind::Parse,
            "INVALID_NUMERIC_LITERAL_RANGE",
            "22003",
            format!(
                "Numeric literal {raw} is outside the valid range for {name} with minimum value of {low} and maximum \
                 value of {high}. Please adjust the value accordingly."
            ),
        )
        .with("rawStrippedQualifier", raw)
        .with("typeName", name)
        .with("minValue", low)
        .with("maxValue", high)
        .at(place)
    }

    /// `DATE '…'` and its like; `None` when the word is no literal's type.
    pub(super) fn typed_literal(&mut self, word: &str) -> Option<Parsed<Expr>> {
        let rule: fn(&str) -> Option<Expr> = match word {
            "DATE" => date,
            "TIMESTAMP" | "TIMESTAMP_LTZ" => timestamp,
            "TIMESTAMP_NTZ" => timestamp_ntz,
            "X" => binary,
            _ => return None,
        };
        let start = self.at;
        self.advance();
        let text = self.expect_string();
        Some(
            text.and_then(|text| {
                rule(&text).ok_or_else(|| self.invalid_literal(start, word, &text))
            }),
        )
    }

    /// `R'…'` and other words before a string.
    pub(super) fn unsupported_literal(&mut self) -> SparkError {
        let start = self.at;
        let name = self.word(0).unwrap_or_default().to_owned();
        self.advance();
        self.advance();
        let supported = r#""DATE", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP", "INTERVAL", "X""#;
        SparkError::new(
            ErrorKind::Parse,
            "UNSUPPORTED_TYPED_LITERAL",
            "0A000",
            format!("Literals of the type \"{name}\" are not supported. Supported types are {supported}."),
        )
        .with("unsupportedType", format!("\"{name}\""))
        .with("supportedTypes", supported)
        .at(self.read_since(start))
    }

    pub(super) fn invalid_literal(&self, start: usize, word: &str, text: &str) -> SparkError {
        let shown = text.replace('\\', "\\\\").replace('\'', "\\'");
        SparkError::new(
            ErrorKind::Parse,
            "INVALID_TYPED_LITERAL",
            "42604",
            format!("The value of the typed literal \"{word}\" is invalid: '{shown}'."),
        )
        .with("valueType", format!("\"{word}\""))
        .with("value", format!("'{shown}'"))
        .at(self.read_since(start))
    }
}

/// The narrowest of int, bigint and decimal.
fn integer(text: &str) -> Option<Literal> {
    if let Ok(value) = text.parse() {
        return Some(Literal::Integer(value));
    }
    match text.parse() {
        Ok(value) => Some(Literal::Long(value)),
        Err(_) => decimal(text),
    }
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// An exact number: its digits, and the precision and scale Java's `BigDecimal` gives them.
fn decimal(text: &str) -> Option<Literal> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut value: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mut scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    while scale < 0 {
        value = value.checked_mul(10)?;
        scale += 1;
    }
    let digits = value.unsigned_abs().to_string().len();
    let scale_digits = usize::try_from(scale).ok()?;
    let precision = digits.max(scale_digits);
    if precision > MAX_PRECISION {
        return None;
    }
    Some(Literal::Decimal { value, precision: precision as u8, scale: scale as i8 })
}

fn date(text: &str) -> Option<Expr> {
    if let Some(days) = parse_date(text) {
        return Some(Expr::Literal(Literal::Date(days)));
    }
    let today = || Expr::call("current_date", Vec::new());
    let shifted = |function: &str| {
        Expr::call(
            function,
            vec![Expr::call("current_date", Vec::new()), Expr::Literal(Literal::Integer(1))],
        )
    };
    match text.trim().to_ascii_lowercase().as_str() {
        "epoch" => Some(Expr::Literal(Literal::Date(0))),
        "now" | "today" => Some(today()),
        "tomorrow" => Some(shifted("date_add")),
        "yesterday" => Some(shifted("date_sub")),
        _ => None,
    }
}

/// Without a fixed offset the instant depends on the session's zone: a cast of the text says so.
fn timestamp(text: &str) -> Option<Expr> {
    let in_session_zone = |text: String| Expr::Cast {
        expr: Box::new(Expr::Literal(Literal::String(text))),
        to: DataType::Timestamp,
        mode: CastMode::Ansi,
    };
    match parse_timestamp(text) {
        Some((local, Zone::None)) => Some(in_session_zone(format_timestamp(local))),
        Some((local, Zone::Offset(seconds))) => {
            Some(Expr::Literal(Literal::Timestamp(local.checked_sub(seconds * MICROS_PER_SECOND)?)))
        }
        Some((_, Zone::Region(_))) => Some(in_session_zone(text.trim().to_owned())),
        None => match text.trim().to_ascii_lowercase().as_str() {
            "epoch" => Some(Expr::Literal(Literal::Timestamp(0))),
            "now" => Some(Expr::call("current_timestamp", Vec::new())),
            _ => None,
        },
    }
}

fn timestamp_ntz(text: &str) -> Option<Expr> {
    match parse_timestamp(text)? {
        (local, Zone::None) => Some(Expr::Literal(Literal::TimestampNtz(local))),
        _ => None,
    }
}

/// `X'1F'`; an odd number of digits is filled with a zero in front.
fn binary(text: &str) -> Option<Expr> {
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let padded = if text.len().is_multiple_of(2) { text.to_owned() } else { format!("0{text}") };
    let bytes: Option<Vec<u8>> = (0..padded.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&padded[at..at + 2], 16).ok())
        .collect();
    Some(Expr::Literal(Literal::Binary(bytes?)))
}
