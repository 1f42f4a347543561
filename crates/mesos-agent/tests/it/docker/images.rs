//! Images, networks, and how containers that will not end are ended.

use std::time::Duration;

use mesos_api::container_info::{DockerInfo, Network};
use mesos_api::{CommandInfo, NetworkInfo, TaskState};

use super::{Daemon, IMAGE, in_image, run};
use crate::client::{Scheduler, command};
use crate::cluster::Cluster;

fn stdout(cluster: &Cluster, task: &str) -> String {
    std::fs::read_to_string(cluster.sandbox(task).join("stdout")).unwrap()
}

async fn finish(scheduler: &mut Scheduler, id: &str, command: CommandInfo, docker: DockerInfo) {
    run(scheduler, |offer| in_image(id, offer, command, docker)).await;
    scheduler.states(2).await;
    let end = scheduler.update().await;
    assert_eq!(end.state(), TaskState::Finished, "{id}: {}", end.message());
}

/// What an image is told to run, beside what it would run by itself.
pub(super) async fn entry_points_and_commands(
    cluster: &Cluster,
    daemon: &Daemon,
    scheduler: &mut Scheduler,
) {
    let container = daemon.docker(&["create", IMAGE]);
    let entry = "ENTRYPOINT [\"/bin/echo\", \"entry\"]";
    let changes = ["-c", entry, "-c", "CMD [\"default\"]"];
    let words = [["commit"].as_slice(), &changes, &[container.trim(), "entry:test"]].concat();
    daemon.docker(&words);
    daemon.docker(&["rm", container.trim()]);
    let direct = |value: Option<&str>, arguments: &[&str]| CommandInfo {
        shell: Some(false),
        value: value.map(Into::into),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        ..CommandInfo::default()
    };
    for (id, command, said) in [
        ("i1", direct(None, &[]), "entry default\n"),
        ("i2", direct(Some("a"), &["b c"]), "entry a b c\n"),
        ("i3", direct(None, &["d"]), "entry d\n"),
        ("i4", command("echo shell $0"), "shell /bin/sh\n"),
    ] {
        let docker = DockerInfo { image: "entry:test".into(), ..DockerInfo::default() };
        finish(scheduler, id, command, docker).await;
        assert_eq!(stdout(cluster, id), said);
    }
}

/// An image is pulled when it is not there, and again only if that is wanted.
pub(super) async fn pulls(cluster: &Cluster, daemon: &Daemon, scheduler: &mut Scheduler) {
    let image = format!("{}/speaks:test", daemon.registry);
    let publish = |text: &str| {
        let container = daemon.docker(&["create", IMAGE]);
        let command = format!("CMD [\"/bin/echo\", \"{text}\"]");
        daemon.docker(&["commit", "-c", &command, container.trim(), &image]);
        daemon.docker(&["rm", container.trim()]);
        daemon.docker(&["push", "-q", &image]);
        daemon.docker(&["rmi", &image]);
    };
    let silent = || CommandInfo { shell: Some(false), ..CommandInfo::default() };
    let docker = |force: bool| DockerInfo {
        image: image.clone(),
        force_pull_image: Some(force),
        ..DockerInfo::default()
    };
    publish("first");
    finish(scheduler, "p1", silent(), docker(false)).await;
    assert_eq!(stdout(cluster, "p1"), "first\n");
    daemon.docker(&["tag", &image, "kept:test"]);
    publish("second");
    daemon.docker(&["tag", "kept:test", &image]);
    finish(scheduler, "p2", silent(), docker(false)).await;
    assert_eq!(stdout(cluster, "p2"), "first\n", "the one that is there will do");
    finish(scheduler, "p3", silent(), docker(true)).await;
    assert_eq!(stdout(cluster, "p3"), "second\n");
}

pub(super) async fn networks(cluster: &Cluster, daemon: &Daemon, scheduler: &mut Scheduler) {
    daemon.docker(&["network", "create", "own"]);
    let address = |text: &str| {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("inet "));
        let addresses = lines.filter_map(|line| line.split_whitespace().next());
        addresses.map(str::to_owned).collect::<Vec<_>>()
    };
    let text = command("readlink /proc/self/ns/net; ip addr");
    for (id, network) in [
        ("n1", None),
        ("n2", Some(Network::Host)),
        ("n3", Some(Network::None)),
        ("n4", Some(Network::Bridge)),
        ("n5", Some(Network::User)),
    ] {
        let docker = DockerInfo { network: network.map(Into::into), ..DockerInfo::default() };
        run(scheduler, |offer| {
            let mut task = in_image(id, offer, text.clone(), docker);
            if network == Some(Network::User) {
                let own = NetworkInfo { name: Some("own".into()), ..NetworkInfo::default() };
                task.container.as_mut().unwrap().network_infos = vec![own];
            }
            task
        })
        .await;
        assert_eq!(scheduler.states(3).await[2], TaskState::Finished, "{id}");
    }
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    for id in ["n1", "n2"] {
        assert_eq!(stdout(cluster, id).lines().next(), Some(ours.as_str()), "the machine's own");
    }
    assert_eq!(address(&stdout(cluster, "n3")), ["127.0.0.1/8"]);
    let (bridge, own) = (address(&stdout(cluster, "n4")), address(&stdout(cluster, "n5")));
    assert!(bridge.iter().any(|address| address.starts_with("10.213.")), "{bridge:?}");
    assert!(own.iter().any(|address| address.starts_with("10.214.")), "{own:?}");
}

/// One that does not heed SIGTERM is killed when its time is over.
pub(super) async fn stubborn_ones_are_killed(scheduler: &mut Scheduler) {
    let text = command("trap '' TERM; while :; do sleep 0.1; done");
    run(scheduler, |offer| in_image("s1", offer, text, DockerInfo::default())).await;
    scheduler.states(2).await;
    let asked = std::time::Instant::now();
    let grace = Duration::from_millis(500);
    scheduler.kill("s1", Some(grace)).await;
    let killed = scheduler.update().await;
    assert_eq!(killed.state(), TaskState::Killed);
    assert_eq!(killed.message(), "Container exited with status 137");
    assert!(asked.elapsed() >= grace, "{:?}", asked.elapsed());
}
