//! Executors and hosts on which tasks failed too often (Spark's `TaskSetExcludelist` and
//! `HealthTracker`): left out for a task, for a stage attempt, or for a time for all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::executors::Executor;
use crate::ids::{ExecutorId, Time};
use crate::options::ExclusionOptions;

/// The failures of one stage attempt.
#[derive(Debug, Default)]
pub(crate) struct StageExclusion {
    /// Per executor: its host, and how often each task failed there.
    executors: BTreeMap<ExecutorId, (Arc<str>, BTreeMap<u32, u32>)>,
    /// Per task and host, failures on any executor there.
    task_hosts: BTreeMap<(u32, Arc<str>), u32>,
    excluded_executors: BTreeSet<ExecutorId>,
    excluded_hosts: BTreeSet<Arc<str>>,
}

impl StageExclusion {
    /// Takes in a failure that counts.
    pub(crate) fn failed(&mut self, index: u32, executor: &Executor, options: &ExclusionOptions) {
        let host = executor.host.clone();
        *self.task_hosts.entry((index, host.clone())).or_insert(0) += 1;
        let (_, tasks) = self
            .executors
            .entry(executor.id.clone())
            .or_insert_with(|| (host.clone(), BTreeMap::new()));
        *tasks.entry(index).or_insert(0) += 1;
        if tasks.len() as u32 >= options.max_failed_tasks_per_executor_stage {
            self.excluded_executors.insert(executor.id.clone());
        }
        let on_host = |id: &&ExecutorId| self.executors.get(*id).is_some_and(|(at, _)| *at == host);
        let excluded = self.excluded_executors.iter().filter(on_host).count() as u32;
        if excluded >= options.max_failed_executors_per_host_stage {
            self.excluded_hosts.insert(host);
        }
    }

    /// Whether any task of the stage may run there.
    pub(crate) fn allows(&self, executor: &Executor) -> bool {
        !self.excluded_executors.contains(&executor.id)
            && !self.excluded_hosts.contains(&executor.host)
    }

    /// Whether this task may run there, if the stage may.
    pub(crate) fn allows_task(
        &self,
        index: u32,
        executor: &Executor,
        options: &ExclusionOptions,
    ) -> bool {
        let there = self.executors.get(&executor.id).and_then(|(_, tasks)| tasks.get(&index));
        let on_host = self.task_hosts.get(&(index, executor.host.clone()));
        there.is_none_or(|failures| *failures < options.max_task_attempts_per_executor)
            && on_host.is_none_or(|failures| *failures < options.max_task_attempts_per_host)
    }

    /// The tasks that failed somewhere.
    pub(crate) fn failed_tasks(&self) -> BTreeSet<u32> {
        self.task_hosts.keys().map(|(index, _)| *index).collect()
    }
}

/// The failures of the application: those of stages that succeeded in spite of them, for those of
/// stages that did not are the stage's own fault.
#[derive(Debug, Default)]
pub(crate) struct ApplicationExclusion {
    failures: BTreeMap<ExecutorId, (Arc<str>, Vec<Time>)>,
    executors: BTreeMap<ExecutorId, Time>,
    hosts: BTreeMap<Arc<str>, Time>,
}

impl ApplicationExclusion {
    /// Takes in the failures of a stage attempt that succeeded.
    pub(crate) fn stage_succeeded(
        &mut self,
        stage: &StageExclusion,
        options: &ExclusionOptions,
        now: Time,
    ) {
        let until = now + options.timeout;
        for (id, (host, tasks)) in &stage.executors {
            let (_, failures) =
                self.failures.entry(id.clone()).or_insert_with(|| (host.clone(), Vec::new()));
            failures.retain(|at| now.since(*at) < options.timeout);
            failures.extend(tasks.keys().map(|_| now));
            if (failures.len() as u32) < options.max_failed_tasks_per_executor {
                continue;
            }
            self.executors.insert(id.clone(), until);
            let on_host =
                |id: &&ExecutorId| self.failures.get(*id).is_some_and(|(at, _)| at == host);
            let excluded = self.executors.keys().filter(on_host).count() as u32;
            if excluded >= options.max_failed_executors_per_host {
                self.hosts.insert(host.clone(), until);
            }
        }
    }

    /// Forgets what is over.
    pub(crate) fn expire(&mut self, now: Time) {
        let failures = &mut self.failures;
        self.executors.retain(|id, until| {
            let keep = *until > now;
            if !keep {
                failures.remove(id);
            }
            keep
        });
        self.hosts.retain(|_, until| *until > now);
    }

    /// When the next exclusion ends.
    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.executors.values().chain(self.hosts.values()).min().copied()
    }

    pub(crate) fn allows(&self, executor: &Executor) -> bool {
        !self.executors.contains_key(&executor.id) && !self.hosts.contains_key(&executor.host)
    }

    pub(crate) fn executor_removed(&mut self, id: &ExecutorId) {
        self.failures.remove(id);
    }
}
