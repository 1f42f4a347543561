//! Results of partitions, as they wait in the driver for their turn.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use spark_shuffle::{BlockFetcher, BlockId, BlockLocation};
use tempfile::NamedTempFile;
use tokio::sync::Semaphore;

use crate::batches::{BatchDecoder, read_message};
use crate::fetch;

/// Large results that come in at one time; others wait at their executors.
const FETCHES: usize = 4;

/// Bytes on the way for each of them: they go to a file as they come, so that more would only lie in memory.
const BYTES_IN_FLIGHT: u64 = 8 << 20;

/// Brings large results to the driver, a bounded number of bytes at a time however many tasks end together.
#[derive(Debug, Clone)]
pub(super) struct ResultFetcher {
    fetcher: BlockFetcher,
    running: Arc<Semaphore>,
}

/// The encoded batches of one result partition.
#[derive(Debug)]
pub(crate) enum ResultData {
    /// A small one.
    Inline(Bytes),
    /// One too large for memory, in a file that goes with the value.
    File(NamedTempFile),
}

impl ResultFetcher {
    pub(super) fn new(fetcher: &BlockFetcher) -> Self {
        Self {
            fetcher: fetcher.with_bytes_in_flight(BYTES_IN_FLIGHT),
            running: Arc::new(Semaphore::new(FETCHES)),
        }
    }

    /// Brings a large result to the driver before the task counts as done: from then on its executor
    /// may go.
    pub(super) async fn fetch(
        &self,
        address: Arc<str>,
        task: u64,
        bytes: u64,
        directory: PathBuf,
    ) -> Result<ResultData> {
        let _running = self.running.acquire().await;
        let location = BlockLocation { block: BlockId::Result { task }, address, bytes };
        let mut file = NamedTempFile::with_prefix_in("result-", &directory).map_err(|error| {
            exec_datafusion_err!(
                "results cannot wait in {}: {error}; set spark.local.dir",
                directory.display()
            )
        })?;
        let mut messages = fetch::messages(&self.fetcher, vec![location], 0..1);
        while let Some(piece) = messages.next().await {
            let piece = piece?;
            file = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file))
                .await
                .map_err(|error| exec_datafusion_err!("a result was not written: {error}"))??;
        }
        Ok(ResultData::File(file))
    }
}

impl ResultData {
    /// Its size.
    pub(super) fn bytes(&self) -> Result<u64> {
        Ok(match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File(file) => file.as_file().metadata()?.len(),
        })
    }

    /// The batches, read bit by bit.
    pub(crate) fn batches(self, schema: SchemaRef) -> BoxStream<'static, Result<RecordBatch>> {
        match self {
            Self::Inline(bytes) => stream::iter(BatchDecoder::new(schema, bytes)).boxed(),
            Self::File(file) => match file.reopen() {
                Ok(opened) => {
                    let reader = Reader { reader: BufReader::new(opened), schema, _file: file };
                    stream::iter(reader).boxed()
                }
                Err(error) => stream::iter([Err(error.into())]).boxed(),
            },
        }
    }
}

struct Reader {
    reader: BufReader<File>,
    schema: SchemaRef,
    _file: NamedTempFile,
}

impl Iterator for Reader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match read_message(&mut self.reader) {
            Ok(Some(message)) => BatchDecoder::new(Arc::clone(&self.schema), message).next(),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
