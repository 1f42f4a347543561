//! Expressions from SQL text, resolved just far enough for tests.

use datafusion::logical_expr::{Expr, SortExpr};
use spark_functions::{
    AggregateCall, Bound, Frame, FunctionContext, LambdaArgument, WindowCall, aggregate, case,
    cast, extract_value, higher_order, in_list, is_aggregate, literal, scalar, window,
};
use spark_sql_parser::ast;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::{ParserOptions, parse_expression};

type Variables = Vec<(String, Expr)>;

pub(crate) fn expression(text: &str, ctx: &FunctionContext) -> Result<Expr, SparkError> {
    resolve(&parse_expression(text, &ParserOptions::default())?, ctx, &vec![])
}

fn unresolved(what: &str) -> SparkError {
    SparkError::new(ErrorKind::Analysis, "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703", what)
}

fn resolve(
    expr: &ast::Expr,
    ctx: &FunctionContext,
    variables: &Variables,
) -> Result<Expr, SparkError> {
    let go = |expr: &ast::Expr| resolve(expr, ctx, variables);
    match expr {
        ast::Expr::Literal(value) => literal(value),
        ast::Expr::Alias { expr, .. } => go(expr),
        ast::Expr::Cast { expr, to, mode } => cast(go(expr)?, to, *mode, ctx),
        ast::Expr::Case { operand, branches, otherwise } => case(
            operand.as_deref().map(go).transpose()?,
            branches
                .iter()
                .map(|(when, then)| Ok((go(when)?, go(then)?)))
                .collect::<Result<_, SparkError>>()?,
            otherwise.as_deref().map(go).transpose()?,
            ctx,
        ),
        ast::Expr::InList { expr, list, negated } => {
            in_list(go(expr)?, list.iter().map(go).collect::<Result<_, _>>()?, *negated, ctx)
        }
        ast::Expr::ExtractValue { child, extraction } => {
            extract_value(go(child)?, go(extraction)?, ctx)
        }
        ast::Expr::Function(function) => {
            let name = function.name.join(".").to_lowercase();
            if is_aggregate(&name) && !ctx.schema.fields().is_empty() {
                return aggregate(aggregate_call(function, ctx, variables)?, ctx);
            }
            let lambda = |arg: &ast::Expr| matches!(arg, ast::Expr::Lambda { .. });
            if function.args.iter().any(lambda) {
                return with_lambdas(&name, &function.args, ctx, variables);
            }
            let args = function.args.iter().map(go).collect::<Result<_, _>>()?;
            scalar(&name, args, ctx)
        }
        ast::Expr::Attribute { name, .. } | ast::Expr::LambdaVariable { name } => {
            let found =
                variables.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(&name[0]));
            let column = ctx.schema.field_with_unqualified_name(&name[0]);
            let mut expr = match found {
                Some((_, variable)) => variable.clone(),
                None if column.is_ok() => {
                    Expr::Column(datafusion::common::Column::new_unqualified(&name[0]))
                }
                None if name.len() == 1 => return scalar(&name[0].to_lowercase(), vec![], ctx),
                None => return Err(unresolved(&name.join("."))),
            };
            for field in &name[1..] {
                let key = literal(&ast::Literal::String(field.clone()))?;
                expr = extract_value(expr, key, ctx)?;
            }
            Ok(expr)
        }
        ast::Expr::Window(over) => {
            let ast::Expr::Function(function) = &over.function else {
                return Err(unresolved("a window over no function"));
            };
            let bound = |bound: &ast::FrameBound| {
                Ok(match bound {
                    ast::FrameBound::UnboundedPreceding => Bound::UnboundedPreceding,
                    ast::FrameBound::UnboundedFollowing => Bound::UnboundedFollowing,
                    ast::FrameBound::CurrentRow => Bound::CurrentRow,
                    ast::FrameBound::Offset(offset) => match go(offset)? {
                        Expr::Literal(value, _) => Bound::Offset(value),
                        other => return Err(unresolved(&format!("{other:?}"))),
                    },
                })
            };
            let frame = match &over.frame {
                None => None,
                Some(frame) => Some(Frame {
                    rows: frame.rows,
                    lower: bound(&frame.lower)?,
                    upper: bound(&frame.upper)?,
                }),
            };
            let call = WindowCall {
                function: aggregate_call(function, ctx, variables)?,
                partition_by: over.partition_by.iter().map(go).collect::<Result<_, _>>()?,
                order_by: orders(&over.order_by, ctx, variables)?,
                frame,
            };
            window(call, ctx)
        }
        other => Err(unresolved(&format!("{other:?}"))),
    }
}

fn orders(
    orders: &[ast::SortOrder],
    ctx: &FunctionContext,
    variables: &Variables,
) -> Result<Vec<SortExpr>, SparkError> {
    orders
        .iter()
        .map(|order| {
            let nulls_first = order.nulls_first.unwrap_or(order.ascending);
            Ok(SortExpr::new(resolve(&order.expr, ctx, variables)?, order.ascending, nulls_first))
        })
        .collect()
}

fn aggregate_call(
    function: &ast::Function,
    ctx: &FunctionContext,
    variables: &Variables,
) -> Result<AggregateCall, SparkError> {
    let go = |expr: &ast::Expr| resolve(expr, ctx, variables);
    let args = function.args.iter().filter(|arg| !matches!(arg, ast::Expr::Star { .. }));
    Ok(AggregateCall {
        name: function.name.join(".").to_lowercase(),
        args: args.map(go).collect::<Result<_, _>>()?,
        distinct: function.distinct,
        filter: function.filter.as_deref().map(go).transpose()?,
        ignore_nulls: function.ignore_nulls,
        order_by: orders(&function.within_group, ctx, variables)?,
    })
}

fn with_lambdas(
    name: &str,
    args: &[ast::Expr],
    ctx: &FunctionContext,
    variables: &Variables,
) -> Result<Expr, SparkError> {
    type Body<'a> = Box<dyn Fn(&[Expr]) -> Result<Expr, SparkError> + 'a>;
    let bodies: Vec<Option<(usize, Body)>> = args
        .iter()
        .map(|arg| match arg {
            ast::Expr::Lambda { body, parameters } => {
                let resolve_body: Body = Box::new(move |values: &[Expr]| {
                    let mut inner = variables.clone();
                    inner.extend(parameters.iter().cloned().zip(values.iter().cloned()));
                    resolve(body, ctx, &inner)
                });
                Some((parameters.len(), resolve_body))
            }
            _ => None,
        })
        .collect();
    let arguments = args
        .iter()
        .zip(&bodies)
        .map(|(arg, body)| {
            Ok(match body {
                Some((parameters, body)) => {
                    LambdaArgument::Lambda { parameters: *parameters, body: body.as_ref() }
                }
                None => LambdaArgument::Value(resolve(arg, ctx, variables)?),
            })
        })
        .collect::<Result<Vec<_>, SparkError>>()?;
    higher_order(name, &arguments, ctx)
}
