//! Subqueries in expressions: scalar, EXISTS and IN, correlated through outer references.

use std::sync::Arc;

use datafusion::common::{Column, ExprSchema, Spans};
use datafusion::logical_expr::expr::{Case, Exists, InSubquery};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use datafusion::scalar::ScalarValue;
use spark_sql_parser::ast;

use super::scope::{Clause, Env, OuterFrame, Scope};
use super::{Analyzer, fresh_name};
use crate::errors::{Result, analysis};
use crate::field::Rel;

impl Analyzer<'_> {
    /// Resolves the query of a subquery, whose names may be columns of the query around it.
    fn inner_query(&self, query: &ast::Relation, scope: &Scope<'_>) -> Result<Rel> {
        let frame =
            OuterFrame { fields: scope.fields, schema: scope.schema, parent: scope.env.outer };
        let env = Env { outer: Some(&frame), hints: None, ..scope.env };
        self.relation(query, env)?.pruned()
    }

    pub(super) fn scalar_subquery(&self, query: &ast::Relation, scope: &Scope<'_>) -> Result<Expr> {
        let rel = self.inner_query(query, scope)?;
        if rel.fields.len() != 1 {
            return Err(analysis(
                "INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN",
                "42823",
                format!(
                    "Invalid subquery: Scalar subquery must return only one column, but got {}.",
                    rel.fields.len()
                ),
            )
            .with("number", rel.fields.len().to_string()));
        }
        let plan = if is_correlated(&rel.plan) { self.single_row(rel)? } else { rel.plan };
        Ok(Expr::ScalarSubquery(subquery(plan)))
    }

    /// DataFusion takes a correlated scalar subquery only if it is aggregated; others become their first value, with
    /// an error where there is a second one.
    fn single_row(&self, rel: Rel) -> Result<LogicalPlan> {
        if is_aggregated(&rel.plan) {
            return Ok(rel.plan);
        }
        let (input, checked) = match &rel.plan {
            LogicalPlan::Limit(limit) if takes_one(limit) => (limit.input.as_ref().clone(), false),
            plan => (plan.clone(), true),
        };
        let Some(field) = rel.fields.first() else { return Ok(rel.plan) };
        let schema = Arc::clone(input.schema());
        let first = super::call::plain_aggregate("first", vec![field.column()]);
        let first = spark_functions::aggregate(first, &self.context(&schema))?;
        let count = super::call::plain_aggregate("count", Vec::new());
        let count = spark_functions::aggregate(count, &self.context(&schema))?;
        let (plan, exprs) = self.aggregate_node(input, Vec::new(), vec![first, count])?;
        let [first, count] = exprs.as_slice() else {
            return Err(crate::errors::internal("a subquery lost its aggregates"));
        };
        let schema = Arc::clone(plan.schema());
        let value = if checked {
            let text = Expr::Literal(
                ScalarValue::Utf8(Some(crate::errors::TOO_MANY_ROWS.to_owned())),
                None,
            );
            let error = self.scalar("raise_error", vec![text], &schema)?;
            spark_functions::case(
                None,
                vec![(count.clone().gt(number(1)), error)],
                Some(first.clone()),
                &self.context(&schema),
            )?
        } else {
            first.clone()
        };
        super::project(plan, vec![value.alias(fresh_name(&field.name))])
    }

    pub(super) fn exists(
        &self,
        query: &ast::Relation,
        negated: bool,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let rel = self.inner_query(query, scope)?;
        if is_filter(scope) {
            return Ok(Expr::Exists(Exists { subquery: subquery(rel.plan), negated }));
        }
        let some = self.counted(rel.plan, None)?.gt(number(0));
        Ok(if negated { Expr::Not(Box::new(some)) } else { some })
    }

    /// `(SELECT count(*) FROM plan WHERE condition)`: DataFusion plans predicate subqueries in filters only, elsewhere
    /// their rows are counted.
    fn counted(&self, plan: LogicalPlan, condition: Option<Expr>) -> Result<Expr> {
        let plan = match condition {
            Some(condition) => super::filter(plan, condition)?,
            None => plan,
        };
        let schema = Arc::clone(plan.schema());
        let call = super::call::plain_aggregate("count", Vec::new());
        let call = spark_functions::aggregate(call, &self.context(&schema))?;
        let (plan, mut exprs) = self.aggregate_node(plan, Vec::new(), vec![call])?;
        let Some(count) = exprs.pop() else {
            return Err(crate::errors::internal("a count without a column"));
        };
        let plan = super::project(plan, vec![count.alias(fresh_name("count"))])?;
        Ok(Expr::ScalarSubquery(subquery(plan)))
    }

    /// IN where no filter is: true for a match, unknown for nulls on either side, false otherwise.
    fn counted_in(
        &self,
        plan: LogicalPlan,
        value: &Expr,
        column: &Expr,
        negated: bool,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let outer = self.as_outer(value.clone(), scope)?;
        let matches = self.counted(plan.clone(), Some(outer.eq(column.clone())))?.gt(number(0));
        let all = self.counted(plan.clone(), None)?.gt(number(0));
        let nulls = self.counted(plan, Some(column.clone().is_null()))?.gt(number(0));
        let flag = |b: Option<bool>| Box::new(Expr::Literal(ScalarValue::Boolean(b), None));
        Ok(Expr::Case(Case::new(
            None,
            vec![
                (Box::new(matches), flag(Some(!negated))),
                (Box::new(value.clone().is_null().and(all)), flag(None)),
                (Box::new(nulls), flag(None)),
            ],
            Some(flag(Some(negated))),
        )))
    }

    pub(super) fn in_subquery(
        &self,
        exprs: &[ast::Expr],
        query: &ast::Relation,
        negated: bool,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let mut rel = self.inner_query(query, scope)?;
        if rel.fields.len() != exprs.len() {
            return Err(analysis(
                "DATATYPE_MISMATCH.IN_SUBQUERY_LENGTH_MISMATCH",
                "42K09",
                format!(
                    "Cannot resolve \"IN\" due to data type mismatch: The number of columns in the left hand side of \
                     an IN subquery does not match the number of columns in the output of subquery. Left hand side \
                     columns(length: {}), right hand side columns(length: {}).",
                    exprs.len(),
                    rel.fields.len()
                ),
            )
            .with("leftLength", exprs.len().to_string())
            .with("rightLength", rel.fields.len().to_string()));
        }
        let mut values = Vec::with_capacity(exprs.len());
        let mut columns = Vec::with_capacity(exprs.len());
        let inner_schema = Arc::clone(rel.plan.schema());
        for (expr, field) in exprs.iter().zip(&rel.fields) {
            let value = self.expression(expr, scope)?;
            let types = [self.type_of(&value, scope.schema)?, field.data_type.clone()];
            let Some(widened) = super::expression::common_type(&types) else {
                return Err(analysis(
                    "DATATYPE_MISMATCH.IN_SUBQUERY_DATA_TYPE_MISMATCH",
                    "42K09",
                    format!(
                        "Cannot resolve \"({} IN (listquery()))\" due to data type mismatch: The data type of one or \
                         more elements in the left hand side of an IN subquery is not compatible with the data type \
                         of the output of the subquery.",
                        self.sql_of(expr, scope)
                    ),
                ));
            };
            values.push(self.cast(value, &widened, scope.schema)?);
            columns.push(self.cast(field.column(), &widened, &inner_schema)?);
        }
        if let ([value], [column]) = (values.as_slice(), columns.as_slice())
            && !is_filter(scope)
        {
            return self.counted_in(rel.plan, value, column, negated, scope);
        }
        // DataFusion's null-aware join does not know which rows of a correlated subquery belong to an outer row.
        let joins = !(negated && is_correlated(&rel.plan));
        if let ([_], [column], true) = (values.as_slice(), columns.as_slice(), joins) {
            // Always under a new name: below an OR, DataFusion asks the mark join's right side for a column that the
            // subquery hands on both as it was and as the subquery's own.
            let name = fresh_name(&rel.fields[0].name);
            rel.plan = super::project(rel.plan, vec![column.clone().alias(name)])?;
            let Some(value) = values.pop() else {
                return Err(crate::errors::internal("IN without a value"));
            };
            return Ok(Expr::InSubquery(InSubquery {
                expr: Box::new(value),
                subquery: subquery(rel.plan),
                negated,
            }));
        }
        // Otherwise a correlated EXISTS; NOT IN fails on a row for which the comparison is not plainly false.
        let mut predicate: Option<Expr> = None;
        for (value, column) in values.into_iter().zip(columns) {
            let outer = self.as_outer(value, scope)?;
            let equal = outer.eq(column);
            predicate = Some(match predicate {
                Some(all) => all.and(equal),
                None => equal,
            });
        }
        let predicate =
            predicate.unwrap_or_else(|| Expr::Literal(ScalarValue::Boolean(Some(true)), None));
        let predicate = if negated { Expr::IsNotFalse(Box::new(predicate)) } else { predicate };
        let plan = super::filter(rel.plan, predicate)?;
        Ok(Expr::Exists(Exists { subquery: subquery(plan), negated }))
    }

    /// The expression as the subquery sees it: columns become outer references.
    fn as_outer(&self, expr: Expr, scope: &Scope<'_>) -> Result<Expr> {
        use datafusion::common::tree_node::{Transformed, TreeNode};
        let schema = scope.schema;
        let outer = expr
            .transform(|e| match e {
                Expr::Column(column) => {
                    let field = schema.field_from_column(&column)?;
                    Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
                }
                other => Ok(Transformed::no(other)),
            })
            .map_err(crate::errors::from_datafusion)?;
        Ok(outer.data)
    }
}

/// Whether a plan has at most one row for each outer row because it aggregates.
fn is_aggregated(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => is_aggregated(&projection.input),
        LogicalPlan::Filter(filter) => is_aggregated(&filter.input),
        LogicalPlan::Aggregate(_) => true,
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        _ => false,
    }
}

/// LIMIT 1 over rows in no order.
fn takes_one(limit: &datafusion::logical_expr::Limit) -> bool {
    let one = matches!(limit.fetch.as_deref(), Some(Expr::Literal(ScalarValue::Int64(Some(1)), _)));
    one && limit.skip.is_none() && !matches!(limit.input.as_ref(), LogicalPlan::Sort(_))
}

/// Whether the expression stands in a filter, where DataFusion makes joins of predicate subqueries.
fn is_filter(scope: &Scope<'_>) -> bool {
    matches!(scope.clause, Clause::Where | Clause::Having | Clause::JoinFilter)
}

fn number(n: i64) -> Expr {
    Expr::Literal(ScalarValue::Int64(Some(n)), None)
}

fn subquery(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() }
}

/// A subquery as the right side of a lateral join.
pub(crate) fn lateral(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Subquery(subquery(plan))
}

/// Whether a plan refers to columns of a query around it.
pub(crate) fn is_correlated(plan: &LogicalPlan) -> bool {
    !plan.all_out_ref_exprs().is_empty()
}

/// A column by its internal name.
pub(crate) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}
