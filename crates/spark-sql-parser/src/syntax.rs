//! Parse errors in Spark's words and places.

use crate::error::{ErrorKind, QueryContext, SparkError};

const SYNTAX_ERROR_STATE: &str = "42601";

/// `PARSE_SYNTAX_ERROR` at a byte position; `near` is the quoted token or `end of input`.
pub(crate) fn error_at(sql: &str, position: usize, near: &str, hint: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Parse,
        "PARSE_SYNTAX_ERROR",
        SYNTAX_ERROR_STATE,
        format!("Syntax error at or near {near}{hint}."),
    )
    .with("error", near)
    .with("hint", hint)
    .at(context(sql, position, position))
}

pub(crate) fn empty_statement(sql: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Parse,
        "PARSE_EMPTY_STATEMENT",
        "42617",
        "Syntax error, unexpected empty statement.",
    )
    .at(context(sql, sql.len(), sql.len()))
}

pub(crate) fn unclosed_comment(sql: &str, position: usize) -> SparkError {
    SparkError::new(
        ErrorKind::Parse,
        "UNCLOSED_BRACKETED_COMMENT",
        SYNTAX_ERROR_STATE,
        "Found an unclosed bracketed comment. Please, append */ at the end of the comment.",
    )
    .at(context(sql, position, position))
}

/// Where `start..end` (bytes) lies; the fragment of a parse error is the whole statement, as Spark prints it.
pub(crate) fn context(sql: &str, start: usize, end: usize) -> QueryContext {
    let before = &sql[..start.min(sql.len())];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    QueryContext {
        start_index: before.chars().count(),
        stop_index: sql[..end.min(sql.len())].chars().count(),
        line: before.matches('\n').count() + 1,
        position: before[line_start..].chars().count(),
        fragment: sql.to_owned(),
    }
}

/// A feature of Spark that is not there (yet); `what` says which.
pub(crate) fn unsupported(sql: &str, position: usize, what: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Parse,
        "UNSUPPORTED_FEATURE.SQL",
        "0A000",
        format!("The feature is not supported: {what}."),
    )
    .with("feature", what)
    .at(context(sql, position, position))
}

/// `my-table` without back-quotes.
pub(crate) fn invalid_identifier(sql: &str, position: usize, name: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Parse,
        "INVALID_IDENTIFIER",
        "42602",
        format!(
            "The unquoted identifier {name} is invalid and must be back quoted as: `{name}`.\nUnquoted identifiers \
             can only contain ASCII letters ('a' - 'z', 'A' - 'Z'), digits ('0' - '9'), and underbar ('_').\n\
             Unquoted identifiers must also not start with a digit.\nDifferent data sources and meta stores may \
             impose additional restrictions on valid identifiers."
        ),
    )
    .with("ident", name)
    .at(context(sql, position, position))
}

pub(crate) fn too_deep(sql: &str, position: usize, limit: usize) -> SparkError {
    SparkError::new(
        ErrorKind::Parse,
        "FAILED_TO_PARSE_TOO_COMPLEX",
        "54001",
        format!(
            "The statement, including potential SQL functions and referenced views, was too complex to parse.\n\
             To mitigate this error divide the statement into multiple, less complex chunks (it nests deeper than \
             {limit} levels)."
        ),
    )
    .at(context(sql, position, position))
}

pub(crate) fn precision_exceeded(precision: usize) -> SparkError {
    SparkError::new(
        ErrorKind::Arithmetic,
        "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
        "22003",
        format!("Decimal precision {precision} exceeds max precision 38."),
    )
    .with("precision", precision.to_string())
    .with("maxPrecision", "38")
}
