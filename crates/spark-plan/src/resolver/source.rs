//! Leaves of the plan: files, local data, ranges, VALUES, table functions.

use std::io::Cursor;
use std::sync::Arc;

use arrow::ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use spark_sql_parser::ast;
use spark_sql_parser::types::{DataType, Field, Schema};

use super::leaves::Leaf;
use super::relation::one_row;
use super::scope::{Clause, Env, Scope};
use super::{Analyzer, fresh_name, project, refreshed};
use crate::errors::{self, Result, analysis, from_datafusion, internal};
use crate::field::{OutputField, Rel};
use crate::range::{RangeSpec, RangeTable};
use crate::session::Session;

/// Scans a provider and gives its columns internal names; `fields` describe the columns in order.
pub(crate) fn scan(
    provider: Arc<dyn TableProvider>,
    fields: &[Field],
    qualifier: &[String],
) -> Result<Rel> {
    let plan = LogicalPlanBuilder::scan("t", provider_as_source(provider), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    let mut exprs = Vec::with_capacity(fields.len());
    let mut outputs = Vec::with_capacity(fields.len());
    let columns: Vec<Column> = plan.schema().columns();
    for (column, field) in columns.into_iter().zip(fields) {
        let internal = fresh_name(&field.name);
        exprs.push(Expr::Column(column).alias(internal.clone()));
        outputs.push(OutputField {
            name: field.name.clone(),
            data_type: field.data_type.clone(),
            nullable: field.nullable,
            qualifier: qualifier.to_vec(),
            plan_ids: Vec::new(),
            internal,
            metadata: field.metadata.clone(),
        });
    }
    Ok(Rel::new(project(plan, exprs)?, outputs))
}

/// A relation of batches in memory.
pub(crate) fn in_memory(batches: Vec<RecordBatch>, schema: &Schema) -> Result<Rel> {
    let arrow = Arc::new(spark_functions::types::schema_to_arrow(schema));
    let table = MemTable::try_new(arrow, vec![batches]).map_err(from_datafusion)?;
    scan(Arc::new(table), &schema.fields, &[])
}

/// Data the client sent: an Arrow IPC stream, read as the given schema.
pub(crate) fn local_relation(data: Option<&[u8]>, schema: Option<&Schema>) -> Result<Rel> {
    let Some(data) = data else {
        let schema = schema.cloned().unwrap_or_default();
        return in_memory(Vec::new(), &schema);
    };
    let broken =
        |e: arrow::error::ArrowError| internal(format!("the local data is not Arrow: {e}"));
    let reader = StreamReader::try_new(Cursor::new(data), None).map_err(broken)?;
    let schema = match schema {
        Some(schema) if !schema.fields.is_empty() => schema.clone(),
        _ => spark_functions::types::schema_from_arrow(&reader.schema()),
    };
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch.map_err(broken)?;
        batches.push(crate::convert::to_schema(&batch, &schema)?);
    }
    in_memory(batches, &schema)
}

/// `spark.range`.
pub(crate) fn range(
    session: &Session,
    start: i64,
    end: i64,
    step: i64,
    partitions: Option<i32>,
) -> Result<Rel> {
    if step == 0 {
        return Err(errors::analysis(
            "INVALID_PARAMETER_VALUE.RANGE_STEP",
            "22023",
            "requirement failed: step (0) cannot be 0",
        ));
    }
    let partitions = partitions
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n > 0)
        .unwrap_or_else(|| session.shared.default_parallelism());
    let spec = RangeSpec { start, end, step, partitions };
    let field =
        Field { name: "id".to_owned(), data_type: DataType::Long, nullable: false, metadata: None };
    scan(Arc::new(RangeTable { spec }), &[field], &[])
}

impl Analyzer<'_> {
    /// An opened source or a view.
    pub(super) fn leaf(&self, leaf: &Result<Leaf>) -> Result<Rel> {
        match leaf {
            Err(error) => Err(error.clone()),
            Ok(Leaf::Source { opened, qualifier }) => {
                scan(Arc::clone(&opened.provider), &opened.schema.fields, qualifier)
            }
            Ok(Leaf::Plan { plan, qualifier }) => {
                let rel = Rel {
                    plan: plan.plan.clone(),
                    fields: plan.fields.clone(),
                    hidden: Vec::new(),
                    render: None,
                };
                let mut rel = refreshed(rel)?;
                for field in &mut rel.fields {
                    field.qualifier.clone_from(qualifier);
                    field.plan_ids.clear();
                }
                Ok(rel)
            }
        }
    }

    /// VALUES: every column gets the type that all its rows widen to.
    pub(super) fn values(&self, rows: &[Vec<ast::Expr>], env: Env<'_>) -> Result<Rel> {
        let empty = one_row();
        let scope = Scope::of(&empty, env, Clause::Other);
        let width = rows.first().map_or(0, Vec::len);
        let mut resolved: Vec<Vec<Expr>> = Vec::with_capacity(rows.len());
        for row in rows {
            if row.len() != width {
                return Err(analysis(
                    "INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH",
                    "42000",
                    format!(
                        "Invalid inline table. Inline table expected {width} columns but found {} columns in row.",
                        row.len()
                    ),
                ));
            }
            let mut exprs = Vec::with_capacity(width);
            for expr in row {
                exprs.push(self.expression(strip_alias(expr), &scope)?);
            }
            resolved.push(exprs);
        }
        let mut types = Vec::with_capacity(width);
        for column in 0..width {
            let mut all = Vec::with_capacity(rows.len());
            for row in &resolved {
                all.push(self.type_of(&row[column], scope.schema)?);
            }
            let Some(widened) = spark_functions::widen(&all) else {
                return Err(analysis(
                    "INVALID_INLINE_TABLE.INCOMPATIBLE_TYPES_IN_INLINE_TABLE",
                    "42000",
                    format!(
                        "Invalid inline table. Found incompatible types in the column `col{}` for inline table.",
                        column + 1
                    ),
                ));
            };
            types.push(widened);
        }
        for row in &mut resolved {
            for (expr, to) in row.iter_mut().zip(&types) {
                let from = std::mem::take(expr);
                *expr = self.cast(from, to, scope.schema)?;
            }
        }
        let plan = LogicalPlanBuilder::values(resolved.clone())
            .and_then(LogicalPlanBuilder::build)
            .map_err(from_datafusion)?;
        self.named_values(plan, &resolved, &types, rows.first(), &scope)
    }

    fn named_values(
        &self,
        plan: LogicalPlan,
        rows: &[Vec<Expr>],
        types: &[DataType],
        first: Option<&Vec<ast::Expr>>,
        scope: &Scope<'_>,
    ) -> Result<Rel> {
        let columns = plan.schema().columns();
        let mut exprs = Vec::new();
        let mut fields = Vec::new();
        for (index, (column, data_type)) in columns.into_iter().zip(types).enumerate() {
            let name = match first.and_then(|row| row.get(index)) {
                Some(ast::Expr::Alias { names, .. }) if names.len() == 1 => names[0].clone(),
                _ => format!("col{}", index + 1),
            };
            let internal = fresh_name(&name);
            let mut nullable = false;
            for row in rows {
                nullable |= output_nullable(&row[index], scope)?;
            }
            exprs.push(Expr::Column(column).alias(internal.clone()));
            fields.push(OutputField {
                name,
                data_type: data_type.clone(),
                nullable,
                qualifier: Vec::new(),
                plan_ids: Vec::new(),
                internal,
                metadata: None,
            });
        }
        Ok(Rel::new(project(plan, exprs)?, fields))
    }

    /// `range(…)` and generators in FROM.
    pub(super) fn table_function(
        &self,
        name: &[String],
        args: &[ast::Expr],
        env: Env<'_>,
    ) -> Result<Rel> {
        let function = name.last().map(|n| n.to_lowercase()).unwrap_or_default();
        if function == "range" {
            let empty = one_row();
            let scope = Scope::of(&empty, env, Clause::Other);
            let mut numbers = Vec::new();
            for arg in args {
                let arg = match arg {
                    ast::Expr::NamedArgument { value, .. } => value,
                    other => other,
                };
                let expr = self.expression(arg, &scope)?;
                let expr = self.cast(expr, &DataType::Long, scope.schema)?;
                match self.constant(&expr, scope.schema)? {
                    Some(datafusion::scalar::ScalarValue::Int64(Some(n))) => numbers.push(n),
                    _ => {
                        return Err(analysis(
                            "UNEXPECTED_INPUT_TYPE",
                            "42K09",
                            "The arguments of the table function range must be constant whole numbers.",
                        ));
                    }
                }
            }
            let (start, end, step, partitions) = match numbers.as_slice() {
                [end] => (0, *end, 1, None),
                [start, end] => (*start, *end, 1, None),
                [start, end, step] => (*start, *end, *step, None),
                [start, end, step, n] => (*start, *end, *step, i32::try_from(*n).ok()),
                _ => {
                    return Err(analysis(
                        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
                        "42605",
                        format!(
                            "The `range` requires [1, 2, 3, 4] parameters but the actual number is {}.",
                            numbers.len()
                        ),
                    ));
                }
            };
            return range(self.session, start, end, step, partitions);
        }
        if spark_functions::is_generator(&function) {
            let call = ast::Expr::Function(ast::Function {
                name: name.to_vec(),
                args: args.to_vec(),
                ..ast::Function::default()
            });
            return self.project(one_row(), std::slice::from_ref(&call), env);
        }
        Err(analysis(
            "UNRESOLVABLE_TABLE_VALUED_FUNCTION",
            "42883",
            format!(
                "Could not resolve {} to a table-valued function.\nPlease make sure that {} is defined as a \
                 table-valued function and that all required parameters are provided correctly.",
                errors::quoted(name),
                errors::quoted(name),
            ),
        )
        .with("name", errors::quoted(name)))
    }
}

fn output_nullable(expr: &Expr, scope: &Scope<'_>) -> Result<bool> {
    use datafusion::logical_expr::ExprSchemable;
    expr.nullable(scope.schema).map_err(from_datafusion)
}

fn strip_alias(expr: &ast::Expr) -> &ast::Expr {
    match expr {
        ast::Expr::Alias { expr, .. } => expr,
        other => other,
    }
}
