//! Tar archives.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use tar::{Archive, EntryType};

use super::place::{Refusal, Root};
use super::{Bounds, Meter};

/// An entry's header, padding, and what long names and the like take on average.
const HEADER_BYTES: u64 = 2048;

/// Unpacks a tar archive that is not packed any further.
///
/// # Errors
/// [`Refusal`], with what came out before left there.
pub fn unpack_tar(input: impl Read, folder: &Path, bounds: Bounds) -> Result<(), Refusal> {
    let root = Root::open(folder)?;
    let mut meter = Meter::new(bounds);
    // Packed archives may also grow in what is not unpacked, such as names.
    let headers = bounds.entries.saturating_mul(HEADER_BYTES);
    let mut archive =
        Archive::new(input.take(bounds.bytes.saturating_mul(2).saturating_add(headers)));
    let damaged = |error: std::io::Error| Refusal::Damaged(error.to_string());
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        meter.entry()?;
        let name = entry.path().map_err(damaged)?.into_owned();
        let mode = entry.header().mode().unwrap_or(0o644);
        let target = || -> Result<_, Refusal> {
            let target = entry.link_name().map_err(damaged)?;
            let missing = || Refusal::Damaged(format!("link '{}' leads nowhere", name.display()));
            Ok(target.ok_or_else(missing)?.into_owned())
        };
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let modified = entry.header().mtime().ok();
                let mut file = root.create(&name, mode)?;
                meter.copy(&mut entry, &mut file)?;
                if let Some(time) =
                    modified.and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)))
                {
                    // A time that cannot be set changes nothing that matters.
                    let _ = file.set_modified(time);
                }
            }
            EntryType::Directory => root.folder(&name, mode)?,
            EntryType::Symlink => root.link(&name, &target()?)?,
            EntryType::Link => root.hard_link(&name, &target()?)?,
            EntryType::XGlobalHeader => {}
            _ => return Err(Refusal::Special(name.display().to_string())),
        }
    }
    Ok(())
}
