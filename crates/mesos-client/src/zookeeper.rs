//! Where ZooKeeper is, and which of its nodes names the leading master: what can be decided without
//! a connection. The shell is [`crate::MasterDetector`].

use std::fmt;

use mesos_api::MasterInfo;
use mesos_api::json::JsonValue;
use mesos_api::prost::Message as _;

use crate::address::{AddressError, MasterAddress};

/// Scheme of a ZooKeeper URL.
pub(crate) const SCHEME: &str = "zk://";
/// Port of a ZooKeeper server when none is named.
const DEFAULT_PORT: u16 = 2181;
/// Where masters register by convention; looked at too when a URL names no path.
const USUAL_PATH: &str = "/mesos";
/// Most servers of one URL; ensembles have three to seven.
const MOST_SERVERS: usize = 64;

/// `zk://[user:password@]host:port,…[/path]`.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperUrl {
    servers: Vec<(String, u16)>,
    credential: Option<(String, String)>,
    path: Option<String>,
}

impl ZooKeeperUrl {
    /// Reads a URL. As in Mesos the first `/` after the servers begins the path, and the last `@`
    /// before it ends the credentials, which are of the digest scheme.
    ///
    /// # Errors
    /// [`AddressError::ZooKeeper`] with the URL (without its password) and what is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = |problem: &'static str| AddressError::ZooKeeper {
            url: without_password(text),
            problem,
        };
        let rest =
            text.strip_prefix(SCHEME).ok_or_else(|| wrong("it does not begin with zk://"))?;
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(rest[at..].trim_end_matches('/'))),
            None => (rest, None),
        };
        let (credential, servers) = match authority.rsplit_once('@') {
            Some((credential, servers)) => {
                let pair = credential.split_once(':').filter(|(user, _)| !user.is_empty());
                let (user, password) =
                    pair.ok_or_else(|| wrong("before the @ there must be user:password"))?;
                (Some((user.to_owned(), password.to_owned())), servers)
            }
            None => (None, authority),
        };
        let servers: Vec<_> = servers
            .split(',')
            .map(server)
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("its servers are not of the form host:port,host:port"))?;
        if servers.len() > MOST_SERVERS {
            return Err(wrong("it names more than 64 servers"));
        }
        let path = match path {
            Some("") => Some("/".to_owned()),
            Some(path)
                if path.contains("//")
                    || path.split('/').any(|part| part == "." || part == "..") =>
            {
                return Err(wrong("its path has empty or relative parts"));
            }
            Some(path) => Some(path.to_owned()),
            None => None,
        };
        Ok(Self { servers, credential, path })
    }

    /// `host:port,…`, as ZooKeeper clients take it.
    #[must_use]
    pub fn servers(&self) -> String {
        let servers = self.servers.iter().map(|(host, port)| MasterAddress::new(host, *port));
        servers.map(|server| server.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The hosts of the servers.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.servers.iter().map(|(host, _)| host.as_str())
    }

    /// `user:password` of the digest scheme.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        self.credential.as_ref().map(|(user, password)| format!("{user}:{password}"))
    }

    /// The paths under which masters may have registered, the likeliest first. A URL without path means
    /// `/`, as in Mesos; since nobody registers there by habit, `/mesos` is looked at as well.
    #[must_use]
    pub fn paths(&self) -> Vec<&str> {
        match &self.path {
            Some(path) => vec![path],
            None => vec!["/", USUAL_PATH],
        }
    }
}

fn server(text: &str) -> Option<(String, u16)> {
    // The same forms as a master's, with another port by default.
    let has_port = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.1.starts_with(':'),
        None => text.contains(':'),
    };
    let address = MasterAddress::parse(text).ok()?;
    Some((address.host, if has_port { address.port } else { DEFAULT_PORT }))
}

fn without_password(text: &str) -> String {
    let rest = text.strip_prefix(SCHEME).unwrap_or(text);
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{SCHEME}…@{}", &rest[at + 1..]),
        None => text.to_owned(),
    }
}

/// Without the password.
impl fmt::Display for ZooKeeperUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(SCHEME)?;
        if let Some((user, _)) = &self.credential {
            write!(out, "{user}:…@")?;
        }
        write!(out, "{}{}", self.servers(), self.path.as_deref().unwrap_or_default())
    }
}

impl fmt::Debug for ZooKeeperUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// How a master wrote itself down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    /// `json.info_`, since 0.24.
    Json,
    /// `info_`, 0.19 to 0.23.
    Protobuf,
    /// Only the number: the pid as text, before 0.19.
    Pid,
}

/// The leading master's node among the children of the path: that of the smallest number, whatever its
/// label. Children without number, such as `log_replicas`, are none.
#[must_use]
pub fn leading_child(children: &[String]) -> Option<&str> {
    let numbered = children.iter().filter_map(|child| Some((number(child)?, child)));
    numbered.min().map(|(_, child)| child.as_str())
}

/// ZooKeeper's counter is an `int32` and may have passed zero.
fn number(child: &str) -> Option<i32> {
    child.rsplit('_').next()?.parse().ok()
}

/// What a master wrote into its node.
///
/// # Errors
/// A sentence on what is wrong with it; Mesos' own detector fails then, too.
pub fn read_master(child: &str, data: &[u8]) -> Result<(MasterAddress, MasterInfo), String> {
    let label = match child.rsplit_once('_').map_or("", |(label, _)| label) {
        "json.info" => Label::Json,
        "info" => Label::Protobuf,
        "" => Label::Pid,
        other => return Err(format!("node {child} has the unknown label {other:?}")),
    };
    let unreadable = |problem: String| format!("node {child} cannot be read: {problem}");
    let info = match label {
        Label::Json => {
            let json =
                serde_json::from_slice(data).map_err(|error| unreadable(error.to_string()))?;
            MasterInfo::from_json(&json).map_err(|error| unreadable(error.to_string()))?
        }
        Label::Protobuf => {
            MasterInfo::decode(data).map_err(|error| unreadable(error.to_string()))?
        }
        Label::Pid => MasterInfo {
            pid: Some(String::from_utf8_lossy(data).into_owned()),
            ..MasterInfo::default()
        },
    };
    let address = address_of(&info).ok_or_else(|| unreadable("it names no address".to_owned()))?;
    Ok((address, info))
}

/// Where a master is dialled: its address, else its pid, else the number of old.
fn address_of(info: &MasterInfo) -> Option<MasterAddress> {
    if let Some(address) = &info.address {
        let host = address.ip.as_ref().or(address.hostname.as_ref())?;
        return Some(MasterAddress::new(host, u16::try_from(address.port).ok()?));
    }
    if let Some((_, address)) = info.pid.as_deref().and_then(|pid| pid.split_once('@')) {
        return MasterAddress::parse(address).ok();
    }
    // In network order, read as a number of the host.
    let ip = std::net::Ipv4Addr::from(info.ip.to_ne_bytes());
    let port = u16::try_from(info.port).ok()?;
    (info.ip != 0).then(|| MasterAddress::new(ip.to_string(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let full = ZooKeeperUrl::parse("zk://spark:se@cr:et@h1,h2:2182,[::1]:7/a/b/").unwrap();
        assert_eq!(full.servers(), "h1:2181,h2:2182,[::1]:7");
        assert_eq!(full.digest().as_deref(), Some("spark:se@cr:et"));
        assert_eq!(full.paths(), ["/a/b"]);
        assert_eq!(format!("{full:?}"), "zk://spark:…@h1:2181,h2:2182,[::1]:7/a/b");
        let bare = ZooKeeperUrl::parse("zk://host:2181").unwrap();
        assert_eq!(bare.paths(), ["/", "/mesos"]);
        assert_eq!(ZooKeeperUrl::parse("zk://host:2181/").unwrap().paths(), ["/"]);
        assert_eq!(bare.to_string(), "zk://host:2181");
    }

    #[test]
    fn what_is_no_url_is_said_without_the_password() {
        for (text, told) in [
            ("zk:///mesos", "servers"),
            ("zk://a:1,/mesos", "servers"),
            ("zk://a:x/mesos", "servers"),
            ("zk://:secret@a:1/mesos", "user:password"),
            ("zk://u:secret@a:1/me//sos", "relative parts"),
            ("zk://u:secret@a:1/../x", "relative parts"),
        ] {
            let error = ZooKeeperUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_smallest_number_leads() {
        let children = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let of = |names: &[&str]| leading_child(&children(names)).map(str::to_owned);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["log_replicas", "zookeeper"]), None);
        assert_eq!(
            of(&[
                "json.info_0000000010",
                "log_replicas",
                "info_0000000009",
                "json.info_0000000011"
            ]),
            Some("info_0000000009".to_owned())
        );
        assert_eq!(
            of(&["json.info_2147483647", "json.info_-2147483648"]),
            Some("json.info_-2147483648".to_owned())
        );
    }

    #[test]
    fn every_label_is_read() {
        let json =
            br#"{"id":"x","ip":16777343,"port":5050,"pid":"master@127.0.0.1:5050","hostname":"h",
            "address":{"hostname":"h","ip":"127.0.0.2","port":5051},"capabilities":[{}]}"#;
        let read = |child: &str, data: &[u8]| {
            read_master(child, data).map(|(address, _)| address.to_string())
        };
        assert_eq!(read("json.info_0000000001", json).unwrap(), "127.0.0.2:5051");
        let old =
            MasterInfo { id: "x".to_owned(), ip: 16_777_343, port: 7, ..MasterInfo::default() };
        assert_eq!(read("info_0000000001", &old.encode_to_vec()).unwrap(), "127.0.0.1:7");
        assert_eq!(read("0000000001", b"master@10.0.0.1:5050").unwrap(), "10.0.0.1:5050");
        assert!(read("json.info_0000000001", b"{").unwrap_err().contains("cannot be read"));
        assert!(read("other_0000000001", b"").unwrap_err().contains("unknown label"));
        assert!(read("info_0000000001", &[]).is_err());
    }
}
