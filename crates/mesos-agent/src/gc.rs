//! Clean-up of sandboxes: those whose container ended long ago go, sooner if the disk is full.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::service::{Input, ServiceHandle};

/// What is kept how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GcSettings {
    /// Age at which a sandbox goes if the disk is empty.
    pub(crate) delay: Duration,
    /// Part of the disk to be kept free, for which sandboxes go at any age.
    pub(crate) headroom: f64,
    /// How often it is looked.
    pub(crate) interval: Duration,
}

impl GcSettings {
    /// The age at which sandboxes go when so much of the disk is in use, as in Mesos.
    pub(crate) fn allowed_age(&self, usage: f64) -> Duration {
        self.delay.mul_f64((1.0 - self.headroom - usage).clamp(0.0, 1.0))
    }
}

/// Looks again and again until cancelled.
pub(crate) async fn run(
    sandboxes: PathBuf,
    settings: GcSettings,
    service: ServiceHandle,
    stopping: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(settings.interval) => {}
        }
        let folder = sandboxes.clone();
        let usage = disk_usage(&folder);
        let age = settings.allowed_age(usage);
        // First what is there, then what is in use: a container that comes in between is in use.
        let Ok(found) = tokio::task::spawn_blocking(move || old_runs(&folder, age)).await else {
            continue;
        };
        if found.is_empty() {
            continue;
        }
        let Some(snapshot) = service.ask(Input::Snapshot).await else { return };
        let executors = snapshot.frameworks.iter().flat_map(|framework| &framework.executors);
        let in_use: BTreeSet<_> = executors.map(|view| view.directory.clone()).collect();
        let gone: Vec<_> = found.into_iter().filter(|path| !in_use.contains(path)).collect();
        if gone.is_empty() {
            continue;
        }
        tracing::info!(sandboxes = gone.len(), usage, "removing old sandboxes");
        let root = sandboxes.clone();
        let removing = tokio::task::spawn_blocking(move || {
            gone.iter().for_each(|path| remove(path, &root));
        });
        let _ = removing.await;
    }
}

/// The part of the disk that is in use.
fn disk_usage(folder: &Path) -> f64 {
    nix::sys::statvfs::statvfs(folder).map_or(0.0, |disk| {
        let total = disk.blocks().max(1) as f64;
        1.0 - disk.blocks_available() as f64 / total
    })
}

/// Sandboxes that were not touched for so long: `S/frameworks/F/executors/E/runs/C`.
fn old_runs(sandboxes: &Path, age: Duration) -> Vec<PathBuf> {
    let now = SystemTime::now();
    let below = |folders: Vec<PathBuf>, name: &str| -> Vec<PathBuf> {
        folders.iter().flat_map(|folder| children(&folder.join(name))).collect()
    };
    let agents = children(sandboxes);
    let runs = below(below(below(agents, "frameworks"), "executors"), "runs");
    let is_old = |path: &PathBuf| {
        let modified = path.metadata().and_then(|metadata| metadata.modified());
        let passed = modified.ok().and_then(|time| now.duration_since(time).ok());
        passed.is_some_and(|passed| passed >= age)
    };
    runs.into_iter().filter(is_old).collect()
}

/// Real folders in a folder.
fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// Removes a sandbox and what is empty above it.
fn remove(path: &Path, root: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        tracing::warn!(sandbox = %path.display(), %error, "cannot remove an old sandbox");
        return;
    }
    let Some(runs) = path.parent() else { return };
    let latest = runs.join("latest");
    if !latest.exists() {
        let _ = std::fs::remove_file(&latest);
    }
    for folder in runs.ancestors().take_while(|folder| *folder != root) {
        if std::fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_shortens_the_age() {
        let delay = Duration::from_secs(100);
        let settings = GcSettings { delay, headroom: 0.1, interval: Duration::from_secs(60) };
        assert_eq!(settings.allowed_age(0.0), Duration::from_secs(90));
        assert_eq!(settings.allowed_age(0.4), Duration::from_secs(50));
        assert_eq!(settings.allowed_age(0.95), Duration::ZERO);
    }

    #[test]
    fn old_sandboxes_go_with_all_that_is_empty_above() {
        let folder = tempfile::tempdir().unwrap();
        let run = |name: &str, age: u64| {
            let path = folder.path().join("S/frameworks/F/executors").join(name).join("runs/c");
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("stdout"), "x").unwrap();
            std::os::unix::fs::symlink("c", path.with_file_name("latest")).unwrap();
            let modified = SystemTime::now() - Duration::from_secs(age);
            std::fs::File::open(&path).unwrap().set_modified(modified).unwrap();
            path
        };
        let (old, young) = (run("old", 100), run("young", 1));
        let found = old_runs(folder.path(), Duration::from_secs(50));
        assert_eq!(found, std::slice::from_ref(&old));
        remove(&old, folder.path());
        assert!(!folder.path().join("S/frameworks/F/executors/old").exists());
        assert!(young.exists());
        remove(&young, folder.path());
        assert!(folder.path().exists() && !folder.path().join("S").exists());
    }
}
