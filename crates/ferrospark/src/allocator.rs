//! How this process holds memory between batches, where it computes: in executors, and in drivers of local mode.
//!
//! glibc gives blocks of 128 KiB to 32 MiB back to the system when they are freed. Operators take and free such blocks
//! for every batch and hash table, and the system zeroes each page again: a fifth of a large join's time. Here they are
//! kept for the next operator, and go back when the process has come to rest.

use std::sync::Once;
use std::time::Duration;

/// Blocks above this, in bytes, still come from the system and go straight back.
const LARGEST_KEPT: i32 = 1 << 30;
/// Free memory at the end of the heap above this, in bytes, goes back at once.
const MOST_KEPT: i32 = 256 << 20;
/// How often a look is taken at whether the process rests.
const PERIOD: Duration = Duration::from_secs(2);
/// A process that takes less than this share of a processor rests.
const RESTING_SHARE: f64 = 0.02;

/// Keeps freed memory while the process works, from the first call on.
pub(crate) fn keep_freed_memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Memory that nobody would give back again is not kept.
        match std::thread::Builder::new().name("allocator".to_owned()).spawn(give_back_at_rest) {
            Ok(_) => set_limits(),
            Err(error) => tracing::warn!(%error, "freed memory goes back to the system at once"),
        }
    });
}

fn set_limits() {
    #[expect(unsafe_code, reason = "the C library's own settings; any thread may make them")]
    // SAFETY: mallopt only stores numbers, under the allocator's lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST_KEPT);
        libc::mallopt(libc::M_TRIM_THRESHOLD, MOST_KEPT);
    }
}

fn give_back_at_rest() {
    let mut rest = Rest::default();
    loop {
        std::thread::sleep(PERIOD);
        if rest.begins(processor_seconds()) {
            give_back();
        }
    }
}

/// Tells when a process that has worked comes to rest.
#[derive(Debug, Default)]
struct Rest {
    seconds: f64,
    worked: bool,
}

impl Rest {
    /// Takes the processor seconds used so far, one [`PERIOD`] after the last time.
    fn begins(&mut self, seconds: f64) -> bool {
        let rests = seconds - self.seconds < RESTING_SHARE * PERIOD.as_secs_f64();
        self.seconds = seconds;
        let begins = rests && self.worked;
        self.worked = !rests;
        begins
    }
}

/// What the threads of this process have taken of the processors.
fn processor_seconds() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
    usage.map_or(0.0, |usage| {
        [usage.user_time(), usage.system_time()]
            .iter()
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .sum()
    })
}

fn give_back() {
    #[expect(unsafe_code, reason = "the C library's own; any thread may call it")]
    // SAFETY: malloc_trim takes the allocator's locks and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_begins_once_after_work() {
        let mut rest = Rest::default();
        let told: Vec<bool> =
            [0.0, 1.5, 3.0, 3.01, 3.01, 3.02, 4.0, 4.01].map(|s| rest.begins(s)).into();
        assert_eq!(told, [false, false, false, true, false, false, false, true]);
    }
}
