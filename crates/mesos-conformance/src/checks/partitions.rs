//! Agents that are cut off: their process is stopped, and goes on later.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesos_api::TaskState;
use mesos_api::task_status::{Reason, Source};
use mesos_client::SchedulerEvent;

use crate::cluster::is_alive;
use crate::lab::{Framework, Lab, Profile, command_task, pid_in, told_by, until};

async fn agent_failure(framework: &mut Framework) -> Result<()> {
    let lost = |e: &SchedulerEvent| {
        matches!(e, SchedulerEvent::Failure { agent_id: Some(_), executor_id: None, .. })
    };
    framework.wait("FAILURE of the agent", lost).await.map(drop)
}

/// After so many missed pings tasks are unreachable (or lost), offers rescinded, and the agent has failed.
/// When it comes back, its tasks run on, whatever the framework knows of partitions.
async fn cut_off(lab: &mut Lab, profile: Profile, lost: TaskState) -> Result<()> {
    let mut framework = lab.framework(profile).await?;
    framework.run("t", "sleep 1000").await?;
    let held = framework.offer().await?;
    lab.own()?.freeze_agent(0)?;
    let status = framework.update("t").await?;
    ensure!(status.state() == lost, "{lost} was expected: {status:?}");
    told_by(&status, Source::Master, Some(Reason::AgentRemoved))?;
    if lost == TaskState::Unreachable {
        ensure!(status.unreachable_time.is_some(), "{status:?}");
    }
    let rescinded = |e: &SchedulerEvent| matches!(e, SchedulerEvent::Rescind(id) if *id == held.id);
    framework.wait("the rescinding", rescinded).await?;
    agent_failure(&mut framework).await?;
    framework.handle.reconcile(vec![("t".into(), Some(held.agent_id.clone()))]);
    let answer = framework.update("t").await?;
    ensure!(answer.state() == lost, "{answer:?}");
    told_by(&answer, Source::Master, Some(Reason::Reconciliation))?;

    lab.own()?.thaw_agent(0)?;
    let back = framework.reaches("t", TaskState::Running).await?;
    told_by(&back, Source::Master, Some(Reason::AgentReregistered))?;
    let offer = framework.offer().await?;
    ensure!(offer.agent_id == held.agent_id, "the agent came back as another");
    framework.handle.kill("t".into(), None, None);
    framework.reaches("t", TaskState::Killed).await?;
    framework.teardown().await
}

/// With PARTITION_AWARE: UNREACHABLE, then RUNNING.
pub async fn aware(lab: &mut Lab) -> Result<()> {
    cut_off(lab, Profile::durable(), TaskState::Unreachable).await
}

/// Without: LOST, then RUNNING again.
pub async fn unaware(lab: &mut Lab) -> Result<()> {
    let profile = Profile { capabilities: Vec::new(), ..Profile::durable() };
    cut_off(lab, profile, TaskState::Lost).await
}

/// Tasks of a framework that ended meanwhile are killed when their agent comes back.
pub async fn orphans(lab: &mut Lab) -> Result<()> {
    let file = lab.own()?.folder().join("orphan");
    let mut framework = lab.framework(Profile::durable()).await?;
    framework.run("t", &format!("echo $$ > {}; exec sleep 1000", file.display())).await?;
    let pid = pid_in(&file).await?;
    lab.own()?.freeze_agent(0)?;
    framework.reaches("t", TaskState::Unreachable).await?;
    framework.teardown().await?;
    ensure!(is_alive(pid), "nobody was there to kill it");
    lab.own()?.thaw_agent(0)?;
    until("the orphan's end", async || Ok(!is_alive(pid))).await?;
    lab.agents_return(1).await
}

/// An agent that is away for less than the limit is not missed.
pub async fn short_silence(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::durable()).await?;
    framework.run("t", "sleep 1000").await?;
    let offer = framework.offer().await?;
    framework.forget();
    lab.own()?.freeze_agent(0)?;
    // It misses at least one ping, of four that it may.
    tokio::time::sleep(Duration::from_millis(4200)).await;
    lab.own()?.thaw_agent(0)?;
    let anything = |_: &SchedulerEvent| true;
    framework.never("nothing happened", Duration::from_secs(14), anything).await?;
    let task = command_task("u", &offer.agent_id, "true");
    framework.accept(&[&offer], vec![task], 0.0);
    framework.reaches("u", TaskState::Finished).await?;
    framework.teardown().await
}

/// A task that ended before its agent was cut off, and whose end was not acknowledged.
pub async fn terminal(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile { acknowledge: false, ..Profile::durable() }).await?;
    let offer = framework.offer().await?;
    framework.accept(&[&offer], vec![command_task("over", &offer.agent_id, "true")], 0.0);
    let last = loop {
        let status = framework.update("over").await?;
        if status.state().is_terminal() {
            break status;
        }
        framework.handle.acknowledge(&status);
    };
    ensure!(last.state() == TaskState::Finished, "{last:?}");
    lab.own()?.freeze_agent(0)?;
    agent_failure(&mut framework).await?;
    lab.own()?.thaw_agent(0)?;
    lab.agents_return(1).await?;
    // Never acknowledged, it is told again.
    let told = |event: &SchedulerEvent| match event {
        SchedulerEvent::Update(status) => status.uuid == last.uuid,
        _ => false,
    };
    framework.wait("the unacknowledged end", told).await?;
    framework.teardown().await
}
