//! When to call REVIVE: soon, but never so often that it hammers the master.
//!
//! A REVIVE drops every filter, so the master offers all agents again, also those that were refused for
//! good reasons. Each of these costs the master an offer and us a decline; therefore the more of them the
//! last REVIVE brought, the longer the next one waits.

use std::time::{Duration, Instant};

/// At most one REVIVE in this time.
const LEAST_INTERVAL: Duration = Duration::from_millis(5);
/// So many unusable offers cost nothing worth a wait; what our own tasks leave of their agents is among them.
const FREE_OFFERS: u32 = 8;
/// What each further unusable offer of the last REVIVE adds to the interval: with 200 agents that do not
/// match, REVIVE runs at most every 0.4 s, which keeps the master under a tenth of a core.
const PER_UNUSABLE_OFFER: Duration = Duration::from_millis(2);
/// Longest interval, which is the allocation interval of a master: offers come by then anyway.
const MOST_INTERVAL: Duration = Duration::from_secs(1);

/// The moments of REVIVE calls.
#[derive(Debug, Default)]
pub(super) struct ReviveClock {
    due: Option<Instant>,
    last: Option<Instant>,
    /// Unusable offers since the last REVIVE, and between the two before.
    unusable: u32,
    unusable_before: u32,
}

impl ReviveClock {
    /// Wants a REVIVE, not before `earliest` and not within the interval after the last.
    pub(super) fn want(&mut self, earliest: Instant) {
        let allowed = self.last.map_or(earliest, |last| last + self.interval());
        let at = earliest.max(allowed);
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Nothing is wanted any more, or what is wanted is there.
    pub(super) fn cancel(&mut self) {
        self.due = None;
    }

    /// When the wanted REVIVE is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether to call REVIVE now; it counts as called.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let Some(due) = self.due.filter(|due| *due <= now) else { return false };
        // Offers may have come back since the moment was fixed.
        if let Some(allowed) = self.last.map(|last| last + self.interval()).filter(|at| *at > now) {
            self.due = Some(due.max(allowed));
            return false;
        }
        self.due = None;
        self.called(now);
        true
    }

    /// A subscription begins without filters: as good as a REVIVE.
    pub(super) fn called(&mut self, now: Instant) {
        self.last = Some(now);
        self.unusable_before = self.unusable;
        self.unusable = 0;
    }

    /// An offer came that cannot be used.
    pub(super) fn unusable_offer(&mut self) {
        self.unusable = self.unusable.saturating_add(1);
    }

    fn interval(&self) -> Duration {
        let unusable = self.unusable.max(self.unusable_before).saturating_sub(FREE_OFFERS);
        (LEAST_INTERVAL + PER_UNUSABLE_OFFER.saturating_mul(unusable)).min(MOST_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_one_in_five_milliseconds() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut clock = ReviveClock::default();
        clock.want(at(0));
        assert!(clock.take(at(0)));
        clock.want(at(1));
        assert!(!clock.take(at(4)));
        assert_eq!(clock.due(), Some(at(5)));
        assert!(clock.take(at(5)));
        assert!(!clock.take(at(50)), "nothing is wanted");
    }

    #[test]
    fn agents_that_do_not_match_slow_it_down() {
        let start = Instant::now();
        let mut now = start;
        let mut clock = ReviveClock::default();
        let mut calls = 0;
        while now < start + Duration::from_secs(10) {
            clock.want(now);
            if clock.take(now) {
                calls += 1;
                (0..200).for_each(|_| clock.unusable_offer());
            }
            now += Duration::from_millis(1);
        }
        assert!((23..=27).contains(&calls), "{calls}");
    }
}
