//! Getting the blocks a task reads, as messages of whole batches.
//!
//! A partition that fits in memory easily is fetched as a whole and read in map order, so that a
//! second run sees the same rows in the same order. A larger one is read as its blocks come,
//! unless the reader needs their order.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use spark_shuffle::{BlockFetcher, BlockId, BlockLocation, FetchError, ShuffleStore};

use crate::batches::message_length;
use crate::executor::{Counts, Shared};
use crate::failure::FetchFailedError;
use crate::protocol::FetchFailed;

/// A partition up to this many bytes is fetched before it is read.
const WHOLE_BYTES: u64 = 16 * 1024 * 1024;

/// An executor's own blocks up to this many bytes are read in the task's thread.
const DIRECT_BYTES: u64 = 4 * 1024 * 1024;

/// Blocks under way of a large partition that is read in order.
const ORDERED_AHEAD: usize = 4;

/// The wanted segments of one map output.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) shuffle: u64,
    pub(crate) map: u32,
    pub(crate) task: u64,
    pub(crate) bytes: u64,
    pub(crate) executor: Arc<str>,
    pub(crate) address: Arc<str>,
}

impl Wanted {
    pub(crate) fn block(&self) -> BlockId {
        BlockId::Shuffle { shuffle: self.shuffle, map_partition: self.map, task: self.task }
    }

    fn location(&self) -> BlockLocation {
        BlockLocation { block: self.block(), address: Arc::clone(&self.address), bytes: self.bytes }
    }
}

/// The wanted segments of each map output as runs of whole messages.
pub(crate) fn fetch(
    shared: &Arc<Shared>,
    wanted: Vec<Wanted>,
    segments: Range<u32>,
    ordered: bool,
    counts: &Counts,
) -> BoxStream<'static, Result<Bytes>> {
    if wanted.is_empty() {
        return stream::empty().boxed();
    }
    count(&wanted, counts);
    let total: u64 = wanted.iter().map(|wanted| wanted.bytes).sum();
    let own = wanted.iter().all(|wanted| wanted.address == shared.block_address);
    if own && (ordered || total <= WHOLE_BYTES) && wanted.iter().all(|w| w.bytes <= DIRECT_BYTES) {
        let store = shared.store.clone();
        return stream::iter(wanted)
            .map(move |wanted| {
                let read = read_own(&store, &wanted, segments.clone());
                Ok::<_, DataFusionError>(stream::iter(read?.into_iter().map(Ok)))
            })
            .try_flatten()
            .boxed();
    }
    let fetcher = counts.fetcher.clone();
    if total <= WHOLE_BYTES {
        return stream::once(fetch_whole(fetcher, wanted, segments))
            .map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok)))
            .try_flatten()
            .boxed();
    }
    if ordered {
        return stream::iter(wanted)
            .map(move |wanted| {
                let messages = messages(&fetcher, vec![wanted.location()], segments.clone());
                std::future::ready(Ok::<_, DataFusionError>(messages))
            })
            .buffered(ORDERED_AHEAD)
            .try_flatten()
            .boxed();
    }
    messages(&fetcher, wanted.iter().map(Wanted::location).collect(), segments)
}

/// The first segment of each map output whole, in the order asked for: packed output, small by
/// nature. What is read is not counted here, but how long it was waited for.
pub(crate) async fn fetch_packed(
    shared: &Shared,
    wanted: Vec<Wanted>,
    counts: &Counts,
) -> Result<Vec<Bytes>> {
    let is_own = |wanted: &Wanted| wanted.address == shared.block_address;
    let mut found = vec![Bytes::new(); wanted.len()];
    let mut remote = Vec::new();
    for (number, wanted) in wanted.iter().enumerate() {
        if is_own(wanted) {
            found[number] = read_own(&shared.store, wanted, 0..1)?.pop().unwrap_or_default();
        } else {
            remote.push((number, wanted.clone()));
        }
    }
    if !remote.is_empty() {
        let (numbers, remote): (Vec<_>, Vec<_>) = remote.into_iter().unzip();
        let pieces = fetch_pieces(&counts.fetcher, remote, 0..1).await?;
        for (number, mut pieces) in numbers.into_iter().zip(pieces) {
            found[number] = pieces.pop().unwrap_or_default();
        }
    }
    Ok(found)
}

/// Segments of one map output bit by bit, for a reader that has many map outputs open at once.
pub(crate) fn trickle(
    shared: &Arc<Shared>,
    wanted: Wanted,
    segments: Range<u32>,
    bytes_in_flight: u64,
    counts: &Counts,
) -> BoxStream<'static, Result<Bytes>> {
    count(std::slice::from_ref(&wanted), counts);
    if wanted.address == shared.block_address {
        let store = shared.store.clone();
        return stream::iter(segments)
            .map(move |segment| {
                let read = read_own(&store, &wanted, segment..segment + 1);
                Ok::<_, DataFusionError>(stream::iter(read?.into_iter().map(Ok)))
            })
            .try_flatten()
            .boxed();
    }
    let fetcher = counts.fetcher.with_bytes_in_flight(bytes_in_flight);
    messages(&fetcher, vec![wanted.location()], segments)
}

pub(crate) fn count(wanted: &[Wanted], counts: &Counts) {
    let mut blocks = counts.blocks_read.lock();
    for wanted in wanted.iter().filter(|wanted| wanted.bytes > 0) {
        *blocks.entry(Arc::clone(&wanted.executor)).or_default() += 1;
    }
    drop(blocks);
    let mut read = counts.bytes_read.lock();
    for wanted in wanted {
        match read.get_mut(&wanted.executor) {
            Some(bytes) => *bytes += wanted.bytes,
            None => {
                read.insert(Arc::clone(&wanted.executor), wanted.bytes);
            }
        }
    }
}

/// Fetches everything and puts it in the order asked for.
async fn fetch_whole(
    fetcher: BlockFetcher,
    wanted: Vec<Wanted>,
    segments: Range<u32>,
) -> Result<Vec<Bytes>> {
    Ok(fetch_pieces(&fetcher, wanted, segments).await?.into_iter().flatten().collect())
}

/// Fetches everything: of each map output the segments that have bytes.
async fn fetch_pieces(
    fetcher: &BlockFetcher,
    wanted: Vec<Wanted>,
    segments: Range<u32>,
) -> Result<Vec<Vec<Bytes>>> {
    let places: HashMap<BlockId, usize> =
        wanted.iter().enumerate().map(|(place, wanted)| (wanted.block(), place)).collect();
    let mut pieces = vec![Vec::new(); wanted.len()];
    let locations = wanted.iter().map(Wanted::location).collect();
    let mut chunks = fetcher.fetch(locations, segments);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| fetch_error(&error))?;
        if let Some(place) = places.get(&chunk.block) {
            pieces[*place].push((chunk.segment, chunk.data));
        }
    }
    // The pieces of a segment come in order; so do the segments after this.
    Ok(pieces
        .into_iter()
        .map(|mut pieces| {
            pieces.sort_by_key(|(segment, _)| *segment);
            join(pieces)
        })
        .collect())
}

/// Joins the pieces of each segment.
fn join(pieces: Vec<(u32, Bytes)>) -> Vec<Bytes> {
    let mut joined: Vec<(u32, Bytes)> = Vec::with_capacity(pieces.len());
    for (segment, piece) in pieces {
        match joined.last_mut() {
            Some((last, bytes)) if *last == segment => {
                *bytes = [&bytes[..], &piece[..]].concat().into();
            }
            Some(_) | None => joined.push((segment, piece)),
        }
    }
    joined.into_iter().map(|(_, bytes)| bytes).collect()
}

/// Reads segments of a block of the own store.
fn read_own(store: &ShuffleStore, wanted: &Wanted, segments: Range<u32>) -> Result<Vec<Bytes>> {
    let read = store.read(wanted.block()).and_then(|block| {
        segments
            .filter(|segment| block.segment(*segment).is_some_and(|segment| segment.length > 0))
            .map(|segment| block.read_segment(segment))
            .collect()
    });
    read.map_err(|error| fetch_failed(wanted.block(), false, error.to_string()))
}

/// Streams blocks, cutting their pieces at the borders of messages.
pub(crate) fn messages(
    fetcher: &BlockFetcher,
    blocks: Vec<BlockLocation>,
    segments: Range<u32>,
) -> BoxStream<'static, Result<Bytes>> {
    let chunks = fetcher.fetch(blocks, segments);
    stream::try_unfold((chunks, BytesMut::new()), |(mut chunks, mut rest)| async move {
        loop {
            let Some(chunk) = chunks.next().await else { return Ok(None) };
            let chunk = chunk.map_err(|error| fetch_error(&error))?;
            let mut data = if rest.is_empty() {
                chunk.data
            } else {
                rest.extend_from_slice(&chunk.data);
                rest.split().freeze()
            };
            let whole = whole_messages(&data)?;
            if chunk.last && whole < data.len() {
                return Err(exec_datafusion_err!("{} ends inside a batch", chunk.block));
            }
            let ready = data.split_to(whole);
            rest.extend_from_slice(&data);
            if !ready.is_empty() {
                return Ok(Some((ready, (chunks, rest))));
            }
        }
    })
    .boxed()
}

/// The length of the complete messages at the start.
fn whole_messages(data: &[u8]) -> Result<usize> {
    let mut whole = 0;
    while let Some(length) = message_length(&data[whole..])? {
        if whole + length > data.len() {
            break;
        }
        whole += length;
    }
    Ok(whole)
}

fn fetch_error(error: &FetchError) -> DataFusionError {
    fetch_failed(error.block, error.address_lost(), error.to_string())
}

pub(crate) fn fetch_failed(block: BlockId, address_lost: bool, message: String) -> DataFusionError {
    match block {
        BlockId::Shuffle { shuffle, map_partition, task } => FetchFailedError(FetchFailed {
            shuffle,
            map: map_partition,
            map_task: Some(task),
            address_lost,
            message,
        })
        .into(),
        BlockId::Broadcast { .. } | BlockId::Result { .. } => DataFusionError::Execution(message),
    }
}
