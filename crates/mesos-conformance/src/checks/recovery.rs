//! `kill -9` of the agent, with tasks that go on.

use anyhow::{Result, ensure};
use mesos_api::TaskState;
use mesos_api::task_status::{Reason, Source};
use mesos_client::SchedulerEvent;
use nix::sys::signal::{Signal, kill as send_signal};
use nix::unistd::Pid;

use crate::cluster::is_alive;
use crate::lab::{Lab, Profile, command_task, pid_in, told_by, until};

/// A checkpointed task goes on, and its end is told with its true code.
pub async fn task_goes_on(lab: &mut Lab) -> Result<()> {
    let folder = lab.own()?.folder().to_owned();
    let (pid_file, go) = (folder.join("pid"), folder.join("go"));
    let mut framework = lab.framework(Profile::durable()).await?;
    let command = format!(
        "echo $$ > {}; while [ ! -e {} ]; do sleep 0.05; done; exit 7",
        pid_file.display(),
        go.display()
    );
    framework.run("t", &command).await?;
    let pid = pid_in(&pid_file).await?;
    framework.forget();
    lab.own()?.kill_agent(0)?;
    ensure!(is_alive(pid), "the task died with its agent");
    lab.own()?.start_agent(0).await?;
    lab.agents_return(1).await?;
    ensure!(is_alive(pid), "the task died when its agent returned");
    std::fs::write(go, "")?;
    let failed = framework.reaches("t", TaskState::Failed).await?;
    ensure!(failed.message() == "Command exited with status 7", "{failed:?}");
    framework.teardown().await
}

/// A task that ends while its agent is away is told with its true code afterwards.
pub async fn ends_meanwhile(lab: &mut Lab) -> Result<()> {
    let folder = lab.own()?.folder().to_owned();
    let (pid_file, go) = (folder.join("pid"), folder.join("go"));
    let mut framework = lab.framework(Profile::durable()).await?;
    let command = format!(
        "echo $$ > {}; while [ ! -e {} ]; do sleep 0.05; done; exit 0",
        pid_file.display(),
        go.display()
    );
    framework.run("t", &command).await?;
    let pid = pid_in(&pid_file).await?;
    lab.own()?.kill_agent(0)?;
    std::fs::write(go, "")?;
    until("the task's end", async || Ok(!is_alive(pid))).await?;
    lab.own()?.start_agent(0).await?;
    let finished = framework.reaches("t", TaskState::Finished).await?;
    ensure!(finished.message() == "Command exited with status 0", "{finished:?}");
    framework.teardown().await
}

/// What was not acknowledged before the agent's crash is told again after it.
pub async fn updates_told_again(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile { acknowledge: false, ..Profile::durable() }).await?;
    let offer = framework.offer().await?;
    framework.accept(&[&offer], vec![command_task("t", &offer.agent_id, "sleep 1000")], 0.0);
    let first = framework.update("t").await?;
    lab.own()?.kill_agent(0)?;
    lab.own()?.start_agent(0).await?;
    let again = framework.update("t").await?;
    ensure!(again.uuid == first.uuid, "{first:?} then {again:?}");
    framework.handle.acknowledge(&again);
    let next = framework.reaches("t", TaskState::Running).await?;
    ensure!(next.uuid != first.uuid, "{next:?}");
    framework.teardown().await
}

/// A custom executor finds its agent again, and takes tasks.
pub async fn executor_reconnects(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::durable()).await?;
    let offer = framework.offer().await?;
    let task = framework.executor_task("one", &offer.agent_id, "hold");
    framework.accept(&[&offer], vec![task], 0.0);
    framework.reaches("one", TaskState::Running).await?;
    lab.own()?.kill_agent(0)?;
    framework.offers_end().await?;
    lab.own()?.start_agent(0).await?;
    lab.agents_return(1).await?;
    let offer = framework.offer_where(|offer| !offer.executor_ids.is_empty()).await?;
    let task = framework.executor_task("two", &offer.agent_id, "finish");
    framework.accept(&[&offer], vec![task], 0.0);
    framework.reaches("two", TaskState::Finished).await?;
    framework.handle.kill("one".into(), None, None);
    framework.reaches("one", TaskState::Killed).await?;
    framework.teardown().await
}

/// An executor that dies while its agent is away.
pub async fn executor_dies_meanwhile(lab: &mut Lab) -> Result<()> {
    let file = lab.own()?.folder().join("pid");
    let mut framework = lab.framework(Profile::durable()).await?;
    let offer = framework.offer().await?;
    let mut task = framework.executor_task("t", &offer.agent_id, "hold");
    // A shell in between writes the executor's pid down.
    if let Some(command) = task.executor.as_mut().and_then(|executor| executor.command.as_mut()) {
        let program = command.value.clone().unwrap_or_default();
        command.shell = Some(true);
        command.arguments.clear();
        command.value = Some(format!("echo $$ > {}; exec {program} executor", file.display()));
    }
    framework.accept(&[&offer], vec![task], 0.0);
    framework.reaches("t", TaskState::Running).await?;
    let pid = pid_in(&file).await?;
    lab.own()?.kill_agent(0)?;
    send_signal(Pid::from_raw(pid), Signal::SIGKILL)?;
    until("the executor's end", async || Ok(!is_alive(pid))).await?;
    lab.own()?.start_agent(0).await?;
    let status = loop {
        let status = framework.update("t").await?;
        if status.state().is_terminal() {
            break status;
        }
    };
    ensure!(matches!(status.state(), TaskState::Failed | TaskState::Lost), "{status:?}");
    told_by(&status, Source::Agent, None)?;
    framework.teardown().await
}

/// A KILL while the agent is away is done when it returns.
pub async fn killed_meanwhile(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::durable()).await?;
    framework.run("t", "sleep 1000").await?;
    lab.own()?.kill_agent(0)?;
    until("the agent's absence", async || Ok(lab.active_agents().await? == 0)).await?;
    framework.handle.kill("t".into(), None, None);
    framework.settle().await?;
    lab.own()?.start_agent(0).await?;
    framework.reaches("t", TaskState::Killed).await?;
    framework.teardown().await
}

/// A framework that ends while an agent is away: its tasks are ended when the agent returns.
pub async fn ended_meanwhile(lab: &mut Lab) -> Result<()> {
    let file = lab.own()?.folder().join("pid");
    let mut framework = lab.framework(Profile::durable()).await?;
    framework.run("t", &format!("echo $$ > {}; exec sleep 1000", file.display())).await?;
    let pid = pid_in(&file).await?;
    lab.own()?.kill_agent(0)?;
    framework.teardown().await?;
    ensure!(is_alive(pid), "the task died with its agent");
    lab.own()?.start_agent(0).await?;
    until("the task's end", async || Ok(!is_alive(pid))).await
}

/// Without checkpointing an agent that breaks off takes its tasks along, at once.
pub async fn not_checkpointed(lab: &mut Lab) -> Result<()> {
    let profile = Profile { checkpoint: false, ..Profile::durable() };
    let unaware = Profile { capabilities: Vec::new(), ..profile.clone() };
    for (profile, state) in [(profile, TaskState::Dropped), (unaware, TaskState::Lost)] {
        let file = lab.own()?.folder().join(format!("pid-{state}"));
        lab.agents_return(1).await?;
        let mut framework = lab.framework(profile).await?;
        framework.run("t", &format!("echo $$ > {}; exec sleep 1000", file.display())).await?;
        let pid = pid_in(&file).await?;
        let held = framework.offer().await?;
        lab.own()?.kill_agent(0)?;
        let status = framework.update("t").await?;
        // Tasks that may be running are lost even to those who know of partitions.
        ensure!(
            status.state() == TaskState::Lost
                || status.state() == state
                || status.state() == TaskState::Gone,
            "{status:?}"
        );
        told_by(&status, Source::Master, Some(Reason::AgentDisconnected))?;
        let rescinded =
            |e: &SchedulerEvent| matches!(e, SchedulerEvent::Rescind(id) if *id == held.id);
        framework.wait("the rescinding", rescinded).await?;
        framework.teardown().await?;
        lab.own()?.start_agent(0).await?;
        until("the task's end", async || Ok(!is_alive(pid))).await?;
    }
    Ok(())
}
