//! LIKE, regular expressions and splitting.

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType as Arrow, Field, Int32Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Expr, Like};
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::errors;
use crate::kernels::{booleans, numbers, texts};
use crate::regexes::Cache;
use crate::signature::{Call, Function, Out, Ty, f};
use crate::udf::{Args, Definition, TextColumn, fail};

fn strings(_types: &[DataType]) -> DataType {
    DataType::Array { element: Box::new(DataType::String), contains_null: false }
}

fn nullable_strings(_types: &[DataType]) -> DataType {
    DataType::Array { element: Box::new(DataType::String), contains_null: true }
}

pub(crate) const FUNCTIONS: &[Function] = &[
    f("rlike", &[Ty::Str, Ty::Str], Out::Bool),
    f("regexp", &[Ty::Str, Ty::Str], Out::Bool).of("rlike"),
    f("regexp_like", &[Ty::Str, Ty::Str], Out::Bool).of("rlike"),
    f("regexp_replace", &[Ty::Str, Ty::Str, Ty::Str, Ty::Int], Out::Str).optional(1),
    f("regexp_extract", &[Ty::Str, Ty::Str, Ty::Int], Out::Str).optional(1),
    f("regexp_extract_all", &[Ty::Str, Ty::Str, Ty::Int], Out::Of(nullable_strings)).optional(1),
    f("regexp_count", &[Ty::Str, Ty::Str], Out::Int),
    f("regexp_instr", &[Ty::Str, Ty::Str, Ty::Int], Out::Int).optional(1),
    f("regexp_substr", &[Ty::Str, Ty::Str], Out::Str),
    f("split", &[Ty::Str, Ty::Str, Ty::Int], Out::Of(strings)).optional(1),
];

pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition::strict("rlike", rlike).failing(),
    Definition::strict("like_escape", like_escape),
    Definition::strict("regexp_replace", regexp_replace).failing(),
    Definition::strict("regexp_extract", regexp_extract).failing(),
    Definition::strict("regexp_extract_all", regexp_extract_all).failing(),
    Definition::strict("regexp_count", regexp_count).failing(),
    Definition::strict("regexp_instr", regexp_instr).failing(),
    Definition::nullable("regexp_substr", regexp_substr).failing(),
    Definition::strict("split", split).failing(),
];

/// LIKE and its kin.
pub(crate) fn build(call: &Call) -> std::result::Result<Option<Expr>, SparkError> {
    match call.name {
        "like" | "ilike" => {
            call.arity(2, 3)?;
            let escape = match call.len() {
                3 => call.literal_text(2).unwrap_or("\\").to_owned(),
                _ => "\\".to_owned(),
            };
            let mut escapes = escape.chars();
            let (Some(escape), None) = (escapes.next(), escapes.next()) else {
                return Err(call.wrong_type(2, "STRING"));
            };
            like(call, escape).map(Some)
        }
        "like all" | "like any" | "not like all" | "not like any" | "ilike all" | "ilike any"
        | "like_all" | "like_any" | "not_like_all" | "not_like_any" | "ilike_all" | "ilike_any"
        | "not_ilike_all" | "not_ilike_any" => {
            call.arity(2, usize::MAX)?;
            let name = call.name.replace('_', " ");
            let like = if name.contains("ilike") { "ilike" } else { "like" };
            let connective = if name.ends_with("all") { "and" } else { "or" };
            let mut tests = call.args[1..].iter().map(|pattern| {
                let test =
                    crate::scalar(like, vec![call.args[0].clone(), pattern.clone()], call.ctx)?;
                Ok(if name.starts_with("not") { Expr::Not(Box::new(test)) } else { test })
            });
            let first: Expr = match tests.next() {
                Some(first) => first?,
                None => return Ok(None),
            };
            let all = tests.try_fold(first, |so_far, next| {
                crate::scalar(connective, vec![so_far, next?], call.ctx)
            })?;
            Ok(Some(all))
        }
        _ => Ok(None),
    }
}

fn like(call: &Call, escape: char) -> std::result::Result<Expr, SparkError> {
    let value = call.coerced(0, &DataType::String)?;
    let pattern = call.coerced(1, &DataType::String)?;
    let insensitive = call.name == "ilike";
    let native = |pattern: Expr| {
        Expr::Like(Like::new(false, Box::new(value.clone()), Box::new(pattern), None, insensitive))
    };
    if let Some(text) = call.literal_text(1) {
        let standard = standard_pattern(text, escape)?;
        return Ok(native(Expr::Literal(ScalarValue::Utf8(Some(standard)), None)));
    }
    if escape == '\\' {
        return Ok(native(pattern));
    }
    let escape = Expr::Literal(ScalarValue::Utf8(Some(escape.to_string())), None);
    let standard = call.ours("like_escape", vec![pattern, escape], &DataType::String)?;
    Ok(native(standard))
}

/// The pattern with `\` as escape, refusing what Spark refuses.
fn standard_pattern(pattern: &str, escape: char) -> std::result::Result<String, SparkError> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c == escape {
            match chars.next() {
                Some(next @ ('_' | '%')) => out.extend(['\\', next]),
                Some(next) if next == escape => {
                    if next == '\\' {
                        out.push('\\');
                    }
                    out.push(next);
                }
                Some(next) => {
                    return Err(invalid_format(
                        "ESC_IN_THE_MIDDLE",
                        pattern,
                        &format!("The escape character is not allowed to precede '{next}'."),
                    ));
                }
                None => {
                    return Err(invalid_format(
                        "ESC_AT_THE_END",
                        pattern,
                        "The escape character is not allowed to end with.",
                    ));
                }
            }
        } else {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
    }
    Ok(out)
}

fn invalid_format(sub_condition: &str, pattern: &str, detail: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        &format!("INVALID_FORMAT.{sub_condition}"),
        "42601",
        format!("The format is invalid: '{pattern}'. {detail}"),
    )
    .with("format", format!("'{pattern}'"))
}

fn like_escape(args: &Args) -> Result<ArrayRef> {
    let (pattern, escape) = (args.text(0)?, args.text(1)?);
    texts(args.rows, |row| match (pattern.get(row), escape.get(row)) {
        (Some(pattern), Some(escape)) => {
            let escape = escape.chars().next().unwrap_or('\\');
            match standard_pattern(pattern, escape) {
                Ok(standard) => Ok(Some(standard)),
                Err(error) => fail(error),
            }
        }
        _ => Ok(None),
    })
}

fn compiled<'c>(
    cache: &'c mut Cache,
    pattern: &str,
    function: &str,
) -> Result<&'c crate::regexes::JavaRegex> {
    cache.get(pattern, function).map_err(errors::external)
}

fn rlike(args: &Args) -> Result<ArrayRef> {
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let mut cache = Cache::default();
    booleans(args.rows, |row| match (text.get(row), pattern.get(row)) {
        (Some(text), Some(pattern)) => {
            Ok(Some(compiled(&mut cache, pattern, "rlike")?.is_match(text)))
        }
        _ => Ok(None),
    })
}

fn regexp_replace(args: &Args) -> Result<ArrayRef> {
    let (text, pattern, by) = (args.text(0)?, args.text(1)?, args.text(2)?);
    let position = match args.len() {
        4 => Some(args.numbers::<Int32Type>(3)?),
        _ => None,
    };
    let mut cache = Cache::default();
    texts(args.rows, |row| {
        let (Some(text), Some(pattern), Some(by)) = (text.get(row), pattern.get(row), by.get(row))
        else {
            return Ok(None);
        };
        let skip = match &position {
            None => 0,
            Some(position) => match position.get(row) {
                Some(position) => usize::try_from(position - 1).unwrap_or(0),
                None => return Ok(None),
            },
        };
        let from = match text.char_indices().nth(skip) {
            Some((at, _)) => at,
            None if skip == 0 => 0,
            None => return Ok(Some(text.to_owned())),
        };
        let regex = compiled(&mut cache, pattern, "regexp_replace")?;
        Ok(Some(regex.replace_all(text, by, from).into_owned()))
    })
}

/// The group argument, 1 if not given, checked against the pattern.
fn group_of(args: &Args, row: usize, count: usize, function: &str) -> Result<Option<usize>> {
    let index = match args.len() {
        3 => match args.numbers::<Int32Type>(2)?.get(row) {
            Some(index) => index,
            None => return Ok(None),
        },
        _ => 1,
    };
    match usize::try_from(index) {
        Ok(index) if index <= count => Ok(Some(index)),
        _ => fail(
            errors::invalid_parameter(
                "REGEX_GROUP_INDEX",
                "idx",
                function,
                &format!("Expects group index between 0 and {count}, but got {index}."),
            )
            .with("groupCount", count.to_string())
            .with("groupIndex", index.to_string()),
        ),
    }
}

fn regexp_extract(args: &Args) -> Result<ArrayRef> {
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let mut cache = Cache::default();
    texts(args.rows, |row| {
        let (Some(text), Some(pattern)) = (text.get(row), pattern.get(row)) else {
            return Ok(None);
        };
        let regex = compiled(&mut cache, pattern, "regexp_extract")?;
        let Some(groups) = regex.find_at(text, 0) else { return Ok(Some(String::new())) };
        let Some(group) = group_of(args, row, regex.group_count(), "regexp_extract")? else {
            return Ok(None);
        };
        let range = groups.get(group).copied().flatten();
        Ok(Some(range.map_or(String::new(), |(start, end)| text[start..end].to_owned())))
    })
}

fn regexp_extract_all(args: &Args) -> Result<ArrayRef> {
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let mut cache = Cache::default();
    lists(args, |row, out| {
        let (Some(text), Some(pattern)) = (text.get(row), pattern.get(row)) else {
            return Ok(false);
        };
        let regex = compiled(&mut cache, pattern, "regexp_extract_all")?;
        let matches = regex.find_all(text, 0);
        let Some(group) = group_of(args, row, regex.group_count(), "regexp_extract_all")? else {
            return Ok(false);
        };
        for groups in matches {
            let range = groups.get(group).copied().flatten();
            out.append_value(range.map_or("", |(start, end)| &text[start..end]));
        }
        Ok(true)
    })
}

/// A column of lists of texts; the closure fills one list or answers `false` for NULL.
fn lists(
    args: &Args,
    mut fill: impl FnMut(usize, &mut StringBuilder) -> Result<bool>,
) -> Result<ArrayRef> {
    let field = match &args.params.result {
        Arrow::List(field) => std::sync::Arc::clone(field),
        _ => std::sync::Arc::new(Field::new("element", Arrow::Utf8, true)),
    };
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(field);
    for row in 0..args.rows {
        let valid = fill(row, builder.values())?;
        builder.append(valid);
    }
    Ok(std::sync::Arc::new(builder.finish()))
}

fn regexp_count(args: &Args) -> Result<ArrayRef> {
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let mut cache = Cache::default();
    numbers::<Int32Type>(args.rows, |row| match (text.get(row), pattern.get(row)) {
        (Some(text), Some(pattern)) => {
            let matches = compiled(&mut cache, pattern, "regexp_count")?.find_all(text, 0);
            Ok(Some(i32::try_from(matches.len()).unwrap_or(i32::MAX)))
        }
        _ => Ok(None),
    })
}

fn regexp_instr(args: &Args) -> Result<ArrayRef> {
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let mut cache = Cache::default();
    numbers::<Int32Type>(args.rows, |row| match (text.get(row), pattern.get(row)) {
        (Some(text), Some(pattern)) => {
            let groups = compiled(&mut cache, pattern, "regexp_instr")?.find_at(text, 0);
            let start = groups.and_then(|groups| groups.first().copied().flatten());
            Ok(Some(start.map_or(0, |(start, _)| {
                i32::try_from(text[..start].chars().count()).unwrap_or(i32::MAX) + 1
            })))
        }
        _ => Ok(None),
    })
}

fn regexp_substr(args: &Args) -> Result<ArrayRef> {
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let mut cache = Cache::default();
    texts(args.rows, |row| match (text.get(row), pattern.get(row)) {
        (Some(text), Some(pattern)) => {
            let groups = compiled(&mut cache, pattern, "regexp_substr")?.find_at(text, 0);
            let range = groups.and_then(|groups| groups.first().copied().flatten());
            Ok(range.map(|(start, end)| text[start..end].to_owned()))
        }
        _ => Ok(None),
    })
}

fn split(args: &Args) -> Result<ArrayRef> {
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let limit = match args.len() {
        3 => Some(args.numbers::<Int32Type>(2)?),
        _ => None,
    };
    let mut cache = Cache::default();
    // The usual separator is a plain text, which needs no pattern at all.
    let literal = match &pattern {
        TextColumn::Same(Some(p)) if !p.is_empty() && regex::escape(p) == *p => Some(p.clone()),
        _ => None,
    };
    lists(args, |row, out| {
        let (Some(text), Some(pattern)) = (text.get(row), pattern.get(row)) else {
            return Ok(false);
        };
        let limit = match &limit {
            None => usize::MAX,
            Some(limit) => match limit.get(row) {
                Some(limit) if limit > 0 => usize::try_from(limit).unwrap_or(usize::MAX),
                Some(_) => usize::MAX,
                None => return Ok(false),
            },
        };
        if let Some(separator) = &literal {
            for part in text.splitn(limit, separator.as_str()) {
                out.append_value(part);
            }
            return Ok(true);
        }
        let regex = compiled(&mut cache, pattern, "split")?;
        let mut parts = 1;
        let mut last = 0;
        for groups in regex.find_all(text, 0) {
            let Some((start, end)) = groups.first().copied().flatten() else { continue };
            // A match of nothing at either edge does not split.
            if parts >= limit || (end == start && (start == 0 || start == text.len())) {
                continue;
            }
            if end > start && end == 0 {
                continue;
            }
            out.append_value(&text[last..start]);
            last = end;
            parts += 1;
        }
        out.append_value(&text[last..]);
        Ok(true)
    })
}
