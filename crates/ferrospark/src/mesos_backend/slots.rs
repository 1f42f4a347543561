//! Slots of fine-grained mode: what the decision core announces, until tasks are laid on it.

use std::collections::BTreeMap;

use spark_exec::{OfferedCores, TaskLaunch};

/// The slots announced and not used.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Host and number of tasks that may be launched, by executor.
    free: BTreeMap<String, (String, u64)>,
    /// Something came that may change what the engine would answer.
    changed: bool,
}

impl Slots {
    /// Each word about an executor replaces the last.
    pub(super) fn announce(&mut self, executor_id: String, host: String, free: u64) {
        if free == 0 {
            self.free.remove(&executor_id);
        } else {
            self.free.insert(executor_id, (host, free));
            self.changed = true;
        }
    }

    pub(super) fn forget(&mut self, executor_id: &str) {
        self.free.remove(executor_id);
    }

    /// More tasks wait.
    pub(super) fn demand_grew(&mut self) {
        self.changed = true;
    }

    /// What to offer the engine now; empty if its answer would be the same as before.
    pub(super) fn take_offers(&mut self, task_cpus: u64) -> Vec<OfferedCores> {
        if !std::mem::take(&mut self.changed) {
            return Vec::new();
        }
        let offer = |(executor, (host, free)): (&String, &(String, u64))| OfferedCores {
            executor: executor.clone(),
            host: host.clone(),
            cores: u32::try_from(free.saturating_mul(task_cpus)).unwrap_or(u32::MAX),
        };
        self.free.iter().map(offer).collect()
    }

    /// Launched tasks use slots up.
    pub(super) fn used(&mut self, launches: &[TaskLaunch]) {
        for launch in launches {
            if let Some((_, free)) = self.free.get_mut(&launch.executor) {
                *free = free.saturating_sub(1);
            }
        }
        self.free.retain(|_, (_, free)| *free > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(executor: &str) -> TaskLaunch {
        TaskLaunch {
            executor: executor.to_owned(),
            task: 0,
            name: String::new(),
            cpus: 2,
            data: bytes::Bytes::new(),
        }
    }

    fn offered(slots: &mut Slots) -> Vec<(String, u32)> {
        slots.take_offers(2).into_iter().map(|offer| (offer.executor, offer.cores)).collect()
    }

    #[test]
    fn slots_are_offered_until_used() {
        let mut slots = Slots::default();
        assert!(offered(&mut slots).is_empty());
        slots.announce("a".to_owned(), "h1".to_owned(), 3);
        slots.announce("b".to_owned(), "h2".to_owned(), 1);
        assert_eq!(offered(&mut slots), [("a".to_owned(), 6), ("b".to_owned(), 2)]);
        slots.used(&[launch("a"), launch("b")]);
        assert!(offered(&mut slots).is_empty(), "nothing has changed");
        slots.demand_grew();
        assert_eq!(offered(&mut slots), [("a".to_owned(), 4)]);
        slots.announce("a".to_owned(), "h1".to_owned(), 0);
        slots.announce("b".to_owned(), "h2".to_owned(), 1);
        slots.forget("b");
        slots.demand_grew();
        assert!(offered(&mut slots).is_empty());
    }
}
