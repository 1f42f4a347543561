//! How many task completions the scheduler takes in per second: `completions [COMPLETIONS]`, one
//! JSON line. Jobs of two stages, a map stage and a result stage of 10,000 partitions each, on 100
//! executors of 8 cores; a completion is `handle` with its launch of the next task. A second line
//! has the memory of live tasks: of a stage of so many partitions, and of one twice as large.

use std::io::Write;
use std::time::{Duration, Instant};

use spark_scheduler::*;

const COMPLETIONS: u64 = 3_000_000;
const PARTITIONS: u32 = 10_000;
const EXECUTORS: u32 = 100;
const CORES: u32 = 8;

fn main() -> std::io::Result<()> {
    let wanted = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(COMPLETIONS);
    let mut scheduler = Scheduler::new(SchedulerOptions::default());
    let mut running: std::collections::VecDeque<(TaskId, StageId)> = Default::default();
    let mut now = Time::default();
    for executor in 0..EXECUTORS {
        let host = format!("h{}", executor / 4).into();
        let executor = ExecutorId::from(executor.to_string());
        scheduler.handle(Event::ExecutorAdded { executor, host, cores: CORES }, now);
    }
    let sizes = MapSizes::new(&[1; 200]);
    let address: std::sync::Arc<str> = "10.0.0.1:7337".into();
    let mut actions = Vec::new();
    let (mut completions, mut jobs) = (0_u64, 0_u64);
    let mut slowest = Duration::ZERO;
    let started = Instant::now();
    while completions < wanted {
        scheduler.handle_into(Event::JobSubmitted(job(jobs)), now, &mut actions);
        jobs += 1;
        loop {
            for action in actions.drain(..) {
                if let Action::LaunchTask { task, .. } = action {
                    running.push_back((task.task, task.stage));
                }
            }
            let Some((task, stage)) = running.pop_front() else { break };
            let outcome = if stage.0.is_multiple_of(2) {
                let (address, sizes) = (address.clone(), sizes.clone());
                TaskOutcome::MapOutput(MapOutput { address, sizes })
            } else {
                TaskOutcome::Result
            };
            now = now + Duration::from_micros(10);
            let before = Instant::now();
            scheduler.handle_into(Event::TaskFinished { task, outcome }, now, &mut actions);
            slowest = slowest.max(before.elapsed());
            completions += 1;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds()?;
    writeln!(
        std::io::stdout(),
        "{{\"bench\":\"scheduler_completions\",\"completions\":{completions},\"jobs\":{jobs},\
         \"partitions\":{PARTITIONS},\"slots\":{},\"seconds\":{seconds:.3},\
         \"cpu_seconds\":{cpu_seconds:.3},\"per_second\":{:.0},\"per_cpu_second\":{:.0},\
         \"slowest_micros\":{},\"load\":{}}}",
        EXECUTORS * CORES,
        completions as f64 / seconds,
        completions as f64 / cpu_seconds,
        slowest.as_micros(),
        load()?,
    )?;
    memory()
}

/// Partitions of the smaller of the two stages whose memory is compared.
const LIVE_TASKS: u32 = 500_000;

/// What a live task takes must not depend on how many there are.
fn memory() -> std::io::Result<()> {
    let mut per_task = Vec::new();
    for tasks in [LIVE_TASKS, 2 * LIVE_TASKS] {
        let before = resident_bytes()?;
        let mut scheduler = Scheduler::new(SchedulerOptions::default());
        let executor = ExecutorId::from("0");
        let added = Event::ExecutorAdded { executor, host: "h".into(), cores: CORES };
        scheduler.handle(added, Time::default());
        let stage = StageSpec::shuffle_map(StageId(0), ShuffleId(0), tasks, vec![]);
        let job = JobSpec {
            job: JobId(0),
            stages: vec![stage],
            final_stage: StageId(0),
            properties: JobProperties::default(),
        };
        scheduler.handle(Event::JobSubmitted(job), Time::default());
        assert_eq!(scheduler.demand().pending_tasks, (tasks - CORES) as usize);
        per_task.push(resident_bytes()?.saturating_sub(before) / u64::from(tasks));
    }
    writeln!(
        std::io::stdout(),
        "{{\"bench\":\"scheduler_memory\",\"live_tasks\":{},\"bytes_per_task\":{},\
         \"bytes_per_task_of_half_as_many\":{},\"cpu_seconds\":{:.3},\"load\":{}}}",
        2 * LIVE_TASKS,
        per_task[1],
        per_task[0],
        cpu_seconds()?,
        load()?,
    )
}

fn resident_bytes() -> std::io::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    Ok(pages.unwrap_or_default() * 4096)
}

/// What this process took of the processor: steadier than the clock on a loaded machine.
fn cpu_seconds() -> std::io::Result<f64> {
    let statistics = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanos = statistics.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
    Ok(nanos.unwrap_or_default() / 1e9)
}

fn load() -> std::io::Result<String> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    Ok(load.split_whitespace().next().unwrap_or("0").to_owned())
}

fn job(number: u64) -> JobSpec {
    let (map, shuffle, result) = (StageId(number * 2), ShuffleId(number), StageId(number * 2 + 1));
    JobSpec {
        job: JobId(number),
        stages: vec![
            StageSpec::shuffle_map(map, shuffle, PARTITIONS, vec![]),
            StageSpec::result(result, PARTITIONS, vec![shuffle]),
        ],
        final_stage: result,
        properties: JobProperties::default(),
    }
}
