//! Functions of arrays, maps and structs.

mod arrays;
mod items;
mod maps;
mod sequence;

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, StructArray};
use arrow::datatypes::DataType as Arrow;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{Expr, ExprSchemable as _};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::{DataType, Field, Schema};

use crate::cast::implicit;
use crate::errors::{self, quoted_type};
use crate::signature::{Call, Function};
use crate::types::to_arrow;
use crate::udf::{Args, Definition, Params, ours};
use crate::widen;

pub(crate) use maps::build_map;

pub(crate) const FUNCTION_TABLES: [&[Function]; 2] = [arrays::FUNCTIONS, maps::FUNCTIONS];
pub(crate) const DEFINITION_TABLES: [&[Definition]; 5] = [
    arrays::DEFINITIONS,
    items::DEFINITIONS,
    maps::DEFINITIONS,
    sequence::DEFINITIONS,
    DEFINITIONS,
];

const DEFINITIONS: &[Definition] = &[Definition::never_null("named_struct", named_struct)];

type Built = std::result::Result<Option<Expr>, SparkError>;

pub(super) fn array_of(element: DataType, contains_null: bool) -> DataType {
    DataType::Array { element: Box::new(element), contains_null }
}

fn nullable(call: &Call, index: usize) -> bool {
    call.args[index].nullable(call.ctx.schema).unwrap_or(true)
}

/// Element type of an array argument.
fn element(call: &Call, index: usize) -> std::result::Result<(DataType, bool), SparkError> {
    match &call.types[index] {
        DataType::Array { element, contains_null } => Ok((*element.clone(), *contains_null)),
        DataType::Null => Ok((DataType::Null, true)),
        _ => Err(call.wrong_type(index, "ARRAY")),
    }
}

/// Functions whose types depend on one another.
pub(crate) fn build(call: &Call) -> Built {
    let arg = |index: usize| call.args[index].clone();
    match call.name {
        "array" => {
            let (args, out) = same_types(call, 0)?;
            let contains_null = (0..call.len()).any(|index| nullable(call, index));
            call.ours("array", args, &array_of(out, contains_null)).map(Some)
        }
        "named_struct" | "struct" => structure(call).map(Some),
        "getitem" | "get_field" => {
            call.arity(2, 2)?;
            crate::extract_value(arg(0), arg(1), call.ctx).map(Some)
        }
        "get" => {
            call.arity(2, 2)?;
            let (item, _) = element(call, 0)?;
            let index = call.coerced(1, &DataType::Integer)?;
            let index = implicit(index, &DataType::Long, call.ctx)?;
            let params = Params::new(to_arrow(&item)).mode(crate::udf::Mode::Legacy);
            ours("array_item", vec![arg(0), index], params).map(Some)
        }
        "element_at" | "try_element_at" => items::element_at(call).map(Some),
        "array_contains" | "array_position" | "array_remove" => {
            call.arity(2, 2)?;
            if call.name == "array_contains" && call.types.contains(&DataType::Null) {
                let function = format!("`{}`", call.name);
                return Err(errors::mismatch(
                    "NULL_TYPE",
                    &call.sql(),
                    &format!("Null typed values cannot be used as arguments of {function}."),
                )
                .with("functionName", function));
            }
            let (args, common) = array_and_item(call, 1)?;
            let out = match call.name {
                "array_contains" => DataType::Boolean,
                "array_position" => DataType::Long,
                _ => common,
            };
            call.ours(call.name, args, &out).map(Some)
        }
        "array_append" | "array_prepend" => {
            call.arity(2, 2)?;
            let (args, common) = array_and_item(call, 1)?;
            let out = with_nulls(common, nullable(call, 1));
            call.ours(call.name, args, &out).map(Some)
        }
        "array_insert" => {
            call.arity(3, 3)?;
            let (mut args, common) = array_and_item(call, 2)?;
            args.insert(1, call.coerced(1, &DataType::Integer)?);
            call.ours("array_insert", args, &with_nulls(common, true)).map(Some)
        }
        "array_union" | "array_except" | "array_intersect" | "arrays_overlap" => {
            call.arity(2, 2)?;
            let (args, common) = same_types(call, 0)?;
            if !matches!(common, DataType::Array { .. }) {
                return Err(call.wrong_type(0, "ARRAY"));
            }
            let out = if call.name == "arrays_overlap" { DataType::Boolean } else { common };
            call.ours(call.name, args, &out).map(Some)
        }
        "array_repeat" => {
            call.arity(2, 2)?;
            let out = array_of(call.types[0].clone(), nullable(call, 0));
            let args = vec![arg(0), call.coerced(1, &DataType::Integer)?];
            call.ours("array_repeat", args, &out).map(Some)
        }
        "array_min" | "array_max" => {
            call.arity(1, 1)?;
            let (item, _) = element(call, 0)?;
            call.ours(call.name, vec![arg(0)], &item).map(Some)
        }
        "flatten" => {
            call.arity(1, 1)?;
            let (inner, _) = element(call, 0)?;
            if !matches!(inner, DataType::Array { .. }) {
                return Err(call.wrong_type(0, "ARRAY OF ARRAY"));
            }
            call.ours("flatten", vec![arg(0)], &inner).map(Some)
        }
        "reverse" => {
            call.arity(1, 1)?;
            call.ours("array_reverse", vec![arg(0)], &call.types[0]).map(Some)
        }
        "array_join" => {
            call.arity(2, 3)?;
            let (_, contains_null) = element(call, 0)?;
            let texts = array_of(DataType::String, contains_null);
            let mut args = vec![implicit(arg(0), &texts, call.ctx)?];
            for index in 1..call.len() {
                args.push(call.coerced(index, &DataType::String)?);
            }
            call.ours("array_join", args, &DataType::String).map(Some)
        }
        "arrays_zip" => {
            let mut fields = vec![];
            for index in 0..call.len() {
                let (item, _) = element(call, index)?;
                let name = name_of(&call.args[index]).unwrap_or_else(|| index.to_string());
                fields.push(Field { name, data_type: item, nullable: true, metadata: None });
            }
            let out = array_of(DataType::Struct(Schema { fields }), false);
            call.ours("arrays_zip", call.args.clone(), &out).map(Some)
        }
        "sequence" => sequence::build(call).map(Some),
        _ => maps::build(call),
    }
}

fn with_nulls(array: DataType, nulls: bool) -> DataType {
    match array {
        DataType::Array { element, contains_null } => {
            DataType::Array { element, contains_null: contains_null || nulls }
        }
        other => other,
    }
}

/// An array argument and an item cast to their common element type.
fn array_and_item(
    call: &Call,
    item: usize,
) -> std::result::Result<(Vec<Expr>, DataType), SparkError> {
    let (inner, contains_null) = element(call, 0)?;
    let Some(common) = widen(&[inner, call.types[item].clone()]) else {
        let (array, item) = (quoted_type(&call.types[0]), quoted_type(&call.types[item]));
        let function = format!("`{}`", call.name);
        return Err(errors::mismatch(
            "ARRAY_FUNCTION_DIFF_TYPES",
            &call.sql(),
            &format!(
                "Input to {function} should have been \"ARRAY\" followed by a value with same element type, but it's [{array}, {item}]."
            ),
        )
        .with("functionName", function)
        .with("dataType", "\"ARRAY\"")
        .with("leftType", array)
        .with("rightType", item));
    };
    let array = array_of(common.clone(), contains_null);
    let args = vec![
        implicit(call.args[0].clone(), &array, call.ctx)?,
        implicit(call.args[item].clone(), &common, call.ctx)?,
    ];
    Ok((args, array))
}

/// All arguments from one on, cast to their common type.
fn same_types(call: &Call, from: usize) -> std::result::Result<(Vec<Expr>, DataType), SparkError> {
    let types = &call.types[from..];
    let Some(common) = widen(types).or_else(|| types.is_empty().then_some(DataType::Null)) else {
        let names: Vec<String> = types.iter().map(quoted_type).collect();
        let names = format!("({})", names.join(" or "));
        let function = format!("`{}`", call.name);
        return Err(errors::mismatch(
            "DATA_DIFF_TYPES",
            &call.sql(),
            &format!("Input to {function} should all be the same type, but it's {names}."),
        )
        .with("functionName", function)
        .with("dataType", names));
    };
    let args = call.args[from..]
        .iter()
        .map(|arg| implicit(arg.clone(), &common, call.ctx))
        .collect::<std::result::Result<_, _>>()?;
    Ok((args, common))
}

/// The name an expression gives a column of its own.
fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(crate::without_ids(&column.name)),
        Expr::Alias(alias) => Some(alias.name.clone()),
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => match call.args.last() {
            Some(Expr::Literal(ScalarValue::Utf8(Some(name)), _)) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn structure(call: &Call) -> std::result::Result<Expr, SparkError> {
    let mut fields = vec![];
    let mut values = vec![];
    let named = call.name == "named_struct";
    if named && call.len() % 2 == 1 {
        return Err(errors::wrong_num_args(call.name, "2n (n > 0)", call.len()));
    }
    let step = if named { 2 } else { 1 };
    for (position, index) in (0..call.len()).step_by(step).enumerate() {
        let (name, value) = if named {
            let Some(name) = call.literal_text(index) else {
                return Err(errors::mismatch(
                    "CREATE_NAMED_STRUCT_WITHOUT_FOLDABLE_STRING",
                    &call.sql(),
                    "Only foldable \"STRING\" expressions are allowed to appear at odd position.",
                ));
            };
            (name.to_owned(), index + 1)
        } else {
            let name = name_of(&call.args[index]).unwrap_or_else(|| format!("col{}", position + 1));
            (name, index)
        };
        let data_type = call.types[value].clone();
        fields.push(Field { name, data_type, nullable: nullable(call, value), metadata: None });
        values.push(call.args[value].clone().unalias());
    }
    call.ours("named_struct", values, &DataType::Struct(Schema { fields }))
}

fn named_struct(args: &Args) -> Result<ArrayRef> {
    let Arrow::Struct(fields) = &args.params.result else {
        return internal_err!("{} is no struct", args.params.result);
    };
    let columns = (0..args.len())
        .zip(fields)
        .map(|(index, field)| crate::lists::same_form(args.array(index)?, field.data_type()))
        .collect::<Result<Vec<_>>>()?;
    let array = StructArray::try_new_with_length(fields.clone(), columns, None, args.rows)?;
    debug_assert_eq!(array.len(), args.rows);
    Ok(Arc::new(array))
}

/// What `Ty::Array` arguments give: the same array.
pub(super) const SAME: crate::signature::Out = crate::signature::Out::Same(0);
