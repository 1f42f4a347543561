//! The registry on disk: one table of a redb file, written in groups.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::core::registry::{Change, Damaged, Registry};

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("registry");

/// Name of the file in the work directory.
const FILE: &str = "registry.redb";

/// Why the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened; another master may use it.
    #[error("cannot use the registry {path}; does another master run with this --work_dir?")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// An entry makes no sense.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Database>);

impl Store {
    /// Opens or makes the registry of a work directory, and reads it.
    pub(crate) fn open(work_dir: &Path) -> Result<(Self, Registry), StoreError> {
        let path = work_dir.join(FILE);
        let failed =
            |source: redb::Error| StoreError::Open { path: path.clone(), source: Box::new(source) };
        let database = Database::create(&path).map_err(|error| failed(error.into()))?;
        let store = Self(Arc::new(database));
        // Makes the table, so that reading finds it.
        store.commit(&[]).map_err(failed)?;
        let entries = store.entries().map_err(failed)?;
        let entries = entries.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        let registry = Registry::read(entries)?;
        Ok((store, registry))
    }

    /// All that is there.
    pub(crate) fn entries(&self) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut entries = Vec::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            entries.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(entries)
    }

    /// Puts these entries in place of all that is there.
    pub(crate) fn replace(&self, entries: &[(String, Vec<u8>)]) -> Result<(), redb::Error> {
        let write = self.0.begin_write()?;
        {
            let mut table = write.open_table(TABLE)?;
            table.retain(|_, _| false)?;
            for (key, value) in entries {
                table.insert(key.as_str(), value.as_slice())?;
            }
        }
        write.commit()?;
        Ok(())
    }

    /// Makes changes durable, all or none.
    pub(crate) fn commit(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let write = self.0.begin_write()?;
        {
            let mut table = write.open_table(TABLE)?;
            for change in changes {
                match &change.value {
                    Some(value) => drop(table.insert(change.key.as_str(), value.as_ref())?),
                    None => drop(table.remove(change.key.as_str())?),
                }
            }
        }
        write.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_was_committed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let change = |key: &str, value: Option<&[u8]>| Change {
            key: key.to_owned(),
            value: value.map(Bytes::copy_from_slice),
        };
        let (store, registry) = Store::open(folder.path()).unwrap();
        assert!(registry.agents.is_empty());
        store.commit(&[change("x", Some(b"1")), change("y", Some(b"2"))]).unwrap();
        store.commit(&[change("x", None), change("y", Some(b"3"))]).unwrap();
        assert!(Store::open(folder.path()).is_err(), "two masters must not share a registry");
        drop(store);
        let (store, _) = Store::open(folder.path()).unwrap();
        assert_eq!(store.entries().unwrap(), [("y".to_owned(), b"3".to_vec())]);
        store.commit(&[change("agent/S1", Some(&[0xff]))]).unwrap();
        drop(store);
        let error = Store::open(folder.path()).unwrap_err().to_string();
        assert_eq!(error, "the registry's entry \"agent/S1\" is damaged");
    }
}
