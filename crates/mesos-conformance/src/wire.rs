//! Plain HTTP, without the manners of a client: what is sent is what the check wants to be sent.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use mesos_api::recordio::Decoder;
use mesos_client::MasterAddress;
use serde_json::Value;
use tokio::net::TcpStream;

/// Answers begin, and records come, within this time; a loaded machine takes longer than a free one.
const PATIENCE: Duration = Duration::from_secs(30);

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Stream {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    body: Incoming,
    decoder: Decoder,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Sends a request on a connection of its own.
///
/// # Errors
/// When there is no answer.
pub async fn open(
    address: &MasterAddress,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Stream> {
    let exchange = async {
        let socket = TcpStream::connect((address.host.as_str(), address.port)).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        let mut request =
            Request::builder().method(method).uri(path).header("host", address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned())))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let (status, headers) = (head.status.as_u16(), head.headers);
        Ok(Stream { status, headers, body, decoder: Decoder::default(), connection })
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await;
    answer.with_context(|| format!("{address}{path}: no answer within 30 s"))?
}

/// Posts and reads the whole answer.
///
/// # Errors
/// When there is none.
pub async fn post(
    address: &MasterAddress,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Reply> {
    open(address, "POST", path, headers, body).await?.whole().await
}

/// Posts JSON and reads the whole answer.
///
/// # Errors
/// When there is none.
pub async fn post_json(address: &MasterAddress, path: &str, body: &Value) -> Result<Reply> {
    post(address, path, &[("content-type", "application/json")], &body.to_string()).await
}

/// Gets JSON.
///
/// # Errors
/// When the answer is not 200, or no JSON.
pub async fn get_json(address: &MasterAddress, path: &str) -> Result<Value> {
    let reply = open(address, "GET", path, &[], "").await?.whole().await?;
    ensure!(reply.status == 200, "GET {path}: {} {}", reply.status, reply.text);
    Ok(serde_json::from_str(&reply.text)?)
}

impl Stream {
    /// Reads to the end.
    ///
    /// # Errors
    /// When the connection breaks or the end does not come.
    pub async fn whole(mut self) -> Result<Reply> {
        let body = tokio::time::timeout(PATIENCE, (&mut self.body).collect()).await;
        let bytes = body.context("the answer does not end")??.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Reply { status: self.status, headers: std::mem::take(&mut self.headers), text })
    }

    /// The next record as JSON; `None` at the end.
    ///
    /// # Errors
    /// When none comes in time, or nonsense.
    pub async fn record(&mut self) -> Result<Option<Value>> {
        let next = async {
            loop {
                if let Some(record) = self.decoder.next_record()? {
                    return Ok(Some(serde_json::from_slice(&record)?));
                }
                match self.body.frame().await {
                    None => return Ok(None),
                    Some(frame) => {
                        if let Ok(bytes) = frame?.into_data() {
                            self.decoder.push(&bytes);
                        }
                    }
                }
            }
        };
        match tokio::time::timeout(PATIENCE, next).await {
            Ok(record) => record,
            Err(_) => bail!("no record within 30 s"),
        }
    }

    /// A header as text.
    ///
    /// # Errors
    /// When it is missing.
    pub fn header(&self, name: &str) -> Result<String> {
        let value = self.headers.get(name).with_context(|| format!("no header {name}"))?;
        Ok(value.to_str()?.to_owned())
    }
}
