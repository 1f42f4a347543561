//! Tasks in Docker containers. The tests start a daemon and a registry of their own, for which they need
//! root, and Debian's packages, which `tools/docker` installs.

mod executors;
mod images;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mesos_agent::AgentOptions;
use mesos_api::container_info::{DockerInfo, DockerPortMapping, Network, Type as ContainerType};
use mesos_api::scheduler::call::Type;
use mesos_api::task_status::Reason;
use mesos_api::volume::Mode;
use mesos_api::{CommandInfo, ContainerInfo, Offer, Parameter, TaskInfo, TaskState, Volume};

use crate::client::{Scheduler, command, framework, task};
use crate::cluster::{Cluster, skip, wait_for};
use crate::recovery::{Place, checkpointing, next_state, read_in};

const IMAGE: &str = "busybox:test";

/// A daemon and its registry, which stop when this is dropped.
struct Daemon {
    process: Child,
    folder: tempfile::TempDir,
    /// `host:port` of a registry.
    registry: String,
}

impl Daemon {
    /// None, said so, if there can be none here; a failure where everything is required.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/docker");
        let process = Command::new(tool)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let problem = match process {
            Ok(mut process) => {
                let mut line = String::new();
                BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
                if let Some(registry) = line.trim().strip_prefix("ready ") {
                    return Some(Self { process, folder, registry: registry.to_owned() });
                }
                let mut told = String::new();
                process.stderr.take().unwrap().read_to_string(&mut told).unwrap();
                process.wait().unwrap();
                told
            }
            Err(error) => error.to_string(),
        };
        skip(&format!("no Docker: {problem}"));
        None
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// What the client says.
    fn docker(&self, arguments: &[&str]) -> String {
        let socket = format!("unix://{}", self.socket().display());
        let output = Command::new("docker").arg("-H").arg(socket).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn options(&self, cluster: &Cluster) -> AgentOptions {
        AgentOptions {
            containerizers: "docker,mesos".into(),
            docker_socket: self.socket().display().to_string(),
            ..cluster.agent_options()
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The ids of the containers that run, once there are so many. The daemon lists one only after what runs in it has begun,
/// tens of milliseconds and on a busy machine seconds later: an executor may have run a task by then.
async fn containers(daemon: &Daemon, count: usize) -> String {
    wait_for(&format!("the count of {count} containers"), || {
        let ids = daemon.docker(&["ps", "-q"]);
        (ids.lines().count() == count).then_some(ids)
    })
    .await
}

fn in_image(id: &str, offer: &Offer, command: CommandInfo, docker: DockerInfo) -> TaskInfo {
    let ports = docker.port_mappings.iter().map(|mapping| mapping.host_port);
    let ports: String =
        ports.filter(|port| *port > 31_000).map(|p| format!(";ports:[{p}-{p}]")).collect();
    let task = task(id, offer, &format!("cpus:0.5;mem:64{ports}"), command);
    let container = ContainerInfo {
        r#type: ContainerType::Docker.into(),
        docker: Some(DockerInfo {
            image: if docker.image.is_empty() { IMAGE.into() } else { docker.image.clone() },
            ..docker
        }),
        ..ContainerInfo::default()
    };
    TaskInfo { container: Some(container), ..task }
}

async fn run(scheduler: &mut Scheduler, task: impl FnOnce(&Offer) -> TaskInfo) {
    let offer = scheduler.offer().await;
    let task = task(&offer);
    scheduler.launch(&offer, vec![task]).await;
}

/// One daemon serves all that is tried here, for its start takes longer than everything else.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_in_docker_containers() {
    let Some(daemon) = Daemon::start() else { return };
    let mut cluster = Cluster::start(0).await;
    let options = daemon.options(&cluster);
    cluster.add_agent_with(options).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    finished(&cluster, &mut scheduler).await;
    images_speak_for_themselves(&cluster, &mut scheduler).await;
    failed_and_refused(&mut scheduler).await;
    killed(&cluster, &daemon, &mut scheduler).await;
    out_of_memory(&mut scheduler).await;
    ports(&mut scheduler).await;
    images::entry_points_and_commands(&cluster, &daemon, &mut scheduler).await;
    images::pulls(&cluster, &daemon, &mut scheduler).await;
    images::networks(&cluster, &daemon, &mut scheduler).await;
    images::stubborn_ones_are_killed(&mut scheduler).await;
    assert_eq!(scheduler.call(Type::Teardown, |_| {}).await, 202);
    executors::a_warm_one_runs_tasks(&cluster, &daemon).await;
    executors::their_ends_are_told(&cluster).await;
    assert_eq!(daemon.docker(&["ps", "-aq"]), "", "nothing is left");
    drop(scheduler);
    cluster.stop().await;
    containers_outlive_the_agent_or_go_with_it(&daemon).await;
    executors::they_outlive_the_agent_or_go_with_it(&daemon).await;
}

/// Those of frameworks that checkpoint go on under the next agent, with all their output; others die.
async fn containers_outlive_the_agent_or_go_with_it(daemon: &Daemon) {
    let cluster = Cluster::start(0).await;
    let place = Place::new(&cluster);
    let socket = format!("--docker_socket={}", daemon.socket().display());
    let flags = ["--containerizers=docker,mesos", socket.as_str()];
    let agent = place.start(&flags);
    let mut mortal = Scheduler::subscribe(&cluster.address, framework()).await;
    let stubborn = "trap '' TERM; while :; do sleep 0.1; done";
    run(&mut mortal, |offer| in_image("mortal", offer, command(stubborn), DockerInfo::default()))
        .await;
    // What is left of the agent is for the other framework.
    assert_eq!(mortal.call(Type::Suppress, |_| {}).await, 202);
    mortal.states(2).await;
    let mut kept = Scheduler::subscribe(&cluster.address, checkpointing()).await;
    let text = "echo one; echo $$ > $MESOS_SANDBOX/pid; \
                while [ ! -e $MESOS_SANDBOX/go ]; do sleep 0.1; done; echo two; exit 7";
    for id in ["away", "back"] {
        run(&mut kept, |offer| in_image(id, offer, command(text), DockerInfo::default())).await;
        assert_eq!(kept.states(2).await, [TaskState::Starting, TaskState::Running]);
        read_in(&cluster, id, "stdout").await;
    }
    containers(daemon, 3).await;
    agent.kill();
    containers(daemon, 2).await;
    std::fs::write(cluster.sandbox("away").join("go"), "").unwrap();
    containers(daemon, 1).await;
    let _agent = place.start(&flags);
    let failed = next_state(&mut kept, TaskState::Running).await;
    assert_eq!((failed.task_id.value.as_str(), failed.state()), ("away", TaskState::Failed));
    assert_eq!(failed.message(), "Container exited with status 7");
    std::fs::write(cluster.sandbox("back").join("go"), "").unwrap();
    let failed = next_state(&mut kept, TaskState::Running).await;
    assert_eq!((failed.task_id.value.as_str(), failed.state()), ("back", TaskState::Failed));
    for id in ["away", "back"] {
        let stdout = std::fs::read_to_string(cluster.sandbox(id).join("stdout")).unwrap();
        assert_eq!(stdout, "one\ntwo\n", "once each");
    }
    let nothing = || daemon.docker(&["ps", "-aq"]).is_empty().then_some(());
    wait_for("the removal of all", nothing).await;
    cluster.stop().await;
}

async fn finished(cluster: &Cluster, scheduler: &mut Scheduler) {
    let host = cluster.folder.path().join("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("in"), "from the host\n").unwrap();
    let volume = |inside: &str, mode: Mode| Volume {
        mode: mode.into(),
        container_path: inside.into(),
        host_path: Some(host.display().to_string()),
        ..Volume::default()
    };
    let volumes = vec![volume("/ro", Mode::Ro), volume("/rw", Mode::Rw)];
    let text = "cat /ro/in; echo no > /ro/in; echo out > /rw/out; echo $MESOS_SANDBOX; pwd; \
                echo kept > $MESOS_SANDBOX/kept; id -u; echo $VALUE";
    run(scheduler, |offer| {
        let environment = mesos_api::Environment::of([("VALUE", "set")]);
        let command = CommandInfo { environment: Some(environment), ..command(text) };
        let parameters = vec![
            Parameter { key: "workdir".into(), value: "/tmp".into() },
            Parameter { key: "user".into(), value: "65534".into() },
        ];
        let docker = DockerInfo { parameters, ..DockerInfo::default() };
        let mut task = in_image("t1", offer, command, docker);
        task.container.as_mut().unwrap().volumes = volumes;
        task
    })
    .await;
    // Whoever he is in the container, he may write there.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&host, open).unwrap();
    assert_eq!(scheduler.states(2).await, [TaskState::Starting, TaskState::Running]);
    let end = scheduler.update().await;
    let sandbox = cluster.sandbox("t1");
    let read = |name: &str| std::fs::read_to_string(sandbox.join(name)).unwrap();
    let (stdout, stderr) = (read("stdout"), read("stderr"));
    assert_eq!(end.state(), TaskState::Finished, "{} {stdout} {stderr}", end.message());
    assert_eq!(end.message(), "Container exited with status 0");
    assert_eq!(stdout, "from the host\n/mnt/mesos/sandbox\n/tmp\n65534\nset\n");
    assert!(stderr.contains("Read-only file system"), "{stderr}");
    assert_eq!(std::fs::read_to_string(host.join("out")).unwrap(), "out\n");
}

async fn images_speak_for_themselves(cluster: &Cluster, scheduler: &mut Scheduler) {
    let silent = CommandInfo { shell: Some(false), ..CommandInfo::default() };
    run(scheduler, |offer| in_image("t2", offer, silent, DockerInfo::default())).await;
    assert_eq!(scheduler.states(3).await[2], TaskState::Finished);
    let stdout = std::fs::read_to_string(cluster.sandbox("t2").join("stdout")).unwrap();
    assert_eq!(stdout, "the image speaks\n");
}

async fn failed_and_refused(scheduler: &mut Scheduler) {
    run(scheduler, |offer| in_image("t3", offer, command("exit 5"), DockerInfo::default())).await;
    scheduler.states(2).await;
    let failed = scheduler.update().await;
    assert_eq!(failed.state(), TaskState::Failed);
    assert_eq!(failed.message(), "Container exited with status 5");
    let mapping = DockerPortMapping { host_port: 80, container_port: 80, protocol: None };
    let strange = Parameter { key: "frobnicate".into(), value: "1".into() };
    for (id, docker, told) in [
        (
            "t4",
            DockerInfo {
                network: Some(Network::Bridge.into()),
                port_mappings: vec![mapping],
                ..DockerInfo::default()
            },
            "Port [ 80 ] not included in resources",
        ),
        (
            "t5",
            DockerInfo { parameters: vec![strange], ..DockerInfo::default() },
            "parameter 'frobnicate' is not known",
        ),
    ] {
        run(scheduler, |offer| in_image(id, offer, command("true"), docker)).await;
        let refused = scheduler.update().await;
        assert_eq!(refused.state(), TaskState::Failed);
        assert_eq!(refused.reason(), Reason::ContainerLaunchFailed);
        assert!(refused.message().contains(told), "{}", refused.message());
    }
    run(scheduler, |offer| {
        let mut task = in_image("t6", offer, command("true"), DockerInfo::default());
        let docker = task.container.as_mut().unwrap().docker.as_mut().unwrap();
        docker.image = "127.0.0.1:1/no/such:image".into();
        task
    })
    .await;
    let refused = scheduler.update().await;
    let told = refused.message();
    assert!(told.contains("cannot pull the image '127.0.0.1:1/no/such:image'"), "{told}");
}

async fn killed(cluster: &Cluster, daemon: &Daemon, scheduler: &mut Scheduler) {
    let text = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.1; done";
    run(scheduler, |offer| in_image("t7", offer, command(text), DockerInfo::default())).await;
    scheduler.states(2).await;
    let stdout = cluster.sandbox("t7").join("stdout");
    let up = || std::fs::read_to_string(&stdout).ok().filter(|text| text.contains("up"));
    wait_for("the container's output", up).await;
    assert!(daemon.docker(&["ps", "--format", "{{.Names}}"]).starts_with("mesos-"));
    scheduler.kill("t7", None).await;
    assert_eq!(scheduler.update().await.state(), TaskState::Killed);
    assert_eq!(std::fs::read_to_string(&stdout).unwrap(), "up\nasked\n");
}

async fn out_of_memory(scheduler: &mut Scheduler) {
    let text = command("tail /dev/zero");
    run(scheduler, |offer| in_image("t8", offer, text, DockerInfo::default())).await;
    scheduler.states(2).await;
    let failed = scheduler.update().await;
    assert_eq!(failed.state(), TaskState::Failed);
    assert_eq!(failed.reason(), Reason::ContainerLimitationMemory, "{}", failed.message());
    assert!(failed.message().contains("Requested: 64MB"), "{}", failed.message());
}

async fn ports(scheduler: &mut Scheduler) {
    let mapping = DockerPortMapping { host_port: 31_005, container_port: 7, protocol: None };
    let docker = DockerInfo {
        network: Some(Network::Bridge.into()),
        port_mappings: vec![mapping],
        ..DockerInfo::default()
    };
    let text = "while :; do echo hello | nc -l -p 7 -w 5; done";
    run(scheduler, |offer| in_image("t9", offer, command(text), docker)).await;
    scheduler.states(2).await;
    let heard = wait_for("the mapped port", || {
        let mut socket = TcpStream::connect("127.0.0.1:31005").ok()?;
        let mut heard = String::new();
        socket.write_all(b"\n").ok()?;
        socket.read_to_string(&mut heard).ok()?;
        (!heard.is_empty()).then_some(heard)
    })
    .await;
    assert_eq!(heard, "hello\n");
    scheduler.kill("t9", Some(std::time::Duration::ZERO)).await;
    assert_eq!(scheduler.update().await.state(), TaskState::Killed);
}
