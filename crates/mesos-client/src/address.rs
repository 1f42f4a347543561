//! Where a master is.

use std::fmt;

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

/// A text that names no master.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither HOST:PORT nor a ZooKeeper URL.
    #[error("{0:?} is no master address; expected HOST:PORT")]
    Malformed(String),
    /// A ZooKeeper URL, which this client does not follow yet.
    #[error(
        "{0:?}: masters found through ZooKeeper are not supported yet; name the leading master as HOST:PORT"
    )]
    ZooKeeper(String),
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
        if text.starts_with("zk://") {
            return Err(AddressError::ZooKeeper(text.to_owned()));
        }
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
        let error = MasterAddress::parse("zk://h:2181/mesos").unwrap_err();
        assert!(error.to_string().contains("ZooKeeper"), "{error}");
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
