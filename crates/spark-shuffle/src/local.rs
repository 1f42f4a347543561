//! The short cut: blocks in the local directories are read from their files.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{FetchError, FetchErrorKind, StoreError, chain};
use crate::fetcher::{BlockLocation, CHUNK_BYTES, Fetch, Local, StoredChunk, Unwanted, send};
use crate::frame;
use crate::reader::{BlockReader, Segment};
use crate::server::blocking;
use crate::store::ShuffleStore;

/// Small segments are read together up to this, to pay the way to the blocking pool once.
const BATCH_BYTES: u64 = CHUNK_BYTES;

/// A large segment is read in pieces of about this many bytes.
pub(crate) const PIECE_BYTES: usize = 1024 * 1024;

/// Divides blocks into those read from local directories and those fetched over the wire.
pub(crate) async fn keep_local(
    local: &Local,
    blocks: Vec<BlockLocation>,
) -> (Vec<BlockLocation>, Vec<BlockLocation>) {
    if !local.host {
        let own = |location: &BlockLocation| local.may_have(&location.address).is_some();
        return blocks.into_iter().partition(own);
    }
    let (near, mut remote): (Vec<_>, Vec<_>) =
        blocks.into_iter().partition(|location| local.may_have(&location.address).is_some());
    if near.is_empty() {
        return (near, remote);
    }
    let store = local.store.clone();
    let (own, elsewhere): (Vec<_>, Vec<_>) = blocking(move || {
        // A block that is there and cannot be read is told as such by the read itself.
        let there = |location: &BlockLocation| {
            !matches!(store.read_on_host(location.block), Err(StoreError::Missing { .. }))
        };
        near.into_iter().partition(there)
    })
    .await;
    remote.extend(elsewhere);
    (own, remote)
}

pub(crate) async fn fetch_local(fetch: &Fetch, local: &Local, blocks: &[BlockLocation]) {
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    for location in blocks {
        if batch_bytes + location.bytes > BATCH_BYTES && !batch.is_empty() {
            if read_batch(fetch, local, std::mem::take(&mut batch), batch_bytes).await.is_err() {
                return;
            }
            batch_bytes = 0;
        }
        batch_bytes += location.bytes;
        batch.push(location.clone());
    }
    let _ = read_batch(fetch, local, batch, batch_bytes).await;
}

/// The reader of a block that [`keep_local`] kept.
pub(crate) fn open(
    store: &ShuffleStore,
    host: bool,
    location: &BlockLocation,
) -> Result<Arc<BlockReader>, StoreError> {
    if host { store.read_on_host(location.block) } else { store.read(location.block) }
}

type Failed = (BlockLocation, StoreError);

/// What a blocking thread read: small segments whole, large ones as where they lie.
enum Read {
    Whole(StoredChunk),
    Large(BlockLocation, Arc<BlockReader>, Segment),
}

async fn read_batch(
    fetch: &Fetch,
    local: &Local,
    batch: Vec<BlockLocation>,
    bytes: u64,
) -> Result<(), Unwanted> {
    let permit = fetch.delivery.admit(bytes).await.ok_or(Unwanted)?;
    let (local, segments) = (local.clone(), fetch.segments.clone());
    let read = blocking(move || {
        let mut read = Vec::new();
        for location in batch {
            if let Err(error) = read_block(&local, &location, segments.clone(), &mut read) {
                return (read, Some((location, error)));
            }
        }
        (read, None)
    })
    .await;
    let (read, failed) = read;
    let mut whole = Vec::new();
    for piece in read {
        match piece {
            Read::Whole(chunk) => {
                count(fetch, chunk.frames.len() as u64);
                whole.push(chunk);
            }
            Read::Large(location, reader, segment) => {
                fetch.delivery.send(std::mem::take(&mut whole), &permit).await?;
                count(fetch, segment.length);
                let sent = send_large(fetch, &location, reader, segment, &permit).await?;
                if let Err(error) = sent {
                    return fail(fetch, (location, error)).await;
                }
            }
        }
    }
    fetch.delivery.send(whole, &permit).await?;
    match failed {
        Some(failed) => fail(fetch, failed).await,
        None => Ok(()),
    }
}

fn read_block(
    local: &Local,
    location: &BlockLocation,
    segments: Range<u32>,
    read: &mut Vec<Read>,
) -> Result<(), StoreError> {
    let block = location.block;
    let reader = open(&local.store, local.host, location)?;
    let found: Vec<Segment> =
        segments.filter_map(|s| reader.segment(s)).filter(|s| s.length > 0).collect();
    let (Some(first), Some(last)) = (found.first(), found.last()) else {
        let what = "nothing where its status promised bytes".to_owned();
        return Err(StoreError::Corrupt { block, what });
    };
    let length = last.offset + last.length - first.offset;
    if length > CHUNK_BYTES {
        read.extend(found.iter().map(|s| Read::Large(location.clone(), reader.clone(), *s)));
        return Ok(());
    }
    // The segments lie side by side: one read for all.
    let bytes = reader.read_at(first.offset, length as usize)?;
    for segment in &found {
        let start = (segment.offset - first.offset) as usize;
        let frames = bytes.slice(start..start + segment.length as usize);
        frame::verify(&frames).map_err(|what| reader.corrupt(segment.segment, what))?;
        let (address, segment) = (location.address.clone(), segment.segment);
        read.push(Read::Whole(StoredChunk { block, address, segment, frames, last: true }));
    }
    Ok(())
}

/// A segment in pieces, which come to the reader with nothing between.
async fn send_large(
    fetch: &Fetch,
    location: &BlockLocation,
    reader: Arc<BlockReader>,
    segment: Segment,
    permit: &Arc<OwnedSemaphorePermit>,
) -> Result<Result<(), StoreError>, Unwanted> {
    let sender = fetch.delivery.sender.lock().await;
    let mut pieces = SegmentPieces::new(reader, segment);
    loop {
        let piece;
        (pieces, piece) = blocking(move || {
            let piece = pieces.next(PIECE_BYTES);
            (pieces, piece)
        })
        .await;
        let frames = match piece {
            Ok(frames) => frames,
            Err(error) => return Ok(Err(error)),
        };
        let last = pieces.is_done();
        let (block, address) = (location.block, location.address.clone());
        let chunk = StoredChunk { block, address, segment: segment.segment, frames, last };
        send(&sender, vec![chunk], permit).await?;
        if last {
            return Ok(Ok(()));
        }
    }
}

/// A segment read from its file in runs of whole, verified frames.
pub(crate) struct SegmentPieces {
    reader: Arc<BlockReader>,
    segment: Segment,
    at: u64,
    /// The start of a frame that was not whole in the last piece.
    rest: BytesMut,
}

impl SegmentPieces {
    pub(crate) fn new(reader: Arc<BlockReader>, segment: Segment) -> Self {
        Self { reader, segment, at: 0, rest: BytesMut::new() }
    }

    /// The segment's number.
    pub(crate) fn number(&self) -> u32 {
        self.segment.segment
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == self.segment.length && self.rest.is_empty()
    }

    /// The next frames, of about `target` bytes; more if one frame is larger. Blocks.
    pub(crate) fn next(&mut self, target: usize) -> Result<Bytes, StoreError> {
        let number = self.segment.segment;
        let corrupt = |reader: &BlockReader, what| reader.corrupt(number, what);
        let mut wanted = target.max(self.rest.len() + 1);
        loop {
            let left = self.segment.length - self.at;
            let more = left.min((wanted - self.rest.len()) as u64) as usize;
            let mut bytes = std::mem::take(&mut self.rest).to_vec();
            self.reader.read_into(self.segment.offset + self.at, more, &mut bytes)?;
            self.at += more as u64;
            let mut bytes = BytesMut::from(Bytes::from(bytes));
            let (whole, next) = frame::whole(&bytes).map_err(|w| corrupt(&self.reader, w))?;
            if whole > 0 {
                let frames = bytes.split_to(whole).freeze();
                self.rest = bytes;
                frame::verify(&frames).map_err(|w| corrupt(&self.reader, w))?;
                if self.at == self.segment.length && !self.rest.is_empty() {
                    return Err(corrupt(&self.reader, "the segment ends inside a frame"));
                }
                return Ok(frames);
            }
            self.rest = bytes;
            if self.at == self.segment.length {
                return Err(corrupt(&self.reader, "the segment ends inside a frame"));
            }
            wanted = next.unwrap_or(self.rest.len() + frame::HEADER_BYTES);
        }
    }
}

fn count(fetch: &Fetch, bytes: u64) {
    fetch.counters.local_bytes.fetch_add(bytes, Ordering::Relaxed);
    fetch.counters.local_segments.fetch_add(1, Ordering::Relaxed);
}

async fn fail(fetch: &Fetch, (location, error): Failed) -> Result<(), Unwanted> {
    fetch.delivery.fail(store_failure(location, &error)).await;
    Err(Unwanted)
}

pub(crate) fn store_failure(location: BlockLocation, error: &StoreError) -> FetchError {
    let text = chain(error);
    let kind = match error {
        StoreError::Corrupt { .. } => FetchErrorKind::Corrupt(text),
        _ => FetchErrorKind::Missing(text),
    };
    let BlockLocation { block, address, .. } = location;
    FetchError { block, address, kind }
}
