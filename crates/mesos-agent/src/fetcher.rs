//! The fetcher: brings a command's URIs into its sandbox, one after the other, and unpacks archives.

mod cache;
mod checksum;
mod sources;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use mesos_api::command_info::Uri;

use crate::archive::{self, Kind, Refusal};
use crate::container::User;
use cache::{Cache, Cached};
pub(crate) use sources::SourceSettings;
use sources::Sources;

/// Why something is not in the sandbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("'{uri}' names no file")]
    NoName { uri: String },
    #[error("the output file '{path}' must stay inside the sandbox")]
    Outside { path: String },
    #[error("cannot fetch '{uri}': {problem}")]
    Bring { uri: String, problem: String },
    #[error("cannot write {path}: {source}")]
    Write { path: String, source: std::io::Error },
    #[error("cannot unpack {path}: {source}")]
    Unpack { path: String, source: Refusal },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Fetcher {
    sources: Sources,
    cache: Option<Cache>,
}

impl Fetcher {
    /// A fetcher; with a folder and so many bytes for what is fetched with `cache` set.
    pub(crate) fn new(
        settings: SourceSettings,
        cache: Option<(&Path, u64)>,
    ) -> std::io::Result<Self> {
        let cache = cache.map(|(folder, bytes)| Cache::open(folder, bytes)).transpose()?;
        Ok(Self { sources: Sources::new(settings), cache })
    }

    /// Fetches all, or fails at the first that cannot be had.
    pub(crate) async fn fetch_all(
        &self,
        uris: &[Uri],
        sandbox: &Path,
        user: Option<User>,
    ) -> Result<(), FetchError> {
        for uri in uris {
            self.fetch(uri, sandbox, user).await?;
        }
        if let Some(user) = user.filter(|_| !uris.is_empty()) {
            let sandbox = sandbox.to_owned();
            let _ = tokio::task::spawn_blocking(move || hand_over(&sandbox, user)).await;
        }
        Ok(())
    }

    async fn fetch(&self, uri: &Uri, sandbox: &Path, user: Option<User>) -> Result<(), FetchError> {
        let name = target_name(uri)?;
        let target = sandbox.join(&name);
        let write = |source| FetchError::Write { path: target.display().to_string(), source };
        let parent = name.parent().unwrap_or(Path::new("")).to_owned();
        let real = make_parent(sandbox, &parent).map_err(write)?;
        if !real {
            return Err(FetchError::Outside { path: name.display().to_string() });
        }
        // What an archive before this one left there must not be written through.
        match std::fs::remove_file(&target) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(write(error)),
            Ok(()) | Err(_) => {}
        }
        let kind = kind_of(uri, &target);
        match self.cache.as_ref().filter(|_| uri.cache()) {
            None => self.bring(uri, &target).await?,
            Some(cache) => match self.through_cache(cache, uri, user).await? {
                Ok(cached) if kind.is_some() => {
                    // The archive itself is not left in the sandbox.
                    return unpack(&cached, kind, &target, &real_parent(&target, sandbox)).await;
                }
                Ok(cached) => {
                    tokio::fs::copy(cached.as_path(), &target).await.map(drop).map_err(write)?;
                }
                Err(draft) => {
                    tokio::fs::copy(&draft, &target).await.map(drop).map_err(write)?;
                    let _ = tokio::fs::remove_file(&draft).await;
                }
            },
        }
        if uri.executable() {
            let mut permissions = std::fs::metadata(&target).map_err(write)?.permissions();
            permissions.set_mode(permissions.mode() | 0o111);
            std::fs::set_permissions(&target, permissions).map_err(write)?;
            return Ok(());
        }
        unpack(&target, kind, &target, &real_parent(&target, sandbox)).await
    }

    /// Brings a file and compares it with its checksum.
    async fn bring(&self, uri: &Uri, target: &Path) -> Result<(), FetchError> {
        let told = |problem| FetchError::Bring { uri: uri.value.clone(), problem };
        let (address, checksum) = checksum::split(&uri.value).map_err(told)?;
        self.sources.bring(address, target).await.map_err(told)?;
        let Some(checksum) = checksum else { return Ok(()) };
        let path = target.to_owned();
        let checking = tokio::task::spawn_blocking(move || checksum.check(&path));
        let checked = checking.await.map_err(|error| told(error.to_string()))?;
        match checked.map_err(|error| told(error.to_string()))? {
            Ok(()) => Ok(()),
            Err(problem) => {
                let _ = tokio::fs::remove_file(target).await;
                Err(told(problem))
            }
        }
    }

    /// The file in the cache, or one that does not fit there.
    async fn through_cache(
        &self,
        cache: &Cache,
        uri: &Uri,
        user: Option<User>,
    ) -> Result<Result<Cached, PathBuf>, FetchError> {
        let key = (user.map(|user| user.uid), uri.value.clone());
        let lock = cache.lock_of(&key);
        let _fetching = lock.lock().await;
        if let Some(cached) = cache.find(&key) {
            tracing::debug!(uri = %uri.value, "found in the fetcher's cache");
            return Ok(Ok(cached));
        }
        let draft = cache.draft();
        if let Err(error) = self.bring(uri, &draft).await {
            let _ = tokio::fs::remove_file(&draft).await;
            return Err(error);
        }
        let path = draft.display().to_string();
        cache.keep(key, draft).map_err(|source| FetchError::Write { path, source })
    }
}

/// What a fetched file is unpacked as, if it is.
fn kind_of(uri: &Uri, target: &Path) -> Option<Kind> {
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Kind::of_name(name).filter(|_| uri.extract() && !uri.executable())
}

/// Makes the folder of an output file; false if a link leads it out of the sandbox.
fn make_parent(sandbox: &Path, parent: &Path) -> std::io::Result<bool> {
    let root = sandbox.canonicalize()?;
    let mut folder = root.clone();
    for part in parent.components() {
        folder.push(part);
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                folder = folder.canonicalize()?;
                if !folder.starts_with(&root) {
                    return Ok(false);
                }
            }
            made => made?,
        }
    }
    Ok(true)
}

/// Archives unpack into the sandbox itself, a single packed file beside where it was.
fn real_parent(target: &Path, sandbox: &Path) -> PathBuf {
    let single = target.file_name().and_then(|name| name.to_str()).and_then(Kind::of_name);
    if single == Some(Kind::Gz) {
        target.parent().unwrap_or(sandbox).to_owned()
    } else {
        sandbox.to_owned()
    }
}

async fn unpack(
    archive: &Path,
    kind: Option<Kind>,
    target: &Path,
    folder: &Path,
) -> Result<(), FetchError> {
    let Some(kind) = kind else { return Ok(()) };
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let (from, to) = (archive.to_owned(), folder.to_owned());
    let unpacking =
        tokio::task::spawn_blocking(move || archive::unpack(&from, kind, &to, &name)).await;
    let path = target.display().to_string();
    let unpacked = unpacking.unwrap_or_else(|error| Err(Refusal::Damaged(error.to_string())));
    unpacked.map_err(|source| FetchError::Unpack { path, source })
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
