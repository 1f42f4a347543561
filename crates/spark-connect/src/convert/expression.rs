//! Expressions.

use spark_connect_proto as sc;
use spark_sql_parser::ast::{
    CastMode, Expr, FrameBound, Function, Literal, PythonUdf, Relation, SortOrder, Window,
    WindowFrame,
};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use super::relation::Lookup;
use super::types::data_type;
use super::{literal, missing, unsupported};

/// The plan language's expressions for a list of Connect expressions.
pub fn expressions(
    protos: &[sc::Expression],
    lookup: &dyn Lookup,
) -> Result<Vec<Expr>, SparkError> {
    protos.iter().map(|proto| expression(proto, lookup)).collect()
}

/// The plan language's expression for a Connect expression.
pub fn expression(proto: &sc::Expression, lookup: &dyn Lookup) -> Result<Expr, SparkError> {
    use sc::expression::ExprType;
    let kind = proto.expr_type.as_ref().ok_or_else(|| missing("expression"))?;
    match kind {
        ExprType::Literal(value) => Ok(Expr::Literal(literal(value)?)),
        ExprType::UnresolvedAttribute(attribute) => Ok(Expr::Attribute {
            name: identifier(&attribute.unparsed_identifier)?,
            plan_id: attribute.plan_id,
        }),
        ExprType::UnresolvedFunction(call) => function(call, lookup),
        ExprType::CallFunction(call) => Ok(Expr::Function(Function {
            name: identifier(&call.function_name)?,
            args: expressions(&call.arguments, lookup)?,
            ..Function::default()
        })),
        ExprType::ExpressionString(text) => {
            spark_sql_parser::parse_expression(&text.expression, &lookup.parser_options())
        }
        ExprType::UnresolvedStar(star) => Ok(Expr::Star {
            target: star_target(star.unparsed_target.as_deref())?,
            plan_id: star.plan_id,
            except: Vec::new(),
        }),
        ExprType::Alias(alias) => alias_expression(alias, lookup),
        ExprType::Cast(cast) => cast_expression(cast, lookup),
        ExprType::UnresolvedRegex(regex) => {
            Ok(Expr::Regex { pattern: regex.col_name.clone(), plan_id: regex.plan_id })
        }
        ExprType::SortOrder(order) => Ok(Expr::SortOrder(Box::new(sort_order(order, lookup)?))),
        ExprType::LambdaFunction(lambda) => Ok(Expr::Lambda {
            body: boxed(lambda.function.as_deref(), "lambda body", lookup)?,
            parameters: lambda.arguments.iter().map(|name| name.name_parts.join(".")).collect(),
        }),
        ExprType::UnresolvedNamedLambdaVariable(variable) => {
            Ok(Expr::LambdaVariable { name: variable.name_parts.clone() })
        }
        ExprType::Window(window) => window_expression(window, lookup),
        ExprType::UnresolvedExtractValue(extract) => Ok(Expr::ExtractValue {
            child: boxed(extract.child.as_deref(), "child of the extraction", lookup)?,
            extraction: boxed(extract.extraction.as_deref(), "extraction", lookup)?,
        }),
        ExprType::UpdateFields(update) => Ok(Expr::UpdateField {
            child: boxed(update.struct_expression.as_deref(), "struct", lookup)?,
            field: update.field_name.clone(),
            value: match update.value_expression.as_deref() {
                Some(value) => Some(Box::new(expression(value, lookup)?)),
                None => None,
            },
        }),
        ExprType::CommonInlineUserDefinedFunction(udf) => python_udf(udf, lookup),
        ExprType::NamedArgumentExpression(argument) => Ok(Expr::NamedArgument {
            key: argument.key.clone(),
            value: boxed(argument.value.as_deref(), "argument value", lookup)?,
        }),
        ExprType::SubqueryExpression(subquery) => subquery_expression(subquery, lookup),
        ExprType::MergeAction(_) => Err(unsupported("MERGE INTO")),
        ExprType::TypedAggregateExpression(_) => Err(unsupported("A typed Scala aggregate")),
        ExprType::DirectShufflePartitionId(_) => Err(unsupported("repartitionById")),
        ExprType::Extension(any) => Err(unsupported(&format!("The extension {}", any.type_url))),
    }
}

/// Sort orders of `Sort`, windows and aggregates.
pub fn sort_orders(
    protos: &[sc::expression::SortOrder],
    lookup: &dyn Lookup,
) -> Result<Vec<SortOrder>, SparkError> {
    protos.iter().map(|proto| sort_order(proto, lookup)).collect()
}

fn sort_order(
    proto: &sc::expression::SortOrder,
    lookup: &dyn Lookup,
) -> Result<SortOrder, SparkError> {
    use sc::expression::sort_order::{NullOrdering, SortDirection};
    let child = proto.child.as_deref().ok_or_else(|| missing("sort expression"))?;
    Ok(SortOrder {
        expr: expression(child, lookup)?,
        ascending: proto.direction() != SortDirection::Descending,
        nulls_first: match proto.null_ordering() {
            NullOrdering::SortNullsUnspecified => None,
            NullOrdering::SortNullsFirst => Some(true),
            NullOrdering::SortNullsLast => Some(false),
        },
    })
}

pub(super) fn identifier(text: &str) -> Result<Vec<String>, SparkError> {
    spark_sql_parser::parse_multipart_identifier(text)
}

/// `t.*` arrives with its trailing `.*`.
fn star_target(target: Option<&str>) -> Result<Vec<String>, SparkError> {
    match target {
        None | Some("" | "*") => Ok(Vec::new()),
        Some(target) => identifier(target.strip_suffix(".*").unwrap_or(target)),
    }
}

fn boxed(
    proto: Option<&sc::Expression>,
    part: &str,
    lookup: &dyn Lookup,
) -> Result<Box<Expr>, SparkError> {
    Ok(Box::new(expression(proto.ok_or_else(|| missing(part))?, lookup)?))
}

fn function(
    call: &sc::expression::UnresolvedFunction,
    lookup: &dyn Lookup,
) -> Result<Expr, SparkError> {
    let mut args = expressions(&call.arguments, lookup)?;
    let name = call.function_name.as_str();
    match name {
        "when" => Ok(case(args)),
        "in" if !args.is_empty() => {
            let expr = Box::new(args.remove(0));
            Ok(Expr::InList { expr, list: args, negated: false })
        }
        _ => {
            let name = if call.is_user_defined_function {
                identifier(name)?
            } else {
                vec![name.to_owned()]
            };
            Ok(Expr::Function(Function {
                name,
                args,
                distinct: call.is_distinct,
                ..Function::default()
            }))
        }
    }
}

/// `when(c1, v1, c2, v2, …[, otherwise])`.
fn case(args: Vec<Expr>) -> Expr {
    let mut branches = Vec::with_capacity(args.len() / 2);
    let mut args = args.into_iter();
    let mut otherwise = None;
    while let Some(condition) = args.next() {
        match args.next() {
            Some(value) => branches.push((condition, value)),
            None => otherwise = Some(Box::new(condition)),
        }
    }
    Expr::Case { operand: None, branches, otherwise }
}

fn alias_expression(
    alias: &sc::expression::Alias,
    lookup: &dyn Lookup,
) -> Result<Expr, SparkError> {
    Ok(Expr::Alias {
        expr: boxed(alias.expr.as_deref(), "aliased expression", lookup)?,
        names: alias.name.clone(),
        metadata: alias.metadata.clone(),
    })
}

/// The aliases of `with_columns`.
pub(super) fn aliases(
    protos: &[sc::expression::Alias],
    lookup: &dyn Lookup,
) -> Result<Vec<Expr>, SparkError> {
    protos.iter().map(|alias| alias_expression(alias, lookup)).collect()
}

fn cast_expression(cast: &sc::expression::Cast, lookup: &dyn Lookup) -> Result<Expr, SparkError> {
    use sc::expression::cast::{CastToType, EvalMode};
    let to: DataType = match cast.cast_to_type.as_ref().ok_or_else(|| missing("cast type"))? {
        CastToType::Type(proto) => data_type(proto)?,
        CastToType::TypeStr(text) => spark_sql_parser::parse_data_type(text)?,
    };
    let mode = match cast.eval_mode() {
        EvalMode::Unspecified => CastMode::Session,
        EvalMode::Legacy => CastMode::Legacy,
        EvalMode::Ansi => CastMode::Ansi,
        EvalMode::Try => CastMode::Try,
    };
    Ok(Expr::Cast { expr: boxed(cast.expr.as_deref(), "cast expression", lookup)?, to, mode })
}

fn window_expression(
    window: &sc::expression::Window,
    lookup: &dyn Lookup,
) -> Result<Expr, SparkError> {
    let function = window.window_function.as_deref().ok_or_else(|| missing("window function"))?;
    Ok(Expr::Window(Box::new(Window {
        function: expression(function, lookup)?,
        partition_by: expressions(&window.partition_spec, lookup)?,
        order_by: sort_orders(&window.order_spec, lookup)?,
        frame: match window.frame_spec.as_deref() {
            Some(frame) => Some(window_frame(frame, lookup)?),
            None => None,
        },
    })))
}

fn window_frame(
    frame: &sc::expression::window::WindowFrame,
    lookup: &dyn Lookup,
) -> Result<WindowFrame, SparkError> {
    use sc::expression::window::window_frame::FrameType;
    Ok(WindowFrame {
        rows: frame.frame_type() == FrameType::Row,
        lower: bound(frame.lower.as_deref(), true, lookup)?,
        upper: bound(frame.upper.as_deref(), false, lookup)?,
    })
}

fn bound(
    boundary: Option<&sc::expression::window::window_frame::FrameBoundary>,
    lower: bool,
    lookup: &dyn Lookup,
) -> Result<FrameBound, SparkError> {
    use sc::expression::window::window_frame::frame_boundary::Boundary;
    let boundary = boundary
        .and_then(|boundary| boundary.boundary.as_ref())
        .ok_or_else(|| missing("window frame boundary"))?;
    Ok(match boundary {
        Boundary::CurrentRow(_) => FrameBound::CurrentRow,
        Boundary::Unbounded(_) if lower => FrameBound::UnboundedPreceding,
        Boundary::Unbounded(_) => FrameBound::UnboundedFollowing,
        Boundary::Value(value) => match expression(value, lookup)? {
            // PySpark sends Window.currentRow as the literal 0.
            Expr::Literal(Literal::Integer(0) | Literal::Long(0)) => FrameBound::CurrentRow,
            offset => FrameBound::Offset(offset),
        },
    })
}

fn python_udf(
    udf: &sc::CommonInlineUserDefinedFunction,
    lookup: &dyn Lookup,
) -> Result<Expr, SparkError> {
    use sc::common_inline_user_defined_function::Function as Kind;
    match udf.function.as_ref().ok_or_else(|| missing("function body"))? {
        Kind::PythonUdf(python) => Ok(Expr::PythonUdf(Box::new(PythonUdf {
            name: udf.function_name.clone(),
            command: python.command.to_vec(),
            eval_type: python.eval_type,
            python_version: python.python_ver.clone(),
            return_type: data_type(
                python.output_type.as_ref().ok_or_else(|| missing("function's return type"))?,
            )?,
            deterministic: udf.deterministic,
            args: expressions(&udf.arguments, lookup)?,
        }))),
        Kind::ScalarScalaUdf(_) => Err(unsupported("A Scala function")),
        Kind::JavaUdf(_) => Err(unsupported("A Java function")),
    }
}

fn subquery_expression(
    subquery: &sc::SubqueryExpression,
    lookup: &dyn Lookup,
) -> Result<Expr, SparkError> {
    use sc::subquery_expression::SubqueryType;
    let query = || -> Result<Box<Relation>, SparkError> {
        Ok(Box::new(lookup.subquery(subquery.plan_id)?))
    };
    match subquery.subquery_type() {
        SubqueryType::Scalar => Ok(Expr::ScalarSubquery(query()?)),
        SubqueryType::Exists => Ok(Expr::Exists { query: query()?, negated: false }),
        SubqueryType::In => Ok(Expr::InSubquery {
            exprs: expressions(&subquery.in_subquery_values, lookup)?,
            query: query()?,
            negated: false,
        }),
        SubqueryType::TableArg => Err(unsupported("A table argument")),
        SubqueryType::Unknown => Err(missing("subquery type")),
    }
}
