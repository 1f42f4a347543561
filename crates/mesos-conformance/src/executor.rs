//! The custom executor of the checks. What it does with a task is the task's data:
//!
//! `hold` runs until killed; `finish` finishes at once, giving the data back; `exit N` runs and then ends the
//! whole executor with that code; `probe` sends bad calls to the agent and finishes with what came of them.
//! Messages are sent back as they come.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use mesos_api::{TaskId, TaskInfo, TaskState, TaskStatus};
use mesos_client::{ExecutorClient, ExecutorEvent, ExecutorHandle, ExecutorOptions};
use serde_json::{Value, json};

use crate::wire;

/// Runs the executor until the agent ends it.
///
/// # Errors
/// When the environment is not an executor's, or the agent does not want us.
pub async fn run() -> Result<()> {
    let options = ExecutorOptions::from_environment(|name| std::env::var(name).ok())?;
    let (handle, mut events) = ExecutorClient::connect(options.clone()).await?;
    while let Some(event) = events.recv().await {
        match event {
            ExecutorEvent::Launch(task) => launch(&handle, &options, &task).await?,
            ExecutorEvent::Kill { task_id, .. } => tell(&handle, &task_id, TaskState::Killed, None),
            ExecutorEvent::Message(data) => handle.message(data),
            ExecutorEvent::Shutdown { .. } => {
                // What was killed just now should still be told.
                drop(tokio::time::timeout(Duration::from_secs(1), handle.flush()).await);
                break;
            }
            ExecutorEvent::Subscribed { .. }
            | ExecutorEvent::Disconnected { .. }
            | ExecutorEvent::LaunchGroup(_) => {}
        }
    }
    Ok(())
}

async fn launch(handle: &ExecutorHandle, options: &ExecutorOptions, task: &TaskInfo) -> Result<()> {
    let script = String::from_utf8_lossy(task.data.as_deref().unwrap_or_default()).into_owned();
    tell(handle, &task.task_id, TaskState::Running, None);
    match script.split_once(' ').unwrap_or((script.as_str(), "")) {
        ("finish", _) => tell(handle, &task.task_id, TaskState::Finished, task.data.clone()),
        ("probe", _) => {
            let found = probe(options, &task.task_id).await?.to_string();
            tell(handle, &task.task_id, TaskState::Finished, Some(found.into()));
        }
        ("exit", code) => {
            handle.flush().await;
            std::process::exit(code.parse().context("exit wants a code")?);
        }
        _ => {}
    }
    Ok(())
}

fn tell(handle: &ExecutorHandle, task: &TaskId, state: TaskState, data: Option<bytes::Bytes>) {
    let mut status = TaskStatus { task_id: task.clone(), data, ..TaskStatus::default() };
    status.set_state(state);
    handle.update(status);
}

/// The status the agent gives to each bad call.
async fn probe(options: &ExecutorOptions, task: &TaskId) -> Result<Value> {
    let uuid = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let good = uuid(uuid::Uuid::new_v4().as_bytes());
    let status = |change: Value| {
        let mut status = json!({
            "task_id": {"value": task.value}, "state": "TASK_RUNNING", "source": "SOURCE_EXECUTOR",
            "executor_id": {"value": options.executor_id.value}, "uuid": good,
        });
        if let (Value::Object(status), Value::Object(change)) = (&mut status, change) {
            for (key, value) in change {
                status.insert(key, value);
            }
        }
        json!({"type": "UPDATE", "update": {"status": status}})
    };
    let calls = [
        ("no_uuid", status(json!({"uuid": null}))),
        ("short_uuid", status(json!({"uuid": uuid(b"short")}))),
        ("other_executor", status(json!({"executor_id": {"value": "other"}}))),
        ("staging", status(json!({"state": "TASK_STAGING"}))),
        ("other_source", status(json!({"source": "SOURCE_MASTER"}))),
        ("no_update", json!({"type": "UPDATE"})),
        ("no_message", json!({"type": "MESSAGE"})),
        (
            "other_framework",
            json!({"type": "MESSAGE", "message": {"data": ""}, "framework_id": {"value": "nobody"}}),
        ),
    ];
    let mut found = serde_json::Map::new();
    for (name, mut call) in calls {
        if call.get("framework_id").is_none() {
            call["framework_id"] = json!({"value": options.framework_id.value});
        }
        call["executor_id"] = json!({"value": options.executor_id.value});
        let reply = wire::post_json(&options.agent, "/api/v1/executor", &call).await?;
        found.insert(name.to_owned(), json!([reply.status, reply.text]));
    }
    Ok(Value::Object(found))
}
