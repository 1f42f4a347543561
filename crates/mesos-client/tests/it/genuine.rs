//! Against genuine Apache Mesos 1.11.0, run by `tools/apache-mesos`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mesos_client::{ClientError, Credential, MasterAddress, SchedulerClient, SchedulerOptions};

use crate::{custom_executor, scenario};

/// A master with its agents; stopped when dropped.
struct Cluster {
    run: tempfile::TempDir,
    port: u16,
}

fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/apache-mesos").join(name)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether the packages are there; says so if not, and fails where everything is required.
fn available() -> bool {
    let output = Command::new(tool("setup")).output();
    let problem = match output {
        Ok(Output { status, .. }) if status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    let required = std::env::var_os("REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "genuine Apache Mesos cannot be set up: {problem}");
    println!("skipped: genuine Apache Mesos cannot be set up: {problem}");
    false
}

impl Cluster {
    fn start(agents: usize, master_flags: &[&str]) -> Self {
        Self::start_with(agents, master_flags, &[])
    }

    fn start_with(agents: usize, master_flags: &[&str], agent_flags: &[&str]) -> Self {
        let cluster = Self { run: tempfile::tempdir().unwrap(), port: free_port() };
        let port = cluster.port.to_string();
        let mut arguments = vec!["--port", &port, "--"];
        arguments.extend(master_flags);
        cluster.tool("start-master", &arguments);
        let master = format!("127.0.0.1:{port}");
        for _ in 0..agents {
            let port = free_port().to_string();
            let resources = "--resources=cpus:2;mem:1024";
            let mut arguments = vec!["--port", &port, "--master", &master, "--", resources];
            arguments.extend(agent_flags);
            cluster.tool("start-agent", &arguments);
        }
        cluster
    }

    fn tool(&self, name: &str, arguments: &[&str]) {
        let output = Command::new(tool(name))
            .args(arguments)
            .env("APACHE_MESOS_RUN", self.run.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn master(&self) -> MasterAddress {
        MasterAddress::new("127.0.0.1", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.tool("stop", &["all"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_life() {
    if available() {
        let cluster = Cluster::start(1, &[]);
        scenario::whole_life(cluster.master()).await;
        custom_executor::scenario(cluster.master()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_and_credentials() {
    if !available() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials");
    let content = r#"{"credentials":[{"principal":"spark","secret":"right"}]}"#;
    std::fs::write(&file, content).unwrap();
    let open = Cluster::start(0, &[]);
    scenario::failover(open.master()).await;

    let credentials = format!("--credentials={}", file.display());
    let guarded = Cluster::start(
        0,
        &[
            "--authenticate_http_frameworks",
            "--http_framework_authenticators=basic",
            "--authenticate_frameworks",
            &credentials,
        ],
    );
    let connect = async |secret: Option<&str>| {
        let mut options = SchedulerOptions::new(guarded.master(), scenario::info("guarded"));
        options.framework_info.principal = Some("spark".to_owned());
        options.credential = secret
            .map(|secret| Credential { principal: "spark".to_owned(), secret: secret.to_owned() });
        SchedulerClient::connect(options).await
    };
    let (handle, _events) = connect(Some("right")).await.unwrap();
    handle.teardown().await.unwrap();
    for wrong in [Some("wrong"), None] {
        let error = connect(wrong).await.unwrap_err();
        assert!(matches!(error, ClientError::Subscription(_)), "{error:?}");
        assert!(error.to_string().contains("401"), "{error}");
    }
}

/// An agent that authenticates executors takes ours by the token it gave it.
#[tokio::test(flavor = "multi_thread")]
async fn executors_show_their_token() {
    if !available() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, "a key of some length").unwrap();
    let key = format!("--jwt_secret_key={}", file.display());
    let flags = [key.as_str(), "--authenticate_http_executors", "--http_authenticators=jwt"];
    let cluster = Cluster::start_with(1, &[], &flags);
    custom_executor::scenario(cluster.master()).await;
}

#[tokio::test]
async fn nothing_listening_is_said_plainly() {
    let master = MasterAddress::new("127.0.0.1", free_port());
    let options = SchedulerOptions::new(master.clone(), scenario::info("lonely"));
    let error = SchedulerClient::connect(options).await.unwrap_err();
    assert_eq!(error.to_string(), format!("nothing listening at {master}"));
}
