//! Java's `DateTimeFormatter` patterns, as far as Spark allows them, for writing and reading.

use spark_sql_parser::error::{ErrorKind, SparkError};

use crate::time::{self, MICROS_PER_DAY, MICROS_PER_SECOND, Zone};

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Text(String),
    /// A letter and how often it stood there.
    Field(char, usize),
    /// `[…]`: may be missing when reading.
    Optional(Vec<Self>),
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    items: Vec<Item>,
}

/// What a text gave: a wall clock, and a zone if it named one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Parsed {
    pub local: i64,
    pub zone: Option<Zone>,
}

fn unknown(pattern: &str) -> SparkError {
    SparkError::new(
        ErrorKind::DateTime,
        "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION",
        "42K0B",
        format!(
            "You may get a different result due to the upgrading to Spark >= 3.0: Fail to recognize '{pattern}' pattern in the DateTimeFormatter.\n1) You can set \"spark.sql.legacy.timeParserPolicy\" to \"LEGACY\" to restore the behavior before Spark 3.0.\n2) You can form a valid datetime pattern with the guide from 'https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html'."
        ),
    )
    .with("pattern", format!("'{pattern}'"))
    .with("config", "\"spark.sql.legacy.timeParserPolicy\"")
}

fn legacy_letter(letter: char) -> SparkError {
    SparkError::new(
        ErrorKind::IllegalArgument,
        "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
        "22007",
        format!(
            "Unrecognized datetime pattern: {letter}. Illegal pattern character found in datetime pattern. Please provide legal character."
        ),
    )
}

impl Pattern {
    pub(crate) fn parse(pattern: &str) -> Result<Self, SparkError> {
        let chars: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        let items = Self::sequence(&chars, &mut at, pattern, 0)?;
        Ok(Self { items })
    }

    fn sequence(
        chars: &[char],
        at: &mut usize,
        pattern: &str,
        depth: usize,
    ) -> Result<Vec<Item>, SparkError> {
        let mut items = vec![];
        let text = |items: &mut Vec<Item>, c: char| match items.last_mut() {
            Some(Item::Text(text)) => text.push(c),
            _ => items.push(Item::Text(c.to_string())),
        };
        while *at < chars.len() {
            let c = chars[*at];
            match c {
                '\'' => {
                    *at += 1;
                    if chars.get(*at) == Some(&'\'') {
                        text(&mut items, '\'');
                        *at += 1;
                        continue;
                    }
                    while *at < chars.len() {
                        if chars[*at] == '\'' {
                            if chars.get(*at + 1) == Some(&'\'') {
                                *at += 1;
                            } else {
                                break;
                            }
                        }
                        text(&mut items, chars[*at]);
                        *at += 1;
                    }
                    *at += 1;
                }
                '[' => {
                    *at += 1;
                    items.push(Item::Optional(Self::sequence(chars, at, pattern, depth + 1)?));
                }
                ']' if depth > 0 => {
                    *at += 1;
                    return Ok(items);
                }
                c if c.is_ascii_alphabetic() => {
                    let count = chars[*at..].iter().take_while(|next| **next == c).count();
                    *at += count;
                    let longest = match c {
                        'G' | 'E' | 'M' | 'L' | 'Q' | 'q' | 'z' | 'O' | 'a' => 4,
                        'y' => 6,
                        'D' => 3,
                        'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's' | 'F' => 2,
                        'S' => 9,
                        'V' => 2,
                        'X' | 'x' | 'Z' => 5,
                        'Y' | 'w' | 'W' | 'u' | 'A' | 'B' | 'c' | 'e' | 'n' | 'N' | 'p' => {
                            return Err(if matches!(c, 'Y' | 'w' | 'W' | 'u') {
                                unknown(pattern)
                            } else {
                                legacy_letter(c)
                            });
                        }
                        _ => return Err(unknown(pattern)),
                    };
                    if count > longest || (c == 'a' && count > 1) || (c == 'V' && count != 2) {
                        return Err(unknown(pattern));
                    }
                    items.push(Item::Field(c, count));
                }
                '#' | '{' | '}' => return Err(unknown(pattern)),
                other => {
                    text(&mut items, other);
                    *at += 1;
                }
            }
        }
        Ok(items)
    }

    /// Writes an instant as a zone's wall clock shows it.
    pub(crate) fn format(&self, micros: i64, zone: Zone, zone_id: &str) -> String {
        let mut out = String::new();
        let offset = zone.offset_at(micros);
        let moment = Moment { local: micros + offset * MICROS_PER_SECOND, offset, zone_id };
        write(&mut out, &self.items, &moment);
        out
    }

    /// Reads a whole text.
    pub(crate) fn read(&self, text: &str) -> Option<Parsed> {
        let mut fields = Fields::default();
        let rest = read(&self.items, text, &mut fields)?;
        if !rest.is_empty() {
            return None;
        }
        fields.resolve()
    }
}

struct Moment<'a> {
    local: i64,
    offset: i64,
    zone_id: &'a str,
}

fn number(out: &mut String, value: i64, width: usize) {
    if value < 0 {
        out.push('-');
    }
    out.push_str(&format!("{:0width$}", value.unsigned_abs()));
}

fn write(out: &mut String, items: &[Item], moment: &Moment) {
    let days = moment.local.div_euclid(MICROS_PER_DAY);
    let clock = moment.local.rem_euclid(MICROS_PER_DAY);
    let (year, month, day) = time::civil_from_days(days);
    let seconds = clock / MICROS_PER_SECOND;
    let hour = seconds / 3600;
    for item in items {
        match item {
            Item::Text(text) => out.push_str(text),
            Item::Optional(items) => write(out, items, moment),
            Item::Field(letter, count) => {
                let count = *count;
                match letter {
                    'G' if count == 4 => {
                        out.push_str(if year > 0 { "Anno Domini" } else { "Before Christ" });
                    }
                    'G' => out.push_str(if year > 0 { "AD" } else { "BC" }),
                    'y' => {
                        let of_era = if year > 0 { year } else { 1 - year };
                        if count == 2 {
                            number(out, of_era % 100, 2);
                        } else {
                            if of_era > 9999 && count == 4 {
                                out.push('+');
                            }
                            number(out, of_era, count);
                        }
                    }
                    'M' | 'L' => match count {
                        1 | 2 => number(out, i64::from(month), count),
                        3 => out.push_str(&MONTHS[month as usize - 1][..3]),
                        _ => out.push_str(MONTHS[month as usize - 1]),
                    },
                    'Q' | 'q' => {
                        let quarter = (i64::from(month) + 2) / 3;
                        match count {
                            1 | 2 => number(out, quarter, count),
                            3 => out.push_str(&format!("Q{quarter}")),
                            _ => out.push_str(
                                ["1st", "2nd", "3rd", "4th"]
                                    [usize::try_from(quarter - 1).unwrap_or(0)],
                            ),
                        }
                        if count == 4 {
                            out.push_str(" quarter");
                        }
                    }
                    'd' => number(out, i64::from(day), count),
                    'D' => number(out, time::day_of_year(days), count),
                    'E' => {
                        let name = DAYS[usize::try_from(time::iso_weekday(days) - 1).unwrap_or(0)];
                        out.push_str(if count < 4 { &name[..3] } else { name });
                    }
                    'F' => number(out, (i64::from(day) - 1) % 7 + 1, count),
                    'a' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
                    'h' => number(out, (hour + 11) % 12 + 1, count),
                    'K' => number(out, hour % 12, count),
                    'k' => number(out, (hour + 23) % 24 + 1, count),
                    'H' => number(out, hour, count),
                    'm' => number(out, seconds / 60 % 60, count),
                    's' => number(out, seconds % 60, count),
                    'S' => {
                        let digits = format!("{:06}000", clock % MICROS_PER_SECOND);
                        out.push_str(&digits[..count]);
                    }
                    'V' => out.push_str(moment.zone_id),
                    'z' => out.push_str(&zone_name(moment, count)),
                    'O' => {
                        out.push_str("GMT");
                        if moment.offset != 0 {
                            let sign = if moment.offset < 0 { '-' } else { '+' };
                            let minutes = moment.offset.abs() / 60;
                            let (hours, minutes) = (minutes / 60, minutes % 60);
                            if count == 4 {
                                out.push_str(&format!("{sign}{hours:02}:{minutes:02}"));
                            } else if minutes == 0 {
                                out.push_str(&format!("{sign}{hours}"));
                            } else {
                                out.push_str(&format!("{sign}{hours}:{minutes:02}"));
                            }
                        }
                    }
                    'X' | 'x' | 'Z' => offset(out, *letter, count, moment.offset),
                    _ => {}
                }
            }
        }
    }
}

fn zone_name(moment: &Moment, count: usize) -> String {
    match Zone::parse(moment.zone_id) {
        Some(Zone::Named(zone)) => {
            use chrono::TimeZone as _;
            let seconds = (moment.local / MICROS_PER_SECOND) - moment.offset;
            let Some(instant) = chrono::DateTime::from_timestamp(seconds, 0) else {
                return moment.zone_id.to_owned();
            };
            let short = zone.from_utc_datetime(&instant.naive_utc()).format("%Z").to_string();
            if count < 4 {
                return short;
            }
            match short.as_str() {
                "PST" => "Pacific Standard Time".into(),
                "PDT" => "Pacific Daylight Time".into(),
                "EST" => "Eastern Standard Time".into(),
                "EDT" => "Eastern Daylight Time".into(),
                "CET" => "Central European Standard Time".into(),
                "CEST" => "Central European Summer Time".into(),
                _ => short,
            }
        }
        Some(Zone::Fixed(0)) if count == 4 => "Coordinated Universal Time".into(),
        _ => moment.zone_id.to_owned(),
    }
}

fn offset(out: &mut String, letter: char, count: usize, seconds: i64) {
    if seconds == 0 && (letter == 'X' || (letter == 'Z' && count == 5)) {
        out.push('Z');
        return;
    }
    if letter == 'Z' && count == 4 {
        out.push_str("GMT");
        if seconds == 0 {
            return;
        }
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let total = seconds.abs();
    let (hours, minutes, rest) = (total / 3600, total / 60 % 60, total % 60);
    let style = if letter == 'Z' { if count < 4 { 2 } else { 3 } } else { count };
    match style {
        1 if minutes == 0 => out.push_str(&format!("{sign}{hours:02}")),
        1 | 2 => out.push_str(&format!("{sign}{hours:02}{minutes:02}")),
        3 => out.push_str(&format!("{sign}{hours:02}:{minutes:02}")),
        4 => {
            out.push_str(&format!("{sign}{hours:02}{minutes:02}"));
            if rest != 0 {
                out.push_str(&format!("{rest:02}"));
            }
        }
        _ => {
            out.push_str(&format!("{sign}{hours:02}:{minutes:02}"));
            if rest != 0 {
                out.push_str(&format!(":{rest:02}"));
            }
        }
    }
}

/// Fields gathered while reading.
#[derive(Debug, Clone, Default)]
struct Fields {
    year: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    quarter: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    weekday: Option<i64>,
    hour: Option<i64>,
    hour12: Option<i64>,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    zone: Option<Zone>,
}

impl Fields {
    fn resolve(&self) -> Option<Parsed> {
        let year = self.year.unwrap_or(1970);
        let year = if self.before_christ { 1 - year } else { year };
        let days = match self.day_of_year {
            Some(day) => {
                let length = if time::is_leap(year) { 366 } else { 365 };
                if !(1..=length).contains(&day) {
                    return None;
                }
                time::days_from_civil(year, 1, 1) + day - 1
            }
            None => {
                let month = self.month.or(self.quarter.map(|q| q * 3 - 2)).unwrap_or(1);
                let day = self.day.unwrap_or(1);
                let month = u32::try_from(month).ok()?;
                i64::from(time::checked_days(year, month, u32::try_from(day).ok()?)?)
            }
        };
        if self.weekday.is_some_and(|weekday| weekday != time::iso_weekday(days)) {
            return None;
        }
        let hour = match (self.hour, self.hour12, self.afternoon) {
            (Some(hour), ..) => hour,
            (None, Some(hour), Some(afternoon)) => hour % 12 + if afternoon { 12 } else { 0 },
            (None, Some(hour), None) => hour % 12,
            (None, None, Some(afternoon)) => i64::from(afternoon) * 12,
            (None, None, None) => 0,
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let clock = ((hour * 60 + self.minute) * 60 + self.second) * MICROS_PER_SECOND;
        Some(Parsed { local: days * MICROS_PER_DAY + clock + self.micros, zone: self.zone })
    }
}

fn digits(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least || count == 0 {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

fn read<'t>(items: &[Item], text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    let mut rest = text;
    for (index, item) in items.iter().enumerate() {
        match item {
            Item::Text(expected) => rest = strip_ignore_case(rest, expected)?,
            Item::Optional(inner) => {
                let mut trial = fields.clone();
                if let Some(after) = read(inner, rest, &mut trial) {
                    *fields = trial;
                    rest = after;
                }
            }
            Item::Field(letter, count) => {
                // Numbers right after one another have fixed widths.
                let adjacent = matches!(
                    items.get(index + 1),
                    Some(Item::Field(next, width))
                        if next.is_ascii_alphabetic()
                            && !matches!(next, 'E' | 'a' | 'G' | 'z' | 'V' | 'X' | 'x' | 'Z' | 'O')
                            && !(matches!(next, 'M' | 'L') && *width > 2)
                );
                rest = read_field(*letter, *count, adjacent, rest, fields)?;
            }
        }
    }
    Some(rest)
}

fn strip_ignore_case<'t>(text: &'t str, expected: &str) -> Option<&'t str> {
    let head = text.get(..expected.len())?;
    head.eq_ignore_ascii_case(expected).then(|| &text[expected.len()..])
}

fn named<'t>(text: &'t str, names: &[&str], short: bool) -> Option<(i64, &'t str)> {
    names.iter().enumerate().find_map(|(index, name)| {
        let name = if short { &name[..3] } else { name };
        strip_ignore_case(text, name).map(|rest| (index as i64 + 1, rest))
    })
}

fn read_field<'t>(
    letter: char,
    count: usize,
    adjacent: bool,
    text: &'t str,
    fields: &mut Fields,
) -> Option<&'t str> {
    let most = |free: usize| if adjacent { count } else { free };
    let small = |text: &'t str| digits(text, count.min(2), if count == 1 { most(2) } else { 2 });
    let inside = |value: i64, low: i64, high: i64| (low..=high).contains(&value).then_some(value);
    Some(match letter {
        'G' => {
            let (names, rest) = if let Some(rest) = strip_ignore_case(text, "BC") {
                (true, rest)
            } else {
                (false, strip_ignore_case(text, "AD")?)
            };
            fields.before_christ = names;
            rest
        }
        'y' => {
            let (negative, body) = match text.strip_prefix('-') {
                Some(body) => (true, body),
                None => (false, text.strip_prefix('+').unwrap_or(text)),
            };
            let (value, rest) = match count {
                2 => digits(body, 2, 2).map(|(value, rest)| (value + 2000, rest))?,
                1 => digits(body, 1, most(10))?,
                _ => digits(
                    body,
                    count,
                    most(if text.starts_with('+') { 10 } else { count.max(4) }),
                )?,
            };
            fields.year = Some(if negative { -value } else { value });
            rest
        }
        'M' | 'L' => {
            let (value, rest) = match count {
                1 | 2 => small(text)?,
                3 => named(text, &MONTHS, true)?,
                _ => named(text, &MONTHS, false)?,
            };
            fields.month = Some(inside(value, 1, 12)?);
            rest
        }
        'Q' | 'q' => {
            let body = if count == 3 { strip_ignore_case(text, "Q")? } else { text };
            let (value, rest) = digits(body, 1, 2)?;
            fields.quarter = Some(inside(value, 1, 4)?);
            rest
        }
        'd' => {
            let (value, rest) = small(text)?;
            fields.day = Some(value);
            rest
        }
        'D' => {
            let (value, rest) = digits(text, count, 3)?;
            fields.day_of_year = Some(value);
            rest
        }
        'E' => {
            let (value, rest) = named(text, &DAYS, count < 4)?;
            fields.weekday = Some(value);
            rest
        }
        'F' => digits(text, count, 2)?.1,
        'a' => {
            let (afternoon, rest) = if let Some(rest) = strip_ignore_case(text, "AM") {
                (false, rest)
            } else {
                (true, strip_ignore_case(text, "PM")?)
            };
            fields.afternoon = Some(afternoon);
            rest
        }
        'H' => {
            let (value, rest) = small(text)?;
            fields.hour = Some(inside(value, 0, 23)?);
            rest
        }
        'k' => {
            let (value, rest) = small(text)?;
            fields.hour = Some(inside(value, 1, 24)? % 24);
            rest
        }
        'h' => {
            let (value, rest) = small(text)?;
            fields.hour12 = Some(inside(value, 1, 12)?);
            rest
        }
        'K' => {
            let (value, rest) = small(text)?;
            fields.hour12 = Some(inside(value, 0, 11)?);
            rest
        }
        'm' => {
            let (value, rest) = small(text)?;
            fields.minute = inside(value, 0, 59)?;
            rest
        }
        's' => {
            let (value, rest) = small(text)?;
            fields.second = inside(value, 0, 59)?;
            rest
        }
        'S' => {
            let length = text.bytes().take(9).take_while(u8::is_ascii_digit).count();
            // A fraction of n letters reads up to n digits.
            if length == 0 || (adjacent && length < count) {
                return None;
            }
            let used = length.min(count);
            if length > count && !adjacent {
                return None;
            }
            let padded = format!("{:0<6}", &text[..used]);
            fields.micros = padded[..6].parse().ok()?;
            &text[used..]
        }
        'V' | 'z' => {
            let end = text
                .find(|c: char| {
                    !(c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-' | ':'))
                })
                .unwrap_or(text.len());
            fields.zone = Some(match &text[..end] {
                "PST" | "PDT" => Zone::parse("America/Los_Angeles")?,
                "EDT" => Zone::parse("America/New_York")?,
                "CET" | "CEST" => Zone::parse("Europe/Paris")?,
                id => Zone::parse(id)?,
            });
            &text[end..]
        }
        'X' | 'x' | 'Z' | 'O' => {
            let body = text.strip_prefix("GMT").unwrap_or(text);
            if let Some(rest) = body.strip_prefix('Z') {
                fields.zone = Some(Zone::Fixed(0));
                return Some(rest);
            }
            if !body.starts_with(['+', '-']) {
                if body.len() < text.len() {
                    fields.zone = Some(Zone::Fixed(0));
                    return Some(body);
                }
                return None;
            }
            let end = body[1..]
                .find(|c: char| !(c.is_ascii_digit() || c == ':'))
                .map_or(body.len(), |at| at + 1);
            fields.zone = Some(Zone::parse(&body[..end])?);
            &body[end..]
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(pattern: &str, text: &str) -> String {
        let local = time::parse_timestamp(text).unwrap().local;
        Pattern::parse(pattern).unwrap().format(local, Zone::Fixed(0), "UTC")
    }

    #[test]
    fn writes_as_java_does() {
        let moment = "2020-01-01 13:05:00.5";
        assert_eq!(format("EEEE, d MMM yyyy hh:mm a", moment), "Wednesday, 1 Jan 2020 01:05 PM");
        assert_eq!(format("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", moment), "2020-01-01T13:05:00.500Z");
        assert_eq!(format("D QQQ E yy", moment), "1 Q1 Wed 20");
    }

    #[test]
    fn reads_as_java_does() {
        let read = |pattern: &str, text: &str| {
            Pattern::parse(pattern)
                .unwrap()
                .read(text)
                .map(|parsed| time::timestamp_text(parsed.local))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("yyyy-MM-dd", "2020-01-31"), some("2020-01-31 00:00:00"));
        assert_eq!(read("yyyyMMddHHmm", "202001311205"), some("2020-01-31 12:05:00"));
        assert_eq!(read("d/M/yy h:mm a", "3/4/21 9:07 PM"), some("2021-04-03 21:07:00"));
        assert_eq!(read("yyyy-MM-dd[ HH:mm]", "2020-01-31"), some("2020-01-31 00:00:00"));
        assert_eq!(read("dd MMM yyyy", "31 feb 2020"), None);
        assert_eq!(read("yyyy-MM-dd", "2020-01-31x"), None);
        assert!(Pattern::parse("YYYY").is_err());
    }
}
