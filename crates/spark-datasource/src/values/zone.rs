//! Time zones: fixed offsets and regions, with Java's answers for gaps and overlaps.

use std::str::FromStr;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// `java.time.ZoneId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Seconds east of Greenwich.
    Fixed(i32),
    Region(Tz),
}

impl Zone {
    pub(crate) const UTC: Self = Self::Fixed(0);

    /// `DateTimeUtils.getZoneId`: ids, offsets (`+1:00`, `+01:30:15`, `-0800`), prefixed ones (`UTC+3`).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text {
            "Z" | "UTC" | "GMT" | "UT" => return Some(Self::UTC),
            _ => {}
        }
        for prefix in ["UTC", "GMT", "UT"] {
            if let Some(rest) = text.strip_prefix(prefix)
                && rest.starts_with(['+', '-'])
            {
                return offset(rest).map(Self::Fixed);
            }
        }
        if text.starts_with(['+', '-']) {
            return offset(text).map(Self::Fixed);
        }
        Tz::from_str(text).ok().map(|zone| match zone {
            Tz::UTC | Tz::Etc__UTC => Self::UTC,
            other => Self::Region(other),
        })
    }

    /// Seconds east of Greenwich at an instant.
    pub(crate) fn offset_at(&self, epoch_seconds: i64) -> i32 {
        match self {
            Self::Fixed(offset) => *offset,
            Self::Region(zone) => DateTime::from_timestamp(epoch_seconds, 0).map_or(0, |instant| {
                zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()
            }),
        }
    }

    /// Wall-clock microseconds to an instant. In a gap the clock is moved on by the gap's length, in an overlap the
    /// earlier instant is taken: `ZonedDateTime.ofLocal`.
    pub(crate) fn to_instant(self, local_micros: i64) -> i64 {
        match self {
            Self::Fixed(offset) => local_micros - i64::from(offset) * MICROS,
            Self::Region(_) => {
                let local = local_micros.div_euclid(MICROS);
                // The offsets a day before and after enclose any change.
                let before = i64::from(self.offset_at(local - DAY_SECONDS));
                let after = i64::from(self.offset_at(local + DAY_SECONDS));
                let fits = |offset: i64| i64::from(self.offset_at(local - offset)) == offset;
                let offset = if fits(before) || !fits(after) { before } else { after };
                local_micros - offset * MICROS
            }
        }
    }

    /// An instant to wall-clock microseconds.
    pub(crate) fn to_local(self, micros: i64) -> i64 {
        micros + i64::from(self.offset_at(micros.div_euclid(MICROS))) * MICROS
    }
}

fn offset(text: &str) -> Option<i32> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = &text[1..];
    let parts: Vec<&str> = if digits.contains(':') {
        digits.split(':').collect()
    } else {
        match digits.len() {
            1 | 2 => vec![digits],
            4 => vec![&digits[..2], &digits[2..]],
            6 => vec![&digits[..2], &digits[2..4], &digits[4..]],
            _ => return None,
        }
    };
    if parts.len() > 3 {
        return None;
    }
    let mut seconds = 0;
    for (part, unit) in parts.iter().zip([3600, 60, 1]) {
        if part.is_empty() || part.len() > 2 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value: i32 = part.parse().ok()?;
        if unit < 3600 && value > 59 {
            return None;
        }
        seconds += value * unit;
    }
    (seconds <= 18 * 3600).then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::datetime::{civil_to_days, show_local};

    fn micros(y: i64, m: u32, d: u32, h: i64, min: i64) -> i64 {
        (civil_to_days(y, m, d).unwrap() * 86_400 + h * 3600 + min * 60) * MICROS
    }

    #[test]
    fn offsets() {
        for (text, seconds) in
            [("+1:00", 3600), ("-0800", -28_800), ("+5", 18_000), ("UTC+3", 10_800), ("Z", 0)]
        {
            assert_eq!(Zone::parse(text), Some(Zone::Fixed(seconds)), "{text}");
        }
        for text in ["+19:00", "+1:60", "Nowhere/City", "+", "+1:2:3:4"] {
            assert_eq!(Zone::parse(text), None, "{text}");
        }
    }

    #[test]
    fn gaps_move_on_and_overlaps_take_the_earlier_instant() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        // 2021-03-28 02:30 does not exist: 03:30 summer time, 01:30 UTC.
        assert_eq!(
            show_local(berlin.to_instant(micros(2021, 3, 28, 2, 30))),
            "2021-03-28 01:30:00"
        );
        // 2021-10-31 02:30 happens twice: the first is 00:30 UTC.
        assert_eq!(
            show_local(berlin.to_instant(micros(2021, 10, 31, 2, 30))),
            "2021-10-31 00:30:00"
        );
        assert_eq!(show_local(berlin.to_local(micros(2021, 7, 1, 12, 0))), "2021-07-01 14:00:00");
    }
}
