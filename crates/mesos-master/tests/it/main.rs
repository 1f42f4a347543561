//! The master from outside.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod http;
mod server;
mod simulation;
mod zookeeper;

use simulation::Simulation;

/// Simulated worlds; `make soak SUITE=cluster` has more.
const SEEDS: u64 = 500;

/// A failure names the seed: `make soak SUITE=cluster SEED=N SEEDS=1` repeats it.
#[test]
fn no_seed_breaks_an_invariant() {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let worlds = |first: u64| {
        let (mut launched, mut faults) = (0, 0);
        for seed in (first..SEEDS).step_by(threads as usize) {
            let mut simulation = Simulation::new(seed);
            simulation.run();
            if let Some(broken) = &simulation.broken {
                panic!("seed {seed}: {broken}");
            }
            launched += simulation.launched;
            faults += simulation.faults;
        }
        (launched, faults)
    };
    let (launched, faults) = std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|first| scope.spawn(move || worlds(first))).collect();
        let sums = running.into_iter().map(|thread| thread.join().unwrap());
        sums.fold((0, 0), |(launched, faults), more| (launched + more.0, faults + more.1))
    });
    assert!(launched > 16_000 && faults > 16_000, "{launched} tasks, {faults} faults: too quiet");
}
