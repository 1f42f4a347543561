//! What happens to records that cannot be read.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::options::Options;

/// `ParseMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ParseMode {
    Permissive,
    DropMalformed,
    FailFast,
}

impl ParseMode {
    /// An unknown mode is permissive, with a warning, as in Spark.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        Ok(match options.get("mode").map(str::to_uppercase).as_deref() {
            None | Some("PERMISSIVE") => Self::Permissive,
            Some("DROPMALFORMED") => Self::DropMalformed,
            Some("FAILFAST") => Self::FailFast,
            Some(other) => {
                tracing::warn!(mode = other, "unknown parse mode, PERMISSIVE is used");
                Self::Permissive
            }
        })
    }
}
