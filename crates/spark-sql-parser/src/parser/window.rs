//! Windows: OVER and the WINDOW clause.

use super::{Parsed, Parser};
use crate::ast::{Expr, FrameBound, Literal, SortOrder, Window, WindowFrame};
use crate::error::{ErrorKind, SparkError};
use crate::lexer::TokenKind;

/// A window's definition without its function.
#[derive(Debug, Clone, Default)]
pub(super) struct WindowSpec {
    partition_by: Vec<Expr>,
    order_by: Vec<SortOrder>,
    frame: Option<WindowFrame>,
}

impl Parser<'_> {
    /// What follows OVER.
    pub(super) fn over(&mut self, function: Expr) -> Parsed<Expr> {
        let spec = self.window_spec()?;
        Ok(Expr::Window(Box::new(Window {
            function,
            partition_by: spec.partition_by,
            order_by: spec.order_by,
            frame: spec.frame,
        })))
    }

    fn window_spec(&mut self) -> Parsed<WindowSpec> {
        if !self.at_symbol("(") {
            return self.window_reference();
        }
        let reference = matches!(self.token(1).kind, TokenKind::Word(_) | TokenKind::Quoted(_))
            && self.symbol_ahead(2, ")");
        if reference {
            return self.parenthesized(Self::window_reference);
        }
        self.parenthesized(|p| p.nested(Self::window_definition))
    }

    fn window_reference(&mut self) -> Parsed<WindowSpec> {
        let name = self.strict_identifier()?;
        let found = self
            .windows
            .iter()
            .rev()
            .flatten()
            .find(|(known, _)| known.eq_ignore_ascii_case(&name));
        found.map(|(_, spec)| spec.clone()).ok_or_else(|| {
            SparkError::new(
                ErrorKind::Analysis,
                "MISSING_WINDOW_SPECIFICATION",
                "42P20",
                format!(
                    "Window specification is not defined in the WINDOW clause for {name}. For more information about \
                     WINDOW clauses, please refer to \
                     'https://spark.apache.org/docs/latest/sql-ref-syntax-qry-select-window.html'."
                ),
            )
            .with("windowName", name.clone())
        })
    }

    fn window_definition(&mut self) -> Parsed<WindowSpec> {
        let mut spec = WindowSpec::default();
        if self.take_words(&["CLUSTER", "BY"]) {
            spec.partition_by = self.comma_separated(Self::expression)?;
            spec.order_by = spec.partition_by.iter().cloned().map(ascending).collect();
        } else {
            if self.take_words(&["PARTITION", "BY"]) || self.take_words(&["DISTRIBUTE", "BY"]) {
                spec.partition_by = self.comma_separated(Self::expression)?;
            }
            if self.take_words(&["ORDER", "BY"]) || self.take_words(&["SORT", "BY"]) {
                spec.order_by = self.comma_separated(Self::sort_item)?;
            }
        }
        if let Some(kind) = self.take_any(&["ROWS", "RANGE"]) {
            spec.frame = Some(self.frame(kind == "ROWS")?);
        }
        Ok(spec)
    }

    fn frame(&mut self, rows: bool) -> Parsed<WindowFrame> {
        if !self.take_word("BETWEEN") {
            return Ok(WindowFrame {
                rows,
                lower: self.frame_bound()?,
                upper: FrameBound::CurrentRow,
            });
        }
        let lower = self.frame_bound()?;
        self.expect_word("AND")?;
        Ok(WindowFrame { rows, lower, upper: self.frame_bound()? })
    }

    fn frame_bound(&mut self) -> Parsed<FrameBound> {
        if self.take_words(&["CURRENT", "ROW"]) {
            return Ok(FrameBound::CurrentRow);
        }
        if self.take_word("UNBOUNDED") {
            return match self.take_any(&["PRECEDING", "FOLLOWING"]) {
                Some("PRECEDING") => Ok(FrameBound::UnboundedPreceding),
                Some(_) => Ok(FrameBound::UnboundedFollowing),
                None => Err(self.unexpected()),
            };
        }
        let offset = self.value(0)?;
        match self.take_any(&["PRECEDING", "FOLLOWING"]) {
            Some("PRECEDING") => Ok(FrameBound::Offset(negative(offset))),
            Some(_) => Ok(FrameBound::Offset(offset)),
            None => Err(self.unexpected()),
        }
    }

    /// Reads the WINDOW clause of the SELECT that starts here, before the calls that name its windows. Gives whether
    /// one was found: the caller then pops it.
    pub(super) fn read_windows_ahead(&mut self) -> Parsed<bool> {
        let Some(clause) = self.find_window_clause() else {
            return Ok(false);
        };
        let at = self.at;
        self.windows.push(Vec::new());
        self.at = clause;
        let read = self.window_clause();
        self.at = at;
        let defined = read.inspect_err(|_| {
            self.windows.pop();
        })?;
        if let Some(scope) = self.windows.last_mut() {
            *scope = defined;
        }
        Ok(true)
    }

    /// Looks for `WINDOW name AS` at this nesting level, up to the end of the query or the next set operator.
    fn find_window_clause(&self) -> Option<usize> {
        if !self.has_windows {
            return None;
        }
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(self.at) {
            match &token.kind {
                TokenKind::Symbol("(") => depth += 1,
                TokenKind::Symbol(")") if depth == 0 => return None,
                TokenKind::Symbol(")") => depth -= 1,
                TokenKind::Symbol(";") => return None,
                TokenKind::Word(word) if depth == 0 => match word.as_str() {
                    "UNION" | "INTERSECT" | "EXCEPT" | "MINUS" if index > self.at + 1 => {
                        let star = matches!(self.tokens[index - 1].kind, TokenKind::Symbol("*"));
                        if !star {
                            return None;
                        }
                    }
                    "WINDOW" if self.is_word_at(index + 2, "AS") => return Some(index),
                    _ => {}
                },
                _ => {}
            }
        }
        None
    }

    fn is_word_at(&self, index: usize, word: &str) -> bool {
        matches!(self.tokens.get(index).map(|token| &token.kind), Some(TokenKind::Word(found)) if found == word)
    }

    /// `WINDOW a AS (…), b AS (…)`; a later one may be another name for an earlier one.
    pub(super) fn window_clause(&mut self) -> Parsed<Vec<(String, WindowSpec)>> {
        self.expect_word("WINDOW")?;
        self.comma_separated(|p| {
            let name = p.strict_identifier()?;
            p.expect_word("AS")?;
            let spec = p.window_spec()?;
            if let Some(scope) = p.windows.last_mut() {
                scope.push((name.clone(), spec.clone()));
            }
            Ok((name, spec))
        })
    }
}

pub(super) fn ascending(expr: Expr) -> SortOrder {
    SortOrder { expr, ascending: true, nulls_first: None }
}

fn negative(offset: Expr) -> Expr {
    match offset {
        Expr::Literal(Literal::Integer(value)) => {
            Expr::Literal(Literal::Integer(value.wrapping_neg()))
        }
        Expr::Literal(Literal::DayTimeInterval(value)) => {
            Expr::Literal(Literal::DayTimeInterval(value.wrapping_neg()))
        }
        Expr::Literal(Literal::YearMonthInterval(value)) => {
            Expr::Literal(Literal::YearMonthInterval(value.wrapping_neg()))
        }
        other => Expr::call("-", vec![other]),
    }
}
