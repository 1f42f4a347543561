//! SELECT with its clauses.

use super::primary::row_members;
use super::{Parsed, Parser};
use crate::ast::{Aggregate, Expr, Grouping, Relation, RelationKind};
use crate::lexer::TokenKind;

/// How many grouping sets a GROUP BY may make: CUBE of 12 columns.
const MAX_GROUPING_SETS: usize = 4096;

/// The parts of a SELECT, in the order they act.
struct Select {
    hints: Vec<(String, Vec<Expr>)>,
    distinct: bool,
    list: Vec<Expr>,
}

/// One element of GROUP BY.
enum GroupElement {
    Expression(Expr),
    Rollup(Vec<Vec<Expr>>),
    Cube(Vec<Vec<Expr>>),
    Sets(Vec<Vec<Expr>>),
}

impl Parser<'_> {
    pub(super) fn select(&mut self) -> Parsed<Relation> {
        self.nested(|p| {
            let scoped = p.read_windows_ahead()?;
            let relation = p.select_here();
            if scoped {
                p.windows.pop();
            }
            relation
        })
    }

    fn select_here(&mut self) -> Parsed<Relation> {
        let select = self.select_clause()?;
        let from =
            if self.at_word("FROM") { self.source_clause()? } else { RelationKind::OneRow.into() };
        self.select_rest(select, from)
    }

    /// `FROM t SELECT …`, and `FROM t` alone.
    pub(super) fn source_first(&mut self) -> Parsed<Relation> {
        self.nested(|p| {
            let scoped = p.read_windows_ahead()?;
            let relation = p.source_first_here();
            if scoped {
                p.windows.pop();
            }
            relation
        })
    }

    fn source_first_here(&mut self) -> Parsed<Relation> {
        let from = self.source_clause()?;
        if !self.at_word("SELECT") {
            let all = Expr::Star { target: Vec::new(), plan_id: None, except: Vec::new() };
            return Ok(project(from, vec![all], None, None));
        }
        let select = self.select_clause()?;
        self.select_rest(select, from)
    }

    fn select_clause(&mut self) -> Parsed<Select> {
        self.expect_word("SELECT")?;
        let mut hints = Vec::new();
        while self.take_symbol("/*+") {
            hints.extend(self.hint_list()?);
        }
        if self.at_words(&["TRANSFORM"])
            && self.symbol_ahead(1, "(")
            && self.transform_uses_script()
        {
            return Err(self.unsupported("TRANSFORM with a script"));
        }
        let distinct = self.take_quantifier();
        let list = self.comma_separated(Self::named_expression)?;
        Ok(Select { hints, distinct, list })
    }

    /// `TRANSFORM(…) USING 'script'`, not the function `transform`.
    fn transform_uses_script(&self) -> bool {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(self.at + 1) {
            match &token.kind {
                TokenKind::Symbol("(") => depth += 1,
                TokenKind::Symbol(")") => {
                    depth -= 1;
                    if depth == 0 {
                        return matches!(&self.tokens.get(index + 1).map(|next| &next.kind),
                            Some(TokenKind::Word(word)) if word == "USING" || word == "ROW");
                    }
                }
                _ => {}
            }
        }
        false
    }

    fn hint_list(&mut self) -> Parsed<Vec<(String, Vec<Expr>)>> {
        let mut hints = Vec::new();
        while !self.take_symbol("*/") {
            let name = self.identifier()?;
            let mut parameters = Vec::new();
            if self.at_symbol("(") {
                parameters = self.parenthesized(|p| {
                    if p.at_symbol(")") {
                        Ok(Vec::new())
                    } else {
                        p.comma_separated(Self::expression)
                    }
                })?;
            }
            hints.push((name, parameters));
            self.take_symbol(",");
        }
        Ok(hints)
    }

    fn select_rest(&mut self, select: Select, from: Relation) -> Parsed<Relation> {
        let mut relation = self.lateral_views(from)?;
        if self.take_word("WHERE") {
            let condition = self.expression()?;
            relation = RelationKind::Filter { input: relation.into(), condition }.into();
        }
        let grouping =
            if self.take_words(&["GROUP", "BY"]) { Some(self.group_by()?) } else { None };
        let having = if self.take_word("HAVING") { Some(self.expression()?) } else { None };
        let qualify = if self.take_word("QUALIFY") { Some(self.expression()?) } else { None };
        self.skip_window_clause()?;
        relation = project(relation, select.list, grouping, having);
        if let Some(condition) = qualify {
            relation = RelationKind::Qualify { input: relation.into(), condition }.into();
        }
        if select.distinct {
            relation = RelationKind::Deduplicate {
                input: relation.into(),
                columns: Vec::new(),
                all_columns: true,
            }
            .into();
        }
        for (name, parameters) in select.hints.into_iter().rev() {
            relation = RelationKind::Hint { input: relation.into(), name, parameters }.into();
        }
        Ok(relation)
    }

    /// The clause was read ahead of the select list.
    pub(super) fn skip_window_clause(&mut self) -> Parsed<()> {
        if self.at_word("WINDOW") {
            self.windows.push(Vec::new());
            let read = self.window_clause();
            self.windows.pop();
            read?;
        }
        Ok(())
    }

    fn group_by(&mut self) -> Parsed<Grouping> {
        let all = self.at_word("ALL")
            && !matches!(
                self.token(1).kind,
                TokenKind::Symbol("," | "." | "(" | "+" | "-" | "*" | "/")
            );
        if all {
            self.advance();
            return Ok(Grouping::All);
        }
        let elements = self.comma_separated(Self::group_element)?;
        if self.take_words(&["WITH", "ROLLUP"]) {
            return self.plain_elements(elements).map(Grouping::Rollup);
        }
        if self.take_words(&["WITH", "CUBE"]) {
            return self.plain_elements(elements).map(Grouping::Cube);
        }
        if self.take_words(&["GROUPING", "SETS"]) {
            let expressions = self.plain_elements(elements)?;
            let sets = self.parenthesized(|p| p.comma_separated(Self::grouping_set))?;
            return Ok(Grouping::Sets { expressions, sets });
        }
        self.grouping(elements)
    }

    fn group_element(&mut self) -> Parsed<GroupElement> {
        let list = |p: &mut Self| p.parenthesized(|p| p.comma_separated(Self::grouping_set));
        if self.symbol_ahead(1, "(") && self.take_word("ROLLUP") {
            return list(self).map(GroupElement::Rollup);
        }
        if self.symbol_ahead(1, "(") && self.take_word("CUBE") {
            return list(self).map(GroupElement::Cube);
        }
        if self.symbol_ahead(2, "(") && self.take_words(&["GROUPING", "SETS"]) {
            let nested = self
                .nested(|p| p.parenthesized(|p| p.comma_separated(Self::grouping_sets_element)))?;
            return Ok(GroupElement::Sets(nested.into_iter().flatten().collect()));
        }
        Ok(GroupElement::Expression(self.expression()?))
    }

    /// An element of GROUPING SETS: a set, or ROLLUP, CUBE or GROUPING SETS again.
    fn grouping_sets_element(&mut self) -> Parsed<Vec<Vec<Expr>>> {
        let analytics = self.symbol_ahead(1, "(") && self.at_any(&["ROLLUP", "CUBE"])
            || self.symbol_ahead(2, "(") && self.at_words(&["GROUPING", "SETS"]);
        if !analytics {
            return Ok(vec![self.grouping_set()?]);
        }
        let element = self.group_element()?;
        self.sets_of(element)
    }

    /// `(a, b)`, `()` or `a`.
    fn grouping_set(&mut self) -> Parsed<Vec<Expr>> {
        if self.at_symbol("(") && self.symbol_ahead(1, ")") {
            self.advance();
            self.advance();
            return Ok(Vec::new());
        }
        Ok(row_members(self.expression()?))
    }

    fn plain_elements(&self, elements: Vec<GroupElement>) -> Parsed<Vec<Expr>> {
        elements
            .into_iter()
            .map(|element| match element {
                GroupElement::Expression(expr) => Ok(expr),
                _ => Err(self.unexpected()),
            })
            .collect()
    }

    fn grouping(&self, elements: Vec<GroupElement>) -> Parsed<Grouping> {
        if elements.iter().all(|element| matches!(element, GroupElement::Expression(_))) {
            return self.plain_elements(elements).map(Grouping::Expressions);
        }
        let single = |sets: &[Vec<Expr>]| sets.iter().all(|set| set.len() == 1);
        match elements.as_slice() {
            [GroupElement::Rollup(sets)] if single(sets) => {
                return Ok(Grouping::Rollup(sets.concat()));
            }
            [GroupElement::Cube(sets)] if single(sets) => return Ok(Grouping::Cube(sets.concat())),
            _ => {}
        }
        let mut expressions: Vec<Expr> = Vec::new();
        let mut product: Vec<Vec<Expr>> = vec![Vec::new()];
        for element in elements {
            for expr in members(&element) {
                if !expressions.contains(expr) {
                    expressions.push(expr.clone());
                }
            }
            let sets = self.sets_of(element)?;
            if product.len() * sets.len() > MAX_GROUPING_SETS {
                return Err(self.too_deep());
            }
            product = product
                .iter()
                .flat_map(|left| {
                    sets.iter().map(|right| [left.as_slice(), right.as_slice()].concat())
                })
                .collect();
        }
        Ok(Grouping::Sets { expressions, sets: product })
    }

    fn sets_of(&self, element: GroupElement) -> Parsed<Vec<Vec<Expr>>> {
        match element {
            GroupElement::Expression(expr) => Ok(vec![vec![expr]]),
            GroupElement::Sets(sets) => Ok(sets),
            GroupElement::Rollup(groups) => {
                Ok((0..=groups.len()).rev().map(|count| groups[..count].concat()).collect())
            }
            GroupElement::Cube(groups) => {
                let count =
                    u32::try_from(groups.len()).ok().and_then(|count| 1_usize.checked_shl(count));
                let Some(count) = count.filter(|count| *count <= MAX_GROUPING_SETS) else {
                    return Err(self.too_deep());
                };
                let chosen = |mask: usize| {
                    let of_mask =
                        |(index, _): &(usize, _)| mask >> (groups.len() - 1 - index) & 1 == 1;
                    groups
                        .iter()
                        .enumerate()
                        .filter(of_mask)
                        .flat_map(|(_, group)| group.clone())
                        .collect()
                };
                Ok((0..count).rev().map(chosen).collect())
            }
        }
    }
}

fn members(element: &GroupElement) -> Vec<&Expr> {
    match element {
        GroupElement::Expression(expr) => vec![expr],
        GroupElement::Rollup(sets) | GroupElement::Cube(sets) | GroupElement::Sets(sets) => {
            sets.iter().flatten().collect()
        }
    }
}

fn project(
    input: Relation,
    list: Vec<Expr>,
    grouping: Option<Grouping>,
    having: Option<Expr>,
) -> Relation {
    if grouping.is_none() && having.is_none() {
        return RelationKind::Project { input: input.into(), exprs: list }.into();
    }
    let grouping = grouping.unwrap_or(Grouping::Expressions(Vec::new()));
    let aggregate =
        Aggregate { input, grouping, aggregates: list, select_list: true, having, pivot: None };
    RelationKind::Aggregate(Box::new(aggregate)).into()
}
