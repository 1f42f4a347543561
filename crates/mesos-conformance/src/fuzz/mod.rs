//! A mutation fuzzer for every decoder that reads what strangers send. It needs no nightly compiler: inputs of the
//! corpus (`corpus/DECODER/`, in the repository) are mutated, spliced and fed to the decoder; whatever it makes of
//! them, it must not panic, hang, or contradict itself. New kinds of behaviour are told apart by what the decoder
//! answers, and inputs that show one join the inputs that are mutated.
//!
//! An input that breaks a decoder is written to `corpus/DECODER/crash-HASH`; it is to be committed with the
//! repair, and every test run tries it again.

mod archives;
mod mutate;
mod targets;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

pub use self::targets::{Decoder, decoders};

/// An input must be done with in so much time of the processor's; decoders that take longer than linear time
/// show here. The clock on the wall says nothing of them where the machine is busy with others.
const SLOWEST_INPUT: f64 = 2.0;
/// Longest input that is made; long enough for every length field to matter.
const LONGEST_INPUT: usize = 8 * 1024;
/// Most inputs kept in memory besides those of the corpus.
const MOST_KEPT: usize = 2_000;
/// State is written so often, in CPU seconds.
const STATE_INTERVAL: f64 = 5.0;

/// What broke.
#[derive(Debug)]
pub struct Crash {
    /// What the decoder said when it panicked, or that it took too long.
    pub problem: String,
    /// What it was fed.
    pub input: Vec<u8>,
}

/// Feeds one input; what the decoder answers in short, or how it broke.
///
/// # Errors
/// [`Crash`] on a panic or if it takes too long.
pub fn feed(decoder: &Decoder, input: &[u8]) -> Result<String, Crash> {
    let crash = |problem: String| Crash { problem, input: input.to_vec() };
    let started = cpu_seconds().unwrap_or_default();
    let answer = catch_unwind(AssertUnwindSafe(|| (decoder.run)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        crash(text.unwrap_or_else(|| "a panic".to_owned()))
    })?;
    let took = cpu_seconds().unwrap_or(started) - started;
    if took > SLOWEST_INPUT {
        return Err(crash(format!("it took {took} s")));
    }
    Ok(answer)
}

/// The corpus of a decoder.
#[must_use]
pub fn corpus(decoder: &Decoder) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(decoder.name)
}

/// Its inputs, by name.
///
/// # Errors
/// When the folder cannot be read.
pub fn inputs(decoder: &Decoder) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = corpus(decoder);
    let mut inputs = Vec::new();
    for file in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let file = file?;
        inputs.push((file.file_name().to_string_lossy().into_owned(), std::fs::read(file.path())?));
    }
    inputs.sort();
    Ok(inputs)
}

/// How far a decoder's fuzzing is; kept in a file, so that a run can go on where another stopped.
#[derive(Debug, Default, Clone, PartialEq)]
struct State {
    /// Inputs fed.
    inputs: u64,
    /// CPU seconds spent.
    cpu_seconds: f64,
    /// Crashes found.
    crashes: u64,
}

impl State {
    fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        Self {
            inputs: json["inputs"].as_u64().unwrap_or_default(),
            cpu_seconds: json["cpu_seconds"].as_f64().unwrap_or_default(),
            crashes: json["crashes"].as_u64().unwrap_or_default(),
        }
    }

    fn to_json(&self, decoder: &Decoder) -> Value {
        json!({
            "decoder": decoder.name, "inputs": self.inputs, "crashes": self.crashes,
            "cpu_seconds": (self.cpu_seconds * 10.0).round() / 10.0,
        })
    }
}

/// CPU time of this thread.
fn cpu_seconds() -> Result<f64> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?).as_secs_f64())
}

/// Fuzzes a decoder until it has had so many CPU seconds, over this and former runs. The same seed makes the same
/// inputs. What became of it, as JSON; crashes are written to the corpus.
///
/// # Errors
/// When files cannot be read or written.
pub fn fuzz(decoder: &Decoder, seconds: f64, seed: u64, states: &Path) -> Result<Value> {
    std::fs::create_dir_all(states)?;
    let file = states.join(format!("{}-{seed}.json", decoder.name));
    let mut state = State::read(&file);
    let mut pool: Vec<Vec<u8>> = inputs(decoder)?.into_iter().map(|(_, input)| input).collect();
    let given = pool.len();
    let mut seen: HashSet<String> = HashSet::new();
    let (began, spent) = (cpu_seconds()?, state.cpu_seconds);
    let mut written = spent;
    while state.cpu_seconds < seconds {
        // Each input has a seed of its own, so that a run that goes on makes new ones.
        let mut random =
            mutate::Random::new(seed ^ (state.inputs + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut input = mutate::mutate(&pool, decoder.words, &mut random);
        input.truncate(LONGEST_INPUT);
        state.inputs += 1;
        match feed(decoder, &input) {
            Ok(answer) => {
                if seen.insert(answer) {
                    if pool.len() == given + MOST_KEPT {
                        let at = given + random.below(MOST_KEPT);
                        pool.swap_remove(at);
                    }
                    pool.push(input);
                }
            }
            Err(crash) => {
                state.crashes += 1;
                // One input for each way to break is enough to mend it.
                if !seen.insert(format!("crash: {}", crash.problem)) {
                    continue;
                }
                let name = format!("crash-{:016x}", mutate::hash(&crash.input));
                std::fs::write(corpus(decoder).join(name), &crash.input)?;
                let told =
                    json!({"decoder": decoder.name, "crash": crash.problem, "input": state.inputs});
                std::fs::write(states.join(format!("{}.crash", decoder.name)), told.to_string())?;
            }
        }
        if state.inputs.is_multiple_of(64) {
            state.cpu_seconds = spent + cpu_seconds()? - began;
            if state.cpu_seconds - written > STATE_INTERVAL {
                written = state.cpu_seconds;
                std::fs::write(&file, state.to_json(decoder).to_string())?;
            }
        }
    }
    std::fs::write(&file, state.to_json(decoder).to_string())?;
    Ok(state.to_json(decoder))
}
