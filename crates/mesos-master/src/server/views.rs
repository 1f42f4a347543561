//! JSON of the endpoints, with the names old tools know (`slave_id` and the like).

use std::collections::BTreeMap;

use mesos_api::agent_info::CapabilityType;
use mesos_api::duration::format_duration;
use mesos_api::json::JsonValue as _;
use mesos_api::{Attribute, FileInfo, Resources, TaskState, ValueType};
use serde_json::{Map, Value, json};

use super::Server;
use super::state;
use crate::core::publish::AGENT_CAPABILITIES;
use crate::core::{DrainView, FrameworkReasons, FrameworkView, LostAgentView, Reason, Snapshot};
use crate::options::MasterOptions;

/// The version of Mesos whose API this is.
pub(crate) const MESOS_VERSION: &str = "1.11.0";

pub(super) fn version() -> Value {
    json!({ "version": MESOS_VERSION, "build_date": "", "build_time": 0.0, "build_user": "ferrospark" })
}

pub(super) fn flags(options: &MasterOptions) -> Value {
    let flags: Map<String, Value> = flag_values(options)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    json!({ "flags": flags })
}

/// Flags by name.
pub(super) fn flag_values(options: &MasterOptions) -> Vec<(&'static str, String)> {
    let mut flags = Vec::new();
    let mut put = |name: &'static str, value: String| flags.push((name, value));
    put("ip", options.ip.to_string());
    put("port", options.port.to_string());
    put("allocation_interval", format_duration(options.allocation_interval));
    put("agent_ping_timeout", format_duration(options.agent_ping_timeout));
    put("max_agent_ping_timeouts", options.max_agent_ping_timeouts.to_string());
    put("max_completed_frameworks", options.max_completed_frameworks.to_string());
    put("max_completed_tasks_per_framework", options.max_completed_tasks_per_framework.to_string());
    put("authenticate_http_frameworks", options.authenticate_http_frameworks.to_string());
    put("authenticate_agents", options.authenticate_agents.to_string());
    put("authenticate_http_readonly", options.authenticate_http_readonly.to_string());
    put("authenticate_http_readwrite", options.authenticate_http_readwrite.to_string());
    put("agent_reregister_timeout", format_duration(options.agent_reregister_timeout));
    put("filter_gpu_resources", options.filter_gpu_resources.to_string());
    let optional = [
        ("hostname", options.hostname.clone()),
        ("advertise_ip", options.advertise_ip.map(|ip| ip.to_string())),
        ("work_dir", options.work_dir.as_ref().map(|path| path.display().to_string())),
        ("log_dir", options.log_dir.as_ref().map(|path| path.display().to_string())),
        ("offer_timeout", options.offer_timeout.map(format_duration)),
        ("cluster", options.cluster.clone()),
        ("zk", options.zk.clone()),
        ("acls", options.acls.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            put(name, value);
        }
    }
    flags
}

/// Scalars by name with the usual ones always there, ranges and sets as text.
pub(super) fn resources(resources: &Resources) -> Value {
    let mut text = Vec::new();
    state::sums(resources, &mut text);
    // What was written is JSON.
    serde_json::from_slice(&text).unwrap_or_default()
}

pub(super) fn attributes(attributes: &[Attribute]) -> Value {
    let pairs = attributes.iter().map(|attribute| {
        let value = match attribute.r#type() {
            ValueType::Scalar => {
                Value::from(attribute.scalar.as_ref().map_or(0.0, |scalar| scalar.value))
            }
            ValueType::Ranges => {
                let ranges = attribute.ranges.iter().flat_map(|ranges| &ranges.range);
                let parts: Vec<_> = ranges.map(|r| format!("{}-{}", r.begin, r.end)).collect();
                Value::from(format!("[{}]", parts.join(", ")))
            }
            ValueType::Set => {
                let items: Vec<_> = attribute.set.iter().flat_map(|set| set.item.clone()).collect();
                Value::from(format!("{{{}}}", items.join(", ")))
            }
            ValueType::Text => {
                Value::from(attribute.text.as_ref().map_or("", |text| text.value.as_str()))
            }
        };
        (attribute.name.clone(), value)
    });
    Value::Object(pairs.collect())
}

/// What our agents understand.
pub(super) fn agent_capabilities() -> [&'static str; 4] {
    AGENT_CAPABILITIES.map(CapabilityType::name)
}

/// That an agent is emptied.
pub(super) fn drain(drain: &DrainView) -> (&'static str, Value) {
    let state = if drain.done { "DRAINED" } else { "DRAINING" };
    ("drain_info", json!({ "state": state, "config": drain.config.to_json() }))
}

/// An agent that did not return since the master started.
pub(super) fn lost_agent(agent: &LostAgentView) -> Value {
    let total = Resources::from(agent.info.resources.as_slice());
    json!({
        "id": agent.id.value,
        "hostname": agent.info.hostname,
        "port": agent.info.port(),
        "attributes": attributes(&agent.info.attributes),
        "resources": resources(&total),
    })
}

pub(super) fn weights(snapshot: &Snapshot) -> Value {
    let weights = snapshot.weights.iter();
    weights.map(|(role, weight)| json!({ "role": role, "weight": weight })).collect()
}

pub(super) fn quotas(snapshot: &Snapshot) -> Value {
    let configs = snapshot.quotas.iter().map(|quota| quota.config.to_json());
    json!({ "configs": configs.collect::<Vec<_>>(), "infos": [] })
}

/// A file as the older API tells of it.
pub(super) fn file(file: &FileInfo) -> Value {
    let mode = file.mode();
    let bit = |bit: u32, letter: char| if mode & bit == 0 { '-' } else { letter };
    let mut text = String::from(if mode & 0o40000 == 0 { "-" } else { "d" });
    for shift in [6, 3, 0] {
        text.extend([bit(4 << shift, 'r'), bit(2 << shift, 'w'), bit(1 << shift, 'x')]);
    }
    json!({
        "path": file.path,
        "nlink": file.nlink(),
        "size": file.size(),
        "mtime": file.mtime.as_ref().map_or(0, |time| time.nanoseconds / 1_000_000_000),
        "mode": text,
        "uid": file.uid(),
        "gid": file.gid(),
    })
}

/// Why a framework has offers or not.
pub(super) fn reasons(reasons: &FrameworkReasons) -> Value {
    let one = |reason: &Reason| json!({ "code": reason.code(), "message": reason.to_string() });
    let agents = reasons.agents.iter().map(|agent| {
        json!({
            "agent_id": agent.agent_id.value,
            "hostname": agent.hostname,
            "role": agent.role,
            "reason": one(&agent.reason),
        })
    });
    json!({
        "framework_id": reasons.framework_id.value,
        "name": reasons.name,
        "reason": reasons.in_general.as_ref().map(one),
        "agents": agents.collect::<Vec<_>>(),
    })
}

/// A framework but for its offers and tasks.
pub(super) fn framework_head(framework: &FrameworkView) -> Map<String, Value> {
    let info = &framework.info;
    let mut sum = framework.used.clone();
    sum.add_all(&framework.offered);
    let capabilities: Vec<_> = info.capabilities.iter().map(|c| c.r#type().name()).collect();
    let mut view = json!({
        "id": framework.id.value,
        "name": info.name,
        "user": info.user,
        "hostname": info.hostname(),
        "webui_url": info.webui_url(),
        "principal": info.principal(),
        "capabilities": capabilities,
        "failover_timeout": info.failover_timeout(),
        "checkpoint": info.checkpoint(),
        "active": framework.connected,
        "connected": framework.connected,
        "recovered": framework.recovered,
        "registered_time": framework.registered.as_secs_f64(),
        "unregistered_time": framework.unregistered.map_or(0.0, |time| time.as_secs_f64()),
        "resources": resources(&sum),
        "used_resources": resources(&framework.used),
        "offered_resources": resources(&framework.offered),
        "suppressed_roles": framework.suppressed,
    });
    if info.has_capability(mesos_api::framework_info::CapabilityType::MultiRole) {
        view["roles"] = Value::from(info.roles.clone());
    } else {
        view["role"] = Value::from(info.role());
    }
    if let Some(reregistered) = framework.reregistered {
        view["reregistered_time"] = Value::from(reregistered.as_secs_f64());
    }
    if let Some(labels) = &info.labels {
        view["labels"] = labels.to_json()["labels"].take();
    }
    view["executors"] = framework
        .executors
        .iter()
        .map(|(agent_id, executor)| {
            json!({
                "executor_id": executor.executor_id.value,
                "name": executor.name(),
                "source": executor.source(),
                "framework_id": framework.id.value,
                "slave_id": agent_id.value,
                "command": executor.command.as_ref().map(mesos_api::json::JsonValue::to_json),
                "resources": resources(&Resources::from(executor.resources.as_slice())),
            })
        })
        .collect();
    match view {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(super) fn roles(snapshot: &Snapshot) -> Value {
    let mut members: BTreeMap<String, Vec<&FrameworkView>> = BTreeMap::new();
    for framework in &snapshot.frameworks {
        for role in framework.info.subscribed_roles() {
            members.entry(role).or_default().push(framework);
        }
    }
    for role in snapshot.weights.keys() {
        members.entry(role.clone()).or_default();
    }
    members.entry("*".to_owned()).or_default();
    let views: Vec<Value> = members
        .into_iter()
        .map(|(role, frameworks)| {
            let mut held = Resources::new();
            for framework in &frameworks {
                for part in [&framework.used, &framework.offered] {
                    held.add_all(&part.filter(|resource| {
                        resource.allocation_info.as_ref().is_some_and(|info| info.role() == role)
                    }));
                }
            }
            let ids: Vec<_> = frameworks.iter().map(|framework| &framework.id.value).collect();
            let part = |select: fn(&FrameworkView) -> &Resources| {
                let own = frameworks.iter().map(|framework| {
                    select(framework).filter(|resource| {
                        resource.allocation_info.as_ref().is_some_and(|info| info.role() == role)
                    })
                });
                let mut sum = Resources::new();
                own.for_each(|part| sum.add_all(&part));
                sum
            };
            json!({
                "name": role,
                "allocated": resources(&part(|framework| &framework.used)),
                "offered": resources(&part(|framework| &framework.offered)),
                "weight": snapshot.weights.get(&role).copied().unwrap_or(1.0),
                "frameworks": ids,
                "resources": resources(&held),
            })
        })
        .collect();
    json!({ "roles": views })
}

/// What `/state` says of the master itself.
pub(crate) fn state_head(snapshot: &Snapshot, options: &MasterOptions) -> Map<String, Value> {
    let info = &snapshot.master_info;
    let active = snapshot.agents.iter().filter(|agent| agent.active).count();
    let mut view = json!({
        "version": MESOS_VERSION,
        "build_date": "",
        "build_time": 0.0,
        "build_user": "ferrospark",
        "start_time": snapshot.started.as_secs_f64(),
        "elected_time": snapshot.started.as_secs_f64(),
        "id": info.id,
        "pid": info.pid(),
        "hostname": info.hostname(),
        "capabilities": ["AGENT_UPDATE", "AGENT_DRAINING"],
        "activated_slaves": active as f64,
        "deactivated_slaves": (snapshot.agents.len() - active) as f64,
        "unreachable_slaves": snapshot.unreachable_agents.len() as f64,
        "leader": info.pid(),
        "leader_info": {
            "id": info.id, "pid": info.pid(), "port": info.port, "hostname": info.hostname(),
        },
        "flags": flags(options)["flags"].take(),
        "recovered_slaves": snapshot.recovered_agents.iter().map(lost_agent).collect::<Vec<_>>(),
        "orphan_tasks": [],
        "unregistered_frameworks": [],
    });
    if let Some(cluster) = &options.cluster {
        view["cluster"] = Value::from(cluster.as_str());
    }
    if let Some(log_dir) = &options.log_dir {
        view["log_dir"] = Value::from(log_dir.display().to_string());
    }
    match view {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Only what overviews show: no tasks, but their numbers.
pub(super) fn summary(snapshot: &Snapshot, server: &Server) -> Value {
    let info = &snapshot.master_info;
    let mut tasks: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    let all = snapshot.frameworks.iter().flat_map(|framework| &framework.tasks);
    for task in all {
        let state = task.state().name().to_owned();
        *tasks.entry(&task.agent_id.value).or_default().entry(state).or_default() += 1;
    }
    let agents = snapshot.agents.iter().map(|agent| {
        let mut view = json!({
            "id": agent.id.value,
            "hostname": agent.info.hostname,
            "port": agent.info.port(),
            "pid": format!("slave(1)@{}:{}", agent.ip, agent.info.port()),
            "attributes": attributes(&agent.info.attributes),
            "registered_time": agent.registered.as_secs_f64(),
            "resources": resources(&agent.total),
            "used_resources": resources(&agent.used),
            "offered_resources": resources(&agent.offered),
            "active": agent.active,
            "version": agent.version,
        });
        for (state, count) in tasks.get(agent.id.value.as_str()).into_iter().flatten() {
            view[state.as_str()] = Value::from(*count);
        }
        view
    });
    let frameworks = snapshot.frameworks.iter().map(|framework| {
        let mut view = json!({
            "id": framework.id.value,
            "name": framework.info.name,
            "hostname": framework.info.hostname(),
            "webui_url": framework.info.webui_url(),
            "active": framework.connected,
            "used_resources": resources(&framework.used),
            "offered_resources": resources(&framework.offered),
        });
        let mut states: BTreeMap<&str, u64> = BTreeMap::new();
        for task in &framework.tasks {
            *states.entry(task.state().name()).or_default() += 1;
        }
        for (state, count) in states {
            view[state] = Value::from(count);
        }
        view
    });
    json!({
        "hostname": info.hostname(),
        "cluster": server.options.cluster,
        "slaves": agents.collect::<Vec<_>>(),
        "frameworks": frameworks.collect::<Vec<_>>(),
    })
}

pub(super) fn metrics(snapshot: &Snapshot) -> Value {
    let values = metric_values(snapshot).into_iter();
    Value::Object(values.map(|(name, value)| (name, Value::from(value))).collect())
}

/// Metrics by name.
pub(super) fn metric_values(snapshot: &Snapshot) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    let mut put = |name: String, value: f64| {
        metrics.insert(name, value);
    };
    put("master/elected".into(), 1.0);
    put("master/uptime_secs".into(), snapshot.now.saturating_sub(snapshot.started).as_secs_f64());
    let active = snapshot.agents.iter().filter(|agent| agent.active).count();
    put("master/slaves_active".into(), active as f64);
    put("master/slaves_connected".into(), active as f64);
    put("master/slaves_inactive".into(), (snapshot.agents.len() - active) as f64);
    put("master/slaves_disconnected".into(), (snapshot.agents.len() - active) as f64);
    put("master/slaves_unreachable".into(), snapshot.unreachable_agents.len() as f64);
    put("master/slave_removals".into(), snapshot.counters.agent_removals as f64);
    let connected = snapshot.frameworks.iter().filter(|f| f.connected).count();
    put("master/frameworks_active".into(), connected as f64);
    put("master/frameworks_connected".into(), connected as f64);
    put("master/frameworks_disconnected".into(), (snapshot.frameworks.len() - connected) as f64);
    let offers: usize = snapshot.frameworks.iter().map(|f| f.offers.len()).sum();
    put("master/outstanding_offers".into(), offers as f64);
    put("master/offers_rescinded".into(), snapshot.counters.offers_rescinded as f64);
    put("master/slave_registrations".into(), snapshot.counters.agent_registrations as f64);
    put("master/slave_reregistrations".into(), snapshot.counters.agent_reregistrations as f64);
    put("master/recovered_slaves".into(), snapshot.recovered_agents.len() as f64);
    put("allocator/mesos/allocation_runs".into(), snapshot.counters.allocation_runs as f64);
    put(
        "master/valid_status_updates".into(),
        (snapshot.counters.status_updates - snapshot.counters.invalid_status_updates) as f64,
    );
    put("master/invalid_status_updates".into(), snapshot.counters.invalid_status_updates as f64);
    for (call, count) in &snapshot.counters.calls {
        put(format!("master/messages_{}", message_name(call)), *count as f64);
    }
    for state in [TaskState::Staging, TaskState::Starting, TaskState::Running, TaskState::Killing] {
        let tasks = snapshot.frameworks.iter().flat_map(|framework| &framework.tasks);
        let count = tasks.filter(|task| task.state() == state).count();
        put(format!("master/{}", metric_name(state)), count as f64);
    }
    for state in [
        TaskState::Finished,
        TaskState::Failed,
        TaskState::Killed,
        TaskState::Error,
        TaskState::Lost,
        TaskState::Dropped,
        TaskState::Gone,
    ] {
        let count = snapshot.counters.ended_tasks.get(state.name()).copied().unwrap_or(0);
        put(format!("master/{}", metric_name(state)), count as f64);
    }
    for name in ["cpus", "mem", "disk", "gpus"] {
        let total: f64 = snapshot.agents.iter().map(|agent| agent.total.scalar(name)).sum();
        let used: f64 = snapshot.agents.iter().map(|agent| agent.used.scalar(name)).sum();
        put(format!("master/{name}_total"), total);
        put(format!("master/{name}_used"), used);
        put(format!("master/{name}_percent"), if total > 0.0 { used / total } else { 0.0 });
        put(format!("allocator/mesos/resources/{name}/total"), total);
        let offered: f64 = snapshot.agents.iter().map(|agent| agent.offered.scalar(name)).sum();
        put(format!("allocator/mesos/resources/{name}/offered_or_allocated"), used + offered);
    }
    for (role, share) in &snapshot.shares {
        put(format!("allocator/mesos/roles/{role}/shares/dominant"), *share);
    }
    for quota in &snapshot.quotas {
        for (name, held) in &quota.held {
            let role = &quota.config.role;
            put(format!("allocator/mesos/quota/roles/{role}/resources/{name}/consumed"), *held);
        }
    }
    put("allocator/mesos/offer_filters/active".into(), snapshot.filters as f64);
    metrics
}

/// Calls are counted under the names of the messages that once carried them.
fn message_name(call: &str) -> String {
    let name = match call {
        "SUBSCRIBE" => "register_framework",
        "TEARDOWN" => "unregister_framework",
        "ACCEPT" => "launch_tasks",
        "DECLINE" => "decline_offers",
        "REVIVE" => "revive_offers",
        "SUPPRESS" => "suppress_offers",
        "KILL" => "kill_task",
        "ACKNOWLEDGE" => "status_update_acknowledgement",
        "RECONCILE" => "reconcile_tasks",
        "MESSAGE" => "framework_to_executor",
        "REQUEST" => "resource_request",
        other => return other.to_lowercase(),
    };
    name.to_owned()
}

/// `TASK_RUNNING` is `tasks_running`.
fn metric_name(state: TaskState) -> String {
    state.name().to_lowercase().replacen("task_", "tasks_", 1)
}
