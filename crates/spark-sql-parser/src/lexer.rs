//! Splits SQL text into tokens by the rules of Spark's `SqlBaseLexer`.
//!
//! Keywords are words: Spark reserves none of them by default, so the parser decides by position. `>` is always one
//! token, so that `array<array<int>>` closes twice; the expression parser joins adjacent ones to shift operators.

use crate::error::SparkError;
use crate::parser::ParserOptions;
use crate::syntax;

/// One token and its byte range in the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    /// An unquoted identifier or keyword, in upper case.
    Word(String),
    /// `` `name` ``, unquoted.
    Quoted(String),
    /// A string literal with its escapes resolved.
    String(String),
    Integer,
    /// Digits with a dot: a decimal literal.
    Decimal,
    /// Digits with an exponent: a double literal.
    Exponent,
    Long,
    Short,
    Byte,
    Float,
    Double,
    BigDecimal,
    Symbol(&'static str),
    Unknown,
    End,
}

impl TokenKind {
    pub(crate) fn is_number(&self) -> bool {
        matches!(
            self,
            Self::Integer
                | Self::Decimal
                | Self::Exponent
                | Self::Long
                | Self::Short
                | Self::Byte
                | Self::Float
                | Self::Double
                | Self::BigDecimal
        )
    }
}

/// Longest first, so that the first that fits is the token.
const SYMBOLS: &[&str] = &[
    "<=>", "/*+", "*/", "<=", ">=", "!>", "!<", "!=", "<>", "==", "<<", "||", "|>", "->", "=>",
    "::", ";", "(", ")", ",", ".", "[", "]", "!", "=", "<", ">", "+", "-", "*", "/", "%", "~", "&",
    "|", "^", ":", "?", "{", "}",
];

/// Splits the whole text; the last token is [`TokenKind::End`].
pub(crate) fn tokenize(sql: &str, options: &ParserOptions) -> Result<Vec<Token>, SparkError> {
    let mut lexer = Lexer { sql, at: 0, options };
    let mut tokens = Vec::with_capacity(sql.len() / 4 + 1);
    loop {
        let token = lexer.next()?;
        let end = token.kind == TokenKind::End;
        tokens.push(token);
        if end {
            return Ok(tokens);
        }
    }
}

pub(crate) struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    options: &'a ParserOptions,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(sql: &'a str, options: &'a ParserOptions) -> Self {
        Self { sql, at: 0, options }
    }

    fn rest(&self) -> &'a str {
        &self.sql[self.at..]
    }

    pub(crate) fn next(&mut self) -> Result<Token, SparkError> {
        self.skip_blank()?;
        let start = self.at;
        let kind = self.token()?;
        Ok(Token { kind, start, end: self.at })
    }

    fn token(&mut self) -> Result<TokenKind, SparkError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(TokenKind::End);
        };
        match first {
            '\'' => self.string('\''),
            '"' if self.options.double_quoted_identifiers => self.quoted('"'),
            '"' => self.string('"'),
            '`' => self.quoted('`'),
            'r' | 'R' if rest[1..].starts_with(['\'', '"']) => self.raw_string(),
            '0'..='9' => Ok(self.number_or_word()),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                Ok(self.number_or_symbol())
            }
            c if is_word_character(c) => Ok(self.word()),
            _ => Ok(self.symbol(first)),
        }
    }

    fn symbol(&mut self, first: char) -> TokenKind {
        let rest = self.rest();
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            self.at += symbol.len();
            return TokenKind::Symbol(symbol);
        }
        self.at += first.len_utf8();
        TokenKind::Unknown
    }

    fn word(&mut self) -> TokenKind {
        let rest = self.rest();
        let length = rest.find(|c| !is_word_character(c)).unwrap_or(rest.len());
        self.at += length;
        TokenKind::Word(rest[..length].to_uppercase())
    }

    /// `1L` is a number and `1abc` an identifier: the longest match wins, the number on a tie.
    fn number_or_word(&mut self) -> TokenKind {
        let rest = self.rest();
        let word = rest.find(|c| !is_word_character(c)).unwrap_or(rest.len());
        match number(rest) {
            Some((kind, length)) if length >= word => {
                self.at += length;
                kind
            }
            _ => self.word(),
        }
    }

    fn number_or_symbol(&mut self) -> TokenKind {
        match number(self.rest()) {
            Some((kind, length)) => {
                self.at += length;
                kind
            }
            None => self.symbol('.'),
        }
    }

    fn string(&mut self, quote: char) -> Result<TokenKind, SparkError> {
        let start = self.at;
        let mut text = String::new();
        let mut raw_start = start + 1;
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((offset, c)) = characters.next() {
            if c == '\\' {
                characters.next();
            } else if c == quote {
                text.push_str(&self.sql[raw_start..start + offset]);
                if characters.peek().is_some_and(|(_, next)| *next == quote) {
                    characters.next();
                    text.push_str(if quote == '\'' { "\\'" } else { "\\\"" });
                    raw_start = start + offset + 2;
                    continue;
                }
                self.at = start + offset + 1;
                return Ok(TokenKind::String(unescape(&text)));
            }
        }
        Err(self.unclosed(start))
    }

    fn raw_string(&mut self) -> Result<TokenKind, SparkError> {
        let start = self.at;
        let rest = self.rest();
        let quote = if rest[1..].starts_with('\'') { '\'' } else { '"' };
        let Some(length) = rest[2..].find(quote) else {
            return Err(self.unclosed(start));
        };
        self.at = start + 2 + length + 1;
        Ok(TokenKind::String(rest[2..2 + length].to_owned()))
    }

    fn quoted(&mut self, quote: char) -> Result<TokenKind, SparkError> {
        let start = self.at;
        let mut name = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((offset, c)) = characters.next() {
            if c != quote {
                name.push(c);
            } else if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
                name.push(quote);
            } else {
                self.at = start + offset + 1;
                return Ok(TokenKind::Quoted(name));
            }
        }
        Err(self.unclosed(start))
    }

    /// Spark's lexer yields the lone quote as an unrecognised token, at which the parser then stops.
    fn unclosed(&self, start: usize) -> SparkError {
        let quote = self.sql[start..].chars().next().map(String::from).unwrap_or_default();
        syntax::error_at(self.sql, start, &format!("'{quote}'"), "")
    }

    fn skip_blank(&mut self) -> Result<(), SparkError> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches(is_blank).len();
            self.at += blank;
            let rest = self.rest();
            if rest.starts_with("--") {
                self.at += line_comment(rest);
            } else if rest.starts_with("/*") && !rest.starts_with("/*+") {
                match block_comment(rest) {
                    Some(length) => self.at += length,
                    None => return Err(syntax::unclosed_comment(self.sql, self.at)),
                }
            } else {
                return Ok(());
            }
        }
    }
}

/// The length of a `--` comment; a backslash before the line's end continues it.
fn line_comment(rest: &str) -> usize {
    let mut from = 0;
    loop {
        match rest[from..].find(['\n', '\r']) {
            None => return rest.len(),
            Some(end)
                if rest[..from + end].ends_with('\\') && rest[from + end..].starts_with('\n') =>
            {
                from += end + 1;
            }
            Some(end) => return from + end,
        }
    }
}

/// The length of a bracketed comment, which may hold others.
fn block_comment(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (2, 1);
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'*', b'/') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            (b'/', b'*') if bytes.get(at + 2) != Some(&b'+') => {
                depth += 1;
                at += 2;
            }
            _ => at += 1,
        }
    }
    None
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() && c != '\u{85}' || c == '\u{feff}'
}

pub(crate) fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || (!c.is_ascii() && c.is_alphabetic())
}

/// The longest numeric literal at the start of `rest`.
fn number(rest: &str) -> Option<(TokenKind, usize)> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(0);
    let integer_only = (whole > 0).then_some((TokenKind::Integer, whole));
    let mut at = whole;
    let mut dotted = false;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if whole > 0 || fraction > 0 {
            dotted = true;
            at += 1 + fraction;
        }
    }
    let mut exponent = false;
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let power = if at + 1 + sign <= bytes.len() { digits(at + 1 + sign) } else { 0 };
        if power > 0 {
            exponent = true;
            at += 1 + sign + power;
        }
    }
    let upper = |offset: usize| bytes.get(at + offset).map(u8::to_ascii_uppercase);
    let (kind, length) = match (upper(0), upper(1)) {
        (Some(b'B'), Some(b'D')) => (TokenKind::BigDecimal, at + 2),
        (Some(b'D'), _) => (TokenKind::Double, at + 1),
        (Some(b'F'), _) => (TokenKind::Float, at + 1),
        (Some(b'L'), _) if !dotted && !exponent => (TokenKind::Long, at + 1),
        (Some(b'S'), _) if !dotted && !exponent => (TokenKind::Short, at + 1),
        (Some(b'Y'), _) if !dotted && !exponent => (TokenKind::Byte, at + 1),
        _ if exponent => (TokenKind::Exponent, at),
        _ if dotted => (TokenKind::Decimal, at),
        _ => return integer_only,
    };
    // A number with a dot must not run into a word: `2.3W` is `2`, `.`, `3W`.
    if dotted && rest[length..].starts_with(is_word_character) {
        return integer_only;
    }
    Some((kind, length))
}

/// Resolves backslash escapes as Spark's `unescapeSQLString` does; `\%` and `\_` stay for LIKE.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        out.push_str(&rest[..position]);
        rest = &rest[position + 1..];
        let Some(c) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        if let Some((decoded, used)) = coded_character(rest) {
            out.push(decoded);
            rest = &rest[used..];
            continue;
        }
        match c {
            '0' => out.push('\0'),
            'b' => out.push('\u{8}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'Z' => out.push('\u{1a}'),
            '%' => out.push_str("\\%"),
            '_' => out.push_str("\\_"),
            other => out.push(other),
        }
        rest = &rest[c.len_utf8()..];
    }
    out.push_str(rest);
    out
}

/// `u0041`, `U00000041` and octal `101` after a backslash.
fn coded_character(rest: &str) -> Option<(char, usize)> {
    let hex = |length: usize| {
        let digits = rest.get(1..=length)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        Some((u32::from_str_radix(digits, 16).ok()?, length + 1))
    };
    let (code, used) = match rest.as_bytes().first()? {
        b'u' => {
            let (high, used) = hex(4)?;
            match low_surrogate(high, &rest[used..]) {
                Some(code) => (code, used + 6),
                None => (high, used),
            }
        }
        b'U' => hex(8)?,
        b'0' | b'1' => {
            let digits = rest.get(0..3)?;
            (u32::from_str_radix(digits, 8).ok()?, 3)
        }
        _ => return None,
    };
    Some((char::from_u32(code).unwrap_or('\u{fffd}'), used))
}

/// Joins the second half of a surrogate pair written as two `\u` escapes.
fn low_surrogate(high: u32, rest: &str) -> Option<u32> {
    if !(0xd800..0xdc00).contains(&high) || !rest.starts_with("\\u") {
        return None;
    }
    let low = u32::from_str_radix(rest.get(2..6)?, 16).ok()?;
    (0xdc00..0xe000).contains(&low).then(|| 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<TokenKind> {
        let mut tokens = tokenize(sql, &ParserOptions::default()).unwrap();
        tokens.pop();
        tokens.into_iter().map(|token| token.kind).collect()
    }

    fn word(text: &str) -> TokenKind {
        TokenKind::Word(text.to_owned())
    }

    fn string(text: &str) -> TokenKind {
        TokenKind::String(text.to_owned())
    }

    #[test]
    fn numbers_and_words_share_characters() {
        assert_eq!(
            kinds("1 1L 2s 3Y 1.5 .5 1. 1e3 1.5e-3 1D 2.0F 3BD 1abc 2.3w"),
            [
                TokenKind::Integer,
                TokenKind::Long,
                TokenKind::Short,
                TokenKind::Byte,
                TokenKind::Decimal,
                TokenKind::Decimal,
                TokenKind::Decimal,
                TokenKind::Exponent,
                TokenKind::Exponent,
                TokenKind::Double,
                TokenKind::Float,
                TokenKind::BigDecimal,
                word("1ABC"),
                TokenKind::Integer,
                TokenKind::Symbol("."),
                word("3W"),
            ]
        );
    }

    #[test]
    fn strings_resolve_escapes() {
        assert_eq!(kinds(r"'a\nb\u0041\101\%\'c'"), [string("a\nbAA\\%'c")]);
        assert_eq!(
            kinds(r#"'it''s' "say ""x""" r'a\n'"#),
            [string("it's"), string("say \"x\""), string(r"a\n")]
        );
        assert_eq!(kinds(r"'\uD83D\uDE00'"), [string("😀")]);
    }

    #[test]
    fn comments_nest_and_hints_stay() {
        assert_eq!(
            kinds("a -- x\n/* b /* c */ d */ /*+ h */"),
            [word("A"), TokenKind::Symbol("/*+"), word("H"), TokenKind::Symbol("*/")]
        );
        assert!(tokenize("select 1 /* open", &ParserOptions::default()).is_err());
    }

    #[test]
    fn quoted_identifiers() {
        assert_eq!(kinds("`a``b`"), [TokenKind::Quoted("a`b".to_owned())]);
        let options = ParserOptions { double_quoted_identifiers: true, ..ParserOptions::default() };
        let tokens = tokenize("\"a b\"", &options).unwrap();
        assert_eq!(tokens[0].kind, TokenKind::Quoted("a b".to_owned()));
    }
}
