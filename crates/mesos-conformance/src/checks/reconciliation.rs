//! Reconciliation.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesos_api::TaskState;
use mesos_api::task_status::{Reason, Source};
use mesos_client::SchedulerEvent;

use crate::lab::{Framework, Lab, Profile, command_task, told_by, until};

const A_WHILE: Duration = Duration::from_millis(700);

async fn answer(framework: &mut Framework, task: &str, state: TaskState) -> Result<()> {
    // An update told again may come in between.
    let of = |event: &SchedulerEvent| match event {
        SchedulerEvent::Update(status) => {
            status.task_id.value == task && status.source() == Source::Master
        }
        _ => false,
    };
    let SchedulerEvent::Update(status) = framework.wait("an answer", of).await? else {
        anyhow::bail!("no update")
    };
    ensure!(status.state() == state, "{state} was expected: {status:?}");
    ensure!(
        status.uuid.as_ref().is_none_or(|uuid| uuid.is_empty()),
        "an answer needs no acknowledgement: {status:?}"
    );
    told_by(&status, Source::Master, Some(Reason::Reconciliation))
}

/// A known task is answered with its state, whatever the framework believed.
pub async fn known(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let offer = framework.run("t", "sleep 1000").await?;
    for agent in [None, Some(offer.agent_id.clone()), Some("nobody-S0".into())] {
        framework.handle.reconcile(vec![("t".into(), agent)]);
        answer(&mut framework, "t", TaskState::Running).await?;
    }
    // The client's own way, in pages and with retries.
    let left =
        framework.handle.reconcile_until_answered(vec![("t".into(), None), ("u".into(), None)]);
    let left = tokio::time::timeout(crate::lab::PATIENCE, left).await??;
    ensure!(left.is_empty(), "no answer for {left:?}");
    framework.teardown().await
}

/// An unknown task of an unknown agent.
pub async fn unknown_agent(lab: &mut Lab) -> Result<()> {
    for (profile, state) in [
        (Profile::default(), TaskState::Lost),
        (Profile::partition_aware(), TaskState::UnknownTask),
    ] {
        let mut framework = lab.framework(profile).await?;
        framework.handle.reconcile(vec![("nobody".into(), Some("nobody-S0".into()))]);
        answer(&mut framework, "nobody", state).await?;
        framework.teardown().await?;
    }
    Ok(())
}

/// An unknown task of a known agent.
pub async fn unknown_task(lab: &mut Lab) -> Result<()> {
    for (profile, state) in
        [(Profile::default(), TaskState::Lost), (Profile::partition_aware(), TaskState::Gone)]
    {
        let mut framework = lab.framework(profile).await?;
        let offer = framework.offer().await?;
        framework.handle.reconcile(vec![("nobody".into(), Some(offer.agent_id))]);
        answer(&mut framework, "nobody", state).await?;
        framework.teardown().await?;
    }
    Ok(())
}

/// While agents are not back after a master's failover, nothing is said of what they may run.
pub async fn recovered_agent(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::durable()).await?;
    let offer = framework.run("t", "sleep 1000").await?;
    lab.own()?.freeze_agent(0)?;
    lab.own()?.kill_master()?;
    lab.own()?.start_master().await?;
    let again = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Subscribed { again: true, .. });
    framework.wait("the subscription's return", again).await?;
    framework.forget();
    let of_agent = Some(offer.agent_id);
    framework.handle.reconcile(vec![
        ("t".into(), of_agent.clone()),
        ("u".into(), of_agent.clone()),
        ("v".into(), None),
    ]);
    let update = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Update(_));
    framework.never("nothing is said of an agent not back", A_WHILE, update).await?;
    lab.own()?.thaw_agent(0)?;
    lab.agents_return(1).await?;
    // Asked again and again, the master answers once the agent is back.
    let left = framework.handle.reconcile_until_answered(vec![("t".into(), of_agent)]);
    let left = tokio::time::timeout(crate::lab::PATIENCE, left).await??;
    ensure!(left.is_empty(), "no answer for {left:?}");
    framework.reaches("t", TaskState::Running).await?;
    framework.teardown().await
}

/// Without tasks in question, all that are not over are told of, and those over but not acknowledged.
pub async fn implicit(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile { acknowledge: false, ..Profile::default() }).await?;
    let offer = framework.offer().await?;
    framework.accept(&[&offer], vec![command_task("over", &offer.agent_id, "true")], 0.0);
    let last = loop {
        let status = framework.update("over").await?;
        if status.state().is_terminal() {
            break status;
        }
        framework.handle.acknowledge(&status);
    };
    framework.handle.reconcile(Vec::new());
    answer(&mut framework, "over", TaskState::Finished).await?;
    framework.handle.acknowledge(&last);
    let path = format!("/tasks?framework_id={}", framework.id.value);
    let over = async || {
        // Acknowledged, the task is among the completed ones.
        let state = lab.state_of(&framework.id).await?;
        Ok(state.is_some_and(|state| state["tasks"].as_array().is_some_and(Vec::is_empty)))
    };
    until(&format!("the task's end in {path}"), over).await?;
    framework.handle.reconcile(Vec::new());
    let update = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Update(_));
    framework.never("nothing is left to tell", A_WHILE, update).await?;
    framework.teardown().await
}

/// The state told is that of the last update sent, not the newest the agent knows.
pub async fn status_update_state(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile { acknowledge: false, ..Profile::default() }).await?;
    let offer = framework.offer().await?;
    framework.accept(&[&offer], vec![command_task("t", &offer.agent_id, "sleep 1000")], 0.0);
    let first = framework.update("t").await?;
    ensure!(first.state() == TaskState::Starting, "{first:?}");
    // The agent knows by now that it runs, and the master that the agent does.
    let path = format!("/tasks?framework_id={}", framework.id.value);
    until("TASK_RUNNING in /tasks", async || {
        let tasks = crate::wire::get_json(&lab.master(), &path).await?;
        Ok(tasks["tasks"][0]["state"] == "TASK_RUNNING")
    })
    .await?;
    framework.handle.reconcile(vec![("t".into(), None)]);
    answer(&mut framework, "t", TaskState::Starting).await?;
    framework.teardown().await
}
