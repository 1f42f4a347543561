//! The master's speed: an allocation over 1,000 agents and 100 frameworks, one agent's resources after
//! they are freed, launches through the core, and `/state` of a large cluster. One JSON line each.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos_api::agent_protocol::{Register, StatusUpdate, ToMaster};
use mesos_api::offer::Operation;
use mesos_api::scheduler::Call;
use mesos_api::scheduler::call::{Accept, Subscribe, Type};
use mesos_api::{
    AgentInfo, CommandInfo, FrameworkInfo, MasterInfo, Resources, TaskInfo, TaskState, TaskStatus,
    WireFormat,
};
use mesos_master::allocator::Allocator;
use mesos_master::core::{
    Acls, Action, Event, LinkId, Master, RequestId, Settings, Snapshot, StreamId,
};

const RESOURCES: &str = "cpus:16;mem:65536;disk:100000;ports:[31000-32000]";

fn agent(number: usize) -> AgentInfo {
    AgentInfo {
        hostname: format!("host-{number}"),
        port: Some(5051),
        resources: Resources::parse(RESOURCES, "*")
            .map(|resources| resources.to_wire(WireFormat::PostRefinement))
            .unwrap_or_default(),
        attributes: mesos_api::resources::parse_attributes("rack:r1;zone:a").unwrap_or_default(),
        ..AgentInfo::default()
    }
}

fn framework(number: usize) -> FrameworkInfo {
    FrameworkInfo {
        name: format!("framework {number}"),
        role: Some(format!("role-{}", number % 10)),
        failover_timeout: Some(3600.0),
        checkpoint: Some(true),
        ..FrameworkInfo::default()
    }
}

fn report(figure: &str, value: f64, unit: &str) -> std::io::Result<()> {
    report_with(figure, value, unit, "null")
}

/// A figure, and what it should keep to.
fn report_with(figure: &str, value: f64, unit: &str, limit: &str) -> std::io::Result<()> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("0").to_owned();
    writeln!(
        std::io::stdout(),
        "{{\"figure\":\"{figure}\",\"value\":{value:.3},\"unit\":\"{unit}\",\"limit\":{limit},\"load\":{load},\
         \"cpu_seconds\":{:.2}}}",
        cpu_seconds()
    )
}

/// Of this process, so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // User and system time are fields 14 and 15, in hundredths of a second.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// All agents are free, and all frameworks want them.
fn full_allocation() -> f64 {
    let mut allocator = Allocator::new([("role-1".to_owned(), 2.0)].into());
    for number in 0..1000 {
        allocator.add_agent(format!("S{number}").as_str().into(), Arc::new(agent(number)), &[]);
    }
    for number in 0..100 {
        let id = format!("F{number}").as_str().into();
        allocator.update_framework(&id, &framework(number), &BTreeSet::new(), None);
    }
    let begun = Instant::now();
    let allocations = allocator.allocate(Duration::from_secs(1));
    let taken = milliseconds(begun.elapsed());
    assert_eq!(allocations.len(), 1000, "every agent is offered");
    taken
}

/// 1,000 agents, of which 100 frameworks have declined everything; one revives.
fn revival() -> f64 {
    let mut allocator = Allocator::new([].into());
    for number in 0..1000 {
        allocator.add_agent(format!("S{number}").as_str().into(), Arc::new(agent(number)), &[]);
    }
    for number in 0..100 {
        let id = format!("F{number}").as_str().into();
        allocator.update_framework(&id, &framework(number), &BTreeSet::new(), None);
    }
    let mut now = Duration::from_secs(1);
    loop {
        let allocations = allocator.allocate(now);
        if allocations.is_empty() {
            break;
        }
        for a in allocations {
            let until = Some(now + Duration::from_secs(3600));
            allocator.recover(&a.framework_id, &a.agent_id, &a.resources, until);
        }
        now += Duration::from_millis(3);
    }
    allocator.revive(&"F50".into(), &[]);
    let begun = Instant::now();
    let allocations = allocator.allocate(now);
    let taken = milliseconds(begun.elapsed());
    assert_eq!(allocations.len(), 1000, "everything goes to who revived");
    taken
}

fn settings() -> Settings {
    Settings {
        master_info: MasterInfo { id: "M".into(), ..MasterInfo::default() },
        offer_timeout: None,
        agent_ping_timeout: Duration::from_secs(15),
        max_agent_ping_timeouts: 5,
        allocation_delay: Duration::from_millis(3),
        allocation_interval: Duration::from_secs(1),
        heartbeat_interval: Duration::from_secs(15),
        max_completed_frameworks: 50,
        max_completed_tasks_per_framework: 1000,
        weights: [].into(),
        roles: BTreeSet::new(),
        agent_reregister_timeout: Duration::from_secs(600),
        filter_gpu_resources: true,
        acls: Acls::default(),
    }
}

/// A master with agents and tasks, ten on each; returns it with the launches a second its core made.
fn large_cluster(agents: usize) -> (Master, f64) {
    let mut now = Duration::from_secs(1000);
    let mut master = Master::new(settings(), now);
    let subscribe = Subscribe { framework_info: framework(0), ..Subscribe::default() };
    let stream = StreamId("s".into());
    master.handle(Event::Subscribe { stream: stream.clone(), subscribe, principal: None }, now);
    let mut offers = Vec::new();
    for number in 0..agents {
        let register =
            Register { agent: agent(number), ip: "127.0.0.1".into(), ..Register::default() };
        master.handle(Event::AgentConnected { link: LinkId(number as u64), register }, now);
        now += Duration::from_millis(4);
        for action in master.handle(Event::Tick, now) {
            if let Action::Send { event, .. } = action {
                offers.extend(event.offers.into_iter().flat_map(|offers| offers.offers));
            }
        }
    }
    let needs = Resources::parse("cpus:1;mem:1024", "*").unwrap_or_default();
    let calls: Vec<Call> = offers
        .into_iter()
        .enumerate()
        .map(|(at, offer)| {
            let tasks = (0..10).map(|number| TaskInfo {
                name: "task".into(),
                task_id: format!("task-{at}-{number}").as_str().into(),
                agent_id: offer.agent_id.clone(),
                resources: needs.to_wire(WireFormat::PreRefinement),
                command: Some(CommandInfo { value: Some("true".into()), ..CommandInfo::default() }),
                ..TaskInfo::default()
            });
            let operations = vec![Operation::launch_tasks(tasks.collect())];
            let offer_ids = vec![offer.id];
            Call {
                framework_id: Some("M-0000".into()),
                r#type: Some(Type::Accept.into()),
                accept: Some(Accept { offer_ids, operations, filters: None }),
                ..Call::default()
            }
        })
        .collect();
    let tasks = calls.len() * 10;
    let begun = Instant::now();
    for call in calls {
        let (request, stream) = (RequestId(0), Some(stream.clone()));
        master.handle(Event::Call { request, call, stream, principal: None }, now);
    }
    (master, tasks as f64 / begun.elapsed().as_secs_f64())
}

/// The last task of each of the first agents is in another state.
fn change(master: &mut Master, agents: u64, round: u32) {
    for number in 0..agents {
        let state =
            if u32::is_multiple_of(round, 2) { TaskState::Running } else { TaskState::Starting };
        let status = TaskStatus {
            task_id: format!("task-{number}-9").as_str().into(),
            state: state.into(),
            ..TaskStatus::default()
        };
        let update = StatusUpdate { framework_id: "M-0000".into(), status, latest_state: None };
        let message = ToMaster { update: Some(update), ..ToMaster::default() };
        let event = Event::AgentMessage { link: LinkId(number), message };
        master.handle(event, Duration::from_secs(2000));
    }
}

fn main() -> std::io::Result<()> {
    let rounds = || 0..9;
    report_with(
        "allocation_1000_agents_100_frameworks",
        median(rounds().map(|_| full_allocation()).collect()),
        "ms",
        "10.0",
    )?;
    report(
        "allocation_revive_after_100_declined",
        median(rounds().map(|_| revival()).collect()),
        "ms",
    )?;
    let (mut master, rate) = large_cluster(10_000);
    report("core_task_launches", rate, "1/s")?;
    let begun = Instant::now();
    let snapshot = master.snapshot();
    report("snapshot_10000_agents_100000_tasks", milliseconds(begun.elapsed()), "ms")?;
    let mut writer = mesos_master::StateWriter::default();
    let mut write = |snapshot: &Snapshot| {
        let begun = Instant::now();
        let size: usize = writer.write(snapshot).iter().map(bytes::Bytes::len).sum();
        (milliseconds(begun.elapsed()), size)
    };
    let (first, size) = write(&snapshot);
    report("state_10000_agents_100000_tasks_at_first", first, "ms")?;
    report("state_size", size as f64 / 1e6, "MB")?;
    let (mut copied, mut written) = (Vec::new(), Vec::new());
    for round in rounds() {
        change(&mut master, 1000, round);
        let begun = Instant::now();
        let snapshot = master.snapshot();
        copied.push(milliseconds(begun.elapsed()));
        written.push(write(&snapshot).0);
    }
    report("snapshot_after_1000_agents_changed", median(copied), "ms")?;
    report("state_after_1000_agents_changed", median(written), "ms")
}
