//! Which directories an executor uses: Spark's order of local directories, and a RAM disk in front
//! of them where one can be used.

use std::path::{Path, PathBuf};

use crate::store::TierOptions;

/// Docker gives each container a `/dev/shm` of its own of this size; one that is not larger is
/// thought private.
const PRIVATE_TMPFS_BYTES: u64 = 64 * 1024 * 1024;

/// A RAM disk must be this many times the budget: others use it, too.
const TMPFS_ROOM: u64 = 2;

/// What says where files go, most important first (Spark's `Utils.getConfiguredLocalDirs`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalDirectories {
    /// `SPARK_EXECUTOR_DIRS`, separated by `:`.
    pub executor_dirs: Option<String>,
    /// `SPARK_LOCAL_DIRS`, separated by `,`.
    pub local_dirs: Option<String>,
    /// `MESOS_SANDBOX`, or `MESOS_DIRECTORY` of older agents. Not used with a shuffle service: the
    /// agent would delete it with the executor.
    pub sandbox: Option<String>,
    /// `spark.local.dir`, separated by `,`.
    pub configured: Option<String>,
    /// `spark.shuffle.service.enabled`.
    pub shuffle_service: bool,
}

impl LocalDirectories {
    /// Reads the environment; `configured` and `shuffle_service` are properties.
    pub fn from_environment(
        lookup: impl Fn(&str) -> Option<String>,
        configured: Option<String>,
        shuffle_service: bool,
    ) -> Self {
        let lookup = |name: &str| lookup(name).filter(|text| !text.trim().is_empty());
        Self {
            executor_dirs: lookup("SPARK_EXECUTOR_DIRS"),
            local_dirs: lookup("SPARK_LOCAL_DIRS"),
            sandbox: lookup("MESOS_SANDBOX").or_else(|| lookup("MESOS_DIRECTORY")),
            configured,
            shuffle_service,
        }
    }

    /// The directories of the first source that names one; the system's temporary one if none does.
    pub fn directories(&self) -> Vec<PathBuf> {
        let split = |text: &Option<String>, separator: char| -> Vec<PathBuf> {
            let text = text.as_deref().unwrap_or_default();
            let names = text.split(separator).map(str::trim).filter(|name| !name.is_empty());
            names.map(PathBuf::from).collect()
        };
        let sandbox = if self.shuffle_service { &None } else { &self.sandbox };
        [
            split(&self.executor_dirs, ':'),
            split(&self.local_dirs, ','),
            split(sandbox, '\0'),
            split(&self.configured, ','),
        ]
        .into_iter()
        .find(|directories| !directories.is_empty())
        .unwrap_or_else(|| vec![std::env::temp_dir()])
    }
}

/// Why blocks do not go to a RAM disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMemoryTier {
    /// No budget was given (`spark.ferrospark.shuffle.memory`).
    #[error("spark.ferrospark.shuffle.memory is 0")]
    NoBudget,
    /// The directory is not there, or cannot be looked at.
    #[error("{} cannot be used: {why}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It is on a disk.
    #[error("{} is not a RAM disk", path.display())]
    NotTmpfs {
        /// The directory.
        path: PathBuf,
    },
    /// It is so small that it must be a container's own, or fills up.
    #[error(
        "{} has {total} bytes, {free} of them free: too few for a budget of {budget} beside others",
        path.display()
    )]
    Small {
        /// The directory.
        path: PathBuf,
        /// Its size.
        total: u64,
        /// What is free of it.
        free: u64,
        /// What was asked for.
        budget: u64,
    },
}

/// What was found out about a directory's file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileSystem {
    tmpfs: bool,
    total: u64,
    free: u64,
}

/// A tier of `budget` bytes on the RAM disk at `path`, usually `/dev/shm`. The bytes are the
/// executor's memory, and must be counted in what it asks of Mesos; operators never spill there.
///
/// # Errors
/// If there is no budget, or `path` is not a RAM disk with room for twice the budget: then disks
/// are the only tier, which is always right, only slower.
pub fn memory_tier(path: &Path, budget: u64) -> Result<TierOptions, NoMemoryTier> {
    if budget == 0 {
        return Err(NoMemoryTier::NoBudget);
    }
    let found = nix::sys::statfs::statfs(path)
        .map(|found| {
            let block = found.block_size().max(0) as u64;
            FileSystem {
                tmpfs: found.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC,
                total: found.blocks() * block,
                free: found.blocks_available() * block,
            }
        })
        .map_err(|error| NoMemoryTier::Unusable {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
    judge(path, budget, found)?;
    Ok(TierOptions { directories: vec![path.to_owned()], budget_bytes: Some(budget) })
}

fn judge(path: &Path, budget: u64, found: FileSystem) -> Result<(), NoMemoryTier> {
    let path = path.to_owned();
    let FileSystem { tmpfs, total, free } = found;
    if !tmpfs {
        return Err(NoMemoryTier::NotTmpfs { path });
    }
    let room = budget.saturating_mul(TMPFS_ROOM);
    if total <= PRIVATE_TMPFS_BYTES || total < room || free < budget {
        return Err(NoMemoryTier::Small { path, total, free, budget });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directories(set: &[(&str, &str)], configured: &str, service: bool) -> Vec<PathBuf> {
        let lookup = |name: &str| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let configured = (!configured.is_empty()).then(|| configured.to_owned());
        LocalDirectories::from_environment(lookup, configured, service).directories()
    }

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn the_first_source_that_names_one_counts() {
        let all = [
            ("SPARK_EXECUTOR_DIRS", "/x:/y"),
            ("SPARK_LOCAL_DIRS", "/a, /b"),
            ("MESOS_SANDBOX", "/sandbox"),
            ("MESOS_DIRECTORY", "/old"),
        ];
        assert_eq!(directories(&all, "/c,/d", false), paths(&["/x", "/y"]));
        assert_eq!(directories(&all[1..], "/c,/d", false), paths(&["/a", "/b"]));
        assert_eq!(directories(&all[2..], "/c,/d", false), paths(&["/sandbox"]));
        assert_eq!(directories(&all[3..], "/c,/d", false), paths(&["/old"]));
        assert_eq!(directories(&[], "/c,/d", false), paths(&["/c", "/d"]));
        assert_eq!(directories(&[("SPARK_LOCAL_DIRS", " ")], "", false), [std::env::temp_dir()]);
        // The agent deletes the sandbox, the service must still have the files.
        assert_eq!(directories(&all[2..], "/c,/d", true), paths(&["/c", "/d"]));
    }

    #[test]
    fn a_small_or_private_ram_disk_and_a_disk_are_not_used() {
        const MIB: u64 = 1024 * 1024;
        let found = |tmpfs, total, free| FileSystem { tmpfs, total: total * MIB, free: free * MIB };
        let judge = |found| judge(Path::new("/dev/shm"), 256 * MIB, found);
        assert_eq!(judge(found(true, 4096, 4000)), Ok(()));
        assert!(matches!(judge(found(false, 4096, 4000)), Err(NoMemoryTier::NotTmpfs { .. })));
        for (total, free) in [(64, 64), (400, 400), (4096, 100)] {
            let refused = judge(found(true, total, free));
            assert!(matches!(refused, Err(NoMemoryTier::Small { .. })), "{total} {free}");
        }
        assert_eq!(memory_tier(Path::new("/dev/shm"), 0), Err(NoMemoryTier::NoBudget));
        let nowhere = memory_tier(Path::new("/nowhere"), 1);
        assert!(matches!(nowhere, Err(NoMemoryTier::Unusable { .. })));
    }
}
