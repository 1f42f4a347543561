//! Errors as Spark Connect clients expect them.
//!
//! The status carries a `google.rpc.ErrorInfo` whose metadata decides the Python exception type, condition and SQLSTATE;
//! what does not fit into gRPC metadata is served by `FetchErrorDetails`.

use std::collections::{HashMap, VecDeque};

use datafusion::error::DataFusionError;
use parking_lot::Mutex;
use prost::Message;
use spark_connect_proto as sc;
use spark_plan::errors::known_datafusion;
use spark_sql_parser::error::{ErrorKind, SparkError};
use tonic::{Code, Status};

/// Longest message in a status: gRPC bounds all metadata to 8 KiB.
const STATUS_MESSAGE_BYTES: usize = 2048;
/// Parameters beyond this are left to `FetchErrorDetails`.
const STATUS_PARAMETER_BYTES: usize = 1024;
/// Errors kept per session for `FetchErrorDetails`.
const KEPT_ERRORS: usize = 64;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(map = "string, string", tag = "3")]
    metadata: HashMap<String, String>,
}

/// The last errors of a session, by id.
#[derive(Debug, Default)]
pub struct ErrorLog {
    errors: Mutex<VecDeque<(String, SparkError)>>,
}

impl ErrorLog {
    /// Remembers the error and gives the status that names it.
    pub fn status(&self, error: SparkError) -> Status {
        let id = uuid::Uuid::new_v4().to_string();
        let status = status(&error, Some(&id));
        let mut errors = self.errors.lock();
        if errors.len() == KEPT_ERRORS {
            errors.pop_front();
        }
        errors.push_back((id, error));
        status
    }

    /// The whole error, for `FetchErrorDetails`.
    pub fn details(&self, id: &str) -> Option<sc::fetch_error_details_response::Error> {
        let errors = self.errors.lock();
        errors.iter().find(|(known, _)| known == id).map(|(_, error)| details(error))
    }
}

/// The Java class chain of an exception, most specific first.
fn classes(kind: ErrorKind) -> &'static [&'static str] {
    match kind {
        ErrorKind::Parse => &[
            "org.apache.spark.sql.catalyst.parser.ParseException",
            "org.apache.spark.sql.AnalysisException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
        ErrorKind::Analysis => &[
            "org.apache.spark.sql.AnalysisException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
        ErrorKind::Arithmetic => &[
            "org.apache.spark.SparkArithmeticException",
            "java.lang.ArithmeticException",
            "java.lang.RuntimeException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
        ErrorKind::ArrayIndexOutOfBounds => &[
            "org.apache.spark.SparkArrayIndexOutOfBoundsException",
            "java.lang.ArrayIndexOutOfBoundsException",
            "java.lang.IndexOutOfBoundsException",
            "java.lang.RuntimeException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
        ErrorKind::DateTime => &[
            "org.apache.spark.SparkDateTimeException",
            "java.time.DateTimeException",
            "java.lang.RuntimeException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
        ErrorKind::IllegalArgument => &[
            "org.apache.spark.SparkIllegalArgumentException",
            "java.lang.IllegalArgumentException",
            "java.lang.RuntimeException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
        ErrorKind::NumberFormat => &[
            "org.apache.spark.SparkNumberFormatException",
            "java.lang.NumberFormatException",
            "java.lang.IllegalArgumentException",
            "java.lang.RuntimeException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
        ErrorKind::NoSuchElement => &[
            "org.apache.spark.SparkNoSuchElementException",
            "java.util.NoSuchElementException",
            "java.lang.RuntimeException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
        ErrorKind::UnsupportedOperation => &[
            "org.apache.spark.SparkUnsupportedOperationException",
            "java.lang.UnsupportedOperationException",
            "java.lang.RuntimeException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
        ErrorKind::Runtime => &[
            "org.apache.spark.SparkRuntimeException",
            "java.lang.RuntimeException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
        ErrorKind::Execution => &[
            "org.apache.spark.SparkException",
            "java.lang.Exception",
            "java.lang.Throwable",
            "java.lang.Object",
        ],
    }
}

/// The status of an error; `id` names it for `FetchErrorDetails`.
#[must_use]
pub fn status(error: &SparkError, id: Option<&str>) -> Status {
    let message = truncate(&error.to_string(), STATUS_MESSAGE_BYTES);
    let classes = classes(error.kind);
    let mut metadata = HashMap::from([
        ("classes".to_owned(), serde_json::Value::from(classes).to_string()),
        ("errorClass".to_owned(), error.condition.clone()),
        ("sqlState".to_owned(), error.sql_state.clone()),
    ]);
    let parameters = parameters_json(error);
    if parameters.len() <= STATUS_PARAMETER_BYTES {
        metadata.insert("messageParameters".to_owned(), parameters);
    }
    if let Some(id) = id {
        metadata.insert("errorId".to_owned(), id.to_owned());
    }
    let info = ErrorInfo {
        reason: classes[0].to_owned(),
        domain: "org.apache.spark".to_owned(),
        metadata,
    };
    let details = RpcStatus {
        code: Code::Internal as i32,
        message: message.clone(),
        details: vec![prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: info.encode_to_vec(),
        }],
    };
    Status::with_details(Code::Internal, message, details.encode_to_vec().into())
}

fn parameters_json(error: &SparkError) -> String {
    let map: serde_json::Map<String, serde_json::Value> = error
        .parameters
        .iter()
        .map(|(key, value)| (key.clone(), serde_json::Value::from(value.clone())))
        .collect();
    serde_json::Value::Object(map).to_string()
}

fn truncate(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &text[..end])
}

fn details(error: &SparkError) -> sc::fetch_error_details_response::Error {
    use sc::fetch_error_details_response as response;
    let contexts = error.context.iter().map(|context| response::QueryContext {
        context_type: response::query_context::ContextType::Sql as i32,
        start_index: i32::try_from(context.start_index).unwrap_or(i32::MAX),
        stop_index: i32::try_from(context.stop_index).unwrap_or(i32::MAX),
        fragment: context.fragment.clone(),
        ..Default::default()
    });
    response::Error {
        error_type_hierarchy: classes(error.kind).iter().map(|c| (*c).to_owned()).collect(),
        message: error.to_string(),
        stack_trace: Vec::new(),
        cause_idx: None,
        spark_throwable: Some(response::SparkThrowable {
            error_class: Some(error.condition.clone()),
            message_parameters: error.parameters.iter().cloned().collect(),
            query_contexts: contexts.collect(),
            sql_state: Some(error.sql_state.clone()),
            ..Default::default()
        }),
    }
}

/// The user's error inside an execution error, or an INTERNAL_ERROR that says what happened.
#[must_use]
pub fn from_datafusion(error: &DataFusionError) -> SparkError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = source {
        if let Some(spark) = current.downcast_ref::<SparkError>() {
            return spark.clone();
        }
        if let Some(DataFusionError::Shared(shared)) = current.downcast_ref::<DataFusionError>() {
            return from_datafusion(shared);
        }
        source = match current.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            _ => match current.downcast_ref::<arrow::error::ArrowError>() {
                Some(arrow::error::ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => current.source(),
            },
        };
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(text) => SparkError::new(
            ErrorKind::Execution,
            "UNABLE_TO_ACQUIRE_MEMORY",
            "53200",
            format!(
                "{text}. Raise spark.driver.memory, which bounds the operators of this process."
            ),
        ),
        root => known_datafusion(root).unwrap_or_else(|| {
            SparkError::new(
                ErrorKind::Execution,
                "INTERNAL_ERROR",
                "XX000",
                format!(
                    "{} Please report this with the query that caused it.",
                    sentence(&root.to_string())
                ),
            )
        }),
    }
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

/// Errors of session and operation handles, in Spark's words: the client looks for these conditions.
#[must_use]
pub fn invalid_handle(sub: &str, handle: &str, text: &str) -> Status {
    let condition = format!("INVALID_HANDLE.{sub}");
    let text = format!("The handle {handle} is invalid. {text}");
    status(
        &SparkError::new(ErrorKind::Execution, &condition, "HY000", text).with("handle", handle),
        None,
    )
}

/// Errors of response cursors.
#[must_use]
pub fn invalid_cursor(sub: &str, text: &str) -> Status {
    let condition = format!("INVALID_CURSOR.{sub}");
    let text = format!("The cursor is invalid. {text}");
    status(&SparkError::new(ErrorKind::Execution, &condition, "HY109", text), None)
}
