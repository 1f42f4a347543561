//! The server of a store's blocks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::block::BlockId;
use crate::error::{StoreError, chain};
use crate::protocol::{APPLICATION_LIMIT, Part, Request, greeting};
use crate::reader::{BlockReader, Segment};
use crate::secret::{PROOF_BYTES, Secret, nonce, same};
use crate::store::ShuffleStore;

/// Bytes read from a file and sent at a time, so that a large segment takes no large buffer.
const CHUNK_BYTES: u64 = 1024 * 1024;

/// Segments below this are gathered before they go to the socket.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// What the server gives, and to whom.
pub trait BlockSource: Send + Sync + 'static {
    /// The secret and the store of an application; `None` if it is not known here.
    fn application(&self, application: &str) -> Option<(Secret, ShuffleStore)>;
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
    fn application(&self, application: &str) -> Option<(Secret, ShuffleStore)> {
        (application == self.store.application()).then(|| (self.secret.clone(), self.store.clone()))
    }
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct BlockServerOptions {
    /// Where it listens; port 0 is any free one.
    pub address: SocketAddr,
    /// Connections at one time; more are closed at once. Each costs a descriptor and 64 kB.
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
    let store = timeout(options.handshake_timeout, authenticate(&mut socket, source)).await??;
    let (mut input, output) = socket.split();
    let mut output = BufWriter::with_capacity(WRITE_BUFFER_BYTES, output);
    while let Some(request) = timeout(options.idle_timeout, Request::read(&mut input)).await?? {
        answer(&store, &request, &mut output, options.idle_timeout).await?;
        timeout(options.idle_timeout, output.flush()).await??;
    }
    Ok(())
}

async fn authenticate(
    socket: &mut TcpStream,
    source: &dyn BlockSource,
) -> io::Result<ShuffleStore> {
    let ours = nonce();
    socket.write_all(&greeting(&ours)).await?;
    let length = usize::from(socket.read_u16().await?);
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
        Some((_, store)) if same(&expected, &proof) => {
            let mut answer = vec![1];
            answer.extend_from_slice(&secret.prove(&[b"server", &theirs, &ours, &application]));
            socket.write_all(&answer).await?;
            Ok(store)
        }
        _ => {
            socket.write_all(&[0]).await?;
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "wrong secret or application"))
        }
    }
}

async fn answer(
    store: &ShuffleStore,
    request: &Request,
    output: &mut (impl AsyncWriteExt + Unpin),
    patience: Duration,
) -> io::Result<()> {
    for (place, block) in (0_u32..).zip(&request.blocks) {
        let reader = match open(store, *block).await {
            Ok(reader) => reader,
            Err(error) => {
                output.write_all(&failed(place, &error).encode()).await?;
                continue;
            }
        };
        for segment in request.segments.clone() {
            let Some(segment) = reader.segment(segment) else { break };
            if segment.length > 0 {
                timeout(patience, send_segment(&reader, place, segment, output)).await??;
            }
        }
    }
    output.write_all(&Part::End.encode()).await
}

async fn send_segment(
    reader: &Arc<BlockReader>,
    place: u32,
    segment: Segment,
    output: &mut (impl AsyncWriteExt + Unpin),
) -> io::Result<()> {
    let Segment { segment: number, length, checksum, offset } = segment;
    let mut at = 0;
    // The first piece is read before anything is promised, so that a short file is a clean failure.
    while at < length {
        let piece = (length - at).min(CHUNK_BYTES);
        let bytes = match read(reader, offset + at, piece as usize).await {
            Ok(bytes) => bytes,
            Err(error) if at == 0 => {
                return output.write_all(&failed(place, &error).encode()).await;
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        if at == 0 {
            let head = Part::Segment { block: place, segment: number, length, checksum };
            output.write_all(&head.encode()).await?;
        }
        output.write_all(&bytes).await?;
        at += piece;
    }
    Ok(())
}

fn failed(block: u32, error: &StoreError) -> Part {
    let corrupt = matches!(error, StoreError::Corrupt { .. });
    Part::Failed { block, corrupt, message: chain(error) }
}

async fn open(store: &ShuffleStore, block: BlockId) -> Result<Arc<BlockReader>, StoreError> {
    let store = store.clone();
    blocking(move || store.read(block)).await
}

async fn read(
    reader: &Arc<BlockReader>,
    offset: u64,
    length: usize,
) -> Result<bytes::Bytes, StoreError> {
    let reader = reader.clone();
    blocking(move || reader.read_at(offset, length)).await
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
