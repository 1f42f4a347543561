//! What is measured.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mesos_api::offer::Operation;
use mesos_api::{AgentId, Offer, TaskInfo, TaskState};
use mesos_client::{
    MasterAddress, SchedulerClient, SchedulerEvent, SchedulerHandle, SchedulerOptions,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::milliseconds;
use super::null_agents::{LASTING, NullAgents};
use crate::lab::{Lab, Profile, amount, command_task, scalar};

/// Nothing here takes that long between two events.
const PATIENCE: Duration = Duration::from_secs(60);

async fn subscribe(
    master: &MasterAddress,
) -> Result<(SchedulerHandle, mpsc::Receiver<SchedulerEvent>)> {
    let mut info = Profile::partition_aware().info();
    info.failover_timeout = Some(600.0);
    Ok(SchedulerClient::connect(SchedulerOptions::new(master.clone(), info)).await?)
}

async fn next(events: &mut mpsc::Receiver<SchedulerEvent>) -> Result<SchedulerEvent> {
    let event = tokio::time::timeout(PATIENCE, events.recv()).await;
    event.context("nothing came for a minute")?.context("the stream ended")
}

/// How long after the end of a task that held a whole null agent its resources are offered, counted from when the
/// agent says so. The other agents' offers stay with us.
///
/// # Errors
/// When the master does not play along.
pub async fn freed_to_offer(
    master: &MasterAddress,
    agents: &mut NullAgents,
    samples: usize,
) -> Result<Value> {
    let (handle, mut events) = subscribe(master).await?;
    let mut waits = Vec::new();
    let mut offers: BTreeMap<_, Offer> = BTreeMap::new();
    let mut busy: Option<(mesos_api::AgentId, Instant)> = None;
    let mut launched = 0_u64;
    while waits.len() < samples {
        match next(&mut events).await? {
            SchedulerEvent::Offers(new) => {
                let heard = Instant::now();
                for offer in new {
                    if busy.as_ref().is_some_and(|(agent, _)| *agent == offer.agent_id) {
                        let ended = agents.ended.recv().await.context("no agent is left")?;
                        ensure!(ended.agent == offer.agent_id, "another agent's task ended");
                        waits.push(heard.saturating_duration_since(ended.at));
                        busy = None;
                    }
                    offers.insert(offer.agent_id.clone(), offer);
                }
            }
            SchedulerEvent::Rescind(id) => offers.retain(|_, offer| offer.id != id),
            SchedulerEvent::Update(status) => handle.acknowledge(&status),
            SchedulerEvent::Error(text) => bail!("{text}"),
            _ => {}
        }
        if busy.is_none()
            && let Some((agent, offer)) = offers.pop_first()
        {
            launched += 1;
            let mut task = command_task(&format!("whole-{launched}"), &agent, "true");
            task.resources.clone_from(&offer.resources);
            handle.accept(vec![offer.id], vec![Operation::launch_tasks(vec![task])], Some(0.0));
            busy = Some((agent, Instant::now()));
        }
    }
    handle.teardown().await?;
    Ok(milliseconds(&mut waits))
}

/// The same on one real agent, counted from when we hear of the task's end, which any master lets us measure.
///
/// # Errors
/// When the master does not play along.
pub async fn end_to_offer(lab: &Lab, samples: usize) -> Result<Value> {
    let mut framework = lab.framework(Profile::partition_aware()).await?;
    let mut waits = Vec::new();
    for number in 0..samples {
        let offer = framework.offer().await?;
        let id = format!("whole-{number}");
        let mut task = command_task(&id, &offer.agent_id, "true");
        task.resources.clone_from(&offer.resources);
        framework.accept(&[&offer], vec![task], 0.0);
        framework.reaches(&id, TaskState::Finished).await?;
        let ended = Instant::now();
        let next = framework.offer().await?;
        waits.push(ended.elapsed());
        framework.offers.push(next);
        framework.forget();
    }
    framework.teardown().await?;
    Ok(milliseconds(&mut waits))
}

/// Frameworks that launch at once: each waits for the answer to a call before it makes the next, and acknowledges two
/// updates of each task, so that one alone would measure how long a call takes.
const LAUNCHERS: usize = 8;

/// Tasks of each launcher under way at once. Enough to keep the master busy, and few beside the tasks of a full cluster:
/// without a bound they pile up, and `/state` tells of twice the tasks it is asked about.
const UNDER_WAY: u64 = 500;

/// Tasks launched and running per second, over null agents, with the given number per ACCEPT; each ends, so that
/// resources come round.
///
/// # Errors
/// When the master does not play along.
pub async fn launch_rate(
    master: &MasterAddress,
    span: Duration,
    per_accept: usize,
) -> Result<Value> {
    let started = Instant::now();
    let mut launchers = tokio::task::JoinSet::new();
    for _ in 0..LAUNCHERS {
        let master = master.clone();
        launchers.spawn(async move { launch_for(&master, span, per_accept).await });
    }
    let (mut running, mut ended) = (0, 0);
    while let Some(counts) = launchers.join_next().await {
        let counts = counts??;
        (running, ended) = (running + counts.0, ended + counts.1);
    }
    let seconds = span.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "counts of tasks are small")]
    let rate = (running as f64 / seconds).round();
    let whole = started.elapsed().as_secs_f64();
    Ok(json!({"launches_per_second": rate, "running": running, "ended": ended, "seconds": whole}))
}

/// How many tasks ran, and how many of them ended, in this time.
async fn launch_for(
    master: &MasterAddress,
    span: Duration,
    per_accept: usize,
) -> Result<(u64, u64)> {
    let (handle, mut events) = subscribe(master).await?;
    let (mut launched, mut running, mut ended) = (0_u64, 0_u64, 0_u64);
    // What the agents offer, and in which order they began to.
    let mut waiting: BTreeMap<AgentId, Vec<Offer>> = BTreeMap::new();
    let mut order = VecDeque::new();
    let started = Instant::now();
    while started.elapsed() < span {
        match next(&mut events).await? {
            SchedulerEvent::Offers(offers) => {
                for offer in offers {
                    let of_agent = waiting.entry(offer.agent_id.clone()).or_default();
                    if of_agent.is_empty() {
                        order.push_back(offer.agent_id.clone());
                    }
                    of_agent.push(offer);
                }
            }
            SchedulerEvent::Rescind(id) => {
                waiting.values_mut().for_each(|offers| offers.retain(|offer| offer.id != id));
            }
            SchedulerEvent::Update(status) => {
                handle.acknowledge(&status);
                match status.state() {
                    TaskState::Running => running += 1,
                    state if state.is_terminal() => ended += 1,
                    _ => {}
                }
            }
            SchedulerEvent::Error(text) => bail!("{text}"),
            _ => {}
        }
        while launched.saturating_sub(ended) < UNDER_WAY
            && let Some(agent) = order.pop_front()
        {
            let Some(offers) = waiting.remove(&agent).filter(|all| !all.is_empty()) else {
                continue;
            };
            // One ACCEPT takes all of an agent, so that it does not end up in ever smaller offers.
            let tasks = fill(&offers, "t", per_accept, &mut launched);
            let ids = offers.into_iter().map(|offer| offer.id).collect();
            handle.accept(ids, vec![Operation::launch_tasks(tasks)], Some(0.0));
        }
    }
    handle.teardown().await?;
    Ok((running, ended))
}

/// Small tasks, up to so many, that fit the offers of one agent.
fn fill(offers: &[Offer], prefix: &str, most: usize, launched: &mut u64) -> Vec<TaskInfo> {
    let Some(agent) = offers.first().map(|offer| &offer.agent_id) else { return Vec::new() };
    let sum = |name| offers.iter().map(|offer| amount(&offer.resources, name)).sum();
    let (mut cpus, mut mem): (f64, f64) = (sum("cpus"), sum("mem"));
    let mut tasks = Vec::new();
    while tasks.len() < most && cpus >= 1.0 && mem >= 32.0 {
        *launched += 1;
        let mut task = command_task(&format!("{prefix}{launched}"), agent, "true");
        task.resources = vec![scalar("cpus", 1.0), scalar("mem", 32.0)];
        tasks.push(task);
        (cpus, mem) = (cpus - 1.0, mem - 32.0);
    }
    tasks
}

/// Launches so many lasting tasks, ten on each null agent; they stay while the handle does.
///
/// # Errors
/// When the master does not play along.
pub(super) async fn fill_cluster(
    master: &MasterAddress,
    tasks: usize,
) -> Result<(SchedulerHandle, mpsc::Receiver<SchedulerEvent>)> {
    /// Tasks of one agent.
    const EACH: usize = 10;
    let (handle, mut events) = subscribe(master).await?;
    let (mut launched, mut running) = (0_u64, HashSet::new());
    while running.len() < tasks {
        match next(&mut events).await? {
            SchedulerEvent::Offers(offers) => {
                for offer in offers {
                    let left = tasks.saturating_sub(usize::try_from(launched)?).min(EACH);
                    let tasks = fill(std::slice::from_ref(&offer), LASTING, left, &mut launched);
                    let operations = vec![Operation::launch_tasks(tasks)];
                    handle.accept(vec![offer.id], operations, Some(3600.0));
                }
            }
            SchedulerEvent::Update(status) => {
                handle.acknowledge(&status);
                ensure!(status.state() == TaskState::Running, "{status:?}");
                running.insert(status.task_id);
            }
            SchedulerEvent::Error(text) => bail!("{text}"),
            _ => {}
        }
    }
    handle.suppress(Vec::new());
    Ok((handle, events))
}

/// An answer to `/state`.
#[derive(Debug, Clone, Copy)]
struct Polled {
    /// From the question to its end.
    whole: Duration,
    /// From the question to its first byte.
    head: Duration,
    bytes: usize,
}

/// Asks for `/state` once, as cheaply as that can be done: the answer is read and counted, not kept.
fn ask_for_state(master: &MasterAddress) -> Result<Polled> {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let started = Instant::now();
    let mut socket = std::net::TcpStream::connect((master.host.as_str(), master.port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET /state HTTP/1.1\r\nHost: {master}\r\nConnection: close\r\n\r\n")?;
    let mut answer = BufReader::with_capacity(256 * 1024, socket);
    let (mut head, mut line) = (Vec::new(), String::new());
    let mut first = None;
    while answer.read_line(&mut line)? > 2 {
        first.get_or_insert_with(|| started.elapsed());
        head.push(std::mem::take(&mut line).to_lowercase());
    }
    ensure!(head.first().is_some_and(|line| line.contains(" 200 ")), "{head:?}");
    let length = head.iter().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.context("no content-length")?.trim().parse()?;
    let mut buffer = vec![0; 256 * 1024];
    let (mut read, mut last) = (0, 0);
    while read < length {
        let more = answer.read(&mut buffer)?;
        ensure!(more > 0, "the answer ends after {read} of {length} bytes");
        (read, last) = (read + more, buffer[more - 1]);
    }
    ensure!(last == b'}', "the answer ends with {last}");
    Ok(Polled { whole: started.elapsed(), head: first.unwrap_or_default(), bytes: length })
}

/// Polls on a thread of its own, as another program would, until dropped.
struct Poller {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl Poller {
    fn start(
        master: MasterAddress,
        interval: Duration,
        waits: std::sync::mpsc::Sender<Polled>,
    ) -> Self {
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            // Not just when everything begins.
            let mut pause = interval / 2;
            loop {
                if stopped.recv_timeout(pause) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return Ok(());
                }
                let told = ask_for_state(&master)?;
                waits.send(told)?;
                pause = interval.saturating_sub(told.whole);
            }
        });
        Self { stop, thread }
    }

    /// What went wrong, if anything did.
    async fn end(self) -> Result<()> {
        drop(self.stop);
        let ended = tokio::task::spawn_blocking(|| self.thread.join()).await?;
        ended.unwrap_or_else(|_| bail!("the poller panicked"))
    }
}

/// Spans with a poller, and as many without.
const ROUNDS: usize = 3;

/// `/state` of a full cluster, and what polling it costs those who launch: spans with and without a poller, in turn.
///
/// # Errors
/// When the master does not play along.
pub async fn state_under_load(
    master: &MasterAddress,
    tasks: usize,
    span: Duration,
    interval: Duration,
) -> Result<Value> {
    let (full, _events) = fill_cluster(master, tasks).await?;
    let (sender, polled) = std::sync::mpsc::channel();
    // Who polls asks once for the first time, when nothing is known of earlier answers.
    let asked = master.clone();
    let first = tokio::task::spawn_blocking(move || ask_for_state(&asked)).await??;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(launch_rate(master, span, 8).await?["launches_per_second"].clone());
        let poller = Poller::start(master.clone(), interval, sender.clone());
        // The end of all the frameworks is another matter.
        let polling = async {
            tokio::time::sleep(span).await;
            poller.end().await
        };
        let (told, polled) = tokio::join!(launch_rate(master, span, 8), polling);
        polled?;
        beside.push(told?["launches_per_second"].clone());
    }
    let answers: Vec<Polled> = polled.try_iter().collect();
    let mut waits: Vec<_> = answers.iter().map(|answer| answer.whole).collect();
    ensure!(!waits.is_empty(), "/state was never answered");
    full.teardown().await?;
    let sum = |rates: &[Value]| rates.iter().filter_map(Value::as_f64).sum::<f64>();
    let each: Vec<_> = waits.iter().map(Duration::as_millis).collect();
    let heads: Vec<_> = answers.iter().map(|answer| answer.head.as_millis()).collect();
    let mut told = milliseconds(&mut waits);
    told["each"] = json!(each);
    told["heads"] = json!(heads);
    told["tasks"] = json!(tasks);
    told["bytes"] = json!(answers.last().map(|answer| answer.bytes));
    told["first"] = milliseconds(&mut [first.whole])["max"].clone();
    told["launches_kept"] = json!((sum(&beside) / sum(&alone) * 1000.0).round() / 1000.0);
    told["launches_alone"] = json!(alone);
    told["launches_polled"] = json!(beside);
    Ok(told)
}

/// From ACCEPT to TASK_RUNNING of command tasks, one at a time.
///
/// # Errors
/// When the master does not play along.
pub async fn launch_to_running(lab: &Lab, samples: usize) -> Result<Value> {
    let mut framework = lab.framework(Profile::partition_aware()).await?;
    let mut waits = Vec::new();
    for number in 0..samples {
        let offer = framework.offer().await?;
        let id = format!("t{number}");
        let task = command_task(&id, &offer.agent_id, "exec sleep 0.2");
        let started = Instant::now();
        framework.accept(&[&offer], vec![task], 0.0);
        framework.reaches(&id, TaskState::Running).await?;
        waits.push(started.elapsed());
        framework.reaches(&id, TaskState::Finished).await?;
        framework.forget();
    }
    framework.teardown().await?;
    Ok(milliseconds(&mut waits))
}

/// From ACCEPT to TASK_FINISHED of tasks on a custom executor that is there already.
///
/// # Errors
/// When the master does not play along.
pub async fn executor_round_trip(lab: &Lab, samples: usize) -> Result<Value> {
    let mut framework = lab.framework(Profile::partition_aware()).await?;
    let offer = framework.offer().await?;
    let agent = offer.agent_id.clone();
    let warm = framework.executor_task("warm", &agent, "hold");
    framework.accept(&[&offer], vec![warm], 0.0);
    framework.reaches("warm", TaskState::Running).await?;
    let mut waits = Vec::new();
    for number in 0..samples {
        let offer = framework.offer_where(|offer| offer.agent_id == agent).await?;
        let id = format!("t{number}");
        let task = framework.executor_task(&id, &agent, "finish");
        let started = Instant::now();
        framework.accept(&[&offer], vec![task], 0.0);
        framework.reaches(&id, TaskState::Finished).await?;
        waits.push(started.elapsed());
        framework.forget();
    }
    framework.teardown().await?;
    Ok(milliseconds(&mut waits))
}

/// How long it takes until all agents are back after the master was killed and started by `restart`.
///
/// # Errors
/// When they do not come back.
pub async fn failover(
    agents: &NullAgents,
    restart: impl AsyncFnOnce() -> Result<()>,
) -> Result<Value> {
    let started = Instant::now();
    let before = agents.registered();
    restart().await?;
    let up = started.elapsed();
    // Those who have not noticed yet still count as registered.
    tokio::time::sleep(Duration::from_millis(200)).await;
    agents.all_registered().await?;
    let seconds = |span: Duration| (span.as_secs_f64() * 1000.0).round() / 1000.0;
    Ok(
        json!({"agents": before, "master_seconds": seconds(up), "seconds": seconds(started.elapsed())}),
    )
}
