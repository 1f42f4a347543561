//! Two masters and a real ZooKeeper.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mesos_master::{MasterHandle, MasterOptions};

use crate::http::{get, send};

/// A loaded machine takes longer than a free one.
const PATIENCE: Duration = Duration::from_secs(40);

struct Ensemble {
    address: String,
    pid: String,
    _folder: tempfile::TempDir,
}

impl Ensemble {
    /// `None`, said so, where it cannot be installed.
    #[expect(clippy::print_stdout, reason = "a skip is said")]
    fn start() -> Option<Self> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/zookeeper");
        let installed = Command::new(tools.join("setup")).output();
        if !installed.is_ok_and(|output| output.status.success()) {
            let required = std::env::var_os("REQUIRE_ALL").is_some_and(|value| value == "1");
            assert!(!required, "ZooKeeper cannot be installed");
            println!("skipped: ZooKeeper cannot be installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(tools.join("start")).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).unwrap();
        let (port, pid) = told.trim().split_once(' ').unwrap();
        Some(Self { address: format!("127.0.0.1:{port}"), pid: pid.to_owned(), _folder: folder })
    }

    async fn master(&self) -> MasterHandle {
        self.master_in(None).await
    }

    async fn master_in(&self, work_dir: Option<PathBuf>) -> MasterHandle {
        let zk = Some(format!("zk://{}/mesos", self.address));
        let options = MasterOptions { zk, work_dir, ..MasterOptions::loopback() };
        mesos_master::start(options).await.unwrap()
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.pid]).status();
    }
}

/// Waits until a path is answered with a status.
async fn wait_for(master: &MasterHandle, path: &str, status: u16) -> crate::http::Answer {
    let begun = Instant::now();
    loop {
        let answer = get(master.addr, path).await;
        if answer.status == status {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{path} is answered with {}", answer.head);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_redirects_and_takes_over() {
    let Some(ensemble) = Ensemble::start() else { return };
    let first = ensemble.master().await;
    wait_for(&first, "/state", 200).await;
    let second = ensemble.master().await;
    let port = first.addr.port();
    let answer = wait_for(&second, "/master/api/v1/scheduler?x=1", 307).await;
    let expected = format!("//localhost:{port}/master/api/v1/scheduler?x=1");
    assert_eq!(answer.header("location"), Some(expected.as_str()));
    let answer = wait_for(&second, "/redirect", 307).await;
    assert_eq!(answer.header("location"), Some(format!("//localhost:{port}").as_str()));
    assert_eq!(get(second.addr, "/health").await.status, 200);
    first.shutdown().await;
    let state = wait_for(&second, "/state", 200).await.json();
    assert_eq!(state["id"], second.info.id);
    second.shutdown().await;
}

/// What an operator decided is the next leader's to know, whatever stands in its own registry.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_leader_takes_over_the_registry() {
    let Some(ensemble) = Ensemble::start() else { return };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let put = async |master: &MasterHandle, role: &str| {
        let weights = format!(r#"[{{"role": "{role}", "weight": 2.5}}]"#);
        let answer = send(
            master.addr,
            "PUT",
            "/weights",
            &["Content-Type: application/json"],
            weights.as_bytes(),
        );
        assert_eq!(answer.await.status, 200);
    };
    // What the first leader of all has on its disk counts.
    let options =
        || MasterOptions { work_dir: Some(one.path().to_owned()), ..MasterOptions::loopback() };
    let alone = mesos_master::start(options()).await.unwrap();
    put(&alone, "before").await;
    alone.shutdown().await;
    let first = ensemble.master_in(Some(one.path().to_owned())).await;
    let told = wait_for(&first, "/weights", 200).await.json();
    assert_eq!(told[0]["role"], "before");
    put(&first, "dev").await;
    let limits = br#"{"type": "UPDATE_QUOTA", "update_quota": {"quota_configs": [
        {"role": "dev", "limits": {"cpus": {"value": 4}}}]}}"#;
    let answer =
        send(first.addr, "POST", "/api/v1", &["Content-Type: application/json"], limits).await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    // The second has a registry of its own, of which nothing is left.
    let second = mesos_master::start(MasterOptions {
        work_dir: Some(two.path().to_owned()),
        ..MasterOptions::loopback()
    });
    let second = second.await.unwrap();
    put(&second, "stale").await;
    second.shutdown().await;
    let second = ensemble.master_in(Some(two.path().to_owned())).await;
    first.shutdown().await;
    let roles = |told: &serde_json::Value| -> Vec<String> {
        let all = told.as_array().unwrap().iter();
        all.map(|weight| weight["role"].as_str().unwrap().to_owned()).collect()
    };
    let told = wait_for(&second, "/weights", 200).await.json();
    assert_eq!(roles(&told), ["before", "dev"]);
    let quota = get(second.addr, "/quota").await.json();
    assert_eq!(quota["configs"][0]["limits"]["cpus"]["value"], 4.0);
    put(&second, "later").await;
    second.shutdown().await;

    // And so on, also without a folder.
    let third = ensemble.master().await;
    let told = wait_for(&third, "/weights", 200).await.json();
    assert_eq!(roles(&told), ["before", "dev", "later"]);
    third.shutdown().await;
}
