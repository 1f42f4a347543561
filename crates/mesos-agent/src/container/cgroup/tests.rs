//! What is written where, in folders that only look like the kernel's.

use super::*;

fn shown(folders: &Folders, limits: &Limits, cfs: bool) -> Vec<String> {
    let line = |s: &Setting| format!("{} = {}", s.file.display(), s.value);
    settings(folders, limits, cfs).iter().map(line).collect()
}

fn limits(cpus: f64, cpus_limit: Option<f64>, memory: Option<u64>) -> Limits {
    Limits { cpus, cpus_limit, memory, memory_limit: memory }
}

#[test]
fn limits_become_files_of_version_1() {
    let one = Folders::One { cpu: Some("/c".into()), memory: Some("/m".into()) };
    assert_eq!(
        shown(&one, &limits(0.5, None, Some(64 << 20)), false),
        [
            "/c/cpu.shares = 512",
            "/m/memory.limit_in_bytes = 67108864",
            "/m/memory.soft_limit_in_bytes = 67108864"
        ]
    );
    assert_eq!(
        shown(&one, &limits(0.001, None, None), true),
        ["/c/cpu.shares = 2", "/c/cpu.cfs_period_us = 100000", "/c/cpu.cfs_quota_us = 1000"]
    );
    let no_bound = limits(1.0, Some(f64::INFINITY), None);
    assert_eq!(shown(&one, &no_bound, true), ["/c/cpu.shares = 1024"]);
    let memory_only = Folders::One { cpu: None, memory: Some("/m".into()) };
    assert_eq!(shown(&memory_only, &limits(1.0, None, None), true), [""; 0]);
}

#[test]
fn limits_become_files_of_version_2() {
    let two = Folders::Two("/g".into());
    assert_eq!(
        shown(&two, &limits(1.0, Some(1.5), Some(32 << 20)), false),
        [
            "/g/cpu.weight = 40",
            "/g/cpu.max = 150000 100000",
            "/g/memory.max = 33554432",
            "/g/memory.oom.group = 1",
            "/g/memory.low = 33554432"
        ]
    );
}

#[test]
fn controllers_are_found_where_they_are() {
    let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                  cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                  cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n\
                  cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                  cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
    let expected = Folders::One {
        cpu: Some("/sys/fs/cgroup/cpu,cpuacct".into()),
        memory: Some("/sys/fs/cgroup/memory".into()),
    };
    assert_eq!(mounted(hybrid), Ok(expected));
    assert_eq!(mounted("tmpfs / tmpfs rw 0 0").unwrap_err(), "no cgroup file system is mounted");
}

/// Version 2 cannot be had on every machine that runs the tests; its files can.
#[test]
fn controllers_of_version_2_are_handed_down_to_the_containers() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display().to_string();
    let mounts = format!("cgroup2 {place} cgroup2 rw 0 0");
    let refused = Cgroups::prepare(&mounts, "mesos", "a", false).unwrap_err();
    assert!(refused.contains("no controllers"), "{refused}");
    fs::write(folder.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
    let refused = Cgroups::prepare(&mounts, "mesos", "a", false).unwrap_err();
    assert!(refused.contains("no group of the kernel"), "{refused}");
    fs::write(folder.path().join("mesos/a/cgroup.procs"), "").unwrap();
    let groups = Cgroups::prepare(&mounts, "mesos", "a", false).unwrap();
    for handed_down in ["", "mesos", "mesos/a"] {
        let file = folder.path().join(handed_down).join("cgroup.subtree_control");
        assert_eq!(fs::read_to_string(file).unwrap(), "+cpu +memory");
    }
    let group = groups.make("c1", &limits(1.0, None, Some(64 << 20))).unwrap();
    assert_eq!(groups.names(), ["c1"]);
    let file = |name: &str| fs::read_to_string(folder.path().join("mesos/a/c1").join(name));
    assert_eq!(file("memory.max").unwrap(), "67108864");
    group.limit(&limits(2.0, None, Some(32 << 20))).unwrap();
    assert_eq!(file("memory.max").unwrap(), "67108864", "never less");
    assert_eq!(file("memory.low").unwrap(), "33554432");
    group.limit(&limits(2.0, None, Some(128 << 20))).unwrap();
    assert_eq!(file("memory.max").unwrap(), "134217728");
    fs::write(folder.path().join("mesos/a/c1/memory.events"), "oom 2\noom_kill 1\n").unwrap();
    assert_eq!(group.memory_kills(), 1);
}

/// An agent that was killed could not remove its folders, and may never come back to do so.
#[test]
fn folders_of_agents_that_are_gone_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let root = Folders::One {
        cpu: Some(folder.path().join("cpu/mesos")),
        memory: Some(folder.path().join("memory/mesos")),
    };
    let (dead, half, lives, kept, own) = (
        "00000000000000a1",
        "00000000000000a2",
        "00000000000000a3",
        "00000000000000a4",
        "00000000000000a5",
    );
    let foreign = "2f6b8e50-5a5c-4b0e-9a3e-5a2c39f5a001";
    for name in [dead, lives, kept, own, foreign] {
        root.join(name).join(SHIMS).make().unwrap();
    }
    root.join(dead).join("c1").make().unwrap();
    fs::create_dir_all(folder.path().join("cpu/mesos").join(half)).unwrap();
    // Stands for a group in which something runs, which the kernel does not let go.
    fs::write(folder.path().join("memory/mesos").join(kept).join("alive"), "").unwrap();
    let other = root.join(lives);
    let claim = lock(other.all().first().copied(), FlockArg::LockSharedNonblock);
    assert!(claim.is_some());
    sweep(&root, own);
    assert_eq!(names_in(&root), [lives, kept, own, foreign]);
    assert_eq!(root.join(lives).join(SHIMS).all().iter().filter(|f| f.exists()).count(), 2);
    drop(claim);
    sweep(&root, own);
    assert_eq!(names_in(&root), [kept, own, foreign]);
}
