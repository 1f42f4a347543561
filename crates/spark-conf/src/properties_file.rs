//! `spark-defaults.conf` and `--properties-file`: the text form of Java's `Properties`.
//!
//! A line is a key, then blanks, `=` or `:`, then the value; `#` and `!` begin a comment; a trailing
//! backslash joins the next line; `\t \n \r \f \uXXXX` and `\` before any other character are escapes.
//! Values are trimmed at the end, as Spark does when it loads the file.

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct PropertiesError {
    /// Line number from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// Reads a properties text into pairs, in file order.
///
/// # Errors
/// On a malformed `\u` escape.
pub fn parse_properties(text: &str) -> Result<Vec<(String, String)>, PropertiesError> {
    let mut pairs = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let mut logical = first.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while ends_in_continuation(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start()),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        let at = |problem| PropertiesError { line: index + 1, problem };
        pairs.push((unescape(key).map_err(at)?, unescape(value.trim_end()).map_err(at)?));
    }
    Ok(pairs)
}

fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Splits at the first unescaped blank, `=` or `:`; the separator may have blanks around it.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let stop = !escaped && (c.is_whitespace() || *c == '=' || *c == ':');
        escaped = !escaped && *c == '\\';
        stop
    });
    let Some((end, _)) = end else { return (line, "") };
    let rest = line[end..].trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    (&line[..end], value)
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                let decoded = code.and_then(char::from_u32);
                out.push(decoded.ok_or_else(|| format!("\\u{digits} is not a character"))?);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: Expect) {
        let out = match parse_properties(text) {
            Ok(pairs) => pairs.iter().map(|(k, v)| format!("[{k}] = [{v}]\n")).collect(),
            Err(error) => format!("{error}\n"),
        };
        expected.assert_eq(&out);
    }

    #[test]
    fn separators_comments_and_blanks() {
        check(
            "# comment\n! another\n\nspark.master   mesos://h:5050  \nspark.a=b\n spark.c : d e\nspark.empty\nspark.url=http://x=y\n",
            expect![[r#"
                [spark.master] = [mesos://h:5050]
                [spark.a] = [b]
                [spark.c] = [d e]
                [spark.empty] = []
                [spark.url] = [http://x=y]
            "#]],
        );
    }

    #[test]
    fn continuations_and_escapes() {
        check(
            "spark.list a,\\\n   b,\\\n   c\nspark.path C:\\\\tmp\nspark.u \\u00e9\\tx\nspark\\ key v\n",
            expect![[r#"
                [spark.list] = [a,b,c]
                [spark.path] = [C:\tmp]
                [spark.u] = [é	x]
                [spark key] = [v]
            "#]],
        );
    }

    #[test]
    fn a_bad_escape_names_its_line() {
        check(
            "ok 1\nbad \\u12\n",
            expect![[r#"
            line 2: \u12 is not a character
        "#]],
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = parse_properties(&text);
        }
    }
}
