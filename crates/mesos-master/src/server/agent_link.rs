//! The connection of an agent: an upgraded request, then RecordIO both ways.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use mesos_api::agent_protocol::{Register, ToMaster, UPGRADE_PROTOCOL};
use mesos_api::prost::Message as _;
use mesos_api::recordio::Decoder;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::{Body, Server, text};
use crate::core::LinkId;
use crate::service::{Input, OUTPUT_QUEUE};

/// An agent introduces itself at once; who does not is somebody else.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes read at once. There may be ten thousand agents, most of which say little at a time.
const READ_BUFFER: usize = 4 * 1024;

/// What an agent says, record by record.
struct Heard<R> {
    reader: R,
    decoder: Decoder,
    buffer: Box<[u8; READ_BUFFER]>,
}

pub(super) fn handle(mut request: Request<Incoming>, server: &Arc<Server>) -> Response<Body> {
    let asked = request.headers().get(UPGRADE).map(HeaderValue::as_bytes);
    if asked != Some(UPGRADE_PROTOCOL.as_bytes()) {
        return text(
            StatusCode::UPGRADE_REQUIRED,
            &format!("agents connect here with 'Upgrade: {UPGRADE_PROTOCOL}'"),
        );
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let server_of_link = Arc::clone(server);
    server.tasks.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => run(TokioIo::new(upgraded), &server_of_link).await,
            Err(error) => tracing::debug!(%error, "agent connection was not upgraded"),
        }
    });
    let mut answer = Response::new(Empty::new().boxed_unsync());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static(UPGRADE_PROTOCOL));
    answer
}

async fn run(socket: impl AsyncRead + AsyncWrite + Unpin + Send, server: &Arc<Server>) {
    let (reader, mut writer) = tokio::io::split(socket);
    let buffer = Box::new([0; READ_BUFFER]);
    let mut heard = Heard { reader, decoder: Decoder::default(), buffer };
    let first = tokio::time::timeout(REGISTER_TIMEOUT, heard.next()).await;
    let Ok(Some(ToMaster { register: Some(register), .. })) = first else {
        tracing::warn!("a connection of an agent did not begin with its registration");
        return;
    };
    if !server.authenticates_agent(&register) {
        tracing::warn!(agent = %register.agent.hostname, "agent is not authenticated");
        let _ = writer.write_all(&refusal()).await;
        return;
    }
    let link = LinkId(server.next_link());
    let (records, mut outgoing) = mpsc::channel::<Bytes>(OUTPUT_QUEUE);
    register_agent(link, register, records, server).await;
    let reading = async {
        while let Some(message) = heard.next().await {
            server.service.send(Input::AgentMessage(link, message)).await;
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
        () = server.stopping.cancelled() => {}
    }
    let _ = writer.shutdown().await;
    server.service.send(Input::AgentClosed(link)).await;
}

async fn register_agent(
    link: LinkId,
    register: Register,
    records: mpsc::Sender<Bytes>,
    server: &Arc<Server>,
) {
    let agent = &register.agent;
    tracing::info!(hostname = %agent.hostname, port = agent.port(), "agent connected");
    server.service.send(Input::AgentConnected { link, register, records }).await;
}

fn refusal() -> Bytes {
    use mesos_api::agent_protocol::{Refused, ToAgent};
    let reason = "the agent is not authenticated, see its flag --credential".to_owned();
    let message = ToAgent { refused: Some(Refused { reason }), ..ToAgent::default() };
    mesos_api::recordio::encode_message(&message)
}

impl<R: AsyncRead + Unpin> Heard<R> {
    /// The next message; `None` at the end or at what is none.
    async fn next(&mut self) -> Option<ToMaster> {
        loop {
            match self.decoder.next_record() {
                Ok(Some(record)) => match ToMaster::decode(record) {
                    Ok(message) => return Some(message),
                    Err(error) => {
                        tracing::warn!(%error, "an agent sent what is no message");
                        return None;
                    }
                },
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "an agent sent what is no record");
                    return None;
                }
            }
            match self.reader.read(&mut self.buffer[..]).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.decoder.push(&self.buffer[..read]),
            }
        }
    }
}
