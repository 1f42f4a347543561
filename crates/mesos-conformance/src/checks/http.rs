//! HTTP and SUBSCRIBE.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesos_api::framework_info::CapabilityType;
use mesos_api::{TaskState, prost::Message as _};
use mesos_client::{MasterAddress, SchedulerClient, SchedulerEvent, SchedulerOptions};
use serde_json::{Value, json};

use crate::lab::{Lab, Profile, scalar, told_by, until};
use crate::wire::{self, Stream};

const SCHEDULER: &str = "/api/v1/scheduler";
const EXECUTOR: &str = "/api/v1/executor";
const JSON: (&str, &str) = ("content-type", "application/json");

fn info(more: &Value) -> Value {
    let mut info = json!({"user": "root", "name": "conformance"});
    if let (Value::Object(info), Value::Object(more)) = (&mut info, more) {
        info.extend(more.clone());
    }
    info
}

fn subscribe_call(more: &Value) -> Value {
    let info = info(more);
    let mut call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
    if let Some(id) = info.get("id") {
        call["framework_id"] = id.clone();
    }
    call
}

async fn subscribe(lab: &Lab, more: &Value) -> Result<Stream> {
    let call = subscribe_call(more).to_string();
    wire::open(&lab.master(), "POST", SCHEDULER, &[JSON, ("accept", "application/json")], &call)
        .await
}

async fn first(stream: &mut Stream) -> Result<Value> {
    stream.record().await?.context("the stream ended")
}

fn id_of(subscribed: &Value) -> Result<String> {
    let id = subscribed["subscribed"]["framework_id"]["value"].as_str();
    Ok(id.with_context(|| format!("no framework id in {subscribed}"))?.to_owned())
}

/// The first record is SUBSCRIBED with the id, the interval and the leader; a HEARTBEAT follows at once.
pub async fn first_records(lab: &mut Lab) -> Result<()> {
    let mut stream = subscribe(lab, &json!({})).await?;
    ensure!(stream.status == 200, "SUBSCRIBE: {}", stream.status);
    let stream_id = stream.header("mesos-stream-id")?;
    ensure!(uuid::Uuid::parse_str(&stream_id).is_ok() && stream_id.len() == 36, "{stream_id}");
    ensure!(stream.header("content-type")? == "application/json", "another type");
    ensure!(stream.header("content-length").is_err(), "a stream has no length");
    let subscribed = first(&mut stream).await?;
    ensure!(subscribed["type"] == "SUBSCRIBED", "{subscribed}");
    ensure!(subscribed["subscribed"]["heartbeat_interval_seconds"] == 15.0, "{subscribed}");
    let master = &subscribed["subscribed"]["master_info"];
    for field in ["id", "ip", "port", "pid", "hostname", "version", "address"] {
        ensure!(!master[field].is_null(), "no {field} in {master}");
    }
    ensure!(id_of(&subscribed)?.contains('-'), "{subscribed}");
    // Well before the interval is over; only the first offers, which others of the master send, may overtake it.
    let subscribed = std::time::Instant::now();
    loop {
        let next = first(&mut stream).await?;
        if next["type"] == "HEARTBEAT" {
            break;
        }
        ensure!(next["type"] == "OFFERS", "{next}");
    }
    ensure!(subscribed.elapsed().as_secs() < 10, "HEARTBEAT after {:?}", subscribed.elapsed());
    Ok(())
}

/// The same in protobuf, and offers in both encodings say the same.
pub async fn both_encodings(lab: &mut Lab) -> Result<()> {
    for encoding in [mesos_client::Encoding::Protobuf, mesos_client::Encoding::Json] {
        let mut options = SchedulerOptions::new(lab.master(), Profile::default().info());
        options.encoding = encoding;
        let (handle, mut events) = SchedulerClient::connect(options).await?;
        let offers = loop {
            let event = tokio::time::timeout(crate::lab::PATIENCE, events.recv()).await?;
            match event.context("the stream ended")? {
                SchedulerEvent::Offers(offers) => break offers,
                SchedulerEvent::Subscribed { .. } => {}
                other => anyhow::bail!("{other:?}"),
            }
        };
        for offer in &offers {
            ensure!(crate::lab::amount(&offer.resources, "cpus") > 0.0, "{offer:?}");
            ensure!(offer.url.is_some() && !offer.hostname.is_empty(), "{offer:?}");
            ensure!(offer.encoded_len() > 0, "{offer:?}");
        }
        handle.teardown().await?;
    }
    Ok(())
}

/// Which calls need which stream id, and when.
pub async fn stream_ids(lab: &mut Lab) -> Result<()> {
    let mut stream = subscribe(lab, &json!({"failover_timeout": 2.0})).await?;
    let stream_id = stream.header("mesos-stream-id")?;
    let id = id_of(&first(&mut stream).await?)?;
    let master = lab.master();
    let revive = json!({"type": "REVIVE", "framework_id": {"value": id}}).to_string();
    let send = async |headers: &[(&str, &str)], body: &str| -> Result<(u16, String)> {
        let reply = wire::post(&master, SCHEDULER, &[&[JSON], headers].concat(), body).await?;
        Ok((reply.status, reply.text))
    };
    let with = ("mesos-stream-id", stream_id.as_str());
    let (status, text) = send(&[with], &revive).await?;
    ensure!(status == 202 && text.is_empty(), "{status} {text}");
    let (status, text) = send(&[], &revive).await?;
    ensure!(status == 400, "without stream id: {status} {text}");
    let other = uuid::Uuid::new_v4().to_string();
    let (status, text) = send(&[("mesos-stream-id", &other)], &revive).await?;
    ensure!(status == 400, "another stream id: {status} {text}");
    let again = subscribe_call(&json!({"id": {"value": id}})).to_string();
    let (status, text) = send(&[with], &again).await?;
    ensure!(status == 400, "SUBSCRIBE with stream id: {status} {text}");
    let stranger = json!({"type": "REVIVE", "framework_id": {"value": "nobody"}}).to_string();
    let (status, text) = send(&[with], &stranger).await?;
    ensure!(status == 400 && text.contains("Framework cannot be found"), "{status} {text}");
    drop(stream);
    until("403 without subscription", async || Ok(send(&[with], &revive).await?.0 == 403)).await
}

/// What headers and bodies are refused with.
async fn matrix(address: &MasterAddress, path: &str, subscribe: &str) -> Result<()> {
    let accept = ("accept", "application/json");
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16);
    let rows: [Row<'_>; 7] = [
        ("no content type", &[], subscribe, 400),
        ("text", &[("content-type", "text/plain"), accept], subscribe, 415),
        (
            "a parameter",
            &[("content-type", "application/json; charset=utf-8"), accept],
            subscribe,
            415,
        ),
        ("malformed JSON", &[JSON, accept], "{", 400),
        ("JSON of another shape", &[JSON, accept], r#"{"type": {"a": 1}, "x": []}"#, 400),
        (
            "malformed protobuf",
            &[("content-type", "application/x-protobuf"), accept],
            "\u{1}\u{2}\u{3}",
            400,
        ),
        ("not acceptable", &[JSON, ("accept", "foo/bar")], subscribe, 406),
    ];
    for (what, headers, body, status) in rows {
        let reply = wire::post(address, path, headers, body).await?;
        ensure!(
            reply.status == status,
            "{path}: {what}: {} instead of {status}: {}",
            reply.status,
            reply.text
        );
    }
    let get = wire::open(address, "GET", path, &[], "").await?;
    ensure!(get.status == 405, "GET: {}", get.status);
    let allowed = get.header("allow")?;
    ensure!(allowed.contains("POST"), "allow: {allowed}");
    Ok(())
}

/// Statuses of the scheduler API.
pub async fn scheduler_matrix(lab: &mut Lab) -> Result<()> {
    let call = subscribe_call(&json!({})).to_string();
    matrix(&lab.master(), SCHEDULER, &call).await?;
    // Without Accept, and with any, the answer is JSON.
    for accept in [None, Some(("accept", "*/*"))] {
        let headers: Vec<_> = [JSON].into_iter().chain(accept).collect();
        let mut stream = wire::open(&lab.master(), "POST", SCHEDULER, &headers, &call).await?;
        ensure!(
            stream.status == 200 && stream.header("content-type")? == "application/json",
            "{stream:?}"
        );
        ensure!(first(&mut stream).await?["type"] == "SUBSCRIBED", "no SUBSCRIBED");
    }
    Ok(())
}

/// Statuses of the executor API.
pub async fn executor_matrix(lab: &mut Lab) -> Result<()> {
    let agent = lab.an_agent().await?;
    let call = json!({
        "type": "SUBSCRIBE", "subscribe": {}, "framework_id": {"value": "nobody"}, "executor_id": {"value": "nobody"},
    });
    matrix(&agent, EXECUTOR, &call.to_string()).await?;
    let reply = wire::post_json(&agent, EXECUTOR, &call).await?;
    ensure!(reply.status == 400, "unknown executor: {} {}", reply.status, reply.text);
    Ok(())
}

/// Calls that say something, but nothing valid.
pub async fn invalid_calls(lab: &mut Lab) -> Result<()> {
    let mut stream = subscribe(lab, &json!({})).await?;
    let stream_id = stream.header("mesos-stream-id")?;
    let id = json!({"value": id_of(&first(&mut stream).await?)?});
    let task = json!({"value": "t"});
    let agent = json!({"value": "a"});
    let calls = [
        json!({}),
        json!({"type": "SUBSCRIBE"}),
        json!({"type": "SUBSCRIBE", "framework_id": {"value": "x"}, "subscribe": {"framework_info": info(&json!({"id": {"value": "y"}}))}}),
        json!({"type": "REVIVE"}),
        json!({"type": "ACCEPT", "framework_id": id}),
        json!({"type": "DECLINE", "framework_id": id}),
        json!({"type": "KILL", "framework_id": id}),
        json!({"type": "SHUTDOWN", "framework_id": id}),
        json!({"type": "ACKNOWLEDGE", "framework_id": id}),
        json!({"type": "ACKNOWLEDGE", "framework_id": id, "acknowledge": {"agent_id": agent, "task_id": task, "uuid": "c2hvcnQ="}}),
        json!({"type": "RECONCILE", "framework_id": id}),
        json!({"type": "MESSAGE", "framework_id": id}),
        json!({"type": "REQUEST", "framework_id": id}),
    ];
    for call in calls {
        let headers = [JSON, ("mesos-stream-id", stream_id.as_str())];
        // SUBSCRIBE must not have one.
        let headers = if call["type"] == "SUBSCRIBE" { &headers[..1] } else { &headers[..] };
        let reply = wire::post(&lab.master(), SCHEDULER, headers, &call.to_string()).await?;
        ensure!(reply.status == 400, "{call}: {} {}", reply.status, reply.text);
    }
    Ok(())
}

/// Invalid updates and messages of a real executor.
pub async fn invalid_executor_calls(lab: &mut Lab) -> Result<()> {
    let mut framework = lab.framework(Profile::default()).await?;
    let offer = framework.offer().await?;
    framework.accept(
        &[&offer],
        vec![framework.executor_task("probe", &offer.agent_id, "probe")],
        0.0,
    );
    let finished = framework.reaches("probe", TaskState::Finished).await?;
    let found: Value = serde_json::from_slice(&finished.data.unwrap_or_default())?;
    let found = found.as_object().context("no object")?;
    ensure!(found.len() == 8, "{found:?}");
    for (what, reply) in found {
        ensure!(reply[0] == 400, "{what}: {reply}");
    }
    framework.teardown().await
}

/// HEARTBEAT comes every 15 s, to schedulers and operators.
pub async fn heartbeats(lab: &mut Lab) -> Result<()> {
    let mut scheduler = subscribe(lab, &json!({})).await?;
    let call = json!({"type": "SUBSCRIBE"}).to_string();
    let headers = [JSON, ("accept", "application/json")];
    let mut operator = wire::open(&lab.master(), "POST", "/api/v1", &headers, &call).await?;
    ensure!(operator.status == 200, "operator SUBSCRIBE: {}", operator.status);
    for stream in [&mut scheduler, &mut operator] {
        let mut beats = Vec::new();
        while beats.len() < 2 {
            let record = first(stream).await?;
            if record["type"] == "HEARTBEAT" {
                beats.push(Instant::now());
            }
        }
    }
    // Both begin with one, so their second ones are an interval later.
    let began = Instant::now();
    let mut records = 0;
    loop {
        let record = first(&mut scheduler).await?;
        records += 1;
        if record["type"] == "HEARTBEAT" {
            break;
        }
    }
    let waited = began.elapsed();
    ensure!(waited < Duration::from_secs(25) && records > 0, "the next came after {waited:?}");
    Ok(())
}

/// A second SUBSCRIBE with the id ends the first stream, and its offers are void.
pub async fn scheduler_failover(lab: &mut Lab) -> Result<()> {
    let profile = Profile { failover_timeout: 60.0, ..Profile::default() };
    let mut first = lab.framework(profile.clone()).await?;
    let old = first.offer().await?;
    let mut second = lab.framework(Profile { id: Some(first.id.clone()), ..profile }).await?;
    ensure!(second.id == first.id, "another id");
    first
        .wait(
            "the old stream's end",
            |event| matches!(event, SchedulerEvent::Error(text) if text == "Framework failed over"),
        )
        .await?;
    let new = second.offer().await?;
    ensure!(new.id != old.id, "the offer came again");
    let task = crate::lab::command_task("void", &old.agent_id, "true");
    second.accept(&[&old], vec![task], 0.0);
    let status = second.update("void").await?;
    ensure!(status.state() == TaskState::Lost, "{status:?}");
    second.teardown().await
}

/// After its failover timeout, or after TEARDOWN, a framework cannot come back.
pub async fn removed_frameworks(lab: &mut Lab) -> Result<()> {
    let profile = Profile { failover_timeout: 0.2, ..Profile::default() };
    let gone = lab.framework(profile.clone()).await?.vanish();
    until("the framework's removal", async || Ok(lab.state_of(&gone).await?.is_none())).await?;
    let ended = lab.framework(profile.clone()).await?;
    ended.teardown().await?;
    let ended = ended.id.clone();
    until("the framework's removal", async || Ok(lab.state_of(&ended).await?.is_none())).await?;
    for id in [gone, ended] {
        let text = lab.refused(Profile { id: Some(id), ..profile.clone() }).await?;
        ensure!(text.contains("Framework has been removed"), "{text}");
    }
    Ok(())
}

/// The principal may not change; what may is updated.
pub async fn changes_at_failover(lab: &mut Lab) -> Result<()> {
    let profile = Profile { principal: Some("one"), failover_timeout: 60.0, ..Profile::default() };
    let first = lab.framework(profile.clone()).await?;
    let id = Some(first.id.clone());
    let text =
        lab.refused(Profile { id: id.clone(), principal: Some("two"), ..profile.clone() }).await?;
    ensure!(text.to_lowercase().contains("principal"), "{text}");
    let renamed = Profile { id, name: "renamed", ..profile };
    let second = lab.framework(renamed).await?;
    until("the new name", async || {
        Ok(lab.state_of(&second.id).await?.is_some_and(|state| state["name"] == "renamed"))
    })
    .await?;
    second.teardown().await
}

/// An empty id is none; impossible roles and timeouts are refused.
pub async fn subscriptions_refused(lab: &mut Lab) -> Result<()> {
    let empty =
        lab.framework(Profile { id: Some(String::new().into()), ..Profile::default() }).await?;
    ensure!(!empty.id.value.is_empty(), "no id");
    empty.teardown().await?;
    for role in ["/x", "a//b", ".", "..", "-x", "a b"] {
        let mut profile = Profile::with_roles(&[]);
        profile.roles = vec![role];
        lab.refused(profile).await?;
    }
    let text = lab.refused(Profile { failover_timeout: 1e30, ..Profile::default() }).await?;
    ensure!(text.contains("failover_timeout"), "{text}");
    let duplicate = Profile::with_roles(&["twice", "twice"]);
    lab.refused(duplicate).await?;
    let stranger = Profile { suppressed: vec!["other"], ..Profile::with_roles(&["mine"]) };
    lab.refused(stranger).await?;
    // Roles without the capability make no sense.
    let without = Profile { capabilities: Vec::new(), ..Profile::with_roles(&["mine"]) };
    ensure!(!without.capabilities.contains(&CapabilityType::MultiRole), "no capability");
    lab.refused(without).await?;
    Ok(())
}

/// UPDATE_FRAMEWORK answers at once, with what it thinks.
pub async fn update_framework(lab: &mut Lab) -> Result<()> {
    let mut stream = subscribe(lab, &json!({"principal": "one"})).await?;
    let stream_id = stream.header("mesos-stream-id")?;
    let id = id_of(&first(&mut stream).await?)?;
    let send = async |more: Value| -> Result<(u16, String)> {
        let mut info = info(&more);
        info["id"] = json!({"value": id});
        let call = json!({
            "type": "UPDATE_FRAMEWORK", "framework_id": {"value": id},
            "update_framework": {"framework_info": info},
        });
        let headers = [JSON, ("mesos-stream-id", stream_id.as_str())];
        let reply = wire::post(&lab.master(), SCHEDULER, &headers, &call.to_string()).await?;
        Ok((reply.status, reply.text))
    };
    let (status, text) = send(json!({"principal": "one", "name": "renamed"})).await?;
    ensure!(status == 200, "a new name: {status} {text}");
    let state = lab.state_of(&id.clone().into()).await?;
    ensure!(state.is_some_and(|state| state["name"] == "renamed"), "the name did not change");
    for change in [
        json!({"principal": "two"}),
        json!({"principal": "one", "user": "nobody"}),
        json!({"principal": "one", "checkpoint": true}),
    ] {
        let (status, text) = send(change.clone()).await?;
        ensure!(status == 400, "{change}: {status} {text}");
    }
    Ok(())
}

/// Updates of a master carry no uuid; a task without resources is no task.
pub async fn master_made_updates(lab: &mut Lab) -> Result<()> {
    use mesos_api::task_status::{Reason, Source};
    let mut framework = lab.framework(Profile::partition_aware()).await?;
    let offer = framework.offer().await?;
    let mut task = crate::lab::command_task("none", &offer.agent_id, "true");
    task.resources.clear();
    framework.accept(&[&offer], vec![task], 0.0);
    let status = framework.update("none").await?;
    ensure!(status.state() == TaskState::Error && status.uuid.is_none(), "{status:?}");
    told_by(&status, Source::Master, Some(Reason::TaskInvalid))?;
    let offer = framework.offer().await?;
    let mut task = crate::lab::command_task("greedy", &offer.agent_id, "true");
    task.resources = vec![scalar("cpus", 1000.0), scalar("mem", 32.0)];
    framework.accept(&[&offer], vec![task], 0.0);
    let status = framework.update("greedy").await?;
    ensure!(status.state() == TaskState::Error, "{status:?}");
    ensure!(status.message().contains("more than available"), "{status:?}");
    framework.teardown().await
}
