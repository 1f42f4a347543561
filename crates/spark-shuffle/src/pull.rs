//! Reading one block a piece at a time, when its reader wants the next: for merges of many sorted
//! map outputs, which hold a piece of each.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use futures::stream::{self, BoxStream, StreamExt};

use crate::error::{FetchError, FetchErrorKind, StoreError};
use crate::fetcher::{BlockFetcher, BlockLocation, FetchedChunk, StoredChunk};
use crate::frame::{self, Codec};
use crate::local::{SegmentPieces, open, store_failure};
use crate::protocol::Request;
use crate::reader::Segment;
use crate::remote::{Retries, RunError, ask_for_run};
use crate::server::blocking;
use crate::store::ShuffleStore;
use crate::writer::CommittedBlock;

/// A copy asks for this much at a time.
const COPY_PIECE_BYTES: usize = 4 * 1024 * 1024;

/// Smaller pieces are all overhead.
const PIECE_MINIMUM: usize = 16 * 1024;

impl BlockFetcher {
    /// Reads segments of one block in order, `piece_bytes` of stored bytes at a time and only when
    /// the stream is polled: many such streams side by side hold about a piece and one frame
    /// unpacked each, and no connection between pieces. Empty segments are left out. The stream ends
    /// after its first error.
    pub fn pull(
        &self,
        location: BlockLocation,
        segments: Range<u32>,
        piece_bytes: usize,
    ) -> BoxStream<'static, Result<FetchedChunk, FetchError>> {
        if location.bytes == 0 {
            return stream::empty().boxed();
        }
        let pull = Pull {
            fetcher: self.clone(),
            next: (segments.start, 0),
            end: segments.end,
            location,
            piece_bytes: piece_bytes.max(PIECE_MINIMUM),
            source: Source::Unknown,
            ready: VecDeque::new(),
            any: false,
            ended: false,
        };
        stream::try_unfold(pull, |mut pull| async move {
            Ok(pull.chunk().await?.map(|chunk| (chunk, pull)))
        })
        .boxed()
    }
}

/// Why a block could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It could not be read where it is.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It could not be written here.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BlockFetcher {
    /// Copies a whole block of `segments` segments into a store, under the same name: from an
    /// executor that is about to go (`spark.storage.decommission.shuffleBlocks.enabled`).
    ///
    /// # Errors
    /// If it cannot be read, or not be written. Then nothing is left of it.
    pub async fn copy(
        &self,
        location: BlockLocation,
        segments: u32,
        store: &ShuffleStore,
        codec: Codec,
    ) -> Result<CommittedBlock, CopyError> {
        let mut writer = store.write_packed(location.block, segments, codec)?;
        let mut chunks = self.pull(location, 0..segments, COPY_PIECE_BYTES);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            let written;
            (writer, written) = blocking(move || {
                let written = writer.write(chunk.segment, &chunk.data);
                (writer, written)
            })
            .await;
            written?;
        }
        Ok(blocking(move || writer.commit()).await?)
    }
}

/// Where the block is.
enum Source {
    Unknown,
    /// In a local directory; what is left to read of it.
    Local(VecDeque<SegmentPieces>),
    /// At its server; the start of a frame that was not whole in the last answer.
    Remote(BytesMut),
}

struct Pull {
    fetcher: BlockFetcher,
    location: BlockLocation,
    /// The segment, and the byte of it, to read next; the segment after the last.
    next: (u32, u64),
    end: u32,
    piece_bytes: usize,
    source: Source,
    ready: VecDeque<StoredChunk>,
    any: bool,
    ended: bool,
}

impl Pull {
    async fn chunk(&mut self) -> Result<Option<FetchedChunk>, FetchError> {
        loop {
            if let Some(chunk) = self.ready.front_mut() {
                let unpacked = chunk.unpack();
                if chunk.frames.is_empty() {
                    self.ready.pop_front();
                }
                return unpacked.map(Some);
            }
            if self.ended {
                return Ok(None);
            }
            match std::mem::replace(&mut self.source, Source::Unknown) {
                Source::Unknown => self.source = self.find().await?,
                Source::Local(pieces) => self.source = self.read(pieces).await?,
                Source::Remote(rest) => self.source = self.ask(rest).await?,
            }
        }
    }

    async fn find(&mut self) -> Result<Source, FetchError> {
        let local = self.fetcher.local.as_ref();
        let near = local.and_then(|local| Some((local, local.may_have(&self.location.address)?)));
        let Some((local, must)) = near else { return Ok(Source::Remote(BytesMut::new())) };
        let (local, location) = (local.clone(), self.location.clone());
        let segments = self.next.0..self.end;
        let opened = blocking(move || {
            let reader = open(&local.store, local.host, &location)?;
            let found = segments.filter_map(|number| reader.segment(number));
            let found = found.filter(|segment: &Segment| segment.length > 0);
            Ok(found.map(|segment| SegmentPieces::new(reader.clone(), segment)).collect())
        })
        .await;
        match opened {
            Ok(pieces) => Ok(Source::Local(pieces)),
            Err(StoreError::Missing { .. }) if !must => Ok(Source::Remote(BytesMut::new())),
            Err(error) => Err(store_failure(self.location.clone(), &error)),
        }
    }

    async fn read(&mut self, mut pieces: VecDeque<SegmentPieces>) -> Result<Source, FetchError> {
        let Some(mut segment) = pieces.pop_front() else {
            self.finish()?;
            return Ok(Source::Local(pieces));
        };
        let target = self.piece_bytes;
        let read;
        (segment, read) = blocking(move || {
            let read = segment.next(target);
            (segment, read)
        })
        .await;
        let frames = read.map_err(|error| store_failure(self.location.clone(), &error))?;
        let counters = &self.fetcher.counters;
        counters.local_bytes.fetch_add(frames.len() as u64, Ordering::Relaxed);
        let (number, last) = (segment.number(), segment.is_done());
        counters.local_segments.fetch_add(u64::from(last), Ordering::Relaxed);
        self.push(number, frames, last);
        if !last {
            pieces.push_front(segment);
        }
        Ok(Source::Local(pieces))
    }

    async fn ask(&mut self, mut rest: BytesMut) -> Result<Source, FetchError> {
        let request = Request {
            blocks: vec![self.location.block],
            segments: self.next.0..self.end,
            from: self.next,
            limit: self.piece_bytes as u64,
        };
        let runs = self.answered(&request).await?;
        if runs.is_empty() {
            if !rest.is_empty() {
                return Err(self.corrupt("the segment ends inside a frame"));
            }
            self.finish()?;
        }
        for run in runs {
            let counters = &self.fetcher.counters;
            counters.remote_bytes.fetch_add(run.bytes.len() as u64, Ordering::Relaxed);
            if run.segment != self.next.0 {
                if !rest.is_empty() || run.segment < self.next.0 {
                    return Err(self.corrupt("the segment ends inside a frame"));
                }
                self.next = (run.segment, 0);
            }
            let length = run.bytes.len() as u64;
            rest.unsplit(run.bytes);
            let whole = frame::whole(&rest).map_err(|what| self.corrupt(what))?.0;
            let frames = rest.split_to(whole).freeze();
            frame::verify(&frames).map_err(|what| self.corrupt(what))?;
            let last = run.rest == 0;
            if last && !rest.is_empty() {
                return Err(self.corrupt("the segment ends inside a frame"));
            }
            self.next =
                if last { (run.segment + 1, 0) } else { (run.segment, self.next.1 + length) };
            if !frames.is_empty() {
                self.push(run.segment, frames, last);
            }
            counters_add(&self.fetcher, last);
        }
        Ok(Source::Remote(rest))
    }

    async fn answered(&self, request: &Request) -> Result<Vec<crate::remote::Run>, FetchError> {
        let client = &self.fetcher.client;
        let options = &self.fetcher.current_options();
        let address = &self.location.address;
        let fail = |kind| FetchError { block: self.location.block, address: address.clone(), kind };
        let mut retries = Retries::new();
        let mut fresh = false;
        loop {
            let mut connection = match client.connect(address, fresh).await {
                Ok(connection) => connection,
                Err(failed) => {
                    let again = failed.may_pass(options.refused_is_final)
                        && retries.again(options, address, "no connection").await;
                    if again {
                        continue;
                    }
                    return Err(fail(failed.kind));
                }
            };
            self.fetcher.counters.remote_requests.fetch_add(1, Ordering::Relaxed);
            match ask_for_run(&mut connection, request, client.idle_timeout()).await {
                Ok(runs) => {
                    client.give_back(address, connection);
                    return Ok(runs);
                }
                Err(RunError::Block(kind)) => return Err(fail(kind)),
                Err(RunError::Connection(why)) => {
                    let idle = connection.reused && !fresh;
                    fresh = true;
                    if !idle && !retries.again(options, address, &why).await {
                        let text = format!("answer broke off: {why}");
                        return Err(fail(FetchErrorKind::Unreachable(text)));
                    }
                }
            }
        }
    }

    fn push(&mut self, segment: u32, frames: bytes::Bytes, last: bool) {
        self.any = true;
        let BlockLocation { block, address, .. } = self.location.clone();
        self.ready.push_back(StoredChunk { block, address, segment, frames, last });
    }

    fn finish(&mut self) -> Result<(), FetchError> {
        self.ended = true;
        if self.any { Ok(()) } else { Err(self.corrupt("nothing where its status promised bytes")) }
    }

    fn corrupt(&self, what: &str) -> FetchError {
        let BlockLocation { block, address, .. } = self.location.clone();
        let kind = FetchErrorKind::Corrupt(format!("segment {}: {what}", self.next.0));
        FetchError { block, address, kind }
    }
}

fn counters_add(fetcher: &BlockFetcher, last: bool) {
    fetcher.counters.remote_segments.fetch_add(u64::from(last), Ordering::Relaxed);
}
