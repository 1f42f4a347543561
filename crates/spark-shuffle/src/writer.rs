//! Writing a block.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::block::BlockId;
use crate::error::StoreError;
use crate::reader::{INDEX_ENTRY_BYTES, TRAILER_MAGIC};
use crate::store::{ShuffleStore, Tier};

/// Small writes are gathered up to this, so that a segment of many small pieces is few calls.
const BUFFER_BYTES: usize = 256 * 1024;

/// One block being written: segments in ascending order, each in any number of pieces. Dropped
/// without [`Self::commit`], it leaves nothing.
#[derive(Debug)]
pub struct BlockWriter {
    store: ShuffleStore,
    block: BlockId,
    segments: u32,
    /// The segment being written, and what came before: its end and its checksum.
    current: u32,
    index: Vec<(u64, u32)>,
    checksum: crc32fast::Hasher,
    buffer: Vec<u8>,
    /// Bytes of all segments so far, buffered ones included.
    length: u64,
    tier: usize,
    file: File,
    temporary: PathBuf,
    reserved: u64,
    committed: bool,
}

/// What a committed block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedBlock {
    /// Bytes per segment.
    pub sizes: Vec<u64>,
    /// Bytes on disk, the index included.
    pub file_bytes: u64,
}

impl BlockWriter {
    pub(crate) fn create(
        store: ShuffleStore,
        block: BlockId,
        segments: u32,
    ) -> Result<Self, StoreError> {
        let mut last = None;
        for (number, tier) in store.tiers().iter().enumerate() {
            if tier.is_full() {
                continue;
            }
            match create_temporary(&store, tier, block) {
                Ok((temporary, file)) => {
                    return Ok(Self {
                        store,
                        block,
                        segments,
                        current: 0,
                        index: Vec::with_capacity(segments as usize),
                        checksum: crc32fast::Hasher::new(),
                        buffer: Vec::new(),
                        length: 0,
                        tier: number,
                        file,
                        temporary,
                        reserved: 0,
                        committed: false,
                    });
                }
                Err(error) => last = Some(error),
            }
        }
        let source = last.unwrap_or_else(|| io::ErrorKind::StorageFull.into());
        Err(StoreError::Full { block, source })
    }

    /// The block written.
    pub fn block(&self) -> BlockId {
        self.block
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing was written so far.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends to a segment. Segments left out are empty.
    ///
    /// # Errors
    /// If the segment comes before one already written, or no directory has room.
    pub fn write(&mut self, segment: u32, bytes: &[u8]) -> Result<(), StoreError> {
        if segment < self.current || segment >= self.segments {
            let (block, segments, after) = (self.block, self.segments, self.current);
            return Err(StoreError::Order { block, segment, after, segments });
        }
        self.close_segments_before(segment);
        self.checksum.update(bytes);
        self.length += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.write_through(bytes)
        } else {
            self.buffer.extend_from_slice(bytes);
            Ok(())
        }
    }

    /// A segment as a writer, for encoders.
    pub fn segment(&mut self, segment: u32) -> SegmentWriter<'_> {
        SegmentWriter { block: self, segment }
    }

    /// Makes the block visible, all at once, and answers the size of each segment.
    ///
    /// # Errors
    /// If it cannot be written, or its shuffle was removed meanwhile.
    pub fn commit(mut self) -> Result<CommittedBlock, StoreError> {
        self.close_segments_before(self.segments);
        let mut tail = Vec::with_capacity(self.index.len() * INDEX_ENTRY_BYTES + 16);
        let mut sizes = Vec::with_capacity(self.index.len());
        let mut start = 0;
        for (end, checksum) in &self.index {
            tail.extend_from_slice(&end.to_le_bytes());
            tail.extend_from_slice(&checksum.to_le_bytes());
            sizes.push(end - start);
            start = *end;
        }
        let checksum = crc32fast::hash(&tail);
        tail.extend_from_slice(&self.segments.to_le_bytes());
        tail.extend_from_slice(&checksum.to_le_bytes());
        tail.extend_from_slice(TRAILER_MAGIC);
        let file_bytes = self.length + tail.len() as u64;
        self.buffer.extend_from_slice(&tail);
        self.flush()?;
        self.publish()?;
        Ok(CommittedBlock { sizes, file_bytes })
    }

    fn publish(&mut self) -> Result<(), StoreError> {
        self.store.check_not_removed(self.block)?;
        let path = self.store.tiers()[self.tier].path(self.block);
        fs::rename(&self.temporary, &path).map_err(|source| StoreError::File {
            what: "commit",
            path: path.clone(),
            source,
        })?;
        self.committed = true;
        let statistics = &self.store.inner.statistics;
        statistics.blocks.fetch_add(1, Ordering::Relaxed);
        statistics.bytes.fetch_add(self.reserved, Ordering::Relaxed);
        // Removed between the check and the rename: then the removal did not see this file.
        if let Err(error) = self.store.check_not_removed(self.block) {
            self.store.remove(self.block);
            return Err(error);
        }
        Ok(())
    }

    fn close_segments_before(&mut self, segment: u32) {
        while self.current < segment {
            let checksum = std::mem::replace(&mut self.checksum, crc32fast::Hasher::new());
            self.index.push((self.length, checksum.finalize()));
            self.current += 1;
        }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.write_through(&buffer);
        buffer.clear();
        self.buffer = buffer;
        result
    }

    /// Writes to the file, in the next tier if this one has no room.
    fn write_through(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        loop {
            let tier = &self.store.tiers()[self.tier];
            if tier.reserve(bytes.len() as u64) {
                let before = self.reserved;
                self.reserved += bytes.len() as u64;
                match self.file.write_all(bytes) {
                    Ok(()) => return Ok(()),
                    Err(error) if is_full(&error) => {
                        self.move_on(before, error)?;
                    }
                    Err(source) => {
                        let path = self.temporary.clone();
                        return Err(StoreError::File { what: "write", path, source });
                    }
                }
            } else {
                self.move_on(self.reserved, io::ErrorKind::StorageFull.into())?;
            }
        }
    }

    /// Moves what is written so far, `length` bytes, to the next tier that takes it.
    fn move_on(&mut self, length: u64, why: io::Error) -> Result<(), StoreError> {
        let mut why = why;
        for number in self.tier + 1..self.store.tiers().len() {
            let tier = &self.store.tiers()[number];
            if !tier.reserve(length) {
                continue;
            }
            match self.copy_to(tier, length) {
                Ok((temporary, file)) => {
                    let _ = fs::remove_file(&self.temporary);
                    self.store.tiers()[self.tier].release(self.reserved);
                    self.reserved = length;
                    (self.temporary, self.file, self.tier) = (temporary, file, number);
                    return Ok(());
                }
                Err(error) => {
                    tier.release(length);
                    why = error;
                }
            }
        }
        Err(StoreError::Full { block: self.block, source: why })
    }

    fn copy_to(&self, tier: &Tier, length: u64) -> io::Result<(PathBuf, File)> {
        let (temporary, mut file) = create_temporary(&self.store, tier, self.block)?;
        let copied = File::open(&self.temporary).and_then(|mut source| {
            source.rewind()?;
            io::copy(&mut source.take(length), &mut file)
        });
        match copied {
            Ok(copied) if copied == length => Ok((temporary, file)),
            other => {
                let _ = fs::remove_file(&temporary);
                Err(other.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.temporary);
            self.store.tiers()[self.tier].release(self.reserved);
        }
    }
}

/// One segment of a [`BlockWriter`] as a writer.
#[derive(Debug)]
pub struct SegmentWriter<'a> {
    block: &'a mut BlockWriter,
    segment: u32,
}

impl Write for SegmentWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.write(self.segment, bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn create_temporary(
    store: &ShuffleStore,
    tier: &Tier,
    block: BlockId,
) -> io::Result<(PathBuf, File)> {
    let folder = tier.directory(block).join(block.folder());
    let number = store.inner.next_temporary.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{number}.writing"));
    match open_new(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(&folder)?;
            open_new(&path)
        }
        other => other,
    }
    .map(|file| (path, file))
}

fn open_new(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
