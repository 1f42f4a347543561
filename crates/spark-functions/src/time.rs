//! Calendar and clock: days and microseconds since the epoch, zones, and Spark's accepted texts.
//!
//! The calendar is the proleptic Gregorian one over Spark's whole range, years beyond what chrono prints included.

use std::str::FromStr as _;

use chrono::{Offset as _, TimeZone as _};

pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub(crate) const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
pub(crate) const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// Days since the epoch of a date of the proleptic Gregorian calendar.
pub(crate) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_index = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day since the epoch.
pub(crate) fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

pub(crate) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(crate) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day, if the calendar has it.
pub(crate) fn checked_days(year: i64, month: u32, day: u32) -> Option<i32> {
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    i32::try_from(days_from_civil(year, month, day)).ok()
}

/// Adds months, keeping the day or taking the month's last one.
pub(crate) fn add_months(days: i64, months: i64) -> i64 {
    let (year, month, day) = civil_from_days(days);
    let total = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    let month = u32::try_from(month).unwrap_or(1);
    days_from_civil(year, month, day.min(days_in_month(year, month)))
}

/// ISO day of week, Monday = 1.
pub(crate) fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

pub(crate) fn day_of_year(days: i64) -> i64 {
    let (year, ..) = civil_from_days(days);
    days - days_from_civil(year, 1, 1) + 1
}

/// ISO week-based year and week.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - (iso_weekday(days) - 4);
    let (year, ..) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

/// A session time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Fixed(i32),
    Named(chrono_tz::Tz),
}

impl Zone {
    /// Reads what `ZoneId.of` and Spark accept: region ids, `Z`, `UTC+1`, `GMT-03:00`, `+08:00`, `+8`, `-083015`.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let id = id.trim();
        if matches!(id, "" | "Z" | "z" | "UTC" | "GMT" | "UT") {
            return Some(Self::Fixed(0));
        }
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|p| id.strip_prefix(p)).unwrap_or(id);
        if let Some(sign) = offset.chars().next().filter(|c| matches!(c, '+' | '-')) {
            let seconds = parse_offset(&offset[1..])?;
            return Some(Self::Fixed(if sign == '-' { -seconds } else { seconds }));
        }
        let named = match id {
            "EST" => return Some(Self::Fixed(-5 * 3600)),
            "MST" => return Some(Self::Fixed(-7 * 3600)),
            "HST" => return Some(Self::Fixed(-10 * 3600)),
            "PST" => "America/Los_Angeles",
            "CST" => "America/Chicago",
            "IST" => "Asia/Kolkata",
            "JST" => "Asia/Tokyo",
            "CTT" => "Asia/Shanghai",
            "ECT" => "Europe/Paris",
            "AET" => "Australia/Sydney",
            other => other,
        };
        let zone = chrono_tz::Tz::from_str(named).ok()?;
        if matches!(zone, chrono_tz::Tz::UTC | chrono_tz::Tz::Etc__UTC) {
            return Some(Self::Fixed(0));
        }
        Some(Self::Named(zone))
    }

    /// Seconds east of Greenwich at an instant.
    pub(crate) fn offset_at(self, micros: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => i64::from(seconds),
            Self::Named(zone) => {
                let seconds = micros.div_euclid(MICROS_PER_SECOND);
                chrono::DateTime::from_timestamp(seconds, 0).map_or(0, |instant| {
                    let offset = zone.offset_from_utc_datetime(&instant.naive_utc());
                    i64::from(offset.fix().local_minus_utc())
                })
            }
        }
    }

    /// Wall-clock microseconds at an instant.
    pub(crate) fn to_local(self, micros: i64) -> i64 {
        micros.saturating_add(self.offset_at(micros) * MICROS_PER_SECOND)
    }

    /// The instant of a wall clock; in an overlap the earlier one, in a gap moved forward by the gap, as Java does.
    pub(crate) fn to_utc(self, local: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => local.saturating_sub(i64::from(seconds) * MICROS_PER_SECOND),
            Self::Named(_) => {
                // Offsets a day before and after bound any transition near by.
                let before = self.offset_at(local.saturating_sub(MICROS_PER_DAY));
                let first = local.saturating_sub(before * MICROS_PER_SECOND);
                if self.offset_at(first) == before {
                    return first;
                }
                let after = self.offset_at(local.saturating_add(MICROS_PER_DAY));
                let second = local.saturating_sub(after * MICROS_PER_SECOND);
                if self.offset_at(second) == after {
                    return second;
                }
                first
            }
        }
    }

    /// Instant of local midnight.
    pub(crate) fn days_to_micros(self, days: i32) -> i64 {
        self.to_utc(i64::from(days).saturating_mul(MICROS_PER_DAY))
    }

    /// Local date of an instant.
    pub(crate) fn micros_to_days(self, micros: i64) -> i32 {
        let days = self.to_local(micros).div_euclid(MICROS_PER_DAY);
        i32::try_from(days).unwrap_or(i32::MAX)
    }
}

fn parse_offset(text: &str) -> Option<i32> {
    let parts: Vec<&str> = if text.contains(':') {
        text.split(':').collect()
    } else {
        match text.len() {
            1 | 2 => vec![text],
            4 => vec![&text[..2], &text[2..]],
            6 => vec![&text[..2], &text[2..4], &text[4..]],
            _ => return None,
        }
    };
    if parts.len() > 3 || parts.iter().any(|p| p.is_empty() || p.len() > 2) {
        return None;
    }
    let mut numbers = [0_i32; 3];
    for (slot, part) in numbers.iter_mut().zip(&parts) {
        if !part.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        *slot = part.parse().ok()?;
    }
    let [hours, minutes, seconds] = numbers;
    (hours <= 18 && minutes < 60 && seconds < 60).then_some(hours * 3600 + minutes * 60 + seconds)
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}')
}

/// Reads what `SparkDateTimeUtils.stringToDate` does: `[+-]y{4,7}[-m[m][-d[d][ T…]]]`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let text = trim(text);
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut parts = [1_i64, 1, 1];
    let mut index = 0;
    let mut digits = 0;
    let mut value = 0_i64;
    let mut ended = false;
    for byte in rest.bytes() {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + i64::from(byte - b'0');
                digits += 1;
                if digits > 7 {
                    return None;
                }
            }
            b'-' if index < 2 => {
                if !valid_date_digits(index, digits) {
                    return None;
                }
                parts[index] = value;
                (index, digits, value) = (index + 1, 0, 0);
            }
            b' ' | b'T' if index == 2 => {
                ended = true;
                break;
            }
            _ => return None,
        }
    }
    let _ = ended;
    if !valid_date_digits(index, digits) {
        return None;
    }
    parts[index] = value;
    let year = if negative { -parts[0] } else { parts[0] };
    checked_days(year, u32::try_from(parts[1]).ok()?, u32::try_from(parts[2]).ok()?)
}

fn valid_date_digits(index: usize, digits: u32) -> bool {
    if index == 0 { (4..=7).contains(&digits) } else { (1..=2).contains(&digits) }
}

/// A timestamp text taken apart: the local wall clock and the zone it named, if any.
pub(crate) struct ParsedTimestamp {
    pub local: i64,
    pub zone: Option<Zone>,
    /// Only a time was given; the date is today's.
    pub time_only: bool,
}

/// Reads what `SparkDateTimeUtils.parseTimestampString` does.
pub(crate) fn parse_timestamp(text: &str) -> Option<ParsedTimestamp> {
    let text = trim(text);
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return None;
    }
    let (date_text, time_text) = match text.find(['T', ' ']) {
        Some(at) if at > 0 => (&text[..at], Some(&text[at + 1..])),
        Some(_) => ("", Some(&text[1..])),
        None if text.contains(':') && !text[1..].contains('-') => ("", Some(text)),
        None => (text, None),
    };
    let days = if date_text.is_empty() { 0 } else { parse_date(date_text)? };
    let time_only = date_text.is_empty();
    let mut micros = 0_i64;
    let mut zone = None;
    if let Some(time) = time_text
        && (!time.is_empty() || time_only)
    {
        let end = time.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'));
        let (clock, zone_text) = match end {
            Some(at) => (&time[..at], time[at..].trim()),
            None => (time, ""),
        };
        micros = parse_clock(clock)?;
        if !zone_text.is_empty() {
            zone = Some(Zone::parse(zone_text)?);
        }
    }
    let local = i64::from(days).checked_mul(MICROS_PER_DAY)?.checked_add(micros)?;
    Some(ParsedTimestamp { local, zone, time_only })
}

fn parse_clock(text: &str) -> Option<i64> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let mut numbers = [0_i64; 3];
    let parts: Vec<&str> = clock.split(':').collect();
    if parts.len() > 3 || (fraction.is_some() && parts.len() != 3) {
        return None;
    }
    for (slot, part) in numbers.iter_mut().zip(&parts) {
        if part.is_empty() || part.len() > 2 || !part.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        *slot = part.parse().ok()?;
    }
    let [hours, minutes, seconds] = numbers;
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let mut micros = 0;
    if let Some(fraction) = fraction {
        if !fraction.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        for place in 0..6 {
            let digit = fraction.as_bytes().get(place).map_or(0, |c| i64::from(c - b'0'));
            micros = micros * 10 + digit;
        }
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros)
}

/// `2020-01-31`; years beyond four digits with a sign, as Java prints them.
pub(crate) fn date_text(days: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(days));
    format!("{}-{month:02}-{day:02}", year_text(year))
}

fn year_text(year: i64) -> String {
    match year {
        0..=9999 => format!("{year:04}"),
        10_000.. => format!("+{year}"),
        _ => format!("-{:04}", year.unsigned_abs()),
    }
}

/// `2020-01-31 12:00:00.5`: a wall clock without trailing zeros in its fraction.
pub(crate) fn timestamp_text(local: i64) -> String {
    let days = local.div_euclid(MICROS_PER_DAY);
    let clock = local.rem_euclid(MICROS_PER_DAY);
    let (year, month, day) = civil_from_days(days);
    let seconds = clock / MICROS_PER_SECOND;
    let mut text = format!(
        "{}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        year_text(year),
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    let fraction = clock % MICROS_PER_SECOND;
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text
}
