//! Cutting a CSV record into values, with univocity's answers for quotes in odd places.

use memchr::{memchr, memmem};
use serde::{Deserialize, Serialize};

use crate::error::{self, Result};
use crate::options::Options;

/// The characters that have a meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dialect {
    pub(crate) delimiter: Vec<u8>,
    pub(crate) quote: Option<u8>,
    pub(crate) escape: Option<u8>,
    /// Escapes the escape inside quotes; by default the escape itself where it is not the quote.
    pub(crate) escape_escape: Option<u8>,
    pub(crate) comment: Option<u8>,
    pub(crate) trim_start: bool,
    pub(crate) trim_end: bool,
    pub(crate) max_columns: usize,
}

/// `CSVOptions.maxColumns`' default.
const MAX_COLUMNS: i64 = 20_480;

impl Dialect {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let (key, delimiter) = match (options.get("sep"), options.get("delimiter")) {
            (Some(text), _) => ("sep", text),
            (None, Some(text)) => ("delimiter", text),
            (None, None) => ("sep", ","),
        };
        let delimiter = unescape_delimiter(key, delimiter)?;
        let quote = options.char("quote", Some(b'"'))?;
        let escape = options.char("escape", Some(b'\\'))?;
        let default_escape = if escape == quote { None } else { escape };
        let max_columns = options.integer("maxColumns")?.unwrap_or(MAX_COLUMNS);
        Ok(Self {
            delimiter,
            quote,
            escape,
            escape_escape: options.char("charToEscapeQuoteEscaping", default_escape)?,
            comment: options.char("comment", None)?,
            trim_start: options.bool("ignoreLeadingWhiteSpace", false)?,
            trim_end: options.bool("ignoreTrailingWhiteSpace", false)?,
            max_columns: usize::try_from(max_columns).unwrap_or(usize::MAX),
        })
    }

    fn delimiter_at(&self, text: &[u8], at: usize) -> bool {
        text[at..].starts_with(&self.delimiter)
    }

    /// Spark drops lines that are blank or comments before they are parsed.
    pub(crate) fn is_skipped(&self, line: &str) -> bool {
        let blank = line.bytes().all(|byte| byte <= b' ');
        blank || (self.comment.is_some() && line.as_bytes().first() == self.comment.as_ref())
    }
}

/// `CSVExprUtils.toDelimiterStr`: `\t` and its like are allowed.
fn unescape_delimiter(key: &str, text: &str) -> Result<Vec<u8>> {
    if text.is_empty() {
        return Err(error::bad_option(key, text, "the delimiter cannot be empty"));
    }
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next() {
            Some('t') => out.push(b'\t'),
            Some('r') => out.push(b'\r'),
            Some('b') => out.push(8),
            Some('f') => out.push(12),
            Some('n') => out.push(b'\n'),
            Some(same @ ('\\' | '"' | '\'')) => out.push(same as u8),
            Some('0') | Some('u') if text == "\\u0000" || text == "\\0" => {
                out.push(0);
                break;
            }
            _ => {
                return Err(error::bad_option(
                    key,
                    text,
                    "a backslash must be followed by one of t, r, n, b, f, \\ or a quote",
                ));
            }
        }
    }
    Ok(out)
}

/// One value of a record.
#[derive(Debug, Clone, Copy)]
struct Token {
    start: usize,
    end: usize,
    in_scratch: bool,
    quoted: bool,
}

/// The values of a record; reused from record to record.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    tokens: Vec<Token>,
    scratch: String,
}

impl Tokens {
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Value number `index` of the record in `text`, and whether it was quoted.
    pub(crate) fn get<'a>(&'a self, text: &'a str, index: usize) -> Option<(&'a str, bool)> {
        let token = self.tokens.get(index)?;
        let source = if token.in_scratch { self.scratch.as_str() } else { text };
        Some((source.get(token.start..token.end)?, token.quoted))
    }
}

/// Cuts the record at `at`. With `multi_line` a line feed outside quotes ends it, else the text is the record. Values after
/// the first `wanted` are passed over where that is quick. Answers where the next record begins.
pub(crate) fn split(
    dialect: &Dialect,
    text: &str,
    at: usize,
    multi_line: bool,
    wanted: usize,
    tokens: &mut Tokens,
) -> usize {
    tokens.tokens.clear();
    tokens.scratch.clear();
    let bytes = text.as_bytes();
    let no_quotes = dialect.quote.is_none_or(|quote| memchr(quote, &bytes[at..]).is_none());
    if no_quotes && !multi_line {
        split_plain(dialect, bytes, at, wanted, tokens);
        return bytes.len();
    }
    let mut splitter = Splitter { dialect, text, bytes, at, multi_line, tokens };
    loop {
        splitter.value();
        if !multi_line && splitter.tokens.len() >= wanted {
            return bytes.len();
        }
        if splitter.at_delimiter() {
            splitter.at += dialect.delimiter.len();
        } else {
            // The record's end: a line feed or the end of the text.
            return (splitter.at + 1).min(bytes.len());
        }
    }
}

/// A record without a quote in it.
fn split_plain(dialect: &Dialect, bytes: &[u8], at: usize, wanted: usize, tokens: &mut Tokens) {
    let mut start = at;
    let mut push = |start: usize, end: usize| {
        let (start, end) = trim(dialect, bytes, start, end);
        tokens.tokens.push(Token { start, end, in_scratch: false, quoted: false });
        tokens.tokens.len() >= wanted
    };
    if let [delimiter] = dialect.delimiter[..] {
        for end in memchr::memchr_iter(delimiter, &bytes[at..]) {
            if push(start, at + end) {
                return;
            }
            start = at + end + 1;
        }
    } else {
        while let Some(found) = memmem::find(&bytes[start..], &dialect.delimiter) {
            if push(start, start + found) {
                return;
            }
            start += found + dialect.delimiter.len();
        }
    }
    push(start, bytes.len());
}

fn trim(dialect: &Dialect, bytes: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    if dialect.trim_start {
        while start < end && bytes[start] <= b' ' {
            start += 1;
        }
    }
    if dialect.trim_end {
        while start < end && bytes[end - 1] <= b' ' {
            end -= 1;
        }
    }
    (start, end)
}

struct Splitter<'a> {
    dialect: &'a Dialect,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    multi_line: bool,
    tokens: &'a mut Tokens,
}

impl Splitter<'_> {
    fn at_delimiter(&self) -> bool {
        self.at < self.bytes.len() && self.dialect.delimiter_at(self.bytes, self.at)
    }

    fn at_end(&self, at: usize) -> bool {
        at >= self.bytes.len() || (self.multi_line && self.bytes[at] == b'\n')
    }

    fn at_value_end(&self, at: usize) -> bool {
        self.at_end(at) || self.dialect.delimiter_at(self.bytes, at)
    }

    fn push(&mut self, start: usize, end: usize, in_scratch: bool, quoted: bool) {
        self.tokens.tokens.push(Token { start, end, in_scratch, quoted });
    }

    /// Reads one value and stops at what ends it.
    fn value(&mut self) {
        let mut start = self.at;
        if self.dialect.trim_start {
            while !self.at_value_end(start) && self.bytes[start] <= b' ' {
                start += 1;
            }
        }
        if self.dialect.quote.is_some() && self.bytes.get(start).copied() == self.dialect.quote {
            self.at = start + 1;
            self.quoted();
        } else {
            self.at = start;
            self.unquoted(start);
        }
    }

    fn unquoted(&mut self, start: usize) {
        let rest = &self.bytes[self.at..];
        let length = match (&self.dialect.delimiter[..], self.multi_line) {
            ([delimiter], false) => memchr(*delimiter, rest),
            ([delimiter], true) => memchr::memchr2(*delimiter, b'\n', rest),
            (delimiter, false) => memmem::find(rest, delimiter),
            (_, true) => (0..rest.len()).find(|length| self.at_value_end(self.at + length)),
        };
        self.at = length.map_or(self.bytes.len(), |length| self.at + length);
        let (start, end) = trim(self.dialect, self.bytes, start, self.at);
        let doubled = self.dialect.delimiter.len() > 1
            && self.at >= self.bytes.len()
            && self.bytes.last().copied() == self.dialect.quote
            && end == self.at
            && end > start;
        if doubled {
            // With long delimiters a quote at the very end of the text is given twice.
            let scratch_start = self.tokens.scratch.len();
            self.copy(start, end);
            self.copy(end - 1, end);
            let scratch_end = self.tokens.scratch.len();
            return self.push(scratch_start, scratch_end, true, false);
        }
        self.push(start, end, false, false);
    }

    /// Reads a value whose opening quote stands before `at`: a walk over the bytes that knows the byte before, as
    /// univocity's parser does, so that quotes in odd places give the same odd values.
    fn quoted(&mut self) {
        let scratch_start = self.tokens.scratch.len();
        let raw = self.quoted_text(scratch_start);
        let mut end = self.tokens.scratch.len();
        if raw && self.dialect.trim_end {
            let text = &self.tokens.scratch.as_bytes()[scratch_start..end];
            end = scratch_start
                + text.iter().rposition(|byte| *byte > b' ').map_or(0, |last| last + 1);
        }
        self.push(scratch_start, end, true, true);
    }

    /// Collects the text of a quoted value and stops at what ends it. Answers whether an unescaped quote has made it a
    /// value that is taken as it stands.
    fn quoted_text(&mut self, scratch_start: usize) -> bool {
        let Dialect { quote, escape, .. } = *self.dialect;
        let Some(quote) = quote else { return false };
        if self.at >= self.bytes.len() {
            // A lone quote at the end of the text.
            self.tokens.scratch.push(char::from(quote));
            return false;
        }
        let empty = self.bytes[self.at] == quote
            && self.at + 1 < self.bytes.len()
            && self.at_value_end(self.at + 1);
        if empty && escape.is_none() {
            self.at += 1;
            return false;
        }
        let mut before = None;
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            let ends = byte <= b' ' || self.at_value_end(self.at);
            if before == Some(quote) && ends {
                return self.after_closing_quote(scratch_start, quote);
            }
            if byte != quote && Some(byte) != escape {
                if before == Some(quote) {
                    self.rest_as_it_stands(scratch_start, quote, self.at);
                    return true;
                }
                if before.is_some() && before == escape {
                    self.tokens.scratch.push(char::from(self.bytes[self.at - 1]));
                }
                let run = &self.bytes[self.at..];
                let length = match escape {
                    Some(escape) => memchr::memchr2(quote, escape, run),
                    None => memchr(quote, run),
                };
                let end = length.map_or(self.bytes.len(), |length| self.at + length);
                self.copy(self.at, end);
                before = length.map(|_| self.bytes[end]);
                self.at = end + 1;
            } else if before == Some(quote) && byte != quote {
                // An escape behind a closing quote: the value goes on without quotes, up to a delimiter, which is lost,
                // and then within quotes again.
                self.tokens.scratch.push(char::from(quote));
                before = self.unquoted_with_escapes(quote);
            } else {
                before = self.escape_or_quote(byte, before, quote);
                self.at += 1;
            }
        }
        false
    }

    /// A quote or an escape, told by what stands before it. Answers what it is for the byte behind it.
    fn escape_or_quote(&mut self, byte: u8, before: Option<u8>, quote: u8) -> Option<u8> {
        let Dialect { escape, escape_escape, .. } = *self.dialect;
        let scratch = &mut self.tokens.scratch;
        if Some(byte) == escape && before.is_some() && before == escape_escape {
            scratch.push(char::from(byte));
            None
        } else if before == escape {
            // Without an escape the first byte of a value counts as escaped.
            if byte == quote {
                scratch.push(char::from(quote));
                None
            } else {
                scratch.extend(before.map(char::from));
                Some(byte)
            }
        } else {
            if byte == quote && before == Some(quote) {
                scratch.push(char::from(quote));
            }
            Some(byte)
        }
    }

    /// Blanks may stand between a closing quote and the end of the value; anything else makes the quote part of it.
    fn after_closing_quote(&mut self, scratch_start: usize, quote: u8) -> bool {
        if self.at_value_end(self.at) {
            return false;
        }
        let blanks = self.at;
        while self.bytes[self.at] <= b' ' {
            self.at += 1;
            if self.at_value_end(self.at) {
                return false;
            }
        }
        let other = self.at;
        self.rest_as_it_stands(scratch_start, quote, blanks);
        let next_is_quote = self.bytes.get(other + 1) == Some(&quote);
        if self.at >= self.bytes.len() && next_is_quote && self.bytes[other] != quote {
            self.tokens.scratch.push(char::from(quote));
        }
        true
    }

    /// Takes the bytes from `from` to the end of the value behind what was collected, and gives the quotes back.
    fn rest_as_it_stands(&mut self, scratch_start: usize, quote: u8, from: usize) {
        // The byte at hand belongs to the value even if it looks like an end.
        self.at += 1;
        while !self.at_value_end(self.at) {
            self.at += 1;
        }
        self.tokens.scratch.insert(scratch_start, char::from(quote));
        self.tokens.scratch.push(char::from(quote));
        self.copy(from, self.at.min(self.bytes.len()));
    }

    /// Begins at an escape behind a closing quote and ends behind the delimiter or line feed that it loses.
    fn unquoted_with_escapes(&mut self, quote: u8) -> Option<u8> {
        let escape = self.dialect.escape;
        let mut before = Some(self.bytes[self.at]);
        let mut lost_ends = 0_usize;
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            if self.at_value_end(self.at) {
                let line_end = self.at_end(self.at);
                self.at += if line_end { 1 } else { self.dialect.delimiter.len() };
                before = Some(byte);
                if lost_ends == 0 {
                    return before;
                }
                lost_ends -= 1;
                continue;
            }
            if byte != quote && Some(byte) != escape {
                if before == Some(quote) {
                    self.tokens.scratch.push(char::from(quote));
                }
                let start = self.at;
                self.at += 1;
                while !self.text.is_char_boundary(self.at) {
                    self.at += 1;
                }
                self.copy(start, self.at);
                before = Some(byte);
            } else if before == Some(quote) && byte != quote {
                self.tokens.scratch.push(char::from(quote));
                before = Some(byte);
                lost_ends += 1;
            } else {
                before = self.escape_or_quote(byte, before, quote);
                self.at += 1;
            }
        }
        before
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.tokens.scratch.push_str(self.text.get(from..to).unwrap_or_default());
    }
}
