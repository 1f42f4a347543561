//! The page shows the output of a task while it is written, through the master alone.

use std::path::Path;
use std::time::{Duration, Instant};

use mesos_conformance::cluster::{Cluster, Kind, Spec};
use mesos_conformance::lab::{Lab, Profile};
use mesos_conformance::wire;

const SPEC: Spec = Spec { master: &[], agents: &[&["--resources=cpus:2;mem:1024"]], masters: 1 };

/// A loaded machine takes longer than a free one.
const PATIENCE: Duration = Duration::from_secs(40);

async fn get(lab: &Lab, path: &str) -> (u16, String) {
    let answer = wire::open(&lab.master(), "GET", path, &[], "").await.unwrap();
    let answer = answer.whole().await.unwrap();
    (answer.status, answer.text)
}

/// What stands between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

/// Reads a file on from an offset, as the page's script does, until this is in it.
async fn read_until(lab: &Lab, at: &str, mut offset: u64, wanted: &str) -> (u64, String) {
    let (begun, mut read) = (Instant::now(), String::new());
    loop {
        let (status, text) = get(lab, &format!("{at}&offset={offset}")).await;
        if status == 200 {
            let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
            read.push_str(answer["data"].as_str().unwrap());
            offset += answer["size"].as_u64().unwrap();
        }
        if read.contains(wanted) {
            return (offset, read);
        }
        assert!(begun.elapsed() < PATIENCE, "{at}: {status} {text}; read so far: {read:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_live() {
    let program = Path::new(env!("CARGO_BIN_EXE_mesos-conformance"));
    let lab = Lab::Own(Cluster::start(Kind::Ours, SPEC, program).await.unwrap());
    lab.agents_return(1).await.unwrap();
    let mut framework = lab.framework(Profile::default()).await.unwrap();
    let gate = tempfile::tempdir().unwrap();
    let gate = gate.path().join("go on");
    let command = format!(
        "echo first; echo aside >&2; while [ ! -e '{}' ]; do sleep 0.05; done; echo second; exec sleep 1000",
        gate.display()
    );
    framework.run("t", &command).await.unwrap();

    // The list of tasks leads to the sandbox, and the sandbox to its files.
    let (status, page) = get(&lab, "/").await;
    assert_eq!(status, 200);
    let link = between(&page, "href=\"/sandbox?", "\"").unwrap().replace("&amp;", "&");
    let (status, page) = get(&lab, &format!("/sandbox?{link}")).await;
    assert_eq!(status, 200, "{page}");
    let agent = between(&page, "data-agent=\"", "\"").unwrap();
    let path = between(&page, "data-path=\"", "\"").unwrap();
    let file = |name: &str| format!("/sandbox/read?agent={agent}&path={path}/{name}");

    let (offset, read) = read_until(&lab, &file("stdout"), 0, "first\n").await;
    assert!(!read.contains("second"), "{read}");
    read_until(&lab, &file("stderr"), 0, "aside\n").await;
    std::fs::write(&gate, "").unwrap();
    let (_, read) = read_until(&lab, &file("stdout"), offset, "second\n").await;
    assert!(!read.contains("first"), "read from where it had stopped: {read}");

    // Files beside those of sandboxes are nobody's business.
    for path in ["/etc/passwd", "/frameworks/../../etc/passwd", "/frameworks//etc/passwd"] {
        let (status, _) = get(&lab, &format!("/sandbox/read?agent={agent}&path={path}")).await;
        assert_eq!(status, 400, "{path}");
    }
    framework.teardown().await.unwrap();
}
