//! `/state`, written without a tree in between: of a large cluster it is tens of megabytes.

use std::collections::BTreeMap;

use mesos_api::json::JsonValue as _;
use mesos_api::resources::reservation_role;
use mesos_api::{Resource, Resources, Task, TaskStatus, ValueType};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::views;
use crate::core::{AgentView, FrameworkView, Snapshot};

/// The parts of the document that have many entries, after those that have not.
pub(crate) struct State<'a> {
    /// What is said of the master itself.
    pub(crate) head: Map<String, Value>,
    /// The cluster.
    pub(crate) snapshot: &'a Snapshot,
}

impl Serialize for State<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.head {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("slaves", &List(&self.snapshot.agents, AgentJson))?;
        map.serialize_entry("frameworks", &List(&self.snapshot.frameworks, FrameworkJson))?;
        let completed = List(&self.snapshot.completed_frameworks, FrameworkJson);
        map.serialize_entry("completed_frameworks", &completed)?;
        map.end()
    }
}

/// Items, and how each is written.
struct List<'a, T, J>(&'a [T], fn(&'a T) -> J);

impl<T, J: Serialize> Serialize for List<'_, T, J> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(Some(self.0.len()))?;
        for item in self.0 {
            items.serialize_element(&self.1(item))?;
        }
        items.end()
    }
}

/// An agent, as in `slaves`.
pub(crate) struct AgentJson<'a>(pub(crate) &'a AgentView);

impl Serialize for AgentJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let agent = self.0;
        let unreserved = agent.total.unreserved();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &agent.id.value)?;
        map.serialize_entry("hostname", &agent.info.hostname)?;
        map.serialize_entry("port", &agent.info.port())?;
        map.serialize_entry("pid", &format!("slave(1)@{}:{}", agent.ip, agent.info.port()))?;
        map.serialize_entry("attributes", &views::attributes(&agent.info.attributes))?;
        map.serialize_entry("registered_time", &agent.registered.as_secs_f64())?;
        if let Some(reregistered) = agent.reregistered {
            map.serialize_entry("reregistered_time", &reregistered.as_secs_f64())?;
        }
        map.serialize_entry("resources", &Sums(&agent.total))?;
        map.serialize_entry("used_resources", &Sums(&agent.used))?;
        map.serialize_entry("offered_resources", &Sums(&agent.offered))?;
        map.serialize_entry("reserved_resources", &Reserved(&agent.total, false))?;
        map.serialize_entry("unreserved_resources", &Sums(&unreserved))?;
        map.serialize_entry("active", &agent.active)?;
        map.serialize_entry("deactivated", &agent.deactivated)?;
        map.serialize_entry("version", &agent.version)?;
        map.serialize_entry("capabilities", &views::agent_capabilities())?;
        if let Some(drain) = &agent.drain {
            let (name, info) = views::drain(drain);
            map.serialize_entry(name, &info)?;
            let since = drain.since.as_secs_f64();
            map.serialize_entry("estimated_drain_start_time_seconds", &since)?;
        }
        map.serialize_entry("reserved_resources_full", &Reserved(&agent.total, true))?;
        map.serialize_entry("unreserved_resources_full", &Full(&unreserved))?;
        map.serialize_entry("used_resources_full", &Full(&agent.used))?;
        map.serialize_entry("offered_resources_full", &Full(&agent.offered))?;
        map.end()
    }
}

/// A framework with its tasks.
pub(crate) struct FrameworkJson<'a>(pub(crate) &'a FrameworkView);

impl Serialize for FrameworkJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let framework = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in views::framework_head(framework) {
            map.serialize_entry(&name, &value)?;
        }
        let tasks = |task: &'_ std::sync::Arc<Task>| TaskValue(std::sync::Arc::clone(task));
        map.serialize_entry("tasks", &List(&framework.tasks, tasks))?;
        map.serialize_entry("unreachable_tasks", &List(&framework.unreachable_tasks, tasks))?;
        map.serialize_entry("completed_tasks", &List(&framework.completed_tasks, tasks))?;
        map.end()
    }
}

struct TaskValue(std::sync::Arc<Task>);

impl Serialize for TaskValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TaskJson(&self.0).serialize(serializer)
    }
}

/// A task.
pub(crate) struct TaskJson<'a>(pub(crate) &'a Task);

impl Serialize for TaskJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let task = self.0;
        let role = task.resources.iter().find_map(|r| r.allocation_info.as_ref()?.role.as_deref());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &task.task_id.value)?;
        map.serialize_entry("name", &task.name)?;
        map.serialize_entry("framework_id", &task.framework_id.value)?;
        let executor_id = task.executor_id.as_ref().map_or("", |id| id.value.as_str());
        map.serialize_entry("executor_id", executor_id)?;
        map.serialize_entry("slave_id", &task.agent_id.value)?;
        map.serialize_entry("state", task.state().name())?;
        map.serialize_entry("resources", &SumsOf(&task.resources))?;
        map.serialize_entry("role", role.unwrap_or("*"))?;
        map.serialize_entry("statuses", &List(&task.statuses, StatusJson))?;
        if let Some(user) = &task.user {
            map.serialize_entry("user", user)?;
        }
        if let Some(labels) = &task.labels {
            map.serialize_entry("labels", &labels.to_json()["labels"])?;
        }
        if let Some(discovery) = &task.discovery {
            map.serialize_entry("discovery", &discovery.to_json())?;
        }
        if let Some(container) = &task.container {
            map.serialize_entry("container", &container.to_json())?;
        }
        map.end()
    }
}

struct StatusJson<'a>(&'a TaskStatus);

impl Serialize for StatusJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("state", self.0.state().name())?;
        map.serialize_entry("timestamp", &self.0.timestamp())?;
        if let Some(container) = &self.0.container_status {
            map.serialize_entry("container_status", &container.to_json())?;
        }
        if let Some(healthy) = self.0.healthy {
            map.serialize_entry("healthy", &healthy)?;
        }
        map.end()
    }
}

/// Sums by name: the usual scalars always, ranges and sets as text.
pub(crate) struct Sums<'a>(pub(crate) &'a Resources);

impl Serialize for Sums<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        sums(self.0.iter(), serializer)
    }
}

struct SumsOf<'a>(&'a [Resource]);

impl Serialize for SumsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        sums(self.0.iter(), serializer)
    }
}

fn sums<'a, S: Serializer>(
    resources: impl Iterator<Item = &'a Resource>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut scalars: Vec<(&str, f64)> =
        ["cpus", "gpus", "mem", "disk"].map(|name| (name, 0.0)).into();
    let mut others: BTreeMap<&str, Resources> = BTreeMap::new();
    for resource in resources {
        if resource.r#type() == ValueType::Scalar {
            let value = resource.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
            match scalars.iter_mut().find(|(name, _)| *name == resource.name) {
                Some((_, sum)) => *sum += value,
                None => scalars.push((&resource.name, value)),
            }
        } else {
            let bare = Resource {
                name: resource.name.clone(),
                r#type: resource.r#type,
                ranges: resource.ranges.clone(),
                set: resource.set.clone(),
                ..Resource::default()
            };
            others.entry(&resource.name).or_default().add(bare);
        }
    }
    let mut map = serializer.serialize_map(None)?;
    for (name, sum) in scalars {
        // Three decimals, as everywhere.
        map.serialize_entry(name, &((sum * 1000.0).round() / 1000.0))?;
    }
    for (name, bag) in others {
        let text = bag.to_string();
        map.serialize_entry(name, text.split_once(':').map_or("", |(_, value)| value))?;
    }
    map.end()
}

/// By role, as sums or in full.
struct Reserved<'a>(&'a Resources, bool);

impl Serialize for Reserved<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let roles: std::collections::BTreeSet<&str> =
            self.0.iter().filter_map(reservation_role).collect();
        let mut map = serializer.serialize_map(Some(roles.len()))?;
        for role in roles {
            let part = self.0.reserved(role);
            if self.1 {
                map.serialize_entry(role, &Full(&part))?;
            } else {
                map.serialize_entry(role, &Sums(&part))?;
            }
        }
        map.end()
    }
}

/// Resources as messages.
struct Full<'a>(&'a Resources);

impl Serialize for Full<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(None)?;
        for resource in self.0 {
            items.serialize_element(&ResourceJson(resource))?;
        }
        items.end()
    }
}

struct ResourceJson<'a>(&'a Resource);

impl Serialize for ResourceJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Resource { name, scalar, ranges, set, allocation_info, reservations, .. } = self.0;
        let Resource { provider_id, role, reservation, disk, revocable, shared, .. } = self.0;
        let more = provider_id.is_some() || role.is_some() || reservation.is_some();
        if more || disk.is_some() || revocable.is_some() || shared.is_some() {
            // Rare enough for the long way.
            return self.0.to_json().serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", name)?;
        map.serialize_entry("type", self.0.r#type().name())?;
        if let Some(scalar) = scalar {
            map.serialize_entry("scalar", &BTreeMap::from([("value", scalar.value)]))?;
        }
        if let Some(ranges) = ranges {
            map.serialize_entry("ranges", &ranges.to_json())?;
        }
        if let Some(set) = set {
            map.serialize_entry("set", &set.to_json())?;
        }
        if let Some(role) = allocation_info.as_ref().and_then(|info| info.role.as_deref()) {
            map.serialize_entry("allocation_info", &BTreeMap::from([("role", role)]))?;
        }
        if !reservations.is_empty() {
            let all: Vec<Value> =
                reservations.iter().map(mesos_api::json::JsonValue::to_json).collect();
            map.serialize_entry("reservations", &all)?;
        }
        map.end()
    }
}

/// The document, but for what only a running server knows of itself.
pub(crate) fn text(snapshot: &Snapshot, head: Map<String, Value>) -> Vec<u8> {
    // Writing into memory cannot fail, and all keys are texts.
    serde_json::to_vec(&State { head, snapshot }).unwrap_or_default()
}
