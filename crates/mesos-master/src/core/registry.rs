//! What must outlive the master: admitted, unreachable and gone agents, weights and limits. Frameworks
//! and tasks are not in it, as in Mesos: agents and schedulers bring them back.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesos_api::prost::{self, Message as _};
use mesos_api::quota::QuotaConfig;
use mesos_api::{AgentId, AgentInfo, DrainConfig, WeightInfo};

use crate::allocator::Time;

/// Where an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Standing {
    /// Part of the cluster.
    Admitted = 0,
    /// Does not answer.
    Unreachable = 1,
    /// An operator says it will not return.
    Gone = 2,
}

/// What is kept of an agent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentRecord {
    /// What it told about itself, with the dynamic reservations on it.
    #[prost(message, required, tag = 1)]
    pub info: AgentInfo,
    /// Where it stands.
    #[prost(enumeration(Standing), required, tag = 2)]
    pub standing: i32,
    /// Since when, in nanoseconds of Unix time.
    #[prost(uint64, required, tag = 3)]
    pub since: u64,
    /// An operator wants no offers of it.
    #[prost(bool, required, tag = 4)]
    pub deactivated: bool,
    /// How it is being emptied.
    #[prost(message, optional, tag = 5)]
    pub drain: Option<DrainConfig>,
}

impl AgentRecord {
    pub(super) fn since(&self) -> Time {
        Time::from_nanos(self.since)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Weights {
    #[prost(message, repeated, tag = 1)]
    all: Vec<WeightInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Quotas {
    #[prost(message, repeated, tag = 1)]
    all: Vec<QuotaConfig>,
}

/// Keys of the store; agents have their id behind the prefix.
const AGENT_PREFIX: &str = "agent/";
const WEIGHTS: &str = "weights";
const QUOTAS: &str = "quotas";

/// A change of the store: a key and what stands under it from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub key: String,
    /// What; nothing to remove it.
    pub value: Option<Bytes>,
}

impl Change {
    pub(super) fn agent(id: &AgentId, record: Option<&AgentRecord>) -> Self {
        let value = record.map(|record| Bytes::from(record.encode_to_vec()));
        Self { key: format!("{AGENT_PREFIX}{id}"), value }
    }

    pub(super) fn weights(weights: &BTreeMap<String, f64>) -> Self {
        let all = weights.iter();
        let all =
            all.map(|(role, weight)| WeightInfo { weight: *weight, role: Some(role.clone()) });
        let value = Weights { all: all.collect() }.encode_to_vec();
        Self { key: WEIGHTS.to_owned(), value: Some(value.into()) }
    }

    pub(super) fn quotas(quotas: &BTreeMap<String, QuotaConfig>) -> Self {
        let value = Quotas { all: quotas.values().cloned().collect() }.encode_to_vec();
        Self { key: QUOTAS.to_owned(), value: Some(value.into()) }
    }
}

/// What an earlier master left.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Agents.
    pub agents: BTreeMap<AgentId, AgentRecord>,
    /// Weights, if they were ever changed; they then replace those of the flag.
    pub weights: Option<BTreeMap<String, f64>>,
    /// Limits by role.
    pub quotas: BTreeMap<String, QuotaConfig>,
}

/// Why an entry of the store is of no use.
#[derive(Debug, thiserror::Error)]
#[error("the registry's entry {key:?} is damaged")]
pub struct Damaged {
    /// Which entry.
    pub key: String,
    /// What is wrong with it.
    pub source: prost::DecodeError,
}

impl Registry {
    /// Reads all entries of a store.
    ///
    /// # Errors
    /// [`Damaged`] if an entry cannot be decoded.
    pub fn read<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Damaged> {
        let mut registry = Self::default();
        for (key, value) in entries {
            let damaged = |source| Damaged { key: key.to_owned(), source };
            if let Some(id) = key.strip_prefix(AGENT_PREFIX) {
                let record = AgentRecord::decode(value).map_err(damaged)?;
                registry.agents.insert(id.into(), record);
            } else if key == WEIGHTS {
                let weights = Weights::decode(value).map_err(damaged)?.all.into_iter();
                let weights = weights.map(|info| (info.role().to_owned(), info.weight));
                registry.weights = Some(weights.collect());
            } else if key == QUOTAS {
                let quotas = Quotas::decode(value).map_err(damaged)?.all.into_iter();
                registry.quotas = quotas.map(|quota| (quota.role.clone(), quota)).collect();
            }
            // Others were written by a later version, which knows what they are for.
        }
        Ok(registry)
    }
}
