//! Names of blocks.

use std::fmt;
use std::path::PathBuf;

/// A file of segments in a [`crate::ShuffleStore`]. Only numbers, so a name from the wire can
/// never point outside the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockId {
    /// What one attempt of a map task wrote; one segment per reduce partition.
    Shuffle {
        /// The shuffle.
        shuffle: u64,
        /// The map partition.
        map_partition: u32,
        /// The attempt that wrote it, so that attempts never write over each other.
        task: u64,
    },
    /// A broadcast value; one segment.
    Broadcast {
        /// Its number.
        id: u64,
    },
    /// A task's result too large for the answer itself; one segment.
    Result {
        /// The task attempt.
        task: u64,
    },
}

impl BlockId {
    /// The folder inside the application's directory; all that goes together goes at once.
    pub(crate) fn folder(self) -> String {
        match self {
            Self::Shuffle { shuffle, .. } => format!("shuffle-{shuffle}"),
            Self::Broadcast { .. } => "broadcast".to_owned(),
            Self::Result { .. } => "result".to_owned(),
        }
    }

    /// The path inside the application's directory.
    pub(crate) fn path(self) -> PathBuf {
        let file = match self {
            Self::Shuffle { map_partition, task, .. } => format!("{map_partition}-{task}.data"),
            Self::Broadcast { id } => format!("{id}.data"),
            Self::Result { task } => format!("{task}.data"),
        };
        PathBuf::from(self.folder()).join(file)
    }

    /// Spreads blocks over directories.
    pub(crate) fn spread(self) -> u64 {
        match self {
            Self::Shuffle { shuffle, map_partition, task } => {
                shuffle.wrapping_mul(31) ^ u64::from(map_partition) ^ task
            }
            Self::Broadcast { id } => id,
            Self::Result { task } => task,
        }
    }
}

impl fmt::Display for BlockId {
    /// As Spark names them in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shuffle { shuffle, map_partition, task } => {
                write!(f, "shuffle_{shuffle}_{map_partition} (attempt {task})")
            }
            Self::Broadcast { id } => write!(f, "broadcast_{id}"),
            Self::Result { task } => write!(f, "taskresult_{task}"),
        }
    }
}
