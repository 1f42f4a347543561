//! The master from outside.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod http;
mod server;
mod simulation;
mod zookeeper;

use simulation::Simulation;

/// Simulated worlds; `make soak SUITE=cluster` has more.
const SEEDS: u64 = 128;

/// A failure names the seed: `make soak SUITE=cluster SEED=N SEEDS=1` repeats it.
#[test]
fn no_seed_breaks_an_invariant() {
    let (mut launched, mut faults) = (0, 0);
    for seed in 0..SEEDS {
        let mut simulation = Simulation::new(seed);
        simulation.run();
        if let Some(broken) = &simulation.broken {
            panic!("seed {seed}: {broken}");
        }
        launched += simulation.launched;
        faults += simulation.faults;
    }
    assert!(launched > 4000 && faults > 4000, "{launched} tasks, {faults} faults: too quiet");
}
