//! Spark's datetime patterns, a subset of `java.time.format.DateTimeFormatter`, strict.

use super::datetime::{
    MICROS_PER_DAY, MICROS_PER_SECOND, ParsedTimestamp, civil_to_days, days_to_civil,
};
use super::zone::Zone;

const MONTHS: [&str; 12] = [
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
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Text(String),
    /// Letter and how often it stands there.
    Field(char, usize),
    Optional(Vec<Self>),
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    items: Vec<Item>,
}

/// What parsing has found so far.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    year: Option<i64>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    quarter: Option<u32>,
    weekday: Option<u32>,
    hour: Option<i64>,
    /// Hour of half a day, 0 to 11.
    hour_of_half: Option<i64>,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    micros: Option<i64>,
    zone: Option<Zone>,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A sentence that names the letter which cannot be used.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let mut chars = text.chars().peekable();
        let items = compile(&mut chars, 0)?;
        Ok(Self { items })
    }

    /// `yyyy-MM-dd`.
    pub(crate) fn date_default() -> Self {
        let field = |letter, count| Item::Field(letter, count);
        let dash = || Item::Text("-".into());
        Self { items: vec![field('y', 4), dash(), field('M', 2), dash(), field('d', 2)] }
    }

    /// Days since 1970-01-01, if the whole text fits.
    pub(crate) fn parse_date(&self, text: &str) -> Option<i32> {
        i32::try_from(self.parse(text)?.days()?).ok()
    }

    /// Wall-clock time and zone, if the whole text fits.
    pub(crate) fn parse_timestamp(&self, text: &str) -> Option<ParsedTimestamp> {
        let found = self.parse(text)?;
        let local_micros = found.days()?.checked_mul(MICROS_PER_DAY)?.checked_add(found.time()?)?;
        Some(ParsedTimestamp { local_micros, zone: found.zone })
    }

    fn parse(&self, text: &str) -> Option<Found> {
        let mut found = Found::default();
        let rest = parse_items(&self.items, text, &mut found)?;
        rest.is_empty().then_some(found)
    }

    /// Appends a date.
    pub(crate) fn write_date(&self, out: &mut Vec<u8>, days: i64) {
        self.write(out, days * MICROS_PER_DAY, Some(Zone::UTC), 0);
    }

    /// Appends an instant as seen in a zone.
    pub(crate) fn write_instant(&self, out: &mut Vec<u8>, micros: i64, zone: Zone) {
        let offset = zone.offset_at(micros.div_euclid(MICROS_PER_SECOND));
        self.write(out, zone.to_local(micros), Some(zone), offset);
    }

    /// Appends a wall-clock time; parts about a zone in optional sections are left out.
    pub(crate) fn write_local(&self, out: &mut Vec<u8>, local_micros: i64) {
        self.write(out, local_micros, None, 0);
    }

    fn write(&self, out: &mut Vec<u8>, local_micros: i64, zone: Option<Zone>, offset: i32) {
        write_items(&self.items, out, local_micros, zone, offset);
    }
}

fn compile(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    depth: usize,
) -> Result<Vec<Item>, String> {
    let mut items: Vec<Item> = Vec::new();
    let push_text = |items: &mut Vec<Item>, c: char| match items.last_mut() {
        Some(Item::Text(text)) => text.push(c),
        _ => items.push(Item::Text(c.to_string())),
    };
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.peek() == Some(&'\'') => {
                chars.next();
                push_text(&mut items, '\'');
            }
            '\'' => loop {
                match chars.next() {
                    None => return Err("a quoted text is not closed".into()),
                    Some('\'') if chars.peek() == Some(&'\'') => {
                        chars.next();
                        push_text(&mut items, '\'');
                    }
                    Some('\'') => break,
                    Some(inner) => push_text(&mut items, inner),
                }
            },
            '[' => items.push(Item::Optional(compile(chars, depth + 1)?)),
            ']' if depth > 0 => return Ok(items),
            ']' => return Err("there is a ']' without a '['".into()),
            'a'..='z' | 'A'..='Z' => {
                let mut count = 1;
                while chars.peek() == Some(&c) {
                    chars.next();
                    count += 1;
                }
                if !"yuMLdDQqEaHhKkmsSXxZzVO".contains(c) {
                    return Err(format!(
                        "the letter '{c}' is not a Spark 3 datetime pattern letter"
                    ));
                }
                items.push(Item::Field(if c == 'u' { 'y' } else { c }, count));
            }
            '{' | '}' | '#' => return Err(format!("the character '{c}' is reserved")),
            other => push_text(&mut items, other),
        }
    }
    if depth > 0 {
        return Err("a '[' is not closed".into());
    }
    Ok(items)
}

/// Parses items in turn; an optional section that does not fit is passed over.
fn parse_items<'a>(items: &[Item], text: &'a str, found: &mut Found) -> Option<&'a str> {
    let mut rest = text;
    for (index, item) in items.iter().enumerate() {
        rest = match item {
            Item::Text(expected) => {
                let head = rest.get(..expected.len())?;
                head.eq_ignore_ascii_case(expected).then(|| &rest[expected.len()..])?
            }
            Item::Optional(inner) => {
                let mut attempt = *found;
                match parse_items(inner, rest, &mut attempt) {
                    Some(after) => {
                        *found = attempt;
                        after
                    }
                    None => rest,
                }
            }
            Item::Field(letter, count) => {
                let reserved = reserved_digits(&items[index + 1..]);
                parse_field(*letter, *count, reserved, rest, found)?
            }
        };
    }
    Some(rest)
}

/// Digits that fixed-width fields directly behind a variable one need for themselves.
fn reserved_digits(items: &[Item]) -> usize {
    items
        .iter()
        .map_while(|item| match item {
            Item::Field('M' | 'L' | 'd' | 'H' | 'h' | 'K' | 'k' | 'm' | 's', 2) => Some(2),
            Item::Field('y', 2) => Some(2),
            Item::Field('S', count) => Some(*count),
            Item::Field('D', 3) => Some(3),
            _ => None,
        })
        .sum()
}

fn number(text: &str, min: usize, max: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take(max).take_while(u8::is_ascii_digit).count();
    if count < min || count == 0 {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

fn name<'a>(text: &'a str, names: &[&str], short: bool) -> Option<(u32, &'a str)> {
    for (index, full) in names.iter().enumerate() {
        let wanted = if short { &full[..3] } else { full };
        if text.get(..wanted.len()).is_some_and(|head| head.eq_ignore_ascii_case(wanted)) {
            return Some((index as u32 + 1, &text[wanted.len()..]));
        }
    }
    None
}

fn parse_field<'a>(
    letter: char,
    count: usize,
    reserved: usize,
    text: &'a str,
    found: &mut Found,
) -> Option<&'a str> {
    // A field of one letter takes what digits there are, of two letters exactly two.
    let short_number = |text: &'a str| {
        if count == 1 { variable(text, reserved) } else { number(text, count, count) }
    };
    match letter {
        'y' => {
            let (sign, body) = match text.as_bytes().first()? {
                b'-' => (-1, &text[1..]),
                b'+' => (1, &text[1..]),
                _ => (1, text),
            };
            let (year, rest) = match count {
                2 => number(body, 2, 2).map(|(year, rest)| (2000 + year, rest))?,
                1 => variable(body, reserved)?,
                _ if sign == 1 && body.len() == text.len() => {
                    number(body, count, count.max(if count == 4 { 4 } else { 6 }))?
                }
                _ => number(body, count, 9)?,
            };
            found.year = Some(sign * year);
            Some(rest)
        }
        'M' | 'L' => {
            let (month, rest) = match count {
                3 => name(text, &MONTHS, true)?,
                4 => name(text, &MONTHS, false)?,
                _ => short_number(text).map(|(value, rest)| (value as u32, rest))?,
            };
            found.month = Some(month);
            Some(rest)
        }
        'd' => short_number(text).map(|(value, rest)| {
            found.day = Some(value as u32);
            rest
        }),
        'D' => short_number(text).map(|(value, rest)| {
            found.day_of_year = Some(value as u32);
            rest
        }),
        'Q' | 'q' => {
            let body = if count == 3 { text.strip_prefix('Q')? } else { text };
            let (value, rest) = number(body, 1, 2)?;
            found.quarter = Some(value as u32);
            Some(rest)
        }
        'E' => {
            let (day, rest) = name(text, &DAYS, count < 4)?;
            found.weekday = Some(day);
            Some(rest)
        }
        'a' => {
            let half = text.get(..2)?;
            found.afternoon = Some(match half.to_ascii_uppercase().as_str() {
                "AM" => false,
                "PM" => true,
                _ => return None,
            });
            Some(&text[2..])
        }
        'H' | 'k' => {
            let (value, rest) = short_number(text)?;
            let highest = if letter == 'k' { 1..=24 } else { 0..=23 };
            highest.contains(&value).then(|| {
                found.hour = Some(value % 24);
                rest
            })
        }
        'h' | 'K' => {
            let (value, rest) = short_number(text)?;
            let range = if letter == 'h' { 1..=12 } else { 0..=11 };
            range.contains(&value).then(|| {
                found.hour_of_half = Some(value % 12);
                rest
            })
        }
        'm' | 's' => {
            let (value, rest) = short_number(text)?;
            if value > 59 {
                return None;
            }
            if letter == 'm' {
                found.minute = Some(value);
            } else {
                found.second = Some(value);
            }
            Some(rest)
        }
        'S' => {
            let (_, rest) = number(text, count, count)?;
            let digits: String =
                text[..count].chars().chain(std::iter::repeat('0')).take(6).collect();
            found.micros = digits.parse().ok();
            Some(rest)
        }
        'X' | 'x' | 'Z' | 'O' => {
            let (zone, rest) = parse_offset(letter, text)?;
            found.zone = Some(zone);
            Some(rest)
        }
        'z' | 'V' => {
            let end = text
                .find(|c: char| !(c.is_ascii_alphanumeric() || "/_+-:".contains(c)))
                .unwrap_or(text.len());
            found.zone = Some(Zone::parse(&text[..end])?);
            Some(&text[end..])
        }
        _ => None,
    }
}

fn variable(text: &str, reserved: usize) -> Option<(i64, &str)> {
    let all = text.bytes().take(18).take_while(u8::is_ascii_digit).count();
    let take = all.checked_sub(reserved).filter(|count| *count > 0)?;
    number(text, take, take)
}

fn parse_offset(letter: char, text: &str) -> Option<(Zone, &str)> {
    if letter == 'X'
        && let Some(rest) = text.strip_prefix(['Z', 'z'])
    {
        return Some((Zone::UTC, rest));
    }
    let body = if letter == 'O' { text.strip_prefix("GMT")? } else { text };
    if !body.starts_with(['+', '-']) {
        return (letter == 'O').then_some((Zone::UTC, body));
    }
    let end =
        1 + body[1..].find(|c: char| !(c.is_ascii_digit() || c == ':')).unwrap_or(body.len() - 1);
    Some((Zone::parse(&body[..end])?, &body[end..]))
}

impl Found {
    /// The day, missing parts taken from 1970-01-01; `None` for impossible or contradicting parts.
    fn days(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let days = match self.day_of_year {
            Some(day) if self.month.is_none() => {
                let days = civil_to_days(year, 1, 1)? + i64::from(day) - 1;
                (day > 0 && days_to_civil(days).0 == year).then_some(days)?
            }
            _ => {
                let month = self.month.or(self.quarter.map(|quarter| quarter * 3 - 2)).unwrap_or(1);
                civil_to_days(year, month, self.day.unwrap_or(1))?
            }
        };
        let weekday = ((days + 3).rem_euclid(7) + 1) as u32;
        self.weekday.is_none_or(|day| day == weekday).then_some(days)
    }

    /// Microseconds of the day.
    fn time(&self) -> Option<i64> {
        let hour = match (self.hour, self.hour_of_half, self.afternoon) {
            (Some(hour), _, _) => hour,
            (None, Some(hour), afternoon) => hour + if afternoon? { 12 } else { 0 },
            (None, None, _) => 0,
        };
        let seconds = hour * 3600 + self.minute.unwrap_or(0) * 60 + self.second.unwrap_or(0);
        Some(seconds * MICROS_PER_SECOND + self.micros.unwrap_or(0))
    }
}

fn needs_zone(items: &[Item]) -> bool {
    items.iter().any(|item| matches!(item, Item::Field('X' | 'x' | 'Z' | 'z' | 'V' | 'O', _)))
}

fn write_items(
    items: &[Item],
    out: &mut Vec<u8>,
    local_micros: i64,
    zone: Option<Zone>,
    offset: i32,
) {
    for item in items {
        match item {
            Item::Text(text) => out.extend_from_slice(text.as_bytes()),
            Item::Optional(inner) if zone.is_none() && needs_zone(inner) => {}
            Item::Optional(inner) => write_items(inner, out, local_micros, zone, offset),
            Item::Field(letter, count) => {
                write_field(*letter, *count, out, local_micros, zone, offset);
            }
        }
    }
}

fn write_field(
    letter: char,
    count: usize,
    out: &mut Vec<u8>,
    local_micros: i64,
    zone: Option<Zone>,
    offset: i32,
) {
    let days = local_micros.div_euclid(MICROS_PER_DAY);
    let of_day = local_micros.rem_euclid(MICROS_PER_DAY);
    let second = of_day / MICROS_PER_SECOND;
    let (year, month, day) = days_to_civil(days);
    let padded = |out: &mut Vec<u8>, value: i64| {
        out.extend_from_slice(format!("{value:0count$}").as_bytes());
    };
    let named = |out: &mut Vec<u8>, name: &str, short: bool| {
        out.extend_from_slice(if short { &name.as_bytes()[..3] } else { name.as_bytes() });
    };
    let month_index = month as usize - 1;
    match letter {
        'y' if count == 2 => padded(out, year.rem_euclid(100)),
        'y' if year < 0 => out.extend_from_slice(format!("-{:0count$}", -year).as_bytes()),
        'y' => {
            if count == 4 && year > 9999 {
                out.push(b'+');
            }
            padded(out, year);
        }
        'M' | 'L' if count == 3 => named(out, MONTHS[month_index], true),
        'M' | 'L' if count == 4 => named(out, MONTHS[month_index], false),
        'M' | 'L' => padded(out, i64::from(month)),
        'd' => padded(out, i64::from(day)),
        'D' => padded(out, days - civil_to_days(year, 1, 1).unwrap_or(days) + 1),
        'Q' | 'q' => padded(out, i64::from((month - 1) / 3 + 1)),
        'E' => named(out, DAYS[(days + 3).rem_euclid(7) as usize], count < 4),
        'a' => out.extend_from_slice(if second < 43_200 { b"AM" } else { b"PM" }),
        'H' => padded(out, second / 3600),
        'k' => padded(out, (second / 3600 + 23) % 24 + 1),
        'K' => padded(out, second / 3600 % 12),
        'h' => padded(out, (second / 3600 + 11) % 12 + 1),
        'm' => padded(out, second / 60 % 60),
        's' => padded(out, second % 60),
        'S' => {
            let digits = format!("{:06}000", of_day % MICROS_PER_SECOND);
            out.extend_from_slice(&digits.as_bytes()[..count.min(9)]);
        }
        'X' | 'x' | 'Z' | 'O' => write_offset(letter, count, out, offset),
        _ => match zone {
            Some(Zone::Region(region)) => out.extend_from_slice(region.name().as_bytes()),
            _ if offset == 0 => out.extend_from_slice(b"UTC"),
            _ => write_offset('x', 3, out, offset),
        },
    }
}

fn write_offset(letter: char, count: usize, out: &mut Vec<u8>, offset: i32) {
    if offset == 0 && letter == 'X' {
        out.push(b'Z');
        return;
    }
    if letter == 'O' {
        out.extend_from_slice(b"GMT");
        if offset == 0 {
            return;
        }
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    let text = match (letter, count) {
        ('X' | 'x', 1) if minutes == 0 => format!("{sign}{hours:02}"),
        ('X' | 'x', 1 | 2 | 4) | ('Z', 1..=3) => format!("{sign}{hours:02}{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}"),
    };
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::datetime::show_local;

    fn parsed(pattern: &str, text: &str) -> Option<String> {
        let pattern = Pattern::new(pattern).unwrap();
        pattern.parse_timestamp(text).map(|found| show_local(found.to_instant(Zone::UTC)))
    }

    #[test]
    fn patterns_parse() {
        for (pattern, text, expected) in [
            ("yyyy-MM-dd", "2020-01-02", Some("2020-01-02 00:00:00")),
            ("yyyy-MM-dd", "2020-1-2", None),
            ("yyyy-M-d", "2020-1-12", Some("2020-01-12 00:00:00")),
            ("dd/MM/yyyy HH:mm", "05/03/2021 17:08", Some("2021-03-05 17:08:00")),
            ("yyyyMMdd", "20200102", Some("2020-01-02 00:00:00")),
            ("yyyyMMddHHmmssSSS", "20200102030405678", Some("2020-01-02 03:04:05.678")),
            ("yy-MM-dd", "21-02-03", Some("2021-02-03 00:00:00")),
            ("d MMM yyyy", "3 feb 2021", Some("2021-02-03 00:00:00")),
            ("MMMM d, yyyy hh:mm a", "May 4, 2021 12:30 PM", Some("2021-05-04 12:30:00")),
            (
                "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]",
                "2021-05-04T01:02:03",
                Some("2021-05-04 01:02:03"),
            ),
            (
                "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]",
                "2021-05-04T01:02:03.250+01:00",
                Some("2021-05-04 00:02:03.25"),
            ),
            ("yyyy-MM-dd", "2021-02-30", None),
            ("yyyy-DDD", "2021-032", Some("2021-02-01 00:00:00")),
        ] {
            assert_eq!(parsed(pattern, text).as_deref(), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn patterns_write() {
        let micros = 1_577_970_300_000_000; // 2020-01-02 13:05:00 UTC
        for (pattern, expected) in [
            ("EEEE, d MMM yyyy hh:mm a", "Thursday, 2 Jan 2020 02:05 PM"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2020-01-02T14:05:00.000+01:00"),
            ("yy/D/Q 'at' K", "20/2/1 at 2"),
        ] {
            let mut out = Vec::new();
            let zone = Zone::parse("Europe/Berlin").unwrap();
            Pattern::new(pattern).unwrap().write_instant(&mut out, micros, zone);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn wrong_patterns_say_why() {
        assert!(Pattern::new("yyyy-bb").unwrap_err().contains("'b'"));
        assert!(Pattern::new("[yyyy").is_err());
    }
}
