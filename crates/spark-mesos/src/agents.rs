//! What is remembered of agents: failures, exclusion, and what their last offer lacked.

use std::collections::BTreeMap;
use std::time::Instant;

use mesos_api::AgentId;

use crate::cluster_view::ClusterView;
use crate::report::{AgentShortage, Wanted};
use crate::settings::{ExclusionSettings, Settings};

/// Agents whose last offer is remembered at most; a cluster of more is told about in part.
const MOST_REMEMBERED: usize = 20_000;

#[derive(Debug, Default)]
struct AgentRecord {
    failures: Vec<Instant>,
    excluded_until: Option<Instant>,
    shortage: Option<AgentShortage>,
}

impl AgentRecord {
    fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.excluded_until.is_none() && self.shortage.is_none()
    }
}

/// The agents heard of.
#[derive(Debug)]
pub(crate) struct AgentBook {
    exclusion: ExclusionSettings,
    records: BTreeMap<AgentId, AgentRecord>,
}

impl AgentBook {
    pub(crate) fn new(exclusion: ExclusionSettings) -> Self {
        Self { exclusion, records: BTreeMap::new() }
    }

    /// Until when an agent is left out, if it is.
    pub(crate) fn excluded_until(&self, agent: &AgentId, now: Instant) -> Option<Instant> {
        self.records.get(agent)?.excluded_until.filter(|until| now < *until)
    }

    /// Counts a failure; too many within the timeout exclude the agent for as long.
    pub(crate) fn blame(&mut self, agent: &AgentId, now: Instant) {
        let ExclusionSettings { failures, timeout } = self.exclusion;
        let record = self.records.entry(agent.clone()).or_default();
        record.failures.retain(|at| now.duration_since(*at) < timeout);
        record.failures.push(now);
        if record.failures.len() as u64 >= failures {
            record.failures.clear();
            record.excluded_until = Some(now + timeout);
        }
    }

    /// Ends the exclusions whose time is over; whether there were any.
    pub(crate) fn readmit(&mut self, now: Instant) -> bool {
        let mut readmitted = false;
        for record in self.records.values_mut() {
            if record.excluded_until.is_some_and(|until| until <= now) {
                record.excluded_until = None;
                readmitted = true;
            }
        }
        readmitted
    }

    /// When the next exclusion ends.
    pub(crate) fn next_readmission(&self) -> Option<Instant> {
        self.records.values().filter_map(|record| record.excluded_until).min()
    }

    /// Remembers what an agent's offer lacked.
    pub(crate) fn remember(&mut self, shortage: AgentShortage) {
        let agent_id = shortage.agent_id.clone();
        if self.records.len() < MOST_REMEMBERED || self.records.contains_key(&agent_id) {
            self.records.entry(agent_id).or_default().shortage = Some(shortage);
        }
    }

    /// Forgets what an agent's offer lacked: the last one was used.
    pub(crate) fn used(&mut self, agent: &AgentId) {
        if let Some(record) = self.records.get_mut(agent) {
            record.shortage = None;
            if record.is_empty() {
                self.records.remove(agent);
            }
        }
    }

    /// Forgets an agent.
    pub(crate) fn forget(&mut self, agent: &AgentId) {
        self.records.remove(agent);
    }

    /// What agents' offers lacked, then, of the agents a master knows, why the silent ones are silent.
    pub(crate) fn with_silent(
        &self,
        view: Option<&ClusterView>,
        settings: &Settings,
        wanted: Wanted,
    ) -> Vec<AgentShortage> {
        let known = self.records.values().filter_map(|record| record.shortage.clone());
        let mut shortages: Vec<AgentShortage> = known.collect();
        let agents = view.map_or(&[][..], ClusterView::agents);
        for agent in agents {
            let agent_id = AgentId::from(agent.id.as_str());
            if self.records.get(&agent_id).is_some_and(|record| record.shortage.is_some()) {
                continue;
            }
            shortages.push(AgentShortage {
                agent_id,
                host: agent.host.clone(),
                cpus: 0.0,
                memory_mib: 0.0,
                fate: agent.silence(&settings.role, wanted.amounts(), &settings.constraints),
                refused_until: None,
            });
        }
        shortages
    }

    /// Whether no agent is left out.
    #[cfg(test)]
    pub(crate) fn none_excluded(&self) -> bool {
        self.records.values().all(|record| record.excluded_until.is_none())
    }
}
