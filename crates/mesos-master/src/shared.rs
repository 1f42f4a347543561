//! The registry in ZooKeeper, one node an entry below `registry` beside the masters' own nodes. Each write
//! goes through the session by which this master leads and demands that its own node still stands, so
//! who has lost the lead cannot write any more.

use std::collections::BTreeSet;
use std::time::Duration;

use zookeeper_client::{CreateMode, Error};

use crate::core::registry::Change;
use crate::election::Lead;

const FOLDER: &str = "registry";

/// What the folder says once the first leader has put everything there.
const COMPLETE: &[u8] = b"complete";

/// Bytes of one request; servers take a mebibyte.
const LARGEST_REQUEST: usize = 256 * 1024;

/// Pause before a request is sent again because the connection was lost. It is lost for good when the
/// session is, which ZooKeeper says.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Requests that contradict what is there, in a row, before the registry counts as somebody else's.
const MOST_CONTRADICTIONS: u32 = 5;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    lead: Lead,
    /// Names of the nodes there.
    known: BTreeSet<String>,
}

impl Shared {
    /// What the leader before left; nothing if there was none.
    pub(crate) async fn open(lead: Lead) -> Result<(Self, Option<Vec<(String, Vec<u8>)>>), Error> {
        let mut shared = Self { lead, known: BTreeSet::new() };
        let complete = loop {
            match shared.lead.client.get_data(&shared.lead.node(FOLDER)).await {
                Ok((data, _)) => break data == COMPLETE,
                Err(Error::NoNode) => break false,
                Err(error) => shared.after(error).await?,
            }
        };
        if !complete {
            return Ok((shared, None));
        }
        shared.look().await?;
        let mut entries = Vec::with_capacity(shared.known.len());
        for name in &shared.known {
            let path = shared.node(name);
            loop {
                match shared.lead.client.get_data(&path).await {
                    Ok((data, _)) => break entries.push((key(name), data)),
                    Err(error) => shared.after(error).await?,
                }
            }
        }
        Ok((shared, Some(entries)))
    }

    /// Puts everything there for the first time.
    pub(crate) async fn begin(&mut self, entries: &[Change]) -> Result<(), Error> {
        let folder = self.lead.node(FOLDER);
        let options = self.lead.acls();
        loop {
            let options = CreateMode::Persistent.with_acls(options.acls());
            match self.lead.client.create(&folder, b"", &options).await {
                Ok(_) | Err(Error::NodeExists) => break,
                Err(error) => self.after(error).await?,
            }
        }
        self.look().await?;
        self.commit(entries).await?;
        loop {
            match self.lead.client.set_data(&folder, COMPLETE, None).await {
                Ok(_) => return Ok(()),
                Err(error) => self.after(error).await?,
            }
        }
    }

    /// Makes changes durable; each by itself, since entries do not depend on each other.
    pub(crate) async fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        let size = |change: &Change| {
            change.key.len() + change.value.as_ref().map_or(0, |value| value.len()) + 256
        };
        let mut rest = changes;
        while !rest.is_empty() {
            let mut bytes = 0;
            let mut count = 0;
            while count < rest.len()
                && (count == 0 || bytes + size(&rest[count]) <= LARGEST_REQUEST)
            {
                bytes += size(&rest[count]);
                count += 1;
            }
            let (part, later) = rest.split_at(count);
            self.write(part).await?;
            rest = later;
        }
        Ok(())
    }

    async fn write(&mut self, changes: &[Change]) -> Result<(), Error> {
        let mut contradictions = 0;
        loop {
            match self.try_write(changes).await {
                Ok(()) => return Ok(()),
                // A request whose answer was lost may have been carried out.
                Err(Error::NodeExists | Error::NoNode) if contradictions < MOST_CONTRADICTIONS => {
                    contradictions += 1;
                }
                Err(error) => self.after(error).await?,
            }
            self.look().await?;
        }
    }

    async fn try_write(&mut self, changes: &[Change]) -> Result<(), Error> {
        let mut known = self.known.clone();
        let acls = self.lead.acls();
        let options = CreateMode::Persistent.with_acls(acls.acls());
        let mut writer = self.lead.client.new_multi_writer();
        writer.add_check_version(&self.lead.own, -1)?;
        for change in changes {
            let name = name(&change.key);
            let path = self.node(&name);
            match &change.value {
                Some(value) if known.contains(&name) => writer.add_set_data(&path, value, None)?,
                Some(value) => {
                    writer.add_create(&path, value, &options)?;
                    known.insert(name);
                }
                None if known.remove(&name) => writer.add_delete(&path, None)?,
                None => {}
            }
        }
        writer.commit().await?;
        self.known = known;
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Error> {
        loop {
            match self.lead.client.list_children(&self.lead.node(FOLDER)).await {
                Ok(names) => {
                    self.known = names.into_iter().collect();
                    return Ok(());
                }
                Err(error) => self.after(error).await?,
            }
        }
    }

    /// Waits before a request is tried again, if that may help.
    async fn after(&self, error: Error) -> Result<(), Error> {
        if !matches!(error, Error::ConnectionLoss | Error::Throttled | Error::Timeout) {
            return Err(error);
        }
        tracing::warn!(%error, "the registry in ZooKeeper is tried again");
        tokio::time::sleep(RETRY_PAUSE).await;
        Ok(())
    }

    fn node(&self, name: &str) -> String {
        format!("{}/{name}", self.lead.node(FOLDER))
    }
}

/// A key as the name of a node.
fn name(key: &str) -> String {
    key.replace('%', "%25").replace('/', "%2F")
}

fn key(name: &str) -> String {
    name.replace("%2F", "/").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_names_of_nodes() {
        for text in ["weights", "agent/M-S1", "a%2Fb/c%"] {
            assert!(!name(text).contains('/'));
            assert_eq!(key(&name(text)), text);
        }
    }
}
