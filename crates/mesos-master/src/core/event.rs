//! What happens to the master, and what it wants done.

use std::fmt;

use mesos_api::agent_protocol::{Register, ToAgent, ToMaster};
use mesos_api::scheduler;
use mesos_api::{FrameworkId, scheduler::call::Subscribe};

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
    /// An operator removes a framework.
    Teardown {
        /// Who waits for the answer.
        request: RequestId,
        /// Which framework.
        framework_id: FrameworkId,
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
    /// 501 and why.
    NotImplemented(String),
}
