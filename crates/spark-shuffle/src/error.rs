//! What can go wrong with a store and with a fetch.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::block::BlockId;

/// What went wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No local directory could be used.
    #[error(
        "no local directory can be written to (tried {tried}); set spark.local.dir or \
         SPARK_LOCAL_DIRS to a directory with space"
    )]
    NoDirectory {
        /// The directories tried.
        tried: String,
        /// Why the last one could not.
        #[source]
        source: Option<io::Error>,
    },
    /// An operation on a file.
    #[error("could not {what} {path}", path = path.display())]
    File {
        /// The verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Every local directory is full.
    #[error(
        "no space left for {block} in any local directory; free some, or name a larger one in \
         spark.local.dir"
    )]
    Full {
        /// The block written.
        block: BlockId,
        /// What the last directory said.
        #[source]
        source: io::Error,
    },
    /// The block is not in the store.
    #[error("{block} is not in the store")]
    Missing {
        /// The block.
        block: BlockId,
    },
    /// The block's file is not as it was written.
    #[error("{block} is corrupt: {what}")]
    Corrupt {
        /// The block.
        block: BlockId,
        /// What does not fit.
        what: String,
    },
    /// Segments must be written in order.
    #[error("segment {segment} of {block} written after segment {after}, or beyond {segments}")]
    Order {
        /// The block.
        block: BlockId,
        /// The segment asked for.
        segment: u32,
        /// The last one written.
        after: u32,
        /// Number of segments.
        segments: u32,
    },
    /// The shuffle was removed while a late task still wrote for it.
    #[error("{block} belongs to a shuffle that was removed")]
    Removed {
        /// The block.
        block: BlockId,
    },
}

/// A block that could not be fetched: what a task reports as a fetch failure.
#[derive(Clone, Debug, thiserror::Error)]
#[error("could not fetch {block} from {address}: {kind}")]
pub struct FetchError {
    /// The block.
    pub block: BlockId,
    /// Where it should have been.
    pub address: Arc<str>,
    /// What happened.
    pub kind: FetchErrorKind,
}

impl FetchError {
    /// Whether everything at that address must be thought lost, not this block only.
    pub fn address_lost(&self) -> bool {
        match self.kind {
            FetchErrorKind::Unreachable(_) | FetchErrorKind::Refused(_) => true,
            FetchErrorKind::Missing(_) | FetchErrorKind::Corrupt(_) => false,
        }
    }
}

/// Why a fetch failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchErrorKind {
    /// The server does not have the block.
    #[error("missing there: {0}")]
    Missing(String),
    /// The bytes are not those that were written.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// One side does not know the application's secret.
    #[error("authentication refused: {0}")]
    Refused(String),
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
