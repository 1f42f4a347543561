//! Window functions and aggregates over windows, with Spark's default frames.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType as Arrow, FieldRef, IntervalMonthDayNano};
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::functions_window as native;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    Cast, Expr, LimitEffect, PartitionEvaluator, Signature, SortExpr, WindowFrame,
    WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_plan::PhysicalExpr;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::FunctionContext;
use crate::aggregate::{AggregateCall, aggregate, is_aggregate};
use crate::cast::implicit;
use crate::errors;
use crate::signature::Call;
use crate::time::MICROS_PER_DAY;
use crate::types::to_arrow;

/// One end of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    UnboundedPreceding,
    UnboundedFollowing,
    CurrentRow,
    /// A literal distance from the current row; negative is preceding.
    Offset(ScalarValue),
}

/// ROWS or RANGE BETWEEN … AND ….
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub rows: bool,
    pub lower: Bound,
    pub upper: Bound,
}

/// A function OVER a window.
#[derive(Debug, Clone)]
pub struct WindowCall {
    /// The function with its arguments; lower-case name.
    pub function: AggregateCall,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<SortExpr>,
    pub frame: Option<Frame>,
}

/// Whether the (lower-case) name is a window function (aggregates may stand over windows too).
#[must_use]
pub fn is_window(name: &str) -> bool {
    NAMES.contains(&name)
}

pub(crate) const NAMES: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "lag",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

/// A window expression with Spark's argument casts and result type. The result may wrap it in a cast.
///
/// # Errors
/// As [`crate::scalar`]; also for frames that Spark refuses.
pub fn window(call: WindowCall, ctx: &FunctionContext) -> Result<Expr, SparkError> {
    let name = call.function.name.clone();
    let typed = Call::new(&name, call.function.args.clone(), ctx)?;
    let frame = match (&call.frame, name.as_str()) {
        (Some(frame), _) => resolved_frame(frame, &call.order_by)?,
        (None, "ntile" | "row_number" | "rank" | "dense_rank") => running(WindowFrameUnits::Rows),
        (None, _) if call.order_by.is_empty() => WindowFrame::new(None),
        (None, _) => running(WindowFrameUnits::Range),
    };
    let ignore = call.function.ignore_nulls == Some(true);
    let over = |function: WindowFunctionDefinition, args: Vec<Expr>, ignore: bool| {
        Expr::WindowFunction(Box::new(WindowFunction {
            fun: function,
            params: WindowFunctionParams {
                args,
                partition_by: call.partition_by.clone(),
                order_by: call.order_by.clone(),
                window_frame: frame.clone(),
                filter: None,
                null_treatment: ignore.then_some(NullTreatment::IgnoreNulls),
                distinct: call.function.distinct,
            },
        }))
    };
    let built_in = |function: Arc<WindowUDF>, args: Vec<Expr>| {
        over(
            WindowFunctionDefinition::WindowUDF(SparkWindow::shared(function, ignore)),
            args,
            false,
        )
    };
    let to_int = |expr: Expr| Expr::Cast(Cast::new(Box::new(expr), to_arrow(&DataType::Integer)));
    match name.as_str() {
        "row_number" => Ok(to_int(built_in(native::row_number::row_number_udwf(), vec![]))),
        "rank" => Ok(to_int(built_in(native::rank::rank_udwf(), vec![]))),
        "dense_rank" => Ok(to_int(built_in(native::rank::dense_rank_udwf(), vec![]))),
        "percent_rank" => Ok(built_in(native::rank::percent_rank_udwf(), vec![])),
        "cume_dist" => Ok(built_in(native::cume_dist::cume_dist_udwf(), vec![])),
        "ntile" => {
            typed.arity(0, 1)?;
            let buckets = match typed.len() {
                0 => 1,
                _ => typed
                    .literal_int(0)
                    .filter(|n| *n > 0)
                    .ok_or_else(|| typed.wrong_type(0, "INT"))?,
            };
            let buckets = Expr::Literal(ScalarValue::Int64(Some(buckets)), None);
            Ok(to_int(built_in(native::ntile::ntile_udwf(), vec![buckets])))
        }
        "lag" | "lead" => {
            typed.arity(1, 3)?;
            let function = if name == "lag" {
                native::lead_lag::lag_udwf()
            } else {
                native::lead_lag::lead_udwf()
            };
            let offset = match typed.len() {
                1 => 1,
                _ => typed.literal_int(1).ok_or_else(|| typed.wrong_type(1, "INT"))?,
            };
            let mut args =
                vec![typed.args[0].clone(), Expr::Literal(ScalarValue::Int64(Some(offset)), None)];
            if typed.len() == 3 && typed.types[2] != DataType::Null {
                args.push(implicit(typed.args[2].clone(), &typed.types[0], ctx)?);
            }
            Ok(built_in(function, args))
        }
        "first" | "first_value" | "any_value" | "last" | "last_value" | "nth_value" => {
            typed.arity(1, 3)?;
            let nth = name == "nth_value";
            let flag = if nth { 2 } else { 1 };
            let ignore =
                ignore || matches!(typed.literal(flag), Some(ScalarValue::Boolean(Some(true))));
            let mut args = vec![typed.args[0].clone()];
            let function = if nth {
                let n = typed
                    .literal_int(1)
                    .filter(|n| *n > 0)
                    .ok_or_else(|| typed.wrong_type(1, "INT"))?;
                args.push(Expr::Literal(ScalarValue::Int64(Some(n)), None));
                native::nth_value::nth_value_udwf()
            } else if name.starts_with("last") {
                native::nth_value::last_value_udwf()
            } else {
                native::nth_value::first_value_udwf()
            };
            let function = SparkWindow::shared(function, ignore);
            Ok(over(WindowFunctionDefinition::WindowUDF(function), args, false))
        }
        _ if is_aggregate(&name) => {
            let function = filter_folded(&call.function, ctx)?;
            let expr = aggregate(function, ctx)?;
            replace_aggregate(expr, &|function, args| {
                over(WindowFunctionDefinition::AggregateUDF(function), args, false)
            })
        }
        _ => Err(errors::unresolved_routine(&name)),
    }
}

/// FILTER as NULL arguments, since plans lose the clause over windows on their way to executors.
fn filter_folded(call: &AggregateCall, ctx: &FunctionContext) -> Result<AggregateCall, SparkError> {
    let Some(condition) = &call.filter else { return Ok(call.clone()) };
    let mut folded = AggregateCall { filter: None, ..call.clone() };
    if folded.args.is_empty() {
        folded.args.push(Expr::Literal(ScalarValue::Int64(Some(1)), None));
    }
    if let Some(first) = folded.args.first_mut() {
        *first = crate::case(None, vec![(condition.clone(), first.clone())], None, ctx)?;
    }
    Ok(folded)
}

/// One of DataFusion's window functions with IGNORE NULLS as a part of itself, and never reversed: plans on their way
/// to executors keep neither as properties of the call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SparkWindow {
    inner: Arc<WindowUDF>,
    pub(crate) ignore_nulls: bool,
}

impl SparkWindow {
    pub(crate) fn shared(inner: Arc<WindowUDF>, ignore_nulls: bool) -> Arc<WindowUDF> {
        Arc::new(WindowUDF::new_from_impl(Self { inner, ignore_nulls }))
    }

    /// The function by DataFusion's name for it.
    pub(crate) fn named(name: &str, ignore_nulls: bool) -> Option<Arc<WindowUDF>> {
        native::all_default_window_functions()
            .into_iter()
            .find(|function| function.name() == name)
            .map(|function| Self::shared(function, ignore_nulls))
    }
}

impl WindowUDFImpl for SparkWindow {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.inner.expressions(args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> DfResult<Box<dyn PartitionEvaluator>> {
        self.inner.partition_evaluator_factory(PartitionEvaluatorArgs::new(
            args.input_exprs(),
            args.input_fields(),
            false,
            self.ignore_nulls || args.ignore_nulls(),
        ))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> DfResult<FieldRef> {
        self.inner.field(args)
    }

    fn coerce_types(&self, types: &[Arrow]) -> DfResult<Vec<Arrow>> {
        self.inner.coerce_types(types)
    }

    fn sort_options(&self) -> Option<SortOptions> {
        self.inner.sort_options()
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.inner.inner().limit_effect(args)
    }
}

/// Puts the window expression where the aggregate was, below the casts around it. Aggregates among its arguments stay:
/// they belong to the query's groups.
fn replace_aggregate(
    expr: Expr,
    over: &dyn Fn(Arc<datafusion::logical_expr::AggregateUDF>, Vec<Expr>) -> Expr,
) -> Result<Expr, SparkError> {
    use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
    expr.transform_down(|node| {
        Ok(match node {
            Expr::AggregateFunction(function) => Transformed::new(
                over(function.func, function.params.args),
                true,
                TreeNodeRecursion::Jump,
            ),
            other => Transformed::no(other),
        })
    })
    .map(|transformed| transformed.data)
    .map_err(|error| errors::from_datafusion(&error))
}

fn running(units: WindowFrameUnits) -> WindowFrame {
    WindowFrame::new_bounds(
        units,
        WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
        WindowFrameBound::CurrentRow,
    )
}

fn resolved_frame(frame: &Frame, order_by: &[SortExpr]) -> Result<WindowFrame, SparkError> {
    let units = if frame.rows { WindowFrameUnits::Rows } else { WindowFrameUnits::Range };
    let bounded = |bound: &Bound| matches!(bound, Bound::Offset(_));
    if !frame.rows && order_by.len() != 1 && (bounded(&frame.lower) || bounded(&frame.upper)) {
        return Err(errors::mismatch(
            "RANGE_FRAME_MULTI_ORDER",
            "RANGE BETWEEN",
            "A range window frame with value boundaries cannot be used in a window specification with multiple order by expressions.",
        ));
    }
    let bound = |bound: &Bound| -> Result<WindowFrameBound, SparkError> {
        Ok(match bound {
            Bound::UnboundedPreceding => WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
            Bound::UnboundedFollowing => WindowFrameBound::Following(ScalarValue::UInt64(None)),
            Bound::CurrentRow => WindowFrameBound::CurrentRow,
            Bound::Offset(value) => offset(value, frame.rows)?,
        })
    };
    Ok(WindowFrame::new_bounds(units, bound(&frame.lower)?, bound(&frame.upper)?))
}

fn directed(preceding: bool, distance: ScalarValue) -> WindowFrameBound {
    if preceding {
        WindowFrameBound::Preceding(distance)
    } else {
        WindowFrameBound::Following(distance)
    }
}

fn offset(value: &ScalarValue, rows: bool) -> Result<WindowFrameBound, SparkError> {
    let refused = || {
        SparkError::new(
            ErrorKind::Analysis,
            "DATATYPE_MISMATCH.SPECIFIED_WINDOW_FRAME_INVALID_BOUND",
            "42K09",
            format!("Window frame bound \"{value}\" is not usable."),
        )
    };
    if rows {
        let ScalarValue::Int64(Some(distance)) =
            value.cast_to(&arrow::datatypes::DataType::Int64).map_err(|_| refused())?
        else {
            return Err(refused());
        };
        let rows = ScalarValue::UInt64(Some(distance.unsigned_abs()));
        return Ok(match distance {
            0 => WindowFrameBound::CurrentRow,
            ..0 => WindowFrameBound::Preceding(rows),
            _ => WindowFrameBound::Following(rows),
        });
    }
    // DataFusion moves dates and timestamps by intervals of its widest kind only.
    let interval = |months: i32, micros: i64| {
        let days = i32::try_from(micros / MICROS_PER_DAY).unwrap_or(i32::MAX);
        let rest = micros % MICROS_PER_DAY * 1000;
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, rest)))
    };
    match value {
        ScalarValue::IntervalYearMonth(Some(months)) => {
            let distance = interval(months.saturating_abs(), 0);
            return Ok(directed(*months < 0, distance));
        }
        ScalarValue::DurationMicrosecond(Some(micros)) => {
            let distance = interval(0, micros.saturating_abs());
            return Ok(directed(*micros < 0, distance));
        }
        _ => {}
    }
    let zero = ScalarValue::new_zero(&value.data_type()).map_err(|_| refused())?;
    if *value < zero {
        let distance = value.arithmetic_negate().map_err(|_| refused())?;
        return Ok(WindowFrameBound::Preceding(distance));
    }
    Ok(WindowFrameBound::Following(value.clone()))
}
