//! Why an application waits: as text, as JSON, as metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use mesos_api::AgentId;
use serde_json::{Value, json};

use crate::cluster_view::Amounts;
use crate::reason::DeclineReason;

/// Most different causes named in the one line.
const MOST_NAMED: usize = 3;
/// Most agents listed one by one in JSON.
const MOST_LISTED: usize = 100;

/// What the last offer of one agent lacked, or why it offers nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentShortage {
    /// The agent.
    pub agent_id: AgentId,
    /// Its host.
    pub host: String,
    /// Cpus offered.
    pub cpus: f64,
    /// MiB offered.
    pub memory_mib: f64,
    /// Why it was not used.
    pub fate: Fate,
    /// Until when its offers are refused.
    pub refused_until: Option<Instant>,
}

/// Why an agent is of no use at the moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// Its offer was given back.
    Declined(DeclineReason),
    /// It has offered nothing; the master says why.
    Silent(SilentReason),
}

/// Why an agent offers nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum SilentReason {
    /// It is deactivated or drains.
    Inactive,
    /// It fails this constraint.
    UnmetConstraint(String),
    /// It could never hold an executor.
    TooSmall {
        /// It has in all.
        has: Amounts,
        /// An executor needs.
        wanted: Amounts,
    },
    /// What is not reserved for other roles does not suffice.
    ReservedForOthers {
        /// Roles it is reserved for.
        roles: Vec<String>,
        /// What is left.
        left: Amounts,
    },
    /// What is not in use does not suffice.
    InUse {
        /// What is left.
        left: Amounts,
    },
    /// Other frameworks hold offers of it.
    OfferedToOthers,
    /// Nothing is known to speak against it.
    NotOffered,
}

impl Fate {
    /// The name in metrics and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Declined(reason) => reason.name(),
            Self::Silent(SilentReason::Inactive) => "inactive",
            Self::Silent(SilentReason::UnmetConstraint(_)) => "unmet_constraint",
            Self::Silent(SilentReason::TooSmall { .. }) => "too_small",
            Self::Silent(SilentReason::ReservedForOthers { .. }) => "reserved_for_others",
            Self::Silent(SilentReason::InUse { .. }) => "in_use",
            Self::Silent(SilentReason::OfferedToOthers) => "offered_to_others",
            Self::Silent(SilentReason::NotOffered) => "not_offered",
        }
    }
}

impl fmt::Display for Amounts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Differences of decimals have tails nobody wants to read.
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        write!(out, "{} cpus and {} MiB", round(self.cpus), round(self.memory_mib))?;
        if self.gpus > 0.0 { write!(out, " and {} GPUs", round(self.gpus)) } else { Ok(()) }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined(reason) => reason.fmt(out),
            Self::Silent(SilentReason::Inactive) => write!(out, "is deactivated or drains"),
            Self::Silent(SilentReason::UnmetConstraint(unmet)) => {
                write!(out, "lacks attribute {unmet}")
            }
            Self::Silent(SilentReason::TooSmall { has, wanted }) => {
                if wanted.gpus > has.gpus {
                    write!(out, "has only {} of the {} GPUs wanted", has.gpus, wanted.gpus)
                } else {
                    write!(out, "has only {has} in all")
                }
            }
            Self::Silent(SilentReason::ReservedForOthers { roles, left }) => {
                write!(out, "keeps all but {left} for role {}", roles.join(", "))
            }
            Self::Silent(SilentReason::InUse { left }) => {
                write!(out, "has all but {left} in use")
            }
            Self::Silent(SilentReason::OfferedToOthers) => {
                write!(out, "is offered to other frameworks")
            }
            Self::Silent(SilentReason::NotOffered) => {
                write!(out, "has room, but has offered nothing yet")
            }
        }
    }
}

/// Why the framework is not registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationProblem {
    /// No master answers.
    Unreachable(String),
    /// The master does not accept who we say we are.
    Unauthenticated(String),
    /// The master refuses the framework: a role it may not have, a framework that is removed.
    Refused(String),
}

/// Why an application waits.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitingCause {
    /// The framework is not registered.
    NotRegistered(RegistrationProblem),
    /// Executors are launched and have not come to the driver yet.
    Starting(usize),
    /// `spark.cores.max` is reached.
    CoresMax {
        /// The property.
        max: u64,
        /// Cores held.
        held: f64,
    },
    /// `spark.mesos.gpus.max` is reached.
    GpusMax(u64),
    /// No more executors are wanted: dynamic allocation or `spark.executor.instances`.
    ExecutorLimit(u64),
    /// Agents that are of no use, by the reason.
    Agents {
        /// Why, in the words for one agent.
        fate: Fate,
        /// How many agents.
        count: usize,
        /// Until when the first of them is refused, if all are.
        refused_until: Option<Instant>,
    },
    /// The cluster has no agent.
    NoAgents,
    /// No agent has offered anything, and nobody said why.
    NoOffers,
}

impl WaitingCause {
    /// The name in metrics and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotRegistered(RegistrationProblem::Unreachable(_)) => "master_unreachable",
            Self::NotRegistered(RegistrationProblem::Unauthenticated(_)) => "authentication",
            Self::NotRegistered(RegistrationProblem::Refused(_)) => "registration_refused",
            Self::Starting(_) => "starting",
            Self::CoresMax { .. } => "reached_cores_max",
            Self::GpusMax(_) => "reached_gpus_max",
            Self::ExecutorLimit(_) => "reached_executor_limit",
            Self::Agents { fate, .. } => fate.name(),
            Self::NoAgents => "no_agents",
            Self::NoOffers => "no_offers",
        }
    }

    /// Agents this is the cause of; 1 for causes of the application.
    pub fn count(&self) -> usize {
        match self {
            Self::Agents { count, .. } => *count,
            Self::Starting(count) => *count,
            Self::NotRegistered(_)
            | Self::CoresMax { .. }
            | Self::GpusMax(_)
            | Self::ExecutorLimit(_)
            | Self::NoAgents
            | Self::NoOffers => 1,
        }
    }
}

/// What one executor, or in fine-grained mode one task with its executor, needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Cores, at least.
    pub cores: f64,
    /// Memory with overhead.
    pub memory_mib: u64,
    /// GPUs, if it does not start without.
    pub gpus: u64,
}

impl Wanted {
    pub(crate) fn amounts(&self) -> Amounts {
        Amounts { cpus: self.cores, memory_mib: self.memory_mib as f64, gpus: self.gpus as f64 }
    }
}

/// What an application waits for, and what it was offered instead.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingReport {
    /// When this was so.
    pub at: Instant,
    /// What is wanted.
    pub wanted: Wanted,
    /// Tasks that wait for slots, as far as the driver told.
    pub waiting_tasks: u64,
    /// Executors launched that have not come to the driver yet.
    pub starting: usize,
    /// Executors at work.
    pub running: usize,
    /// Role of the framework.
    pub role: String,
    /// Why, most agents first.
    pub causes: Vec<WaitingCause>,
    /// The agents one by one.
    pub agents: Vec<AgentShortage>,
}

impl WaitingReport {
    /// A report of a framework that is not registered.
    pub fn not_registered(problem: RegistrationProblem, role: &str, at: Instant) -> Self {
        Self {
            at,
            wanted: Wanted { cores: 0.0, memory_mib: 0, gpus: 0 },
            waiting_tasks: 0,
            starting: 0,
            running: 0,
            role: role.to_owned(),
            causes: vec![WaitingCause::NotRegistered(problem)],
            agents: Vec::new(),
        }
    }

    /// Adds up the agents' shortages; the most common first.
    pub(crate) fn causes_of(agents: &[AgentShortage]) -> Vec<WaitingCause> {
        let mut groups: BTreeMap<String, (Fate, usize, Option<Instant>)> = BTreeMap::new();
        for agent in agents {
            let group = groups
                .entry(agent.fate.to_string())
                .or_insert_with(|| (agent.fate.clone(), 0, agent.refused_until));
            group.1 += 1;
            group.2 = group.2.zip(agent.refused_until).map(|(a, b)| a.min(b));
        }
        let mut causes: Vec<_> = groups
            .into_values()
            .map(|(fate, count, refused_until)| WaitingCause::Agents { fate, count, refused_until })
            .collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.count()));
        causes
    }

    fn cause_text(&self, cause: &WaitingCause) -> String {
        match cause {
            WaitingCause::NotRegistered(problem) => match problem {
                RegistrationProblem::Unreachable(message) => {
                    format!("the Mesos master does not answer: {message}")
                }
                RegistrationProblem::Unauthenticated(message) => format!(
                    "the Mesos master does not accept the framework's credential: {message}; check spark.mesos.principal and spark.mesos.secret"
                ),
                RegistrationProblem::Refused(message) => {
                    format!("the Mesos master refuses the framework: {message}")
                }
            },
            WaitingCause::Starting(1) => "1 executor is starting".to_owned(),
            WaitingCause::Starting(count) => format!("{count} executors are starting"),
            WaitingCause::CoresMax { max, held } => {
                let are = if *held == 1.0 { "core is" } else { "cores are" };
                format!("spark.cores.max={max} is reached: {held} {are} held")
            }
            WaitingCause::GpusMax(max) => format!("spark.mesos.gpus.max={max} is reached"),
            WaitingCause::ExecutorLimit(limit) => {
                let are = if *limit == 1 { "executor is" } else { "executors are" };
                format!("no more than {limit} {are} wanted")
            }
            WaitingCause::Agents { fate, count, refused_until } => {
                let mut text = format!("{count} {}", agree(&fate.to_string(), *count));
                let wait = refused_until.map(|until| until.saturating_duration_since(self.at));
                if let Some(seconds) = wait.map(|wait| wait.as_secs()).filter(|s| *s > 0) {
                    text.push_str(&format!(" (refused for another {seconds} s)"));
                }
                text
            }
            WaitingCause::NoAgents => "the cluster has no agents".to_owned(),
            WaitingCause::NoOffers if self.role == "*" => {
                "no agent has offered anything".to_owned()
            }
            WaitingCause::NoOffers => {
                format!("no agent has offered anything to role {}", self.role)
            }
        }
    }

    /// The limit set by the application itself that keeps it from having more, if that is the cause.
    pub fn own_limit(&self) -> Option<String> {
        match self.causes.first()? {
            cause @ (WaitingCause::CoresMax { .. } | WaitingCause::GpusMax(_)) => {
                Some(self.cause_text(cause))
            }
            WaitingCause::NotRegistered(_)
            | WaitingCause::Starting(_)
            | WaitingCause::ExecutorLimit(_)
            | WaitingCause::Agents { .. }
            | WaitingCause::NoAgents
            | WaitingCause::NoOffers => None,
        }
    }

    /// The report as JSON; the pages and `/api` of the driver serve it.
    pub fn to_json(&self) -> Value {
        let seconds = |until: &Option<Instant>| {
            until.map(|until| until.saturating_duration_since(self.at).as_secs_f64())
        };
        let causes: Vec<Value> = self
            .causes
            .iter()
            .map(|cause| {
                json!({
                    "reason": cause.name(),
                    "count": cause.count(),
                    "text": self.cause_text(cause),
                })
            })
            .collect();
        let agents: Vec<Value> = self
            .agents
            .iter()
            .take(MOST_LISTED)
            .map(|agent| {
                json!({
                    "agent_id": agent.agent_id.value,
                    "host": agent.host,
                    "cpus": agent.cpus,
                    "memory_mib": agent.memory_mib,
                    "reason": agent.fate.name(),
                    "text": agent.fate.to_string(),
                    "refused_for_seconds": seconds(&agent.refused_until),
                })
            })
            .collect();
        json!({
            "text": self.to_string(),
            "wanted": {
                "cores": self.wanted.cores,
                "memory_mib": self.wanted.memory_mib,
                "gpus": self.wanted.gpus,
            },
            "waiting_tasks": self.waiting_tasks,
            "executors": { "starting": self.starting, "running": self.running },
            "role": self.role,
            "causes": causes,
            "agents": agents,
        })
    }

    /// The causes as numbers: `mesos.waiting.REASON` with the agents it holds for.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for cause in &self.causes {
            *sums.entry(format!("mesos.waiting.{}", cause.name())).or_default() +=
                cause.count() as f64;
        }
        sums.into_iter().collect()
    }
}

impl fmt::Display for WaitingReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [cause @ WaitingCause::NotRegistered(_)] = &self.causes[..] {
            return write!(out, "waiting for Mesos: {}", self.cause_text(cause));
        }
        let Wanted { cores, memory_mib, gpus } = self.wanted;
        let plural = if cores == 1.0 { "core" } else { "cores" };
        write!(out, "waiting for executors of {cores} {plural} and {memory_mib} MiB")?;
        if gpus > 0 {
            write!(out, " and {gpus} {}", if gpus == 1 { "GPU" } else { "GPUs" })?;
        }
        out.write_str(": ")?;
        let (agents, others): (Vec<_>, Vec<_>) =
            self.causes.iter().partition(|cause| matches!(cause, WaitingCause::Agents { .. }));
        let mut parts: Vec<String> = others.into_iter().map(|c| self.cause_text(c)).collect();
        if !agents.is_empty() {
            let total: usize = agents.iter().map(|cause| cause.count()).sum();
            let named: Vec<String> =
                agents.iter().take(MOST_NAMED).map(|cause| self.cause_text(cause)).collect();
            let rest: usize = agents.iter().skip(MOST_NAMED).map(|cause| cause.count()).sum();
            let mut text = format!("{total} {}: ", if total == 1 { "agent" } else { "agents" });
            text.push_str(&named.join("; "));
            if rest > 0 {
                text.push_str(&format!("; {rest} for other reasons"));
            }
            parts.push(text);
        }
        out.write_str(&parts.join("; "))
    }
}

/// "2 lack", "1 lacks".
fn agree(text: &str, count: usize) -> String {
    if count == 1 {
        return text.to_owned();
    }
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let verb = match verb {
        "lacks" => "lack",
        "offers" => "offer",
        "runs" => "run",
        "has" => "have",
        "keeps" => "keep",
        "is" => "are",
        other => other,
    };
    format!("{verb} {rest}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::time::Duration;

    fn report(causes: Vec<WaitingCause>, reasons: Vec<DeclineReason>, role: &str) -> WaitingReport {
        let agent = |reason| AgentShortage {
            agent_id: "S0".into(),
            host: "h".to_owned(),
            cpus: 1.0,
            memory_mib: 512.0,
            fate: Fate::Declined(reason),
            refused_until: None,
        };
        let agents: Vec<_> = reasons.into_iter().map(agent).collect();
        let mut causes = causes;
        causes.extend(WaitingReport::causes_of(&agents));
        WaitingReport {
            at: Instant::now(),
            wanted: Wanted { cores: 1.0, memory_mib: 1408, gpus: 0 },
            waiting_tasks: 7,
            starting: 0,
            running: 0,
            role: role.to_owned(),
            causes,
            agents,
        }
    }

    fn check(causes: Vec<WaitingCause>, reasons: Vec<DeclineReason>, role: &str, expected: Expect) {
        expected.assert_eq(&report(causes, reasons, role).to_string());
    }

    fn lacks() -> DeclineReason {
        DeclineReason::UnmetConstraint("zone=a".to_owned())
    }

    #[test]
    fn one_line() {
        let small = DeclineReason::TooLittleMemory { offered: 512.0, wanted: 1408.0 };
        check(
            vec![],
            vec![lacks(), small, lacks()],
            "*",
            expect![
                "waiting for executors of 1 core and 1408 MiB: 3 agents: 2 lack attribute zone=a; 1 offers 512 MiB of the 1408 MiB wanted"
            ],
        );
        check(
            vec![WaitingCause::NoOffers],
            vec![],
            "dev",
            expect![
                "waiting for executors of 1 core and 1408 MiB: no agent has offered anything to role dev"
            ],
        );
        check(
            vec![WaitingCause::Starting(2)],
            vec![],
            "*",
            expect!["waiting for executors of 1 core and 1408 MiB: 2 executors are starting"],
        );
        check(
            vec![WaitingCause::CoresMax { max: 4, held: 4.0 }],
            vec![DeclineReason::Excluded, DeclineReason::Excluded],
            "*",
            expect![
                "waiting for executors of 1 core and 1408 MiB: spark.cores.max=4 is reached: 4 cores are held; 2 agents: 2 excluded after executor failures"
            ],
        );
    }

    #[test]
    fn limits_of_its_own_are_told_apart() {
        let own = |cause| report(vec![cause], vec![lacks()], "*").own_limit();
        assert_eq!(
            own(WaitingCause::CoresMax { max: 2, held: 2.0 }).as_deref(),
            Some("spark.cores.max=2 is reached: 2 cores are held")
        );
        assert_eq!(
            own(WaitingCause::GpusMax(1)).as_deref(),
            Some("spark.mesos.gpus.max=1 is reached")
        );
        // Dynamic allocation moves this one by itself.
        assert_eq!(own(WaitingCause::ExecutorLimit(3)), None);
        assert_eq!(own(WaitingCause::Starting(1)), None);
        assert_eq!(report(vec![], vec![lacks()], "*").own_limit(), None);
    }

    #[test]
    fn refusals_say_how_long() {
        let mut report = report(vec![], vec![lacks()], "*");
        let until = Some(report.at + Duration::from_secs(95));
        report.agents[0].refused_until = until;
        report.causes = WaitingReport::causes_of(&report.agents);
        expect!["waiting for executors of 1 core and 1408 MiB: 1 agent: 1 lacks attribute zone=a (refused for another 95 s)"]
            .assert_eq(&report.to_string());
        assert_eq!(report.to_json()["agents"][0]["refused_for_seconds"], 95.0);
    }

    #[test]
    fn not_registered() {
        let problem = RegistrationProblem::Unauthenticated("401".to_owned());
        let report = WaitingReport::not_registered(problem, "*", Instant::now());
        expect!["waiting for Mesos: the Mesos master does not accept the framework's credential: 401; check spark.mesos.principal and spark.mesos.secret"]
            .assert_eq(&report.to_string());
        assert_eq!(report.to_json()["causes"][0]["reason"], "authentication");
        assert_eq!(report.metrics(), [("mesos.waiting.authentication".to_owned(), 1.0)]);
    }

    #[test]
    fn json_and_metrics_have_the_same_reasons() {
        let no_port = DeclineReason::NoPort { first: 7000, last: 7000 };
        let report = report(vec![], vec![lacks(), no_port, lacks()], "*");
        expect![[r#"
            [
              {
                "reason": "unmet_constraint",
                "count": 2,
                "text": "2 lack attribute zone=a"
              },
              {
                "reason": "no_port",
                "count": 1,
                "text": "1 offers no port 7000"
              }
            ]"#]]
        .assert_eq(&serde_json::to_string_pretty(&report.to_json()["causes"]).unwrap());
        assert_eq!(
            report.metrics(),
            [
                ("mesos.waiting.no_port".to_owned(), 1.0),
                ("mesos.waiting.unmet_constraint".to_owned(), 2.0)
            ]
        );
    }
}
