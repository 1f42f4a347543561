//! The errors of reading and writing files, worded and numbered as Spark 4 does.

use datafusion::error::DataFusionError;
use spark_sql_parser::error::{ErrorKind, SparkError};

/// Result of everything a client may see fail.
pub(crate) type Result<T, E = SparkError> = std::result::Result<T, E>;

/// Carries a Spark error through DataFusion without losing its condition.
pub(crate) fn external(error: SparkError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Finds the Spark error inside a DataFusion one, or makes an internal error of it.
pub(crate) fn from_datafusion(error: DataFusionError) -> SparkError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<SparkError>() {
            Ok(spark) => *spark,
            Err(other) => internal(other.to_string()),
        },
        DataFusionError::Context(_, inner) => from_datafusion(*inner),
        other => internal(other.to_string()),
    }
}

pub(crate) fn internal(text: impl Into<String>) -> SparkError {
    SparkError::new(ErrorKind::Execution, "INTERNAL_ERROR", "XX000", text)
}

pub(crate) fn data_source_not_found(provider: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        "DATA_SOURCE_NOT_FOUND",
        "42K02",
        format!(
            "Failed to find the data source: {provider}. Make sure the provider name is correct and the \
             package is properly registered and compatible with your Spark version. \
             Supported here: csv, json, parquet, text."
        ),
    )
    .with("provider", provider)
}

pub(crate) fn path_not_found(uri: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        "PATH_NOT_FOUND",
        "42K03",
        format!("Path does not exist: {uri}."),
    )
    .with("path", uri)
}

pub(crate) fn path_already_exists(uri: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        "PATH_ALREADY_EXISTS",
        "42K04",
        format!(
            "Path {uri} already exists. Set mode as \"overwrite\" to overwrite the existing path."
        ),
    )
    .with("outputPath", uri)
}

pub(crate) fn unable_to_infer_schema(format: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        "UNABLE_TO_INFER_SCHEMA",
        "42KD9",
        format!("Unable to infer schema for {format}. It must be specified manually."),
    )
    .with("format", format)
}

pub(crate) fn unsupported_scheme(uri: &str, scheme: &str) -> SparkError {
    SparkError::new(
        ErrorKind::UnsupportedOperation,
        "UNSUPPORTED_FEATURE.FILE_SYSTEM",
        "0A000",
        format!(
            "No file system for scheme \"{scheme}\" (path {uri}). Use a path on a file system that all \
             executors share, as file:///directory."
        ),
    )
    .with("path", uri)
}

pub(crate) fn unreadable_footer(uri: &str, cause: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Execution,
        "FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER",
        "KD001",
        format!(
            "Encountered error while reading file {uri}. Could not read footer. Please ensure that the \
             file is in either ORC or Parquet format. If not, please convert it to a valid format. \
             If the file is in the valid format, please check if the file is corrupt. If it is, you \
             can choose to either ignore it or fix the corruption. Cause: {cause}"
        ),
    )
    .with("path", uri)
}

pub(crate) fn parquet_type_mismatch(
    uri: &str,
    column: &str,
    expected: &str,
    actual: &str,
) -> SparkError {
    SparkError::new(
        ErrorKind::Execution,
        "FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH",
        "KD001",
        format!(
            "Encountered error while reading file {uri}. Data type mismatches when reading Parquet column \
             [{column}]. Expected Spark type {expected}, actual Parquet type {actual}."
        ),
    )
    .with("path", uri)
    .with("column", format!("[{column}]"))
    .with("expectedType", expected)
    .with("actualType", actual)
}

pub(crate) fn only_corrupt_record_column() -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        "UNSUPPORTED_FEATURE.QUERY_ONLY_CORRUPT_RECORD_COLUMN",
        "0A000",
        "The feature is not supported: Queries from raw JSON/CSV/XML files are disallowed when the \
         referenced columns only include the internal corrupt record column (named `_corrupt_record` by \
         default). For example: `spark.read.schema(schema).json(file).filter($\"_corrupt_record\"\
         .isNotNull).count()` and `spark.read.schema(schema).json(file).select(\"_corrupt_record\").show()`. \
         Instead, you can cache or save the parsed results and then send the same query.",
    )
}

pub(crate) fn failed_read(uri: &str, cause: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Execution,
        "FAILED_READ_FILE.NO_HINT",
        "KD001",
        format!("Encountered error while reading file {uri}. Cause: {cause}"),
    )
    .with("path", uri)
}

pub(crate) fn file_not_exist(uri: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Execution,
        "FAILED_READ_FILE.FILE_NOT_EXIST",
        "KD001",
        format!(
            "Encountered error while reading file {uri}. File does not exist. It is possible the \
             underlying files have been updated. You can explicitly invalidate the cache in Spark by \
             running 'REFRESH TABLE tableName' command in SQL or by recreating the Dataset/DataFrame \
             involved."
        ),
    )
    .with("path", uri)
}

pub(crate) fn io(uri: &str, error: &std::io::Error) -> SparkError {
    if let Some(spark) = error.get_ref().and_then(|inner| inner.downcast_ref::<SparkError>()) {
        return spark.clone();
    }
    match error.kind() {
        std::io::ErrorKind::NotFound => file_not_exist(uri),
        _ => failed_read(uri, &error.to_string()),
    }
}

pub(crate) fn write_failed(uri: &str, cause: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Execution,
        "TASK_WRITE_FAILED",
        "58030",
        format!("Task failed while writing rows to {uri}. Cause: {cause}"),
    )
    .with("path", uri)
}

pub(crate) fn column_already_exists(name: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        "COLUMN_ALREADY_EXISTS",
        "42711",
        format!(
            "The column `{}` already exists. Choose another name or rename the existing column.",
            name.to_lowercase()
        ),
    )
    .with("columnName", format!("`{}`", name.to_lowercase()))
}

pub(crate) fn bad_option(key: &str, value: &str, way_out: &str) -> SparkError {
    SparkError::new(
        ErrorKind::IllegalArgument,
        "INVALID_OPTION_VALUE",
        "42616",
        format!("The option \"{key}\" has the value {value:?}, which is not possible: {way_out}."),
    )
    .with("option", key)
    .with("value", value)
}

pub(crate) fn unsupported_type(format: &str, column: &str, data_type: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
        "0A000",
        format!(
            "The {format} datasource doesn't support the column `{column}` of the type \"{data_type}\"."
        ),
    )
    .with("columnName", format!("`{column}`"))
    .with("columnType", format!("\"{data_type}\""))
    .with("format", format)
}

pub(crate) fn text_with_columns(count: usize) -> SparkError {
    SparkError::new(
        ErrorKind::Analysis,
        "_LEGACY_ERROR_TEMP_1290",
        "",
        format!("Text data source supports only a single column, and you have {count} columns."),
    )
    .with("schemaSize", count.to_string())
}

/// FAILFAST met a record it cannot infer a type from.
pub(crate) fn malformed_schema_inference(record: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Execution,
        "_LEGACY_ERROR_TEMP_2165",
        "",
        format!(
            "Malformed records are detected in schema inference: {record}. Parse Mode: FAILFAST. To infer \
             a schema without them, set the option 'mode' to 'PERMISSIVE' or 'DROPMALFORMED'."
        ),
    )
    .with("failFastMode", "FAILFAST")
}

/// FAILFAST met a record it cannot read.
pub(crate) fn malformed_record(record: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Execution,
        "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
        "22023",
        format!(
            "Malformed records are detected in record parsing: {record}. Parse Mode: FAILFAST. To \
             process malformed records as null result, try setting the option 'mode' as 'PERMISSIVE'."
        ),
    )
    .with("badRecord", record)
    .with("failFastMode", "FAILFAST")
}
