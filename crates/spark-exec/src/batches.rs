//! Record batches as bytes: the segments of shuffle blocks and task results.
//!
//! A segment is a run of Arrow IPC record batch messages without a schema message: both sides know
//! the schema from the plan, and with hundreds of small segments per map task the schema would be
//! most of the bytes. Columns that need dictionaries (or other state between messages) are sent as
//! complete IPC streams instead.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::ipc::MetadataVersion;
use arrow::ipc::reader::{RecordBatchDecoder, StreamReader};
use arrow::ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, StreamWriter,
    write_message,
};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::{exec_datafusion_err, exec_err};
use datafusion::error::Result;

/// The first bytes of every IPC message.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Length prefix of a complete IPC stream, in place of a continuation marker.
const STREAM: [u8; 4] = *b"STRM";

/// Encodes batches of one schema.
pub(crate) struct BatchEncoder {
    options: IpcWriteOptions,
    context: IpcWriteContext,
    tracker: DictionaryTracker,
    stateful: bool,
}

impl BatchEncoder {
    /// Makes an encoder. Bodies are not compressed: blocks are packed as a whole, by their store.
    pub(crate) fn new(schema: &Schema) -> Self {
        Self {
            options: IpcWriteOptions::default(),
            context: IpcWriteContext::default(),
            tracker: DictionaryTracker::new(false),
            stateful: schema.fields().iter().any(|field| needs_stream(field.data_type())),
        }
    }

    /// Appends one batch.
    ///
    /// # Errors
    /// If a column cannot be encoded.
    pub(crate) fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if self.stateful {
            let mut writer = StreamWriter::try_new_with_options(
                Vec::new(),
                &batch.schema(),
                self.options.clone(),
            )?;
            writer.write(batch)?;
            let bytes = writer.into_inner()?;
            out.extend_from_slice(&STREAM);
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(&bytes);
            return Ok(());
        }
        let (_, message) = IpcDataGenerator::default().encode(
            batch,
            &mut self.tracker,
            &self.options,
            &mut self.context,
        )?;
        write_message(out, message, &self.options)?;
        Ok(())
    }
}

fn needs_stream(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) => true,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _) => needs_stream(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| needs_stream(field.data_type())),
        DataType::Union(..) => true,
        _ => false,
    }
}

/// The bytes of a batch alone: its buffers may be parts of larger ones.
pub(crate) fn bytes_of(batch: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    batch.columns().iter().map(bytes).sum()
}

/// Decodes the batches of a segment that is in memory, without copying it.
pub(crate) struct BatchDecoder {
    schema: SchemaRef,
    bytes: Bytes,
    queued: std::vec::IntoIter<RecordBatch>,
}

impl BatchDecoder {
    /// Starts at the beginning of a segment.
    pub(crate) fn new(schema: SchemaRef, bytes: Bytes) -> Self {
        Self { schema, bytes, queued: Vec::new().into_iter() }
    }

    fn decode_next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(batch) = self.queued.next() {
            return Ok(Some(batch));
        }
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let prefix = take(&mut self.bytes, 8)?;
        let length = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]) as usize;
        if prefix[..4] == STREAM {
            let stream = take(&mut self.bytes, length)?;
            let batches = StreamReader::try_new(Cursor::new(stream), None)?
                .collect::<std::result::Result<Vec<_>, _>>()?;
            self.queued = batches.into_iter();
            return self.decode_next();
        }
        if prefix[..4] != CONTINUATION {
            return exec_err!("a block of rows is corrupt: no message where one should begin");
        }
        let metadata = take(&mut self.bytes, length)?;
        let message = arrow::ipc::root_as_message(&metadata)
            .map_err(|error| exec_datafusion_err!("a block of rows is corrupt: {error}"))?;
        let body = Buffer::from(take(&mut self.bytes, message.bodyLength() as usize)?);
        let Some(header) = message.header_as_record_batch() else {
            return exec_err!("a block of rows is corrupt: a message is not a batch");
        };
        let dictionaries = HashMap::new();
        let version = MetadataVersion::V5;
        let decoder = RecordBatchDecoder::try_new(
            &body,
            header,
            Arc::clone(&self.schema),
            &dictionaries,
            &version,
        )?;
        Ok(Some(decoder.read_record_batch()?))
    }
}

impl Iterator for BatchDecoder {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.decode_next().transpose()
    }
}

fn take(bytes: &mut Bytes, length: usize) -> Result<Bytes> {
    if bytes.len() < length {
        return exec_err!(
            "a block of rows is corrupt: it ends {} bytes early",
            length - bytes.len()
        );
    }
    Ok(bytes.split_to(length))
}

/// The length of the message at the start of `data`; `None` if its head is not all there.
pub(crate) fn message_length(data: &[u8]) -> Result<Option<usize>> {
    let Some((head, rest)) = data.split_at_checked(8) else { return Ok(None) };
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if head[..4] == STREAM {
        return Ok(Some(8 + length));
    }
    if head[..4] != CONTINUATION {
        return exec_err!("a block of rows is corrupt: no message where one should begin");
    }
    let Some(metadata) = rest.get(..length) else { return Ok(None) };
    let message = arrow::ipc::root_as_message(metadata)
        .map_err(|error| exec_datafusion_err!("a block of rows is corrupt: {error}"))?;
    Ok(Some(8 + length + message.bodyLength() as usize))
}

/// Reads the next message of a segment in a file as bytes for a [`BatchDecoder`]; `None` at the end.
pub(crate) fn read_message(reader: &mut impl Read) -> Result<Option<Bytes>> {
    let mut bytes = vec![0; 8];
    match reader.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    loop {
        let start = bytes.len();
        let end = match message_length(&bytes)? {
            Some(length) => length,
            None => 8 + u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize,
        };
        if end == start {
            return Ok(Some(bytes.into()));
        }
        bytes.resize(end, 0);
        reader.read_exact(&mut bytes[start..])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, DictionaryArray, Int32Array, ListArray, StringArray};
    use arrow::datatypes::{Field, Int32Type};

    fn round_trip(batch: &RecordBatch) {
        let mut encoder = BatchEncoder::new(&batch.schema());
        let mut bytes = Vec::new();
        encoder.encode(batch, &mut bytes).unwrap();
        encoder.encode(&batch.slice(1, 2), &mut bytes).unwrap();
        let decoded = BatchDecoder::new(batch.schema(), bytes.clone().into())
            .collect::<Result<Vec<_>>>()
            .unwrap();
        assert_eq!(decoded, [batch.clone(), batch.slice(1, 2)]);
        let mut file = bytes.as_slice();
        let mut read = Vec::new();
        while let Some(message) = read_message(&mut file).unwrap() {
            read.extend(BatchDecoder::new(batch.schema(), message).map(Result::unwrap));
        }
        assert_eq!(read, decoded);
    }

    fn batch() -> RecordBatch {
        let numbers = Int32Array::from(vec![Some(1), None, Some(3)]);
        let texts = StringArray::from(vec![Some("a"), Some("bc"), None]);
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
        ]);
        RecordBatch::try_from_iter([
            ("n", Arc::new(numbers) as Arc<dyn Array>),
            ("t", Arc::new(texts)),
            ("l", Arc::new(lists)),
        ])
        .unwrap()
    }

    #[test]
    fn batches_come_back() {
        round_trip(&batch());
    }

    #[test]
    fn dictionaries_come_back() {
        let column: DictionaryArray<Int32Type> = ["x", "y", "x"].into_iter().collect();
        let schema = Schema::new(vec![Field::new("d", column.data_type().clone(), true)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap();
        round_trip(&batch);
    }

    #[test]
    fn a_batch_without_columns_keeps_its_rows() {
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(7));
        let batch =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        round_trip(&batch);
    }

    #[test]
    fn a_cut_segment_is_an_error() {
        let mut bytes = Vec::new();
        let batch = batch();
        BatchEncoder::new(&batch.schema()).encode(&batch, &mut bytes).unwrap();
        bytes.truncate(bytes.len() - 3);
        assert!(BatchDecoder::new(batch.schema(), bytes.into()).next().unwrap().is_err());
    }
}
