//! Dates and timestamps from and into text with patterns; Unix time; zones by name.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType as Arrow;
use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;
use spark_sql_parser::ast::CastMode;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use super::pattern::Pattern;
use crate::errors::{self, external};
use crate::kernels::{numbers, texts};
use crate::signature::{Call, Function, Out, Ty, f};
use crate::time::{MICROS_PER_DAY, MICROS_PER_SECOND, Zone};
use crate::types::{is_numeric, is_string, to_arrow};
use crate::udf::{Args, Definition, Mode, Params, fail, ours};

pub(super) const FUNCTIONS: &[Function] = &[
    f("date_format", &[Ty::Ts, Ty::Str], Out::Str).zoned(),
    f("from_unixtime", &[Ty::Long, Ty::Str], Out::Str).optional(1).zoned(),
    f("unix_timestamp", &[Ty::Any, Ty::Str], Out::Long).optional(1).zoned(),
    f("to_unix_timestamp", &[Ty::Any, Ty::Str], Out::Long).optional(1).zoned().of("unix_timestamp"),
];

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::strict("date_format", date_format).failing(),
    Definition::strict("from_unixtime", from_unixtime).failing(),
    Definition::strict("unix_timestamp", unix_timestamp).failing(),
    Definition::strict("parse_datetime", parse_datetime).failing(),
    Definition::strict("from_utc_timestamp", |args| shift_zone(args, true)).failing(),
    Definition::strict("to_utc_timestamp", |args| shift_zone(args, false)).failing(),
    Definition::strict("convert_timezone", convert_timezone).failing(),
];

/// A pattern kept while it stays the same from row to row.
#[derive(Default)]
struct Cache {
    last: Option<(String, Pattern)>,
}

impl Cache {
    fn get(&mut self, text: &str) -> Result<&Pattern> {
        if self.last.as_ref().is_none_or(|(known, _)| known != text) {
            let pattern = Pattern::parse(text).map_err(external)?;
            self.last = Some((text.to_owned(), pattern));
        }
        match &self.last {
            Some((_, pattern)) => Ok(pattern),
            None => fail(errors::internal("a pattern vanished")),
        }
    }
}

fn zone_of(args: &Args) -> Zone {
    Zone::parse(&args.params.zone).unwrap_or(Zone::Fixed(0))
}

fn date_format(args: &Args) -> Result<ArrayRef> {
    let (micros, pattern) = (args.numbers::<TimestampMicrosecondType>(0)?, args.text(1)?);
    let zone = zone_of(args);
    let mut cache = Cache::default();
    texts(args.rows, |row| match (micros.get(row), pattern.get(row)) {
        (Some(micros), Some(pattern)) => {
            Ok(Some(cache.get(pattern)?.format(micros, zone, &args.params.zone)))
        }
        _ => Ok(None),
    })
}

fn from_unixtime(args: &Args) -> Result<ArrayRef> {
    let seconds = args.numbers::<Int64Type>(0)?;
    let pattern = match args.len() {
        2 => Some(args.text(1)?),
        _ => None,
    };
    let zone = zone_of(args);
    let mut cache = Cache::default();
    texts(args.rows, |row| {
        let Some(seconds) = seconds.get(row) else { return Ok(None) };
        let pattern = match &pattern {
            None => "yyyy-MM-dd HH:mm:ss",
            Some(pattern) => match pattern.get(row) {
                Some(pattern) => pattern,
                None => return Ok(None),
            },
        };
        let micros = seconds.saturating_mul(MICROS_PER_SECOND);
        Ok(Some(cache.get(pattern)?.format(micros, zone, &args.params.zone)))
    })
}

fn unparseable(text: &str, function: &str) -> SparkError {
    errors::cannot_parse_timestamp(&format!("Text '{text}' could not be parsed"), function)
}

fn unix_timestamp(args: &Args) -> Result<ArrayRef> {
    let zone = zone_of(args);
    match args.arrow_type(0) {
        Arrow::Timestamp(_, zoned) => {
            let micros = args.numbers::<TimestampMicrosecondType>(0)?;
            numbers::<Int64Type>(args.rows, |row| {
                Ok(micros.get(row).map(|micros| {
                    let instant = if zoned.is_some() { micros } else { zone.to_utc(micros) };
                    instant.div_euclid(MICROS_PER_SECOND)
                }))
            })
        }
        Arrow::Date32 => {
            let days = args.numbers::<Date32Type>(0)?;
            numbers::<Int64Type>(args.rows, |row| {
                Ok(days.get(row).map(|d| zone.days_to_micros(d).div_euclid(MICROS_PER_SECOND)))
            })
        }
        Arrow::Null => Ok(arrow::array::new_null_array(&Arrow::Int64, args.rows)),
        _ => {
            let text = args.text(0)?;
            let pattern = match args.len() {
                2 => args.text(1)?,
                _ => crate::udf::TextColumn::Same(Some("yyyy-MM-dd HH:mm:ss".to_owned())),
            };
            let mut cache = Cache::default();
            numbers::<Int64Type>(args.rows, |row| {
                let (Some(text), Some(pattern)) = (text.get(row), pattern.get(row)) else {
                    return Ok(None);
                };
                match cache.get(pattern)?.read(text) {
                    Some(parsed) => {
                        let instant = parsed.zone.unwrap_or(zone).to_utc(parsed.local);
                        Ok(Some(instant.div_euclid(MICROS_PER_SECOND)))
                    }
                    None if args.ansi() => fail(unparseable(text, "try_to_timestamp")),
                    None => Ok(None),
                }
            })
        }
    }
}

/// `to_date`, `to_timestamp` and their relatives: a cast without a pattern, a reading with one.
pub(super) fn to_datetime(call: &Call) -> std::result::Result<Expr, SparkError> {
    call.arity(1, 2)?;
    let out = match call.name {
        "to_date" | "try_to_date" => DataType::Date,
        "to_timestamp_ntz" => DataType::TimestampNtz,
        _ => DataType::Timestamp,
    };
    let tries = call.name.starts_with("try_");
    let given = &call.types[0];
    let known = is_string(given)
        || matches!(
            given,
            DataType::Date | DataType::Timestamp | DataType::TimestampNtz | DataType::Null
        )
        || (is_numeric(given) && out == DataType::Timestamp);
    if !known {
        return Err(call.wrong_type(0, "\"STRING\" or \"DATE\" or \"TIMESTAMP\""));
    }
    let mode = if tries { CastMode::Try } else { CastMode::Session };
    if call.len() == 1 || !is_string(given) {
        return crate::cast(call.args[0].clone(), &out, mode, call.ctx);
    }
    let args = vec![call.args[0].clone(), call.coerced(1, &DataType::String)?];
    let mode = if tries { Mode::Try } else { call.ctx.mode() };
    let params = Params::new(to_arrow(&out)).mode(mode).zone(call.ctx.time_zone);
    ours("parse_datetime", args, params)
}

fn parse_datetime(args: &Args) -> Result<ArrayRef> {
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let zone = zone_of(args);
    let mut cache = Cache::default();
    let mut moment = |row: usize| -> Result<Option<(i64, Option<Zone>)>> {
        let (Some(text), Some(pattern)) = (text.get(row), pattern.get(row)) else {
            return Ok(None);
        };
        match cache.get(pattern)?.read(text) {
            Some(parsed) => Ok(Some((parsed.local, parsed.zone))),
            None if args.ansi() => {
                let function = match args.params.result {
                    Arrow::Date32 => "try_to_date",
                    _ => "try_to_timestamp",
                };
                fail(unparseable(text, function))
            }
            None => Ok(None),
        }
    };
    match &args.params.result {
        Arrow::Date32 => numbers::<Date32Type>(args.rows, |row| {
            Ok(moment(row)?
                .and_then(|(local, _)| i32::try_from(local.div_euclid(MICROS_PER_DAY)).ok()))
        }),
        result => {
            let zoned = matches!(result, Arrow::Timestamp(_, Some(_)));
            let column = numbers::<TimestampMicrosecondType>(args.rows, |row| {
                Ok(moment(row)?.map(|(local, named)| {
                    if zoned { named.unwrap_or(zone).to_utc(local) } else { local }
                }))
            })?;
            Ok(arrow::compute::cast(&column, result)?)
        }
    }
}

fn named_zone(id: &str) -> Result<Zone> {
    match Zone::parse(id) {
        Some(zone) => Ok(zone),
        None => fail(
            SparkError::new(
                spark_sql_parser::error::ErrorKind::DateTime,
                "INVALID_TIMEZONE",
                "22009",
                format!(
                    "The timezone: {id} is invalid. The timezone must be either a region-based zone ID or a zone offset. Region IDs must have the form 'area/city', such as 'America/Los_Angeles'. Zone offsets must be in the format '(+|-)HH', '(+|-)HH:mm’ or '(+|-)HH:mm:ss', e.g '-08' , '+01:00' or '-13:33:33', and must be in the range from -18:00 to +18:00. 'Z' and 'UTC' are accepted as synonyms for '+00:00'."
                ),
            )
            .with("timeZone", id),
        ),
    }
}

fn shift_zone(args: &Args, from_utc: bool) -> Result<ArrayRef> {
    let (micros, id) = (args.numbers::<TimestampMicrosecondType>(0)?, args.text(1)?);
    let column = numbers::<TimestampMicrosecondType>(args.rows, |row| {
        let (Some(micros), Some(id)) = (micros.get(row), id.get(row)) else { return Ok(None) };
        let zone = named_zone(id)?;
        Ok(Some(if from_utc { zone.to_local(micros) } else { zone.to_utc(micros) }))
    })?;
    Ok(arrow::compute::cast(&column, &args.params.result)?)
}

fn convert_timezone(args: &Args) -> Result<ArrayRef> {
    let (from, to) = (args.text(0)?, args.text(1)?);
    let local = args.numbers::<TimestampMicrosecondType>(2)?;
    numbers::<TimestampMicrosecondType>(args.rows, |row| {
        let (Some(from), Some(to), Some(local)) = (from.get(row), to.get(row), local.get(row))
        else {
            return Ok(None);
        };
        Ok(Some(named_zone(to)?.to_local(named_zone(from)?.to_utc(local))))
    })
}
