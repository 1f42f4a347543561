//! Cores that come by offers: the backend launches each task attempt itself, and starts an executor
//! with the first attempt on it. Such an executor is known to the scheduler from its first offer on,
//! and to the engine when it dials.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;
use spark_scheduler::{Event, MapOutputs, ShuffleId, TaskDescription};

use super::executors::message;
use super::looping::EngineLoop;
use crate::backend::{OfferAnswer, OfferedCores, TaskLaunch};
use crate::protocol::{AssignedTask, NeededStatuses, StagePlan};

/// What the loop keeps for such a backend.
#[derive(Default)]
pub(super) struct Offered {
    /// The executors the scheduler knows.
    executors: BTreeSet<String>,
    /// The attempts the offer in hand is used for.
    launches: Vec<TaskLaunch>,
}

impl Offered {
    pub(super) fn knows(&self, executor: &str) -> bool {
        self.executors.contains(executor)
    }

    /// Whether it was known.
    pub(super) fn forget(&mut self, executor: &str) -> bool {
        self.executors.remove(executor)
    }

    pub(super) fn launch<'a>(
        &mut self,
        executor: &str,
        task: &TaskDescription,
        plan: &StagePlan,
        outputs: impl Fn(u64) -> Option<&'a MapOutputs>,
    ) {
        let needs = plan.parents.iter().filter_map(|shuffle| {
            outputs(*shuffle)
                .map(|outputs| NeededStatuses { shuffle: *shuffle, epoch: outputs.epoch() })
        });
        let assigned = AssignedTask { task: Some(message(task)), needs: needs.collect() };
        self.launches.push(TaskLaunch {
            executor: executor.to_owned(),
            task: task.task.0,
            name: format!(
                "task {}.{} in stage {}.{}",
                task.partition, task.attempt, task.stage, task.stage_attempt
            ),
            cpus: task.cpus,
            data: Bytes::from(assigned.encode_to_vec()),
        });
    }
}

impl EngineLoop {
    pub(super) fn by_offer(&self) -> bool {
        self.scheduler.options().cores_by_offer
    }

    pub(super) fn offer(&mut self, offers: Vec<OfferedCores>) -> OfferAnswer {
        if self.stopping || !self.by_offer() {
            return OfferAnswer::default();
        }
        for offer in &offers {
            if self.offered.executors.insert(offer.executor.clone()) {
                self.tell(Event::ExecutorAdded {
                    executor: offer.executor.as_str().into(),
                    host: offer.host.as_str().into(),
                    cores: 0,
                });
            }
        }
        let offers = offers.into_iter().map(|offer| (offer.executor.as_str().into(), offer.cores));
        self.tell(Event::CoresOffered { offers: offers.collect() });
        OfferAnswer {
            launches: std::mem::take(&mut self.offered.launches),
            demand: self.scheduler.demand(),
        }
    }

    /// Tells an executor that has come what the tasks sent to it meanwhile wait for.
    pub(super) fn prepare_for_assigned(&mut self, executor: &str) {
        let scheduler = &self.scheduler;
        for (on, task) in self.tasks.values().filter(|(on, _)| on == executor) {
            if let Some(plan) = self.plans.get(&task.stage.0) {
                let outputs = |shuffle| scheduler.map_outputs(ShuffleId(shuffle));
                self.executors.prepare(on, plan, outputs, &self.notes);
            }
        }
    }

    /// The executors that run tasks, or hold map output or results that are needed.
    pub(super) fn needed_executors(&self) -> BTreeSet<String> {
        let mut needed: BTreeSet<String> =
            self.tasks.values().map(|(executor, _)| executor.clone()).collect();
        let holders = self.scheduler.executors_with_output();
        needed.extend(holders.into_iter().map(|executor| executor.as_str().to_owned()));
        needed
    }
}
