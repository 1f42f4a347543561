use proptest::prelude::*;

use super::*;

fn master(port: u16) -> MasterAddress {
    MasterAddress::new("m", port)
}

fn new(now: Instant) -> (Subscription, Vec<Action>) {
    let mut subscription =
        Subscription::new(Masters::Fixed(master(1)), None, Patience::default(), 7);
    let actions = subscription.handle(Event::Start, now);
    (subscription, actions)
}

fn connect(generation: Generation, port: u16, id: Option<&str>) -> Action {
    Action::Connect { generation, master: master(port), framework_id: id.map(str::to_owned) }
}

fn subscribed(generation: Generation) -> Event {
    let heartbeat_interval = Some(Duration::from_secs(15));
    Event::Subscribed { generation, framework_id: "F".to_owned(), heartbeat_interval }
}

fn unreachable() -> Problem {
    Problem::Unreachable("nothing listening at m:1".to_owned())
}

/// Lets the due wake-up pass.
fn wait(subscription: &mut Subscription, now: &mut Instant) -> Vec<Action> {
    *now = subscription.next_wakeup().unwrap();
    subscription.handle(Event::Tick, *now)
}

#[test]
fn a_silent_stream_is_resubscribed_with_the_same_id() {
    let mut now = Instant::now();
    let (mut s, actions) = new(now);
    assert_eq!(actions, [connect(1, 1, None)]);
    s.handle(Event::Opened(1), now);
    s.handle(subscribed(1), now);
    assert!(s.is_subscribed());
    assert_eq!(s.next_wakeup(), Some(now + Duration::from_secs(75)));
    now += Duration::from_secs(74);
    assert_eq!(s.handle(Event::Record(1), now), []);
    let silent = Problem::Silent(Duration::from_secs(75));
    assert_eq!(wait(&mut s, &mut now), [Action::Drop(1), Action::Disconnected(silent)]);
    assert!(!s.is_subscribed());
    assert_eq!(wait(&mut s, &mut now), [connect(2, 1, Some("F"))]);
}

#[test]
fn redirects_are_followed_and_forgotten_when_the_leader_breaks() {
    let mut now = Instant::now();
    let (mut s, _) = new(now);
    assert_eq!(s.handle(Event::Redirected(1, master(2)), now), [connect(2, 2, None)]);
    s.handle(subscribed(2), now);
    s.handle(Event::Failed(2, Problem::Closed("end of stream".to_owned())), now);
    assert_eq!(wait(&mut s, &mut now), [connect(3, 1, Some("F"))]);
}

#[test]
fn nothing_listening_ends_a_first_attempt_soon() {
    let mut now = Instant::now();
    let started = now;
    let (mut s, _) = new(now);
    let mut generation = 1;
    let last = loop {
        let actions = s.handle(Event::Failed(generation, unreachable()), now);
        if actions.contains(&Action::GiveUp(unreachable())) {
            break now;
        }
        assert_eq!(actions, [Action::Drop(generation)]);
        wait(&mut s, &mut now);
        generation += 1;
    };
    let waited = last.duration_since(started);
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(3), "{waited:?}");
    assert_eq!(s.next_wakeup(), None);
}

#[test]
fn after_the_first_subscription_it_never_gives_up_on_connections() {
    let mut now = Instant::now();
    let (mut s, _) = new(now);
    s.handle(subscribed(1), now);
    s.handle(Event::Failed(1, Problem::Closed(String::new())), now);
    for _ in 0..100 {
        let actions = wait(&mut s, &mut now);
        let [Action::Connect { generation, .. }] = actions[..] else { panic!("{actions:?}") };
        let before = now;
        assert_eq!(
            s.handle(Event::Failed(generation, unreachable()), now),
            [Action::Drop(generation)]
        );
        assert!(s.next_wakeup().unwrap() - before <= LONGEST_BACKOFF);
    }
}

#[test]
fn restoring_may_be_limited() {
    let mut now = Instant::now();
    let patience = Patience { restore: Some(Duration::from_secs(5)), ..Patience::default() };
    let mut s = Subscription::new(Masters::Fixed(master(1)), None, patience, 7);
    s.handle(Event::Start, now);
    s.handle(subscribed(1), now);
    let lost = now;
    s.handle(Event::Failed(1, Problem::Closed(String::new())), now);
    let mut generation = 2;
    while now < lost + Duration::from_secs(5) {
        assert!(!wait(&mut s, &mut now).is_empty());
        let actions = s.handle(Event::Failed(generation, unreachable()), now);
        let over = now >= lost + Duration::from_secs(5);
        assert_eq!(actions.contains(&Action::GiveUp(unreachable())), over);
        generation += 1;
    }
    let never = Patience { restore: Some(Duration::ZERO), ..Patience::default() };
    let mut s = Subscription::new(Masters::Fixed(master(1)), None, never, 7);
    s.handle(Event::Start, now);
    s.handle(subscribed(1), now);
    let closed = Problem::Closed(String::new());
    let actions = s.handle(Event::Failed(1, closed.clone()), now);
    assert_eq!(actions, [Action::Drop(1), Action::GiveUp(closed)]);
}

#[test]
fn an_error_event_is_final() {
    let now = Instant::now();
    let (mut s, _) = new(now);
    s.handle(subscribed(1), now);
    let problem = Problem::Error("Framework has been removed".to_owned());
    let actions = s.handle(Event::Failed(1, problem.clone()), now);
    assert_eq!(actions, [Action::Drop(1), Action::GiveUp(problem)]);
    assert_eq!(s.handle(Event::Start, now), []);
}

#[test]
fn a_recovering_master_is_waited_for() {
    let mut now = Instant::now();
    let (mut s, _) = new(now);
    let not_ready = Problem::Unavailable { master: master(1), text: "recovering".to_owned() };
    for generation in 1..6 {
        assert_eq!(
            s.handle(Event::Failed(generation, not_ready.clone()), now),
            [Action::Drop(generation)]
        );
        assert_eq!(wait(&mut s, &mut now), [connect(generation + 1, 1, None)]);
    }
}

fn detected() -> (Instant, Subscription) {
    let now = Instant::now();
    let mut s = Subscription::new(Masters::Detected, None, Patience::default(), 7);
    assert_eq!(s.handle(Event::Start, now), []);
    (now, s)
}

#[test]
fn zookeeper_names_the_leader_and_the_next_one() {
    let (mut now, mut s) = detected();
    now += Duration::from_secs(3);
    assert_eq!(s.handle(Event::Detected(Err("nobody".to_owned())), now), []);
    assert_eq!(s.handle(Event::Detected(Ok(master(1))), now), [connect(1, 1, None)]);
    s.handle(subscribed(1), now);
    // The one who led may still serve us, and may lead again.
    assert_eq!(s.handle(Event::Detected(Err("nobody".to_owned())), now), []);
    assert_eq!(s.handle(Event::Detected(Ok(master(1))), now), []);
    assert!(s.is_subscribed());
    assert_eq!(
        s.handle(Event::Detected(Ok(master(2))), now),
        [
            Action::Drop(1),
            Action::Disconnected(Problem::LeaderChanged(master(2))),
            connect(2, 2, Some("F"))
        ]
    );
}

#[test]
fn without_leader_a_lost_subscription_waits_for_the_next() {
    let (mut now, mut s) = detected();
    s.handle(Event::Detected(Ok(master(1))), now);
    s.handle(subscribed(1), now);
    s.handle(Event::Detected(Err("nobody".to_owned())), now);
    let closed = Problem::Closed("killed".to_owned());
    let actions = s.handle(Event::Failed(1, closed.clone()), now);
    assert_eq!(actions, [Action::Drop(1), Action::Disconnected(closed)]);
    for _ in 0..100 {
        assert_eq!(wait(&mut s, &mut now), []);
    }
    assert_eq!(s.handle(Event::Detected(Ok(master(2))), now), [connect(2, 2, Some("F"))]);
}

#[test]
fn a_first_subscription_does_not_wait_for_a_leader_for_ever() {
    let (mut now, mut s) = detected();
    let started = now;
    s.handle(Event::Detected(Err("nobody".to_owned())), now);
    let last = loop {
        let actions = wait(&mut s, &mut now);
        if !actions.is_empty() {
            break actions;
        }
    };
    assert_eq!(last, [Action::GiveUp(Problem::NoLeader("nobody".to_owned()))]);
    assert_eq!(now.duration_since(started), Patience::default().unavailable);
}

/// Fails attempt after attempt from `generation` on; answers how long until it gave up.
fn gives_up_after(
    s: &mut Subscription,
    mut generation: Generation,
    mut now: Instant,
    redirects: bool,
) -> Duration {
    let started = now;
    loop {
        if redirects {
            s.handle(Event::Redirected(generation, master(2)), now);
            generation += 1;
        }
        let actions = s.handle(Event::Failed(generation, unreachable()), now);
        if actions.contains(&Action::GiveUp(unreachable())) {
            return now.duration_since(started);
        }
        wait(s, &mut now);
        generation += 1;
    }
}

#[test]
fn a_leader_that_died_just_now_is_waited_for_as_long_as_its_session() {
    let (now, mut s) = detected();
    s.handle(Event::Detected(Ok(master(1))), now);
    let waited = gives_up_after(&mut s, 1, now, false);
    assert!(waited >= Patience::default().unavailable, "{waited:?}");
    // Another master may not know of it either.
    let (mut s, _) = new(now);
    let waited = gives_up_after(&mut s, 1, now, true);
    assert!(waited >= Patience::default().unavailable, "{waited:?}");
}

#[test]
fn the_next_leader_is_asked_while_the_dead_one_does_not_answer() {
    let (mut now, mut s) = detected();
    s.handle(Event::Detected(Ok(master(1))), now);
    s.handle(Event::Failed(1, unreachable()), now);
    now += Duration::from_secs(9);
    s.handle(Event::Tick, now);
    s.handle(Event::Failed(2, unreachable()), now);
    assert_eq!(s.handle(Event::Detected(Ok(master(2))), now), [connect(3, 2, None)]);
    s.handle(subscribed(3), now);
    assert!(s.is_subscribed());
}

fn any_event() -> impl Strategy<Value = (Event, u64)> {
    let generation = 0_u64..12;
    let problem = prop_oneof![
        Just(unreachable()),
        Just(Problem::Closed("x".to_owned())),
        Just(Problem::Unavailable { master: master(1), text: String::new() }),
        Just(Problem::Refused { master: master(1), status: 401, text: String::new() }),
    ];
    let event = prop_oneof![
        generation.clone().prop_map(Event::Opened),
        generation.clone().prop_map(Event::Record),
        generation.clone().prop_map(subscribed),
        (generation.clone(), problem).prop_map(|(g, p)| Event::Failed(g, p)),
        (generation, 1_u16..4).prop_map(|(g, port)| Event::Redirected(g, master(port))),
        (1_u16..4).prop_map(|port| Event::Detected(Ok(master(port)))),
        Just(Event::Detected(Err("nobody".to_owned()))),
        Just(Event::Tick),
        Just(Event::Tick),
    ];
    (event, 0_u64..40_000)
}

proptest! {
    /// One connection at a time, generations grow, the id is kept, it never gets stuck, and after
    /// the end nothing happens.
    #[test]
    fn whatever_happens(
        fixed in any::<bool>(),
        events in proptest::collection::vec(any_event(), 0..200),
    ) {
        let mut now = Instant::now();
        let masters = if fixed { Masters::Fixed(master(1)) } else { Masters::Detected };
        let mut s = Subscription::new(masters, None, Patience::default(), 7);
        let first = s.handle(Event::Start, now);
        // The last generation, and whether its connection is still there.
        let mut latest = u64::from(fixed);
        let mut open = fixed;
        let mut ended = false;
        let mut known = false;
        prop_assert_eq!(first.len(), usize::from(fixed));
        for (event, later) in events {
            now += Duration::from_millis(later);
            if let Event::Subscribed { generation, .. } = &event {
                known |= open && latest == *generation;
            }
            let actions = s.handle(event, now);
            prop_assert!(!ended || actions.is_empty());
            for action in actions {
                match action {
                    Action::Connect { generation, framework_id, .. } => {
                        prop_assert!(generation > latest);
                        prop_assert_eq!(framework_id.is_some(), known);
                        (latest, open) = (generation, true);
                    }
                    Action::Drop(generation) => {
                        prop_assert_eq!((generation, true), (latest, open));
                        open = false;
                    }
                    Action::Disconnected(_) => prop_assert!(known),
                    Action::GiveUp(_) => ended = true,
                }
            }
            prop_assert_eq!(s.next_wakeup().is_none(), ended);
        }
    }
}
