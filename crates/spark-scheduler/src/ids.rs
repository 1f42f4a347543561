//! Identifiers and the time the scheduler sees.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A job: one action of the user, chosen by the caller, unique in the application.
    JobId,
    u64
);
number_id!(
    /// A stage of the application, chosen by the caller; a stage of a reused shuffle keeps its id.
    StageId,
    u64
);
number_id!(
    /// A shuffle: the exchange between a map stage and its readers, chosen by the caller.
    ShuffleId,
    u64
);
number_id!(
    /// One task attempt, unique in the application (Spark's TID); chosen by the scheduler.
    TaskId,
    u64
);

/// An executor's id, as it registered under; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExecutorId(Arc<str>);

impl ExecutorId {
    /// Makes the id from its text.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ExecutorId {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for ExecutorId {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

impl fmt::Display for ExecutorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A moment: the time passed since some start the caller fixed once. Never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub Duration);

impl Time {
    /// The moment `millis` milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }
}
