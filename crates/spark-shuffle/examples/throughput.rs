//! How fast blocks are written, read from the own store and fetched over loopback:
//! `throughput [MAPS [REDUCES [BYTES]]]`, one JSON line.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use futures::StreamExt;
use spark_shuffle::*;

#[tokio::main]
async fn main() -> Result<()> {
    let number = |at: usize, default: u64| {
        std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (maps, reduces, bytes) = (number(1, 200), number(2, 200), number(3, 2048));
    let directory = tempfile::tempdir()?;
    let store = ShuffleStore::in_directory("bench", directory.path())?;
    let secret = Secret::new("bench");
    let source = SingleApplication { secret: secret.clone(), store: store.clone() };
    let server = BlockServer::start(BlockServerOptions::on("127.0.0.1:0".parse()?), source).await?;
    let address: Arc<str> = server.address().to_string().into();

    let segment = vec![7_u8; bytes as usize];
    let started = Instant::now();
    for map in 0..maps {
        let mut writer = store.write(block(map), reduces as u32)?;
        for reduce in 0..reduces {
            writer.write(reduce as u32, &segment)?;
        }
        writer.commit()?;
    }
    let write = started.elapsed().as_secs_f64();

    let client = BlockClient::new(BlockClientOptions::new("bench", secret));
    let remote = BlockFetcher::new(client, FetchOptions::default());
    let local = remote.clone().with_local(address.clone(), store.clone());
    let mut seconds = [0.0; 2];
    for (fetcher, seconds) in [local, remote].iter().zip(&mut seconds) {
        let started = Instant::now();
        for reduce in 0..reduces as u32 {
            let at = |map| BlockLocation { block: block(map), address: address.clone(), bytes };
            let mut chunks = fetcher.fetch((0..maps).map(at).collect(), reduce..reduce + 1);
            while let Some(chunk) = chunks.next().await {
                chunk?;
            }
        }
        *seconds = started.elapsed().as_secs_f64();
    }
    let megabytes = (maps * reduces * bytes) as f64 / 1e6;
    writeln!(
        std::io::stdout(),
        "{{\"bench\":\"shuffle_blocks\",\"maps\":{maps},\"reduces\":{reduces},\"segment_bytes\":{bytes},\
         \"write_mb_per_second\":{:.0},\"local_mb_per_second\":{:.0},\"remote_mb_per_second\":{:.0},\
         \"local_micros_per_segment\":{:.2},\"remote_micros_per_segment\":{:.2}}}",
        megabytes / write,
        megabytes / seconds[0],
        megabytes / seconds[1],
        seconds[0] * 1e6 / (maps * reduces) as f64,
        seconds[1] * 1e6 / (maps * reduces) as f64,
    )?;
    Ok(())
}

fn block(map: u64) -> BlockId {
    BlockId::Shuffle { shuffle: 0, map_partition: map as u32, task: map }
}
