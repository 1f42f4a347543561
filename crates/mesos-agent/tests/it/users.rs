//! Whom tasks run as. Needs root, and the user `nobody`, whom every Linux has.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use mesos_agent::AgentOptions;
use mesos_api::task_status::Reason;
use mesos_api::{CommandInfo, FrameworkInfo, TaskState};

use crate::client::{Scheduler, command, framework, task};
use crate::cluster::{Cluster, skip};
use crate::fetch::{archive, run_command, uri};
use crate::recovery::checkpointing;

const NOBODY: u32 = 65_534;

/// Whether tasks can be run as others; says so if not, and fails where all is required.
fn may_switch() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip("only root may run tasks as others");
    }
    root
}

async fn cluster(switch_user: bool) -> Cluster {
    let mut cluster = Cluster::start(0).await;
    // The folders above sandboxes are the operator's affair.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(cluster.folder.path(), open).unwrap();
    let options = AgentOptions { switch_user, ..cluster.agent_options() };
    cluster.add_agent_with(options).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_as_the_user_of_their_framework_or_their_own() {
    if !may_switch() {
        return;
    }
    let cluster = cluster(true).await;
    let fetched = cluster.folder.path().join("a.tgz");
    std::fs::write(&fetched, archive("in", b"x")).unwrap();
    // With and without a shim.
    for (suffix, info) in [("1", framework()), ("2", checkpointing())] {
        let info = FrameworkInfo { user: "nobody".into(), ..info };
        let mut scheduler = Scheduler::subscribe(&cluster.address, info).await;
        let text = "id -u; id -g; id -G; echo y >> in && touch made && cat in";
        let id = format!("nobody-{suffix}");
        let uris = vec![uri(fetched.display().to_string())];
        let own = CommandInfo { uris, ..command(text) };
        let end = run_command(&mut scheduler, &id, own).await;
        let sandbox = cluster.sandbox(&id);
        let stdout = std::fs::read_to_string(sandbox.join("stdout")).unwrap();
        assert_eq!(end.state(), TaskState::Finished, "{}: {stdout}", end.message());
        assert_eq!(stdout, "65534\n65534\n65534\nxy\n");
        for name in ["", "stdout", "stderr", "in", "made"] {
            assert_eq!(sandbox.join(name).metadata().unwrap().uid(), NOBODY, "{name}");
        }
        // What the command says is stronger; root is in no groups but its own.
        let id = format!("root-{suffix}");
        let own = CommandInfo { user: Some("root".into()), ..command("id -u") };
        assert_eq!(run_command(&mut scheduler, &id, own).await.state(), TaskState::Finished);
        assert_eq!(std::fs::read_to_string(cluster.sandbox(&id).join("stdout")).unwrap(), "0\n");
        // A user with more groups than one has them all.
        if let Some((name, groups)) = somebody_with_groups() {
            let id = format!("grouped-{suffix}");
            let own = CommandInfo { user: Some(name), ..command("id -G") };
            assert_eq!(run_command(&mut scheduler, &id, own).await.state(), TaskState::Finished);
            let stdout = std::fs::read_to_string(cluster.sandbox(&id).join("stdout")).unwrap();
            assert_eq!(stdout, groups);
        }
        let id = format!("stranger-{suffix}");
        let own = CommandInfo { user: Some("no-such-user".into()), ..command("true") };
        let refused = run_command(&mut scheduler, &id, own).await;
        assert_eq!(refused.reason(), Reason::ContainerLaunchFailed);
        assert!(refused.message().contains("there is no user 'no-such-user'"));
        assert_eq!(scheduler.call(mesos_api::scheduler::call::Type::Teardown, |_| {}).await, 202);
    }
    cluster.stop().await;
}

/// A user of this machine, not root, who is in several groups, with what `id -G` says of him.
fn somebody_with_groups() -> Option<(String, String)> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let members = groups.lines().filter_map(|line| line.rsplit(':').next());
    let mut names = members.flat_map(|all| all.split(',')).filter(|name| !name.is_empty());
    names.find_map(|name| {
        let output = std::process::Command::new("id").args(["-G", name]).output().ok()?;
        let told = String::from_utf8(output.stdout).ok()?;
        let several = name != "root" && told.split_whitespace().count() > 1;
        several.then(|| (name.to_owned(), told))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_as_the_agent_if_it_may_not_switch() {
    if !may_switch() {
        return;
    }
    let cluster = cluster(false).await;
    let info = FrameworkInfo { user: "nobody".into(), ..framework() };
    let mut scheduler = Scheduler::subscribe(&cluster.address, info).await;
    let offer = scheduler.offer().await;
    let text = command("id -u");
    scheduler.launch(&offer, vec![task("t1", &offer, "cpus:1;mem:64", text)]).await;
    assert_eq!(scheduler.states(3).await[2], TaskState::Finished);
    let stdout = std::fs::read_to_string(cluster.sandbox("t1").join("stdout")).unwrap();
    assert_eq!(stdout, "0\n");
    cluster.stop().await;
}
