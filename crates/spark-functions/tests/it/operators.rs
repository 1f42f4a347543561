use spark_sql_parser::ast::{CastMode, Literal};
use spark_sql_parser::types::DataType;

use crate::harness::*;

#[test]
fn arithmetic_as_ansi_spark() {
    let ten_two = |value: &str| as_type(text(value), decimal(10, 2));
    let widest = |value: &str| as_type(text(value), decimal(38, 18));
    check([
        (call("+", [int(2147483647), int(1)]), "[ARITHMETIC_OVERFLOW]"),
        (call("*", [int(2147483647), int(2)]), "[ARITHMETIC_OVERFLOW]"),
        (call("-", [long(i64::MIN), long(1)]), "[ARITHMETIC_OVERFLOW]"),
        (call("try_add", [int(2147483647), int(1)]), "NULL: int"),
        (call("+", [int(1), long(1)]), "2: bigint"),
        (call("/", [int(1), int(2)]), "0.5: double"),
        (call("/", [int(1), int(0)]), "[DIVIDE_BY_ZERO]"),
        (call("/", [double(1.0), double(0.0)]), "[DIVIDE_BY_ZERO]"),
        (call("try_divide", [int(1), int(0)]), "NULL: double"),
        (call("div", [int(5), int(2)]), "2: bigint"),
        (call("%", [int(-7), int(3)]), "-1: int"),
        (call("%", [int(-7), int(0)]), "[REMAINDER_BY_ZERO]"),
        (call("pmod", [int(-7), int(3)]), "2: int"),
        (call("abs", [int(i32::MIN)]), "[ARITHMETIC_OVERFLOW]"),
        (call("/", [ten_two("1.00"), ten_two("3.00")]), "0.3333333333333: decimal(23,13)"),
        (call("*", [widest("1.5"), widest("2.5")]), "3.750000: decimal(38,6)"),
        (call("+", [ten_two("1.25"), ten_two("2.25")]), "3.50: decimal(11,2)"),
        (call("-", [int(1), ten_two("0.05")]), "0.95: decimal(11,2)"),
        (
            call("*", [ten_two("99999999.99"), ten_two("99999999.99")]),
            "9999999998000000.0001: decimal(21,4)",
        ),
        (call("+", [dec("0.06"), dec("0.01")]), "0.07: decimal(3,2)"),
        (call("*", [int(2), dec("1.5")]), "3.0: decimal(4,1)"),
        (call("+", [dec("1.5"), double(1.0)]), "2.5: double"),
        (call("+", [text("1"), int(1)]), "2: bigint"),
        (call("/", [int(5), int(2)]), "2.5: double"),
    ]);
}

#[test]
fn comparisons_in_the_common_type() {
    check([
        (call(">", [text("10"), int(9)]), "true: boolean"),
        (call("=", [text("1"), int(1)]), "true"),
        (call("=", [int(1), dec("1.0")]), "true"),
        (call("=", [double(f64::NAN), double(f64::NAN)]), "true"),
        (call(">", [double(f64::NAN), double(f64::INFINITY)]), "true"),
        (call("=", [double(0.0), double(-0.0)]), "true"),
        (call("<", [double(-0.0), double(0.0)]), "false"),
        (call("<=>", [null(), null()]), "true"),
        (call("=", [int(1), null()]), "NULL: boolean"),
        (call("in", [int(1), int(2), long(1)]), "true"),
        (call("and", [boolean(false), null()]), "false"),
        (call("coalesce", [null(), int(1), long(2)]), "1: bigint"),
        (call("if", [boolean(true), int(1), dec("2.5")]), "1.0: decimal(11,1)"),
        (call("nullif", [int(1), int(1)]), "NULL: int"),
        (call("greatest", [int(1), double(2.5), null()]), "2.5: double"),
    ]);
}

#[test]
fn dates_and_intervals() {
    let days = |n: i64| Tree::Value(Literal::DayTimeInterval(n * 86_400_000_000));
    let months = |n: i32| Tree::Value(Literal::YearMonthInterval(n));
    check([
        (call("+", [date("2020-01-31"), months(1)]), "2020-02-29: date"),
        (call("-", [date("1998-12-01"), days(90)]), "1998-09-02: date"),
        (call("+", [date("1994-01-01"), int(3)]), "1994-01-04: date"),
        (
            call("-", [date("2020-03-01"), date("2020-02-01")]),
            "INTERVAL '29 00:00:00' DAY TO SECOND",
        ),
        (call("+", [timestamp("2020-03-07 12:00:00"), days(1)]), "2020-03-08 12:00:00: timestamp"),
        (call("*", [days(2), int(3)]), "INTERVAL '6 00:00:00' DAY TO SECOND"),
    ]);
}

#[test]
fn casts() {
    let cast = |child: Tree, to: DataType| as_type(child, to);
    let try_cast = |child: Tree, to: DataType| Tree::Cast(Box::new(child), to, CastMode::Try);
    check([
        (cast(int(300), DataType::Byte), "[CAST_OVERFLOW]"),
        (cast(text("abc"), DataType::Integer), "[CAST_INVALID_INPUT]"),
        (try_cast(text("abc"), DataType::Integer), "NULL: int"),
        (cast(text(" 12 "), DataType::Integer), "12: int"),
        (cast(text("1.5"), DataType::Integer), "[CAST_INVALID_INPUT]"),
        (cast(double(1e10), DataType::String), "1.0E10: string"),
        (cast(double(1.0e-5), DataType::String), "1.0E-5"),
        (cast(double(1.9), DataType::Integer), "1"),
        (cast(double(1e20), DataType::Long), "[CAST_OVERFLOW]"),
        (cast(text("2020-13-01"), DataType::Date), "[CAST_INVALID_INPUT]"),
        (cast(text("2020-1-2"), DataType::Date), "2020-01-02: date"),
        (cast(text("0001-01-01"), DataType::Date), "0001-01-01"),
        (cast(text("1500-01-01 00:00:00"), DataType::Timestamp), "1500-01-01 00:00:00"),
        (cast(text("2020-01-01T10:00:00.123Z"), DataType::Timestamp), "2020-01-01 02:00:00.123"),
        (cast(text("2.345"), decimal(3, 2)), "2.35: decimal(3,2)"),
        (cast(text("23.45"), decimal(3, 2)), "[NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION]"),
        (cast(dec("2.345"), decimal(3, 1)), "2.3"),
        (cast(dec("-2.35"), decimal(3, 1)), "-2.4"),
        (cast(double(2.5), decimal(10, 0)), "3"),
        (cast(timestamp("2020-01-01 23:59:59"), DataType::Date), "2020-01-01"),
        (cast(date("2020-01-01"), DataType::Timestamp), "2020-01-01 00:00:00"),
        (cast(timestamp("1970-01-01 00:00:00"), DataType::Long), "28800"),
        (cast(boolean(true), DataType::Integer), "1"),
        (cast(text("yes"), DataType::Boolean), "true"),
        (
            cast(date("2020-01-01"), DataType::Integer),
            "[DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION]",
        ),
    ]);
}
