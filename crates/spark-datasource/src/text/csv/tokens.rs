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
        if splitter.at_delimiter() {
            splitter.at += dialect.delimiter.len();
        } else {
            // The record's end: a line feed or the end of the text.
            return (splitter.at + 1).min(bytes.len().max(splitter.at));
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
            self.quoted(start);
        } else {
            self.at = start;
            self.unquoted(start);
        }
    }

    fn unquoted(&mut self, start: usize) {
        while !self.at_value_end(self.at) {
            self.at += 1;
        }
        let (start, end) = trim(self.dialect, self.bytes, start, self.at);
        self.push(start, end, false, false);
    }

    /// Reads a value whose opening quote stands at `open`.
    fn quoted(&mut self, open: usize) {
        let Dialect { quote, escape, escape_escape, .. } = *self.dialect;
        let scratch_start = self.tokens.scratch.len();
        // Text from here to `at` is still to be copied.
        let mut copied = self.at;
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            if Some(byte) == quote {
                let next = self.at + 1;
                let doubled = self.bytes.get(next).copied() == quote;
                if doubled && escape == quote {
                    self.copy(copied, next);
                    self.at = next + 1;
                    copied = self.at;
                    continue;
                }
                if self.closes(next) {
                    self.copy(copied, self.at);
                    self.close(scratch_start, next);
                    return;
                }
                if doubled && self.closes(next + 1) {
                    // A doubled quote that is no escape stands for one where the value ends.
                    self.copy(copied, next);
                    self.close(scratch_start, next + 1);
                    return;
                }
                // A quote inside: the value is taken as it stands, up to the delimiter.
                self.raw(open, scratch_start);
                return;
            }
            if Some(byte) == escape
                && let Some(&next) = self.bytes.get(self.at + 1)
            {
                let escapes = Some(next) == quote
                    || (Some(next) == escape && escape_escape == escape && escape != quote);
                if escapes {
                    self.copy(copied, self.at);
                    copied = self.at + 1;
                    self.at += 2;
                    continue;
                }
            }
            self.at += 1;
        }
        // Never closed: what there is, without the opening quote.
        self.copy(copied, self.at);
        let end = self.tokens.scratch.len();
        self.push(scratch_start, end, true, true);
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.tokens.scratch.push_str(self.text.get(from..to).unwrap_or_default());
    }

    /// Whether a quote before `at` ends the value: blanks may follow, then a delimiter or the end.
    fn closes(&self, at: usize) -> bool {
        let mut at = at;
        while !self.at_value_end(at) && self.bytes[at] <= b' ' {
            at += 1;
        }
        self.at_value_end(at)
    }

    fn close(&mut self, scratch_start: usize, mut at: usize) {
        while !self.at_value_end(at) {
            at += 1;
        }
        self.at = at;
        let end = self.tokens.scratch.len();
        self.push(scratch_start, end, true, true);
    }

    fn raw(&mut self, open: usize, scratch_start: usize) {
        self.tokens.scratch.truncate(scratch_start);
        while !self.at_value_end(self.at) {
            self.at += 1;
        }
        let (start, end) = trim(self.dialect, self.bytes, open, self.at);
        self.push(start, end, false, false);
    }
}
