//! An application's directory below a local directory: its name, its lock, who sweeps it.
//!
//! Everything lies in `<dir>/spark-<application>-<uuid>/`. The owner holds a lock on a file in it;
//! a directory whose lock is free belongs to a process that crashed, and the next store that starts
//! on the same local directory sweeps it away. One that a shuffle service serves is the service's
//! to sweep.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file in an application's directory on which its owner holds a lock.
const LOCK_FILE: &str = ".lock";

/// The file that says the directory is to outlive its owner: a shuffle service sweeps it.
pub(crate) const SERVED_FILE: &str = ".served";

/// Longest part of a directory's name taken from the application id; file names end at 255 bytes.
const APPLICATION_NAME_LIMIT: usize = 100;

/// Characters of a UUID.
const UUID_LENGTH: usize = 36;

/// A directory that has not got its name after this long never will: its process crashed between.
const UNNAMED_PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(crate) struct AppDirectory {
    pub(crate) path: PathBuf,
    /// Held as long as the directory is in use.
    _lock: File,
}

impl AppDirectory {
    pub(crate) fn create(parent: &Path, name: &str) -> io::Result<Self> {
        // It gets the name by which others sweep only once it is locked.
        let unnamed = parent.join(format!(".{name}"));
        fs::create_dir_all(&unnamed)?;
        restrict(&unnamed)?;
        let lock = File::create(unnamed.join(LOCK_FILE))?;
        lock.try_lock().map_err(io::Error::other)?;
        let path = parent.join(name);
        fs::rename(&unnamed, &path)?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn mark_served(&self) -> io::Result<()> {
        File::create(self.path.join(SERVED_FILE)).map(drop)
    }

    /// Takes back the files from the service's care.
    pub(crate) fn unmark_served(&self) {
        let _ = fs::remove_file(self.path.join(SERVED_FILE));
    }
}

/// Map output is the user's data: nobody else on the machine reads it.
fn restrict(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// The id reduced to what is safe in a file name.
fn safe_name(application: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    application.chars().take(APPLICATION_NAME_LIMIT).map(safe).collect()
}

/// `spark-<application>-<uuid>`.
pub(crate) fn directory_name(application: &str) -> String {
    format!("spark-{}-{}", safe_name(application), uuid::Uuid::new_v4())
}

/// Whether a directory of this name is one of the application's. Never for an id that is not
/// written out in names: another application's could look the same.
pub(crate) fn is_of(name: &str, application: &str) -> bool {
    let id = name.strip_prefix("spark-").and_then(|rest| rest.strip_prefix(application));
    let uuid = id.and_then(|rest| rest.strip_prefix('-'));
    safe_name(application) == application
        && uuid.is_some_and(|uuid| uuid.len() == UUID_LENGTH && uuid::Uuid::try_parse(uuid).is_ok())
}

/// The application's directories below a local directory that belong to the user of `own`.
pub(crate) fn siblings(parent: &Path, application: &str, own: &[PathBuf]) -> Vec<PathBuf> {
    let Some(user) = own.first().and_then(|own| fs::metadata(own).ok()).map(|m| m.uid()) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let wanted = is_of(&entry.file_name().to_string_lossy(), application)
            && !own.contains(&path)
            // Of the entry itself: a link is nobody's directory.
            && entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == user);
        if wanted {
            found.push(path);
        }
    }
    found
}

/// Removes the directories of processes that ended without removing them.
pub(crate) fn sweep_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if path.join(SERVED_FILE).exists() {
            continue;
        }
        let unnamed = name.starts_with(".spark-");
        if unnamed {
            let age = entry.metadata().and_then(|m| m.modified()).map(|at| at.elapsed());
            if !matches!(age, Ok(Ok(age)) if age > UNNAMED_PATIENCE) {
                continue;
            }
        } else if !name.starts_with("spark-") {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK_FILE)) else { continue };
        if lock.try_lock().is_ok() {
            match fs::remove_dir_all(&path) {
                Ok(()) => {
                    tracing::info!(directory = %path.display(), "stale local directory removed");
                }
                Err(error) => {
                    tracing::warn!(directory = %path.display(), %error, "stale local directory not removed");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_an_application_are_told_from_anothers() {
        assert!(is_of(&directory_name("app-1"), "app-1"));
        assert!(!is_of(&directory_name("app-1"), "app"));
        assert!(!is_of(&directory_name("app"), "app-1"));
        assert!(!is_of("spark-app-1-x", "app-1"));
        // Cut or changed, an id does not tell applications apart.
        let long = "x".repeat(200);
        assert!(!is_of(&directory_name(&long), &long));
        assert!(!is_of(&directory_name("a/b"), "a/b"));
    }
}
