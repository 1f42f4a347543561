//! Unpacking of archives nobody vouches for: no entry leaves the folder, by its name or through a
//! link, no link points out of it, no device is made, and what comes out is bounded.

mod place;
mod tar;
mod zip;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

pub use self::place::Refusal;
use self::place::Root;
pub use self::tar::unpack_tar;
pub use self::zip::unpack_zip;

/// What may come out of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Bounds {
    /// Distributions of big programs have some hundred thousand entries.
    const ENTRIES: u64 = 1_000_000;

    /// Text is packed to a tenth, logs to a fiftieth; a bomb to a thousandth.
    const RATIO: u64 = 200;

    /// So much may come out of any archive, however small it is.
    const SMALL: u64 = 100 * 1024 * 1024;

    /// Nothing larger is meant to lie in a sandbox.
    const LARGE: u64 = 256 * 1024 * 1024 * 1024;

    /// What may come out of an archive of this many bytes.
    #[must_use]
    pub fn of_archive(bytes: u64) -> Self {
        let bytes = bytes.saturating_mul(Self::RATIO).clamp(Self::SMALL, Self::LARGE);
        Self { entries: Self::ENTRIES, bytes }
    }
}

/// Counts what comes out.
#[derive(Debug)]
struct Meter {
    bounds: Bounds,
    entries: u64,
    bytes: u64,
}

impl Meter {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: 0, bytes: 0 }
    }

    fn entry(&mut self) -> Result<(), Refusal> {
        self.entries += 1;
        if self.entries > self.bounds.entries {
            return Err(Refusal::Entries(self.bounds.entries));
        }
        Ok(())
    }

    /// Copies a file's content, as far as the bounds let it.
    fn copy(&mut self, input: &mut impl Read, output: &mut impl Write) -> Result<(), Refusal> {
        let left = self.bounds.bytes - self.bytes;
        let copied = io::copy(&mut input.take(left.saturating_add(1)), output)?;
        self.bytes += copied;
        if copied > left {
            return Err(Refusal::Bytes(self.bounds.bytes));
        }
        Ok(())
    }
}

/// Unpacks a single file packed by itself.
///
/// # Errors
/// [`Refusal`] if it is damaged or too much comes out.
pub fn unpack_single(input: &mut impl Read, output: &Path, bounds: Bounds) -> Result<(), Refusal> {
    let folder = output.parent().unwrap_or(Path::new("/"));
    let name = output.file_name().unwrap_or_default();
    let root = Root::open(folder)?;
    let mut file = root.create(Path::new(name), 0o644)?;
    Meter::new(bounds).copy(input, &mut file)
}

/// The kinds of archives, told by the ending of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `.tar`
    Tar,
    /// `.tar.gz`, `.tgz`
    TarGz,
    /// `.tar.bz2`, `.tbz2`
    TarBz2,
    /// `.tar.xz`, `.txz`
    TarXz,
    /// `.zip`
    Zip,
    /// `.gz`: a single file
    Gz,
}

impl Kind {
    /// The kind of a file of this name, if it is an archive.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let endings = [
            (".tar.gz", Self::TarGz),
            (".tgz", Self::TarGz),
            (".tar.bz2", Self::TarBz2),
            (".tbz2", Self::TarBz2),
            (".tar.xz", Self::TarXz),
            (".txz", Self::TarXz),
            (".tar", Self::Tar),
            (".zip", Self::Zip),
            (".gz", Self::Gz),
        ];
        endings.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, kind)| kind)
    }
}

/// Unpacks an archive into a folder; `name` is that of a single packed file there.
///
/// # Errors
/// [`Refusal`] if the archive is damaged, wants something it must not, or too much comes out. What came
/// out before stays there.
pub fn unpack(archive: &Path, kind: Kind, folder: &Path, name: &str) -> Result<(), Refusal> {
    let file = File::open(archive)?;
    let bounds = Bounds::of_archive(file.metadata()?.len());
    match kind {
        Kind::Tar => unpack_tar(file, folder, bounds),
        Kind::TarGz => unpack_tar(flate2::read::MultiGzDecoder::new(file), folder, bounds),
        Kind::TarBz2 => unpack_tar(bzip2::read::MultiBzDecoder::new(file), folder, bounds),
        Kind::TarXz => unpack_xz(file, folder, bounds),
        Kind::Zip => unpack_zip(file, folder, bounds),
        Kind::Gz => {
            let output = folder.join(name.trim_end_matches(".gz"));
            unpack_single(&mut flate2::read::MultiGzDecoder::new(file), &output, bounds)
        }
    }
}

/// There is no xz here; the program of this name unpacks, and what it gives is bounded as the rest.
fn unpack_xz(file: File, folder: &Path, bounds: Bounds) -> Result<(), Refusal> {
    use std::process::{Command, Stdio};
    let mut command = Command::new("xz");
    command.args(["-dc"]).stdin(file).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| {
        Refusal::Damaged(format!("the program 'xz' is needed for it and cannot be run: {error}"))
    })?;
    let output = child.stdout.take().ok_or_else(|| Refusal::Damaged("no output".to_owned()))?;
    let unpacked = unpack_tar(output, folder, bounds);
    if unpacked.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    unpacked?;
    if !status.success() {
        return Err(Refusal::Damaged(format!("xz gave up: {status}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
