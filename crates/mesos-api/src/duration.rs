//! Durations as Mesos writes them: `500ms`, `5secs`, `15mins`, `2weeks`.

use std::time::Duration;

const UNITS: [(&str, f64); 8] = [
    ("weeks", 604_800.0),
    ("days", 86_400.0),
    ("hrs", 3_600.0),
    ("mins", 60.0),
    ("secs", 1.0),
    ("ms", 1e-3),
    ("us", 1e-6),
    ("ns", 1e-9),
];

/// Why a text is no duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a duration, write for instance 500ms, 10secs, 15mins or 2weeks")]
pub struct DurationError(String);

/// Reads a duration.
///
/// # Errors
/// [`DurationError`] if the number or the unit is missing or unknown.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_owned());
    let text_part = text.trim();
    let end = text_part.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(error)?;
    let (number, unit) = text_part.split_at(end);
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
    let number: f64 = number.trim().parse().map_err(|_| error())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| error())
}

/// Writes a duration in the largest unit that divides it.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    for (name, seconds) in UNITS {
        let unit = (seconds * 1e9).round() as u128;
        if nanoseconds >= unit && nanoseconds.is_multiple_of(unit) {
            return format!("{}{name}", nanoseconds / unit);
        }
    }
    "0ns".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for text in ["500ms", "5secs", "15mins", "2weeks", "10hrs", "3days", "7us", "1ns"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(parse_duration("1.5secs").unwrap(), Duration::from_millis(1500));
        assert_eq!(format_duration(Duration::ZERO), "0ns");
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "5", "secs", "5 parsecs", "-1secs", "5s"] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains("write for instance"), "{error}");
        }
    }
}
