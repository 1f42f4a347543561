//! Primary expressions: literals, names, calls, and the forms with keywords inside.

use super::{Parsed, Parser};
use crate::ast::{CastMode, Expr, Function, Literal, Parameter};
use crate::lexer::TokenKind;

/// A row constructor `(a, b)`: a struct whose fields are named by columns, else col1, col2, ….
pub(super) fn row(members: Vec<Expr>) -> Expr {
    let mut args = Vec::with_capacity(members.len() * 2);
    for (index, member) in members.into_iter().enumerate() {
        let (name, value) = match member {
            Expr::Alias { expr, mut names, .. } if names.len() == 1 => (names.remove(0), *expr),
            Expr::Attribute { name, plan_id } => {
                (name.last().cloned().unwrap_or_default(), Expr::Attribute { name, plan_id })
            }
            other => (format!("col{}", index + 1), other),
        };
        args.push(Expr::Literal(Literal::String(name)));
        args.push(value);
    }
    Expr::call(ROW, args)
}

const ROW: &str = "named_struct";

/// The members of a row constructor; any other expression is its own only member.
pub(super) fn row_members(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::Function(Function { name, args, .. }) if name == [ROW] => {
            args.into_iter().skip(1).step_by(2).collect()
        }
        other => vec![other],
    }
}

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        match self.peek().clone() {
            TokenKind::Word(word) => self.word_primary(&word),
            TokenKind::Quoted(_) => self.name_or_call(),
            TokenKind::String(_) => Ok(Expr::Literal(Literal::String(self.expect_string()?))),
            TokenKind::Symbol("(") => self.parenthesis(),
            TokenKind::Symbol("*") => {
                self.advance();
                self.star(Vec::new())
            }
            TokenKind::Symbol("?") => {
                let at = self.markers_before();
                self.advance();
                let bound = self.options.positional_parameters.get(at).cloned();
                Ok(bound.unwrap_or(Expr::Parameter(Parameter::Positional(at))))
            }
            TokenKind::Symbol(":") => {
                self.advance();
                let name = self.identifier()?;
                let bound = self.options.named_parameters.get(&name).cloned();
                Ok(bound.unwrap_or(Expr::Parameter(Parameter::Named(name))))
            }
            TokenKind::Symbol("-") if self.token(1).kind.is_number() => self.number(),
            kind if kind.is_number() => self.number(),
            _ => Err(self.unexpected()),
        }
    }

    /// How many `?` stand before this place; parts of the text are read twice or out of order.
    fn markers_before(&self) -> usize {
        self.tokens[..self.at].iter().filter(|token| token.kind == TokenKind::Symbol("?")).count()
    }

    fn word_primary(&mut self, word: &str) -> Parsed<Expr> {
        if self.symbol_ahead(1, "->") {
            return self.lambda();
        }
        if self.symbol_ahead(1, "(")
            && let Some(parsed) = self.keyword_call(word)
        {
            return parsed;
        }
        if matches!(self.token(1).kind, TokenKind::String(_))
            && let Some(parsed) = self.typed_literal(word)
        {
            return parsed;
        }
        match word {
            "NULL" if !self.symbol_ahead(1, "(") => {
                self.advance();
                Ok(Expr::Literal(Literal::Null(crate::types::DataType::Null)))
            }
            "TRUE" | "FALSE" => {
                self.advance();
                Ok(Expr::Literal(Literal::Boolean(word == "TRUE")))
            }
            "CASE" if !self.case_is_name() => self.case(),
            "INTERVAL" if self.at_interval() => self.interval(),
            "CURRENT_DATE" | "CURRENT_TIMESTAMP" | "CURRENT_TIME" | "CURRENT_USER" | "USER"
            | "SESSION_USER" | "LOCALTIMESTAMP"
                if !self.symbol_ahead(1, "(") && !self.symbol_ahead(1, ".") =>
            {
                self.advance();
                let name = if matches!(word, "USER" | "SESSION_USER") {
                    "current_user".into()
                } else {
                    word.to_lowercase()
                };
                Ok(Expr::call(&name, Vec::new()))
            }
            _ if word != "INTERVAL" && matches!(self.token(1).kind, TokenKind::String(_)) => {
                Err(self.unsupported_literal())
            }
            _ if self.ends_expression(word) => Err(self.unexpected()),
            _ => self.name_or_call(),
        }
    }

    /// Whether a word that begins a clause stands where an operand is missing.
    fn ends_expression(&self, word: &str) -> bool {
        const CLAUSES: &[&str] = &[
            "FROM",
            "WHERE",
            "GROUP",
            "HAVING",
            "ORDER",
            "LIMIT",
            "UNION",
            "INTERSECT",
            "EXCEPT",
            "MINUS",
            "ON",
            "WHEN",
            "THEN",
            "ELSE",
            "END",
            "AND",
            "OR",
            "AS",
            "IS",
            "IN",
            "BETWEEN",
            "SELECT",
            "JOIN",
            "USING",
            "QUALIFY",
        ];
        CLAUSES.contains(&word) && !self.symbol_ahead(1, "(") && !self.word_is_name()
            || (CLAUSES[..12].contains(&word) && self.word_begins_clause())
    }

    /// `GROUP BY`, `FROM t`, …: a clause even where a name could stand.
    fn word_begins_clause(&self) -> bool {
        match (self.word(0), &self.token(1).kind) {
            (Some("GROUP" | "ORDER"), TokenKind::Word(next)) => next == "BY",
            (Some("FROM"), TokenKind::Word(next)) => next != "FROM",
            _ => false,
        }
    }

    fn case_is_name(&self) -> bool {
        self.word(1) != Some("WHEN") && self.word_is_name()
    }

    fn case(&mut self) -> Parsed<Expr> {
        self.advance();
        let operand = if self.at_word("WHEN") { None } else { Some(Box::new(self.expression()?)) };
        let mut branches = Vec::new();
        while self.take_word("WHEN") {
            let condition = self.expression()?;
            self.expect_word("THEN")?;
            branches.push((condition, self.expression()?));
        }
        if branches.is_empty() {
            return Err(self.unexpected());
        }
        let otherwise =
            if self.take_word("ELSE") { Some(Box::new(self.expression()?)) } else { None };
        self.expect_word("END")?;
        Ok(Expr::Case { operand, branches, otherwise })
    }

    /// `(query)`, `(expr)`, `(a, b)`, or the parameters of a lambda.
    fn parenthesis(&mut self) -> Parsed<Expr> {
        if let Some(parameters) = self.lambda_parameters() {
            return self.lambda_body(parameters);
        }
        self.expect_symbol("(")?;
        if self.at_query() {
            let query = self.query()?;
            self.expect_symbol(")")?;
            return Ok(Expr::ScalarSubquery(Box::new(query)));
        }
        let nested = self.at_symbol("(");
        let first = self.named_expression()?;
        if nested && self.at_query_continuation() {
            return self.continued_subquery(first);
        }
        // Only members of a row may have names.
        let aliased = matches!(first, Expr::Alias { .. });
        let mut items = vec![first];
        while self.take_symbol(",") {
            items.push(self.named_expression()?);
        }
        if items.len() == 1 && aliased {
            return Err(self.unexpected());
        }
        self.expect_symbol(")")?;
        match items.len() {
            1 => Ok(items.remove(0)),
            _ => Ok(row(items)),
        }
    }

    /// `((SELECT …) UNION …)`: what was read as a scalar subquery is the query's first operand.
    fn continued_subquery(&mut self, first: Expr) -> Parsed<Expr> {
        let Expr::ScalarSubquery(left) = first else {
            return Err(self.unexpected());
        };
        let query = self.query_after(*left)?;
        self.expect_symbol(")")?;
        Ok(Expr::ScalarSubquery(Box::new(query)))
    }

    fn star(&mut self, target: Vec<String>) -> Parsed<Expr> {
        let mut except = Vec::new();
        if self.at_word("EXCEPT") && self.symbol_ahead(1, "(") && !self.at_query_ahead(2) {
            self.advance();
            except = self.parenthesized(|p| p.comma_separated(Self::multipart_identifier))?;
        }
        Ok(Expr::Star { target, plan_id: None, except })
    }

    /// A column, `t.*`, or a call.
    fn name_or_call(&mut self) -> Parsed<Expr> {
        if self.at_word("IDENTIFIER")
            && self.symbol_ahead(1, "(")
            && matches!(self.token(2).kind, TokenKind::String(_))
        {
            let name = self.multipart_identifier()?;
            return if self.at_symbol("(") {
                self.call(name)
            } else {
                Ok(Expr::Attribute { name, plan_id: None })
            };
        }
        let mut name = vec![self.identifier()?];
        loop {
            if self.at_symbol(".") && self.symbol_ahead(1, "*") {
                self.advance();
                self.advance();
                return self.star(name);
            }
            if self.at_symbol(".")
                && matches!(self.token(1).kind, TokenKind::Word(_) | TokenKind::Quoted(_))
            {
                self.advance();
                name.push(self.identifier()?);
                continue;
            }
            break;
        }
        if self.at_symbol("(") {
            return self.call(name);
        }
        Ok(match self.is_lambda_variable(&name[0]) {
            true => Expr::LambdaVariable { name },
            false => Expr::Attribute { name, plan_id: None },
        })
    }

    /// A function call with everything that may follow its arguments.
    pub(super) fn call(&mut self, name: Vec<String>) -> Parsed<Expr> {
        let mut function = Function { name, ..Function::default() };
        self.expect_symbol("(")?;
        if !self.at_symbol(")") {
            function.distinct = self.take_quantifier();
            function.args = self.comma_separated(Self::argument)?;
            // FIRST(x IGNORE NULLS), as Spark reads it for first, last and any_value.
            if let Some(option) = self.take_any(&["IGNORE", "RESPECT"]) {
                self.expect_word("NULLS")?;
                function.ignore_nulls = Some(option == "IGNORE");
            }
        }
        self.expect_symbol(")")?;
        self.call_rest(function)
    }

    /// DISTINCT or ALL before arguments or a select list.
    pub(super) fn take_quantifier(&mut self) -> bool {
        let name = matches!(
            self.token(1).kind,
            TokenKind::Symbol("," | ")" | "." | "=" | "+" | "/" | "<" | ">" | "::" | "[")
                | TokenKind::End
        );
        let from = self.word(1) == Some("FROM") || self.word(1) == Some("AS");
        if name || from || (self.symbol_ahead(1, "-") && !self.token(2).kind.is_number()) {
            return false;
        }
        self.take_any(&["DISTINCT", "ALL"]) == Some("DISTINCT")
    }

    fn argument(&mut self) -> Parsed<Expr> {
        let named = matches!(self.peek(), TokenKind::Word(_) | TokenKind::Quoted(_))
            && self.symbol_ahead(1, "=>");
        if !named {
            return self.expression();
        }
        let key = self.identifier()?;
        self.expect_symbol("=>")?;
        Ok(Expr::NamedArgument { key, value: Box::new(self.expression()?) })
    }

    fn call_rest(&mut self, mut function: Function) -> Parsed<Expr> {
        if self.take_words(&["WITHIN", "GROUP"]) {
            function.within_group = self.parenthesized(|p| {
                p.expect_words(&["ORDER", "BY"])?;
                p.comma_separated(Self::sort_item)
            })?;
        }
        if self.at_word("FILTER") && self.symbol_ahead(1, "(") {
            self.advance();
            let filter = self.parenthesized(|p| {
                p.expect_word("WHERE")?;
                p.expression()
            })?;
            function.filter = Some(Box::new(filter));
        }
        if self.word(1) == Some("NULLS")
            && let Some(option) = self.take_any(&["IGNORE", "RESPECT"])
        {
            self.advance();
            function.ignore_nulls = Some(option == "IGNORE");
        }
        let over = self.at_word("OVER")
            && (self.symbol_ahead(1, "(")
                || matches!(self.token(1).kind, TokenKind::Word(_) | TokenKind::Quoted(_)));
        if !over {
            return Ok(Expr::Function(function));
        }
        self.advance();
        self.over(Expr::Function(function))
    }

    /// Calls whose arguments have keywords inside; `None` when an ordinary call is to be read.
    fn keyword_call(&mut self, word: &str) -> Option<Parsed<Expr>> {
        Some(match word {
            "CAST" => self.cast(CastMode::Session),
            "TRY_CAST" => self.cast(CastMode::Try),
            "EXISTS" if self.at_query_ahead(2) => self.exists(),
            "EXTRACT" => self.extract(),
            "TRIM" => self.trim()?,
            "SUBSTRING" | "SUBSTR" => self.substring()?,
            "POSITION" => self.position()?,
            "OVERLAY" => self.overlay()?,
            "STRUCT" => self.structure(),
            "TIMESTAMPADD" | "DATEADD" | "DATE_ADD" => self.timestamp_arithmetic("timestampadd")?,
            "TIMESTAMPDIFF" | "DATEDIFF" | "DATE_DIFF" | "TIMEDIFF" => {
                self.timestamp_arithmetic("timestampdiff")?
            }
            _ => return None,
        })
    }

    fn cast(&mut self, mode: CastMode) -> Parsed<Expr> {
        self.advance();
        self.parenthesized(|p| {
            let expr = Box::new(p.expression()?);
            p.expect_word("AS")?;
            Ok(Expr::Cast { expr, to: p.data_type()?, mode })
        })
    }

    fn exists(&mut self) -> Parsed<Expr> {
        self.advance();
        let query = Box::new(self.parenthesized(Self::query)?);
        Ok(Expr::Exists { query, negated: false })
    }

    fn extract(&mut self) -> Parsed<Expr> {
        self.advance();
        self.parenthesized(|p| {
            let field = Expr::Literal(Literal::String(p.identifier()?));
            p.expect_word("FROM")?;
            Ok(Expr::call("extract", vec![field, p.value(0)?]))
        })
    }

    /// Reads a special form, and goes back for an ordinary call when the text does not have that form.
    fn special_form(
        &mut self,
        rule: impl FnOnce(&mut Self) -> Parsed<Expr>,
    ) -> Option<Parsed<Expr>> {
        self.attempt(|p| {
            p.advance();
            p.parenthesized(rule)
        })
        .map(Ok)
    }

    /// `TRIM([BOTH|LEADING|TRAILING] [characters] FROM text)`; Spark's functions take the characters first.
    fn trim(&mut self) -> Option<Parsed<Expr>> {
        self.special_form(|p| {
            let side = p.take_any(&["BOTH", "LEADING", "TRAILING"]);
            let mut args = Vec::new();
            if !p.at_word("FROM") || p.word_is_name() {
                args.push(p.value(0)?);
            }
            p.expect_word("FROM")?;
            args.push(p.value(0)?);
            let name = match side {
                Some("LEADING") => "ltrim",
                Some("TRAILING") => "rtrim",
                _ => "trim",
            };
            Ok(Expr::call(name, args))
        })
    }

    fn substring(&mut self) -> Option<Parsed<Expr>> {
        self.special_form(|p| {
            let text = p.value(0)?;
            p.expect_word("FROM")?;
            let mut args = vec![text, p.value(0)?];
            if p.take_word("FOR") {
                args.push(p.value(0)?);
            }
            Ok(Expr::call("substring", args))
        })
    }

    fn position(&mut self) -> Option<Parsed<Expr>> {
        self.special_form(|p| {
            let part = p.value(0)?;
            p.expect_word("IN")?;
            Ok(Expr::call("locate", vec![part, p.value(0)?]))
        })
    }

    fn overlay(&mut self) -> Option<Parsed<Expr>> {
        self.special_form(|p| {
            let input = p.value(0)?;
            p.expect_word("PLACING")?;
            let replacement = p.value(0)?;
            p.expect_word("FROM")?;
            let mut args = vec![input, replacement, p.value(0)?];
            if p.take_word("FOR") {
                args.push(p.value(0)?);
            }
            Ok(Expr::call("overlay", args))
        })
    }

    /// `STRUCT(a AS x, b)`.
    fn structure(&mut self) -> Parsed<Expr> {
        self.advance();
        let args = self.parenthesized(|p| {
            if p.at_symbol(")") {
                Ok(Vec::new())
            } else {
                p.comma_separated(Self::named_expression)
            }
        })?;
        Ok(Expr::call("struct", args))
    }

    /// `DATEADD(DAY, 1, d)`: the unit is a bare word, and there are three arguments.
    fn timestamp_arithmetic(&mut self, function: &str) -> Option<Parsed<Expr>> {
        const UNITS: &[&str] = &[
            "YEAR",
            "QUARTER",
            "MONTH",
            "WEEK",
            "DAY",
            "DAYOFYEAR",
            "HOUR",
            "MINUTE",
            "SECOND",
            "MILLISECOND",
            "MICROSECOND",
        ];
        if !(self.word(2).is_some_and(|unit| UNITS.contains(&unit)) && self.symbol_ahead(3, ",")) {
            return None;
        }
        self.special_form(|p| {
            let unit = Expr::Literal(Literal::String(p.identifier()?));
            p.expect_symbol(",")?;
            let first = p.value(0)?;
            p.expect_symbol(",")?;
            Ok(Expr::call(function, vec![unit, first, p.value(0)?]))
        })
    }

    // Lambdas.

    fn lambda(&mut self) -> Parsed<Expr> {
        let parameter = self.identifier()?;
        self.lambda_body(vec![parameter])
    }

    /// `(x, y)` before `->`.
    fn lambda_parameters(&mut self) -> Option<Vec<String>> {
        let mut ahead = 1;
        loop {
            if !matches!(self.token(ahead).kind, TokenKind::Word(_) | TokenKind::Quoted(_)) {
                return None;
            }
            ahead += 1;
            if self.symbol_ahead(ahead, ")") {
                break;
            }
            if !self.symbol_ahead(ahead, ",") {
                return None;
            }
            ahead += 1;
        }
        if !self.symbol_ahead(ahead + 1, "->") {
            return None;
        }
        self.attempt(Self::identifier_list)
    }

    fn lambda_body(&mut self, parameters: Vec<String>) -> Parsed<Expr> {
        self.expect_symbol("->")?;
        let outer = self.lambda_names.len();
        self.lambda_names.extend(parameters.iter().map(|name| name.to_lowercase()));
        let body = self.expression();
        self.lambda_names.truncate(outer);
        Ok(Expr::Lambda { body: Box::new(body?), parameters })
    }

    fn is_lambda_variable(&self, name: &str) -> bool {
        !self.lambda_names.is_empty() && self.lambda_names.contains(&name.to_lowercase())
    }
}
