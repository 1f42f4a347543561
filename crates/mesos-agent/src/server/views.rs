//! JSON of the endpoints, with the names old tools know.

use mesos_api::Resources;
use mesos_api::json::JsonValue as _;
use serde_json::{Map, Value, json};

use crate::core::{ExecutorView, FrameworkView, Snapshot};

pub(super) fn version() -> Value {
    json!({ "version": crate::MESOS_VERSION, "build_date": "", "build_time": 0.0, "build_user": "ferrospark" })
}

fn resources(resources: &Resources) -> Value {
    let mut object = Map::new();
    for name in ["cpus", "gpus", "mem", "disk"] {
        object.insert(name.to_owned(), Value::from(resources.scalar(name)));
    }
    let ports: Vec<_> =
        resources.ranges("ports").iter().map(|(begin, end)| format!("{begin}-{end}")).collect();
    if !ports.is_empty() {
        object.insert("ports".to_owned(), Value::from(format!("[{}]", ports.join(", "))));
    }
    Value::Object(object)
}

pub(super) fn state(snapshot: &Snapshot) -> Value {
    let info = &snapshot.info;
    let attributes: Map<String, Value> = info
        .attributes
        .iter()
        .map(|attribute| {
            let value = match (&attribute.text, &attribute.scalar) {
                (Some(text), _) => Value::from(text.value.as_str()),
                (None, Some(scalar)) => Value::from(scalar.value),
                (None, None) => attribute.to_json(),
            };
            (attribute.name.clone(), value)
        })
        .collect();
    let completed: Vec<Value> = snapshot.completed.iter().map(executor).collect();
    json!({
        "version": snapshot.version,
        "id": info.id.as_ref().map_or("", |id| id.value.as_str()),
        "pid": format!("slave(1)@{}:{}", snapshot.ip, info.port()),
        "hostname": info.hostname,
        "port": info.port(),
        "connected": snapshot.linked,
        "resources": resources(&snapshot.resources),
        "attributes": attributes,
        "frameworks": snapshot.frameworks.iter().map(framework).collect::<Vec<_>>(),
        "completed_frameworks": [],
        "completed_executors": completed,
    })
}

fn framework(framework: &FrameworkView) -> Value {
    json!({
        "id": framework.info.id.as_ref().map_or("", |id| id.value.as_str()),
        "name": framework.info.name,
        "user": framework.info.user,
        "checkpoint": framework.info.checkpoint(),
        "failover_timeout": framework.info.failover_timeout(),
        "executors": framework.executors.iter().map(executor).collect::<Vec<_>>(),
        "completed_executors": [],
    })
}

fn executor(view: &ExecutorView) -> Value {
    let tasks: Vec<Value> = view
        .tasks
        .iter()
        .map(|(task, state)| {
            json!({
                "id": task.task_id.value,
                "name": task.name,
                "framework_id": view.framework_id.value,
                "executor_id": view.executor.executor_id.value,
                "slave_id": task.agent_id.value,
                "state": state.name(),
                "resources": resources(&Resources::from(task.resources.as_slice())),
            })
        })
        .collect();
    let mut used = Resources::from(view.executor.resources.as_slice());
    for (task, _) in &view.tasks {
        used.add_all(&Resources::from(task.resources.as_slice()));
    }
    json!({
        "id": view.executor.executor_id.value,
        "name": view.executor.name(),
        "source": view.executor.source(),
        "container": view.container_id,
        "directory": view.directory.display().to_string(),
        "resources": resources(&used),
        "tasks": tasks,
        "queued_tasks": [],
        "completed_tasks": [],
    })
}

pub(super) fn containers(snapshot: &Snapshot) -> Value {
    let executors = snapshot.frameworks.iter().flat_map(|framework| &framework.executors);
    let views = executors.map(|view| {
        json!({
            "container_id": view.container_id,
            "framework_id": view.framework_id.value,
            "executor_id": view.executor.executor_id.value,
            "executor_name": view.executor.name(),
            "source": view.executor.source(),
            "status": {
                "container_id": { "value": view.container_id }, "executor_pid": view.pid,
            },
        })
    });
    Value::Array(views.collect())
}

pub(super) fn metrics(snapshot: &Snapshot) -> Value {
    let executors: usize = snapshot.frameworks.iter().map(|f| f.executors.len()).sum();
    let tasks: usize =
        snapshot.frameworks.iter().flat_map(|f| &f.executors).map(|e| e.tasks.len()).sum();
    let mut metrics = json!({
        "slave/registered": f64::from(u8::from(snapshot.linked)),
        "slave/frameworks_active": snapshot.frameworks.len() as f64,
        "slave/executors_running": executors as f64,
        "slave/tasks_running": tasks as f64,
    });
    for name in ["cpus", "mem", "disk", "gpus"] {
        metrics[format!("slave/{name}_total")] = Value::from(snapshot.resources.scalar(name));
    }
    metrics
}
