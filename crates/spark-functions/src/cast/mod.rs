//! Casts between all of Spark's types, in the three modes.

mod numbers;
mod strings;
mod times;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, ListArray, MapArray, PrimitiveArray, StructArray,
    new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType as Arrow, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Expr;
use spark_sql_parser::ast::CastMode;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::coercion::decimal_for;
use crate::errors::{self, quoted_type};
use crate::time::Zone;
use crate::types::{from_arrow, is_integral, is_numeric, is_string, to_arrow};
use crate::udf::{Args, Definition, Mode, Params, fail, ours};
use crate::{FunctionContext, data_type_of};

pub(crate) use strings::text_column;

pub(crate) const DEFINITIONS: &[Definition] = &[Definition::fallible("cast", evaluate)];

/// What a conversion needs to know besides the types.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub mode: Mode,
    pub zone: Zone,
}

impl FunctionContext<'_> {
    pub(crate) fn mode(&self) -> Mode {
        if self.ansi { Mode::Ansi } else { Mode::Legacy }
    }
}

/// Casts an expression as Spark's `CAST`, `TRY_CAST` or the session's choice.
///
/// # Errors
/// DATATYPE_MISMATCH if the types cannot be cast into each other at all.
pub fn cast(
    expr: Expr,
    to: &DataType,
    mode: CastMode,
    ctx: &FunctionContext,
) -> Result<Expr, SparkError> {
    let mode = match mode {
        CastMode::Session => ctx.mode(),
        CastMode::Ansi => Mode::Ansi,
        CastMode::Try => Mode::Try,
        CastMode::Legacy => Mode::Legacy,
    };
    let arrow_from = ctx.arrow_type(&expr)?;
    let target = to_arrow(to);
    if arrow_from == target {
        return Ok(expr);
    }
    let from = from_arrow(&arrow_from);
    if !castable(&from, to, mode) {
        return Err(refused(&expr, &from, to, mode));
    }
    if let Expr::Literal(ScalarValue::Null, _) = expr {
        return null_literal(to);
    }
    if infallible_natively(&from, to) {
        return Ok(Expr::Cast(datafusion::logical_expr::Cast::new(Box::new(expr), target)));
    }
    let zoned = needs_zone(&from, to);
    let params = Params::new(target)
        .mode(if cannot_fail(&from, to) { Mode::Ansi } else { mode })
        .zone(if zoned { ctx.time_zone } else { "" })
        .text(if cannot_fail(&from, to) { crate::udf::SAFE } else { "" });
    ours("cast", vec![expr], params)
}

fn null_literal(to: &DataType) -> Result<Expr, SparkError> {
    ScalarValue::try_from(&to_arrow(to))
        .map(|value| Expr::Literal(value, None))
        .map_err(|error| errors::from_datafusion(&error))
}

/// Whether the text of a value, or the value of a text, depends on the session's zone.
fn needs_zone(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    fn zoned(data_type: &DataType) -> bool {
        match data_type {
            T::Timestamp => true,
            T::Array { element, .. } => zoned(element),
            T::Map { key, value, .. } => zoned(key) || zoned(value),
            T::Struct(schema) => schema.fields.iter().any(|field| zoned(&field.data_type)),
            _ => false,
        }
    }
    // TIMESTAMP_NTZ and DATE from text may name "today" by the session's clock; only TIMESTAMP reads the zone.
    zoned(from) || zoned(to)
}

fn refused(expr: &Expr, from: &DataType, to: &DataType, mode: Mode) -> SparkError {
    let (source, target) = (quoted_type(from), quoted_type(to));
    let sql = format!("CAST({} AS {})", crate::sql_text(expr), crate::types::sql_name(to));
    let instead = match (from, to) {
        (DataType::Date, to) if is_numeric(to) => Some("`UNIX_DATE`"),
        (from, DataType::Date) if is_numeric(from) => Some("`DATE_FROM_UNIX_DATE`"),
        _ => None,
    };
    if let Some(functions) = instead.filter(|_| mode != Mode::Legacy) {
        return errors::mismatch(
            "CAST_WITH_FUNC_SUGGESTION",
            &sql,
            &format!(
                "cannot cast {source} to {target}.\nTo convert values from {source} to {target}, you can use the functions {functions} instead."
            ),
        )
        .with("srcType", source)
        .with("targetType", target)
        .with("functionNames", functions);
    }
    if mode != Mode::Legacy && castable(from, to, Mode::Legacy) {
        return errors::mismatch(
            "CAST_WITH_CONF_SUGGESTION",
            &sql,
            &format!(
                "cannot cast {source} to {target} with ANSI mode on.\nIf you have to cast {source} to {target}, you can set \"spark.sql.ansi.enabled\" as 'false'."
            ),
        )
        .with("srcType", source)
        .with("targetType", target)
        .with("config", "\"spark.sql.ansi.enabled\"")
        .with("configVal", "'false'");
    }
    errors::mismatch("CAST_WITHOUT_SUGGESTION", &sql, &format!("cannot cast {source} to {target}."))
        .with("srcType", source)
        .with("targetType", target)
}

/// `Cast.canAnsiCast` and, in legacy mode, `Cast.canCast`.
fn castable(from: &DataType, to: &DataType, mode: Mode) -> bool {
    use DataType as T;
    let legacy = mode == Mode::Legacy;
    match (from, to) {
        (a, b) if a == b => true,
        (T::Null, _) => true,
        (T::Variant, _) | (_, T::Variant) => false,
        (_, b) if is_string(b) => true,
        (a, T::Boolean) => is_string(a) || is_numeric(a) || (legacy && is_time(a)),
        (a, T::Binary) => is_string(a) || (legacy && is_integral(a)),
        (a, T::Date) => is_string(a) || matches!(a, T::Timestamp | T::TimestampNtz),
        (a, T::Timestamp) => {
            is_string(a)
                || is_numeric(a)
                || matches!(a, T::Date | T::TimestampNtz)
                || (legacy && *a == T::Boolean)
        }
        (a, T::TimestampNtz) => is_string(a) || matches!(a, T::Date | T::Timestamp),
        (a, T::CalendarInterval) => is_string(a),
        (a, T::YearMonthInterval { .. }) => {
            is_string(a)
                || is_integral(a)
                || matches!(a, T::YearMonthInterval { .. } | T::Decimal { .. })
        }
        (a, T::DayTimeInterval { .. }) => {
            is_string(a)
                || is_integral(a)
                || matches!(a, T::DayTimeInterval { .. } | T::Decimal { .. })
        }
        (a, b) if is_numeric(b) => match a {
            T::Boolean | T::Timestamp => true,
            T::Date => legacy,
            T::YearMonthInterval { .. } | T::DayTimeInterval { .. } => {
                is_integral(b) || matches!(b, T::Decimal { .. })
            }
            a => is_string(a) || is_numeric(a),
        },
        (T::Array { element: a, .. }, T::Array { element: b, .. }) => castable(a, b, mode),
        (T::Map { key: k1, value: v1, .. }, T::Map { key: k2, value: v2, .. }) => {
            castable(k1, k2, mode) && castable(v1, v2, mode)
        }
        (T::Struct(a), T::Struct(b)) => {
            a.fields.len() == b.fields.len()
                && a.fields
                    .iter()
                    .zip(&b.fields)
                    .all(|(x, y)| castable(&x.data_type, &y.data_type, mode))
        }
        _ => false,
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date | DataType::Timestamp)
}

/// Conversions every value survives and which Arrow does as Spark does; they stay open to the optimizer.
fn infallible_natively(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (T::Null, _) => true,
        (a, T::Decimal { precision, scale }) if is_integral(a) => {
            decimal_for(a).is_some_and(|(digits, _)| {
                i32::from(*precision) - i32::from(*scale) >= i32::from(digits)
            })
        }
        (T::Decimal { precision: p1, scale: s1 }, T::Decimal { precision: p2, scale: s2 }) => {
            s2 >= s1 && i32::from(*p2) - i32::from(*s2) >= i32::from(*p1) - i32::from(*s1)
        }
        (a, b) if is_integral(a) && is_integral(b) => integral_width(a) <= integral_width(b),
        (a, T::Float | T::Double) if is_integral(a) => true,
        (T::Float, T::Double) => true,
        _ => false,
    }
}

fn integral_width(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Byte => 1,
        DataType::Short => 2,
        DataType::Integer => 4,
        _ => 8,
    }
}

/// Conversions that succeed for every value, so that no mode changes them and their nullability is the input's.
fn cannot_fail(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (_, b) if is_string(b) => true,
        (a, T::Boolean) => is_numeric(a),
        (T::Boolean, b) => is_integral(b) || matches!(b, T::Float | T::Double),
        (a, T::Double | T::Float) => is_numeric(a),
        (a, b) if is_string(a) && *b == T::Binary => true,
        (T::Date | T::Timestamp | T::TimestampNtz, T::Date | T::Timestamp | T::TimestampNtz) => {
            true
        }
        (a, b) if a == b => true,
        (a, b) if infallible_natively(a, b) => true,
        (T::Array { element: a, .. }, T::Array { element: b, .. }) => cannot_fail(a, b),
        (T::Map { key: k1, value: v1, .. }, T::Map { key: k2, value: v2, .. }) => {
            cannot_fail(k1, k2) && cannot_fail(v1, v2)
        }
        (T::Struct(a), T::Struct(b)) => {
            a.fields.len() == b.fields.len()
                && a.fields
                    .iter()
                    .zip(&b.fields)
                    .all(|(x, y)| cannot_fail(&x.data_type, &y.data_type))
        }
        _ => false,
    }
}

fn evaluate(args: &Args) -> Result<ArrayRef> {
    let zone = Zone::parse(&args.params.zone).unwrap_or(Zone::Fixed(0));
    let options = Options { mode: args.params.mode, zone };
    convert(&args.array(0)?, &args.params.result, options)
}

/// Converts a column.
pub(crate) fn convert(array: &ArrayRef, to: &Arrow, options: Options) -> Result<ArrayRef> {
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    match (from, to) {
        (Arrow::Null, _) => Ok(new_null_array(to, array.len())),
        (Arrow::List(_), Arrow::List(field)) => {
            let list = array.as_list::<i32>();
            let values = convert(list.values(), field.data_type(), options)?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(field),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (Arrow::Map(..), Arrow::Map(field, ordered)) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = convert(&entries, field.data_type(), options)?;
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(field),
                map.offsets().clone(),
                entries.as_struct().clone(),
                map.nulls().cloned(),
                *ordered,
            )?))
        }
        (Arrow::Struct(_), Arrow::Struct(fields)) => {
            let input = array.as_struct();
            let columns = input
                .columns()
                .iter()
                .zip(fields)
                .map(|(column, field)| convert(column, field.data_type(), options))
                .collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                input.nulls().cloned(),
                input.len(),
            )?))
        }
        (Arrow::Utf8View | Arrow::LargeUtf8, _) => {
            convert(&arrow::compute::cast(array, &Arrow::Utf8)?, to, options)
        }
        (Arrow::BinaryView | Arrow::LargeBinary | Arrow::FixedSizeBinary(_), _) => {
            convert(&arrow::compute::cast(array, &Arrow::Binary)?, to, options)
        }
        (_, Arrow::Utf8) => text_column(array, options),
        (Arrow::Utf8, _) => strings::from_text(array.as_string::<i32>(), to, options),
        (
            Arrow::Date32 | Arrow::Timestamp(TimeUnit::Microsecond, _),
            Arrow::Date32 | Arrow::Timestamp(TimeUnit::Microsecond, _),
        ) => times::between(array, to, options),
        _ => numbers::convert(array, to, options),
    }
}

/// Maps each value; a `None` is an error, or NULL outside ANSI mode.
pub(crate) fn each<I, O>(
    array: &ArrayRef,
    to: &Arrow,
    mode: Mode,
    convert: impl Fn(I::Native) -> Option<O::Native>,
    error: impl Fn(I::Native) -> SparkError,
) -> Result<ArrayRef>
where
    I: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
{
    let Some(input) = array.as_any().downcast_ref::<PrimitiveArray<I>>() else {
        return exec_err!("{} cannot be read as {}", array.data_type(), I::DATA_TYPE);
    };
    let mut failed = false;
    let values: Vec<O::Native> = input
        .values()
        .iter()
        .map(|value| {
            convert(*value).unwrap_or_else(|| {
                failed = true;
                O::default_value()
            })
        })
        .collect();
    let mut nulls = input.nulls().cloned();
    if failed {
        let mut valid = vec![true; input.len()];
        for (row, valid) in valid.iter_mut().enumerate() {
            if input.is_null(row) {
                *valid = false;
            } else if convert(input.value(row)).is_none() {
                if mode == Mode::Ansi {
                    return fail(error(input.value(row)));
                }
                *valid = false;
            }
        }
        nulls = Some(NullBuffer::from(valid));
    }
    Ok(Arc::new(PrimitiveArray::<O>::new(values.into(), nulls).with_data_type(to.clone())))
}

/// Applies Spark's implicit cast to an argument of a function, or says that the argument has the wrong type.
pub(crate) fn implicit(
    expr: Expr,
    to: &DataType,
    ctx: &FunctionContext,
) -> Result<Expr, SparkError> {
    let from = data_type_of(&expr, ctx)?;
    if from == *to && ctx.arrow_type(&expr)? == to_arrow(to) {
        return Ok(expr);
    }
    cast(expr, to, CastMode::Session, ctx)
}
