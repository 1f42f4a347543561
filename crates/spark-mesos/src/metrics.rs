//! What became of offers, launches and executors, as numbers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::reason::{DeclineReason, LossReason};

/// Numbers of one application's life on the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Offers received.
    pub offers_received: u64,
    /// Offers used.
    pub offers_accepted: u64,
    /// Offers given back, by the name of the reason.
    pub offers_declined: BTreeMap<&'static str, u64>,
    /// Offers the master took back before they were answered.
    pub offers_rescinded: u64,
    /// Executors launched.
    pub executors_launched: u64,
    /// Executors lost, by the name of the reason.
    pub executors_lost: BTreeMap<&'static str, u64>,
    /// Mesos tasks launched.
    pub tasks_launched: u64,
    /// REVIVE calls.
    pub revives: u64,
    /// SUPPRESS calls.
    pub suppresses: u64,
    /// From the first registration to the first executor that came to the driver.
    pub time_to_first_executor: Option<Duration>,
    registered_at: Option<Instant>,
}

impl Metrics {
    pub(crate) fn registered(&mut self, now: Instant) {
        self.registered_at.get_or_insert(now);
    }

    pub(crate) fn executor_came(&mut self, now: Instant) {
        if let Some(start) = self.registered_at {
            self.time_to_first_executor.get_or_insert(now.saturating_duration_since(start));
        }
    }

    pub(crate) fn declined(&mut self, reason: &DeclineReason, offers: usize) {
        *self.offers_declined.entry(reason.name()).or_default() += offers as u64;
    }

    pub(crate) fn lost(&mut self, reason: &LossReason) {
        *self.executors_lost.entry(reason.name()).or_default() += 1;
    }

    /// Every number with its name, `mesos.…` as Spark names its metrics. Each reason of
    /// [`DeclineReason::NAMES`] is there from the beginning; times are seconds.
    pub fn values(&self) -> Vec<(String, f64)> {
        let mut values = vec![
            ("mesos.offers.received".to_owned(), self.offers_received as f64),
            ("mesos.offers.accepted".to_owned(), self.offers_accepted as f64),
            ("mesos.offers.rescinded".to_owned(), self.offers_rescinded as f64),
        ];
        for name in DeclineReason::NAMES {
            let count = self.offers_declined.get(name).copied().unwrap_or_default();
            values.push((format!("mesos.offers.declined.{name}"), count as f64));
        }
        values.push(("mesos.executors.launched".to_owned(), self.executors_launched as f64));
        for (name, count) in &self.executors_lost {
            values.push((format!("mesos.executors.lost.{name}"), *count as f64));
        }
        values.push(("mesos.tasks.launched".to_owned(), self.tasks_launched as f64));
        values.push(("mesos.calls.revive".to_owned(), self.revives as f64));
        values.push(("mesos.calls.suppress".to_owned(), self.suppresses as f64));
        if let Some(time) = self.time_to_first_executor {
            values.push(("mesos.firstExecutor.seconds".to_owned(), time.as_secs_f64()));
        }
        values
    }

    /// The same as JSON, an object from name to number.
    pub fn to_json(&self) -> Value {
        let pairs = self.values().into_iter().map(|(name, value)| (name, json!(value)));
        Value::Object(pairs.collect::<Map<_, _>>())
    }
}
