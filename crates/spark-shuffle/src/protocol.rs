//! The words between block server and client.
//!
//! The server speaks first: magic, version, nonce. The client answers with the application, a nonce
//! of its own and the proof that it knows the application's secret (HMAC over both nonces); only
//! then the server does any work. It answers with its own proof, so that a client takes no rows
//! from a stranger on a reused port.
//!
//! Then requests, one at a time per connection: length, shuffle blocks, range of segments, where in
//! the first block to begin and how many bytes to give at most. The answer is a run of parts (bytes
//! of a segment, or failure of one block) and an end.

use std::io;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::block::BlockId;
use crate::secret::PROOF_BYTES;

/// First bytes from the server.
pub(crate) const MAGIC: &[u8; 4] = b"FSBS";

/// Raised when the words change: both ends are of one release, so another version is refused.
pub(crate) const VERSION: u8 = 2;

/// An application id is a framework id or shorter.
pub(crate) const APPLICATION_LIMIT: usize = 255;

/// Blocks in one request; with 21 bytes each a request stays below 180 kB.
pub(crate) const BLOCKS_LIMIT: usize = 8192;

/// Bytes of a failure's message.
const MESSAGE_LIMIT: usize = 1024;

const REQUEST_HEAD_BYTES: usize = 32;
const BLOCK_BYTES: usize = 21;

/// Largest request taken.
pub(crate) const REQUEST_LIMIT: usize = REQUEST_HEAD_BYTES + BLOCKS_LIMIT * BLOCK_BYTES;

/// Segments `segments` of each of `blocks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) blocks: Vec<BlockId>,
    pub(crate) segments: Range<u32>,
    /// Where to begin in the first block: a segment, and a byte of it as it is stored.
    pub(crate) from: (u32, u64),
    /// The answer ends after so many stored bytes.
    pub(crate) limit: u64,
}

/// One part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `length` bytes of a segment follow; `rest` come after them, in another answer. `block` is the
    /// place in the request.
    Segment { block: u32, segment: u32, length: u64, rest: u64 },
    /// A block could not be given.
    Failed { block: u32, corrupt: bool, message: String },
    /// The answer is complete.
    End,
}

const SHUFFLE: u8 = 0;
const BROADCAST: u8 = 1;
const RESULT: u8 = 2;

const PART_SEGMENT: u8 = 1;
const PART_FAILED: u8 = 2;
const PART_END: u8 = 3;

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Request {
    /// Length and request.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = REQUEST_HEAD_BYTES + self.blocks.len() * BLOCK_BYTES;
        let mut out = Vec::with_capacity(4 + length);
        out.extend_from_slice(&(length as u32).to_be_bytes());
        out.extend_from_slice(&self.segments.start.to_be_bytes());
        out.extend_from_slice(&self.segments.end.to_be_bytes());
        out.extend_from_slice(&self.from.0.to_be_bytes());
        out.extend_from_slice(&self.from.1.to_be_bytes());
        out.extend_from_slice(&self.limit.to_be_bytes());
        out.extend_from_slice(&(self.blocks.len() as u32).to_be_bytes());
        for block in &self.blocks {
            let (kind, a, b, c) = match *block {
                BlockId::Shuffle { shuffle, map_partition, task } => {
                    (SHUFFLE, shuffle, map_partition, task)
                }
                BlockId::Broadcast { id } => (BROADCAST, id, 0, 0),
                BlockId::Result { task } => (RESULT, task, 0, 0),
            };
            out.push(kind);
            out.extend_from_slice(&a.to_be_bytes());
            out.extend_from_slice(&b.to_be_bytes());
            out.extend_from_slice(&c.to_be_bytes());
        }
        out
    }

    /// The next request; `None` if the client is gone.
    pub(crate) async fn read(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let length = match input.read_u32().await {
            Ok(length) => length as usize,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        if !(REQUEST_HEAD_BYTES..=REQUEST_LIMIT).contains(&length) {
            return Err(invalid("request of impossible length"));
        }
        let mut bytes = vec![0; length];
        input.read_exact(&mut bytes).await?;
        Self::decode(&bytes).map(Some)
    }

    fn decode(bytes: &[u8]) -> io::Result<Self> {
        let mut input = bytes;
        let start = take_u32(&mut input)?;
        let end = take_u32(&mut input)?;
        let from = (take_u32(&mut input)?, u64::from_be_bytes(take(&mut input)?));
        let limit = u64::from_be_bytes(take(&mut input)?);
        let count = take_u32(&mut input)? as usize;
        if input.len() != count * BLOCK_BYTES {
            return Err(invalid("request of wrong length"));
        }
        let mut blocks = Vec::with_capacity(count);
        for _ in 0..count {
            let [kind] = take(&mut input)?;
            let a = u64::from_be_bytes(take(&mut input)?);
            let b = take_u32(&mut input)?;
            let c = u64::from_be_bytes(take(&mut input)?);
            blocks.push(match kind {
                SHUFFLE => BlockId::Shuffle { shuffle: a, map_partition: b, task: c },
                BROADCAST => BlockId::Broadcast { id: a },
                RESULT => BlockId::Result { task: a },
                _ => return Err(invalid("request for an unknown kind of block")),
            });
        }
        Ok(Self { blocks, segments: start..end, from, limit })
    }
}

impl Part {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        match self {
            Self::Segment { block, segment, length, rest } => {
                out.push(PART_SEGMENT);
                out.extend_from_slice(&block.to_be_bytes());
                out.extend_from_slice(&segment.to_be_bytes());
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&rest.to_be_bytes());
            }
            Self::Failed { block, corrupt, message } => {
                let mut end = message.len().min(MESSAGE_LIMIT);
                while !message.is_char_boundary(end) {
                    end -= 1;
                }
                out.push(PART_FAILED);
                out.extend_from_slice(&block.to_be_bytes());
                out.push(u8::from(*corrupt));
                out.extend_from_slice(&(end as u16).to_be_bytes());
                out.extend_from_slice(&message.as_bytes()[..end]);
            }
            Self::End => out.push(PART_END),
        }
        out
    }

    pub(crate) async fn read(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        match input.read_u8().await? {
            PART_SEGMENT => Ok(Self::Segment {
                block: input.read_u32().await?,
                segment: input.read_u32().await?,
                length: input.read_u64().await?,
                rest: input.read_u64().await?,
            }),
            PART_FAILED => {
                let block = input.read_u32().await?;
                let corrupt = input.read_u8().await? != 0;
                let mut message = vec![0; usize::from(input.read_u16().await?)];
                input.read_exact(&mut message).await?;
                let message = String::from_utf8_lossy(&message).into_owned();
                Ok(Self::Failed { block, corrupt, message })
            }
            PART_END => Ok(Self::End),
            _ => Err(invalid("answer of unknown kind")),
        }
    }
}

/// What the server says first.
pub(crate) fn greeting(nonce: &[u8; PROOF_BYTES]) -> Vec<u8> {
    [&MAGIC[..], &[VERSION], nonce].concat()
}

/// The server's nonce out of its first words.
pub(crate) async fn read_greeting(
    input: &mut (impl AsyncRead + Unpin),
) -> io::Result<[u8; PROOF_BYTES]> {
    let mut head = [0; 5];
    input.read_exact(&mut head).await?;
    if &head[..4] != MAGIC {
        return Err(invalid("not a block server"));
    }
    if head[4] != VERSION {
        return Err(invalid("block server of another version"));
    }
    let mut nonce = [0; PROOF_BYTES];
    input.read_exact(&mut nonce).await?;
    Ok(nonce)
}

fn take<const N: usize>(input: &mut &[u8]) -> io::Result<[u8; N]> {
    let Some((head, rest)) = input.split_first_chunk::<N>() else {
        return Err(invalid("request ends early"));
    };
    *input = rest;
    Ok(*head)
}

fn take_u32(input: &mut &[u8]) -> io::Result<u32> {
    take(input).map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block() -> impl Strategy<Value = BlockId> {
        prop_oneof![
            (any::<u64>(), any::<u32>(), any::<u64>()).prop_map(
                |(shuffle, map_partition, task)| {
                    BlockId::Shuffle { shuffle, map_partition, task }
                }
            ),
            any::<u64>().prop_map(|id| BlockId::Broadcast { id }),
            any::<u64>().prop_map(|task| BlockId::Result { task }),
        ]
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        futures::executor::block_on(future)
    }

    proptest! {
        #[test]
        fn requests_survive_the_wire(
            blocks in prop::collection::vec(block(), 0..50), start: u32, end: u32,
            from: (u32, u64), limit: u64,
        ) {
            let request = Request { blocks, segments: start..end, from, limit };
            let bytes = request.encode();
            prop_assert_eq!(now(Request::read(&mut &bytes[..])).unwrap(), Some(request));
        }

        #[test]
        fn any_bytes_are_a_request_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = now(Request::read(&mut &bytes[..]));
            let _ = now(Part::read(&mut &bytes[..]));
            let _ = now(read_greeting(&mut &bytes[..]));
        }

        #[test]
        fn failures_survive_the_wire(block: u32, corrupt: bool, message in ".{0,300}") {
            let part = Part::Failed { block, corrupt, message };
            prop_assert_eq!(now(Part::read(&mut &part.encode()[..])).unwrap(), part);
        }
    }

    #[test]
    fn an_oversized_request_is_refused_before_it_is_read() {
        let error = now(Request::read(&mut &u32::MAX.to_be_bytes()[..])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
