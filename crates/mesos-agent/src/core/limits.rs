//! How much of the machine a container may use.

use std::collections::BTreeMap;

use mesos_api::{Resource, Resources, value::Scalar};

use super::Agent;
use super::event::{Action, ContainerKey};
use super::state::{Container, Kind};

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// No container gets less, as in Mesos: a smaller one could not even start a shell.
const LEAST_MEMORY_MIB: f64 = 32.0;

/// What a container was granted, and what it must not exceed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Its share of the processors.
    pub cpus: f64,
    /// It gets no more even if processors are idle; infinite if it said so.
    pub cpus_limit: Option<f64>,
    /// Bytes it was granted; none if it asked for no memory.
    pub memory: Option<u64>,
    /// Bytes above which it is killed; none if there is no bound.
    pub memory_limit: Option<u64>,
}

impl Limits {
    /// Limits of granted resources; `limits` are those of the task, under `cpus` and `mem`.
    #[must_use]
    pub fn of(resources: &Resources, limits: &BTreeMap<String, Scalar>) -> Self {
        let own = |name: &str| limits.get(name).map(|scalar| scalar.value);
        let granted = resources.scalar("mem");
        let memory = (granted > 0.0).then(|| bytes(granted));
        let memory_limit = match own("mem") {
            Some(limit) if limit.is_infinite() => None,
            Some(limit) => Some(bytes(limit)),
            None => memory,
        };
        Self { cpus: resources.scalar("cpus"), cpus_limit: own("cpus"), memory, memory_limit }
    }
}

fn bytes(mebibytes: f64) -> u64 {
    (mebibytes.max(LEAST_MEMORY_MIB) * MEBIBYTE) as u64
}

/// An executor's container holds its own resources and those of its tasks.
pub(super) fn limits_of(container: &Container) -> Limits {
    let mut resources = Resources::from(container.executor.resources.as_slice());
    let add = |resources: &mut Resources, more: &[Resource]| {
        resources.add_all(&Resources::from(more));
    };
    for entry in container.tasks.values() {
        add(&mut resources, &entry.info.resources);
    }
    let single = container.tasks.values().next().filter(|_| container.kind == Kind::Command);
    let none = BTreeMap::new();
    Limits::of(&resources, single.map_or(&none, |entry| &entry.info.limits))
}

impl Agent {
    /// Tells the container its limits after tasks came or went.
    pub(super) fn adjust_limits(&mut self, key: &ContainerKey) {
        let Some(container) = self.containers.get(key) else { return };
        if container.is_custom() && !container.is_ending() {
            let limits = limits_of(container);
            self.act(Action::Limit { container: key.clone(), limits });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(resources: &str, own: &[(&str, f64)]) -> Limits {
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), Scalar { value: *value }));
        Limits::of(&Resources::parse(resources, "*").unwrap(), &own.collect())
    }

    #[test]
    fn a_task_gets_what_it_asked_for_and_no_more() {
        let plain = limits("cpus:0.5;mem:64", &[]);
        let expected = Limits {
            cpus: 0.5,
            cpus_limit: None,
            memory: Some(64 << 20),
            memory_limit: Some(64 << 20),
        };
        assert_eq!(plain, expected);
        assert_eq!(limits("cpus:1;mem:4", &[]).memory_limit, Some(32 << 20), "the least");
        assert_eq!(limits("cpus:1", &[]).memory_limit, None, "no memory asked for");
    }

    #[test]
    fn limits_of_a_task_may_exceed_its_request() {
        let wide = limits("cpus:1;mem:64", &[("cpus", 2.0), ("mem", 128.0)]);
        assert_eq!((wide.cpus_limit, wide.memory), (Some(2.0), Some(64 << 20)));
        assert_eq!(wide.memory_limit, Some(128 << 20));
        assert_eq!(limits("mem:64", &[("mem", f64::INFINITY)]).memory_limit, None);
    }
}
