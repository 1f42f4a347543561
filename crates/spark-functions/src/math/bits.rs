//! Bits: shifts, complements, counts, and numbers in other bases.

use arrow::array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray};
use arrow::datatypes::{DataType as Arrow, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result, internal_err};

use crate::errors;
use crate::kernels::{numbers, texts};
use crate::signature::{Function, Out, Ty, f};
use crate::udf::{Args, Definition, fail};

pub(super) const FUNCTIONS: &[Function] = &[
    f("bin", &[Ty::Long], Out::Str),
    f("bit_count", &[Ty::Any], Out::Int),
    f("bit_get", &[Ty::Integral, Ty::Int], Out::Of(|_| spark_sql_parser::types::DataType::Byte)),
    f("getbit", &[Ty::Integral, Ty::Int], Out::Of(|_| spark_sql_parser::types::DataType::Byte))
        .of("bit_get"),
];

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::strict("bin", |args| {
        let value = args.numbers::<Int64Type>(0)?;
        texts(args.rows, |row| Ok(value.get(row).map(|value| format!("{value:b}"))))
    }),
    Definition::strict("bit_count", bit_count),
    Definition::strict("bit_get", bit_get).failing(),
    Definition::strict("bitwise_not", bitwise_not),
    Definition::strict("shiftleft", |args| shift(args, i32::wrapping_shl, i64::wrapping_shl)),
    Definition::strict("shiftright", |args| shift(args, i32::wrapping_shr, i64::wrapping_shr)),
    Definition::strict("shiftrightunsigned", |args| {
        shift(
            args,
            |value, by| (value as u32).wrapping_shr(by) as i32,
            |value, by| (value as u64).wrapping_shr(by) as i64,
        )
    }),
];

fn wide(array: &ArrayRef) -> Result<PrimitiveArray<Int64Type>> {
    let wide = arrow::compute::cast(array, &Arrow::Int64)?;
    Ok(wide.as_primitive::<Int64Type>().clone())
}

fn bit_count(args: &Args) -> Result<ArrayRef> {
    let value = wide(&args.array(0)?)?;
    let output: PrimitiveArray<Int32Type> =
        value.unary(|value| i32::try_from(value.count_ones()).unwrap_or(0));
    Ok(std::sync::Arc::new(output))
}

fn bit_get(args: &Args) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let bits = i32::try_from(array.data_type().primitive_width().unwrap_or(8) * 8).unwrap_or(64);
    let (value, position) = (wide(&array)?, args.numbers::<Int32Type>(1)?);
    numbers::<Int8Type>(args.rows, |row| {
        let (false, Some(position)) = (value.is_null(row), position.get(row)) else {
            return Ok(None);
        };
        if !(0..bits).contains(&position) {
            return fail(errors::invalid_parameter(
                "BIT_POSITION_RANGE",
                "pos",
                "bit_get",
                &format!("Expects an integer value in [0, {bits}), but got {position}."),
            ));
        }
        Ok(Some(i8::from(value.value(row) >> position & 1 == 1)))
    })
}

fn bitwise_not(args: &Args) -> Result<ArrayRef> {
    macro_rules! not {
        ($array:expr, $t:ty) => {{
            let output: PrimitiveArray<$t> = $array.as_primitive::<$t>().unary(|value| !value);
            Ok(std::sync::Arc::new(output) as ArrayRef)
        }};
    }
    let array = args.array(0)?;
    match array.data_type() {
        Arrow::Int8 => not!(array, Int8Type),
        Arrow::Int16 => not!(array, Int16Type),
        Arrow::Int32 => not!(array, Int32Type),
        Arrow::Int64 => not!(array, Int64Type),
        other => internal_err!("no bits of {other}"),
    }
}

fn shift(
    args: &Args,
    narrow: impl Fn(i32, u32) -> i32,
    wide: impl Fn(i64, u32) -> i64,
) -> Result<ArrayRef> {
    let by = args.numbers::<Int32Type>(1)?;
    if args.arrow_type(0) == Arrow::Int64 {
        let value = args.numbers::<Int64Type>(0)?;
        return numbers::<Int64Type>(args.rows, |row| {
            Ok(value.get(row).zip(by.get(row)).map(|(value, by)| wide(value, by as u32)))
        });
    }
    let value = args.numbers::<Int32Type>(0)?;
    numbers::<Int32Type>(args.rows, |row| {
        Ok(value.get(row).zip(by.get(row)).map(|(value, by)| narrow(value, by as u32)))
    })
}
