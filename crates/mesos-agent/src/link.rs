//! The connection to the leading master: dialled, upgraded, kept, and dialled again.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, LOCATION, UPGRADE};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use mesos_api::agent_protocol::{AGENT_PATH, ToAgent, UPGRADE_PROTOCOL};
use mesos_api::prost::Message as _;
use mesos_api::recordio::Decoder;
use mesos_client::{Detection, MasterDetector, MasterLocation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::service::Input;

/// First and longest pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// A try takes no longer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// A master pings each 15 s; silent for so long, it is gone.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(75);

/// Messages waiting for the master.
const LINK_QUEUE: usize = 32_768;

/// Bytes read at once.
const READ_BUFFER: usize = 64 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot reach {master}")]
    Connect { master: String, source: std::io::Error },
    #[error("no answer of {master} within {DIAL_TIMEOUT:?}")]
    Timeout { master: String },
    #[error("connection to {master} broke")]
    Http { master: String, source: hyper::Error },
    #[error("{master} answered {status}: it is not a master of this kind of agent")]
    NotOurs { master: String, status: StatusCode },
    #[error("{leader} leads instead of {master}")]
    Elsewhere { master: String, leader: String },
}

/// Who knows where the leading master is.
enum Lookout {
    /// A master, which sends us to the leader if it does not lead.
    Address(String),
    ZooKeeper(MasterDetector),
}

impl Lookout {
    fn new(master: MasterLocation) -> Self {
        match master {
            MasterLocation::Address(address) => Self::Address(address.to_string()),
            MasterLocation::ZooKeeper(url) => Self::ZooKeeper(MasterDetector::start(url)),
        }
    }

    /// Where to dial; waits until somebody leads.
    async fn master(&mut self) -> String {
        match self {
            Self::Address(address) => address.clone(),
            Self::ZooKeeper(detector) => {
                if let Err(reason) = detector.current().address() {
                    tracing::info!(%reason, "no master to join yet");
                }
                detector.leader().await.0.to_string()
            }
        }
    }

    /// Returns when another master leads than the one at `place`.
    async fn moved(&mut self, place: &str) {
        let Self::ZooKeeper(detector) = self else { return std::future::pending().await };
        loop {
            match detector.changed().await {
                Detection::Leader { address, .. } if address.to_string() != place => return,
                // While nobody leads, the one that did may still be reached.
                Detection::Leader { .. } | Detection::Nobody(_) => {}
            }
        }
    }
}

/// Keeps a connection until cancelled. `relink` drops the present one.
pub(crate) async fn keep(
    master: MasterLocation,
    inputs: mpsc::Sender<Input>,
    stopping: CancellationToken,
    relink: std::sync::Arc<tokio::sync::Notify>,
) {
    let mut lookout = Lookout::new(master);
    let mut sent_to = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let dialled = tokio::select! {
            () = stopping.cancelled() => return,
            dialled = async {
                let place = match sent_to.take() {
                    Some(leader) => leader,
                    None => lookout.master().await,
                };
                let socket = tokio::time::timeout(DIAL_TIMEOUT, dial(&place)).await;
                match socket {
                    Ok(socket) => socket.map(|socket| (socket, place)),
                    Err(_) => Err(DialError::Timeout { master: place }),
                }
            } => dialled,
        };
        match dialled {
            Ok((socket, place)) => {
                pause = FIRST_PAUSE;
                tracing::info!(master = %place, "connected to the master");
                tokio::select! {
                    () = run(socket, &inputs, &stopping, &relink) => {}
                    () = lookout.moved(&place) => {
                        tracing::info!("another master leads");
                        let _ = inputs.send(Input::LinkDown).await;
                    }
                }
                if stopping.is_cancelled() {
                    return;
                }
                tracing::warn!(master = %place, "connection to the master broke");
            }
            Err(DialError::Elsewhere { leader, .. }) => sent_to = Some(leader),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "cannot join the master; trying again");
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// The address this machine uses towards its master, or towards those who know where that is.
pub(crate) async fn address_towards(master: &MasterLocation) -> Option<SocketAddr> {
    let places = match master {
        MasterLocation::Address(address) => address.to_string(),
        MasterLocation::ZooKeeper(url) => url.servers(),
    };
    for place in places.split(',') {
        let socket = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(place)).await;
        if let Ok(Ok(socket)) = socket {
            return socket.local_addr().ok();
        }
    }
    None
}

async fn dial(master: &str) -> Result<Upgraded, DialError> {
    let connect = |source| DialError::Connect { master: master.to_owned(), source };
    let http = |source| DialError::Http { master: master.to_owned(), source };
    let socket = TcpStream::connect(master).await.map_err(connect)?;
    socket.set_nodelay(true).map_err(connect)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(http)?;
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(AGENT_PATH);
    let headers = request.headers_mut();
    headers.insert(CONNECTION, http::HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, http::HeaderValue::from_static(UPGRADE_PROTOCOL));
    if let Ok(host) = http::HeaderValue::from_str(master) {
        headers.insert(HOST, host);
    }
    let answer = sender.send_request(request).await.map_err(http)?;
    if answer.status() == StatusCode::TEMPORARY_REDIRECT {
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let leader =
            location.and_then(|place| place.trim_start_matches("http:").strip_prefix("//"));
        if let Some(leader) = leader.and_then(|leader| leader.split('/').next()) {
            let leader = leader.to_owned();
            return Err(DialError::Elsewhere { master: master.to_owned(), leader });
        }
    }
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = answer.status();
        return Err(DialError::NotOurs { master: master.to_owned(), status });
    }
    hyper::upgrade::on(answer).await.map_err(http)
}

async fn run(
    socket: Upgraded,
    inputs: &mpsc::Sender<Input>,
    stopping: &CancellationToken,
    relink: &tokio::sync::Notify,
) {
    let (mut reader, mut writer) = tokio::io::split(TokioIo::new(socket));
    let (records, mut outgoing) = mpsc::channel::<Bytes>(LINK_QUEUE);
    if inputs.send(Input::LinkUp(records)).await.is_err() {
        return;
    }
    let reading = async {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            while let Ok(Some(record)) = decoder.next_record() {
                let Ok(message) = ToAgent::decode(record) else { return };
                if inputs.send(Input::FromMaster(message)).await.is_err() {
                    return;
                }
            }
            let read = tokio::time::timeout(SILENCE_TIMEOUT, reader.read(&mut buffer)).await;
            match read {
                Ok(Ok(read)) if read > 0 => decoder.push(&buffer[..read]),
                Ok(Ok(_) | Err(_)) | Err(_) => return,
            }
        }
    };
    let writing = async {
        while let Some(record) = outgoing.recv().await {
            if writer.write_all(&record).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
        () = stopping.cancelled() => {}
        () = relink.notified() => {}
    }
    // What the agent said last, such as its farewell, is still to go out.
    while let Ok(record) = outgoing.try_recv() {
        if writer.write_all(&record).await.is_err() {
            break;
        }
    }
    let _ = writer.shutdown().await;
    let _ = inputs.send(Input::LinkDown).await;
}
