//! The store on its directories.

use std::fs;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use spark_shuffle::*;

use crate::{APPLICATION, block, pattern, write};

fn store(directory: &Path) -> ShuffleStore {
    ShuffleStore::in_directory(APPLICATION, directory).unwrap()
}

fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else if entry.file_name() != ".lock" {
                found.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The one data file in a store.
pub(crate) fn data_file(store: &ShuffleStore) -> std::path::PathBuf {
    let folder = store.directories()[0].join("shuffle-0");
    let mut entries = fs::read_dir(folder).unwrap().flatten();
    entries.find(|e| e.path().extension().is_some_and(|x| x == "data")).unwrap().path()
}

/// What a segment of one frame takes in its file.
fn stored(length: usize) -> u64 {
    if length == 0 { 0 } else { length as u64 + 12 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(segments in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..20)) {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        let committed = write(&store, block(1), &segments);
        let sizes: Vec<u64> = segments.iter().map(|s| stored(s.len())).collect();
        prop_assert_eq!(&committed.sizes, &sizes);
        let reader = store.read(block(1)).unwrap();
        prop_assert_eq!(reader.segments() as usize, segments.len());
        for (number, segment) in (0..).zip(&segments) {
            prop_assert_eq!(&reader.read_segment(number).unwrap()[..], &segment[..]);
        }
        prop_assert!(reader.segment(segments.len() as u32).is_none());
    }
}

#[test]
fn a_block_is_visible_only_when_complete_and_leaves_nothing_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let mut writer = store.write(block(0), 2).unwrap();
    writer.segment(1).write_all(&pattern(0, 1_000_000)).unwrap();
    assert!(matches!(store.read(block(0)), Err(StoreError::Missing { .. })));
    drop(writer);
    assert_eq!(files(directory.path()), [""; 0]);
    assert_eq!(store.statistics().tier_bytes, [0]);
}

#[test]
fn segments_out_of_order_or_range_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let mut writer = store.write(block(0), 3).unwrap();
    writer.write(1, b"x").unwrap();
    assert!(matches!(writer.write(0, b"x"), Err(StoreError::Order { .. })));
    assert!(matches!(writer.write(3, b"x"), Err(StoreError::Order { .. })));
    writer.write(1, b"y").unwrap();
    assert_eq!(writer.commit().unwrap().sizes, [0, stored(2), 0]);
}

#[test]
fn a_changed_or_shortened_file_is_corrupt_and_not_a_wrong_answer() {
    let directory = tempfile::tempdir().unwrap();
    let segments = [pattern(1, 1000), pattern(2, 1000)];
    let original = {
        let store = store(directory.path());
        write(&store, block(0), &segments);
        fs::read(data_file(&store)).unwrap()
    };
    for at in (0..original.len()).step_by(37) {
        let mut changed = original.clone();
        changed[at] ^= 0x40;
        assert_corrupt(&changed, &segments);
    }
    for length in (0..original.len()).step_by(41) {
        assert_corrupt(&original[..length], &segments);
    }
}

fn assert_corrupt(file: &[u8], segments: &[Vec<u8>]) {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    write(&store, block(0), segments);
    store.verify(block(0)).unwrap();
    fs::write(data_file(&store), file).unwrap();
    let verified = store.verify(block(0));
    assert!(matches!(verified, Err(StoreError::Corrupt { .. })), "{verified:?}");
    let read = store.read(block(0)).and_then(|reader| {
        (0..reader.segments())
            .map(|segment| reader.read_segment(segment))
            .collect::<Result<Vec<_>, _>>()
    });
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
}

/// Who has a block open has its index: what the file is now is another matter.
#[test]
fn a_block_is_verified_as_it_is_now() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    write(&store, block(0), &[pattern(1, 1000), pattern(2, 1000)]);
    let open = store.read(block(0)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(data_file(&store)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    open.read_segment(1).unwrap();
    assert!(matches!(store.verify(block(0)), Err(StoreError::Corrupt { .. })));
    store.remove(block(0));
    assert!(matches!(store.verify(block(0)), Err(StoreError::Missing { .. })));
}

#[test]
fn a_block_too_large_for_the_memory_tier_moves_on_to_disk() {
    let (memory, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = ShuffleStore::open(StoreOptions {
        application: APPLICATION.to_owned(),
        tiers: vec![
            TierOptions {
                directories: vec![memory.path().to_owned()],
                budget_bytes: Some(2_000_000),
            },
            TierOptions::unlimited([disk.path().to_owned()]),
        ],
        served_elsewhere: false,
        held_bytes: 0,
    })
    .unwrap();
    let small = vec![pattern(1, 600_000), pattern(2, 600_000)];
    let large = vec![pattern(3, 300_000), pattern(4, 900_000), pattern(5, 10)];
    write(&store, block(0), &small);
    write(&store, block(1), &large);
    for (number, segments) in [(0, &small), (1, &large)] {
        let reader = store.read(block(number)).unwrap();
        for (at, segment) in (0..).zip(segments) {
            assert_eq!(reader.read_segment(at).unwrap(), segment);
        }
    }
    let bytes = store.statistics();
    assert!(bytes.tier_bytes[0] > 1_200_000 && bytes.tier_bytes[0] < 1_201_000, "{bytes:?}");
    assert!(bytes.tier_bytes[1] > 1_200_010, "{bytes:?}");
    assert_eq!((files(memory.path()).len(), files(disk.path()).len()), (1, 1));
    store.remove_shuffle(0);
    let gone = StoreStatistics { blocks: 0, bytes: 0, tier_bytes: vec![0, 0] };
    assert_eq!(store.statistics(), gone);
    assert_eq!((files(memory.path()).len(), files(disk.path()).len()), (0, 0));
}

fn holding(directory: &Path, held_bytes: u64) -> ShuffleStore {
    ShuffleStore::open(StoreOptions {
        application: APPLICATION.to_owned(),
        tiers: vec![TierOptions::unlimited([directory.to_owned()])],
        served_elsewhere: false,
        held_bytes,
    })
    .unwrap()
}

fn assert_holds(store: &ShuffleStore, number: u32, segments: &[Vec<u8>]) {
    let reader = store.read(block(number)).unwrap();
    assert_eq!(reader.segments() as usize, segments.len());
    for (at, segment) in (0..).zip(segments) {
        assert_eq!(reader.read_segment(at).unwrap(), segment);
    }
    store.verify(block(number)).unwrap();
}

#[test]
fn small_blocks_stay_in_memory_within_the_budget() {
    let directory = tempfile::tempdir().unwrap();
    let store = holding(directory.path(), 1_000_000);
    let blocks: Vec<Vec<Vec<u8>>> = (0..4)
        .map(|seed| vec![pattern(seed, 200_000), Vec::new(), pattern(seed + 10, 90_000)])
        .collect();
    for (number, segments) in (0..).zip(&blocks) {
        let committed = write(&store, block(number), segments);
        assert_eq!(committed.sizes, [stored(200_000), 0, stored(90_000)]);
    }
    // Three fit into the budget.
    assert_eq!(files(directory.path()).len(), 1);
    assert_eq!(store.statistics().blocks, 4);
    for (number, segments) in (0..).zip(&blocks) {
        assert_holds(&store, number, segments);
    }
    // What is removed makes room.
    store.remove(block(0));
    assert!(matches!(store.read(block(0)), Err(StoreError::Missing { .. })));
    write(&store, block(4), &blocks[0]);
    assert_eq!(files(directory.path()).len(), 1);
    // A writer that is dropped leaves nothing behind.
    store.remove(block(4));
    let mut writer = store.write(block(5), 1).unwrap();
    writer.write(0, &pattern(5, 200_000)).unwrap();
    drop(writer);
    write(&store, block(6), &blocks[0]);
    assert_eq!(files(directory.path()).len(), 1);
    store.remove_shuffle(0);
    let gone = StoreStatistics { blocks: 0, bytes: 0, tier_bytes: vec![0] };
    assert_eq!(store.statistics(), gone);
    assert!(files(directory.path()).is_empty());
    let late = store.write(block(7), 1).map(drop).unwrap_err();
    assert!(matches!(late, StoreError::Removed { .. }), "{late}");
}

#[test]
fn a_large_block_leaves_memory_while_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = holding(directory.path(), 64 << 20);
    let large: Vec<Vec<u8>> = (0..9).map(|seed| pattern(seed, 700_000)).collect();
    write(&store, block(0), &large);
    assert_eq!(files(directory.path()).len(), 1);
    assert_holds(&store, 0, &large);
    // Its part in memory is free again: 63 MB fit beside it.
    for number in 1..64 {
        write(&store, block(number), &large[..1]);
    }
    assert_eq!(files(directory.path()).len(), 1);
}

#[test]
fn blocks_in_memory_are_written_when_a_service_takes_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let store = holding(directory.path(), 1 << 20);
    let segments = vec![pattern(1, 1_000), Vec::new(), pattern(2, 30)];
    write(&store, block(0), &segments);
    let mut under_way = store.write(block(1), 3).unwrap();
    under_way.write(0, &segments[0]).unwrap();
    store.leave_to_service().unwrap();
    under_way.write(2, &segments[2]).unwrap();
    under_way.commit().unwrap();
    let served = DirectoryBlocks::new(store.directories());
    for number in 0..2 {
        assert_holds(&store, number, &segments);
        let reader = served.read(block(number)).unwrap();
        assert_eq!(reader.read_segment(2).unwrap(), segments[2]);
    }
    store.remove_shuffle(0);
    let gone = StoreStatistics { blocks: 0, bytes: 0, tier_bytes: vec![0] };
    assert_eq!(store.statistics(), gone);
}

#[test]
fn a_full_store_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let tier =
        TierOptions { directories: vec![directory.path().to_owned()], budget_bytes: Some(100_000) };
    let store = ShuffleStore::open(StoreOptions {
        application: APPLICATION.to_owned(),
        tiers: vec![tier],
        served_elsewhere: false,
        held_bytes: 0,
    })
    .unwrap();
    let mut writer = store.write(block(0), 1).unwrap();
    let error = writer.write(0, &pattern(0, 500_000)).unwrap_err();
    assert!(error.to_string().contains("spark.local.dir"), "{error}");
    drop(writer);
    assert_eq!(store.statistics().tier_bytes, [0]);
}

#[test]
fn a_full_disk_falls_to_the_next_directory_and_then_says_so() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let directories = [first.path().to_owned(), second.path().to_owned()];
    let store = ShuffleStore::open(StoreOptions {
        application: APPLICATION.to_owned(),
        tiers: vec![TierOptions::unlimited(directories)],
        served_elsewhere: false,
        held_bytes: 0,
    })
    .unwrap();
    // The disk of one of the two breaks: its directory takes no new files.
    std::fs::remove_dir_all(&store.directories()[0]).unwrap();
    std::fs::write(&store.directories()[0], "in the way").unwrap();
    for map in 0..8 {
        write(&store, block(map), &[pattern(map.into(), 1000)]);
        assert_eq!(
            store.read(block(map)).unwrap().read_segment(0).unwrap(),
            pattern(map.into(), 1000)
        );
    }
    std::fs::remove_dir_all(&store.directories()[1]).unwrap();
    std::fs::write(&store.directories()[1], "in the way").unwrap();
    let error = store.write(block(9), 1).unwrap_err();
    assert!(error.to_string().contains("spark.local.dir"), "{error}");
    for directory in store.directories() {
        std::fs::remove_file(directory).unwrap();
    }
}

#[test]
fn a_map_task_of_many_reducers_leaves_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let segments: Vec<Vec<u8>> = (0..200).map(|n| pattern(n, 100)).collect();
    for map in 0..5 {
        write(&store, block(map), &segments);
    }
    assert_eq!(files(directory.path()).len(), 5);
}

#[test]
fn late_output_for_a_removed_shuffle_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let mut late = store.write(block(0), 1).unwrap();
    late.write(0, b"rows").unwrap();
    store.remove_shuffle(0);
    assert!(late.commit().is_err());
    assert!(matches!(store.write(block(1), 1), Err(StoreError::Removed { .. })));
    assert_eq!(files(directory.path()), [""; 0]);
}

#[test]
fn a_store_that_ends_sweeps_what_a_killed_one_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = ShuffleStore::in_directory("app", folder.path()).unwrap();
    // Its process is gone: nobody holds the lock.
    let stale = folder.path().join(format!("spark-app-{}", uuid_like()));
    std::fs::create_dir(&stale).unwrap();
    std::fs::write(stale.join(".lock"), "").unwrap();
    drop(store);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn uuid_like() -> String {
    "00000000-0000-4000-8000-000000000000".to_owned()
}

#[test]
fn the_last_clone_sweeps_and_a_new_store_sweeps_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let first = store(directory.path());
    write(&first, block(0), &[b"rows".to_vec()]);
    let second = first.clone();
    drop(first);
    assert!(second.read(block(0)).is_ok());
    // What a killed process leaves: the directory, and a lock that nobody holds.
    let crashed = directory.path().join("spark-crashed-1234");
    fs::create_dir_all(crashed.join("shuffle-0")).unwrap();
    fs::write(crashed.join(".lock"), "").unwrap();
    // Somebody else's, and one that a shuffle service serves: not ours to sweep.
    fs::create_dir_all(directory.path().join("spark-without-lock")).unwrap();
    let served = directory.path().join("spark-served-1");
    fs::create_dir_all(&served).unwrap();
    fs::write(served.join(".lock"), "").unwrap();
    fs::write(served.join(".served"), "").unwrap();
    let third = store(directory.path());
    assert!(!crashed.exists() && served.exists());
    assert!(directory.path().join("spark-without-lock").exists());
    assert!(second.read(block(0)).is_ok(), "a live store is not swept");
    let ours = second.directories();
    drop(second);
    assert!(!ours[0].exists());
    drop(third);
}

#[test]
fn an_application_id_is_only_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let application = format!("../../{}/\0\u{e9}", "x".repeat(300));
    let store = ShuffleStore::in_directory(&application, directory.path()).unwrap();
    let inside = store.directories()[0].clone();
    assert_eq!(inside.parent(), Some(directory.path()));
    write(&store, block(0), &[b"rows".to_vec()]);
}

#[test]
fn no_usable_directory_is_an_error_that_names_it() {
    let error = ShuffleStore::in_directory(APPLICATION, Path::new("/proc/none")).unwrap_err();
    assert!(error.to_string().contains("/proc/none"), "{error}");
    // One bad directory beside a good one is only a warning.
    let directory = tempfile::tempdir().unwrap();
    let directories = ["/proc/none".into(), directory.path().to_owned()];
    let store = ShuffleStore::open(StoreOptions {
        application: APPLICATION.to_owned(),
        tiers: vec![TierOptions::unlimited(directories)],
        served_elsewhere: false,
        held_bytes: 0,
    });
    assert_eq!(store.unwrap().directories().len(), 1);
}
