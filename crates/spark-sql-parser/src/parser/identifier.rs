//! Names.

use super::{Parsed, Parser};
use crate::lexer::TokenKind;
use crate::syntax;

/// Words that cannot name a table without quotes or AS, because they go on with the query.
const STRICT: &[&str] = &[
    "ANTI",
    "CROSS",
    "EXCEPT",
    "FULL",
    "INNER",
    "INTERSECT",
    "JOIN",
    "LATERAL",
    "LEFT",
    "NATURAL",
    "ON",
    "RIGHT",
    "SEMI",
    "MINUS",
    "UNION",
    "USING",
];

/// Words that begin what may follow an expression or a table. Spark's generated parser looks ahead as far as it
/// takes to tell these from an alias; here they are an alias only when nothing else can follow.
const FOLLOWERS: &[&str] = &[
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "CLUSTER",
    "COLLATE",
    "CUBE",
    "DESC",
    "DISTRIBUTE",
    "DIV",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCLUDE",
    "FILTER",
    "FOLLOWING",
    "FOR",
    "FROM",
    "GROUP",
    "GROUPING",
    "HAVING",
    "IGNORE",
    "ILIKE",
    "IN",
    "INCLUDE",
    "INSERT",
    "IS",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULLS",
    "OFFSET",
    "OR",
    "ORDER",
    "OVER",
    "PIVOT",
    "PRECEDING",
    "QUALIFY",
    "RANGE",
    "REGEXP",
    "RESPECT",
    "RLIKE",
    "ROLLUP",
    "ROWS",
    "SELECT",
    "SET",
    "SORT",
    "TABLESAMPLE",
    "THEN",
    "UNPIVOT",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN",
];

impl Parser<'_> {
    /// Any word or quoted name.
    pub(super) fn identifier(&mut self) -> Parsed<String> {
        let name = self.take_identifier().ok_or_else(|| self.unexpected())?;
        Ok(name)
    }

    pub(super) fn take_identifier(&mut self) -> Option<String> {
        let name = match self.peek() {
            TokenKind::Word(_) => self.source(self.token(0)).to_owned(),
            TokenKind::Quoted(name) => name.clone(),
            _ => return None,
        };
        self.advance();
        Some(name)
    }

    /// A name where nothing but a name can stand, so that `test-table` is told to be quoted.
    pub(super) fn strict_identifier(&mut self) -> Parsed<String> {
        let start = self.at;
        let name = self.identifier()?;
        if name.is_empty() {
            self.at = start;
            return Err(self.unexpected());
        }
        if self.at_symbol("-") && matches!(self.token(1).kind, TokenKind::Word(_)) {
            let dash = self.token(0).start;
            while self.take_symbol("-") {
                self.identifier()?;
            }
            let text = self.source_between(start, self.at);
            return Err(syntax::invalid_identifier(self.sql, dash, text));
        }
        Ok(name)
    }

    /// `a.b.c`.
    pub(crate) fn multipart_identifier(&mut self) -> Parsed<Vec<String>> {
        if self.at_word("IDENTIFIER") && self.symbol_ahead(1, "(") {
            return self.identifier_clause();
        }
        let mut parts = vec![self.strict_identifier()?];
        while self.take_symbol(".") {
            parts.push(self.strict_identifier()?);
        }
        Ok(parts)
    }

    /// `IDENTIFIER('a.b')`, of a literal.
    fn identifier_clause(&mut self) -> Parsed<Vec<String>> {
        self.advance();
        let text = self.parenthesized(Self::expect_string)?;
        Parser::new(&text, self.options)?.whole(Parser::multipart_identifier)
    }

    pub(super) fn identifier_list(&mut self) -> Parsed<Vec<String>> {
        self.parenthesized(|p| p.comma_separated(Self::strict_identifier))
    }

    /// Whether an alias without AS starts here.
    pub(super) fn at_alias(&self, strict: bool) -> bool {
        match self.peek() {
            TokenKind::Quoted(_) => true,
            TokenKind::Word(word) if strict && STRICT.contains(&word.as_str()) => false,
            TokenKind::Word(word) => {
                !(FOLLOWERS.contains(&word.as_str()) || STRICT.contains(&word.as_str()))
                    || self.alias_ends()
            }
            _ => false,
        }
    }

    /// Whether the word here is followed by something that only comes after a finished item.
    fn alias_ends(&self) -> bool {
        match &self.token(1).kind {
            TokenKind::End => true,
            TokenKind::Symbol(symbol) => matches!(*symbol, "," | ")" | ";"),
            TokenKind::Word(word) => word == "FROM" && !self.at_any(&["DISTINCT", "SELECT"]),
            _ => false,
        }
    }
}
