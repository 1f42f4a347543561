//! Tests of the store and of the way between server and fetcher.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod fetch;
mod pull;
mod service;
mod store;

use std::sync::Arc;

use futures::StreamExt;
use spark_shuffle::*;
use tempfile::TempDir;

/// The application of these tests.
pub(crate) const APPLICATION: &str = "app-20261122-0001";

/// An executor: a store and its server.
pub(crate) struct Executor {
    pub(crate) directory: TempDir,
    pub(crate) store: ShuffleStore,
    pub(crate) server: BlockServer,
}

impl Executor {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ShuffleStore::in_directory(APPLICATION, directory.path()).unwrap();
        let server = serve(&store, "127.0.0.1:0").await;
        Self { directory, store, server }
    }

    pub(crate) fn address(&self) -> Arc<str> {
        self.server.address().to_string().into()
    }

    /// Where a block of this executor is.
    pub(crate) fn at(&self, block: BlockId, bytes: u64) -> BlockLocation {
        BlockLocation { block, address: self.address(), bytes }
    }
}

pub(crate) async fn serve(store: &ShuffleStore, address: &str) -> BlockServer {
    let source = SingleApplication { secret: secret(), store: store.clone() };
    BlockServer::start(BlockServerOptions::on(address.parse().unwrap()), source).await.unwrap()
}

pub(crate) fn secret() -> Secret {
    Secret::new("the secret of the tests")
}

pub(crate) fn client() -> BlockClient {
    BlockClient::new(BlockClientOptions::new(APPLICATION, secret()))
}

pub(crate) fn fetcher() -> BlockFetcher {
    let retry_wait = std::time::Duration::from_millis(1);
    BlockFetcher::new(client(), FetchOptions { retry_wait, ..FetchOptions::default() })
}

pub(crate) fn block(map_partition: u32) -> BlockId {
    BlockId::Shuffle { shuffle: 0, map_partition, task: u64::from(map_partition) + 100 }
}

/// Writes a block of these segments.
pub(crate) fn write(store: &ShuffleStore, block: BlockId, segments: &[Vec<u8>]) -> CommittedBlock {
    let mut writer = store.write(block, segments.len() as u32).unwrap();
    for (number, segment) in (0..).zip(segments) {
        writer.write(number, segment).unwrap();
    }
    writer.commit().unwrap()
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|i| ((i * 31 + seed * 7) ^ (i >> 8)) as u8).collect()
}

/// Reads a stream to its end, the pieces of each segment put together.
pub(crate) async fn gather(
    mut stream: BlockStream,
) -> Result<Vec<(BlockId, u32, Vec<u8>)>, FetchError> {
    let mut segments = Vec::new();
    let mut open: Option<(BlockId, u32, Vec<u8>)> = None;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        let (block, segment, mut data) =
            open.take().unwrap_or_else(|| (chunk.block, chunk.segment, Vec::new()));
        assert_eq!(
            (block, segment),
            (chunk.block, chunk.segment),
            "pieces come one after the other"
        );
        data.extend_from_slice(&chunk.data);
        if chunk.last {
            segments.push((block, segment, data));
        } else {
            open = Some((block, segment, data));
        }
    }
    assert!(open.is_none(), "the stream ended inside a segment");
    segments.sort();
    Ok(segments)
}
