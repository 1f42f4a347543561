//! Joins: ON, USING, NATURAL, lateral, and what each kind leaves visible.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::{JoinConstraint, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use spark_sql_parser::ast::{self, JoinKind};

use super::scope::{Clause, Env, OuterFrame, Scope};
use super::sort::has_subquery;
use super::subquery::{is_correlated, lateral};
use super::{Analyzer, fresh_name, output_field};
use crate::errors::{self, Result, analysis, from_datafusion};
use crate::field::{Hidden, OutputField, Rel, same_name};

fn join_type(kind: JoinKind) -> JoinType {
    match kind {
        JoinKind::Inner | JoinKind::Cross => JoinType::Inner,
        JoinKind::LeftOuter => JoinType::Left,
        JoinKind::RightOuter => JoinType::Right,
        JoinKind::FullOuter => JoinType::Full,
        JoinKind::LeftSemi => JoinType::LeftSemi,
        JoinKind::LeftAnti => JoinType::LeftAnti,
    }
}

fn left_only(kind: JoinKind) -> bool {
    matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti)
}

impl Analyzer<'_> {
    pub(super) fn join(&self, join: &ast::Join, env: Env<'_>) -> Result<Rel> {
        let left = self.relation(&join.left, env)?;
        let mut right = if join.lateral {
            let frame =
                OuterFrame { fields: &left.fields, schema: left.plan.schema(), parent: env.outer };
            self.relation(&join.right, Env { outer: Some(&frame), ..env })?.pruned()?
        } else {
            self.relation(&join.right, env)?
        };
        if join.lateral && is_correlated(&right.plan) {
            right.plan = lateral(right.plan);
        }
        let using =
            if join.natural { self.common_names(&left, &right) } else { join.using.clone() };
        if using.is_empty() {
            self.join_on(left, right, join, env)
        } else {
            self.join_using(left, right, join, &using)
        }
    }

    fn common_names(&self, left: &Rel, right: &Rel) -> Vec<String> {
        left.fields
            .iter()
            .filter(|l| {
                right.fields.iter().any(|r| same_name(&l.name, &r.name, self.case_sensitive))
            })
            .map(|l| l.name.clone())
            .collect()
    }

    fn join_on(&self, left: Rel, right: Rel, join: &ast::Join, env: Env<'_>) -> Result<Rel> {
        let schema = left.plan.schema().join(right.plan.schema()).map_err(from_datafusion)?;
        let condition = match &join.condition {
            Some(condition) => {
                let fields: Vec<OutputField> =
                    left.fields.iter().chain(&right.fields).cloned().collect();
                let hidden: Vec<Hidden> =
                    left.hidden.iter().chain(&right.hidden).cloned().collect();
                let both = Rel { fields, hidden, ..left.clone() };
                let inner = matches!(join.kind, JoinKind::Inner | JoinKind::Cross);
                let clause = if inner { Clause::JoinFilter } else { Clause::JoinCondition };
                let scope = Scope { schema: &schema, ..Scope::of(&both, env, clause) };
                Some(self.join_condition(condition, &scope)?)
            }
            None => None,
        };
        let inner = matches!(join.kind, JoinKind::Inner | JoinKind::Cross);
        let plan = match condition {
            // DataFusion plans subqueries in filters only.
            Some(condition) if inner && has_subquery(&condition)? => {
                let both = join_plan(left.plan.clone(), right.plan.clone(), join.kind, None)?;
                super::filter(both, condition)?
            }
            condition => join_plan(left.plan.clone(), right.plan.clone(), join.kind, condition)?,
        };
        let mut fields = left.fields;
        let mut hidden = left.hidden;
        if !left_only(join.kind) {
            fields.extend(right.fields);
            hidden.extend(right.hidden);
        }
        hidden.retain(|h| h.everywhere);
        Ok(Rel { plan, fields, hidden, render: None }.synchronised())
    }

    fn join_condition(&self, condition: &ast::Expr, scope: &Scope<'_>) -> Result<Expr> {
        let predicate = self.expression(condition, scope)?;
        match self.type_of(&predicate, scope.schema)? {
            spark_sql_parser::types::DataType::Boolean => Ok(predicate),
            spark_sql_parser::types::DataType::Null => {
                self.cast(predicate, &spark_sql_parser::types::DataType::Boolean, scope.schema)
            }
            other => {
                let sql = self.sql_of(condition, scope);
                let name = spark_functions::types::sql_name(&other);
                Err(analysis(
                    "JOIN_CONDITION_IS_NOT_BOOLEAN_TYPE",
                    "42K0E",
                    format!(
                        "The join condition \"{sql}\" has the invalid type \"{name}\", expected \"BOOLEAN\"."
                    ),
                )
                .with("joinCondition", format!("\"{sql}\""))
                .with("conditionType", format!("\"{name}\"")))
            }
        }
    }

    fn using_column<'r>(&self, rel: &'r Rel, name: &str, side: &str) -> Result<&'r OutputField> {
        let found: Vec<&OutputField> =
            rel.fields.iter().filter(|f| same_name(&f.name, name, self.case_sensitive)).collect();
        match found.as_slice() {
            [one] => Ok(one),
            [] => {
                let mut names: Vec<String> =
                    rel.fields.iter().map(|f| format!("`{}`", f.name)).collect();
                names.sort();
                Err(analysis(
                    "UNRESOLVED_USING_COLUMN_FOR_JOIN",
                    "42703",
                    format!(
                        "USING column `{name}` cannot be resolved on the {side} side of the join. The {side}-side \
                         columns: [{}].",
                        names.join(", ")
                    ),
                )
                .with("colName", format!("`{name}`"))
                .with("side", side)
                .with("suggestion", names.join(", ")))
            }
            many => {
                let references: Vec<Vec<String>> = many.iter().map(|f| f.path()).collect();
                Err(errors::ambiguous(&[name.to_owned()], &references))
            }
        }
    }

    fn join_using(&self, left: Rel, right: Rel, join: &ast::Join, using: &[String]) -> Result<Rel> {
        let schema = left.plan.schema().join(right.plan.schema()).map_err(from_datafusion)?;
        let mut pairs = Vec::with_capacity(using.len());
        let mut condition: Option<Expr> = None;
        for name in using {
            let l = self.using_column(&left, name, "left")?.clone();
            let r = self.using_column(&right, name, "right")?.clone();
            let equal = self.scalar("==", vec![l.column(), r.column()], &schema)?;
            condition = Some(match condition {
                Some(all) => all.and(equal),
                None => equal,
            });
            pairs.push((l, r));
        }
        let plan = join_plan(left.plan.clone(), right.plan.clone(), join.kind, condition)?;
        if left_only(join.kind) {
            let mut keys: Vec<OutputField> = pairs.into_iter().map(|(l, _)| l).collect();
            let used: HashSet<String> = keys.iter().map(|k| k.internal.clone()).collect();
            keys.extend(left.fields.into_iter().filter(|f| !used.contains(&f.internal)));
            return Ok(Rel::new(plan, keys));
        }
        let schema = plan.schema().clone();
        let mut exprs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let mut fields = Vec::new();
        let mut hidden: Vec<Hidden> = Vec::new();
        let mut merged: HashSet<String> = HashSet::new();
        let mut computed = false;
        for (l, r) in pairs {
            merged.insert(l.internal.clone());
            merged.insert(r.internal.clone());
            match join.kind {
                JoinKind::FullOuter => {
                    let coalesced =
                        self.scalar("coalesce", vec![l.column(), r.column()], &schema)?;
                    let internal = fresh_name(&l.name);
                    let mut field = output_field(&coalesced, &schema, &l.name, internal.clone())?;
                    field.plan_ids = Vec::new();
                    exprs.push(coalesced.alias(internal));
                    computed = true;
                    fields.push(field);
                    hidden.push(Hidden { field: l, everywhere: true });
                    hidden.push(Hidden { field: r, everywhere: true });
                }
                JoinKind::RightOuter => {
                    fields.push(r);
                    hidden.push(Hidden { field: l, everywhere: true });
                }
                _ => {
                    fields.push(l);
                    hidden.push(Hidden { field: r, everywhere: true });
                }
            }
        }
        let rest = left.fields.into_iter().chain(right.fields);
        fields.extend(rest.filter(|f| !merged.contains(&f.internal)));
        hidden.extend(left.hidden.into_iter().chain(right.hidden).filter(|h| h.everywhere));
        let plan = if computed { super::project(plan, exprs)? } else { plan };
        Ok(Rel { plan, fields, hidden, render: None }.synchronised())
    }
}

/// The join operator; DataFusion's optimizer finds the equalities of the condition.
pub(crate) fn join_plan(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinKind,
    condition: Option<Expr>,
) -> Result<LogicalPlan> {
    if condition.is_none() && matches!(kind, JoinKind::Inner | JoinKind::Cross) {
        return LogicalPlanBuilder::from(left)
            .cross_join(right)
            .and_then(LogicalPlanBuilder::build)
            .map_err(from_datafusion);
    }
    let filter = condition.unwrap_or_else(|| Expr::Literal(ScalarValue::Boolean(Some(true)), None));
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        Vec::new(),
        Some(filter),
        join_type(kind),
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )
    .map_err(from_datafusion)?;
    Ok(LogicalPlan::Join(join))
}
