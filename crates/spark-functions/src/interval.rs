//! Intervals from text.

use arrow::datatypes::IntervalMonthDayNano;

use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};

/// Months, days and microseconds.
pub(crate) type Calendar = (i32, i32, i64);

pub(crate) fn to_native((months, days, micros): Calendar) -> IntervalMonthDayNano {
    IntervalMonthDayNano::new(months, days, micros.saturating_mul(1000))
}

/// The text between the quotes of `INTERVAL '…' UNITS`, or the text itself.
fn unwrapped(text: &str) -> (&str, bool) {
    let text = text.trim();
    let upper = text.to_ascii_uppercase();
    if let Some(rest) = upper.strip_prefix("INTERVAL") {
        let rest_at = text.len() - rest.len();
        let inner = text[rest_at..].trim();
        let (negative, inner) = match inner.strip_prefix('-') {
            Some(inner) => (true, inner.trim()),
            None => (false, inner),
        };
        if let Some(inner) = inner.strip_prefix('\'')
            && let Some(end) = inner.find('\'')
        {
            return (&inner[..end], negative);
        }
        return (inner, negative);
    }
    (text, false)
}

/// `1-2`, `-1-2`, `INTERVAL '1-2' YEAR TO MONTH`, or words (`1 year 2 months`).
pub(crate) fn parse_year_month(text: &str) -> Option<i32> {
    let (inner, negative) = unwrapped(text);
    let (sign, rest) = match inner.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, inner.strip_prefix('+').unwrap_or(inner)),
    };
    let sign = if negative { -sign } else { sign };
    if let Some((years, months)) = rest.split_once('-') {
        let (years, months): (i32, i32) = (years.parse().ok()?, months.parse().ok()?);
        return (0..=11).contains(&months).then(|| sign * (years * 12 + months));
    }
    let upper = text.to_ascii_uppercase();
    if upper.starts_with("INTERVAL")
        && let Ok(number) = rest.parse::<i32>()
    {
        return Some(sign * if upper.contains("YEAR") { number * 12 } else { number });
    }
    match parse_calendar(inner)? {
        (months, 0, 0) => Some(if negative { -months } else { months }),
        _ => None,
    }
}

/// `1 02:03:04.5`, `INTERVAL '…' DAY TO SECOND`, or words (`1 day 2 hours`).
pub(crate) fn parse_day_time(text: &str) -> Option<i64> {
    let (inner, negative) = unwrapped(text);
    let flip = |micros: i64| if negative { -micros } else { micros };
    let (sign, rest) = match inner.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, inner.strip_prefix('+').unwrap_or(inner)),
    };
    if rest.contains(':') && !rest.contains(|c: char| c.is_ascii_alphabetic()) {
        let (days, clock) = match rest.split_once(' ') {
            Some((days, clock)) => (days.parse::<i64>().ok()?, clock),
            None => (0, rest),
        };
        return Some(flip(sign * (days * MICROS_PER_DAY + clock_micros(clock)?)));
    }
    let upper = text.to_ascii_uppercase();
    if upper.starts_with("INTERVAL")
        && let Some(micros) = seconds_micros(rest, &upper)
    {
        return Some(flip(sign * micros));
    }
    match parse_calendar(inner)? {
        (0, days, micros) => Some(flip(i64::from(days) * MICROS_PER_DAY + micros)),
        _ => None,
    }
}

fn seconds_micros(number: &str, unit_text: &str) -> Option<i64> {
    let unit = if unit_text.ends_with("DAY") {
        MICROS_PER_DAY
    } else if unit_text.ends_with("HOUR") {
        MICROS_PER_HOUR
    } else if unit_text.ends_with("MINUTE") {
        MICROS_PER_MINUTE
    } else if unit_text.ends_with("SECOND") {
        return decimal_micros(number);
    } else {
        return None;
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

fn decimal_micros(number: &str) -> Option<i64> {
    let value = crate::decimal::parse(number, 9)?.ok()?;
    i64::try_from(value / 1000).ok()
}

fn clock_micros(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next().map_or(Some(0), |p| p.parse().ok())?;
    let seconds = parts.next().map_or(Some(0), decimal_micros)?;
    Some(hours * MICROS_PER_HOUR + minutes * MICROS_PER_MINUTE + seconds)
}

/// `1 year 2 months -3 days 4 hours 5.5 seconds`, with or without `INTERVAL` in front.
pub(crate) fn parse_calendar(text: &str) -> Option<Calendar> {
    let lower = text.trim().to_ascii_lowercase();
    let rest = lower.strip_prefix("interval").unwrap_or(&lower);
    let mut words = rest.split_ascii_whitespace().peekable();
    let (mut months, mut days, mut micros) = (0_i32, 0_i32, 0_i64);
    words.peek()?;
    while let Some(word) = words.next() {
        let number = if matches!(word, "-" | "+") {
            format!("{word}{}", words.next()?)
        } else {
            word.to_owned()
        };
        let unit = words.next()?;
        let whole = || number.parse::<i64>().ok();
        match unit.trim_end_matches('s') {
            "year" => {
                months = months.checked_add(i32::try_from(whole()?.checked_mul(12)?).ok()?)?;
            }
            "month" => months = months.checked_add(i32::try_from(whole()?).ok()?)?,
            "week" => days = days.checked_add(i32::try_from(whole()?.checked_mul(7)?).ok()?)?,
            "day" => days = days.checked_add(i32::try_from(whole()?).ok()?)?,
            "hour" => micros = micros.checked_add(whole()?.checked_mul(MICROS_PER_HOUR)?)?,
            "minute" => micros = micros.checked_add(whole()?.checked_mul(MICROS_PER_MINUTE)?)?,
            "second" => micros = micros.checked_add(decimal_micros(&number)?)?,
            "millisecond" => micros = micros.checked_add(whole()?.checked_mul(1000)?)?,
            "microsecond" => micros = micros.checked_add(whole()?)?,
            _ => return None,
        }
    }
    let _ = MICROS_PER_SECOND;
    Some((months, days, micros))
}
