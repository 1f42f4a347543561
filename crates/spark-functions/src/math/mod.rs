//! Mathematical functions.

mod bits;
mod random;
mod rounding;

use arrow::array::{ArrayRef, AsArray as _, PrimitiveArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::errors;
use crate::kernels::{numbers, texts};
use crate::signature::{Call, Function, Out, Ty, f};
use crate::types::is_integral;
use crate::udf::{Args, Definition, fail};

pub(crate) use random::Random;

pub(crate) const FUNCTION_TABLES: [&[Function]; 3] =
    [FUNCTIONS, bits::FUNCTIONS, random::FUNCTIONS];
pub(crate) const DEFINITION_TABLES: [&[Definition]; 4] =
    [DEFINITIONS, bits::DEFINITIONS, random::DEFINITIONS, rounding::DEFINITIONS];

/// A function from double to double.
const fn d(name: &'static str) -> Function {
    f(name, &[Ty::Double], Out::Double)
}

const FUNCTIONS: &[Function] = &[
    d("sqrt"),
    d("cbrt"),
    d("exp"),
    d("expm1"),
    d("ln"),
    d("log2"),
    d("log10"),
    d("log1p"),
    d("sin"),
    d("cos"),
    d("tan"),
    d("cot"),
    d("sec"),
    d("csc"),
    d("asin"),
    d("acos"),
    d("atan"),
    d("sinh"),
    d("cosh"),
    d("tanh"),
    d("asinh"),
    d("acosh"),
    d("atanh"),
    d("degrees"),
    d("radians"),
    d("rint"),
    d("sign"),
    d("signum").of("sign"),
    f("power", &[Ty::Double, Ty::Double], Out::Double),
    f("pow", &[Ty::Double, Ty::Double], Out::Double).of("power"),
    f("hypot", &[Ty::Double, Ty::Double], Out::Double),
    f("atan2", &[Ty::Double, Ty::Double], Out::Double),
    f("factorial", &[Ty::Int], Out::Long),
    f("width_bucket", &[Ty::Double, Ty::Double, Ty::Double, Ty::Long], Out::Long),
    f("conv", &[Ty::Str, Ty::Int, Ty::Int], Out::Str),
];

const DEFINITIONS: &[Definition] = &[
    Definition::strict("sqrt", |args| map(args, f64::sqrt)),
    Definition::strict("cbrt", |args| map(args, libm::cbrt)),
    Definition::strict("exp", |args| map(args, libm::exp)),
    Definition::strict("expm1", |args| map(args, libm::expm1)),
    Definition::nullable("ln", |args| logarithm(args, 0.0, libm::log)),
    Definition::nullable("log2", |args| logarithm(args, 0.0, |x| libm::log(x) / libm::log(2.0))),
    Definition::nullable("log10", |args| logarithm(args, 0.0, libm::log10)),
    Definition::nullable("log1p", |args| logarithm(args, -1.0, libm::log1p)),
    Definition::nullable("log", |args| {
        pairs(args, |base, x| (base > 0.0 && x > 0.0).then(|| libm::log(x) / libm::log(base)))
    }),
    Definition::strict("sin", |args| map(args, f64::sin)),
    Definition::strict("cos", |args| map(args, f64::cos)),
    Definition::strict("tan", |args| map(args, f64::tan)),
    Definition::strict("cot", |args| map(args, |x| 1.0 / x.tan())),
    Definition::strict("sec", |args| map(args, |x| 1.0 / x.cos())),
    Definition::strict("csc", |args| map(args, |x| 1.0 / x.sin())),
    Definition::strict("asin", |args| map(args, libm::asin)),
    Definition::strict("acos", |args| map(args, libm::acos)),
    Definition::strict("atan", |args| map(args, libm::atan)),
    Definition::strict("sinh", |args| map(args, libm::sinh)),
    Definition::strict("cosh", |args| map(args, libm::cosh)),
    Definition::strict("tanh", |args| map(args, libm::tanh)),
    Definition::strict("asinh", |args| map(args, libm::asinh)),
    Definition::strict("acosh", |args| map(args, |x| libm::log(x + (x * x - 1.0).sqrt()))),
    Definition::strict("atanh", |args| map(args, |x| 0.5 * (libm::log1p(x) - libm::log1p(-x)))),
    Definition::strict("degrees", |args| map(args, |x| x * 57.295_779_513_082_32)),
    Definition::strict("radians", |args| map(args, |x| x * 0.017_453_292_519_943_295)),
    Definition::strict("rint", |args| map(args, f64::round_ties_even)),
    Definition::strict("sign", |args| {
        map(args, |x| if x == 0.0 || x.is_nan() { x } else { x.signum() })
    }),
    Definition::strict("power", |args| pairs(args, |x, y| Some(power(x, y)))),
    Definition::strict("hypot", |args| pairs(args, |x, y| Some(libm::hypot(x, y)))),
    Definition::strict("atan2", |args| pairs(args, |y, x| Some(libm::atan2(y + 0.0, x + 0.0)))),
    Definition::nullable("factorial", |args| {
        let n = args.numbers::<Int32Type>(0)?;
        numbers::<Int64Type>(args.rows, |row| {
            Ok(n.get(row).filter(|n| (0..=20).contains(n)).map(|n| (1..=i64::from(n)).product()))
        })
    }),
    Definition::nullable("width_bucket", width_bucket),
    Definition::nullable("conv", conv).failing(),
];

/// Functions whose result type follows their argument.
pub(crate) fn build(call: &Call) -> std::result::Result<Option<Expr>, SparkError> {
    let literal = |value: f64| Ok(Some(Expr::Literal(ScalarValue::Float64(Some(value)), None)));
    match call.name {
        "pi" => {
            call.arity(0, 0)?;
            literal(std::f64::consts::PI)
        }
        "e" => {
            call.arity(0, 0)?;
            literal(std::f64::consts::E)
        }
        "log" => {
            call.arity(1, 2)?;
            if call.len() == 1 {
                let args = vec![call.coerced(0, &DataType::Double)?];
                return call.ours("ln", args, &DataType::Double).map(Some);
            }
            let args =
                vec![call.coerced(0, &DataType::Double)?, call.coerced(1, &DataType::Double)?];
            call.ours("log", args, &DataType::Double).map(Some)
        }
        "round" | "bround" | "ceil" | "ceiling" | "floor" => rounding::build(call).map(Some),
        "bitwise_not" | "~" => {
            call.arity(1, 1)?;
            let (value, out) = call.fitted(0, Ty::Integral)?;
            call.ours("bitwise_not", vec![value], &out).map(Some)
        }
        "shiftleft" | "<<" | "shiftright" | ">>" | "shiftrightunsigned" | ">>>" => {
            call.arity(2, 2)?;
            let out = match &call.types[0] {
                DataType::Long => DataType::Long,
                given if is_integral(given) || *given == DataType::Null => DataType::Integer,
                _ => return Err(call.wrong_type(0, "\"INT\" or \"BIGINT\"")),
            };
            let name = match call.name {
                "<<" => "shiftleft",
                ">>" => "shiftright",
                ">>>" => "shiftrightunsigned",
                name => name,
            };
            let args = vec![call.coerced(0, &out)?, call.coerced(1, &DataType::Integer)?];
            call.ours(name, args, &out).map(Some)
        }
        "rand" | "random" | "randn" | "uniform" | "randstr" => random::build(call),
        _ => Ok(None),
    }
}

fn map(args: &Args, function: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let output: PrimitiveArray<Float64Type> = array.as_primitive::<Float64Type>().unary(function);
    Ok(std::sync::Arc::new(output))
}

/// NULL at and below the asymptote, as Spark has it.
fn logarithm(args: &Args, asymptote: f64, function: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let output: PrimitiveArray<Float64Type> = array
        .as_primitive::<Float64Type>()
        .unary_opt(|x| (x.is_nan() || x > asymptote).then(|| function(x)));
    Ok(std::sync::Arc::new(output))
}

fn pairs(args: &Args, function: impl Fn(f64, f64) -> Option<f64>) -> Result<ArrayRef> {
    let (x, y) = (args.numbers::<Float64Type>(0)?, args.numbers::<Float64Type>(1)?);
    numbers::<Float64Type>(args.rows, |row| {
        Ok(match (x.get(row), y.get(row)) {
            (Some(x), Some(y)) => function(x, y),
            _ => None,
        })
    })
}

/// `StrictMath.pow`, which says NaN where C says 1.
fn power(x: f64, y: f64) -> f64 {
    if y.is_nan() || (x.abs() == 1.0 && y.is_infinite()) {
        return f64::NAN;
    }
    libm::pow(x, y)
}

fn width_bucket(args: &Args) -> Result<ArrayRef> {
    let (value, low, high) = (
        args.numbers::<Float64Type>(0)?,
        args.numbers::<Float64Type>(1)?,
        args.numbers::<Float64Type>(2)?,
    );
    let count = args.numbers::<Int64Type>(3)?;
    numbers::<Int64Type>(args.rows, |row| {
        let (Some(v), Some(low), Some(high), Some(n)) =
            (value.get(row), low.get(row), high.get(row), count.get(row))
        else {
            return Ok(None);
        };
        if n <= 0
            || n == i64::MAX
            || v.is_nan()
            || !low.is_finite()
            || !high.is_finite()
            || low == high
        {
            return Ok(None);
        }
        let (lower, upper) = (low.min(high), low.max(high));
        Ok(Some(if low < high {
            if v < lower {
                0
            } else if v >= upper {
                n + 1
            } else {
                (n as f64 * (v - lower) / (upper - lower)) as i64 + 1
            }
        } else if v > upper {
            0
        } else if v <= lower {
            n + 1
        } else {
            (n as f64 * (upper - v) / (upper - lower)) as i64 + 1
        }))
    })
}

/// `NumberConverter.convert`: digits between bases, in unsigned 64 bits.
fn conv(args: &Args) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let (from, to) = (args.numbers::<Int32Type>(1)?, args.numbers::<Int32Type>(2)?);
    texts(args.rows, |row| {
        let (Some(text), Some(from), Some(to)) = (text.get(row), from.get(row), to.get(row)) else {
            return Ok(None);
        };
        let text = text.trim();
        if !(2..=36).contains(&from) || !(2..=36).contains(&to.abs()) || text.is_empty() {
            return Ok(None);
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let base = from.unsigned_abs();
        let mut value: u64 = 0;
        let mut overflow = false;
        for digit in digits.chars().map_while(|c| c.to_digit(base)) {
            match value.checked_mul(base.into()).and_then(|v| v.checked_add(digit.into())) {
                Some(next) => value = next,
                None => {
                    overflow = true;
                    value = u64::MAX;
                    break;
                }
            }
        }
        if overflow && args.ansi() {
            return fail(SparkError::new(
                ErrorKind::Arithmetic,
                "ARITHMETIC_OVERFLOW",
                "22003",
                errors::arithmetic_overflow("Overflow in function conv()", "").text,
            ));
        }
        if negative && to > 0 {
            value = value.wrapping_neg();
        }
        let mut sign = negative && to < 0;
        if to < 0 && !sign && (value as i64) < 0 {
            value = value.wrapping_neg();
            sign = true;
        }
        let base = u64::from(to.unsigned_abs());
        let mut out = vec![];
        loop {
            let digit = u32::try_from(value % base).unwrap_or(0);
            out.push(char::from_digit(digit, 36).unwrap_or('0').to_ascii_uppercase());
            value /= base;
            if value == 0 {
                break;
            }
        }
        if sign {
            out.push('-');
        }
        Ok(Some(out.into_iter().rev().collect::<String>()))
    })
}
