//! What a check works with: a cluster, and frameworks on it.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mesos_api::framework_info::CapabilityType;
use mesos_api::offer::Operation;
use mesos_api::task_status::{Reason, Source};
use mesos_api::value::Scalar;
use mesos_api::{
    AgentId, CommandInfo, Environment, ExecutorInfo, FrameworkId, FrameworkInfo, Offer, OfferId,
    Resource, TaskId, TaskInfo, TaskState, TaskStatus, ValueType, executor_info,
};
use mesos_client::{
    MasterAddress, MasterLocation, SchedulerClient, SchedulerEvent, SchedulerHandle,
    SchedulerOptions,
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::cluster::{Cluster, Kind};
use crate::wire;

/// What should happen happens within this time, on a loaded machine too.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A cluster to check.
#[derive(Debug)]
pub enum Lab {
    /// One of our making, which may be hurt.
    Own(Cluster),
    /// One that is there, which is left as it was found.
    Foreign {
        /// Its leading master.
        master: MasterAddress,
        /// This crate's program, where agents can run it.
        program: PathBuf,
    },
}

/// What a check takes a framework for.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Its capabilities.
    pub capabilities: Vec<CapabilityType>,
    /// Its roles, if it may have several.
    pub roles: Vec<&'static str>,
    /// Of these, those without offers.
    pub suppressed: Vec<&'static str>,
    /// How long the master keeps it without us, in seconds.
    pub failover_timeout: f64,
    /// Whether its tasks outlive their agent.
    pub checkpoint: bool,
    /// Its principal.
    pub principal: Option<&'static str>,
    /// The id of one to take over.
    pub id: Option<FrameworkId>,
    /// Whether updates are acknowledged as they come.
    pub acknowledge: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            name: "conformance",
            capabilities: Vec::new(),
            roles: Vec::new(),
            suppressed: Vec::new(),
            failover_timeout: 0.0,
            checkpoint: false,
            principal: None,
            id: None,
            acknowledge: true,
        }
    }
}

impl Profile {
    /// One that knows of partitions.
    #[must_use]
    pub fn partition_aware() -> Self {
        Self { capabilities: vec![CapabilityType::PartitionAware], ..Self::default() }
    }

    /// One that outlives its connections, masters and agents.
    #[must_use]
    pub fn durable() -> Self {
        Self { failover_timeout: 600.0, checkpoint: true, ..Self::partition_aware() }
    }

    /// One with several roles.
    #[must_use]
    pub fn with_roles(roles: &[&'static str]) -> Self {
        Self {
            roles: roles.to_vec(),
            capabilities: vec![CapabilityType::MultiRole, CapabilityType::PartitionAware],
            ..Self::default()
        }
    }

    /// As the API has it.
    #[must_use]
    pub fn info(&self) -> FrameworkInfo {
        FrameworkInfo {
            user: "root".to_owned(),
            name: self.name.to_owned(),
            id: self.id.clone(),
            failover_timeout: Some(self.failover_timeout),
            checkpoint: Some(self.checkpoint),
            roles: self.roles.iter().map(|role| (*role).to_owned()).collect(),
            principal: self.principal.map(str::to_owned),
            capabilities: self.capabilities.iter().map(|c| (*c).into()).collect(),
            ..FrameworkInfo::default()
        }
    }
}

impl Lab {
    /// The master.
    #[must_use]
    pub fn master(&self) -> MasterAddress {
        match self {
            Self::Own(cluster) => cluster.master(),
            Self::Foreign { master, .. } => master.clone(),
        }
    }

    /// How frameworks find the master.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn location(&self) -> Result<MasterLocation> {
        Ok(match self {
            Self::Own(cluster) => MasterLocation::parse(&cluster.location())?,
            Self::Foreign { master, .. } => master.clone().into(),
        })
    }

    /// The cluster, where it may be hurt.
    ///
    /// # Errors
    /// When it may not.
    pub fn own(&mut self) -> Result<&mut Cluster> {
        match self {
            Self::Own(cluster) => Ok(cluster),
            Self::Foreign { .. } => bail!("needs a cluster of its own"),
        }
    }

    /// Whether this is Apache Mesos, of our making.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        matches!(self, Self::Own(cluster) if cluster.kind() == Kind::Genuine)
    }

    /// Where some agent listens.
    ///
    /// # Errors
    /// When there is no agent.
    pub async fn an_agent(&self) -> Result<MasterAddress> {
        if let Self::Own(cluster) = self {
            return Ok(cluster.agent(0));
        }
        let agents = wire::get_json(&self.master(), "/slaves").await?;
        let agent = agents["slaves"].get(0).context("the master has no agents")?;
        let pid = agent["pid"].as_str().context("the agent has no pid")?;
        let (_, address) = pid.split_once('@').context("the agent's pid has no address")?;
        Ok(MasterAddress::parse(address)?)
    }

    /// Subscribes, and waits for SUBSCRIBED.
    ///
    /// # Errors
    /// When the master does not want the framework.
    pub async fn framework(&self, profile: Profile) -> Result<Framework> {
        let mut framework = self.try_framework(&profile).await?;
        framework.wait("SUBSCRIBED", |e| matches!(e, SchedulerEvent::Subscribed { .. })).await?;
        Ok(framework)
    }

    async fn try_framework(&self, profile: &Profile) -> Result<Framework> {
        let mut options = SchedulerOptions::new(self.location()?, profile.info());
        options.suppressed_roles = profile.suppressed.iter().map(|r| (*r).to_owned()).collect();
        let (handle, events) = SchedulerClient::connect(options).await?;
        let id = handle.framework_id().unwrap_or_else(|| String::new().into());
        Ok(Framework {
            handle,
            id,
            events,
            backlog: VecDeque::new(),
            offers: Vec::new(),
            acknowledge: profile.acknowledge,
            program: self.program(),
            asked: 0,
        })
    }

    /// Subscribes in vain; the master's words.
    ///
    /// # Errors
    /// When the master takes the framework.
    pub async fn refused(&self, profile: Profile) -> Result<String> {
        match self.try_framework(&profile).await {
            Err(error) => Ok(error.to_string()),
            Ok(_) => bail!("the framework was accepted: {profile:?}"),
        }
    }

    fn program(&self) -> PathBuf {
        match self {
            Self::Own(cluster) => cluster.executor().to_owned(),
            Self::Foreign { program, .. } => program.clone(),
        }
    }

    /// What `/state` says of a framework; `None` if it is not among those there.
    ///
    /// # Errors
    /// When the master does not answer.
    pub async fn state_of(&self, id: &FrameworkId) -> Result<Option<Value>> {
        let state = wire::get_json(&self.master(), "/state").await?;
        let frameworks = state["frameworks"].as_array().context("no frameworks in /state")?;
        Ok(frameworks.iter().find(|framework| framework["id"] == id.value.as_str()).cloned())
    }

    /// How many agents the master has at work.
    ///
    /// # Errors
    /// When the master does not answer.
    pub async fn active_agents(&self) -> Result<usize> {
        let agents = wire::get_json(&self.master(), "/slaves").await?;
        let agents = agents["slaves"].as_array().context("no slaves in /slaves")?;
        Ok(agents.iter().filter(|agent| agent["active"] == true).count())
    }

    /// Waits until the master has so many agents at work.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn agents_return(&self, count: usize) -> Result<()> {
        until("the agents' return", async || Ok(self.active_agents().await? >= count)).await
    }
}

/// Waits until a condition holds; what goes wrong meanwhile counts as not yet.
///
/// # Errors
/// When it does not hold in time.
pub async fn until(what: &str, condition: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match condition().await {
            Ok(true) => return Ok(()),
            Ok(false) if Instant::now() < deadline => {}
            Err(_) if Instant::now() < deadline => {}
            Ok(false) => bail!("{what} did not come about within {} s", PATIENCE.as_secs()),
            Err(error) => return Err(error.context(format!("waiting for {what}"))),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A subscribed framework; gone with its connection when dropped, unless it has a failover timeout.
#[derive(Debug)]
pub struct Framework {
    /// Its voice.
    pub handle: SchedulerHandle,
    /// Its id.
    pub id: FrameworkId,
    /// Offers at hand.
    pub offers: Vec<Offer>,
    events: mpsc::Receiver<SchedulerEvent>,
    /// What came while something else was waited for.
    backlog: VecDeque<SchedulerEvent>,
    acknowledge: bool,
    program: PathBuf,
    /// Questions of [`Framework::settle`].
    asked: u64,
}

impl Framework {
    /// Takes whatever has come, without waiting. False at the end of the stream.
    fn take(&mut self) -> bool {
        loop {
            match self.events.try_recv() {
                Ok(event) => self.note(event),
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn note(&mut self, event: SchedulerEvent) {
        match &event {
            SchedulerEvent::Offers(offers) => self.offers.extend(offers.iter().cloned()),
            SchedulerEvent::Rescind(id) => self.offers.retain(|offer| offer.id != *id),
            SchedulerEvent::Update(status) if self.acknowledge => self.handle.acknowledge(status),
            SchedulerEvent::Disconnected { .. } => self.offers.clear(),
            _ => {}
        }
        self.backlog.push_back(event);
    }

    /// Forgets what has come so far, but for offers at hand.
    pub fn forget(&mut self) {
        self.take();
        self.backlog.clear();
    }

    /// Waits for an event of this kind and takes it out; others stay for later.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn wait(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&SchedulerEvent) -> bool,
    ) -> Result<SchedulerEvent> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        loop {
            while seen < self.backlog.len() {
                if wanted(&self.backlog[seen]) {
                    return self.backlog.remove(seen).context("it is there");
                }
                seen += 1;
            }
            match tokio::time::timeout_at(deadline.into(), self.events.recv()).await {
                Ok(Some(event)) => self.note(event),
                Ok(None) => bail!("{what} did not come before the end; before: {:?}", self.backlog),
                Err(_) => bail!("{what} did not come; but {:?}", self.backlog),
            }
        }
    }

    /// Makes sure that no such event comes for a while.
    ///
    /// # Errors
    /// When one comes.
    pub async fn never(
        &mut self,
        what: &str,
        span: Duration,
        wanted: impl Fn(&SchedulerEvent) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + span;
        loop {
            if let Some(event) = self.backlog.iter().find(|event| wanted(event)) {
                bail!("{what}, but there is {event:?}");
            }
            match tokio::time::timeout_at(deadline.into(), self.events.recv()).await {
                Ok(Some(event)) => self.note(event),
                Ok(None) => bail!("{what}, but the stream has ended: {:?}", self.backlog),
                Err(_) => return Ok(()),
            }
        }
    }

    /// The next offer that satisfies this, out of those at hand.
    ///
    /// # Errors
    /// When none comes.
    pub async fn offer_where(&mut self, wanted: impl Fn(&Offer) -> bool) -> Result<Offer> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.offers.iter().position(&wanted) {
                return Ok(self.offers.remove(at));
            }
            match tokio::time::timeout_at(deadline.into(), self.events.recv()).await {
                Ok(Some(event)) => self.note(event),
                Ok(None) => bail!("no offer before the end: {:?}", self.backlog),
                Err(_) => bail!("no such offer among {:?}", self.offers),
            }
        }
    }

    /// The next offer.
    ///
    /// # Errors
    /// When none comes.
    pub async fn offer(&mut self) -> Result<Offer> {
        self.offer_where(|_| true).await
    }

    /// Waits until every offer at hand is rescinded.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn offers_end(&mut self) -> Result<()> {
        self.take();
        let deadline = Instant::now() + PATIENCE;
        while !self.offers.is_empty() {
            match tokio::time::timeout_at(deadline.into(), self.events.recv()).await {
                Ok(Some(event)) => self.note(event),
                Ok(None) | Err(_) => bail!("still at hand: {:?}", self.offers),
            }
        }
        Ok(())
    }

    /// Makes sure that no offers come for a while.
    ///
    /// # Errors
    /// When some come.
    pub async fn no_offers(&mut self, what: &str, span: Duration) -> Result<()> {
        self.take();
        self.offers.clear();
        self.backlog.retain(|event| !matches!(event, SchedulerEvent::Offers(_)));
        self.never(what, span, |event| matches!(event, SchedulerEvent::Offers(_))).await
    }

    /// Waits until the master has done all that was called before: it answers a question in their order.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn settle(&mut self) -> Result<()> {
        self.asked += 1;
        let nobody = format!("settle-{}", self.asked);
        self.handle.reconcile(vec![(TaskId::from(nobody.as_str()), None)]);
        self.update(&nobody).await.map(drop)
    }

    /// Waits for offers of so many agents, and declines them all.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn decline_agents(&mut self, agents: usize, refuse_seconds: f64) -> Result<()> {
        let mut held: Vec<Offer> = Vec::new();
        while held.iter().map(|offer| &offer.agent_id).collect::<BTreeSet<_>>().len() < agents {
            held.push(self.offer().await?);
        }
        let ids = held.into_iter().map(|offer| offer.id).collect();
        self.handle.decline(ids, Some(refuse_seconds));
        self.settle().await
    }

    /// Declines what is at hand.
    pub fn decline_all(&mut self, refuse_seconds: f64) {
        self.take();
        let ids: Vec<OfferId> = self.offers.drain(..).map(|offer| offer.id).collect();
        if !ids.is_empty() {
            self.handle.decline(ids, Some(refuse_seconds));
        }
    }

    /// The next update of this task.
    ///
    /// # Errors
    /// When none comes.
    pub async fn update(&mut self, task: &str) -> Result<TaskStatus> {
        let of =
            |e: &SchedulerEvent| matches!(e, SchedulerEvent::Update(s) if s.task_id.value == task);
        match self.wait(&format!("an update of {task}"), of).await? {
            SchedulerEvent::Update(status) => Ok(status),
            other => bail!("{other:?} is no update"),
        }
    }

    /// Updates of this task until it is in this state; other states must not be terminal.
    ///
    /// # Errors
    /// When it does not get there.
    pub async fn reaches(&mut self, task: &str, state: TaskState) -> Result<TaskStatus> {
        loop {
            let status = self.update(task).await?;
            if status.state() == state {
                return Ok(status);
            }
            ensure!(!status.state().is_terminal(), "{task} should be {state}: {status:?}");
        }
    }

    /// Launches tasks on offers.
    pub fn accept(&self, offers: &[&Offer], tasks: Vec<TaskInfo>, refuse_seconds: f64) {
        let ids = offers.iter().map(|offer| offer.id.clone()).collect();
        self.handle.accept(ids, vec![Operation::launch_tasks(tasks)], Some(refuse_seconds));
    }

    /// Launches a command on the next offer and waits until it runs.
    ///
    /// # Errors
    /// When it does not.
    pub async fn run(&mut self, task: &str, command: &str) -> Result<Offer> {
        let offer = self.offer().await?;
        self.accept(&[&offer], vec![command_task(task, &offer.agent_id, command)], 0.0);
        self.reaches(task, TaskState::Running).await?;
        Ok(offer)
    }

    /// A task of the custom executor of this crate; see [`crate::executor`] for what it does with the script.
    #[must_use]
    pub fn executor_task(&self, task: &str, agent: &AgentId, script: &str) -> TaskInfo {
        let program = self.program.display().to_string();
        let command = CommandInfo {
            shell: Some(false),
            value: Some(program.clone()),
            arguments: vec![program, "executor".to_owned()],
            environment: Some(Environment::of([("FERROSPARK_LOG", "warn")])),
            ..CommandInfo::default()
        };
        let mut executor = ExecutorInfo {
            executor_id: "custom".into(),
            framework_id: Some(self.id.clone()),
            command: Some(command),
            resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
            ..ExecutorInfo::default()
        };
        executor.set_type(executor_info::Type::Custom);
        TaskInfo {
            command: None,
            executor: Some(executor),
            data: Some(bytes::Bytes::from(script.to_owned())),
            ..command_task(task, agent, "")
        }
    }

    /// Ends the framework.
    ///
    /// # Errors
    /// When the master does not take the call.
    pub async fn teardown(&self) -> Result<()> {
        Ok(self.handle.teardown().await?)
    }

    /// Goes without a word, as a scheduler that crashed; the master sees the connection break.
    #[must_use]
    pub fn vanish(self) -> FrameworkId {
        self.handle.abandon();
        self.id
    }
}

/// A scalar resource.
#[must_use]
pub fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: ValueType::Scalar.into(),
        scalar: Some(Scalar { value }),
        ..Resource::default()
    }
}

/// How much of a scalar resource an offer has.
#[must_use]
pub fn amount(resources: &[Resource], name: &str) -> f64 {
    let named = resources.iter().filter(|resource| resource.name == name);
    named.filter_map(|resource| resource.scalar.as_ref()).map(|scalar| scalar.value).sum()
}

/// A small command task.
#[must_use]
pub fn command_task(id: &str, agent: &AgentId, command: &str) -> TaskInfo {
    TaskInfo {
        name: id.to_owned(),
        task_id: TaskId::from(id),
        agent_id: agent.clone(),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        command: Some(CommandInfo { value: Some(command.to_owned()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    }
}

/// What an update must be besides its state.
///
/// # Errors
/// When it is something else.
pub fn told_by(status: &TaskStatus, source: Source, reason: Option<Reason>) -> Result<()> {
    ensure!(status.source() == source, "{source:?} should tell {status:?}");
    if let Some(reason) = reason {
        ensure!(
            status.reason.is_some() && status.reason() == reason,
            "{reason:?} should tell {status:?}"
        );
    }
    Ok(())
}

/// The task's own pid, from the file it wrote it to.
///
/// # Errors
/// When there is none in time.
pub async fn pid_in(file: &Path) -> Result<i32> {
    let read =
        || std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<i32>().ok());
    until("a pid in a file", async || Ok(read().is_some())).await?;
    read().context("the pid was there")
}
