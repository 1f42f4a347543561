//! Blocks on local directories.
//!
//! A block is one file: its segments one after the other, then the index (per segment its end and
//! its checksum), then a trailer. The file appears under its name only when it is complete, by one
//! rename. Directories come in tiers: a block goes to the first tier with room for it (a RAM disk
//! within its budget), and moves on to the next while it is written if it turns out too large.
//!
//! Everything lies in `<dir>/spark-<application>-<uuid>/`. The owner holds a lock on a file in it;
//! a directory whose lock is free belongs to a process that crashed, and the next store that
//! starts on the same local directory sweeps it away.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::block::BlockId;
use crate::error::StoreError;
use crate::reader::{BlockReader, ReaderCache};
use crate::writer::BlockWriter;

/// The file in an application's directory on which its owner holds a lock.
const LOCK_FILE: &str = ".lock";

/// The file that says the directory is to outlive its owner: a shuffle service sweeps it.
const SERVED_FILE: &str = ".served";

/// Longest part of a directory's name taken from the application id; file names end at 255 bytes.
const APPLICATION_NAME_LIMIT: usize = 100;

/// Where and for whom a store is.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The application.
    pub application: String,
    /// The tiers, quickest first.
    pub tiers: Vec<TierOptions>,
    /// The files outlive the store, for a shuffle service on this host to serve and to sweep.
    pub served_elsewhere: bool,
}

/// Directories of one speed.
#[derive(Clone, Debug)]
pub struct TierOptions {
    /// Blocks are spread over these.
    pub directories: Vec<PathBuf>,
    /// No more bytes than this, over all directories of the tier; `None` is no limit but the disk.
    pub budget_bytes: Option<u64>,
}

impl TierOptions {
    /// A tier without a limit.
    pub fn unlimited(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { directories: directories.into_iter().collect(), budget_bytes: None }
    }
}

/// The blocks of one application on this machine. Cheap to clone; the files go with the last clone.
#[derive(Clone, Debug)]
pub struct ShuffleStore {
    pub(crate) inner: Arc<StoreInner>,
}

#[derive(Debug)]
pub(crate) struct StoreInner {
    application: String,
    tiers: Vec<Tier>,
    served_elsewhere: bool,
    readers: Mutex<ReaderCache>,
    /// Shuffles removed while late tasks may still write for them.
    removed: Mutex<BTreeSet<u64>>,
    pub(crate) statistics: Counters,
    /// Unique names for files being written.
    pub(crate) next_temporary: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Tier {
    directories: Vec<AppDirectory>,
    budget_bytes: Option<u64>,
    used_bytes: AtomicU64,
}

#[derive(Debug)]
struct AppDirectory {
    path: PathBuf,
    /// Held as long as the directory is in use.
    _lock: File,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) blocks: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Blocks committed and not removed.
    pub blocks: u64,
    /// Their bytes, indexes included.
    pub bytes: u64,
    /// Bytes per tier.
    pub tier_bytes: Vec<u64>,
}

impl ShuffleStore {
    /// Makes the application's directories, after sweeping away those of crashed processes.
    ///
    /// # Errors
    /// If not one directory can be made.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let name = directory_name(&options.application);
        let mut tiers = Vec::new();
        let mut tried = Vec::new();
        let mut source = None;
        for tier in &options.tiers {
            let mut directories = Vec::new();
            for directory in &tier.directories {
                sweep_stale(directory);
                match AppDirectory::create(directory, &name, options.served_elsewhere) {
                    Ok(created) => directories.push(created),
                    Err(error) => {
                        tracing::warn!(directory = %directory.display(), %error, "local directory not usable");
                        tried.push(directory.display().to_string());
                        source = Some(error);
                    }
                }
            }
            if !directories.is_empty() {
                let used_bytes = AtomicU64::new(0);
                tiers.push(Tier { directories, budget_bytes: tier.budget_bytes, used_bytes });
            }
        }
        if tiers.is_empty() {
            return Err(StoreError::NoDirectory { tried: tried.join(", "), source });
        }
        let inner = StoreInner {
            application: options.application,
            tiers,
            served_elsewhere: options.served_elsewhere,
            readers: Mutex::default(),
            removed: Mutex::default(),
            statistics: Counters::default(),
            next_temporary: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A store in one directory without a limit.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn in_directory(application: &str, directory: &Path) -> Result<Self, StoreError> {
        Self::open(StoreOptions {
            application: application.to_owned(),
            tiers: vec![TierOptions::unlimited([directory.to_owned()])],
            served_elsewhere: false,
        })
    }

    /// The application it is for.
    pub fn application(&self) -> &str {
        &self.inner.application
    }

    /// The application's directories, one per local directory.
    pub fn directories(&self) -> Vec<PathBuf> {
        let directories = self.inner.tiers.iter().flat_map(|tier| &tier.directories);
        directories.map(|directory| directory.path.clone()).collect()
    }

    /// Begins a block of `segments` segments. It is visible only after [`BlockWriter::commit`].
    ///
    /// # Errors
    /// If no directory takes it.
    pub fn write(&self, block: BlockId, segments: u32) -> Result<BlockWriter, StoreError> {
        self.check_not_removed(block)?;
        BlockWriter::create(self.clone(), block, segments)
    }

    /// Opens a committed block.
    ///
    /// # Errors
    /// If it is missing, or its index is corrupt.
    pub fn read(&self, block: BlockId) -> Result<Arc<BlockReader>, StoreError> {
        if let Some(reader) = self.inner.readers.lock().get(block) {
            return Ok(reader);
        }
        for tier in &self.inner.tiers {
            let path = tier.path(block);
            match File::open(&path) {
                Ok(file) => {
                    let reader = Arc::new(BlockReader::open(block, path, file)?);
                    self.inner.readers.lock().put(block, reader.clone());
                    return Ok(reader);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(StoreError::File { what: "open", path, source }),
            }
        }
        Err(StoreError::Missing { block })
    }

    /// Deletes all blocks of a shuffle, and refuses late ones.
    pub fn remove_shuffle(&self, shuffle: u64) {
        self.inner.removed.lock().insert(shuffle);
        self.inner
            .readers
            .lock()
            .forget(|block| matches!(block, BlockId::Shuffle { shuffle: of, .. } if of == shuffle));
        let folder = BlockId::Shuffle { shuffle, map_partition: 0, task: 0 }.folder();
        for tier in &self.inner.tiers {
            for directory in &tier.directories {
                let folder = directory.path.join(&folder);
                let (blocks, bytes) = folder_size(&folder);
                match fs::remove_dir_all(&folder) {
                    Ok(()) => {
                        self.inner.statistics.blocks.fetch_sub(blocks, Ordering::Relaxed);
                        self.inner.statistics.bytes.fetch_sub(bytes, Ordering::Relaxed);
                        tier.release(bytes);
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        tracing::warn!(folder = %folder.display(), %error, "shuffle files not removed");
                    }
                }
            }
        }
    }

    /// Deletes one block, if it is there.
    pub fn remove(&self, block: BlockId) {
        self.inner.readers.lock().forget(|other| other == block);
        for tier in &self.inner.tiers {
            let path = tier.path(block);
            let Ok(bytes) = fs::metadata(&path).map(|metadata| metadata.len()) else { continue };
            if fs::remove_file(&path).is_ok() {
                self.inner.statistics.blocks.fetch_sub(1, Ordering::Relaxed);
                self.inner.statistics.bytes.fetch_sub(bytes, Ordering::Relaxed);
                tier.release(bytes);
            }
        }
    }

    /// What the store holds.
    pub fn statistics(&self) -> StoreStatistics {
        let tiers = self.inner.tiers.iter();
        StoreStatistics {
            blocks: self.inner.statistics.blocks.load(Ordering::Relaxed),
            bytes: self.inner.statistics.bytes.load(Ordering::Relaxed),
            tier_bytes: tiers.map(|tier| tier.used_bytes.load(Ordering::Relaxed)).collect(),
        }
    }

    pub(crate) fn check_not_removed(&self, block: BlockId) -> Result<(), StoreError> {
        match block {
            BlockId::Shuffle { shuffle, .. } if self.inner.removed.lock().contains(&shuffle) => {
                Err(StoreError::Removed { block })
            }
            BlockId::Shuffle { .. } | BlockId::Broadcast { .. } | BlockId::Result { .. } => Ok(()),
        }
    }

    pub(crate) fn tiers(&self) -> &[Tier] {
        &self.inner.tiers
    }
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        if self.served_elsewhere {
            return;
        }
        for directory in self.tiers.iter().flat_map(|tier| &tier.directories) {
            if let Err(error) = fs::remove_dir_all(&directory.path) {
                tracing::warn!(directory = %directory.path.display(), %error, "local directory not removed");
            }
        }
    }
}

impl Tier {
    pub(crate) fn path(&self, block: BlockId) -> PathBuf {
        self.directory(block).join(block.path())
    }

    pub(crate) fn directory(&self, block: BlockId) -> &Path {
        &self.directories[(block.spread() % self.directories.len() as u64) as usize].path
    }

    /// Whether the budget is used up.
    pub(crate) fn is_full(&self) -> bool {
        self.budget_bytes.is_some_and(|budget| self.used_bytes.load(Ordering::Relaxed) >= budget)
    }

    /// Takes bytes out of the budget; `false` if there are not so many left.
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        let Some(budget) = self.budget_bytes else {
            self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
            return true;
        };
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|used| *used <= budget)
            })
            .is_ok()
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl AppDirectory {
    fn create(parent: &Path, name: &str, served_elsewhere: bool) -> io::Result<Self> {
        // It gets the name by which others sweep only once it is locked.
        let unnamed = parent.join(format!(".{name}"));
        fs::create_dir_all(&unnamed)?;
        restrict(&unnamed)?;
        let lock = File::create(unnamed.join(LOCK_FILE))?;
        lock.try_lock().map_err(io::Error::other)?;
        if served_elsewhere {
            File::create(unnamed.join(SERVED_FILE))?;
        }
        let path = parent.join(name);
        fs::rename(&unnamed, &path)?;
        Ok(Self { path, _lock: lock })
    }
}

/// Map output is the user's data: nobody else on the machine reads it.
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// `spark-<application>-<uuid>`, the id reduced to what is safe in a file name.
fn directory_name(application: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let application: String = application.chars().take(APPLICATION_NAME_LIMIT).map(safe).collect();
    format!("spark-{application}-{}", uuid::Uuid::new_v4())
}

/// Removes the directories of processes that ended without removing them.
fn sweep_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with("spark-");
        if !ours || path.join(SERVED_FILE).exists() {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK_FILE)) else { continue };
        if lock.try_lock().is_ok() {
            match fs::remove_dir_all(&path) {
                Ok(()) => {
                    tracing::info!(directory = %path.display(), "stale local directory removed");
                }
                Err(error) => {
                    tracing::warn!(directory = %path.display(), %error, "stale local directory not removed");
                }
            }
        }
    }
}

fn folder_size(folder: &Path) -> (u64, u64) {
    let Ok(entries) = fs::read_dir(folder) else { return (0, 0) };
    let mut size = (0, 0);
    for entry in entries.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "data")
            && let Ok(metadata) = entry.metadata()
        {
            size = (size.0 + 1, size.1 + metadata.len());
        }
    }
    size
}
