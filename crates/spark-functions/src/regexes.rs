//! Java's regular expressions: translated for the `regex` crate, and for `fancy-regex` where they look around.

use std::borrow::Cow;

use spark_sql_parser::error::{ErrorKind, SparkError};

use crate::errors;

/// A compiled Java pattern.
#[derive(Debug, Clone)]
pub(crate) enum JavaRegex {
    Plain(regex::Regex),
    /// With look-around, back references, atomic groups or possessive quantifiers.
    Fancy(fancy_regex::Regex),
}

/// Byte ranges of a match: the whole first, then the groups.
pub(crate) type Groups = Vec<Option<(usize, usize)>>;

impl JavaRegex {
    pub(crate) fn new(pattern: &str, function: &str) -> Result<Self, SparkError> {
        let translated = translate(pattern);
        if let Ok(plain) = regex::Regex::new(&translated) {
            return Ok(Self::Plain(plain));
        }
        fancy_regex::Regex::new(&translated).map(Self::Fancy).map_err(|_| {
            let value = format!("'{pattern}'");
            let mut error =
                errors::invalid_parameter("PATTERN", "regexp", function, &format!("{value}."))
                    .with("value", value);
            error.kind = ErrorKind::Runtime;
            error
        })
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Plain(regex) => regex.is_match(text),
            Self::Fancy(regex) => regex.is_match(text).unwrap_or(false),
        }
    }

    /// Number of groups besides the whole match.
    pub(crate) fn group_count(&self) -> usize {
        match self {
            Self::Plain(regex) => regex.captures_len() - 1,
            Self::Fancy(regex) => regex.captures_len() - 1,
        }
    }

    fn group_index(&self, name: &str) -> Option<usize> {
        match self {
            Self::Plain(regex) => regex.capture_names().position(|n| n == Some(name)),
            Self::Fancy(regex) => regex.capture_names().position(|n| n == Some(name)),
        }
    }

    /// The first match at or after a byte position.
    pub(crate) fn find_at(&self, text: &str, from: usize) -> Option<Groups> {
        match self {
            Self::Plain(regex) => {
                let captures = regex.captures_at(text, from)?;
                Some(captures.iter().map(|m| m.map(|m| (m.start(), m.end()))).collect())
            }
            Self::Fancy(regex) => {
                let captures = regex.captures_from_pos(text, from).ok().flatten()?;
                Some(captures.iter().map(|m| m.map(|m| (m.start(), m.end()))).collect())
            }
        }
    }

    /// All matches one after the other, as `Matcher.find` steps.
    pub(crate) fn find_all(&self, text: &str, from: usize) -> Vec<Groups> {
        let mut matches = vec![];
        let mut position = from;
        while position <= text.len() {
            let Some(groups) = self.find_at(text, position) else { break };
            let Some(Some((start, end))) = groups.first().copied() else { break };
            position = if end > start { end } else { next_char(text, end) };
            matches.push(groups);
        }
        matches
    }

    /// `Matcher.replaceAll` from a byte position on, with `$1`, `${name}` and backslashes in the replacement.
    pub(crate) fn replace_all<'t>(
        &self,
        text: &'t str,
        replacement: &str,
        from: usize,
    ) -> Cow<'t, str> {
        let matches = self.find_all(text, from);
        if matches.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut last = 0;
        for groups in matches {
            let Some(Some((start, end))) = groups.first().copied() else { continue };
            out.push_str(&text[last..start]);
            self.expand(&mut out, text, &groups, replacement);
            last = end;
        }
        out.push_str(&text[last..]);
        Cow::Owned(out)
    }

    fn expand(&self, out: &mut String, text: &str, groups: &Groups, replacement: &str) {
        let mut chars = replacement.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    if let Some((_, escaped)) = chars.next() {
                        out.push(escaped);
                    }
                }
                '$' => {
                    let rest = &replacement[at + 1..];
                    let (index, used) = if let Some(named) = rest.strip_prefix('{') {
                        let end = named.find('}').unwrap_or(named.len());
                        (self.group_index(&named[..end]), end + 2)
                    } else {
                        // As many digits as still name a group.
                        let mut index = None;
                        let mut used = 0;
                        for digit in rest.bytes().take_while(u8::is_ascii_digit) {
                            let next = index.unwrap_or(0) * 10 + usize::from(digit - b'0');
                            if index.is_some() && next > self.group_count() {
                                break;
                            }
                            index = Some(next);
                            used += 1;
                        }
                        (index, used)
                    };
                    if let Some((start, end)) = index.and_then(|i| groups.get(i).copied().flatten())
                    {
                        out.push_str(&text[start..end]);
                    }
                    for _ in 0..used {
                        chars.next();
                    }
                }
                other => out.push(other),
            }
        }
    }
}

fn next_char(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(at + 1, |c| at + c.len_utf8())
}

/// A compiled pattern kept while it stays the same from row to row.
#[derive(Default)]
pub(crate) struct Cache {
    last: Option<(String, JavaRegex)>,
}

impl Cache {
    pub(crate) fn get(&mut self, pattern: &str, function: &str) -> Result<&JavaRegex, SparkError> {
        let stale = self.last.as_ref().is_none_or(|(known, _)| known != pattern);
        if stale {
            self.last = Some((pattern.to_owned(), JavaRegex::new(pattern, function)?));
        }
        match &self.last {
            Some((_, regex)) => Ok(regex),
            None => Err(errors::internal("a compiled pattern vanished")),
        }
    }
}

/// Java's syntax in Rust's: ASCII classes, POSIX classes, quotations, `\uXXXX`, `$` before a last line end.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let chars: Vec<char> = pattern.chars().collect();
    let mut index = 0;
    let mut class_depth = 0_usize;
    while index < chars.len() {
        let c = chars[index];
        match c {
            '\\' => {
                let Some(next) = chars.get(index + 1).copied() else {
                    out.push('\\');
                    break;
                };
                index += 2;
                let inside = class_depth > 0;
                let class = |out: &mut String, set: &str, negated: bool| match (inside, negated) {
                    (true, false) => out.push_str(set),
                    (true, true) => out.push_str(&format!("[^{set}]")),
                    (false, false) => out.push_str(&format!("[{set}]")),
                    (false, true) => out.push_str(&format!("[^{set}]")),
                };
                match next {
                    'd' => class(&mut out, "0-9", false),
                    'D' => class(&mut out, "0-9", true),
                    'w' => class(&mut out, "a-zA-Z0-9_", false),
                    'W' => class(&mut out, "a-zA-Z0-9_", true),
                    's' => class(&mut out, r" \t\n\x0B\f\r", false),
                    'S' => class(&mut out, r" \t\n\x0B\f\r", true),
                    'h' => class(
                        &mut out,
                        r" \t\x{A0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}",
                        false,
                    ),
                    'v' => class(&mut out, r"\n\x0B\f\r\x{85}\x{2028}\x{2029}", false),
                    'R' => out.push_str(r"(?:\r\n|[\n\x0B\f\r\x{85}\x{2028}\x{2029}])"),
                    'Z' => out.push_str(r"(?:\r?\n)?\z"),
                    'e' => out.push_str(r"\x1B"),
                    '0' => {
                        let octal: String =
                            chars[index..].iter().take(3).take_while(|c| c.is_digit(8)).collect();
                        index += octal.len();
                        let code = u32::from_str_radix(&octal, 8).unwrap_or(0);
                        out.push_str(&format!("\\x{{{code:x}}}"));
                    }
                    'u' => {
                        let hex: String = chars[index..].iter().take(4).collect();
                        index += hex.chars().count();
                        out.push_str(&format!("\\x{{{hex}}}"));
                    }
                    'Q' => {
                        while index < chars.len() {
                            if chars[index] == '\\' && chars.get(index + 1) == Some(&'E') {
                                index += 2;
                                break;
                            }
                            out.push_str(&regex::escape(&chars[index].to_string()));
                            index += 1;
                        }
                    }
                    'p' | 'P' if chars.get(index) == Some(&'{') => {
                        let end = chars[index..].iter().position(|c| *c == '}').unwrap_or(0);
                        let name: String = chars[index + 1..index + end.max(1)].iter().collect();
                        index += end + 1;
                        out.push_str(&property(&name, next == 'P', inside));
                    }
                    '<' | '>' | ' ' | '"' | '\'' | ',' | ';' | ':' | '=' | '!' | '@' | '%'
                    | '_' | '`' => out.push(next),
                    other => {
                        out.push('\\');
                        out.push(other);
                    }
                }
                continue;
            }
            '[' => {
                class_depth += 1;
                out.push('[');
                if chars.get(index + 1) == Some(&'^') {
                    out.push('^');
                    index += 1;
                }
                // A bracket right after the opening one is a member in Rust but not in Java's style of use.
                if chars.get(index + 1) == Some(&']') {
                    out.push_str(r"\]");
                    index += 1;
                }
            }
            ']' if class_depth > 0 => {
                class_depth -= 1;
                out.push(']');
            }
            '$' if class_depth == 0 => {
                // Java's `$` also matches before a final line end, which needs look-ahead: leave it to plain texts.
                out.push('$');
            }
            other => out.push(other),
        }
        index += 1;
    }
    out
}

fn property(name: &str, negated: bool, inside: bool) -> String {
    let posix = match name {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Alnum" => "a-zA-Z0-9",
        "Punct" => r"!-/:-@\[-`{-~",
        "Space" => r" \t\n\x0B\f\r",
        "Blank" => r" \t",
        "XDigit" => "0-9a-fA-F",
        "Cntrl" => r"\x00-\x1F\x7F",
        "ASCII" => r"\x00-\x7F",
        "Graph" => "!-~",
        "Print" => " -~",
        _ => "",
    };
    if posix.is_empty() {
        let name = name.strip_prefix("Is").or_else(|| name.strip_prefix("In")).unwrap_or(name);
        let name = match name {
            "javaLowerCase" => "Lowercase",
            "javaUpperCase" => "Uppercase",
            "javaWhitespace" => "White_Space",
            other => other,
        };
        return format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' });
    }
    match (inside, negated) {
        (true, false) => posix.to_owned(),
        (_, true) => format!("[^{posix}]"),
        (false, false) => format!("[{posix}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_patterns_mean_the_same() {
        let replace = |pattern: &str, text: &str, by: &str| {
            JavaRegex::new(pattern, "regexp_replace").unwrap().replace_all(text, by, 0).into_owned()
        };
        assert_eq!(replace("(?=b)", "abc", "X"), "aXbc");
        assert_eq!(replace(r"(\d+)-(\d+)", "10-20", "$2-$1"), "20-10");
        assert_eq!(replace(r"\Qa.b\E", "a.b axb", "-"), "- axb");
        assert_eq!(replace(r"\p{Punct}", "a,b.", ""), "ab");
        assert_eq!(replace("", "ab", "-"), "-a-b-");
        assert!(JavaRegex::new("(?<!x)b", "rlike").unwrap().is_match("ab"));
        assert!(!JavaRegex::new(r"^\w$", "rlike").unwrap().is_match("é"));
        assert!(JavaRegex::new("(Col1)?+.+", "rlike").unwrap().is_match("Col2"));
        assert!(JavaRegex::new("(", "rlike").is_err());
    }
}
