//! The connection of the current attempt, whoever the peer is.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use mesos_api::recordio::Decoder;

use crate::address::MasterAddress;
use crate::http::{Answer, EventStream, Target, subscribe};
use crate::subscription::{Generation, Problem};

/// Nothing, an attempt, or an open stream.
pub(crate) enum Link {
    None,
    Connecting(Generation, MasterAddress, BoxFuture<'static, Result<Answer, Problem>>),
    Open(Generation, EventStream, Decoder),
}

/// What the link came up with.
pub(crate) enum News {
    Answered(Generation, MasterAddress, Result<Answer, Problem>),
    Bytes(Generation, Bytes),
    Ended(Generation, Problem),
}

impl Link {
    /// Begins an attempt.
    pub(crate) fn connect(generation: Generation, target: Target, request: Vec<u8>) -> Self {
        let peer = target.peer.clone();
        let attempt = async move { subscribe(&target, request).await };
        Self::Connecting(generation, peer, attempt.boxed())
    }

    /// Begins to read a stream.
    pub(crate) fn open(generation: Generation, stream: EventStream) -> Self {
        Self::Open(generation, stream, Decoder::default())
    }

    /// Waits for the next news; for ever while there is no connection. Cancel safe.
    pub(crate) async fn next(&mut self) -> News {
        match self {
            Self::None => std::future::pending().await,
            Self::Connecting(generation, master, attempt) => {
                let answer = attempt.await;
                News::Answered(*generation, master.clone(), answer)
            }
            Self::Open(generation, stream, _) => loop {
                let generation = *generation;
                match stream.body.frame().await {
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            break News::Bytes(generation, bytes);
                        }
                    }
                    Some(Err(error)) => {
                        break News::Ended(generation, Problem::Closed(error.to_string()));
                    }
                    None => {
                        let problem = Problem::Closed("the peer closed it".to_owned());
                        break News::Ended(generation, problem);
                    }
                }
            },
        }
    }

    /// Puts bytes to the stream they belong to.
    pub(crate) fn push(&mut self, generation: Generation, bytes: &[u8]) {
        if let Self::Open(current, _, decoder) = self
            && *current == generation
        {
            decoder.push(bytes);
        }
    }

    /// The next whole record of that stream; `None` when there is none yet or the stream is gone.
    ///
    /// # Errors
    /// When the bytes are not RecordIO.
    pub(crate) fn record(&mut self, generation: Generation) -> Result<Option<Bytes>, Problem> {
        match self {
            Self::Open(current, _, decoder) if *current == generation => {
                decoder.next_record().map_err(|error| Problem::Closed(error.to_string()))
            }
            Self::Open(..) | Self::Connecting(..) | Self::None => Ok(None),
        }
    }
}
