//! FORMAT_NUMBER, FORMAT_STRING, URLs.

use std::sync::LazyLock;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::{
    DataType as Arrow, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type,
};
use datafusion::common::Result;
use spark_sql_parser::error::{ErrorKind, SparkError};

use crate::decimal;
use crate::kernels::texts;
use crate::signature::{Function, Out, Ty, f};
use crate::text;
use crate::udf::{Args, Definition, fail};

pub(crate) const FUNCTIONS: &[Function] = &[
    f("format_number", &[Ty::Num, Ty::Any], Out::Str),
    f("format_string", &[Ty::Str, Ty::Any], Out::Str).repeated(1),
    f("printf", &[Ty::Str, Ty::Any], Out::Str).repeated(1).of("format_string"),
    f("parse_url", &[Ty::Str, Ty::Str, Ty::Str], Out::Str).optional(1),
    f("try_parse_url", &[Ty::Str, Ty::Str, Ty::Str], Out::Str).optional(1).of("parse_url").tries(),
];

pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition::nullable("format_number", format_number),
    Definition::strict("format_string", format_string).failing(),
    Definition::nullable("parse_url", parse_url).failing(),
];

/// A number's exact decimal text, without exponent.
fn plain(array: &ArrayRef, row: usize) -> Option<String> {
    macro_rules! whole {
        ($t:ty) => {
            array.as_primitive::<$t>().value(row).to_string()
        };
    }
    Some(match array.data_type() {
        Arrow::Int8 => whole!(Int8Type),
        Arrow::Int16 => whole!(Int16Type),
        Arrow::Int32 => whole!(Int32Type),
        Arrow::Int64 => whole!(Int64Type),
        Arrow::Decimal128(_, scale) => {
            decimal::text(array.as_primitive::<Decimal128Type>().value(row), i32::from(*scale))
        }
        Arrow::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            format!("{}", f64::from(value))
        }
        Arrow::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            if !value.is_finite() {
                return None;
            }
            format!("{value}")
        }
        _ => return None,
    })
}

/// Rounds a plain decimal text half to even, as `DecimalFormat` does.
fn round_even(number: &str, places: usize) -> (bool, String, String) {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|c| c - b'0').collect();
    let keep = whole.len() + places;
    if all.len() > keep {
        let rest = all.split_off(keep);
        let half = rest[0] == 5 && rest[1..].iter().all(|digit| *digit == 0);
        let up = if half { all.last().is_some_and(|d| d % 2 == 1) } else { rest[0] >= 5 };
        if up {
            let mut at = all.len();
            loop {
                if at == 0 {
                    all.insert(0, 1);
                    break;
                }
                at -= 1;
                if all[at] == 9 {
                    all[at] = 0;
                } else {
                    all[at] += 1;
                    break;
                }
            }
        }
    }
    let point = all.len().saturating_sub(places.min(fraction.len()));
    let text: String = all.iter().map(|d| char::from(d + b'0')).collect();
    let mut fraction = text[point..].to_owned();
    while fraction.len() < places {
        fraction.push('0');
    }
    (negative, text[..point].to_owned(), fraction)
}

fn grouped(whole: &str) -> String {
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn format_number(args: &Args) -> Result<ArrayRef> {
    let number = args.array(0)?;
    let style = args.array(1)?;
    let style_texts = style.as_string_opt::<i32>();
    let places = match style_texts {
        None => Some(arrow::compute::cast(&style, &Arrow::Int32)?),
        Some(_) => None,
    };
    texts(args.rows, |row| {
        if number.is_null(row) || style.is_null(row) {
            return Ok(None);
        }
        let Some(plain) = plain(&number, row) else { return Ok(Some("NaN".to_owned())) };
        if let Some(places) = &places {
            let places = places.as_primitive::<Int32Type>().value(row);
            let Ok(places) = usize::try_from(places) else { return Ok(None) };
            let (negative, whole, fraction) = round_even(&plain, places);
            return Ok(Some(assembled(negative, &grouped(&whole), &fraction)));
        }
        let pattern = style_texts.map_or("", |texts| texts.value(row));
        Ok(Some(patterned(&plain, pattern)))
    })
}

fn assembled(negative: bool, whole: &str, fraction: &str) -> String {
    let zero = !whole.bytes().chain(fraction.bytes()).any(|c| (b'1'..=b'9').contains(&c));
    let sign = if negative && !zero { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The common part of `DecimalFormat` patterns: `#`, `0`, `,` and `.`, with text around.
fn patterned(number: &str, pattern: &str) -> String {
    let pattern = if pattern.is_empty() { "#,###,###,###,###,###,##0" } else { pattern };
    let digit = |c: char| matches!(c, '#' | '0' | ',' | '.');
    let start = pattern.find(digit).unwrap_or(pattern.len());
    let end = pattern.rfind(digit).map_or(start, |at| at + 1);
    let (prefix, body, suffix) = (&pattern[..start], &pattern[start..end], &pattern[end..]);
    let (whole_part, fraction_part) = body.split_once('.').unwrap_or((body, ""));
    let most = fraction_part.chars().count();
    let least = fraction_part.matches('0').count();
    let (negative, whole, mut fraction) = round_even(number, most);
    while fraction.len() > least && fraction.ends_with('0') {
        fraction.pop();
    }
    let least_whole = whole_part.matches('0').count();
    let mut whole = whole.trim_start_matches('0').to_owned();
    while whole.len() < least_whole {
        whole.insert(0, '0');
    }
    if whole.is_empty() && fraction.is_empty() {
        whole.push('0');
    }
    let whole = if whole_part.contains(',') { grouped(&whole) } else { whole };
    let body = assembled(negative, &whole, &fraction);
    match body.strip_prefix('-') {
        Some(body) => format!("-{prefix}{body}{suffix}"),
        None => format!("{prefix}{body}{suffix}"),
    }
}

static SPECIFIER: LazyLock<Option<regex::Regex>> = LazyLock::new(|| {
    regex::Regex::new(r"%(?:(\d+)\$)?([-#+ 0,(<]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])([a-zA-Z])?").ok()
});

fn illegal(format: &str, detail: &str) -> SparkError {
    SparkError::new(
        ErrorKind::IllegalArgument,
        "INVALID_PARAMETER_VALUE.PRINTF_FORMAT",
        "22023",
        format!(
            "The value of parameter(s) `strfmt` in `format_string` is invalid: {detail} in '{format}'."
        ),
    )
}

/// `java.util.Formatter` with the conversions that Spark's values can take.
fn format_string(args: &Args) -> Result<ArrayRef> {
    let format = args.text(0)?;
    let values = (1..args.len()).map(|index| args.array(index)).collect::<Result<Vec<_>>>()?;
    let Some(specifier) = SPECIFIER.as_ref() else {
        return fail(crate::errors::internal("the pattern of format specifiers is broken"));
    };
    texts(args.rows, |row| {
        let Some(format) = format.get(row) else { return Ok(None) };
        let mut out = String::new();
        let (mut last, mut next) = (0, 0);
        for found in specifier.captures_iter(format) {
            let (Some(whole), Some(conversion)) = (found.get(0), found.get(5)) else { continue };
            out.push_str(&format[last..whole.start()]);
            // A second letter belongs to the text, except after %t.
            last = found.get(6).map_or(whole.end(), |letter| letter.start());
            let flags = found.get(2).map_or("", |m| m.as_str());
            let width: usize = found.get(3).and_then(|m| m.as_str().parse().ok()).unwrap_or(0);
            let precision = found.get(4).and_then(|m| m.as_str().parse::<usize>().ok());
            match conversion.as_str() {
                "%" => {
                    out.push('%');
                    continue;
                }
                "n" => {
                    out.push('\n');
                    continue;
                }
                _ => {}
            }
            let index = match found.get(1).and_then(|m| m.as_str().parse::<usize>().ok()) {
                Some(index) => index - 1,
                None => {
                    next += 1;
                    next - 1
                }
            };
            let Some(value) = values.get(index) else {
                return fail(illegal(format, &format!("Format specifier '{}'", whole.as_str())));
            };
            let shown = convert(value, row, conversion.as_str(), flags, precision, args)?;
            let Some(shown) = shown else {
                return fail(illegal(
                    format,
                    &format!("{} != {}", conversion.as_str(), value.data_type()),
                ));
            };
            out.push_str(&padded(&shown, flags, width));
        }
        out.push_str(&format[last..]);
        Ok(Some(out))
    })
}

fn padded(text: &str, flags: &str, width: usize) -> String {
    let length = text.chars().count();
    if length >= width {
        return text.to_owned();
    }
    let missing = width - length;
    if flags.contains('-') {
        return format!("{text}{}", " ".repeat(missing));
    }
    if flags.contains('0') {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (&text[..1], digits),
            None => ("", text),
        };
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    format!("{}{text}", " ".repeat(missing))
}

fn signed(negative: bool, digits: String, flags: &str) -> String {
    match (negative, flags) {
        (true, flags) if flags.contains('(') => format!("({digits})"),
        (true, _) => format!("-{digits}"),
        (false, flags) if flags.contains('+') => format!("+{digits}"),
        (false, flags) if flags.contains(' ') => format!(" {digits}"),
        (false, _) => digits,
    }
}

fn convert(
    array: &ArrayRef,
    row: usize,
    conversion: &str,
    flags: &str,
    precision: Option<usize>,
    args: &Args,
) -> Result<Option<String>> {
    let upper = conversion.chars().all(char::is_uppercase);
    if array.is_null(row) {
        let shown = if conversion.eq_ignore_ascii_case("b") { "false" } else { "null" };
        return Ok(Some(shown.to_owned()));
    }
    let whole = || -> Option<i64> {
        Some(match array.data_type() {
            Arrow::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
            Arrow::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
            Arrow::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
            Arrow::Int64 => array.as_primitive::<Int64Type>().value(row),
            _ => return None,
        })
    };
    let shown = match conversion.to_ascii_lowercase().as_str() {
        "d" => whole().map(|value| {
            let digits = value.unsigned_abs().to_string();
            let digits = if flags.contains(',') { grouped(&digits) } else { digits };
            signed(value < 0, digits, flags)
        }),
        "x" | "o" => whole().map(|value| {
            let narrow = !matches!(array.data_type(), Arrow::Int64);
            let hex = conversion.eq_ignore_ascii_case("x");
            match (narrow, hex) {
                (true, true) => format!("{:x}", value as i32),
                (false, true) => format!("{value:x}"),
                (true, false) => format!("{:o}", value as i32),
                (false, false) => format!("{value:o}"),
            }
        }),
        "c" => {
            whole().and_then(|value| char::from_u32(u32::try_from(value).ok()?)).map(String::from)
        }
        "b" => Some(match array.as_boolean_opt() {
            Some(flags) => flags.value(row).to_string(),
            None => "true".to_owned(),
        }),
        "f" => {
            let places = precision.unwrap_or(6);
            match array.data_type() {
                Arrow::Float32 | Arrow::Float64 | Arrow::Decimal128(..) => {
                    Some(match plain(array, row) {
                        None => text::double(array.as_primitive::<Float64Type>().value(row)),
                        Some(number) => {
                            let negative = number.starts_with('-');
                            let digits = number.trim_start_matches('-');
                            let unscaled =
                                decimal::parse(digits, i32::try_from(places).unwrap_or(6));
                            match unscaled {
                                Some(Ok(value)) => {
                                    let shown =
                                        decimal::text(value, i32::try_from(places).unwrap_or(6));
                                    let shown = if flags.contains(',') {
                                        let (whole, fraction) =
                                            shown.split_once('.').unwrap_or((&shown, ""));
                                        assembled(false, &grouped(whole), fraction)
                                    } else {
                                        shown
                                    };
                                    signed(negative, shown, flags)
                                }
                                _ => number,
                            }
                        }
                    })
                }
                _ => None,
            }
        }
        "e" => {
            let value = match array.data_type() {
                Arrow::Float64 => Some(array.as_primitive::<Float64Type>().value(row)),
                Arrow::Float32 => Some(array.as_primitive::<Float32Type>().value(row).into()),
                _ => None,
            };
            value.map(|value| {
                let text = format!("{:.*e}", precision.unwrap_or(6), value.abs());
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                let sign = if exponent < 0 { '-' } else { '+' };
                signed(value < 0.0, format!("{mantissa}e{sign}{:02}", exponent.abs()), flags)
            })
        }
        "s" => {
            let zone =
                crate::time::Zone::parse(&args.params.zone).unwrap_or(crate::time::Zone::Fixed(0));
            let options = crate::cast::Options { mode: crate::udf::Mode::Ansi, zone };
            let column = crate::cast::text_column(&array.slice(row, 1), options)?;
            let shown = column.as_string::<i32>().value(0);
            Some(match precision {
                Some(most) => shown.chars().take(most).collect(),
                None => shown.to_owned(),
            })
        }
        _ => None,
    };
    Ok(shown.map(|text| if upper { text.to_uppercase() } else { text }))
}

fn parse_url(args: &Args) -> Result<ArrayRef> {
    let (url, part) = (args.text(0)?, args.text(1)?);
    let key = match args.len() {
        3 => Some(args.text(2)?),
        _ => None,
    };
    texts(args.rows, |row| {
        let (Some(url), Some(part)) = (url.get(row), part.get(row)) else { return Ok(None) };
        if url.contains(' ') {
            if args.ansi() {
                return fail(
                    SparkError::new(
                        ErrorKind::IllegalArgument,
                        "INVALID_URL",
                        "22P02",
                        format!(
                            "The url is invalid: {url}. Use `try_parse_url` to tolerate invalid URL and return NULL instead."
                        ),
                    )
                    .with("url", url),
                );
            }
            return Ok(None);
        }
        let found = url_part(url, part);
        Ok(match &key {
            None => found.map(str::to_owned),
            Some(key) => match (key.get(row), part) {
                (Some(key), "QUERY") => found.and_then(|query| {
                    query.split('&').find_map(|pair| {
                        let (name, value) = pair.split_once('=')?;
                        (name == key).then(|| value.to_owned())
                    })
                }),
                _ => None,
            },
        })
    })
}

fn url_part<'u>(url: &'u str, part: &str) -> Option<&'u str> {
    let (rest, reference) = match url.split_once('#') {
        Some((rest, reference)) => (rest, Some(reference)),
        None => (url, None),
    };
    let (before, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let (protocol, hierarchy) = match before.split_once("://") {
        Some((protocol, rest)) => (Some(protocol), rest),
        None => (None, before),
    };
    let slash = if protocol.is_some() { hierarchy.find('/') } else { Some(0) };
    let (authority, path) = match slash {
        Some(at) => hierarchy.split_at(at),
        None => (hierarchy, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    match part {
        "HOST" => {
            let host = host.split(':').next().unwrap_or(host);
            (!host.is_empty()).then_some(host)
        }
        "PATH" => Some(path),
        "QUERY" => query,
        "REF" => reference,
        "PROTOCOL" => protocol,
        "FILE" => {
            let start = url.len() - rest.len() + (before.len() - path.len());
            Some(&url[start..start + path.len() + query.map_or(0, |q| q.len() + 1)])
        }
        "AUTHORITY" => (!authority.is_empty()).then_some(authority),
        "USERINFO" => user,
        _ => None,
    }
}
