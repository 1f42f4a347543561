//! When to say what an application without executors waits for.

use std::time::{Duration, Instant};

/// How often an application that still waits says so again, as Spark does.
const REPORT_INTERVAL: Duration = Duration::from_secs(15);

/// The times of the report.
pub(super) struct Waiting {
    delay: Duration,
    /// Tasks wait for slots, or the start of the application does.
    pub(super) pending: bool,
    next: Option<Instant>,
}

impl Waiting {
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, pending: false, next: None }
    }

    /// Looks whether the application still waits: something is pending, and nothing runs.
    pub(super) fn look(&mut self, nothing_runs: bool, now: Instant) {
        if !(self.pending && nothing_runs) {
            self.next = None;
        } else if self.next.is_none() {
            self.next = Some(now + self.delay);
        }
    }

    /// When it is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether it is due; then it is due again after a while.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|at| at <= now);
        if due {
            self.next = Some(now + REPORT_INTERVAL);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_told_after_a_delay_and_again() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut waiting = Waiting { pending: true, ..Waiting::new(Duration::from_secs(5)) };
        waiting.look(true, start);
        assert!(!waiting.is_due(at(4)));
        assert!(waiting.is_due(at(5)));
        assert!(!waiting.is_due(at(19)));
        assert!(waiting.is_due(at(20)));
        waiting.look(false, at(21));
        assert!(!waiting.is_due(at(60)));
    }
}
