//! Dates and timestamps as Spark's casts read and write them.

use super::zone::Zone;

pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Days since 1970-01-01 of a proleptic Gregorian date; `None` if there is no such day.
pub(crate) fn civil_to_days(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    // Years start in March, so that the leap day is the last one.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Year, month and day of days since 1970-01-01.
pub(crate) fn days_to_civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = ((month_from_march + 2) % 12 + 1) as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
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

/// Reads at most `max` digits; gives value, count and the rest.
fn digits(bytes: &[u8], max: usize) -> (i64, usize) {
    let count = bytes.iter().take(max).take_while(|byte| byte.is_ascii_digit()).count();
    let value = bytes[..count].iter().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    (value, count)
}

fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    &bytes[start..end]
}

/// The date at the head of a text: year of 4 to 7 digits, month and day optional. Gives days, bytes used and whether
/// the day was given.
fn date_head(bytes: &[u8]) -> Option<(i64, usize, bool)> {
    let (sign, mut at) = match bytes.first()? {
        b'-' => (-1, 1),
        b'+' => (1, 1),
        _ => (1, 0),
    };
    let (year, count) = digits(&bytes[at..], 8);
    if !(4..=7).contains(&count) {
        return None;
    }
    at += count;
    let year = sign * year;
    let mut parts = [1_u32, 1];
    for (index, part) in parts.iter_mut().enumerate() {
        if bytes.get(at) != Some(&b'-') {
            return civil_to_days(year, parts[0], 1).map(|days| (days, at, false));
        }
        let (value, count) = digits(&bytes[at + 1..], 3);
        if !(1..=2).contains(&count) {
            return None;
        }
        *part = value as u32;
        at += 1 + count;
        if index == 1 {
            break;
        }
    }
    civil_to_days(year, parts[0], parts[1]).map(|days| (days, at, true))
}

/// `DateTimeUtils.stringToDate`: the cast of a string to a date.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let bytes = trim(text.as_bytes());
    let (days, used, with_day) = date_head(bytes)?;
    let rest = &bytes[used..];
    let fits = rest.is_empty() || (with_day && matches!(rest[0], b' ' | b'T'));
    if fits { i32::try_from(days).ok() } else { None }
}

/// What the text of a timestamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParsedTimestamp {
    /// Wall-clock microseconds since 1970-01-01.
    pub(crate) local_micros: i64,
    pub(crate) zone: Option<Zone>,
}

impl ParsedTimestamp {
    pub(crate) fn to_instant(self, session: Zone) -> i64 {
        self.zone.unwrap_or(session).to_instant(self.local_micros)
    }
}

/// `DateTimeUtils.parseTimestampString`: the cast of a string to a timestamp. A time without a date is today's.
pub(crate) fn parse_timestamp(text: &str, today: impl Fn() -> i64) -> Option<ParsedTimestamp> {
    let bytes = trim(text.as_bytes());
    let starts_with_time = match bytes {
        [b'T', rest @ ..] => Some(rest),
        _ => {
            let (_, count) = digits(bytes, 3);
            ((1..=2).contains(&count) && bytes.get(count) == Some(&b':')).then_some(bytes)
        }
    };
    let (days, time) = match starts_with_time {
        Some(time) => (None, time),
        None => {
            let (days, used, with_day) = date_head(bytes)?;
            match &bytes[used..] {
                [] => {
                    let local_micros = days.checked_mul(MICROS_PER_DAY)?;
                    return Some(ParsedTimestamp { local_micros, zone: None });
                }
                [b' ' | b'T', time @ ..] if with_day => (Some(days), time),
                _ => return None,
            }
        }
    };
    let (time_micros, zone) = time_tail(time)?;
    let days = days.unwrap_or_else(today);
    let local_micros = days.checked_mul(MICROS_PER_DAY)?.checked_add(time_micros)?;
    Some(ParsedTimestamp { local_micros, zone })
}

/// `[h]h:[m]m[:[s]s[.fraction]][zone]`; the minutes may be missing if a zone or nothing follows.
fn time_tail(bytes: &[u8]) -> Option<(i64, Option<Zone>)> {
    let limits = [23, 59, 59];
    let mut fields = [0_i64; 3];
    let mut at = 0;
    let mut count_fields = 0;
    for (index, field) in fields.iter_mut().enumerate() {
        if index > 0 {
            if bytes.get(at) != Some(&b':') {
                break;
            }
            at += 1;
        }
        let (value, count) = digits(&bytes[at..], 3);
        if !(1..=2).contains(&count) || value > limits[index] {
            return None;
        }
        *field = value;
        at += count;
        count_fields += 1;
    }
    let mut micros = (fields[0] * 3600 + fields[1] * 60 + fields[2]) * MICROS_PER_SECOND;
    if count_fields == 3 && bytes.get(at) == Some(&b'.') {
        at += 1;
        let mut unit = 100_000;
        while let Some(byte) = bytes.get(at).filter(|byte| byte.is_ascii_digit()) {
            micros += i64::from(byte - b'0') * unit;
            unit /= 10;
            at += 1;
        }
    }
    let zone = std::str::from_utf8(&bytes[at..]).ok()?.trim();
    if zone.is_empty() {
        // An hour alone is no time.
        return (count_fields >= 2).then_some((micros, None));
    }
    Some((micros, Some(Zone::parse(zone)?)))
}

/// Appends `yyyy-MM-dd`; years beyond four digits carry a sign.
pub(crate) fn write_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = days_to_civil(days);
    if (0..=9999).contains(&year) {
        let year = year as u32;
        two(out, year / 100);
        two(out, year % 100);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        out.extend_from_slice(format!("{:04}", year.abs()).as_bytes());
    }
    out.push(b'-');
    two(out, month);
    out.push(b'-');
    two(out, day);
}

fn two(out: &mut Vec<u8>, value: u32) {
    out.push(b'0' + (value / 10) as u8);
    out.push(b'0' + (value % 10) as u8);
}

/// Appends `yyyy-MM-dd HH:mm:ss[.ffffff]`, trailing zeros of the fraction dropped: the cast to string.
pub(crate) fn write_local(out: &mut Vec<u8>, local_micros: i64) {
    write_date(out, local_micros.div_euclid(MICROS_PER_DAY));
    out.push(b' ');
    let of_day = local_micros.rem_euclid(MICROS_PER_DAY);
    let seconds = (of_day / MICROS_PER_SECOND) as u32;
    two(out, seconds / 3600);
    out.push(b':');
    two(out, seconds / 60 % 60);
    out.push(b':');
    two(out, seconds % 60);
    let fraction = of_day % MICROS_PER_SECOND;
    if fraction != 0 {
        let text = format!(".{fraction:06}");
        out.extend_from_slice(text.trim_end_matches('0').as_bytes());
    }
}

#[cfg(test)]
pub(crate) fn show_local(local_micros: i64) -> String {
    let mut out = Vec::new();
    write_local(&mut out, local_micros);
    String::from_utf8(out).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates_round_trip() {
        for days in [-719_528, -1, 0, 59, 60, 11_016, 18_262, 2_932_896, -1_000_000] {
            let (year, month, day) = days_to_civil(days);
            assert_eq!(civil_to_days(year, month, day), Some(days));
        }
        assert_eq!(civil_to_days(2021, 2, 29), None);
        assert_eq!(civil_to_days(2000, 2, 29), Some(11_016));
    }

    #[test]
    fn dates_by_cast() {
        for (text, expected) in [
            ("1970-01-02", Some(1)),
            ("1970-1-2", Some(1)),
            (" 1970-01-02 ", Some(1)),
            ("1970-01-02T10", Some(1)),
            ("1970-01-02 x", Some(1)),
            ("1970-01", Some(0)),
            ("1970", Some(0)),
            ("1970-01-02x", None),
            ("70-01-02", None),
            ("1970-13-02", None),
            ("", None),
        ] {
            assert_eq!(parse_date(text), expected, "{text:?}");
        }
    }

    #[test]
    fn timestamps_by_cast() {
        for (text, expected) in [
            ("2020-01-02 03:04:05", Some("2020-01-02 03:04:05")),
            ("2020-01-02T03:04:05.1234567", Some("2020-01-02 03:04:05.123456")),
            ("2020-01-02T03:04Z", Some("2020-01-02 03:04:00")),
            ("2020-01-02 03:04:05+02:00", Some("2020-01-02 01:04:05")),
            ("2020-01-02 03:04:05 Europe/Berlin", Some("2020-01-02 02:04:05")),
            ("2020-01-02", Some("2020-01-02 00:00:00")),
            ("12:30", Some("1970-01-01 12:30:00")),
            ("2020-01-02 25:00", None),
            ("2020-01-02x", None),
        ] {
            let shown =
                parse_timestamp(text, || 0).map(|parsed| show_local(parsed.to_instant(Zone::UTC)));
            assert_eq!(shown.as_deref(), expected, "{text:?}");
        }
    }
}
