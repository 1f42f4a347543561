//! One execution: its buffered responses and who may read them.
//!
//! Spark's reattachable execution (`ExecuteResponseObserver`): responses stay until the client releases them, the
//! stream may end at any time and be taken up again after the last response seen, and a later reader displaces an
//! earlier one. Producers wait while too much is unread, and of what was read only the last is kept for a client that
//! does not release, so a result of any size needs bounded memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message as _;
use spark_connect_proto::ExecutePlanResponse;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Unread response bytes beyond which the producer waits: enough to keep a fast client busy.
const BUFFER_BYTES: usize = 16 << 20;

/// Where an operation stands, as `GetStatus` reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationState {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// An execution and its responses.
#[derive(Debug)]
pub struct Operation {
    pub id: String,
    pub tags: Vec<String>,
    pub reattachable: bool,
    pub cancel: CancellationToken,
    buffer: Mutex<Buffer>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Buffer {
    /// Responses not yet released; the first has index `first`.
    responses: VecDeque<ExecutePlanResponse>,
    first: usize,
    /// Id of the last response that is gone, behind which a reader may start all the same.
    released: String,
    bytes: usize,
    /// Index after the last response any reader has been given.
    read: usize,
    /// Bytes of responses not yet given to a reader.
    unread_bytes: usize,
    end: Option<Result<(), Status>>,
    cancelled: bool,
    /// Counts attachments: a reader of an older one has been displaced.
    reader: u64,
}

/// How long and how much one stream may carry before the client has to reattach, and how much of what it carried stays
/// for that.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    pub duration: Duration,
    pub bytes: usize,
    pub retry_bytes: usize,
}

/// Why a reader cannot start where it asked.
#[derive(Debug, PartialEq, Eq)]
pub enum CursorError {
    /// No response of this id was ever sent, or it is gone.
    PositionNotFound,
    NotReattachable,
}

impl Operation {
    #[must_use]
    pub fn new(id: String, tags: Vec<String>, reattachable: bool) -> Arc<Self> {
        Arc::new(Self {
            id,
            tags,
            reattachable,
            cancel: CancellationToken::new(),
            buffer: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Appends a response, waiting while readers are too far behind. Returns false once the operation was cancelled.
    pub async fn push(&self, response: ExecutePlanResponse) -> bool {
        let size = response.encoded_len();
        let mut response = Some(response);
        loop {
            let changed = self.changed.notified();
            {
                let mut buffer = self.buffer.lock();
                if buffer.end.is_some() || self.cancel.is_cancelled() {
                    return false;
                }
                if (buffer.unread_bytes == 0 || buffer.unread_bytes + size <= BUFFER_BYTES)
                    && let Some(response) = response.take()
                {
                    buffer.responses.push_back(response);
                    buffer.bytes += size;
                    buffer.unread_bytes += size;
                    drop(buffer);
                    self.changed.notify_waiters();
                    return true;
                }
            }
            tokio::select! {
                () = changed => {}
                () = self.cancel.cancelled() => return false,
            }
        }
    }

    /// Ends the stream of responses; later ends are ignored.
    pub fn finish(&self, end: Result<(), Status>) {
        let mut buffer = self.buffer.lock();
        if buffer.end.is_none() {
            buffer.end = Some(end);
        }
        drop(buffer);
        self.changed.notify_waiters();
    }

    /// Asks the execution to stop; what its reader then sees is `end`.
    pub fn interrupt(&self, end: Status) {
        {
            let mut buffer = self.buffer.lock();
            if buffer.end.is_some() {
                return;
            }
            buffer.end = Some(Err(end));
            buffer.cancelled = true;
        }
        self.cancel.cancel();
        self.changed.notify_waiters();
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.buffer.lock().end.is_none()
    }

    #[must_use]
    pub fn state(&self) -> OperationState {
        let buffer = self.buffer.lock();
        match &buffer.end {
            None => OperationState::Running,
            Some(Ok(())) => OperationState::Succeeded,
            Some(Err(_)) if buffer.cancelled => OperationState::Cancelled,
            Some(Err(_)) => OperationState::Failed,
        }
    }

    /// Starts a reader behind `last_response_id`, or at the beginning, displacing the one before.
    pub fn attach(
        self: &Arc<Self>,
        last_response_id: Option<&str>,
        limits: StreamLimits,
    ) -> Result<Reader, CursorError> {
        let mut buffer = self.buffer.lock();
        let next = match last_response_id {
            Some(id) => {
                let at = buffer.responses.iter().position(|response| response.response_id == id);
                match at {
                    Some(at) => buffer.first + at + 1,
                    // A client releases what it has read before it reattaches behind it.
                    None if buffer.released == id => buffer.first,
                    None => return Err(CursorError::PositionNotFound),
                }
            }
            None if buffer.first > 0 => return Err(CursorError::PositionNotFound),
            None => 0,
        };
        if buffer.reader > 0 && !self.reattachable {
            return Err(CursorError::NotReattachable);
        }
        buffer.reader += 1;
        let generation = buffer.reader;
        drop(buffer);
        self.changed.notify_waiters();
        Ok(Reader {
            operation: Arc::clone(self),
            generation,
            next,
            deadline: Instant::now() + limits.duration,
            bytes_left: limits.bytes,
            retry_bytes: limits.retry_bytes,
        })
    }

    /// Forgets responses up to and including `response_id`; an unknown one changes nothing, as it was released before.
    pub fn release_until(&self, response_id: &str) {
        let mut buffer = self.buffer.lock();
        let Some(at) = buffer.responses.iter().position(|r| r.response_id == response_id) else {
            return;
        };
        for _ in 0..=at {
            buffer.drop_first();
        }
        drop(buffer);
        self.changed.notify_waiters();
    }
}

impl Buffer {
    fn drop_first(&mut self) {
        if let Some(response) = self.responses.pop_front() {
            let size = response.encoded_len();
            self.bytes -= size;
            if self.first >= self.read {
                self.unread_bytes -= size;
                self.read = self.first + 1;
            }
            self.first += 1;
            self.released = response.response_id;
        }
    }
}

/// One attached stream.
#[derive(Debug)]
pub struct Reader {
    operation: Arc<Operation>,
    generation: u64,
    next: usize,
    deadline: Instant,
    bytes_left: usize,
    retry_bytes: usize,
}

/// What a reader gets.
#[derive(Debug)]
pub enum Next {
    Response(Box<ExecutePlanResponse>),
    /// The execution has ended; everything was read.
    End(Result<(), Status>),
    /// The stream's limits are reached: the client reattaches.
    Detach,
    /// Another reader took over.
    Displaced,
}

impl Reader {
    /// The operation to release when the stream ends: one that cannot be reattached has no other end.
    #[must_use]
    pub fn release_at_end(&self) -> Option<String> {
        (!self.operation.reattachable).then(|| self.operation.id.clone())
    }

    /// The next response, as soon as there is one.
    pub async fn next(&mut self) -> Next {
        let operation = Arc::clone(&self.operation);
        loop {
            let changed = operation.changed.notified();
            if let Some(next) = self.poll_buffer() {
                return next;
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(self.deadline), if self.operation.reattachable => {
                    return Next::Detach;
                }
            }
        }
    }

    fn poll_buffer(&mut self) -> Option<Next> {
        let operation = Arc::clone(&self.operation);
        let mut buffer = operation.buffer.lock();
        if buffer.reader != self.generation {
            return Some(Next::Displaced);
        }
        let index = self.next.checked_sub(buffer.first)?;
        let Some(response) = buffer.responses.get(index).cloned() else {
            return buffer.end.clone().map(Next::End);
        };
        if self.operation.reattachable && self.bytes_left == 0 {
            return Some(Next::Detach);
        }
        let size = response.encoded_len();
        self.bytes_left = self.bytes_left.saturating_sub(size);
        self.next += 1;
        if self.next > buffer.read {
            buffer.read = self.next;
            buffer.unread_bytes -= size;
        }
        // A stream that cannot be taken up again needs nothing twice; of one that can, what was read first may go.
        let kept = if self.operation.reattachable { self.retry_bytes } else { 0 };
        while buffer.first < self.next && buffer.bytes - buffer.unread_bytes > kept {
            if self.operation.reattachable && buffer.first + 1 == self.next {
                break;
            }
            buffer.drop_first();
        }
        drop(buffer);
        operation.changed.notify_waiters();
        Some(Next::Response(Box::new(response)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: StreamLimits =
        StreamLimits { duration: Duration::from_secs(60), bytes: 1 << 30, retry_bytes: 1 << 30 };

    fn response(id: &str) -> ExecutePlanResponse {
        ExecutePlanResponse { response_id: id.to_owned(), ..Default::default() }
    }

    async fn ids(reader: &mut Reader) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            match reader.next().await {
                Next::Response(response) => ids.push(response.response_id),
                end => {
                    ids.push(format!("{end:?}").chars().take(8).collect());
                    return ids;
                }
            }
        }
    }

    #[tokio::test]
    async fn reattaches_behind_the_last_response_seen() {
        let operation = Operation::new("op".into(), vec![], true);
        for id in ["a", "b", "c"] {
            assert!(operation.push(response(id)).await);
        }
        let mut first = operation.attach(None, StreamLimits { bytes: 1, ..LIMITS }).unwrap();
        assert_eq!(ids(&mut first).await, ["a", "Detach"]);
        operation.finish(Ok(()));
        let mut second = operation.attach(Some("a"), LIMITS).unwrap();
        assert_eq!(ids(&mut second).await, ["b", "c", "End(Ok(("]);
        assert_eq!(ids(&mut first).await, ["Displace"]);
        operation.release_until("b");
        assert_eq!(ids(&mut operation.attach(Some("b"), LIMITS).unwrap()).await, ["c", "End(Ok(("]);
        assert_eq!(operation.attach(Some("a"), LIMITS).err(), Some(CursorError::PositionNotFound));
        assert_eq!(ids(&mut operation.attach(Some("c"), LIMITS).unwrap()).await, ["End(Ok(("]);
    }

    #[tokio::test]
    async fn a_producer_waits_for_its_reader() {
        let operation = Operation::new("op".into(), vec![], true);
        let mut big = response("big");
        big.session_id = "x".repeat(BUFFER_BYTES);
        assert!(operation.push(big).await);
        let producer = tokio::spawn({
            let operation = Arc::clone(&operation);
            async move { operation.push(response("next")).await }
        });
        tokio::task::yield_now().await;
        assert!(!producer.is_finished());
        let mut reader = operation.attach(None, LIMITS).unwrap();
        assert!(matches!(reader.next().await, Next::Response(_)));
        assert!(producer.await.unwrap());
    }

    /// A client that never releases, and reads a result many times as large as what may be kept.
    #[tokio::test]
    async fn what_was_read_is_kept_up_to_a_limit() {
        let big = |number: usize| ExecutePlanResponse {
            session_id: "x".repeat(1 << 20),
            ..response(&number.to_string())
        };
        let operation = Operation::new("op".into(), vec![], true);
        let limits = StreamLimits { retry_bytes: 3 << 20, ..LIMITS };
        let mut reader = operation.attach(None, limits).unwrap();
        for number in 0..100 {
            assert!(operation.push(big(number)).await);
            assert!(matches!(reader.next().await, Next::Response(_)));
            let bytes = operation.buffer.lock().bytes;
            assert!(bytes <= 3 << 20, "{bytes} after {number}");
        }
        operation.finish(Ok(()));
        assert_eq!(
            ids(&mut operation.attach(Some("98"), limits).unwrap()).await,
            ["99", "End(Ok(("]
        );
        assert_eq!(operation.attach(Some("90"), limits).err(), Some(CursorError::PositionNotFound));
        // One response that is larger than all that may be kept stays till the next is read.
        let operation = Operation::new("op".into(), vec![], true);
        let limits = StreamLimits { retry_bytes: 1, ..LIMITS };
        assert!(operation.push(big(0)).await);
        let mut reader = operation.attach(None, limits).unwrap();
        assert!(matches!(reader.next().await, Next::Response(_)));
        operation.finish(Ok(()));
        assert_eq!(ids(&mut operation.attach(None, limits).unwrap()).await, ["0", "End(Ok(("]);
    }

    #[tokio::test]
    async fn an_interrupt_ends_producer_and_reader() {
        let operation = Operation::new("op".into(), vec![], true);
        let mut reader = operation.attach(None, LIMITS).unwrap();
        operation.interrupt(Status::cancelled("stop"));
        assert!(!operation.push(response("late")).await);
        assert!(matches!(reader.next().await, Next::End(Err(_))));
        assert_eq!(operation.state(), OperationState::Cancelled);
    }
}
