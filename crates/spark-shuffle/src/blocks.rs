//! Where a server finds blocks: the store of one executor, or the directories of many.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::block::BlockId;
use crate::error::StoreError;
use crate::reader::{BlockReader, ReaderCache};
use crate::store::ShuffleStore;

/// Something that has blocks to read.
pub trait Blocks: Send + Sync {
    /// Opens a committed block. Blocks the thread.
    ///
    /// # Errors
    /// If it is missing, or its index is corrupt.
    fn read(&self, block: BlockId) -> Result<Arc<BlockReader>, StoreError>;
}

impl Blocks for ShuffleStore {
    fn read(&self, block: BlockId) -> Result<Arc<BlockReader>, StoreError> {
        Self::read(self, block)
    }
}

/// The blocks of one application in any number of executors' directories, which may be gone. Reads
/// only; the files are another's.
#[derive(Debug, Default)]
pub struct DirectoryBlocks {
    directories: RwLock<Vec<PathBuf>>,
    readers: Mutex<ReaderCache>,
}

impl DirectoryBlocks {
    /// Blocks in these application directories.
    pub fn new(directories: Vec<PathBuf>) -> Self {
        Self { directories: RwLock::new(directories), readers: Mutex::default() }
    }

    /// Looks in one more directory from now on.
    pub fn add(&self, directory: PathBuf) {
        let mut directories = self.directories.write();
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }

    /// The directories.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.directories.read().clone()
    }

    /// Deletes all blocks of a shuffle.
    pub fn remove_shuffle(&self, shuffle: u64) {
        self.readers
            .lock()
            .forget(|block| matches!(block, BlockId::Shuffle { shuffle: of, .. } if of == shuffle));
        let folder = BlockId::Shuffle { shuffle, map_partition: 0, task: 0 }.folder();
        for directory in self.directories() {
            // Not there in most of them.
            let _ = std::fs::remove_dir_all(directory.join(&folder));
        }
    }
}

impl Blocks for DirectoryBlocks {
    fn read(&self, block: BlockId) -> Result<Arc<BlockReader>, StoreError> {
        if let Some(reader) = self.readers.lock().get(block) {
            return Ok(reader);
        }
        let directories = self.directories();
        let Some(reader) = open_in(directories.iter().map(PathBuf::as_path), block)? else {
            return Err(StoreError::Missing { block });
        };
        self.readers.lock().put(block, reader.clone());
        Ok(reader)
    }
}

/// The block in the first of these application directories that has it.
pub(crate) fn open_in<'a>(
    directories: impl Iterator<Item = &'a Path>,
    block: BlockId,
) -> Result<Option<Arc<BlockReader>>, StoreError> {
    let name = block.path();
    let mut failed = None;
    for directory in directories {
        let path = directory.join(&name);
        match File::open(&path) {
            Ok(file) => return BlockReader::open(block, path, file).map(Arc::new).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // One disk may be broken and the block lie on another.
            Err(source) => failed = Some(StoreError::File { what: "open", path, source }),
        }
    }
    failed.map_or(Ok(None), Err)
}
