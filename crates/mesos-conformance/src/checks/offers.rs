//! Offers: what may be done with them, and when they come.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesos_api::task_status::{Reason, Source};
use mesos_api::{Offer, TaskState};
use mesos_client::SchedulerEvent;

use crate::lab::{Framework, Lab, Profile, amount, command_task, scalar, told_by};

/// Long enough for an allocation or two, were there one.
const A_WHILE: Duration = Duration::from_millis(700);

fn size(offer: &Offer) -> (f64, f64) {
    (amount(&offer.resources, "cpus"), amount(&offer.resources, "mem"))
}

fn role(offer: &Offer) -> &str {
    offer.allocation_info.as_ref().map_or("", |info| info.role())
}

/// Two offers of one agent are used together.
pub async fn combined(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let whole = framework.offer().await?;
    let of_agent = |offer: &Offer| offer.agent_id == whole.agent_id;
    let (cpus, mem) = size(&whole);
    let mut half = command_task("half", &whole.agent_id, "sleep 1000");
    half.resources = vec![scalar("cpus", cpus / 2.0), scalar("mem", mem / 2.0)];
    framework.accept(&[&whole], vec![half], 0.0);
    framework.reaches("half", TaskState::Running).await?;
    let left = framework.offer_where(of_agent).await?;
    framework.handle.kill("half".into(), None, None);
    framework.reaches("half", TaskState::Killed).await?;
    let freed = framework.offer_where(of_agent).await?;
    let mut full = command_task("full", &whole.agent_id, "true");
    full.resources = vec![scalar("cpus", cpus), scalar("mem", mem)];
    framework.accept(&[&left, &freed], vec![full], 0.0);
    framework.reaches("full", TaskState::Finished).await?;
    framework.teardown().await
}

/// How bad offers are answered: each task is lost, or dropped if the framework knows of partitions.
async fn all_lost(framework: &mut Framework, tasks: &[&str], state: TaskState) -> Result<()> {
    for task in tasks {
        let status = framework.update(task).await?;
        ensure!(status.state() == state, "{status:?}");
        told_by(&status, Source::Master, Some(Reason::InvalidOffers))?;
        ensure!(status.message().contains("invalid offers"), "{status:?}");
    }
    Ok(())
}

const BOTH: [(bool, TaskState); 2] = [(false, TaskState::Lost), (true, TaskState::Dropped)];

fn profile(partition_aware: bool) -> Profile {
    if partition_aware { Profile::partition_aware() } else { Profile::default() }
}

/// Offers of two agents are not used together.
pub async fn across_agents(lab: &mut Lab) -> Result<()> {
    ensure!(lab.active_agents().await? >= 2, "needs two agents");
    for (partition_aware, state) in BOTH {
        let mut framework = lab.framework(profile(partition_aware)).await?;
        let one = framework.offer().await?;
        let two = framework.offer_where(|offer| offer.agent_id != one.agent_id).await?;
        let task = command_task("t", &one.agent_id, "true");
        framework.accept(&[&one, &two], vec![task], 0.0);
        all_lost(&mut framework, &["t"], state).await?;
        // Both are given back.
        let again = framework.offer_where(|offer| offer.agent_id == one.agent_id).await?;
        ensure!(again.id != one.id, "the same offer again");
        framework.offer_where(|offer| offer.agent_id == two.agent_id).await?;
        framework.teardown().await?;
    }
    Ok(())
}

/// One offer named twice is refused.
pub async fn duplicate(lab: &mut Lab) -> Result<()> {
    for (partition_aware, state) in BOTH {
        let mut framework = lab.framework(profile(partition_aware)).await?;
        let offer = framework.offer().await?;
        let tasks = ["a", "b"].map(|id| command_task(id, &offer.agent_id, "true"));
        framework.accept(&[&offer, &offer], tasks.to_vec(), 0.0);
        all_lost(&mut framework, &["a", "b"], state).await?;
        framework.teardown().await?;
    }
    Ok(())
}

/// An offer that was used is no longer one; nor is one that never was.
pub async fn used_or_unknown(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let offer = framework.offer().await?;
    framework.handle.decline(vec![offer.id.clone()], Some(0.0));
    framework.accept(&[&offer], vec![command_task("used", &offer.agent_id, "true")], 0.0);
    all_lost(&mut framework, &["used"], TaskState::Lost).await?;
    let mut unknown = offer.clone();
    unknown.id = "nobody-O1".into();
    framework.accept(&[&unknown], vec![command_task("unknown", &offer.agent_id, "true")], 0.0);
    all_lost(&mut framework, &["unknown"], TaskState::Lost).await?;
    framework.teardown().await
}

/// Offers to two roles are not used together.
pub async fn different_roles(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::with_roles(&["left", "right"])).await?;
    let first = framework.offer().await?;
    let of_agent = |offer: &Offer| offer.agent_id == first.agent_id;
    let (cpus, mem) = size(&first);
    let mine = role(&first).to_owned();
    let mut most = command_task("most", &first.agent_id, "sleep 1000");
    most.resources = vec![scalar("cpus", cpus * 0.75), scalar("mem", mem * 0.75)];
    // What is left goes to the other role, and then the freed resources to this one, which has less.
    framework.accept(&[&first], vec![most], 3600.0);
    framework.reaches("most", TaskState::Running).await?;
    let other = framework.offer_where(|o| of_agent(o) && role(o) != mine).await?;
    framework.handle.kill("most".into(), None, None);
    framework.reaches("most", TaskState::Killed).await?;
    let again = framework.offer_where(of_agent).await?;
    if role(&again) == role(&other) {
        framework.handle.decline(vec![again.id], Some(3600.0));
    } else {
        framework.offers.push(again);
    }
    let again = framework.offer_where(|o| of_agent(o) && role(o) == mine).await?;
    let task = command_task("mixed", &first.agent_id, "true");
    framework.accept(&[&other, &again], vec![task], 0.0);
    all_lost(&mut framework, &["mixed"], TaskState::Dropped).await?;
    framework.teardown().await
}

/// An offer not answered for `--offer_timeout` is taken back; one that was answered is not.
pub async fn timeout(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let held = framework.offer().await?;
    framework
        .wait("the rescinding", |e| matches!(e, SchedulerEvent::Rescind(id) if *id == held.id))
        .await?;
    let used = framework.run("t", "sleep 1000").await?;
    framework.decline_all(3600.0);
    let mut declined = Vec::new();
    while let Ok(offer) = tokio::time::timeout(A_WHILE, framework.offer()).await {
        let offer = offer?;
        declined.push(offer.id.clone());
        framework.handle.decline(vec![offer.id], Some(3600.0));
    }
    let answered = |e: &SchedulerEvent| match e {
        SchedulerEvent::Rescind(id) => *id == used.id || declined.contains(id),
        _ => false,
    };
    framework
        .never("no answered offer is rescinded", Duration::from_millis(4500), answered)
        .await?;
    framework.teardown().await
}

/// Declined resources stay away until REVIVE; for 5 s without a word about it.
pub async fn decline_and_revive(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    framework.decline_agents(lab.active_agents().await?, 3600.0).await?;
    framework.no_offers("declined for an hour", A_WHILE).await?;
    framework.handle.revive(Vec::new());
    let offer = framework.offer().await?;
    framework.offers.push(offer);
    framework.decline_all(0.0);
    framework.offer().await?;
    framework.teardown().await
}

/// The filter without a word about it is 5 s.
pub async fn default_filter(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let offer = framework.offer().await?;
    framework.handle.decline(vec![offer.id], None);
    let declined = std::time::Instant::now();
    framework.offer_where(|again| again.agent_id == offer.agent_id).await?;
    let waited = declined.elapsed();
    // A loaded machine may be late, but never early.
    ensure!((4.5..30.0).contains(&waited.as_secs_f64()), "offered again after {waited:?}");
    framework.teardown().await
}

/// SUPPRESS stops offers, REVIVE brings them; so do the roles suppressed when subscribing.
pub async fn suppress(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let offer = framework.offer().await?;
    framework.handle.suppress(Vec::new());
    framework.offers.push(offer);
    // What was under way before SUPPRESS was done comes still.
    framework.settle().await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    framework.decline_all(0.0);
    framework.no_offers("suppressed", A_WHILE).await?;
    framework.handle.revive(Vec::new());
    framework.offer().await?;
    framework.teardown().await?;

    let quiet = Profile {
        suppressed: vec!["quiet", "silent"],
        failover_timeout: 60.0,
        ..Profile::with_roles(&["quiet", "silent"])
    };
    let mut framework = lab.framework(quiet.clone()).await?;
    framework.no_offers("subscribed with all roles suppressed", A_WHILE).await?;
    framework.handle.revive(vec!["silent".to_owned()]);
    let offer = framework.offer().await?;
    ensure!(role(&offer) == "silent", "{offer:?}");
    // Taken over with all roles suppressed again.
    let mut second = lab.framework(Profile { id: Some(framework.id.clone()), ..quiet }).await?;
    second.no_offers("taken over with all roles suppressed", A_WHILE).await?;
    second.teardown().await
}

/// What an ACCEPT does not use is offered again; a task may be tiny.
pub async fn recover_resources(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let first = framework.offer().await?;
    let whole = size(&first);
    let of_agent = |offer: &Offer| offer.agent_id == first.agent_id;
    framework.handle.accept(vec![first.id.clone()], Vec::new(), Some(0.0));
    let again = framework.offer_where(of_agent).await?;
    ensure!(size(&again) == whole && again.id != first.id, "{again:?}");
    let mut tiny = command_task("tiny", &again.agent_id, "sleep 1000");
    tiny.resources = vec![scalar("cpus", 0.001), scalar("mem", 1.0)];
    framework.accept(&[&again], vec![tiny], 0.0);
    framework.reaches("tiny", TaskState::Running).await?;
    let left = framework.offer_where(of_agent).await?;
    ensure!((size(&left).0 - (whole.0 - 0.001)).abs() < 1e-9, "{left:?}");
    ensure!((size(&left).1 - (whole.1 - 1.0)).abs() < 1e-9, "{left:?}");
    // It goes back when the task has ended: what so small a task frees makes no offer of its own.
    framework.handle.kill("tiny".into(), None, None);
    framework.reaches("tiny", TaskState::Killed).await?;
    framework.handle.decline(vec![left.id], Some(0.0));
    framework.offer_where(|offer| of_agent(offer) && size(offer) == whole).await?;
    framework.teardown().await
}

/// Offers go to each role of a framework, and stop for one it leaves.
pub async fn multi_role(lab: &mut Lab) -> Result<()> {
    let both = Profile { failover_timeout: 60.0, ..Profile::with_roles(&["one", "two"]) };
    let mut framework = lab.framework(both.clone()).await?;
    let offer = framework.offer().await?;
    let mut roles = BTreeSet::from([role(&offer).to_owned()]);
    for resource in &offer.resources {
        let allocated = resource.allocation_info.as_ref().context("no allocation_info")?;
        ensure!(allocated.role() == role(&offer), "{resource:?}");
    }
    framework.handle.decline(vec![offer.id.clone()], Some(3600.0));
    let same_agent = |o: &Offer| o.agent_id == offer.agent_id;
    let other = framework.offer_where(|o| same_agent(o) && role(o) != role(&offer)).await?;
    roles.insert(role(&other).to_owned());
    ensure!(roles == BTreeSet::from(["one".to_owned(), "two".to_owned()]), "{roles:?}");
    // It leaves role two.
    let one = Profile { roles: vec!["one"], id: Some(framework.id.clone()), ..both };
    let mut second = lab.framework(one).await?;
    for _ in 0..2 {
        let offer = second.offer().await?;
        ensure!(role(&offer) == "one", "{offer:?}");
        second.handle.decline(vec![offer.id], Some(0.0));
    }
    second.teardown().await
}

/// A framework of one role sees neither roles nor allocations in its offers.
pub async fn old_formats(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let offer = framework.offer().await?;
    ensure!(offer.allocation_info.is_none(), "{offer:?}");
    for resource in &offer.resources {
        ensure!(resource.allocation_info.is_none(), "{resource:?}");
        ensure!(resource.reservations.is_empty(), "{resource:?}");
    }
    framework.teardown().await
}
