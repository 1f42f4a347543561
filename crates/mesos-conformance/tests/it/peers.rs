//! Clients of others on our cluster: pymesos and mesoshttp, each of which runs a task to FINISHED.

use std::path::Path;
use std::process::Command;

use mesos_conformance::cluster::{Cluster, Kind, Spec};

const SPEC: Spec = Spec { master: &[], agents: &[&["--resources=cpus:2;mem:1024"]], masters: 1 };

fn tools() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/mesos-clients")
}

/// The Python of the clients; says so if it cannot be had, and fails where everything is required.
fn python() -> Option<String> {
    let output = Command::new(tools().join("setup")).output();
    let problem = match output {
        Ok(output) if output.status.success() => {
            return Some(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    let required = std::env::var_os("REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "pymesos and mesoshttp cannot be installed: {problem}");
    println!("skipped: pymesos and mesoshttp cannot be installed: {problem}");
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn pymesos_and_mesoshttp_run_a_task() {
    let Some(python) = python() else { return };
    let program = Path::new(env!("CARGO_BIN_EXE_mesos-conformance"));
    let cluster = Cluster::start(Kind::Ours, SPEC, program).await.unwrap();
    for script in ["pymesos_task.py", "mesoshttp_task.py"] {
        let output = tokio::process::Command::new(&python)
            .arg(tools().join(script))
            .arg(cluster.master().to_string())
            .output();
        let output = tokio::time::timeout(std::time::Duration::from_secs(90), output).await;
        let output = output.expect("an end").unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}: {told}{errors}");
        assert!(told.contains("TASK_FINISHED"), "{script}: {told}");
    }
}
