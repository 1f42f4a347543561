//! The agent's unpacking of what tasks have fetched: nothing outside of the folder is made or changed, no link
//! leads out of it, and no more comes out than allowed.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use mesos_agent::archive::{Bounds, Refusal, unpack_single, unpack_tar, unpack_zip};

/// Little, so that bombs are found small.
const BOUNDS: Bounds = Bounds { entries: 32, bytes: 32 * 1024 };

/// Bytes of a block of a tar archive.
const BLOCK: usize = 512;

/// What stands beside the folder.
const BESIDE: &[u8] = b"untouched";

/// The first byte says what the rest is: `t` and `T` a tar archive, `g` a packed one, `s` a packed file, `z` a zip
/// archive. The sums in the headers of a `T` are mended, so that what is behind them is reached.
pub(super) fn unpacked(input: &[u8]) -> String {
    let Some((kind, archive)) = input.split_first() else { return String::new() };
    // Memory, where there is such a folder.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory } else { Path::new("/tmp") };
    let Ok(outer) = tempfile::Builder::new().prefix("mesos-fuzz-").tempdir_in(place) else {
        return String::new();
    };
    let (folder, beside) = (outer.path().join("sandbox"), outer.path().join("beside"));
    if fs::create_dir(&folder).and_then(|()| fs::write(&beside, BESIDE)).is_err() {
        return String::new();
    }
    let result = match kind {
        b't' => unpack_tar(archive, &folder, BOUNDS),
        b'T' => unpack_tar(mended(archive).as_slice(), &folder, BOUNDS),
        b'g' => unpack_tar(flate2::read::MultiGzDecoder::new(archive), &folder, BOUNDS),
        b'z' => unpack_zip(Cursor::new(archive), &folder, BOUNDS),
        _ => {
            let mut packed = flate2::read::MultiGzDecoder::new(archive);
            unpack_single(&mut packed, &folder.join("single"), BOUNDS)
        }
    };
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries(outer.path()).iter().map(name).collect();
    names.sort();
    assert_eq!(names, ["beside", "sandbox"], "something was made outside");
    assert_eq!(fs::read(&beside).unwrap_or_default(), BESIDE, "something outside was changed");
    let (mut count, mut bytes) = (0, 0);
    look(&folder, &folder, &mut count, &mut bytes);
    // A refused archive may have given one byte more before that was noticed.
    assert!(bytes <= BOUNDS.bytes + 1, "{bytes} bytes came out");
    let result = match result {
        Ok(()) => "unpacked",
        Err(Refusal::Outside(_)) => "outside",
        Err(Refusal::Link { .. }) => "link",
        Err(Refusal::Special(_)) => "special",
        Err(Refusal::Entries(_)) => "entries",
        Err(Refusal::Bytes(_)) => "bytes",
        Err(Refusal::Damaged(_)) => "damaged",
        Err(Refusal::Io(_)) => "io",
    };
    format!("{} {result} {}", char::from(*kind), count.min(6))
}

fn entries(folder: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(folder).map(|entries| entries.flatten().collect()).unwrap_or_default()
}

/// What came out, and whether its links stay inside.
fn look(root: &Path, folder: &Path, count: &mut usize, bytes: &mut u64) {
    for entry in entries(folder) {
        *count += 1;
        let path = entry.path();
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_symlink() {
            // Links to nothing and in circles lead nowhere.
            if let Ok(target) = path.canonicalize() {
                assert!(target.starts_with(root), "a link leads to {}", target.display());
            }
        } else if metadata.is_dir() {
            look(root, &path, count, bytes);
        } else {
            assert!(metadata.is_file(), "{} is neither file, folder nor link", path.display());
            // Hard links are counted as often as they are there; the bound is on what was written.
            *bytes += metadata.len() / std::os::unix::fs::MetadataExt::nlink(&metadata).max(1);
        }
    }
}

/// Makes the sum of every header right.
fn mended(archive: &[u8]) -> Vec<u8> {
    let mut archive = archive.to_vec();
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..at + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = header[124..136].iter().take_while(|byte| (b'0'..=b'7').contains(byte));
        let size = digits.fold(0_usize, |size, digit| {
            size.saturating_mul(8).saturating_add(usize::from(*digit - b'0'))
        });
        at = at.saturating_add(BLOCK).saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
        if at > archive.len() {
            break;
        }
    }
    archive
}
