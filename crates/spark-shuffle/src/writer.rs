//! Writing a block.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::block::BlockId;
use crate::error::StoreError;
use crate::frame::{Codec, FRAME_BYTES, FRAME_RAW_LIMIT, Packer, plain_header};
use crate::reader::{BlockReader, INDEX_ENTRY_BYTES, TRAILER_MAGIC};
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
    /// Where that goes; none yet while the block may stay in memory.
    output: Option<Output>,
    /// Bytes taken out of the budget of the output's tier, or of the memory.
    reserved: u64,
    committed: bool,
}

/// The file of a block that is being written.
#[derive(Debug)]
struct Output {
    place: Place,
    file: File,
    temporary: PathBuf,
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
        let output = if store.inner.held.may_take() { None } else { Some(open(&store, block)?) };
        Ok(Self::to(output, store, block, segments, codec))
    }

    fn to(
        output: Option<Output>,
        store: ShuffleStore,
        block: BlockId,
        segments: u32,
        codec: Codec,
    ) -> Self {
        Self {
            store,
            block,
            segments,
            current: 0,
            index: Vec::with_capacity(segments as usize),
            open: Vec::new(),
            packer: Packer::new(codec),
            buffer: Vec::new(),
            length: 0,
            output,
            reserved: 0,
            committed: false,
        }
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
        if self.output.is_none() && !self.stay_in_memory(&tail)? {
            self.leave_memory()?;
        }
        if self.committed {
            return Ok(CommittedBlock { sizes, file_bytes: self.reserved });
        }
        add_trailer(&mut tail, self.segments);
        let file_bytes = self.length + tail.len() as u64;
        self.buffer.extend_from_slice(&tail);
        self.flush()?;
        self.publish()?;
        Ok(CommittedBlock { sizes, file_bytes })
    }

    /// Gives the block to the store as it is; `false` if that takes no more.
    fn stay_in_memory(&mut self, index: &[u8]) -> Result<bool, StoreError> {
        let held = &self.store.inner.held;
        let bytes = (self.buffer.len() + index.len()) as u64;
        if !held.grow(&mut self.reserved, bytes) {
            return Ok(false);
        }
        self.store.check_not_removed(self.block)?;
        let mut data = std::mem::take(&mut self.buffer);
        data.shrink_to_fit();
        let reader = BlockReader::held(self.block, data.into(), index.to_vec());
        if let Err(data) = held.put(self.block, reader) {
            self.buffer = data;
            return Ok(false);
        }
        self.count_committed()?;
        Ok(true)
    }

    /// From now on the block goes to a file.
    fn leave_memory(&mut self) -> Result<(), StoreError> {
        self.store.inner.held.release(std::mem::take(&mut self.reserved));
        self.output = Some(open(&self.store, self.block)?);
        Ok(())
    }

    fn publish(&mut self) -> Result<(), StoreError> {
        self.store.check_not_removed(self.block)?;
        self.rename()?;
        self.count_committed()
    }

    fn rename(&self) -> Result<(), StoreError> {
        let Some(output) = &self.output else { return Ok(()) };
        let path = self.store.path(output.place, self.block);
        fs::rename(&output.temporary, &path).map_err(|source| StoreError::File {
            what: "commit",
            path,
            source,
        })
    }

    fn count_committed(&mut self) -> Result<(), StoreError> {
        self.committed = true;
        let statistics = &self.store.inner.statistics;
        statistics.blocks.fetch_add(1, Ordering::Relaxed);
        statistics.bytes.fetch_add(self.reserved, Ordering::Relaxed);
        // Removed between the check and now: then the removal did not see this block.
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
        if self.output.is_some() && !self.packer.packs() && raw.len() >= BUFFER_BYTES {
            let header = plain_header(raw);
            self.length += (header.len() + raw.len()) as u64;
            self.buffer.extend_from_slice(&header);
            self.flush()?;
            return self.write_through(raw);
        }
        let before = self.buffer.len();
        self.packer.pack(raw, &mut self.buffer);
        self.length += (self.buffer.len() - before) as u64;
        if self.output.is_none() {
            if self.store.inner.held.grow(&mut self.reserved, self.buffer.len() as u64) {
                return Ok(());
            }
            self.leave_memory()?;
        }
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
            let output = match &mut self.output {
                Some(output) => output,
                none => none.insert(open(&self.store, self.block)?),
            };
            let tier = self.store.tier(output.place);
            if tier.reserve(bytes.len() as u64) {
                let before = self.reserved;
                self.reserved += bytes.len() as u64;
                match output.file.write_all(bytes) {
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
        let Some(output) = &self.output else { return Ok(()) };
        let here = output.place;
        let places = self.store.places(self.block).skip_while(|place| *place != here).skip(1);
        for place in places.filter(|place| !leave_tier || place.tier != here.tier) {
            let tier = self.store.tier(place);
            if !tier.reserve(length) {
                continue;
            }
            match copy(&self.store, self.block, &output.temporary, place, length) {
                Ok(moved) => {
                    tracing::info!(block = %self.block, why = %why, to = %moved.temporary.display(), "block moves to another directory");
                    let _ = fs::remove_file(&output.temporary);
                    self.store.tier(here).release(self.reserved);
                    self.reserved = length;
                    self.output = Some(moved);
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
        Err(StoreError::File { what: "write", path: output.temporary.clone(), source: why })
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        match &self.output {
            Some(output) => {
                let _ = fs::remove_file(&output.temporary);
                self.store.tier(output.place).release(self.reserved);
            }
            None => self.store.inner.held.release(self.reserved),
        }
    }
}

/// Writes a block that a store has in memory to a file, too.
pub(crate) fn write_held(
    store: &ShuffleStore,
    block: BlockId,
    data: &[u8],
    index: &[u8],
) -> Result<(), StoreError> {
    let segments = (index.len() / INDEX_ENTRY_BYTES) as u32;
    let output = Some(open(store, block)?);
    let mut writer = BlockWriter::to(output, store.clone(), block, segments, Codec::None);
    let mut tail = index.to_vec();
    add_trailer(&mut tail, segments);
    writer.write_through(data)?;
    writer.write_through(&tail)?;
    writer.rename()?;
    writer.committed = true;
    let more = writer.reserved - (data.len() + index.len()) as u64;
    store.inner.statistics.bytes.fetch_add(more, Ordering::Relaxed);
    Ok(())
}

/// What ends a file after its index.
fn add_trailer(index: &mut Vec<u8>, segments: u32) {
    let checksum = crc32fast::hash(index);
    index.extend_from_slice(&segments.to_le_bytes());
    index.extend_from_slice(&checksum.to_le_bytes());
    index.extend_from_slice(TRAILER_MAGIC);
}

/// A file for the block in the first directory that takes it.
fn open(store: &ShuffleStore, block: BlockId) -> Result<Output, StoreError> {
    let mut last = None;
    for place in store.places(block).filter(|place| !store.tier(*place).is_full()) {
        match create_temporary(store, place, block) {
            Ok(output) => return Ok(output),
            Err(error) => last = Some(error),
        }
    }
    let source = last.unwrap_or_else(|| io::ErrorKind::StorageFull.into());
    Err(StoreError::Full { block, source })
}

/// The first bytes of a file that is being written, in another place.
fn copy(
    store: &ShuffleStore,
    block: BlockId,
    from: &Path,
    place: Place,
    length: u64,
) -> io::Result<Output> {
    let mut output = create_temporary(store, place, block)?;
    let copied = File::open(from).and_then(|mut source| {
        source.rewind()?;
        io::copy(&mut source.take(length), &mut output.file)
    });
    match copied {
        Ok(copied) if copied == length => Ok(output),
        other => {
            let _ = fs::remove_file(&output.temporary);
            Err(other.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))
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

fn create_temporary(store: &ShuffleStore, place: Place, block: BlockId) -> io::Result<Output> {
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
    .map(|file| Output { place, file, temporary: path })
}

fn open_new(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
