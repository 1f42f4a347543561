//! Two masters and a real ZooKeeper.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mesos_master::{MasterHandle, MasterOptions};

use crate::http::get;

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
        let zk = Some(format!("zk://{}/mesos", self.address));
        mesos_master::start(MasterOptions { zk, ..MasterOptions::loopback() }).await.unwrap()
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
