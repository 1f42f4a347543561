//! Fetching, over sockets and past them.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use proptest::prelude::*;
use spark_shuffle::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::store::data_file;
use crate::{APPLICATION, Executor, block, client, fetcher, gather, pattern, secret, serve, write};

/// A segment of one frame is this much larger in its file.
const FRAME_HEADER_BYTES: u64 = 12;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_written_is_fetched_whole_and_once(
        sizes in prop::collection::vec(prop::collection::vec(0_usize..3000, 5), 1..12),
        executors in 1_usize..4,
        start in 0_u32..5, width in 1_u32..5,
        in_flight in prop_oneof![Just(1_u64), Just(4096), Just(1 << 20)],
        requests in 1_usize..4, per_address in 1_usize..4,
    ) {
        runtime().block_on(async {
            let mut all = Vec::new();
            for _ in 0..executors {
                all.push(Executor::start().await);
            }
            let mut expected = Vec::new();
            let mut blocks = Vec::new();
            let mut stored = 0;
            let segments = start..(start + width).min(5);
            for (map, sizes) in (0..).zip(&sizes) {
                let executor = &all[map as usize % executors];
                let data: Vec<Vec<u8>> =
                    (0..).zip(sizes).map(|(r, s)| pattern(u64::from(map) * 10 + r, *s)).collect();
                let committed = write(&executor.store, block(map), &data);
                let mut bytes = 0;
                for segment in segments.clone() {
                    bytes += committed.sizes[segment as usize];
                    let data = &data[segment as usize];
                    if !data.is_empty() {
                        expected.push((block(map), segment, data.clone()));
                    }
                }
                stored += bytes;
                blocks.push(executor.at(block(map), bytes));
            }
            let options = FetchOptions {
                max_bytes_in_flight: in_flight,
                max_requests_in_flight: requests,
                max_blocks_in_flight_per_address: per_address,
                ..FetchOptions::default()
            };
            // The first executor's blocks go past the socket.
            let fetcher = BlockFetcher::new(client(), options)
                .with_local(all[0].address(), all[0].store.clone());
            let fetched = gather(fetcher.fetch(blocks, segments)).await.unwrap();
            expected.sort();
            assert_eq!(fetched, expected);
            let statistics = fetcher.statistics();
            assert_eq!(statistics.local_bytes + statistics.remote_bytes, stored);
        });
    }
}

#[tokio::test]
async fn a_large_segment_comes_in_pieces_both_ways() {
    let executor = Executor::start().await;
    let large = pattern(1, 3 * CHUNK_BYTES as usize + 12_345);
    let segments = [pattern(2, 10), large.clone(), pattern(3, 10)];
    let bytes = write(&executor.store, block(0), &segments).sizes.iter().sum();
    let all: Vec<_> = (0..).zip(&segments).map(|(n, data)| (block(0), n, data.clone())).collect();
    let remote = fetcher();
    let local = fetcher().with_local(executor.address(), executor.store.clone());
    for fetcher in [&remote, &local] {
        let fetched = gather(fetcher.fetch(vec![executor.at(block(0), bytes)], 0..3)).await;
        assert_eq!(fetched.unwrap(), all);
    }
    assert_eq!((remote.statistics().remote_bytes, remote.statistics().local_bytes), (bytes, 0));
    assert_eq!((local.statistics().remote_bytes, local.statistics().local_bytes), (0, bytes));
}

#[tokio::test]
async fn a_slow_reader_holds_the_servers_back() {
    let executor = Executor::start().await;
    let size = 64 * 1024;
    let blocks: Vec<BlockLocation> = (0..64)
        .map(|map| {
            write(&executor.store, block(map), &[pattern(u64::from(map), size)]);
            executor.at(block(map), size as u64)
        })
        .collect();
    let options = FetchOptions { max_bytes_in_flight: 256 * 1024, ..FetchOptions::default() };
    let fetcher = BlockFetcher::new(client(), options);
    let mut stream = fetcher.fetch(blocks, 0..1);
    stream.next().await.unwrap().unwrap();
    // Give the fetch every chance to run ahead.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ahead = fetcher.statistics().remote_bytes;
    assert!(ahead <= 6 * 64 * 1024, "{ahead} bytes fetched for one taken");
    assert_eq!(stream.count().await, 63);
}

#[tokio::test]
async fn a_missing_or_corrupt_block_names_itself() {
    let executor = Executor::start().await;
    write(&executor.store, block(0), &[pattern(0, 5000)]);
    let missing = gather(fetcher().fetch(vec![executor.at(block(7), 1)], 0..1)).await.unwrap_err();
    assert_eq!(missing.block, block(7));
    assert!(matches!(missing.kind, FetchErrorKind::Missing(_)) && !missing.address_lost());

    let path = data_file(&executor.store);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2500] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let requests = fetcher();
    gather(requests.fetch(vec![executor.at(block(0), 5000)], 0..1)).await.unwrap_err();
    assert_eq!(requests.statistics().remote_requests, 2, "corrupt bytes are fetched once more");
    let local = fetcher().with_local(executor.address(), executor.store.clone());
    for fetcher in [fetcher(), local] {
        let error =
            gather(fetcher.fetch(vec![executor.at(block(0), 5000)], 0..1)).await.unwrap_err();
        assert!(matches!(error.kind, FetchErrorKind::Corrupt(_)), "{error}");
        assert_eq!((error.block, &error.address), (block(0), &executor.address()));
    }
    drop(executor.directory);
}

#[tokio::test]
async fn a_truncated_file_is_corrupt() {
    let executor = Executor::start().await;
    write(&executor.store, block(0), &[pattern(0, 5000)]);
    std::fs::File::options()
        .write(true)
        .open(data_file(&executor.store))
        .unwrap()
        .set_len(3000)
        .unwrap();
    let error = gather(fetcher().fetch(vec![executor.at(block(0), 5000)], 0..1)).await.unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn an_empty_answer_where_bytes_were_promised_is_corrupt() {
    let executor = Executor::start().await;
    write(&executor.store, block(0), &[vec![], pattern(0, 10)]);
    let local = fetcher().with_local(executor.address(), executor.store.clone());
    for fetcher in [fetcher(), local] {
        let error = gather(fetcher.fetch(vec![executor.at(block(0), 10)], 0..1)).await.unwrap_err();
        assert!(matches!(error.kind, FetchErrorKind::Corrupt(_)), "{error}");
    }
    // Blocks known to be empty are not asked for at all.
    let nothing = gather(fetcher().fetch(vec![executor.at(block(99), 0)], 0..1)).await;
    assert_eq!(nothing.unwrap(), []);
}

#[tokio::test]
async fn a_server_that_is_gone_loses_its_address() {
    let executor = Executor::start().await;
    write(&executor.store, block(0), &[pattern(0, 10)]);
    let location = executor.at(block(0), 10);
    let fetcher = fetcher();
    gather(fetcher.fetch(vec![location.clone()], 0..1)).await.unwrap();
    executor.server.shutdown().await;
    let error = gather(fetcher.fetch(vec![location], 0..1)).await.unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Unreachable(_)), "{error}");
    assert!(error.address_lost());
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_opened_again() {
    let executor = Executor::start().await;
    write(&executor.store, block(0), &[pattern(0, 10)]);
    let location = executor.at(block(0), 10);
    let address = executor.address().to_string();
    let fetcher = fetcher();
    gather(fetcher.fetch(vec![location.clone()], 0..1)).await.unwrap();
    executor.server.shutdown().await;
    let _again = serve(&executor.store, &address).await;
    gather(fetcher.fetch(vec![location], 0..1)).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_without_doubling() {
    let executor = Executor::start().await;
    let blocks: Vec<u32> = (0..20).collect();
    for map in &blocks {
        write(&executor.store, block(*map), &[pattern(u64::from(*map), 3000), pattern(1, 3000)]);
    }
    let limits = vec![Some(40_000), Some(25_000), None];
    let (front, middleman) = middleman(executor.address(), limits).await;
    let at = |map: &u32| BlockLocation { block: block(*map), address: front.clone(), bytes: 6000 };
    let fetched = gather(fetcher().fetch(blocks.iter().map(at).collect(), 0..2)).await.unwrap();
    assert_eq!(fetched.len(), 40);
    for (id, segment, data) in fetched {
        let BlockId::Shuffle { map_partition, .. } = id else { panic!("{id}") };
        let seed = if segment == 0 { u64::from(map_partition) } else { 1 };
        assert_eq!(data, pattern(seed, 3000));
    }
    middleman.abort();
}

#[tokio::test]
async fn a_wrong_secret_or_application_is_refused() {
    let executor = Executor::start().await;
    write(&executor.store, block(0), &[pattern(0, 10)]);
    for options in [
        BlockClientOptions::new(APPLICATION, Secret::new("another secret")),
        BlockClientOptions::new("another application", secret()),
    ] {
        let fetcher = BlockFetcher::new(BlockClient::new(options), FetchOptions::default());
        let error = gather(fetcher.fetch(vec![executor.at(block(0), 10)], 0..1)).await.unwrap_err();
        assert!(matches!(error.kind, FetchErrorKind::Refused(_)), "{error}");
    }
}

#[tokio::test]
async fn a_stranger_gets_a_greeting_and_nothing_else() {
    let executor = Executor::start().await;
    for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 100], &[0, 3, b'a', b'p', b'p']] {
        let mut socket = TcpStream::connect(executor.server.address()).await.unwrap();
        socket.write_all(words).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        // Magic, version, nonce, and at most one byte that says no.
        assert!(answer.len() <= 38, "{} bytes for a stranger", answer.len());
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_the_secret_is_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Arc<str> = listener.local_addr().unwrap().to_string().into();
    let impostor = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut greeting = b"FSBS\x02".to_vec();
        greeting.extend_from_slice(&[7; 32]);
        socket.write_all(&greeting).await.unwrap();
        let mut words = vec![0; 2 + APPLICATION.len() + 64];
        socket.read_exact(&mut words).await.unwrap();
        let mut yes = vec![1];
        yes.extend_from_slice(&[0; 32]);
        socket.write_all(&yes).await.unwrap();
    });
    let location = BlockLocation { block: block(0), address, bytes: 1 };
    let error = gather(fetcher().fetch(vec![location], 0..1)).await.unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Refused(_)), "{error}");
    impostor.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_and_writers_at_once() {
    let executors = [Executor::start().await, Executor::start().await];
    let fetcher = fetcher().with_local(executors[0].address(), executors[0].store.clone());
    let (maps, reduces) = (40_u32, 16_u32);
    let mut writers = tokio::task::JoinSet::new();
    for map in 0..maps {
        let store = executors[map as usize % 2].store.clone();
        writers.spawn_blocking(move || {
            let segments: Vec<Vec<u8>> =
                (0..reduces).map(|r| pattern(u64::from(map * 100 + r), 2000)).collect();
            write(&store, block(map), &segments);
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let mut readers = tokio::task::JoinSet::new();
    for reduce in 0..reduces {
        let blocks =
            (0..maps).map(|map| executors[map as usize % 2].at(block(map), 2000)).collect();
        let stream = fetcher.fetch(blocks, reduce..reduce + 1);
        readers.spawn(async move { (reduce, gather(stream).await.unwrap()) });
    }
    while let Some(done) = readers.join_next().await {
        let (reduce, segments) = done.unwrap();
        assert_eq!(segments.len(), maps as usize);
        for (map, (id, segment, data)) in (0..).zip(segments) {
            assert_eq!((id, segment), (block(map), reduce));
            assert_eq!(data, pattern(u64::from(map * 100 + reduce), 2000));
        }
    }
    let all = u64::from(maps * reduces) * (2000 + FRAME_HEADER_BYTES);
    let statistics = fetcher.statistics();
    assert_eq!((statistics.local_bytes, statistics.remote_bytes), (all / 2, all / 2));
}

#[tokio::test]
async fn a_dropped_stream_stops_its_work() {
    let executor = Executor::start().await;
    let size = 1024 * 1024;
    let blocks: Vec<BlockLocation> = (0..32)
        .map(|map| {
            write(&executor.store, block(map), &[pattern(0, size)]);
            executor.at(block(map), size as u64)
        })
        .collect();
    let fetcher = fetcher();
    let mut stream = fetcher.fetch(blocks, 0..1);
    stream.next().await.unwrap().unwrap();
    drop(stream);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let then = fetcher.statistics().remote_bytes;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fetcher.statistics().remote_bytes, then);
    assert!(then < 32 * size as u64);
}

/// A middleman who cuts each connection after so many bytes of its answer; `None` is never.
async fn middleman(
    back: Arc<str>,
    limits: Vec<Option<u64>>,
) -> (Arc<str>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front: Arc<str> = listener.local_addr().unwrap().to_string().into();
    let task = tokio::spawn(async move {
        let mut limits = limits.into_iter();
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&*back).await.unwrap();
            let limit = limits.next().flatten().unwrap_or(u64::MAX);
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                tokio::spawn(
                    async move { tokio::io::copy(&mut from_client, &mut to_server).await },
                );
                let _ = tokio::io::copy(&mut from_server.take(limit), &mut to_client).await;
            });
        }
    });
    (front, task)
}

#[tokio::test]
async fn a_large_segment_that_breaks_off_goes_on_from_there() {
    let executor = Executor::start().await;
    let large = pattern(5, 9 * 1024 * 1024);
    let bytes =
        write(&executor.store, block(0), &[large.clone(), pattern(1, 10)]).sizes.iter().sum();
    let limits = vec![Some(5_000_000), Some(2_000_000), None];
    let (front, task) = middleman(executor.address(), limits).await;
    let fetcher = fetcher();
    let location = BlockLocation { block: block(0), address: front, bytes };
    let fetched = gather(fetcher.fetch(vec![location], 0..2)).await.unwrap();
    assert_eq!(fetched, [(block(0), 0, large), (block(0), 1, pattern(1, 10))]);
    let statistics = fetcher.statistics();
    assert_eq!((statistics.remote_requests, statistics.remote_bytes), (3, bytes));
    task.abort();
}

#[tokio::test]
async fn packed_blocks_are_smaller_on_the_wire_and_the_same_to_the_reader() {
    let executor = Executor::start().await;
    let text: Vec<u8> = b"a row of a table; ".iter().copied().cycle().take(6_000_000).collect();
    for (map, codec) in (0..).zip([Codec::None, Codec::Lz4, Codec::Zstd]) {
        let mut writer = executor.store.write_packed(block(map), 2, codec).unwrap();
        writer.write(0, b"short").unwrap();
        for piece in text.chunks(700_000) {
            writer.write(1, piece).unwrap();
        }
        let committed = writer.commit().unwrap();
        let stored: u64 = committed.sizes.iter().sum();
        assert_eq!(stored < 200_000, codec != Codec::None, "{codec:?}: {stored}");
        let local = fetcher().with_local(executor.address(), executor.store.clone());
        for fetcher in [fetcher(), local] {
            let blocks = vec![executor.at(block(map), stored)];
            let fetched = gather(fetcher.fetch(blocks, 0..2)).await.unwrap();
            assert_eq!(fetched[0].2, b"short");
            assert!(fetched[1].2 == text);
            let statistics = fetcher.statistics();
            assert_eq!(statistics.local_bytes + statistics.remote_bytes, stored);
        }
    }
}

#[tokio::test]
async fn blocks_of_other_executors_on_the_host_are_read_from_their_files() {
    let directory = tempfile::tempdir().unwrap();
    let ours = ShuffleStore::in_directory(APPLICATION, directory.path()).unwrap();
    let theirs = ShuffleStore::in_directory(APPLICATION, directory.path()).unwrap();
    let elsewhere = Executor::start().await;
    for (map, store) in [(0, &ours), (1, &theirs), (2, &elsewhere.store)] {
        write(store, block(map), &[pattern(map.into(), 1000)]);
    }
    // Nobody listens there: what is read from files asks nobody.
    let near: Arc<str> = "127.0.0.1:1".into();
    let at = |map, address: Arc<str>| BlockLocation { block: block(map), address, bytes: 1012 };
    let fetcher = fetcher().with_host("127.0.0.1:2", ours.clone());
    let blocks = vec![at(0, near.clone()), at(1, near.clone()), at(2, elsewhere.address())];
    let fetched = gather(fetcher.fetch(blocks, 0..1)).await.unwrap();
    assert_eq!(fetched.len(), 3);
    let statistics = fetcher.statistics();
    assert_eq!((statistics.local_segments, statistics.remote_segments), (2, 1));
    // Another application's block of the same name is not ours.
    drop(theirs);
    let stranger = ShuffleStore::in_directory("another", directory.path()).unwrap();
    write(&stranger, block(3), &[pattern(0, 10)]);
    let error = gather(fetcher.fetch(vec![at(3, near)], 0..1)).await.unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Unreachable(_)), "{error}");
}
