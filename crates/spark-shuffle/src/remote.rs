//! One request to one server, asked again if the answer breaks off.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::client::Connection;
use crate::error::{FetchError, FetchErrorKind};
use crate::fetcher::{
    CHUNK_BYTES, DELIVERY_BYTES, Fetch, FetchedChunk, RemoteRequest, Unwanted, send,
};
use crate::protocol::{Part, Request};

/// How far the answer to a request has come.
struct Progress {
    /// The first block of which not all segments have come.
    block: usize,
    /// In that block, the first segment that has not come.
    segment: u32,
    /// Whether anything came for that block.
    any: bool,
    /// Whole segments that have come and are not sent yet, and their bytes.
    chunks: Vec<FetchedChunk>,
    bytes: usize,
}

/// Why an answer ended before its end.
enum Break {
    /// The connection failed; the same may be asked again.
    Connection(String),
    /// The server's word: this block cannot be had.
    Block(usize, FetchErrorKind),
    /// The reader is gone.
    Unwanted,
}

impl From<Unwanted> for Break {
    fn from(_: Unwanted) -> Self {
        Self::Unwanted
    }
}

impl From<std::io::Error> for Break {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

pub(crate) async fn fetch_remote(
    fetch: &Fetch,
    request: RemoteRequest,
    permit: Arc<OwnedSemaphorePermit>,
) {
    let mut progress = Progress::new(fetch.segments.start);
    let mut retries = 0;
    let mut fresh = false;
    let failed = loop {
        let mut connection = match fetch.client.connect(&request.address, fresh).await {
            Ok(connection) => connection,
            // Nobody listens: the executor is gone, and the sooner that is said the better.
            Err(kind) => break (progress.block, kind),
        };
        let reused = connection.reused;
        let before = (progress.block, progress.segment);
        match ask(fetch, &request, &permit, &mut connection, &mut progress).await {
            Ok(()) => {
                fetch.client.give_back(&request.address, connection);
                return;
            }
            Err(Break::Unwanted) => return,
            Err(Break::Block(block, kind)) => break (block, kind),
            Err(Break::Connection(why)) => {
                fresh = true;
                let silent = before == (progress.block, progress.segment);
                if reused && silent {
                    continue; // Closed while it lay idle.
                }
                if retries >= fetch.options.max_retries {
                    let text = format!("answer broke off: {why}");
                    break (progress.block, FetchErrorKind::Unreachable(text));
                }
                retries += 1;
                tracing::debug!(address = %request.address, %why, retries, "fetch broke off");
                tokio::time::sleep(fetch.options.retry_wait).await;
            }
        }
    };
    let (block, kind) = failed;
    let block = request.blocks[block.min(request.blocks.len() - 1)].block;
    fetch.delivery.fail(FetchError { block, address: request.address, kind }).await;
}

/// Asks for what has not come yet and delivers what comes.
async fn ask(
    fetch: &Fetch,
    request: &RemoteRequest,
    permit: &Arc<OwnedSemaphorePermit>,
    connection: &mut Connection,
    progress: &mut Progress,
) -> Result<(), Break> {
    let first = progress.block;
    let blocks = request.blocks[first..].iter().map(|location| location.block).collect();
    let words = Request { blocks, segments: fetch.segments.clone() }.encode();
    connection.stream.get_mut().write_all(&words).await?;
    fetch.counters.remote_requests.fetch_add(1, Ordering::Relaxed);
    let patience = fetch.client.idle_timeout();
    loop {
        let silence = |_| Break::Connection(format!("silent for {} s", patience.as_secs()));
        match timeout(patience, Part::read(&mut connection.stream)).await.map_err(silence)?? {
            Part::Segment { block, segment, length, checksum } => {
                let block = first + block as usize;
                if block < progress.block || block >= request.blocks.len() {
                    return Err(Break::Connection("answer for a block not asked for".to_owned()));
                }
                progress.advance(request, block)?;
                let had = segment < progress.segment;
                let piece = Incoming { block, segment, length, checksum, had };
                receive(fetch, request, permit, connection, piece, progress).await?;
                if !had {
                    progress.segment = segment + 1;
                }
                progress.any = true;
            }
            Part::Failed { block, corrupt, message } => {
                let kind = if corrupt {
                    FetchErrorKind::Corrupt(message)
                } else {
                    FetchErrorKind::Missing(message)
                };
                return Err(Break::Block(first + block as usize, kind));
            }
            Part::End => {
                progress.advance(request, request.blocks.len())?;
                return progress.deliver(fetch, permit).await;
            }
        }
    }
}

impl Progress {
    fn new(segment: u32) -> Self {
        Self { block: 0, segment, any: false, chunks: Vec::new(), bytes: 0 }
    }

    /// Keeps a whole segment to be sent with others.
    async fn keep(
        &mut self,
        chunk: FetchedChunk,
        fetch: &Fetch,
        permit: &Arc<OwnedSemaphorePermit>,
    ) -> Result<(), Break> {
        self.bytes += chunk.data.len();
        self.chunks.push(chunk);
        if self.bytes >= DELIVERY_BYTES { self.deliver(fetch, permit).await } else { Ok(()) }
    }

    async fn deliver(
        &mut self,
        fetch: &Fetch,
        permit: &Arc<OwnedSemaphorePermit>,
    ) -> Result<(), Break> {
        self.bytes = 0;
        Ok(fetch.delivery.send(std::mem::take(&mut self.chunks), permit).await?)
    }

    /// The answer has come to `block`: all before it must have given something, for nothing else
    /// was asked for.
    fn advance(&mut self, request: &RemoteRequest, block: usize) -> Result<(), Break> {
        while self.block < block {
            if !self.any {
                let what = "nothing where its status promised bytes".to_owned();
                return Err(Break::Block(self.block, FetchErrorKind::Corrupt(what)));
            }
            self.block += 1;
            self.any = false;
            self.segment = 0;
        }
        debug_assert!(self.block <= request.blocks.len());
        Ok(())
    }
}

/// A segment whose bytes come next.
struct Incoming {
    block: usize,
    segment: u32,
    length: u64,
    checksum: u32,
    /// It came before, in an answer that broke off later.
    had: bool,
}

async fn receive(
    fetch: &Fetch,
    request: &RemoteRequest,
    permit: &Arc<OwnedSemaphorePermit>,
    connection: &mut Connection,
    incoming: Incoming,
    progress: &mut Progress,
) -> Result<(), Break> {
    let Incoming { block: place, segment, length, checksum, had } = incoming;
    let block = request.blocks[place].block;
    let bad = || {
        let text = format!("checksum of segment {segment} does not fit");
        Break::Block(place, FetchErrorKind::Corrupt(text))
    };
    let patience = fetch.client.idle_timeout();
    if length <= CHUNK_BYTES {
        let data = read_bytes(&mut connection.stream, length, patience).await?;
        if had {
            return Ok(());
        }
        if crc32fast::hash(&data) != checksum {
            return Err(bad());
        }
        count(fetch, length);
        let chunk = FetchedChunk { block, segment, data, last: true };
        return progress.keep(chunk, fetch, permit).await;
    }
    progress.deliver(fetch, permit).await?;
    let sender = fetch.delivery.sender.lock().await;
    let mut hasher = crc32fast::Hasher::new();
    let mut at = 0;
    while at < length {
        let piece = (length - at).min(CHUNK_BYTES);
        let data = match read_bytes(&mut connection.stream, piece, patience).await {
            Ok(data) => data,
            // Pieces that were given cannot be taken back: no second try.
            Err(Break::Connection(why)) if at > 0 && !had => {
                let text = format!("answer broke off: {why}");
                return Err(Break::Block(place, FetchErrorKind::Unreachable(text)));
            }
            Err(other) => return Err(other),
        };
        at += piece;
        if had {
            continue;
        }
        hasher.update(&data);
        let last = at == length;
        if last && hasher.clone().finalize() != checksum {
            return Err(bad());
        }
        send(&sender, vec![FetchedChunk { block, segment, data, last }], permit).await?;
    }
    if !had {
        count(fetch, length);
    }
    Ok(())
}

async fn read_bytes(
    input: &mut (impl AsyncRead + Unpin),
    length: u64,
    patience: std::time::Duration,
) -> Result<Bytes, Break> {
    let mut data = BytesMut::with_capacity(length as usize);
    let mut input = input.take(length);
    while (data.len() as u64) < length {
        let read = timeout(patience, input.read_buf(&mut data)).await;
        let silence = |_| Break::Connection(format!("silent for {} s", patience.as_secs()));
        if read.map_err(silence)?? == 0 {
            return Err(Break::Connection("closed in the middle of a segment".to_owned()));
        }
    }
    Ok(data.freeze())
}

fn count(fetch: &Fetch, bytes: u64) {
    fetch.counters.remote_bytes.fetch_add(bytes, Ordering::Relaxed);
    fetch.counters.remote_segments.fetch_add(1, Ordering::Relaxed);
}
