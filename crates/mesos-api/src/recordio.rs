//! RecordIO, the framing of Mesos' event streams: the length in decimal ASCII, a newline, the bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Longest record taken by default. Offers of ten thousand agents with attributes stay below it.
pub const MAXIMUM_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// Most digits of a length; more would overflow any sensible record.
const MAXIMUM_LENGTH_DIGITS: usize = 19;

/// Why a stream is not RecordIO.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordError {
    /// The length line holds something else.
    #[error("record length is not a decimal number: {0:?}")]
    InvalidLength(String),
    /// The record is longer than the reader takes.
    #[error("record of {length} bytes exceeds the limit of {limit} bytes")]
    TooLong {
        /// Announced length.
        length: u64,
        /// What the reader takes.
        limit: usize,
    },
}

/// Frames one record.
#[must_use]
pub fn encode(record: &[u8]) -> Bytes {
    let length = record.len().to_string();
    let mut framed = BytesMut::with_capacity(length.len() + 1 + record.len());
    framed.put_slice(length.as_bytes());
    framed.put_u8(b'\n');
    framed.put_slice(record);
    framed.freeze()
}

/// Frames one protobuf message.
#[must_use]
pub fn encode_message(message: &impl prost::Message) -> Bytes {
    encode(&message.encode_to_vec())
}

/// Cuts a byte stream, arriving in pieces of any size, into records.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    limit: usize,
    /// Length of the record being read, once its line is complete.
    length: Option<usize>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MAXIMUM_RECORD_BYTES)
    }
}

impl Decoder {
    /// Builds a decoder which refuses records longer than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit, length: None }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next complete record; `None` until more pieces arrive.
    ///
    /// # Errors
    /// [`RecordError`] if the stream is not RecordIO; the stream cannot be read further then.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, RecordError> {
        let length = match self.length {
            Some(length) => length,
            None => match self.take_length()? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        if self.buffer.len() < length {
            self.length = Some(length);
            return Ok(None);
        }
        self.length = None;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Whether the stream may end here: no record has been begun.
    #[must_use]
    pub fn is_between_records(&self) -> bool {
        self.length.is_none() && self.buffer.iter().all(|byte| *byte == b'\n')
    }

    fn take_length(&mut self) -> Result<Option<usize>, RecordError> {
        // Some senders end records with a newline: skip empty lines.
        let blank = self.buffer.iter().take_while(|byte| **byte == b'\n').count();
        self.buffer.advance(blank);
        let Some(end) =
            self.buffer.iter().take(MAXIMUM_LENGTH_DIGITS + 1).position(|b| *b == b'\n')
        else {
            return match self.buffer.len() {
                0..=MAXIMUM_LENGTH_DIGITS => Ok(None),
                _ => Err(self.invalid_length(MAXIMUM_LENGTH_DIGITS)),
            };
        };
        let length: u64 = std::str::from_utf8(&self.buffer[..end])
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.invalid_length(end))?;
        let limit = self.limit;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= limit)
            .ok_or(RecordError::TooLong { length, limit })?;
        self.buffer.advance(end + 1);
        Ok(Some(length))
    }

    fn invalid_length(&self, end: usize) -> RecordError {
        RecordError::InvalidLength(String::from_utf8_lossy(&self.buffer[..end]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(decoder: &mut Decoder) -> Result<Vec<Bytes>, RecordError> {
        let mut records = Vec::new();
        while let Some(record) = decoder.next_record()? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn frames_as_mesos_does() {
        assert_eq!(encode(b"hello"), "5\nhello");
    }

    #[test]
    fn skips_blank_lines_before_a_length() {
        let mut decoder = Decoder::default();
        decoder.push(b"\n3\nabc\n\n2\nde");
        assert_eq!(drain(&mut decoder).unwrap(), ["abc", "de"]);
        assert!(decoder.is_between_records());
    }

    #[test]
    fn refuses_what_is_no_length() {
        for text in ["abc\n", "-1\n", "+1\n", "1 \n", "12345678901234567890123"] {
            let mut decoder = Decoder::default();
            decoder.push(text.as_bytes());
            assert!(matches!(decoder.next_record(), Err(RecordError::InvalidLength(_))), "{text}");
        }
    }

    #[test]
    fn refuses_a_record_over_the_limit_before_it_arrives() {
        let mut decoder = Decoder::new(10);
        decoder.push(b"11\n");
        assert_eq!(decoder.next_record(), Err(RecordError::TooLong { length: 11, limit: 10 }));
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_records(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            step in 1usize..17,
        ) {
            let stream: Vec<u8> = records.iter().flat_map(|r| encode(r)).collect();
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for piece in stream.chunks(step) {
                decoder.push(piece);
                found.extend(drain(&mut decoder).unwrap());
            }
            prop_assert_eq!(found, records);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::new(1000);
            decoder.push(&bytes);
            let _ = drain(&mut decoder);
        }
    }
}
