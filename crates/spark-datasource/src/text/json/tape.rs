//! A JSON text as a flat list of values, with Jackson's grammar and its leniencies.
//!
//! The whole record is read before anything is appended to columns, so a record with a syntax error leaves no trace. The
//! list is reused from record to record.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::options::Options;

/// Deepest nesting that is read, as Jackson's `StreamReadConstraints`.
const MAX_DEPTH: usize = 1000;

/// Departures from the grammar of JSON; names as Spark's options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leniency {
    comments: bool,
    unquoted_field_names: bool,
    single_quotes: bool,
    leading_zeros: bool,
    non_numeric_numbers: bool,
    backslash_any: bool,
    control_characters: bool,
}

impl Leniency {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            comments: options.bool("allowComments", false)?,
            unquoted_field_names: options.bool("allowUnquotedFieldNames", false)?,
            single_quotes: options.bool("allowSingleQuotes", true)?,
            leading_zeros: options.bool("allowNumericLeadingZeros", false)?,
            non_numeric_numbers: options.bool("allowNonNumericNumbers", true)?,
            backslash_any: options.bool("allowBackslashEscapingAnyCharacter", false)?,
            control_characters: options.bool("allowUnquotedControlChars", false)?,
        })
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Integer,
    /// With a fraction, an exponent, or one of NaN and the infinities.
    Float,
    String,
    Array,
    Object,
    /// The name of the field whose value follows.
    Name,
}

/// One value; `start..end` is its text, of strings and names what stands between the quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) escaped: bool,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Number of the first node behind this one and its parts.
    pub(crate) next: usize,
}

/// The values of a record, parents before their parts.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) nodes: Vec<Node>,
}

/// What reading a record gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Nothing but blanks.
    Empty,
    Value,
    Malformed,
}

impl Tape {
    /// Reads the first value of a text; as with Jackson, what follows it is not looked at.
    pub(crate) fn parse(&mut self, text: &str, leniency: &Leniency) -> Parsed {
        self.nodes.clear();
        let mut parser = Parser { bytes: text.as_bytes(), at: 0, nodes: &mut self.nodes, leniency };
        if parser.skip_blanks().is_none() {
            return Parsed::Malformed;
        }
        if parser.at >= parser.bytes.len() {
            return Parsed::Empty;
        }
        match parser.value(0) {
            Some(()) => Parsed::Value,
            None => Parsed::Malformed,
        }
    }

    /// Numbers of the elements of an array, or of the names of an object.
    pub(crate) fn parts(&self, node: usize) -> Parts<'_> {
        Parts { tape: self, at: node + 1, end: self.nodes[node].next }
    }

    /// The string of a node, escapes resolved into `scratch`.
    pub(crate) fn string<'a>(
        &self,
        node: usize,
        text: &'a str,
        scratch: &'a mut String,
    ) -> &'a str {
        let Node { start, end, escaped, .. } = self.nodes[node];
        let raw = text.get(start..end).unwrap_or_default();
        if !escaped {
            return raw;
        }
        scratch.clear();
        unescape(raw, scratch);
        scratch
    }
}

/// Iterates over the parts of an array or object.
pub(crate) struct Parts<'a> {
    tape: &'a Tape,
    at: usize,
    end: usize,
}

impl Iterator for Parts<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.at >= self.end {
            return None;
        }
        let part = self.at;
        self.at = self.tape.nodes[part].next;
        Some(part)
    }
}

fn unescape(raw: &str, out: &mut String) {
    let mut chars = raw.chars();
    let mut pending_high: Option<u32> = None;
    while let Some(c) = chars.next() {
        let escaped_unit = if c == '\\' {
            match chars.next() {
                Some('u') => {
                    let hex: String = chars.by_ref().take(4).collect();
                    u32::from_str_radix(&hex, 16).ok()
                }
                Some(other) => Some(match other {
                    'n' => 10,
                    'r' => 13,
                    't' => 9,
                    'b' => 8,
                    'f' => 12,
                    same => same as u32,
                }),
                None => None,
            }
        } else {
            Some(c as u32)
        };
        let Some(unit) = escaped_unit else { continue };
        match (pending_high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                let code = 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00);
                out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                continue;
            }
            // Half of a pair is a question mark in Java's UTF-8.
            (Some(_), _) => out.push('?'),
            (None, _) => {}
        }
        match unit {
            0xd800..=0xdbff => pending_high = Some(unit),
            0xdc00..=0xdfff => out.push('?'),
            _ => out.push(char::from_u32(unit).unwrap_or('\u{fffd}')),
        }
    }
    if pending_high.is_some() {
        out.push('?');
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: &'a mut Vec<Node>,
    leniency: &'a Leniency,
}

/// `None` is a syntax error in all of these.
impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize, escaped: bool) {
        let next = self.nodes.len() + 1;
        self.nodes.push(Node { kind, escaped, start, end, next });
    }

    fn skip_blanks(&mut self) -> Option<()> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'/') if self.leniency.comments => self.comment()?,
                _ => return Some(()),
            }
        }
    }

    fn comment(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let length = if rest.starts_with(b"//") {
            memchr::memchr(b'\n', rest).unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            memchr::memmem::find(&rest[2..], b"*/")? + 4
        } else {
            return None;
        };
        self.at += length;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(Kind::String, b'"'),
            b'\'' if self.leniency.single_quotes => self.string(Kind::String, b'\''),
            b't' => self.word(b"true", Kind::True),
            b'f' => self.word(b"false", Kind::False),
            b'n' => self.word(b"null", Kind::Null),
            b'-' | b'+' | b'0'..=b'9' | b'N' | b'I' => self.number(),
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Option<()> {
        let start = self.at;
        if !self.bytes[start..].starts_with(word) {
            return None;
        }
        self.at += word.len();
        // The word must end here.
        if self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        self.push(kind, start, self.at, false);
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        if self.leniency.non_numeric_numbers {
            for word in
                [&b"NaN"[..], b"Infinity", b"+Infinity", b"-Infinity", b"+INF", b"-INF", b"INF"]
            {
                if self.bytes[start..].starts_with(word) {
                    return self.word(word, Kind::Float);
                }
            }
        }
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.at;
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.bytes[first] == b'0' && !self.leniency.leading_zeros) {
            return None;
        }
        let mut kind = Kind::Integer;
        if self.peek() == Some(b'.') {
            self.at += 1;
            kind = Kind::Float;
            if self.digits() == 0 {
                return None;
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            kind = Kind::Float;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return None;
            }
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
            return None;
        }
        self.push(kind, start, self.at, false);
        Some(())
    }

    fn digits(&mut self) -> usize {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn string(&mut self, kind: Kind, quote: u8) -> Option<()> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek()? {
                byte if byte == quote => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                byte if byte < b' ' && !self.leniency.control_characters => return None,
                _ => self.at += 1,
            }
        }
        self.push(kind, start, self.at, escaped);
        self.at += 1;
        Some(())
    }

    fn escape(&mut self) -> Option<()> {
        match *self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let hex = self.bytes.get(self.at + 2..self.at + 6)?;
                if !hex.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 6;
            }
            other if self.leniency.backslash_any && other.is_ascii() => self.at += 2,
            _ => return None,
        }
        Some(())
    }

    fn name(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string(Kind::Name, b'"'),
            b'\'' if self.leniency.single_quotes => self.string(Kind::Name, b'\''),
            first
                if self.leniency.unquoted_field_names
                    && (first.is_ascii_alphabetic()
                        || first == b'_'
                        || first == b'$'
                        || first >= 128) =>
            {
                let start = self.at;
                while self.peek().is_some_and(|byte| {
                    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 128
                }) {
                    self.at += 1;
                }
                self.push(Kind::Name, start, self.at, false);
                Some(())
            }
            _ => None,
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        let node = self.nodes.len();
        self.push(Kind::Object, self.at, self.at, false);
        self.at += 1;
        self.skip_blanks()?;
        if self.peek()? == b'}' {
            return self.end(node);
        }
        loop {
            let name = self.nodes.len();
            self.name()?;
            self.skip_blanks()?;
            if self.peek()? != b':' {
                return None;
            }
            self.at += 1;
            self.skip_blanks()?;
            self.value(depth + 1)?;
            self.nodes[name].next = self.nodes.len();
            self.skip_blanks()?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => return self.end(node),
                _ => return None,
            }
            self.skip_blanks()?;
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let node = self.nodes.len();
        self.push(Kind::Array, self.at, self.at, false);
        self.at += 1;
        self.skip_blanks()?;
        if self.peek()? == b']' {
            return self.end(node);
        }
        loop {
            self.value(depth + 1)?;
            self.skip_blanks()?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => return self.end(node),
                _ => return None,
            }
            self.skip_blanks()?;
        }
    }

    /// Closes the array or object that began as node `node`.
    fn end(&mut self, node: usize) -> Option<()> {
        self.at += 1;
        self.nodes[node].end = self.at;
        self.nodes[node].next = self.nodes.len();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parsed(text: &str, options: &[(&str, &str)]) -> String {
        let options: BTreeMap<String, String> =
            options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let leniency = Leniency::new(&Options::new(&options)).unwrap();
        let mut tape = Tape::default();
        match tape.parse(text, &leniency) {
            Parsed::Value => tape
                .nodes
                .iter()
                .map(|node| format!("{:?}:{}", node.kind, &text[node.start..node.end]))
                .collect::<Vec<_>>()
                .join(" "),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn values() {
        for (text, expected) in [
            (
                r#"{"a":1,"b":[true,null]}"#,
                r#"Object:{"a":1,"b":[true,null]} Name:a Integer:1 Name:b Array:[true,null] True:true Null:null"#,
            ),
            ("  ", "Empty"),
            ("-1.5e3", "Float:-1.5e3"),
            ("01", "Malformed"),
            ("1.", "Malformed"),
            ("nul", "Malformed"),
            ("{\"a\":1} x", "Object:{\"a\":1} Name:a Integer:1"),
            ("{'a':'b'}", "Object:{'a':'b'} Name:a String:b"),
            ("{a:1}", "Malformed"),
            ("\"a\nb\"", "Malformed"),
            ("[1,]", "Malformed"),
            ("{\"a\":1", "Malformed"),
            ("NaN", "Float:NaN"),
            (r#""\x""#, "Malformed"),
        ] {
            assert_eq!(parsed(text, &[]), expected, "{text}");
        }
        assert_eq!(
            parsed(
                "{a:01}",
                &[("allowUnquotedFieldNames", "true"), ("allowNumericLeadingZeros", "true")]
            ),
            "Object:{a:01} Name:a Integer:01"
        );
        assert_eq!(parsed("/*c*/1", &[("allowComments", "true")]), "Integer:1");
    }

    #[test]
    fn escapes() {
        let mut out = String::new();
        unescape(r#"a\n\u00e9\ud83d\ude00\"\ud83dx"#, &mut out);
        assert_eq!(out, "a\né😀\"?x");
    }
}
