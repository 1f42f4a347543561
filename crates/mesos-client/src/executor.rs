//! The executor API client: a custom executor talks to the agent that started it.
//!
//! Updates are kept until the agent acknowledges them and are told again when the subscription is
//! restored. Without checkpointing a lost agent ends the executor at once; with it, the executor waits
//! for the agent's return.

mod service;

use std::time::Duration;

use mesos_api::duration::parse_duration;
use mesos_api::{
    AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, KillPolicy, TaskGroupInfo,
    TaskId, TaskInfo, TaskStatus,
};
use tokio::sync::{mpsc, oneshot};

use crate::address::MasterAddress;
use crate::encoding::Encoding;
use crate::error::ClientError;

/// Events waiting for their owner.
const EVENT_BACKLOG: usize = 1024;

/// What an executor needs to subscribe.
#[derive(Clone)]
pub struct ExecutorOptions {
    /// The agent.
    pub agent: MasterAddress,
    /// The framework.
    pub framework_id: FrameworkId,
    /// The executor.
    pub executor_id: ExecutorId,
    /// How long the agent may be away; zero without checkpointing.
    pub recovery_timeout: Duration,
    /// Token the agent wants, if it authenticates executors (a JWT, made by the agent).
    pub token: Option<String>,
    /// Of calls and events.
    pub encoding: Encoding,
}

/// A variable that agents set is missing or malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}={value:?}: expected {expected}; Mesos executors are started by agents")]
pub struct EnvironmentError {
    /// The variable.
    pub variable: &'static str,
    /// Its value, empty if unset.
    pub value: String,
    /// What it should be.
    pub expected: &'static str,
}

impl ExecutorOptions {
    /// Reads what the agent put into the environment.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_environment(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, EnvironmentError> {
        let read = |variable: &'static str, expected: &'static str| {
            let value = lookup(variable).unwrap_or_default();
            if value.is_empty() {
                return Err(EnvironmentError { variable, value, expected });
            }
            Ok(value)
        };
        let endpoint = read("MESOS_AGENT_ENDPOINT", "HOST:PORT")?;
        let agent = MasterAddress::parse(&endpoint).map_err(|_| EnvironmentError {
            variable: "MESOS_AGENT_ENDPOINT",
            value: endpoint,
            expected: "HOST:PORT",
        })?;
        // "0" is false: some clients of the past took any text for true.
        let checkpoint = lookup("MESOS_CHECKPOINT").is_some_and(|value| value == "1");
        let recovery_timeout = match (checkpoint, lookup("MESOS_RECOVERY_TIMEOUT")) {
            (true, Some(text)) => parse_duration(&text).map_err(|_| EnvironmentError {
                variable: "MESOS_RECOVERY_TIMEOUT",
                value: text,
                expected: "a duration such as 15mins",
            })?,
            (true, None) | (false, _) => Duration::ZERO,
        };
        Ok(Self {
            agent,
            framework_id: read("MESOS_FRAMEWORK_ID", "a framework id")?.into(),
            executor_id: read("MESOS_EXECUTOR_ID", "an executor id")?.into(),
            recovery_timeout,
            token: lookup("MESOS_EXECUTOR_AUTHENTICATION_TOKEN").filter(|token| !token.is_empty()),
            encoding: Encoding::default(),
        })
    }
}

/// What the agent tells.
#[derive(Debug, Clone, PartialEq)]
pub enum ExecutorEvent {
    /// We are subscribed, for the first time or again.
    Subscribed {
        /// Ourselves.
        executor_info: Box<ExecutorInfo>,
        /// Our framework.
        framework_info: Box<FrameworkInfo>,
        /// Our agent.
        agent_info: Box<AgentInfo>,
        /// Whether a subscription of ours came before.
        again: bool,
    },
    /// The agent is away; tasks go on.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// Run this task.
    Launch(Box<TaskInfo>),
    /// Run these tasks.
    LaunchGroup(TaskGroupInfo),
    /// End this task.
    Kill {
        /// Which.
        task_id: TaskId,
        /// How gently.
        policy: Option<KillPolicy>,
    },
    /// Bytes from the scheduler.
    Message(bytes::Bytes),
    /// End everything. Also told when the agent is gone for too long.
    Shutdown {
        /// Why.
        reason: String,
    },
}

/// Subscribes executors.
#[derive(Debug)]
pub struct ExecutorClient;

impl ExecutorClient {
    /// Subscribes, and returns once the agent has accepted. The client lives until every handle is
    /// dropped, the receiver is, or the agent ends it.
    ///
    /// # Errors
    /// When the agent cannot be reached or refuses the executor.
    pub async fn connect(
        options: ExecutorOptions,
    ) -> Result<(ExecutorHandle, mpsc::Receiver<ExecutorEvent>), ClientError> {
        let (events, receiver) = mpsc::channel(EVENT_BACKLOG);
        let (ready, first) = oneshot::channel();
        let handle = service::spawn(options, events, ready);
        match first.await {
            Ok(Ok(())) => Ok((handle, receiver)),
            Ok(Err(problem)) => Err(problem.into()),
            Err(_) => Err(ClientError::Ended),
        }
    }
}

/// The executor's voice.
#[derive(Debug, Clone)]
pub struct ExecutorHandle {
    requests: mpsc::UnboundedSender<service::Request>,
}

impl ExecutorHandle {
    /// Tells the state of a task. What only the client knows (uuid, source, executor, time) is filled
    /// in; updates of one task arrive in order, each at least once.
    pub fn update(&self, status: TaskStatus) {
        self.send(service::Request::Update(Box::new(status)));
    }

    /// Sends bytes to the scheduler, at best effort.
    pub fn message(&self, data: bytes::Bytes) {
        self.send(service::Request::Message(data));
    }

    /// Waits until the agent has acknowledged every update told so far, or the client is over.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.send(service::Request::Flush(done));
        // Fails when the client is over; then there is nothing to wait for.
        drop(flushed.await);
    }

    fn send(&self, request: service::Request) {
        drop(self.requests.send(request));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ExecutorOptions, String> {
        ExecutorOptions::from_environment(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
        .map_err(|error| error.to_string())
    }

    const REQUIRED: [(&str, &str); 3] = [
        ("MESOS_AGENT_ENDPOINT", "127.0.0.1:5051"),
        ("MESOS_FRAMEWORK_ID", "F"),
        ("MESOS_EXECUTOR_ID", "E"),
    ];

    #[test]
    fn the_agents_environment() {
        let with = |more: &[(&'static str, &'static str)]| read(&[&REQUIRED, more].concat());
        let plain =
            with(&[("MESOS_CHECKPOINT", "0"), ("MESOS_RECOVERY_TIMEOUT", "15mins")]).unwrap();
        assert_eq!(plain.recovery_timeout, Duration::ZERO);
        let kept =
            with(&[("MESOS_CHECKPOINT", "1"), ("MESOS_RECOVERY_TIMEOUT", "15mins")]).unwrap();
        assert_eq!(kept.recovery_timeout, Duration::from_secs(900));
        let bad = with(&[("MESOS_CHECKPOINT", "1"), ("MESOS_RECOVERY_TIMEOUT", "soon")]);
        assert!(bad.err().unwrap().contains("MESOS_RECOVERY_TIMEOUT=\"soon\""));
        assert!(read(&REQUIRED[1..]).err().unwrap().contains("MESOS_AGENT_ENDPOINT"));
    }
}
