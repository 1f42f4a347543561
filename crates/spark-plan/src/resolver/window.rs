//! Window functions: resolved in place, then moved into Window operators below the expressions that use them.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};
use spark_functions::{Bound, Frame, WindowCall};
use spark_sql_parser::ast;
use spark_sql_parser::types::DataType;

use super::Analyzer;
use super::call::builtin_name;
use super::relation::sort_expr;
use super::scope::{Clause, Scope};
use crate::errors::{Result, analysis, from_datafusion};

impl Analyzer<'_> {
    /// `function OVER (…)`.
    pub(super) fn window(&self, window: &ast::Window, scope: &Scope<'_>) -> Result<Expr> {
        if scope.clause == Clause::Where {
            let sql = self.sql_of(&ast::Expr::Window(Box::new(window.clone())), scope);
            return Err(crate::errors::where_condition(&sql, &sql));
        }
        let ast::Expr::Function(function) = &window.function else {
            return Err(analysis(
                "UNSUPPORTED_EXPR_FOR_WINDOW",
                "42P20",
                format!(
                    "Expression \"{}\" not supported within a window function.",
                    self.sql_of(&window.function, scope)
                ),
            )
            .with("sqlExpr", format!("\"{}\"", self.sql_of(&window.function, scope))));
        };
        let Some(name) = builtin_name(&function.name) else {
            return Err(self.unresolved_routine(&function.name));
        };
        let inner = Scope { clause: Clause::Select, ..*scope };
        let call = self.aggregate_arguments(&name, function, &inner)?;
        let mut partition_by = Vec::with_capacity(window.partition_by.len());
        for expr in &window.partition_by {
            partition_by.push(self.expression(expr, &inner)?);
        }
        let mut order_by: Vec<SortExpr> = Vec::with_capacity(window.order_by.len());
        for order in &window.order_by {
            let order = match &order.expr {
                ast::Expr::SortOrder(inner) => inner.as_ref(),
                _ => order,
            };
            order_by.push(sort_expr(self.expression(&order.expr, &inner)?, order));
        }
        let frame = match &window.frame {
            Some(frame) => Some(self.frame(frame, &order_by, &inner)?),
            None => None,
        };
        if order_by.is_empty() && spark_functions::is_window(&name) {
            return Err(analysis(
                "WINDOW_FUNCTION_WITHOUT_ORDER_BY",
                "42601",
                format!(
                    "Window function {name}() requires window to be ordered, please add ORDER BY clause. For example \
                     SELECT {name}() OVER (PARTITION BY window_partition ORDER BY window_ordering) from table."
                ),
            ));
        }
        let call = WindowCall { function: call, partition_by, order_by, frame };
        spark_functions::window(call, &self.context(scope.schema))
    }

    fn frame(
        &self,
        frame: &ast::WindowFrame,
        order_by: &[SortExpr],
        scope: &Scope<'_>,
    ) -> Result<Frame> {
        let order_type = match order_by.first() {
            Some(sort) => Some(self.type_of(&sort.expr, scope.schema)?),
            None => None,
        };
        let lower = self.bound(&frame.lower, frame.rows, order_type.as_ref(), scope)?;
        let upper = self.bound(&frame.upper, frame.rows, order_type.as_ref(), scope)?;
        Ok(Frame { rows: frame.rows, lower, upper })
    }

    fn bound(
        &self,
        bound: &ast::FrameBound,
        rows: bool,
        order_type: Option<&DataType>,
        scope: &Scope<'_>,
    ) -> Result<Bound> {
        let expr = match bound {
            ast::FrameBound::UnboundedPreceding => return Ok(Bound::UnboundedPreceding),
            ast::FrameBound::UnboundedFollowing => return Ok(Bound::UnboundedFollowing),
            ast::FrameBound::CurrentRow => return Ok(Bound::CurrentRow),
            ast::FrameBound::Offset(expr) => expr,
        };
        let resolved = self.expression(expr, scope)?;
        let resolved = match order_type {
            _ if rows => self.cast(resolved, &DataType::Long, scope.schema)?,
            Some(DataType::Date | DataType::Timestamp | DataType::TimestampNtz) | None => resolved,
            Some(to) => self.cast(resolved, to, scope.schema)?,
        };
        match self.constant(&resolved, scope.schema)? {
            Some(value) if !value.is_null() => Ok(Bound::Offset(value)),
            _ => Err(analysis(
                "DATATYPE_MISMATCH.SPECIFIED_WINDOW_FRAME_UNACCEPTED_TYPE",
                "42K09",
                format!(
                    "The bound \"{}\" of a window frame must be a constant.",
                    self.sql_of(expr, scope)
                ),
            )),
        }
    }
}

/// Moves the window functions of the expressions into Window operators over `plan`, and puts columns in their places.
pub(crate) fn extract_windows(
    plan: LogicalPlan,
    mut exprs: Vec<Expr>,
) -> Result<(LogicalPlan, Vec<Expr>)> {
    let mut windows: Vec<(Expr, String)> = Vec::new();
    for expr in &exprs {
        expr.apply(|e| {
            if matches!(e, Expr::WindowFunction(_)) {
                if !windows.iter().any(|(w, _)| w == e) {
                    windows.push((e.clone(), e.schema_name().to_string()));
                }
                return Ok(TreeNodeRecursion::Jump);
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(from_datafusion)?;
    }
    if windows.is_empty() {
        return Ok((plan, exprs));
    }
    let plan = LogicalPlanBuilder::window_plan(plan, windows.iter().map(|(w, _)| w.clone()))
        .map_err(from_datafusion)?;
    for expr in &mut exprs {
        let taken = std::mem::take(expr);
        *expr = taken
            .transform_down(|e| match windows.iter().find(|(w, _)| *w == e) {
                Some((_, name)) => Ok(Transformed::new(
                    Expr::Column(Column::new_unqualified(name)),
                    true,
                    TreeNodeRecursion::Jump,
                )),
                None => Ok(Transformed::no(e)),
            })
            .map_err(from_datafusion)?
            .data;
    }
    Ok((plan, exprs))
}
