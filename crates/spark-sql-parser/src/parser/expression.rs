//! Expressions: boolean connectives, predicates and operators, by precedence.
//!
//! From loosest to tightest: OR; AND; NOT; predicates (BETWEEN, IN, LIKE, IS); comparison; `|`; `^`; `&`; shifts;
//! `+ - ||`; `* / % DIV`; unary `+ - ~`; subscripts, fields and `::`.

use super::primary::row_members;
use super::{Parsed, Parser};
use crate::ast::{Expr, Literal, SortOrder};
use crate::error::{ErrorKind, SparkError};
use crate::lexer::TokenKind;

/// How long a chain of left-associative operators may grow: it makes as deep a tree.
const MAX_CHAIN: usize = 400;

/// Precedence of binary operators over values; higher binds tighter.
const COMPARISON: u8 = 1;

impl Parser<'_> {
    /// `expression` of the grammar.
    pub(crate) fn expression(&mut self) -> Parsed<Expr> {
        self.nested(Self::disjunction)
    }

    fn disjunction(&mut self) -> Parsed<Expr> {
        let mut operands = vec![self.conjunction()?];
        while self.take_word("OR") {
            operands.push(self.conjunction()?);
        }
        Ok(balanced("or", operands))
    }

    fn conjunction(&mut self) -> Parsed<Expr> {
        let mut operands = vec![self.negation()?];
        while self.take_word("AND") {
            operands.push(self.negation()?);
        }
        Ok(balanced("and", operands))
    }

    fn negation(&mut self) -> Parsed<Expr> {
        if self.at_symbol("!") || (self.at_word("NOT") && !self.word_is_name()) {
            self.advance();
            let operand = self.nested(Self::negation)?;
            return Ok(negate(operand));
        }
        let value = self.value(COMPARISON)?;
        self.predicate(value)
    }

    /// Whether the word here, which begins an operator or clause, is used as a column's name.
    pub(super) fn word_is_name(&self) -> bool {
        match &self.token(1).kind {
            TokenKind::End => true,
            TokenKind::Symbol(symbol) => {
                matches!(*symbol, "," | ")" | ";" | "." | "=" | "<" | ">" | "==" | "<=" | ">=")
            }
            TokenKind::Word(word) => matches!(word.as_str(), "FROM" | "AS"),
            _ => false,
        }
    }

    /// What may follow a value: at most one predicate.
    fn predicate(&mut self, value: Expr) -> Parsed<Expr> {
        let start = self.at;
        let negated = self.take_word("NOT") || self.take_symbol("!");
        let found = match self.take_any(&["BETWEEN", "IN", "LIKE", "ILIKE", "RLIKE", "REGEXP"]) {
            Some("BETWEEN") => self.between(value)?,
            Some("IN") => return self.membership(value, negated),
            Some(kind @ ("LIKE" | "ILIKE")) => return self.like(start, kind, value, negated),
            Some(_) => Expr::call("rlike", vec![value, self.value(COMPARISON)?]),
            None => {
                self.at = start;
                return if self.take_word("IS") { self.is(value) } else { Ok(value) };
            }
        };
        Ok(if negated { negate(found) } else { found })
    }

    fn between(&mut self, value: Expr) -> Parsed<Expr> {
        let lower = self.value(COMPARISON)?;
        self.expect_word("AND")?;
        let upper = self.value(COMPARISON)?;
        Ok(Expr::call("between", vec![value, lower, upper]))
    }

    fn membership(&mut self, value: Expr, negated: bool) -> Parsed<Expr> {
        self.expect_symbol("(")?;
        if self.at_query() {
            let query = Box::new(self.query()?);
            self.expect_symbol(")")?;
            return Ok(Expr::InSubquery { exprs: row_members(value), query, negated });
        }
        let list = self.comma_separated(Self::expression)?;
        self.expect_symbol(")")?;
        Ok(Expr::InList { expr: Box::new(value), list, negated })
    }

    fn like(&mut self, start: usize, kind: &str, value: Expr, negated: bool) -> Parsed<Expr> {
        let name = kind.to_lowercase();
        let with_patterns = self.symbol_ahead(1, "(");
        let all = match self.take_any(if with_patterns { &["ANY", "SOME", "ALL"] } else { &[] }) {
            Some(quantifier) => quantifier == "ALL",
            None => {
                let mut args = vec![value, self.value(COMPARISON)?];
                if self.take_word("ESCAPE") {
                    args.push(Expr::Literal(Literal::String(self.escape_character(start)?)));
                }
                let found = Expr::call(&name, args);
                return Ok(if negated { negate(found) } else { found });
            }
        };
        let patterns = self.parenthesized(|p| p.comma_separated(Self::expression))?;
        let matches = patterns
            .into_iter()
            .map(|pattern| {
                let found = Expr::call(&name, vec![value.clone(), pattern]);
                if negated { negate(found) } else { found }
            })
            .collect();
        Ok(balanced(if all { "and" } else { "or" }, matches))
    }

    fn escape_character(&mut self, start: usize) -> Parsed<String> {
        let text = self.expect_string()?;
        if text.chars().count() == 1 {
            return Ok(text);
        }
        let shown = format!("'{}'", text.replace('\'', "\\'"));
        Err(SparkError::new(
            ErrorKind::Parse,
            "INVALID_ESC",
            "42604",
            format!("Found an invalid escape string: {shown}. The escape string must contain only one character."),
        )
        .with("invalidEscape", shown)
        .at(self.read_since(start)))
    }

    fn is(&mut self, value: Expr) -> Parsed<Expr> {
        let negated = self.take_word("NOT") || self.take_symbol("!");
        let null_safe = |value, other| Expr::call("<=>", vec![value, other]);
        match self.take_any(&["NULL", "UNKNOWN", "TRUE", "FALSE", "DISTINCT"]) {
            Some("NULL" | "UNKNOWN") => {
                Ok(Expr::call(if negated { "isnotnull" } else { "isnull" }, vec![value]))
            }
            Some(truth @ ("TRUE" | "FALSE")) => {
                let found = null_safe(value, Expr::Literal(Literal::Boolean(truth == "TRUE")));
                Ok(if negated { negate(found) } else { found })
            }
            Some(_) => {
                self.expect_word("FROM")?;
                let found = null_safe(value, self.value(COMPARISON)?);
                Ok(if negated { found } else { negate(found) })
            }
            None => Err(self.unexpected()),
        }
    }

    /// `valueExpression` of the grammar: operators of at least this precedence.
    pub(super) fn value(&mut self, minimum: u8) -> Parsed<Expr> {
        let mut left = self.unary()?;
        let mut chain = 0;
        while let Some((name, precedence, tokens)) = self.binary_operator() {
            if precedence < minimum {
                break;
            }
            chain += 1;
            if chain > MAX_CHAIN {
                return Err(self.too_deep());
            }
            self.at += tokens;
            let right = self.nested(|p| p.value(precedence + 1))?;
            left = Expr::call(name, vec![left, right]);
        }
        Ok(left)
    }

    /// The binary operator here: its function, its precedence and how many tokens it is.
    fn binary_operator(&self) -> Option<(&'static str, u8, usize)> {
        let symbol = match &self.token(0).kind {
            TokenKind::Symbol(symbol) => *symbol,
            TokenKind::Word(word) if word == "DIV" => return Some(("div", 7, 1)),
            _ => return None,
        };
        Some(match symbol {
            "*" => ("*", 7, 1),
            "/" => ("/", 7, 1),
            "%" => ("%", 7, 1),
            "+" => ("+", 6, 1),
            "-" => ("-", 6, 1),
            "||" => ("||", 6, 1),
            "<<" => ("<<", 5, 1),
            ">" => match self.adjacent_greater() {
                2 => (">>", 5, 2),
                3 => (">>>", 5, 3),
                _ => (">", 1, 1),
            },
            "&" => ("&", 4, 1),
            "^" => ("^", 3, 1),
            "|" => ("|", 2, 1),
            "=" | "==" => ("==", 1, 1),
            "<=>" => ("<=>", 1, 1),
            "<>" | "!=" => ("!=", 1, 1),
            "<" => ("<", 1, 1),
            "<=" | "!>" => ("<=", 1, 1),
            ">=" | "!<" => (">=", 1, 1),
            _ => return None,
        })
    }

    /// How many `>` stand here without a gap.
    fn adjacent_greater(&self) -> usize {
        let mut count = 1;
        while self.symbol_ahead(count, ">") && self.token(count - 1).end == self.token(count).start
        {
            count += 1;
        }
        count
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let name = match self.peek() {
            // A minus before a number belongs to it.
            TokenKind::Symbol("-") if !self.at_negative_number() => "-",
            TokenKind::Symbol("+") => "+",
            TokenKind::Symbol("~") => "~",
            _ => {
                let primary = self.primary()?;
                return self.postfix(primary);
            }
        };
        self.advance();
        let operand = self.nested(Self::unary)?;
        Ok(Expr::call(name, vec![operand]))
    }

    fn at_negative_number(&self) -> bool {
        self.at_symbol("-") && self.token(1).kind.is_number()
    }

    /// Fields, subscripts, casts and collations after a primary expression.
    fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let mut chain = 0;
        loop {
            chain += 1;
            if chain > MAX_CHAIN {
                return Err(self.too_deep());
            }
            expr = if self.take_symbol("[") {
                let index = self.nested(|p| p.value(COMPARISON))?;
                self.expect_symbol("]")?;
                Expr::ExtractValue { child: Box::new(expr), extraction: Box::new(index) }
            } else if self.at_symbol(".") && !self.symbol_ahead(1, "*") {
                self.advance();
                field(expr, self.identifier()?)
            } else if self.take_symbol("::") {
                let to = self.data_type()?;
                Expr::Cast { expr: Box::new(expr), to, mode: crate::ast::CastMode::Session }
            } else if self.at_word("COLLATE") && matches!(self.token(1).kind, TokenKind::Word(_)) {
                self.advance();
                let collation = Expr::Literal(Literal::String(self.identifier()?));
                Expr::call("collate", vec![expr, collation])
            } else {
                return Ok(expr);
            };
        }
    }

    /// `expr [AS] name` or `expr AS (names)`.
    pub(super) fn named_expression(&mut self) -> Parsed<Expr> {
        let expr = self.expression()?;
        let explicit = self.take_word("AS");
        let names = if self.at_symbol("(") && !matches!(expr, Expr::Star { .. }) {
            self.identifier_list()?
        } else if explicit || self.at_alias(false) {
            vec![self.strict_identifier()?]
        } else {
            return Ok(expr);
        };
        Ok(Expr::Alias { expr: Box::new(expr), names, metadata: None })
    }

    /// `expr [ASC|DESC] [NULLS FIRST|LAST]`.
    pub(super) fn sort_item(&mut self) -> Parsed<SortOrder> {
        let expr = self.expression()?;
        let ascending = match self.take_any(&["ASC", "DESC"]) {
            Some(direction) => direction == "ASC",
            None => true,
        };
        let nulls_first = match self.take_word("NULLS") {
            false => None,
            true => match self.take_any(&["FIRST", "LAST"]) {
                Some(place) => Some(place == "FIRST"),
                None => return Err(self.unexpected()),
            },
        };
        Ok(SortOrder { expr, ascending, nulls_first })
    }
}

/// NOT, taken into those nodes that carry it.
fn negate(expr: Expr) -> Expr {
    match expr {
        Expr::Exists { query, negated: false } => Expr::Exists { query, negated: true },
        other => Expr::call("not", vec![other]),
    }
}

/// A chain of AND or OR as the balanced tree Spark makes of it, so that thousands of terms do not nest thousands deep.
fn balanced(name: &str, mut operands: Vec<Expr>) -> Expr {
    match operands.len() {
        0 => Expr::Literal(Literal::Boolean(name == "and")),
        1 => operands.remove(0),
        count => {
            let right = operands.split_off(count.div_ceil(2));
            Expr::call(name, vec![balanced(name, operands), balanced(name, right)])
        }
    }
}

/// `expr.name`; on a column it may be a qualified name.
fn field(expr: Expr, name: String) -> Expr {
    match expr {
        Expr::Attribute { name: mut parts, plan_id } => {
            parts.push(name);
            Expr::Attribute { name: parts, plan_id }
        }
        Expr::LambdaVariable { name: mut parts } => {
            parts.push(name);
            Expr::LambdaVariable { name: parts }
        }
        other => Expr::ExtractValue {
            child: Box::new(other),
            extraction: Box::new(Expr::Literal(Literal::String(name))),
        },
    }
}
