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
    /// `spark.mesos.gpus.max` is reached, and executors do not start without GPUs.
    ReachedGpusMax,
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
    /// Too few GPUs.
    TooFewGpus {
        /// There are.
        offered: f64,
        /// An executor needs.
        wanted: f64,
    },
    /// None of the ports an executor may have; first and last are the same where only one will do.
    NoPort {
        /// The first of them.
        first: u16,
        /// The last of them.
        last: u16,
    },
    /// Executors or tasks went elsewhere and used the demand up, or no task wants to run there.
    NotNeeded,
}

impl DeclineReason {
    /// Every name there is, for metrics that begin at zero.
    pub const NAMES: &'static [&'static str] = &[
        "stopped",
        "reached_cores_max",
        "reached_gpus_max",
        "reached_executor_limit",
        "unmet_constraint",
        "excluded",
        "agent_full",
        "too_few_cpus",
        "too_little_memory",
        "too_few_gpus",
        "no_port",
        "not_needed",
    ];

    /// The name in metrics and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::ReachedCoresMax => "reached_cores_max",
            Self::ReachedGpusMax => "reached_gpus_max",
            Self::ReachedExecutorLimit => "reached_executor_limit",
            Self::UnmetConstraint(_) => "unmet_constraint",
            Self::Excluded => "excluded",
            Self::AgentFull => "agent_full",
            Self::TooFewCpus { .. } => "too_few_cpus",
            Self::TooLittleMemory { .. } => "too_little_memory",
            Self::TooFewGpus { .. } => "too_few_gpus",
            Self::NoPort { .. } => "no_port",
            Self::NotNeeded => "not_needed",
        }
    }
}

impl fmt::Display for DeclineReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => write!(out, "the application ends"),
            Self::ReachedCoresMax => write!(out, "spark.cores.max is reached"),
            Self::ReachedGpusMax => write!(out, "spark.mesos.gpus.max is reached"),
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
            Self::TooFewGpus { offered, wanted } => {
                write!(out, "offers {offered} of the {wanted} GPUs wanted")
            }
            Self::NoPort { first, last } if first == last => {
                write!(out, "offers no port {first}")
            }
            Self::NoPort { first, last } => {
                write!(out, "offers no port from {first} to {last}")
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
    /// Nobody needed it any more, so it was ended and its resources given back.
    Released,
    /// It failed; the words are Mesos'.
    Failed(String),
    /// Somebody killed its process.
    Signalled(String),
    /// It needed more memory than its container has.
    OutOfMemory(String),
    /// It needed more disk than its container has.
    OutOfDisk(String),
    /// Its package could not be fetched.
    FetchFailed(String),
    /// Its program could not be started.
    LaunchFailed(String),
    /// Mesos finds the task wrong; the next one would be wrong too.
    Invalid(String),
    /// The cluster took its resources back, or drains its agent.
    Preempted(String),
    /// Its agent is cut off; it may live on, but we do without it.
    AgentUnreachable,
    /// Its agent is gone.
    AgentLost,
    /// The launch was refused or never arrived.
    LaunchRefused(String),
    /// The master had given the framework up, and its executors with it; the application goes on with
    /// another framework.
    FrameworkRemoved,
}

impl LossReason {
    /// The name in metrics and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Killed => "killed",
            Self::Released => "released",
            Self::Failed(_) => "failed",
            Self::Signalled(_) => "signalled",
            Self::OutOfMemory(_) => "out_of_memory",
            Self::OutOfDisk(_) => "out_of_disk",
            Self::FetchFailed(_) => "fetch_failed",
            Self::LaunchFailed(_) => "launch_failed",
            Self::Invalid(_) => "invalid",
            Self::Preempted(_) => "preempted",
            Self::AgentUnreachable => "agent_unreachable",
            Self::AgentLost => "agent_lost",
            Self::LaunchRefused(_) => "launch_refused",
            Self::FrameworkRemoved => "framework_removed",
        }
    }

    /// Whether the executor or what ran in it is to blame. Other losses count neither against the
    /// agent nor against the tasks: a `kill -9` from outside says nothing about either.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Failed(_)
            | Self::OutOfMemory(_)
            | Self::OutOfDisk(_)
            | Self::FetchFailed(_)
            | Self::LaunchFailed(_)
            | Self::Invalid(_) => true,
            Self::Exited
            | Self::Killed
            | Self::Released
            | Self::Signalled(_)
            | Self::Preempted(_)
            | Self::AgentUnreachable
            | Self::AgentLost
            | Self::LaunchRefused(_)
            | Self::FrameworkRemoved => false,
        }
    }
}

impl fmt::Display for LossReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited => write!(out, "it ended"),
            Self::Killed => write!(out, "it was killed at the driver's wish"),
            Self::Released => write!(out, "it was idle and its resources went back"),
            Self::Failed(message) => write!(out, "it failed: {message}"),
            Self::Signalled(message) => write!(out, "its process was killed: {message}"),
            Self::OutOfMemory(message) => write!(
                out,
                "it used more memory than its container has; raise spark.executor.memoryOverhead or spark.executor.memory ({message})"
            ),
            Self::OutOfDisk(message) => write!(
                out,
                "it used more disk than its container has; point spark.local.dir to a larger disk ({message})"
            ),
            Self::FetchFailed(message) => write!(
                out,
                "its package could not be fetched; check that the agents can reach spark.executor.uri and spark.mesos.uris ({message})"
            ),
            Self::LaunchFailed(message) => write!(out, "it could not be started: {message}"),
            Self::Invalid(message) => write!(out, "Mesos refuses it: {message}"),
            Self::Preempted(message) => write!(out, "the cluster took its resources: {message}"),
            Self::AgentUnreachable => write!(out, "its agent is unreachable"),
            Self::AgentLost => write!(out, "its agent is gone"),
            Self::LaunchRefused(message) => write!(out, "the cluster did not launch it: {message}"),
            Self::FrameworkRemoved => {
                write!(out, "the master had removed its framework after the failover timeout")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_listed() {
        let reasons = [
            DeclineReason::Stopped,
            DeclineReason::ReachedCoresMax,
            DeclineReason::ReachedGpusMax,
            DeclineReason::ReachedExecutorLimit,
            DeclineReason::UnmetConstraint(String::new()),
            DeclineReason::Excluded,
            DeclineReason::AgentFull,
            DeclineReason::TooFewCpus { offered: 0.5, wanted: 1.0 },
            DeclineReason::TooLittleMemory { offered: 1.0, wanted: 2.0 },
            DeclineReason::TooFewGpus { offered: 0.0, wanted: 1.0 },
            DeclineReason::NoPort { first: 7000, last: 7016 },
            DeclineReason::NotNeeded,
        ];
        let names: Vec<_> = reasons.iter().map(DeclineReason::name).collect();
        assert_eq!(names, DeclineReason::NAMES);
    }
}
