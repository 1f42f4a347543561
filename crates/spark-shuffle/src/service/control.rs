//! What executors and drivers say to the shuffle service, on the port that serves blocks.
//!
//! After the server's greeting comes, in place of an application's length, a mark; then kind, length
//! and body: application, nonce, arguments, and the proof of knowing the application's secret. For
//! an application that is new the service reads the secret from the directories named: who could
//! write it there owns them, and the secret never crosses the wire. The answer carries the
//! service's own proof.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::record::Record;
use crate::error::StoreError;
use crate::protocol::{APPLICATION_LIMIT, read_greeting};
use crate::secret::{PROOF_BYTES, Secret, nonce, same};
use crate::server::blocking;
use crate::store::ShuffleStore;

/// In place of an application's length, which is at most 255.
pub(crate) const MARK: u16 = 0xffff;

/// Largest body taken.
const BODY_LIMIT: usize = 64 * 1024;

/// Directories named in one registration.
const DIRECTORIES_LIMIT: usize = 64;

const REGISTER: u8 = 1;
const REMOVE_SHUFFLE: u8 = 2;
const FINISH: u8 = 3;

/// Bytes of an answer's message.
const MESSAGE_LIMIT: usize = 1024;

/// One thing said to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Serve the blocks in these directories from now on.
    Register { directories: Vec<PathBuf> },
    /// Nobody needs the blocks of this shuffle any more.
    RemoveShuffle { shuffle: u64 },
    /// The application ends: its files may go.
    Finish,
}

/// A message as it came, not believed yet.
pub(crate) struct Said {
    pub(crate) application: String,
    pub(crate) control: Control,
    nonce: [u8; PROOF_BYTES],
    proof: [u8; PROOF_BYTES],
    kind: u8,
    arguments: Vec<u8>,
}

impl Said {
    /// Whether it was said by one who knows the secret, to this connection.
    pub(crate) fn is_proven(&self, secret: &Secret, ours: &[u8; PROOF_BYTES]) -> bool {
        let expected = proof(secret, ours, &self.nonce, self.kind, &self.arguments);
        same(&expected, &self.proof)
    }
}

fn proof(
    secret: &Secret,
    theirs: &[u8; PROOF_BYTES],
    ours: &[u8; PROOF_BYTES],
    kind: u8,
    arguments: &[u8],
) -> [u8; PROOF_BYTES] {
    secret.prove(&[b"control", theirs, ours, &[kind], arguments])
}

impl Control {
    fn kind(&self) -> u8 {
        match self {
            Self::Register { .. } => REGISTER,
            Self::RemoveShuffle { .. } => REMOVE_SHUFFLE,
            Self::Finish => FINISH,
        }
    }

    fn arguments(&self, application: &str) -> Vec<u8> {
        let mut out = (application.len() as u16).to_be_bytes().to_vec();
        out.extend_from_slice(application.as_bytes());
        match self {
            Self::Register { directories } => {
                for directory in directories {
                    let bytes = directory.as_os_str().as_bytes();
                    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
                    out.extend_from_slice(bytes);
                }
            }
            Self::RemoveShuffle { shuffle } => out.extend_from_slice(&shuffle.to_be_bytes()),
            Self::Finish => {}
        }
        out
    }

    fn decode(kind: u8, arguments: &[u8]) -> Option<(String, Self)> {
        let mut input = arguments;
        let application = take(&mut input).filter(|bytes| bytes.len() <= APPLICATION_LIMIT)?;
        let application = String::from_utf8(application.to_vec()).ok()?;
        let control = match kind {
            REGISTER => {
                let mut directories = Vec::new();
                while !input.is_empty() && directories.len() < DIRECTORIES_LIMIT {
                    let bytes = take(&mut input)?;
                    directories.push(PathBuf::from(OsString::from_vec(bytes.to_vec())));
                }
                Self::Register { directories }
            }
            REMOVE_SHUFFLE => {
                let (shuffle, rest) = input.split_first_chunk::<8>()?;
                input = rest;
                Self::RemoveShuffle { shuffle: u64::from_be_bytes(*shuffle) }
            }
            FINISH => Self::Finish,
            _ => return None,
        };
        input.is_empty().then_some((application, control))
    }
}

fn take<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = input.split_first_chunk::<2>()?;
    let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *input = rest;
    Some(bytes)
}

/// Reads what is said after the mark.
pub(crate) async fn read(socket: &mut TcpStream) -> io::Result<Said> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not a word to a shuffle service");
    let kind = socket.read_u8().await?;
    let length = socket.read_u32().await? as usize;
    if length > BODY_LIMIT {
        return Err(invalid());
    }
    let mut arguments = vec![0; length];
    socket.read_exact(&mut arguments).await?;
    let (mut nonce, mut proof) = ([0; PROOF_BYTES], [0; PROOF_BYTES]);
    socket.read_exact(&mut nonce).await?;
    socket.read_exact(&mut proof).await?;
    let (application, control) = Control::decode(kind, &arguments).ok_or_else(invalid)?;
    Ok(Said { application, control, nonce, proof, kind, arguments })
}

/// Answers: the secret with which the service proves itself, or why not.
pub(crate) async fn answer(
    socket: &mut TcpStream,
    ours: &[u8; PROOF_BYTES],
    said: &Said,
    outcome: Result<Secret, String>,
) -> io::Result<()> {
    let mut words = Vec::new();
    match outcome {
        Ok(secret) => {
            words.push(1);
            words.extend_from_slice(&secret.prove(&[b"service", &said.nonce, ours]));
        }
        Err(message) => {
            let mut end = message.len().min(MESSAGE_LIMIT);
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            words.push(0);
            words.extend_from_slice(&(end as u16).to_be_bytes());
            words.extend_from_slice(&message.as_bytes()[..end]);
        }
    }
    socket.write_all(&words).await
}

/// Why the shuffle service could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nobody answers.
    #[error(
        "no shuffle service answers at {address}; start one on every agent with \
         sbin/start-mesos-shuffle-service.sh, or set spark.shuffle.service.enabled=false"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It said no.
    #[error("the shuffle service at {address} refused: {message}")]
    Refused {
        /// Where.
        address: String,
        /// Its words.
        message: String,
    },
    /// A directory could not be made ready for it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An application's way to the shuffle service of one host.
#[derive(Clone, Debug)]
pub struct ShuffleServiceClient {
    address: String,
    application: String,
    secret: Secret,
    patience: Duration,
}

impl ShuffleServiceClient {
    /// For the service at `host:port`.
    pub fn new(address: impl Into<String>, application: impl Into<String>, secret: Secret) -> Self {
        Self {
            address: address.into(),
            application: application.into(),
            secret,
            patience: Duration::from_secs(10),
        }
    }

    /// Gives the care of a store's files to the service: from now on it serves them, also when their
    /// executor is gone, and sweeps them when the application is over. `failover_timeout` is the
    /// framework's. Call it before anything is written.
    ///
    /// # Errors
    /// If the service does not answer, cannot see the directories (it runs in another container, or
    /// as another user) or refuses them. The store then keeps its files as before.
    pub async fn register(
        &self,
        store: &ShuffleStore,
        failover_timeout: Duration,
    ) -> Result<(), ServiceError> {
        let record = Record {
            application: self.application.clone(),
            secret: self.secret.clone(),
            failover_timeout,
            directories: Vec::new(),
        };
        let directories = store.directories();
        let named = directories.clone();
        blocking(move || {
            for directory in &named {
                record.put_into(directory).map_err(|source| StoreError::File {
                    what: "write the application's record into",
                    path: directory.clone(),
                    source,
                })?;
            }
            Ok::<_, StoreError>(())
        })
        .await?;
        self.say(&Control::Register { directories }).await?;
        let store = store.clone();
        Ok(blocking(move || store.leave_to_service()).await?)
    }

    /// Deletes the blocks of a shuffle, of executors that are gone.
    ///
    /// # Errors
    /// If the service does not answer or does not know the application.
    pub async fn remove_shuffle(&self, shuffle: u64) -> Result<(), ServiceError> {
        self.say(&Control::RemoveShuffle { shuffle }).await
    }

    /// The application ends: its files go at once and not only when the master says so.
    ///
    /// # Errors
    /// If the service does not answer or does not know the application.
    pub async fn finish(&self) -> Result<(), ServiceError> {
        self.say(&Control::Finish).await
    }

    async fn say(&self, control: &Control) -> Result<(), ServiceError> {
        let said = match timeout(self.patience, self.exchange(control)).await {
            Ok(said) => said,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")),
        };
        let address = self.address.clone();
        match said {
            Ok(Ok(())) => Ok(()),
            Ok(Err(message)) => Err(ServiceError::Refused { address, message }),
            Err(source) => Err(ServiceError::Unreachable { address, source }),
        }
    }

    async fn exchange(&self, control: &Control) -> io::Result<Result<(), String>> {
        let mut socket = TcpStream::connect(&*self.address).await?;
        let theirs = read_greeting(&mut socket).await?;
        let ours = nonce();
        let (kind, arguments) = (control.kind(), control.arguments(&self.application));
        let mut words = MARK.to_be_bytes().to_vec();
        words.push(kind);
        words.extend_from_slice(&(arguments.len() as u32).to_be_bytes());
        words.extend_from_slice(&arguments);
        words.extend_from_slice(&ours);
        words.extend_from_slice(&proof(&self.secret, &theirs, &ours, kind, &arguments));
        socket.write_all(&words).await?;
        if socket.read_u8().await? != 1 {
            let mut message = vec![0; usize::from(socket.read_u16().await?)];
            socket.read_exact(&mut message).await?;
            return Ok(Err(String::from_utf8_lossy(&message).into_owned()));
        }
        let mut words = [0; PROOF_BYTES];
        socket.read_exact(&mut words).await?;
        if same(&words, &self.secret.prove(&[b"service", &ours, &theirs])) {
            Ok(Ok(()))
        } else {
            Ok(Err("it does not know the application's secret".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_survive_the_wire(
            application in "[a-z0-9-]{0,60}", shuffle: u64,
            directories in prop::collection::vec("/[a-z/]{0,40}", 0..10),
        ) {
            let directories = directories.into_iter().map(PathBuf::from).collect();
            for control in [
                Control::Register { directories },
                Control::RemoveShuffle { shuffle },
                Control::Finish,
            ] {
                let arguments = control.arguments(&application);
                let decoded = Control::decode(control.kind(), &arguments);
                prop_assert_eq!(decoded, Some((application.clone(), control)));
            }
        }

        #[test]
        fn any_bytes_are_words_or_nothing(kind: u8, bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Control::decode(kind, &bytes);
        }
    }
}
