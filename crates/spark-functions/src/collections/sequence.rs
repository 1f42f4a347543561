//! `sequence(start, stop[, step])` over whole numbers, dates and timestamps.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::{
    DataType as Arrow, DurationMicrosecondType, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType,
};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use super::{array_of, arrays};
use crate::cast::implicit;
use crate::lists::list;
use crate::signature::Call;
use crate::time::{self, MICROS_PER_DAY, Zone};
use crate::types::{is_integral, to_arrow};
use crate::udf::{Args, Definition, Params, fail, ours};

pub(super) const DEFINITIONS: &[Definition] = &[Definition::strict("sequence", sequence).failing()];

/// As many elements as a Java array takes.
const LIMIT: i128 = 2_147_483_632;

pub(super) fn build(call: &Call) -> std::result::Result<Expr, SparkError> {
    call.arity(2, 3)?;
    let Some(item) = crate::widen(&call.types[..2]) else {
        return Err(call.wrong_type(1, &crate::types::sql_name(&call.types[0])));
    };
    let item = match item {
        DataType::Null => DataType::Integer,
        DataType::String => DataType::Long,
        other => other,
    };
    let time = matches!(item, DataType::Date | DataType::Timestamp | DataType::TimestampNtz);
    if !time && !is_integral(&item) {
        return Err(call.wrong_type(0, "\"INTEGRAL\" or \"DATE\" or \"TIMESTAMP\""));
    }
    let mut args = vec![
        implicit(call.args[0].clone(), &item, call.ctx)?,
        implicit(call.args[1].clone(), &item, call.ctx)?,
    ];
    if call.len() == 3 {
        args.push(if time {
            call.args[2].clone()
        } else {
            implicit(call.args[2].clone(), &DataType::Long, call.ctx)?
        });
    }
    let params = Params::new(to_arrow(&array_of(item, false))).zone(call.ctx.time_zone);
    ours("sequence", args, params)
}

fn boundaries(start: i64, stop: i64, step: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Runtime,
        "ILLEGAL_SEQUENCE_BOUNDARIES",
        "22023",
        format!(
            "Illegal sequence boundaries: {start} to {stop} by {step}: the sequence would not come to an end."
        ),
    )
}

fn sequence(args: &Args) -> Result<ArrayRef> {
    let Arrow::List(field) = &args.params.result else {
        return internal_err!("{} is no list", args.params.result);
    };
    let numbers = |index: usize| -> Result<ArrayRef> {
        let array = args.array(index)?;
        let array = match array.data_type() {
            Arrow::Date32 => arrow::compute::cast(&array, &Arrow::Int32)?,
            _ => array,
        };
        Ok(arrow::compute::cast(&array, &Arrow::Int64)?)
    };
    let (start, stop) = (numbers(0)?, numbers(1)?);
    let (start, stop) = (start.as_primitive::<Int64Type>(), stop.as_primitive::<Int64Type>());
    let step = match args.len() {
        3 => Some(args.array(2)?),
        _ => None,
    };
    let zone = match field.data_type() {
        Arrow::Timestamp(_, Some(_)) => Zone::parse(&args.params.zone).unwrap_or(Zone::Fixed(0)),
        _ => Zone::Fixed(0),
    };
    let mut items: Vec<i64> = vec![];
    let (mut ends, mut valid) = (vec![], vec![]);
    for row in 0..args.rows {
        let null = start.is_null(row)
            || stop.is_null(row)
            || step.as_ref().is_some_and(|step| step.is_null(row));
        valid.push(!null);
        if !null {
            let (from, to) = (start.value(row), stop.value(row));
            let step = step_at(step.as_ref(), row, field.data_type(), from <= to)?;
            extend(&mut items, field.data_type(), from, to, step, zone)?;
        }
        ends.push(i32::try_from(items.len()).unwrap_or(i32::MAX));
    }
    let items = arrow::array::Int64Array::from(items);
    let items = match field.data_type() {
        Arrow::Date32 => {
            arrow::compute::cast(&arrow::compute::cast(&items, &Arrow::Int32)?, &Arrow::Date32)?
        }
        other => arrow::compute::cast(&items, other)?,
    };
    list(field, ends, Arc::new(items), &valid)
}

/// Months and units of one step.
fn step_at(
    step: Option<&ArrayRef>,
    row: usize,
    item: &Arrow,
    ascending: bool,
) -> Result<(i64, i64)> {
    let day = if matches!(item, Arrow::Timestamp(..)) { MICROS_PER_DAY } else { 1 };
    let units = |micros: i64| match item {
        Arrow::Date32 => micros / MICROS_PER_DAY,
        _ => micros,
    };
    let Some(step) = step else {
        return Ok((0, if ascending { day } else { -day }));
    };
    Ok(match step.data_type() {
        Arrow::Interval(IntervalUnit::YearMonth) => {
            (step.as_primitive::<IntervalYearMonthType>().value(row).into(), 0)
        }
        Arrow::Duration(_) => (0, units(step.as_primitive::<DurationMicrosecondType>().value(row))),
        Arrow::Interval(_) => {
            let value = step.as_primitive::<IntervalMonthDayNanoType>().value(row);
            let micros = i64::from(value.days) * MICROS_PER_DAY + value.nanoseconds / 1000;
            (value.months.into(), units(micros))
        }
        Arrow::Int64 => (0, step.as_primitive::<Int64Type>().value(row)),
        other => return internal_err!("no step of {other}"),
    })
}

fn extend(
    items: &mut Vec<i64>,
    item: &Arrow,
    from: i64,
    to: i64,
    (months, units): (i64, i64),
    zone: Zone,
) -> Result<()> {
    let direction = if months != 0 { months.signum() } else { units.signum() };
    if direction == 0 {
        if from == to {
            items.push(from);
            return Ok(());
        }
        return fail(boundaries(from, to, "0"));
    }
    if (direction > 0 && from > to) || (direction < 0 && from < to) {
        return fail(boundaries(from, to, &(months + units).to_string()));
    }
    if months == 0 && !matches!(item, Arrow::Timestamp(..)) {
        let count = (i128::from(to) - i128::from(from)) / i128::from(units) + 1;
        if count > LIMIT {
            return fail(arrays::too_many_elements(count, "sequence"));
        }
    }
    let mut index = 0_i64;
    loop {
        let next = if months == 0 && !matches!(item, Arrow::Timestamp(..)) {
            match units.checked_mul(index).and_then(|by| from.checked_add(by)) {
                Some(next) => next,
                None => break,
            }
        } else if matches!(item, Arrow::Timestamp(..)) {
            let local = zone.to_local(from);
            let clock = local.rem_euclid(MICROS_PER_DAY);
            let date = time::add_months(local.div_euclid(MICROS_PER_DAY), months * index);
            let (days, rest) = (units / MICROS_PER_DAY, units % MICROS_PER_DAY);
            zone.to_utc((date + days * index) * MICROS_PER_DAY + clock) + rest * index
        } else {
            time::add_months(from, months * index) + units * index
        };
        if (direction > 0 && next > to) || (direction < 0 && next < to) {
            break;
        }
        items.push(next);
        index += 1;
    }
    Ok(())
}
