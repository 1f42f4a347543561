//! When to connect, wait, follow, resubscribe or give up: a pure state machine.
//!
//! The shell performs [`Action`]s and reports [`Event`]s. Every connection attempt has a generation;
//! news of an older one is dropped. Before the first subscription problems soon end the client with a
//! clear reason; afterwards it resubscribes with its framework id for as long as it lives.

use std::time::{Duration, Instant};

use crate::address::MasterAddress;

/// A stream is given up after this many heartbeat intervals without a record (libmesos: 5).
const SILENT_INTERVALS: u32 = 5;
/// Interval of masters until SUBSCRIBED names one; Mesos has no other.
const MASTER_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// A subscribe request must be answered within this time; a busy master takes seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// First wait before another attempt.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Longest wait before another attempt (libmesos resubscribes within 15 s).
const LONGEST_BACKOFF: Duration = Duration::from_secs(15);
/// While nobody leads, the limits of our patience are looked at this often.
const LEADERLESS_CHECK: Duration = Duration::from_secs(1);
/// Redirects followed in a row; masters without agreement could send us round in circles.
const MOST_REDIRECTS: u32 = 5;

/// Identifies one connection attempt.
pub type Generation = u64;

/// How patient a client is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long connection failures are retried before the first subscription, where the address is the
    /// owner's own.
    pub unreachable: Duration,
    /// How long a master without leader or in recovery is waited for before the first subscription, and a
    /// leader that does not answer at the address that ZooKeeper or another master gives: they name one
    /// that died until its session expires, 10 s by Mesos' default.
    pub unavailable: Duration,
    /// How long a lost subscription is tried to be restored; `None` for ever.
    pub restore: Option<Duration>,
    /// Heartbeats to expect until SUBSCRIBED says otherwise.
    pub heartbeat_interval: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            unreachable: Duration::from_secs(1),
            unavailable: Duration::from_secs(60),
            restore: None,
            heartbeat_interval: MASTER_HEARTBEAT_INTERVAL,
        }
    }
}

/// What stands between us and a subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No connection.
    #[error("{0}")]
    Unreachable(String),
    /// The master answers but does not serve yet.
    #[error("the master at {master} is not ready: {text}")]
    Unavailable {
        /// Who answered.
        master: MasterAddress,
        /// The master's words.
        text: String,
    },
    /// The master does not want us.
    #[error("the master at {master} refused the framework: {status} {text}")]
    Refused {
        /// Who answered.
        master: MasterAddress,
        /// HTTP status.
        status: u16,
        /// The master's words.
        text: String,
    },
    /// What answers is no Mesos master.
    #[error("no Mesos master answers at {master}: {text}")]
    NotMesos {
        /// Who answered.
        master: MasterAddress,
        /// What it said.
        text: String,
    },
    /// The master ended the subscription with an ERROR event.
    #[error("the master ended the framework: {0}")]
    Error(String),
    /// The stream broke off.
    #[error("the event stream ended: {0}")]
    Closed(String),
    /// No record came for too long.
    #[error("nothing heard from the master for {} s", .0.as_secs())]
    Silent(Duration),
    /// The request was not answered.
    #[error("{0} did not answer the subscription")]
    NoAnswer(MasterAddress),
    /// ZooKeeper names no leader.
    #[error("no master leads: {0}")]
    NoLeader(String),
    /// ZooKeeper names another leader.
    #[error("{0} leads now")]
    LeaderChanged(MasterAddress),
    /// Masters sent us round in circles.
    #[error("the masters send each other's clients away; last {0}")]
    RedirectLoop(MasterAddress),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Begin.
    Start,
    /// The master answered 200 and the stream is open.
    Opened(Generation),
    /// A record came that is not SUBSCRIBED or ERROR.
    Record(Generation),
    /// SUBSCRIBED came.
    Subscribed {
        /// Of this attempt.
        generation: Generation,
        /// Our id.
        framework_id: String,
        /// Heartbeats to expect.
        heartbeat_interval: Option<Duration>,
    },
    /// The attempt or the stream ended.
    Failed(Generation, Problem),
    /// 307.
    Redirected(Generation, MasterAddress),
    /// ZooKeeper tells who leads, or why nobody does.
    Detected(Result<MasterAddress, String>),
    /// Time has passed.
    Tick,
    /// The owner wants no more.
    Stop,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect to `master` and subscribe; drop whatever came before.
    Connect {
        /// For the events that follow.
        generation: Generation,
        /// Whom.
        master: MasterAddress,
        /// Our id, if we have one.
        framework_id: Option<String>,
    },
    /// Drop the connection of this attempt.
    Drop(Generation),
    /// Tell the owner that the subscription is interrupted; it will be restored.
    Disconnected(Problem),
    /// Tell the owner that it is over.
    GiveUp(Problem),
}

#[derive(Debug)]
enum State {
    Idle,
    Connecting {
        deadline: Instant,
    },
    Open {
        silent_at: Instant,
    },
    Waiting {
        until: Instant,
    },
    /// Nobody leads, as far as is known; looked at again then.
    Leaderless {
        until: Instant,
    },
    Ended,
}

/// Whom to ask for a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Masters {
    /// Always this one; it knows who leads.
    Fixed(MasterAddress),
    /// Whoever [`Event::Detected`] named last.
    Detected,
}

/// The subscription of one framework.
#[derive(Debug)]
pub struct Subscription {
    /// Whom to ask first, or why nobody.
    configured: Result<MasterAddress, String>,
    /// Whether that is ZooKeeper's word.
    detects: bool,
    /// Whom the current attempt asks.
    peer: Option<MasterAddress>,
    patience: Patience,
    state: State,
    generation: Generation,
    framework_id: Option<String>,
    heartbeat_interval: Duration,
    /// SUBSCRIBED came on the current stream.
    subscribed: bool,
    /// SUBSCRIBED came on some stream.
    ever_subscribed: bool,
    started: Option<Instant>,
    /// When the last subscription was lost.
    lost: Option<Instant>,
    redirects: u32,
    backoff: Duration,
    random: u64,
}

impl Subscription {
    /// A subscription that will connect to one of `masters`. `seed` spreads the waits of many clients;
    /// `framework_id` is known when an earlier driver's framework is taken over.
    pub fn new(
        masters: Masters,
        framework_id: Option<String>,
        patience: Patience,
        seed: u64,
    ) -> Self {
        let detects = masters == Masters::Detected;
        let configured = match masters {
            Masters::Fixed(master) => Ok(master),
            Masters::Detected => Err("nothing heard of one yet".to_owned()),
        };
        Self {
            configured,
            detects,
            peer: None,
            patience,
            state: State::Idle,
            generation: 0,
            framework_id,
            heartbeat_interval: patience.heartbeat_interval,
            subscribed: false,
            ever_subscribed: false,
            started: None,
            lost: None,
            redirects: 0,
            backoff: FIRST_BACKOFF,
            random: seed | 1,
        }
    }

    /// Takes an event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        if matches!(self.state, State::Ended) {
            return Vec::new();
        }
        match event {
            Event::Start => self.start(now),
            Event::Opened(generation) if self.is_current(generation) => self.alive(now),
            Event::Record(generation) if self.is_current(generation) => self.alive(now),
            Event::Subscribed { generation, framework_id, heartbeat_interval }
                if self.is_current(generation) =>
            {
                self.subscribe(framework_id, heartbeat_interval, now)
            }
            Event::Failed(generation, problem) if self.is_current(generation) => {
                self.fail(problem, now)
            }
            Event::Redirected(generation, to) if self.is_current(generation) => {
                self.redirect(to, now)
            }
            Event::Detected(leader) => self.detect(leader, now),
            Event::Tick => self.tick(now),
            Event::Stop => self.stop(),
            Event::Opened(_)
            | Event::Record(_)
            | Event::Subscribed { .. }
            | Event::Failed(..)
            | Event::Redirected(..) => Vec::new(),
        }
    }

    /// When [`Event::Tick`] is due.
    pub fn next_wakeup(&self) -> Option<Instant> {
        match self.state {
            State::Idle | State::Ended => None,
            State::Connecting { deadline } => Some(deadline),
            State::Open { silent_at } => Some(silent_at),
            State::Waiting { until } | State::Leaderless { until } => Some(until),
        }
    }

    /// Whether the current stream is subscribed.
    pub fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// Our id, once known.
    pub fn framework_id(&self) -> Option<&str> {
        self.framework_id.as_deref()
    }

    fn is_current(&self, generation: Generation) -> bool {
        let live = matches!(self.state, State::Connecting { .. } | State::Open { .. });
        live && generation == self.generation
    }

    fn start(&mut self, now: Instant) -> Vec<Action> {
        if !matches!(self.state, State::Idle) {
            return Vec::new();
        }
        self.started = Some(now);
        self.connect_to_leader(now)
    }

    /// Asks whoever is configured or leads; waits if nobody does.
    fn connect_to_leader(&mut self, now: Instant) -> Vec<Action> {
        match &self.configured {
            Ok(master) => vec![self.connect(master.clone(), now)],
            Err(reason) => {
                let problem = Problem::NoLeader(reason.clone());
                if self.is_final(&problem, now) {
                    self.state = State::Ended;
                    return vec![Action::GiveUp(problem)];
                }
                self.state = State::Leaderless { until: now + LEADERLESS_CHECK };
                Vec::new()
            }
        }
    }

    fn detect(&mut self, leader: Result<MasterAddress, String>, now: Instant) -> Vec<Action> {
        self.configured = leader;
        let Ok(leader) = &self.configured else {
            // The one who led may still serve us; if not, its stream ends.
            return Vec::new();
        };
        let leader = leader.clone();
        match self.state {
            State::Leaderless { .. } | State::Waiting { .. } => {
                self.backoff = FIRST_BACKOFF;
                vec![self.connect(leader, now)]
            }
            State::Connecting { .. } | State::Open { .. }
                if self.peer.as_ref() != Some(&leader) =>
            {
                let mut actions = vec![Action::Drop(self.generation)];
                if std::mem::take(&mut self.subscribed) {
                    self.lost = Some(now);
                    actions.push(Action::Disconnected(Problem::LeaderChanged(leader.clone())));
                }
                self.redirects = 0;
                self.backoff = FIRST_BACKOFF;
                actions.push(self.connect(leader, now));
                actions
            }
            State::Idle | State::Connecting { .. } | State::Open { .. } | State::Ended => {
                Vec::new()
            }
        }
    }

    fn connect(&mut self, master: MasterAddress, now: Instant) -> Action {
        self.generation += 1;
        self.peer = Some(master.clone());
        self.subscribed = false;
        self.state = State::Connecting { deadline: now + ANSWER_TIMEOUT };
        Action::Connect {
            generation: self.generation,
            master,
            framework_id: self.framework_id.clone(),
        }
    }

    fn alive(&mut self, now: Instant) -> Vec<Action> {
        self.state = State::Open { silent_at: now + self.heartbeat_interval * SILENT_INTERVALS };
        Vec::new()
    }

    fn subscribe(
        &mut self,
        framework_id: String,
        heartbeat_interval: Option<Duration>,
        now: Instant,
    ) -> Vec<Action> {
        self.framework_id = Some(framework_id);
        self.heartbeat_interval =
            heartbeat_interval.filter(|i| !i.is_zero()).unwrap_or(self.patience.heartbeat_interval);
        self.subscribed = true;
        self.ever_subscribed = true;
        self.lost = None;
        self.redirects = 0;
        self.backoff = FIRST_BACKOFF;
        self.alive(now)
    }

    fn redirect(&mut self, to: MasterAddress, now: Instant) -> Vec<Action> {
        self.redirects += 1;
        if self.redirects > MOST_REDIRECTS {
            return self.fail(Problem::RedirectLoop(to), now);
        }
        vec![self.connect(to, now)]
    }

    fn fail(&mut self, problem: Problem, now: Instant) -> Vec<Action> {
        let was_subscribed = std::mem::take(&mut self.subscribed);
        if was_subscribed {
            self.lost = Some(now);
        }
        if self.is_final(&problem, now) {
            self.state = State::Ended;
            return vec![Action::Drop(self.generation), Action::GiveUp(problem)];
        }
        self.redirects = 0;
        self.state = State::Waiting { until: now + self.jittered_backoff() };
        self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
        let mut actions = vec![Action::Drop(self.generation)];
        if was_subscribed {
            actions.push(Action::Disconnected(problem));
        }
        actions
    }

    fn is_final(&self, problem: &Problem, now: Instant) -> bool {
        let lost_for = self.lost.map_or(Duration::ZERO, |lost| now.duration_since(lost));
        if self.ever_subscribed && self.patience.restore.is_some_and(|limit| lost_for >= limit) {
            return true;
        }
        let waited = self.started.map_or(Duration::ZERO, |started| now.duration_since(started));
        match problem {
            Problem::Error(_) => true,
            // A proxy or a half-started master may answer oddly for a while.
            Problem::Refused { .. } | Problem::NotMesos { .. } => !self.ever_subscribed,
            Problem::Unreachable(_) | Problem::NoAnswer(_) => {
                let limit = if self.was_sent() {
                    self.patience.unavailable
                } else {
                    self.patience.unreachable
                };
                !self.ever_subscribed && waited >= limit
            }
            Problem::Unavailable { .. }
            | Problem::NoLeader(_)
            | Problem::LeaderChanged(_)
            | Problem::Closed(_)
            | Problem::Silent(_)
            | Problem::RedirectLoop(_) => {
                !self.ever_subscribed && waited >= self.patience.unavailable
            }
        }
    }

    /// Whether somebody else named the one we ask: ZooKeeper, or a master that redirected us.
    fn was_sent(&self) -> bool {
        self.detects || self.peer.as_ref() != self.configured.as_ref().ok()
    }

    /// Half to all of the current back-off.
    fn jittered_backoff(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let share = (self.random % 512) as u32;
        self.backoff / 2 + self.backoff / 2 * share / 512
    }

    fn tick(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Connecting { deadline } if now >= deadline => match self.peer.clone() {
                Some(peer) => self.fail(Problem::NoAnswer(peer), now),
                None => Vec::new(),
            },
            State::Open { silent_at } if now >= silent_at => {
                self.fail(Problem::Silent(self.heartbeat_interval * SILENT_INTERVALS), now)
            }
            // A leader that broke down is not asked again: the configured master knows who leads.
            State::Waiting { until } | State::Leaderless { until } if now >= until => {
                self.connect_to_leader(now)
            }
            State::Idle
            | State::Connecting { .. }
            | State::Open { .. }
            | State::Waiting { .. }
            | State::Leaderless { .. }
            | State::Ended => Vec::new(),
        }
    }

    fn stop(&mut self) -> Vec<Action> {
        let live = matches!(self.state, State::Connecting { .. } | State::Open { .. });
        self.state = State::Ended;
        self.subscribed = false;
        if live { vec![Action::Drop(self.generation)] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests;
