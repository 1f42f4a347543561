//! Where entries go: below one folder, whatever they are called and whatever links lie there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

/// Why an archive is not unpacked, or not further.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// An entry's name leads out of the folder.
    #[error("entry '{0}' lies outside of the folder")]
    Outside(String),
    /// A link leads out of the folder.
    #[error("link '{link}' leads to '{target}', out of the folder")]
    Link {
        /// The entry.
        link: String,
        /// Where it leads.
        target: String,
    },
    /// An entry is something only root should make.
    #[error("entry '{0}' is neither file, folder nor link")]
    Special(String),
    /// There are too many entries.
    #[error("it has more than {0} entries")]
    Entries(u64),
    /// Too much comes out.
    #[error("more than {0} bytes come out of it, which is too much for its size")]
    Bytes(u64),
    /// It is not the archive it should be.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The file system cannot.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A folder nothing gets out of.
#[derive(Debug)]
pub(super) struct Root {
    /// Without links.
    path: PathBuf,
}

/// The parts of an entry's name, if it stays below where it starts.
pub(super) fn normal(name: &Path) -> Result<PathBuf, Refusal> {
    let mut path = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Refusal::Outside(name.display().to_string()));
            }
        }
    }
    Ok(path)
}

impl Root {
    pub(super) fn open(folder: &Path) -> Result<Self, Refusal> {
        Ok(Self { path: folder.canonicalize()? })
    }

    /// The real folder an entry goes into, made if it is not there.
    fn parent(&self, name: &Path) -> Result<PathBuf, Refusal> {
        let outside = || Refusal::Outside(name.display().to_string());
        let mut folder = self.path.clone();
        for part in name.parent().into_iter().flat_map(Path::components) {
            folder.push(part);
            match fs::create_dir(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // It may be a link, which an entry before this one made.
                    folder = folder.canonicalize()?;
                    if !folder.starts_with(&self.path) {
                        return Err(outside());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(folder)
    }

    /// Where an entry goes, with nothing but a folder there.
    fn place(&self, name: &Path) -> Result<PathBuf, Refusal> {
        let last = name.file_name().ok_or_else(|| Refusal::Outside(name.display().to_string()))?;
        let place = self.parent(name)?.join(last);
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => fs::remove_file(&place)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(place)
    }

    /// Makes a file; of its mode only the rights count.
    pub(super) fn create(&self, name: &Path, mode: u32) -> Result<File, Refusal> {
        let place = self.place(&normal(name)?)?;
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&place)?;
        file.set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
        Ok(file)
    }

    /// Makes a folder, which its owner can always use.
    pub(super) fn folder(&self, name: &Path, mode: u32) -> Result<(), Refusal> {
        let name = normal(name)?;
        if name.as_os_str().is_empty() {
            return Ok(());
        }
        let place = self.place(&name)?;
        match fs::create_dir(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        fs::set_permissions(&place, fs::Permissions::from_mode(mode & 0o777 | 0o700))?;
        Ok(())
    }

    /// Makes a symbolic link to something below the folder.
    pub(super) fn link(&self, name: &Path, target: &Path) -> Result<(), Refusal> {
        let name = normal(name)?;
        let place = self.place(&name)?;
        let refused = || Refusal::Link {
            link: name.display().to_string(),
            target: target.display().to_string(),
        };
        let real = place.parent().unwrap_or(&self.path);
        let mut depth = real.strip_prefix(&self.path).map_err(|_| refused())?.components().count();
        let mut down = false;
        for part in target.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(_) => down = true,
                // Up after down could lead through another link.
                Component::ParentDir if !down && depth > 0 => depth -= 1,
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                    return Err(refused());
                }
            }
        }
        Ok(symlink(target, place)?)
    }

    /// Makes a second name of a file that came out before.
    pub(super) fn hard_link(&self, name: &Path, target: &Path) -> Result<(), Refusal> {
        let (name, target) = (normal(name)?, normal(target)?);
        let refused = || Refusal::Link {
            link: name.display().to_string(),
            target: target.display().to_string(),
        };
        let last = target.file_name().ok_or_else(refused)?;
        let from = self.parent(&target)?.join(last);
        let found = fs::symlink_metadata(&from)?;
        if !found.is_file() {
            return Err(refused());
        }
        let to = self.place(&name)?;
        // A link to itself would have removed its target.
        if fs::symlink_metadata(&from).is_err() {
            return Err(refused());
        }
        Ok(fs::hard_link(from, to)?)
    }
}
