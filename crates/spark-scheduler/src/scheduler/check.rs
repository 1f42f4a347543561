//! The invariants, asserted in debug builds and by the simulation.

use super::Scheduler;
use crate::stage::StageState;

/// A full check takes time in proportion to all that lives. Small states are checked after each
/// event, large ones once in so many.
const EVENTS_PER_FULL_CHECK: u64 = 1024;

/// What counts as small: partitions of the live task sets. Few, for the demo runs with checks, too;
/// the simulation checks after each event whatever the size.
const SMALL_STATE_TASKS: usize = 32;

impl Scheduler {
    pub(super) fn check_sometimes(&self) {
        let tasks: usize = self.task_sets.values().map(|set| set.tasks.len()).sum();
        if tasks <= SMALL_STATE_TASKS || self.events.is_multiple_of(EVENTS_PER_FULL_CHECK) {
            self.check();
        }
    }

    /// Asserts what must always hold.
    ///
    /// # Panics
    /// If it does not.
    pub fn check(&self) {
        self.outputs.check();
        self.check_tasks();
        self.check_stages();
        for (id, job) in &self.jobs {
            for stage in &job.stages {
                let stage = self.stages.get(stage).expect("a job's stages live");
                assert!(stage.jobs.contains(id), "stage {} knows job {id}", stage.spec.stage);
            }
        }
    }

    /// Asserts that nothing is kept when there are no jobs and no retained shuffles.
    ///
    /// # Panics
    /// If something is.
    pub fn check_empty(&self) {
        assert!(self.stages.is_empty(), "stages kept: {:?}", self.stages.keys());
        assert!(self.shuffle_stages.is_empty() && self.task_sets.is_empty());
        assert!(self.running.is_empty() && self.runnable.is_empty() && self.resubmit.is_empty());
    }

    fn check_tasks(&self) {
        for set in self.task_sets.values() {
            set.check();
            let order = (set.job, set.stage, set.id);
            assert_eq!(set.listed, self.runnable.contains(&order), "{:?} listed", set.id);
            assert_eq!(set.listed, set.is_runnable(), "{:?} runnable", set.id);
            let running = self.running.values().filter(|run| run.set == set.id).count();
            assert_eq!(running, set.running, "running tasks of {:?}", set.id);
            assert!(!set.zombie || set.running > 0, "{:?} is over and still kept", set.id);
        }
        for (index, executor) in self.executors.iter() {
            let taken: u32 =
                self.running.values().filter(|r| r.executor == index).map(|r| r.cpus).sum();
            assert_eq!(executor.cores - executor.free_cores, taken, "cores of {}", executor.id);
        }
        for (task, run) in &self.running {
            assert!(self.executors.get(run.executor).is_some(), "task {task} runs nowhere");
        }
        let cpus: u64 = self.running.values().map(|run| u64::from(run.cpus)).sum();
        assert_eq!(self.running_cpus, cpus);
    }

    fn check_stages(&self) {
        for (id, stage) in &self.stages {
            let alive = stage.retained || !stage.jobs.is_empty() || !stage.children.is_empty();
            assert!(alive, "stage {id} is kept for nobody");
            for job in &stage.jobs {
                assert!(self.jobs.contains_key(job), "stage {id} is kept for ended job {job}");
            }
            match stage.state {
                StageState::Idle => {}
                StageState::Waiting => self.check_waiting(*id),
                StageState::Failed => assert!(self.resubmit.contains(id), "stage {id} forgotten"),
                StageState::Running(set) => {
                    let set = &self.task_sets[&set];
                    assert!(!set.zombie && !set.is_done(), "stage {id} runs without tasks");
                    if !set.blocked {
                        assert!(self.missing_parents(*id).is_empty(), "stage {id} misses input");
                    }
                    if set.blocked && set.waiting > 0 && !self.resubmit.contains(id) {
                        self.check_waiting(*id);
                    }
                }
            }
            assert!(stage.state == StageState::Idle || !stage.jobs.is_empty());
        }
        assert!(self.resubmit.is_empty() || self.resubmit_at.is_some(), "no one resubmits");
    }

    /// A stage that waits for input has a parent which is going to make it.
    fn check_waiting(&self, id: crate::ids::StageId) {
        let missing = self.missing_parents(id);
        assert!(!missing.is_empty(), "stage {id} waits for nothing");
        assert!(
            missing.iter().any(|parent| self.stages[parent].state != StageState::Idle),
            "stage {id} waits for parents nobody runs"
        );
    }
}
