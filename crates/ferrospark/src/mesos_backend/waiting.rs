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

/// When to say that an application holds all it may have while tasks wait: once, after a while in which
/// none of them got a slot.
pub(super) struct Held {
    delay: Duration,
    /// Tasks that waited at the last look; none have been counted yet if `None`.
    tasks: Option<usize>,
    next: Option<Instant>,
    told: bool,
}

impl Held {
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, tasks: None, next: None, told: false }
    }

    /// Takes the word that tasks wait, that there are more of them, or that none does.
    pub(super) fn demand(&mut self, tasks_wait: bool, now: Instant) {
        self.tasks = None;
        self.next = (tasks_wait && !self.told).then(|| now + self.delay);
    }

    /// When to count the waiting tasks.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Takes the number of waiting tasks at that time; whether as many waited before.
    pub(super) fn count(&mut self, tasks: usize, now: Instant) -> bool {
        let waited = self.tasks.is_some_and(|before| tasks >= before) && tasks > 0;
        self.tasks = Some(tasks);
        self.next = Some(now + self.delay);
        waited
    }

    /// It has been said.
    pub(super) fn told(&mut self) {
        self.told = true;
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_is_told_when_no_task_got_a_slot() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut held = Held::new(Duration::from_secs(5));
        held.demand(true, start);
        assert_eq!(held.next(), Some(at(5)));
        assert!(!held.count(7, at(5)), "nothing to compare with");
        assert!(!held.count(6, at(10)), "one got a slot");
        assert!(held.count(6, at(15)));
        held.demand(true, at(16));
        assert!(!held.count(6, at(21)), "others wait since");
        assert!(held.count(9, at(26)));
        held.told();
        held.demand(true, at(27));
        assert_eq!(held.next(), None, "once");
    }

    #[test]
    fn held_is_not_told_while_nothing_waits() {
        let start = Instant::now();
        let mut held = Held::new(Duration::from_secs(5));
        assert_eq!(held.next(), None);
        held.demand(true, start);
        held.demand(false, start);
        assert_eq!(held.next(), None);
        held.demand(true, start);
        assert!(!held.count(0, start));
        assert!(!held.count(0, start), "what waited has just begun");
    }

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
