//! Fuzzes decoders for a number of CPU seconds each; goes on where an earlier run stopped. One JSON line a decoder on
//! standard error, and one for all on standard output. Exit code 1 if anything broke.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use clap::Parser;
use mesos_conformance::fuzz::{decoders, fuzz};
use serde_json::json;

#[derive(Debug, Parser)]
#[command(name = "mesos-fuzz")]
struct Arguments {
    /// CPU seconds for each decoder, over all runs with this seed
    #[arg(long, default_value_t = 600.0)]
    seconds: f64,
    /// What the inputs are made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this decoder
    #[arg(long)]
    decoder: Option<String>,
    /// Where it is kept how far the decoders are
    #[arg(long)]
    states: PathBuf,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the program's answer")]
fn run() -> Result<bool> {
    let arguments = Arguments::parse();
    // Panics are caught and told; their backtraces would drown everything else.
    std::panic::set_hook(Box::new(|_| {}));
    let chosen: Vec<_> = decoders()
        .into_iter()
        .filter(|decoder| arguments.decoder.as_deref().is_none_or(|name| name == decoder.name))
        .collect();
    anyhow::ensure!(!chosen.is_empty(), "no decoder is called {:?}", arguments.decoder);
    let queue = Mutex::new(chosen);
    let told = Mutex::new(Vec::new());
    std::thread::scope(|scope| -> Result<()> {
        let mut workers = Vec::new();
        for _ in 0..std::thread::available_parallelism()?.get() {
            workers.push(scope.spawn(|| -> Result<()> {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(decoder) = next else { return Ok(()) };
                    let result =
                        fuzz(&decoder, arguments.seconds, arguments.seed, &arguments.states)?;
                    eprintln!("{result}");
                    told.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            }));
        }
        for worker in workers {
            worker.join().ok().context("a worker panicked")??;
        }
        Ok(())
    })?;
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    let sum = |field: &str| told.iter().filter_map(|result| result[field].as_f64()).sum::<f64>();
    let crashes = sum("crashes");
    println!(
        "{}",
        json!({"suite": "fuzz", "seed": arguments.seed, "inputs": sum("inputs"), "crashes": crashes,
            "cpu_seconds": sum("cpu_seconds").round(), "decoders": told})
    );
    Ok(crashes == 0.0)
}

#[expect(clippy::print_stderr, reason = "the rim of a program")]
fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
