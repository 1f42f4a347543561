//! Where a master is.

use std::fmt;

use crate::zookeeper::ZooKeeperUrl;

/// Port of a master when none is named.
const DEFAULT_PORT: u16 = 5050;

/// Host and port of a master or agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MasterAddress {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Where to look for the leading master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterLocation {
    /// A master, leading or not: one that is not sends us to the leader.
    Address(MasterAddress),
    /// ZooKeeper knows who leads.
    ZooKeeper(ZooKeeperUrl),
}

impl MasterLocation {
    /// Reads `HOST:PORT` or `zk://[USER:PASSWORD@]HOST:PORT,…/PATH`.
    ///
    /// # Errors
    /// [`AddressError`] naming the text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.starts_with(crate::zookeeper::SCHEME) {
            return ZooKeeperUrl::parse(text).map(Self::ZooKeeper);
        }
        MasterAddress::parse(text).map(Self::Address)
    }
}

impl From<MasterAddress> for MasterLocation {
    fn from(address: MasterAddress) -> Self {
        Self::Address(address)
    }
}

impl From<ZooKeeperUrl> for MasterLocation {
    fn from(url: ZooKeeperUrl) -> Self {
        Self::ZooKeeper(url)
    }
}

impl fmt::Display for MasterLocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(out),
            Self::ZooKeeper(url) => url.fmt(out),
        }
    }
}

/// A text that names no master.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither HOST:PORT nor a ZooKeeper URL.
    #[error("{0:?} is no master address; expected HOST:PORT")]
    Malformed(String),
    /// A ZooKeeper URL that cannot be read, or stands where an address belongs.
    #[error("{url:?}: {problem}; expected zk://[USER:PASSWORD@]HOST:PORT,HOST:PORT/PATH")]
    ZooKeeper {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl MasterAddress {
    /// An address of its parts.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Reads `HOST:PORT`, `HOST`, `[V6]:PORT`.
    ///
    /// # Errors
    /// [`AddressError`] naming the text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(malformed)?,
            None => DEFAULT_PORT,
        };
        if host.is_empty() || host.contains(['/', ' ', '@', ',']) {
            return Err(malformed());
        }
        Ok(Self::new(host, port))
    }

    /// The target of a redirect. Mesos leaves the scheme out: `//host:port/master/api/v1/scheduler`.
    pub fn from_location(location: &str) -> Option<Self> {
        let rest = location.strip_prefix("http:").unwrap_or(location).strip_prefix("//")?;
        Self::parse(rest.split('/').next()?).ok()
    }
}

impl fmt::Display for MasterAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(MasterAddress::parse("h:1").unwrap(), MasterAddress::new("h", 1));
        assert_eq!(MasterAddress::parse("h").unwrap(), MasterAddress::new("h", 5050));
        assert_eq!(MasterAddress::parse("[::1]:7").unwrap().to_string(), "[::1]:7");
        for bad in ["", ":5050", "h:x", "h:0", "h:70000", "http://h:1", "a:1,b:2"] {
            assert!(MasterAddress::parse(bad).is_err(), "{bad}");
        }
        assert!(MasterAddress::parse("zk://h:2181/mesos").is_err());
        let found = MasterLocation::parse("zk://h:2181/mesos").unwrap();
        assert_eq!(found, ZooKeeperUrl::parse("zk://h:2181/mesos").unwrap().into());
        assert_eq!(found.to_string(), "zk://h:2181/mesos");
        assert_eq!(MasterLocation::parse("h:1").unwrap(), MasterAddress::new("h", 1).into());
    }

    #[test]
    fn redirects_come_without_scheme() {
        let leader = Some(MasterAddress::new("10.0.0.1", 5050));
        assert_eq!(MasterAddress::from_location("//10.0.0.1:5050/master/api/v1/scheduler"), leader);
        assert_eq!(MasterAddress::from_location("//10.0.0.1:5050"), leader);
        assert_eq!(MasterAddress::from_location("http://10.0.0.1:5050/x"), leader);
        assert_eq!(MasterAddress::from_location("/elsewhere"), None);
    }
}
