//! One HTTP/1.1 exchange whose answer is an event stream.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::address::MasterAddress;
use crate::encoding::Encoding;
use crate::subscription::Problem;

/// A connection must come about within this time; routers that drop packets give no answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest text of a refusal we read and show.
const LONGEST_TEXT: usize = 2048;

/// An open event stream.
pub(crate) struct EventStream {
    /// The records.
    pub(crate) body: Incoming,
    /// `Mesos-Stream-Id`, of schedulers.
    pub(crate) stream_id: Option<HeaderValue>,
    /// Drives the connection; ends with the stream.
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What became of a subscribe request.
pub(crate) enum Answer {
    /// 200.
    Stream(EventStream),
    /// 202, which subscriptions never get.
    Accepted,
    /// 307.
    Redirect(MasterAddress),
}

/// Whom a subscription is asked of.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Master or agent.
    pub(crate) peer: MasterAddress,
    /// Where it serves the API.
    pub(crate) path: &'static str,
    /// Who we are.
    pub(crate) authorization: Option<String>,
    /// Of calls and events.
    pub(crate) encoding: Encoding,
}

/// Posts `body` and reads the head of the answer.
pub(crate) async fn subscribe(target: &Target, body: Vec<u8>) -> Result<Answer, Problem> {
    let peer = &target.peer;
    let socket = dial(peer).await?;
    let broken = |error: hyper::Error| Problem::Closed(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(broken)?;
    let connection = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "event stream connection ended");
        }
    });
    let request = request(target, body)?;
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) => {
            connection.abort();
            return Err(unanswered(peer, &error));
        }
    };
    let (head, body) = response.into_parts();
    if head.status == StatusCode::OK {
        let stream_id = head.headers.get("mesos-stream-id").cloned();
        return Ok(Answer::Stream(EventStream { body, stream_id, connection }));
    }
    if head.status == StatusCode::ACCEPTED {
        connection.abort();
        return Ok(Answer::Accepted);
    }
    let answer = refused(peer, head.status, &head.headers, body).await;
    connection.abort();
    answer
}

/// A call as a request of its own, for a connection that is known.
pub(crate) fn request(target: &Target, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Problem> {
    let Target { peer, path, authorization, encoding } = target;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(*path)
        .header(header::HOST, peer.to_string())
        .header(header::CONTENT_TYPE, encoding.content_type())
        .header(header::ACCEPT, encoding.content_type());
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Problem::Unreachable(format!("{peer} cannot be asked: {error}")))
}

async fn dial(peer: &MasterAddress) -> Result<TcpStream, Problem> {
    let unreachable = |problem: String| Problem::Unreachable(problem);
    let connecting = TcpStream::connect((peer.host.as_str(), peer.port));
    let socket = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Err(_) => {
            let seconds = CONNECT_TIMEOUT.as_secs();
            return Err(unreachable(format!("no connection to {peer} within {seconds} s")));
        }
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(unreachable(format!("nothing listening at {peer}")));
        }
        Ok(Err(error)) => return Err(unreachable(format!("no connection to {peer}: {error}"))),
        Ok(Ok(socket)) => socket,
    };
    socket.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
    Ok(socket)
}

fn unanswered(peer: &MasterAddress, error: &hyper::Error) -> Problem {
    if error.is_parse() {
        return Problem::NotMesos {
            master: peer.clone(),
            text: "the answer is not HTTP".to_owned(),
        };
    }
    Problem::Closed(error.to_string())
}

async fn refused(
    peer: &MasterAddress,
    status: StatusCode,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Answer, Problem> {
    let master = peer.clone();
    if status == StatusCode::TEMPORARY_REDIRECT {
        let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        return match location.and_then(MasterAddress::from_location) {
            Some(leader) => Ok(Answer::Redirect(leader)),
            None => Err(Problem::Unavailable {
                master,
                text: "it leads nowhere with its redirect".to_owned(),
            }),
        };
    }
    let text = short_text(body).await;
    Err(match status.as_u16() {
        503 => Problem::Unavailable { master, text },
        404 | 405 | 501 => Problem::NotMesos { master, text: format!("{status} {text}") },
        // Some answers begin with their status again, and end their sentence.
        status => Problem::Refused { master, status, text: bare(&text, status) },
    })
}

fn bare(text: &str, status: u16) -> String {
    let text = text.strip_prefix(&status.to_string()).unwrap_or(text);
    text.trim().trim_end_matches('.').to_owned()
}

/// The first line or so of a refusal.
pub(crate) async fn short_text(body: Incoming) -> String {
    let body = http_body_util::Limited::new(body, LONGEST_TEXT);
    match body.collect().await {
        Ok(bytes) => String::from_utf8_lossy(&bytes.to_bytes()).trim().to_owned(),
        Err(_) => String::new(),
    }
}
