//! The gRPC server: a listener on the driver's address that takes only calls with the session's token.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};

use crate::application::Application;
use crate::generated::spark_connect_service_server::SparkConnectServiceServer;
use crate::service::ConnectService;
use crate::session::Sessions;

/// Largest message taken: PySpark's client sends at most 128 MiB.
const MESSAGE_BYTES: usize = 128 << 20;

/// What a server needs.
#[derive(Debug)]
pub struct ServerOptions {
    pub application: Arc<dyn Application>,
    pub shared: Arc<spark_plan::SharedState>,
    /// Required as `authorization: Bearer …` (`spark.connect.authenticate.token`); `None` takes every call.
    pub token: Option<String>,
}

/// A running server.
#[derive(Debug)]
pub struct ConnectServer {
    address: SocketAddr,
    sessions: Arc<Sessions>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

impl ConnectServer {
    /// Serves on an already bound listener.
    ///
    /// # Errors
    /// When the listener's address cannot be read.
    pub fn start(listener: TcpListener, options: ServerOptions) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let sessions = Arc::new(Sessions::new(options.shared));
        let service = ConnectService::new(options.application, Arc::clone(&sessions));
        let service = SparkConnectServiceServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(usize::MAX);
        let expected = options.token.map(|token| format!("Bearer {token}"));
        let service = InterceptedService::new(service, move |request: Request<()>| {
            authenticate(request, expected.as_deref())
        });
        let shutdown = CancellationToken::new();
        let stopped = shutdown.clone();
        let task = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let incoming = futures::StreamExt::inspect(incoming, |stream| {
                if let Ok(stream) = stream
                    && let Err(error) = stream.set_nodelay(true)
                {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
            });
            tonic::transport::Server::builder()
                .initial_connection_window_size(8 << 20)
                .initial_stream_window_size(8 << 20)
                .add_service(service)
                .serve_with_incoming_shutdown(incoming, stopped.cancelled_owned())
                .await
        });
        Ok(Self { address, sessions, shutdown, task })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops running queries and the server.
    pub async fn stop(self) {
        self.sessions.interrupt_all();
        self.shutdown.cancel();
        /// Clients get their last answers within this time.
        const GRACE: std::time::Duration = std::time::Duration::from_millis(300);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(GRACE, self.task).await.is_err() {
            abort.abort();
        }
    }
}

fn authenticate(request: Request<()>, expected: Option<&str>) -> Result<Request<()>, Status> {
    let Some(expected) = expected else { return Ok(request) };
    let given = request.metadata().get("authorization").map_or(&[][..], |value| value.as_bytes());
    // The comparison takes the same time wherever the texts differ.
    let same = given.len() == expected.len()
        && given.iter().zip(expected.as_bytes()).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0;
    if same {
        Ok(request)
    } else {
        Err(Status::unauthenticated(
            "This Spark Connect endpoint belongs to an application and asks for its token: connect with sc://HOST:PORT/;token=TOKEN.",
        ))
    }
}
