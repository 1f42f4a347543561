//! Functions of text.

mod format;
mod patterns;

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BinaryArray};
use arrow::datatypes::{DataType as Arrow, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::cast::implicit;
use crate::kernels::{booleans, bytes, numbers, texts};
use crate::signature::{Call, Function, Out, Ty, f};
use crate::types::is_string;
use crate::udf::{Args, Definition, TextColumn};

pub(crate) use format::{DEFINITIONS as FORMAT_DEFINITIONS, FUNCTIONS as FORMAT_FUNCTIONS};
pub(crate) use patterns::{
    DEFINITIONS as PATTERN_DEFINITIONS, FUNCTIONS as PATTERN_FUNCTIONS, build as build_pattern,
};

pub(crate) const FUNCTIONS: &[Function] = &[
    f("upper", &[Ty::Str], Out::Str),
    f("ucase", &[Ty::Str], Out::Str).of("upper"),
    f("lower", &[Ty::Str], Out::Str),
    f("lcase", &[Ty::Str], Out::Str).of("lower"),
    f("btrim", &[Ty::Str, Ty::Str], Out::Str).optional(1),
    f("lpad", &[Ty::Str, Ty::Int, Ty::Str], Out::Str).optional(1),
    f("rpad", &[Ty::Str, Ty::Int, Ty::Str], Out::Str).optional(1),
    f("length", &[Ty::StrOrBin], Out::Int),
    f("len", &[Ty::StrOrBin], Out::Int).of("length"),
    f("char_length", &[Ty::StrOrBin], Out::Int).of("length"),
    f("character_length", &[Ty::StrOrBin], Out::Int).of("length"),
    f("octet_length", &[Ty::StrOrBin], Out::Int),
    f("bit_length", &[Ty::StrOrBin], Out::Int),
    f("substring", &[Ty::StrOrBin, Ty::Int, Ty::Int], Out::Same(0)).optional(1),
    f("substr", &[Ty::StrOrBin, Ty::Int, Ty::Int], Out::Same(0)).optional(1).of("substring"),
    f("left", &[Ty::Str, Ty::Int], Out::Str),
    f("right", &[Ty::Str, Ty::Int], Out::Str),
    f("instr", &[Ty::Str, Ty::Str], Out::Int),
    f("locate", &[Ty::Str, Ty::Str, Ty::Int], Out::Int).optional(1),
    f("position", &[Ty::Str, Ty::Str, Ty::Int], Out::Int).optional(1).of("locate"),
    f("charindex", &[Ty::Str, Ty::Str, Ty::Int], Out::Int).optional(1).of("locate"),
    f("find_in_set", &[Ty::Str, Ty::Str], Out::Int),
    f("replace", &[Ty::Str, Ty::Str, Ty::Str], Out::Str).optional(1),
    f("translate", &[Ty::Str, Ty::Str, Ty::Str], Out::Str),
    f("overlay", &[Ty::Str, Ty::Str, Ty::Int, Ty::Int], Out::Str).optional(1),
    f("initcap", &[Ty::Str], Out::Str),
    f("repeat", &[Ty::Str, Ty::Int], Out::Str),
    f("ascii", &[Ty::Str], Out::Int),
    f("char", &[Ty::Long], Out::Str),
    f("chr", &[Ty::Long], Out::Str).of("char"),
    f("space", &[Ty::Int], Out::Str),
    f("startswith", &[Ty::StrOrBin, Ty::StrOrBin], Out::Bool),
    f("endswith", &[Ty::StrOrBin, Ty::StrOrBin], Out::Bool),
    f("contains", &[Ty::StrOrBin, Ty::StrOrBin], Out::Bool),
    f("substring_index", &[Ty::Str, Ty::Str, Ty::Int], Out::Str),
    f("split_part", &[Ty::Str, Ty::Str, Ty::Int], Out::Str),
    f("levenshtein", &[Ty::Str, Ty::Str, Ty::Int], Out::Int).optional(1),
    f("soundex", &[Ty::Str], Out::Str),
    f("luhn_check", &[Ty::Str], Out::Bool),
    f("mask", &[Ty::Str, Ty::Str, Ty::Str, Ty::Str, Ty::Str], Out::Str).optional(4),
    f("quote", &[Ty::Str], Out::Str),
    f("is_valid_utf8", &[Ty::Str], Out::Bool),
    f("make_valid_utf8", &[Ty::Str], Out::Str).of("same_text"),
    f("validate_utf8", &[Ty::Str], Out::Str).of("same_text"),
    f("try_validate_utf8", &[Ty::Str], Out::Str).of("same_text"),
    f("collate", &[Ty::Str, Ty::Str], Out::Str).of("same_text"),
];

pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition::strict("upper", |args| map_text(args, |s| s.to_uppercase())),
    Definition::strict("lower", |args| map_text(args, |s| s.to_lowercase())),
    Definition::strict("btrim", |args| trim(args, 0, Some(1), true, true)),
    Definition::strict("trim", |args| trim(args, 0, Some(1), true, true)),
    Definition::strict("ltrim", |args| trim(args, 0, Some(1), true, false)),
    Definition::strict("rtrim", |args| trim(args, 0, Some(1), false, true)),
    Definition::strict("lpad", |args| pad(args, true)),
    Definition::strict("rpad", |args| pad(args, false)),
    Definition::strict("length", length),
    Definition::strict("octet_length", |args| byte_length(args, 1)),
    Definition::strict("bit_length", |args| byte_length(args, 8)),
    Definition::strict("substring", substring),
    Definition::strict("left", |args| edge(args, true)),
    Definition::strict("right", |args| edge(args, false)),
    Definition::strict("instr", |args| locate(args, 0, 1)),
    Definition::nullable("locate", |args| locate(args, 1, 0)),
    Definition::strict("find_in_set", find_in_set),
    Definition::strict("replace", replace),
    Definition::strict("translate", translate),
    Definition::strict("overlay", overlay),
    Definition::strict("initcap", |args| map_text(args, initcap)),
    Definition::strict("repeat", repeat),
    Definition::strict("ascii", |args| {
        let text = args.text(0)?;
        numbers::<Int32Type>(args.rows, |row| {
            Ok(text.get(row).map(|s| s.chars().next().map_or(0, |c| c as i32)))
        })
    }),
    Definition::strict("char", character),
    Definition::strict("space", |args| {
        let count = args.numbers::<Int32Type>(0)?;
        texts(args.rows, |row| {
            Ok(count.get(row).map(|n| " ".repeat(usize::try_from(n).unwrap_or(0))))
        })
    }),
    Definition::strict("startswith", |args| test(args, |s, t| s.starts_with(t))),
    Definition::strict("endswith", |args| test(args, |s, t| s.ends_with(t))),
    Definition::strict("contains", |args| test(args, contains)),
    Definition::strict("substring_index", substring_index),
    Definition::strict("split_part", split_part).failing(),
    Definition::strict("levenshtein", levenshtein),
    Definition::strict("soundex", |args| map_text(args, soundex)),
    Definition::strict("luhn_check", |args| {
        let text = args.text(0)?;
        booleans(args.rows, |row| Ok(text.get(row).map(luhn)))
    }),
    Definition::nullable("mask", mask),
    Definition::strict("quote", |args| {
        map_text(args, |s| format!("'{}'", s.replace('\\', "\\\\").replace('\'', "\\'")))
    }),
    Definition::strict("is_valid_utf8", |args| {
        let text = args.text(0)?;
        booleans(args.rows, |row| Ok(text.get(row).map(|_| true)))
    }),
    Definition::strict("same_text", |args| args.array(0)),
    Definition::strict("concat", concat),
    Definition::nullable("concat_ws", concat_ws),
    Definition::nullable("elt", elt).failing(),
    Definition::strict("reverse", |args| map_text(args, |s| s.chars().rev().collect::<String>())),
    Definition::strict("reverse_binary", |args| {
        let array = args.array(0)?;
        let input = array.as_binary::<i32>();
        bytes(args.rows, |row| {
            Ok((!input.is_null(row))
                .then(|| input.value(row).iter().rev().copied().collect::<Vec<u8>>()))
        })
    }),
];

/// Functions whose argument order or types need code.
pub(crate) fn build(call: &Call) -> std::result::Result<Option<Expr>, SparkError> {
    match call.name {
        // TRIM(t FROM s) arrives as trim(t, s), as Spark's constructors have it.
        "trim" | "ltrim" | "rtrim" => {
            call.arity(1, 2)?;
            let source = call.coerced(call.len() - 1, &DataType::String)?;
            let mut args = vec![source];
            if call.len() == 2 {
                args.push(call.coerced(0, &DataType::String)?);
            }
            call.ours(call.name, args, &DataType::String).map(Some)
        }
        "concat" | "||" => concatenation(call).map(Some),
        "concat_ws" => {
            call.arity(1, usize::MAX)?;
            let mut args = Vec::with_capacity(call.len());
            for (index, given) in call.types.iter().enumerate() {
                let to = match given {
                    DataType::Array { contains_null, .. } if index > 0 => DataType::Array {
                        element: Box::new(DataType::String),
                        contains_null: *contains_null,
                    },
                    _ => DataType::String,
                };
                args.push(call.coerced(index, &to)?);
            }
            call.ours("concat_ws", args, &DataType::String).map(Some)
        }
        "elt" => {
            call.arity(2, usize::MAX)?;
            let mut args = vec![call.coerced(0, &DataType::Integer)?];
            let binary = call.types[1..].iter().all(|t| *t == DataType::Binary);
            let out = if binary { DataType::Binary } else { DataType::String };
            for index in 1..call.len() {
                args.push(implicit(call.args[index].clone(), &out, call.ctx)?);
            }
            call.ours("elt", args, &out).map(Some)
        }
        "reverse" if !matches!(call.types.first(), Some(DataType::Array { .. })) => {
            call.arity(1, 1)?;
            if call.types[0] == DataType::Binary {
                let args = vec![call.args[0].clone()];
                return call.ours("reverse_binary", args, &DataType::Binary).map(Some);
            }
            let args = vec![call.coerced(0, &DataType::String)?];
            call.ours("reverse", args, &DataType::String).map(Some)
        }
        _ => Ok(None),
    }
}

fn concatenation(call: &Call) -> std::result::Result<Expr, SparkError> {
    let empty = || Expr::Literal(ScalarValue::Utf8(Some(String::new())), None);
    if call.args.is_empty() {
        return Ok(empty());
    }
    if call.types.iter().any(|t| matches!(t, DataType::Array { .. })) {
        let common = crate::widen(&call.types)
            .ok_or_else(|| call.wrong_type(0, "\"STRING\" or \"BINARY\" or \"ARRAY\""))?;
        let args = call
            .args
            .iter()
            .map(|arg| implicit(arg.clone(), &common, call.ctx))
            .collect::<std::result::Result<_, _>>()?;
        return call.ours("array_concat", args, &common);
    }
    let binary = call.types.iter().all(|t| *t == DataType::Binary);
    let out = if binary { DataType::Binary } else { DataType::String };
    let args = (0..call.len())
        .map(|index| call.coerced(index, &out))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    if let [only] = args.as_slice()
        && is_string(&out)
    {
        return Ok(only.clone());
    }
    call.ours("concat", args, &out)
}

/// Applies a function to each text.
pub(crate) fn map_text<S: AsRef<str>>(args: &Args, change: impl Fn(&str) -> S) -> Result<ArrayRef> {
    let text = args.text(0)?;
    texts(args.rows, |row| Ok(text.get(row).map(&change)))
}

fn trim(
    args: &Args,
    source: usize,
    set: Option<usize>,
    front: bool,
    back: bool,
) -> Result<ArrayRef> {
    let text = args.text(source)?;
    let set = match set {
        Some(index) if index < args.len() => args.text(index)?,
        _ => TextColumn::Same(Some(" ".to_owned())),
    };
    let array;
    let borrowed = match &text {
        TextColumn::Each(column) => column,
        TextColumn::Same(value) => {
            array = arrow::array::StringArray::from(vec![value.as_deref(); args.rows]);
            &array
        }
    };
    texts(args.rows, |row| {
        let value = (!borrowed.is_null(row)).then(|| borrowed.value(row));
        Ok(match (value, set.get(row)) {
            (Some(mut s), Some(set)) => {
                if front {
                    s = s.trim_start_matches(|c| set.contains(c));
                }
                if back {
                    s = s.trim_end_matches(|c| set.contains(c));
                }
                Some(s)
            }
            _ => None,
        })
    })
}

fn pad(args: &Args, left: bool) -> Result<ArrayRef> {
    let (text, width) = (args.text(0)?, args.numbers::<Int32Type>(1)?);
    let fill = match args.len() {
        2 => TextColumn::Same(Some(" ".to_owned())),
        _ => args.text(2)?,
    };
    texts(args.rows, |row| {
        let (Some(s), Some(width), Some(fill)) = (text.get(row), width.get(row), fill.get(row))
        else {
            return Ok(None);
        };
        let width = usize::try_from(width).unwrap_or(0);
        let length = s.chars().count();
        if length >= width || fill.is_empty() {
            return Ok(Some(s.chars().take(width).collect::<String>()));
        }
        let padding: String = fill.chars().cycle().take(width - length).collect();
        Ok(Some(if left { format!("{padding}{s}") } else { format!("{s}{padding}") }))
    })
}

fn length(args: &Args) -> Result<ArrayRef> {
    if args.arrow_type(0) == Arrow::Binary {
        return byte_length(args, 1);
    }
    let text = args.text(0)?;
    numbers::<Int32Type>(args.rows, |row| {
        Ok(text.get(row).map(|s| i32::try_from(s.chars().count()).unwrap_or(i32::MAX)))
    })
}

fn byte_length(args: &Args, unit: i32) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let array = arrow::compute::cast(&array, &Arrow::Binary)?;
    let input = array.as_binary::<i32>();
    numbers::<Int32Type>(args.rows, |row| {
        Ok((!input.is_null(row)).then(|| input.value_length(row) * unit))
    })
}

/// `UTF8String.substringSQL`: positions count from 1, from the end if negative; 0 is taken as 1.
fn slice_range(length: i64, position: i32, wanted: Option<i32>) -> (usize, usize) {
    let position = i64::from(position);
    let start = match position {
        1.. => position - 1,
        0 => 0,
        _ => length + position,
    };
    let end = match wanted {
        None => length,
        Some(wanted) if wanted < 0 => start.min(length),
        Some(wanted) => start + i64::from(wanted),
    };
    let clamp = |value: i64| usize::try_from(value.clamp(0, length)).unwrap_or(0);
    (clamp(start), clamp(end).max(clamp(start)))
}

fn substring(args: &Args) -> Result<ArrayRef> {
    let position = args.numbers::<Int32Type>(1)?;
    let wanted = match args.len() {
        2 => None,
        _ => Some(args.numbers::<Int32Type>(2)?),
    };
    let bounds = |row: usize| -> Option<(i32, Option<i32>)> {
        let position = position.get(row)?;
        match &wanted {
            None => Some((position, None)),
            Some(wanted) => Some((position, Some(wanted.get(row)?))),
        }
    };
    let array = args.array(0)?;
    if let Some(input) = array.as_binary_opt::<i32>() {
        return bytes(args.rows, |row| {
            let (Some((position, wanted)), false) = (bounds(row), input.is_null(row)) else {
                return Ok(None);
            };
            let value = input.value(row);
            let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
            let (start, end) = slice_range(length, position, wanted);
            Ok(Some(&value[start..end]))
        });
    }
    let Some(input) = array.as_string_opt::<i32>() else {
        return internal_err!("substring of {}", array.data_type());
    };
    texts(args.rows, |row| {
        let (Some((position, wanted)), false) = (bounds(row), input.is_null(row)) else {
            return Ok(None);
        };
        Ok(Some(slice(input.value(row), position, wanted)))
    })
}

fn slice(text: &str, position: i32, wanted: Option<i32>) -> &str {
    if text.is_ascii() {
        let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
        let (start, end) = slice_range(length, position, wanted);
        return &text[start..end];
    }
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let (start, end) = slice_range(length, position, wanted);
    let at = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    &text[at(start)..at(end)]
}

fn edge(args: &Args, left: bool) -> Result<ArrayRef> {
    let (text, count) = (args.text(0)?, args.numbers::<Int32Type>(1)?);
    texts(args.rows, |row| {
        Ok(match (text.get(row), count.get(row)) {
            (Some(_), Some(count)) if count <= 0 => Some(String::new()),
            (Some(s), Some(count)) => {
                let count = usize::try_from(count).unwrap_or(0);
                let skip = if left { 0 } else { s.chars().count().saturating_sub(count) };
                Some(s.chars().skip(skip).take(count).collect())
            }
            _ => None,
        })
    })
}

fn locate(args: &Args, haystack: usize, needle: usize) -> Result<ArrayRef> {
    let (text, needle) = (args.text(haystack)?, args.text(needle)?);
    let from = match args.len() {
        3 => Some(args.numbers::<Int32Type>(2)?),
        _ => None,
    };
    numbers::<Int32Type>(args.rows, |row| {
        let start = match &from {
            None => 1,
            Some(from) => match from.get(row) {
                Some(start) => start,
                None => return Ok(Some(0)),
            },
        };
        let (Some(s), Some(needle)) = (text.get(row), needle.get(row)) else { return Ok(None) };
        let Ok(skip) = usize::try_from(start - 1) else { return Ok(Some(0)) };
        let from = match s.char_indices().nth(skip) {
            Some((at, _)) => at,
            None if skip == s.chars().count() => s.len(),
            None => return Ok(Some(0)),
        };
        Ok(Some(match s[from..].find(needle) {
            Some(at) => i32::try_from(s[..from + at].chars().count()).unwrap_or(i32::MAX) + 1,
            None => 0,
        }))
    })
}

fn find_in_set(args: &Args) -> Result<ArrayRef> {
    let (word, list) = (args.text(0)?, args.text(1)?);
    numbers::<Int32Type>(args.rows, |row| {
        let (Some(word), Some(list)) = (word.get(row), list.get(row)) else { return Ok(None) };
        if word.contains(',') {
            return Ok(Some(0));
        }
        let found = list.split(',').position(|item| item == word);
        Ok(Some(found.map_or(0, |at| i32::try_from(at).unwrap_or(i32::MAX) + 1)))
    })
}

fn replace(args: &Args) -> Result<ArrayRef> {
    let (text, search) = (args.text(0)?, args.text(1)?);
    let by = match args.len() {
        2 => TextColumn::Same(Some(String::new())),
        _ => args.text(2)?,
    };
    texts(args.rows, |row| {
        Ok(match (text.get(row), search.get(row), by.get(row)) {
            (Some(s), Some(""), Some(_)) => Some(s.to_owned()),
            (Some(s), Some(search), Some(by)) => Some(s.replace(search, by)),
            _ => None,
        })
    })
}

fn translate(args: &Args) -> Result<ArrayRef> {
    let (text, from, to) = (args.text(0)?, args.text(1)?, args.text(2)?);
    texts(args.rows, |row| {
        let (Some(s), Some(from), Some(to)) = (text.get(row), from.get(row), to.get(row)) else {
            return Ok(None);
        };
        let to: Vec<char> = to.chars().collect();
        let from: Vec<char> = from.chars().collect();
        let changed: String = s
            .chars()
            .filter_map(|c| match from.iter().position(|f| *f == c) {
                Some(at) => to.get(at).copied(),
                None => Some(c),
            })
            .collect();
        Ok(Some(changed))
    })
}

fn overlay(args: &Args) -> Result<ArrayRef> {
    let (text, by) = (args.text(0)?, args.text(1)?);
    let position = args.numbers::<Int32Type>(2)?;
    let length = match args.len() {
        3 => None,
        _ => Some(args.numbers::<Int32Type>(3)?),
    };
    texts(args.rows, |row| {
        let (Some(s), Some(by), Some(position)) = (text.get(row), by.get(row), position.get(row))
        else {
            return Ok(None);
        };
        let covered = match &length {
            None => -1,
            Some(length) => match length.get(row) {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        let covered = match i64::from(covered) {
            negative if negative < 0 => i64::try_from(by.chars().count()).unwrap_or(0),
            covered => covered,
        };
        let head = slice(s, 1, Some(position - 1));
        let tail = slice(s, i32::try_from(i64::from(position) + covered).unwrap_or(i32::MAX), None);
        Ok(Some(format!("{head}{by}{tail}")))
    })
}

fn initcap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        start = c == ' ';
    }
    out
}

fn repeat(args: &Args) -> Result<ArrayRef> {
    let (text, count) = (args.text(0)?, args.numbers::<Int32Type>(1)?);
    texts(args.rows, |row| {
        Ok(match (text.get(row), count.get(row)) {
            (Some(s), Some(count)) => Some(s.repeat(usize::try_from(count).unwrap_or(0))),
            _ => None,
        })
    })
}

fn character(args: &Args) -> Result<ArrayRef> {
    let code = args.numbers::<Int64Type>(0)?;
    texts(args.rows, |row| {
        Ok(code.get(row).map(|code| {
            if code < 0 {
                return String::new();
            }
            u8::try_from(code & 0xFF).map_or(String::new(), |byte| char::from(byte).to_string())
        }))
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// Compares texts or bytes by their bytes.
fn test(args: &Args, holds: impl Fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef> {
    let column = |index: usize| -> Result<BinaryArray> {
        let array = arrow::compute::cast(&args.array(index)?, &Arrow::Binary)?;
        Ok(array.as_binary::<i32>().clone())
    };
    if args.arrow_type(0) == Arrow::Utf8 && args.arrow_type(1) == Arrow::Utf8 {
        let (text, part) = (args.text(0)?, args.text(1)?);
        return booleans(args.rows, |row| {
            Ok(match (text.get(row), part.get(row)) {
                (Some(text), Some(part)) => Some(holds(text.as_bytes(), part.as_bytes())),
                _ => None,
            })
        });
    }
    let (text, part) = (column(0)?, column(1)?);
    booleans(args.rows, |row| {
        Ok((!text.is_null(row) && !part.is_null(row))
            .then(|| holds(text.value(row), part.value(row))))
    })
}

fn substring_index(args: &Args) -> Result<ArrayRef> {
    let (text, delimiter) = (args.text(0)?, args.text(1)?);
    let count = args.numbers::<Int32Type>(2)?;
    texts(args.rows, |row| {
        let (Some(s), Some(delimiter), Some(count)) =
            (text.get(row), delimiter.get(row), count.get(row))
        else {
            return Ok(None);
        };
        if delimiter.is_empty() || count == 0 {
            return Ok(Some(String::new()));
        }
        let n = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) - 1;
        let part = if count > 0 {
            s.match_indices(delimiter).nth(n).map_or(s, |(at, _)| &s[..at])
        } else {
            s.rmatch_indices(delimiter).nth(n).map_or(s, |(at, _)| &s[at + delimiter.len()..])
        };
        Ok(Some(part.to_owned()))
    })
}

fn split_part(args: &Args) -> Result<ArrayRef> {
    let (text, delimiter) = (args.text(0)?, args.text(1)?);
    let part = args.numbers::<Int32Type>(2)?;
    texts(args.rows, |row| {
        let (Some(s), Some(delimiter), Some(part)) =
            (text.get(row), delimiter.get(row), part.get(row))
        else {
            return Ok(None);
        };
        if part == 0 {
            return crate::udf::fail(crate::errors::index_of_zero());
        }
        let parts: Vec<&str> =
            if delimiter.is_empty() { vec![s] } else { s.split(delimiter).collect() };
        let index = if part > 0 {
            usize::try_from(part - 1).ok()
        } else {
            parts.len().checked_sub(part.unsigned_abs() as usize)
        };
        Ok(Some(index.and_then(|i| parts.get(i).copied()).unwrap_or_default().to_owned()))
    })
}

fn levenshtein(args: &Args) -> Result<ArrayRef> {
    let (left, right) = (args.text(0)?, args.text(1)?);
    let limit = match args.len() {
        3 => Some(args.numbers::<Int32Type>(2)?),
        _ => None,
    };
    numbers::<Int32Type>(args.rows, |row| {
        let (Some(left), Some(right)) = (left.get(row), right.get(row)) else { return Ok(None) };
        let right: Vec<char> = right.chars().collect();
        let mut costs: Vec<usize> = (0..=right.len()).collect();
        for (i, l) in left.chars().enumerate() {
            let mut diagonal = costs[0];
            costs[0] = i + 1;
            for (j, r) in right.iter().enumerate() {
                let change = diagonal + usize::from(l != *r);
                diagonal = costs[j + 1];
                costs[j + 1] = change.min(costs[j] + 1).min(diagonal + 1);
            }
        }
        let distance = i32::try_from(costs[right.len()]).unwrap_or(i32::MAX);
        Ok(match &limit {
            Some(limit) => limit.get(row).map(|limit| if distance > limit { -1 } else { distance }),
            None => Some(distance),
        })
    })
}

fn soundex(text: &str) -> String {
    let code = |c: char| match c {
        'B' | 'F' | 'P' | 'V' => Some('1'),
        'C' | 'G' | 'J' | 'K' | 'Q' | 'S' | 'X' | 'Z' => Some('2'),
        'D' | 'T' => Some('3'),
        'L' => Some('4'),
        'M' | 'N' => Some('5'),
        'R' => Some('6'),
        _ => None,
    };
    let Some(first) = text.chars().next() else { return String::new() };
    if !first.is_ascii_alphabetic() {
        return text.to_owned();
    }
    let mut out = String::from(first.to_ascii_uppercase());
    let mut last = code(first.to_ascii_uppercase());
    for c in text.chars().skip(1).map(|c| c.to_ascii_uppercase()) {
        if out.len() == 4 {
            break;
        }
        match code(c) {
            // H and W do not separate equal codes; vowels do.
            None if matches!(c, 'H' | 'W') => {}
            None => last = None,
            digit if digit == last => {}
            digit => {
                out.extend(digit);
                last = digit;
            }
        }
    }
    format!("{out:0<4}")
}

fn luhn(text: &str) -> bool {
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_digit()) {
        return false;
    }
    let sum: u32 = text
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, c)| {
            let digit = u32::from(c - b'0') * if index % 2 == 1 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

fn mask(args: &Args) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let defaults = [Some("X"), Some("x"), Some("n"), None];
    let masks = (0..4)
        .map(|index| match args.len() > index + 1 {
            true => args.text(index + 1),
            false => Ok(TextColumn::Same(defaults[index].map(str::to_owned))),
        })
        .collect::<Result<Vec<_>>>()?;
    texts(args.rows, |row| {
        Ok(text.get(row).map(|s| {
            s.chars()
                .map(|c| {
                    let kind = if c.is_uppercase() {
                        0
                    } else if c.is_lowercase() {
                        1
                    } else if c.is_numeric() {
                        2
                    } else {
                        3
                    };
                    masks[kind].get(row).and_then(|m| m.chars().next()).unwrap_or(c)
                })
                .collect::<String>()
        }))
    })
}

fn concat(args: &Args) -> Result<ArrayRef> {
    if args.params.result == Arrow::Binary {
        let parts = (0..args.len()).map(|i| args.array(i)).collect::<Result<Vec<_>>>()?;
        return bytes(args.rows, |row| {
            let mut out = vec![];
            for part in &parts {
                if part.is_null(row) {
                    return Ok(None);
                }
                out.extend_from_slice(part.as_binary::<i32>().value(row));
            }
            Ok(Some(out))
        });
    }
    let parts = (0..args.len()).map(|i| args.text(i)).collect::<Result<Vec<_>>>()?;
    let mut out = String::new();
    let mut builder = arrow::array::StringBuilder::with_capacity(args.rows, args.rows * 16);
    'rows: for row in 0..args.rows {
        out.clear();
        for part in &parts {
            match part.get(row) {
                Some(text) => out.push_str(text),
                None => {
                    builder.append_null();
                    continue 'rows;
                }
            }
        }
        builder.append_value(&out);
    }
    Ok(Arc::new(builder.finish()))
}

fn concat_ws(args: &Args) -> Result<ArrayRef> {
    let separator = args.text(0)?;
    let parts = (1..args.len()).map(|i| args.array(i)).collect::<Result<Vec<_>>>()?;
    texts(args.rows, |row| {
        let Some(separator) = separator.get(row) else { return Ok(None) };
        let mut out = String::new();
        let mut first = true;
        let mut push = |text: &str| {
            if !first {
                out.push_str(separator);
            }
            out.push_str(text);
            first = false;
        };
        for part in &parts {
            if part.is_null(row) {
                continue;
            }
            match part.as_string_opt::<i32>() {
                Some(texts) => push(texts.value(row)),
                None => {
                    let items = part.as_list::<i32>().value(row);
                    items.as_string::<i32>().iter().flatten().for_each(&mut push);
                }
            }
        }
        Ok(Some(out))
    })
}

fn elt(args: &Args) -> Result<ArrayRef> {
    let index = args.numbers::<Int32Type>(0)?;
    let choices = (1..args.len()).map(|i| args.array(i)).collect::<Result<Vec<_>>>()?;
    let size = choices.len();
    let pick = |row: usize| -> Result<Option<usize>> {
        let Some(index) = index.get(row) else { return Ok(None) };
        match usize::try_from(i64::from(index) - 1) {
            Ok(at) if at < size => Ok((!choices[at].is_null(row)).then_some(at)),
            _ if args.ansi() => {
                crate::udf::fail(crate::errors::invalid_array_index(i64::from(index), size))
            }
            _ => Ok(None),
        }
    };
    if args.params.result == Arrow::Binary {
        return bytes(args.rows, |row| {
            Ok(pick(row)?.map(|at| choices[at].as_binary::<i32>().value(row).to_vec()))
        });
    }
    texts(args.rows, |row| {
        Ok(pick(row)?.map(|at| choices[at].as_string::<i32>().value(row).to_owned()))
    })
}
