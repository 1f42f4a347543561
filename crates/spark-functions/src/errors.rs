//! Spark's error conditions as this crate raises them, in Spark 4's words.

use datafusion::error::DataFusionError;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::types::sql_name;

const ANSI_CONFIG: &str = "\"spark.sql.ansi.enabled\"";

/// Carries a Spark error through DataFusion unharmed.
pub(crate) fn external(error: SparkError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Finds the Spark error inside a DataFusion one, or reports the latter as an internal error.
#[must_use]
pub fn from_datafusion(error: &DataFusionError) -> SparkError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(spark) = current.downcast_ref::<SparkError>() {
            return spark.clone();
        }
        cause = match current.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner)) => {
                Some(inner.as_ref())
            }
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            _ => match current.downcast_ref::<arrow::error::ArrowError>() {
                Some(arrow::error::ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => current.source(),
            },
        };
    }
    internal(error.strip_backtrace())
}

pub(crate) fn internal(message: impl Into<String>) -> SparkError {
    SparkError::new(ErrorKind::Execution, "INTERNAL_ERROR", "XX000", message)
}

pub(crate) fn arithmetic_overflow(message: &str, hint: &str) -> SparkError {
    let alternative = if hint.is_empty() {
        String::new()
    } else {
        format!(" Use '{hint}' to tolerate overflow and return NULL instead.")
    };
    SparkError::new(
        ErrorKind::Arithmetic,
        "ARITHMETIC_OVERFLOW",
        "22003",
        format!(
            "{message}.{alternative} If necessary set {ANSI_CONFIG} to \"false\" to bypass this error."
        ),
    )
    .with("message", message)
    .with("alternative", alternative)
    .with("config", ANSI_CONFIG)
}

pub(crate) fn binary_overflow(left: &str, symbol: &str, right: &str, function: &str) -> SparkError {
    let function = format!("`{function}`");
    SparkError::new(
        ErrorKind::Arithmetic,
        "BINARY_ARITHMETIC_OVERFLOW",
        "22003",
        format!(
            "{left} {symbol} {right} caused overflow. Use {function} to ignore overflow problem and return NULL."
        ),
    )
    .with("value1", left)
    .with("symbol", symbol)
    .with("value2", right)
    .with("functionName", function)
}

pub(crate) fn divide_by_zero() -> SparkError {
    SparkError::new(
        ErrorKind::Arithmetic,
        "DIVIDE_BY_ZERO",
        "22012",
        format!(
            "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead. If necessary set {ANSI_CONFIG} to \"false\" to bypass this error."
        ),
    )
    .with("config", ANSI_CONFIG)
}

pub(crate) fn remainder_by_zero() -> SparkError {
    SparkError::new(
        ErrorKind::Arithmetic,
        "REMAINDER_BY_ZERO",
        "22012",
        format!(
            "Remainder by zero. Use `try_mod` to tolerate divisor being 0 and return NULL instead. If necessary set {ANSI_CONFIG} to \"false\" to bypass this error."
        ),
    )
    .with("config", ANSI_CONFIG)
}

pub(crate) fn interval_overflow(function: &str) -> SparkError {
    let text = "Integer overflow while operating with intervals.";
    if function.is_empty() {
        return SparkError::new(
            ErrorKind::Arithmetic,
            "INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION",
            "22015",
            format!("{text} Try devising appropriate values for the interval parameters."),
        );
    }
    let function = format!("`{function}`");
    SparkError::new(
        ErrorKind::Arithmetic,
        "INTERVAL_ARITHMETIC_OVERFLOW.WITH_SUGGESTION",
        "22015",
        format!("{text} Use {function} to tolerate overflow and return NULL instead."),
    )
    .with("functionName", function)
}

pub(crate) fn cast_overflow(value: &str, from: &DataType, to: &DataType) -> SparkError {
    let (source, target) = (quoted_type(from), quoted_type(to));
    SparkError::new(
        ErrorKind::Arithmetic,
        "CAST_OVERFLOW",
        "22003",
        format!(
            "The value {value} of the type {source} cannot be cast to {target} due to an overflow. Use `try_cast` to tolerate overflow and return NULL instead."
        ),
    )
    .with("value", value)
    .with("sourceType", source)
    .with("targetType", target)
}

pub(crate) fn cast_invalid_input(value: &str, from: &DataType, to: &DataType) -> SparkError {
    let (source, target) = (quoted_type(from), quoted_type(to));
    let kind = match to {
        DataType::Date | DataType::Timestamp | DataType::TimestampNtz => ErrorKind::DateTime,
        DataType::Boolean => ErrorKind::Runtime,
        _ => ErrorKind::NumberFormat,
    };
    SparkError::new(
        kind,
        "CAST_INVALID_INPUT",
        "22018",
        format!(
            "The value {value} of the type {source} cannot be cast to {target} because it is malformed. Correct the value as per the syntax, or change its target type. Use `try_cast` to tolerate malformed input and return NULL instead."
        ),
    )
    .with("expression", value)
    .with("sourceType", source)
    .with("targetType", target)
}

pub(crate) fn decimal_out_of_range(value: &str, precision: u8, scale: i8) -> SparkError {
    SparkError::new(
        ErrorKind::Arithmetic,
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        "22003",
        format!(
            "{value} cannot be represented as Decimal({precision}, {scale}). If necessary set {ANSI_CONFIG} to \"false\" to bypass this error, and return NULL instead."
        ),
    )
    .with("value", value)
    .with("precision", precision.to_string())
    .with("scale", scale.to_string())
    .with("config", ANSI_CONFIG)
}

pub(crate) fn invalid_array_index(index: i64, size: usize) -> SparkError {
    SparkError::new(
        ErrorKind::ArrayIndexOutOfBounds,
        "INVALID_ARRAY_INDEX",
        "22003",
        format!(
            "The index {index} is out of bounds. The array has {size} elements. Use the SQL function `get()` to tolerate accessing element at invalid index and return NULL instead."
        ),
    )
    .with("indexValue", index.to_string())
    .with("arraySize", size.to_string())
}

pub(crate) fn invalid_element_index(index: i64, size: usize) -> SparkError {
    SparkError::new(
        ErrorKind::ArrayIndexOutOfBounds,
        "INVALID_ARRAY_INDEX_IN_ELEMENT_AT",
        "22003",
        format!(
            "The index {index} is out of bounds. The array has {size} elements. Use `try_element_at` to tolerate accessing element at invalid index and return NULL instead."
        ),
    )
    .with("indexValue", index.to_string())
    .with("arraySize", size.to_string())
}

pub(crate) fn index_of_zero() -> SparkError {
    SparkError::new(
        ErrorKind::Runtime,
        "INVALID_INDEX_OF_ZERO",
        "22003",
        "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
    )
}

pub(crate) fn datetime_overflow(operation: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Arithmetic,
        "DATETIME_OVERFLOW",
        "22008",
        format!("Datetime operation overflow: {operation}."),
    )
    .with("operation", operation)
}

pub(crate) fn field_out_of_bounds(message: &str) -> SparkError {
    SparkError::new(
        ErrorKind::DateTime,
        "DATETIME_FIELD_OUT_OF_BOUNDS.WITH_SUGGESTION",
        "22023",
        format!("{message}. If necessary set {ANSI_CONFIG} to \"false\" to bypass this error."),
    )
    .with("rangeMessage", message)
    .with("ansiConfig", ANSI_CONFIG)
}

pub(crate) fn cannot_parse_timestamp(message: &str, function: &str) -> SparkError {
    let function = format!("`{function}`");
    SparkError::new(
        ErrorKind::DateTime,
        "CANNOT_PARSE_TIMESTAMP",
        "22007",
        format!(
            "{message}. Use {function} to tolerate invalid input string and return NULL instead."
        ),
    )
    .with("message", message)
    .with("func", function)
}

/// An argument whose value (not type) is wrong; `detail` is the sub-condition's sentence.
pub(crate) fn invalid_parameter(
    sub_condition: &str,
    parameter: &str,
    function: &str,
    detail: &str,
) -> SparkError {
    let (parameter, function) = (format!("`{parameter}`"), format!("`{function}`"));
    SparkError::new(
        ErrorKind::Runtime,
        &format!("INVALID_PARAMETER_VALUE.{sub_condition}"),
        "22023",
        format!("The value of parameter(s) {parameter} in {function} is invalid: {detail}"),
    )
    .with("parameter", parameter)
    .with("functionName", function)
}

pub(crate) fn wrong_num_args(function: &str, expected: &str, actual: usize) -> SparkError {
    let function = format!("`{function}`");
    SparkError::new(
        ErrorKind::Analysis,
        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
        "42605",
        format!(
            "The {function} requires {expected} parameters but the actual number is {actual}. Please, refer to 'https://spark.apache.org/docs/latest/sql-ref-functions.html' for a fix."
        ),
    )
    .with("functionName", function)
    .with("expectedNum", expected)
    .with("actualNum", actual.to_string())
    .with("docroot", "https://spark.apache.org/docs/latest")
}

/// DATATYPE_MISMATCH with any sub-condition.
pub(crate) fn mismatch(sub_condition: &str, sql: &str, detail: &str) -> SparkError {
    let sql = format!("\"{sql}\"");
    SparkError::new(
        ErrorKind::Analysis,
        &format!("DATATYPE_MISMATCH.{sub_condition}"),
        "42K09",
        format!("Cannot resolve {sql} due to data type mismatch: {detail}"),
    )
    .with("sqlExpr", sql)
}

pub(crate) fn unexpected_input_type(
    sql: &str,
    index: usize,
    required: &str,
    input_sql: &str,
    input: &DataType,
) -> SparkError {
    const ORDINALS: [&str; 10] = [
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
        "tenth",
    ];
    let ordinal = ORDINALS.get(index).copied().unwrap_or("last");
    let (required, input) = (format!("({required})"), quoted_type(input));
    let required =
        if required.contains('"') { required } else { required.replace(['(', ')'], "\"") };
    mismatch(
        "UNEXPECTED_INPUT_TYPE",
        sql,
        &format!(
            "The {ordinal} parameter requires the {required} type, however \"{input_sql}\" has the type {input}."
        ),
    )
    .with("paramIndex", ordinal)
    .with("requiredType", required)
    .with("inputSql", format!("\"{input_sql}\""))
    .with("inputType", input)
}

pub(crate) fn unresolved_routine(name: &str) -> SparkError {
    let name = format!("`{name}`");
    let path = "[`system`.`builtin`, `system`.`session`, `spark_catalog`.`default`]";
    SparkError::new(
        ErrorKind::Analysis,
        "UNRESOLVED_ROUTINE",
        "42883",
        format!("Cannot resolve routine {name} on search path {path}."),
    )
    .with("routineName", name)
    .with("searchPath", path)
}

pub(crate) fn raised(message: &str) -> SparkError {
    SparkError::new(ErrorKind::Runtime, "USER_RAISED_EXCEPTION", "P0001", message)
        .with("errorMessage", message)
}

pub(crate) fn duplicated_map_key(key: &str) -> SparkError {
    SparkError::new(
        ErrorKind::Runtime,
        "DUPLICATED_MAP_KEY",
        "23505",
        format!(
            "Duplicate map key {key} was found, please check the input data.\nIf you want to remove the duplicated keys, you can set \"spark.sql.mapKeyDedupPolicy\" to \"LAST_WIN\" so that the key inserted at last takes precedence."
        ),
    )
    .with("key", key)
    .with("mapKeyDedupPolicy", "\"spark.sql.mapKeyDedupPolicy\"")
}

pub(crate) fn null_map_key() -> SparkError {
    SparkError::new(ErrorKind::Runtime, "NULL_MAP_KEY", "2200E", "Cannot use null as map key.")
}

/// A type between double quotes, as messages show it.
pub(crate) fn quoted_type(data_type: &DataType) -> String {
    format!("\"{}\"", sql_name(data_type))
}
