//! ORDER BY and SORT BY: against the output first, then what the operators below still know.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Sort, SortExpr};
use spark_sql_parser::ast::{self, Relation, RelationKind, SortOrder};

use super::aggregate::windows_of;
use super::call::has_aggregate;
use super::relation::{attach_plan_id, sort_expr};
use super::scope::{Clause, Env, Scope};
use super::{Analyzer, fresh_name};
use crate::errors::{Result, from_datafusion};
use crate::field::Rel;
use crate::nodes::NodeKind;

impl Analyzer<'_> {
    pub(super) fn sort(
        &self,
        input: &Relation,
        order: &[SortOrder],
        global: bool,
        env: Env<'_>,
    ) -> Result<Rel> {
        let order: Vec<SortOrder> = order.iter().map(flattened).collect();
        let (rel, sort) = self.over_select(input, &order, env)?;
        let order = if is_all(&order) { vec![order[0].clone(); sort.len()] } else { order };
        let mut rel = rel;
        let mut sorts: Vec<SortExpr> = Vec::with_capacity(sort.len());
        let mut extra: Vec<(Expr, String)> = Vec::new();
        for (expr, order) in sort.into_iter().zip(&order) {
            let expr = if has_subquery(&expr)? {
                let name = fresh_name("sort");
                extra.push((expr, name.clone()));
                Expr::Column(Column::new_unqualified(name))
            } else {
                expr
            };
            sorts.push(sort_expr(expr, order));
        }
        if !extra.is_empty() {
            let mut exprs: Vec<Expr> =
                rel.plan.schema().columns().into_iter().map(Expr::Column).collect();
            exprs.extend(extra.into_iter().map(|(expr, name)| expr.alias(name)));
            rel.plan = super::project(rel.plan, exprs)?;
        }
        if !global {
            return Ok(rel.wrap(NodeKind::LocalSort(sorts)));
        }
        rel.plan = LogicalPlan::Sort(Sort { expr: sorts, input: Arc::new(rel.plan), fetch: None });
        Ok(rel)
    }

    /// QUALIFY: a condition over the select list's output, aliases, windows and what is below.
    pub(super) fn qualify(
        &self,
        input: &Relation,
        condition: &ast::Expr,
        env: Env<'_>,
    ) -> Result<Rel> {
        let order = [SortOrder { expr: condition.clone(), ascending: true, nulls_first: None }];
        let (mut rel, mut exprs) = self.over_select(input, &order, env)?;
        if let Some(predicate) = exprs.pop() {
            rel.plan = super::filter(rel.plan, predicate)?;
        }
        Ok(rel)
    }

    /// Resolves the input together with expressions that stand above its select list.
    fn over_select(
        &self,
        input: &Relation,
        order: &[SortOrder],
        env: Env<'_>,
    ) -> Result<(Rel, Vec<Expr>)> {
        let exprs: Vec<&ast::Expr> = order.iter().map(|o| &o.expr).collect();
        Ok(match &input.kind {
            RelationKind::Aggregate(aggregate) if aggregate.pivot.is_none() && !is_all(order) => {
                let (rel, sort) = self.aggregate(aggregate, &exprs, env)?;
                (attach_plan_id(rel, input.plan_id), sort)
            }
            RelationKind::Project { input: below, exprs: items }
                if items.iter().any(has_aggregate) && !is_all(order) =>
            {
                let one_group = ast::Grouping::Expressions(Vec::new());
                let (rel, sort) =
                    self.aggregate_parts(below, &one_group, items, true, None, &exprs, env)?;
                (attach_plan_id(rel, input.plan_id), sort)
            }
            _ => self.plain_sort(input, order, env)?,
        })
    }

    /// A sort over anything but a grouping.
    fn plain_sort(
        &self,
        input: &Relation,
        order: &[SortOrder],
        env: Env<'_>,
    ) -> Result<(Rel, Vec<Expr>)> {
        let rel = self.relation(input, env)?;
        if is_all(order) && self.find_all(&rel, env)? {
            let columns = rel.fields.iter().map(crate::field::OutputField::column).collect();
            return Ok((rel, columns));
        }
        let mut rel = self.expose_missing(rel, order.iter().map(|o| &o.expr), env)?;
        let scope = Scope::of(&rel, env, Clause::OrderBy).missing();
        let mut exprs = Vec::with_capacity(order.len());
        for item in order {
            exprs.push(match self.output_ordinal(&item.expr, rel.fields.len(), "ORDER_BY")? {
                Some(index) => rel.fields[index].column(),
                None => self.expression(&item.expr, &scope)?,
            });
        }
        let (plan, exprs) = windows_of(rel.plan.clone(), exprs)?;
        rel.plan = plan;
        Ok((rel, exprs))
    }

    /// ORDER BY ALL means every column, unless there is a column of that name.
    fn find_all(&self, rel: &Rel, env: Env<'_>) -> Result<bool> {
        let scope = Scope::of(rel, env, Clause::OrderBy);
        Ok(self.find(&["all".to_owned()], None, &scope)?.is_none())
    }
}

fn is_all(order: &[SortOrder]) -> bool {
    matches!(
        order,
        [SortOrder { expr: ast::Expr::Attribute { name, plan_id: None }, .. }]
            if name.len() == 1 && name[0].eq_ignore_ascii_case("all")
    )
}

/// A Connect `sort_order` inside a sort wins over the outer one.
fn flattened(order: &SortOrder) -> SortOrder {
    match &order.expr {
        ast::Expr::SortOrder(inner) => (**inner).clone(),
        _ => order.clone(),
    }
}

pub(super) fn has_subquery(expr: &Expr) -> Result<bool> {
    let mut found = false;
    expr.apply(|e| {
        if matches!(e, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)) {
            found = true;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(from_datafusion)?;
    Ok(found)
}
