//! Asking the master for the state of tasks until it has answered for each: a pure state machine.
//!
//! A master that failed over does not answer for tasks of agents which are not back yet, and an answer may
//! be lost with a connection; so whatever is not answered is asked for again, with growing waits. Large
//! sets are asked for in pages, so that neither a request nor the burst of answers gets out of hand.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use mesos_api::{AgentId, TaskId};

/// Tasks asked for in one call. Some 60 kB, and answers that a scheduler handles in milliseconds.
pub const PAGE_TASKS: usize = 500;
/// First wait for the answers of a page.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait; agents have ten minutes to come back after a failover.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a task is asked for: with the waits above for a quarter of an hour, which is longer than agents
/// have for their return.
const MOST_ATTEMPTS: u32 = 20;

/// A task in question, with its agent if that is known; without it masters cannot tell a lost agent from
/// an unknown one.
pub type Question = (TaskId, Option<AgentId>);

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send RECONCILE for these; none at all means: for all the master knows.
    Ask(Vec<Question>),
    /// Every task was answered for, but for these, which were asked for often enough.
    Finished {
        /// Which one.
        number: u64,
        /// Unanswered tasks.
        unanswered: Vec<TaskId>,
    },
}

/// One set of tasks.
#[derive(Debug)]
struct Set {
    number: u64,
    /// Not asked for in this round.
    queue: VecDeque<Question>,
    /// Asked for and not answered.
    page: IndexMap<TaskId, Option<AgentId>>,
    /// Unanswered in this round.
    left: VecDeque<Question>,
    attempt: u32,
    retry_at: Instant,
}

/// All that is being asked.
#[derive(Debug, Default)]
pub struct Reconciler {
    sets: Vec<Set>,
    next_number: u64,
    /// Whether calls get through.
    connected: bool,
    implicit: Option<Duration>,
    implicit_at: Option<Instant>,
}

impl Reconciler {
    /// A reconciler that also asks for everything after each subscription and then every `implicit`.
    #[must_use]
    pub fn new(implicit: Option<Duration>) -> Self {
        Self { implicit, ..Self::default() }
    }

    /// Begins to ask for these tasks; the number comes back with [`Action::Finished`].
    pub fn explicit(&mut self, tasks: Vec<Question>, now: Instant) -> (u64, Vec<Action>) {
        let number = self.next_number;
        self.next_number += 1;
        let mut set = Set {
            number,
            queue: tasks.into(),
            page: IndexMap::new(),
            left: VecDeque::new(),
            attempt: 0,
            retry_at: now,
        };
        let mut actions = Vec::new();
        let finished =
            if self.connected { set.turn_page(now, &mut actions) } else { set.is_empty() };
        if finished {
            actions.push(Action::Finished { number, unanswered: Vec::new() });
        } else {
            self.sets.push(set);
        }
        (number, actions)
    }

    /// The subscription is there, for the first time or again: what is unanswered is asked for at once.
    pub fn subscribed(&mut self, now: Instant) -> Vec<Action> {
        self.connected = true;
        let mut actions = Vec::new();
        if self.implicit.is_some() {
            self.ask_implicitly(now, &mut actions);
        }
        for set in &mut self.sets {
            set.start_again();
        }
        self.turn_pages(now, &mut actions, |_| true);
        actions
    }

    /// The subscription is interrupted.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.implicit_at = None;
    }

    /// An update of a task came; whatever it says, it is an answer.
    pub fn answered(&mut self, task: &TaskId, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        for set in &mut self.sets {
            set.page.shift_remove(task);
        }
        self.turn_pages(now, &mut actions, |set| set.page.is_empty());
        actions
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.connected {
            return actions;
        }
        if self.implicit_at.is_some_and(|at| now >= at) {
            self.ask_implicitly(now, &mut actions);
        }
        self.turn_pages(now, &mut actions, |set| now >= set.retry_at);
        actions
    }

    /// When [`Self::tick`] is due.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        if !self.connected {
            return None;
        }
        self.sets.iter().map(|set| set.retry_at).chain(self.implicit_at).min()
    }

    fn ask_implicitly(&mut self, now: Instant, actions: &mut Vec<Action>) {
        actions.push(Action::Ask(Vec::new()));
        self.implicit_at = self.implicit.map(|interval| now + interval);
    }

    fn turn_pages(&mut self, now: Instant, actions: &mut Vec<Action>, due: impl Fn(&Set) -> bool) {
        if !self.connected {
            return;
        }
        self.sets.retain_mut(|set| {
            if !due(set) || !set.turn_page(now, actions) {
                return true;
            }
            let unanswered = set.left.drain(..).map(|(task, _)| task).collect();
            actions.push(Action::Finished { number: set.number, unanswered });
            false
        });
    }
}

impl Set {
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.page.is_empty() && self.left.is_empty()
    }

    /// Answers on their way were lost with the connection, and a new master may answer what the old one could not.
    fn start_again(&mut self) {
        self.left.extend(self.page.drain(..));
        self.queue.append(&mut self.left);
        self.attempt = 0;
    }

    /// Asks for the next page; true if there is none and never will be.
    fn turn_page(&mut self, now: Instant, actions: &mut Vec<Action>) -> bool {
        self.left.extend(self.page.drain(..));
        if self.queue.is_empty() {
            self.attempt += 1;
            if self.left.is_empty() || self.attempt >= MOST_ATTEMPTS {
                return true;
            }
            std::mem::swap(&mut self.queue, &mut self.left);
        }
        let size = self.queue.len().min(PAGE_TASKS);
        self.page.extend(self.queue.drain(..size));
        self.retry_at = now + wait(self.attempt);
        actions.push(Action::Ask(self.page.iter().map(|(t, a)| (t.clone(), a.clone())).collect()));
        false
    }
}

fn wait(attempt: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << attempt.min(6)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn questions(range: std::ops::Range<usize>) -> Vec<Question> {
        range.map(|n| (format!("t{n}").into(), Some("S".into()))).collect()
    }

    fn connected(now: Instant) -> Reconciler {
        let mut reconciler = Reconciler::new(None);
        assert_eq!(reconciler.subscribed(now), []);
        reconciler
    }

    #[test]
    fn the_next_page_follows_the_last_answer() {
        let now = Instant::now();
        let mut r = connected(now);
        let (number, first) = r.explicit(questions(0..PAGE_TASKS + 2), now);
        assert_eq!(first, [Action::Ask(questions(0..PAGE_TASKS))]);
        for n in 0..PAGE_TASKS - 1 {
            assert_eq!(r.answered(&format!("t{n}").into(), now), []);
        }
        let last = format!("t{}", PAGE_TASKS - 1).into();
        let second = questions(PAGE_TASKS..PAGE_TASKS + 2);
        assert_eq!(r.answered(&last, now), [Action::Ask(second.clone())]);
        assert_eq!(r.answered(&second[0].0, now), []);
        let finished = Action::Finished { number, unanswered: Vec::new() };
        assert_eq!(r.answered(&second[1].0, now), [finished]);
        assert_eq!(r.next_wakeup(), None);
    }

    #[test]
    fn silence_is_asked_again_with_growing_waits_and_told_in_the_end() {
        let mut now = Instant::now();
        let mut r = connected(now);
        r.explicit(questions(0..2), now);
        r.answered(&"t0".into(), now);
        let mut waits = Vec::new();
        let last = loop {
            let due = r.next_wakeup().unwrap();
            waits.push(due.duration_since(now).as_secs());
            assert_eq!(r.tick(due.checked_sub(Duration::from_millis(1)).unwrap()), []);
            now = due;
            match &r.tick(now)[..] {
                [Action::Ask(tasks)] => assert_eq!(tasks, &questions(1..2)),
                other => break other.to_vec(),
            }
        };
        assert_eq!(last, [Action::Finished { number: 0, unanswered: vec!["t1".into()] }]);
        assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        let total: u64 = waits.iter().sum();
        assert!(total > 10 * 60, "{total}");
    }

    #[test]
    fn a_new_subscription_asks_at_once_for_what_is_open() {
        let now = Instant::now();
        let mut r = connected(now);
        r.explicit(questions(0..3), now);
        r.answered(&"t1".into(), now);
        r.disconnected();
        assert_eq!(r.next_wakeup(), None);
        assert_eq!(r.tick(now + Duration::from_secs(100)), []);
        let mut open = questions(0..3);
        open.remove(1);
        assert_eq!(r.subscribed(now), [Action::Ask(open)]);
    }

    #[test]
    fn nothing_to_ask_is_finished() {
        let now = Instant::now();
        let finished = |number| vec![Action::Finished { number, unanswered: Vec::new() }];
        assert_eq!(connected(now).explicit(Vec::new(), now).1, finished(0));
        assert_eq!(Reconciler::new(None).explicit(Vec::new(), now).1, finished(0));
    }

    #[test]
    fn implicit_ones_come_with_each_subscription_and_then_in_turn() {
        let now = Instant::now();
        let mut r = Reconciler::new(Some(Duration::from_secs(600)));
        assert_eq!(r.subscribed(now), [Action::Ask(Vec::new())]);
        let due = r.next_wakeup().unwrap();
        assert_eq!(due, now + Duration::from_secs(600));
        assert_eq!(r.tick(due), [Action::Ask(Vec::new())]);
        r.disconnected();
        assert_eq!(r.next_wakeup(), None);
        assert_eq!(r.subscribed(due), [Action::Ask(Vec::new())]);
    }

    proptest! {
        /// However answers, silence and interruptions fall, each set ends, each task is asked for before
        /// that, no page is too long, and only tasks never answered are reported as such.
        #[test]
        fn every_task_is_settled(
            count in 0_usize..1500,
            steps in proptest::collection::vec((0_u8..10, 0_usize..1500), 0..400),
        ) {
            let mut now = Instant::now();
            let mut r = Reconciler::new(None);
            let mut actions = r.explicit(questions(0..count), now).1;
            let mut asked = BTreeSet::new();
            let mut answered = BTreeSet::new();
            let mut finished = None;
            let mut steps = steps.into_iter();
            for _ in 0..1_000_000 {
                for action in actions.drain(..) {
                    match action {
                        Action::Ask(page) => {
                            prop_assert!(page.len() <= PAGE_TASKS && !page.is_empty());
                            prop_assert!(finished.is_none());
                            for (task, _) in page {
                                prop_assert!(!answered.contains(&task), "asked again after its answer");
                                asked.insert(task);
                            }
                        }
                        Action::Finished { unanswered, .. } => finished = Some(unanswered),
                    }
                }
                if finished.is_some() {
                    break;
                }
                actions = match steps.next() {
                    Some((0, _)) => { r.disconnected(); Vec::new() }
                    Some((1, _)) => r.subscribed(now),
                    Some((_, n)) => {
                        let task = TaskId::from(format!("t{n}"));
                        if asked.contains(&task) && r.sets.iter().any(|s| s.page.contains_key(&task)) {
                            answered.insert(task.clone());
                            r.answered(&task, now)
                        } else { Vec::new() }
                    }
                    None if !r.connected => r.subscribed(now),
                    None => { now = r.next_wakeup().unwrap(); r.tick(now) }
                };
            }
            let unanswered: BTreeSet<_> = finished.expect("an end").into_iter().collect();
            prop_assert_eq!(unanswered.len() + answered.len(), count);
            prop_assert!(unanswered.is_disjoint(&answered));
            prop_assert_eq!(asked.len(), count);
        }
    }
}
