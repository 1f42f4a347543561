//! Files of sandboxes, and nothing else of the machine.

use std::convert::Infallible;
use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use mesos_api::AgentInfo;
use serde_json::{Value, json as document};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_stream::StreamExt as _;
use tokio_util::io::ReaderStream;

use super::{Body, Server, json, text};
use crate::service::Input;

/// Most bytes of one answer of `/files/read`.
const MAXIMUM_READ: u64 = 16 * 4096;

/// Bytes of a download held at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Virtual path of the agent's log.
const LOG: &str = "/slave/log";

struct Query<'a>(&'a str);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.0.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// `path`, `offset`, `length` give `{data, offset}`; offset -1 asks for the size only.
pub(super) async fn read(query: &str, server: &Arc<Server>) -> Response<Body> {
    let query = Query(query);
    let path = match resolve(&query, server).await {
        Ok(path) => path,
        Err(answer) => return answer,
    };
    let number = |name: &str| query.get(name).filter(|text| !text.is_empty()).map(|t| t.parse());
    let (offset, length) = match (number("offset"), number("length")) {
        (None, None) => (-1, -1),
        (offset, length) => match (offset.unwrap_or(Ok(-1)), length.unwrap_or(Ok(-1))) {
            (Ok(offset), Ok(length)) => (offset, length),
            _ => return text(StatusCode::BAD_REQUEST, "Failed to parse offset or length"),
        },
    };
    let read = match open(path).await {
        Ok(file) => part(file, offset, length).await,
        Err(error) => Err(error),
    };
    match read {
        Ok(value) => json(&value),
        Err(error) => not_readable(&error),
    }
}

async fn part(file: std::fs::File, offset: i64, length: i64) -> std::io::Result<Value> {
    let size = file.metadata()?.len();
    let Ok(offset) = u64::try_from(offset) else {
        return Ok(document!({ "data": "", "offset": size }));
    };
    if offset >= size {
        // Nothing yet; file systems refuse to look far beyond the end.
        return Ok(document!({ "data": "", "offset": offset }));
    }
    let wanted = u64::try_from(length).unwrap_or(MAXIMUM_READ).min(MAXIMUM_READ);
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(offset)).await?;
    let mut data = Vec::new();
    file.take(wanted).read_to_end(&mut data).await?;
    Ok(document!({ "data": String::from_utf8_lossy(&data), "offset": offset }))
}

/// A folder's entries.
pub(super) async fn browse(query: &str, server: &Arc<Server>) -> Response<Body> {
    let query = Query(query);
    let path = match resolve(&query, server).await {
        Ok(path) => path,
        Err(answer) => return answer,
    };
    let shown = query.get("path").unwrap_or_default();
    let shown = shown.trim_end_matches('/').to_owned();
    let listing = tokio::task::spawn_blocking(move || entries(&path, &shown)).await;
    match listing {
        Ok(Ok(entries)) => json(&Value::Array(entries)),
        Ok(Err(error)) => not_readable(&error),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "cannot list the folder"),
    }
}

fn entries(folder: &Path, shown: &str) -> std::io::Result<Vec<Value>> {
    let mut found: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    found.sort_by_key(std::fs::DirEntry::file_name);
    Ok(found
        .iter()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some(document!({
                "path": format!("{shown}/{}", entry.file_name().to_string_lossy()),
                "mode": mode(&metadata),
                "nlink": metadata.nlink(),
                "size": metadata.size(),
                "mtime": metadata.mtime(),
                "uid": name_of_user(metadata.uid()),
                "gid": name_of_group(metadata.gid()),
            }))
        })
        .collect())
}

fn mode(metadata: &std::fs::Metadata) -> String {
    let kind = if metadata.is_dir() {
        'd'
    } else if metadata.is_symlink() {
        'l'
    } else {
        '-'
    };
    let bits = metadata.mode();
    let letters = "rwxrwxrwx".chars().enumerate();
    let rights = letters.map(|(at, c)| if bits & (0o400 >> at) == 0 { '-' } else { c });
    std::iter::once(kind).chain(rights).collect()
}

fn name_of_user(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

fn name_of_group(gid: u32) -> String {
    let group = nix::unistd::Group::from_gid(gid.into()).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

/// A whole file, piece by piece: a slow reader holds no more than one of them.
pub(super) async fn download(query: &str, server: &Arc<Server>) -> Response<Body> {
    let path = match resolve(&Query(query), server).await {
        Ok(path) => path,
        Err(answer) => return answer,
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file").to_owned();
    let opened = match open(path).await {
        Ok(file) => file.metadata().map(|metadata| (file, metadata.len())),
        Err(error) => Err(error),
    };
    let (file, length) = match opened {
        Ok(opened) => opened,
        Err(error) => return not_readable(&error),
    };
    // A file that grows meanwhile is cut off where it ended.
    let file = tokio::fs::File::from_std(file).take(length);
    let pieces = ReaderStream::with_capacity(file, PIECE_BYTES)
        // One that cannot be read on is too short, which the length tells the reader.
        .map_while(Result::ok)
        .map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let mut answer = Response::new(StreamBody::new(pieces).boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename={name:?}")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    answer
}

/// Opens a regular file without waiting for whoever writes to a pipe. The path was without links when
/// it was resolved, but belongs to a task, which may have put one there since.
async fn open(path: PathBuf) -> std::io::Result<std::fs::File> {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = tokio::task::spawn_blocking(move || {
        let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
        let file = std::fs::File::options().read(true).custom_flags(flags.bits()).open(&path)?;
        let really = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if really != path {
            return Err(std::io::Error::other("it has just been moved"));
        }
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is no regular file"));
        }
        Ok(file)
    });
    opened.await.map_err(std::io::Error::other)?
}

fn not_readable(error: &std::io::Error) -> Response<Body> {
    text(StatusCode::NOT_FOUND, &format!("cannot be read: {error}"))
}

/// Where a virtual path leads; links are followed first, so that none leads outside.
async fn resolve(query: &Query<'_>, server: &Arc<Server>) -> Result<PathBuf, Response<Body>> {
    let Some(wanted) = query.get("path").filter(|path| !path.is_empty()) else {
        return Err(text(StatusCode::BAD_REQUEST, "Expecting 'path=value' in query."));
    };
    let not_found = || text(StatusCode::NOT_FOUND, "Not found");
    if wanted == LOG {
        let log = server.log_dir.as_ref().map(|folder| folder.join("mesos-agent.log"));
        return log.and_then(|log| log.canonicalize().ok()).ok_or_else(not_found);
    }
    let path = if wanted.starts_with("/frameworks/") {
        let snapshot = server.service.ask(Input::Snapshot).await.ok_or_else(not_found)?;
        agent_folder(&server.work_dir, &snapshot.info).join(wanted.trim_start_matches('/'))
    } else {
        PathBuf::from(&wanted)
    };
    let sandboxes = server.work_dir.join("slaves");
    let (path, sandboxes) = tokio::task::spawn_blocking(move || {
        (path.canonicalize().ok(), sandboxes.canonicalize().ok())
    })
    .await
    .map_err(|_| not_found())?;
    match (path, sandboxes) {
        (Some(path), Some(sandboxes)) if path.starts_with(&sandboxes) => Ok(path),
        _ => Err(not_found()),
    }
}

fn agent_folder(work_dir: &Path, info: &AgentInfo) -> PathBuf {
    work_dir.join("slaves").join(info.id.clone().unwrap_or_default().value)
}
