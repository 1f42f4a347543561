//! `soak FIRST COUNT`: the simulation of the tests with many seeds; one JSON line at the end.

#[path = "../tests/it/simulation.rs"]
mod simulation;

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let number = |at: usize, default: u64| {
        std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (first, count) = (number(1, 0), number(2, 10_000));
    let (mut launched, mut faults) = (0, 0);
    let started = std::time::Instant::now();
    for seed in first..first + count {
        let mut simulation = simulation::Simulation::new(seed);
        simulation.run();
        launched += simulation.launched;
        faults += simulation.faults;
        if let Some(broken) = simulation.broken {
            let broken = format!("seed {seed}: {broken}");
            writeln!(std::io::stderr(), "{broken}; repeat with SEED={seed} SEEDS=1")?;
            std::process::exit(1);
        }
    }
    writeln!(
        std::io::stdout(),
        "{{\"suite\":\"cluster\",\"first\":{first},\"seeds\":{count},\"broken\":0,\"tasks\":{launched},\
         \"faults\":{faults},\"seconds\":{}}}",
        started.elapsed().as_secs()
    )
}
