//! Leader election over ZooKeeper, in Mesos' own format: each master puts an ephemeral, numbered node
//! `json.info_NNNNNNNNNN` with its MasterInfo in JSON below the path, and the lowest number leads. So
//! detectors of genuine clients find our leader.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mesos_api::MasterInfo;
use mesos_api::json::JsonValue as _;
use tokio::sync::{oneshot, watch};
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Error, Permission};

/// As in Mesos.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before ZooKeeper is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

const LABEL: &str = "json.info_";

/// Who leads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Leader {
    /// Nobody, as far as is known.
    Unknown,
    /// This master.
    Own,
    /// Another master.
    Other(Box<MasterInfo>),
}

/// Where masters elect their leader: `zk://[user:secret@]host:port,…/path`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ensemble {
    servers: String,
    path: String,
    credentials: Option<String>,
}

/// Secrets are not for logs.
impl fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zk://{}{}", self.servers, self.path)
    }
}

/// Why a URL names no ensemble.
#[derive(Debug, thiserror::Error)]
#[error("--zk takes zk://host1:port1,host2:port2/path")]
pub struct MalformedEnsemble;

/// The session by which this master leads.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    pub(crate) client: Client,
    /// Path of this master's node, which stands as long as it leads.
    pub(crate) own: String,
    ensemble: Ensemble,
}

impl Lead {
    /// Path of a node beside those of the masters.
    pub(crate) fn node(&self, name: &str) -> String {
        self.ensemble.node(name)
    }

    /// Who may do what with nodes of masters.
    pub(crate) fn acls(&self) -> NodeAcls {
        NodeAcls::of(&self.ensemble)
    }
}

/// With credentials others may read, without everybody may do everything, as in Mesos.
#[derive(Debug)]
pub(crate) struct NodeAcls(Option<[Acl; 2]>);

impl NodeAcls {
    fn of(ensemble: &Ensemble) -> Self {
        let read = Acl::new(Permission::READ, AuthId::anyone());
        let all = Acl::new(Permission::ALL, AuthId::authed());
        Self(ensemble.credentials.is_some().then_some([read, all]))
    }

    pub(crate) fn acls(&self) -> Acls<'_> {
        match &self.0 {
            Some(own) => Acls::new(own),
            None => Acls::anyone_all(),
        }
    }
}

impl Ensemble {
    pub(crate) fn parse(url: &str) -> Result<Self, MalformedEnsemble> {
        let rest = url.strip_prefix("zk://").ok_or(MalformedEnsemble)?;
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials.to_owned()), rest),
            None => (None, rest),
        };
        let (servers, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        if servers.is_empty() || servers.split(',').any(str::is_empty) || path.contains("//") {
            return Err(MalformedEnsemble);
        }
        Ok(Self { servers: servers.to_owned(), path: format!("/{path}"), credentials })
    }

    fn node(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }
}

/// Contends until the leadership, once won, is lost, or the receiver is gone. `won` gets the session.
pub(crate) async fn contend(
    ensemble: Ensemble,
    info: MasterInfo,
    leader: watch::Sender<Leader>,
    won: oneshot::Sender<Lead>,
) {
    let mut won = Some(won);
    while !leader.is_closed() {
        let outcome = session(&ensemble, &info, &leader, &mut won).await;
        let led = *leader.borrow() == Leader::Own;
        if let Err(error) = outcome {
            tracing::warn!(%error, ?ensemble, led, "the session with ZooKeeper ended");
        }
        if led {
            // Another master may lead by now. This one must not act as if it did.
            return;
        }
        leader.send_replace(Leader::Unknown);
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn session(
    ensemble: &Ensemble,
    info: &MasterInfo,
    leader: &watch::Sender<Leader>,
    won: &mut Option<oneshot::Sender<Lead>>,
) -> Result<(), Error> {
    let mut connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    if let Some(credentials) = &ensemble.credentials {
        connector = connector.with_auth("digest", credentials.as_bytes());
    }
    let client = connector.connect(&ensemble.servers).await?;
    let acls = NodeAcls::of(ensemble);
    if ensemble.path != "/" {
        client.mkdir(&ensemble.path, &CreateMode::Persistent.with_acls(acls.acls())).await?;
    }
    let options = CreateMode::EphemeralSequential.with_acls(acls.acls());
    let data = info.to_json().to_string();
    let (_, sequence) = client.create(&ensemble.node(LABEL), data.as_bytes(), &options).await?;
    let own_name = format!("{LABEL}{sequence}");
    tracing::info!(node = %own_name, ?ensemble, "contending for leadership");
    loop {
        let (children, changed) = client.list_and_watch_children(&ensemble.path).await?;
        let found = first(&children);
        if !children.contains(&own_name) {
            // Somebody removed it; without it there is no leading.
            return Ok(());
        }
        let next = match found {
            Some(name) if name == own_name => Leader::Own,
            Some(name) => read(&client, &ensemble.node(&name)).await?,
            None => Leader::Unknown,
        };
        if *leader.borrow() != next {
            tracing::info!(leader = ?next, "leader elected");
            if next == Leader::Own
                && let Some(won) = won.take()
            {
                let own = ensemble.node(&own_name);
                let lead = Lead { client: client.clone(), own, ensemble: ensemble.clone() };
                // Nobody waits for it once the master stops.
                let _ = won.send(lead);
            }
            leader.send_replace(next);
        }
        tokio::select! {
            event = changed.changed() => {
                if event.event_type == zookeeper_client::EventType::Session
                    && event.session_state.is_terminated()
                {
                    return Ok(());
                }
            }
            () = leader.closed() => return Ok(()),
        }
    }
}

async fn read(client: &Client, path: &str) -> Result<Leader, Error> {
    let data = match client.get_data(path).await {
        Ok((data, _)) => data,
        // It has just ended; the watch tells who follows.
        Err(Error::NoNode) => return Ok(Leader::Unknown),
        Err(error) => return Err(error),
    };
    let json = serde_json::from_slice(&data).ok();
    let info = json.and_then(|json| MasterInfo::from_json(&json).ok());
    Ok(info.map_or(Leader::Unknown, |info| Leader::Other(Box::new(info))))
}

/// The node with the lowest number; those without are not masters.
fn first(children: &[String]) -> Option<String> {
    let numbered: BTreeMap<i64, &String> = children
        .iter()
        .filter_map(|name| Some((name.rsplit_once('_')?.1.parse().ok()?, name)))
        .collect();
    numbered.into_values().next().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ensembles_are_read_as_mesos_does() {
        let parse =
            |url: &str| Ensemble::parse(url).ok().map(|e| (e.servers, e.path, e.credentials));
        let own = str::to_owned;
        assert_eq!(parse("zk://h:2181/mesos"), Some((own("h:2181"), own("/mesos"), None)));
        assert_eq!(
            parse("zk://u:p@x@a:1,b:2/m/n/"),
            Some((own("a:1,b:2"), own("/m/n"), Some(own("u:p@x"))))
        );
        assert_eq!(parse("zk://h"), Some((own("h"), own("/"), None)));
        assert_eq!(parse("h:2181/mesos"), None);
        assert_eq!(parse("zk://a,,b/mesos"), None);
        let shown = format!("{:?}", Ensemble::parse("zk://user:secret@h/m").unwrap());
        assert_eq!(shown, "zk://h/m");
    }

    #[test]
    fn the_lowest_number_leads_whatever_its_label() {
        let children = ["log_replicas", "json.info_0000000012", "info_0000000011", "x"];
        let children: Vec<String> = children.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(first(&children).as_deref(), Some("info_0000000011"));
        assert_eq!(first(&[]), None);
    }
}
