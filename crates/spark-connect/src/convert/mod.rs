//! Spark Connect messages to the plan language, and Spark types back to messages.
//!
//! Pure: what a conversion needs from the session (uploaded artifacts) comes through [`Lookup`].

mod expression;
mod literal;
mod relation;
mod types;

pub use expression::{expression, expressions, sort_orders};
pub use literal::literal;
pub use relation::{Lookup, Observed, relation, storage_relation};
pub(crate) use relation::{options, schema_text, sql_statement};
pub use types::{data_type, data_type_to_proto, schema_of, schema_to_proto};

use spark_sql_parser::error::{ErrorKind, SparkError};

/// A message that lacks a part which the protocol requires.
pub(crate) fn missing(part: &str) -> SparkError {
    SparkError::new(
        ErrorKind::IllegalArgument,
        "INVALID_PLAN_INPUT",
        "56K00",
        format!("The Spark Connect message lacks its {part}."),
    )
    .with("part", part)
}

/// A part of the protocol that this server does not offer.
pub(crate) fn unsupported(what: &str) -> SparkError {
    SparkError::new(
        ErrorKind::UnsupportedOperation,
        "UNSUPPORTED_CONNECT_FEATURE",
        "0A000",
        format!("{what} is not supported by this server."),
    )
    .with("feature", what)
}
