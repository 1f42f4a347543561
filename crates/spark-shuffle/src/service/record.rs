//! What is written down of an application: by an executor into its directories, to prove that they
//! are the application's; by the service into its own, to know it again after a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::secret::{Secret, same};

/// The record in an application's directory.
const MANIFEST_FILE: &str = ".application";

const HEAD: &str = "ferrospark shuffle application 1";

/// Largest record read; thousands of directories fit.
const RECORD_LIMIT: u64 = 4 * 1024 * 1024;

/// An application, as the service knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) application: String,
    pub(crate) secret: Secret,
    pub(crate) failover_timeout: Duration,
    pub(crate) directories: Vec<PathBuf>,
}

impl Record {
    fn encode(&self) -> String {
        let mut text = format!(
            "{HEAD}\napplication {}\nsecret {}\nfailover_timeout_ms {}\n",
            hex(self.application.as_bytes()),
            hex(self.secret.bytes()),
            self.failover_timeout.as_millis()
        );
        for directory in &self.directories {
            text.push_str(&format!("directory {}\n", hex(directory.as_os_str().as_bytes())));
        }
        let checksum = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("checksum {checksum:08x}\n"));
        text
    }

    fn decode(text: &str) -> Option<Self> {
        let body = text.strip_suffix('\n')?;
        let at = body.rfind('\n')? + 1;
        let checksum = u32::from_str_radix(body[at..].strip_prefix("checksum ")?, 16).ok()?;
        if crc32fast::hash(&text.as_bytes()[..at]) != checksum {
            return None;
        }
        let mut lines = body[..at].lines();
        if lines.next() != Some(HEAD) {
            return None;
        }
        let mut field = |name: &str| {
            let value = lines.next()?.strip_prefix(name)?.strip_prefix(' ')?;
            Some(value.to_owned())
        };
        let application = String::from_utf8(unhex(&field("application")?)?).ok()?;
        let secret = Secret::new(unhex(&field("secret")?)?);
        let failover_timeout = Duration::from_millis(field("failover_timeout_ms")?.parse().ok()?);
        let directories = lines
            .map(|line| {
                let bytes = unhex(line.strip_prefix("directory ")?)?;
                Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self { application, secret, failover_timeout, directories })
    }

    /// Writes it as a whole or not at all, readable for nobody else.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("writing");
        let _ = fs::remove_file(&temporary);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(self.encode().as_bytes())?;
        file.sync_data()?;
        fs::rename(&temporary, path)
    }

    /// Reads a record.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        Self::read_from(File::open(path)?)
    }

    fn read_from(file: File) -> io::Result<Self> {
        let mut text = String::new();
        file.take(RECORD_LIMIT).read_to_string(&mut text)?;
        let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "not an application record");
        Self::decode(&text).ok_or_else(unreadable)
    }

    /// Writes the record into one of the application's own directories.
    pub(crate) fn put_into(&self, directory: &Path) -> io::Result<()> {
        self.write(&directory.join(MANIFEST_FILE))
    }

    /// Whether a directory named by a stranger is one of this application's: a directory and not a
    /// link, of the right name, whose owner wrote the application's secret into it.
    pub(crate) fn owns(&self, directory: &Path) -> Result<(), String> {
        let theirs = Self::in_directory(directory)?;
        let secret = same(theirs.secret.bytes(), self.secret.bytes());
        if theirs.application != self.application || !secret {
            return Err(format!("{} belongs to another application", directory.display()));
        }
        Ok(())
    }

    /// The record in a directory named by a stranger.
    pub(crate) fn in_directory(directory: &Path) -> Result<Self, String> {
        let shown = directory.display();
        let plain = directory.is_absolute()
            && directory.components().all(|part| part != std::path::Component::ParentDir);
        let name = directory.file_name().map(|name| name.to_string_lossy().into_owned());
        if !plain || !name.is_some_and(|name| name.starts_with("spark-")) {
            return Err(format!("{shown} is not the name of an application's directory"));
        }
        let metadata = fs::symlink_metadata(directory)
            .map_err(|error| format!("{shown} cannot be seen by the shuffle service: {error}"))?;
        if !metadata.is_dir() {
            return Err(format!("{shown} is not a directory"));
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(directory.join(MANIFEST_FILE))
            .map_err(|error| format!("the record in {shown} cannot be read: {error}"))?;
        let owner = file.metadata().map(|m| m.uid()).ok();
        if owner != Some(metadata.uid()) {
            return Err(format!("the record in {shown} is not of the directory's owner"));
        }
        Self::read_from(file)
            .map_err(|error| format!("the record in {shown} cannot be read: {error}"))
    }

    /// The file name of the service's own record of an application.
    pub(crate) fn file_name(application: &str) -> String {
        format!("{}.application", hex(&Sha256::digest(application.as_bytes())[..16]))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_survives_its_file(
            application in "[^\0]{0,40}", secret in prop::collection::vec(any::<u8>(), 0..64),
            millis in any::<u32>(), directories in prop::collection::vec("/[^\0]{0,30}", 0..5),
        ) {
            let record = Record {
                application,
                secret: Secret::new(secret),
                failover_timeout: Duration::from_millis(millis.into()),
                directories: directories.into_iter().map(PathBuf::from).collect(),
            };
            let text = record.encode();
            prop_assert_eq!(Record::decode(&text), Some(record));
            for at in 0..text.len() {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= 1;
                let changed = String::from_utf8_lossy(&changed).into_owned();
                prop_assert_eq!(Record::decode(&changed), None);
            }
        }
    }
}
