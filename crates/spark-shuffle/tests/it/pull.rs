//! Many blocks read side by side, a piece of each at a time.

use futures::StreamExt;
use spark_shuffle::*;

use crate::{Executor, block, fetcher, pattern, write};

const MAPS: u32 = 20;
const PIECE_BYTES: usize = 64 * 1024;

/// Streams of all maps, and what each should give.
async fn write_all(executor: &Executor) -> Vec<(BlockLocation, Vec<Vec<u8>>)> {
    let size = |map: u32, segment: u32| ((map * 7 + segment * 3) % 11) as usize * 90_000;
    (0..MAPS)
        .map(|map| {
            let segments: Vec<Vec<u8>> =
                (0..4).map(|s| pattern(u64::from(map + s), size(map, s))).collect();
            let mut writer = executor.store.write(block(map), 4).unwrap();
            for (number, segment) in (0..).zip(&segments) {
                for message in segment.chunks(30_000) {
                    writer.write(number, message).unwrap();
                }
            }
            let sizes = writer.commit().unwrap().sizes;
            (executor.at(block(map), sizes[1..4].iter().sum()), segments)
        })
        .collect()
}

#[tokio::test]
async fn a_merge_reads_all_blocks_in_turn_and_runs_ahead_on_none() {
    let executor = Executor::start().await;
    let all = write_all(&executor).await;
    let stored: u64 = all.iter().map(|(location, _)| location.bytes).sum();
    let local = fetcher().with_local(executor.address(), executor.store.clone());
    let host = fetcher().with_host(executor.address(), executor.store.clone());
    for fetcher in [fetcher(), local, host] {
        let mut streams: Vec<_> = all
            .iter()
            .map(|(location, _)| fetcher.pull(location.clone(), 1..4, PIECE_BYTES))
            .collect();
        let mut found: Vec<Vec<u8>> = vec![Vec::new(); all.len()];
        let read = || fetcher.statistics().local_bytes + fetcher.statistics().remote_bytes;
        for round in 0.. {
            let mut any = false;
            for (stream, found) in streams.iter_mut().zip(&mut found) {
                if let Some(chunk) = stream.next().await {
                    found.extend_from_slice(&chunk.unwrap().data);
                    any = true;
                }
            }
            if round == 0 {
                // A frame of small messages is 256 KiB; nobody holds more than it and two pieces.
                let most = u64::from(MAPS) * (256 * 1024 + 2 * PIECE_BYTES as u64 + 100);
                assert!(read() <= most, "{} bytes read for the first of each", read());
            }
            if !any {
                break;
            }
        }
        assert_eq!(read(), stored);
        for ((_, segments), found) in all.iter().zip(found) {
            assert!(segments[1..].concat() == found);
        }
    }
}

#[tokio::test]
async fn corrupt_missing_and_unreachable_blocks_name_themselves() {
    let executor = Executor::start().await;
    let bytes = write(&executor.store, block(0), &[pattern(0, 600_000)]).sizes[0];
    let local = fetcher().with_local(executor.address(), executor.store.clone());
    let end = async |fetcher: &BlockFetcher, map, bytes| {
        let mut stream = fetcher.pull(executor.at(block(map), bytes), 0..1, PIECE_BYTES);
        let mut last = None;
        while let Some(chunk) = stream.next().await {
            last = Some(chunk);
        }
        last.unwrap().unwrap_err()
    };
    for fetcher in [fetcher(), local.clone()] {
        let error = end(&fetcher, 5, 1).await;
        assert!(matches!(error.kind, FetchErrorKind::Missing(_)), "{error}");
    }
    let path = crate::store::data_file(&executor.store);
    let mut file = std::fs::read(&path).unwrap();
    file[450_000] ^= 4;
    std::fs::write(&path, file).unwrap();
    for fetcher in [fetcher(), local] {
        let error = end(&fetcher, 0, bytes).await;
        assert!(matches!(error.kind, FetchErrorKind::Corrupt(_)), "{error}");
        assert_eq!(error.block, block(0));
    }
    let fetcher = fetcher();
    executor.server.shutdown().await;
    let location = BlockLocation { block: block(0), address: "127.0.0.1:1".into(), bytes };
    let error = fetcher.pull(location, 0..1, PIECE_BYTES).next().await.unwrap().unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_block_is_copied_off_an_executor_that_goes() {
    let (leaving, staying) = (Executor::start().await, Executor::start().await);
    let segments = vec![pattern(1, 10), vec![], pattern(2, 5_000_000), pattern(3, 400_000)];
    let bytes = write(&leaving.store, block(0), &segments).sizes.iter().sum();
    let fetcher = fetcher();
    let location = leaving.at(block(0), bytes);
    let copied = fetcher.copy(location, 4, &staying.store, Codec::Lz4).await.unwrap();
    assert_eq!(copied.sizes.len(), 4);
    let missing = fetcher.copy(leaving.at(block(1), 1), 4, &staying.store, Codec::None).await;
    assert!(matches!(missing, Err(CopyError::Fetch(_))), "{missing:?}");
    leaving.server.shutdown().await;
    drop(leaving.store);
    let block_reader = staying.store.read(block(0)).unwrap();
    for (number, segment) in (0..).zip(&segments) {
        assert!(block_reader.read_segment(number).unwrap() == segment);
    }
    assert_eq!(staying.store.statistics().blocks, 1);
}
