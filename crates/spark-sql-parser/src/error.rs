//! The one error type that users see: a Spark error condition with its parameters.
//!
//! Matches `org.apache.spark.SparkThrowable` of Spark 4: `condition` is `getCondition()`, `sql_state` is
//! `getSqlState()`, `parameters` is `getMessageParameters()`. It crosses process borders as JSON-like parts, so a task's
//! own error reaches the Connect client with its condition intact.

use std::fmt;

/// Which Java exception class, and so which Python exception type, the client raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    Parse,
    Analysis,
    Arithmetic,
    ArrayIndexOutOfBounds,
    DateTime,
    IllegalArgument,
    NumberFormat,
    NoSuchElement,
    UnsupportedOperation,
    /// `SparkRuntimeException`.
    Runtime,
    /// `SparkException`: execution failed, a job was aborted.
    Execution,
}

/// Where in the statement an error was found; all positions are in characters, lines from 1.
///
/// The fragment of a parse error is the whole statement: its message shows it with a mark under the place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryContext {
    pub start_index: usize,
    pub stop_index: usize,
    pub line: usize,
    pub position: usize,
    pub fragment: String,
}

/// An error with Spark's condition, SQLSTATE and message parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparkError {
    pub kind: ErrorKind,
    /// For example `UNRESOLVED_COLUMN.WITH_SUGGESTION`.
    pub condition: String,
    pub sql_state: String,
    /// The message without the `[CONDITION]` prefix and without the SQLSTATE suffix.
    pub text: String,
    pub parameters: Vec<(String, String)>,
    pub context: Option<QueryContext>,
}

impl SparkError {
    #[must_use]
    pub fn new(kind: ErrorKind, condition: &str, sql_state: &str, text: impl Into<String>) -> Self {
        Self {
            kind,
            condition: condition.to_owned(),
            sql_state: sql_state.to_owned(),
            text: text.into(),
            parameters: Vec::new(),
            context: None,
        }
    }

    #[must_use]
    pub fn with(mut self, parameter: &str, value: impl Into<String>) -> Self {
        self.parameters.push((parameter.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub fn at(mut self, context: QueryContext) -> Self {
        self.context = Some(context);
        self
    }
}

impl fmt::Display for SparkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Spark shows neither name nor state of conditions it has not named yet.
        if self.condition.starts_with("_LEGACY_ERROR") {
            f.write_str(&self.text)?;
        } else {
            write!(f, "[{}] {}", self.condition, self.text)?;
            if !self.sql_state.is_empty() {
                write!(f, " SQLSTATE: {}", self.sql_state)?;
            }
        }
        match &self.context {
            Some(context) if self.kind == ErrorKind::Parse => {
                if context.start_index == context.stop_index {
                    write_place(f, context)
                } else {
                    write_range(f, context)
                }
            }
            _ => Ok(()),
        }
    }
}

/// The block Spark's `ParseException` adds: the place, the statement, and a mark below the line in question.
fn write_place(f: &mut fmt::Formatter<'_>, context: &QueryContext) -> fmt::Result {
    write!(f, " (line {}, pos {})\n\n== SQL ==\n", context.line, context.position)?;
    let mut lines = context.fragment.split('\n');
    for line in lines.by_ref().take(context.line) {
        writeln!(f, "{line}")?;
    }
    writeln!(f, "{}^^^", "-".repeat(context.position))?;
    for line in lines {
        writeln!(f, "{line}")?;
    }
    Ok(())
}

/// The block of an error about a part of the statement: the lines that part stands on, underlined.
fn write_range(f: &mut fmt::Formatter<'_>, context: &QueryContext) -> fmt::Result {
    write!(f, "\n== SQL (line {}, position {}) ==\n", context.line, context.position + 1)?;
    let mut left = context.stop_index - context.start_index;
    let mut from = context.position;
    for line in context.fragment.split('\n').skip(context.line - 1) {
        let width = line.chars().count().saturating_sub(from).min(left);
        writeln!(f, "{line}\n{}{}", " ".repeat(from), "^".repeat(width))?;
        left = left.saturating_sub(width + 1);
        from = 0;
        if left == 0 {
            break;
        }
    }
    Ok(())
}

impl std::error::Error for SparkError {}
