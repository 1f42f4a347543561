//! Interval literals.

use super::{Parsed, Parser};
use crate::ast::{Expr, Literal};
use crate::error::{ErrorKind, SparkError};
use crate::lexer::TokenKind;

const MICROS_PER_SECOND: i128 = 1_000_000;
const MICROS_PER_DAY: i128 = 86_400 * MICROS_PER_SECOND;

/// Units from the largest; the first two are of year-month intervals.
const FIELDS: [&str; 6] = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"];

/// One `value unit` pair; values are kept as text until the unit says what they may be.
struct Part {
    value: String,
    unit: String,
}

/// A sum of parts, exact.
#[derive(Default)]
struct Total {
    months: i128,
    micros: i128,
    year_month: bool,
    day_time: bool,
}

impl Parser<'_> {
    /// Whether INTERVAL begins a literal here and is not a column's name.
    pub(super) fn at_interval(&self) -> bool {
        let signed = self.symbol_ahead(1, "-") || self.symbol_ahead(1, "+");
        let value = 1 + usize::from(signed);
        match &self.token(value).kind {
            TokenKind::String(_) => true,
            TokenKind::Integer | TokenKind::Decimal => {
                self.word(value + 1).is_some_and(|unit| known(unit).is_some())
            }
            _ => false,
        }
    }

    pub(super) fn interval(&mut self) -> Parsed<Expr> {
        let start = self.at;
        self.expect_word("INTERVAL")?;
        let whole_text = matches!(self.peek(), TokenKind::String(_))
            && self.word(1).is_none_or(|unit| known(unit).is_none());
        if whole_text {
            let text = self.expect_string()?;
            let parts = split_text(&text);
            return self.interval_sum(start, parts);
        }
        let first = self.interval_part()?;
        if self.at_word("TO") && self.word(1).is_some_and(|unit| FIELDS.contains(&unit)) {
            self.advance();
            let last = self.identifier()?.to_uppercase();
            return self.unit_to_unit(start, &first, &last);
        }
        let mut parts = vec![first];
        while self.at_interval_part() {
            parts.push(self.interval_part()?);
        }
        self.interval_sum(start, Some(parts))
    }

    fn at_interval_part(&self) -> bool {
        let value = usize::from(self.at_symbol("-") || self.at_symbol("+"));
        matches!(
            self.token(value).kind,
            TokenKind::Integer | TokenKind::Decimal | TokenKind::String(_)
        ) && self.word(value + 1).is_some_and(|unit| known(unit).is_some())
    }

    fn interval_part(&mut self) -> Parsed<Part> {
        let negative = self.take_symbol("-");
        if !negative {
            self.take_symbol("+");
        }
        let text = match self.peek() {
            TokenKind::String(text) => text.trim().to_owned(),
            TokenKind::Integer | TokenKind::Decimal => self.source(self.token(0)).to_owned(),
            _ => return Err(self.unexpected()),
        };
        self.advance();
        let value = match (negative, text.strip_prefix('-')) {
            (false, _) => text,
            (true, Some(positive)) => positive.to_owned(),
            (true, None) => format!("-{}", text.strip_prefix('+').unwrap_or(&text)),
        };
        let unit = self.identifier()?.to_uppercase();
        Ok(Part { value, unit })
    }

    fn interval_sum(&self, start: usize, parts: Option<Vec<Part>>) -> Parsed<Expr> {
        let mut total = Total::default();
        let added = parts.is_some_and(|parts| {
            !parts.is_empty() && parts.iter().all(|part| total.add(part).is_some())
        });
        if !added {
            return Err(self.invalid_interval(start));
        }
        if total.year_month && total.day_time {
            let text = self.source_between(start, self.at);
            return Err(self.interval_error(
                start,
                "_LEGACY_ERROR_TEMP_0029",
                &format!("Cannot mix year-month and day-time fields: {text}."),
            ));
        }
        total.literal().ok_or_else(|| self.invalid_interval(start))
    }

    /// `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL '1 2:3:4.5' DAY TO SECOND` and their parts.
    fn unit_to_unit(&self, start: usize, part: &Part, last: &str) -> Parsed<Expr> {
        let place = |unit: &str| FIELDS.iter().position(|field| *field == unit);
        let (Some(from), Some(to)) = (place(&part.unit), place(last)) else {
            return Err(self.unexpected());
        };
        if from >= to || (from < 2) != (to < 2) {
            let written = self.source_between(start, self.at).to_lowercase();
            let reason = format!("Cannot support ({written}) expression.");
            return Err(self.bad_format(
                start,
                "UNSUPPORTED_FROM_TO_EXPRESSION",
                &part.value,
                &reason,
            ));
        }
        let kind = if from < 2 { "year-month" } else { "day-time" };
        let parts = fields_of(&part.value, from, to).ok_or_else(|| {
            let reason = format!("Error parsing interval {kind} string.");
            self.bad_format(start, "INTERVAL_PARSING", &part.value, &reason)
        })?;
        self.interval_sum(start, Some(parts))
    }

    fn invalid_interval(&self, start: usize) -> SparkError {
        if let (TokenKind::String(text), 2) = (&self.tokens[start + 1].kind, self.at - start) {
            return self.invalid_literal(start, "INTERVAL", text);
        }
        let text = self.source_between(start + 1, self.at).to_owned();
        self.bad_format(
            start,
            "INVALID_VALUE",
            &text,
            "The value is out of range or not of its unit.",
        )
    }

    fn bad_format(&self, start: usize, kind: &str, input: &str, reason: &str) -> SparkError {
        let message = format!(
            "Error parsing '{input}' to interval. Please ensure that the value provided is in a valid format for \
             defining an interval. You can reference the documentation for the correct format. {reason}"
        );
        self.interval_error(start + 1, &format!("INVALID_INTERVAL_FORMAT.{kind}"), &message)
            .with("input", input)
    }

    fn interval_error(&self, start: usize, condition: &str, text: &str) -> SparkError {
        SparkError::new(ErrorKind::Parse, condition, "22006", text).at(self.read_since(start))
    }
}

/// The unit's plain name.
fn known(unit: &str) -> Option<&'static str> {
    const UNITS: [&str; 10] = [
        "YEAR",
        "MONTH",
        "WEEK",
        "DAY",
        "HOUR",
        "MINUTE",
        "SECOND",
        "MILLISECOND",
        "MICROSECOND",
        "NANOSECOND",
    ];
    let singular = unit.strip_suffix('S').unwrap_or(unit);
    UNITS.into_iter().find(|name| *name == singular)
}

impl Total {
    fn add(&mut self, part: &Part) -> Option<()> {
        let unit = known(&part.unit)?;
        let whole = || part.value.trim().trim_start_matches('+').parse::<i128>().ok();
        let micros = match unit {
            "YEAR" | "MONTH" => {
                let months = if unit == "YEAR" { whole()?.checked_mul(12)? } else { whole()? };
                self.months = self.months.checked_add(months)?;
                self.year_month = true;
                return Some(());
            }
            "WEEK" => whole()?.checked_mul(7 * MICROS_PER_DAY)?,
            "DAY" => whole()?.checked_mul(MICROS_PER_DAY)?,
            "HOUR" => whole()?.checked_mul(3600 * MICROS_PER_SECOND)?,
            "MINUTE" => whole()?.checked_mul(60 * MICROS_PER_SECOND)?,
            "SECOND" => seconds(&part.value)?,
            "MILLISECOND" => whole()?.checked_mul(1000)?,
            "MICROSECOND" => whole()?,
            _ => whole()? / 1000,
        };
        self.day_time = true;
        self.micros = self.micros.checked_add(micros)?;
        Some(())
    }

    fn literal(&self) -> Option<Expr> {
        Some(Expr::Literal(if self.year_month {
            Literal::YearMonthInterval(i32::try_from(self.months).ok()?)
        } else {
            Literal::DayTimeInterval(i64::try_from(self.micros).ok()?)
        }))
    }
}

/// Seconds with up to nine digits of fraction, cut to microseconds.
fn seconds(text: &str) -> Option<i128> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: i128 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    whole.checked_mul(MICROS_PER_SECOND)?.checked_add(fraction)?.checked_mul(sign)
}

/// `'[interval] 1 year 2 months'`.
fn split_text(text: &str) -> Option<Vec<Part>> {
    let mut words = text.split_whitespace().peekable();
    if words.peek().is_some_and(|word| word.eq_ignore_ascii_case("interval")) {
        words.next();
    }
    let mut parts = Vec::new();
    while let Some(word) = words.next() {
        let mut value = word.to_owned();
        if matches!(word, "-" | "+") {
            value.push_str(words.next()?);
        }
        parts.push(Part { value, unit: words.next()?.to_uppercase() });
    }
    Some(parts)
}

/// Splits `1 2:3:4.5` by the fields it holds.
fn fields_of(text: &str, from: usize, to: usize) -> Option<Vec<Part>> {
    let text = text.trim();
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = Vec::new();
    for (field, unit) in FIELDS.iter().enumerate().take(to + 1).skip(from) {
        let separator = match field {
            0 => '-',
            2 => ' ',
            _ => ':',
        };
        let value;
        (value, rest) = if field == to { (rest, "") } else { rest.split_once(separator)? };
        let digits = value.trim();
        if !digits.starts_with(|c: char| c.is_ascii_digit())
            || !in_range(digits, field, field == from)
        {
            return None;
        }
        parts.push(Part { value: format!("{sign}{digits}"), unit: (*unit).to_owned() });
    }
    Some(parts)
}

/// Fields after the first are bounded as on a clock.
fn in_range(digits: &str, field: usize, first: bool) -> bool {
    let whole = digits.split_once('.').map_or(digits, |(whole, _)| whole);
    let Ok(value) = whole.parse::<u64>() else { return false };
    first || value <= [u64::MAX, 11, u64::MAX, 23, 59, 59][field]
}
