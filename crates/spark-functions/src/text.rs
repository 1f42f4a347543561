//! How Java writes numbers and Spark writes intervals.

use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};

/// `Double.toString`: `1.0`, `1.0E10`, `1.0E-5`, `NaN`, `Infinity`.
pub(crate) fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    java(&format!("{value:e}"), value == 0.0, value.abs())
}

/// `Float.toString`.
pub(crate) fn float(value: f32) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    java(&format!("{value:e}"), value == 0.0, f64::from(value.abs()))
}

/// Re-arranges Rust's shortest `d.ddde±x` into Java's forms: plain between 1e-3 and 1e7, else with `E`.
fn java(scientific: &str, zero: bool, magnitude: f64) -> String {
    let (sign, rest) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific),
    };
    if zero {
        return format!("{sign}0.0");
    }
    let (mantissa, exponent) = rest.split_once('e').unwrap_or((rest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if !(1e-3..1e7).contains(&magnitude) {
        let fraction = if digits.len() > 1 { &digits[1..] } else { "0" };
        return format!("{sign}{}.{fraction}E{exponent}", &digits[..1]);
    }
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    if digits.len() <= whole {
        format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()))
    } else {
        format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
    }
}

/// `INTERVAL '1-2' YEAR TO MONTH`.
pub(crate) fn year_month_interval(months: i32) -> String {
    let sign = if months < 0 { "-" } else { "" };
    let months = months.unsigned_abs();
    format!("INTERVAL '{sign}{}-{}' YEAR TO MONTH", months / 12, months % 12)
}

/// `INTERVAL '1 02:03:04.5' DAY TO SECOND`.
pub(crate) fn day_time_interval(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let total = micros.unsigned_abs();
    let unit = |micros: i64| micros.unsigned_abs();
    let days = total / unit(MICROS_PER_DAY);
    let hours = total % unit(MICROS_PER_DAY) / unit(MICROS_PER_HOUR);
    let minutes = total % unit(MICROS_PER_HOUR) / unit(MICROS_PER_MINUTE);
    let seconds = total % unit(MICROS_PER_MINUTE) / unit(MICROS_PER_SECOND);
    let fraction = total % unit(MICROS_PER_SECOND);
    let mut text = format!("{days} {hours:02}:{minutes:02}:{seconds:02}");
    if fraction > 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    format!("INTERVAL '{sign}{text}' DAY TO SECOND")
}

/// `1 years 2 months 3 days 4 hours 5.5 seconds`.
pub(crate) fn calendar_interval(months: i32, days: i32, micros: i64) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut push = |value: i64, unit: &str| {
        if value != 0 {
            parts.push(format!("{value} {unit}"));
        }
    };
    push(i64::from(months / 12), "years");
    push(i64::from(months % 12), "months");
    push(i64::from(days), "days");
    push(micros / MICROS_PER_HOUR, "hours");
    push(micros % MICROS_PER_HOUR / MICROS_PER_MINUTE, "minutes");
    let rest = micros % MICROS_PER_MINUTE;
    if rest != 0 {
        let sign = if rest < 0 { "-" } else { "" };
        let rest = rest.unsigned_abs();
        let fraction = format!(".{:06}", rest % 1_000_000);
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        parts.push(format!("{sign}{}{fraction} seconds", rest / 1_000_000));
    }
    if parts.is_empty() { "0 seconds".into() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_java_writes_them() {
        for (value, text) in [
            (1e10, "1.0E10"),
            (1e-5, "1.0E-5"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (1234567.0, "1234567.0"),
            (12345678.0, "1.2345678E7"),
            (0.001, "0.001"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::MAX, "1.7976931348623157E308"),
        ] {
            assert_eq!(double(value), text);
        }
        assert_eq!(float(1.1), "1.1");
        assert_eq!(float(3.4e38), "3.4E38");
    }
}
