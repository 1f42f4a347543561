//! Reading many blocks at once: local ones from their files, remote ones over the wire, a bounded
//! number of bytes and requests in flight.

use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::block::BlockId;
use crate::client::BlockClient;
use crate::error::{FetchError, FetchErrorKind};
use crate::frame;
use crate::local::{fetch_local, keep_local};
use crate::protocol::BLOCKS_LIMIT;
use crate::queue::RequestQueue;
use crate::remote::fetch_remote;
use crate::store::ShuffleStore;

/// Segments up to this size come in one piece, larger ones in pieces of about it.
pub const CHUNK_BYTES: u64 = 4 * 1024 * 1024;

/// Small segments go to the reader together, in batches of about this size: a batch costs a wake-up.
pub(crate) const DELIVERY_BYTES: usize = 256 * 1024;

/// Batches ready for the reader beyond the one it works on. The bytes in flight bound them too;
/// this bounds segments larger than that.
const DELIVERIES_READY: usize = 4;

/// The unit of the count of bytes in flight: semaphores count in 32 bits.
const PERMIT_BYTES: u64 = 1024;

/// Bounds of one reduce task's fetch.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// `spark.reducer.maxSizeInFlight`: bytes asked for and not yet taken by the reader.
    pub max_bytes_in_flight: u64,
    /// `spark.reducer.maxReqsInFlight`: requests that run at one time.
    pub max_requests_in_flight: usize,
    /// `spark.reducer.maxBlocksInFlightPerAddress`: blocks asked for at one time from one server.
    pub max_blocks_in_flight_per_address: usize,
    /// `spark.shuffle.io.maxRetries`: how often a broken answer, or a connection that does not come
    /// about, is tried again.
    pub max_retries: u32,
    /// `spark.shuffle.io.retryWait`: the time between.
    pub retry_wait: Duration,
    /// A refused connection is not tried again: nobody listens, so the executor is gone. Not so if
    /// blocks come from a shuffle service, which is started again.
    pub refused_is_final: bool,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            max_bytes_in_flight: 48 * 1024 * 1024,
            max_requests_in_flight: 16,
            max_blocks_in_flight_per_address: BLOCKS_LIMIT,
            max_retries: 3,
            retry_wait: Duration::from_millis(500),
            refused_is_final: true,
        }
    }
}

/// A block and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockLocation {
    /// The block.
    pub block: BlockId,
    /// `host:port` of its server.
    pub address: Arc<str>,
    /// Bytes of the segments asked for as they are stored, as far as known; 0 means there are none
    /// and the block is not asked for.
    pub bytes: u64,
}

/// A piece of a segment. The pieces of a segment come one after the other, with nothing between.
///
/// Every byte was verified before it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedChunk {
    /// The block.
    pub block: BlockId,
    /// The segment: the reduce partition.
    pub segment: u32,
    /// The bytes.
    pub data: Bytes,
    /// Whether the segment ends here.
    pub last: bool,
}

/// Whole frames of a segment on their way to the reader: verified, not unpacked. So what is in
/// flight is as small as what was sent, and unpacking is the reader's work.
#[derive(Clone, Debug)]
pub(crate) struct StoredChunk {
    pub(crate) block: BlockId,
    pub(crate) address: Arc<str>,
    pub(crate) segment: u32,
    pub(crate) frames: Bytes,
    pub(crate) last: bool,
}

impl StoredChunk {
    /// The next piece; the chunk is used up when its last piece was given.
    pub(crate) fn unpack(&mut self) -> Result<FetchedChunk, FetchError> {
        let Self { block, segment, .. } = *self;
        match frame::unpack(&mut self.frames, CHUNK_BYTES as usize) {
            Ok(data) => {
                let last = self.last && self.frames.is_empty();
                Ok(FetchedChunk { block, segment, data, last })
            }
            Err(what) => {
                let kind = FetchErrorKind::Corrupt(format!("segment {segment}: {what}"));
                Err(FetchError { block, address: self.address.clone(), kind })
            }
        }
    }
}

/// What was read, since the fetcher was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchStatistics {
    /// Bytes read from the own store.
    pub local_bytes: u64,
    /// Segments read from the own store.
    pub local_segments: u64,
    /// Bytes read over the wire.
    pub remote_bytes: u64,
    /// Segments read over the wire.
    pub remote_segments: u64,
    /// Requests sent.
    pub remote_requests: u64,
    /// How long readers waited for bytes.
    pub wait: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct FetchCounters {
    pub(crate) local_bytes: AtomicU64,
    pub(crate) local_segments: AtomicU64,
    pub(crate) remote_bytes: AtomicU64,
    pub(crate) remote_segments: AtomicU64,
    pub(crate) remote_requests: AtomicU64,
    wait_nanos: AtomicU64,
}

/// Reads blocks for the tasks of an executor. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct BlockFetcher {
    pub(crate) client: BlockClient,
    pub(crate) local: Option<Local>,
    pub(crate) options: FetchOptions,
    /// Set once it is known; shared by all clones.
    pub(crate) retries: Arc<OnceLock<FetchRetries>>,
    pub(crate) counters: Arc<FetchCounters>,
}

/// How stubborn a fetcher is; the fields are those of [`FetchOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchRetries {
    /// `spark.shuffle.io.maxRetries`.
    pub max_retries: u32,
    /// `spark.shuffle.io.retryWait`.
    pub retry_wait: Duration,
    /// Whether a refused connection is not tried again.
    pub refused_is_final: bool,
}

/// What can be read without a socket.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    /// `host:port` under which the own blocks are known.
    pub(crate) address: Arc<str>,
    pub(crate) store: ShuffleStore,
    /// Blocks of other executors on the host are looked for in the local directories, too.
    pub(crate) host: bool,
}

impl Local {
    /// Whether a block at this address may be in a local directory: `Some(true)` it must be.
    pub(crate) fn may_have(&self, address: &str) -> Option<bool> {
        if self.host {
            let host = |address: &str| address.rsplit_once(':').map(|(host, _)| host.to_owned());
            return (host(address) == host(&self.address)).then_some(false);
        }
        (*address == *self.address).then_some(true)
    }
}

impl BlockFetcher {
    /// A fetcher that reads everything over the wire.
    pub fn new(client: BlockClient, options: FetchOptions) -> Self {
        Self { client, local: None, options, retries: Arc::default(), counters: Arc::default() }
    }

    /// Says how stubborn this fetcher and all its clones are, once the application's properties are
    /// known. The first word counts.
    pub fn set_retries(&self, retries: FetchRetries) {
        // Said before: that counts.
        let _ = self.retries.set(retries);
    }

    /// The options as they are now.
    pub(crate) fn current_options(&self) -> FetchOptions {
        let options = self.options.clone();
        match self.retries.get() {
            Some(FetchRetries { max_retries, retry_wait, refused_is_final }) => FetchOptions {
                max_retries: *max_retries,
                retry_wait: *retry_wait,
                refused_is_final: *refused_is_final,
                ..options
            },
            None => options,
        }
    }

    /// Reads blocks at `address`, the executor's own, from the store without a socket.
    pub fn with_local(mut self, address: impl Into<Arc<str>>, store: ShuffleStore) -> Self {
        self.local = Some(Local { address: address.into(), store, host: false });
        self
    }

    /// Reads blocks at any port of `address`'s host from the local directories without a socket if
    /// they are there ([`ShuffleStore::read_on_host`]), and over the wire if not. For executors that
    /// share local directories, and for blocks that a shuffle service on the host serves
    /// (`spark.shuffle.readHostLocalDisk`).
    pub fn with_host(mut self, address: impl Into<Arc<str>>, store: ShuffleStore) -> Self {
        self.local = Some(Local { address: address.into(), store, host: true });
        self
    }

    /// The same fetcher with another bound of the bytes in flight: a merge has many fetches open at
    /// one time.
    #[must_use]
    pub fn with_bytes_in_flight(&self, bytes: u64) -> Self {
        let options = FetchOptions { max_bytes_in_flight: bytes, ..self.options.clone() };
        Self { options, ..self.clone() }
    }

    /// The same fetcher with counters of its own, for one task's metrics.
    pub fn counting_apart(&self) -> Self {
        Self { counters: Arc::default(), ..self.clone() }
    }

    /// What was read so far.
    pub fn statistics(&self) -> FetchStatistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        FetchStatistics {
            local_bytes: get(&counters.local_bytes),
            local_segments: get(&counters.local_segments),
            remote_bytes: get(&counters.remote_bytes),
            remote_segments: get(&counters.remote_segments),
            remote_requests: get(&counters.remote_requests),
            wait: Duration::from_nanos(get(&counters.wait_nanos)),
        }
    }

    /// Reads segments `segments` of each block, in no particular order of segments. Empty segments
    /// are left out. The stream ends after its first error. Must be called inside a Tokio runtime;
    /// dropped, it stops all its work.
    pub fn fetch(&self, blocks: Vec<BlockLocation>, segments: Range<u32>) -> BlockStream {
        let (sender, receiver) = mpsc::channel(DELIVERIES_READY);
        let all_permits = self.options.max_bytes_in_flight.div_ceil(PERMIT_BYTES).max(1);
        let all_permits = all_permits.min(Semaphore::MAX_PERMITS as u64).min(u64::from(u32::MAX));
        let fetch = Fetch {
            client: self.client.clone(),
            segments,
            options: self.current_options(),
            counters: self.counters.clone(),
            delivery: Delivery {
                sender: Arc::new(Mutex::new(sender)),
                bytes: Arc::new(Semaphore::new(all_permits as usize)),
                all_permits: all_permits as u32,
            },
        };
        let blocks = blocks.into_iter().filter(|location| location.bytes > 0).collect();
        let local = self.local.clone();
        let mut driver = JoinSet::new();
        driver.spawn(async move { fetch.run(local, blocks).await });
        BlockStream {
            receiver,
            batch: Vec::new().into_iter(),
            chunk: None,
            bytes: None,
            counters: self.counters.clone(),
            waiting: None,
            _driver: driver,
        }
    }
}

/// The segments of one fetch, as they come.
#[derive(Debug)]
pub struct BlockStream {
    receiver: mpsc::Receiver<Delivered>,
    /// What was delivered and not given yet, and the permit for it.
    batch: std::vec::IntoIter<StoredChunk>,
    chunk: Option<StoredChunk>,
    bytes: Option<Arc<OwnedSemaphorePermit>>,
    counters: Arc<FetchCounters>,
    waiting: Option<Instant>,
    /// Dropped with the stream, which stops what still runs.
    _driver: JoinSet<()>,
}

impl BlockStream {
    /// Nothing follows an error.
    fn end(&mut self) {
        self.chunk = None;
        self.batch = Vec::new().into_iter();
        self.receiver.close();
        while self.receiver.try_recv().is_ok() {}
    }
}

impl Stream for BlockStream {
    type Item = Result<FetchedChunk, FetchError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.chunk.is_none() {
                self.chunk = self.batch.next();
            }
            if let Some(chunk) = &mut self.chunk {
                let unpacked = chunk.unpack();
                if unpacked.is_err() {
                    self.end();
                } else if chunk.frames.is_empty() {
                    self.chunk = None;
                }
                return Poll::Ready(Some(unpacked));
            }
            // Asked for more, the reader is done with what it had.
            self.bytes = None;
            let Poll::Ready(delivered) = self.receiver.poll_recv(context) else {
                self.waiting.get_or_insert_with(Instant::now);
                return Poll::Pending;
            };
            if let Some(since) = self.waiting.take() {
                let nanos = since.elapsed().as_nanos() as u64;
                self.counters.wait_nanos.fetch_add(nanos, Ordering::Relaxed);
            }
            match delivered {
                None => return Poll::Ready(None),
                Some(Delivered::Chunks(chunks, bytes)) => {
                    self.batch = chunks.into_iter();
                    self.bytes = Some(bytes);
                }
                Some(Delivered::Failed(error)) => {
                    self.end();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// What is on its way to the reader.
#[derive(Debug)]
pub(crate) enum Delivered {
    /// Chunks, with the permit that counts their request's bytes as in flight.
    Chunks(Vec<StoredChunk>, Arc<OwnedSemaphorePermit>),
    /// The end.
    Failed(FetchError),
}

/// One call of [`BlockFetcher::fetch`].
pub(crate) struct Fetch {
    pub(crate) client: BlockClient,
    pub(crate) segments: Range<u32>,
    pub(crate) options: FetchOptions,
    pub(crate) counters: Arc<FetchCounters>,
    pub(crate) delivery: Delivery,
}

/// The way to the reader.
#[derive(Clone)]
pub(crate) struct Delivery {
    /// Whoever sends a segment in several pieces holds the lock from the first to the last.
    pub(crate) sender: Arc<Mutex<mpsc::Sender<Delivered>>>,
    bytes: Arc<Semaphore>,
    all_permits: u32,
}

/// The reader is gone, or an error was delivered: nothing more is wanted.
pub(crate) struct Unwanted;

impl Delivery {
    /// Waits until so many bytes may be in flight; what is larger than all goes alone.
    pub(crate) async fn admit(&self, bytes: u64) -> Option<Arc<OwnedSemaphorePermit>> {
        let permits = bytes.div_ceil(PERMIT_BYTES).clamp(1, u64::from(self.all_permits)) as u32;
        self.bytes.clone().acquire_many_owned(permits).await.ok().map(Arc::new)
    }

    pub(crate) async fn fail(&self, error: FetchError) {
        let _ = self.sender.lock().await.send(Delivered::Failed(error)).await;
    }

    /// Sends whole segments.
    pub(crate) async fn send(
        &self,
        chunks: Vec<StoredChunk>,
        bytes: &Arc<OwnedSemaphorePermit>,
    ) -> Result<(), Unwanted> {
        send(&*self.sender.lock().await, chunks, bytes).await
    }
}

/// Sends chunks through a sender that is held.
pub(crate) async fn send(
    sender: &mpsc::Sender<Delivered>,
    chunks: Vec<StoredChunk>,
    bytes: &Arc<OwnedSemaphorePermit>,
) -> Result<(), Unwanted> {
    if chunks.is_empty() {
        return Ok(());
    }
    sender.send(Delivered::Chunks(chunks, bytes.clone())).await.map_err(|_| Unwanted)
}

impl Fetch {
    async fn run(self, local: Option<Local>, blocks: Vec<BlockLocation>) {
        let fetch = Arc::new(self);
        let running = Arc::new(Semaphore::new(fetch.options.max_requests_in_flight.max(1)));
        let mut tasks: JoinSet<Option<(Arc<str>, usize)>> = JoinSet::new();
        let mut remote = blocks;
        if let Some(local) = local {
            let own: Vec<BlockLocation>;
            (own, remote) = keep_local(&local, remote).await;
            if !own.is_empty() {
                let fetch = fetch.clone();
                tasks.spawn(async move {
                    fetch_local(&fetch, &local, &own).await;
                    None
                });
            }
        }
        let mut queue = RequestQueue::new(remote, &fetch.options, fetch.segments.start);
        while !queue.is_empty() {
            let Some(request) = queue.next() else {
                // Every server that has more to give is at its limit.
                match tasks.join_next().await {
                    Some(Ok(Some((address, blocks)))) => queue.answered(&address, blocks),
                    Some(_) => {}
                    None => return,
                }
                continue;
            };
            let Ok(slot) = running.clone().acquire_owned().await else { return };
            let Some(bytes) = fetch.delivery.admit(request.bytes).await else { return };
            let fetch = fetch.clone();
            tasks.spawn(async move {
                let _slot = slot;
                let done = (request.address.clone(), request.blocks.len());
                fetch_remote(&fetch, request, bytes).await;
                Some(done)
            });
        }
        while tasks.join_next().await.is_some() {}
    }
}
