//! Fields of dates, timestamps and intervals.

use arrow::array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType,
    Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalYearMonthType,
    TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::signature::{Call, Function, Out, Ty, f};
use crate::time::{
    self, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Zone,
};
use crate::types::to_arrow;
use crate::udf::{Args, Definition, Params, ours};

pub(super) const FUNCTIONS: &[Function] = &[
    f("year", &[Ty::Date], Out::Int),
    f("quarter", &[Ty::Date], Out::Int),
    f("month", &[Ty::Date], Out::Int),
    f("day", &[Ty::Date], Out::Int),
    f("dayofmonth", &[Ty::Date], Out::Int).of("day"),
    f("dayofweek", &[Ty::Date], Out::Int),
    f("weekday", &[Ty::Date], Out::Int),
    f("dayofyear", &[Ty::Date], Out::Int),
    f("weekofyear", &[Ty::Date], Out::Int),
    f("hour", &[Ty::AnyTs], Out::Int).zoned(),
    f("minute", &[Ty::AnyTs], Out::Int).zoned(),
    f("second", &[Ty::AnyTs], Out::Int).zoned(),
    f("monthname", &[Ty::Date], Out::Str),
    f("dayname", &[Ty::Date], Out::Str),
    f("last_day", &[Ty::Date], Out::Date),
    f("unix_date", &[Ty::Date], Out::Int),
    f("date_from_unix_date", &[Ty::Int], Out::Date),
    f("unix_seconds", &[Ty::Ts], Out::Long),
    f("unix_millis", &[Ty::Ts], Out::Long),
    f("unix_micros", &[Ty::Ts], Out::Long),
];

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::strict("year", |args| date_field(args, |d| time::civil_from_days(d).0)),
    Definition::strict("yearofweek", |args| date_field(args, |d| time::iso_week(d).0)),
    Definition::strict("quarter", |args| {
        date_field(args, |d| (i64::from(time::civil_from_days(d).1) + 2) / 3)
    }),
    Definition::strict("month", |args| date_field(args, |d| time::civil_from_days(d).1.into())),
    Definition::strict("day", |args| date_field(args, |d| time::civil_from_days(d).2.into())),
    Definition::strict("dayofweek", |args| date_field(args, |d| time::iso_weekday(d) % 7 + 1)),
    Definition::strict("dayofweek_iso", |args| date_field(args, time::iso_weekday)),
    Definition::strict("weekday", |args| date_field(args, |d| time::iso_weekday(d) - 1)),
    Definition::strict("dayofyear", |args| date_field(args, time::day_of_year)),
    Definition::strict("weekofyear", |args| date_field(args, |d| time::iso_week(d).1)),
    Definition::strict("unix_date", |args| date_field(args, |d| d)),
    Definition::strict("date_from_unix_date", |args| {
        let array = args.array(0)?;
        Ok(arrow::compute::cast(&array, &Arrow::Date32)?)
    }),
    Definition::strict("hour", |args| clock_field(args, |c| c / MICROS_PER_HOUR)),
    Definition::strict("minute", |args| {
        clock_field(args, |c| c % MICROS_PER_HOUR / MICROS_PER_MINUTE)
    }),
    Definition::strict("second", |args| {
        clock_field(args, |c| c % MICROS_PER_MINUTE / MICROS_PER_SECOND)
    }),
    Definition::strict("second_fraction", second_fraction),
    Definition::strict("monthname", |args| {
        date_text(args, |d| {
            let month = time::civil_from_days(d).1 as usize;
            super::pattern::MONTHS[month - 1][..3].to_owned()
        })
    }),
    Definition::strict("dayname", |args| {
        date_text(args, |d| {
            let day = usize::try_from(time::iso_weekday(d) - 1).unwrap_or(0);
            super::pattern::DAYS[day][..3].to_owned()
        })
    }),
    Definition::strict("last_day", |args| {
        let array = args.array(0)?;
        let input = array.as_primitive::<Date32Type>();
        let output: PrimitiveArray<Date32Type> = input.unary(|days| {
            let (year, month, day) = time::civil_from_days(i64::from(days));
            let left = time::days_in_month(year, month) - day;
            days + i32::try_from(left).unwrap_or(0)
        });
        Ok(std::sync::Arc::new(output))
    }),
    Definition::strict("unix_seconds", |args| instant(args, MICROS_PER_SECOND)),
    Definition::strict("unix_millis", |args| instant(args, 1000)),
    Definition::strict("unix_micros", |args| instant(args, 1)),
    Definition::strict("interval_field", interval_field),
];

fn date_field(args: &Args, field: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let input = array.as_primitive::<Date32Type>();
    let output: PrimitiveArray<Int32Type> = input.unary(|days| field(i64::from(days)) as i32);
    Ok(std::sync::Arc::new(output))
}

fn date_text(args: &Args, text: impl Fn(i64) -> String) -> Result<ArrayRef> {
    let days = args.numbers::<Date32Type>(0)?;
    crate::kernels::texts(args.rows, |row| Ok(days.get(row).map(|d| text(i64::from(d)))))
}

/// Wall-clock microseconds of a timestamp column of either kind.
pub(super) fn local_micros(
    args: &Args,
    index: usize,
) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    let array = args.array(index)?;
    let input = array.as_primitive::<TimestampMicrosecondType>();
    if matches!(array.data_type(), Arrow::Timestamp(_, None)) {
        return Ok(input.clone());
    }
    let zone = Zone::parse(&args.params.zone).unwrap_or(Zone::Fixed(0));
    Ok(input.unary(|micros| zone.to_local(micros)))
}

fn clock_field(args: &Args, field: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let local = local_micros(args, 0)?;
    let output: PrimitiveArray<Int32Type> =
        local.unary(|micros| field(micros.rem_euclid(MICROS_PER_DAY)) as i32);
    Ok(std::sync::Arc::new(output))
}

/// `extract(SECOND …)`: seconds with their fraction, decimal(8,6).
fn second_fraction(args: &Args) -> Result<ArrayRef> {
    let local = local_micros(args, 0)?;
    let output: PrimitiveArray<Decimal128Type> =
        local.unary(|micros| i128::from(micros.rem_euclid(MICROS_PER_MINUTE)));
    Ok(std::sync::Arc::new(output.with_data_type(args.params.result.clone())))
}

fn instant(args: &Args, unit: i64) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let input = array.as_primitive::<TimestampMicrosecondType>();
    let output: PrimitiveArray<Int64Type> = input.unary(|micros| micros.div_euclid(unit));
    Ok(std::sync::Arc::new(output))
}

/// A field of an interval; the field's name is the call's text.
fn interval_field(args: &Args) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let parts = |row: usize| -> (i64, i64, i64) {
        match array.data_type() {
            Arrow::Duration(_) => {
                let micros = array.as_primitive::<DurationMicrosecondType>().value(row);
                (0, micros / MICROS_PER_DAY, micros % MICROS_PER_DAY)
            }
            Arrow::Interval(arrow::datatypes::IntervalUnit::YearMonth) => {
                (array.as_primitive::<IntervalYearMonthType>().value(row).into(), 0, 0)
            }
            _ => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                (value.months.into(), value.days.into(), value.nanoseconds / 1000)
            }
        }
    };
    let field = |row: usize| -> i64 {
        let (months, days, micros) = parts(row);
        match args.params.text.as_str() {
            "YEAR" => months / 12,
            "MONTH" => months % 12,
            "DAY" => days,
            "HOUR" => micros / MICROS_PER_HOUR,
            "MINUTE" => micros % MICROS_PER_HOUR / MICROS_PER_MINUTE,
            _ => micros % MICROS_PER_MINUTE,
        }
    };
    fn column<T: ArrowPrimitiveType>(
        args: &Args,
        array: &ArrayRef,
        field: impl Fn(usize) -> T::Native,
    ) -> ArrayRef {
        let values: PrimitiveArray<T> =
            (0..args.rows).map(|row| (!array.is_null(row)).then(|| field(row))).collect();
        std::sync::Arc::new(values.with_data_type(args.params.result.clone()))
    }
    Ok(match &args.params.result {
        Arrow::Int8 => column::<arrow::datatypes::Int8Type>(args, &array, |row| field(row) as i8),
        Arrow::Int64 => column::<Int64Type>(args, &array, field),
        Arrow::Decimal128(..) => {
            column::<Decimal128Type>(args, &array, |row| i128::from(field(row)))
        }
        _ => column::<Int32Type>(args, &array, |row| field(row) as i32),
    })
}

/// `EXTRACT(field FROM source)`.
pub(super) fn extract(call: &Call, field: &str) -> std::result::Result<Expr, SparkError> {
    let source = call.args[1].clone();
    if let DataType::YearMonthInterval { .. }
    | DataType::DayTimeInterval { .. }
    | DataType::CalendarInterval = call.types[1]
    {
        let long = matches!(call.types[1], DataType::CalendarInterval);
        let (name, out) = match field {
            "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => ("YEAR", DataType::Integer),
            "MONTH" | "MON" | "MONS" | "MONTHS" => ("MONTH", DataType::Byte),
            "DAY" | "D" | "DAYS" => ("DAY", DataType::Integer),
            "HOUR" | "H" | "HOURS" | "HR" | "HRS" if long => ("HOUR", DataType::Long),
            "HOUR" | "H" | "HOURS" | "HR" | "HRS" => ("HOUR", DataType::Byte),
            "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => ("MINUTE", DataType::Byte),
            "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => {
                ("SECOND", DataType::Decimal { precision: 8, scale: 6 })
            }
            _ => return Err(invalid_field(call, field)),
        };
        return ours("interval_field", vec![source], Params::new(to_arrow(&out)).text(name));
    }
    let name = match field {
        "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => "year",
        "YEAROFWEEK" => "yearofweek",
        "QUARTER" | "QTR" => "quarter",
        "MONTH" | "MON" | "MONS" | "MONTHS" => "month",
        "WEEK" | "W" | "WEEKS" => "weekofyear",
        "DAY" | "D" | "DAYS" => "day",
        "DAYOFWEEK" | "DOW" => "dayofweek",
        "DAYOFWEEK_ISO" | "DOW_ISO" => "dayofweek_iso",
        "DOY" => "dayofyear",
        "HOUR" | "H" | "HOURS" | "HR" | "HRS" => "hour",
        "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => "minute",
        "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => {
            let source = call.fitted(1, Ty::AnyTs)?.0;
            let out = DataType::Decimal { precision: 8, scale: 6 };
            let params = Params::new(to_arrow(&out)).zone(call.ctx.time_zone);
            return ours("second_fraction", vec![source], params);
        }
        _ => return Err(invalid_field(call, field)),
    };
    if matches!(name, "hour" | "minute") {
        return crate::scalar(name, vec![source], call.ctx);
    }
    let date = call.coerced(1, &DataType::Date)?;
    ours(name, vec![date], Params::new(Arrow::Int32))
}

fn invalid_field(call: &Call, field: &str) -> SparkError {
    let source = crate::sql_text(&call.args[1]);
    SparkError::new(
        ErrorKind::Analysis,
        "INVALID_EXTRACT_FIELD",
        "42601",
        format!("Cannot extract '{field}' from \"{source}\"."),
    )
    .with("field", format!("'{field}'"))
    .with("expr", format!("\"{source}\""))
}
