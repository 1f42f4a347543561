//! The short cut: blocks of the own store are read from their files.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;

use crate::block::BlockId;
use crate::error::{FetchError, FetchErrorKind, StoreError, chain};
use crate::fetcher::{BlockLocation, CHUNK_BYTES, Fetch, FetchedChunk, Unwanted, send};
use crate::reader::{BlockReader, Segment};
use crate::server::blocking;
use crate::store::ShuffleStore;

/// Small segments are read together up to this, to pay the way to the blocking pool once.
const BATCH_BYTES: u64 = CHUNK_BYTES;

pub(crate) async fn fetch_local(fetch: &Fetch, store: &ShuffleStore, blocks: &[BlockLocation]) {
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    for location in blocks {
        if batch_bytes + location.bytes > BATCH_BYTES && !batch.is_empty() {
            if read_batch(fetch, store, std::mem::take(&mut batch), batch_bytes).await.is_err() {
                return;
            }
            batch_bytes = 0;
        }
        batch_bytes += location.bytes;
        batch.push(location.clone());
    }
    let _ = read_batch(fetch, store, batch, batch_bytes).await;
}

type Failed = (BlockLocation, StoreError);

/// What a blocking thread read: small segments whole, large ones as where they lie.
enum Read {
    Whole(BlockId, u32, bytes::Bytes),
    Large(BlockLocation, Arc<BlockReader>, Segment),
}

async fn read_batch(
    fetch: &Fetch,
    store: &ShuffleStore,
    batch: Vec<BlockLocation>,
    bytes: u64,
) -> Result<(), Unwanted> {
    let permit = fetch.delivery.admit(bytes).await.ok_or(Unwanted)?;
    let (store, segments) = (store.clone(), fetch.segments.clone());
    let read = blocking(move || {
        let mut read = Vec::new();
        for location in batch {
            if let Err(error) = read_block(&store, &location, segments.clone(), &mut read) {
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
            Read::Whole(block, segment, data) => {
                count(fetch, data.len() as u64);
                whole.push(FetchedChunk { block, segment, data, last: true });
            }
            Read::Large(location, reader, segment) => {
                fetch.delivery.send(std::mem::take(&mut whole), &permit).await?;
                count(fetch, segment.length);
                if let Err(error) = send_large(fetch, &reader, segment, &permit).await? {
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
    store: &ShuffleStore,
    location: &BlockLocation,
    segments: std::ops::Range<u32>,
    read: &mut Vec<Read>,
) -> Result<(), StoreError> {
    let block = location.block;
    let reader = store.read(block)?;
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
        let data = bytes.slice(start..start + segment.length as usize);
        if crc32fast::hash(&data) != segment.checksum {
            return Err(reader.bad_checksum(segment.segment));
        }
        read.push(Read::Whole(block, segment.segment, data));
    }
    Ok(())
}

/// A segment in pieces, which come to the reader with nothing between.
async fn send_large(
    fetch: &Fetch,
    reader: &Arc<BlockReader>,
    segment: Segment,
    permit: &Arc<OwnedSemaphorePermit>,
) -> Result<Result<(), StoreError>, Unwanted> {
    let sender = fetch.delivery.sender.lock().await;
    let mut checksum = crc32fast::Hasher::new();
    let mut at = 0;
    while at < segment.length {
        let piece = (segment.length - at).min(CHUNK_BYTES);
        let source = reader.clone();
        let read = blocking(move || {
            let data = source.read_at(segment.offset + at, piece as usize)?;
            checksum.update(&data);
            Ok((data, checksum))
        })
        .await;
        let data;
        (data, checksum) = match read {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        at += piece;
        let last = at == segment.length;
        if last && checksum.clone().finalize() != segment.checksum {
            return Ok(Err(reader.bad_checksum(segment.segment)));
        }
        let (block, segment) = (reader.block(), segment.segment);
        send(&sender, vec![FetchedChunk { block, segment, data, last }], permit).await?;
    }
    Ok(Ok(()))
}

fn count(fetch: &Fetch, bytes: u64) {
    fetch.counters.local_bytes.fetch_add(bytes, Ordering::Relaxed);
    fetch.counters.local_segments.fetch_add(1, Ordering::Relaxed);
}

async fn fail(fetch: &Fetch, (location, error): Failed) -> Result<(), Unwanted> {
    let text = chain(&error);
    let kind = match error {
        StoreError::Corrupt { .. } => FetchErrorKind::Corrupt(text),
        _ => FetchErrorKind::Missing(text),
    };
    let BlockLocation { block, address, .. } = location;
    fetch.delivery.fail(FetchError { block, address, kind }).await;
    Err(Unwanted)
}
