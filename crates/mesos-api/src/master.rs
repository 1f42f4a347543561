//! The operator API of the master (`mesos.v1.master`), as far as it is served: the calls without
//! large answers, TEARDOWN and MARK_AGENT_GONE.

use crate::{AgentId, FrameworkId};

/// Parts of [`Call`].
pub mod call {
    use super::{AgentId, FrameworkId};

    enumeration! {
        /// What an operator asks for.
        Type = "mesos.v1.master.Call.Type" {
            Unknown "UNKNOWN" = 0,
            GetHealth "GET_HEALTH" = 1,
            GetFlags "GET_FLAGS" = 2,
            GetVersion "GET_VERSION" = 3,
            GetMetrics "GET_METRICS" = 4,
            GetState "GET_STATE" = 9,
            GetAgents "GET_AGENTS" = 10,
            GetFrameworks "GET_FRAMEWORKS" = 11,
            GetExecutors "GET_EXECUTORS" = 12,
            GetTasks "GET_TASKS" = 13,
            GetRoles "GET_ROLES" = 14,
            GetMaster "GET_MASTER" = 17,
            Subscribe "SUBSCRIBE" = 18,
            Teardown "TEARDOWN" = 31,
            MarkAgentGone "MARK_AGENT_GONE" = 32,
        }
    }
    message! {
        /// Removes a framework.
        #[derive(Eq)]
        Teardown = "mesos.v1.master.Call.Teardown" { 1 framework_id: req FrameworkId, }
        /// Declares that an agent will not return.
        #[derive(Eq)]
        MarkAgentGone = "mesos.v1.master.Call.MarkAgentGone" { 1 agent_id: req AgentId, }
    }
}

use call::{MarkAgentGone, Teardown, Type};

message! {
    /// What an operator sends.
    #[derive(Eq)]
    Call = "mesos.v1.master.Call" {
        1 r#type: opt enum Type,
        16 teardown: opt Teardown,
        17 mark_agent_gone: opt MarkAgentGone,
    }
}
