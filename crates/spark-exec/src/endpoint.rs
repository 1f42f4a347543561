//! The driver's endpoint: takes executors' streams and hands them to the engine.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;

use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::engine::EngineHandle;
use crate::protocol::service::executor_endpoint_server::{
    ExecutorEndpoint, ExecutorEndpointServer,
};
use crate::protocol::{
    FromExecutor, MESSAGE_BYTES_LIMIT, PropertiesRequest, Registered, SECRET_KEY, ToExecutor,
};

/// Messages of an executor that may wait for the engine.
const STREAM_LIMIT: usize = 1024;

/// Listens for executors; answers the address.
pub(crate) async fn listen(
    host: &str,
    port: u16,
    retries: u64,
    service: Endpoint,
    shutdown: CancellationToken,
) -> Result<SocketAddr> {
    let listener = bind(host, port, retries).await.map_err(|error| {
        exec_datafusion_err!(
            "cannot listen for executors on {host}:{port}: {error}; \
             set spark.driver.bindAddress and spark.driver.port"
        )
    })?;
    let address = listener.local_addr()?;
    let service = ExecutorEndpointServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES_LIMIT)
        .max_encoding_message_size(MESSAGE_BYTES_LIMIT);
    let connections = TcpListenerStream::new(listener).map(|connection| {
        let connection = connection?;
        connection.set_nodelay(true)?;
        Ok::<_, std::io::Error>(connection)
    });
    let server = tonic::transport::Server::builder()
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20)
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(20)))
        .add_service(service)
        .serve_with_incoming_shutdown(connections, async move { shutdown.cancelled().await });
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the executors' endpoint ended");
        }
    });
    Ok(address)
}

/// Binds to a port, or to the first free one after it (Spark's `startServiceOnPort`).
async fn bind(host: &str, port: u16, retries: u64) -> std::io::Result<TcpListener> {
    let mut tried = port;
    loop {
        match TcpListener::bind((host, tried)).await {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse
                    && tried != 0
                    && tried < u16::MAX
                    && u64::from(tried - port) < retries =>
            {
                tried += 1;
            }
            bound => return bound,
        }
    }
}

/// What serves executors.
pub(crate) struct Endpoint {
    pub(crate) engine: EngineHandle,
    pub(crate) application: String,
    pub(crate) secret: String,
    /// The application's properties.
    pub(crate) conf: HashMap<String, String>,
}

impl Endpoint {
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let given = request.metadata().get(SECRET_KEY).map(|secret| secret.as_bytes());
        if given.is_some_and(|given| same(given, self.secret.as_bytes())) {
            return Ok(());
        }
        Err(Status::unauthenticated("the secret is not this application's"))
    }
}

#[tonic::async_trait]
impl ExecutorEndpoint for Endpoint {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<ToExecutor, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<FromExecutor>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        self.admit(&request)?;
        let (to_executor, messages) = mpsc::unbounded_channel();
        let (forward, from_executor) = mpsc::channel(STREAM_LIMIT);
        let mut inbound = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                if forward.send(message).await.is_err() {
                    break;
                }
            }
        });
        self.engine.attach(to_executor, from_executor);
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(messages).map(Ok))))
    }

    async fn properties(
        &self,
        request: Request<PropertiesRequest>,
    ) -> Result<Response<Registered>, Status> {
        self.admit(&request)?;
        let PropertiesRequest { app } = request.into_inner();
        if app != self.application {
            let text = format!("this driver runs application {}, not {app}", self.application);
            return Err(Status::failed_precondition(text));
        }
        Ok(Response::new(Registered { conf: self.conf.clone() }))
    }
}

/// Compares in a time that does not depend on where the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}
