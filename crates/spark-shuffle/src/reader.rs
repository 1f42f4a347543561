//! Reading a block.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;

use crate::block::BlockId;
use crate::error::StoreError;
use crate::frame;

/// The last bytes of a complete block.
pub(crate) const TRAILER_MAGIC: &[u8; 8] = b"FSBLK002";

/// A segment in the index: its end.
pub(crate) const INDEX_ENTRY_BYTES: usize = 8;

/// Number of segments, CRC-32 of the index, magic.
const TRAILER_BYTES: u64 = 16;

/// Open files kept: a reduce stage comes back to each map output once per reduce partition.
const CACHED_READERS: usize = 512;

/// Bytes of indexes kept with them; maps × reduces would otherwise grow with the square.
const CACHED_INDEX_BYTES: usize = 16 * 1024 * 1024;

/// A committed block, open.
#[derive(Debug)]
pub struct BlockReader {
    block: BlockId,
    source: Source,
    index: Vec<u8>,
}

/// Where the bytes of a block are.
#[derive(Debug)]
enum Source {
    File(PathBuf, File),
    Memory(Bytes),
}

/// Where a segment lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The segment's number: the reduce partition.
    pub segment: u32,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes in the file: packed, with the heads of the frames.
    pub length: u64,
}

impl BlockReader {
    pub(crate) fn open(block: BlockId, path: PathBuf, file: File) -> Result<Self, StoreError> {
        let error = |source| StoreError::File { what: "read", path: path.clone(), source };
        let corrupt = |what: &str| StoreError::Corrupt { block, what: what.to_owned() };
        let length = file.metadata().map_err(error)?.len();
        if length < TRAILER_BYTES {
            return Err(corrupt("shorter than its trailer"));
        }
        let mut trailer = [0; TRAILER_BYTES as usize];
        file.read_exact_at(&mut trailer, length - TRAILER_BYTES).map_err(error)?;
        let (segments, rest) = trailer.split_at(4);
        let (checksum, magic) = rest.split_at(4);
        if magic != TRAILER_MAGIC {
            return Err(corrupt("no trailer at its end"));
        }
        let index_bytes = u64::from(read_u32(segments)) * INDEX_ENTRY_BYTES as u64;
        let Some(index_start) = (length - TRAILER_BYTES).checked_sub(index_bytes) else {
            return Err(corrupt("shorter than its index"));
        };
        let mut index = vec![0; index_bytes as usize];
        file.read_exact_at(&mut index, index_start).map_err(error)?;
        if crc32fast::hash(&index) != read_u32(checksum) {
            return Err(corrupt("checksum of its index does not fit"));
        }
        let reader = Self { block, source: Source::File(path, file), index };
        let ends = (0..reader.segments()).map(|segment| reader.end(segment));
        if reader.segments() > 0
            && (!ends.is_sorted() || reader.end(reader.segments() - 1) != index_start)
        {
            return Err(StoreError::Corrupt { block, what: "index does not fit its data".into() });
        }
        Ok(reader)
    }

    /// A block whose segments lie in memory, with its index.
    pub(crate) fn held(block: BlockId, data: Bytes, index: Vec<u8>) -> Self {
        Self { block, source: Source::Memory(data), index }
    }

    /// What a block that lies in memory would be in a file, and its bytes there alone.
    pub(crate) fn in_memory(&self) -> Option<(&Bytes, &[u8])> {
        match &self.source {
            Source::Memory(data) => Some((data, &self.index)),
            Source::File(..) => None,
        }
    }

    /// The block.
    pub fn block(&self) -> BlockId {
        self.block
    }

    /// Number of segments.
    pub fn segments(&self) -> u32 {
        (self.index.len() / INDEX_ENTRY_BYTES) as u32
    }

    /// One segment; `None` if the block has not so many.
    pub fn segment(&self, segment: u32) -> Option<Segment> {
        if segment >= self.segments() {
            return None;
        }
        let offset = if segment == 0 { 0 } else { self.end(segment - 1) };
        Some(Segment { segment, offset, length: self.end(segment) - offset })
    }

    /// Bytes of a range of segments in the file.
    pub fn length(&self, segments: Range<u32>) -> u64 {
        segments.filter_map(|segment| self.segment(segment)).map(|s| s.length).sum()
    }

    /// Reads a whole segment, verified and unpacked. Blocks.
    ///
    /// # Errors
    /// If it cannot be read, or is not what was written.
    pub fn read_segment(&self, segment: u32) -> Result<Bytes, StoreError> {
        let Some(found) = self.segment(segment) else {
            let what = format!("segment {segment} asked for, it has {}", self.segments());
            return Err(StoreError::Corrupt { block: self.block, what });
        };
        if found.length == 0 {
            return Ok(Bytes::new());
        }
        let mut frames = self.read_at(found.offset, found.length as usize)?;
        let unpacked = frame::verify(&frames).map_err(|what| self.corrupt(segment, what))?;
        frame::unpack(&mut frames, unpacked.raw).map_err(|what| self.corrupt(segment, what))
    }

    /// Reads bytes of the file without verifying them. Blocks.
    pub(crate) fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        if let Source::Memory(data) = &self.source {
            return Ok(data.slice_ref(self.held_bytes(data, offset, length)?));
        }
        let mut bytes = Vec::with_capacity(length);
        self.read_into(offset, length, &mut bytes)?;
        Ok(Bytes::from(bytes))
    }

    /// Appends bytes of the file, unverified. Blocks.
    pub(crate) fn read_into(
        &self,
        offset: u64,
        length: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let (path, file) = match &self.source {
            Source::File(path, file) => (path, file),
            Source::Memory(data) => {
                bytes.extend_from_slice(self.held_bytes(data, offset, length)?);
                return Ok(());
            }
        };
        let start = bytes.len();
        bytes.resize(start + length, 0);
        file.read_exact_at(&mut bytes[start..], offset).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => self.ends_early(),
            _ => StoreError::File { what: "read", path: path.clone(), source },
        })
    }

    fn held_bytes<'a>(
        &self,
        data: &'a Bytes,
        offset: u64,
        length: usize,
    ) -> Result<&'a [u8], StoreError> {
        let start = offset as usize;
        let end = start.checked_add(length);
        end.and_then(|end| data.get(start..end)).ok_or_else(|| self.ends_early())
    }

    fn ends_early(&self) -> StoreError {
        StoreError::Corrupt { block: self.block, what: "file ends early".to_owned() }
    }

    pub(crate) fn corrupt(&self, segment: u32, what: &str) -> StoreError {
        StoreError::Corrupt { block: self.block, what: format!("segment {segment}: {what}") }
    }

    fn end(&self, segment: u32) -> u64 {
        let at = segment as usize * INDEX_ENTRY_BYTES;
        let mut end = [0; 8];
        end.copy_from_slice(&self.index[at..at + 8]);
        u64::from_le_bytes(end)
    }
}

fn read_u32(bytes: &[u8]) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(bytes);
    u32::from_le_bytes(value)
}

/// The readers used last.
#[derive(Debug, Default)]
pub(crate) struct ReaderCache {
    readers: IndexMap<BlockId, (u64, Arc<BlockReader>)>,
    index_bytes: usize,
    clock: u64,
}

impl ReaderCache {
    pub(crate) fn get(&mut self, block: BlockId) -> Option<Arc<BlockReader>> {
        self.clock += 1;
        let (used, reader) = self.readers.get_mut(&block)?;
        *used = self.clock;
        Some(reader.clone())
    }

    pub(crate) fn put(&mut self, block: BlockId, reader: Arc<BlockReader>) {
        self.clock += 1;
        self.index_bytes += reader.index.len();
        if let Some((_, old)) = self.readers.insert(block, (self.clock, reader)) {
            self.index_bytes -= old.index.len();
        }
        if self.readers.len() > CACHED_READERS || self.index_bytes > CACHED_INDEX_BYTES {
            self.drop_oldest_half();
        }
    }

    pub(crate) fn forget(&mut self, mut gone: impl FnMut(BlockId) -> bool) {
        let index_bytes = &mut self.index_bytes;
        self.readers.retain(|block, (_, reader)| {
            let keep = !gone(*block);
            if !keep {
                *index_bytes -= reader.index.len();
            }
            keep
        });
    }

    /// Half at once, so that the sort is paid once per many insertions.
    fn drop_oldest_half(&mut self) {
        self.readers.sort_by(|_, (a, _), _, (b, _)| b.cmp(a));
        let keep = self.readers.len() / 2;
        for (_, (_, reader)) in self.readers.drain(keep..) {
            self.index_bytes -= reader.index.len();
        }
    }
}
