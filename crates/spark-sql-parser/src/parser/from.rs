//! FROM: tables, joins, subqueries, lateral views, PIVOT and samples.

use super::primary::{row, row_members};
use super::query::named_table;
use super::{Parsed, Parser};
use crate::ast::{
    Aggregate, Expr, Function, Grouping, Join, JoinKind, Pivot, Relation, RelationKind,
};
use crate::error::{ErrorKind, SparkError};
use crate::lexer::TokenKind;

/// Joins in a row, each of which makes the tree one deeper.
const MAX_CHAIN: usize = 400;

impl Parser<'_> {
    pub(super) fn source_clause(&mut self) -> Parsed<Relation> {
        self.expect_word("FROM")?;
        let mut left = self.relation()?.1;
        let mut chain = 0;
        while self.take_symbol(",") {
            chain += 1;
            if chain > MAX_CHAIN {
                return Err(self.too_deep());
            }
            let (lateral, right) = self.relation()?;
            left = join(Join { lateral, ..plain_join(left, right, JoinKind::Inner) });
        }
        left = self.lateral_views(left)?;
        loop {
            left = if self.at_word("PIVOT") {
                self.pivot(left)?
            } else if self.at_word("UNPIVOT") {
                self.unpivot(left)?
            } else {
                return Ok(left);
            };
        }
    }

    /// A table with its joins, and whether LATERAL stood before it.
    fn relation(&mut self) -> Parsed<(bool, Relation)> {
        let lateral =
            self.at_word("LATERAL") && self.word(1) != Some("VIEW") && self.take_word("LATERAL");
        let first = self.relation_primary()?;
        Ok((lateral, self.relation_extensions(first)?))
    }

    fn relation_extensions(&mut self, mut left: Relation) -> Parsed<Relation> {
        let mut chain = 0;
        loop {
            chain += 1;
            if chain > MAX_CHAIN {
                return Err(self.too_deep());
            }
            left = if self.at_word("PIVOT") && self.symbol_ahead(1, "(") {
                self.pivot(left)?
            } else if self.at_word("UNPIVOT") {
                self.unpivot(left)?
            } else {
                let natural = self.at_word("NATURAL") && self.take_word("NATURAL");
                match self.join_kind()? {
                    Some(kind) => self.join(left, kind, natural)?,
                    None if natural => return Err(self.unexpected()),
                    None => return Ok(left),
                }
            };
        }
    }

    fn join_kind(&mut self) -> Parsed<Option<JoinKind>> {
        let kind = match self.word(0) {
            Some("JOIN") => JoinKind::Inner,
            Some("INNER") => self.skip_word(JoinKind::Inner),
            Some("CROSS") => self.skip_word(JoinKind::Cross),
            Some("SEMI") => self.skip_word(JoinKind::LeftSemi),
            Some("ANTI") => self.skip_word(JoinKind::LeftAnti),
            Some(side @ ("LEFT" | "RIGHT" | "FULL")) => {
                let outer = match side {
                    "LEFT" => JoinKind::LeftOuter,
                    "RIGHT" => JoinKind::RightOuter,
                    _ => JoinKind::FullOuter,
                };
                self.advance();
                match (outer, self.take_any(&["OUTER", "SEMI", "ANTI"])) {
                    (JoinKind::LeftOuter, Some("SEMI")) => JoinKind::LeftSemi,
                    (JoinKind::LeftOuter, Some("ANTI")) => JoinKind::LeftAnti,
                    (_, Some("SEMI" | "ANTI")) => return Err(self.unexpected()),
                    _ => outer,
                }
            }
            _ => return Ok(None),
        };
        self.expect_word("JOIN")?;
        Ok(Some(kind))
    }

    fn skip_word<T>(&mut self, value: T) -> T {
        self.advance();
        value
    }

    fn join(&mut self, left: Relation, kind: JoinKind, natural: bool) -> Parsed<Relation> {
        let lateral = self.take_word("LATERAL");
        let right = self.relation_primary()?;
        let mut made = Join { natural, lateral, ..plain_join(left, right, kind) };
        if natural {
            return Ok(join(made));
        }
        if self.take_word("ON") {
            made.condition = Some(self.expression()?);
        } else if self.at_word("USING") && self.symbol_ahead(1, "(") {
            self.advance();
            made.using = self.identifier_list()?;
        }
        Ok(join(made))
    }

    fn relation_primary(&mut self) -> Parsed<Relation> {
        self.nested(|p| {
            let relation = if p.at_symbol("(") {
                p.parenthesized_relation()?
            } else if p.at_word("VALUES") && p.at_query() {
                return p.inline_table();
            } else if let Some(call) = p.table_function()? {
                call
            } else {
                let name = p.multipart_identifier()?;
                p.no_time_travel()?;
                named_table(name)
            };
            let sampled = p.sample(relation)?;
            p.table_alias(sampled)
        })
    }

    /// `(query)` or `(relation)`; after `((` only what follows the inner one tells.
    fn parenthesized_relation(&mut self) -> Parsed<Relation> {
        self.parenthesized(|p| {
            if p.at_query() && !p.at_word("TABLE") || p.at_words(&["TABLE"]) && p.at_query() {
                return p.query();
            }
            let inner = p.at_symbol("(");
            let (_, relation) = p.nested(Self::relation)?;
            if inner && p.at_query_continuation() {
                return p.query_after(relation);
            }
            if !p.at_symbol(",") {
                return Ok(relation);
            }
            Err(p.unexpected())
        })
    }

    fn table_function(&mut self) -> Parsed<Option<Relation>> {
        if self.at_word("IDENTIFIER") && self.symbol_ahead(1, "(") {
            return Ok(None);
        }
        let mut ahead = 0;
        loop {
            if !matches!(self.token(ahead).kind, TokenKind::Word(_) | TokenKind::Quoted(_)) {
                return Ok(None);
            }
            ahead += 1;
            if self.symbol_ahead(ahead, "(") {
                break;
            }
            if !self.symbol_ahead(ahead, ".") {
                return Ok(None);
            }
            ahead += 1;
        }
        let name = self.multipart_identifier()?;
        if self.symbol_ahead(1, ")") {
            self.advance();
            self.advance();
            return Ok(Some(RelationKind::TableFunction { name, args: Vec::new() }.into()));
        }
        if self.word(1) == Some("TABLE") {
            return Err(self.unsupported("a table as argument of a table-valued function"));
        }
        let start = self.at;
        match self.call(name)? {
            Expr::Function(Function { name, args, .. }) => {
                Ok(Some(RelationKind::TableFunction { name, args }.into()))
            }
            _ => {
                self.at = start;
                Err(self.unexpected())
            }
        }
    }

    /// `VALUES (1, 'a'), (2, 'b') [AS t(x, y)]`.
    pub(super) fn inline_table(&mut self) -> Parsed<Relation> {
        let start = self.at;
        self.expect_word("VALUES")?;
        let rows: Vec<Vec<Expr>> = self.comma_separated(|p| {
            Ok(row_members(p.expression()?).into_iter().map(without_alias).collect())
        })?;
        let width = rows.first().map_or(0, Vec::len);
        if let Some((index, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != width) {
            return Err(self.uneven_rows(start, width, row.len(), index));
        }
        let values = RelationKind::Values { rows }.into();
        self.table_alias(values)
    }

    fn uneven_rows(&self, start: usize, expected: usize, found: usize, row: usize) -> SparkError {
        SparkError::new(
            ErrorKind::Parse,
            "INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH",
            "42000",
            format!(
                "Invalid inline table. Inline table expected {expected} columns but found {found} columns in row {row}."
            ),
        )
        .with("expectedNumCols", expected.to_string())
        .with("actualNumCols", found.to_string())
        .with("rowIndex", row.to_string())
        .at(self.read_since(start))
    }

    fn table_alias(&mut self, input: Relation) -> Parsed<Relation> {
        let explicit = self.take_word("AS");
        if !explicit && !self.at_alias(true) {
            return Ok(input);
        }
        let alias = self.strict_identifier()?;
        let columns = if self.at_symbol("(") { self.identifier_list()? } else { Vec::new() };
        Ok(RelationKind::SubqueryAlias { input: input.into(), alias, columns }.into())
    }

    fn no_time_travel(&self) -> Parsed<()> {
        let after = usize::from(self.at_word("FOR"));
        let versioned = matches!(
            self.word(after),
            Some("VERSION" | "SYSTEM_VERSION" | "TIMESTAMP" | "SYSTEM_TIME")
        ) && self.word(after + 1) == Some("AS")
            && self.word(after + 2) == Some("OF");
        if versioned { Err(self.unsupported("time travel")) } else { Ok(()) }
    }

    /// `TABLESAMPLE (10 PERCENT | 5 ROWS | BUCKET 1 OUT OF 4) [REPEATABLE (seed)]`.
    fn sample(&mut self, input: Relation) -> Parsed<Relation> {
        if !(self.at_word("TABLESAMPLE") && self.symbol_ahead(1, "(")) {
            return Ok(input);
        }
        self.advance();
        self.expect_symbol("(")?;
        if self.take_word("BUCKET") {
            let numerator = self.plain_number()?;
            self.expect_words(&["OUT", "OF"])?;
            let denominator = self.plain_number()?;
            self.expect_symbol(")")?;
            return self.sampled(input, numerator / denominator);
        }
        if self.word(1) == Some("PERCENT")
            || (self.at_symbol("-") && self.word(2) == Some("PERCENT"))
        {
            let sign = if self.take_symbol("-") { -1.0 } else { 1.0 };
            let percentage = self.plain_number()? * sign;
            self.expect_word("PERCENT")?;
            self.expect_symbol(")")?;
            return self.sampled(input, percentage / 100.0);
        }
        let limit = self.expression()?;
        self.expect_word("ROWS")?;
        self.expect_symbol(")")?;
        self.repeatable()?;
        Ok(RelationKind::Limit { input: input.into(), limit }.into())
    }

    fn plain_number(&mut self) -> Parsed<f64> {
        let number = match self.peek() {
            TokenKind::Integer | TokenKind::Decimal => self.source(self.token(0)).parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.unexpected())?;
        self.advance();
        Ok(number)
    }

    fn repeatable(&mut self) -> Parsed<Option<i64>> {
        if !self.take_word("REPEATABLE") {
            return Ok(None);
        }
        let seed = self.parenthesized(Self::plain_number)?;
        Ok(Some(seed as i64))
    }

    fn sampled(&mut self, input: Relation, fraction: f64) -> Parsed<Relation> {
        if !(0.0..=1.000_001).contains(&fraction) {
            let text = format!("Sampling fraction ({fraction}) must be on interval [0, 1]");
            return Err(self.invalid_statement("_LEGACY_ERROR_TEMP_0064", &text));
        }
        let seed = self.repeatable()?;
        let sample = RelationKind::Sample {
            input: input.into(),
            lower: 0.0,
            upper: fraction,
            with_replacement: false,
            seed,
        };
        Ok(sample.into())
    }

    pub(super) fn lateral_views(&mut self, mut input: Relation) -> Parsed<Relation> {
        let mut chain = 0;
        while self.take_words(&["LATERAL", "VIEW"]) {
            chain += 1;
            if chain > MAX_CHAIN {
                return Err(self.too_deep());
            }
            let outer =
                self.at_word("OUTER") && !self.symbol_ahead(1, "(") && self.take_word("OUTER");
            let name = self.multipart_identifier()?;
            let args = self.parenthesized(|p| {
                if p.at_symbol(")") { Ok(Vec::new()) } else { p.comma_separated(Self::expression) }
            })?;
            let generator = Expr::Function(Function { name, args, ..Function::default() });
            let table_alias = if self.at_word("AS") || !self.at_alias(true) {
                None
            } else {
                Some(self.strict_identifier()?)
            };
            let columns = self.take_word("AS") || (table_alias.is_some() && self.at_alias(true));
            let column_aliases = if columns { self.lateral_columns()? } else { Vec::new() };
            input = RelationKind::LateralView {
                input: input.into(),
                generator,
                outer,
                table_alias,
                column_aliases,
            }
            .into();
        }
        Ok(input)
    }

    fn lateral_columns(&mut self) -> Parsed<Vec<String>> {
        if self.at_symbol("(") {
            return self.identifier_list();
        }
        let mut names = vec![self.identifier()?];
        while self.at_symbol(",")
            && matches!(self.token(1).kind, TokenKind::Word(_) | TokenKind::Quoted(_))
        {
            self.advance();
            names.push(self.identifier()?);
        }
        Ok(names)
    }

    /// `PIVOT (sum(x) AS s FOR c IN ('a' AS a, 'b'))`.
    fn pivot(&mut self, input: Relation) -> Parsed<Relation> {
        self.expect_word("PIVOT")?;
        let relation = self.parenthesized(|p| {
            let aggregates = p.comma_separated(Self::named_expression)?;
            p.expect_word("FOR")?;
            let column = p.pivot_column()?;
            p.expect_word("IN")?;
            let values = p.parenthesized(|p| p.comma_separated(Self::pivot_value))?;
            let pivot = Some(Pivot { column, values });
            let aggregate = Aggregate {
                input,
                grouping: Grouping::All,
                aggregates,
                select_list: false,
                having: None,
                pivot,
            };
            Ok(RelationKind::Aggregate(Box::new(aggregate)).into())
        })?;
        self.table_alias(relation)
    }

    fn pivot_column(&mut self) -> Parsed<Expr> {
        if !self.at_symbol("(") {
            let name = self.multipart_identifier()?;
            return Ok(Expr::Attribute { name, plan_id: None });
        }
        let mut names = self.identifier_list()?;
        Ok(match names.len() {
            1 => Expr::column(&names.remove(0)),
            _ => row(names.iter().map(|name| Expr::column(name)).collect()),
        })
    }

    fn pivot_value(&mut self) -> Parsed<(Expr, Option<String>)> {
        Ok(match self.named_expression()? {
            Expr::Alias { expr, mut names, .. } => (*expr, Some(names.remove(0))),
            expr => (expr, None),
        })
    }

    /// `UNPIVOT [INCLUDE NULLS] (value FOR name IN (a, b AS c))`: all other columns are kept.
    fn unpivot(&mut self, input: Relation) -> Parsed<Relation> {
        self.expect_word("UNPIVOT")?;
        let include_nulls = self.take_words(&["INCLUDE", "NULLS"]);
        if !include_nulls {
            self.take_words(&["EXCLUDE", "NULLS"]);
        }
        if self.at_symbol("(") && self.symbol_ahead(1, "(") {
            return Err(self.unsupported("UNPIVOT to several value columns"));
        }
        let mut relation = self.parenthesized(|p| p.unpivot_columns(input))?;
        if let (false, RelationKind::Unpivot { value_column, .. }) = (include_nulls, &relation.kind)
        {
            let condition = Expr::call("isnotnull", vec![Expr::column(value_column)]);
            relation = RelationKind::Filter { input: relation.into(), condition }.into();
        }
        self.table_alias(relation)
    }

    fn unpivot_columns(&mut self, input: Relation) -> Parsed<Relation> {
        let value_column = self.identifier()?;
        self.expect_word("FOR")?;
        let variable_column = self.identifier()?;
        self.expect_word("IN")?;
        let mut except = Vec::new();
        let values = self.parenthesized(|p| {
            p.comma_separated(|p| {
                let name = p.multipart_identifier()?;
                except.push(name.clone());
                let column = Expr::Attribute { name, plan_id: None };
                let aliased = p.take_word("AS") || p.at_alias(true);
                Ok(if aliased { column.alias(&p.strict_identifier()?) } else { column })
            })
        })?;
        let ids = vec![Expr::Star { target: Vec::new(), plan_id: None, except }];
        Ok(RelationKind::Unpivot {
            input: input.into(),
            ids,
            values: Some(values),
            variable_column,
            value_column,
        }
        .into())
    }
}

/// `VALUES (struct(1 AS a))` names nothing.
fn without_alias(expr: Expr) -> Expr {
    match expr {
        Expr::Alias { expr, .. } => *expr,
        other => other,
    }
}

fn plain_join(left: Relation, right: Relation, kind: JoinKind) -> Join {
    Join { left, right, kind, condition: None, using: Vec::new(), natural: false, lateral: false }
}

fn join(join: Join) -> Relation {
    RelationKind::Join(Box::new(join)).into()
}
