//! Errors that cross from a task to the driver and on to the client.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use prost::Message;
use spark_sql_parser::error::{ErrorKind, QueryContext, SparkError};

use crate::protocol::{ErrorContext, FetchFailed, Parameter, SparkErrorParts, TaskError};

/// A shuffle block could not be read; the answer is to compute it again, not to fail the query.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchFailedError(pub FetchFailed);

impl fmt::Display for FetchFailedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FetchFailed { shuffle, map, message, .. } = &self.0;
        write!(f, "shuffle {shuffle}, map output {map} could not be fetched: {message}")
    }
}

impl Error for FetchFailedError {}

impl From<FetchFailedError> for DataFusionError {
    fn from(error: FetchFailedError) -> Self {
        Self::External(Box::new(error))
    }
}

/// Finds an error of type `T` anywhere in a DataFusion error.
pub fn find_error<T: Error + 'static>(error: &DataFusionError) -> Option<&T> {
    match error {
        DataFusionError::External(inner) => find_boxed(inner.as_ref()),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            find_error(inner)
        }
        DataFusionError::Shared(inner) => find_error(inner),
        DataFusionError::Collection(errors) => errors.iter().find_map(find_error),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ExternalError(inner) => find_boxed(inner.as_ref()),
            _ => None,
        },
        other => other.source().and_then(|source| find_boxed(source)),
    }
}

fn find_boxed<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(inner) = error.downcast_ref::<DataFusionError>() {
            return find_error(inner);
        }
        if let Some(inner) = error.downcast_ref::<Arc<DataFusionError>>() {
            return find_error(inner);
        }
        if let Some(ArrowError::ExternalError(inner)) = error.downcast_ref::<ArrowError>() {
            return find_boxed(inner.as_ref());
        }
        next = error.source();
    }
    None
}

/// Takes a task's error apart for the wire.
pub(crate) fn task_error(error: &DataFusionError) -> TaskError {
    let spark = find_error::<SparkError>(error).cloned().or_else(|| out_of_memory(error));
    TaskError {
        message: spark.as_ref().map_or_else(|| error.to_string(), ToString::to_string),
        spark: spark.as_ref().map(encode_spark_error),
        fatal: false,
        not_counted: false,
    }
}

/// An operator's request for memory that was refused, with the settings that help.
fn out_of_memory(error: &DataFusionError) -> Option<SparkError> {
    let DataFusionError::ResourcesExhausted(message) = error.find_root() else { return None };
    Some(SparkError::new(
        ErrorKind::Execution,
        "UNABLE_TO_ACQUIRE_MEMORY",
        "53200",
        format!(
            "{message}. Raise spark.executor.memory, or spark.sql.shuffle.partitions so that a \
             task has fewer rows to hold."
        ),
    ))
}

/// The results of a query are more than the driver takes.
pub(crate) fn result_too_large(results: usize, bytes: u64, limit: u64) -> DataFusionError {
    let message = format!(
        "Job aborted due to stage failure: Total size of serialized results of {results} tasks \
         ({bytes} bytes) is bigger than spark.driver.maxResultSize ({limit} bytes)."
    );
    let error = SparkError::new(ErrorKind::Execution, "_LEGACY_ERROR_TEMP_3000", "XX000", &message)
        .with("message", message);
    DataFusionError::External(Box::new(error))
}

/// The error a client sees for a failed task.
pub(crate) fn job_error(message: &str, payload: Option<&[u8]>) -> DataFusionError {
    let parts = payload
        .and_then(|bytes| TaskError::decode(bytes).ok())
        .and_then(|error| error.spark)
        .map(|parts| decode_spark_error(&parts));
    let error = parts.unwrap_or_else(|| {
        SparkError::new(ErrorKind::Execution, "_LEGACY_ERROR_TEMP_3000", "XX000", message)
            .with("message", message)
    });
    DataFusionError::External(Box::new(error))
}

/// The error of a query whose engine stopped.
pub(crate) fn stopped() -> DataFusionError {
    DataFusionError::Execution("the application has stopped".to_owned())
}

/// A store's error as DataFusion carries it.
pub(crate) fn store_error(error: spark_shuffle::StoreError) -> DataFusionError {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    DataFusionError::Execution(message)
}

/// The error of a query the user stopped.
pub(crate) fn cancelled() -> DataFusionError {
    let error = SparkError::new(
        ErrorKind::Execution,
        "OPERATION_CANCELED",
        "HY008",
        "Operation has been canceled.",
    );
    DataFusionError::External(Box::new(error))
}

const KINDS: [(ErrorKind, &str); 11] = [
    (ErrorKind::Parse, "parse"),
    (ErrorKind::Analysis, "analysis"),
    (ErrorKind::Arithmetic, "arithmetic"),
    (ErrorKind::ArrayIndexOutOfBounds, "array-index"),
    (ErrorKind::DateTime, "date-time"),
    (ErrorKind::IllegalArgument, "illegal-argument"),
    (ErrorKind::NumberFormat, "number-format"),
    (ErrorKind::NoSuchElement, "no-such-element"),
    (ErrorKind::UnsupportedOperation, "unsupported"),
    (ErrorKind::Runtime, "runtime"),
    (ErrorKind::Execution, "execution"),
];

fn encode_spark_error(error: &SparkError) -> SparkErrorParts {
    let kind = KINDS.iter().find(|(kind, _)| *kind == error.kind).map_or("execution", |k| k.1);
    SparkErrorParts {
        kind: kind.to_owned(),
        condition: error.condition.clone(),
        sql_state: error.sql_state.clone(),
        text: error.text.clone(),
        parameters: error
            .parameters
            .iter()
            .map(|(name, value)| Parameter { name: name.clone(), value: value.clone() })
            .collect(),
        context: error.context.as_ref().map(|context| ErrorContext {
            start_index: context.start_index as u64,
            stop_index: context.stop_index as u64,
            line: context.line as u64,
            position: context.position as u64,
            fragment: context.fragment.clone(),
        }),
    }
}

fn decode_spark_error(parts: &SparkErrorParts) -> SparkError {
    let kind = KINDS
        .iter()
        .find(|(_, name)| *name == parts.kind)
        .map_or(ErrorKind::Execution, |(kind, _)| *kind);
    let mut error = SparkError::new(kind, &parts.condition, &parts.sql_state, parts.text.clone());
    for parameter in &parts.parameters {
        error = error.with(&parameter.name, parameter.value.clone());
    }
    error.context = parts.context.as_ref().map(|context| QueryContext {
        start_index: context.start_index as usize,
        stop_index: context.stop_index as usize,
        line: context.line as usize,
        position: context.position as usize,
        fragment: context.fragment.clone(),
    });
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spark_error_survives_wrapping_and_the_wire() {
        let error = SparkError::new(ErrorKind::Arithmetic, "DIVIDE_BY_ZERO", "22012", "division")
            .with("config", "\"spark.sql.ansi.enabled\"");
        let wrapped = DataFusionError::Shared(Arc::new(DataFusionError::Context(
            "in a task".to_owned(),
            Box::new(DataFusionError::ArrowError(
                Box::new(ArrowError::ExternalError(Box::new(DataFusionError::External(Box::new(
                    error.clone(),
                ))))),
                None,
            )),
        )));
        let sent = task_error(&wrapped).encode_to_vec();
        let received = job_error("aborted", Some(&sent));
        assert_eq!(find_error::<SparkError>(&received), Some(&error));
    }
}
