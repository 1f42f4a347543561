//! Kinds of values and their text forms: sizes, durations, numbers, booleans, lists.
//!
//! Sizes and durations follow Spark's `JavaUtils.byteStringAs` and `timeStringAs`: an integer, an
//! optional suffix, no fractions; a bare number has the property's own unit.

use std::time::Duration;

/// The unit of a bare number in a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteUnit {
    /// Bytes.
    Byte,
    /// KiB.
    Kib,
    /// MiB.
    Mib,
}

impl ByteUnit {
    /// Bytes in one unit.
    pub const fn bytes(self) -> i64 {
        match self {
            Self::Byte => 1,
            Self::Kib => 1 << 10,
            Self::Mib => 1 << 20,
        }
    }
}

/// The unit of a bare number in a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Milliseconds.
    Millisecond,
    /// Seconds.
    Second,
}

/// What a property's text must look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Comma separated texts; blanks around entries and empty entries are dropped.
    List,
    /// `true` or `false`.
    Boolean,
    /// A whole number within the bounds.
    Integer {
        /// Smallest accepted value.
        min: i64,
        /// Largest accepted value.
        max: i64,
    },
    /// A number not below the bound.
    Decimal {
        /// Smallest accepted value.
        min: f64,
    },
    /// A size.
    Bytes {
        /// Unit of a bare number.
        unit: ByteUnit,
        /// Smallest accepted size in bytes (−1 where Spark uses it for "off").
        min: i64,
    },
    /// A length of time.
    Duration {
        /// Unit of a bare number.
        unit: TimeUnit,
    },
    /// One of some words, in any case.
    OneOf(&'static [&'static str]),
}

/// A value read according to its [`Kind`].
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// Text, or one word of [`Kind::OneOf`] as spelt in the table.
    Text(String),
    /// Entries of a list.
    List(Vec<String>),
    /// A boolean.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Decimal(f64),
    /// Bytes.
    Bytes(i64),
    /// A length of time.
    Duration(Duration),
}

impl Kind {
    /// Reads a text; `None` when it has not this kind's form.
    pub fn parse(&self, text: &str) -> Option<Parsed> {
        match *self {
            Self::Text => Some(Parsed::Text(text.to_owned())),
            Self::List => Some(Parsed::List(split_list(text))),
            Self::Boolean => parse_boolean(text).map(Parsed::Boolean),
            Self::Integer { min, max } => {
                let value: i64 = text.trim().parse().ok()?;
                (min..=max).contains(&value).then_some(Parsed::Integer(value))
            }
            Self::Decimal { min } => {
                let value: f64 = text.trim().parse().ok()?;
                (value.is_finite() && value >= min).then_some(Parsed::Decimal(value))
            }
            Self::Bytes { unit, min } => {
                parse_bytes(text, unit).filter(|bytes| *bytes >= min).map(Parsed::Bytes)
            }
            Self::Duration { unit } => parse_duration(text, unit).map(Parsed::Duration),
            Self::OneOf(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text.trim()))
                .map(|word| Parsed::Text((*word).to_owned())),
        }
    }

    /// The form a right value has, as the end of a sentence.
    pub fn expected(&self) -> String {
        match *self {
            Self::Text => "a text".to_owned(),
            Self::List => "texts separated by commas".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { min, max: i64::MAX } if min == i64::MIN => "a whole number".to_owned(),
            Self::Integer { min, max: i64::MAX } => format!("a whole number of at least {min}"),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Decimal { min } if min == f64::MIN => "a number".to_owned(),
            Self::Decimal { min } => format!("a number of at least {min}"),
            Self::Bytes { unit, min } => {
                let bare = match unit {
                    ByteUnit::Byte => "bytes",
                    ByteUnit::Kib => "KiB",
                    ByteUnit::Mib => "MiB",
                };
                let least = match min {
                    i64::MIN..=-1 => ", or -1 for none".to_owned(),
                    0 => String::new(),
                    _ => format!(", at least {}", format_bytes(min)),
                };
                format!("a size such as 512m or 2g (a bare number means {bare}){least}")
            }
            Self::Duration { unit } => {
                let bare = match unit {
                    TimeUnit::Millisecond => "milliseconds",
                    TimeUnit::Second => "seconds",
                };
                format!("a duration such as 100ms, 30s or 5min (a bare number means {bare})")
            }
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
        }
    }

    /// The kind's name in the manual.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::List => "list",
            Self::Boolean => "boolean",
            Self::Integer { .. } => "integer",
            Self::Decimal { .. } => "number",
            Self::Bytes { .. } => "size",
            Self::Duration { .. } => "duration",
            Self::OneOf(_) => "word",
        }
    }
}

fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

fn parse_boolean(text: &str) -> Option<bool> {
    match text.trim() {
        word if word.eq_ignore_ascii_case("true") => Some(true),
        word if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Splits `-12mb` into −12 and `mb`.
fn number_and_suffix(text: &str) -> Option<(i64, String)> {
    let text = text.trim().to_ascii_lowercase();
    let unsigned = text.strip_prefix('-').unwrap_or(&text);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = unsigned.split_at(digits);
    let magnitude: i64 = number.parse().ok()?;
    let value = if unsigned.len() == text.len() { magnitude } else { -magnitude };
    Some((value, suffix.to_owned()))
}

/// Reads a size such as `512m`, `1g`, `64kb`; a bare number has `unit`.
pub fn parse_bytes(text: &str, unit: ByteUnit) -> Option<i64> {
    let (number, suffix) = number_and_suffix(text)?;
    // −1 means "none" wherever Spark accepts it, whatever the unit.
    if number == -1 && suffix.is_empty() {
        return Some(-1);
    }
    let factor = match suffix.as_str() {
        "" => unit.bytes(),
        "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1 << 40,
        "p" | "pb" => 1 << 50,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Reads a duration such as `100ms`, `30s`, `5min`; a bare number has `unit`. Negative ones are refused.
pub fn parse_duration(text: &str, unit: TimeUnit) -> Option<Duration> {
    let (number, suffix) = number_and_suffix(text)?;
    let number = u64::try_from(number).ok()?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match suffix.as_str() {
        "" => match unit {
            TimeUnit::Millisecond => Some(Duration::from_millis(number)),
            TimeUnit::Second => Some(Duration::from_secs(number)),
        },
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" | "min" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(86_400),
        _ => None,
    }
}

/// Writes bytes in the largest unit that keeps a whole number: `512m`, `2g`, `1000b`.
pub fn format_bytes(bytes: i64) -> String {
    let units = [(1_i64 << 40, "t"), (1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")];
    for (factor, suffix) in units {
        if bytes != 0 && bytes % factor == 0 {
            return format!("{}{suffix}", bytes / factor);
        }
    }
    format!("{bytes}b")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_spark() {
        let mib = |text| parse_bytes(text, ByteUnit::Mib);
        assert_eq!(mib("512m"), Some(512 << 20));
        assert_eq!(mib("512"), Some(512 << 20));
        assert_eq!(mib("20G"), Some(20 << 30));
        assert_eq!(mib(" 1gb "), Some(1 << 30));
        assert_eq!(mib("-5g"), Some(-5 << 30));
        for bad in ["", "abc", "1.5g", "g", "5 g", "5x", "99999999999p", "--5g"] {
            assert_eq!(mib(bad), None, "{bad}");
        }
        assert_eq!(parse_bytes("-1", ByteUnit::Mib), Some(-1));
        assert_eq!(parse_bytes("10", ByteUnit::Byte), Some(10));
    }

    #[test]
    fn durations_follow_spark() {
        let ms = |text| parse_duration(text, TimeUnit::Millisecond);
        assert_eq!(ms("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(ms("100"), Some(Duration::from_millis(100)));
        assert_eq!(ms("30s"), Some(Duration::from_secs(30)));
        assert_eq!(ms("2min"), Some(Duration::from_secs(120)));
        assert_eq!(ms("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(parse_duration("120", TimeUnit::Second), Some(Duration::from_secs(120)));
        for bad in ["", "s", "1.5s", "-3s", "3 s", "5weeks"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn words_are_returned_as_the_table_spells_them() {
        let kind = Kind::OneOf(&["client", "cluster"]);
        assert_eq!(kind.parse("Cluster"), Some(Parsed::Text("cluster".to_owned())));
        assert_eq!(kind.parse("clusters"), None);
        assert_eq!(kind.expected(), "one of client, cluster");
    }

    #[test]
    fn sizes_are_written_in_the_largest_whole_unit() {
        assert_eq!(format_bytes(512 << 20), "512m");
        assert_eq!(format_bytes(2 << 30), "2g");
        assert_eq!(format_bytes(1000), "1000b");
        assert_eq!(format_bytes(0), "0b");
    }
}
