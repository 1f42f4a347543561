//! `describe`, `summary` and `crosstab`.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;
use spark_functions::types::{is_numeric, is_string};
use spark_sql_parser::ast;
use spark_sql_parser::types::DataType;

use super::call::plain_aggregate;
use super::leaves::{Need, key_of};
use super::project::Entry;
use super::scope::Env;
use super::{Analyzer, fresh_name, output_field};
use crate::errors::{Result, from_datafusion, internal, unresolved_column};
use crate::field::{OutputField, Rel, same_name};

/// One statistic over one column.
#[derive(Debug, Clone)]
enum Statistic {
    Named(&'static str),
    Percentile(f64),
    CountDistinct,
    ApproxCountDistinct,
}

impl Analyzer<'_> {
    /// `df.describe(columns)`.
    pub(super) fn describe(&self, rel: Rel, columns: &[String]) -> Result<Rel> {
        let names = ["count", "mean", "stddev", "min", "max"].map(str::to_owned);
        let mut fields = Vec::new();
        for name in columns {
            match rel.fields.iter().find(|f| same_name(&f.name, name, self.case_sensitive)) {
                Some(field) => fields.push(field.clone()),
                None => {
                    let candidates: Vec<Vec<String>> =
                        rel.fields.iter().map(OutputField::path).collect();
                    return Err(unresolved_column(std::slice::from_ref(name), &candidates));
                }
            }
        }
        if columns.is_empty() {
            fields.clone_from(&rel.fields);
        }
        fields.retain(|f| is_numeric(&f.data_type) || is_string(&f.data_type));
        self.statistics(rel, &fields, &names)
    }

    /// `df.summary(statistics)`.
    pub(super) fn summary(&self, rel: Rel, statistics: &[String]) -> Result<Rel> {
        let default =
            ["count", "mean", "stddev", "min", "25%", "50%", "75%", "max"].map(str::to_owned);
        let wanted: &[String] = if statistics.is_empty() { &default } else { statistics };
        let fields: Vec<OutputField> = rel
            .fields
            .iter()
            .filter(|f| is_numeric(&f.data_type) || is_string(&f.data_type))
            .cloned()
            .collect();
        self.statistics(rel, &fields, wanted)
    }

    /// One row per statistic, every value as text. The input is aggregated once; the rows are taken from that one row.
    fn statistics(&self, rel: Rel, fields: &[OutputField], wanted: &[String]) -> Result<Rel> {
        let rel = rel.pruned()?;
        let schema = rel.plan.schema().clone();
        let mut calls = Vec::new();
        for name in wanted {
            let statistic = parse(name)?;
            for field in fields {
                calls.push(self.statistic(&statistic, field, &schema)?);
            }
        }
        let mut names: Vec<(String, String)> = vec![("summary".to_owned(), fresh_name("summary"))];
        names.extend(fields.iter().map(|f| (f.name.clone(), fresh_name(&f.name))));
        let (plan, exprs) = if calls.is_empty() {
            (super::relation::one_row().plan, Vec::new())
        } else {
            self.aggregate_node(rel.plan, Vec::new(), calls)?
        };
        let above = plan.schema().clone();
        // The aggregate's one row, spread by an array of structs so that the input is read once.
        let mut structs = Vec::with_capacity(wanted.len());
        let mut exprs = exprs.into_iter();
        for name in wanted {
            let mut args = vec![text("c0"), text(name)];
            for (index, _) in fields.iter().enumerate() {
                let value = exprs.next().ok_or_else(|| internal("a statistic is missing"))?;
                args.push(text(&format!("c{}", index + 1)));
                args.push(self.cast(value, &DataType::String, &above)?);
            }
            structs.push(self.scalar("named_struct", args, &above)?);
        }
        let array = self.scalar("array", structs, &above)?;
        let name = fresh_name("rows");
        let plan = super::project(plan, vec![array.alias(name.clone())])?;
        let unnest = datafusion::logical_expr::Unnest::try_new(
            Arc::new(plan),
            vec![datafusion::common::Column::new_unqualified(&name)],
            datafusion::common::UnnestOptions::new(),
        )
        .map_err(from_datafusion)?;
        let plan = LogicalPlan::Unnest(unnest);
        let schema = plan.schema().clone();
        let mut outputs = Vec::with_capacity(names.len());
        let mut done = Vec::with_capacity(names.len());
        for (index, (label, internal)) in names.into_iter().enumerate() {
            let element = super::subquery::column(&name);
            let expr =
                datafusion::functions::core::expr_fn::get_field(element, format!("c{index}"));
            let mut field = output_field(&expr, &schema, &label, internal.clone())?;
            field.nullable = true;
            done.push(field);
            outputs.push(expr.alias(internal));
        }
        Ok(Rel::new(super::project(plan, outputs)?, done))
    }

    fn statistic(
        &self,
        statistic: &Statistic,
        field: &OutputField,
        schema: &datafusion::common::DFSchema,
    ) -> Result<Expr> {
        let number = || -> Result<Expr> {
            // Text is averaged as far as it is a number.
            spark_functions::cast(
                field.column(),
                &DataType::Double,
                ast::CastMode::Try,
                &self.context(schema),
            )
        };
        let call = match statistic {
            Statistic::Named(name @ ("mean" | "stddev")) => {
                let name = if *name == "mean" { "avg" } else { "stddev" };
                plain_aggregate(name, vec![number()?])
            }
            Statistic::Named(name) => plain_aggregate(name, vec![field.column()]),
            Statistic::Percentile(p) => {
                if is_string(&field.data_type) {
                    plain_aggregate(
                        "percentile_approx",
                        vec![number()?, Expr::Literal(ScalarValue::Float64(Some(*p)), None)],
                    )
                } else {
                    plain_aggregate(
                        "percentile_approx",
                        vec![field.column(), Expr::Literal(ScalarValue::Float64(Some(*p)), None)],
                    )
                }
            }
            Statistic::CountDistinct => {
                let mut call = plain_aggregate("count", vec![field.column()]);
                call.distinct = true;
                call
            }
            Statistic::ApproxCountDistinct => {
                plain_aggregate("approx_count_distinct", vec![field.column()])
            }
        };
        spark_functions::aggregate(call, &self.context(schema))
    }

    /// Counts of pairs of values, one row per left value, one column per right value.
    pub(super) fn crosstab(
        &self,
        relation: &ast::Relation,
        rel: Rel,
        left: &str,
        right: &str,
    ) -> Result<Rel> {
        let env = Env::default();
        let text_of = |name: &str| {
            let cast = ast::Expr::Cast {
                expr: Box::new(ast::Expr::column(name)),
                to: DataType::String,
                mode: ast::CastMode::Session,
            };
            ast::Expr::call(
                "coalesce",
                vec![cast, ast::Expr::Literal(ast::Literal::String("null".to_owned()))],
            )
        };
        let key = key_of(relation);
        let Some(rows) = self.leaves.answers.get(&key) else {
            let values = self.project(rel, &[text_of(right).alias("value")], env)?.pruned()?;
            let plan = self.distinct_values(values, 10_001)?;
            *self.need.borrow_mut() = Some(Need { key, plan, limit: 10_001 });
            return Err(internal("the values of a crosstab are not known yet"));
        };
        let mut entries = vec![Entry::Expr(text_of(left).alias(&format!("{left}_{right}")))];
        for row in rows {
            let Some(ast::Literal::String(value)) = row.first() else { continue };
            let matches = ast::Expr::call(
                "==",
                vec![text_of(right), ast::Expr::Literal(ast::Literal::String(value.clone()))],
            );
            let count = ast::Expr::Function(ast::Function {
                name: vec!["count".to_owned()],
                args: vec![ast::Expr::Literal(ast::Literal::Integer(1))],
                filter: Some(Box::new(matches)),
                ..ast::Function::default()
            });
            entries.push(Entry::Expr(count.alias(value)));
        }
        self.pivot_groups(rel, &entries, &[text_of(left)], env)
    }
}

fn text(value: &str) -> Expr {
    Expr::Literal(ScalarValue::Utf8(Some(value.to_owned())), None)
}

fn parse(name: &str) -> Result<Statistic> {
    let lower = name.to_lowercase();
    Ok(match lower.as_str() {
        "count" => Statistic::Named("count"),
        "mean" => Statistic::Named("mean"),
        "stddev" => Statistic::Named("stddev"),
        "min" => Statistic::Named("min"),
        "max" => Statistic::Named("max"),
        "count_distinct" => Statistic::CountDistinct,
        "approx_count_distinct" => Statistic::ApproxCountDistinct,
        other => match other.strip_suffix('%').and_then(|p| p.parse::<f64>().ok()) {
            Some(percent) if (0.0..=100.0).contains(&percent) => {
                Statistic::Percentile(percent / 100.0)
            }
            _ => {
                return Err(crate::errors::analysis(
                    "INVALID_PARAMETER_VALUE.STATISTIC",
                    "22023",
                    format!("{name} is not a recognised statistic"),
                ));
            }
        },
    })
}
