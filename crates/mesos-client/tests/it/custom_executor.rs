//! A custom executor: this test program itself, started by an agent.

use mesos_api::executor_info::Type;
use mesos_api::offer::Operation;
use mesos_api::{CommandInfo, Environment, ExecutorInfo, TaskId, TaskInfo, TaskState, TaskStatus};
use mesos_client::{ExecutorClient, ExecutorEvent, ExecutorHandle, ExecutorOptions, MasterAddress};

use crate::scenario::{Framework, scalar};

/// Set where the program is to be the executor.
const ROLE: &str = "FERROSPARK_TEST_EXECUTOR";

/// Not a test of its own: what the agent runs.
#[test]
fn process() {
    if std::env::var_os(ROLE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(execute());
    }
}

async fn execute() {
    let options = ExecutorOptions::from_environment(|name| std::env::var(name).ok()).unwrap();
    let (handle, mut events) = ExecutorClient::connect(options).await.unwrap();
    while let Some(event) = events.recv().await {
        match event {
            ExecutorEvent::Launch(task) => {
                tell(&handle, &task.task_id, TaskState::Running, None);
                if let Some(data) = task.data {
                    tell(&handle, &task.task_id, TaskState::Finished, Some(data));
                }
            }
            ExecutorEvent::Kill { task_id, .. } => {
                tell(&handle, &task_id, TaskState::Killed, None);
            }
            ExecutorEvent::Message(data) => handle.message(data),
            ExecutorEvent::Shutdown { .. } => break,
            ExecutorEvent::Subscribed { .. }
            | ExecutorEvent::Disconnected { .. }
            | ExecutorEvent::LaunchGroup(_) => {}
        }
    }
}

fn tell(handle: &ExecutorHandle, task_id: &TaskId, state: TaskState, data: Option<bytes::Bytes>) {
    let mut status = TaskStatus { task_id: task_id.clone(), data, ..TaskStatus::default() };
    status.set_state(state);
    handle.update(status);
}

fn executor(framework: &Framework) -> ExecutorInfo {
    let program = std::env::current_exe().unwrap().display().to_string();
    let arguments = [&program, "--exact", "custom_executor::process", "--nocapture"];
    let command = CommandInfo {
        shell: Some(false),
        value: Some(program.clone()),
        arguments: arguments.map(str::to_owned).to_vec(),
        environment: Some(Environment::of([(ROLE, "1")])),
        ..CommandInfo::default()
    };
    let mut executor = ExecutorInfo {
        executor_id: "custom".into(),
        framework_id: framework.handle.framework_id(),
        command: Some(command),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        ..ExecutorInfo::default()
    };
    executor.set_type(Type::Custom);
    executor
}

pub(crate) async fn scenario(master: MasterAddress) {
    let mut framework = Framework::subscribe(&master, "custom executor").await;
    let offer = framework.offer().await;
    let executor = executor(&framework);
    let task = |id: &str, data: Option<&'static [u8]>| TaskInfo {
        name: id.to_owned(),
        task_id: id.into(),
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        executor: Some(executor.clone()),
        data: data.map(bytes::Bytes::from_static),
        ..TaskInfo::default()
    };
    let tasks = vec![task("quick", Some(b"in and out")), task("long", None)];
    framework.handle.accept(vec![offer.id.clone()], vec![Operation::launch_tasks(tasks)], None);

    let mut result = None;
    let mut running = 0;
    while result.is_none() || running < 2 {
        let status = framework.update().await;
        assert!(
            status.state() == TaskState::Running || status.task_id.value == "quick",
            "{status:?}"
        );
        running += usize::from(status.state() == TaskState::Running);
        if status.state() == TaskState::Finished {
            result = status.data;
        }
    }
    assert_eq!(result.as_deref(), Some(&b"in and out"[..]));

    let echo = bytes::Bytes::from_static(b"echo");
    framework.handle.message(offer.agent_id.clone(), "custom".into(), echo.clone());
    framework.handle.kill("long".into(), Some(offer.agent_id.clone()), None);
    framework.reaches("long", TaskState::Killed).await;
    assert_eq!(framework.messages, [echo]);
    framework.handle.teardown().await.unwrap();
}
