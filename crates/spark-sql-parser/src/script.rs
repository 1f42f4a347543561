//! Splits a script into statements.

use crate::lexer::{Lexer, TokenKind};
use crate::parser::ParserOptions;

/// The statements of a script: the text between semicolons that stand outside strings and comments. Those with
/// nothing but comments are left out. Text that cannot be read (an unclosed string) is the last statement as it is.
#[must_use]
pub fn parse_script(text: &str) -> Vec<&str> {
    let options = ParserOptions::default();
    let mut lexer = Lexer::new(text, &options);
    let mut statements = Vec::new();
    let (mut start, mut filled) = (0, false);
    loop {
        match lexer.next() {
            Ok(token) if token.kind == TokenKind::Symbol(";") => {
                if filled {
                    statements.push(text[start..token.start].trim());
                }
                (start, filled) = (token.end, false);
            }
            Ok(token) if token.kind == TokenKind::End => break,
            Ok(_) => filled = true,
            Err(_) => {
                filled = true;
                break;
            }
        }
    }
    if filled {
        statements.push(text[start..].trim());
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::parse_script;

    #[test]
    fn semicolons_in_strings_and_comments_do_not_split() {
        let text = "select ';' ; -- a; b\nselect /* ; */ 1;\n;; /* only */ ;select `a;b`";
        assert_eq!(parse_script(text), ["select ';'", "-- a; b\nselect /* ; */ 1", "select `a;b`"]);
        assert_eq!(parse_script("select 1; select 'open ; "), ["select 1", "select 'open ;"]);
        assert!(parse_script(" -- nothing\n").is_empty());
    }
}
