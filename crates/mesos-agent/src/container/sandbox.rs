//! Folders of containers.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::process::User;

/// Makes a sandbox with its `latest` link and hands it to the user who runs there.
pub(super) fn make(directory: &Path, user: Option<User>) -> Result<(), String> {
    let told = |what: &str, error: std::io::Error| {
        format!("cannot {what} the sandbox {}: {error}", directory.display())
    };
    std::fs::create_dir_all(directory).map_err(|error| told("make", error))?;
    if let Some(user) = user {
        std::os::unix::fs::chown(directory, Some(user.uid), Some(user.gid))
            .map_err(|error| told("hand over", error))?;
    }
    let latest = directory.with_file_name("latest");
    // A link that cannot be made costs a convenience, not the task.
    let _ = std::fs::remove_file(&latest);
    let _ = directory.file_name().map(|name| symlink(name, &latest));
    Ok(())
}

/// Notes in a sandbox when its container ended: its age counts from now on.
pub(super) fn leave(directory: &Path) {
    if let Ok(folder) = std::fs::File::open(directory) {
        // A folder that cannot be touched is cleaned up sooner.
        let _ = folder.set_modified(std::time::SystemTime::now());
    }
}
