//! Archives that behave, and those that do not.

use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;

use ::tar::{Builder, EntryType, Header};
use ::zip::write::SimpleFileOptions;

use super::*;

const BOUNDS: Bounds = Bounds { entries: 100, bytes: 10_000 };

fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header
}

/// A tar of entries: kind, name, target or content. Names are taken as they are.
fn tar_of(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, text) in entries {
        let is_file = *kind == EntryType::Regular;
        let mut header = header(*kind, if is_file { text.len() as u64 } else { 0 }, 0o4755);
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        if !is_file {
            fields.linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, if is_file { text.as_bytes() } else { &[] }).unwrap();
    }
    builder.into_inner().unwrap()
}

fn unpacked(entries: &[(EntryType, &str, &str)]) -> (tempfile::TempDir, Result<(), Refusal>) {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    let result = unpack_tar(Cursor::new(tar_of(entries)), &inside, BOUNDS);
    (folder, result)
}

#[test]
fn what_behaves_comes_out() {
    use EntryType::{Directory, Link, Regular, Symlink};
    let (folder, result) = unpacked(&[
        (Directory, "./app/bin/", ""),
        (Regular, "app/bin/run", "#!/bin/sh"),
        (Regular, "deep/down/file", "x"),
        (Symlink, "app/current", "bin/run"),
        (Symlink, "app/bin/up", "../../deep"),
        (Regular, "app/bin/up/through", "y"),
        (Link, "second", "app/bin/run"),
        (Regular, "deep/down/file", "replaced"),
    ]);
    result.unwrap();
    let read =
        |name: &str| std::fs::read_to_string(folder.path().join("inside").join(name)).unwrap();
    assert_eq!(read("app/current"), "#!/bin/sh");
    assert_eq!(read("second"), "#!/bin/sh");
    assert_eq!(read("deep/through"), "y");
    assert_eq!(read("deep/down/file"), "replaced");
    let mode = std::fs::metadata(folder.path().join("inside/app/bin/run")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o7777, 0o755, "no program runs as root by its mode");
}

#[test]
fn nothing_leaves_the_folder() {
    use EntryType::{Block, Fifo, Link, Regular, Symlink};
    type Entries<'a> = &'a [(EntryType, &'a str, &'a str)];
    let cases: [(Entries<'_>, &str); 12] = [
        (&[(Regular, "../evil", "x")], "entry '../evil' lies outside"),
        (&[(Regular, "a/../../evil", "x")], "entry 'a/../../evil' lies outside"),
        (&[(Regular, "/evil", "x")], "entry '/evil' lies outside"),
        (&[(Symlink, "l", "/etc")], "link 'l' leads to '/etc'"),
        (&[(Symlink, "l", "..")], "link 'l' leads to '..'"),
        (&[(Symlink, "a/l", "../../x")], "link 'a/l' leads to '../../x'"),
        // Each of two links stays inside by its letters; together they would not.
        (&[(Symlink, "a/b/l", "."), (Symlink, "a/b/l/m", "../../..")], "leads to '../../..'"),
        (&[(Symlink, "a/up", ".."), (Symlink, "m", "a/up/../x")], "leads to 'a/up/../x'"),
        (&[(Link, "h", "../../etc/passwd")], "entry '../../etc/passwd' lies outside"),
        (&[(Regular, "f", "x"), (Symlink, "s", "f"), (Link, "h", "s")], "link 'h' leads to 's'"),
        (&[(Fifo, "pipe", "")], "entry 'pipe' is neither"),
        (&[(Block, "disk", "")], "entry 'disk' is neither"),
    ];
    for (entries, told) in cases {
        let (folder, result) = unpacked(entries);
        let error = result.expect_err(told).to_string();
        assert!(error.contains(told), "{error} is not {told}");
        let outside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(outside.len(), 1, "{told}: {outside:?}");
    }
}

/// A link that was there before the archive came is not followed out either.
#[test]
fn links_of_the_sandbox_are_no_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
    std::fs::create_dir(&inside).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("way")).unwrap();
    let tar = tar_of(&[(EntryType::Regular, "way/evil", "x")]);
    let error = unpack_tar(Cursor::new(tar), &inside, BOUNDS).unwrap_err().to_string();
    assert_eq!(error, "entry 'way/evil' lies outside of the folder");
    // One in the place of a file is replaced.
    let victim = outside.join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, inside.join("file")).unwrap();
    let tar = tar_of(&[(EntryType::Regular, "file", "x")]);
    unpack_tar(Cursor::new(tar), &inside, BOUNDS).unwrap();
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
}

#[test]
fn bombs_are_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let large = "x".repeat(9_000);
    let tar = tar_of(&[(EntryType::Regular, "a", &large), (EntryType::Regular, "b", &large)]);
    let error = unpack_tar(Cursor::new(tar), folder.path(), BOUNDS).unwrap_err();
    assert!(matches!(error, Refusal::Bytes(10_000)), "{error}");
    let names: Vec<_> = (0..101).map(|number| format!("f{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (EntryType::Regular, name.as_str(), "")).collect();
    let error = unpack_tar(Cursor::new(tar_of(&many)), folder.path(), BOUNDS).unwrap_err();
    assert!(matches!(error, Refusal::Entries(100)), "{error}");
    assert_eq!(Bounds::of_archive(10).bytes, 100 << 20);
    assert_eq!(Bounds::of_archive(10 << 20).bytes, 2000 << 20);
}

fn zip_of(entries: &[(&str, &str, u32)]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content, mode) in entries {
        let options = SimpleFileOptions::default().unix_permissions(mode & 0o777);
        if mode & KIND == LINK {
            writer.add_symlink(*name, *content, options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

#[test]
fn zips_are_held_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let fine = zip_of(&[("bin/run", "#!/bin/sh", 0o755), ("l", "bin/run", LINK | 0o777)]);
    unpack_zip(Cursor::new(fine.clone()), folder.path(), BOUNDS).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("l")).unwrap(), "#!/bin/sh");
    let large = "x".repeat(20_000);
    for (entries, told) in [
        (&[("../evil", "x", 0o644)], "lies outside"),
        (&[("/evil", "x", 0o644)], "lies outside"),
        (&[("l", "/etc", LINK | 0o777)], "out of the folder"),
        (&[("big", large.as_str(), 0o644)], "more than 10000 bytes"),
    ] {
        let zip = zip_of(entries);
        let error = unpack_zip(Cursor::new(zip), folder.path(), BOUNDS).unwrap_err().to_string();
        assert!(error.contains(told), "{error} is not {told}");
    }
    // The checksum of a file is part of the archive.
    let mut broken = zip_of(&[("f", "some text that is stored", 0o644)]);
    let at = broken.windows(4).position(|window| window == b"f\x4b\xcc\x4d").unwrap_or(40);
    broken[at + 5] ^= 0xff;
    unpack_zip(Cursor::new(broken), folder.path(), BOUNDS).unwrap_err();
    unpack_zip(Cursor::new(fine[..fine.len() - 9].to_vec()), folder.path(), BOUNDS).unwrap_err();
}

#[test]
fn a_packed_file_unpacks_to_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(b"content").unwrap();
    let mut packed = packer.finish().unwrap();
    let archive = folder.path().join("data.txt.gz");
    std::fs::write(&archive, &packed).unwrap();
    unpack(&archive, Kind::Gz, folder.path(), "data.txt.gz").unwrap();
    assert_eq!(std::fs::read(folder.path().join("data.txt")).unwrap(), b"content");
    let length = packed.len();
    packed[length - 8] ^= 1;
    std::fs::write(&archive, &packed).unwrap();
    unpack(&archive, Kind::Gz, folder.path(), "data.txt.gz").expect_err("its checksum is wrong");
}

#[test]
fn kinds_are_told_by_the_name() {
    assert_eq!(Kind::of_name("spark-4.0.tgz"), Some(Kind::TarGz));
    assert_eq!(Kind::of_name("a.tar.xz"), Some(Kind::TarXz));
    assert_eq!(Kind::of_name("a.gz"), Some(Kind::Gz));
    assert_eq!(Kind::of_name("a.jar"), None);
}
