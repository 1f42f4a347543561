//! The fetcher's cache: files that were fetched with `cache` set, kept until others need the room.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What a file was fetched as: by whom and from where.
pub(super) type Key = (Option<u32>, String);

/// A file of the cache; it is not removed while somebody holds this.
pub(super) type Cached = Arc<PathBuf>;

#[derive(Debug)]
struct Entry {
    file: Cached,
    bytes: u64,
    last_use: u64,
}

/// What is in the cache, and what has to go.
#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<Key, Entry>,
    uses: u64,
    next_name: u64,
}

impl Table {
    fn find(&mut self, key: &Key) -> Option<Cached> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.last_use = self.uses;
        Some(Arc::clone(&entry.file))
    }

    fn bytes(&self) -> u64 {
        self.entries.values().map(|entry| entry.bytes).sum()
    }

    /// Makes room for so many bytes, the longest unused first; gives the files to remove, or nothing
    /// if there cannot be enough room.
    fn make_room(&mut self, bytes: u64, capacity: u64) -> Option<Vec<PathBuf>> {
        if bytes > capacity {
            return None;
        }
        let mut idle: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| Arc::strong_count(&entry.file) == 1)
            .map(|(key, entry)| (entry.last_use, key.clone(), entry.bytes))
            .collect();
        idle.sort();
        let mut used = self.bytes();
        let mut chosen = Vec::new();
        for (_, key, size) in idle {
            if used + bytes <= capacity {
                break;
            }
            used -= size;
            chosen.push(key);
        }
        if used + bytes > capacity {
            return None;
        }
        let gone = chosen.iter().filter_map(|key| self.entries.remove(key));
        Some(gone.map(|entry| entry.file.as_ref().clone()).collect())
    }

    fn insert(&mut self, key: Key, file: PathBuf, bytes: u64) -> Cached {
        self.uses += 1;
        let file = Arc::new(file);
        let entry = Entry { file: Arc::clone(&file), bytes, last_use: self.uses };
        self.entries.insert(key, entry);
        file
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    capacity: u64,
    table: Mutex<Table>,
    /// Who fetches what just now, so that others wait for it instead of fetching it too.
    fetching: Mutex<BTreeMap<Key, Arc<tokio::sync::Mutex<()>>>>,
}

impl Cache {
    /// An empty cache: what an earlier agent kept is removed.
    pub(super) fn open(folder: &Path, capacity: u64) -> io::Result<Self> {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        std::fs::create_dir_all(folder)?;
        let (table, fetching) = (Mutex::default(), Mutex::default());
        Ok(Self { folder: folder.to_owned(), capacity, table, fetching })
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place to fetch a file to.
    pub(super) fn draft(&self) -> PathBuf {
        let mut table = self.table();
        table.next_name += 1;
        self.folder.join(format!("c{}", table.next_name))
    }

    pub(super) fn find(&self, key: &Key) -> Option<Cached> {
        self.table().find(key)
    }

    /// Who holds the lock of a key fetches it.
    pub(super) fn lock_of(&self, key: &Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        fetching.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(fetching.entry(key.clone()).or_default())
    }

    /// Keeps a fetched file; gives it back if it does not fit.
    pub(super) fn keep(&self, key: Key, file: PathBuf) -> io::Result<Result<Cached, PathBuf>> {
        let bytes = std::fs::metadata(&file)?.len();
        let mut table = self.table();
        let Some(gone) = table.make_room(bytes, self.capacity) else { return Ok(Err(file)) };
        let kept = table.insert(key, file, bytes);
        drop(table);
        for path in gone {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(file = %path.display(), %error, "cannot remove a cached file");
            }
        }
        Ok(Ok(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (None, name.to_owned())
    }

    #[test]
    fn the_longest_unused_goes_first_and_what_is_in_use_stays() {
        let mut table = Table::default();
        for name in ["a", "b", "c"] {
            table.insert(key(name), name.into(), 10);
        }
        let used = table.find(&key("a"));
        assert!(used.is_some());
        assert_eq!(table.make_room(10, 30).unwrap(), [PathBuf::from("b")]);
        assert_eq!(table.make_room(20, 30).unwrap(), [PathBuf::from("c")], "a is in use");
        assert!(table.make_room(25, 30).is_none(), "and stays so");
        drop(used);
        assert_eq!(table.make_room(30, 30).unwrap(), [PathBuf::from("a")]);
        assert!(table.make_room(31, 30).is_none(), "larger than the cache");
    }
}
