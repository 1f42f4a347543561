//! Why there is no subscription.

use crate::address::AddressError;
use crate::subscription::Problem;

/// Why a client could not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No subscription came about.
    #[error(transparent)]
    Subscription(#[from] Problem),
    /// A call was made after the client ended.
    #[error("the subscription has ended")]
    Ended,
    /// A call reached the master but was not taken.
    #[error("the master refused {call}: {status} {text}")]
    CallRefused {
        /// The call.
        call: &'static str,
        /// HTTP status.
        status: u16,
        /// The master's words.
        text: String,
    },
    /// A call did not reach the master.
    #[error("{call} did not reach the master: {problem}")]
    CallLost {
        /// The call.
        call: &'static str,
        /// What happened.
        problem: String,
    },
}
