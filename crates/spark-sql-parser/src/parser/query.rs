//! Queries: common table expressions, set operations, ordering and limits.

use super::window::ascending;
use super::{Parsed, Parser};
use crate::ast::{Cte, Expr, Relation, RelationKind, SetOperation, SetOperator};
use crate::lexer::TokenKind;

/// How many operands a chain of set operations may have; each makes the tree one deeper.
const MAX_CHAIN: usize = 400;

impl Parser<'_> {
    /// Whether a query starts here.
    pub(super) fn at_query(&self) -> bool {
        self.at_query_ahead(0)
    }

    pub(super) fn at_query_ahead(&self, ahead: usize) -> bool {
        let next = &self.token(ahead + 1).kind;
        let named = matches!(next, TokenKind::Word(_) | TokenKind::Quoted(_));
        match self.word(ahead) {
            Some("SELECT") => {
                !matches!(
                    next,
                    TokenKind::Symbol("," | ")" | "." | "=" | "<" | ">" | "(") | TokenKind::End
                ) || self.select_list_ahead(ahead + 1)
            }
            Some("WITH" | "TABLE" | "FROM") => {
                named || matches!(next, TokenKind::Symbol("(")) && self.word(ahead) == Some("FROM")
            }
            Some("VALUES") => match next {
                TokenKind::Symbol(symbol) => matches!(*symbol, "(" | "-" | ":" | "?"),
                TokenKind::End => false,
                _ => true,
            },
            _ => false,
        }
    }

    /// `SELECT (a) …` and `SELECT .5` are queries although names could be followed by these.
    fn select_list_ahead(&self, ahead: usize) -> bool {
        self.symbol_ahead(ahead, "(")
    }

    /// `query` of the grammar.
    pub(crate) fn query(&mut self) -> Parsed<Relation> {
        self.nested(|p| {
            let ctes = p.ctes()?;
            let left = p.query_primary()?;
            let body = p.query_after(left)?;
            Ok(with_ctes(ctes, body))
        })
    }

    /// What may follow the first operand: set operations, ordering and limits.
    pub(super) fn query_after(&mut self, first: Relation) -> Parsed<Relation> {
        let body = self.set_operations(first)?;
        self.organize(body)
    }

    /// Whether the text goes on as a query after a parenthesised one.
    pub(super) fn at_query_continuation(&self) -> bool {
        const TWO_WORDS: [&str; 4] = ["ORDER", "SORT", "CLUSTER", "DISTRIBUTE"];
        match self.word(0) {
            Some("UNION" | "INTERSECT" | "EXCEPT" | "MINUS") => true,
            Some(word) if TWO_WORDS.contains(&word) => self.word(1) == Some("BY"),
            Some("LIMIT" | "OFFSET") => true,
            _ => false,
        }
    }

    pub(super) fn ctes(&mut self) -> Parsed<Option<(Vec<Cte>, bool)>> {
        if !self.take_word("WITH") {
            return Ok(None);
        }
        let recursive =
            self.at_word("RECURSIVE") && !self.symbol_ahead(1, "(") && self.word(1) != Some("AS");
        if recursive {
            self.advance();
        }
        let ctes = self.comma_separated(Self::cte)?;
        Ok(Some((ctes, recursive)))
    }

    fn cte(&mut self) -> Parsed<Cte> {
        let name = self.strict_identifier()?;
        let columns = if self.at_symbol("(") && !self.at_query_ahead(1) {
            self.identifier_list()?
        } else {
            Vec::new()
        };
        if self.take_words(&["MAX", "RECURSION", "LEVEL"]) {
            self.number()?;
        }
        self.take_word("AS");
        let relation = self.parenthesized(Self::query)?;
        Ok(Cte { name, columns, relation })
    }

    /// INTERSECT binds tighter than UNION, EXCEPT and MINUS.
    fn set_operations(&mut self, first: Relation) -> Parsed<Relation> {
        let mut left = self.intersections(first)?;
        let mut chain = 0;
        while let Some(word) = self.take_any(&["UNION", "EXCEPT", "MINUS"]) {
            chain += 1;
            if chain > MAX_CHAIN {
                return Err(self.too_deep());
            }
            let operator = if word == "UNION" { SetOperator::Union } else { SetOperator::Except };
            let all = self.take_any(&["ALL", "DISTINCT"]) == Some("ALL");
            let operand = self.query_primary()?;
            let right = self.intersections(operand)?;
            left = set_operation(operator, all, left, right);
        }
        Ok(left)
    }

    fn intersections(&mut self, first: Relation) -> Parsed<Relation> {
        let mut left = first;
        let mut chain = 0;
        while self.take_word("INTERSECT") {
            chain += 1;
            if chain > MAX_CHAIN {
                return Err(self.too_deep());
            }
            let all = self.take_any(&["ALL", "DISTINCT"]) == Some("ALL");
            let right = self.query_primary()?;
            left = set_operation(SetOperator::Intersect, all, left, right);
        }
        Ok(left)
    }

    fn query_primary(&mut self) -> Parsed<Relation> {
        match self.word(0) {
            Some("SELECT") => self.select(),
            Some("FROM") => self.source_first(),
            Some("VALUES") => self.inline_table(),
            Some("TABLE") => {
                self.advance();
                let name = self.multipart_identifier()?;
                Ok(named_table(name))
            }
            Some("MAP" | "REDUCE") => Err(self.unsupported("TRANSFORM with a script")),
            _ if self.at_symbol("(") => self.parenthesized(Self::query),
            _ => Err(self.unexpected()),
        }
    }

    fn organize(&mut self, mut relation: Relation) -> Parsed<Relation> {
        if self.take_words(&["ORDER", "BY"]) {
            let order = self.comma_separated(Self::sort_item)?;
            relation = RelationKind::Sort { input: relation.into(), order, global: true }.into();
        }
        if self.take_words(&["CLUSTER", "BY"]) {
            let exprs = self.comma_separated(Self::expression)?;
            let order = exprs.iter().cloned().map(ascending).collect();
            relation = repartition(relation, exprs);
            relation = RelationKind::Sort { input: relation.into(), order, global: false }.into();
        }
        if self.take_words(&["DISTRIBUTE", "BY"]) {
            let exprs = self.comma_separated(Self::expression)?;
            relation = repartition(relation, exprs);
        }
        if self.take_words(&["SORT", "BY"]) {
            let order = self.comma_separated(Self::sort_item)?;
            relation = RelationKind::Sort { input: relation.into(), order, global: false }.into();
        }
        self.skip_window_clause()?;
        self.limits(relation)
    }

    /// LIMIT and OFFSET, in either order; the offset is applied first.
    fn limits(&mut self, mut relation: Relation) -> Parsed<Relation> {
        let mut limit = None;
        let mut offset = None;
        loop {
            if limit.is_none() && self.take_word("LIMIT") {
                limit = Some(if self.take_word("ALL") { None } else { Some(self.expression()?) });
            } else if offset.is_none() && self.take_word("OFFSET") {
                offset = Some(self.expression()?);
            } else {
                break;
            }
        }
        if let Some(offset) = offset {
            relation = RelationKind::Offset { input: relation.into(), offset }.into();
        }
        if let Some(Some(limit)) = limit {
            relation = RelationKind::Limit { input: relation.into(), limit }.into();
        }
        Ok(relation)
    }
}

pub(super) fn with_ctes(ctes: Option<(Vec<Cte>, bool)>, input: Relation) -> Relation {
    match ctes {
        Some((ctes, recursive)) => {
            RelationKind::With { ctes, recursive, input: input.into() }.into()
        }
        None => input,
    }
}

pub(super) fn named_table(name: Vec<String>) -> Relation {
    RelationKind::NamedTable { name, options: std::collections::BTreeMap::new() }.into()
}

fn repartition(input: Relation, exprs: Vec<Expr>) -> Relation {
    RelationKind::RepartitionByExpression { input: input.into(), exprs, num_partitions: None }
        .into()
}

fn set_operation(operator: SetOperator, all: bool, left: Relation, right: Relation) -> Relation {
    let operation =
        SetOperation { left, right, operator, all, by_name: false, allow_missing_columns: false };
    RelationKind::SetOperation(Box::new(operation)).into()
}
