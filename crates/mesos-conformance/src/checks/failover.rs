//! `kill -9` of the master.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesos_api::framework_info::CapabilityType;
use mesos_api::{Offer, TaskState, TaskStatus};
use mesos_client::SchedulerEvent;
use serde_json::json;

use crate::cluster::is_alive;
use crate::lab::{Framework, Lab, Profile, amount, command_task, pid_in, scalar, until};
use crate::wire;

async fn restart(lab: &mut Lab, framework: &mut Framework) -> Result<()> {
    framework.forget();
    lab.own()?.kill_master()?;
    let gone = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Disconnected { .. });
    framework.wait("the break", gone).await?;
    lab.own()?.start_master().await?;
    let again = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Subscribed { again: true, .. });
    let event = framework.wait("the subscription's return", again).await?;
    match event {
        SchedulerEvent::Subscribed { framework_id, .. } => {
            ensure!(framework_id == framework.id, "another id: {framework_id:?}");
        }
        other => anyhow::bail!("{other:?}"),
    }
    Ok(())
}

/// The framework comes back with its id, the agent with its task; offers come anew.
pub async fn master(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::durable()).await?;
    framework.run("t", "sleep 1000").await?;
    let old = framework.offer().await?;
    restart(lab, &mut framework).await?;
    // The old offer is void.
    framework.accept(&[&old], vec![command_task("void", &old.agent_id, "true")], 0.0);
    framework.reaches("void", TaskState::Dropped).await?;
    let new = framework.offer().await?;
    ensure!(new.agent_id == old.agent_id && new.id != old.id, "{new:?}");
    // The task was there all the time.
    framework.handle.reconcile(vec![("t".into(), None)]);
    framework.reaches("t", TaskState::Running).await?;
    framework.offers.push(new);
    framework
        .run("u", "true")
        .await
        .map_or_else(|_| Ok(()), |_: Offer| Ok::<_, anyhow::Error>(()))?;
    framework.handle.kill("t".into(), None, None);
    framework.reaches("t", TaskState::Killed).await?;
    framework.teardown().await
}

/// An update the framework did not acknowledge before is told again after the failover.
pub async fn no_update_lost(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile { acknowledge: false, ..Profile::durable() }).await?;
    let offer = framework.offer().await?;
    framework.accept(&[&offer], vec![command_task("t", &offer.agent_id, "true")], 0.0);
    let first = framework.update("t").await?;
    restart(lab, &mut framework).await?;
    everything_from(&mut framework, &first).await?;
    framework.teardown().await
}

/// Two masters: the leader is killed, the other takes over; the task goes on and no update is lost.
pub async fn leader_of_two(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile { acknowledge: false, ..Profile::durable() }).await?;
    let mut lasting = lab.framework(Profile::durable()).await?;
    let offer = framework.offer().await?;
    framework.accept(&[&offer], vec![command_task("t", &offer.agent_id, "true")], 0.0);
    let first = framework.update("t").await?;
    framework.decline_all(3600.0);
    lasting.run("sleep", "sleep 1000").await?;
    framework.forget();
    lasting.forget();
    let old = lab.master();
    lab.own()?.kill_master()?;
    lab.own()?.find_leader().await?;
    ensure!(lab.master() != old, "the dead master leads");
    let again = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Subscribed { again: true, .. });
    framework.wait("the subscription's return", again).await?;
    lasting.wait("the subscription's return", again).await?;
    lab.agents_return(1).await?;
    everything_from(&mut framework, &first).await?;
    let left = lasting.handle.reconcile_until_answered(vec![("sleep".into(), None)]);
    let left = tokio::time::timeout(crate::lab::PATIENCE, left).await??;
    ensure!(left.is_empty(), "no answer for {left:?}");
    lasting.reaches("sleep", TaskState::Running).await?;
    lasting.handle.kill("sleep".into(), None, None);
    lasting.reaches("sleep", TaskState::Killed).await?;
    framework.teardown().await?;
    lasting.teardown().await
}

/// A role with a weight and a limit, and a task of it, before and after another master leads.
async fn decreed(lab: &mut Lab, next: impl AsyncFnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    const ROLE: &str = "decreed";
    let json = [("content-type", "application/json")];
    let weights = json!([{"role": ROLE, "weight": 2.5}]).to_string();
    let reply =
        wire::open(&lab.master(), "PUT", "/weights", &json, &weights).await?.whole().await?;
    ensure!(reply.status == 200, "PUT /weights: {} {}", reply.status, reply.text);
    let limits = json!({"cpus": {"value": 1.0}, "mem": {"value": 512.0}});
    let call = json!({
        "type": "UPDATE_QUOTA",
        "update_quota": {"quota_configs": [{"role": ROLE, "limits": limits}]},
    });
    let reply = wire::post_json(&lab.master(), "/api/v1", &call).await?;
    ensure!(reply.status == 200, "UPDATE_QUOTA: {} {}", reply.status, reply.text);
    let file = lab.own()?.folder().join("pid");
    let capabilities = vec![CapabilityType::MultiRole, CapabilityType::PartitionAware];
    let profile = Profile { roles: vec![ROLE], capabilities, ..Profile::durable() };
    let mut framework = lab.framework(profile).await?;
    let offer = framework.offer().await?;
    ensure!(amount(&offer.resources, "cpus") <= 1.0, "more than the limit: {offer:?}");
    let command = format!("echo $$ > {}; exec sleep 1000", file.display());
    let mut task = command_task("t", &offer.agent_id, &command);
    task.resources = vec![scalar("cpus", 0.75), scalar("mem", 64.0)];
    framework.accept(&[&offer], vec![task], 0.0);
    framework.reaches("t", TaskState::Running).await?;
    let pid = pid_in(&file).await?;
    framework.forget();

    lab.own()?.kill_master()?;
    next(lab).await?;
    let again = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Subscribed { again: true, .. });
    framework.wait("the subscription's return", again).await?;
    lab.agents_return(1).await?;
    ensure!(is_alive(pid), "the task died with the master");
    let left = framework.handle.reconcile_until_answered(vec![("t".into(), None)]);
    let left = tokio::time::timeout(crate::lab::PATIENCE, left).await??;
    ensure!(left.is_empty(), "no answer for {left:?}");
    framework.reaches("t", TaskState::Running).await?;
    let told = wire::get_json(&lab.master(), "/weights").await?;
    let weight = told.as_array().into_iter().flatten().find(|weight| weight["role"] == ROLE);
    ensure!(weight.is_some_and(|weight| weight["weight"] == 2.5), "weights: {told}");
    let told = wire::get_json(&lab.master(), "/quota").await?;
    let quota = told["configs"].as_array().into_iter().flatten().find(|q| q["role"] == ROLE);
    let limits = quota.map(|quota| &quota["limits"]);
    ensure!(
        limits.is_some_and(|l| l["cpus"]["value"] == 1.0 && l["mem"]["value"] == 512.0),
        "limits: {told}"
    );
    // The limit holds, and the task counts.
    let mut offered = amount(&framework.offer().await?.resources, "cpus");
    while let Ok(more) = tokio::time::timeout(Duration::from_millis(700), framework.offer()).await {
        offered += amount(&more?.resources, "cpus");
    }
    ensure!((0.0..0.2501).contains(&offered), "{offered} cpus are offered beside the task's 0.75");
    framework.handle.kill("t".into(), None, None);
    framework.reaches("t", TaskState::Killed).await?;
    framework.teardown().await
}

/// Weights, limits and a running task outlive their master together: they are in the registry on its disk, and
/// with the agent.
pub async fn registry(lab: &mut Lab) -> Result<()> {
    decreed(lab, async |lab| lab.own()?.start_master().await).await
}

/// The same when another master takes over through ZooKeeper, which has never heard of any of it.
pub async fn registry_of_two(lab: &mut Lab) -> Result<()> {
    let old = lab.master();
    decreed(lab, async |lab| lab.own()?.find_leader().await).await?;
    ensure!(lab.master() != old, "the dead master leads");
    Ok(())
}

/// The updates of a short task: the one not acknowledged before, and those after it, in order.
async fn everything_from(framework: &mut Framework, first: &TaskStatus) -> Result<()> {
    // Everything from the first on, in order, each until acknowledged.
    let mut seen = Vec::new();
    loop {
        let status = framework.update("t").await?;
        if status.uuid.as_ref().is_none_or(|uuid| uuid.is_empty()) {
            continue;
        }
        if seen.is_empty() {
            ensure!(status.uuid == first.uuid, "{first:?} came first, now {status:?}");
        }
        if seen.last() != Some(&status.state()) {
            seen.push(status.state());
        }
        framework.handle.acknowledge(&status);
        if status.state().is_terminal() {
            break;
        }
    }
    ensure!(seen == [TaskState::Starting, TaskState::Running, TaskState::Finished], "{seen:?}");
    Ok(())
}

/// A framework not back yet is shown as recovered; its executor takes tasks afterwards.
pub async fn recovered_framework(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::durable()).await?;
    let offer = framework.offer().await?;
    let task = framework.executor_task("one", &offer.agent_id, "hold");
    framework.accept(&[&offer], vec![task], 0.0);
    framework.reaches("one", TaskState::Running).await?;
    let id = framework.vanish();
    lab.own()?.kill_master()?;
    lab.own()?.start_master().await?;
    lab.agents_return(1).await?;
    until("the framework in /state", async || {
        let state = lab.state_of(&id).await?;
        Ok(state.is_some_and(|s| s["connected"] == false && s["tasks"][0]["id"] == "one"))
    })
    .await?;
    let mut framework = lab.framework(Profile { id: Some(id), ..Profile::durable() }).await?;
    let offer = framework.offer().await?;
    ensure!(offer.executor_ids.iter().any(|id| id.value == "custom"), "{offer:?}");
    let task = framework.executor_task("two", &offer.agent_id, "finish");
    framework.accept(&[&offer], vec![task], 0.0);
    framework.reaches("two", TaskState::Finished).await?;
    framework.handle.reconcile(vec![("one".into(), None)]);
    framework.reaches("one", TaskState::Running).await?;
    framework.teardown().await
}

/// Ids of a new master's offers, agents and frameworks are not those of the one before.
pub async fn fresh_ids(lab: &mut Lab) -> Result<()> {
    let mut before = lab.framework(Profile::durable()).await?;
    let offer = before.offer().await?;
    lab.own()?.kill_master()?;
    lab.own()?.start_master().await?;
    lab.agents_return(1).await?;
    let again = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Subscribed { again: true, .. });
    before.wait("the subscription's return", again).await?;
    let after = lab.framework(Profile::default()).await?;
    ensure!(after.id != before.id, "the id was given twice");
    // It may have been offered the agent first.
    after.teardown().await?;
    let new = before.offer().await?;
    ensure!(new.id != offer.id, "the offer's id was given twice");
    ensure!(new.agent_id == offer.agent_id, "the agent got another id");
    before.teardown().await
}
