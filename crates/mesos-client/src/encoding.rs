//! The two encodings of the v1 API.

use bytes::Bytes;
use http::HeaderValue;
use mesos_api::json::JsonValue;
use prost::Message;

use crate::subscription::Problem;

/// How calls and events are written. Protobuf is shorter; JSON is for the eyes, and for peers that speak
/// nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// `application/x-protobuf`.
    #[default]
    Protobuf,
    /// `application/json`, in the dialect of Mesos.
    Json,
}

impl Encoding {
    /// The value of `Content-Type` and `Accept`.
    #[must_use]
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }

    /// Writes a message.
    #[must_use]
    pub fn encode<M: Message + JsonValue>(self, message: &M) -> Vec<u8> {
        match self {
            Self::Protobuf => message.encode_to_vec(),
            Self::Json => message.to_json().to_string().into_bytes(),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// A sentence on what is wrong with the bytes.
    pub fn decode<M: Message + JsonValue + Default>(self, bytes: Bytes) -> Result<M, String> {
        match self {
            Self::Protobuf => M::decode(bytes).map_err(|error| error.to_string()),
            Self::Json => {
                let json = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
                M::from_json(&json).map_err(|error| error.to_string())
            }
        }
    }

    /// Reads a record of an event stream.
    pub(crate) fn event<M: Message + JsonValue + Default>(
        self,
        record: Bytes,
    ) -> Result<M, Problem> {
        self.decode(record)
            .map_err(|problem| Problem::Closed(format!("unreadable event: {problem}")))
    }
}
