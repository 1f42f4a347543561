use super::*;

fn executor(id: u32, running_cpus: u32) -> ExecutorUse {
    ExecutorUse {
        executor: format!("e{id:02}").into(),
        running_cpus,
        holds_output: false,
        holds_cache: false,
        decommissioned: false,
    }
}

fn input(needed: f64, backlogged: bool, executors: Vec<ExecutorUse>) -> AllocationInput {
    AllocationInput { needed, backlogged, executors }
}

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

fn busy(executors: u32) -> Vec<ExecutorUse> {
    (0..executors).map(|id| executor(id, 1)).collect()
}

fn total(actions: &[AllocationAction]) -> Option<u32> {
    actions.iter().find_map(|action| match action {
        AllocationAction::RequestTotal(total) => Some(*total),
        AllocationAction::Kill(_) => None,
    })
}

fn killed(actions: &[AllocationAction]) -> Vec<&str> {
    actions
        .iter()
        .filter_map(|action| match action {
            AllocationAction::Kill(ids) => Some(ids.iter().map(ExecutorId::as_str)),
            AllocationAction::RequestTotal(_) => None,
        })
        .flatten()
        .collect()
}

#[test]
fn the_first_request_is_made_at_once_and_each_further_one_adds_twice_as_many() {
    let mut allocation = ExecutorAllocation::new(AllocationOptions::default());
    assert_eq!(total(&allocation.look(&input(0.0, false, vec![]), at(0))), Some(0));
    let mut totals = Vec::new();
    for second in 1..=6 {
        let target = allocation.target();
        let look = allocation.look(&input(20.0, true, busy(target)), at(second));
        totals.push(total(&look).unwrap_or(target));
    }
    // 1, then +2, +4, +8, and what is left of 20.
    assert_eq!(totals, [1, 3, 7, 15, 20, 20]);
}

#[test]
fn a_backlog_timeout_that_is_set_is_waited_for() {
    let options = AllocationOptions {
        backlog_timeout: Some(Duration::from_secs(5)),
        ..AllocationOptions::default()
    };
    let mut allocation = ExecutorAllocation::new(options);
    for second in 0..5 {
        allocation.look(&input(4.0, true, vec![]), at(second));
        assert_eq!(allocation.target(), 0, "after {second} s");
    }
    allocation.look(&input(4.0, true, vec![]), at(5));
    assert_eq!(allocation.target(), 1);
    // Nothing waits for a moment: the next backlog begins anew.
    allocation.look(&input(1.0, false, busy(1)), at(6));
    allocation.look(&input(4.0, true, busy(1)), at(7));
    assert_eq!(allocation.target(), 1);
}

#[test]
fn the_target_stays_between_minimum_and_maximum_and_follows_the_need_down() {
    let options = AllocationOptions {
        min_executors: 2,
        max_executors: 5,
        initial_executors: 3,
        ..AllocationOptions::default()
    };
    let mut allocation = ExecutorAllocation::new(options);
    assert_eq!(total(&allocation.look(&input(0.0, false, vec![]), at(0))), Some(3));
    for second in 1..10 {
        allocation.look(&input(100.0, true, busy(allocation.target())), at(second));
    }
    assert_eq!(allocation.target(), 5);
    allocation.look(&input(3.5, false, busy(5)), at(10));
    assert_eq!(allocation.target(), 4);
    allocation.look(&input(0.0, false, busy(5)), at(11));
    assert_eq!(allocation.target(), 2);
}

#[test]
fn half_of_full_parallelism_is_half_of_the_executors() {
    let options = AllocationOptions { allocation_ratio: 0.5, ..AllocationOptions::default() };
    let mut allocation = ExecutorAllocation::new(options);
    for second in 0..10 {
        allocation.look(&input(9.0, true, busy(allocation.target())), at(second));
    }
    assert_eq!(allocation.target(), 5);
}

#[test]
fn idle_executors_go_after_their_time_but_never_below_minimum_or_target() {
    let options = AllocationOptions { min_executors: 1, ..AllocationOptions::default() };
    let mut allocation = ExecutorAllocation::new(options);
    for second in 0..4 {
        allocation.look(&input(4.0, true, busy(allocation.target())), at(second));
    }
    assert_eq!(allocation.target(), 4);
    let idle: Vec<ExecutorUse> = (0..4).map(|id| executor(id, 0)).collect();
    assert_eq!(killed(&allocation.look(&input(0.0, false, idle.clone()), at(10))), [""; 0]);
    assert_eq!(killed(&allocation.look(&input(0.0, false, idle.clone()), at(69))), [""; 0]);
    let gone = allocation.look(&input(0.0, false, idle.clone()), at(70));
    assert_eq!(killed(&gone), ["e03", "e02", "e01"]);
    // They are told once, and count as gone while they are still there.
    assert_eq!(allocation.look(&input(0.0, false, idle), at(71)), []);
}

#[test]
fn work_in_between_makes_an_executor_stay() {
    let mut allocation = ExecutorAllocation::new(AllocationOptions::default());
    allocation.look(&input(0.0, false, vec![executor(0, 0)]), at(0));
    allocation.look(&input(1.0, false, vec![executor(0, 1)]), at(59));
    assert_eq!(allocation.look(&input(0.0, false, vec![executor(0, 0)]), at(61)), []);
    let look = allocation.look(&input(0.0, false, vec![executor(0, 0)]), at(120));
    assert_eq!(killed(&look), [""; 0]);
    let look = allocation.look(&input(0.0, false, vec![executor(0, 0)]), at(121));
    assert_eq!(killed(&look), ["e00"]);
}

#[test]
fn needed_output_keeps_its_executor_only_without_a_shuffle_service() {
    let holder = ExecutorUse { holds_output: true, ..executor(0, 0) };
    for (shuffle_service, shuffle_timeout, goes_at) in [
        (false, None, None),
        (false, Some(Duration::from_secs(300)), Some(300)),
        (true, None, Some(60)),
    ] {
        let options =
            AllocationOptions { shuffle_service, shuffle_timeout, ..AllocationOptions::default() };
        let mut allocation = ExecutorAllocation::new(options);
        let went = (0..1000).find(|second| {
            let look = allocation.look(&input(0.0, false, vec![holder.clone()]), at(*second));
            !killed(&look).is_empty()
        });
        assert_eq!(went, goes_at);
    }
}

#[test]
fn cached_partitions_keep_their_executor_for_their_own_time() {
    let holder = ExecutorUse { holds_cache: true, ..executor(0, 0) };
    for (cached_idle_timeout, goes_at) in
        [(None, None), (Some(Duration::from_secs(200)), Some(200))]
    {
        let options = AllocationOptions { cached_idle_timeout, ..AllocationOptions::default() };
        let mut allocation = ExecutorAllocation::new(options);
        let went = (0..1000).find(|second| {
            let look = allocation.look(&input(0.0, false, vec![holder.clone()]), at(*second));
            !killed(&look).is_empty()
        });
        assert_eq!(went, goes_at);
    }
}

#[test]
fn a_decommissioned_executor_is_replaced_and_not_told_again() {
    let mut allocation = ExecutorAllocation::new(AllocationOptions::default());
    let leaving = ExecutorUse { decommissioned: true, ..executor(0, 0) };
    for second in 0..200 {
        let look = allocation.look(&input(1.0, true, vec![leaving.clone()]), at(second));
        assert_eq!(killed(&look), [""; 0]);
    }
    assert_eq!(allocation.target(), 1);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let options = AllocationOptions::default;
    assert_eq!(options().check(), Ok(()));
    for (wrong, name) in [
        (AllocationOptions { max_executors: 0, ..options() }, "maxExecutors"),
        (AllocationOptions { min_executors: 3, max_executors: 2, ..options() }, "minExecutors"),
        (AllocationOptions { initial_executors: 3, max_executors: 2, ..options() }, "initial"),
        (AllocationOptions { allocation_ratio: 0.0, ..options() }, "executorAllocationRatio"),
        (AllocationOptions { allocation_ratio: f64::NAN, ..options() }, "Ratio"),
        (
            AllocationOptions { sustained_backlog_timeout: Duration::ZERO, ..options() },
            "sustainedSchedulerBacklogTimeout",
        ),
    ] {
        assert!(wrong.check().is_err_and(|text| text.contains(name)), "{name}");
    }
}

/// Random work on a pretended cluster: the bounds hold at every look, work gets its executors, and
/// in the end only the minimum is left.
#[test]
fn random_work_is_served_and_the_executors_go_afterwards() {
    let mut random = crate::simulation::Random::new(7);
    for _ in 0..200 {
        let min = random.below(3) as u32;
        let max = min + 1 + random.below(8) as u32;
        let options = AllocationOptions {
            min_executors: min,
            max_executors: max,
            initial_executors: min,
            idle_timeout: Duration::from_secs(1 + random.below(20)),
            ..AllocationOptions::default()
        };
        let idle_timeout = options.idle_timeout;
        let mut allocation = ExecutorAllocation::new(options);
        let mut executors: BTreeMap<ExecutorId, u64> = BTreeMap::new();
        let (mut target, mut next_id) = (0, 0);
        let (mut tasks, mut served) = (0_u64, 0_u64);
        let mut now = Time::default();
        let mut idle_since: BTreeMap<ExecutorId, Time> = BTreeMap::new();
        for step in 0..400 {
            now = now + Duration::from_millis(250);
            if step < 200 && random.percent(10) {
                tasks += random.below(30);
            }
            // One task a slot a step.
            let running = tasks.min(executors.len() as u64);
            let uses: Vec<ExecutorUse> = executors
                .keys()
                .enumerate()
                .map(|(place, id)| ExecutorUse {
                    executor: id.clone(),
                    ..executor(0, u32::from((place as u64) < running))
                })
                .collect();
            for use_of in &uses {
                if use_of.running_cpus > 0 {
                    idle_since.remove(&use_of.executor);
                } else {
                    idle_since.entry(use_of.executor.clone()).or_insert(now);
                }
            }
            let look = allocation.look(&input(tasks as f64, tasks > running, uses), now);
            assert!((min..=max).contains(&allocation.target()));
            for action in look {
                match action {
                    AllocationAction::RequestTotal(total) => target = total,
                    AllocationAction::Kill(ids) => {
                        for id in ids {
                            assert!(executors.remove(&id).is_some());
                            let idle = now.since(idle_since[&id]);
                            assert!(idle >= idle_timeout, "{id} went after {idle:?}");
                        }
                        assert!(executors.len() as u32 >= min.max(target));
                    }
                }
            }
            tasks -= running;
            served += running;
            if (executors.len() as u32) < target {
                executors.insert(format!("x{next_id:03}").into(), 0);
                next_id += 1;
            }
        }
        assert_eq!(tasks, 0, "work is left after {served} tasks");
        assert_eq!(executors.len() as u32, min.max(allocation.target()));
        assert_eq!(allocation.target(), min);
    }
}
