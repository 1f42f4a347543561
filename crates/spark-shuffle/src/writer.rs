//! Writing a block.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::block::BlockId;
use crate::error::StoreError;
use crate::frame::{Codec, FRAME_BYTES, FRAME_RAW_LIMIT, Packer, plain_header};
use crate::reader::{INDEX_ENTRY_BYTES, TRAILER_MAGIC};
use crate::store::{Place, ShuffleStore};

/// Small frames are gathered up to this, so that many segments are few calls.
const BUFFER_BYTES: usize = 256 * 1024;

/// One block being written: segments in ascending order, each in any number of pieces. Dropped
/// without [`Self::commit`], it leaves nothing.
#[derive(Debug)]
pub struct BlockWriter {
    store: ShuffleStore,
    block: BlockId,
    segments: u32,
    /// The segment being written, and the ends of those before it.
    current: u32,
    index: Vec<u64>,
    /// Raw bytes of the frame being gathered.
    open: Vec<u8>,
    packer: Packer,
    /// Frames not written yet.
    buffer: Vec<u8>,
    /// Bytes of all frames so far, buffered ones included.
    length: u64,
    place: Place,
    file: File,
    temporary: PathBuf,
    reserved: u64,
    committed: bool,
}

/// What a committed block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedBlock {
    /// Bytes per segment in the file, what fetching it moves.
    pub sizes: Vec<u64>,
    /// Bytes on disk, the index included.
    pub file_bytes: u64,
}

impl BlockWriter {
    pub(crate) fn create(
        store: ShuffleStore,
        block: BlockId,
        segments: u32,
        codec: Codec,
    ) -> Result<Self, StoreError> {
        let mut last = None;
        for place in store.places(block) {
            if store.tier(place).is_full() {
                continue;
            }
            match create_temporary(&store, place, block) {
                Ok((temporary, file)) => {
                    return Ok(Self {
                        store,
                        block,
                        segments,
                        current: 0,
                        index: Vec::with_capacity(segments as usize),
                        open: Vec::new(),
                        packer: Packer::new(codec),
                        buffer: Vec::new(),
                        length: 0,
                        place,
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

    /// Appends bytes to a segment. What is written at once is unpacked at once if it is not larger
    /// than some megabytes: readers copy the least if these are whole messages.
    ///
    /// # Errors
    /// If a later segment was written before, or the file cannot be written.
    pub fn write(&mut self, segment: u32, bytes: &[u8]) -> Result<(), StoreError> {
        if segment < self.current || segment >= self.segments {
            let (block, segments, after) = (self.block, self.segments, self.current);
            return Err(StoreError::Order { block, segment, after, segments });
        }
        self.close_segments_before(segment)?;
        if self.open.len() + bytes.len() > FRAME_BYTES {
            self.close_frame()?;
        }
        if bytes.len() < FRAME_BYTES {
            self.open.extend_from_slice(bytes);
            return Ok(());
        }
        for raw in bytes.chunks(FRAME_RAW_LIMIT) {
            self.write_frame(raw)?;
        }
        Ok(())
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
        self.close_segments_before(self.segments)?;
        let mut tail = Vec::with_capacity(self.index.len() * INDEX_ENTRY_BYTES + 16);
        let mut sizes = Vec::with_capacity(self.index.len());
        let mut start = 0;
        for end in &self.index {
            tail.extend_from_slice(&end.to_le_bytes());
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
        let path = self.store.path(self.place, self.block);
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

    fn close_segments_before(&mut self, segment: u32) -> Result<(), StoreError> {
        if self.current < segment {
            self.close_frame()?;
        }
        while self.current < segment {
            self.index.push(self.length);
            self.current += 1;
        }
        Ok(())
    }

    /// Packs what was gathered; a frame never reaches over the border of segments.
    fn close_frame(&mut self) -> Result<(), StoreError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let mut raw = std::mem::take(&mut self.open);
        let result = self.write_frame(&raw);
        raw.clear();
        self.open = raw;
        result
    }

    fn write_frame(&mut self, raw: &[u8]) -> Result<(), StoreError> {
        if !self.packer.packs() && raw.len() >= BUFFER_BYTES {
            let header = plain_header(raw);
            self.length += (header.len() + raw.len()) as u64;
            self.buffer.extend_from_slice(&header);
            self.flush()?;
            return self.write_through(raw);
        }
        let before = self.buffer.len();
        self.packer.pack(raw, &mut self.buffer);
        self.length += (self.buffer.len() - before) as u64;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.write_through(&buffer);
        buffer.clear();
        self.buffer = buffer;
        result
    }

    /// Writes to the file, in another directory or the next tier if this one takes no more.
    fn write_through(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        loop {
            let tier = self.store.tier(self.place);
            if tier.reserve(bytes.len() as u64) {
                let before = self.reserved;
                self.reserved += bytes.len() as u64;
                match self.file.write_all(bytes) {
                    Ok(()) => return Ok(()),
                    Err(error) => self.move_on(before, false, error)?,
                }
            } else {
                self.move_on(self.reserved, true, io::ErrorKind::StorageFull.into())?;
            }
        }
    }

    /// Moves what is written so far, `length` bytes, to the next place that takes it.
    fn move_on(&mut self, length: u64, leave_tier: bool, why: io::Error) -> Result<(), StoreError> {
        let full = is_full(&why);
        let mut why = why;
        let here = self.place;
        let places = self.store.places(self.block).skip_while(|place| *place != here).skip(1);
        for place in places.filter(|place| !leave_tier || place.tier != here.tier) {
            let tier = self.store.tier(place);
            if !tier.reserve(length) {
                continue;
            }
            match self.copy_to(place, length) {
                Ok((temporary, file)) => {
                    tracing::info!(block = %self.block, why = %why, to = %temporary.display(), "block moves to another directory");
                    let _ = fs::remove_file(&self.temporary);
                    self.store.tier(here).release(self.reserved);
                    self.reserved = length;
                    (self.temporary, self.file, self.place) = (temporary, file, place);
                    return Ok(());
                }
                Err(error) => {
                    tier.release(length);
                    why = error;
                }
            }
        }
        if full || is_full(&why) {
            return Err(StoreError::Full { block: self.block, source: why });
        }
        Err(StoreError::File { what: "write", path: self.temporary.clone(), source: why })
    }

    fn copy_to(&self, place: Place, length: u64) -> io::Result<(PathBuf, File)> {
        let (temporary, mut file) = create_temporary(&self.store, place, self.block)?;
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
            self.store.tier(self.place).release(self.reserved);
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
    place: Place,
    block: BlockId,
) -> io::Result<(PathBuf, File)> {
    let folder = store.directory(place).join(block.folder());
    let number = store.inner.next_temporary.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{number}.writing"));
    match open_new(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Not with the folders above: an application's directory that was removed stays so.
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => open_new(&path),
            }
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
