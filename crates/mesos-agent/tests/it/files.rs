//! Files of sandboxes: read while they grow, never outside, and removed when the disk is full.

use std::path::Path;
use std::time::Duration;

use mesos_agent::AgentOptions;
use mesos_api::TaskState;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::client::{Scheduler, command, framework, get, json, task};
use crate::cluster::{Cluster, find, skip, wait_for};
use crate::fetch::run_command;

#[tokio::test(flavor = "multi_thread")]
async fn output_is_read_while_it_is_written() {
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    let text = "for i in $(seq 200); do echo line $i; [ $i = 100 ] && while [ ! -e go ]; do \
                sleep 0.01; done; done; echo end";
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", command(text))]).await;
    scheduler.states(2).await;
    let agent = cluster.agents[0].addr.to_string();
    let place = format!("/frameworks/{}/executors/t1/runs/latest/stdout", scheduler.id);
    let (mut seen, mut told) = (String::new(), false);
    let until = std::time::Instant::now() + crate::client::PATIENCE;
    while !seen.ends_with("end\n") {
        assert!(std::time::Instant::now() < until, "only {seen:?}");
        // Pieces that end in the middle of lines.
        let asked = format!("/files/read?path={place}&offset={}&length=37", seen.len());
        let part = json(&agent, &asked).await;
        assert_eq!(part["offset"], seen.len());
        seen.push_str(part["data"].as_str().unwrap());
        if !told && seen.ends_with("line 100\n") {
            told = true;
            // All that is written is read, and the end is not there yet.
            let size = json(&agent, &format!("/files/read?path={place}&offset=-1")).await;
            assert_eq!(size["offset"], seen.len());
            std::fs::write(cluster.sandbox("t1").join("go"), "").unwrap();
        }
    }
    assert_eq!(seen.lines().count(), 201);
    assert_eq!(scheduler.update().await.state(), TaskState::Finished);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_and_no_file_makes_wait() {
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    std::fs::write(cluster.folder.path().join("secret"), "secret").unwrap();
    let text = "ln -s / root; ln -s ../../../../../../../../../secret way; mkfifo pipe; \
                head -c 200000 /dev/zero > large";
    let end = run_command(&mut scheduler, "t1", command(text)).await;
    assert_eq!(end.state(), TaskState::Finished);
    let agent = cluster.agents[0].addr.to_string();
    let sandbox = cluster.sandbox("t1").canonicalize().unwrap().display().to_string();
    let frameworks = format!("/frameworks/{}", scheduler.id);
    let secret = cluster.folder.path().join("secret").display().to_string();
    for path in [
        "/etc/passwd",
        "etc/passwd",
        "//etc/passwd",
        &secret,
        &format!("{sandbox}/root/etc/passwd"),
        &format!("{sandbox}/way"),
        &format!("{sandbox}/../../../../../../../../../../../../etc/passwd"),
        &format!("{sandbox}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret"),
        &format!("{sandbox}/stdout%00/../../x"),
        &format!("{frameworks}/../../../../meta"),
        "/frameworks/../../../../../../etc/passwd",
        &format!("{sandbox}/pipe"),
        "/slave/log",
    ] {
        for question in ["read", "download", "browse"] {
            let asked = format!("/files/{question}?path={path}&offset=0");
            let (status, body) = get(&agent, &asked).await;
            assert_eq!(status, 404, "{asked}: {body}");
        }
    }
    assert_eq!(get(&agent, "/files/read").await.0, 400);
    let wrong = format!("/files/read?path={sandbox}/large&offset=0x10");
    assert_eq!(get(&agent, &wrong).await.0, 400);
    // However much is asked for, an answer is small.
    let all = format!("/files/read?path={sandbox}/large&offset=0&length=9000000000000000000");
    assert_eq!(json(&agent, &all).await["data"].as_str().unwrap().len(), 65_536);
    let beyond = format!("/files/read?path={sandbox}/large&offset=9000000000000000000&length=5");
    assert_eq!(json(&agent, &beyond).await["data"], "");
    let whole = get(&agent, &format!("/files/download?path={sandbox}/large")).await;
    assert_eq!((whole.0, whole.1.len()), (200, 200_000));
    cluster.stop().await;
}

/// A small file system of the test's own, which goes when this is dropped.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        std::fs::create_dir(folder).unwrap();
        let size = Some("size=32m");
        match mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), size) {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                skip(&format!("a disk cannot be mounted: {error}"));
                None
            }
        }
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

/// Young sandboxes go too if the disk is full; what is in use stays. Needs root.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_the_sandboxes_of_the_dead() {
    let mut cluster = Cluster::start(0).await;
    let work_dir = cluster.folder.path().join("small");
    let Some(_disk) = Disk::mount(&work_dir) else { return };
    let options = AgentOptions {
        work_dir: work_dir.clone(),
        disk_watch_interval: Duration::from_millis(50),
        ..cluster.agent_options()
    };
    cluster.add_agent_with(options).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let offer = scheduler.offer().await;
    let long = task("long", &offer, "cpus:1;mem:64", command("sleep 1000"));
    scheduler.launch(&offer, vec![long]).await;
    scheduler.states(2).await;
    let small = run_command(&mut scheduler, "small", command("head -c 1000000 /dev/zero > x"));
    assert_eq!(small.await.state(), TaskState::Finished);
    let large = run_command(
        &mut scheduler,
        "large",
        command("sleep 0.3; [ -e ../../../small ] && head -c 29500000 /dev/zero > x"),
    );
    assert_eq!(large.await.state(), TaskState::Finished, "a young one stays while there is room");
    for name in ["small", "large"] {
        let gone = || find(&work_dir, &format!("executors/{name}")).is_none().then_some(());
        wait_for("the end of a sandbox", gone).await;
    }
    assert!(cluster.sandbox("long").exists());
    cluster.stop().await;
}
