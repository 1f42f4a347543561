//! The server of a store's blocks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::blocks::Blocks;
use crate::error::{StoreError, chain};
use crate::protocol::{APPLICATION_LIMIT, Part, Request, greeting};
use crate::reader::{BlockReader, Segment};
use crate::secret::{PROOF_BYTES, Secret, nonce, same};
use crate::service::MARK;
use crate::store::ShuffleStore;

/// Bytes read from files and sent at a time: a large segment takes no large buffer, and many small
/// ones go together.
const CHUNK_BYTES: usize = 1024 * 1024;

/// What the server gives, and to whom.
pub trait BlockSource: Send + Sync + 'static {
    /// The secret and the blocks of an application; `None` if it is not known here.
    fn application(&self, application: &str) -> Option<(Secret, Arc<dyn Blocks>)>;

    /// Answers what is said to a shuffle service; others have no ear for it.
    #[doc(hidden)]
    fn control<'a>(
        &'a self,
        _socket: &'a mut TcpStream,
        _ours: &'a [u8; PROOF_BYTES],
    ) -> BoxFuture<'a, io::Result<()>> {
        let what = "this is a block server and not a shuffle service";
        Box::pin(async move { Err(io::Error::new(io::ErrorKind::Unsupported, what)) })
    }
}

/// One application's store.
#[derive(Clone, Debug)]
pub struct SingleApplication {
    /// The application's secret.
    pub secret: Secret,
    /// Its store.
    pub store: ShuffleStore,
}

impl BlockSource for SingleApplication {
    fn application(&self, application: &str) -> Option<(Secret, Arc<dyn Blocks>)> {
        let store = || Arc::new(self.store.clone()) as Arc<dyn Blocks>;
        (application == self.store.application()).then(|| (self.secret.clone(), store()))
    }
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct BlockServerOptions {
    /// Where it listens; port 0 is any free one.
    pub address: SocketAddr,
    /// Connections at one time; more are closed at once. Each costs a descriptor, and a megabyte
    /// while it answers.
    pub connections_limit: usize,
    /// How long a client may take to prove itself.
    pub handshake_timeout: Duration,
    /// How long a client may be silent between requests, or take nothing (`spark.network.timeout`).
    pub idle_timeout: Duration,
}

impl BlockServerOptions {
    /// The defaults on an address.
    pub fn on(address: SocketAddr) -> Self {
        Self {
            address,
            connections_limit: 1024,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
        }
    }
}

/// A running server; dropped, it stops.
#[derive(Debug)]
pub struct BlockServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl BlockServer {
    /// Listens and serves until stopped.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub async fn start(options: BlockServerOptions, source: impl BlockSource) -> io::Result<Self> {
        let listener = TcpListener::bind(options.address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, Arc::new(options), Arc::new(source), stopped));
        Ok(Self { address, stop, task })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops, connections included.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for BlockServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn serve(
    listener: TcpListener,
    options: Arc<BlockServerOptions>,
    source: Arc<dyn BlockSource>,
    mut stopped: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(options.connections_limit));
    // Dropped at the end, which stops every connection.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: those in use come back.
                tracing::warn!(%error, "block server could not accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            tracing::warn!(%peer, limit = options.connections_limit, "too many block connections");
            continue;
        };
        let (options, source) = (options.clone(), source.clone());
        connections.spawn(async move {
            let _slot = slot;
            if let Err(error) = serve_connection(socket, &options, &*source).await {
                tracing::debug!(%peer, %error, "block connection ended");
            }
        });
    }
}

async fn serve_connection(
    mut socket: TcpStream,
    options: &BlockServerOptions,
    source: &dyn BlockSource,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let proven = timeout(options.handshake_timeout, authenticate(&mut socket, source)).await??;
    let Some(blocks) = proven else { return Ok(()) };
    let (mut input, mut output) = socket.split();
    while let Some(request) = timeout(options.idle_timeout, Request::read(&mut input)).await?? {
        answer(&blocks, request, &mut output, options.idle_timeout).await?;
    }
    Ok(())
}

/// The blocks of the application whose secret the client knows; `None` if it wanted something else
/// and has it.
async fn authenticate(
    socket: &mut TcpStream,
    source: &dyn BlockSource,
) -> io::Result<Option<Arc<dyn Blocks>>> {
    let ours = nonce();
    socket.write_all(&greeting(&ours)).await?;
    let length = socket.read_u16().await?;
    if length == MARK {
        source.control(socket, &ours).await?;
        return Ok(None);
    }
    let length = usize::from(length);
    if length > APPLICATION_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "application id too long"));
    }
    let mut application = vec![0; length];
    socket.read_exact(&mut application).await?;
    let (mut theirs, mut proof) = ([0; PROOF_BYTES], [0; PROOF_BYTES]);
    socket.read_exact(&mut theirs).await?;
    socket.read_exact(&mut proof).await?;
    let known = std::str::from_utf8(&application).ok().and_then(|id| source.application(id));
    // An unknown application is refused in the same words and time as a wrong secret.
    let secret = known.as_ref().map_or_else(|| Secret::new(nonce()), |(secret, _)| secret.clone());
    let expected = secret.prove(&[b"client", &ours, &theirs, &application]);
    match known {
        Some((_, blocks)) if same(&expected, &proof) => {
            let mut answer = vec![1];
            answer.extend_from_slice(&secret.prove(&[b"server", &theirs, &ours, &application]));
            socket.write_all(&answer).await?;
            Ok(Some(blocks))
        }
        _ => {
            socket.write_all(&[0]).await?;
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "wrong secret or application"))
        }
    }
}

async fn answer(
    blocks: &Arc<dyn Blocks>,
    request: Request,
    output: &mut (impl AsyncWriteExt + Unpin),
    patience: Duration,
) -> io::Result<()> {
    let mut answer = Answer::new(blocks.clone(), request);
    loop {
        // One way to the blocking pool per megabyte and not per segment, of which there are many.
        let filled;
        (answer, filled) = blocking(move || answer.fill()).await;
        let words = filled?;
        if words.is_empty() {
            return Ok(());
        }
        timeout(patience, output.write_all(&words)).await??;
    }
}

/// The answer to one request, written piece by piece.
struct Answer {
    source: Arc<dyn Blocks>,
    request: Request,
    /// The block, the segment in it and the byte in that which come next.
    block: usize,
    segment: u32,
    byte: u64,
    /// Bytes of the segment at hand that its head promised and that were not read yet.
    promised: u64,
    ended: bool,
}

impl Answer {
    fn new(source: Arc<dyn Blocks>, request: Request) -> Self {
        let (from, byte) = request.from;
        let start = request.segments.start;
        let (segment, byte) = if from < start { (start, 0) } else { (from, byte) };
        Self { source, request, block: 0, segment, byte, promised: 0, ended: false }
    }

    /// The next piece, of about [`CHUNK_BYTES`]; empty after the end. Blocks. An error is one that
    /// cannot be told in the answer: what was promised cannot be given.
    fn fill(mut self) -> (Self, io::Result<Vec<u8>>) {
        let mut words = Vec::new();
        while words.len() < CHUNK_BYTES && !self.ended {
            let block = self.request.blocks.get(self.block).copied();
            let more = self.request.limit > 0 || self.promised > 0;
            let Some(block) = block.filter(|_| more) else {
                words.extend_from_slice(&Part::End.encode());
                self.ended = true;
                break;
            };
            let done = match self.source.read(block) {
                Ok(reader) => self.fill_from(&reader, &mut words),
                Err(error) => Err(error),
            };
            match done {
                Ok(true) => self.next_block(),
                Ok(false) => {}
                Err(error) if self.promised == 0 => {
                    words.extend_from_slice(&failed(self.block as u32, &error).encode());
                    self.next_block();
                }
                Err(error) => return (self, Err(io::Error::other(error))),
            }
        }
        (self, Ok(words))
    }

    fn next_block(&mut self) {
        self.block += 1;
        self.segment = self.request.segments.start;
        self.byte = 0;
    }

    /// Takes from one block until it is done, the piece is full or the limit is reached; says
    /// whether the block is done.
    fn fill_from(&mut self, reader: &BlockReader, words: &mut Vec<u8>) -> Result<bool, StoreError> {
        while self.segment < self.request.segments.end {
            let Some(Segment { segment, offset, length }) = reader.segment(self.segment) else {
                return Ok(true);
            };
            if self.promised == 0 && self.byte >= length {
                self.segment += 1;
                self.byte = 0;
                continue;
            }
            if words.len() >= CHUNK_BYTES || self.promised == 0 && self.request.limit == 0 {
                return Ok(false);
            }
            let before = words.len();
            if self.promised == 0 {
                let left = length - self.byte;
                let length = left.min(self.request.limit);
                let block = self.block as u32;
                let head = Part::Segment { block, segment, length, rest: left - length };
                words.extend_from_slice(&head.encode());
                self.promised = length;
            }
            let fresh = words.len() > before;
            let room = CHUNK_BYTES.saturating_sub(words.len()).max(1);
            let piece = self.promised.min(room as u64);
            if let Err(error) = reader.read_into(offset + self.byte, piece as usize, words) {
                if fresh {
                    // The head promises nothing yet: it was not sent.
                    words.truncate(before);
                    self.promised = 0;
                }
                return Err(error);
            }
            self.byte += piece;
            self.promised -= piece;
            self.request.limit = self.request.limit.saturating_sub(piece);
        }
        Ok(true)
    }
}

fn failed(block: u32, error: &StoreError) -> Part {
    let corrupt = matches!(error, StoreError::Corrupt { .. });
    Part::Failed { block, corrupt, message: chain(error) }
}

/// File work off the runtime's own threads; a panic there is a panic here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}
