//! What handling an offer costs with many agents: `offers [AGENTS [ROUNDS]]`, one JSON line per case.
//!
//! An offer has what an agent of a real cluster offers: cpus, mem, disk and ports, some of it reserved,
//! and a few attributes. In `declined` no agent matches the constraints; in `placed` every agent gets
//! executors until the next round ends them; in `fine` every agent gets a task each round.

use std::io::Write;
use std::time::{Duration, Instant};

use mesos_api::value::Text;
use mesos_api::{Attribute, Offer, Resource, TaskState, TaskStatus, ValueType};
use spark_conf::{Origin, SparkConf};
use spark_mesos::{Action, Core, Event, LaunchContext, Settings, TaskLaunch};

const AGENTS: usize = 1000;
const ROUNDS: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |at: usize, default: usize| {
        std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (agents, rounds) = (number(1, AGENTS), number(2, ROUNDS));
    let cases: [(&str, &[(&str, &str)]); 3] = [
        ("declined", &[("spark.mesos.constraints", "rack:none;zone:x")]),
        ("placed", &[("spark.executor.cores", "2"), ("spark.mesos.role", "dev")]),
        ("fine", &[("spark.mesos.coarse", "false")]),
    ];
    for (case, settings) in cases {
        let spent = run(settings, agents, rounds)?;
        let each = spent.as_secs_f64() * 1e6 / (agents * rounds) as f64;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("0").to_owned();
        writeln!(
            std::io::stdout(),
            "{{\"figure\":\"offer handling, {case}\",\"value\":{each:.2},\"unit\":\"us per offer\",\"limit\":50,\
             \"agents\":{agents},\"cpu_seconds\":{:.3},\"load\":{load}}}",
            spent.as_secs_f64()
        )?;
    }
    Ok(())
}

fn run(
    pairs: &[(&str, &str)],
    agents: usize,
    rounds: usize,
) -> Result<Duration, Box<dyn std::error::Error>> {
    let mut conf = SparkConf::new();
    for (key, value) in pairs {
        conf.set(Origin::Program, key, value);
    }
    let settings = Settings::from_conf(&conf, Some("/opt/spark"))?;
    let context = LaunchContext {
        driver_url: "spark://10.0.0.1:7000".to_owned(),
        secret: "secret".to_owned(),
        user: "bench".to_owned(),
    };
    let mut core = Core::new(settings, context);
    let start = Instant::now();
    core.handle(Event::Registered { framework_id: "F".to_owned(), again: false }, start);
    let mut spent = Duration::ZERO;
    let mut tasks = 0_u64;
    for round in 0..rounds {
        // Ten minutes a round: no filter, idle executor or question outlives it.
        let now = start + Duration::from_secs(600 * (round as u64 + 1));
        core.handle(Event::WaitingTasks(agents as u64), now);
        let offers = (0..agents).map(|agent| offer(agent, round)).collect();
        let begin = processor_time();
        let mut actions = core.handle(Event::Offers(offers), now);
        let launches: Vec<TaskLaunch> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Slots { executor_id, free: 1.., .. } => Some(executor_id.clone()),
                _ => None,
            })
            .map(|executor_id| {
                tasks += 1;
                TaskLaunch {
                    task_id: format!("t{tasks}"),
                    executor_id,
                    name: "task".to_owned(),
                    data: vec![0; 256].into(),
                }
            })
            .collect();
        if !launches.is_empty() {
            actions.extend(core.handle(Event::LaunchTasks(launches), now));
        }
        spent += processor_time() - begin;
        end_all(&mut core, &actions, now);
    }
    Ok(spent)
}

/// Time this thread has had a processor, which a busy machine does not lengthen.
fn processor_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// Everything that was launched ends, so that each round begins alike.
fn end_all(core: &mut Core, actions: &[Action], now: Instant) {
    for action in actions {
        let Action::Launch(launch) = action else { continue };
        for task in &launch.tasks {
            let mut status = TaskStatus { task_id: task.task_id.clone(), ..TaskStatus::default() };
            status.set_state(TaskState::Finished);
            status.set_source(mesos_api::task_status::Source::Executor);
            core.handle(Event::Status(status), now);
        }
    }
}

fn offer(agent: usize, round: usize) -> Offer {
    let text = |name: &str, value: String| Attribute {
        name: name.to_owned(),
        r#type: ValueType::Text.into(),
        text: Some(Text { value }),
        ..Attribute::default()
    };
    let reserved = |name: &str, value: f64| Resource {
        role: Some("dev".to_owned()),
        ..Resource::scalar_of(name, value)
    };
    Offer {
        id: format!("m-O{round}-{agent}").into(),
        agent_id: format!("m-S{agent}").into(),
        hostname: format!("agent-{agent}.example"),
        resources: vec![
            reserved("cpus", 2.0),
            reserved("mem", 4096.0),
            Resource::scalar_of("cpus", 6.5),
            Resource::scalar_of("mem", 12_288.0),
            Resource::scalar_of("disk", 102_400.0),
            Resource::ranges_of("ports", [(31_000, 32_000)]),
        ],
        attributes: vec![
            text("rack", format!("r{}", agent / 40)),
            text("zone", "x".to_owned()),
            text("kernel", "6.1".to_owned()),
        ],
        ..Offer::default()
    }
}
