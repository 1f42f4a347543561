//! `soak FIRST COUNT`: the simulation of the tests with many seeds; one JSON line at the end.

#[path = "../tests/it/simulation.rs"]
mod simulation;

use std::io::Write as _;

/// What happened to the task of which something is wrong, and to all.
fn tell(broken: &str, trace: &[String]) -> std::io::Result<()> {
    let is_task = |word: &&str| word.strip_prefix('t').is_some_and(|n| n.parse::<u64>().is_ok());
    let task = broken.split(' ').find(is_task);
    let of_all = |line: &str| !line.contains(" is TASK_") && !line.contains("question");
    let concerns = |line: &str| {
        task.is_some_and(|task| line.split([' ', '"']).any(|word| word == task)) || of_all(line)
    };
    for line in trace.iter().filter(|line| concerns(line)) {
        writeln!(std::io::stderr(), "{line}")?;
    }
    Ok(())
}

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
            let mut again = simulation::Simulation::new(seed);
            again.trace = Some(Vec::new());
            again.run();
            tell(&broken, &again.trace.unwrap_or_default())?;
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
