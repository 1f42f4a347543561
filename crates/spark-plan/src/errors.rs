//! Constructors of the Spark error conditions this crate raises, and the way errors travel through DataFusion.

use datafusion::error::DataFusionError;
use spark_sql_parser::error::{ErrorKind, SparkError};

/// The message by which a plan reports that a scalar subquery had a second row.
pub(crate) const TOO_MANY_ROWS: &str =
    "More than one row returned by a subquery used as an expression.";

pub type Result<T, E = SparkError> = std::result::Result<T, E>;

/// Wraps a Spark error so that it passes through DataFusion unharmed.
#[must_use]
pub fn external(error: SparkError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Finds the Spark error inside a DataFusion error, or makes an internal one of its text.
#[must_use]
pub fn from_datafusion(error: DataFusionError) -> SparkError {
    let error = spark_error_of(error);
    if error.text.contains(TOO_MANY_ROWS) { too_many_rows() } else { error }
}

/// Spark's error for a scalar subquery with a second row.
fn too_many_rows() -> SparkError {
    SparkError::new(ErrorKind::Runtime, "SCALAR_SUBQUERY_TOO_MANY_ROWS", "21000", TOO_MANY_ROWS)
}

/// What an error of DataFusion's own stands for in Spark, where Spark has a condition for it.
#[must_use]
pub fn known_datafusion(error: &DataFusionError) -> Option<SparkError> {
    match error {
        DataFusionError::Execution(text) if text.contains("returned more than one row") => {
            Some(too_many_rows())
        }
        DataFusionError::NotImplemented(text) => Some(unsupported(text.clone())),
        _ => None,
    }
}

fn spark_error_of(error: DataFusionError) -> SparkError {
    match error.find_root() {
        DataFusionError::External(cause) => {
            if let Some(spark) = cause.downcast_ref::<SparkError>() {
                return spark.clone();
            }
        }
        DataFusionError::ArrowError(cause, _) => {
            if let arrow::error::ArrowError::ExternalError(cause) = cause.as_ref() {
                if let Some(spark) = cause.downcast_ref::<SparkError>() {
                    return spark.clone();
                }
                if let Some(inner) = cause.downcast_ref::<DataFusionError>()
                    && let DataFusionError::External(cause) = inner.find_root()
                    && let Some(spark) = cause.downcast_ref::<SparkError>()
                {
                    return spark.clone();
                }
            }
        }
        DataFusionError::ResourcesExhausted(message) => {
            return SparkError::new(
                ErrorKind::Execution,
                "UNABLE_TO_ACQUIRE_MEMORY",
                "53200",
                message.clone(),
            );
        }
        _ => {}
    }
    known_datafusion(error.find_root()).unwrap_or_else(|| internal(error.strip_backtrace()))
}

pub(crate) fn internal(text: impl Into<String>) -> SparkError {
    let text = text.into();
    SparkError::new(ErrorKind::Execution, "INTERNAL_ERROR", "XX000", text.clone())
        .with("message", text)
}

pub(crate) fn analysis(condition: &str, sql_state: &str, text: impl Into<String>) -> SparkError {
    SparkError::new(ErrorKind::Analysis, condition, sql_state, text)
}

pub(crate) fn unsupported(what: impl Into<String>) -> SparkError {
    let what = what.into();
    SparkError::new(
        ErrorKind::UnsupportedOperation,
        "UNSUPPORTED_FEATURE",
        "0A000",
        format!("The feature is not supported: {what}."),
    )
    .with("feature", what)
}

/// `` `a`.`b` ``: how Spark quotes names in messages.
#[must_use]
pub fn quoted(parts: &[String]) -> String {
    parts.iter().map(|p| format!("`{}`", p.replace('`', "``"))).collect::<Vec<_>>().join(".")
}

pub(crate) fn unresolved_column(name: &[String], candidates: &[Vec<String>]) -> SparkError {
    let object = quoted(name);
    if candidates.is_empty() {
        return analysis(
            "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION",
            "42703",
            format!(
                "A column, variable, or function parameter with name {object} cannot be resolved."
            ),
        )
        .with("objectName", object);
    }
    let proposal = suggestions(name, candidates);
    analysis(
        "UNRESOLVED_COLUMN.WITH_SUGGESTION",
        "42703",
        format!(
            "A column, variable, or function parameter with name {object} cannot be resolved. \
             Did you mean one of the following? [{proposal}]."
        ),
    )
    .with("objectName", object)
    .with("proposal", proposal)
}

/// Orders candidates by edit distance to the wanted name as `StringUtils.orderSuggestedIdentifiersBySimilarity`
/// does: the common prefix of all qualifiers is dropped, five are kept.
fn suggestions(name: &[String], candidates: &[Vec<String>]) -> String {
    let single = name.len() == 1;
    let same_qualifier = candidates
        .windows(2)
        .all(|pair| pair[0][..pair[0].len() - 1] == pair[1][..pair[1].len() - 1]);
    let shortened: Vec<Vec<String>> = candidates
        .iter()
        .map(|c| {
            if single && same_qualifier {
                vec![c[c.len() - 1].clone()]
            } else {
                let from = c.len().saturating_sub(2);
                c[from..].to_vec()
            }
        })
        .collect();
    let wanted = name.join(".");
    let mut scored: Vec<(usize, String)> =
        shortened.iter().map(|c| (strsim::levenshtein(&c.join("."), &wanted), quoted(c))).collect();
    scored.sort_by_key(|(distance, _)| *distance);
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().take(5).map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}

pub(crate) fn ambiguous(name: &[String], references: &[Vec<String>]) -> SparkError {
    let object = quoted(name);
    let list = references.iter().map(|r| quoted(r)).collect::<Vec<_>>().join(", ");
    analysis(
        "AMBIGUOUS_REFERENCE",
        "42704",
        format!("Reference {object} is ambiguous, could be: [{list}]."),
    )
    .with("name", object)
    .with("referenceNames", format!("[{list}]"))
}

pub(crate) fn ambiguous_dataframe_column(name: &[String]) -> SparkError {
    let object = quoted(name);
    analysis(
        "AMBIGUOUS_COLUMN_REFERENCE",
        "42702",
        format!(
            "Column {object} is ambiguous. It's because you joined several DataFrame together, and some of these \
             DataFrames are the same.\nThis column points to one of the DataFrame but Spark is unable to figure out \
             which one.\nPlease alias the DataFrames with different names via `DataFrame.alias` before joining them,\n\
             and specify the column using qualified name, e.g. `df.alias(\"a\").join(df.alias(\"b\"), col(\"a.id\") > \
             col(\"b.id\"))`."
        ),
    )
    .with("name", object)
}

pub(crate) fn where_condition(condition: &str, expressions: &str) -> SparkError {
    analysis(
        "INVALID_WHERE_CONDITION",
        "42903",
        format!(
            "The WHERE condition \"{condition}\" contains invalid expressions: {expressions}.\nRewrite the query to \
             avoid window functions, aggregate functions, and generator functions in the WHERE clause."
        ),
    )
    .with("condition", format!("\"{condition}\""))
    .with("expressionList", expressions)
}

pub(crate) fn table_not_found(name: &[String]) -> SparkError {
    let relation = quoted(name);
    analysis(
        "TABLE_OR_VIEW_NOT_FOUND",
        "42P01",
        format!(
            "The table or view {relation} cannot be found. Verify the spelling and correctness of the schema and \
             catalog.\nIf you did not qualify the name with a schema, verify the current_schema() output, or qualify \
             the name with the correct schema and catalog.\nTo tolerate the error on drop use DROP VIEW IF EXISTS \
             or DROP TABLE IF EXISTS."
        ),
    )
    .with("relationName", relation)
}

pub(crate) fn table_exists(name: &[String]) -> SparkError {
    let relation = quoted(name);
    analysis(
        "TABLE_OR_VIEW_ALREADY_EXISTS",
        "42P07",
        format!(
            "Cannot create table or view {relation} because it already exists.\nChoose a different name, drop or \
             replace the existing object, or add the IF NOT EXISTS clause to tolerate pre-existing objects."
        ),
    )
    .with("relationName", relation)
}

pub(crate) fn temp_view_exists(name: &[String]) -> SparkError {
    let relation = quoted(name);
    analysis(
        "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS",
        "42P07",
        format!(
            "Cannot create the temporary view {relation} because it already exists.\nChoose a different name, drop \
             or replace the existing view, or add the IF NOT EXISTS clause to tolerate pre-existing views."
        ),
    )
    .with("relationName", relation)
}

pub(crate) fn schema_not_found(name: &[String]) -> SparkError {
    let schema = quoted(name);
    analysis(
        "SCHEMA_NOT_FOUND",
        "42704",
        format!(
            "The schema {schema} cannot be found. Verify the spelling and correctness of the schema and catalog.\n\
             If you did not qualify the name with a catalog, verify the current_schema() output, or qualify the name \
             with the correct catalog.\nTo tolerate the error on drop use DROP SCHEMA IF EXISTS."
        ),
    )
    .with("schemaName", schema)
}

pub(crate) fn not_boolean(operator: &str, sql: &str, data_type: &str) -> SparkError {
    analysis(
        "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN",
        "42K09",
        format!(
            "Cannot resolve \"{sql}\" due to data type mismatch: {operator} expression \"{sql}\" of type \
             \"{data_type}\" is not a boolean."
        ),
    )
    .with("sqlExpr", format!("\"{sql}\""))
    .with("filter", format!("\"{sql}\""))
    .with("type", format!("\"{data_type}\""))
}

pub(crate) fn missing_aggregation(expression: &str, any_value: &str) -> SparkError {
    analysis(
        "MISSING_AGGREGATION",
        "42803",
        format!(
            "The non-aggregating expression \"{expression}\" is based on columns which are not participating in the \
             GROUP BY clause.\nAdd the columns or the expression to the GROUP BY, aggregate the expression, or use \
             \"{any_value}\" if you do not care which of the values within a group is returned."
        ),
    )
    .with("expression", format!("\"{expression}\""))
    .with("expressionAnyValue", format!("\"{any_value}\""))
}

pub(crate) fn missing_group_by() -> SparkError {
    analysis(
        "MISSING_GROUP_BY",
        "42803",
        "The query does not include a GROUP BY clause. Add GROUP BY or turn it into the window functions using OVER \
         clauses.",
    )
}
