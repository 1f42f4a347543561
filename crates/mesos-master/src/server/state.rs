//! `/state`, written without a tree in between: of a large cluster it is tens of megabytes. Most of them were
//! told before; see [`Known`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesos_api::json::JsonValue;
use mesos_api::resources::reservation_role;
use mesos_api::{AgentInfo, FrameworkId, Resource, Resources, Task, TaskStatus, ValueType};
use serde_json::{Map, Value};

use super::kept::{Kept, blocks_of};
use super::text::{Object, json, list, number, text};
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
            let mut object = Object::begin(&mut text);
            nature(agent, &mut object);
            object.end();
            (Arc::clone(&agent.info), text)
        });
        life(agent, &mut Object::begin(out));
        // Two objects become one.
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
    /// The document in pieces, and which question it answers; adds what is not needed any more to `gone`.
    pub(crate) fn state(
        &mut self,
        snapshot: &Snapshot,
        head: Map<String, Value>,
        gone: &mut Gone,
    ) -> (Vec<Bytes>, u64) {
        self.asked += 1;
        (self.known.state(snapshot, head, gone), self.asked)
    }

    /// Forgets, unless somebody has asked after this question.
    pub(crate) fn forget_after(&mut self, question: u64) {
        if self.asked == question {
            self.known = Known::default();
        }
    }
}

/// What was told before and is not any more. Between two polls of a busy cluster that is much, spread over all
/// memory: to free it takes as long as to write an answer.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    agents: Vec<Arc<AgentView>>,
    offers: Vec<Arc<OfferRecord>>,
    tasks: Vec<Arc<Task>>,
}

impl Gone {
    /// Frees it little by little, so that nobody has to wait for the processor or the allocator meanwhile.
    pub(crate) fn free_slowly(self) {
        if !self.agents.is_empty() || !self.offers.is_empty() || !self.tasks.is_empty() {
            std::thread::sleep(FREEING_DELAY);
            free_slowly(self.tasks);
            free_slowly(self.offers);
            free_slowly(self.agents);
        }
    }
}

/// An answer has left before what it made superfluous is freed.
const FREEING_DELAY: Duration = Duration::from_millis(200);

/// Items freed at once: a fraction of a millisecond.
const FREED_AT_ONCE: usize = 200;

/// Time between two lots.
const FREEING_PAUSE: Duration = Duration::from_millis(1);

fn free_slowly<T>(mut items: Vec<Arc<T>>) {
    while !items.is_empty() {
        items.truncate(items.len().saturating_sub(FREED_AT_ONCE));
        std::thread::sleep(FREEING_PAUSE);
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
    fn state(
        &mut self,
        snapshot: &Snapshot,
        head: Map<String, Value>,
        gone: &mut Gone,
    ) -> Vec<Bytes> {
        let mut pieces = Pieces::default();
        pieces.open(&head);
        let infos = &mut self.infos;
        let write = |agent: &AgentView, out: &mut Vec<u8>| infos.write(agent, out);
        let agents = self.agents.texts(blocks_of(&snapshot.agents), write, &mut gone.agents);
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
                own.framework(framework, &mut pieces, gone);
                self.frameworks.insert(framework.id.clone(), own);
            }
            pieces.text("]".to_owned());
        }
        for left in known.into_values() {
            gone.offers.extend(left.offers.into_items());
            gone.tasks.extend(left.tasks.into_iter().flat_map(Kept::into_items));
        }
        pieces.text("}".to_owned());
        pieces.done()
    }
}

impl KnownOf {
    fn framework(&mut self, framework: &FrameworkView, pieces: &mut Pieces, gone: &mut Gone) {
        pieces.open(&views::framework_head(framework));
        let offers = self.offers.texts(blocks_of(&framework.offers), offer, &mut gone.offers);
        pieces.list("offers", offers);
        let [live, unreachable, completed] = &mut self.tasks;
        let parts = framework.tasks.parts().iter().map(|part| &**part);
        pieces.list("tasks", live.texts(parts, task, &mut gone.tasks));
        for (name, tasks, kept) in [
            ("unreachable_tasks", &framework.unreachable_tasks, unreachable),
            ("completed_tasks", &framework.completed_tasks, completed),
        ] {
            pieces.list(name, kept.texts(blocks_of(tasks), task, &mut gone.tasks));
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

/// An agent, as in `slaves`: what changes, and what it told about itself.
pub(super) fn agent(agent: &AgentView, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    life(agent, &mut object);
    nature(agent, &mut object);
    object.end();
}

/// What changes while an agent is there.
fn life(agent: &AgentView, object: &mut Object<'_>) {
    object.text("id", &agent.id.value);
    object.json("pid", &format_args!("slave(1)@{}:{}", agent.ip, agent.info.port()));
    object.number("registered_time", agent.registered.as_secs_f64());
    if let Some(reregistered) = agent.reregistered {
        object.number("reregistered_time", reregistered.as_secs_f64());
    }
    sums(&agent.used, object.member("used_resources"));
    sums(&agent.offered, object.member("offered_resources"));
    object.flag("active", agent.active);
    object.flag("deactivated", agent.deactivated);
    object.text("version", &agent.version);
    if let Some(drain) = &agent.drain {
        let (name, info) = views::drain(drain);
        object.json(name, &info);
        object.number("estimated_drain_start_time_seconds", drain.since.as_secs_f64());
    }
    full(&agent.used, object.member("used_resources_full"));
    full(&agent.offered, object.member("offered_resources_full"));
}

/// What follows from what an agent told about itself; all it has is among that, reserved or not.
fn nature(agent: &AgentView, object: &mut Object<'_>) {
    let info = &agent.info;
    let total = Resources::from(info.resources.as_slice());
    let unreserved = total.unreserved();
    object.text("hostname", &info.hostname);
    object.json("port", &info.port());
    object.json("attributes", &views::attributes(&info.attributes));
    sums(&total, object.member("resources"));
    reserved(&total, object.member("reserved_resources"), |part, out| sums(part, out));
    sums(&unreserved, object.member("unreserved_resources"));
    object.json("capabilities", &views::agent_capabilities());
    reserved(&total, object.member("reserved_resources_full"), full);
    full(&unreserved, object.member("unreserved_resources_full"));
}

/// A framework with its tasks.
pub(super) fn framework(framework: &FrameworkView, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    for (name, value) in views::framework_head(framework) {
        json(&value, object.named(&name));
    }
    list(&framework.offers, object.member("offers"), |item, out| offer(item, out));
    list(&framework.tasks, object.member("tasks"), |item, out| task(item, out));
    let (unreachable, completed) = (&framework.unreachable_tasks, &framework.completed_tasks);
    list(unreachable, object.member("unreachable_tasks"), |item, out| task(item, out));
    list(completed, object.member("completed_tasks"), |item, out| task(item, out));
    object.end();
}

/// An outstanding offer.
fn offer(offer: &OfferRecord, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("id", &offer.id.value);
    object.text("framework_id", &offer.framework_id.value);
    object.text("slave_id", &offer.agent_id.value);
    sums(&offer.resources, object.member("resources"));
    role(&offer.role, object.member("allocation_info"));
    object.end();
}

/// For which role something is allocated.
fn role(role: &str, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("role", role);
    object.end();
}

/// A task.
pub(super) fn task(task: &Task, out: &mut Vec<u8>) {
    let role = task.resources.iter().find_map(|r| r.allocation_info.as_ref()?.role.as_deref());
    let mut object = Object::begin(out);
    object.text("id", &task.task_id.value);
    object.text("name", &task.name);
    object.text("framework_id", &task.framework_id.value);
    object.text("executor_id", task.executor_id.as_ref().map_or("", |id| id.value.as_str()));
    object.text("slave_id", &task.agent_id.value);
    object.text("state", task.state().name());
    sums(&task.resources, object.member("resources"));
    object.text("role", role.unwrap_or("*"));
    list(&task.statuses, object.member("statuses"), status);
    if let Some(user) = &task.user {
        object.text("user", user);
    }
    if let Some(labels) = &task.labels {
        object.json("labels", &labels.to_json()["labels"]);
    }
    if let Some(discovery) = &task.discovery {
        object.json("discovery", &discovery.to_json());
    }
    if let Some(container) = &task.container {
        object.json("container", &container.to_json());
    }
    object.end();
}

fn status(status: &TaskStatus, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("state", status.state().name());
    object.number("timestamp", status.timestamp());
    if let Some(container) = &status.container_status {
        object.json("container_status", &container.to_json());
    }
    if let Some(healthy) = status.healthy {
        object.flag("healthy", healthy);
    }
    object.end();
}

/// Resources of which every sum tells.
const USUAL: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

/// Sums by name: the usual scalars always, ranges and sets as text.
pub(super) fn sums<'a>(resources: impl IntoIterator<Item = &'a Resource>, out: &mut Vec<u8>) {
    let mut usual = USUAL.map(|_| 0.0);
    let mut scalars: Vec<(&str, f64)> = Vec::new();
    let mut others: BTreeMap<&str, Resources> = BTreeMap::new();
    for resource in resources {
        if resource.r#type() == ValueType::Scalar {
            let value = resource.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
            let at = USUAL.iter().position(|name| *name == resource.name);
            let mut known = scalars.iter_mut().filter(|(name, _)| *name == resource.name);
            match at.map(|at| &mut usual[at]).or_else(|| known.next().map(|(_, sum)| sum)) {
                Some(sum) => *sum += value,
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
    // Three decimals, as everywhere.
    let rounded = |sum: f64| (sum * 1000.0).round() / 1000.0;
    let mut object = Object::begin(out);
    for (name, sum) in USUAL.into_iter().zip(usual) {
        object.number(name, rounded(sum));
    }
    for (name, sum) in scalars {
        number(rounded(sum), object.named(name));
    }
    for (name, bag) in others {
        let whole = bag.to_string();
        text(whole.split_once(':').map_or("", |(_, value)| value), object.named(name));
    }
    object.end();
}

/// Resources by the role they are reserved for, each part as `write` writes it.
fn reserved(resources: &Resources, out: &mut Vec<u8>, write: impl Fn(&Resources, &mut Vec<u8>)) {
    let roles: BTreeSet<&str> = resources.iter().filter_map(reservation_role).collect();
    let mut object = Object::begin(out);
    for role in roles {
        write(&resources.reserved(role), object.named(role));
    }
    object.end();
}

/// Resources as messages.
fn full(resources: &Resources, out: &mut Vec<u8>) {
    list(resources, out, resource);
}

fn resource(resource: &Resource, out: &mut Vec<u8>) {
    let Resource { name, scalar, ranges, set, allocation_info, reservations, .. } = resource;
    let Resource { provider_id, role: old_role, reservation, disk, revocable, shared, .. } =
        resource;
    let more = provider_id.is_some() || old_role.is_some() || reservation.is_some();
    if more || disk.is_some() || revocable.is_some() || shared.is_some() {
        // Rare enough for the long way.
        return json(&resource.to_json(), out);
    }
    let mut object = Object::begin(out);
    object.text("name", name);
    object.text("type", resource.r#type().name());
    if let Some(scalar) = scalar {
        let mut inner = Object::begin(object.member("scalar"));
        inner.number("value", scalar.value);
        inner.end();
    }
    if let Some(ranges) = ranges {
        object.json("ranges", &ranges.to_json());
    }
    if let Some(set) = set {
        object.json("set", &set.to_json());
    }
    if let Some(name) = allocation_info.as_ref().and_then(|info| info.role.as_deref()) {
        role(name, object.member("allocation_info"));
    }
    if !reservations.is_empty() {
        let all: Vec<Value> = reservations.iter().map(JsonValue::to_json).collect();
        object.json("reservations", &all);
    }
    object.end();
}
