//! Settings of a driver that runs on the cluster: what the dispatcher puts into its task.
//!
//! The dispatcher does the rest; here is what it shares with executors, read and checked the same way.

use mesos_api::command_info::Uri;
use mesos_api::environment::Variable;
use mesos_api::{ContainerInfo, Labels};
use spark_conf::{SparkConf, table};

use crate::command;
use crate::constraints::Constraints;
use crate::container::container;
use crate::labels::parse_labels;
use crate::secrets::{self, Secrets};
use crate::settings::SettingsError;

/// Family of variables for drivers in cluster mode.
const DRIVER_ENVIRONMENT: &str = "spark.mesos.driverEnv.";

/// What a driver's Mesos task needs of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct DriverTaskSettings {
    /// `spark.mesos.driver.constraints`.
    pub constraints: Constraints,
    /// `spark.mesos.driver.labels`.
    pub labels: Labels,
    /// Image, volumes and network, with the files of `spark.mesos.driver.secret.*`.
    pub container: Option<ContainerInfo>,
    /// `spark.mesos.driverEnv.*`.
    pub environment: Vec<(String, String)>,
    /// The variables of `spark.mesos.driver.secret.*`.
    pub secret_variables: Vec<Variable>,
    /// `spark.executor.uri` and `spark.mesos.uris`.
    pub uris: Vec<Uri>,
}

impl DriverTaskSettings {
    /// # Errors
    /// The first setting that is malformed or does not fit another.
    pub fn from_conf(conf: &SparkConf) -> Result<Self, SettingsError> {
        let secrets = Secrets::from_conf(conf, &secrets::DRIVER)?;
        let labels = conf.get(&table::MESOS_DRIVER_LABELS)?.unwrap_or_default();
        Ok(Self {
            constraints: Constraints::parse(
                table::MESOS_DRIVER_CONSTRAINTS.name(),
                &conf.get(&table::MESOS_DRIVER_CONSTRAINTS)?,
            )?,
            labels: parse_labels(table::MESOS_DRIVER_LABELS.name(), &labels)?,
            container: container(conf, &secrets.volumes)?,
            environment: command::variables(conf, DRIVER_ENVIRONMENT)?,
            secret_variables: secrets.variables,
            uris: command::uris(conf)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spark_conf::Origin;

    fn of(settings: &[(&str, &str)]) -> Result<DriverTaskSettings, String> {
        let mut conf = SparkConf::new();
        for (key, value) in settings {
            conf.set(Origin::Program, &format!("spark.mesos.{key}"), value);
        }
        DriverTaskSettings::from_conf(&conf).map_err(|error| error.to_string())
    }

    #[test]
    fn a_driver_has_its_own_constraints_labels_and_secrets() {
        let settings = of(&[
            ("driver.constraints", "zone:x"),
            ("driver.labels", "k:v"),
            ("driverEnv.A", "1"),
            ("driver.secret.values", "s"),
            ("driver.secret.filenames", "f"),
            ("uris", "http://h/x"),
        ])
        .unwrap();
        assert!(settings.constraints.unmet(&[]).is_some());
        assert_eq!(settings.labels.labels[0].key, "k");
        assert_eq!(settings.environment, [("A".to_owned(), "1".to_owned())]);
        assert_eq!(settings.container.unwrap().volumes[0].container_path, "f");
        assert_eq!(settings.uris[0].value, "http://h/x");
    }

    #[test]
    fn each_part_is_refused_by_name() {
        for (key, value) in [
            ("driver.constraints", "zone"),
            ("driver.labels", "k"),
            ("driverEnv.A=B", "1"),
            ("driver.secret.values", "s"),
            ("uris", "x y"),
        ] {
            let error = of(&[(key, value)]).unwrap_err();
            assert!(error.contains(&format!("spark.mesos.{key}")), "{error}");
        }
    }
}
