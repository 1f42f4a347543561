//! A stage at an executor: its plan, decoded once and used by many tasks.
//!
//! A decoded plan holds state between its partitions. What is left of it here is safe to share: the
//! file work queue and join filters are switched off by the settings, a broadcast build side is
//! meant to be shared, and a TopK's threshold only ever drops rows that rows of other partitions
//! beat. It is not safe to run a partition twice on one instance, though (a threshold or a failed
//! build side would be there already), so the instance goes with the stage attempt, with any failed
//! task, and with any change of the input's places.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use parking_lot::Mutex;

use crate::codec;
use crate::protocol::StagePlan;

pub(crate) struct StageEntry {
    plan: StagePlan,
    decoded: Mutex<Decoded>,
}

#[derive(Default)]
struct Decoded {
    config: Option<SessionConfig>,
    /// The stage attempt the template was made for.
    template: Option<(u32, Arc<dyn ExecutionPlan>)>,
}

impl StageEntry {
    pub(super) fn new(plan: StagePlan) -> Self {
        Self { plan, decoded: Mutex::default() }
    }

    pub(super) fn parents(&self) -> &[u64] {
        &self.plan.parents
    }

    pub(super) fn reads(&self, shuffle: u64) -> bool {
        self.plan.parents.contains(&shuffle)
    }

    pub(super) fn inline_bytes(&self) -> u64 {
        self.plan.inline_bytes
    }

    pub(super) fn forget_template(&self) {
        self.decoded.lock().template = None;
    }

    /// The plan and the settings for a task of this stage attempt.
    pub(super) fn instance(
        &self,
        attempt: u32,
        runtime_env: &Arc<RuntimeEnv>,
    ) -> Result<(Arc<dyn ExecutionPlan>, SessionConfig)> {
        let mut decoded = self.decoded.lock();
        let config = match &decoded.config {
            Some(config) => config.clone(),
            None => {
                let config = session_config(&self.plan.settings)?;
                decoded.config = Some(config.clone());
                config
            }
        };
        if let Some((made_for, template)) = &decoded.template
            && *made_for == attempt
        {
            return Ok((Arc::clone(template), config));
        }
        let context = codec::decode_context(config.clone(), Arc::clone(runtime_env));
        let plan = codec::decode_plan(&self.plan.plan, &context)?;
        decoded.template = Some((attempt, Arc::clone(&plan)));
        Ok((plan, config))
    }
}

/// The driver's settings, with what must not be on where partitions run apart.
fn session_config(settings: &HashMap<String, String>) -> Result<SessionConfig> {
    let mut options = ConfigOptions::new();
    for (key, value) in settings {
        // A setting of an extension that the program did not bring to the executor is no harm:
        // what functions need of it travels in their own payload.
        if let Err(error) = options.set(key, value) {
            tracing::debug!(key, %error, "setting not known to the executor");
        }
    }
    options.execution.enable_file_stream_work_stealing = false;
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    Ok(SessionConfig::from(options))
}
