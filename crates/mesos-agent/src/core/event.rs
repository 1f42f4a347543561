//! What happens to the agent, and what it wants done.

use std::path::PathBuf;

use mesos_api::agent_protocol::{ToAgent, ToMaster};
use mesos_api::command_info::Uri;
use mesos_api::{ContainerInfo, ExecutorId, FrameworkId, executor};

use super::limits::Limits;
use super::record::Record;

/// A container, named by what runs in it; a command task's executor is named like the task.
pub type ContainerKey = (FrameworkId, ExecutorId);

/// An executor's event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// An HTTP request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// How a process group is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// All that is needed to start a container.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchSpec {
    /// Which container.
    pub container: ContainerKey,
    /// Its id, the last part of the sandbox's path.
    pub container_id: String,
    /// Its sandbox, to be made.
    pub directory: PathBuf,
    /// What to fetch into it.
    pub uris: Vec<Uri>,
    /// Program, or text for the shell.
    pub program: Program,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Whom to run as, if the agent may choose.
    pub user: Option<String>,
    /// What it may use.
    pub limits: Limits,
    /// It outlives the agent's process, and its checkpoints are here.
    pub checkpoint: Option<PathBuf>,
    /// The Docker container it runs in, if any.
    pub docker: Option<Box<ContainerInfo>>,
    /// Ports of the machine it was granted, as ranges with both ends.
    pub ports: Vec<(u64, u64)>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ending {
    /// The raw wait status of its first process; unknown if nobody could see it.
    pub status: Option<i32>,
    /// The limit for which it was killed.
    pub limitation: Option<Limitation>,
}

/// A container used more than it may.
#[derive(Clone, Debug, PartialEq)]
pub struct Limitation {
    /// MiB of memory it may use.
    pub memory_mib: f64,
    /// The words for people.
    pub message: String,
}

/// What runs in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Text for `/bin/sh -c`.
    Shell(String),
    /// An executable and its argument vector, of which the first is the name it sees.
    Direct {
        /// The executable.
        path: String,
        /// The vector.
        arguments: Vec<String>,
    },
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection to the master is up; the agent introduces itself.
    Linked,
    /// The connection broke.
    Unlinked,
    /// The master said something.
    FromMaster(ToAgent),
    /// A container's process runs.
    Launched {
        /// Which container.
        container: ContainerKey,
        /// Its first process.
        pid: u32,
    },
    /// A container could not be started.
    LaunchFailed {
        /// Which container.
        container: ContainerKey,
        /// Why.
        message: String,
    },
    /// A container's first process ended and the rest of it is dead.
    Exited {
        /// Which container.
        container: ContainerKey,
        /// How.
        ending: Ending,
    },
    /// An executor opened its stream.
    ExecutorSubscribed {
        /// The new stream.
        stream: StreamId,
        /// What it said.
        call: executor::Call,
        /// Who waits to hear whether it may.
        answer_to: RequestId,
    },
    /// An executor's stream broke.
    ExecutorClosed {
        /// Which.
        stream: StreamId,
    },
    /// A well-formed call other than SUBSCRIBE.
    ExecutorCall {
        /// Who waits for the answer.
        request: RequestId,
        /// What is asked.
        call: executor::Call,
    },
    /// Time has passed.
    Tick,
    /// The agent stops for good: all that runs ends.
    Stop,
    /// The agent's process ends: what is checkpointed goes on, all else ends.
    Leave,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send to the master.
    ToMaster(ToMaster),
    /// Drop the connection and dial again.
    Relink,
    /// The master will not have this agent: stop.
    Refused {
        /// Its words.
        reason: String,
    },
    /// Keep this for a successor, before anything that follows is done.
    Save(Record),
    /// Fetch and start.
    Launch(Box<LaunchSpec>),
    /// Change what a container may use.
    Limit {
        /// Which container.
        container: ContainerKey,
        /// What it may use from now on.
        limits: Limits,
    },
    /// Signal all processes of a container; one being fetched for is given up.
    Signal {
        /// Which container.
        container: ContainerKey,
        /// How.
        signal: Signal,
    },
    /// Put an event on an executor's stream.
    ToExecutor {
        /// Which stream.
        stream: StreamId,
        /// What.
        event: executor::Event,
    },
    /// End an executor's stream after what was sent.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Answer an HTTP request.
    Answer {
        /// Which.
        request: RequestId,
        /// With what.
        answer: Answer,
    },
}

/// How an executor's call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 with the stream.
    Subscribed,
    /// 202.
    Accepted,
    /// 400 and why.
    Bad(String),
    /// 403 and why.
    Forbidden(String),
}
