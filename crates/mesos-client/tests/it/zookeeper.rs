//! The detector against a real ZooKeeper, whose nodes are written here as masters write them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mesos_client::zookeeper::ZooKeeperUrl;
use mesos_client::{Detection, MasterAddress, MasterDetector, OperatorClient, OperatorOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zookeeper_client::{Acls, Client, CreateMode};

/// A loaded machine takes longer than a free one.
const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    address: String,
    pid: i32,
    _folder: tempfile::TempDir,
}

impl Server {
    /// `None`, said so, where it cannot be installed.
    fn start() -> Option<Self> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/zookeeper");
        let setup = Command::new(tools.join("setup")).output().unwrap();
        if !setup.status.success() {
            let problem = String::from_utf8_lossy(&setup.stderr).into_owned();
            let required = std::env::var_os("REQUIRE_ALL").is_some_and(|value| value == "1");
            assert!(!required, "ZooKeeper cannot be installed: {problem}");
            println!("skipped: ZooKeeper cannot be installed: {problem}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(tools.join("start")).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).unwrap();
        let (port, pid) = told.trim().split_once(' ').unwrap();
        let address = format!("127.0.0.1:{port}");
        Some(Self { address, pid: pid.parse().unwrap(), _folder: folder })
    }

    fn url(&self, credential: &str, path: &str) -> ZooKeeperUrl {
        ZooKeeperUrl::parse(&format!("zk://{credential}{}{path}", self.address)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
    }
}

fn info(port: u16) -> String {
    format!(
        r#"{{"id":"m{port}","ip":16777343,"port":{port},"pid":"master@127.0.0.1:{port}","hostname":"localhost",
        "address":{{"hostname":"localhost","ip":"127.0.0.1","port":{port}}}}}"#
    )
}

/// Registers as a master does; the node's path.
async fn register(client: &Client, path: &str, port: u16, acls: Acls<'_>) -> String {
    let options = CreateMode::EphemeralSequential.with_acls(acls);
    let prefix = format!("{path}/json.info_");
    let (_, sequence) = client.create(&prefix, info(port).as_bytes(), &options).await.unwrap();
    format!("{prefix}{sequence}")
}

async fn leads(detector: &mut MasterDetector, port: u16) {
    let wanted = MasterAddress::new("127.0.0.1", port);
    let wait = async {
        while detector.current().address().as_ref() != Ok(&wanted) {
            detector.changed().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("{wanted} should lead: {:?}", detector.current()));
}

async fn nobody_leads(detector: &mut MasterDetector, because: &str) {
    let wait = async {
        while !matches!(detector.current(), Detection::Nobody(reason) if reason.contains(because)) {
            detector.changed().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("expected {because:?}: {:?}", detector.current()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_followed() {
    let Some(server) = Server::start() else { return };
    let mut detector = MasterDetector::start(server.url("", "/mesos"));
    nobody_leads(&mut detector, "no master has registered").await;

    // The path comes into being, then a first and a second master; the first leads until it goes.
    let client = Client::connect(&server.address).await.unwrap();
    let folder = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.create("/mesos", b"", &folder).await.unwrap();
    client.create("/mesos/log_replicas", b"", &folder).await.unwrap();
    let first = register(&client, "/mesos", 5051, Acls::anyone_all()).await;
    leads(&mut detector, 5051).await;
    let second = register(&client, "/mesos", 5052, Acls::anyone_all()).await;
    client.delete(&first, None).await.unwrap();
    leads(&mut detector, 5052).await;
    let (address, told) = detector.leader().await;
    assert_eq!((address.port, told.id.as_str()), (5052, "m5052"));
    // What it writes anew is read anew; what cannot be read is nobody.
    client.set_data(&second, info(5053).as_bytes(), None).await.unwrap();
    leads(&mut detector, 5053).await;
    client.set_data(&second, b"{", None).await.unwrap();
    nobody_leads(&mut detector, "cannot be read").await;
    client.delete(&second, None).await.unwrap();
    nobody_leads(&mut detector, "no master has registered").await;

    // A URL without path finds masters under /mesos, and under / before those.
    let mut bare = MasterDetector::start(server.url("", ""));
    register(&client, "/mesos", 5054, Acls::anyone_all()).await;
    leads(&mut bare, 5054).await;
    let root = register(&client, "", 5055, Acls::anyone_all()).await;
    leads(&mut bare, 5055).await;
    client.delete(&root, None).await.unwrap();
    leads(&mut bare, 5054).await;

    // A session that breaks keeps the leader, and the next one finds the new leader.
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_opens_what_is_closed() {
    let Some(server) = Server::start() else { return };
    let masters = Client::connector().with_auth("digest", b"mesos:secret");
    let client = masters.connect(&server.address).await.unwrap();
    // Stricter than Mesos, which lets everyone read: so it shows who we are.
    let folder = CreateMode::Persistent.with_acls(Acls::creator_all());
    client.create("/closed", b"", &folder).await.unwrap();
    register(&client, "/closed", 5061, Acls::creator_all()).await;

    let mut stranger = MasterDetector::start(server.url("", "/closed"));
    nobody_leads(&mut stranger, "refused us").await;
    let mut wrong = MasterDetector::start(server.url("mesos:wrong@", "/closed"));
    nobody_leads(&mut wrong, "refused us").await;
    let mut right = MasterDetector::start(server.url("mesos:secret@", "/closed"));
    leads(&mut right, 5061).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_listening_is_said_plainly() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = ZooKeeperUrl::parse(&format!("zk://u:hidden@127.0.0.1:{port}/mesos")).unwrap();
    let mut options = OperatorOptions::new(url);
    options.patience = Duration::from_millis(300);
    let call = mesos_api::master::Call::default();
    let error = OperatorClient::new(options).act(&call).await.unwrap_err().to_string();
    assert!(error.contains("no master leads") && error.contains(&port.to_string()), "{error}");
    assert!(!error.contains("hidden"), "{error}");
}
