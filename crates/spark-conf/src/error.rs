//! What can be wrong with a setting; one clear line each.

/// A refused setting: names the property, the value and the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    /// The text is not of the property's kind.
    #[error("{name}: {value:?} is not valid{from}; expected {expected}", from = set_by(.origin))]
    Invalid {
        /// The property.
        name: String,
        /// The text that was refused.
        value: String,
        /// Where the text came from, for example `--executor-memory`; empty for a default.
        origin: String,
        /// The form a right value has.
        expected: String,
    },
    /// The property has no default and nobody set it.
    #[error("{name} is not set; expected {expected}")]
    Missing {
        /// The property.
        name: String,
        /// The form a right value has.
        expected: String,
    },
    /// Two settings do not fit together.
    #[error("{0}")]
    Conflict(String),
}

fn set_by(origin: &str) -> String {
    if origin.is_empty() { String::new() } else { format!(" (set by {origin})") }
}
