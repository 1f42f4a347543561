//! Who gets what.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesos_api::{Offer, TaskState};
use serde_json::json;

use crate::lab::{Framework, Lab, Profile, amount, command_task, scalar, until};
use crate::wire;

const A_WHILE: Duration = Duration::from_millis(700);

/// Ours lets others go first for a second after an offer that was not used.
const FORGIVEN: Duration = Duration::from_millis(1500);

fn in_role(role: &'static str) -> Profile {
    Profile::with_roles(&[role])
}

/// Runs a task as large as the offer.
async fn take_all(framework: &mut Framework, task: &str, offer: &Offer) -> Result<()> {
    let mut info = command_task(task, &offer.agent_id, "sleep 1000");
    info.resources =
        ["cpus", "mem"].map(|name| scalar(name, amount(&offer.resources, name))).to_vec();
    framework.accept(&[offer], vec![info], 0.0);
    framework.reaches(task, TaskState::Running).await.map(drop)
}

/// The role that has less gets what becomes free.
pub async fn fairness(lab: &mut Lab) -> Result<()> {
    ensure!(lab.active_agents().await? == 2, "needs two agents that are alike");
    let mut rich = lab.framework(in_role("rich")).await?;
    let offer = rich.offer().await?;
    take_all(&mut rich, "one", &offer).await?;
    let second = rich.offer().await?;
    // Another role comes, and has nothing: what the first one gives back goes there.
    let mut poor = lab.framework(in_role("poor")).await?;
    poor.no_offers("all is offered or used", A_WHILE).await?;
    rich.handle.decline(vec![second.id], Some(0.0));
    let offer = poor.offer().await?;
    take_all(&mut poor, "two", &offer).await?;
    // Both have one agent. A third one with nothing gets the next, whoever of them asks for it too.
    let mut third = lab.framework(in_role("third")).await?;
    third.no_offers("all is used", A_WHILE).await?;
    rich.handle.kill("one".into(), None, None);
    rich.reaches("one", TaskState::Killed).await?;
    let offer = third.offer().await?;
    third.handle.decline(vec![offer.id], Some(3600.0));
    rich.offer().await?;
    for framework in [rich, poor, third] {
        framework.teardown().await?;
    }
    Ok(())
}

/// A role of weight three may have three times as much before others come first.
pub async fn weights(lab: &mut Lab) -> Result<()> {
    let weights = json!([{"role": "heavy", "weight": 3.0}]);
    let (master, weights) = (lab.master(), weights.to_string());
    let put =
        wire::open(&master, "PUT", "/weights", &[("content-type", "application/json")], &weights);
    let reply = put.await?.whole().await?;
    ensure!(reply.status == 200, "PUT /weights: {} {}", reply.status, reply.text);
    let mut heavy = lab.framework(in_role("heavy")).await?;
    let mut light =
        lab.framework(Profile { suppressed: vec!["light"], ..in_role("light") }).await?;
    // A task of the half for heavy and one of the quarter for light: 0.5/3 is less than 0.25.
    let offer = heavy.offer().await?;
    let (cpus, mem) = (amount(&offer.resources, "cpus"), amount(&offer.resources, "mem"));
    let part = |id: &str, offer: &Offer, share: f64| {
        let mut task = command_task(id, &offer.agent_id, "sleep 1000");
        task.resources = vec![scalar("cpus", cpus * share), scalar("mem", mem * share)];
        task
    };
    heavy.accept(&[&offer], vec![part("half", &offer, 0.5)], 0.0);
    heavy.reaches("half", TaskState::Running).await?;
    let held = heavy.offer().await?;
    light.handle.revive(Vec::new());
    light.no_offers("heavy holds the rest", A_WHILE).await?;
    heavy.handle.decline(vec![held.id], Some(3600.0));
    let offer = light.offer().await?;
    light.accept(&[&offer], vec![part("quarter", &offer, 0.25)], 3600.0);
    light.reaches("quarter", TaskState::Running).await?;
    // While a third has the last quarter, both want it again; when it is given back, it is heavy's, although
    // heavy has more.
    let mut third = lab.framework(in_role("third")).await?;
    let held = third.offer().await?;
    for framework in [&mut heavy, &mut light] {
        framework.handle.revive(Vec::new());
        framework.settle().await?;
    }
    tokio::time::sleep(FORGIVEN).await;
    third.handle.decline(vec![held.id], Some(3600.0));
    let offer = heavy.offer().await?;
    ensure!((amount(&offer.resources, "cpus") - cpus / 4.0).abs() < 1e-6, "{offer:?}");
    for framework in [heavy, light, third] {
        framework.teardown().await?;
    }
    Ok(())
}

/// Reserved resources are offered to their role and to roles below it, and to nobody else.
pub async fn reservations(lab: &mut Lab) -> Result<()> {
    let mut other = lab.framework(in_role("other")).await?;
    let offer = other.offer().await?;
    ensure!(
        amount(&offer.resources, "cpus") == 1.0,
        "what is reserved is not for others: {offer:?}"
    );
    other.teardown().await?;
    let mut owner = lab.framework(in_role("owner")).await?;
    let offer = owner.offer().await?;
    ensure!(
        amount(&offer.resources, "cpus") == 2.0,
        "what is reserved is for the owner: {offer:?}"
    );
    owner.teardown().await?;
    let mut child = lab.framework(in_role("owner/child")).await?;
    let offer = child.offer().await?;
    ensure!(amount(&offer.resources, "cpus") == 2.0, "and for those below: {offer:?}");
    child.teardown().await
}

/// A new framework gets resources freed by others only in their turn, and nothing that is filtered.
pub async fn filters_are_per_framework(lab: &mut Lab) -> Result<()> {
    let mut first = lab.framework(Profile::default()).await?;
    first.decline_agents(lab.active_agents().await?, 3600.0).await?;
    first.no_offers("declined for an hour", A_WHILE).await?;
    let mut second = lab.framework(Profile::default()).await?;
    second.offer().await?;
    second.teardown().await?;
    first.no_offers("still declined", A_WHILE).await?;
    first.teardown().await
}

/// A role never has more than its limit.
pub async fn quota_limit(lab: &mut Lab) -> Result<()> {
    let call = json!({
        "type": "UPDATE_QUOTA",
        "update_quota": {"quota_configs": [{"role": "limited", "limits": {"cpus": {"value": 1.0}, "mem": {"value": 256.0}}}]},
    });
    let reply = wire::post_json(&lab.master(), "/api/v1", &call).await?;
    ensure!(reply.status == 200, "UPDATE_QUOTA: {} {}", reply.status, reply.text);
    let mut limited = lab.framework(in_role("limited")).await?;
    let mut offers = vec![limited.offer().await?];
    while let Ok(offer) = tokio::time::timeout(A_WHILE, limited.offer()).await {
        offers.push(offer?);
    }
    let sum = |name: &str| offers.iter().map(|offer| amount(&offer.resources, name)).sum::<f64>();
    ensure!(
        sum("cpus") == 1.0 && sum("mem") <= 256.0,
        "offered {} cpus, {} mem",
        sum("cpus"),
        sum("mem")
    );
    // What is taken counts.
    let offer = offers.remove(0);
    take_all(&mut limited, "all", &offer).await?;
    limited.no_offers("the limit is used up", A_WHILE).await?;
    let mut free = lab.framework(in_role("free")).await?;
    free.offer().await?;
    free.teardown().await?;
    limited.handle.kill("all".into(), None, None);
    limited.reaches("all", TaskState::Killed).await?;
    limited.offer().await?;
    let quota = wire::get_json(&lab.master(), "/quota").await?;
    ensure!(quota.to_string().contains("limited"), "{quota}");
    limited.teardown().await
}

/// A framework's own minimum keeps small offers away.
pub async fn minimum(lab: &mut Lab) -> Result<()> {
    use mesos_api::offer_filters::{MinAllocatableResources, ResourceQuantities};
    use mesos_api::value::Scalar;
    use mesos_client::{SchedulerClient, SchedulerEvent, SchedulerOptions};
    let subscribe = async |cpus: f64| -> Result<_> {
        let mut info = in_role("picky").info();
        let quantities = ResourceQuantities {
            quantities: [("cpus".to_owned(), Scalar { value: cpus })].into_iter().collect(),
        };
        let minimum = MinAllocatableResources { quantities: vec![quantities] };
        let filters = mesos_api::OfferFilters { min_allocatable_resources: Some(minimum) };
        info.offer_filters.insert("picky".to_owned(), filters);
        Ok(SchedulerClient::connect(SchedulerOptions::new(lab.master(), info)).await?)
    };
    for (cpus, wanted) in [(1000.0, false), (0.5, true)] {
        let (handle, mut events) = subscribe(cpus).await?;
        let offered = async {
            while let Some(event) = events.recv().await {
                if matches!(event, SchedulerEvent::Offers(_)) {
                    return true;
                }
            }
            false
        };
        let patience = if wanted { crate::lab::PATIENCE } else { A_WHILE };
        let offered = tokio::time::timeout(patience, offered).await.unwrap_or(false);
        ensure!(offered == wanted, "with a minimum of {cpus} cpus: offered {offered}");
        handle.teardown().await?;
    }
    until("no framework is left", async || Ok(true)).await
}
