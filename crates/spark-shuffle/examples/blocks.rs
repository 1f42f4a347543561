//! What shuffle blocks cost, per codec: `blocks [MEGABYTES]`, one JSON line a codec. Map tasks of
//! 200 reduce partitions write rows as Arrow has them in memory (keys, decimals, dates, words), and
//! all of it is read again from the files and over the wire.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use spark_shuffle::*;

const MEGABYTES: usize = 256;
const REDUCERS: u32 = 200;
const SEGMENT_BYTES: usize = 160 * 1024;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let megabytes = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(MEGABYTES);
    let segments: Vec<Vec<u8>> = (0..REDUCERS.into()).map(segment).collect();
    let raw_per_map: usize = segments.iter().map(Vec::len).sum();
    let maps = ((megabytes << 20) / raw_per_map).max(1) as u32;
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        measure(codec, maps, raw_per_map, &segments).await?;
    }
    Ok(())
}

async fn measure(
    codec: Codec,
    maps: u32,
    raw_per_map: usize,
    segments: &[Vec<u8>],
) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let store = ShuffleStore::in_directory("bench", directory.path())?;
    let raw = (raw_per_map * maps as usize) as f64 / f64::from(1 << 20);
    let mut stored = 0;
    let mut totals = Vec::new();
    let write = Costs::begin()?;
    for map_partition in 0..maps {
        let mut writer = store.write_packed(block(map_partition), REDUCERS, codec)?;
        for (number, segment) in (0..).zip(segments) {
            writer.write(number, segment)?;
        }
        let sizes = writer.commit()?.sizes;
        stored += sizes.iter().sum::<u64>();
        totals.push(sizes);
    }
    let (_, write_cpu) = write.end()?;
    let secret = Secret::new("bench");
    let source = SingleApplication { secret: secret.clone(), store: store.clone() };
    let server = BlockServer::start(BlockServerOptions::on("127.0.0.1:0".parse()?), source).await?;
    let address: Arc<str> = server.address().to_string().into();
    let client = BlockClient::new(BlockClientOptions::new("bench", secret));
    let wire = BlockFetcher::new(client, FetchOptions::default());
    let local = wire.clone().with_local(address.clone(), store.clone());
    let mut cpu = [0.0; 2];
    for (cpu, fetcher) in cpu.iter_mut().zip([&local, &wire]) {
        let costs = Costs::begin()?;
        for reduce in 0..REDUCERS {
            let location = |(map, sizes): (u32, &Vec<u64>)| BlockLocation {
                block: block(map),
                address: address.clone(),
                bytes: sizes[reduce as usize],
            };
            let blocks = (0..).zip(&totals).map(location).collect();
            let mut chunks = fetcher.fetch(blocks, reduce..reduce + 1);
            let mut bytes = 0;
            while let Some(chunk) = chunks.next().await {
                bytes += chunk?.data.len();
            }
            assert_eq!(bytes, segments[reduce as usize].len() * maps as usize);
        }
        *cpu = costs.end()?.1;
    }
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load.split_whitespace().next().unwrap_or("0");
    writeln!(
        std::io::stdout(),
        "{{\"bench\":\"shuffle_blocks\",\"codec\":\"{codec:?}\",\"megabytes\":{raw:.0},\"ratio\":{:.2},\
         \"write_cpu_ms_per_mb\":{:.3},\"read_local_cpu_ms_per_mb\":{:.3},\
         \"read_wire_cpu_ms_per_mb\":{:.3},\"cpu_seconds\":{:.2},\"load\":{load}}}",
        raw / (stored as f64 / f64::from(1 << 20)),
        write_cpu * 1000.0 / raw,
        cpu[0] * 1000.0 / raw,
        cpu[1] * 1000.0 / raw,
        write_cpu + cpu[0] + cpu[1],
    )?;
    Ok(())
}

fn block(map_partition: u32) -> BlockId {
    BlockId::Shuffle { shuffle: 0, map_partition, task: u64::from(map_partition) }
}

/// Columns of a few thousand rows, as Arrow lays them out.
fn segment(seed: u64) -> Vec<u8> {
    let mut state = seed * 7919 + 1;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let rows = SEGMENT_BYTES / 56;
    let mut out = Vec::with_capacity(SEGMENT_BYTES + 4096);
    let mut key = 0;
    for _ in 0..rows {
        key += next() % 1000;
        out.extend_from_slice(&key.to_le_bytes());
    }
    for _ in 0..rows {
        out.extend_from_slice(&i128::from(next() % 10_000_000).to_le_bytes());
    }
    for _ in 0..rows {
        out.extend_from_slice(&((8000 + next() % 2500) as u32).to_le_bytes());
    }
    for _ in 0..rows {
        out.extend_from_slice(&(next() as f64 / 7.0).to_le_bytes());
    }
    const WORDS: [&str; 8] = [
        "furiously ",
        "special ",
        "requests ",
        "deposits ",
        "carefully ",
        "final ",
        "pending ",
        "ironic ",
    ];
    while out.len() < SEGMENT_BYTES {
        out.extend_from_slice(WORDS[next() as usize % WORDS.len()].as_bytes());
    }
    out
}

/// Wall and processor time from a moment on.
struct Costs(Instant, f64);

impl Costs {
    fn begin() -> Result<Self, Failure> {
        Ok(Self(Instant::now(), cpu_seconds()?))
    }

    fn end(self) -> Result<(f64, f64), Failure> {
        Ok((self.0.elapsed().as_secs_f64(), cpu_seconds()? - self.1))
    }
}

/// What all threads of this process took of the processors.
fn cpu_seconds() -> Result<f64, Failure> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
