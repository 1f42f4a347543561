//! Operators and conditionals: operand types as Spark's analyzer makes them equal, then DataFusion's own expression
//! where it means the same, one of ours where it does not.

use arrow::array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray};
use arrow::datatypes::{DataType as Arrow, Float32Type, Float64Type};
use datafusion::common::{Result as DfResult, ScalarValue, internal_err};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::FunctionContext;
use crate::cast::implicit;
use crate::coercion::{self, Operator as Arithmetic, decimal_for, decimal_for_integer, widen};
use crate::date_arith;
use crate::errors::{self, quoted_type};
use crate::signature::Call;
use crate::types::{is_integral, is_numeric, is_string, to_arrow};
use crate::udf::{Args, Definition, Mode, Params, SAFE, can_fail, ours};

pub(crate) const DEFINITIONS: &[Definition] =
    &[Definition::strict("normalize_nan_and_zero", normalize)];

/// Names this module answers for.
pub(crate) const NAMES: &[&str] = &[
    "+",
    "-",
    "*",
    "/",
    "%",
    "div",
    "mod",
    "pmod",
    "try_add",
    "try_subtract",
    "try_multiply",
    "try_divide",
    "try_mod",
    "negative",
    "positive",
    "abs",
    "==",
    "=",
    "!=",
    "<>",
    "<",
    "<=",
    ">",
    ">=",
    "<=>",
    "equal_null",
    "and",
    "or",
    "not",
    "!",
    "isnull",
    "isnotnull",
    "isnan",
    "istrue",
    "isnottrue",
    "isfalse",
    "isnotfalse",
    "isunknown",
    "isnotunknown",
    "if",
    "iff",
    "when",
    "coalesce",
    "nvl",
    "ifnull",
    "nvl2",
    "nullif",
    "nullifzero",
    "zeroifnull",
    "nanvl",
    "greatest",
    "least",
    "in",
    "between",
    "&",
    "|",
    "^",
    "~",
    "shiftleft",
    "shiftright",
    "shiftrightunsigned",
    "<<",
    ">>",
    ">>>",
];

pub(crate) fn build(call: &Call) -> Result<Option<Expr>, SparkError> {
    let arg = |index: usize| call.args[index].clone();
    let expr = match call.name {
        "+" | "-" if call.len() == 1 => return unary(call).map(Some),
        "+" | "-" | "*" | "/" | "%" | "div" | "mod" | "pmod" => {
            call.arity(2, 2)?;
            let name = if call.name == "mod" { "%" } else { call.name };
            arithmetic(call, name, call.ctx.mode())?
        }
        "try_add" | "try_subtract" | "try_multiply" | "try_divide" | "try_mod" => {
            call.arity(2, 2)?;
            let name = match call.name {
                "try_add" => "+",
                "try_subtract" => "-",
                "try_multiply" => "*",
                "try_divide" => "/",
                _ => "%",
            };
            arithmetic(call, name, Mode::Try)?
        }
        "negative" | "positive" | "abs" => {
            call.arity(1, 1)?;
            return unary(call).map(Some);
        }
        "==" | "=" | "!=" | "<>" | "<" | "<=" | ">" | ">=" | "<=>" | "equal_null" => {
            call.arity(2, 2)?;
            comparison(call, arg(0), arg(1))?
        }
        "and" | "or" => {
            call.arity(2, 2)?;
            logical(call)?
        }
        "not" | "!" => {
            call.arity(1, 1)?;
            Expr::Not(Box::new(boolean(call, 0)?))
        }
        "isnull" => {
            call.arity(1, 1)?;
            Expr::IsNull(Box::new(arg(0)))
        }
        "isnotnull" => {
            call.arity(1, 1)?;
            Expr::IsNotNull(Box::new(arg(0)))
        }
        "istrue" => Expr::IsTrue(Box::new(boolean(call, 0)?)),
        "isnottrue" => Expr::IsNotTrue(Box::new(boolean(call, 0)?)),
        "isfalse" => Expr::IsFalse(Box::new(boolean(call, 0)?)),
        "isnotfalse" => Expr::IsNotFalse(Box::new(boolean(call, 0)?)),
        "isunknown" => Expr::IsUnknown(Box::new(boolean(call, 0)?)),
        "isnotunknown" => Expr::IsNotUnknown(Box::new(boolean(call, 0)?)),
        "if" | "iff" => {
            call.arity(3, 3)?;
            case(None, vec![(arg(0), arg(1))], Some(arg(2)), call.ctx)?
        }
        "when" => {
            // Connect's spelling of CASE: condition, value, …, [otherwise].
            call.arity(2, usize::MAX)?;
            let otherwise = (call.len() % 2 == 1).then(|| arg(call.len() - 1));
            let branches =
                call.args.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            case(None, branches, otherwise, call.ctx)?
        }
        "coalesce" => {
            call.arity(1, usize::MAX)?;
            coalesce(call, &call.args)?
        }
        "nvl" | "ifnull" => {
            call.arity(2, 2)?;
            coalesce(call, &call.args)?
        }
        "zeroifnull" => {
            call.arity(1, 1)?;
            coalesce(call, &[arg(0), int(0)])?
        }
        "nvl2" => {
            call.arity(3, 3)?;
            let present = Expr::IsNotNull(Box::new(arg(0)));
            case(None, vec![(present, arg(1))], Some(arg(2)), call.ctx)?
        }
        "nullif" => {
            call.arity(2, 2)?;
            null_if(call, arg(0), arg(1))?
        }
        "nullifzero" => {
            call.arity(1, 1)?;
            null_if(call, arg(0), int(0))?
        }
        "nanvl" => {
            call.arity(2, 2)?;
            let common = widen(&call.types).unwrap_or(DataType::Double);
            let common = if common == DataType::Float { common } else { DataType::Double };
            let value = implicit(arg(0), &common, call.ctx)?;
            let other = implicit(arg(1), &common, call.ctx)?;
            let nan = datafusion::functions::math::expr_fn::isnan(value.clone());
            case(None, vec![(nan, other)], Some(value), call.ctx)?
        }
        "isnan" => {
            call.arity(1, 1)?;
            let value = match call.types[0] {
                DataType::Float => arg(0),
                _ => call.coerced(0, &DataType::Double)?,
            };
            let nan = datafusion::functions::math::expr_fn::isnan(value.clone());
            // Spark's isnan(NULL) is false.
            Expr::IsTrue(Box::new(nan))
        }
        "greatest" | "least" => {
            call.arity(2, usize::MAX)?;
            let args = same_type(call, &call.args)?;
            if call.name == "greatest" {
                datafusion::functions::core::expr_fn::greatest(args)
            } else {
                datafusion::functions::core::expr_fn::least(args)
            }
        }
        "in" => {
            call.arity(2, usize::MAX)?;
            in_list(arg(0), call.args[1..].to_vec(), false, call.ctx)?
        }
        "between" => {
            call.arity(3, 3)?;
            let above = crate::scalar(">=", vec![arg(0), arg(1)], call.ctx)?;
            let below = crate::scalar("<=", vec![arg(0), arg(2)], call.ctx)?;
            crate::scalar("and", vec![above, below], call.ctx)?
        }
        "&" | "|" | "^" => {
            call.arity(2, 2)?;
            bitwise(call)?
        }
        _ => return Ok(None),
    };
    Ok(Some(expr))
}

fn int(value: i32) -> Expr {
    Expr::Literal(ScalarValue::Int32(Some(value)), None)
}

pub(crate) fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn boolean(call: &Call, index: usize) -> Result<Expr, SparkError> {
    if matches!(call.types[index], DataType::Boolean | DataType::Null)
        || is_string(&call.types[index])
    {
        return implicit(call.args[index].clone(), &DataType::Boolean, call.ctx);
    }
    Err(call.wrong_type(index, "BOOLEAN"))
}

/// Signs and `abs`.
fn unary(call: &Call) -> Result<Expr, SparkError> {
    let (name, given) = (call.name, &call.types[0]);
    let interval = matches!(
        given,
        DataType::YearMonthInterval { .. }
            | DataType::DayTimeInterval { .. }
            | DataType::CalendarInterval
    );
    let (value, data_type) = if is_string(given) || *given == DataType::Null {
        (call.coerced(0, &DataType::Double)?, DataType::Double)
    } else if is_numeric(given) || interval {
        (call.args[0].clone(), given.clone())
    } else {
        return Err(call.wrong_type(0, "\"NUMERIC\" or \"INTERVAL\""));
    };
    if matches!(name, "positive" | "+") {
        return Ok(value);
    }
    if data_type == DataType::CalendarInterval {
        return call.ours("negative_interval", vec![value], &data_type);
    }
    let implementation = if name == "abs" { "abs" } else { "negative" };
    // Negated literals stay literals, as Spark's parser makes them.
    if implementation == "negative"
        && let Expr::Literal(literal, _) = &value
        && !literal.is_null()
        && let Ok(negated) = literal.arithmetic_negate()
    {
        return Ok(Expr::Literal(negated, None));
    }
    let safe = matches!(data_type, DataType::Float | DataType::Double | DataType::Decimal { .. });
    let params = Params::new(to_arrow(&data_type));
    let params = if safe { params.text(SAFE) } else { params.mode(call.ctx.mode()) };
    ours(implementation, vec![value], params)
}

/// Operands of `+ - * / % div pmod` and the type of the result.
fn arithmetic(call: &Call, name: &str, mode: Mode) -> Result<Expr, SparkError> {
    if let Some(expr) = date_arith::build(call, name, mode)? {
        return Ok(expr);
    }
    let (left, right) = (call.args[0].clone(), call.args[1].clone());
    let (l_type, r_type) = (operand_type(call, 0)?, operand_type(call, 1)?);
    let (l_type, r_type) = match (&l_type, &r_type) {
        (DataType::Null, DataType::Null) => (DataType::Double, DataType::Double),
        (DataType::Null, other) | (other, DataType::Null) => (other.clone(), other.clone()),
        (a, b) => (a.clone(), b.clone()),
    };
    let decimal = |t: &DataType| matches!(t, DataType::Decimal { .. });
    let floating = |t: &DataType| matches!(t, DataType::Float | DataType::Double);
    if (decimal(&l_type) || decimal(&r_type)) && !floating(&l_type) && !floating(&r_type) {
        return decimal_arithmetic(call, name, mode, (left, &l_type), (right, &r_type));
    }
    let common = match name {
        "/" => DataType::Double,
        "div" => DataType::Long,
        _ => coercion::wider_type(&l_type, &r_type).ok_or_else(|| different(call))?,
    };
    let left = implicit(left, &common, call.ctx)?;
    let right = implicit(right, &common, call.ctx)?;
    if floating(&common) {
        let native = match name {
            "+" => Some(Operator::Plus),
            "-" => Some(Operator::Minus),
            "*" => Some(Operator::Multiply),
            _ => None,
        };
        if let Some(op) = native {
            return Ok(binary(left, op, right));
        }
    }
    let params = Params::new(to_arrow(&common)).mode(mode);
    let params = if never_zero(&right) && matches!(name, "/" | "%" | "pmod") {
        Params { mode: Mode::Ansi, ..params }.text(SAFE)
    } else {
        params
    };
    ours(name, vec![left, right], params)
}

fn never_zero(divisor: &Expr) -> bool {
    let Expr::Literal(value, _) = divisor else { return false };
    let Ok(double) = value.cast_to(&Arrow::Float64) else { return false };
    matches!(double, ScalarValue::Float64(Some(value)) if value != 0.0)
}

/// Strings in arithmetic are numbers: whole ones beside whole numbers, else doubles.
fn operand_type(call: &Call, index: usize) -> Result<DataType, SparkError> {
    let (given, other) = (&call.types[index], &call.types[1 - index]);
    if is_string(given) && is_string(other) && call.ctx.ansi {
        let actual = quoted_type(given);
        return Err(errors::mismatch(
            "BINARY_OP_WRONG_TYPE",
            &call.sql(),
            &format!("the binary operator requires the input type \"NUMERIC\", not {actual}."),
        )
        .with("inputType", "\"NUMERIC\"")
        .with("actualDataType", actual));
    }
    if is_string(given) {
        return Ok(match other {
            other if is_integral(other) && call.ctx.ansi => DataType::Long,
            _ => DataType::Double,
        });
    }
    if is_numeric(given) || *given == DataType::Null {
        return Ok(given.clone());
    }
    if *other != *given && !is_string(other) && *other != DataType::Null {
        return Err(different(call));
    }
    let actual = quoted_type(given);
    Err(errors::mismatch(
        "BINARY_OP_WRONG_TYPE",
        &call.sql(),
        &format!("the binary operator requires the input type \"NUMERIC\", not {actual}."),
    )
    .with("inputType", "\"NUMERIC\"")
    .with("actualDataType", actual))
}

fn different(call: &Call) -> SparkError {
    let (left, right) = (quoted_type(&call.types[0]), quoted_type(&call.types[1]));
    errors::mismatch(
        "BINARY_OP_DIFF_TYPES",
        &call.sql(),
        &format!(
            "the left and right operands of the binary operator have incompatible types ({left} and {right})."
        ),
    )
    .with("left", left)
    .with("right", right)
}

/// The decimal an operand counts as; a whole literal is only as wide as its digits.
fn as_decimal(expr: &Expr, data_type: &DataType) -> Option<(u8, i8)> {
    if let Expr::Literal(value, _) = expr
        && is_integral(data_type)
        && let Ok(ScalarValue::Int64(Some(value))) = value.cast_to(&Arrow::Int64)
    {
        return Some(decimal_for_integer(value));
    }
    decimal_for(data_type)
}

fn decimal_arithmetic(
    call: &Call,
    name: &str,
    mode: Mode,
    (left, l_type): (Expr, &DataType),
    (right, r_type): (Expr, &DataType),
) -> Result<Expr, SparkError> {
    let (Some(l), Some(r)) = (as_decimal(&left, l_type), as_decimal(&right, r_type)) else {
        return Err(different(call));
    };
    let operator = match name {
        "+" => Arithmetic::Add,
        "-" => Arithmetic::Subtract,
        "*" => Arithmetic::Multiply,
        "/" => Arithmetic::Divide,
        "div" => Arithmetic::IntegralDivide,
        _ => Arithmetic::Remainder,
    };
    let result = match operator {
        Arithmetic::IntegralDivide => DataType::Long,
        _ => coercion::decimal_result(operator, l, r),
    };
    let to = |(precision, scale)| DataType::Decimal { precision, scale };
    let left = implicit(left, &to(l), call.ctx)?;
    let right = implicit(right, &to(r), call.ctx)?;
    let params = Params::new(to_arrow(&result));
    // A result type with room for every value makes the mode irrelevant.
    let roomy = match operator {
        Arithmetic::Add | Arithmetic::Subtract => {
            let scale = l.1.max(r.1);
            let whole = (i32::from(l.0) - i32::from(l.1)).max(i32::from(r.0) - i32::from(r.1));
            whole + i32::from(scale) < 38
        }
        Arithmetic::Multiply => u32::from(l.0) + u32::from(r.0) < 38,
        Arithmetic::Divide => {
            never_zero(&right)
                && matches!(result, DataType::Decimal { precision, .. } if precision < 38)
        }
        Arithmetic::Remainder => never_zero(&right),
        Arithmetic::IntegralDivide => false,
    };
    let params = if roomy { params.text(SAFE) } else { params.mode(mode) };
    ours(name, vec![left, right], params)
}

/// Casts both sides to the type in which Spark compares them.
pub(crate) fn comparable(
    left: Expr,
    right: Expr,
    ctx: &FunctionContext,
) -> Result<Option<(Expr, Expr, DataType)>, SparkError> {
    let (l_type, r_type) = (crate::data_type_of(&left, ctx)?, crate::data_type_of(&right, ctx)?);
    let whole_beside_decimal =
        |a: &DataType, b: &DataType| is_integral(a) && matches!(b, DataType::Decimal { .. });
    let common = if whole_beside_decimal(&l_type, &r_type) || whole_beside_decimal(&r_type, &l_type)
    {
        match (as_decimal(&left, &l_type), as_decimal(&right, &r_type)) {
            (Some(l), Some(r)) => Some(coercion::wider_decimal(l, r)),
            _ => None,
        }
    } else {
        coercion::wider_type(&l_type, &r_type)
    };
    let Some(common) = common else { return Ok(None) };
    let common = if common == DataType::Null { DataType::Boolean } else { common };
    Ok(Some((implicit(left, &common, ctx)?, implicit(right, &common, ctx)?, common)))
}

fn comparison(call: &Call, left: Expr, right: Expr) -> Result<Expr, SparkError> {
    let op = match call.name {
        "==" | "=" => Operator::Eq,
        "!=" | "<>" => Operator::NotEq,
        "<" => Operator::Lt,
        "<=" => Operator::LtEq,
        ">" => Operator::Gt,
        ">=" => Operator::GtEq,
        _ => Operator::IsNotDistinctFrom,
    };
    let Some((left, right, common)) = comparable(left, right, call.ctx)? else {
        return Err(different(call));
    };
    match common {
        DataType::Map { .. } => Err(errors::mismatch(
            "INVALID_ORDERING_TYPE",
            &call.sql(),
            &format!(
                "The `{}` does not support ordering on type {}.",
                call.name,
                quoted_type(&common)
            ),
        )),
        DataType::Float | DataType::Double => float_comparison(left, op, right, call.ctx),
        _ => Ok(binary(left, op, right)),
    }
}

/// Arrow compares floats by their total order, in which -0.0 is below 0.0; Spark takes them as equal.
fn float_comparison(
    left: Expr,
    op: Operator,
    right: Expr,
    ctx: &FunctionContext,
) -> Result<Expr, SparkError> {
    fn constant(expr: &Expr) -> Option<f64> {
        match expr {
            Expr::Literal(ScalarValue::Float64(Some(value)), _) => Some(*value),
            Expr::Literal(ScalarValue::Float32(Some(value)), _) => Some(f64::from(*value)),
            Expr::Cast(cast) => match cast.expr.as_ref() {
                Expr::Literal(value, _) => match value.cast_to(&Arrow::Float64) {
                    Ok(ScalarValue::Float64(Some(value))) => Some(value),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }
    let harmless =
        |expr: &Expr| constant(expr).is_some_and(|value| value != 0.0 && !value.is_nan());
    if harmless(&left) || harmless(&right) {
        return Ok(binary(left, op, right));
    }
    Ok(binary(normalize_key(left, ctx)?, op, normalize_key(right, ctx)?))
}

fn normalize(args: &Args) -> DfResult<ArrayRef> {
    let array = args.array(0)?;
    match array.data_type() {
        Arrow::Float64 => {
            let input = array.as_primitive::<Float64Type>();
            let output: PrimitiveArray<Float64Type> =
                input.unary(|v| if v.is_nan() { f64::NAN } else { v + 0.0 });
            Ok(std::sync::Arc::new(output))
        }
        Arrow::Float32 => {
            let input = array.as_primitive::<Float32Type>();
            let output: PrimitiveArray<Float32Type> =
                input.unary(|v| if v.is_nan() { f32::NAN } else { v + 0.0 });
            Ok(std::sync::Arc::new(output))
        }
        other => internal_err!("{other} has no NaN"),
    }
}

/// Makes floats equal that Spark takes for equal (`-0.0` and `0.0`, all NaNs); other types pass unchanged.
///
/// For grouping, distinct and join keys.
///
/// # Errors
/// If the expression has no type in the context's schema.
pub fn normalize_key(expr: Expr, ctx: &FunctionContext) -> Result<Expr, SparkError> {
    match crate::data_type_of(&expr, ctx)? {
        data_type @ (DataType::Float | DataType::Double) => {
            ours("normalize_nan_and_zero", vec![expr], Params::new(to_arrow(&data_type)))
        }
        _ => Ok(expr),
    }
}

/// AND and OR. Where the right side may raise an error, it is asked only if the left one leaves the answer open: Spark
/// evaluates row by row and stops early, DataFusion by columns.
fn logical(call: &Call) -> Result<Expr, SparkError> {
    let (left, right) = (boolean(call, 0)?, boolean(call, 1)?);
    let (op, open) = if call.name == "and" {
        (Operator::And, Expr::IsNotFalse(Box::new(left.clone())))
    } else {
        (Operator::Or, Expr::IsNotTrue(Box::new(left.clone())))
    };
    if can_fail(&right) && !matches!(left, Expr::Literal(..)) && !joins_columns(&right) {
        let guarded = Case::new(None, vec![(Box::new(open), Box::new(right))], None);
        return Ok(binary(left, op, Expr::Case(guarded)));
    }
    Ok(binary(left, op, right))
}

/// An equality of two columns' values may become a join key and must stay recognisable.
fn joins_columns(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            !left.column_refs().is_empty() && !right.column_refs().is_empty()
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            joins_columns(left) || joins_columns(right)
        }
        _ => false,
    }
}

/// CASE: with an operand each branch compares it, without one each is a condition.
///
/// # Errors
/// DATATYPE_MISMATCH if the branches have no common type or a condition is no boolean.
pub fn case(
    operand: Option<Expr>,
    branches: Vec<(Expr, Expr)>,
    otherwise: Option<Expr>,
    ctx: &FunctionContext,
) -> Result<Expr, SparkError> {
    let mut values: Vec<Expr> = branches.iter().map(|(_, value)| value.clone()).collect();
    values.extend(otherwise.clone());
    let types =
        values.iter().map(|v| crate::data_type_of(v, ctx)).collect::<Result<Vec<_>, _>>()?;
    let Some(common) = common_type(&values, &types) else {
        let names: Vec<String> = types.iter().map(quoted_type).collect();
        let names = format!("[{}]", names.join(", "));
        let call = Call::new("casewhen", values, ctx)?;
        return Err(errors::mismatch(
            "DATA_DIFF_TYPES",
            &call.sql(),
            &format!("Input to `casewhen` should all be the same type, but it's {names}."),
        )
        .with("functionName", "`casewhen`")
        .with("dataType", names));
    };
    let mut when_then = Vec::with_capacity(branches.len());
    for (condition, value) in branches {
        let condition = match &operand {
            Some(operand) => crate::scalar("=", vec![operand.clone(), condition], ctx)?,
            None => {
                let call = Call::new("casewhen", vec![condition], ctx)?;
                boolean(&call, 0)?
            }
        };
        when_then.push((Box::new(condition), Box::new(implicit(value, &common, ctx)?)));
    }
    let otherwise = match otherwise {
        Some(value) if crate::data_type_of(&value, ctx)? == DataType::Null => None,
        Some(value) => Some(Box::new(implicit(value, &common, ctx)?)),
        None => None,
    };
    Ok(Expr::Case(Case::new(None, when_then, otherwise)))
}

/// The type several expressions meet in; whole literals count as narrow decimals beside decimals.
fn common_type(exprs: &[Expr], types: &[DataType]) -> Option<DataType> {
    let _ = exprs;
    widen(types)
}

fn same_type(call: &Call, args: &[Expr]) -> Result<Vec<Expr>, SparkError> {
    let types =
        args.iter().map(|v| crate::data_type_of(v, call.ctx)).collect::<Result<Vec<_>, _>>()?;
    let Some(common) = common_type(args, &types) else {
        let names: Vec<String> = types.iter().map(quoted_type).collect();
        let names = names.join(" or ");
        let function = format!("`{}`", call.name);
        return Err(errors::mismatch(
            "DATA_DIFF_TYPES",
            &call.sql(),
            &format!("Input to {function} should all be the same type, but it's ({names})."),
        )
        .with("functionName", function)
        .with("dataType", format!("({names})")));
    };
    args.iter().map(|arg| implicit(arg.clone(), &common, call.ctx)).collect()
}

/// COALESCE as the CASE it means; DataFusion's own function only exists to be rewritten so.
fn coalesce(call: &Call, args: &[Expr]) -> Result<Expr, SparkError> {
    let mut args = same_type(call, args)?;
    // Nothing after an argument that is never NULL can matter.
    if let Some(sure) =
        args.iter().position(|arg| matches!(arg, Expr::Literal(value, _) if !value.is_null()))
    {
        args.truncate(sure + 1);
    }
    let Some(last) = args.pop() else { return Err(errors::wrong_num_args(call.name, "> 0", 0)) };
    args.retain(|arg| !matches!(arg, Expr::Literal(value, _) if value.is_null()));
    if args.is_empty() {
        return Ok(last);
    }
    let branches = args
        .into_iter()
        .map(|arg| (Box::new(Expr::IsNotNull(Box::new(arg.clone()))), Box::new(arg)))
        .collect();
    Ok(Expr::Case(Case::new(None, branches, Some(Box::new(last)))))
}

fn null_if(call: &Call, value: Expr, other: Expr) -> Result<Expr, SparkError> {
    let equal = crate::scalar("=", vec![value.clone(), other], call.ctx)?;
    let null = ScalarValue::try_from(&call.ctx.arrow_type(&value)?)
        .map_err(|error| errors::from_datafusion(&error))?;
    let branches = vec![(Box::new(equal), Box::new(Expr::Literal(null, None)))];
    Ok(Expr::Case(Case::new(None, branches, Some(Box::new(value)))))
}

/// `value IN (list)`, all in their common type.
///
/// # Errors
/// DATATYPE_MISMATCH if there is no common type.
pub fn in_list(
    value: Expr,
    list: Vec<Expr>,
    negated: bool,
    ctx: &FunctionContext,
) -> Result<Expr, SparkError> {
    let mut all = vec![value];
    all.extend(list);
    let call = Call::new("in", all, ctx)?;
    let value_type = &call.types[0];
    // Beside a decimal column whole literals are narrow decimals, so that the column itself is not cast.
    let common = if matches!(value_type, DataType::Decimal { .. })
        && call.types.iter().all(|t| is_integral(t) || matches!(t, DataType::Decimal { .. }))
    {
        let parts: Option<Vec<DataType>> = call
            .args
            .iter()
            .zip(&call.types)
            .map(|(arg, data_type)| {
                as_decimal(arg, data_type)
                    .map(|(precision, scale)| DataType::Decimal { precision, scale })
            })
            .collect();
        parts.and_then(|parts| widen(&parts))
    } else {
        widen(&call.types)
    };
    let Some(common) = common else {
        let names: Vec<String> = call.types.iter().map(quoted_type).collect();
        let names = names.join(", ");
        return Err(errors::mismatch(
            "DATA_DIFF_TYPES",
            &call.sql(),
            &format!("Input to `in` should all be the same type, but it's [{names}]."),
        )
        .with("functionName", "`in`")
        .with("dataType", format!("[{names}]")));
    };
    let mut args = call
        .args
        .iter()
        .map(|arg| implicit(arg.clone(), &common, ctx))
        .collect::<Result<Vec<_>, _>>()?;
    if matches!(common, DataType::Float | DataType::Double) {
        args = args.into_iter().map(|arg| normalize_key(arg, ctx)).collect::<Result<_, _>>()?;
    }
    let value = args.remove(0);
    Ok(Expr::InList(InList::new(Box::new(value), args, negated)))
}

fn bitwise(call: &Call) -> Result<Expr, SparkError> {
    let common = widen(&call.types).filter(is_integral);
    let Some(common) = common else {
        let actual = quoted_type(&call.types[0]);
        return Err(errors::mismatch(
            "BINARY_OP_WRONG_TYPE",
            &call.sql(),
            &format!("the binary operator requires the input type \"INTEGRAL\", not {actual}."),
        )
        .with("inputType", "\"INTEGRAL\"")
        .with("actualDataType", actual));
    };
    let op = match call.name {
        "&" => Operator::BitwiseAnd,
        "|" => Operator::BitwiseOr,
        _ => Operator::BitwiseXor,
    };
    let left = implicit(call.args[0].clone(), &common, call.ctx)?;
    let right = implicit(call.args[1].clone(), &common, call.ctx)?;
    Ok(binary(left, op, right))
}
