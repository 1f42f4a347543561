//! Line-based formats: csv, json and text, read by one plan node.

mod columns;
pub(crate) mod compression;
pub(crate) mod csv;
pub(crate) mod json;
mod lines;
mod mode;
mod nested;
mod plain;
pub(crate) mod scan;
mod sink;
mod table;

use std::borrow::Cow;

use crate::error::{self, Result};
use crate::options::Options;
pub(crate) use table::{TextTable, open};

/// The `lineSep` option.
fn line_separator(options: &Options) -> Result<Option<String>> {
    match options.get("lineSep") {
        None => Ok(None),
        Some("") => Err(error::bad_option("lineSep", "", "it cannot be empty")),
        Some(text) => Ok(Some(text.to_owned())),
    }
}

/// The `encoding` option: UTF-8 (and ASCII), or ISO-8859-1.
fn is_latin1(options: &Options) -> Result<bool> {
    let text = options.first(&["encoding", "charset"]).unwrap_or("UTF-8");
    match text.to_uppercase().as_str() {
        "UTF-8" | "UTF8" | "US-ASCII" | "ASCII" => Ok(false),
        "ISO-8859-1" | "ISO8859-1" | "LATIN1" => Ok(true),
        _ => {
            Err(error::bad_option("encoding", text, "supported are UTF-8, US-ASCII and ISO-8859-1"))
        }
    }
}

/// Bytes to text; what is no UTF-8 becomes U+FFFD, as in Java.
fn decode(bytes: &[u8], latin1: bool) -> Cow<'_, str> {
    if latin1 {
        Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect())
    } else {
        String::from_utf8_lossy(bytes)
    }
}

fn decode_whole(bytes: Vec<u8>, latin1: bool) -> String {
    if latin1 {
        return bytes.iter().map(|byte| char::from(*byte)).collect();
    }
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Runs `work` for each item on as many threads as there are cores; results are in the order of the items.
fn parallel<I: Sync, T: Send>(
    items: &[I],
    work: impl Fn(usize, &I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    if threads <= 1 {
        return items.iter().enumerate().map(|(number, item)| work(number, item)).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut results: Vec<(usize, Result<T>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some(item) = items.get(number) else { return done };
                        done.push((number, work(number, item)));
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Chooses a share of the records, the same ones at each run.
struct Sampler {
    ratio: f64,
    state: u64,
}

impl Sampler {
    fn new(ratio: f64, piece: usize) -> Self {
        Self { ratio, state: 0x9e37_79b9_7f4a_7c15 ^ (piece as u64 + 1) }
    }

    fn take(&mut self) -> bool {
        if self.ratio >= 1.0 {
            return true;
        }
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let random = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (random as f64) / ((1_u64 << 53) as f64) < self.ratio
    }
}
