//! Evaluates one expression, shown as Spark's cast to string shows its value.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_expr::execution_props::ExecutionProps;
use spark_functions::{FunctionContext, cast, data_type_of, errors, literal, scalar, types};
use spark_sql_parser::ast::{CastMode, Literal};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

/// Time zone of all tests, so that zone mistakes show.
pub(crate) const ZONE: &str = "America/Los_Angeles";

pub(crate) fn empty_schema() -> DFSchema {
    DFSchema::empty()
}

pub(crate) fn context(schema: &DFSchema) -> FunctionContext<'_> {
    FunctionContext { time_zone: ZONE, ..FunctionContext::new(schema) }
}

/// A tree of calls over literals, before resolution.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Value(Literal),
    Call(&'static str, Vec<Self>),
    Cast(Box<Self>, DataType, CastMode),
}

pub(crate) fn resolve(tree: &Tree, ctx: &FunctionContext) -> Result<Expr, SparkError> {
    match tree {
        Tree::Value(value) => literal(value),
        Tree::Call(name, args) => {
            let args = args.iter().map(|arg| resolve(arg, ctx)).collect::<Result<_, _>>()?;
            scalar(name, args, ctx)
        }
        Tree::Cast(child, to, mode) => cast(resolve(child, ctx)?, to, *mode, ctx),
    }
}

pub(crate) fn int(value: i32) -> Tree {
    Tree::Value(Literal::Integer(value))
}

pub(crate) fn long(value: i64) -> Tree {
    Tree::Value(Literal::Long(value))
}

pub(crate) fn double(value: f64) -> Tree {
    Tree::Value(Literal::Double(value))
}

pub(crate) fn text(value: &str) -> Tree {
    Tree::Value(Literal::String(value.to_owned()))
}

pub(crate) fn null() -> Tree {
    Tree::Value(Literal::Null(DataType::Null))
}

pub(crate) fn boolean(value: bool) -> Tree {
    Tree::Value(Literal::Boolean(value))
}

/// `dec("1.50")` is decimal(3,2).
pub(crate) fn dec(value: &str) -> Tree {
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    let scale = value.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let unscaled: i128 = digits.parse().unwrap();
    let precision = digits.trim_start_matches('0').len().max(scale).max(1);
    Tree::Value(Literal::Decimal {
        value: if value.starts_with('-') { -unscaled } else { unscaled },
        precision: u8::try_from(precision).unwrap(),
        scale: i8::try_from(scale).unwrap(),
    })
}

pub(crate) fn call(name: &'static str, args: impl IntoIterator<Item = Tree>) -> Tree {
    Tree::Call(name, args.into_iter().collect())
}

pub(crate) fn as_type(child: Tree, to: DataType) -> Tree {
    Tree::Cast(Box::new(child), to, CastMode::Ansi)
}

pub(crate) fn date(value: &str) -> Tree {
    as_type(text(value), DataType::Date)
}

pub(crate) fn timestamp(value: &str) -> Tree {
    as_type(text(value), DataType::Timestamp)
}

pub(crate) fn decimal(precision: u8, scale: i8) -> DataType {
    DataType::Decimal { precision, scale }
}

/// The value's text and its type's name, or the error.
pub(crate) fn evaluate(tree: &Tree) -> Result<(String, String), SparkError> {
    let schema = empty_schema();
    evaluate_in(tree, &context(&schema))
}

pub(crate) fn evaluate_in(
    tree: &Tree,
    ctx: &FunctionContext,
) -> Result<(String, String), SparkError> {
    shown(resolve(tree, ctx)?, ctx)
}

/// Evaluates an expression without columns: its value's text and its type's name.
pub(crate) fn shown(expr: Expr, ctx: &FunctionContext) -> Result<(String, String), SparkError> {
    let name = types::simple_name(&data_type_of(&expr, ctx)?);
    let shown = cast(expr, &DataType::String, CastMode::Ansi, ctx)?;
    let run = || -> datafusion::common::Result<Option<String>> {
        let physical =
            create_physical_expr(&shown, ctx.schema, &ExecutionProps::new(), &Default::default())?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
        let array = physical.evaluate(&batch)?.into_array(1)?;
        let texts = array.as_string::<i32>();
        Ok((!texts.is_null(0)).then(|| texts.value(0).to_owned()))
    };
    match run() {
        Ok(text) => Ok((text.unwrap_or_else(|| "NULL".to_owned()), name)),
        Err(error) => Err(errors::from_datafusion(&error)),
    }
}

/// Checks rows of (expression, Spark's answer): `value: type` or `[CONDITION]`.
pub(crate) fn check(rows: impl IntoIterator<Item = (Tree, &'static str)>) {
    let mut wrong = vec![];
    for (tree, expected) in rows {
        let actual = match evaluate(&tree) {
            Ok((value, name)) => format!("{value}: {name}"),
            Err(error) => format!("[{}]", error.condition),
        };
        let value_only = actual.rsplit_once(": ").map_or(actual.as_str(), |(value, _)| value);
        if actual != expected && value_only != expected {
            wrong.push(format!("{tree:?}\n    is {actual}\n    but Spark says {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
