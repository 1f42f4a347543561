//! Zip archives.

use std::io::{Read as _, Seek};
use std::path::Path;

use zip::ZipArchive;

use super::place::{Refusal, Root};
use super::{Bounds, Meter};

/// Bits of a mode that say what an entry is, and those of a link.
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// Longest target of a link.
const MAXIMUM_TARGET_BYTES: u64 = 4096;

/// Unpacks a zip archive.
///
/// # Errors
/// [`Refusal`], with what came out before left there.
pub fn unpack_zip(
    input: impl std::io::Read + Seek,
    folder: &Path,
    bounds: Bounds,
) -> Result<(), Refusal> {
    let root = Root::open(folder)?;
    let mut meter = Meter::new(bounds);
    let damaged = |error: zip::result::ZipError| Refusal::Damaged(error.to_string());
    let mut archive = ZipArchive::new(input).map_err(damaged)?;
    for number in 0..archive.len() {
        let mut entry = archive.by_index(number).map_err(damaged)?;
        meter.entry()?;
        let name = entry.name().map_err(damaged)?.into_owned();
        let name = Path::new(&name);
        let mode = entry.unix_mode();
        if entry.is_dir() {
            root.folder(name, mode.unwrap_or(0o755))?;
        } else if mode.is_some_and(|mode| mode & KIND == LINK) {
            let mut target = String::new();
            let mut bounded = (&mut entry).take(MAXIMUM_TARGET_BYTES);
            let told = |error: std::io::Error| Refusal::Damaged(error.to_string());
            bounded.read_to_string(&mut target).map_err(told)?;
            root.link(name, Path::new(&target))?;
        } else {
            let mut file = root.create(name, mode.unwrap_or(0o644))?;
            meter.copy(&mut entry, &mut file)?;
        }
    }
    Ok(())
}
