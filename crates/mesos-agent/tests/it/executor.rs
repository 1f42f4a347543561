//! A custom executor: this test program, told to be one by the environment an agent gives. What it does
//! with a task is the task's data.

use std::path::{Path, PathBuf};

use mesos_api::scheduler::event::Type as EventType;
use mesos_api::{
    CommandInfo, ExecutorInfo, Offer, Resources, TaskInfo, TaskState, TaskStatus, Volume,
};
use mesos_client::{ExecutorClient, ExecutorEvent, ExecutorHandle, ExecutorOptions};

use crate::client::{Scheduler, task};

/// The test that is the program.
const PROGRAM: &str = "executor::executor_process --exact --nocapture";

/// Where a container without files of its own has the program.
const INSIDE: &str = "/program";

/// No test: what agents run for these tests.
#[test]
fn executor_process() {
    if std::env::var_os("MESOS_EXECUTOR_ID").is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = ExecutorOptions::from_environment(|name| std::env::var(name).ok()).unwrap();
        let (handle, mut events) = ExecutorClient::connect(options).await.unwrap();
        while let Some(event) = events.recv().await {
            match event {
                ExecutorEvent::Launch(task) => launch(&handle, &task).await,
                ExecutorEvent::Kill { task_id, .. } => {
                    tell(&handle, task_id.value, TaskState::Killed, None);
                }
                ExecutorEvent::Message(data) => handle.message(data),
                ExecutorEvent::Shutdown { .. } => std::process::exit(0),
                ExecutorEvent::Subscribed { .. }
                | ExecutorEvent::Disconnected { .. }
                | ExecutorEvent::LaunchGroup(_) => {}
            }
        }
    });
}

async fn launch(handle: &ExecutorHandle, task: &TaskInfo) {
    let id = task.task_id.value.clone();
    let script = String::from_utf8(task.data.clone().unwrap_or_default().to_vec()).unwrap();
    tell(handle, id.clone(), TaskState::Running, None);
    match script.split_once(' ').unwrap_or((script.as_str(), "")) {
        // Ends the executor with this code.
        ("exit", code) => {
            handle.flush().await;
            std::process::exit(code.parse().unwrap());
        }
        // Takes memory until there is none.
        ("eat", _) => {
            handle.flush().await;
            let mut eaten = Vec::new();
            loop {
                eaten.push(vec![1_u8; 1 << 20]);
            }
        }
        // Finishes, with the content of a file.
        ("read", file) => {
            let content = std::fs::read(file).unwrap_or_default();
            tell(handle, id, TaskState::Finished, Some(content));
        }
        // Finishes when there is a file of this name.
        ("until", file) => {
            let (handle, file) = (handle.clone(), PathBuf::from(file));
            tokio::spawn(async move {
                while !file.exists() {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                tell(&handle, id, TaskState::Finished, None);
            });
        }
        // Runs until it is killed.
        _ => {}
    }
}

fn tell(handle: &ExecutorHandle, id: String, state: TaskState, data: Option<Vec<u8>>) {
    let data = data.map(Into::into);
    handle.update(TaskStatus {
        task_id: id.into(),
        state: state.into(),
        data,
        ..TaskStatus::default()
    });
}

fn program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// The executor as it is started in a container that has [`volumes`].
pub(crate) fn in_a_container(id: &str, resources: &str) -> ExecutorInfo {
    let program = Path::new(INSIDE).join(program().file_name().unwrap());
    let command = format!("exec {} {PROGRAM}", program.display());
    ExecutorInfo {
        executor_id: id.into(),
        command: Some(CommandInfo { value: Some(command), ..CommandInfo::default() }),
        resources: Resources::parse(resources, "*")
            .unwrap()
            .to_wire(mesos_api::WireFormat::PreRefinement),
        ..ExecutorInfo::default()
    }
}

/// The program and the libraries it needs.
pub(crate) fn volumes() -> Vec<Volume> {
    let program = program();
    let folder = program.parent().unwrap().display().to_string();
    [(folder.as_str(), INSIDE), ("/lib", "/lib"), ("/lib64", "/lib64")]
        .map(|(outside, inside)| Volume {
            mode: mesos_api::volume::Mode::Ro.into(),
            container_path: inside.into(),
            host_path: Some(outside.into()),
            ..Volume::default()
        })
        .to_vec()
}

/// A task of an executor, which does this with it.
pub(crate) fn task_of(
    executor: &ExecutorInfo,
    id: &str,
    offer: &Offer,
    resources: &str,
    script: &str,
) -> TaskInfo {
    TaskInfo {
        command: None,
        executor: Some(executor.clone()),
        data: Some(script.to_owned().into()),
        ..task(id, offer, resources, CommandInfo::default())
    }
}

/// The next update of a task, acknowledged, and whatever failures were told before.
pub(crate) async fn update_or_failure(
    scheduler: &mut Scheduler,
) -> Result<TaskStatus, mesos_api::scheduler::event::Failure> {
    loop {
        let event = scheduler.next().await.expect("the stream goes on");
        match event.r#type() {
            EventType::Update => {
                let status = event.update.unwrap().status;
                scheduler.acknowledge(&status).await;
                return Ok(status);
            }
            EventType::Failure => return Err(event.failure.unwrap()),
            EventType::Offers => scheduler.offers.extend(event.offers.unwrap().offers),
            EventType::Heartbeat => {}
            other => panic!("{other}: {event:?}"),
        }
    }
}
