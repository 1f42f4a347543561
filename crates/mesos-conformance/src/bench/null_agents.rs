//! Agents that are only a connection: they register, answer pings, and say of each task what they are told to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use mesos_api::agent_protocol::{
    AGENT_PATH, Pong, Register, StatusUpdate, ToAgent, ToMaster, UPGRADE_PROTOCOL,
};
use mesos_api::prost::Message as _;
use mesos_api::recordio::{Decoder, encode_message};
use mesos_api::task_status::Source;
use mesos_api::{AgentId, AgentInfo, FrameworkId, TaskInfo, TaskState, TaskStatus};
use mesos_client::MasterAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::lab::scalar;

/// Registrations on their way at once; masters accept from a queue of limited length.
const AT_ONCE: usize = 200;
/// Wait before an agent that lost its master dials again.
const REDIAL_WAIT: Duration = Duration::from_millis(100);

/// Begin of the ids of tasks that run for ever, whatever becomes of the others.
pub(super) const LASTING: &str = "lasting-";

/// What becomes of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// It runs for ever.
    Runs,
    /// It is over once its running was acknowledged, but for those whose id begins with `lasting-`.
    Ends,
}

/// A task an agent has ended, and when.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The agent.
    pub agent: AgentId,
    /// When the update left.
    pub at: Instant,
}

struct Shared {
    master: MasterAddress,
    cpus: f64,
    mem: f64,
    task: Task,
    registered: AtomicUsize,
    ended: mpsc::UnboundedSender<Ended>,
}

/// A crowd of null agents; gone when dropped.
pub struct NullAgents {
    shared: Arc<Shared>,
    count: usize,
    /// Tasks that ended.
    pub ended: mpsc::UnboundedReceiver<Ended>,
    agents: Vec<tokio::task::JoinHandle<()>>,
}

impl NullAgents {
    /// Registers so many agents of this size, and waits until all are there.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn start(
        master: &MasterAddress,
        count: usize,
        (cpus, mem): (f64, f64),
        task: Task,
    ) -> Result<Self> {
        let (sender, ended) = mpsc::unbounded_channel();
        let registered = AtomicUsize::new(0);
        let master = master.clone();
        let shared = Arc::new(Shared { master, cpus, mem, task, registered, ended: sender });
        let slots = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        let agents = (0..count)
            .map(|number| tokio::spawn(live(number, Arc::clone(&shared), Arc::clone(&slots))))
            .collect();
        let crowd = Self { shared, count, ended, agents };
        crowd.all_registered().await?;
        Ok(crowd)
    }

    /// Waits until all are registered.
    ///
    /// # Errors
    /// When that takes longer than five minutes.
    pub async fn all_registered(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(300);
        while self.registered() < self.count {
            ensure!(
                Instant::now() < deadline,
                "{} of {} are registered",
                self.registered(),
                self.count
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// How many are registered now.
    #[must_use]
    pub fn registered(&self) -> usize {
        self.shared.registered.load(Ordering::Relaxed)
    }
}

impl Drop for NullAgents {
    fn drop(&mut self) {
        for agent in &self.agents {
            agent.abort();
        }
    }
}

impl std::fmt::Debug for NullAgents {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("NullAgents").field("count", &self.count).finish_non_exhaustive()
    }
}

async fn live(number: usize, shared: Arc<Shared>, slots: Arc<tokio::sync::Semaphore>) {
    let mut agent = NullAgent { number, id: None, tasks: Vec::new(), shared };
    loop {
        let slot = slots.acquire().await;
        let dialled = dial(&agent.shared.master).await;
        if let Ok(socket) = dialled {
            // The slot is given back once the agent is registered.
            let lost = agent.serve(socket, slot.ok()).await;
            if lost {
                agent.shared.registered.fetch_sub(1, Ordering::Relaxed);
            }
        } else {
            drop(slot);
        }
        tokio::time::sleep(REDIAL_WAIT).await;
    }
}

async fn dial(master: &MasterAddress) -> Result<Upgraded> {
    let socket = TcpStream::connect((master.host.as_str(), master.port)).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection.with_upgrades());
    let request = Request::post(AGENT_PATH)
        .header("host", master.to_string())
        .header("connection", "upgrade")
        .header("upgrade", UPGRADE_PROTOCOL)
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        bail!("{}", answer.status());
    }
    hyper::upgrade::on(answer).await.context("the upgrade")
}

struct NullAgent {
    number: usize,
    id: Option<AgentId>,
    /// What runs, to be told when the agent comes back.
    tasks: Vec<(FrameworkId, TaskInfo)>,
    shared: Arc<Shared>,
}

impl NullAgent {
    /// Until the connection breaks; whether it was registered.
    async fn serve(
        &mut self,
        socket: Upgraded,
        mut slot: Option<tokio::sync::SemaphorePermit<'_>>,
    ) -> bool {
        let mut socket = TokioIo::new(socket);
        let mut registered = false;
        let mut outgoing =
            encode_message(&ToMaster { register: Some(self.register()), ..ToMaster::default() })
                .to_vec();
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; 8192];
        loop {
            if !outgoing.is_empty() && socket.write_all(&outgoing).await.is_err() {
                return registered;
            }
            outgoing.clear();
            match socket.read(&mut buffer).await {
                Ok(read) if read > 0 => decoder.push(&buffer[..read]),
                Ok(_) | Err(_) => return registered,
            }
            while let Ok(Some(record)) = decoder.next_record() {
                let Ok(message) = ToAgent::decode(record) else { return registered };
                if let Some(told) = &message.registered {
                    self.id = Some(told.agent_id.clone());
                    if !registered {
                        registered = true;
                        self.shared.registered.fetch_add(1, Ordering::Relaxed);
                    }
                    drop(slot.take());
                }
                if let Some(answer) = self.answer(message) {
                    outgoing.extend_from_slice(&encode_message(&answer));
                }
            }
        }
    }

    fn register(&self) -> Register {
        let port = i32::try_from(20_000 + self.number).unwrap_or(i32::MAX);
        let agent = AgentInfo {
            hostname: format!("null-{}", self.number),
            port: Some(port),
            resources: vec![scalar("cpus", self.shared.cpus), scalar("mem", self.shared.mem)],
            id: self.id.clone(),
            ..AgentInfo::default()
        };
        let tasks = self.tasks.iter().map(|(framework, task)| self.task(framework, task)).collect();
        Register {
            agent,
            version: "1.11.0".to_owned(),
            ip: "127.0.0.1".to_owned(),
            tasks,
            ..Register::default()
        }
    }

    fn task(&self, framework: &FrameworkId, task: &TaskInfo) -> mesos_api::Task {
        mesos_api::Task {
            name: task.name.clone(),
            task_id: task.task_id.clone(),
            framework_id: framework.clone(),
            agent_id: task.agent_id.clone(),
            state: TaskState::Running.into(),
            resources: task.resources.clone(),
            ..mesos_api::Task::default()
        }
    }

    fn answer(&mut self, message: ToAgent) -> Option<ToMaster> {
        if message.ping.is_some() {
            return Some(ToMaster { pong: Some(Pong {}), ..ToMaster::default() });
        }
        if let Some(run) = message.run_task {
            let framework = run.framework.id?;
            let update = self.update(&framework, &run.task, TaskState::Running);
            self.tasks.push((framework, run.task));
            return Some(update);
        }
        if let Some(acknowledged) = message.acknowledge
            && self.shared.task == Task::Ends
            && !acknowledged.task_id.value.starts_with(LASTING)
        {
            return self.end(&acknowledged.task_id, TaskState::Finished);
        }
        if let Some(kill) = message.kill_task {
            return self.end(&kill.task_id, TaskState::Killed);
        }
        if let Some(framework) = message.shutdown_framework {
            self.tasks.retain(|(id, _)| *id != framework.framework_id);
        }
        None
    }

    fn end(&mut self, task: &mesos_api::TaskId, state: TaskState) -> Option<ToMaster> {
        let at = self.tasks.iter().position(|(_, running)| running.task_id == *task)?;
        let (framework, task) = self.tasks.swap_remove(at);
        let ended = Ended { agent: task.agent_id.clone(), at: Instant::now() };
        // Nobody may be interested.
        drop(self.shared.ended.send(ended));
        Some(self.update(&framework, &task, state))
    }

    fn update(&self, framework: &FrameworkId, task: &TaskInfo, state: TaskState) -> ToMaster {
        let mut status = TaskStatus {
            task_id: task.task_id.clone(),
            agent_id: Some(task.agent_id.clone()),
            executor_id: Some(task.task_id.value.clone().into()),
            uuid: Some(Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes())),
            source: Some(Source::Executor.into()),
            timestamp: Some(0.0),
            ..TaskStatus::default()
        };
        status.set_state(state);
        let latest_state = Some(status.state);
        let update = StatusUpdate { framework_id: framework.clone(), status, latest_state };
        ToMaster { update: Some(update), ..ToMaster::default() }
    }
}
