//! Blocks on local directories.
//!
//! A block is one file: its segments one after the other, then the index (per segment its end),
//! then a trailer. The file appears under its name only when it is complete, by one rename.
//! Directories come in tiers: a block goes to the first tier with room for it (a RAM disk within
//! its budget), and moves on while it is written: to the next tier if it turns out too large, to
//! another directory if a disk is full or broken.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::block::BlockId;
use crate::blocks::open_in;
use crate::directory::{AppDirectory, directory_name, siblings, sweep_stale};
use crate::error::StoreError;
use crate::frame::Codec;
use crate::held::Held;
use crate::reader::{BlockReader, ReaderCache};
use crate::writer::{BlockWriter, write_held};

/// How often the local directories are listed for other executors' at most.
const SIBLINGS_INTERVAL: Duration = Duration::from_millis(200);

/// Where and for whom a store is.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The application.
    pub application: String,
    /// The tiers, quickest first.
    pub tiers: Vec<TierOptions>,
    /// The files outlive the store, for a shuffle service on this host to serve and to sweep.
    pub served_elsewhere: bool,
    /// Small blocks stay in the process's memory up to so many bytes in all; not if they are served elsewhere.
    pub held_bytes: u64,
}

/// Directories of one speed.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The files outlive the store.
    served_elsewhere: AtomicBool,
    pub(crate) held: Held,
    readers: Mutex<ReaderCache>,
    siblings: Mutex<Siblings>,
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

/// The directories of the application's other executors on this host, as far as they use the same
/// local directories.
#[derive(Debug, Default)]
struct Siblings {
    directories: Vec<PathBuf>,
    listed: Option<Instant>,
}

/// One directory of one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tier: usize,
    directory: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) blocks: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

impl Counters {
    fn remove(&self, blocks: u64, bytes: u64) {
        self.blocks.fetch_sub(blocks, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
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
                let created = AppDirectory::create(directory, &name).and_then(|created| {
                    if options.served_elsewhere {
                        created.mark_served()?;
                    }
                    Ok(created)
                });
                match created {
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
        let held_bytes = if options.served_elsewhere { 0 } else { options.held_bytes };
        let inner = StoreInner {
            application: options.application,
            tiers,
            held: Held::new(held_bytes),
            served_elsewhere: AtomicBool::new(options.served_elsewhere),
            readers: Mutex::default(),
            siblings: Mutex::default(),
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
            held_bytes: 0,
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

    /// Leaves the files to a shuffle service: they outlive the store, and the service sweeps them. Blocks in memory become
    /// files, too.
    ///
    /// # Errors
    /// If that cannot be noted in a directory, or a block not be written; then the files go with the store as before.
    pub fn leave_to_service(&self) -> Result<(), StoreError> {
        let directories = || self.inner.tiers.iter().flat_map(|tier| &tier.directories);
        for directory in directories() {
            if let Err(source) = directory.mark_served() {
                directories().for_each(AppDirectory::unmark_served);
                let path = directory.path.clone();
                return Err(StoreError::File { what: "mark", path, source });
            }
        }
        let written = self.inner.held.leave(|held| {
            let Some((data, index)) = held.in_memory() else { return Ok(()) };
            write_held(self, held.block(), data, index)
        });
        if let Err(error) = written {
            directories().for_each(AppDirectory::unmark_served);
            return Err(error);
        }
        self.inner.served_elsewhere.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Begins a block of `segments` segments, stored as they are. It is visible only after
    /// [`BlockWriter::commit`].
    ///
    /// # Errors
    /// If no directory takes it.
    pub fn write(&self, block: BlockId, segments: u32) -> Result<BlockWriter, StoreError> {
        self.write_packed(block, segments, Codec::None)
    }

    /// As [`Self::write`], packed by a codec where that makes it smaller. Readers need not be told.
    ///
    /// # Errors
    /// If no directory takes it.
    pub fn write_packed(
        &self,
        block: BlockId,
        segments: u32,
        codec: Codec,
    ) -> Result<BlockWriter, StoreError> {
        self.check_not_removed(block)?;
        BlockWriter::create(self.clone(), block, segments, codec)
    }

    /// Opens a committed block.
    ///
    /// # Errors
    /// If it is missing, or its index is corrupt.
    pub fn read(&self, block: BlockId) -> Result<Arc<BlockReader>, StoreError> {
        if let Some(reader) = self.inner.held.get(block) {
            return Ok(reader);
        }
        if let Some(reader) = self.inner.readers.lock().get(block) {
            return Ok(reader);
        }
        let own = self.places(block).map(|place| self.directory(place));
        match open_in(own, block)? {
            Some(reader) => {
                self.inner.readers.lock().put(block, reader.clone());
                Ok(reader)
            }
            None => Err(StoreError::Missing { block }),
        }
    }

    /// Reads a committed block, whole, as it is now. Blocks.
    ///
    /// # Errors
    /// If it is missing, or not what was written.
    pub fn verify(&self, block: BlockId) -> Result<(), StoreError> {
        let own = self.places(block).map(|place| self.directory(place));
        // Not the reader of a file that is open: its index was read when the file was whole.
        let reader = match self.inner.held.get(block) {
            Some(reader) => reader,
            None => open_in(own, block)?.ok_or(StoreError::Missing { block })?,
        };
        for segment in 0..reader.segments() {
            reader.read_segment(segment)?;
        }
        Ok(())
    }

    /// As [`Self::read`], also from the directories of the application's other executors which use
    /// the same local directories, whether they live or not (`spark.shuffle.readHostLocalDisk`).
    ///
    /// # Errors
    /// If it is missing, or its index is corrupt.
    pub fn read_on_host(&self, block: BlockId) -> Result<Arc<BlockReader>, StoreError> {
        match self.read(block) {
            Err(StoreError::Missing { .. }) => {}
            other => return other,
        }
        let mut siblings = self.inner.siblings.lock();
        let mut found = open_in(siblings.directories.iter().map(PathBuf::as_path), block)?;
        let stale = siblings.listed.is_none_or(|at| at.elapsed() > SIBLINGS_INTERVAL);
        if found.is_none() && stale {
            siblings.directories = self.list_siblings();
            siblings.listed = Some(Instant::now());
            found = open_in(siblings.directories.iter().map(PathBuf::as_path), block)?;
        }
        drop(siblings);
        let reader = found.ok_or(StoreError::Missing { block })?;
        self.inner.readers.lock().put(block, reader.clone());
        Ok(reader)
    }

    fn list_siblings(&self) -> Vec<PathBuf> {
        let own = self.directories();
        let parents: BTreeSet<&Path> = own.iter().filter_map(|own| own.parent()).collect();
        let of = |parent| siblings(parent, &self.inner.application, &own);
        parents.into_iter().flat_map(of).collect()
    }

    /// Deletes all blocks of a shuffle, and refuses late ones.
    pub fn remove_shuffle(&self, shuffle: u64) {
        self.inner.removed.lock().insert(shuffle);
        self.inner
            .readers
            .lock()
            .forget(|block| matches!(block, BlockId::Shuffle { shuffle: of, .. } if of == shuffle));
        let (blocks, bytes) = self
            .inner
            .held
            .forget(|block| matches!(block, BlockId::Shuffle { shuffle: of, .. } if of == shuffle));
        self.inner.statistics.remove(blocks, bytes);
        let folder = BlockId::Shuffle { shuffle, map_partition: 0, task: 0 }.folder();
        for tier in &self.inner.tiers {
            for directory in &tier.directories {
                let folder = directory.path.join(&folder);
                let (blocks, bytes) = folder_size(&folder);
                match fs::remove_dir_all(&folder) {
                    Ok(()) => {
                        self.inner.statistics.remove(blocks, bytes);
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
        if let Some(bytes) = self.inner.held.remove(block) {
            self.inner.statistics.remove(1, bytes);
        }
        self.inner.readers.lock().forget(|other| other == block);
        for place in self.places(block) {
            let (tier, path) = (self.tier(place), self.path(place, block));
            let Ok(bytes) = fs::metadata(&path).map(|metadata| metadata.len()) else { continue };
            if fs::remove_file(&path).is_ok() {
                self.inner.statistics.remove(1, bytes);
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

    /// The places for a block, best first. It is looked for in the same order.
    pub(crate) fn places(&self, block: BlockId) -> impl Iterator<Item = Place> + 'static {
        let counts: Vec<usize> =
            self.inner.tiers.iter().map(|tier| tier.directories.len()).collect();
        counts.into_iter().enumerate().flat_map(move |(tier, count)| {
            let first = (block.spread() % count as u64) as usize;
            (0..count).map(move |n| Place { tier, directory: (first + n) % count })
        })
    }

    pub(crate) fn tier(&self, place: Place) -> &Tier {
        &self.inner.tiers[place.tier]
    }

    pub(crate) fn directory(&self, place: Place) -> &Path {
        &self.inner.tiers[place.tier].directories[place.directory].path
    }

    pub(crate) fn path(&self, place: Place, block: BlockId) -> PathBuf {
        self.directory(place).join(block.path())
    }
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        if *self.served_elsewhere.get_mut() {
            return;
        }
        for directory in self.tiers.iter().flat_map(|tier| &tier.directories) {
            if let Err(error) = fs::remove_dir_all(&directory.path) {
                tracing::warn!(directory = %directory.path.display(), %error, "local directory not removed");
            }
            // Nobody may come after us here: also what others left that were killed.
            if let Some(parent) = directory.path.parent() {
                sweep_stale(parent);
            }
        }
    }
}

impl Tier {
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
