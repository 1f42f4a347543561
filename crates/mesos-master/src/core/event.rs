//! What happens to the master, and what it wants done.

use std::fmt;

use mesos_api::agent_protocol::{Register, ToAgent, ToMaster};
use mesos_api::quota::QuotaConfig;
use mesos_api::scheduler::call::Subscribe;
use mesos_api::{AgentId, FrameworkId, Resource, WeightInfo, master, scheduler};

use super::registry::Change;
use crate::allocator::Time;

/// A subscription's stream; on the wire the `Mesos-Stream-Id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub String);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connection of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// An HTTP request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A scheduler opened a stream.
    Subscribe {
        /// Its new id.
        stream: StreamId,
        /// What it said.
        subscribe: Subscribe,
        /// Who it is, if authenticated.
        principal: Option<String>,
    },
    /// A stream broke or was closed by the scheduler.
    StreamClosed {
        /// Which.
        stream: StreamId,
    },
    /// A well-formed call other than SUBSCRIBE.
    Call {
        /// Who waits for the answer.
        request: RequestId,
        /// What is asked.
        call: scheduler::Call,
        /// The stream id it carried.
        stream: Option<StreamId>,
        /// Who asks, if authenticated.
        principal: Option<String>,
    },
    /// An operator changes something.
    Operate {
        /// Who waits for the answer.
        request: RequestId,
        /// What is asked.
        operation: Operation,
        /// Who asks, if authenticated.
        principal: Option<String>,
    },
    /// Subscribers of the operator API are there, or none any more.
    Observed {
        /// Whether anybody is.
        observed: bool,
    },
    /// An agent dialled and introduced itself.
    AgentConnected {
        /// Its connection.
        link: LinkId,
        /// What it said.
        register: Register,
    },
    /// An agent said something else.
    AgentMessage {
        /// Its connection.
        link: LinkId,
        /// What it said.
        message: ToMaster,
    },
    /// An agent's connection broke.
    AgentClosed {
        /// Which.
        link: LinkId,
    },
    /// Time has passed.
    Tick,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Answer an HTTP request.
    Answer {
        /// Which.
        request: RequestId,
        /// With what.
        answer: Answer,
    },
    /// Put an event on a stream.
    Send {
        /// Which.
        stream: StreamId,
        /// What.
        event: scheduler::Event,
    },
    /// End a stream after what was sent.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Send to an agent.
    ToAgent {
        /// On which connection.
        link: LinkId,
        /// What.
        message: ToAgent,
    },
    /// End an agent's connection after what was sent.
    CloseLink {
        /// Which.
        link: LinkId,
    },
    /// Write to the registry. Nothing of the same batch may be seen outside before it is durable.
    Store {
        /// What.
        change: Change,
    },
    /// Tell subscribers of the operator API.
    Publish {
        /// What.
        event: Box<master::Event>,
    },
}

/// What an operator wants changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A framework is to end.
    Teardown(FrameworkId),
    /// An agent will not return.
    MarkGone(AgentId),
    /// An agent is to be emptied.
    Drain {
        /// Which.
        agent_id: AgentId,
        /// Longest time for tasks to end.
        max_grace_period: Option<Time>,
        /// It will not return afterwards.
        mark_gone: bool,
    },
    /// No more offers of an agent.
    Deactivate(AgentId),
    /// Offers of an agent again, and an end of draining.
    Reactivate(AgentId),
    /// Other weights of roles.
    UpdateWeights(Vec<WeightInfo>),
    /// Other limits of roles; `force` lets a limit below what is held stand.
    UpdateQuota {
        /// The limits.
        configs: Vec<QuotaConfig>,
        /// Without checks against other limits.
        force: bool,
    },
    /// Resources of an agent are to be reserved.
    Reserve {
        /// Where.
        agent_id: AgentId,
        /// What they are to become.
        resources: Vec<Resource>,
    },
    /// A reservation is to be given up.
    Unreserve {
        /// Where.
        agent_id: AgentId,
        /// What is reserved.
        resources: Vec<Resource>,
    },
}

/// How a call is answered; the shell maps it to a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 202: it is being worked on.
    Accepted,
    /// 200: it is done.
    Done,
    /// 400 and why.
    Bad(String),
    /// 403 and why.
    Forbidden(String),
    /// 404 and why.
    NotFound(String),
    /// 409 and why.
    Conflict(String),
    /// 501 and why.
    NotImplemented(String),
}
