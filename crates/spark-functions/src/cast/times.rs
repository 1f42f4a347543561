//! Dates and the two timestamps into each other.

use arrow::array::{Array as _, ArrayRef};
use arrow::datatypes::{DataType as Arrow, Date32Type, TimestampMicrosecondType};
use datafusion::common::Result;

use super::{Options, each};
use crate::errors;
use crate::time::MICROS_PER_DAY;

pub(super) fn between(array: &ArrayRef, to: &Arrow, options: Options) -> Result<ArrayRef> {
    type Micros = TimestampMicrosecondType;
    let Options { mode, zone } = options;
    let overflow = || errors::datetime_overflow("the date is beyond the timestamps' range");
    match (array.data_type(), to) {
        (Arrow::Date32, Arrow::Timestamp(_, Some(_))) => each::<Date32Type, Micros>(
            array,
            to,
            mode,
            |days| Some(zone.days_to_micros(days)),
            |_| overflow(),
        ),
        (Arrow::Date32, _) => each::<Date32Type, Micros>(
            array,
            to,
            mode,
            |days| i64::from(days).checked_mul(MICROS_PER_DAY),
            |_| overflow(),
        ),
        (Arrow::Timestamp(_, Some(_)), Arrow::Date32) => each::<Micros, Date32Type>(
            array,
            to,
            mode,
            |micros| Some(zone.micros_to_days(micros)),
            |_| overflow(),
        ),
        (_, Arrow::Date32) => each::<Micros, Date32Type>(
            array,
            to,
            mode,
            |micros| i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok(),
            |_| overflow(),
        ),
        (Arrow::Timestamp(_, Some(_)), _) => each::<Micros, Micros>(
            array,
            to,
            mode,
            |micros| Some(zone.to_local(micros)),
            |_| overflow(),
        ),
        _ => each::<Micros, Micros>(
            array,
            to,
            mode,
            |micros| Some(zone.to_utc(micros)),
            |_| overflow(),
        ),
    }
}
