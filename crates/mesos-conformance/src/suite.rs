//! The forty behaviours, and the checks each comes down to.

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::checks::{
    allocator, failover, http, offers, partitions, reconciliation, recovery, tasks,
};
use crate::cluster::{SHARED, Spec};
use crate::lab::Lab;

/// On whom a behaviour holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// On our master and agents, and on Apache Mesos 1.11.0.
    Both,
    /// On ours only, because of this.
    OursOnly(&'static str),
    /// On neither, because of this.
    LeftOut(&'static str),
}

/// How long a check takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A second or two: run by `make test`.
    Fast,
    /// Longer, or on processes of its own: run by `make soak SUITE=conformance`.
    Slow,
}

type Run = for<'a> fn(&'a mut Lab) -> LocalBoxFuture<'a, Result<()>>;

/// One thing that is tried.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Module and function, by which it is chosen and told.
    pub name: &'static str,
    /// How long it takes.
    pub pace: Pace,
    /// The cluster it wants for itself; `None` shares one.
    pub cluster: Option<Spec>,
    /// Tries it.
    pub run: Run,
}

/// Checks that ours does not pass yet, and why: told on the page, and not counted as standing on both.
pub const NOT_YET: &[(&str, &str)] = &[];

impl Check {
    /// Why ours does not pass it yet.
    #[must_use]
    pub fn not_yet(&self) -> Option<&'static str> {
        NOT_YET.iter().find(|(name, _)| *name == self.name).map(|(_, why)| *why)
    }
}

impl Behaviour {
    /// Whether it holds on both.
    #[must_use]
    pub fn holds_on_both(&self) -> bool {
        self.standing == Standing::Both && self.checks.iter().all(|check| check.not_yet().is_none())
    }
}

/// One of the forty behaviours.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Its number.
    pub number: u8,
    /// What holds, in a sentence or two.
    pub title: &'static str,
    /// The tests of Apache Mesos that say so.
    pub origin: &'static str,
    /// On whom it holds.
    pub standing: Standing,
    /// What is tried.
    pub checks: &'static [Check],
    /// Where ours differs, or more than the checks tell is known, each with its reason.
    pub notes: &'static [&'static str],
}

macro_rules! check {
    ($module:ident :: $function:ident, $pace:ident) => {
        check!($module::$function, $pace, None)
    };
    ($module:ident :: $function:ident, $pace:ident, own $spec:expr) => {
        check!($module::$function, $pace, Some($spec))
    };
    ($module:ident :: $function:ident, $pace:ident, $cluster:expr) => {
        Check {
            name: concat!(stringify!($module), "::", stringify!($function)),
            pace: Pace::$pace,
            cluster: $cluster,
            run: |lab| Box::pin($module::$function(lab)),
        }
    };
}

/// One agent, and a cluster that may be hurt.
const ONE: Spec = Spec { master: &[], agents: &[&["--resources=cpus:2;mem:1024"]], masters: 1 };
/// The same, with patience for an agent that is silent for a moment.
const PATIENT: Spec =
    Spec { master: &["--agent_ping_timeout=3secs", "--max_agent_ping_timeouts=4"], ..ONE };
/// The same with two masters and ZooKeeper.
const TWO_MASTERS: Spec = Spec { masters: 2, ..ONE };
/// Reserved for `owner`: half of it.
const RESERVED: Spec = Spec {
    master: &[],
    agents: &[&["--resources=cpus:1;mem:512;cpus(owner):1;mem(owner):512"]],
    masters: 1,
};
/// Offers are taken back after a while, in which a loaded machine can answer one.
const TIMEOUT: Spec = Spec {
    master: &["--offer_timeout=3secs"],
    agents: &[&["--resources=cpus:2;mem:1024"]],
    masters: 1,
};

const BOTH: Standing = Standing::Both;

/// All of them, in order.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        number: 1,
        title: "The first record of a subscription is SUBSCRIBED with id, interval and leader; HEARTBEAT follows at once; protobuf and JSON say the same.",
        origin: "scheduler_tests: Subscribe",
        standing: BOTH,
        checks: &[check!(http::first_records, Fast), check!(http::both_encodings, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 2,
        title: "Calls need the stream id of the subscription (400), and a subscription (403); SUBSCRIBE must not have one (400); an unknown framework is 400.",
        origin: "scheduler_tests: SubscribeDrop; order of checks in http.cpp",
        standing: BOTH,
        checks: &[check!(http::stream_ids, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 3,
        title: "400 without Content-Type and for what cannot be read, 415 for other types, 406 for other Accepts, 405 for GET; JSON where nothing is said. Schedulers and executors alike.",
        origin: "executor_http_api_tests: NoContentType, MalformedContent, ValidJsonButInvalidProtobuf, UnsupportedContentMediaType, GetRequest, NotAcceptable, NoAcceptHeader, DefaultAccept",
        standing: BOTH,
        checks: &[check!(http::scheduler_matrix, Fast), check!(http::executor_matrix, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 4,
        title: "Calls without what their type needs are 400; so are an executor's updates without uuid, of another executor, in TASK_STAGING, and messages of an unknown framework.",
        origin: "executor_http_api_tests: ValidProtobufInvalidCall, StatusUpdateCallFailedValidation, MessageFromUnknownFramework",
        standing: BOTH,
        checks: &[check!(http::invalid_calls, Fast), check!(http::invalid_executor_calls, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 5,
        title: "HEARTBEAT every 15 s, to schedulers and operators.",
        origin: "scheduler_tests, executor_http_api_tests: HeartbeatEvents; SubscribeBeforeContainerizerRecovery",
        standing: BOTH,
        checks: &[check!(http::heartbeats, Slow)],
        notes: &[
            "503 before recovery is over is what starting a master or agent waits for in every check; it is too short to be tried by itself.",
        ],
    },
    Behaviour {
        number: 6,
        title: "A second SUBSCRIBE with the id takes the framework over: the old stream gets ERROR \"Framework failed over\" and ends, its offers are void.",
        origin: "scheduler_tests: SchedulerFailover",
        standing: BOTH,
        checks: &[check!(http::scheduler_failover, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 7,
        title: "kill -9 of the master: the framework resubscribes with its id, agents return with their tasks, offers come anew, no update is lost. The same when another master takes the lead through ZooKeeper.",
        origin: "scheduler_tests: MasterFailover; fault_tolerance_tests: FrameworkReregister",
        standing: BOTH,
        checks: &[
            check!(failover::master, Slow, own ONE),
            check!(failover::no_update_lost, Slow, own ONE),
            check!(failover::leader_of_two, Slow, own TWO_MASTERS),
        ],
        notes: &[],
    },
    Behaviour {
        number: 8,
        title: "After its failover timeout, and after TEARDOWN, a framework cannot come back: ERROR \"Framework has been removed\".",
        origin: "fault_tolerance_tests: SchedulerReregisterAfterFailoverTimeout, SchedulerReregisterAfterUnregistration",
        standing: BOTH,
        checks: &[check!(http::removed_frameworks, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 9,
        title: "The principal may not change when a framework is taken over; name and the like are updated; UPDATE_FRAMEWORK answers at once.",
        origin: "fault_tolerance_tests: ChangePrincipalOnReRegistrationFails, UpdateFrameworkInfoOnSchedulerFailover; update_framework_tests",
        standing: BOTH,
        checks: &[check!(http::changes_at_failover, Fast), check!(http::update_framework, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 10,
        title: "An empty id is none; invalid roles, suppressed roles that are not its own and impossible failover timeouts are refused.",
        origin: "master_tests: FrameworkSubscribeEmptyId, RejectFrameworkWithInvalidRole, RejectFrameworkWithInvalidFailoverTimeout",
        standing: BOTH,
        checks: &[check!(http::subscriptions_refused, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 11,
        title: "Two offers of one agent are used together.",
        origin: "master_tests: LaunchCombinedOfferTest",
        standing: BOTH,
        checks: &[check!(offers::combined, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 12,
        title: "Offers of two agents in one ACCEPT: TASK_LOST, or TASK_DROPPED with PARTITION_AWARE; all offers are given back.",
        origin: "master_tests: LaunchAcrossSlavesLost, LaunchAcrossSlavesDropped",
        standing: BOTH,
        checks: &[check!(offers::across_agents, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 13,
        title: "The same for an offer named twice, used before, or unknown.",
        origin: "master_tests: LaunchDuplicateOfferLost, LaunchDuplicateOfferDropped",
        standing: BOTH,
        checks: &[check!(offers::duplicate, Fast), check!(offers::used_or_unknown, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 14,
        title: "The same for offers to two roles.",
        origin: "master_tests: LaunchDifferentRoleLost",
        standing: BOTH,
        checks: &[check!(offers::different_roles, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 15,
        title: "An offer nobody answers is rescinded after --offer_timeout; one used or declined is not.",
        origin: "master_tests: OfferTimeout, OfferNotRescindedOnceUsed, OfferNotRescindedOnceDeclined",
        standing: BOTH,
        checks: &[check!(offers::timeout, Slow, own TIMEOUT)],
        notes: &[],
    },
    Behaviour {
        number: 16,
        title: "Declined resources stay away for refuse_seconds (5 by default) or until REVIVE; SUPPRESS stops offers, and so do roles suppressed when subscribing.",
        origin: "scheduler_tests: Decline, Revive, Suppress, NoOffersWithAllRolesSuppressed, NoOffersOnReregistrationWithAllRolesSuppressed",
        standing: BOTH,
        checks: &[
            check!(offers::decline_and_revive, Fast),
            check!(offers::suppress, Fast),
            check!(offers::default_filter, Slow),
        ],
        notes: &[
            "Ours offers what becomes free within milliseconds, Apache Mesos at its next allocation, a second apart by default.",
        ],
    },
    Behaviour {
        number: 17,
        title: "What is not used is offered again; tasks may be tiny; each role of a framework gets offers, a role it leaves none; frameworks without capabilities see the old formats.",
        origin: "master_tests: RecoverResources; scheduler_tests: TaskWithTinyResources, MultiRoleFrameworkReceivesOffers, MultiRoleSchedulerUnsubscribeFromRole",
        standing: BOTH,
        checks: &[
            check!(offers::recover_resources, Fast),
            check!(offers::multi_role, Fast),
            check!(offers::old_formats, Fast),
        ],
        notes: &[],
    },
    Behaviour {
        number: 18,
        title: "A command task: TASK_STARTING, TASK_RUNNING, TASK_FINISHED, each acknowledged; TASK_FAILED with the exit status; invalid tasks are TASK_ERROR.",
        origin: "scheduler_tests: TaskRunning; master_validation_tests",
        standing: BOTH,
        checks: &[
            check!(tasks::life, Fast),
            check!(tasks::invalid_tasks, Fast),
            check!(http::master_made_updates, Fast),
            check!(tasks::labels, Fast),
        ],
        notes: &["Our agent runs command tasks itself, without an executor process beside each."],
    },
    Behaviour {
        number: 19,
        title: "KILL ends a task (TASK_KILLING first, with the capability); of an unknown task it is answered as a reconciliation; with a wrong agent it is ignored.",
        origin: "master_tests: KillTask, KillUnknownTask, KillUnknownTaskSlaveInTransition",
        standing: BOTH,
        checks: &[check!(tasks::kill, Fast), check!(tasks::kill_unknown, Fast)],
        notes: &["The silence about tasks of agents in transition is behaviour 27."],
    },
    Behaviour {
        number: 20,
        title: "An update is told again after 10 s until acknowledged, those after it wait; a task's end frees its resources, acknowledged or not.",
        origin: "master_tests: StatusUpdateAck, UnacknowledgedTerminalTask, ReleaseResourcesForTerminalTaskWithPendingUpdates",
        standing: BOTH,
        checks: &[
            check!(tasks::unacknowledged_terminal, Slow),
            check!(tasks::repeated_until_acknowledged, Slow),
        ],
        notes: &[],
    },
    Behaviour {
        number: 21,
        title: "Custom executors: several tasks, paid for once, messages both ways, SHUTDOWN; their end is FAILURE with the raw wait status and takes their tasks along.",
        origin: "master_tests: MultipleExecutors, FrameworkMessage, ShutdownExecutor; scheduler_tests: Message",
        standing: BOTH,
        checks: &[check!(tasks::custom_executor, Fast), check!(tasks::executor_exits, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 22,
        title: "Task groups are launched together under a default executor.",
        origin: "scheduler_tests: TaskGroupRunning",
        standing: Standing::LeftOut(
            "LAUNCH_GROUP is refused with TASK_ERROR; Spark does not use it, and the genuine harness has no default executor.",
        ),
        checks: &[],
        notes: &[],
    },
    Behaviour {
        number: 23,
        title: "TEARDOWN, or a disconnection without failover timeout, ends a framework's tasks.",
        origin: "scheduler_tests: RunTaskAndTeardown; master_tests: ShutdownFrameworkWhileTaskRunning",
        standing: BOTH,
        checks: &[check!(tasks::end_of_framework, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 24,
        title: "Explicit reconciliation of a known task tells its state, whatever agent is named; without uuid, by the master.",
        origin: "reconciliation_tests: TaskStateMatch, TaskStateMismatch",
        standing: BOTH,
        checks: &[check!(reconciliation::known, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 25,
        title: "Of an unknown agent: TASK_UNKNOWN, or TASK_LOST without PARTITION_AWARE.",
        origin: "reconciliation_tests: UnknownSlave",
        standing: BOTH,
        checks: &[check!(reconciliation::unknown_agent, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 26,
        title: "An unknown task of a known agent: TASK_GONE, or TASK_LOST without PARTITION_AWARE.",
        origin: "reconciliation_tests: UnknownTask, UnknownTaskPartitionAware",
        standing: BOTH,
        checks: &[check!(reconciliation::unknown_task, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 27,
        title: "Nothing is said of tasks whose agent is not back after a master's failover; once it is, they are told.",
        origin: "reconciliation_tests: RecoveredAgent",
        standing: BOTH,
        checks: &[check!(reconciliation::recovered_agent, Slow, own ONE)],
        notes: &[],
    },
    Behaviour {
        number: 28,
        title: "Implicit reconciliation tells all that is not over, and what is over but not acknowledged.",
        origin: "reconciliation_tests: ImplicitNonTerminalTask, ImplicitTerminalTask, UnacknowledgedTerminalTask",
        standing: BOTH,
        checks: &[check!(reconciliation::implicit, Fast)],
        notes: &[],
    },
    Behaviour {
        number: 29,
        title: "The state told is that of the last update sent to the framework, not the newest; KILL of an unknown task is a reconciliation.",
        origin: "reconciliation_tests: ReconcileStatusUpdateTaskState, UnknownKillTask",
        standing: BOTH,
        checks: &[check!(reconciliation::status_update_state, Slow)],
        notes: &[],
    },
    Behaviour {
        number: 30,
        title: "An agent that misses its pings: tasks are TASK_UNREACHABLE (TASK_LOST without PARTITION_AWARE), offers rescinded, FAILURE; reconciliation says the same.",
        origin: "partition_tests: PartitionedSlave",
        standing: BOTH,
        checks: &[check!(partitions::aware, Slow, own ONE)],
        notes: &["Three pings of one second instead of five of fifteen."],
    },
    Behaviour {
        number: 31,
        title: "When it returns its tasks are TASK_RUNNING again, also those told as lost.",
        origin: "partition_tests: ReregisterSlavePartitionAware, ReregisterSlaveNotPartitionAware",
        standing: BOTH,
        checks: &[check!(partitions::unaware, Slow, own ONE)],
        notes: &[],
    },
    Behaviour {
        number: 32,
        title: "Tasks of a framework that ended meanwhile are killed when their agent returns.",
        origin: "partition_tests: PartitionedSlaveOrphanedTask",
        standing: BOTH,
        checks: &[check!(partitions::orphans, Slow, own ONE)],
        notes: &[],
    },
    Behaviour {
        number: 33,
        title: "An agent that was silent for less than the limit is not missed.",
        origin: "partition_tests: SpuriousSlaveReregistration",
        standing: BOTH,
        checks: &[check!(partitions::short_silence, Slow, own PATIENT)],
        notes: &[],
    },
    Behaviour {
        number: 34,
        title: "The unacknowledged end of a task whose agent was cut off is told again when the agent returns.",
        origin: "partition_tests: AgentWithTerminalTaskPartitioned, MasterToSlave",
        standing: BOTH,
        checks: &[check!(partitions::terminal, Slow, own ONE)],
        notes: &[
            "Apache Mesos 1.11.0 tells TASK_UNREACHABLE for such a task first, although it is over; no scheduler can depend on that.",
        ],
    },
    Behaviour {
        number: 35,
        title: "After a master's failover: frameworks not back yet are shown as recovered with their tasks, their executors take tasks again; no id is given twice; weights and limits of roles are what they were, also with another master.",
        origin: "master_tests: RecoveredSlaveReregisters, RecoveredFramework, MasterFailoverLongLivedExecutor, DuplicatedSlaveIdWhenSlaveReregister",
        standing: BOTH,
        checks: &[
            check!(failover::recovered_framework, Slow, own ONE),
            check!(failover::fresh_ids, Slow, own ONE),
            check!(failover::registry, Slow, own ONE),
            check!(failover::registry_of_two, Slow, own TWO_MASTERS),
        ],
        notes: &[
            "With several masters Apache Mesos keeps the registry in a log that they replicate among them; ours keep it in ZooKeeper beside the word who leads, and each a copy on its disk.",
        ],
    },
    Behaviour {
        number: 36,
        title: "kill -9 of the agent: checkpointed tasks go on, their ends are told with the true status, unacknowledged updates again; executors find the agent again.",
        origin: "slave_recovery_tests: RecoverTaskStatusUpdateManager, ReconnectExecutor",
        standing: BOTH,
        checks: &[
            check!(recovery::task_goes_on, Slow, own ONE),
            check!(recovery::ends_meanwhile, Slow, own ONE),
            check!(recovery::updates_told_again, Slow, own ONE),
            check!(recovery::executor_reconnects, Slow, own ONE),
        ],
        notes: &[],
    },
    Behaviour {
        number: 37,
        title: "An executor that ended while its agent was away: its tasks are TASK_FAILED or TASK_LOST, by the agent.",
        origin: "slave_recovery_tests: RecoverUnregisteredExecutor, RecoverTerminatedExecutor, Reboot",
        standing: BOTH,
        checks: &[check!(recovery::executor_dies_meanwhile, Slow, own ONE)],
        notes: &["A reboot cannot be tried on the machine that runs the check."],
    },
    Behaviour {
        number: 38,
        title: "What was killed, or whose framework ended, while its agent was away is ended when it returns; without checkpointing tasks are lost as soon as the agent breaks off.",
        origin: "slave_recovery_tests: ReconcileKillTask, ReconcileShutdownFramework, ReconcileTasksMissingFromSlave, NonCheckpointingFramework",
        standing: BOTH,
        checks: &[
            check!(recovery::killed_meanwhile, Slow, own ONE),
            check!(recovery::ended_meanwhile, Slow, own ONE),
            check!(recovery::not_checkpointed, Slow, own ONE),
        ],
        notes: &[],
    },
    Behaviour {
        number: 39,
        title: "Dominant resource fairness between roles, weights, reservations for a role and those below it, filters of each framework, a framework's own minimum.",
        origin: "hierarchical_allocator_tests: UnreservedDRF, UpdateWeight, SameShareFairness, CoarseGrained, OfferFilter, Reservations, OfferAncestorReservationsToDescendantChild, Allocatable, FrameworkMinAllocatable",
        standing: BOTH,
        checks: &[
            check!(allocator::fairness, Fast),
            check!(allocator::filters_are_per_framework, Fast),
            check!(allocator::minimum, Fast),
            check!(allocator::weights, Slow, own ONE),
            check!(allocator::reservations, Slow, own RESERVED),
        ],
        notes: &[],
    },
    Behaviour {
        number: 40,
        title: "A role never gets more than its quota limit.",
        origin: "hierarchical_allocator_tests: QuotaProvidesLimit, RemoveQuota, MultipleFrameworksInRoleWithQuota",
        standing: BOTH,
        checks: &[check!(allocator::quota_limit, Slow, own ONE)],
        notes: &[
            "Quota guarantees are left out: limits are what keeps a role in its place, and guarantees without limits are deprecated since 1.9.",
        ],
    },
];

/// The cluster of checks that ask for none of their own.
pub const COMMON: Spec = SHARED;
