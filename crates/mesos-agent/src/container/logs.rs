//! Rotation of what containers write to standard output and error. Their processes have the files
//! open, so the oldest part is copied to `stdout.1` and cut off the front, which moves no later byte;
//! where the file system cannot do that, the file is emptied instead.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FallocateFlags, OFlag, fallocate};

/// How often sizes are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// When files are rotated, and how many old parts are kept of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    /// Bytes of `stdout`; 0 rotates never.
    pub(crate) stdout_bytes: u64,
    /// Bytes of `stderr`; 0 rotates never.
    pub(crate) stderr_bytes: u64,
    /// Old parts kept.
    pub(crate) parts: usize,
}

impl Rotation {
    /// How often [`Self::apply`] wants to be called.
    pub(crate) fn interval(self) -> Duration {
        INTERVAL
    }

    /// Rotates the files of a sandbox that are too large.
    pub(crate) async fn apply(self, sandbox: &Path) {
        for (name, bytes) in [("stdout", self.stdout_bytes), ("stderr", self.stderr_bytes)] {
            let path = sandbox.join(name);
            let large = fs::symlink_metadata(&path).is_ok_and(|found| found.len() > bytes);
            if bytes == 0 || !large {
                continue;
            }
            let shown = path.display().to_string();
            let turned = tokio::task::spawn_blocking(move || rotate(&path, self.parts)).await;
            if let Ok(Err(error)) = turned {
                tracing::warn!(file = %shown, %error, "cannot rotate");
            }
        }
    }
}

/// `stdout.1` is the newest old part.
fn part(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn rotate(path: &Path, parts: usize) -> io::Result<()> {
    // The sandbox is its user's, who may have put a link here.
    let nofollow = OFlag::O_NOFOLLOW.bits();
    let file = File::options().read(true).write(true).custom_flags(nofollow).open(path)?;
    let metadata = file.metadata()?;
    let block = metadata.blksize().max(1);
    let whole = metadata.len() / block * block;
    if parts > 0 {
        for number in (1..parts).rev() {
            let _ = fs::rename(part(path, number), part(path, number + 1));
        }
        let newest = part(path, 1);
        let _ = fs::remove_file(&newest);
        let mut copy = File::options().write(true).create_new(true).open(&newest)?;
        let _ = std::os::unix::fs::fchown(&copy, Some(metadata.uid()), Some(metadata.gid()));
        io::copy(&mut (&file).take(whole), &mut copy)?;
    }
    let offset = i64::try_from(whole).map_err(io::Error::other)?;
    match fallocate(&file, FallocateFlags::FALLOC_FL_COLLAPSE_RANGE, 0, offset) {
        Ok(()) => Ok(()),
        // A range that is the whole file is cut off, as is any where ranges cannot be.
        Err(_) => file.set_len(0),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_front_moves_to_a_part_and_writers_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout");
        let mut writer = File::options().create(true).append(true).open(&path).unwrap();
        for round in 0..3_u8 {
            writer.write_all(&vec![b'a' + round; 16_384]).unwrap();
            rotate(&path, 2).unwrap();
        }
        writer.write_all(b"the end").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"the end");
        assert_eq!(fs::read(part(&path, 1)).unwrap(), vec![b'c'; 16_384]);
        assert_eq!(fs::read(part(&path, 2)).unwrap(), vec![b'b'; 16_384]);
        assert!(!part(&path, 3).exists(), "no more than two parts");
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let path = folder.path().join("stdout");
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        rotate(&path, 1).unwrap_err();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }
}
