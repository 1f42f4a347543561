//! When an application's files may go: the decision, without clock or socket.
//!
//! The master is the only witness. Its word that a framework is completed is final. A framework it
//! does not list may come back within its failover timeout, and after a change of leader within the
//! time in which agents register again; only a master that has finished its recovery counts as not
//! listing it. What happens while the master cannot be seen is not known, so absence must be seen
//! without a gap, by one leader.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// What a look at the master showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterView {
    /// Which master answered: another leader knows less at first.
    pub leader: String,
    /// It has finished its recovery: the agents of its predecessor are registered again or given
    /// up, so every framework that runs anything is known.
    pub recovered: bool,
    /// `--agent_reregister_timeout` of the master.
    pub agent_reregister_timeout: Duration,
    /// Frameworks it knows: active, disconnected, or known only from agents.
    pub listed: BTreeSet<String>,
    /// Frameworks that are over for good.
    pub completed: BTreeSet<String>,
}

/// Why an application's files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalReason {
    /// The master lists the framework as completed.
    Completed,
    /// The master has not listed it for longer than it may stay away.
    Absent {
        /// How long that was seen.
        absent: Duration,
        /// How long it may be.
        allowed: Duration,
    },
    /// The application itself said that it ends.
    Finished,
}

impl fmt::Display for RemovalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("the master lists its framework as completed"),
            Self::Absent { absent, allowed } => write!(
                f,
                "the master has not listed its framework for {} s, {} s are allowed",
                absent.as_secs(),
                allowed.as_secs()
            ),
            Self::Finished => f.write_str("the application has ended"),
        }
    }
}

/// The applications known, and how long each has been seen absent.
#[derive(Clone, Debug, Default)]
pub struct Lifetimes {
    applications: BTreeMap<String, Life>,
    /// The leader of the last look, if it was one that counts.
    leader: Option<String>,
}

#[derive(Clone, Debug)]
struct Life {
    failover_timeout: Duration,
    absent_since: Option<Duration>,
}

impl Lifetimes {
    /// An application registered, or came back from the service's own records. Of two timeouts the
    /// longer one counts.
    pub fn add(&mut self, application: &str, failover_timeout: Duration) {
        match self.applications.get_mut(application) {
            Some(life) => life.failover_timeout = life.failover_timeout.max(failover_timeout),
            None => {
                let life = Life { failover_timeout, absent_since: None };
                self.applications.insert(application.to_owned(), life);
            }
        }
    }

    /// The application's files are gone.
    pub fn remove(&mut self, application: &str) {
        self.applications.remove(application);
    }

    /// The applications whose files may go after this look, made at `now` (since any fixed start).
    /// `None` says that the master could not be seen.
    pub fn looked(
        &mut self,
        view: Option<&MasterView>,
        now: Duration,
    ) -> Vec<(String, RemovalReason)> {
        let Some(view) = view else {
            self.forget_absences();
            return Vec::new();
        };
        if !view.recovered || self.leader.as_ref() != Some(&view.leader) {
            self.forget_absences();
        }
        self.leader = view.recovered.then(|| view.leader.clone());
        let mut removals = Vec::new();
        for (id, life) in &mut self.applications {
            if view.completed.contains(id) && !view.listed.contains(id) {
                removals.push((id.clone(), RemovalReason::Completed));
                continue;
            }
            if view.listed.contains(id) || !view.recovered {
                life.absent_since = None;
                continue;
            }
            let absent = now.saturating_sub(*life.absent_since.get_or_insert(now));
            let allowed = life.failover_timeout.max(view.agent_reregister_timeout);
            if absent > allowed {
                removals.push((id.clone(), RemovalReason::Absent { absent, allowed }));
            }
        }
        removals
    }

    fn forget_absences(&mut self) {
        self.leader = None;
        for life in self.applications.values_mut() {
            life.absent_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const APP: &str = "f-0001";
    const MINUTE: u64 = 60;

    fn view(listed: &[&str], completed: &[&str]) -> MasterView {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        MasterView {
            leader: "m1".to_owned(),
            recovered: true,
            agent_reregister_timeout: Duration::from_secs(10 * MINUTE),
            listed: set(listed),
            completed: set(completed),
        }
    }

    fn lifetimes(failover_minutes: u64) -> Lifetimes {
        let mut lifetimes = Lifetimes::default();
        lifetimes.add(APP, Duration::from_secs(failover_minutes * MINUTE));
        lifetimes
    }

    fn at(minute: u64) -> Duration {
        Duration::from_secs(minute * MINUTE)
    }

    #[test]
    fn a_completed_framework_loses_its_files_at_once() {
        let mut lifetimes = lifetimes(60);
        assert_eq!(lifetimes.looked(Some(&view(&[APP], &[])), at(0)), []);
        let removals = lifetimes.looked(Some(&view(&[], &[APP])), at(1));
        assert_eq!(removals, [(APP.to_owned(), RemovalReason::Completed)]);
        lifetimes.remove(APP);
        assert_eq!(lifetimes.looked(Some(&view(&[], &[APP])), at(2)), []);
    }

    #[test]
    fn an_absent_one_has_the_longer_of_the_two_times() {
        for (failover, allowed) in [(0, 10), (30, 30)] {
            let mut lifetimes = lifetimes(failover);
            for minute in 0..=allowed {
                assert_eq!(lifetimes.looked(Some(&view(&[], &[])), at(minute)), []);
            }
            let removals = lifetimes.looked(Some(&view(&[], &[])), at(allowed + 1));
            let allowed_time = at(allowed);
            let reason = RemovalReason::Absent { absent: at(allowed + 1), allowed: allowed_time };
            assert_eq!(removals, [(APP.to_owned(), reason)]);
        }
    }

    #[test]
    fn absence_is_counted_anew_after_a_gap_a_return_another_leader_and_a_recovery() {
        let absent = view(&[], &[]);
        let other = MasterView { leader: "m2".to_owned(), ..absent.clone() };
        let recovering = MasterView { recovered: false, ..absent.clone() };
        let back = view(&[APP], &[]);
        for between in [None, Some(&back), Some(&other), Some(&recovering)] {
            let mut lifetimes = lifetimes(0);
            for minute in 0..10 {
                assert_eq!(lifetimes.looked(Some(&absent), at(minute)), []);
            }
            assert_eq!(lifetimes.looked(between, at(10)), []);
            for minute in 11..=21 {
                assert_eq!(lifetimes.looked(Some(&absent), at(minute)), [], "{between:?}");
            }
            assert_eq!(lifetimes.looked(Some(&absent), at(22)).len(), 1, "{between:?}");
        }
    }

    #[test]
    fn a_recovering_master_removes_only_what_is_completed() {
        let mut lifetimes = lifetimes(0);
        let mut recovering = MasterView { recovered: false, ..view(&[], &[]) };
        for minute in 0..100 {
            assert_eq!(lifetimes.looked(Some(&recovering), at(minute)), []);
        }
        recovering.completed.insert(APP.to_owned());
        assert_eq!(lifetimes.looked(Some(&recovering), at(100)).len(), 1);
    }

    #[derive(Clone, Debug)]
    struct Look {
        minutes: u64,
        seen: bool,
        leader: u8,
        recovered: bool,
        listed: bool,
        completed: bool,
    }

    fn look() -> impl Strategy<Value = Look> {
        (
            0..8_u64,
            prop::bool::weighted(0.9),
            0..10_u8,
            prop::bool::weighted(0.9),
            any::<bool>(),
            prop::bool::weighted(0.02),
        )
            .prop_map(|(minutes, seen, leader, recovered, listed, completed)| Look {
                minutes,
                seen,
                leader: u8::from(leader == 0),
                recovered,
                listed: listed && minutes % 3 == 0,
                completed,
            })
    }

    proptest! {
        /// Against the rule itself, read off the whole history: files go if and only if this look
        /// says so.
        #[test]
        fn files_go_exactly_when_the_rule_says(
            looks in prop::collection::vec(look(), 1..80), failover in 0_u64..20,
        ) {
            let mut lifetimes = lifetimes(failover);
            let mut history: Vec<(u64, Option<MasterView>)> = Vec::new();
            let mut minute = 0;
            for look in looks {
                minute += look.minutes;
                let seen = look.seen.then(|| MasterView {
                    leader: format!("m{}", look.leader),
                    recovered: look.recovered,
                    ..view(if look.listed { &[APP] } else { &[] }, if look.completed { &[APP] } else { &[] })
                });
                let removals = lifetimes.looked(seen.as_ref(), at(minute));
                history.push((minute, seen));
                let expected = goes(&history, failover);
                prop_assert_eq!(!removals.is_empty(), expected);
                if expected {
                    return Ok(());
                }
            }
        }
    }

    /// The rule in words: completed now; or absent now, and in every look of an unbroken run of
    /// looks of the same recovered leader back to one longer ago than what is allowed.
    fn goes(history: &[(u64, Option<MasterView>)], failover: u64) -> bool {
        let Some((now, Some(last))) = history.last() else { return false };
        if last.listed.contains(APP) {
            return false;
        }
        if last.completed.contains(APP) {
            return true;
        }
        let run = history.iter().rev().take_while(|(_, seen)| {
            seen.as_ref().is_some_and(|seen| {
                seen.recovered && seen.leader == last.leader && !seen.listed.contains(APP)
            })
        });
        run.last().is_some_and(|(since, _)| now - since > failover.max(10))
    }
}
