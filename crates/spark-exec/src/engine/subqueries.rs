//! Uncorrelated scalar subqueries: each runs first, as a query of its own; its value then travels
//! with every stage that names it, as a one-row plan in the place of the subquery.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use futures::future::BoxFuture;
use spark_sql_parser::error::{ErrorKind, SparkError};

use super::Engine;
use super::query::QueryContext;

/// The plan with every subquery replaced by its value.
pub(super) fn resolve<'a>(
    engine: &'a Engine,
    plan: Arc<dyn ExecutionPlan>,
    context: &'a QueryContext,
) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>>> {
    Box::pin(async move {
        let mut found = Vec::new();
        find(&plan, &mut found);
        if found.is_empty() {
            return Ok(plan);
        }
        let mut values = HashMap::new();
        for node in found {
            let subqueries =
                node.children()[1..].iter().map(|child| Arc::clone(child)).collect::<Vec<_>>();
            let mut resolved = Vec::with_capacity(subqueries.len());
            for subquery in subqueries {
                resolved.push(value_plan(engine, subquery, context).await?);
            }
            values.insert(address(&node), resolved);
        }
        replace(plan, &values)
    })
}

fn address(plan: &Arc<dyn ExecutionPlan>) -> usize {
    Arc::as_ptr(plan).cast::<()>() as usize
}

/// The nodes with subqueries, not looking into the subqueries themselves.
fn find(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Arc<dyn ExecutionPlan>>) {
    if let Some(node) = plan.downcast_ref::<ScalarSubqueryExec>() {
        found.push(Arc::clone(plan));
        find(node.input(), found);
        return;
    }
    for child in plan.children() {
        find(child, found);
    }
}

fn replace(
    plan: Arc<dyn ExecutionPlan>,
    all: &HashMap<usize, Vec<Arc<dyn ExecutionPlan>>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let children = match (plan.downcast_ref::<ScalarSubqueryExec>(), all.get(&address(&plan))) {
        (Some(node), Some(values)) => {
            let mut children = vec![replace(Arc::clone(node.input()), all)?];
            children.extend(values.iter().cloned());
            return replace_children_if_necessary(plan, children);
        }
        _ => plan
            .children()
            .into_iter()
            .map(|child| replace(Arc::clone(child), all))
            .collect::<Result<Vec<_>>>()?,
    };
    replace_children_if_necessary(plan, children)
}

async fn value_plan(
    engine: &Engine,
    subquery: Arc<dyn ExecutionPlan>,
    context: &QueryContext,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = subquery.schema();
    let field = schema.field(0).clone();
    let mut rows = super::query::start_within(engine.clone(), subquery, context);
    let mut value = None;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        if batch.num_rows() > 1 || value.is_some() {
            return Err(too_many_rows());
        }
        value = Some(ScalarValue::try_from_array(batch.column(0), 0)?);
    }
    let value = match value {
        Some(value) => value,
        None => ScalarValue::try_from(field.data_type())?,
    };
    let expr = ProjectionExpr { expr: Arc::new(Literal::new(value)), alias: field.name().clone() };
    let row = Arc::new(PlaceholderRowExec::new(Arc::new(Schema::empty())));
    Ok(Arc::new(ProjectionExec::try_new([expr], row)?))
}

fn too_many_rows() -> DataFusionError {
    DataFusionError::External(Box::new(SparkError::new(
        ErrorKind::Runtime,
        "SCALAR_SUBQUERY_TOO_MANY_ROWS",
        "21000",
        "More than one row returned by a subquery used as an expression.",
    )))
}
