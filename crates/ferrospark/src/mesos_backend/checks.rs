//! What is looked at before the framework is registered.

use std::net::IpAddr;

use anyhow::Context as _;
use mesos_client::subscription::Problem;
use mesos_client::{ClientError, MasterLocation};
use spark_conf::{Origin, SparkConf, table};
use spark_mesos::RegistrationProblem;

/// The framework could not be registered.
#[derive(Debug, thiserror::Error)]
#[error("{source}{hint}")]
pub(crate) struct NotRegistered {
    source: ClientError,
    hint: &'static str,
}

impl NotRegistered {
    /// What the pages say of it.
    pub(crate) fn problem(&self) -> RegistrationProblem {
        let text = self.source.to_string();
        match &self.source {
            ClientError::Subscription(Problem::Refused { status: 401, .. }) => {
                RegistrationProblem::Unauthenticated(text)
            }
            ClientError::Subscription(
                Problem::Refused { .. } | Problem::NotMesos { .. } | Problem::Error(_),
            ) => RegistrationProblem::Refused(text),
            ClientError::Subscription(_)
            | ClientError::Address(_)
            | ClientError::Ended
            | ClientError::CallRefused { .. }
            | ClientError::CallLost { .. } => RegistrationProblem::Unreachable(text),
        }
    }
}

/// Names the properties to look at when the master does not accept who we say we are.
pub(super) fn with_hint(source: ClientError) -> NotRegistered {
    let unauthenticated =
        matches!(source, ClientError::Subscription(Problem::Refused { status: 401, .. }));
    let hint =
        if unauthenticated { "; check spark.mesos.principal and spark.mesos.secret" } else { "" };
    NotRegistered { source, hint }
}

/// Executors elsewhere could not dial a loopback or wildcard address.
pub(super) fn check_advertised(master: &MasterLocation, advertised: &str) -> anyhow::Result<()> {
    let property = table::DRIVER_HOST.name();
    if advertised.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
        anyhow::bail!(
            "{property}: {advertised} is no address executors can dial; set it to an address of this machine"
        );
    }
    let elsewhere = match master {
        MasterLocation::Address(address) => !is_loopback(&address.host),
        MasterLocation::ZooKeeper(url) => !url.hosts().all(is_loopback),
    };
    if is_loopback(advertised) && elsewhere {
        anyhow::bail!(
            "{property}: executors of the master at {master} cannot dial {advertised}; set it to an address of this machine that they can reach"
        );
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Puts the contents of `….principal.file` and `….secret.file`, taken verbatim, in place of properties
/// that are not set.
pub(crate) fn with_credential_files(conf: &SparkConf) -> anyhow::Result<SparkConf> {
    let mut conf = conf.clone();
    let pairs = [
        (table::MESOS_PRINCIPAL.name(), &table::MESOS_PRINCIPAL_FILE),
        (table::MESOS_SECRET.name(), &table::MESOS_SECRET_FILE),
    ];
    for (name, file) in pairs {
        if let (None, Some(path)) = (conf.explicit(name), conf.get(file)?) {
            let content = std::fs::read_to_string(&path)
                .with_context(|| format!("{}: cannot read {path}", file.name()))?;
            conf.set(Origin::Computed, name, &content);
        }
    }
    Ok(conf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_is_for_a_local_master_only() {
        let master = |host: &str| MasterLocation::parse(host).unwrap();
        assert!(check_advertised(&master("127.0.0.1"), "127.0.0.1").is_ok());
        assert!(check_advertised(&master("localhost"), "127.0.0.1").is_ok());
        assert!(check_advertised(&master("10.0.0.1"), "10.0.0.2").is_ok());
        assert!(check_advertised(&master("zk://127.0.0.1:2181/mesos"), "127.0.0.1").is_ok());
        assert!(check_advertised(&master("zk://127.0.0.1,10.0.0.1/mesos"), "::1").is_err());
        for advertised in ["127.0.0.1", "localhost", "::1", "0.0.0.0"] {
            let error = check_advertised(&master("10.0.0.1"), advertised).unwrap_err().to_string();
            assert!(error.contains("spark.driver.host") && error.contains(advertised), "{error}");
        }
    }

    #[test]
    fn credentials_come_from_files_unless_set() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "from file").unwrap();
        let mut conf = SparkConf::new();
        conf.set(Origin::Program, "spark.mesos.secret.file", &file.display().to_string());
        conf.freeze();
        let read = with_credential_files(&conf).unwrap();
        assert_eq!(read.text("spark.mesos.secret").as_deref(), Some("from file"));
        let mut conf = SparkConf::new();
        conf.set(Origin::Program, "spark.mesos.secret", "set");
        conf.set(Origin::Program, "spark.mesos.secret.file", &file.display().to_string());
        let read = with_credential_files(&conf).unwrap();
        assert_eq!(read.text("spark.mesos.secret").as_deref(), Some("set"));
    }
}
