//! Makes changes of the registry durable: on this master's disk, and, where masters elect their leader, in
//! ZooKeeper too, from which the next leader takes them over.

use crate::core::registry::{Change, Damaged, Registry};
use crate::election::Lead;
use crate::shared::Shared;
use crate::store::Store;

/// Why the registry cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistrarError {
    #[error("the registry on disk cannot be written")]
    Disk(#[from] redb::Error),
    #[error("the registry in ZooKeeper cannot be used")]
    ZooKeeper(#[from] zookeeper_client::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("writing the registry was given up")]
    GivenUp,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Registrar {
    disk: Option<Store>,
    shared: Option<Shared>,
}

impl Registrar {
    /// For a master that leads by itself.
    pub(crate) fn alone(disk: Option<Store>) -> Self {
        Self { disk, shared: None }
    }

    /// For an elected leader, with what the one before left. The first leader of all leaves what is on
    /// its disk; with others ZooKeeper is right, since this master may have missed something.
    pub(crate) async fn elected(
        disk: Option<Store>,
        own: Registry,
        lead: Lead,
    ) -> Result<(Self, Registry), RegistrarError> {
        let (mut shared, left) = Shared::open(lead).await?;
        let Some(left) = left else {
            let entries = disk.as_ref().map_or_else(|| Ok(Vec::new()), Store::entries)?;
            let change =
                |(key, value): (String, Vec<u8>)| Change { key, value: Some(value.into()) };
            shared.begin(&entries.into_iter().map(change).collect::<Vec<_>>()).await?;
            return Ok((Self { disk, shared: Some(shared) }, own));
        };
        let registry =
            Registry::read(left.iter().map(|(key, value)| (key.as_str(), value.as_slice())))?;
        if let Some(disk) = disk.clone() {
            let replaced = tokio::task::spawn_blocking(move || disk.replace(&left)).await;
            replaced.map_err(|_| RegistrarError::GivenUp)??;
        }
        Ok((Self { disk, shared: Some(shared) }, registry))
    }

    /// Whether anything is kept at all.
    pub(crate) fn keeps(&self) -> bool {
        self.disk.is_some() || self.shared.is_some()
    }

    /// Makes changes durable. First where the next leader looks.
    pub(crate) async fn commit(&mut self, changes: Vec<Change>) -> Result<(), RegistrarError> {
        if let Some(shared) = &mut self.shared {
            shared.commit(&changes).await?;
        }
        if let Some(disk) = self.disk.clone() {
            let stored = tokio::task::spawn_blocking(move || disk.commit(&changes)).await;
            stored.map_err(|_| RegistrarError::GivenUp)??;
        }
        Ok(())
    }
}
