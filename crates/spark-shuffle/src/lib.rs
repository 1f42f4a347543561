//! Shuffle files and their way between executors.
//!
//! * [`ShuffleStore`]: blocks on local directories, in tiers. A block is written with
//!   [`ShuffleStore::write`] (segments in order, visible after [`BlockWriter::commit`], which
//!   answers the size of each segment for the map status) and read with [`ShuffleStore::read`].
//!   Blocks are bytes: what is in them is the caller's affair.
//! * [`LocalDirectories`] and [`memory_tier`]: where these directories are.
//! * [`BlockServer`]: serves stores over TCP to those who know the application's secret.
//! * [`ShuffleService`]: serves the directories of executors that are gone, one per agent.
//! * [`BlockFetcher`]: a reduce task's view. Given blocks and their addresses it answers a
//!   [`BlockStream`] of verified bytes, the own store's without a socket. A [`FetchError`] names
//!   the block, for the scheduler's fetch failure.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use futures::StreamExt;
//! use spark_shuffle::*;
//!
//! let directory = tempfile::tempdir().unwrap();
//! let store = ShuffleStore::in_directory("app-1", directory.path()).unwrap();
//! let secret = Secret::new("the application's secret");
//! let source = SingleApplication { secret: secret.clone(), store: store.clone() };
//! let options = BlockServerOptions::on("127.0.0.1:0".parse().unwrap());
//! let server = BlockServer::start(options, source).await.unwrap();
//!
//! let block = BlockId::Shuffle { shuffle: 0, map_partition: 0, task: 7 };
//! let mut writer = store.write(block, 2).unwrap();
//! writer.write(1, b"rows for reducer 1").unwrap();
//! let bytes = writer.commit().unwrap().sizes[1];
//!
//! let client = BlockClient::new(BlockClientOptions::new("app-1", secret));
//! let fetcher = BlockFetcher::new(client, FetchOptions::default());
//! let address = server.address().to_string().into();
//! let mut chunks = fetcher.fetch(vec![BlockLocation { block, address, bytes }], 1..2);
//! let chunk = chunks.next().await.unwrap().unwrap();
//! assert_eq!((chunk.segment, &chunk.data[..], chunk.last), (1, &b"rows for reducer 1"[..], true));
//! assert!(chunks.next().await.is_none());
//! # });
//! ```

mod block;
mod blocks;
mod client;
mod directory;
mod error;
mod fetcher;
mod frame;
mod held;
mod local;
mod protocol;
mod pull;
mod queue;
mod reader;
mod remote;
mod secret;
mod server;
mod service;
mod store;
mod tiers;
mod writer;

pub use block::BlockId;
pub use blocks::{Blocks, DirectoryBlocks};
pub use client::{BlockClient, BlockClientOptions};
pub use error::{FetchError, FetchErrorKind, StoreError};
pub use fetcher::{
    BlockFetcher, BlockLocation, BlockStream, CHUNK_BYTES, FetchOptions, FetchRetries,
    FetchStatistics, FetchedChunk,
};
pub use frame::Codec;
pub use pull::CopyError;
pub use reader::{BlockReader, Segment};
pub use secret::Secret;
pub use server::{BlockServer, BlockServerOptions, BlockSource, SingleApplication};
pub use service::{
    Lifetimes, MasterView, MasterWatch, RemovalReason, ServiceError, ShuffleService,
    ShuffleServiceClient, ShuffleServiceOptions, ShuffleServiceStatistics,
};
pub use store::{ShuffleStore, StoreOptions, StoreStatistics, TierOptions};
pub use tiers::{LocalDirectories, NoMemoryTier, memory_tier};
pub use writer::{BlockWriter, CommittedBlock, SegmentWriter};
