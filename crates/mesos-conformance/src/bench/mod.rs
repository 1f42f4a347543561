//! Load for a master, and what it makes of it: null agents that speak our agents' protocol and run nothing, frameworks
//! over the API, and the figures. What needs no null agents runs against Apache Mesos too.

mod figures;
mod null_agents;

pub use self::figures::{
    end_to_offer, executor_round_trip, failover, freed_to_offer, launch_rate, launch_to_running,
    state_under_load,
};
pub use self::null_agents::{NullAgents, Task};

use std::time::Duration;

use serde_json::{Value, json};

/// Percentiles of waits, in milliseconds.
#[must_use]
pub fn milliseconds(waits: &mut [Duration]) -> Value {
    waits.sort_unstable();
    let at = |share: f64| {
        // The index fits: it is below the length.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "small and positive"
        )]
        let index = (waits.len().saturating_sub(1) as f64 * share).round() as usize;
        waits.get(index).map(|wait| (wait.as_secs_f64() * 100_000.0).round() / 100.0)
    };
    json!({"count": waits.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0)})
}
