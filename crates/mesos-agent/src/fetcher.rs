//! The fetcher: brings a command's URIs into its sandbox, one after the other, and unpacks archives.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use http::header::LOCATION;
use http::{Request, Uri as HttpUri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use mesos_api::command_info::Uri;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::container::User;

/// Redirects followed for one URI.
const MAXIMUM_REDIRECTS: usize = 10;

/// Why something is not in the sandbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("'{uri}' names no file")]
    NoName { uri: String },
    #[error("the output file '{path}' must stay inside the sandbox")]
    Outside { path: String },
    #[error("cannot copy '{uri}': {source}")]
    Copy { uri: String, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: String, source: std::io::Error },
    #[error("cannot download '{uri}': {problem}")]
    Download { uri: String, problem: String },
    #[error("cannot unpack {path}: {problem}")]
    Unpack { path: String, problem: String },
}

/// Fetches all, or fails at the first that cannot be had.
pub(crate) async fn fetch_all(
    uris: &[Uri],
    sandbox: &Path,
    user: Option<User>,
) -> Result<(), FetchError> {
    for uri in uris {
        fetch(uri, sandbox).await?;
    }
    if let Some(user) = user.filter(|_| !uris.is_empty()) {
        hand_over(sandbox, user);
    }
    Ok(())
}

async fn fetch(uri: &Uri, sandbox: &Path) -> Result<(), FetchError> {
    let target = sandbox.join(target_name(uri)?);
    let write = |source| FetchError::Write { path: target.display().to_string(), source };
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(write)?;
    }
    bring(&uri.value, &target).await?;
    if uri.executable() {
        let mut permissions = std::fs::metadata(&target).map_err(write)?.permissions();
        permissions.set_mode(permissions.mode() | 0o111);
        std::fs::set_permissions(&target, permissions).map_err(write)?;
        return Ok(());
    }
    if uri.extract() {
        return unpack(&target, sandbox).await;
    }
    Ok(())
}

/// The last part of the path, or the output file, which must not leave the sandbox.
fn target_name(uri: &Uri) -> Result<PathBuf, FetchError> {
    if let Some(output) = uri.output_file.as_deref().filter(|output| !output.is_empty()) {
        let path = PathBuf::from(output);
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        return if inside {
            Ok(path)
        } else {
            Err(FetchError::Outside { path: output.to_owned() })
        };
    }
    let bare = uri.value.split(['?', '#']).next().unwrap_or_default();
    let name = bare.rsplit('/').next().unwrap_or_default();
    match name {
        "" | "." | ".." => Err(FetchError::NoName { uri: uri.value.clone() }),
        _ => Ok(PathBuf::from(name)),
    }
}

async fn bring(uri: &str, target: &Path) -> Result<(), FetchError> {
    match uri.split_once("://") {
        None => copy(uri, Path::new(uri), target).await,
        Some(("file", path)) => {
            // `file://host/path` may name this host.
            let path = path.strip_prefix("localhost").unwrap_or(path);
            copy(uri, Path::new(path), target).await
        }
        Some(("http", _)) => download(uri, target).await,
        Some(("https" | "ftp" | "ftps", _)) => {
            let arguments = ["-fsSL", "--retry", "2", "-o"];
            run(uri, "curl", &arguments, &[target.as_os_str(), uri.as_ref()]).await
        }
        Some(_) => {
            let arguments = ["fs", "-copyToLocal"];
            run(uri, "hadoop", &arguments, &[uri.as_ref(), target.as_os_str()]).await
        }
    }
}

async fn copy(uri: &str, source: &Path, target: &Path) -> Result<(), FetchError> {
    let told = |source| FetchError::Copy { uri: uri.to_owned(), source };
    if !source.is_absolute() {
        let problem =
            std::io::Error::other("relative paths need a frameworks_home; use an absolute one");
        return Err(told(problem));
    }
    tokio::fs::copy(source, target).await.map(drop).map_err(told)
}

async fn run(
    uri: &str,
    program: &str,
    arguments: &[&str],
    last: &[&std::ffi::OsStr],
) -> Result<(), FetchError> {
    let told = |problem| FetchError::Download { uri: uri.to_owned(), problem };
    let output = Command::new(program).args(arguments).args(last).kill_on_drop(true).output().await;
    let output = output.map_err(|error| told(format!("'{program}' cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(told(format!("{program}: {}", said.trim().lines().last().unwrap_or("failed"))))
}

async fn download(uri: &str, target: &Path) -> Result<(), FetchError> {
    let told = |problem: String| FetchError::Download { uri: uri.to_owned(), problem };
    let mut body = request(uri).await.map_err(told)?;
    let write = |source| FetchError::Write { path: target.display().to_string(), source };
    let mut file = tokio::fs::File::create(target).await.map_err(write)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| told(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            file.write_all(&data).await.map_err(write)?;
        }
    }
    file.flush().await.map_err(write)
}

async fn request(uri: &str) -> Result<Incoming, String> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut place: HttpUri = uri.parse().map_err(|_| "it is no valid address".to_owned())?;
    for _ in 0..MAXIMUM_REDIRECTS {
        let request = Request::get(place.clone()).body(Empty::new()).map_err(|e| e.to_string())?;
        let answer = client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            cause.unwrap_or_else(|| error.to_string())
        })?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        let location = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection());
        let location = location.and_then(|location| location.to_str().ok());
        let Some(location) = location else {
            return Err(format!("the server answered {}", answer.status()));
        };
        let base = url::Url::parse(&place.to_string()).map_err(|error| error.to_string())?;
        let next = base.join(location).map_err(|error| error.to_string())?;
        if next.scheme() != "http" {
            return Err(format!("it redirects to '{next}', which is not http"));
        }
        place = next.as_str().parse().map_err(|_| "it redirects to nowhere".to_owned())?;
    }
    Err("it redirects too often".to_owned())
}

/// Unpacks by the name's ending; other files stay as they are.
async fn unpack(archive: &Path, sandbox: &Path) -> Result<(), FetchError> {
    let name = archive.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let told =
        |problem: String| FetchError::Unpack { path: archive.display().to_string(), problem };
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let (from, to) = (archive.to_owned(), sandbox.to_owned());
    if ends(&[".tar.gz", ".tgz"]) {
        let unpacking = tokio::task::spawn_blocking(move || {
            File::open(from).and_then(|file| unpack_tar(flate2::read::GzDecoder::new(file), &to))
        });
        unpacking.await.map_err(|error| told(error.to_string()))?.map_err(|e| told(e.to_string()))
    } else if ends(&[".tar"]) {
        let unpacking = tokio::task::spawn_blocking(move || {
            File::open(from).and_then(|file| unpack_tar(file, &to))
        });
        unpacking.await.map_err(|error| told(error.to_string()))?.map_err(|e| told(e.to_string()))
    } else if ends(&[".tar.bz2", ".tbz2", ".tar.xz", ".txz"]) {
        let last = ["-C".as_ref(), sandbox.as_os_str(), "-xf".as_ref(), archive.as_os_str()];
        run(&archive.display().to_string(), "tar", &[], &last).await
    } else if ends(&[".zip"]) {
        let last = [archive.as_os_str(), "-d".as_ref(), sandbox.as_os_str()];
        run(&archive.display().to_string(), "unzip", &["-o", "-q"], &last).await
    } else if ends(&[".gz"]) {
        let target = archive.with_extension("");
        let unpacking = tokio::task::spawn_blocking(move || {
            let mut input = flate2::read::GzDecoder::new(File::open(from)?);
            std::io::copy(&mut input, &mut File::create(target)?).map(drop)
        });
        unpacking.await.map_err(|error| told(error.to_string()))?.map_err(|e| told(e.to_string()))
    } else {
        Ok(())
    }
}

/// Entries that would land outside, also through links, are refused by the tar crate.
fn unpack_tar(input: impl std::io::Read, to: &Path) -> std::io::Result<()> {
    let mut archive = tar::Archive::new(input);
    archive.set_preserve_permissions(true);
    archive.set_overwrite(true);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if !entry.unpack_in(to)? {
            let problem = format!("entry '{}' lies outside", path.display());
            return Err(std::io::Error::other(problem));
        }
    }
    Ok(())
}

/// Gives all in the sandbox to its user; what cannot be given is of no use to him anyway.
fn hand_over(path: &Path, user: User) {
    let _ = std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid));
    let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    if is_folder {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            hand_over(&entry.path(), user);
        }
    }
}

#[cfg(test)]
mod tests;
