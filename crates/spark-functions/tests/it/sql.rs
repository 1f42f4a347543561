//! Expressions from SQL text, resolved just far enough for tests: no columns, only literals, calls and lambdas.

use datafusion::logical_expr::Expr;
use spark_functions::{
    FunctionContext, LambdaArgument, case, cast, extract_value, higher_order, in_list, literal,
    scalar,
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
        ast::Expr::InList { expr, list, negated } => in_list(
            go(expr)?,
            list.iter().map(go).collect::<Result<_, _>>()?,
            *negated,
            ctx,
        ),
        ast::Expr::ExtractValue { child, extraction } => {
            extract_value(go(child)?, go(extraction)?, ctx)
        }
        ast::Expr::Function(function) => {
            let name = function.name.join(".").to_lowercase();
            let lambda = |arg: &ast::Expr| matches!(arg, ast::Expr::Lambda { .. });
            if function.args.iter().any(lambda) {
                return with_lambdas(&name, &function.args, ctx, variables);
            }
            let args = function.args.iter().map(go).collect::<Result<_, _>>()?;
            scalar(&name, args, ctx)
        }
        ast::Expr::Attribute { name, .. } | ast::Expr::LambdaVariable { name } => {
            let found = variables.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(&name[0]));
            let mut expr = match found {
                Some((_, variable)) => variable.clone(),
                None if name.len() == 1 => return scalar(&name[0].to_lowercase(), vec![], ctx),
                None => return Err(unresolved(&name.join("."))),
            };
            for field in &name[1..] {
                let key = literal(&ast::Literal::String(field.clone()))?;
                expr = extract_value(expr, key, ctx)?;
            }
            Ok(expr)
        }
        other => Err(unresolved(&format!("{other:?}"))),
    }
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
