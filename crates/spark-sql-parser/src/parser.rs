//! Recursive descent over the tokens, with precedence climbing for expressions.
//!
//! The rules are those of Spark 4's `SqlBaseParser.g4` under its default settings, where keywords are not reserved.
//! An error names the token at which the parser could not go on, as Spark's does.

mod ddl;
mod expression;
mod from;
mod identifier;
mod interval;
mod literal;
mod primary;
mod query;
mod select;
mod statement;
mod types;
mod window;

use std::collections::BTreeMap;

use self::window::WindowSpec;
use crate::ast::{Expr, Statement};
use crate::error::{ErrorKind, QueryContext, SparkError};
use crate::lexer::{Token, TokenKind, tokenize};
use crate::syntax;
use crate::types::{DataType, Schema};

/// How many levels of parentheses, subqueries and operators one statement may nest.
///
/// Spark's parser gives up (with a stack overflow turned into an error) at a few thousand; ours must hold on a thread
/// with a stack of 2 MiB, and the plans made from its trees are walked recursively too.
const MAX_DEPTH: usize = 200;

/// The session's settings that change how text is read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParserOptions {
    /// `spark.sql.ansi.doubleQuotedIdentifiers` (with ANSI mode): `"x"` is an identifier, not a string.
    pub double_quoted_identifiers: bool,
    /// `spark.sql.legacy.exponentLiteralAsDecimal.enabled`.
    pub exponent_literal_as_decimal: bool,
    /// What stands for `:name` markers; others are left as they are.
    pub named_parameters: BTreeMap<String, Expr>,
    /// What stands for `?` markers, in order.
    pub positional_parameters: Vec<Expr>,
}

/// Parses one statement; semicolons may follow it.
///
/// # Errors
/// `PARSE_EMPTY_STATEMENT` for blank text, `PARSE_SYNTAX_ERROR` and its like with the place for anything Spark's
/// grammar does not have.
pub fn parse_statement(sql: &str, options: &ParserOptions) -> Result<Statement, SparkError> {
    let mut parser = Parser::new(sql, options)?;
    if sql.trim().is_empty() {
        return Err(syntax::empty_statement(sql));
    }
    let statement = parser.statement()?;
    let mut ended = false;
    while parser.take_symbol(";") {
        ended = true;
    }
    parser.expect_statement_end(ended)?;
    Ok(statement)
}

/// Parses an expression, with an alias if it has one, as `expr()` and `selectExpr` take it.
///
/// # Errors
/// As [`parse_statement`].
pub fn parse_expression(text: &str, options: &ParserOptions) -> Result<Expr, SparkError> {
    Parser::new(text, options)?.whole(Parser::named_expression)
}

/// Parses a data type: `struct<a:int,b:array<string>>`, `decimal(10,2)`, `interval day to second`.
///
/// # Errors
/// The text is not one of Spark's types.
pub fn parse_data_type(text: &str) -> Result<DataType, SparkError> {
    let options = ParserOptions::default();
    Parser::new(text, &options)?.whole(Parser::data_type)
}

/// Parses a table schema as DDL: `a INT NOT NULL, b STRING COMMENT 'x'`.
///
/// # Errors
/// The text is not a list of columns with Spark types.
pub fn parse_schema(text: &str) -> Result<Schema, SparkError> {
    let options = ParserOptions::default();
    Parser::new(text, &options)?.whole(Parser::schema)
}

/// Splits a name into its parts: ``a.b.`c d` `` gives `a`, `b` and `c d`.
///
/// # Errors
/// The text is not a dotted list of identifiers.
pub fn parse_multipart_identifier(text: &str) -> Result<Vec<String>, SparkError> {
    let options = ParserOptions::default();
    Parser::new(text, &options)?.whole(Parser::multipart_identifier)
}

pub(crate) struct Parser<'a> {
    sql: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    options: &'a ParserOptions,
    /// Parameters of the lambdas around, in lower case.
    lambda_names: Vec<String>,
    /// Named windows of the queries around, innermost last.
    windows: Vec<Vec<(String, WindowSpec)>>,
    /// Whether the text has a WINDOW clause at all.
    has_windows: bool,
}

type Parsed<T> = Result<T, SparkError>;

impl<'a> Parser<'a> {
    pub(crate) fn new(sql: &'a str, options: &'a ParserOptions) -> Parsed<Self> {
        let tokens = tokenize(sql, options)?;
        let has_windows = tokens
            .iter()
            .any(|token| matches!(&token.kind, TokenKind::Word(word) if word == "WINDOW"));
        Ok(Self {
            sql,
            tokens,
            at: 0,
            depth: 0,
            options,
            lambda_names: Vec::new(),
            windows: Vec::new(),
            has_windows,
        })
    }

    /// Runs one rule over the whole text.
    pub(crate) fn whole<T>(mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let value = rule(&mut self)?;
        self.expect_end()?;
        Ok(value)
    }

    fn expect_end(&self) -> Parsed<()> {
        if *self.peek() == TokenKind::End { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Spark calls a token superfluous when the statement would be whole without it.
    fn expect_statement_end(&self, ended: bool) -> Parsed<()> {
        let last = self.token(1).kind == TokenKind::End || self.symbol_ahead(1, ";");
        match self.peek() {
            TokenKind::End => Ok(()),
            _ if ended || last => {
                let hint = format!(": extra input '{}'", self.source(self.token(0)));
                Err(self.unexpected_with(&hint))
            }
            _ => Err(self.unexpected()),
        }
    }

    // Looking at tokens.

    fn peek(&self) -> &TokenKind {
        &self.token(0).kind
    }

    fn token(&self, ahead: usize) -> &Token {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match &self.token(ahead).kind {
            TokenKind::Word(word) => Some(word),
            _ => None,
        }
    }

    fn at_word(&self, word: &str) -> bool {
        self.word(0) == Some(word)
    }

    fn at_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.word(ahead) == Some(*word))
    }

    fn at_any(&self, words: &[&str]) -> bool {
        self.word(0).is_some_and(|word| words.contains(&word))
    }

    fn at_symbol(&self, symbol: &str) -> bool {
        self.symbol_ahead(0, symbol)
    }

    fn symbol_ahead(&self, ahead: usize, symbol: &str) -> bool {
        matches!(self.token(ahead).kind, TokenKind::Symbol(found) if found == symbol)
    }

    // Taking tokens.

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.advance();
        }
        found
    }

    /// Takes all the words or none.
    fn take_words(&mut self, words: &[&str]) -> bool {
        let found = self.at_words(words);
        if found {
            self.at += words.len();
        }
        found
    }

    /// Takes one of the words.
    fn take_any<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        let found = words.iter().find(|word| self.at_word(word)).copied();
        if found.is_some() {
            self.advance();
        }
        found
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.at_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_words(&mut self, words: &[&str]) -> Parsed<()> {
        words.iter().try_for_each(|word| self.expect_word(word))
    }

    fn expect_symbol(&mut self, symbol: &str) -> Parsed<()> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// A string literal; adjacent ones are joined.
    fn take_string(&mut self) -> Option<String> {
        let mut joined: Option<String> = None;
        while let TokenKind::String(text) = self.peek() {
            joined.get_or_insert_default().push_str(text);
            self.advance();
        }
        joined
    }

    fn expect_string(&mut self) -> Parsed<String> {
        self.take_string().ok_or_else(|| self.unexpected())
    }

    // Shapes.

    fn comma_separated<T>(
        &mut self,
        mut rule: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = vec![rule(self)?];
        while self.take_symbol(",") {
            items.push(rule(self)?);
        }
        Ok(items)
    }

    fn parenthesized<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.expect_symbol("(")?;
        let value = rule(self)?;
        self.expect_symbol(")")?;
        Ok(value)
    }

    /// Tries a rule; on failure goes back and gives `None`.
    fn attempt<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Option<T> {
        let (at, depth) = (self.at, self.depth);
        let value = rule(self).ok();
        if value.is_none() {
            (self.at, self.depth) = (at, depth);
        }
        value
    }

    /// Runs a rule one level deeper.
    fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.depth += 1;
        let value = rule(self);
        self.depth -= 1;
        value
    }

    // Errors.

    fn source(&self, token: &Token) -> &'a str {
        &self.sql[token.start..token.end]
    }

    /// The text between two positions in the token list.
    fn source_between(&self, from: usize, to: usize) -> &'a str {
        if from >= to {
            return "";
        }
        &self.sql[self.tokens[from].start..self.tokens[to - 1].end]
    }

    fn unexpected(&self) -> SparkError {
        self.unexpected_with("")
    }

    fn unexpected_with(&self, hint: &str) -> SparkError {
        let token = self.token(0);
        let near = match token.kind {
            TokenKind::End => "end of input".to_owned(),
            _ => format!("'{}'", self.source(token)),
        };
        syntax::error_at(self.sql, token.start, &near, hint)
    }

    fn too_deep(&self) -> SparkError {
        let token = self.token(0);
        syntax::too_deep(self.sql, token.start, MAX_DEPTH)
    }

    fn unsupported(&self, what: &str) -> SparkError {
        syntax::unsupported(self.sql, self.token(0).start, what)
    }

    fn invalid_statement(&self, condition: &str, text: &str) -> SparkError {
        let end = self.sql.trim_end().len();
        SparkError::new(ErrorKind::Parse, condition, "42000", text)
            .at(syntax::context(self.sql, 0, end))
    }

    /// The place of what was read since a position in the token list.
    fn read_since(&self, start: usize) -> QueryContext {
        let end =
            if self.at > start { self.tokens[self.at - 1].end } else { self.tokens[start].start };
        syntax::context(self.sql, self.tokens[start].start, end)
    }

    fn invalid_reset(&self) -> SparkError {
        self.invalid_statement(
            "INVALID_RESET_COMMAND_FORMAT",
            "Expected format is 'RESET' or 'RESET key'. If you want to include special characters in key, please use \
             quotes, e.g., RESET `key`.",
        )
    }

    fn invalid_set(&self) -> SparkError {
        self.invalid_statement(
            "INVALID_SET_SYNTAX",
            "Expected format is 'SET', 'SET key', or 'SET key=value'. If you want to include special characters in \
             key, or include semicolon in value, please use backquotes, e.g., SET `key`=`value`.",
        )
    }
}
