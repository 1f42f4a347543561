//! How the master and the agent serve HTTP: connections that are accepted up to a number, cut off when
//! nobody asks anything on them or their other end is gone, and answers. What is answered is the
//! caller's affair.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Pause after a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Largest request; an ACCEPT with thousands of tasks, or an update with much data, fits.
const MAXIMUM_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// A request's body arrives within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);

/// What connections are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; what comes beyond is closed at once.
    pub connections: usize,
    /// Whoever connects asks something within this time. Later there may be any pause between two
    /// questions, as in Mesos, whose clients keep connections and do not expect to lose them.
    pub first_request: Duration,
    /// The other end takes something of what it is sent, or at least says that it is there, within this
    /// time. In whole seconds.
    pub silence: Duration,
}

impl Default for Limits {
    /// Each framework and executor has two connections and each agent one, so the number is enough for
    /// the largest clusters.
    fn default() -> Self {
        Self {
            connections: 65_536,
            first_request: Duration::from_secs(30),
            silence: Duration::from_secs(120),
        }
    }
}

/// Answers the requests of all who connect, until told to stop. Connections are among `tasks`, and are cut
/// when `stopping` is cancelled.
pub async fn serve<S, F>(
    listener: TcpListener,
    limits: Limits,
    stopping: CancellationToken,
    tasks: TaskTracker,
    answer: S,
) where
    S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    tracing::warn!(%peer, most = limits.connections, "too many connections; one more refused");
                    continue;
                };
                let (stopping, answer) = (stopping.clone(), answer.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stopping.cancelled() => {}
                        () = connection(socket, peer, limits, answer) => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<S, F>(socket: TcpStream, peer: SocketAddr, limits: Limits, answer: S)
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    if let Err(error) = prepare(&socket, limits.silence) {
        tracing::debug!(%peer, %error, "a connection cannot be watched");
    }
    let asked = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&asked);
    let service = service_fn(move |request| {
        noted.store(true, Ordering::Relaxed);
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        // As Mesos writes them; some old clients look for them so.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let late = async {
        tokio::time::sleep(limits.first_request).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = late => tracing::debug!(%peer, "nothing was asked on a connection; cut off"),
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "connection ended");
            }
        }
    }
}

/// Small records do not wait for each other, and the kernel looks after the other end: it ends a
/// connection whose machine has gone without a word, and one on which nobody reads for too long.
fn prepare(socket: &TcpStream, silence: Duration) -> nix::Result<()> {
    let seconds = u32::try_from(silence.as_secs()).unwrap_or(u32::MAX).max(2);
    setsockopt(socket, sockopt::TcpNoDelay, &true)?;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &(seconds / 2))?;
    setsockopt(socket, sockopt::TcpKeepInterval, &(seconds / 8).max(1))?;
    setsockopt(socket, sockopt::TcpUserTimeout, &seconds.saturating_mul(1000))
}

/// Reads a request's body, or says why not.
///
/// # Errors
/// The answer to give: the body is too long, breaks off, or takes too long.
pub async fn read_body(body: Incoming) -> Result<Bytes, Response<Body>> {
    let collected = Limited::new(body, MAXIMUM_REQUEST_BYTES).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) => {
            Err(text(StatusCode::BAD_REQUEST, &format!("cannot read the request's body: {error}")))
        }
        Err(_) => {
            Err(text(StatusCode::REQUEST_TIMEOUT, "The request's body did not arrive in time"))
        }
    }
}

/// An answer in plain text.
#[must_use]
pub fn text(status: StatusCode, text: &str) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", text.to_owned())
}

/// An answer of some type.
#[must_use]
pub fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// An answer of some type whose body is there already, in pieces which are sent as they are.
#[must_use]
pub fn in_pieces(
    status: StatusCode,
    content_type: &'static str,
    pieces: Vec<Bytes>,
) -> Response<Body> {
    let left = pieces.iter().map(|piece| piece.len() as u64).sum();
    let pieces = Pieces { pieces: pieces.into_iter(), left };
    let mut answer = Response::new(pieces.boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A body of known length in pieces.
struct Pieces {
    pieces: std::vec::IntoIter<Bytes>,
    left: u64,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Serves `BODY` on every path with these limits, until dropped.
    struct Place {
        address: SocketAddr,
        stopping: CancellationToken,
        tasks: TaskTracker,
    }

    const BODY: &str = "here";
    /// More than the kernel keeps for a reader who does not read.
    const LARGE: usize = 32 << 20;

    impl Place {
        async fn start(limits: Limits) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
            let answer = |request: Request<Incoming>| async move {
                if request.uri().path() == "/large" {
                    return typed(StatusCode::OK, "text/plain", vec![b'x'; LARGE]);
                }
                match read_body(request.into_body()).await {
                    Ok(_) => text(StatusCode::OK, BODY),
                    Err(refused) => refused,
                }
            };
            tokio::spawn(serve(listener, limits, stopping.clone(), tasks.clone(), answer));
            Self { address, stopping, tasks }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            self.stopping.cancel();
        }
    }

    async fn ask(socket: &mut TcpStream, path: &str) -> String {
        socket.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(BODY.as_bytes()) {
            assert!(socket.read_buf(&mut answer).await.unwrap() > 0, "it was cut off");
        }
        String::from_utf8(answer).unwrap()
    }

    /// Reads to the end, which an error is too.
    async fn end_of(socket: &mut TcpStream) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut rest));
        let _ = read.await.expect("an end");
    }

    #[tokio::test]
    async fn who_asks_nothing_or_half_is_cut_off_and_who_asked_may_pause() {
        let first_request = Duration::from_millis(300);
        let place = Place::start(Limits { first_request, ..Limits::default() }).await;
        let (mut silent, mut half, mut good) =
            (place.connect().await, place.connect().await, place.connect().await);
        half.write_all(b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
        assert!(ask(&mut good, "/").await.contains("Content-Type: text/plain"));
        let began = Instant::now();
        end_of(&mut silent).await;
        end_of(&mut half).await;
        assert!(began.elapsed() >= first_request / 2, "{:?}", began.elapsed());
        ask(&mut good, "/").await;
    }

    #[tokio::test]
    async fn there_are_no_more_connections_than_allowed() {
        let place = Place::start(Limits { connections: 2, ..Limits::default() }).await;
        let (mut first, mut second) = (place.connect().await, place.connect().await);
        ask(&mut first, "/").await;
        ask(&mut second, "/").await;
        let mut third = place.connect().await;
        end_of(&mut third).await;
        drop(first);
        // Its place is free once its end was seen.
        for attempt in 0.. {
            assert!(attempt < 1000, "no place came free");
            let mut next = place.connect().await;
            next.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let mut answer = [0; 8];
            if next.read(&mut answer).await.is_ok_and(|read| read > 0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off() {
        let silence = Duration::from_secs(2);
        let place = Place::start(Limits { silence, ..Limits::default() }).await;
        let mut slow = place.connect().await;
        slow.write_all(b"GET /large HTTP/1.1\r\n\r\n").await.unwrap();
        let mut begun = [0; 1];
        slow.read_exact(&mut begun).await.unwrap();
        assert_eq!(place.tasks.len(), 1);
        let began = Instant::now();
        while !place.tasks.is_empty() {
            assert!(began.elapsed() < Duration::from_secs(25), "the connection stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(slow);
    }
}
