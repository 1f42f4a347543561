//! The endpoints over sockets.

use std::path::Path;

use mesos_api::master::{Call, Response, call, response};
use mesos_api::prost::Message as _;
use mesos_master::{MasterHandle, MasterOptions};
use serde_json::json;

use crate::http::{Answer, get, send};

const JSON: &str = "Content-Type: application/json";

async fn operate(master: &MasterHandle, call: serde_json::Value) -> Answer {
    let body = call.to_string();
    send(master.addr, "POST", "/api/v1", &[JSON, "Accept: application/json"], body.as_bytes()).await
}

fn with_work_dir(folder: &Path) -> MasterOptions {
    MasterOptions { work_dir: Some(folder.to_owned()), ..MasterOptions::loopback() }
}

#[tokio::test]
async fn operators_are_answered_in_both_encodings() {
    let master = mesos_master::start(MasterOptions::loopback()).await.unwrap();
    let version = operate(&master, json!({ "type": "GET_VERSION" })).await;
    assert_eq!(version.status, 200);
    assert_eq!(version.json()["get_version"]["version_info"]["version"], "1.11.0");

    let call = Call { r#type: Some(call::Type::GetMaster.into()), ..Call::default() };
    let protobuf = ["Content-Type: application/x-protobuf", "Accept: application/x-protobuf"];
    let answer =
        send(master.addr, "POST", "/master/api/v1", &protobuf, &call.encode_to_vec()).await;
    let answer = Response::decode(answer.body.as_slice()).unwrap();
    assert_eq!(answer.r#type(), response::Type::GetMaster);
    assert_eq!(answer.get_master.unwrap().master_info.as_ref(), Some(&master.info));

    for (call, status) in [
        (json!({ "type": "GET_HEALTH" }), 200),
        (json!({ "type": "GET_STATE" }), 200),
        (json!({ "type": "GET_METRICS" }), 200),
        (json!({ "type": "GET_QUOTA" }), 200),
        (json!({}), 400),
        (json!({ "type": "MARK_AGENT_GONE" }), 400),
        (
            json!({ "type": "MARK_AGENT_GONE", "mark_agent_gone": { "agent_id": { "value": "x" } } }),
            404,
        ),
        (json!({ "type": "START_MAINTENANCE", "start_maintenance": {} }), 501),
        (json!({ "type": "SET_QUOTA", "set_quota": { "quota_request": {} } }), 501),
    ] {
        let answer = operate(&master, call.clone()).await;
        assert_eq!(answer.status, status, "{call}: {}", answer.text());
    }
    assert_eq!(get(master.addr, "/api/v1").await.status, 405);
    let plain = send(master.addr, "POST", "/api/v1", &["Content-Type: text/plain"], b"{}").await;
    assert_eq!(plain.status, 415);
    master.shutdown().await;
}

#[tokio::test]
async fn tools_find_the_endpoints_they_know() {
    let master = mesos_master::start(MasterOptions::loopback()).await.unwrap();
    for path in [
        "/version",
        "/state",
        "/state-summary",
        "/slaves",
        "/frameworks",
        "/tasks",
        "/roles",
        "/weights",
        "/quota",
        "/metrics/snapshot",
        "/flags",
        "/explain",
        "/maintenance/schedule",
        "/master/state.json",
        "/files/debug",
    ] {
        let answer = get(master.addr, path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        answer.json();
    }
    assert_eq!(get(master.addr, "/health").await.body, b"");
    assert_eq!(get(master.addr, "/state?jsonp=x").await.text().find("x({"), Some(0));
    assert_eq!(get(master.addr, "/state?jsonp=alert(1)").await.status, 400);
    assert_eq!(get(master.addr, "/nothing").await.status, 404);
    assert_eq!(get(master.addr, "/explain?framework=x").await.status, 404);
    assert_eq!(get(master.addr, "/files/read?path=/etc/passwd").await.status, 404);
    assert_eq!(get(master.addr, "/sandbox/read?agent=x&path=/etc/passwd").await.status, 400);
    let redirect = get(master.addr, "/redirect").await;
    let location = format!("//{}", master.addr);
    assert_eq!((redirect.status, redirect.header("location")), (307, Some(location.as_str())));
    let page = get(master.addr, "/").await;
    assert!(page.text().contains("Why no offers?"), "{}", page.text());
    master.shutdown().await;
}

#[tokio::test]
async fn what_was_set_outlives_the_master() {
    let folder = tempfile::tempdir().unwrap();
    let master = mesos_master::start(with_work_dir(folder.path())).await.unwrap();
    let weights = br#"[{"role": "dev", "weight": 2.5}]"#;
    let answer = send(master.addr, "PUT", "/weights", &[JSON], weights).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let limits = json!({ "type": "UPDATE_QUOTA", "update_quota": { "quota_configs": [
        { "role": "dev", "limits": { "cpus": { "value": 4.0 } } },
    ] } });
    assert_eq!(operate(&master, limits).await.status, 200);
    master.shutdown().await;
    let master = mesos_master::start(with_work_dir(folder.path())).await.unwrap();
    assert_eq!(
        get(master.addr, "/weights").await.json(),
        json!([{ "role": "dev", "weight": 2.5 }])
    );
    let quota = get(master.addr, "/quota").await.json();
    assert_eq!(quota["configs"][0]["limits"]["cpus"]["value"], 4.0);
    master.shutdown().await;
}

#[tokio::test]
async fn operators_must_say_who_they_are_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::write(&credentials, "admin secret\n").unwrap();
    let options = MasterOptions {
        credentials: Some(credentials.display().to_string()),
        authenticate_http_readwrite: true,
        authenticate_http_readonly: true,
        acls: Some(
            r#"{"update_weights": [{"principals": {"type": "NONE"}, "roles": {"values": ["ops"]}}]}"#
                .to_owned(),
        ),
        ..MasterOptions::loopback()
    };
    let master = mesos_master::start(options).await.unwrap();
    let refused = get(master.addr, "/state").await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"mesos-master-readonly\""));
    assert_eq!(get(master.addr, "/health").await.status, 200);
    // admin:secret
    let known = "Authorization: Basic YWRtaW46c2VjcmV0";
    let state = send(master.addr, "GET", "/state", &[known], b"").await;
    assert_eq!(state.status, 200);
    let weights = |role: &str| format!(r#"[{{"role": "{role}", "weight": 2.0}}]"#);
    let put = async |headers: &[&str], role: &str| {
        send(master.addr, "PUT", "/weights", headers, weights(role).as_bytes()).await.status
    };
    assert_eq!(put(&[JSON], "dev").await, 401);
    assert_eq!(put(&[JSON, known], "dev").await, 200);
    assert_eq!(put(&[JSON, known], "ops").await, 403);
    master.shutdown().await;
}
