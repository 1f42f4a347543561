//! PIVOT: group by the keys and the pivot column, then spread its values over columns (`PivotFirst`).

use datafusion::logical_expr::Expr;
use spark_sql_parser::ast::{self, Grouping, Literal};

use super::call::plain_aggregate;
use super::leaves::{Need, key_of};
use super::project::Entry;
use super::scope::{Clause, Env, Scope};
use super::{Analyzer, fresh_name, output_field};
use crate::errors::{Result, analysis, internal};
use crate::field::{OutputField, Rel, ResolvedPlan};

impl Analyzer<'_> {
    pub(super) fn pivot(
        &self,
        aggregate: &ast::Aggregate,
        pivot: &ast::Pivot,
        rel: Rel,
        env: Env<'_>,
    ) -> Result<Rel> {
        let values = self.pivot_values(aggregate, pivot, &rel, env)?;
        // SQL's PIVOT groups by every column that it does not mention.
        let keys: Vec<ast::Expr> = match &aggregate.grouping {
            Grouping::Expressions(exprs) => exprs.clone(),
            Grouping::All => self.unmentioned(aggregate, pivot, &rel, env)?,
            Grouping::Rollup(_) | Grouping::Cube(_) | Grouping::Sets { .. } => {
                return Err(analysis(
                    "UNSUPPORTED_FEATURE.PIVOT_AFTER_GROUP_BY",
                    "0A000",
                    "The feature is not supported: PIVOT clause following a GROUP BY clause. Consider pushing the \
                     GROUP BY into a subquery.",
                ));
            }
        };
        let mut entries: Vec<Entry> = keys.iter().cloned().map(Entry::Expr).collect();
        entries.push(Entry::Expr(pivot.column.clone()));
        let scope = Scope::of(&rel, env, Clause::Select);
        let mut names = Vec::with_capacity(aggregate.aggregates.len());
        for call in &aggregate.aggregates {
            names.push(match call {
                ast::Expr::Alias { names, .. } if names.len() == 1 => names[0].clone(),
                other => self.name_of(other, &scope),
            });
            entries.push(Entry::Expr(call.clone()));
        }
        let mut grouping = keys.clone();
        grouping.push(pivot.column.clone());
        let inner = self.pivot_groups(rel, &entries, &grouping, env)?;
        self.spread(inner, keys.len(), &names, &values, env)
    }

    /// The columns SQL's PIVOT groups by.
    fn unmentioned(
        &self,
        aggregate: &ast::Aggregate,
        pivot: &ast::Pivot,
        rel: &Rel,
        env: Env<'_>,
    ) -> Result<Vec<ast::Expr>> {
        let scope = Scope::of(rel, env, Clause::Select);
        let mut used: Vec<String> = Vec::new();
        for expr in aggregate.aggregates.iter().chain([&pivot.column]) {
            let resolved = self.expression(&super::aggregate::unaliased(expr), &scope)?;
            used.extend(resolved.column_refs().into_iter().map(|c| c.name.clone()));
        }
        Ok(rel
            .fields
            .iter()
            .filter(|f| !used.contains(&f.internal))
            .map(|f| ast::Expr::Attribute { name: f.path(), plan_id: None })
            .collect())
    }

    /// One column per value and aggregate, over the groups.
    fn spread(
        &self,
        inner: Rel,
        keys: usize,
        names: &[String],
        values: &[(Literal, String)],
        env: Env<'_>,
    ) -> Result<Rel> {
        let schema = inner.plan.schema().clone();
        let scope = Scope::of(&inner, env, Clause::Select);
        let Some(by) = inner.fields.get(keys) else {
            return Err(internal("a pivot without its column"));
        };
        let mut calls: Vec<Expr> = Vec::new();
        let mut outputs: Vec<String> = Vec::new();
        for (value, label) in values {
            let literal = spark_functions::literal(value)?;
            let literal = self.cast(literal, &by.data_type, scope.schema)?;
            let matches = self.scalar("<=>", vec![by.column(), literal], scope.schema)?;
            for (index, name) in names.iter().enumerate() {
                let mut call =
                    plain_aggregate("first", vec![inner.fields[keys + 1 + index].column()]);
                call.ignore_nulls = Some(true);
                call.filter = Some(matches.clone());
                calls.push(spark_functions::aggregate(call, &self.context(scope.schema))?);
                outputs.push(if names.len() == 1 {
                    label.clone()
                } else {
                    format!("{label}_{name}")
                });
            }
        }
        let group: Vec<Expr> = inner.fields[..keys].iter().map(OutputField::column).collect();
        let (plan, exprs) = self.aggregate_node(inner.plan.clone(), group, calls)?;
        let mut fields: Vec<OutputField> = inner.fields[..keys].to_vec();
        let mut all: Vec<Expr> = fields.iter().map(OutputField::column).collect();
        let above = plan.schema().clone();
        for (expr, name) in exprs.into_iter().zip(outputs) {
            let internal = fresh_name(&name);
            let mut field = output_field(&expr, &above, &name, internal.clone())?;
            field.nullable = true;
            fields.push(field);
            all.push(expr.alias(internal));
        }
        let _ = schema;
        Ok(Rel::new(super::project(plan, all)?, fields))
    }

    /// The values with the names of their columns; asks for the distinct ones when the query names none.
    fn pivot_values(
        &self,
        aggregate: &ast::Aggregate,
        pivot: &ast::Pivot,
        rel: &Rel,
        env: Env<'_>,
    ) -> Result<Vec<(Literal, String)>> {
        if pivot.values.is_empty() {
            let key = key_of(aggregate);
            if let Some(rows) = self.leaves.answers.get(&key) {
                let limit =
                    usize::try_from(self.session.number("spark.sql.pivotMaxValues", 10_000))
                        .unwrap_or(10_000);
                if rows.len() > limit {
                    return Err(analysis(
                        "PIVOT_VALUE_LIMIT",
                        "54000",
                        format!(
                            "The pivot column has more than {limit} distinct values, this could indicate an error. If \
                             this was intended, set spark.sql.pivotMaxValues to at least the number of distinct values \
                             of the pivot column."
                        ),
                    ));
                }
                return Ok(rows
                    .iter()
                    .filter_map(|row| row.first())
                    .map(|value| (value.clone(), label(value)))
                    .collect());
            }
            return Err(self.ask_for_values(key, pivot, rel, env)?);
        }
        let scope = Scope::of(rel, env, Clause::Other);
        let mut values = Vec::with_capacity(pivot.values.len());
        for (expr, alias) in &pivot.values {
            let resolved = self.expression(expr, &scope)?;
            let data_type = self.type_of(&resolved, scope.schema)?;
            let value = match (expr, self.constant(&resolved, scope.schema)?) {
                (ast::Expr::Literal(literal), _) => literal.clone(),
                (_, Some(value)) => {
                    let array = value.to_array().map_err(crate::errors::from_datafusion)?;
                    let schema = arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
                        "v",
                        array.data_type().clone(),
                        true,
                    )]);
                    let batch = arrow::record_batch::RecordBatch::try_new(
                        std::sync::Arc::new(schema),
                        vec![array],
                    )
                    .map_err(|e| internal(e.to_string()))?;
                    let field = output_field(&resolved, scope.schema, "v", "v".to_owned())?;
                    crate::literals::rows(&[batch], &[field], 1)?
                        .pop()
                        .and_then(|mut row| row.pop())
                        .unwrap_or(Literal::Null(data_type))
                }
                (_, None) => {
                    return Err(analysis(
                        "NON_LITERAL_PIVOT_VALUES",
                        "42K08",
                        format!(
                            "Literal expressions required for pivot values, found \"{}\".",
                            self.sql_of(expr, &scope)
                        ),
                    ));
                }
            };
            let name = alias.clone().unwrap_or_else(|| label(&value));
            values.push((value, name));
        }
        Ok(values)
    }

    /// Notes the query for the distinct values; the error stops this analysis.
    fn ask_for_values(
        &self,
        key: usize,
        pivot: &ast::Pivot,
        rel: &Rel,
        env: Env<'_>,
    ) -> Result<spark_sql_parser::error::SparkError> {
        let column = ast::Expr::Alias {
            expr: Box::new(super::aggregate::unaliased(&pivot.column)),
            names: vec!["value".to_owned()],
            metadata: None,
        };
        let limit = usize::try_from(self.session.number("spark.sql.pivotMaxValues", 10_000))
            .unwrap_or(10_000)
            + 1;
        let values = self.project(rel.clone(), &[column], env)?.pruned()?;
        let plan = self.distinct_values(values, limit)?;
        *self.need.borrow_mut() = Some(Need { key, plan, limit });
        Ok(internal("the values of a pivot are not known yet"))
    }

    /// The distinct values of a relation in order.
    pub(super) fn distinct_values(&self, rel: Rel, limit: usize) -> Result<ResolvedPlan> {
        use datafusion::logical_expr::{Distinct, LogicalPlan, Sort};
        let plan = LogicalPlan::Distinct(Distinct::All(std::sync::Arc::new(rel.plan)));
        let order = rel.fields.iter().map(|f| f.column().sort(true, true)).collect();
        let plan =
            LogicalPlan::Sort(Sort { expr: order, input: std::sync::Arc::new(plan), fetch: None });
        let rel = super::relation::limited(Rel::new(plan, rel.fields), 0, Some(limit))?;
        Ok(ResolvedPlan { plan: rel.plan, fields: rel.fields, render: None })
    }
}

/// A value as the name of a column: its cast to a string.
fn label(value: &Literal) -> String {
    match value {
        Literal::String(text) => text.clone(),
        Literal::Null(_) => "null".to_owned(),
        other => spark_sql_parser::literal_sql(other)
            .trim_start_matches("DATE '")
            .trim_start_matches("TIMESTAMP '")
            .trim_end_matches('\'')
            .to_owned(),
    }
}
