//! Dates and timestamps of typed literals, in the proleptic Gregorian calendar.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
pub(crate) const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;

/// Days since the epoch.
pub(crate) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = i64::from((month + 9) % 12);
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of days since the epoch.
pub(crate) fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Splits off up to `max` digits, at least `min`.
fn digits(text: &str, min: usize, max: usize) -> Option<(i64, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    if length < min || length > max {
        return None;
    }
    Some((text[..length].parse().ok()?, &text[length..]))
}

/// `[+-]yyyy[-m[m][-d[d]]]` and what follows.
fn date_prefix(text: &str) -> Option<(i64, &str)> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (year, rest) = digits(rest, 4, 7)?;
    let year = sign * year;
    let Some(rest) = rest.strip_prefix('-') else {
        return Some((days_from_civil(year, 1, 1), rest));
    };
    let (month, rest) = digits(rest, 1, 2)?;
    let month = u32::try_from(month).ok().filter(|month| (1..=12).contains(month))?;
    let Some(rest) = rest.strip_prefix('-') else {
        return Some((days_from_civil(year, month, 1), rest));
    };
    let (day, rest) = digits(rest, 1, 2)?;
    let day =
        u32::try_from(day).ok().filter(|day| (1..=days_in_month(year, month)).contains(day))?;
    Some((days_from_civil(year, month, day), rest))
}

/// Spark's `stringToDate`: what follows a `T` or a blank is ignored.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let (days, rest) = date_prefix(text.trim())?;
    if !(rest.is_empty() || rest.starts_with([' ', 'T'])) {
        return None;
    }
    i32::try_from(days).ok()
}

/// What a timestamp's text says of its zone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Zone<'a> {
    None,
    /// Seconds east of UTC.
    Offset(i64),
    Region(&'a str),
}

/// A timestamp's local microseconds since the epoch and its zone.
pub(crate) fn parse_timestamp(text: &str) -> Option<(i64, Zone<'_>)> {
    let text = text.trim();
    let (days, rest) = date_prefix(text)?;
    let Some(rest) = rest.strip_prefix(['T', ' ']) else {
        let local = days.checked_mul(MICROS_PER_DAY)?;
        return rest.is_empty().then_some((local, Zone::None));
    };
    let rest = rest.trim_start();
    let (hour, rest) = digits(rest, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 1, 2)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => digits(rest, 1, 2)?,
        None => (0, rest),
    };
    let (micros, rest) = fraction(rest);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = hour * 3600 + minute * 60 + second;
    let local =
        days.checked_mul(MICROS_PER_DAY)?.checked_add(seconds * MICROS_PER_SECOND + micros)?;
    Some((local, zone(rest.trim())?))
}

/// `.123456…`, cut to microseconds.
fn fraction(text: &str) -> (i64, &str) {
    let Some(rest) = text.strip_prefix('.') else {
        return (0, text);
    };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let shown: String = rest[..length].chars().chain("000000".chars()).take(6).collect();
    (shown.parse().unwrap_or(0), &rest[length..])
}

fn zone(text: &str) -> Option<Zone<'_>> {
    let after_name =
        ["UTC", "GMT", "UT"].iter().find_map(|name| text.strip_prefix(name)).unwrap_or(text);
    match text {
        "" => return Some(Zone::None),
        "Z" | "UTC" | "GMT" | "UT" => return Some(Zone::Offset(0)),
        _ => {}
    }
    let sign = match after_name.chars().next()? {
        '+' => 1,
        '-' => -1,
        c if c.is_ascii_alphabetic() => return Some(Zone::Region(text)),
        _ => return None,
    };
    let (hours, rest) = digits(&after_name[1..], 1, 2)?;
    let (minutes, rest) = match rest.strip_prefix(':') {
        Some(rest) => digits(rest, 1, 2)?,
        None => (0, rest),
    };
    let (seconds, rest) = match rest.strip_prefix(':') {
        Some(rest) => digits(rest, 1, 2)?,
        None => (0, rest),
    };
    let total = hours * 3600 + minutes * 60 + seconds;
    (rest.is_empty() && minutes < 60 && seconds < 60 && total <= 18 * 3600)
        .then_some(Zone::Offset(sign * total))
}

/// `2020-02-29`.
pub(crate) fn format_date(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        10_000.. => format!("+{year}"),
        _ => format!("-{:04}", -year),
    };
    format!("{year}-{month:02}-{day:02}")
}

/// `2020-02-29 01:02:03.5`, without trailing zeros of the fraction.
pub(crate) fn format_timestamp(micros: i64) -> String {
    let days = micros.div_euclid(MICROS_PER_DAY);
    let of_day = micros.rem_euclid(MICROS_PER_DAY);
    let seconds = of_day / MICROS_PER_SECOND;
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{} {time}{}", format_date(days), format_fraction(of_day % MICROS_PER_SECOND))
}

/// `.5` for 500000 microseconds, nothing for 0.
pub(crate) fn format_fraction(micros: i64) -> String {
    if micros == 0 {
        return String::new();
    }
    format!(".{micros:06}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_both_ways() {
        for days in [-800_000, -719_529, -1, 0, 1, 11_016, 18_321, 2_932_896] {
            assert_eq!(parse_date(&format_date(days)), Some(days as i32), "{days}");
        }
        assert_eq!(parse_date("2020"), parse_date("2020-01-01"));
        assert_eq!(parse_date("2020-2-29T10"), parse_date("2020-02-29"));
        assert_eq!(parse_date("2021-02-29"), None);
        assert_eq!(parse_date("20-02-29"), None);
    }

    #[test]
    fn timestamps_know_their_zone() {
        assert_eq!(parse_timestamp("1970-01-01 00:00:01.5"), Some((1_500_000, Zone::None)));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00Z"), Some((0, Zone::Offset(0))));
        assert_eq!(parse_timestamp("1970-01-01 00:00:00 +01:30"), Some((0, Zone::Offset(5400))));
        assert_eq!(
            parse_timestamp("1970-01-01 00:00:00 Europe/Berlin"),
            Some((0, Zone::Region("Europe/Berlin")))
        );
        assert_eq!(parse_timestamp("1970-01-01 25:00:00"), None);
        assert_eq!(format_timestamp(-1), "1969-12-31 23:59:59.999999");
    }
}
