//! Files of the master: its log, under `/master/log`, if `--log_dir` names a folder for it.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use http::{Response, StatusCode};
use mesos_api::{FileInfo, TimeInfo};

use super::{Body, Server, text};

/// Most bytes of one answer: sixteen pages, as in Mesos.
const MAXIMUM_READ_BYTES: u64 = 16 * 4096;

/// Where the log is.
pub(super) const LOG_PATH: &str = "/master/log";

/// Name of the log in its folder.
pub(crate) const LOG_FILE: &str = "mesos-master.log";

fn log_file(path: &str, server: &Server) -> Result<PathBuf, Response<Body>> {
    let known = path.trim_end_matches('/') == LOG_PATH;
    let folder = server.options.log_dir.as_ref().filter(|_| known);
    folder.map(|folder| folder.join(LOG_FILE)).ok_or_else(|| {
        text(StatusCode::NOT_FOUND, "File not found: the master has /master/log, given --log_dir")
    })
}

fn failed(error: &std::io::Error) -> Response<Body> {
    match error.kind() {
        std::io::ErrorKind::NotFound => text(StatusCode::NOT_FOUND, "File not found"),
        _ => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot read the log: {error}")),
    }
}

/// What is under a path.
pub(super) fn list(path: &str, server: &Server) -> Result<Vec<FileInfo>, Response<Body>> {
    let file = log_file(path, server)?;
    let metadata = std::fs::metadata(&file).map_err(|error| failed(&error))?;
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(vec![FileInfo {
        path: LOG_PATH.to_owned(),
        nlink: i32::try_from(metadata.nlink()).ok(),
        size: Some(metadata.len()),
        mtime: changed.map(|time| TimeInfo {
            nanoseconds: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX),
        }),
        mode: Some(metadata.mode()),
        uid: Some(metadata.uid().to_string()),
        gid: Some(metadata.gid().to_string()),
    }])
}

/// The file's size, and a part of it.
pub(super) fn read(
    path: &str,
    offset: u64,
    length: Option<u64>,
    server: &Server,
) -> Result<(u64, Vec<u8>), Response<Body>> {
    let path = log_file(path, server)?;
    let mut file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let size = file.metadata().map_err(|error| failed(&error))?.len();
    file.seek(SeekFrom::Start(offset.min(size))).map_err(|error| failed(&error))?;
    let length = length.unwrap_or(MAXIMUM_READ_BYTES).min(MAXIMUM_READ_BYTES);
    let mut data = Vec::new();
    file.take(length).read_to_end(&mut data).map_err(|error| failed(&error))?;
    Ok((size, data))
}
