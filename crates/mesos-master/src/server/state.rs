//! `/state`, written without a tree in between: of a large cluster it is tens of megabytes. Most of them were
//! told before; see [`Known`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mesos_api::json::JsonValue as _;
use mesos_api::resources::reservation_role;
use mesos_api::{AgentInfo, FrameworkId, Resource, Resources, Task, TaskStatus, ValueType};
use serde::ser::{SerializeMap, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::kept::Kept;
use super::views;
use crate::core::{AgentView, FrameworkView, OfferRecord, Snapshot};

/// Texts of what was told before, so that the next answer costs little more than what has changed.
#[derive(Debug, Default)]
pub(crate) struct Known {
    agents: Kept<AgentView>,
    infos: Infos,
    frameworks: BTreeMap<FrameworkId, KnownOf>,
}

/// What an agent told about itself, as text, by its address: it stays while what it holds and offers changes
/// many times a second.
#[derive(Debug, Default)]
struct Infos(BTreeMap<usize, (Arc<AgentInfo>, Vec<u8>)>);

impl Infos {
    /// Appends an agent.
    fn write(&mut self, agent: &AgentView, out: &mut Vec<u8>) {
        let (_, text) = self.0.entry(Arc::as_ptr(&agent.info).addr()).or_insert_with(|| {
            let mut text = Vec::new();
            json(&InfoJson(agent), &mut text);
            (Arc::clone(&agent.info), text)
        });
        json(&LifeJson(agent), out);
        // Two objects become one.
        out.pop();
        out.push(b',');
        out.extend_from_slice(&text[1..]);
    }

    /// Forgets what no agent tells any more, once that is more than half.
    fn tidy(&mut self, agents: usize) {
        if self.0.len() > agents * 2 {
            self.0.retain(|_, (info, _)| Arc::strong_count(info) > 1);
        }
    }
}

/// [`Known`] as long as somebody asks now and then: in large clusters it is as large as the answer.
#[derive(Debug, Default)]
pub(crate) struct Told {
    known: Known,
    asked: u64,
}

impl Told {
    /// The document in pieces, and which question it answers.
    pub(crate) fn state(
        &mut self,
        snapshot: &Snapshot,
        head: Map<String, Value>,
    ) -> (Vec<Bytes>, u64) {
        self.asked += 1;
        (self.known.state(snapshot, head), self.asked)
    }

    /// Forgets, unless somebody has asked after this question.
    pub(crate) fn forget_after(&mut self, question: u64) {
        if self.asked == question {
            self.known = Known::default();
        }
    }
}

/// The long lists of a framework.
#[derive(Debug, Default)]
struct KnownOf {
    offers: Kept<OfferRecord>,
    tasks: [Kept<Task>; 3],
}

impl Known {
    /// The document in pieces; `head` is what is said of the master itself.
    pub(crate) fn state(&mut self, snapshot: &Snapshot, head: Map<String, Value>) -> Vec<Bytes> {
        let mut pieces = Pieces::default();
        pieces.open(&head);
        let infos = &mut self.infos;
        let agents = self.agents.texts(&snapshot.agents, |agent, out| infos.write(agent, out));
        infos.tidy(snapshot.agents.len());
        pieces.list("slaves", agents);
        // What is said of frameworks that are gone is forgotten.
        let mut known = std::mem::take(&mut self.frameworks);
        for (name, frameworks) in [
            ("frameworks", &snapshot.frameworks),
            ("completed_frameworks", &snapshot.completed_frameworks),
        ] {
            pieces.text(format!(",\"{name}\":["));
            for (at, framework) in frameworks.iter().enumerate() {
                if at > 0 {
                    pieces.text(",".to_owned());
                }
                let mut own = known.remove(&framework.id).unwrap_or_default();
                own.framework(framework, &mut pieces);
                self.frameworks.insert(framework.id.clone(), own);
            }
            pieces.text("]".to_owned());
        }
        pieces.text("}".to_owned());
        pieces.done()
    }
}

impl KnownOf {
    fn framework(&mut self, framework: &FrameworkView, pieces: &mut Pieces) {
        pieces.open(&views::framework_head(framework));
        let offers = self.offers.texts(&framework.offers, |o, out| json(&OfferJson(o), out));
        pieces.list("offers", offers);
        let lists = [
            ("tasks", &framework.tasks),
            ("unreachable_tasks", &framework.unreachable_tasks),
            ("completed_tasks", &framework.completed_tasks),
        ];
        for ((name, tasks), kept) in lists.into_iter().zip(&mut self.tasks) {
            pieces.list(name, kept.texts(tasks, |task, out| json(&TaskJson(task), out)));
        }
        pieces.text("}".to_owned());
    }
}

/// An answer as it grows: short texts are collected, long ones are only referred to.
#[derive(Default)]
struct Pieces {
    whole: Vec<Bytes>,
    last: Vec<u8>,
}

/// Texts of this length and more are not copied.
const LONG: usize = 4096;

impl Pieces {
    fn text(&mut self, text: String) {
        self.last.extend_from_slice(text.as_bytes());
    }

    /// An object, which is not closed yet.
    fn open(&mut self, object: &Map<String, Value>) {
        json(object, &mut self.last);
        self.last.pop();
    }

    /// A member of an object that has others already.
    fn list(&mut self, name: &str, items: Vec<Bytes>) {
        self.text(format!(",\"{name}\":["));
        for item in items {
            if item.len() < LONG {
                self.last.extend_from_slice(&item);
            } else {
                self.whole.push(std::mem::take(&mut self.last).into());
                self.whole.push(item);
            }
        }
        self.text("]".to_owned());
    }

    fn done(mut self) -> Vec<Bytes> {
        self.whole.push(self.last.into());
        self.whole.retain(|piece| !piece.is_empty());
        self.whole
    }
}

/// Appends the JSON of a value.
fn json(value: &impl Serialize, out: &mut Vec<u8>) {
    // Writing into memory cannot fail, and all keys are texts.
    let _ = serde_json::to_writer(out, value);
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

/// An agent, as in `slaves`: what changes, and what it told about itself.
pub(crate) struct AgentJson<'a>(pub(crate) &'a AgentView);

impl Serialize for AgentJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        LifeJson(self.0).entries(&mut map)?;
        InfoJson(self.0).entries(&mut map)?;
        map.end()
    }
}

/// What changes while an agent is there.
struct LifeJson<'a>(&'a AgentView);

impl LifeJson<'_> {
    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let agent = self.0;
        map.serialize_entry("id", &agent.id.value)?;
        map.serialize_entry("pid", &format_args!("slave(1)@{}:{}", agent.ip, agent.info.port()))?;
        map.serialize_entry("registered_time", &agent.registered.as_secs_f64())?;
        if let Some(reregistered) = agent.reregistered {
            map.serialize_entry("reregistered_time", &reregistered.as_secs_f64())?;
        }
        map.serialize_entry("used_resources", &Sums(&agent.used))?;
        map.serialize_entry("offered_resources", &Sums(&agent.offered))?;
        map.serialize_entry("active", &agent.active)?;
        map.serialize_entry("deactivated", &agent.deactivated)?;
        map.serialize_entry("version", &agent.version)?;
        if let Some(drain) = &agent.drain {
            let (name, info) = views::drain(drain);
            map.serialize_entry(name, &info)?;
            let since = drain.since.as_secs_f64();
            map.serialize_entry("estimated_drain_start_time_seconds", &since)?;
        }
        map.serialize_entry("used_resources_full", &Full(&agent.used))?;
        map.serialize_entry("offered_resources_full", &Full(&agent.offered))
    }
}

impl Serialize for LifeJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.entries(&mut map)?;
        map.end()
    }
}

/// What follows from what an agent told about itself; all it has is among that, reserved or not.
struct InfoJson<'a>(&'a AgentView);

impl InfoJson<'_> {
    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let info = &self.0.info;
        let total = Resources::from(info.resources.as_slice());
        let unreserved = total.unreserved();
        map.serialize_entry("hostname", &info.hostname)?;
        map.serialize_entry("port", &info.port())?;
        map.serialize_entry("attributes", &views::attributes(&info.attributes))?;
        map.serialize_entry("resources", &Sums(&total))?;
        map.serialize_entry("reserved_resources", &Reserved(&total, false))?;
        map.serialize_entry("unreserved_resources", &Sums(&unreserved))?;
        map.serialize_entry("capabilities", &views::agent_capabilities())?;
        map.serialize_entry("reserved_resources_full", &Reserved(&total, true))?;
        map.serialize_entry("unreserved_resources_full", &Full(&unreserved))
    }
}

impl Serialize for InfoJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.entries(&mut map)?;
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
        let offers = |offer: &'_ Arc<OfferRecord>| OfferValue(Arc::clone(offer));
        map.serialize_entry("offers", &List(&framework.offers, offers))?;
        let tasks = |task: &'_ Arc<Task>| TaskValue(Arc::clone(task));
        map.serialize_entry("tasks", &List(&framework.tasks, tasks))?;
        map.serialize_entry("unreachable_tasks", &List(&framework.unreachable_tasks, tasks))?;
        map.serialize_entry("completed_tasks", &List(&framework.completed_tasks, tasks))?;
        map.end()
    }
}

struct OfferValue(Arc<OfferRecord>);

impl Serialize for OfferValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        OfferJson(&self.0).serialize(serializer)
    }
}

/// An outstanding offer.
struct OfferJson<'a>(&'a OfferRecord);

impl Serialize for OfferJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let offer = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &offer.id.value)?;
        map.serialize_entry("framework_id", &offer.framework_id.value)?;
        map.serialize_entry("slave_id", &offer.agent_id.value)?;
        map.serialize_entry("resources", &Sums(&offer.resources))?;
        map.serialize_entry("allocation_info", &One("role", &offer.role))?;
        map.end()
    }
}

struct TaskValue(Arc<Task>);

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

/// An object of one member.
struct One<T>(&'static str, T);

impl<T: Serialize> Serialize for One<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
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
            map.serialize_entry("scalar", &One("value", scalar.value))?;
        }
        if let Some(ranges) = ranges {
            map.serialize_entry("ranges", &ranges.to_json())?;
        }
        if let Some(set) = set {
            map.serialize_entry("set", &set.to_json())?;
        }
        if let Some(role) = allocation_info.as_ref().and_then(|info| info.role.as_deref()) {
            map.serialize_entry("allocation_info", &One("role", role))?;
        }
        if !reservations.is_empty() {
            let all: Vec<Value> =
                reservations.iter().map(mesos_api::json::JsonValue::to_json).collect();
            map.serialize_entry("reservations", &all)?;
        }
        map.end()
    }
}
