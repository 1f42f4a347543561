//! `input_file_name()`: the file that a row comes from, as far as nothing but projections, filters and unions lies
//! between the scan and the place of the function; elsewhere the empty text, as in Spark.
//!
//! Spark's scans leave the name where the function finds it while the row passes. Here batches are read ahead and
//! joined, so the name goes along with the rows, as a column that only such plans have.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Expr, Filter, LogicalPlan, Projection, SubqueryAlias, TableScanBuilder, Union, lit,
};
use spark_datasource::{FILE_NAME_COLUMN, with_file_name};

use super::fresh_name;
use crate::errors::{Result, from_datafusion};

/// The plan with the function replaced by the file's name wherever it is known.
pub(super) fn placed(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !used(&plan).map_err(from_datafusion)? {
        return Ok(plan);
    }
    plan.transform_up_with_subqueries(place).data().map_err(from_datafusion)
}

/// Whether the function is anywhere in a plan.
fn used(plan: &LogicalPlan) -> DataFusionResult<bool> {
    let mut used = false;
    plan.apply_with_subqueries(|node| {
        used |= node.expressions().iter().any(names_file);
        Ok(if used {
            datafusion::common::tree_node::TreeNodeRecursion::Stop
        } else {
            datafusion::common::tree_node::TreeNodeRecursion::Continue
        })
    })?;
    Ok(used)
}

fn is_function(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == "input_file_name")
}

fn names_file(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(is_function(expr))).unwrap_or(false)
}

fn place(node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    let expressions = node.expressions();
    if !expressions.iter().any(names_file) {
        return Ok(Transformed::no(node));
    }
    let inputs = node.inputs();
    let [input] = inputs.as_slice() else { return Ok(Transformed::no(node)) };
    let Some(named) = named(input)? else { return Ok(Transformed::no(node)) };
    let Some(name) = last_column(&named) else { return Ok(Transformed::no(node)) };
    let preserver = NamePreserver::new(&node);
    let replaced = expressions
        .into_iter()
        .map(|expr| {
            let before = preserver.save(&expr);
            let expr = expr.transform(|expr| {
                Ok(if is_function(&expr) {
                    Transformed::yes(Expr::Column(name.clone()))
                } else {
                    Transformed::no(expr)
                })
            })?;
            Ok(before.restore(expr.data))
        })
        .collect::<DataFusionResult<Vec<_>>>()?;
    let columns = node.schema().columns();
    let placed = node.with_new_exprs(replaced, vec![named])?;
    if placed.schema().columns() == columns {
        return Ok(Transformed::yes(placed));
    }
    // A node that hands its input on hands on the name, too.
    let columns = columns.into_iter().map(Expr::Column).collect();
    let only = Projection::try_new(columns, Arc::new(placed))?;
    Ok(Transformed::yes(LogicalPlan::Projection(only)))
}

fn last_column(plan: &LogicalPlan) -> Option<Column> {
    plan.schema().columns().pop()
}

/// The plan with one more column at its end, the file's name; `None` if it is not known there.
fn named(plan: &LogicalPlan) -> DataFusionResult<Option<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::TableScan(scan) if scan.projection.is_none() => {
            let Ok(provider) = source_as_provider(&scan.source) else { return Ok(None) };
            let Some(provider) = with_file_name(&provider) else { return Ok(None) };
            let source = provider_as_source(provider);
            let scan = TableScanBuilder::new(scan.table_name.clone(), source)
                .with_filters(scan.filters.clone())
                .with_fetch(scan.fetch)
                .build()?;
            Some(LogicalPlan::TableScan(scan))
        }
        LogicalPlan::Projection(projection) => {
            let Some(input) = named(&projection.input)? else { return Ok(None) };
            let Some(name) = last_column(&input) else { return Ok(None) };
            let mut exprs = projection.expr.clone();
            exprs.push(Expr::Column(name).alias(fresh_name(FILE_NAME_COLUMN)));
            Some(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
        }
        LogicalPlan::Filter(filter) => {
            let Some(input) = named(&filter.input)? else { return Ok(None) };
            let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
            Some(LogicalPlan::Filter(filter))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(input) = named(&alias.input)? else { return Ok(None) };
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            Some(LogicalPlan::SubqueryAlias(alias))
        }
        LogicalPlan::Union(union) => {
            let name = fresh_name(FILE_NAME_COLUMN);
            let mut inputs = Vec::with_capacity(union.inputs.len());
            let mut any = false;
            for input in &union.inputs {
                let known = named(input)?;
                any |= known.is_some();
                let columns = input.schema().columns().into_iter().map(Expr::Column);
                let mut exprs = columns.collect::<Vec<_>>();
                let input = match known {
                    Some(known) => known,
                    None => input.as_ref().clone(),
                };
                let last =
                    last_column(&input).filter(|_| exprs.len() < input.schema().columns().len());
                exprs.push(last.map_or_else(|| lit(""), Expr::Column).alias(name.clone()));
                let projection = Projection::try_new(exprs, Arc::new(input))?;
                inputs.push(Arc::new(LogicalPlan::Projection(projection)));
            }
            if !any {
                return Ok(None);
            }
            // The names of the columns are those of the first input, as they were.
            Some(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
        }
        _ => None,
    })
}
