//! The operator API client, for masters and agents.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Limited};
use mesos_api::json::JsonValue;
use mesos_api::recordio::Decoder;
use prost::Message;

use crate::address::{MasterAddress, MasterLocation};
use crate::credential::Credential;
use crate::detector::MasterDetector;
use crate::encoding::Encoding;
use crate::http::{self, Answer, Target};
use crate::subscription::Problem;

/// Where operators are served, by masters and agents.
const PATH: &str = "/api/v1";
/// Longest answer that is read; the state of ten thousand agents stays below it.
const LONGEST_ANSWER: usize = 512 * 1024 * 1024;
/// An answer must begin within this time; large states take seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Wait before a peer that is not ready is asked again.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// Redirects followed in a row.
const MOST_REDIRECTS: u32 = 5;

/// Whom an operator asks, and how.
#[derive(Debug, Clone)]
pub struct OperatorOptions {
    /// The masters, or an agent.
    pub location: MasterLocation,
    /// Principal and secret.
    pub credential: Option<Credential>,
    /// Of calls and answers.
    pub encoding: Encoding,
    /// How long a peer is waited for that cannot be reached, is in recovery, or has no leader.
    pub patience: Duration,
}

impl OperatorOptions {
    /// Options without credential, in protobuf, that wait for 10 s.
    pub fn new(location: impl Into<MasterLocation>) -> Self {
        Self {
            location: location.into(),
            credential: None,
            encoding: Encoding::default(),
            patience: Duration::from_secs(10),
        }
    }
}

/// Why an operator got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// Nobody answered as hoped.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The answer is none.
    #[error("the answer of {peer} cannot be read: {problem}")]
    Unreadable {
        /// Who answered.
        peer: MasterAddress,
        /// What is wrong.
        problem: String,
    },
}

/// Makes operator calls. Redirects to the leader are followed; each call has a connection of its own.
#[derive(Debug)]
pub struct OperatorClient {
    options: OperatorOptions,
    detector: Option<MasterDetector>,
}

impl OperatorClient {
    /// A client; nothing is sent yet. With a ZooKeeper URL it needs a tokio runtime.
    #[must_use]
    pub fn new(options: OperatorOptions) -> Self {
        let detector = match &options.location {
            MasterLocation::Address(_) => None,
            MasterLocation::ZooKeeper(url) => Some(MasterDetector::start(url.clone())),
        };
        Self { options, detector }
    }

    /// Makes a call that has an answer, such as `GET_STATE`.
    ///
    /// # Errors
    /// [`OperatorError`] when there is no answer within the patience, a refusal, or no sense in it.
    pub async fn call<C, R>(&self, call: &C) -> Result<R, OperatorError>
    where
        C: Message + JsonValue,
        R: Message + JsonValue + Default,
    {
        let (peer, answer) = self.exchange(call).await?;
        let Answer::Stream(mut stream) = answer else {
            return Err(unreadable(peer, "it is empty"));
        };
        let body = Limited::new(&mut stream.body, LONGEST_ANSWER).collect().await;
        let bytes = body.map_err(|error| unreadable(peer.clone(), error))?.to_bytes();
        self.options.encoding.decode(bytes).map_err(|error| unreadable(peer, error))
    }

    /// Makes a call that only does something, such as `TEARDOWN`.
    ///
    /// # Errors
    /// [`OperatorError::Problem`] when it is refused or not answered within the patience.
    pub async fn act<C: Message + JsonValue>(&self, call: &C) -> Result<(), OperatorError> {
        self.exchange(call).await.map(drop)
    }

    /// Subscribes to events. A stream that ends is not restored: what happened meanwhile would be missed, so
    /// subscribe again and begin with the state that comes first.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn subscribe<C, E>(&self, call: &C) -> Result<EventStream<E>, OperatorError>
    where
        C: Message + JsonValue,
        E: Message + JsonValue + Default,
    {
        let (peer, answer) = self.exchange(call).await?;
        let Answer::Stream(stream) = answer else { return Err(unreadable(peer, "it is empty")) };
        let encoding = self.options.encoding;
        Ok(EventStream { peer, stream, encoding, decoder: Decoder::default(), event: PhantomData })
    }

    async fn exchange<C: Message + JsonValue>(
        &self,
        call: &C,
    ) -> Result<(MasterAddress, Answer), OperatorError> {
        let body = self.options.encoding.encode(call);
        let started = Instant::now();
        loop {
            let problem = match self.ask_leader(&body).await {
                Ok(answered) => return Ok(answered),
                Err(problem) => problem,
            };
            let passing = matches!(
                problem,
                Problem::Unreachable(_) | Problem::Unavailable { .. } | Problem::NoLeader(_)
            );
            if !passing || started.elapsed() >= self.options.patience {
                return Err(problem.into());
            }
            tokio::time::sleep(RETRY_WAIT).await;
        }
    }

    async fn ask_leader(&self, body: &[u8]) -> Result<(MasterAddress, Answer), Problem> {
        let mut peer = match (&self.options.location, &self.detector) {
            (MasterLocation::Address(address), _) => address.clone(),
            (MasterLocation::ZooKeeper(_), Some(detector)) => {
                detector.current().address().map_err(Problem::NoLeader)?
            }
            (MasterLocation::ZooKeeper(url), None) => {
                return Err(Problem::NoLeader(format!("nobody watches {url}")));
            }
        };
        for _ in 0..=MOST_REDIRECTS {
            let target = Target {
                peer: peer.clone(),
                path: PATH,
                authorization: self.options.credential.as_ref().map(Credential::authorization),
                encoding: self.options.encoding,
            };
            let asked = http::subscribe(&target, body.to_vec());
            match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
                Err(_) => return Err(Problem::NoAnswer(peer)),
                Ok(Ok(Answer::Redirect(leader))) => peer = leader,
                Ok(Ok(answer)) => return Ok((peer, answer)),
                Ok(Err(problem)) => return Err(problem),
            }
        }
        Err(Problem::RedirectLoop(peer))
    }
}

fn unreadable(peer: MasterAddress, problem: impl ToString) -> OperatorError {
    OperatorError::Unreadable { peer, problem: problem.to_string() }
}

/// Events for an operator.
pub struct EventStream<E> {
    peer: MasterAddress,
    stream: http::EventStream,
    encoding: Encoding,
    decoder: Decoder,
    event: PhantomData<fn() -> E>,
}

impl<E: Message + JsonValue + Default> EventStream<E> {
    /// The next event; `None` at the end of the stream. Cancel safe.
    ///
    /// # Errors
    /// [`OperatorError`] when the connection breaks or what comes makes no sense.
    pub async fn next(&mut self) -> Result<Option<E>, OperatorError> {
        loop {
            let record = self.decoder.next_record();
            if let Some(record) = record.map_err(|error| unreadable(self.peer.clone(), error))? {
                let event = self.encoding.decode(record);
                return event.map(Some).map_err(|error| unreadable(self.peer.clone(), error));
            }
            match self.stream.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Problem::Closed(error.to_string()).into()),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.decoder.push(&bytes);
                    }
                }
            }
        }
    }
}

impl<E> std::fmt::Debug for EventStream<E> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("EventStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}
