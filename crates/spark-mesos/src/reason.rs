//! Why an offer was not used, and why an executor was lost. One variant feeds log, metric, report
//! and test.

use std::fmt;

/// Why an offer is given back.
#[derive(Debug, Clone, PartialEq)]
pub enum DeclineReason {
    /// The application ends.
    Stopped,
    /// `spark.cores.max` is reached.
    ReachedCoresMax,
    /// No more executors are wanted for now.
    ReachedExecutorLimit,
    /// The agent fails this constraint.
    UnmetConstraint(String),
    /// Executors failed on the agent lately.
    Excluded,
    /// As many executors run on the agent as may.
    AgentFull,
    /// Too few cpus.
    TooFewCpus {
        /// There are.
        offered: f64,
        /// An executor needs.
        wanted: f64,
    },
    /// Too little memory, in MiB.
    TooLittleMemory {
        /// There is.
        offered: f64,
        /// An executor needs.
        wanted: f64,
    },
    /// Executors went elsewhere and used the demand up.
    NotNeeded,
}

impl DeclineReason {
    /// The name in metrics and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::ReachedCoresMax => "reached_cores_max",
            Self::ReachedExecutorLimit => "reached_executor_limit",
            Self::UnmetConstraint(_) => "unmet_constraint",
            Self::Excluded => "excluded",
            Self::AgentFull => "agent_full",
            Self::TooFewCpus { .. } => "too_few_cpus",
            Self::TooLittleMemory { .. } => "too_little_memory",
            Self::NotNeeded => "not_needed",
        }
    }
}

impl fmt::Display for DeclineReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => write!(out, "the application ends"),
            Self::ReachedCoresMax => write!(out, "spark.cores.max is reached"),
            Self::ReachedExecutorLimit => write!(out, "no more executors are wanted"),
            Self::UnmetConstraint(constraint) => write!(out, "lacks attribute {constraint}"),
            Self::Excluded => write!(out, "excluded after executor failures"),
            Self::AgentFull => write!(out, "runs as many executors as it may"),
            Self::TooFewCpus { offered, wanted } => {
                write!(out, "offers {offered} of the {wanted} cpus wanted")
            }
            Self::TooLittleMemory { offered, wanted } => {
                write!(out, "offers {offered} MiB of the {wanted} MiB wanted")
            }
            Self::NotNeeded => write!(out, "not needed"),
        }
    }
}

/// Why an executor is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LossReason {
    /// It ended by itself, in order.
    Exited,
    /// It was killed at our wish.
    Killed,
    /// It failed; the words are Mesos'.
    Failed(String),
    /// Somebody killed its process.
    Signalled(String),
    /// It needed more memory than its container has.
    OutOfMemory(String),
    /// Its program or package could not be fetched or started.
    LaunchFailed(String),
    /// The cluster took its resources back, or drains its agent.
    Preempted(String),
    /// Its agent is cut off; it may live on, but we do without it.
    AgentUnreachable,
    /// Its agent is gone.
    AgentLost,
    /// The launch was refused or never arrived.
    LaunchRefused(String),
}

impl LossReason {
    /// Whether the executor or what ran in it is to blame. Other losses count neither against the
    /// agent nor against the tasks: a `kill -9` from outside says nothing about either.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Failed(_) | Self::OutOfMemory(_) | Self::LaunchFailed(_) => true,
            Self::Exited
            | Self::Killed
            | Self::Signalled(_)
            | Self::Preempted(_)
            | Self::AgentUnreachable
            | Self::AgentLost
            | Self::LaunchRefused(_) => false,
        }
    }
}

impl fmt::Display for LossReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited => write!(out, "it ended"),
            Self::Killed => write!(out, "it was killed at the driver's wish"),
            Self::Failed(message) => write!(out, "it failed: {message}"),
            Self::Signalled(message) => write!(out, "its process was killed: {message}"),
            Self::OutOfMemory(message) => write!(
                out,
                "it used more memory than its container has; raise spark.executor.memoryOverhead or spark.executor.memory ({message})"
            ),
            Self::LaunchFailed(message) => write!(out, "it could not be started: {message}"),
            Self::Preempted(message) => write!(out, "the cluster took its resources: {message}"),
            Self::AgentUnreachable => write!(out, "its agent is unreachable"),
            Self::AgentLost => write!(out, "its agent is gone"),
            Self::LaunchRefused(message) => write!(out, "the cluster did not launch it: {message}"),
        }
    }
}
