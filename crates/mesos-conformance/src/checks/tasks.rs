//! Tasks and executors.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mesos_api::TaskState;
use mesos_api::framework_info::CapabilityType;
use mesos_api::task_status::{Reason, Source};
use mesos_client::SchedulerEvent;

use crate::cluster::is_alive;
use crate::lab::{Lab, Profile, amount, command_task, pid_in, scalar, told_by, until};

/// STARTING, RUNNING, FINISHED; FAILED with the code.
pub async fn life(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let offer = framework.offer().await?;
    framework.accept(&[&offer], vec![command_task("good", &offer.agent_id, "exit 0")], 0.0);
    for state in [TaskState::Starting, TaskState::Running, TaskState::Finished] {
        let status = framework.update("good").await?;
        ensure!(status.state() == state, "{state} was expected: {status:?}");
        told_by(&status, Source::Executor, None)?;
        ensure!(status.uuid.as_ref().is_some_and(|uuid| uuid.len() == 16), "{status:?}");
        ensure!(status.agent_id.as_ref() == Some(&offer.agent_id), "{status:?}");
        ensure!(status.timestamp.is_some(), "{status:?}");
        ensure!(status.executor_id.as_ref().is_none_or(|id| id.value == "good"), "{status:?}");
        if state == TaskState::Finished {
            ensure!(status.message() == "Command exited with status 0", "{status:?}");
        }
    }
    let offer = framework.offer().await?;
    framework.accept(&[&offer], vec![command_task("bad", &offer.agent_id, "exit 3")], 0.0);
    let failed = framework.reaches("bad", TaskState::Failed).await?;
    ensure!(failed.message() == "Command exited with status 3", "{failed:?}");
    framework.teardown().await
}

/// KILL ends a task; with the capability it is KILLING first.
pub async fn kill(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    framework.run("t", "sleep 1000").await?;
    framework.handle.kill("t".into(), None, None);
    let killed = framework.update("t").await?;
    ensure!(killed.state() == TaskState::Killed, "{killed:?}");
    told_by(&killed, Source::Executor, None)?;
    framework.teardown().await?;

    let capabilities = vec![CapabilityType::TaskKillingState];
    let mut framework = lab.framework(Profile { capabilities, ..Profile::default() }).await?;
    framework.run("t", "sleep 1000").await?;
    framework.handle.kill("t".into(), None, None);
    let killing = framework.update("t").await?;
    ensure!(killing.state() == TaskState::Killing, "{killing:?}");
    framework.reaches("t", TaskState::Killed).await?;
    framework.teardown().await
}

/// KILL of a task nobody knows is answered as a reconciliation; with a wrong agent it is ignored.
pub async fn kill_unknown(lab: &mut Lab) -> Result<()> {
    for (profile, of_agent, without) in [
        (Profile::default(), TaskState::Lost, TaskState::Lost),
        (Profile::partition_aware(), TaskState::Gone, TaskState::UnknownTask),
    ] {
        let mut framework = lab.framework(profile).await?;
        let offer = framework.offer().await?;
        framework.handle.kill("nobody".into(), Some(offer.agent_id.clone()), None);
        let status = framework.update("nobody").await?;
        ensure!(status.state() == of_agent, "{status:?}");
        told_by(&status, Source::Master, Some(Reason::Reconciliation))?;
        framework.handle.kill("nobody".into(), None, None);
        let status = framework.update("nobody").await?;
        ensure!(status.state() == without, "{status:?}");
        framework.teardown().await?;
    }
    let mut framework = lab.framework(Profile::default()).await?;
    framework.run("t", "sleep 1000").await?;
    framework.handle.kill("t".into(), Some("nobody-S0".into()), None);
    let of_task = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Update(_));
    framework.never("a wrong agent is ignored", Duration::from_millis(500), of_task).await?;
    framework.teardown().await
}

/// An update is told again until it is acknowledged; those after it wait.
pub async fn repeated_until_acknowledged(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile { acknowledge: false, ..Profile::default() }).await?;
    let offer = framework.offer().await?;
    framework.accept(&[&offer], vec![command_task("t", &offer.agent_id, "sleep 1000")], 0.0);
    let first = framework.update("t").await?;
    let told = Instant::now();
    let again = framework.update("t").await?;
    let waited = told.elapsed().as_secs_f64();
    ensure!(again.uuid == first.uuid && again.state() == first.state(), "{first:?} then {again:?}");
    // Told 10 s later, of which either may be heard late.
    ensure!((5.0..30.0).contains(&waited), "repeated after {waited} s");
    framework.handle.acknowledge(&again);
    let next = framework.update("t").await?;
    ensure!(next.uuid != first.uuid && next.state() == TaskState::Running, "{next:?}");
    framework.teardown().await
}

/// A task that ended gives its resources back, acknowledged or not.
pub async fn unacknowledged_terminal(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile { acknowledge: false, ..Profile::default() }).await?;
    let offer = framework.offer().await?;
    let cpus = amount(&offer.resources, "cpus");
    let mut task = command_task("t", &offer.agent_id, "true");
    task.resources = vec![scalar("cpus", cpus), scalar("mem", 64.0)];
    framework.accept(&[&offer], vec![task], 0.0);
    let starting = framework.update("t").await?;
    ensure!(!starting.state().is_terminal(), "{starting:?}");
    // Nothing is acknowledged, so nothing but the first update is told; but the resources come back.
    framework
        .offer_where(|o| o.agent_id == offer.agent_id && amount(&o.resources, "cpus") == cpus)
        .await?;
    framework.teardown().await
}

/// One executor for two tasks, messages both ways, SHUTDOWN, and FAILURE with the wait status.
pub async fn custom_executor(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let offer = framework.offer().await?;
    let agent = &offer.agent_id;
    let tasks = vec![
        framework.executor_task("quick", agent, "finish"),
        framework.executor_task("long", agent, "hold"),
    ];
    framework.accept(&[&offer], tasks, 0.0);
    let finished = framework.reaches("quick", TaskState::Finished).await?;
    ensure!(finished.data.as_deref() == Some(&b"finish"[..]), "{finished:?}");
    ensure!(finished.executor_id.as_ref().is_some_and(|id| id.value == "custom"), "{finished:?}");
    framework.reaches("long", TaskState::Running).await?;

    // The executor costs its own resources once: 0.1, and 0.1 for the task that runs.
    let whole = amount(&offer.resources, "cpus");
    loop {
        let left = framework.offer_where(|o| o.agent_id == *agent).await?;
        ensure!(left.executor_ids.iter().any(|id| id.value == "custom"), "{left:?}");
        framework.handle.decline(vec![left.id], Some(0.0));
        if (whole - amount(&left.resources, "cpus") - 0.2).abs() < 1e-6 {
            break;
        }
    }

    let echo = bytes::Bytes::from_static(b"echo \0\xff");
    framework.handle.message(agent.clone(), "custom".into(), echo.clone());
    let same =
        |e: &SchedulerEvent| matches!(e, SchedulerEvent::Message { data, .. } if *data == echo);
    framework.wait("the message back", same).await?;

    framework.handle.shutdown("custom".into(), agent.clone());
    let ended = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Failure { executor_id: Some(id), .. } if id.value == "custom");
    framework.wait("the executor's end", ended).await?;
    framework.teardown().await
}

/// An executor that ends takes its tasks along; FAILURE has the raw wait status.
pub async fn executor_exits(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let offer = framework.offer().await?;
    let task = framework.executor_task("t", &offer.agent_id, "exit 3");
    framework.accept(&[&offer], vec![task], 0.0);
    let failed = framework.reaches("t", TaskState::Failed).await?;
    told_by(&failed, Source::Agent, Some(Reason::ExecutorTerminated))?;
    let ended = |e: &SchedulerEvent| {
        matches!(e, SchedulerEvent::Failure { executor_id: Some(_), status: Some(768), .. })
    };
    framework.wait("FAILURE with status 768", ended).await?;
    framework.teardown().await
}

/// TEARDOWN, and a disconnected framework without failover timeout, end their tasks.
pub async fn end_of_framework(lab: &mut Lab) -> Result<()> {
    let folder = lab.own()?.folder().to_owned();
    for way in ["teardown", "vanish"] {
        let mut framework = lab.framework(Profile::default()).await?;
        let file = folder.join(format!("pid-{way}"));
        framework.run("t", &format!("echo $$ > {}; exec sleep 1000", file.display())).await?;
        let pid = pid_in(&file).await?;
        ensure!(is_alive(pid), "the task runs");
        let id = framework.id.clone();
        if way == "teardown" {
            framework.teardown().await?;
        } else {
            drop(framework.vanish());
        }
        until("the task's end", async || Ok(!is_alive(pid))).await?;
        until("the framework's end", async || Ok(lab.state_of(&id).await?.is_none())).await?;
    }
    Ok(())
}

/// What a task must not be; each is told as TASK_ERROR, and the offer comes back.
pub async fn invalid_tasks(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    framework.run("taken", "sleep 1000").await?;
    for case in ["slash/id", "other agent", "both", "neither", "taken", "negative"] {
        let offer = framework.offer().await?;
        let mut task = command_task(
            if case == "slash/id" { "slash/id" } else { "t" },
            &offer.agent_id,
            "true",
        );
        match case {
            "other agent" => task.agent_id = "nobody-S0".into(),
            "both" => task.executor = framework.executor_task("x", &offer.agent_id, "").executor,
            "neither" => task.command = None,
            "taken" => task.task_id = "taken".into(),
            "negative" => task.resources[0] = scalar("cpus", -1.0),
            _ => {}
        }
        let id = task.task_id.value.clone();
        framework.accept(&[&offer], vec![task], 0.0);
        let status = framework.update(&id).await?;
        ensure!(status.state() == TaskState::Error, "{case}: {status:?}");
        told_by(&status, Source::Master, Some(Reason::TaskInvalid))?;
    }
    framework.teardown().await
}

/// Labels and discovery are shown by the endpoints.
pub async fn labels(lab: &mut Lab) -> Result<()> {
    use mesos_api::{DiscoveryInfo, Label, Labels, discovery_info::Visibility};
    let mut framework = lab.framework(Profile::default()).await?;
    let offer = framework.offer().await?;
    let mut task = command_task("t", &offer.agent_id, "sleep 1000");
    let label = Label { key: "k".to_owned(), value: Some("v".to_owned()) };
    task.labels = Some(Labels { labels: vec![label] });
    task.discovery = Some(DiscoveryInfo {
        visibility: Visibility::Cluster.into(),
        name: Some("found".to_owned()),
        ..DiscoveryInfo::default()
    });
    framework.accept(&[&offer], vec![task], 0.0);
    framework.reaches("t", TaskState::Running).await?;
    let path = format!("/tasks?framework_id={}&task_id=t", framework.id.value);
    let tasks = crate::wire::get_json(&lab.master(), &path).await?;
    let task = &tasks["tasks"][0];
    ensure!(task["labels"][0]["key"] == "k" && task["labels"][0]["value"] == "v", "{task}");
    ensure!(task["discovery"]["name"] == "found", "{task}");
    ensure!(
        task["state"] == "TASK_RUNNING" && task["slave_id"] == offer.agent_id.value.as_str(),
        "{task}"
    );
    framework.teardown().await
}
