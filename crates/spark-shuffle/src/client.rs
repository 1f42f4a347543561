//! Connections to block servers, kept and used again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::FetchErrorKind;
use crate::protocol::read_greeting;
use crate::secret::{PROOF_BYTES, Secret, nonce, same};

/// Idle connections kept per address; more only wait to be closed.
const IDLE_PER_ADDRESS: usize = 4;

/// Answers are read through a buffer of this size; larger pieces go past it.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct BlockClientOptions {
    /// The application, by whose secret the client proves itself.
    pub application: String,
    /// The application's secret.
    pub secret: Secret,
    /// How long connecting and proving may take (`spark.shuffle.io.connectionTimeout`).
    pub connect_timeout: Duration,
    /// How long a server may be silent (`spark.network.timeout`).
    pub idle_timeout: Duration,
}

impl BlockClientOptions {
    /// The defaults for an application.
    pub fn new(application: impl Into<String>, secret: Secret) -> Self {
        Self {
            application: application.into(),
            secret,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
        }
    }
}

/// Connections to block servers, one pool per address. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlockClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: BlockClientOptions,
    idle: Mutex<BTreeMap<Arc<str>, Vec<Connection>>>,
}

/// One proven connection, used by one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: BufReader<TcpStream>,
    /// It lay idle before: the server may have closed it since, which says nothing of the server.
    pub(crate) reused: bool,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct ConnectError {
    pub(crate) kind: FetchErrorKind,
    /// Nobody listens there.
    refused: bool,
}

impl ConnectError {
    /// Whether another try may do better.
    pub(crate) fn may_pass(&self, refused_is_final: bool) -> bool {
        matches!(self.kind, FetchErrorKind::Unreachable(_)) && !(self.refused && refused_is_final)
    }
}

impl BlockClient {
    /// A client without connections.
    pub fn new(options: BlockClientOptions) -> Self {
        Self { inner: Arc::new(Inner { options, idle: Mutex::default() }) }
    }

    /// Drops the idle connections to an address, of an executor that is gone.
    pub fn forget(&self, address: &str) {
        self.inner.idle.lock().remove(address);
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        self.inner.options.idle_timeout
    }

    /// A connection to use alone; a new one if none lies idle or `fresh` is asked for.
    pub(crate) async fn connect(
        &self,
        address: &Arc<str>,
        fresh: bool,
    ) -> Result<Connection, ConnectError> {
        if !fresh && let Some(mut connection) = self.take_idle(address) {
            connection.reused = true;
            return Ok(connection);
        }
        let patience = self.inner.options.connect_timeout;
        match timeout(patience, self.open(address)).await {
            Ok(connected) => connected,
            Err(_) => {
                let text = format!("no connection within {} s", patience.as_secs());
                Err(ConnectError { kind: FetchErrorKind::Unreachable(text), refused: false })
            }
        }
    }

    fn take_idle(&self, address: &Arc<str>) -> Option<Connection> {
        self.inner.idle.lock().get_mut(address)?.pop()
    }

    /// Gives back a connection whose last answer was read to its end.
    pub(crate) fn give_back(&self, address: &Arc<str>, connection: Connection) {
        let mut idle = self.inner.idle.lock();
        let connections = idle.entry(address.clone()).or_default();
        if connections.len() < IDLE_PER_ADDRESS {
            connections.push(connection);
        }
    }

    async fn open(&self, address: &Arc<str>) -> Result<Connection, ConnectError> {
        let unreachable = |error: io::Error| ConnectError {
            refused: error.kind() == io::ErrorKind::ConnectionRefused,
            kind: FetchErrorKind::Unreachable(error.to_string()),
        };
        let mut socket = TcpStream::connect(&**address).await.map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        self.authenticate(&mut socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData => {
                ConnectError { kind: FetchErrorKind::Refused(error.to_string()), refused: false }
            }
            _ => unreachable(error),
        })?;
        let stream = BufReader::with_capacity(READ_BUFFER_BYTES, socket);
        Ok(Connection { stream, reused: false })
    }

    async fn authenticate(&self, socket: &mut TcpStream) -> io::Result<()> {
        let application = self.inner.options.application.as_bytes();
        let secret = &self.inner.options.secret;
        let theirs = read_greeting(socket).await?;
        let ours = nonce();
        let mut words = (application.len() as u16).to_be_bytes().to_vec();
        words.extend_from_slice(application);
        words.extend_from_slice(&ours);
        words.extend_from_slice(&secret.prove(&[b"client", &theirs, &ours, application]));
        socket.write_all(&words).await?;
        let refused = |what| io::Error::new(io::ErrorKind::PermissionDenied, what);
        if socket.read_u8().await? != 1 {
            return Err(refused("the server does not take our secret"));
        }
        let mut proof = [0; PROOF_BYTES];
        socket.read_exact(&mut proof).await?;
        if !same(&proof, &secret.prove(&[b"server", &ours, &theirs, application])) {
            return Err(refused("the server does not know the secret"));
        }
        Ok(())
    }
}
