//! Follows the leading master in ZooKeeper.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, select_all};
use mesos_api::MasterInfo;
use tokio::sync::watch;
use zookeeper_client::{Client, EventType, SessionState};

use crate::address::MasterAddress;
use crate::zookeeper::{ZooKeeperUrl, leading_child, read_master};

/// Session of Mesos' own detector.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest wait before ZooKeeper is asked again after a failure.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What ZooKeeper says about the leading master.
#[derive(Debug, Clone, PartialEq)]
pub enum Detection {
    /// Nothing yet, nobody, or nothing to be made of it; the sentence says which.
    Nobody(String),
    /// This master leads.
    Leader {
        /// Where it is dialled.
        address: MasterAddress,
        /// What it says of itself.
        info: Box<MasterInfo>,
    },
}

impl Detection {
    /// The leader's address, or why there is none.
    ///
    /// # Errors
    /// The sentence of [`Detection::Nobody`].
    pub fn address(&self) -> Result<MasterAddress, String> {
        match self {
            Self::Leader { address, .. } => Ok(address.clone()),
            Self::Nobody(reason) => Err(reason.clone()),
        }
    }
}

/// Watches ZooKeeper for the leading master, until dropped. Sessions that expire are made anew; while
/// ZooKeeper is out of reach the last leader stays told, since a subscription to it may well live on.
#[derive(Debug)]
pub struct MasterDetector {
    detections: watch::Receiver<Detection>,
    task: tokio::task::JoinHandle<()>,
}

impl MasterDetector {
    /// Starts watching; needs a tokio runtime.
    #[must_use]
    pub fn start(url: ZooKeeperUrl) -> Self {
        let first = Detection::Nobody(format!("ZooKeeper at {} was not heard yet", url.servers()));
        let (sender, detections) = watch::channel(first);
        let task = tokio::spawn(follow(url, sender));
        Self { detections, task }
    }

    /// What is known now.
    #[must_use]
    pub fn current(&self) -> Detection {
        self.detections.borrow().clone()
    }

    /// Waits for news. Cancel safe.
    pub async fn changed(&mut self) -> Detection {
        if self.detections.changed().await.is_err() {
            // The watching task lives as long as we do.
            std::future::pending::<()>().await;
        }
        self.detections.borrow_and_update().clone()
    }

    /// Waits until somebody leads. Callers that are not patient put a time limit around it; what is
    /// wrong meanwhile is told by [`Self::current`].
    pub async fn leader(&mut self) -> (MasterAddress, MasterInfo) {
        let found = self.detections.wait_for(|d| matches!(d, Detection::Leader { .. })).await;
        match found.map(|found| found.clone()) {
            Ok(Detection::Leader { address, info }) => (address, *info),
            Ok(Detection::Nobody(_)) | Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for MasterDetector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(url: ZooKeeperUrl, detections: watch::Sender<Detection>) {
    let mut wait = FIRST_WAIT;
    loop {
        let failure = match connect(&url).await {
            Ok(client) => {
                wait = FIRST_WAIT;
                watch_session(&url, &client, &detections).await
            }
            Err(error) => error,
        };
        tracing::debug!(%failure, %url, "ZooKeeper session ended");
        let reason = match failure {
            zookeeper_client::Error::AuthFailed | zookeeper_client::Error::NoAuth => {
                format!("ZooKeeper at {} refused us: {failure}", url.servers())
            }
            other => format!("no ZooKeeper session with {}: {other}", url.servers()),
        };
        // A leader known before stays told.
        detections.send_if_modified(|current| {
            let news = Detection::Nobody(reason);
            let replace = matches!(current, Detection::Nobody(_)) && *current != news;
            if replace {
                *current = news;
            }
            replace
        });
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn connect(url: &ZooKeeperUrl) -> Result<Client, zookeeper_client::Error> {
    let mut connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    if let Some(digest) = url.digest() {
        connector = connector.with_auth("digest", digest.as_bytes());
    }
    connector.connect(&url.servers()).await
}

/// Tells each new leader, until the session ends.
async fn watch_session(
    url: &ZooKeeperUrl,
    client: &Client,
    detections: &watch::Sender<Detection>,
) -> zookeeper_client::Error {
    loop {
        match look(url, client).await {
            Ok((detection, changes)) => {
                detections.send_if_modified(|current| {
                    let new = *current != detection;
                    if new {
                        *current = detection;
                    }
                    new
                });
                let (event, ..) = select_all(changes).await;
                let ended = event.event_type == EventType::Session
                    && matches!(
                        event.session_state,
                        SessionState::Expired | SessionState::Closed | SessionState::AuthFailed
                    );
                if ended {
                    return zookeeper_client::Error::SessionExpired;
                }
            }
            Err(error) => return error,
        }
    }
}

type Changes = Vec<BoxFuture<'static, zookeeper_client::WatchedEvent>>;

/// The children of a node, if it is there, and what tells of others, or of the node.
async fn children(
    client: &Client,
    path: &str,
    changes: &mut Changes,
) -> Result<Option<Vec<String>>, zookeeper_client::Error> {
    loop {
        match client.list_and_watch_children(path).await {
            Ok((children, watcher)) => {
                changes.push(watcher.changed().boxed());
                return Ok(Some(children));
            }
            Err(zookeeper_client::Error::NoNode) => {}
            Err(error) => return Err(error),
        }
        let (stat, watcher) = client.check_and_watch_stat(path).await?;
        if stat.is_none() {
            changes.push(watcher.changed().boxed());
            return Ok(None);
        }
        // Made since: a watch on the node itself would not tell of children.
    }
}

/// Who leads now, and what may change that.
async fn look(
    url: &ZooKeeperUrl,
    client: &Client,
) -> Result<(Detection, Changes), zookeeper_client::Error> {
    let mut changes = Changes::new();
    for path in url.paths() {
        let Some(children) = children(client, path, &mut changes).await? else { continue };
        let Some(child) = leading_child(&children) else { continue };
        let node = if path == "/" { format!("/{child}") } else { format!("{path}/{child}") };
        match client.get_and_watch_data(&node).await {
            Ok((data, _, watcher)) => {
                changes.push(watcher.changed().boxed());
                let detection = match read_master(child, &data) {
                    Ok((address, info)) => Detection::Leader { address, info: Box::new(info) },
                    Err(reason) => Detection::Nobody(reason),
                };
                return Ok((detection, changes));
            }
            // Gone in between: the watch on the children has fired, or will.
            Err(zookeeper_client::Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    let paths = url.paths().join(" or ");
    let reason =
        format!("no master has registered with ZooKeeper at {} under {paths}", url.servers());
    Ok((Detection::Nobody(reason), changes))
}
