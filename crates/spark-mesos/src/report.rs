//! Why an application waits.

use std::collections::BTreeMap;
use std::fmt;

use crate::reason::DeclineReason;

/// Most different shortages named in the one line.
const MOST_NAMED: usize = 3;

/// What the last offer of one agent lacked.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentShortage {
    /// The agent's host.
    pub host: String,
    /// Cpus offered.
    pub cpus: f64,
    /// MiB offered.
    pub memory_mib: f64,
    /// Why it was not used.
    pub reason: DeclineReason,
}

/// What an application waits for, and what it was offered instead.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingReport {
    /// Cores of an executor; `None` if it takes what there is, at least one.
    pub executor_cores: Option<u64>,
    /// Memory of an executor with its overhead.
    pub executor_memory_mib: u64,
    /// Executors launched that have not come to the driver yet.
    pub starting: usize,
    /// Executors at work.
    pub running: usize,
    /// Role of the framework.
    pub role: String,
    /// The agents that offered something, last offers first forgotten.
    pub agents: Vec<AgentShortage>,
}

impl fmt::Display for WaitingReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = match self.executor_cores {
            Some(1) | None => "1 core".to_owned(),
            Some(cores) => format!("{cores} cores"),
        };
        let memory = self.executor_memory_mib;
        write!(out, "waiting for executors of {cores} and {memory} MiB")?;
        if self.starting > 0 {
            let plural = if self.starting == 1 { "executor is" } else { "executors are" };
            return write!(out, ": {} {plural} starting", self.starting);
        }
        if self.agents.is_empty() {
            write!(out, ": no agent has offered anything")?;
            if self.role != "*" {
                write!(out, " to role {}", self.role)?;
            }
            return Ok(());
        }
        let total = self.agents.len();
        write!(out, ": {total} {}: ", if total == 1 { "agent" } else { "agents" })?;
        let shortages = self.shortages();
        let named: Vec<String> = shortages
            .iter()
            .take(MOST_NAMED)
            .map(|(text, count)| format!("{count} {text}"))
            .collect();
        write!(out, "{}", named.join("; "))?;
        let rest: usize = shortages.iter().skip(MOST_NAMED).map(|(_, count)| count).sum();
        if rest > 0 { write!(out, "; {rest} for other reasons") } else { Ok(()) }
    }
}

impl WaitingReport {
    /// Shortages with the number of agents that have them, the most common first.
    fn shortages(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for agent in &self.agents {
            *counts.entry(agent.reason.to_string()).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.into_iter().map(|(text, count)| (agree(&text, count), count)).collect()
    }
}

/// "2 lack", "1 lacks".
fn agree(text: &str, count: usize) -> String {
    if count == 1 {
        return text.to_owned();
    }
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    match verb.strip_suffix('s') {
        Some(verb) if ["lack", "offer", "run"].contains(&verb) => format!("{verb} {rest}"),
        Some(_) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(reasons: Vec<DeclineReason>, starting: usize, role: &str, expected: Expect) {
        let agent =
            |reason| AgentShortage { host: "h".to_owned(), cpus: 1.0, memory_mib: 512.0, reason };
        let report = WaitingReport {
            executor_cores: None,
            executor_memory_mib: 1408,
            starting,
            running: 0,
            role: role.to_owned(),
            agents: reasons.into_iter().map(agent).collect(),
        };
        expected.assert_eq(&report.to_string());
    }

    #[test]
    fn one_line() {
        let lacks = || DeclineReason::UnmetConstraint("zone=a".to_owned());
        let small = DeclineReason::TooLittleMemory { offered: 512.0, wanted: 1408.0 };
        check(
            vec![lacks(), small, lacks()],
            0,
            "*",
            expect![
                "waiting for executors of 1 core and 1408 MiB: 3 agents: 2 lack attribute zone=a; 1 offers 512 MiB of the 1408 MiB wanted"
            ],
        );
        check(
            vec![],
            0,
            "dev",
            expect![
                "waiting for executors of 1 core and 1408 MiB: no agent has offered anything to role dev"
            ],
        );
        check(
            vec![],
            2,
            "*",
            expect!["waiting for executors of 1 core and 1408 MiB: 2 executors are starting"],
        );
        check(
            vec![DeclineReason::Excluded, DeclineReason::Excluded],
            0,
            "*",
            expect![
                "waiting for executors of 1 core and 1408 MiB: 2 agents: 2 excluded after executor failures"
            ],
        );
    }
}
