//! One request to one server, asked again from where it broke off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use crate::client::Connection;
use crate::error::{FetchError, FetchErrorKind};
use crate::fetcher::{
    CHUNK_BYTES, DELIVERY_BYTES, Delivered, Fetch, FetchOptions, StoredChunk, Unwanted, send,
};
use crate::frame::{self, HEADER_BYTES, Header};
use crate::local::PIECE_BYTES;
use crate::protocol::{Part, Request};
use crate::queue::RemoteRequest;

/// How far the answer to a request has come.
struct Progress {
    /// The first block of which not all segments have come.
    block: usize,
    /// In that block, the first segment that has not come, and how many bytes of it have.
    segment: u32,
    byte: u64,
    /// Whether anything came for that block.
    any: bool,
    /// Whole segments that have come and are not sent yet, and their bytes.
    chunks: Vec<StoredChunk>,
    bytes: usize,
    /// Held from the first piece of a large segment to its last, over breaks of the connection.
    open: Option<OwnedMutexGuard<mpsc::Sender<Delivered>>>,
}

/// Why an answer ended before its end.
enum Break {
    /// The connection failed; the same may be asked again.
    Connection(String),
    /// What came is not what was written: on the way, or where it lies.
    Corrupt(usize, String),
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

/// Counts tries against the limits of the options.
pub(crate) struct Retries {
    made: u32,
    corrupt: bool,
}

impl Retries {
    pub(crate) fn new() -> Self {
        Self { made: 0, corrupt: false }
    }

    /// Waits before another try; `false` if there is none.
    pub(crate) async fn again(&mut self, options: &FetchOptions, address: &str, why: &str) -> bool {
        if self.made >= options.max_retries {
            return false;
        }
        self.made += 1;
        tracing::debug!(address, why, retries = self.made, "fetch is tried again");
        tokio::time::sleep(options.retry_wait).await;
        true
    }

    /// As Spark, fetches what is corrupt once more: it may have been so on the way only.
    pub(crate) fn once_more(&mut self) -> bool {
        !std::mem::replace(&mut self.corrupt, true)
    }
}

pub(crate) async fn fetch_remote(
    fetch: &Fetch,
    request: RemoteRequest,
    permit: Arc<OwnedSemaphorePermit>,
) {
    let mut progress = Progress::new(fetch.segments.start);
    let Err((block, kind)) = ask_until_done(fetch, &request, &permit, &mut progress).await else {
        return;
    };
    // Gives the way to the reader free.
    drop(progress);
    let block = request.blocks[block.min(request.blocks.len() - 1)].block;
    fetch.delivery.fail(FetchError { block, address: request.address, kind }).await;
}

async fn ask_until_done(
    fetch: &Fetch,
    request: &RemoteRequest,
    permit: &Arc<OwnedSemaphorePermit>,
    progress: &mut Progress,
) -> Result<(), (usize, FetchErrorKind)> {
    let mut retries = Retries::new();
    let options = &fetch.options;
    let mut fresh = false;
    loop {
        let mut connection = match fetch.client.connect(&request.address, fresh).await {
            Ok(connection) => connection,
            Err(failed) => {
                let again = failed.may_pass(options.refused_is_final)
                    && retries.again(options, &request.address, "no connection").await;
                if again {
                    continue;
                }
                return Err((progress.block, failed.kind));
            }
        };
        let reused = connection.reused;
        let before = (progress.block, progress.segment, progress.byte);
        match ask(fetch, request, permit, &mut connection, progress).await {
            Ok(()) => {
                fetch.client.give_back(&request.address, connection);
                return Ok(());
            }
            Err(Break::Unwanted) => return Ok(()),
            Err(Break::Block(block, kind)) => return Err((block, kind)),
            Err(Break::Corrupt(block, what)) => {
                fresh = true;
                if !retries.once_more() {
                    return Err((block, FetchErrorKind::Corrupt(what)));
                }
                tracing::warn!(address = %request.address, %what, "corrupt bytes are fetched once more");
            }
            Err(Break::Connection(why)) => {
                fresh = true;
                let silent = before == (progress.block, progress.segment, progress.byte);
                if reused && silent {
                    continue; // Closed while it lay idle.
                }
                if !retries.again(options, &request.address, &why).await {
                    let text = format!("answer broke off: {why}");
                    return Err((progress.block, FetchErrorKind::Unreachable(text)));
                }
            }
        }
    }
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
    let words = Request {
        blocks: request.blocks[first..].iter().map(|location| location.block).collect(),
        segments: fetch.segments.clone(),
        from: (progress.segment, progress.byte),
        limit: u64::MAX,
    };
    connection.stream.get_mut().write_all(&words.encode()).await?;
    fetch.counters.remote_requests.fetch_add(1, Ordering::Relaxed);
    let patience = fetch.client.idle_timeout();
    loop {
        match read_part(connection, patience).await? {
            Part::Segment { block, segment, length, .. } => {
                let block = first + block as usize;
                let in_order = block > progress.block
                    || block == progress.block && segment >= progress.segment;
                if !in_order || block >= request.blocks.len() {
                    return Err(Break::Connection("answer for what was not asked".to_owned()));
                }
                progress.advance(request, block)?;
                if segment != progress.segment {
                    (progress.segment, progress.byte) = (segment, 0);
                }
                receive(fetch, request, permit, connection, length, progress).await?;
                (progress.segment, progress.byte) = (segment + 1, 0);
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

async fn read_part(connection: &mut Connection, patience: Duration) -> Result<Part, Break> {
    let silence = |_| Break::Connection(format!("silent for {} s", patience.as_secs()));
    Ok(timeout(patience, Part::read(&mut connection.stream)).await.map_err(silence)??)
}

impl Progress {
    fn new(segment: u32) -> Self {
        Self { block: 0, segment, byte: 0, any: false, chunks: Vec::new(), bytes: 0, open: None }
    }

    /// Keeps a whole segment to be sent with others.
    async fn keep(
        &mut self,
        chunk: StoredChunk,
        fetch: &Fetch,
        permit: &Arc<OwnedSemaphorePermit>,
    ) -> Result<(), Break> {
        self.bytes += chunk.frames.len();
        self.chunks.push(chunk);
        if self.bytes >= DELIVERY_BYTES { self.deliver(fetch, permit).await } else { Ok(()) }
    }

    async fn deliver(
        &mut self,
        fetch: &Fetch,
        permit: &Arc<OwnedSemaphorePermit>,
    ) -> Result<(), Break> {
        if self.chunks.is_empty() {
            // Nor waits for a way to the reader that is held already, for the rest of a segment.
            return Ok(());
        }
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
            (self.segment, self.byte) = (0, 0);
        }
        debug_assert!(self.block <= request.blocks.len());
        Ok(())
    }
}

/// Takes `length` bytes of the segment at hand: all of it, or what is left after a break.
async fn receive(
    fetch: &Fetch,
    request: &RemoteRequest,
    permit: &Arc<OwnedSemaphorePermit>,
    connection: &mut Connection,
    length: u64,
    progress: &mut Progress,
) -> Result<(), Break> {
    let (place, segment) = (progress.block, progress.segment);
    let corrupt = |what| Break::Corrupt(place, format!("segment {segment}: {what}"));
    let chunk = |frames, last| {
        let (block, address) = (request.blocks[place].block, request.address.clone());
        StoredChunk { block, address, segment, frames, last }
    };
    let patience = fetch.client.idle_timeout();
    if length <= CHUNK_BYTES && progress.open.is_none() {
        let mut frames = BytesMut::with_capacity(length as usize);
        read_bytes(&mut connection.stream, &mut frames, length as usize, patience).await?;
        let frames = frames.freeze();
        frame::verify(&frames).map_err(corrupt)?;
        count(fetch, length);
        fetch.counters.remote_segments.fetch_add(1, Ordering::Relaxed);
        return progress.keep(chunk(frames, true), fetch, permit).await;
    }
    progress.deliver(fetch, permit).await?;
    if progress.open.is_none() {
        progress.open = Some(fetch.delivery.sender.clone().lock_owned().await);
    }
    let mut left = length;
    while left > 0 {
        let frames = read_frames(&mut connection.stream, left, patience).await?;
        let frames = frames.map_err(corrupt)?;
        let bytes = frames.len() as u64;
        left -= bytes;
        let chunk = chunk(frames, left == 0);
        if let Some(sender) = &progress.open {
            send(sender, vec![chunk], permit).await?;
        }
        // Given: a break after this is mended from here.
        progress.byte += bytes;
        count(fetch, bytes);
    }
    progress.open = None;
    fetch.counters.remote_segments.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Whole frames of about [`PIECE_BYTES`], of the `left` bytes that still come.
async fn read_frames(
    input: &mut (impl AsyncRead + Unpin),
    left: u64,
    patience: Duration,
) -> Result<Result<Bytes, &'static str>, Break> {
    const SHORT: &str = "the segment ends inside a frame";
    let mut frames = BytesMut::new();
    while frames.len() < PIECE_BYTES && (frames.len() as u64) < left {
        let start = frames.len();
        if left - (start as u64) < HEADER_BYTES as u64 {
            return Ok(Err(SHORT));
        }
        read_bytes(input, &mut frames, HEADER_BYTES, patience).await?;
        let header = frames[start..].first_chunk().ok_or(SHORT).and_then(Header::read);
        let header = match header {
            Ok(header) => header,
            Err(what) => return Ok(Err(what)),
        };
        if left - (frames.len() as u64) < header.stored as u64 {
            return Ok(Err(SHORT));
        }
        read_bytes(input, &mut frames, header.stored, patience).await?;
        if let Err(what) = header.verify(&frames[start + HEADER_BYTES..]) {
            return Ok(Err(what));
        }
    }
    Ok(Ok(frames.freeze()))
}

/// Appends exactly so many bytes.
async fn read_bytes(
    input: &mut (impl AsyncRead + Unpin),
    out: &mut BytesMut,
    length: usize,
    patience: Duration,
) -> Result<(), Break> {
    out.reserve(length);
    let end = out.len() + length;
    let mut input = input.take(length as u64);
    while out.len() < end {
        let read = timeout(patience, input.read_buf(out)).await;
        let silence = |_| Break::Connection(format!("silent for {} s", patience.as_secs()));
        if read.map_err(silence)?? == 0 {
            return Err(Break::Connection("closed in the middle of a segment".to_owned()));
        }
    }
    Ok(())
}

fn count(fetch: &Fetch, bytes: u64) {
    fetch.counters.remote_bytes.fetch_add(bytes, Ordering::Relaxed);
}

/// Bytes of segments of one block, as they are stored.
pub(crate) struct Run {
    /// The segment, and the bytes of it that came and that still come in later answers.
    pub(crate) segment: u32,
    pub(crate) bytes: BytesMut,
    pub(crate) rest: u64,
}

/// Asks for at most `limit` bytes of one block from a place on: one short request, for readers that
/// read many blocks side by side and must not hold a connection to each.
pub(crate) async fn ask_for_run(
    connection: &mut Connection,
    request: &Request,
    patience: Duration,
) -> Result<Vec<Run>, RunError> {
    connection.stream.get_mut().write_all(&request.encode()).await.map_err(RunError::io)?;
    let mut runs = Vec::new();
    let mut left = request.limit;
    loop {
        match read_part(connection, patience).await.map_err(RunError::of)? {
            Part::Segment { segment, length, rest, .. } => {
                if length > left || length == 0 {
                    return Err(RunError::Connection("more than was asked for".to_owned()));
                }
                left -= length;
                let mut bytes = BytesMut::new();
                read_bytes(&mut connection.stream, &mut bytes, length as usize, patience)
                    .await
                    .map_err(RunError::of)?;
                runs.push(Run { segment, bytes, rest });
            }
            Part::Failed { corrupt: true, message, .. } => {
                return Err(RunError::Block(FetchErrorKind::Corrupt(message)));
            }
            Part::Failed { corrupt: false, message, .. } => {
                return Err(RunError::Block(FetchErrorKind::Missing(message)));
            }
            Part::End => return Ok(runs),
        }
    }
}

/// Why [`ask_for_run`] has no answer.
pub(crate) enum RunError {
    /// May pass.
    Connection(String),
    /// The server's word.
    Block(FetchErrorKind),
}

impl RunError {
    fn io(error: std::io::Error) -> Self {
        Self::Connection(error.to_string())
    }

    fn of(end: Break) -> Self {
        match end {
            Break::Connection(why) => Self::Connection(why),
            Break::Corrupt(_, what) => Self::Block(FetchErrorKind::Corrupt(what)),
            Break::Block(_, kind) => Self::Block(kind),
            Break::Unwanted => Self::Connection("nobody reads".to_owned()),
        }
    }
}
